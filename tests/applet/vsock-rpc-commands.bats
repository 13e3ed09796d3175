#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Every command of vsock-rpc, one by one: what a person sees, what a script gets with --json, and what both see of an Error
# frame, of a daemon that is not there, and of one that does not answer. Replies are made by protoc, not by our own code.
load ../lib.bash
load daemon.bash

setup() {
	daemon_setup
	echo archive >"$dir/archive"
	printf '\0\0\1\367\0\0\0\4busy' >"$dir/busy" # 503
}

# peer STEP...: a daemon of one connection that follows these steps (tests/tools/rpcpeer.c).
peer() {
	printf '%s\n' "$@" >"$dir/script"
	start_script
}

# asks WANTED-STATUS COMMAND...: stdout and stderr in files; times and random names are taken out of them.
asks() {
	local want=$1 status=0
	shift
	gb vsock-rpc --connect "unix:$dir/s" "$@" </dev/null >"$dir/stdout" 2>"$dir/stderr" || status=$?
	sed -i -E 's/[0-9]+\.[0-9]{3} ms\)/T ms)/; s/"seconds":[0-9.e-]+/"seconds":0/' "$dir/stdout"
	[ "$status" -eq "$want" ] || { echo "$*: status $status, not $want"; cat "$dir/stdout" "$dir/stderr"; return 1; }
}

same() { # same WHAT WANTED: stdout is that, and stderr is empty
	diff <(printf '%s' "$2") "$dir/stdout" || { echo "$1: stdout, wanted < and got >"; return 1; }
	[ ! -s "$dir/stderr" ] || { echo "$1: stderr"; cat "$dir/stderr"; return 1; }
}

complains() { # complains WHAT PATTERN: nothing on stdout, one line on stderr
	[ ! -s "$dir/stdout" ] || { echo "$1: stdout"; cat "$dir/stdout"; return 1; }
	[ "$(wc -l <"$dir/stderr")" -eq 1 ] && grep -Eq -- "^vsock-rpc: .*$2" "$dir/stderr" ||
		{ echo "$1: no \"$2\" in:"; cat "$dir/stderr"; return 1; }
}

# row STATUS REQUEST REPLY MESSAGE TEXT HUMAN JSON COMMAND...
row() {
	local want=$1 request=$2 reply=$3 message=$4 text=$5 human=$6 json=$7 file=agent
	shift 7
	echo "-- $*"
	case $message in sandbox*) file=sandbox ;; guestbox*) file=own ;; esac
	: >"$dir/reply"
	[ -z "$message" ] ||
		protoc "--encode=$message" -I "$abs_top_srcdir" "$abs_top_srcdir/common/rpc/$file.proto" <<<"$text" >"$dir/reply"

	peer "frame $request" "reply $reply $dir/reply"
	asks "$want" --timeout 30 "$@"
	done_well
	same "$*" "$human"

	peer "frame $request" "reply $reply $dir/reply"
	asks "$want" --timeout 30 --json "$@"
	done_well
	same "$* --json" "$json"$'\n'
	[ "$(jq -s length "$dir/stdout")" -eq 1 ]

	for how in "" --json; do
		peer "frame $request" "reply ffff $dir/busy"
		# shellcheck disable=SC2086
		asks 1 --timeout 30 $how "$@"
		done_well
		complains "$* $how, an Error frame" 'error 503: busy$'
	done

	rm -f "$dir/s"
	asks 1 --timeout 30 --json "$@"
	complains "$*, no daemon" 'connect: No such file or directory$'

	case "$*" in
	"sandbox run"* | "sandbox exec"* | "sandbox events"* | "sandbox image import"*) # which may take as long as they take
		peer "frame $request"
		asks 1 --timeout 0.2 --json "$@"
		complains "$*, a daemon that leaves" "closed the connection before the stream's end$"
		;;
	*)
		peer "frame $request" eof
		asks 1 --timeout 0.2 --json "$@"
		complains "$*, no answer" 'no reply: Connection timed out$'
		;;
	esac
	done_well
}

