#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A guest that lacks its share and whose disk is somebody else's: it says so, stays up, and touches nothing.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	vm_test_disk disk 64M
	mkfs.ext4 -q "$BATS_FILE_TMPDIR/disk"
	sha256sum <"$BATS_FILE_TMPDIR/disk" >"$BATS_FILE_TMPDIR/sum"
	VM_QEMU=(-device pcie-root-port,id=late-port,chassis=1 -rtc base=1970-01-01T00:05:00)
	vm_test_start guestbox.shell
}

teardown_file()
{
	vm_test_stop
}

@test "a failed step is one clear line, and the boot goes on" {
	run console
	[[ $output =~ "guestbox: step data-disk: failed with status 3: btrfs-bootstrap" ]]
	[[ $output =~ "guestbox: data-disk: ".*ext4 ]]
	[[ $output =~ "guestbox: ready, degraded: failed: data-disk" ]]
	# The daemon came up in spite of it, and the host may ask.
	[[ $output =~ "guestbox: step daemon: done" ]]
	vm_wait_rpc "$patience"
}

@test "a share that the host does not offer is named, with what there is" {
	run console
	echo "$output"
	grep -F 'guestbox: shares: ' <<<"$output" | grep -F 'tag "arcbox" is not offered by the host'
}

@test "a clock at 1970 is brought to a time that a certificate can be of" {
	run guest 'date +%s'
	echo "$output"
	[ "$output" -ge 1577836800 ]
	run guest 'dmesg | grep -c "the clock stood at [0-9]*: set to"'
	[ "$output" = 1 ]
}

@test "guestbox.shell gives a shell on the console, and ^C works in it" {
	coproc shell { exec socat -t 0.2 - "UNIX-CONNECT:$VM_DIR/console" 3>&-; }
	# shellcheck disable=SC2154 # coproc sets shell_PID
	pid=$shell_PID
	printf 'sleep 10000\n' >&"${shell[1]}"
	vm_wait_console '# .*sleep 10000' "$patience"
	# What is typed is echoed before sleep runs; ^C counts from the moment that it does.
	guest 'until pidof sleep; do usleep 50000; done'
	printf '\003' >&"${shell[1]}"
	printf 'echo answer: $((6 * 7)) on "$(tty)"\n' >&"${shell[1]}"
	run vm_wait_console '^answer: 42' "$patience"
	kill "$pid"
	echo "$output"
	[[ $output == "answer: 42 on /dev/ttyS0" ]]
}

@test "a disk that comes late is waited for, not polled for" {
	truncate -s 512M "$BATS_FILE_TMPDIR/late"
	guest '(btrfs-bootstrap --device /dev/vdb --wait 200 >/tmp/late 2>&1; echo "status $?" >>/tmp/late) & sleep 0.5'
	run vm_qmp '{"execute": "blockdev-add", "arguments": {"node-name": "late", "driver": "raw",
		"file": {"driver": "file", "filename": "'"$BATS_FILE_TMPDIR"'/late"}}}'
	[[ $output == *'"return": {}'* ]]
	run vm_qmp '{"execute": "device_add", "arguments": {"driver": "virtio-blk-pci", "drive": "late", "id": "late",
		"bus": "late-port"}}'
	[[ $output == *'"return": {}'* ]]
	run guest 'for i in $(seq 2000); do grep status /tmp/late && break; usleep 100000; done
		cat /tmp/late; grep -c " btrfs " /proc/mounts'
	echo "$output"
	[[ ${lines[0]} == "status 0" ]]
	[[ ${lines[-1]} == 6 ]]
}

@test "the foreign disk has every byte that it had" {
	run vm_rpc shutdown
	echo "$output"
	[ "$status" -eq 0 ]
	vm_wait_off "$patience"
	# Not even for the shell on the console, which takes no notice of SIGTERM.
	run console
	[[ $output == *"guest-poweroff: terminate: "* ]]
	[[ $output != *"terminate: not ended"* ]]
	sha256sum -c "$BATS_FILE_TMPDIR/sum" <"$BATS_FILE_TMPDIR/disk"
}
