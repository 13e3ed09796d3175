/* SPDX-License-Identifier: MIT */
/* vsock-rpc sandbox: the requests of one answer. */
#include "applets/vsock-rpc/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/mono.h"
#include "common/rpc/wire.h"

static int inspect(struct rpc_call *call, char *id, ProtobufCMessage **ret_info, struct gb_err *err)
{
	Sandbox__V1__InspectSandboxRequest request = SANDBOX__V1__INSPECT_SANDBOX_REQUEST__INIT;

	request.id = id;
	return rpc_ask(call, GB_WIRE_SANDBOX_INSPECT, &request.base, ret_info, err);
}

/* Until it is ready, or cannot be any more. */
static int wait_ready(struct rpc_call *call, char *id, ProtobufCMessage **ret_info, struct gb_err *err)
{
	uint64_t deadline = gb_mono_ms() + call->timeout, pause = 1;
	int asked = 0;

	for (;;) {
		gb_autopb ProtobufCMessage *message = NULL;
		int r = inspect(call, id, &message, err);
		if (r < 0)
			return r;
		const Sandbox__V1__SandboxInfo *info = (const void *)message;
		if (strcmp(info->state, "failed") == 0)
			return gb_err_set(err, EREMOTEIO, "%s: %s", id, *info->error ? info->error : "failed, and does not say why");
		if (strcmp(info->state, "starting") != 0) {
			*ret_info = gb_take_ptr(message);
			return 0;
		}
		if (gb_mono_ms() + pause > deadline)
			return gb_err_set(err, ETIMEDOUT, "%s: not ready in time", id);
		struct timespec ts = { .tv_nsec = (long)pause * 1000000 };
		(void)nanosleep(&ts, NULL);
		pause = asked++ < 32 ? 1 : pause < 200 ? pause * 2 : 200;
	}
}

static int create(const struct sandbox_create *c, struct gb_err *err)
{
	gb_autopb ProtobufCMessage *message = NULL, *info = NULL;

	int r = rpc_ask(c->args->call, GB_WIRE_SANDBOX_CREATE, &c->request.base, &message, err);
	if (r < 0)
		return r;
	char *id = ((Sandbox__V1__CreateSandboxResponse *)(void *)message)->id;
	if (c->args->wait)
		r = wait_ready(c->args->call, id, &info, err);
	if (r == 0 && c->args->call->json)
		return rpc_print_json(info ? info : message, c->args->call, false, err);
	return r < 0 ? r : sandbox_print_word(id, err);
}

int sandbox_run_create(struct gb_cmd *cmd, struct gb_err *err)
{
	struct sandbox_create c = { 0 };
	char **operands;

	int r = sandbox_create_args(cmd, 0, NULL, &c, &operands, err);
	if (r == 0) {
		for (; operands[c.request.n_cmd]; c.request.n_cmd++)
			;
		c.request.cmd = operands;
		r = create(&c, err);
	}
	sandbox_create_free(&c);
	return r;
}

/* One request for each operand; the first that fails ends it. */
static int each(struct gb_cmd *cmd, uint32_t type, struct gb_err *err)
{
	gb_autofree struct sandbox_args *args = NULL;
	char **operands;

	int r = sandbox_args(cmd, 0, 1, -1, "id", &args, &operands, err);
	if (r == 0 && args->call->json && operands[1])
		r = gb_err_set(err, GB_E_USAGE, "--json goes with one id at a time");
	/* A sandbox may take all of its grace to end: that is no daemon that does not answer. */
	if (r == 0 && type == GB_WIRE_SANDBOX_STOP)
		args->call->timeout += (args->grace ? (uint64_t)args->grace : 30) * 1000;
	for (; r == 0 && *operands; operands++) {
		Sandbox__V1__StopSandboxRequest stop = SANDBOX__V1__STOP_SANDBOX_REQUEST__INIT;
		Sandbox__V1__RemoveSandboxRequest rm = SANDBOX__V1__REMOVE_SANDBOX_REQUEST__INIT;
		stop.id = rm.id = *operands;
		stop.timeout_seconds = args->grace;
		rm.force = args->force;
		r = rpc_ask_empty(args->call, type, type == GB_WIRE_SANDBOX_STOP ? &stop.base : &rm.base, err);
		if (r == 0)
			r = sandbox_print_done(args->call, "id", *operands, err);
	}
	return r;
}

