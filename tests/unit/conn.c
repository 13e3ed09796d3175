/* SPDX-License-Identifier: MIT */
/* common/rpc/conn: back-pressure, deadlines, held requests, and a port whose host comes and goes. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/rpc/conn.h"
#include "common/rpc/wire.h"

static struct gb_loop loop;
static struct gb_conn_host host;
static struct gb_conn conn;
static int peer, frames_seen, closed_seen, wrong_seen;
static size_t reply_bytes;
static bool hold;

/* Each request is answered by its own payload (a path of reply_bytes letters when that is set). */
static void on_frame(struct gb_conn *c, const struct gb_frame *frame)
{
	Arcbox__V1__DiskTrimResponse reply = ARCBOX__V1__DISK_TRIM_RESPONSE__INIT;
	gb_autofree char *text = calloc(1, reply_bytes + 1);

	assert_non_null(text);
	memset(text, 'x', reply_bytes);
	frames_seen++;
	if (hold) {
		gb_conn_hold(c);
		return;
	}
	reply.result = text;
	gb_conn_reply(c, GB_WIRE_DISK_TRIM_REPLY, frame->trace, frame->trace_len, &reply.base);
}

static void on_closed(struct gb_conn *c)
{
	assert_ptr_equal(c, &conn);
	closed_seen++;
	gb_loop_stop(&loop, 1);
}

static int start_kind(enum gb_conn_kind kind)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 || gb_loop_open(&loop) < 0)
		return -1;
	frames_seen = closed_seen = 0;
	reply_bytes = 0;
	hold = false;
	peer = pair[1];
	gb_log_level(GB_LOG_ERR);
	host = (struct gb_conn_host){ .loop = &loop, .frame = on_frame, .closed = on_closed, .idle_ms = 60000, .frame_ms = 60000 };
	memset(&conn, 0, sizeof conn);
	conn.host = &host;
	conn.kind = kind;
	(void)snprintf(conn.name, sizeof conn.name, "test");
	return gb_conn_start(&conn, pair[0], pair[0]);
}

static int start(void **state)
{
	(void)state;
	return start_kind(GB_CONN_SOCKET);
}

static int start_port(void **state)
{
	(void)state;
	return start_kind(GB_CONN_PORT);
}

static int end(void **state)
{
	(void)state;
	if (!closed_seen)
		gb_conn_end(&conn);
	if (peer >= 0)
		(void)close(peer);
	gb_loop_close(&loop);
	return 0;
}

static void on_pause(struct gb_timer *t)
{
	(void)t;
	gb_loop_stop(&loop, 0);
}

/* Runs the loop for a while: 1 when the connection ended meanwhile. */
static int run(uint64_t ms)
{
	struct gb_timer timer = { .fn = on_pause };

	if (closed_seen)
		return 1;
	loop.stopped = false;
	gb_loop_timer(&loop, &timer, ms);
	int r = gb_loop_run(&loop);
	gb_loop_timer_stop(&timer);
	return r;
}

/* Until it is true, or for longer than any machine needs. */
#define until(condition) \
	do { \
		for (int tries_ = 0; !(condition) && tries_ < 20000; tries_++) \
			(void)run(1); \
		assert_true(condition); \
	} while (0)

static const unsigned char trim[] = { 0, 0, 0, 6, 0, 0, 0, 0x0c, 0, 0 };

static void put(const void *data, size_t len)
{
	assert_int_equal(send(peer, data, len, MSG_NOSIGNAL), len);
}

static void a_frame_in_single_bytes(void **state)
{
	unsigned char got[64];

	(void)state;
	for (size_t i = 0; i < sizeof trim; i++) {
		assert_int_equal(frames_seen, 0);
		put(trim + i, 1);
		(void)run(1);
	}
	assert_int_equal(frames_seen, 1);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10);
	assert_int_equal(conn.rx.len, 0);
	assert_null(conn.rx.data); /* an idle connection holds no memory */
	assert_null(conn.tx.data);
}

