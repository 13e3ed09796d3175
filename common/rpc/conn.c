/* SPDX-License-Identifier: MIT */
/* A connection of the daemon. */
#include "common/rpc/conn.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/rpc/parts.h"
#include "common/rpc/wire.h"

enum {
	LINGER_MS = 1000,    /* what the peer of an ended exec session has to close */
	QUIET_MS = 200,      /* a port that is out of step: this much silence and the next byte starts a frame */
	EARLY_MS = 250,      /* a port: how long the news of a host may come behind its first bytes */
	SETTLE_MS = 25,      /* a port: how long the news that the last host has left may come behind the next one's bytes */
};

/* The peer of a stream is gone; its handler goes on alone. */
static void leave_stream(struct gb_conn *conn)
{
	const struct gb_conn_stream *stream = conn->stream;

	if (!stream)
		return;
	conn->stream = NULL;
	conn->held = false;
	stream->gone(conn);
	conn->data = NULL;
}

static void update(struct gb_conn *conn);
static void turn(struct gb_conn *conn, uint32_t events);

static void bury(struct gb_conn *conn)
{
	conn->busy = true; /* once, whatever those that are told of it do */
	gb_loop_timer_stop(&conn->timer);
	gb_loop_del(&conn->in);
	gb_loop_del(&conn->out);
	if (conn->wfd != conn->in.fd)
		(void)close(conn->wfd);
	(void)close(conn->in.fd);
	gb_buf_free(&conn->rx);
	gb_buf_free(&conn->tx);
	void (*drained)(struct gb_conn *) = conn->drained;
	conn->drained = NULL;
	if (drained)
		drained(conn);
	leave_stream(conn);
	conn->host->closed(conn);
}

void gb_conn_end(struct gb_conn *conn)
{
	conn->dead = true;
	if (!conn->busy)
		bury(conn);
}

void gb_conn_lose(struct gb_conn *conn)
{
	conn->dead = true;
	if (!conn->busy)
		gb_loop_timer(conn->host->loop, &conn->timer, 0);
}

/* ---- deadlines ---- */

/* When the peer has to have done its part. The timer is armed for the earliest deadline seen and looks at this when it
 * fires: a busy connection moves its deadline with one store. */
static void rearm(struct gb_conn *conn)
{
	struct gb_loop *loop = conn->host->loop;
	uint64_t now = gb_loop_now(loop), due;

	if (conn->skip)
		due = now + QUIET_MS;
	else if (conn->early)
		due = conn->rx_since + (conn->settle ? SETTLE_MS : EARLY_MS);
	else if (conn->linger && !gb_conn_tx_left(conn))
		due = conn->tx_since + LINGER_MS;
	else if (conn->stream)
		due = UINT64_MAX;
	else if (gb_conn_tx_left(conn))
		due = conn->patient ? UINT64_MAX : conn->tx_since + conn->host->frame_ms;
	else if (conn->held)
		due = UINT64_MAX;
	else if (conn->rx.len && !conn->ended)
		due = conn->rx_since + conn->host->frame_ms;
	else if (conn->attached || conn->lasting)
		due = UINT64_MAX;
	else
		due = now + conn->host->idle_ms;
	conn->deadline = due;
	if (due != UINT64_MAX && (!conn->timer.loop || conn->timer.due > due))
		gb_loop_timer(loop, &conn->timer, due > now ? due - now : 0);
}

void gb_conn_hurry(struct gb_conn *conn, uint64_t ms)
{
	uint64_t due = gb_loop_now(conn->host->loop) + ms;

	if (conn->dead || conn->deadline <= due || conn->held || conn->stream || (!conn->rx.len && !gb_conn_tx_left(conn)))
		return;
	conn->deadline = due;
	if (!conn->timer.loop || conn->timer.due > due)
		gb_loop_timer(conn->host->loop, &conn->timer, ms);
}

/* A port stays open for the next client; its state starts afresh. */
static void reset_port(struct gb_conn *conn)
{
	leave_stream(conn);
	gb_buf_free(&conn->rx);
	gb_conn_drop_tx(conn);
	conn->raw_left = 0;
	conn->input_late = conn->half = false;
	conn->skip = conn->early = conn->settle = conn->closing = conn->ended = false;
	if (conn->host->reset)
		conn->host->reset(conn);
	rearm(conn);
}

