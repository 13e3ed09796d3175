/* SPDX-License-Identifier: MIT */
/* Threads beside a loop. */
#include "common/loop/work.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mono.h"

enum { STACK = 128 << 10, IDLE_S = 10 };

static void *worker(void *data)
{
	struct gb_pool *pool = data;

	(void)pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct gb_work *work = STAILQ_FIRST(&pool->wanted);
		if (!work) {
			struct timespec until;
			(void)clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_sec += IDLE_S;
			pool->idle++;
			int r = pthread_cond_timedwait(&pool->more, &pool->lock, &until);
			pool->idle--;
			if (r == ETIMEDOUT && STAILQ_EMPTY(&pool->wanted))
				break;
			continue;
		}
		STAILQ_REMOVE_HEAD(&pool->wanted, link);
		pool->queued--;
		work->begun = gb_mono_ms();
		TAILQ_INSERT_TAIL(&pool->busy, work, busy_link);
		(void)pthread_mutex_unlock(&pool->lock);
		work->run(work);
		(void)pthread_mutex_lock(&pool->lock);
		TAILQ_REMOVE(&pool->busy, work, busy_link);
		if (work->is_late)
			pool->late--;
		STAILQ_INSERT_TAIL(&pool->done, work, link);
		uint64_t one = 1;
		ssize_t n = write(pool->wake.fd, &one, sizeof one);
		(void)n; /* an eventfd's counter that is full has woken the loop already */
		if (pool->threads - pool->late > pool->max) /* another one has its place by now */
			break;
	}
	pool->threads--;
	(void)pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static void on_wake(struct gb_io *io, uint32_t events)
{
	struct gb_pool *pool = (struct gb_pool *)((char *)io - offsetof(struct gb_pool, wake));
	uint64_t count;
	ssize_t n = read(io->fd, &count, sizeof count);

	(void)events;
	(void)n;
	for (;;) {
		(void)pthread_mutex_lock(&pool->lock);
		struct gb_work *work = STAILQ_FIRST(&pool->done);
		if (work)
			STAILQ_REMOVE_HEAD(&pool->done, link);
		(void)pthread_mutex_unlock(&pool->lock);
		if (!work)
			return;
		work->done(work);
	}
}

static void on_watch(struct gb_timer *timer);

int gb_loop_pool_open(struct gb_pool *pool, struct gb_loop *loop, int max)
{
	pthread_condattr_t attr;

	memset(pool, 0, sizeof *pool);
	pool->loop = loop;
	pool->max = max;
	STAILQ_INIT(&pool->wanted);
	STAILQ_INIT(&pool->done);
	TAILQ_INIT(&pool->busy);
	pool->watch.fn = on_watch;
	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&pool->more, &attr);
	(void)pthread_condattr_destroy(&attr);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	pool->wake = (struct gb_io){ .fd = fd, .events = EPOLLIN, .fn = on_wake };
	int r = gb_loop_add(loop, &pool->wake);
	if (r < 0)
		(void)close(fd);
	return r;
}

/* A detached thread with a small stack that takes no signals, which are the loop's; but for those of its own doing: a
 * fault whose signal is blocked ends the process whatever its handler (sigprocmask(2)). */
static int start_thread(struct gb_pool *pool)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK);
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGILL);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(&thread, &attr, worker, pool);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

/* Another one, when there may be. 0 or -errno. */
static int add_thread(struct gb_pool *pool)
{
	if (pool->threads - pool->late >= pool->max || pool->late > GB_POOL_LATE_MAX)
		return 0;
	int r = start_thread(pool);
	if (r == 0)
		pool->threads++;
	return r;
}

/* The oldest that has just become late. */
static struct gb_work *find_late(struct gb_pool *pool, uint64_t now, bool *ret_more)
{
	struct gb_work *work;

	*ret_more = !STAILQ_EMPTY(&pool->wanted);
	TAILQ_FOREACH(work, &pool->busy, busy_link) {
		if (work->is_late)
			continue;
		if (now - work->begun >= GB_POOL_LATE_MS)
			return work;
		*ret_more = true;
		break;
	}
	return NULL;
}

static void on_watch(struct gb_timer *timer)
{
	struct gb_pool *pool = (struct gb_pool *)((char *)timer - offsetof(struct gb_pool, watch));
	uint64_t now = gb_mono_ms();
	struct gb_work *work;
	bool more = false;

	do {
		(void)pthread_mutex_lock(&pool->lock);
		work = find_late(pool, now, &more);
		if (work) {
			work->is_late = true;
			pool->late++;
		}
		if (pool->queued > pool->idle)
			(void)add_thread(pool); /* none: another time */
		(void)pthread_mutex_unlock(&pool->lock);
		/* Even if it comes to its end now: done() is called in this thread. */
		if (work && work->late)
			work->late(work);
	} while (work);
	if (more)
		gb_loop_timer(pool->loop, &pool->watch, GB_POOL_LATE_MS);
}

int gb_loop_pool_submit(struct gb_pool *pool, struct gb_work *work)
{
	int r = 0;

	work->is_late = false;
	(void)pthread_mutex_lock(&pool->lock);
	/* An idle thread that has been woken for earlier work, and has not come to it yet, is none for this: work may wait for
	 * what other work does. */
	if (pool->queued >= pool->idle) {
		r = add_thread(pool);
		if (pool->threads)
			r = 0; /* those that are there will come to it */
	}
	if (r == 0) {
		STAILQ_INSERT_TAIL(&pool->wanted, work, link);
		pool->queued++;
		(void)pthread_cond_signal(&pool->more);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	if (r == 0 && !pool->watch.loop)
		gb_loop_timer(pool->loop, &pool->watch, GB_POOL_LATE_MS);
	return r;
}
