/* SPDX-License-Identifier: MIT */
/* vsock-rpc: a request whose reply is a stream, with input on the way. */
#include "applets/vsock-rpc/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/mono.h"
#include "common/rpc/client.h"
#include "common/rpc/wire.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

enum {
	INPUT_PIECE = 64 << 10,
	READ_PIECE = 256 << 10,
	LAST_MS = 1000, /* for the rest of a frame that nobody may want any more */
};

/* The connection's side of a stream. */
struct link {
	struct rpc_stream *stream;
	int fd;
	struct gb_buf rx, tx;
	size_t rx_at, tx_at;
	bool deaf; /* the peer takes no more: what it has to say is still read */
	size_t piece[2]; /* the most that is written to an output at once */
	bool at_once[2]; /* it is a pipe that may do better */
};

int rpc_stream_put(struct rpc_stream *stream, int i, const void *data, size_t len)
{
	return gb_buf_add(&stream->out[i].buf, data, len);
}

static bool pending(const struct rpc_out *out)
{
	return out->at < out->buf.len;
}

/* A pipe takes PIPE_BUF bytes without blocking when poll(2) says that it is writable, and not surely more (pipe(7)).
 * O_NONBLOCK is none of our business: it would be that of everybody who shares our standard output. A single write may be
 * told not to block (pwritev2(2), RWF_NOWAIT; of pipes since Linux 6.4): that takes all there is room for. */
static ssize_t write_now(int fd, const void *data, size_t len)
{
	struct iovec part = { (void *)(uintptr_t)data, len };

	return syscall(SYS_pwritev2, fd, &part, 1UL, -1L, -1L, RWF_NOWAIT);
}

static size_t piece_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? READ_PIECE : 4096;
}

static int write_out(struct link *link, int i, struct gb_err *err)
{
	struct rpc_out *out = &link->stream->out[i];
	size_t len = out->buf.len - out->at;
	ssize_t n = -1;

	if (link->at_once[i]) {
		n = write_now(out->fd, out->buf.data + out->at, len);
		link->at_once[i] = n >= 0 || errno == EAGAIN || errno == EINTR;
		if (n < 0 && link->at_once[i])
			return 0;
	}
	if (n < 0)
		n = write(out->fd, out->buf.data + out->at, len < link->piece[i] ? len : link->piece[i]);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return gb_err_sys(err, errno, i ? "standard error" : "standard output");
	out->at += (size_t)n;
	if (!pending(out)) {
		out->at = out->buf.len = 0; /* the memory stays for the next piece */
		if (out->buf.size > 4 * READ_PIECE)
			gb_buf_free(&out->buf);
	}
	return 0;
}

static int put_input(struct link *link, const void *data, size_t len, struct gb_err *err)
{
	unsigned char head[GB_FRAME_HEAD];

	/* Its trace id would be ignored: the stream is ours. */
	if (gb_frame_head(head, link->stream->input_type, 0, len) < 0)
		return gb_err_sys(err, EMSGSIZE, "input");
	(void)gb_buf_add(&link->tx, head, sizeof head);
	return gb_buf_add(&link->tx, data, len) < 0 ? gb_err_sys(err, ENOMEM, "input") : 0;
}

static int read_input(struct link *link, struct gb_err *err)
{
	struct rpc_stream *stream = link->stream;
	char piece[INPUT_PIECE];
	ssize_t n = read(stream->input, piece, sizeof piece);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	/* EIO: a terminal that is not ours any more, which has nothing more to say to us (read(2)). */
	if (n < 0 && errno != EIO)
		return gb_err_sys(err, errno, "%s", stream->input_name);
	if (n <= 0) {
		stream->input = -1;
		n = 0;
	}
	stream->sent += (uint64_t)n;
	return put_input(link, piece, (size_t)n, err);
}

static int send_some(struct link *link, struct gb_err *err)
{
	ssize_t n = send(link->fd, link->tx.data + link->tx_at, link->tx.len - link->tx_at, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno == ENOTSOCK)
		n = write(link->fd, link->tx.data + link->tx_at, link->tx.len - link->tx_at);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
		link->deaf = true; /* it may have said why before */
		link->tx_at = link->tx.len;
	} else if (n < 0) {
		(void)gb_err_sys(err, errno, "send");
		return rpc_at_peer(link->stream->call, err);
	} else {
		link->tx_at += (size_t)n;
	}
	if (link->tx_at == link->tx.len)
		link->tx.len = link->tx_at = 0;
	return 0;
}

static int receive_some(struct link *link, struct gb_err *err)
{
	if (link->rx_at) {
		gb_buf_eat(&link->rx, link->rx_at);
		link->rx_at = 0;
	}
	if (gb_buf_room(&link->rx, READ_PIECE) < 0)
		return gb_err_sys(err, ENOMEM, "reply");
	ssize_t n = read(link->fd, link->rx.data + link->rx.len, READ_PIECE);
	if (n > 0) {
		link->rx.len += (size_t)n;
		return 0;
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0 && errno != ECONNRESET)
		(void)gb_err_sys(err, errno, "receive");
	else
		(void)gb_err_set(err, ECONNRESET, "the peer closed the connection before the stream's end");
	return rpc_at_peer(link->stream->call, err);
}

