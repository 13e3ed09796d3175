/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the words that its two processes exchange, some of them with a descriptor. */
#ifndef GB_RPCD_LINK_H
#define GB_RPCD_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "common/loop/loop.h"

enum rpcd_word_kind {
	/* From the front. */
	RPCD_OPEN,    /* a channel, for the requests of client id; code: its gb_conn_kind; text: its name */
	RPCD_DIAL,    /* the target of listener id is wanted; answered in order */
	RPCD_REOPEN,  /* listener id, a port, is to be opened anew */
	RPCD_DELIVERED, /* what DELIVER asked for */
	/* To the front. */
	RPCD_LISTEN,  /* listener id is up: its descriptor */
	RPCD_DIALLED, /* code: 0, EINPROGRESS (the descriptor becomes writable) or why there is none */
	RPCD_DELIVER, /* say when client id has taken all that has been sent to it, or is gone */
	RPCD_LOG,     /* the log goes on in this file */
	RPCD_STOP,    /* finish */
};

struct rpcd_word {
	uint32_t kind, id;
	int32_t code;
	char text[64];
};

struct rpcd_queued;

/* One end. */
struct rpcd_link {
	struct gb_io io;
	struct gb_loop *loop;
	/* A whole word; fd (or -1) is the callee's. */
	void (*word)(struct rpcd_link *link, const struct rpcd_word *word, int fd);
	void (*gone)(struct rpcd_link *link); /* the other end is closed */
	bool polite; /* takes no more words while its own wait for the other end: that one cannot fill our memory */
	STAILQ_HEAD(, rpcd_queued) queue;
};

/* Two connected, non-blocking descriptors that are closed at exec: 0 or -errno. */
int rpcd_link_pair(int fds[2]);
/* Watches fd; loop, word, gone and polite are set. 0 or -errno. */
int rpcd_link_open(struct rpcd_link *link, int fd);
void rpcd_link_close(struct rpcd_link *link);
/* Sends, now or as soon as there is room; fd (or -1) is taken over. 0 or -errno. */
int rpcd_link_send(struct rpcd_link *link, const struct rpcd_word *word, int fd);

#endif
