#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The virtual file on a real mount: each request that a process can make of it or of its name.
load ../lib.bash
load disk.bash
load initfs.bash

setup() { fs_setup; }
teardown() { fs_teardown; }

@test "identity, attributes, place in the listing" {
	mkdir "$src/sub"
	touch "$src/a" "$src/zz"
	serve
	unharmed
	[ "$(stat -c '%b %o %Y' "$v")" = "$(((size + 511) / 512)) 4096 $(stat -c %Y "$payload")" ]
	# the last entry, once, and its number is 2 in the listing too
	[ "$(ls -fU "$mnt" | tail -n 1)" = init.krun ]
	[ "$(ls -iU "$mnt" | awk '$2 == "init.krun" { print $1 }')" = 2 ]
	[ "$(find "$mnt" -maxdepth 1 -name init.krun -printf '%y%i')" = f2 ]
	# near misses, and other folders
	for name in Init.krun init.kru init.krunx 'init.krun ' sub/init.krun; do
		gets ENOENT stat "$mnt/$name"
	done
	gets ENOTDIR stat "$v/below"
	gets ENOTDIR open "$v" r,dir
}

@test "reads: whole, in pieces of many sizes, at the end and beyond it" {
	for options in '' --no-splice --passthrough=off '--passthrough=off --no-splice' '--cache=never --passthrough=off'; do
		# shellcheck disable=SC2086 # words
		serve $options
		cmp "$payload" "$v"
		for bs in 1 4095 4096 4097 131072 1048576; do
			head -c $((bs * 5)) "$payload" >"$DISK/want"
			dd if="$v" bs=$bs count=5 iflag=fullblock status=none | cmp - "$DISK/want"
		done
		gets ok pread "$v" r "$size" 100
		gets ok pread "$v" r $((1 << 40)) 100
		gets ok pread "$v" r 9223372036854771712 100
		gets "ok 10" pread "$v" r $((size - 10)) 1024
		gets "ok 64" pread "$v" r 100 64
		gets ok pread "$v" r 100 0
		gets "ok 4096" pread "$v" r,direct 4096 4096
		unserve
	done
}

@test "eight threads read at random places" {
	for options in --passthrough=auto --passthrough=off; do
		serve $options
		gets ok randread "$v" "$payload" 8 10000
		unserve
	done
}

@test "opens: read-only only, whatever else the flags say" {
	touch "$src/other"
	serve
	for flags in r r,noatime r,path r,creat r,nofollow; do
		gets ok open "$v" "$flags"
	done
	gets EEXIST open "$v" r,creat,excl
	for flags in w rw r,trunc w,trunc w,append rw,append w,creat rw,trunc,creat; do
		gets EACCES open "$v" "$flags"
	done
	gets_nobody ok open "$v" r
	gets_nobody EACCES open "$v" w
	unharmed
}

@test "the process column of the errno table, as root" {
	touch "$src/file"
	mkdir "$src/dir" "$src/empty"
	serve
	gets EACCES truncate "$v" 0
	gets EACCES chmod "$v"
	gets EACCES chown "$v"
	gets EACCES utimes "$v"
	gets EACCES unlink "$v"
	gets ENOTDIR rmdir "$v"
	gets EEXIST mkdir "$v"
	gets EEXIST mknod "$v" file
	gets EEXIST mknod "$v" fifo
	gets EEXIST mknod "$v" char 0 0
	gets EEXIST symlink x "$v"
	gets EEXIST link "$mnt/file" "$v"
	gets EACCES link "$v" "$mnt/other"
	gets EACCES rename "$mnt/file" "$v"
	gets EACCES rename "$v" "$mnt/other"
	gets EACCES rename "$v" "$mnt/file"
	gets EACCES rename "$mnt/file" "$v" exchange
	gets EACCES rename "$v" "$mnt/file" exchange
	gets EEXIST rename "$mnt/file" "$v" noreplace
	gets EACCES rename "$v" "$mnt/other" noreplace
	gets EACCES rename "$v" "$mnt/other" whiteout
	gets ENOTDIR rename "$mnt/dir" "$v"
	gets EISDIR rename "$v" "$mnt/dir"
	gets ok rename "$v" "$v"
	gets EINVAL readlink "$v"
	gets ENODATA getxattr "$v" user.x
	gets ENODATA getxattr "$v" security.capability
	gets ENODATA getxattr "$v" system.posix_acl_access
	gets ok listxattr "$v"
	gets EACCES setxattr "$v" user.x y
	gets EACCES removexattr "$v" user.x
	gets EBADF fallocate "$v" r 0 0:4096
	gets ok access "$v" r
	gets ok access "$v" x
	gets ok flock "$v"
	gets ok closes "$v" 1000
	unharmed
	[ "$(ls -A "$src")" = $'dir\nempty\nfile' ]
}

