/* SPDX-License-Identifier: MIT */
/* Numbers from command lines and files. */
#include "common/base/parse.h"

#include <bsd/stdlib.h>
#include <ctype.h>
#include <string.h>

int gb_parse_size(const char *text, const char *what, uint64_t *ret_bytes, struct gb_err *err)
{
	/* expand_number(3) would also take signs, blanks, octal and hex, and P and E. */
	size_t digits = strspn(text, "0123456789");
	uint64_t value = 0;
	unsigned shift = 0;

	if (digits == 0)
		goto bad;
	if (text[digits]) {
		switch (toupper((unsigned char)text[digits])) {
		case 'K': shift = 10; break;
		case 'M': shift = 20; break;
		case 'G': shift = 30; break;
		case 'T': shift = 40; break;
		default: goto bad;
		}
		if (text[digits + 1])
			goto bad;
	}
	for (size_t i = 0; i < digits; i++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			goto big;
	}
	if (value > UINT64_MAX >> shift)
		goto big;
	*ret_bytes = value << shift;
	return 0;
big:
	return gb_err_set(err, GB_E_USAGE, "%s \"%s\" is too large", what, text);
bad:
	return gb_err_set(err, GB_E_USAGE, "%s \"%s\" is no size (digits, then K, M, G or T)", what, text);
}

int gb_parse_number(const char *text, const char *what, long long min, long long max, long long *ret_value,
		    struct gb_err *err)
{
	const char *why = NULL;
	/* strtonum(3) skips leading blanks; nobody means to write them. */
	long long value = isspace((unsigned char)text[0]) ? (why = "invalid", 0) : strtonum(text, min, max, &why);

	if (why)
		return gb_err_set(err, GB_E_USAGE, "%s \"%s\" is no whole number from %lld to %lld", what, text, min, max);
	*ret_value = value;
	return 0;
}

int gb_parse_seconds(const char *text, const char *what, uint64_t max_ms, uint64_t *ret_ms, struct gb_err *err)
{
	size_t whole = strspn(text, "0123456789");
	uint64_t ms = 0, unit = 1000;
	const char *p = text + whole;

	if (whole == 0 && *p != '.')
		goto bad;
	for (size_t i = 0; i < whole; i++) {
		if (__builtin_mul_overflow(ms, 10, &ms) || __builtin_add_overflow(ms, (uint64_t)(text[i] - '0'), &ms))
			goto big;
	}
	if (__builtin_mul_overflow(ms, 1000, &ms))
		goto big;
	if (*p == '.') {
		if (!isdigit((unsigned char)*++p))
			goto bad;
		for (; isdigit((unsigned char)*p); p++) {
			unit /= 10;
			uint64_t add = unit * (uint64_t)(*p - '0');
			if (__builtin_add_overflow(ms, add, &ms))
				goto big;
		}
	}
	if (*p)
		goto bad;
	if (ms > max_ms)
		goto big;
	*ret_ms = ms;
	return 0;
big:
	return gb_err_set(err, GB_E_USAGE, "%s \"%s\" is over %llu s", what, text, (unsigned long long)(max_ms / 1000));
bad:
	return gb_err_set(err, GB_E_USAGE, "%s \"%s\" is no time in seconds", what, text);
}

bool gb_parse_u64(const char *text, size_t len, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			return false;
	}
	if (len == 0)
		return false;
	*ret_value = value;
	return true;
}

bool gb_parse_u32(const char *text, size_t len, uint32_t *ret_value)
{
	uint64_t value;

	if (!gb_parse_u64(text, len, &value) || value > UINT32_MAX)
		return false;
	*ret_value = (uint32_t)value;
	return true;
}
