#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Each cause of tests/priv/causes.bash: one line, which names it, and nothing changed.
load ../lib.bash
load causes.bash

# Without the part of its file system that each shows: a file that somebody elsewhere removes is another there.
mounts() { awk '{ $4 = ""; print }' /proc/self/mountinfo; }

judge() {
	local name=$1 words=$2 program=$3 before out status=0
	shift 3
	before=$(mounts)
	out=$("$GUESTBOX" "$program" "$@" 2>&1) || status=$?
	echo "$name: status $status: $out"
	case $program in mount | umount) [ "$status" -eq 32 ] ;; *) [ "$status" -eq 1 ] ;; esac || echo "WRONG status: $name"
	[ "$(wc -l <<<"$out")" -eq 1 ] || echo "WRONG lines: $name"
	[[ $out == *"$words"* ]] || echo "WRONG words: $name: no \"$words\""
	[ "$(mounts)" = "$before" ] || echo "WRONG: mounts have changed: $name"
}

@test "each cause is named" {
	need_applet arcmount
	cd "$BATS_TEST_TMPDIR"
	run causes_run judge
	echo "$output"
	[ "$(grep -c ': status ' <<<"$output")" -ge 34 ]
	not grep -q '^WRONG' <<<"$output"
}
