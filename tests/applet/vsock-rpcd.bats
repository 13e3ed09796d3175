#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
load ../lib.bash
load daemon.bash

setup() {
	need_applet vsock-rpcd
	daemon_setup
}

# stdio HEX...: what the daemon answers to these bytes, in hex.
stdio() { bytes "$@" | gb vsock-rpcd --listen stdio 2>/dev/null | xxd -p | tr -d '\n'; }

@test "every request of the protocol has its own reply or an Error frame that says why" {
	daemon_path=/nonexistent start_daemon --runtime-dir /nonexistent # no runtime, and none of the machine's is found
	while IFS=, read -r _ name number payload reply; do
		name=${name//[\" ]/} number=${number// /} reply=${reply//[ )]/} payload=${payload// /}
		run rpc raw "$name"
		echo "$name $number: $status $output"
		case $status in
		0) [[ $output == "0x${reply#0x} "* ]] ;;
		1)
			[[ $payload == RAW && $output == *"error 400: invalid request: "* ||
				$output == *"error 503: "?* || $output == *"error 22: "?* || $output == *"error 404: "?* ]]
			;;
		*) false ;;
		esac
	done < <(grep '^GB_REQUEST(' "$abs_top_srcdir/common/rpc/wire.def" |
		# This machine is not theirs: see tests/priv.
		grep -vE 'SHUTDOWN|KUBERNETES_(START|STOP|DELETE)')
	# and the connection-less state of the daemon is as before
	rpc ping
}

@test "what is not a request is answered by 400 with its trace id, and the connection goes on" {
	# An unknown type with trace t1 and a payload; PingResponse; then a Ping.
	run stdio "0000000b 0000000d 0002 7431 010203" "00000006 00001001 0000" "0000000a 00000001 0000 0a026869"
	echo "$output"
	[[ $output =~ ^......(..)0000ffff00027431 ]]
	[[ $output == *"$(printf 'type 0x000d is unknown' | xxd -p)"* ]]
	[[ $output == *"$(printf '0x1001 (PingResponse) is not a request' | xxd -p | tr -d '\n')"* ]]
	[[ $output == *00001001"0000""0a08706f6e673a206869"* ]]
}

@test "a trace id is repeated byte for byte, UTF-8 or not" {
	run stdio "0000000a 00000001 0004 ff00c380"
	[[ $output == ????????"00001001""0004""ff00c380"* ]]
}

@test "frames that cannot be right: 400, and the stream ends" {
	for head in "00000004 00000001" "00000005 00000001 00" "00000006 00000001 0001" "00200000 00000001 0000"; do
		run stdio "$head" "0000000a 00000001 0000 0a026869"
		echo "$head: $output"
		[[ $output == ????????"0000ffff""0000""00000190"* ]]
		[[ $output != *0000"1001"* ]]
	done
}

@test "payloads are decoded strictly: 400, and the connection goes on" {
	ping="00000006 00000001 0000"
	for bad in "0000000a 00000001 0000 0a02c080" "00000008 00000001 0000 0801" "00000008 0000000a 0000 0a05" \
		"00000009 00000001 0000 0a0561"; do
		run stdio "$bad" "$ping"
		echo "$bad: $output"
		[[ $output == ????????"0000ffff""0000""00000190"*"00001001"* ]]
	done
	# The payload of GetSystemInfo is not looked at, and unknown fields are skipped.
	run stdio "00000008 00000002 0000 ffff" "0000000a 00000001 0000 f8070178"
	[[ $output == ????????"00001002"* ]]
}

