#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Two boots on one disk: the boot itself, shares, data disk, daemon, power-off, and what is still there after.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	vm_test_disk disk 2G
	vm_test_share arcbox
	echo "from the host" >"$BATS_FILE_TMPDIR/share-arcbox/host-file"
	vm_test_start
}

teardown_file()
{
	vm_test_stop
}

@test "the boot ends well, and each of its steps has a time" {
	run console
	[[ $output == *"guestbox: ready"* ]]
	[[ $output != *degraded* ]]
	[[ $output != *"failed with status"* ]]
	run vm_steps
	echo "$output"
	names=$(awk '{ print $3 }' <<<"$output" | tr '\n' ' ')
	[ "$names" = "kernel pseudo-file-systems modules shares data-disk daemon network test-agent " ]
	# Times never run backwards, and the kernel's own comes first.
	awk '$1 <= 0 || $2 < 0 { bad = 1 } END { exit bad }' <<<"$output"
}

@test "pseudo file systems are there, with modes that keep others out" {
	run guest 'for d in /proc /sys /dev /dev/pts /dev/shm /run /tmp /sys/fs/cgroup; do
		stat -f -c "$d %T" $d; done; stat -c "%n %a" /run /tmp /dev/shm /dev/pts/ptmx /root'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(guest 'cat /proc/sys/kernel/printk_devkmsg')" = on ]
	for line in "/run 755" "/tmp 1777" "/dev/shm 1777" "/dev/pts/ptmx 666" "/root 700"; do
		grep -qxF "$line" <<<"$output"
	done
	run guest 'while read -r _ target type options _; do echo "$target $type $options"; done </proc/mounts'
	echo "$output"
	grep -q '^/proc proc .*nosuid.*nodev.*noexec' <<<"$output"
	grep -q '^/sys sysfs .*nosuid' <<<"$output"
	grep -q '^/dev devtmpfs .*nosuid' <<<"$output"
	grep -q '^/dev/pts devpts .*gid=5,mode=620' <<<"$output"
	grep -q '^/run tmpfs .*nosuid,nodev.*size=' <<<"$output"
	grep -q '^/tmp tmpfs .*nosuid,nodev' <<<"$output"
	grep -q '^/sys/fs/cgroup cgroup2 ' <<<"$output"
}

@test "mount, umount and poweroff are guestbox's, not busybox's" {
	run guest 'for n in mount umount poweroff reboot halt; do readlink /bin/$n; done | sort -u; sh -lc "alias mount poweroff"'
	echo "$output"
	[ "$output" = $'guestbox\nmount=\'/bin/mount\'\npoweroff=\'/bin/poweroff\'' ]
}

@test "the arcbox share works in both directions" {
	run guest 'cat /arcbox/host-file && echo "from the guest" >/arcbox/guest-file && grep " /arcbox " /proc/mounts'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"from the host"* ]]
	[[ $output == *"arcbox /arcbox virtiofs"* ]]
	[ "$(cat "$BATS_FILE_TMPDIR/share-arcbox/guest-file")" = "from the guest" ]
}

@test "a share without a DAX window is mounted without DAX, and the log says so" {
	run guest 'grep " /arcbox " /proc/self/mountinfo'
	[[ $output != *dax=always* ]]
	run console
	echo "$output"
	grep -E 'guestbox: shares: arcbox on /arcbox: mounted, .*has no DAX window' <<<"$output"
}

@test "a remount to DAX that the kernel calls a success and does not do is not called one" {
	run guest 'arcmount remount -o dax=always /arcbox'
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *dax* ]]
	run guest 'cat /arcbox/host-file'
	[ "$output" = "from the host" ]
}

@test "optional shares that the host does not offer are not worth a word" {
	run console
	[[ $output != *private* ]]
	[[ $output != *Users* ]]
}

@test "the five volumes are mounted from a blank disk" {
	run guest 'for t in docker containerd rancher/k3s kubelet cni; do
		arcmount is-mounted /var/lib/$t || echo "not mounted: $t"; done
		grep -c " btrfs " /proc/mounts'
	echo "$output"
	[ "$output" = 6 ]
}

@test "btrfs-bootstrap a second time finds all done" {
	run guest 'btrfs-bootstrap'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"already mounted"* ]]
}

@test "the daemon answers the host" {
	run vm_rpc ping hello
	echo "$VM_TRANSPORT_USED: $output"
	[ "$status" -eq 0 ]
	[[ $output == *hello* ]]
	run vm_rpc info
	echo "$output"
	[ "$status" -eq 0 ]
	release=$(guest 'uname -r')
	[[ $output == *"kernel_version:   $release"* ]]
}

@test "the host gets the boot's timeline from the daemon" {
	run vm_rpc timeline --json
	echo "$output"
	[ "$status" -eq 0 ]
	for step in init:kernel init:data-disk "arcmount:shares" "vsock-rpcd:listening"; do
		[[ $output == *"\"track\":\"${step%:*}\",\"name\":\"${step#*:}\",\"begin_usec\":"* ]]
	done
	# The kernel has told when it executed /init; what came before the script's first line is the shell's start.
	[[ $output == *'"track":"init","name":"shell"'* ]]
	# Times may differ by what it takes to compare two clocks, and what came at about the same time can change places.
	names='[.steps[] | .track + ":" + .name] | sort[]'
	diff <(jq -r "$names" <<<"$output") <(guest 'boot-timeline --json' | jq -r "$names")
}

