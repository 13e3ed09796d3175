#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# arcmount on real mounts; findmnt and the files tell what is there. tests/priv/arcmount-old.bats runs much of it once
# more for each of the newer system calls, with that call missing (GB_WITHOUT names it).
load ../lib.bash

setup() {
	need_applet arcmount
	dir=$BATS_TEST_TMPDIR/m
	mkdir "$dir"
	gb arcmount mount -t tmpfs none "$dir"
	cd "$dir"
	mkdir a b c d
}

teardown() {
	cd /
	# Those of a test that has failed, while their files still have names.
	losetup -n -O NAME,BACK-FILE | awk -v top="$dir/" 'index($0, top) { print $1 }' | xargs -r -n 1 losetup -d || true
	for _ in 1 2 3; do ! mountpoint -q "$dir" || umount -l "$dir"; done
}

# options TARGET: of the mount and the file system, by util-linux.
options() { findmnt -n -o VFS-OPTIONS,FS-OPTIONS "$1" | tail -n 1; }
has() { grep -qw -- "$2" <<<"$(options "$1")" || { echo "no $2 on $1: $(options "$1")" >&2; return 1; }; }
has_not() { ! grep -qw -- "$2" <<<"$(options "$1")" || { echo "$2 on $1: $(options "$1")" >&2; return 1; }; }
spread() { findmnt -n -o PROPAGATION "$1" | tail -n 1; }
mounted() { mountpoint -q "$1"; }
unmounted() { ! mountpoint -q "$1" || { echo "$1 is mounted" >&2; return 1; }; }
image() { truncate -s "${2:-16M}" "$1" && mkfs.ext4 -q "$1"; }
loops() { losetup -n -O NAME -j "$1"; }
# Whoever looks at all devices (udev, blkid of another test) has one open for a moment, and it stays for so long.
released() { until_true no_loops "$@"; }
no_loops() { local f; for f; do [ -z "$(loops "$f")" ] || return 1; done; }

@test "mount: type, source, flags and words arrive; umount takes it away" {
	gb arcmount mount -t tmpfs -o size=1m,nodev,noexec,noatime,mode=700 the-source "$dir/a"
	has a nodev
	has a noexec
	has a noatime
	has a size=1024k
	[ "$(findmnt -n -o SOURCE a)" = the-source ]
	[ "$(stat -c %a a)" = 700 ]
	gb mount -r -t tmpfs none "$dir/b"
	not touch b/x
	gb arcmount umount a b
	unmounted a
	unmounted b
}

@test "mount: of a list of types the source has one" {
	image disk
	gb arcmount mount -t xfs,ext4 -o loop disk a
	[ "$(findmnt -n -o FSTYPE a)" = ext4 ]
	umount a
	fails 1 "holds ext4, which is not among the types xfs,btrfs" gb arcmount mount -t xfs,btrfs -o loop disk a
	released disk
	fails 1 "holds ext4, which is not among the types noxfs,ext4" gb arcmount mount -t noxfs,ext4 -o loop disk a
	unmounted a
	released disk
}

@test "mount: a file system is not put on top of itself, another one is" {
	image disk
	dev=$(losetup -f --show disk)
	gb arcmount mount "$dev" a
	fails 1 "it is mounted there already" gb arcmount mount "$dev" a
	gb arcmount mount -t tmpfs none a
	gb arcmount umount a a
	losetup -d "$dev"
	unmounted a
}

@test "relative targets, symbolic links, odd names" {
	mkdir $'odd \t\n\\name'
	ln -s $'odd \t\n\\name' link
	gb arcmount mount -t tmpfs none link
	gb arcmount is-mounted $'odd \t\n\\name'
	gb arcmount is-mounted "$dir/link"
	run gb arcmount list link
	[[ $output == *'odd \t\n\name'* ]]
	gb arcmount umount $'odd \t\n\\name'
	run gb arcmount is-mounted link
	[ "$status" -eq 1 ]
	ln -s nowhere dangling
	fails 1 "symbolic link that leads nowhere" gb arcmount mount -t tmpfs none dangling
	fails 1 "Too many levels of symbolic links" bash -c "ln -s loop loop; '$GUESTBOX' arcmount mount -t tmpfs none loop"
}

@test "mkdir only for a mount that works, with the mode of x-mount.mkdir" {
	gb arcmount mount -m -t tmpfs none new/deep
	mounted new/deep
	gb arcmount mount -t tmpfs -o x-mount.mkdir=0711,mode=700 none other
	gb arcmount umount other
	[ "$(stat -c %a other)" = 711 ]
	run gb arcmount mount -m -t nosuchfs none never
	[ "$status" -eq 1 ]
	[ ! -e never ]
	touch file
	fails 1 "is a directory, and the source is not" gb arcmount bind -m file never
	[ ! -e never ]
}

@test "bind: read-only from the start, and only the copy" {
	echo x >a/f
	gb arcmount mount -t tmpfs -o nosuid none b
	gb arcmount bind -o ro a c
	not touch c/y
	touch a/y
	gb arcmount bind -o ro b d
	has d nosuid
	has d ro
	has b rw
	gb arcmount umount c
	touch file target
	gb mount -B file target
	mounted target
	gb arcmount bind -m a made/by/bind
	[ -e made/by/bind/f ]
}

