/* SPDX-License-Identifier: MIT */
/* A growing byte buffer, always NUL-terminated, with a sticky out-of-memory state. */
#ifndef GB_BASE_BUF_H
#define GB_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start with {0}; release with gb_buf_free() or declare gb_autobuf. data may be NULL while len is 0: use
 * gb_buf_text(). After a failed growth every call does nothing and failed stays true, so that a run of appends
 * needs one check at its end. */
struct gb_buf {
	char *data;
	size_t len;
	size_t size;
	bool failed;
};

void gb_buf_free(struct gb_buf *buf);
#define gb_autobuf __attribute__((cleanup(gb_buf_free)))

/* All return 0 or -ENOMEM. */
int gb_buf_add(struct gb_buf *buf, const void *data, size_t len);
int gb_buf_str(struct gb_buf *buf, const char *text);
int gb_buf_fmt(struct gb_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A number of bytes for people: "17 B", "1.9 MiB", "12 GiB" (powers of 1024). */
int gb_buf_human(struct gb_buf *buf, uint64_t bytes);
/* Makes room for len more bytes (and a NUL) behind data + len. */
int gb_buf_room(struct gb_buf *buf, size_t len);

/* Removes n bytes from the front. */
void gb_buf_eat(struct gb_buf *buf, size_t n);

/* The text, "" when empty; owned by buf. */
const char *gb_buf_text(const struct gb_buf *buf);

/* Moves the text out (never NULL unless out of memory); the caller frees it. */
char *gb_buf_take(struct gb_buf *buf);

#endif
