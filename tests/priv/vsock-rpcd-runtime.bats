#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vsock-rpcd's EnsureRuntime and RuntimeStatus, and how it keeps the daemons running, with stand-ins of them.
load ../lib.bash
load runtime.bash

# shellcheck disable=SC2154 # T is setup's
whole_bursts() { [ "$(cat "$T"/tmp/dockerd.log* | grep -c 'line 1000 of 1000')" -eq "$1" ]; }
last_line_is() { [ "$(tail -1 "$T/tmp/dockerd.log")" = "$1" ]; }

@test "nothing there: not ready, and the missing programs are all named at once" {
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
	# The failure is told by the next answers. Nothing was touched for it.
	until_true detail_has "the last start failed: missing: $T/bin/dockerd, $T/bin/containerd, $T/bin/containerd-shim-runc-v2, $T/bin/runc"
	[ "$(forwards)" = 0 ]
	run rpc runtime ensure --start --json
	[[ $(jq -r .message <<<"$output") == "runtime start in progress; before that: "*"missing: $T/bin/dockerd"* ]]
}

@test "started in order, with the arguments of the protocol, in sessions and cgroups of their own" {
	programs
	start_daemon
	run rpc runtime ensure --start --wait --json
	echo "$output"; cat "$T/log"
	[ "$status" -eq 0 ]
	[ "$(jq -c '[.ready, .endpoint, .status]' <<<"$output")" = '[true,"","reused"]' ]
	ready
	[ "$(cat "$T/containerd.args")" = \
		"--config /etc/containerd/config.toml --address /run/containerd/containerd.sock --state /run/containerd" ]
	[ "$(cat "$T/dockerd.args")" = \
		"--host=unix:///var/run/docker.sock --containerd=/run/containerd/containerd.sock --exec-root=/var/run/docker --data-root=/var/lib/docker --userland-proxy=false" ]
	[[ $(cat "$T/dockerd.path") == "$T/bin:"*":/usr/sbin:/usr/bin:/sbin:/bin" ]]
	grep -q max_conf_num /etc/containerd/config.toml
	[ "$(forwards)" = 1 ]
	# dockerd only once containerd serves.
	[ "$(awk '{ print $2, $3 }' "$T/events" | head -4 | tr '\n' ,)" = "start containerd,serve containerd,start dockerd,serve dockerd," ]
	for name in containerd dockerd; do
		pid=$(pid_of "$name")
		[ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ]
		[ -z "$CG" ] || [ "$(cat "$CG/guestbox-$name/cgroup.procs")" = "$pid" ]
	done
	until_true grep -q 'dockerd begins' "$T"/tmp/dockerd.log
}

@test "the Docker port is named only while it is bound" {
	programs
	port=$((20000 + $$ % 40000))
	echo guestbox.data=none arcbox.guest_docker_vsock_port=$port arcbox.guest_docker_vsock_port=1 >"$T/cmdline"
	# Somebody else has it, yet; on a machine without vsock nobody ever does.
	"$GUESTBOX" vsock-rpcd --listen "unix:$T/other" --proxy docker 2>"$T/log.other" 3>&- &
	other=$!
	until_true grep -q "vsock:$port" "$T/log.other"
	start_daemon --proxy docker
	run rpc runtime ensure --start
	[[ $output == *"status:   starting"* ]]
	until_true ready
	[ "$(rpc runtime status --json | jq -r .endpoint)" = "" ]
	run rpc runtime ensure --start --json
	echo "$output"
	[ "$(jq -c '[.ready, .endpoint]' <<<"$output")" = '[false,""]' ]
	[[ $output == *"not bound yet"* ]]
	kill "$other" && wait "$other"
	grep -q "listening on vsock:$port" "$T/log.other" || return 0
	run rpc runtime ensure --start --wait --json
	echo "$output"
	[ "$(jq -c '[.ready, .endpoint, .status]' <<<"$output")" = "[true,\"vsock:$port\",\"reused\"]" ]
	[ "$(rpc runtime status --json | jq -r .endpoint)" = "vsock:$port" ]
}

