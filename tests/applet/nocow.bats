#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command line of nocow, and file systems without the flag; what Btrfs does is tests/priv/nocow.bats.
load ../lib.bash

setup() {
	dir=$BATS_TEST_TMPDIR
	: >"$dir/file"
}

@test "bad input: one line, the right status" {
	mkfifo "$dir/fifo"
	fails 2 "missing path" gb nocow
	fails 2 "missing mount" gb nocow --metadata
	fails 2 "unknown option --nope" gb nocow --nope "$dir"
	fails 2 "exclude each other" gb nocow --query --clear "$dir"
	fails 2 "exclude each other" gb nocow --metadata -R "$dir"
	fails 2 "--create goes with" gb nocow --create --query "$dir"
	fails 2 "--null goes with" gb nocow --null "$dir"
	fails 2 "--layout goes with" gb nocow --layout=/dev/null "$dir"
	fails 1 "$dir/none: No such file or directory" gb nocow "$dir/none"
	fails 1 "$dir/none: No such file or directory" gb nocow --convert "$dir/none"
	fails 1 "$dir/fifo: neither a file nor a directory" gb nocow "$dir/fifo"
	fails 1 "$dir/fifo: not a regular file" gb nocow --convert "$dir/fifo"
	fails 1 "/dev/null: neither a file nor a directory" gb nocow --query /dev/null
	fails 1 "$dir/file: Not a directory" gb nocow --metadata "$dir/file"
}

@test "a file system without the flag is named, or passed over with --if-supported" {
	for path in /proc/self "$dir/file"; do
		[ "$(stat -f -c %T "$path")" != btrfs ] || skip "$path is on Btrfs"
		fails 1 "$path: the file system has no NOCOW flag" gb nocow "$path"
		run gb nocow --if-supported "$path"
		[ "$status" -eq 0 ]
		[ -z "$output" ]
	done
}

@test "a layout file's error names file, line and word" {
	mkdir "$dir/mount"
	layout() { printf "$@" >"$dir/layout"; }
	layout '# a comment\n\ntop /run/top\nsubvolume @a var/a\n'
	fails 1 "$dir/layout: line 4, word 3 \"var/a\": not an absolute path" \
		gb nocow --metadata --layout="$dir/layout" "$dir/mount"
	layout 'top /run/top\nnocow @a x\n'
	fails 1 "line 2, word 2 \"@a\": no subvolume of that name above" \
		gb nocow --metadata --layout="$dir/layout" "$dir/mount"
	layout 'top /run/top\nsubvolume @a /var/a\nnocow @a x ../y\n'
	fails 1 "line 3, word 4 \"../y\": \".\" or \"..\" in a path" \
		gb nocow --metadata --layout="$dir/layout" "$dir/mount"
	fails 1 "$dir/none: No such file or directory" gb nocow --metadata --layout="$dir/none" "$dir/mount"
	silent ls "$dir/mount"
}
