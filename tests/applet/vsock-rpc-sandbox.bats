#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The sandbox commands against a daemon that follows a script (tests/tools/rpcpeer.c). What goes over the wire is read and
# made by protoc from sandbox.proto, not by our own code.
load ../lib.bash
load daemon.bash

# peer: starts the daemon of the script on stdin.
peer() {
	sed "s|DIR|$dir|g" >"$dir/script"
	start_script
}

sandbox() { gb vsock-rpc --connect "unix:$dir/s" --timeout 30 sandbox "$@"; }

# message TYPE FILE: makes a payload from text; decoded TYPE FILE: the other way, maps sorted.
message() { protoc --encode="sandbox.v1.$1" -I "$abs_top_srcdir" "$abs_top_srcdir/common/rpc/sandbox.proto" >"$dir/$2"; }
decoded() { protoc --decode="sandbox.v1.$1" -I "$abs_top_srcdir" "$abs_top_srcdir/common/rpc/sandbox.proto" <"$dir/$2"; }

@test "create: every option in its field" {
	message CreateSandboxResponse reply <<<'id: "box-1" ip_address: "172.20.0.2" state: "starting"'
	peer <<-'EOF'
		frame 20 DIR/request
		reply 1020 DIR/reply
		eof
	EOF
	export OURS='from here'
	run sandbox create --id box-1 --image alpine --cpus 2 -m 1G -v /srv/a:/data:ro --mount /srv/b:/b -e A=1 -e OURS -e B= \
		-e NOT_SET_ANYWHERE -w /work -u 1000:100 -l team=x --label k=a=b --ttl 60 --network none --kernel /k \
		--boot-args 'quiet ro' --ssh-key 'ssh-ed25519 AAAA' -- sh -c 'exit 3'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = box-1 ]
	done_well
	decoded CreateSandboxRequest request >"$dir/text"
	cat "$dir/text"
	diff "$dir/text" - <<-'EOF'
		id: "box-1"
		labels {
		  key: "k"
		  value: "a=b"
		}
		labels {
		  key: "team"
		  value: "x"
		}
		kernel: "/k"
		boot_args: "quiet ro"
		limits {
		  vcpus: 2
		  memory_mib: 1024
		}
		image: "alpine"
		cmd: "sh"
		cmd: "-c"
		cmd: "exit 3"
		env {
		  key: "A"
		  value: "1"
		}
		env {
		  key: "B"
		  value: ""
		}
		env {
		  key: "OURS"
		  value: "from here"
		}
		working_dir: "/work"
		user: "1000:100"
		mounts {
		  source: "/srv/a"
		  target: "/data"
		  readonly: true
		}
		mounts {
		  source: "/srv/b"
		  target: "/b"
		}
		network {
		  mode: "none"
		}
		ttl_seconds: 60
		ssh_public_key: "ssh-ed25519 AAAA"
	EOF
}

@test "create: without options an empty message; the reply as JSON" {
	message CreateSandboxResponse reply <<<'id: "7" ip_address: "172.20.0.2" state: "starting"'
	peer <<-'EOF'
		frame 20 DIR/request
		reply 1020 DIR/reply
	EOF
	[ "$(sandbox create --json)" = '{"id":"7","ip_address":"172.20.0.2","state":"starting"}' ]
	done_well
	[ ! -s "$dir/request" ]
}

