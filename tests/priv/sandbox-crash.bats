#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The daemon is killed in the middle of what it does: nothing leaks. A damaged image, and terminals.
load ../lib.bash
load sandbox.bash

# crash_inside SCRIPT: with more words for it.
#   daemon_dies CALL[:COUNT] COMMAND...: the daemon is killed at its COUNTth CALL, in one thread, while COMMAND runs (with the
#     client as sb) or $DEATH tenths of a second afterwards. Fails when it was not. The tracer waits for all that it made:
#     whoever outlives it ends the test.
#   all_gone: whatever is there can be removed, and leaves nothing.
crash_inside() {
	sandbox_inside '
		daemon_dies() {
			local call=${1%:*} count=1 tracer victim
			[[ $1 != *:* ]] || count=${1#*:}
			shift
			kill -9 $daemon; wait $daemon || true
			# LeakSanitizer cannot run under ptrace(2).
			ASAN_OPTIONS=detect_leaks=0 daemon_under="strace -f -qq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$count" \
				daemon_start
			tracer=$daemon
			victim=$(pgrep -oP $tracer)
			"$@" >/dev/null 2>&1 || true
			# (a zombie has no exe)
			PATIENCE=${DEATH:-${PATIENCE:-600}} until_ not test -e /proc/$tracer/exe || {
				[ -e /proc/$victim/exe ] || { echo "outlived the daemon:"; ps -ef; exit 1; }
				pkill -9 -P $tracer
				return 1
			}
			wait $tracer || true
			daemon_start
		}
		nothing() {
			not processes && { [ ! -e $C ] || silent find $C -mindepth 1 -type d; } &&
				[ "$(ip -o link | wc -l)" = 1 ] && silent ls $T/data/sandboxes/boxes &&
				silent subvolumes /layer && not grep -q $RUN /proc/mounts &&
				silent find $RUN -mindepth 1 ! -name state ! -name stage ! -path "*/stage/root"
		}
		all_gone() {
			local id
			for id in $(sb ls --json | jq -r ".sandboxes[].id"); do
				[[ $(sb inspect --json $id | jq -r .state) = @(ready|failed|stopped) ]] || return 1
				sb rm -f $id >/dev/null
			done
			for id in $(sb snapshots --json | jq -r ".snapshots[].id"); do sb snapshots rm $id >/dev/null; done
			until_ nothing
		}
		'"$1"'
	'
}

# The whole list is tests/torture/sandbox: it names the steps of its turn in the environment.
@test "the daemon dies at a step of a start, a checkpoint, a removal: the next one leaves nothing behind" {
	export CREATE=${CREATE-"kill /^rename move_mount setns pidfd_open"} \
		CHECKPOINT=${CHECKPOINT-"/^mkdir fsync"} REMOVE=${REMOVE-"rmdir"}
	crash_inside '
		for step in $CREATE; do
			daemon_dies $step sb launch --id a --rootfs $R true || { echo "create: never at $step"; exit 1; }
			all_gone || { echo "after a create that died at $step"; exit 1; }
		done
		for step in $CHECKPOINT; do
			sb create --id a --rootfs $R --wait
			sb run a sh -c "echo kept >/root/f"
			daemon_dies $step sb checkpoint a || { echo "checkpoint: never at $step"; exit 1; }
			state_is a ready # frozen or not, it runs on
			[ "$(sb run a cat /root/f)" = kept ]
			# a snapshot is there as a whole or not at all
			for snap in $(sb snapshots --json | jq -r ".snapshots[].id"); do
				sb restore --id b $snap
				[ "$(sb run b cat /root/f)" = kept ]
				sb rm b
			done
			all_gone || { echo "after a checkpoint that died at $step"; exit 1; }
			silent ls $T/data/sandboxes/snapshots
		done
		for step in $REMOVE; do
			sb create --id a --rootfs $R --wait
			daemon_dies $step sb rm a || { echo "remove: never at $step"; exit 1; }
			all_gone || { echo "after a removal that died at $step"; exit 1; }
		done
	'
}

@test "a damaged image: one that would run as root without its record does not; it can be imported anew" {
	sandbox_inside '
		tar -C $R -cf $T/img/r.tar bin etc
		sb image import tools $T/img/r.tar
		echo "no record" >$T/data/sandboxes/images/tools/record
		refused 500 "its record is damaged" sb create --id i --image tools
		sb image ls | grep -q tools
		sb image import --replace tools $T/img/r.tar
		sb create --id i --image tools --network none --wait
		sb rm i
	'
}

@test "a terminal: of 80 columns, hung up when its host is killed; what it still prints comes to its end" {
	sandbox_inside '
		sb create --id a --rootfs $R --network none --wait
		# each time: a terminal is there before its command is, and as large as it is to be; what is printed is not lost
		for i in 1 2 3 4 5; do [ "$(sb run -t a stty size | tr -d "\r")" = "24 80" ]; done
		[ "$(sb run -t a sh -c "test -t 0 && test -t 1 && test -t 2 && stty size && exit 5" | tr -d "\r"; echo ${PIPESTATUS[0]})" = "24 80
5" ]
		[ "$(sb run -t a sh -c "head -c 300000 /dev/zero | tr \"\\0\" x" | tr -dc x | wc -c)" = 300000 ]
		silent find $RUN -name "*.tty" # its sockets are gone
		# as a person has it: typed lines, the size of his terminal, the end of input by ^D, the exit status
		s=0
		(until [ -e $T/ready2 ]; do sleep 0.05; done; printf "typed\n\004") |
			timeout 60 script -qec "stty cols 99 rows 33; $GUESTBOX vsock-rpc --connect unix:$T/s sandbox exec -t a sh -c \"stty size; echo up; cat; exit 9\"; echo status \$?" /dev/null >$T/typed & typist=$!
		until_ grep -q up $T/typed
		touch $T/ready2
		wait $typist || s=$?
		cat -v $T/typed
		tr -d "\r" <$T/typed | grep -qx "33 99"
		[ "$(tr -d "\r" <$T/typed | grep -c "^typed")" -ge 1 ]
		grep -q "status 9" $T/typed
		# the host is killed: whoever is on the terminal gets SIGHUP
		"$GUESTBOX" vsock-rpc --connect unix:$T/s sandbox run -t a sh -c "trap \"echo hup >/root/hup; exit\" HUP; echo up >/root/up; while :; do sleep 0.1; done" >$T/none & client=$!
		there() { [ -s $T/data/sandboxes/boxes/*/layer/root/$1 ]; } # the name is looked for each time
		until_ there up
		kill -9 $client
		until_ there hup
		until_ state_is a ready
		# and what cannot be run on one
		refused 400 "not found in the sandbox" sb run -t a nosuch
		sb rm a
	'
}