@test "a daemon that ends at once: failed at once, with its status; a config of one's own is kept" {
	programs
	echo 7 >"$T/containerd.exit"
	mkdir -p /etc/containerd
	echo '# mine' >/etc/containerd/config.toml
	start_daemon
	wanted
	until_true detail_has "the last start failed: containerd ended with status 7 (containerd.log)"
	[ "$(cat /etc/containerd/config.toml)" = "# mine" ]
	# Not tried again by itself, and dockerd not at all; again when somebody asks, and then it works.
	[ "$(starts containerd)" -eq 1 ]
	[ "$(starts dockerd)" -eq 0 ]
	rm "$T/containerd.exit"
	run rpc runtime ensure --start --wait --json
	[ "$(jq -c '[.ready, .status]' <<<"$output")" = '[true,"reused"]' ]
	not detail_has failed
}

@test "a program that cannot be executed: failed at once, with the reason" {
	programs
	rm "$T/bin/dockerd"
	echo garbage >"$T/bin/dockerd"
	chmod +x "$T/bin/dockerd"
	start_daemon
	wanted
	until_true detail_has "the last start failed: $T/bin/dockerd: Exec format error"
}

@test "dockerd dies: readiness drops at once, a restart follows; so with containerd" {
	programs
	start_daemon
	rpc runtime ensure --start --wait >/dev/null
	first=$(pid_of dockerd)
	touch "$T/dockerd.hold"
	kill -9 "$first"
	until_true gone "$first"
	not_ready
	until_true started_times dockerd 2
	not_ready
	detail_has "dockerd was killed by signal 9"
	rm "$T/dockerd.hold"
	until_true ready
	[ "$(pid_of dockerd)" != "$first" ]
	until_true detail_has "dockerd was started again 1 time"
	not detail_has "killed by signal 9"
	grep -q 'runtime: dockerd was killed by signal 9 (dockerd.log); starting it again in' "$T/log"
	# containerd: dockerd lives on and finds it again.
	second=$(pid_of dockerd)
	kill -9 "$(pid_of containerd)"
	until_true started_times containerd 2
	until_true ready
	[ "$(pid_of dockerd)" = "$second" ]
	[ "$(starts dockerd)" -eq 2 ]
}

@test "both die: dockerd comes back only after containerd" {
	programs
	start_daemon
	rpc runtime ensure --start --wait >/dev/null
	touch "$T/containerd.hold"
	kill -9 "$(pid_of containerd)" "$(pid_of dockerd)"
	until_true started_times containerd 2
	# Long enough for dockerd's own pause: it waits.
	for _ in $(seq 1 40); do rpc ping >/dev/null; sleep 0.05; done
	[ "$(starts dockerd)" -eq 1 ]
	rm "$T/containerd.hold"
	until_true ready
	[ "$(awk '{ print $2, $3 }' "$T/events" | tail -4 | tr '\n' ,)" = "start containerd,serve containerd,start dockerd,serve dockerd," ]
}

@test "a daemon that dies again and again is given up, and that is said" {
	programs
	start_daemon --restart 2/60
	rpc runtime ensure --start --wait >/dev/null
	echo 3 >"$T/dockerd.exit"
	kill -9 "$(pid_of dockerd)"
	until_true detail_has "dockerd ended with status 3 (dockerd.log); 2 restarts within 60 s: not started again by itself"
	[ "$(starts dockerd)" -eq 3 ]
	grep -q 'runtime: dockerd: failed: dockerd ended with status 3' "$T/log"
	[ "$(rpc runtime status --json | jq -c '[.containerd_ready, .docker_ready]')" = '[true,false]' ]
	# A request is a new beginning.
	rm "$T/dockerd.exit"
	run rpc runtime ensure --start --wait --json
	[ "$(jq -c '[.ready, .status]' <<<"$output")" = '[true,"reused"]' ]
}

@test "takes connections but does not answer: not ready" {
	programs
	touch "$T/dockerd.mute"
	start_daemon
	wanted
	until_true grep -q 'serve dockerd' "$T/events"
	run rpc runtime status --json
	[ "$(jq -c '[.docker_ready, .services[1].status]' <<<"$output")" = '[false,"not_ready"]' ]
	[[ $output == *"/_ping is not answered"* ]]
	rm "$T/dockerd.mute"
	until_true ready
}

