#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The multicall program itself: dispatch, links, help, statuses.
load ../lib.bash

setup() { dir=$BATS_TEST_TMPDIR; }

@test "--list names each applet once, and each answers to --help and --version" {
	run gb --list
	[ "$status" -eq 0 ]
	[ -n "$output" ]
	[ "$(printf '%s\n' "$output" | sort | uniq -d)" = "" ]
	for applet in $output; do
		run gb "$applet" --help
		[ "$status" -eq 0 ]
		[[ ${lines[0]} == "Usage: $applet"* ]]
		run gb "$applet" --version
		[ "$status" -eq 0 ]
		[[ $output == "guestbox "* ]]
	done
}

@test "dispatch by a link's name, by a path, and as a login shell would call it" {
	applet=$(gb --list | head -1)
	ln -s "$GUESTBOX" "$dir/$applet"
	run "$dir/$applet" --help
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == "Usage: $applet"* ]]
	run bash -c "exec -a '-$applet' '$GUESTBOX' --help"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == "Usage: $applet"* ]]
}

@test "the options end at --: what follows is an applet" {
	applet=$(gb --list | head -1)
	run gb -- "$applet" --help
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == "Usage: $applet"* ]]
	run gb -- frobnicate
	[ "$status" -eq 127 ]
	fails 2 "missing applet" gb --
}

@test "an unknown applet is one line and status 127, by argument and by name" {
	run gb frobnicate
	[ "$status" -eq 127 ]
	[[ $output == *'unknown applet "frobnicate"'* ]]
	ln -s "$GUESTBOX" "$dir/frobnicate"
	run "$dir/frobnicate"
	[ "$status" -eq 127 ]
	run gb --help frobnicate
	[ "$status" -eq 127 ]
	run gb --dump-options frobnicate
	[ "$status" -eq 127 ]
}

@test "wrong and surplus words are usage errors, status 2" {
	fails 2 "missing applet" gb
	fails 2 "unknown option --frob" gb --frob
	fails 2 "surplus argument" gb --list x
	fails 2 "missing folder" gb --install
	fails 2 "goes with --install" gb -s --list
	fails 2 "only one of" gb --list --dump-options
	fails 1 "No such file or directory" gb --install "$dir/none"
	fails 1 "Not a directory" gb --install "$GUESTBOX"
}

@test "--install makes links, twice, hard and symbolic, with aliases only on request" {
	cp "$GUESTBOX" "$dir/guestbox-copy"
	mkdir "$dir/hard" "$dir/soft"
	for _ in 1 2; do "$dir/guestbox-copy" --install "$dir/hard"; done
	[ "$(ls "$dir/hard")" = "$(gb --list | sort)" ]
	silent find "$dir/hard" -name '.*.[0-9]*'
	for applet in $(gb --list); do [ "$dir/hard/$applet" -ef "$dir/guestbox-copy" ]; done
	"$dir/guestbox-copy" --install -s "$dir/soft"
	for applet in $(gb --list); do [ -L "$dir/soft/$applet" ]; done
	# in its own folder the links are relative, so that the folder may move
	"$dir/guestbox-copy" --install -s "$dir"
	[ "$(readlink "$dir/$(gb --list | head -1)")" = guestbox-copy ]
	if gb --list | grep -qx arcmount; then
		mkdir "$dir/more"
		"$dir/guestbox-copy" --install --aliases "$dir/more"
		for name in $(gb --list) mount umount pivot_root switch_root; do [ "$dir/more/$name" -ef "$dir/guestbox-copy" ]; done
		[[ $("$dir/more/umount" --help) == "Usage: umount"* ]]
		[[ $(gb --help mount) == "Usage: mount"* ]]
	fi
	# A name that something else has and that cannot be replaced: nothing half-made stays.
	mkdir -p "$dir/full/$(gb --list | head -1)/x"
	fails 1 "$dir/full/$(gb --list | head -1): " "$dir/guestbox-copy" --install "$dir/full"
	silent find "$dir/full" -name '.*.[0-9]*'
}

@test "output that cannot be written is a failure" {
	run bash -c "'$GUESTBOX' --list >/dev/full"
	[ "$status" -eq 1 ]
	[[ $output == *"standard output: No space left on device"* ]]
	run bash -c "'$GUESTBOX' --list >&-"
	[ "$status" -eq 1 ]
	[[ $output == *"standard output: Bad file descriptor"* ]]
}

@test "a standard descriptor that is closed becomes no other file's: what is printed cannot reach a disk" {
	need_applet guest-init
	"$GUESTBOX" guest-init -- sh -c 'fds=$(ls -l /proc/$$/fd); echo "$fds" >"$1"' - "$dir/fds" <&- >&- 2>&-
	cat "$dir/fds"
	[ "$(grep -cE ' [012] -> /dev/null$' "$dir/fds")" -eq 3 ]
}

@test "--dump-options has six fields a line and lists every option of every help" {
	gb --dump-options >"$dir/dump"
	run awk -F'\t' 'NF != 6' "$dir/dump"
	[ -z "$output" ]
	grep -q $'^guestbox\t-\t-\tlist\t' "$dir/dump"
}

@test "bash completion offers applets, verbs and options that are there, from the program itself" {
	mkdir "$dir/bin"
	cp "$GUESTBOX" "$dir/bin/guestbox"
	"$dir/bin/guestbox" --install "$dir/bin"
	PATH=$dir/bin:$PATH run bash -c '
		. "$1"
		COMP_WORDS=(guestbox "") COMP_CWORD=1; _guestbox
		printf "%s\n" "${COMPREPLY[@]}" | sort >"$2/got"
		for applet in $(guestbox --list); do
			grep -qx -- "$applet" "$2/got" || { echo "missing $applet"; exit 1; }
			COMP_WORDS=("$applet" --) COMP_CWORD=1; _guestbox
			for o in $(guestbox --dump-options "$applet" |
				awk -F"\t" "\$2 == \"-\" && \$1 == \"$applet\" && \$4 != \"-\" { print \"--\" \$4 }"); do
				printf "%s\n" "${COMPREPLY[@]}" | grep -qx -- "$o" || { echo "$applet: missing $o"; exit 1; }
			done
			guestbox --dump-options "$applet" | awk -F"\t" "\$2 != \"-\" { print \$2 }" | sort -u >"$2/verbs"
			while IFS= read -r v <&9; do
				COMP_WORDS=("$applet")
				for word in $v; do # a verb may be of several words, each offered behind the one before
					COMP_CWORD=${#COMP_WORDS[@]} COMP_WORDS+=(""); _guestbox
					printf "%s\n" "${COMPREPLY[@]}" | grep -qx -- "$word" ||
						{ echo "$applet: missing $word of verb $v"; exit 1; }
					COMP_WORDS[COMP_CWORD]=$word
				done
				COMP_CWORD=${#COMP_WORDS[@]} COMP_WORDS+=(--); _guestbox
				for o in $(guestbox --dump-options "$applet" |
					awk -F"\t" "\$2 == \"$v\" && \$4 != \"-\" { print \"--\" \$4 }"); do
					printf "%s\n" "${COMPREPLY[@]}" | grep -qx -- "$o" || { echo "$applet $v: missing $o"; exit 1; }
				done
			done 9<"$2/verbs"
		done' _ "$abs_top_srcdir/completions/guestbox" "$dir"
	echo "$output"
	[ "$status" -eq 0 ]
}
