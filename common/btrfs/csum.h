/* SPDX-License-Identifier: MIT */
/* The checksums of a Btrfs superblock: crc32c, xxhash64, sha256, blake2b. */
#ifndef GB_BTRFS_CSUM_H
#define GB_BTRFS_CSUM_H

#include <stddef.h>
#include <stdint.h>

/* btrfs_csum_type (linux/btrfs_tree.h). */
enum gb_csum { GB_CSUM_CRC32C, GB_CSUM_XXHASH64, GB_CSUM_SHA256, GB_CSUM_BLAKE2B, GB_CSUM_TYPES };

/* Computes it into out, whose 32 bytes are zero-filled behind a shorter sum, as they stand on disk: the length of the
 * sum, or -EOPNOTSUPP. Pure. */
int gb_csum_compute(unsigned type, const void *data, size_t len, uint8_t out[32]);

#endif