@test "the process column of the errno table, as another user" {
	touch "$src/file"
	chmod 0777 "$src"
	chmod 0666 "$src/file"
	serve
	gets_nobody EACCES access "$v" w
	gets_nobody ok access "$v" x
	gets_nobody EACCES unlink "$v"
	gets_nobody EACCES rename "$mnt/file" "$v"
	gets_nobody EACCES rename "$v" "$mnt/x"
	gets_nobody EPERM chmod "$v"
	gets_nobody EACCES truncate "$v" 0
	gets_nobody EEXIST mkdir "$v"
	[[ $(as_nobody link "$v" "$mnt/x") =~ ^(EPERM|EACCES)$ ]]
	unharmed
}

@test "the name in a subfolder is a name like any other, but cannot come to the root" {
	mkdir "$src/sub"
	serve
	echo mine >"$mnt/sub/init.krun"
	# ls -l asks for all attributes in one request: the file's own, not the virtual one's
	[ "$(ls -l "$mnt/sub" | awk 'END { print $5, $NF }')" = "5 init.krun" ]
	[ "$(cat "$mnt/sub/init.krun")" = mine ]
	[ "$(stat -c %i "$mnt/sub/init.krun")" != 2 ]
	gets ok rename "$mnt/sub/init.krun" "$mnt/sub/other"
	gets ok rename "$mnt/sub/other" "$mnt/sub/init.krun"
	gets EACCES rename "$mnt/sub/init.krun" "$v"
	gets ok unlink "$mnt/sub/init.krun"
	unharmed
}

@test "a real object of that name is hidden, whatever it is, and stays as it is" {
	for kind in file folder link char; do
		rm -rf "$src/init.krun"
		case $kind in
		file) echo real >"$src/init.krun" ;;
		folder) mkdir "$src/init.krun" && touch "$src/init.krun/in" ;;
		link) ln -s /etc/passwd "$src/init.krun" ;;
		char) mknod "$src/init.krun" c 0 0 ;;
		esac
		before=$(stat -c '%i %F %s %Y %Z' "$src/init.krun")
		touch "$src/.wh.init.krun" "$src/.wh..wh..opq"
		serve
		unharmed
		[ "$(ls -fU "$mnt" | tail -n 1)" = init.krun ]
		gets EACCES unlink "$v"
		ls -l "$mnt" >/dev/null
		unharmed
		unserve
		[ "$(stat -c '%i %F %s %Y %Z' "$src/init.krun")" = "$before" ]
	done
}

@test "another link to a hidden file is reached by its own name" {
	echo real >"$src/init.krun"
	ln "$src/init.krun" "$src/also"
	serve
	[ "$(cat "$mnt/also")" = real ]
	unharmed
}

@test "listings: one place a name, back to each place, new names after rewinding" {
	mkdir "$src/many"
	(cd "$src/many" && seq -f 'n%g' 10000 | xargs touch)
	(cd "$src" && seq -f 'r%g' 3000 | xargs touch)
	serve
	gets "ok 10002" walkdir "$mnt/many"
	gets "ok 3004" walkdir "$mnt" # the virtual file, many, . and ..
	[ "$(find "$mnt" -maxdepth 1 -printf '%f\n' | sort | uniq -d | wc -l)" -eq 0 ]
	gets ok rewind "$mnt/many" fresh
	gets ok rewind "$mnt" fresh
	[ "$(ls -a "$mnt/many" | head -n 2 | xargs)" = ". .." ]
}

