#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guestbox in the initramfs of a distribution: images by initramfs-tools and by a stand-in of mkinitcpio, each booted.
# The distribution is busybox with the static guestbox in it; tests/torture/initramfs has Debian with systemd, and dracut.
load lib.bash

# in_place DIR COMMAND...: runs COMMAND with guestbox's files where the Debian package has them, the hooks of mkinitcpio where
# it looks, and the modules in DIR at /lib/modules. In a mount namespace of its own: the system stays as it is.
in_place()
{
	# shellcheck disable=SC2016 # expanded in there
	unshare --mount --propagation private bash -euc '
		source=$abs_top_srcdir modules=$1
		shift
		mount -t tmpfs tmpfs /mnt
		mkdir /mnt/upper /mnt/work /mnt/modules
		mount --bind "$modules" /mnt/modules
		mount -t overlay overlay -o lowerdir=/usr,upperdir=/mnt/upper,workdir=/mnt/work /usr
		cd /usr
		install -D "$GUESTBOX" lib/guestbox/guestbox
		install -D "$source/init/into-root" share/guestbox/initramfs/into-root
		install -m 0644 "$source/init/modules" "$source/init/guestbox-into-root.service" share/guestbox/initramfs/
		install -D "$source/init/initramfs-tools/hook" share/initramfs-tools/hooks/guestbox
		install -D "$source/init/initramfs-tools/init-bottom" share/initramfs-tools/scripts/init-bottom/guestbox
		install -D "$source/init/mkinitcpio/install" lib/initcpio/install/guestbox
		install -D "$source/init/mkinitcpio/hook" lib/initcpio/hooks/guestbox
		[ ! -d "${modules%/lib/modules/*}/boot" ] || mount --bind "${modules%/lib/modules/*}/boot" /boot # the configuration
		mkdir -p "lib/modules/${modules##*/}"
		mount --bind /mnt/modules "lib/modules/${modules##*/}"
		cd /
		exec "$@"' in_place "$@"
}

# with_initramfs_tools VERSION OUTPUT: the drivers of a small guest, no more.
with_initramfs_tools()
{
	local conf
	conf=$(mktemp -d) || return
	mkdir "$conf"/{conf.d,hooks,scripts}
	printf '%s\n' MODULES=list BUSYBOX=auto COMPRESS=gzip COMPRESSLEVEL=1 RUNSIZE=10% FSTYPE=ext4 >"$conf/initramfs.conf"
	printf '%s\n' virtio_pci virtio_blk ext4 >"$conf/modules"
	mkinitramfs -d "$conf" -o "$2" "$1"
	set -- $?
	rm -rf "$conf"
	return "$1"
}
export -f with_initramfs_tools

setup_file()
{
	vm_test_can || return 0
	local image=$BATS_FILE_TMPDIR/distro name
	mkdir -p "$image"/{bin,sbin,etc,root,dev,proc,sys,run,tmp,usr,var/lib/docker}
	cp "$(command -v busybox)" "$GUESTBOX" "$image/bin/"
	for name in sh cat grep sleep poweroff; do ln -s busybox "$image/bin/$name"; done
	cat >"$image/sbin/init" <<-'END'
		#!/bin/sh
		export PATH=/bin
		guestbox guest-boot pseudo-fs
		while read -r line; do echo "<4>testix: $line" >/dev/kmsg; done </proc/mounts
		for t in docker containerd rancher/k3s kubelet cni; do
			guestbox arcmount is-mounted /var/lib/$t || echo "<4>testix: not: $t" >/dev/kmsg
		done
		echo written >>/var/lib/docker/file
		read -r word </arcbox/file && echo "<4>testix: share: $word, disk: $(grep -c written /var/lib/docker/file)" >/dev/kmsg
		exec guestbox guest-init -- guestbox vsock-rpcd --listen virtio:org.guestbox.rpc.0 --log kmsg </dev/null >/dev/console 2>&1
	END
	chmod +x "$image/sbin/init"
	truncate -s 64M "$BATS_FILE_TMPDIR/root"
	mkfs.ext4 -q -d "$image" "$BATS_FILE_TMPDIR/root" >&2
	truncate -s 2G "$BATS_FILE_TMPDIR/disk"
	mkdir "$BATS_FILE_TMPDIR/share-arcbox"
	echo hello >"$BATS_FILE_TMPDIR/share-arcbox/file"
	vm_find_kernel >&2
	export found_kernel=$VM_KERNEL found_modules=$VM_MODULES
}

setup()
{
	[ -z "$VM_TEST_SKIP" ] || skip "$VM_TEST_SKIP"
	VM_DISKS=("$BATS_FILE_TMPDIR/disk" "$BATS_FILE_TMPDIR/root")
	VM_SHARES=("arcbox=$BATS_FILE_TMPDIR/share-arcbox")
	VM_TRANSPORT=virtio-serial
	VM_INITRD=$BATS_TEST_TMPDIR/initrd
	VM_KERNEL=$found_kernel VM_MODULES=$found_modules version=${found_modules##*/}
}

teardown()
{
	[ -z "$VM_DIR" ] || console | tail -n 60 >&2
	vm_test_stop
}

needs() { vm_program "$1" >/dev/null || skip "$1 is not installed (tools/install-deps vm)"; }

# boot WORD...: the root is the distribution's, and what the host's side of guestbox asks it.
boot()
{
	VM_APPEND=(root=/dev/vdb rootfstype=ext4 "$@")
	vm_start 3>&-
	vm_test_export
	vm_wait_rpc "$patience"
}

# holds DISK: volumes and share are in the root, the daemon answers, the steps are in the timeline, the end is clean.
holds()
{
	run console
	[[ $output == *'guestbox: step data-disk: done'*'guestbox: step into-root: done'* ]]
	[[ $output == *"testix: share: hello, disk: $1"* ]]
	[[ $output == *'testix: /dev/vda /var/lib/docker btrfs '*'subvol=/@docker'* && $output == *'testix: arcbox /arcbox virtiofs '* ]]
	[[ $output == *'testix: /dev/vda /run/arcbox/data btrfs '* ]]
	[[ $output != *'testix: not:'* && $output != *'step '*': failed'* ]]
	run vm_rpc timeline -a --json
	[[ $output == *'"data-disk'* && $output == *'"into-root'* ]]
	vm_rpc shutdown
	vm_wait_off "$patience"
	run console
	[[ $output == *"reboot: Power down"* && $output != *"NOT CLEAN"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
	e2fsck -fn "$BATS_FILE_TMPDIR/root"
}

@test "initramfs-tools: a blank disk is formatted, volumes and share are in the root, the daemon answers, off is clean" {
	needs mkinitramfs
	in_place "$VM_MODULES" bash -c "with_initramfs_tools $version $VM_INITRD"
	boot rw guestbox.data=/dev/vda guestbox.share=arcbox:/arcbox
	holds 1
}

@test "mkinitcpio's functions: the same, on the disk that is ready" {
	in_place "$VM_MODULES" bash "$abs_top_srcdir/tests/tools/mkinitcpio" "$version" "$VM_INITRD" guestbox
	boot rw guestbox.data=/dev/vda guestbox.share=arcbox:/arcbox
	holds 2
}
