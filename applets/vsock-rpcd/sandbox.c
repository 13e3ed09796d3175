/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: sandboxes, the requests that make, show, stop and remove them. */
#include "applets/vsock-rpcd/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/image.h"
#include "common/sandbox/network.h"
#include "common/sandbox/stage.h"

enum {
	STOP_S = 30, STOP_MAX_S = 3600,
	ANSWER_S = 5,         /* what the file systems that a create names have to answer */
	CHECKS_LATE_MAX = 16, /* creates that wait for such ones; then no more are tried */
};

/* ---- create ---- */

/* The limits that hold: those asked for, or the usual ones where they can be kept. -EOPNOTSUPP: asked for, and the kernel
 * has no such controller. */
static int settle_limits(Sandbox__V1__ResourceLimits *limits, struct gb_err *err)
{
	struct gb_sandbox_controllers have;
	int r = gb_sandbox_controllers(&have, err);

	if (r < 0)
		return r;
	if ((limits->vcpus && !have.cpu) || (limits->memory_mib && !have.memory))
		return gb_err_set(err, EOPNOTSUPP, "limits: there is no %s controller in /sys/fs/cgroup",
				  limits->vcpus && !have.cpu ? "cpu" : "memory");
	if (!limits->vcpus && have.cpu)
		limits->vcpus = GB_SANDBOX_VCPUS;
	if (!limits->memory_mib && have.memory)
		limits->memory_mib = GB_SANDBOX_MEMORY_MIB;
	return 0;
}

static bool fill(rpcd_record *record)
{
	Sandbox__V1__CreateSandboxRequest *spec = record->spec;

	if (!spec->limits && (spec->limits = malloc(sizeof *spec->limits)))
		sandbox__v1__resource_limits__init(spec->limits);
	if (!spec->network && (spec->network = malloc(sizeof *spec->network)))
		sandbox__v1__network_spec__init(spec->network);
	if (!spec->limits || !spec->network)
		return false;
	return *spec->network->mode || gb_pb_set(&spec->network->mode, "tap") == 0;
}

