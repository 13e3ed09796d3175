#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Roots that are file system images: erofs, squashfs, ext4; behind loop devices that go with their sandboxes, whatever
# happens to the daemon; and those that are cut off or no images.
load ../lib.bash
load sandbox.bash

setup() {
	sandbox_setup
	sandbox_rootfs "$T/img/folder"
	mkdir "$T/img/out"
	mkfs.erofs "$T/img/out/root.erofs" "$T/img/folder" >/dev/null 2>&1
	mksquashfs "$T/img/folder" "$T/img/out/root.squashfs" -no-progress -quiet -comp gzip >/dev/null
	truncate -s 32M "$T/img/out/root.ext4"
	mkfs.ext4 -q -d "$T/img/folder" "$T/img/out/root.ext4"
}

@test "erofs, squashfs and ext4: written above them, on the data disk; two of one image; a snapshot of each; no loop device left" {
	sandbox_inside '
		loops() { losetup -n -O BACK-FILE | grep -c "^$T/img/out/" || true; }
		no_loops() { [ "$(loops)" = 0 ]; }
		cd $T/img/out
		sha256sum * >$T/sums
		for kind in erofs squashfs ext4; do
			sb create --id $kind --rootfs $PWD/root.$kind --wait
			sb create --id $kind-2 --rootfs $PWD/root.$kind --network none --wait
			[ "$(loops)" = 2 ]
			sb run $kind sh -c "echo new >/root/new; rm /etc/group; echo me >>/etc/passwd; mv /bin/awk /tmp; id -u; stat -c %u /bin/sh"
			[ "$(sb run $kind sh -c "cat /root/new; ls /tmp; stat -c %u:%g /root/new /etc/passwd")" = "new
awk
0:0
0:0" ]
			not sb run $kind test -e /etc/group
			sb run $kind-2 test -e /etc/group -a ! -e /root/new
			# what is written is in its layer, on the data disk
			grep -qx me $T/data/sandboxes/boxes/*/layer/upper/etc/passwd
			snap=$(sb checkpoint $kind)
			sb rm $kind $kind-2
			until_ no_loops
			[ "$(sb restore --id again $snap)" = again ]
			[ "$(loops)" = 1 ]
			[ "$(sb run again cat /root/new)" = new ]
			not sb run again test -e /etc/group
			sb rm again
			sb snapshots rm $snap
			until_ no_loops
		done
		sha256sum -c --quiet $T/sums
	'
}

@test "an image’s loop device goes when the sandbox does: killed with its daemon, ended while no daemon runs, failed in its start" {
	sandbox_inside '
		loops() { losetup -n -O BACK-FILE | grep -c "^$T/img/out/" || true; }
		no_loops() { [ "$(loops)" = 0 ]; }
		cd $T/img/out
		sb create --id a --rootfs $PWD/root.erofs --wait
		sb create --id b --rootfs $PWD/root.squashfs --wait
		kill -9 $daemon; wait $daemon || true
		[ "$(loops)" = 2 ]
		daemon_start
		sb run a true
		sb rm a
		one_loop() { [ "$(loops)" = 1 ]; }
		until_ one_loop
		kill -9 $daemon; wait $daemon || true
		kill -9 $(cat $C/*/cgroup.procs)
		until_ no_loops
		daemon_start
		state_is b failed
		sb rm b
		# A start that fails behind the mount of the image: its last step is a mount of a folder on a file.
		sb create --id c --rootfs $PWD/root.erofs -v $T/img:/etc/passwd
		until_ state_is c failed
		[[ $(sb inspect --json c | jq -r .error) == *"etc/passwd"*"Not a directory"* ]]
		until_ no_loops
		sb rm c
		silent ls $T/data/sandboxes/boxes
	'
}

