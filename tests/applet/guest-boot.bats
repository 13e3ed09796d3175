#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-boot and the init scripts' shared part, as far as no machine is needed.
load ../lib.bash

setup() {
	need_applet guest-boot
	T=$BATS_TEST_TMPDIR
}

@test "bad command lines" {
	fails 2 "missing verb" gb guest-boot
	fails 2 "unknown verb" gb guest-boot everything
	fails 2 "which modules" gb guest-boot modules
	fails 2 "port name" gb guest-boot port
	fails 2 "wait" gb guest-boot port --wait x name
	fails 2 "surplus" gb guest-boot cpu-cache x
	for verb in steps pseudo-fs modules port cpu-cache; do fails 2 "unknown option --nothing" gb guest-boot $verb --nothing; done
	fails 1 "/lib/modules/$(uname -r)" gb guest-boot modules gbtest-none
}

@test "steps: each is run and logged, what it prints a line a record; who failed is said; the rest goes on" {
	run gb guest-boot steps --log "json:$T/log" one printf 'a\nb\nlast' , two sh -c 'echo out; echo err >&2; exit 3' , \
		three sh -c 'kill -9 $$' , four "$T/none" , five true
	echo "$output"
	cat "$T/log"
	[ "$status" -eq 1 ]
	[ "$output" = "two three four" ]
	jq -r '"\(.level) \(.name) \(.text)"' "$T/log" >"$T/text"
	diff - "$T/text" <<-END
		4 guestbox one: a
		4 guestbox one: b
		4 guestbox one: last
		4 guestbox step one: done
		4 guestbox two: out
		4 guestbox two: err
		3 guestbox step two: failed with status 3: sh -c echo out; echo err >&2; exit 3
		3 guestbox step three: failed with status 137: sh -c kill -9 \$\$
		4 guestbox four: $T/none: No such file or directory
		3 guestbox step four: failed with status 127: $T/none
		4 guestbox step five: done
	END
}

@test "steps: an applet of ours needs no program of its own, and its failure is its own" {
	: >"$T/file"
	export GUESTBOX_TIMELINE=$T/timeline
	: >"$T/timeline"
	PATH=/nowhere run gb guest-boot steps --log stderr list mmapcat --verify "$T/file" , \
		usage mmapcat --nothing , missing mmapcat "$T/none"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"step list: done"* ]]
	[[ $output == *"usage: mmapcat: unknown option"*"step usage: failed with status 2: mmapcat --nothing"* ]]
	[[ $output == *"missing: mmapcat: $T/none: No such file or directory"*"step missing: failed with status 1"*"usage missing" ]]
	# The steps are marked, not what runs them.
	GUESTBOX_KMSG=/dev/null run gb boot-timeline -a --json
	[ "$(jq -r '.steps[].track' <<<"$output" | sort -u)" = mmapcat ]
}

@test "steps: who was started with SIGCHLD ignored sees how each ended all the same" {
	run env --ignore-signal=CHLD "$GUESTBOX" guest-boot steps --log stderr one false , two true
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"step one: failed with status 1: false"*"step two: done"*$'\none' ]]
}

@test "steps: one that cannot be started has failed, and the others go on" {
	run faulty clone:error=EAGAIN:when=1 guest-boot steps --log stderr one true , two echo out
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"step one: failed: fork: Resource temporarily unavailable"*"two: out"*"step two: done"*$'\none' ]]
	run faulty pipe2:error=EMFILE:when=1 guest-boot steps --log stderr one true , two true
	[ "$status" -eq 1 ]
	[[ $output == *"step one: failed: pipe: Too many open files"*"step two: done"*$'\none' ]]
}

@test "steps: a line without an end and one that is longer than a record of the log are whole" {
	run gb guest-boot steps --log "json:$T/log" long sh -c 'head -c 3000 /dev/zero | tr "\0" x; echo; printf "a\0b\nc"'
	[ "$status" -eq 0 ]
	[ "$(jq -r 'select(.text | startswith("long: x")) | .text[6:]' "$T/log" | tr -d '\n' | wc -c)" -eq 3000 ]
	[ "$(jq -r '.text' "$T/log" | tail -n 3 | tr '\n' '|')" = "long: a|long: c|step long: done|" ]
}

