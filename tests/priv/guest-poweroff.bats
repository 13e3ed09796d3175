#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-poweroff, for real: in a PID namespace reboot(2) ends that namespace, and only that.
# --below for the file systems: loop devices, nested, busy.
load ../lib.bash

setup() {
	need_applet guest-poweroff
	T=$BATS_TEST_TMPDIR
	# The latch lives in /run: one of our own.
	mkdir -p /run/guestbox
	mount -t tmpfs tmpfs /run/guestbox
}

teardown() {
	for m in $(awk -v t="$T/" 'index($2, t) == 1 { print $2 }' /proc/mounts | tac); do umount -l "$m"; done
	for l in $(losetup -n -O NAME,BACK-FILE | awk -v t="$T/" 'index($2, t) == 1 { print $1 }'); do losetup -d "$l" || true; done
	umount /run/guestbox
}

# machine SCRIPT: runs it as PID 1 of a namespace; $G is the program. Ends as the namespace did: 130 (SIGINT) for
# power-off and halt, 129 (SIGHUP) for reboot (reboot(2)). A script that finds itself outside does nothing. LeakSanitizer: see
# guest-init.bats.
machine() {
	G=$GUESTBOX T=$T ASAN_OPTIONS=detect_leaks=0 unshare --pid --fork --mount-proc --kill-child bash -c '
		[ $$ -eq 1 ] && [ "$(readlink /proc/self/ns/pid)" != "pid:[4026531836]" ] || exit 98
		'"$1"'
		exit 97' 3>&-
}

@test "power off, halt and reboot end the namespace by reboot(2)" {
	run machine '$G guest-poweroff --force; sleep 60'
	echo "$output"
	[ "$status" -eq 130 ]
	run machine '$G halt -f; sleep 60'
	[ "$status" -eq 130 ]
	run machine '$G reboot -f; sleep 60'
	[ "$status" -eq 129 ]
	run machine '$G poweroff -f -f; sleep 60'
	[ "$status" -eq 130 ]
}

@test "as PID 1, without any other process" {
	run machine 'exec $G guest-poweroff --force'
	echo "$output"
	[[ $output == *"off after"* ]]
	# PID 1 does not get the signal that reboot(2) gives to it: the kernel kills the namespace.
	[ "$status" -ne 97 ]
	[ "$status" -ne 98 ]
}

@test "without --force a PID 1 that knows nothing of it is not waited for" {
	# Who asks is one of those that are ended, and is to have its say before that.
	run machine 'trap "" USR2 TERM; $G guest-poweroff --json >$T/out; for i in {1..600}; do sleep 0.1; done'
	echo "$output"
	[ "$status" -eq 130 ]
	[ "$(cat "$T/out")" = '{"action":"off","deadline_ms":25000,"result":"begun"}' ]
}

@test "processes that end at SIGTERM, stopped ones too, delay nothing" {
	run machine 'sleep 1000 & sleep 1000 & kill -STOP $!; $G guest-poweroff --force --json >$T/out; sleep 60'
	cat "$T/out"
	[ "$status" -eq 130 ]
	grep -q '"step":"terminate","object":"","done":true' "$T/out"
	not grep -q '"step":"kill"' "$T/out" # there is nobody left for it
	grep -q '"result":"clean"' "$T/out"
}

# killed: its last step was to kill, and that was done: two seconds leave 375 ms for it, which a busy machine may need.
killed() { grep -q '"step":"kill","object":"","done":true' "$T/out"; }

@test "who ignores SIGTERM is named by pid and command, and killed" {
	end() {
		rm -f "$T/pid"
		run machine 'bash -c "trap \"\" TERM; echo \$BASHPID >$T/pid; while :; do sleep 1; done" &
		until [ -s $T/pid ]; do sleep 0.02; done
			$G guest-poweroff --force --grace 2 --json >$T/out; sleep 60'
		killed
	}
	until_true end
	cat "$T/out"
	[ "$status" -eq 130 ]
	[[ $output == *"terminate: not ended"*"waited for $(cat "$T/pid") (bash)"* ]]
	grep -q "\"step\":\"terminate\".*\"error\":\"not ended\",\"delayed_by\":\[{\"pid\":$(cat "$T/pid"),\"command\":\"bash\"" "$T/out"
}

@test "who forks while he dies leaves nobody behind" {
	cat >"$T/hydra" <<-'END'
		trap 'bash "$0" "$1" & exit' TERM
		: >"$T/$1"
		while :; do sleep 0.02; done
	END
	# Whether SIGTERM comes before a child's trap is a race: who wins it is ended by SIGKILL.
	end() {
		rm -f "$T"/up*
		run machine 'bash $T/hydra up1 & bash $T/hydra up2 & until [ -e $T/up1 ] && [ -e $T/up2 ]; do sleep 0.02; done
			$G guest-poweroff --force --grace 2 --json >$T/out; sleep 60'
		grep -q '"step":"terminate","object":"","done":true' "$T/out" || killed
	}
	until_true end
	cat "$T/out"
	[ "$status" -eq 130 ]
}

