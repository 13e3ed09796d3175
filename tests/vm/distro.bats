#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# init/init-distro: a distribution's root from a read-only image, what is written kept on the data disk.
load lib.bash

# A distribution of busybox: small, and no guest of ours until it is booted.
setup_file()
{
	vm_test_can || return 0
	if ! PATH=$PATH:/usr/sbin:/sbin command -v mkfs.erofs >/dev/null; then
		VM_TEST_SKIP="mkfs.erofs is not installed (tools/install-deps test)"
		return 0
	fi
	local image=$BATS_FILE_TMPDIR/distro
	mkdir -p "$image"/{bin,etc,root,usr/bin,var/lib,home,tmp}
	cp "$(command -v busybox)" "$image/bin/"
	for name in sh cat ls echo base64 tr sleep usleep grep sed mkdir stat readlink basename sync test env id; do
		ln -s busybox "$image/bin/$name"
	done
	echo 'NAME=Testix' >"$image/etc/os-release"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$image/etc/passwd"
	echo 'from the image' >"$image/home/file"
	printf '#!/bin/sh\necho "<4>testix: init is $$, $(cat /proc/1/comm), $*" >/dev/kmsg\necho ran >>/home/own-init; sync\nexec /run/guestbox/bin/guest-poweroff --force\n' \
		>"$image/bin/own-init"
	chmod +x "$image/bin/own-init"
	mkfs.erofs "$BATS_FILE_TMPDIR/image" "$image" >&2
	truncate -s 2G "$BATS_FILE_TMPDIR/disk"
}

setup()
{
	[ -z "$VM_TEST_SKIP" ] || skip "$VM_TEST_SKIP"
	VM_DISKS=("$BATS_FILE_TMPDIR/disk" "$BATS_FILE_TMPDIR/image")
	VM_INITRD_OPTIONS=(--init "$abs_top_srcdir/init/init-distro" --add "$abs_top_srcdir/tests/vm/agent:/lib/guestbox/test-agent")
	VM_PORTS=("$test_port")
	VM_APPEND=(guestbox.data=/dev/vda guestbox.root=/dev/vdb)
	vm_test_share arcbox
	cp "$abs_top_srcdir/tests/vm/agent" "$BATS_FILE_TMPDIR/share-arcbox/agent"
}

teardown()
{
	console | tail -n 30 >&2
	vm_test_stop
}

boot()
{
	VM_APPEND+=("$@")
	vm_start 3>&-
	vm_test_export
}

@test "root is image and disk; shares, volumes, daemon and timeline came along; off is clean" {
	boot guestbox.run=/arcbox/agent
	vm_wait_console 'guestbox: ready' "$patience"
	run guest 'cat /etc/os-release /home/file; grep " / " /proc/mounts; cat /proc/1/comm; echo new >/home/file; echo kept >/root/kept
		for t in docker containerd rancher/k3s kubelet cni; do arcmount is-mounted /var/lib/$t || echo "not: $t"; done
		echo docker >/var/lib/docker/file; cat /arcbox/agent | grep -c serve; ls /; boot-timeline --json'
	echo "$output"
	[[ $output == *$'NAME=Testix\nfrom the image\noverlay / overlay '* && $output == *$'\nguest-init\n'* ]]
	[[ $output != *not:* ]]
	# The steps before the switch and those after it.
	for step in init:kernel init:data-disk init:new-root init:move-in init:daemon "kernel:mount /new" "vsock-rpcd:listening"; do
		[[ $output == *"\"track\":\"${step%:*}\",\"name\":\"${step#*:}"* ]]
	done
	[[ $output == *'"ready_usec":'[1-9]* ]]
	run vm_rpc info
	[ "$status" -eq 0 ]
	vm_rpc shutdown
	vm_wait_off "$patience"
	run console
	[[ $output != *degraded* && $output != *"NOT CLEAN"* && $output == *"reboot: Power down"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "the second boot finds what the first wrote, and the image is as it was" {
	before=$(sha256sum <"$BATS_FILE_TMPDIR/image")
	boot guestbox.run=/arcbox/agent
	vm_wait_console 'guestbox: ready' "$patience"
	run guest 'cat /home/file /root/kept /var/lib/docker/file'
	echo "$output"
	[ "$output" = $'new\nkept\ndocker' ]
	vm_rpc shutdown
	vm_wait_off "$patience"
	[ "$(sha256sum <"$BATS_FILE_TMPDIR/image")" = "$before" ]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "guestbox.init: the distribution's own init is PID 1" {
	boot guestbox.init=/bin/own-init
	vm_wait_off "$patience"
	run console
	echo "$output"
	[[ $output == *"testix: init is 1, own-init, "* && $output == *"reboot: Power down"* && $output != *"NOT CLEAN"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "an image that is none: the boot stops, says why, and powers off" {
	truncate -s 1M "$BATS_FILE_TMPDIR/no-image"
	boot guestbox.init=/bin/no-such
	vm_wait_off "$patience"
	run console
	[[ $output == *"guestbox.init: /bin/no-such: no program in /dev/vdb"*"Power down"* ]]
	vm_test_stop
	VM_INITRD=
	VM_DISKS=("$BATS_FILE_TMPDIR/disk" "$BATS_FILE_TMPDIR/no-image")
	VM_APPEND=(guestbox.data=/dev/vda guestbox.root=/dev/vdb)
	boot
	vm_wait_off "$patience"
	run console
	echo "$output"
	[[ $output == *"guestbox: new-root: "*"/dev/vdb"*"step new-root: failed"*"the boot stops here"*"Power down"* ]]
}