@test "whoever was told that it is ready hears of its end as an end, and it is started again" {
	programs
	touch "$T/dockerd.mute"
	start_daemon
	wanted
	until_true grep -q 'serve dockerd' "$T/events"
	# The daemon's own looks have become rare by now: the request sees it first.
	until_true detail_has "/_ping is not answered"
	for _ in $(seq 1 20); do rpc ping; sleep 0.1; done
	rm "$T/dockerd.mute"
	rpc runtime ensure --start --wait >/dev/null
	kill -9 "$(pid_of dockerd)"
	until_true started_times dockerd 2
	until_true ready
}

@test "while a start is under way pings are answered, and a second host starts nothing twice" {
	programs
	touch "$T/containerd.hold"
	start_daemon
	wanted
	for _ in $(seq 1 20); do rpc ping; done # containerd is held, for as long as it takes
	for _ in 1 2 3 4 5; do (rpc runtime ensure --start --json || true) >>"$T/answers" 3>&- & pids+=" $!"; done
	# shellcheck disable=SC2086
	wait $pids
	[ "$(jq -r .status <"$T/answers" | sort | uniq -c | tr -s ' ')" = " 5 starting" ]
	until_true started_times containerd 1
	rm "$T/containerd.hold"
	until_true ready
	[ "$(starts containerd)" -eq 1 ]
	[ "$(starts dockerd)" -eq 1 ]
}

