/* SPDX-License-Identifier: MIT */
/* The headers of a tar archive (pax(1), tar(5) of libarchive). */
#include "common/sandbox/tar.h"

#include <errno.h>
#include <string.h>

#include "common/base/parse.h"

/* Where the fields of a header are. */
enum {
	NAME = 0, NAME_LEN = 100, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, SUM = 148, TYPE = 156, LINK = 157,
	LINK_LEN = 100, MAGIC = 257, PREFIX = 345, PREFIX_LEN = 155,
	SHORT = 8, LONG = 12, /* of number fields */
};

_Static_assert(PREFIX + PREFIX_LEN <= GB_TAR_BLOCK && GB_TAR_NAME > PREFIX_LEN + 1 + NAME_LEN && GB_TAR_LINK > 0 + LINK_LEN,
	       "fields of a header");

/* Octal digits between blanks and an end of blank or NUL; or, with the first bit set, a big-endian number (GNU's and
 * star's), negative when the second is set as well. */
static bool number(const unsigned char *field, size_t len, bool sign, int64_t *ret)
{
	size_t i = 0;
	uint64_t v = 0;

	if (field[0] & 0x80) {
		bool negative = field[0] & 0x40;
		if (negative && !sign)
			return false;
		v = negative ? UINT64_MAX : 0;
		for (; i < len; i++) {
			unsigned char byte = i ? field[i] : negative ? field[0] | 0x80 : field[0] & 0x7f;
			if ((v >> 55) != (negative ? 0x1ff : 0)) /* another byte would push out more than the sign */
				return false;
			v = v << 8 | byte;
		}
		*ret = (int64_t)v;
		return true;
	}
	while (i < len && (field[i] == ' ' || field[i] == '0'))
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++) {
		if (v >> 60)
			return false;
		v = v << 3 | (unsigned)(field[i] - '0');
	}
	for (; i < len; i++) {
		if (field[i] != ' ' && field[i] != '\0')
			return false;
	}
	*ret = (int64_t)v;
	return true;
}

static bool checked(const unsigned char *block)
{
	int64_t want;
	int64_t sum = 0, other = 0; /* some old ones added signed bytes */

	for (size_t i = 0; i < GB_TAR_BLOCK; i++) {
		unsigned char c = i >= SUM && i < SUM + SHORT ? ' ' : block[i];
		sum += c;
		other += (signed char)c;
	}
	return number(block + SUM, SHORT, false, &want) && (want == sum || want == other);
}

static size_t text(char *to, const unsigned char *field, size_t len)
{
	size_t n = strnlen((const char *)field, len);

	memcpy(to, field, n);
	to[n] = '\0';
	return n;
}

static int bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

int gb_tar_head(const unsigned char block[GB_TAR_BLOCK], struct gb_tar_head *ret_head, const char **ret_why)
{
	struct gb_tar_head head = { .type = (char)block[TYPE] };
	int64_t mode, uid, gid, size;
	size_t n = 0;

	while (n < GB_TAR_BLOCK && !block[n])
		n++;
	if (n == GB_TAR_BLOCK)
		return 1;
	if (!checked(block))
		return bad(ret_why, "no tar header (its sum is wrong)");
	if (!number(block + MODE, SHORT, false, &mode) || !number(block + UID, SHORT, false, &uid) ||
	    !number(block + GID, SHORT, false, &gid) || !number(block + SIZE, LONG, false, &size) ||
	    !number(block + MTIME, LONG, true, &head.mtime) || size > INT64_MAX / 2)
		return bad(ret_why, "a number of the header cannot be read");
	head.mode = (uint32_t)mode & 07777;
	head.uid = (uint64_t)uid;
	head.gid = (uint64_t)gid;
	head.size = (uint64_t)size;
	if (head.type == '\0' || head.type == '7')
		head.type = '0';
	/* A prefix is of ustar and pax only: GNU's format, with two blanks, has other things there. */
	n = memcmp(block + MAGIC, "ustar", 6) == 0 ? text(head.name, block + PREFIX, PREFIX_LEN) : 0;
	if (n)
		head.name[n++] = '/';
	(void)text(head.name + n, block + NAME, NAME_LEN);
	(void)text(head.link, block + LINK, LINK_LEN);
	/* Version 7 marks a folder by the slash at its end alone. */
	n = strlen(head.name);
	if (head.type == '0' && n && head.name[n - 1] == '/')
		head.type = '5';
	*ret_head = head;
	return 0;
}

