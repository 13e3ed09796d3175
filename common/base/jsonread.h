/* SPDX-License-Identifier: MIT */
/* Reading JSON (RFC 8259): a text that was checked as a whole, and values as pieces of it. Pure; allocates nothing but the
 * strings it gives out. */
#ifndef GB_BASE_JSONREAD_H
#define GB_BASE_JSONREAD_H

#include <stdbool.h>
#include <stddef.h>

/* From the first byte of a value to behind its last. at NULL: there is none. */
struct gb_jsonread {
	const char *at, *end;
};

/* Checks the text: 0, or -EBADMSG (not JSON, nested more than 64 deep). Nothing else here looks at what is not checked. */
int gb_jsonread_text(const char *text, size_t len, struct gb_jsonread *ret_value);

/* Whether a value is there and of a kind: '{', '[', '"', or others by their first character. */
bool gb_jsonread_is(const struct gb_jsonread *value, char kind);

/* The member of an object; of several of one name the last. A value that is no object has none. */
struct gb_jsonread gb_jsonread_member(const struct gb_jsonread *object, const char *name);

/* The items of an array in turn: start with *item {0}; false behind the last. A value that is no array has none. */
bool gb_jsonread_next(const struct gb_jsonread *array, struct gb_jsonread *item);

/* A string: 0 with *ret_text (the caller frees it); -EBADMSG when it is no string, or one that a C string or a peer cannot
 * take: with a NUL, half a surrogate pair, bytes that are not UTF-8; -ENOMEM. */
int gb_jsonread_string(const struct gb_jsonread *value, char **ret_text);

#endif
