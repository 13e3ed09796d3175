#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A source that fails: each of its errors is what the client gets, unchanged, and nothing else is the worse for it.
load ../lib.bash
load disk.bash
load initfs.bash

setup() { fs_setup; }
teardown() { fs_teardown; }

# fresh: what the requests below are made of.
fresh() {
	rm -rf "${1:?}/"*
	mkdir "$1/d" "$1/empty"
	echo text >"$1/f"
	echo x >"$1/d/g"
	ln -s target "$1/l"
}

# failing_source: $src becomes a file system whose every operation can be told to fail (tell OPERATION ERRNO).
failing_source() {
	mkdir "$DISK/backing"
	: >"$DISK/control"
	"$abs_top_builddir/tests/priv/failfs" "$DISK/backing" "$DISK/control" "$src" 3>&-
}
tell() { echo "$*" >"$DISK/control"; }
relent() { : >"$DISK/control"; }

requests='
	lookup stat @/f
	lookup open @/none w,creat
	readlink readlink @/l
	mknod mknod @/new fifo
	mkdir mkdir @/new
	symlink symlink x @/new
	link link @/f @/new
	unlink unlink @/f
	rmdir rmdir @/empty
	rename rename @/f @/d/new
	rename rename @/f @/d/g exchange
	chmod chmod @/f
	chown chown @/f
	truncate truncate @/f 2
	utimens utimes @/f
	open open @/f r
	create open @/new w,creat
	read pread @/f r 0 5
	write pwrite @/f xy 0
	flush write @/f w xy
	fsync fsync @/f
	fsyncdir fsync @/d r,dir
	opendir walkdir @/d
	readdir walkdir @/d
	statfs statfs @/f
	setxattr setxattr @/f user.a b
	getxattr getxattr @/f user.a
	listxattr listxattr @/f
	removexattr removexattr @/f user.a
	fallocate fallocate @/f rw 0 0:4096
	lseek seek @/f data 0
	copy copy @/f @/d/copied
	ioctl getflags @/f
'

@test "whatever the source says to a request, the client hears" {
	failing_source
	for way in --passthrough=auto '--passthrough=off --cache=never'; do
		# shellcheck disable=SC2086 # words
		serve $way --timeout=0
		for error in "EIO 5" "ENOSPC 28" "EDQUOT 122" "ESTALE 116" "ENODEV 19" "ENOMEM 12"; do
			count=0
			fresh "$DISK/backing"
			before=$(cd "$DISK/backing" && find . ! -name copied -printf '%p %y %m %U %l\n' | sort)
			while read -r operation op; do
				[ -n "$operation" ] || continue
				tell "$operation ${error#* }"
				# shellcheck disable=SC2086 # words
				[ "$(probe ${op//@/$mnt})" = "${error% *}" ] ||
					{ echo "$way: $operation fails with $error: $op says $(probe ${op//@/$mnt})"; false; }
				relent
				count=$((count + 1))
			done <<<"$requests"
			[ "$count" -ge 30 ]
			# what failed has changed nothing, and no request is the worse for it
			[ "$(cd "$mnt" && find . ! -name copied ! -name init.krun -printf '%p %y %m %U %l\n' | sort)" = "$before" ]
			[ "$(cat "$mnt/d/g")" = x ]
			unharmed
		done
		unserve
	done
}

@test "a source that does not know a request: no request is switched off for the mount" {
	failing_source
	serve --timeout=0 --passthrough=off # what is passed through is between the kernel and the source
	for operation in lookup readlink mkdir symlink unlink rmdir rename chmod chown truncate utimens read write; do
		op=$(awk -v operation="$operation" '$1 == operation { $1 = ""; print; exit }' <<<"$requests")
		fresh "$DISK/backing"
		tell "$operation 38"
		# shellcheck disable=SC2086 # words
		gets EOPNOTSUPP ${op//@/$mnt}
		relent
		fresh "$DISK/backing"
		# shellcheck disable=SC2086 # words
		[[ $(probe ${op//@/$mnt}) == ok* ]]
	done
}

# Without FUSE below: by file handles, and with passthrough where the kernel has it. The errors come from the system calls
# with which the server serves the request.
@test "by handles, too: the errno of each system call is the errno of the request" {
	serve --timeout=0 --threads=2 --passthrough=off
	errors=(EIO ESTALE ENODEV ENOSPC EDQUOT EROFS)
	turn=0
	while read -r request calls op; do
		[ -n "$request" ] || continue
		echo "request: $request"
		error=${errors[turn++ % ${#errors[@]}]}
		fresh "$src"
		setfattr -n trusted.a -v b "$src/f"
		trace -e trace="$calls" -e inject="$calls:error=$error"
		# shellcheck disable=SC2086 # words
		gets "$error" ${op//@/$mnt}
		untrace
		timeout 60 ls -lR "$mnt" >/dev/null
		[ "$(timeout 60 cat "$mnt/f")" = text ]
	done <<<"$by_call"
	[ "$turn" -ge 30 ]
	unharmed
}
