/* SPDX-License-Identifier: MIT */
/* Attributes: those of stat(2), extended ones, the flags of chattr(1), the space that is left. */
#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/initfs/ops.h"

static void reply_attr(fuse_req_t req, const struct gb_at *at)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct statx stx;
	struct stat st;

	if (statx(at->hold.fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &stx) < 0) {
		gb_initfs_err(req, errno);
		return;
	}
	gb_initfs_stat(fs, at->node, &stx, &st);
	(void)fuse_reply_attr(req, &st, fs->timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at;

	(void)fi;
	if (gb_initfs_is_virtual(fs, id)) {
		struct stat st;
		gb_initfs_virtual_stat(fs, id, &st);
		(void)fuse_reply_attr(req, &st, GB_FOREVER);
		return;
	}
	int r = gb_initfs_at_node(fs, id, &at);
	if (r < 0) {
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	reply_attr(req, &at);
	gb_initfs_at_end(fs, &at);
}

static int set_size(struct gb_initfs *fs, struct gb_at *at, off_t size, struct fuse_file_info *fi)
{
	struct gb_io_path path;
	int r = 0;

	if (fi) {
		struct gb_file *file = gb_initfs_file_get(&fs->table, fi->fh, GB_FILE_PLAIN);
		if (!file)
			return -EBADF;
		if (ftruncate(file->fd, size) < 0)
			r = -errno;
		gb_initfs_file_put(&fs->table, file);
		return r;
	}
	if (!S_ISREG(at->node->type))
		return -EINVAL;
	return truncate(gb_io_path(at->hold.fd, &path), size) < 0 ? -errno : 0;
}

static struct timespec time_to_set(const struct timespec *given, int set, int set_now)
{
	if (set_now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return set ? *given : (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_attributes(struct gb_initfs *fs, struct gb_at *at, struct stat *st, int set, struct fuse_file_info *fi)
{
	struct gb_io_path path;
	int r;

	if ((set & FUSE_SET_ATTR_MODE)) {
		if (S_ISLNK(at->node->type))
			return -EOPNOTSUPP;
		if (chmod(gb_io_path(at->hold.fd, &path), st->st_mode & 07777) < 0)
			return -errno;
	}
	if (set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
		uid_t uid = set & FUSE_SET_ATTR_UID ? st->st_uid : (uid_t)-1;
		gid_t gid = set & FUSE_SET_ATTR_GID ? st->st_gid : (gid_t)-1;
		if (fchownat(at->hold.fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		/* chown(2) clears set-user-ID; the kernel asked for both, and for the mode as it should be afterwards. */
		if ((set & FUSE_SET_ATTR_MODE) && chmod(gb_io_path(at->hold.fd, &path), st->st_mode & 07777) < 0)
			return -errno;
	}
	if (set & FUSE_SET_ATTR_SIZE) {
		r = set_size(fs, at, st->st_size, fi);
		if (r < 0)
			return r;
	}
	if (set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)) {
		struct timespec times[2] = {
			time_to_set(&st->st_atim, set & FUSE_SET_ATTR_ATIME, set & FUSE_SET_ATTR_ATIME_NOW),
			time_to_set(&st->st_mtim, set & FUSE_SET_ATTR_MTIME, set & FUSE_SET_ATTR_MTIME_NOW),
		};
		if (utimensat(AT_FDCWD, gb_io_path(at->hold.fd, &path), times, 0) < 0)
			return -errno;
	}
	return 0;
}

static void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat *st, int set, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at;
	int r = gb_initfs_at_change(fs, id, &at);

	if (r == 0)
		r = set_attributes(fs, &at, st, set, fi);
	if (r < 0) {
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	reply_attr(req, &at);
	gb_initfs_at_end(fs, &at);
}

static void op_readlink(fuse_req_t req, fuse_ino_t id)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	char target[PATH_MAX + 1];
	struct gb_at at = { .hold.fd = -1 };
	int r = gb_initfs_is_virtual(fs, id) ? -EINVAL : gb_initfs_at_node(fs, id, &at);

	/* readlinkat(2) of "" says ENOENT for what is no link */
	if (r == 0 && !S_ISLNK(at.node->type))
		r = -EINVAL;
	ssize_t n = r < 0 ? 0 : readlinkat(at.hold.fd, "", target, sizeof target);
	if (n < 0)
		r = -errno;
	else if (n == sizeof target)
		r = -ENAMETOOLONG;
	if (r < 0) {
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	target[n] = '\0';
	(void)fuse_reply_readlink(req, target);
	gb_initfs_at_end(fs, &at);
}

static void op_access(fuse_req_t req, fuse_ino_t id, int mask)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at = { .hold.fd = -1 };
	struct gb_io_path path;
	int r;

	if (gb_initfs_is_virtual(fs, id)) {
		gb_initfs_err(req, mask & W_OK ? EACCES : 0);
		return;
	}
	r = gb_initfs_at_node(fs, id, &at);
	if (r == 0 && (mask & W_OK) && fs->config.readonly)
		r = -EROFS;
	if (r == 0 && access(gb_io_path(at.hold.fd, &path), mask) < 0)
		r = -errno;
	gb_initfs_at_reply(req, &at, r);
}

static void op_statfs(fuse_req_t req, fuse_ino_t id)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at = { .hold.fd = -1 };
	struct statvfs st;
	int r = gb_initfs_at_node(fs, gb_initfs_is_virtual(fs, id) || id == 0 ? GB_ID_ROOT : id, &at);

	if (r == 0 && fstatvfs(at.hold.fd, &st) < 0)
		r = -errno;
	if (r < 0) {
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	(void)fuse_reply_statfs(req, &st);
	gb_initfs_at_end(fs, &at);
}

/* The flags of lsattr(1) and chattr(1), and the project of a quota: the only ioctls that pass. Each is read and written
 * in memory of ours, whatever sizes the request names. Linux before 5.13 checks nothing before it asks us. */
union attribute_arg {
	unsigned flags;
	struct fsxattr fsx;
};
_Static_assert(sizeof(struct fsxattr) == 28, "fsxattr is 28 bytes");

static int may_set_flags(fuse_req_t req, int fd, unsigned cmd, const union attribute_arg *arg)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);
	union attribute_arg now = { .flags = 0 };
	unsigned fixed;
	struct stat st;

	if (gb_initfs_of(req)->config.readonly)
		return -EROFS;
	if (c->uid == 0 || !gb_initfs_of(req)->root)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != c->uid)
		return -EPERM;
	/* What only root may change must be as it is. */
	if (cmd == FS_IOC_SETFLAGS) {
		if (ioctl(fd, FS_IOC_GETFLAGS, &now) < 0)
			return -errno;
		fixed = (now.flags ^ arg->flags) & (FS_IMMUTABLE_FL | FS_APPEND_FL);
	} else {
		if (ioctl(fd, FS_IOC_FSGETXATTR, &now) < 0)
			return -errno;
		fixed = ((now.fsx.fsx_xflags ^ arg->fsx.fsx_xflags) & (FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND)) |
			(now.fsx.fsx_projid ^ arg->fsx.fsx_projid);
	}
	return fixed ? -EPERM : 0;
}

static void op_ioctl(fuse_req_t req, fuse_ino_t id, unsigned cmd, void *arg_at, struct fuse_file_info *fi,
		     unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	static const struct { unsigned cmd, real; size_t in, out; } known[] = {
		{ (unsigned)FS_IOC_GETFLAGS, (unsigned)FS_IOC_GETFLAGS, 0, sizeof(unsigned) },
		{ (unsigned)FS_IOC32_GETFLAGS, (unsigned)FS_IOC_GETFLAGS, 0, sizeof(unsigned) },
		{ (unsigned)FS_IOC_SETFLAGS, (unsigned)FS_IOC_SETFLAGS, sizeof(unsigned), 0 },
		{ (unsigned)FS_IOC32_SETFLAGS, (unsigned)FS_IOC_SETFLAGS, sizeof(unsigned), 0 },
		{ (unsigned)FS_IOC_FSGETXATTR, (unsigned)FS_IOC_FSGETXATTR, 0, sizeof(struct fsxattr) },
		{ (unsigned)FS_IOC_FSSETXATTR, (unsigned)FS_IOC_FSSETXATTR, sizeof(struct fsxattr), 0 },
	};
	struct gb_initfs *fs = gb_initfs_of(req);
	union attribute_arg arg = { .fsx = { 0 } };
	size_t i = 0;
	int r = 0;

	(void)arg_at;
	while (i < GB_ARRAY_LEN(known) && known[i].cmd != cmd)
		i++;
	if (gb_initfs_is_virtual(fs, id) || i == GB_ARRAY_LEN(known)) {
		gb_initfs_err(req, ENOTTY);
		return;
	}
	if (in_size < known[i].in || out_size < known[i].out) {
		gb_initfs_err(req, EINVAL);
		return;
	}
	struct gb_file *file = gb_initfs_file_get(&fs->table, fi->fh, flags & FUSE_IOCTL_DIR ? GB_FILE_DIR : GB_FILE_PLAIN);
	if (!file) {
		gb_initfs_err(req, EBADF);
		return;
	}
	if (known[i].in) {
		memcpy(&arg, in, known[i].in);
		r = may_set_flags(req, file->fd, known[i].real, &arg);
	}
	if (r == 0 && ioctl(file->fd, known[i].real, &arg) < 0)
		r = errno == ENOSYS ? -ENOTTY : -errno;
	gb_initfs_file_put(&fs->table, file);
	if (r < 0)
		gb_initfs_err(req, -r);
	else
		(void)fuse_reply_ioctl(req, 0, &arg, known[i].out);
}

/* --- extended attributes --- */

static void reply_xattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at = { .hold.fd = -1 };
	struct gb_io_path path;
	gb_autofree char *value = NULL;
	ssize_t n = 0;
	int r = gb_initfs_at_node(fs, id, &at);

	if (size > XATTR_LIST_MAX)
		size = XATTR_LIST_MAX; /* also the longest value: XATTR_SIZE_MAX */
	if (r == 0 && size && !(value = malloc(size)))
		r = -ENOMEM;
	if (r == 0) {
		(void)gb_io_path(at.hold.fd, &path);
		n = name ? getxattr(path.text, name, value, size) : listxattr(path.text, value, size);
		if (n < 0)
			r = -errno;
	}
	if (r < 0) {
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	if (size)
		(void)fuse_reply_buf(req, value, (size_t)n);
	else
		(void)fuse_reply_xattr(req, (size_t)n);
	gb_initfs_at_end(fs, &at);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
	if (gb_initfs_is_virtual(gb_initfs_of(req), id))
		gb_initfs_err(req, ENODATA);
	else
		reply_xattr(req, id, name, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t id, size_t size)
{
	if (!gb_initfs_is_virtual(gb_initfs_of(req), id))
		reply_xattr(req, id, NULL, size);
	else if (size)
		(void)fuse_reply_buf(req, NULL, 0);
	else
		(void)fuse_reply_xattr(req, 0);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size, int flags)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at;
	struct gb_io_path path;
	int r = gb_initfs_at_change(fs, id, &at);

	if (r == 0 && setxattr(gb_io_path(at.hold.fd, &path), name, value, size, flags) < 0)
		r = -errno;
	gb_initfs_at_reply(req, &at, r);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t id, const char *name)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at;
	struct gb_io_path path;
	int r = gb_initfs_at_change(fs, id, &at);

	if (r == 0 && removexattr(gb_io_path(at.hold.fd, &path), name) < 0)
		r = -errno;
	gb_initfs_at_reply(req, &at, r);
}

void gb_initfs_attr_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->access = op_access;
	ops->statfs = op_statfs;
	ops->ioctl = op_ioctl;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
}
