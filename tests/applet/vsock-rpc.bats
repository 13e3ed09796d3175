#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
load ../lib.bash
load daemon.bash

# A peer that answers every connection with these bytes, whatever it is asked.
start_liar() {
	bytes "$@" >"$dir/lie"
	socat "UNIX-LISTEN:$dir/s,fork" "SYSTEM:cat $dir/lie; sleep 0.2" 3>&- 2>/dev/null &
	daemon=$!
	listens "$dir/s"
}

@test "timeline: the boot of another machine, in every form that boot-timeline has" {
	need_applet boot-timeline
	cat >"$dir/kmsg" <<-'END'
		12,101,812345,-;guestbox: step kernel: done
		11,104,860500,-;guestbox: step data-disk: failed with status 3: btrfs-bootstrap
		12,106,870000,-;guestbox: ready
		12,107,990000,-;guestbox: step later: done
	END
	export GUESTBOX_KMSG=$dir/kmsg GUESTBOX_TIMELINE=$dir/timeline
	start_daemon
	for how in "" --json --svg --chrome -a "-a --json"; do
		rpc timeline $how >"$dir/there"
		gb boot-timeline $how >"$dir/here"
		diff "$dir/here" "$dir/there"
	done
	grep -q data-disk "$dir/there"
	# Strings of a message are UTF-8, names of steps are bytes.
	printf '12,108,995000,-;guestbox: step \377ml: done\n' >>"$dir/kmsg"
	[ "$(rpc timeline -a --json | jq -r '.steps[-1].name')" = '?ml' ]
	fails 2 "only one of" gb vsock-rpc --connect "unix:$dir/s" timeline --json --svg
}

@test "timeline: a long one comes whole, and what is no step is not drawn" {
	for i in $(seq 1 1024); do echo "12,$i,$((i * 1000)),-;guestbox: step number-$i: done"; done >"$dir/kmsg"
	export GUESTBOX_KMSG=$dir/kmsg GUESTBOX_TIMELINE=$dir/none
	start_daemon
	[ "$(rpc timeline --json | jq '.steps | length')" -eq 1024 ]
	kill "$daemon"; wait "$daemon" || true; rm -f "$dir/s"
	# a step that ends before it begins
	start_liar "00000013 00001f00 0001 74 0a0a 0805 1002 2a0161 320162"
	fails 1 "step 1 is none" rpc timeline --trace t
}

@test "ping echoes, in text and in JSON" {
	start_daemon
	run rpc ping 'a "b" ü'
	[[ $output == 'pong: a "b" ü (version '* ]]
	[ "$(rpc ping --json hi | jq -r .message)" = "pong: hi" ]
	[ "$(rpc --json ping | jq -r .message)" = pong ]
	[ "$(rpc ping --json | jq -r .protocol_version)" = 1 ]
	run rpc ping $'x\e[31m'
	[[ $output != *$'\e'* ]]
}

@test "ping --set-clock leaves a good clock alone" {
	start_daemon
	rpc ping --set-clock
	run grep -c clock "$dir/log"
	[ "$output" = 0 ]
}

@test "info shows what the kernel says" {
	start_daemon
	rpc info --json >"$dir/info"
	cat "$dir/info"
	[ "$(jq -r .kernel_version "$dir/info")" = "$(uname -r)" ]
	[ "$(jq -r .os_version "$dir/info")" = "$(uname -v)" ]
	[ "$(jq -r .arch "$dir/info")" = "$(uname -m)" ]
	[ "$(jq -r .hostname "$dir/info")" = "$(uname -n)" ]
	[ "$(jq -r .total_memory "$dir/info")" = "$(awk '/^MemTotal:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)" ]
	[ "$(jq -r .cpu_count "$dir/info")" -le "$(nproc)" ]
	[ "$(jq '.load_average | length' "$dir/info")" = 3 ]
	up=$(cut -d. -f1 /proc/uptime)
	[ "$(jq .uptime "$dir/info")" -le "$up" ]
	[ "$(jq .uptime "$dir/info")" -gt 0 ]
	# The addresses are those that iproute2 shows as global or link-local, without loopback.
	if command -v ip >/dev/null; then
		jq -r '.ip_addresses[]' "$dir/info" | sort >"$dir/got"
		ip -j addr show up | jq -r '.[] | select(.link_type != "loopback") | .addr_info[]? |
			select(.tentative != true) | .local' | sort -u >"$dir/want"
		diff "$dir/want" "$dir/got"
	fi
	run rpc info
	[[ $output == *"kernel_version:   $(uname -r)"* ]]
}

@test "info starts no program, whatever is in the PATH" {
	mkdir "$dir/bin"
	for name in hostname uname ip ifconfig uptime nproc sh; do
		printf '#!/bin/sh\n: >"%s/ran-%s"\n' "$dir" "$name" >"$dir/bin/$name"
		chmod +x "$dir/bin/$name"
	done
	daemon_path=$dir/bin start_daemon
	rpc info --json | jq -e '.ip_addresses | type == "array"'
	[ -z "$(ls "$dir" | grep '^ran-')" ]
}

