/* SPDX-License-Identifier: MIT */
/* Listings: the source's own entries with their own cookies, then the virtual ones. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/initfs/ops.h"

/* Cookies of the virtual entries: above what any file system of Linux gives to an entry, below the end-of-folder marks
 * (ext4 and btrfs use 0x7fffffffffffffff, ext4's largest entry is 0x7ffffffeffffffff). */
#define VIRTUAL_COOKIES 0x7fffffffffff0000ULL

enum { DIR_BUFFER = 32768, REPLY_MAX = 1 << 20 };

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

static void op_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_file *file;
	struct gb_node *node = NULL;
	gb_autoclose int fd = -1;
	int r = 0;

	if (gb_initfs_is_init(fs, id)) {
		r = -ENOTDIR;
	} else if (!gb_initfs_is_dir(fs, id)) {
		node = gb_node_get(&fs->table, id);
		r = !node ? -ESTALE : !S_ISDIR(node->type) ? -ENOTDIR :
			    gb_node_reopen(&fs->table, node, O_RDONLY | O_DIRECTORY);
		fd = r;
	}
	if (r >= 0)
		r = gb_initfs_file_open(&fs->table, node, fd, GB_FILE_DIR, &file);
	gb_node_put(&fs->table, node);
	if (r < 0) {
		gb_initfs_err(req, -r);
		return;
	}
	(void)gb_take_fd(&fd);
	fi->fh = file->fh;
	if (fs->config.cache == GB_INITFS_ALWAYS)
		fi->cache_readdir = fi->keep_cache = 1;
	if (fuse_reply_open(req, fi) == -ENOENT) {
		int32_t backing;
		(void)gb_initfs_file_close(&fs->table, fi->fh, GB_FILE_DIR, &backing);
	}
}

/* The next entry of the source, or NULL at the end (*ret 0) or on an error (*ret). */
static const struct linux_dirent64 *next_entry(struct gb_file *dir, int *ret)
{
	*ret = 0;
	if (dir->pos >= dir->len) {
		if (!dir->buf && !(dir->buf = malloc(DIR_BUFFER))) {
			*ret = -ENOMEM;
			return NULL;
		}
		long n = syscall(SYS_getdents64, dir->fd, dir->buf, DIR_BUFFER);
		if (n <= 0) {
			*ret = n < 0 ? -errno : 0;
			return NULL;
		}
		dir->pos = 0;
		dir->len = (unsigned)n;
	}
	return (const struct linux_dirent64 *)(void *)(dir->buf + dir->pos);
}

struct reply {
	fuse_req_t req;
	char *data;
	size_t size, len;
	bool plus;
};

/* Adds an entry; false if there is no room. */
static bool add(struct reply *reply, const char *name, const struct fuse_entry_param *entry, off_t off)
{
	size_t room = reply->size - reply->len, n;

	if (reply->plus)
		n = fuse_add_direntry_plus(reply->req, reply->data + reply->len, room, name, entry, off);
	else
		n = fuse_add_direntry(reply->req, reply->data + reply->len, room, name, &entry->attr, off);
	if (n > room)
		return false;
	reply->len += n;
	return true;
}

/* One entry of the source; false if there is no room. */
static bool add_real(struct gb_initfs *fs, struct reply *reply, struct gb_file *dir, const struct linux_dirent64 *d)
{
	struct fuse_entry_param entry = { 0 };
	struct gb_node *node = NULL;
	bool dots = gb_dir_dots(d->d_name);

	/* A look-up counts: whoever is looked up is told to the kernel. */
	if (reply->plus && !dots) {
		if (fuse_add_direntry_plus(reply->req, NULL, 0, d->d_name, &entry, 0) > reply->size - reply->len)
			return false;
		/* What is gone, or cannot be looked at, is listed all the same; its number 0 keeps it out of caches. */
		if (gb_initfs_entry(fs, dir->node->mnt, dir->fd, d->d_name, gb_node_place(dir->node->id, d->d_name), &entry,
				    &node) < 0)
			entry = (struct fuse_entry_param){ 0 };
	}
	if (!node) {
		bool own = dots && dir->node->id == GB_ID_ROOT; /* ".." of the root is the root */
		entry.attr.st_ino = gb_initfs_ino(fs, dir->node->dev_index, own ? dir->node->ino : d->d_ino);
		entry.attr.st_mode = (mode_t)DTTOIF(d->d_type);
	}
	bool added = add(reply, d->d_name, &entry, d->d_off);
	gb_node_put(&fs->table, node);
	return added;
}

/* The virtual entries, from number `from` on; the virtual file is the last one. */
static void add_virtual(const struct gb_initfs *fs, struct reply *reply, unsigned from)
{
	unsigned count = fs->config.dir_count + fs->config.inject;

	for (unsigned i = from; i < count; i++) {
		bool dir = i < fs->config.dir_count;
		struct fuse_entry_param entry;

		gb_initfs_virtual_entry(fs, dir ? GB_ID_DIRS + i : GB_ID_INIT, &entry);
		if (!add(reply, dir ? fs->config.dirs[i] : fs->config.name, &entry, (off_t)(VIRTUAL_COOKIES + i + 1)))
			return;
	}
}

