#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# arcmount without root: command lines, plans, tables, lists.
load ../lib.bash

setup() { need_applet arcmount; }

@test "a missing, wrong or surplus argument is one line and status 2" {
	fails 2 "missing verb" gb arcmount
	fails 2 'unknown verb "mont"' gb arcmount mont
	fails 2 "missing target" gb arcmount umount
	fails 2 "missing target" gb arcmount is-mounted
	fails 2 'surplus argument "b"' gb arcmount is-mounted a b
	fails 2 "missing options" gb arcmount remount /x
	fails 2 "missing source" gb arcmount bind
	fails 2 "missing target" gb arcmount bind /x
	fails 2 'propagation "sharde"' gb arcmount propagate sharde /
	fails 2 "missing lower folders" gb arcmount overlay /x
	fails 2 "--work is missing" gb arcmount overlay --lower /a --upper /u /x
	fails 2 "--expire goes with neither" gb arcmount umount --expire -l /x
	fails 2 "-t goes with -a" gb arcmount umount -t tmpfs /x
	fails 2 "-O goes with -a" gb arcmount mount -O _netdev /x
	fails 2 "-a and -R exclude each other" gb arcmount umount -a -R -t nosuchfs
	fails 2 "only one -L or -U" gb arcmount mount -L a -U b /x
	fails 2 "-a goes with neither -L nor -U" gb arcmount mount -a -L a
	fails 2 "only one --make- option" gb arcmount mount --make-shared --make-private /x
	fails 2 "missing directory for the old root" gb arcmount pivot-root /x
	fails 2 "missing init" gb arcmount switch-root /x
	fails 2 "surplus argument" gb arcmount shares x
	fails 2 "exclude each other" gb arcmount shares --dry-run --json
}

@test "under the names mount and umount a usage error is mount(8)'s 1" {
	fails 1 "unknown option -Z" gb mount -Z
	fails 1 "missing target" gb umount
	run gb mount --help
	[ "$status" -eq 0 ]
	run gb umount --version
	[ "$status" -eq 0 ]
}

@test "--dry-run prints the calls that a run would make" {
	run gb arcmount mount --dry-run -m -t tmpfs -o 'size=1m,nodev,ro' none '/nope/a b'
	[ "$status" -eq 0 ]
	diff - <(echo "$output") <<-'CALLS'
	fsopen("tmpfs", FSOPEN_CLOEXEC)
	fsconfig(fs, FSCONFIG_SET_STRING, "source", "none", 0)
	fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0)
	fsconfig(fs, FSCONFIG_SET_STRING, "size", "1m", 0)
	fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)
	fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY|MOUNT_ATTR_NODEV)
	mkdir("/nope/a b", 0755)
	move_mount(tree, "", AT_FDCWD, "/nope/a b", MOVE_MOUNT_F_EMPTY_PATH)
	CALLS
	run gb arcmount bind --dry-run -R -o ro=recursive /a /b
	[ "${lines[1]}" = 'mount_setattr(tree, "", AT_EMPTY_PATH|AT_RECURSIVE, {set=MOUNT_ATTR_RDONLY, clr=0})' ]
	run gb arcmount propagate --dry-run -R slave /b
	[ "$output" = 'mount(NULL, "/b", NULL, MS_REC|MS_SLAVE, NULL)' ]
	run gb mount --dry-run --make-rprivate /
	[ "$output" = 'mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL)' ]
	run gb arcmount umount --dry-run --expire --no-follow /proc
	[ "$output" = 'umount2("/proc", MNT_EXPIRE|UMOUNT_NOFOLLOW)' ]
	run gb arcmount pivot-root --dry-run /a /a/b
	[ "$output" = 'pivot_root("/a", "/a/b")' ]
	run gb arcmount switch-root --dry-run /a /sbin/init -x
	[[ $output == *'chroot(".")'*'execv("/sbin/init")' ]]
	run gb arcmount overlay --dry-run --lower /l:/m --upper '/u,v' --work /w /x
	[[ $output == *'"upperdir", "/u\\,v"'* ]]
}

