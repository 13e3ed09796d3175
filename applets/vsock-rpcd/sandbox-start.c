/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the start of a sandbox, afresh or of a snapshot. */
#include "applets/vsock-rpcd/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/sandbox/boot.h"

enum { START_S = 60 };

struct start_task {
	struct rpcd_task task;
	struct rpcd_box *box;
	struct gb_timer patience;
	rpcd_record *record;
	struct rpcd_snap *snap;
	char snapshot[64];
	bool processes;
	_Atomic(struct gb_sandbox_first *) offer;
	struct gb_sandbox_booted booted;
	uint64_t begun;
};

static struct gb_sandbox_first too_late;

static int start_layer(rpcd_record *record, void *data, struct gb_err *err)
{
	struct start_task *task = data;
	const struct gb_sandbox_place *place = &task->task.all->place;

	int r = gb_sandbox_layer_make(place, record, task->snap ? task->snapshot : NULL, err);
	return r < 0 ? r : gb_sandbox_record_write(place, record, false, err);
}

static int start_again(rpcd_record *record, void *data, struct gb_err *err)
{
	(void)record;
	(void)data;
	(void)err;
	return 0;
}

static struct gb_sandbox_first *start_first(void *data)
{
	struct start_task *task = data;
	struct gb_sandbox_first *first = atomic_exchange(&task->offer, &too_late);

	if (first == &too_late) /* a second start, of a snapshot whose processes cannot go on */
		return NULL;
	if (first)
		first->process.spec = task->record->spec;
	return first;
}

static void start_run(struct rpcd_task *base)
{
	struct start_task *task = (struct start_task *)base;
	const struct gb_sandbox_place *place = &base->all->place;
	struct gb_sandbox_start how = { .layer = start_layer, .first = start_first, .data = task };
	char folder[512];

	gb_sandbox_snapshot_path(place, task->snapshot, "processes", folder, sizeof folder);
	how.checkpoint = task->processes ? folder : NULL;
	int r = gb_sandbox_boot(place, task->record, &how, &task->booted, &base->err);
	if (r < 0 && task->processes) { /* the files are there all the same: its command starts anew */
		gb_log(GB_LOG_NOTICE, "sandbox \"%s\": its processes cannot go on: %s", task->record->spec->id, base->err.msg);
		how.checkpoint = NULL;
		how.layer = start_again;
		r = gb_sandbox_boot(place, task->record, &how, &task->booted, &base->err);
	}
	if (r == 0) { /* before anybody is told: a daemon that is killed right behind that finds it again */
		struct gb_err err;
		rpcd_set_text(&task->record->state, rpcd_state_name[RPCD_READY]);
		if (gb_sandbox_record_write(place, task->record, false, &err) < 0)
			gb_log(GB_LOG_ERR, "sandbox \"%s\": %s", task->record->spec->id, err.msg);
	}
	base->result = r;
}

/* Nobody is to wait for what may never come. What has been made of it goes when its thread comes back. */
static void on_patience(struct gb_timer *timer)
{
	struct start_task *task = (struct start_task *)((char *)timer - offsetof(struct start_task, patience));
	struct rpcd_box *box = task->box;
	char text[96];

	(void)snprintf(text, sizeof text, "its start has not come to an end in %d s", START_S);
	gb_log(GB_LOG_WARNING, "sandbox \"%s\": %s", box->record->spec->id, text);
	box->stuck = true;
	box->state = RPCD_FAILED;
	rpcd_set_text(&box->record->error, text);
	rpcd_box_event(box, "failed", "error", text);
	rpcd_answer(&box->starts, GB_RPC_FAILED, text);
	rpcd_answer(&box->removes, GB_RPC_FAILED, text);
	rpcd_command_let_go(box, GB_RPC_FAILED, text); /* which the thread may be at work with */
}

static void start_late(struct rpcd_task *base)
{
	struct start_task *task = (struct start_task *)base;

	task->patience.fn = on_patience;
	gb_loop_timer(base->all->loop, &task->patience, START_S * 1000 - GB_POOL_LATE_MS);
}

/* It has started after all, when it had been given up. */
static void start_undo(struct rpcd_box *box, bool ended)
{
	rpcd_command_refuse(box, GB_RPC_FAILED, box->record->error);
	if (ended)
		rpcd_box_ended(box);
	else
		rpcd_box_kill(box);
}

