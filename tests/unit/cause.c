/* SPDX-License-Identifier: MIT */
/* common/mount/cause: from an errno and what the system shows to the one sentence that is printed. What the system shows is
 * played (--wrap in the linker): mounts, devices, tags, rights. Folders and files are real. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/apply.h"
#include "common/mount/busy.h"
#include "common/mount/cause.h"
#include "common/mount/offer.h"
#include "common/sys/mountinfo.h"
#include "common/sys/rmtree.h"

/* In the tables a case names what is different from the usual: the later word counts. */
#pragma GCC diagnostic ignored "-Woverride-init"

static char dir[64];

/* What the system shows; {0} is one where all is as it should be. In texts, "@" is the folder of this test. */
struct world {
	const char *mounts;  /* mountinfo lines on top of the root's */
	const char *root;    /* the root's own line; NULL: an ext4 on an invisible parent */
	bool unprivileged, chroot, no_namespace; /* no_namespace: paths are on mounts that mountinfo does not show */
	const char *tags;    /* sysfs lists them; NULL: an old kernel, which does not */
	bool tag_there;      /* a mount without options would do */
	const char *holders; /* of a busy mount */
};
static struct world world;

static const char *at(const char *text)
{
	static char texts[16][4096];
	static unsigned next;
	char *to = texts[next++ % 16];
	size_t n = 0;

	if (!text)
		return NULL;
	for (; *text && n + sizeof dir < sizeof texts[0]; text++) {
		if (*text == '@')
			n += (size_t)snprintf(to + n, sizeof dir, "%s", dir);
		else
			to[n++] = *text;
	}
	to[n] = '\0';
	return to;
}

int __wrap_gb_io_slurp(int dirfd, const char *path, size_t max, struct gb_buf *buf);
int __real_gb_io_slurp(int dirfd, const char *path, size_t max, struct gb_buf *buf);
int __wrap_gb_mountinfo_read(const char *file, struct gb_mountinfo_table *table);
int __wrap_gb_mountinfo_foreach(const char *file, gb_mountinfo_fn *fn, void *arg);
int __wrap_gb_mountinfo_id_at(int dirfd, const char *path, int flags);
int __wrap_gb_mountinfo_is_root(int dirfd, const char *path, int flags);
int __wrap_gb_mount_try(const char *type, const char *source, const char *data, struct gb_buf *log);
int __wrap_gb_mount_holders(const char *target, struct gb_buf *text);
int __wrap_stat(const char *path, struct stat *st);
int __real_stat(const char *path, struct stat *st);
DIR *__wrap_opendir(const char *path);
DIR *__real_opendir(const char *path);

int __wrap_gb_io_slurp(int dirfd, const char *path, size_t max, struct gb_buf *buf)
{
	if (strcmp(path, "/proc/filesystems") == 0)
		return gb_buf_str(buf, "nodev\ttmpfs\nnodev\toverlay\nnodev\tvirtiofs\n\text4\n");
	if (strcmp(path, "/proc/self/status") == 0)
		return gb_buf_fmt(buf, "Name:\tx\nCapEff:\t%s\n", world.unprivileged ? "00000000ffdfffff" : "0000000000200000");
	return __real_gb_io_slurp(dirfd, path, max, buf);
}

int __wrap_gb_mountinfo_read(const char *file, struct gb_mountinfo_table *table)
{
	struct gb_buf text = { 0 };

	assert_null(file);
	assert_int_equal(gb_buf_fmt(&text, "%s\n%s", world.root ? world.root : "20 1 8:1 / / rw - ext4 /dev/sda1 rw",
				    world.mounts ? at(world.mounts) : ""), 0);
	return gb_mountinfo_table_of(&text, table);
}

int __wrap_gb_mountinfo_foreach(const char *file, gb_mountinfo_fn *fn, void *arg)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	int r = __wrap_gb_mountinfo_read(file, &table);

	for (size_t i = 0; r == 0 && i < table.count; i++)
		r = fn(&table.rows[i], arg);
	return r;
}

