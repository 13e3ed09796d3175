/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: EnsureRuntime and RuntimeStatus. What the runtime is comes from asking it, each time; what is remembered is
 * only that a start is under way, and how the last one failed. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "applets/vsock-rpcd/runtime.h"
#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"
#include "common/sys/cmdline.h"

enum { PROBE_MS = 300, API_CONNECT_MS = 500, API_MS = 3000 };

static const char *const containerd_sockets[] = { RPCD_CONTAINERD_SOCKET, "/var/run/containerd/containerd.sock" };

/* ---- the port that clients are told ---- */

static bool port_of(const char *text, uint32_t *ret)
{
	char *end;

	errno = 0;
	unsigned long long n = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
	if (n == 0 || errno || *end || n > UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

/* Environment, then the kernel command line, where the first token with a value counts; a value that is no number falls
 * through to the next source. */
uint32_t rpcd_docker_port(void)
{
	gb_autobuf struct gb_buf line = { 0 };
	char word[256];
	const char *key, *value;
	uint32_t port;
	size_t pos = 0;

	if (port_of(getenv("GUESTBOX_DOCKER_PORT"), &port) || port_of(getenv("ARCBOX_GUEST_DOCKER_VSOCK_PORT"), &port))
		return port;
	if (gb_cmdline_read(&line) == 0) {
		while (gb_cmdline_next(gb_buf_text(&line), &pos, word, sizeof word, &key, &value)) {
			if (!value || !*value ||
			    (strcmp(key, "arcbox.guest_docker_vsock_port") != 0 && strcmp(key, "guestbox.docker_port") != 0))
				continue;
			if (port_of(value, &port))
				return port;
			break;
		}
	}
	return 2375;
}

/* ---- probes; they block, and are called in threads only ---- */

static int connect_unix(const char *path, int timeout_ms)
{
	struct gb_addr addr = { .kind = GB_ADDR_UNIX };

	(void)strlcpy(addr.name, path, sizeof addr.name);
	return gb_addr_connect(&addr, timeout_ms, NULL);
}

static bool accepts(const char *path)
{
	gb_autoclose int fd = connect_unix(path, PROBE_MS);

	return fd >= 0;
}

bool rpcd_containerd_up(void)
{
	return accepts(containerd_sockets[0]) || accepts(containerd_sockets[1]);
}

/* Whether the API answers: dockerd takes connections before it can serve them. */
bool rpcd_docker_answers(void)
{
	static const char request[] = "GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	char reply[256];
	gb_autoclose int fd = connect_unix(RPCD_DOCKER_SOCKET, API_CONNECT_MS);

	if (fd < 0 || send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
		return false;
	if (gb_net_wait(fd, POLLIN, gb_net_clock() + API_MS) < 0)
		return false;
	ssize_t n = recv(fd, reply, sizeof reply, 0);
	return n >= 12 && strncmp(reply, "HTTP/1.1 200", 12) == 0;
}

void rpcd_runtime_probe(const char *dir, struct rpcd_probe *probe)
{
	memset(probe, 0, sizeof *probe);
	probe->containerd = rpcd_containerd_up();
	probe->exists = access(RPCD_DOCKER_SOCKET, F_OK) == 0;
	probe->socket = probe->exists && accepts(RPCD_DOCKER_SOCKET);
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
	struct rpcd_probe probe;
};

static void run_probe(struct rpcd_job *base)
{
	rpcd_runtime_probe(base->rpcd->runtime_dir, &((struct runtime_job *)base)->probe);
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

static void finish_ensure(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct runtime_job *job = (struct runtime_job *)base;
	Arcbox__V1__RuntimeEnsureResponse reply = ARCBOX__V1__RUNTIME_ENSURE_RESPONSE__INIT;
	struct rpcd *rpcd = base->rpcd;
	char endpoint[32], message[2048], empty[] = "";
	char reused[] = "reused", starting[] = "starting", failed[] = "failed";

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
	(void)endpoint_text(base->rpcd, endpoint, sizeof endpoint);
	(void)strlcpy(detail, job->probe.detail, sizeof detail);
	rpcd_service_text(base->rpcd, RPCD_DOCKERD, detail, sizeof detail);
	if (rpcd_going_down(base->rpcd))
		(void)strlcat(detail, "; the guest is on its way down", sizeof detail);
	(void)strlcpy(where, containerd_sockets[0], sizeof where);
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

static void ask(struct rpcd_call *call, bool start, void (*finish)(struct rpcd_job *, const struct rpcd_call *))
{
	struct runtime_job *job = calloc(1, sizeof *job);

	if (!job) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	job->start = start;
	job->job.run = run_probe;
	job->job.finish = finish;
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
