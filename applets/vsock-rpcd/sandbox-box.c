/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: one box, from its creation to its removal: its record, its numbers, its container's life and end. What blocks
 * is a task of a thread, and the next step follows in its done(). */
#include "applets/vsock-rpcd/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/sandbox/clean.h"

enum { WORDS_MAX = 64 }; /* the few that it has to say, each with a read that finds nothing behind it */

/* ---- its record ---- */

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

	/* One that is on the disk for certain is never replaced by one that is not: with the power it would be gone, and the
	 * sandbox's files with it. What is not worth a wait is noted beside the container, which does not outlive the boot. */
	base->result = gb_sandbox_record_note(&base->all->place, task->record, &base->err);
	if (task->sync || base->result < 0)
		base->result = gb_sandbox_record_write(&base->all->place, task->record, true, &base->err);
	gb_close_fd(&task->left);
}

static void save_done(struct rpcd_task *base)
{
	struct save_task *task = (struct save_task *)base;
	struct rpcd_box *box = task->box;

	if (base->result < 0) {
		gb_log(GB_LOG_ERR, "sandbox \"%s\": %s", box->record->spec->id, base->err.msg);
		box->synced = false;
	}
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

/* ---- its numbers ---- */

int rpcd_record_number(struct rpcd_sandboxes *all, const struct rpcd_call *call, rpcd_record *record, bool network)
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

void rpcd_record_drop(struct rpcd_sandboxes *all, rpcd_record *record)
{
	(void)gb_numbers_release(&all->slots, record->slot);
	if (record->address)
		(void)gb_numbers_release(&all->addresses, record->address - GB_SANDBOX_POOL);
	gb_pb_free((ProtobufCMessage **)&record);
}

static void release_address(struct rpcd_box *box)
{
	if (box->addressed && !gb_numbers_release(&box->all->addresses, box->record->address - GB_SANDBOX_POOL))
		gb_log(GB_LOG_ERR, "sandbox \"%s\": its address was free already", box->record->spec->id);
	box->addressed = false;
}

/* ---- the end of its container ---- */

static void close_life(struct rpcd_box *box)
{
	gb_loop_del(&box->life);
	gb_close_fd(&box->life.fd);
	gb_loop_del(&box->says);
	gb_close_fd(&box->says.fd);
	gb_close_fd(&box->orders);
	box->life.fd = box->says.fd = box->orders = -1;
}

struct rpcd_clean {
	struct rpcd_task task;
	struct rpcd_box *box;
	char instance[GB_SANDBOX_INSTANCE + 1];
	uint32_t address;
	bool files; /* remove them, too */
	int left;
};

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
	free(box->clean);
	free(box);
}

static void clean_run(struct rpcd_task *base)
{
	struct rpcd_clean *task = (struct rpcd_clean *)base;

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
	rpcd_answer(&box->stops, 0, NULL);
}

/* Whoever is answered may ask for more at once: as long as box->task says so, its removal is under way. */
static void clean_done(struct rpcd_task *base)
{
	struct rpcd_clean *task = (struct rpcd_clean *)base;
	struct rpcd_box *box = task->box;
	const struct gb_err err = base->err; /* the task may be at work again before the last one is answered */
	bool files = task->files, failed = base->result < 0;

	if (files && box->session) /* a host that takes nothing does not keep the removal waiting */
		rpcd_command_cut(box->session);
	if (failed)
		gb_log(GB_LOG_WARNING, "sandbox \"%s\": %s", box->record->spec->id, err.msg);
	if (files && !failed) {
		rpcd_box_event(box, "removed", NULL, NULL);
		rpcd_answer(&box->stops, 0, NULL);
		rpcd_answer(&box->starts, GB_RPC_CONFLICT, "it was removed while it started");
		struct rpcd_waiters removes = STAILQ_HEAD_INITIALIZER(removes);
		STAILQ_CONCAT(&removes, &box->removes);
		rpcd_box_free(box);
		rpcd_answer(&removes, 0, NULL);
		return;
	}
	box->task = false;
	if (files) {
		/* It stays, so that the removal can be asked for again. */
		struct rpcd_waiters removes = STAILQ_HEAD_INITIALIZER(removes);
		STAILQ_CONCAT(&removes, &box->removes);
		box->removing = false;
		box->state = RPCD_FAILED;
		rpcd_set_text(&box->record->error, err.msg);
		rpcd_answer(&box->stops, GB_RPC_FAILED, err.msg);
		rpcd_answer(&box->starts, GB_RPC_FAILED, err.msg);
		rpcd_answer(&removes, GB_RPC_FAILED, err.msg);
	} else {
		release_address(box);
		settle(box);
		if (box->removing)
			rpcd_box_clean(box);
	}
}

