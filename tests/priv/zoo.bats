#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A zoo of disks: for each its state, the exit status, and that a refusal leaves every byte as it was.
# shellcheck disable=SC2154 # disk_loop sets loop
load ../lib.bash
load disk.bash

setup() {
	boot_setup
	img=$DISK/img
	mib=160
	truncate -s ${mib}M "$img"
}

teardown() {
	disk_teardown
}

# patch FILE OFFSET COUNT: random bytes.
patch() { dd if=/dev/urandom of="$1" bs=1 seek="$2" count="$3" conv=notrunc status=none; }

# super FILE COPY: the offset of a superblock's copy.
at=(65536 67108864 274877906944)

# refused STATE TEXT [OPTION...]: exit 3, one line that names the state, TEXT in it, no mount, not one byte changed.
refused() {
	local state=$1 text=$2 before
	shift 2
	disk_loop "$img"
	before=$(sha256sum <"$img")
	fails 3 "$loop: $state" boot "$@"
	[[ $output == *"$text"* ]] || { echo "no \"$text\" in: $output"; return 1; }
	[[ $output == *"("*")"* ]] || { echo "no option named: $output"; return 1; }
	run boot --json "$@"
	[ "$(sed -n 's/.*"state":"\([a-z]*\)".*"result":"refused".*/\1/p' <<<"$output")" = "$state" ]
	fails 3 "$loop: $state" boot --plan "$@"
	losetup -d "$loop"
	[ "$before" = "$(sha256sum <"$img")" ]
	not grep -q "$root" /proc/self/mountinfo
}

# accepted STATE [OPTION...]: becomes ready.
accepted() {
	local state=$1
	shift
	disk_loop "$img"
	run boot --json "$@"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
	[[ $output == *"\"result\":\"ready\""* && $output == *"\"step\":\"identify\",\"detail\":\"$state"* ]] ||
		{ echo "$output"; return 1; }
	findmnt -n "$root/var/lib/docker"
}

