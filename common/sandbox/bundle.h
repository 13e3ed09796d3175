/* SPDX-License-Identifier: MIT */
/* The OCI runtime's papers: config.json of a bundle, process.json of a command in it. Pure. */
#ifndef GB_SANDBOX_BUNDLE_H
#define GB_SANDBOX_BUNDLE_H

#include "common/sandbox/orders.h"
#include "common/sandbox/sandbox.h"

struct gb_sandbox_user {
	uint32_t uid, gid;
	uint32_t groups[GB_SANDBOX_GROUPS];
	size_t groups_len;
	char home[256];
};

/* One process of a sandbox. Later variables win over earlier ones of the same name. */
struct gb_sandbox_process {
	char *const *args;
	size_t args_len;
	const Sandbox__V1__CreateSandboxRequest *spec; /* its env and working_dir stand unless the next say otherwise */
	const struct gb_sandbox_pair *env;
	size_t env_len;
	const char *dir;
	struct gb_sandbox_user user;
	bool tty;
	uint32_t width, height;
	uint64_t nofile; /* the hard limit to give, at most the daemon's own */
};

/* A folder or file that is bound into the sandbox. */
struct gb_sandbox_bind {
	const char *source, *target;
	bool read_only, exec;
};

struct gb_sandbox_bundle {
	const Guestbox__Sandbox__Record *record;
	const char *root;       /* the mounted root file system */
	const char *hostname;
	const char *userns;     /* a path of the user namespace to enter, with the record's range of ids; NULL: a new one */
	const char *cgroup;     /* absolute, below the root of the cgroup file system */
	const struct gb_sandbox_bind *binds;
	size_t binds_len;
	struct gb_sandbox_process process;
	bool cpu, memory, pids; /* the controllers that are there */
};

/* The folder it starts in. */
const char *gb_sandbox_folder(const struct gb_sandbox_process *process);
/* The value of a variable of the process, or NULL. */
const char *gb_sandbox_variable(const struct gb_sandbox_process *process, const char *key);

/* These append to buf: 0 or -ENOMEM. */
int gb_sandbox_process_json(const struct gb_sandbox_process *process, struct gb_buf *buf);
/* The same for PID 1, which reads no JSON (common/sandbox/orders.h). */
int gb_sandbox_orders(const struct gb_sandbox_process *process, bool input, struct gb_buf *buf);
int gb_sandbox_bundle_json(const struct gb_sandbox_bundle *bundle, struct gb_buf *buf);

#endif
