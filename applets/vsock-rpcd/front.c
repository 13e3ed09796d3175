/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the front. It takes calls and reads what peers send, and has no rights for anything else. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/vsock-rpcd/front.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/net/vsock.h"
#include "common/sys/memory.h"

enum {
	ACCEPT_MS = 50, ACCEPT_MAX_MS = 1000, /* the pauses of accept(2) while something it needs has run out */
	ACCEPT_TURN = 32,                     /* accepted at once, before connections get their turn */
};

/* ---- connections ---- */

static void end_if_done(struct rpcd *rpcd)
{
	bool more = false;

	for (int i = 0; i < rpcd->listeners_len; i++)
		more |= rpcd->listeners[i].addr.kind != GB_ADDR_STDIO || rpcd->listeners[i].single;
	if (rpcd->conns_len == 0 && (!more || rpcd->stopping))
		gb_loop_stop(&rpcd->loop, 0);
}

/* A connection is over; a port is opened anew (the device may have been taken out and put back). */
static void on_closed(struct gb_conn *conn)
{
	struct rpcd *rpcd = rpcd_of(conn);

	rpcd_channel_detach(rpcd_client_of(conn));
	for (int i = 0; i < rpcd->listeners_len; i++) {
		struct rpcd_listener *listener = &rpcd->listeners[i];
		if (listener->single != conn)
			continue;
		listener->single = NULL;
		if (listener->addr.kind == GB_ADDR_VIRTIO && !rpcd->stopping)
			rpcd_front_word(rpcd, RPCD_REOPEN, (uint32_t)i);
	}
	rpcd_client_free(rpcd_client_of(conn));
	end_if_done(rpcd);
}

