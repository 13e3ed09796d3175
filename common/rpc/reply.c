/* SPDX-License-Identifier: MIT */
/* The replies of a connection: frames put together, kept, and handed to the kernel. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/utf8.h"
#include "common/rpc/parts.h"
#include "common/rpc/wire.h"

void gb_conn_drop_tx(struct gb_conn *conn)
{
	/* A stream is about to need it again: pages that are taken and given back for each frame cost more than what is in
	 * them. Elsewhere an idle connection holds no buffer. */
	if (conn->stream && conn->tx.size <= 2 * GB_CONN_TX_HIGH)
		conn->tx.len = 0;
	else
		gb_buf_free(&conn->tx);
	conn->tx_at = 0;
}

static ssize_t put(struct gb_conn *conn, const void *data, size_t len)
{
	if (conn->kind == GB_CONN_SOCKET)
		return send(conn->wfd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return write(conn->wfd, data, len);
}

bool gb_conn_flush(struct gb_conn *conn)
{
	while (gb_conn_tx_left(conn)) {
		ssize_t n = put(conn, conn->tx.data + conn->tx_at, gb_conn_tx_left(conn));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			gb_log(GB_LOG_DEBUG, "%s: write: %s", conn->name, strerror(errno));
			return false;
		}
		conn->tx_at += (size_t)n;
		conn->tx_since = gb_loop_now(conn->host->loop);
	}
	if (!gb_conn_tx_left(conn)) {
		gb_conn_drop_tx(conn);
		void (*drained)(struct gb_conn *) = conn->drained;
		conn->drained = NULL;
		if (drained)
			drained(conn);
	}
	return true;
}

/* A stream's buffer may never be empty: what is written leaves it from time to time. */
static void compact(struct gb_conn *conn)
{
	if (conn->tx_at >= GB_CONN_TX_LOW && conn->tx_at >= gb_conn_tx_left(conn)) {
		gb_buf_eat(&conn->tx, conn->tx_at);
		conn->tx_at = 0;
	}
}

static bool put_frame(struct gb_conn *conn, const unsigned char *head, const void *trace, size_t trace_len,
		      size_t payload_len)
{
	compact(conn);
	/* Room for all of it first: half a frame in the buffer could not be taken back by a sticky failure. */
	if (gb_buf_room(&conn->tx, GB_FRAME_HEAD + trace_len + payload_len) < 0)
		return false;
	if (!gb_conn_tx_left(conn))
		conn->tx_since = gb_loop_now(conn->host->loop);
	(void)gb_buf_add(&conn->tx, head, GB_FRAME_HEAD);
	(void)gb_buf_add(&conn->tx, trace, trace_len);
	return true;
}

void gb_conn_reply(struct gb_conn *conn, uint32_t type, const void *trace, size_t trace_len,
		   const ProtobufCMessage *message)
{
	unsigned char head[GB_FRAME_HEAD];
	size_t len = message ? protobuf_c_message_get_packed_size(message) : 0;

	if (gb_frame_head(head, type, trace_len, len) < 0) {
		gb_conn_error(conn, trace, trace_len, GB_RPC_FAILED, "the reply is larger than any client takes");
		return;
	}
	if (!put_frame(conn, head, trace, trace_len, len) || (message && gb_pb_encode(message, &conn->tx) < 0)) {
		gb_log(GB_LOG_ERR, "%s: out of memory for a reply of %zu bytes", conn->name, len);
		gb_conn_lose(conn); /* better no answer than half of one */
	}
}

void gb_conn_error(struct gb_conn *conn, const void *trace, size_t trace_len, int code, const char *fmt, ...)
{
	unsigned char head[GB_FRAME_HEAD], inner[GB_FRAME_ERROR_HEAD];
	char text[1536];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
	gb_utf8_mend(text, len); /* a client that reads anything else has no text; what was too long may end in half a character */
	if (gb_frame_head(head, GB_WIRE_ERROR, trace_len, sizeof inner + len) < 0) {
		gb_conn_lose(conn);
		return;
	}
	gb_frame_error_head(inner, code, len);
	if (!put_frame(conn, head, trace, trace_len, sizeof inner + len)) {
		gb_conn_lose(conn);
		return;
	}
	(void)gb_buf_add(&conn->tx, inner, sizeof inner);
	(void)gb_buf_add(&conn->tx, text, len);
}

bool gb_conn_is_flushed(const struct gb_conn *conn)
{
	return !gb_conn_tx_left(conn);
}

int gb_conn_pass(struct gb_conn *conn, const void *data, size_t len)
{
	const char *at = data;

	if (!gb_conn_tx_left(conn)) {
		ssize_t n = put(conn, at, len);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		at += n < 0 ? 0 : n;
		len -= n < 0 ? 0 : (size_t)n;
		conn->tx_since = gb_loop_now(conn->host->loop);
	}
	compact(conn);
	return len ? gb_buf_add(&conn->tx, at, len) : 0;
}

bool gb_conn_takes(const struct gb_conn *conn)
{
	return gb_conn_tx_left(conn) < GB_CONN_TX_HIGH;
}

void gb_conn_when_drained(struct gb_conn *conn, void (*fn)(struct gb_conn *conn))
{
	conn->drained = fn;
}
