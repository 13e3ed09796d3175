#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vsock-rpcd --proxy, from outside. What the relays do with every order of closes is tests/unit/relay.c's matter.
load ../lib.bash
load daemon.bash

setup() {
	daemon_setup
	targets=()
}

teardown() {
	local p
	for p in $daemon "${targets[@]}"; do { kill "$p" && wait "$p"; } 2>/dev/null || true; done
	# who waits for a writer of a FIFO gets one, and with it the end
	for p in "$dir"/f*; do [ ! -p "$p" ] || : 1<>"$p"; done
	rm -rf "$dir"
}

# serve [ARG...]: returns when the daemon serves unix:$dir/s and the proxies.
serve() {
	GUESTBOX_LOG=${LEVEL:-debug} start_daemon "$@"
	front=$(front_of "$daemon")
	rpc ping # from here on it has the descriptors that it keeps
}

# target ADDRESS COMMAND: socat serves ADDRESS, a process a connection.
target() {
	socat -t 60 "$1,fork" "SYSTEM:$2" 3>&- 2>"$dir/target.log" &
	targets+=($!)
	case $1 in
	UNIX-LISTEN:*) listens "$dir/t" ;;
	*) until_true socat -u OPEN:/dev/null "TCP:127.0.0.1:$port" ;;
	esac
}

free_port() {
	port=$((20000 + RANDOM % 10000))
	while ss -Hltn "sport = :$port" | grep -q .; do port=$((port + 1)); done
}

# descriptors [KIND]: how many the front has: all of them, or those of a kind (socket, pipe).
descriptors() { find "/proc/$front/fd" -type l -lname "${1:+$1:}*" | wc -l; }
descriptors_are() { [ "$(descriptors "${2:-}")" -eq "$1" ]; }

@test "a request with a half-close gets the whole reply, through unix and tcp targets" {
	free_port
	target "UNIX-LISTEN:$dir/t" sha256sum
	target "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr" sha256sum
	serve --proxy "unix:$dir/p=unix:$dir/t" --proxy "unix:$dir/q=tcp:127.0.0.1:$port"
	head -c 3000000 /dev/urandom >"$dir/data"
	want=$(sha256sum <"$dir/data")
	for p in p q; do
		# sha256sum answers only when its input has ended
		run socat -t 60 - "UNIX-CONNECT:$dir/$p" <"$dir/data"
		[ "$status" -eq 0 ]
		[ "$output" = "$want" ]
	done
}

@test "the target's half-close comes through, and the caller can still send" {
	perl -MIO::Socket::UNIX -e '
		my $l = IO::Socket::UNIX->new(Local => "$ARGV[0]/t", Listen => 1) or die;
		my $c = $l->accept; $c->print("hello\n"); $c->flush; $c->shutdown(1);
		local $/; my $all = <$c>; open my $o, ">", "$ARGV[0]/came" or die; print $o $all; close $o' "$dir" 3>&- &
	targets+=($!)
	listens "$dir/t"
	serve --proxy "unix:$dir/p=unix:$dir/t"
	head -c 300000 /dev/urandom >"$dir/data"
	# The caller sends only after the end of what it was told.
	run timeout 60 perl -MIO::Socket::UNIX -e '
		my $c = IO::Socket::UNIX->new(Peer => "$ARGV[0]/p") or die;
		local $/; my $told = <$c>; print $told; open my $i, "<", "$ARGV[0]/data" or die;
		$c->print(scalar <$i>) or die; $c->close or die' "$dir"
	[ "$status" -eq 0 ]
	[ "$output" = hello ]
	wait "${targets[0]}"
	cmp "$dir/data" "$dir/came"
}

@test "megabytes both ways at once" {
	target "UNIX-LISTEN:$dir/t" cat
	serve --proxy "unix:$dir/p=unix:$dir/t"
	head -c 20000000 /dev/urandom >"$dir/data"
	socat -t 60 - "UNIX-CONNECT:$dir/p" <"$dir/data" | cmp - "$dir/data"
}

@test "a target that comes up late is waited for" {
	serve --proxy-wait 60 --proxy "unix:$dir/p=unix:$dir/t"
	echo early | socat -t 60 - "UNIX-CONNECT:$dir/p" >"$dir/out" 3>&- &
	caller=$!
	until_true grep -q 'pid .*: for unix:' "$dir/log"
	target "UNIX-LISTEN:$dir/t" cat
	wait "$caller"
	[ "$(cat "$dir/out")" = early ]
}

