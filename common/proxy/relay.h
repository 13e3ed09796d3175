/* SPDX-License-Identifier: MIT */
/* Relays: two stream sockets joined, their bytes moved by splice(2), on the event loop. */
#ifndef GB_PROXY_RELAY_H
#define GB_PROXY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "common/loop/loop.h"

/*
 * What one end sends, the other gets: each byte once, in order, and then the end of the stream (half-close), in both
 * directions independently. When an end is gone for good (closed, reset, an error), what it had sent before is still
 * delivered, and then both ends are closed: nothing lingers half dead.
 *
 * The bytes are held by the kernel. A pipe belongs to a direction only while bytes of it are on the way and cannot be
 * delivered at once; idle connections own none. At most `pipes_max` exist; a relay that finds them all in use looks at
 * the bytes where they are (MSG_PEEK) and takes out what the other end took: slower, but it needs no memory of its own,
 * so that any number of peers that stopped reading can neither fill the memory nor stop the others.
 */

enum {
	GB_RELAY_PIPE = 256 * 1024, /* the size of a pipe, in bytes, where the kernel grants it (pipe(7)) */
	GB_RELAY_PIPES = 64,        /* how many at most: 16 MiB */
	GB_RELAY_SCRATCH = 64 * 1024,
};

struct gb_relay_pipe {
	int fd[2];
	SLIST_ENTRY(gb_relay_pipe) link;
};

struct gb_relay;

/* What the relays of a loop share. Owned by the caller, from gb_relay_open() to gb_relay_close(). */
struct gb_relays {
	struct gb_loop *loop;
	/* A relay is over: its descriptors are closed, it may be freed. error is 0 or the errno that ended it. */
	void (*ended)(struct gb_relay *relay, int error);
	unsigned pipes_max; /* 0 is taken as it is: without pipes */
	unsigned pipes;     /* that exist, the idle ones included */
	SLIST_HEAD(, gb_relay_pipe) idle;
	TAILQ_HEAD(, gb_relay) hot; /* those that have had their turn and could go on */
	struct gb_io again;
	unsigned char scratch[GB_RELAY_SCRATCH];
};

/* One end. */
struct gb_relay_end {
	struct gb_io io;
	struct gb_relay *relay;
	bool readable, writable; /* as far as we know: cleared by EAGAIN, set by the next edge */
	bool tcp;
};

/* One direction: flow[i] goes from end[i] to the other one. */
struct gb_flow {
	struct gb_relay_pipe *pipe;
	size_t held;    /* bytes in the pipe */
	uint64_t bytes; /* delivered so far */
	bool eof;       /* its source has ended */
	bool done;      /* and so has its target, or it can get no more */
	bool copy;      /* the kernel does not splice this kind */
};

struct gb_relay {
	struct gb_relays *host;
	struct gb_relay_end end[2];
	struct gb_flow flow[2];
	struct gb_timer linger;
	int lingering; /* the end that still has bytes on the way, -1: none */
	unsigned lingered;
	bool hot, draining, rerun;
	int error;
	TAILQ_ENTRY(gb_relay) link;
};

/* 0 or -errno. */
int gb_relay_open(struct gb_relays *host, struct gb_loop *loop, void (*ended)(struct gb_relay *relay, int error));
/* All relays have ended, or were ended by gb_relay_stop(). */
void gb_relay_close(struct gb_relays *host);

/* Joins two connected, non-blocking stream sockets, which it owns from here on, in failure as well. 0, or -errno (then
 * `ended` is not called). Nothing is moved before the loop's next turn. */
int gb_relay_start(struct gb_relays *host, struct gb_relay *relay, int a, int b);

/* Ends it at once; `ended` is called. */
void gb_relay_stop(struct gb_relay *relay, int error);

#endif
