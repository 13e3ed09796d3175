/* SPDX-License-Identifier: MIT */
/* vsock-rpc sandbox: the requests of one answer. */
#include "applets/vsock-rpc/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/date.h"
#include "common/base/json.h"
#include "common/base/mono.h"
#include "common/base/parse.h"
#include "common/rpc/wire.h"

enum {
	OPT_ID = RPC_OPT_OWN, OPT_IMAGE, OPT_ROOTFS, OPT_CPUS, OPT_TTL, OPT_NETWORK, OPT_KERNEL, OPT_BOOT_ARGS, OPT_SSH_KEY,
	OPT_WAIT, OPT_LIMIT, OPT_GRACE, OPT_STATE, OPT_ACTION, OPT_COUNT, OPT_NAME, OPT_SANDBOX, OPT_NEW_ADDRESS,
	OPT_RM, OPT_IMAGE_COMMAND,
};

#define LABEL_OPT(help) { 'l', "label", "KEY=VALUE", help }
#define COMMAND_OPTS \
	{ 'e', "env", "NAME=VALUE", "a variable of its environment; NAME alone takes ours" }, \
	{ 'w', "workdir", "DIR", "its working directory" }, \
	{ 'u', "user", "USER[:GROUP]", "whom it runs as, names or numbers of the sandbox" }

#define CREATE_OPTS \
	{ OPT_ID, "id", "ID", "its name [a random one]" }, \
	{ OPT_IMAGE, "image", "NAME", "its files: an image of the store (sandbox image ls)" }, \
	{ OPT_ROOTFS, "rootfs", "PATH", "its files: a folder or file system image in the guest" }, \
	{ OPT_CPUS, "cpus", "N", "the most CPU time it gets, in CPUs" }, \
	{ 'm', "memory", "SIZE", "the most memory it gets (M, G), whole M" }, \
	{ 'v', "mount", "SRC:DST[:ro]", "a folder or file SRC of the guest, at DST inside" }, \
	COMMAND_OPTS, \
	LABEL_OPT("a label, for ls and events to find it by"), \
	{ OPT_TTL, "ttl", "S", "remove it after this many seconds" }, \
	{ OPT_NETWORK, "network", "tap|none", "an address of its own, or loopback alone [tap]" }

const struct gb_opt sandbox_create_opts[] = {
	RPC_COMMON_OPTS,
	CREATE_OPTS,
	{ OPT_IMAGE_COMMAND, "image-command", NULL, "run what the image says: its entrypoint, with COMMAND or its own arguments" },
	{ OPT_KERNEL, "kernel", "PATH", "a kernel, for agents that run sandboxes as machines" },
	{ OPT_BOOT_ARGS, "boot-args", "TEXT", "that kernel's command line" },
	{ OPT_SSH_KEY, "ssh-key", "TEXT", "a public key that may log in, for agents that run an ssh server in it" },
	{ OPT_WAIT, "wait", NULL, "return when it is ready, or has failed" },
	{ 0 },
};

const struct gb_opt sandbox_launch_opts[] = {
	RPC_COMMON_OPTS,
	CREATE_OPTS,
	{ OPT_LIMIT, "limit", "S", "kill the command and all that it started after this many seconds" },
	{ OPT_RM, "rm", NULL, "remove the sandbox when the command has ended" },
	{ 0 },
};

const struct gb_opt sandbox_run_opts[] = {
	RPC_COMMON_OPTS,
	COMMAND_OPTS,
	{ 't', "tty", NULL, "give it a terminal (of 80 columns and 24 rows, and no input)" },
	{ OPT_LIMIT, "limit", "S", "kill it and all that it started after this many seconds" },
	{ 0 },
};

const struct gb_opt sandbox_exec_opts[] = {
	RPC_COMMON_OPTS,
	COMMAND_OPTS,
	{ 't', "tty", NULL, "give it a terminal, of our terminal's size, and make ours raw" },
	{ 'n', "no-stdin", NULL, "its input is empty; ours is left alone" },
	{ OPT_LIMIT, "limit", "S", "kill it and all that it started after this many seconds" },
	{ 0 },
};