@test "ping, info, shutdown, trim, mmap, timeline, raw" {
	row 0 1 1001 arcbox.v1.AgentPingResponse 'message: "pong: hi" version: "0.4.10" protocol_version: 1' \
		$'pong: hi (version 0.4.10, protocol 1, T ms)\n' \
		'{"message":"pong: hi","version":"0.4.10","protocol_version":1,"seconds":0}' ping hi
	row 0 1 1001 arcbox.v1.AgentPingResponse 'message: "pong"' $'pong (version , protocol 0, T ms)\n' \
		'{"message":"pong","version":"","protocol_version":0,"seconds":0}' ping --set-clock
	row 0 2 1002 arcbox.v1.SystemInfo 'kernel_version: "6.1.0" os_name: "Linux" os_version: "#1 SMP" arch: "x86_64"
		total_memory: 1073741824 available_memory: 5 cpu_count: 2 load_average: [0.07, 0.25, 0] hostname: "g" uptime: 9
		ip_addresses: ["10.0.2.15", "fe80::1"]' "\
kernel_version:   6.1.0
os_name:          Linux
os_version:       #1 SMP
arch:             x86_64
total_memory:     1073741824
available_memory: 5
cpu_count:        2
load_average:     0.07 0.25 0.00
hostname:         g
uptime:           9
ip_addresses:     10.0.2.15 fe80::1
" '{"kernel_version":"6.1.0","os_name":"Linux","os_version":"#1 SMP","arch":"x86_64","total_memory":1073741824,"available_memory":5,"cpu_count":2,"load_average":[0.07,0.25,0],"hostname":"g","uptime":9,"ip_addresses":["10.0.2.15","fe80::1"]}' info
	row 0 a 100a arcbox.v1.ShutdownResponse 'accepted: true' $'accepted: the guest is on its way down\n' '{"accepted":true}' \
		shutdown --grace 9
	row 1 c 100c arcbox.v1.DiskTrimResponse 'result: "/a: 1 MiB (1048576 bytes) trimmed; /b: failed (no)"' \
		$'/a: 1 MiB (1048576 bytes) trimmed\n/b: failed (no)\n' \
		'{"result":"/a: 1 MiB (1048576 bytes) trimmed; /b: failed (no)"}' trim
	row 0 c 100c arcbox.v1.DiskTrimResponse 'result: "/a: 0 B (0 bytes) trimmed"' $'/a: 0 B (0 bytes) trimmed\n' \
		'{"result":"/a: 0 B (0 bytes) trimmed"}' trim
	row 0 b 100b arcbox.v1.MmapReadFileResponse 'data: "abc" bytes_read: 3' abc '{"data":"YWJj","bytes_read":3}' mmap -l 3 /f
	# less of it is the file's than was announced
	row 0 b 100b arcbox.v1.MmapReadFileResponse 'data: "" bytes_read: 0' '' '{"data":"","bytes_read":0}' mmap -o 1T -l 3 /f
	row 0 f00 1f00 guestbox.v1.TimelineResponse 'steps { track: "a" name: "b" begin_nsec: 1000000 end_nsec: 3000000 } ready_nsec: 4000000' \
		$'  begin ms    took ms\n       1.0        2.0            ####################  a b\n' \
		'{"steps":[{"track":"a","name":"b","begin_usec":1000,"end_usec":3000,"pid":0,"failed":false}],"ready_usec":4000}' timeline
	row 0 1 1001 arcbox.v1.AgentPingResponse 'message: "pong"' $'0x1001 PingResponse trace 7472 payload 0a04706f6e67\n' \
		'{"type":4097,"name":"PingResponse","trace":"7472","payload":"0a04706f6e67"}' --trace tr raw 1 0a00
	row 0 77 1077 '' '' $'0x1077 - trace 7472 payload -\n' '{"type":4215,"name":null,"trace":"7472","payload":""}' --trace tr raw 0x77
}

