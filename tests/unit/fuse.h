/* SPDX-License-Identifier: MIT */
/* What a kernel says to initfs, over a socket in the place of /dev/fuse. */
#ifndef GB_UNIT_FUSE_H
#define GB_UNIT_FUSE_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A request with its up to two parts, in frame, which has the room for it: its length. */
static inline size_t unit_fuse_request(char *frame, uint32_t opcode, uint64_t node, uint64_t unique, const void *a, size_t alen,
				       const void *b, size_t blen)
{
	struct fuse_in_header in = { .len = (uint32_t)(sizeof in + alen + blen), .opcode = opcode, .unique = unique, .nodeid = node };

	memcpy(frame, &in, sizeof in);
	if (alen)
		memcpy(frame + sizeof in, a, alen);
	if (blen)
		memcpy(frame + sizeof in + alen, b, blen);
	return in.len;
}

#endif