const struct gb_opt sandbox_stop_opts[] = {
	RPC_COMMON_OPTS,
	{ OPT_GRACE, "grace", "S", "seconds that its processes get to end [the daemon's 30]" },
	{ 0 },
};

const struct gb_opt sandbox_rm_opts[] = {
	RPC_COMMON_OPTS,
	{ 'f', "force", NULL, "also when something runs in it" },
	{ 0 },
};

const struct gb_opt sandbox_ls_opts[] = {
	RPC_COMMON_OPTS,
	{ OPT_STATE, "state", "STATE", "those in this state" },
	LABEL_OPT("those that have this label; all of several"),
	{ 0 },
};

const struct gb_opt sandbox_events_opts[] = {
	RPC_COMMON_OPTS,
	{ OPT_ACTION, "action", "ACTION", "of this kind (created, ready, running, idle, ...)" },
	{ OPT_COUNT, "count", "N", "end after this many" },
	{ 0 },
};

const struct gb_opt sandbox_checkpoint_opts[] = {
	RPC_COMMON_OPTS,
	{ OPT_NAME, "name", "NAME", "a name for the snapshot" },
	LABEL_OPT("a label of the snapshot"),
	{ 0 },
};

const struct gb_opt sandbox_restore_opts[] = {
	RPC_COMMON_OPTS,
	{ OPT_ID, "id", "ID", "the new sandbox's name [a random one]" },
	LABEL_OPT("a label of the new sandbox"),
	{ OPT_TTL, "ttl", "S", "remove it after this many seconds" },
	{ OPT_NEW_ADDRESS, "new-address", NULL, "give it an address of its own" },
	{ 0 },
};

const struct gb_opt sandbox_snapshots_opts[] = {
	RPC_COMMON_OPTS,
	{ OPT_SANDBOX, "sandbox", "ID", "of this sandbox" },
	LABEL_OPT("those that have this label; all of several"),
	{ 0 },
};

/* ---- options ---- */

static int pair(struct sandbox_pairs *pairs, char *text, bool own, const char *what, struct gb_err *err)
{
	char *equal = strchr(text, '=');

	if (pairs->len == SANDBOX_PAIRS_MAX)
		return gb_err_set(err, GB_E_USAGE, "more than %d of %s", SANDBOX_PAIRS_MAX, what);
	if (equal == text || !*text)
		return gb_err_set(err, GB_E_USAGE, "%s \"%s\": no name in front of the \"=\"", what, text);
	if (!equal && !own)
		return gb_err_set(err, GB_E_USAGE, "%s \"%s\": not KEY=VALUE", what, text);
	if (!equal) { /* as docker's and podman's -e: ours if there is one, else none */
		char *value = getenv(text);
		if (value)
			pairs->list[pairs->len++] = (struct sandbox_pair){ text, value };
		return 0;
	}
	*equal = '\0';
	pairs->list[pairs->len++] = (struct sandbox_pair){ text, equal + 1 };
	return 0;
}

static int mount_option(struct sandbox_args *args, char *text, struct gb_err *err)
{
	if (args->mounts_len == SANDBOX_MOUNTS_MAX)
		return gb_err_set(err, GB_E_USAGE, "more than %d mounts", SANDBOX_MOUNTS_MAX);
	Sandbox__V1__Mount *mount = &args->mounts[args->mounts_len];
	*mount = (Sandbox__V1__Mount)SANDBOX__V1__MOUNT__INIT;
	char *target = strchr(text, ':'), *flag = target ? strchr(target + 1, ':') : NULL;
	if (!target || target == text || !target[1] || target + 1 == flag)
		return gb_err_set(err, GB_E_USAGE, "mount \"%s\": not SOURCE:TARGET[:ro]", text);
	if (flag && strcmp(flag, ":ro") != 0 && strcmp(flag, ":rw") != 0)
		return gb_err_set(err, GB_E_USAGE, "mount \"%s\": \"%s\" is neither ro nor rw", text, flag + 1);
	mount->readonly = flag && strcmp(flag, ":ro") == 0;
	if (flag)
		*flag = '\0';
	*target = '\0';
	mount->source = text;
	mount->target = target + 1;
	args->mount_list[args->mounts_len++] = mount;
	return 0;
}

