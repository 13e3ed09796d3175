#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Snapshots that cannot be made or removed. What a daemon finds in the store, in the cgroups and on the network when it
# starts: what is whole goes on, what has no record is rubbish, and what it does not understand is not its own to remove.
load ../lib.bash
load sandbox.bash

@test "a record that cannot be read: files and snapshots are left as they are, and that is said; rubbish goes" {
	sandbox_inside '
		boxes=$T/data/sandboxes/boxes snapshots=$T/data/sandboxes/snapshots
		box_of() { grep -la "$1" $boxes/*/record | xargs dirname; }
		sb create --id good-one --rootfs $R --wait
		sb create --id torn-one --rootfs $R --wait
		sb create --id lost-one --rootfs $R --wait
		sb run torn-one sh -c "echo precious >/root/f"
		first=$(sb checkpoint --name first good-one) second=$(sb checkpoint --name second good-one)
		third=$(sb checkpoint --name third good-one) fourth=$(sb checkpoint --name fourth good-one)
		good=$(box_of good-one) torn=$(box_of torn-one) lost=$(box_of lost-one)
		kill -9 $daemon; wait $daemon || true
		# as a fault of the disk may leave it, and something else in its place
		for f in $torn $snapshots/$second; do head -c 20 $f/record >$T/half; cp $T/half $f/record; done
		rm $snapshots/$third/record; mkdir $snapshots/$third/record
		# half a removal
		rm $lost/record $snapshots/$fourth/record
		# the same sandbox twice, by its id and by its numbers
		twin=$boxes/aaaaaaaaaaaaaaaa; mkdir $twin
		[ ${#twin} = ${#good} ]
		LC_ALL=C sed "s/${good##*/}/${twin##*/}/g" $good/record >$twin/record
		other=$boxes/bbbbbbbbbbbbbbbb; mkdir $other
		LC_ALL=C sed "s/${good##*/}/${other##*/}/g; s/good-one/good-two/g" $good/record >$other/record
		daemon_start
		# one of two with an id is that sandbox, of two with the same numbers one gets others; the rest is as it was
		[ "$(sb ls --json | jq -r ".sandboxes[].id" | sort | tr "\n" " ")" = "good-one good-two " ]
		[ "$(grep -c "boxes/.* is left alone: another one has its id" $T/log)" = 1 ]
		[ "$(grep -c "its user ids are another.s: it gets others" $T/log)" = 1 ]
		grep -q "$torn is left alone: " $T/log
		for s in $second $third; do grep -q "$snapshots/$s is left alone: " $T/log; done
		for f in $good $torn $twin $other $snapshots/$first $snapshots/$second $snapshots/$third; do [ -e $f/record ]; done
		[ "$(cat $torn/layer/root/f)" = precious ]
		[ "$(sb snapshots --json | jq -r ".snapshots[].name")" = first ]
		# what has no record is gone, its subvolume too
		for f in $lost $snapshots/$fourth; do [ ! -e $f ]; grep -q "${f##*/}: removed: .*No such file" $T/log; done
		[ "$(sb restore --id again $first)" = again ]
		sb rm -f again
		rm -rf $twin $other
	'
}

@test "a command costs no record that was on the disk: the next daemon knows of it, and after a power cut the sandbox is there" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		record=$(echo $T/data/sandboxes/boxes/*/record)
		# What no daemon has synced has another inode than what follows.
		until_ grep -qa ready $record
		sb run a sh -c "echo precious >/root/f; sync"
		status=0; sb run a sh -c "exit 7" || status=$?
		[ $status = 7 ]
		noted() { grep -qa ready $RUN/*/record; }
		until_ noted
		before=$(stat -c "%i %Y" $record)
		for i in 1 2 3; do sb run a true; done
		status=0; sb run a sh -c "exit 9" || status=$?
		[ "$(stat -c "%i %Y" $record)" = "$before" ]
		# It is answered before it is noted, by a thread: last_exit_code, 9.
		until_ env LC_ALL=C grep -qaP "\x38\x09" $RUN/*/record
		kill -9 $daemon; wait $daemon || true
		daemon_start
		state_is a ready
		[ "$(sb inspect --json a | jq .last_exit_code)" = 9 ]
		[ "$(sb run a cat /root/f)" = precious ]
		# The power is cut: no process is left, nothing of /run, and of each file what was synced.
		kill -9 $daemon; wait $daemon || true
		echo 1 >$(dirname $C/*/cgroup.kill)/cgroup.kill
		until_ not processes
		rm -rf $RUN
		daemon_start
		state_is a failed
		[ "$(cat $T/data/sandboxes/boxes/*/layer/root/f)" = precious ]
		sb rm a
		# An empty record of a snapshot is none that a crash has left.
		sb create --id b --rootfs $R --wait
		snap=$(sb checkpoint b)
		kill -9 $daemon; wait $daemon || true
		: >$T/data/sandboxes/snapshots/$snap/record
		daemon_start
		until_ grep -q "snapshots/$snap is left alone: .*it is empty" $T/log # it is looked for behind the first listening
		[ -e $T/data/sandboxes/snapshots/$snap/layer/bin/busybox ]
		sb rm -f b
	'
}

