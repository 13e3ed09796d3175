/* SPDX-License-Identifier: MIT */
/* Stream addresses. */
#include "common/net/addr.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/mono.h"
#include "common/base/parse.h"
#include "common/net/virtio.h"
#include "common/net/vsock.h"

union sockany {
	struct sockaddr sa;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
	struct sockaddr_in in;
};

_Static_assert(sizeof(((struct gb_addr *)0)->name) == sizeof(((struct sockaddr_un *)0)->sun_path),
	       "a path that fits one fits the other");

static int bad(struct gb_err *err, const char *text, const char *why)
{
	return gb_err_set(err, GB_E_USAGE, "address \"%s\": %s", text, why);
}

static int parse_vsock(const char *text, const char *rest, struct gb_addr *addr, struct gb_err *err)
{
	const char *colon = strchr(rest, ':');

	addr->cid = VMADDR_CID_ANY;
	if (colon) {
		if (!gb_parse_u32(rest, (size_t)(colon - rest), &addr->cid))
			return bad(err, text, "the CID is not a number of 32 bits");
		rest = colon + 1;
	}
	if (!gb_parse_u32(rest, strlen(rest), &addr->port) || addr->port == VMADDR_PORT_ANY)
		return bad(err, text, "the port is not a number of 32 bits");
	return 0;
}

static int parse_path(const char *text, const char *path, size_t len, struct gb_addr *addr, struct gb_err *err)
{
	if (len == 0)
		return bad(err, text, "the path is missing");
	if (len >= sizeof addr->name)
		return bad(err, text, "the path is longer than a unix socket's may be (107 bytes)");
	memcpy(addr->name, path, len);
	addr->name[len] = '\0';
	return 0;
}

static int parse_fc(const char *text, const char *rest, struct gb_addr *addr, struct gb_err *err)
{
	const char *colon = strrchr(rest, ':');

	if (!colon || !gb_parse_u32(colon + 1, strlen(colon + 1), &addr->port))
		return bad(err, text, "the port is not a number of 32 bits");
	return parse_path(text, rest, (size_t)(colon - rest), addr, err);
}

static int parse_tcp(const char *text, const char *rest, struct gb_addr *addr, struct gb_err *err)
{
	const char *colon = strrchr(rest, ':');

	/* Frames carry no authentication: nothing but this machine's own loopback is ever a peer. */
	if (!colon || colon - rest != 9 || strncmp(rest, "127.0.0.1", 9) != 0)
		return bad(err, text, "only tcp:127.0.0.1:PORT is possible");
	if (!gb_parse_u32(colon + 1, strlen(colon + 1), &addr->port) || addr->port == 0 || addr->port > UINT16_MAX)
		return bad(err, text, "the port is not a number from 1 to 65535");
	return 0;
}

static int parse_virtio(const char *text, const char *rest, struct gb_addr *addr, struct gb_err *err)
{
	if (!*rest)
		return bad(err, text, "the port's name is missing");
	if (strlcpy(addr->name, rest, sizeof addr->name) >= sizeof addr->name)
		return bad(err, text, "the port's name is too long");
	return 0;
}

int gb_addr_parse(const char *text, struct gb_addr *ret_addr, struct gb_err *err)
{
	struct gb_addr addr = { .cid = VMADDR_CID_ANY };
	int r;

	if (strncmp(text, "vsock:", 6) == 0) {
		addr.kind = GB_ADDR_VSOCK;
		r = parse_vsock(text, text + 6, &addr, err);
	} else if (strncmp(text, "unix:", 5) == 0) {
		addr.kind = GB_ADDR_UNIX;
		r = parse_path(text, text + 5, strlen(text + 5), &addr, err);
		if (r == 0 && strcmp(addr.name, "@") == 0)
			r = bad(err, text, "the abstract name is missing");
	} else if (strncmp(text, "virtio:", 7) == 0) {
		addr.kind = GB_ADDR_VIRTIO;
		r = parse_virtio(text, text + 7, &addr, err);
	} else if (strncmp(text, "fc:", 3) == 0) {
		addr.kind = GB_ADDR_FC;
		r = parse_fc(text, text + 3, &addr, err);
	} else if (strncmp(text, "tcp:", 4) == 0) {
		addr.kind = GB_ADDR_TCP;
		r = parse_tcp(text, text + 4, &addr, err);
	} else if (strcmp(text, "stdio") == 0) {
		addr.kind = GB_ADDR_STDIO;
		r = 0;
	} else {
		r = bad(err, text, "none of vsock:[CID:]PORT, unix:PATH, virtio:PORTNAME, fc:PATH:PORT, "
				   "tcp:127.0.0.1:PORT, stdio");
	}
	if (r == 0)
		*ret_addr = addr;
	return r;
}

