#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-net in a network namespace of its own: two ends of a veth, and a DHCP server at the far one. Nothing of the
# machine's own network is touched.
load ../lib.bash

setup() {
	need_applet guest-net
	T=$BATS_TEST_TMPDIR
	mkdir -p "$T/etc" /run/guestbox
	mount -t tmpfs tmpfs /run/guestbox
	export GUESTBOX_CMDLINE=$T/cmdline G=$GUESTBOX T
	: >"$GUESTBOX_CMDLINE"
	unset GUESTBOX_NET GUESTBOX_IP GUESTBOX_HOSTNAME GUESTBOX_ETC
	cat >"$T/script" <<-END
		#!/bin/sh
		exec "$GUESTBOX" guest-net lease --log "json:$T/log" "\$1"
	END
	chmod +x "$T/script"
}

teardown() {
	umount -l /run/guestbox
}

# inside COMMANDS...: in a network, name and process namespace of their own, whose processes end with it; eth0 is the
# machine's end of a veth, far the other one's, in a namespace "server".
inside() {
	cat >"$T/inside" <<-'END'
		set -eu
		mount -t sysfs sysfs /sys
		mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; }
		ip netns add server
		ip link add eth0 type veth peer name far netns server
		ip -n server addr add 10.7.0.1/24 dev far
		ip -n server link set far up
		net() { "$G" guest-net --etc "$T/etc" --script "$T/script" "$@"; }
		# until CONDITION...: waits for it
		until_() { for i in $(seq 1 6000); do "$@" && return; sleep 0.02; done; echo "not so: $*"; return 1; }
		# serve [LINE...]: a DHCP server; hands out 10.7.0.50
		serve() {
			printf '%s\n' "start 10.7.0.50" "end 10.7.0.50" "interface far" "lease_file $T/leases" "pidfile $T/udhcpd.pid" \
				"opt subnet 255.255.255.0" "opt lease 600" "$@" >"$T/udhcpd.conf"
			: >"$T/leases"
			ip netns exec server busybox udhcpd -f "$T/udhcpd.conf" >/dev/null 2>&1 &
		}
	END
	cat >>"$T/inside"
	unshare --net --uts --pid --mount --fork --mount-proc --kill-child bash "$T/inside" 3>&-
}

@test "what a power cut has left half written does not keep the next boot from it" {
	run inside <<-'END'
		for pid in $(seq 2 4000); do : >"$T/etc/hosts.$pid.part"; done # a boot counts its processes from one
		net --interface none
		grep -c localhost "$T/etc/hosts"
	END
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"/etc/hosts: "*" added"* && $output != *guest-net:* ]]
}

