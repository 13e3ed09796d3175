/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the front. It takes calls and reads what peers send, and has no rights for anything else. */
#include <bsd/string.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/net/vsock.h"
#include "common/sys/confine.h"
#include "common/sys/memory.h"

enum {
	ACCEPT_MS = 50, ACCEPT_MAX_MS = 1000, /* the pauses of accept(2) while something it needs has run out */
	ACCEPT_TURN = 32,                     /* accepted at once, before connections get their turn */
	BACK_TURN = 8,                        /* reads of a channel at once, likewise */
	/* A user and a group of nobody else's: above what is given to people and services, below "nobody". */
	FRONT_ID = 65521,
};

static void send_word(struct rpcd *rpcd, enum rpcd_word_kind kind, uint32_t id)
{
	struct rpcd_word word = { .kind = kind, .id = id };
	int r = rpcd_link_send(&rpcd->link, &word, -1);

	if (r < 0)
		gb_log(GB_LOG_ERR, "front: word to the helper: %s", strerror(-r));
}

/* ---- requests that the helper answers ---- */

static struct rpcd_client *of_channel(struct gb_io *io)
{
	return (struct rpcd_client *)((char *)io - offsetof(struct rpcd_client, channel));
}

static size_t waiting(const struct rpcd_client *client)
{
	return client->pending.len - client->pending_at;
}

static void drop_pending(struct rpcd_client *client)
{
	gb_buf_free(&client->pending);
	client->pending_at = 0;
}

static void detach(struct rpcd_client *client)
{
	if (!client->conn.attached)
		return;
	gb_loop_del(&client->channel);
	gb_close_fd(&client->channel.fd);
	client->channel.fd = -1;
	if (waiting(client))
		client->conn.held = false;
	drop_pending(client);
	client->conn.attached = false;
	client->shut = false;
	if (client->deliver)
		send_word(rpcd_of(&client->conn), RPCD_DELIVERED, client->id);
	client->deliver = false;
}

/* Sends what waits for the channel. Whether all of it is out. */
static bool push(struct rpcd_client *client)
{
	while (waiting(client)) {
		ssize_t n = send(client->channel.fd, client->pending.data + client->pending_at, waiting(client),
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) { /* the helper has closed it; its last words are still to be read */
			client->conn.closing = true;
			break;
		}
		client->pending_at += (size_t)n;
	}
	drop_pending(client);
	return true;
}

static void forward(struct rpcd_client *client, const void *data, size_t len)
{
	if (gb_buf_add(&client->pending, data, len) < 0) {
		gb_log(GB_LOG_ERR, "%s: out of memory for a request", client->conn.name);
		gb_conn_end(&client->conn);
		return;
	}
	if (!push(client))
		gb_conn_hold(&client->conn);
}

/* A whole frame, as it came. */
static void forward_frame(struct rpcd_client *client, const struct gb_frame *frame)
{
	const unsigned char *start = frame->trace - GB_FRAME_HEAD;
	size_t len = GB_FRAME_HEAD + frame->trace_len + frame->payload_len;

	if (!waiting(client)) { /* nearly always there is room, and nothing is to be kept */
		ssize_t n = send(client->channel.fd, start, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			start += n;
			len -= (size_t)n;
		}
	}
	if (len)
		forward(client, start, len);
}

/* An answer of our own, to take its place behind those that the helper has yet to give. */
static void answer_in_turn(struct rpcd_client *client, const void *trace, size_t trace_len, const char *text)
{
	unsigned char head[GB_FRAME_HEAD], inner[GB_FRAME_ERROR_HEAD];
	gb_autobuf struct gb_buf frame = { 0 };
	size_t len = strlen(text);

	gb_frame_error_head(inner, GB_RPC_INVALID, len);
	if (gb_frame_head(head, GB_WIRE_ERROR, trace_len, sizeof inner + len) < 0)
		return; /* a trace id has 64 KiB at most, the text one */
	(void)gb_buf_add(&frame, head, sizeof head);
	(void)gb_buf_add(&frame, trace, trace_len);
	(void)gb_buf_add(&frame, inner, sizeof inner);
	(void)gb_buf_add(&frame, text, len);
	if (frame.failed)
		gb_conn_end(&client->conn);
	else
		forward(client, frame.data, frame.len);
}

/* Input of an exec session has no form, and no end before the session's; whether there is one, the helper knows. */
static void on_input(struct gb_conn *conn, const void *data, size_t len)
{
	forward(rpcd_client_of(conn), data, len);
}