static const char *absolute(const char *path, char real[4096])
{
	return realpath(path, real) ? real : NULL;
}

int __wrap_gb_mountinfo_id_at(int dirfd, const char *path, int flags)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	char real[4096];

	(void)dirfd;
	(void)flags;
	if (!absolute(path, real))
		return -ENOENT;
	assert_int_equal(__wrap_gb_mountinfo_read(NULL, &table), 0);
	const struct gb_mountinfo *row = world.no_namespace ? NULL : gb_mountinfo_holder(&table, real);
	return row ? row->id : 999;
}

int __wrap_gb_mountinfo_is_root(int dirfd, const char *path, int flags)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	char real[4096];

	(void)dirfd;
	(void)flags;
	if (!absolute(path, real))
		return -ENOENT;
	if (strcmp(real, "/") == 0)
		return !world.chroot;
	assert_int_equal(__wrap_gb_mountinfo_read(NULL, &table), 0);
	return gb_mountinfo_top(&table, real) != NULL;
}

int __wrap_gb_mount_try(const char *type, const char *source, const char *data, struct gb_buf *log)
{
	(void)log;
	assert_string_equal(type, "virtiofs");
	assert_string_equal(source, "tag");
	assert_null(data);
	return world.tag_there ? 0 : -EINVAL;
}

int __wrap_gb_mount_holders(const char *target, struct gb_buf *text)
{
	(void)target;
	return world.holders && gb_buf_str(text, world.holders) == 0;
}

/* @/dev is a block device, 7:9. */
int __wrap_stat(const char *path, struct stat *st)
{
	int r = __real_stat(path, st);

	if (r == 0 && strcmp(path, at("@/dev")) == 0) {
		st->st_mode = S_IFBLK | 0600;
		st->st_rdev = makedev(7, 9);
	}
	return r;
}

DIR *__wrap_opendir(const char *path)
{
	if (strcmp(path, "/sys/fs/virtiofs") == 0)
		return world.tags ? __real_opendir(at(world.tags)) : NULL;
	if (strcmp(path, "/sys/bus/virtio/drivers/virtiofs") == 0)
		return __real_opendir(at("@/drivers"));
	if (strcmp(path, "/sys/dev/block/7:9/holders") == 0)
		return __real_opendir(at("@/holders"));
	return __real_opendir(path);
}

static void put(const char *path, const char *text)
{
	gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(gb_io_write(fd, text, strlen(text)), 0);
}

static int begin(void **state)
{
	static const char *const folders[] = { "@/a", "@/a/in", "@/b", "@/c", "@/c/x", "@/c/x/old", "@/with,comma", "@/some/0", "@/some/1",
					       "@/empty", "@/drivers/virtio3", "@/holders/dm-4", "@/a:b" };
	char real[4096]; /* PATH_MAX, which realpath(3) is checked for */

	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/gb-unit-cause-XXXXXX");
	if (!mkdtemp(dir) || !realpath(dir, real))
		return -1;
	(void)snprintf(dir, sizeof dir, "%.63s", real);
	for (size_t i = 0; i < GB_ARRAY_LEN(folders); i++) {
		if (gb_io_mkdirs(at(folders[i])) < 0)
			return -1;
	}
	put(at("@/file"), "");
	put(at("@/dev"), "");
	put(at("@/some/0/tag"), "one\n");
	put(at("@/some/1/tag"), "tag\n");
	return symlink("gone", at("@/link"));
}

static int end(void **state)
{
	gb_autobuf struct gb_buf problems = { 0 };

	(void)state;
	return gb_rmtree_inside(dir, &problems) == 0 && rmdir(dir) == 0 ? 0 : -1;
}

struct failure {
	enum gb_mount_what what;
	enum gb_mount_callid id;
	const char *source, *target, *type, *data;
	const char *a, *b;       /* of the call */
	unsigned long set, flags; /* of the step, of the call */
	int code;
	const char *log;
	struct world world;
	const char *says;   /* a part of the message */
	int returns;        /* the code that it becomes; 0: the same */
};

