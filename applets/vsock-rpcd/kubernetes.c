/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the Kubernetes requests. A start answers with what is and goes on beside; a status waits for nobody. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/vsock-rpcd/k8s.h"
#include "applets/vsock-rpcd/rpcd.h"
#include "applets/vsock-rpcd/health.h"
#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/utf8.h"

enum { CHECK_MS = 5000, CONFIG_MAX = 1 << 20 };

/* Where the host serves the API, and what it calls it. */
static char endpoint[] = "https://127.0.0.1:16443", context[] = "arcbox";

struct kube_job {
	struct rpcd_job job; /* first: it is freed through it */
	bool containerd, api; /* take connections */
	char missing[512];
	bool stopped;
	struct gb_buf text;
	unsigned failures;    /* of containerd, before this began */
	int error;            /* of the kubeconfig */
};

_Static_assert(offsetof(struct kube_job, job) == 0, "freed through its first member");

static bool begin(struct rpcd_call *call, unsigned failures, rpcd_run_fn *run, rpcd_finish_fn *finish)
{
	struct kube_job *job = rpcd_job_new(call, sizeof *job, run, finish);

	if (!job)
		return false;
	job->failures = failures;
	rpcd_job_start(call, &job->job);
	return true;
}

/* ---- status and start ---- */

static void run_probe(struct rpcd_job *base)
{
	struct kube_job *job = (struct kube_job *)base;

	job->containerd = rpcd_containerd_up();
	job->api = rpcd_api_connects();
	(void)rpcd_missing(base->rpcd->runtime_dir, RPCD_K3S, job->missing, sizeof job->missing);
}

struct view {
	bool running, ready;
	char detail[2048];
};

static void look(const struct kube_job *job, struct view *view)
{
	struct rpcd *rpcd = job->job.rpcd;
	struct rpcd_service_state k3s = rpcd_service_state(rpcd, RPCD_K3S);

	view->running = k3s.running;
	view->ready = k3s.running && k3s.up && job->api;
	/* /readyz is asked for beside: who asks now hears the last answer, the next one this. */
	if (k3s.running)
		rpcd_service_check(rpcd, RPCD_K3S, k3s.up && job->api ? CHECK_MS : 0);
	(void)strlcpy(view->detail,
		      view->ready       ? "k3s runs and its API is ready"
		      : !view->running  ? "k3s does not run"
		      : job->api        ? "k3s runs; its API takes connections, /readyz is not ok"
					: "k3s runs; 127.0.0.1:6443 takes no connections",
		      sizeof view->detail);
	if (!view->running && job->missing[0]) {
		(void)strlcat(view->detail, "; missing: ", sizeof view->detail);
		(void)strlcat(view->detail, job->missing, sizeof view->detail);
	} else {
		rpcd_service_text(rpcd, RPCD_K3S, view->detail, sizeof view->detail);
	}
}

static void finish_status(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct kube_job *job = (struct kube_job *)base;
	Arcbox__V1__KubernetesStatusResponse reply = ARCBOX__V1__KUBERNETES_STATUS_RESPONSE__INIT;
	Arcbox__V1__ServiceStatus containerd = ARCBOX__V1__SERVICE_STATUS__INIT, k3s = ARCBOX__V1__SERVICE_STATUS__INIT;
	Arcbox__V1__ServiceStatus *services[] = { &containerd, &k3s };
	char c[] = "containerd", k[] = "k3s", ready[] = "ready", not_ready[] = "not_ready", error[] = "error";
	char where[] = RPCD_CONTAINERD_SOCKET;
	struct view view;

	if (!call)
		return;
	look(job, &view);
	containerd.name = c;
	containerd.status = job->containerd ? ready : not_ready;
	containerd.detail = where;
	k3s.name = k;
	k3s.status = view.ready ? ready : view.running ? error : not_ready;
	k3s.detail = view.detail;
	reply.running = view.running;
	reply.api_ready = view.ready;
	reply.endpoint = endpoint;
	reply.detail = view.detail;
	reply.services = services;
	reply.n_services = GB_ARRAY_LEN(services);
	rpcd_reply(call, &reply.base);
}

static void finish_start(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct kube_job *job = (struct kube_job *)base;
	Arcbox__V1__KubernetesStartResponse reply = ARCBOX__V1__KUBERNETES_START_RESPONSE__INIT;
	struct rpcd *rpcd = base->rpcd;
	struct view view;

	bool down = rpcd_going_down(rpcd);
	if (!down && (!job->missing[0] || rpcd_service_state(rpcd, RPCD_K3S).running))
		rpcd_service_want(rpcd, RPCD_K3S, false);
	look(job, &view);
	if (down && !view.ready)
		(void)strlcat(view.detail, "; the guest is on its way down: nothing is started", sizeof view.detail);
	reply.running = view.running;
	reply.api_ready = view.ready;
	reply.endpoint = endpoint;
	reply.detail = view.detail;
	if (call)
		rpcd_reply(call, &reply.base);
}

void rpcd_k8s_status(struct rpcd_call *call)
{
	(void)begin(call, 0, run_probe, finish_status);
}

