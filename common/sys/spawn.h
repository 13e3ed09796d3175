/* SPDX-License-Identifier: MIT */
/* Starting other programs: in a session and a cgroup of their own. */
#ifndef GB_SYS_SPAWN_H
#define GB_SYS_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "common/base/buf.h"

struct gb_spawn {
	const char *path;   /* as execve(2) takes it */
	char *const *argv;
	char *const *env;
	int out;            /* standard output and error; -1: /dev/null */
	int cgroup;         /* an open cgroup.procs that the program is put into; -1: it stays where we are */
};

/* Starts it with no standard input, default signals, in a new session. Safe in a program with threads. Its PID, which the
 * caller waits for, or -errno; of execve(2), too. */
pid_t gb_spawn(const struct gb_spawn *spawn);

/* Runs a helper to its end, at most timeout_ms; out is not looked at. The last `max` bytes of what it prints are appended
 * to output (NULL: nowhere). Its exit status, 128 + signal, -ETIMEDOUT (its process group was killed), or -errno. */
int gb_spawn_run(const struct gb_spawn *spawn, unsigned timeout_ms, struct gb_buf *output, size_t max);

#endif
