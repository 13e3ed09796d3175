/* SPDX-License-Identifier: MIT */
/* Commands in a sandbox. */
#ifndef GB_SANDBOX_EXEC_H
#define GB_SANDBOX_EXEC_H

#include <sys/types.h>

#include "common/sandbox/bundle.h"

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

/* Starts it: 0, or -errno with err set. input: whether it gets a pipe to read from (else /dev/null). number is unique
 * within the instance. Does not block but for fork. */
int gb_sandbox_exec_start(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, uint64_t number,
			  const struct gb_sandbox_process *process, bool input, struct gb_sandbox_exec *ret_exec,
			  struct gb_err *err);

/* The terminal of a tty command, from the runtime's connection: a descriptor, -EAGAIN, or -errno. */
int gb_sandbox_console_take(int conn);

/* A command that is to run in a sandbox as soon as that is there. Without a terminal, without a limit of time. */
struct gb_sandbox_first {
	struct gb_sandbox_process process; /* but for its user */
	const char *user; /* "": the sandbox's */
	bool input;
	bool taken; /* it was handed to PID 1: exec has our ends of its pipes, and PID 1 tells its end */
	struct gb_sandbox_exec exec;
};

/* Such a command is the runtime's first process's first child: what it is to be told waits in a socket, sock. root: where
 * the sandbox's root is mounted now. Whatever speaks against it has an answer of its own when the command is started in the
 * usual way: then it is not taken. */
void gb_sandbox_exec_first(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *root,
			   int sock, struct gb_sandbox_first *first);
/* The same in a sandbox that runs and has had no command yet. */
void gb_sandbox_exec_late(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, int sock,
			  struct gb_sandbox_first *first);
/* PID 1 does not wait for one any more when this returns, or its time is over; whoever held the socket has closed it. */
void gb_sandbox_exec_never(const Guestbox__Sandbox__Record *record);

/* Which command a sandbox has now, kept beside its container from before it starts until it is over: whoever daemon comes
 * next ends it then, of which none is left to tell. what: the name of its cgroup in the sandbox's, GB_SANDBOX_FIRST of one
 * that PID 1 has started. 0 or -errno. */
#define GB_SANDBOX_FIRST "first"
int gb_sandbox_command_note(const struct gb_sandbox_place *place, const char *instance, const char *what);
/* false: it has none. size of what: 64. */
bool gb_sandbox_command_noted(const struct gb_sandbox_place *place, const char *instance, char *what);
void gb_sandbox_command_over(const struct gb_sandbox_place *place, const char *instance);

/* The most descriptors that a process in a sandbox may have. */
uint64_t gb_sandbox_nofile(void);

#endif