@test "launch: create and run over one connection, the id that the daemon gave, --rm behind it" {
	message CreateSandboxResponse created <<<'id: "box-7" state: "starting"'
	message RunOutput out <<<'stream: "stdout" data: "hello\n"'
	message RunOutput exit <<<'stream: "exit" exit_code: 5 done: true'
	: >"$dir/nothing"
	peer <<-'EOF'
		frame 20 DIR/create
		reply 1020 DIR/created
		frame 30 DIR/run
		reply 1035 DIR/out
		reply 1035 DIR/exit
		frame 22 DIR/remove
		reply 1022 DIR/nothing
		eof
	EOF
	run sandbox launch --rootfs /srv/root -e A=1 --limit 9 --rm --json -- sh -c 'exit 5'
	echo "$output"
	[ "$status" -eq 5 ]
	[ "$output" = '{"id":"box-7","stdout":"hello\n","stderr":"","exit_code":5}' ]
	done_well
	diff <(decoded CreateSandboxRequest create) - <<-'EOF'
		rootfs: "/srv/root"
		env {
		  key: "A"
		  value: "1"
		}
	EOF
	diff <(decoded RunRequest run) - <<-'EOF'
		id: "box-7"
		cmd: "sh"
		cmd: "-c"
		cmd: "exit 5"
		timeout_seconds: 9
	EOF
	diff <(decoded RemoveSandboxRequest remove) - <<-'EOF'
		id: "box-7"
		force: true
	EOF
}

@test "launch: of one whose id is taken nothing is run" {
	printf '\0\0\1\231\0\0\0\25there is one already.' >"$dir/conflict"
	peer <<-'EOF'
		frame 20
		reply ffff DIR/conflict
		eof
	EOF
	run sandbox launch --id taken -- rm -rf /
	[ "$status" -eq 1 ]
	[[ "$output" == *"there is one already"* ]]
	done_well
}

@test "run: stdout and stderr apart, the status its own, options in their fields" {
	message RunOutput out <<<'stream: "stdout" data: "one\ntwo\000\377\n"'
	message RunOutput err <<<'stream: "stderr" data: "complaint\n"'
	message RunOutput exit <<<'stream: "exit" exit_code: 42 done: true'
	peer <<-'EOF'
		frame 30 DIR/request
		reply 1035 DIR/out
		reply 1035 DIR/err
		reply 1035 DIR/out
		reply 1035 DIR/exit
		eof
	EOF
	status=0
	sandbox run -e A=1 -w /tmp -u nobody --limit 9 box ls -l --color >"$dir/stdout" 2>"$dir/stderr" </dev/null || status=$?
	[ "$status" -eq 42 ]
	done_well
	printf 'one\ntwo\0\377\none\ntwo\0\377\n' | cmp - "$dir/stdout"
	[ "$(cat "$dir/stderr")" = complaint ]
	diff <(decoded RunRequest request) - <<-'EOF'
		id: "box"
		cmd: "ls"
		cmd: "-l"
		cmd: "--color"
		env {
		  key: "A"
		  value: "1"
		}
		working_dir: "/tmp"
		user: "nobody"
		timeout_seconds: 9
	EOF
}

@test "run --json: one value with output and status" {
	message RunOutput out <<<'stream: "stdout" data: "hello\n"'
	message RunOutput err <<<'stream: "stderr" data: "x"'
	message RunOutput exit <<<'stream: "exit" exit_code: 3 done: true'
	peer <<-'EOF'
		frame 30
		reply 1035 DIR/out
		reply 1035 DIR/err
		reply 1035 DIR/exit
	EOF
	run sandbox run --json box true
	[ "$status" -eq 3 ]
	[ "$output" = '{"stdout":"hello\n","stderr":"x","exit_code":3}' ]
	done_well
}

@test "statuses that no process ends with are failures" {
	for code in -1 256 1000; do
		message RunOutput exit <<<"stream: \"exit\" exit_code: $code done: true"
		peer <<-'EOF'
			frame 30
			reply 1035 DIR/exit
		EOF
		run sandbox run box true
		[ "$status" -eq 255 ]
		done_well
	done
}

@test "frames of somebody else's stream are passed over; the protocol's vector of -1 is a failure" {
	peer <<-'EOF'
		frame 31
		input-end
		send 0000000f 00001036 0001 'o' 0a04 'exit' 2001
		send 0000001a 00001036 0001 'x' 0a04 'exit' 18ffffffffffffffffff01 2001
		eof
	EOF
	run sandbox exec --trace x box true </dev/null
	[ "$status" -eq 255 ]
	done_well
}

