/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the store of images. An archive comes as raw input behind its request and goes straight to the process that
 * unpacks it: what that does not take waits at the host. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/vsock-rpcd/sandbox.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/sandbox/image.h"

enum { IMPORTS_MAX = 4 }; /* at a time: each has a thread and a process */

/* Threads of their own: a host that sends slowly keeps one for as long as it likes. */
static struct gb_pool importers;
static bool importers_open;
static unsigned imports;

struct import {
	struct gb_work work;
	struct rpcd_sandboxes *all;
	struct gb_conn *conn; /* NULL: the host is gone */
	unsigned char *trace;
	size_t trace_len;
	char folder[300];
	char name[160];
	bool replace;
	uint64_t size;       /* what was announced; 0: nothing */
	uint64_t seen;       /* bytes that came */
	struct gb_io to;     /* our end of the way to the archive's reader; fd -1: closed */
	int from;            /* its end; the thread's */
	struct gb_buf backlog;
	size_t at;
	bool ended;          /* nothing more comes */
	atomic_bool whole;   /* all of it came, and the host is still there */
	int result;
	struct gb_err err;
	Guestbox__V1__Image *image;
};

bool rpcd_images_any(const struct gb_sandbox_place *place)
{
	Guestbox__V1__Image **images = NULL;
	char folder[300];
	size_t len = 0;

	gb_sandbox_images_path(place, folder, sizeof folder);
	if (gb_sandbox_images(folder, &images, &len, NULL) == 0)
		gb_sandbox_images_free(images, len);
	return imports > 0 || len > 0;
}

static int code_of(int error)
{
	switch (-error) {
	case EBADMSG: return GB_RPC_INVALID;
	case EEXIST:
	case EBUSY: return GB_RPC_CONFLICT;
	default: return rpcd_code(error);
	}
}

/* A sandbox whose files are the image's own, under a writable layer: where the layer is a snapshot it needs no image any
 * more. */
static const struct rpcd_box *user_of(const struct rpcd_sandboxes *all, const char *name)
{
	const struct rpcd_box *box;

	TAILQ_FOREACH(box, &all->boxes, link) {
		const rpcd_record *record = box->record;
		const char *image = *record->spec->image || *record->spec->rootfs ? record->spec->image : "default";
		if (strcmp(image, name) == 0 && (record->overlay || box->state == RPCD_STARTING))
			return box;
	}
	return NULL;
}

/* false after an Error frame. */
static bool is_free(struct rpcd_sandboxes *all, struct rpcd_call *call, const char *name)
{
	const struct rpcd_box *box = user_of(all, name);

	if (box)
		rpcd_error(call, GB_RPC_CONFLICT, "image \"%s\": sandbox \"%s\" has its files", name, box->record->spec->id);
	return !box;
}

/* The sandboxes, for a request that names an image; NULL after an Error frame. */
static struct rpcd_sandboxes *store_for(struct rpcd_call *call, const char *image)
{
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct gb_err err;

	if (!all || gb_sandbox_check_image(image, &err) == 0)
		return all;
	rpcd_error(call, GB_RPC_INVALID, "%s", err.msg);
	return NULL;
}

/* ---- import ---- */

static void close_to(struct import *import)
{
	gb_loop_del(&import->to);
	gb_close_fd(&import->to.fd);
	import->to.fd = -1;
	gb_buf_free(&import->backlog);
	import->at = 0;
}

