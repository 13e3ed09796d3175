#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Each applet has its parts, and help, man page and option table say the same. Names what is missing.
load ../lib.bash

pages() { # the man pages of an applet or an alias: its own, else the one that has it among its names
	ls "$abs_top_srcdir/man/$1".[18] 2>/dev/null || awk -v name="$1" '/^\.Sh/ { on = $2 == "NAME" }
		on && $1 == ".Nm" && $2 == name { print FILENAME }' "$abs_top_srcdir"/man/*.[178]
}

@test "each GB_ARG_APPLET line has a source, a page and an applet test" {
	missing=
	while read -r applet; do
		[ -e "$abs_top_srcdir/applets/$applet.c" ] || [ -d "$abs_top_srcdir/applets/$applet" ] ||
			missing+=" applets/$applet.c"
		[ -n "$(pages "$applet")" ] || missing+=" man/$applet.{1,8}"
		[ -e "$abs_top_srcdir/tests/applet/$applet.bats" ] || missing+=" tests/applet/$applet.bats"
		grep -q "^if ENABLE_$(tr a-z- A-Z_ <<<"$applet")$" "$abs_top_srcdir/applets/Makemodule.am" ||
			missing+=" applets/Makemodule.am(ENABLE_$applet)"
		grep -q "| \`$applet\` |" "$abs_top_srcdir/README.md" || missing+=" README.md(applet table: $applet)"
	done < <(sed -n 's/^GB_ARG_APPLET(\[\([^]]*\)\].*/\1/p' "$abs_top_srcdir/configure.ac")
	echo "missing:$missing"
	[ -z "$missing" ]
}

@test "each option of the table stands in the man page, with its letter and its argument's presence" {
	wrong=
	while IFS=$'\t' read -r applet verb letter name _ _; do
		page=$(pages "$applet")
		[ -n "$page" ] || { wrong+=" $applet(no page)"; continue; }
		[ "$letter" = - ] || grep -Eq "^\.(It|Op|Xo|Fl)?.*Fl $letter( |$|,)" "$page" || wrong+=" $applet:$verb:-$letter"
		[ "$name" = - ] || grep -Eq "Fl -$name( |$|,)" "$page" || wrong+=" $applet:$verb:--$name"
	done < <(gb --dump-options)
	echo "not in the page:$wrong"
	[ -z "$wrong" ]
}

@test "each option of a man page stands in the table" {
	cd "$BATS_TEST_TMPDIR"
	wrong=
	for applet in guestbox $(gb --list); do
		if [ "$applet" = guestbox ]; then gb --dump-options | grep '^guestbox	' >dump; else gb --dump-options "$applet" >dump; fi
		awk -F'\t' '{ print "-" $3; print "--" $4 } END { print "--help"; print "--version" }' dump | sort -u >known
		for page in $(pages "$applet"); do
			awk '/^\.It.* Fl / { for (i = 1; i < NF; i++) if ($i == "Fl") print "-" $(i + 1) }' "$page" | sort -u >named
			wrong+=$(comm -13 known named | sed "s/^/ $applet:/" | tr -d '\n')
		done
	done
	echo "in a page only:$wrong"
	[ -z "$wrong" ]
}

@test "each verb and alias is described in its applet's page" {
	wrong=
	for applet in $(gb --list); do
		while read -r verb; do
			grep -Eq "(Cm|Ic) $verb( |\$)" "$(pages "$applet")" || wrong+=" $applet:$verb"
		done < <(gb --help "$applet" | awk -F '  +' '/^Verbs:/ { on = 1; next } /^$/ { on = 0 } on { print $2 }')
		for alias in $(gb --help "$applet" | sed -n 's/^Also callable as: //p'); do
			grep -q -- "$alias" "$(pages "$applet")" || wrong+=" $applet:$alias"
		done
	done
	echo "not described:$wrong"
	[ -z "$wrong" ]
}

@test "man pages are clean for mandoc -Tlint" {
	command -v mandoc >/dev/null || skip "mandoc is not installed"
	# Pages of ours that name each other are not installed here, and the date is not that of a checkout.
	run mandoc -Tlint -Wwarning "$abs_top_srcdir"/man/*.[178]
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "no help line is over 110 columns" {
	for applet in '' $(gb --list); do
		run bash -c "'$GUESTBOX' --help $applet | awk 'length > 110'"
		echo "$applet: $output"
		[ -z "$output" ]
	done
}
