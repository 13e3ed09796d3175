#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The daemon is killed in the middle of what it does, and the disk is damaged behind its back: nothing leaks, and nothing that
# somebody may still want is taken away.
load ../lib.bash
load sandbox.bash

# crash_inside SCRIPT: with more words for it.
#   daemon_dies CALL[:COUNT] COMMAND...: the daemon is killed at its COUNTth CALL, in one thread, while COMMAND runs (with the
#     client as sb). Fails when it was not.
#   all_gone: whatever is there can be removed, and leaves nothing.
crash_inside() {
	sandbox_inside '
		daemon_dies() {
			local call=${1%:*} count=1 tracer
			[[ $1 != *:* ]] || count=${1#*:}
			shift
			kill -9 $daemon; wait $daemon || true
			# LeakSanitizer cannot run under ptrace(2).
			ASAN_OPTIONS=detect_leaks=0 daemon_under="strace -f -qq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$count" daemon_start
			tracer=$daemon
			"$@" >/dev/null 2>&1 || true
			# (a zombie has no exe)
			until_ not test -e /proc/$tracer/exe || { pkill -9 -P $tracer; return 1; }
			wait $tracer || true
			daemon_start
		}
		nothing() {
			not processes && [ -z "$(find $C -mindepth 1 -type d 2>/dev/null)" ] &&
				[ "$(ip -o link | wc -l)" = 1 ] && [ -z "$(ls $T/data/sandboxes/boxes)" ] &&
				[ -z "$(btrfs subvolume list $T/data | grep /layer || true)" ] && not grep -q $RUN /proc/mounts &&
				[ -z "$(find $RUN -mindepth 1 ! -name state ! -name stage ! -path "*/stage/root")" ]
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
	export CREATE=${CREATE-"/^rename move_mount setns pidfd_open"} CHECKPOINT=${CHECKPOINT-"/^mkdir fsync"} REMOVE=${REMOVE-"rmdir"}
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
			[ -z "$(ls $T/data/sandboxes/snapshots)" ]
		done
		for step in $REMOVE; do
			sb create --id a --rootfs $R --wait
			daemon_dies $step sb rm a || { echo "remove: never at $step"; exit 1; }
			all_gone || { echo "after a removal that died at $step"; exit 1; }
		done
	'
}

@test "a damaged disk: what cannot be read is left alone and told, and all others go on" {
	crash_inside '
		for id in lost kept twin; do sb create --id $id --rootfs $R --network none --wait; done
		sb run lost sh -c "echo precious >/root/f; sync"
		good=$(sb checkpoint kept) bad=$(sb checkpoint kept)
		box() { basename $(dirname $(grep -la "$1" $T/data/sandboxes/boxes/*/record)); }
		lost=$(box lost) kept=$(box kept) twin=$(box twin)
		kill -9 $daemon; wait $daemon || true
		cd $T/data/sandboxes
		echo "no record" >boxes/$lost/record
		echo "no record" >snapshots/$bad/record
		# one that a crash has cut short; one of another sandbox, by name and by number; a second one of an id
		mkdir -p boxes/00000000000000aa/layer boxes/00000000000000bb boxes/00000000000000cc boxes/00000000000000dd/layer
		: >boxes/00000000000000aa/record
		cp boxes/$kept/record boxes/00000000000000bb/
		LC_ALL=C sed "s/$kept/00000000000000cc/" boxes/$kept/record >boxes/00000000000000cc/record
		LC_ALL=C sed "s/$twin/00000000000000dd/; s/twin/mate/" boxes/$twin/record >boxes/00000000000000dd/record
		cd /
		daemon_start
		[ "$(sb ls --json | jq -r ".sandboxes[].id" | sort | tr "\n" " ")" = "kept mate twin " ]
		for id in lost bb cc; do
			grep "is left alone" $T/log | grep -q "$([ $id = lost ] && echo $lost || echo 00000000000000$id)" || { echo "not told: $id"; exit 1; }
		done
		grep "is left alone" $T/log | grep -q "snapshots/$bad"
		[ "$(cat $T/data/sandboxes/boxes/$lost/layer/root/f)" = precious ]
		[ -d $T/data/sandboxes/snapshots/$bad/layer ]
		[ ! -e $T/data/sandboxes/boxes/00000000000000aa ]
		# of the two with one number one runs on, and the other, which is no process of its own, gets another number
		[ "$(sb ls --json | jq -r ".sandboxes[] | select(.state == \"ready\").id" | sort | xargs)" = "$(sb ls --json | jq -r ".sandboxes[] | select(.state != \"failed\").id" | sort | xargs)" ]
		state_is kept ready
		[ "$(sb run kept echo on)" = on ]
		[ ! -e $C/$lost ] # nobody could stop it any more
		[ "$(sb snapshots --json | jq -r ".snapshots[].id")" = $good ]
		sb restore --id again $good; sb run again true
		sb create --id lost --rootfs $R --wait # its name is free
		[ "$(sb run lost cat /proc/self/uid_map)" != "$(sb run kept cat /proc/self/uid_map)" ]
		for id in $(sb ls --json | jq -r ".sandboxes[].id"); do sb rm -f $id; done
		sb snapshots rm $good
		[ "$(ls $T/data/sandboxes/boxes | sort | xargs)" = "$(printf "%s\n" 00000000000000bb 00000000000000cc $lost | sort | xargs)" ]
		# an image whose record is damaged would run as root: it does not
		tar -C $R -cf $T/img/r.tar bin etc
		sb image import tools $T/img/r.tar
		sb create --id i --image tools --network none --wait && sb rm i
		echo "no record" >$T/data/sandboxes/images/tools/record
		refused 500 "its record is damaged" sb create --id i --image tools
		sb image ls | grep -q tools
		sb image import --replace tools $T/img/r.tar
		sb create --id i --image tools --network none --wait && sb rm i
	'
}