static void check(const struct failure *f, size_t n)
{
	struct gb_mount_step step = { .what = f->what, .source = (char *)(uintptr_t)at(f->source),
		.target = (char *)(uintptr_t)at(f->target),
				      .type = (char *)(uintptr_t)f->type, .data = (char *)(uintptr_t)at(f->data), .set = f->set };
	struct gb_mount_call call = { .id = f->id, .a = at(f->a), .b = at(f->b), .flags = f->flags };
	struct gb_err err = { 0 };

	world = f->world;
	int r = gb_mount_cause(&step, &call, f->code, f->log, &err);
	if (!strstr(err.msg, at(f->says)) || r != -(f->returns ? f->returns : f->code) || err.code != -r)
		fail_msg("%zu: %d, \"%s\": no \"%s\"", n, r, err.msg, at(f->says));
	/* Without anybody to tell, the code is all. */
	assert_int_equal(gb_mount_cause(&step, &call, f->code, f->log, NULL), -f->code);
}

static void check_all(const struct failure *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(&list[i], i);
}

#define NEW .what = GB_MOUNT_NEW, .source = "@/dev", .target = "@/a", .type = "ext4"
#define CREATE .id = GB_CALL_CREATE

static void of_new_mounts(void **state)
{
	static const struct failure list[] = {
		{ NEW, CREATE, .code = EPERM, .world.unprivileged = true, .says = "cannot mount @/dev on @/a: needs root (CAP_SYS_ADMIN)" },
		{ NEW, CREATE, .code = EPERM, .says = ": Operation not permitted" },
		{ NEW, CREATE, .code = EBUSY, .says = "@/dev is in use; held by /dev/dm-4" },
		{ NEW, CREATE, .code = EBUSY, .world.mounts = "30 20 7:9 / @/b rw - ext4 /dev/x rw",
		  .says = "is in use; it is mounted on @/b" },
		{ NEW, .id = GB_CALL_MOUNT, .code = EBUSY, .world.mounts = "30 20 7:9 / @/a rw - ext4 /dev/x rw",
		  .says = "it is mounted there already" },
		{ NEW, CREATE, .code = EINVAL, .data = "x=y", .says = "holds no ext4 file system, or one of the options is refused: x=y" },
		{ NEW, CREATE, .code = EINVAL, .says = "or one of the options is refused: (none)" },
		{ NEW, CREATE, .code = EINVAL, .log = "ext4: no magic", .says = ": Invalid argument (kernel: ext4: no magic)" },
		{ NEW, CREATE, .code = EUCLEAN, .says = "the ext4 file system on @/dev is damaged (fsck)" },
		{ NEW, CREATE, .code = ENXIO, .says = "@/dev has no medium or size" },
		{ NEW, CREATE, .code = ENOMEDIUM, .says = "@/dev has no medium or size" },
		{ NEW, CREATE, .code = EROFS, .says = "@/dev is write-protected (-o ro)" },
		{ NEW, CREATE, .code = EACCES, .says = "@/dev is write-protected (-o ro)" },
		{ NEW, CREATE, .code = EIO, .says = ": Input/output error" },
		{ NEW, .source = "@/file", CREATE, .code = ENOTBLK,
		  .says = "is a regular file, not a block device (-o loop mounts a disk image)" },
		{ NEW, .source = "@/b", CREATE, .code = ENOTBLK, .says = "is a directory, not a block device (-o bind" },
		{ NEW, .source = "/dev/null", CREATE, .code = ENOTBLK, .says = "is a character device, not a block device" },
		{ NEW, .source = "@/none", CREATE, .code = ENOENT, .says = "source @/none: No such file or directory" },
		{ NEW, .type = "zfs", CREATE, .code = ENODEV, .says = "does not know the file system type \"zfs\"" },
		{ NEW, .type = "tmpfs", CREATE, .data = "x=y", .code = EINVAL, .says = "tmpfs refused one of its options: x=y" },
		{ NEW, .type = "tmpfs", .id = GB_CALL_MOUNT, .target = "@/none", .code = ENOENT,
		  .says = "target @/none: no such directory (-m makes it)" },
		{ NEW, .id = GB_CALL_ATTACH, .target = "@/link", .code = ENOENT,
		  .says = "target @/link is a symbolic link that leads nowhere" },
		{ NEW, .id = GB_CALL_ATTACH, .target = "@/file/x", .code = ENOTDIR, .says = "target @/file/x: Not a directory" },
		{ NEW, .id = GB_CALL_ATTACH, .target = "@/dev", .code = ENOTDIR,
		  .says = "target @/dev is a block device, and a directory can only" },
		{ NEW, .id = GB_CALL_ATTACH, .target = "/dev/null", .code = ENOTDIR,
		  .says = "is a character device, and a directory can only" },
		{ NEW, .id = GB_CALL_ATTACH, .code = EIO, .says = ": Input/output error" },
		/* A word of its own call. */
		{ NEW, .id = GB_CALL_FSCONFIG, .a = "x", .b = "y", .code = EINVAL, .says = "option x=y: the file system does not know it" },
		{ NEW, .id = GB_CALL_FSCONFIG, .a = "x", .code = EINVAL, .log = "ext4: Unknown parameter 'x'",
		  .says = "option x: the file system does not know it (kernel: " },
		{ NEW, .id = GB_CALL_FSCONFIG, .a = "x", .b = "y", .code = EINVAL, .log = "ext4: Bad value for 'x'",
		  .says = "option x=y: refused (kernel: ext4: Bad value for 'x')" },
		{ NEW, .id = GB_CALL_FSCONFIG, .a = "x", .code = ENOMEM, .says = "option x: Cannot allocate memory" },
		{ NEW, .id = GB_CALL_FSCONFIG, .a = "source", .b = "@/none", .source = "@/none", .code = ENOENT,
		  .says = "source @/none: No such file" },
	};

	(void)state;
	check_all(list, GB_ARRAY_LEN(list));
}

