#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vsock-rpcd's Kubernetes requests, with stand-ins of k3s and containerd: their sockets, files, timing.
load ../lib.bash
load runtime.bash

# hold_stops: from here on whoever has been told to end is not waited for yet; go_on: he is. strace has a thread of the daemon
# rest behind the signal that it has sent, however long what is looked at meanwhile takes.
hold_stops() {
	strace -f -qq -o /dev/null -e trace=pidfd_send_signal -e inject=pidfd_send_signal:delay_exit=1800000000:when=1 \
		-p "$daemon" 3>&- &
	holding=$!
	until_true all_traced
}
all_traced() { not grep -qx 'TracerPid:	0' /proc/"$daemon"/task/*/status; }
go_on() { kill -9 "$holding"; wait "$holding" || true; }

k8s_is() { [ "$(rpc k8s status --json | jq -c '[.running, .api_ready, .services[1].status]')" = "$1" ]; }
k8s_detail_has() { [[ $(rpc k8s status --json | jq -r .detail) == *"$1"* ]]; }
events() { awk '{ $1 = ""; print substr($0, 2) }' "$T/events" | tr '\n' ,; }
# shim NAMESPACE: the pid of its stand-in, below our cgroup only.
shim() {
	local pid words
	while read -r pid; do
		words=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -d' ' -f1-3)
		[ "$words" != "containerd-shim-runc-v2 -namespace $1" ] || echo "$pid"
	done < <(cat "$CG"/cgroup.procs "$CG"/*/cgroup.procs)
}

has_shim() { [ -n "$(shim "$1")" ]; }

@test "nothing there: the missing programs are named at once; no kubeconfig" {
	start_daemon
	run rpc k8s start --json
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$(jq -c '[.running, .api_ready, .endpoint]' <<<"$output")" = '[false,false,"https://127.0.0.1:16443"]' ]
	[[ $(jq -r .detail <<<"$output") == *"missing: $T/bin/k3s, $T/bin/containerd, $T/bin/containerd-shim-runc-v2, $T/bin/runc" ]]
	run rpc k8s status --json
	[ "$status" -eq 0 ]
	[ "$(jq -c '[.running, .api_ready, [.services[] | [.name, .status]]]' <<<"$output")" = \
		'[false,false,[["containerd","not_ready"],["k3s","not_ready"]]]' ]
	fails 1 "404" rpc k8s kubeconfig
	run rpc k8s stop --json
	[ "$status" -eq 0 ]
	[ "$(jq .stopped <<<"$output")" = true ]
	[ "$(rpc k8s start | head -1)" = "running:   no" ]
}

@test "start answers at once and goes on; the API is ready when /readyz says so; the files of the protocol" {
	programs
	touch "$T/containerd.hold" "$T/k3s.mute"
	start_daemon
	# containerd is not there yet, and the answer is.
	run rpc k8s start --json
	echo "$output"
	[ "$(jq -c '[.running, .api_ready]' <<<"$output")" = '[false,false]' ]
	[[ $output == *"a start is in progress"* ]]
	run rpc k8s start --json
	[ "$status" -eq 1 ]
	rm "$T/containerd.hold"
	# It listens, but is not ready.
	until_true grep -q 'serve k3s' "$T/events"
	until_true k8s_detail_has "/readyz is not ok"
	k8s_is '[true,false,"error"]'
	rm "$T/k3s.mute"
	run rpc k8s start --wait --json
	[ "$status" -eq 0 ]
	k8s_is '[true,true,"ready"]'
	[ "$(starts k3s)" -eq 1 ]
	[ "$(cat "$T/k3s.args")" = \
		"server --container-runtime-endpoint=/run/containerd/containerd.sock --data-dir=/var/lib/rancher/k3s --write-kubeconfig=/var/lib/rancher/k3s/k3s.yaml --write-kubeconfig-mode=0600 --disable=traefik --disable=servicelb" ]
	[ "$(cat /run/arcbox/k3s.pid)" = "$(pid_of k3s)" ]
	run rpc k8s kubeconfig
	[ "$output" = "$(cat /var/lib/rancher/k3s/k3s.yaml)" ]
	run rpc k8s kubeconfig --json
	[ "$(jq -c '[.context_name, .endpoint]' <<<"$output")" = '["arcbox","https://127.0.0.1:16443"]' ]
	run rpc k8s kubeconfig --rewrite
	[ "$output" = "$(sed 's/:6443/:16443/; s/default/arcbox/' /var/lib/rancher/k3s/k3s.yaml)" ]
	# Docker's daemon was not asked for.
	[ "$(starts dockerd)" -eq 0 ]
}

