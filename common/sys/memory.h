/* SPDX-License-Identifier: MIT */
/* What a process that mostly waits keeps in memory. */
#ifndef GB_SYS_MEMORY_H
#define GB_SYS_MEMORY_H

/* Lets go of the program's pages that were never written: code and constants, most of which only the start needed. Those
 * that are needed again come back from the page cache, one cheap fault each. From here on free(3) gives large blocks back to
 * the system. */
void gb_memory_settle(void);

#endif
