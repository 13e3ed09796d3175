/* SPDX-License-Identifier: MIT */
/* Descriptors. */
#include "common/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/* offset < 0: where the file stands. */
static int drain(int fd, const char *data, size_t len, off_t offset)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = offset < 0 ? write(fd, data + done, len - done) : pwrite(fd, data + done, len - done, offset + (off_t)done);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		done += (size_t)n;
	}
	return 0;
}

int gb_io_write(int fd, const void *data, size_t len)
{
	return drain(fd, data, len, -1);
}

int gb_io_pwrite(int fd, const void *data, size_t len, off_t offset)
{
	return offset < 0 ? -EINVAL : drain(fd, data, len, offset);
}

/* offset < 0: from where the file stands. */
static ssize_t fill(int fd, char *data, size_t len, off_t offset)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = offset < 0 ? read(fd, data + got, len - got) : pread(fd, data + got, len - got, offset + (off_t)got);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

ssize_t gb_io_read(int fd, void *data, size_t len)
{
	return fill(fd, data, len, -1);
}

ssize_t gb_io_pread(int fd, void *data, size_t len, off_t offset)
{
	return offset < 0 ? -EINVAL : fill(fd, data, len, offset);
}

int gb_io_slurp(int dirfd, const char *path, size_t max, struct gb_buf *buf)
{
	gb_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	for (size_t got = 0;;) {
		/* A page at the least, and as much as there is already: seq_file serves a page or a record a call. */
		size_t want = got < 4096 ? 4096 : got;
		int r = gb_buf_room(buf, want);
		if (r < 0)
			return r;
		ssize_t n = read(fd, buf->data + buf->len, want);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return 0;
		got += (size_t)n;
		if (got > max)
			return -E2BIG;
		buf->len += (size_t)n;
		buf->data[buf->len] = '\0';
	}
}

int gb_io_line(int dirfd, const char *path, char *line, size_t size)
{
	gb_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	ssize_t n = gb_io_read(fd, line, size - 1);
	if (n < 0)
		return (int)n;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

int gb_io_put(int dirfd, const char *path, const char *text)
{
	gb_autoclose int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return gb_io_write(fd, text, strlen(text));
}

const char *gb_io_path(int fd, struct gb_io_path *path)
{
	(void)snprintf(path->text, sizeof path->text, "/proc/self/fd/%d", fd);
	return path->text;
}

int gb_io_openat2(int dirfd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC, .resolve = resolve };
	int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);

	return fd < 0 ? -errno : fd;
}

int gb_io_wait(pid_t pid, int *ret_status)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (ret_status)
		*ret_status = status;
	return 0;
}

int gb_io_mkdirs(const char *path)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	struct stat st;

	if (len >= sizeof part)
		return -ENAMETOOLONG;
	if (len == 0)
		return -ENOENT;
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		char kept = part[i];
		part[i] = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST) {
			/* On a read-only parent mkdir(2) may say EROFS before EEXIST: what counts is what is there. */
			int saved = errno;
			if (stat(part, &st) < 0)
				return -saved;
		}
		part[i] = kept;
	}
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
