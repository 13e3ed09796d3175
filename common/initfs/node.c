/* SPDX-License-Identifier: MIT */
/* Nodes and their descriptors: one lock, held for pointer work only. */
#include "common/initfs/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/base/cleanup.h"

static size_t hash(uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ (b << 32 | b >> 32)) * 0x9e3779b97f4a7c15ULL;
	return (size_t)(h >> 20 ^ h);
}

static struct gb_node **id_bucket(const struct gb_table *table, uint64_t id)
{
	return &table->by_id[hash(id, 0) & (table->buckets - 1)];
}

static struct gb_node **key_bucket(const struct gb_table *table, uint64_t ino, uint64_t dev)
{
	return &table->by_key[hash(ino, dev) & (table->buckets - 1)];
}

static struct gb_node **place_bucket(const struct gb_table *table, uint64_t place)
{
	return &table->by_place[place & (table->buckets - 1)];
}

uint64_t gb_node_place(uint64_t parent, const char *name)
{
	uint64_t h = parent * 0x9e3779b97f4a7c15ULL;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3ULL;
	h ^= h >> 29; /* the lower bits choose the chain */
	return h ? h : 1;
}

/* Locked. */
static void set_place(struct gb_table *table, struct gb_node *node, uint64_t place)
{
	if (node->place == place)
		return;
	if (node->place) {
		struct gb_node **p = place_bucket(table, node->place);
		while (*p != node)
			p = &(*p)->next_place;
		*p = node->next_place;
	}
	node->place = place;
	if (place) {
		struct gb_node **b = place_bucket(table, place);
		node->next_place = *b;
		*b = node;
	}
}

/* The last one that was found there. Locked. */
static struct gb_node *at_place(const struct gb_table *table, uint64_t place)
{
	struct gb_node *node;

	for (node = *place_bucket(table, place); node && node->place != place; node = node->next_place)
		;
	return node;
}

static void insert(struct gb_table *table, struct gb_node *node)
{
	struct gb_node **b = id_bucket(table, node->id);
	node->next_id = *b;
	*b = node;
	b = key_bucket(table, node->ino, node->dev);
	node->next_key = *b;
	*b = node;
	if (node->place) {
		b = place_bucket(table, node->place);
		node->next_place = *b;
		*b = node;
	}
}

/* Doubles the hash tables. Without memory they stay as they are: chains get longer, nothing else. */
static void grow(struct gb_table *table)
{
	size_t old = table->buckets, buckets = old * 2;
	struct gb_node **by_id = calloc(buckets, sizeof *by_id), **by_key = calloc(buckets, sizeof *by_key),
		       **by_place = calloc(buckets, sizeof *by_place);
	struct gb_node **all = table->by_id;

	if (!by_id || !by_key || !by_place) {
		free(by_id);
		free(by_key);
		free(by_place);
		return;
	}
	free(table->by_key);
	free(table->by_place);
	table->by_id = by_id;
	table->by_key = by_key;
	table->by_place = by_place;
	table->buckets = buckets;
	for (size_t i = 0; i < old; i++) {
		for (struct gb_node *n = all[i], *next; n; n = next) {
			next = n->next_id;
			insert(table, n);
		}
	}
	free(all);
}

static void lru_remove(struct gb_table *table, struct gb_node *node)
{
	if (node->in_lru) {
		TAILQ_REMOVE(&table->lru, node, lru);
		node->in_lru = false;
	}
}

/* Frees a node that neither the kernel nor we refer to. Locked. */
static void reap(struct gb_table *table, struct gb_node *node)
{
	struct gb_node **p;

	if (node->lookups || node->uses || node == table->root)
		return;
	for (p = id_bucket(table, node->id); *p != node; p = &(*p)->next_id)
		;
	*p = node->next_id;
	for (p = key_bucket(table, node->ino, node->dev); *p != node; p = &(*p)->next_key)
		;
	*p = node->next_key;
	set_place(table, node, 0);
	table->linked -= node->linked;
	lru_remove(table, node);
	if (node->fd >= 0) {
		(void)close(node->fd);
		table->fd_count--;
	}
	table->count--;
	free(node);
}

