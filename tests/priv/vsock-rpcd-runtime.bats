#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vsock-rpcd's EnsureRuntime and RuntimeStatus with a containerd and a dockerd made of socat.
load ../lib.bash

setup() {
	need_applet vsock-rpcd
	need_applet vsock-rpc
	T=$(mktemp -d /tmp/gb-rpcd-XXXXXX)
	# What the sequence writes to goes to memory; the mounts are this namespace's own.
	mkdir "$T/ov" "$T/bin"
	mount -t tmpfs tmpfs "$T/ov"
	mkdir "$T"/ov/{eu,ew,vu,vw}
	mount -t overlay overlay -o "lowerdir=/etc,upperdir=$T/ov/eu,workdir=$T/ov/ew" /etc
	mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$T/ov/vu,workdir=$T/ov/vw" /var/lib
	mount -t tmpfs tmpfs /run
	# ... and not this machine's forwarding
	echo 0 >"$T/forward"
	mount --bind "$T/forward" /proc/sys/net/ipv4/ip_forward
	echo guestbox.data=none >"$T/cmdline"
	export GUESTBOX_CMDLINE=$T/cmdline
	daemon=
}

teardown() {
	[ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon" || true; }
	for f in "$T"/pid.*; do [ ! -e "$f" ] || kill "$(cat "$f")" 2>/dev/null || true; done
	umount -l /proc/sys/net/ipv4/ip_forward /run /var/lib /etc "$T/ov"
	rm -rf "$T" /tmp/containerd.log /tmp/dockerd.log /tmp/runtime-start.log
}

start_daemon() {
	"$GUESTBOX" vsock-rpcd --listen "unix:$T/s" --runtime-dir "$T/bin" "$@" 2>"$T/log" 3>&- &
	daemon=$!
	for _ in $(seq 1 100); do [ -S "$T/s" ] && break; sleep 0.05; done
}

rpc() { gb vsock-rpc --connect "unix:$T/s" --timeout 30 "$@"; }

# A runtime that works: containerd only listens, dockerd answers /_ping.
programs() {
	cat >"$T/bin/containerd" <<-EOF
		#!/bin/sh
		echo \$\$ >$T/pid.containerd
		echo "\$@" >$T/containerd.args
		exec socat UNIX-LISTEN:/run/containerd/containerd.sock,fork /dev/null
	EOF
	cat >"$T/bin/dockerd" <<-EOF
		#!/bin/sh
		echo \$\$ >$T/pid.dockerd
		echo "\$@" >$T/dockerd.args
		echo "\$PATH" >$T/dockerd.path
		exec socat UNIX-LISTEN:/var/run/docker.sock,fork EXEC:$T/bin/answer
	EOF
	printf '#!/bin/sh\nread -r request\nprintf "HTTP/1.1 200 OK\\r\\n\\r\\nOK"\n' >"$T/bin/answer"
	printf '#!/bin/sh\n' >"$T/bin/runc"
	cp "$T/bin/runc" "$T/bin/containerd-shim-runc-v2"
	chmod +x "$T"/bin/*
}

@test "nothing there: not ready, and the missing programs are named at once" {
	start_daemon
	run rpc runtime status --json
	echo "$output"
	[ "$(jq -c '[.containerd_ready, .docker_ready, .endpoint]' <<<"$output")" = '[false,false,""]' ]
	[ "$(jq -c '[.services[] | [.name, .status]]' <<<"$output")" = '[["containerd","not_ready"],["dockerd","not_ready"]]' ]
	[[ $(jq -r .detail <<<"$output") == *"$T/bin/dockerd"* ]]
	run rpc runtime ensure --json
	[ "$status" -eq 1 ]
	[ "$(jq -r .status <<<"$output")" = failed ]
	run rpc runtime ensure --start --json
	[ "$(jq -c '[.ready, .endpoint, .status]' <<<"$output")" = '[false,"","starting"]' ]
	# The failure is told by the next answers.
	for _ in $(seq 1 100); do
		run rpc runtime status --json
		[[ $(jq -r .detail <<<"$output") != *"the last start failed: missing: $T/bin/dockerd"* ]] || break
		sleep 0.05
	done
	echo "$output"
	[[ $(jq -r .detail <<<"$output") == *"the last start failed: missing: $T/bin/dockerd"* ]]
}

@test "started, reused, and found out when it is gone" {
	programs
	port=$((20000 + $$ % 40000))
	echo guestbox.data=none arcbox.guest_docker_vsock_port=$port arcbox.guest_docker_vsock_port=1 >"$T/cmdline"
	start_daemon --proxy docker
	run rpc runtime ensure --start --wait --json
	echo "$output"; cat "$T/log"
	[ "$status" -eq 0 ]
	[ "$(jq -c '[.ready, .endpoint, .status]' <<<"$output")" = "[true,\"vsock:$port\",\"reused\"]" ]
	run rpc runtime status --json
	echo "$output"
	[ "$(jq -c '[.containerd_ready, .docker_ready]' <<<"$output")" = '[true,true]' ]
	[ "$(cat "$T/containerd.args")" = "--config /etc/containerd/config.toml --address /run/containerd/containerd.sock --state /run/containerd" ]
	[ "$(cat "$T/dockerd.args")" = "--host=unix:///var/run/docker.sock --containerd=/run/containerd/containerd.sock --exec-root=/var/run/docker --data-root=/var/lib/docker --userland-proxy=false" ]
	[[ $(cat "$T/dockerd.path") == "$T/bin:"*":/usr/sbin:/usr/bin:/sbin:/bin" ]]
	grep -q max_conf_num /etc/containerd/config.toml
	[ "$(cat "$T/forward")" = 1 ]
	# It dies: the next answer knows.
	kill -9 "$(cat "$T/pid.dockerd")"
	for _ in $(seq 1 100); do run rpc runtime ensure --json; [ "$status" -eq 0 ] || break; sleep 0.05; done
	[ "$(jq -c '[.ready, .status]' <<<"$output")" = '[false,"failed"]' ]
	run rpc runtime status --json
	[ "$(jq -r '.services[1].status' <<<"$output")" = error ]
	# ... and it can be started again.
	rm -f /var/run/docker.sock
	run rpc runtime ensure --start --wait --json
	[ "$(jq -c '[.ready, .status]' <<<"$output")" = '[true,"reused"]' ]
}

@test "the Docker port is named only while it is bound" {
	programs
	port=$((20000 + $$ % 40000))
	echo guestbox.data=none arcbox.guest_docker_vsock_port=$port >"$T/cmdline"
	# Somebody else has it, yet.
	"$GUESTBOX" vsock-rpcd --listen "unix:$T/other" --proxy docker 2>"$T/log.other" 3>&- &
	other=$!
	for _ in $(seq 1 200); do grep -q "listening on vsock:$port" "$T/log.other" && break; sleep 0.05; done
	start_daemon --proxy docker
	run rpc runtime ensure --start
	for _ in $(seq 1 200); do run rpc runtime status --json; [ "$(jq .docker_ready <<<"$output")" = false ] || break; sleep 0.05; done
	[ "$(jq -c '[.docker_ready, .endpoint]' <<<"$output")" = '[true,""]' ]
	run rpc runtime ensure --start --json
	echo "$output"
	[ "$(jq -c '[.ready, .endpoint]' <<<"$output")" = '[false,""]' ]
	[[ $output == *"not bound yet"* ]]
	kill "$other" && wait "$other"
	run rpc runtime ensure --start --wait --json
	echo "$output"
	[ "$(jq -c '[.ready, .endpoint, .status]' <<<"$output")" = "[true,\"vsock:$port\",\"reused\"]" ]
	[ "$(rpc runtime status --json | jq -r .endpoint)" = "vsock:$port" ]
}

@test "a daemon that ends at once: failed at once, with its status; a config of one's own is kept" {
	programs
	printf '#!/bin/sh\nexit 7\n' >"$T/bin/containerd"
	mkdir -p /etc/containerd
	echo '# mine' >/etc/containerd/config.toml
	start_daemon
	run rpc runtime ensure --start --json
	[ "$(jq -r .status <<<"$output")" = starting ]
	for _ in $(seq 1 200); do
		run rpc runtime status --json
		[[ $(jq -r .detail <<<"$output") != *"containerd ended with status 7"* ]] || break
		sleep 0.05
	done
	echo "$output"
	[[ $(jq -r .detail <<<"$output") == *"containerd ended with status 7 (containerd.log)"* ]]
	[ "$(cat /etc/containerd/config.toml)" = "# mine" ]
	rpc ping
}

@test "while a start is under way pings are answered" {
	programs
	printf '#!/bin/sh\necho $$ >>%s/started\necho $$ >%s/pid.containerd\nexec sleep 1000\n' "$T" "$T" >"$T/bin/containerd"
	start_daemon
	run rpc runtime ensure --start --json
	for _ in $(seq 1 20); do rpc --timeout 5 ping; done
	run rpc runtime ensure --start --json
	[ "$(jq -r .message <<<"$output")" = "runtime start in progress" ]
	for _ in $(seq 1 100); do [ -s "$T/started" ] && break; sleep 0.05; done
	[ "$(wc -l <"$T/started")" = 1 ]
}
