/* SPDX-License-Identifier: MIT */
/* What the request functions share: one mounted share. */
#ifndef GB_INITFS_OPS_H
#define GB_INITFS_OPS_H

#include <linux/capability.h>
#include <stdatomic.h>

#include "common/initfs/fuse.h"
#include "common/initfs/initfs.h"
#include "common/initfs/node.h"
#include "common/initfs/store.h"

enum { GB_ID_ROOT = 1, GB_ID_INIT = 2, GB_ID_DIRS = 3 };
/* A source object that would report the virtual file's number reports this. */
#define GB_INO_MOVED 0xfffffffdULL

/* How long the kernel may remember the virtual objects: they never change. */
#define GB_FOREVER 1e9

struct gb_initfs {
	struct gb_initfs_config config;
	struct gb_store store;
	struct gb_table table;
	struct fuse_session *session;
	int dev;                 /* /dev/fuse, or the descriptor of gb_initfs_serve() */
	double timeout;          /* of ordinary objects */
	bool root;               /* we may act for other users */
	struct __user_cap_data_struct caps[2];
	struct timespec start;   /* when the virtual folders were made */
	/* the first request: */
	uint64_t init_unique;
	bool init_seen;
	uint32_t init_flags2;        /* what the kernel offers beyond libfuse 3.14 */
	atomic_bool ready;           /* it was answered */
	atomic_bool passthrough;     /* the kernel took it */
	bool refused;                /* passthrough has to be, and is not */
	int32_t store_backing;
	uint32_t stack_depth;
	/* the session's end: */
	void (*on_ready)(struct gb_initfs *fs);
};

/* Each file's requests. */
void gb_initfs_names_ops(struct fuse_lowlevel_ops *ops);
void gb_initfs_attr_ops(struct fuse_lowlevel_ops *ops);
void gb_initfs_open_ops(struct fuse_lowlevel_ops *ops);
void gb_initfs_data_ops(struct fuse_lowlevel_ops *ops);
void gb_initfs_dir_ops(struct fuse_lowlevel_ops *ops);

static inline struct gb_initfs *gb_initfs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Names at the root that are ours: the number, or 0. */
uint64_t gb_initfs_virtual(const struct gb_initfs *fs, uint64_t parent, const char *name);
bool gb_initfs_is_init(const struct gb_initfs *fs, uint64_t id);
bool gb_initfs_is_dir(const struct gb_initfs *fs, uint64_t id);
bool gb_initfs_is_virtual(const struct gb_initfs *fs, uint64_t id);
void gb_initfs_virtual_stat(const struct gb_initfs *fs, uint64_t id, struct stat *st);

/* Attributes as the share reports them. */
void gb_initfs_stat(struct gb_initfs *fs, const struct gb_node *node, const struct statx *stx, struct stat *st);
uint64_t gb_initfs_ino(const struct gb_initfs *fs, unsigned dev_index, uint64_t ino);

/* Looks up an ordinary name (or "" of dirfd itself): the entry, and *ret_node in use. place: gb_node_lookup()'s. */
int gb_initfs_entry(struct gb_initfs *fs, struct gb_mnt *mnt, int dirfd, const char *name, uint64_t place,
		    struct fuse_entry_param *entry, struct gb_node **ret_node);
void gb_initfs_virtual_entry(const struct gb_initfs *fs, uint64_t id, struct fuse_entry_param *entry);

/* 0, or the -errno that a name gets before anything else is looked at: syntax, virtual parents, reserved names. */
int gb_initfs_guard(const struct gb_initfs *fs, uint64_t parent, const char *name);

/* Answers with an error, or 0. The kernel takes ENOSYS for "never ask again", for the whole mount: what is the failure of
 * one object, or of one file system below the source, becomes EOPNOTSUPP. */
void gb_initfs_err(fuse_req_t req, int error);

/* A node of a request, in use, with a descriptor. After a failure, too, it ends with gb_initfs_at_end() or gb_initfs_at_reply(). */
struct gb_at {
	struct gb_node *node;
	struct gb_hold hold;
};
int gb_initfs_at_node(struct gb_initfs *fs, uint64_t id, struct gb_at *at);
/* The same for one that is to change: -EACCES for a virtual one, -EROFS. */
int gb_initfs_at_change(struct gb_initfs *fs, uint64_t id, struct gb_at *at);
/* A parent in which a name is made or removed. */
int gb_initfs_at_parent(struct gb_initfs *fs, uint64_t id, const char *name, struct gb_at *at);
void gb_initfs_at_end(struct gb_initfs *fs, struct gb_at *at);
/* Ends it and answers with r: 0 or -errno. */
void gb_initfs_at_reply(fuse_req_t req, struct gb_at *at, int r);

/* Acts as the caller of a request in this thread, for what creates objects; and as ourselves again. */
void gb_initfs_become(const struct gb_initfs *fs, uid_t uid, gid_t gid, mode_t mask);
void gb_initfs_return(const struct gb_initfs *fs, uid_t uid, gid_t gid);
/* mode as mknodat(2) should get it where the thread has no umask of its own. */
mode_t gb_initfs_masked(mode_t mode, mode_t mask);
/* What a thread that serves requests calls first (its umask is then its own) and last. */
void gb_initfs_thread_begin(void);
void gb_initfs_thread_end(void);

/* Requests that libfuse does not know: true if it was one and has been answered. */
bool gb_initfs_raw(struct gb_initfs *fs, const void *request, size_t len);

#endif
