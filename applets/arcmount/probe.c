/* SPDX-License-Identifier: MIT */
/* arcmount probe: the rules of mount(2), umount2(2) and pivot_root(2), one by one, against the kernel that runs. */
#include <bsd/string.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/arcmount/arcmount.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/json.h"
#include "common/mount/apply.h"
#include "common/mount/cause.h"
#include "common/mount/loop.h"
#include "common/sys/mountinfo.h"

enum { OPT_JSON = GB_OPT_LONG };

const struct gb_opt arcmount_probe_opts[] = {
	{ OPT_JSON, "json", NULL, "one JSON value instead of TAP" },
	{ 0 },
};

enum verdict { NOT_RUN, OK, NOT_OK, DIFFERS, SKIPPED };

/* What a rule's process hands back through a pipe. */
struct result {
	enum verdict verdict;
	char expected[64], seen[256];
};

struct rule {
	const char *name, *text;
	void (*run)(struct result *r);
	bool own_root; /* gets a tmpfs as its root, as far as pivot_root(2) can tell the real one */
};

/* Every rule runs in a process and a mount namespace of its own, in an empty tmpfs at this place. */
static char work[64];

static const char *at(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, sizeof paths[0], "%s%s%s", work, *name ? "/" : "", name);
	return path;
}

static const char *name_of(int code)
{
	const char *name = code ? strerrorname_np(code) : "0";

	return name ? name : "an unknown error";
}

