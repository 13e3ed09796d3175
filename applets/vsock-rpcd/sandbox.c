/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: sandboxes, their states. One box is one instance, from its creation to its removal; what blocks is a task of
 * a thread, and the next step follows in its done(). */
#include "applets/vsock-rpcd/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/sandbox/image.h"
#include "common/sys/mountinfo.h"

enum { THREADS = 4, STOP_S = 30, STOP_MAX_S = 3600 };

const char *const rpcd_state_name[] = { "starting", "ready", "running", "stopping", "stopped", "failed" };

static struct rpcd_sandboxes sandboxes;

/* ---- small things ---- */

char *rpcd_text(const char *text)
{
	return strdup(text);
}

void rpcd_set_text(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return; /* the old text stays */
	if (*field && *field != (char *)(uintptr_t)protobuf_c_empty_string)
		free(*field);
	*field = copy;
}

void *rpcd_copy(const void *message)
{
	const ProtobufCMessage *base = message;
	gb_autobuf struct gb_buf buf = { 0 };

	if (gb_pb_encode(base, &buf) < 0)
		return NULL;
	return protobuf_c_message_unpack(base->descriptor, NULL, buf.len, (const uint8_t *)gb_buf_text(&buf));
}

static int64_t now_s(void)
{
	return (int64_t)time(NULL);
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

/* Answers all: with nothing but the reply's type, or with an error. */
static void answer(struct rpcd_waiters *waiters, int code, const char *text)
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

static void on_task_done(struct gb_work *work)
{
	struct rpcd_task *task = (struct rpcd_task *)((char *)work - offsetof(struct rpcd_task, work));

	task->done(task);
}

void rpcd_task_start(struct rpcd_sandboxes *all, struct rpcd_task *task)
{
	task->all = all;
	task->work = (struct gb_work){ .run = on_task_run, .done = on_task_done };
	int r = gb_pool_submit(&all->pool, &task->work);
	if (r < 0) {
		task->result = gb_err_sys(&task->err, -r, "a thread");
		task->done(task);
	}
}

/* ---- records ---- */

struct save_task {
	struct rpcd_task task;
	struct rpcd_box *box;
	rpcd_record *record;
	bool sync;
	int left;
};

static void save_run(struct rpcd_task *base)
{
	struct save_task *task = (struct save_task *)base;

	base->result = gb_sandbox_record_write(&base->all->place, task->record, task->sync, &base->err);
	gb_close_fd(&task->left);
}

static void save_done(struct rpcd_task *base)
{
	struct save_task *task = (struct save_task *)base;
	struct rpcd_box *box = task->box;

	if (base->result < 0)
		gb_log(GB_LOG_ERR, "sandbox \"%s\": %s", box->record->spec->id, base->err.msg);
	gb_pb_free((ProtobufCMessage **)&task->record);
	free(task);
	box->saving = false;
	if (box->clean_wanted)
		rpcd_box_clean(box);
	else if (box->dirty)
		rpcd_box_save(box);
}

void rpcd_box_save(struct rpcd_box *box)
{
	box->dirty = true;
	/* While a task makes or removes its folder, there is nothing to write to. */
	if (box->saving || box->task || box->removing)
		return;
	rpcd_set_text(&box->record->state, rpcd_state_name[box->state]);
	struct save_task *task = calloc(1, sizeof *task);
	rpcd_record *copy = task ? rpcd_copy(box->record) : NULL;
	if (!copy) {
		free(task);
		gb_log(GB_LOG_ERR, "sandbox \"%s\": out of memory for its record", box->record->spec->id);
		return;
	}
	box->dirty = false;
	box->saving = true;
	task->box = box;
	task->record = copy;
	task->left = box->left;
	box->left = -1;
	/* That a command runs or has run is not worth a wait for the disk; after a crash it runs no more. */
	enum rpcd_state lasting = box->state == RPCD_RUNNING ? RPCD_READY : box->state;
	task->sync = !box->synced || box->synced_state != lasting;
	box->synced = true;
	box->synced_state = lasting;
	task->task.run = save_run;
	task->task.done = save_done;
	rpcd_task_start(box->all, &task->task);
}

int rpcd_record_number(struct rpcd_sandboxes *all, struct rpcd_call *call, rpcd_record *record, bool network)
{
	int slot = gb_numbers_take(&all->slots);
	int address = network && slot >= 0 ? gb_numbers_take(&all->addresses) : 0;

	if (slot < 0 || address < 0) {
		if (slot >= 0)
			(void)gb_numbers_release(&all->slots, (uint32_t)slot);
		rpcd_error(call, GB_RPC_UNAVAILABLE, "%s", slot < 0 ? "there are as many sandboxes as there can be"
								    : "every address of 172.20.0.0/16 is taken");
		return -ENOSPC;
	}
	record->slot = (uint32_t)slot;
	record->address = address ? GB_SANDBOX_POOL + (uint32_t)address : 0;
	return 0;
}

static void release_address(struct rpcd_box *box)
{
	if (box->addressed && !gb_numbers_release(&box->all->addresses, box->record->address - GB_SANDBOX_POOL))
		gb_log(GB_LOG_ERR, "sandbox \"%s\": its address was free already", box->record->spec->id);
	box->addressed = false;
}

static void on_ttl(struct gb_timer *timer);
static void on_patience(struct gb_timer *timer);

struct rpcd_box *rpcd_box_new(struct rpcd_sandboxes *all, rpcd_record *record, enum rpcd_state state)
{
	struct rpcd_box *box = calloc(1, sizeof *box);

	if (!box)
		return NULL;
	box->all = all;
	box->record = record;
	box->state = state;
	box->life.fd = box->says.fd = box->end_status = box->left = -1;
	box->slotted = true;
	box->addressed = record->address != 0;
	box->ttl.fn = on_ttl;
	box->patience.fn = on_patience;
	STAILQ_INIT(&box->stops);
	STAILQ_INIT(&box->removes);
	STAILQ_INIT(&box->starts);
	TAILQ_INSERT_TAIL(&all->boxes, box, link);
	return box;
}

static void close_life(struct rpcd_box *box)
{
	gb_loop_del(&box->life);
	gb_close_fd(&box->life.fd);
	gb_loop_del(&box->says);
	gb_close_fd(&box->says.fd);
	box->life.fd = box->says.fd = -1;
}

void rpcd_box_free(struct rpcd_box *box)
{
	release_address(box);
	if (box->slotted)
		(void)gb_numbers_release(&box->all->slots, box->record->slot);
	gb_loop_timer_stop(&box->ttl);
	gb_loop_timer_stop(&box->patience);
	close_life(box);
	gb_close_fd(&box->left);
	TAILQ_REMOVE(&box->all->boxes, box, link);
	gb_pb_free((ProtobufCMessage **)&box->record);
	free(box);
}

/* ---- the end of a container ---- */

struct clean_task {
	struct rpcd_task task;
	struct rpcd_box *box;
	char instance[GB_SANDBOX_INSTANCE + 1];
	uint32_t address;
	bool files; /* remove them, too */
	int left;
};

static void clean_run(struct rpcd_task *base)
{
	struct clean_task *task = (struct clean_task *)base;

	gb_close_fd(&task->left);
	base->result = gb_sandbox_clean(&base->all->place, task->instance, task->address, &base->err);
	if (task->files) {
		struct gb_err err;
		int r = gb_sandbox_box_remove(&base->all->place, task->instance, &err);
		if (r < 0 && base->result == 0) {
			base->result = r;
			base->err = err;
		}
	}
}

/* The container is gone, and so is what it had. */
static void settle(struct rpcd_box *box)
{
	if (box->state == RPCD_STOPPING || (box->state != RPCD_FAILED && box->record->spec->n_cmd)) {
		box->state = RPCD_STOPPED;
		rpcd_box_event(box, "stopped", NULL, NULL);
	} else if (box->state != RPCD_FAILED) {
		rpcd_set_text(&box->record->error, "its first process has ended");
		box->state = RPCD_FAILED;
		rpcd_box_event(box, "failed", "error", box->record->error);
	}
	rpcd_box_save(box);
	answer(&box->stops, 0, NULL);
}

static void clean_done(struct rpcd_task *base)
{
	struct clean_task *task = (struct clean_task *)base;
	struct rpcd_box *box = task->box;

	box->task = false;
	if (task->files && box->session) /* a host that takes nothing does not keep the removal waiting */
		rpcd_command_cut(box->session);
	if (base->result < 0)
		gb_log(GB_LOG_WARNING, "sandbox \"%s\": %s", box->record->spec->id, base->err.msg);
	if (task->files && base->result == 0) {
		rpcd_box_event(box, "removed", NULL, NULL);
		answer(&box->stops, 0, NULL);
		answer(&box->starts, GB_RPC_CONFLICT, "it was removed while it started");
		struct rpcd_waiters removes = STAILQ_HEAD_INITIALIZER(removes);
		STAILQ_CONCAT(&removes, &box->removes);
		rpcd_box_free(box);
		answer(&removes, 0, NULL);
	} else if (task->files) {
		/* It stays, so that the removal can be asked for again. */
		box->removing = false;
		box->state = RPCD_FAILED;
		rpcd_set_text(&box->record->error, base->err.msg);
		answer(&box->stops, GB_RPC_FAILED, base->err.msg);
		answer(&box->starts, GB_RPC_FAILED, base->err.msg);
		answer(&box->removes, GB_RPC_FAILED, base->err.msg);
	} else {
		release_address(box);
		settle(box);
		if (box->removing)
			rpcd_box_clean(box);
	}
	free(task);
}

void rpcd_box_clean(struct rpcd_box *box)
{
	struct clean_task *task = calloc(1, sizeof *task);

	box->clean_wanted = box->saving || rpcd_command_is_launching(box->session);
	if (box->clean_wanted) { /* comes back here when that is done */
		free(task);
		return;
	}
	if (!task) {
		gb_log(GB_LOG_ERR, "sandbox \"%s\": out of memory for its end", box->record->spec->id);
		return;
	}
	close_life(box);
	gb_loop_timer_stop(&box->patience);
	box->task = true;
	task->box = box;
	(void)snprintf(task->instance, sizeof task->instance, "%s", box->record->instance);
	task->address = box->addressed ? box->record->address : 0;
	task->files = box->removing;
	task->left = box->left;
	box->left = -1;
	task->task.run = clean_run;
	task->task.done = clean_done;
	rpcd_task_start(box->all, &task->task);
}

/* Takes what PID 1 has said so far. false: it will say no more. */
static bool hear(struct rpcd_box *box)
{
	struct gb_sandbox_word word;
	ssize_t n = 0;

	while (box->says.fd >= 0 && (n = read(box->says.fd, &word, sizeof word)) == (ssize_t)sizeof word) {
		if (word.kind == GB_SANDBOX_ENDED)
			box->end_status = word.value & 0xff;
		else
			rpcd_command_told(box, &word);
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void on_says(struct gb_io *io, uint32_t events)
{
	struct rpcd_box *box = (struct rpcd_box *)((char *)io - offsetof(struct rpcd_box, says));

	(void)events;
	if (!hear(box))
		gb_loop_del(io);
}

int rpcd_box_listen(struct rpcd_box *box)
{
	box->says.events = EPOLLIN;
	box->says.fn = on_says;
	return gb_loop_add(box->all->loop, &box->says);
}

/* The first process is gone. */
static void on_end(struct rpcd_box *box)
{
	static const struct gb_sandbox_word killed = { GB_SANDBOX_COMMAND_ENDED, 128 + SIGKILL };

	(void)hear(box);
	rpcd_command_told(box, &killed); /* with PID 1, everything */
	int status = box->end_status < 0 ? 128 + SIGKILL : box->end_status; /* killed, it says nothing */
	gb_log(GB_LOG_DEBUG, "sandbox \"%s\": its first process has ended with status %d", box->record->spec->id, status);
	if (box->record->spec->n_cmd) {
		box->record->last_exit_code = status;
		box->record->last_exited_at = now_s();
	}
	box->ended = true;
	if (!box->claimed) /* a checkpoint that is being taken of it comes first */
		rpcd_box_clean(box);
}

static void on_life(struct gb_io *io, uint32_t events)
{
	struct rpcd_box *box = (struct rpcd_box *)((char *)io - offsetof(struct rpcd_box, life));

	(void)events;
	gb_loop_del(io); /* it would be told without end */
	on_end(box);
}

int rpcd_box_watch(struct rpcd_box *box)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)box->record->pid, 0U);

	if (fd < 0)
		return -errno;
	box->life = (struct gb_io){ .fd = fd, .events = EPOLLIN, .fn = on_life };
	int r = gb_loop_add(box->all->loop, &box->life);
	if (r < 0)
		close_life(box);
	return r;
}

