#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Each applet builds alone, and without each other.
load ../lib.bash

linked() { "${MAKE:-make}" -s -C "$abs_top_builddir" "$1"; }

@test "the program links with each applet alone, and lists just that one" {
	for applet in $(gb --list); do
		linked "guestbox-only-$applet"
		[ "$("$abs_top_builddir/guestbox-only-$applet" --list)" = "$applet" ]
		rm "$abs_top_builddir/guestbox-only-$applet"
	done
}

@test "the program links without each applet, and lists all others" {
	[ "$(gb --list | wc -l)" -gt 1 ] || skip "there is only one applet"
	for applet in $(gb --list); do
		linked "guestbox-without-$applet"
		[ "$("$abs_top_builddir/guestbox-without-$applet" --list)" = "$(gb --list | grep -vx "$applet")" ]
		rm "$abs_top_builddir/guestbox-without-$applet"
	done
}
