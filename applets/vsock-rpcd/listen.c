/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: its addresses, and who may call. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
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
#include "common/base/log.h"
#include "common/net/notify.h"
#include "common/net/virtio.h"
#include "common/sys/timeline.h"

enum {
	RETRY_MS = 120, RETRY_MAX_MS = 2000,  /* the pauses between tries to bind, each half as long again */
	ACCEPT_MS = 50, ACCEPT_MAX_MS = 1000, /* the pauses of accept(2) while something it needs has run out */
	ACCEPT_TURN = 32,                     /* accepted at once, before connections get their turn */
};

static struct rpcd_listener *of_timer(struct gb_timer *timer)
{
	return (struct rpcd_listener *)((char *)timer - offsetof(struct rpcd_listener, timer));
}

static struct rpcd_listener *of_io(struct gb_io *io)
{
	return (struct rpcd_listener *)((char *)io - offsetof(struct rpcd_listener, io));
}

/* Once every address is served: whoever waits for us is told. */
static void tell_ready(struct rpcd *rpcd)
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

static struct gb_conn *new_conn(struct rpcd *rpcd, enum gb_conn_kind kind, const char *name)
{
	struct gb_conn *conn = calloc(1, sizeof *conn);

	if (!conn)
		return NULL;
	conn->host = &rpcd->host;
	conn->kind = kind;
	(void)strlcpy(conn->name, name, sizeof conn->name);
	TAILQ_INSERT_TAIL(&rpcd->conns, conn, link);
	rpcd->conns_len++;
	return conn;
}

static void free_conn(struct gb_conn *conn)
{
	struct rpcd *rpcd = rpcd_of(conn);

	TAILQ_REMOVE(&rpcd->conns, conn, link);
	rpcd->conns_len--;
	free(conn);
}

static int start_conn(struct gb_conn *conn, int rfd, int wfd)
{
	int r = gb_conn_start(conn, rfd, wfd);

	if (r < 0) {
		gb_log(GB_LOG_WARNING, "%s: epoll: %s", conn->name, strerror(-r));
		free_conn(conn);
	}
	return r;
}

/* Tells a caller that is not served why, as far as its socket takes it without waiting. */
static void turn_away(int fd, int code, const char *name, const char *text)
{
	unsigned char frame[GB_FRAME_HEAD + GB_FRAME_ERROR_HEAD + 256];
	size_t len = strlen(text);

	gb_log(GB_LOG_NOTICE, "%s: turned away: %s", name, text);
	if (len > 256 || gb_frame_head(frame, GB_WIRE_ERROR, 0, GB_FRAME_ERROR_HEAD + len) < 0)
		return;
	gb_frame_error_head(frame + GB_FRAME_HEAD, code, len);
	memcpy(frame + GB_FRAME_HEAD + GB_FRAME_ERROR_HEAD, text, len);
	ssize_t n = send(fd, frame, GB_FRAME_HEAD + GB_FRAME_ERROR_HEAD + len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)n; /* it is gone, or takes nothing: so be it */
	(void)shutdown(fd, SHUT_WR);
}

static bool may_call(const struct rpcd *rpcd, const struct gb_peer *peer)
{
	if (!peer->vsock)
		return peer->uid == 0 || peer->uid == geteuid();
	for (int i = 0; i < rpcd->cids_len; i++) {
		if (rpcd->cids[i] == peer->cid || rpcd->cids[i] == VMADDR_CID_ANY)
			return true;
	}
	return false;
}

static void welcome(struct rpcd_listener *listener, int accepted)
{
	struct rpcd *rpcd = listener->rpcd;
	gb_autoclose int fd = accepted;
	struct gb_peer peer;
	char name[64], why[128];

	int r = gb_addr_peer(fd, &peer);
	if (r < 0) {
		gb_log(GB_LOG_DEBUG, "%s: who calls: %s", listener->name, strerror(-r)); /* gone again already */
		return;
	}
	if (peer.vsock)
		(void)snprintf(name, sizeof name, "vsock CID %u", peer.cid);
	else
		(void)snprintf(name, sizeof name, "pid %d", (int)peer.pid);
	if (listener->proxy) {
		/* Its bytes are the target's own protocol: whoever is turned away gets none. */
		if (may_call(rpcd, &peer))
			rpcd_proxy_accept(listener, gb_take_fd(&fd), name);
		else
			gb_log(GB_LOG_NOTICE, "%s: %s may not use this proxy", listener->name, name);
		return;
	}
	if (!may_call(rpcd, &peer)) {
		if (peer.vsock)
			(void)snprintf(why, sizeof why, "CID %u may not call this daemon (--allow-cid)", peer.cid);
		else
			(void)snprintf(why, sizeof why, "user %u may not call this daemon", (unsigned)peer.uid);
		turn_away(fd, GB_RPC_FORBIDDEN, name, why);
		return;
	}
	if (rpcd->conns_len >= rpcd->conns_max) {
		(void)snprintf(why, sizeof why, "all %u connections are in use", rpcd->conns_max);
		turn_away(fd, GB_RPC_UNAVAILABLE, name, why);
		return;
	}
	struct gb_conn *conn = new_conn(rpcd, GB_CONN_SOCKET, name);
	if (!conn) {
		turn_away(fd, GB_RPC_UNAVAILABLE, name, "out of memory");
		return;
	}
	int taken = gb_take_fd(&fd);
	(void)start_conn(conn, taken, taken);
}

