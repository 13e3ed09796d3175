/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: keeps the runtime's daemons running. What is wanted is compared with what is, at each event: an end, a
 * socket that appears, a pause that is over, a step that is done. dockerd and k3s need containerd; all need the steps of
 * rpcd_prepare(), which nobody does twice at a time. */
#include "applets/vsock-rpcd/daemon.h"

#include <bsd/string.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpcd/health.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/power/request.h"
#include "common/sys/proc.h"

enum {
	STABLE_MS = 10000,                       /* up for so long: the next end is no part of a row of ends */
	AGAIN_MS = 1000,                         /* between two starts that clients ask for, the first of which failed */
	STATUS_GONE = 0xff << 8,                 /* of a child of somebody else (common/loop) */
};

bool rpcd_going_down(const struct rpcd *rpcd)
{
	return rpcd->going_down || rpcd->stopping || gb_power_pending();
}

/* ---- ends ---- */

static atomic_uint containerd_failures;

unsigned rpcd_containerd_failures(void)
{
	return atomic_load(&containerd_failures);
}

/* It will not be tried again by itself. */
static void give_up(struct rpcd_daemon *service, const char *why)
{
	if (service->id == RPCD_CONTAINERD)
		atomic_fetch_add(&containerd_failures, 1);
	service->state = DOWN;
	service->failed = true;
	service->wanted = false;
	if (why != service->failure)
		(void)strlcpy(service->failure, why, sizeof service->failure);
	gb_loop_timer_stop(&service->timer);
	rpcd_forget(service->id);
	gb_log(GB_LOG_ERR, "runtime: %s: failed: %s", rpcd_daemon_name(service), service->failure);
}

/* containerd will not come: who waits for it does so in vain. */
static void fail_dependents(struct rpcd_services *all, const char *why)
{
	for (int i = RPCD_DOCKERD; i < RPCD_SERVICES; i++) {
		struct rpcd_daemon *service = &all->list[i];
		if (service->wanted && !rpcd_daemon_alive(service) && service->state != LAUNCHING)
			give_up(service, why);
	}
}

static void describe_end(const struct rpcd_daemon *service, int status, char *text, size_t size)
{
	const char *name = rpcd_daemon_name(service);

	if (status == STATUS_GONE)
		(void)snprintf(text, size, "%s has ended (%s.log)", name, name);
	else if (WIFSIGNALED(status))
		(void)snprintf(text, size, "%s was killed by signal %d (%s.log)", name, WTERMSIG(status), name);
	else
		(void)snprintf(text, size, "%s ended with status %d (%s.log)", name, WEXITSTATUS(status), name);
}

static bool needed(const struct rpcd_services *all, const struct rpcd_daemon *service)
{
	if (service->id != RPCD_CONTAINERD)
		return service->wanted;
	return all->needs || all->list[RPCD_DOCKERD].wanted || all->list[RPCD_K3S].wanted;
}

/* It has ended, or could not be started; failure says how. */
static void after_end(struct rpcd_services *all, struct rpcd_daemon *service)
{
	struct rpcd *rpcd = all->rpcd;
	uint64_t now = gb_loop_now(&rpcd->loop);

	gb_loop_timer_stop(&service->timer);
	service->ended_at = now;
	service->state = DOWN;
	if (rpcd_going_down(rpcd) || !needed(all, service)) {
		gb_log(GB_LOG_INFO, "runtime: %s", service->failure);
		service->failure[0] = '\0';
		rpcd_forget(service->id);
		return;
	}
	if (!service->ever_up) {
		service->not_before = now + AGAIN_MS;
		give_up(service, service->failure);
		if (service->id == RPCD_CONTAINERD)
			fail_dependents(all, service->failure);
		return;
	}
	if (service->up_at && now - service->up_at >= STABLE_MS)
		service->row = 0;
	service->row++;
	int64_t at = gb_respawn_next(&service->limit, service->begun * 1000, now * 1000);
	if (at < 0) {
		char why[2 * sizeof service->failure];
		(void)snprintf(why, sizeof why, "%s; %u restarts within %u s: not started again by itself", service->failure,
			       service->limit.count, service->limit.seconds);
		service->not_before = now + AGAIN_MS;
		give_up(service, why);
		if (service->id == RPCD_CONTAINERD)
			fail_dependents(all, service->failure);
		return;
	}
	uint64_t pause = gb_respawn_backoff(service->row), due = (uint64_t)at / 1000;
	if (due > now + pause)
		pause = due - now;
	service->restarts++;
	service->state = PAUSE;
	service->not_before = now + pause;
	gb_log(GB_LOG_WARNING, "runtime: %s; starting it again in %.1f s", service->failure, (double)pause / 1000);
	gb_loop_timer(&rpcd->loop, &service->timer, pause);
}

