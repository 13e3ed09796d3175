/* SPDX-License-Identifier: MIT */
/* Dates in text. */
#ifndef GB_BASE_DATE_H
#define GB_BASE_DATE_H

#include <stdbool.h>
#include <stdint.h>

enum { GB_DATE_SIZE = 32 };

/* Seconds since 1970 as "2026-01-02T03:04:05", UTC: the caller adds what follows. False, and dst is "": too far away for
 * a year. Not strftime(3): with it a static program carries time zones and names of months. */
bool gb_date_text(char dst[GB_DATE_SIZE], int64_t seconds);

#endif
