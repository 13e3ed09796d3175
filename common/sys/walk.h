/* SPDX-License-Identifier: MIT */
/* A folder and everything below it, by descriptors: no link is followed and no name is looked up twice from the top. */
#ifndef GB_SYS_WALK_H
#define GB_SYS_WALK_H

#include <sys/stat.h>

#include "common/base/err.h"

struct gb_walk_entry {
	int dirfd;             /* open(2) it with openat(dirfd, name); AT_FDCWD for the top */
	const char *name;
	const char *path;      /* for messages: the top as it was given, then what is below it */
	int depth;             /* 0 is the top, the only one that may have been reached through a link */
	int error;             /* an errno: it cannot be looked at, or its contents cannot be read; 0 none */
	const struct stat *st; /* of the thing itself; not valid with an error */
};

/* 0 goes on, anything else ends the walk. May open and close what it likes, but changes no working directory. */
typedef int gb_walk_fn(void *arg, const struct gb_walk_entry *entry, struct gb_err *err);

/* Calls fn for the top, then for what it holds if it is a directory, each directory before its contents. What goes
 * away meanwhile is passed over. Uses a descriptor per level. Returns 0, what fn returned, or -errno. */
int gb_walk(const char *top, gb_walk_fn *fn, void *arg, struct gb_err *err);

#endif
