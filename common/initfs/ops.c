/* SPDX-License-Identifier: MIT */
/* The requests. The virtual file's answers are the table of docs/initfs.md; no object or name ever gets ENOSYS. */
#include "common/initfs/ops.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/* The virtual objects never change. */
#define FOREVER 1e9

static struct gb_initfs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static bool is_init(const struct gb_initfs *fs, uint64_t id)
{
	return fs->config.inject && id == GB_ID_INIT;
}

bool gb_initfs_is_dir(const struct gb_initfs *fs, uint64_t id)
{
	return id >= GB_ID_DIRS && id < GB_ID_DIRS + fs->config.dir_count;
}

static bool is_virtual(const struct gb_initfs *fs, uint64_t id)
{
	return is_init(fs, id) || gb_initfs_is_dir(fs, id);
}

uint64_t gb_initfs_virtual(const struct gb_initfs *fs, uint64_t parent, const char *name)
{
	if (parent != GB_ID_ROOT)
		return 0;
	if (fs->config.inject && strcmp(name, fs->config.name) == 0)
		return GB_ID_INIT;
	for (unsigned i = 0; i < fs->config.dir_count; i++) {
		if (strcmp(name, fs->config.dirs[i]) == 0)
			return GB_ID_DIRS + i;
	}
	return 0;
}

void gb_initfs_virtual_stat(const struct gb_initfs *fs, uint64_t id, struct stat *st)
{
	*st = (struct stat){ .st_ino = id, .st_uid = fs->config.uid, .st_gid = fs->config.gid, .st_blksize = 4096 };
	if (gb_initfs_is_dir(fs, id)) {
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = 2;
		st->st_uid = 0;
		st->st_gid = 0;
		st->st_mtim = fs->start;
	} else {
		st->st_mode = S_IFREG | fs->config.mode;
		st->st_nlink = 1;
		st->st_size = (off_t)fs->store.size;
		st->st_blocks = (blkcnt_t)((fs->store.size + 511) / 512);
		st->st_mtim.tv_sec = fs->config.mtime >= 0 ? fs->config.mtime : fs->store.mtime;
	}
	st->st_atim = st->st_ctim = st->st_mtim;
}

void gb_initfs_virtual_entry(const struct gb_initfs *fs, uint64_t id, struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){ .ino = id, .attr_timeout = FOREVER, .entry_timeout = FOREVER };
	gb_initfs_virtual_stat(fs, id, &entry->attr);
}

/* Objects of other file systems below the source (mounts, Btrfs subvolumes) would share numbers with the root's, and
 * tar(1) would take them for hard links of each other: the number of the device goes into the upper bits. */
uint64_t gb_initfs_ino(const struct gb_initfs *fs, unsigned dev_index, uint64_t ino)
{
	if (dev_index)
		return ino ^ (uint64_t)dev_index << 48;
	return fs->config.inject && ino == GB_ID_INIT ? GB_INO_MOVED : ino;
}

void gb_initfs_stat(struct gb_initfs *fs, const struct gb_node *node, const struct statx *stx, struct stat *st)
{
	*st = (struct stat){
		.st_ino = gb_initfs_ino(fs, node->dev_index, stx->stx_ino),
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = (off_t)stx->stx_size,
		.st_blksize = stx->stx_blksize,
		.st_blocks = (blkcnt_t)stx->stx_blocks,
		.st_atim = { .tv_sec = stx->stx_atime.tv_sec, .tv_nsec = stx->stx_atime.tv_nsec },
		.st_mtim = { .tv_sec = stx->stx_mtime.tv_sec, .tv_nsec = stx->stx_mtime.tv_nsec },
		.st_ctim = { .tv_sec = stx->stx_ctime.tv_sec, .tv_nsec = stx->stx_ctime.tv_nsec },
	};
}

int gb_initfs_entry(struct gb_initfs *fs, struct gb_mnt *mnt, int dirfd, const char *name, uint64_t place,
		    struct fuse_entry_param *entry, struct gb_node **ret_node)
{
	struct statx stx;

	int r = gb_node_lookup(&fs->table, mnt, dirfd, name, place, &stx, ret_node);
	if (r < 0)
		return r;
	*entry = (struct fuse_entry_param){ .ino = (*ret_node)->id, .attr_timeout = fs->timeout,
					    .entry_timeout = fs->timeout };
	gb_initfs_stat(fs, *ret_node, &stx, &entry->attr);
	return 0;
}

int gb_initfs_guard(const struct gb_initfs *fs, uint64_t parent, const char *name)
{
	if (is_init(fs, parent))
		return -ENOTDIR;
	if (!*name)
		return -EINVAL;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/'))
		return -EPERM;
	if (gb_initfs_is_dir(fs, parent) || gb_initfs_virtual(fs, parent, name))
		return -EACCES;
	return fs->config.readonly ? -EROFS : 0;
}

/* --- in somebody's name --- */

static _Thread_local bool own_umask;

void gb_initfs_thread_begin(void)
{
	own_umask = unshare(CLONE_FS) == 0;
	if (own_umask)
		(void)umask(0);
}

/* mode as mknodat(2) should get it where the thread has no umask of its own. */
static mode_t masked(mode_t mode, mode_t mask)
{
	return own_umask ? mode : mode & ~mask;
}

static const struct __user_cap_header_struct cap_head = { .version = _LINUX_CAPABILITY_VERSION_3 };

