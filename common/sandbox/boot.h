/* SPDX-License-Identifier: MIT */
/* The start of a sandbox: its namespaces, its mounts, its papers, the runtime. */
#ifndef GB_SANDBOX_BOOT_H
#define GB_SANDBOX_BOOT_H

#include "common/sandbox/exec.h"

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
	int orders; /* gb_sandbox_exec_first() can still be sent by it, unless one was taken; -1 */
	int left;   /* the last of a mount namespace, whose end takes its time: to be closed when there is some. -1 */
};

/*
 * Starts the container of a record; blocks, for a thread. All mounts of the sandbox's root are made in a mount namespace of
 * that thread alone, and its network namespace likewise: whatever happens to the daemon, they go with the container. Sets
 * pid and start_time. 0, or -errno with err set and nothing left behind but the layer.
 */
int gb_sandbox_boot(const struct gb_sandbox_place *place, Guestbox__Sandbox__Record *record, const struct gb_sandbox_start *how,
		    struct gb_sandbox_booted *ret_booted, struct gb_err *err);

#endif
