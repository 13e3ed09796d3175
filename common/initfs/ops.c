/* SPDX-License-Identifier: MIT */
/* What all requests share: the virtual objects, names that are refused, somebody's identity, nodes in use. */
#include "common/initfs/ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/dir.h"

bool gb_initfs_is_init(const struct gb_initfs *fs, uint64_t id)
{
	return fs->config.inject && id == GB_ID_INIT;
}

bool gb_initfs_is_dir(const struct gb_initfs *fs, uint64_t id)
{
	return id >= GB_ID_DIRS && id < GB_ID_DIRS + fs->config.dir_count;
}

bool gb_initfs_is_virtual(const struct gb_initfs *fs, uint64_t id)
{
	return gb_initfs_is_init(fs, id) || gb_initfs_is_dir(fs, id);
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
	*entry = (struct fuse_entry_param){ .ino = id, .attr_timeout = GB_FOREVER, .entry_timeout = GB_FOREVER };
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
	if (gb_initfs_is_init(fs, parent))
		return -ENOTDIR;
	if (!*name)
		return -EINVAL;
	if (gb_dir_dots(name) || strchr(name, '/'))
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

mode_t gb_initfs_masked(mode_t mode, mode_t mask)
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

/* --- nodes and descriptors of a request --- */

void gb_initfs_err(fuse_req_t req, int error)
{
	(void)fuse_reply_err(req, error == ENOSYS ? EOPNOTSUPP : error); /* it fails when the mount has ended */
}

void gb_initfs_at_end(struct gb_initfs *fs, struct gb_at *at)
{
	if (at->node)
		gb_node_release(&fs->table, &at->hold);
	gb_node_put(&fs->table, at->node);
}

int gb_initfs_at_node(struct gb_initfs *fs, uint64_t id, struct gb_at *at)
{
	*at = (struct gb_at){ .node = gb_node_get(&fs->table, id), .hold.fd = -1 };
	if (!at->node)
		return -ESTALE;
	int r = gb_node_hold(&fs->table, at->node, &at->hold);
	return r < 0 ? r : 0;
}

int gb_initfs_at_change(struct gb_initfs *fs, uint64_t id, struct gb_at *at)
{
	*at = (struct gb_at){ .hold.fd = -1 };
	return gb_initfs_is_virtual(fs, id) ? -EACCES : fs->config.readonly ? -EROFS : gb_initfs_at_node(fs, id, at);
}

int gb_initfs_at_parent(struct gb_initfs *fs, uint64_t id, const char *name, struct gb_at *at)
{
	*at = (struct gb_at){ .hold.fd = -1 };
	int r = gb_initfs_guard(fs, id, name);
	return r < 0 ? r : gb_initfs_at_node(fs, id, at);
}

void gb_initfs_at_reply(fuse_req_t req, struct gb_at *at, int r)
{
	gb_initfs_at_end(gb_initfs_of(req), at);
	gb_initfs_err(req, r < 0 ? -r : 0);
}
