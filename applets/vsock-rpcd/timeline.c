/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: Timeline, the boot's steps for the host. */
#include <errno.h>
#include <stdlib.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/sys/timeline.h"

/* The kernel's log is read for it, a system call a line: not the loop's work. */
struct timeline_job {
	struct rpcd_job job; /* first: it is freed through it */
	struct gb_timeline timeline;
	struct gb_err err;
	int result;
};

_Static_assert(offsetof(struct timeline_job, job) == 0, "freed through its first member");

static void run(struct rpcd_job *base)
{
	struct timeline_job *job = (struct timeline_job *)base;

	job->result = gb_timeline_read(&job->timeline, &job->err);
}

/* Names are bytes of a script's, strings of a message are UTF-8: what is above ASCII is put out of the way. */
static void plain(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text >= 0x80)
			*text = '?';
	}
}

static void reply(const struct rpcd_call *call, struct gb_timeline *timeline)
{
	Guestbox__V1__TimelineResponse message = GUESTBOX__V1__TIMELINE_RESPONSE__INIT;
	size_t n = timeline->count;
	gb_autofree Guestbox__V1__TimelineStep *steps = calloc(n + 1, sizeof *steps);
	gb_autofree Guestbox__V1__TimelineStep **rows = calloc(n + 1, sizeof *rows);

	if (!steps || !rows) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct gb_timeline_step *s = &timeline->steps[i];
		plain(s->track);
		plain(s->name);
		guestbox__v1__timeline_step__init(&steps[i]);
		steps[i].begin_nsec = s->begin;
		steps[i].end_nsec = s->end;
		steps[i].pid = (uint32_t)s->pid;
		steps[i].failed = s->failed;
		steps[i].track = s->track;
		steps[i].name = s->name;
		rows[i] = &steps[i];
	}
	message.steps = rows;
	message.n_steps = n;
	message.ready_nsec = timeline->ready;
	rpcd_reply(call, &message.base);
}

static void finish(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct timeline_job *job = (struct timeline_job *)base;

	if (call && base->failed)
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
	else if (call && job->result < 0)
		rpcd_error(call, GB_RPC_FAILED, "%s", job->err.msg);
	else if (call)
		reply(call, &job->timeline);
	gb_timeline_free(&job->timeline);
}

void rpcd_timeline(struct rpcd_call *call)
{
	struct timeline_job *job = rpcd_job_new(call, sizeof *job, run, finish);

	if (job)
		rpcd_job_start(call, &job->job);
}
