/* SPDX-License-Identifier: MIT */
/* common/loop: order of timers, removal in the middle of a turn, files that epoll does not take, signals, children. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/loop/loop.h"
#include "common/loop/work.h"

static struct gb_loop loop;
static char trail[64];

static void mark(char c)
{
	size_t n = strlen(trail);

	assert_true(n < sizeof trail - 1);
	trail[n] = c;
	trail[n + 1] = '\0';
}

static int start(void **state)
{
	(void)state;
	trail[0] = '\0';
	return gb_loop_open(&loop);
}

static int end(void **state)
{
	(void)state;
	gb_loop_close(&loop);
	return 0;
}

static struct gb_timer t1, t2, t3, t4;

static void on_t1(struct gb_timer *t) { (void)t; mark('1'); gb_loop_timer_stop(&t3); }
static void on_t2(struct gb_timer *t) { (void)t; mark('2'); }
static void on_t3(struct gb_timer *t) { (void)t; mark('3'); }
static void on_t4(struct gb_timer *t) { mark('4'); gb_loop_stop(t->loop ? t->loop : &loop, 7); }

static void timers_fire_in_order_and_stop(void **state)
{
	(void)state;
	t1.fn = on_t1, t2.fn = on_t2, t3.fn = on_t3, t4.fn = on_t4;
	gb_loop_timer(&loop, &t4, 20);
	gb_loop_timer(&loop, &t3, 3);
	gb_loop_timer(&loop, &t1, 1);
	gb_loop_timer(&loop, &t2, 500000);
	gb_loop_timer(&loop, &t2, 2); /* started again: earlier */
	assert_int_equal(gb_loop_run(&loop), 7);
	assert_string_equal(trail, "124");
	assert_null(t3.loop);
}

static int a[2], b[2];
static struct gb_io *ioa, *iob;

static void on_pipe(struct gb_io *io, uint32_t events)
{
	struct gb_io *other = io == ioa ? iob : ioa;

	assert_true(events & EPOLLIN);
	mark('x');
	/* Both are ready in this very turn; the other one is freed before its event is looked at. */
	gb_loop_del(other);
	free(other);
	gb_loop_del(io);
	free(io);
	gb_loop_stop(&loop, 0);
}

static void what_is_removed_hears_nothing_more(void **state)
{
	(void)state;
	ioa = calloc(1, sizeof *ioa);
	iob = calloc(1, sizeof *iob);
	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	*ioa = (struct gb_io){ .fd = a[0], .events = EPOLLIN, .fn = on_pipe };
	*iob = (struct gb_io){ .fd = b[0], .events = EPOLLIN, .fn = on_pipe };
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_int_equal(gb_loop_add(&loop, ioa), 0);
	assert_int_equal(gb_loop_add(&loop, iob), 0);
	assert_int_equal(gb_loop_run(&loop), 0);
	assert_string_equal(trail, "x");
	for (int i = 0; i < 2; i++) {
		(void)close(a[i]);
		(void)close(b[i]);
	}
}

static void on_file(struct gb_io *io, uint32_t events)
{
	char c;

	assert_int_equal(events, EPOLLIN);
	if (read(io->fd, &c, 1) == 1) {
		mark(c);
		return;
	}
	gb_loop_del(io);
	gb_loop_stop(&loop, 0);
}

static void regular_files_are_always_ready(void **state)
{
	FILE *f = tmpfile();
	struct gb_io io = { .events = EPOLLIN, .fn = on_file };

	(void)state;
	assert_non_null(f);
	assert_true(fputs("abc", f) >= 0);
	rewind(f);
	io.fd = fileno(f);
	assert_int_equal(gb_loop_add(&loop, &io), 0);
	assert_int_equal(gb_loop_run(&loop), 0);
	assert_string_equal(trail, "abc");
	assert_int_equal(fclose(f), 0);
}

static void on_signal(struct gb_loop *l, int signo)
{
	mark(signo == SIGUSR1 ? 'u' : '?');
	gb_loop_stop(l, 0);
}

static void signals_come_through_the_loop(void **state)
{
	sigset_t set, now;

	(void)state;
	assert_int_equal(sigemptyset(&set), 0);
	assert_int_equal(sigaddset(&set, SIGUSR1), 0);
	assert_int_equal(gb_loop_signals(&loop, &set, on_signal), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(gb_loop_run(&loop), 0);
	assert_string_equal(trail, "u");
	gb_loop_child_signals(&loop);
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &now), 0);
	assert_int_equal(sigismember(&now, SIGUSR1), 0);
}

static int statuses[2], seen;
static struct gb_child c1, c2;

static void on_child(struct gb_child *child, int status)
{
	statuses[child == &c2] = status;
	if (++seen == 2)
		gb_loop_stop(&loop, 0);
}

static pid_t child_that_exits(int status)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(status);
	return pid;
}

