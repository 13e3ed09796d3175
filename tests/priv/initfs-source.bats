#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The source seen through initfs: every kind of object and request, limits, and what happens when something dies.
load ../lib.bash
load disk.bash
load initfs.bash

setup() { fs_setup; }
teardown() { fs_teardown; }

# fds: how many descriptors the serving process has open.
fds() { find "/proc/$init_pid/fd" -mindepth 1 | wc -l; }

# each way that data can go
ways=('' --passthrough=off '--passthrough=off --no-splice' '--no-handles' '--cache=never --passthrough=off' --writeback
	'--cache=always')

@test "data: written, appended, cut, mapped, read back, in each mode" {
	head -c 5000001 /dev/urandom >"$DISK/data"
	for way in "${ways[@]}"; do
		echo "way: $way"
		# shellcheck disable=SC2086 # words
		serve $way
		cp "$DISK/data" "$mnt/f"
		cmp "$DISK/data" "$mnt/f"
		gets ok randread "$mnt/f" "$DISK/data" 4 300
		gets ok map "$mnt/f" "$DISK/data" shared
		gets ok map "$mnt/f" "$DISK/data" private
		printf tail >>"$mnt/f"
		[ "$(tail -c 4 "$mnt/f")" = tail ]
		gets "ok 3" pwrite "$mnt/f" abc 100
		gets ok truncate "$mnt/f" 4096
		[ "$(stat -c %s "$mnt/f")" = 4096 ]
		sync -f "$mnt"
		[ "$(stat -c %s "$src/f")" = 4096 ]
		{ head -c 100 "$DISK/data"; printf abc; tail -c +104 "$DISK/data" | head -c 3993; } | cmp - "$src/f"
		rm "$mnt/f"
		[ ! -e "$src/f" ]
		unserve
	done
}

