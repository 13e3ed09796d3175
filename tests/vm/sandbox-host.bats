#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Sandboxes of a guest, all of it driven from the host: images, commands, terminals, limits that only a kernel of its own
# can show, snapshots, events; and what exhausts a sandbox leaves the guest answering.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	if ! command -v crun >/dev/null; then
		export VM_TEST_SKIP="crun is not installed (tools/install-deps test)"
		return
	fi
	VM_MEMORY=1536M
	VM_INITRD_OPTIONS=(--program "$(command -v crun)" --module veth)
	vm_test_disk disk 1G
	# A virtio-serial port serves one host at a time: those that stay have one of their own.
	VM_PORTS=(org.guestbox.rpc.1)
	vm_test_start guestbox.rpcd=--listen=virtio:org.guestbox.rpc.1
	make_rootfs "$BATS_FILE_TMPDIR/rootfs"
	tar -C "$BATS_FILE_TMPDIR/rootfs" -cf "$BATS_FILE_TMPDIR/rootfs.tar" .
	sb image import box "$BATS_FILE_TMPDIR/rootfs.tar"
}

teardown_file()
{
	vm_test_stop
}

make_rootfs()
{
	local applet
	mkdir -p "$1"/{bin,etc,tmp,root,dev,proc,sys,var}
	cp "$(vm_program busybox)" "$1/bin/"
	for applet in $(busybox --list | grep -vx busybox); do ln -s busybox "$1/bin/$applet"; done
	printf 'root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n' >"$1/etc/passwd"
}

sb() { timeout 250 "$GUESTBOX" vsock-rpc --connect "$VM_RPC" --timeout "$patience" sandbox "$@"; }

# long ARG...: one that stays; started with & it is the client itself.
long() { exec "$GUESTBOX" vsock-rpc --connect "unix:$VM_DIR/org.guestbox.rpc.1" --timeout "$patience" sandbox "$@"; }


state_is() { [ "$(sb inspect --json "$1" | jq -r .state)" = "$2" ]; }

# answers: the daemon does, and the guest's own kernel works.
answers()
{
	vm_rpc ping >/dev/null
	guest 'true'
}

@test "a sandbox of an image: commands, output, status, environment, files, address" {
	[ "$(sb create --id first --image box -l team=x -e GREETING=hello --cpus 1 -m 64M --wait)" = first ]
	sb inspect --json first >"$BATS_TEST_TMPDIR/info"
	[ "$(jq -r '.state, .limits.memory_mib, .network.ip_address' "$BATS_TEST_TMPDIR/info" | tr '\n' ' ')" = "ready 64 172.20.0.2 " ]
	run sb run first sh -c 'echo $GREETING; hostname; echo oops >&2; exit 42'
	[ "$status" -eq 42 ]
	[[ $output == *hello* && $output == *first* && $output == *oops* ]]
	[ "$(sb run first sh -c 'echo a; echo b >&2' 2>/dev/null)" = a ]
	[ "$(printf 'one\ntwo\n' | sb exec first wc -l)" = 2 ]
	guest 'ping -c 1 -W 10 172.20.0.2 >/dev/null'
	guest 'echo over-the-wire | nc -l -p 7000 >/dev/null 2>&1 &'
	connected() { [ "$(sb run first nc -w 10 172.20.0.1 7000 2>/dev/null)" = over-the-wire ]; }
	until_true connected
	run sb run first sh -c 'kill -SEGV $$'
	[ "$status" -eq 139 ]
	sb rm first
}

@test "binary bytes and 30 MB, each way" {
	sb create --id bytes --image box --wait
	head -c 30000000 /dev/urandom >"$BATS_TEST_TMPDIR/bytes"
	sb exec bytes cat <"$BATS_TEST_TMPDIR/bytes" | cmp - "$BATS_TEST_TMPDIR/bytes"
	sb exec bytes sh -c 'cat >/root/bytes' <"$BATS_TEST_TMPDIR/bytes"
	sb run bytes cat /root/bytes | cmp - "$BATS_TEST_TMPDIR/bytes"
	sb rm bytes
}