static void a_peer_that_takes_no_replies_is_not_asked_for_more(void **state)
{
	(void)state;
	reply_bytes = 60000;
	for (int i = 0; i < 2000; i++)
		(void)send(peer, trim, sizeof trim, MSG_NOSIGNAL);
	assert_int_equal(run(50), 0);
	assert_true(frames_seen < 100);
	assert_true(conn.tx.len - conn.tx_at < 1 << 20);
	assert_true(conn.rx.len <= 65536);
	/* When it takes them, all are answered, in whole frames. */
	int want = 0;
	size_t total = 0;
	static unsigned char got[1 << 20];
	for (int i = 0; i < 100000; i++) {
		ssize_t n = recv(peer, got, sizeof got, 0);
		if (n > 0)
			total += (size_t)n;
		else if (want == frames_seen && frames_seen && conn.tx.len == 0 && conn.rx.len == 0)
			break;
		want = frames_seen;
		(void)run(0);
	}
	assert_int_equal(total, (size_t)frames_seen * (10 + 4 + 60000));
}

static void a_peer_that_takes_no_reply_is_closed(void **state)
{
	(void)state;
	reply_bytes = 1 << 20; /* more than a socket holds */
	host.frame_ms = 40;
	put(trim, sizeof trim);
	assert_int_equal(run(20000), 1);
	assert_int_equal(closed_seen, 1);
	assert_int_equal(frames_seen, 1);
}

static void a_drip_does_not_move_the_deadline_of_its_frame(void **state)
{
	(void)state;
	host.frame_ms = 40;
	put("\0\1\0\0", 4); /* a frame of 64 KiB, which never gets whole */
	int turns = 0;
	while (!closed_seen && turns++ < 1000) {
		(void)send(peer, "x", 1, MSG_NOSIGNAL);
		(void)run(5);
	}
	assert_int_equal(closed_seen, 1);
	assert_int_equal(frames_seen, 0);
}

static void a_held_request_keeps_the_next_ones_waiting(void **state)
{
	unsigned char got[64];

	(void)state;
	hold = true;
	put(trim, sizeof trim);
	put(trim, sizeof trim);
	put(trim, sizeof trim);
	assert_int_equal(run(20), 0);
	assert_int_equal(frames_seen, 1);
	assert_true(conn.held);
	hold = false;
	gb_conn_error(&conn, NULL, 0, 500, "late");
	gb_conn_resume(&conn);
	assert_int_equal(run(20), 0);
	assert_int_equal(frames_seen, 3);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10 + 8 + 4 + 10 + 10);
}

static void a_peer_that_hangs_up_while_a_request_is_held(void **state)
{
	(void)state;
	hold = true;
	put(trim, sizeof trim);
	assert_int_equal(run(10), 0);
	(void)close(peer);
	peer = -1;
	assert_int_equal(run(30), 0);
	assert_int_equal(closed_seen, 0); /* its handler still has it */
	gb_conn_error(&conn, NULL, 0, 500, "late");
	gb_conn_resume(&conn);
	(void)run(30);
	assert_int_equal(closed_seen, 1);
}

static void a_peer_that_only_ends_its_side_gets_its_replies(void **state)
{
	unsigned char got[64];

	(void)state;
	put(trim, sizeof trim);
	put(trim, 5);
	assert_int_equal(shutdown(peer, SHUT_WR), 0);
	assert_int_equal(run(1000), 1);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10);
	assert_int_equal(recv(peer, got, sizeof got, 0), 0);
}

static void after_a_pause_half_a_frame_has_little_time_and_an_idle_peer_all(void **state)
{
	(void)state;
	gb_conn_hurry(&conn, 20);
	assert_int_equal(run(60), 0);
	assert_int_equal(closed_seen, 0); /* idle */
	put("\0\0\0\x20\0\0", 6);
	assert_int_equal(run(10), 0);
	gb_conn_hurry(&conn, 20);
	assert_int_equal(run(20000), 1); /* far before frame_ms */
	assert_int_equal(closed_seen, 1);
}