#define OVERLAY .what = GB_MOUNT_NEW, .source = "overlay", .target = "@/a", .type = "overlay", .id = GB_CALL_CREATE
#define BOTH "lowerdir=@/b,upperdir=@/with\\,comma,workdir=@/c"

static void of_overlays(void **state)
{
	static const struct failure list[] = {
		{ OVERLAY, .code = EINVAL, .data = "upperdir=@/b", .says = "overlay: no lowerdir among the options" },
		{ OVERLAY, .code = ENOENT, .data = "lowerdir=@/b:@/none", .says = "lowerdir @/none: No such file or directory" },
		{ OVERLAY, .code = ENOTDIR, .data = "lowerdir=@/file:@/b", .says = "lowerdir @/file is a regular file, not a directory" },
		{ OVERLAY, .code = ENOENT, .data = "lowerdir=@/a\\:b:@/no\\:ne", .says = "lowerdir @/no:ne: No such file" },
		{ OVERLAY, .code = ENOENT, .data = "lowerdir=@/b,upperdir=@/none,workdir=@/c", .says = "upperdir @/none: No such file" },
		{ OVERLAY, .code = ENOENT, .data = "lowerdir=@/b,upperdir=@/a,workdir=@/none", .says = "workdir @/none: No such file" },
		{ OVERLAY, .id = GB_CALL_FSCONFIG, .a = "lowerdir", .b = "@/none", .code = ENOENT, .data = "lowerdir=@/none",
		  .says = "lowerdir @/none: No such file" },
		{ OVERLAY, .code = EINVAL, .data = "lowerdir=@/b,upperdir=@/a,workdir=@/c",
			.world.mounts = "30 20 0:9 / @/c rw - tmpfs none rw",
		  .says = "workdir @/c and upperdir @/a are not on one mount" },
		{ OVERLAY, .code = EINVAL, .data = "lowerdir=@/b,upperdir=@/a,workdir=@/a/in",
		  .says = "workdir @/a/in and upperdir @/a lie one in the other" },
		{ OVERLAY, .code = EINVAL, .data = "lowerdir=@/b,upperdir=@/a/in,workdir=@/a",
		  .says = "workdir @/a and upperdir @/a/in lie one in the other" },
		{ OVERLAY, .code = EINVAL, .data = "lowerdir=@/b,upperdir=@/a,workdir=@/a", .says = "lie one in the other" },
		/* Names of which one begins with the other are no folders of which one lies in the other. */
		{ OVERLAY, .code = EBUSY, .data = "lowerdir=@/b,upperdir=@/a,workdir=@/a\\:b",
		  .says = "upperdir or workdir is in use by another overlay" },
		{ OVERLAY, .code = ELOOP, .data = BOTH, .says = "the layers lie one in the other" },
		{ OVERLAY, .code = EROFS, .data = BOTH, .says = "comma is on a read-only mount" },
		{ OVERLAY, .code = EINVAL, .data = "lowerdir=@/b", .says = "Linux wants two lower folders where there is no upperdir" },
		{ OVERLAY, .code = EINVAL, .data = BOTH, .says = "cannot be an upper layer" },
		{ OVERLAY, .code = EINVAL, .data = "lowerdir=@/b:@/c,x=y",
		  .says = "overlay refused one of its options: lowerdir=@/b:@/c,x=y" },
		{ OVERLAY, .code = ENOMEM, .data = BOTH, .says = ": Cannot allocate memory" },
	};

	(void)state;
	check_all(list, GB_ARRAY_LEN(list));
}

