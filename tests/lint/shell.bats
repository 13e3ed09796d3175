#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
load ../lib.bash

@test "every shell script of ours is clean for shellcheck" {
	command -v shellcheck >/dev/null || skip "shellcheck is not installed"
	cd "$abs_top_srcdir"
	scripts=()
	while read -r f; do
		case $f in build/* | build-aux/*) continue ;; esac
		head -c 64 "$f" | head -1 | grep -qE '^#!.*\b(sh|bash|ash)\b' && scripts+=("$f")
	done < <(git ls-files 2>/dev/null || find . -type f -not -path './build*' -printf '%P\n')
	for f in tests/*.bash tests/*/*.bash completions/guestbox; do [ -e "$f" ] && scripts+=("$f"); done
	[ ${#scripts[@]} -gt 1 ]
	run shellcheck -x -P .:SCRIPTDIR "${scripts[@]}"
	echo "$output"
	[ "$status" -eq 0 ]
}
