#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Other people's tests over the mount: libfuse's own of every system call, stress-ng's file system stressors with their
# checks, fio with checksums. tests/torture/initfs has them for longer.
load ../lib.bash
load disk.bash
load initfs.bash

setup() { fs_setup; }
teardown() { fs_teardown; }

@test "libfuse's test_syscalls, beside its view of the source, in each mode" {
	fuse=$("$abs_top_srcdir/tools/debsource" fuse3 "$abs_top_srcdir/build/debsource") ||
		skip "Debian's sources cannot be reached"
	mkdir "$DISK/include"
	: >"$DISK/include/fuse_config.h"
	cc -w -O1 -I"$DISK/include" -o "$DISK/syscalls" "$fuse/test/test_syscalls.c"
	mkdir "$src/t"
	for way in '' --passthrough=off '--cache=never --passthrough=off' --writeback --no-handles; do
		echo "way: $way"
		rm -rf "${src:?}/t/"*
		# shellcheck disable=SC2086 # words
		serve $way
		run timeout 120 "$DISK/syscalls" "$mnt/t" ":$src/t"
		echo "$output" | grep -v 'OK$' || true
		[ "$status" -eq 0 ]
		[ "$(grep -c 'OK$' <<<"$output")" -ge 50 ]
		unserve
	done
}

@test "stress-ng's stressors of files and names find nothing, twenty at once" {
	stressors=()
	for name in access chmod chown copy-file dentry dir fallocate filename flock fpunch fstat getdent hdd link mknod open \
		rename seek symlink touch utime; do
		stressors+=("--$name" 1)
	done
	serve
	mkdir "$mnt/t"
	run timeout 200 stress-ng --verify --timeout 4s --temp-path "$mnt/t" "${stressors[@]}"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output != *fail:* ]]
	unharmed
	silent ls -A "$src/t"
	unserve
}

@test "fio: what was written at random places is what is read, by checksum, from two processes" {
	for way in '' --passthrough=off '--passthrough=off --no-splice' --writeback; do
		# shellcheck disable=SC2086 # words
		serve $way
		mkdir -p "$mnt/t"
		(cd "$DISK" && timeout 200 fio --name=v --rw=randrw --bsrange=4k-128k --size=8M --verify=crc32c --verify_fatal=1 \
			--numjobs=2 --directory="$mnt/t" >"$DISK/fio" 2>&1) || { cat "$DISK/fio"; false; }
		cmp "$src/t/v.0.0" "$mnt/t/v.0.0"
		rm -r "$mnt/t"
		unserve
	done
}