/* A virtual folder has "." and ".." only. */
static void list_empty(const struct gb_initfs *fs, struct reply *reply, fuse_ino_t id, off_t off)
{
	static const char *const dots[] = { ".", ".." };

	for (unsigned i = (unsigned)(off < 0 || off > 2 ? 2 : off); i < 2; i++) {
		struct fuse_entry_param entry = { 0 };

		entry.attr.st_ino = i == 0 ? id : gb_initfs_ino(fs, 0, fs->table.root->ino);
		entry.attr.st_mode = S_IFDIR;
		if (!add(reply, dots[i], &entry, i + 1))
			return;
	}
}

static int list_real(struct gb_initfs *fs, struct reply *reply, struct gb_file *dir, uint64_t off)
{
	bool root = dir->node->id == GB_ID_ROOT;
	int r = 0;

	if (root && off >= VIRTUAL_COOKIES && off < VIRTUAL_COOKIES + 0x1000) {
		add_virtual(fs, reply, (unsigned)(off - VIRTUAL_COOKIES));
		return 0;
	}
	/* Offset 0 starts anew even if nothing was read yet: a rewinddir(3) shows what has been made since. */
	if (off != dir->next_off || off == 0) {
		dir->pos = dir->len = 0;
		if (lseek(dir->fd, (off_t)off, SEEK_SET) < 0)
			return -errno;
		dir->next_off = off;
	}
	for (;;) {
		const struct linux_dirent64 *d = next_entry(dir, &r);

		if (!d) {
			if (r == -ENOENT && root)
				r = 0; /* a source that was removed under us: what is virtual is still there */
			if (r == 0 && root)
				add_virtual(fs, reply, 0);
			break;
		}
		if (!(root && gb_initfs_virtual(fs, GB_ID_ROOT, d->d_name)) && !add_real(fs, reply, dir, d))
			break;
		dir->pos += d->d_reclen;
		dir->next_off = (uint64_t)d->d_off;
	}
	return r;
}

/* The kernel did not take the answer (its process is gone): it does not know of these entries. */
static void take_back(struct gb_initfs *fs, const char *data, size_t len)
{
	for (size_t at = 0; at + FUSE_NAME_OFFSET_DIRENTPLUS <= len;) {
		struct fuse_direntplus d;

		memcpy(&d, data + at, sizeof d);
		if (d.entry_out.nodeid)
			gb_node_forget(&fs->table, d.entry_out.nodeid, 1);
		at += FUSE_DIRENTPLUS_SIZE(&d);
	}
}

static void list(fuse_req_t req, fuse_ino_t id, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_file *dir = gb_initfs_file_get(&fs->table, fi->fh, GB_FILE_DIR);
	struct reply reply = { .req = req, .size = size < REPLY_MAX ? size : REPLY_MAX, .plus = plus };
	int r = 0;

	if (!dir) {
		gb_initfs_err(req, EBADF);
		return;
	}
	gb_autofree char *data = reply.data = malloc(reply.size ? reply.size : 1);
	if (!data) {
		r = -ENOMEM;
	} else if (!dir->node) {
		list_empty(fs, &reply, id, off);
	} else {
		(void)pthread_mutex_lock(&dir->lock);
		r = list_real(fs, &reply, dir, (uint64_t)off);
		(void)pthread_mutex_unlock(&dir->lock);
	}
	gb_initfs_file_put(&fs->table, dir);
	/* An error after some entries: those first, the error comes with the next request. */
	if (r < 0 && reply.len == 0)
		gb_initfs_err(req, -r);
	else if (fuse_reply_buf(req, data, reply.len) == -ENOENT && plus)
		take_back(fs, data, reply.len);
}

static void op_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t off, struct fuse_file_info *fi)
{
	list(req, id, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t off, struct fuse_file_info *fi)
{
	list(req, id, size, off, fi, true);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	int32_t backing;

	(void)id;
	gb_initfs_err(req, -gb_initfs_file_close(&fs->table, fi->fh, GB_FILE_DIR, &backing));
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_file *dir = gb_initfs_file_get(&fs->table, fi->fh, GB_FILE_DIR);
	int r = 0;

	if (gb_initfs_is_init(fs, id))
		r = ENOTDIR;
	else if (!dir)
		r = EBADF;
	else if (dir->fd >= 0 && (datasync ? fdatasync(dir->fd) : fsync(dir->fd)) < 0)
		r = errno;
	gb_initfs_file_put(&fs->table, dir);
	gb_initfs_err(req, r);
}

void gb_initfs_dir_ops(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->releasedir = op_releasedir;
	ops->fsyncdir = op_fsyncdir;
}