@test "a terminal from the host: its size, job control, keys, and ours as before" {
	sb create --id tty --image box --wait
	cat >"$BATS_TEST_TMPDIR/script" <<-EOF
		stty rows 31 cols 97
		stty -a >$BATS_TEST_TMPDIR/before
		"$GUESTBOX" vsock-rpc --connect "unix:$VM_DIR/org.guestbox.rpc.1" --timeout "$patience" sandbox exec -t tty sh
		echo \$? >$BATS_TEST_TMPDIR/status
		stty -a >$BATS_TEST_TMPDIR/after
	EOF
	mkfifo "$BATS_TEST_TMPDIR/keys"
	script -qfec "bash $BATS_TEST_TMPDIR/script" "$BATS_TEST_TMPDIR/tty" >/dev/null <"$BATS_TEST_TMPDIR/keys" 3>&- &
	terminal=$!
	exec 8>"$BATS_TEST_TMPDIR/keys"
	shown() { grep -q -- "$1" "$BATS_TEST_TMPDIR/tty"; }
	until_true shown '# '
	printf 'stty size\r' >&8
	until_true shown '31 97'
	# ^Z stops the sleep and not the client; ^C ends it after fg.
	printf '/bin/sleep 1000\r' >&8
	until_true sb_has_process tty '/bin/sleep 1000'
	printf '\032' >&8
	until_true shown 'Stopped'
	printf 'jobs; echo still-"here"\r' >&8
	until_true shown 'still-here'
	printf 'fg\r' >&8
	until_true process_state tty '/bin/sleep 1000' S
	printf '\003' >&8
	until_true not sb_has_process tty '/bin/sleep 1000'
	printf 'exit 5\r' >&8
	wait "$terminal"
	exec 8>&-
	[ "$(cat "$BATS_TEST_TMPDIR/status")" = 5 ]
	diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
	sb rm tty
}