static void send_signal(struct rpcd_box *box, int signo)
{
	if (box->life.fd >= 0 && syscall(SYS_pidfd_send_signal, box->life.fd, signo, NULL, 0U) < 0 && errno != ESRCH)
		gb_log(GB_LOG_WARNING, "sandbox \"%s\": signal %d: %s", box->record->spec->id, signo, strerror(errno));
}

void rpcd_box_kill(struct rpcd_box *box)
{
	send_signal(box, SIGKILL);
}

/* ---- the start ---- */

struct start_task {
	struct rpcd_task task;
	struct rpcd_box *box;
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
	base->result = r;
}

static void start_done(struct rpcd_task *base)
{
	struct start_task *task = (struct start_task *)base;
	struct rpcd_box *box = task->box;
	struct rpcd_waiter *waiter;

	bool ended = false;

	box->task = false;
	if (task->snap)
		task->snap->used--;
	gb_pb_free((ProtobufCMessage **)&box->record);
	box->record = task->record;
	box->offer = NULL;
	box->says.fd = task->booted.status;
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
	if (r == 0) {
		box->state = RPCD_READY;
		box->record->ready_at = now_s();
		gb_log(GB_LOG_INFO, "sandbox \"%s\": ready after %.1f ms", box->record->spec->id, (double)(gb_mono_ns() - task->begun) / 1e6);
		rpcd_box_event(box, "ready", NULL, NULL);
		while (!box->removing && (waiter = STAILQ_FIRST(&box->starts))) {
			struct rpcd_call call;
			Sandbox__V1__RestoreResponse reply = SANDBOX__V1__RESTORE_RESPONSE__INIT;
			char text[INET_ADDRSTRLEN] = "";
			struct in_addr in = { htonl(box->record->address) };
			STAILQ_REMOVE_HEAD(&box->starts, link);
			reply.id = box->record->spec->id;
			if (box->record->address)
				(void)inet_ntop(AF_INET, &in, text, sizeof text);
			reply.ip_address = text;
			if (rpcd_wait_call(waiter, &call))
				rpcd_reply(&call, &reply.base);
			rpcd_wait_end(waiter);
		}
		if (box->removing || ended)
			rpcd_command_refuse(box, GB_RPC_WRONG_STATE, box->removing ? "the sandbox was removed while it started"
										   : "the sandbox's own command has ended already");
		if (box->removing)
			send_signal(box, SIGKILL);
		else
			rpcd_box_save(box);
		if (ended)
			on_end(box);
		else
			rpcd_command_begin(box);
	} else {
		gb_log(GB_LOG_NOTICE, "sandbox \"%s\": %s", box->record->spec->id, base->err.msg);
		box->state = RPCD_FAILED;
		rpcd_set_text(&box->record->error, base->err.msg);
		rpcd_box_event(box, "failed", "error", base->err.msg);
		answer(&box->starts, rpcd_code(r), base->err.msg);
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
		answer(&box->starts, GB_RPC_FAILED, "out of memory");
		return; /* no command waits for it yet: this is within its create */
	}
	box->task = true;
	task->box = box;
	task->record = copy;
	task->booted = (struct gb_sandbox_booted){ .status = -1, .left = -1 };
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
	rpcd_task_start(box->all, &task->task);
}

