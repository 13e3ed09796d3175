#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Sandboxes of a guest, driven from the host: with every controller of cgroups, a data disk, and nothing of this machine's.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	command -v crun >/dev/null || { export VM_TEST_SKIP='crun is not installed (tools/install-deps test)'; return 0; }
	vm_test_disk disk 2G
	VM_INITRD_OPTIONS=(--program "$(command -v crun)" --module veth --module overlay)
	vm_test_start
	guest 'set -e
		d=/run/arcbox/data
		guestbox btrfs-bootstrap >/dev/null
		btrfs subvolume create $d/root 2>/dev/null || mkdir -p $d/root
		mkdir -p $d/root/bin $d/root/etc $d/root/tmp $d/root/root $d/root/proc $d/root/sys $d/root/dev
		cp /bin/busybox $d/root/bin/
		for a in sh cat echo sleep true dd head tail kill id ip ps mount mknod ls stat wget nc; do
			ln -sf busybox $d/root/bin/$a
		done'
}

teardown_file()
{
	vm_test_stop
}

box() { vm_rpc sandbox "$@"; }

@test "a sandbox from the host: created, run in, listed, removed; its limits are the kernel's" {
	[ "$(box create --id a --rootfs /run/arcbox/data/root --cpus 1 -m 64M --wait)" = a ]
	[ "$(box run a echo hello)" = hello ]
	run box run a sh -c 'exit 9'
	[ "$status" -eq 9 ]
	[ "$(box inspect --json a | jq -c .limits)" = '{"vcpus":1,"memory_mib":64}' ]
	run guest 'cat /sys/fs/cgroup/guestbox-sandbox/*/*/memory.max /sys/fs/cgroup/guestbox-sandbox/*/*/cpu.max \
		/sys/fs/cgroup/guestbox-sandbox/*/*/pids.max'
	echo "$output"
	[ "$output" = "67108864
100000 100000
4096" ]
	# Memory beyond the limit is not to be had, and whoever wants it is killed; the daemon, and the sandbox, go on.
	run box run a sh -c 'x=x; while :; do x=$x$x; done'
	[ "$status" -ne 0 ]
	vm_rpc ping
	[ "$(box run a echo still)" = still ]
	[ "$(guest 'cat /sys/fs/cgroup/guestbox-sandbox/*/*/memory.events' | awk '$1 == "oom_kill" { print ($2 > 0) }')" = 1 ]
	box rm a
}

@test "a fork bomb stays inside and ends with its sandbox" {
	box create --id b --rootfs /run/arcbox/data/root --wait
	box run --limit 5 b sh -c 'f() { f | f & }; f; sleep 100' >/dev/null 2>&1 || true
	run vm_rpc ping
	[ "$status" -eq 0 ]
	box rm -f b
	run guest 'ls -d /sys/fs/cgroup/guestbox-sandbox/*/*/ 2>/dev/null | wc -l; ip -o link | grep -c vmtap'
	echo "$output"
	[ "$output" = "0
0" ]
}

@test "a checkpoint outlives its sandbox, and a terminal is one" {
	box create --id c --rootfs /run/arcbox/data/root --wait
	box run c sh -c 'echo kept >/root/f'
	snap=$(box checkpoint c)
	box rm c
	box restore --id d --new-address "$snap"
	[ "$(box run d cat /root/f)" = kept ]
	run box exec -t d sh -c 'test -t 0 && test -t 1 && echo terminal' </dev/null
	echo "$output"
	[[ $output == *terminal* ]]
	box rm d
	box snapshots rm "$snap"
}

@test "the guest reaches the sandbox at its address" {
	box create --id e --rootfs /run/arcbox/data/root --wait
	address=$(box inspect --json e | jq -r .network.ip_address)
	box exec e nc -l -p 80 </dev/null >"$BATS_TEST_TMPDIR/got" 3>&- &
	local client=$!
	until_true guest "echo from-outside | busybox nc -w 60 $address 80"
	wait "$client"
	[ "$(cat "$BATS_TEST_TMPDIR/got")" = from-outside ]
	box rm e
}
