/* SPDX-License-Identifier: MIT */
/* The mounts of the source, and what each of them can do. */
#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/initfs/node.h"

/* close(2) reports nothing on these: what it could report, write(2) and fsync(2) have reported. */
static bool closes_silently(int fd)
{
	static const unsigned long local[] = { 0xef53 /* ext */, 0x58465342 /* xfs */, 0x9123683e /* btrfs */,
					       0x01021994 /* tmpfs */, 0xf2f52010 /* f2fs */, 0xe0f5e1e2 /* erofs */,
					       0x73717368 /* squashfs */ };
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return false;
	for (size_t i = 0; i < GB_ARRAY_LEN(local); i++) {
		if ((unsigned long)st.f_type == local[i])
			return true;
	}
	return false;
}

/* Whether handles of this mount can be made and resolved by us. */
static bool try_handles(int fd)
{
	struct gb_handle h = { .head.handle_bytes = MAX_HANDLE_SZ };
	struct statfs st;
	int mount_id;

	/* FUSE, virtiofs: a handle is good only as long as that file system's kernel side remembers the file. */
	if (fstatfs(fd, &st) < 0 || (unsigned long)st.f_type == FUSE_SUPER_MAGIC)
		return false;
	if (name_to_handle_at(fd, "", &h.head, &mount_id, AT_EMPTY_PATH) < 0)
		return false;
	gb_autoclose int again = open_by_handle_at(fd, &h.head, O_PATH | O_CLOEXEC);
	return again >= 0;
}

struct gb_mnt *gb_initfs_mnt_find(struct gb_table *table, uint64_t id)
{
	struct gb_mnt *m;

	(void)pthread_mutex_lock(&table->lock);
	SLIST_FOREACH(m, &table->mnts, next) {
		if (m->id == id)
			break;
	}
	(void)pthread_mutex_unlock(&table->lock);
	return m;
}

struct gb_mnt *gb_initfs_mnt_add(struct gb_table *table, uint64_t id, int fd, bool want_handles)
{
	struct gb_mnt *m = calloc(1, sizeof *m), *other;

	if (!m) {
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	m->id = id;
	m->fd = fd;
	m->handles = fd >= 0 && want_handles && try_handles(fd);
	m->noflush = fd >= 0 && closes_silently(fd);
	(void)pthread_mutex_lock(&table->lock);
	SLIST_FOREACH(other, &table->mnts, next) {
		if (other->id == id)
			break;
	}
	if (!other)
		SLIST_INSERT_HEAD(&table->mnts, m, next);
	(void)pthread_mutex_unlock(&table->lock);
	if (other) {
		if (fd >= 0)
			(void)close(fd);
		free(m);
		return other;
	}
	return m;
}