static void each_child_has_its_own_status(void **state)
{
	pid_t stranger = child_that_exits(9);
	int status;

	(void)state;
	seen = 0;
	c1.fn = c2.fn = on_child;
	assert_int_equal(gb_loop_child(&loop, &c1, child_that_exits(3)), 0);
	assert_int_equal(gb_loop_child(&loop, &c2, child_that_exits(4)), 0);
	assert_int_equal(gb_loop_run(&loop), 0);
	assert_int_equal(WEXITSTATUS(statuses[0]), 3);
	assert_int_equal(WEXITSTATUS(statuses[1]), 4);
	/* A child that the loop does not know is still its parent's to wait for. */
	assert_int_equal(waitpid(stranger, &status, 0), stranger);
	assert_int_equal(WEXITSTATUS(status), 9);
}

/* ---- work beside the loop ---- */

static struct gb_pool pool;
static struct gb_work first, waiter, helper;
static atomic_bool helped;

static void run_nothing(struct gb_work *work) { (void)work; }
static void run_helper(struct gb_work *work) { (void)work; atomic_store(&helped, true); }

/* Some work waits for what other work does: that one must not stand in line behind it. */
static void run_waiter(struct gb_work *work)
{
	(void)work;
	for (int i = 0; i < 30000 && !atomic_load(&helped); i++)
		(void)usleep(1000);
}

static void on_helper(struct gb_work *work) { (void)work; mark('h'); }

static void on_waiter(struct gb_work *work)
{
	(void)work;
	mark(atomic_load(&helped) ? 'w' : '-');
	gb_loop_stop(&loop, 1);
}

static void on_first(struct gb_work *work)
{
	bool idle = false;

	(void)work;
	while (!idle) {
		(void)pthread_mutex_lock(&pool.lock);
		idle = pool.idle == 1;
		(void)pthread_mutex_unlock(&pool.lock);
	}
	/* One thread is idle, for two pieces of work at once. */
	assert_int_equal(gb_loop_pool_submit(&pool, &waiter), 0);
	assert_int_equal(gb_loop_pool_submit(&pool, &helper), 0);
}

static void work_that_waits_for_other_work_gets_it(void **state)
{
	(void)state;
	assert_int_equal(gb_loop_pool_open(&pool, &loop, 2), 0);
	first = (struct gb_work){ .run = run_nothing, .done = on_first };
	waiter = (struct gb_work){ .run = run_waiter, .done = on_waiter };
	helper = (struct gb_work){ .run = run_helper, .done = on_helper };
	assert_int_equal(gb_loop_pool_submit(&pool, &first), 0);
	assert_int_equal(gb_loop_run(&loop), 1);
	assert_non_null(strchr(trail, 'w'));
	gb_loop_timer_stop(&pool.watch);
	gb_loop_del(&pool.wake);
}

static struct gb_work stuck[2];
static int late_ones;

static void on_stuck(struct gb_work *work)
{
	(void)work;
	mark(atomic_load(&helped) ? 'w' : '-');
	if (strlen(trail) == 3)
		gb_loop_stop(&loop, 1);
}

static void on_late(struct gb_work *work) { (void)work; late_ones++; }

static void work_that_is_late_takes_no_place(void **state)
{
	(void)state;
	atomic_store(&helped, false);
	assert_int_equal(gb_loop_pool_open(&pool, &loop, 2), 0);
	helper = (struct gb_work){ .run = run_helper, .done = on_stuck, .late = on_late };
	for (int i = 0; i < 2; i++) {
		stuck[i] = (struct gb_work){ .run = run_waiter, .done = on_stuck, .late = on_late };
		assert_int_equal(gb_loop_pool_submit(&pool, &stuck[i]), 0);
	}
	assert_int_equal(gb_loop_pool_submit(&pool, &helper), 0); /* there are two threads, which wait for it */
	assert_int_equal(gb_loop_run(&loop), 1);
	assert_string_equal(trail, "www"); /* all had help: nobody came to an end of his own */
	assert_true(late_ones > 0); /* the first makes room, and with that the second may be in time */
	assert_int_equal(pool.late, 0);
	gb_loop_timer_stop(&pool.watch);
	gb_loop_del(&pool.wake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_in_order_and_stop, start, end),
		cmocka_unit_test_setup_teardown(what_is_removed_hears_nothing_more, start, end),
		cmocka_unit_test_setup_teardown(regular_files_are_always_ready, start, end),
		cmocka_unit_test_setup_teardown(signals_come_through_the_loop, start, end),
		cmocka_unit_test_setup_teardown(each_child_has_its_own_status, start, end),
		cmocka_unit_test_setup_teardown(work_that_waits_for_other_work_gets_it, start, end),
		cmocka_unit_test_setup_teardown(work_that_is_late_takes_no_place, start, end),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
