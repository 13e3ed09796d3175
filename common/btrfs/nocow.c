/* SPDX-License-Identifier: MIT */
/* NOCOW for files, directories and trees. */
#include "common/btrfs/nocow.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/fsflags.h"
#include "common/sys/walk.h"

#define NO_FLAG "the file system has no NOCOW flag"

/* Never waits for a FIFO's other end and never becomes a terminal's session. */
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* Opens a file or directory; a device is not opened at all, since that alone can do something. */
static int open_plain(const char *path, int more, struct gb_err *err)
{
	struct stat st;

	if (fstatat(AT_FDCWD, path, &st, more & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return gb_err_sys(err, errno, "%s", path);
	if (S_ISLNK(st.st_mode))
		return gb_err_set(err, EINVAL, "%s: a symbolic link", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return gb_err_set(err, EINVAL, "%s: neither a file nor a directory", path);
	int fd = open(path, OPEN_FLAGS | more);
	return fd < 0 ? gb_err_sys(err, errno, "%s", path) : fd;
}

int gb_nocow_query(const char *path, struct gb_err *err)
{
	gb_autoclose int fd = open_plain(path, 0, err);
	unsigned flags;

	if (fd < 0)
		return fd;
	int r = gb_fsflags_get(fd, &flags);
	if (r == -EOPNOTSUPP)
		return gb_err_set(err, EOPNOTSUPP, "%s: " NO_FLAG, path);
	return r < 0 ? gb_err_sys(err, -r, "%s: inode flags", path) : !!(flags & FS_NOCOW_FL);
}

int gb_nocow_set_fd(int fd, const char *name, bool on, struct gb_err *err)
{
	int r = gb_fsflags_nocow(fd, on);
	struct stat st;

	if (r >= 0)
		return r;
	if (r == -EOPNOTSUPP)
		return gb_err_set(err, EOPNOTSUPP, "%s: " NO_FLAG, name);
	if (r == -EBUSY && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		return gb_err_set(err, EBUSY, "%s: holds %jd bytes: the flag %s only while a file is empty%s", name,
				  (intmax_t)st.st_size, on ? "can be set" : "can be cleared",
				  on ? " (--convert rewrites it)" : "");
	if (r == -EBUSY)
		return gb_err_set(err, EIO, "%s: the kernel took the NOCOW flag and did not change it", name);
	return gb_err_sys(err, -r, "%s: NOCOW flag", name);
}

int gb_nocow_set(const char *path, bool on, struct gb_err *err)
{
	gb_autoclose int fd = open_plain(path, 0, err);

	return fd < 0 ? fd : gb_nocow_set_fd(fd, path, on, err);
}

struct tree {
	bool on, set;
	struct gb_nocow_tally *tally;
};

/* One directory or file of a tree. */
static int visit(void *arg, const struct gb_walk_entry *e, struct gb_err *err)
{
	const struct tree *tree = arg;
	struct gb_nocow_tally *tally = tree->tally;
	unsigned flags;

	if (e->error)
		return gb_err_sys(err, e->error, "%s", e->path);
	if (!S_ISREG(e->st->st_mode) && !S_ISDIR(e->st->st_mode))
		return 0;
	gb_autoclose int fd = openat(e->dirfd, e->name, OPEN_FLAGS | (e->depth ? O_NOFOLLOW : 0));
	bool filled = S_ISREG(e->st->st_mode) && e->st->st_size > 0;
	if (fd < 0 && errno == ENOENT && e->depth)
		return 0; /* gone meanwhile */
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", e->path);
	if (tree->set && !filled) {
		int r = gb_nocow_set_fd(fd, e->path, tree->on, err);
		/* It may have been written to since it was looked at; then it counts as what it is now. */
		if (r != -EBUSY)
			return r < 0 ? r : 0;
		filled = true;
	}
	if (!filled)
		return 0;
	int r = gb_fsflags_get(fd, &flags);
	if (r == -EOPNOTSUPP)
		return gb_err_set(err, EOPNOTSUPP, "%s: " NO_FLAG, e->path);
	if (r < 0)
		return gb_err_sys(err, -r, "%s: inode flags", e->path);
	if (!!(flags & FS_NOCOW_FL) != tree->on && tally->kept++ == 0)
		(void)strlcpy(tally->first, e->path, sizeof tally->first);
	return 0;
}

int gb_nocow_tree(const char *path, bool on, bool set, struct gb_nocow_tally *tally, struct gb_err *err)
{
	struct tree tree = { .on = on, .set = set, .tally = tally };

	return gb_walk(path, visit, &tree, err);
}

/* The directory `name` in `at`, which is closed; made if it is missing. */
static int step_into(int at, const char *name)
{
	enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
	gb_autoclose int from = at;
	struct stat st;
	int fd = openat(from, name, FLAGS);

	if (fd < 0 && errno == ENOENT && (mkdirat(from, name, 0755) == 0 || errno == EEXIST))
		fd = openat(from, name, FLAGS);
	if (fd >= 0)
		return fd;
	int code = errno; /* a link is "not a directory", too (open(2)) */
	return fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) ? -ELOOP : -code;
}

int gb_nocow_folder(int top, const char *name, const char *path, struct gb_nocow_tally *tally, struct gb_err *err)
{
	struct gb_err beside;
	int at = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		return gb_err_sys(err, errno, "%s", path);
	for (const char *part = name; at >= 0 && *part;) {
		char one[NAME_MAX + 1];
		size_t len = strcspn(part, "/");

		if (len >= sizeof one) {
			(void)close(at);
			return gb_err_sys(err, ENAMETOOLONG, "%s", path);
		}
		memcpy(one, part, len);
		one[len] = '\0';
		part += len;
		part += strspn(part, "/");
		if (len)
			at = step_into(at, one);
	}
	if (at == -ELOOP)
		return gb_err_set(err, ELOOP, "%s: there is a symbolic link in its place, or on the way to it, which is not followed",
				  path);
	if (at < 0)
		return gb_err_sys(err, -at, "%s", path);
	gb_autoclose int fd = at;
	int r = gb_nocow_set_fd(fd, path, true, err);
	/* The look below is for a warning's sake: nothing that goes wrong in it undoes what was done. */
	if (r > 0 && gb_nocow_tree(path, true, false, tally, &beside) < 0)
		*tally = (struct gb_nocow_tally){ 0 };
	return r;
}

/* ---- conversion ---- */

struct conversion {
	const char *path;
	char dir[PATH_MAX];  /* where it stands */
	char name[NAME_MAX + 1];
	char spare[32];      /* the copy's name, "" while it has none */
	int dirfd, from, to; /* `to` is open for writing until the copy is whole */
	struct stat st;
	unsigned flags;
	bool leased;
};

static void close_conversion(struct conversion *c)
{
	int saved = errno;
	if (c->spare[0])
		(void)unlinkat(c->dirfd, c->spare, 0);
	gb_close_fd(&c->dirfd);
	gb_close_fd(&c->from);
	gb_close_fd(&c->to);
	errno = saved;
}

static int refuse(const struct conversion *c, const char *why, struct gb_err *err)
{
	return gb_err_set(err, GB_E_REFUSED, "%s: not converted: %s", c->path, why);
}

static int start(struct conversion *c, struct gb_err *err)
{
	char copy[PATH_MAX];

	if (strlcpy(copy, c->path, sizeof copy) >= sizeof copy)
		return gb_err_sys(err, ENAMETOOLONG, "%s", c->path);
	if (strlcpy(c->name, basename(copy), sizeof c->name) >= sizeof c->name)
		return gb_err_sys(err, ENAMETOOLONG, "%s", c->path);
	(void)strlcpy(copy, c->path, sizeof copy);
	(void)strlcpy(c->dir, dirname(copy), sizeof c->dir);

	c->dirfd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dirfd < 0)
		return gb_err_sys(err, errno, "%s", c->dir);
	if (fstatat(c->dirfd, c->name, &c->st, AT_SYMLINK_NOFOLLOW) < 0)
		return gb_err_sys(err, errno, "%s", c->path);
	if (S_ISLNK(c->st.st_mode))
		return refuse(c, "a symbolic link (name the file itself)", err);
	if (!S_ISREG(c->st.st_mode))
		return gb_err_set(err, EINVAL, "%s: not a regular file", c->path);
	/* The copy is no reason to change the time of the last read. */
	c->from = openat(c->dirfd, c->name, OPEN_FLAGS | O_NOFOLLOW | O_NOATIME);
	if (c->from < 0 && errno == EPERM)
		c->from = openat(c->dirfd, c->name, OPEN_FLAGS | O_NOFOLLOW);
	if (c->from < 0 || fstat(c->from, &c->st) < 0)
		return gb_err_sys(err, errno, "%s", c->path);
	if (!S_ISREG(c->st.st_mode))
		return gb_err_set(err, EINVAL, "%s: not a regular file", c->path);
	int r = gb_fsflags_get(c->from, &c->flags);
	if (r == -EOPNOTSUPP)
		return gb_err_set(err, EOPNOTSUPP, "%s: " NO_FLAG, c->path);
	return r < 0 ? gb_err_sys(err, -r, "%s: inode flags", c->path) : 0;
}

/* Only what changes nothing for other holders of the file goes on. */
static int admit(struct conversion *c, struct gb_err *err)
{
	struct statvfs vfs;
	char why[64];

	if (c->st.st_nlink > 1) {
		(void)snprintf(why, sizeof why, "it has %ju hard links, which would come apart",
			       (uintmax_t)c->st.st_nlink);
		return refuse(c, why, err);
	}
	if (c->flags & (FS_IMMUTABLE_FL | FS_APPEND_FL))
		return refuse(c, "it is immutable or append-only (chattr -ia)", err);
	/* A read lease is refused while anyone has the file open or mapped for writing, and tells of one who comes
	 * later (fcntl(2), Leases). A file system without leases is left to the look at times and size at the end. */
	if (fcntl(c->from, F_SETLEASE, F_RDLCK) < 0) {
		if (errno == EAGAIN)
			return refuse(c, "it is open for writing", err);
		if (errno != EINVAL && errno != EOPNOTSUPP && errno != EACCES)
			return gb_err_sys(err, errno, "%s: lease", c->path);
	} else {
		c->leased = true;
	}
	/* A copy that cannot fit would first take the last room from everybody else. */
	if (fstatvfs(c->from, &vfs) == 0 && (uint64_t)c->st.st_blocks * 512 > (uint64_t)vfs.f_bavail * vfs.f_frsize)
		return gb_err_set(err, ENOSPC, "%s: a copy needs %ju bytes, the file system has %ju: %s", c->path,
				  (uintmax_t)c->st.st_blocks * 512, (uintmax_t)vfs.f_bavail * vfs.f_frsize,
				  strerror(ENOSPC));
	return 0;
}

/* A lease that somebody waits for reads as F_UNLCK. */
static bool lease_holds(const struct conversion *c)
{
	return !c->leased || fcntl(c->from, F_GETLEASE) == F_RDLCK;
}

/* Bytes from one descriptor to the other at one place. copy_file_range(2) and splice(2) may share extents: not here. */
static int copy_range(const struct conversion *c, char *buf, size_t size, off_t from, off_t to, struct gb_err *err)
{
	while (from < to) {
		size_t want = (uint64_t)(to - from) < size ? (size_t)(to - from) : size;
		ssize_t n = gb_io_pread(c->from, buf, want, from);

		if (n < 0)
			return gb_err_sys(err, (int)-n, "%s: read at byte %jd", c->path, (intmax_t)from);
		if (n == 0)
			return refuse(c, "it became shorter meanwhile", err);
		if (!lease_holds(c))
			return refuse(c, "it was opened for writing meanwhile", err);
		int r = gb_io_pwrite(c->to, buf, (size_t)n, from);
		if (r < 0)
			return gb_err_sys(err, -r, "%s: write of its copy at byte %jd", c->path, (intmax_t)from);
		from += n;
	}
	return 0;
}

static int copy_data(const struct conversion *c, struct gb_err *err)
{
	enum { SIZE = 1 << 20 };
	gb_autofree char *buf = malloc(SIZE);
	off_t at = 0;

	if (!buf)
		return gb_err_sys(err, ENOMEM, "%s", c->path);
	while (at < c->st.st_size) {
		off_t data = lseek(c->from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			return gb_err_sys(err, errno, "%s: search for data", c->path);
		off_t hole = lseek(c->from, data, SEEK_HOLE);
		if (hole < 0)
			return gb_err_sys(err, errno, "%s: search for a hole", c->path);
		if (hole > c->st.st_size)
			hole = c->st.st_size;
		int r = copy_range(c, buf, SIZE, data, hole, err);
		if (r < 0)
			return r;
		at = hole;
	}
	return ftruncate(c->to, c->st.st_size) < 0 ? gb_err_sys(err, errno, "%s: size of its copy", c->path) : 0;
}

static int copy_xattrs(const struct conversion *c, struct gb_err *err)
{
	/* The kernel's own bounds: XATTR_LIST_MAX and XATTR_SIZE_MAX (linux/limits.h). */
	enum { LIST = 65536, VALUE = 65536 };
	gb_autofree char *list = malloc(LIST), *value = malloc(VALUE);

	if (!list || !value)
		return gb_err_sys(err, ENOMEM, "%s", c->path);
	ssize_t len = flistxattr(c->from, list, LIST);
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : gb_err_sys(err, errno, "%s: extended attributes", c->path);
	for (const char *name = list; name < list + len; name += strlen(name) + 1) {
		if (strcmp(name, "btrfs.compression") == 0)
			continue; /* excludes NOCOW */
		ssize_t n = fgetxattr(c->from, name, value, VALUE);
		if (n < 0)
			return gb_err_sys(err, errno, "%s: extended attribute %s", c->path, name);
		if (fsetxattr(c->to, name, value, (size_t)n, 0) < 0)
			return gb_err_sys(err, errno, "%s: extended attribute %s of its copy", c->path, name);
	}
	return 0;
}

/* In this order: chown(2) drops set-id bits and capabilities, so mode and attributes come after it, times last. */
static int copy_attributes(const struct conversion *c, struct gb_err *err)
{
	const unsigned carried = FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_DIRSYNC_FL;
	const struct timespec times[2] = { c->st.st_atim, c->st.st_mtim };
	unsigned flags;

	if (fchown(c->to, c->st.st_uid, c->st.st_gid) < 0)
		return gb_err_sys(err, errno, "%s: owner of its copy", c->path);
	if (fchmod(c->to, c->st.st_mode & 07777) < 0)
		return gb_err_sys(err, errno, "%s: mode of its copy", c->path);
	int r = copy_xattrs(c, err);
	if (r < 0)
		return r;
	if (c->flags & carried) {
		r = gb_fsflags_get(c->to, &flags);
		if (r == 0)
			r = gb_fsflags_set(c->to, flags | (c->flags & carried));
		if (r < 0)
			return gb_err_sys(err, -r, "%s: inode flags of its copy", c->path);
	}
	if (futimens(c->to, times) < 0)
		return gb_err_sys(err, errno, "%s: times of its copy", c->path);
	return 0;
}

/* Gives the copy a name. Until here a kill leaves nothing at all. */
static int name_copy(struct conversion *c, struct gb_err *err)
{
	for (int tries = 0; tries < 16; tries++) {
		char spare[sizeof c->spare];
		struct gb_io_path self;
		uint64_t number;

		/* Only to be unlikely; an unseeded generator is no reason to wait. */
		if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number) {
			struct timespec now;
			(void)clock_gettime(CLOCK_REALTIME, &now);
			number = (uint64_t)now.tv_nsec * 2654435761u ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)getpid();
		}
		(void)snprintf(spare, sizeof spare, ".nocow-%016" PRIx64, number);
		int r = linkat(c->to, "", c->dirfd, spare, AT_EMPTY_PATH);
		if (r < 0 && (errno == ENOENT || errno == EPERM)) /* without CAP_DAC_READ_SEARCH: open(2), O_TMPFILE */
			r = linkat(AT_FDCWD, gb_io_path(c->to, &self), c->dirfd, spare, AT_SYMLINK_FOLLOW);
		if (r == 0) {
			memcpy(c->spare, spare, sizeof spare);
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return gb_err_sys(err, errno, "%s: name for its copy", c->path);
}

static bool undisturbed(const struct conversion *c)
{
	struct stat now;

	return lease_holds(c) && fstat(c->from, &now) == 0 && now.st_size == c->st.st_size && now.st_nlink == 1 &&
	       now.st_mtim.tv_sec == c->st.st_mtim.tv_sec && now.st_mtim.tv_nsec == c->st.st_mtim.tv_nsec;
}

/* Puts the copy in the original's place, and back when someone came for the original in that moment. */
static int exchange(struct conversion *c, struct gb_err *err)
{
	bool new_leased = false;
	struct stat there;

	/* The copy is leased, too: it may have no writer before it is clear that it stays. */
	int fd = openat(c->dirfd, c->spare, OPEN_FLAGS | O_NOFOLLOW);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s: its copy", c->path);
	(void)close(c->to);
	c->to = fd;
	if (c->leased)
		new_leased = fcntl(c->to, F_SETLEASE, F_RDLCK) == 0;
	if (!undisturbed(c))
		return refuse(c, "it was opened for writing meanwhile", err);
	if (fstatat(c->dirfd, c->name, &there, AT_SYMLINK_NOFOLLOW) < 0 || there.st_ino != c->st.st_ino ||
	    there.st_dev != c->st.st_dev)
		return refuse(c, "another file took its name meanwhile", err);
	if (renameat2(c->dirfd, c->spare, c->dirfd, c->name, RENAME_EXCHANGE) < 0)
		return gb_err_sys(err, errno, "%s: exchange with its copy", c->path);
	if (!undisturbed(c) ||
	    fstatat(c->dirfd, c->spare, &there, AT_SYMLINK_NOFOLLOW) < 0 || there.st_ino != c->st.st_ino) {
		if (renameat2(c->dirfd, c->spare, c->dirfd, c->name, RENAME_EXCHANGE) < 0 ||
		    (new_leased && fcntl(c->to, F_GETLEASE) != F_RDLCK)) {
			/* Both have, or may have, a writer: neither may go. */
			(void)gb_err_set(err, EBUSY, "%s: opened for writing twice while converted; both stay, the other is %s/%s",
				   c->path, c->dir, c->spare);
			c->spare[0] = '\0';
			return -EBUSY;
		}
		return refuse(c, "it was opened for writing meanwhile", err);
	}
	if (unlinkat(c->dirfd, c->spare, 0) < 0)
		return gb_err_sys(err, errno, "%s: converted, but its old blocks stay as %s/%s", c->path, c->dir, c->spare);
	c->spare[0] = '\0';
	if (fsync(c->dirfd) < 0)
		return gb_err_sys(err, errno, "%s: sync of %s", c->path, c->dir);
	return 1;
}

static int convert(struct conversion *c, struct gb_err *err)
{
	int r = start(c, err);

	if (r < 0 || c->flags & FS_NOCOW_FL)
		return r;
	if (c->st.st_size == 0) {
		r = gb_nocow_set_fd(c->from, c->path, true, err);
		return r < 0 ? r : 0;
	}
	r = admit(c, err);
	if (r < 0)
		return r;
	c->to = openat(c->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (c->to < 0)
		return gb_err_sys(err, errno, "%s: its copy in %s", c->path, c->dir);
	r = gb_nocow_set_fd(c->to, c->path, true, err);
	if (r >= 0)
		r = copy_data(c, err);
	if (r >= 0)
		r = copy_attributes(c, err);
	if (r >= 0)
		r = name_copy(c, err);
	/* After it has its name: fsync(2) of a file without one makes nothing of it durable on Btrfs. */
	if (r >= 0 && fsync(c->to) < 0)
		r = gb_err_sys(err, errno, "%s: sync of its copy", c->path);
	return r < 0 ? r : exchange(c, err);
}

int gb_nocow_convert(const char *path, struct gb_err *err)
{
	gb_cleanup(close_conversion) struct conversion c = { .path = path, .dirfd = -1, .from = -1, .to = -1 };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;

	/* A lease that is asked for sends SIGIO, which ends a process that does not expect it. */
	(void)sigaction(SIGIO, &ignore, &old);
	int r = convert(&c, err);
	if (c.from >= 0)
		(void)fcntl(c.from, F_SETLEASE, F_UNLCK);
	(void)sigaction(SIGIO, &old, NULL);
	return r;
}