@test "exec: input goes out as it comes, binary, and its end once" {
	message ExecOutput out <<<'stream: "stdout" data: "got it\n"'
	message ExecOutput exit <<<'stream: "exit" done: true'
	head -c 3000000 /dev/urandom >"$dir/input"
	peer <<-'EOF'
		frame 31 DIR/request
		input-until-end DIR/got
		reply 1036 DIR/out
		reply 1036 DIR/exit
		eof
	EOF
	run sandbox exec box cat <"$dir/input"
	[ "$status" -eq 0 ]
	[ "$output" = "got it" ]
	done_well
	cmp "$dir/input" "$dir/got"
	diff <(decoded ExecRequest request) <(printf 'id: "box"\ncmd: "cat"\n')
}

@test "exec: output comes while input is still open, and an exit ends it" {
	message ExecOutput out <<<'stream: "stdout" data: "ready\n"'
	message ExecOutput exit <<<'stream: "exit" exit_code: 7 done: true'
	mkfifo "$dir/in"
	peer <<-'EOF'
		frame 31
		reply 1036 DIR/out
		input 'line 1' 0a
		touch DIR/seen
		reply 1036 DIR/exit
		eof
	EOF
	sandbox exec box cat <"$dir/in" >"$dir/stdout" 3>&- &
	client=$!
	exec 8>"$dir/in"
	until [ -s "$dir/stdout" ]; do kill -0 "$client"; sleep 0.01; done
	echo "line 1" >&8
	status=0
	wait "$client" || status=$? # our end of its input is still open
	exec 8>&-
	[ "$status" -eq 7 ]
	done_well
}

@test "exec -n: an empty input, and ours is left alone" {
	message ExecOutput exit <<<'stream: "exit" done: true'
	peer <<-'EOF'
		frame 31
		input-end
		reply 1036 DIR/exit
		eof
	EOF
	printf 'a\nb\n' | {
		sandbox exec -n box true
		[ "$(cat)" = $'a\nb' ]
	}
	done_well
}

@test "a daemon that takes no input is still listened to" {
	message ExecOutput exit <<<'stream: "exit" exit_code: 5 done: true'
	peer <<-'EOF'
		frame 31
		reply 1036 DIR/exit
	EOF
	run sandbox exec box head -c1 </dev/zero
	[ "$status" -eq 5 ]
	done_well
}

@test "a slow reader holds the daemon back: no output piles up" {
	# 256 MB, of which the reader takes nothing until the sender is stuck.
	message ExecOutput out < <(printf 'stream: "stdout" data: "%s"' "$(head -c 262144 /dev/zero | tr '\0' a)")
	message ExecOutput exit <<<'stream: "exit" done: true'
	{
		echo "frame 31"
		for _ in $(seq 1 1000); do echo "reply 1036 DIR/out"; done
		echo "reply 1036 DIR/exit"
	} >"$dir/steps"
	peer <"$dir/steps"
	mkfifo "$dir/pipe"
	sandbox exec -n box yes >"$dir/pipe" 3>&- &
	client=$!
	exec 8<"$dir/pipe"
	# Stuck: it waits, and its memory is what it is.
	head -c 1000000 <&8 >/dev/null
	until [ "$(awk '{ print $3 }' "/proc/$client/stat")" = S ]; do kill -0 "$client"; sleep 0.01; done
	rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$client/status")
	n=$(wc -c <&8)
	exec 8<&-
	wait "$client"
	done_well
	echo "RSS $rss kB, $n bytes"
	[ "$n" -eq $((262144 * 1000 - 1000000)) ]
	[ "$rss" -lt 100000 ] # under the sanitizer too
}

@test "an Error frame: its code and text, status 1; output before it stands" {
	peer <<-'EOF'
		frame 30
		send 0000001d 0000ffff 0001 't' 00000194 0000000e 'no such thing'
		send 21
	EOF
	fails 1 "error 404: no such thing!" sandbox run --trace t nobox true
	done_well
	message RunOutput out <<<'stream: "stdout" data: "begun\n"'
	peer <<-'EOF'
		frame 30
		reply 1035 DIR/out
		send 00000013 0000ffff 0001 't' 000001f4 00000004 'gone'
	EOF
	run sandbox run --trace t box true
	[ "$status" -eq 1 ]
	[ "${lines[0]}" = begun ]
	[ "${lines[1]}" = "vsock-rpc: error 500: gone" ]
	done_well
}

