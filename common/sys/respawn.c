/* SPDX-License-Identifier: MIT */
/* How often a command is started again. */
#include "common/sys/respawn.h"

#include <bsd/string.h>
#include <errno.h>
#include <string.h>

#include "common/base/parse.h"

int gb_respawn_parse(const char *text, struct gb_respawn *ret_limit, struct gb_err *err)
{
	char left[32];
	const char *slash = strchr(text, '/');
	long long count, seconds;
	int r;

	if (!slash || (size_t)(slash - text) >= sizeof left)
		return gb_err_set(err, GB_E_USAGE, "respawn \"%s\": not N/S, as in 5/60", text);
	(void)strlcpy(left, text, (size_t)(slash - text) + 1);
	r = gb_parse_number(left, "respawn", 1, GB_RESPAWN_MAX, &count, err);
	if (r == 0)
		r = gb_parse_number(slash + 1, "respawn", 1, 86400, &seconds, err);
	if (r == 0)
		*ret_limit = (struct gb_respawn){ .count = (unsigned)count, .seconds = (unsigned)seconds };
	return r;
}

int64_t gb_respawn_next(struct gb_respawn *limit, uint64_t begun, uint64_t now)
{
	uint64_t at = now - begun < GB_RESPAWN_PAUSE ? now + GB_RESPAWN_PAUSE : now;
	uint64_t *oldest = &limit->at[limit->total % limit->count];

	if (limit->total >= limit->count && at - *oldest < (uint64_t)limit->seconds * 1000000)
		return -EBUSY;
	*oldest = at;
	limit->total++;
	return (int64_t)at;
}

unsigned gb_respawn_backoff(unsigned n)
{
	unsigned ms = 250;

	while (n-- > 1 && ms < 10000)
		ms *= 2;
	return ms < 10000 ? ms : 10000;
}
