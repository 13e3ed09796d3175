/* SPDX-License-Identifier: MIT */
/* What a data disk needs to be ready, as a list of steps. Pure: from facts alone. */
#ifndef GB_BTRFS_PLAN_H
#define GB_BTRFS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/btrfs/layout.h"
#include "common/btrfs/probe.h"

enum gb_format { GB_FORMAT_BLANK, GB_FORMAT_FOREIGN, GB_FORMAT_NEVER };

/* What is at a target of the layout. */
enum gb_target { GB_TARGET_FREE, GB_TARGET_OURS, GB_TARGET_OTHER };

struct gb_facts {
	const char *device;
	uint64_t size;
	bool read_only;
	bool busy; /* somebody has it for himself; looked at before a format or a repair only */
	struct gb_found found;
	enum gb_target top, subvol[GB_LAYOUT_SUBVOLS];
	char other[256]; /* of the first target that is in others' hands: "a tmpfs is mounted on /var/lib/docker" */
};

struct gb_wish {
	const struct gb_layout *layout;
	const char *root; /* in front of each target, "" for none */
	const char *mkfs;
	enum gb_format format;
	bool repair;
};

enum gb_step_kind { GB_STEP_WAIT, GB_STEP_IDENTIFY, GB_STEP_REPAIR, GB_STEP_FORMAT, GB_STEP_TOP, GB_STEP_GROW,
		    GB_STEP_SUBVOLUME, GB_STEP_MOUNT, GB_STEP_COMPRESSION, GB_STEP_NOCOW };

struct gb_step {
	enum gb_step_kind kind;
	size_t subvol; /* index into the layout */
	char *detail;
	bool done;     /* this run did it; false: it was so already, or it has not come to it */
	uint64_t usec;
};

/* Start with {0}. */
struct gb_plan {
	struct gb_step *step;
	size_t len;
};

/* "wait", "identify", ... */
const char *gb_btrfs_step_name(enum gb_step_kind kind);

/* Whether everything that the layout mounts is mounted: then there is nothing to plan. */
bool gb_btrfs_plan_ready(const struct gb_wish *wish, const struct gb_facts *facts);

/* The steps. 0; -GB_E_REFUSED with what was found and which option would go on; -ENOMEM. */
int gb_btrfs_plan_make(const struct gb_wish *wish, const struct gb_facts *facts, struct gb_plan *ret_plan, struct gb_err *err);

void gb_btrfs_plan_free(struct gb_plan *plan);
#define gb_autoplan __attribute__((cleanup(gb_btrfs_plan_free)))

#endif
