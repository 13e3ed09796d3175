/* SPDX-License-Identifier: MIT */
/* The kernel command line. */
#include "common/sys/cmdline.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/io.h"

/* COMMAND_LINE_SIZE is 2048 or 4096 on every architecture of interest; bootconfig may add to it. */
enum { CMDLINE_MAX = 65536, WORD_MAX_LEN = 4096 };

int gb_cmdline_read(struct gb_buf *buf)
{
	const char *path = getenv("GUESTBOX_CMDLINE");

	return gb_io_slurp(AT_FDCWD, path && *path ? path : "/proc/cmdline", CMDLINE_MAX, buf);
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

bool gb_cmdline_next(const char *text, size_t *pos, char *word, size_t size, const char **ret_key,
		     const char **ret_value)
{
	for (;;) {
		while (blank(text[*pos]))
			(*pos)++;
		if (!text[*pos])
			return false;

		size_t n = 0, equals = 0;
		bool quoted = false, fits = true;
		for (; text[*pos] && (quoted || !blank(text[*pos])); (*pos)++) {
			char c = text[*pos];
			if (c == '"') {
				quoted = !quoted;
				continue;
			}
			if (c == '=' && !equals)
				equals = n + 1;
			if (n + 1 < size)
				word[n] = c;
			else
				fits = false;
			n++;
		}
		if (!fits)
			continue;
		word[n] = '\0';
		if (strcmp(word, "--") == 0)
			return false;
		*ret_value = NULL;
		if (equals) {
			word[equals - 1] = '\0';
			*ret_value = word + equals;
		}
		*ret_key = word;
		return true;
	}
}

int gb_cmdline_value(const char *text, const char *key, char *value, size_t size)
{
	char word[WORD_MAX_LEN];
	const char *k, *v;
	size_t pos = 0;
	int r = -ENOENT;

	while (gb_cmdline_next(text, &pos, word, sizeof word, &k, &v)) {
		if (v && *v && strcmp(k, key) == 0)
			r = strlen(v) < size ? (int)strlcpy(value, v, size) : -ENAMETOOLONG;
	}
	return r;
}
