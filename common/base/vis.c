/* SPDX-License-Identifier: MIT */
/* Outside text, encoded. */
#include "common/base/vis.h"

#include <stdio.h>
#include <string.h>

char *gb_vis(char *dst, char c)
{
	static const char named[] = "\a\b\t\n\v\f\r", letters[] = "abtnvfr";
	unsigned char low = (unsigned char)c & 0x7f;
	const char *at = NULL;

	if (c >= ' ' && c < 0x7f) {
		*dst++ = c;
	} else if (!c || (at = strchr(named, c))) {
		*dst++ = '\\';
		*dst++ = c ? letters[at - named] : '0';
	} else if (low == ' ') { /* 0xa0: "M- " would end in a blank */
		memcpy(dst, "\\240", GB_VIS_SIZE);
		return dst + GB_VIS_SIZE - 1;
	} else {
		if (c & 0x80)
			*dst++ = 'M';
		*dst++ = low < ' ' || low == 0x7f ? '^' : '-';
		*dst++ = (char)(low < ' ' || low == 0x7f ? low ^ 0x40 : low);
	}
	*dst = '\0';
	return dst;
}

void gb_vis_text(char *dst, size_t size, const char *text)
{
	char *end = dst + size;

	for (; *text; text++) {
		char one[GB_VIS_SIZE];
		size_t len = (size_t)(gb_vis(one, *text) - one);

		if (len >= (size_t)(end - dst))
			break;
		memcpy(dst, one, len);
		dst += len;
	}
	*dst = '\0';
}

void gb_vis_write(FILE *out, const char *text)
{
	char shown[GB_VIS_SIZE];

	for (; *text; text++) {
		size_t len = (size_t)(gb_vis(shown, *text) - shown);

		(void)fwrite(shown, 1, len, out);
	}
}