@test "in D state, on a file system whose server is frozen: named as one that cannot be killed, and the end is in time" {
	[ -e /dev/fuse ] || skip "no /dev/fuse"
	mkdir "$T/frozen"
	# The server is outside of the namespace: the power-off does not end it, which would free the other.
	"$abs_top_builddir/tests/tools/frozen" "$T/frozen" >"$T/server" 3>&- &
	server=$!
	until grep -q " $T/frozen fuse" /proc/mounts; do kill -0 $server; sleep 0.02; done
	machine 'cat $T/frozen/file & echo $! >$T/pid; until [ -s $T/server ]; do sleep 0.02; done
		$G guest-poweroff --force --grace 2; sleep 60' >"$T/out" 2>&1 &
	guest=$!
	until grep -q "guest-poweroff: off after" "$T/out"; do kill -0 $guest; sleep 0.05; done
	# reboot(2) has been called; the kernel lets the namespace go when the last of its processes is.
	kill -KILL $server
	status=0
	wait $guest || status=$?
	cat "$T/out"
	[ "$status" -eq 130 ]
	pid=$(cat "$T/pid")
	grep -qE "guest-poweroff: terminate: not ended, [0-9.]+ ms, waited for $pid \(cat\)" "$T/out"
	grep -qE "guest-poweroff: kill: not ended, [0-9.]+ ms, waited for $pid \(cat\), which cannot be killed" "$T/out"
}

@test "services stop first and in order" {
	mkdir "$T/bin"
	for s in dockerd k3s containerd late; do cp "$(command -v sleep)" "$T/bin/$s"; done
	# Each service takes its time to end.
	run machine 'PATH=$T/bin:$PATH
		for s in late containerd k3s dockerd; do
			bash -c "trap \"sleep 0.4; kill \\\$p; exit\" TERM; $s 1000 & p=\$!; echo $s >/proc/self/comm; : >$T/up.$s; wait" &
		done
		until [ $(ls $T/up.* 2>/dev/null | wc -l) -eq 4 ]; do sleep 0.02; done
		$G guest-poweroff --force --grace 20 --json >$T/out; sleep 60'
	cat "$T/out"
	[ "$status" -eq 130 ]
	order=$(grep -oE '"step":"(stop|terminate|kill)","object":"[a-z0-9]*","done":(true|false)' "$T/out" |
		cut -d'"' -f4,8,11 | tr '\n' ' ')
	echo "$order"
	[ "$order" = 'stop"dockerd":true stop"k3s":true stop"containerd":true terminate"":true ' ]
}

@test "a second request joins the first" {
	# The later requests are processes that the first one ends, too: they are to have their say before that.
	run machine 'trap "" TERM; bash -c "while :; do sleep 1; done" &
		setsid $G guest-poweroff --force --grace 8 --json >$T/out 2>/dev/null &
		until grep -q . /run/guestbox/power.lock 2>/dev/null; do sleep 0.02; done
		$G guest-poweroff --force >$T/second 2>&1; echo "status $?" >>$T/second
		$G guest-poweroff --json >$T/third 2>&1; echo "status $?" >>$T/third
		for i in {1..600}; do sleep 0.1; done'
	cat "$T/second" "$T/third" "$T/out"
	[ "$status" -eq 130 ]
	grep -q 'already under way, by PID [0-9]' "$T/second"
	grep -q 'status 0' "$T/second"
	grep -q '"result":"joined"' "$T/third"
	grep -q '"action":"off","deadline_ms":8000' "$T/out"
}

@test "a full /run does not keep a machine on" {
	run machine 'mount -t tmpfs -o size=4k,nr_inodes=2 tmpfs /run/guestbox; : >/run/guestbox/x; ! : >/run/guestbox/y || exit 1
		$G guest-poweroff --force; sleep 60'
	echo "$output"
	[ "$status" -eq 130 ]
}

@test "@-processes, which serve the root, are left alone" {
	# Who is not left alone would be waited for.
	run machine 'bash -c "trap \"\" TERM; exec -a @server sleep 1000" & until grep -q ^@server /proc/$!/cmdline; do sleep 0.02; done
		$G guest-poweroff --force --json >$T/out; sleep 60'
	cat "$T/out"
	[ "$status" -eq 130 ]
	grep -q '"step":"terminate","object":"","done":true,"usec":[0-9]*,"error":null,"delayed_by":\[\]' "$T/out"
}

ext4_on_loop() { # FILE DIR
	truncate -s 8M "$1"
	mkfs.ext4 -q -O ^metadata_csum "$1"
	mkdir -p "$2"
	mount "$(losetup -f --show "$1")" "$2" # no autoclear: it has to be detached
}

