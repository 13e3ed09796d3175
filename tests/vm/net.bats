#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The network of a guest: QEMU's user networking, whose DHCP server is 10.0.2.2 and hands out 10.0.2.15; two cards, of
# which the first on the bus is the machine's.
load lib.bash

setup()
{
	[ -z "$VM_TEST_SKIP" ] || skip "$VM_TEST_SKIP"
	# busybox's own clients look names up, for which a static program needs the libraries that it is free of
	VM_INITRD_OPTIONS=(--module dummy --program "$(command -v socat)")
	# The second one is named first, and in front of both stands a dummy.
	VM_QEMU=(-netdev user,id=two,net=10.0.9.0/24 -device virtio-net-pci,netdev=two,addr=0x1e,mac=52:54:00:00:00:02
		-netdev user,id=one,hostname=offered -device virtio-net-pci,netdev=one,addr=0x1d,mac=52:54:00:00:00:01)
}

setup_file()
{
	vm_test_can || true
}

teardown()
{
	console | tail -n 20 >&2
	vm_test_stop
}

@test "DHCP: the first card of the bus has a lease, its client stays and renews, names are asked for where it says" {
	vm_test_start
	run guest 'ip -o -4 addr show; ip route; cat /etc/resolv.conf /etc/hosts; hostname; ls -l /sys/class/net/*/device
		cat /run/guestbox/net/*; pidof udhcpc; boot-timeline -a --json'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"lo    inet 127.0.0.1/8"* && $output == *"inet 10.0.2.15/24 brd 10.0.2.255"* ]]
	[[ $output != *"inet 10.0.9."* ]]
	[[ $output == *"default via 10.0.2.2"* && $output == *"nameserver 10.0.2.3"* && $output == *$'\noffered\n'* ]]
	[[ $output == *"127.0.1.1 offered"* ]]
	[[ $output == *'"track":"guest-net","name":"dhcp"'* ]]
	run guest 'interface=$(sed -n s/^interface=//p /run/guestbox/net/*[0-9]); cat /sys/class/net/$interface/address
		rm /run/guestbox/net/$interface; guest-net renew
		for i in $(seq 1000); do [ -e /run/guestbox/net/$interface ] && break; usleep 100000; done
		cat /run/guestbox/net/$interface; socat -T 60 - TCP4:10.0.2.2:1 2>&1; true'
	echo "$output"
	[[ $output == 52:54:00:00:00:01* && $output == *"address=10.0.2.15/24"* ]]
	# The host is reached, and says no.
	[[ $output == *"onnection refused"* ]]
	run vm_rpc info
	[[ $output == *"10.0.2.15"* ]]
	guest guest-poweroff || true
	vm_wait_off "$patience"
	run console
	[[ $output == *"guestbox: network: dhcp: "*" has 10.0.2.15/24, the client stays"* && $output == *"guestbox: step network: done"* ]]
}

@test "ip= on the kernel command line, the card by its MAC address: no DHCP client" {
	vm_test_start ip=10.0.9.77::10.0.9.2:255.255.255.0:vm9.lan::off:10.0.9.3 guestbox.net=52:54:00:00:00:02
	run guest 'ip -o -4 addr show; ip route; cat /etc/resolv.conf; hostname; pidof udhcpc
		socat -T 60 - TCP4:10.0.9.2:1 2>&1; true'
	echo "$output"
	[[ $output == *"inet 10.0.9.77/24"*"default via 10.0.9.2"*$'search lan\nnameserver 10.0.9.3\nvm9\n'*"onnection refused"* ]]
	[[ $output != *"10.0.2.15"* ]]
}

unplugged() {
	vm_qmp '{"execute":"set_link","arguments":{"name":"one","up":false}}' >&2
	vm_qmp '{"execute":"cont"}' >&2
}

@test "the cable is out: the boot is degraded, in time, and a lease that comes later is applied" {
	VM_QEMU=(-netdev user,id=one -device virtio-net-pci,netdev=one,mac=52:54:00:00:00:01 -S)
	VM_TEST_HOOK=unplugged
	vm_test_start
	run console
	[[ $output == *"network: link: eth0 up, no carrier yet"*"network: guest-net: dhcp: eth0: no lease within 6.0 s; the client goes on asking"* ]]
	[[ $output == *"ready, degraded: failed: network"* ]]
	vm_qmp '{"execute":"set_link","arguments":{"name":"one","up":true}}' >&2
	run guest 'for i in $(seq 1000); do grep -qs address=10.0.2.15 /run/guestbox/net/eth0 && break; usleep 100000; done
		ip -o -4 addr show'
	echo "$output"
	[[ $output == *"inet 10.0.2.15/24"* ]]
}
