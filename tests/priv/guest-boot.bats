#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-boot below a folder of its own, in a private mount namespace.
load ../lib.bash

setup() {
	need_applet guest-boot
	T=$BATS_TEST_TMPDIR/root
	mkdir "$T"
}

teardown() {
	for d in sys/devices/system/cpu/cpu0/cache/index0 sys/fs/cgroup tmp run dev/shm dev/pts sys proc dev; do
		umount -l "$T/$d" 2>/dev/null || true
	done
}

@test "pseudo-fs: everything is there with its mode, and a second time nothing is mounted again" {
	gb guest-boot pseudo-fs --root "$T"
	for d in dev proc sys dev/pts dev/shm run tmp sys/fs/cgroup; do mountpoint -q "$T/$d"; done
	[ "$(stat -c %a "$T/run" "$T/tmp" "$T/dev/shm" | tr '\n' ' ')" = "755 1777 1777 " ]
	[ "$(readlink "$T/dev/stdin")" = /proc/self/fd/0 ]
	[ -f "$T/run/guestbox/timeline" ]
	grep " $T/run " /proc/self/mountinfo | grep nosuid | grep -q nodev
	before=$(grep -c " $T/" /proc/self/mountinfo)
	gb guest-boot pseudo-fs --root "$T"
	[ "$(grep -c " $T/" /proc/self/mountinfo)" = "$before" ]
}

@test "pseudo-fs: one that fails is named, the others are there" {
	mkdir "$T/sys" "$T/dev"
	: >"$T/run"
	run gb guest-boot pseudo-fs --root "$T"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"$T/run"* ]]
	mountpoint -q "$T/tmp"
	mountpoint -q "$T/sys/fs/cgroup"
}

@test "cpu-cache: a cache without a size gets one; what is there is copied; a second run finds all in place" {
	c=$T/sys/devices/system/cpu/cpu0/cache
	mkdir -p "$c/index0" "$c/index2"
	echo 1 >"$c/index0/level"
	echo Data >"$c/index0/type"
	echo 512K >"$c/index2/size"
	run gb guest-boot cpu-cache --root "$T"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = "cache index0: sizes were missing" ]
	[ "$(cat "$c/index0/size" "$c/index0/coherency_line_size" "$c/index0/number_of_sets" "$c/index0/type" | tr '\n' ' ')" = "64K 64 256 Data " ]
	[ "$(cat "$c/index2/size")" = 512K ]
	run gb guest-boot cpu-cache --root "$T"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}
