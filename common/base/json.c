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
#include "common/base/utf8.h"

static void quote(struct gb_buf *buf, const void *data, size_t len)
{
	const unsigned char *p = data;

	(void)gb_buf_str(buf, "\"");
	for (size_t i = 0; i < len;) {
		size_t n = gb_utf8_len(p + i, len - i);

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