static void on_wrong(struct gb_conn *conn, const char *why)
{
	char text[256];

	(void)snprintf(text, sizeof text, "invalid request: %s", why);
	answer_in_turn(rpcd_client_of(conn), NULL, 0, text);
}

/* After each turn: what the channel is waited for, and whether it is time for more. */
static void on_turned(struct gb_conn *conn)
{
	struct rpcd_client *client = rpcd_client_of(conn);

	if (!conn->attached)
		return;
	if (!waiting(client) && !client->shut && (conn->closing || (conn->ended && !conn->held))) {
		(void)shutdown(client->channel.fd, SHUT_WR); /* ENOTCONN: the helper's end is closed */
		client->shut = true;
	}
	uint32_t want = (gb_conn_takes(conn) ? EPOLLIN : 0) | (waiting(client) ? EPOLLOUT : 0);
	int r = 0;
	if (!want) {
		gb_loop_del(&client->channel); /* a hang-up would be told again and again */
	} else if (client->channel.loop) {
		r = gb_loop_mod(&client->channel, want);
	} else {
		client->channel.events = want;
		r = gb_loop_add(&rpcd_of(conn)->loop, &client->channel);
	}
	if (r < 0) {
		gb_log(GB_LOG_ERR, "%s: epoll: %s", conn->name, strerror(-r));
		gb_conn_end(conn);
		return;
	}
	char byte;
	if (client->deliver && conn->tx.len == conn->tx_at &&
	    recv(client->channel.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
		client->deliver = false;
		send_word(rpcd_of(conn), RPCD_DELIVERED, client->id);
	}
}

/* The helper has closed the channel: all that was to be answered is. */
static void on_channel_end(struct rpcd_client *client)
{
	struct gb_conn *conn = &client->conn;

	detach(client);
	if (rpcd_of(conn)->stopping)
		gb_conn_finish(conn);
	else if (conn->kind == GB_CONN_PORT)
		gb_conn_turn(conn); /* it stays open for the next request */
	else
		gb_conn_linger(conn); /* an exec session's peer may still be sending: what it has not read yet must not be lost */
}

static void on_channel(struct gb_io *io, uint32_t events)
{
	struct rpcd_client *client = of_channel(io);
	struct gb_conn *conn = &client->conn;
	struct rpcd *rpcd = rpcd_of(conn);

	for (int i = 0; i < BACK_TURN && gb_conn_takes(conn); i++) {
		ssize_t n = recv(io->fd, rpcd->host.scratch, sizeof rpcd->host.scratch, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			on_channel_end(client);
			return;
		}
		int r = gb_conn_pass(conn, rpcd->host.scratch, (size_t)n);
		if (r == -ENOMEM)
			gb_log(GB_LOG_ERR, "%s: out of memory for a reply", conn->name);
		if (r < 0) {
			gb_conn_end(conn);
			return;
		}
		if ((size_t)n < sizeof rpcd->host.scratch)
			break;
	}
	if (events & EPOLLOUT && waiting(client) && push(client))
		gb_conn_resume(conn);
	else
		gb_conn_turn(conn);
}

/* A channel of this client's own. 0 or -errno. */
static int attach(struct rpcd_client *client)
{
	struct gb_conn *conn = &client->conn;
	struct rpcd *rpcd = rpcd_of(conn);
	struct rpcd_word word = { .kind = RPCD_OPEN, .id = client->id, .code = conn->kind };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	(void)strlcpy(word.text, conn->name, sizeof word.text);
	client->channel = (struct gb_io){ .fd = pair[0], .events = EPOLLIN, .fn = on_channel };
	int r = gb_loop_add(&rpcd->loop, &client->channel);
	if (r < 0)
		(void)close(pair[1]);
	else
		r = rpcd_link_send(&rpcd->link, &word, pair[1]);
	if (r < 0) {
		gb_loop_del(&client->channel);
		(void)close(pair[0]);
		client->channel.fd = -1;
		return r;
	}
	conn->attached = true;
	return 0;
}

/* A Ping that needs nobody else. */
static bool answered_here(struct gb_conn *conn, const struct gb_frame *frame)
{
	gb_autopb ProtobufCMessage *request = NULL;
	struct gb_err err;

	if (frame->type != GB_WIRE_PING || !gb_policy_allows(&rpcd_of(conn)->policy, GB_WIRE_PING) ||
	    gb_pb_decode(gb_pb_type(GB_WIRE_PING), frame->payload, frame->payload_len, &request, &err) < 0 ||
	    rpcd_ping_steps(request))
		return false;
	struct rpcd_call call = {
		.rpcd = rpcd_of(conn), .conn = conn, .type = GB_WIRE_PING, .reply = GB_WIRE_PING_REPLY,
		.trace = frame->trace, .trace_len = frame->trace_len, .request = request,
	};
	rpcd_ping(&call);
	return true;
}

static void on_frame(struct gb_conn *conn, const struct gb_frame *frame)
{
	struct rpcd_client *client = rpcd_client_of(conn);
	const char *name = gb_wire_name(frame->type);
	struct gb_err err;

	if (gb_log_enabled() >= GB_LOG_DEBUG)
		gb_log(GB_LOG_DEBUG, "%s: %s (0x%04x) trace \"%.*s\", %zu bytes", conn->name, name ? name : "unknown type",
		       frame->type, (int)(frame->trace_len < 64 ? frame->trace_len : 64), (const char *)frame->trace,
		       frame->payload_len);
	/* Replies keep the order of their requests: with a channel, everything takes its turn there. */
	if (!conn->attached && answered_here(conn, frame))
		return;
	if (rpcd_check(frame, &err) < 0) {
		if (conn->attached)
			answer_in_turn(client, frame->trace, frame->trace_len, err.msg);
		else
			gb_conn_error(conn, frame->trace, frame->trace_len, GB_RPC_INVALID, "%s", err.msg);
		return;
	}
	if (!conn->attached) {
		int r = attach(client);
		if (r < 0) {
			gb_log(GB_LOG_ERR, "%s: channel to the helper: %s", conn->name, strerror(-r));
			gb_conn_error(conn, frame->trace, frame->trace_len, GB_RPC_UNAVAILABLE, "%s", strerror(-r));
			return;
		}
	}
	/* Whoever looks at a stream may stop for as long as he likes; any other reply is to be taken. */
	conn->patient = frame->type == GB_WIRE_SANDBOX_RUN || frame->type == GB_WIRE_SANDBOX_EXEC ||
			frame->type == GB_WIRE_SANDBOX_EVENTS;
	forward_frame(client, frame);
}

/* The host of a port has left: what it asked for is answered to nobody. */
static void on_reset(struct gb_conn *conn)
{
	detach(rpcd_client_of(conn));
}

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

	detach(rpcd_client_of(conn));
	for (int i = 0; i < rpcd->listeners_len; i++) {
		struct rpcd_listener *listener = &rpcd->listeners[i];
		if (listener->single != conn)
			continue;
		listener->single = NULL;
		if (listener->addr.kind == GB_ADDR_VIRTIO && !rpcd->stopping)
			send_word(rpcd, RPCD_REOPEN, (uint32_t)i);
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
			rpcd_client_of(conn)->deliver = true;
			on_channel(&rpcd_client_of(conn)->channel, 0);
		} else {
			send_word(rpcd, RPCD_DELIVERED, word->id);
		}
		break;
	}
}