@test "a target that does not come up: the end, without a byte; said once; then it serves" {
	LEVEL=info serve --proxy-wait 0.1 --proxy "unix:$dir/p=unix:$dir/t"
	for _ in 1 2 3; do
		run timeout 60 socat -t 60 -u "UNIX-CONNECT:$dir/p" -
		[ "$status" -eq 0 ]
		[ -z "$output" ]
	done
	[ "$(grep -c "no target: unix:$dir/t: No such file" "$dir/log")" -eq 1 ]
	target "UNIX-LISTEN:$dir/t" cat
	[ "$(echo hi | socat -t 60 - "UNIX-CONNECT:$dir/p")" = hi ]
	grep -q "unix:$dir/t answers again" "$dir/log"
}

@test "a caller that hangs up while the target is waited for leaves nothing behind" {
	serve --proxy-wait 600 --proxy "unix:$dir/p=unix:$dir/t"
	before=$(descriptors)
	for _ in $(seq 1 20); do socat -u OPEN:/dev/null "UNIX-CONNECT:$dir/p"; done
	until_true has_lines 20 'gone before' "$dir/log"
	no_more() { [ "$(descriptors)" -le "$before" ]; } # fewer: that of who asked whether it serves is closed by now
	until_true no_more
}

@test "a caller that is gone ends a target that only waits" {
	target "UNIX-LISTEN:$dir/t" "echo up; while sleep 0.1 && echo; do :; done 2>/dev/null"
	serve --proxy "unix:$dir/p=unix:$dir/t"
	socat "UNIX-CONNECT:$dir/p" "SYSTEM:head -n 1 >$dir/up; kill -9 \$PPID" 3>&- 2>/dev/null || true
	until_true grep -q 'over: .* bytes in' "$dir/log"
	grep 'over: 0 bytes in' "$dir/log"
}

@test "descriptors: none is left over, none is inherited, idle connections own two" {
	target "UNIX-LISTEN:$dir/t" "ls -l /proc/self/fd >$dir/fds-\$\$; cat"
	serve --proxy "unix:$dir/p=unix:$dir/t"
	pipes=$(descriptors pipe)
	echo warm | socat -t 60 - "UNIX-CONNECT:$dir/p" >/dev/null
	until_true has_lines 1 'over:' "$dir/log"
	before=$(descriptors socket)
	holders=()
	for i in $(seq 1 10); do
		mkfifo "$dir/f$i"
		socat "UNIX-CONNECT:$dir/p" "SYSTEM:echo; cat $dir/f$i >/dev/null" 3>&- 2>/dev/null &
		holders+=($!)
		until_true descriptors_are $((before + 2 * i)) socket
	done
	# All that the daemon has made is closed at exec: the flag O_CLOEXEC (02000000).
	seen=0
	for f in /proc/"$front"/fdinfo/*; do
		case $(readlink "/proc/$front/fd/${f##*/}") in
		socket:* | anon_inode:*) ;;
		pipe:*) grep -q '^flags:.*4[0-7]\{3\}$' "$f" || continue ;; # not ours: it is not O_NONBLOCK
		*) continue ;;
		esac
		seen=$((seen + 1))
		grep -q '^flags:.*02[0-7]\{6\}$' "$f" || { echo "${f##*/} is inherited"; cat "$f"; false; }
	done
	[ "$seen" -ge 24 ]
	# Bytes went one connection at a time, so that a pipe for each way is all that was ever needed.
	[ "$(descriptors pipe)" -le $((pipes + 4)) ]
	kill "${holders[@]}"
	until_true descriptors_are "$before" socket
	[ "$(descriptors pipe)" -le $((pipes + 4)) ]
}

