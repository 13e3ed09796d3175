/* SPDX-License-Identifier: MIT */
/* A folder served over FUSE as it is, with one more file at its root that exists nowhere else. */
#ifndef GB_INITFS_INITFS_H
#define GB_INITFS_INITFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"

enum gb_initfs_cache { GB_INITFS_NEVER, GB_INITFS_AUTO, GB_INITFS_ALWAYS };
enum gb_initfs_passthrough { GB_INITFS_PASS_AUTO, GB_INITFS_PASS_ON, GB_INITFS_PASS_OFF };

/* The most --dir folders, worker threads and descriptors for nodes. */
enum { GB_INITFS_DIRS = 32, GB_INITFS_THREADS = 64, GB_INITFS_FDS = 65536 };

struct gb_initfs_config {
	const char *source, *mountpoint;
	const char *init;       /* file with the virtual file's bytes; NULL: this program */
	const char *name;
	const char *options;    /* mount options of -o, comma-separated, or NULL */
	const char *dirs[GB_INITFS_DIRS];
	unsigned dir_count;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	int64_t mtime;          /* seconds; -1: the file's own */
	double timeout;         /* seconds; < 0: by cache */
	bool inject, force, fail_real, readonly, writeback, splice, handles;
	enum gb_initfs_cache cache;
	enum gb_initfs_passthrough passthrough;
	unsigned threads, fds;
	int ready_fd;           /* one byte when it is mounted; -1: none */
	const char *pidfile;
	bool foreground;
};

/* Mounts, serves until unmounted or until SIGTERM, SIGINT or SIGHUP, unmounts. Unless foreground is set it returns once
 * the mount can be used, and a process of its own goes on. 0 or -errno, -GB_E_USAGE, -GB_E_REFUSED. */
int gb_initfs_run(const struct gb_initfs_config *config, struct gb_err *err);

/* What of it does not need /dev/fuse, for tests that speak the protocol themselves: */
struct gb_initfs;
struct gb_initfs *gb_initfs_new(const struct gb_initfs_config *config, struct gb_err *err);
/* Serves requests from fd (one a read, one answer a write) in this thread until its end of file. */
int gb_initfs_serve(struct gb_initfs *fs, int fd, struct gb_err *err);
void gb_initfs_free(struct gb_initfs *fs);

#endif