/* One whose root and mounts are there. */
static void create(const struct rpcd_call *call, struct rpcd_sandboxes *all, const Sandbox__V1__CreateSandboxRequest *request)
{
	Sandbox__V1__CreateSandboxResponse reply = SANDBOX__V1__CREATE_SANDBOX_RESPONSE__INIT;
	char instance[GB_SANDBOX_INSTANCE + 1], uuid[37], text[INET_ADDRSTRLEN] = "", images[300], starting[] = "starting";
	rpcd_record *record;
	struct gb_err err;

	if (*request->id && rpcd_box_find(all, request->id)) {
		rpcd_error(call, GB_RPC_CONFLICT, "sandbox \"%s\": there is one already", request->id);
		return;
	}
	record = malloc(sizeof *record);
	if (record) {
		guestbox__sandbox__record__init(record);
		record->spec = rpcd_copy(request);
	}
	if (!record || !record->spec || !fill(record)) {
		gb_pb_free((ProtobufCMessage **)&record);
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	gb_sandbox_images_path(&all->place, images, sizeof images);
	int r = gb_sandbox_image_defaults(images, record->spec, &err);
	if (r == 0) /* of its configuration as of a request */
		r = gb_sandbox_check_create(record->spec, &err);
	if (r < 0) {
		gb_pb_free((ProtobufCMessage **)&record);
		rpcd_error(call, rpcd_code(r), "%s", err.msg);
		return;
	}
	r = settle_limits(record->spec->limits, &err);
	if (r < 0) {
		gb_pb_free((ProtobufCMessage **)&record);
		rpcd_error(call, r == -EOPNOTSUPP ? GB_RPC_UNAVAILABLE : GB_RPC_FAILED, "%s", err.msg);
		return;
	}
	if (rpcd_record_number(all, call, record, strcmp(record->spec->network->mode, "tap") == 0) < 0) {
		gb_pb_free((ProtobufCMessage **)&record);
		return;
	}
	gb_sandbox_new_name(instance);
	gb_sandbox_new_uuid(uuid);
	record->created_at = time(NULL);
	record->expires_at = request->ttl_seconds ? (uint64_t)record->created_at + request->ttl_seconds : 0;
	bool named = gb_pb_set(&record->instance, instance) == 0 &&
		     (*record->spec->id || gb_pb_set(&record->spec->id, uuid) == 0) && gb_pb_set(&record->state, starting) == 0;
	struct rpcd_box *box = named ? rpcd_box_new(all, record, RPCD_STARTING) : NULL;
	if (!box) {
		rpcd_record_drop(all, record);
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	rpcd_box_event(box, "created", NULL, NULL);
	if (record->address) {
		struct in_addr in = { htonl(record->address) };
		(void)inet_ntop(AF_INET, &in, text, sizeof text);
	}
	reply.id = record->spec->id;
	reply.ip_address = text;
	reply.state = starting;
	rpcd_reply(call, &reply.base);
	rpcd_box_expire_in(box, request->ttl_seconds);
	rpcd_box_start(box, NULL);
}

/* The paths of a request may lead to any file system of the guest, to a share whose host has gone, too: the first look at
 * them is a thread's, and has an end for who asked. */
struct check_job {
	struct rpcd_job job; /* first: it is freed through it */
	struct rpcd_sandboxes *all;
	Sandbox__V1__CreateSandboxRequest *request; /* a copy */
	struct gb_sandbox_place place;
	struct gb_timer patience;
	atomic_size_t at; /* 0: the thread looks at the root; N: at the Nth mount */
	bool late;
	int result;
	struct gb_err err;
};

_Static_assert(offsetof(struct check_job, job) == 0, "freed through its first member");

static void check_run(struct rpcd_job *base)
{
	struct check_job *job = (struct check_job *)base;

	job->result = gb_sandbox_root_check(&job->place, job->request, &job->err);
	for (size_t i = 0; job->result == 0 && i < job->request->n_mounts; i++) {
		atomic_store(&job->at, i + 1);
		job->result = gb_sandbox_mount_check(&job->place, job->request->mounts[i], &job->err);
	}
}

static void on_check_patience(struct gb_timer *timer)
{
	struct check_job *job = (struct check_job *)((char *)timer - offsetof(struct check_job, patience));
	struct rpcd_call call = rpcd_job_call(&job->job);
	size_t at = atomic_load(&job->at);

	if (!call.conn)
		return;
	rpcd_error(&call, GB_RPC_FAILED, "%s %s: its file system has not answered for %d s", at ? "mount" : "rootfs",
		   at ? job->request->mounts[at - 1]->source : job->request->rootfs, ANSWER_S);
	rpcd_job_give_up(&job->job);
}

static void check_late(struct rpcd_job *base)
{
	struct check_job *job = (struct check_job *)base;

	job->late = true;
	job->all->checks_late++;
	gb_loop_timer(job->all->loop, &job->patience, ANSWER_S * 1000 - GB_POOL_LATE_MS);
}

static void check_finish(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct check_job *job = (struct check_job *)base;

	gb_loop_timer_stop(&job->patience);
	if (job->late)
		job->all->checks_late--;
	if (base->failed)
		job->result = gb_err_sys(&job->err, base->failed, "a thread");
	if (call && job->result < 0)
		rpcd_error(call, rpcd_code(job->result), "%s", job->err.msg);
	else if (call)
		create(call, job->all, job->request);
	gb_pb_free((ProtobufCMessage **)&job->request);
}

void rpcd_sandbox_create(struct rpcd_call *call)
{
	const Sandbox__V1__CreateSandboxRequest *request = (const Sandbox__V1__CreateSandboxRequest *)call->request;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct gb_err err;

	if (!all)
		return;
	int r = gb_sandbox_check_create(request, &err);
	if (r < 0) {
		rpcd_error(call, GB_RPC_INVALID, "%s", err.msg);
		return;
	}
	if (*request->id && rpcd_box_find(all, request->id)) { /* however its paths are; and once more when they are known */
		rpcd_error(call, GB_RPC_CONFLICT, "sandbox \"%s\": there is one already", request->id);
		return;
	}
	if (!*request->rootfs && !request->n_mounts) { /* an image is on the disk of our own records */
		r = gb_sandbox_root_check(&all->place, request, &err);
		if (r < 0)
			rpcd_error(call, rpcd_code(r), "%s", err.msg);
		else
			create(call, all, request);
		return;
	}
	if (all->checks_late >= CHECKS_LATE_MAX) {
		rpcd_error(call, GB_RPC_UNAVAILABLE, "sandbox: %u creates wait for file systems that do not answer", all->checks_late);
		return;
	}
	struct check_job *job = rpcd_job_new(call, sizeof *job, check_run, check_finish);
	if (!job)
		return;
	job->all = all;
	job->place = all->place;
	job->patience.fn = on_check_patience;
	job->job.late = check_late;
	job->request = rpcd_copy(request);
	if (!job->request) {
		free(job);
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	rpcd_job_start(call, &job->job);
}

/* ---- inspect, list ---- */

void rpcd_sandbox_inspect(struct rpcd_call *call)
{
	const Sandbox__V1__InspectSandboxRequest *request = (const Sandbox__V1__InspectSandboxRequest *)call->request;
	Sandbox__V1__SandboxInfo reply = SANDBOX__V1__SANDBOX_INFO__INIT;
	Sandbox__V1__SandboxNetwork network = SANDBOX__V1__SANDBOX_NETWORK__INIT;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_box *box = all ? rpcd_box_named(all, call, request->id) : NULL;
	char address[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN], name[GB_SANDBOX_TAP], state[16];

	if (!box)
		return;
	const rpcd_record *record = box->record;
	(void)snprintf(state, sizeof state, "%s", rpcd_state_name[box->state]);
	reply.id = record->spec->id;
	reply.state = state;
	reply.labels = (Sandbox__V1__SandboxInfo__LabelsEntry **)record->spec->labels;
	reply.n_labels = record->spec->n_labels;
	reply.limits = record->spec->limits;
	if (box->addressed) {
		struct in_addr in = { htonl(record->address) }, gw = { htonl(GB_SANDBOX_GATEWAY) };
		(void)inet_ntop(AF_INET, &in, address, sizeof address);
		(void)inet_ntop(AF_INET, &gw, gateway, sizeof gateway);
		gb_sandbox_tap_name(record->address, name);
		network.ip_address = address;
		network.gateway = gateway;
		network.tap_name = name;
		reply.network = &network;
	}
	reply.created_at = record->created_at;
	reply.ready_at = record->ready_at;
	reply.last_exited_at = record->last_exited_at;
	reply.last_exit_code = record->last_exit_code;
	reply.error = record->error;
	rpcd_reply(call, &reply.base);
}

void rpcd_sandbox_list(struct rpcd_call *call)
{
	const Sandbox__V1__ListSandboxesRequest *request = (const Sandbox__V1__ListSandboxesRequest *)call->request;
	Sandbox__V1__ListSandboxesResponse reply = SANDBOX__V1__LIST_SANDBOXES_RESPONSE__INIT;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_box *box;
	size_t n = 0;

	if (!all)
		return;
	TAILQ_FOREACH(box, &all->boxes, link)
		n++;
	gb_autofree struct row {
		Sandbox__V1__SandboxSummary summary;
		char address[INET_ADDRSTRLEN];
		char state[16];
	} *rows = calloc(n + 1, sizeof *rows);
	gb_autofree Sandbox__V1__SandboxSummary **list = calloc(n + 1, sizeof *list);
	if (!rows || !list) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	n = 0;
	TAILQ_FOREACH(box, &all->boxes, link) {
		const rpcd_record *record = box->record;
		struct row *row = &rows[n];
		if (*request->state && strcmp(request->state, rpcd_state_name[box->state]) != 0)
			continue;
		if (!gb_sandbox_labels_match(record->spec->labels, record->spec->n_labels, request->labels, request->n_labels))
			continue;
		sandbox__v1__sandbox_summary__init(&row->summary);
		(void)snprintf(row->state, sizeof row->state, "%s", rpcd_state_name[box->state]);
		row->summary.id = record->spec->id;
		row->summary.state = row->state;
		row->summary.labels = (Sandbox__V1__SandboxSummary__LabelsEntry **)record->spec->labels;
		row->summary.n_labels = record->spec->n_labels;
		if (box->addressed) {
			struct in_addr in = { htonl(record->address) };
			(void)inet_ntop(AF_INET, &in, row->address, sizeof row->address);
		}
		row->summary.ip_address = row->address;
		row->summary.created_at = record->created_at;
		list[n++] = &row->summary;
	}
	reply.sandboxes = list;
	reply.n_sandboxes = n;
	rpcd_reply(call, &reply.base);
}

/* ---- stop, remove ---- */

void rpcd_sandbox_stop(struct rpcd_call *call)
{
	const Sandbox__V1__StopSandboxRequest *request = (const Sandbox__V1__StopSandboxRequest *)call->request;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_box *box = all ? rpcd_box_named(all, call, request->id) : NULL;
	uint32_t seconds = request->timeout_seconds ? request->timeout_seconds : STOP_S;

	if (!box)
		return;
	if ((box->state != RPCD_READY && box->state != RPCD_RUNNING) || box->claimed || box->task) {
		rpcd_wrong_state(call, box, "only one that is ready or running can be stopped");
		return;
	}
	struct rpcd_waiter *waiter = rpcd_wait(call);
	if (!waiter)
		return;
	STAILQ_INSERT_TAIL(&box->stops, waiter, link);
	rpcd_box_stop(box, seconds < STOP_MAX_S ? seconds : STOP_MAX_S);
}

void rpcd_sandbox_remove(struct rpcd_call *call)
{
	const Sandbox__V1__RemoveSandboxRequest *request = (const Sandbox__V1__RemoveSandboxRequest *)call->request;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_box *box = all ? rpcd_box_named(all, call, request->id) : NULL;

	if (!box)
		return;
	if (box->stuck) { /* nobody knows when that is over */
		rpcd_box_remove(box, request->force);
		rpcd_error(call, GB_RPC_FAILED, "sandbox \"%s\": %s; it is removed when that is over", request->id, box->record->error);
		return;
	}
	if (((box->state == RPCD_RUNNING && !box->removing) || box->claimed) && !request->force) {
		rpcd_wrong_state(call, box, "remove it by force, or stop it first");
		return;
	}
	struct rpcd_waiter *waiter = rpcd_wait(call);
	if (!waiter)
		return;
	STAILQ_INSERT_TAIL(&box->removes, waiter, link);
	rpcd_box_remove(box, request->force);
}
