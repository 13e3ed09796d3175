/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: checkpoints of sandboxes, and sandboxes made of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "applets/vsock-rpcd/sandbox.h"
#include "common/base/cleanup.h"
#include "common/base/date.h"
#include "common/base/log.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/runtime.h"

enum { FREEZE_MS = 10000, NAME_MAX_BYTES = 256 };

static struct rpcd_snap *snap_find(struct rpcd_sandboxes *all, const char *id)
{
	struct rpcd_snap *snap;

	TAILQ_FOREACH(snap, &all->snaps, link) {
		if (!snap->going && strcmp(snap->snapshot->id, id) == 0)
			return snap;
	}
	return NULL;
}

static struct rpcd_snap *snap_named(struct rpcd_sandboxes *all, struct rpcd_call *call, const char *id)
{
	struct rpcd_snap *snap = snap_find(all, id);

	if (!snap)
		rpcd_error(call, GB_RPC_NOT_FOUND, "snapshot \"%.128s\": there is none", id);
	return snap;
}

void rpcd_snap_insert(struct rpcd_sandboxes *all, struct rpcd_snap *snap)
{
	struct rpcd_snap *at;

	TAILQ_FOREACH(at, &all->snaps, link) {
		if (at->snapshot->created_at > snap->snapshot->created_at)
			break;
	}
	if (at)
		TAILQ_INSERT_BEFORE(at, snap, link);
	else
		TAILQ_INSERT_TAIL(&all->snaps, snap, link);
}

/* RFC 3339, UTC. */
static void time_text(int64_t ns, char *text, size_t size)
{
	char date[GB_DATE_SIZE];

	(void)gb_date_text(date, (int64_t)(ns / 1000000000));
	(void)snprintf(text, size, "%s.%09dZ", date, (int)(ns % 1000000000));
}

/* ---- checkpoint ---- */

struct checkpoint_task {
	struct rpcd_task task;
	struct rpcd_box *box;
	struct rpcd_waiter *waiter;
	rpcd_snapshot *snapshot; /* with a copy of the record */
	char note[256];          /* why there are no processes in it */
};

static void checkpoint_run(struct rpcd_task *base)
{
	struct checkpoint_task *task = (struct checkpoint_task *)base;
	const struct gb_sandbox_place *place = &base->all->place;
	const rpcd_record *record = task->snapshot->record;
	char cgroup[160], folder[512], box[512];
	struct gb_err why = { 0 };
	struct gb_sandbox_place own = *place;

	if (*record->runtime)
		gb_sandbox_set_runtime(&own, record->runtime);
	/* The files as they are at one moment, that of the processes. */
	(void)snprintf(cgroup, sizeof cgroup, "%s/%s", place->cgroup + 1, record->instance);
	gb_sandbox_box_path(place, record->instance, "processes", box, sizeof box);
	gb_sandbox_exec_never(record); /* one end of a socket cannot be written down (criu(8), --ext-unix-sk) */
	int r = gb_sandbox_cgroup_freeze(cgroup, true, FREEZE_MS);
	if (r < 0)
		(void)gb_err_sys(&base->err, -r, "sandbox \"%s\": freeze", record->spec->id);
	bool dumped = false;
	if (r == 0) {
		dumped = mkdir(box, 0700) == 0 && gb_sandbox_dump(&own, record, box, &why) == 0;
		if (!dumped)
			(void)snprintf(task->note, sizeof task->note, "%.200s", why.msg);
		r = gb_sandbox_snapshot_make(place, record, task->snapshot->id, &base->err);
	}
	(void)gb_sandbox_cgroup_freeze(cgroup, false, 0);
	if (r == 0 && dumped) {
		gb_sandbox_snapshot_path(place, task->snapshot->id, "processes", folder, sizeof folder);
		dumped = rename(box, folder) == 0;
	}
	if (!dumped)
		(void)gb_sandbox_tree_remove(AT_FDCWD, box);
	if (r == 0) {
		rpcd_set_text(&task->snapshot->content, dumped ? GB_SANDBOX_PROCESSES : GB_SANDBOX_FILES);
		r = gb_sandbox_snapshot_write(place, task->snapshot, &base->err);
		if (r < 0)
			(void)gb_sandbox_snapshot_remove(place, task->snapshot->id, &why);
	}
	base->result = r;
}

