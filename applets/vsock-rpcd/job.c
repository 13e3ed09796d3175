/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: requests whose work may block, done beside the loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "applets/vsock-rpcd/rpcd.h"

static struct rpcd_job *of_work(struct gb_work *work)
{
	return (struct rpcd_job *)((char *)work - offsetof(struct rpcd_job, work));
}

static void on_run(struct gb_work *work)
{
	struct rpcd_job *job = of_work(work);

	job->run(job);
}

static void on_late(struct gb_work *work)
{
	struct rpcd_job *job = of_work(work);

	if (job->late)
		job->late(job);
}

static void on_done(struct gb_work *work)
{
	struct rpcd_job *job = of_work(work);
	struct gb_conn *conn = job->conn;
	struct rpcd_call call = rpcd_job_call(job);

	job->again = false;
	job->finish(job, conn ? &call : NULL);
	if (job->again)
		return;
	if (job->conn) /* which it may have ended */
		gb_conn_resume(job->conn);
	free(job->trace);
	free(job);
}

void rpcd_job_forget(struct gb_conn *conn)
{
	struct rpcd_job *job = conn->data;

	if (job)
		job->conn = NULL;
	conn->data = NULL;
}

void rpcd_job_give_up(struct rpcd_job *job)
{
	struct gb_conn *conn = job->conn;

	if (!conn)
		return;
	rpcd_job_forget(conn);
	gb_conn_resume(conn);
}

void *rpcd_job_new(struct rpcd_call *call, size_t size, rpcd_run_fn *run, rpcd_finish_fn *finish)
{
	struct rpcd_job *job = calloc(1, size);

	if (!job) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return NULL;
	}
	job->run = run;
	job->finish = finish;
	return job;
}

bool rpcd_job_hold(struct rpcd_call *call, struct rpcd_job *job)
{
	job->work = (struct gb_work){ .run = on_run, .done = on_done, .late = on_late };
	return rpcd_job_wait(call, job) == 0;
}

void rpcd_job_go(struct rpcd_job *job)
{
	int r = gb_loop_pool_submit(&job->rpcd->pool, &job->work);

	if (r < 0) {
		job->failed = -r;
		on_done(&job->work);
	}
}

void rpcd_job_start(struct rpcd_call *call, struct rpcd_job *job)
{
	if (rpcd_job_hold(call, job)) {
		rpcd_job_go(job);
		return;
	}
	job->failed = ENOMEM;
	job->finish(job, call);
	free(job);
}

int rpcd_job_wait(struct rpcd_call *call, struct rpcd_job *job)
{
	job->rpcd = call->rpcd;
	job->type = call->type;
	job->reply = call->reply;
	job->trace = malloc(call->trace_len + 1);
	if (!job->trace)
		return -ENOMEM;
	memcpy(job->trace, call->trace, call->trace_len);
	job->trace_len = call->trace_len;
	job->conn = call->conn;
	call->conn->data = job;
	gb_conn_hold(call->conn);
	return 0;
}

struct rpcd_call rpcd_job_call(struct rpcd_job *job)
{
	return (struct rpcd_call){
		.rpcd = job->rpcd, .conn = job->conn, .type = job->type, .reply = job->reply,
		.trace = job->trace, .trace_len = job->trace_len,
	};
}

void rpcd_job_background(struct rpcd *rpcd, struct rpcd_job *job)
{
	job->work = (struct gb_work){ .run = on_run, .done = on_done, .late = on_late };
	job->rpcd = rpcd;
	int r = gb_loop_pool_submit(&rpcd->pool, &job->work);
	if (r < 0) {
		job->failed = -r;
		job->finish(job, NULL);
		free(job);
	}
}
