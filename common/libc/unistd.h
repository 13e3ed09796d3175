/* SPDX-License-Identifier: MIT */
/* <unistd.h> with close_range(2), for a C library that has none (musl). */
#ifndef GB_LIBC_UNISTD_H
#define GB_LIBC_UNISTD_H

#include_next <unistd.h>

#ifndef HAVE_CLOSE_RANGE
#include <sys/syscall.h>

static inline int close_range(unsigned first, unsigned last, int flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}
#endif

#endif
