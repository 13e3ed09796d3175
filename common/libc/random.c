/* SPDX-License-Identifier: MIT */
/* arc4random(3) for a C library that has none, as glibc has it since 2.36: the kernel's own generator, nothing kept. Stands
 * before libbsd's, which carries a cipher, a hash and a way to do without a kernel that has getrandom(2). */
#include <bsd/stdlib.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#ifndef HAVE_ARC4RANDOM

void arc4random_buf(void *dst, size_t size)
{
	for (unsigned char *at = dst, *end = at + size; at < end;) {
		ssize_t n = getrandom(at, (size_t)(end - at), 0);

		if (n < 0 && errno != EINTR)
			abort(); /* its callers make names that nobody may guess, and cannot be told */
		if (n > 0)
			at += n;
	}
}

uint32_t arc4random(void)
{
	uint32_t word;

	arc4random_buf(&word, sizeof word);
	return word;
}

#endif
