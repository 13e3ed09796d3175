#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Real DAX: ext4 on a virtio-pmem device, whose files' pages are the device's own.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	truncate -s 128M "$BATS_FILE_TMPDIR/pmem"
	mkdir "$BATS_FILE_TMPDIR/content"
	head -c 3000000 /dev/urandom >"$BATS_FILE_TMPDIR/content/file"
	mkfs.ext4 -q -b 4096 -d "$BATS_FILE_TMPDIR/content" "$BATS_FILE_TMPDIR/pmem"
	VM_PMEMS=("$BATS_FILE_TMPDIR/pmem")
	vm_test_start
	guest 'mkdir -p /mnt && arcmount mount -t ext4 -o ro,dax=always /dev/pmem0 /mnt'
}

teardown_file()
{
	vm_test_stop
}

@test "the drivers of a device are loaded because the device is there" {
	run guest 'cat /sys/block/pmem0/queue/dax'
	echo "$output"
	[ "$output" = 1 ]
}

@test "mmapcat reports a DAX mapping, and the bytes are the file's" {
	run guest 'mmapcat --report /mnt/file 2>&1 >/dev/null; mmapcat /mnt/file | sha256sum'
	echo "$output"
	[[ ${lines[0]} == *dax* ]]
	[ "${lines[1]}" = "$(sha256sum <"$BATS_FILE_TMPDIR/content/file")" ]
	run guest 'mmapcat --verify /mnt/file'
	[ "$status" -eq 0 ]
}

@test "mmapcat reports the page cache where there is no DAX" {
	run guest 'cp /mnt/file /tmp/file && mmapcat --report /tmp/file 2>&1 >/dev/null'
	echo "$output"
	[[ $output == *page-cache* ]]
}

@test "dax=require holds where there is DAX" {
	run guest 'arcmount umount /mnt && arcmount mount -t ext4 -o ro,dax=require /dev/pmem0 /mnt && grep " /mnt " /proc/self/mountinfo'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *dax=always* ]]
}