@test "after dropped caches it is the same file" {
	serve
	cmp "$payload" "$v"
	echo 2 >/proc/sys/vm/drop_caches
	unharmed
}

@test "holes and copies: real answers, so that no request is switched off for the mount" {
	truncate -s 1M "$src/sparse"
	printf x | dd of="$src/sparse" bs=1 seek=524288 conv=notrunc status=none
	start=$(probe seek "$src/sparse" data 0)
	serve --passthrough=off
	gets ok seek "$v" data 0
	gets "ok 77" seek "$v" data 77
	gets "ok $size" seek "$v" hole 5
	gets ENXIO seek "$v" data "$size"
	gets ENXIO seek "$v" hole $((size + 5))
	[ "$start" != ok ]
	gets "$start" seek "$mnt/sparse" data 0
	gets "ok $size" copy "$v" "$mnt/out"
	cmp "$payload" "$src/out"
	gets EXDEV copy "$v" "$DISK/out"
	# between two ordinary files the request reaches the server
	strace -f -q -o "$DISK/trace" -e trace=copy_file_range -p "$init_pid" 3>&- &
	tracer=$!
	until grep -q copy "$DISK/trace" 2>/dev/null; do
		gets "ok 1048576" copy "$mnt/sparse" "$mnt/copied"
	done
	kill "$tracer"
	cmp "$src/sparse" "$src/copied"
}

# reads FILE...: how many FUSE_READ requests the server gets while they are read.
reads() {
	trace -e trace=read -xx -s 8
	cat "$@" | cat >/dev/null
	untrace
	# a request begins with its length and its kind, 15
	grep -c '\\x0f\\x00\\x00\\x00"' "$DISK/trace" || true
}

@test "passed through: the same bytes, and not one read comes to the server" {
	head -c 3000000 /dev/urandom >"$src/f"
	serve --passthrough=off
	[ "$(reads "$v" "$mnt/f")" -gt 10 ] # it can be seen
	unserve
	"$GUESTBOX" initfs --passthrough=on --init "$payload" --force "$src" "$mnt" 3>&- ||
		skip "this kernel has no FUSE passthrough, or not for us"
	umount "$mnt"
	serve --passthrough=on
	[ "$(reads "$v" "$mnt/f")" -eq 0 ]
	cmp "$payload" "$v"
	cmp "$src/f" "$mnt/f"
	gets ok map "$v" "$payload" shared
}

@test "programs on it: cp, cat, tar, mmap, execve" {
	serve
	cp "$v" "$DISK/copy"
	cmp "$DISK/copy" "$payload"
	tar -C "$mnt" -cf - init.krun | tar -xOf - | cmp - "$payload"
	gets ok map "$v" "$payload" shared
	gets ok map "$v" "$payload" private
	run "$v" one two
	[ "$status" -eq 0 ]
	[[ $output == "init ran: one two"* ]]
	unserve
	payload=$GUESTBOX
	serve
	[ "$("$v" --version 2>&1 || true)" != "" ]
	cp "$v" "$DISK/elf" && "$GUESTBOX" --version | cmp - <(exec -a guestbox "$v" --version)
}

@test "with the writeback cache nothing can blank it" {
	serve --writeback
	for _ in 1 2; do
		run bash -c ": >'$v'"
		[ "$status" -ne 0 ]
		run bash -c "echo x >>'$v'"
		[ "$status" -ne 0 ]
		gets EACCES truncate "$v" 0
		unharmed
		[[ $("$v") == "init ran:"* ]]
	done
	head -c 300000 /dev/urandom >"$DISK/data"
	cp "$DISK/data" "$mnt/data"
	echo more >>"$mnt/data"
	sync -f "$mnt"
	{ cat "$DISK/data"; echo more; } | cmp - "$src/data"
}

