# shellcheck shell=bash disable=SC2016 # the variables in jq's programs are jq's
# SPDX-License-Identifier: MIT
# What benches and long proofs share: beside what they print for people, they say it to bench/report, a JSON object a line,
# in the file $GB_BENCH_OUT. Without that variable these functions say nothing.
#
# A figure: {"bench", "what", "unit", "who", "value" (the median), "least", "most", "n"}. WHO is guestbox or a peer; a unit
# that ends in /s is better when there is more of it, any other when there is less.

gb_bench_name=${GB_BENCH_NAME:-$(basename "$0")} # one that runs another is the one that was asked for

gb_bench_say() # JQ-ARGUMENT...: an object made by jq
{
	[ -n "${GB_BENCH_OUT:-}" ] || return 0
	jq -n -c --arg bench "$gb_bench_name" "$@" >>"$GB_BENCH_OUT"
}

# bench_results: samples from stdin, a line each: WHAT, UNIT, WHO, VALUE, with tabs between. One figure for each WHAT and WHO.
bench_results()
{
	[ -n "${GB_BENCH_OUT:-}" ] || { cat >/dev/null; return; }
	jq -R -s -c --arg bench "$gb_bench_name" '
		[splits("\n") | select(. != "") | split("\t") | { what: .[0], unit: .[1], who: .[2], value: (.[3] | tonumber) }] |
		to_entries | group_by([.value.what, .value.who]) | sort_by(.[0].key)[] |
		(map(.value.value) | sort) as $v | ($v | length) as $n |
		{ bench: $bench, what: .[0].value.what, unit: .[0].value.unit, who: .[0].value.who,
			value: (($v[($n - 1) / 2 | floor] + $v[$n / 2 | floor]) / 2), least: $v[0], most: $v[-1], n: $n }' >>"$GB_BENCH_OUT"
}

# bench_result WHAT UNIT WHO VALUE...
bench_result()
{
	local value
	for value in "${@:4}"; do printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$value"; done | bench_results
}

# bench_target WHAT at-most|at-least NUMBER [PEER]: what guestbox is to reach; with a PEER, NUMBER times its figure.
bench_target()
{
	case $2 in at-most | at-least) ;; *) echo "bench_target: $2?" >&2; return 1 ;; esac
	gb_bench_say --arg what "$1" --arg bound "$2" --argjson number "$3" --arg peer "${4:-}" \
		'{ bench: $bench, what: $what, target: { bound: $bound, number: $number, peer: (if $peer == "" then null else $peer end) } }'
}

# bench_done TEXT: what a proof has done ("1,000 disks set up").
bench_done() { gb_bench_say --arg text "$*" '{ bench: $bench, done: $text }'; }

# bench_skip WHY: it, or a part of it, cannot run here. Says so to people, too.
bench_skip()
{
	echo "skipped: $*"
	gb_bench_say --arg text "$*" '{ bench: $bench, skipped: $text }'
}

# bench_fact NAME VALUE: something about the machine that only the bench knows ("accelerator tcg").
bench_fact() { gb_bench_say --arg name "$1" --arg value "$2" '{ bench: $bench, fact: { name: $name, value: $value } }'; }

# bench_cc ARG...: the C compiler, which may be more than one word.
bench_cc()
{
	local cc
	read -r -a cc <<<"${CC:-cc}"
	"${cc[@]}" -O2 "$@"
}

# bench_dynamic: a tree that is built dynamically, with all applets and the programs of the tests: this one, or one that is
# configured and made beside this static one. Its path.
bench_dynamic()
{
	local tree=${abs_top_builddir:?}
	if grep -q '^GB_LDFLAGS = .*-static' "$tree/Makefile"; then
		tree=$tree/build/initfs
		mkdir -p "$tree"
		if ! (flock 9 && cd "$tree" && { [ -e Makefile ] || "${abs_top_srcdir:?}/configure" -q; } && "${MAKE:-make}" -s) \
			>"$tree.log" 2>&1 9>"$tree.lock"; then
			tail -n 5 "$tree.log" >&2
			return 1
		fi
	fi
	echo "$tree"
}

# bench_programs FILE...: makes these programs of the tests; prints the tree that has them. One make at a time is in that tree.
bench_programs()
{
	local tree
	tree=$(bench_dynamic) || return
	(flock 9 && "${MAKE:-make}" -s -C "$tree" "$@") 9>"$tree.lock" >&2 && echo "$tree"
}

# bench_initfs: the guestbox that has initfs. The static binary has not.
bench_initfs()
{
	local tree
	if "$GUESTBOX" --list | grep -qx initfs; then
		echo "$GUESTBOX"
		return
	fi
	tree=$(bench_dynamic) && echo "$tree/guestbox"
}
