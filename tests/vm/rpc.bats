#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The daemon over a virtio-serial port whose host comes and goes, and over vsock loopback.
load lib.bash

setup_file()
{
	mkdir "$BATS_FILE_TMPDIR/share"
	seq 1 100000 >"$BATS_FILE_TMPDIR/share/file"
	VM_TRANSPORT=virtio-serial
	VM_SHARES=("arcbox=$BATS_FILE_TMPDIR/share")
	vm_test_start
}

teardown_file()
{
	vm_test_stop
}

port() { echo "${VM_RPC#unix:}"; }

@test "the first request of a boot is answered, and the next host's too" {
	vm_rpc ping first
	vm_rpc ping second
}

@test "half a request is not the start of the next host's" {
	for _ in 1 2 3 4 5; do
		printf '\0\0\0\x20\0\0' | socat -t 0.2 - "UNIX-CONNECT:$(port)"
		run vm_rpc ping after-half
		echo "$output"
		[[ $output == "pong: after-half "* ]]
	done
}

@test "the reply to a host that has left does not reach the next one" {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		printf '\0\0\0\x06\0\0\0\x02\0\0' | socat -u - "UNIX-CONNECT:$(port)"
		run vm_rpc ping mine
		echo "$output"
		[[ $output == "pong: mine "* ]]
	done
}

@test "garbage does not end the service" {
	printf 'GET / HTTP/1.0\r\n\r\n' | socat -t 0.2 - "UNIX-CONNECT:$(port)" >/dev/null
	run vm_rpc ping after-garbage
	echo "$output"
	[[ $output == "pong: after-garbage "* ]]
}

@test "vsock loopback: refused without --allow-cid, with the reason; served with it" {
	run guest 'vsock-rpc --timeout 120 --connect vsock:1:1024 ping'
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"error 403: CID 1 may not call this daemon (--allow-cid)"* ]]
	run guest 'vsock-rpcd --listen vsock:1030 --allow-cid 1 >/dev/null 2>&1 & d=$!
		for i in $(seq 300); do vsock-rpc --timeout 120 --connect vsock:1:1030 info && break; sleep 0.2; done; kill $d'
	[[ $output == *"kernel_version:"* ]]
}

@test "the ports of Docker and Kubernetes are not for the guest's own processes" {
	for port in 2375 16443; do
		run guest "vsock-rpc --timeout 120 --connect vsock:1:$port ping"
		echo "$output"
		[ "$status" -eq 1 ]
		run guest "dmesg | grep -c 'vsock:$port: vsock CID 1 may not use this proxy'"
		[ "$output" = 1 ]
	done
}

@test "a clock that is off is set by Ping, one that is right is left alone" {
	guest 'date -s "2021-01-01 00:00:00"'
	vm_rpc ping --set-clock
	run guest 'date +%s'
	echo "$output"
	[ "$output" -gt 1700000000 ]
	run guest 'dmesg | grep -c "clock set from"'
	before=$output
	vm_rpc ping --set-clock
	run guest 'dmesg | grep -c "clock set from"'
	[ "$output" = "$before" ]
	# Times that cannot be right are not taken: 1970, and 2200.
	vm_rpc raw PingRequest 1001
	vm_rpc raw PingRequest "10 80d0fdb51b"
	run guest 'date +%s'
	[ "$output" -gt 1700000000 ]
	[ "$output" -lt 4102444800 ]
}

@test "trim and the runtime's state, asked from the host" {
	run vm_rpc trim
	echo "$output"
	[[ $output == "/var/lib/docker: "* ]]
	run vm_rpc runtime status --json
	echo "$output"
	[[ $output == *'"containerd_ready":false'* ]]
}

@test "every request of the protocol, from the host: its own reply, or an Error frame that says why" {
	# Shutdown is vm/boot's; what streams is the sandboxes'.
	while IFS=, read -r _ name number _ reply; do
		name=${name//[\" ]/} reply=${reply//[ )]/}
		run vm_rpc raw "$name"
		echo "$name $number: $status $output"
		case $name in # nothing of it is here: no program of k3s, nor one that makes sandboxes
		KubernetesKubeconfigRequest) want='1 vsock-rpc: error 404: /var/lib/rancher/k3s/k3s.yaml: No such file'* ;;
		SandboxExecInput) want='1 vsock-rpc: error 400: invalid request: '* ;;
		Sandbox* | Image*) want='1 vsock-rpc: error [45]0[0-9]: '?* ;;
		*) want="0 0x${reply#0x} "* ;;
		esac
		# shellcheck disable=SC2053 # a pattern
		[[ "$status $output" == $want ]]
	done < <(grep '^GB_REQUEST(' "$abs_top_srcdir/common/rpc/wire.def" |
		grep -vE 'SHUTDOWN|SANDBOX_RUN|SANDBOX_EXEC,|SANDBOX_EVENTS|IMAGE_IMPORT')
	vm_rpc ping
}

@test "a file of the host's comes back through the guest's mapping, byte for byte; others do not" {
	vm_rpc mmap /arcbox/file | cmp - "$BATS_FILE_TMPDIR/share/file"
	run vm_rpc mmap /etc/passwd
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"error 13: "* ]]
}

@test "the front has no rights in the guest either; killed, it is back, and the port is served" {
	run guest 'cat "/proc/$(pidof rpcd-front)/status"'
	echo "$output"
	[[ $output =~ Uid:[[:space:]]*65521 ]]
	[[ $output =~ CapEff:[[:space:]]*0000000000000000 ]]
	[[ $output =~ NoNewPrivs:[[:space:]]*1 ]]
	[[ $output =~ Seccomp:[[:space:]]*2 ]]
	[[ $output =~ Pid:[[:space:]]*([0-9]+) ]]
	front=${BASH_REMATCH[1]}
	guest "kill -9 $front"
	vm_rpc ping back
	run guest 'pidof rpcd-front'
	[ "$output" -ne "$front" ]
}
