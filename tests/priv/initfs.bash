# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # bats sets status, output; the tests use what is set here
# A share served by initfs, for the privileged tests: source, mount, a payload, and nothing left behind.

fs_setup() {
	need_applet initfs
	[ -c /dev/fuse ] || skip "there is no /dev/fuse"
	disk_setup
	src=$DISK/src mnt=$DISK/mnt payload=$DISK/payload
	mkdir -m 0755 "$src" "$mnt"
	# A program of an odd size that is longer than any read.
	{ printf '#!/bin/sh\necho "init ran: $*"\nexit 0\n'; head -c 3141592 /dev/urandom; } >"$payload"
	size=$(stat -c %s "$payload")
	v=$mnt/init.krun
	init_pid=''
}

fs_teardown() {
	[ -z "${init_pid:-}" ] || ! kill -0 "$init_pid" 2>/dev/null || kill -KILL "$init_pid"
	disk_teardown
}

# serve [OPTION...]: mounts $src on $mnt in the background; $init_pid is the process. It is gone once it is unmounted.
serve() {
	"$GUESTBOX" initfs --init "$payload" --force --pidfile "$DISK/pid" "$@" "$src" "$mnt" 3>&-
	init_pid=$(cat "$DISK/pid")
}

# unserve: unmounts and waits until the process has ended.
unserve() {
	until_true umount "$mnt" # who was killed holds it until the end of his last request
	gone
}

gone() { until_true not kill -0 "$init_pid"; }

# Requests: a name, the system calls with which the server serves it, and how fsprobe makes it (@ is the mount), in a source
# of the files f and d/g, a link l and the folders d and empty.
by_call='
	lookup name_to_handle_at stat @/f
	attributes statx stat @/f
	chmod chmod,fchmodat chmod @/f
	chown fchownat chown @/f
	truncate truncate truncate @/f 2
	utimes utimensat utimes @/f
	readlink readlinkat readlink @/l
	mknod mknodat mknod @/new fifo
	mkdir mkdirat mkdir @/new
	symlink symlinkat symlink x @/new
	link linkat link @/f @/new
	unlink unlinkat unlink @/f
	rmdir unlinkat rmdir @/empty
	rename renameat,renameat2 rename @/f @/d/new
	open openat,open_by_handle_at open @/f r
	create openat open @/new w,creat
	tmpfile openat tmpfile @/d @/new
	read pread64,splice pread @/f r 0 5
	write pwrite64 pwrite @/f te 0
	fsync fsync fsync @/f
	seek lseek seek @/f data 0
	fallocate fallocate fallocate @/f rw 0 0:4
	copy copy_file_range copy @/f @/d/copied
	getxattr getxattr getxattr @/f user.a
	listxattr listxattr listxattr @/f
	setxattr setxattr setxattr @/f trusted.b c
	removexattr removexattr removexattr @/f trusted.a
	opendir openat,open_by_handle_at walkdir @/d
	list getdents64 walkdir @/d
	statfs fstatfs statfs @/f
	flags ioctl getflags @/f
'

probe() { "$abs_top_builddir/tests/priv/fsprobe" "$@"; }
# nobody may not pass the folders above the mount: from inside, by relative paths.
as_nobody() { (cd "$mnt" && probe as-nobody "${@//$mnt/.}"); }

# gets WANT OP ARG...: what the call says.
gets() {
	local want=$1 is
	shift
	is=$(probe "$@")
	[ "$is" = "$want" ] || { echo "$*: $is, expected $want" >&2; return 1; }
}

gets_nobody() {
	local want=$1 is
	shift
	is=$(as_nobody "$@")
	[ "$is" = "$want" ] || { echo "as nobody: $*: $is, expected $want" >&2; return 1; }
}

# unharmed: the virtual file is what it was, and the source has nothing of it.
unharmed() {
	cmp "$payload" "$v"
	[ "$(stat -c '%F %a %h %u:%g %s %i' "$v")" = "regular file 755 1 0:0 $size 2" ]
	[ "$(find "$mnt" -mindepth 1 -maxdepth 1 -name init.krun | wc -l)" -eq 1 ]
}

# trace OPTION...: strace on all threads of the server, its output in $DISK/trace; untrace ends it.
trace() {
	: >"$DISK/trace"
	strace -f -qq -o "$DISK/trace" "$@" -p "$init_pid" 2>"$DISK/strace" 3>&- &
	tracer=$!
	until [ "$(awk '$1 == "TracerPid:" && $2 != 0' "/proc/$init_pid"/task/*/status | wc -l)" -eq \
		"$(find "/proc/$init_pid/task" -mindepth 1 -maxdepth 1 | wc -l)" ]; do
		kill -0 "$tracer"
		sleep 0.01
	done
}

untrace() {
	kill "$tracer"
	wait "$tracer" || true
}