@test "ext4" { mkfs.ext4 -q "$img"; refused foreign "ext4 file system"; }
@test "xfs" { truncate -s 320M "$img"; mkfs.xfs -q "$img"; refused foreign "xfs file system"; }
@test "swap" { mkswap "$img" >/dev/null; refused foreign "swap"; }
@test "FAT" { mkfs.vfat "$img" >/dev/null; refused foreign "vfat"; }
@test "NTFS boot sector" {
	printf '\xeb\x52\x90NTFS    \x00\x02\x08' | dd of="$img" conv=notrunc status=none
	printf '\x55\xaa' | dd of="$img" bs=1 seek=510 conv=notrunc status=none
	refused foreign ""
}
@test "LUKS1" {
	echo key | cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 "$img" -
	refused foreign "crypto_LUKS encrypted volume"
}
@test "LUKS2" {
	echo key | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$img" -
	refused foreign "crypto_LUKS encrypted volume"
}
@test "LUKS2 of which the first header is gone" {
	echo key | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$img" -
	dd if=/dev/zero of="$img" bs=4096 count=4 conv=notrunc status=none
	refused foreign ""
}
@test "LVM physical volume" {
	disk_loop "$img"
	pvcreate -q --config 'devices { scan = "/dev" use_devicesfile = 0 }' "$loop"
	losetup -d "$loop"
	refused foreign "LVM2_member"
}
md() { # METADATA: a member of an array, by its superblock alone, since this kernel may have no md
	case $1 in
	0.90)
		local end=$(((mib * 1024 * 1024 / 65536 - 1) * 65536))
		printf '\xfc\x4e\x2b\xa9\x00\x00\x00\x00\x5a\x00\x00\x00' | dd of="$img" bs=1 seek=$end conv=notrunc status=none ;;
	1.2) printf '\xfc\x4e\x2b\xa9\x01\x00\x00\x00' | dd of="$img" bs=1 seek=4096 conv=notrunc status=none ;;
	esac
}
@test "md 0.90 at the end" { md 0.90; refused foreign ""; }
@test "md 1.2 at 4 KiB" { md 1.2; refused foreign ""; }
@test "GPT" { echo 'type=linux' | sfdisk -q -X gpt "$img"; refused foreign "partition table"; }
@test "GPT of which the first copy is gone" {
	echo 'type=linux' | sfdisk -q -X gpt "$img"
	dd if=/dev/zero of="$img" bs=1M count=1 conv=notrunc status=none
	refused foreign ""
}
@test "MBR" { echo 'type=83' | sfdisk -q -X dos "$img"; refused foreign "dos partition table"; }
@test "zfs label" {
	# Four labels of 256 KiB, each with uberblocks from its 128th KiB on (their magic every KiB).
	for label in 0 262144 $((mib * 1024 * 1024 - 524288)) $((mib * 1024 * 1024 - 262144)); do
		for ((i = 0; i < 16; i++)); do
			printf '\x0c\xb1\xba\x00\x00\x00\x00\x00' |
				dd of="$img" bs=1 seek=$((label + 131072 + i * 1024)) conv=notrunc status=none
		done
	done
	refused foreign "zfs_member"
}
@test "ISO 9660" {
	mkdir "$DISK/tree"
	echo x >"$DISK/tree/file"
	genisoimage -quiet -o "$DISK/iso" "$DISK/tree"
	dd if="$DISK/iso" of="$img" conv=notrunc status=none
	refused foreign "iso9660"
}
@test "squashfs" {
	mkdir "$DISK/tree"
	seq 1 10000 >"$DISK/tree/file"
	mksquashfs "$DISK/tree" "$DISK/squash" -quiet -no-progress >/dev/null
	dd if="$DISK/squash" of="$img" conv=notrunc status=none
	refused foreign "squashfs"
}
@test "erofs" {
	mkdir "$DISK/tree"
	seq 1 10000 >"$DISK/tree/file"
	mkfs.erofs "$DISK/erofs" "$DISK/tree" >/dev/null 2>&1
	dd if="$DISK/erofs" of="$img" conv=notrunc status=none
	refused foreign "erofs"
}
@test "one byte at the start, before, in and behind the superblock's place, at the edges of the first and last MiB" {
	for where in 0 65535 65536 65600 69632 1048575 $(((mib - 1) * 1048576)) $((mib * 1048576 - 1)); do
		rm -f "$img"
		truncate -s ${mib}M "$img"
		printf '\x01' | dd of="$img" bs=1 seek=$where conv=notrunc status=none
		refused foreign "unknown data at byte $where"
	done
}
@test "text without any structure" {
	yes guestbox | head -c 100000 | dd of="$img" conv=notrunc status=none
	refused foreign "unknown data at byte 0"
}
@test "a magic with nothing behind it" {
	printf '_BHRfS_M' | dd of="$img" bs=1 seek=65600 conv=notrunc status=none
	refused foreign "the address of another place, and no good copy"
}

