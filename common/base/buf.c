/* SPDX-License-Identifier: MIT */
/* The growing byte buffer. */
#include "common/base/buf.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gb_buf_free(struct gb_buf *buf)
{
	free(buf->data);
	*buf = (struct gb_buf){ 0 };
}

int gb_buf_room(struct gb_buf *buf, size_t len)
{
	if (buf->failed)
		return -ENOMEM;
	if (len < buf->size - buf->len && buf->size)
		return 0;
	if (len > SIZE_MAX / 4 || buf->len > SIZE_MAX / 4) {
		buf->failed = true;
		return -ENOMEM;
	}
	size_t want = buf->size ? buf->size : 64;
	while (want - buf->len <= len)
		want *= 2;
	char *grown = realloc(buf->data, want);
	if (!grown) {
		buf->failed = true;
		return -ENOMEM;
	}
	buf->data = grown;
	buf->size = want;
	buf->data[buf->len] = '\0';
	return 0;
}

int gb_buf_add(struct gb_buf *buf, const void *data, size_t len)
{
	int r = gb_buf_room(buf, len);

	if (r < 0)
		return r;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int gb_buf_str(struct gb_buf *buf, const char *text)
{
	return gb_buf_add(buf, text, strlen(text));
}

int gb_buf_fmt(struct gb_buf *buf, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	int r = n < 0 ? -ENOMEM : gb_buf_room(buf, (size_t)n);
	if (r == 0) {
		(void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
		buf->len += (size_t)n;
	}
	va_end(again);
	return r;
}

int gb_buf_human(struct gb_buf *buf, uint64_t bytes)
{
	char text[8]; /* four digits have no place in it: 1023 is "1.0 KiB" */

	if (humanize_number(text, sizeof text, bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes, "B", HN_AUTOSCALE,
			    HN_DECIMAL | HN_IEC_PREFIXES) < 0)
		return gb_buf_fmt(buf, "%" PRIu64 " B", bytes);
	return gb_buf_str(buf, text);
}

void gb_buf_eat(struct gb_buf *buf, size_t n)
{
	if (n > buf->len)
		n = buf->len;
	if (!n)
		return;
	memmove(buf->data, buf->data + n, buf->len - n);
	buf->len -= n;
	buf->data[buf->len] = '\0';
}

const char *gb_buf_text(const struct gb_buf *buf)
{
	return buf->data ? buf->data : "";
}

char *gb_buf_take(struct gb_buf *buf)
{
	if (gb_buf_room(buf, 0) < 0)
		return NULL;
	char *data = buf->data;
	*buf = (struct gb_buf){ 0 };
	return data;
}