/* Those who asked for it by a restore have waited for its address. */
static void tell_ready(struct rpcd_box *box)
{
	struct in_addr in = { htonl(box->record->address) };
	char text[INET_ADDRSTRLEN] = "";
	struct rpcd_waiter *waiter;

	if (box->record->address)
		(void)inet_ntop(AF_INET, &in, text, sizeof text);
	while (!box->removing && (waiter = STAILQ_FIRST(&box->starts))) {
		Sandbox__V1__RestoreResponse reply = SANDBOX__V1__RESTORE_RESPONSE__INIT;
		struct rpcd_call call;
		STAILQ_REMOVE_HEAD(&box->starts, link);
		reply.id = box->record->spec->id;
		reply.ip_address = text;
		if (rpcd_wait_call(waiter, &call))
			rpcd_reply(&call, &reply.base);
		rpcd_wait_end(waiter);
	}
}

static void start_done(struct rpcd_task *base)
{
	struct start_task *task = (struct start_task *)base;
	struct rpcd_box *box = task->box;

	bool ended = false, stuck = box->stuck;

	gb_loop_timer_stop(&task->patience);
	if (stuck) /* as which it has become known */
		rpcd_set_text(&task->record->error, box->record->error);
	box->stuck = false;
	box->task = false;
	if (task->snap)
		task->snap->used--;
	gb_pb_free((ProtobufCMessage **)&box->record);
	box->record = task->record;
	box->offer = NULL;
	box->says.fd = task->booted.status;
	box->orders = task->booted.orders;
	box->left = task->booted.left;
	int r = base->result;
	if (r == 0) {
		r = rpcd_box_listen(box);
		if (r == 0)
			r = rpcd_box_watch(box);
		ended = r == -ESRCH; /* it was a short command */
		if (ended)
			r = 0;
		if (r < 0)
			(void)gb_err_sys(&base->err, -r, "process %u of the sandbox", box->record->pid);
	}
	if (r == 0 && stuck) {
		start_undo(box, ended);
	} else if (r == 0) {
		box->state = RPCD_READY;
		box->record->ready_at = time(NULL);
		gb_log(GB_LOG_INFO, "sandbox \"%s\": ready after %.1f ms", box->record->spec->id,
		       (double)(gb_mono_ns() - task->begun) / 1e6);
		rpcd_box_event(box, "ready", NULL, NULL);
		tell_ready(box);
		if (box->removing || ended)
			rpcd_command_refuse(box, GB_RPC_WRONG_STATE, box->removing ? "the sandbox was removed while it started"
										   : "the sandbox's own command has ended already");
		if (box->removing)
			rpcd_box_kill(box);
		else
			rpcd_box_save(box);
		if (ended)
			rpcd_box_ended(box);
		else
			rpcd_command_begin(box);
	} else {
		gb_log(GB_LOG_NOTICE, "sandbox \"%s\": %s", box->record->spec->id, base->err.msg);
		box->all->look_again = true; /* for the runtime: it may be what was missing */
		if (!stuck)
			rpcd_box_event(box, "failed", "error", base->err.msg);
		box->state = RPCD_FAILED;
		rpcd_set_text(&box->record->error, base->err.msg);
		rpcd_answer(&box->starts, rpcd_code(r), base->err.msg);
		rpcd_command_refuse(box, rpcd_code(r) == GB_RPC_NOT_FOUND ? GB_RPC_FAILED : rpcd_code(r), base->err.msg);
		rpcd_box_clean(box); /* what the boot could not undo; and its address is free again */
	}
	free(task);
}

void rpcd_box_start(struct rpcd_box *box, struct rpcd_snap *snap)
{
	struct start_task *task = calloc(1, sizeof *task);
	rpcd_record *copy = task ? rpcd_copy(box->record) : NULL;

	if (!copy) {
		free(task);
		box->state = RPCD_FAILED;
		rpcd_set_text(&box->record->error, "out of memory");
		rpcd_box_event(box, "failed", "error", "out of memory");
		rpcd_answer(&box->starts, GB_RPC_FAILED, "out of memory");
		return; /* no command waits for it yet: this is within its create */
	}
	box->task = true;
	task->box = box;
	task->record = copy;
	task->booted = (struct gb_sandbox_booted){ .status = -1, .orders = -1, .left = -1 };
	/* A sandbox with a command of its own has that as its first one. */
	box->offer = snap || copy->spec->n_cmd ? NULL : &task->offer;
	task->begun = gb_mono_ns();
	task->snap = snap;
	if (snap) {
		snap->used++;
		(void)snprintf(task->snapshot, sizeof task->snapshot, "%s", snap->snapshot->id);
		task->processes = strcmp(snap->snapshot->content, GB_SANDBOX_PROCESSES) == 0;
	}
	task->task.run = start_run;
	task->task.done = start_done;
	task->task.late = start_late;
	rpcd_task_start(box->all, &task->task);
}
