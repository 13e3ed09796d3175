#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-init as an ordinary process: a subreaper.
load ../lib.bash

setup() {
	need_applet guest-init
	T=$BATS_TEST_TMPDIR
}

@test "ends as its command does" {
	run gb guest-init true
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	run gb guest-init -- sh -c 'echo "$1"; exit 42' sh word
	[ "$status" -eq 42 ]
	[ "$output" = word ]
	run gb guest-init sh -c 'kill -9 $$'
	[ "$status" -eq 137 ]
}

@test "a command that is not there is 127, one that is no program 126, each in one line" {
	fails 127 "/nowhere/at/all: No such file" gb guest-init /nowhere/at/all
	fails 126 "/dev/null: Permission denied" gb guest-init /dev/null
}

@test "bad command lines are usage errors" {
	fails 2 "command" gb guest-init
	fails 2 "--no-such" gb guest-init --no-such true
	for bad in 5 0/60 5/0 x/y 5/60s 101/1; do
		fails 2 "respawn" gb guest-init --respawn=$bad true
	done
}

@test "collects the orphans of its command" {
	cat >"$T/grandchild" <<-'END'
		echo $$ >"$1/pid" && mv "$1/pid" "$1/orphan"
		while [ ! -e "$1/enough" ]; do sleep 0.02; done
	END
	run timeout 60 "$GUESTBOX" guest-init sh -c 'sh -c "sh \"\$1/grandchild\" \"\$1\" & exit" sh "$1"
		while [ ! -e "$1/orphan" ]; do sleep 0.02; done
		read -r pid <$1/orphan; read -r _ _ _ parent _ </proc/$pid/stat; [ "$parent" = "$PPID" ] && echo adopted
		: >"$1/enough"; while [ -e /proc/$pid ]; do sleep 0.02; done; echo reaped' sh "$T"
	echo "$output"
	[ "$output" = "adopted"$'\n'"reaped" ]
}

@test "forwards signals, those of power too, when it is not PID 1" {
	for signal in HUP TERM USR1 USR2 INT WINCH; do
		rm -f "$T/up" "$T/got"
		# INT is ignored by what a shell starts in the background; env gives it back.
		env --default-signal=INT "$GUESTBOX" guest-init bash -c \
			"trap 'echo $signal >$T/got; exit 7' $signal; : >$T/up; while :; do sleep 0.05; done" 3>&- &
		pid=$!
		until [ -e "$T/up" ]; do sleep 0.02; done
		kill -"$signal" $pid
		status=0
		wait $pid || status=$?
		[ "$status" -eq 7 ]
		[ "$(cat "$T/got")" = "$signal" ]
	done
}

@test "starts its command again within the limit, then stops and says so" {
	run gb guest-init --respawn=2/60 sh -c "echo run >>$T/runs; exit 3"
	echo "$output"
	[ "$status" -eq 3 ]
	[ "$(wc -l <"$T/runs")" -eq 3 ]
	[ "$(grep -c 'ended with status 3, starting it again' <<<"$output")" -eq 2 ]
	[ "$(grep -c '2 restarts within 60 s: not started again' <<<"$output")" -eq 1 ]
}

@test "a stderr that nobody reads does not hold it up" {
	# A pipe that is full: the message of the restart has no room.
	mkfifo "$T/full"
	exec 4<>"$T/full"
	dd if=/dev/zero of="$T/full" bs=4096 count=16 oflag=nonblock 2>/dev/null
	run timeout 60 "$GUESTBOX" guest-init --respawn=1/60 sh -c "echo run >>$T/runs; exit 5" 2>"$T/full"
	exec 4>&-
	[ "$status" -eq 5 ]
	[ "$(wc -l <"$T/runs")" -eq 2 ]
}

@test "the command's stderr is still the one that was given" {
	run gb guest-init sh -c 'echo to-stderr >&2'
	[ "$output" = to-stderr ]
	# and it is a blocking one: O_NONBLOCK (04000) is of our own description only
	run bash -c '"$GUESTBOX" guest-init cat /proc/self/fdinfo/2 2>"$1/err"; :' bash "$T"
	echo "$output"
	flags=$(awk '/^flags:/ { print $2 }' <<<"$output")
	[ $((flags & 04000)) -eq 0 ]
}

@test "a moment without memory for a process is no end: it tries again" {
	run faulty clone:error=EAGAIN:when=1 guest-init sh -c 'echo run; exit 9'
	echo "$output"
	[ "$status" -eq 9 ]
	[ "$output" = $'guest-init: sh: fork: Resource temporarily unavailable; again in a second\nrun' ]
}
