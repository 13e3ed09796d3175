#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The static binary and each applet's share of it stay below the bars in tests/size/bars.
load ../lib.bash
: "${abs_top_srcdir:?}" "${abs_top_builddir:?}"

size_make() { "$MAKE" -s -C "$abs_top_builddir" "$@"; }

@test "nothing grew over its bar" {
	run size_make size-bars
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "what is over a bar, or has none, is named with the bytes" {
	grep -v ' nocow ' "$abs_top_srcdir/tests/size/bars" | sed -E 's/ mmapcat [0-9]+$/ mmapcat 100/' >"$BATS_TEST_TMPDIR/bars"
	run size_make size-bars SIZE_BARS="$BATS_TEST_TMPDIR/bars"
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"mmapcat: grew to "*" over its bar in $BATS_TEST_TMPDIR/bars"* ]]
	[[ $output == *"nocow: "*", and no bar in"* ]]
	[[ $output != *"guest-init: "* ]]
}

@test "no block of zeros stands in the file: what is not const and has no value costs nothing" {
	local section image found
	for section in .data .rodata; do
		image=$BATS_TEST_TMPDIR/image$section
		objcopy -O binary -j $section "$abs_top_builddir/guestbox" "$image"
		[ -s "$image" ]
		found=$(grep -obUaP '\x00{4096}' "$image" | tr -d '\0')
		echo "$section: $found"
		[ -z "$found" ]
		head -c 5000 /dev/zero >>"$image"
		grep -qUaP '\x00{4096}' "$image"
	done
}