@test "bind -R takes the mounts below along; ro is for the top, ro=recursive for all" {
	gb arcmount mount -m -t tmpfs -o nosuid none a/sub
	gb arcmount bind a b
	unmounted b/sub
	gb arcmount bind -R -o ro a c
	mounted c/sub
	touch c/sub/x
	not touch c/x
	gb arcmount bind -R -o ro=recursive,nodev a d
	not touch d/sub/y
	not touch d/y
	has d/sub nosuid
	has d nodev
	has_not d/sub nodev
	touch a/sub/z
}

@test "remount: of the mount, of the file system, and nothing that was not named" {
	gb arcmount mount -t tmpfs -o nosuid,nodev,noatime,size=1m none a
	gb arcmount remount -o ro a
	has a ro
	has a nosuid
	has a nodev
	has a noatime
	not touch a/x
	gb arcmount remount -o rw,size=2m,dev a
	has a rw
	has a size=2048k
	has a nosuid
	has_not a nodev
	has a noatime
	gb arcmount remount -o relatime a
	has a relatime
	has_not a noatime
	gb mount -o remount,bind,ro a
	has a ro
	findmnt -n -o FS-OPTIONS a | grep -qw rw
	gb arcmount remount -o strictatime a
	has_not a relatime
	has_not a noatime
	fails 1 "is not a mount point" gb arcmount remount -o ro b
}

@test "remount -o ro=recursive reaches all below" {
	gb arcmount mount -m -t tmpfs none a/one
	gb arcmount mount -m -t tmpfs none a/one/two
	gb arcmount bind -R a b
	gb arcmount remount -o ro=recursive b
	not touch b/one/two/x
	touch a/one/two/x
}

@test "move, and what stands against it" {
	gb arcmount mount -t tmpfs none a
	touch a/f
	gb arcmount move a b
	[ -e b/f ]
	unmounted a
	mkdir b/in
	fails 1 "lies inside the source" gb arcmount move b b/in
	fails 1 "is not a mount point" gb arcmount move a c
	gb arcmount mount -t tmpfs none c
	gb arcmount propagate shared c
	gb arcmount mount -m -t tmpfs none c/x
	fails 1 "is shared: make it private first" gb arcmount move c/x d
}

@test "propagation, one mount or all below" {
	gb arcmount mount -t tmpfs none a
	gb arcmount mount -m -t tmpfs none a/sub
	gb arcmount propagate shared a
	[ "$(spread a) $(spread a/sub)" = "shared private" ]
	gb arcmount propagate -R shared a
	[ "$(spread a/sub)" = shared ]
	gb mount --make-slave a
	gb mount --make-runbindable a
	[[ "$(spread a) $(spread a/sub)" == *unbindable*unbindable* ]]
	gb mount --make-rprivate a
	gb arcmount mount -t tmpfs -o shared none b
	[ "$(spread b)" = shared ]
	fails 1 "is not a mount point" gb arcmount propagate private c
}

@test "overlay: with and without an upper layer, names with commas" {
	mkdir l1 l2 'u,p' w
	echo 1 >l1/f
	echo 2 >l2/f
	echo 2 >l2/g
	gb arcmount overlay --lower l1:l2 --upper 'u,p' --work w a
	[ "$(cat a/f a/g)" = $'1\n2' ]
	echo new >a/h
	[ "$(cat 'u,p/h')" = new ]
	gb arcmount overlay --lower :l2:l1: -m new
	[ "$(cat new/f)" = 2 ]
	not touch new/x
	long=$(printf 'x%.0s' $(seq 200))
	mkdir "$long" "y$long"
	gb arcmount overlay --lower "$long:y$long:l1" b
	[ -e b/f ]
}

@test "loop: set up, released with the last user, its file kept from a second writer" {
	image disk
	gb arcmount mount -o loop disk a
	[ "$(findmnt -n -o FSTYPE a)" = ext4 ]
	echo kept >a/f
	fails 1 "has it already" gb arcmount mount -o loop disk b
	# Whoever looks at it is in no next mount's way.
	exec 7<"$(loops disk)"
	gb arcmount umount a
	[ -n "$(loops disk)" ]
	# (He lets it go while the mount stands still in its first wait for that: a second of waits is long on no busy machine.)
	ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o trace -e trace=nanosleep,clock_nanosleep \
		-e inject=nanosleep,clock_nanosleep:signal=STOP:when=1 "$GUESTBOX" arcmount mount -o loop disk a 3>&- 7<&- &
	local slow=$!
	until_true grep "stopped by SIGSTOP" trace
	exec 7<&-
	until_true no_loops disk
	kill -CONT "$(awk '/stopped by SIGSTOP/ { print $1 }' trace)"
	wait "$slow"
	gb arcmount umount a
	released disk
	gb arcmount mount -o loop,ro disk a
	[ "$(cat a/f)" = kept ]
	not touch a/g
	gb arcmount umount "$dir/disk"
	released disk
	chmod 400 disk
	(head -c 1M /dev/zero; cat disk) >shifted
	gb mount -t ext4 -o loop,offset=1M,ro shifted a
	[ "$(cat a/f)" = kept ]
	gb umount a
	run gb arcmount mount --dry-run -o loop disk a
	[[ ${lines[0]} == 'ioctl("/dev/loopN", LOOP_CONFIGURE, "disk")' ]]
	[ "$(gb arcmount mount --dry-run -t auto -o loop disk a)" = "$output" ]
	released disk shifted
}

