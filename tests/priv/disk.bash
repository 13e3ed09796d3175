# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Disks for the privileged tests: images on tmpfs, loop devices, and none of either left behind.

# Images and mounts of a test go here: memory of its own, in the test's mount namespace.
disk_setup() {
	DISK=$BATS_TEST_TMPDIR/disk
	mkdir -p "$DISK"
	mount -t tmpfs -o size=8G none "$DISK"
}

# boot_setup: what a guest's disk is set up in, $root; boot [OPTION...]: sets the disk $loop up there.
boot_setup() {
	disk_setup
	export GUESTBOX_CMDLINE=/dev/null
	root=$DISK/root
	mkdir "$root"
}

boot() { gb btrfs-bootstrap --device="$loop" --root="$root" "$@"; }

# disk_unmount DIR: all mounts below it.
disk_unmount() {
	local target
	while read -r target; do
		umount "${target//\\040/ }"
	done < <(awk -v top="$1/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | tac)
}

disk_teardown() {
	local target loop
	# The loop devices first, while their files still have names below here: losetup -d of one in use lets it go with
	# its last user (LO_FLAGS_AUTOCLEAR), so the mounts may follow.
	while read -r loop; do
		losetup -d "$loop" 2>/dev/null || true
	done < <(losetup -n -O NAME,BACK-FILE | awk -v top="$BATS_TEST_TMPDIR/" 'index($0, top) { print $1 }')
	while read -r target; do
		umount -l "$target"
	done < <(awk -v top="$BATS_TEST_TMPDIR/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | tac)
}

# disk_loop FILE [OPTION...]: a loop device, in $loop.
disk_loop() {
	local file=$1
	shift
	loop=$(losetup "$@" -f --show "$file")
}

# disk_btrfs NAME SIZE: a Btrfs file system in $DISK/NAME.img, mounted at $DISK/NAME.
disk_btrfs() {
	truncate -s "$2" "$DISK/$1.img"
	mkfs.btrfs -q -f "$DISK/$1.img"
	mkdir -p "$DISK/$1"
	mount -o loop "$DISK/$1.img" "$DISK/$1"
}
