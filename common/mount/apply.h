/* SPDX-License-Identifier: MIT */
/* Mounts: carries a plan out. This room alone makes the mount system calls. */
#ifndef GB_MOUNT_APPLY_H
#define GB_MOUNT_APPLY_H

#include "common/mount/plan.h"

/* What a caller may want to tell beside success. Start with {0}. */
struct gb_mount_outcome {
	bool read_only; /* the source is write-protected: mounted read-only, though that was not asked for */
};

/* Carries out one request: plan, then apply. Needs CAP_SYS_ADMIN. 0, or -errno with operation, object and cause in err,
 * and then nothing of the failed step is left behind. dax=require among the options is proven after the mount. */
int gb_mount_do(const struct gb_mount_request *request, struct gb_err *err);

/* The steps of a plan in order, up to the first that fails. outcome may be NULL. */
int gb_mount_apply(const struct gb_mount_plan *plan, struct gb_mount_outcome *outcome, struct gb_err *err);

/*
 * Unmounts the topmost mount at target. flags: MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW. With the last mount of a
 * file system on a block device what is cached is written out, and a failure of that is -EIO:
 * - plain: before, and the mount stays;
 * - MNT_DETACH: after it is out of the tree, where a disk that does not answer is in nobody's way;
 * - MNT_EXPIRE: before it gets its mark, and without the mark it stays;
 * - MNT_FORCE: never, since it is for what does not answer.
 * Nothing is asked of another file system, such as a share whose server may be gone. 0, -EBUSY with the holders in err,
 * -EAGAIN for a first MNT_EXPIRE, -EINVAL when it is no mount point.
 */
int gb_mount_undo(const char *target, int flags, struct gb_err *err);

/* One mount(2), umount2(2) or pivot_root(2) with nothing around it: 0 or -errno. */
int gb_mount_raw(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int gb_mount_raw_undo(const char *target, int flags);
int gb_mount_raw_pivot(const char *new_root, const char *put_old);

/* Whether a file system of this type, source and words could be set up: creates one and drops it, unmounted.
 * 0 or -errno; *log (may be NULL) gets the kernel's words. -ENOSYS without fsopen(2). */
int gb_mount_try(const char *type, const char *source, const char *data, struct gb_buf *log);

#endif