const char *gb_addr_format(const struct gb_addr *addr, char *text)
{
	switch (addr->kind) {
	case GB_ADDR_VSOCK:
		if (addr->cid == VMADDR_CID_ANY)
			(void)snprintf(text, GB_ADDR_TEXT, "vsock:%u", addr->port);
		else
			(void)snprintf(text, GB_ADDR_TEXT, "vsock:%u:%u", addr->cid, addr->port);
		break;
	case GB_ADDR_UNIX: (void)snprintf(text, GB_ADDR_TEXT, "unix:%s", addr->name); break;
	case GB_ADDR_VIRTIO: (void)snprintf(text, GB_ADDR_TEXT, "virtio:%s", addr->name); break;
	case GB_ADDR_FC: (void)snprintf(text, GB_ADDR_TEXT, "fc:%s:%u", addr->name, addr->port); break;
	case GB_ADDR_TCP: (void)snprintf(text, GB_ADDR_TEXT, "tcp:127.0.0.1:%u", addr->port); break;
	case GB_ADDR_STDIO: (void)strlcpy(text, "stdio", GB_ADDR_TEXT); break;
	}
	return text;
}

/* The socket address: its length. */
static socklen_t encode(const struct gb_addr *addr, union sockany *any)
{
	memset(any, 0, sizeof *any);
	switch (addr->kind) {
	case GB_ADDR_VSOCK:
		any->vm.svm_family = AF_VSOCK;
		any->vm.svm_cid = addr->cid;
		any->vm.svm_port = addr->port;
		return sizeof any->vm;
	case GB_ADDR_TCP:
		any->in.sin_family = AF_INET;
		any->in.sin_port = htons((uint16_t)addr->port);
		any->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof any->in;
	default: {
		size_t len = strlen(addr->name);
		any->un.sun_family = AF_UNIX;
		memcpy(any->un.sun_path, addr->name, len);
		if (addr->name[0] == '@') { /* an abstract name is exactly as long as the length says (unix(7)) */
			any->un.sun_path[0] = '\0';
			return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
		}
		return sizeof any->un;
	}
	}
}

/* A stream socket for an address, non-blocking: the descriptor, or -errno with err set. text: the address. */
static int open_socket(const struct gb_addr *addr, const char *text, struct gb_err *err)
{
	int family = addr->kind == GB_ADDR_VSOCK ? AF_VSOCK : addr->kind == GB_ADDR_TCP ? AF_INET : AF_UNIX;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? gb_err_sys(err, errno, "%s: socket", text) : fd;
}

/* Whether a socket file is left over from a process that is gone: nobody listens there any more. */
static bool is_stale(const struct gb_addr *addr, const union sockany *any, socklen_t len)
{
	struct stat st;

	if (addr->kind != GB_ADDR_UNIX || addr->name[0] == '@' || lstat(addr->name, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	gb_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 && connect(fd, &any->sa, len) < 0 && errno == ECONNREFUSED;
}

int gb_addr_listen(const struct gb_addr *addr, struct gb_err *err)
{
	union sockany any;
	char text[GB_ADDR_TEXT];

	(void)gb_addr_format(addr, text);
	if (addr->kind != GB_ADDR_VSOCK && addr->kind != GB_ADDR_UNIX)
		return gb_err_set(err, EINVAL, "%s: not an address to listen on", text);
	gb_autoclose int fd = open_socket(addr, text, err);
	if (fd < 0)
		return fd;
	socklen_t len = encode(addr, &any);
	/* The mode of the file is taken from the socket (fchmod(2) before bind(2)): no moment with a wider one. */
	if (addr->kind == GB_ADDR_UNIX && fchmod(fd, 0600) < 0)
		return gb_err_sys(err, errno, "%s: fchmod", text);
	int r = bind(fd, &any.sa, len);
	if (r < 0 && errno == EADDRINUSE && is_stale(addr, &any, len) && unlink(addr->name) == 0)
		r = bind(fd, &any.sa, len);
	if (r < 0)
		return gb_err_sys(err, errno, "%s: bind", text);
	if (listen(fd, SOMAXCONN) < 0)
		return gb_err_sys(err, errno, "%s: listen", text);
	return gb_take_fd(&fd);
}

int gb_net_wait(int fd, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		uint64_t now = gb_mono_ms(), left = deadline > now ? deadline - now : 0;
		int n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && left == 0)
			return -ETIMEDOUT;
	}
}

