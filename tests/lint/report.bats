#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The one report of make bench and make torture, of benches that are made up here.
load ../lib.bash

setup()
{
	command -v jq >/dev/null || skip "jq is not installed (tools/install-deps test)"
	cd "$BATS_TEST_TMPDIR"
	export GUESTBOX
	# program NAME: a bench of what stdin says
	program()
	{
		{ printf '#!/bin/bash\n. %q\n' "$abs_top_srcdir/bench/lib.bash"; cat; } >"$1" && chmod +x "$1"
	}
	program race <<-'END'
		printf 'lap\tms\tguestbox\t%s\n' 30 10 20 40 | bench_results
		bench_result lap ms tortoise 100
		bench_result lap ms 'ha<re' 12.5
		bench_target lap at-most 0.5 tortoise
		bench_target lap at-most 1.2 'ha<re'
		bench_target lap at-most 25
		bench_result rate MiB/s guestbox 300
		bench_result rate MiB/s tortoise 100
		bench_target rate at-least 1.5 tortoise
		bench_target height at-most 3
		bench_fact accelerator tcg
		echo "text for people"
	END
	program broken <<<'echo "it | broke"; exit 7'
	program half <<<'bench_done "one half"; echo "the other: gone"; echo "  | a console"; exit 3'
	program left-out <<<'bench_skip "no hare here"; bench_done "nothing"'
}

report() { run "$abs_top_srcdir/bench/report" --dir out "$@"; echo "$output"; }
field() { jq -r "$1" out/report.json; }

@test "figures are medians; a target is met or missed by them" {
	report ./race
	[ "$status" -eq 0 ]
	[[ $output == *"text for people"* ]]
	[ "$(field '.figures[0] | [.bench, .what, .unit, .who, .value, .least, .most, .n] | join(" ")')" = \
		"race lap ms guestbox 25 10 40 4" ]
	[ "$(field '[.figures[].who] | join(" ")')" = "guestbox tortoise ha<re guestbox tortoise" ]
	[ "$(field '[.targets[] | "\(.what)/\(.peer): \(.ratio) \(.met)"] | sort | join(", ")')" = \
		"height/null: null null, lap/ha<re: 2 false, lap/null: 25 true, lap/tortoise: 0.25 true, rate/tortoise: 3 true" ]
	[ "$(field .machine.accelerator)" = tcg ]
	[ "$(field .machine.cpus)" = "$(nproc)" ]
	grep -qF '| lap | 25 ms (10 to 40) |  |  | at most 25 ms | met |' out/report.md
	grep -qF '|  |  | tortoise: 100 ms | 0.25 | at most 0.5 | met |' out/report.md
	grep -qF '|  |  | ha<re: 12.5 ms | 2 | at most 1.2 | **missed** |' out/report.md
	grep -qF '| rate | 300 MiB/s | tortoise: 100 MiB/s | 3 | at least 1.5 | met |' out/report.md
	grep -qF '4 times better, target met' out/report.svg
	grep -qF '2 times worse, target missed' out/report.svg
	grep -qF 'beside ha&lt;re' out/report.svg
	not grep -qE 'ha<re|null' out/report.svg
}

@test "one that fails is a row that says so, the others are there, and the status is 1" {
	report ./broken ./race ./left-out
	[ "$status" -eq 1 ]
	grep -qF '| broken | **failed** (status 7) |' out/report.md
	grep -qF '| left-out | skipped: no hare here |' out/report.md
	[ "$(field '[.runs[].bench] | sort | join(" ")')" = "broken left-out race" ]
	[ "$(field '.figures | length')" -eq 5 ]
	[ "$(cat out/broken.log)" = "it | broke" ]
}

@test "--torture: what each has done; its last line where it said nothing or failed; --add keeps rows, a new run drops them" {
	report --torture ./left-out
	[ "$status" -eq 0 ]
	report --torture --add ./broken ./half ./race
	[ "$status" -eq 1 ]
	grep -qxF '1 of 4 proofs ran whole and ended well.' out/report.md
	[ "$(field '.runs[0].code')" = "$(git -C "$abs_top_srcdir" describe --always --dirty=' and changes' 2>/dev/null)" ]
	grep -qE '^\| broken \| \*\*failed\*\* \(status 7\) \| [0-9]+ s \| [0-9., ]+ \| it \\\| broke \|' out/report.md
	grep -qE '^\| left-out \| skipped: no hare here \| [0-9]+ s \| [0-9., ]+ \| nothing \|' out/report.md
	grep -qE '^\| half \| \*\*failed\*\* \(status 3\) \| [0-9]+ s \| [0-9., ]+ \| one half; the other: gone \|' out/report.md
	grep -qE '^\| race \| ok \| [0-9]+ s \| [0-9., ]+ \| text for people \|' out/report.md
	grep -qF "$(nproc) processors, " out/report.svg
	grep -q 's, failed</text>' out/report.svg
	report --torture --add ./race # what failed in earlier runs is told, and is not this one's
	[ "$status" -eq 0 ]
	grep -qF '| broken | **failed**' out/report.md
	report --torture ./left-out
	[ "$status" -eq 0 ]
	not grep -q broken out/report.md
}

@test "--jobs: proofs side by side, each with a row of its own; one that fails is the failure of all" {
	mkfifo here there
	program ping <<<'echo to >here; read -r word <there; [ "$word" = fro ] && echo "met pong"'
	program pong <<<'read -r word <here; echo fro >there; [ "$word" = to ] && echo "met ping"'
	run timeout 120 "$abs_top_srcdir/bench/report" --dir out --torture --jobs 2 ./broken ./ping ./pong ./left-out
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"ping: met pong"* && $output == *"pong: met ping"* ]]
	[ "$(field '[.runs[] | "\(.bench) \(.status)"] | join(", ")')" = "broken 7, left-out 0, ping 0, pong 0" ]
	run timeout 120 "$abs_top_srcdir/bench/report" --dir out --torture --jobs=9 ./ping ./pong
	[ "$status" -eq 0 ]
}

@test "a proof's mounts are its own" {
	[ "$(id -u)" -eq 0 ] || skip "needs root: mounts"
	mkdir place
	program mounter <<<'mount -t tmpfs none place && touch place/file && grep -c "$PWD/place " /proc/self/mountinfo'
	report --torture ./mounter
	[ "$status" -eq 0 ]
	[ "$(cat out/mounter.log)" = 1 ]
	silent ls place
	not grep "$PWD/place " /proc/self/mountinfo
}

@test "bad usage says what is missing" {
	run "$abs_top_srcdir/bench/report" --torture
	[ "$status" -eq 2 ]
	[[ $output == *"which --dir"* ]]
	run "$abs_top_srcdir/bench/report" --dir out --fast ./race
	[ "$status" -eq 2 ]
	[[ $output == *"--fast: unknown option"* ]]
	run "$abs_top_srcdir/bench/report" --dir out --torture --jobs 0 ./race
	[ "$status" -eq 2 ]
	[[ $output == *"--jobs: '0': not a number"* ]]
}
