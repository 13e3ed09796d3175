/* SPDX-License-Identifier: MIT */
/* Numbers that are lent. */
#include "common/sandbox/numbers.h"

#include <errno.h>

static bool in_range(const struct gb_numbers *numbers, uint32_t n)
{
	return n >= numbers->first && n - numbers->first < numbers->count && n < GB_NUMBERS_MAX;
}

int gb_numbers_take(struct gb_numbers *numbers)
{
	for (uint32_t word = numbers->first / 64; word < GB_NUMBERS_MAX / 64; word++) {
		if (numbers->taken[word] == UINT64_MAX)
			continue;
		for (uint32_t n = word * 64; n < word * 64 + 64; n++) {
			if (in_range(numbers, n) && gb_numbers_claim(numbers, n) == 0)
				return (int)n;
		}
	}
	return -ENOSPC;
}

int gb_numbers_claim(struct gb_numbers *numbers, uint32_t n)
{
	if (!in_range(numbers, n))
		return -ERANGE;
	uint64_t bit = (uint64_t)1 << n % 64;
	if (numbers->taken[n / 64] & bit)
		return -EBUSY;
	numbers->taken[n / 64] |= bit;
	return 0;
}

bool gb_numbers_release(struct gb_numbers *numbers, uint32_t n)
{
	uint64_t bit = (uint64_t)1 << n % 64;

	if (!in_range(numbers, n) || !(numbers->taken[n / 64] & bit))
		return false;
	numbers->taken[n / 64] &= ~bit;
	return true;
}
