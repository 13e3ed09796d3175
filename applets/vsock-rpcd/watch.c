/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: how a daemon of the runtime is: it is asked when its socket appears, and again and again until it answers. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "applets/vsock-rpcd/daemon.h"
#include "applets/vsock-rpcd/health.h"
#include "common/base/log.h"

enum { PROBE_MAX_MS = 500, K3S_PROBE_MS = 2000 };

static const struct kind {
	const char *folder; /* where its socket appears */
	const char *file;
	unsigned patience;  /* ms: it should answer by then */
} kinds[RPCD_SERVICES] = {
	[RPCD_CONTAINERD] = { "/run/containerd", "containerd.sock", 30000 },
	[RPCD_DOCKERD] = { "/var/run", "docker.sock", 90000 },
	[RPCD_K3S] = { RPCD_K3S_DATA, "k3s.yaml", 30000 },
};

struct ask_job {
	struct rpcd_job job; /* first: it is freed through it */
	enum rpcd_service id;
	bool answers;
};

static void run_ask(struct rpcd_job *base)
{
	struct ask_job *job = (struct ask_job *)base;

	job->answers = rpcd_service_answers(base->rpcd->runtime_dir, job->id);
}

static void look_later(struct rpcd_daemon *service)
{
	gb_loop_timer(&service->rpcd->loop, &service->timer, service->pause);
	/* A look at k3s may start a program. */
	uint64_t most = service->id == RPCD_K3S ? K3S_PROBE_MS : PROBE_MAX_MS;
	service->pause = service->pause * 3 / 2 > most ? most : service->pause * 3 / 2 + 1;
}

void rpcd_daemon_came_up(struct rpcd_daemon *service)
{
	service->state = UP;
	service->up_at = gb_loop_now(&service->rpcd->loop);
	service->ever_up = true;
	service->late = false;
	service->failure[0] = '\0';
	gb_loop_timer_stop(&service->timer);
	gb_log(GB_LOG_NOTICE, "runtime: %s is ready", rpcd_daemon_name(service));
	rpcd_services_reconcile(service->rpcd->services);
}

static void finish_ask(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct ask_job *job = (struct ask_job *)base;
	struct rpcd *rpcd = base->rpcd;
	struct rpcd_daemon *service = &rpcd->services->list[job->id];
	uint64_t now = gb_loop_now(&rpcd->loop);

	(void)call;
	service->asking = false;
	service->asked_at = now;
	if (!rpcd_daemon_alive(service))
		return;
	if (job->answers && service->state == STARTING) {
		rpcd_daemon_came_up(service);
	} else if (!job->answers && service->state == UP && service->id == RPCD_K3S) {
		/* Of the others each request asks for itself. */
		service->state = STARTING;
		service->begun = now;
		gb_log(GB_LOG_WARNING, "runtime: %s does not answer any more", rpcd_daemon_name(service));
		service->pause = PROBE_MAX_MS;
		look_later(service);
	} else if (service->state == STARTING) {
		if (!service->late && now - service->begun >= kinds[job->id].patience) {
			service->late = true;
			(void)snprintf(service->failure, sizeof service->failure, "%s runs but does not answer after %u s",
				       rpcd_daemon_name(service), kinds[job->id].patience / 1000);
			gb_log(GB_LOG_ERR, "runtime: %s", service->failure);
		}
		if (service->ask_again) {
			service->ask_again = false;
			service->pause = RPCD_PROBE_FIRST_MS;
		}
		look_later(service);
	}
}

void rpcd_daemon_ask(struct rpcd_daemon *service)
{
	if (service->asking) {
		service->ask_again = true;
		return;
	}
	struct ask_job *job = calloc(1, sizeof *job);
	if (!job) {
		look_later(service);
		return;
	}
	service->asking = true;
	service->ask_again = false;
	job->id = service->id;
	job->job.run = run_ask;
	job->job.finish = finish_ask;
	rpcd_job_background(service->rpcd, &job->job);
}

void rpcd_daemon_appeared(struct gb_io *io, uint32_t events)
{
	struct rpcd_services *all = (struct rpcd_services *)((char *)io - offsetof(struct rpcd_services, inotify));
	union {
		struct inotify_event event;
		char bytes[4096];
	} buf;
	ssize_t n;

	(void)events;
	while ((n = read(io->fd, &buf, sizeof buf)) > 0) {
		for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
			const struct inotify_event *event = (const void *)(buf.bytes + at);
			at += (ssize_t)sizeof *event + event->len;
			for (int i = 0; i < RPCD_SERVICES; i++) {
				struct rpcd_daemon *service = &all->list[i];
				if (event->wd != service->watch || !event->len || strcmp(event->name, kinds[i].file) != 0 ||
				    service->state != STARTING)
					continue;
				/* bind(2) makes the name, listen(2) comes right after. */
				service->pause = RPCD_PROBE_FIRST_MS;
				gb_loop_timer_stop(&service->timer);
				rpcd_daemon_ask(service);
			}
		}
	}
}

/* The folder exists by now; without a watch the looks alone do it. */
void rpcd_daemon_watch(struct rpcd_services *all, struct rpcd_daemon *service)
{
	if (all->inotify.fd >= 0)
		service->watch = inotify_add_watch(all->inotify.fd, kinds[service->id].folder,
						   IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
}