static void checkpoint_done(struct rpcd_task *base)
{
	struct checkpoint_task *task = (struct checkpoint_task *)base;
	Sandbox__V1__CheckpointResponse reply = SANDBOX__V1__CHECKPOINT_RESPONSE__INIT;
	struct rpcd_sandboxes *all = base->all;
	struct rpcd_box *box = task->box;
	struct rpcd_snap *snap = base->result == 0 ? calloc(1, sizeof *snap) : NULL;
	struct rpcd_call call;
	char path[512], text[64];

	box->claimed = false;
	if (box->ended) /* its PID 1 has ended meanwhile */
		rpcd_box_clean(box);
	const struct rpcd_call *answer = rpcd_wait_call(task->waiter, &call);
	if (snap) {
		snap->snapshot = task->snapshot;
		rpcd_snap_insert(all, snap);
		gb_sandbox_snapshot_path(&all->place, task->snapshot->id, NULL, path, sizeof path);
		time_text(task->snapshot->created_at, text, sizeof text);
		reply.snapshot_id = task->snapshot->id;
		reply.snapshot_dir = path;
		reply.created_at = text;
		reply.content = task->snapshot->content;
		gb_log(GB_LOG_INFO, "sandbox \"%s\": snapshot %s, %s%s%s", box->record->spec->id, task->snapshot->id,
		       task->snapshot->content, task->note[0] ? ": " : "", task->note);
		if (answer)
			rpcd_reply(answer, &reply.base);
	} else {
		if (answer)
			rpcd_error(answer, base->result == -EOPNOTSUPP ? GB_RPC_UNAVAILABLE : GB_RPC_FAILED, "%s",
				   base->result ? base->err.msg : "out of memory");
		gb_pb_free((ProtobufCMessage **)&task->snapshot);
	}
	rpcd_wait_end(task->waiter);
	free(task);
}

void rpcd_sandbox_checkpoint(struct rpcd_call *call)
{
	const Sandbox__V1__CheckpointRequest *request = (const Sandbox__V1__CheckpointRequest *)call->request;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_box *box = all ? rpcd_box_named(all, call, request->sandbox_id) : NULL;
	Sandbox__V1__CheckpointRequest labels = *request;
	rpcd_snapshot shell = GUESTBOX__SANDBOX__SNAPSHOT__INIT;
	struct timespec now;
	char uuid[37];

	if (!box)
		return;
	if (strlen(request->name) > NAME_MAX_BYTES || request->n_labels > 64) {
		rpcd_error(call, GB_RPC_INVALID, "name or labels: too long");
		return;
	}
	if (box->state != RPCD_READY || box->claimed || box->task) {
		rpcd_wrong_state(call, box, "a checkpoint needs one that is ready");
		return;
	}
	if (!box->record->subvolume) {
		rpcd_error(call, GB_RPC_UNAVAILABLE, GB_SANDBOX_NO_SNAPSHOT,
			   box->record->spec->id, all->place.data);
		return;
	}
	/* The snapshot is put together of what there is, and copied as a whole. */
	gb_sandbox_new_uuid(uuid);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	shell.id = uuid;
	shell.name = request->name;
	shell.labels = (Guestbox__Sandbox__Snapshot__LabelsEntry **)labels.labels;
	shell.n_labels = labels.n_labels;
	shell.created_at = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	shell.record = box->record;
	struct checkpoint_task *task = calloc(1, sizeof *task);
	gb_autobuf struct gb_buf packed = { 0 };
	if (task && gb_pb_encode(&shell.base, &packed) == 0)
		task->snapshot = guestbox__sandbox__snapshot__unpack(NULL, packed.len, (const uint8_t *)gb_buf_text(&packed));
	if (!task || !task->snapshot || !(task->waiter = rpcd_wait(call))) {
		if (task && !task->snapshot)
			rpcd_error(call, GB_RPC_FAILED, "out of memory");
		if (task)
			gb_pb_free((ProtobufCMessage **)&task->snapshot);
		free(task);
		return;
	}
	box->claimed = true;
	gb_close_fd(&box->orders);
	box->orders = -1;
	task->box = box;
	task->task.run = checkpoint_run;
	task->task.done = checkpoint_done;
	rpcd_task_start(all, &task->task);
}

