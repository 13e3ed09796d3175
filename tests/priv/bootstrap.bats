#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# btrfs-bootstrap on real disks: loop devices on tmpfs.
# shellcheck disable=SC2154 # disk_loop sets loop, run sets stderr
bats_require_minimum_version 1.5.0
load ../lib.bash
load disk.bash

setup() {
	boot_setup
	truncate -s 1G "$DISK/img"
	disk_loop "$DISK/img"
}

teardown() {
	: >"$DISK/go" # a mkfs that is held up
	[ -z "${second-}" ] || kill "$first" "$second" 2>/dev/null || true
	disk_teardown
}

unmount_all() { disk_unmount "$root"; }

targets=(docker containerd rancher/k3s kubelet cni)
names=(@docker @containerd @k3s @kubelet @cni)
nocow=(io.containerd.metadata.v1.bolt io.containerd.snapshotter.v1.overlayfs containerd network builder buildkit image trust)

is_ready() {
	local i d
	for i in "${!targets[@]}"; do
		findmnt -n -o FSROOT "$root/var/lib/${targets[i]}" | grep -qx "/${names[i]}" || return 1
		findmnt -n -o OPTIONS "$root/var/lib/${targets[i]}" | grep -q noatime || return 1
		for d in "${nocow[@]}"; do
			[[ $(lsattr -d "$root/var/lib/${targets[i]}/$d" | cut -d' ' -f1) == *C* ]] || return 1
		done
	done
	findmnt -n -o FSROOT "$root/run/arcbox/data" | grep -qx /
}

@test "a blank disk becomes ready; a second run does nothing and says so" {
	run boot
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = ready ]
	is_ready
	findmnt -n -o OPTIONS "$root/run/arcbox/data" | grep -q 'compress=zstd:3,.*discard=async,space_cache=v2'
	before=$(cat /proc/self/mountinfo)
	run boot
	[ "$status" -eq 0 ]
	[ "$output" = "data subvolumes already mounted" ]
	run boot --json
	[ "$(jq -c '[.state, .steps, .result]' <<<"$output")" = '["btrfs",[],"data subvolumes already mounted"]' ]
	[ "$before" = "$(cat /proc/self/mountinfo)" ]
	unmount_all
	btrfs check -q "$loop" 2>&1
}

@test "data stays through unmounts and further runs; only mounts are done again" {
	boot >/dev/null
	echo precious >"$root/var/lib/docker/file"
	unmount_all
	boot --json >"$DISK/json"
	[ "$(cat "$root/var/lib/docker/file")" = precious ]
	jq -e '.state == "btrfs" and .result == "ready"
		and [.steps[] | select(.done) | .step] == ["identify", "mount", "mount", "mount", "mount", "mount", "mount"]' "$DISK/json"
	# Half of it mounted: the other half is done.
	umount "$root/var/lib/kubelet" "$root/var/lib/cni"
	boot --json >"$DISK/json"
	jq -e '[.steps[] | select(.done) | .step] == ["identify", "mount", "mount"]' "$DISK/json"
	is_ready
}

@test "the plan is the run: the same steps in the same order, and nothing written by the plan" {
	for round in blank ready; do
		before=$(sha256sum <"$loop")
		boot --plan --json | jq -c '[.steps[] | {step, detail}]' >"$DISK/plan"
		boot --plan >"$DISK/text"
		[ "$before" = "$(sha256sum <"$loop")" ]
		boot --json >"$DISK/run"
		jq -c '[.steps[] | {step, detail}]' "$DISK/run" | diff "$DISK/plan" -
		unmount_all
		boot | sed 's/: already so$//' >"$DISK/again"
		unmount_all
		[ "$round" = blank ] || diff <(sed '$d' "$DISK/text") <(sed '$d' "$DISK/again")
	done
}

@test "it grows to the device" {
	boot >/dev/null
	unmount_all
	truncate -s 2G "$DISK/img"
	losetup -c "$loop"
	boot --json >"$DISK/json"
	jq -e '.steps[] | select(.step == "grow").done' "$DISK/json"
	[ "$(btrfs filesystem usage -b "$root/run/arcbox/data" | awk '/Device size/ { print $3 }')" -eq 2147483648 ]
	unmount_all
	boot --json | jq -e '.steps[] | select(.step == "grow").done == false'
}

@test "a disk that was cut off is refused before the kernel is asked" {
	boot >/dev/null
	unmount_all
	losetup -d "$loop"
	truncate -s 900M "$DISK/img"
	disk_loop "$DISK/img"
	fails 3 "has 1073741824 bytes of a device of 943718400: it was cut off" boot
}