@test "k3s that cannot be executed, or ends at once: failed at once, with the reason" {
	programs
	echo garbage >"$T/bin/k3s"
	start_daemon
	run rpc k8s start --json
	[ "$status" -eq 1 ]
	until_true k8s_detail_has "the last start failed: $T/bin/k3s: Exec format error"
	programs
	echo 9 >"$T/k3s.exit"
	run rpc k8s start --json
	[ "$status" -eq 1 ]
	until_true k8s_detail_has "the last start failed: k3s ended with status 9 (k3s.log)"
	[ ! -e /run/arcbox/k3s.pid ]
	rm "$T/k3s.exit"
	rpc k8s start --wait
	k8s_is '[true,true,"ready"]'
}

@test "both runtimes share containerd; k3s dies and is started again; vsock-rpcd is killed and finds it" {
	programs
	start_daemon
	run rpc k8s start --json
	[ "$(jq .running <<<"$output")" = false ]
	wanted
	until_true k8s_is '[true,true,"ready"]'
	until_true ready
	[ "$(starts containerd)" -eq 1 ]
	kill -9 "$(pid_of k3s)"
	until_true started_times k3s 2
	until_true k8s_is '[true,true,"ready"]'
	[ "$(cat /run/arcbox/k3s.pid)" = "$(pid_of k3s)" ]
	stop_daemon KILL
	start_daemon
	until_true k8s_is '[true,true,"ready"]'
	[ "$(starts k3s)" -eq 2 ]
	[ "$(starts dockerd)" -eq 1 ]
}

@test "stop: k3s, what it left, its pods and their shims; nothing of Docker's; mounts are gone" {
	need_cgroup
	programs
	echo 1 >"$T/k3s.pod" # the pod has no ear for SIGTERM
	start_daemon
	rpc k8s start --wait >/dev/null
	rpc runtime ensure --start --wait >/dev/null
	until_true grep -q 'populated 1' "$CG/kubepods/pod1/cgroup.events"
	until_true has_shim moby
	until_true has_shim k8s.io
	k3s=$(pid_of k3s) moby=$(shim moby)
	in_guest sh -c 'mkdir -p /var/lib/kubelet/pods/a/vol /run/k3s/x && mount -t tmpfs pod /var/lib/kubelet/pods/a/vol &&
		mount -t tmpfs k /run/k3s/x'
	# one that somebody is in
	nsenter -t "$daemon" -m sh -c 'cd /var/lib/kubelet/pods/a/vol && echo >here && exec sleep 1000' >/dev/null 2>&1 3>&- &
	holder=$!
	until_true in_guest test -e /var/lib/kubelet/pods/a/vol/here
	run rpc k8s stop --json
	echo "$output"; cat "$T/log"
	[ "$status" -eq 0 ]
	[ "$(jq -c .stopped <<<"$output")" = true ]
	gone "$k3s"
	grep -q 'populated 0' "$CG/kubepods/cgroup.events"
	grep -q 'populated 0' "$CG/guestbox-k3s/cgroup.events"
	[ "$(shim moby)" = "$moby" ]
	[ -z "$(shim k8s.io)" ]
	k8s_is '[false,false,"not_ready"]'
	[ ! -e /run/arcbox/k3s.pid ]
	not in_guest grep -E ' /var/lib/kubelet/| /run/k3s' /proc/mounts
	[ "$(ls "/proc/$holder/cwd/")" = here ] # nobody was ended for it
	kill "$holder"
	ready
	# It stays down; a start brings it back.
	[ "$(starts k3s)" -eq 1 ]
	rpc k8s start --wait
	[ "$(starts k3s)" -eq 2 ]
}