void rpcd_k8s_start(struct rpcd_call *call)
{
	(void)begin(call, 0, run_probe, finish_start);
}

/* ---- stop and delete ---- */

/* Each takes a thread while it waits for the one before: not all of them, for those wait for other jobs. */
enum { CONTROLS_MAX = 3 };
static unsigned controls;

static bool may_control(struct rpcd_call *call)
{
	if (controls < CONTROLS_MAX)
		return true;
	rpcd_error(call, GB_RPC_CONFLICT, "%u stops and deletions of Kubernetes are under way", controls);
	return false;
}

static void run_stop(struct rpcd_job *base)
{
	struct kube_job *job = (struct kube_job *)base;

	job->stopped = rpcd_k8s_stop(&job->text);
}

static char *text_of(struct kube_job *job, char *fallback)
{
	return job->text.len ? job->text.data : fallback;
}

static void finish_stop(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct kube_job *job = (struct kube_job *)base;
	Arcbox__V1__KubernetesStopResponse reply = ARCBOX__V1__KUBERNETES_STOP_RESPONSE__INIT;
	char done[] = "k3s and its pods have ended", failed[] = "could not be stopped: out of memory or threads";

	controls--;
	rpcd_service_hold(base->rpcd, RPCD_K3S, -1);
	reply.stopped = job->stopped;
	reply.detail = text_of(job, job->stopped ? done : failed);
	gb_log(job->stopped ? GB_LOG_NOTICE : GB_LOG_ERR, "Kubernetes: stop: %s", reply.detail);
	if (call)
		rpcd_reply(call, &reply.base);
	gb_buf_free(&job->text);
}

void rpcd_k8s_stop_request(struct rpcd_call *call)
{
	if (!may_control(call))
		return;
	/* Held until the end: what was wanted before is not, and what is wanted from now on comes after it. */
	controls++;
	rpcd_service_drop(call->rpcd, RPCD_K3S);
	rpcd_service_hold(call->rpcd, RPCD_K3S, 1);
	if (!begin(call, 0, run_stop, finish_stop)) {
		controls--;
		rpcd_service_hold(call->rpcd, RPCD_K3S, -1);
	}
}

static void run_delete(struct rpcd_job *base)
{
	struct kube_job *job = (struct kube_job *)base;

	rpcd_k8s_delete(base->rpcd->runtime_dir, job->failures, &job->text);
	job->stopped = true;
}

static void finish_delete(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct kube_job *job = (struct kube_job *)base;
	Arcbox__V1__KubernetesDeleteResponse reply = ARCBOX__V1__KUBERNETES_DELETE_RESPONSE__INIT;
	char done[] = "Kubernetes and what it stored are gone", failed[] = "could not be deleted: out of memory or threads";

	controls--;
	rpcd_service_hold(base->rpcd, RPCD_K3S, -1);
	rpcd_service_need(base->rpcd, -1);
	reply.detail = text_of(job, job->stopped ? done : failed);
	gb_log(job->text.len ? GB_LOG_WARNING : GB_LOG_NOTICE, "Kubernetes: delete: %s", reply.detail);
	if (call)
		rpcd_reply(call, &reply.base);
	gb_buf_free(&job->text);
}

void rpcd_k8s_delete_request(struct rpcd_call *call)
{
	unsigned failures = rpcd_containerd_failures();

	if (!may_control(call))
		return;
	controls++;
	rpcd_service_drop(call->rpcd, RPCD_K3S);
	rpcd_service_hold(call->rpcd, RPCD_K3S, 1);
	rpcd_service_need(call->rpcd, 1); /* only containerd can empty its name space */
	if (!begin(call, failures, run_delete, finish_delete)) {
		controls--;
		rpcd_service_hold(call->rpcd, RPCD_K3S, -1);
		rpcd_service_need(call->rpcd, -1);
	}
}

/* ---- kubeconfig ---- */

static void run_config(struct rpcd_job *base)
{
	struct kube_job *job = (struct kube_job *)base;

	job->error = -gb_io_slurp(AT_FDCWD, RPCD_K3S_CONFIG, CONFIG_MAX, &job->text);
	if (!job->error && (memchr(gb_buf_text(&job->text), '\0', job->text.len) || !gb_utf8_is(job->text.data, job->text.len)))
		job->error = EILSEQ;
}

static void finish_config(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct kube_job *job = (struct kube_job *)base;
	Arcbox__V1__KubernetesKubeconfigResponse reply = ARCBOX__V1__KUBERNETES_KUBECONFIG_RESPONSE__INIT;
	char none[] = "";

	if (call && (job->error || base->failed)) {
		rpcd_error(call, GB_RPC_NOT_FOUND, RPCD_K3S_CONFIG ": %s", strerror(base->failed ? base->failed : job->error));
	} else if (call) {
		reply.kubeconfig = text_of(job, none);
		reply.context_name = context;
		reply.endpoint = endpoint;
		rpcd_reply(call, &reply.base);
	}
	gb_buf_free(&job->text);
}

void rpcd_k8s_config(struct rpcd_call *call)
{
	(void)begin(call, 0, run_config, finish_config);
}
