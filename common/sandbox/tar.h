/* SPDX-License-Identifier: MIT */
/* The headers of a tar archive: ustar, pax and GNU's, as strings of bytes. Pure. */
#ifndef GB_SANDBOX_TAR_H
#define GB_SANDBOX_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GB_TAR_BLOCK = 512, GB_TAR_NAME = 257, GB_TAR_LINK = 101 };

struct gb_tar_head {
	char type; /* as it stands there; '\0' and '7' are '0' */
	uint64_t size, uid, gid;
	uint32_t mode; /* the lower 12 bits */
	int64_t mtime;
	char name[GB_TAR_NAME], link[GB_TAR_LINK];
};

/* Reads a header block: 0; 1 when it is all zero (the archive's end); -EBADMSG with *ret_why a reason. */
int gb_tar_head(const unsigned char block[GB_TAR_BLOCK], struct gb_tar_head *ret_head, const char **ret_why);

/* A record of a pax header at the start of data: its length with key and value set (not NUL-terminated); 0 at the end of
 * data; -EBADMSG. */
struct gb_tar_record {
	const char *key, *value;
	size_t key_len, value_len;
};
long gb_tar_record(const char *data, size_t len, struct gb_tar_record *ret_record);
bool gb_tar_key_is(const struct gb_tar_record *record, const char *key);
bool gb_tar_key_starts(const struct gb_tar_record *record, const char *prefix); /* and goes on behind it */

/* A pax time, "SECONDS[.FRACTION]" with a sign: 0 or -EBADMSG. */
int gb_tar_time(const char *text, size_t len, int64_t *ret_seconds, long *ret_nsec);

/*
 * A member's name as a path below the root: no slash in front, no empty component, no "."; "" is the root itself. 0, or
 * -EBADMSG with *ret_why: a "..", a component of more than 255 bytes, more than GB_TAR_DEPTH of them, too long, a NUL.
 */
enum { GB_TAR_DEPTH = 200, GB_TAR_PATH = 4096 };
int gb_tar_path(const char *name, size_t len, char path[GB_TAR_PATH], const char **ret_why);

#endif
