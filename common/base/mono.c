/* SPDX-License-Identifier: MIT */
/* The monotonic clock. */
#include "common/base/mono.h"

#include <time.h>

uint64_t gb_mono_ns(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* fails only for a clock that there is not */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}