int sandbox_run_stop(struct gb_cmd *cmd, struct gb_err *err)
{
	return each(cmd, GB_WIRE_SANDBOX_STOP, err);
}

int sandbox_run_rm(struct gb_cmd *cmd, struct gb_err *err)
{
	return each(cmd, GB_WIRE_SANDBOX_REMOVE, err);
}

/* ---- one request, one answer ---- */

struct asked {
	struct sandbox_args *args;
	char **operands;
	void *labels;
	ProtobufCMessage *reply;
};

static void asked_free(struct asked *asked)
{
	free(asked->args);
	free(asked->labels);
	gb_pb_free(&asked->reply);
}
#define autoasked __attribute__((cleanup(asked_free)))

/* Reads the options, and sets the request's labels. operand: what its only one is; NULL: there is none. */
static int begin(struct gb_cmd *cmd, const char *operand, ProtobufCMessage *request, struct asked *asked, struct gb_err *err)
{
	int r = sandbox_args(cmd, 0, operand ? 1 : 0, operand ? 1 : 0, operand, &asked->args, &asked->operands, err);

	return r < 0 ? r : sandbox_map(request, "labels", &asked->args->labels, &asked->labels, err);
}

/* 1: the answer is printed as JSON; 0: it is in asked->reply. */
static int ask(struct asked *asked, uint32_t type, const ProtobufCMessage *request, struct gb_err *err)
{
	int r = rpc_ask(asked->args->call, type, request, &asked->reply, err);

	if (r < 0 || !asked->args->call->json)
		return r;
	r = rpc_print_json(asked->reply, asked->args->call, false, err);
	return r < 0 ? r : 1;
}

int sandbox_run_ls(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__ListSandboxesRequest request = SANDBOX__V1__LIST_SANDBOXES_REQUEST__INIT;
	static const char *const names[] = { "ID", "STATE", "ADDRESS", "CREATED", "LABELS" };
	struct sandbox_table table = { 0 };
	autoasked struct asked asked = { 0 };

	int r = begin(cmd, NULL, &request.base, &asked, err);
	if (r < 0)
		return r;
	SANDBOX_SET(request, state, asked.args->state);
	r = ask(&asked, GB_WIRE_SANDBOX_LIST, &request.base, err);
	if (r)
		return r < 0 ? r : 0;
	const Sandbox__V1__ListSandboxesResponse *reply = (const void *)asked.reply;
	sandbox_heads(&table, names, GB_ARRAY_LEN(names));
	for (size_t i = 0; i < reply->n_sandboxes; i++) {
		const Sandbox__V1__SandboxSummary *s = reply->sandboxes[i];
		const char *const cells[] = { s->id, s->state, s->ip_address };
		sandbox_texts(&table, cells, GB_ARRAY_LEN(cells));
		sandbox_when(sandbox_cell(&table), s->created_at);
		sandbox_labels(sandbox_cell(&table), s->labels, s->n_labels);
	}
	return sandbox_table_print(&table, err);
}

static void row(struct gb_buf *text, const char *name)
{
	(void)gb_buf_fmt(text, "%s%-11s ", text->len ? "\n" : "", name);
}

int sandbox_run_inspect(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__InspectSandboxRequest request = SANDBOX__V1__INSPECT_SANDBOX_REQUEST__INIT;
	gb_autobuf struct gb_buf text = { 0 };
	autoasked struct asked asked = { 0 };

	int r = begin(cmd, "id", &request.base, &asked, err);
	if (r < 0)
		return r;
	request.id = asked.operands[0];
	r = ask(&asked, GB_WIRE_SANDBOX_INSPECT, &request.base, err);
	if (r)
		return r < 0 ? r : 0;
	const Sandbox__V1__SandboxInfo *info = (const void *)asked.reply;
	row(&text, "id:");
	sandbox_put_or_dash(&text, info->id);
	row(&text, "state:");
	sandbox_put_or_dash(&text, info->state);
	if (*info->error) {
		row(&text, "error:");
		sandbox_put(&text, info->error);
	}
	row(&text, "labels:");
	sandbox_labels(&text, info->labels, info->n_labels);
	row(&text, "limits:");
	if (info->limits)
		(void)gb_buf_fmt(&text, "%" PRIu32 " CPU, %" PRIu64 " MiB", info->limits->vcpus, info->limits->memory_mib);
	else
		(void)gb_buf_str(&text, "-");
	row(&text, "address:");
	if (info->network) {
		sandbox_put_or_dash(&text, info->network->ip_address);
		(void)gb_buf_str(&text, ", gateway ");
		sandbox_put_or_dash(&text, info->network->gateway);
		(void)gb_buf_str(&text, ", device ");
		sandbox_put_or_dash(&text, info->network->tap_name);
	} else {
		(void)gb_buf_str(&text, "-");
	}
	row(&text, "created:");
	sandbox_when(&text, info->created_at);
	row(&text, "ready:");
	sandbox_when(&text, info->ready_at);
	row(&text, "last exit:");
	sandbox_when(&text, info->last_exited_at);
	if (info->last_exited_at)
		(void)gb_buf_fmt(&text, ", status %" PRId32, info->last_exit_code);
	(void)gb_buf_str(&text, "\n");
	return rpc_print_text(&text, err);
}

