#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-net: what can be said of a network without touching one.
load ../lib.bash

setup() {
	need_applet guest-net
	T=$BATS_TEST_TMPDIR
	mkdir -p "$T/etc" "$T/net" "$T/dev/pci0/virtio1"
	export GUESTBOX_CMDLINE=$T/cmdline
	echo "quiet" >"$GUESTBOX_CMDLINE"
	unset GUESTBOX_NET GUESTBOX_IP GUESTBOX_HOSTNAME GUESTBOX_ETC
	# A name that every namespace has, so that it has an index.
	mkdir "$T/net/lo"
	echo 1 >"$T/net/lo/type"
	echo 02:00:00:00:00:07 >"$T/net/lo/address"
	ln -s "$T/dev/pci0/virtio1" "$T/net/lo/device"
}

plan() { gb guest-net --etc "$T/etc" --sys "$T/net" --dry-run "$@"; }

@test "--dry-run: DHCP by default, a static address by ip=, neither by ip=off" {
	run plan
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *$'loopback\nhostname: as it is\nhosts\ninterface: lo, '*$'\nlink\ndhcp' ]]
	echo "quiet ip=10.0.2.15::10.0.2.2:255.255.255.0:vm1.lan::off:10.0.2.3 x" >"$GUESTBOX_CMDLINE"
	run plan
	echo "$output"
	[[ $output == *"hostname: vm1"* && $output == *"address=10.0.2.15/24"* && $output == *"gateway=10.0.2.2"* ]]
	[[ $output == *"dns=10.0.2.3"* && $output == *"domain=lan"* && $output == *resolver* && $output != *dhcp* ]]
	echo "ip=off" >"$GUESTBOX_CMDLINE"
	run plan
	echo "$output"
	[ "$output" = $'loopback\nhostname: as it is\nhosts' ]
	echo "guestbox.net=none" >"$GUESTBOX_CMDLINE"
	run plan
	[ "$output" = $'loopback\nhostname: as it is\nhosts' ]
}

@test "who is asked first decides: option, environment, command line, file" {
	echo "ip=10.0.0.1:::24 guestbox.hostname=cmdline" >"$GUESTBOX_CMDLINE"
	echo file >"$T/etc/hostname"
	run plan
	[[ $output == *"hostname: cmdline"*"address=10.0.0.1/24"* ]]
	GUESTBOX_HOSTNAME=env GUESTBOX_IP=10.0.0.2:::24 run plan
	[[ $output == *"hostname: env"*"address=10.0.0.2/24"* ]]
	GUESTBOX_HOSTNAME=env GUESTBOX_IP=10.0.0.2:::24 run plan --hostname option --ip 10.0.0.3:::24
	[[ $output == *"hostname: option"*"address=10.0.0.3/24"* ]]
	: >"$GUESTBOX_CMDLINE"
	run plan
	[[ $output == *"hostname: file"* ]]
	echo "no name" >"$T/etc/hostname"
	run plan
	[[ $output == *"hostname: no"* ]]
	echo "_" >"$T/etc/hostname"
	run plan
	[[ $output == *"hostname: as it is"* ]]
}

@test "an interface is found by its device, its name or its MAC address" {
	run plan --interface 02:00:00:00:00:07
	[[ $output == *"interface: lo, $T/dev/pci0/virtio1"* ]]
	run plan --interface lo
	[[ $output == *"interface: lo, "* ]]
	run plan --interface 02:00:00:00:00:08
	[ "$status" -eq 1 ]
	[[ $output == *"guest-net: 02:00:00:00:00:08: no such interface" ]]
	rm "$T/net/lo/device"
	run plan
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"interface: none: "* && $output != *dhcp* ]]
}

@test "what cannot be is refused before anything is done" {
	echo "ip=10.0.2.300" >"$GUESTBOX_CMDLINE"
	fails 1 'ip: autoconfiguration "10.0.2.300"' gb guest-net --sys "$T/net" --etc "$T/etc"
	: >"$GUESTBOX_CMDLINE"
	fails 2 "--ip: gateway" gb guest-net --ip 10.0.0.1::x
	fails 2 "host name" gb guest-net --hostname "a b"
	long=$(printf 'x%.0s' {1..600})
	fails 2 "--ip: too long" gb guest-net --sys "$T/net" --etc "$T/etc" --dry-run --ip "$long"
	fails 2 "--interface: too long" gb guest-net --sys "$T/net" --etc "$T/etc" --dry-run --interface "$long"
	GUESTBOX_NET=$long fails 1 "GUESTBOX_NET: File name too long" gb guest-net --sys "$T/net" --etc "$T/etc" --dry-run
	fails 2 "wait for a lease" gb guest-net --lease-wait x
	fails 2 "wait for the interface" gb guest-net --wait -1
	fails 2 "unknown verb" gb guest-net up
	fails 2 "event" gb guest-net lease
	fails 2 "none of deconfig, bound" gb guest-net lease up
	fails 2 "surplus" gb guest-net renew now
	interface=lo fails 1 'address ""' gb guest-net lease bound
	interface=../x fails 1 "../x" gb guest-net lease deconfig
	[ ! -e "$T/etc/hosts" ]
}
