/* SPDX-License-Identifier: MIT */
/* arcmount probe: the rules of mount(2), umount2(2), pivot_root(2) and of overlays. */
#include <bsd/string.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/arcmount/probe.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/apply.h"
#include "common/mount/loop.h"
#include "common/sys/mountinfo.h"

static const char *at(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, sizeof paths[0], "%s%s%s", arcmount_probe_work, *name ? "/" : "", name);
	return path;
}

static const char *name_of(int code)
{
	const char *name = code ? strerrorname_np(code) : "0";

	return name ? name : "an unknown error";
}

/* got is 0 or -errno; linux_code is what Linux is known to answer where it differs from the reference, or -1. */
static void expect(struct probe_result *r, int want, int linux_code, int got, const char *what)
{
	enum probe_verdict verdict = -got == want ? PROBE_OK : -got == linux_code ? PROBE_DIFFERS : PROBE_NOT_OK;

	arcmount_probe_judge(r, verdict, name_of(want), "%s%s%s%s", name_of(-got), *what ? " (" : "", what, *what ? ")" : "");
}

/* What a rule stands on did not come up: the rule says nothing then. */
static bool need(struct probe_result *r, int got, const char *what)
{
	if (got < 0)
		arcmount_probe_judge(r, PROBE_SKIPPED, "-", "%s: %s", what, strerror(-got));
	return got >= 0;
}