# watched_for: the daemon waits for containerd's socket, and for the end of containerd.
watched_for() {
	grep -qsE "^inotify wd:[0-9a-f]+ ino:$(printf %x "$(in_guest stat -c %i /run/containerd)") " "/proc/$daemon"/fdinfo/* &&
		grep -qsx "Pid:[[:space:]]*$(pid_of containerd)" "/proc/$daemon"/fdinfo/*
}

@test "a start is watched for: the folder of the socket, and the process" {
	programs
	touch "$T/containerd.hold"
	start_daemon
	wanted
	until_true started_times containerd 1
	until_true watched_for
	rm "$T/containerd.hold"
	until_true ready
}

@test "what containers take for granted is made where it is missing or cannot be written to; what fails is told" {
	programs
	# shellcheck disable=SC2016 # the daemon's shell expands these
	before='mkdir "$T/dev" && mount -t tmpfs dev "$T/dev" && cp -a /dev/null /dev/zero /dev/random /dev/urandom "$T/dev/" &&
		mkdir "$T/dev/shm" && mount --bind "$T/dev" /dev && mount -t tmpfs -o ro,mode=1777 full /tmp &&
		mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys' start_daemon
	rpc runtime ensure --start --wait
	# A folder of that name is no mount, and a mode says nothing about a read-only file system.
	run in_guest findmnt -no FSTYPE,OPTIONS /dev/shm
	echo "$output"
	[[ $output == tmpfs*nosuid*nodev*noexec* ]]
	in_guest test -c /dev/pts/ptmx
	in_guest touch /tmp/file
	[ "$(in_guest stat -c %a /tmp)" = 1777 ]
	grep 'runtime: ip_forward: Read-only file system' "$T/log"
}

@test "a /run that cannot be written to gets one that can, with the records and logs of the daemons in it" {
	programs
	# its socket is in a folder of its own; the rest of /run is read-only
	before='mount --bind /run /run && mount -o remount,bind,ro /run' start_daemon
	rpc runtime ensure --start --wait
	[ "$(in_guest findmnt -no FSTYPE,OPTIONS /run | tail -n1 | grep -c '^tmpfs.*rw')" = 1 ]
	in_guest sh -c '[ "$(stat -c %a /run/guestbox/daemons)" = 700 ]'
	for name in containerd dockerd; do in_guest grep -q "^$(pid_of $name) " "/run/guestbox/daemons/$name.pid"; done
	until_true grep -q 'dockerd begins' "$T"/tmp/dockerd.log
	not grep -q 'runtime: .*guestbox/daemons' "$T/log"
}

@test "what cannot be prepared is told, all of it, and the daemons start; a log or a record that cannot be had, too" {
	programs
	touch "$T/modprobe" "$T/file"
	printf '#!/bin/sh\necho "modprobe: no such module here" >&2\nexit 1\n' >"$T/modprobe"
	chmod +x "$T/modprobe"
	rm -rf /etc/docker
	cp "$T/file" /etc/docker
	mkdir -p /etc/containerd/config.toml.new /run/guestbox/daemons/dockerd.pid.new /run/guestbox/daemons/dockerd.out
	# shellcheck disable=SC2016 # the daemon's shell expands these
	before='mkdir "$T/empty" && mount --bind "$T/empty" /sys/module && [ ! -d /lib/modules ] || mount --bind "$T/empty" /lib/modules
		mount --bind "$T/modprobe" /sbin/modprobe' start_daemon
	rpc runtime ensure --start --wait
	cat "$T/log"
	grep -qF 'runtime: modprobe overlay: modprobe: no such module here; /etc/docker: Not a directory; /etc/containerd/config.toml: Is a directory' \
		"$T/log"
	grep -qF 'runtime: dockerd: what it prints is lost: /run/guestbox/daemons/dockerd.out: Is a directory; /run/guestbox/daemons/dockerd.pid: Is a directory' \
		"$T/log"
	ready
}

@test "a socket that is in hands that cannot be watched: the start fails and says so" {
	programs
	socat -u UNIX-LISTEN:/run/docker.sock,fork OPEN:/dev/null 2>/dev/null 3>&- &
	holder=$!
	# in a name space of pids where nobody has the holder's
	# shellcheck disable=SC2016 # the daemon's shell expands these
	before='set -- unshare --pid --fork --kill-child --mount-proc "$@"' start_daemon
	wanted
	until_true detail_has "the last start failed: dockerd: /var/run/docker.sock is held by another program"
	[ "$(starts dockerd)" -eq 0 ]
	kill "$holder" "$(front_of "$daemon")" # unshare(1) has no ear for SIGTERM, its child has
}

@test "dockerd that needs no containerd of ours: it is watched; its end is a failure that is told, and a request begins anew" {
	programs
	"$T/bin/dockerd" >/dev/null 2>&1 3>&- &
	until_true grep -q 'serve dockerd' "$T/events"
	start_daemon
	run rpc runtime ensure --start --json
	[ "$(jq -c '[.ready, .status]' <<<"$output")" = '[true,"reused"]' ]
	until_true grep -q 'runtime: dockerd runs already' "$T/log"
	kill -9 "$(pid_of dockerd)"
	until_true detail_has "the last start failed: containerd has ended"
	run rpc runtime ensure --start --wait --json
	[ "$(jq -c '[.ready, .status]' <<<"$output")" = '[true,"reused"]' ]
	[ "$(starts containerd)" -eq 1 ]
}

@test "containerd was given up, then dockerd dies: that is a failure, not a start in progress" {
	programs
	start_daemon --restart 1/60
	rpc runtime ensure --start --wait >/dev/null
	echo 3 >"$T/containerd.exit"
	kill -9 "$(pid_of containerd)"
	until_true grep -q 'runtime: containerd: failed: containerd ended with status 3' "$T/log"
	kill -9 "$(pid_of dockerd)"
	until_true detail_has "the last start failed: containerd ended with status 3"
	not detail_has "in progress"
	rm "$T/containerd.exit"
	rpc runtime ensure --start --wait >/dev/null
	ready
}

@test "vsock-rpcd is killed and comes back: it finds the daemons, and keeps them running again" {
	programs
	start_daemon
	rpc runtime ensure --start --wait >/dev/null
	containerd=$(pid_of containerd) dockerd=$(pid_of dockerd)
	stop_daemon KILL
	# What is printed meanwhile is not lost, and nobody is ended by it.
	echo 100 >"$T/dockerd.lines"
	kill -USR1 "$dockerd"
	until_true grep -q 'printed dockerd' "$T/events"
	not gone "$dockerd"
	start_daemon
	ready
	run rpc runtime ensure --start --json
	[ "$(jq -r .status <<<"$output")" = reused ]
	[ "$(pid_of containerd) $(pid_of dockerd)" = "$containerd $dockerd" ]
	[ "$(starts containerd)$(starts dockerd)" = 11 ]
	until_true grep -q 'dockerd line 100 of 100' "$T"/tmp/dockerd.log
	[ "$(grep -c 'dockerd line' "$T"/tmp/dockerd.log)" -eq 100 ]
	# Children of nobody's any more are watched as well.
	kill -9 "$dockerd"
	until_true started_times dockerd 2
	until_true ready
	# One that dies while nobody watches is missed.
	stop_daemon KILL
	kill -9 "$(pid_of dockerd)"
	start_daemon
	until_true started_times dockerd 3
	until_true ready
	[ "$(pid_of containerd)" = "$containerd" ]
}

@test "a record of another process is not believed" {
	programs
	sleep 1000 3>&- &
	other=$!
	mkdir -p /run/guestbox/daemons
	echo "$other 12345 $(cat /proc/sys/kernel/random/boot_id)" >/run/guestbox/daemons/dockerd.pid
	start_daemon
	# It takes dockerd for one that has ended, and starts it.
	until_true ready
	[ "$(starts dockerd)" -eq 1 ]
	kill "$other"
}

@test "daemons that somebody else has started are found by their sockets, and kept running from then on" {
	programs
	mkdir -p /run/containerd
	"$T/bin/containerd" >/dev/null 2>&1 3>&- &
	"$T/bin/dockerd" >/dev/null 2>&1 3>&- &
	until_true grep -q 'serve dockerd' "$T/events"
	until_true grep -q 'serve containerd' "$T/events"
	start_daemon
	ready
	run rpc runtime ensure --start --json
	[ "$(jq -c '[.ready, .status]' <<<"$output")" = '[true,"reused"]' ]
	until_true grep -q 'runtime: dockerd runs already' "$T/log"
	kill -9 "$(pid_of dockerd)"
	until_true started_times dockerd 2
	until_true ready
	[ "$(starts containerd)" -eq 1 ]
	kill -9 "$(pid_of containerd)"
	until_true started_times containerd 2
}

@test "the data disk refuses: the start fails with the reason" {
	programs
	# A partition table is somebody's.
	truncate -s 300M "$T/disk"
	printf 'label: gpt\n,,\n' | sfdisk -q "$T/disk"
	loop=$(losetup -f --show "$T/disk")
	echo "guestbox.data=$loop" >"$T/cmdline"
	start_daemon
	wanted
	until_true detail_has "the last start failed: "
	losetup -d "$loop"
	run rpc runtime status --json
	echo "$output"
	[[ $(jq -r .detail <<<"$output") == *"data disk: btrfs-bootstrap: $loop"*"gpt"* ]]
	[ ! -e "$T/events" ]
}

@test "nothing is started while the guest is on its way down, nor started again" {
	programs
	start_daemon
	rpc runtime ensure --start --wait >/dev/null
	# The latch of a power-off that another process runs (see guest-poweroff).
	exec 8>/run/guestbox/power.lock
	flock -x 8
	kill -9 "$(pid_of dockerd)"
	until_true gone "$(pid_of dockerd)"
	until_true detail_has "on its way down"
	for _ in $(seq 1 40); do rpc ping >/dev/null; sleep 0.05; done
	[ "$(starts dockerd)" -eq 1 ]
	run rpc runtime ensure --start --json
	[[ $(jq -r .message <<<"$output") == *"on its way down: nothing is started" ]]
	[ "$(jq -r .status <<<"$output")" = failed ]
	exec 8>&-
}

@test "logs are bounded while the daemon runs, and no line is lost or torn" {
	programs
	start_daemon --log-size 64K
	rpc runtime ensure --start --wait >/dev/null
	# Some 180 KB in six bursts: within what three generations and the file hold.
	echo 1000 >"$T/dockerd.lines"
	for i in 1 2 3 4 5 6; do
		kill -USR1 "$(pid_of dockerd)"
		until_true printed dockerd "$i"
	done
	until_true whole_bursts 6
	[ "$(cat "$T"/tmp/dockerd.log.3 "$T"/tmp/dockerd.log.2 "$T"/tmp/dockerd.log.1 "$T"/tmp/dockerd.log 2>/dev/null |
		grep -c '^dockerd line [0-9]* of 1000$')" -eq 6000 ]
	for f in "$T"/tmp/dockerd.log*; do [ "$(stat -c %s "$f")" -le 66000 ]; done
	# Ten times as much: still bounded.
	for i in $(seq 7 40); do
		kill -USR1 "$(pid_of dockerd)"
		until_true printed dockerd "$i"
	done
	until_true last_line_is "dockerd line 1000 of 1000"
	[ "$(cd "$T/tmp" && ls dockerd.log*)" = "$(printf '%s\n' dockerd.log dockerd.log.1 dockerd.log.2 dockerd.log.3)" ]
	[ "$(cat "$T"/tmp/dockerd.log* | wc -c)" -le 264000 ]
	ready
}

@test "a full log disk stops nobody, and what is lost is said" {
	programs
	mkdir "$T/small"
	mount -t tmpfs -o size=16k small "$T/small"
	touch "$T/small/log" "$T/tmp/dockerd.log"
	# A log on a disk of its own, which cannot be renamed either.
	mount --bind "$T/small/log" "$T/tmp/dockerd.log"
	start_daemon
	rpc runtime ensure --start --wait >/dev/null
	# More than the FIFO holds: the daemon would hang if nobody took it.
	echo 60000 >"$T/dockerd.lines"
	kill -USR1 "$(pid_of dockerd)"
	until_true printed dockerd 1
	until_true grep -q 'dockerd.log: No space left on device: its lines are lost' "$T/log"
	ready
	in_guest mount -o remount,size=1m "$T/small"
	echo 10 >"$T/dockerd.lines"
	kill -USR1 "$(pid_of dockerd)"
	until_true grep -q 'dockerd.log: takes lines again' "$T/log"
	until_true last_line_is "dockerd line 10 of 10"
	grep -qE '^\[[0-9]+ bytes of this log were lost: No space left on device\]$' "$T/tmp/dockerd.log"
	umount "$T/tmp/dockerd.log" "$T/small"
}

# power_off_after S: a PID namespace with the runtime up; then Shutdown with this grace. reboot(2) ends it and only it.
# shellcheck disable=SC2016 # the inner shells expand these
power_off_after() {
	export G=$T/guestbox T CG GRACE=$1
	run nsenter --net="$T/net" bash -c '
		[ -z "$CG" ] || echo $$ >"$CG/cgroup.procs"
		exec unshare --cgroup --pid --fork --mount-proc --kill-child bash -c "$1"' bash '
		[ $$ -eq 1 ] && [ "$(readlink /proc/self/ns/pid)" != "pid:[4026531836]" ] || exit 98
		trap "" USR2
		mount --rbind $T/tmp /tmp
		[ -z "$CG" ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
		$G vsock-rpcd --listen unix:$T/s --runtime-dir $T/bin 2>$T/log &
		until $G vsock-rpc --connect unix:$T/s ping; do sleep 0.05; done
		$G vsock-rpc --connect unix:$T/s --timeout 120 k8s start --wait
		$G vsock-rpc --connect unix:$T/s --timeout 120 runtime ensure --start --wait
		$G vsock-rpc --connect unix:$T/s shutdown --grace $GRACE
		for i in {1..1800}; do sleep 0.1; done
		exit 97' 3>&-
	cat "$T/log" "$T/events"
	[ "$status" -eq 130 ] # reboot(2), as power-off
}

@test "power-off with the runtime up: dockerd, then k3s, then containerd; nobody is killed, nobody started again" {
	programs
	for name in dockerd k3s containerd; do echo 700 >"$T/$name.term"; done
	power_off_after 20
	[ "$(awk '{ print $2, $3 }' "$T/events" | tail -6 | tr '\n' ,)" = \
		"term dockerd,end dockerd,term k3s,end k3s,term containerd,end containerd," ]
	[ "$(starts dockerd)$(starts k3s)$(starts containerd)" = 111 ]
	not grep -qE 'starting it again|guest-poweroff: kill' "$T/log"
	[[ $(cat "$T/log") == *"guest-poweroff: stop dockerd: "*"guest-poweroff: stop k3s: "*"guest-poweroff: stop containerd: "*"guest-poweroff: off after "* ]]
}

@test "power-off: a dockerd that takes its time gets it; one that does not end does not hold up the others for ever" {
	programs
	# Of 16 s 14 are for the processes, and four fifths of those for dockerd.
	echo 3000 >"$T/dockerd.term"
	power_off_after 16
	grep -q 'end dockerd' "$T/events"
	rm "$T/events"
	echo 100000 >"$T/dockerd.term"
	power_off_after 9
	not grep -q 'end dockerd' "$T/events"
	[ "$(awk '$2 == "term" { print $3 }' "$T/events" | tr '\n' ,)" = "dockerd,k3s,containerd," ]
	[ "$(starts dockerd)" -eq 1 ]
}
