/* SPDX-License-Identifier: MIT */
/* Regular files read through shared mappings, without SIGBUS ever reaching the caller. */
#ifndef GB_SYS_MAPFILE_H
#define GB_SYS_MAPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"

enum gb_mapkind { GB_MAP_UNKNOWN, GB_MAP_PAGE_CACHE, GB_MAP_DAX };

struct gb_mapfile {
	int fd;
	uint64_t size; /* bytes, when it was opened */
	enum gb_mapkind kind; /* STATX_ATTR_DAX (statx(2)); unknown when the file system does not say */
};

/* The part [offset, offset + len) of a file, mapped. */
struct gb_mapwindow {
	const unsigned char *data; /* byte `offset` of the file */
	size_t len;
	void *base;
	size_t span;
};

/* The largest window; longer ranges are read in several. */
#define GB_MAP_WINDOW ((size_t)64 << 20)

/* Opens path for reading: without waiting (a FIFO has no reader's turn to wait for), and only if it is a regular file.
 * 0, or -errno with the path and the reason in err. */
int gb_mapfile_open(struct gb_mapfile *file, const char *path, struct gb_err *err);

/* The same for a descriptor the caller opened (with O_NONBLOCK); on success file owns it. `name` is for messages. */
int gb_mapfile_adopt(struct gb_mapfile *file, int fd, const char *name, struct gb_err *err);

void gb_mapfile_close(struct gb_mapfile *file);
#define gb_automapfile __attribute__((cleanup(gb_mapfile_close)))

/* Maps at most GB_MAP_WINDOW bytes from offset, clamped to the size at opening; an empty window at or past the end.
 * 0 or the errno of mmap(2). */
int gb_mapfile_map(const struct gb_mapfile *file, uint64_t offset, uint64_t len, struct gb_mapwindow *ret_window);
void gb_mapfile_unmap(struct gb_mapwindow *window);
#define gb_automapwindow __attribute__((cleanup(gb_mapfile_unmap)))

/* Copies len bytes out of a window; returns how many came before the first page that is not there any more (the file
 * was cut, or the file system failed to read it: see gb_mapfile_cause()). */
size_t gb_mapfile_copy(const struct gb_mapwindow *window, size_t from, void *dst, size_t len);

/* Reads one byte of each page; returns the bytes of the window that could be touched, counted to the first failure. */
size_t gb_mapfile_touch(const struct gb_mapwindow *window);

/* Why a page at `offset` could not be had: 0 when the file has become shorter (an end of file like another), else
 * -EIO: then it is to be tried again, GB_MAP_TRIES times in all. A file that was cut may have grown again since. */
#define GB_MAP_TRIES 4
int gb_mapfile_cause(const struct gb_mapfile *file, uint64_t offset);

#endif