struct gb_node *gb_node_get(struct gb_table *table, uint64_t id)
{
	struct gb_node *node;

	(void)pthread_mutex_lock(&table->lock);
	for (node = *id_bucket(table, id); node && node->id != id; node = node->next_id)
		;
	if (node) {
		node->uses++;
		lru_remove(table, node);
	}
	(void)pthread_mutex_unlock(&table->lock);
	return node;
}

void gb_node_unuse(struct gb_table *table, struct gb_node *node)
{
	node->uses--;
	if (node->uses == 0 && node->fd >= 0 && !node->pinned && !node->in_lru) {
		TAILQ_INSERT_TAIL(&table->lru, node, lru);
		node->in_lru = true;
	}
	reap(table, node);
}

void gb_node_put(struct gb_table *table, struct gb_node *node)
{
	if (!node)
		return;
	(void)pthread_mutex_lock(&table->lock);
	gb_node_unuse(table, node);
	(void)pthread_mutex_unlock(&table->lock);
}

void gb_node_forget(struct gb_table *table, uint64_t id, uint64_t count)
{
	struct gb_node *node;

	(void)pthread_mutex_lock(&table->lock);
	for (node = *id_bucket(table, id); node && node->id != id; node = node->next_id)
		;
	if (node) {
		node->lookups -= count < node->lookups ? count : node->lookups;
		reap(table, node);
	}
	(void)pthread_mutex_unlock(&table->lock);
}

/* Closes the longest unused descriptors above the limit. Locked. */
static void evict(struct gb_table *table)
{
	while (table->fd_count > table->fd_max) {
		struct gb_node *old = TAILQ_FIRST(&table->lru);
		if (!old)
			return;
		lru_remove(table, old);
		(void)close(old->fd);
		old->fd = -1;
		table->fd_count--;
	}
}

/* Opens by handle. The handle and the attributes were read one after the other, so the first use compares them: a name
 * that was exchanged in between is stale, and the kernel looks it up again. */
static int by_handle(struct gb_node *node, int flags)
{
	struct gb_handle h = { .head = { .handle_bytes = node->handle_len, .handle_type = node->handle_type } };
	struct stat st;

	memcpy(h.bytes, node->handle, node->handle_len);
	gb_autoclose int fd = open_by_handle_at(node->mnt->fd, &h.head, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!node->verified) {
		if (fstat(fd, &st) < 0)
			return -errno;
		if (st.st_ino != node->ino || st.st_dev != node->dev)
			return -ESTALE;
		node->verified = true;
	}
	return gb_take_fd(&fd);
}

/* The descriptor of a node that was opened by its name: is it this node's? If not, the handle has to do. Locked. */
static void make_sure(struct gb_table *table, struct gb_node *node)
{
	struct stat st;

	node->unsure = false;
	if (fstat(node->fd, &st) == 0 && st.st_ino == node->ino && st.st_dev == node->dev)
		return;
	(void)close(node->fd);
	node->fd = -1;
	node->pinned = false;
	table->fd_count--;
}

