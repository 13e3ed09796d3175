/* SPDX-License-Identifier: MIT */
/* The event loop. */
#include "common/loop/loop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mono.h"

static int timer_cmp(struct gb_timer *a, struct gb_timer *b)
{
	if (a->due != b->due)
		return a->due < b->due ? -1 : 1;
	return (uintptr_t)a < (uintptr_t)b ? -1 : a != b;
}

RB_GENERATE_INTERNAL(gb_timers, gb_timer, link, timer_cmp, static __attribute__((unused)));

/* The coarse clock is that of the last tick, and may be behind what the exact one has said before. */
static void look_at_clock(struct gb_loop *loop)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts); /* fails only for an unknown clock */
	uint64_t now = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	if (now > loop->now)
		loop->now = now;
}

/* Exactly: with the coarse clock a timer that is due might not be yet, and the alarm would come again at once. */
static void on_alarm(struct gb_io *io, uint32_t events)
{
	struct gb_loop *loop = (struct gb_loop *)((char *)io - offsetof(struct gb_loop, alarm));
	uint64_t count;

	(void)events;
	if (read(io->fd, &count, sizeof count) < 0) /* EAGAIN: it was set anew in this very turn */
		return;
	loop->alarm_due = UINT64_MAX;
	loop->now = gb_mono_ms();
}

int gb_loop_open(struct gb_loop *loop)
{
	memset(loop, 0, sizeof *loop);
	loop->signals.fd = loop->alarm.fd = -1;
	RB_INIT(&loop->timers);
	TAILQ_INIT(&loop->always);
	loop->now = gb_mono_ms();
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	loop->alarm_due = UINT64_MAX;
	loop->alarm = (struct gb_io){ .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), .events = EPOLLIN,
				      .fn = on_alarm };
	int r = loop->alarm.fd < 0 ? -errno : gb_loop_add(loop, &loop->alarm);
	if (r < 0)
		gb_loop_close(loop);
	return r;
}

void gb_loop_close(struct gb_loop *loop)
{
	gb_loop_del(&loop->signals);
	if (loop->signals.fd >= 0)
		(void)close(loop->signals.fd);
	if (loop->masked)
		gb_loop_child_signals(loop);
	gb_loop_del(&loop->alarm);
	if (loop->alarm.fd >= 0)
		(void)close(loop->alarm.fd);
	if (loop->epoll >= 0)
		(void)close(loop->epoll);
	loop->epoll = loop->signals.fd = loop->alarm.fd = -1;
}

uint64_t gb_loop_now(const struct gb_loop *loop)
{
	return loop->now;
}

void gb_loop_stop(struct gb_loop *loop, int result)
{
	loop->stopped = true;
	loop->result = result;
}

int gb_loop_add(struct gb_loop *loop, struct gb_io *io)
{
	struct epoll_event event = { .events = io->events, .data.ptr = io };

	io->always = false;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, io->fd, &event) < 0) {
		if (errno != EPERM)
			return -errno;
		io->always = true;
		TAILQ_INSERT_TAIL(&loop->always, io, link);
	}
	io->loop = loop;
	return 0;
}

int gb_loop_mod(struct gb_io *io, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = io };

	if (io->events == events)
		return 0;
	io->events = events;
	if (!io->always && epoll_ctl(io->loop->epoll, EPOLL_CTL_MOD, io->fd, &event) < 0)
		return -errno;
	return 0;
}

void gb_loop_del(struct gb_io *io)
{
	struct gb_loop *loop = io->loop;

	if (!loop)
		return;
	if (io->always) {
		TAILQ_REMOVE(&loop->always, io, link);
	} else {
		(void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, io->fd, NULL); /* ENOENT, EBADF: it is gone already */
		/* What this turn's epoll_wait(2) already told about it must not reach freed memory. */
		for (int i = loop->batch_at; i < loop->batch_len; i++) {
			if (loop->batch[i].data.ptr == io)
				loop->batch[i].data.ptr = NULL;
		}
	}
	io->loop = NULL;
}

void gb_loop_timer(struct gb_loop *loop, struct gb_timer *timer, uint64_t ms)
{
	gb_loop_timer_stop(timer);
	timer->loop = loop;
	timer->due = loop->now + ms;
	(void)RB_INSERT(gb_timers, &loop->timers, timer);
}

void gb_loop_timer_stop(struct gb_timer *timer)
{
	if (timer->loop)
		(void)RB_REMOVE(gb_timers, &timer->loop->timers, timer);
	timer->loop = NULL;
}

/* Sees to it that the first timer wakes us. An alarm for one that was stopped, or put off, comes for nothing, once: a
 * connection's deadline moves with each request. 0 or -errno. */