static void on_end(struct gb_child *child, int status)
{
	struct rpcd_daemon *service = (struct rpcd_daemon *)((char *)child - offsetof(struct rpcd_daemon, child));

	describe_end(service, status, service->failure, sizeof service->failure);
	after_end(service->rpcd->services, service);
	rpcd_services_reconcile(service->rpcd->services);
}

/* ---- starts ---- */

struct prepare_job {
	struct rpcd_job job;
	bool wanted[RPCD_SERVICES];
	char missing[RPCD_SERVICES][512]; /* programs, of those wanted */
	bool done;
	char text[768];
};

static void run_prepare(struct rpcd_job *base)
{
	struct prepare_job *job = (struct prepare_job *)base;
	bool any = false;

	for (int i = 0; i < RPCD_SERVICES; i++) {
		if (job->wanted[i])
			any |= !rpcd_missing(base->rpcd->runtime_dir, (enum rpcd_service)i, job->missing[i], sizeof job->missing[i]);
	}
	if (any) /* else nothing is touched */
		job->done = rpcd_prepare(base->rpcd->runtime_dir, job->text, sizeof job->text);
}

static void finish_prepare(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct prepare_job *job = (struct prepare_job *)base;
	struct rpcd_services *all = base->rpcd->services;

	(void)call;
	all->preparing = false;
	if (base->failed)
		(void)strlcpy(job->text, strerror(base->failed), sizeof job->text);
	(void)strlcpy(all->notes, job->text, sizeof all->notes);
	all->prepared = job->done && !base->failed;
	for (int i = 0; i < RPCD_SERVICES; i++) {
		struct rpcd_daemon *service = &all->list[i];
		if (job->missing[i][0] && !rpcd_daemon_alive(service)) {
			char why[sizeof service->failure];
			(void)snprintf(why, sizeof why, "missing: %.480s", job->missing[i]);
			service->not_before = gb_loop_now(&all->rpcd->loop) + AGAIN_MS;
			give_up(service, why);
		}
	}
	if (!all->prepared) {
		all->list[RPCD_CONTAINERD].not_before = gb_loop_now(&all->rpcd->loop) + AGAIN_MS;
		if (needed(all, &all->list[RPCD_CONTAINERD]) && !all->list[RPCD_CONTAINERD].failed &&
		    !rpcd_daemon_alive(&all->list[RPCD_CONTAINERD]))
			give_up(&all->list[RPCD_CONTAINERD], all->notes);
		fail_dependents(all, all->notes);
	} else if (all->notes[0]) {
		gb_log(GB_LOG_WARNING, "runtime: %s", all->notes);
	}
	rpcd_services_reconcile(all);
}

static void prepare(struct rpcd_services *all)
{
	struct prepare_job *job = calloc(1, sizeof *job);

	all->preparing = true;
	if (!job) {
		all->preparing = false;
		fail_dependents(all, strerror(ENOMEM));
		return;
	}
	for (int i = 0; i < RPCD_SERVICES; i++) {
		const struct rpcd_daemon *service = &all->list[i];
		job->wanted[i] = i == RPCD_CONTAINERD ? all->needs > 0 : needed(all, service) && !rpcd_daemon_alive(service);
	}
	job->job.run = run_prepare;
	job->job.finish = finish_prepare;
	rpcd_job_background(all->rpcd, &job->job);
}