@test "an entry in a subvolume's place that is none is named, and the mounts are undone" {
	mkfs.btrfs -q -f "$loop" >/dev/null
	mkdir "$DISK/m"
	mount "$loop" "$DISK/m"
	mkdir "$DISK/m/@kubelet"
	umount "$DISK/m"
	run --separate-stderr boot
	[ "$status" -eq 1 ]
	[[ $stderr == *"$root/run/arcbox/data/@kubelet: exists and is no subvolume"* ]]
	not grep -q "$root" /proc/self/mountinfo
}

@test "a mount that fails part-way undoes those that this run made, and no others" {
	boot >/dev/null
	umount "$root/var/lib/kubelet"
	rmdir "$root/var/lib/kubelet"
	ln -s /dev/null "$root/var/lib/kubelet"
	umount "$root/var/lib/docker"
	run boot
	[ "$status" -eq 1 ]
	[[ $output == *"$root/var/lib/kubelet"* ]]
	not findmnt -n "$root/var/lib/docker"
	findmnt -n "$root/var/lib/containerd"
	findmnt -n "$root/run/arcbox/data"
}

@test "a target in others' hands, and volumes of another disk, are refused" {
	mkdir -p "$root/var/lib/cni"
	mount -t tmpfs none "$root/var/lib/cni"
	before=$(sha256sum <"$loop")
	fails 3 "a tmpfs is mounted on $root/var/lib/cni" boot
	[ "$before" = "$(sha256sum <"$loop")" ]
	umount "$root/var/lib/cni"
	boot >/dev/null
	truncate -s 1G "$DISK/img2"
	first=$loop
	disk_loop "$DISK/img2"
	fails 3 "data subvolumes are mounted from $first" boot
	[ "$(stat -c %b "$DISK/img2")" -eq 0 ]
}

@test "a blank disk that somebody holds is not formatted" {
	mkfs.ext4 -q "$loop"
	mkdir "$DISK/m"
	mount "$loop" "$DISK/m"
	fails 3 "in use" boot --format=foreign
	umount "$DISK/m"
	boot --format=foreign >/dev/null
	is_ready
}

@test "a regular file gets a loop device that goes away with its last mount" {
	losetup -d "$loop"
	gb btrfs-bootstrap --device="$DISK/img" --root="$root" >/dev/null
	is_ready
	run gb btrfs-bootstrap --device="$DISK/img" --root="$root"
	[ "$output" = "data subvolumes already mounted" ]
	umount "$root/var/lib/docker"
	gb btrfs-bootstrap --device="$DISK/img" --root="$root" >/dev/null
	[ "$(losetup -n -j "$DISK/img" | wc -l)" -eq 1 ]
	unmount_all
	udevadm settle 2>/dev/null || true
	detached() { [ -z "$(losetup -n -j "$DISK/img")" ]; }
	until_true detached
}

@test "two at once: one format, and the other finds the work done" {
	pids=()
	for i in 1 2 3 4; do
		boot --json >"$DISK/out.$i" 2>"$DISK/err.$i" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	is_ready
	jq -s -e '[.[] | select(any(.steps[]; .step == "format" and .done))] | length == 1' "$DISK"/out.*
	jq -s -e '[.[].result] | sort == ["data subvolumes already mounted", "data subvolumes already mounted",
		"data subvolumes already mounted", "ready"]' "$DISK"/out.*
	[ "$(grep -c " $root/" /proc/self/mountinfo)" -eq 6 ]
}

# file_id FILE: as /proc/locks has it.
file_id() {
	local major minor number
	read -r major minor number < <(stat -c '%Hd %Ld %i' "$1")
	printf '%02x:%02x:%s' "$major" "$minor" "$number"
}

