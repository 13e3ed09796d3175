/* SPDX-License-Identifier: MIT */
/* Reading JSON. */
#include "common/base/jsonread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/utf8.h"

enum { DEPTH = 64 };

static const char *blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static long hex4(const char *p, const char *end)
{
	long v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		if (hex(p[i]) < 0)
			return -1;
		v = v << 4 | hex(p[i]);
	}
	return v;
}

/* Each: what is behind the value that starts at p, or NULL. */

static const char *skip_string(const char *p, const char *end)
{
	if (p == end || *p++ != '"')
		return NULL;
	for (; p < end && *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p != '\\')
			continue;
		if (++p == end || !*p || !strchr("\"\\/bfnrtu", *p) || (*p == 'u' && hex4(p + 1, end) < 0))
			return NULL;
		p += *p == 'u' ? 4 : 0;
	}
	return p < end ? p + 1 : NULL;
}

static const char *digits(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p > start ? p : NULL;
}

static const char *skip_number(const char *p, const char *end)
{
	if (p < end && *p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else if (!(p = digits(p, end)))
		return NULL;
	if (p < end && *p == '.' && !(p = digits(p + 1, end)))
		return NULL;
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		return digits(p, end);
	}
	return p;
}

static const char *skip_word(const char *p, const char *end)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < GB_ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(end - p) >= n && memcmp(p, words[i], n) == 0)
			return p + n;
	}
	return NULL;
}

static const char *skip(const char *p, const char *end, int depth);

static const char *skip_list(const char *p, const char *end, int depth)
{
	bool object = *p == '{';
	char close = object ? '}' : ']';

	if (depth == 0)
		return NULL;
	p = blanks(p + 1, end);
	if (p < end && *p == close)
		return p + 1;
	for (;;) {
		if (object) {
			p = skip_string(p, end);
			p = p ? blanks(p, end) : NULL;
			if (!p || p == end || *p != ':')
				return NULL;
			p = blanks(p + 1, end);
		}
		p = skip(p, end, depth - 1);
		p = p ? blanks(p, end) : NULL;
		if (!p || p == end || (*p != ',' && *p != close))
			return NULL;
		if (*p == close)
			return p + 1;
		p = blanks(p + 1, end);
	}
}

static const char *skip(const char *p, const char *end, int depth)
{
	if (p == end)
		return NULL;
	switch (*p) {
	case '{':
	case '[': return skip_list(p, end, depth);
	case '"': return skip_string(p, end);
	case 't':
	case 'f':
	case 'n': return skip_word(p, end);
	default: return skip_number(p, end);
	}
}

int gb_jsonread_text(const char *text, size_t len, struct gb_jsonread *ret_value)
{
	const char *end = text + len, *p = blanks(text, end), *behind = skip(p, end, DEPTH);

	if (!behind || blanks(behind, end) != end)
		return -EBADMSG;
	*ret_value = (struct gb_jsonread){ p, behind };
	return 0;
}

bool gb_jsonread_is(const struct gb_jsonread *value, char kind)
{
	return value->at && *value->at == kind;
}

/* A checked value that starts at p. */
static struct gb_jsonread value_at(const char *p, const char *end)
{
	return (struct gb_jsonread){ p, skip(p, end, DEPTH) };
}

/* Behind a value of a list, the start of the next one; NULL at the end. */
static const char *go_on(const char *p, const char *end)
{
	p = blanks(p, end);
	return p < end && *p == ',' ? blanks(p + 1, end) : NULL;
}

struct gb_jsonread gb_jsonread_member(const struct gb_jsonread *object, const char *name)
{
	struct gb_jsonread found = { 0 };
	const char *p = gb_jsonread_is(object, '{') ? blanks(object->at + 1, object->end) : NULL;
	size_t n = strlen(name);

	while (p && *p == '"') {
		struct gb_jsonread key = value_at(p, object->end), value;
		p = blanks(key.end, object->end);
		value = value_at(blanks(p + 1, object->end), object->end); /* behind the colon */
		/* No name that is asked for has anything to escape; one that is written with escapes is another's trick. */
		if ((size_t)(key.end - key.at) == n + 2 && memcmp(key.at + 1, name, n) == 0)
			found = value;
		p = go_on(value.end, object->end);
	}
	return found;
}

bool gb_jsonread_next(const struct gb_jsonread *array, struct gb_jsonread *item)
{
	const char *p;

	if (!gb_jsonread_is(array, '['))
		return false;
	p = item->at ? go_on(item->end, array->end) : blanks(array->at + 1, array->end);
	if (!p || *p == ']')
		return false;
	*item = value_at(p, array->end);
	return true;
}

static char *put_utf8(char *to, unsigned long c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* The escape behind a backslash at p, put down at *to: its last byte, or NULL. */
static const char *escape(const char *p, const char *end, char **to)
{
	static const char names[] = "bfnrt", means[] = "\b\f\n\r\t";
	const char *known = strchr(names, *p);

	if (*p != 'u') {
		*(*to)++ = known ? means[known - names] : *p;
		return p;
	}
	long c = hex4(p + 1, end), low = -1;
	p += 4;
	if (c >= 0xd800 && c < 0xdc00) {
		if (end - p > 6 && p[1] == '\\' && p[2] == 'u')
			low = hex4(p + 3, end);
		if (low < 0xdc00 || low > 0xdfff)
			return NULL;
		c = 0x10000 + (c - 0xd800) * 0x400 + (low - 0xdc00);
		p += 6;
	} else if (c == 0 || (c >= 0xdc00 && c <= 0xdfff)) {
		return NULL;
	}
	*to = put_utf8(*to, (unsigned long)c);
	return p;
}

int gb_jsonread_string(const struct gb_jsonread *value, char **ret_text)
{
	if (!gb_jsonread_is(value, '"'))
		return -EBADMSG;
	const char *end = value->end - 1;
	/* No escape is shorter than what it stands for. */
	char *text = malloc((size_t)(value->end - value->at)), *to = text;
	if (!text)
		return -ENOMEM;
	for (const char *p = value->at + 1; p < end; p++) {
		if (*p == '\\') {
			p = escape(p + 1, end, &to);
			if (p)
				continue;
		} else {
			size_t n = gb_utf8_len(p, (size_t)(end - p));
			memcpy(to, p, n);
			to += n;
			if (n) {
				p += n - 1;
				continue;
			}
		}
		free(text);
		return -EBADMSG;
	}
	*to = '\0';
	*ret_text = text;
	return 0;
}
