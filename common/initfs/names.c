/* SPDX-License-Identifier: MIT */
/* Names: looked up, forgotten, made, removed, moved. */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/io.h"
#include "common/initfs/ops.h"

static void reply_entry(fuse_req_t req, const struct gb_at *parent, const char *name)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct fuse_entry_param entry;
	struct gb_node *node = NULL;

	int r = gb_initfs_entry(fs, parent->node->mnt, parent->hold.fd, name, gb_node_place(parent->node->id, name), &entry,
				&node);
	if (r < 0)
		gb_initfs_err(req, -r);
	else if (fuse_reply_entry(req, &entry) == -ENOENT)
		gb_node_forget(&fs->table, entry.ino, 1); /* its process is gone, the kernel forgot the request */
	gb_node_put(&fs->table, node);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct fuse_entry_param entry;
	uint64_t id = gb_initfs_virtual(fs, parent, name);
	struct gb_at at;

	if (id) {
		gb_initfs_virtual_entry(fs, id, &entry);
		(void)fuse_reply_entry(req, &entry);
		return;
	}
	if (gb_initfs_is_init(fs, parent)) {
		gb_initfs_err(req, ENOTDIR);
		return;
	}
	if (gb_initfs_is_dir(fs, parent)) {
		gb_initfs_err(req, ENOENT);
		return;
	}
	int r = gb_initfs_guard(fs, parent, name);
	if (r == 0 || r == -EROFS)
		r = gb_initfs_at_node(fs, parent, &at);
	else
		at = (struct gb_at){ .hold.fd = -1 };
	if (r == 0 && !S_ISDIR(at.node->type))
		r = -ENOTDIR;
	if (r < 0) {
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	reply_entry(req, &at, name);
	gb_initfs_at_end(fs, &at);
}

static void op_forget(fuse_req_t req, fuse_ino_t id, uint64_t count)
{
	struct gb_initfs *fs = gb_initfs_of(req);

	if (!gb_initfs_is_virtual(fs, id))
		gb_node_forget(&fs->table, id, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct gb_initfs *fs = gb_initfs_of(req);

	for (size_t i = 0; i < count; i++) {
		if (!gb_initfs_is_virtual(fs, forgets[i].ino))
			gb_node_forget(&fs->table, forgets[i].ino, forgets[i].nlookup);
	}
	fuse_reply_none(req);
}

enum kind { MKNOD, MKDIR, SYMLINK };

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, enum kind kind, mode_t mode, dev_t rdev,
		 const char *target)
{
	struct gb_initfs *fs = gb_initfs_of(req); /* an answer ends the life of req */
	const struct fuse_ctx *who = fuse_req_ctx(req);
	struct gb_at at;
	int r = gb_initfs_at_parent(fs, parent, name, &at);

	if (r == 0) {
		gb_initfs_become(fs, who->uid, who->gid, who->umask);
		switch (kind) {
		case MKNOD: r = mknodat(at.hold.fd, name, gb_initfs_masked(mode, who->umask), rdev); break;
		case MKDIR: r = mkdirat(at.hold.fd, name, gb_initfs_masked(mode, who->umask)); break;
		case SYMLINK: r = symlinkat(target, at.hold.fd, name); break;
		}
		if (r < 0)
			r = -errno;
		gb_initfs_return(fs, who->uid, who->gid);
	}
	if (r < 0) {
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	reply_entry(req, &at, name);
	gb_initfs_at_end(fs, &at);
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
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at = { .hold.fd = -1 }, from = { .hold.fd = -1 };
	struct gb_io_path path;
	int r = gb_initfs_is_virtual(fs, id) ? -EACCES : gb_initfs_at_parent(fs, parent, name, &at);

	if (r == 0)
		r = gb_initfs_at_node(fs, id, &from);
	if (r == 0 && linkat(AT_FDCWD, gb_io_path(from.hold.fd, &path), at.hold.fd, name, AT_SYMLINK_FOLLOW) < 0)
		r = -errno;
	if (r < 0) {
		gb_initfs_at_end(fs, &from);
		gb_initfs_at_reply(req, &at, r);
		return;
	}
	reply_entry(req, &at, name);
	gb_initfs_at_end(fs, &from);
	gb_initfs_at_end(fs, &at);
}

static void take_away(fuse_req_t req, fuse_ino_t parent, const char *name, int flags)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at at;
	int r = gb_initfs_at_parent(fs, parent, name, &at);

	if (r == 0) {
		gb_node_pin_victim(&fs->table, at.node->mnt, at.hold.fd, name, gb_node_place(parent, name));
		if (unlinkat(at.hold.fd, name, flags) < 0)
			r = -errno;
	}
	gb_initfs_at_reply(req, &at, r);
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
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_at from = { .hold.fd = -1 }, to = { .hold.fd = -1 };
	int r = gb_initfs_guard(fs, parent, name), to_r = gb_initfs_guard(fs, newparent, newname);

	if (r == 0 || (r == -EROFS && to_r < 0)) /* a reserved name on either side goes before a read-only share */
		r = to_r;
	if (r == 0)
		r = gb_initfs_at_node(fs, parent, &from);
	if (r == 0)
		r = gb_initfs_at_node(fs, newparent, &to);
	if (r == 0) {
		uint64_t new_place = gb_node_place(newparent, newname);
		if (!(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
			gb_node_pin_victim(&fs->table, to.node->mnt, to.hold.fd, newname, new_place);
		if (renameat2(from.hold.fd, name, to.hold.fd, newname, flags) < 0)
			r = -errno;
		else
			gb_node_moved(&fs->table, gb_node_place(parent, name), new_place, flags & RENAME_EXCHANGE);
	}
	gb_initfs_at_end(fs, &to);
	gb_initfs_at_reply(req, &from, r);
}

void gb_initfs_names_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
}
