/* SPDX-License-Identifier: MIT */
/* JSON output. */
#include "common/base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/io.h"

/* The length of the UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF), or 0. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	static const struct { unsigned char lo, hi, min2, max2; unsigned char len; } form[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof form / sizeof form[0]; i++) {
		if (p[0] < form[i].lo || p[0] > form[i].hi)
			continue;
		if (form[i].len > left)
			return 0;
		if (form[i].len > 1 && (p[1] < form[i].min2 || p[1] > form[i].max2))
			return 0;
		for (size_t k = 2; k < form[i].len; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		}
		return form[i].len;
	}
	return 0;
}

static void quote(struct gb_buf *buf, const void *data, size_t len)
{
	const unsigned char *p = data;

	(void)gb_buf_str(buf, "\"");
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(p + i, len - i);

		if (n == 0)
			(void)gb_buf_str(buf, "\\ufffd");
		else if (p[i] == '"' || p[i] == '\\')
			(void)gb_buf_fmt(buf, "\\%c", p[i]);
		else if (p[i] == '\n')
			(void)gb_buf_str(buf, "\\n");
		else if (p[i] < 0x20 || p[i] == 0x7f)
			(void)gb_buf_fmt(buf, "\\u%04x", p[i]);
		else
			(void)gb_buf_add(buf, p + i, n);
		i += n ? n : 1;
	}
	(void)gb_buf_str(buf, "\"");
}

static void lead(struct gb_json *json, const char *key)
{
	if (json->comma)
		(void)gb_buf_str(&json->buf, ",");
	json->comma = true;
	if (key) {
		quote(&json->buf, key, strlen(key));
		(void)gb_buf_str(&json->buf, ":");
	}
}

void gb_json_open(struct gb_json *json, const char *key, char bracket)
{
	lead(json, key);
	(void)gb_buf_add(&json->buf, &bracket, 1);
	json->comma = false;
}

void gb_json_close(struct gb_json *json, char bracket)
{
	(void)gb_buf_add(&json->buf, &bracket, 1);
	json->comma = true;
}

void gb_json_mem(struct gb_json *json, const char *key, const void *value, size_t len)
{
	lead(json, key);
	quote(&json->buf, value, len);
}

void gb_json_str(struct gb_json *json, const char *key, const char *value)
{
	if (value) {
		gb_json_mem(json, key, value, strlen(value));
	} else {
		lead(json, key);
		(void)gb_buf_str(&json->buf, "null");
	}
}

void gb_json_int(struct gb_json *json, const char *key, int64_t value)
{
	lead(json, key);
	(void)gb_buf_fmt(&json->buf, "%" PRId64, value);
}

void gb_json_uint(struct gb_json *json, const char *key, uint64_t value)
{
	lead(json, key);
	(void)gb_buf_fmt(&json->buf, "%" PRIu64, value);
}

void gb_json_bool(struct gb_json *json, const char *key, bool value)
{
	lead(json, key);
	(void)gb_buf_str(&json->buf, value ? "true" : "false");
}

void gb_json_double(struct gb_json *json, const char *key, double value)
{
	lead(json, key);
	/* 15 digits: any decimal number of so many comes out as it was, 0.1 and not 0.10000000000000001. To look for a 16th
	 * or 17th that a computed one may have takes a scanner for floating point, 5 KB of the small binary. */
	if (isfinite(value))
		(void)gb_buf_fmt(&json->buf, "%.15g", value);
	else
		(void)gb_buf_str(&json->buf, "null");
}

int gb_json_flush(struct gb_json *json, int fd)
{
	int r = gb_buf_str(&json->buf, "\n");

	if (r == 0)
		r = gb_io_write(fd, json->buf.data, json->buf.len);
	gb_buf_free(&json->buf);
	json->comma = false;
	return r;
}

int gb_json_print(struct gb_json *json, struct gb_err *err)
{
	int r = fflush(stdout) != 0 ? -errno : 0, written = gb_json_flush(json, STDOUT_FILENO);

	r = r < 0 ? r : written;
	return r < 0 ? gb_err_sys(err, -r, "standard output") : 0;
}
