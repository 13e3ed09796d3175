#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# No file is forgotten: tests, sources and pages are each in the build.
load ../lib.bash

@test "each test file, and each long proof, is in a list of the build" {
	missing=
	cd "$abs_top_srcdir"
	for f in tests/{lint,applet,priv,size,vm}/*.bats; do
		[ -e "$f" ] || continue
		grep -rqF --include=Makemodule.am -- "$f" . || missing+=" $f"
	done
	for f in tests/unit/*.c tests/torture/*; do
		grep -rqF --include=Makemodule.am -- "$f" . || missing+=" $f"
	done
	echo "in no list:$missing"
	[ -z "$missing" ]
}

@test "each applet of the static binary has a bar for its size" {
	cd "$abs_top_srcdir"
	missing=
	for a in $(grep -v dynamic configure.ac | sed -n 's/^GB_ARG_APPLET(\[\([^]]*\)\].*/\1/p'); do
		grep -q "^glibc $a " tests/size/bars || missing+=" $a"
	done
	echo "without a bar in tests/size/bars (make size-accept in a static build sets them):$missing"
	[ -z "$missing" ]
}

@test "each source, header and page is in the build" {
	missing=
	cd "$abs_top_srcdir"
	for f in $(find applets common -name '*.[ch]' -o -name '*.def' -o -name '*.proto') man/*.[178]; do
		grep -rqF --include=Makemodule.am -- "$f" . || missing+=" $f"
	done
	echo "in no Makemodule.am:$missing"
	[ -z "$missing" ]
}

@test "a release has every file that git knows, or else is here, and waits for no test" {
	cd "$abs_top_srcdir"
	# Of a release, one that is made of it has all files again.
	git -c safe.directory='*' ls-files >"$BATS_TEST_TMPDIR/known" 2>/dev/null ||
		find . \( -name .git -o -path ./build -o -path ./packages -o -name autom4te.cache -o -name '*~' \) \
			-prune -o -type f -printf '%P\n' \
			>"$BATS_TEST_TMPDIR/known"
	[ -s "$BATS_TEST_TMPDIR/known" ]
	release=$BATS_TEST_TMPDIR/release
	"${MAKE:-make}" -s -C "$abs_top_builddir" distdir distdir="$release" top_distdir="$release" TESTS=no-test
	missing=
	while read -r f; do
		[ "$f" = .gitignore ] || [ -e "$release/$f" ] || missing+=" $f"
	done <"$BATS_TEST_TMPDIR/known"
	chmod -R u+w "$release"
	echo "in no release:$missing"
	[ -z "$missing" ]
}

@test "each file starts with its licence and a line of purpose" {
	missing=
	cd "$abs_top_srcdir"
	for f in $(find applets common tests/unit tests/fuzz -name '*.[ch]'); do
		head -1 "$f" | grep -q '^/\* SPDX-License-Identifier: MIT \*/$' || missing+=" $f"
		sed -n 2p "$f" | grep -q '^/\* ' || missing+=" $f(purpose)"
	done
	echo "without:$missing"
	[ -z "$missing" ]
}
