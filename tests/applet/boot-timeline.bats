#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# boot-timeline: from a kernel's log and a file of marks to text, JSON, a chart and a trace.
load ../lib.bash

setup() {
	need_applet boot-timeline
	T=$BATS_TEST_TMPDIR
	export GUESTBOX_TIMELINE=$T/timeline GUESTBOX_KMSG=$T/kmsg
	cat >"$GUESTBOX_KMSG" <<-'END'
		6,0,0,-;Linux version 6.1
		 SUBSYSTEM=none
		12,101,812345,-;guestbox: step kernel: done
		12,102,830000,-;guestbox: step pseudo-file-systems: done
		6,103,830001,-;virtio_blk: guestbox: step fake: done
		11,104,860500,-;guestbox: step data-disk: failed with status 3: btrfs-bootstrap
		12,105,862000,-;guestbox: step a<b&"c": done
		11,106,870000,-;guestbox: ready, degraded: failed: data-disk
	END
}

@test "text: each step, when it began and how long it took" {
	run gb boot-timeline
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 6 ]
	[[ ${lines[1]} =~ ^" "+"0.0 "+"812.3  <"#+" "+kernel$ ]]
	[[ ${lines[2]} =~ "812.3       17.7  ".*"  pseudo-file-systems"$ ]]
	[[ ${lines[3]} =~ "830.0       30.5  ".*"  data-disk (failed)"$ ]]
	[[ ${lines[5]} =~ "870.0 ".*"ready (failed)"$ ]]
}

@test "--json" {
	run gb boot-timeline --json
	echo "$output"
	[[ $output == '{"steps":[{"track":"init","name":"kernel","begin_usec":0,"end_usec":812345,"pid":0,"failed":false},'* ]]
	[[ $output == *'"name":"a<b&\"c\""'* ]]
	[[ $output == *'"ready_usec":870000}' ]]
}

@test "--svg is well-formed, and shows every step" {
	gb boot-timeline --svg >"$T/boot.svg"
	if command -v python3 >/dev/null; then
		python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$T/boot.svg"
	fi
	[ "$(grep -c '</text>$' "$T/boot.svg")" -ge 8 ]
	grep -q '>kernel  812.3 ms</text>' "$T/boot.svg"
	grep -q '>a&lt;b&amp;&quot;c&quot;  1.5 ms</text>' "$T/boot.svg"
	grep -q 'Ready after 870.0 ms: kernel 812.3 ms, the rest 57.7 ms' "$T/boot.svg"
	# No bar and no text begins outside of the picture.
	grep -oE ' x="[^"]*"' "$T/boot.svg" | grep -oE '[-0-9.]+' | awk '$1 < 0 || $1 > 960 { bad = 1 } END { exit bad || NR < 8 }'
}

@test "--svg: what the kernel does after its start is told apart, and what it does twice at once is counted once" {
	python3 - "$GUESTBOX_TIMELINE" <<-'END'
		import struct, sys
		with open(sys.argv[1], "wb") as f:
		    for begin, end, track in [(820, 840, b"kernel"), (830, 842, b"kernel"), (850, 851, b"arcmount"),
		                              (868, 880, b"kernel"), (881, 890, b"kernel"), (700, 800, b"kernel")]:
		        f.write(struct.pack("<IIQQ16s56s", 0x31544247, 1, begin * 1000000, end * 1000000, track, b"mount"))
	END
	gb boot-timeline --svg >"$T/boot.svg"
	# 820 to 842, 868 to ready (870); not what lies before or after.
	grep -q 'Ready after 870.0 ms: kernel 812.3 ms, its modules and mounts 24.0 ms, the rest 33.7 ms' "$T/boot.svg"
}

@test "--chrome has an event for each step" {
	run gb boot-timeline --chrome
	echo "$output"
	[ "$(grep -o '"ph":"X"' <<<"$output" | wc -l)" -eq 4 ]
	[ "$(grep -o '"ph":"i"' <<<"$output" | wc -l)" -eq 1 ]
	[[ $output == *'"name":"kernel","cat":"init","pid":1,"tid":0,"ts":0,"dur":812345'* ]]
}

@test "steps outlive the log they came from, and are not there twice" {
	: >"$GUESTBOX_TIMELINE"
	run gb boot-timeline --json
	first=$output
	run gb boot-timeline --json
	[ "$output" = "$first" ]
	: >"$GUESTBOX_KMSG"
	run gb boot-timeline --json
	echo "$output"
	[ "$output" = "$first" ]
}

@test "mark adds a step; applets add theirs when the file is there, and do not make it" {
	: >"$GUESTBOX_KMSG"
	gb mmapcat "$GUESTBOX_KMSG"
	[ ! -e "$GUESTBOX_TIMELINE" ]
	fails 1 "no step was recorded" gb boot-timeline
	gb boot-timeline mark "my step"
	gb mmapcat "$GUESTBOX_KMSG"
	run gb boot-timeline --json
	echo "$output"
	[[ $output == *'"track":"init","name":"my step"'* ]]
	[[ $output =~ '"track":"mmapcat","name":"mmapcat '[^\"]+'","begin_usec":'([0-9]+)',"end_usec":'([0-9]+) ]]
	[ "${BASH_REMATCH[1]}" -le "${BASH_REMATCH[2]}" ]
	# Before "ready" only, unless asked for.
	echo '12,1,1,-;guestbox: ready' >"$GUESTBOX_KMSG"
	run gb boot-timeline --json
	[[ $output != *mmapcat* ]]
	run gb boot-timeline -a --json
	[[ $output == *mmapcat* ]]
}

@test "the file is bounded, and marks of scripts still have room when applets have none" {
	gb boot-timeline mark first
	record=$(stat -c %s "$GUESTBOX_TIMELINE")
	truncate -s $((record * 512)) "$GUESTBOX_TIMELINE"
	gb mmapcat "$GUESTBOX_KMSG" >/dev/null
	[ "$(stat -c %s "$GUESTBOX_TIMELINE")" -eq $((record * 512)) ]
	gb boot-timeline mark second
	[ "$(stat -c %s "$GUESTBOX_TIMELINE")" -eq $((record * 513)) ]
	truncate -s $((record * 1024)) "$GUESTBOX_TIMELINE"
	fails 1 "no room for another step" gb boot-timeline mark third
	run gb boot-timeline -a --json
	[[ $output == *second* ]]
}

@test "a file of noise is read without harm" {
	head -c 100000 /dev/urandom >"$GUESTBOX_TIMELINE"
	run gb boot-timeline
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 6 ]
}

@test "things that are no files, and bad command lines" {
	rm "$GUESTBOX_KMSG"
	mkfifo "$GUESTBOX_TIMELINE"
	fails 1 "not a regular file" gb boot-timeline
	rm "$GUESTBOX_TIMELINE"
	ln -s /etc/hostname "$GUESTBOX_TIMELINE"
	fails 1 "$GUESTBOX_TIMELINE" gb boot-timeline mark x
	rm "$GUESTBOX_TIMELINE"
	fails 2 "only one of" gb boot-timeline --json --svg
	fails 2 "name" gb boot-timeline mark
	fails 2 "surplus" gb boot-timeline mark a b
	fails 2 "name" gb boot-timeline mark ""
	fails 2 "bytes" gb boot-timeline mark "$(printf '%060d' 0)"
	fails 2 "unknown verb" gb boot-timeline show
	[ ! -e "$GUESTBOX_TIMELINE" ]
}
