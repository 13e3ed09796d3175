#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A machine whose root is a folder without an init: initfs, virtiofsd, and guestbox as PID 1 under /init.krun.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	# The static guest binary has no initfs: the host's build does.
	export GB_INITFS=${GB_INITFS:-$abs_top_srcdir/build/check/guestbox}
	[ -x "$GB_INITFS" ] && "$GB_INITFS" --list | grep -qx initfs ||
		export VM_TEST_SKIP="no host build with initfs (GB_INITFS)"
	[ -c /dev/fuse ] || export VM_TEST_SKIP="there is no /dev/fuse"
}

# boots OPTION...: what vm/share says ends in $output.
boots() {
	run "$abs_top_srcdir/vm/share" --timeout "$patience" --initfs "$GB_INITFS" --guestbox "$GUESTBOX" "$@" "$BATS_TEST_TMPDIR/root" 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"step pseudo-file-systems: done"* ]]
	[[ $output == *"step daemon: done"* ]]
	[[ $output == *"guestbox: ready"* ]]
	[[ $output != *degraded* ]]
}

@test "an empty folder" {
	mkdir -m 0755 "$BATS_TEST_TMPDIR/root"
	boots
	silent ls -A "$BATS_TEST_TMPDIR/root"
}

@test "a busybox root without an init, with a data disk" {
	mkdir -p -m 0755 "$BATS_TEST_TMPDIR/root/bin" "$BATS_TEST_TMPDIR/root/etc"
	cp "$(command -v busybox)" "$BATS_TEST_TMPDIR/root/bin/"
	before=$(find "$BATS_TEST_TMPDIR/root" -printf '%P %y %s %T@\n' | sort)
	# The root has no mkfs.btrfs: the disk has its file system already, and gets its subvolumes.
	truncate -s 2G "$BATS_TEST_TMPDIR/disk"
	mkfs.btrfs -q "$BATS_TEST_TMPDIR/disk"
	boots --disk "$BATS_TEST_TMPDIR/disk" --append guestbox.data=/dev/vda
	[[ $output == *"step data-disk: done"* ]]
	[ "$(find "$BATS_TEST_TMPDIR/root" -path "*/root/bin*" -printf '%P %y %s %T@\n' | sort)" = "$(grep ^bin <<<"$before")" ]
}

@test "a folder that nobody may write to" {
	mkdir -m 0555 "$BATS_TEST_TMPDIR/root"
	touch "$BATS_TEST_TMPDIR/root/there"
	boots --readonly
	[ "$(ls -A "$BATS_TEST_TMPDIR/root")" = there ]
}

@test "an empty folder by way of 9p" {
	mkdir -m 0755 "$BATS_TEST_TMPDIR/root"
	boots --9p
	silent ls -A "$BATS_TEST_TMPDIR/root"
}
