/* SPDX-License-Identifier: MIT */
/* Which process is meant, written down so that a later program finds it again and never takes another for it. */
#ifndef GB_SYS_PIDREC_H
#define GB_SYS_PIDREC_H

#include <sys/types.h>

#include "common/sys/proc.h"

/* Which boot this is, in words of no blanks; "-" when the kernel does not say. */
enum { GB_BOOT_ID = 40 };
void gb_pidrec_boot_id(char boot[GB_BOOT_ID]);

/* "PID START BOOT\n": the process's number and start time, and the boot that they are of. Pure; 0 or -EINVAL. */
int gb_pidrec_parse(const char *text, const char *boot, pid_t *ret_pid, uint64_t *ret_start);

/* Writes down a process that runs now, in one step: 0 or -errno. */
int gb_pidrec_write(const char *path, const struct gb_proc *proc);

/* The process that path is about: 0 and it runs; -ESRCH: it has ended; -ENOENT: nothing is written down (nothing of this
 * boot, nothing that can be read). */
int gb_pidrec_read(const char *path, struct gb_proc *ret_proc);

#endif