@test "loop: of two that set one up for a file at the same moment one has it, or none" {
	local slow won=0
	image disk
	# The first one has looked, and has not done it yet, when the second one comes. (One that is slower comes too late.)
	faulty "ioctl:delay_enter=3000000 /dev/loop-control" arcmount mount -o loop disk a 3>&- &
	slow=$!
	has_control() { ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q "/dev/loop-control$"; }
	until_true has_control
	! gb arcmount mount -o loop disk b || won=$((won + 1))
	! wait "$slow" || won=$((won + 1))
	[ "$won" -le 1 ]
	! mounted a || gb arcmount umount a
	! mounted b || gb arcmount umount b
	released disk
}

@test "an older loop driver: in two steps where the kernel is older than 5.8, and nothing stays of half of them" {
	image disk
	(head -c 1M /dev/zero; cat disk) >shifted
	# Read-only: no other loop device is asked for its file. The first ioctl(2) asks for a free device, the second would do
	# all at once.
	faulty ioctl:error=EINVAL:when=2 arcmount mount -o loop,offset=1M,ro shifted a
	[ "$(findmnt -n -o FSTYPE a)" = ext4 ]
	not touch a/x
	gb arcmount umount a
	released shifted
	# Where somebody else takes the device between two calls there is one more, and another one fails: again.
	both_fail() { fails 1 "cannot set up the loop device /dev/loop" \
		faulty ioctl:error=EINVAL:when=2+2 arcmount mount -o loop,ro disk a; }
	until_true both_fail
	released disk
	# Somebody else was faster: the next one.
	faulty ioctl:error=EBUSY:when=2 arcmount mount -o loop,ro disk a
	gb arcmount umount a
	released disk
}

@test "a failed mount releases its loop device" {
	head -c 1M /dev/zero >zeros
	run gb arcmount mount -t ext4 -o loop zeros a
	[ "$status" -eq 1 ]
	released zeros
	fails 1 "holds no file system" gb arcmount mount zeros a
}

@test "umount -d releases a loop device that would stay" {
	image disk
	dev=$(losetup -f --show disk)
	gb arcmount mount "$dev" a
	gb umount a
	[ -n "$(loops disk)" ]
	gb arcmount mount "$dev" a
	gb umount -d a
	released disk
}

@test "LABEL=, UUID= and -L find the device" {
	truncate -s 16M disk
	mkfs.ext4 -q -L "gb-$$" disk
	dev=$(losetup -f --show disk)
	uuid=$(blkid -p -o value -s UUID "$dev")
	gb arcmount mount "LABEL=gb-$$" a
	gb arcmount umount a
	gb arcmount mount "UUID=${uuid^^}" a
	gb mount -L "gb-$$" b
	gb arcmount umount a b
	gb arcmount mount "$dev" a
	gb umount "LABEL=gb-$$"
	fails 1 "not a mount point" gb arcmount umount a
	fails 1 "no device has this LABEL" gb arcmount umount "LABEL=gb-no-$$"
	losetup -d "$dev"
	fails 1 "no device has this LABEL" gb arcmount mount "LABEL=gb-no-$$" a
}

@test "a write-protected source is mounted read-only, which is told; rw makes it an error" {
	image disk
	dev=$(losetup -r -f --show disk)
	run gb arcmount mount "$dev" a
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"write-protected: mounted read-only"* ]]
	has a ro
	gb arcmount umount a
	run gb arcmount mount -o rw "$dev" a
	losetup -d "$dev"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"write-protected"* ]]
}

@test "umount: busy names the holder; lazy, expire, no-follow, recursive" {
	gb arcmount mount -t tmpfs none a
	exec 7>a/open
	run gb arcmount umount a
	[ "$status" -eq 1 ]
	[[ $output == *"busy: "*"pid $$ ("*"open file $dir/a/open"* ]]
	exec 7>&-
	gb arcmount mount -m -t tmpfs none a/sub
	run gb arcmount umount a
	[[ $output == *"busy: mounted on it: $dir/a/sub (tmpfs)"* ]]
	gb arcmount umount -R a
	unmounted a
	gb arcmount mount -t tmpfs none a
	(cd a && gb arcmount umount -l "$dir/a")
	unmounted a
	gb arcmount mount -t tmpfs none a
	fails 1 "the next umount --expire" gb arcmount umount --expire a
	gb arcmount umount --expire a
	unmounted a
	gb arcmount mount -t tmpfs none a
	ln -s a link
	fails 1 "symbolic link, which was not to be followed" gb arcmount umount --no-follow link
	gb arcmount umount link
	gb arcmount mount -t tmpfs none a
	gb arcmount mount -t tmpfs over a
	gb arcmount umount a
	[ "$(findmnt -n -o SOURCE a)" = none ]
	gb umount -r a
	fails 32 "is not a mount point" gb umount a
	run gb umount -q a
	[ "$status" -eq 32 ]
	[ -z "$output" ]
}

@test "umount -r makes a busy mount read-only" {
	gb arcmount mount -t tmpfs none a
	exec 7<a
	run gb umount -r a
	exec 7<&-
	[ "$status" -eq 0 ]
	has a ro
}

@test "several targets: what can be unmounted is, and the bits tell" {
	gb arcmount mount -t tmpfs none a
	run gb umount a b
	[ "$status" -eq 64 ]
	unmounted a
	run gb umount a b
	[ "$status" -eq 32 ]
}

@test "remount without a change: done where there is a mount, and nowhere else" {
	gb arcmount mount -t tmpfs -o nodev none a
	before=$(options a)
	for words in remount remount,defaults remount,nofail remount,bind; do
		gb mount -o "$words" a
		[ "$(options a)" = "$before" ]
		run gb mount -o "$words" b
		[ "$status" -eq 32 ]
		[[ $output == *"b is not a mount point"* ]]
		run gb mount -o "$words" none
		[ "$status" -eq 32 ]
	done
	fails 1 "not a mount point" gb arcmount remount -o defaults b
}

