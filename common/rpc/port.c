/* SPDX-License-Identifier: MIT */
/* A virtio-serial port as a connection: whose bytes are these? */
#include <poll.h>

#include "common/rpc/parts.h"
#include "common/rpc/wire.h"

enum { RECENT_MS = 1000 }; /* since a reply: the news that its host has left may still be on the way */

/* Whether what is kept ends where a frame ends. */
static bool kept_whole(const struct gb_conn *conn)
{
	struct gb_frame frame;
	size_t at = 0;

	while (at < conn->rx.len) {
		long r = gb_frame_open(conn->rx.data + at, conn->rx.len - at, GB_FRAME_MAX, &frame);
		if (r <= 0)
			return false;
		at += (size_t)r + frame.payload_len;
	}
	return at == conn->rx.len;
}

bool gb_conn_port_afresh(const struct gb_conn *conn, const char *data, size_t len)
{
	struct gb_frame frame, next;

	if (conn->kind != GB_CONN_PORT || conn->settle || !(conn->rx.len || conn->skip || conn->raw_left))
		return false;
	long r = gb_frame_parse(data, len, GB_FRAME_REQUEST_MAX, &frame);
	if (r <= 0 || !gb_wire_is_request(frame.type))
		return false;
	if (!conn->raw_left) /* input is where it belongs behind what is kept until the news of its host is there */
		return frame.type != GB_WIRE_SANDBOX_EXEC_INPUT || !kept_whole(conn);
	/* Input may hold anything: it has to be a request from its beginning to the end of what has come, or to the next one. */
	data += r;
	len -= (size_t)r;
	return frame.type != GB_WIRE_SANDBOX_EXEC_INPUT &&
	       (len == 0 || (gb_frame_open(data, len, GB_FRAME_MAX, &next) > 0 && gb_wire_is_request(next.type)));
}

void gb_conn_port_watch(struct gb_conn *conn)
{
	struct pollfd p = { .fd = conn->in.fd, .events = POLLIN };
	bool away = poll(&p, 1, 0) > 0 && p.revents & POLLHUP;

	if (conn->settle && !away)
		return; /* its time is not over */
	if (away && (!conn->early || conn->settle))
		conn->rx_since = gb_loop_now(conn->host->loop);
	conn->settle = false;
	conn->early = away;
}

bool gb_conn_port_next(const struct gb_conn *conn, const char *data, size_t len)
{
	struct gb_frame frame;

	return !conn->early && !conn->rx.len && !conn->skip && !conn->raw_left && !conn->stream && conn->tx_since &&
	       gb_loop_now(conn->host->loop) - conn->tx_since < RECENT_MS &&
	       gb_frame_open(data, len, GB_FRAME_MAX, &frame) > 0 && gb_wire_is_request(frame.type) &&
	       frame.type != GB_WIRE_SANDBOX_EXEC_INPUT;
}