static void on_gone(struct rpcd_link *link)
{
	gb_log(GB_LOG_ERR, "front: the helper is gone");
	gb_loop_stop(&of_link(link)->loop, 1);
}

/* ---- rights ---- */

#define ALWAYS(name) { SYS_##name, GB_SYSCALL_ALWAYS, 0, 0 }
#define NEVER(name) { SYS_##name, GB_SYSCALL_NEVER, 0, 0 }
static const struct gb_syscall calls[] = {
	/* Ordered by how often they come. */
	ALWAYS(recvfrom), ALWAYS(sendto),
#ifdef SYS_epoll_wait
	ALWAYS(epoll_wait),
#endif
	ALWAYS(epoll_pwait), ALWAYS(read), ALWAYS(write), ALWAYS(splice), ALWAYS(epoll_ctl), ALWAYS(accept4), ALWAYS(close),
	ALWAYS(recvmsg), ALWAYS(sendmsg), ALWAYS(shutdown), ALWAYS(socketpair), ALWAYS(pipe2), ALWAYS(getpeername),
	ALWAYS(getsockopt), ALWAYS(setsockopt), ALWAYS(fcntl), ALWAYS(dup3), { SYS_ioctl, GB_SYSCALL_EQUAL, 1, TIOCOUTQ /* = SIOCOUTQ */ },
#ifdef SYS_poll
	ALWAYS(poll),
#endif
	ALWAYS(ppoll),
	/* Memory, time, the C library's own. No page is to become code. */
	{ SYS_mmap, GB_SYSCALL_WITHOUT, 2, PROT_EXEC }, { SYS_mprotect, GB_SYSCALL_WITHOUT, 2, PROT_EXEC },
	ALWAYS(munmap), ALWAYS(mremap), ALWAYS(madvise), ALWAYS(brk), ALWAYS(clock_gettime), ALWAYS(gettimeofday), ALWAYS(timerfd_settime),
	ALWAYS(getrandom), ALWAYS(getpid), ALWAYS(gettid), ALWAYS(getppid), ALWAYS(geteuid), ALWAYS(futex), ALWAYS(rt_sigprocmask),
	ALWAYS(rt_sigreturn), ALWAYS(restart_syscall), ALWAYS(exit), ALWAYS(exit_group), ALWAYS(sched_yield), ALWAYS(fstat),
	/* What only somebody else's code would ask for. */
	NEVER(execve), NEVER(execveat), NEVER(socket), NEVER(connect), NEVER(bind), NEVER(listen), NEVER(mount), NEVER(umount2),
	NEVER(init_module), NEVER(finit_module), NEVER(reboot), NEVER(setns), NEVER(unshare), NEVER(bpf), NEVER(keyctl),
	NEVER(pivot_root), NEVER(chroot), NEVER(process_vm_writev), NEVER(kexec_load), NEVER(perf_event_open),
	NEVER(userfaultfd),
};