struct rpcd_launch_job {
	struct rpcd_job job;
	enum rpcd_service id;
	bool find; /* it is said to run */
	atomic_bool cancelled;
	struct rpcd_started started;
};

static void run_launch(struct rpcd_job *base)
{
	struct rpcd_launch_job *job = (struct rpcd_launch_job *)base;

	rpcd_launch(base->rpcd->runtime_dir, job->id, job->find, &job->cancelled, &job->started);
}

/* From now on its end is noticed. False: it has ended already, and was somebody else's child. */
static bool adopt(struct rpcd_daemon *service, const struct rpcd_started *started)
{
	struct rpcd *rpcd = service->rpcd;
	struct gb_proc proc;

	service->child.fn = on_end;
	if (gb_loop_child(&rpcd->loop, &service->child, started->pid) < 0)
		return false;
	/* The number may have passed to another process before the pidfd was opened. */
	if (started->found && (gb_proc_read(started->pid, &proc) < 0 || proc.start != started->start)) {
		gb_loop_child_forget(&service->child);
		return false;
	}
	service->start = started->start;
	service->state = STARTING;
	service->begun = gb_loop_now(&rpcd->loop);
	service->up_at = 0;
	service->late = false;
	service->pause = RPCD_PROBE_FIRST_MS;
	rpcd_daemon_watch(rpcd->services, service);
	rpcd_daemon_ask(service);
	return true;
}

static void finish_launch(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct rpcd_launch_job *job = (struct rpcd_launch_job *)base;
	struct rpcd_services *all = base->rpcd->services;
	struct rpcd_daemon *service = &all->list[job->id];

	(void)call;
	service->state = DOWN;
	service->launching = NULL;
	if (base->failed) {
		job->started.pid = -base->failed;
		(void)strlcpy(job->started.text, strerror(base->failed), sizeof job->started.text);
	}
	if (job->started.pid > 0) {
		if (job->started.text[0])
			gb_log(GB_LOG_WARNING, "runtime: %s", job->started.text);
		gb_log(GB_LOG_INFO, "runtime: %s %s, pid %d", rpcd_daemon_name(service), job->started.found ? "runs already" : "started",
		       job->started.pid);
		if (job->started.found)
			service->ever_up = true;
		if (!adopt(service, &job->started)) {
			describe_end(service, STATUS_GONE, service->failure, sizeof service->failure);
			after_end(all, service);
		}
	} else {
		(void)strlcpy(service->failure, job->started.text, sizeof service->failure);
		after_end(all, service);
	}
	rpcd_services_reconcile(all);
}

static void launch(struct rpcd_services *all, struct rpcd_daemon *service, bool find)
{
	struct rpcd_launch_job *job = calloc(1, sizeof *job);

	if (!job) {
		give_up(service, strerror(ENOMEM));
		return;
	}
	service->state = LAUNCHING;
	service->begun = gb_loop_now(&all->rpcd->loop);
	gb_loop_timer_stop(&service->timer);
	job->id = service->id;
	job->find = find;
	service->launching = job;
	job->job.run = run_launch;
	job->job.finish = finish_launch;
	rpcd_job_background(all->rpcd, &job->job);
}

void rpcd_services_reconcile(struct rpcd_services *all)
{
	uint64_t now = gb_loop_now(&all->rpcd->loop);

	if (rpcd_going_down(all->rpcd))
		return;
	for (int i = 0; i < RPCD_SERVICES; i++) {
		struct rpcd_daemon *service = &all->list[i];

		if (!needed(all, service) || service->failed || service->holds || rpcd_daemon_alive(service) || service->state == LAUNCHING)
			continue;
		if (now < service->not_before) {
			if (!service->timer.loop)
				gb_loop_timer(&all->rpcd->loop, &service->timer, service->not_before - now);
			continue;
		}
		if (!all->prepared) {
			if (!all->preparing)
				prepare(all);
			return;
		}
		if (i != RPCD_CONTAINERD && all->list[RPCD_CONTAINERD].state != UP) {
			if (all->list[RPCD_CONTAINERD].failed) /* it was given up while this one still ran */
				give_up(service, all->list[RPCD_CONTAINERD].failure);
			continue;
		}
		launch(all, service, false);
	}
}

