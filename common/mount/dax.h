/* SPDX-License-Identifier: MIT */
/* DAX: asked for, fallen back from, and proven. */
#ifndef GB_MOUNT_DAX_H
#define GB_MOUNT_DAX_H

#include "common/mount/plan.h"

enum gb_mount_dax { GB_DAX_NONE, GB_DAX_INODE, GB_DAX_ALWAYS };

struct gb_mount_daxproof {
	enum gb_mount_dax mode; /* by the super options in mountinfo */
	int file;               /* STATX_ATTR_DAX of a file found on it: 1, 0, or -1 when there is no file */
};

/* What the mount at target has. 0 or -errno (-EINVAL: no mount point). */
int gb_mount_dax_prove(const char *target, struct gb_mount_daxproof *ret_proof);

/* Whether that is dax=always with nothing to the contrary. */
bool gb_mount_dax_holds(const struct gb_mount_daxproof *proof);

/* "always", "inode" or "none". */
const char *gb_mount_dax_word(enum gb_mount_dax mode);

/* A new mount with dax=always, which is unmounted again when the proof fails. 0, -EOPNOTSUPP or -errno, with err set. */
int gb_mount_dax_require(const struct gb_mount_request *request, struct gb_err *err);

/* A new mount with the best of dax=always, dax=inode and none. *ret_mode: which one it is by proof. why gets what stood
 * against dax=always ("" if nothing did). 0, or -errno with err set, and no mount. */
int gb_mount_dax_best(const struct gb_mount_request *request, enum gb_mount_dax *ret_mode, struct gb_err *why,
		      struct gb_err *err);

#endif