#define VIRTIOFS .what = GB_MOUNT_NEW, .source = "tag", .target = "@/a", .type = "virtiofs", .id = GB_CALL_CREATE
#define USED "30 20 0:9 / @/b rw - virtiofs used rw\n31 20 0:9 / @/c rw - virtiofs used rw\n32 20 0:8 / @/a rw - virtiofs us rw"

static void of_tags(void **state)
{
	static const struct failure list[] = {
		{ VIRTIOFS, .code = EINVAL, .world.tags = "@/some", .data = "dax=always",
		  .says = "DAX: the device of virtiofs tag \"tag\" has no DAX window" },
		{ VIRTIOFS, .code = EINVAL, .world.tags = "@/some", .data = "x=y", .says = "virtiofs refused an option: x=y" },
		{ VIRTIOFS, .code = EINVAL, .world.tags = "@/some", .data = "x=y", .log = "virtiofs: Unknown parameter 'x'",
		  .says = "refused an option: virtiofs: Unknown" },
		{ VIRTIOFS, .source = "ta", .code = EINVAL, .world.tags = "@/some",
		  .says = "tag \"ta\" is not offered by the host (offered: ", .returns = ENODEV },
		{ VIRTIOFS, .code = ENOENT, .world.tags = "@/empty",
		  .says = "is not offered by the host (offered: none)", .returns = ENODEV },
		/* An older kernel tells nobody its tags. */
		{ VIRTIOFS, .code = EINVAL, .says = "tag \"tag\" is not offered by the host (1 virtiofs device)", .returns = ENODEV },
		{ VIRTIOFS, .code = EINVAL, .world.mounts = USED, .says = "(1 virtiofs device; mounted: used, us)", .returns = ENODEV },
		{ VIRTIOFS, .code = EINVAL, .world.tag_there = true, .data = "dax=always", .says = "has no DAX window" },
		{ VIRTIOFS, .code = EINVAL, .world.tag_there = true, .says = "virtiofs refused an option: " },
		{ VIRTIOFS, .code = EIO, .says = ": Input/output error" },
	};

	(void)state;
	check_all(list, GB_ARRAY_LEN(list));
}

#define BIND .what = GB_MOUNT_TREE, .source = "@/a", .target = "@/b"
#define MOVE .what = GB_MOUNT_MOVE_TREE, .source = "@/a", .target = "@/b", .id = GB_CALL_MOVE
#define MOUNT_A "30 20 0:9 / @/a rw - tmpfs none rw"