/* Tells what was wrong with the stream, behind the replies that are to come before that. */
static void complain(struct gb_conn *conn, const char *why)
{
	leave_stream(conn); /* its input is cut, and nothing may stand behind the answer */
	if (conn->attached && conn->host->wrong)
		conn->host->wrong(conn, why);
	else
		gb_conn_error(conn, NULL, 0, GB_RPC_INVALID, "invalid request: %s", why);
}

static void on_timer(struct gb_timer *timer)
{
	struct gb_conn *conn = (struct gb_conn *)((char *)timer - offsetof(struct gb_conn, timer));
	uint64_t now = gb_loop_now(conn->host->loop);

	if (conn->dead) {
		bury(conn);
		return;
	}
	if (conn->deadline > now) {
		if (conn->deadline != UINT64_MAX)
			gb_loop_timer(conn->host->loop, timer, conn->deadline - now);
		return;
	}
	if (conn->skip) {
		conn->skip = false;
		conn->busy = true; /* if there is no memory for it, turn() is where it ends */
		complain(conn, conn->skip_why);
		turn(conn, 0); /* an end of file drops it again */
		return;
	}
	if (conn->settle) {
		conn->settle = conn->early = false;
		gb_conn_port_watch(conn);
		turn(conn, 0);
		return;
	}
	if (conn->early) {
		gb_log(GB_LOG_INFO, "%s: bytes from a host that is not there", conn->name);
		reset_port(conn);
		return;
	}
	if (conn->linger && !gb_conn_tx_left(conn)) {
		gb_conn_end(conn);
		return;
	}
	const char *why = gb_conn_tx_left(conn) ? "the peer takes no reply" : conn->rx.len ? "half a frame, and no more of it" : "idle";
	gb_log(conn->kind == GB_CONN_PORT && !gb_conn_tx_left(conn) && !conn->rx.len ? GB_LOG_DEBUG : GB_LOG_INFO, "%s: %s for %llu ms",
	       conn->name, why,
	       (unsigned long long)(conn->rx.len || gb_conn_tx_left(conn) ? conn->host->frame_ms : conn->host->idle_ms));
	if (conn->kind == GB_CONN_PORT) {
		reset_port(conn);
		update(conn);
	} else {
		gb_conn_end(conn);
	}
}

void gb_conn_turn(struct gb_conn *conn)
{
	if (!conn->busy)
		turn(conn, 0);
}

void gb_conn_hold(struct gb_conn *conn)
{
	conn->held = true;
}

/* ---- streams ---- */

static bool open_for_input(const struct gb_conn *conn)
{
	return !conn->dead && conn->stream && conn->stream->input && !conn->input_full && !conn->input_over;
}

static void end_input(struct gb_conn *conn)
{
	if (!conn->stream || !conn->stream->input || conn->input_over)
		return;
	conn->input_over = true;
	conn->stream->input(conn, NULL, 0);
}

/* An input frame, or a part of it, at the start of data: how many bytes were taken, 0: there is too little, or a
 * GB_FRAME_E_. */
static long take_input(struct gb_conn *conn, const char *data, size_t len)
{
	struct gb_frame frame;

	if (conn->raw_left) {
		size_t n = len < conn->raw_left ? len : conn->raw_left;
		conn->raw_left -= n;
		if (n && open_for_input(conn))
			conn->stream->input(conn, data, n);
		return (long)n;
	}
	long r = gb_frame_open(data, len, GB_FRAME_MAX, &frame);
	if (r <= 0)
		return r;
	if (frame.type == GB_WIRE_ERROR && frame.payload_len == 0) {
		leave_stream(conn);
	} else if (frame.type != GB_WIRE_SANDBOX_EXEC_INPUT || frame.payload_len == 0) {
		end_input(conn);
	} else {
		conn->raw_left = frame.payload_len;
	}
	return r;
}

/* ---- reading ---- */

/* Whether requests may be looked at now. */
static bool open_for_more(const struct gb_conn *conn)
{
	return !conn->dead && !conn->held && !conn->closing && !conn->early && gb_conn_tx_left(conn) < GB_CONN_TX_HIGH;
}

static void out_of_step(struct gb_conn *conn, const char *why)
{
	gb_log(GB_LOG_WARNING, "%s: %s", conn->name, why);
	if (conn->kind == GB_CONN_PORT) {
		/* Whoever sent it may have left already: the answer waits until nothing more comes. */
		conn->skip = true;
		conn->skip_why = why;
		return;
	}
	complain(conn, why);
	conn->closing = true;
}

