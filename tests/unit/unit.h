/* SPDX-License-Identifier: MIT */
/* cmocka wants these before its own header. */
#ifndef GB_UNIT_H
#define GB_UNIT_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

/* How many descriptors this process has open, and as many more as looking takes: to be compared with itself. */
static inline size_t unit_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

/* Sends this by a socket, and fd with it so many times: at most eight. */
static inline void unit_send_fds(int to, const void *data, size_t len, int fd, int count)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	size_t size = (size_t)count * sizeof fd;
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size) } };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = count ? &control : NULL,
			      .msg_controllen = count ? CMSG_SPACE(size) : 0 };

	for (int i = 0; i < count; i++)
		memcpy(CMSG_DATA(&control.head) + (size_t)i * sizeof fd, &fd, sizeof fd);
	assert_int_equal(sendmsg(to, &msg, MSG_NOSIGNAL), len);
}

/* The path of name in dir, which stays as it is for four calls. */
static inline const char *unit_path(const char *dir, const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	assert_in_range(snprintf(path, sizeof paths[0], "%s/%s", dir, name), 1, sizeof paths[0] - 1);
	return path;
}

#endif