@test "a static address: lo, name, hosts, link, address, route, resolver; and the same again changes nothing" {
	run inside <<-'END'
		hostname localhost
		net --interface eth0 --ip 10.7.0.2:10.7.0.8:10.7.0.1:255.255.255.0:vm7.lan:::10.7.0.3:10.7.0.4:10.7.0.9 >"$T/first"
		cat "$T/first"
		ip -o addr show dev lo; ip -o -4 addr show dev eth0; ip route
		hostname; cat "$T/etc/hosts" "$T/etc/resolv.conf" /run/guestbox/net/eth0
		busybox ping -c 1 -W 60 10.7.0.1 >/dev/null && echo reached
		stat -c %i:%Y "$T"/etc/* >"$T/before"
		net --interface eth0 --ip 10.7.0.2:10.7.0.8:10.7.0.1:255.255.255.0:vm7.lan:::10.7.0.3:10.7.0.4:10.7.0.9 --json
		stat -c %i:%Y "$T"/etc/* | diff "$T/before" -
		ip route | grep -c default
	END
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"127.0.0.1/8"* && $output == *"inet 10.7.0.2/24 brd 10.7.0.255"* ]]
	[[ $output == *"default via 10.7.0.1 dev eth0"* && $output == *$'\nvm7\n'* ]]
	[[ $output == *$'127.0.0.1 localhost\n::1 localhost\n127.0.1.1 vm7\n'* ]]
	[[ $output == *$'search lan\nnameserver 10.7.0.3\nnameserver 10.7.0.4\n'* ]]
	[[ $output == *$'method=static\naddress=10.7.0.2/24\n'*$'server=10.7.0.8\nntp=10.7.0.9\n'* ]]
	[[ $output == *reached* ]]
	[[ $output == *'{"interface":"eth0","method":"static","hostname":"vm7","steps":[{"step":"loopback",'*'"result":"done"}'*$'\n1' ]]
}

@test "another address in place of the old one; a gateway outside of the network; files of others are left alone" {
	run inside <<-'END'
		net --interface eth0 --ip 10.7.0.2::10.7.0.1:24 >/dev/null
		echo "nameserver 9.9.9.9" >"$T/etc/resolv.conf"
		echo "10.7.0.9 friend # by hand" >"$T/etc/hosts"
		net --interface eth0 --ip 10.7.0.77::10.99.0.1:32
		ip -o -4 addr show dev eth0; ip route
		cat "$T/etc/resolv.conf" "$T/etc/hosts"
		rm "$T/etc/resolv.conf"; ln -s /nowhere/resolv.conf "$T/etc/resolv.conf"
		net --interface eth0 --ip 10.7.0.77::10.99.0.1:32 | grep resolver
		readlink "$T/etc/resolv.conf"
	END
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output != *"10.7.0.2/24 brd"* && $output == *"inet 10.7.0.77/32"* ]]
	[[ $output == *"default via 10.99.0.1 dev eth0"*"10.99.0.1 dev eth0 scope link"* ]]
	[[ $output == *"nameserver 9.9.9.9"* && $output == *"10.7.0.9 friend # by hand"* ]]
	[[ $output == *"is a link of somebody's: left alone"*"/nowhere/resolv.conf" ]]
}

@test "DHCP: a client that stays; renew; a second run finds it; its end is seen" {
	run inside <<-'END'
		hostname localhost
		serve "opt router 10.7.0.1" "opt dns 10.7.0.3" "opt domain lan" "opt mtu 1400"
		net --interface eth0 --lease-wait 30
		ip -o -4 addr show dev eth0; ip route | grep default; cat "$T/etc/resolv.conf"; cat /sys/class/net/eth0/mtu
		client=$(cat /run/guestbox/net/eth0.lock); cat /proc/$client/comm
		net --interface eth0 | grep dhcp:
		[ "$(cat /run/guestbox/net/eth0.lock)" = "$client" ]
		rm /run/guestbox/net/eth0
		"$G" guest-net renew
		until_ test -e /run/guestbox/net/eth0
		grep -o address=10.7.0.50/24 /run/guestbox/net/eth0
		kill $client
		until_ sh -c "! grep -qs 'State:.[RSD]' /proc/$client/status"
		net --interface eth0 --lease-wait 30 | grep dhcp:
		[ "$(cat /run/guestbox/net/eth0.lock)" != "$client" ]
	END
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"dhcp: eth0 has 10.7.0.50/24, the client stays"* && $output == *"inet 10.7.0.50/24 brd 10.7.0.255"* ]]
	[[ $output == *"default via 10.7.0.1 dev eth0"* && $output == *$'search lan\nnameserver 10.7.0.3\n1400\n'* ]]
	[[ $output == *"udhcpc"* || $output == *"busybox"* ]]
	[[ $output == *"the client was there already"*"address=10.7.0.50/24"*"the client stays" ]]
}

@test "DHCP without a server: the step ends in time and fails, the client goes on and its lease is applied when it comes" {
	run inside <<-'END'
		net --interface eth0 --lease-wait 0.5 && exit 9
		echo "status $?"
		ip -o -4 addr show dev eth0
		serve "opt router 10.7.0.1"
		until_ grep -qs address=10.7.0.50 /run/guestbox/net/eth0
		ip -o -4 addr show dev eth0
	END
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"guest-net: dhcp: eth0: no lease within 0.5 s; the client goes on asking"*"status 1"*"inet 10.7.0.50/24"* ]]
}

@test "a lease: classless routes in place of the router, another address, deconfig, and what no server should say" {
	run inside <<-'END'
		lease() { env interface=eth0 GUESTBOX_ETC="$T/etc" "$@"; }
		hostname guestbox
		lease ip=10.7.0.9 mask=24 router=10.7.0.1 dns=10.7.0.3 hostname=named "$G" guest-net lease bound
		hostname; ip route
		lease ip=10.7.0.10 mask=24 router=10.7.0.1 'staticroutes=10.50.0.0/16 10.7.0.1 0.0.0.0/0 10.7.0.5' hostname=other \
			"$G" guest-net lease renew
		hostname; ip -o -4 addr show dev eth0; ip route
		lease ip=10.7.0.10 mask=24 'domain=$(touch /tmp/x) ;rm' $'dns=10.7.0.3\nsearch evil' "$G" guest-net lease renew
		cat "$T/etc/resolv.conf"
		lease "$G" guest-net lease nak; lease "$G" guest-net lease leasefail
		lease "$G" guest-net lease deconfig
		echo "after: $(ip -o -4 addr show dev eth0) $(ip route)"; ls /run/guestbox/net
	END
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *$'\nnamed\ndefault via 10.7.0.1'* ]]
	[[ $output == *"10.50.0.0/16 via 10.7.0.1"* && $output == *"default via 10.7.0.5 dev eth0"* ]]
	[[ $output != *$'\nother\n'* && $output != *evil* && $output != *touch* ]]
	[[ $output == *"the server refuses it"*"no server answers"*"after:  " ]]
}

@test "a client that cannot be had, or that ends, is a clear failure; other steps are done all the same" {
	run inside <<-'END'
		net --interface eth0 --client /nonexistent/udhcpc 2>&1 >/dev/null || echo "status $?"
		printf '#!/bin/sh\nexit 7\n' >"$T/client"; chmod +x "$T/client"
		net --interface eth0 --client "$T/client" || echo "status $?"
		net --interface eth0 --script /nonexistent/script || echo "status $?"
		net --interface eth9 --wait 0.1 || echo "status $?"
		net && echo "status $?"
		net --interface eth0 --ip 10.7.0.2::10.7.0.255:24 || echo "status $?"
	END
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == "guest-net: dhcp: /nonexistent/udhcpc: No such file or directory"$'\nstatus 1\n'* ]]
	[[ $output == *"guest-net: dhcp: eth0: the DHCP client ended with status 7"*"status 1"* ]]
	[[ $output == *"guest-net: dhcp: /nonexistent/script: No such file or directory"*"status 1"* ]]
	[[ $output == *"guest-net: interface: eth9: no such interface, and none came up in time"*"status 1"* ]]
	# a veth has no device behind it
	[[ $output == *"interface: none: nothing that is here has a device behind it"*"status 0"* ]]
	# the kernel's reason, not the library's
	[[ $output == *"guest-net: routes: eth0: default route: Invalid argument"*"status 1" ]]
	[[ $output == *"loopback: lo up"* ]]
}

@test "a step that hangs is given up in time, and the next ones are done" {
	run inside <<-'END'
		mkfifo "$T/etc/hosts"
		net --interface eth0 --ip 10.7.0.2::10.7.0.1:24 || echo "status $?"
		ip -o -4 addr show dev eth0
	END
	echo "$output"
	[[ $output == *"guest-net: hosts: not done within 2.0 s: given up"*"interface: eth0"*"address: eth0 has 10.7.0.2/24"*"status 1"*"inet 10.7.0.2/24"* ]]
}
