/* SPDX-License-Identifier: MIT */
/* Loop devices. */
#ifndef GB_MOUNT_LOOP_H
#define GB_MOUNT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/base/err.h"

struct gb_mount_loop {
	const char *file;
	int fd; /* of the file, if it is open already (O_PATH will do); 0: it is opened by its name */
	const char *device; /* NULL or "": a free one */
	uint64_t offset, size;
	bool read_only;
};

/* Sets a loop device up that goes away by itself with its last user (LO_FLAGS_AUTOCLEAR). Returns a descriptor of it,
 * which has to stay open until it is mounted, and its name; or -errno (-EBUSY: the file is behind a loop device
 * already, which is named: two writers would destroy what is in it; one that goes away by itself, from which nothing is
 * mounted, is given a second for that). *ret_read_only: the file cannot be written. */
int gb_mount_loop_attach(const struct gb_mount_loop *loop, char *device, size_t size, bool *ret_read_only,
			 struct gb_err *err);

/* Detaches the file from a loop device: 0 (also when nothing is attached any more, or the device is gone) or -errno. */
int gb_mount_loop_detach(const char *device, struct gb_err *err);

/* Whether path is a loop device. */
bool gb_mount_loop_is(const char *path);

/* Whether the loop device of this name ("loop0") has the file, by whichever name of its own. */
bool gb_mount_loop_has(const char *name, const struct stat *file);

#endif
