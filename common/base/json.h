/* SPDX-License-Identifier: MIT */
/* JSON output: values are appended to a buffer, commas and escapes are put in by themselves. */
#ifndef GB_BASE_JSON_H
#define GB_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/* Start with {0}. Every function takes a key, which is NULL inside a list and for the outermost value. Nesting is
 * bounded only by the program's own calls. Bytes that are not UTF-8 are written as U+FFFD, so the output is always
 * valid JSON (RFC 8259, section 8.1). */
struct gb_json {
	struct gb_buf buf;
	bool comma;
};

void gb_json_open(struct gb_json *json, const char *key, char bracket); /* '{' or '[' */
void gb_json_close(struct gb_json *json, char bracket);                 /* '}' or ']' */
void gb_json_str(struct gb_json *json, const char *key, const char *value); /* NULL writes null */
void gb_json_mem(struct gb_json *json, const char *key, const void *value, size_t len);
void gb_json_int(struct gb_json *json, const char *key, int64_t value);
void gb_json_uint(struct gb_json *json, const char *key, uint64_t value);
void gb_json_bool(struct gb_json *json, const char *key, bool value);
/* Not a number and infinities, which JSON has not, are written as null. */
void gb_json_double(struct gb_json *json, const char *key, double value);

/* Writes the text and a newline to fd: 0, -ENOMEM if any append failed, or -errno. Releases the buffer. */
int gb_json_flush(struct gb_json *json, int fd);

/* The same to standard output, behind what stdio(3) holds for it: 0, or -errno with err set. */
int gb_json_print(struct gb_json *json, struct gb_err *err);

#endif