/* The caller's identity makes it the owner, in a set-group-ID folder too. The kernel has checked the permissions already,
 * with the supplementary groups that we do not know: CAP_DAC_OVERRIDE and the others stay, CAP_FSETID goes. */
void gb_initfs_become(const struct gb_initfs *fs, uid_t uid, gid_t gid, mode_t mask)
{
	if (own_umask)
		(void)umask(mask);
	if (!fs->root || (uid == 0 && gid == 0))
		return;
	if (gid)
		(void)setfsgid(gid);
	if (uid) {
		struct __user_cap_header_struct head = cap_head;
		struct __user_cap_data_struct caps[2] = { fs->caps[0], fs->caps[1] };

		(void)setfsuid(uid);
		caps[0].effective &= ~(1U << CAP_FSETID);
		(void)syscall(SYS_capset, &head, caps);
	}
}

void gb_initfs_return(const struct gb_initfs *fs, uid_t uid, gid_t gid)
{
	if (own_umask)
		(void)umask(0);
	if (!fs->root || (uid == 0 && gid == 0))
		return;
	if (uid) {
		struct __user_cap_header_struct head = cap_head;

		(void)setfsuid(0);
		(void)syscall(SYS_capset, &head, fs->caps);
	}
	if (gid)
		(void)setfsgid(0);
}

static void become(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);
	gb_initfs_become(fs_of(req), c->uid, c->gid, c->umask);
}

static void return_to_self(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);
	gb_initfs_return(fs_of(req), c->uid, c->gid);
}

/* --- nodes and descriptors of a request --- */

struct at {
	struct gb_node *node;
	struct gb_hold hold;
};

static void at_end(struct gb_initfs *fs, struct at *at)
{
	if (at->node)
		gb_node_release(&fs->table, &at->hold);
	gb_node_put(&fs->table, at->node);
}

static int at_node(struct gb_initfs *fs, uint64_t id, struct at *at)
{
	*at = (struct at){ .node = gb_node_get(&fs->table, id), .hold.fd = -1 };
	if (!at->node)
		return -ESTALE;
	int r = gb_node_hold(&fs->table, at->node, &at->hold);
	return r < 0 ? r : 0;
}

/* A parent in which a name is made or removed. */
static int at_parent(struct gb_initfs *fs, uint64_t id, const char *name, struct at *at)
{
	*at = (struct at){ .hold.fd = -1 };
	int r = gb_initfs_guard(fs, id, name);
	return r < 0 ? r : at_node(fs, id, at);
}

static int at_reply(fuse_req_t req, struct at *at, int r)
{
	at_end(fs_of(req), at);
	return fuse_reply_err(req, r < 0 ? -r : 0);
}

/* The path of a held descriptor, for system calls without a form that takes one. It leads to a symbolic link itself,
 * not to its target: the walk ends at what the descriptor refers to. */
struct path { char text[32]; };
static const char *fd_path(int fd, struct path *path)
{
	(void)snprintf(path->text, sizeof path->text, "/proc/self/fd/%d", fd);
	return path->text;
}

static void reply_entry(fuse_req_t req, const struct at *parent, const char *name)
{
	struct gb_initfs *fs = fs_of(req);
	struct fuse_entry_param entry;
	struct gb_node *node = NULL;

	int r = gb_initfs_entry(fs, parent->node->mnt, parent->hold.fd, name, gb_node_place(parent->node->id, name), &entry,
				&node);
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_entry(req, &entry) == -ENOENT)
		gb_node_forget(&fs->table, entry.ino, 1); /* its process is gone, the kernel forgot the request */
	gb_node_put(&fs->table, node);
}

/* --- names and attributes --- */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct gb_initfs *fs = fs_of(req);
	struct fuse_entry_param entry;
	uint64_t id = gb_initfs_virtual(fs, parent, name);
	struct at at;

	if (id) {
		gb_initfs_virtual_entry(fs, id, &entry);
		fuse_reply_entry(req, &entry);
		return;
	}
	if (is_init(fs, parent)) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	if (gb_initfs_is_dir(fs, parent)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	int r = gb_initfs_guard(fs, parent, name);
	if (r == 0 || r == -EROFS)
		r = at_node(fs, parent, &at);
	else
		at = (struct at){ .hold.fd = -1 };
	if (r == 0 && !S_ISDIR(at.node->type))
		r = -ENOTDIR;
	if (r < 0) {
		at_reply(req, &at, r);
		return;
	}
	reply_entry(req, &at, name);
	at_end(fs, &at);
}

