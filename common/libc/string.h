/* SPDX-License-Identifier: MIT */
/* <string.h> with strerrorname_np(3), for a C library that has none (musl). */
#ifndef GB_LIBC_STRING_H
#define GB_LIBC_STRING_H

#include_next <string.h>

#ifndef HAVE_STRERRORNAME_NP
/* "EINVAL" for EINVAL; NULL for a number that Linux has no name for. */
const char *strerrorname_np(int code);
#endif

#endif
