/* SPDX-License-Identifier: MIT */
/* The OCI runtime, and what it is given: mounts, interfaces, papers. */
#ifndef GB_SANDBOX_RUN_H
#define GB_SANDBOX_RUN_H

#include <sys/types.h>

#include "common/sandbox/bundle.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/orders.h"

/* Looks for crun or runc in runtime_dir (may be NULL) and then in PATH: 0, or -ENOENT with err set. */
int gb_sandbox_find_runtime(struct gb_sandbox_place *place, struct gb_err *err);

/* Sets the runtime to that of a sandbox that runs. */
void gb_sandbox_set_runtime(struct gb_sandbox_place *place, const char *program);

/* The name of the outer end of a sandbox's interface. */
enum { GB_SANDBOX_TAP = 16 };
void gb_sandbox_tap_name(uint32_t address, char name[GB_SANDBOX_TAP]);

/* A command in a container, on its way. */
struct gb_sandbox_exec {
	pid_t pid;         /* of the runtime, or who waits for runc's command: it ends as the command does */
	int in, out, err;  /* our ends of its pipes, non-blocking; -1: there is none */
	int console;       /* tty: a listening socket over which the terminal comes; its path is unlinked by us */
	int log;           /* what the runtime itself has to say */
	char cgroup[160];  /* relative to /sys/fs/cgroup: all that it starts is in there */
	char console_path[160];
};
#define GB_SANDBOX_EXEC_NONE { .in = -1, .out = -1, .err = -1, .console = -1, .log = -1 }

/* A command that is to run in a sandbox as soon as that is there. Without a terminal, without a limit of time. */
struct gb_sandbox_first {
	struct gb_sandbox_process process; /* but for its user */
	const char *user;
	bool input;
	bool taken; /* it was handed to PID 1: exec has our ends of its pipes, and PID 1 tells its end */
	struct gb_sandbox_exec exec;
};

struct gb_sandbox_start {
	/* Makes the layer, in a thread of its own, while other things are done: 0 or -errno with err set. */
	int (*layer)(Guestbox__Sandbox__Record *record, void *data, struct gb_err *err);
	/* Asked once, when it is the last chance: NULL: there is none. May itself be NULL. */
	struct gb_sandbox_first *(*first)(void *data);
	void *data;
	const char *checkpoint; /* a folder of processes to go on with, or NULL */
};

struct gb_sandbox_booted {
	int status; /* from which what PID 1 says can be read (struct gb_sandbox_word) */
	int left;   /* the last of a mount namespace, whose end takes its time: to be closed when there is some. -1 */
};

/*
 * Starts the container of a record; blocks, for a thread. All mounts of the sandbox's root are made in a mount namespace of
 * that thread alone, and its network namespace likewise: whatever happens to the daemon, they go with the container. Sets
 * pid and start_time. 0, or -errno with err set and nothing left behind but the layer.
 */
int gb_sandbox_boot(const struct gb_sandbox_place *place, Guestbox__Sandbox__Record *record, const struct gb_sandbox_start *how,
		    struct gb_sandbox_booted *ret, struct gb_err *err);

/* Ends the first command with all that it started, and nothing else: 0 or -errno. Blocks. */
int gb_sandbox_kill_first(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record);

/* What is left of a container whose PID 1 has ended, or shall: processes, cgroups, the runtime's state, the interface.
 * Everything is tried; the first failure is told. Blocks. */
int gb_sandbox_clean(const struct gb_sandbox_place *place, const char *instance, uint32_t address, struct gb_err *err);

/* Writes the processes of a container to a folder, which has to be there, and lets them go on: 0; -EOPNOTSUPP when there
 * is no CRIU; or -errno with err set. Blocks. */
int gb_sandbox_dump(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *folder,
		    struct gb_err *err);

/* Starts it: 0, or -errno with err set. input: whether it gets a pipe to read from (else /dev/null). number is unique
 * within the instance. Does not block but for fork. */
int gb_sandbox_exec_start(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, uint64_t number,
			  const struct gb_sandbox_process *process, bool input, struct gb_sandbox_exec *ret_exec,
			  struct gb_err *err);

/* The terminal of a tty command, from the runtime's connection: a descriptor, -EAGAIN, or -errno. */
int gb_sandbox_console_take(int conn);

/* Makes a readable reason of what a runtime logged. Pure. */
void gb_sandbox_log_reason(const char *log, char *text, size_t size);

/* Calls fn for each container that the runtime's state folder knows, and each that was to become one; for one of both,
 * twice. */
int gb_sandbox_each_container(const struct gb_sandbox_place *place, int (*fn)(const char *instance, void *arg), void *arg);

#endif