static void on_accept(struct gb_io *io, uint32_t events)
{
	struct rpcd_listener *listener = of_io(io);

	(void)events;
	for (int i = 0; i < ACCEPT_TURN; i++) {
		int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			listener->pause = ACCEPT_MS;
			listener->failed = 0;
			welcome(listener, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO)
			continue;
		/* EMFILE, ENFILE, ENOMEM...: it would be told again at once, for as long as it lasts. */
		if (listener->failed != errno)
			gb_log(GB_LOG_ERR, "%s: accept: %s; trying again", listener->name, strerror(errno));
		listener->failed = errno;
		gb_loop_del(io);
		gb_loop_timer(&listener->rpcd->loop, &listener->timer, listener->pause);
		listener->pause = listener->pause * 2 > ACCEPT_MAX_MS ? ACCEPT_MAX_MS : listener->pause * 2;
		return;
	}
}

/* stdio as a connection of its own: private, non-blocking descriptors; nothing else writes to it from here on. */
static int take_stdio(int fd, int flags, enum gb_conn_kind *kind)
{
	char path[32];
	struct stat st;
	int own = -1;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISSOCK(st.st_mode))
		*kind = GB_CONN_SOCKET;
	/* O_NONBLOCK belongs to the open file, which our parent may share: a second one is opened where that is possible
	 * (not of a socket, and a regular file has its position there). */
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!S_ISSOCK(st.st_mode) && !S_ISREG(st.st_mode))
		own = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
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
	struct gb_conn *conn = new_conn(listener->rpcd, in_kind == out_kind ? in_kind : GB_CONN_PIPE, "stdio");
	if (!conn)
		return gb_err_sys(err, ENOMEM, "stdio");
	int r = start_conn(conn, gb_take_fd(&in), gb_take_fd(&out));
	if (r < 0)
		return gb_err_sys(err, -r, "stdio");
	listener->single = conn;
	return 0;
}

static int open_port(struct rpcd_listener *listener, struct gb_err *err)
{
	gb_autoclose int fd = gb_virtio_open(listener->addr.name, err);

	if (fd < 0)
		return fd;
	struct gb_conn *conn = new_conn(listener->rpcd, GB_CONN_PORT, listener->name);
	if (!conn)
		return gb_err_sys(err, ENOMEM, "%s", listener->name);
	int taken = gb_take_fd(&fd);
	int r = start_conn(conn, taken, taken);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", listener->name);
	listener->single = conn;
	return 0;
}

static int open_socket(struct rpcd_listener *listener, struct gb_err *err)
{
	int fd = gb_addr_listen(&listener->addr, err);

	if (fd < 0)
		return fd;
	listener->io = (struct gb_io){ .fd = fd, .events = EPOLLIN, .fn = on_accept };
	int r = gb_loop_add(&listener->rpcd->loop, &listener->io);
	if (r < 0) {
		(void)close(fd);
		listener->io.fd = -1;
		return gb_err_sys(err, -r, "%s: epoll", listener->name);
	}
	return 0;
}

/* Whether waiting can help: the address is in use by one that ends, the device or the transport is on its way. */
static bool may_pass(const struct rpcd_listener *listener, int code)
{
	switch (listener->addr.kind) {
	case GB_ADDR_VSOCK: return code == EADDRINUSE || code == EADDRNOTAVAIL || code == ENODEV || code == ENOMEM;
	case GB_ADDR_VIRTIO: return code == ENOENT || code == EBUSY || code == ENXIO || code == ENODEV || code == ENOMEM;
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
		listener->pause = ACCEPT_MS;
		listener->failed = 0;
		if (listener->proxy)
			gb_log(GB_LOG_INFO, "listening on %s, for %s", listener->name, listener->target_name);
		else
			gb_log(GB_LOG_INFO, "listening on %s", listener->name);
		tell_ready(listener->rpcd);
		return 0;
	}
	if (!may_pass(listener, err->code))
		return r;
	if (listener->failed != err->code)
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
	int r;

	if (listener->io.fd >= 0) {
		r = gb_loop_add(&listener->rpcd->loop, &listener->io);
		if (r < 0)
			gb_loop_timer(&listener->rpcd->loop, timer, listener->pause);
		return;
	}
	r = try_listen(listener, &err);
	if (r < 0) {
		gb_log(GB_LOG_ERR, "%s", err.msg);
		listener->rpcd->failed = err.code;
		gb_loop_stop(&listener->rpcd->loop, 1);
	}
}

/* A connection is over; a port is opened anew (the device may have been taken out and put back). */
static void on_closed(struct gb_conn *conn)
{
	struct rpcd *rpcd = rpcd_of(conn);

	rpcd_job_forget(conn);
	for (int i = 0; i < rpcd->listeners_len; i++) {
		struct rpcd_listener *listener = &rpcd->listeners[i];
		if (listener->single != conn)
			continue;
		listener->single = NULL;
		if (listener->addr.kind == GB_ADDR_VIRTIO && !rpcd->stopping) {
			listener->pause = RETRY_MS;
			gb_loop_timer(&rpcd->loop, &listener->timer, listener->pause);
		}
	}
	free_conn(conn);
	bool more = false;
	for (int i = 0; i < rpcd->listeners_len; i++)
		more |= rpcd->listeners[i].io.fd >= 0 || rpcd->listeners[i].single || rpcd->listeners[i].timer.loop;
	if (rpcd->conns_len == 0 && (!more || rpcd->stopping))
		gb_loop_stop(&rpcd->loop, 0);
}

int rpcd_listen(struct rpcd *rpcd, struct gb_err *err)
{
	rpcd->host.frame = rpcd_dispatch;
	rpcd->host.closed = on_closed;
	for (int i = 0; i < rpcd->listeners_len; i++) {
		struct rpcd_listener *listener = &rpcd->listeners[i];
		listener->rpcd = rpcd;
		listener->io.fd = -1;
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
		if (listener->addr.kind == GB_ADDR_UNIX && listener->addr.name[0] != '@')
			(void)unlink(listener->addr.name);
		(void)close(listener->io.fd);
		listener->io.fd = -1;
	}
}
