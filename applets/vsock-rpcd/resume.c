/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: after a pause or a restore of the machine. Peers that were in the middle of something may be gone, and nobody
 * says so: they have a short time to go on. */
#include <string.h>
#include <time.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/sys/clock.h"

enum { JUMP_S = 2, HURRY_MS = 2000 };

/* CLOCK_REALTIME less CLOCK_MONOTONIC, seconds: who sets the clock moves it, time that passes does not. */
static int64_t offset_now(void)
{
	struct timespec real = { 0 }, mono = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &real);
	(void)clock_gettime(CLOCK_MONOTONIC, &mono);
	return (int64_t)real.tv_sec - mono.tv_sec;
}

static void on_set(struct gb_io *io, uint32_t events)
{
	struct rpcd *rpcd = (struct rpcd *)((char *)io - offsetof(struct rpcd, clock_set));
	struct gb_conn *conn;

	(void)events;
	if (!gb_clock_was_set(io->fd))
		return;
	int64_t now = offset_now(), by = now - rpcd->clock_offset;
	rpcd->clock_offset = now;
	/* Only forward: a machine that was stopped is behind. */
	if (by < JUMP_S)
		return;
	gb_log(GB_LOG_NOTICE, "the clock went %lld s ahead: the machine was paused or restored", (long long)by);
	TAILQ_FOREACH(conn, &rpcd->conns, link)
		gb_conn_hurry(conn, HURRY_MS);
}

void rpcd_resume_watch(struct rpcd *rpcd)
{
	gb_autoclose int fd = gb_clock_watch();

	rpcd->clock_offset = offset_now();
	rpcd->clock_set = (struct gb_io){ .fd = fd, .events = EPOLLIN, .fn = on_set };
	int r = fd < 0 ? fd : gb_loop_add(&rpcd->loop, &rpcd->clock_set);
	if (r < 0)
		gb_log(GB_LOG_DEBUG, "timerfd: %s", strerror(-r)); /* the ordinary deadlines are left */
	else
		fd = -1; /* the loop's, until the process ends */
}
