/* SPDX-License-Identifier: MIT */
/* The OCI runtime's program: crun or runc. */
#ifndef GB_SANDBOX_RUNTIME_H
#define GB_SANDBOX_RUNTIME_H

#include <sys/types.h>

#include "common/base/err.h"
#include "common/sandbox/sandbox.h"

/* Looks for crun or runc in runtime_dir (may be NULL) and then in PATH: 0, or -ENOENT with err set. */
int gb_sandbox_find_runtime(struct gb_sandbox_place *place, struct gb_err *err);

/* Sets the runtime to that of a sandbox that runs. */
void gb_sandbox_set_runtime(struct gb_sandbox_place *place, const char *program);

/* The runtime, on its way. */
struct gb_sandbox_engine {
	const struct gb_sandbox_place *place;
	const char *verb;
	char log[160];
	pid_t pid; /* 0: there is none */
};

/* Starts it for an instance; args end with NULL. fds: what becomes its descriptors 3, 4 and 5; -1: nothing. 0, or -errno
 * with err set. */
enum { GB_SANDBOX_ENGINE_FDS = 3 };
int gb_sandbox_runtime_start(const struct gb_sandbox_place *place, const char *instance, const char *const *args,
			     const int fds[GB_SANDBOX_ENGINE_FDS], struct gb_sandbox_engine *ret_engine, struct gb_err *err);
/* Waits for its end: 0, or -errno. Its own words become the reason of a failure. */
int gb_sandbox_runtime_wait(struct gb_sandbox_engine *engine, struct gb_err *err);
/* Ends one that has done nothing yet; one that is not there is no matter. */
void gb_sandbox_runtime_stop(struct gb_sandbox_engine *engine);
/* Start and wait. Blocks. */
int gb_sandbox_runtime(const struct gb_sandbox_place *place, const char *instance, const char *const *args, struct gb_err *err);

/* Writes the processes of a container to a folder, which has to be there, and lets them go on: 0; -EOPNOTSUPP when there
 * is no CRIU; or -errno with err set. Blocks. */
int gb_sandbox_dump(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *folder,
		    struct gb_err *err);

/* Makes a readable reason of what a runtime logged. Pure. */
void gb_sandbox_log_reason(const char *log, char *text, size_t size);

#endif
