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

/* The virtiofs tags known here, separated by ", ": those that sysfs lists (Linux 6.9 and later) and those in use. *ret_all
 * tells whether the list is complete. Returns the number of virtiofs devices, or -errno. */
int gb_mount_virtiofs_tags(struct gb_buf *tags, bool *ret_all);

/* Whether the kernel knows the file system type now (modules that could be loaded do not count). */
bool gb_mount_type_known(const char *type);

/* Whether this process may mount: CAP_SYS_ADMIN is effective. */
bool gb_mount_allowed(void);

#endif