@test "raw sends any payload, from a word or from stdin" {
	start_daemon
	run rpc raw PingRequest 0a026869
	[[ $output == 0x1001\ PingResponse\ trace\ *\ payload\ 0a08706f6e673a206869* ]]
	run rpc raw 0x1 - <<<"0A 02
		68 69"
	[[ $output == *0a08706f6e673a206869* ]]
	[ "$(rpc raw --json --trace xyz 1 | jq -r .trace)" = 78797a ]
	fails 1 "error 400: invalid request: type 0x0099 is unknown" rpc raw 0x99
	fails 2 "odd number" rpc raw 1 0a0
	fails 2 "no hex digit" rpc raw 1 xx
	fails 2 "neither a number nor the name" rpc raw Pong
}

@test "the trace id reaches the daemon's log" {
	export GUESTBOX_LOG=debug
	start_daemon
	rpc ping --trace my-trace
	grep -q 'PingRequest (0x0001) trace "my-trace"' "$dir/log"
}

@test "several addresses: the first that answers is asked" {
	start_daemon
	gb vsock-rpc --connect "unix:$dir/none" --connect "unix:$dir/s" ping
	fails 1 "none2: connect: No such file" gb vsock-rpc --connect "unix:$dir/none" --connect "unix:$dir/none2" ping
}

@test "GUESTBOX_RPC is the default address" {
	start_daemon
	GUESTBOX_RPC=unix:$dir/s gb vsock-rpc ping
	GUESTBOX_RPC=nonsense fails 2 'GUESTBOX_RPC: address "nonsense"' gb vsock-rpc ping
	GUESTBOX_RPC=unix:/$(printf 'x%.0s' {1..300}) fails 1 'GUESTBOX_RPC: File name too long' gb vsock-rpc ping
}

@test "fc: the CONNECT greeting of a Firecracker-like VMM, and its refusal" {
	start_daemon
	# It wants the line, answers it, and connects through.
	cat >"$dir/vmm" <<-'EOF'
		IFS= read -r line
		if [ "$line" = "CONNECT 1024" ]; then echo "OK 1073741824"; exec socat - "UNIX-CONNECT:$1"; fi
	EOF
	socat "UNIX-LISTEN:$dir/fc,fork" "SYSTEM:bash $dir/vmm $dir/s" 3>&- 2>/dev/null &
	vmm=$!
	listens "$dir/fc"
	run gb vsock-rpc --connect "fc:$dir/fc:1024" --timeout 60 ping over-fc
	refused=$(gb vsock-rpc --connect "fc:$dir/fc:99" --timeout 60 ping 2>&1) || true
	kill "$vmm"
	echo "$output / $refused"
	[[ $output == "pong: over-fc"* ]]
	[[ $refused == *"nobody listens on port 99"* ]]
}

@test "replies that are wrong: one line says how" {
	start_liar "00000008 0000100a 0000 0801"
	fails 1 "closed the connection without a reply" rpc ping --timeout 60
	fails 1 "closed the connection without a reply" rpc ping --timeout 60 --trace '' # which is no trace id: a random one goes
	kill "$daemon"; wait "$daemon" || true; rm -f "$dir/s"
	start_liar "00000002 0000"
	fails 1 "too short for a trace id" rpc ping
	kill "$daemon"; wait "$daemon" || true; rm -f "$dir/s"
	start_liar "7fffffff 0000"
	fails 1 "too long" rpc ping
	kill "$daemon"; wait "$daemon" || true; rm -f "$dir/s"
	start_liar "00000008 00001001 0001 74 0a"
	fails 1 "cut off" rpc ping --trace t
	kill "$daemon"; wait "$daemon" || true; rm -f "$dir/s"
	start_liar "00000007 00001002 0001 74"
	fails 1 "GetSystemInfoResponse), not PingResponse" rpc ping --trace t
	kill "$daemon"; wait "$daemon" || true; rm -f "$dir/s"
	start_liar "0000000b 0000ffff 0000 fffffffe 00"
	fails 1 "error -2:  (truncated)" rpc ping
}

@test "a reply of somebody else's request is passed over" {
	# First a reply with trace "old", then ours.
	start_liar "00000009 00001001 0003 6f6c64" "0000000b 00001001 0001 74 0a02 6d65"
	run rpc ping --trace t
	echo "$output"
	[[ $output == "me (version "* ]]
}

@test "nobody answers: the timeout ends it" {
	socat -u "UNIX-LISTEN:$dir/s" OPEN:/dev/null 3>&- 2>/dev/null &
	daemon=$!
	listens "$dir/s"
	fails 1 "no reply: Connection timed out" gb vsock-rpc --connect "unix:$dir/s" --timeout 0.2 ping
}

@test "bad input: one line, the right status" {
	fails 2 "missing command" gb vsock-rpc
	fails 2 'unknown verb "pong"' gb vsock-rpc pong
	fails 2 "surplus argument" gb vsock-rpc info now
	fails 2 "which CID?" gb vsock-rpc --connect vsock:1024 ping
	fails 2 'not one to connect to' gb vsock-rpc --connect stdio ping
	fails 2 "timeout" gb vsock-rpc --timeout x ping
	fails 2 "grace" gb vsock-rpc shutdown --grace x
	fails 2 "missing type" gb vsock-rpc raw
	fails 1 "$dir/none: connect: No such file or directory" gb vsock-rpc --connect "unix:$dir/none" ping
	fails 1 "no virtio-serial port of that name" gb vsock-rpc --connect virtio:nothing ping
}
