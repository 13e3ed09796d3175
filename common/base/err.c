/* SPDX-License-Identifier: MIT */
/* The error object. */
#undef GB_ANALYSIS /* the functions themselves are meant here */
#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/vis.h"

/* The encoded length of one byte. */
static size_t width(char c)
{
	char one[GB_VIS_SIZE];

	return (size_t)(gb_vis(one, c) - one);
}

/* Encodes text into dst; one that does not fit keeps its first and its last part around "...". */
static void store(char *dst, size_t size, const char *text)
{
	size_t len = strlen(text), room = size - 1, whole = 0, i = 0;
	char *out = dst;

	for (size_t k = 0; k < len; k++)
		whole += width(text[k]);
	size_t head = whole <= room ? room : room / 2;
	for (; i < len && (size_t)(out - dst) + width(text[i]) <= head; i++)
		out = gb_vis(out, text[i]);
	if (i < len) {
		size_t from = len, used = (size_t)(out - dst) + 3;

		while (from > i && used + width(text[from - 1]) <= room)
			used += width(text[--from]);
		out = memcpy(out, "...", 3);
		for (out += 3; from < len; from++)
			out = gb_vis(out, text[from]);
	}
	*out = '\0';
}

static void format(struct gb_err *err, const char *suffix, const char *fmt, va_list ap)
{
	/* Twice PATH_MAX and some words: two objects of full length still keep their reason. */
	char text[8192 + 512];
	int n = vsnprintf(text, sizeof text, fmt, ap);

	if (n < 0)
		text[0] = '\0';
	size_t len = strnlen(text, sizeof text - 1);
	if (suffix && len + strlen(suffix) + 3 > sizeof text)
		len = sizeof text - strlen(suffix) - 3;
	if (suffix)
		(void)snprintf(text + len, sizeof text - len, ": %s", suffix);
	store(err->msg, sizeof err->msg, text);
}

int gb_err_set(struct gb_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;

		va_start(ap, fmt);
		format(err, NULL, fmt, ap);
		va_end(ap);
		err->code = code;
	}
	return -code;
}

int gb_err_sys(struct gb_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;

		va_start(ap, fmt);
		format(err, strerror(code), fmt, ap);
		va_end(ap);
		err->code = code;
	}
	return -code;
}

int gb_err_wrap(struct gb_err *err, const char *fmt, ...)
{
	if (!err)
		return -1;
	char old[sizeof err->msg];
	va_list ap;

	memcpy(old, err->msg, sizeof old);
	va_start(ap, fmt);
	format(err, old, fmt, ap);
	va_end(ap);
	return -err->code;
}

int gb_err_status(const struct gb_err *err)
{
	switch (err->code) {
	case 0:
	case GB_E_HELP:
	case GB_E_VERSION:
		return 0;
	case GB_E_USAGE:
		return 2;
	case GB_E_REFUSED:
		return 3;
	default:
		return 1;
	}
}