@test "options that have no meaning are named" {
	fails 1 'option size=1m: means nothing to a bind' gb arcmount bind -o size=1m /a /b
	fails 1 'option context="x: a quote is not closed' gb arcmount mount -t tmpfs -o 'ro,context="x' none /b
	fails 1 'only one of shared, private' gb arcmount mount -t tmpfs -o shared,private none /b
	fails 1 'option offset=1x: no size' gb arcmount mount -t ext4 -o loop,offset=1x img /b
	fails 1 'overlay: upperdir without workdir' gb arcmount mount -t overlay -o lowerdir=/l,upperdir=/u overlay /b
	fails 1 'longer than' bash -c "head -c 100000 /dev/zero | tr '\0' a >$BATS_TEST_TMPDIR/o
		'$GUESTBOX' arcmount mount -t tmpfs -o \"\$(cat $BATS_TEST_TMPDIR/o)\" none /b"
}

@test "a table: parents first, a bad line by its number, filters" {
	cat >"$BATS_TEST_TMPDIR/fstab" <<-'TABLE'
	# a comment
	tmpfs	/gb-x/a/b	tmpfs	nodev	0 0
	tmpfs	/gb-x/a		tmpfs	nosuid
	only-one-field
	tmpfs	/gb-x/no	tmpfs	noauto
	tmpfs	relative	tmpfs	defaults
	tmpfs	/gb-x/c\040d	tmpfs	_netdev,x-foo=1
	tmpfs	/gb-x/e	f	tmpfs	defaults 0 0 0
	none	/gb-x/proc	proc
	/dev/x	none		swap	sw
	TABLE
	run gb arcmount mount -a --dry-run -T "$BATS_TEST_TMPDIR/fstab"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"fstab: line 4: only one field"* ]]
	[[ $output == *"fstab: line 6: the target is no absolute path"* ]]
	[[ $output == *"fstab: line 8: more than six fields"* ]]
	[ "$(grep -o 'AT_FDCWD, "[^"]*"' <<<"$output" | tr '\n' ' ')" = 'AT_FDCWD, "/gb-x/a" AT_FDCWD, "/gb-x/a/b" AT_FDCWD, "/gb-x/c d" AT_FDCWD, "/gb-x/proc" ' ]
	run gb mount -a --dry-run -T "$BATS_TEST_TMPDIR/fstab"
	[ "$status" -eq 64 ]
	run gb arcmount mount -a --dry-run -t proc -T "$BATS_TEST_TMPDIR/fstab"
	[[ $output == *'"/gb-x/proc"'* && $output != *'"/gb-x/a"'* ]]
	run gb arcmount mount -a --dry-run -t noproc -O no_netdev -T "$BATS_TEST_TMPDIR/fstab"
	[[ $output == *'"/gb-x/a"'* && $output != *'"/gb-x/proc"'* && $output != *'"/gb-x/c d"'* ]]
	run gb arcmount mount --dry-run -T "$BATS_TEST_TMPDIR/fstab" /gb-x/a/b
	[[ $output == *'MOUNT_ATTR_NODEV'*'"/gb-x/a/b"'* ]]
	fails 1 "does not have it" gb arcmount mount --dry-run -T "$BATS_TEST_TMPDIR/fstab" /gb-x/z
	fails 1 "No such file" gb arcmount mount -a -T "$BATS_TEST_TMPDIR/none"
}

@test "shares: the built-in table, a file, and the kernel command line" {
	export GUESTBOX_CMDLINE=$BATS_TEST_TMPDIR/cmdline
	echo 'quiet guestbox.share=tools:/gb-tools:ro,nosuid guestbox.share=bad' >"$GUESTBOX_CMDLINE"
	run gb arcmount shares --dry-run
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *'"source", "arcbox"'*'"dax", "always"'*'"/arcbox"'* ]]
	[[ $output == *'"source", "users"'*'"/Users"'* ]]
	[[ $output == *'"source", "tools"'*'MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID'*'"/gb-tools"'* ]]
	[[ $output == *'guestbox.share: not TAG:TARGET[:OPTIONS]'* ]]
	[[ $output != *cache* ]]
	: >"$GUESTBOX_CMDLINE"
	echo 'one /gb-one virtiofs ro' >"$BATS_TEST_TMPDIR/table"
	run gb arcmount shares --dry-run --table "$BATS_TEST_TMPDIR/table"
	[ "$status" -eq 0 ]
	[[ $output == *'"/gb-one"'* && $output != *arcbox* ]]
}