@test "under mount's name: what is mounted, -v, -w, -R, -U, and words of both kinds of --make" {
	gb mount -v -t tmpfs -o nodev the-source a >said
	grep -q "^mount the-source on a" said
	run gb mount
	[[ $output == *"the-source on $dir/a type tmpfs (rw,nodev,relatime)"* ]]
	gb mount -t overlay -o "ro,lowerdir=$dir/a:$dir/b" over c
	[ "$(gb mount -t overlay | tail -n 1)" = "over on $dir/c type overlay ($(findmnt -n -o OPTIONS c))" ]
	umount c
	run gb mount -t notmpfs
	[ "$status" -eq 0 ]
	[[ $output == *" type proc "* && $output != *the-source* ]]
	[[ $(gb mount -v -f -t tmpfs none b) == "mount none on b"*"(not done)" ]]
	unmounted b
	gb arcmount mount -m -t tmpfs none a/sub
	gb mount -R a b
	mounted b/sub
	gb umount -R b
	gb mount --make-shared a
	gb mount -B --make-rslave a c
	unmounted c/sub
	[[ $(spread c) == *slave* ]]
	[[ $(gb umount -v c) == "unmounted c" ]]
	gb umount -f a/sub
	gb umount a
	gb mount -t ramfs -o noexec none b
	gb mount -t ramfs none c
	gb umount -a -t ramfs -O noexec
	unmounted b
	mounted c
	image disk
	dev=$(losetup -f --show disk)
	gb mount -w -U "$(blkid -p -o value -s UUID "$dev")" a
	has a rw
	gb umount -R "$dev"
	losetup -d "$dev"
	unmounted a
}

@test "a line of the table, and what the command line adds to it" {
	printf '%s\n' "none $dir/a tmpfs nodev,size=1m" "/dev/gb-none $dir/b ext4 nofail" "$dir/c $dir/d none bind" >tab
	gb mount -T tab -o nosuid,size=2m "$dir/a/"
	has a nodev
	has a nosuid
	has a size=2048k
	gb mount -T tab "$dir/b"
	unmounted b
	gb mount -T tab "$dir/c"
	mounted d
	[[ $(gb mount -v -a -T tab) == "$dir/a is mounted already"*"$dir/d is mounted already" ]]
	gb umount a
	# A loop mount is known again by its device.
	image disk
	echo "$dir/disk $dir/a ext4 loop" >tab
	gb mount -a -o noatime -T tab
	has a noatime
	gb mount -a -T tab
	[ "$(loops disk | wc -l)" -eq 1 ]
	gb umount -d disk
	unmounted a
	released disk
	fails 32 "only one of source and target is given: none: No such file" gb mount -T none "$dir/a"
	# nofail is for a source that is not there, and for nothing else.
	for source in none "$dir/c"; do
		echo "$source $dir/a gb-none nofail" >tab
		fails 32 "does not know the file system type" gb mount -a -T tab
		fails 32 "does not know the file system type" gb mount -T tab "$dir/a"
	done
	printf '%s\n' "LABEL=gb-none $dir/a ext4 nofail" "$dir/none $dir/a ext4 loop,nofail" >tab
	gb mount -a -T tab
	unmounted a
	# However the target is written, and the first of two.
	printf '%s\n' "none $dir/a tmpfs size=1m" "none $dir/a tmpfs size=2m" >tab
	ln -s a link
	for name in a ./a "$dir/b/../a" link; do
		gb mount -T tab "$name"
		has a size=1024k
		gb umount a
	done
	(cd a && gb mount -T ../tab .)
	has a size=1024k
}

@test "what holds no file system, or cannot be written, is not mounted as if" {
	truncate -s 1M swap
	mkswap swap >/dev/null 2>&1
	fails 1 "source swap holds no file system but swap" gb arcmount mount swap a
	fails 1 "is no block device and no disk image; a type (-t) is needed" gb arcmount mount /dev/null a
	fails 1 "source gone: No such file" gb arcmount mount gone a
	fails 1 "neither a regular file nor a block device" gb arcmount mount -t ext4 -o loop,ro b a
	fails 1 "cannot set up a loop device for gone: No such file" gb arcmount mount -t ext4 -o loop gone a
	fails 1 "cannot set up a loop device for swap: /dev/gb-none" gb arcmount mount -t ext4 -o loop=/dev/gb-none swap a
	mount -t tmpfs none c
	image c/disk 8M
	mount -o remount,ro c
	run gb arcmount mount -o loop "$dir/c/disk" a
	echo "$output"
	[[ $output == *"c/disk is write-protected: mounted read-only on a" ]]
	has a ro
	gb arcmount umount a
	fails 1 "c/disk on a: the file is write-protected" gb arcmount mount -o loop,rw "$dir/c/disk" a
	released c/disk
}

@test "busy: loop devices and more holders than a line takes" {
	gb arcmount mount -t tmpfs none a
	image a/disk 8M
	dev=$(losetup -f --show a/disk)
	fails 1 "loop device $dev: its file $dir/a/disk" gb arcmount umount a
	local i pids=()
	for i in $(seq 10); do
		sleep 1000 7<a 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do until [ -e "/proc/$i/fd/7" ]; do sleep 0.02; done; done
	run gb arcmount umount a
	kill "${pids[@]}"
	losetup -d "$dev"
	echo "$output"
	[[ $output == *"; and "[3-9]" more" ]]
	for i in "${pids[@]}"; do wait "$i" || true; done
	released a/disk
	gb arcmount umount a
}