/* ---- removal ---- */

static void remove_box(struct rpcd_box *box, bool force)
{
	box->removing = true;
	if (box->task)
		return; /* when that is done, it goes on */
	switch (box->state) {
	case RPCD_STARTING:
		return;
	case RPCD_READY:
	case RPCD_RUNNING:
		box->state = RPCD_STOPPING;
		send_signal(box, SIGKILL);
		return;
	case RPCD_STOPPING:
		if (force)
			send_signal(box, SIGKILL);
		return;
	case RPCD_STOPPED:
	case RPCD_FAILED:
		rpcd_box_clean(box);
	}
}

static void on_ttl(struct gb_timer *timer)
{
	struct rpcd_box *box = (struct rpcd_box *)((char *)timer - offsetof(struct rpcd_box, ttl));

	gb_log(GB_LOG_INFO, "sandbox \"%s\": its time is over", box->record->spec->id);
	remove_box(box, true);
}

void rpcd_box_expire_at(struct rpcd_box *box)
{
	int64_t left = (int64_t)box->record->expires_at - now_s();

	if (box->record->expires_at)
		gb_loop_timer(box->all->loop, &box->ttl, left > 0 ? (uint64_t)left * 1000 : 0);
}

void rpcd_sandbox_remove(struct rpcd_call *call)
{
	const Sandbox__V1__RemoveSandboxRequest *request = (const Sandbox__V1__RemoveSandboxRequest *)call->request;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_box *box = all ? rpcd_box_named(all, call, request->id) : NULL;

	if (!box)
		return;
	if (((box->state == RPCD_RUNNING && !box->removing) || box->claimed) && !request->force) {
		rpcd_wrong_state(call, box, "remove it by force, or stop it first");
		return;
	}
	struct rpcd_waiter *waiter = rpcd_wait(call);
	if (!waiter)
		return;
	STAILQ_INSERT_TAIL(&box->removes, waiter, link);
	remove_box(box, request->force);
}

