/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: a client's channel, over which the front hands its requests to the helper. */
#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/vsock-rpcd/front.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"

enum { BACK_TURN = 8 }; /* reads of a channel at once, before others get their turn */

void rpcd_front_word(struct rpcd *rpcd, enum rpcd_word_kind kind, uint32_t id)
{
	struct rpcd_word word = { .kind = kind, .id = id };
	int r = rpcd_link_send(&rpcd->link, &word, -1);

	if (r < 0)
		gb_log(GB_LOG_ERR, "front: word to the helper: %s", strerror(-r));
}

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

void rpcd_channel_detach(struct rpcd_client *client)
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
		rpcd_front_word(rpcd_of(&client->conn), RPCD_DELIVERED, client->id);
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

/* A session that takes input is to end first, else this would be taken for the end of its input (conn.h). */
static void on_wrong(struct gb_conn *conn, const char *why)
{
	unsigned char head[GB_FRAME_HEAD];
	char text[256];

	(void)gb_frame_head(head, GB_WIRE_ERROR, 0, 0);
	forward(rpcd_client_of(conn), head, sizeof head);
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
		rpcd_front_word(rpcd_of(conn), RPCD_DELIVERED, client->id);
	}
}

/* The helper has closed the channel: all that was to be answered is. */
static void on_channel_end(struct rpcd_client *client)
{
	struct gb_conn *conn = &client->conn;

	rpcd_channel_detach(client);
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
	rpcd_channel_detach(rpcd_client_of(conn));
}

void rpcd_channel_prepare(struct gb_conn_host *host)
{
	host->frame = on_frame;
	host->turned = on_turned;
	host->wrong = on_wrong;
	host->input = on_input;
	host->reset = on_reset;
}

void rpcd_channel_deliver(struct rpcd_client *client)
{
	client->deliver = true;
	on_channel(&client->channel, 0);
}