static void after_a_pause_who_goes_on_is_served(void **state)
{
	(void)state;
	put(trim, 6);
	assert_int_equal(run(10), 0);
	gb_conn_hurry(&conn, 5000);
	put(trim + 6, sizeof trim - 6);
	assert_int_equal(run(10), 0);
	assert_int_equal(frames_seen, 1);
	assert_int_equal(closed_seen, 0);
}

static void port_half_a_request_then_another_hosts(void **state)
{
	unsigned char got[64];

	(void)state;
	put("\0\0\0\x20\0\0", 6);
	assert_int_equal(run(10), 0);
	put(trim, sizeof trim);
	until(frames_seen == 1);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10);
}

static void port_out_of_step_ends_with_the_next_request(void **state)
{
	unsigned char got[128];

	(void)state;
	put("GET / HTTP/1.0\r\n\r\n", 18);
	assert_int_equal(run(10), 0);
	put(trim, sizeof trim);
	assert_int_equal(run(400), 0); /* no error follows: it would reach the wrong one */
	assert_int_equal(frames_seen, 1);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10);
	/* With nobody behind it, the error comes. */
	put("GET / HTTP/1.0\r\n\r\n", 18);
	assert_int_equal(run(400), 0);
	ssize_t n = recv(peer, got, sizeof got, 0);
	assert_true(n > 18);
	assert_memory_equal(got + 4, "\0\0\xff\xff", 4);
	put(trim, sizeof trim);
	assert_int_equal(run(400), 0);
	assert_int_equal(frames_seen, 2);
}

/* A request soon after a reply may be that of a new host, of whom there is no news yet: it waits for that, and so does what
 * comes behind it; nothing of it is taken for the rest of something else. */
static void port_requests_soon_after_a_reply(void **state)
{
	unsigned char got[128];

	(void)state;
	put(trim, sizeof trim);
	assert_int_equal(run(10), 0);
	assert_int_equal(frames_seen, 1); /* the first of all waits for nothing */
	assert_int_equal(recv(peer, got, sizeof got, 0), 10);
	put(trim, sizeof trim);
	assert_int_equal(run(1), 0);
	put(trim, sizeof trim);
	assert_int_equal(run(1), 0);
	put(trim, 6);
	assert_int_equal(run(400), 0);
	assert_int_equal(frames_seen, 3);
	put(trim + 6, sizeof trim - 6);
	assert_int_equal(run(10), 0);
	assert_int_equal(frames_seen, 4);
	assert_int_equal(recv(peer, got, sizeof got, 0), 30);
}

static size_t passed_bytes;
static int resets;

static void on_passed(struct gb_conn *c, const void *data, size_t len)
{
	assert_ptr_equal(c, &conn);
	assert_non_null(data);
	passed_bytes += len;
}

static void on_reset(struct gb_conn *c)
{
	c->attached = false;
	resets++;
}

/* An input frame of 32 bytes of which its host has sent 4, and then the next host's request. */
static void port_half_an_input_then_another_hosts(void **state)
{
	static const unsigned char input[] = { 0, 0, 0, 38, 0, 0, 0, 0x33, 0, 0, 'a', 'b', 'c', 'd' };
	unsigned char both[2 * sizeof trim], got[64];

	(void)state;
	host.input = on_passed;
	host.reset = on_reset;
	resets = 0;
	passed_bytes = 0;
	conn.attached = true;
	put(input, sizeof input);
	assert_int_equal(run(10), 0);
	assert_int_equal(passed_bytes, sizeof input);
	/* With something behind it that is no frame it is input like any other. */
	memcpy(both, trim, sizeof trim);
	memset(both + sizeof trim, 0xff, sizeof trim);
	put(both, sizeof both);
	assert_int_equal(run(10), 0);
	assert_int_equal(passed_bytes, sizeof input + sizeof both);
	assert_int_equal(resets, 0);
	assert_int_equal(frames_seen, 0);
	put(trim, sizeof trim);
	until(frames_seen == 1);
	assert_int_equal(passed_bytes, sizeof input + sizeof both);
	assert_int_equal(resets, 1);
	assert_int_equal(frames_seen, 1);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10);
}