@test "a Btrfs whose primary is zero: damaged, also with --format=foreign" {
	mkfs.btrfs -q "$img" >/dev/null
	dd if=/dev/zero of="$img" bs=4096 seek=16 count=1 conv=notrunc status=none
	refused damaged "primary superblock has no magic" --format=foreign
	accepted damaged --repair
}
@test "an ext4 over a Btrfs of which a copy is left: foreign, and --repair writes nothing" {
	mkfs.btrfs -q "$img" >/dev/null
	dd if="$img" of="$DISK/copy" bs=4096 skip=16384 count=1 status=none
	mkfs.ext4 -q -F "$img"
	dd if="$DISK/copy" of="$img" bs=4096 seek=16384 conv=notrunc status=none
	refused foreign "ext4 file system, over an old Btrfs whose copy at byte 67108864 still holds"
	refused foreign "ext4 file system" --repair
}
@test "a Btrfs whose primary's checksum does not hold" {
	mkfs.btrfs -q "$img" >/dev/null
	printf '\xff' | dd of="$img" bs=1 seek=$((65536 + 3000)) conv=notrunc status=none
	refused damaged "a checksum that does not hold; the copy at byte 67108864 is good"
	accepted damaged --repair
}
@test "a Btrfs with a copy in the primary's place: wrong bytenr" {
	mkfs.btrfs -q "$img" >/dev/null
	dd if="$img" of="$img" bs=4096 skip=$((67108864 / 4096)) seek=16 count=1 conv=notrunc status=none
	refused damaged "the address of another place; the copy at byte 67108864 is good"
}
@test "a Btrfs with all copies broken is foreign, not blank" {
	mkfs.btrfs -q "$img" >/dev/null
	for c in 0 1; do printf '\xff' | dd of="$img" bs=1 seek=$((at[c] + 3000)) conv=notrunc status=none; done
	refused foreign "a Btrfs superblock at byte 65536 with a checksum that does not hold, and no good copy"
}
@test "a Btrfs of which only the second copy is left of everything in front" {
	mkfs.btrfs -q "$img" >/dev/null
	dd if=/dev/zero of="$img" bs=1M count=1 conv=notrunc status=none
	refused damaged "no magic"
}
@test "a Btrfs with a broken copy and a good primary is used" {
	mkfs.btrfs -q "$img" >/dev/null
	patch "$img" $((at[1] + 100)) 64
	accepted btrfs
}
@test "a Btrfs with copies of an older generation is used" {
	mkfs.btrfs -q "$img" >/dev/null
	dd if="$img" of="$DISK/copy" bs=4096 skip=$((at[1] / 4096)) count=1 status=none
	mkdir "$DISK/m"
	mount -o loop "$img" "$DISK/m"
	for i in 1 2 3; do : >"$DISK/m/$i"; sync -f "$DISK/m"; done
	umount "$DISK/m"
	dd if="$DISK/copy" of="$img" bs=4096 seek=$((at[1] / 4096)) conv=notrunc status=none
	accepted btrfs
}
@test "a Btrfs with a primary of an older generation is damaged, and --repair takes the newest" {
	mkfs.btrfs -q "$img" >/dev/null
	dd if="$img" of="$DISK/copy" bs=4096 skip=16 count=1 status=none
	mkdir "$DISK/m"
	mount -o loop "$img" "$DISK/m"
	for i in 1 2 3; do echo $i >"$DISK/m/$i"; sync -f "$DISK/m"; done
	umount "$DISK/m"
	dd if="$DISK/copy" of="$img" bs=4096 seek=16 conv=notrunc status=none
	refused damaged "generations older than its copy at byte 67108864"
	accepted damaged --repair
	[ "$(cat "$root/run/arcbox/data/3")" = 3 ]
}
@test "a Btrfs with each type of checksum is used, and its damage seen" {
	for type in crc32c xxhash sha256 blake2; do
		rm -f "$img"
		truncate -s ${mib}M "$img"
		mkfs.btrfs -q --csum $type "$img" >/dev/null
		printf '\xff' | dd of="$img" bs=1 seek=$((65536 + 3000)) conv=notrunc status=none
		refused damaged "a checksum that does not hold; the copy at byte 67108864 is good"
		accepted damaged --repair
		disk_unmount "$root"
		losetup -d "$loop"
	done
}
@test "a Btrfs of two devices: used when the other is known, an error that names the reason when not" {
	truncate -s ${mib}M "$DISK/second"
	disk_loop "$DISK/second"
	second=$loop
	disk_loop "$img"
	mkfs.btrfs -q -d raid1 -m raid1 "$loop" "$second" >/dev/null
	udevadm settle 2>/dev/null || true # it scans what has been written
	btrfs device scan --forget
	before=$(sha256sum "$img" "$DISK/second")
	fails_with_steps() { run boot; [ "$status" -eq 1 ] && [[ ${lines[-1]} == *"its file system has 2 devices"* ]]; }
	fails_with_steps
	[ "$before" = "$(sha256sum "$img" "$DISK/second")" ]
	btrfs device scan "$loop" "$second" >/dev/null
	run boot
	[ "$status" -eq 0 ]
}
@test "an mkfs that did not finish is formatted" {
	mkfs.btrfs -q "$img" >/dev/null
	for c in 0 1; do printf '!' | dd of="$img" bs=1 seek=$((at[c] + 64)) conv=notrunc status=none; done
	refused unfinished "not formatted with --format=never" --format=never
	accepted unfinished
}
@test "an mkfs that did not finish over a good copy of another file system is not formatted" {
	mkfs.btrfs -q "$img" >/dev/null
	printf '!' | dd of="$img" bs=1 seek=$((65536 + 64)) conv=notrunc status=none
	refused damaged "the magic of an unfinished mkfs; the copy at byte 67108864 is good"
}
@test "a blank disk that is too small for a superblock, and one of no whole superblock" {
	truncate -s 64K "$img"
	refused unreadable "the end of the device at byte 65536" --format=foreign
	truncate -s 66K "$img"
	refused unreadable "the end of the device at byte 67584" --format=foreign
}
@test "a blank disk that is too small for a Btrfs: mkfs says so, and nothing is mounted" {
	truncate -s 16M "$img"
	disk_loop "$img"
	run boot
	[ "$status" -eq 1 ]
	[[ ${lines[-1]} == *"mkfs.btrfs: exit status 1"* ]]
	not grep -q "$root" /proc/self/mountinfo
}
@test "a read-only disk: blank, and Btrfs" {
	refused_ro() {
		disk_loop "$img" -r
		local before
		before=$(sha256sum <"$img")
		fails 3 "the device is read-only" boot "$@"
		losetup -d "$loop"
		[ "$before" = "$(sha256sum <"$img")" ]
	}
	refused_ro
	mkfs.btrfs -q "$img" >/dev/null
	refused_ro
	refused_ro --format=foreign
}
@test "a Btrfs in a partition's place under a partition table that is left over is used" {
	mkfs.btrfs -q "$img" >/dev/null
	printf '\x55\xaa' | dd of="$img" bs=1 seek=510 conv=notrunc status=none
	accepted btrfs
}
@test "a Btrfs that another's table or RAID has been written beside is not mounted; files on it may look like anything" {
	# The partitions begin at 1 MiB: the table leaves the superblock as it was.
	for table in gpt dos; do
		rm -f "$img"
		truncate -s ${mib}M "$img"
		mkfs.btrfs -q "$img" >/dev/null
		echo 'start=2048, size=100000' | sfdisk -q -X $table --wipe=never --wipe-partitions=never "$img"
		refused btrfs "btrfs, and a $table partition table that is not its own"
		refused btrfs "$table partition table" --format=foreign
	done
	# The tables of a disk that has become larger since, and a RAID's block of data behind what it mirrors.
	rm -f "$img"
	truncate -s ${mib}M "$img"
	mkfs.btrfs -q -b 140M "$img" >/dev/null
	md 0.90
	refused btrfs "linux_raid_member member that is not its own"
	# A broken primary is not restored into it, either.
	printf '\xff' | dd of="$img" bs=1 seek=$((65536 + 3000)) conv=notrunc status=none
	refused damaged "linux_raid_member" --repair
	# The same block where this file system has its files.
	rm -f "$img"
	truncate -s ${mib}M "$img"
	mkfs.btrfs -q "$img" >/dev/null
	md 0.90
	blkid -p "$img" | grep linux_raid_member
	accepted btrfs
}
@test "a blank disk with a third copy's place: 257 GiB, sparse" {
	truncate -s 257G "$img"
	# Only the third copy is left.
	mkfs.btrfs -q "$img" >/dev/null
	for c in 0 1; do dd if=/dev/zero of="$img" bs=4096 seek=$((at[c] / 4096)) count=1 conv=notrunc status=none; done
	disk_loop "$img"
	fails 3 "damaged: a Btrfs whose primary superblock has no magic; the copy at byte 274877906944 is good" boot
	run boot --repair
	[ "$status" -eq 0 ]
}
