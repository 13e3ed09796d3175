/* SPDX-License-Identifier: MIT */
/* The calling side. */
#include "common/rpc/client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/addr.h"

/* A socket without SIGPIPE; a virtio-serial port is no socket. */
static ssize_t put(int fd, const void *data, size_t len)
{
	ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	return n < 0 && errno == ENOTSOCK ? write(fd, data, len) : n;
}

int gb_client_send(int fd, uint32_t type, const char *trace, const void *payload, size_t len, uint64_t deadline,
		   struct gb_err *err)
{
	gb_autobuf struct gb_buf buf = { 0 };
	unsigned char head[GB_FRAME_HEAD];
	size_t trace_len = strlen(trace);

	if (gb_frame_head(head, type, trace_len, len) < 0)
		return gb_err_set(err, EMSGSIZE, "the request is larger than a frame may be");
	(void)gb_buf_add(&buf, head, sizeof head);
	(void)gb_buf_add(&buf, trace, trace_len);
	if (gb_buf_add(&buf, payload, len) < 0)
		return gb_err_sys(err, ENOMEM, "request");
	for (size_t at = 0; at < buf.len;) {
		ssize_t n = put(fd, buf.data + at, buf.len - at);
		if (n >= 0) {
			at += (size_t)n;
			continue;
		}
		/* A peer that closed may have said why before: let the reader look. */
		if (errno == EPIPE || errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return gb_err_sys(err, errno, "send");
		int r = gb_net_wait(fd, POLLOUT, deadline);
		if (r < 0)
			return gb_err_sys(err, -r, "send");
	}
	return 0;
}

int gb_client_receive(int fd, struct gb_buf *buf, struct gb_frame *ret_frame, size_t *ret_size, uint64_t deadline,
		      struct gb_err *err)
{
	for (;;) {
		long r = buf->len ? gb_frame_parse(buf->data, buf->len, GB_FRAME_MAX, ret_frame) : 0;
		if (r < 0)
			return gb_err_set(err, EPROTO, "reply: %s", gb_frame_strerror(r));
		if (r > 0) {
			*ret_size = (size_t)r;
			return 0;
		}
		size_t room = buf->len < 65536 ? 65536 : buf->len;
		if (gb_buf_room(buf, room) < 0)
			return gb_err_sys(err, ENOMEM, "reply");
		ssize_t n = read(fd, buf->data + buf->len, room);
		if (n > 0) {
			buf->len += (size_t)n;
			continue;
		}
		if (n == 0)
			return gb_err_set(err, ECONNRESET, "the peer closed the connection %s",
					  buf->len ? "in the middle of its reply" : "without a reply");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return gb_err_sys(err, errno, "receive");
		int w = gb_net_wait(fd, POLLIN, deadline);
		if (w < 0)
			return gb_err_sys(err, -w, "no reply");
	}
}

int gb_client_error(const struct gb_frame *frame, struct gb_err *err)
{
	const char *text;
	int32_t code;
	size_t len;
	int r = gb_frame_error_parse(frame, &code, &text, &len);

	return gb_err_set(err, EREMOTEIO, "error %" PRId32 ": %.*s%s", code, (int)(len > 4096 ? 4096 : len), text,
			  r < 0 ? " (truncated)" : "");
}
