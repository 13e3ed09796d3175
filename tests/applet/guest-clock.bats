#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-clock beside a stand-in for the host's clock; this machine's clock is never set (--dry-run, or a system
# call that is not made).
load ../lib.bash

setup() {
	need_applet guest-clock
	clock=$BATS_TEST_TMPDIR/clock
}

@test "a difference is told, a clock that is right is not worth a word" {
	echo $(($(date +%s) + 5000)) >"$clock"
	run gb guest-clock --device "$clock" --dry-run
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output =~ ^"$clock: +"[0-9]+\.[0-9]{3}" s"$ ]]
	# Within a second of the reading, unless this machine is so slow that it says by how much.
	date +%s.%N >"$clock"
	run gb guest-clock --device "$clock" --dry-run
	[ "$status" -eq 0 ]
	[[ -z $output || $output == "$clock: -"* ]]
}

@test "times that cannot be, and clocks that are none" {
	echo 100 >"$clock"
	fails 1 "that would not be between 2020 and 2100" gb guest-clock --device "$clock" --dry-run
	echo soon >"$clock"
	fails 1 "$clock: Invalid argument" gb guest-clock --device "$clock" --dry-run
	fails 1 "$clock.none: No such file" gb guest-clock --device "$clock.none"
	fails 1 "neither a PTP clock nor a real-time clock" gb guest-clock --device /dev/null
	fails 2 "go together" gb guest-clock --watch --dry-run
	fails 2 "--interval goes with --watch" gb guest-clock --interval 3
	fails 2 "--on-jump goes with --watch" gb guest-clock --on-jump true
	fails 2 "interval" gb guest-clock --watch --interval 0 --device "$clock"
	fails 2 "surplus" gb guest-clock now
}

@test "a clock that is set is told, and so is one that cannot be" {
	echo $(($(date +%s) + 5000)) >"$clock"
	run faulty clock_settime:retval=0 guest-clock --device "$clock"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output =~ ^"guest-clock: clock stepped by +"[0-9]+\.[0-9]{3}" s, to $clock"$ ]]
	fails 1 "clock: Operation not permitted" faulty clock_settime:error=EPERM guest-clock --device "$clock"
}
