/* SPDX-License-Identifier: MIT */
/* The monotonic clock: what time limits, timers and the boot's timeline go by. Zero is the kernel's start; it stands still
 * while the machine is suspended, and nobody sets it (clock_gettime(2), CLOCK_MONOTONIC). */
#ifndef GB_BASE_MONO_H
#define GB_BASE_MONO_H

#include <stdint.h>

/* Its time in nanoseconds, microseconds and milliseconds. */
uint64_t gb_mono_ns(void);

static inline uint64_t gb_mono_us(void)
{
	return gb_mono_ns() / 1000;
}

static inline uint64_t gb_mono_ms(void)
{
	return gb_mono_ns() / 1000000;
}

#endif