@test "--below unmounts nested file systems from the leaves and detaches their loop devices" {
	ext4_on_loop "$T/a.img" "$T/m/a"
	ext4_on_loop "$T/m/a/b.img" "$T/m/b"
	mkdir "$T/m/b/tmp"
	mount -t tmpfs tmpfs "$T/m/b/tmp"
	echo kept >"$T/m/b/file"
	run gb guest-poweroff --below "$T/m" --dry-run
	echo "$output"
	[ "$(grep -c unmount <<<"$output")" -eq 3 ]
	run gb guest-poweroff --below "$T/m" --json
	echo "$output"
	[ "$status" -eq 0 ]
	said=$output clean=2
	no_loops() { [ -z "$(losetup -n -O BACK-FILE | grep -F "$1")" ]; }
	# Whoever looks at all loop devices keeps the inner one for a moment, and with it what its file is on.
	if [[ $output == *'"state":"read-only","clean":true'* ]]; then
		until_true no_loops "$T/m/a/b.img"
		run gb guest-poweroff --below "$T/m" --json
		echo "$output"
		[[ $output == *'"step":"unmount","object":"'"$T/m/a"'","done":true'* ]]
		clean=1
	fi
	[ "$(grep -o '"state":"unmounted","clean":true' <<<"$said" | wc -l)" -eq $clean ]
	not grep -q "$T/m" /proc/mounts
	until_true no_loops "$T/"
	e2fsck -fn "$T/a.img"
	# Once more: nothing to do.
	run gb guest-poweroff --below "$T/m" --json
	[[ $output == *'"steps":[],"filesystems":[],"result":"clean"'* ]]
}

# holds FD: the holder has the file open.
holds() { [ "$(readlink "/proc/$holder/fd/$1")" = "$T/m/a/file" ]; }

@test "--below makes read-only what stays busy, and says so" {
	ext4_on_loop "$T/a.img" "$T/m/a"
	echo kept >"$T/m/a/file"
	sleep 1000 <"$T/m/a/file" 3>&- &
	holder=$!
	until_true holds 0
	run gb guest-poweroff --below "$T/m/a" --json
	kill $holder
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *'"step":"unmount"'*'"error":"Device or resource busy"'* ]]
	[[ $output == *'"state":"read-only","clean":true'* ]]
	grep -q " $T/m/a ext4 ro" /proc/mounts
}

@test "--below: what is open for writing stays writable, and that is an error" {
	ext4_on_loop "$T/a.img" "$T/m/a"
	sleep 1000 >"$T/m/a/file" 3>&- &
	holder=$!
	until_true holds 1
	run gb guest-poweroff --below "$T/m/a" --json
	kill $holder
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *'"state":"in use","clean":false'* ]]
	[[ $output == *'"result":"not clean"'* ]]
	grep -q " $T/m/a ext4 rw" /proc/mounts
}

@test "--below touches nothing beside it" {
	ext4_on_loop "$T/a.img" "$T/m/a"
	ext4_on_loop "$T/b.img" "$T/m/ab"
	run gb guest-poweroff --below "$T/m/a"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"clean, unmounted"* ]]
	grep -q " $T/m/ab ext4 rw" /proc/mounts
	losetup -n -O BACK-FILE | grep -q "$T/b.img"
}

@test "what it would do in a PID namespace leaves the machine's own out" {
	run machine '$G guest-poweroff --dry-run >$T/out; exit 0'
	cat "$T/out"
	[ "$status" -eq 0 ]
	[ "$(awk '$2 == "s" { print $3 }' "$T/out" | paste -sd,)" = terminate,kill,sync,go ]
	tail -n 1 "$T/out" | grep -F "(a PID namespace: swap and file systems are the machine's)"
}

@test "-d waits first" {
	before=${EPOCHREALTIME//[.,]/}
	run machine '$G poweroff -ff -d 0.3; sleep 60'
	[ "$status" -eq 130 ]
	[ $((${EPOCHREALTIME//[.,]/} - before)) -ge 300000 ]
}

@test "an end that cannot be had is said, and the exit status tells" {
	export ASAN_OPTIONS=detect_leaks=0 # ptrace(2)
	# Nobody is ended for an end that cannot be begun.
	run machine 'sleep 1000 & strace -f -qq -o /dev/null -e inject=clone:error=EAGAIN $G guest-poweroff >$T/out 2>&1
		echo "status $?" >>$T/out; kill -0 $! && echo alive >>$T/out; exit 0'
	cat "$T/out"
	[ "$status" -eq 0 ]
	[ "$(cat "$T/out")" = $'guest-poweroff: power-off: fork: Resource temporarily unavailable\nstatus 1\nalive' ]
	run strace -f -qq -o /dev/null -e inject=reboot:error=EINVAL \
		unshare --pid --fork --mount-proc --kill-child "$GUESTBOX" guest-poweroff --force -n
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$(grep -cx "guest-poweroff: reboot: off: Invalid argument" <<<"$output")" -eq 1 ]
}
