/* SPDX-License-Identifier: MIT */
/* Log files with generations. */
#include "common/sys/logfile.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/io.h"

void gb_logfile_init(struct gb_logfile *log, const char *path, uint64_t max, unsigned keep)
{
	*log = (struct gb_logfile){ .max = max, .keep = keep, .fd = -1 };
	(void)strlcpy(log->path, path, sizeof log->path);
}

void gb_logfile_close(struct gb_logfile *log)
{
	if (log->fd >= 0)
		(void)close(log->fd);
	log->fd = -1;
}

int gb_logfile_open(struct gb_logfile *log)
{
	struct stat st;
	char last;

	if (log->fd >= 0)
		return 0;
	/* O_RDWR: how the last line ended is to be seen. O_NONBLOCK: a FIFO of that name is no log. */
	int fd = open(log->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0640);
	if (fd < 0)
		return -errno;
	int r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	log->fd = fd;
	log->size = (uint64_t)st.st_size;
	log->cut = st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
	return 0;
}

void gb_logfile_aside(struct gb_logfile *log)
{
	char from[sizeof log->path + 16], to[sizeof from];
	bool moved = false;

	for (unsigned n = log->keep; n > 0; n--) {
		(void)snprintf(to, sizeof to, "%s.%u", log->path, n);
		if (n > 1)
			(void)snprintf(from, sizeof from, "%s.%u", log->path, n - 1);
		else
			(void)strlcpy(from, log->path, sizeof from);
		moved = rename(from, to) == 0;
	}
	if (moved)
		gb_logfile_close(log);
	else if (ftruncate(log->fd, 0) == 0)
		log->size = 0;
}

static int append(struct gb_logfile *log, const void *data, size_t len)
{
	int r = gb_io_write(log->fd, data, len);

	if (r == 0) {
		log->size += len;
		log->cut = ((const char *)data)[len - 1] != '\n';
		return 0;
	}
	/* A part of it may stand there. */
	struct stat st;
	if (fstat(log->fd, &st) == 0) {
		log->cut = log->cut || (uint64_t)st.st_size != log->size;
		log->size = (uint64_t)st.st_size;
	}
	return r;
}

static int write_piece(struct gb_logfile *log, const char *data, size_t len)
{
	char note[128];
	struct stat st;

	/* Somebody has removed it: nobody would ever see what goes there. */
	if (log->fd >= 0 && fstat(log->fd, &st) == 0 && st.st_nlink == 0)
		gb_logfile_close(log);
	int r = gb_logfile_open(log);
	if (r == 0 && log->size >= log->max && (!log->cut || log->size >= 2 * log->max)) {
		gb_logfile_aside(log);
		r = gb_logfile_open(log);
	}
	if (r == 0 && log->lost) {
		int n = snprintf(note, sizeof note, "%s[%" PRIu64 " bytes of this log were lost: %s]\n", log->cut ? "\n" : "",
				 log->lost, strerror(log->why));
		r = append(log, note, (size_t)n);
		if (r == 0)
			log->lost = 0;
	}
	if (r == 0)
		r = append(log, data, len);
	if (r < 0) {
		log->lost += len;
		log->why = -r;
	}
	return r;
}

int gb_logfile_write(struct gb_logfile *log, const void *data, size_t len)
{
	const char *p = data;
	int r = 0;

	/* Line by line near the limit: what is put aside ends with a whole one. */
	while (len) {
		size_t piece = len;
		const char *end = NULL;
		if (log->size + len > log->max) {
			size_t fits = log->size < log->max ? (size_t)(log->max - log->size) : 0;
			end = fits < len ? memchr(p + fits, '\n', len - fits) : NULL;
			if (end)
				piece = (size_t)(end - p) + 1;
		}
		r = write_piece(log, p, piece);
		p += piece;
		len -= piece;
	}
	return r;
}
