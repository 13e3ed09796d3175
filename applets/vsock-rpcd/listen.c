/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: its addresses, opened by the helper. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/net/notify.h"
#include "common/net/virtio.h"
#include "common/net/vsock.h"
#include "common/sys/timeline.h"

enum {
	RETRY_MS = 120, RETRY_MAX_MS = 2000,  /* the pauses between tries to bind, each half as long again */
	TAKEN_MS = 5000,                      /* how long a unix socket may still be another daemon's */
};

static struct rpcd_listener *of_timer(struct gb_timer *timer)
{
	return (struct rpcd_listener *)((char *)timer - offsetof(struct rpcd_listener, timer));
}

int rpcd_listener_add(struct rpcd *rpcd, const char *text, struct gb_err *err)
{
	const struct gb_addr *own = &rpcd->listeners[rpcd->listeners_len].addr;

	for (int i = 0; i < rpcd->listeners_len; i++) {
		const struct gb_addr *a = &rpcd->listeners[i].addr;
		if (a->kind == own->kind && a->cid == own->cid && a->port == own->port && strcmp(a->name, own->name) == 0)
			return gb_err_set(err, GB_E_USAGE, "address \"%s\" stands there twice", text);
	}
	rpcd->listeners_len++;
	return 0;
}

/* Once every address is served: whoever waits for us is told. */
void rpcd_tell_ready(struct rpcd *rpcd)
{
	struct gb_err err;

	for (int i = 0; i < rpcd->listeners_len; i++) {
		if (!rpcd->listeners[i].up)
			return;
	}
	if (rpcd->notified)
		return;
	rpcd->notified = true;
	gb_timeline_mark("vsock-rpcd", "listening", rpcd->begun);
	if (rpcd->notify_fd >= 0 && gb_notify_fd(rpcd->notify_fd, "READY=1", &err) < 0)
		gb_log(GB_LOG_WARNING, "%s", err.msg);
	if (gb_notify_socket("READY=1", &err) < 0)
		gb_log(GB_LOG_WARNING, "%s", err.msg);
}

/* stdio as a connection of its own: private, non-blocking descriptors; nothing else writes to it from here on. */
static int take_stdio(int fd, int flags, enum gb_conn_kind *kind)
{
	struct gb_io_path path;
	struct stat st;
	int own = -1;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISSOCK(st.st_mode))
		*kind = GB_CONN_SOCKET;
	/* O_NONBLOCK belongs to the open file, which our parent may share: a second one is opened where that is possible
	 * (not of a socket, and a regular file has its position there). */
	if (!S_ISSOCK(st.st_mode) && !S_ISREG(st.st_mode))
		own = open(gb_io_path(fd, &path), flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (own < 0)
		own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return -errno;
	struct termios tio;
	if (tcgetattr(own, &tio) == 0) { /* a serial line: bytes as they are, no echo */
		cfmakeraw(&tio);
		(void)tcsetattr(own, TCSANOW, &tio);
	}
	return own;
}

static int open_stdio(struct rpcd_listener *listener, struct gb_err *err)
{
	enum gb_conn_kind in_kind = GB_CONN_PIPE, out_kind = GB_CONN_PIPE;
	gb_autoclose int in = take_stdio(STDIN_FILENO, O_RDONLY, &in_kind);
	gb_autoclose int out = take_stdio(STDOUT_FILENO, O_WRONLY, &out_kind);

	if (in < 0)
		return gb_err_sys(err, -in, "standard input");
	if (out < 0)
		return gb_err_sys(err, -out, "standard output");
	gb_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
	}
	listener->kind = in_kind == out_kind ? in_kind : GB_CONN_PIPE;
	listener->rfd = gb_take_fd(&in);
	listener->wfd = gb_take_fd(&out);
	return 0;
}

static int open_port(struct rpcd_listener *listener, struct gb_err *err)
{
	int fd = gb_virtio_open(listener->addr.name, err);

	if (fd < 0)
		return fd;
	listener->kind = GB_CONN_PORT;
	listener->rfd = listener->wfd = fd;
	return 0;
}

