#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# nocow on a real Btrfs.
load ../lib.bash
load disk.bash

setup() {
	disk_setup
	disk_btrfs fs 300M
	m=$DISK/fs
}

teardown() {
	disk_teardown
}

# flag PATH: what e2fsprogs says, not what guestbox says.
flag() { lsattr -d "$1" | cut -d' ' -f1; }
is_nocow() { [[ $(flag "$1") == *C* ]]; }

@test "sets, shows and clears the flag; files made below inherit it" {
	mkdir "$m/d"
	run gb nocow "$m/d"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	is_nocow "$m/d"
	: >"$m/d/f"
	is_nocow "$m/d/f"
	mkdir "$m/plain"
	run gb nocow --query "$m/d" "$m/plain"
	[ "$output" = "+C"$'\n'"-C" ]
	gb nocow --clear "$m/d"
	not is_nocow "$m/d"
	gb nocow --create "$m/a/b/c"
	is_nocow "$m/a/b/c"
	not is_nocow "$m/a/b"
}

@test "a compressed directory gets it, too: the two flags exclude each other" {
	mkdir "$m/d"
	chattr +c "$m/d"
	gb nocow "$m/d"
	is_nocow "$m/d"
	for how in zstd none; do
		mkdir "$m/$how"
		btrfs property set "$m/$how" compression $how
		mkdir "$m/$how/below"
		gb nocow "$m/$how" "$m/$how/below"
		is_nocow "$m/$how"
		is_nocow "$m/$how/below"
	done
}

@test "a non-empty file is an error, below a directory a warning with the number and the first" {
	mkdir -p "$m/d/sub"
	echo x >"$m/d/sub/one"
	echo y >"$m/d/two"
	: >"$m/d/empty"
	fails 1 "holds 2 bytes" gb nocow "$m/d/two"
	not is_nocow "$m/d/two"
	run gb nocow "$m/d"
	[ "$status" -eq 0 ]
	[[ $output == *"$m/d: 2 non-empty files below keep copy-on-write ($m/d/"*"nocow --convert"* ]]
	run gb nocow -R "$m/d"
	[ "$status" -eq 0 ]
	[[ $output == *"2 non-empty files"* ]]
	is_nocow "$m/d/sub"
	is_nocow "$m/d/empty"
	not is_nocow "$m/d/two"
	run gb nocow --query -R "$m/d"
	[[ $output == *"+C $m/d/empty"* ]]
	[[ $output == *"-C $m/d/two"* ]]
}

@test "-R follows no link out of the tree and opens no device" {
	mkdir "$m/d" "$m/outside"
	ln -s "$m/outside" "$m/d/link"
	mkfifo "$m/d/fifo"
	gb nocow -R "$m/d"
	is_nocow "$m/d"
	not is_nocow "$m/outside"
}

@test "--metadata makes the directories of the layout; a known target has only its own" {
	gb nocow --metadata "$m"
	for d in io.containerd.metadata.v1.bolt io.containerd.snapshotter.v1.overlayfs containerd network builder \
		buildkit image trust; do
		is_nocow "$m/$d"
	done
	mkdir "$m/one" "$m/two"
	printf 'top /run/t\nsubvolume @a %s/one\nsubvolume @b %s/two\nnocow @a x/y\nnocow @b z\n' "$m" "$m" >"$DISK/layout"
	gb nocow --metadata --layout="$DISK/layout" "$m/one" "$m/two"
	is_nocow "$m/one/x/y"
	[ ! -e "$m/one/z" ]
	is_nocow "$m/two/z"
	[ ! -e "$m/two/x" ]
}

@test "--metadata follows no link below the mount" {
	printf 'top /run/t\nsubvolume @a %s/one\nnocow @a x/y\n' "$m" >"$DISK/layout"
	mkdir -p "$m/one/x" "$m/outside"
	ln -s "$m/outside" "$m/one/x/y"
	fails 1 "$m/one/x/y: there is a symbolic link in its place" gb nocow --metadata --layout="$DISK/layout" "$m/one"
	not is_nocow "$m/outside"
	rm -r "$m/one/x"
	ln -s ../outside "$m/one/x"
	fails 1 "$m/one/x/y: there is a symbolic link in its place, or on the way to it" \
		gb nocow --metadata --layout="$DISK/layout" "$m/one"
	silent find "$m/outside" -mindepth 1
	# The mount itself may be named by one.
	rm "$m/one/x"
	ln -s one "$m/two"
	sed -i "s:/one:/two:" "$DISK/layout"
	gb nocow --metadata --layout="$DISK/layout" "$m/two"
	is_nocow "$m/one/x/y"
}