static int set_alarm(struct gb_loop *loop)
{
	const struct gb_timer *first = RB_MIN(gb_timers, &loop->timers);

	if (!first || first->due >= loop->alarm_due)
		return 0;
	struct itimerspec at = { .it_value = { .tv_sec = (time_t)(first->due / 1000), .tv_nsec = (long)(first->due % 1000) * 1000000 } };
	if (timerfd_settime(loop->alarm.fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		return -errno;
	loop->alarm_due = first->due;
	return 0;
}

static bool always_ready(const struct gb_loop *loop)
{
	const struct gb_io *io;

	TAILQ_FOREACH(io, &loop->always, link) {
		if (io->events & (EPOLLIN | EPOLLOUT))
			return true;
	}
	return false;
}

static void run_timers(struct gb_loop *loop)
{
	struct gb_timer *timer;

	while (!loop->stopped && (timer = RB_MIN(gb_timers, &loop->timers)) && timer->due <= loop->now) {
		gb_loop_timer_stop(timer);
		timer->fn(timer);
	}
}

/* One event for each file; a callback may remove any of them, so the walk starts over at marks. */
static void run_always(struct gb_loop *loop)
{
	size_t n = 0;
	struct gb_io *io;

	TAILQ_FOREACH(io, &loop->always, link)
		n++;
	while (n-- && !loop->stopped && (io = TAILQ_FIRST(&loop->always))) {
		TAILQ_REMOVE(&loop->always, io, link);
		TAILQ_INSERT_TAIL(&loop->always, io, link);
		uint32_t events = io->events & (EPOLLIN | EPOLLOUT);
		if (events)
			io->fn(io, events);
	}
}

int gb_loop_run(struct gb_loop *loop)
{
	while (!loop->stopped) {
		int r = set_alarm(loop);
		if (r < 0)
			return r;
		int n = epoll_wait(loop->epoll, loop->batch, GB_LOOP_BATCH, always_ready(loop) ? 0 : -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		look_at_clock(loop);
		loop->batch_len = n < 0 ? 0 : n;
		for (loop->batch_at = 0; loop->batch_at < loop->batch_len && !loop->stopped;) {
			const struct epoll_event *event = &loop->batch[loop->batch_at++];
			struct gb_io *io = event->data.ptr;
			if (io)
				io->fn(io, event->events);
		}
		loop->batch_len = loop->batch_at = 0;
		run_always(loop);
		run_timers(loop);
	}
	return loop->result;
}

static void on_signalfd(struct gb_io *io, uint32_t events)
{
	struct gb_loop *loop = (struct gb_loop *)((char *)io - offsetof(struct gb_loop, signals));
	struct signalfd_siginfo info;

	(void)events;
	while (read(io->fd, &info, sizeof info) == (ssize_t)sizeof info)
		loop->on_signal(loop, (int)info.ssi_signo);
}

int gb_loop_signals(struct gb_loop *loop, const sigset_t *set, void (*fn)(struct gb_loop *loop, int signo))
{
	if (sigprocmask(SIG_BLOCK, set, &loop->old_mask) < 0)
		return -errno;
	loop->masked = true;
	loop->on_signal = fn;
	loop->signals.fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->signals.fd < 0)
		return -errno;
	loop->signals.events = EPOLLIN;
	loop->signals.fn = on_signalfd;
	return gb_loop_add(loop, &loop->signals);
}

void gb_loop_child_signals(const struct gb_loop *loop)
{
	if (loop->masked)
		(void)sigprocmask(SIG_SETMASK, &loop->old_mask, NULL); /* fails only for a bad address */
}

static void on_pidfd(struct gb_io *io, uint32_t events)
{
	struct gb_child *child = (struct gb_child *)((char *)io - offsetof(struct gb_child, io));
	int status = 0;

	(void)events;
	/* The pid is ours until it is waited for, so it cannot have been recycled. */
	pid_t r = waitpid(child->pid, &status, WNOHANG);
	if (r == 0 || (r < 0 && errno == EINTR))
		return;
	gb_loop_child_forget(child);
	/* ECHILD: somebody waited for all children; the child is gone, how it went is not known. */
	child->fn(child, r < 0 ? 0xff << 8 : status);
}

int gb_loop_child(struct gb_loop *loop, struct gb_child *child, pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0U); /* close-on-exec by itself (pidfd_open(2), Linux 5.3) */

	if (fd < 0)
		return -errno;
	child->pid = pid;
	child->io = (struct gb_io){ .fd = fd, .events = EPOLLIN, .fn = on_pidfd };
	int r = gb_loop_add(loop, &child->io);
	if (r < 0)
		(void)close(fd);
	return r;
}

void gb_loop_child_forget(struct gb_child *child)
{
	if (!child->io.loop)
		return;
	gb_loop_del(&child->io);
	(void)close(child->io.fd);
	child->io.fd = -1;
}