# two_names FIRST SECOND: two runs at once, by two names of one disk: the second one waits until the first one, which is
# held up in its format, is ready. (It has a lock to wait for, which /proc/locks shows behind an arrow: the device's by its
# number, or the inode's of the file or of a node. Or else it goes on.)
two_names() {
	local inodes=${inode:-$(file_id "$DISK/img")}
	inode=$inodes
	inodes+="|$(file_id "$loop")"
	printf '#!/bin/sh\necho "$2" >>%s\nwhile [ ! -e %s ]; do sleep 0.02; done\nexec mkfs.btrfs "$@"\n' \
		"$DISK/asked" "$DISK/go" >"$DISK/mkfs"
	chmod +x "$DISK/mkfs"
	: >"$DISK/out.2"
	"$GUESTBOX" btrfs-bootstrap --device="$1" --root="$root" --json --mkfs="$DISK/mkfs" >"$DISK/out.1" &
	first=$!
	until_true test -s "$DISK/asked"
	"$GUESTBOX" btrfs-bootstrap --device="$2" --root="$root" --json --mkfs="$DISK/mkfs" >"$DISK/out.2" &
	second=$!
	waits() { grep -Eq -- "-> (FLOCK|OFDLCK) .* ($second |-1 ($inodes) )" /proc/locks || has_lines 2 . "$DISK/asked" ||
		[ -s "$DISK/out.2" ]; }
	until_true waits
	: >"$DISK/go"
	wait "$first"
	wait "$second"
	second=
	is_ready
	has_lines 1 . "$DISK/asked"
	not has_lines 2 . "$DISK/asked"
	jq -s -e '[.[].result] | sort == ["data subvolumes already mounted", "ready"]' "$DISK"/out.*
	# Nothing is left of it: each lock can be had.
	flock -n "/sys/dev/block/$(lsblk -ndo MAJ:MIN "$loop" | tr -d ' ')/dev" true
	not grep -q " $inode " /proc/locks
}

@test "two at once by two nodes of one device: one format, and the other waits for it" {
	mknod "$DISK/node" b "0x$(stat -c %t "$loop")" "0x$(stat -c %T "$loop")"
	two_names "$loop" "$DISK/node"
	[ "$(cat "$DISK/asked")" = "$loop" ]
}

@test "two at once, by a loop device and by another name of the file that it is of: one format, and the other waits for it" {
	ln "$DISK/img" "$DISK/hard"
	ln -s hard "$DISK/link"
	two_names "$loop" "$DISK/link"
}

@test "two at once, by a file and by the loop device of it: one format, and the other waits for it" {
	two_names "$DISK/img" "$loop"
	[ "$(cat "$DISK/asked")" = "$loop" ]
}

@test "two at once, by a loop device whose file has no name any more, and by a hard link of it" {
	ln "$DISK/img" "$DISK/hard"
	inode=$(file_id "$DISK/hard")
	rm "$DISK/img"
	two_names "$loop" "$DISK/hard"
}

@test "a name that leads to another device by the time the lock is there: neither is formatted" {
	local ours=$loop number
	truncate -s 1G "$DISK/other"
	disk_loop "$DISK/other"
	ln -s "$ours" "$DISK/link"
	number=$(lsblk -ndo MAJ:MIN "$ours" | tr -d ' ')
	exec 8<"/sys/dev/block/$number/dev"
	flock 8
	"$GUESTBOX" btrfs-bootstrap --device="$DISK/link" --root="$root" 2>"$DISK/err" 3>&- 8>&- &
	first=$!
	until_true grep -q -- "-> FLOCK .* $first " /proc/locks
	ln -sfn "$loop" "$DISK/link"
	exec 8>&-
	status=0
	wait "$first" || status=$?
	cat "$DISK/err"
	[ "$status" -eq 1 ]
	grep "$DISK/link: another device than the one that was looked at: not touched" "$DISK/err"
	cmp -n 1M "$ours" /dev/zero
	cmp -n 1M "$loop" /dev/zero
}

@test "what is mounted by another loop device of the same file is not formatted" {
	mkfs.ext4 -q "$loop"
	mkdir "$DISK/m"
	mount "$loop" "$DISK/m"
	local mounted=$loop
	fails 3 "in use" gb btrfs-bootstrap --device="$DISK/img" --root="$root" --format=foreign
	disk_loop "$DISK/img"
	fails 3 "in use" boot --format=foreign
	fails 3 "in use" gb btrfs-bootstrap --device="$DISK/img" --root="$root" --format=foreign
	umount "$DISK/m"
	losetup -d "$loop"
	loop=$mounted
	boot --format=foreign >/dev/null
	is_ready
}

