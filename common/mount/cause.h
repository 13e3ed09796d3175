/* SPDX-License-Identifier: MIT */
/* Why a mount call failed: from an errno and what the system shows to one sentence. */
#ifndef GB_MOUNT_CAUSE_H
#define GB_MOUNT_CAUSE_H

#include "common/mount/plan.h"

/* Each sets err to "operation object: cause" and returns -code. log: the kernel's own words, "" or NULL. */
int gb_mount_cause(const struct gb_mount_step *step, const struct gb_mount_call *call, int code, const char *log,
		   struct gb_err *err);
int gb_mount_undo_cause(const char *target, int flags, int code, struct gb_err *err);
int gb_mount_pivot_cause(const char *new_root, const char *put_old, int code, struct gb_err *err);

#endif