/* ---- stop ---- */

static void on_patience(struct gb_timer *timer)
{
	struct rpcd_box *box = (struct rpcd_box *)((char *)timer - offsetof(struct rpcd_box, patience));

	gb_log(GB_LOG_NOTICE, "sandbox \"%s\": has not ended in time: killed", box->record->spec->id);
	send_signal(box, SIGKILL);
}

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
	box->state = RPCD_STOPPING;
	rpcd_box_event(box, "stopping", NULL, NULL);
	rpcd_box_save(box);
	/* Its PID 1 passes the signal to all, and ends when they have. */
	send_signal(box, SIGTERM);
	gb_loop_timer(all->loop, &box->patience, (uint64_t)(seconds < STOP_MAX_S ? seconds : STOP_MAX_S) * 1000);
}

void rpcd_box_idle(struct rpcd_box *box, int code)
{
	char text[16];

	box->session = NULL;
	box->record->first_command = false;
	box->record->last_exit_code = code;
	box->record->last_exited_at = now_s();
	if (box->state != RPCD_RUNNING)
		return; /* it is on its way down, or gone */
	box->state = RPCD_READY;
	(void)snprintf(text, sizeof text, "%d", code);
	rpcd_box_event(box, "idle", "exit_code", text);
	rpcd_box_save(box);
}