@test "an error's text is UTF-8, also where what it names was too long for it" {
	for name in c3a9 e282ac f09f9880; do
		for shift in "" 61 6161 616161; do
			path=$shift$(printf "$name%.0s" {1..600}) # MmapReadFile of 100,000,000 bytes
			len=$((${#path} / 2))
			run stdio "$(printf '%08x 0000000b 0000 0a%02x%02x' $((len + 14)) $((len % 128 + 128)) $((len / 128)))" \
				"$path" 1880c2d72f
			[[ $output == ????????"0000ffff000000000016"* ]]
			xxd -r -p <<<"$output" | tail -c +19 | iconv -f UTF-8 -t UTF-8 >/dev/null
		done
	done
}

@test "pipelined requests are answered in their order" {
	for i in $(seq 100 399); do
		printf '0000000d 00000001 0002 7431 0a03%s' "$(printf %s "$i" | xxd -p)"
	done >"$dir/hex"
	bytes "$(cat "$dir/hex")" | gb vsock-rpcd --listen stdio 2>/dev/null | strings -n 9 | grep -o 'pong: [0-9]*' >"$dir/out"
	seq -f 'pong: %g' 100 399 | cmp - "$dir/out"
}

@test "files, pipes and sockets all serve as stdio" {
	bytes "0000000a 00000001 0000 0a026869" >"$dir/in"
	gb vsock-rpcd --listen stdio <"$dir/in" >"$dir/out" 2>/dev/null
	grep -q 'pong: hi' "$dir/out"
	bytes "0000000a 00000001 0000 0a026869" |
		socat -t 5 - "SYSTEM:'$GUESTBOX' vsock-rpcd --listen stdio 2>/dev/null" >"$dir/out2"
	cmp "$dir/out" "$dir/out2"
}

@test "half a frame and silence: the connection is closed, others go on" {
	start_daemon --frame-timeout 0.3
	run timeout 60 socat -t 60 "UNIX-CONNECT:$dir/s" SYSTEM:'printf "\\0\\0\\0" >&1; cat >/dev/null'
	[ "$status" -ne 124 ]
	grep -q 'half a frame' "$dir/log"
	rpc ping
}

@test "an idle connection is closed" {
	start_daemon --idle-timeout 0.2
	run timeout 60 socat -u "UNIX-CONNECT:$dir/s" -
	[ "$status" -eq 0 ]
	# Whoever is held up between his connection and his first byte is idle, too.
	until_true rpc ping
}

@test "more connections than allowed are told so" {
	start_daemon --max-connections 1
	# One that was answered has its place; one that comes before the daemon has seen the end of another has not.
	bytes "0000000a 00000001 0000 0a026869" >"$dir/in"
	hold() {
		: >"$dir/answer"
		socat -t 60 "UNIX-CONNECT:$dir/s" SYSTEM:"cat '$dir/in'; head -c 20 >'$dir/answer'; cat >/dev/null" 3>&- &
		holder=$!
		until_true test -s "$dir/answer"
		grep -q 'pong: hi' "$dir/answer" || { kill "$holder"; return 1; }
	}
	until_true hold
	run rpc ping
	kill "$holder"
	echo "$output"
	[[ $output == *"error 503: all 1 connections are in use"* ]]
	until_true rpc ping
}

@test "another user's process is turned away" {
	[ "$(id -u)" -eq 0 ] || skip "needs root: another user's process"
	start_daemon
	chmod 755 "$dir"; chmod 666 "$dir/s"
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$GUESTBOX" vsock-rpc --connect "unix:$dir/s" --timeout 60 ping
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"error 403: user 65534 may not call"* ]]
}

@test "the socket is private, is removed at the end, and one left behind is replaced" {
	start_daemon
	[ "$(stat -c %a "$dir/s")" = 600 ]
	kill -9 "$daemon"
	{ wait "$daemon"; } 2>/dev/null || true
	[ -S "$dir/s" ]
	start_daemon
	rpc ping
	# one that is in use is not
	fails 1 "Address already in use" gb vsock-rpcd --listen "unix:$dir/s"
	rpc ping
	kill "$daemon"
	wait "$daemon"
	daemon=
	[ ! -e "$dir/s" ]
}

@test "NOTIFY_SOCKET and --notify-fd are told when all addresses are served" {
	socat -u "UNIX-RECVFROM:$dir/notify" - >"$dir/state" 3>&- &
	receiver=$!
	listens "$dir/notify"
	NOTIFY_SOCKET=$dir/notify start_daemon --listen "unix:$dir/s2"
	wait "$receiver"
	[ "$(cat "$dir/state")" = READY=1 ]
	gb vsock-rpc --connect "unix:$dir/s2" ping
}

@test "--log json writes lines that are JSON; a full log stops nobody" {
	start_daemon --log "json:$dir/json"
	rpc ping
	grep -q '"text":"listening on unix:' "$dir/json"
	kill "$daemon"
	wait "$daemon"
	daemon=
	start_daemon --log json:/dev/full
	rpc ping
}

# pings N: so many, in one go, on one connection.
pings() {
	for ((i = 0; i < $1; i++)); do echo "00000006 00000001 0000"; done >"$dir/hex"
	bytes "$(cat "$dir/hex")" | socat -t 20 - "UNIX-CONNECT:$dir/s" | grep -ac pong
}

@test "what is asked leaves no line in the log, but at the level of debug" {
	start_daemon
	before=$(cat "$dir/log")
	[ "$(pings 50)" -gt 0 ]
	rpc info >/dev/null
	[ "$(cat "$dir/log")" = "$before" ]
}

@test "a log of its own is bounded, whoever of the two writes to it, and no line is lost" {
	export GUESTBOX_LOG=debug
	start_daemon --log "json:$dir/json" --log-size 20K
	for round in 1 2; do # some 27 KB each
		[ "$(pings 200)" -gt 0 ]
		until_true [ -e "$dir/json.$round" ]
	done
	# The front goes on in the new one, and the helper.
	helper_has_moved() { rpc info && grep -qs GetSystemInfoRequest "$dir/json"; }
	until_true helper_has_moved
	kill "$daemon"
	wait "$daemon"
	daemon=
	grep -q GetSystemInfoRequest "$dir/json"
	grep -q 'finishing' "$dir/json"
	[ "$(cat "$dir"/json* | grep -c PingRequest)" -eq 400 ]
	jq -e . "$dir"/json* >/dev/null
}

@test "a killed daemon leaves clients an error, not a wait" {
	start_daemon
	front=$(front_of "$daemon")
	kill -STOP "$front"
	rpc ping >"$dir/out" 2>&1 3>&- &
	client=$!
	waits() { [ "$(ss -Hxl "src $dir/s" | awk '{ print $3 }')" -ge 1 ]; } # it is connected, and nobody takes it
	until_true waits
	kill -9 "$daemon"
	status=0
	wait "$client" || status=$?
	cat "$dir/out"
	[ "$status" -eq 1 ]
	grep -c '^vsock-rpc: ' "$dir/out"
	{ wait "$daemon"; } 2>/dev/null || true
	daemon=
	kill -9 "$front" 2>/dev/null || true # stopped before it asked the kernel for that
}

@test "out of descriptors: it waits, and goes on" {
	mkfifo "$dir/ready"
	(ulimit -n 16; exec "$GUESTBOX" vsock-rpcd --listen "unix:$dir/s" --notify-fd 9) 9>"$dir/ready" 3>&- 2>"$dir/log" &
	daemon=$!
	IFS= read -r _ <"$dir/ready"
	holders=()
	mkfifo "$dir/hold"
	for _ in $(seq 1 20); do
		socat -t 60 "UNIX-CONNECT:$dir/s" "PIPE:$dir/hold" 3>&- &
		holders+=($!)
	done
	until_true grep -q 'accept: Too many open files' "$dir/log"
	# A shell that is ended before it has become socat would end this test in our name.
	is_bash() { [[ $(readlink "/proc/$1/exe") == */bash ]]; }
	for p in "${holders[@]}"; do until_true not is_bash "$p"; done
	kill "${holders[@]}"
	rpc ping
}

# status FIELD: of the front's /proc/PID/status.
front_status() { awk -v key="$1:" '$1 == key { $1 = ""; print substr($0, 2) }' "/proc/$(front_of "$daemon")/status"; }

@test "the front has no rights: no capability, no new privileges, a filter of system calls, a user of its own" {
	start_daemon
	rpc ping
	for set in CapInh CapPrm CapEff CapAmb; do [ "$(front_status $set)" = 0000000000000000 ]; done
	[ "$(front_status NoNewPrivs)" = 1 ]
	[ "$(front_status Seccomp)" = 2 ]
	[ "$(id -u)" -eq 0 ] || return 0
	[ "$(front_status Uid)" = "65521 65521 65521 65521" ]
	[ "$(front_status Gid)" = "65521 65521 65521 65521" ]
	[ -z "$(front_status Groups)" ]
	[ "$(awk '$1 == "Uid:" { print $2 }' "/proc/$daemon/status")" = 0 ]
}

@test "a front that is killed is started again; what was connected ends" {
	start_daemon
	rpc info >"$dir/info"
	mkfifo "$dir/hold"
	socat -t 60 "UNIX-CONNECT:$dir/s" "PIPE:$dir/hold" 3>&- 2>/dev/null &
	holder=$!
	for i in 1 2 3; do
		front=$(front_of "$daemon")
		kill -KILL "$front"
		until_true has_lines "$i" 'front: started again' "$dir/log"
		rpc ping
		rpc info >"$dir/again"
		grep -q kernel_version: "$dir/again"
		[ "$(front_of "$daemon")" != "$front" ]
	done
	wait "$holder" || true
	grep -q 'front: killed by signal 9' "$dir/log"
}

@test "a front that keeps dying ends the daemon, which says so" {
	start_daemon
	for i in $(seq 1 60); do # the sixth within ten seconds is one too many
		grep -q 'not started again' "$dir/log" && break
		front=$(front_of "$daemon")
		kill -KILL "$front" || break
		seen() { has_lines "$i" 'front: started again' "$dir/log" || grep -q 'not started again' "$dir/log"; }
		until_true seen
	done
	grep -q 'front: not started again' "$dir/log"
	status=0
	wait "$daemon" || status=$?
	daemon=
	[ "$status" -eq 1 ]
	[ ! -e "$dir/s" ]
}

@test "a front that does nothing any more does not keep the daemon from its end" {
	start_daemon
	rpc info >"$dir/info"
	front=$(front_of "$daemon")
	kill -STOP "$front"
	kill -TERM "$daemon"
	status=0
	wait "$daemon" || status=$?
	daemon=
	[ "$status" -eq 0 ]
	[ ! -e "$dir/s" ]
	[ ! -e "/proc/$front" ] # it was ended, and waited for
}

@test "when the helper is killed the front goes too, and the next daemon gets the address" {
	start_daemon
	rpc info >"$dir/info"
	front=$(front_of "$daemon")
	kill -KILL "$daemon"
	{ wait "$daemon"; } 2>/dev/null || true
	start_daemon
	rpc ping
	until_true not [ -e "/proc/$front/fd/0" ]
}

@test "whoever answers, front or helper: replies come in the order of their requests" {
	ping="00000006 00000001 0000" info="00000006 00000002 0000" trim="00000006 0000000c 0000"
	input="00000007 00000033 0000 61" unknown="00000006 00007777 0000" bad="00000008 00000001 0000 0aff"
	run stdio $ping $trim $ping $unknown $info $bad $input $ping "00000000"
	# the types of what came back
	types=() rest=$output
	while [ -n "$rest" ]; do
		types+=("${rest:8:8}")
		rest=${rest:$((8 + 2 * 16#${rest:0:8}))}
	done
	echo "${types[*]}"
	[ "${types[*]}" = "00001001 0000100c 00001001 0000ffff 00001002 0000ffff 0000ffff 00001001 0000ffff" ]
}

@test "a policy denies verbs and groups, by name, and only those; Ping too" {
	printf '# no power for hosts\nshutdown=deny\nkubernetes=deny\nkubernetes-status=allow\n' >"$dir/policy"
	start_daemon --policy "$dir/policy"
	rpc ping
	fails 1 "error 403: shutdown is denied by $dir/policy" rpc shutdown
	fails 1 "error 403: kubernetes-delete is denied" rpc raw KubernetesDeleteRequest
	run rpc raw KubernetesStatusRequest
	echo "$output"
	[[ $output != *403* ]]
	grep -q 'shutdown is denied' "$dir/log"
	kill "$daemon"; wait "$daemon"; daemon=
	printf 'default=deny\nget-system-info=allow' >"$dir/policy"
	GUESTBOX_POLICY=$dir/policy start_daemon
	fails 1 "error 403: ping is denied" rpc ping
	rpc info
}

@test "a policy that is not there or not understood: the daemon does not start, and says why" {
	fails 1 "policy $dir/none: No such file" gb vsock-rpcd --listen stdio --policy "$dir/none"
	printf 'ping=allow\nshutdwn=deny\n' >"$dir/policy"
	fails 1 "policy: $dir/policy: line 2: \"shutdwn\": no such request or group" gb vsock-rpcd --listen stdio --policy "$dir/policy"
	printf 'console=ttyS0 guestbox.policy=%s' "$dir/policy" >"$dir/cmdline"
	GUESTBOX_CMDLINE=$dir/cmdline fails 1 "line 2" gb vsock-rpcd --listen stdio
	# one whose name is too long is none that may be left out
	GUESTBOX_POLICY=/$(printf 'x%.0s' {1..300}) \
		fails 1 "policy: GUESTBOX_POLICY: File name too long" gb vsock-rpcd --listen stdio </dev/null
	# the option comes first
	: >"$dir/empty"
	GUESTBOX_CMDLINE=$dir/cmdline gb vsock-rpcd --listen stdio --policy "$dir/empty" </dev/null
}

@test "mmap: parts of files, short at their ends, byte for byte" {
	seq 1 200000 >"$dir/file"
	: >"$dir/empty"
	start_daemon --mmap-root "$dir"
	rpc mmap "$dir/file" | cmp - "$dir/file"
	rpc mmap -o 4097 -l 10000 "$dir/file" | cmp - <(tail -c +4098 "$dir/file" | head -c 10000)
	silent rpc mmap "$dir/empty"
	silent rpc mmap -o 1T "$dir/file"
	[ "$(rpc mmap -l 5 --json "$dir/file")" = '{"data":"MQoyCjM=","bytes_read":5}' ]
	# A length of 0 does not look at the path; one above 64 MiB is EINVAL.
	[ "$(rpc raw MmapReadFileRequest 0a022f78 --trace t)" = "0x100b MmapReadFileResponse trace 74 payload -" ]
	fails 1 "error 22: " rpc raw MmapReadFileRequest "0a022f78 1881808020"
}

@test "mmap: a reply is cut to what a client takes, and says how much it is" {
	truncate -s 40M "$dir/big"
	printf end >>"$dir/big"
	start_daemon --mmap-root "$dir"
	path=$(printf %s "$dir/big" | xxd -p | tr -d '\n')
	# one request for 64 MiB
	rpc raw --json MmapReadFileRequest "0a$(printf %02x $((${#path} / 2)))$path 1880808020" |
		jq -r .payload >"$dir/payload"
	n=$(($(wc -c <"$dir/payload") / 2))
	echo "$n"
	[ "$n" -lt $((16 << 20)) ]
	[ "$n" -gt $((15 << 20)) ]
	rpc mmap "$dir/big" | cmp - "$dir/big"
}

@test "mmap: more at once than there is memory for wait for each other, and for no peer that takes nothing" {
	head -c 40M /dev/zero | tr '\0' x >"$dir/big"
	start_daemon --mmap-root "$dir" --frame-timeout 3600
	path=$(printf %s "$dir/big" | xxd -p | tr -d '\n')
	n=$(printf %02x $((${#path} / 2)))
	mkfifo "$dir/hold"
	bytes "$(printf '%08x 0000000b 0000 0a' $((6 + 2 + ${#path} / 2 + 5)))$n$path 1880808020" >"$dir/request"
	hogs=()
	for _ in 1 2 3 4 5 6; do # 15 MiB each, and never read
		socat -u "SYSTEM:cat $dir/request $dir/hold" "UNIX-CONNECT:$dir/s" 3>&- 2>/dev/null &
		hogs+=($!)
	done
	# Each has as much of its reply as its socket takes.
	sent_to_all() { [ "$(ss -Hx "src $dir/s" | awk '$2 == "ESTAB" && $4 > 100000' | wc -l)" -eq 6 ]; }
	until_true sent_to_all
	clients=()
	for i in 1 2 3 4 5 6 7 8; do
		gb vsock-rpc --connect "unix:$dir/s" --timeout 120 mmap "$dir/big" 3>&- | sha256sum >"$dir/sum$i" &
		clients+=($!)
	done
	for client in "${clients[@]}"; do wait "$client"; done
	want=$(sha256sum <"$dir/big")
	for i in 1 2 3 4 5 6 7 8; do [ "$(cat "$dir/sum$i")" = "$want" ]; done
	sent_to_all # they still wait
	kill "${hogs[@]}" 2>/dev/null || true
	: 1<>"$dir/hold" # what still waits for a writer gets one, and with it the end
	not grep 'takes no reply' "$dir/log"
	# How long one may is --frame-timeout's matter.
	kill "$daemon"
	wait "$daemon"
	start_daemon --mmap-root "$dir" --frame-timeout 0.3
	socat -u "SYSTEM:cat $dir/request $dir/hold" "UNIX-CONNECT:$dir/s" 3>&- 2>/dev/null &
	hog=$!
	until_true has_lines 1 'takes no reply' "$dir/log"
	kill "$hog" 2>/dev/null || true
	: 1<>"$dir/hold"
}

@test "mmap: nothing outside the roots, by no path, link or kind of file" {
	mkdir "$dir/root" "$dir/root/sub"
	echo inside >"$dir/root/file"
	echo secret >"$dir/secret"
	ln -s ../secret "$dir/root/out"
	ln -s "$dir/root/file" "$dir/root/absolute"
	ln -s ../file "$dir/root/sub/up"
	mkfifo "$dir/root/fifo"
	start_daemon --mmap-root "$dir/root"
	[ "$(rpc mmap "$dir/root/file")" = inside ]
	[ "$(rpc mmap "$dir/root//sub/up")" = inside ]
	fails 1 "error 13: open $dir/secret" rpc mmap "$dir/secret"
	fails 1 "error 13: " rpc mmap "$dir/root/../secret"
	fails 1 "error 13: " rpc mmap "$dir/root/out"
	fails 1 "error 13: " rpc mmap "$dir/root/absolute"
	fails 1 "error 13: " rpc mmap "$dir/rootless"
	fails 1 "error 13: " rpc mmap relative
	fails 1 "error 13: " rpc mmap /etc/passwd
	fails 1 "error 2: open $dir/root/none: No such file" rpc mmap "$dir/root/none"
	fails 1 "error 21: " rpc mmap "$dir/root/sub"
	fails 1 "error 21: " rpc mmap "$dir/root/"
	fails 1 "error 22: open $dir/root/fifo: not a regular file" rpc mmap "$dir/root/fifo"
	rpc ping
}

@test "mmap: a file that is cut while it is read neither ends nor hangs the daemon" {
	truncate -s 32M "$dir/big"
	start_daemon --mmap-root "$dir"
	(for _ in $(seq 1 40); do truncate -s 4096 "$dir/big"; truncate -s 32M "$dir/big"; done) 3>&- &
	cutter=$!
	for _ in $(seq 1 10); do rpc mmap -l 12M "$dir/big" >"$dir/out"; done
	wait "$cutter"
	rpc ping
}

@test "mmap: of a file that is cut while its reply is on the way, the count says how much is the file's" {
	truncate -s 12M "$dir/big"
	start_daemon --mmap-root "$dir"
	path=$(printf %s "$dir/big" | xxd -p | tr -d '\n')
	mkfifo "$dir/reply"
	bytes "$(printf '%08x 0000000b 0001 74 0a' $((6 + 1 + 2 + ${#path} / 2 + 5)))$(printf %02x $((${#path} / 2)))$path 1880808006" >"$dir/request"
	socat -t 60 "UNIX-CONNECT:$dir/s" - <"$dir/request" >"$dir/reply" 3>&- &
	client=$!
	exec 7<"$dir/reply"
	head -c 10000 <&7 >"$dir/got" # the rest is far from being sent: nobody takes it
	truncate -s 4101 "$dir/big"
	cat <&7 >>"$dir/got"
	exec 7<&-
	wait "$client"
	# head, trace id, key and length, 12 MiB, key and count: as long as was announced, and 4101 in four bytes at its end
	[ "$(stat -c %s "$dir/got")" -eq $((10 + 1 + 5 + (12 << 20) + 5)) ]
	[ "$(head -c 16 "$dir/got" | xxd -p)" = "$(printf '%08x0000100b0001740a80808006' $((6 + 1 + 5 + (12 << 20) + 5)))" ]
	[ "$(tail -c 5 "$dir/got" | xxd -p)" = 1085a08000 ]
	cmp -n $((12 << 20)) <(tail -c +17 "$dir/got") /dev/zero
	rpc mmap "$dir/big" | cmp - "$dir/big"
}

@test "mmap: what was read leaves no memory behind, in neither process" {
	local p before
	truncate -s 64M "$dir/big"
	# the sanitizer is to let go of freed memory, too
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1:thread_local_quarantine_size_kb=64 start_daemon --mmap-root "$dir"
	rpc mmap -l 4096 "$dir/big" | cmp -n 4096 - "$dir/big"
	anonymous() { awk '/^RssAnon:/ { print $2 }' "/proc/$1/status"; }
	before=("$(anonymous "$daemon")" "$(anonymous "$(front_of "$daemon")")")
	rpc mmap "$dir/big" | cmp - "$dir/big"
	rpc mmap "$dir/big" | (sleep 0.2; cmp - "$dir/big") # and one who is slow
	for p in "$daemon" "$(front_of "$daemon")"; do
		echo "$p: $(anonymous "$p") kB, before ${before[0]} kB"
		[ "$(anonymous "$p")" -lt $((before[0] + 4000)) ] # a reply in memory has 8 MiB
		before=("${before[@]:1}")
	done
}

@test "trim: a clause for each mount, and its failure is an exit status" {
	awk '$2 == "/var/lib/docker" || $2 == "/var/lib/containerd"' /proc/mounts | grep -q . && skip "this machine has them mounted"
	start_daemon
	run rpc trim
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$output" = "/var/lib/docker: failed (not a mount point)"$'\n'"/var/lib/containerd: failed (not a mount point)" ]
	run rpc trim --json
	[ "$(jq -r .result <<<"$output")" = "/var/lib/docker: failed (not a mount point); /var/lib/containerd: failed (not a mount point)" ]
}

@test "bad input: one line, the right status" {
	fails 2 'address "vsock:"' gb vsock-rpcd --listen vsock:
	fails 2 "none of vsock:" gb vsock-rpcd --listen tcp4:1
	fails 2 "does not listen on this kind" gb vsock-rpcd --listen tcp:127.0.0.1:80
	fails 2 "stands there twice" gb vsock-rpcd --listen unix:/x --listen unix:/x
	fails 2 "CID" gb vsock-rpcd --allow-cid x
	fails 2 "number of connections" gb vsock-rpcd --max-connections 0
	fails 2 "idle timeout" gb vsock-rpcd --idle-timeout -1
	fails 1 "--notify-fd 77: Bad file descriptor" gb vsock-rpcd --notify-fd 77
	fails 2 "log target" gb vsock-rpcd --log nowhere
	fails 1 "/no/folder/log: No such file" gb vsock-rpcd --log json:/no/folder/log
	fails 1 "unix:/no/folder/s: bind: No such file" gb vsock-rpcd --listen unix:/no/folder/s
	fails 2 "surplus argument" gb vsock-rpcd now
	fails 2 "not an absolute path" gb vsock-rpcd --mmap-root here
	touch "$dir/file"
	fails 1 "Address already in use" gb vsock-rpcd --listen "unix:$dir/file"
	[ -f "$dir/file" ]
}
