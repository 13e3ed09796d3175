/* SPDX-License-Identifier: MIT */
/* The part of a power-off that ends processes. */
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/base/mono.h"
#include "common/power/parts.h"

/* One that got a signal and whose end is awaited. */
struct victim {
	pid_t pid;
	uint64_t start;
	int pidfd;
	bool alive, seen;
	char command[32];
};

struct hunt {
	struct victim *rows;
	size_t count, size;
	size_t alive;
};

static void hunt_free(struct hunt *hunt)
{
	for (size_t i = 0; i < hunt->count; i++) {
		if (hunt->rows[i].pidfd >= 0)
			(void)close(hunt->rows[i].pidfd);
	}
	free(hunt->rows);
}

static struct victim *known(const struct hunt *hunt, const struct gb_proc *proc)
{
	for (size_t i = 0; i < hunt->count; i++) {
		if (hunt->rows[i].pid == proc->pid && hunt->rows[i].start == proc->start)
			return &hunt->rows[i];
	}
	return NULL;
}

static void give(const struct gb_power_run *run, pid_t pid, int pidfd, int sig)
{
	(void)run->ops->signal(pid, pidfd, sig);
	if (sig == SIGTERM) /* a stopped process would sleep through it */
		(void)run->ops->signal(pid, pidfd, SIGCONT);
}

static void end(struct hunt *hunt, struct victim *v)
{
	if (v->pidfd >= 0)
		(void)close(v->pidfd);
	v->pidfd = -1;
	hunt->alive -= v->alive;
	v->alive = false;
}

/* Looks who is there, signals who is new, strikes out who is gone. service: NULL means all. */
static int look(struct gb_power_run *run, struct hunt *hunt, const char *service, int sig)
{
	struct gb_proc_list *procs = &run->procs;
	int r = run->looked ? 0 : run->ops->procs(procs, sig != SIGKILL);
	bool spare = false, any = false;

	run->looked = false;
	if (r < 0)
		return r;
	/* kill(2) of -1 holds up every fork until all have the signal: who forks faster than we look is ended too. */
	for (size_t i = 0; i < procs->count; i++) {
		spare = spare || procs->procs[i].keep;
		any = any || gb_power_is_victim(&procs->procs[i], getpid());
	}
	if (sig == SIGKILL && any && !spare)
		(void)run->ops->signal(-1, -1, SIGKILL);
	for (size_t i = 0; i < hunt->count; i++)
		hunt->rows[i].seen = false;
	for (size_t i = 0; i < procs->count; i++) {
		const struct gb_proc *p = &procs->procs[i];
		const char *of = gb_power_service(p);

		if (!gb_power_is_victim(p, getpid()) || (service && (!of || strcmp(of, service) != 0)))
			continue;
		struct victim *v = known(hunt, p);
		if (v) {
			v->seen = true;
			continue;
		}
		if (gb_list_room(&hunt->rows, hunt->count, &hunt->size, sizeof *v) < 0)
			return -ENOMEM;
		int fd = run->ops->pidfd(p);
		if (fd == -ESRCH)
			continue;
		v = &hunt->rows[hunt->count++];
		*v = (struct victim){ .pid = p->pid, .start = p->start, .pidfd = fd, .alive = true, .seen = true };
		(void)strlcpy(v->command, p->command, sizeof v->command);
		hunt->alive++;
		give(run, v->pid, v->pidfd, sig);
		if (sig == SIGTERM && p->shell) /* an interactive one takes no notice of SIGTERM; a hang-up is what ends it */
			(void)run->ops->signal(v->pid, v->pidfd, SIGHUP);
	}
	for (size_t i = 0; i < hunt->count; i++) {
		if (!hunt->rows[i].seen && hunt->rows[i].alive)
			end(hunt, &hunt->rows[i]);
	}
	return 0;
}