/* Input frames go on as they are, whether whole or not: how many bytes did, 0 if there is none at the start of data. */
static size_t pass_input(struct gb_conn *conn, const char *data, size_t len)
{
	struct gb_frame frame;
	size_t n = len < conn->raw_left ? len : conn->raw_left;

	if (!conn->attached || !conn->host->input)
		return 0;
	if (conn->raw_left) {
		conn->raw_left -= n;
	} else {
		long r = gb_frame_open(data, len, GB_FRAME_MAX, &frame);
		if (r <= 0 || frame.type != GB_WIRE_SANDBOX_EXEC_INPUT)
			return 0;
		n = (size_t)r;
		conn->raw_left = frame.payload_len;
	}
	if (n)
		conn->host->input(conn, data, n);
	return n;
}

/* Handles the whole frames at the start of data: how many bytes they took. */
static size_t frames(struct gb_conn *conn, const char *data, size_t len)
{
	size_t at = 0;

	while (!conn->skip) {
		struct gb_frame frame;
		long r;

		size_t passed = open_for_more(conn) ? pass_input(conn, data + at, len - at) : 0;
		at += passed;
		if (passed)
			continue;
		if (open_for_input(conn) || (conn->raw_left && open_for_more(conn))) {
			r = take_input(conn, data + at, len - at);
			if (r > 0) {
				at += (size_t)r;
				continue;
			}
		} else if (open_for_more(conn)) {
			r = gb_frame_parse(data + at, len - at, conn->input_late ? GB_FRAME_MAX : GB_FRAME_REQUEST_MAX, &frame);
		} else {
			break;
		}
		if (r == 0)
			break;
		if (r < 0) {
			out_of_step(conn, gb_frame_strerror(r));
			return len;
		}
		at += (size_t)r;
		if (conn->input_late && frame.type == GB_WIRE_SANDBOX_EXEC_INPUT)
			continue; /* it has crossed the end of its session */
		/* Refused at once, it may have its input on the way still: on a port an Error frame for that could be the next host's. */
		conn->input_late = (conn->kind == GB_CONN_PORT || conn->lasting) &&
				   (frame.type == GB_WIRE_SANDBOX_EXEC || frame.type == GB_WIRE_IMAGE_IMPORT);
		conn->host->frame(conn, &frame);
	}
	return conn->skip || conn->closing || (conn->stream && conn->input_over) ? len : at;
}

/* Looks at what is there: the kept start of a frame with data behind it. */
static void feed(struct gb_conn *conn, const char *data, size_t len)
{
	if (gb_conn_port_afresh(conn, data, len)) {
		gb_log(GB_LOG_INFO, "%s: a request where the rest of another was to come", conn->name);
		if (conn->raw_left)
			reset_port(conn); /* whoever takes the input has half a frame of it, too */
		gb_buf_free(&conn->rx);
		conn->skip = false;
		if (!conn->early) { /* the news that the one before has left may be on its way still, and would take this one along */
			conn->settle = conn->early = true;
			conn->rx_since = gb_loop_now(conn->host->loop);
		}
	}
	if (conn->skip)
		return;
	if (conn->rx.len == 0) {
		size_t used = frames(conn, data, len);
		data += used;
		len -= used;
	}
	if (len && conn->rx.len == 0)
		conn->rx_since = gb_loop_now(conn->host->loop);
	if (len && !conn->dead && gb_buf_add(&conn->rx, data, len) < 0) {
		gb_log(GB_LOG_ERR, "%s: out of memory for a request", conn->name);
		gb_conn_end(conn);
	}
}

/* Handles what is kept, as far as it goes. */
static void digest(struct gb_conn *conn)
{
	if (conn->dead || !conn->rx.len)
		return;
	size_t used = frames(conn, conn->rx.data, conn->rx.len);
	if (conn->dead)
		return;
	if (used == conn->rx.len)
		gb_buf_free(&conn->rx);
	if (used && conn->rx.len) {
		gb_buf_eat(&conn->rx, used);
		conn->rx_since = gb_loop_now(conn->host->loop);
	}
}

static ssize_t get(struct gb_conn *conn, void *data, size_t len)
{
	if (conn->kind == GB_CONN_SOCKET)
		return recv(conn->in.fd, data, len, MSG_DONTWAIT);
	return read(conn->in.fd, data, len);
}