/* Everything that is not needed any more goes; what the kernel cannot take away is told, at debug level. */
static int confine(const struct rpcd *rpcd)
{
	int r = rpcd->uid == 0 ? gb_confine_ids(FRONT_ID, FRONT_ID) : -EPERM;

	if (r < 0)
		gb_log(GB_LOG_DEBUG, "front: user %d: %s", FRONT_ID, strerror(-r));
	/* The helper's end is seen on the link; this is for a front that does not look there any more. Not before the change of
	 * user, which would take it back (prctl(2)). */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = gb_confine_caps();
	if (r < 0) {
		gb_log(GB_LOG_ERR, "front: capset: %s", strerror(-r));
		return r;
	}
	r = gb_confine_no_new_privs();
	if (r < 0)
		gb_log(GB_LOG_DEBUG, "front: no_new_privs: %s", strerror(-r));
	r = gb_confine_landlock(GB_CONFINE_SANITIZED ? "/proc" : NULL);
	if (r < 0)
		gb_log(GB_LOG_DEBUG, "front: Landlock: %s", strerror(-r));
	else
		gb_log(GB_LOG_DEBUG, "front: Landlock, ABI %d", r);
	r = gb_confine_syscalls(calls, GB_ARRAY_LEN(calls), GB_CONFINE_SANITIZED);
	if (r < 0)
		gb_log(GB_LOG_DEBUG, "front: seccomp: %s", strerror(-r));
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all that the helper has open but for what the front needs. */
static void close_others(const struct rpcd *rpcd, int link)
{
	int keep[3 * RPCD_LISTEN_MAX + 5] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, link, gb_log_fd() };
	size_t n = 5;

	for (int i = 0; i < rpcd->listeners_len; i++) {
		keep[n++] = rpcd->listeners[i].io.fd;
		keep[n++] = rpcd->listeners[i].rfd;
		keep[n++] = rpcd->listeners[i].wfd;
	}
	qsort(keep, n, sizeof keep[0], by_number);
	int fd = 0;
	for (size_t i = 0; i < n; i++) {
		for (; fd < keep[i]; fd++)
			(void)close(fd);
		fd = keep[i] >= 0 ? keep[i] + 1 : fd;
	}
	closefrom(fd);
}

void rpcd_front_prepare(struct rpcd *rpcd)
{
	rpcd->front = true;
	TAILQ_INIT(&rpcd->conns);
	TAILQ_INIT(&rpcd->asking);
	rpcd->conns_len = rpcd->sessions_len = 0;
	rpcd->host.loop = &rpcd->loop;
	rpcd->host.frame = on_frame;
	rpcd->host.closed = on_closed;
	rpcd->host.turned = on_turned;
	rpcd->host.wrong = on_wrong;
	rpcd->host.input = on_input;
	rpcd->host.reset = on_reset;
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
	close_others(rpcd, link);
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
	if (confine(rpcd) < 0)
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
