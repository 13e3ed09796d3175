/* SPDX-License-Identifier: MIT */
/* <sys/stat.h> with statx(2), for a C library that has none (musl before 1.2.5). */
#ifndef GB_LIBC_SYS_STAT_H
#define GB_LIBC_SYS_STAT_H

#include_next <sys/stat.h>

#ifndef HAVE_STATX
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *ret_st)
{
	return (int)syscall(SYS_statx, dirfd, path, flags, mask, ret_st);
}
#endif

#endif
