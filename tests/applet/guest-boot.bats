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

@test "an interpreter for x86-64 is registered on arm64 only, with its magic and mask" {
	mkdir -p "$T/bin" "$T/misc" "$T/arcbox"
	: >"$T/misc/status"
	shell "binfmt_misc=$T/misc; binfmt rosetta CF '\xff\xff\xff\xff\xff\xfe\xfe\x00\xff' /media/rosetta/rosetta"
	want=':rosetta:M:0:\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00:\xff\xff\xff\xff\xff\xfe\xfe\x00\xff:/media/rosetta/rosetta:CF'
	[ "$(cat "$T/misc/register")" = "$want" ]
	# The masks of the two, as the reference has them.
	grep -cF 'binfmt FEX-x86_64 POCF '"'"'\xff\xff\xff\xff\xff\xfe\xfe\x00\x00\x00\x00\xff\xff\xff\xff\xff\xfe\xff\xff\xff'"'" "$abs_top_srcdir/init/functions"
	grep -cF 'binfmt rosetta CF '"'"'\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'"'" "$abs_top_srcdir/init/functions"
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
