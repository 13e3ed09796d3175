/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: sandboxes, what their requests have in common: ids, codes, answers that come later, tasks for threads. */
#include "applets/vsock-rpcd/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

const char *const rpcd_state_name[] = { "starting", "ready", "running", "stopping", "stopped", "failed" };

void rpcd_set_text(char **field, const char *text)
{
	(void)gb_pb_set(field, text); /* without memory the old text stays */
}

void *rpcd_copy(const void *message)
{
	const ProtobufCMessage *base = message;
	gb_autobuf struct gb_buf buf = { 0 };

	if (gb_pb_encode(base, &buf) < 0)
		return NULL;
	return protobuf_c_message_unpack(base->descriptor, NULL, buf.len, (const uint8_t *)gb_buf_text(&buf));
}

int rpcd_code(int error)
{
	switch (error < 0 ? -error : error) {
	case EINVAL:
	case EOPNOTSUPP:
	case E2BIG: return GB_RPC_INVALID;
	case ENOENT: return GB_RPC_NOT_FOUND;
	default: return GB_RPC_FAILED;
	}
}

struct rpcd_box *rpcd_box_find(struct rpcd_sandboxes *all, const char *id)
{
	struct rpcd_box *box;

	TAILQ_FOREACH(box, &all->boxes, link) {
		if (strcmp(box->record->spec->id, id) == 0)
			return box;
	}
	return NULL;
}

struct rpcd_box *rpcd_box_named(struct rpcd_sandboxes *all, struct rpcd_call *call, const char *id)
{
	struct gb_err err;
	struct rpcd_box *box = NULL;

	if (gb_sandbox_check_id(id, &err) < 0)
		rpcd_error(call, GB_RPC_INVALID, "%s", err.msg);
	else if (!(box = rpcd_box_find(all, id)))
		rpcd_error(call, GB_RPC_NOT_FOUND, "sandbox \"%s\": there is none", id);
	return box;
}

void rpcd_wrong_state(struct rpcd_call *call, const struct rpcd_box *box, const char *what)
{
	const char *state = box->claimed ? "being checkpointed" : rpcd_state_name[box->state];

	rpcd_error(call, GB_RPC_WRONG_STATE, "sandbox \"%s\" is %s: %s", box->record->spec->id, state, what);
}

/* ---- answers that come later ---- */

struct rpcd_waiter *rpcd_wait(struct rpcd_call *call)
{
	struct rpcd_waiter *waiter = calloc(1, sizeof *waiter);

	if (!waiter || rpcd_job_wait(call, &waiter->job) < 0) {
		free(waiter);
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return NULL;
	}
	return waiter;
}

const struct rpcd_call *rpcd_wait_call(struct rpcd_waiter *waiter, struct rpcd_call *call)
{
	*call = rpcd_job_call(&waiter->job);
	return call->conn ? call : NULL;
}

void rpcd_wait_end(struct rpcd_waiter *waiter)
{
	struct gb_conn *conn = waiter->job.conn;

	free(waiter->job.trace);
	free(waiter);
	if (conn)
		gb_conn_resume(conn);
}

void rpcd_answer(struct rpcd_waiters *waiters, int code, const char *text)
{
	struct rpcd_waiter *waiter;

	while ((waiter = STAILQ_FIRST(waiters))) {
		struct rpcd_call call;
		STAILQ_REMOVE_HEAD(waiters, link);
		if (rpcd_wait_call(waiter, &call)) {
			if (code)
				rpcd_error(&call, code, "%s", text);
			else
				rpcd_reply(&call, NULL);
		}
		rpcd_wait_end(waiter);
	}
}

/* ---- tasks ---- */

static void on_task_run(struct gb_work *work)
{
	struct rpcd_task *task = (struct rpcd_task *)((char *)work - offsetof(struct rpcd_task, work));

	task->run(task);
}

static void on_task_late(struct gb_work *work)
{
	struct rpcd_task *task = (struct rpcd_task *)((char *)work - offsetof(struct rpcd_task, work));

	if (task->late)
		task->late(task);
}

static void on_task_done(struct gb_work *work)
{
	struct rpcd_task *task = (struct rpcd_task *)((char *)work - offsetof(struct rpcd_task, work));

	task->done(task);
}

void rpcd_task_start(struct rpcd_sandboxes *all, struct rpcd_task *task)
{
	task->all = all;
	task->work = (struct gb_work){ .run = on_task_run, .done = on_task_done, .late = on_task_late };
	int r = gb_loop_pool_submit(&all->pool, &task->work);
	if (r < 0) {
		task->result = gb_err_sys(&task->err, -r, "a thread");
		task->done(task);
	}
}