@test "a device that comes late is seen by its event, and the report says how long that took" {
	losetup -d "$loop"
	# The highest: whoever else on this machine wants one meanwhile gets the lowest that is free.
	for loop in $(printf '%s\n' /sys/block/loop* | sort -rV); do [ -e "$loop/loop" ] || break; done
	loop=/dev/${loop##*/}
	sleep 1 # the device node lets go of its file by and by
	"$GUESTBOX" btrfs-bootstrap --device="$loop" --root="$root" --wait=60 --json >"$DISK/json" 2>"$DISK/err" &
	pid=$!
	# it listens: the port that /proc/net/netlink shows ends in the process's number; then it waits for a while at least
	until awk -v pid=$pid '$2 == 15 && $3 % 4194304 == pid { found = 1 } END { exit !found }' /proc/net/netlink; do
		kill -0 "$pid"
		sleep 0.05
	done
	# It has looked, and sleeps until there is an event (where a process may see in what: "0" is that it may not).
	waits() { grep -qE 'poll|^0$' "/proc/$pid/wchan"; }
	until_true waits
	sleep 0.4 # what is measured
	losetup "$loop" "$DISK/img"
	wait "$pid" || { cat "$DISK/err"; false; }
	cat "$DISK/json"
	jq -e '.waited and .waited_usec > 300000 and .react_usec > 0 and .steps[0].done' "$DISK/json"
	is_ready
}

@test "a layout of one's own: names, targets, compression by property, NOCOW directories" {
	cat >"$DISK/layout" <<-'LAYOUT'
		top /data compress=zstd:1
		subvolume vm /srv/vm noatime compression=none
		subvolume logs /srv/my\040logs - compression=lzo
		nocow vm images/raw
		nocow logs db
	LAYOUT
	run boot --layout="$DISK/layout"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(getfattr --only-values -n btrfs.compression "$root/srv/vm")" = none ]
	[ "$(getfattr --only-values -n btrfs.compression "$root/srv/my logs")" = lzo ]
	[[ $(lsattr -d "$root/srv/vm/images/raw" | cut -d' ' -f1) == *C* ]]
	[[ $(lsattr -d "$root/srv/my logs/db" | cut -d' ' -f1) == *C* ]]
	unmount_all
	boot --layout="$DISK/layout" --json |
		jq -e '[.steps[] | select(.done) | .step] == ["identify", "mount", "mount", "mount"]'
}

@test "a symbolic link in the place of a NOCOW directory leads nowhere: an error that names it" {
	printf 'top /data\nsubvolume @vm /srv/vm\nnocow @vm deep/er\n' >"$DISK/layout"
	boot --layout="$DISK/layout" >/dev/null
	disk_btrfs outside 256M
	for place in deep/er deep; do
		rm -r "$root/srv/vm/deep"
		[ "$place" = deep ] || mkdir "$root/srv/vm/deep"
		ln -s "$DISK/outside" "$root/srv/vm/$place"
		unmount_all
		run boot --layout="$DISK/layout"
		echo "$output"
		[ "$status" -eq 1 ]
		[[ $output == *"btrfs-bootstrap: $root/srv/vm/deep/er: there is a symbolic link in its place"* ]]
		not grep -q " $root/" /proc/self/mountinfo
		silent find "$DISK/outside" -mindepth 1
		[[ $(lsattr -d "$DISK/outside" | cut -d' ' -f1) != *C* ]]
		mount -o subvol=@vm "$loop" "$root/srv/vm"
	done
}

@test "mkfs: a program that is not there, that fails, that lies" {
	run boot --mkfs=/none/mkfs
	[ "$status" -eq 1 ]
	[[ $output == *"/none/mkfs: No such file or directory"* ]]
	printf '#!/bin/sh\necho first >&2; echo the reason >&2; exit 7\n' >"$DISK/mkfs"
	chmod +x "$DISK/mkfs"
	run boot --mkfs="$DISK/mkfs"
	[ "$status" -eq 1 ]
	[[ $output == *"exit status 7: the reason"* ]]
	printf '#!/bin/sh\necho "$@" >%s\n' "$DISK/args" >"$DISK/mkfs"
	run boot --mkfs="$DISK/mkfs"
	[ "$status" -eq 1 ]
	[[ $output == *"$loop: blank after $DISK/mkfs"* ]]
	[ "$(cat "$DISK/args")" = "-f $loop" ]
	not grep -q "$root" /proc/self/mountinfo
}

# broken [OPTION...]: boot, with system calls that fail (tests/lib.bash).
broken() {
	local how=$1
	shift
	faulty "$how" btrfs-bootstrap --device="$loop" --root="$root" "$@"
}

@test "mkfs: one that is killed, that talks too much, and whose writes failed though it says that they did not" {
	printf '#!/bin/sh\nkill -9 $$\n' >"$DISK/mkfs"
	chmod +x "$DISK/mkfs"
	run boot --mkfs="$DISK/mkfs"
	[ "$status" -eq 1 ]
	[[ $output == *"$DISK/mkfs: killed by signal 9" ]]
	printf '#!/bin/sh\nseq 20000 >&2; echo the reason >&2; exit 7\n' >"$DISK/mkfs"
	run boot --mkfs="$DISK/mkfs"
	[ "$status" -eq 1 ]
	[[ $output == *"exit status 7: the reason" ]]
	# Only the device's descriptor that was open before it ran can know.
	truncate -s 1G "$DISK/made"
	mkfs.btrfs -q "$DISK/made"
	printf '#!/bin/sh\nexec dd if=%s of="$2" bs=64K conv=sparse,notrunc status=none\n' "$DISK/made" >"$DISK/mkfs"
	run broken fsync:error=EIO --mkfs="$DISK/mkfs"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"$loop: format: $DISK/mkfs said it was done, but a write failed: Input/output error" ]]
	not grep -q "$root" /proc/self/mountinfo
}