@test "while a stop is under way a status waits for nobody, and a start comes after it" {
	programs
	touch "$T/k3s.linger"
	start_daemon
	rpc k8s start --wait >/dev/null
	hold_stops
	rpc k8s stop --json >"$T/stopped" 3>&- &
	stopping=$!
	until_true grep -q 'term k3s' "$T/events"
	run rpc k8s status --json
	[ "$status" -eq 0 ]
	[ "$(jq .running <<<"$output")" = true ]
	run rpc k8s start --json
	[ "$(jq .running <<<"$output")" = true ]
	kill -0 "$stopping" # it still stops
	[ ! -s "$T/stopped" ]
	rm "$T/k3s.linger"
	until_true grep -q 'end k3s' "$T/events"
	go_on
	wait "$stopping"
	[ "$(jq .stopped <"$T/stopped")" = true ]
	until_true k8s_is '[true,true,"ready"]'
	[[ $(events) == *"term k3s,end k3s,start k3s,serve k3s,"* ]]
}

@test "k3s does not end by itself: it is killed after its time; who asks meanwhile is answered, and no more than three wait" {
	programs
	touch "$T/k3s.linger"
	GUESTBOX_LOG=debug start_daemon
	rpc k8s start --wait >/dev/null
	k3s=$(pid_of k3s)
	hold_stops
	for i in 1 2 3; do
		rpc k8s stop --json >"$T/stopped.$i" 3>&- &
		stopping+=($!)
	done
	until_true grep -q 'term k3s' "$T/events"
	# a request is in the log before it is handled, and both are before the next one that comes
	asked() { [ "$(grep -c 'KubernetesStopRequest (0x' "$T/log")" -eq 3 ]; }
	until_true asked
	rpc k8s status >/dev/null
	fails 1 "error 409: 3 stops and deletions of Kubernetes are under way" rpc k8s delete
	go_on
	for i in 0 1 2; do wait "${stopping[i]}"; done
	[ "$(jq -s -c 'map(.stopped)' "$T"/stopped.?)" = '[true,true,true]' ]
	gone "$k3s"
	not grep -q 'end k3s' "$T/events"
	k8s_is '[false,false,"not_ready"]'
}

@test "a stop within the pause before a restart: it is not started again" {
	programs
	start_daemon --restart 100/60
	rpc k8s start --wait >/dev/null
	echo 4 >"$T/k3s.exit"
	kill -9 "$(pid_of k3s)"
	until_true grep -qE 'k3s ended with status 4 .*; starting it again in [248]\.0 s' "$T/log"
	until_true k8s_detail_has "it is started again soon"
	run rpc k8s stop --json
	[ "$(jq -c .stopped <<<"$output")" = true ]
	n=$(starts k3s)
	[ ! -e /run/guestbox/daemons/k3s.pid ]
	run rpc k8s status --json
	[[ $(jq -r .detail <<<"$output") == "k3s does not run" ]]
	rm "$T/k3s.exit"
	rpc k8s start --wait >/dev/null
	[ "$(starts k3s)" -eq $((n + 1)) ]
}

@test "an API that was ready and is no more: that is said, without a restart; and that it is again" {
	programs
	start_daemon
	rpc k8s start --wait >/dev/null
	touch "$T/k3s.mute"
	until_true k8s_detail_has "/readyz is not ok" # it is asked every five seconds
	k8s_is '[true,false,"error"]'
	until_true grep -q 'runtime: k3s does not answer any more' "$T/log"
	rm "$T/k3s.mute"
	until_true k8s_is '[true,true,"ready"]'
	[ "$(starts k3s)" -eq 1 ]
}

@test "k3s of another agent, by the number in its file: it is found, watched, and stopped" {
	programs
	mkdir -p /run/arcbox /run/containerd /var/lib/rancher/k3s
	"$T/bin/containerd" >/dev/null 2>&1 3>&- &
	containerd=$!
	nsenter --net="$T/net" "$T/bin/k3s" server >/dev/null 2>&1 3>&- &
	k3s=$!
	until_true grep -q 'serve k3s' "$T/events"
	echo "$k3s" >/run/arcbox/k3s.pid
	start_daemon
	until_true k8s_is '[true,true,"ready"]'
	[ "$(starts k3s)" -eq 1 ]
	run rpc k8s stop --json
	[ "$(jq -c .stopped <<<"$output")" = true ]
	grep -q 'term k3s' "$T/events"
	wait "$k3s"
	kill "$containerd"
	[ ! -e /run/arcbox/k3s.pid ]
	k8s_is '[false,false,"not_ready"]'
}