@test "read-only: by mount option, and by --readonly under a writable mount" {
	echo old >"$src/file"
	mkdir "$src/dir"
	serve -o ro
	cmp "$payload" "$v"
	gets EROFS open "$mnt/file" w
	gets EROFS mkdir "$mnt/x"
	unserve
	serve --readonly
	cmp "$payload" "$v"
	[ "$(cat "$mnt/file")" = old ]
	for call in "open $mnt/file w" "open $mnt/file r,trunc" "open $mnt/new w,creat" "mkdir $mnt/x" "unlink $mnt/file" \
		"rmdir $mnt/dir" "rename $mnt/file $mnt/y" "symlink x $mnt/l" "link $mnt/file $mnt/l" "mknod $mnt/p fifo" \
		"truncate $mnt/file 0" "chmod $mnt/file" "chown $mnt/file" "utimes $mnt/file" "setxattr $mnt/file user.a b" \
		"removexattr $mnt/file user.a" "tmpfile $mnt $mnt/t"; do
		# shellcheck disable=SC2086 # words
		gets EROFS $call
	done
	# the reserved name keeps its own answer
	gets EACCES unlink "$v"
	gets EACCES rename "$mnt/file" "$v"
	[ "$(ls -A "$src")" = $'dir\nfile' ]
	[ "$(cat "$src/file")" = old ]
}

@test "--no-inject: the name is an ordinary one, and number 2 belongs to whoever has it" {
	serve --no-inject
	gets ENOENT stat "$v"
	echo mine >"$v"
	[ "$(cat "$src/init.krun")" = mine ]
	[ "$(ls -A "$mnt")" = init.krun ]
	gets ok unlink "$v"
}

@test "--name, --mode, --owner, --mtime, --dir" {
	mkdir "$src/proc"
	touch "$src/proc/real"
	v=$mnt/boot.me
	serve --name boot.me --mode 0500 --owner 7:8 --mtime 86400 --dir dev --dir proc --dir sys
	[ "$(stat -c '%a %u:%g %Y %Z' "$v")" = "500 7:8 86400 86400" ]
	gets ENOENT stat "$mnt/init.krun"
	gets_nobody EACCES open "$v" r
	# the virtual folders: there, empty, fixed, and good to mount on; a real one stays the real one
	[ "$(ls -A "$mnt" | xargs)" = "boot.me dev proc sys" ]
	[ "$(ls -a "$mnt/dev" | xargs)" = ". .." ]
	[ -e "$mnt/proc/real" ]
	gets EACCES mkdir "$mnt/dev/x"
	gets EACCES rmdir "$mnt/sys"
	gets EACCES rename "$mnt/sys" "$mnt/other"
	gets EACCES chmod "$mnt/sys"
	gets ENOENT stat "$mnt/dev/x"
	mount -t tmpfs none "$mnt/dev"
	touch "$mnt/dev/x"
	umount "$mnt/dev"
	[ "$(ls -A "$src")" = proc ]
}

@test "an object of the source with number 2 is told apart from it" {
	truncate -s 16M "$DISK/img"
	mkfs.ext4 -q "$DISK/img"
	mount -o loop "$DISK/img" "$src"
	[ "$(stat -c %i "$src")" = 2 ]
	serve
	unharmed
	[ "$(stat -c %i "$mnt")" = 4294967293 ]
	[ "$(ls -aifU "$mnt" | awk '$1 == 2 { print $2 }')" = init.krun ]
}

@test "the served bytes do not change with FILE, nor with writes to the mount" {
	cp "$payload" "$DISK/original"
	serve
	cp "$payload" "$DISK/other"
	printf 'changed' | dd of="$payload" conv=notrunc status=none
	head -c 20M /dev/urandom >"$mnt/load"
	cp "$mnt/load" "$mnt/load2"
	cmp "$DISK/original" "$v"
	: >"$payload"
	echo 3 >/proc/sys/vm/drop_caches
	cmp "$DISK/original" "$v"
	# sealed: all seals that a memfd can have, and (Linux 6.3) never executable
	fd=$(find "/proc/$init_pid/fd" -lname '*memfd:init.krun*' | head -n 1)
	[ -n "$fd" ]
	run dd if=/dev/zero of="$fd" bs=1 count=1 conv=notrunc
	[[ $output == *"Operation not permitted"* ]]
	run truncate -s 0 "$fd"
	[[ $output == *"Operation not permitted"* ]]
}

