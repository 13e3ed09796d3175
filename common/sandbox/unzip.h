/* SPDX-License-Identifier: MIT */
/* Archives that are compressed: the guest's gzip, zstd, xz or bzip2 unpacks them, in a process without rights. */
#ifndef GB_SANDBOX_UNZIP_H
#define GB_SANDBOX_UNZIP_H

#include <stddef.h>
#include <sys/types.h>

#include "common/base/err.h"

/* The layers of an image are compressed one by one inside its archive, so that the guest has to be able to; an archive that
 * is compressed as a whole goes the same way, and is shorter on its way here. What comes out is bounded by whoever reads
 * it. */

enum { GB_UNZIP_HEAD = 6 };

/* The program that takes data that starts like this; NULL: it is not compressed, or in no way that is known. Pure. */
const char *gb_unzip_program(const unsigned char *head, size_t len);

struct gb_unzip {
	const char *program;
	pid_t pid;
	int out; /* what comes out, to be read to its end */
};

/* Starts it: 0, or -errno with err set (-EOPNOTSUPP: there is no such program here). in stays the caller's. */
int gb_unzip_start(const char *program, int in, struct gb_unzip *ret_unzip, struct gb_err *err);

/* Closes out and waits: 0, -EBADMSG (what came in is damaged, or not all of it was read) or -errno with err set. */
int gb_unzip_end(struct gb_unzip *unzip, struct gb_err *err);

#endif