@test "the daemon listens on vsock port 1024, and does not let the guest's own processes drive it" {
	run guest 'vsock-rpc --timeout 120 --connect vsock:1:1024 ping'
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *403* ]]
}

@test "nothing listens on the network, and there are no firewall rules" {
	# No DNS server, no watcher, no RPC over TCP or UDP; a table of rules needs one of these modules.
	run guest 'cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 | grep -v local_address
		cut -d" " -f1 /proc/modules | grep -E "^(ip_tables|ip6_tables|nf_tables|x_tables|nf_conntrack)$"'
	echo "$output"
	[ -z "$output" ]
}

@test "limits are raised and never lowered" {
	run guest '. /lib/guestbox/init.sh; at=/proc/sys/fs/nr_open; was=$(cat $at)
		grep "Max open files" /proc/1/limits; echo $was; echo 4096 >$at; guest-boot pseudo-fs; cat $at
		echo 2000000 >$at; ulimit -n 1500000; guest-boot pseudo-fs; raise_limits; cat $at; ulimit -Hn; echo $was >$at'
	echo "$output"
	[[ ${lines[0]} =~ ^Max\ open\ files\ +[0-9]+\ +([0-9]+)\  ]]
	[ "${BASH_REMATCH[1]}" -ge 1048576 ]
	[ "${lines[1]}" -ge 1048576 ]
	[ "${lines[*]:2}" = "1048576 2000000 1500000" ]
}

@test "over vsock a daemon answers whom it allows" {
	run guest 'vsock-rpcd --listen vsock:1025 --allow-cid 1 >/dev/null 2>&1 & daemon=$!
		for i in $(seq 300); do
			vsock-rpc --timeout 120 --connect vsock:1:1025 ping over-vsock && break; sleep 0.2
		done; kill $daemon'
	echo "$output"
	[[ $output == *over-vsock* ]]
}

@test "a proxy carries bytes from vsock to a unix socket and from there to vsock" {
	run guest 'cd /run && head -c 3000000 /dev/urandom >blob &&
		vsock-rpcd --listen unix:/run/p.rpc --mmap-root /run --proxy vsock:1026=unix:/run/p.rpc \
			--proxy unix:/run/p.back=vsock:1:1026 --allow-cid 1 2>/run/p.log & daemon=$!
		for _ in $(seq 300); do
			vsock-rpc --timeout 120 --connect unix:/run/p.back ping through-the-proxies && break; sleep 0.2
		done
		vsock-rpc --timeout 120 --connect vsock:1:1026 mmap /run/blob | cmp - /run/blob && echo same-over-vsock
		vsock-rpc --timeout 120 --connect unix:/run/p.back mmap /run/blob | cmp - /run/blob && echo same-there-and-back
		kill $daemon; wait $daemon; cat /run/p.log; rm -f /run/blob'
	echo "$output"
	[[ $output == *through-the-proxies* ]]
	[[ $output == *same-over-vsock* ]]
	[[ $output == *same-there-and-back* ]]
}

@test "the kernel patches its own code while both processors run it, and the guest goes on" {
	# A static key in the scheduler's path. An emulator with a thread for each processor hangs here within a second.
	run guest 'for i in 1 2; do { while :; do busybox true; done; } & pids="$pids $!"; done
		for i in $(seq 500); do echo 1 >/proc/sys/kernel/sched_schedstats; echo 0 >/proc/sys/kernel/sched_schedstats; done
		kill $pids; echo went on'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = "went on" ]
}

@test "a daemon that is killed is started again" {
	run guest 'before=$(pidof vsock-rpcd); kill -9 $before; for i in $(seq 200); do
		sleep 0.5; after=$(pidof vsock-rpcd) && [ "$after" != "$before" ] && echo again && break; done'
	echo "$output"
	[[ $output == *again* ]]
	vm_wait_rpc "$patience"
	console | grep 'vsock-rpcd.*, starting it again'
}

@test "PID 1 collects what others leave behind" {
	run guest 'for i in 1 2 3 4 5 6 7 8 9 10; do sh -c "sleep 0.1 & exit" & done; wait
		orphans() { for s in /proc/[0-9]*/stat; do read -r pid name state rest <$s &&
			[ "$name" = "(sleep)" ] && echo "$name $state"; done 2>/dev/null; }
		for i in $(seq 300); do [ -n "$(orphans)" ] || break; sleep 0.2; done; orphans; true'
	echo "$output"
	[ -z "$output" ]
}

@test "Shutdown from the host: power goes off, the file system is clean" {
	guest 'echo kept >/var/lib/docker/kept; nocow --query /var/lib/docker/image' >&2
	run vm_rpc shutdown
	echo "$output"
	[ "$status" -eq 0 ]
	vm_wait_off "$patience"
	console | grep -q 'reboot: Power down'
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "the second boot finds the data of the first, and formats nothing" {
	vm_stop
	vm_defaults
	VM_DISKS=("$BATS_FILE_TMPDIR/disk")
	vm_test_start
	run guest 'cat /var/lib/docker/kept; grep -c " btrfs " /proc/mounts'
	result=$output
	run console
	# A way out of the guest itself; the answer to it may be lost with the guest.
	guest 'guest-poweroff' || true
	vm_wait_off "$patience" || true
	cp "$VM_DIR/console.log" "$BATS_FILE_TMPDIR/second.log"
	vm_test_stop
	echo "$result" "$output"
	[ "$result" = "kept"$'\n'"6" ]
	[[ $output != *mkfs* ]]
	grep -q 'reboot: Power down' "$BATS_FILE_TMPDIR/second.log"
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}
