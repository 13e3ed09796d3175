/* SPDX-License-Identifier: MIT */
/* What the kernel knows of the source: nodes by number, open handles, and the descriptors behind them. */
#ifndef GB_INITFS_NODE_H
#define GB_INITFS_NODE_H

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

/*
 * A node is remembered by its file handle (name_to_handle_at(2)) where its file system has such, and takes a descriptor
 * only while it is used: up to fd_max stay open, the least recently used one is closed for a new one. Elsewhere
 * (overlay, 9p, without CAP_DAC_READ_SEARCH) a node keeps an O_PATH descriptor for its life. Numbers are never reused.
 */
struct gb_file;
struct gb_mnt;
struct gb_table;

enum gb_backing { GB_BACKING_UNKNOWN, GB_BACKING_NO, GB_BACKING_YES };

struct gb_node {
	uint64_t id;
	uint64_t ino, dev;
	uint64_t place;                      /* where its name is: gb_node_place(), or 0 */
	struct gb_node *next_id, *next_key, *next_place; /* hash chains */
	TAILQ_ENTRY(gb_node) lru;            /* in the list while fd is open, nobody uses it and it may be closed */
	TAILQ_HEAD(, gb_file) files;         /* what is open of it */
	struct gb_mnt *mnt;
	uint64_t lookups;                    /* the kernel's references */
	uint32_t uses;                       /* ours */
	uint32_t opens;                      /* plain files that the kernel holds open */
	int32_t backing_id;
	int fd;                              /* O_PATH, or -1 */
	uint16_t dev_index;
	uint8_t backing;                     /* enum gb_backing */
	bool pinned : 1, verified : 1, in_lru : 1;
	bool linked : 1;                     /* it had more than one name once */
	bool unsure : 1;                     /* fd was opened by name, and nobody has looked yet at what it is */
	mode_t type;                         /* S_IFMT bits */
	uint16_t handle_len;                 /* 0: there is no handle */
	int handle_type;
	unsigned char handle[];
};

/* A handle with room for what any file system gives. */
struct gb_handle {
	struct file_handle head;
	unsigned char bytes[MAX_HANDLE_SZ];
};

/* One mount of the source: handles are resolved against a descriptor of it. */
struct gb_mnt {
	SLIST_ENTRY(gb_mnt) next;
	uint64_t id;
	int fd;       /* open for reading, -1: none */
	bool handles; /* they can be made and resolved here */
	bool noflush; /* closing a file of this file system reports nothing */
};

/* A mount by its number (statx(2)), or NULL. */
struct gb_mnt *gb_initfs_mnt_find(struct gb_table *table, uint64_t id);
/* Makes it known, or finds it. fd is opened for reading if what it is mounted on is a folder, else -1, and taken over.
 * NULL: no memory. */
struct gb_mnt *gb_initfs_mnt_add(struct gb_table *table, uint64_t id, int fd, bool want_handles);

enum gb_file_type { GB_FILE_PLAIN = 1, GB_FILE_DIR };

/* An open file or folder. */
struct gb_file {
	TAILQ_ENTRY(gb_file) next;
	uint64_t fh;
	enum gb_file_type type;
	unsigned refs;
	int fd;               /* -1: a virtual folder */
	struct gb_node *node; /* NULL: a virtual folder */
	/* a folder that is being read */
	pthread_mutex_t lock;
	uint64_t next_off;
	char *buf;
	unsigned pos, len;
};

struct gb_slot {
	struct gb_file *file;
	uint32_t generation;
};

struct gb_table {
	pthread_mutex_t lock;
	struct gb_node **by_id, **by_key, **by_place;
	size_t buckets, count;
	size_t linked;               /* nodes that had more than one name once */
	uint64_t next_id;
	TAILQ_HEAD(, gb_node) lru;
	unsigned fd_count, fd_max;
	SLIST_HEAD(, gb_mnt) mnts;
	struct gb_mnt *root_mnt;
	uint64_t root_dev, *devs; /* devices other than the root's, in the order of their appearance */
	size_t dev_count;
	struct gb_slot *slots;
	uint32_t slot_count, slot_free; /* slot_free: where the search for a free one starts */
	int proc; /* /proc/self/fd */
	struct gb_node *root;
};