@test "vm.memfd_noexec 0, 1 and 2 make no difference" {
	[ -e /proc/sys/vm/memfd_noexec ] || skip "this kernel has no vm.memfd_noexec"
	# the setting belongs to a PID namespace, and can only grow there
	for level in 0 1 2; do
		unshare --pid --fork --mount-proc bash -euc "
			echo $level >/proc/sys/vm/memfd_noexec
			'$GUESTBOX' initfs --init '$payload' --force --pidfile '$DISK/pid' '$src' '$mnt'
			cmp '$payload' '$v'
			[[ \$('$v') == 'init ran:'* ]]
			umount '$mnt'" 3>&-
	done
}

@test "SIGTERM, SIGINT and SIGHUP unmount, also while files are open; what was written is there" {
	for signal in TERM INT HUP; do
		serve
		echo "$signal" >"$mnt/$signal"
		exec 9<"$mnt/$signal"
		kill -s "$signal" "$init_pid"
		gone
		exec 9<&-
		not mountpoint -q "$mnt"
		[ "$(cat "$src/$signal")" = "$signal" ]
		[ ! -e "$DISK/pid" ]
	done
}

@test "kill -9: the mount point is freed and taken again" {
	serve
	kill -KILL "$init_pid"
	gone
	gets ENOTCONN stat "$mnt/x"
	umount "$mnt"
	serve
	unharmed
}

@test "-f stays, --ready-fd says when; umount ends it with 0" {
	mkfifo "$DISK/ready"
	"$GUESTBOX" initfs -f --init "$payload" --force --ready-fd 8 "$src" "$mnt" 8<>"$DISK/ready" 3>&- &
	init_pid=$!
	head -c 1 "$DISK/ready" >/dev/null
	unharmed
	umount "$mnt"
	wait "$init_pid"
}

@test "--ready-fd is open or an error, and comes to its end; a pidfile is one server's, and gone with it" {
	fails 1 "--ready-fd 77: Bad file descriptor" gb initfs --init "$payload" --force --ready-fd 77 "$src" "$mnt"
	not mountpoint -q "$mnt"
	# The background server keeps no end of the pipe: this cat ends.
	"$GUESTBOX" initfs --init "$payload" --force --ready-fd 8 --pidfile "$DISK/pid" "$src" "$mnt" 8>&1 3>&- | cat >"$DISK/ready"
	[ "$(stat -c %s "$DISK/ready")" -eq 1 ]
	pid=$(cat "$DISK/pid")
	[[ $(readlink "/proc/$pid/exe") == "$(realpath "$GUESTBOX")" ]]
	mkdir "$DISK/other"
	fails 1 "of a process that serves" gb initfs --init "$payload" --force --pidfile "$DISK/pid" "$src" "$DISK/other"
	[ "$(cat "$DISK/pid")" = "$pid" ]
	umount "$mnt"
	until_true test ! -e "$DISK/pid"
	fails 1 "No such file" gb initfs --init "$DISK/none" --pidfile "$DISK/pid" "$src" "$mnt"
	[ ! -e "$DISK/pid" ]
	mknod "$DISK/null" c 1 3
	fails 1 "not a regular file" gb initfs --init "$payload" --force --pidfile "$DISK/null" "$src" "$mnt"
	[ -c "$DISK/null" ]
	not mountpoint -q "$mnt"
}

@test "a mount that fails says why, in one line, and leaves no process" {
	fails 1 "Not a directory" gb initfs --init "$payload" --force "$src" "$payload"
	fails 2 "unknown option" gb initfs --init "$payload" --force -o no_such_option "$src" "$mnt"
	# root of a user namespace only may mount, but has no passthrough
	for inject in --no-inject "--init=$payload"; do
		fails 1 "passthrough" timeout 60 unshare --user --map-root-user --mount \
			"$GUESTBOX" initfs --passthrough on "$inject" --force "$src" "$mnt"
	done
	not mountpoint -q "$mnt"
}
