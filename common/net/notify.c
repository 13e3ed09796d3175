/* SPDX-License-Identifier: MIT */
/* Readiness. */
#include "common/net/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/net/addr.h"

enum { VSOCK_WAIT_MS = 5000 };

static int to_vsock(const char *where, const char *state, struct gb_err *err)
{
	char text[GB_ADDR_TEXT];
	struct gb_addr addr;

	(void)snprintf(text, sizeof text, "vsock:%s", where);
	int r = gb_addr_parse(text, &addr, err);
	if (r < 0)
		return r;
	gb_autoclose int fd = gb_addr_connect(&addr, VSOCK_WAIT_MS, err);
	if (fd < 0)
		return fd;
	if (send(fd, state, strlen(state), MSG_NOSIGNAL) < 0)
		return gb_err_sys(err, errno, "NOTIFY_SOCKET %s", text);
	return 0;
}

int gb_notify_socket(const char *state, struct gb_err *err)
{
	const char *where = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (!where || !*where)
		return 0;
	if (strncmp(where, "vsock:", 6) == 0 || strncmp(where, "vsock-stream:", 13) == 0)
		return to_vsock(strchr(where, ':') + 1, state, err);
	size_t len = strlen(where);
	if ((where[0] != '/' && where[0] != '@') || len < 2 || len >= sizeof un.sun_path)
		return gb_err_set(err, EINVAL, "NOTIFY_SOCKET %s: neither a path, @name nor vsock:CID:PORT", where);
	memcpy(un.sun_path, where, len);
	if (where[0] == '@')
		un.sun_path[0] = '\0';
	gb_autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return gb_err_sys(err, errno, "NOTIFY_SOCKET: socket");
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&un,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		return gb_err_sys(err, errno, "NOTIFY_SOCKET %s", where);
	return 0;
}

int gb_notify_fd(int fd, const char *state, struct gb_err *err)
{
	char line[64];
	int n = snprintf(line, sizeof line, "%s\n", state);
	int r = gb_io_write(fd, line, (size_t)n);

	(void)close(fd);
	return r < 0 ? gb_err_sys(err, -r, "--notify-fd %d", fd) : 0;
}
