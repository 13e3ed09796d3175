#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A guest that is stopped and continued, saved and restored: its clock, its connections, its timers. Without shares, which
# cannot be saved; the data disk is a qcow2 image, which holds the saved state.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	qemu-img create -q -f qcow2 "$BATS_FILE_TMPDIR/disk" 2G
	VM_QEMU=(-drive "file=$BATS_FILE_TMPDIR/disk,if=none,id=data,format=qcow2" -device virtio-blk-pci,drive=data
		-netdev user,id=one -device virtio-net-pci,netdev=one)
	VM_DISKS=()
	VM_MEMORY=512M # all of it is saved
	VM_TEST_DATA=/dev/vda
	vm_test_start
}

teardown_file()
{
	vm_test_stop
}

# One command of QEMU's monitor: prints its answer.
monitor() { vm_qmp "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"$1\"}}"; }

# How far the guest's clock is behind this machine's, whole seconds.
behind()
{
	local there
	there=$(guest 'date +%s') || return
	echo $(($(date +%s) - there))
}

# Waits until the guest's clock is right again; says how it was found out.
until_right()
{
	local off tries
	for ((tries = 0; tries < 600; tries++)); do
		off=$(behind) && [ "${off#-}" -le 3 ] && return 0
		sleep 0.1
	done
	echo "still $off s behind" >&2
	console | tail -n 20 >&2
	return 1
}

@test "the clocks: which one this guest compares with" {
	run guest 'ps | grep "[g]uest-clock"; ls /dev/ptp* /dev/rtc0; cat /sys/class/ptp/*/clock_name'
	echo "$output"
	[[ $output == *"guest-clock --watch"* && $output == *"/dev/rtc0"* ]]
}

@test "stop and cont: the clock is stepped once, the lease renewed, timers and connections go on" {
	guest 'rm -f /run/guestbox/net/eth0; cut -d. -f1 /proc/uptime >/run/begun
		(for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1; echo $i >>/run/ticks; done) </dev/null >/dev/null 2>&1 &'
	vm_rpc ping before
	vm_qmp '{"execute":"stop"}' >&2
	sleep 8 # the pause itself
	vm_qmp '{"execute":"cont"}' >&2
	# What a burst would be: ticks for the time that was no time.
	run guest 'echo $(cat /run/ticks 2>/dev/null | wc -l) $(($(cut -d. -f1 /proc/uptime) - $(cat /run/begun)))'
	echo "ticks and seconds: $output"
	[ "${output% *}" -le $((${output#* } + 1)) ]
	until_right
	run console
	[ "$(grep -c 'guest-clock: clock stepped by +[0-9.]* s, to /dev/' <<<"$output")" -eq 1 ]
	[ "$(grep -c 'vsock-rpcd.*the machine was paused or restored' <<<"$(guest dmesg)")" -eq 1 ]
	vm_rpc ping after
	run guest 'for i in $(seq 1000); do [ -e /run/guestbox/net/eth0 ] && break; usleep 100000; done; cat /run/guestbox/net/eth0'
	[[ $output == *"address=10.0.2.15/24"* ]]
}

@test "savevm and loadvm: a request cut in half by it is dropped at once, the clock is right again" {
	guest 'echo one >/var/lib/docker/state; sync'
	# Half a frame of a client that will never send the rest.
	exec {half}> >(exec socat -u - "UNIX-CONNECT:${VM_RPC#unix:}" 3>&-)
	client=$!
	printf '\0\0\0\x10\0\0\0\x01\0\0\x0a' >&"$half"
	run monitor "savevm here"
	echo "$output"
	[[ $output == *'"return": ""'* ]]
	kill "$client"
	exec {half}>&-
	guest 'echo two >/var/lib/docker/state; sync'
	sleep 6 # so that the state is old
	run monitor "loadvm here"
	echo "$output"
	[[ $output == *'"return": ""'* ]]
	vm_qmp '{"execute":"cont"}' >&2
	vm_wait_rpc "$patience"
	[ "$(guest 'cat /var/lib/docker/state')" = one ]
	until_right
}

@test "the host's Ping sets the clock, too, and whoever sets it is followed" {
	guest 'date -s "2030-01-01 00:00:00" >/dev/null' || true
	vm_rpc ping --set-clock now
	until_right
}

@test "the data disk is clean after all of it" {
	guest 'echo three >/var/lib/docker/state'
	vm_rpc shutdown
	vm_wait_off "$patience"
	run console
	[[ $output != *"NOT CLEAN"* && $output == *"reboot: Power down"* ]]
	qemu-img convert -O raw "$BATS_FILE_TMPDIR/disk" "$BATS_FILE_TMPDIR/raw"
	btrfs check --readonly "$BATS_FILE_TMPDIR/raw"
}