@test "a write-out that fails is an error, and the mount stays" {
	image big 8M
	gb arcmount mount -t tmpfs -o size=3m none a
	cp --sparse=always big a/disk
	gb arcmount mount -o loop a/disk b
	head -c 6M /dev/urandom >b/data || true
	run gb arcmount umount b
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"could not be written out"* ]]
	mounted b
	gb arcmount umount -l b
}

@test "umount writes out by what kind it is: plain before, -l after, --expire before the mark, -f not at all" {
	local kind broken=(faulty syncfs:error=EIO arcmount umount)
	image disk
	truncate -s 128M disk2
	mkfs.btrfs -q disk2
	for kind in disk disk2; do
		gb arcmount mount -o loop "$kind" a
		fails 1 "$dir/a: what is cached could not be written out: Input/output error; it stays mounted" "${broken[@]}" "$dir/a"
		# The way there may lead over links, and the mount may be another's second one.
		ln -sfn a link
		fails 1 "could not be written out" "${broken[@]}" link
		gb arcmount bind a b
		"${broken[@]}" a
		gb arcmount move b a
		fails 1 "could not be written out: Input/output error; it stays mounted" "${broken[@]}" --expire a
		fails 1 "the next umount --expire" gb arcmount umount --expire a
		"${broken[@]}" --expire a
		unmounted a
		gb arcmount mount -o loop "$kind" a
		fails 1 "$dir/a: out of the tree, but what is cached could not be written out: Input/output error" "${broken[@]}" -l "$dir/a"
		unmounted a
		gb arcmount mount -o loop "$kind" a
		"${broken[@]}" -f a
		unmounted a
		gb arcmount mount -o loop "$kind" a
		"${broken[@]}" -f -l a
		unmounted a
		released "$kind"
	done
}

@test "nothing is asked of a server that does not answer: is-mounted, list, umount, and who holds what is busy" {
	local failfs=$abs_top_builddir/tests/priv/failfs server holder flag bad
	in_time() { timeout -s KILL 120 "$GUESTBOX" arcmount "$@"; }
	mkdir backing
	: >control
	echo text >backing/f
	for flag in -v -l -f; do
		bad=
		"$failfs" "$dir/backing" "$dir/control" "$dir/a" 3>&-
		server=$(pgrep -f "^$failfs $dir/backing ")
		sleep 1000 7<a/f 3>&- &
		holder=$!
		until_true [ -e "/proc/$holder/fd/7" ]
		kill -STOP "$server"
		in_time is-mounted a || bad+=" is-mounted"
		in_time list a >said && grep -q "^$dir/a.*fuse" said || bad+=" list"
		in_time umount a 2>said || true
		grep "busy: pid $holder (sleep): open file $dir/a/f" said || bad+=" busy"
		# What is closed has a last word for the server, which whoever closes waits for.
		kill -CONT "$server"
		kill "$holder"
		wait "$holder" || true
		kill -STOP "$server"
		in_time umount "$flag" a || bad+=" umount"
		kill -KILL "$server"
		[ -z "$bad" ] || { echo "not in time, with umount $flag:$bad"; return 1; }
		unmounted a
	done
}

@test "a table: parents first, one bad line, nofail, a second run changes nothing" {
	cat >tab <<-TABLE
	tmpfs	$dir/a/sub	tmpfs	nodev,x-mount.mkdir
	tmpfs	$dir/a		tmpfs	nosuid
	nonsense
	/dev/gb-none	$dir/b	ext4	nofail
	$dir/c	$dir/d	none	bind,ro
	TABLE
	run gb mount -a -T tab
	echo "$output"
	[ "$status" -eq 64 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *"tab: line 3: only one field"* ]]
	has a nosuid
	has a/sub nodev
	has d ro
	unmounted b
	before=$(findmnt -n -o ID,TARGET)
	run gb mount -a -T tab
	[ "$status" -eq 64 ]
	[ "$(findmnt -n -o ID,TARGET)" = "$before" ]
	gb mount -f -t tmpfs none c
	unmounted c
	sed -i /nonsense/d tab
	gb mount -a -T tab
	echo "/dev/gb-none $dir/b ext4 defaults" >tab
	run gb mount -a -T tab
	[ "$status" -eq 32 ]
	[[ $output == *"line 1: "*"/dev/gb-none: No such file"* ]]
}

@test "umount -a takes the types it is told, and no other" {
	gb arcmount mount -t ramfs none a
	gb arcmount mount -t ramfs none b
	gb arcmount mount -t tmpfs none c
	exec 7<a
	run gb umount -a -t ramfs
	exec 7<&-
	[ "$status" -eq 64 ]
	mounted a
	unmounted b
	mounted c
	gb arcmount umount -a -t ramfs
	unmounted a
}