/* The news of a host is late: a request and the input behind it come from one that is not there yet, to all appearance. */
static void port_input_before_the_news_of_its_host(void **state)
{
	static const unsigned char exec_input[] = { 0, 0, 0, 9, 0, 0, 0, 0x33, 0, 0, 'l', 's', '\n' };
	int pair[2];

	(void)state;
	/* A record is a port's buffer: one read(2) gives no more than that; and a peer that is gone is a port without a host. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	gb_conn_end(&conn);
	(void)close(peer);
	peer = pair[1];
	closed_seen = 0;
	memset(&conn, 0, sizeof conn);
	conn.host = &host;
	conn.kind = GB_CONN_PORT;
	put(trim, sizeof trim);
	put(exec_input, sizeof exec_input);
	put(exec_input, 5); /* half a frame, and then whole ones of the next host's */
	put(trim, sizeof trim);
	put(exec_input, sizeof exec_input);
	(void)close(peer);
	peer = -1;
	assert_int_equal(gb_conn_start(&conn, pair[0], pair[0]), 0);
	assert_int_equal(run(10), 0);
	assert_true(conn.early);
	assert_int_equal(conn.rx.len, sizeof trim + sizeof exec_input);
	assert_memory_equal(conn.rx.data, trim, sizeof trim);
	assert_int_equal(frames_seen, 0);
}

/* ---- streams ---- */

static size_t input_bytes, input_sum, input_ends, room_calls, gone_calls;
static size_t input_max = SIZE_MAX;

static void on_input(struct gb_conn *c, const void *data, size_t len)
{
	const unsigned char *p = data;

	input_ends += len == 0;
	input_bytes += len;
	for (size_t i = 0; i < len; i++)
		input_sum += p[i];
	if (input_bytes >= input_max)
		gb_conn_input(c, false);
}

static void on_room(struct gb_conn *c)
{
	assert_true(gb_conn_room(c));
	room_calls++;
}

static void on_gone(struct gb_conn *c)
{
	(void)c;
	gone_calls++;
}

static const struct gb_conn_stream session = { .input = on_input, .room = on_room, .gone = on_gone };
static const struct gb_conn_stream output_only = { .room = on_room, .gone = on_gone };

/* A request has come in, and its handler has made a stream of it. */
static void begin(const struct gb_conn_stream *stream)
{
	input_bytes = input_sum = input_ends = room_calls = gone_calls = 0;
	input_max = SIZE_MAX;
	hold = true;
	put(trim, sizeof trim);
	assert_int_equal(run(20), 0);
	assert_int_equal(frames_seen, 1);
	hold = false;
	gb_conn_stream(&conn, stream);
	gb_conn_turn(&conn);
}

static void add(size_t len)
{
	Sandbox__V1__RunOutput output = SANDBOX__V1__RUN_OUTPUT__INIT;
	gb_autofree unsigned char *data = calloc(1, len);

	assert_non_null(data);
	output.data = (ProtobufCBinaryData){ len, data };
	gb_conn_reply(&conn, GB_WIRE_SANDBOX_RUN_OUTPUT, NULL, 0, &output.base);
	gb_conn_turn(&conn);
}