/* Hands on what there is. A reader that has ended (an archive that it refuses) is no matter here: its thread will tell. */
static void push(struct import *import)
{
	while (import->to.fd >= 0 && import->at < import->backlog.len) {
		ssize_t n = send(import->to.fd, import->backlog.data + import->at, import->backlog.len - import->at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			close_to(import);
		else
			import->at += (size_t)n;
	}
	import->at = import->backlog.len = 0;
	if (import->ended && import->to.fd >= 0)
		close_to(import);
}

/* What is waited for: the reader when it has fallen behind, else the host. */
static void wait_for(struct import *import)
{
	bool behind = import->to.fd >= 0 && import->backlog.len > 0;

	if (behind && !import->to.loop) {
		import->to.events = EPOLLOUT;
		if (gb_loop_add(import->all->loop, &import->to) < 0)
			close_to(import);
	} else if (!behind) {
		gb_loop_del(&import->to);
	}
	if (import->conn && !import->ended)
		gb_conn_input(import->conn, !behind);
}

static void on_writable(struct gb_io *io, uint32_t events)
{
	struct import *import = (struct import *)((char *)io - offsetof(struct import, to));

	(void)events;
	push(import);
	wait_for(import);
}

static void on_input(struct gb_conn *conn, const void *data, size_t len)
{
	struct import *import = conn->data;

	if (len == 0) {
		import->ended = true;
		atomic_store(&import->whole, import->size == 0 || import->seen == import->size);
	} else {
		import->seen += len;
		if (import->to.fd >= 0 && gb_buf_add(&import->backlog, data, len) < 0)
			close_to(import); /* a cut archive is refused */
	}
	push(import);
	wait_for(import);
}

static void on_room(struct gb_conn *conn)
{
	(void)conn; /* one reply, at the end */
}

static void on_gone(struct gb_conn *conn)
{
	struct import *import = conn->data;

	import->conn = NULL;
	import->ended = true;
	atomic_store(&import->whole, false);
	close_to(import);
}

static const struct gb_conn_stream import_stream = { .input = on_input, .room = on_room, .gone = on_gone };

static bool is_whole(void *arg)
{
	struct import *import = arg;

	return atomic_load(&import->whole);
}

static struct import *of_work(struct gb_work *work)
{
	return (struct import *)((char *)work - offsetof(struct import, work));
}

static void import_run(struct gb_work *work)
{
	struct import *import = of_work(work);
	struct gb_sandbox_import what = {
		.name = import->name, .replace = import->replace, .in = import->from, .whole = is_whole, .arg = import,
	};

	import->result = gb_sandbox_image_import(import->folder, &what, &import->image, &import->err);
	(void)close(import->from);
}

static void import_reply(struct import *import)
{
	struct gb_conn *conn = import->conn;
	Guestbox__V1__ImageImportResponse reply = GUESTBOX__V1__IMAGE_IMPORT_RESPONSE__INIT;

	if (import->result < 0) {
		gb_conn_error(conn, import->trace, import->trace_len, code_of(import->result), "%s", import->err.msg);
	} else {
		reply.image = import->image;
		gb_conn_reply(conn, gb_wire_reply(GB_WIRE_IMAGE_IMPORT), import->trace, import->trace_len, &reply.base);
	}
	gb_conn_stream_end(conn);
}

static void import_done(struct gb_work *work)
{
	struct import *import = of_work(work);

	imports--;
	if (import->result < 0)
		gb_log(GB_LOG_INFO, "image \"%s\" is not imported: %s", import->name, import->err.msg);
	else
		gb_log(GB_LOG_INFO, "image \"%s\": %llu members, %llu bytes", import->name,
		       (unsigned long long)import->image->files, (unsigned long long)import->image->bytes);
	close_to(import);
	if (import->conn)
		import_reply(import);
	if (import->image)
		guestbox__v1__image__free_unpacked(import->image, NULL);
	free(import->trace);
	free(import);
}

static void import_free(struct import *import)
{
	gb_close_fd(&import->to.fd);
	gb_close_fd(&import->from);
	free(import->trace);
	free(import);
}

/* 0 or -errno: the thread has begun. */
static int import_begin(struct import *import, struct rpcd_call *call)
{
	int ends[2];

	import->trace = malloc(call->trace_len + 1);
	if (!import->trace)
		return -ENOMEM;
	memcpy(import->trace, call->trace, call->trace_len);
	import->trace_len = call->trace_len;
	/* A socket rather than a pipe: its writer asks for no signal. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	import->from = ends[0];
	import->to = (struct gb_io){ .fd = ends[1], .fn = on_writable };
	int r = importers_open ? 0 : gb_loop_pool_open(&importers, import->all->loop, IMPORTS_MAX);
	if (r < 0)
		return r;
	importers_open = true;
	import->work = (struct gb_work){ .run = import_run, .done = import_done };
	return gb_loop_pool_submit(&importers, &import->work);
}

void rpcd_image_import(struct rpcd_call *call)
{
	const Guestbox__V1__ImageImportRequest *request = (const void *)call->request;
	struct rpcd_sandboxes *all = store_for(call, request->name);

	if (!all)
		return;
	if (request->replace && !is_free(all, call, request->name))
		return;
	if (imports == IMPORTS_MAX) {
		rpcd_error(call, GB_RPC_CONFLICT, "image \"%s\": %d imports are under way already", request->name, IMPORTS_MAX);
		return;
	}
	struct import *import = calloc(1, sizeof *import);
	if (!import) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	import->all = all;
	import->to.fd = import->from = -1;
	import->replace = request->replace;
	import->size = request->size;
	gb_sandbox_images_path(&all->place, import->folder, sizeof import->folder);
	(void)snprintf(import->name, sizeof import->name, "%s", request->name);
	int r = import_begin(import, call);
	if (r < 0) {
		import_free(import);
		rpcd_error(call, GB_RPC_FAILED, "image \"%s\": %s", request->name, strerror(-r));
		return;
	}
	imports++;
	import->conn = call->conn;
	call->conn->data = import;
	gb_conn_stream(call->conn, &import_stream);
}

/* ---- ls, rm ---- */

struct image_job {
	struct rpcd_job job; /* first: it is freed through it */
	char folder[300];
	char name[160];
	Guestbox__V1__Image **images;
	size_t len;
	int result;
	struct gb_err err;
};

_Static_assert(offsetof(struct image_job, job) == 0, "freed through its first member");

static void list_run(struct rpcd_job *base)
{
	struct image_job *job = (struct image_job *)base;

	job->result = gb_sandbox_images(job->folder, &job->images, &job->len, &job->err);
}

static void remove_run(struct rpcd_job *base)
{
	struct image_job *job = (struct image_job *)base;

	job->result = gb_sandbox_image_remove(job->folder, job->name, &job->err);
}

static void job_finish(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct image_job *job = (struct image_job *)base;
	Guestbox__V1__ImageListResponse list = GUESTBOX__V1__IMAGE_LIST_RESPONSE__INIT;

	if (base->failed)
		job->result = gb_err_sys(&job->err, base->failed, "a thread");
	if (call && job->result < 0) {
		rpcd_error(call, code_of(job->result), "%s", job->err.msg);
	} else if (call && call->type == GB_WIRE_IMAGE_LIST) {
		list.images = job->images;
		list.n_images = job->len;
		rpcd_reply(call, &list.base);
	} else if (call) {
		rpcd_reply(call, NULL);
	}
	gb_sandbox_images_free(job->images, job->len);
}

static struct image_job *job_new(struct rpcd_call *call, const struct rpcd_sandboxes *all)
{
	struct image_job *job = calloc(1, sizeof *job);

	if (!job) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return NULL;
	}
	gb_sandbox_images_path(&all->place, job->folder, sizeof job->folder);
	job->job.finish = job_finish;
	return job;
}

void rpcd_image_list(struct rpcd_call *call)
{
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct image_job *job = all ? job_new(call, all) : NULL;

	if (!job)
		return;
	job->job.run = list_run;
	rpcd_job_start(call, &job->job);
}

void rpcd_image_remove(struct rpcd_call *call)
{
	const Guestbox__V1__ImageRemoveRequest *request = (const void *)call->request;
	struct rpcd_sandboxes *all = store_for(call, request->name);

	if (!all)
		return;
	struct image_job *job = is_free(all, call, request->name) ? job_new(call, all) : NULL;
	if (!job)
		return;
	job->job.run = remove_run;
	(void)snprintf(job->name, sizeof job->name, "%s", request->name);
	rpcd_job_start(call, &job->job);
}
