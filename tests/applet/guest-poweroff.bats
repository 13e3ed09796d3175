#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-poweroff: what it would do, and what it refuses. Nothing here ends anything: --dry-run or an error, always.
load ../lib.bash

setup() {
	need_applet guest-poweroff
}

@test "--dry-run names the steps in their order, and when each is over" {
	run gb guest-poweroff --dry-run
	echo "$output"
	[ "$status" -eq 0 ]
	steps=$(awk '$2 == "s" { print $3 }' <<<"$output" | grep -xE 'terminate|kill|sync|go' | tr '\n' ' ')
	[ "$steps" = "terminate kill sync go " ]
	grep -q '20.0 s  terminate' <<<"$output"
	grep -q '25.0 s  go off' <<<"$output"
	# times never run backwards
	awk '$2 == "s" { if ($1 < last) exit 1; last = $1 }' <<<"$output"
}

@test "the aliases mean what they say" {
	for pair in poweroff:off reboot:reboot halt:halt; do
		run gb "${pair%:*}" --dry-run
		[ "$status" -eq 0 ]
		[[ $output == *" s  go ${pair#*:}"* ]]
	done
	for pair in -r:reboot -h:halt -k:kexec; do
		run gb guest-poweroff "${pair%:*}" --dry-run
		[[ $output == *" s  go ${pair#*:}"* ]]
	done
}

@test "the deadline stays below the host's 30 seconds, whatever is asked for" {
	run gb guest-poweroff --dry-run --grace 4000
	[[ $output == *"28.0 s  go off"* ]]
	run gb guest-poweroff --dry-run --grace 0
	[[ $output == *" 0.0 s  terminate"* ]]
	[[ $output == *" 2.0 s  go off"* ]]
	run gb guest-poweroff --dry-run --grace 10
	[[ $output == *"10.0 s  go off"* ]]
}

@test "-n leaves sync out, -ff leaves everything else out" {
	run gb guest-poweroff --dry-run -n
	[[ $output != *sync* ]]
	run gb guest-poweroff --dry-run -f -f
	echo "$output"
	[ "$(wc -l <<<"$output")" -eq 2 ]
	[[ $output == *"sync"*"go off" ]]
}

@test "--dry-run --json is one JSON value with the same steps" {
	run gb guest-poweroff --dry-run --json -r --grace 5
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == '{"action":"reboot","deadline_ms":5000,"steps":['* ]]
	[[ $output == *'{"step":"go","object":"reboot","until_ms":5000,"done":false,"usec":0}'* ]]
	[[ $output == *'"result":"planned"'* ]]
	[ "$(wc -l <<<"$output")" -eq 1 ]
}

@test "bad command lines are one line and change nothing" {
	fails 2 "only one of -r, -h, -k" gb guest-poweroff -r -h
	fails 2 "--no-such" gb guest-poweroff --no-such
	fails 2 "surplus" gb guest-poweroff now --dry-run
	fails 2 "grace" gb guest-poweroff --grace soon --dry-run
	fails 2 "grace" gb poweroff --grace -1 --dry-run
	fails 2 "delay" gb reboot -d never --dry-run
	fails 2 "--below" gb guest-poweroff --below /proc -r
	fails 2 "--below" gb guest-poweroff --below /proc -f
	fails 1 "/nowhere" gb guest-poweroff --below /nowhere
	fails 3 "--below /" gb guest-poweroff --below /
	fails 3 "--below /" gb guest-poweroff --below /proc/..
	run faulty "/proc/self/mountinfo openat:error=EMFILE" guest-poweroff --dry-run # strace says whose file that is
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "guest-poweroff: /proc/self/mountinfo: Too many open files" ]
}

@test "without the right to it, it is refused before anything is ended" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to drop capabilities"
	# Were the check not there, this would still be only a PID namespace.
	for how in "" -f; do
		fails 1 "Operation not permitted" unshare --pid --fork --mount-proc \
			setpriv --bounding-set -sys_boot --inh-caps -sys_boot "$GUESTBOX" guest-poweroff $how
	done
	fails 3 "no kernel is loaded" unshare --pid --fork --mount-proc "$GUESTBOX" guest-poweroff -k -f
}
