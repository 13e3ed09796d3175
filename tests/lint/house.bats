#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What STYLE.md says of the code and a script can see.
load ../lib.bash

setup() { cd "${abs_top_srcdir:?}" || return; }

# none WHAT: fails, showing stdin, unless that is empty.
none()
{
	local found
	found=$(cat)
	echo "$1: $found"
	[ -z "$found" ]
}

# Results that nobody looks at. Reads the headers first, then each source with its own static functions.
unchecked()
{
	awk '
	function declares(line,  m) {
		if (line !~ /^(static |extern )?(inline )?(int|ssize_t|bool|pid_t|long|size_t|uint64_t|char \*|const char \*|void \*|struct [a-z0-9_]+ \*)[ ]?[a-z0-9_]+\(/)
			return ""
		sub(/\(.*/, "", line)
		sub(/.*[ *]/, "", line)
		return line
	}
	FNR == 1 { delete own; before = ";"; pass2 = FILENAME ~ /\.c$/ && seen[FILENAME]++ }
	FILENAME ~ /\.h$/ && (name = declares($0)) { shared[name] = 1; next }
	FILENAME ~ /\.c$/ && !pass2 && (name = declares($0)) { static[FILENAME, name] = 1; next }
	pass2 {
		if (match($0, /^\t+(else )?[a-z0-9_]+\(/) && before ~ /([;{}:)]|else|\*\/)[ \t]*$/) {
			name = substr($0, RSTART, RLENGTH - 1)
			sub(/^\t+(else )?/, "", name)
			if (shared[name] || static[FILENAME, name] || index(libc, " " name " "))
				print FILENAME ":" FNR ":" $0
		}
		if ($0 !~ /^[ \t]*$/)
			before = $0
	}' libc=" open close unlink unlinkat mkdir mkdirat rmdir read write pread pwrite send recv fcntl ioctl chmod fchmod chown \
fchown kill waitpid pipe pipe2 dup dup2 dup3 setsockopt bind listen connect shutdown fclose fflush ftruncate fsync syncfs rename \
renameat symlink link mount umount2 chdir fchdir chroot setsid prctl sigprocmask sigaction poll munmap mmap snprintf vsnprintf \
pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock pthread_mutex_destroy pthread_create pthread_join pthread_sigmask \
strlcpy strlcat clock_settime unshare setns setenv unsetenv nanosleep tcsetattr lseek closedir signal asprintf " "$@"
}

@test "every result is looked at, or cast to (void)" {
	local headers files
	mapfile -t headers < <(find applets common -name '*.h')
	mapfile -t files < <(find applets common -name '*.c')
	unchecked "${headers[@]}" "${files[@]}" "${files[@]}" | none "unchecked"
}

@test "a result that is not looked at is found" {
	mkdir -p "$BATS_TEST_TMPDIR/x"
	printf '%s\n' 'int gb_thing(void);' >"$BATS_TEST_TMPDIR/x/x.h"
	printf '\t%s\n' 'int r = 1;' 'gb_thing();' '(void)gb_thing();' 'if (r)' '	unlink("x");' 'own(1,' '    own(2));' 'own(3);' \
		>"$BATS_TEST_TMPDIR/x/x.c"
	printf 'static int own(int n)\n' >>"$BATS_TEST_TMPDIR/x/x.c"
	run unchecked "$BATS_TEST_TMPDIR/x/x.h" "$BATS_TEST_TMPDIR/x/x.c" "$BATS_TEST_TMPDIR/x/x.c"
	[ "$(grep -o ':[0-9]*:' <<<"$output" | tr -d '\n')" = :2::5::6::8: ]
}

@test "each outside library has one header of ours" {
	grep -nE '^#include <(netlink/|blkid|sha[0-9]|md5|fuse|protobuf-c)' -r applets common |
		grep -vE '^common/(sys/(nl|blkid|sha256)|initfs/fuse|rpc/tables)\.h:' | none "included directly"
}

@test "a struct that is laid out for others is pinned" {
	grep -lE '__attribute__\(\(packed\)\)|\b_IO(R|W|WR)?\(' -r applets common --include='*.[ch]' | while read -r f; do
		grep -q _Static_assert "$f" "${f%.h}.c" 2>/dev/null || echo "$f"
	done | none "without _Static_assert"
}

@test "structs are not typedef'd, and no call is made that knows no bounds" {
	grep -nE '^typedef (struct|enum|union)|[^a-z_](strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|system|popen)\(' -r applets common \
		--include='*.[ch]' | none "found"
}

@test "what common/ exports is called gb_" {
	nm -g --defined-only "${abs_top_builddir:?}/libgb.a" 2>/dev/null |
		awk 'NF == 3 && $3 !~ /^(gb_|arcbox__|sandbox__|guestbox__|google__|__odr_asan|__asan|_?__gcov|__start_|__stop_)/ { print $3 }' |
		grep -vxF -e "$(sed -n -E 's/.*[ *]([a-z0-9_]+)\(.*/\1/p' common/libc/*.h | sort -u)" | none "other names"
}

# From stdin, as "ROOM NAME": what is not named after its room, nor after a header of its room. Where two rooms have a header
# of one name, only that of sys or base gives the name.
named_elsewhere()
{
	awk 'NR == FNR { n = split($1, part, "[/.]"); has[part[n - 2], part[n - 1]]; rooms[part[n - 1]]++; next }
	{
		split($2, word, "_")
		if ($1 != word[2] && !(($1, word[2]) in has && (rooms[word[2]] == 1 || $1 ~ /^(sys|base)$/)))
			print
	}' <(printf '%s\n' common/*/*.h) -
}

@test "what common/ exports is named after its room or a header there" {
	# The tables that are made from .proto files are named after those.
	(cd "$abs_top_builddir" && find common -name '*.o' ! -name '*.pb-c.o' -exec nm -A -g --defined-only {} +) |
		sed -nE 's,^common/([a-z]+)/[^ ]* . (gb_[a-z0-9_]+)$,\1 \2,p' >"$BATS_TEST_TMPDIR/names"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/names")" -gt 400 ]
	named_elsewhere <"$BATS_TEST_TMPDIR/names" | none "named after nothing of its room"
}

@test "a name of another room is found" {
	run named_elsewhere <<<$'sys gb_cgroup_open\nsandbox gb_cgroup_open\nsandbox gb_sandbox_open\ninitfs gb_store_open\nbtrfs gb_probe\nbase gb_lost'
	[ "$output" = $'sandbox gb_cgroup_open\ninitfs gb_store_open\nbase gb_lost' ]
}

# cannot_fail FILE...: the lines of tests whose failure bash does not take: of A && B, of ! A, in a loop's body too; of a
# command that says nothing because it failed; and a `run` whose status and output nobody looks at.
cannot_fail()
{
	awk '
	function forget() {
		if (ran) print ran
		ran = ""
	}
	FNR == 1 { on = 0; ran = "" }
	/^@test / { on = 1 }
	/^}/ { if (on) forget(); on = 0 }
	on && !/^\|/ {
		line = $0
		if (line ~ /^\t+([A-Za-z_]+=[^ ]* )*run /) forget()
		if (line ~ /\$\{?#?(status|output|lines)|one_line/) ran = ""
		else if (line ~ /^\t+([A-Za-z_]+=[^ ]* )*run /) ran = FILENAME ":" FNR ":" $0
		if (line ~ /\[ -z "\$\((ls|find|rpc|sb|gb) [^|]*\)" \]/) print FILENAME ":" FNR ":" $0
		# the end of a script within quotes: its status is looked at
		if (line ~ /\047$/ && gsub(/\047/, "&", line) % 2 == 1) next
		while (gsub(/\$\([^()]*\)/, "", line)) # what counts in there is what it prints
			;
		gsub(/\[\[ .* \]\]/, "[ ]", line) # && in there is the condition itself
		if (line ~ /\|\|/ || line ~ /&& *(break|continue|return|echo|[a-z]+\+=)/) next
		if (line ~ /^\t+(! |\[.* \] && |(not|silent|has|has_not|mounted|unmounted|fails|gets|refused) .* && )/ ||
				(line ~ /; do (! |\[.* \] && )/))
			print FILENAME ":" FNR ":" $0
	}' "$@"
}

@test "a test's condition is a line of its own, and each can fail" {
	cannot_fail tests/*/*.bats | none "cannot fail"
}

@test "a condition that cannot fail is found" {
	sed 's/^|//' >"$BATS_TEST_TMPDIR/x.bats" <<'END'
|@test "x" {
|	! grep -q a b
|	grep b c | awk '{ bad = 1 } END { exit bad }'
|	! grep b c | awk '{ bad = 1 } END { exit !bad }'
|	guest 'a
|		! b'
|	[ a ] && [ -z "$(b || true)" ]
|	[ a ] && b || c
|	for d in 1 2; do [ -d "$d" ] && [ -e "$d/e" ]; done
|	for d in 1 2; do [ -d "$d" ] && break; done
|	[ -z "$(ls there)" ]
|	[ -z "$(losetup | grep there)" ]
|	[[ a && b ]]
|	run a
|	x=1 run b
|	[ "$status" -eq 0 ]
|	A=1 run c
|}
END
	run cannot_fail "$BATS_TEST_TMPDIR/x.bats"
	echo "$output"
	[ "$(grep -o ':[0-9]*:' <<<"$output" | tr -d '\n')" = :2::4::7::9::11::14::17: ]
}

@test "each skip says why" {
	grep -rnE '(^|[[:space:];{])skip[[:space:]]*($|[;}|&])' tests --include='*.bats' --include='*.bash' | none "silent"
	grep -rnE '\bskip\(\)' tests/unit --include='*.c' | none "cmocka's"
}
@test "a file can be read from top to bottom: none of more than 640 lines" {
	find applets common -name '*.[ch]' -exec wc -l {} + | awk '$1 > 640 && $2 != "total"' | none "too long"
}

@test "no line is wider than 140 columns" {
	for f in $(find applets common -name '*.[ch]'); do
		expand "$f" | awk -v f="$f" 'length > 140 { print f ":" FNR }'
	done | none "too wide"
}

@test "every descriptor is close-on-exec from the start" {
	# dup2(2) is how a child gets its standard ones, and /dev/null is one that may have its place already; a flag that a
	# variable or a macro holds is looked at there.
	find applets common -name '*.c' -exec awk '
		{ line = $0; sub(/\/\*.*/, "", line) }
		!call && match(line, /(^|[^a-z_.>])(open|openat|socket|socketpair|accept4?|pipe2?|epoll_create1?|inotify_init1?|timerfd_create|eventfd|signalfd|memfd_create|fopen|mkostemp|mkstemp)\(/) { call = substr(line, RSTART + 1); at = FNR }
		call && FNR > at { call = call line }
		call && call ~ /;|\{$|,$|\)$/ { if (call !~ /CLOEXEC|"re"|flags|FLAGS|"\/dev\/null"/ && call ~ /;/) print FILENAME ":" at ": " call; if (call ~ /;|\{$/) call = "" }
		' {} \; | none "open across execve(2)"
}

@test "folders are read by gb_dir_next, which tells an error from the end" {
	grep -nE '(^|[^_a-z"])readdir(64|_r)?\(' -r applets common --include='*.[ch]' |
		grep -vE '^common/base/dir\.[ch]:|/\*|^[^:]*:[0-9]*:[[:space:]]*\*' | none "readdir(3)"
}

@test "the words of a message stand once" {
	# Of 40 characters and more; what is shared is a constant or a function of its own.
	grep -ohE '"([^"\\]|\\.){40,}"' -r applets common --include='*.[ch]' | sort | uniq -d | none "twice"
}
