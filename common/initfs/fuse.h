/* SPDX-License-Identifier: MIT */
/* libfuse3's low-level interface, and the parts of the kernel's protocol that its version may not know yet. */
#ifndef GB_INITFS_FUSE_H
#define GB_INITFS_FUSE_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* FUSE passthrough (Linux 6.9, protocol 7.40): older headers have none of this. */
#define GB_FUSE_PASSTHROUGH2 (1U << 5) /* bit 37 of the flags: bit 5 of flags2 */
/* Linux 6.6: mappings of files that are otherwise read past the page cache. */
#define GB_FUSE_DIRECT_IO_MMAP2 (1U << 4)
#define GB_FOPEN_PASSTHROUGH (1U << 7)
#define GB_FOPEN_NOFLUSH (1U << 5)
#define GB_FUSE_TMPFILE 51 /* Linux 6.2, protocol 7.37; libfuse 3.14 answers ENOSYS */

struct gb_fuse_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define GB_FUSE_BACKING_OPEN _IOW(229, 1, struct gb_fuse_backing_map)
#define GB_FUSE_BACKING_CLOSE _IOW(229, 2, uint32_t)

/* The INIT answer as of 7.40: max_stack_depth is the first of the words that older headers call unused. */
struct gb_fuse_init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth, unused[6];
};

/* The open answer as of 7.40: backing_id stands where older headers have padding. */
struct gb_fuse_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};

_Static_assert(sizeof(struct gb_fuse_init_out) == 64, "fuse_init_out is 64 bytes on the wire");
_Static_assert(sizeof(struct gb_fuse_init_out) == sizeof(struct fuse_init_out), "the header's own has that size");
_Static_assert(offsetof(struct gb_fuse_init_out, flags2) == offsetof(struct fuse_init_out, flags2), "place of flags2");
_Static_assert(offsetof(struct gb_fuse_init_out, max_stack_depth) == 36, "max_stack_depth follows flags2");
_Static_assert(sizeof(struct gb_fuse_open_out) == 16 && sizeof(struct fuse_open_out) == 16, "fuse_open_out is 16 bytes");
_Static_assert(sizeof(struct gb_fuse_backing_map) == 16, "fuse_backing_map is 16 bytes");

#endif
