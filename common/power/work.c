/* SPDX-License-Identifier: MIT */
/* Steps that may block for good. */
#include "common/power/work.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/mono.h"

enum {
	MAX_WORKERS = 32,
	LOCAL_PATIENCE = 1000000, /* µs until another worker goes on behind a disk that is slow */
	REMOTE_PATIENCE = 250000,
	REMOTE_LIMIT = 2000000,   /* µs until a server that says nothing is given up */
};

/* Shared with the workers. */
struct slot {
	_Atomic int state; /* WAITING, RUNNING, ENDED */
	int worker;
	int result;
	uint64_t begun, ended;
};
enum { WAITING, RUNNING, ENDED };

struct shared {
	_Atomic size_t next;   /* the next step that nobody has taken */
	_Atomic int on_duty;   /* the worker that takes it */
	struct slot slots[];
};

struct work {
	const struct gb_power_plan *plan;
	const struct gb_power_ops *ops;
	struct shared *shared;
	int pipe[2];
	pid_t pids[MAX_WORKERS]; /* 0: ended */
	int count;
};

static void worker(const struct work *work, int self)
{
	struct shared *shared = work->shared;

	while (atomic_load(&shared->on_duty) == self) {
		size_t i = atomic_fetch_add(&shared->next, 1);
		if (i >= work->plan->count)
			break;
		struct slot *slot = &shared->slots[i];
		const struct gb_power_step *step = &work->plan->steps[i];

		slot->worker = self;
		slot->begun = gb_mono_us();
		atomic_store(&slot->state, RUNNING);
		slot->result = work->ops->step(step->kind, step->object);
		slot->ended = gb_mono_us();
		atomic_store(&slot->state, ENDED);
		ssize_t n = write(work->pipe[1], "", 1);
		(void)n;
	}
	_exit(0);
}

static int start_worker(struct work *work)
{
	int self = work->count;

	if (self == MAX_WORKERS)
		return -EAGAIN;
	int before = atomic_exchange(&work->shared->on_duty, self);
	pid_t pid = fork();
	if (pid < 0) {
		int saved = errno;
		atomic_store(&work->shared->on_duty, before);
		return -saved;
	}
	if (pid == 0)
		worker(work, self);
	work->pids[work->count++] = pid;
	return 0;
}

/* A worker that was killed, or crashed, takes its step's result with it. */
static void reap(struct work *work)
{
	for (int w = 0; w < work->count; w++) {
		if (!work->pids[w] || waitpid(work->pids[w], NULL, WNOHANG) == 0)
			continue;
		work->pids[w] = 0;
		for (size_t i = 0; i < work->plan->count; i++) {
			struct slot *slot = &work->shared->slots[i];
			if (slot->worker == w && atomic_load(&slot->state) == RUNNING) {
				slot->result = -EIO;
				slot->ended = gb_mono_us();
				atomic_store(&slot->state, ENDED);
			}
		}
	}
}

/* What there is to wait for: µs until the next look, or 0 when there is nothing any more. */
static uint64_t survey(struct work *work, uint64_t now)
{
	const struct gb_power_plan *plan = work->plan;
	size_t waiting = 0, running = 0, hopeless = 0;
	uint64_t look = 1000000;
	bool duty_hangs = !work->pids[work->count - 1];

	for (size_t i = 0; i < plan->count; i++) {
		struct slot *slot = &work->shared->slots[i];
		int state = atomic_load(&slot->state);

		if (state == ENDED)
			continue;
		if (state == WAITING) {
			waiting++;
			continue;
		}
		uint64_t age = now > slot->begun ? now - slot->begun : 0;
		uint64_t patience = plan->steps[i].remote ? REMOTE_PATIENCE : LOCAL_PATIENCE;
		running++;
		if (plan->steps[i].remote && age >= REMOTE_LIMIT)
			hopeless++;
		else if (plan->steps[i].remote && REMOTE_LIMIT - age < look)
			look = REMOTE_LIMIT - age;
		if (slot->worker == atomic_load(&work->shared->on_duty)) {
			if (age >= patience)
				duty_hangs = true;
			else if (patience - age < look)
				look = patience - age;
		}
	}
	if (!waiting && running == hopeless)
		return 0;
	/* Somebody has to take what is waiting. When nobody can be had, those who run may still end. */
	if (waiting && duty_hangs)
		(void)start_worker(work);
	return look ? look : 1;
}

static void store(const struct work *work, struct gb_power_report *report)
{
	uint64_t now = gb_mono_us();

	for (size_t i = 0; i < work->plan->count; i++) {
		const struct gb_power_step *step = &work->plan->steps[i];
		struct slot *slot = &work->shared->slots[i];
		struct gb_power_event *event = gb_power_report_event(report, step->kind, step->object);
		int state = atomic_load(&slot->state);

		event->result = state == ENDED ? slot->result : -ETIMEDOUT;
		event->usec = state == ENDED ? slot->ended - slot->begun : state == RUNNING ? now - slot->begun : 0;
	}
}

int gb_power_work(const struct gb_power_plan *plan, const struct gb_power_ops *ops, uint64_t until,
		  struct gb_power_report *report)
{
	struct work work = { .plan = plan, .ops = ops, .pipe = { -1, -1 } };
	size_t size = sizeof *work.shared + plan->count * sizeof *work.shared->slots;
	int r;

	if (!plan->count)
		return 0;
	work.shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (work.shared == MAP_FAILED)
		return -errno;
	r = pipe2(work.pipe, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : start_worker(&work);
	while (r == 0) {
		struct pollfd poll_on = { .fd = work.pipe[0], .events = POLLIN };
		char bytes[64];

		while (read(work.pipe[0], bytes, sizeof bytes) > 0)
			;
		reap(&work);
		uint64_t now = gb_mono_us(), look = survey(&work, now);
		if (!look || now >= until)
			break;
		if (look > until - now)
			look = until - now;
		/* A worker's death makes no byte, and is seen at the next look. */
		(void)poll(&poll_on, 1, (int)(look > 100000 ? 100 : look / 1000 + 1));
	}
	if (r == 0) {
		store(&work, report);
		/* What hangs can be left behind, but must not take further steps. */
		atomic_store(&work.shared->next, plan->count);
		reap(&work);
	}
	if (work.pipe[0] >= 0)
		(void)close(work.pipe[0]);
	if (work.pipe[1] >= 0)
		(void)close(work.pipe[1]);
	(void)munmap(work.shared, size);
	return r;
}
