/* SPDX-License-Identifier: MIT */
/* NOCOW for files, directories and trees; files rewritten to have it. */
#ifndef GB_BTRFS_NOCOW_H
#define GB_BTRFS_NOCOW_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct gb_nocow_tally {
	uint64_t kept;    /* non-empty files that keep what they have: the flag holds only from an empty file on */
	char first[256];  /* one of those, shortened */
};

/* Whether path has the flag: 1, 0, -EOPNOTSUPP with "no NOCOW flag" in err, or -errno. */
int gb_nocow_query(const char *path, struct gb_err *err);

/* Sets or clears the flag of one file or directory and reads it back: 1 changed, 0 it was like that, -EOPNOTSUPP when
 * the file system has no such flag, -EBUSY for a file that is not empty, or -errno. */
int gb_nocow_set(const char *path, bool on, struct gb_err *err);

/* The same for an open one; `name` is for messages. */
int gb_nocow_set_fd(int fd, const char *name, bool on, struct gb_err *err);

/* Goes through everything below path, itself included, without following links. With `set`, changes each directory and
 * empty file; else only counts the non-empty files without (with, if !on) the flag. 0 or the first error. */
int gb_nocow_tree(const char *path, bool on, bool set, struct gb_nocow_tally *tally, struct gb_err *err);

/* The flag for the folder `name` (relative, without "..") below an open directory, made with its parents if it is missing.
 * No symbolic link is followed on the way: what a disk holds leads nowhere else. `path` is its name for messages. 1 changed,
 * with what does not have the flag below it counted; 0; -ELOOP for a link; or as gb_nocow_set(). */
int gb_nocow_folder(int top, const char *name, const char *path, struct gb_nocow_tally *tally, struct gb_err *err);

/*
 * Rewrites a file without copy-on-write: a copy in the same directory, never a reflink, holes kept; synced; owner, mode,
 * times, extended attributes and inode flags taken over; exchanged with the original in one rename(2). Whatever fails or
 * whenever it is killed, the name leads to the whole old or the whole new file. A leased file: whoever opens it for
 * writing meanwhile makes this give up, and loses nothing. 1 rewritten, 0 it has the flag (an empty file gets it),
 * -GB_E_REFUSED for what cannot be exchanged without harm (hard links, links, immutable files, open for writing),
 * -EOPNOTSUPP, -errno. What stops a process half-way may leave a file ".nocow-..." beside it, whose bytes are the same.
 */
int gb_nocow_convert(const char *path, struct gb_err *err);

#endif