@test "is-mounted answers by status alone" {
	run gb arcmount is-mounted /proc
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	run gb arcmount is-mounted /proc/self
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	run gb arcmount is-mounted "$BATS_TEST_TMPDIR/none"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	ln -s /proc "$BATS_TEST_TMPDIR/link"
	gb arcmount is-mounted "$BATS_TEST_TMPDIR/link"
}

@test "list: escapes are undone and shown safely, JSON holds every field" {
	printf '%s\n' '1 0 0:1 / / rw - rootfs rootfs rw' \
		'20 1 0:5 /sub /a\040b\011c\012d\134e rw,nosuid shared:3 master:2 - virtiofs my\040tag rw,dax=inode' \
		'garbage' '21 1 0:6 / /u rw unbindable - tmpfs  rw' >"$BATS_TEST_TMPDIR/info"
	run gb arcmount list --from "$BATS_TEST_TMPDIR/info"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 3 ]
	[ "${lines[1]}" = $'/a b\\tc\\nd\\e\tmy tag\tvirtiofs\trw,nosuid\trw,dax=inode\tshared,slave\t20\t1\tinode' ]
	run gb arcmount list --json --from "$BATS_TEST_TMPDIR/info" /u
	[ "$output" = '[{"target":"/u","source":"","type":"tmpfs","options":"rw","super":"rw","root":"/","propagation":"unbindable","id":21,"parent":1}]' ]
	run gb arcmount list --json --from "$BATS_TEST_TMPDIR/info"
	[[ $output == *'"target":"/a b\u0009c\nd\\e"'*'"dax":"inode"'* ]]
	fails 1 "/zz: not a mount point" gb arcmount list --from "$BATS_TEST_TMPDIR/info" /zz
	run gb arcmount list /proc
	[[ $output == /proc$'\t'*$'\tproc\t'* ]]
	fails 1 "not a mount point" gb arcmount list /proc/self
	fails 1 "No such file" gb arcmount list --from "$BATS_TEST_TMPDIR/none"
}

@test "a hundred thousand mounts are listed, each once" {
	awk 'BEGIN { for (i = 1; i <= 100000; i++) printf "%d %d 0:1 / /m%d rw - tmpfs t rw\n", i, (i > 1), i }' >"$BATS_TEST_TMPDIR/many"
	[ "$(gb arcmount list --from "$BATS_TEST_TMPDIR/many" | sort -u | wc -l)" -eq 100000 ]
}

@test "without root the cause is that" {
	[ "$(id -u)" -ne 0 ] || setpriv --reuid 65534 --clear-groups true 2>/dev/null || skip "setpriv cannot drop root here"
	as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid 65534 --clear-groups "$@"; else "$@"; fi; }
	as "$GUESTBOX" --version || skip "the binary is in a folder that only root can enter"
	fails 1 "needs root (CAP_SYS_ADMIN)" as "$GUESTBOX" arcmount mount -t tmpfs none /mnt
	fails 1 "needs root (CAP_SYS_ADMIN)" as "$GUESTBOX" mount -t tmpfs none /mnt
	fails 1 "needs root (CAP_SYS_ADMIN)" as "$GUESTBOX" arcmount umount /proc
	fails 1 "need root (CAP_SYS_ADMIN)" as "$GUESTBOX" arcmount probe
}
