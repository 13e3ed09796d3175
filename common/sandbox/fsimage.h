/* SPDX-License-Identifier: MIT */
/* What kind of file system a file holds that a sandbox is to have as its root. Pure. */
#ifndef GB_SANDBOX_FSIMAGE_H
#define GB_SANDBOX_FSIMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { GB_FSIMAGE_HEAD = 2048 };

struct gb_fsimage {
	const char *type;    /* for mount(2) */
	const char *options; /* beside those that every image gets */
	uint64_t size;       /* bytes that the file has at the least */
};

/* From the first bytes of a file (fewer than GB_FSIMAGE_HEAD only if it has no more) and its size: 0, or -EINVAL with err
 * set: it is none of erofs, squashfs and ext4, or it is cut off. name is for messages. */
int gb_fsimage_read(const unsigned char *head, size_t len, uint64_t file_size, const char *name, struct gb_fsimage *ret_image,
		    struct gb_err *err);

#endif
