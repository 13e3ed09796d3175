/* SPDX-License-Identifier: MIT */
/* The kernel command line: words and their values. */
#ifndef GB_SYS_CMDLINE_H
#define GB_SYS_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

/* Reads /proc/cmdline (or the file named by the environment's GUESTBOX_CMDLINE, for tests): 0 or -errno. */
int gb_cmdline_read(struct gb_buf *buf);

/* One word at a time, as the kernel's next_arg() splits them (lib/cmdline.c): blanks separate, double quotes hold
 * blanks together and are removed, everything from a "--" word on is for init and ends the pass. Pure. *pos starts
 * at 0. Writes key and value (value NULL when there is no "=") into the caller's buffer of `size` bytes; a word that
 * does not fit is passed over. Returns false at the end. */
bool gb_cmdline_next(const char *text, size_t *pos, char *word, size_t size, const char **ret_key,
		     const char **ret_value);

/* The last non-empty value of key, copied to value: its length, -ENAMETOOLONG, or -ENOENT (for a key without "=", too). */
int gb_cmdline_value(const char *text, const char *key, char *value, size_t size);

#endif
