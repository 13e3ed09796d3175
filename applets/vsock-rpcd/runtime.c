/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: EnsureRuntime and RuntimeStatus. What the runtime is comes from asking it, each time; what is remembered is
 * only that a start is under way, and how the last one failed. */
#include <bsd/string.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applets/vsock-rpcd/health.h"
#include "applets/vsock-rpcd/rpcd.h"
#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"

struct probe {
	bool containerd; /* its socket accepts */
	bool exists, socket, docker; /* dockerd's socket: is there, accepts, and /_ping is answered */
	char detail[512];
};

/* ---- the probe; it blocks, and is called in threads only ---- */

static void probe_runtime(const char *dir, struct probe *probe)
{
	memset(probe, 0, sizeof *probe);
	probe->containerd = rpcd_containerd_up();
	probe->exists = access(RPCD_DOCKER_SOCKET, F_OK) == 0;
	probe->socket = probe->exists && rpcd_docker_connects();
	probe->docker = probe->socket && rpcd_docker_answers();
	if (probe->docker) {
		(void)strlcpy(probe->detail, "dockerd answers on " RPCD_DOCKER_SOCKET, sizeof probe->detail);
	} else if (probe->exists) {
		(void)snprintf(probe->detail, sizeof probe->detail, RPCD_DOCKER_SOCKET ": %s",
			       probe->socket ? "takes connections, /_ping is not answered" : "takes no connections");
	} else {
		char missing[256];
		(void)strlcpy(probe->detail, RPCD_DOCKER_SOCKET ": not there", sizeof probe->detail);
		if (rpcd_missing(dir, RPCD_DOCKERD, missing, sizeof missing)) {
			(void)strlcat(probe->detail, "; missing: ", sizeof probe->detail);
			(void)strlcat(probe->detail, missing, sizeof probe->detail);
		}
	}
}

/* ---- requests ---- */

struct runtime_job {
	struct rpcd_job job; /* first: it is freed through it */
	bool start;
	uint64_t since; /* ms of the loop's clock */
	struct probe probe;
};

static void run_probe(struct rpcd_job *base)
{
	probe_runtime(base->rpcd->runtime_dir, &((struct runtime_job *)base)->probe);
}

/* dockerd's port as clients are told it: only when a connection to it would reach somebody. */
static enum rpcd_port endpoint_text(const struct rpcd *rpcd, char *text, size_t size)
{
	uint32_t port = rpcd_docker_port();
	enum rpcd_port state = rpcd_proxy_port(rpcd, port);

	text[0] = '\0';
	if (state == RPCD_PORT_UP)
		(void)snprintf(text, size, "vsock:%u", port);
	return state;
}

static void seen(const struct runtime_job *job)
{
	if (job->probe.containerd)
		rpcd_service_seen(job->job.rpcd, RPCD_CONTAINERD, job->since);
	if (job->probe.docker)
		rpcd_service_seen(job->job.rpcd, RPCD_DOCKERD, job->since);
}

static void finish_ensure(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct runtime_job *job = (struct runtime_job *)base;
	Arcbox__V1__RuntimeEnsureResponse reply = ARCBOX__V1__RUNTIME_ENSURE_RESPONSE__INIT;
	struct rpcd *rpcd = base->rpcd;
	char endpoint[32], message[2048], empty[] = "";
	char reused[] = "reused", starting[] = "starting", failed[] = "failed";

	seen(job);
	bool waits = endpoint_text(rpcd, endpoint, sizeof endpoint) == RPCD_PORT_WAITS;
	(void)strlcpy(message, job->probe.detail, sizeof message);
	reply.ready = job->probe.docker && !waits;
	reply.endpoint = endpoint;
	reply.message = message;
	reply.status = reply.ready ? reused : failed;
	if (job->probe.docker && waits) {
		(void)strlcat(message, "; its vsock port is not bound yet", sizeof message);
		reply.status = job->start ? starting : failed;
	}
	if (!reply.ready && job->start && rpcd_going_down(rpcd)) {
		(void)strlcpy(message, "the guest is on its way down: nothing is started", sizeof message);
	} else if (!job->probe.docker && job->start) {
		char before[1024] = "";
		rpcd_service_text(rpcd, RPCD_DOCKERD, before, sizeof before);
		(void)snprintf(message, sizeof message, "runtime start in progress%s%s", before[0] ? "; before that: " : "",
			       before);
		reply.endpoint = empty;
		reply.status = starting;
		rpcd_service_want(rpcd, RPCD_DOCKERD, false);
	} else if (!reply.ready) {
		rpcd_service_text(rpcd, RPCD_DOCKERD, message, sizeof message);
	} else if (job->start) {
		rpcd_service_want(rpcd, RPCD_DOCKERD, true);
	}
	if (call)
		rpcd_reply(call, &reply.base);
}

static void finish_status(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct runtime_job *job = (struct runtime_job *)base;
	Arcbox__V1__RuntimeStatusResponse reply = ARCBOX__V1__RUNTIME_STATUS_RESPONSE__INIT;
	Arcbox__V1__ServiceStatus containerd = ARCBOX__V1__SERVICE_STATUS__INIT, dockerd = ARCBOX__V1__SERVICE_STATUS__INIT;
	Arcbox__V1__ServiceStatus *services[] = { &containerd, &dockerd };
	char endpoint[32], detail[2048], c[] = "containerd", d[] = "dockerd";
	char ready[] = "ready", not_ready[] = "not_ready", error[] = "error", where[64];

	if (!call)
		return;
	seen(job);
	(void)endpoint_text(base->rpcd, endpoint, sizeof endpoint);
	(void)strlcpy(detail, job->probe.detail, sizeof detail);
	rpcd_service_text(base->rpcd, RPCD_DOCKERD, detail, sizeof detail);
	if (rpcd_going_down(base->rpcd))
		(void)strlcat(detail, "; the guest is on its way down", sizeof detail);
	(void)strlcpy(where, RPCD_CONTAINERD_SOCKET, sizeof where);
	containerd.name = c;
	containerd.status = job->probe.containerd ? ready : not_ready;
	containerd.detail = where;
	dockerd.name = d;
	dockerd.status = job->probe.docker ? ready : job->probe.exists && !job->probe.socket ? error : not_ready;
	dockerd.detail = job->probe.detail;
	reply.containerd_ready = job->probe.containerd;
	reply.docker_ready = job->probe.docker;
	reply.endpoint = endpoint;
	reply.detail = detail;
	reply.services = services;
	reply.n_services = GB_ARRAY_LEN(services);
	rpcd_reply(call, &reply.base);
}

static void ask(struct rpcd_call *call, bool start, rpcd_finish_fn *finish)
{
	struct runtime_job *job = rpcd_job_new(call, sizeof *job, run_probe, finish);

	if (!job)
		return;
	job->start = start;
	job->since = gb_loop_now(&call->rpcd->loop);
	rpcd_job_start(call, &job->job);
}

void rpcd_runtime_ensure(struct rpcd_call *call)
{
	ask(call, ((const Arcbox__V1__RuntimeEnsureRequest *)(const void *)call->request)->start_if_needed, finish_ensure);
}

void rpcd_runtime_status(struct rpcd_call *call)
{
	ask(call, false, finish_status);
}