@test "runtime, k8s" {
	row 0 3 1003 arcbox.v1.RuntimeEnsureResponse 'ready: true endpoint: "vsock:2375" message: "up" status: "reused"' \
		$'ready:    yes\nendpoint: vsock:2375\nmessage:  up\nstatus:   reused\n' \
		'{"ready":true,"endpoint":"vsock:2375","message":"up","status":"reused"}' runtime ensure --start
	row 1 3 1003 arcbox.v1.RuntimeEnsureResponse 'message: "why" status: "failed"' \
		$'ready:    no\nendpoint:\nmessage:  why\nstatus:   failed\n' \
		'{"ready":false,"endpoint":"","message":"why","status":"failed"}' runtime ensure --wait
	row 0 4 1004 arcbox.v1.RuntimeStatusResponse 'containerd_ready: true endpoint: "vsock:2375" detail: "d"
		services { name: "containerd" status: "ready" } services { name: "dockerd" status: "error" detail: "x" }' "\
containerd_ready: yes
docker_ready:     no
endpoint:         vsock:2375
detail:           d
services:         containerd ready
                  dockerd error x
" '{"containerd_ready":true,"docker_ready":false,"endpoint":"vsock:2375","detail":"d","services":[{"name":"containerd","status":"ready","detail":""},{"name":"dockerd","status":"error","detail":"x"}]}' runtime status
	row 1 5 1005 arcbox.v1.KubernetesStartResponse 'running: true detail: "on its way" endpoint: "https://127.0.0.1:16443"' \
		$'running:   yes\napi_ready: no\nendpoint:  https://127.0.0.1:16443\ndetail:    on its way\n' \
		'{"running":true,"api_ready":false,"endpoint":"https://127.0.0.1:16443","detail":"on its way"}' k8s start
	row 0 5 1005 arcbox.v1.KubernetesStartResponse 'running: true api_ready: true' \
		$'running:   yes\napi_ready: yes\nendpoint:\ndetail:\n' \
		'{"running":true,"api_ready":true,"endpoint":"","detail":""}' k8s start --wait
	row 0 6 1006 arcbox.v1.KubernetesStopResponse 'stopped: true detail: "gone"' $'stopped: yes\ndetail:  gone\n' \
		'{"stopped":true,"detail":"gone"}' k8s stop
	row 1 6 1006 arcbox.v1.KubernetesStopResponse 'detail: "still there"' $'stopped: no\ndetail:  still there\n' \
		'{"stopped":false,"detail":"still there"}' k8s stop
	row 0 7 1007 arcbox.v1.KubernetesDeleteResponse 'detail: "removed"' $'detail: removed\n' '{"detail":"removed"}' k8s delete
	row 0 8 1008 arcbox.v1.KubernetesStatusResponse 'running: true services { name: "k3s" status: "not_ready" }' \
		$'running:   yes\napi_ready: no\nendpoint:\ndetail:\nservices:  k3s not_ready\n' \
		'{"running":true,"api_ready":false,"endpoint":"","detail":"","services":[{"name":"k3s","status":"not_ready","detail":""}]}' k8s status
	row 0 9 1009 arcbox.v1.KubernetesKubeconfigResponse 'kubeconfig: "a: b\n" context_name: "arcbox" endpoint: "https://127.0.0.1:16443"' \
		$'a: b\n' '{"kubeconfig":"a: b\n","context_name":"arcbox","endpoint":"https://127.0.0.1:16443"}' k8s kubeconfig
	row 0 9 1009 arcbox.v1.KubernetesKubeconfigResponse \
		'kubeconfig: "clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n  name: default\n" context_name: "arcbox" endpoint: "https://127.0.0.1:16443"' \
		$'clusters:\n- cluster:\n    server: https://127.0.0.1:16443\n  name: arcbox\n' \
		'{"kubeconfig":"clusters:\n- cluster:\n    server: https://127.0.0.1:16443\n  name: arcbox\n","context_name":"arcbox","endpoint":"https://127.0.0.1:16443"}' \
		k8s kubeconfig --rewrite
}

@test "runtime ensure --wait and k8s start --wait ask again until it is ready, or the time is up" {
	export abs_top_srcdir
	cat >"$dir/daemon" <<-'EOF'
		# What is asked, in order, on a connection each: the third answer is another.
		n=$(cat "$2/n" 2>/dev/null || echo 0)
		echo $((n + 1)) >"$2/n"
		type=$(head -c 10 | xxd -p | cut -c 9-16)
		echo "$type" >>"$2/asked"
		reply=$([ "$n" -lt 2 ] && echo "$2/no" || echo "$2/yes")
		printf '%b' "$(printf '%08x%08x0001%s' $((7 + $(stat -c %s "$reply"))) $((0x1000 + 0x$type)) 74 | sed 's/../\\x&/g')"
		cat "$reply"
	EOF
	waits() { # waits NO YES TYPES COMMAND...
		local no=$1 yes=$2 asked=$3
		shift 3
		printf '%b' "$no" >"$dir/no"
		printf '%b' "$yes" >"$dir/yes"
		rm -f "$dir/n" "$dir/asked" "$dir/s"
		socat "UNIX-LISTEN:$dir/s,fork" "SYSTEM:bash $dir/daemon x $dir" 3>&- 2>/dev/null &
		daemon=$!
		listens "$dir/s"
		asks 0 --timeout 60 --trace t "$@"
		[ "$(tr '\n' ' ' <"$dir/asked")" = "$asked" ] || { cat "$dir/asked"; return 1; }
		cp "$dir/no" "$dir/yes"
		rm -f "$dir/n"
		asks 1 --timeout 1 --trace t "$@"
		until_true [ -s "$dir/n" ] # it was asked, though the time may have been up before it could answer
		kill "$daemon"
		wait "$daemon" || true
		daemon=
	}
	waits '"\x08starting' '\x08\x01"\x06reused' '00000003 00000003 00000003 ' runtime ensure --start --wait
	waits '\x08\x01' '\x08\x01\x10\x01' '00000005 00000008 00000008 ' k8s start --wait
}

