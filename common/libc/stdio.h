/* SPDX-License-Identifier: MIT */
/* <stdio.h> with renameat2(2), for a C library that has none (musl). */
#ifndef GB_LIBC_STDIO_H
#define GB_LIBC_STDIO_H

#include_next <stdio.h>

#ifndef HAVE_RENAMEAT2
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE /* include/uapi/linux/fs.h */
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE (1 << 1)
#define RENAME_WHITEOUT (1 << 2)
#endif

static inline int renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
	return (int)syscall(SYS_renameat2, from_dirfd, from, to_dirfd, to, flags);
}
#endif

#endif
