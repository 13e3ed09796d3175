#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# init/into-root, which the hooks for initramfs-tools, dracut and mkinitcpio call: what it does unasked (nothing), and into
# which root. tests/vm/initramfs.bats boots it.
load ../lib.bash
load disk.bash

setup()
{
	need_applet arcmount
	need_applet btrfs-bootstrap
	disk_setup
	cd "$DISK"
	mkdir bin root etc
	ln -s "$GUESTBOX" bin/guestbox
	# In its own namespaces this machine stands in for a guest: its kernel's command line and log, /run, what is set up.
	mount -t tmpfs none /run
	mount -t tmpfs none /var/lib
	mkfifo log.pipe
	mount --bind log.pipe /dev/kmsg
	exec 7<>log.pipe
	cat <&7 >>log 3>&- &
	reader=$!
}

teardown()
{
	kill "$reader"
	disk_teardown
	umount -l /dev/kmsg /run /var/lib
	umount /proc/cmdline 2>/dev/null || true
}

# into ROOT WORD...: runs it with these words on the kernel command line; $output is what it logged.
into()
{
	local root=$1
	shift
	echo "$*" >cmdline
	mount --bind cmdline /proc/cmdline
	PATH=$DISK/bin:$PATH sh "$abs_top_srcdir/init/into-root" "$root" >said 2>&1 7>&- 3>&-
	echo end >/dev/kmsg
	until_true grep -qx end log
	umount /proc/cmdline
	output=$(grep -vx end log) || true
	cat said
	echo "$output"
	[ ! -s said ]
	: >log
}

mounts() { awk -v top="$DISK/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | wc -l; }

@test "nothing asked for: nothing done, and not a word" {
	[ ! -e /etc/guestbox/data ] && [ ! -e /etc/guestbox/shares ] || skip "this system has an /etc/guestbox of its own"
	before=$(mounts)
	for words in "root=/dev/vda ro quiet" "guestbox.data=none" "guestbox.shell guestbox.datum=/dev/vdb" ""; do
		into "$DISK/root" "$words"
		[ -z "$output" ]
	done
	[ "$(mounts)" -eq "$before" ]
	silent ls root
}

@test "the data disk: its volumes are in the root and nowhere else, its top below /run; a second time as well" {
	truncate -s 1G disk.img
	disk_loop "$DISK/disk.img"
	into "$DISK/root" "guestbox.data=$loop"
	[[ $output == *"guestbox: data-disk: ready"*"step data-disk: done"*"step into-root: done"* && $output != *failed* ]]
	for t in docker containerd rancher/k3s kubelet cni; do
		mountpoint -q "$DISK/root/var/lib/$t"
		not mountpoint -q "/var/lib/$t"
	done
	mountpoint -q /run/arcbox/data
	[ -e /run/guestbox/timeline ]
	[[ $(findmnt -n -o OPTIONS "$DISK/root/var/lib/docker") == *noatime*subvol=/@docker* ]]
	disk_unmount "$DISK/root"
	umount /run/arcbox/data
	into "$DISK/root" "arcbox.docker_data_device=$loop"
	[[ $output == *"identify    btrfs"*"step into-root: done"* ]]
	disk_unmount "$DISK/root"
	umount /run/arcbox/data
}

@test "a root that is read-only, without the folders: said with what to do, and no mount is left outside" {
	truncate -s 1G disk.img
	disk_loop "$DISK/disk.img"
	mkdir -p root/var/lib/docker
	mount --bind root root
	mount -o remount,bind,ro root
	into "$DISK/root" "guestbox.data=$loop"
	[[ $output == *"/var/lib/cni: is not in the root, and cannot be made there: make it once, or boot with 'rw'"* ]]
	[[ $output == *"<3>guestbox: step into-root: failed"* ]]
	mountpoint -q "$DISK/root/var/lib/docker"
	not mountpoint -q /var/lib/cni
	umount root/var/lib/docker root /run/arcbox/data
}

@test "a disk that is somebody else's is refused, and the root stays as it is" {
	truncate -s 64M disk.img
	mkfs.ext4 -q disk.img
	disk_loop "$DISK/disk.img"
	sum=$(sha256sum <disk.img)
	into "$DISK/root" "guestbox.data=$loop"
	[[ $output == *"<3>guestbox: step data-disk: failed with status 3"* ]]
	silent ls root
	[ "$(sha256sum <disk.img)" = "$sum" ]
}