static void stream_waits_for_a_slow_peer(void **state)
{
	static unsigned char got[1 << 20];
	size_t sent = 0, frames = 0, total = 0, most = 0;

	(void)state;
	begin(&output_only);
	host.frame_ms = 1; /* no deadline runs for a stream */
	for (int i = 0; i < 4000; i++) {
		while (frames < 1000 && gb_conn_room(&conn)) {
			add(60000);
			sent += 60000;
			frames++;
		}
		most = conn.tx.size > most ? conn.tx.size : most;
		(void)run(0);
		ssize_t n = recv(peer, got, i % 7 * 30000 + 1, 0);
		total += n > 0 ? (size_t)n : 0;
		if (frames == 1000)
			break;
	}
	while (total < sent + frames * 10) {
		(void)run(0);
		ssize_t n = recv(peer, got, sizeof got, 0);
		total += n > 0 ? (size_t)n : 0;
		assert_int_equal(closed_seen, 0);
	}
	assert_int_equal(frames, 1000);
	assert_true(room_calls > 10);
	assert_true(most < 2 << 20); /* 60 MB have passed */
	gb_conn_resume(&conn);
	put(trim, sizeof trim);
	until(frames_seen == 2); /* the connection serves on */
}

static void stream_input_in_any_pieces(void **state)
{
	static const unsigned char some[] = { 0, 0, 0, 9, 0, 0, 0, 0x33, 0, 0, 'l', 's', '\n', 0, 0, 0, 8, 0, 0, 0, 0x33, 0, 1, 't', 0xff };
	static const unsigned char end_of_input[] = { 0, 0, 0, 6, 0, 0, 0, 0x33, 0, 0 };

	(void)state;
	begin(&session);
	for (size_t i = 0; i < sizeof some; i++) {
		put(some + i, 1);
		(void)run(0);
	}
	until(input_bytes == 4);
	assert_int_equal(input_sum, 'l' + 's' + '\n' + 0xff);
	/* A frame larger than any request, while the handler is full from time to time: it does not gather here. */
	static const unsigned char big[] = { 0, 0x50, 0, 6, 0, 0, 0, 0x33, 0, 0 };
	static unsigned char zeros[4096];
	size_t left = 0x500000;
	put(big, sizeof big);
	input_max = 100000;
	while (left) {
		ssize_t n = send(peer, zeros, left < sizeof zeros ? left : sizeof zeros, MSG_NOSIGNAL);
		if (n > 0)
			left -= (size_t)n;
		(void)run(0);
		assert_true(conn.rx.size <= 256 << 10);
		if (n < 0 && conn.input_full) {
			input_max = input_bytes + 100000;
			gb_conn_input(&conn, true);
		}
	}
	input_max = SIZE_MAX;
	gb_conn_input(&conn, true);
	until(input_bytes == 4 + 0x500000);
	assert_int_equal(input_ends, 0);
	put(end_of_input, sizeof end_of_input);
	until(input_ends == 1);
	/* The peer gets the last frame, and then the end. */
	add(10);
	gb_conn_stream_end(&conn);
	put(some, sizeof some); /* what comes late is nobody's */
	unsigned char got[64];
	(void)run(5);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10 + 2 + 10);
	assert_int_equal(recv(peer, got, sizeof got, 0), 0);
	(void)close(peer);
	peer = -1;
	until(closed_seen);
	assert_int_equal(gone_calls, 0);
	assert_int_equal(input_ends, 1);
	assert_int_equal(frames_seen, 1);
}

static void stream_input_ends_with_another_frame(void **state)
{
	(void)state;
	begin(&session);
	put(trim, sizeof trim);
	until(input_ends == 1);
	assert_int_equal(frames_seen, 1);
	assert_int_equal(gone_calls, 0);
}

static void stream_input_ends_with_the_peers_side(void **state)
{
	unsigned char got[64];

	(void)state;
	begin(&session);
	assert_int_equal(shutdown(peer, SHUT_WR), 0);
	until(input_ends == 1);
	(void)run(20);
	assert_int_equal(gone_calls, 0);
	add(10);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10 + 2 + 10);
	/* ... and once it closes, that is told as well. */
	(void)close(peer);
	peer = -1;
	until(gone_calls == 1);
	assert_int_equal(closed_seen, 1);
}

