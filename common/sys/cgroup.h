/* SPDX-License-Identifier: MIT */
/* Control groups, version 2, below the one that this process is in (cgroups(7)). */
#ifndef GB_SYS_CGROUP_H
#define GB_SYS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

/* The path behind "0::" in a text like /proc/self/cgroup: 0, -ENOENT, or -ENAMETOOLONG. Pure. */
int gb_cgroup_parse(const char *text, char *path, size_t size);

/* Makes NAME (if it is missing) below our own: a descriptor of its folder, or -errno; -ENOENT: there is no version 2 at
 * /sys/fs/cgroup. */
int gb_cgroup_make(const char *name);
/* One that is there, by its path below the root: a descriptor or -errno. */
int gb_cgroup_open(const char *path);
/* The same by its name below our own. */
int gb_cgroup_find(const char *name);

/* Its cgroup.procs, to be written to: a descriptor or -errno. */
int gb_cgroup_procs(int dir);

/* A signal to every process in it and below it: how many got it, or -errno. 1 for a SIGKILL that the kernel has given to all
 * of them at once (Linux 5.14). */
int gb_cgroup_signal(int dir, int sig);

/* Whether a process lives in it or below it: 1, 0 (also when it is gone) or -errno. */
int gb_cgroup_busy(int dir);
/* Waits until none does: 0, -ETIMEDOUT or -errno. */
int gb_cgroup_wait(int dir, unsigned timeout_ms);

#endif