@test "steps: nothing is run when one of them is none" {
	for words in "" "one" "one true ," ", one true" "one true , two" "one true , , two true"; do
		rm -f "$T/ran"
		# shellcheck disable=SC2086 # words
		fails 2 "each step is a name and a command" gb guest-boot steps --log stderr first touch "$T/ran" , $words
		[ ! -e "$T/ran" ]
	done
	fails 2 "log target" gb guest-boot steps --log nowhere one true
}

@test "modules: a folder that is none, a list that is missing, a module that is not there" {
	fails 1 "$T/modules.dep" gb guest-boot modules --dir "$T" x
	echo 'kernel/a.ko:' >"$T/modules.dep"
	fails 1 "$T/list" gb guest-boot modules --dir "$T" --list "$T/list"
	fails 1 "b: no such module below $T" gb guest-boot modules --dir "$T" b
	printf '# none\n\n  \n' >"$T/list"
	GUESTBOX_CMDLINE=/dev/null gb guest-boot modules --dir "$T" --list "$T/list"
	echo "guestbox.modules=x,y" >"$T/cmdline"
	GUESTBOX_CMDLINE=$T/cmdline run gb guest-boot modules --dir "$T" --list "$T/list"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"x: no such module"*"y: no such module"* ]]
	fails 1 "$T/kernel/a.ko" gb guest-boot modules --dir "$T" a
}

@test "port: none of that name" {
	run gb guest-boot port --wait 0 org.guestbox.none
	[ "$status" -eq 1 ]
	[ -z "$output" ]
}

@test "cpu-cache: what is whole is left alone" {
	mkdir -p "$T/sys/devices/system/cpu/cpu0/cache/index0"
	echo 32K >"$T/sys/devices/system/cpu/cpu0/cache/index0/size"
	run gb guest-boot cpu-cache --root "$T"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ ! -e "$T/run" ]
}

# shell COMMANDS: with the init scripts' functions, in an ash as theirs.
shell() {
	command -v busybox >/dev/null || skip "busybox is not installed"
	busybox sh -c "PATH=$T/bin:\$PATH; . '$abs_top_srcdir/init/functions'; $1"
}

@test "the init scripts' steps: what failed is remembered, in order, and the script goes on" {
	mkdir "$T/bin"
	cat >"$T/bin/guest-boot" <<-'END'
		#!/bin/sh
		case $2 in bad) echo "bad worse"; exit 1 ;; crash) kill -9 $$ ;; esac
	END
	chmod +x "$T/bin/guest-boot"
	run shell 'complain() { echo "$*"; }; steps good; steps bad || echo "no"; steps crash; echo "$failed|"'
	echo "$output"
	[[ $output == *"no"*"steps: failed with status 137: crash"*"bad worse steps|" ]]
}

@test "an interpreter for x86-64 is registered on arm64 only, with its magic and mask" {
	mkdir -p "$T/bin" "$T/misc" "$T/arcbox"
	: >"$T/misc/status"
	shell "binfmt_misc=$T/misc; binfmt rosetta CF '\xff\xff\xff\xff\xff\xfe\xfe\x00\xff' /media/rosetta/rosetta"
	want=':rosetta:M:0:\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00:\xff\xff\xff\xff\xff\xfe\xfe\x00\xff:/media/rosetta/rosetta:CF'
	[ "$(cat "$T/misc/register")" = "$want" ]
	# The masks of the two, as the reference has them.
	grep -cF 'binfmt FEX-x86_64 POCF '"'"'\xff\xff\xff\xff\xff\xfe\xfe\x00\x00\x00\x00\xff\xff\xff\xff\xff\xfe\xff\xff\xff'"'" \
		"$abs_top_srcdir/init/functions"
	grep -cF 'binfmt rosetta CF '"'"'\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'"'" \
		"$abs_top_srcdir/init/functions"
	# Once.
	: >"$T/misc/rosetta"
	rm "$T/misc/register"
	shell "binfmt_misc=$T/misc; binfmt rosetta CF x y"
	[ ! -e "$T/misc/register" ]
}

@test "the words of the kernel command line that are for the init scripts" {
	run shell 'read() { eval "$2=\"a guestbox.shell guestbox.run=/x guestbox.data=none guestbox.run=/y*z guestbox.root=LABEL=r\""; }
		read_command_line </dev/null; echo "$shell|$run|$data|$root|"'
	echo "$output"
	[ "$output" = "1| /x /y*z|none|LABEL=r|" ]
}