/* The end of the input, and then of the peer's side, which nobody has read when the last frame is made. */
static void stream_last_frame_of_a_peer_that_has_ended_its_side(void **state)
{
	static const unsigned char end_of_input[] = { 0, 0, 0, 6, 0, 0, 0, 0x33, 0, 0 };
	Sandbox__V1__ExecOutput last = SANDBOX__V1__EXEC_OUTPUT__INIT;
	unsigned char got[64];

	(void)state;
	begin(&session);
	put(end_of_input, sizeof end_of_input);
	until(input_ends == 1);
	assert_int_equal(shutdown(peer, SHUT_WR), 0);
	(void)run(5);
	last.done = true;
	gb_conn_reply(&conn, GB_WIRE_SANDBOX_EXEC_OUTPUT, NULL, 0, &last.base);
	gb_conn_stream_end(&conn);
	until(closed_seen);
	assert_int_equal(recv(peer, got, sizeof got, 0), 10 + 2);
	assert_int_equal(recv(peer, got, sizeof got, 0), 0);
	assert_int_equal(gone_calls, 0);
}

static void stream_peer_that_vanishes(void **state)
{
	(void)state;
	begin(&output_only);
	put(trim, sizeof trim); /* nobody reads this: it must not hide the end */
	(void)run(5);
	(void)close(peer);
	peer = -1;
	until(gone_calls == 1);
	assert_int_equal(closed_seen, 1);
	assert_int_equal(frames_seen, 1);
}

static void stream_whose_daemon_ends(void **state)
{
	(void)state;
	begin(&session);
	add(1000);
	gb_conn_end(&conn);
	assert_int_equal(gone_calls, 1);
	assert_int_equal(closed_seen, 1);
}

static const unsigned char too_long[] = { 1, 0, 0, 1, 0, 0, 0, 0x33, 0, 0 };

/* Reads a frame: its type. */
static uint32_t next_frame(unsigned char *data, size_t size, struct gb_frame *ret_frame)
{
	size_t len = 0;
	ssize_t n;

	while (gb_frame_parse(data, len, GB_FRAME_MAX, ret_frame) == 0) {
		(void)run(1);
		while (len < size && (n = recv(peer, data + len, 1, MSG_DONTWAIT)) == 1 &&
		       gb_frame_parse(data, ++len, GB_FRAME_MAX, ret_frame) == 0)
			;
		assert_true(len < size);
	}
	return ret_frame->type;
}

/* Input that cannot be right, and all of it on the way: the handler hears that its peer is gone, the peer why. */
static void stream_input_out_of_step(void **state)
{
	unsigned char got[256];
	struct gb_frame frame;
	const char *text;
	int32_t code;
	size_t len;

	(void)state;
	begin(&session);
	put(too_long, sizeof too_long);
	until(gone_calls == 1);
	assert_int_equal(next_frame(got, sizeof got, &frame), GB_WIRE_ERROR);
	assert_int_equal(gb_frame_error_parse(&frame, &code, &text, &len), 0);
	assert_int_equal(code, GB_RPC_INVALID);
	until(closed_seen);
	assert_int_equal(recv(peer, got, sizeof got, 0), 0);
	assert_int_equal(gone_calls, 1);
	assert_int_equal(input_bytes + input_ends, 0);
	assert_int_equal(frames_seen, 1);
}

static void count_wrong(struct gb_conn *c, const char *why)
{
	(void)c;
	assert_non_null(why);
	wrong_seen++;
}

/* The same in the process that passes input on: the other one has the stream. Nothing of the frame is kept. */
static void attached_input_out_of_step(void **state)
{
	(void)state;
	host.wrong = count_wrong;
	wrong_seen = 0;
	conn.attached = true;
	put(too_long, sizeof too_long);
	until(wrong_seen);
	assert_true(conn.closing);
	assert_int_equal(conn.rx.len, 0);
	put(trim, sizeof trim);
	(void)run(5);
	assert_int_equal(conn.rx.len, 0);
	assert_int_equal(frames_seen, 0);
	assert_int_equal(wrong_seen, 1);
}