@test "sandboxes" {
	row 0 20 1020 sandbox.v1.CreateSandboxResponse 'id: "7" ip_address: "172.20.0.2" state: "starting"' $'7\n' \
		'{"id":"7","ip_address":"172.20.0.2","state":"starting"}' sandbox create
	row 0 21 1021 '' '' $'7\n' '{"id":"7"}' sandbox stop 7
	row 0 22 0 '' '' $'7\n' '{"id":"7"}' sandbox rm -f 7 # Empty in place of its own reply
	row 0 23 1023 sandbox.v1.SandboxInfo 'id: "7" state: "ready" labels { key: "a" value: "b" } limits { vcpus: 1 memory_mib: 512 }
		network { ip_address: "172.20.0.2" gateway: "172.20.0.1" tap_name: "t" } created_at: 1781827200 ready_at: 1781827201' "\
id:         7
state:      ready
labels:     a=b
limits:     1 CPU, 512 MiB
address:    172.20.0.2, gateway 172.20.0.1, device t
created:    2026-06-19T00:00:00Z
ready:      2026-06-19T00:00:01Z
last exit:  -
" '{"id":"7","state":"ready","labels":{"a":"b"},"limits":{"vcpus":1,"memory_mib":512},"network":{"ip_address":"172.20.0.2","gateway":"172.20.0.1","tap_name":"t"},"created_at":1781827200,"ready_at":1781827201,"last_exited_at":0,"last_exit_code":0,"error":""}' sandbox inspect 7
	row 0 24 1024 sandbox.v1.ListSandboxesResponse \
		'sandboxes { id: "7" state: "ready" labels { key: "a" value: "b" } ip_address: "172.20.0.2" created_at: 1781827200 }' "\
ID  STATE  ADDRESS     CREATED               LABELS
7   ready  172.20.0.2  2026-06-19T00:00:00Z  a=b
" '{"sandboxes":[{"id":"7","state":"ready","labels":{"a":"b"},"ip_address":"172.20.0.2","created_at":1781827200}]}' \
		sandbox ls --state ready -l a=b
	row 3 30 1035 sandbox.v1.RunOutput 'stream: "exit" exit_code: 3 done: true' '' '{"stdout":"","stderr":"","exit_code":3}' sandbox run 7 true
	row 0 31 1036 sandbox.v1.ExecOutput 'stream: "stdout" data: "x\n" done: true' $'x\n' '{"stdout":"x\n","stderr":"","exit_code":0}' \
		sandbox exec -n 7 true
	row 0 32 1037 sandbox.v1.SandboxEvent \
		'sandbox_id: "7" action: "idle" timestamp: 1781827200000000005 attributes { key: "exit_code" value: "0" }' \
		$'2026-06-19T00:00:00.000000005Z 7 idle exit_code=0\n' \
		'{"sandbox_id":"7","action":"idle","timestamp":1781827200000000005,"attributes":{"exit_code":"0"}}' sandbox events --count 1 7
}