@test "--query -R: a line a name, whatever is in it; --null gives the bytes" {
	local odd=$'a\n+C b\tc\e[31m\303\244\\n d'
	mkdir "$m/d"
	: >"$m/d/$odd"
	run gb nocow --query -R "$m/d"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 2 ]
	[ "${lines[0]}" = "-C $m/d" ]
	[ "${lines[1]}" = "-C $m/d/a\\n+C b\\tc^[[31mM-CM-\$\\n d" ]
	gb nocow --query -R --null "$m/d" >"$DISK/out"
	printf -- '-C %s\0-C %s\0' "$m/d" "$m/d/$odd" | cmp - "$DISK/out"
	gb nocow "$m/d/$odd"
	gb nocow --query --null "$m/d/$odd" "$m/d" >"$DISK/out"
	printf -- '+C\0-C\0' | cmp - "$DISK/out"
}

@test "--convert: the same bytes, owner, mode, times, attributes and holes, without shared extents" {
	seq 1 100000 >"$m/f"
	truncate -s 40M "$m/f"
	printf tail >>"$m/f"
	chown 1234:567 "$m/f"
	chmod 4751 "$m/f"
	setfattr -n user.test -v 'some value' "$m/f"
	setfattr -n trusted.test -v 'for root' "$m/f"
	chattr +d "$m/f"
	touch -d '2001-02-03 04:05:06.123456789' "$m/f"
	touch -a -d '2003-02-03 04:05:06.987654321' "$m/f"
	cp --reflink=always -p "$m/f" "$m/other"
	describe() { stat -c '%u %g %a %s %x %y' "$1"; getfattr --absolute-names -m - -d "$1" | tail -n +2; }
	describe "$m/f" >"$DISK/before"
	blocks=$(stat -c %b "$m/f")
	sum=$(sha256sum <"$m/other")

	run gb nocow --convert "$m/f"
	echo "$output"
	[ "$status" -eq 0 ]
	is_nocow "$m/f"
	describe "$m/f" | diff "$DISK/before" -
	[ "$(sha256sum <"$m/f")" = "$sum" ]
	[ "$(stat -c %b "$m/f")" -le $((blocks + 16)) ] # the hole is one still
	[[ $(flag "$m/f") == *d* ]]
	sync
	run bash -c "filefrag -v '$m/f' | grep -c shared"
	[ "$output" = 0 ]
	silent find "$m" -name '.nocow-*'
	# Once more is nothing to do: the same inode.
	inode=$(stat -c %i "$m/f")
	gb nocow --convert "$m/f"
	[ "$(stat -c %i "$m/f")" = "$inode" ]
}

@test "--convert refuses hard links, links, immutable files and files open for writing" {
	seq 1 1000 >"$m/f"
	ln "$m/f" "$m/g"
	fails 3 "2 hard links" gb nocow --convert "$m/f"
	rm "$m/g"
	ln -s f "$m/l"
	fails 3 "a symbolic link" gb nocow --convert "$m/l"
	chattr +i "$m/f"
	fails 3 "immutable" gb nocow --convert "$m/f"
	chattr -i "$m/f"
	exec 7>>"$m/f"
	fails 3 "open for writing" gb nocow --convert "$m/f"
	# Status 3 says that nothing was changed: not where another file was.
	seq 1 1000 >"$m/other"
	run gb nocow --convert "$m/f" "$m/f"
	[ "$status" -eq 3 ]
	fails 1 "open for writing" gb nocow --convert "$m/other" "$m/f"
	is_nocow "$m/other"
	fails 1 "open for writing" gb nocow --convert -R "$m"
	exec 7>&-
	not is_nocow "$m/f"
	run gb nocow --convert -R "$m"
	[ "$status" -eq 0 ]
	is_nocow "$m/f"
	seq 1 1000 | cmp - "$m/f"
}