@test "what is no image, or not all of one, is refused when it is asked for; damage inside fails the start, with a reason" {
	sandbox_inside '
		cd $T/img/out
		head -c 1000000 /dev/urandom >noise; : >empty; tar -C $T/img/folder -cf root.tar .
		for file in noise empty root.tar; do
			refused 400 "no image of an erofs, squashfs or ext4" sb create --rootfs $PWD/$file
		done
		for kind in erofs squashfs ext4; do
			size=$(stat -c %s root.$kind)
			head -c $((size / 2)) root.$kind >cut
			refused 400 "rootfs: $PWD/cut: an $kind image that is cut off: $((size / 2)) of" sb create --rootfs $PWD/cut
		done
		for n in 50 1060 1100; do
			for kind in squashfs erofs ext4; do
				head -c $n root.$kind >cut
				if sb create --rootfs $PWD/cut 2>$T/err; then echo "taken: $n of $kind"; exit 1; fi
				grep -q "error 400" $T/err
			done
		done
		mkfifo pipe
		refused 400 "neither a folder nor an image file" sb create --rootfs $PWD/pipe
		ln -s root.erofs link
		refused 400 "symbolic link" sb create --rootfs $PWD/link
		[ "$(sb ls --json | jq -c .sandboxes)" = "[]" ]
		# Behind a superblock that is whole: nonsense.
		for kind in erofs squashfs ext4; do
			cp root.$kind bad
			dd if=/dev/urandom of=bad bs=2048 seek=1 count=$(($(stat -c %s bad) / 2048 - 1)) conv=notrunc status=none
			sb create --id bad --rootfs $PWD/bad
			failed_or_ready() { state_is bad failed || state_is bad ready; }
			until_ failed_or_ready
			if state_is bad failed; then
				[ -n "$(sb inspect --json bad | jq -r .error)" ]
			else
				sb run bad /bin/sh -c true && exit 1
			fi
			sb rm -f bad
		done
		"$GUESTBOX" vsock-rpc --connect unix:$T/s --timeout 120 ping
		no_loops() { [ -z "$(losetup -n -O BACK-FILE | grep "^$T/img/out/" || true)" ]; }
		until_ no_loops
	'
}

@test "a hostile image: device nodes, setuid programs, links where its own folders should be: contained" {
	E=$T/img/evil
	cp -a "$T/img/folder" "$E"
	mkdir "$T/outside"
	echo host >"$T/outside/file"
	rmdir "$E/proc" "$E/dev" "$E/sys"
	ln -s "$T/outside" "$E/proc"; ln -s "../../../../../..$T/outside" "$E/dev"; ln -s / "$E/sys"
	mknod "$E/etc/mem" c 1 1; mknod "$E/etc/loop0" b 7 0
	cp /bin/busybox "$E/bin/suid"; chmod 4755 "$E/bin/suid"
	mkfs.erofs "$T/img/out/evil.erofs" "$E" >/dev/null 2>&1
	mksquashfs "$E" "$T/img/out/evil.squashfs" -no-progress -quiet -comp gzip >/dev/null
	truncate -s 32M "$T/img/out/evil.ext4"; mkfs.ext4 -q -d "$E" "$T/img/out/evil.ext4"
	sandbox_inside '
		for kind in erofs squashfs ext4; do
			if sb create --id e --rootfs $T/img/out/evil.$kind --wait 2>$T/err; then
				[ "$(sb run e /bin/suid cat /proc/self/file 2>/dev/null)" != host ]
				# nodes open for nobody
				not sb run e /bin/busybox head -c 1 /etc/mem 2>/dev/null
				not sb run e /bin/busybox head -c 1 /etc/loop0 2>/dev/null
				# whom the bit makes root is root of the sandbox alone
				sb run -u bob e /bin/suid awk "{ exit !(\$2 >= 1073741824) }" /proc/self/uid_map
			else
				cat $T/err
			fi
			sb rm -f e
			[ "$(ls $T/outside)" = file ]
			[ "$(cat $T/outside/file)" = host ]
		done
	'
}