int gb_node_hold(struct gb_table *table, struct gb_node *node, struct gb_hold *ret_hold)
{
	*ret_hold = (struct gb_hold){ .fd = -1 };
	(void)pthread_mutex_lock(&table->lock);
	if (node->unsure)
		make_sure(table, node);
	ret_hold->fd = node->fd;
	if (node->fd < 0 && (ret_hold->file = TAILQ_FIRST(&node->files))) {
		ret_hold->file->refs++;
		ret_hold->fd = ret_hold->file->fd;
	}
	(void)pthread_mutex_unlock(&table->lock);
	if (ret_hold->fd >= 0)
		return ret_hold->fd;

	int fd = by_handle(node, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	(void)pthread_mutex_lock(&table->lock);
	if (node->fd < 0) {
		node->fd = fd;
		table->fd_count++;
		evict(table);
	} else {
		(void)close(fd); /* another thread was faster */
	}
	ret_hold->fd = node->fd;
	(void)pthread_mutex_unlock(&table->lock);
	return ret_hold->fd;
}

void gb_node_release(struct gb_table *table, struct gb_hold *hold)
{
	if (hold->file)
		gb_initfs_file_put(table, hold->file);
	*hold = (struct gb_hold){ .fd = -1 };
}

int gb_node_reopen(struct gb_table *table, struct gb_node *node, int flags)
{
	struct gb_hold hold;
	char number[16];
	bool direct;
	int r;

	flags |= O_NONBLOCK | O_CLOEXEC;
	if (S_ISLNK(node->type))
		return -ELOOP;
	(void)pthread_mutex_lock(&table->lock);
	direct = node->fd < 0 && TAILQ_EMPTY(&node->files);
	(void)pthread_mutex_unlock(&table->lock);
	if (direct)
		return by_handle(node, flags);
	r = gb_node_hold(table, node, &hold);
	if (r < 0)
		return r;
	(void)snprintf(number, sizeof number, "%d", hold.fd);
	r = openat(table->proc, number, flags);
	if (r < 0)
		r = -errno;
	gb_node_release(table, &hold);
	return r;
}

/* The device's place in the order of appearance: 0 is the root's. */
static uint16_t place_of_dev(struct gb_table *table, uint64_t dev)
{
	size_t i;

	if (dev == table->root_dev)
		return 0;
	(void)pthread_mutex_lock(&table->lock);
	for (i = 0; i < table->dev_count && table->devs[i] != dev; i++)
		;
	if (i == table->dev_count && i < UINT16_MAX - 1) {
		/* room for the next power of two */
		uint64_t *more = (i & (i - 1)) == 0 ? reallocarray(table->devs, i ? i * 2 : 1, sizeof *more) : table->devs;
		if (more) {
			table->devs = more;
			table->devs[table->dev_count++] = dev;
		}
	}
	(void)pthread_mutex_unlock(&table->lock);
	return (uint16_t)(i < UINT16_MAX - 1 ? i + 1 : UINT16_MAX);
}

static const unsigned stat_mask = STATX_BASIC_STATS | STATX_MNT_ID;

/* Reads attributes and, where the mount has them, the handle. *ret_fd: a descriptor that was opened on the way, or -1. */
static int identify(struct gb_table *table, struct gb_mnt **mnt, int dirfd, const char *name, struct statx *stx,
		    struct gb_handle *h, int *ret_fd)
{
	int mount_id, empty = *name ? 0 : AT_EMPTY_PATH;
	struct gb_mnt *here = *mnt;

	*ret_fd = -1;
	h->head.handle_bytes = here->handles ? MAX_HANDLE_SZ : 0;
	if (here->handles && name_to_handle_at(dirfd, name, &h->head, &mount_id, empty) < 0) {
		if (errno != EOPNOTSUPP && errno != EOVERFLOW)
			return -errno;
		h->head.handle_bytes = 0;
	}
	if (h->head.handle_bytes) {
		if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | empty, stat_mask, stx) < 0)
			return -errno;
		if (stx->stx_mnt_id == here->id)
			return 0;
		/* A mount point: its handle is of another mount. */
		h->head.handle_bytes = 0;
	}
	gb_autoclose int fd = *name ? openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) :
				      fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, stat_mask, stx) < 0)
		return -errno;
	if (stx->stx_mnt_id != here->id) {
		here = gb_initfs_mnt_find(table, stx->stx_mnt_id);
		if (!here) {
			int root = S_ISDIR(stx->stx_mode) ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
			here = gb_initfs_mnt_add(table, stx->stx_mnt_id, root, table->root_mnt->handles);
		}
		if (!here)
			return -ENOMEM;
		*mnt = here;
		if (here->handles) {
			h->head.handle_bytes = MAX_HANDLE_SZ;
			if (name_to_handle_at(fd, "", &h->head, &mount_id, AT_EMPTY_PATH) < 0)
				h->head.handle_bytes = 0;
			else
				return 0;
		}
	}
	*ret_fd = gb_take_fd(&fd);
	return 0;
}

static bool same(const struct gb_node *n, const struct gb_mnt *mnt, const struct statx *stx, uint64_t dev,
		 const struct gb_handle *h)
{
	return n->ino == stx->stx_ino && n->dev == dev && n->mnt == mnt && n->type == (stx->stx_mode & S_IFMT) &&
	       n->handle_len == h->head.handle_bytes &&
	       (n->handle_len == 0 ||
		(n->handle_type == h->head.handle_type && memcmp(n->handle, h->bytes, n->handle_len) == 0));
}

