/* SPDX-License-Identifier: MIT */
/* Sandboxes: what the files of this room share. */
#ifndef GB_SANDBOX_SANDBOX_H
#define GB_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/rpc/pb.h"
#include "common/sandbox/record.pb-c.h"

enum {
	GB_SANDBOX_INSTANCE = 16,      /* letters of an instance's name */
	GB_SANDBOX_SLOTS = 16384,      /* sandboxes at most: each has user ids of its own */
	GB_SANDBOX_IDS = 65536,        /* user ids of one */
	GB_SANDBOX_PIDS = 4096,        /* processes and threads of one */
	GB_SANDBOX_VCPUS = 1, GB_SANDBOX_MEMORY_MIB = 512, /* unless said otherwise */
	GB_SANDBOX_TTY_WIDTH = 80, GB_SANDBOX_TTY_HEIGHT = 24,
};
#define GB_SANDBOX_UID_BASE 0x40000000U
#define GB_SANDBOX_POOL 0xac140000U    /* 172.20.0.0/16 */
#define GB_SANDBOX_GATEWAY 0xac140001U

#define GB_SANDBOX_FILES "files"
#define GB_SANDBOX_PROCESSES "files+processes"

/* Where things are. data is on the data disk: boxes/INSTANCE/{record,layer}, snapshots/ID/{record,layer,processes},
 * images/NAME/root. run is lost with the boot: crun's state, bundles. */
struct gb_sandbox_place {
	char data[256];
	/* Each store has its own, since what no record knows there is taken away: */
	char run[64];            /* GB_SANDBOX_RUN/NAME */
	char cgroup[64];         /* GB_SANDBOX_CGROUP/NAME, below /sys/fs/cgroup */
	char runtime[256];       /* crun or runc */
	bool runc;               /* it is the latter */
	const char *runtime_dir; /* looked through for it before PATH */
};

#define GB_SANDBOX_RUN "/run/guestbox/sandbox"
#define GB_SANDBOX_CGROUP "/guestbox-sandbox"

/* Sets data, run and cgroup. Pure. */
void gb_sandbox_place_set(struct gb_sandbox_place *place, const char *data);

#endif
