/* SPDX-License-Identifier: MIT */
/* The virtual file's bytes: copied once into sealed memory that nobody can change. */
#ifndef GB_INITFS_STORE_H
#define GB_INITFS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct gb_store {
	int fd;            /* sealed memory, or (sealed false) an unlinked file that is open for reading only */
	const void *map;   /* all of it, read-only; NULL while empty */
	uint64_t size;
	int64_t mtime;     /* seconds, of the file that was copied */
	bool sealed;
};

/* Copies `file` (NULL: this very program) and seals the copy. Unless force is set it must be something that a bare
 * kernel can run: an ELF program of this machine without an interpreter. 0, -GB_E_REFUSED when it is not, else -errno. */
int gb_initfs_store_open(struct gb_store *store, const char *file, bool force, struct gb_err *err);
void gb_initfs_store_close(struct gb_store *store);

/* Whether a bare kernel can run what starts with these bytes (the first len of the file): 0, or -ENOEXEC with err
 * saying why not. Pure. */
int gb_initfs_store_check(const void *head, size_t len, const char *name, struct gb_err *err);

/* Copies len bytes from one descriptor to the other's position: 0, -EIO when the source ends early, or -errno. */
int gb_initfs_store_copy(int to, int from, uint64_t len);

#endif
