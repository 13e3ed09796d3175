/* SPDX-License-Identifier: MIT */
/* How the OCI runtime's program is started. */
#ifndef GB_SANDBOX_PROGRAM_H
#define GB_SANDBOX_PROGRAM_H

#include <sys/types.h>

enum { GB_SANDBOX_CHILD_FDS = 8 };

struct gb_sandbox_child {
	int fds[GB_SANDBOX_CHILD_FDS]; /* what becomes 0 and so on; -1: /dev/null for 0 to 2, closed above */
};
#define GB_SANDBOX_CHILD { .fds = { -1, -1, -1, -1, -1, -1, -1, -1 } }

/* Starts a program with these descriptors, in a session of its own, with no signal blocked or ignored. 0 or -errno. */
int gb_sandbox_spawn(const char *program, char *const *argv, const struct gb_sandbox_child *child, pid_t *ret_pid);
/* The same without more ado, for a process that was made by fork(2) alone and may take no lock. */
int gb_sandbox_spawn_as_it_is(const char *program, char *const *argv, const struct gb_sandbox_child *child, pid_t *ret_pid);

#endif