@test "pivot-root, and each condition that does not hold" {
	in_new() { unshare -m --propagation private bash -c "$1"; }
	fails 1 "/nope: No such file" gb arcmount pivot-root /nope /nope
	touch file
	fails 1 "file is not a directory" gb arcmount pivot-root a file
	fails 1 "is not a mount point" gb arcmount pivot-root a a
	fails 1 "/ is the root already" gb arcmount pivot-root / "$dir"
	gb arcmount mount -t tmpfs none a
	mkdir a/old
	fails 1 "is neither $dir/a nor a directory below it" gb arcmount pivot-root "$dir/a" "$dir/b"
	gb arcmount mount -t tmpfs none c
	gb arcmount propagate shared c
	gb arcmount mount -m -t tmpfs none c/new
	mkdir c/new/old
	fails 1 "is shared: make it private first" gb arcmount pivot-root c/new c/new/old
	# The leak check of a sanitizer build wants a /proc, which the new root has not.
	run in_new "cd a && ASAN_OPTIONS=detect_leaks=0 '$GUESTBOX' pivot_root . old &&
		cd / && [ -d /old/usr ] && [ ! -d /usr ] && echo moved"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = moved ]
}

@test "switch-root refuses where it could destroy" {
	fails 1 "not a mount point" gb arcmount switch-root a /bin/sh
	gb arcmount mount -t tmpfs none a
	fails 1 "is for PID 1" gb arcmount switch-root a /bin/sh
	fails 1 "is the root already" gb switch_root / /bin/sh
	run unshare -m -p -f "$GUESTBOX" arcmount switch-root a /bin/sh
	[ "$status" -eq 1 ]
	[[ $output == *"/ is no initramfs"* ]]
}

# initramfs SCRIPT: runs it as PID 1 of one, with busybox's commands, guestbox and a new root at /new; it is seen at a, too.
initramfs() {
	[ -z "${GB_WITHOUT:-}" ] || skip "the wrapper that hides the call is not in the new root"
	busybox=$(command -v busybox) || skip "needs busybox-static"
	ldd "$busybox" >/dev/null 2>&1 && skip "busybox is not static"
	mountpoint -q a || gb arcmount mount -t tmpfs rootfs a
	mkdir -p a/{bin,proc,dev,run,new,lib64,lib,usr,tmp,deep/er,kept}
	cp "$busybox" a/bin/busybox
	cp "$GUESTBOX" a/bin/guestbox
	echo data >a/deep/er/file
	{ echo 'PATH=/bin:/usr/bin; cd /'; cat; } <<<"$1" >a/script
	echo precious >b/precious
	cat >start <<-START
	set -e; cd $dir/a
	# What is of another file system may not be touched, whoever it belongs to.
	for d in usr lib lib64; do mount --bind -o ro /\$d \$d; done
	mount --bind $dir/b kept; mount -t proc proc proc; mount -t tmpfs dev dev; mount -t tmpfs run run
	cp /bin/true run/; mount -t tmpfs new new; mkdir -p new/bin new/proc new/dev; cp $busybox new/bin/
	printf '#!/bin/busybox sh\necho "pid \$\$ arg \$1"; /bin/busybox ls /; /bin/busybox ls /proc/self/stat\n' >new/bin/init
	chmod +x new/bin/init; : >new/data
	# Where lines are counted (make coverage), the counts go.
	[ -z "\${GCOV_PREFIX:-}" ] || { mkdir -p ".\$GCOV_PREFIX"; mount --bind "\$GCOV_PREFIX" ".\$GCOV_PREFIX"; }
	mount --move . /; exec chroot . /bin/busybox sh /script
	START
	run unshare -m -p -f --propagation private bash start
	echo "$output"
	[ "$(cat b/precious)" = precious ]
	[ -e /usr/bin/env ]
}

@test "switch-root as PID 1 of an initramfs: mounts move, files go, init runs" {
	initramfs 'exec /bin/guestbox switch_root /new /bin/init hello'
	[ "$status" -eq 0 ]
	[[ $output == *"pid 1 arg hello"* ]]
	[[ $output == *"/proc/self/stat"* ]]
	[[ $output != *deep* ]]
	# The initramfs is empty but for what was mounted in it; /run had no place to go to.
	[ ! -e a/deep ]
	[ ! -e a/bin ]
	[ ! -e a/script ]
	[ -d a/kept ]
}

@test "switch-root: a new root that has its own /proc keeps it, an init in what moves along is found there" {
	# The leak check of a sanitizer build wants a /proc.
	initramfs 'mkdir /new/run; cp /bin/busybox /run/sh; busybox mount -t proc own /new/proc
		exec /bin/guestbox arcmount switch-root /new /run/sh -c "/bin/busybox grep /proc /proc/mounts; [ -e /run/true ] && echo run"'
	[ "$status" -eq 0 ]
	[ "$output" = $'own /proc proc rw,relatime 0 0\nrun' ]
	[ ! -e a/deep ]
}

@test "switch-root: a new root that is a part of the initramfs would go with it, and is refused" {
	initramfs 'mkdir -p /part/bin /part/proc; cp /bin/busybox /new/bin/init /part/bin/; busybox mount --bind /part /part
		exec /bin/guestbox arcmount switch-root /part /bin/init'
	[ "$status" -eq 1 ]
	[[ $output == "arcmount: new root /part: part of the initramfs, whose files go away"* ]]
	[ -e a/part/bin/init ]
	[ "$(cat a/deep/er/file)" = data ]
}

@test "switch-root that cannot succeed changes nothing" {
	local words
	while IFS='|' read -r words said; do
		initramfs "exec /bin/guestbox arcmount switch-root $words"
		[ "$status" -eq 1 ]
		[ "$output" = "arcmount: $said" ]
		[ "$(cat a/deep/er/file)" = data ]
	done <<-'CASES'
	/none /bin/init|new root /none: No such file or directory
	/script /bin/init|new root /script: Not a directory
	/bin /bin/init|new root /bin: not a mount point (bind it to itself first: arcmount bind /bin /bin)
	/new /bin/none|init /bin/none in the new root: No such file or directory
	/new /data|init /data in the new root is no program
	/new bin|init bin in the new root is no program
	CASES
}

