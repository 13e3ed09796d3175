#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
load ../lib.bash

setup() {
	dir=$BATS_TEST_TMPDIR
	seq 1 20000 >"$dir/a"
	printf 'tail' >"$dir/b"
	: >"$dir/empty"
}

@test "writes files one after the other, byte for byte" {
	gb mmapcat "$dir/a" "$dir/empty" "$dir/b" >"$dir/out"
	cat "$dir/a" "$dir/b" | cmp - "$dir/out"
}

@test "a file that fails does not keep the others back; an output that fails ends it" {
	run gb mmapcat "$dir/b" "$dir/none" "$dir" "$dir/b"
	[ "$status" -eq 1 ]
	[[ $output == "tailmmapcat: $dir/none: No such file or directory"*"tailmmapcat: $dir: Is a directory" ]]
	run bash -c "'$GUESTBOX' mmapcat '$dir/a' '$dir/b' >/dev/full"
	[ "$status" -eq 1 ]
	[ "$output" = "mmapcat: $dir/a: standard output: No space left on device" ]
}

@test "offset and length cut, and end short at the end of the file" {
	gb mmapcat -o 4097 -l 10000 "$dir/a" >"$dir/out"
	tail -c +4098 "$dir/a" | head -c 10000 | cmp - "$dir/out"
	gb mmapcat --offset=2 --length=1K "$dir/b" >"$dir/out"
	[ "$(cat "$dir/out")" = il ]
	run gb mmapcat -o 1T "$dir/b"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	run gb mmapcat -l 0 "$dir/b"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "--report tells kind, bytes and rate on stderr; --touch and --verify print nothing" {
	run bash -c "'$GUESTBOX' mmapcat --report --touch '$dir/a' 2>&1 >/dev/null"
	[ "$status" -eq 0 ]
	[[ $output =~ (dax|page-cache|unknown),\ 108894\ bytes,.*MiB/s ]]
	run gb mmapcat --verify "$dir/a"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "a file that is cut while it is read is a shorter file, not a crash" {
	truncate -s 64M "$dir/big"
	(sleep 0.05; truncate -s 4096 "$dir/big") &
	local cutter=$! # a bare wait would wait for the test's own timeout, too
	for _ in $(seq 1 10); do
		run gb mmapcat --touch "$dir/big"
		[ "$status" -eq 0 ]
	done
	wait "$cutter"
	[ "$(gb mmapcat "$dir/big" | wc -c)" -eq 4096 ]
}

@test "bad input: one line, the right status" {
	mkfifo "$dir/fifo"
	fails 2 "missing file" gb mmapcat
	fails 2 "unknown option -z" gb mmapcat -z
	fails 2 'offset "1x"' gb mmapcat -o 1x "$dir/a"
	fails 2 "exclude each other" gb mmapcat --touch --verify "$dir/a"
	fails 1 "$dir/none: No such file or directory" gb mmapcat "$dir/none"
	fails 1 "Is a directory" gb mmapcat "$dir"
	fails 1 "not a regular file" gb mmapcat "$dir/fifo"
	fails 1 "not a regular file" gb mmapcat /dev/null
	fails 1 "No space left on device" bash -c "'$GUESTBOX' mmapcat '$dir/a' >/dev/full"
}

@test "--verify finds what differs; a map or a read that fails is named" {
	# A read(2) that says that it has read, and has not.
	fails 1 "$dir/a: byte 0 is 0x31 in the mapping and 0x" faulty "pread64:retval=64 $dir/a" mmapcat --verify "$dir/a"
	fails 1 "$dir/a: read at byte 0: Input/output error" faulty "pread64:error=EIO $dir/a" mmapcat --verify "$dir/a"
	fails 1 "$dir/a: mmap: Cannot allocate memory" faulty "mmap:error=ENOMEM $dir/a" mmapcat "$dir/a"
}