# The guest sees a sandbox's processes as its own.
sb_has_process() { guest "ps | grep -q '[ ]$2\$'"; }
process_state()
{
	guest "for p in /proc/[0-9]*; do
		[ \"\$(tr '\\0' ' ' <\$p/cmdline 2>/dev/null)\" = '$2 ' ] && grep -q '^State:.$3' \$p/status && exit 0; done; exit 1"
}

@test "a host that disappears in the middle: its command ends, and the sandbox is ready again" {
	sb create --id host --image box --wait
	mkfifo "$BATS_TEST_TMPDIR/in"
	long exec host cat <"$BATS_TEST_TMPDIR/in" 3>&- &
	client=$!
	exec 8>"$BATS_TEST_TMPDIR/in"
	until_true state_is host running
	kill -9 "$client"
	exec 8>&-
	until_true state_is host ready
	sb run host true
	sb rm host
}

@test "a time limit ends the whole tree" {
	sb create --id limit --image box --wait
	run sb run --limit 2 limit sh -c 'setsid /bin/sleep 4321 & /bin/sleep 4322'
	[ "$status" -eq 137 ]
	until_true not sb_has_process limit '/bin/sleep 432[12]'
	sb rm limit
}

@test "memory: what takes more than its share is killed, and only that" {
	sb create --id mem --image box -m 48M --wait
	sb create --id neighbour --image box -m 48M --wait
	# tail keeps a line without end in memory.
	run sb run mem sh -c 'tail /dev/zero'
	echo "$status $output"
	[ "$status" -eq 137 ]
	answers
	# Files of a tmpfs are memory as well.
	run sb run mem sh -c 'dd if=/dev/zero of=/dev/shm/big bs=1M count=500'
	[ "$status" -ne 0 ]
	answers
	[ "$(sb run neighbour echo fine)" = fine ]
	state_is neighbour ready
	sb rm -f mem neighbour
	guest 'dmesg | grep -q "Memory cgroup out of memory" &&
		! dmesg | grep -q "invoked oom-killer.*gfp_mask.*order=0, oom_score_adj=-1000"'
}

@test "a fork bomb: its sandbox is full, the guest is not, and it can be removed" {
	sb create --id bomb --image box -m 128M --wait
	sb create --id neighbour --image box --wait
	long run bomb sh -c 'f() { f | f & }; f; while :; do f; done' >/dev/null 2>&1 3>&- &
	client=$!
	full() { [ "$(guest 'cat /sys/fs/cgroup/guestbox-sandbox/*/*/pids.current | sort -n | tail -1')" -ge 1000 ] ||
		not kill -0 "$client" 2>/dev/null; }
	until_true full
	answers
	[ "$(sb run neighbour echo fine)" = fine ]
	sb rm -f bomb
	wait "$client" || true
	quiet() { [ "$(guest 'ps | wc -l')" -lt 200 ]; }
	until_true quiet
	sb rm neighbour
	answers
}

@test "CPU: one that burns all it can leaves pings answered" {
	sb create --id burn --image box --cpus 1 --wait
	long run burn sh -c 'for i in 1 2 3 4; do while :; do :; done & done; wait' >/dev/null 2>&1 3>&- &
	client=$!
	until_true state_is burn running
	for _ in 1 2 3 4 5; do answers; done
	[ "$(guest 'cat /sys/fs/cgroup/guestbox-sandbox/*/*/cpu.max' | sort -u | grep -c '^100000 100000')" = 1 ]
	sb rm -f burn
	wait "$client" || true
}

@test "nothing of the guest can be changed from inside" {
	sb create --id evil --image box --wait
	before=$(guest 'cat /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness; hostname; mount | grep -v sandbox | sort | md5sum')
	for c in 'echo x >/proc/sys/kernel/core_pattern' 'echo 1 >/proc/sys/vm/swappiness' 'echo c >/proc/sysrq-trigger' \
		'echo 1 >/sys/fs/cgroup/cgroup.procs' 'mknod /tmp/vda b 254 0' 'mount -t proc none /mnt' 'cat /dev/vda' 'reboot -f' \
		'insmod /x' 'hostname evil' 'ip link del eth0' 'dmesg' 'cat /proc/kmsg'; do
		run sb run evil sh -c "$c"
		[ "$status" -ne 0 ] || { echo "it could: $c"; false; }
	done
	[ "$(guest 'cat /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness; hostname; mount | grep -v sandbox | sort | md5sum')" = \
		"$before" ]
	answers
	sb rm evil
}

@test "snapshot and restore, events, stop, and nothing left behind" {
	long events --json >"$BATS_TEST_TMPDIR/events" 3>&- &
	watcher=$!
	watching() { sb create --id probe --image box --network none --wait >/dev/null; sb rm probe >/dev/null; [ -s "$BATS_TEST_TMPDIR/events" ]; }
	until_true watching
	sb create --id origin --image box --wait
	sb run origin sh -c 'echo kept >/root/file'
	snapshot=$(sb checkpoint --name before -l kind=test origin)
	sb run origin rm /root/file
	[ "$(sb snapshots --json -l kind=test | jq -r '.snapshots[0].id')" = "$snapshot" ]
	[ "$(sb restore --id copy "$snapshot")" = copy ]
	until_true state_is copy ready
	[ "$(sb run copy cat /root/file)" = kept ]
	run sb run origin cat /root/file
	[ "$status" -ne 0 ]
	sb stop --grace 2 origin
	state_is origin stopped
	sb rm origin copy
	sb snapshots rm "$snapshot"
	[ "$(sb ls --json | jq '.sandboxes | length')" = 0 ]
	[ "$(sb snapshots --json | jq '.snapshots | length')" = 0 ]
	told() { [ "$(jq -rs 'map(select(.sandbox_id == "origin").action) | join(" ")' "$BATS_TEST_TMPDIR/events")" = "$1" ]; }
	until_true told "created ready running idle running idle running idle stopping stopped removed"
	kill "$watcher"
	guest 'test -z "$(ls /run/guestbox/sandbox/*/state)" && ! grep -q /run/guestbox/sandbox/ /proc/mounts &&
		test -z "$(find /sys/fs/cgroup/guestbox-sandbox -mindepth 2 -type d)" && ! ls /sys/class/net | grep -q vmtap'
}

@test "images: listed, taken over, removed" {
	sb image ls --json | jq -e '.images | map(.name) == ["box"] and .[0].files > 10'
	echo small >"$BATS_TEST_TMPDIR/file"
	tar -C "$BATS_TEST_TMPDIR" -cf "$BATS_TEST_TMPDIR/small.tar" file
	run sb image import box "$BATS_TEST_TMPDIR/small.tar"
	[ "$status" -eq 1 ]
	[[ $output == *"error 409: "* ]]
	sb image import --replace box "$BATS_FILE_TMPDIR/rootfs.tar"
	sb image rm box
	[ "$(sb image ls --json)" = '{"images":[]}' ]
	run sb image rm box
	[[ $output == *"error 404: "* ]]
}
