/* SPDX-License-Identifier: MIT */
/* Causes of failed mount calls: what cause.c and its parts share; for common/mount alone. */
#ifndef GB_MOUNT_WHY_H
#define GB_MOUNT_WHY_H

#include "common/mount/plan.h"

/* A new file system: appends the cause, if one is found. Returns the code that says it best. log: the kernel's words. */
int gb_mount_why_new(const struct gb_mount_step *step, const struct gb_mount_call *call, int code, const char *log,
		     struct gb_buf *why);

/* Words of an overlay that are folders: which one is not there, or does not go with another. */
void gb_mount_why_overlay(const struct gb_mount_step *step, int code, struct gb_buf *why);

/* Whether the target cannot carry a mount of a source of this kind; says why not. */
bool gb_mount_why_target(const char *target, bool source_is_dir, struct gb_buf *why);

#endif
