/* SPDX-License-Identifier: MIT */
/* Reads a tar archive, member by member: what its headers and extended headers say, and its bytes. */
#ifndef GB_SANDBOX_ARCHIVE_H
#define GB_SANDBOX_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/sandbox/tar.h"

enum {
	GB_ARCHIVE_BUFFER = 256 << 10,
	GB_ARCHIVE_XATTRS = 64, /* of one member */
};

/* Headers and extended headers put together. */
struct gb_archive_member {
	struct gb_tar_head head;
	char path[GB_TAR_PATH]; /* below the root, "" is the root itself */
	const char *link;       /* not NUL-terminated; shorter than GB_TAR_PATH, and without a NUL */
	size_t link_len;
	long nsec; /* of head.mtime */
	struct gb_tar_record xattrs[GB_ARCHIVE_XATTRS]; /* keys without "SCHILY.xattr." */
	size_t xattrs_len;
};

struct gb_archive {
	int in;
	struct gb_err *err;
	unsigned char *buf;
	size_t at, len;
	uint64_t read; /* bytes of the archive */
	/* What extended headers say about the next member (local), or about all from here on (global): records, as they came,
	 * and GNU's long names. */
	struct gb_buf pax, global_pax, name, link;
	struct gb_archive_member member;
};

/* Starts to read `in`, which stays the caller's. 0 or -ENOMEM. err is where every failure of this archive is told. */
int gb_archive_open(struct gb_archive *archive, int in, struct gb_err *err);
void gb_archive_close(struct gb_archive *archive);

/* The next member, in archive->member: 1; 0 at the end mark; or -errno. What the one before had of contents has to have
 * been read, or passed over. */
int gb_archive_next(struct gb_archive *archive);

/* Some bytes, at most max, in place: their number, 0 at the end, or -errno. */
ssize_t gb_archive_some(struct gb_archive *archive, size_t max, const unsigned char **ret_data);
/* What fills up the block behind contents of this size. */
int gb_archive_padding(struct gb_archive *archive, uint64_t size);
/* The member's contents, and that. */
int gb_archive_pass_over(struct gb_archive *archive);

/* -EBADMSG: the archive itself is broken here. */
int gb_archive_broken(struct gb_archive *archive, const char *why);

#endif
