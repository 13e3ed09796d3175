/* SPDX-License-Identifier: MIT */
/* Fuzz target: a connection, fed in pieces. Bytes: a kind, then for each piece its length and its bytes; a length of 0
 * reads what has come back, 255 ends the sender's side. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/rpc/conn.h"
#include "common/rpc/wire.h"
#include "tests/fuzz/fuzz.h"

static struct gb_loop loop;
static struct gb_conn_host host;
static int closed;
static struct gb_conn *held;

/* A bit of each way that a handler may take. */
static void on_frame(struct gb_conn *conn, const struct gb_frame *frame)
{
	const ProtobufCMessageDescriptor *type = gb_pb_type(frame->type);
	gb_autopb ProtobufCMessage *message = NULL;
	struct gb_err err;

	if (type && gb_pb_decode(type, frame->payload, frame->payload_len, &message, &err) < 0) {
		gb_conn_error(conn, frame->trace, frame->trace_len, GB_RPC_INVALID, "invalid request: %s", err.msg);
	} else if (frame->type == GB_WIRE_DISK_TRIM) {
		gb_conn_hold(conn);
		held = conn;
	} else if (frame->type == GB_WIRE_SHUTDOWN) {
		gb_conn_reply(conn, GB_WIRE_SHUTDOWN_REPLY, frame->trace, frame->trace_len, NULL);
		gb_conn_finish(conn);
	} else {
		gb_conn_reply(conn, frame->type, frame->trace, frame->trace_len, message);
	}
}

static void on_closed(struct gb_conn *conn)
{
	(void)conn;
	closed = 1;
	held = NULL;
}

static void on_stop(struct gb_timer *timer)
{
	(void)timer;
	gb_loop_stop(&loop, 0);
}

static void turn(void)
{
	struct gb_timer timer = { .fn = on_stop };

	loop.stopped = false;
	gb_loop_timer(&loop, &timer, 0);
	(void)gb_loop_run(&loop);
	gb_loop_timer_stop(&timer);
	if (held) {
		struct gb_conn *conn = held;
		held = NULL;
		gb_conn_error(conn, NULL, 0, GB_RPC_FAILED, "late");
		gb_conn_resume(conn);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gb_conn conn;
	char back[4096];
	int pair[2];

	gb_pb_start();
	if (size < 1 || size > 65536)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return 0;
	if (gb_loop_open(&loop) < 0)
		abort();
	gb_log_level(GB_LOG_ERR);
	(void)signal(SIGPIPE, SIG_IGN); /* as the daemon has it: a pipe's reader may be gone */
	closed = 0;
	held = NULL;
	host = (struct gb_conn_host){ .loop = &loop, .frame = on_frame, .closed = on_closed, .idle_ms = 60000, .frame_ms = 60000 };
	memset(&conn, 0, sizeof conn);
	conn.host = &host;
	conn.kind = data[0] % 3;
	if (gb_conn_start(&conn, pair[0], pair[0]) < 0)
		abort();
	for (size_t at = 1; at < size && !closed;) {
		size_t n = data[at++];
		if (n == 255) {
			(void)shutdown(pair[1], SHUT_WR);
		} else if (n == 0) {
			while (recv(pair[1], back, sizeof back, 0) > 0)
				;
		} else {
			n = n < size - at ? n : size - at;
			(void)send(pair[1], data + at, n, MSG_NOSIGNAL);
			at += n;
		}
		turn();
		/* What waits is bounded, whatever is sent. */
		if (!closed && (conn.rx.len > (2 << 20) || conn.tx.len > (4 << 20)))
			abort();
	}
	(void)close(pair[1]);
	if (!closed)
		turn();
	if (!closed)
		gb_conn_end(&conn);
	if (!closed || conn.rx.data || conn.tx.data)
		abort();
	gb_loop_close(&loop);
	return 0;
}
