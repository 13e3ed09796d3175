/* SPDX-License-Identifier: MIT */
/* The cgroups of sandboxes, by their paths below the root: which controllers there are, and how a tree of them is ended and
 * removed for good. Those of daemons, below our own and by descriptor, are common/sys/cgroup.h's. */
#ifndef GB_SANDBOX_CGROUP_H
#define GB_SANDBOX_CGROUP_H

#include <stdbool.h>

#include "common/base/err.h"

struct gb_sandbox_controllers {
	bool cpu, memory, pids;
};

/* What the second version of cgroups offers, which is mounted if nothing is there. 0; -EOPNOTSUPP when the first version
 * has the place (err says so), or -errno. */
int gb_sandbox_controllers(struct gb_sandbox_controllers *ret_have, struct gb_err *err);

/* path is relative to /sys/fs/cgroup. Makes one: 0 or -errno. */
int gb_sandbox_cgroup_make(const char *path);
/* Ends every process in it and below (cgroup.kill, Linux 5.14): 0 (also when it is not there) or -errno. */
int gb_sandbox_cgroup_kill(const char *path);
/* Removes it with all below, killing what is left; waits for that for at most ms. 0 (also when it is not there), -EBUSY
 * or -errno. */
int gb_sandbox_cgroup_remove(const char *path, int ms);
/* Stops all processes, or lets them go on; freezing waits until it is done, at most ms. 0 or -errno. */
int gb_sandbox_cgroup_freeze(const char *path, bool freeze, int ms);
/* Calls fn for each folder below path until one returns non-zero, which is the result. */
int gb_sandbox_cgroup_each(const char *path, int (*fn)(const char *name, void *arg), void *arg);

#endif