int sandbox_run_checkpoint(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__CheckpointRequest request = SANDBOX__V1__CHECKPOINT_REQUEST__INIT;
	autoasked struct asked asked = { 0 };

	int r = begin(cmd, "id", &request.base, &asked, err);
	if (r < 0)
		return r;
	request.sandbox_id = asked.operands[0];
	SANDBOX_SET(request, name, asked.args->name);
	r = ask(&asked, GB_WIRE_SANDBOX_CHECKPOINT, &request.base, err);
	if (r == 0)
		r = sandbox_print_word(((Sandbox__V1__CheckpointResponse *)(void *)asked.reply)->snapshot_id, err);
	return r < 0 ? r : 0;
}

int sandbox_run_restore(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__RestoreRequest request = SANDBOX__V1__RESTORE_REQUEST__INIT;
	autoasked struct asked asked = { 0 };

	int r = begin(cmd, "snapshot", &request.base, &asked, err);
	if (r < 0)
		return r;
	request.snapshot_id = asked.operands[0];
	SANDBOX_SET(request, id, asked.args->id);
	request.network_override = asked.args->new_address;
	request.ttl_seconds = asked.args->ttl;
	r = ask(&asked, GB_WIRE_SANDBOX_RESTORE, &request.base, err);
	if (r == 0)
		r = sandbox_print_word(((Sandbox__V1__RestoreResponse *)(void *)asked.reply)->id, err);
	return r < 0 ? r : 0;
}

int sandbox_run_snapshots(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__ListSnapshotsRequest request = SANDBOX__V1__LIST_SNAPSHOTS_REQUEST__INIT;
	static const char *const names[] = { "SNAPSHOT", "SANDBOX", "NAME", "CREATED", "HOLDS", "FOLDER", "LABELS" };
	struct sandbox_table table = { 0 };
	autoasked struct asked asked = { 0 };

	int r = begin(cmd, NULL, &request.base, &asked, err);
	if (r < 0)
		return r;
	SANDBOX_SET(request, sandbox_id, asked.args->sandbox);
	r = ask(&asked, GB_WIRE_SANDBOX_LIST_SNAPSHOTS, &request.base, err);
	if (r)
		return r < 0 ? r : 0;
	const Sandbox__V1__ListSnapshotsResponse *reply = (const void *)asked.reply;
	sandbox_heads(&table, names, GB_ARRAY_LEN(names));
	for (size_t i = 0; i < reply->n_snapshots; i++) {
		const Sandbox__V1__SnapshotSummary *s = reply->snapshots[i];
		const char *const cells[] = { s->id, s->sandbox_id, s->name, s->created_at, s->content, s->snapshot_dir };
		sandbox_texts(&table, cells, GB_ARRAY_LEN(cells));
		sandbox_labels(sandbox_cell(&table), s->labels, s->n_labels);
	}
	return sandbox_table_print(&table, err);
}

int sandbox_run_snapshots_rm(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autofree struct sandbox_args *args = NULL;
	char **operands;

	int r = sandbox_args(cmd, 0, 1, 1, "snapshot", &args, &operands, err);
	if (r < 0)
		return r;
	Sandbox__V1__DeleteSnapshotRequest request = SANDBOX__V1__DELETE_SNAPSHOT_REQUEST__INIT;
	request.snapshot_id = operands[0];
	r = rpc_ask_empty(args->call, GB_WIRE_SANDBOX_DELETE_SNAPSHOT, &request.base, err);
	return r < 0 ? r : sandbox_print_done(args->call, "id", operands[0], err);
}
