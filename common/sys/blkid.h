/* SPDX-License-Identifier: MIT */
/* libblkid: the signatures of file systems and partition tables. */
#ifndef GB_SYS_BLKID_H
#define GB_SYS_BLKID_H

#include <blkid.h>

static inline void gb_blkid_free(blkid_probe *probe)
{
	blkid_free_probe(*probe);
}
#define gb_autoblkid __attribute__((cleanup(gb_blkid_free)))

#endif
