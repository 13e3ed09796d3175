/* SPDX-License-Identifier: MIT */
/* What the kernel and the host offer, and what this process may. */
#ifndef GB_MOUNT_OFFER_H
#define GB_MOUNT_OFFER_H

#include <stdbool.h>

#include "common/base/buf.h"

/* Whether this process may mount: CAP_SYS_ADMIN is effective. */
bool gb_mount_allowed(void);
#define GB_MOUNT_NOT_ALLOWED "needs root (CAP_SYS_ADMIN)"

/* What kind of file system type the kernel knows this as, now (modules that could be loaded do not count). */
enum gb_mount_type {
	GB_TYPE_UNKNOWN,
	GB_TYPE_NODEV,  /* its source is no block device */
	GB_TYPE_DEVICE,
};
enum gb_mount_type gb_mount_type(const char *type);

/* The virtiofs tags known here, separated by ", ": those that sysfs lists (Linux 6.9 and later) and those in use. *ret_all
 * tells whether the list is complete. Returns the number of virtiofs devices. */
int gb_mount_virtiofs_tags(struct gb_buf *tags, bool *ret_all);

#endif