/* Waits for the end of any of them, at most so long. */
static void wait_for_one(struct hunt *hunt, int timeout_ms)
{
	enum { MANY = 512 };
	struct pollfd fds[MANY];
	size_t who[MANY];
	nfds_t n = 0;
	bool blind = false;

	for (size_t i = 0; i < hunt->count && n < MANY; i++) {
		const struct victim *v = &hunt->rows[i];
		if (v->alive && v->pidfd >= 0) {
			who[n] = i;
			fds[n++] = (struct pollfd){ .fd = v->pidfd, .events = POLLIN };
		} else if (v->alive) {
			blind = true;
		}
	}
	if ((blind || n < hunt->alive) && timeout_ms > 10)
		timeout_ms = 10; /* some can only be looked for */
	if (poll(fds, n, timeout_ms) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++) {
		if (fds[i].revents)
			end(hunt, &hunt->rows[who[i]]);
	}
}

/* Who is named as having delayed a step: those still there, else those who ended last. */
static void name_delayers(const struct hunt *hunt, const bool *slow, struct gb_power_event *event)
{
	unsigned n = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < hunt->count; i++) {
			const struct victim *v = &hunt->rows[i];
			if (v->alive != (pass == 0) || (!v->alive && !slow[i]))
				continue;
			if (n < GB_POWER_DELAYERS) {
				event->who[n].pid = v->pid;
				event->who[n].ended = !v->alive;
				(void)strlcpy(event->who[n].command, v->command, sizeof event->who[n].command);
			}
			n++;
		}
	}
	event->delayers = n;
}

enum { SLOW_US = 30000, LOOK_MS = 50 };

/* Signals all (or a service), again and again whoever is new, until none is left or the time is up. Returns whether
 * somebody is left. */
static bool end_processes(struct gb_power_run *run, const struct gb_power_step *step)
{
	int sig = step->kind == GB_POWER_KILL ? SIGKILL : SIGTERM;
	const char *service = step->kind == GB_POWER_STOP ? step->object : NULL;
	uint64_t begun = gb_mono_us(), until = gb_power_run_at(run, step->until), now;
	gb_cleanup(hunt_free) struct hunt hunt = { 0 };
	gb_autofree bool *slow = NULL;
	size_t slow_count = 0;
	int r;

	for (;;) {
		r = look(run, &hunt, service, sig);
		now = gb_mono_us();
		if (r < 0 || !hunt.alive || now >= until)
			break;
		/* In between, only ends are waited for: a look costs three system calls for each process. */
		uint64_t next = now + LOOK_MS * 1000;
		while (hunt.alive && now < until && now < next) {
			uint64_t to = next < until ? next : until;
			if (!slow && begun + SLOW_US > now && begun + SLOW_US < to)
				to = begun + SLOW_US;
			wait_for_one(&hunt, (int)((to - now) / 1000) + 1);
			now = gb_mono_us();
			if (!slow && now - begun >= SLOW_US && hunt.alive) {
				/* Who is there now is slow; who comes later was forked by one of them. */
				slow = calloc(hunt.count, sizeof *slow);
				slow_count = slow ? hunt.count : 0;
				for (size_t i = 0; i < slow_count; i++)
					slow[i] = hunt.rows[i].alive;
			}
		}
	}
	if (r < 0 && sig == SIGKILL)
		(void)run->ops->signal(-1, -1, SIGKILL); /* blind, but everybody */

	struct gb_power_event *event = gb_power_report_event(run->report, step->kind, step->object);
	gb_autofree bool *all = calloc(hunt.count + 1, sizeof *all);
	if (all && slow)
		memcpy(all, slow, slow_count * sizeof *all);
	event->usec = gb_mono_us() - begun;
	event->result = r < 0 ? r : hunt.alive ? -ETIMEDOUT : 0;
	if (all)
		name_delayers(&hunt, all, event);
	gb_power_run_log(run);
	return event->result != 0;
}

void gb_power_run_processes(struct gb_power_run *run)
{
	gb_autopowerplan struct gb_power_plan plan = { 0 };

	/* Without a list there are no ordered stops. */
	run->looked = run->ops->procs(&run->procs, false) == 0;
	gb_power_plan_processes(&plan, &run->procs, getpid(), &run->times);
	for (size_t i = 0; i < plan.count; i++) {
		/* SIGKILL has nobody to go to when the last look of SIGTERM has found nobody. */
		if (!end_processes(run, &plan.steps[i]) && plan.steps[i].kind == GB_POWER_TERM)
			break;
	}
	if (plan.failed)
		(void)run->ops->signal(-1, -1, SIGKILL);
	gb_proc_list_free(&run->procs);
}