int gb_node_lookup(struct gb_table *table, struct gb_mnt *mnt, int dirfd, const char *name, uint64_t place,
		   struct statx *ret_stx, struct gb_node **ret_node)
{
	struct gb_handle h;
	struct gb_node *node;
	int opened;

	int r = identify(table, &mnt, dirfd, name, ret_stx, &h, &opened);
	if (r < 0)
		return r;
	gb_autoclose int fd = opened;
	uint64_t dev = makedev(ret_stx->stx_dev_major, ret_stx->stx_dev_minor);
	uint16_t dev_index = place_of_dev(table, dev);

	(void)pthread_mutex_lock(&table->lock);
	for (node = *key_bucket(table, ret_stx->stx_ino, dev); node; node = node->next_key) {
		if (same(node, mnt, ret_stx, dev, &h))
			break;
	}
	if (!node) {
		node = calloc(1, sizeof *node + h.head.handle_bytes);
		if (!node) {
			(void)pthread_mutex_unlock(&table->lock);
			return -ENOMEM;
		}
		node->id = table->next_id++;
		node->ino = ret_stx->stx_ino;
		node->dev = dev;
		node->dev_index = dev_index;
		node->mnt = mnt;
		node->type = ret_stx->stx_mode & S_IFMT;
		node->fd = -1;
		TAILQ_INIT(&node->files);
		node->handle_len = (uint16_t)h.head.handle_bytes;
		node->handle_type = h.head.handle_type;
		memcpy(node->handle, h.bytes, node->handle_len);
		if (!node->handle_len) {
			node->fd = gb_take_fd(&fd);
			node->pinned = node->verified = true;
			table->fd_count++;
		}
		insert(table, node);
		if (++table->count > table->buckets)
			grow(table);
	}
	lru_remove(table, node);
	if (place && mnt->handles)
		set_place(table, node, place);
	if (ret_stx->stx_nlink > 1 && !node->linked && !S_ISDIR(node->type)) {
		node->linked = true;
		table->linked++;
	}
	node->lookups++;
	node->uses++;
	(void)pthread_mutex_unlock(&table->lock);
	*ret_node = node;
	return 0;
}

/* The node of a name, looked up in the source: it may be known by another of its names. */
static struct gb_node *victim(struct gb_table *table, struct gb_mnt *mnt, int dirfd, const char *name)
{
	struct gb_handle h = { .head.handle_bytes = MAX_HANDLE_SZ };
	struct gb_node *node;
	struct statx stx;
	int mount_id;

	if (name_to_handle_at(dirfd, name, &h.head, &mount_id, 0) < 0 ||
	    statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, stat_mask, &stx) < 0)
		return NULL;
	if (stx.stx_nlink > 1 && !S_ISDIR(stx.stx_mode))
		return NULL;
	(void)pthread_mutex_lock(&table->lock);
	for (node = *key_bucket(table, stx.stx_ino, makedev(stx.stx_dev_major, stx.stx_dev_minor)); node;
	     node = node->next_key) {
		if (same(node, mnt, &stx, makedev(stx.stx_dev_major, stx.stx_dev_minor), &h))
			break;
	}
	if (node)
		node->uses++;
	(void)pthread_mutex_unlock(&table->lock);
	return node;
}