@test "random bytes that do not come: what is waited for is said, and nothing is formatted" {
	run broken getrandom:error=EINTR --entropy-wait=0.02
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"mkfs waits for random bytes"*"not formatted: no random bytes after 0.020 s (--entropy-wait waits longer)" ]]
	run broken getrandom:error=EFAULT
	[ "$status" -eq 1 ]
	[[ $output == *"$loop: random bytes: Bad address" ]]
	[ "$(stat -c %b "$DISK/img")" -eq 0 ]
}

@test "data that comes while random bytes are waited for is not formatted" {
	traced() { # [OPTION...]: as faulty does, and what was seen goes to a file
		ASAN_OPTIONS=detect_leaks=0 exec strace -f -qq -o "$DISK/trace" -e trace=getrandom "$@"
	}
	# The C library may ask for some, too.
	(traced "$GUESTBOX" btrfs-bootstrap --device="$loop" --root="$root" --plan >/dev/null)
	first=$(awk '/getrandom\(/ { n++ } END { print n + 1 }' "$DISK/trace")
	traced -e inject=getrandom:error=EAGAIN:signal=STOP:when=$first "$GUESTBOX" btrfs-bootstrap --device="$loop" --root="$root" \
		2>"$DISK/err" &
	pid=$!
	until_true grep "stopped by SIGSTOP" "$DISK/trace"
	echo precious | dd of="$loop" conv=fsync,notrunc status=none
	kill -CONT "$(awk '/stopped by SIGSTOP/ { print $1 }' "$DISK/trace")"
	status=0
	wait "$pid" || status=$?
	cat "$DISK/err"
	[ "$status" -eq 3 ]
	grep "$loop: blank when random bytes were waited for, now foreign: not touched" "$DISK/err"
	[ "$(head -c 8 "$loop")" = precious ]
}

@test "a device that does not grow works as it is; what cannot be undone is told beside the error" {
	boot >/dev/null
	unmount_all
	run broken "ioctl:error=ENOSPC $root/run/arcbox/data"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"not grown to 1073741824 bytes, the old capacity still works: No space left on device"* ]]
	is_ready
	unmount_all
	mount "$loop" "$root/run/arcbox/data"
	btrfs subvolume delete "$root/run/arcbox/data/@cni" >/dev/null
	mkdir "$root/run/arcbox/data/@cni"
	umount "$root/run/arcbox/data"
	run broken umount2:error=EBUSY
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"cannot unmount $root/run/arcbox/data: busy: "*"@cni: exists and is no subvolume" ]]
}

@test "another file system of the same kind in a target's place is named; no events, no wait" {
	disk_btrfs other 300M
	mkdir -p "$root/var/lib/cni"
	mount --move "$DISK/other" "$root/var/lib/cni"
	run boot
	[ "$status" -eq 3 ]
	[[ $output == *"/ of /dev/loop"*" is mounted on $root/var/lib/cni"* ]]
	umount "$root/var/lib/cni"
	run faulty socket:error=EAFNOSUPPORT btrfs-bootstrap --device="$DISK/none" --root="$root" --wait=600
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"$DISK/none: No such file or directory (and no wait for it: "*"Address family not supported"* ]]
}

# damage: the primary superblock of a disk that is set up is noise; its copy is good.
damage() {
	boot >/dev/null 2>&1
	echo precious >"$root/var/lib/docker/file"
	unmount_all
	dd if=/dev/urandom of="$loop" bs=4096 seek=16 count=1 conv=fsync,notrunc status=none
}