static int folder(const char *name)
{
	return mkdir(at(name), 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int tmpfs(const char *name)
{
	int r = folder(name);

	return r < 0 ? r : gb_mount_raw("probe", at(name), "tmpfs", 0, NULL);
}

static int file(const char *name)
{
	gb_autoclose int fd = open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : 0;
}

/* The smallest ext2, which the ext4 driver mounts: 2 MiB, 16 inodes, an empty root directory. No mkfs is needed. What is
 * not zero, as (offset, bytes, value); fs/ext2/ext2.h of the kernel has the fields. */
enum { BLOCK = 1024, BLOCKS = 2048, USED = 7, INODES = 16 };
enum { SUPER = BLOCK, GROUP = 2 * BLOCK, INODE = 5 * BLOCK + 128, DIR_AT = 7 * BLOCK };
static const struct { uint16_t at, bytes; uint32_t value; } ext2_fields[] = {
	{ SUPER + 0, 4, INODES }, { SUPER + 4, 4, BLOCKS },
	{ SUPER + 12, 4, BLOCKS - 1 - USED }, { SUPER + 16, 4, INODES - 10 }, /* free */
	{ SUPER + 20, 4, 1 },                                                /* first data block */
	{ SUPER + 32, 4, 8 * BLOCK }, { SUPER + 36, 4, 8 * BLOCK }, { SUPER + 40, 4, INODES }, /* blocks, fragments, inodes a group */
	{ SUPER + 54, 2, 0xffff },                                           /* mounts before a check */
	{ SUPER + 56, 2, 0xef53 }, { SUPER + 58, 2, 1 }, { SUPER + 60, 2, 1 }, /* clean; on errors: continue */
	{ GROUP + 0, 4, 3 }, { GROUP + 4, 4, 4 }, { GROUP + 8, 4, 5 },       /* block bitmap, inode bitmap, inode table */
	{ GROUP + 12, 2, BLOCKS - 1 - USED }, { GROUP + 14, 2, INODES - 10 }, { GROUP + 16, 2, 1 },
	{ INODE + 0, 2, S_IFDIR | 0755 }, { INODE + 4, 4, BLOCK }, { INODE + 26, 2, 2 }, { INODE + 28, 4, BLOCK / 512 },
	{ INODE + 40, 4, 7 },
	{ DIR_AT + 0, 4, 2 }, { DIR_AT + 4, 2, 12 }, { DIR_AT + 6, 2, 1 }, { DIR_AT + 8, 1, '.' },
	{ DIR_AT + 12, 4, 2 }, { DIR_AT + 16, 2, BLOCK - 12 }, { DIR_AT + 18, 2, 2 }, { DIR_AT + 20, 2, '.' << 8 | '.' },
};

static int small_ext2(const char *name)
{
	static unsigned char image[8 * BLOCK];
	gb_autoclose int fd = open(at(name), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < GB_ARRAY_LEN(ext2_fields); i++) {
		uint32_t value = htole32(ext2_fields[i].value);

		memcpy(image + ext2_fields[i].at, &value, ext2_fields[i].bytes);
	}
	for (unsigned i = 0; i < 8 * BLOCK; i++) { /* the bitmaps */
		if (i < USED || i >= BLOCKS - 1)
			image[3 * BLOCK + i / 8] |= (unsigned char)(1 << i % 8);
		if (i < 10 || i >= INODES)
			image[4 * BLOCK + i / 8] |= (unsigned char)(1 << i % 8);
	}
	int r = gb_io_write(fd, image, sizeof image);
	return r < 0 ? r : ftruncate(fd, BLOCKS * BLOCK) < 0 ? -errno : 0;
}

/* Makes what a rule stands on, "KIND:NAME" each and in this order: a tmpfs (t), a folder (d), an empty file (f), an ext2 image
 * (e). Without it the rule says nothing. */
static bool setup(struct probe_result *r, const char *what)
{
	char name[32];

	for (size_t n; *what; what += n + (what[n] == ' ')) {
		n = strcspn(what, " ");
		(void)snprintf(name, sizeof name, "%.*s", (int)n - 2, what + 2);
		bool made = *what == 't'   ? need(r, tmpfs(name), "tmpfs")
			    : *what == 'd' ? need(r, folder(name), "mkdir")
			    : *what == 'f' ? need(r, file(name), "file")
					   : need(r, small_ext2(name), "ext2 image");
		if (!made)
			return false;
	}
	return true;
}

static int writes(const char *name)
{
	return access(at(name), W_OK) < 0 ? -errno : 0;
}

static bool is_root(const char *name)
{
	return gb_mountinfo_is_root(AT_FDCWD, at(name), 0) == 1;
}

static void m1(struct probe_result *r)
{
	static const unsigned long two[] = { MS_SHARED | MS_PRIVATE, MS_PRIVATE | MS_SLAVE, MS_SLAVE | MS_UNBINDABLE,
					     MS_SHARED | MS_UNBINDABLE };

	for (size_t i = 0; need(r, i ? 0 : tmpfs("a"), "tmpfs") && i < GB_ARRAY_LEN(two); i++)
		expect(r, EINVAL, -1, gb_mount_raw(NULL, at("a"), NULL, two[i], NULL), "");
}

static void m2(struct probe_result *r)
{
	static const unsigned long beside[] = { MS_RDONLY, MS_NOSUID, MS_NOATIME };

	if (!setup(r, "t:a"))
		return;
	for (size_t i = 0; i < GB_ARRAY_LEN(beside); i++)
		expect(r, EINVAL, -1, gb_mount_raw(NULL, at("a"), NULL, MS_PRIVATE | beside[i], NULL), "");
	if (gb_mount_raw(NULL, at("a"), NULL, MS_PRIVATE | MS_REC | MS_SILENT, NULL) < 0)
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "REC and SILENT are refused, too");
}

static void m3(struct probe_result *r)
{
	if (setup(r, "t:a d:a/b"))
		expect(r, EINVAL, -1, gb_mount_raw(NULL, at("a/b"), NULL, MS_PRIVATE, NULL), "");
}

struct spread {
	const char *target;
	unsigned shared;
};

static int shared_of(const struct gb_mountinfo *row, void *arg)
{
	struct spread *s = arg;

	if (strcmp(row->target, s->target) == 0)
		s->shared = row->shared;
	return 0;
}

static unsigned shared(const char *name)
{
	struct spread s = { .target = at(name) };

	(void)gb_mountinfo_foreach(NULL, shared_of, &s);
	return s.shared;
}

static void m4(struct probe_result *r)
{
	if (!setup(r, "t:a t:a/b"))
		return;
	expect(r, 0, -1, gb_mount_raw(NULL, at("a"), NULL, MS_SHARED, NULL), "");
	if (!shared("a") || shared("a/b"))
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "the mount %s shared, the one below it %s", shared("a") ? "is" : "is not",
		      shared("a/b") ? "is as well" : "is not");
	expect(r, 0, -1, gb_mount_raw(NULL, at("a"), NULL, MS_SHARED | MS_REC, NULL), "");
	if (!shared("a/b"))
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "with REC the mount below is not shared");
}

static void m5(struct probe_result *r)
{
	if (setup(r, "t:a d:a/b"))
		expect(r, EINVAL, -1, gb_mount_raw(NULL, at("a/b"), NULL, MS_REMOUNT, NULL), "");
}