@test "a daemon that vanishes: status 1, and one line says so" {
	message ExecOutput out <<<'stream: "stdout" data: ""'
	peer <<-'EOF'
		frame 31
		reply 1036 DIR/out
	EOF
	fails 1 "$dir/s: the peer closed the connection before the stream's end" sandbox exec -n box true
	done_well
}

@test "frames that are wrong end it with one line" {
	message SandboxEvent event <<<'sandbox_id: "a"'
	peer <<-'EOF'
		frame 30
		reply 1037 DIR/event
	EOF
	fails 1 "the reply is of type 0x1037 (SandboxEvent), not SandboxRunOutput" sandbox run box true
	done_well
	message RunOutput odd <<<'stream: "stdlog" data: "x"'
	peer <<-'EOF'
		frame 30
		reply 1035 DIR/odd
	EOF
	fails 1 'output of a stream "stdlog"' sandbox run box true
	done_well
	peer <<-'EOF'
		frame 30
		send ffffffff 00001035 0000
	EOF
	fails 1 "too long" sandbox run box true
	done_well
}

# on_tty COMMAND...: runs it on a terminal of its own, 101 columns and 33 rows; what the terminal showed is in $dir/tty,
# and its settings before and after in $dir/before and $dir/after.
on_tty() {
	printf '%q ' "$@" >"$dir/command"
	cat >"$dir/tty.sh" <<-EOF
		stty rows 33 cols 101
		stty -a >$dir/before
		$(cat "$dir/command")
		echo \$? >$dir/status
		stty -a >$dir/after
	EOF
	# A shell ignores INT in what it starts in the background, and whoever started the tests may have: env gives it back.
	env --default-signal=HUP,INT,QUIT,TERM script -qfec "bash $dir/tty.sh" "$dir/tty" >/dev/null
}

@test "exec -t: the terminal's size goes along, it is raw meanwhile, and as before afterwards" {
	message ExecOutput out <<<'stream: "stdout" data: "prompt> "'
	message ExecOutput exit <<<'stream: "exit" exit_code: 9 done: true'
	peer <<-'EOF'
		frame 31 DIR/request
		reply 1036 DIR/out
		touch DIR/begun
		input 03 1a 04 'x' 0d
		reply 1036 DIR/exit
		eof
	EOF
	mkfifo "$dir/keys"
	on_tty "$GUESTBOX" vsock-rpc --connect "unix:$dir/s" sandbox exec -t box sh <"$dir/keys" 3>&- &
	tty=$!
	exec 8>"$dir/keys"
	until [ -e "$dir/begun" ]; do kill -0 "$tty"; sleep 0.01; done
	# ^C, ^Z, ^D and a return: keys, not signals.
	printf '\003\032\004x\r' >&8
	done_well
	wait "$tty"
	exec 8>&-
	[ "$(cat "$dir/status")" = 9 ]
	grep -q 'prompt> ' "$dir/tty"
	diff "$dir/before" "$dir/after"
	diff <(decoded ExecRequest request) - <<-'EOF'
		id: "box"
		cmd: "sh"
		tty: true
		tty_size {
		  width: 101
		  height: 33
		}
	EOF
}

