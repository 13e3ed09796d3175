/* SPDX-License-Identifier: MIT */
/* The OCI runtime, and what it is given: mounts, interfaces, papers. */
#ifndef GB_SANDBOX_RUN_H
#define GB_SANDBOX_RUN_H

#include <sys/types.h>

#include "common/sandbox/bundle.h"
#include "common/sandbox/cgroup.h"

/* Looks for crun or runc in runtime_dir (may be NULL) and then in PATH: 0, or -ENOENT with err set. */
int gb_sandbox_find_runtime(struct gb_sandbox_place *place, struct gb_err *err);

/* Sets the runtime to that of a sandbox that runs. */
void gb_sandbox_set_runtime(struct gb_sandbox_place *place, const char *program);

/* The name of the outer end of a sandbox's interface. */
enum { GB_SANDBOX_TAP = 16 };
void gb_sandbox_tap_name(uint32_t address, char name[GB_SANDBOX_TAP]);

/*
 * Starts the container of a record, whose layer is made; blocks, for a thread. All mounts of the sandbox's root are made
 * in a mount namespace of that thread alone, and its network namespace likewise: whatever happens to the daemon, they go
 * with the container. checkpoint: a folder of processes to go on with, or NULL. Sets pid and start_time. *ret_status gets
 * a descriptor from which PID 1's exit status, an int, can be read when it has ended. 0, or -errno with err set and
 * nothing left behind.
 */
int gb_sandbox_boot(const struct gb_sandbox_place *place, Guestbox__Sandbox__Record *record, const char *checkpoint,
		    int *ret_status, struct gb_err *err);

/* What is left of a container whose PID 1 has ended, or shall: processes, cgroups, the runtime's state, the interface.
 * Everything is tried; the first failure is told. Blocks. */
int gb_sandbox_clean(const struct gb_sandbox_place *place, const char *instance, uint32_t address, struct gb_err *err);

/* Writes the processes of a container to a folder, which has to be there, and lets them go on: 0; -EOPNOTSUPP when there
 * is no CRIU; or -errno with err set. Blocks. */
int gb_sandbox_dump(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *folder,
		    struct gb_err *err);

/* A command in a container, on its way. */
struct gb_sandbox_exec {
	pid_t pid;         /* of the runtime, or who waits for runc's command: it ends as the command does */
	int in, out, err;  /* our ends of its pipes, non-blocking; -1: there is none */
	int console;       /* tty: a listening socket over which the terminal comes; its path is unlinked by us */
	int log;           /* what the runtime itself has to say */
	char cgroup[160];  /* relative to /sys/fs/cgroup: all that it starts is in there */
	char console_path[160];
};

/* Starts it: 0, or -errno with err set. input: whether it gets a pipe to read from (else /dev/null). number is unique
 * within the instance. Does not block but for fork. */
int gb_sandbox_exec_start(const struct gb_sandbox_place *place, const char *instance, uint64_t number,
			  const struct gb_sandbox_process *process, bool input, struct gb_sandbox_exec *ret_exec,
			  struct gb_err *err);

/* The terminal of a tty command, from the runtime's connection: a descriptor, -EAGAIN, or -errno. */
int gb_sandbox_console_take(int conn);

/* Makes a readable reason of what a runtime logged. Pure. */
void gb_sandbox_log_reason(const char *log, char *text, size_t size);

/* Calls fn for each container that the runtime's state folder knows. */
int gb_sandbox_each_container(const struct gb_sandbox_place *place, int (*fn)(const char *instance, void *arg), void *arg);

#endif
