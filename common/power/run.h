/* SPDX-License-Identifier: MIT */
/* Runs a power-off, up to reboot(2). */
#ifndef GB_POWER_RUN_H
#define GB_POWER_RUN_H

#include "common/base/err.h"
#include "common/power/report.h"

/* All that a run does to the machine. A test puts its own in. */
struct gb_power_ops {
	int (*procs)(struct gb_proc_list *list, bool trust);
	int (*pidfd)(const struct gb_proc *proc); /* or -errno: its end is then found out by looking */
	int (*signal)(pid_t pid, int pidfd, int sig);
	int (*mounts)(struct gb_mountinfo_table *table);
	int (*devices)(struct gb_power_devices *devices);
	/* SWAPOFF, UMOUNT, FORCE, LOOP, DM, READONLY, SYNC, CHECK; runs in a process of its own and may block for good. */
	int (*step)(enum gb_power_kind kind, const char *object);
	void (*emergency)(void); /* sync and read-only by the kernel itself, without waiting */
	int (*go)(enum gb_power_action action);
};

extern const struct gb_power_ops gb_power_ops; /* the real ones */

struct gb_power_opts {
	enum gb_power_action action;
	unsigned grace_ms; /* see gb_power_times() */
	bool at_once;      /* no process is ended, nothing is unmounted: sync, and go */
	bool no_sync;
	const char *below; /* no process is ended, the machine stays on: only the file systems at or below this path */
	bool storage;      /* false: swap and file systems are not this process's to give back (a PID namespace) */
	bool quiet;        /* no log lines */
	int json_fd;       /* the report goes there before reboot(2); -1: nowhere. Never waits for a reader. */
};

/* The whole sequence. Returns only when it did not go: 0 with `below`, else the errno of reboot(2) in err. Never takes
 * longer than the deadline by more than what reboot(2) takes. The caller has the latch (common/power/request.h). */
int gb_power_run(const struct gb_power_opts *opts, const struct gb_power_ops *ops, struct gb_power_report *report,
		 struct gb_err *err);

/* What gb_power_run() would do now: the same plan functions on what is there now. The objects of the plan point into
 * mounts and devices, which the caller frees after it. 0 or -errno with err. */
int gb_power_show(const struct gb_power_opts *opts, const struct gb_power_ops *ops, struct gb_power_plan *plan,
		  struct gb_mountinfo_table *mounts, struct gb_power_devices *devices, struct gb_err *err);

#endif