@test "exec -t: a signal that ends it leaves the terminal as it was" {
	for signal in TERM INT HUP; do
		rm -f "$dir/begun"
		peer <<-'EOF'
			frame 31
			touch DIR/begun
			eof
		EOF
		mkfifo "$dir/keys"
		on_tty "$GUESTBOX" vsock-rpc --connect "unix:$dir/s" sandbox exec -t box sh <"$dir/keys" 3>&- &
		tty=$!
		exec 8>"$dir/keys"
		until [ -e "$dir/begun" ]; do kill -0 "$tty"; sleep 0.01; done
		client=$(pgrep -f "unix:$dir/s sandbox exec -t box" | while read -r p; do
			[ "$(readlink "/proc/$p/exe")" = "$(readlink -f "$GUESTBOX")" ] && echo "$p"; done | head -1)
		kill "-$signal" "$client"
		until_true not [ -e "/proc/$client" ] ||
			{ grep -E '^(Name|State|Sig|Shd)' "/proc/$client/status"; cat "/proc/$client/wchan" "/proc/$client/stack"; }
		done_well
		wait "$tty"
		exec 8>&-
		rm "$dir/keys"
		[ "$(cat "$dir/status")" = "$((128 + $(kill -l "$signal")))" ]
		diff "$dir/before" "$dir/after"
	done
}

@test "exec -t: a daemon that vanishes leaves the terminal as it was" {
	peer <<-'EOF'
		frame 31
	EOF
	on_tty "$GUESTBOX" vsock-rpc --connect "unix:$dir/s" sandbox exec -t box sh </dev/null
	done_well
	[ "$(cat "$dir/status")" = 1 ]
	grep -q "before the stream's end" "$dir/tty"
	diff "$dir/before" "$dir/after"
}

@test "stop, rm, snapshots rm: their fields, and both forms of an empty reply" {
	: >"$dir/empty"
	peer <<-'EOF'
		frame 21 DIR/request
		reply 1021 DIR/empty
	EOF
	[ "$(sandbox stop --grace 5 box)" = box ]
	done_well
	diff <(decoded StopSandboxRequest request) <(printf 'id: "box"\ntimeout_seconds: 5\n')
	peer <<-'EOF'
		frame 22 DIR/request
		reply 0 DIR/empty
	EOF
	[ "$(sandbox rm -f box)" = box ]
	done_well
	diff <(decoded RemoveSandboxRequest request) <(printf 'id: "box"\nforce: true\n')
	peer <<-'EOF'
		frame 43 DIR/request
		reply 1043 DIR/empty
	EOF
	[ "$(sandbox snapshots rm --json s-1)" = '{"id":"s-1"}' ]
	done_well
	diff <(decoded DeleteSnapshotRequest request) <(printf 'snapshot_id: "s-1"\n')
}