static int open_socket(struct rpcd_listener *listener, struct gb_err *err)
{
	int fd = gb_addr_listen(&listener->addr, err);

	if (fd < 0)
		return fd;
	listener->io.fd = fd;
	return 0;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Whether waiting can help: the address is in use by one that ends, the device or the transport is on its way. */
static bool may_pass(const struct rpcd_listener *listener, int code)
{
	switch (listener->addr.kind) {
	case GB_ADDR_VSOCK: return code == EADDRINUSE || code == EADDRNOTAVAIL || code == ENODEV || code == ENOMEM;
	case GB_ADDR_VIRTIO: return code == ENOENT || code == EBUSY || code == ENXIO || code == ENODEV || code == ENOMEM;
	case GB_ADDR_UNIX:
		/* The front of a daemon that was killed holds its socket for as long as it takes the kernel to end it. */
		return code == EADDRINUSE && listener->addr.name[0] != '@' && is_socket(listener->addr.name) &&
		       gb_loop_now(&listener->rpcd->loop) < listener->rpcd->opened + TAKEN_MS;
	default: return false;
	}
}

static int try_listen(struct rpcd_listener *listener, struct gb_err *err)
{
	int r = listener->addr.kind == GB_ADDR_STDIO    ? open_stdio(listener, err)
		: listener->addr.kind == GB_ADDR_VIRTIO ? open_port(listener, err)
							: open_socket(listener, err);
	if (r == 0) {
		listener->up = true;
		listener->pause = RETRY_MS;
		listener->failed = 0;
		if (listener->proxy)
			gb_log(GB_LOG_INFO, "listening on %s, for %s", listener->name, listener->target_name);
		else
			gb_log(GB_LOG_INFO, "listening on %s", listener->name);
		rpcd_helper_hand(listener);
		return 0;
	}
	if (!may_pass(listener, err->code))
		return r;
	if (listener->failed != err->code && listener->addr.kind != GB_ADDR_UNIX)
		gb_log(GB_LOG_WARNING, "%s; trying again", err->msg);
	listener->failed = err->code;
	gb_loop_timer(&listener->rpcd->loop, &listener->timer, listener->pause);
	listener->pause = listener->pause * 3 / 2 > RETRY_MAX_MS ? RETRY_MAX_MS : listener->pause * 3 / 2;
	return 0;
}

static void on_timer(struct gb_timer *timer)
{
	struct rpcd_listener *listener = of_timer(timer);
	struct gb_err err;

	if (try_listen(listener, &err) < 0) {
		gb_log(GB_LOG_ERR, "%s", err.msg);
		listener->rpcd->failed = err.code;
		gb_loop_stop(&listener->rpcd->loop, 1);
	}
}

void rpcd_reopen(struct rpcd_listener *listener)
{
	if (listener->rpcd->stopping)
		return;
	listener->pause = RETRY_MS;
	gb_loop_timer(&listener->rpcd->loop, &listener->timer, listener->pause);
}

int rpcd_listen(struct rpcd *rpcd, struct gb_err *err)
{
	rpcd->opened = gb_loop_now(&rpcd->loop);
	for (int i = 0; i < rpcd->listeners_len; i++) {
		struct rpcd_listener *listener = &rpcd->listeners[i];
		listener->rpcd = rpcd;
		listener->io.fd = listener->rfd = listener->wfd = -1;
		listener->timer.fn = on_timer;
		listener->pause = RETRY_MS;
		(void)gb_addr_format(&listener->addr, listener->name);
	}
	for (int i = 0; i < rpcd->listeners_len; i++) {
		int r = try_listen(&rpcd->listeners[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

void rpcd_unlisten(struct rpcd *rpcd)
{
	for (int i = 0; i < rpcd->listeners_len; i++) {
		struct rpcd_listener *listener = &rpcd->listeners[i];
		gb_loop_timer_stop(&listener->timer);
		gb_loop_del(&listener->io);
		if (listener->io.fd < 0)
			continue;
		if (!rpcd->front && listener->addr.kind == GB_ADDR_UNIX && listener->addr.name[0] != '@')
			(void)unlink(listener->addr.name);
		(void)close(listener->io.fd);
		listener->io.fd = -1;
	}
}