static void m6(struct probe_result *r)
{
	if (!setup(r, "t:a"))
		return;
	expect(r, 0, -1, gb_mount_raw(NULL, at("a"), NULL, MS_REMOUNT | MS_RDONLY, NULL), "");
	if (writes("a") != -EROFS)
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "the mount is still writable");
}

static void m7(struct probe_result *r)
{
	if (!setup(r, "t:a f:a/f d:b"))
		return;
	expect(r, 0, -1, gb_mount_raw(at("a"), at("b"), NULL, MS_MOVE, NULL), "");
	if (access(at("b/f"), F_OK) < 0 || is_root("a"))
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "the mount did not leave its old place");
}

static void m8(struct probe_result *r)
{
	if (!setup(r, "t:a t:a/b d:c d:d"))
		return;
	expect(r, 0, -1, gb_mount_raw(at("a"), at("c"), NULL, MS_BIND, NULL), "");
	if (is_root("c/b"))
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "without REC a mount below came along");
	expect(r, 0, -1, gb_mount_raw(at("a"), at("d"), NULL, MS_BIND | MS_REC | MS_RDONLY, NULL), "");
	if (!is_root("d/b"))
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "with REC the mount below did not come along");
	if (writes("d") == -EROFS)
		return;
	int again = gb_mount_raw(NULL, at("d"), NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
	if (again == 0 && writes("d") == -EROFS && writes("a") == 0)
		arcmount_probe_judge(r, PROBE_DIFFERS, "0, read-only",
				     "0, writable; a second call, REMOUNT|BIND|RDONLY, makes it read-only");
	else
		arcmount_probe_judge(r, PROBE_NOT_OK, "0, read-only",
				     "0, writable, and a second call does not change that: %s", name_of(-again));
}

static void m9(struct probe_result *r)
{
	if (setup(r, "d:a"))
		expect(r, ENODEV, -1, gb_mount_raw("probe", at("a"), "nosuchfs", 0, NULL), "");
}

/* A loop device that ends with its last user: nothing outlives the probe. The descriptor, or -errno. */
static int loop_of(const char *name, char *device, size_t size)
{
	struct gb_mount_loop loop = { .file = at(name) };
	bool read_only;

	return gb_mount_loop_attach(&loop, device, size, &read_only, NULL);
}