static int number(const char *text, const char *what, long long min, uint32_t *ret, struct gb_err *err)
{
	long long n;
	int r = gb_parse_number(text, what, min, UINT32_MAX, &n, err);

	if (r == 0)
		*ret = (uint32_t)n;
	return r;
}

static int memory(struct sandbox_args *args, const char *text, struct gb_err *err)
{
	uint64_t bytes;
	int r = gb_parse_size(text, "memory", &bytes, err);

	if (r == 0 && (bytes == 0 || bytes % (1 << 20)))
		return gb_err_set(err, GB_E_USAGE, "memory \"%s\": not a whole number of M", text);
	if (r == 0)
		args->memory_mib = bytes >> 20;
	return r;
}

static int own_option(void *data, int key, char *arg, struct gb_err *err)
{
	struct sandbox_args *args = data;

	switch (key) {
	case OPT_ID: args->id = arg; return 0;
	case OPT_IMAGE: args->image = arg; return 0;
	case OPT_ROOTFS: args->rootfs = arg; return 0;
	case OPT_NETWORK: args->network = arg; return 0;
	case OPT_KERNEL: args->kernel = arg; return 0;
	case OPT_BOOT_ARGS: args->boot_args = arg; return 0;
	case OPT_SSH_KEY: args->ssh_key = arg; return 0;
	case OPT_STATE: args->state = arg; return 0;
	case OPT_ACTION: args->action = arg; return 0;
	case OPT_NAME: args->name = arg; return 0;
	case OPT_SANDBOX: args->sandbox = arg; return 0;
	case 'w': args->workdir = arg; return 0;
	case 'u': args->user = arg; return 0;
	case OPT_WAIT: args->wait = true; return 0;
	case OPT_IMAGE_COMMAND: args->image_command = true; return 0;
	case OPT_NEW_ADDRESS: args->new_address = true; return 0;
	case OPT_RM: args->remove = true; return 0;
	case 't': args->tty = true; return 0;
	case 'n': args->no_stdin = true; return 0;
	case 'f': args->force = true; return 0;
	case OPT_CPUS: return number(arg, "cpus", 1, &args->cpus, err);
	case OPT_TTL: return number(arg, "ttl", 0, &args->ttl, err);
	case OPT_LIMIT: return number(arg, "limit", 0, &args->limit, err);
	case OPT_GRACE: return number(arg, "grace", 0, &args->grace, err);
	case OPT_COUNT: return number(arg, "count", 1, &args->count, err);
	case 'm': return memory(args, arg, err);
	case 'e': return pair(&args->env, arg, true, "env", err);
	case 'l': return pair(&args->labels, arg, false, "label", err);
	case 'v': return mount_option(args, arg, err);
	default: return key;
	}
}

int sandbox_args(struct gb_cmd *cmd, int flags, int min, int max, const char *what, struct sandbox_args **ret_args,
		 char ***ret_operands, struct gb_err *err)
{
	gb_autofree struct sandbox_args *args = calloc(1, sizeof *args);

	if (!args)
		return gb_err_sys(err, ENOMEM, "options");
	args->call = cmd->data;
	int r = rpc_options(cmd, &(struct rpc_scan){ .own = own_option, .data = args, .flags = flags, .min = min, .max = max,
						     .what = what }, ret_operands, err);
	if (r == 0)
		*ret_args = gb_take_ptr(args);
	return r;
}

int sandbox_map(ProtobufCMessage *request, const char *field, const struct sandbox_pairs *pairs, void **ret_memory,
		struct gb_err *err)
{
	const ProtobufCFieldDescriptor *map = protobuf_c_message_descriptor_get_field_by_name(request->descriptor, field);
	const ProtobufCMessageDescriptor *entry = map->descriptor;
	const ProtobufCFieldDescriptor *key = &entry->fields[0], *value = &entry->fields[1];
	size_t size = (entry->sizeof_message + 15) & ~(size_t)15;