static void on_end(struct gb_conn *conn)
{
	if (conn->kind == GB_CONN_PORT) {
		/* The host's end was closed: neither half a request nor a reply may reach whoever opens it next. */
		if (conn->rx.len || gb_conn_tx_left(conn))
			gb_log(GB_LOG_INFO, "%s: the host left in the middle of a message", conn->name);
		reset_port(conn);
		return;
	}
	if (conn->linger && !gb_conn_tx_left(conn)) {
		gb_conn_end(conn);
		return;
	}
	if (conn->rx.len && !conn->held)
		gb_log(GB_LOG_INFO, "%s: the stream ended inside a frame", conn->name);
	conn->ended = true;
	end_input(conn);
}

/* Reads, handles, writes, until there is nothing more to do without waiting. */
static void pump(struct gb_conn *conn)
{
	struct gb_conn_host *host = conn->host;
	bool full;

	if (conn->early)
		gb_conn_port_watch(conn);
	do {
		full = false;
		digest(conn);
		bool early = conn->early && conn->rx.len <= GB_FRAME_REQUEST_MAX; /* the rest is kept by the port itself */
		if ((open_for_more(conn) || open_for_input(conn) || early || conn->linger) && !conn->ended) {
			ssize_t n = get(conn, host->scratch, sizeof host->scratch);
			if (n > 0) {
				full = (size_t)n == sizeof host->scratch || conn->kind == GB_CONN_PORT;
				if (conn->kind == GB_CONN_PORT) {
					bool next = gb_conn_port_next(conn, (const char *)host->scratch, (size_t)n);
					gb_conn_port_watch(conn);
					if (next && !conn->early) {
						conn->settle = conn->early = true;
						conn->rx_since = gb_loop_now(host->loop);
					}
				}
				if (!conn->linger) {
					feed(conn, (const char *)host->scratch, (size_t)n);
					digest(conn);
				}
			} else if (n == 0) {
				if (!conn->early)
					on_end(conn);
			} else if (errno == EINTR) {
				full = true;
			} else if (errno != EAGAIN) {
				if (errno != ECONNRESET && errno != ECONNABORTED && errno != EPIPE)
					gb_log(GB_LOG_INFO, "%s: read: %s", conn->name, strerror(errno));
				gb_conn_end(conn);
			}
		}
		if (!conn->dead && !gb_conn_flush(conn)) {
			if (conn->kind == GB_CONN_PORT)
				reset_port(conn);
			else
				gb_conn_end(conn);
		}
	} while (full && !conn->dead);
}

/* Whether a peer who leaves is to be noticed though nothing is read from it: replies are made for it as time goes by. */
static bool watched(const struct gb_conn *conn, uint32_t events)
{
	if (conn->stream)
		return true;
	return conn->attached && ((conn->kind == GB_CONN_SOCKET && conn->ended) || (conn->kind == GB_CONN_PIPE && events == EPOLLERR));
}

/* After each turn: is it over, and what is to be waited for? */
static void update(struct gb_conn *conn)
{
	if (conn->dead)
		return;
	if (conn->host->turned)
		conn->host->turned(conn);
	if (conn->dead)
		return;
	rearm(conn);
	bool over = ((conn->closing && !conn->linger) || conn->ended) && !conn->held && !conn->attached;
	if (over && !gb_conn_tx_left(conn)) {
		gb_conn_end(conn);
		return;
	}
	uint32_t in = (open_for_more(conn) || open_for_input(conn) || conn->linger) && !conn->ended ? EPOLLIN : 0;
	if (conn->kind == GB_CONN_SOCKET && watched(conn, 0)) /* once half of it has ended, only news are of interest */
		in |= EPOLLRDHUP | (conn->half ? EPOLLET : 0);
	uint32_t out = gb_conn_tx_left(conn) ? EPOLLOUT : 0;
	bool waits = conn->stream || conn->attached;
	int r = 0;
	if (conn->kind == GB_CONN_PORT)
		return; /* it always waits for every edge */
	if (conn->wfd == conn->in.fd) {
		if (conn->in.loop)
			r = gb_loop_mod(&conn->in, in | out);
	} else {
		if (conn->in.loop)
			r = gb_loop_mod(&conn->in, in);
		if (r == 0 && conn->out.loop) {
			r = gb_loop_mod(&conn->out, out);
		} else if (r == 0 && (out || waits)) { /* who writes nothing wants to see it closed, too */
			conn->out.events = out;
			r = gb_loop_add(conn->host->loop, &conn->out);
		}
		if (!out && !waits) {
			gb_loop_del(&conn->out);
		}
	}
	if (r < 0) {
		gb_log(GB_LOG_ERR, "%s: epoll: %s", conn->name, strerror(-r));
		gb_conn_end(conn);
	}
}

