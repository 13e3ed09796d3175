/* SPDX-License-Identifier: MIT */
/* One thread's event loop: descriptors, timers, signals, child exits. */
#ifndef GB_LOOP_LOOP_H
#define GB_LOOP_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

/* All objects are embedded in the caller's own and owned by it; the loop only links them. A callback may remove and
 * free any object, its own included. */

/* A descriptor. events are EPOLLIN, EPOLLOUT, EPOLLET...; EPOLLHUP and EPOLLERR come unasked (epoll_ctl(2)). */
struct gb_io {
	int fd;
	uint32_t events;
	void (*fn)(struct gb_io *io, uint32_t events);
	struct gb_loop *loop; /* NULL while not watched */
	bool always;          /* a regular file, which epoll does not take (EPERM): it is always ready */
	TAILQ_ENTRY(gb_io) link;
};

struct gb_timer {
	void (*fn)(struct gb_timer *timer);
	uint64_t due; /* gb_loop_now() time, in milliseconds */
	struct gb_loop *loop; /* NULL while not running */
	RB_ENTRY(gb_timer) link;
};

/* A child process of ours, watched by pidfd: nobody else's waitpid() is disturbed, and none can steal the status of
 * another. status is that of waitpid(2). */
struct gb_child {
	void (*fn)(struct gb_child *child, int status);
	pid_t pid;
	struct gb_io io;
};

enum { GB_LOOP_BATCH = 32 };

RB_HEAD(gb_timers, gb_timer);

struct gb_loop {
	int epoll;
	uint64_t now;
	struct gb_timers timers;
	struct gb_io alarm;  /* a timerfd(2): a wait with a deadline of its own would set a timer of the kernel's each time */
	uint64_t alarm_due;  /* when it comes; UINT64_MAX: it does not */
	TAILQ_HEAD(, gb_io) always;
	struct epoll_event batch[GB_LOOP_BATCH];
	int batch_len, batch_at;
	struct gb_io signals;
	sigset_t old_mask;
	bool masked;
	void (*on_signal)(struct gb_loop *loop, int signo);
	bool stopped;
	int result;
};

/* 0 or -errno. */
int gb_loop_open(struct gb_loop *loop);
void gb_loop_close(struct gb_loop *loop);

/* Runs until gb_loop_stop(): its result, or -errno of epoll_wait(2). */
int gb_loop_run(struct gb_loop *loop);
void gb_loop_stop(struct gb_loop *loop, int result);

/* Milliseconds of CLOCK_MONOTONIC when the current callback's turn began, at most a tick of the kernel (1 to 10 ms) ago:
 * reading the clock itself is slow on machines whose TSC is not used. */
uint64_t gb_loop_now(const struct gb_loop *loop);

/* Starts to watch io (fd, events and fn set by the caller): 0 or -errno. */
int gb_loop_add(struct gb_loop *loop, struct gb_io *io);
/* Changes what is waited for; nothing happens when it is the same: 0 or -errno. */
int gb_loop_mod(struct gb_io *io, uint32_t events);
/* Stops to watch; the descriptor stays open. Harmless when io is not watched. */
void gb_loop_del(struct gb_io *io);

/* (Re)starts a one-shot timer, ms from gb_loop_now(). */
void gb_loop_timer(struct gb_loop *loop, struct gb_timer *timer, uint64_t ms);
/* Harmless when it does not run. */
void gb_loop_timer_stop(struct gb_timer *timer);

/* Blocks the signals of set and hands them to fn from the loop (signalfd(2)). Once a loop. 0 or -errno. A child must
 * call gb_loop_child_signals() before execve(2). */
int gb_loop_signals(struct gb_loop *loop, const sigset_t *set, void (*fn)(struct gb_loop *loop, int signo));
/* In a forked child: the signal mask as it was before gb_loop_signals(). */
void gb_loop_child_signals(const struct gb_loop *loop);

/* Watches a child: fn gets its status once, after which the child object is free. 0 or -errno. */
int gb_loop_child(struct gb_loop *loop, struct gb_child *child, pid_t pid);
/* Forgets a child without waiting for it. */
void gb_loop_child_forget(struct gb_child *child);

#endif
