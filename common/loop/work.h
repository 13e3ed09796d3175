/* SPDX-License-Identifier: MIT */
/* Work that may block, done by threads beside a loop. */
#ifndef GB_LOOP_WORK_H
#define GB_LOOP_WORK_H

#include <pthread.h>
#include <stdbool.h>

#include "common/loop/loop.h"

/* run() is called in a thread; done() in the loop, after which the work is the caller's again. late() is called in the loop,
 * at most once and before done(), when run() has gone on for GB_POOL_LATE_MS; it may be NULL. */
struct gb_work {
	void (*run)(struct gb_work *work);
	void (*done)(struct gb_work *work);
	void (*late)(struct gb_work *work);
	/* the pool's */
	uint64_t begun;
	bool is_late;
	STAILQ_ENTRY(gb_work) link;
	TAILQ_ENTRY(gb_work) busy_link;
};

STAILQ_HEAD(gb_works, gb_work);

struct gb_pool {
	struct gb_loop *loop;
	struct gb_io wake; /* an eventfd: something is done */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct gb_works wanted, done;
	TAILQ_HEAD(, gb_work) busy; /* in the order of their begin */
	struct gb_timer watch;      /* runs while there is any that is not late */
	int threads, idle, queued, late, max;
};

enum {
	GB_POOL_LATE_MS = 1000,
	GB_POOL_LATE_MAX = 64, /* so many threads may be late beside the others */
};

/* No thread is started before there is work, and at most max of them; one that has had none for a while ends. 0 or
 * -errno. A pool is never closed: a thread may be stuck in the kernel for good, on a share whose server is gone. Such a
 * one takes no other's place: work that is late does not count for max. */
int gb_loop_pool_open(struct gb_pool *pool, struct gb_loop *loop, int max);

/* From the loop's thread. 0, or -EAGAIN when there is no thread and none can be started: then the work is still the caller's. */
int gb_loop_pool_submit(struct gb_pool *pool, struct gb_work *work);

#endif
