/* SPDX-License-Identifier: MIT */
/* Files: opened, made, made without a name, closed; and whether the kernel goes to their data by itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/initfs/ops.h"

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
	(void)pthread_mutex_lock(&fs->table.lock);
	if (node->backing == GB_BACKING_UNKNOWN) {
		struct gb_fuse_backing_map map = { .fd = file->fd };
		int r = ioctl(fs->dev, GB_FUSE_BACKING_OPEN, &map);

		node->backing = r > 0 ? GB_BACKING_YES : GB_BACKING_NO;
		node->backing_id = r > 0 ? r : 0;
	}
	id = node->backing_id;
	(void)pthread_mutex_unlock(&fs->table.lock);
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

	(void)gb_initfs_file_close(&fs->table, fh, GB_FILE_PLAIN, &id);
	backing_close(fs, id);
}

static void open_init(fuse_req_t req, int flags)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_fuse_open_out out = { .open_flags = FOPEN_KEEP_CACHE | GB_FOPEN_NOFLUSH };

	if (changes(flags)) {
		gb_initfs_err(req, EACCES);
		return;
	}
	if (fs->store_backing > 0) {
		out.open_flags = GB_FOPEN_PASSTHROUGH | GB_FOPEN_NOFLUSH;
		out.backing_id = fs->store_backing;
	}
	(void)fuse_reply_buf(req, (const char *)&out, sizeof out);
}

static void op_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_node *node;
	struct gb_file *file;
	int r;

	if (gb_initfs_is_init(fs, id)) {
		open_init(req, fi->flags);
		return;
	}
	if (gb_initfs_is_dir(fs, id)) {
		gb_initfs_err(req, EISDIR);
		return;
	}
	node = gb_node_get(&fs->table, id);
	r = !node ? -ESTALE : S_ISDIR(node->type) ? -EISDIR : S_ISLNK(node->type) ? -ELOOP :
		    !S_ISREG(node->type) ? -ENXIO : fs->config.readonly && changes(fi->flags) ? -EROFS : 0;
	if (r == 0)
		r = gb_node_reopen(&fs->table, node, server_flags(fs, fi->flags));
	gb_autoclose int fd = r;
	if (r >= 0)
		r = gb_initfs_file_open(&fs->table, node, fd, GB_FILE_PLAIN, &file);
	gb_node_put(&fs->table, node);
	if (r < 0) {
		gb_initfs_err(req, -r);
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
	r = S_ISREG(node->type) ? gb_initfs_file_open(&fs->table, node, *fd, GB_FILE_PLAIN, ret_file) : -EEXIST;
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
	struct gb_initfs *fs = gb_initfs_of(req);
	const struct fuse_ctx *who = fuse_req_ctx(req);
	struct fuse_entry_param entry;
	struct gb_file *file;
	struct gb_at at;
	gb_autoclose int fd = -1;
	int r = gb_initfs_at_parent(fs, parent, name, &at);

	if (r == 0) {
		int flags = server_flags(fs, fi->flags) | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
			    (fi->flags & O_EXCL);
		gb_initfs_become(fs, who->uid, who->gid, who->umask);
		fd = openat(at.hold.fd, name, flags, gb_initfs_masked(mode, who->umask));
		r = fd < 0 ? -errno : 0;
		gb_initfs_return(fs, who->uid, who->gid);
	}
	if (r == 0)
		r = created(fs, at.node->mnt, &fd, gb_node_place(parent, name), &entry, &file);
	if (r < 0) {
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	gb_initfs_at_end(fs, &at);
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
	struct gb_at at = { .hold.fd = -1 };
	gb_autoclose int fd = -1;
	int r = gb_initfs_is_init(fs, in->nodeid) ? -ENOTDIR : gb_initfs_is_dir(fs, in->nodeid) ? -EACCES :
		fs->config.readonly ? -EROFS : gb_initfs_at_node(fs, in->nodeid, &at);

	if (r == 0 && !S_ISDIR(at.node->type))
		r = -ENOTDIR;
	if (r == 0) {
		int flags = server_flags(fs, (int)arg->flags & ~O_TMPFILE) | O_TMPFILE | O_CLOEXEC |
			    ((int)arg->flags & O_EXCL);
		gb_initfs_become(fs, in->uid, in->gid, arg->umask);
		fd = openat(at.hold.fd, ".", flags, gb_initfs_masked(arg->mode, arg->umask));
		r = fd < 0 ? -errno : 0;
		gb_initfs_return(fs, in->uid, in->gid);
	}
	if (r == 0)
		r = created(fs, at.node->mnt, &fd, 0, &entry, &file);
	gb_initfs_at_end(fs, &at);
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
	raw_answer(fs, in.unique, r == -ENOSYS ? -EOPNOTSUPP : r, &out, r < 0 ? 0 : sizeof out, &failed);
	if (r == 0 && failed) {
		close_file(fs, out.open.fh);
		gb_node_forget(&fs->table, out.entry.nodeid, 1);
	}
	return true;
}

static void op_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	int32_t backing_id = 0;
	int r = gb_initfs_is_init(fs, id) ? 0 : gb_initfs_file_close(&fs->table, fi->fh, GB_FILE_PLAIN, &backing_id);

	backing_close(fs, backing_id);
	gb_initfs_err(req, -r);
}

void gb_initfs_open_ops(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->release = op_release;
}
