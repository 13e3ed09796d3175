#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Sandboxes of vsock-rpcd with a real runtime, from creation to removal. What the protocol says of each request, and each
# weakness of the reference that is not ours.
load ../lib.bash
load sandbox.bash

@test "create, inspect, list, run, remove: its own namespaces, users, files; and nothing is left" {
	sandbox_inside '
		[ "$(sb create --id one -l team=x --rootfs $R --wait)" = one ]
		refused 409 "there is one already" sb create --id one --rootfs $R
		sb create --id two -l team=y --rootfs $R --network none --wait
		[ "$(sb ls --json -l team=y | jq -c "[.sandboxes[].id]")" = "[\"two\"]" ]
		[ "$(sb ls --json --state ready | jq -r ".sandboxes | length")" = 2 ]
		[ "$(sb inspect --json one | jq -r .network.ip_address)" = 172.20.0.2 ]
		[ "$(sb inspect --json two | jq -r .network)" = null ]
		[ "$(sb run one sh -c "hostname; id -u")" = "one
0" ]
		[ "$(sb run one sh -c "echo \$\$")" -lt 50 ] # pids of its own
		for ns in pid mnt net ipc uts cgroup user; do
			[ "$(sb run one readlink /proc/self/ns/$ns)" != "$(readlink /proc/self/ns/$ns)" ]
			[ "$(sb run one readlink /proc/self/ns/$ns)" != "$(sb run two readlink /proc/self/ns/$ns)" ]
		done
		# its root is nobody outside, and nobody of the other
		[ "$(sb run one awk "{ print \$2 }" /proc/self/uid_map)" -ge 1073741824 ]
		[ "$(sb run one cat /proc/self/uid_map)" != "$(sb run two cat /proc/self/uid_map)" ]
		sb run one touch /root/mine
		[ "$(sb run one stat -c %u:%g /root/mine)" = 0:0 ]
		[ ! -e $R/root/mine ]
		[ "$(sb run two ip -o link | wc -l)" = 1 ]
		sb run one ip -o addr | grep -q "172.20.0.2 peer 172.20.0.1"
		refused 404 "there is none" sb inspect three
		refused 404 "there is none" sb run three true
		sb rm one two
		[ "$(sb ls --json | jq -r ".sandboxes | length")" = 0 ]
		# nothing of them is left: folders, subvolumes, cgroups, interfaces, mounts, containers
		silent ls $T/data/sandboxes/boxes
		silent subvolumes /layer
		silent find $C -mindepth 1 -type d
		[ "$(ip -o link | wc -l)" = 1 ]
		silent ls $RUN/state
		not grep -q $RUN /proc/mounts
	'
}

@test "launch: a command that comes right behind the create waits for it; a start that fails is its error" {
	sandbox_inside '
		s=0; [ "$(sb launch --id a --rootfs $R sh -c "echo out; hostname; exit 3")" = "out
a" ] || s=$?
		s=0; sb launch --id b --rootfs $R --network none sh -c "exit 3" || s=$?; [ $s = 3 ]
		state_is b ready
		[ "$(sb inspect --json b | jq -r .last_exit_code)" = 3 ]
		refused 409 "there is one already" sb launch --id b --rootfs $R touch /root/there
		sb run b test ! -e /root/there
		refused 400 "not found in the sandbox" sb launch --id c --rootfs $R nosuch
		refused 400 "neither a folder nor a regular file" sb launch --id e --rootfs $R -v /dev/null:/mnt true
		refused 404 "there is none" sb inspect e
		{ printf hsqs; head -c 8188 /dev/zero; } >$T/img/damaged
		refused 400 "rootfs $T/img/damaged" sb launch --id d --rootfs $T/img/damaged true
		state_is d failed
		[ "$(sb launch --rm --rootfs $R cat /proc/self/uid_map | wc -l)" = 1 ]
		[ "$(sb ls --json | jq -r ".sandboxes | length")" = 4 ]
		sb rm a b c d
		silent find $C -mindepth 1 -type d
	'
}

@test "an address is given back once: a failed start, and its removal, take none from those who have it since" {
	sandbox_inside '
		refused 400 "not found in the sandbox" sb launch --id bad --rootfs $R nosuch
		sb create --id good --rootfs $R --wait
		sb rm -f bad
		sb create --id other --rootfs $R --wait
		address() { sb inspect --json $1 | jq -r .network.ip_address; }
		[ -n "$(address good)" ]
		[ -n "$(address other)" ]
		[ "$(address good)" != "$(address other)" ]
		for id in good other; do busybox ping -c 1 -W 20 "$(address $id)" >/dev/null; done
		sb rm -f good other
		[ "$(ip -o link | wc -l)" = 1 ]
	'
}

@test "launch: the first command is in no way other than a later one" {
	sandbox_inside '
		look="id; pwd; umask; env | sort; grep -E \"^(Uid|Gid|Groups|Cap|NoNew|Seccomp|Sig|NSpid)\" /proc/self/status
			cat /proc/self/limits; ls /proc/self/fd | wc -l; readlink /proc/self/fd/0; cat /proc/1/comm
			echo >/proc/self/fd/1; exec 2>&1; mount -t tmpfs x /tmp; echo \$?"
		sb launch --id a --rootfs $R --network none -e A=1 -e HOME=/here sh -c "$look" >$T/img/first
		sb run a sh -c "$look" | diff <(sed "s/^NSpid.*//" $T/img/first) <(sed "s/^NSpid.*//" -)
		# nor is the first one of a sandbox that was ready before, which PID 1 starts as well
		sb create --id z --rootfs $R --network none -e A=1 -e HOME=/here --wait
		sb run z sh -c "$look" | diff <(sed "s/^NSpid.*//" $T/img/first) <(sed "s/^NSpid.*//" -)
		[ "$(sb run z true; sb inspect --json z | jq -r .state)" = ready ]
		sb create --id y --rootfs $R --network none --wait
		[ "$(echo hello | sb exec y cat)" = hello ]
		sb create --id x --rootfs $R --network none --wait
		refused 400 "not found in the sandbox" sb run x nosuch
		state_is x ready
		s=0; sb run x sh -c "kill -9 \$\$" || s=$?; [ $s = 137 ]
		sb rm x y z
		sb launch --id b --rootfs $R -u bob -w /tmp sh -c "$look" >$T/img/first
		sb run -w /tmp -u bob b sh -c "$look" | diff <(sed "s/^NSpid.*//" $T/img/first) <(sed "s/^NSpid.*//" -)
		grep -q "uid=1000(bob).*10(wheel)" $T/img/first
		# much output, a reader that is slow, a status; and PID 1 holds none of its pipes
		[ "$(sb launch --id c --rootfs $R --network none sh -c "head -c 30000000 /dev/zero; exit 0" | (sleep 0.2; wc -c))" = 30000000 ]
		s=0; sb launch --id d --rootfs $R sh -c "kill -9 \$\$" || s=$?; [ $s = 137 ]
		[ "$(sb launch --id e --rootfs $R sh -c "sleep 5000 & echo started")" = started ]
		runs e "sleep 5000"
		sb rm -f a b c d e
	'
}

@test "launch: a first command that is over before its start is known of ends as any other" {
	sandbox_inside '
		kill $daemon; wait $daemon || true
		# The thread that has told PID 1 of it stays in its kill(2) for longer than the command takes.
		ASAN_OPTIONS=detect_leaks=0 daemon_under="strace -f -qq -o /dev/null -e trace=kill -e inject=kill:delay_exit=500000" \
			daemon_start
		victim=$(pgrep -oP $daemon)
		for code in 0 7; do
			sb create --id a --rootfs $R --wait
			status=0; sb run a sh -c "echo out; exit $code" >$T/out || status=$?
			[ "$status $(cat $T/out)" = "$code out" ]
			state_is a ready
			sb rm -f a
		done
		kill $victim; wait $daemon || true
		daemon_start
	'
}

@test "launch: a command that comes when its sandbox is as good as started is the sandbox’s user’s" {
	sandbox_hold_starts
	sandbox_inside '
		touch $T/hold
		sb create --id a --rootfs $R --user bob
		until_ test -e $T/held
		sleep 0.5 # it has looked for a first command by then: if not, this tests less
		sb run a id -un >$T/out 3>&- &
		run=$!
		sleep 0.5 # and this one is there
		touch $T/go
		wait $run
		[ "$(cat $T/out)" = bob ]
		rm $T/hold
		sb rm -f a
	'
}

@test "launch: a daemon that is killed leaves no start behind, and takes the first command with it" {
	sandbox_inside '
		sb launch --id k --rootfs $R sh -c "setsid sleep 3000 & sleep 3001" & client=$!
		busy() { pgrep -f "^sleep 3000" >/dev/null && pgrep -f "^sleep 3001" >/dev/null && state_is k running; }
		until_ busy
		kill -9 $daemon; wait $daemon || true; wait $client || true
		daemon_start
		state_is k ready
		until_ not pgrep -f "^sleep 300[01]"
		[ "$(sb run k echo on)" = on ]
		for i in 1 2 3 4 5 6 7 8; do
			sb launch --id n$i --rootfs $R sleep 3002 2>/dev/null & client=$!
			sleep 0.0$i
			kill -9 $daemon; wait $daemon || true; wait $client || true
			daemon_start
			sb ls --json | jq -r ".sandboxes[].id" | grep -vx k |
				xargs -r "$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 60 sandbox rm -f
		done
		sb rm -f k
		nothing() { not processes && silent find $C -mindepth 1 -type d; }
		until_ nothing
		silent ls $T/data/sandboxes/boxes
		silent subvolumes /layer
		silent find $RUN -mindepth 1 ! -name state ! -name stage ! -path "*/stage/root"
		[ "$(ip -o link | wc -l)" = 1 ]
		not grep -q $RUN /proc/mounts
	'
}

@test "exit statuses, users, folders, environment; what cannot be run is an Error frame" {
	sandbox_inside '
		sb create --id a --rootfs $R -e GREETING=hello -w /tmp -u bob --wait
		sb run a true
		s=0; sb run a sh -c "exit 7" || s=$?; [ $s = 7 ]
		s=0; sb run a sh -c "kill -TERM \$\$" || s=$?; [ $s = 143 ]
		[ "$(sb run a sh -c "echo \$GREETING; pwd; id -un; id -Gn; echo \$HOME")" = "hello
/tmp
bob
bob wheel
/home/bob" ]
		[ "$(sb run -e GREETING=bye -w / -u 0 a sh -c "echo \$GREETING; pwd; id -u")" = "bye
/
0" ]
		[ "$(sb run -u 5:7 a sh -c "id -u; id -g")" = "5
7" ]
		[ "$(sb run a sh -c "grep CapEff /proc/self/status | cut -f2")" = 0000000000000000 ]
		refused 400 "not found in the sandbox" sb run a nosuch
		refused 400 "not a program" sb run a /etc
		refused 400 "not in the sandbox" sb run -u nosuch a true
		refused 400 "working_dir" sb run -w /nosuch a true
		refused 400 "working_dir" sb run -w ../x a true
		state_is a ready
		[ "$(sb run a sh -c "echo out; echo err >&2" 2>/dev/null)" = out ]
		[ "$(sb inspect --json a | jq -r .last_exit_code)" = 0 ]
		sb rm a
	'
}

@test "exec: input to its end, binary bytes, 50 MB each way, a reader that stops" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		[ "$(echo hello | sb exec a cat)" = hello ]
		head -c 50000000 /dev/urandom >$T/img/bytes
		sb exec a cat <$T/img/bytes | cmp - $T/img/bytes
		sb exec a sh -c "cat >/root/bytes" <$T/img/bytes
		sb run a cat /root/bytes | cmp - $T/img/bytes
		# A host that reads nothing makes the command wait: it has not written more than the buffers between them hold,
		# and when it is read again everything comes.
		mkfifo $T/pipe
		sb exec a sh -c "dd if=/dev/zero bs=1M count=64 2>/root/said; echo done >>/root/said" >$T/pipe </dev/null &
		exec 7<$T/pipe
		started() { sb ls --json --state running | grep -q . && grep -q . $C/*/exec-*/cgroup.procs; }
		until_ started
		cgroup=$(echo $C/*/exec-*)
		asleep() { for p in $(cat $cgroup/cgroup.procs); do grep -q pipe_write /proc/$p/wchan && return; done; return 1; }
		if grep -q pipe /proc/$(sed -n 1p $cgroup/cgroup.procs)/wchan 2>/dev/null || [ -s /proc/self/wchan ]; then until_ asleep; fi
		[ "$(awk "/VmRSS/ { print \$2 }" /proc/$daemon/status)" -lt 300000 ]
		[ "$(wc -c <&7)" = 67108864 ]
		wait $!
		[ "$(sb run a tail -n1 /root/said)" = done ]
		sb rm a
	'
}

@test "a loop that is slow and a reader that is slow cost no output: what was written before the end comes, on a terminal too" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		kill -9 $daemon; wait $daemon || true
		# Each turn of the loop takes longer than what is waited for after a command has ended.
		ASAN_OPTIONS=detect_leaks=0 daemon_under="strace -qq -o /dev/null -e trace=epoll_wait -e inject=epoll_wait:delay_exit=250000" \
			daemon_start
		victim=$(pgrep -oP $daemon)
		[ "$(sb run a head -c 1000000 /dev/zero | (sleep 1; wc -c))" = 1000000 ]
		[ "$(sb exec -t a sh -c "stty -opost; head -c 30000 /dev/zero" </dev/null | wc -c)" = 30000 ]
		kill $victim; wait $daemon || true
		daemon_start
		sb rm -f a
	'
}

@test "exec: a grandchild that keeps stdout open, one that is left running, time limits that end the whole tree" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		[ "$(sb exec a sh -c "sleep 1000 & echo started" </dev/null)" = started ]
		runs a "sleep 1000"
		s=0; sb run --limit 1 a sh -c "(setsid sleep 2000 &) ; sleep 2001" || s=$?
		[ $s = 137 ]
		not runs a "sleep 200[01]"
		runs a "sleep 1000"
		state_is a ready
		sb rm a
	'
}

@test "one command at a time, and each state admits what it may" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		mkfifo $T/in
		sb exec a cat <$T/in & client=$!
		exec 7>$T/in
		until_ state_is a running
		refused 412 "is running" sb run a true
		refused 412 "is running" sb exec a true
		refused 412 "is running" sb checkpoint a
		refused 412 "is running" sb rm a
		exec 7>&-
		wait $client
		until_ state_is a ready
		sb stop a
		state_is a stopped
		refused 412 "is stopped" sb run a true
		refused 412 "is stopped" sb stop a
		sb rm a
		# by force, in the middle of a command
		sb create --id b --rootfs $R --wait
		sb exec b sh -c "echo up; sleep 1000" </dev/null >$T/up & client=$!
		until_ test -s $T/up
		sb rm -f b
		s=0; wait $client || s=$?
		[ $s = 137 ]
		refused 404 "" sb inspect b
		# ... whose host takes nothing of its output: the removal does not wait for that
		sb create --id c --rootfs $R --wait
		mkfifo $T/out
		sb exec c cat /dev/zero </dev/null >$T/out & client=$!
		exec 8<$T/out
		until_ state_is c running
		head -c 100000 <&8 >/dev/null
		sb rm -f c
		refused 404 "" sb inspect c
		exec 8<&-
		wait $client || true
	'
}

@test "a host that vanishes: its command gets the end of its input, a terminal hangs up, the sandbox is ready again" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		mkfifo $T/in
		"$GUESTBOX" vsock-rpc --connect unix:$T/s sandbox exec a sh -c "cat; echo over >/root/over" <$T/in & client=$!
		exec 7>$T/in
		until_ state_is a running
		kill -9 $client
		until_ state_is a ready
		[ "$(sb run a cat /root/over)" = over ]
		sb rm a
	'
}

@test "stop is graceful: the signal reaches every process, and who does not end is killed after the timeout" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		sb exec a sh -c "trap \"echo term >/root/got; exit 3\" TERM; echo up; while :; do sleep 0.1; done" </dev/null >$T/out & client=$!
		until_ test -s $T/out
		sb stop --grace 30 a
		s=0; wait $client || s=$?
		[ $s = 3 ]
		[ "$(cat $T/data/sandboxes/boxes/*/layer/root/got)" = term ]
		sb create --id b --rootfs $R --wait
		sb exec b sh -c "trap \"\" TERM; echo up; while :; do sleep 0.1; done" </dev/null >$T/out2 & client=$!
		until_ test -s $T/out2
		sb stop --grace 1 b
		state_is b stopped
		s=0; wait $client || s=$?
		[ $s = 137 ]
		sb rm a b
	'
}

@test "its own command: the sandbox stops when it ends, with its status" {
	sandbox_inside '
		sb create --id a --rootfs $R -e X=1 sh -c "[ \$X = 1 ] && exit 5"
		until_ state_is a stopped
		[ "$(sb inspect --json a | jq -r .last_exit_code)" = 5 ]
		sb create --id b --rootfs $R /bin/nosuch
		until_ state_is b stopped
		[ "$(sb inspect --json b | jq -r .last_exit_code)" = 127 ]
		sb rm a b
	'
}

@test "events: in order, by id and action; a watcher that leaves is forgotten" {
	sandbox_inside '
		kill $daemon; wait $daemon || true
		export GUESTBOX_LOG=debug
		daemon_start
		export -n GUESTBOX_LOG
		"$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 60 sandbox events --json --count 7 >$T/events & all=$!
		"$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 60 sandbox events --json --action idle --count 1 a >$T/idle & idle=$!
		"$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 60 sandbox events >$T/none & third=$!
		# a request is in the log before it is handled, and both are before the next one that comes
		subscribed() { [ "$(grep -c SandboxEventsRequest $T/log)" = 3 ]; }
		until_ subscribed
		kill -9 $third
		until_ grep -q "no longer watches sandboxes" $T/log
		sb create --id a --rootfs $R --wait
		s=0; sb run a sh -c "exit 3" || s=$?
		sb stop a
		sb rm a
		wait $all; wait $idle
		[ "$(jq -r .action $T/events | tr "\n" " ")" = "created ready running idle stopping stopped removed " ]
		[ "$(jq -r .attributes.exit_code $T/idle)" = 3 ]
	'
}

@test "time to live is an instance’s: a new one of the same id keeps its own; one that is over while no daemon runs is over" {
	sandbox_inside '
		# removed before its time is over, however slow this is
		early() { sb create --id a --rootfs $R --network none --ttl 2 && sb rm -f a; }
		until_ early
		sb create --id a --rootfs $R --wait
		sb create --id b --rootfs $R --network none --ttl 2
		gone() { not sb inspect b 2>/dev/null >&2; }
		until_ gone # and with it the time of the first a
		state_is a ready
		sb create --id b --rootfs $R --network none --ttl 2
		kill -9 $daemon; wait $daemon || true
		daemon_start
		until_ gone
		state_is a ready
		sb rm a
		silent ls $T/data/sandboxes/boxes
		silent find $C -mindepth 1 -type d
	'
}

@test "checkpoint and restore: the files of one moment, labels kept, one id, nothing left when it is deleted" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		sb run a sh -c "echo before >/root/f"
		snap=$(sb checkpoint --name first -l k=v a)
		sb run a sh -c "echo after >/root/f"
		sb rm a
		[ "$(sb snapshots --json -l k=v | jq -r ".snapshots[0].id")" = $snap ]
		[ "$(sb snapshots --json -l k=other | jq -r ".snapshots | length")" = 0 ]
		[ "$(sb snapshots --json | jq -r ".snapshots[0].sandbox_id")" = a ]
		[ "$(sb snapshots --json | jq -r ".snapshots[0].content")" = files ]
		[ -d "$(sb snapshots --json | jq -r ".snapshots[0].snapshot_dir")" ]
		[ "$(sb restore --id b -l x=y $snap)" = b ]
		state_is b ready
		[ "$(sb inspect --json b | jq -r .network)" = null ]
		[ "$(sb run b cat /root/f)" = before ]
		[ "$(sb restore --id c --new-address $snap)" = c ]
		[ "$(sb run c ip -o addr show eth0 | grep -c 172.20.0.2)" = 1 ]
		sb snapshots rm $snap
		refused 404 "" sb restore $snap
		silent ls $T/data/sandboxes/snapshots
		sb rm b c
		silent subvolumes /layer
	'
}

@test "kill -9 of the daemon: those that run are found again, commands of lost hosts end, nothing leaks" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		sb create --id b --rootfs $R --wait
		sb create --id c --rootfs $R --wait
		snap=$(sb checkpoint a)
		sb exec a sh -c "echo up; sleep 1000" </dev/null >$T/up 2>/dev/null & client=$!
		until_ test -s $T/up
		kill -9 $daemon; wait $daemon || true
		wait $client || true
		# c ends while nobody looks
		pid=$(cat $C/*/cgroup.procs | sort -n | tail -n1)
		kill -9 $pid
		until_ not kill -0 $pid 2>/dev/null
		daemon_start
		[ "$(sb ls --json | jq -r "[.sandboxes[] | select(.state == \"ready\")] | length")" = 2 ]
		[ "$(sb ls --json | jq -r "[.sandboxes[] | select(.state == \"failed\")] | length")" = 1 ]
		for id in $(sb ls --json --state ready | jq -r ".sandboxes[].id"); do
			[ "$(sb run $id echo again)" = again ]
			not runs $id "sleep 1000"
			[ -n "$(sb inspect --json $id | jq -r .network.ip_address)" ]
		done
		# an address that is lent is not lent again
		sb create --id d --rootfs $R --wait
		[ "$(sb ls --json | jq -r ".sandboxes[].ip_address" | grep . | sort | uniq -d | wc -l)" = 0 ]
		[ "$(sb snapshots --json | jq -r ".snapshots[0].id")" = $snap ]
		sb snapshots rm $snap
		sb rm -f a b c d
		silent ls $T/data/sandboxes/boxes
		silent find $C -mindepth 1 -type d
		[ "$(ip -o link | wc -l)" = 1 ]
	'
}

@test "a daemon that dies before it has noted a command: that ends, too; what others left behind stays, and is none of a later one’s" {
	sandbox_inside '
		kill $daemon; wait $daemon || true
		under() { # HOW
			ASAN_OPTIONS=detect_leaks=0 daemon_under="strace -D -f -qq -o /dev/null -e trace=rename,renameat,renameat2 -e inject=rename,renameat,renameat2:$1" \
				daemon_start
		}
		end() { kill -9 $daemon; wait $daemon || true; wait $client || true; daemon_start; }
		ended() { not pgrep -f "^sleep 10000"; }
		# PID 1 has started it, and every record comes late
		under delay_enter=700000
		sb launch --id a --rootfs $R sh -c "sleep 10001 & echo up; sleep 10000" >$T/up 2>/dev/null & client=$!
		until_ grep -q up $T/up
		end
		until_ ended
		sb run a sh -c "sleep 10002 & true"
		# the runtime has started it, and none is written
		kill $daemon; wait $daemon || true
		under error=EIO
		sb exec a sh -c "echo on; sleep 10000" </dev/null >$T/up 2>/dev/null & client=$!
		until_ grep -q on $T/up
		end
		until_ ended
		not pgrep -f "^sleep 10001"
		status=0; sb run --limit 1 a sleep 10000 || status=$?
		[ $status = 137 ]
		runs a "sleep 10002"
		sb rm -f a
	'
}

@test "a reboot: records and snapshots stay, what ran is failed, and can be removed" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		sb run a sh -c "echo kept >/root/f; sync"
		snap=$(sb checkpoint a)
	'
	sandbox_inside '
		state_is a failed
		[ -n "$(sb inspect --json a | jq -r .error)" ]
		[ "$(sb restore --id b '"\$(sb snapshots --json | jq -r '.snapshots[0].id')"')" = b ]
		[ "$(sb run b cat /root/f)" = kept ]
		sb rm a b
		silent ls $T/data/sandboxes/boxes
	'
}

@test "no runtime, no such limit, no such root: said, not skipped" {
	sandbox_inside '
		refused 503 "controller" sb create --id a --rootfs $R -m 64M
		refused 404 "No such file" sb create --id a --rootfs /nosuch
		refused 404 "not in the store" sb create --id a --image nosuch
		refused 404 "no image \"default\"" sb create --id a
		refused 400 "kernel" sb create --id a --rootfs $R --kernel /boot/vmlinuz
		ln -s / $T/data/link
		refused 400 "symbolic link" sb create --id a --rootfs $T/data/link/etc
		[ "$(sb ls --json | jq -r ".sandboxes | length")" = 0 ]
		kill $daemon; wait $daemon || true
		daemon_path=/nonexistent
		rm $T/runtime/*
		daemon_start
		refused 503 "neither crun nor runc is in" sb ls
	'
}

@test "roots of other kinds: a folder, an erofs image, below an overlay; mounts, read-only and not" {
	sandbox_rootfs "$T/img/folder"
	mkfs.erofs -Enosbcrc "$T/img/root.erofs" "$T/img/folder" >/dev/null 2>&1 ||
		mkfs.erofs "$T/img/root.erofs" "$T/img/folder" >/dev/null
	mkdir "$T/img/shared"
	echo guest >"$T/img/shared/file"
	sandbox_inside '
		sb create --id folder --rootfs $T/img/folder -v $T/img/shared:/mnt/rw -v $T/img/shared:/mnt/ro:ro --wait
		sb run folder sh -c "echo new >/root/new; rm /etc/group"
		[ -e $T/img/folder/etc/group ]
		[ ! -e $T/img/folder/root/new ]
		[ "$(sb run folder cat /mnt/ro/file)" = guest ]
		not sb run folder sh -c "echo x >/mnt/ro/file" 2>/dev/null
		sb run folder sh -c "echo inside >/mnt/rw/file"
		[ "$(cat $T/img/shared/file)" = inside ]
		[ "$(stat -c %u $T/img/shared/file)" = 0 ]
		snap=$(sb checkpoint folder)
		sb restore --id again $snap
		[ "$(sb run again cat /root/new)" = new ]
		not sb run again test -e /etc/group
		sb create --id image --rootfs $T/img/root.erofs --wait
		sb run image sh -c "echo new >/root/new; cat /root/new"
		sb rm folder again image
	'
	no_loops() { [ -z "$(losetup -n -O BACK-FILE | grep "$T/img/root.erofs" || true)" ]; }
	until_true no_loops
}