/* ... and that tells the other one by an Error frame without content: what is behind it is no input any more. */
static void stream_whose_input_is_cut(void **state)
{
	static const unsigned char cut[] = { 0, 0, 0, 6, 0, 0, 0xff, 0xff, 0, 0 };

	(void)state;
	assert_int_equal(GB_WIRE_ERROR, 0xffff);
	begin(&session);
	put(cut, sizeof cut);
	until(gone_calls == 1);
	put(trim, sizeof trim);
	until(frames_seen == 2);
	assert_int_equal(gone_calls, 1);
	assert_int_equal(input_bytes + input_ends, 0);
	assert_int_equal(closed_seen, 0);
}

static void port_stream_whose_input_comes_late(void **state)
{
	static const unsigned char late[] = { 0, 0, 0, 9, 0, 0, 0, 0x33, 0, 0, 'l', 's', '\n' };

	(void)state;
	begin(&session);
	put(late, 11);
	until(input_bytes == 1);
	gb_conn_stream_end(&conn);
	put(late + 11, 2);
	put(late, sizeof late);
	put(trim, sizeof trim);
	until(frames_seen == 2);
	assert_int_equal(input_bytes, 1);
	assert_int_equal(closed_seen, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(after_a_pause_half_a_frame_has_little_time_and_an_idle_peer_all, start, end),
		cmocka_unit_test_setup_teardown(after_a_pause_who_goes_on_is_served, start, end),
		cmocka_unit_test_setup_teardown(a_frame_in_single_bytes, start, end),
		cmocka_unit_test_setup_teardown(a_peer_that_takes_no_replies_is_not_asked_for_more, start, end),
		cmocka_unit_test_setup_teardown(a_peer_that_takes_no_reply_is_closed, start, end),
		cmocka_unit_test_setup_teardown(a_drip_does_not_move_the_deadline_of_its_frame, start, end),
		cmocka_unit_test_setup_teardown(a_held_request_keeps_the_next_ones_waiting, start, end),
		cmocka_unit_test_setup_teardown(a_peer_that_hangs_up_while_a_request_is_held, start, end),
		cmocka_unit_test_setup_teardown(a_peer_that_only_ends_its_side_gets_its_replies, start, end),
		cmocka_unit_test_setup_teardown(port_half_a_request_then_another_hosts, start_port, end),
		cmocka_unit_test_setup_teardown(port_half_an_input_then_another_hosts, start_port, end),
		cmocka_unit_test_setup_teardown(port_input_before_the_news_of_its_host, start_port, end),
		cmocka_unit_test_setup_teardown(port_requests_soon_after_a_reply, start_port, end),
		cmocka_unit_test_setup_teardown(port_out_of_step_ends_with_the_next_request, start_port, end),
		cmocka_unit_test_setup_teardown(stream_waits_for_a_slow_peer, start, end),
		cmocka_unit_test_setup_teardown(stream_input_in_any_pieces, start, end),
		cmocka_unit_test_setup_teardown(stream_input_ends_with_another_frame, start, end),
		cmocka_unit_test_setup_teardown(stream_input_ends_with_the_peers_side, start, end),
		cmocka_unit_test_setup_teardown(stream_last_frame_of_a_peer_that_has_ended_its_side, start, end),
		cmocka_unit_test_setup_teardown(stream_peer_that_vanishes, start, end),
		cmocka_unit_test_setup_teardown(stream_whose_daemon_ends, start, end),
		cmocka_unit_test_setup_teardown(stream_input_out_of_step, start, end),
		cmocka_unit_test_setup_teardown(attached_input_out_of_step, start, end),
		cmocka_unit_test_setup_teardown(stream_whose_input_is_cut, start, end),
		cmocka_unit_test_setup_teardown(port_stream_whose_input_comes_late, start_port, end),
	};

	gb_pb_start();
	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
