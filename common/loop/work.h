/* SPDX-License-Identifier: MIT */
/* Work that may block, done by threads beside a loop. */
#ifndef GB_LOOP_WORK_H
#define GB_LOOP_WORK_H

#include <pthread.h>
#include <stdbool.h>

#include "common/loop/loop.h"

/* run() is called in a thread; done() in the loop, after which the work is the caller's again. */
struct gb_work {
	void (*run)(struct gb_work *work);
	void (*done)(struct gb_work *work);
	STAILQ_ENTRY(gb_work) link;
};

STAILQ_HEAD(gb_works, gb_work);

struct gb_pool {
	struct gb_loop *loop;
	struct gb_io wake; /* an eventfd: something is done */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct gb_works wanted, done;
	int threads, idle, queued, max;
};

/* No thread is started before there is work, and at most max of them; one that has had none for a while ends. 0 or
 * -errno. A pool is never closed: a thread may be stuck in the kernel for good, on a share whose server is gone. */
int gb_pool_open(struct gb_pool *pool, struct gb_loop *loop, int max);

/* 0, or -EAGAIN when there is no thread and none can be started: then the work is still the caller's. */
int gb_pool_submit(struct gb_pool *pool, struct gb_work *work);

#endif
