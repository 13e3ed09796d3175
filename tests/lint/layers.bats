#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Includes point only down the list of rooms in STYLE.md.
load ../lib.bash

allowed() {
	case $1 in
	base) echo base ;;
	sys) echo base sys ;;
	mount) echo base sys mount ;;
	btrfs) echo base sys mount btrfs ;;
	power) echo base sys mount power ;;
	net) echo base sys net ;;
	loop) echo base loop ;;
	sandbox) echo base sys mount btrfs net loop rpc sandbox ;;
	initfs) echo base sys initfs ;;
	proxy) echo base loop proxy ;;
	rpc) echo base sys net loop rpc ;;
	esac
}

@test "common/ includes only its own room and rooms below" {
	wrong=
	cd "$abs_top_srcdir"
	for room in common/*/; do
		room=$(basename "$room")
		for f in common/"$room"/*.[ch]; do
			[ -e "$f" ] || continue
			for to in $(sed -n 's|^#include "common/\([a-z]*\)/.*|\1|p' "$f"); do
				[[ " $(allowed "$room") " == *" $to "* ]] || wrong+=" $f->$to"
			done
			grep -q '^#include "applets/' "$f" && wrong+=" $f->applets"
		done
	done
	echo "upwards:$wrong"
	[ -z "$wrong" ]
}

@test "no applet includes another" {
	wrong=
	cd "$abs_top_srcdir"
	for f in $(find applets -name '*.[ch]'); do
		own=$(dirname "$f")
		for to in $(sed -n 's|^#include "\(applets/[^"]*\)".*|\1|p' "$f"); do
			case $to in applets/applet.h | applets/help.h) continue ;; esac
			[ "$(dirname "$to")" = "$own" ] && [ "$own" != applets ] || wrong+=" $f->$to"
		done
	done
	echo "across:$wrong"
	[ -z "$wrong" ]
}

@test "common/ neither exits nor prints" {
	cd "$abs_top_srcdir"
	run grep -nE '\b(exit|printf|puts|perror|err|errx|warn|warnx)\(' -r common --include='*.c'
	echo "$output"
	[ "$status" -eq 1 ]
}

@test "the mount system calls are made in common/mount only" {
	cd "$abs_top_srcdir"
	# Comments and strings may name them.
	run bash -c 'grep -rlE "mount|pivot_root" applets common --include="*.c" | while read -r f; do
		sed -E "s/\"([^\"\\\\]|\\\\.)*\"//g; s@/\*.*@@; s@^[[:space:]]*\*.*@@" "$f" |
			grep -nE "(^|[^_a-z.>])(mount|umount2?|pivot_root|fsopen|fsmount|move_mount|open_tree|mount_setattr)\(" |
			sed "s|^|$f:|"; done'
	output=$(grep -v '^common/mount/' <<<"$output" || true)
	echo "$output"
	[ -z "$output" ]
}
