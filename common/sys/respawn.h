/* SPDX-License-Identifier: MIT */
/* How often a command that ends is started again. Pure. */
#ifndef GB_SYS_RESPAWN_H
#define GB_SYS_RESPAWN_H

#include <stdint.h>

#include "common/base/err.h"

enum { GB_RESPAWN_MAX = 100 };

/* At most `count` restarts in any span of `seconds`. */
struct gb_respawn {
	unsigned count, seconds;
	uint64_t at[GB_RESPAWN_MAX]; /* µs: the last restarts, a ring */
	unsigned long long total;
};

#define GB_RESPAWN_COUNT 5
#define GB_RESPAWN_SECONDS 60
/* A command that ran for a shorter time than this (µs) waits for as long before it is started again. */
#define GB_RESPAWN_PAUSE 1000000

/* "N/S", N from 1 to GB_RESPAWN_MAX, S from 1 to a day: 0 or -GB_E_USAGE. */
int gb_respawn_parse(const char *text, struct gb_respawn *ret_limit, struct gb_err *err);

/* A command that was started at `begun` ended at `now` (µs of one clock): the time to start it again at, which the limit
 * then counts, or -EBUSY when that would be one restart too many. */
int64_t gb_respawn_next(struct gb_respawn *limit, uint64_t begun, uint64_t now);

/* What to wait (ms) before a restart that is the nth in a row (from 1) of something that does not stay up: longer and
 * longer, up to ten seconds. */
unsigned gb_respawn_backoff(unsigned n);

#endif