/* Whether the peer of a stream takes nothing more. A vsock tells by EPOLLRDHUP alone that its peer was closed: only a
 * write, be it of nothing, tells that from a side that has ended (vsock_connectible_sendmsg(), net/vmw_vsock/af_vsock.c). */
static bool vanished(struct gb_conn *conn, uint32_t events)
{
	struct pollfd p = { .fd = conn->in.fd, .events = POLLIN };

	if (conn->kind == GB_CONN_PORT)
		return events & EPOLLHUP && poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
	if (events & (EPOLLHUP | EPOLLERR))
		return true;
	if (!(events & EPOLLRDHUP))
		return false;
	conn->half = true;
	return send(conn->wfd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN && errno != EINTR;
}

/* A turn: everything that ends the connection on the way is done at the end of it. */
static void turn(struct gb_conn *conn, uint32_t events)
{
	conn->busy = true;
	if (!conn->dead)
		pump(conn);
	if (!conn->dead && conn->linger && !gb_conn_tx_left(conn) && !conn->shut) {
		conn->shut = true;
		if (shutdown(conn->wfd, SHUT_WR) < 0) /* a pipe cannot: it is over */
			gb_conn_end(conn);
	}
	if (!conn->dead && events && watched(conn, events) && vanished(conn, events)) {
		gb_log(GB_LOG_DEBUG, "%s: the peer has left before its replies", conn->name);
		if (conn->kind == GB_CONN_PORT)
			reset_port(conn);
		else
			gb_conn_end(conn);
	}
	if (!conn->dead && conn->stream && conn->starved && gb_conn_tx_left(conn) < GB_CONN_TX_LOW) {
		conn->starved = false;
		conn->stream->room(conn);
	}
	update(conn);
	/* The peer is gone altogether, and there is nothing to be read: level-triggered, it would be told again and again
	 * while a handler is at work. */
	if (!conn->dead && conn->kind != GB_CONN_PORT && events & (EPOLLHUP | EPOLLERR) && !(conn->in.events & EPOLLIN)) {
		if (conn->held || conn->wfd != conn->in.fd)
			gb_loop_del(&conn->in);
		else
			gb_conn_end(conn);
	}
	conn->busy = false;
	if (conn->dead)
		bury(conn);
}

static void on_in(struct gb_io *io, uint32_t events)
{
	turn((struct gb_conn *)((char *)io - offsetof(struct gb_conn, in)), events);
}

static void on_out(struct gb_io *io, uint32_t events)
{
	turn((struct gb_conn *)((char *)io - offsetof(struct gb_conn, out)), events & EPOLLERR);
}

void gb_conn_resume(struct gb_conn *conn)
{
	conn->stream = NULL;
	if (!gb_conn_tx_left(conn))
		gb_conn_drop_tx(conn);
	conn->held = false;
	conn->data = NULL;
	if (conn->busy) /* the reply came within frame(): the loop there goes on by itself */
		return;
	conn->rx_since = gb_loop_now(conn->host->loop); /* it was not the peer who let the rest of a frame wait */
	if (!conn->in.loop && !conn->ended) {
		/* It had hung up while the handler was at work; what it sent before is still to be read. */
		int r = conn->dead ? 0 : gb_loop_add(conn->host->loop, &conn->in);
		if (r < 0) {
			gb_conn_end(conn);
			return;
		}
	}
	turn(conn, 0);
}

void gb_conn_finish(struct gb_conn *conn)
{
	conn->closing = true;
	gb_conn_turn(conn);
}

int gb_conn_start(struct gb_conn *conn, int rfd, int wfd)
{
	conn->wfd = wfd;
	conn->in = (struct gb_io){ .fd = rfd, .events = EPOLLIN, .fn = on_in };
	conn->out = (struct gb_io){ .fd = wfd, .fn = on_out };
	conn->timer.fn = on_timer;
	/* A port whose host is away reports EPOLLHUP without end: only its edges are of interest, and all of them. */
	if (conn->kind == GB_CONN_PORT)
		conn->in.events |= EPOLLOUT | EPOLLET;
	int r = gb_loop_add(conn->host->loop, &conn->in);
	if (r < 0) {
		if (wfd != rfd)
			(void)close(wfd);
		(void)close(rfd);
		return r;
	}
	rearm(conn);
	return 0;
}