	if (!pairs->len)
		return 0;
	char *memory = calloc(pairs->len, sizeof(void *) + size + 16);
	if (!memory)
		return gb_err_sys(err, ENOMEM, "request");
	char *at = memory + ((pairs->len * sizeof(void *) + 15) & ~(size_t)15);
	ProtobufCMessage **list = (ProtobufCMessage **)(void *)memory;
	for (size_t i = 0; i < pairs->len; i++, at += size) {
		((ProtobufCMessage *)(void *)at)->descriptor = entry; /* and all of its fields */
		*(char **)(void *)(at + key->offset) = pairs->list[i].key;
		*(char **)(void *)(at + value->offset) = pairs->list[i].value;
		list[i] = (ProtobufCMessage *)(void *)at;
	}
	*(void **)(void *)((char *)request + map->offset) = list;
	*(size_t *)(void *)((char *)request + map->quantifier_offset) = pairs->len;
	*ret_memory = memory;
	return 0;
}

/* ---- printing ---- */

void sandbox_put(struct gb_buf *buf, const char *text)
{
	size_t from = buf->len;

	gb_pb_plain(buf, text);
	for (size_t i = from; i < buf->len; i++) { /* one line stays one line */
		if (buf->data[i] == '\n')
			buf->data[i] = ' ';
	}
}

struct gb_buf *sandbox_cell(struct sandbox_table *table)
{
	static struct gb_buf lost;

	if (table->len == table->size) {
		size_t size = table->size ? table->size * 2 : 64;
		struct gb_buf *cells = realloc(table->cells, size * sizeof *cells);
		if (!cells) {
			table->failed = true;
			gb_buf_free(&lost);
			return &lost;
		}
		table->cells = cells;
		table->size = size;
	}
	table->cells[table->len] = (struct gb_buf){ 0 };
	return &table->cells[table->len++];
}

int sandbox_table_print(struct sandbox_table *table, struct gb_err *err)
{
	bool failed = table->failed;

	for (size_t c = 0; !failed && c + 1 < table->columns; c++) {
		size_t width = 0;
		for (size_t i = c; i < table->len; i += table->columns)
			width = table->cells[i].len > width ? table->cells[i].len : width;
		for (size_t i = c; i < table->len; i += table->columns) {
			struct gb_buf *cell = &table->cells[i];
			(void)gb_buf_fmt(cell, "%*s", (int)(width + 2 - cell->len), "");
		}
	}
	for (size_t i = 0; i < table->len; i++) {
		failed = failed || table->cells[i].failed;
		if (!failed) {
			(void)fputs(gb_buf_text(&table->cells[i]), stdout);
			if (i % table->columns == table->columns - 1)
				(void)fputc('\n', stdout);
		}
		gb_buf_free(&table->cells[i]);
	}
	free(table->cells);
	return failed ? gb_err_sys(err, ENOMEM, "reply") : 0;
}

void sandbox_when(struct gb_buf *buf, int64_t seconds)
{
	char text[GB_DATE_SIZE];

	if (seconds == 0)
		(void)gb_buf_str(buf, "-");
	else if (gb_date_text(text, seconds))
		(void)gb_buf_fmt(buf, "%sZ", text);
	else
		(void)gb_buf_fmt(buf, "%" PRId64, seconds);
}

/* Maps have one layout, whatever message they are of; those of the messages shown here are checked. */
struct entry {
	ProtobufCMessage base;
	char *key, *value;
};
_Static_assert(offsetof(Sandbox__V1__SandboxInfo__LabelsEntry, value) == offsetof(struct entry, value) &&
	       offsetof(Sandbox__V1__SandboxSummary__LabelsEntry, value) == offsetof(struct entry, value) &&
	       offsetof(Sandbox__V1__SnapshotSummary__LabelsEntry, value) == offsetof(struct entry, value),
	       "entries of maps from string to string");

