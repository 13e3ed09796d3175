/* SPDX-License-Identifier: MIT */
/* The words of mount(8)'s -o and the flags of mount(2) that they stand for. */
#ifndef GB_MOUNT_FLAGS_H
#define GB_MOUNT_FLAGS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include "common/base/buf.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef MS_LAZYTIME
#define MS_LAZYTIME (1 << 25)
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

enum gb_mount_kind {
	GB_MOUNT_BOTH = 1,
	GB_MOUNT_ATTR = 2,
	GB_MOUNT_SUPER = 4,
	GB_MOUNT_WORK = 8,
	GB_MOUNT_PROPAGATION = 16,
	GB_MOUNT_USER = 32,
};

enum { GB_MOUNT_NOAUTO = 1, GB_MOUNT_NOFAIL = 2, GB_MOUNT_NETDEV = 4, GB_MOUNT_FOR_USERS = 8, GB_MOUNT_FOR_OWNERS = 16 };

#define GB_MOUNT_PROPAGATIONS ((unsigned long)(MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE))
#define GB_MOUNT_ATIMES ((unsigned long)(MS_NOATIME | MS_RELATIME | MS_STRICTATIME))
/* What a mount has beside its file system. */
#define GB_MOUNT_ATTRS ((unsigned long)(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW | MS_NODIRATIME) | \
			GB_MOUNT_ATIMES)
#define GB_MOUNT_SUPERS ((unsigned long)(MS_RDONLY | MS_SYNCHRONOUS | MS_DIRSYNC | MS_MANDLOCK | MS_LAZYTIME | \
					 MS_I_VERSION | MS_SILENT))

struct gb_mount_flag {
	const char *word;
	unsigned long set, clear;
	enum gb_mount_kind kind;
};

extern const struct gb_mount_flag gb_mount_flags[]; /* ends with a row without a word */

/* The row of a word of len bytes, or NULL. */
const struct gb_mount_flag *gb_mount_flag_find(const char *word, size_t len);

/* The MS_ flags that a mountinfo list ("rw,nosuid,relatime") stands for; words that are no flags are left out. */
unsigned long gb_mount_flags_of(const char *list);

/* MS_ flags as MOUNT_ATTR_ ones (mount_setattr(2)). */
uint64_t gb_mount_attr(unsigned long flags);

/* Appends "MS_RDONLY|MS_BIND" (or "0"), or the same of MOUNT_ATTR_ flags: 0 or -ENOMEM. */
int gb_mount_flags_text(struct gb_buf *buf, unsigned long flags);
int gb_mount_attr_text(struct gb_buf *buf, uint64_t attr);

#endif
