/* SPDX-License-Identifier: MIT */
/* Whether a text is JSON (RFC 8259): for targets whose output a program will read. */
#ifndef GB_FUZZ_JSON_H
#define GB_FUZZ_JSON_H

#include <stdbool.h>
#include <string.h>

static inline const char *fuzz_json_blank(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Behind the string at p, or NULL. */
static inline const char *fuzz_json_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		p++;
		if (*p == 'u' && strspn(p + 1, "0123456789abcdefABCDEF") >= 4)
			p += 4;
		else if (!*p || !strchr("\"\\/bfnrt", *p))
			return NULL;
	}
	return p + 1;
}

static inline const char *fuzz_json_number(const char *p)
{
	size_t n;

	p += *p == '-';
	n = strspn(p, "0123456789");
	if (n == 0 || (n > 1 && *p == '0'))
		return NULL;
	p += n;
	if (*p == '.') {
		n = strspn(++p, "0123456789");
		p += n;
		if (n == 0)
			return NULL;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '+' || *p == '-';
		n = strspn(p, "0123456789");
		p += n;
		if (n == 0)
			return NULL;
	}
	return p;
}

/* Behind the value at p, or NULL; depth is what nesting is left. */
static inline const char *fuzz_json_value(const char *p, int depth)
{
	p = fuzz_json_blank(p);
	if (*p == '"')
		return fuzz_json_string(p);
	if (strncmp(p, "true", 4) == 0 || strncmp(p, "null", 4) == 0)
		return p + 4;
	if (strncmp(p, "false", 5) == 0)
		return p + 5;
	if (*p != '{' && *p != '[')
		return fuzz_json_number(p);
	char close = *p == '{' ? '}' : ']';
	bool object = *p == '{';
	p = fuzz_json_blank(p + 1);
	if (*p == close)
		return p + 1;
	for (;; p = fuzz_json_blank(p + 1)) {
		if (object) {
			p = fuzz_json_string(p);
			p = p ? fuzz_json_blank(p) : NULL;
			if (!p || *p++ != ':')
				return NULL;
		}
		p = depth ? fuzz_json_value(p, depth - 1) : NULL;
		p = p ? fuzz_json_blank(p) : NULL;
		if (!p || (*p != ',' && *p != close))
			return NULL;
		if (*p == close)
			return p + 1;
	}
}

static inline bool fuzz_is_json(const char *text)
{
	const char *end = fuzz_json_value(text, 64);

	return end && !*fuzz_json_blank(end);
}

#endif
