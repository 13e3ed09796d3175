#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Clients that are killed while a request of theirs is served, each kind of request by itself; a source that hangs.
load ../lib.bash
load disk.bash
load initfs.bash

setup() { fs_setup; }
teardown() {
	[ -z "${lower:-}" ] || kill -KILL "$lower" 2>/dev/null || true # it may be a stopped one
	fs_teardown
}

# opened: how many descriptors of the source the process has that are more than a place (O_PATH).
opened() {
	local fd flags count=0
	while read -r fd; do
		flags=$(awk '$1 == "flags:" { print $2 }' "/proc/$init_pid/fdinfo/$fd" 2>/dev/null)
		[ -z "$flags" ] || ((flags & 010000000)) || count=$((count + 1))
	done < <(find "/proc/$init_pid/fd" -lname "$src*" -printf '%f\n' 2>/dev/null)
	echo "$count"
}

# The server is stopped at the system call with which it serves the request, the client is killed, the server goes on.
@test "each request by itself: a client that is killed in it takes nothing with it" {
	serve --passthrough=off --cache=never --threads=2
	before=$(opened) count=0
	while read -r request calls op; do
		[ -n "$request" ] || continue
		count=$((count + 1))
		echo "request: $request"
		rm -rf "${src:?}/"*
		mkdir "$src/d" "$src/empty"
		head -c 300000 /dev/zero >"$src/f"
		echo x >"$src/d/g"
		ln -s target "$src/l"
		setfattr -n trusted.a -v b "$src/f"
		[ "$(stat -c %s "$mnt/f")" = 300000 ]
		trace -e trace="$calls" -e signal=STOP -e inject="$calls:signal=STOP:when=1"
		# shellcheck disable=SC2086 # words
		probe ${op//@/$mnt} >"$DISK/said" 2>&1 3>&- &
		client=$!
		until_true grep -q 'stopped by SIGSTOP' "$DISK/trace" || { echo "not stopped: $(cat "$DISK/said" "$DISK/trace")"; false; }
		kill -0 "$client" # it waits for the answer
		kill -KILL "$client"
		untrace
		kill -CONT "$init_pid"
		wait "$client" || true
		timeout 60 ls -lR "$mnt" >/dev/null
		[ "$(timeout 60 cat "$mnt/d/g")" = x ]
		timeout 60 cmp "$payload" "$v"
	done <<<"$by_call"
	[ "$count" -ge 30 ]
	# what the killed had open is closed
	closed() { [ "$(opened)" -le "$before" ]; }
	until_true closed
	unharmed
	unserve
}

# The source is a share of its own, whose process is stopped.
@test "a source that hangs: what does not need it is served, and its client can be killed" {
	mkdir "$DISK/deep" "$DISK/lower"
	echo x >"$DISK/deep/f"
	"$GUESTBOX" initfs --no-inject --cache=never --pidfile "$DISK/lower.pid" "$DISK/deep" "$DISK/lower" 3>&-
	lower=$(cat "$DISK/lower.pid")
	src=$DISK/lower
	serve --threads=2 --timeout=10000 --passthrough=off
	[ "$(cat "$mnt/f")" = x ]
	cmp "$payload" "$v"
	kill -STOP "$lower"
	probe stat "$mnt/other" >/dev/null 3>&- &
	client=$!
	# the server's thread waits in the source
	if [ "$(cat "/proc/$lower/wchan")" != 0 ]; then # it can be seen here
		until_true grep -q request_wait "/proc/$init_pid/task"/*/wchan
	fi
	[ "$(timeout 60 "$abs_top_builddir/tests/priv/fsprobe" pread "$v" r,direct 4096 4096)" = "ok 4096" ]
	kill -KILL "$client"
	kill -CONT "$lower"
	wait "$client" || true
	[ "$(timeout 60 cat "$mnt/f")" = x ]
	unharmed
	unserve
	umount "$DISK/lower"
	lower=''
}

@test "SIGTERM in the middle of work: it ends, and what its clients were told is written is there" {
	mkdir "$src/d"
	(cd "$src/d" && seq 300 | xargs touch)
	head -c 4M /dev/urandom >"$src/big"
	for way in '' '--passthrough=off --cache=never' --writeback; do
		echo "way: $way"
		rm -f "$src/log"
		echo 0 >"$DISK/told"
		# shellcheck disable=SC2086 # words
		serve $way
		# each ends with its first failure
		# shellcheck disable=SC2016 # the inner shells'
		bash -c 'cd "$1"; i=0; while echo "line $((++i))" >>log; do echo "$i" >"$2"; done' - "$mnt" "$DISK/told" 2>/dev/null 3>&- &
		clients=$!
		# shellcheck disable=SC2016
		bash -c 'while cat "$1/big" >/dev/null; do :; done' - "$mnt" 2>/dev/null 3>&- &
		clients="$clients $!"
		# shellcheck disable=SC2016
		bash -c 'while ls -l "$1/d" && [ -e "$1/d/1" ]; do :; done' - "$mnt" >/dev/null 2>&1 3>&- &
		clients="$clients $!"
		until [ "$(cat "$DISK/told")" -gt 30 ] 2>/dev/null; do sleep 0.01; done # empty while it is written
		kill -TERM "$init_pid"
		gone
		not mountpoint -q "$mnt"
		for client in $clients; do wait "$client" || true; done
		told=$(cat "$DISK/told") there=$(wc -l <"$src/log")
		echo "told: $told, there: $there"
		[ "$told" -gt 30 ]
		[ "$there" -ge "$told" ]
		[ "$there" -le $((told + 1)) ]
		[ "$(tail -n 1 "$src/log")" = "line $there" ]
	done
}