@test "--convert without room: the errno, and the file as it was" {
	head -c 180M /dev/urandom >"$m/f"
	sync
	inode=$(stat -c %i "$m/f")
	sum=$(sha256sum <"$m/f")
	fails 1 "No space left on device" gb nocow --convert "$m/f"
	[ "$(stat -c %i "$m/f")" = "$inode" ]
	[ "$(sha256sum <"$m/f")" = "$sum" ]
	silent find "$m" -name '.nocow-*'
}

# inject CALL HOW: runs --convert with the tracer's HOW at CALL; status in $status, what happened in $DISK/trace.
inject() {
	cp "$DISK/want" "$m/f"
	sync "$m/f"
	local only=()
	case $1 in pread64 | lseek) only=(-P "$m/f") ;; esac # the loader and valgrind read programs with them
	status=0
	# LeakSanitizer cannot run under ptrace(2); lines that ran are written down by a process of its own (tests/analysis/gcov.c).
	GB_KEEPER=1 ASAN_OPTIONS=detect_leaks=0 strace -o "$DISK/trace" -e trace="$1" -e inject="$1:$2" "${only[@]}" \
		"$GUESTBOX" nocow --convert "$m/f" 2>"$DISK/err" || status=$?
	cmp "$DISK/want" "$m/f"
	for left in "$m"/.nocow-*; do
		[ ! -e "$left" ] || cmp "$DISK/want" "$left"
	done
	rm -f "$m"/.nocow-* "$m/f"
}

@test "--convert killed at any call: the name leads to the whole file" {
	head -c 3M /dev/urandom >"$DISK/want"
	killed=0
	for call in pread64 pwrite64 ftruncate fchown fchmod flistxattr utimensat linkat fsync fcntl renameat2 unlinkat; do
		for ((n = 1; n < 50; n++)); do
			inject "$call" "signal=KILL:when=$n"
			[ "$status" -ne 0 ] || break
			killed=$((killed + 1))
		done
		[ "$n" -gt 1 ]
		[ "$n" -lt 50 ]
	done
	echo "killed at $killed calls"
	[ "$killed" -ge 20 ]
}

@test "--convert with any call failing: the errno is told, and the file is as it was or whole" {
	head -c 3M /dev/urandom >"$DISK/want"
	failed=0
	for call in pread64 pwrite64 ftruncate fchown fchmod flistxattr utimensat linkat fsync lseek renameat2 unlinkat; do
		for error in EIO ENOSPC; do
			for ((n = 1; n < 50; n++)); do
				inject "$call" "error=$error:when=$n"
				grep -q INJECTED "$DISK/trace" || break
				echo "$call $n $error: $(cat "$DISK/err")"
				[ "$status" -eq 1 ]
				[ "$(wc -l <"$DISK/err")" -eq 1 ]
				failed=$((failed + 1))
			done
			[ "$n" -gt 1 ]
			[ "$n" -lt 50 ]
		done
	done
	echo "failed $failed times"
	[ "$failed" -ge 30 ]
}

@test "--convert gives up when someone opens the file for writing, and loses nothing of what he wrote" {
	head -c 100M /dev/urandom >"$m/f"
	sync
	# The writer comes while the copy is made: its open(2) waits for the lease, then its byte goes to the file.
	strace -o /dev/null -e trace=ftruncate -e inject=ftruncate:delay_enter=3000000 \
		env ASAN_OPTIONS=detect_leaks=0 "$GUESTBOX" nocow --convert "$m/f" 2>"$DISK/err" &
	pid=$!
	# /proc/locks has the file's number, and another for Btrfs than stat(2).
	leased() { grep -q "LEASE .*:$(stat -c %i "$m/f") " /proc/locks || not kill -0 "$pid"; }
	until_true leased
	printf Z | timeout 60 dd of="$m/f" bs=1 seek=5 conv=notrunc status=none
	status=0
	wait "$pid" || status=$?
	cat "$DISK/err"
	[ "$(dd if="$m/f" bs=1 skip=5 count=1 status=none)" = Z ]
	[ "$(stat -c %s "$m/f")" = 104857600 ]
	# Either it was refused, or it was done before the writer came; never both and never less.
	if [ "$status" -eq 3 ]; then
		grep -q 'opened for writing meanwhile' "$DISK/err"
		not is_nocow "$m/f"
	else
		[ "$status" -eq 0 ]
	fi
}
