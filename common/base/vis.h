/* SPDX-License-Identifier: MIT */
/* How text of outside origin is shown on a terminal: no control byte gets through, nor one above 0x7f, in the notation of
 * vis(3); blanks and backslashes stay. Not libbsd's own: it asks the C library what the bytes are, and with musl those
 * above 0x7f are characters of the locale, which it let through. */
#ifndef GB_BASE_VIS_H
#define GB_BASE_VIS_H

#include <stddef.h>
#include <stdio.h>

enum { GB_VIS_SIZE = 5 }; /* what one byte may become, with the NUL */

/* Encodes one byte; returns where the NUL is. */
char *gb_vis(char *dst, char c);

/* Encodes what fits of text, and a NUL; no byte is encoded in part. */
void gb_vis_text(char *dst, size_t size, const char *text);

/* The same into a stream, all of it; whether it could be written, ferror(3) knows. */
void gb_vis_write(FILE *out, const char *text);

#endif
