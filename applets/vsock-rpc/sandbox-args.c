/* SPDX-License-Identifier: MIT */
/* vsock-rpc sandbox: options, and what requests are made of them. */
#include "applets/vsock-rpc/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/parse.h"

enum {
	OPT_ID = RPC_OPT_OWN, OPT_IMAGE, OPT_ROOTFS, OPT_CPUS, OPT_TTL, OPT_NETWORK, OPT_KERNEL, OPT_BOOT_ARGS, OPT_SSH_KEY,
	OPT_WAIT, OPT_LIMIT, OPT_GRACE, OPT_STATE, OPT_ACTION, OPT_COUNT, OPT_NAME, OPT_SANDBOX, OPT_NEW_ADDRESS,
	OPT_RM, OPT_IMAGE_COMMAND,
};

#define LABEL_OPT(help) GB_OPT('l', "label", "KEY=VALUE", help)
#define WITH_LABEL_OPT LABEL_OPT("those that have this label; all of several")
#define LIMIT_OPT(what) GB_OPT(OPT_LIMIT, "limit", "S", "kill " what " and all that it started after this many seconds")

static const struct gb_opt command_opts[] = {
	GB_OPT('e', "env", "NAME=VALUE", "a variable of its environment; NAME alone takes ours"),
	GB_OPT('w', "workdir", "DIR", "its working directory"),
	GB_OPT('u', "user", "USER[:GROUP]", "whom it runs as, names or numbers of the sandbox"),
	GB_OPT_AND(rpc_common_opts),
};

static const struct gb_opt new_opts[] = {
	GB_OPT(OPT_ID, "id", "ID", "its name [a random one]"),
	GB_OPT(OPT_IMAGE, "image", "NAME", "its files: an image of the store (sandbox image ls)"),
	GB_OPT(OPT_ROOTFS, "rootfs", "PATH", "its files: a folder or file system image in the guest"),
	GB_OPT(OPT_CPUS, "cpus", "N", "the most CPU time it gets, in CPUs"),
	GB_OPT('m', "memory", "SIZE", "the most memory it gets (M, G), whole M"),
	GB_OPT('v', "mount", "SRC:DST[:ro]", "a folder or file SRC of the guest, at DST inside"),
	LABEL_OPT("a label, for ls and events to find it by"),
	GB_OPT(OPT_TTL, "ttl", "S", "remove it after this many seconds"),
	GB_OPT(OPT_NETWORK, "network", "tap|none", "an address of its own, or loopback alone [tap]"),
	GB_OPT_AND(command_opts),
};

const struct gb_opt sandbox_create_opts[] = {
	GB_OPT(OPT_IMAGE_COMMAND, "image-command", "", "run what the image says: its entrypoint, with COMMAND or its own arguments"),
	GB_OPT(OPT_KERNEL, "kernel", "PATH", "a kernel, for agents that run sandboxes as machines"),
	GB_OPT(OPT_BOOT_ARGS, "boot-args", "TEXT", "that kernel's command line"),
	GB_OPT(OPT_SSH_KEY, "ssh-key", "TEXT", "a public key that may log in, for agents that run an ssh server in it"),
	GB_OPT(OPT_WAIT, "wait", "", "return when it is ready, or has failed"),
	GB_OPT_AND(new_opts),
};

const struct gb_opt sandbox_launch_opts[] = {
	LIMIT_OPT("the command"),
	GB_OPT(OPT_RM, "rm", "", "remove the sandbox when the command has ended"),
	GB_OPT_AND(new_opts),
};

const struct gb_opt sandbox_run_opts[] = {
	GB_OPT('t', "tty", "", "give it a terminal (of 80 columns and 24 rows, and no input)"),
	LIMIT_OPT("it"),
	GB_OPT_AND(command_opts),
};

const struct gb_opt sandbox_exec_opts[] = {
	GB_OPT('t', "tty", "", "give it a terminal, of our terminal's size, and make ours raw"),
	GB_OPT('n', "no-stdin", "", "its input is empty; ours is left alone"),
	LIMIT_OPT("it"),
	GB_OPT_AND(command_opts),
};

const struct gb_opt sandbox_stop_opts[] = {
	GB_OPT(OPT_GRACE, "grace", "S", "seconds that its processes get to end [the daemon's 30]"),
	GB_OPT_AND(rpc_common_opts),
};

const struct gb_opt sandbox_rm_opts[] = {
	GB_OPT('f', "force", "", "also when something runs in it"),
	GB_OPT_AND(rpc_common_opts),
};

const struct gb_opt sandbox_ls_opts[] = {
	GB_OPT(OPT_STATE, "state", "STATE", "those in this state"),
	WITH_LABEL_OPT,
	GB_OPT_AND(rpc_common_opts),
};

const struct gb_opt sandbox_events_opts[] = {
	GB_OPT(OPT_ACTION, "action", "ACTION", "of this kind (created, ready, running, idle, ...)"),
	GB_OPT(OPT_COUNT, "count", "N", "end after this many"),
	GB_OPT_AND(rpc_common_opts),
};

const struct gb_opt sandbox_checkpoint_opts[] = {
	GB_OPT(OPT_NAME, "name", "NAME", "a name for the snapshot"),
	LABEL_OPT("a label of the snapshot"),
	GB_OPT_AND(rpc_common_opts),
};

const struct gb_opt sandbox_restore_opts[] = {
	GB_OPT(OPT_ID, "id", "ID", "the new sandbox's name [a random one]"),
	LABEL_OPT("a label of the new sandbox"),
	GB_OPT(OPT_TTL, "ttl", "S", "remove it after this many seconds"),
	GB_OPT(OPT_NEW_ADDRESS, "new-address", "", "give it an address of its own"),
	GB_OPT_AND(rpc_common_opts),
};

const struct gb_opt sandbox_snapshots_opts[] = {
	GB_OPT(OPT_SANDBOX, "sandbox", "ID", "of this sandbox"),
	WITH_LABEL_OPT,
	GB_OPT_AND(rpc_common_opts),
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
	if (!pairs->len)
		return 0;
	const ProtobufCFieldDescriptor *map = request->descriptor->fields;
	while (strcmp(map->name, field) != 0)
		map++;
	const ProtobufCMessageDescriptor *entry = map->descriptor;
	const ProtobufCFieldDescriptor *key = &entry->fields[0], *value = &entry->fields[1];
	size_t size = (entry->sizeof_message + 15) & ~(size_t)15;
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
	SANDBOX_SET(request, id, args->id);
	SANDBOX_SET(request, image, args->image);
	SANDBOX_SET(request, rootfs, args->rootfs);
	SANDBOX_SET(request, kernel, args->kernel);
	SANDBOX_SET(request, boot_args, args->boot_args);
	SANDBOX_SET(request, working_dir, args->workdir);
	SANDBOX_SET(request, user, args->user);
	SANDBOX_SET(request, ssh_public_key, args->ssh_key);
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