@test "loop: a file is known by whichever of its names, and by odd ones" {
	image $'a disk\n\\of mine'
	gb arcmount mount -o loop $'a disk\n\\of mine' a
	fails 1 "has it already" gb arcmount mount -o loop $'a disk\n\\of mine' b
	# The name it was set up by is gone.
	ln $'a disk\n\\of mine' other
	rm $'a disk\n\\of mine'
	fails 1 "has it already" gb arcmount mount -o loop other b
	gb arcmount umount other
	unmounted a
	gb arcmount mount -o loop other b
	gb arcmount umount other
	unmounted b
}

@test "DAX: a file system without it is told apart, and require leaves nothing mounted" {
	image disk
	run gb arcmount mount -o loop,dax=require disk a
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *DAX* ]]
	unmounted a
	released disk
	gb arcmount mount -o loop disk a
	[[ $(gb arcmount list "$dir/a") == *$'\tnone' ]]
	fails 1 "dax" gb arcmount remount -o dax=always a
}

@test "shares: a mount that is not the share's own stays, with dax=always as well; a table knows labels and images" {
	export GUESTBOX_CMDLINE=/dev/null
	gb arcmount mount -t tmpfs mine a
	echo precious >a/file
	echo "arcbox $dir/a virtiofs dax=always,nofail,x-guestbox.warn" >tab
	run gb arcmount shares --table tab
	[ "$status" -eq 0 ]
	[ "$output" = "arcbox on $dir/a: mounted already, without dax ($dir/a has another mount, which is left alone)" ]
	[ "$(cat a/file)" = precious ]
	image disk
	tune2fs -L arcshares disk
	printf '%s\n' "$dir/disk $dir/b auto loop" "LABEL=arcshares $dir/c ext4 nodev,dax=always" >tab
	gb arcmount shares --table tab
	has b rw
	has c nodev
	[ "$(findmnt -n -o SOURCE b)" = "$(findmnt -n -o SOURCE c)" ]
	umount b c
	released disk
}

@test "shares: the table is the option's, the environment's, that of /etc/guestbox, or built in" {
	export GUESTBOX_CMDLINE=/dev/null
	mkdir up work
	mount -t overlay -o "lowerdir=/etc,upperdir=$dir/up,workdir=$dir/work" etc /etc
	mkdir -p /etc/guestbox
	rm -f /etc/guestbox/shares
	targets() { gb arcmount shares --dry-run "$@" | sed -n 's/^move_mount.*AT_FDCWD, "\([^"]*\)".*/\1/p' | xargs; }
	built_in=$(targets)
	echo "usual $dir/a tmpfs" >/etc/guestbox/shares
	usual=$(targets)
	echo "set $dir/b tmpfs" >set
	by_environment=$(GUESTBOX_SHARES=set targets)
	echo "said $dir/c tmpfs" >said
	by_option=$(GUESTBOX_SHARES=set targets --table said)
	rm /etc/guestbox/shares
	mkdir /etc/guestbox/shares
	run gb arcmount shares --dry-run
	umount /etc
	[ "$built_in" = "/arcbox /private /Users" ]
	[ "$usual $by_environment $by_option" = "$dir/a $dir/b $dir/c" ]
	# One that cannot be read is not passed over.
	[ "$status" -eq 1 ]
	[ "$output" = "arcmount: /etc/guestbox/shares: Is a directory" ]
}

@test "shares: absent optional ones are silent, a required one is status 1 and has its cause" {
	: >cmdline
	export GUESTBOX_CMDLINE=$dir/cmdline
	echo "one $dir/one tmpfs nosuid" >tab
	run gb arcmount shares --table tab
	[ "$status" -eq 0 ]
	has one nosuid
	run gb arcmount shares --table tab
	[ "$status" -eq 0 ]
	[[ $output == *"mounted already"* ]]
	echo "gone $dir/gone virtiofs nofail" >tab
	run gb arcmount shares --table tab
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ ! -e gone ]
	echo "gone $dir/gone gb-none nofail" >tab
	run gb arcmount shares --table tab
	[ "$status" -eq 0 ]
	[[ $output == *"warning: "*"does not know the file system type"* ]]
	echo "gone $dir/gone virtiofs defaults" >tab
	run gb arcmount shares --table tab
	[ "$status" -eq 1 ]
	[[ $output == *gone*virtiofs* ]]
	run gb arcmount shares --json --table tab
	[ "$status" -eq 1 ]
	[[ ${lines[-1]} == '[{"tag":"gone",'*'"required":true,"state":"'*'"}]' ]]
}

@test "probe: every rule holds or is a known difference, and nothing is left" {
	before=$(cat /proc/self/mountinfo | wc -l; losetup -n -O NAME -j none)
	run gb arcmount probe
	echo "$output"
	[ "${lines[0]}" = 1..34 ]
	[ "$(grep -c '^not ok' <<<"$output")" -eq 0 ]
	[ "$status" -eq 0 ]
	[ "$(grep -c '^ok' <<<"$output")" -eq 34 ]
	[ "$(cat /proc/self/mountinfo | wc -l; losetup -n -O NAME -j none)" = "$before" ]
	run gb arcmount probe --json
	[[ $output == '[{"rule":"M1",'*'"rule":"P8"'*']' ]]
}

