/* SPDX-License-Identifier: MIT */
/* The event loop. */
#include "common/loop/loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mono.h"

static int timer_cmp(struct gb_timer *a, struct gb_timer *b)
{
	if (a->due != b->due)
		return a->due < b->due ? -1 : 1;
	return (uintptr_t)a < (uintptr_t)b ? -1 : a != b;
}

RB_GENERATE_INTERNAL(gb_timers, gb_timer, link, timer_cmp, static __attribute__((unused)));

int gb_loop_open(struct gb_loop *loop)
{
	memset(loop, 0, sizeof *loop);
	loop->signals.fd = -1;
	RB_INIT(&loop->timers);
	TAILQ_INIT(&loop->always);
	loop->now = gb_mono_ms();
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll < 0 ? -errno : 0;
}

void gb_loop_close(struct gb_loop *loop)
{
	gb_loop_del(&loop->signals);
	if (loop->signals.fd >= 0)
		(void)close(loop->signals.fd);
	if (loop->masked)
		gb_loop_child_signals(loop);
	if (loop->epoll >= 0)
		(void)close(loop->epoll);
	loop->epoll = loop->signals.fd = -1;
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

static int wait_ms(struct gb_loop *loop)
{
	struct gb_io *io;
	struct gb_timer *first = RB_MIN(gb_timers, &loop->timers);

	TAILQ_FOREACH(io, &loop->always, link) {
		if (io->events & (EPOLLIN | EPOLLOUT))
			return 0;
	}
	if (!first)
		return -1;
	uint64_t now = gb_mono_ms();
	uint64_t left = first->due > now ? first->due - now : 0;
	return left > INT_MAX ? INT_MAX : (int)left;
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
		int n = epoll_wait(loop->epoll, loop->batch, GB_LOOP_BATCH, wait_ms(loop));
		if (n < 0 && errno != EINTR)
			return -errno;
		loop->now = gb_mono_ms();
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