static void of_binds_and_moves(void **state)
{
	static const struct failure list[] = {
		{ BIND, .id = GB_CALL_OPEN_TREE, .source = "@/none", .code = ENOENT, .says = "source @/none: No such file" },
		{ BIND, .id = GB_CALL_OPEN_TREE, .code = EINVAL, .world.mounts = "30 20 0:9 / @/a rw unbindable - tmpfs none rw",
		  .says = "is on an unbindable mount (@/a)" },
		{ BIND, .id = GB_CALL_OPEN_TREE, .code = EINVAL, .world.no_namespace = true,
		  .says = "is on a mount of another mount namespace" },
		{ BIND, .id = GB_CALL_OPEN_TREE, .code = EINVAL, .says = "they are locked together): bind recursively" },
		{ BIND, .id = GB_CALL_OPEN_TREE, .code = EACCES, .says = ": Permission denied" },
		{ BIND, .id = GB_CALL_ATTACH, .target = "@/file", .code = ENOTDIR,
		  .says = "target @/file is a regular file, and a directory can only" },
		{ BIND, .id = GB_CALL_ATTACH, .source = "@/file", .code = ENOTDIR,
		  .says = "target @/b is a directory, and the source is not" },
		{ BIND, .id = GB_CALL_MOUNT, .source = "@/none", .code = ENOENT, .says = "source @/none: No such file" },
		{ BIND, .id = GB_CALL_MOUNT, .code = EINVAL, .says = "bind recursively" },
		{ MOVE, .source = "@/none", .code = ENOENT, .says = "source @/none: No such file" },
		{ MOVE, .target = "@/none", .code = ENOENT, .says = "target @/none: no such directory" },
		{ MOVE, .target = "@/a/in", .code = ELOOP, .says = "target @/a/in lies inside the source @/a" },
		{ MOVE, .code = EINVAL, .says = "@/a is not a mount point (it lies on the mount at /)" },
		{ MOVE, .code = EPERM, .says = ": Operation not permitted" },
		{ MOVE, .code = EINVAL, .world.root = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw", .world.mounts = MOUNT_A,
		  .says = "is mounted on (/) is shared: make it private first (arcmount propagate private /)" },
		{ MOVE, .source = "/", .target = "@/b", .code = EINVAL, .says = "lies inside the source /" },
		{ MOVE, .code = EINVAL, .world.mounts = MOUNT_A, .world.no_namespace = true,
		  .says = "is on a mount of another mount namespace" },
		{ MOVE, .code = EINVAL,
			.world.mounts = "30 20 0:9 / @/a rw unbindable - tmpfs none rw\n31 20 0:9 / @/b rw shared:4 - tmpfs none rw",
		  .says = "@/a is unbindable, and target @/b is on a shared mount" },
		{ MOVE, .code = EINVAL, .world.mounts = MOUNT_A, .says = ": Invalid argument" },
	};

	(void)state;
	check_all(list, GB_ARRAY_LEN(list));
}

#define SPREAD .what = GB_MOUNT_PROPAGATE, .target = "@/a", .id = GB_CALL_MOUNT, .b = "@/a"
#define REMOUNT .what = GB_MOUNT_RECONFIGURE, .target = "@/a", .id = GB_CALL_RECONFIGURE, .world.mounts = MOUNT_A