static void on_timer(struct gb_timer *timer)
{
	struct rpcd_daemon *service = (struct rpcd_daemon *)((char *)timer - offsetof(struct rpcd_daemon, timer));

	if (service->state == STARTING)
		rpcd_daemon_ask(service);
	else
		rpcd_services_reconcile(service->rpcd->services);
}

/* ---- what others say ---- */

/* A request begins anew: what failed before counts no more, but for the pause after it. */
static void renew(struct rpcd_daemon *service)
{
	service->failed = false;
	service->ever_up = rpcd_daemon_alive(service);
	service->row = 0;
	service->limit.total = 0;
}

void rpcd_service_want(struct rpcd *rpcd, enum rpcd_service id, bool answers)
{
	struct rpcd_services *all = rpcd->services;
	struct rpcd_daemon *service = &all->list[id], *containerd = &all->list[RPCD_CONTAINERD];

	if (!rpcd_daemon_alive(containerd) && containerd->state == DOWN) {
		renew(containerd);
		all->prepared = false; /* the disk may have gone since */
	}
	if (!service->wanted) {
		service->wanted = true;
		renew(service);
		if (!rpcd_daemon_alive(service))
			all->prepared = false;
		if (answers && !rpcd_going_down(rpcd)) {
			/* Somebody else has started it: it is watched from now on, and what it stands on. */
			if (!rpcd_daemon_alive(containerd) && containerd->state == DOWN)
				launch(all, containerd, true);
			if (!rpcd_daemon_alive(service) && service->state == DOWN)
				launch(all, service, true);
		}
	}
	rpcd_services_reconcile(all);
}

void rpcd_service_seen(struct rpcd *rpcd, enum rpcd_service id, uint64_t since)
{
	struct rpcd_daemon *service = &rpcd->services->list[id];

	if (rpcd_daemon_alive(service) && service->state == STARTING && service->begun < since)
		rpcd_daemon_came_up(service);
}

void rpcd_service_need(struct rpcd *rpcd, int change)
{
	struct rpcd_services *all = rpcd->services;
	struct rpcd_daemon *containerd = &all->list[RPCD_CONTAINERD];

	all->needs = change > 0 ? all->needs + 1 : all->needs - 1;
	if (change > 0 && !rpcd_daemon_alive(containerd) && containerd->state == DOWN) {
		renew(containerd);
		all->prepared = false;
	}
	rpcd_services_reconcile(all);
}

void rpcd_service_drop(struct rpcd *rpcd, enum rpcd_service id)
{
	struct rpcd_daemon *service = &rpcd->services->list[id];

	service->wanted = false;
	service->failed = false;
	service->failure[0] = '\0';
	service->restarts = 0;
	if (service->launching)
		atomic_store(&service->launching->cancelled, true);
	if (service->state == PAUSE) {
		service->state = DOWN;
		gb_loop_timer_stop(&service->timer);
		rpcd_forget(id);
	}
}

void rpcd_service_hold(struct rpcd *rpcd, enum rpcd_service id, int change)
{
	struct rpcd_daemon *service = &rpcd->services->list[id];

	service->holds = change > 0 ? service->holds + 1 : service->holds - 1;
	if (!service->holds)
		rpcd_services_reconcile(rpcd->services);
}

struct rpcd_service_state rpcd_service_state(const struct rpcd *rpcd, enum rpcd_service id)
{
	const struct rpcd_daemon *service = &rpcd->services->list[id];

	return (struct rpcd_service_state){
		.running = rpcd_daemon_alive(service), .up = service->state == UP, .wanted = service->wanted, .failed = service->failed,
		.pid = rpcd_daemon_alive(service) ? service->child.pid : 0, .start = service->start,
	};
}

static void add(char *text, size_t size, const char *word, const char *more)
{
	if (text[0])
		(void)strlcat(text, "; ", size);
	(void)strlcat(text, word, size);
	(void)strlcat(text, more, size);
}