@test "more connections than allowed are closed, and the others go on" {
	target "UNIX-LISTEN:$dir/t" cat
	serve --proxy-connections 1 --proxy "unix:$dir/p=unix:$dir/t"
	mkfifo "$dir/f"
	{ echo one; cat "$dir/f"; } | socat -t 60 - "UNIX-CONNECT:$dir/p" >"$dir/out" 3>&- &
	holder=$!
	until_true grep -q one "$dir/out"
	run timeout 60 socat -t 60 -u "UNIX-CONNECT:$dir/p" -
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	grep -q 'turned away: all 1 proxied connections are in use' "$dir/log"
	echo two >"$dir/f"
	wait "$holder"
	[ "$(cat "$dir/out")" = $'one\ntwo' ]
}

@test "another user's process gets nothing" {
	[ "$(id -u)" -eq 0 ] || skip "needs root: another user's process"
	target "UNIX-LISTEN:$dir/t" "echo secret"
	serve --proxy "unix:$dir/p=unix:$dir/t"
	[ "$(stat -c %a "$dir/p")" = 600 ]
	chmod 755 "$dir"; chmod 666 "$dir/p"
	run setpriv --reuid=65534 --regid=65534 --clear-groups socat -t 60 -u "UNIX-CONNECT:$dir/p" -
	[ -z "$output" ]
	grep -q 'may not use this proxy' "$dir/log"
}

@test "Docker's port comes from the environment, the kernel command line, or is 2375; what is no port falls through" {
	# A machine without vsock waits for it, and says for which port; one with it listens there.
	asked() { # [NAME=VALUE...] PORT
		echo "${line:-}" >"$dir/cmdline"
		env GUESTBOX_CMDLINE="$dir/cmdline" "${@:1:$#-1}" "$GUESTBOX" vsock-rpcd --listen "unix:$dir/s" --proxy docker \
			3>&- >"$dir/asked" 2>&1 &
		daemon=$!
		until grep -q "vsock:${*: -1}" "$dir/asked" || ! kill -0 "$daemon" 2>/dev/null; do sleep 0.02; done
		{ kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
		daemon=''
		cat "$dir/asked"
		grep -q "vsock:${*: -1}" "$dir/asked"
	}
	line='' asked 2375
	line='a arcbox.guest_docker_vsock_port=4001 b' asked 4001
	line='arcbox.guest_docker_vsock_port=4001' asked ARCBOX_GUEST_DOCKER_VSOCK_PORT=4002 4002
	line='arcbox.guest_docker_vsock_port=4001' asked ARCBOX_GUEST_DOCKER_VSOCK_PORT=0 4001
	line='arcbox.guest_docker_vsock_port=x' asked ARCBOX_GUEST_DOCKER_VSOCK_PORT=-1 2375
	line='guestbox.docker_port=4003' asked 4003
	line='' asked GUESTBOX_DOCKER_PORT=4004 ARCBOX_GUEST_DOCKER_VSOCK_PORT=4002 4004
}

@test "bad proxies: one line, exit 2" {
	fails 2 'neither FROM=TO nor docker' gb vsock-rpcd --proxy vsock:1
	fails 2 'neither FROM=TO nor docker' gb vsock-rpcd --proxy vsock:1=here
	fails 2 'only from vsock:PORT or unix:PATH' gb vsock-rpcd --proxy "tcp:127.0.0.1:80=unix:/x"
	fails 2 'only from vsock:PORT or unix:PATH' gb vsock-rpcd --proxy stdio=unix:/x
	fails 2 'only to unix:PATH' gb vsock-rpcd --proxy unix:/y=stdio
	fails 2 'to which CID' gb vsock-rpcd --proxy unix:/y=vsock:77
	fails 2 'only tcp:127.0.0.1:PORT' gb vsock-rpcd --proxy unix:/y=tcp:10.0.0.1:80
	fails 2 'stands there twice' gb vsock-rpcd --listen unix:/y --proxy unix:/y=unix:/x
	fails 2 'number of proxied connections' gb vsock-rpcd --proxy-connections 0
	fails 2 "wait for a proxy's target" gb vsock-rpcd --proxy-wait x
	GUESTBOX_LOG=err fails 1 'unix:/no/folder/p: bind: No such file' \
		gb vsock-rpcd --listen "unix:$dir/s" --proxy unix:/no/folder/p=unix:/x
	# an equals sign in a path is one
	mkdir "$dir/a=b"
	serve --proxy "unix:$dir/a=b/p=unix:$dir/t=t"
	[ -S "$dir/a=b/p" ]
	grep -q "for unix:$dir/t=t" "$dir/log"
}
