/* SPDX-License-Identifier: MIT */
/* libmd: SHA-256. */
#ifndef GB_SYS_SHA256_H
#define GB_SYS_SHA256_H

#include <sha256.h>

#endif
