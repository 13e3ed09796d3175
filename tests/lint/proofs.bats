#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# docs/compatibility.md: each request of the protocol has a row, and each test that a row names is there.
load ../lib.bash

page=$abs_top_srcdir/docs/compatibility.md

# titles FILE: the names of its tests, a line each.
titles() {
	case $1 in
	*.bats) sed -n -E 's/^@test "(.*)" \{$/\1/p' "$1" ;;
	*.c) sed -n -E 's/.*cmocka_unit_test[a-z_]*\(([a-z0-9_]+).*/\1/p' "$1" | tr _ ' ' ;;
	esac
}

@test "each request has a row" {
	missing=
	while IFS=, read -r _ name number _; do
		number=${number// /}
		awk -v wanted=$((number)) -F'|' '
			function value(text,  n, i) { n = 0; for (i = 3; i <= length(text); i++) n = n * 16 + index("0123456789ABCDEF", toupper(substr(text, i, 1))) - 1; return n }
			{ count = split($2, parts, ", *")
			  for (p = 1; p <= count; p++) {
				gsub(/ /, "", parts[p])
				ends = split(parts[p], end, "–")
				if (end[1] ~ /^0x/ && wanted >= value(end[1]) && wanted <= value(end[ends])) found = 1
			  } }
			END { exit !found }' "$page" || missing+="$name ($number)"
	done < <(grep '^GB_REQUEST(' "$abs_top_srcdir/common/rpc/wire.def")
	echo "without a row:$missing"
	[ -z "$missing" ]
}

@test "each of the reference's 98 weaknesses has one row" {
	numbers=$(sed -n '/^## The reference/,$ s/^| \([0-9–]*\) |.*/\1/p' "$page" | while IFS=– read -r first last; do
		seq "$first" "${last:-$first}"
	done)
	diff <(seq 1 98) - <<<"$numbers"
}

@test "each test that is named is there" {
	wrong=
	named=0
	while IFS= read -r proof; do
		proof=$(sed -E 's/ *\([^)]*\)//g; s/^ *//; s/ *$//' <<<"$proof")
		file=${proof%%:*}
		found=$(ls "$abs_top_srcdir/tests/$file".bats "$abs_top_srcdir/tests/$file".c 2>/dev/null || true)
		[ -n "$found" ] || { wrong+="; $file: no such file"; continue; }
		named=$((named + 1))
		[ "$file" != "$proof" ] || continue
		while IFS= read -r title; do
			titles "$found" | grep -qF -- "$title" || wrong+="; $file: no \"$title\""
		done < <(sed 's/, */\n/g' <<<"${proof#*: }")
	done < <(awk -F' *\\| *' '/^\|/ && NF >= 5 && $(NF - 1) ~ /^[a-z]+\/[a-z]/ { print $(NF - 1) }' "$page" | sed 's/; */\n/g')
	echo "$named proofs; wrong$wrong"
	[ "$named" -gt 140 ]
	[ -z "$wrong" ]
}
