#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What arcmount.bats says of mounts, where newer system calls are missing: each alone (as it is with a kernel of that age, or
# a sandbox that knows half of them), and all together, as on Linux 5.1.
load ../lib.bash

setup() {
	need_applet arcmount
	without=$abs_top_builddir/tests/tools/without
	[ -x "$without" ]
	"$without" mount true || skip "this kernel has no seccomp filters"
}

# Not those of umount, pivot-root and the like, which make none of these calls.
of_mounts='^(mount:|relative|mkdir|bind|remount|move|propagation|overlay|loop|a failed|a write-protected|a table|DAX|shares)'

run_without() {
	printf '#!/bin/sh\nexec "%s" "%s" "%s" "$@"\n' "$without" "$1" "$GUESTBOX" >"$BATS_TEST_TMPDIR/guestbox"
	chmod +x "$BATS_TEST_TMPDIR/guestbox"
	run env GUESTBOX="$BATS_TEST_TMPDIR/guestbox" GB_WITHOUT="$1" "${BATS:-bats}" --tap --filter "$of_mounts" \
		"$abs_top_srcdir/tests/priv/arcmount.bats"
	tap_failures <<<"$output"
	[ "$status" -eq 0 ]
	[ "$(grep -c '^ok' <<<"$output")" -ge 15 ]
}

@test "the filter works: mount(2) is refused" {
	run "$without" mount,fsopen "$GUESTBOX" arcmount mount -t tmpfs none "$BATS_TEST_TMPDIR"
	[ "$status" -eq 1 ]
	[[ $output == *"Function not implemented"* ]]
}

@test "without fsopen" { run_without fsopen; }
@test "without fsconfig" { run_without fsconfig; }
@test "without fsmount" { run_without fsmount; }
@test "without fspick" { run_without fspick; }
@test "without move_mount" { run_without move_mount; }
@test "without open_tree" { run_without open_tree; }
@test "without mount_setattr" { run_without mount_setattr; }
@test "without any of them, and without statx" {
	run_without fsopen,fsconfig,fsmount,fspick,move_mount,open_tree,mount_setattr,statx
}
