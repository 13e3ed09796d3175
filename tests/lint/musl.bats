#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The code compiles with musl. Only a look: `make musl` builds it, libraries and all, which takes minutes.
load ../lib.bash
: "${abs_top_srcdir:?}" "${abs_top_builddir:?}"

setup() {
	command -v musl-gcc >/dev/null || skip "no musl-gcc (Debian: musl-tools)"
	farm=$BATS_TEST_TMPDIR/include
	mkdir "$farm"
	# What is not the C library's: the kernel's headers and the libraries'.
	machine=$(gcc -dumpmachine)
	for h in linux asm-generic mtd bsd blkid libnl3 protobuf-c sha2.h sha256.h sha512.h; do
		[ ! -e "/usr/include/$h" ] || ln -s "/usr/include/$h" "$farm/$h"
	done
	ln -s "/usr/include/$machine/asm" "$farm/asm"
	# What configure found, without the calls that GB_LIBC looks for: musl has none of them.
	calls=$(sed -n -E 's/.*AC_CHECK_FUNCS\(\[([^]]*)\].*/\1/p' "$abs_top_srcdir/m4/gb_libc.m4" | tr a-z A-Z)
	[ -n "$calls" ]
	expr=()
	for call in $calls; do expr+=(-e "/^#define HAVE_$call /d"); done
	sed "${expr[@]}" "$abs_top_builddir/config.h" >"$BATS_TEST_TMPDIR/config.h"
	compile=(musl-gcc -std=gnu11 -fsyntax-only -Wall -Werror -D_GNU_SOURCE -include "$BATS_TEST_TMPDIR/config.h"
		-I"$abs_top_srcdir/common/libc" -I"$abs_top_srcdir" -I"$abs_top_builddir" -DGB_APPLET_LIST=
		-idirafter "$farm" -idirafter "$farm/libnl3" -idirafter "$farm/blkid")
}

@test "each source file of the guest's applets compiles with musl" {
	cd "$abs_top_srcdir"
	run bash -c 'find applets common -name "*.c" ! -path "*initfs*" -print0 | xargs -0 -n 8 -P "$(nproc)" "$@"' -- "${compile[@]}"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "a call that musl lacks is found" {
	printf '%s\n' '#include <string.h>' 'const char *f(void);' \
		'const char *f(void) { return strerrordesc_np(1); }' >"$BATS_TEST_TMPDIR/x.c"
	run "${compile[@]}" "$BATS_TEST_TMPDIR/x.c"
	[ "$status" -ne 0 ]
	[[ $output == *strerrordesc_np* ]]
}

@test "nothing scans a floating-point number: tools/musl-deps leaves that out of scanf" {
	local scan='\b(v?[fs]?scanf\([^;]*%[*0-9]*[lL]?[aefgAEFG]|(strto[df]|strtold|atof)\()'
	run grep -rPzo "$scan" "$abs_top_srcdir/applets" "$abs_top_srcdir/common" --include=*.c --include=*.h
	echo "$output"
	[ "$status" -eq 1 ]
	printf '%s\n' 'sscanf(text, "%u"' '	" %*s %lf", &n, &x);' >"$BATS_TEST_TMPDIR/x.c"
	grep -Pzoq "$scan" "$BATS_TEST_TMPDIR/x.c"
}
