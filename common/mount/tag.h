/* SPDX-License-Identifier: MIT */
/* What is on a device, and which device has a label: libblkid's answers. */
#ifndef GB_MOUNT_TAG_H
#define GB_MOUNT_TAG_H

#include <stddef.h>

#include "common/base/err.h"

/* A source as fstab(5) writes it: LABEL=, UUID=, PARTLABEL=, PARTUUID= become the device's name, all else is copied. The
 * letters of a UUID may be of either case. 0, -ENODEV (no device has it), -ENAMETOOLONG or -errno. */
int gb_mount_tag_resolve(const char *source, char *device, size_t size, struct gb_err *err);

/* The type of the file system on a device or in a file. 0, -ENODATA (none found), -EBADMSG (traces of more than one) or
 * the errno of open(2). */
int gb_mount_tag_type(const char *device, char *type, size_t size, struct gb_err *err);

#endif