static void labels(struct gb_buf *buf, const void *list, size_t len)
{
	const struct entry *const *entries = list;

	for (size_t i = 0; i < len; i++) {
		(void)gb_buf_str(buf, i ? "," : "");
		sandbox_put(buf, entries[i]->key);
		(void)gb_buf_str(buf, "=");
		sandbox_put(buf, entries[i]->value);
	}
	if (!len)
		(void)gb_buf_str(buf, "-");
}

static void put_or_dash(struct gb_buf *buf, const char *text)
{
	sandbox_put(buf, *text ? text : "-");
}

static void heads(struct sandbox_table *table, const char *const *names, size_t len)
{
	table->columns = len;
	for (size_t i = 0; i < len; i++)
		(void)gb_buf_str(sandbox_cell(table), names[i]);
}

/* An answer that is one word and a newline, or its JSON. */
static int print_word(const struct rpc_call *call, const ProtobufCMessage *reply, const char *word, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };

	if (call->json)
		return rpc_print_json(reply, call, false, err);
	sandbox_put(&text, word);
	(void)gb_buf_str(&text, "\n");
	(void)fputs(gb_buf_text(&text), stdout);
	return 0;
}

int sandbox_print_done(const struct rpc_call *call, const char *key, const char *word, struct gb_err *err)
{
	struct gb_json json = { 0 };

	if (!call->json) {
		puts(word);
		return 0;
	}
	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, key, word);
	gb_json_close(&json, '}');
	int r = gb_json_flush(&json, STDOUT_FILENO);
	return r < 0 ? gb_err_sys(err, -r, "standard output") : 0;
}

/* ---- commands ---- */

static int inspect(struct rpc_call *call, char *id, ProtobufCMessage **ret_info, struct gb_err *err)
{
	Sandbox__V1__InspectSandboxRequest request = SANDBOX__V1__INSPECT_SANDBOX_REQUEST__INIT;

	request.id = id;
	return rpc_ask(call, GB_WIRE_SANDBOX_INSPECT, &request.base, ret_info, err);
}

/* Until it is ready, or cannot be any more. */
static int wait_ready(struct rpc_call *call, char *id, ProtobufCMessage **ret_info, struct gb_err *err)
{
	uint64_t deadline = gb_mono_ms() + call->timeout, pause = 2;

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
		pause = pause < 200 ? pause * 3 / 2 : 200;
	}
}

int sandbox_create_args(struct gb_cmd *cmd, int min, const char *what, struct sandbox_create *create, char ***ret_operands,
			struct gb_err *err)
{
	Sandbox__V1__CreateSandboxRequest request = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;

	sandbox__v1__resource_limits__init(&create->limits);
	sandbox__v1__network_spec__init(&create->network);
	int r = sandbox_args(cmd, GB_OPT_STOP, min, -1, what, &create->args, ret_operands, err);
	if (r < 0)
		return r;
	const struct sandbox_args *args = create->args;
	if (args->image && args->rootfs)
		return gb_err_set(err, GB_E_USAGE, "--image and --rootfs: only one of them");
#define SET(field, value) do { if (value) request.field = (value); } while (0)
	SET(id, args->id);
	SET(image, args->image);
	SET(rootfs, args->rootfs);
	SET(kernel, args->kernel);
	SET(boot_args, args->boot_args);
	SET(working_dir, args->workdir);
	SET(user, args->user);
	SET(ssh_public_key, args->ssh_key);
	create->limits.vcpus = args->cpus;
	create->limits.memory_mib = args->memory_mib;
	if (args->cpus || args->memory_mib)
		request.limits = &create->limits;
	if (args->network) {
		create->network.mode = args->network;
		request.network = &create->network;
	}
	request.image_command = args->image_command;
	request.ttl_seconds = args->ttl;
	request.mounts = create->args->mount_list;
	request.n_mounts = args->mounts_len;
	create->request = request;
	r = sandbox_map(&create->request.base, "env", &args->env, &create->env, err);
	return r < 0 ? r : sandbox_map(&create->request.base, "labels", &args->labels, &create->labels, err);
}

