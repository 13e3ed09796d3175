#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What can be said without a mount: options, places, and which file may be the virtual init.
load ../lib.bash

setup() {
	need_applet initfs
	src=$BATS_TEST_TMPDIR/src mnt=$BATS_TEST_TMPDIR/mnt
	mkdir "$src" "$mnt"
}

@test "usage errors are one line and exit 2" {
	fails 2 "missing source" gb initfs
	fails 2 "missing mount point" gb initfs "$src"
	fails 2 surplus gb initfs "$src" "$mnt" third
	for name in '' . .. a/b "$(printf '%256s' x)"; do
		fails 2 "not one name" gb initfs --name "$name" "$src" "$mnt"
		fails 2 "not one name" gb initfs --dir "$name" "$src" "$mnt"
	done
	for mode in '' 9 01000 u+x 755x; do
		fails 2 "octal" gb initfs --mode "$mode" "$src" "$mnt"
	done
	fails 2 "not UID:GID" gb initfs --owner root "$src" "$mnt"
	fails 2 "owner's GID" gb initfs --owner 0:x "$src" "$mnt"
	fails 2 "not never, auto or always" gb initfs --cache sometimes "$src" "$mnt"
	fails 2 "not auto, on or off" gb initfs --passthrough maybe "$src" "$mnt"
	fails 2 "exclude each other" gb initfs --writeback --passthrough on "$src" "$mnt"
	fails 2 "threads" gb initfs --threads 0 "$src" "$mnt"
	fails 2 "SOURCE_DATE_EPOCH" env SOURCE_DATE_EPOCH=soon "$GUESTBOX" initfs "$src" "$mnt"
}

@test "what is not there is named" {
	fails 1 "$src/none: No such file or directory" gb initfs "$src/none" "$mnt"
	fails 1 "$mnt/none: No such file or directory" gb initfs "$src" "$mnt/none"
	fails 1 "$src/none: No such file or directory" gb initfs --init "$src/none" "$src" "$mnt"
	: >"$src/file"
	fails 1 "Not a directory" gb initfs --no-inject "$src/file" "$mnt"
}

@test "source and mount point may not lie in each other: nothing is mounted, exit 3" {
	mkdir "$src/in"
	fails 3 "lies in it" gb initfs --no-inject "$src" "$src"
	fails 3 "lies in it" gb initfs --no-inject "$src" "$src/in"
	fails 3 "lies in it" gb initfs --no-inject "$src/in" "$src"
	ln -s src "$BATS_TEST_TMPDIR/link"
	fails 3 "lies in it" gb initfs --no-inject "$BATS_TEST_TMPDIR/link" "$src/in"
	# a longer name with the same beginning is another place
	mkdir "$BATS_TEST_TMPDIR/src2"
	: >"$BATS_TEST_TMPDIR/void"
	fails 3 "void: empty" gb initfs --init "$BATS_TEST_TMPDIR/void" "$src" "$BATS_TEST_TMPDIR/src2"
}

@test "an init that a bare kernel cannot run is refused, with the reason" {
	cd "$BATS_TEST_TMPDIR"
	: >empty
	printf '#!/bin/sh\n' >script
	head -c 4096 /dev/urandom | tr '\0\177#' xxx >noise
	# the ELF header of this program, with another machine's number
	{ head -c 18 "$GUESTBOX"; printf '\377\376'; tail -c +21 "$GUESTBOX"; } >foreign
	{ head -c 64 "$GUESTBOX"; } >cut
	mkfifo pipe
	fails 3 "empty: empty" gb initfs --init empty "$src" "$mnt"
	fails 3 "a script" gb initfs --init script "$src" "$mnt"
	fails 3 "not an ELF program" gb initfs --init noise "$src" "$mnt"
	fails 3 "for another machine" gb initfs --init foreign "$src" "$mnt"
	fails 3 "damaged" gb initfs --init cut "$src" "$mnt"
	fails 3 "not a regular file" gb initfs --init pipe "$src" "$mnt"
	fails 3 "dynamically linked" gb initfs --init /bin/sh "$src" "$mnt"
}

@test "--fail-real and a --dir that is no folder: refused before anything is mounted" {
	: >"$src/init.krun"
	: >"$src/proc"
	fails 3 "init.krun: exists" gb initfs --fail-real "$src" "$mnt"
	fails 3 "it is no folder" gb initfs --no-inject --dir proc "$src" "$mnt"
	fails 2 "the virtual file has that name" gb initfs --dir init.krun "$src" "$mnt"
}