@test "ls: a table, its filters, and JSON with labels as an object" {
	message ListSandboxesResponse reply <<-'EOF'
		sandboxes { id: "a" state: "ready" labels { key: "team" value: "x" } ip_address: "172.20.0.2" created_at: 1781827200 }
		sandboxes { id: "long-name\033[31m" state: "stopped" }
	EOF
	for json in '' --json; do
		peer <<-'EOF'
			frame 24 DIR/request
			reply 1024 DIR/reply
		EOF
		sandbox ls --state ready -l team=x $json >"$dir/out$json"
		done_well
	done
	diff <(decoded ListSandboxesRequest request) - <<-'EOF'
		state: "ready"
		labels {
		  key: "team"
		  value: "x"
		}
	EOF
	diff "$dir/out" - <<-'EOF'
		ID               STATE    ADDRESS     CREATED               LABELS
		a                ready    172.20.0.2  2026-06-19T00:00:00Z  team=x
		long-name^[[31m  stopped  -           -                     -
	EOF
	[ "$(jq -c '.sandboxes[0].labels' "$dir/out--json")" = '{"team":"x"}' ]
	[ "$(jq -c '.sandboxes[1].labels' "$dir/out--json")" = '{}' ]
}

@test "inspect: all about one" {
	message SandboxInfo reply <<-'EOF'
		id: "a" state: "failed" limits { vcpus: 2 memory_mib: 256 } created_at: 1781827200 last_exited_at: 1781827201
		last_exit_code: 137 error: "no such image" network { ip_address: "172.20.0.2" gateway: "172.20.0.1" tap_name: "t" }
	EOF
	peer <<-'EOF'
		frame 23 DIR/request
		reply 1023 DIR/reply
	EOF
	sandbox inspect a >"$dir/out"
	done_well
	diff <(decoded InspectSandboxRequest request) <(printf 'id: "a"\n')
	diff "$dir/out" - <<-'EOF'
		id:         a
		state:      failed
		error:      no such image
		labels:     -
		limits:     2 CPU, 256 MiB
		address:    172.20.0.2, gateway 172.20.0.1, device t
		created:    2026-06-19T00:00:00Z
		ready:      -
		last exit:  2026-06-19T00:00:01Z, status 137
	EOF
}

@test "events: a line each as they come, and as JSON; --count ends it" {
	message SandboxEvent one <<<'sandbox_id: "a" action: "created" timestamp: 1781827200000000007'
	message SandboxEvent two <<<'sandbox_id: "a" action: "idle" timestamp: 1781827201500000000 attributes { key: "exit_code" value: "3" }'
	for json in '' --json; do
		peer <<-'EOF'
			frame 32 DIR/request
			reply 1037 DIR/one
			reply 1037 DIR/two
			eof
		EOF
		sandbox events --action idle --count 2 $json a >"$dir/out$json"
		done_well
	done
	diff <(decoded SandboxEventsRequest request) <(printf 'id: "a"\naction: "idle"\n')
	diff "$dir/out" - <<-'EOF'
		2026-06-19T00:00:00.000000007Z a created
		2026-06-19T00:00:01.500000000Z a idle exit_code=3
	EOF
	[ "$(jq -rs '.[1].attributes.exit_code' "$dir/out--json")" = 3 ]
}

@test "checkpoint, restore, snapshots: fields and replies" {
	message CheckpointResponse reply <<<'snapshot_id: "s-1" snapshot_dir: "/d/s-1" created_at: "2026-06-19T00:00:00Z"'
	peer <<-'EOF'
		frame 40 DIR/request
		reply 1040 DIR/reply
	EOF
	[ "$(sandbox checkpoint --name before -l a=b box)" = s-1 ]
	done_well
	diff <(decoded CheckpointRequest request) - <<-'EOF'
		sandbox_id: "box"
		name: "before"
		labels {
		  key: "a"
		  value: "b"
		}
	EOF
	message RestoreResponse reply <<<'id: "copy" ip_address: "172.20.0.3"'
	peer <<-'EOF'
		frame 41 DIR/request
		reply 1041 DIR/reply
	EOF
	[ "$(sandbox restore --id copy --ttl 5 --new-address -l a=b s-1)" = copy ]
	done_well
	diff <(decoded RestoreRequest request) - <<-'EOF'
		id: "copy"
		snapshot_id: "s-1"
		labels {
		  key: "a"
		  value: "b"
		}
		network_override: true
		ttl_seconds: 5
	EOF
	message ListSnapshotsResponse reply <<<'snapshots { id: "s-1" sandbox_id: "box" created_at: "2026-06-19T00:00:00Z" snapshot_dir: "/d" }'
	peer <<-'EOF'
		frame 42 DIR/request
		reply 1042 DIR/reply
	EOF
	sandbox snapshots --sandbox box -l a=b >"$dir/out"
	done_well
	diff "$dir/out" - <<-'EOF'
		SNAPSHOT  SANDBOX  NAME  CREATED               HOLDS  FOLDER  LABELS
		s-1       box      -     2026-06-19T00:00:00Z  -      /d      -
	EOF
}

# own TYPE FILE: a payload of own.proto made from text; read_own the other way.
own() { protoc --encode="guestbox.v1.$1" -I "$abs_top_srcdir" "$abs_top_srcdir/common/rpc/own.proto" >"$dir/$2"; }
read_own() { protoc --decode="guestbox.v1.$1" -I "$abs_top_srcdir" "$abs_top_srcdir/common/rpc/own.proto" <"$dir/$2"; }

@test "image import: the file goes out behind the request, its size announced" {
	own ImageImportResponse reply <<<'image { name: "alpine" created_at: 1781827200 files: 500 bytes: 8000000 left_out: 2 }'
	head -c 2000000 /dev/urandom >"$dir/file.tar"
	peer <<-'EOF'
		frame f10 DIR/request
		input-until-end DIR/got
		reply 1f10 DIR/reply
		eof
	EOF
	run sandbox image import --replace alpine "$dir/file.tar"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = "alpine: 500 files, 7.6 MiB; 2 device nodes and attributes left out" ]
	done_well
	cmp "$dir/file.tar" "$dir/got"
	diff <(read_own ImageImportRequest request) <(printf 'name: "alpine"\nreplace: true\nsize: 2000000\n')
	# From a pipe nobody knows the size.
	rm "$dir/got"
	peer <<-'EOF'
		frame f10 DIR/request
		input-until-end DIR/got
		reply 1f10 DIR/reply
		eof
	EOF
	[ "$(cat "$dir/file.tar" | sandbox image import --json alpine - | jq -c "del(.env, .working_dir, .user, .entrypoint, .cmd)")" = \
		'{"name":"alpine","created_at":1781827200,"files":500,"bytes":8000000,"left_out":2,"layers":0}' ]
	done_well
	cmp "$dir/file.tar" "$dir/got"
	diff <(read_own ImageImportRequest request) <(printf 'name: "alpine"\n')
}

@test "image import: an archive that is refused on the way ends it with the reason" {
	peer <<-'EOF'
		frame f10
		send 00000019 0000ffff 0001 't' 00000190 0000000a 'not a tar!'
	EOF
	fails 1 "error 400: not a tar!" sandbox image import --trace t alpine - </dev/zero
	done_well
	fails 1 "No such file" sandbox image import alpine "$dir/none.tar"
	fails 1 "Is a directory" sandbox image import alpine "$dir"
	fails 2 "missing name and file" sandbox image import alpine
}

@test "image ls and rm" {
	own ImageListResponse reply <<-'EOF'
		images { name: "alpine" created_at: 1781827200 files: 500 bytes: 8000000 }
		images { name: "b" created_at: 1781827200 files: 1 bytes: 12 }
	EOF
	: >"$dir/empty"
	peer <<-'EOF'
		frame f11
		reply 1f11 DIR/reply
	EOF
	sandbox image ls >"$dir/out"
	done_well
	diff "$dir/out" - <<-'EOF'
		IMAGE   CREATED               FILES  SIZE
		alpine  2026-06-19T00:00:00Z  500    7.6 MiB
		b       2026-06-19T00:00:00Z  1      12 B
	EOF
	peer <<-'EOF'
		frame f12 DIR/request
		reply 1f12 DIR/empty
	EOF
	[ "$(sandbox image rm --json alpine)" = '{"name":"alpine"}' ]
	done_well
	diff <(read_own ImageRemoveRequest request) <(printf 'name: "alpine"\n')
}

@test "bad command lines: one line, status 2" {
	fails 2 'missing verb after "sandbox"' gb vsock-rpc sandbox
	fails 2 'unknown verb "explode" after "sandbox"' gb vsock-rpc sandbox explode
	fails 2 "missing id and command" sandbox exec box
	fails 2 "missing id" sandbox stop
	fails 2 "missing snapshot" sandbox restore
	fails 2 "only one of them" sandbox create --image a --rootfs /b
	fails 2 "only one of them" sandbox exec -t --json box sh
	fails 2 'not SOURCE:TARGET[:ro]' sandbox create -v /a
	fails 2 'not SOURCE:TARGET[:ro]' sandbox create -v :/a
	fails 2 '"wo" is neither ro nor rw' sandbox create -v /a:/b:wo
	fails 2 'not a whole number of M' sandbox create -m 1500K
	fails 2 'not KEY=VALUE' sandbox create -l team
	fails 2 'no name in front of the "="' sandbox create -e =x
	fails 2 "cpus" sandbox create --cpus 0
	fails 2 "ttl" sandbox create --ttl 4294967296
	fails 2 "one id at a time" sandbox stop --json a b
	fails 2 "surplus argument" sandbox ls box
}