@test "objects: folders, links, pipes, devices, sockets; attributes of each" {
	serve -o dev
	mkdir -m 2750 "$mnt/d"
	echo x >"$mnt/d/f"
	ln "$mnt/d/f" "$mnt/d/hard"
	ln -s ../d/f "$mnt/d/soft"
	gets ok mknod "$mnt/d/pipe" fifo
	gets ok mknod "$mnt/d/sock" socket
	gets ok mknod "$mnt/d/null" char 1 3
	ln "$mnt/d/soft" "$mnt/d/soft2"
	chown -h 5:6 "$mnt/d/soft" "$mnt/d/pipe"
	touch -h -d @1000.5 "$mnt/d/soft"
	touch -d @2000 "$mnt/d/f"
	chmod 4711 "$mnt/d/f"
	echo y >"$mnt/d/null"
	[ "$(cat "$mnt/d/soft")" = x ]
	(cd "$src/d" && stat -c '%n %F %a %h %u:%g %s %X %y %t %T %N' ./*) | sort >"$DISK/list.src"
	(cd "$mnt/d" && stat -c '%n %F %a %h %u:%g %s %X %y %t %T %N' ./*) | sort >"$DISK/list.mnt"
	diff "$DISK/list.src" "$DISK/list.mnt"
	[ "$(stat -c %i "$mnt/d/f")" = "$(stat -c %i "$mnt/d/hard")" ]
	# tar, which keeps hard links, sees the same tree
	tar -C "$src/d" --sort=name -cf - . | tar -tvf - >"$DISK/a"
	tar -C "$mnt/d" --sort=name -cf - . | tar -tvf - >"$DISK/b"
	diff "$DISK/a" "$DISK/b"
	gets ENOTEMPTY rmdir "$mnt/d"
	rm -r "$mnt/d"
	silent ls -A "$src"
}

@test "a file belongs to its maker, in a set-group-ID folder to the folder's group, with the maker's umask" {
	mkdir -m 2777 "$src/d"
	chgrp 77 "$src/d"
	serve
	(cd "$mnt" && umask 027 && "$abs_top_builddir/tests/priv/fsprobe" as-nobody open ./d/f w,creat) >/dev/null
	(cd "$mnt" && umask 0 && "$abs_top_builddir/tests/priv/fsprobe" as-nobody mkdir ./d/sub) >/dev/null
	[ "$(stat -c '%a %u:%g' "$src/d/f")" = "640 65534:77" ]
	[ "$(stat -c '%a %u:%g' "$src/d/sub")" = "2755 65534:77" ]
	# the server is itself again
	touch "$mnt/d/ours"
	[ "$(stat -c %u "$src/d/ours")" = 0 ]
	# a write by another user takes the set-user-ID bit away
	touch "$mnt/suid"
	chmod 6777 "$mnt/suid"
	gets_nobody "ok 1" pwrite "$mnt/suid" x 0
	[ "$(stat -c %a "$src/suid")" = 777 ]
}

@test "extended attributes and access control lists" {
	truncate -s 64M "$DISK/img"
	mkfs.ext4 -q "$DISK/img"
	mount -o loop "$DISK/img" "$src"
	serve
	touch "$mnt/f"
	ln -s f "$mnt/l"
	gets ok setxattr "$mnt/f" user.one value
	gets "ok 5" getxattr "$mnt/f" user.one
	gets "ok 9" listxattr "$mnt/f"
	gets ENODATA getxattr "$mnt/f" user.two
	gets ok setxattr "$mnt/l" trusted.onlink v
	gets "ok 1" getxattr "$mnt/l" trusted.onlink
	gets ENODATA getxattr "$mnt/f" trusted.onlink
	gets ok removexattr "$mnt/f" user.one
	gets ENODATA getxattr "$src/f" user.one
	mkdir "$mnt/d"
	setfacl -d -m u:65534:rwx "$mnt/d"
	touch "$mnt/d/f"
	getfacl -cp "$src/d/f" | grep -q 'user:nobody:rwx'
	setfacl -m u:65534:rw "$mnt/f"
	chmod o= "$mnt/f"
	gets_nobody ok open "$mnt/f" rw
	setfacl -b "$mnt/f"
	gets_nobody EACCES open "$mnt/f" r
}

@test "a source without extended attributes has none, and no request is switched off by that" {
	mkdir "$src/tmp"
	mount -t ramfs none "$src/tmp"
	serve
	touch "$mnt/tmp/f" "$mnt/g"
	gets EOPNOTSUPP setxattr "$mnt/tmp/f" user.a b
	gets ok setxattr "$mnt/g" trusted.a b
	gets "ok 1" getxattr "$mnt/g" trusted.a
}

@test "O_TMPFILE, renameat2, fallocate, holes, copy_file_range, locks" {
	for way in '' --no-handles; do
		# shellcheck disable=SC2086 # words
		serve $way
		gets ok tmpfile "$mnt" "$mnt/named"
		[ "$(cat "$src/named")" = hidden ]
		echo a >"$mnt/a"
		echo b >"$mnt/b"
		gets EEXIST rename "$mnt/a" "$mnt/b" noreplace
		gets ok rename "$mnt/a" "$mnt/b" exchange
		[ "$(cat "$src/a")$(cat "$mnt/b")" = ba ]
		gets ok rename "$mnt/a" "$mnt/b"
		[ "$(cat "$mnt/b")" = b ]
		gets ok fallocate "$mnt/b" rw 0 0:1048576
		[ "$(stat -c %s "$src/b")" = 1048576 ]
		gets ok fallocate "$mnt/b" rw punch 4096:524288
		gets "$(probe seek "$src/b" hole 0)" seek "$mnt/b" hole 0
		gets "$(probe seek "$src/b" data 4096)" seek "$mnt/b" data 4096
		gets "ok 1048576" copy "$mnt/b" "$mnt/c"
		cmp "$src/b" "$src/c"
		flock -n "$mnt/b" flock -n "$mnt/c" true
		run flock -n "$mnt/b" flock -n "$mnt/b" true
		[ "$status" -ne 0 ]
		gets ok unlinked "$mnt/u"
		rm "$mnt"/*[!n] 2>/dev/null || true
		rm -f "$mnt/named"
		unserve
	done
}

@test "what loses its last name while it is held stays what it is, with and without handles" {
	for way in '' --passthrough=off --no-handles --descriptors=1; do
		# shellcheck disable=SC2086 # words
		serve $way
		gets ok held "$mnt"
		[ "$(ls -A "$mnt")" = init.krun ]
		unserve
	done
}

@test "the flags of chattr and the project of a quota pass, within what the caller may; no other ioctl does" {
	# XFS has projects without a quota; where there is none, ext4 says so in both places
	truncate -s 320M "$DISK/img"
	if grep -qw xfs /proc/filesystems; then mkfs.xfs -q "$DISK/img"; else mkfs.ext4 -q "$DISK/img"; fi
	mount -o loop "$DISK/img" "$src"
	touch "$src/f" "$src/theirs"
	mkdir "$src/d"
	chown 65534 "$src/theirs"
	chmod 0777 "$src"
	serve
	for at in f d; do
		gets ok setflags "$mnt/$at" 0x80 # no access times
		[ "$(probe getflags "$mnt/$at")" = "$(probe getflags "$src/$at")" ]
		[[ $(lsattr -d "$src/$at") == *A* ]]
		gets "$(probe project "$src/$at" 78)" project "$mnt/$at" 77
		gets "$(probe project "$src/$at")" project "$mnt/$at"
		! grep -qw xfs /proc/filesystems || gets "ok 77" project "$mnt/$at"
	done
	chattr +i "$mnt/f"
	[[ $(lsattr "$src/f") == ----i* ]]
	gets EPERM open "$mnt/f" w
	chattr -i "$mnt/f"
	# who does not own it, and what only root may
	gets_nobody EPERM setflags "$mnt/f" 0x40
	gets_nobody ok setflags "$mnt/theirs" 0x40
	gets_nobody EPERM setflags "$mnt/theirs" 0x50
	gets_nobody EPERM project "$mnt/f" 5
	gets ENOTTY getflags "$v"
	# libkrun's exit code, btrfs's own, a terminal's, a number without a meaning
	for number in 0x7602 0x9401 0x5401 0xc0ffee; do
		gets ENOTTY ioctl "$mnt/f" "$number"
	done
	unserve
	serve --readonly
	gets EROFS setflags "$mnt/f" 0x40
	gets EROFS project "$mnt/f" 5
	gets "$(probe project "$src/f")" project "$mnt/f"
	unserve
	umount "$src"
	# a file system without such flags says so, and one of ours at the root of a share takes +C
	mount -t ramfs none "$src"
	touch "$src/f"
	serve
	gets ENOTTY getflags "$mnt/f"
	unserve
	umount "$src"
	disk_btrfs fs 300M
	src=$DISK/fs
	serve
	touch "$mnt/image"
	gb nocow "$mnt/image"
	[ "$(gb nocow --query "$src/image")" = "$(gb nocow --query "$mnt/image" | sed "s|$mnt|$src|")" ]
	[[ $(lsattr "$src/image") == *C* ]]
}

@test "subvolumes and mounts below the source: one tree, numbers told apart" {
	disk_btrfs fs 300M
	btrfs -q subvolume create "$DISK/fs/sub"
	echo one >"$DISK/fs/f"
	echo two >"$DISK/fs/sub/f"
	mkdir "$DISK/fs/m"
	mount -t tmpfs none "$DISK/fs/m"
	echo three >"$DISK/fs/m/f"
	src=$DISK/fs
	serve
	[ "$(cat "$mnt/f" "$mnt/sub/f" "$mnt/m/f" | xargs)" = "one two three" ]
	[ "$(stat -c %i "$DISK/fs/f")" = "$(stat -c %i "$DISK/fs/sub/f")" ]
	[ "$(find "$mnt" -name f -printf '%i\n' | sort -u | wc -l)" -eq 3 ]
	gets EXDEV link "$mnt/f" "$mnt/m/g"
	gets EXDEV rename "$mnt/f" "$mnt/m/g"
	mv "$mnt/f" "$mnt/m/g"
	[ "$(cat "$DISK/fs/m/g")" = one ]
}

@test "30,000 files in the kernel's cache: descriptors stay bounded" {
	mkdir "$src/many"
	(cd "$src/many" && seq 30000 | xargs touch)
	serve --descriptors=100
	[ "$(ls -l "$mnt/many" | wc -l)" -eq 30001 ]
	(cd "$mnt/many" && seq 1 50 5000 | xargs chmod 600)
	[ "$(fds)" -lt 250 ]
	[ "$(stat -c %a "$src/many/51")" = 600 ]
	# memory: some hundred bytes for each, not a page; and it goes when they go
	before=$(awk '/VmRSS/ { print $2 }' "/proc/$init_pid/status")
	grep -q libasan "/proc/$init_pid/maps" || [ "$before" -lt 20480 ]
	(cd "$mnt" && seq 30000 | sed 's|^|many/|' | xargs rm)
	silent ls -A "$src/many"
	ls -l "$mnt/many" >/dev/null
	# AddressSanitizer keeps what was freed
	grep -q libasan "/proc/$init_pid/maps" ||
		[ "$(awk '/VmRSS/ { print $2 }' "/proc/$init_pid/status")" -lt "$before" ]
}

@test "a client that is killed in any request takes nothing with it" {
	mkdir "$src/d"
	(cd "$src/d" && seq 300 | xargs touch)
	head -c 8M /dev/urandom >"$src/big"
	serve --passthrough=off --cache=never
	for _ in $(seq 40); do
		# shellcheck disable=SC2016 # the inner shell's
		setsid bash -c 'cd "$1"; while :; do
			ls -l d >/dev/null; cat big >/dev/null; echo x >new.$$; mv new.$$ d/; rm d/new.$$; done' \
			- "$mnt" >/dev/null 2>&1 3>&- & # forty of them, one after the other
		client=$!
		sleep "0.0$((RANDOM % 9 + 1))"
		# under load it may not lead its group yet
		until kill -KILL -- "-$client" 2>/dev/null; do sleep 0.01; done
		wait "$client" 2>/dev/null || true
	done
	kill -0 "$init_pid"
	cmp "$src/big" "$mnt/big"
	unharmed
	# what the clients had open is closed; one descriptor may stay for the file as such
	closed() { [ "$(find "/proc/$init_pid/fd" -lname "$src/big" | wc -l)" -le 1 ]; }
	until_true closed
	unserve
}

@test "a source that fails with EIO: that, for the bytes that fail, and the rest as it is" {
	disk_btrfs fs 300M
	mkdir "$DISK/fs/d"
	# a data block that is not on the disk as its checksum says
	yes "$(head -c 64 /dev/urandom | xxd -p -c 64)" | head -c 1048576 >"$DISK/fs/d/f" || true
	head -c 65536 /dev/zero | tr '\0' Q | dd of="$DISK/fs/d/f" bs=65536 seek=4 conv=notrunc status=none
	cp "$DISK/fs/d/f" "$DISK/original"
	sync -f "$DISK/fs"
	umount "$DISK/fs"
	for at in $(LC_ALL=C grep -obUa 'QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ' "$DISK/fs.img" | cut -d: -f1 | head -n 1); do
		printf X | dd of="$DISK/fs.img" bs=1 seek="$at" conv=notrunc status=none
	done
	mount -o loop "$DISK/fs.img" "$DISK/fs"
	src=$DISK/fs
	gets EIO pread "$src/d/f" r 262144 4096
	for way in '' --passthrough=off '--passthrough=off --no-splice' '--passthrough=off --cache=never'; do
		echo "way: $way"
		# shellcheck disable=SC2086 # words
		serve $way
		gets EIO pread "$mnt/d/f" r 262144 4096
		run cat "$mnt/d/f"
		[ "$status" -ne 0 ]
		[[ $output == *"Input/output error"* ]]
		head -c 262144 "$mnt/d/f" | cmp - <(head -c 262144 "$DISK/original")
		tail -c 65536 "$mnt/d/f" | cmp - <(tail -c 65536 "$DISK/original")
		[ "$(stat -c %s "$mnt/d/f")" = 1048576 ]
		cmp "$payload" "$v"
		unserve
	done
}

@test "a source that vanishes: errors that say so, and the virtual file still there" {
	mkdir "$src/d"
	echo x >"$src/d/f"
	serve
	exec 9<"$mnt/d/f"
	cat "$mnt/d/f"
	rm -rf "$src"
	sleep 1.1 # the kernel's memory of names
	gets ENOENT stat "$mnt/d"
	gets ENOENT open "$mnt/d/f" r
	gets ENOENT mkdir "$mnt/new"
	[ "$(cat <&9)" = x ]
	exec 9<&-
	[ "$(ls -A "$mnt")" = init.krun ]
	cmp "$payload" "$v"
}

@test "an unprivileged user's own mount: no handles, no passthrough, the same files" {
	command -v fusermount3 >/dev/null || skip "fusermount3 is not installed"
	chmod 0755 "$DISK" "$BATS_TEST_TMPDIR"
	chown 65534 "$src" "$mnt"
	mkdir "$src/d"
	echo x >"$src/d/f"
	chown -R 65534 "$src"
	unshare --user --map-root-user --mount bash -euc "
		'$GUESTBOX' initfs --no-handles --init '$payload' --force --pidfile '$DISK/pid' '$src' '$mnt'
		[ \"\$(cat '$mnt/d/f')\" = x ]
		cmp '$payload' '$v'
		umount '$mnt'" 3>&-
}