static void judge(struct result *r, enum verdict verdict, const char *expected, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void judge(struct result *r, enum verdict verdict, const char *expected, const char *fmt, ...)
{
	va_list ap;

	/* A rule of several parts ends with the first that does not hold. */
	if (r->verdict == NOT_OK || r->verdict == SKIPPED || (r->verdict == DIFFERS && verdict == OK))
		return;
	r->verdict = verdict;
	(void)strlcpy(r->expected, expected, sizeof r->expected);
	va_start(ap, fmt);
	(void)vsnprintf(r->seen, sizeof r->seen, fmt, ap);
	va_end(ap);
}

/* got is 0 or -errno; linux_code is what Linux is known to answer where it differs from the reference, or -1. */
static void expect(struct result *r, int want, int linux_code, int got, const char *what)
{
	enum verdict verdict = -got == want ? OK : -got == linux_code ? DIFFERS : NOT_OK;

	judge(r, verdict, name_of(want), "%s%s%s%s", name_of(-got), *what ? " (" : "", what, *what ? ")" : "");
}

/* What a rule stands on did not come up: the rule says nothing then. */
static bool need(struct result *r, int got, const char *what)
{
	if (got < 0)
		judge(r, SKIPPED, "-", "%s: %s", what, strerror(-got));
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

static int writes(const char *name)
{
	return access(at(name), W_OK) < 0 ? -errno : 0;
}

static bool is_root(const char *name)
{
	return gb_mountinfo_is_root(AT_FDCWD, at(name), 0) == 1;
}

static void m1(struct result *r)
{
	static const unsigned long two[] = { MS_SHARED | MS_PRIVATE, MS_PRIVATE | MS_SLAVE, MS_SLAVE | MS_UNBINDABLE,
					     MS_SHARED | MS_UNBINDABLE };

	for (size_t i = 0; need(r, i ? 0 : tmpfs("a"), "tmpfs") && i < GB_ARRAY_LEN(two); i++)
		expect(r, EINVAL, -1, gb_mount_raw(NULL, at("a"), NULL, two[i], NULL), "");
}

static void m2(struct result *r)
{
	static const unsigned long beside[] = { MS_RDONLY, MS_NOSUID, MS_NOATIME };

	if (!need(r, tmpfs("a"), "tmpfs"))
		return;
	for (size_t i = 0; i < GB_ARRAY_LEN(beside); i++)
		expect(r, EINVAL, -1, gb_mount_raw(NULL, at("a"), NULL, MS_PRIVATE | beside[i], NULL), "");
	if (gb_mount_raw(NULL, at("a"), NULL, MS_PRIVATE | MS_REC | MS_SILENT, NULL) < 0)
		judge(r, NOT_OK, "0", "REC and SILENT are refused, too");
}

static void m3(struct result *r)
{
	if (need(r, tmpfs("a"), "tmpfs") && need(r, folder("a/b"), "mkdir"))
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

static void m4(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs") || !need(r, tmpfs("a/b"), "tmpfs"))
		return;
	expect(r, 0, -1, gb_mount_raw(NULL, at("a"), NULL, MS_SHARED, NULL), "");
	if (!shared("a") || shared("a/b"))
		judge(r, NOT_OK, "0", "the mount %s shared, the one below it %s", shared("a") ? "is" : "is not",
		      shared("a/b") ? "is as well" : "is not");
	expect(r, 0, -1, gb_mount_raw(NULL, at("a"), NULL, MS_SHARED | MS_REC, NULL), "");
	if (!shared("a/b"))
		judge(r, NOT_OK, "0", "with REC the mount below is not shared");
}

static void m5(struct result *r)
{
	if (need(r, tmpfs("a"), "tmpfs") && need(r, folder("a/b"), "mkdir"))
		expect(r, EINVAL, -1, gb_mount_raw(NULL, at("a/b"), NULL, MS_REMOUNT, NULL), "");
}

static void m6(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs"))
		return;
	expect(r, 0, -1, gb_mount_raw(NULL, at("a"), NULL, MS_REMOUNT | MS_RDONLY, NULL), "");
	if (writes("a") != -EROFS)
		judge(r, NOT_OK, "0", "the mount is still writable");
}

static void m7(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs") || !need(r, file("a/f"), "file") || !need(r, folder("b"), "mkdir"))
		return;
	expect(r, 0, -1, gb_mount_raw(at("a"), at("b"), NULL, MS_MOVE, NULL), "");
	if (access(at("b/f"), F_OK) < 0 || is_root("a"))
		judge(r, NOT_OK, "0", "the mount did not leave its old place");
}

static void m8(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs") || !need(r, tmpfs("a/b"), "tmpfs") || !need(r, folder("c"), "mkdir") ||
	    !need(r, folder("d"), "mkdir"))
		return;
	expect(r, 0, -1, gb_mount_raw(at("a"), at("c"), NULL, MS_BIND, NULL), "");
	if (is_root("c/b"))
		judge(r, NOT_OK, "0", "without REC a mount below came along");
	expect(r, 0, -1, gb_mount_raw(at("a"), at("d"), NULL, MS_BIND | MS_REC | MS_RDONLY, NULL), "");
	if (!is_root("d/b"))
		judge(r, NOT_OK, "0", "with REC the mount below did not come along");
	if (writes("d") == -EROFS)
		return;
	int again = gb_mount_raw(NULL, at("d"), NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
	if (again == 0 && writes("d") == -EROFS && writes("a") == 0)
		judge(r, DIFFERS, "0, read-only", "0, writable; a second call, REMOUNT|BIND|RDONLY, makes it read-only");
	else
		judge(r, NOT_OK, "0, read-only", "0, writable, and a second call does not change that: %s", name_of(-again));
}

static void m9(struct result *r)
{
	if (need(r, folder("a"), "mkdir"))
		expect(r, ENODEV, -1, gb_mount_raw("probe", at("a"), "nosuchfs", 0, NULL), "");
}

/* The smallest ext2, which the ext4 driver mounts: 2 MiB, 16 inodes, an empty root directory. No mkfs is needed. */
static int small_ext2(const char *name)
{
	enum { BLOCK = 1024, BLOCKS = 2048, USED = 7, INODES = 16 };
	static unsigned char image[8 * BLOCK];
	unsigned char *super = image + BLOCK, *group = image + 2 * BLOCK, *inode = image + 5 * BLOCK + 128,
		      *dir = image + 7 * BLOCK;
	gb_autoclose int fd = open(at(name), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

#define PUT32(p, off, value) do { uint32_t v_ = htole32(value); memcpy((p) + (off), &v_, 4); } while (0)
#define PUT16(p, off, value) do { uint16_t v_ = htole16(value); memcpy((p) + (off), &v_, 2); } while (0)
	if (fd < 0)
		return -errno;
	memset(image, 0, sizeof image);
	PUT32(super, 0, INODES);
	PUT32(super, 4, BLOCKS);
	PUT32(super, 12, BLOCKS - 1 - USED); /* free blocks */
	PUT32(super, 16, INODES - 10);       /* free inodes */
	PUT32(super, 20, 1);                 /* first data block */
	PUT32(super, 32, 8 * BLOCK);         /* blocks, fragments and inodes a group */
	PUT32(super, 36, 8 * BLOCK);
	PUT32(super, 40, INODES);
	PUT16(super, 54, 0xffff);            /* mounts before a check */
	PUT16(super, 56, 0xef53);
	PUT16(super, 58, 1);                 /* clean */
	PUT16(super, 60, 1);                 /* on errors: continue */
	PUT32(group, 0, 3);                  /* block bitmap, inode bitmap, inode table */
	PUT32(group, 4, 4);
	PUT32(group, 8, 5);
	PUT16(group, 12, BLOCKS - 1 - USED);
	PUT16(group, 14, INODES - 10);
	PUT16(group, 16, 1);
	for (unsigned i = 0; i < 8 * BLOCK; i++) {
		if (i < USED || i >= BLOCKS - 1)
			image[3 * BLOCK + i / 8] |= (unsigned char)(1 << i % 8);
		if (i < 10 || i >= INODES)
			image[4 * BLOCK + i / 8] |= (unsigned char)(1 << i % 8);
	}
	PUT16(inode, 0, S_IFDIR | 0755);
	PUT32(inode, 4, BLOCK);
	PUT16(inode, 26, 2);
	PUT32(inode, 28, BLOCK / 512);
	PUT32(inode, 40, 7);
	PUT32(dir, 0, 2);
	PUT16(dir, 4, 12);
	PUT16(dir, 6, 1);
	dir[8] = '.';
	PUT32(dir, 12, 2);
	PUT16(dir, 16, BLOCK - 12);
	PUT16(dir, 18, 2);
	dir[20] = dir[21] = '.';
#undef PUT32
#undef PUT16
	int n = gb_io_write(fd, image, sizeof image);
	return n < 0 ? n : ftruncate(fd, BLOCKS * BLOCK) < 0 ? -errno : 0;
}

/* A loop device that ends with its last user: nothing outlives the probe. The descriptor, or -errno. */
static int loop_of(const char *name, char *device, size_t size)
{
	struct gb_mount_loop loop = { .file = at(name) };
	bool read_only;

	return gb_mount_loop_attach(&loop, device, size, &read_only, NULL);
}

static void m10(struct result *r)
{
	static const char *const types[] = { "proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "cgroup2" };
	char missing[128] = "", device[64];

	if (!need(r, folder("a"), "mkdir"))
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
	judge(r, *missing ? NOT_OK : OK, "0", "%s%s%s", *missing ? "not supported:" : "0", missing, note);
}

static void m11(struct result *r)
{
	if (!need(r, folder("a"), "mkdir") || !need(r, small_ext2("image"), "file"))
		return;
	int got = gb_mount_raw(at("image"), at("a"), "ext4", 0, NULL);
	if (got == -ENODEV)
		judge(r, SKIPPED, "-", "this kernel has no ext4");
	expect(r, ENOTBLK, EINVAL, got, "");
}

static int overlay(const char *data)
{
	int r = folder("m");

	return r < 0 ? r : gb_mount_raw("probe", at("m"), "overlay", 0, data);
}

/* Layers on a tmpfs, with which data may name l, u and w. -> whether the kernel has overlays at all. */
static bool layers(struct result *r)
{
	if (!need(r, folder("l"), "mkdir") || !need(r, folder("l2"), "mkdir") || !need(r, folder("u"), "mkdir") ||
	    !need(r, folder("w"), "mkdir"))
		return false;
	if (chdir(work) < 0)
		return false;
	if (overlay("lowerdir=l:l2") == -ENODEV) {
		judge(r, SKIPPED, "-", "this kernel has no overlay");
		return false;
	}
	return true;
}

static void o1(struct result *r)
{
	if (layers(r)) {
		expect(r, EINVAL, -1, overlay(NULL), "");
		expect(r, EINVAL, -1, overlay("upperdir=u,workdir=w"), "");
	}
}

static void o2(struct result *r)
{
	if (layers(r)) {
		expect(r, EINVAL, -1, overlay("lowerdir="), "");
		expect(r, EINVAL, ENOENT, overlay("lowerdir=:"), "");
	}
}

static void o3(struct result *r)
{
	if (layers(r)) {
		expect(r, EINVAL, -1, overlay("lowerdir=l,upperdir=u"), "");
		expect(r, EINVAL, 0, overlay("lowerdir=l:l2,workdir=w"), "Linux ignores a workdir without an upperdir");
	}
}

static void o4(struct result *r)
{
	if (!layers(r))
		return;
	expect(r, 0, -1, overlay("lowerdir=l:l2"), "");
	if (writes("m") != -EROFS)
		judge(r, NOT_OK, "0, read-only", "the overlay is writable");
}

static void o5(struct result *r)
{
	if (layers(r)) {
		expect(r, EOPNOTSUPP, 0, overlay("lowerdir=l,upperdir=u,workdir=w,index=on"), "Linux has it");
		expect(r, EOPNOTSUPP, 0, overlay("lowerdir=l2:l,redirect_dir=on"), "Linux has it");
		expect(r, 0, -1, overlay("lowerdir=l2:l,index=off,redirect_dir=off"), "");
	}
}

static void o6(struct result *r)
{
	if (layers(r))
		expect(r, 0, EINVAL, overlay("lowerdir=l:l2,nosuchword"), "Linux refuses the word");
}

static void u1(struct result *r)
{
	if (need(r, tmpfs("a"), "tmpfs"))
		expect(r, EINVAL, -1, gb_mount_raw_undo(at("a"), 16), "");
}

static void u2(struct result *r)
{
	if (need(r, tmpfs("a"), "tmpfs")) {
		expect(r, EINVAL, -1, gb_mount_raw_undo(at("a"), MNT_EXPIRE | MNT_FORCE), "");
		expect(r, EINVAL, -1, gb_mount_raw_undo(at("a"), MNT_EXPIRE | MNT_DETACH), "");
	}
}

static void u3(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs") || !need(r, symlink("a", at("link")) < 0 ? -errno : 0, "symlink"))
		return;
	expect(r, EINVAL, -1, gb_mount_raw_undo(at("link"), UMOUNT_NOFOLLOW), "");
	if (!is_root("a"))
		judge(r, NOT_OK, "EINVAL", "the link was followed");
}

static void u4(struct result *r)
{
	if (need(r, tmpfs("a"), "tmpfs") && need(r, folder("a/b"), "mkdir"))
		expect(r, EINVAL, -1, gb_mount_raw_undo(at("a/b"), 0), "");
}

static void u5(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs"))
		return;
	expect(r, EAGAIN, -1, gb_mount_raw_undo(at("a"), MNT_EXPIRE), "");
	if (!is_root("a"))
		judge(r, NOT_OK, "EAGAIN", "it was unmounted at once");
}

static void u6(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs"))
		return;
	(void)gb_mount_raw_undo(at("a"), MNT_EXPIRE);
	expect(r, 0, -1, gb_mount_raw_undo(at("a"), MNT_EXPIRE), "");
	if (is_root("a"))
		judge(r, NOT_OK, "0", "0, and it is still mounted");
}

static void u7(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs") || !need(r, file("a/f"), "file"))
		return;
	gb_autoclose int fd = open(at("a/f"), O_RDWR | O_CLOEXEC);
	expect(r, 0, -1, gb_mount_raw_undo(at("a"), MNT_DETACH), "");
	if (is_root("a") || gb_io_write(fd, "x", 1) < 0)
		judge(r, NOT_OK, "0", "the mount is still there, or its open file is not");
}

static void u8(struct result *r)
{
	if (!need(r, tmpfs("a"), "tmpfs"))
		return;
	gb_autoclose int fd = open(at("a"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect(r, EBUSY, -1, gb_mount_raw_undo(at("a"), 0), "");
	gb_close_fd(&fd);
	fd = -1;
	if (chdir(at("a")) == 0)
		expect(r, EBUSY, -1, gb_mount_raw_undo(at("a"), 0), "");
}

/* A disk image on a tmpfs too small for what is written to it. */
static void u9(struct result *r)
{
	char device[64];
	static char block[4096];

	if (!need(r, folder("a"), "mkdir") || !need(r, folder("s"), "mkdir") ||
	    !need(r, gb_mount_raw("probe", at("s"), "tmpfs", 0, "size=64k"), "tmpfs") || !need(r, small_ext2("s/image"), "file"))
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

static int pivot(const char *new_root, const char *put_old)
{
	return gb_mount_raw_pivot(new_root, put_old);
}

static void p1(struct result *r)
{
	if (need(r, tmpfs("new"), "tmpfs") && need(r, folder("newroot"), "mkdir") && need(r, tmpfs("newroot/x"), "tmpfs"))
		expect(r, EINVAL, -1, pivot(at("new"), at("newroot/x")), "");
}

static void p2(struct result *r)
{
	if (need(r, folder("old"), "mkdir"))
		expect(r, EINVAL, EBUSY, pivot("/", at("old")), "Linux says that it is the root already");
}

static void p3(struct result *r)
{
	if (!need(r, folder("jail"), "mkdir") || !need(r, tmpfs("jail/new"), "tmpfs") || !need(r, folder("jail/new/old"), "mkdir"))
		return;
	if (chroot(at("jail")) == 0 && chdir("/") == 0)
		expect(r, EINVAL, -1, pivot("/new", "/new/old"), "");
}

static void p4(struct result *r)
{
	if (!need(r, tmpfs("new"), "tmpfs") || !need(r, file("new/f"), "file") || !need(r, file("f"), "file") ||
	    !need(r, folder("new/old"), "mkdir"))
		return;
	expect(r, ENOTDIR, -1, pivot(at("new"), at("new/f")), "");
	expect(r, ENOTDIR, -1, pivot(at("f"), at("new/old")), "");
}

static void p5(struct result *r)
{
	if (need(r, tmpfs("new"), "tmpfs") && need(r, folder("new/sub"), "mkdir") && need(r, folder("new/sub/old"), "mkdir"))
		expect(r, EINVAL, -1, pivot(at("new/sub"), at("new/sub/old")), "");
}

static int is_rootfs(const struct gb_mountinfo *row, void *arg)
{
	int *id = arg;

	return row->id == *id && (strcmp(row->type, "rootfs") == 0 || row->parent == row->id);
}

static void p6(struct result *r)
{
	int id = gb_mountinfo_id_at(AT_FDCWD, "/", 0);

	if (gb_mountinfo_foreach(NULL, is_rootfs, &id) <= 0)
		judge(r, SKIPPED, "-", "the root here is no initramfs");
	else if (need(r, tmpfs("new"), "tmpfs") && need(r, folder("new/old"), "mkdir"))
		expect(r, EINVAL, -1, pivot(at("new"), at("new/old")), "");
}

static void p7(struct result *r)
{
	if (!need(r, tmpfs("p"), "tmpfs") || !need(r, gb_mount_raw(NULL, at("p"), NULL, MS_SHARED, NULL), "make-shared") ||
	    !need(r, tmpfs("p/new"), "tmpfs") || !need(r, folder("p/new/old"), "mkdir"))
		return;
	expect(r, EINVAL, -1, pivot(at("p/new"), at("p/new/old")), "");
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
	(void)waitpid(t->pid, NULL, 0);
}

static void p8(struct result *r)
{
	struct task same, deeper;
	char a[2], b[2];

	if (!need(r, tmpfs("new"), "tmpfs") || !need(r, folder("new/old"), "mkdir") || !need(r, file("new/is-new"), "file") ||
	    !need(r, folder("jail"), "mkdir") || chdir("/") < 0)
		return;
	if (!start_task(&same, NULL) || !start_task(&deeper, at("jail"))) {
		judge(r, SKIPPED, "-", "no process");
		return;
	}
	expect(r, 0, -1, pivot(at("new"), at("new/old")), "");
	ask_task(&same, a);
	ask_task(&deeper, b);
	if (a[0] != 'n' || a[1] != 'n')
		judge(r, NOT_OK, "0", "a task at the old root was not moved (root %c, working directory %c)", a[0], a[1]);
	if (b[0] == 'n' || b[1] == 'n')
		judge(r, NOT_OK, "0", "a task in a chroot was moved");
	if (access("/is-new", F_OK) < 0 || access("/old", F_OK) < 0)
		judge(r, NOT_OK, "0", "the caller is not in the new root");
}

static const struct rule rules[] = {
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
};

/* A tmpfs at a folder that is there anyway: nothing is ever made outside of the namespace. */
static int settle(void)
{
	static const char *const places[] = { "/tmp", "/run", "/mnt", "/var", "/home", "/root", "/etc", "/sys" };
	struct stat st;

	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	int r = gb_mount_raw(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (r < 0 && gb_mountinfo_is_root(AT_FDCWD, "/", 0) == 1)
		return r;
	for (size_t i = 0; i < GB_ARRAY_LEN(places); i++) {
		if (stat(places[i], &st) == 0 && S_ISDIR(st.st_mode)) {
			(void)strlcpy(work, places[i], sizeof work);
			return gb_mount_raw("probe", work, "tmpfs", 0, NULL);
		}
	}
	return -ENOENT;
}

/* Makes that tmpfs the root, as init's from an initramfs do, with an empty one at /work. */
static int move_in(void)
{
	if (chdir(work) < 0)
		return -errno;
	int r = gb_mount_raw(".", "/", NULL, MS_MOVE, NULL);
	if (r < 0)
		return r;
	if (chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	(void)strlcpy(work, "", sizeof work);
	if (mkdir("/work", 0755) < 0 || mkdir("/proc", 0755) < 0)
		return -errno;
	(void)gb_mount_raw("proc", "/proc", "proc", 0, NULL);
	(void)strlcpy(work, "/work", sizeof work);
	return 0;
}

static void run_rule(const struct rule *rule, struct result *result)
{
	int ends[2], status = 0;

	*result = (struct result){ 0 };
	if (pipe2(ends, O_CLOEXEC) < 0) {
		judge(result, SKIPPED, "-", "pipe: %s", strerror(errno));
		return;
	}
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct result own = { 0 };
		int r = settle();

		if (r == 0 && rule->own_root)
			r = move_in();
		if (r < 0)
			judge(&own, SKIPPED, "-", "no place to work in: %s", strerror(-r));
		else
			rule->run(&own);
		(void)gb_io_write(ends[1], &own, sizeof own);
		_exit(0);
	}
	(void)close(ends[1]);
	if (pid < 0)
		judge(result, SKIPPED, "-", "fork: %s", strerror(errno));
	else if (gb_io_read(ends[0], result, sizeof *result) != (ssize_t)sizeof *result)
		*result = (struct result){ .verdict = NOT_OK, .expected = "-", .seen = "the rule's process died" };
	(void)close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (result->verdict == NOT_RUN)
		judge(result, NOT_OK, "-", "the rule's process said nothing");
}

int arcmount_probe(struct gb_cmd *cmd, struct gb_err *err)
{
	static const char *const words[] = { "not ok", "ok", "not ok", "differs", "skipped" };
	struct gb_json json = { 0 };
	struct gb_optscan scan;
	bool as_json = false;
	size_t failed = 0;
	int key, r;

	gb_opt_start(&scan, arcmount_probe_opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0)
		as_json = true;
	if (key < 0)
		return key;
	r = gb_opt_operands(&scan, 0, 0, NULL, err);
	if (r < 0)
		return r;
	if (!gb_mount_allowed())
		return gb_err_set(err, EPERM, "the rules need root (CAP_SYS_ADMIN)");
	if (as_json)
		gb_json_open(&json, NULL, '[');
	else
		printf("1..%zu\n", GB_ARRAY_LEN(rules));
	for (size_t i = 0; i < GB_ARRAY_LEN(rules); i++) {
		struct result res;

		run_rule(&rules[i], &res);
		failed += res.verdict == NOT_OK;
		if (as_json) {
			gb_json_open(&json, NULL, '{');
			gb_json_str(&json, "rule", rules[i].name);
			gb_json_str(&json, "text", rules[i].text);
			gb_json_str(&json, "expected", res.expected);
			gb_json_str(&json, "seen", res.seen);
			gb_json_str(&json, "result", words[res.verdict]);
			gb_json_close(&json, '}');
		} else if (res.verdict == SKIPPED) {
			printf("ok %zu - %s %s # SKIP %s\n", i + 1, rules[i].name, rules[i].text, res.seen);
		} else {
			printf("%s %zu - %s %s: expected %s, seen %s%s\n", res.verdict == NOT_OK ? "not ok" : "ok", i + 1,
			       rules[i].name, rules[i].text, res.expected, res.seen,
			       res.verdict == DIFFERS ? "; Linux differs from the reference" : "");
		}
	}
	if (as_json) {
		gb_json_close(&json, ']');
		r = gb_json_flush(&json, STDOUT_FILENO);
		if (r < 0)
			return gb_err_sys(err, -r, "standard output");
	}
	return failed ? 1 : 0;
}
