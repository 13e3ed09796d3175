/* SPDX-License-Identifier: MIT */
/* The end of a container, and what is left of one. */
#ifndef GB_SANDBOX_CLEAN_H
#define GB_SANDBOX_CLEAN_H

#include "common/base/err.h"
#include "common/sandbox/sandbox.h"

/* Ends the first command with all that it started, and nothing else: 0 or -errno. Blocks. */
int gb_sandbox_kill_first(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record);

/* What is left of a container whose PID 1 has ended, or shall: processes, cgroups, the runtime's state, the interface.
 * Everything is tried; the first failure is told. Blocks. */
int gb_sandbox_clean(const struct gb_sandbox_place *place, const char *instance, uint32_t address, struct gb_err *err);

/* Calls fn for each container that the runtime's state folder knows, and each that was to become one; for one of both,
 * twice. */
int gb_sandbox_each_container(const struct gb_sandbox_place *place, int (*fn)(const char *instance, void *arg), void *arg);

#endif
