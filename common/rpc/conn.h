/* SPDX-License-Identifier: MIT */
/* A connection of the daemon: frames in, replies out, with limits and deadlines. */
#ifndef GB_RPC_CONN_H
#define GB_RPC_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/loop/loop.h"
#include "common/rpc/frame.h"
#include "common/rpc/pb.h"

struct gb_conn;

/* What a daemon lends to all its connections. Calls into it: frame() for each request, which replies at once or calls
 * gb_conn_hold() and replies later; closed() when the connection is over (its memory is the daemon's to free). */
struct gb_conn_host {
	struct gb_loop *loop;
	void (*frame)(struct gb_conn *conn, const struct gb_frame *frame);
	void (*closed)(struct gb_conn *conn);
	/* Any of these may be NULL. turned(): after each turn of a connection that goes on. wrong(): of one that is attached, the
	 * stream is out of step, and the Error frame is the host's to place. input(): of one that is attached, frames of input
	 * (SandboxExecInput) in pieces as they come, heads and all. reset(): a port's host has left. */
	void (*turned)(struct gb_conn *conn);
	void (*wrong)(struct gb_conn *conn, const char *why);
	void (*input)(struct gb_conn *conn, const void *data, size_t len);
	void (*reset)(struct gb_conn *conn);
	uint64_t idle_ms;  /* between frames */
	uint64_t frame_ms; /* from the first byte of a frame to its last, and for a peer to take a piece of a reply */
	unsigned char scratch[65536]; /* one read(2) for whoever is at work: an idle connection holds no buffer */
};

/*
 * A held request that is answered by a stream of frames, and may go on with raw input (SandboxExecInput). conn->data is
 * the handler's meanwhile. Frames are added with gb_conn_reply() as long as gb_conn_room(), then gb_conn_turn() hands
 * them to the kernel. No deadline runs: a peer that takes nothing makes the handler wait, for as long as it stays. Among
 * input, an Error frame without content is the word of who passes the input on (the front): there is no more of it, and the
 * stream is over; an answer to what was wrong with it follows, as a frame of its own.
 */
struct gb_conn_stream {
	/* Bytes of input frames, in pieces as they come; len 0: the end of input, told once. The handler takes all it is
	 * given, and says with gb_conn_input() when it wants no more for now. NULL: no input; what the peer sends next
	 * waits, as behind any held request. */
	void (*input)(struct gb_conn *conn, const void *data, size_t len);
	/* gb_conn_room() has said no and would say yes now. Adds no frames itself. */
	void (*room)(struct gb_conn *conn);
	/* The peer has vanished or sent what is no frame, or the daemon ends: conn must not be used any more. */
	void (*gone)(struct gb_conn *conn);
};

enum gb_conn_kind {
	GB_CONN_SOCKET,
	GB_CONN_PORT, /* a virtio-serial port: its end of file is a host that left, and another may come */
	GB_CONN_PIPE, /* stdio: any file, maybe two descriptors */
};

struct gb_conn {
	struct gb_conn_host *host;
	enum gb_conn_kind kind;
	struct gb_io in, out; /* out is used when writing waits on a descriptor of its own */
	int wfd;
	char name[64];        /* for log lines */
	struct gb_buf rx, tx; /* the start of a frame; replies not written yet */
	size_t tx_at;
	struct gb_timer timer;
	uint64_t deadline;
	uint64_t rx_since; /* when the first byte of rx came */
	uint64_t tx_since; /* when the peer last took something of tx */
	const struct gb_conn_stream *stream;
	size_t raw_left;  /* of an input frame's payload */
	bool input_full;  /* the handler wants no input for now */
	bool input_over;  /* it was told the end of it */
	bool input_late;  /* port: input frames may still come, after the stream's end */
	bool half;        /* the peer has ended its side: EPOLLRDHUP would be told without end */
	bool starved;     /* gb_conn_room() has said no */
	bool linger;      /* the last frame is on its way; what comes is thrown away */
	bool shut;        /* its own side has ended */
	bool attached; /* replies come from elsewhere (gb_conn_pass()), maybe long after the requests: no end before them */
	bool lasting;  /* may be idle for ever */
	bool patient;  /* the peer may leave its replies where they are for ever: an exec session that nobody looks at */
	bool held;    /* a handler has yet to reply: nothing more is read or parsed */
	bool ended;   /* the peer has sent all it will */
	bool closing; /* nothing more is parsed; the connection ends when tx is out */
	bool early;   /* port: data has come before the news that a host is there; kept for a moment */
	bool settle;  /* ... or may have: the port looks as if its last host were there still */
	const char *skip_why;
	bool skip;    /* port: what arrives is thrown away until it has been quiet for a moment */
	bool busy;    /* on the stack: whoever ends the connection leaves the rest to the caller there */
	bool dead;
	void *data;   /* the handler's, while held; NULL after that */
	void (*drained)(struct gb_conn *conn); /* called once when tx is out (or lost) */
	TAILQ_ENTRY(gb_conn) link;
};