static void of_changes(void **state)
{
	static const struct failure list[] = {
		{ SPREAD, .flags = MS_SHARED | MS_PRIVATE, .code = EINVAL,
		  .says = "more than one of shared, private, slave and unbindable" },
		{ SPREAD, .flags = MS_SHARED | MS_NOSUID, .code = EINVAL, .says = "a change of propagation goes with no other flag" },
		{ SPREAD, .flags = MS_SHARED, .code = EINVAL, .says = "@/a is not a mount point (it lies on the mount at /)" },
		{ SPREAD, .b = "@/none", .flags = MS_SHARED | MS_REC, .code = ENOENT, .says = "@/none: No such file" },
		{ SPREAD, .flags = MS_SHARED, .code = ENOMEM, .says = ": Cannot allocate memory" },
		{ REMOUNT, .code = EINVAL, .world.mounts = NULL, .says = "@/a is not a mount point" },
		{ REMOUNT, .code = EINVAL, .data = "x=y", .says = "the file system refuses one of the options: x=y" },
		{ REMOUNT, .code = EINVAL, .data = "", .says = ": Invalid argument" },
		{ REMOUNT, .code = EBUSY, .says = "it is in use" },
		{ REMOUNT, .code = EBUSY, .set = MS_RDONLY, .world.holders = "pid 5 (x)",
		  .says = "it is in use: a file may be open for writing (pid 5 (x))" },
		{ REMOUNT, .code = EROFS, .says = "the source is write-protected" },
		{ REMOUNT, .code = EPERM, .says = "an option is locked by the mount namespace that this mount came from" },
		{ REMOUNT, .code = EPERM, .world.unprivileged = true, .says = "needs root" },
		{ REMOUNT, .what = GB_MOUNT_SETATTR, .id = GB_CALL_SETATTR_PATH, .code = ENOMEM, .says = ": Cannot allocate memory" },
	};

	(void)state;
	check_all(list, GB_ARRAY_LEN(list));
}

static void of_unmounts(void **state)
{
	static const struct {
		const char *target;
		int flags, code;
		struct world world;
		const char *says;
	} list[] = {
		{ "@/a", 0, EPERM, { .unprivileged = true }, "cannot unmount @/a: needs root (CAP_SYS_ADMIN)" },
		{ "@/a", 0, EPERM, { 0 }, ": Operation not permitted" },
		{ "@/a", MNT_EXPIRE, EAGAIN, { 0 }, "marked; the next umount --expire unmounts it" },
		{ "@/a", 16, EINVAL, { 0 }, "umount2 does not know the flag 0x10" },
		{ "@/a", MNT_EXPIRE | MNT_DETACH, EINVAL, { 0 }, "expire goes with neither force nor lazy" },
		{ "@/link", UMOUNT_NOFOLLOW, EINVAL, { 0 }, "it is a symbolic link, which was not to be followed" },
		{ "@/a", UMOUNT_NOFOLLOW, EINVAL, { 0 }, "@/a is not a mount point (it lies on the mount at /)" },
		{ "@/none", 0, EINVAL, { 0 }, "@/none: No such file" },
		{ "@/a", 0, EINVAL, { .mounts = MOUNT_A }, "it is locked: it came from the mount namespace above this one" },
		{ "@/a", 0, EBUSY, { .holders = "pid 5 (x): open file" }, "busy: pid 5 (x): open file" },
		{ "@/a", 0, EBUSY, { 0 }, "busy: its holders cannot be seen from here" },
		{ "@/a", 0, EIO, { 0 }, ": Input/output error" },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(list); i++) {
		struct gb_err err = { 0 };

		world = list[i].world;
		assert_int_equal(gb_mount_undo_cause(at(list[i].target), list[i].flags, list[i].code, &err), -list[i].code);
		if (!strstr(err.msg, at(list[i].says)) || err.code != list[i].code)
			fail_msg("%zu: %s", i, err.msg);
		assert_int_equal(gb_mount_undo_cause(at(list[i].target), list[i].flags, list[i].code, NULL), -list[i].code);
	}
}

#define NEW_ROOT "40 20 0:9 / @/c rw - tmpfs none rw"