@test "a kubeconfig that is no text is no kubeconfig" {
	programs
	start_daemon
	mkdir -p /var/lib/rancher/k3s
	printf 'clusters: \303\244\n' >/var/lib/rancher/k3s/k3s.yaml
	[ "$(rpc k8s kubeconfig)" = 'clusters: ä' ]
	# A NUL; Latin-1; a character that is cut.
	for text in 'clusters:\0\n' 'clusters: \344\n' 'clusters: \303'; do
		# shellcheck disable=SC2059 # it is a format
		printf "$text" >/var/lib/rancher/k3s/k3s.yaml
		fails 1 "error 404: /var/lib/rancher/k3s/k3s.yaml: Invalid or incomplete multibyte or wide character" rpc k8s kubeconfig
	done
}

@test "a pid file that names somebody else: not running, and nobody is killed" {
	programs
	sleep 1000 3>&- &
	other=$!
	mkdir -p /run/arcbox /run/guestbox/daemons
	echo "$other" >/run/arcbox/k3s.pid
	echo "$other 1 $(cat /proc/sys/kernel/random/boot_id)" >/run/guestbox/daemons/k3s.pid
	touch "$T/containerd.hold" # the record wants k3s: it does not get that far
	start_daemon
	k8s_is '[false,false,"not_ready"]'
	run rpc k8s stop --json
	[ "$(jq .stopped <<<"$output")" = true ]
	kill -0 "$other"
	kill "$other"
}

@test "a pid file that names a k3s that has ended, which nobody has waited for: not running, and none is started" {
	programs
	mkdir -p /run/arcbox /var/lib/rancher/k3s
	# Its parent is a program that waits for nobody.
	nsenter --net="$T/net" sh -c '"$0" server & echo $! >/run/arcbox/k3s.pid; exec sleep 1000' "$T/bin/k3s" >/dev/null 2>&1 3>&- &
	parent=$!
	until_true grep -qx sleep "/proc/$parent/comm"
	until_true grep -q 'serve k3s' "$T/events"
	k3s=$(cat /run/arcbox/k3s.pid)
	kill -9 "$k3s"
	until_true grep -q '^State:	Z' "/proc/$k3s/status"
	start_daemon
	k8s_is '[false,false,"not_ready"]'
	k8s_detail_has "k3s does not run"
	not grep 'runtime: k3s' "$T/log"
	[ ! -e /run/guestbox/daemons/k3s.pid ]
	[ "$(starts k3s)" -eq 1 ]
	grep -q '^State:	Z' "/proc/$k3s/status"
	kill "$parent"
}

@test "delete: mounts first, the name space emptied, the folders too, and nobody else's data" {
	programs
	start_daemon
	rpc k8s start --wait >/dev/null
	printf 't1\n' >"$T/ctr/tasks"
	printf 'c1\nc2\n' >"$T/ctr/containers"
	printf 'img:1\nimg:2\n' >"$T/ctr/images"
	printf 'base  Committed\nmid  base\nleaf  mid\n' >"$T/ctr/snapshots"
	printf 'l1\n' >"$T/ctr/leases"
	for i in $(seq 1 60); do echo "sha256:$i"; done >"$T/ctr/content"
	# A volume of a pod, and a bind mount of a folder that is not Kubernetes' own.
	mkdir "$T/precious"
	echo data >"$T/precious/file"
	in_guest sh -c "mkdir -p /var/lib/kubelet/pods/a/vol /var/lib/kubelet/pods/a/bind /var/lib/cni/networks/n &&
		mount -t tmpfs pod /var/lib/kubelet/pods/a/vol && echo x >/var/lib/kubelet/pods/a/vol/f &&
		mount --bind $T/precious /var/lib/kubelet/pods/a/bind && echo 1 >/var/lib/cni/networks/n/10.0.0.1"
	mkdir -p /var/lib/docker
	echo docker >/var/lib/docker/kept
	run rpc k8s delete --json
	echo "$output"; cat "$T/log"
	[ "$status" -eq 0 ]
	[ "$(jq -r .detail <<<"$output")" = "Kubernetes and what it stored are gone" ]
	for kind in tasks containers images snapshots leases content; do [ ! -s "$T/ctr/$kind" ]; done
	[[ $(events) == *"ctr --address /run/containerd/containerd.sock --namespace k8s.io namespaces remove k8s.io,"* ]]
	for d in /var/lib/rancher/k3s /var/lib/kubelet /var/lib/cni; do silent ls -A "$d"; done
	[ "$(cat "$T/precious/file")" = data ]
	[ "$(cat /var/lib/docker/kept)" = docker ]
	k8s_is '[false,false,"not_ready"]'
	# All is there for a new beginning.
	rpc k8s start --wait
	k8s_is '[true,true,"ready"]'
}