static void m10(struct probe_result *r)
{
	static const char *const types[] = { "proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "cgroup2" };
	char missing[128] = "", device[64];

	if (!setup(r, "d:a"))
		return;
	for (size_t i = 0; i < GB_ARRAY_LEN(types); i++) {
		if (gb_mount_raw("probe", at("a"), types[i], 0, NULL) < 0) {
			(void)strlcat(missing, " ", sizeof missing);
			(void)strlcat(missing, types[i], sizeof missing);
		}
	}
	if (folder("l") < 0 || folder("o") < 0)
		return;
	char data[256];
	(void)snprintf(data, sizeof data, "lowerdir=%s:%s", at("l"), at("o"));
	if (gb_mount_raw("probe", at("o"), "overlay", 0, data) < 0)
		(void)strlcat(missing, " overlay", sizeof missing);
	int made = small_ext2("image"), fd = made < 0 ? made : loop_of("image", device, sizeof device);
	int ext4 = fd < 0 ? fd : gb_mount_raw(device, at("a"), "ext4", 0, NULL);
	const char *note = fd < 0 ? "; ext4 not tried: no loop device" : "";
	if (fd >= 0)
		(void)close(fd);
	if (fd >= 0 && ext4 < 0)
		(void)strlcat(missing, " ext4", sizeof missing);
	arcmount_probe_judge(r, *missing ? PROBE_NOT_OK : PROBE_OK, "0", "%s%s%s", *missing ? "not supported:" : "0", missing, note);
}

static void m11(struct probe_result *r)
{
	if (!setup(r, "d:a e:image"))
		return;
	int got = gb_mount_raw(at("image"), at("a"), "ext4", 0, NULL);
	if (got == -ENODEV)
		arcmount_probe_judge(r, PROBE_SKIPPED, "-", "this kernel has no ext4");
	expect(r, ENOTBLK, EINVAL, got, "");
}

static int overlay(const char *data)
{
	int r = folder("m");

	return r < 0 ? r : gb_mount_raw("probe", at("m"), "overlay", 0, data);
}

/* Layers on a tmpfs, with which data may name l, u and w. -> whether the kernel has overlays at all. */
static bool layers(struct probe_result *r)
{
	if (!setup(r, "d:l d:l2 d:u d:w"))
		return false;
	if (chdir(arcmount_probe_work) < 0)
		return false;
	if (overlay("lowerdir=l:l2") == -ENODEV) {
		arcmount_probe_judge(r, PROBE_SKIPPED, "-", "this kernel has no overlay");
		return false;
	}
	return true;
}

static void o1(struct probe_result *r)
{
	if (layers(r)) {
		expect(r, EINVAL, -1, overlay(NULL), "");
		expect(r, EINVAL, -1, overlay("upperdir=u,workdir=w"), "");
	}
}

static void o2(struct probe_result *r)
{
	if (layers(r)) {
		expect(r, EINVAL, -1, overlay("lowerdir="), "");
		expect(r, EINVAL, ENOENT, overlay("lowerdir=:"), "");
	}
}

static void o3(struct probe_result *r)
{
	if (layers(r)) {
		expect(r, EINVAL, -1, overlay("lowerdir=l,upperdir=u"), "");
		expect(r, EINVAL, 0, overlay("lowerdir=l:l2,workdir=w"), "Linux ignores a workdir without an upperdir");
	}
}

static void o4(struct probe_result *r)
{
	if (!layers(r))
		return;
	expect(r, 0, -1, overlay("lowerdir=l:l2"), "");
	if (writes("m") != -EROFS)
		arcmount_probe_judge(r, PROBE_NOT_OK, "0, read-only", "the overlay is writable");
}

static void o5(struct probe_result *r)
{
	if (layers(r)) {
		expect(r, EOPNOTSUPP, 0, overlay("lowerdir=l,upperdir=u,workdir=w,index=on"), "Linux has it");
		expect(r, EOPNOTSUPP, 0, overlay("lowerdir=l2:l,redirect_dir=on"), "Linux has it");
		expect(r, 0, -1, overlay("lowerdir=l2:l,index=off,redirect_dir=off"), "");
	}
}

static void o6(struct probe_result *r)
{
	if (layers(r))
		expect(r, 0, EINVAL, overlay("lowerdir=l:l2,nosuchword"), "Linux refuses the word");
}

static void u1(struct probe_result *r)
{
	if (setup(r, "t:a"))
		expect(r, EINVAL, -1, gb_mount_raw_undo(at("a"), 16), "");
}

static void u2(struct probe_result *r)
{
	if (setup(r, "t:a")) {
		expect(r, EINVAL, -1, gb_mount_raw_undo(at("a"), MNT_EXPIRE | MNT_FORCE), "");
		expect(r, EINVAL, -1, gb_mount_raw_undo(at("a"), MNT_EXPIRE | MNT_DETACH), "");
	}
}

static void u3(struct probe_result *r)
{
	if (!setup(r, "t:a") || !need(r, symlink("a", at("link")) < 0 ? -errno : 0, "symlink"))
		return;
	expect(r, EINVAL, -1, gb_mount_raw_undo(at("link"), UMOUNT_NOFOLLOW), "");
	if (!is_root("a"))
		arcmount_probe_judge(r, PROBE_NOT_OK, "EINVAL", "the link was followed");
}

static void u4(struct probe_result *r)
{
	if (setup(r, "t:a d:a/b"))
		expect(r, EINVAL, -1, gb_mount_raw_undo(at("a/b"), 0), "");
}

static void u5(struct probe_result *r)
{
	if (!setup(r, "t:a"))
		return;
	expect(r, EAGAIN, -1, gb_mount_raw_undo(at("a"), MNT_EXPIRE), "");
	if (!is_root("a"))
		arcmount_probe_judge(r, PROBE_NOT_OK, "EAGAIN", "it was unmounted at once");
}

static void u6(struct probe_result *r)
{
	if (!setup(r, "t:a"))
		return;
	(void)gb_mount_raw_undo(at("a"), MNT_EXPIRE);
	expect(r, 0, -1, gb_mount_raw_undo(at("a"), MNT_EXPIRE), "");
	if (is_root("a"))
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "0, and it is still mounted");
}

static void u7(struct probe_result *r)
{
	if (!setup(r, "t:a f:a/f"))
		return;
	gb_autoclose int fd = open(at("a/f"), O_RDWR | O_CLOEXEC);
	expect(r, 0, -1, gb_mount_raw_undo(at("a"), MNT_DETACH), "");
	if (is_root("a") || gb_io_write(fd, "x", 1) < 0)
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "the mount is still there, or its open file is not");
}