/* ---- create, inspect, list ---- */

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
	if (!*spec->network->mode)
		rpcd_set_text(&spec->network->mode, "tap");
	return true;
}

void rpcd_sandbox_create(struct rpcd_call *call)
{
	const Sandbox__V1__CreateSandboxRequest *request = (const Sandbox__V1__CreateSandboxRequest *)call->request;
	Sandbox__V1__CreateSandboxResponse reply = SANDBOX__V1__CREATE_SANDBOX_RESPONSE__INIT;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	char instance[GB_SANDBOX_INSTANCE + 1], uuid[37], text[INET_ADDRSTRLEN] = "", images[300];
	rpcd_record *record;
	struct gb_err err;

	if (!all)
		return;
	int r = gb_sandbox_check_create(request, &err);
	if (r < 0) {
		rpcd_error(call, GB_RPC_INVALID, "%s", err.msg);
		return;
	}
	if (*request->id && rpcd_box_find(all, request->id)) {
		rpcd_error(call, GB_RPC_CONFLICT, "sandbox \"%s\": there is one already", request->id);
		return;
	}
	r = gb_sandbox_root_check(&all->place, request, &err);
	if (r < 0) {
		rpcd_error(call, rpcd_code(r), "%s", err.msg);
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
	(void)snprintf(images, sizeof images, "%s/images", all->place.data);
	r = gb_sandbox_image_defaults(images, record->spec, &err);
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
	rpcd_set_text(&record->instance, instance);
	if (!*record->spec->id) {
		gb_sandbox_new_uuid(uuid);
		rpcd_set_text(&record->spec->id, uuid);
	}
	record->created_at = now_s();
	record->expires_at = request->ttl_seconds ? (uint64_t)record->created_at + request->ttl_seconds : 0;
	rpcd_set_text(&record->state, "starting");
	struct rpcd_box *box = rpcd_box_new(all, record, RPCD_STARTING);
	if (!box) {
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
	reply.state = rpcd_text("starting");
	rpcd_reply(call, &reply.base);
	free(reply.state);
	if (request->ttl_seconds)
		gb_loop_timer(all->loop, &box->ttl, (uint64_t)request->ttl_seconds * 1000);
	rpcd_box_start(box, NULL);
}

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

/* protobuf-c makes a type of its own for each map; all of them have this form. */
static bool labels_match(size_t n, Sandbox__V1__CreateSandboxRequest__LabelsEntry *const *have, size_t want_n,
			 Sandbox__V1__ListSandboxesRequest__LabelsEntry *const *want)
{
	for (size_t i = 0; i < want_n; i++) {
		bool found = false;
		for (size_t k = 0; k < n && !found; k++)
			found = strcmp(have[k]->key, want[i]->key) == 0 && strcmp(have[k]->value, want[i]->value) == 0;
		if (!found)
			return false;
	}
	return true;
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
		if (!labels_match(record->spec->n_labels, record->spec->labels, request->n_labels, request->labels))
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

/* ---- opening ---- */

#define DATA_TOP "/run/arcbox/data"
#define DATA_OTHER "/var/lib/arcbox"

/* On the data disk when that is mounted, else where the guest keeps such things. */
static void choose_place(struct rpcd_sandboxes *all)
{
	const char *dir = all->rpcd->sandbox_dir;

	if (!dir)
		dir = gb_mountinfo_is_root(AT_FDCWD, DATA_TOP, 0) == 1 ? DATA_TOP "/sandboxes" : DATA_OTHER "/sandboxes";
	gb_sandbox_place_set(&all->place, dir);
}

static int open_all(struct rpcd_sandboxes *all, struct gb_err *err)
{
	choose_place(all);
	int r = all->pool_open ? 0 : gb_pool_open(&all->pool, all->loop, THREADS);
	if (r < 0)
		return gb_err_sys(err, -r, "eventfd");
	all->pool_open = true;
	r = gb_sandbox_store_open(&all->place, err);
	if (r == 0) {
		char images[300];
		(void)snprintf(images, sizeof images, "%s/images", all->place.data);
		gb_sandbox_images_sweep(images);
	}
	if (r == 0)
		r = rpcd_sandbox_recover(all, err);
	all->open = r == 0;
	return r;
}

static void prepare(struct rpcd_sandboxes *all, struct rpcd *rpcd)
{
	if (all->rpcd)
		return;
	all->rpcd = rpcd;
	all->loop = &rpcd->loop;
	all->place.runtime_dir = rpcd->runtime_dir;
	all->slots = (struct gb_numbers){ .first = 1, .count = GB_SANDBOX_SLOTS - 1 };
	all->addresses = (struct gb_numbers){ .first = 2, .count = 65533 }; /* not the network's, the gateway's, the broadcast's */
	TAILQ_INIT(&all->boxes);
	TAILQ_INIT(&all->snaps);
	TAILQ_INIT(&all->subscribers);
}

/* The data disk may come after the first request: what was opened in its place then is left for it, when there is nothing
 * in it that anybody could miss. */
static void move_to_data_disk(struct rpcd_sandboxes *all)
{
	struct gb_sandbox_place now = all->place;

	if (!all->open || all->rpcd->sandbox_dir || strcmp(all->place.data, DATA_TOP "/sandboxes") == 0)
		return;
	choose_place(all);
	bool moved = strcmp(all->place.data, now.data) != 0;
	if (moved && (!TAILQ_EMPTY(&all->boxes) || !TAILQ_EMPTY(&all->snaps) || rpcd_images_any(now.data))) {
		if (!all->told)
			gb_log(GB_LOG_WARNING, "sandboxes: the data disk has come, and there are sandboxes, snapshots or images in %s: it "
			       "stays in use until they are removed", now.data);
		all->told = true;
		gb_sandbox_place_set(&all->place, now.data);
		return;
	}
	if (moved)
		gb_log(GB_LOG_INFO, "sandboxes: in %s from here on, no longer in %s", all->place.data, now.data);
	all->open = !moved;
}

struct rpcd_sandboxes *rpcd_sandboxes_of(struct rpcd_call *call)
{
	struct rpcd_sandboxes *all = &sandboxes;
	struct gb_err err;

	prepare(all, call->rpcd);
	move_to_data_disk(all);
	if (gb_sandbox_find_runtime(&all->place, &err) < 0 || (!all->open && open_all(all, &err) < 0)) {
		rpcd_error(call, GB_RPC_UNAVAILABLE, "sandbox service not available: %s", err.msg);
		return NULL;
	}
	return all;
}

void rpcd_sandbox_open(struct rpcd *rpcd)
{
	struct rpcd_sandboxes *all = &sandboxes;
	char path[300];
	struct gb_err err;

	prepare(all, rpcd);
	choose_place(all);
	(void)snprintf(path, sizeof path, "%.255s/boxes", all->place.data);
	if (access(path, F_OK) < 0 || gb_sandbox_find_runtime(&all->place, &err) < 0)
		return; /* there is nothing to find; the first request opens it */
	if (open_all(all, &err) < 0)
		gb_log(GB_LOG_WARNING, "sandboxes: %s", err.msg);
}
