# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# A guest's runtime for tests: vsock-rpcd with stand-ins of containerd, dockerd and k3s (tests/tools/standin.c), in
# folders, a cgroup tree and a network of their own. Sets T, and rpc() to ask it.

setup() {
	need_applet vsock-rpcd
	need_applet vsock-rpc
	# Not in /tmp, which is the daemon's own here: logs go there.
	T=$(mktemp -d /var/tmp/gb-runtime-XXXXXX)
	# What the sequence writes to goes to memory; the mounts are this namespace's own.
	mkdir "$T/ov" "$T/bin" "$T/cg" "$T/ctr" "$T/tmp"
	cp "$GUESTBOX" "$T/guestbox"
	mount -t tmpfs tmpfs "$T/ov"
	mkdir "$T"/ov/{eu,ew,vu,vw}
	mount -t overlay overlay -o "lowerdir=/etc,upperdir=$T/ov/eu,workdir=$T/ov/ew" /etc
	rm -rf /etc/containerd # whoever has the package has its own configuration, which the daemon would keep
	mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$T/ov/vu,workdir=$T/ov/vw" /var/lib
	mount -t tmpfs tmpfs /run
	mkdir -p /run/guestbox /var/lib/rancher/k3s
	echo guestbox.data=none >"$T/cmdline"
	export GUESTBOX_CMDLINE=$T/cmdline STANDIN=$T
	# A part of the machine's cgroups: the daemon takes it for all of them.
	CG=
	if mount -t cgroup2 cgroup2 "$T/cg" 2>/dev/null && mkdir "$T/cg/${T##*/}" 2>/dev/null; then
		CG=$T/cg/${T##*/}
	fi
	# A network for all daemons of a test.
	touch "$T/net"
	unshare --net="$T/net" sh -c 'ip link set lo up; echo 0 >/proc/sys/net/ipv4/ip_forward'
	daemon=
}

teardown() {
	stop_daemon TERM
	if [ -n "$CG" ]; then
		# Everything that was started is in there.
		echo 1 >"$CG/cgroup.kill"
		until_true grep -q 'populated 0' "$CG/cgroup.events"
		find "$CG" -depth -type d -exec rmdir {} +
		umount -l "$T/cg" # a process that is on its way out may hold it yet
	else
		for f in "$T"/*.pid; do [ ! -e "$f" ] || kill -9 "$(cat "$f")" 2>/dev/null || true; done
	fi
	umount -l "$T/net"
	umount -l /run /var/lib /etc "$T/ov"
	rm -rf --one-file-system "$T"
}

# need_cgroup: skips where version 2 of the cgroups cannot be mounted.
need_cgroup() {
	[ -n "$CG" ] || skip "no cgroup version 2 here"
}

# $before: what is done first to the name space of mounts that the daemon is in, its parts of it alone.
start_daemon() {
	export CG T
	export before=${before-:}
	# shellcheck disable=SC2016 # the inner shell expands these
	nsenter --net="$T/net" unshare --mount --propagation unchanged sh -c '
		mount --rbind "$T/tmp" /tmp
		eval "$before"
		if [ -n "$CG" ]; then
			echo $$ >"$CG/cgroup.procs"
			exec unshare --cgroup sh -c "mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec \"\$@\"" sh "$@"
		fi
		exec "$@"' sh "$T/guestbox" vsock-rpcd --listen "unix:$T/s" --runtime-dir "$T/bin" "$@" 2>>"$T/log" 3>&- &
	daemon=$!
	until_true rpc --timeout 5 ping
}

# stop_daemon SIGNAL: of vsock-rpcd alone.
stop_daemon() {
	[ -n "$daemon" ] || return 0
	kill "-$1" "$daemon" 2>/dev/null || true
	wait "$daemon" 2>/dev/null || true
	daemon=
	rm -f "$T/s"
}

rpc() { gb vsock-rpc --connect "unix:$T/s" --timeout 120 "$@"; }

# programs: a runtime that works.
programs() {
	local name
	for name in containerd dockerd k3s; do cp --remove-destination "$abs_top_builddir/tests/tools/standin" "$T/bin/$name"; done
	for name in runc containerd-shim-runc-v2; do printf '#!/bin/sh\n' >"$T/bin/$name"; done
	chmod +x "$T"/bin/*
}

on_never() {
	cat "$T/log"
	rpc runtime status || true
}

# wanted: asks for the runtime; the answer is that it is being started.
wanted() {
	run rpc runtime ensure --start --json
	[ "$(jq -r .status <<<"$output")" = starting ] || { printf 'not starting: %s\n' "$output" >&2; return 1; }
}

# detail_has TEXT: in the state of the runtime.
detail_has() { [[ $(rpc runtime status --json | jq -r .detail) == *"$1"* ]]; }
ready() { [ "$(rpc runtime status --json | jq -c '[.containerd_ready, .docker_ready]')" = '[true,true]' ]; }
not_ready() { not ready; }
pid_of() { cat "$T/$1.pid"; }
# gone PID: ended, and waited for or a zombie.
gone() { [ ! -e "/proc/$1" ] || [ "$(awk '{ print $3 }' "/proc/$1/stat" 2>/dev/null)" = Z ]; }
starts() { grep -c "start $1\$" "$T/events" || true; }
started_times() { [ "$(starts "$1")" -eq "$2" ]; }
forwards() { nsenter --net="$T/net" cat /proc/sys/net/ipv4/ip_forward; }
# in_guest COMMAND...: with the mounts of the daemon.
in_guest() { nsenter -t "$daemon" -m "$@"; }
printed() { [ "$(grep -c "printed $1\$" "$T/events")" -ge "$2" ]; }