static int start(struct rpcd_client *client, int rfd, int wfd)
{
	int r = gb_conn_start(&client->conn, rfd, wfd);

	if (r < 0) {
		gb_log(GB_LOG_WARNING, "%s: epoll: %s", client->conn.name, strerror(-r));
		rpcd_client_free(client);
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
		return peer->uid == 0 || peer->uid == rpcd->uid;
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
	struct rpcd_client *client = rpcd_client_new(rpcd, GB_CONN_SOCKET, name);
	if (!client) {
		turn_away(fd, GB_RPC_UNAVAILABLE, name, "out of memory");
		return;
	}
	int taken = gb_take_fd(&fd);
	(void)start(client, taken, taken);
}

static void on_accept(struct gb_io *io, uint32_t events)
{
	struct rpcd_listener *listener = (struct rpcd_listener *)((char *)io - offsetof(struct rpcd_listener, io));

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

static void on_accept_timer(struct gb_timer *timer)
{
	struct rpcd_listener *listener = (struct rpcd_listener *)((char *)timer - offsetof(struct rpcd_listener, timer));

	if (gb_loop_add(&listener->rpcd->loop, &listener->io) < 0)
		gb_loop_timer(&listener->rpcd->loop, timer, listener->pause);
}

/* stdio, or a port: its one connection. */
static void serve(struct rpcd_listener *listener)
{
	int rfd = gb_take_fd(&listener->rfd), wfd = gb_take_fd(&listener->wfd);
	struct rpcd_client *client = rpcd_client_new(listener->rpcd, listener->kind, listener->name);

	if (!client || start(client, rfd, wfd) < 0)
		gb_loop_stop(&listener->rpcd->loop, 1);
	else
		listener->single = &client->conn;
}

/* ---- the helper's words ---- */

static struct rpcd *of_link(struct rpcd_link *link)
{
	return (struct rpcd *)((char *)link - offsetof(struct rpcd, link));
}

static void on_listen(struct rpcd *rpcd, uint32_t id, int fd)
{
	struct rpcd_listener *listener = &rpcd->listeners[id];

	if (fd < 0) {
		gb_log(GB_LOG_ERR, "front: %s: its descriptor got lost: no room for it", listener->name);
		gb_loop_stop(&rpcd->loop, 1);
	} else if (listener->addr.kind == GB_ADDR_VIRTIO) {
		listener->kind = GB_CONN_PORT;
		listener->rfd = listener->wfd = fd;
		serve(listener);
	} else {
		listener->io.fd = fd;
		if (gb_loop_add(&rpcd->loop, &listener->io) < 0)
			gb_loop_stop(&rpcd->loop, 1);
	}
}

static void finish_all(struct rpcd *rpcd)
{
	struct gb_conn *conn, *next;

	rpcd->stopping = true;
	rpcd_unlisten(rpcd);
	TAILQ_FOREACH_SAFE(conn, &rpcd->conns, link, next)
		gb_conn_finish(conn);
	end_if_done(rpcd);
}

static void on_word(struct rpcd_link *link, const struct rpcd_word *word, int given)
{
	struct rpcd *rpcd = of_link(link);
	gb_autoclose int fd = given;
	struct gb_conn *conn;

	switch (word->kind) {
	case RPCD_LISTEN: on_listen(rpcd, word->id, gb_take_fd(&fd)); break;
	case RPCD_DIALLED: rpcd_proxy_dialled(rpcd, word->code, gb_take_fd(&fd)); break;
	case RPCD_LOG:
		if (fd >= 0)
			(void)gb_log_replace(gb_take_fd(&fd));
		break;
	case RPCD_STOP: finish_all(rpcd); break;
	case RPCD_DELIVER:
		TAILQ_FOREACH(conn, &rpcd->conns, link) {
			if (rpcd_client_of(conn)->id == word->id && conn->attached)
				break;
		}
		if (conn) {
			rpcd_channel_deliver(rpcd_client_of(conn));
		} else {
			rpcd_front_word(rpcd, RPCD_DELIVERED, word->id);
		}
		break;
	}
}

static void on_gone(struct rpcd_link *link)
{
	gb_log(GB_LOG_ERR, "front: the helper is gone");
	gb_loop_stop(&of_link(link)->loop, 1);
}

void rpcd_front_prepare(struct rpcd *rpcd)
{
	rpcd->front = true;
	TAILQ_INIT(&rpcd->conns);
	TAILQ_INIT(&rpcd->asking);
	rpcd->conns_len = rpcd->sessions_len = 0;
	rpcd->host.loop = &rpcd->loop;
	rpcd->host.closed = on_closed;
	rpcd_channel_prepare(&rpcd->host);
	rpcd->host.idle_ms = rpcd->idle_ms;
	rpcd->host.frame_ms = rpcd->frame_ms;
	rpcd->link = (struct rpcd_link){ .loop = &rpcd->loop, .word = on_word, .gone = on_gone };
}

int rpcd_front_run(struct rpcd *rpcd, int link)
{
	struct gb_conn *conn;
	struct gb_err err;
	pid_t helper = getppid();

	(void)prctl(PR_SET_NAME, "rpcd-front");
	rpcd_front_close_others(rpcd, link);
	rpcd_front_prepare(rpcd);
	int r = gb_loop_open(&rpcd->loop);
	if (r == 0)
		r = rpcd_link_open(&rpcd->link, link);
	if (r < 0)
		(void)gb_err_sys(&err, -r, "epoll");
	if (r == 0)
		r = rpcd_proxy_open(rpcd, &err);
	if (r < 0) {
		gb_log(GB_LOG_ERR, "front: %s", err.msg);
		return RPCD_FRONT_UNFIT;
	}
	rpcd_resume_watch(rpcd);
	if (rpcd_front_confine(rpcd) < 0)
		return RPCD_FRONT_UNFIT;
	for (int i = 0; i < rpcd->listeners_len && !rpcd->loop.stopped; i++) {
		struct rpcd_listener *listener = &rpcd->listeners[i];
		listener->timer = (struct gb_timer){ .fn = on_accept_timer };
		listener->pause = ACCEPT_MS;
		listener->failed = 0;
		listener->single = NULL;
		listener->io = (struct gb_io){ .fd = listener->io.fd, .events = EPOLLIN, .fn = on_accept };
		if (listener->rfd >= 0)
			serve(listener);
		else if (listener->io.fd >= 0 && gb_loop_add(&rpcd->loop, &listener->io) < 0)
			return RPCD_FRONT_UNFIT;
	}
	gb_memory_settle();
	r = getppid() == helper ? gb_loop_run(&rpcd->loop) : 1;
	rpcd->stopping = true;
	while ((conn = TAILQ_FIRST(&rpcd->conns)))
		gb_conn_end(conn);
	rpcd_unlisten(rpcd);
	rpcd_proxy_close(rpcd);
	rpcd_link_close(&rpcd->link);
	gb_loop_close(&rpcd->loop);
	return r == 0 ? 0 : 1;
}
