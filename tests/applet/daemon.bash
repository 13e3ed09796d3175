# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# For tests of vsock-rpc and vsock-rpcd: a folder of their own, $dir, and who listens on unix:$dir/s there, $daemon.
# Sourced by bats files after lib.bash.

setup() { daemon_setup; }
teardown() { daemon_teardown; }

daemon_setup() {
	need_applet vsock-rpc
	dir=$(mktemp -d /tmp/gb-rpc-XXXXXX) # short: the path of a unix socket has 107 bytes at most
	daemon=
}

daemon_teardown() {
	[ -z "$daemon" ] || ! kill "$daemon" 2>/dev/null || wait "$daemon" || true
	rm -rf "$dir"
}

# start_daemon [ARG...]: returns when it listens. $daemon_path is its PATH.
start_daemon() {
	local line
	need_applet vsock-rpcd
	mkfifo "$dir/ready"
	PATH=${daemon_path-$PATH} "$GUESTBOX" vsock-rpcd --listen "unix:$dir/s" --notify-fd 9 "$@" 9>"$dir/ready" 3>&- 2>"$dir/log" &
	daemon=$!
	IFS= read -r line <"$dir/ready"
	[ "$line" = READY=1 ] || return
	rm "$dir/ready"
}

# start_script: a daemon of one connection that follows $dir/script (tests/tools/rpcpeer.c).
start_script() {
	rm -f "$dir/s"
	"$abs_top_builddir/tests/tools/rpcpeer" "$dir/s" "$dir/script" 3>&- &
	daemon=$!
	until [ -S "$dir/s" ]; do kill -0 "$daemon" || return; sleep 0.01; done
}

# done_well: the daemon has ended by itself, and well: its script went through.
done_well() {
	local pid=$daemon
	daemon=
	wait "$pid"
}

rpc() { gb vsock-rpc --connect "unix:$dir/s" --timeout 60 "$@"; }

# bytes HEX...: those bytes.
bytes() { printf '%b' "$(tr -d ' \n' <<<"$*" | sed 's/../\\x&/g')"; }