# found_out FAULT RULE...: with that fault these rules, and perhaps others, do not hold, and that is a failure.
found_out() {
	local fault=$1 rule
	shift
	run faulty "$fault" arcmount probe
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$(grep -c '^\(not \)\?ok' <<<"$output")" -eq 34 ]
	for rule; do
		grep -q "^not ok [0-9]* - $rule " <<<"$output" || { echo "$rule holds with $fault" >&2; return 1; }
	done
}

@test "probe: a kernel that breaks a rule, or says what it does not do, is found out" {
	found_out umount2:retval=0 U1 U2 U3 U4 U5 U6 U7 U8
	[[ $output == *"U6 "*"seen 0, and it is still mounted"* ]]
	found_out pivot_root:retval=0 P1 P2 P3 P4 P5 P7 P8
	[[ $output == *"P8 "*"a task at the old root was not moved"* ]]
	# The first three make a rule its place.
	found_out mount:retval=0:when=4+ M1 M2 M3 M4 M5 M6 M7 M8 O1 O2 O3
	[[ $output == *"M6 "*"the mount is still writable"*"M7 "*"the mount did not leave its old place"* ]]
	found_out "?access:retval=0 faccessat:retval=0" M6 M8 O4 P8
	[[ $output == *"M8 "*"writable, and a second call does not change that"*"O4 "*"the overlay is writable"* ]]
	found_out umount2:signal=KILL U1 U9
	[[ $output == *"the rule's process died"* ]]
	run faulty umount2:retval=0 arcmount probe --json
	[ "$status" -eq 1 ]
	[[ $output == *'"rule":"U1",'*'"expected":"EINVAL","seen":"0","result":"not ok"}'* ]]
}

@test "probe: where a rule cannot be tried it says why, and is no failure" {
	for fault in unshare:error=EPERM pipe2:error=EMFILE clone:error=EAGAIN mount:error=ENOSYS; do
		run faulty "$fault" arcmount probe
		echo "$fault: $output"
		[ "$status" -eq 0 ]
		[ "$(grep -c '^ok.*# SKIP .*: ' <<<"$output")" -eq 34 ]
	done
	run faulty mkdir:error=EIO arcmount probe
	[[ $output == *"M1 "*"# SKIP tmpfs: Input/output error"* ]]
}

@test "a read-only bind that cannot be made read-only is none" {
	touch a/f
	fails 1 "cannot bind a to c" faulty mount_setattr:error=EPERM arcmount bind -o ro a c
	unmounted c
	# The old way attaches first.
	fails 1 "cannot bind a to c" faulty "open_tree:error=ENOSYS mount:error=EIO:when=2" arcmount bind -o ro a c
	unmounted c
}

@test "a remount that succeeds and changes nothing is a failure" {
	image disk
	gb arcmount mount -o loop disk a
	fails 1 "reported success and changed nothing: dax=always was asked for, and it has no DAX" \
		faulty fsconfig:retval=0 arcmount remount -o dax=always a
	gb arcmount umount a
	gb arcmount mount -o loop,dax=inode disk a
	[[ $(gb arcmount list "$dir/a") == *$'\tinode' ]]
	fails 1 "it has dax=inode (unmount it and mount it again)" faulty fsconfig:retval=0 arcmount remount -o dax=never a
	gb arcmount remount -o dax=inode a
}

@test "a loop device that cannot be written out after all is told" {
	image disk
	gb arcmount mount -o loop disk a
	fails 1 "could not be written out: Input/output error; it stays mounted" faulty syncfs:error=EIO arcmount umount a
	mounted a
	fails 1 "unmounted, but its loop device could not be written out" faulty fsync:error=EIO arcmount umount a
	unmounted a
	released disk
}

@test "shares: DAX comes down to what the device has, and what holds is said" {
	: >cmdline
	export GUESTBOX_CMDLINE=$dir/cmdline
	image disk
	dev=$(losetup -f --show disk)
	echo "$dev $dir/a ext4 dax=always,nosuid" >tab
	run gb arcmount shares --table tab
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"$dev on $dir/a: mounted, dax=inode ("*"refused: dax=always)" ]]
	has a nosuid
	# In use it stays as it is.
	exec 7<a
	run gb arcmount shares --json --table tab
	exec 7<&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[-1]} == *'"state":"already","dax":"inode","error":"'*"is mounted without dax=always, and it is in use: "* ]]
	gb arcmount umount a
	losetup -d "$dev"
}

@test "a DAX that the kernel only says it does is not told as DAX" {
	: >cmdline
	export GUESTBOX_CMDLINE=$dir/cmdline
	image disk
	dev=$(losetup -f --show disk)
	echo "$dev $dir/a ext4 dax=always,nosuid" >tab
	run faulty fsconfig:retval=0:when=2 arcmount shares --table tab
	losetup -d "$dev"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"mounted, dax=inode (the kernel took dax=always and did not do it)"* ]]
}

@test "a target that vanishes while it is mounted is an error or a mount, never a crash" {
	(for _ in $(seq 200); do mkdir -p v; rmdir v 2>/dev/null; done) &
	local other=$!
	for _ in $(seq 20); do
		run gb arcmount mount -t tmpfs none v
		[ "$status" -le 1 ]
		run gb arcmount umount v
		[ "$status" -le 1 ]
	done
	wait "$other" || true # its last rmdir may have found the mount
}