@test "snapshots and images" {
	row 0 40 1040 sandbox.v1.CheckpointResponse 'snapshot_id: "s" snapshot_dir: "/d" created_at: "2026-06-19T00:00:00Z"' $'s\n' \
		'{"snapshot_id":"s","snapshot_dir":"/d","created_at":"2026-06-19T00:00:00Z","content":""}' sandbox checkpoint --name n 7
	row 0 41 1041 sandbox.v1.RestoreResponse 'id: "8" ip_address: "172.20.0.3"' $'8\n' '{"id":"8","ip_address":"172.20.0.3"}' \
		sandbox restore --new-address s
	row 0 42 1042 sandbox.v1.ListSnapshotsResponse \
		'snapshots { id: "s" sandbox_id: "7" name: "n" snapshot_dir: "/d" created_at: "2026-06-19T00:00:00Z" }' "\
SNAPSHOT  SANDBOX  NAME  CREATED               HOLDS  FOLDER  LABELS
s         7        n     2026-06-19T00:00:00Z  -      /d      -
" '{"snapshots":[{"id":"s","sandbox_id":"7","name":"n","labels":{},"snapshot_dir":"/d","created_at":"2026-06-19T00:00:00Z","content":""}]}' \
		sandbox snapshots --sandbox 7
	row 0 43 1043 '' '' $'s\n' '{"id":"s"}' sandbox snapshots rm s
	row 0 f10 1f10 guestbox.v1.ImageImportResponse 'image { name: "i" created_at: 1781827200 files: 3 bytes: 5000 left_out: 1 }' \
		$'i: 3 files, 4.9 KiB; 1 device nodes and attributes left out\n' \
		'{"name":"i","created_at":1781827200,"files":3,"bytes":5000,"left_out":1,"layers":0,"env":[],"working_dir":"","user":"","entrypoint":[],"cmd":[]}' sandbox image import i "$dir/archive"
	row 0 f11 1f11 guestbox.v1.ImageListResponse 'images { name: "i" created_at: 1781827200 files: 3 bytes: 5000 }' "\
IMAGE  CREATED               FILES  SIZE
i      2026-06-19T00:00:00Z  3      4.9 KiB
" '{"images":[{"name":"i","created_at":1781827200,"files":3,"bytes":5000,"left_out":0,"layers":0,"env":[],"working_dir":"","user":"","entrypoint":[],"cmd":[]}]}' sandbox image ls
	row 0 f12 1f12 '' '' $'i\n' '{"name":"i"}' sandbox image rm i
}

@test "launch, which is a create and a run" {
	local how wanted
	protoc --encode=sandbox.v1.CreateSandboxResponse -I "$abs_top_srcdir" "$abs_top_srcdir/common/rpc/sandbox.proto" \
		<<<'id: "7" state: "starting"' >"$dir/created"
	protoc --encode=sandbox.v1.RunOutput -I "$abs_top_srcdir" "$abs_top_srcdir/common/rpc/sandbox.proto" \
		<<<'stream: "exit" exit_code: 3 done: true' >"$dir/exit"
	for how in "" --json; do
		peer "frame 20" "reply 1020 $dir/created" "frame 30" "reply 1035 $dir/exit"
		# shellcheck disable=SC2086
		asks 3 --timeout 30 $how sandbox launch true
		done_well
		wanted=$'{"id":"7","stdout":"","stderr":"","exit_code":3}\n'
		same "sandbox launch $how" "${how:+$wanted}"
		peer "frame 20" "reply ffff $dir/busy"
		# shellcheck disable=SC2086
		asks 1 --timeout 30 $how sandbox launch true
		done_well
		complains "sandbox launch $how, an Error frame" 'error 503: busy$'
	done
	peer "frame 20" "reply 1020 $dir/created" "frame 30" "reply ffff $dir/busy"
	asks 1 --timeout 30 --json sandbox launch true
	done_well
	complains "sandbox launch, an Error frame to the run" 'error 503: busy$'
	rm -f "$dir/s"
	asks 1 --timeout 30 --json sandbox launch true
	complains "sandbox launch, no daemon" 'connect: No such file or directory$'
	peer "frame 20" eof
	asks 1 --timeout 0.2 --json sandbox launch true
	complains "sandbox launch, no answer" 'no reply: Connection timed out$'
	done_well
}

@test "no command is missing above" {
	while IFS=$'\t' read -r _ verb _; do
		[ "$verb" = - ] || grep -Eq "(^|[[:space:]])$verb( |\$)" <(sed -n '/^@test/,$p' "$BATS_TEST_FILENAME") ||
			{ echo "$verb: in no row"; return 1; }
	done < <(gb --dump-options vsock-rpc)
}
