/* SPDX-License-Identifier: MIT */
/* The log of a test disk: what diskfs writes and powercut reads. */
#ifndef GB_TEST_DISKLOG_H
#define GB_TEST_DISKLOG_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

enum record_type { RECORD_WRITE = 1, RECORD_ZERO, RECORD_FLUSH, RECORD_MARK };

/* A write's bytes, and a mark's, follow. */
struct record {
	uint64_t type, offset, len;
};

/* Reads a sparse image into memory that is zero: 0 or -1 with errno set. */
static inline int disklog_load(const char *path, unsigned char *mem, uint64_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t at = 0;

	if (fd < 0)
		return -1;
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0 && (uint64_t)at < size) {
		off_t hole = lseek(fd, at, SEEK_HOLE);
		while (at < hole && (uint64_t)at < size) {
			uint64_t want = (uint64_t)(hole - at) < size - (uint64_t)at ? (uint64_t)(hole - at) : size - (uint64_t)at;
			ssize_t n = pread(fd, mem + at, want, at);
			if (n <= 0)
				break;
			at += n;
		}
		at = hole;
	}
	return close(fd);
}

#endif
