/* SPDX-License-Identifier: MIT */
/* Whole reads and writes on descriptors, and other calls that EINTR would cut short. */
#ifndef GB_BASE_IO_H
#define GB_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"

/* Writes all of it. 0 or -errno. */
int gb_io_write(int fd, const void *data, size_t len);

/* The same at an offset (pwrite(2)). */
int gb_io_pwrite(int fd, const void *data, size_t len, off_t offset);

/* Reads until len bytes or the end: the count, or -errno. */
ssize_t gb_io_read(int fd, void *data, size_t len);

/* The same at an offset (pread(2)). */
ssize_t gb_io_pread(int fd, void *data, size_t len, off_t offset);

/* Reads a whole file (of /proc and /sys too, whose size is not known before) into buf, at most max bytes: 0, -E2BIG,
 * -ENOMEM or the errno of open(2) or read(2). dirfd as in openat(2). */
int gb_io_slurp(int dirfd, const char *path, size_t max, struct gb_buf *buf);

/* The first line of a small file (sysfs's attributes have one), without its newline, cut to size - 1 bytes: 0 or -errno. */
int gb_io_line(int dirfd, const char *path, char *line, size_t size);

/* Writes text to an existing file with one write(2), as sysctl and sysfs files want it: 0 or -errno. */
int gb_io_put(int dirfd, const char *path, const char *text);

/* The path of an open file, for system calls without a form that takes a descriptor. It leads to a symbolic link itself, not
 * to its target: the walk ends at what the descriptor refers to. */
struct gb_io_path {
	char text[32];
};
const char *gb_io_path(int fd, struct gb_io_path *path);

/* openat2(2) with O_CLOEXEC; resolve: RESOLVE_ flags. A descriptor or -errno. */
int gb_io_openat2(int dirfd, const char *path, int flags, uint64_t resolve);

/* Waits for a child of ours to end: 0 with the status of waitpid(2) (NULL: nowhere), or -errno (-ECHILD: somebody else has
 * it). */
int gb_io_wait(pid_t pid, int *ret_status);

/* mkdir -p, mode 0755 for what is missing: 0 or -errno. An existing path of another type is -ENOTDIR. */
int gb_io_mkdirs(const char *path);

#endif