static void of_pivots(void **state)
{
	static const struct {
		const char *new_root, *put_old;
		int code;
		struct world world;
		const char *says;
	} list[] = {
		{ "@/none", "@/none", ENOENT, { 0 }, "@/none: No such file" },
		{ "@/c", "@/file", ENOTDIR, { 0 }, "@/file is not a directory" },
		{ "@/c", "@/c/x", EPERM, { .unprivileged = true }, "needs root (CAP_SYS_ADMIN)" },
		{ "@/c", "@/c/x", EPERM, { 0 }, ": Operation not permitted" },
		{ "@/c", "@/c/x", EINVAL, { .chroot = true, .mounts = NEW_ROOT },
			"the root of this process is not a mount point (it is in a chroot)" },
		{ "@/c", "@/c/x", EINVAL, { .root = "1 1 0:1 / / rw - rootfs rootfs rw", .mounts = "40 1 0:9 / @/c rw - tmpfs none rw" },
		  "the root is the initramfs, which cannot be moved away: use switch-root" },
		{ "/", "@/c", EBUSY, { .mounts = NEW_ROOT }, "/ is the root already" },
		{ "@/b", "@/b", EINVAL, { 0 }, "@/b is not a mount point" },
		{ "@/c", "@/b", EINVAL, { .mounts = NEW_ROOT }, "@/b is neither @/c nor a directory below it" },
		/* By whole parts of paths, not by letters. */
		{ "@/a", "@/a:b", EINVAL, { .mounts = MOUNT_A }, "@/a:b is neither @/a nor a directory below it" },
		{ "@/c", "@/c/x", EINVAL,
			{ .mounts = NEW_ROOT "\n2 1 0:9 / /nowhere rw - tmpfs none rw\n1 0 0:1 / / rw shared:5 - tmpfs none rw" },
		  "the mount below the current root is shared: make it private first (arcmount propagate -R private /)" },
		{ "@/c", "@/c/x", EINVAL, { .root = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw", .mounts = NEW_ROOT },
		  "the mount that @/c is mounted on (/) is shared: make it private first" },
		{ "@/c", "@/c/x/old", EINVAL, { .mounts = NEW_ROOT "\n41 40 0:9 / @/c/x rw shared:3 - tmpfs none rw" },
		  "the mount that @/c/x/old is on (@/c/x) is shared: make it private first" },
		{ "@/c", "@/c/x", EINVAL, { .mounts = NEW_ROOT }, "the root is the initramfs (it has no mount below it)" },
		{ "@/c", "@/c/x", ENOMEM, { .mounts = NEW_ROOT }, ": Cannot allocate memory" },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(list); i++) {
		struct gb_err err = { 0 };

		world = list[i].world;
		assert_int_equal(gb_mount_pivot_cause(at(list[i].new_root), at(list[i].put_old), list[i].code, &err), -list[i].code);
		if (!strstr(err.msg, at(list[i].says)) || err.code != list[i].code)
			fail_msg("%zu: %s", i, err.msg);
		assert_int_equal(gb_mount_pivot_cause(at(list[i].new_root), at(list[i].put_old), list[i].code, NULL), -list[i].code);
	}
}

static void tags_and_rights(void **state)
{
	gb_autobuf struct gb_buf tags = { 0 };
	bool all = false;

	(void)state;
	world = (struct world){ .tags = "@/some" };
	assert_int_equal(gb_mount_virtiofs_tags(&tags, &all), 2);
	assert_true(all);
	assert_true(strcmp(gb_buf_text(&tags), "one, tag") == 0 || strcmp(gb_buf_text(&tags), "tag, one") == 0);
	gb_buf_free(&tags);
	world = (struct world){ .mounts = USED };
	assert_int_equal(gb_mount_virtiofs_tags(&tags, &all), 1);
	assert_false(all);
	assert_string_equal(gb_buf_text(&tags), "used, us"); /* each once, and one that begins another is its own */
	assert_true(gb_mount_allowed());
	world.unprivileged = true;
	assert_false(gb_mount_allowed());
	assert_int_equal(gb_mount_type("ext4"), GB_TYPE_DEVICE);
	assert_int_equal(gb_mount_type("tmpfs"), GB_TYPE_NODEV);
	assert_int_equal(gb_mount_type("ext"), GB_TYPE_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_new_mounts),
		cmocka_unit_test(of_overlays),
		cmocka_unit_test(of_tags),
		cmocka_unit_test(of_binds_and_moves),
		cmocka_unit_test(of_changes),
		cmocka_unit_test(of_unmounts),
		cmocka_unit_test(of_pivots),
		cmocka_unit_test(tags_and_rights),
	};

	return cmocka_run_group_tests_name("cause", tests, begin, end);
}