static void op_forget(fuse_req_t req, fuse_ino_t id, uint64_t count)
{
	struct gb_initfs *fs = fs_of(req);

	if (!is_virtual(fs, id))
		gb_node_forget(&fs->table, id, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct gb_initfs *fs = fs_of(req);

	for (size_t i = 0; i < count; i++) {
		if (!is_virtual(fs, forgets[i].ino))
			gb_node_forget(&fs->table, forgets[i].ino, forgets[i].nlookup);
	}
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, const struct at *at)
{
	struct gb_initfs *fs = fs_of(req);
	struct statx stx;
	struct stat st;

	if (statx(at->hold.fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &stx) < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	gb_initfs_stat(fs, at->node, &stx, &st);
	fuse_reply_attr(req, &st, fs->timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at;

	(void)fi;
	if (is_virtual(fs, id)) {
		struct stat st;
		gb_initfs_virtual_stat(fs, id, &st);
		fuse_reply_attr(req, &st, FOREVER);
		return;
	}
	int r = at_node(fs, id, &at);
	if (r < 0) {
		at_reply(req, &at, r);
		return;
	}
	reply_attr(req, &at);
	at_end(fs, &at);
}

static int set_size(struct gb_initfs *fs, struct at *at, off_t size, struct fuse_file_info *fi)
{
	struct path path;
	int r = 0;

	if (fi) {
		struct gb_file *file = gb_file_get(&fs->table, fi->fh, GB_FILE_PLAIN);
		if (!file)
			return -EBADF;
		if (ftruncate(file->fd, size) < 0)
			r = -errno;
		gb_file_put(&fs->table, file);
		return r;
	}
	if (!S_ISREG(at->node->type))
		return -EINVAL;
	return truncate(fd_path(at->hold.fd, &path), size) < 0 ? -errno : 0;
}

static struct timespec time_to_set(const struct timespec *given, int set, int set_now)
{
	if (set_now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return set ? *given : (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_attributes(struct gb_initfs *fs, struct at *at, struct stat *st, int set, struct fuse_file_info *fi)
{
	struct path path;
	int r;

	if ((set & FUSE_SET_ATTR_MODE)) {
		if (S_ISLNK(at->node->type))
			return -EOPNOTSUPP;
		if (chmod(fd_path(at->hold.fd, &path), st->st_mode & 07777) < 0)
			return -errno;
	}
	if (set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
		uid_t uid = set & FUSE_SET_ATTR_UID ? st->st_uid : (uid_t)-1;
		gid_t gid = set & FUSE_SET_ATTR_GID ? st->st_gid : (gid_t)-1;
		if (fchownat(at->hold.fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		/* chown(2) clears set-user-ID; the kernel asked for both, and for the mode as it should be afterwards. */
		if ((set & FUSE_SET_ATTR_MODE) && chmod(fd_path(at->hold.fd, &path), st->st_mode & 07777) < 0)
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
		if (utimensat(AT_FDCWD, fd_path(at->hold.fd, &path), times, 0) < 0)
			return -errno;
	}
	return 0;
}

static void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat *st, int set, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at = { .hold.fd = -1 };
	int r = is_virtual(fs, id) ? -EACCES : fs->config.readonly ? -EROFS : at_node(fs, id, &at);

	if (r == 0)
		r = set_attributes(fs, &at, st, set, fi);
	if (r < 0) {
		at_reply(req, &at, r);
		return;
	}
	reply_attr(req, &at);
	at_end(fs, &at);
}

static void op_readlink(fuse_req_t req, fuse_ino_t id)
{
	struct gb_initfs *fs = fs_of(req);
	char target[PATH_MAX + 1];
	struct at at = { .hold.fd = -1 };
	int r = is_virtual(fs, id) ? -EINVAL : at_node(fs, id, &at);

	/* readlinkat(2) of "" says ENOENT for what is no link */
	if (r == 0 && !S_ISLNK(at.node->type))
		r = -EINVAL;
	ssize_t n = r < 0 ? 0 : readlinkat(at.hold.fd, "", target, sizeof target);
	if (n < 0)
		r = -errno;
	else if (n == sizeof target)
		r = -ENAMETOOLONG;
	if (r < 0) {
		at_reply(req, &at, r);
		return;
	}
	target[n] = '\0';
	fuse_reply_readlink(req, target);
	at_end(fs, &at);
}

static void op_access(fuse_req_t req, fuse_ino_t id, int mask)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at = { .hold.fd = -1 };
	struct path path;
	int r;

	if (is_virtual(fs, id)) {
		fuse_reply_err(req, mask & W_OK ? EACCES : 0);
		return;
	}
	r = at_node(fs, id, &at);
	if (r == 0 && (mask & W_OK) && fs->config.readonly)
		r = -EROFS;
	if (r == 0 && access(fd_path(at.hold.fd, &path), mask) < 0)
		r = -errno;
	at_reply(req, &at, r);
}

static void op_statfs(fuse_req_t req, fuse_ino_t id)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at = { .hold.fd = -1 };
	struct statvfs st;
	int r = at_node(fs, is_virtual(fs, id) || id == 0 ? GB_ID_ROOT : id, &at);

	if (r == 0 && fstatvfs(at.hold.fd, &st) < 0)
		r = -errno;
	if (r < 0) {
		at_reply(req, &at, r);
		return;
	}
	fuse_reply_statfs(req, &st);
	at_end(fs, &at);
}

/* --- making and removing names --- */

enum kind { MKNOD, MKDIR, SYMLINK };

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, enum kind kind, mode_t mode, dev_t rdev,
		 const char *target)
{
	struct gb_initfs *fs = fs_of(req); /* an answer ends the life of req */
	mode_t mask = fuse_req_ctx(req)->umask;
	struct at at;
	int r = at_parent(fs, parent, name, &at);

	if (r == 0) {
		become(req);
		switch (kind) {
		case MKNOD: r = mknodat(at.hold.fd, name, masked(mode, mask), rdev); break;
		case MKDIR: r = mkdirat(at.hold.fd, name, masked(mode, mask)); break;
		case SYMLINK: r = symlinkat(target, at.hold.fd, name); break;
		}
		if (r < 0)
			r = -errno;
		return_to_self(req);
	}
	if (r < 0) {
		at_reply(req, &at, r);
		return;
	}
	reply_entry(req, &at, name);
	at_end(fs, &at);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	make(req, parent, name, MKNOD, mode, rdev, NULL);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, parent, name, MKDIR, mode, 0, NULL);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	make(req, parent, name, SYMLINK, 0, 0, target);
}

static void op_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t parent, const char *name)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at = { .hold.fd = -1 }, from = { .hold.fd = -1 };
	struct path path;
	int r = is_virtual(fs, id) ? -EACCES : at_parent(fs, parent, name, &at);

	if (r == 0)
		r = at_node(fs, id, &from);
	if (r == 0 && linkat(AT_FDCWD, fd_path(from.hold.fd, &path), at.hold.fd, name, AT_SYMLINK_FOLLOW) < 0)
		r = -errno;
	if (r < 0) {
		at_end(fs, &from);
		at_reply(req, &at, r);
		return;
	}
	reply_entry(req, &at, name);
	at_end(fs, &from);
	at_end(fs, &at);
}

static void take_away(fuse_req_t req, fuse_ino_t parent, const char *name, int flags)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at;
	int r = at_parent(fs, parent, name, &at);

	if (r == 0) {
		gb_node_pin_victim(&fs->table, at.node->mnt, at.hold.fd, name, gb_node_place(parent, name));
		if (unlinkat(at.hold.fd, name, flags) < 0)
			r = -errno;
	}
	at_reply(req, &at, r);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_away(req, parent, name, 0);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_away(req, parent, name, AT_REMOVEDIR);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
		      unsigned flags)
{
	struct gb_initfs *fs = fs_of(req);
	struct at from = { .hold.fd = -1 }, to = { .hold.fd = -1 };
	int r = gb_initfs_guard(fs, parent, name), to_r = gb_initfs_guard(fs, newparent, newname);

	if (r == 0 || (r == -EROFS && to_r < 0)) /* a reserved name on either side goes before a read-only share */
		r = to_r;
	if (r == 0)
		r = at_node(fs, parent, &from);
	if (r == 0)
		r = at_node(fs, newparent, &to);
	if (r == 0) {
		uint64_t new_place = gb_node_place(newparent, newname);
		if (!(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
			gb_node_pin_victim(&fs->table, to.node->mnt, to.hold.fd, newname, new_place);
		if (renameat2(from.hold.fd, name, to.hold.fd, newname, flags) < 0)
			r = -errno;
		else
			gb_node_moved(&fs->table, gb_node_place(parent, name), new_place, flags & RENAME_EXCHANGE);
	}
	at_end(fs, &to);
	at_reply(req, &from, r);
}

/* --- files --- */

/* How a file is opened behind the kernel's back. O_DIRECT would ask for aligned memory here; passthrough has it. */
static int server_flags(const struct gb_initfs *fs, int flags)
{
	flags &= ~(O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECT | O_NOCTTY | O_DIRECTORY);
	if (!fs->root)
		flags &= ~O_NOATIME;
	if (fs->config.writeback) {
		/* The kernel reads what it only partly writes, and it knows where the end is. */
		if ((flags & O_ACCMODE) == O_WRONLY)
			flags = (flags & ~O_ACCMODE) | O_RDWR;
		flags &= ~O_APPEND;
	}
	return flags;
}

static bool changes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static void backing_close(const struct gb_initfs *fs, int32_t id)
{
	if (id > 0)
		(void)ioctl(fs->dev, GB_FUSE_BACKING_CLOSE, &id);
}

/* The node's backing id, or 0. All opens of a node must agree (the kernel says EIO otherwise), so what the first one of
 * them finds out holds until the last is closed. */
static int32_t backing(struct gb_initfs *fs, const struct gb_file *file)
{
	struct gb_node *node = file->node;
	int32_t id;

	if (!atomic_load_explicit(&fs->passthrough, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&fs->table.lock);
	if (node->backing == GB_BACKING_UNKNOWN) {
		struct gb_fuse_backing_map map = { .fd = file->fd };
		int r = ioctl(fs->dev, GB_FUSE_BACKING_OPEN, &map);

		node->backing = r > 0 ? GB_BACKING_YES : GB_BACKING_NO;
		node->backing_id = r > 0 ? r : 0;
	}
	id = node->backing_id;
	pthread_mutex_unlock(&fs->table.lock);
	return id;
}

static struct gb_fuse_open_out open_answer(struct gb_initfs *fs, const struct gb_file *file, int flags)
{
	struct gb_fuse_open_out out = { .fh = file->fh, .backing_id = backing(fs, file) };

	if (out.backing_id)
		out.open_flags = GB_FOPEN_PASSTHROUGH;
	else if (fs->config.cache == GB_INITFS_NEVER)
		out.open_flags = FOPEN_DIRECT_IO;
	else if (fs->config.cache == GB_INITFS_ALWAYS)
		out.open_flags = FOPEN_KEEP_CACHE;
	if ((flags & O_ACCMODE) == O_RDONLY || (file->node->mnt->noflush && !fs->config.writeback))
		out.open_flags |= GB_FOPEN_NOFLUSH;
	return out;
}

static void close_file(struct gb_initfs *fs, uint64_t fh)
{
	int32_t id;

	(void)gb_file_close(&fs->table, fh, GB_FILE_PLAIN, &id);
	backing_close(fs, id);
}

static void open_init(fuse_req_t req, int flags)
{
	struct gb_initfs *fs = fs_of(req);
	struct gb_fuse_open_out out = { .open_flags = FOPEN_KEEP_CACHE | GB_FOPEN_NOFLUSH };

	if (changes(flags)) {
		fuse_reply_err(req, EACCES);
		return;
	}
	if (fs->store_backing > 0) {
		out.open_flags = GB_FOPEN_PASSTHROUGH | GB_FOPEN_NOFLUSH;
		out.backing_id = fs->store_backing;
	}
	fuse_reply_buf(req, (const char *)&out, sizeof out);
}

static void op_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = fs_of(req);
	struct gb_node *node;
	struct gb_file *file;
	int r;

	if (is_init(fs, id)) {
		open_init(req, fi->flags);
		return;
	}
	if (gb_initfs_is_dir(fs, id)) {
		fuse_reply_err(req, EISDIR);
		return;
	}
	node = gb_node_get(&fs->table, id);
	r = !node ? -ESTALE : S_ISDIR(node->type) ? -EISDIR : S_ISLNK(node->type) ? -ELOOP :
		    !S_ISREG(node->type) ? -ENXIO : fs->config.readonly && changes(fi->flags) ? -EROFS : 0;
	if (r == 0)
		r = gb_node_reopen(&fs->table, node, server_flags(fs, fi->flags));
	gb_autoclose int fd = r;
	if (r >= 0)
		r = gb_file_open(&fs->table, node, fd, GB_FILE_PLAIN, &file);
	gb_node_put(&fs->table, node);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	(void)gb_take_fd(&fd);
	struct gb_fuse_open_out out = open_answer(fs, file, fi->flags);
	uint64_t fh = file->fh;
	if (fuse_reply_buf(req, (const char *)&out, sizeof out) == -ENOENT)
		close_file(fs, fh);
}

/* A descriptor of a file that was just made becomes a node and an open file. */
static int created(struct gb_initfs *fs, struct gb_mnt *mnt, int *fd, uint64_t place, struct fuse_entry_param *entry,
		   struct gb_file **ret_file)
{
	struct gb_node *node;
	int r = gb_initfs_entry(fs, mnt, *fd, "", place, entry, &node);

	if (r < 0)
		return r;
	/* Only if somebody exchanged the name on the source: what was opened is no plain file. */
	r = S_ISREG(node->type) ? gb_file_open(&fs->table, node, *fd, GB_FILE_PLAIN, ret_file) : -EEXIST;
	if (r == 0)
		*fd = -1;
	else
		gb_node_forget(&fs->table, node->id, 1);
	gb_node_put(&fs->table, node);
	return r;
}

static uint64_t whole_seconds(double t)
{
	return t >= 1e18 ? (uint64_t)1e18 : (uint64_t)t;
}

static uint32_t rest_nanoseconds(double t)
{
	return t >= 1e9 ? 0 : (uint32_t)((t - (double)(uint64_t)t) * 1e9);
}

struct create_out {
	struct fuse_entry_out entry;
	struct gb_fuse_open_out open;
};
_Static_assert(sizeof(struct create_out) == sizeof(struct fuse_entry_out) + 16, "CREATE's answer has no hole");

static struct create_out create_answer(const struct fuse_entry_param *e, struct gb_fuse_open_out open)
{
	const struct stat *st = &e->attr;

	return (struct create_out){
		.open = open,
		.entry = {
			.nodeid = e->ino,
			.entry_valid = whole_seconds(e->entry_timeout),
			.attr_valid = whole_seconds(e->attr_timeout),
			.entry_valid_nsec = rest_nanoseconds(e->entry_timeout),
			.attr_valid_nsec = rest_nanoseconds(e->attr_timeout),
			.attr = {
				.ino = st->st_ino, .size = (uint64_t)st->st_size, .blocks = (uint64_t)st->st_blocks,
				.atime = (uint64_t)st->st_atim.tv_sec, .atimensec = (uint32_t)st->st_atim.tv_nsec,
				.mtime = (uint64_t)st->st_mtim.tv_sec, .mtimensec = (uint32_t)st->st_mtim.tv_nsec,
				.ctime = (uint64_t)st->st_ctim.tv_sec, .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
				.mode = st->st_mode, .nlink = (uint32_t)st->st_nlink, .uid = st->st_uid,
				.gid = st->st_gid, .rdev = (uint32_t)st->st_rdev, .blksize = (uint32_t)st->st_blksize,
			},
		},
	};
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = fs_of(req);
	struct fuse_entry_param entry;
	struct gb_file *file;
	struct at at;
	gb_autoclose int fd = -1;
	int r = at_parent(fs, parent, name, &at);

	if (r == 0) {
		int flags = server_flags(fs, fi->flags) | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
			    (fi->flags & O_EXCL);
		become(req);
		fd = openat(at.hold.fd, name, flags, masked(mode, fuse_req_ctx(req)->umask));
		r = fd < 0 ? -errno : 0;
		return_to_self(req);
	}
	if (r == 0)
		r = created(fs, at.node->mnt, &fd, gb_node_place(parent, name), &entry, &file);
	if (r < 0) {
		at_reply(req, &at, r);
		return;
	}
	at_end(fs, &at);
	uint64_t fh = file->fh;
	struct create_out out = create_answer(&entry, open_answer(fs, file, fi->flags));
	if (fuse_reply_buf(req, (const char *)&out, sizeof out) == -ENOENT) {
		close_file(fs, fh);
		gb_node_forget(&fs->table, entry.ino, 1);
	}
}

/* FUSE_TMPFILE, which libfuse 3.14 does not know. An answer of our own, like everything about it. */
static void raw_answer(const struct gb_initfs *fs, uint64_t unique, int error, const void *data, size_t len,
		       int *ret_errno)
{
	struct fuse_out_header head = { .len = (uint32_t)(sizeof head + len), .error = error, .unique = unique };
	char frame[sizeof head + sizeof(struct create_out)];

	memcpy(frame, &head, sizeof head);
	memcpy(frame + sizeof head, data, len);
	*ret_errno = write(fs->dev, frame, head.len) < 0 ? errno : 0;
}

static int tmpfile_in(struct gb_initfs *fs, const struct fuse_in_header *in, const struct fuse_create_in *arg,
		      struct create_out *out)
{
	struct fuse_entry_param entry;
	struct gb_file *file;
	struct at at = { .hold.fd = -1 };
	gb_autoclose int fd = -1;
	int r = is_init(fs, in->nodeid) ? -ENOTDIR : gb_initfs_is_dir(fs, in->nodeid) ? -EACCES :
		fs->config.readonly ? -EROFS : at_node(fs, in->nodeid, &at);

	if (r == 0 && !S_ISDIR(at.node->type))
		r = -ENOTDIR;
	if (r == 0) {
		int flags = server_flags(fs, (int)arg->flags & ~O_TMPFILE) | O_TMPFILE | O_CLOEXEC |
			    ((int)arg->flags & O_EXCL);
		gb_initfs_become(fs, in->uid, in->gid, arg->umask);
		fd = openat(at.hold.fd, ".", flags, masked(arg->mode, arg->umask));
		r = fd < 0 ? -errno : 0;
		gb_initfs_return(fs, in->uid, in->gid);
	}
	if (r == 0)
		r = created(fs, at.node->mnt, &fd, 0, &entry, &file);
	at_end(fs, &at);
	if (r == 0)
		*out = create_answer(&entry, open_answer(fs, file, (int)arg->flags));
	return r;
}

bool gb_initfs_raw(struct gb_initfs *fs, const void *request, size_t len)
{
	struct fuse_in_header in;
	struct fuse_create_in arg;
	struct create_out out;
	int failed;

	if (len < sizeof in)
		return false;
	memcpy(&in, request, sizeof in);
	if (in.opcode != GB_FUSE_TMPFILE)
		return false;
	if (len < sizeof in + sizeof arg) {
		raw_answer(fs, in.unique, -EINVAL, "", 0, &failed);
		return true;
	}
	memcpy(&arg, (const char *)request + sizeof in, sizeof arg);
	int r = tmpfile_in(fs, &in, &arg, &out);
	raw_answer(fs, in.unique, r, &out, r < 0 ? 0 : sizeof out, &failed);
	if (r == 0 && failed) {
		close_file(fs, out.open.fh);
		gb_node_forget(&fs->table, out.entry.nodeid, 1);
	}
	return true;
}

/* Whatever a request wants of an open file: found, used, let go. */
static struct gb_file *file_of(fuse_req_t req, const struct fuse_file_info *fi)
{
	return gb_file_get(&fs_of(req)->table, fi->fh, GB_FILE_PLAIN);
}

static int file_reply(fuse_req_t req, struct gb_file *file, int r)
{
	gb_file_put(&fs_of(req)->table, file);
	return fuse_reply_err(req, r < 0 ? -r : 0);
}

/* A pipe a worker, as large as the largest read. gb_initfs_thread_end() ends it. */
static _Thread_local struct { int fd[2]; size_t size; bool failed; } thread_pipe = { .fd = { -1, -1 } };

static bool have_pipe(size_t size)
{
	if (thread_pipe.failed)
		return false;
	if (thread_pipe.fd[0] < 0) {
		if (pipe2(thread_pipe.fd, O_CLOEXEC | O_NONBLOCK) < 0) {
			thread_pipe.failed = true;
			return false;
		}
		thread_pipe.size = 65536;
	}
	if (thread_pipe.size < size) {
		int got = fcntl(thread_pipe.fd[1], F_SETPIPE_SZ, (int)size);
		if (got < 0)
			return false;
		thread_pipe.size = (size_t)got;
	}
	return true;
}

static void drop_pipe(void)
{
	for (int i = 0; i < 2; i++) {
		if (thread_pipe.fd[i] >= 0)
			(void)close(thread_pipe.fd[i]);
		thread_pipe.fd[i] = -1;
	}
	thread_pipe.size = 0;
}

void gb_initfs_thread_end(void)
{
	drop_pipe();
}

/* Pages of the file into the pipe, without a copy: the count; -EINVAL where this cannot be done.
 *
 * A read that gets some bytes and then an error must not become a short answer: the kernel takes that for the end of
 * the file. The error for all of it makes the kernel ask again, a page at a time. */
static ssize_t fill_pipe(int fd, size_t size, off_t off)
{
	size_t done = 0;

	while (done < size) {
		off_t at = off + (off_t)done;
		ssize_t n = splice(fd, &at, thread_pipe.fd[1], NULL, size - done, SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EINVAL; /* more pieces than the pipe holds */
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static ssize_t fill_memory(int fd, char *data, size_t size, off_t off)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, data + done, size - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Below this a copy is cheaper than the system calls that avoid it. */
enum { SPLICE_MIN = 32768 };

static void reply_range(fuse_req_t req, int fd, size_t size, off_t off)
{
	struct gb_initfs *fs = fs_of(req);
	ssize_t n = -EINVAL;

	if (size > (1 << 24)) /* the kernel never asks for as much */
		size = 1 << 24;
	if (fs->config.splice && size >= SPLICE_MIN && have_pipe(size)) {
		n = fill_pipe(fd, size, off);
		if (n > 0) {
			struct fuse_bufvec buf = FUSE_BUFVEC_INIT((size_t)n);
			buf.buf[0].flags = FUSE_BUF_IS_FD;
			buf.buf[0].fd = thread_pipe.fd[0];
			if (fuse_reply_data(req, &buf, 0) != 0)
				drop_pipe(); /* what it still holds belongs to no answer */
			return;
		}
		if (n < 0)
			drop_pipe();
	}
	if (n == -EINVAL) {
		gb_autofree char *data = malloc(size ? size : 1);
		n = data ? fill_memory(fd, data, size, off) : -ENOMEM;
		if (n >= 0) {
			fuse_reply_buf(req, data, (size_t)n);
			return;
		}
	}
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, NULL, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = fs_of(req);

	if (is_init(fs, id)) {
		if (off < 0 || (uint64_t)off >= fs->store.size)
			size = 0;
		else if (size > fs->store.size - (uint64_t)off)
			size = (size_t)(fs->store.size - (uint64_t)off);
		if (size >= SPLICE_MIN && fs->config.splice) {
			/* Sealed memory gives no error halfway. */
			struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);
			buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
			buf.buf[0].fd = fs->store.fd;
			buf.buf[0].pos = off;
			fuse_reply_data(req, &buf, 0);
		} else {
			fuse_reply_buf(req, (const char *)fs->store.map + (size ? off : 0), size);
		}
		return;
	}
	struct gb_file *file = file_of(req, fi);
	if (!file) {
		fuse_reply_err(req, EBADF);
		return;
	}
	reply_range(req, file->fd, size, off);
	gb_file_put(&fs->table, file);
}

static void op_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = fs_of(req);
	struct gb_file *file;
	size_t done = 0;
	int r = 0;

	if (is_init(fs, id)) {
		fuse_reply_err(req, EACCES);
		return;
	}
	file = file_of(req, fi);
	if (!file) {
		fuse_reply_err(req, EBADF);
		return;
	}
	while (done < size) {
		ssize_t n = pwrite(file->fd, data + done, size - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	gb_file_put(&fs->table, file);
	if (done == 0 && r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_write(req, done);
}

static void op_flush(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_file *file = NULL;
	int r = 0;

	if (!is_init(fs_of(req), id)) {
		file = file_of(req, fi);
		/* A close(2) of a copy: the file system's own flush, and its error. */
		int copy = file ? fcntl(file->fd, F_DUPFD_CLOEXEC, 3) : -1;
		r = !file ? -EBADF : copy < 0 || close(copy) < 0 ? -errno : 0;
	}
	file_reply(req, file, r);
}

static void op_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = fs_of(req);
	int32_t backing_id = 0;
	int r = is_init(fs, id) ? 0 : gb_file_close(&fs->table, fi->fh, GB_FILE_PLAIN, &backing_id);

	backing_close(fs, backing_id);
	fuse_reply_err(req, -r);
}

static void op_fsync(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi)
{
	struct gb_file *file = NULL;
	int r = 0;

	if (!is_init(fs_of(req), id)) {
		file = file_of(req, fi);
		if (!file)
			r = -EBADF;
		else if ((datasync ? fdatasync(file->fd) : fsync(file->fd)) < 0)
			r = -errno;
	}
	file_reply(req, file, r);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct gb_file *file = is_init(fs_of(req), id) ? NULL : file_of(req, fi);
	int r = is_init(fs_of(req), id) ? -EACCES : !file ? -EBADF : 0;

	if (r == 0 && fallocate(file->fd, mode, off, len) < 0)
		r = -errno;
	file_reply(req, file, r);
}

static void op_lseek(fuse_req_t req, fuse_ino_t id, off_t off, int whence, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = fs_of(req);

	if (is_init(fs, id)) {
		if (whence != SEEK_DATA && whence != SEEK_HOLE)
			fuse_reply_err(req, EINVAL);
		else if (off < 0 || (uint64_t)off >= fs->store.size)
			fuse_reply_err(req, ENXIO);
		else
			fuse_reply_lseek(req, whence == SEEK_DATA ? off : (off_t)fs->store.size);
		return;
	}
	struct gb_file *file = file_of(req, fi);
	if (!file) {
		fuse_reply_err(req, EBADF);
		return;
	}
	off_t at = lseek(file->fd, off, whence);
	if (at < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, at);
	gb_file_put(&fs->table, file);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi,
			       fuse_ino_t out, off_t out_off, struct fuse_file_info *out_fi, size_t len, int flags)
{
	struct gb_initfs *fs = fs_of(req);

	if (is_init(fs, out) || is_init(fs, in)) {
		/* EXDEV: the kernel copies by itself */
		fuse_reply_err(req, is_init(fs, out) ? EACCES : EXDEV);
		return;
	}
	struct gb_file *from = file_of(req, in_fi), *to = file_of(req, out_fi);
	ssize_t n = -1;
	errno = EBADF;
	if (from && to)
		n = copy_file_range(from->fd, &in_off, to->fd, &out_off, len, (unsigned)flags);
	int r = n < 0 ? -errno : 0;
	/* An old file system's ENOSYS would switch the request off for the whole mount. */
	if (r == -ENOSYS)
		r = -EXDEV;
	gb_file_put(&fs->table, from);
	gb_file_put(&fs->table, to);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_write(req, (size_t)n);
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

	if (fs_of(req)->config.readonly)
		return -EROFS;
	if (c->uid == 0 || !fs_of(req)->root)
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
	struct gb_initfs *fs = fs_of(req);
	union attribute_arg arg = { .fsx = { 0 } };
	size_t i = 0;
	int r = 0;

	(void)arg_at;
	while (i < GB_ARRAY_LEN(known) && known[i].cmd != cmd)
		i++;
	if (is_virtual(fs, id) || i == GB_ARRAY_LEN(known)) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	if (in_size < known[i].in || out_size < known[i].out) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	struct gb_file *file = gb_file_get(&fs->table, fi->fh, flags & FUSE_IOCTL_DIR ? GB_FILE_DIR : GB_FILE_PLAIN);
	if (!file) {
		fuse_reply_err(req, EBADF);
		return;
	}
	if (known[i].in) {
		memcpy(&arg, in, known[i].in);
		r = may_set_flags(req, file->fd, known[i].real, &arg);
	}
	if (r == 0 && ioctl(file->fd, known[i].real, &arg) < 0)
		r = errno == ENOSYS ? -ENOTTY : -errno;
	gb_file_put(&fs->table, file);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_ioctl(req, 0, &arg, known[i].out);
}

/* --- extended attributes --- */

/* What the source's file system does not have must not look like a server that does not know the request. */
static int xattr_error(int error)
{
	return error == ENOSYS ? -EOPNOTSUPP : -error;
}

static void reply_xattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at = { .hold.fd = -1 };
	struct path path;
	gb_autofree char *value = NULL;
	ssize_t n = 0;
	int r = at_node(fs, id, &at);

	if (size > XATTR_LIST_MAX)
		size = XATTR_LIST_MAX; /* also the longest value: XATTR_SIZE_MAX */
	if (r == 0 && size && !(value = malloc(size)))
		r = -ENOMEM;
	if (r == 0) {
		(void)fd_path(at.hold.fd, &path);
		n = name ? getxattr(path.text, name, value, size) : listxattr(path.text, value, size);
		if (n < 0)
			r = xattr_error(errno);
	}
	if (r < 0) {
		at_reply(req, &at, r);
		return;
	}
	if (size)
		fuse_reply_buf(req, value, (size_t)n);
	else
		fuse_reply_xattr(req, (size_t)n);
	at_end(fs, &at);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
	if (is_virtual(fs_of(req), id))
		fuse_reply_err(req, ENODATA);
	else
		reply_xattr(req, id, name, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t id, size_t size)
{
	if (!is_virtual(fs_of(req), id))
		reply_xattr(req, id, NULL, size);
	else if (size)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_xattr(req, 0);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size, int flags)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at = { .hold.fd = -1 };
	struct path path;
	int r = is_virtual(fs, id) ? -EACCES : fs->config.readonly ? -EROFS : at_node(fs, id, &at);

	if (r == 0 && setxattr(fd_path(at.hold.fd, &path), name, value, size, flags) < 0)
		r = xattr_error(errno);
	at_reply(req, &at, r);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t id, const char *name)
{
	struct gb_initfs *fs = fs_of(req);
	struct at at = { .hold.fd = -1 };
	struct path path;
	int r = is_virtual(fs, id) ? -EACCES : fs->config.readonly ? -EROFS : at_node(fs, id, &at);

	if (r == 0 && removexattr(fd_path(at.hold.fd, &path), name) < 0)
		r = xattr_error(errno);
	at_reply(req, &at, r);
}

static void op_init(void *data, struct fuse_conn_info *conn)
{
	struct gb_initfs *fs = data;
	const unsigned wanted = FUSE_CAP_DONT_MASK | FUSE_CAP_POSIX_ACL | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_DIO |
				FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;

	conn->want |= conn->capable & wanted;
	/* As root we do not clear set-user-ID bits by writing: the kernel tells us to. */
	conn->want &= ~(unsigned)FUSE_CAP_HANDLE_KILLPRIV;
	/* Locks stay in the kernel: it serves flock(2) and fcntl(2) by itself. */
	conn->want &= ~(unsigned)(FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_EXPORT_SUPPORT);
	/* Requests are small (writes come in one piece, and are copied once): a pipe between costs more than it saves. */
	conn->want &= ~(unsigned)FUSE_CAP_SPLICE_READ;
	if (fs->config.splice)
		conn->want |= conn->capable & FUSE_CAP_SPLICE_WRITE;
	if (fs->config.writeback)
		conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
	if (fs->config.cache == GB_INITFS_ALWAYS)
		conn->want |= conn->capable & FUSE_CAP_CACHE_SYMLINKS;
}

const struct fuse_lowlevel_ops gb_initfs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.access = op_access,
	.statfs = op_statfs,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
	.ioctl = op_ioctl,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
	.opendir = gb_initfs_opendir,
	.readdir = gb_initfs_readdir,
	.readdirplus = gb_initfs_readdirplus,
	.releasedir = gb_initfs_releasedir,
	.fsyncdir = gb_initfs_fsyncdir,
};