static void u8(struct probe_result *r)
{
	if (!setup(r, "t:a"))
		return;
	gb_autoclose int fd = open(at("a"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect(r, EBUSY, -1, gb_mount_raw_undo(at("a"), 0), "");
	gb_close_fd(&fd);
	fd = -1;
	if (chdir(at("a")) == 0)
		expect(r, EBUSY, -1, gb_mount_raw_undo(at("a"), 0), "");
}

/* A disk image on a tmpfs too small for what is written to it. */
static void u9(struct probe_result *r)
{
	char device[64];
	static char block[4096];

	if (!setup(r, "d:a d:s") || !need(r, gb_mount_raw("probe", at("s"), "tmpfs", 0, "size=64k"), "tmpfs") || !setup(r, "e:s/image"))
		return;
	int fd = loop_of("s/image", device, sizeof device);
	if (!need(r, fd, "loop device"))
		return;
	int got = gb_mount_raw(device, at("a"), "ext4", 0, NULL);
	(void)close(fd);
	if (!need(r, got, "ext4"))
		return;
	fd = open(at("a/f"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	memset(block, 'x', sizeof block);
	for (int i = 0; fd >= 0 && i < 128; i++)
		(void)gb_io_write(fd, block, sizeof block);
	gb_close_fd(&fd);
	expect(r, EIO, 0, gb_mount_raw_undo(at("a"), 0), "Linux loses the data in silence; arcmount umount writes out first");
}

static void p1(struct probe_result *r)
{
	if (setup(r, "t:new d:newroot t:newroot/x"))
		expect(r, EINVAL, -1, gb_mount_raw_pivot(at("new"), at("newroot/x")), "");
}

static void p2(struct probe_result *r)
{
	if (setup(r, "d:old"))
		expect(r, EINVAL, EBUSY, gb_mount_raw_pivot("/", at("old")), "Linux says that it is the root already");
}

static void p3(struct probe_result *r)
{
	if (!setup(r, "d:jail t:jail/new d:jail/new/old"))
		return;
	if (chroot(at("jail")) == 0 && chdir("/") == 0)
		expect(r, EINVAL, -1, gb_mount_raw_pivot("/new", "/new/old"), "");
}

static void p4(struct probe_result *r)
{
	if (!setup(r, "t:new f:new/f f:f d:new/old"))
		return;
	expect(r, ENOTDIR, -1, gb_mount_raw_pivot(at("new"), at("new/f")), "");
	expect(r, ENOTDIR, -1, gb_mount_raw_pivot(at("f"), at("new/old")), "");
}

static void p5(struct probe_result *r)
{
	if (setup(r, "t:new d:new/sub d:new/sub/old"))
		expect(r, EINVAL, -1, gb_mount_raw_pivot(at("new/sub"), at("new/sub/old")), "");
}

static int is_rootfs(const struct gb_mountinfo *row, void *arg)
{
	int *id = arg;

	return row->id == *id && (strcmp(row->type, "rootfs") == 0 || row->parent == row->id);
}

static void p6(struct probe_result *r)
{
	int id = gb_mountinfo_id_at(AT_FDCWD, "/", 0);

	if (gb_mountinfo_foreach(NULL, is_rootfs, &id) <= 0)
		arcmount_probe_judge(r, PROBE_SKIPPED, "-", "the root here is no initramfs");
	else if (setup(r, "t:new d:new/old"))
		expect(r, EINVAL, -1, gb_mount_raw_pivot(at("new"), at("new/old")), "");
}

static void p7(struct probe_result *r)
{
	if (!setup(r, "t:p") || !need(r, gb_mount_raw(NULL, at("p"), NULL, MS_SHARED, NULL), "make-shared") ||
	    !setup(r, "t:p/new d:p/new/old"))
		return;
	expect(r, EINVAL, -1, gb_mount_raw_pivot(at("p/new"), at("p/new/old")), "");
}

/* A task of its own, whose root and working directory are where it was put; it tells what its root is when asked. */
struct task {
	pid_t pid;
	int ask, answer;
};

static bool start_task(struct task *t, const char *root)
{
	int ask[2], answer[2];
	char byte = 1;

	if (pipe2(ask, O_CLOEXEC) < 0 || pipe2(answer, O_CLOEXEC) < 0)
		return false;
	t->pid = fork();
	if (t->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if ((root && chroot(root) < 0) || chdir("/") < 0)
			_exit(1);
		(void)gb_io_write(answer[1], &byte, 1);
		if (gb_io_read(ask[0], &byte, 1) == 1) {
			char seen[2] = { access("/is-new", F_OK) == 0 ? 'n' : '-', access("is-new", F_OK) == 0 ? 'n' : '-' };
			(void)gb_io_write(answer[1], seen, 2);
		}
		_exit(0);
	}
	(void)close(ask[0]);
	(void)close(answer[1]);
	t->ask = ask[1];
	t->answer = answer[0];
	return t->pid > 0 && gb_io_read(t->answer, &byte, 1) == 1;
}

static void ask_task(struct task *t, char *seen)
{
	seen[0] = seen[1] = '?';
	(void)gb_io_write(t->ask, "x", 1);
	(void)gb_io_read(t->answer, seen, 2);
	(void)close(t->ask);
	(void)close(t->answer);
	(void)gb_io_wait(t->pid, NULL);
}

static void p8(struct probe_result *r)
{
	struct task same, deeper;
	char a[2], b[2];

	if (!setup(r, "t:new d:new/old f:new/is-new d:jail") || chdir("/") < 0)
		return;
	if (!start_task(&same, NULL) || !start_task(&deeper, at("jail"))) {
		arcmount_probe_judge(r, PROBE_SKIPPED, "-", "no process");
		return;
	}
	expect(r, 0, -1, gb_mount_raw_pivot(at("new"), at("new/old")), "");
	ask_task(&same, a);
	ask_task(&deeper, b);
	if (a[0] != 'n' || a[1] != 'n')
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "a task at the old root was not moved (root %c, working directory %c)", a[0],
				     a[1]);
	if (b[0] == 'n' || b[1] == 'n')
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "a task in a chroot was moved");
	if (access("/is-new", F_OK) < 0 || access("/old", F_OK) < 0)
		arcmount_probe_judge(r, PROBE_NOT_OK, "0", "the caller is not in the new root");
}

const struct probe_rule arcmount_probe_rules[] = {
	{ "M1", "more than one of shared, private, slave, unbindable", m1, false },
	{ "M2", "a propagation flag with anything beside REC and SILENT", m2, false },
	{ "M3", "propagation on a path that is not the root of a mount", m3, false },
	{ "M4", "propagation applies to the mount, with REC to all below", m4, false },
	{ "M5", "REMOUNT on a path that is not the root of a mount", m5, false },
	{ "M6", "REMOUNT with RDONLY makes the mount read-only", m6, false },
	{ "M7", "MOVE takes the source mount to the target", m7, false },
	{ "M8", "BIND, with REC submounts come along, with RDONLY read-only", m8, false },
	{ "M9", "a file system type that the kernel does not have", m9, false },
	{ "M10", "proc, sysfs, devtmpfs, devpts, tmpfs, cgroup2, overlay, ext4", m10, false },
	{ "M11", "ext4 whose source is not a block device", m11, false },
	{ "O1", "overlay without data, or without lowerdir", o1, false },
	{ "O2", "overlay with an empty lowerdir list", o2, false },
	{ "O3", "upperdir without workdir, workdir without upperdir", o3, false },
	{ "O4", "overlay of lowerdirs alone is read-only", o4, false },
	{ "O5", "index or redirect_dir with a value but off", o5, false },
	{ "O6", "an overlay word without = is ignored", o6, false },
	{ "U1", "an unknown umount2 flag", u1, false },
	{ "U2", "EXPIRE together with FORCE or DETACH", u2, false },
	{ "U3", "NOFOLLOW on a symbolic link", u3, false },
	{ "U4", "umount2 of a path that is not the root of a mount", u4, false },
	{ "U5", "the first EXPIRE marks the mount", u5, false },
	{ "U6", "the second EXPIRE unmounts it", u6, false },
	{ "U7", "DETACH takes a mount in use out of the tree", u7, false },
	{ "U8", "a mount in use is busy", u8, false },
	{ "U9", "a write-out that fails is an error of umount2", u9, false },
	{ "P1", "put_old is neither new_root nor below it, by whole parts", p1, true },
	{ "P2", "new_root is /", p2, true },
	{ "P3", "the caller's root is no mount point (a chroot)", p3, true },
	{ "P4", "a path of pivot_root is no directory", p4, true },
	{ "P5", "new_root is not the root of a mount", p5, true },
	{ "P6", "the current root is the initramfs", p6, false },
	{ "P7", "the parent mount of new_root is shared", p7, true },
	{ "P8", "tasks at the old root are moved, those in a chroot are not", p8, true },
	{ 0 },
};