/* Starts to serve rfd and wfd (may be the same; owned from here on, and non-blocking). host, kind and name are set by
 * the caller, the rest is zero. 0 or -errno (the descriptors are closed then). */
int gb_conn_start(struct gb_conn *conn, int rfd, int wfd);

/* Whoever is in the middle of a frame, or has a reply to take, goes on within ms, or is taken for gone. For a machine that
 * was paused: the peer may not have survived it. An idle peer is left alone. */
void gb_conn_hurry(struct gb_conn *conn, uint64_t ms);

/* Ends it now; closed() is called. */
void gb_conn_end(struct gb_conn *conn);

/* Replies with a message, or with an Error frame. The trace id is the request's. A reply that no client could take
 * becomes an Error frame. Without memory for it the connection ends, in its next turn: it is there as long as its caller
 * takes none. */
void gb_conn_reply(struct gb_conn *conn, uint32_t type, const void *trace, size_t trace_len,
		   const ProtobufCMessage *message);
void gb_conn_error(struct gb_conn *conn, const void *trace, size_t trace_len, int code, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Whether all that was replied so far has been handed to the kernel. A held connection's handler may then write whole
 * frames to the descriptor itself. */
bool gb_conn_is_flushed(const struct gb_conn *conn);

/* Hands on bytes of replies that are frames already; gb_conn_turn() goes on from there. 0, or -errno: the peer is gone, or
 * there is no memory. */
int gb_conn_pass(struct gb_conn *conn, const void *data, size_t len);
/* Reads no more; when the peer has all replies it is given a moment to close its side. conn may be gone after it. */
void gb_conn_linger(struct gb_conn *conn);
/* Whether the peer takes its replies fast enough for more of them. */
bool gb_conn_takes(const struct gb_conn *conn);
/* Looks at the connection again after the host has changed something about it. It may be gone after that. */
void gb_conn_turn(struct gb_conn *conn);

/* The handler will reply later; until gb_conn_resume() no other request of this connection is looked at. */
void gb_conn_hold(struct gb_conn *conn);
/* After the reply: goes on. */
void gb_conn_resume(struct gb_conn *conn);

/* Turns a held request into a stream. */
void gb_conn_stream(struct gb_conn *conn, const struct gb_conn_stream *stream);
/* Whether more frames may be added: the memory of a connection is bounded by this. */
bool gb_conn_room(struct gb_conn *conn);
/* Whether the stream wants its input. */
void gb_conn_input(struct gb_conn *conn, bool wanted);
/* After the last frame of a stream that took input, which may have been cut in half: the connection ends as soon as the
 * peer has that frame (a port, or what is lasting, serves the next host). One without input ends with gb_conn_resume(). */
void gb_conn_stream_end(struct gb_conn *conn);

/* Calls fn once when all that was replied so far has been handed to the kernel, or never will be. */
void gb_conn_when_drained(struct gb_conn *conn, void (*fn)(struct gb_conn *conn));

/* Reads no more requests; ends when the replies are out. */
void gb_conn_finish(struct gb_conn *conn);

#endif