/* root_fd is opened for reading, and the table's from here on, in failure as well. first_id is the first number for what is
 * below the root. 0 or -errno; gb_initfs_table_close() ends it in either case. */
int gb_initfs_table_open(struct gb_table *table, int root_fd, uint64_t first_id, unsigned fd_max, bool want_handles);
void gb_initfs_table_close(struct gb_table *table);

/* A node that the kernel names; the caller's use ends with gb_node_put. NULL: unknown. */
struct gb_node *gb_node_get(struct gb_table *table, uint64_t id);
void gb_node_put(struct gb_table *table, struct gb_node *node);
/* Ends a use while the table is locked: an unused node with a descriptor joins those that may lose it. */
void gb_node_unuse(struct gb_table *table, struct gb_node *node);
/* The kernel has dropped so many of its references. */
void gb_node_forget(struct gb_table *table, uint64_t id, uint64_t count);

/* A descriptor of a node in use, for fstatat(2) and the like with AT_EMPTY_PATH, and as a folder to start from: it, or -errno
 * (-ESTALE: what had its handle is gone). Release it before the node. */
struct gb_hold {
	int fd;
	struct gb_file *file;
};
int gb_node_hold(struct gb_table *table, struct gb_node *node, struct gb_hold *ret_hold);
void gb_node_release(struct gb_table *table, struct gb_hold *hold);

/* Opens a node in use anew: a descriptor or -errno. Never follows a link, never blocks on a pipe. */
int gb_node_reopen(struct gb_table *table, struct gb_node *node, int flags);

/* A name in a folder, as one number; never 0. Two may have the same one: what is found by it is only likely right. */
uint64_t gb_node_place(uint64_t parent, const char *name);

/* Finds or makes the node of parent's entry `name`, or (name "") of the descriptor dirfd itself, adds one to its lookup
 * count and fills *ret_stx. The result is in use, too. place: of the name that it was found by, or 0. 0 or -errno. */
int gb_node_lookup(struct gb_table *table, struct gb_mnt *mnt, int dirfd, const char *name, uint64_t place,
		   struct statx *ret_stx, struct gb_node **ret_node);

/* Before a name is removed: a node that loses its last name keeps a descriptor, since its handle dies with it. Nothing
 * is asked of the source for a name that the kernel does not know. */
void gb_node_pin_victim(struct gb_table *table, struct gb_mnt *mnt, int dirfd, const char *name, uint64_t place);

/* The entry at one place has gone to the other, or (exchange) the two have changed places. */
void gb_node_moved(struct gb_table *table, uint64_t from, uint64_t to, bool exchange);

/* Takes fd over, on success. The file's number is in ->fh; it holds a use of its node until it is closed. 0 or -ENOMEM. */
int gb_initfs_file_open(struct gb_table *table, struct gb_node *node, int fd, enum gb_file_type type,
			struct gb_file **ret_file);
/* One that nobody uses, and no table has. */
void gb_initfs_file_free(struct gb_file *file);
/* A file by number; ends with gb_initfs_file_put. NULL: no such handle of that type. */
struct gb_file *gb_initfs_file_get(struct gb_table *table, uint64_t fh, enum gb_file_type type);
void gb_initfs_file_put(struct gb_table *table, struct gb_file *file);
/* The kernel has let go of it: 0 or -EBADF. *ret_backing: a backing id that nobody uses any more, or 0. */
int gb_initfs_file_close(struct gb_table *table, uint64_t fh, enum gb_file_type type, int32_t *ret_backing);

#endif