@test "delete goes on past errors, and tells them" {
	programs
	start_daemon
	rpc k8s start --wait >/dev/null
	# A snapshot of a circle cannot go; a file system that is mounted over cannot be entered.
	printf 'a  b\nb  a\n' >"$T/ctr/snapshots"
	printf 'img:1\n' >"$T/ctr/images"
	mkdir -p /var/lib/kubelet/x /var/lib/cni/y
	in_guest mount -t tmpfs -o ro over /var/lib/rancher/k3s
	run rpc k8s delete --json
	echo "$output"
	detail=$(jq -r .detail <<<"$output")
	[[ $detail == *"snapshots are left"* ]]
	[[ $detail == *"namespace \"k8s.io\" must be empty"* ]]
	[ ! -s "$T/ctr/images" ]
	silent ls -A /var/lib/kubelet
	silent ls -A /var/lib/cni
}

@test "delete: whatever containerd refuses is told by its last word, and all the rest is done" {
	programs
	start_daemon
	for fail in "images ls" "containers rm" "snapshots ls" "snapshots rm"; do
		printf 'c1\n' | tee "$T/ctr/containers" "$T/ctr/images" "$T/ctr/leases" >/dev/null
		printf 'base  Committed\n' >"$T/ctr/snapshots"
		mkdir -p /var/lib/kubelet/x
		echo "$fail" >"$T/k3s.ctrfail"
		run rpc k8s delete --json
		echo "$output"
		detail=$(jq -r .detail <<<"$output")
		[[ $detail == *"k3s ctr ${fail% *}: ctr: ${fail% *} cannot be had"* ]]
		[[ $detail == *"namespace \"k8s.io\" must be empty"* ]]
		[[ $detail != *"first line"* ]]
		for kind in containers images leases snapshots; do
			if [ "$kind" = "${fail% *}" ]; then [ -s "$T/ctr/$kind" ]; else [ ! -s "$T/ctr/$kind" ]; fi
		done
		silent ls -A /var/lib/kubelet
	done
	# Without k3s nobody can ask containerd.
	rm "$T/k3s.ctrfail" "$T/bin/k3s"
	mkdir -p /var/lib/kubelet/x
	run rpc k8s delete --json
	[[ $(jq -r .detail <<<"$output") == "$T/bin/k3s: No such file or directory: containerd's name space k8s.io is left" ]]
	silent ls -A /var/lib/kubelet
}

@test "delete with nothing running: containerd is brought up for it" {
	programs
	printf 'img:1\n' >"$T/ctr/images"
	mkdir -p /var/lib/rancher/k3s/server
	start_daemon
	run rpc k8s delete --json
	echo "$output"; cat "$T/log"
	[ "$(jq -r .detail <<<"$output")" = "Kubernetes and what it stored are gone" ]
	[ "$(starts containerd)" -eq 1 ]
	[ "$(starts k3s)" -eq 0 ]
	[ ! -s "$T/ctr/images" ]
	[ ! -e /var/lib/rancher/k3s/server ]
	# Without it the rest is done, and that is said at once.
	kill -9 "$(pid_of containerd)"
	until_true gone "$(pid_of containerd)"
	echo 1 >"$T/containerd.exit"
	mkdir -p /var/lib/rancher/k3s/server
	run rpc k8s delete --json
	[[ $(jq -r .detail <<<"$output") == *"containerd is not to be had: its name space k8s.io is left"* ]]
	[ ! -e /var/lib/rancher/k3s/server ]
}

@test "nothing is started while the guest is on its way down" {
	programs
	start_daemon
	exec 8>/run/guestbox/power.lock
	flock -x 8
	run rpc k8s start --json
	[[ $(jq -r .detail <<<"$output") == *"on its way down: nothing is started" ]]
	[ ! -e "$T/events" ]
	exec 8>&-
}
