#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the pages, the manuals' examples, the examples and the scripts say of commands, files and targets is there.
load ../lib.bash

setup() { cd "${abs_top_srcdir:?}" || return; }

# commands: each of them, PLACE, TAB and words, that stands in a page between backquotes or in an indented line, in a manual
# as an example, or in a script. Quotes and what joins commands end one.
commands()
{
	awk '
	function emit(text,  n, i, parts) {
		n = split(text, parts, /[|;&()"\047]+| , | -- /)
		for (i = 1; i <= n; i++)
			if (parts[i] ~ /[a-z]/)
				print FILENAME ":" FNR "\t" parts[i]
	}
	FNR == 1 { fenced = 0; joined = "" }
	FILENAME ~ /\.md$/ {
		if (/^```/) { fenced = !fenced; next }
		if (fenced || /^(    |\t)/) { emit($0); next }
		n = split($0, parts, "`")
		for (i = 2; i <= n; i += 2) emit(parts[i])
		next
	}
	FILENAME ~ /^man\// { if (sub(/^\.Dl /, "")) { gsub(/\\-/, "-"); emit($0) } next }
	/^[ \t]*#/ { next }
	{
		sub(/[ \t]#.*/, "")
		joined = joined " " $0
		if (sub(/\\$/, "", joined)) next
		emit(joined)
		joined = ""
	}' README.md CONTRIBUTING.md STYLE.md docs/*.md man/*.[178] debian/*.service init/*.service \
		$(find examples init vm -type f ! -name '*.json' ! -name '*.service' ! -name '*.am' ! -name 'modules*' ! -name shares)
}

# verbs: each of them, after its applet and a tab.
verbs()
{
	local applet
	for applet in $(gb --list); do
		gb --help "$applet" | awk -F '  +' -v applet="$applet" '/^Verbs:/ { on = 1; next } /^$/ { on = 0 }
			on { print applet "\t" $2 }'
	done
	gb --dump-options | awk -F'\t' '$2 != "-" { print $1 "\t" $2 }' | sort -u
}

# wrong_commands: those among stdin that give an applet a verb or an option that it has not.
wrong_commands()
{
	awk -F'\t' '
	NF == 2 && FILENAME != "-" {
		n = split($2, word, " ")
		has_verbs[$1] = verb[$1, $2] = 1
		if (n > 1) begins[$1, word[1]] = begins[$1, word[1] " " word[2]] = 1
		next
	}
	FILENAME != "-" { applet[$1] = option[$1, $2, "--" $4] = option[$1, $2, "-" $3] = 1; next }
	{
		n = split($2, word, " ")
		for (i = 1; i <= n && !(word[i] in applet && word[i] != "guestbox"); i++)
			;
		# an argument of something else, or one of a list of names
		if (i > n || word[i - 1] ~ /^-/ || (i < n && word[i + 1] in applet)) next
		name = word[i]
		of = "-"
		value = 0 # whether the word before may have this one as its value
		for (i++; i <= n && word[i] != "--"; i++) {
			w = word[i]
			sub(/[.:]+$/, "", w)
			if (w ~ /^-/) {
				value = w !~ /=/
				sub(/=.*/, "", w)
				if (w !~ /^(--[a-z-]+|-[a-zA-Z])$/ || w == "--help" || w == "--version" || w == "-") continue
				if (!((name, of, w) in option) && !(of != "-" && (name, "-", w) in option))
					print $1 ": " name (of == "-" ? "" : " " of) " " w
				continue
			}
			if (!value && has_verbs[name] && w ~ /^[a-z][a-z0-9-]*$/ && (of == "-" || (name, of) in begins)) {
				next_of = of == "-" ? w : of " " w
				if ((name, next_of) in verb || (name, next_of) in begins) { of = next_of; continue }
				if (of == "-") { print $1 ": " name " " w; break }
			}
			# a command of its own begins
			if (!value && (name == "guest-init" || of ~ /^(steps|switch-root|sandbox (run|exec|launch|create))$/)) break
			value = 0
		}
	}' <(verbs) <(gb --dump-options) -
}

@test "each command in a page, a manual's example or a script has verbs and options that there are" {
	commands >"$BATS_TEST_TMPDIR/all"
	[ "$(grep -cE '(vsock-rpc|arcmount|btrfs-bootstrap|guest-[a-z]*) ' "$BATS_TEST_TMPDIR/all")" -gt 100 ]
	wrong=$(wrong_commands <"$BATS_TEST_TMPDIR/all")
	echo "$wrong"
	[ -z "$wrong" ]
}

@test "a verb and an option that are not there are found" {
	printf 'x:%s\t%s\n' 1 'vsock-rpc --connect unix:a sandbox create --image a --imagine b sh --this-is-its-own' \
		2 'guestbox arcmount mount --make-private a' 3 'arcmount bind --make-private a' 4 'GUESTBOX_RPC=x vsock-rpc sandbx ls' \
		5 'btrfs-bootstrap --plan -x' 6 'vsock-rpcd --listen-to a' 7 'mmapcat --help' \
		8 'vsock-rpc sandbox image import --replace a -' 9 'guest-init --respwan=3/4 sh -c x' >"$BATS_TEST_TMPDIR/all"
	run wrong_commands <"$BATS_TEST_TMPDIR/all"
	echo "$output"
	[ "$output" = "x:1: vsock-rpc sandbox create --imagine
x:3: arcmount bind --make-private
x:4: vsock-rpc sandbx
x:5: btrfs-bootstrap -x
x:6: vsock-rpcd --listen-to
x:9: guest-init --respwan" ]
}

# wrong_files: those among stdin that name a file of ours that is not there, or give a program of ours an option that it does
# not know. A test's name may be without its .bats or .c.
wrong_files()
{
	local place text word program before found rooms
	rooms=$(printf '%s|' applets common init examples vm man tests docs bench debian m4 tools completions .ci)
	while IFS=$'\t' read -r place text; do
		program='' before=''
		for word in $text; do
			word=${word#./}
			word=${word%[,.:]}
			case $word in
			*NAME* | *TARGET* | *ARCH* | */name.* | *\** | *\$*) continue ;;
			check | boot-demo) [ -n "$program" ] || program=$word; continue ;;
			--[a-z]*)
				[ "$before" != --mkinitramfs ] || continue
				before=$word
				word=${word%%=*}
				[ -z "$program" ] || grep -qE -- "$word([^a-z-]|$)" "$program" || echo "$place: $program $word"
				continue
				;;
			--) break ;;
			esac
			[[ $word =~ ^(${rooms%|})/ ]] || continue
			found=$(compgen -G "$word" || compgen -G "$word.*") || { echo "$place: $word"; continue; }
			[ -n "$program" ] || [ ! -f "$found" ] || [ ! -x "$found" ] || program=$found
		done
	done
}

@test "each file of ours that a page or a script names is there, and each program of ours knows the options it is given" {
	commands | grep -E '^(man/|[^\t]*\.md:)' >"$BATS_TEST_TMPDIR/all"
	wrong=$(wrong_files <"$BATS_TEST_TMPDIR/all")
	echo "$wrong"
	[ -z "$wrong" ]
	printf 'x\t%s\n' 'tests/lint/docs and tests/lint/dogs.' 'vm/run --guestbox a --disk=b --disc c' './check --no-skip --skip' \
		>"$BATS_TEST_TMPDIR/all"
	run wrong_files <"$BATS_TEST_TMPDIR/all"
	echo "$output"
	[ "$output" = $'x: tests/lint/dogs\nx: vm/run --disc\nx: check --skip' ]
}

@test "each target that a page has make make is one" {
	local wrong='' named=0 place text word
	"${MAKE:-make}" -C "${abs_top_builddir:?}" -pq no-such-target 2>/dev/null |
		sed -n 's/^\([a-z][a-z0-9-]*\):.*/\1/p' >"$BATS_TEST_TMPDIR/targets"
	while IFS=$'\t' read -r place text; do
		for word in ${text#make}; do
			case $word in -* | [A-Z]*=* | build/*) continue ;; [!a-z]*) break ;; esac
			named=$((named + 1))
			grep -qx "$word" "$BATS_TEST_TMPDIR/targets" || wrong+=" $place($word)"
		done
	done < <(commands | grep -P '\.md:[0-9]*\t *make( |$)' | sed -E 's/\t */\t/; s/#.*//')
	echo "$named named; not there:$wrong"
	[ "$named" -gt 20 ]
	[ -z "$wrong" ]
}
