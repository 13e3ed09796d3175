/* SPDX-License-Identifier: MIT */
/* libblkid: the signatures of file systems and partition tables. */
#ifndef GB_SYS_BLKID_H
#define GB_SYS_BLKID_H

#include <blkid.h>

#endif
