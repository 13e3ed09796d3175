/* SPDX-License-Identifier: MIT */
/* UTF-8 (RFC 3629). */
#ifndef GB_BASE_UTF8_H
#define GB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes the character at text has, of which `left` are there: 1 to 4, or 0 when it is none: cut off, longer than
 * need be, half of a surrogate pair, above U+10FFFF. left is not 0. */
size_t gb_utf8_len(const void *text, size_t left);

/* Whether it is UTF-8 from beginning to end. */
bool gb_utf8_is(const void *text, size_t len);

/* Makes it so: each byte of no character becomes a question mark. */
void gb_utf8_mend(char *text, size_t len);

#endif
