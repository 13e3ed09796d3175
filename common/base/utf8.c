/* SPDX-License-Identifier: MIT */
/* UTF-8. */
#include "common/base/utf8.h"

size_t gb_utf8_len(const void *text, size_t left)
{
	const unsigned char *s = text;
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

bool gb_utf8_is(const void *text, size_t len)
{
	const char *p = text;

	for (size_t n; len; p += n, len -= n) {
		n = gb_utf8_len(p, len);
		if (n == 0)
			return false;
	}
	return true;
}

void gb_utf8_mend(char *text, size_t len)
{
	for (size_t n; len; text += n, len -= n) {
		n = gb_utf8_len(text, len);
		if (n == 0) {
			*text = '?';
			n = 1;
		}
	}
}