/* Handles frames until output is pending, there is no whole one, or it is over: the result of frame(). */
static int frames(struct link *link, struct gb_err *err)
{
	struct rpc_stream *stream = link->stream;
	int r = 0;

	while (r == 0 && !pending(&stream->out[0]) && !pending(&stream->out[1])) {
		struct gb_frame frame;
		size_t left = link->rx.len - link->rx_at;
		long n = left ? gb_frame_parse(link->rx.data + link->rx_at, left, GB_FRAME_MAX, &frame) : 0;

		if (n < 0) {
			(void)gb_err_set(err, EPROTO, "reply: %s", gb_frame_strerror(n));
			return rpc_at_peer(stream->call, err);
		}
		if (n == 0)
			break;
		link->rx_at += (size_t)n;
		if (rpc_is_ours(stream->call, &frame))
			r = stream->frame(stream, &frame, err);
	}
	return r;
}

static int turn(struct link *link, struct gb_err *err)
{
	struct rpc_stream *stream = link->stream;
	bool out = pending(&stream->out[0]) || pending(&stream->out[1]), tx = link->tx_at < link->tx.len;
	struct pollfd p[] = {
		{ .fd = tx || !out ? link->fd : -1, .events = (short)((out ? 0 : POLLIN) | (tx ? POLLOUT : 0)) },
		{ .fd = tx || link->deaf ? -1 : stream->input, .events = POLLIN },
		{ .fd = pending(&stream->out[0]) ? stream->out[0].fd : -1, .events = POLLOUT },
		{ .fd = pending(&stream->out[1]) ? stream->out[1].fd : -1, .events = POLLOUT },
	};
	int r = 0;

	if (poll(p, GB_ARRAY_LEN(p), -1) < 0)
		return errno == EINTR ? 0 : gb_err_sys(err, errno, "poll");
	for (int i = 0; r == 0 && i < 2; i++) {
		if (p[2 + i].revents)
			r = write_out(link, i, err);
	}
	if (r == 0 && tx && p[0].revents & (POLLOUT | POLLHUP | POLLERR))
		r = send_some(link, err);
	if (r == 0 && p[1].revents)
		r = read_input(link, err);
	if (r == 0 && !out && p[0].revents & (POLLIN | POLLHUP | POLLERR))
		r = receive_some(link, err);
	return r;
}

static int run(struct link *link, struct gb_err *err)
{
	struct rpc_stream *stream = link->stream;
	int result = 0, r = 0;

	if (stream->input_end && stream->input < 0)
		r = put_input(link, NULL, 0, err);
	while (r == 0) {
		if (!result)
			result = frames(link, err);
		if (result < 0 && !pending(&stream->out[0]) && !pending(&stream->out[1]))
			return result;
		if (result && !pending(&stream->out[0]) && !pending(&stream->out[1]))
			return result;
		if (result) /* only the output is left */
			stream->input = -1;
		r = turn(link, err);
	}
	return r;
}

/* The peer has said its last word while a frame of ours was on the way. It may be a port, where whatever is left half said
 * stands in front of what the next host says. */
static void finish_frame(struct link *link)
{
	uint64_t deadline = gb_mono_ms() + LAST_MS;
	struct gb_err err;

	while (!link->deaf && link->tx_at < link->tx.len) {
		if (gb_net_wait(link->fd, POLLOUT, deadline) < 0 || send_some(link, &err) < 0)
			break;
	}
}

int rpc_stream(struct rpc_stream *stream, uint32_t type, const ProtobufCMessage *request, struct gb_err *err)
{
	gb_autobuf struct gb_buf payload = { 0 };
	uint64_t deadline = gb_mono_ms() + stream->call->timeout;
	struct link link = { .stream = stream };

	if (gb_pb_encode(request, &payload) < 0)
		return gb_err_sys(err, ENOMEM, "request");
	gb_autoclose int own = stream->conn ? -1 : rpc_connect(stream->call, deadline, err);
	int fd = stream->conn ? stream->conn : own;
	if (fd < 0)
		return fd;
	link.fd = fd;
	for (int i = 0; i < 2; i++)
		link.piece[i] = piece_of(stream->out[i].fd);
	for (int i = 0; i < 2; i++) {
		struct stat st;
		link.at_once[i] = fstat(stream->out[i].fd, &st) == 0 && S_ISFIFO(st.st_mode);
	}
	int r = gb_client_send(fd, type, stream->call->trace, gb_buf_text(&payload), payload.len, deadline, err);
	r = r < 0 ? rpc_at_peer(stream->call, err) : run(&link, err);
	finish_frame(&link);
	gb_buf_free(&link.rx);
	gb_buf_free(&link.tx);
	gb_buf_free(&stream->out[0].buf);
	gb_buf_free(&stream->out[1].buf);
	return r;
}
