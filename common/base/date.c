/* SPDX-License-Identifier: MIT */
/* Dates in text. */
#include "common/base/date.h"

#include <stdio.h>
#include <time.h>

bool gb_date_text(char dst[GB_DATE_SIZE], int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	dst[0] = '\0';
	if (!gmtime_r(&t, &tm))
		return false;
	int n = snprintf(dst, GB_DATE_SIZE, "%04lld-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900LL, tm.tm_mon + 1, tm.tm_mday,
			 tm.tm_hour, tm.tm_min, tm.tm_sec);
	return n < GB_DATE_SIZE;
}
