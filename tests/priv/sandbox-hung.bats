#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# File systems that do not answer, and starts that do not end: who asked for them is told, and nobody else waits.
load ../lib.bash
load sandbox.bash

@test "roots, mounts and files on a share that does not answer: refused in time, all else goes on" {
	[ -e /dev/fuse ] || skip "no /dev/fuse"
	# A leak is looked for by stopping all threads, those that nothing stops, too.
	export ASAN_OPTIONS=detect_leaks=0
	sandbox_inside '
		kill $daemon; wait $daemon || true
		mkdir $T/share $T/own; echo own >$T/own/file
		"$abs_top_builddir/tests/tools/frozen" $T/share >$T/asked & server=$!
		until_ grep -q " $T/share fuse" /proc/mounts
		daemon_start --mmap-root $T
		rpc() { timeout ${PATIENCE:-60} "$GUESTBOX" vsock-rpc --connect "unix:$T/s" "$@"; }
		hosts=
		for i in 1 2 3 4 5 6 7 8 9 10; do
			rpc mmap $T/share/$i >/dev/null 2>&1 & hosts+=" $!"
		done
		checks=
		for i in 1 2 3 4 5 6 7 8 9 10; do
			[ $((i % 2)) = 0 ] && on="--rootfs $T/share/root" || on="--rootfs $R -v $T/share:/mnt"
			(status=0; sb create --id s$i $on >$T/out.$i 2>&1 || status=$?; echo "status $status" >>$T/out.$i) & checks+=" $!"
		done
		until_ test -s $T/asked
		rpc ping hello | grep -q hello
		sb create --id a --rootfs $R -v $T/own:/mnt --wait
		[ "$(sb run a cat /mnt/file)" = own ]
		rpc mmap $T/own/file | grep -qx own
		wait $checks
		for i in 1 2 3 4 5 6 7 8 9 10; do
			[ $((i % 2)) = 0 ] && on="rootfs $T/share/root" || on="mount $T/share"
			grep -qx "vsock-rpc: error 500: $on: its file system has not answered for 5 s" $T/out.$i ||
				{ cat $T/out.$i; exit 1; }
			grep -qx "status 1" $T/out.$i
		done
		# their threads are still there, and none of them is in the way
		sb run a true
		[ "$(sb ls --json | jq -r ".sandboxes[].id")" = a ]
		sb rm -f a
		kill $hosts; for p in $hosts; do wait $p || true; done
		# The daemon ends, as far as the kernel lets it: it serves nobody any more.
		kill $daemon; until_ not rpc ping
		kill -9 $server
		wait $daemon || true
		daemon_start
	'
}

@test "starts that do not end take no place from others, and can be removed" {
	sandbox_hold_starts
	sandbox_inside '
		: >$T/hold; : >$T/held
		for i in 1 2 3 4 5 6; do sb create --id s$i --rootfs $R >/dev/null; done
		until_ eval "[ \$(wc -l <$T/held) = 6 ]"
		rm $T/hold
		sb create --id a --rootfs $R --wait
		sb run a true
		state_is s1 starting
		# They go on: each is a sandbox, or gone when that was asked for.
		sb rm -f s6 & removal=$!
		until_ state_is s6 starting
		: >$T/go
		for i in 1 2 3 4 5; do until_ state_is s$i ready; sb run s$i true; sb rm -f s$i; done
		wait $removal
		sb rm -f a
		[ "$(sb ls --json | jq ".sandboxes | length")" = 0 ]
		until_ not processes
	'
}
