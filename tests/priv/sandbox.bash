# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154,SC2016
# For tests of sandboxes: a Btrfs of their own, a daemon in namespaces of its own (mounts, network, pids), and a root file
# system of busybox. Sourced by bats files after lib.bash and disk.bash.

# sandbox_inside SCRIPT: runs it with a daemon on unix:$T/s, PID $daemon. $R is the root file system; sb is the client.
# The machine's network and cgroups stay as they are: the second version of cgroups is mounted in here, and what is made
# in it is looked for afterwards.
sandbox_inside() {
	export -f not silent
	T=$T unshare --pid --net --fork --mount-proc --kill-child bash -c '
		set -eu
		trap "echo failed at: \$BASH_COMMAND" ERR
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		mkdir -p /run/guestbox
		mount -t tmpfs tmpfs /run/guestbox
		ip link set lo up
		R=$T/data/rootfs
		# What this store has in /run and in the cgroups, by the FNV-1a of its name.
		name=$T/data/sandboxes h=2166136261 quote=$(printf "\047")
		for ((i = 0; i < ${#name}; i++)); do printf -v c %d "$quote${name:i:1}"; h=$(((h ^ c) * 16777619 & 0xffffffff)); done
		printf -v h %08x $h
		C=/sys/fs/cgroup/guestbox-sandbox/$h RUN=/run/guestbox/sandbox/$h
		sb() { timeout $((2 * ${PATIENCE:-120})) "$GUESTBOX" vsock-rpc --connect "unix:$T/s" sandbox "$@"; }
		daemon_start() {
			local place=(--sandbox-dir "$T/data/sandboxes")
			[ -z "${daemon_place-x}" ] && place=()
			until_ not pgrep -x rpcd-front >/dev/null # of one that was killed: it has the address until it sees that
			rm -f "$T/ready"; mkfifo "$T/ready"
			# what the sanitizer keeps of freed memory is not what the daemon holds
			PATH=${daemon_path-$PATH} ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=8 ${daemon_under-} \
				"$GUESTBOX" vsock-rpcd --listen "unix:$T/s" "${place[@]}" --runtime-dir "$T/runtime" \
				--notify-fd 9 "$@" 9>"$T/ready" 2>>"$T/log" 3>&- &
			daemon=$!
			read -r _ <"$T/ready"
		}
		# until COMMAND...: waits for it to succeed, as long as any machine may take.
		until_() { local i; for i in $(seq ${PATIENCE:-600}); do "$@" && return; sleep 0.1; done; echo "never: $*"; return 1; }
		state_is() { [ "$(sb inspect --json "$1" | jq -r .state)" = "$2" ]; }
		# the names in a store: layers, and what else has WORD in its path
		subvolumes() (set -o pipefail; btrfs subvolume list $T/data | sed -n "\|$1|p")
		# whether anything of a sandbox runs (a pattern of pgrep -x has 15 letters at most)
		processes() { pgrep -x crun || pgrep -x sleep || pgrep -x "\.guestbox-pid1"; }
		# runs ID PATTERN: whether a process with this command line is in it.
		runs() { sb run "$1" ps -o args | grep -qx "$2"; }
		refused() { # CODE TEXT COMMAND...
			local code=$1 text=$2 out; shift 2
			if out=$("$@" 2>&1); then echo "not refused: $*: $out"; return 1; fi
			[[ $out == *"error $code: "*"$text"* ]] || { echo "for $*: $out"; return 1; }
		}
		daemon_start
		'"$1"'
		kill $daemon; wait $daemon || true
	' 3>&-
}

# The OCI runtime is crun, or what SANDBOX_RUNTIME says.
SANDBOX_RUNTIME=${SANDBOX_RUNTIME:-crun}

# What a file of tests does, unless it says otherwise.
setup() { sandbox_setup; }
teardown() { sandbox_teardown; }

# Called in setup: $T with a Btrfs at $T/data and a root file system in the subvolume $T/data/rootfs.
sandbox_setup() {
	need_applet vsock-rpcd
	need_applet vsock-rpc
	command -v "$SANDBOX_RUNTIME" >/dev/null || skip "no $SANDBOX_RUNTIME"
	T=$(mktemp -d /tmp/gb-sb-XXXXXX) # short, for the socket
	mkdir "$T/img" "$T/data" "$T/runtime"
	ln -s "$(command -v "$SANDBOX_RUNTIME")" "$T/runtime/"
	mount -t tmpfs -o size=4G none "$T/img"
	truncate -s 2G "$T/img/disk"
	mkfs.btrfs -q "$T/img/disk"
	mount -o loop "$T/img/disk" "$T/data"
	btrfs -q subvolume create "$T/data/rootfs"
	sandbox_rootfs "$T/data/rootfs"
}

# Before sandbox_inside: a start that finds $T/hold adds a line to $T/held, and goes on when there is $T/go.
sandbox_hold_starts() {
	rm "$T/runtime/$SANDBOX_RUNTIME"
	cat >"$T/runtime/crun" <<-END
		#!/bin/sh
		case " \$* " in *" run "*) if [ -e "$T/hold" ]; then echo held >>"$T/held"; until [ -e "$T/go" ]; do sleep 0.1; done; fi ;; esac
		exec $(command -v crun) "\$@"
	END
	chmod +x "$T/runtime/crun"
}

sandbox_rootfs() {
	mkdir -p "$1"/{bin,etc,tmp,root,dev,proc,sys,var}
	cp /bin/busybox "$1/bin/"
	local applet
	for applet in $(/bin/busybox --list | grep -vx busybox); do ln -s busybox "$1/bin/$applet"; done
	printf 'root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\nbob:x:1000:\nwheel:x:10:bob\n' >"$1/etc/group"
}

sandbox_teardown() {
	local loop
	[ -n "${T:-}" ] || return 0
	[ ! -e "$T/log" ] || sed 's/^/log: /' "$T/log" >&2
	loop=$(findmnt -no SOURCE "$T/data")
	umount "$T/data"
	losetup -d "$loop" 2>/dev/null || true
	until_true umount "$T/img" # whoever looks at all loop devices has held this one for a moment
	rm -rf "$T"
}
