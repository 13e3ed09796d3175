# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # bats sets status, output, lines
# What every bats file of ours may use: load ../lib.bash

# GUESTBOX is the binary under test; applets are called through it.
: "${GUESTBOX:?the binary under test (make check sets it)}"
: "${abs_top_srcdir:?}"

# gb APPLET [ARG...]
gb() { "$GUESTBOX" "$@"; }

# need_applet NAME: skips when the binary was built without it.
need_applet() {
	"$GUESTBOX" --list | grep -qx -- "$1" || skip "built without $1"
}

# one_line: $output is exactly one line, or a usage error's two.
one_line() {
	local n
	n=$(printf '%s\n' "$output" | grep -vc "^Try '.* --help'\.$")
	[ "$n" -eq 1 ] || { printf 'expected one line, got:\n%s\n' "$output" >&2; return 1; }
}

# fails STATUS TEXT COMMAND...: the command ends with STATUS, prints one error line, and TEXT is in it.
fails() {
	local want=$1 text=$2
	shift 2
	run "$@"
	if [ "$status" -ne "$want" ]; then
		printf 'status %s, expected %s: %s\n%s\n' "$status" "$want" "$*" "$output" >&2
		return 1
	fi
	one_line || return 1
	[[ $output == *"$text"* ]] || { printf 'no "%s" in: %s\n' "$text" "$output" >&2; return 1; }
}

# not COMMAND...: a leading "!" would not fail the test, a function's status does.
not() {
	if "$@"; then
		printf 'did not fail: %s\n' "$*" >&2
		return 1
	fi
}

# silent COMMAND...: it succeeds, and prints nothing. Of [ -z "$(COMMAND)" ] bash does not take the failure: a folder that is
# not there would be as good as an empty one.
silent() {
	local said
	said=$("$@") || return
	[ -z "$said" ] || { printf 'said, by %s:\n%s\n' "$*" "$said" >&2; return 1; }
}

# front_of PID: the process of this vsock-rpcd that has the connections.
front_of() {
	local children
	read -r -a children <"/proc/$1/task/$1/children"
	echo "${children[0]}"
}

# until_true COMMAND...: asks again until it succeeds. Two minutes are enough for anything, on a machine that is busy with
# other things too; what never comes true is named, and on_never says more where a file of tests has that.
until_true() {
	local end=$((SECONDS + ${PATIENCE:-120}))
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			printf 'never came true: %s\n' "$*" >&2
			! declare -F on_never >/dev/null || on_never >&2
			return 1
		fi
		sleep 0.02
	done
}

# has_lines COUNT PATTERN FILE: so many lines or more match.
has_lines() { [ "$(grep -c -- "$2" "$3")" -ge "$1" ]; }

# listens PATH: returns when somebody does on this unix socket (the file is there before that).
listens() { until_true somebody_listens "$1"; }
somebody_listens() { [ -n "$(ss -Hxl "src $1")" ]; }

# tap_failures: of a run inside of a test what is not well, and its diagnosis; where all is well nothing but the count.
tap_failures() { sed '/^ok [0-9]/d'; }

# faulty "CALL:HOW..." APPLET...: gb, with system calls that fail or lie, as strace(1)'s inject= has it: "umount2:retval=0",
# "fsync:error=EIO:when=2 linkat:error=EIO"; a path among the words: only calls on that file. LeakSanitizer cannot run
# under ptrace(2).
faulty() {
	local word words=()
	for word in $1; do
		case $word in /*) words+=(-P "$word") ;; *) words+=(-e "inject=$word") ;; esac
	done
	shift
	ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o /dev/null "${words[@]}" "$GUESTBOX" "$@"
}