void rpcd_service_text(const struct rpcd *rpcd, enum rpcd_service id, char *text, size_t size)
{
	const struct rpcd_services *all = rpcd->services;
	const struct rpcd_daemon *service = &all->list[id], *containerd = &all->list[RPCD_CONTAINERD];
	char line[96];

	if (service->wanted && service->state != UP)
		add(text, size, "a start is in progress", "");
	if (containerd->failure[0] && strcmp(containerd->failure, service->failure) != 0 && (service->wanted || service->failed))
		add(text, size, "", containerd->failure);
	if (service->failure[0])
		add(text, size, service->failed ? "the last start failed: " : "", service->failure);
	if (service->state == PAUSE)
		add(text, size, "it is started again soon", "");
	if (service->restarts) {
		(void)snprintf(line, sizeof line, "%s was started again %u time%s", rpcd_daemon_name(service), service->restarts,
			       service->restarts == 1 ? "" : "s");
		add(text, size, line, "");
	}
}

void rpcd_service_check(struct rpcd *rpcd, enum rpcd_service id, unsigned ms)
{
	struct rpcd_daemon *service = &rpcd->services->list[id];

	if (rpcd_daemon_alive(service) && !service->asking && gb_loop_now(&rpcd->loop) - service->asked_at >= ms)
		rpcd_daemon_ask(service);
}

int rpcd_services_open(struct rpcd *rpcd, const struct gb_respawn *limit)
{
	struct rpcd_services *all = calloc(1, sizeof *all);

	if (!all)
		return -ENOMEM;
	all->rpcd = rpcd;
	rpcd->services = all;
	all->inotify = (struct gb_io){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .events = EPOLLIN, .fn = rpcd_daemon_appeared };
	if (all->inotify.fd >= 0 && gb_loop_add(&rpcd->loop, &all->inotify) < 0) {
		(void)close(all->inotify.fd);
		all->inotify.fd = -1;
	}
	for (int i = 0; i < RPCD_SERVICES; i++) {
		struct rpcd_daemon *service = &all->list[i];
		*service = (struct rpcd_daemon){ .rpcd = rpcd, .id = (enum rpcd_service)i, .watch = -1, .limit = *limit };
		service->child.io.fd = -1;
		service->timer.fn = on_timer;
	}
	(void)rpcd_state_dir(); /* rpcd_prepare() tells of it when it matters */
	if (rpcd_going_down(rpcd))
		return 0;
	for (int i = 0; i < RPCD_SERVICES; i++) {
		struct rpcd_daemon *service = &all->list[i];
		struct rpcd_started found = { 0 };
		int r = rpcd_find((enum rpcd_service)i, &found);

		if (r == -ENOENT)
			continue;
		/* An earlier vsock-rpcd kept it running, and so do we; one that ended in between is started again. */
		service->wanted = i != RPCD_CONTAINERD;
		service->ever_up = true;
		int fd = rpcd_log_pipe(rpcd_daemon_name(service));
		if (fd >= 0)
			(void)close(fd);
		if (r == 0 && adopt(service, &found)) {
			gb_log(GB_LOG_NOTICE, "runtime: %s runs, pid %d", rpcd_daemon_name(service), found.pid);
			continue;
		}
		describe_end(service, STATUS_GONE, service->failure, sizeof service->failure);
		service->begun = gb_loop_now(&rpcd->loop);
		gb_log(GB_LOG_WARNING, "runtime: %s, while nobody watched", service->failure);
	}
	rpcd_services_reconcile(all);
	return 0;
}

void rpcd_services_close(struct rpcd *rpcd)
{
	struct rpcd_services *all = rpcd->services;

	if (!all)
		return;
	for (int i = 0; i < RPCD_SERVICES; i++) {
		gb_loop_child_forget(&all->list[i].child);
		gb_loop_timer_stop(&all->list[i].timer);
	}
	gb_loop_del(&all->inotify);
	if (all->inotify.fd >= 0)
		(void)close(all->inotify.fd);
	/* A job may still be under way and is never waited for: what it would find stays. */
}
