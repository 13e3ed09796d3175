#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What wants out of a sandbox, or into one that is not its own: each is contained, and the daemon answers as before. What
# needs a kernel of its own (memory, fork bombs) is in tests/vm/sandbox.bats.
load ../lib.bash
load sandbox.bash

@test "ids that are paths, empty, too long, or hold what no id holds: refused by every request" {
	sandbox_inside '
		sb ls >/dev/null # its folders are made by the first request
		before=$(find $T/data /run/guestbox | sort)
		long=$(printf "%0300d" 1)
		for id in . .. ../x /etc a/b "a\\b" "$(printf "a\nb")" "$(printf "\033[2J")" "$long"; do
			refused 400 "id" sb create --id "$id" --rootfs $R
			refused 400 "id" sb inspect "$id"
			refused 400 "id" sb run "$id" true
			refused 400 "id" sb exec -n "$id" true
			refused 400 "id" sb stop "$id"
			refused 400 "id" sb rm -f "$id"
			refused 400 "id" sb checkpoint "$id"
			# a snapshot is named by what the daemon has given out
			if out=$(sb snapshots rm "$id" 2>&1); then echo "removed $id"; exit 1; fi
			[[ $out == *"error 40"* ]]
			if out=$(sb restore "$id" 2>&1); then echo "restored $id"; exit 1; fi
			[[ $out == *"error 40"* ]]
		done
		refused 400 "id" sb inspect ""
		refused 400 "id" sb rm ""
		# A NUL inside is cut by no C string: the bytes of id "a\0b".
		raw() { "$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 120 raw "$@"; }
		for type in SandboxCreateRequest SandboxInspectRequest SandboxStopRequest SandboxRemoveRequest SandboxRunRequest \
			SandboxExecRequest SandboxCheckpointRequest; do
			refused 400 "NUL" raw $type 0a03610062
		done
		refused 400 "UTF-8" raw SandboxInspectRequest 0a02ff61
		[ "$(find $T/data /run/guestbox | sort)" = "$before" ]
		# What is no path and no control character is an id like any other, and never becomes a path.
		sb create --id "…ünï/" --rootfs $R 2>/dev/null && exit 1
		[ "$(sb create --id "  -rf * ünï…" --rootfs $R --wait)" = "  -rf * ünï…" ]
		sb run -- "  -rf * ünï…" true
		sb rm -- "  -rf * ünï…"
		sb ls
	'
}

@test "roots and mounts that are reached over .. or a link: refused; what is in the root leads nowhere else" {
	sandbox_inside '
		echo secret >$T/secret; mkdir $T/outside; echo host >$T/outside/file
		ln -s $R $T/data/link
		mkdir $T/data/real; ln -s $R $T/data/real/sub
		refused 400 "link" sb create --rootfs $T/data/link
		refused 400 "link" sb create --rootfs $T/data/real/sub
		for path in $T/data/../data/rootfs rootfs ./rootfs "$T/data//rootfs/" /..; do
			refused 400 "rootfs" sb create --rootfs "$path"
		done
		for m in ../x:/x /srv/../etc:/x relative:/x; do refused 400 "mount" sb create --rootfs $R -v "$m"; done
		for m in /../x x ../x / /a/../../x; do refused 400 "mount" sb create --rootfs $R -v "$T/outside:$m"; done
		# Places of the runtime own are not mounted over.
		for m in /proc /proc/1 /sys /sys/fs/cgroup /dev; do
			if sb create --id m --rootfs $R -v "$T/outside:$m" --wait 2>$T/err; then
				[ "$(sb run m cat $m/file 2>/dev/null)" != host ] || { echo "mounted over $m"; exit 1; }
			fi
			sb rm -f m 2>/dev/null || true
		done
		# A root whose own folders are links out, and whose mount point is one.
		btrfs -q subvolume snapshot $R $T/data/evil
		rmdir $T/data/evil/proc $T/data/evil/dev $T/data/evil/sys $T/data/evil/tmp
		E=$T/data/evil
		ln -s $T/outside $E/proc; ln -s ../../../../../../$T/outside $E/dev; ln -s / $E/sys; ln -s $T/outside $E/mnt
		ln -sf $T/secret $E/etc/passwd; ln -sf ../../../../../../../$T/secret $E/etc/group
		before=$(cd $T/outside && find . | sort)
		sb create --id evil --rootfs $E -v $T/data/real:/mnt --wait 2>$T/err || true
		if state_is evil ready; then
			[ "$(sb run evil sh -c "ls /mnt/ | head -1; cat /etc/passwd" 2>&1 | grep -c "host\|secret")" = 0 ]
		fi
		sb rm -f evil
		[ "$(cd $T/outside && find . | sort)" = "$before" ]
		[ "$(cat $T/secret $T/outside/file)" = "secret
host" ]
		# A user from a file that is a link out: not found, not read.
		refused 400 "" sb create --rootfs $R -u "../../x"
		# What a sandbox has made in its layer leads no later command out.
		sb create --id a --rootfs $R --wait
		sb run a sh -c "rm -r /tmp; ln -s / /tmp; ln -s $T/outside /work; rm /etc/passwd; ln -s $T/secret /etc/passwd"
		refused 400 "" sb run -w $T/outside a true
		not sb run -w /work a cat file
		[ "$(sb run -u bob a true 2>&1 | grep -c secret)" = 0 ]
		not grep -q "$T/outside" /proc/self/mountinfo
	'
}

@test "device nodes: none can be made, and one in the root opens nothing" {
	sandbox_inside '
		dev=$(findmnt -no SOURCE $T/data)
		set -- $(stat -c "0x%t 0x%T" $dev)
		btrfs -q subvolume snapshot $R $T/data/nodes
		mknod $T/data/nodes/disk b $(($1)) $(($2)); chmod 666 $T/data/nodes/disk
		mknod $T/data/nodes/mem c 1 1; chmod 666 $T/data/nodes/mem
		mknod $T/data/nodes/null c 1 3; chmod 666 $T/data/nodes/null
		mknod $T/data/nodes/kmsg c 1 11; chmod 666 $T/data/nodes/kmsg
		sb create --id a --rootfs $T/data/nodes --wait
		for n in disk mem null kmsg; do
			not sb run a dd if=/$n bs=1 count=1
			not sb run a sh -c "echo x >/$n"
			sb run a sh -c "cp -a /$n /tmp/$n 2>/dev/null; dd if=/tmp/$n bs=1 count=1" 2>/dev/null && exit 1
		done
		not sb run a mknod /tmp/null c 1 3
		not sb run a mknod /tmp/disk b $(($1)) $(($2))
		not sb run a mknod /dev/disk b $(($1)) $(($2))
		# Those of the guest, which the runtime gives it, are not for the root of a sandbox to change.
		owners() { stat -c "%n %u %g %a" /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; }
		owners >$T/before
		not grep -qv " 0 [0-9]* 666$" $T/before
		for n in null zero full random urandom tty; do
			not sb run a chmod 600 /dev/$n
			not sb run a chown 1 /dev/$n
		done
		sb exec a chmod 600 /proc/self/fd/0 /proc/1/fd/0 /proc/1/fd/1 /proc/1/fd/2 </dev/null || true
		owners | cmp - $T/before
		# The ones that a program may count on are there, and are what they are called.
		sb run a sh -c "echo x >/dev/null && [ \$(head -c 5 /dev/zero | wc -c) = 5 ] && head -c 1 /dev/urandom >/dev/null"
		for n in mem kmem port kmsg sda vda loop0 loop-control btrfs-control kvm net/tun fuse vsock; do
			not sb run a sh -c "cat </dev/$n" 2>/dev/null
		done
		sb rm a
	'
}

@test "/proc, /sys, the kernel: nothing of the machine changes or is told" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		pattern=$(cat /proc/sys/kernel/core_pattern); host=$(hostname); mounts=$(wc -l </proc/self/mountinfo)
		swap=$(cat /proc/sys/vm/swappiness)
		for f in /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness /proc/sys/kernel/hostname /proc/sys/kernel/modprobe \
			/proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/sys/fs/binfmt_misc/register /proc/irq/default_smp_affinity \
			/sys/kernel/mm/transparent_hugepage/enabled /sys/power/state /sys/fs/cgroup/cgroup.procs \
			/sys/fs/cgroup/cgroup.max.descendants /proc/1/oom_score_adj_x /sys/kernel/uevent_helper; do
			not sb run a sh -c "echo 1 >$f" 2>/dev/null
		done
		for f in /proc/kcore /proc/kmsg /proc/keys /proc/timer_list /proc/sched_debug /sys/kernel/debug/x /proc/1/mem \
			/sys/firmware/x /proc/sysrq-trigger; do
			[ -z "$(sb run a head -c 1 $f 2>/dev/null | tr -d "\0")" ]
		done
		[ "$(cat /proc/sys/kernel/core_pattern)" = "$pattern" ]
		[ "$(cat /proc/sys/vm/swappiness)" = "$swap" ]
		for c in "mount -t tmpfs none /mnt" "mount -o remount,rw /sys" "mount -o remount,rw /proc/sys" "mount --bind / /mnt" \
			"umount /proc" "umount -l /sys" "nsenter -t 1 -m true" "reboot -f" "poweroff -f" \
			"insmod /x.ko" "swapon /x" "losetup /dev/loop0 /bin/busybox" "ip link add d0 type dummy" \
			"ip addr add 10.1.2.3/8 dev lo" "dmesg" "renice -n -20 1" "pivot_root / /mnt" \
			"chown 5 /proc/1" "setpriv --clear-groups true" "hostname evil"; do
			not sb run a sh -c "$c" >/dev/null 2>&1 || { echo "it could: $c"; exit 1; }
		done
		[ "$(hostname)" = "$host" ]
		sb run a date -s 2001-01-01 >/dev/null 2>&1 || true # busybox ends well whether it could or not
		[ "$(date +%Y)" -gt 2001 ]
		# Its view holds its own processes alone, and a signal to all reaches only those.
		[ "$(sb run a sh -c "ls -d /proc/[0-9]*" | wc -l)" -le 4 ]
		sb run a kill -9 -1 || true
		kill -0 $daemon
		state_is a ready
		sb run a true
		[ "$(wc -l </proc/self/mountinfo)" -le $((mounts + 1)) ]
		# Bits that give rights give none that it did not have: a setuid shell of its own root is its own root.
		sb run a sh -c "cp /bin/busybox /bin/suid; chmod 4755 /bin/suid"
		[ "$(sb run -u bob a grep CapBnd /proc/self/status | cut -f2)" != 000001ffffffffff ]
		# Real owners of its files are in its own range, whatever it makes.
		sb run a sh -c "echo x >/root/own; chmod 6777 /root/own"
		layer=$(echo $T/data/sandboxes/boxes/*/layer)
		[ "$(find $layer -path "*root/own" -perm -4000 | wc -l)" = 1 ]
		# Nobody but root of the machine can come near them.
		not setpriv --reuid 1000 --clear-groups cat $layer/root/own
		sb rm a
	'
}

@test "a full disk inside: the writer fails, the daemon and what else there is go on, and removal frees it" {
	sandbox_inside '
		btrfs -q filesystem resize 600M $T/data # sooner full
		sb create --id a --rootfs $R --wait; sb create --id b --rootfs $R --wait
		not sb run a sh -c "i=0; while dd if=/dev/zero of=/root/big.\$i bs=1M count=256; do i=\$((i+1)); done; exit 1" 2>/dev/null
		"$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 120 ping
		[ "$(sb ls --json | jq ".sandboxes | length")" = 2 ]
		sb inspect a >/dev/null
		sb run b cat /etc/passwd >/dev/null
		sb stop b
		sb rm -f a b
		btrfs filesystem sync $T/data; btrfs subvolume sync $T/data
		sb create --id c --rootfs $R --wait
		sb run c dd if=/dev/zero of=/root/fits bs=1M count=100 2>/dev/null
		sb rm c
	'
}

@test "input of a command in a frame that is too long: 400, and the command ends as when its host is lost" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		# SandboxExec of sh -c "cat; echo over >/root/over"; a line; a frame of 16 MiB and one byte, which comes in full.
		{
			printf "%b" "\x00\x00\x00\x2d\x00\x00\x00\x31\x00\x00\x0a\x01a\x12\x02sh\x12\x02-c\x12\x1acat; echo over >/root/over\n"
			printf "%b" "\x00\x00\x00\x09\x00\x00\x00\x33\x00\x00hi\n\x01\x00\x00\x01\x00\x00\x00\x33\x00\x00"
			head -c $(((16 << 20) - 5)) /dev/zero || true
		} | socat -t 60 - UNIX-CONNECT:$T/s >$T/said 2>/dev/null || true
		xxd -p $T/said | tr -d "\n" >$T/hex
		grep -q "0000ffff""0000""0000019000000026$(printf "invalid request: the frame is too long" | xxd -p | tr -d "\n")\$" $T/hex
		until_ state_is a ready
		[ "$(sb run a cat /root/over)" = over ]
		sb rm a
	'
}

@test "frames that no client sends: answered, and sandboxes live on" {
	sandbox_inside '
		sb create --id a --rootfs $R --wait
		raw() { "$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 120 raw "$@"; }
		# A terminal of 70000 columns; a command of nothing; an id that is a number; one field cut off.
		refused 400 "" raw SandboxExecRequest "0a0161 1201 78 3001 3a0408f0a204"
		refused 400 "" raw SandboxRunRequest 0a0161
		refused 400 "decode" raw SandboxInspectRequest 0801
		refused 400 "decode" raw SandboxInspectRequest 0a0561
		refused 400 "not a request" raw SandboxExecInput 6c730a
		# 2000 arguments of 400 bytes fit, and are one command line; too much of it is refused, not cut.
		args=$(head -c 400 /dev/zero | tr "\0" x)
		[ "$(sb run a sh -c "echo \$#" $(for i in $(seq 2000); do echo $args; done) 2>/dev/null || echo refused)" != "" ]
		for i in $(seq 20); do sb inspect a >/dev/null & done; wait $(jobs -p | grep -vx $daemon)
		state_is a ready
		sb run a true
		sb rm a
	'
}