void sandbox_create_free(struct sandbox_create *create)
{
	free(create->env);
	free(create->labels);
	free(create->args);
}

static int create(const struct sandbox_create *c, struct gb_err *err)
{
	gb_autopb ProtobufCMessage *message = NULL, *info = NULL;

	int r = rpc_ask(c->args->call, GB_WIRE_SANDBOX_CREATE, &c->request.base, &message, err);
	if (r < 0)
		return r;
	char *id = ((Sandbox__V1__CreateSandboxResponse *)(void *)message)->id;
	if (!c->args->wait)
		return print_word(c->args->call, message, id, err);
	r = wait_ready(c->args->call, id, &info, err);
	return r < 0 ? r : print_word(c->args->call, info, id, err);
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

int sandbox_run_ls(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__ListSandboxesRequest request = SANDBOX__V1__LIST_SANDBOXES_REQUEST__INIT;
	static const char *const names[] = { "ID", "STATE", "ADDRESS", "CREATED", "LABELS" };
	gb_autofree struct sandbox_args *args = NULL;
	gb_autofree void *label_list = NULL;
	gb_autopb ProtobufCMessage *message = NULL;
	struct sandbox_table table = { 0 };
	char **operands;

	int r = sandbox_args(cmd, 0, 0, 0, NULL, &args, &operands, err);
	if (r == 0)
		r = sandbox_map(&request.base, "labels", &args->labels, &label_list, err);
	if (r < 0)
		return r;
	SET(state, args->state);
	r = rpc_ask(args->call, GB_WIRE_SANDBOX_LIST, &request.base, &message, err);
	if (r < 0)
		return r;
	if (args->call->json)
		return rpc_print_json(message, args->call, false, err);
	const Sandbox__V1__ListSandboxesResponse *reply = (const void *)message;
	heads(&table, names, GB_ARRAY_LEN(names));
	for (size_t i = 0; i < reply->n_sandboxes; i++) {
		const Sandbox__V1__SandboxSummary *s = reply->sandboxes[i];
		put_or_dash(sandbox_cell(&table), s->id);
		put_or_dash(sandbox_cell(&table), s->state);
		put_or_dash(sandbox_cell(&table), s->ip_address);
		sandbox_when(sandbox_cell(&table), s->created_at);
		labels(sandbox_cell(&table), s->labels, s->n_labels);
	}
	return sandbox_table_print(&table, err);
}

static void row(struct gb_buf *text, const char *name)
{
	(void)gb_buf_fmt(text, "%s%-11s ", text->len ? "\n" : "", name);
}

int sandbox_run_inspect(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autofree struct sandbox_args *args = NULL;
	gb_autopb ProtobufCMessage *message = NULL;
	gb_autobuf struct gb_buf text = { 0 };
	char **operands;

	int r = sandbox_args(cmd, 0, 1, 1, "id", &args, &operands, err);
	if (r == 0)
		r = inspect(args->call, operands[0], &message, err);
	if (r < 0)
		return r;
	if (args->call->json)
		return rpc_print_json(message, args->call, false, err);
	const Sandbox__V1__SandboxInfo *info = (const void *)message;
	row(&text, "id:");
	put_or_dash(&text, info->id);
	row(&text, "state:");
	put_or_dash(&text, info->state);
	if (*info->error) {
		row(&text, "error:");
		sandbox_put(&text, info->error);
	}
	row(&text, "labels:");
	labels(&text, info->labels, info->n_labels);
	row(&text, "limits:");
	if (info->limits)
		(void)gb_buf_fmt(&text, "%" PRIu32 " CPU, %" PRIu64 " MiB", info->limits->vcpus, info->limits->memory_mib);
	else
		(void)gb_buf_str(&text, "-");
	row(&text, "address:");
	if (info->network) {
		put_or_dash(&text, info->network->ip_address);
		(void)gb_buf_str(&text, ", gateway ");
		put_or_dash(&text, info->network->gateway);
		(void)gb_buf_str(&text, ", device ");
		put_or_dash(&text, info->network->tap_name);
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
	if (text.failed)
		return gb_err_sys(err, ENOMEM, "reply");
	(void)fputs(gb_buf_text(&text), stdout);
	return 0;
}

int sandbox_run_checkpoint(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__CheckpointRequest request = SANDBOX__V1__CHECKPOINT_REQUEST__INIT;
	gb_autofree struct sandbox_args *args = NULL;
	gb_autofree void *label_list = NULL;
	gb_autopb ProtobufCMessage *message = NULL;
	char **operands;

	int r = sandbox_args(cmd, 0, 1, 1, "id", &args, &operands, err);
	if (r == 0)
		r = sandbox_map(&request.base, "labels", &args->labels, &label_list, err);
	if (r < 0)
		return r;
	request.sandbox_id = operands[0];
	SET(name, args->name);
	r = rpc_ask(args->call, GB_WIRE_SANDBOX_CHECKPOINT, &request.base, &message, err);
	return r < 0 ? r : print_word(args->call, message, ((Sandbox__V1__CheckpointResponse *)(void *)message)->snapshot_id, err);
}

int sandbox_run_restore(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__RestoreRequest request = SANDBOX__V1__RESTORE_REQUEST__INIT;
	gb_autofree struct sandbox_args *args = NULL;
	gb_autofree void *label_list = NULL;
	gb_autopb ProtobufCMessage *message = NULL;
	char **operands;

	int r = sandbox_args(cmd, 0, 1, 1, "snapshot", &args, &operands, err);
	if (r == 0)
		r = sandbox_map(&request.base, "labels", &args->labels, &label_list, err);
	if (r < 0)
		return r;
	request.snapshot_id = operands[0];
	SET(id, args->id);
	request.network_override = args->new_address;
	request.ttl_seconds = args->ttl;
	r = rpc_ask(args->call, GB_WIRE_SANDBOX_RESTORE, &request.base, &message, err);
	return r < 0 ? r : print_word(args->call, message, ((Sandbox__V1__RestoreResponse *)(void *)message)->id, err);
}

int sandbox_run_snapshots(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__ListSnapshotsRequest request = SANDBOX__V1__LIST_SNAPSHOTS_REQUEST__INIT;
	static const char *const names[] = { "SNAPSHOT", "SANDBOX", "NAME", "CREATED", "HOLDS", "FOLDER", "LABELS" };
	gb_autofree struct sandbox_args *args = NULL;
	gb_autofree void *label_list = NULL;
	gb_autopb ProtobufCMessage *message = NULL;
	struct sandbox_table table = { 0 };
	char **operands;

	int r = sandbox_args(cmd, 0, 0, 0, NULL, &args, &operands, err);
	if (r == 0)
		r = sandbox_map(&request.base, "labels", &args->labels, &label_list, err);
	if (r < 0)
		return r;
	SET(sandbox_id, args->sandbox);
	r = rpc_ask(args->call, GB_WIRE_SANDBOX_LIST_SNAPSHOTS, &request.base, &message, err);
	if (r < 0)
		return r;
	if (args->call->json)
		return rpc_print_json(message, args->call, false, err);
	const Sandbox__V1__ListSnapshotsResponse *reply = (const void *)message;
	heads(&table, names, GB_ARRAY_LEN(names));
	for (size_t i = 0; i < reply->n_snapshots; i++) {
		const Sandbox__V1__SnapshotSummary *s = reply->snapshots[i];
		put_or_dash(sandbox_cell(&table), s->id);
		put_or_dash(sandbox_cell(&table), s->sandbox_id);
		put_or_dash(sandbox_cell(&table), s->name);
		put_or_dash(sandbox_cell(&table), s->created_at);
		put_or_dash(sandbox_cell(&table), s->content);
		put_or_dash(sandbox_cell(&table), s->snapshot_dir);
		labels(sandbox_cell(&table), s->labels, s->n_labels);
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
