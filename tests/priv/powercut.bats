#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Power cuts and I/O errors: a share of what `make torture` does in full.
load ../lib.bash
load disk.bash

setup() {
	[ -x "$abs_top_builddir/tests/priv/diskfs" ] || skip "built without libfuse3: no disk that records or fails"
	[ -c /dev/fuse ] || skip "no /dev/fuse"
	disk_setup
}

teardown() {
	disk_teardown
}

@test "power cut at 1,000 points and more: always ready, nothing lost that was synced" {
	max=${GB_POWER_CUTS:-270} # of each of four runs, and less where one process takes seconds (tests/analysis/valgrind)
	run "$abs_top_srcdir/tests/torture/powercut" --max "$max"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[-1]} =~ ^power\ cuts:\ ([0-9]+)\ disks\ set\ up,\ 0\ failed$ ]]
	[ "${BASH_REMATCH[1]}" -ge $((max * 1000 / 270)) ]
}

@test "the power cut test sees a loss: a file that was never written, and a format of what was ready" {
	tools=$abs_top_builddir/tests/priv
	mkdir "$DISK/mnt" "$DISK/work"
	"$tools/diskfs" "$DISK/mnt" $((160 << 20)) "$DISK/log"
	mkfs.btrfs -q -f "$DISK/mnt/disk" >/dev/null
	echo "file var/lib/docker/never 1 100" >"$DISK/mnt/mark"
	umount "$DISK/mnt"
	run "$tools/powercut" run "$DISK/log" $((160 << 20)) "$DISK/work" max=3 -- \
		"$GUESTBOX" btrfs-bootstrap '--device={disk}' '--root={root}' --json
	[ "$status" -eq 1 ]
	[[ $output == *"lost: file var/lib/docker/never"* ]]
	"$tools/diskfs" "$DISK/mnt" $((160 << 20)) "$DISK/log"
	echo ready >"$DISK/mnt/mark"
	mkfs.btrfs -q -f "$DISK/mnt/disk" >/dev/null
	umount "$DISK/mnt"
	run "$tools/powercut" run "$DISK/log" $((160 << 20)) "$DISK/work" max=3 -- \
		"$GUESTBOX" btrfs-bootstrap '--device={disk}' '--root={root}' --json
	[ "$status" -eq 1 ]
	[[ $output == *"formatted although it was ready once"* ]]
}

@test "I/O errors on reads, writes and flushes in turn: never a format of data, always the reason" {
	run "$abs_top_srcdir/tests/torture/ioerrors" --step 11
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[-1]} == "I/O errors: "*"no format of data, no data lost" ]]
}