# supers: the two places where this disk has a superblock.
supers() { (dd bs=4096 skip=16 count=1 && dd bs=4096 skip=16367 count=1) <"$loop" 2>/dev/null | sha256sum; }

@test "--repair: where the old block cannot be kept, or a program makes it worse, nothing is written" {
	damage
	before=$(supers)
	run broken fsync:error=EIO:when=1 --repair
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"$loop: not repaired: $root/run/guestbox/superblock-0: Input/output error" ]]
	[ ! -e "$root/run/guestbox/superblock-0" ]
	[ "$before" = "$(supers)" ]
	# A btrfs-progs that fails: the copy is written back all the same.
	mkdir "$DISK/bin"
	printf '#!/bin/sh\necho no >&2; exit 1\n' >"$DISK/bin/btrfs"
	chmod +x "$DISK/bin/btrfs"
	PATH=$DISK/bin:$PATH run boot --repair
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"; the verified copy is written back instead"* ]]
	[ "$(cat "$root/var/lib/docker/file")" = precious ]
	unmount_all
	# One that spoils the copy: what it left is no ground to write on.
	dd if=/dev/urandom of="$loop" bs=4096 seek=16 count=1 conv=fsync,notrunc status=none
	printf '#!/bin/sh\ndd if=/dev/urandom of="$4" bs=4096 seek=16384 count=1 conv=fsync,notrunc status=none\n' >"$DISK/bin/btrfs"
	dd if="$loop" bs=4096 skip=16 count=1 status=none | sha256sum >"$DISK/old"
	PATH=$DISK/bin:$PATH run boot --repair
	echo "$output"
	[ "$status" -eq 1 ]
	dd if="$loop" bs=4096 skip=16 count=1 status=none | sha256sum | diff "$DISK/old" -
	not grep -q "$root" /proc/self/mountinfo
}

@test "--repair: by btrfs-progs, and without them; the old block is kept" {
	for way in progs own; do
		boot >/dev/null 2>&1
		echo precious >"$root/var/lib/docker/file"
		unmount_all
		dd if=/dev/urandom of="$loop" bs=4096 seek=16 count=1 conv=fsync,notrunc status=none
		dd if="$loop" bs=4096 skip=16 count=1 status=none | sha256sum >"$DISK/old"
		fails 3 "damaged: a Btrfs whose primary superblock has no magic; the copy at byte 67108864 is good: not touched (--repair" \
			boot
		if [ "$way" = own ]; then
			mkdir "$DISK/bin"
			ln -s "$(command -v mkfs.btrfs)" "$DISK/bin/"
			# Neither on PATH nor in the usual places of this mount namespace.
			for place in /sbin /usr/sbin /bin /usr/bin; do
				[ ! -e "$place/btrfs" ] || mount --bind /dev/null "$place/btrfs" 2>/dev/null || true
			done
		fi
		run boot --repair
		echo "$output"
		[ "$status" -eq 0 ]
		[[ $output == *"is kept in $root/run/guestbox/superblock-"* ]]
		[ "$(cat "$root/var/lib/docker/file")" = precious ]
		cat "$root"/run/guestbox/superblock-* | sha256sum | diff "$DISK/old" -
		rm "$root"/run/guestbox/superblock-*
		unmount_all
		for place in /sbin /usr/sbin /bin /usr/bin; do
			umount "$place/btrfs" 2>/dev/null || true
		done
		btrfs check "$loop"
	done
}

@test "--status: sums that hold, a grown device's unused end, a warning when metadata is near full" {
	boot >/dev/null
	run --separate-stderr boot --status
	[ "$status" -eq 2 ]
	run gb btrfs-bootstrap --status --root="$root"
	echo "$output"
	[ "$status" -eq 0 ]
	gb btrfs-bootstrap --status --root="$root" --json >"$DISK/json"
	usage() { btrfs filesystem usage -b "$root/run/arcbox/data" | awk -v key="$1" 'index($0, key) { print $3; exit }'; }
	jq -e --argjson size "$(usage 'Device size')" --argjson allocated "$(usage 'Device allocated')" \
		--argjson unallocated "$(usage 'Device unallocated')" \
		'.size == $size and .allocated == $allocated and .unallocated == $unallocated and .metadata_low == false
		and .devices[0].missing == false and .devices[0].beyond == 0 and .metadata_headroom > 0' "$DISK/json"
	truncate -s 2G "$DISK/img"
	losetup -c "$loop"
	gb btrfs-bootstrap --status --root="$root" --json | jq -e '.devices[0].beyond == 1073741824'
}
