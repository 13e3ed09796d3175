#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command line of btrfs-bootstrap, and disks that are only looked at: no root is needed for a plan or a refusal.
load ../lib.bash

setup() {
	dir=$BATS_TEST_TMPDIR
	export GUESTBOX_CMDLINE=$dir/cmdline
	: >"$GUESTBOX_CMDLINE"
	truncate -s 300M "$dir/blank"
}

@test "bad input: one line, the right status" {
	fails 2 'surplus argument "x"' gb btrfs-bootstrap x
	fails 2 "unknown option --nope" gb btrfs-bootstrap --nope
	fails 2 "--format=all: not one of blank, foreign, never" gb btrfs-bootstrap --format=all
	fails 2 'wait "soon" is no time' gb btrfs-bootstrap --wait=soon
	fails 2 "--root=x: not an absolute path" gb btrfs-bootstrap --root=x
	fails 2 "--status goes with" gb btrfs-bootstrap --status --plan
	fails 2 "an empty device" gb btrfs-bootstrap --device=
	fails 1 "$dir/none: No such file or directory" gb btrfs-bootstrap --layout="$dir/none"
	mkdir -p "$dir/root/run/arcbox/data"
	fails 1 "$dir/root/run/arcbox/data: no Btrfs is mounted there" gb btrfs-bootstrap --status --root="$dir/root"
}

@test "a device that does not come: the error says how long it waited; one that is none is an error at once" {
	fails 1 "/dev/gb-none: not available after 0.010 s" gb btrfs-bootstrap --device=/dev/gb-none --wait=0.01
	fails 1 "/dev/gb-none: not available after 0.000 s" gb btrfs-bootstrap --device=/dev/gb-none --wait=0
	fails 1 "/dev/null: neither a block device nor a regular file" gb btrfs-bootstrap --device=/dev/null --wait=600
	fails 1 "$dir: neither a block device nor a regular file" gb btrfs-bootstrap --device="$dir" --wait=600
}

@test "the device: option, environment, kernel command line, the last non-empty value" {
	echo "guestbox.data=/dev/gb-a guestbox.data=/dev/gb-b guestbox.data= arcbox.docker_data_device=/dev/gb-c" >"$GUESTBOX_CMDLINE"
	fails 1 "/dev/gb-b: not available" gb btrfs-bootstrap --wait=0
	echo "arcbox.docker_data_device=/dev/gb-c" >"$GUESTBOX_CMDLINE"
	fails 1 "/dev/gb-c: not available" gb btrfs-bootstrap --wait=0
	GUESTBOX_DATA=/dev/gb-d fails 1 "/dev/gb-d: not available" gb btrfs-bootstrap --wait=0
	GUESTBOX_DATA=/dev/gb-d fails 1 "/dev/gb-e: not available" gb btrfs-bootstrap --wait=0 --device=/dev/gb-e
	# no other disk is taken in its place
	GUESTBOX_DATA=/dev/$(printf 'x%.0s' {1..300}) fails 1 "GUESTBOX_DATA: File name too long" gb btrfs-bootstrap --wait=0 --plan
	GUESTBOX_DATA=none run gb btrfs-bootstrap
	[ "$status" -eq 0 ]
	[ "$output" = "no data disk is wanted" ]
}

@test "a plan of a blank disk lists every step and writes nothing" {
	run gb btrfs-bootstrap --device="$dir/blank" --plan --root="$dir/root"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "wait        $dir/blank" ]
	[ "${lines[1]}" = "identify    blank" ]
	[ "${lines[2]}" = "format      mkfs.btrfs -f $dir/blank" ]
	[[ $output == *"mount       $dir/blank on $dir/root/run/arcbox/data ("* ]]
	for name in docker containerd k3s kubelet cni; do
		[[ $output == *$'\n'"subvolume   @$name"$'\n'* ]]
		[[ $output == *"$name (noatime,subvol=@$name)"* ]]
	done
	[ "$(grep -c '^nocow' <<<"$output")" -eq 5 ]
	[ "$(stat -c %b "$dir/blank")" -eq 0 ]
	[ ! -e "$dir/root" ]
}

@test "the JSON of a plan has the keys of the contract" {
	gb btrfs-bootstrap --device="$dir/blank" --plan --json >"$dir/json"
	jq -e --arg device "$dir/blank" '.device == $device and .state == "blank" and .result == "planned"
		and [.steps[:3][].step] == ["wait", "identify", "format"]
		and all(.steps[]; keys == ["detail", "done", "step", "usec"] and .done == false)' "$dir/json"
}

@test "what is not blank is refused in one line that names the option which goes on" {
	printf x | dd of="$dir/blank" bs=1 seek=12345 conv=notrunc status=none
	fails 3 "$dir/blank: foreign: unknown data at byte 12345: not touched (--format=foreign" \
		gb btrfs-bootstrap --device="$dir/blank"
	run gb btrfs-bootstrap --device="$dir/blank" --format=foreign --plan
	[ "$status" -eq 0 ]
	truncate -s 300M "$dir/empty"
	fails 3 "blank: not formatted with --format=never (--format=blank" gb btrfs-bootstrap --device="$dir/empty" --format=never
	truncate -s 60K "$dir/short"
	fails 3 "unreadable: the end of the device at byte 65536" gb btrfs-bootstrap --device="$dir/short" --format=foreign
}