void gb_node_pin_victim(struct gb_table *table, struct gb_mnt *mnt, int dirfd, const char *name, uint64_t place)
{
	struct gb_node *node;
	bool look;
	int fd;

	if (!mnt->handles)
		return;
	(void)pthread_mutex_lock(&table->lock);
	node = at_place(table, place);
	look = node ? node->linked : table->linked > 0;
	if (look || (node && node->fd >= 0 && node->pinned))
		node = NULL;
	if (node)
		node->uses++;
	(void)pthread_mutex_unlock(&table->lock);
	if (look)
		node = victim(table, mnt, dirfd, name);
	if (!node)
		return;
	/* By name it is one step; whether the name was still this node's is seen when the descriptor is needed, which is
	 * hardly ever: the kernel forgets most of what loses its name at once. */
	fd = look ? by_handle(node, O_PATH | O_NOFOLLOW) : openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	(void)pthread_mutex_lock(&table->lock);
	lru_remove(table, node);
	if (fd >= 0 && node->fd < 0) {
		node->fd = fd;
		node->unsure = !look;
		table->fd_count++;
	} else if (fd >= 0) {
		(void)close(fd);
	}
	node->pinned = node->fd >= 0;
	gb_node_unuse(table, node);
	(void)pthread_mutex_unlock(&table->lock);
}

void gb_node_moved(struct gb_table *table, uint64_t from, uint64_t to, bool exchange)
{
	(void)pthread_mutex_lock(&table->lock);
	struct gb_node *moved = at_place(table, from), *other = at_place(table, to);
	if (other)
		set_place(table, other, exchange ? from : 0);
	if (moved)
		set_place(table, moved, to);
	(void)pthread_mutex_unlock(&table->lock);
}

int gb_initfs_table_open(struct gb_table *table, int root_fd, uint64_t first_id, unsigned fd_max, bool want_handles)
{
	gb_autoclose int own = root_fd;
	struct statx stx;

	*table = (struct gb_table){ .buckets = 1024, .next_id = first_id, .fd_max = fd_max, .proc = -1 };
	(void)pthread_mutex_init(&table->lock, NULL);
	TAILQ_INIT(&table->lru);
	SLIST_INIT(&table->mnts);
	if (statx(own, "", AT_EMPTY_PATH, stat_mask, &stx) < 0)
		return -errno;
	table->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (table->proc < 0)
		return -errno;
	gb_autoclose int fd = fcntl(own, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	table->by_id = calloc(table->buckets, sizeof(struct gb_node *));
	table->by_key = calloc(table->buckets, sizeof(struct gb_node *));
	table->by_place = calloc(table->buckets, sizeof(struct gb_node *));
	gb_autofree struct gb_node *root = calloc(1, sizeof *root);
	if (!table->by_id || !table->by_key || !table->by_place || !root)
		return -ENOMEM;
	/* Without the mount's number (before Linux 5.8) a handle's mount is not known. */
	want_handles = want_handles && (stx.stx_mask & STATX_MNT_ID);
	table->root_mnt = gb_initfs_mnt_add(table, stx.stx_mnt_id, gb_take_fd(&own), want_handles);
	if (!table->root_mnt)
		return -ENOMEM;
	root->id = 1;
	root->fd = gb_take_fd(&fd);
	root->ino = stx.stx_ino;
	root->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	table->root_dev = root->dev;
	root->type = S_IFDIR;
	root->mnt = table->root_mnt;
	root->pinned = root->verified = true;
	root->lookups = 1;
	TAILQ_INIT(&root->files);
	table->root = gb_take_ptr(root);
	table->fd_count = 1;
	table->count = 1;
	insert(table, table->root);
	return 0;
}

void gb_initfs_table_close(struct gb_table *table)
{
	for (uint32_t i = 0; i < table->slot_count; i++) {
		struct gb_file *file = table->slots[i].file;
		if (file)
			gb_initfs_file_free(file);
	}
	for (size_t i = 0; table->by_id && i < table->buckets; i++) {
		for (struct gb_node *n = table->by_id[i], *next; n; n = next) {
			next = n->next_id;
			if (n->fd >= 0)
				(void)close(n->fd);
			free(n);
		}
	}
	while (!SLIST_EMPTY(&table->mnts)) {
		struct gb_mnt *m = SLIST_FIRST(&table->mnts);
		SLIST_REMOVE_HEAD(&table->mnts, next);
		if (m->fd >= 0)
			(void)close(m->fd);
		free(m);
	}
	free(table->by_id);
	free(table->by_key);
	free(table->by_place);
	free(table->devs);
	free(table->slots);
	if (table->proc >= 0)
		(void)close(table->proc);
	(void)pthread_mutex_destroy(&table->lock);
	*table = (struct gb_table){ .proc = -1 };
}
