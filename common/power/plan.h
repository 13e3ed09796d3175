/* SPDX-License-Identifier: MIT */
/* The plan of a power-off: which steps, in which order, until when. Pure. */
#ifndef GB_POWER_PLAN_H
#define GB_POWER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/sys/mountinfo.h"
#include "common/sys/proc.h"

enum gb_power_action { GB_POWER_OFF, GB_POWER_REBOOT, GB_POWER_HALT, GB_POWER_KEXEC };
const char *gb_power_action_name(enum gb_power_action action); /* "off", "reboot", "halt", "kexec" */

/* The host waits 30 s for the machine to stop and then forces it off. What is asked for beyond the cap is cut: the
 * rest is for the reply, the kernel and the host's own end. Below the floor no file system could be unmounted. */
#define GB_POWER_GRACE_DEFAULT 25000u
#define GB_POWER_GRACE_MAX 28000u
#define GB_POWER_GRACE_MIN 2000u

/* The one deadline and what is divided of it, in ms since the request. */
struct gb_power_times {
	unsigned kill_at;  /* who is still there gets SIGKILL */
	unsigned gone_at;  /* who is still there after that is left to the kernel */
	unsigned deadline; /* reboot(2), whatever is unfinished */
};

/* grace_ms: 0 stands for the default. */
struct gb_power_times gb_power_times(unsigned grace_ms);

enum gb_power_kind {
	GB_POWER_STOP,     /* a service that others need to end well: SIGTERM, and wait for its end */
	GB_POWER_TERM,     /* SIGTERM to all the rest */
	GB_POWER_KILL,     /* SIGKILL to who is left */
	GB_POWER_SWAPOFF,
	GB_POWER_UMOUNT,
	GB_POWER_FORCE,    /* the same for a server that did not answer: its requests are aborted */
	GB_POWER_LOOP,     /* a loop device is detached from its file */
	GB_POWER_DM,       /* a device-mapper device is removed */
	GB_POWER_READONLY,
	GB_POWER_SYNC,
	GB_POWER_CHECK,    /* each file system: did it end clean? */
	GB_POWER_GO,       /* reboot(2) */
};
const char *gb_power_kind_name(enum gb_power_kind kind); /* "stop", "terminate", "kill", ... */

struct gb_power_step {
	enum gb_power_kind kind;
	bool remote;        /* umount: a server elsewhere answers for it (virtiofs, FUSE, NFS, 9p) */
	unsigned until;     /* ms since the request */
	const char *object; /* service, mount point, device; "" if none */
};

struct gb_power_plan {
	struct gb_power_step *steps;
	size_t count, size;
	bool failed; /* out of memory: the plan is not whole */
};

void gb_power_plan_free(struct gb_power_plan *plan);
#define gb_autopowerplan __attribute__((cleanup(gb_power_plan_free)))

/* What the machine holds besides its processes and mounts. Names are owned by the list. */
struct gb_power_device {
	enum { GB_POWER_IS_SWAP, GB_POWER_IS_LOOP, GB_POWER_IS_DM } kind;
	unsigned major, minor;
	char *name; /* swap: its path; loop: "/dev/loopN"; dm: the mapper's name */
	char *file; /* loop: the file behind it, else "" */
	unsigned holders; /* block devices that stand on it */
};

struct gb_power_devices {
	struct gb_power_device *rows;
	size_t count;
};

/* The service of the ordered stops that a process belongs to, or NULL: "dockerd" ends its containers, which takes
 * containerd; "k3s" the same with its own; then "containerd". */
const char *gb_power_service(const struct gb_proc *proc);

/* Whether the sequence signals this process at all: not the kernel's, not PID 1, not `self`, none that serves the root
 * file system. */
bool gb_power_is_victim(const struct gb_proc *proc, pid_t self);

/* Steps STOP (of services that run), TERM, KILL. */
void gb_power_plan_processes(struct gb_power_plan *plan, const struct gb_proc_list *procs, pid_t self,
			     const struct gb_power_times *times);

/* Whether a file system holds nothing to lose: proc, sysfs, tmpfs and their like. */
bool gb_power_is_pseudo(const char *type);
/* Whether its data is behind a server: virtiofs, FUSE, NFS, 9p, ... */
bool gb_power_is_remote(const char *type);

/* Steps SWAPOFF, UMOUNT (last mounted first, what is below another before it), LOOP and DM right after the file system
 * that stood on them, then those left over. below: only what is mounted at or below this path, with its loop devices
 * (no swap); NULL: all, except the root. The plan points into mounts and devices. */
void gb_power_plan_storage(struct gb_power_plan *plan, const struct gb_mountinfo_table *mounts,
			   const struct gb_power_devices *devices, const char *below, unsigned until);

/* Steps READONLY for each file system that is still mounted, once each. */
void gb_power_plan_readonly(struct gb_power_plan *plan, const struct gb_mountinfo_table *mounts, const char *below,
			    unsigned until);

/* One more step. */
void gb_power_plan_add(struct gb_power_plan *plan, enum gb_power_kind kind, const char *object, unsigned until);

#endif
