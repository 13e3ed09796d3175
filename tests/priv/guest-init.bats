#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-init as PID 1 of a PID namespace, where reboot(2) ends that namespace only.
load ../lib.bash

setup() {
	need_applet guest-init
	need_applet guest-poweroff
	T=$BATS_TEST_TMPDIR
	mkdir -p /run/guestbox
	mount -t tmpfs tmpfs /run/guestbox
}

teardown() {
	umount -l /run/guestbox
}

# machine [OPTION...] -- COMMAND...: guest-init as PID 1. The command never runs outside of a namespace. LeakSanitizer stops who
# has asked for the end, by ptrace(2), and the SIGCONT for all of them takes its SIGSTOP away: it would wait to the deadline.
machine() {
	G=$GUESTBOX T=$T ASAN_OPTIONS=detect_leaks=0 unshare --pid --fork --mount-proc --kill-child "$GUESTBOX" guest-init "$@" 3>&-
}

@test "as PID 1 it ends with its command, and nobody outlives it" {
	run machine -- bash -c '[ $PPID -eq 1 ] || exit 98; sleep 1000 & exit 5'
	echo "$output"
	[ "$status" -eq 5 ]
}

@test "SIGUSR2 and SIGUSR1 end the machine, SIGTERM and SIGINT reboot it" {
	for pair in USR2:off:130 USR1:halt:130 TERM:reboot:129 INT:reboot:129; do
		IFS=: read -r signal action want <<<"$pair"
		run machine -- bash -c 'trap "echo ended in order >$T/log; exit" TERM; sleep 1000 &
			kill -'"$signal"' 1; while :; do sleep 0.05; done'
		echo "$signal: $status $output"
		# reboot(2): the namespace's init is given SIGINT or SIGHUP by the kernel, which unshare tells on.
		[ "$status" -eq "$want" ]
		[[ $output == *"guest-poweroff: $action after"* ]]
		[ "$(cat "$T/log")" = "ended in order" ]
		rm "$T/log"
	done
}

@test "guest-poweroff asks it, with the grace that was asked for" {
	run machine -- bash -c 'trap "" TERM; $G guest-poweroff --grace 2 --json >$T/out; while :; do sleep 0.05; done'
	cat "$T/out"
	echo "$output"
	[ "$status" -eq 130 ]
	grep -q '"deadline_ms":2000,"result":"begun"' "$T/out"
	# SIGKILL after half a second of the two, not after twenty.
	[[ $output =~ "terminate: not ended, "([0-9]+)"."[0-9]+" ms, waited for "[0-9]+" (bash)" ]]
	[ "${BASH_REMATCH[1]}" -lt 18000 ]
}

@test "the first of two requests counts" {
	run machine -- bash -c 'trap "" TERM; $G guest-poweroff --grace 20; kill -TERM 1; $G reboot; exit 0'
	echo "$output"
	[ "$status" -eq 130 ]
	[[ $output == *"reboot: power-off: already under way"* ]]
	[[ $output == *"guest-poweroff: off after"* ]]
}

@test "ten thousand orphans are reaped" {
	cat >"$T/orphans.py" <<-'END'
		import os, time
		if os.fork() == 0:          # the parent of them all, which leaves them to PID 1
		    for _ in range(10000):
		        while True:
		            try:
		                pid = os.fork()
		                break
		            except BlockingIOError:
		                time.sleep(0.01)
		        if pid == 0:
		            os._exit(0)
		    os._exit(0)
		os.wait()
		for _ in range(600):
		    left = 0
		    for name in os.listdir("/proc"):
		        if name.isdigit():
		            try:
		                left += open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
		            except OSError:
		                pass
		    if left == 0:
		        print("none left")
		        break
		    time.sleep(0.1)
	END
	command -v python3 >/dev/null || skip "no python3"
	run machine -- python3 "$T/orphans.py"
	echo "$output"
	[ "$output" = "none left" ]
}

@test "a command that is killed is started again; PID 1 outlives the limit only in a machine" {
	run machine --respawn=1/60 -- bash -c 'echo $$ >>$T/runs; kill -9 $$'
	echo "$output"
	[ "$status" -eq 137 ]
	[ "$(wc -l <"$T/runs")" -eq 2 ]
	[[ $output == *"ended by signal 9 (Killed), starting it again"* ]]
	[[ $output == *"not started again"* ]]
}

@test "nothing is started again once the end has begun" {
	run machine --respawn=9/60 -- bash -c 'echo run >>$T/runs; kill -USR2 1; sleep 1000'
	echo "$output"
	[ "$status" -eq 130 ]
	[ "$(wc -l <"$T/runs")" -eq 1 ]
}

@test "a full /run holds up neither the command nor the end" {
	mount -t tmpfs -o size=4k,nr_inodes=1 tmpfs /run/guestbox
	run machine --respawn=1/60 -- bash -c 'echo run >>$T/runs; [ $(wc -l <$T/runs) -lt 2 ] && exit 1; kill -USR2 1; sleep 1000'
	umount /run/guestbox
	echo "$output"
	[ "$status" -eq 130 ]
	[ "$(wc -l <"$T/runs")" -eq 2 ]
}

@test "without CAP_SYS_BOOT, as in a plain container, it ends all and then itself" {
	run unshare --pid --fork --mount-proc --kill-child setpriv --bounding-set -sys_boot --inh-caps -sys_boot \
		"$GUESTBOX" guest-init -- bash -c \
			'trap "echo bye >$0/log; exit 9" TERM; sleep 1000 & kill -TERM 1; while :; do sleep 0.05; done' "$T"
	echo "$status $output"
	[ "$status" -eq 9 ]
	[ "$(cat "$T/log")" = bye ]
}

# A folder for a cgroup with the pids controller, of either version.
pids_cgroup() {
	local root
	for root in /sys/fs/cgroup/pids /sys/fs/cgroup; do
		[ ! -e "$root/cgroup.controllers" ] || echo +pids >"$root/cgroup.subtree_control" 2>/dev/null || true
		mkdir "$root/gb-test-$$" 2>/dev/null || continue
		[ ! -e "$root/gb-test-$$/pids.max" ] || { echo "$root/gb-test-$$"; return; }
		rmdir "$root/gb-test-$$"
	done
	return 1
}

@test "fork fails: PID 1 goes on, tries again, and still ends in order" {
	cgroup=$(pids_cgroup) || skip "no cgroup with the pids controller"
	# The command takes away the numbers that a second run would need; they come back when PID 1 has complained.
	cat >"$T/command" <<-END
		echo run >>$T/runs
		[ \$(wc -l <$T/runs) -lt 2 ] || { kill -USR2 1; exec sleep 1000; }
		echo 1 >$cgroup/pids.max
		exit 1
	END
	(until grep -qs "fork: Resource temporarily unavailable" "$T/log"; do sleep 0.1; done; echo max >"$cgroup/pids.max") 3>&- &
	freer=$!
	run bash -c 'echo $$ >$0/cgroup.procs; exec unshare --pid --fork --mount-proc --kill-child "$1" guest-init --respawn=9/60 \
		-- bash "$2/command" >"$2/log" 2>&1' "$cgroup" "$GUESTBOX" "$T" 3>&-
	kill $freer 2>/dev/null || true
	cat "$T/log"
	until_true rmdir "$cgroup" # who was in it has ended, and leaves it a moment later
	[ "$status" -eq 130 ]
	[ "$(wc -l <"$T/runs")" -eq 2 ]
	grep -q "fork: Resource temporarily unavailable; again in a second" "$T/log"
}
