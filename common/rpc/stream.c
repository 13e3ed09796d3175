/* SPDX-License-Identifier: MIT */
/* Held requests that are answered by a stream of frames. */
#include "common/rpc/parts.h"

void gb_conn_stream(struct gb_conn *conn, const struct gb_conn_stream *stream)
{
	conn->stream = stream;
	conn->held = true;
	conn->input_full = conn->input_over = conn->starved = false;
}

bool gb_conn_room(struct gb_conn *conn)
{
	if (gb_conn_tx_left(conn) < GB_CONN_TX_HIGH)
		return true;
	conn->starved = true;
	return false;
}

void gb_conn_input(struct gb_conn *conn, bool wanted)
{
	if (conn->input_full == !wanted)
		return;
	conn->input_full = !wanted;
	gb_conn_turn(conn);
}

void gb_conn_stream_end(struct gb_conn *conn)
{
	conn->stream = NULL;
	if (conn->kind == GB_CONN_PORT || conn->lasting) {
		conn->input_late = true;
		gb_conn_resume(conn);
		return;
	}
	gb_conn_linger(conn);
}

void gb_conn_linger(struct gb_conn *conn)
{
	conn->held = false;
	conn->data = NULL;
	conn->linger = conn->closing = true;
	if (!gb_conn_tx_left(conn))
		conn->tx_since = gb_loop_now(conn->host->loop);
	gb_buf_free(&conn->rx);
	gb_conn_turn(conn);
}