void rpcd_box_clean(struct rpcd_box *box)
{
	struct rpcd_clean *task = box->clean;

	if (box->task) /* somebody who was just answered has asked for it already */
		return;
	box->clean_wanted = box->saving || rpcd_command_is_launching(box->session);
	if (box->clean_wanted) /* comes back here when that is done */
		return;
	close_life(box);
	gb_loop_timer_stop(&box->patience);
	box->task = true;
	*task = (struct rpcd_clean){ .box = box };
	(void)snprintf(task->instance, sizeof task->instance, "%s", box->record->instance);
	task->address = box->addressed ? box->record->address : 0;
	task->files = box->removing;
	task->left = box->left;
	box->left = -1;
	task->task.run = clean_run;
	task->task.done = clean_done;
	rpcd_task_start(box->all, &task->task);
}

/* ---- its first process ---- */

/* Takes what PID 1 has said so far. false: it will say no more, or has said more than it ever would: somebody else has found
 * a way to talk, and is not listened to. */
static bool hear(struct rpcd_box *box)
{
	struct gb_sandbox_word word;
	ssize_t n = 0;

	while (box->says.fd >= 0 && box->words++ < WORDS_MAX && (n = read(box->says.fd, &word, sizeof word)) == (ssize_t)sizeof word) {
		if (word.kind == GB_SANDBOX_ENDED)
			box->end_status = word.value & 0xff;
		else
			rpcd_command_told(box, &word);
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) && box->words < WORDS_MAX;
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

void rpcd_box_ended(struct rpcd_box *box)
{
	static const struct gb_sandbox_word killed = { GB_SANDBOX_COMMAND_ENDED, 128 + SIGKILL };

	(void)hear(box);
	rpcd_command_told(box, &killed); /* with PID 1, everything */
	int status = box->end_status < 0 ? 128 + SIGKILL : box->end_status; /* killed, it says nothing */
	gb_log(GB_LOG_DEBUG, "sandbox \"%s\": its first process has ended with status %d", box->record->spec->id, status);
	if (box->record->spec->n_cmd) {
		box->record->last_exit_code = status;
		box->record->last_exited_at = time(NULL);
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
	rpcd_box_ended(box);
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

/* ---- stop, removal, the end of its time ---- */

static void on_patience(struct gb_timer *timer)
{
	struct rpcd_box *box = (struct rpcd_box *)((char *)timer - offsetof(struct rpcd_box, patience));

	gb_log(GB_LOG_NOTICE, "sandbox \"%s\": has not ended in time: killed", box->record->spec->id);
	send_signal(box, SIGKILL);
}

void rpcd_box_stop(struct rpcd_box *box, unsigned seconds)
{
	box->state = RPCD_STOPPING;
	rpcd_box_event(box, "stopping", NULL, NULL);
	rpcd_box_save(box);
	/* Its PID 1 passes the signal to all, and ends when they have. */
	send_signal(box, SIGTERM);
	gb_loop_timer(box->all->loop, &box->patience, (uint64_t)seconds * 1000);
}

void rpcd_box_remove(struct rpcd_box *box, bool force)
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
	rpcd_box_remove(box, true);
}

void rpcd_box_expire_in(struct rpcd_box *box, uint32_t seconds)
{
	if (seconds)
		gb_loop_timer(box->all->loop, &box->ttl, (uint64_t)seconds * 1000);
}

void rpcd_box_expire_at(struct rpcd_box *box)
{
	int64_t left = (int64_t)box->record->expires_at - (int64_t)time(NULL);

	if (box->record->expires_at)
		gb_loop_timer(box->all->loop, &box->ttl, left > 0 ? (uint64_t)left * 1000 : 0);
}

void rpcd_box_idle(struct rpcd_box *box, int code)
{
	char text[16];

	box->session = NULL;
	gb_sandbox_command_over(&box->all->place, box->record->instance);
	box->record->last_exit_code = code;
	box->record->last_exited_at = time(NULL);
	if (box->state != RPCD_RUNNING)
		return; /* it is on its way down, or gone */
	box->state = RPCD_READY;
	(void)snprintf(text, sizeof text, "%d", code);
	rpcd_box_event(box, "idle", "exit_code", text);
	rpcd_box_save(box);
}

struct rpcd_box *rpcd_box_new(struct rpcd_sandboxes *all, rpcd_record *record, enum rpcd_state state)
{
	struct rpcd_box *box = calloc(1, sizeof *box);

	if (!box || !(box->clean = calloc(1, sizeof *box->clean))) {
		free(box);
		return NULL;
	}
	box->all = all;
	box->record = record;
	box->state = state;
	box->life.fd = box->says.fd = box->end_status = box->orders = box->left = -1;
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
