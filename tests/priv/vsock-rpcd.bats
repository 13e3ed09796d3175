#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vsock-rpcd's Shutdown, for real: in a PID namespace reboot(2) ends that namespace, and only that.
load ../lib.bash

setup() {
	need_applet vsock-rpcd
	need_applet vsock-rpc
	T=$(mktemp -d /tmp/gb-rpcd-XXXXXX)
	# The latch lives in /run: one of our own.
	mkdir -p /run/guestbox
	mount -t tmpfs tmpfs /run/guestbox
}

teardown() {
	umount /run/guestbox
	rm -rf "$T"
}

@test "info: a host name of any bytes is text in the reply" {
	# shellcheck disable=SC2016 # the inner shell expands it
	unshare --uts sh -c 'printf "a\377b" >/proc/sys/kernel/hostname; exec "$GUESTBOX" vsock-rpcd --listen "unix:$0/s"' "$T" \
		2>"$T/log" 3>&- &
	daemon=$!
	listens "$T/s"
	run gb vsock-rpc --connect "unix:$T/s" --json info
	kill "$daemon"
	wait "$daemon" || true
	echo "$output"
	[ "$(jq -r .hostname <<<"$output")" = "a?b" ]
}

@test "trim: file systems that can are trimmed, each once" {
	truncate -s 300M "$T/disk"
	mkfs.btrfs -q "$T/disk"
	mkdir -p "$T/top" /var/lib/docker /var/lib/containerd
	mount -o loop "$T/disk" "$T/top"
	btrfs -q subvolume create "$T/top/@docker"
	btrfs -q subvolume create "$T/top/@containerd"
	loop=$(findmnt -no SOURCE "$T/top")
	mount -o subvol=@docker "$loop" /var/lib/docker
	mount -o subvol=@containerd "$loop" /var/lib/containerd
	"$GUESTBOX" vsock-rpcd --listen "unix:$T/s" 2>"$T/log" 3>&- &
	daemon=$!
	listens "$T/s"
	run gb vsock-rpc --connect "unix:$T/s" trim
	kill "$daemon"
	umount /var/lib/docker /var/lib/containerd "$T/top"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} =~ ^/var/lib/docker:\ /var/lib/docker:\ [0-9.]+\ [KMG]iB\ \([0-9]+\ bytes\)\ trimmed$ ]]
	[ "${lines[1]}" = "/var/lib/containerd: /var/lib/containerd: 0 B (0 bytes) trimmed, the same file system as /var/lib/docker" ]
}

@test "trim by itself: not before something is mounted, and then again and again" {
	GUESTBOX_LOG=debug "$GUESTBOX" vsock-rpcd --listen "unix:$T/s" --trim-interval 0.2 2>"$T/log" 3>&- &
	daemon=$!
	listens "$T/s"
	gb vsock-rpc --connect "unix:$T/s" ping
	not grep -q 'trim:' "$T/log"
	truncate -s 300M "$T/disk"
	mkfs.btrfs -q "$T/disk"
	mkdir -p /var/lib/docker
	mount -o loop "$T/disk" /var/lib/docker
	until_true has_lines 3 'trim: /var/lib/docker: /var/lib/docker: .* trimmed' "$T/log"
	kill "$daemon"
	wait "$daemon"
	umount /var/lib/docker
}

# machine SCRIPT: as PID 1 of a namespace with a daemon on unix:$T/s; $G is the program. 130 (SIGINT): powered off.
machine() {
	G=$GUESTBOX T=$T unshare --pid --fork --mount-proc --kill-child bash -c '
		[ $$ -eq 1 ] && [ "$(readlink /proc/self/ns/pid)" != "pid:[4026531836]" ] || exit 98
		trap "" USR2
		mkfifo $T/ready
		$G vsock-rpcd --listen unix:$T/s --notify-fd 9 9>$T/ready 2>$T/log &
		read -r _ <$T/ready
		'"$1"'
		for i in {1..1800}; do sleep 0.1; done
		exit 97' 3>&-
}

# begin_machine: the same beside us. Clients are outside of it, where the power-off does not end them before they have said
# what they got. end_machine sets status.
begin_machine() {
	machine 'touch $T/up' &
	machine=$!
	until_true [ -e "$T/up" ]
}

end_machine() {
	status=0
	wait "$machine" || status=$?
	cat "$T/log" "$T/out" || true
}

@test "Shutdown: the reply comes, then the power goes off" {
	begin_machine
	gb vsock-rpc --connect "unix:$T/s" shutdown --grace 5 >"$T/out"
	end_machine
	[ "$status" -eq 130 ]
	[ "$(cat "$T/out")" = "accepted: the guest is on its way down" ]
}

@test "Shutdown twice on one connection: both accepted, one power-off" {
	begin_machine
	printf '\0\0\0\x08\0\0\0\x0a\0\0\x08\x05\0\0\0\x08\0\0\0\x0a\0\0\x08\x05' |
		socat -t 60 - "UNIX-CONNECT:$T/s" | xxd -p >"$T/out"
	end_machine
	[ "$status" -eq 130 ]
	[ "$(tr -d '\n' <"$T/out")" = 000000080000100a00000801000000080000100a00000801 ]
	[ "$(grep -c 'asks for the power-off' "$T/log")" = 1 ]
}

@test "Shutdown from a client that is gone before its reply" {
	run machine 'printf "\0\0\0\x08\0\0\0\x0a\0\0\x08\x05" | socat -u - UNIX-CONNECT:$T/s'
	cat "$T/log"
	[ "$status" -eq 130 ]
}

@test "Shutdown without the right to: an Error frame, and nothing ends" {
	run machine 'kill %1; wait %1; rm -f $T/s
		setpriv --bounding-set=-sys_boot --inh-caps=-sys_boot $G vsock-rpcd --listen unix:$T/s --notify-fd 9 9>$T/ready 2>$T/log &
		read -r _ <$T/ready
		$G vsock-rpc --connect unix:$T/s shutdown >$T/out 2>&1; echo $? >$T/status
		$G vsock-rpc --connect unix:$T/s ping >>$T/out && exit 7'
	cat "$T/log" "$T/out" || true
	[ "$status" -eq 7 ]
	[ "$(cat "$T/status")" = 1 ]
	grep -q 'error 503: .*not permitted' "$T/out"
	grep -q '^pong' "$T/out"
}
