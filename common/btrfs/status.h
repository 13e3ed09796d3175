/* SPDX-License-Identifier: MIT */
/* How full a mounted Btrfs is, where df(1) does not tell. */
#ifndef GB_BTRFS_STATUS_H
#define GB_BTRFS_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/btrfs/ioctl.h"

enum { GB_STATUS_DEVICES = 32 };

struct gb_status_device {
	struct gb_btrfs_device device;
	bool missing;
	uint64_t beyond; /* bytes of the block device behind what the file system has of it */
};

/* All in bytes. On disk: each copy counts. In the file system: once. */
struct gb_status {
	uint64_t size;        /* on disk: what the file system has of its devices */
	uint64_t allocated;   /* on disk: given to chunks */
	uint64_t unallocated; /* on disk: the rest */
	uint64_t data_total, data_used;         /* in the file system */
	uint64_t metadata_total, metadata_used; /* in the file system */
	uint64_t reserve;     /* of the metadata, held back for the file system's own needs */
	uint64_t headroom;    /* metadata that could still be written, new chunks included */
	uint64_t occupied;    /* on disk: what holds something */
	uint64_t reclaimable; /* on disk: what a host gets back when all that is free is discarded */
	bool metadata_low;    /* less than an eighth of all metadata there could be is left */
	struct gb_status_device device[GB_STATUS_DEVICES];
	unsigned devices; /* rows of `device`; the file system may have more */
};

/* Of the Btrfs mounted at path. 0; -ENOTTY with "no Btrfs"; -errno. */
int gb_status_read(const char *path, struct gb_status *ret_status, struct gb_err *err);

/* The sums, from the rows; `devices` and their numbers are filled in. Pure. */
void gb_status_sum(struct gb_status *status, const struct gb_btrfs_space *rows, unsigned len, uint64_t reserve);

#endif
