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
	umount "$mnt"
	gone
}

gone() { until_true not kill -0 "$init_pid"; }

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