@test "snapshots are listed as they were taken, whatever their names" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		for i in 1 2 3 4 5 6; do sb checkpoint --name n$i a; done
		kill $daemon; wait $daemon || true
		daemon_start
		[ "$(sb snapshots --json | jq -r ".snapshots[].name" | tr "\n" " ")" = "n1 n2 n3 n4 n5 n6 " ]
		sb rm -f a
	'
}

@test "a snapshot that cannot be made or removed: that is said, and all goes on as before" {
	sandbox_inside '
		store=$T/data/sandboxes/snapshots
		sb create --id a --rootfs $R --wait
		snap=$(sb checkpoint --name one a)
		refused 400 "too long" sb checkpoint --name $(printf %300s x | tr " " x) a
		refused 400 "" sb restore --id ../x $snap
		refused 409 "there is one already" sb restore --id a $snap
		mv $store $store.kept; touch $store
		refused 500 "$store" sb checkpoint --name two a
		rm $store; mv $store.kept $store
		[ "$(sb run a echo goes on)" = "goes on" ] # it stands still no more
		[ "$(sb snapshots --json | jq -r ".snapshots[].id")" = $snap ]
		chattr +i $store/$snap
		refused 500 "$store/$snap" sb snapshots rm $snap
		chattr -i $store/$snap
		[ "$(sb snapshots --json | jq -r ".snapshots[].id")" = $snap ]
		[ "$(sb restore --id b $snap)" = b ]
		sb snapshots rm $snap
		silent ls $store
		sb rm -f a b
	'
}

@test "the daemon ends within a stop: the next one sees it through, or finds it done" {
	sandbox_inside '
		for id in a b; do
			sb create --id $id --rootfs $R --wait
			sb exec $id sh -c "trap \"\" TERM; echo up; while :; do sleep 0.1; done" </dev/null >$T/out.$id 2>/dev/null & clients+=" $!"
			until_ test -s $T/out.$id
			sb stop --grace 600 $id 2>/dev/null & clients+=" $!"
			until_ state_is $id stopping
		done
		all_noted() { [ "$(grep -la stopping $RUN/*/record | wc -l)" = 2 ]; }
		until_ all_noted
		kill -9 $daemon; wait $daemon || true
		for client in $clients; do wait $client || true; done
		# b ends while nobody looks
		instance=$(basename $(dirname $(grep -la "b.*$R" $T/data/sandboxes/boxes/*/record | tail -n1)))
		ended=$C/$instance
		[ -d $ended ]
		echo 1 >$ended/cgroup.kill
		until_ grep -q "populated 0" $ended/cgroup.events
		daemon_start
		until_ state_is a stopped
		until_ state_is b stopped
		sb rm a b
		silent find $C -mindepth 1 -type d
	'
}

@test "interfaces of sandboxes that are gone are removed, and no others" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		kill -9 $daemon; wait $daemon || true
		ip link add vmtap7-9 type veth peer name left
		ip link add vmtap7-9x type veth peer name eth7
		had=$(ip -o link | grep -o "vmtap[0-9]*-[0-9]*@" | grep -v 7-9)
		daemon_start
		[ "$(sb run a echo again)" = again ]
		grep -q "interface vmtap7-9 was left over" $T/log
		not ip link show vmtap7-9 2>/dev/null
		ip link show vmtap7-9x >/dev/null; ip link show eth7 >/dev/null
		[ "$(ip -o link | grep -o "vmtap[0-9]*-[0-9]*@")" = "$had" ]
		sb rm -f a
		ip link del eth7
	'
}
