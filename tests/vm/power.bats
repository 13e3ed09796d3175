#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The power-off, of a guest that makes it hard: whatever happens, the machine ends in time and its disks are clean.
load lib.bash

setup()
{
	vm_test_disk disk 2G
	vm_test_share arcbox
}

teardown()
{
	console | tail -n 40 >&2
	vm_test_stop
	rm -f "$BATS_FILE_TMPDIR/disk" "$BATS_FILE_TMPDIR/swap"
}

# ask COMMANDS [SECONDS]: the request may end the agent before its answer is out; the end of the machine is one, too.
ask()
{
	guest "$1" "${2:-$patience}" >&2 || true
}

@test "an idle guest: every file system is named and clean, in the order of its end" {
	vm_test_start
	run guest 'cat /proc/1/comm'
	[ "$output" = guest-init ]
	run guest 'boot-timeline --json'
	echo "$output"
	for step in init:kernel init:data-disk "arcmount:shares" "btrfs-bootstrap:btrfs-bootstrap" "vsock-rpcd:listening"; do
		[[ $output == *"\"track\":\"${step%:*}\",\"name\":\"${step#*:}\",\"begin_usec\":"* ]]
	done
	[[ $output == *'"ready_usec":'[1-9]* ]]
	ask guest-poweroff
	vm_wait_off "$patience"
	run console
	[[ $output == *"guest-poweroff: unmount /run/arcbox/data: "* ]]
	[[ $output == *"guest-poweroff: /dev/vda (btrfs on /run/arcbox/data): clean, unmounted"* ]]
	[[ $output == *"guest-poweroff: arcbox (virtiofs on /arcbox): clean, unmounted"*"guest-poweroff: off after "*"reboot: Power down"* ]]
	[[ $output != *"NOT CLEAN"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "who ignores SIGTERM, swap, a mapped loop device on the data disk, an overlay, and two requests" {
	dmsetup=$(PATH=$PATH:/usr/sbin:/sbin command -v dmsetup)
	vm_test_disk swap 64M
	VM_INITRD_OPTIONS+=(--module loop --module dm_mod --program "$dmsetup")
	vm_test_start
	run guest 'set -e
		mkswap /dev/vdb >/dev/null; swapon /dev/vdb
		d=/var/lib/docker; truncate -s 128M $d/inner.img
		echo hello >$d/file; cp $d/file $d/written
		mkdir -p $d/low $d/up $d/work $d/merged /mnt/tree
		arcmount overlay --lower $d/low --upper $d/up --work $d/work $d/merged; echo over >$d/merged/file
		dev=$(losetup -f); losetup $dev $d/inner.img
		echo "0 262144 linear $dev 0" | dmsetup --noudevsync create mapped; mkfs.btrfs /dev/dm-0 >/dev/null
		arcmount mount -t btrfs /dev/dm-0 /mnt/tree; echo inner >/mnt/tree/file
		cat >/run/stubborn <<-END
			trap "" TERM HUP INT
			cd /mnt/tree
			while :; do sleep 1; done
		END
		setsid sh /run/stubborn </dev/null >/dev/null 2>&1 &
		until ls -l /proc/[0-9]*/cwd | grep -q "/mnt/tree$"; do usleep 20000; done; cat /proc/swaps'
	echo "$output"
	[ "$status" -eq 0 ]
	ask 'trap "" TERM; guest-poweroff --grace 28; until [ -s /run/guestbox/power.lock ]; do usleep 20000; done
		guest-poweroff --grace 20 2>/dev/kmsg; reboot 2>/dev/kmsg'
	vm_wait_off "$patience"
	run console
	[[ $output == *"guest-poweroff: power-off: already under way"*"reboot: power-off: already under way"* ]]
	[[ $output =~ "guest-poweroff: terminate: not ended, "[0-9.]+" ms, waited for "[0-9]+" (sh)" ]]
	[[ $output == *"guest-poweroff: swapoff /dev/vdb: "* ]]
	[[ $output == *"guest-poweroff: unmount /mnt/tree: "*"guest-poweroff: device-mapper mapped: "*"guest-poweroff: loop /dev/loop0: "*"guest-poweroff: unmount /var/lib/docker: "* ]]
	[[ $output == *"/dev/dm-0 (btrfs on /mnt/tree): clean, unmounted"* ]]
	[[ $output == *"/dev/vda (btrfs on /run/arcbox/data): clean, unmounted"* ]]
	[[ $output != *"NOT CLEAN"* ]]
	[[ $output == *"reboot: Power down"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "a dead virtiofs, with a process in D state on it: the data disk is clean all the same" {
	vm_test_start
	run guest 'echo data >/var/lib/docker/file'
	[ "$status" -eq 0 ]
	for pid in $(pgrep -f -- "--socket-path=$VM_DIR/fs0"); do kill -STOP "$pid"; done
	ask '(cat /arcbox/some-file >/dev/null 2>&1 &)
		until grep -q request_wait_answer /proc/[0-9]*/wchan 2>/dev/null; do sleep 0.1; done
		guest-poweroff --grace 16' 20 # the machine cannot end before virtiofsd goes on
	vm_wait_console 'guest-poweroff: off after' "$patience" >/dev/null
	# QEMU itself waits for virtiofsd when the kernel stops the device.
	for pid in $(pgrep -f -- "--socket-path=$VM_DIR/fs0"); do kill -CONT "$pid"; done
	vm_wait_off "$patience"
	run console
	[[ $output =~ "guest-poweroff: kill: not ended, "[0-9.]+" ms, waited for "[0-9]+" (cat), which cannot be killed" ]]
	[[ $output == *"arcbox (virtiofs on /arcbox): NOT CLEAN"* ]]
	[[ $output == *"/dev/vda (btrfs on /run/arcbox/data): clean, unmounted"* ]]
	[[ $output == *"reboot: Power down"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "PID 1: SIGINT (ctrl-alt-del) reboots in order, and a killed sequence does not leave the machine on" {
	vm_test_start
	ask 'kill -INT 1'
	vm_wait_off "$patience"
	run console
	[[ $output == *"guest-poweroff: reboot after "*"reboot: Restarting system"* ]]
	[[ $output == *"/dev/vda (btrfs on /run/arcbox/data): clean, unmounted"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
	vm_stop
	vm_defaults
	VM_DISKS=("$BATS_FILE_TMPDIR/disk")
	vm_test_start
	# Somebody holds the sequence up, and then kills it.
	ask '(trap "" TERM; setsid sh -c "trap \"\" TERM; until [ -s /run/guestbox/power.lock ]; do usleep 20000; done; sleep 1
		while :; do kill -9 \$(pidof guest-poweroff); usleep 20000; done" >/dev/null 2>&1 &) ; guest-poweroff --grace 20'
	vm_wait_off "$patience"
	run console
	[[ $output == *"guest-init: off: the sequence failed: ending at once"* ]]
	[[ $output == *"reboot: Power down"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "an ext4 root stays in use, is made read-only, and ends clean; PID 1 outlives its command" {
	tree=$BATS_FILE_TMPDIR/tree
	rm -rf "$tree"
	mkdir -p "$tree"/{bin,dev,proc,run,sys,tmp}
	cp "$(command -v busybox)" "$tree/bin/busybox"
	cp "$GUESTBOX" "$tree/bin/guestbox"
	for name in sh cat echo setsid usleep; do ln -s busybox "$tree/bin/$name"; done
	for name in guest-init guest-poweroff; do ln -s guestbox "$tree/bin/$name"; done
	# The command ends; who asks for the power-off then has a file of the root open for writing, and is its current folder.
	cat >"$tree/second" <<-'END'
		#!/bin/sh
		export PATH=/bin
		echo written >/written
		setsid sh -c 'exec 4>>/open; echo more >&4; while [ -e /proc/'$$'/exe ]; do usleep 20000; done
			guest-poweroff; while :; do usleep 20000; done' &
		while [ ! -s /open ]; do usleep 20000; done # the end of a session hangs up on who is still in it
		exit 7
	END
	chmod +x "$tree/second"
	cat >"$BATS_FILE_TMPDIR/init" <<-'END'
		#!/bin/sh
		export PATH=/bin
		guest-boot steps pseudo guest-boot pseudo-fs , modules guest-boot modules --list=/etc/guestbox/modules --devices ext4
		arcmount mount -m -t ext4 /dev/vda /new
		exec arcmount switch-root /new /bin/guest-init -- /second </dev/console >/dev/console 2>&1
	END
	chmod +x "$BATS_FILE_TMPDIR/init"
	mkfs.ext4 -q -d "$tree" "$BATS_FILE_TMPDIR/disk" 256M
	VM_SHARES=()
	VM_INITRD_OPTIONS+=(--init "$BATS_FILE_TMPDIR/init")
	vm_start 3>&-
	vm_test_export
	vm_wait_off "$patience"
	run console
	[[ $output == *"guest-init: /second: ended with status 7"* ]]
	[[ $output == *"guest-poweroff: read-only /: "* ]]
	[[ $output == *"guest-poweroff: /dev/vda (ext4 on /): clean, read-only"*"guest-poweroff: off after "*"reboot: Power down"* ]]
	[[ $output != *"NOT CLEAN"* ]]
	run dumpe2fs -h "$BATS_FILE_TMPDIR/disk"
	grep -qE '^Filesystem state: +clean$' <<<"$output"
	not_recovered=$(grep -E '^Filesystem features:' <<<"$output")
	[[ $not_recovered != *needs_recovery* ]] # a journal that is yet to be replayed
	e2fsck -fn "$BATS_FILE_TMPDIR/disk"
	[ "$(debugfs -R 'cat /written' "$BATS_FILE_TMPDIR/disk" 2>/dev/null)" = written ]
	[ "$(debugfs -R 'cat /open' "$BATS_FILE_TMPDIR/disk" 2>/dev/null)" = more ]
}

@test "a panic: the last steps of the boot are in the console's log" {
	VM_DISKS=()
	vm_test_start panic=-1
	ask 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger'
	vm_wait_off "$patience"
	run console
	[[ $output == *"guestbox: step modules: done"*"guestbox: step daemon: done"*"guestbox: ready"*"Kernel panic - not syncing: sysrq triggered crash"* ]]
}

@test "little memory: PID 1 outlives what the kernel kills, and the power-off is in order" {
	VM_MEMORY=256M
	vm_test_start
	# What PID 1 starts is not spared as it is itself.
	[ "$(guest 'set -- $(pidof vsock-rpcd); cat /proc/$1/oom_score_adj')" -gt -1000 ]
	run guest 'tail /dev/zero; echo "ended $?"; cat /proc/1/comm /proc/1/oom_score_adj'
	echo "$output"
	[[ $output == *"ended 137"*"guest-init"*"-1000" ]]
	vm_wait_rpc "$patience"
	vm_rpc shutdown
	vm_wait_off "$patience"
	run console
	[[ $output == *"Out of memory: Killed process"*"(btrfs on /run/arcbox/data): clean, unmounted"*"reboot: Power down"* ]]
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}
