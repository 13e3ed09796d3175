/* SPDX-License-Identifier: MIT */
/* Numbers that are lent: the lowest free one first. Pure. */
#ifndef GB_SANDBOX_NUMBERS_H
#define GB_SANDBOX_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

enum { GB_NUMBERS_MAX = 65536 };

/* Start with {.first, .count}: numbers from first, count of them (first + count <= GB_NUMBERS_MAX). */
struct gb_numbers {
	uint32_t first, count;
	uint64_t taken[GB_NUMBERS_MAX / 64];
};

/* The lowest free number, taken now; -ENOSPC. */
int gb_numbers_take(struct gb_numbers *numbers);
/* Takes this one: 0, -EBUSY, or -ERANGE. */
int gb_numbers_claim(struct gb_numbers *numbers, uint32_t n);
/* Gives it back. Whoever calls owns it; false when it was free, which is a fault of the program. */
bool gb_numbers_release(struct gb_numbers *numbers, uint32_t n);

#endif
