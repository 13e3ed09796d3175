/* SPDX-License-Identifier: MIT */
/* What is on a disk: blank, an unfinished mkfs, Btrfs, a damaged Btrfs, something else, or nothing that can be read. */
#ifndef GB_BTRFS_PROBE_H
#define GB_BTRFS_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"

/* struct btrfs_super_block as it stands on disk, little-endian (linux/btrfs_tree.h of 6.8 and later has it, too). */
struct gb_super {
	uint8_t csum[32]; /* over the rest */
	uint8_t fsid[16];
	uint64_t bytenr; /* its own address */
	uint64_t flags;
	uint8_t magic[8];
	uint64_t generation;
	uint64_t root, chunk_root, log_root, log_root_transid;
	uint64_t total_bytes, bytes_used, root_dir_objectid, num_devices;
	uint32_t sectorsize, nodesize, leafsize, stripesize, sys_chunk_array_size;
	uint64_t chunk_root_generation, compat_flags, compat_ro_flags, incompat_flags;
	uint16_t csum_type;
	uint8_t root_level, chunk_root_level, log_root_level;
	uint64_t devid, dev_total_bytes, dev_bytes_used; /* the head of the device's own item */
	uint8_t rest[0x1000 - 0xe1];
} __attribute__((packed));

#define GB_SUPER_SIZE 4096
#define GB_SUPER_COPIES 3
/* BTRFS_SUPER_INFO_OFFSET, then BTRFS_SUPER_MIRROR_SHIFT: 64 KiB, 64 MiB, 256 GiB. */
extern const uint64_t gb_probe_super_offset[GB_SUPER_COPIES];

/* One copy of the superblock, judged. */
enum gb_copy {
	GB_COPY_ABSENT,  /* past the end of the device */
	GB_COPY_NONE,    /* no magic */
	GB_COPY_TEMP,    /* the magic of a mkfs that did not finish */
	GB_COPY_BYTENR,  /* the magic, with another place's address */
	GB_COPY_CSUM,    /* the magic, and the checksum does not hold */
	GB_COPY_UNKNOWN, /* the magic, with a checksum type that is not known */
	GB_COPY_GOOD,
};
enum gb_copy gb_probe_super_judge(const struct gb_super *super, uint64_t offset);

enum gb_state { GB_STATE_BLANK, GB_STATE_UNFINISHED, GB_STATE_BTRFS, GB_STATE_DAMAGED, GB_STATE_FOREIGN,
		GB_STATE_UNREADABLE };
const char *gb_probe_state_name(enum gb_state state);

/* How to get at the disk: pure code over these. */
struct gb_disk {
	void *ctx;
	uint64_t size;
	/* len bytes at offset: the count (short only at the end), or -errno. */
	ssize_t (*read)(void *ctx, void *buf, size_t len, uint64_t offset);
	/* Looks for signatures of anything but Btrfs, outside of [own, own_end); writes the name ("ext4", "gpt"): 1 found, 0
	 * none, or -errno. */
	int (*signature)(void *ctx, uint64_t own, uint64_t own_end, char *name, size_t size);
};

struct gb_found {
	enum gb_state state;
	char detail[256]; /* what was found, in words; "" when the state says it all */
	int error;        /* unreadable: the errno, 0 for a short read */
	uint64_t offset;  /* unreadable: where */
	enum gb_copy copy[GB_SUPER_COPIES];
	struct gb_super super; /* btrfs: the primary; damaged: the newest good copy */
	int best;              /* which copy that is */
	bool two;              /* damaged: the good copies are of different file systems */
	char beside[64];       /* btrfs, damaged: another's signature where this file system has nothing, "" if there is none */
};

/* Reads and decides; never writes. 0 or -ENOMEM: whatever the disk does is a state. */
int gb_probe(const struct gb_disk *disk, struct gb_found *ret_found);

/* The superblock moved to another copy's place: address and checksum made anew. 0 or -EOPNOTSUPP. Pure. */
int gb_probe_super_move(struct gb_super *super, uint64_t offset);

#endif
