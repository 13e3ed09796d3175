/* SPDX-License-Identifier: MIT */
/* Inode flags. */
#include "common/sys/fsflags.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

/* The numbers carry sizeof(long), yet the kernel reads and writes an int (ioctl_iflags(2), BUGS). */
_Static_assert(FS_NOCOW_FL == 0x00800000, "FS_NOCOW_FL");
#if __SIZEOF_LONG__ == 8
_Static_assert(FS_IOC_GETFLAGS == 0x80086601 && FS_IOC_SETFLAGS == 0x40086602, "FS_IOC_GETFLAGS, FS_IOC_SETFLAGS");
#endif
_Static_assert(sizeof(int) == 4, "int");

static int plain(int error)
{
	return error == ENOTTY || error == ENOSYS ? -EOPNOTSUPP : -error;
}

int gb_fsflags_get(int fd, unsigned *ret_flags)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return plain(errno);
	*ret_flags = (unsigned)flags;
	return 0;
}

int gb_fsflags_set(int fd, unsigned flags)
{
	int value = (int)flags;

	return ioctl(fd, FS_IOC_SETFLAGS, &value) < 0 ? plain(errno) : 0;
}

int gb_fsflags_nocow(int fd, bool on)
{
	const unsigned compression = FS_COMPR_FL | FS_NOCOMP_FL;
	unsigned flags, now = 0;
	int r = gb_fsflags_get(fd, &flags);

	if (r < 0)
		return r;
	if (!!(flags & FS_NOCOW_FL) == on)
		return 0;
	/* Btrfs refuses NOCOW where either flag of compression stands, even when the same call takes it away: one after
	 * the other. */
	if (on && flags & compression)
		r = gb_fsflags_set(fd, flags & ~compression);
	if (r == 0)
		r = gb_fsflags_set(fd, on ? (flags | FS_NOCOW_FL) & ~compression : flags & ~(unsigned)FS_NOCOW_FL);
	if (r == 0)
		r = gb_fsflags_get(fd, &now);
	if (r < 0 || !!(now & FS_NOCOW_FL) != on) {
		if (on && flags & compression)
			(void)gb_fsflags_set(fd, flags);
	}
	if (r < 0)
		return r;
	return !!(now & FS_NOCOW_FL) == on ? 1 : -EBUSY;
}