long gb_tar_record(const char *data, size_t len, struct gb_tar_record *ret_record)
{
	size_t n = 0, i = 0;

	if (!len)
		return 0;
	for (; i < len && data[i] >= '0' && data[i] <= '9'; i++) {
		n = n * 10 + (size_t)(data[i] - '0');
		if (n > len)
			return -EBADMSG;
	}
	if (i == 0 || i == len || data[i] != ' ' || n < i + 4 || n > len || data[n - 1] != '\n')
		return -EBADMSG;
	const char *key = data + i + 1, *end = data + n - 1, *equal = memchr(key, '=', (size_t)(end - key));
	if (!equal || equal == key)
		return -EBADMSG;
	*ret_record = (struct gb_tar_record){
		.key = key, .key_len = (size_t)(equal - key), .value = equal + 1, .value_len = (size_t)(end - equal - 1),
	};
	return (long)n;
}

int gb_tar_time(const char *text, size_t len, int64_t *ret_seconds, long *ret_nsec)
{
	bool negative = len && text[0] == '-';
	size_t i = negative, whole = i;
	uint64_t seconds;
	long nsec = 0;

	while (whole < len && text[whole] != '.')
		whole++;
	if (!gb_parse_u64(text + i, whole - i, &seconds) || seconds > INT64_MAX / 2)
		return -EBADMSG;
	long unit = 100000000;
	for (i = whole + 1; i < len; i++, unit /= 10) {
		if (text[i] < '0' || text[i] > '9')
			return -EBADMSG;
		nsec += (text[i] - '0') * unit; /* digits behind the ninth count nothing */
	}
	*ret_seconds = negative ? -(int64_t)seconds : (int64_t)seconds;
	if (negative && nsec) { /* towards the past: the fraction is always forward */
		*ret_seconds -= 1;
		nsec = 1000000000 - nsec;
	}
	*ret_nsec = nsec;
	return 0;
}

int gb_tar_path(const char *name, size_t len, char path[GB_TAR_PATH], const char **ret_why)
{
	size_t at = 0, depth = 0;

	if (memchr(name, '\0', len))
		return bad(ret_why, "a NUL byte in the name");
	for (size_t i = 0; i < len;) {
		size_t n = 0;

		while (i + n < len && name[i + n] != '/')
			n++;
		if (n == 2 && name[i] == '.' && name[i + 1] == '.')
			return bad(ret_why, "\"..\" in the name");
		if (n > 255)
			return bad(ret_why, "a component of the name has more than 255 bytes");
		if (n && !(n == 1 && name[i] == '.')) {
			if (++depth > GB_TAR_DEPTH)
				return bad(ret_why, "nested too deeply");
			if (at + n + 2 > GB_TAR_PATH)
				return bad(ret_why, "the name is too long");
			if (at)
				path[at++] = '/';
			memcpy(path + at, name + i, n);
			at += n;
		}
		i += n + 1;
	}
	path[at] = '\0';
	return 0;
}

bool gb_tar_key_is(const struct gb_tar_record *r, const char *key)
{
	return r->key_len == strlen(key) && memcmp(r->key, key, r->key_len) == 0;
}

bool gb_tar_key_starts(const struct gb_tar_record *r, const char *prefix)
{
	return r->key_len > strlen(prefix) && memcmp(r->key, prefix, strlen(prefix)) == 0;
}
