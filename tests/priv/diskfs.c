/* SPDX-License-Identifier: MIT */
/* A disk for tests: MOUNT/disk keeps every write and flush in a log, and fails when told to. Over FUSE, so that a loop
 * device can stand on it.
 *
 * diskfs MOUNT SIZE LOG [base=FILE] [fail-read=N] [fail-write=N] [fail-flush=N]
 * The log is a row of struct record, the written bytes behind each write. What is written to MOUNT/mark goes into it as
 * a mark. MOUNT/count says how many reads, writes and flushes there were, and how many of them failed. The N-th one
 * fails with EIO (the first is 1). Goes to the background when it is mounted. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/priv/disklog.h"

static unsigned char *mem;
static uint64_t size, reads, writes, flushes, failed, fail_read, fail_write, fail_flush;
static int log_fd = -1;

static void keep(enum record_type type, uint64_t offset, uint64_t len, const void *data)
{
	const struct record r = { .type = type, .offset = offset, .len = len };

	if (log_fd < 0)
		return;
	if (write(log_fd, &r, sizeof r) != sizeof r || (data && write(log_fd, data, len) != (ssize_t)len))
		abort();
}

static int stumble(uint64_t *count, uint64_t at)
{
	if (++*count != at)
		return 0;
	failed++;
	return -EIO;
}

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, "/") == 0)
		*st = (struct stat){ .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
	else if (strcmp(path, "/disk") == 0)
		*st = (struct stat){ .st_mode = S_IFREG | 0600, .st_nlink = 1, .st_size = (off_t)size };
	else if (strcmp(path, "/mark") == 0 || strcmp(path, "/count") == 0)
		*st = (struct stat){ .st_mode = S_IFREG | 0600, .st_nlink = 1, .st_size = 4096 };
	else
		return -ENOENT;
	return 0;
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	fi->direct_io = 1; /* every read and write comes here, one by one */
	return 0;
}

static int do_read(const char *path, char *buf, size_t len, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, "/count") == 0) {
		int n = snprintf(buf, len, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", reads, writes, flushes, failed);
		return offset ? 0 : n;
	}
	if (strcmp(path, "/disk") != 0)
		return 0;
	int r = stumble(&reads, fail_read);
	if (r < 0)
		return r;
	if ((uint64_t)offset >= size)
		return 0;
	if (size - (uint64_t)offset < len)
		len = size - (uint64_t)offset;
	memcpy(buf, mem + offset, len);
	return (int)len;
}

static int do_write(const char *path, const char *buf, size_t len, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, "/mark") == 0) {
		keep(RECORD_MARK, 0, len, buf);
		return (int)len;
	}
	int r = stumble(&writes, fail_write);
	if (r < 0)
		return r;
	if ((uint64_t)offset > size || size - (uint64_t)offset < len)
		return -ENOSPC;
	memcpy(mem + offset, buf, len);
	keep(RECORD_WRITE, (uint64_t)offset, len, buf);
	return (int)len;
}

static int do_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	if (strcmp(path, "/disk") != 0)
		return 0;
	int r = stumble(&flushes, fail_flush);
	if (r == 0)
		keep(RECORD_FLUSH, 0, 0, NULL);
	return r;
}

/* A discard, or a write of zeros. */
static int do_fallocate(const char *path, int mode, off_t offset, off_t len, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, "/disk") != 0 || !(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		return -EOPNOTSUPP;
	int r = stumble(&writes, fail_write);
	if (r < 0)
		return r;
	if ((uint64_t)offset > size || size - (uint64_t)offset < (uint64_t)len)
		return -ENOSPC;
	if (madvise(mem + offset, (size_t)len, MADV_DONTNEED) < 0)
		memset(mem + offset, 0, (size_t)len);
	keep(RECORD_ZERO, (uint64_t)offset, (uint64_t)len, NULL);
	return 0;
}

static int do_truncate(const char *path, off_t to, struct fuse_file_info *fi)
{
	(void)to;
	(void)fi;
	return strcmp(path, "/disk") == 0 ? -EPERM : 0;
}

static const struct fuse_operations operations = {
	.getattr = do_getattr, .open = do_open, .read = do_read, .write = do_write, .fsync = do_fsync,
	.fallocate = do_fallocate, .truncate = do_truncate,
};

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: diskfs MOUNT SIZE LOG [base=FILE] [fail-read=N] [fail-write=N] [fail-flush=N]\n");
		return 2;
	}
	size = strtoull(argv[2], NULL, 10);
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	log_fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (mem == MAP_FAILED || log_fd < 0) {
		perror("diskfs");
		return 1;
	}
	for (int i = 4; i < argc; i++) {
		const char *value = strchr(argv[i], '=');
		uint64_t number = value ? strtoull(value + 1, NULL, 10) : 0;

		if (value && strncmp(argv[i], "base=", 5) == 0) {
			if (disklog_load(value + 1, mem, size) < 0) {
				perror(value + 1);
				return 1;
			}
		} else if (strncmp(argv[i], "fail-read=", 10) == 0) {
			fail_read = number;
		} else if (strncmp(argv[i], "fail-write=", 11) == 0) {
			fail_write = number;
		} else if (strncmp(argv[i], "fail-flush=", 11) == 0) {
			fail_flush = number;
		} else {
			fprintf(stderr, "diskfs: %s?\n", argv[i]);
			return 2;
		}
	}
	char name[] = "diskfs", single[] = "-s", option[] = "-odefault_permissions,fsname=diskfs";
	char *args[] = { name, single, option, argv[1], NULL };
	return fuse_main(4, args, &operations, NULL);
}