/* Firecracker's greeting: "CONNECT port\n" is answered by "OK number\n", else the connection ends. */
static int fc_greet(int fd, const struct gb_addr *addr, uint64_t deadline, const char *text, struct gb_err *err)
{
	char line[32];
	int n = snprintf(line, sizeof line, "CONNECT %u\n", addr->port);

	if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != n)
		return gb_err_sys(err, errno, "%s: CONNECT", text);
	/* A byte a call: what follows the line belongs to the guest. */
	for (size_t at = 0; at < sizeof line - 1;) {
		int r = gb_net_wait(fd, POLLIN, deadline);
		if (r < 0)
			return gb_err_sys(err, -r, "%s: answer to CONNECT", text);
		ssize_t got = recv(fd, line + at, 1, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got < 0)
			return gb_err_sys(err, errno, "%s: answer to CONNECT", text);
		if (got == 0)
			return gb_err_set(err, ECONNREFUSED, "%s: nobody listens on port %u of the guest", text, addr->port);
		if (line[at] == '\n') {
			if (at >= 3 && strncmp(line, "OK ", 3) == 0)
				return 0;
			break;
		}
		at++;
	}
	return gb_err_set(err, EPROTO, "%s: the answer to CONNECT is not \"OK\"", text);
}

int gb_addr_connect(const struct gb_addr *addr, int timeout_ms, struct gb_err *err)
{
	union sockany any;
	char text[GB_ADDR_TEXT];
	uint64_t deadline = gb_mono_ms() + (uint64_t)timeout_ms;

	(void)gb_addr_format(addr, text);
	if (addr->kind == GB_ADDR_STDIO)
		return gb_err_set(err, EINVAL, "stdio: not an address to connect to");
	if (addr->kind == GB_ADDR_VIRTIO)
		return gb_virtio_open(addr->name, err);
	if (addr->kind == GB_ADDR_VSOCK && addr->cid == VMADDR_CID_ANY)
		return gb_err_set(err, GB_E_USAGE, "address \"%s\": which CID? (vsock:CID:PORT)", text);

	gb_autoclose int fd = open_socket(addr, text, err);
	if (fd < 0)
		return fd;
	socklen_t len = encode(addr, &any);
	while (connect(fd, &any.sa, len) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EISCONN)
			break;
		if (errno == EAGAIN) { /* a unix socket whose backlog is full (connect(2)): nothing to poll for */
			if (gb_mono_ms() >= deadline)
				return gb_err_sys(err, ETIMEDOUT, "%s: connect", text);
			(void)poll(NULL, 0, 5);
			continue;
		}
		if (errno != EINPROGRESS && errno != EALREADY)
			return gb_err_sys(err, errno, "%s: connect", text);
		int r = gb_net_wait(fd, POLLOUT, deadline), failed = 0;
		socklen_t size = sizeof failed;
		if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) < 0)
			r = -errno;
		if (r < 0 || failed)
			return gb_err_sys(err, r < 0 ? -r : failed, "%s: connect", text);
		break;
	}
	if (addr->kind == GB_ADDR_FC) {
		int r = fc_greet(fd, addr, deadline, text, err);
		if (r < 0)
			return r;
	}
	return gb_take_fd(&fd);
}

int gb_addr_dial(const struct gb_addr *addr, bool *ret_pending, struct gb_err *err)
{
	union sockany any;
	char text[GB_ADDR_TEXT];

	(void)gb_addr_format(addr, text);
	if (addr->kind != GB_ADDR_VSOCK && addr->kind != GB_ADDR_UNIX && addr->kind != GB_ADDR_TCP)
		return gb_err_set(err, EINVAL, "%s: not an address to dial", text);
	gb_autoclose int fd = open_socket(addr, text, err);
	if (fd < 0)
		return fd;
	socklen_t len = encode(addr, &any);
	int r;
	do
		r = connect(fd, &any.sa, len);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno != EINPROGRESS)
		return gb_err_sys(err, errno, "%s: connect", text);
	*ret_pending = r < 0;
	return gb_take_fd(&fd);
}

int gb_addr_peer(int fd, struct gb_peer *ret_peer)
{
	union sockany any = { 0 };
	socklen_t len = sizeof any;

	if (getpeername(fd, &any.sa, &len) < 0)
		return -errno;
	if (any.sa.sa_family == AF_VSOCK) {
		*ret_peer = (struct gb_peer){ .vsock = true, .cid = any.vm.svm_cid };
		return 0;
	}
	if (any.sa.sa_family == AF_UNIX) {
		struct ucred cred;
		socklen_t size = sizeof cred;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
			return -errno;
		*ret_peer = (struct gb_peer){ .uid = cred.uid, .pid = cred.pid };
		return 0;
	}
	return -EAFNOSUPPORT;
}