/* ---- restore ---- */

/* The request's labels in place of the record's. */
static bool take_labels(rpcd_record *record, const Sandbox__V1__RestoreRequest *request)
{
	Sandbox__V1__CreateSandboxRequest shell = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;

	shell.labels = (Sandbox__V1__CreateSandboxRequest__LabelsEntry **)request->labels;
	shell.n_labels = request->n_labels;
	Sandbox__V1__CreateSandboxRequest *copy = rpcd_copy(&shell);
	if (!copy)
		return false;
	/* They change places: what was there goes with the copy. */
	Sandbox__V1__CreateSandboxRequest__LabelsEntry **old = record->spec->labels;
	size_t old_n = record->spec->n_labels;
	record->spec->labels = copy->labels;
	record->spec->n_labels = copy->n_labels;
	copy->labels = old;
	copy->n_labels = old_n;
	gb_pb_free((ProtobufCMessage **)&copy);
	return true;
}

void rpcd_sandbox_restore(struct rpcd_call *call)
{
	const Sandbox__V1__RestoreRequest *request = (const Sandbox__V1__RestoreRequest *)call->request;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_snap *snap = all ? snap_named(all, call, request->snapshot_id) : NULL;
	char instance[GB_SANDBOX_INSTANCE + 1], uuid[37];
	struct gb_err err;

	if (!snap)
		return;
	if (*request->id && gb_sandbox_check_id(request->id, &err) < 0) {
		rpcd_error(call, GB_RPC_INVALID, "%s", err.msg);
		return;
	}
	if (*request->id && rpcd_box_find(all, request->id)) {
		rpcd_error(call, GB_RPC_CONFLICT, "sandbox \"%s\": there is one already", request->id);
		return;
	}
	if (request->n_labels > 64) {
		rpcd_error(call, GB_RPC_INVALID, "labels: %zu, where 64 are allowed", request->n_labels);
		return;
	}
	rpcd_record *record = rpcd_copy(snap->snapshot->record);
	if (!record) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	record->created_at = (int64_t)time(NULL);
	record->ready_at = record->last_exited_at = 0;
	record->last_exit_code = 0;
	record->pid = 0;
	record->start_time = 0;
	record->expires_at = request->ttl_seconds ? (uint64_t)record->created_at + request->ttl_seconds : 0;
	gb_sandbox_new_name(instance);
	gb_sandbox_new_uuid(uuid);
	/* With its old names it would be the one that it was taken of. An address of its own, or none: that one's may be
	 * another's by now. */
	bool copied = gb_pb_set(&record->instance, instance) == 0 &&
		      gb_pb_set(&record->spec->id, *request->id ? request->id : uuid) == 0 &&
		      gb_pb_set(&record->spec->network->mode, request->network_override ? "tap" : "none") == 0 &&
		      gb_pb_set(&record->error, "") == 0 && gb_pb_set(&record->state, "starting") == 0;
	if (copied && request->n_labels)
		copied = take_labels(record, request);
	if (!copied)
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
	if (!copied || rpcd_record_number(all, call, record, request->network_override) < 0) {
		gb_pb_free((ProtobufCMessage **)&record);
		return;
	}
	struct rpcd_box *box = rpcd_box_new(all, record, RPCD_STARTING);
	if (!box) {
		rpcd_record_drop(all, record);
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	struct rpcd_waiter *waiter = rpcd_wait(call);
	if (!waiter) {
		rpcd_box_free(box);
		return;
	}
	STAILQ_INSERT_TAIL(&box->starts, waiter, link);
	rpcd_box_expire_in(box, request->ttl_seconds);
	rpcd_box_start(box, snap);
}

/* ---- list, delete ---- */

void rpcd_sandbox_list_snapshots(struct rpcd_call *call)
{
	const Sandbox__V1__ListSnapshotsRequest *request = (const Sandbox__V1__ListSnapshotsRequest *)call->request;
	Sandbox__V1__ListSnapshotsResponse reply = SANDBOX__V1__LIST_SNAPSHOTS_RESPONSE__INIT;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_snap *snap;
	size_t n = 0;

	if (!all)
		return;
	TAILQ_FOREACH(snap, &all->snaps, link)
		n++;
	gb_autofree struct row {
		Sandbox__V1__SnapshotSummary summary;
		char path[512], time[64];
	} *rows = calloc(n + 1, sizeof *rows);
	gb_autofree Sandbox__V1__SnapshotSummary **list = calloc(n + 1, sizeof *list);
	if (!rows || !list) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	n = 0;
	TAILQ_FOREACH(snap, &all->snaps, link) {
		const rpcd_snapshot *s = snap->snapshot;
		struct row *row = &rows[n];
		bool match = !snap->going && (!*request->sandbox_id || strcmp(request->sandbox_id, s->record->spec->id) == 0);
		match = match && gb_sandbox_labels_match(s->labels, s->n_labels, request->labels, request->n_labels);
		if (!match)
			continue;
		sandbox__v1__snapshot_summary__init(&row->summary);
		gb_sandbox_snapshot_path(&all->place, s->id, NULL, row->path, sizeof row->path);
		time_text(s->created_at, row->time, sizeof row->time);
		row->summary.id = s->id;
		row->summary.sandbox_id = s->record->spec->id;
		row->summary.name = s->name;
		row->summary.labels = (Sandbox__V1__SnapshotSummary__LabelsEntry **)s->labels;
		row->summary.n_labels = s->n_labels;
		row->summary.snapshot_dir = row->path;
		row->summary.created_at = row->time;
		row->summary.content = s->content;
		list[n++] = &row->summary;
	}
	reply.snapshots = list;
	reply.n_snapshots = n;
	rpcd_reply(call, &reply.base);
}

struct delete_task {
	struct rpcd_task task;
	struct rpcd_snap *snap;
	struct rpcd_waiter *waiter;
	char id[64];
};

static void delete_run(struct rpcd_task *base)
{
	struct delete_task *task = (struct delete_task *)base;

	base->result = gb_sandbox_snapshot_remove(&base->all->place, task->id, &base->err);
}

static void delete_done(struct rpcd_task *base)
{
	struct delete_task *task = (struct delete_task *)base;
	struct rpcd_call call;
	const struct rpcd_call *answer = rpcd_wait_call(task->waiter, &call);

	if (base->result < 0) {
		task->snap->going = false;
		if (answer)
			rpcd_error(answer, GB_RPC_FAILED, "%s", base->err.msg);
	} else {
		TAILQ_REMOVE(&base->all->snaps, task->snap, link);
		gb_pb_free((ProtobufCMessage **)&task->snap->snapshot);
		free(task->snap);
		if (answer)
			rpcd_reply(answer, NULL);
	}
	rpcd_wait_end(task->waiter);
	free(task);
}

void rpcd_sandbox_delete_snapshot(struct rpcd_call *call)
{
	const Sandbox__V1__DeleteSnapshotRequest *request = (const Sandbox__V1__DeleteSnapshotRequest *)call->request;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_snap *snap = all ? snap_named(all, call, request->snapshot_id) : NULL;

	if (!snap)
		return;
	if (snap->used) {
		rpcd_error(call, GB_RPC_WRONG_STATE, "snapshot \"%s\": a sandbox is being restored of it", snap->snapshot->id);
		return;
	}
	struct delete_task *task = calloc(1, sizeof *task);
	struct rpcd_waiter *waiter = task ? rpcd_wait(call) : NULL;
	if (!waiter) {
		if (!task)
			rpcd_error(call, GB_RPC_FAILED, "out of memory");
		free(task);
		return;
	}
	snap->going = true;
	task->snap = snap;
	task->waiter = waiter;
	(void)snprintf(task->id, sizeof task->id, "%s", snap->snapshot->id);
	task->task.run = delete_run;
	task->task.done = delete_done;
	rpcd_task_start(all, &task->task);
}
