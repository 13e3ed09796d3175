# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Ways to fail, and what arcmount says to each. tests/priv/causes.bats holds arcmount to it; bench/errors prints the table
# of docs/errors.md, with util-linux's and busybox's words for the same command line.
#
# causes_run FUNCTION calls, for each cause: FUNCTION NAME WORDS PROGRAM ARG..., in a folder of its own (private mounts),
# set up for that cause. WORDS must stand in arcmount's message.

causes_run()
{
	local call=$1 here dev
	here=$PWD
	cause()
	{
		local setup=$1
		shift
		mkdir -p "$here/w"
		(
			mount -t tmpfs none "$here/w" && cd "$here/w" && mkdir a b c && : >file || exit
			eval "$setup"
			"$call" "$@"
		)
		umount -R -l "$here/w"
	}
	cause : "a type that the kernel does not have" \
		'does not know the file system type "nosuchfs"' mount -t nosuchfs none a
	cause : "a word that the file system does not know" 'option sizee=1m: the file system does not know it' \
		mount -t tmpfs -o sizee=1m none a
	cause : "a value that it refuses" "Bad value for 'size'" mount -t tmpfs -o size=abc none a
	cause : "no such target" 'target nope: no such directory (-m makes it)' mount -t tmpfs none nope
	cause : "the target is a file" 'target file is a regular file' mount -t tmpfs none file
	cause 'ln -s gone link' "the target is a link to nowhere" 'symbolic link that leads nowhere' mount -t tmpfs none link
	cause : "no such source" 'source /dev/nope: No such file or directory' mount -t ext4 /dev/nope a
	cause : "the source is no block device" 'source /dev/zero is a character device, not a block device' \
		mount -t ext4 /dev/zero a
	cause : "the source is a directory" 'source b is a directory, not a block device (-o bind' mount -t ext4 b a
	cause : "no device has the label" 'no device has this LABEL' mount LABEL=gb-none a
	cause : "an overlay without lowerdir" 'overlay: no lowerdir among the options' \
		mount -t overlay -o upperdir=b,workdir=c none a
	cause : "a lowerdir that is not there" 'lowerdir nope: No such file or directory' \
		mount -t overlay -o lowerdir=b:nope none a
	cause : "upperdir without workdir" 'overlay: upperdir without workdir' mount -t overlay -o lowerdir=b,upperdir=c none a
	cause 'mkdir u w; mount -t tmpfs none w' "upperdir and workdir on two mounts" 'are not on one mount' \
		mount -t overlay -o lowerdir=b,upperdir=u,workdir=w none a
	cause 'mkdir -p u/w' "workdir inside upperdir" 'lie one in the other' \
		mount -t overlay -o lowerdir=b,upperdir=u,workdir=u/w none a
	cause : "remount of what is no mount point" 'b is not a mount point (it lies on the mount at' mount -o remount,ro b
	cause 'mount -t tmpfs none a; exec 7>a/open' "remount read-only, a file is being written" \
		'a file may be open for writing (pid ' mount -o remount,ro a
	cause : "bind of what is not there" 'source nope: No such file or directory' mount -o bind nope a
	cause : "bind of a directory to a file" 'target file is a regular file, and a directory can only be' mount -o bind a file
	cause 'mount -t tmpfs none b; mount --make-unbindable b' "bind of an unbindable mount" 'is on an unbindable mount' \
		mount -o bind b a
	cause 'mount -t tmpfs none b; mkdir b/in' "move into itself" 'lies inside the source' mount --move b b/in
	cause : "move of what is no mount" 'b is not a mount point' mount --move b a
	cause 'mount -t tmpfs none c; mount --make-shared c; mkdir c/x; mount -t tmpfs none c/x' "move out of a shared mount" \
		'is shared: make it private first' mount --move c/x a
	cause : "propagation of what is no mount point" 'b is not a mount point' mount --make-private b
	cause 'echo oops >tab' "a bad line in the table" 'line 1: only one field' mount -a -T tab
	cause : "umount of what is not mounted" 'b is not a mount point (it lies on the mount at' umount b
	cause 'mount -t tmpfs none a; exec 7>a/open' "umount, an open file" 'open file' umount a
	cause 'mount -t tmpfs none a; mkdir a/x; mount -t tmpfs none a/x' "umount, a mount on top" 'busy: mounted on it: ' umount a
	cause : "pivot_root to what is no mount point" 'b is not a mount point' pivot_root b b
	cause 'mount -t tmpfs none a' "pivot_root, a file" 'file is not a directory' pivot_root a file
	cause 'mount -t tmpfs none a' "pivot_root, put_old outside" 'b is neither a nor a directory below it' pivot_root a b
	cause 'mount -t tmpfs none c; mount --make-shared c; mkdir c/x; mount -t tmpfs none c/x; mkdir c/x/o' \
		"pivot_root below a shared mount" 'is shared: make it private first' pivot_root c/x c/x/o
	cause : "pivot_root to the root" '/ is the root already' pivot_root / /
	truncate -s 1M "$here/zeros"
	dev=$(losetup -f --show "$here/zeros")
	cause : "a device without that file system" 'holds no ext4 file system' mount -t ext4 "$dev" a
	losetup -d "$dev"
	truncate -s 8M "$here/disk" && mkfs.ext4 -q "$here/disk"
	dev=$(losetup -f --show "$here/disk")
	cause "mount -t ext4 $dev b" "a device that is mounted already, elsewhere and otherwise" 'is in use; it is mounted on' \
		mount -t ext4 -o ro "$dev" a
	losetup -d "$dev"
}
