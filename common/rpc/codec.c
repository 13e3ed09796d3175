/* SPDX-License-Identifier: MIT */
/* Protobuf messages between the wire and the structs that their types describe. */
#include <bsd/stdlib.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/pb.h"

enum { DEPTH_MAX = 8 };

const char gb_pb_empty[] = "";

static const struct gb_pb_field entry_fields[] = {
	{ "key", 1, offsetof(struct gb_pb_entry, key), 0, GB_PB_STRING, 0 },
	{ "value", 2, offsetof(struct gb_pb_entry, value), 0, GB_PB_STRING, 0 },
};
const struct gb_pb_type gb_pb_entry__descriptor = { "Entry", entry_fields, NULL, sizeof(struct gb_pb_entry), 2 };

struct cursor {
	const unsigned char *at, *end;
};

/* ---- members of the structs ---- */

static const uint8_t widths[] = {
	[GB_PB_STRING] = sizeof(char *), [GB_PB_BYTES] = sizeof(struct gb_pb_bytes), [GB_PB_MESSAGE] = sizeof(void *),
	[GB_PB_BOOL] = sizeof(bool), [GB_PB_INT32] = sizeof(int32_t), [GB_PB_UINT32] = sizeof(uint32_t),
	[GB_PB_INT64] = sizeof(int64_t), [GB_PB_UINT64] = sizeof(uint64_t), [GB_PB_DOUBLE] = sizeof(double),
};

static bool is_number(const struct gb_pb_field *field)
{
	return field->kind >= GB_PB_BOOL;
}

/* Pointers of whatever type. */
static void *pointer(const void *at)
{
	void *p;

	memcpy(&p, at, sizeof p);
	return p;
}

static void set_pointer(void *at, const void *p)
{
	memcpy(at, &p, sizeof p);
}

size_t gb_pb_count(const struct gb_pb_message *message, const struct gb_pb_field *field)
{
	return field->count ? *(const size_t *)(const void *)((const char *)message + field->count) : 1;
}

const void *gb_pb_at(const struct gb_pb_message *message, const struct gb_pb_field *field, size_t i)
{
	const char *at = (const char *)message + field->offset;

	return field->count ? (const char *)pointer(at) + i * widths[field->kind] : at;
}

const struct gb_pb_message *gb_pb_inner(const void *at)
{
	return pointer(at);
}

const char *gb_pb_string(const void *at)
{
	return pointer(at);
}

uint64_t gb_pb_number(const struct gb_pb_field *field, const void *at)
{
	uint64_t wide;

	switch (field->kind) {
	case GB_PB_BOOL: return *(const bool *)at;
	case GB_PB_INT32: return (uint64_t)(int64_t)*(const int32_t *)at;
	case GB_PB_UINT32: return *(const uint32_t *)at;
	default: memcpy(&wide, at, sizeof wide); return wide;
	}
}

static void set_number(const struct gb_pb_field *field, void *at, uint64_t value)
{
	switch (field->kind) {
	case GB_PB_BOOL: *(bool *)at = value != 0; break;
	case GB_PB_INT32:
	case GB_PB_UINT32: *(uint32_t *)at = (uint32_t)value; break;
	default: memcpy(at, &value, sizeof value);
	}
}

/* Where the next value goes, released or zero; NULL: out of memory. A list has room for as many as the next power of two. */
static void *place(struct gb_pb_message *message, const struct gb_pb_field *field)
{
	char *at = (char *)message + field->offset;
	size_t width = widths[field->kind];

	if (!field->count)
		return at;
	size_t *count = (void *)((char *)message + field->count);
	char *list = pointer(at);
	if ((*count & (*count - 1)) == 0) {
		list = reallocarray(list, *count ? 2 * *count : 1, width);
		if (!list)
			return NULL;
		set_pointer(at, list);
	}
	return memset(list + (*count)++ * width, 0, width);
}

static void release_value(const struct gb_pb_field *field, const void *at)
{
	if (field->kind == GB_PB_STRING && pointer(at) != gb_pb_empty)
		free(pointer(at));
	if (field->kind == GB_PB_BYTES)
		free(((const struct gb_pb_bytes *)at)->data);
	if (field->kind == GB_PB_MESSAGE)
		gb_pb_release(pointer(at));
}

void gb_pb_release(void *message)
{
	struct gb_pb_message *m = message;

	for (unsigned f = 0; m && f < m->type->len; f++) {
		const struct gb_pb_field *field = &m->type->fields[f];
		for (size_t i = 0; i < gb_pb_count(m, field); i++)
			release_value(field, gb_pb_at(m, field, i));
		if (field->count)
			free(pointer((const char *)m + field->offset));
	}
	free(m);
}

void gb_pb_free(struct gb_pb_message **message)
{
	gb_pb_release(*message);
	*message = NULL;
}

void gb_pb_init(const struct gb_pb_type *type, void *message)
{
	struct gb_pb_message *m = memset(message, 0, type->size);

	m->type = type;
	for (unsigned f = 0; f < type->len; f++) {
		if (type->fields[f].kind == GB_PB_STRING && !type->fields[f].count)
			set_pointer((char *)m + type->fields[f].offset, gb_pb_empty);
	}
}

static struct gb_pb_message *new_message(const struct gb_pb_type *type)
{
	struct gb_pb_message *m = malloc(type->size);

	if (m)
		gb_pb_init(type, m);
	return m;
}

/* ---- from the wire ---- */

static bool varint(struct cursor *c, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && c->at < c->end; shift += 7) {
		unsigned char b = *c->at++;
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned char c = p[i];
		size_t n = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;

		if (n == 0 || n > len - i)
			return false;
		for (size_t k = 1; k < n; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
		}
		if (n > 2) {
			unsigned char second = p[i + 1];
			if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
			    (c == 0xf4 && second > 0x8f))
				return false;
		}
		i += n;
	}
	return true;
}

/* How one value of a field stands on the wire. */
static unsigned wire_of(const struct gb_pb_field *field)
{
	return !is_number(field) ? GB_PB_LEN : field->kind == GB_PB_DOUBLE ? GB_PB_64BIT : GB_PB_VARINT;
}

/* A value, if it is no bytes, or how many bytes follow. */
static bool value_of(struct cursor *c, unsigned wire, uint64_t *ret)
{
	size_t size = wire == GB_PB_64BIT ? 8 : 4;

	if (wire == GB_PB_VARINT || wire == GB_PB_LEN)
		return varint(c, ret);
	if (size > (size_t)(c->end - c->at))
		return false;
	*ret = 0;
	memcpy(ret, c->at, size);
	*ret = le64toh(*ret);
	c->at += size;
	return true;
}

static const struct gb_pb_field *find(const struct gb_pb_type *type, uint64_t number)
{
	for (unsigned f = 0; f < type->len; f++) {
		if (type->fields[f].number == number)
			return &type->fields[f];
	}
	return NULL;
}

static int cut_off(const struct gb_pb_type *type, const char *name, struct gb_err *err)
{
	return gb_err_set(err, EBADMSG, "%s.%s: cut off", type->name, name);
}

static int no_memory(const struct gb_pb_type *type, struct gb_err *err)
{
	return gb_err_sys(err, ENOMEM, "%s", type->name);
}

/* A number, or a list of them. */
static int take_numbers(struct gb_pb_message *message, const struct gb_pb_type *type, const struct gb_pb_field *field,
			struct cursor c, struct gb_err *err)
{
	while (c.at < c.end) {
		uint64_t value;

		if (!value_of(&c, wire_of(field), &value))
			return cut_off(type, field->name, err);
		void *at = message ? place(message, field) : NULL;
		if (message && !at)
			return no_memory(type, err);
		if (at)
			set_number(field, at, value);
	}
	return 0;
}

static int take_bytes(struct gb_pb_message *message, const struct gb_pb_type *type, const struct gb_pb_field *field,
		      struct cursor c, struct gb_err *err)
{
	size_t len = (size_t)(c.end - c.at);

	if (field->kind == GB_PB_STRING && !is_utf8(c.at, len))
		return gb_err_set(err, EBADMSG, "%s.%s: not UTF-8", type->name, field->name);
	if (field->kind == GB_PB_STRING && memchr(c.at, '\0', len))
		return gb_err_set(err, EBADMSG, "%s.%s: holds a NUL byte", type->name, field->name);
	if (!message)
		return 0;
	char *copy = malloc(len + 1);
	void *at = copy ? place(message, field) : NULL;
	if (!at) {
		free(copy);
		return no_memory(type, err);
	}
	memcpy(copy, c.at, len);
	copy[len] = '\0';
	release_value(field, at);
	if (field->kind == GB_PB_STRING)
		set_pointer(at, copy);
	else
		*(struct gb_pb_bytes *)at = (struct gb_pb_bytes){ len, (uint8_t *)copy };
	return 0;
}

/* Reads into message, or only looks (NULL). *fields: how many fields there may still be. */
static int take(struct gb_pb_message *message, const struct gb_pb_type *type, struct cursor c, int depth, int *fields,
		struct gb_err *err)
{
	if (depth > DEPTH_MAX)
		return gb_err_set(err, EBADMSG, "%s: nested too deeply", type->name);
	while (c.at < c.end) {
		uint64_t key, n;
		int r;

		if (!varint(&c, &key))
			return gb_err_set(err, EBADMSG, "%s: a field's key is cut off", type->name);
		unsigned wire = key & 7;
		uint64_t number = key >> 3;
		if (number == 0 || number > 0x1fffffff)
			return gb_err_set(err, EBADMSG, "%s: a field has the number %" PRIu64, type->name, number);
		if (--*fields < 0)
			return gb_err_set(err, EBADMSG, "%s: too many fields", type->name);
		const struct gb_pb_field *field = find(type, number);
		const char *name = field ? field->name : "unknown field";
		/* A list of numbers stands there in one piece, or as a field each. */
		if (wire > GB_PB_32BIT || (wire > GB_PB_LEN && wire < GB_PB_32BIT) ||
		    (field && wire != wire_of(field) && !(field->count && wire == GB_PB_LEN)))
			return gb_err_set(err, EBADMSG, "%s.%s: wire type %u", type->name, name, wire);
		struct cursor body = c;
		if (!value_of(&c, wire, &n) || (wire == GB_PB_LEN && n > (size_t)(c.end - c.at)))
			return cut_off(type, name, err);
		if (wire == GB_PB_LEN) {
			body.at = c.at;
			c.at += n;
		}
		body.end = c.at;
		if (!field)
			continue;
		if (is_number(field)) {
			r = take_numbers(message, type, field, body, err);
		} else if (field->kind != GB_PB_MESSAGE) {
			r = take_bytes(message, type, field, body, err);
		} else {
			const struct gb_pb_type *of = type->types[field->of];
			struct gb_pb_message *inner = NULL;
			void *at = message ? place(message, field) : NULL;
			/* One that stands there twice is one message. */
			if (at) {
				inner = pointer(at) ? pointer(at) : new_message(of);
				set_pointer(at, inner);
			}
			r = message && !inner ? no_memory(type, err) : take(inner, of, body, depth + 1, fields, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int check(const struct gb_pb_type *type, const void *data, size_t len, int fields, struct gb_err *err)
{
	const unsigned char *p = data;

	return len ? take(NULL, type, (struct cursor){ p, p + len }, 0, &fields, err) : 0;
}

static int decode(const struct gb_pb_type *type, const void *data, size_t len, int fields, struct gb_pb_message **ret_message,
		  struct gb_err *err)
{
	/* Looked at first: what is refused costs no memory. */
	int r = check(type, data, len, fields, err);
	gb_autopb struct gb_pb_message *message = r < 0 ? NULL : new_message(type);

	if (r < 0)
		return r;
	if (!message)
		return no_memory(type, err);
	const unsigned char *p = data;
	r = len ? take(message, type, (struct cursor){ p, p + len }, 0, &fields, err) : 0;
	if (r < 0)
		return r;
	*ret_message = message;
	message = NULL;
	return 0;
}

int gb_pb_check(const struct gb_pb_type *type, const void *data, size_t len, struct gb_err *err)
{
	return check(type, data, len, GB_PB_FIELDS_MAX, err);
}

int gb_pb_check_reply(const struct gb_pb_type *type, const void *data, size_t len, struct gb_err *err)
{
	return check(type, data, len, GB_PB_REPLY_FIELDS_MAX, err);
}

int gb_pb_decode(const struct gb_pb_type *type, const void *data, size_t len, struct gb_pb_message **ret_message,
		 struct gb_err *err)
{
	return decode(type, data, len, GB_PB_FIELDS_MAX, ret_message, err);
}

int gb_pb_decode_reply(const struct gb_pb_type *type, const void *data, size_t len, struct gb_pb_message **ret_message,
		       struct gb_err *err)
{
	return decode(type, data, len, GB_PB_REPLY_FIELDS_MAX, ret_message, err);
}

bool gb_pb_field(const void *data, size_t len, unsigned number, uint64_t *ret_value, const unsigned char **ret_data)
{
	const unsigned char *p = data;
	struct cursor c = { p, p + len };
	uint64_t key, n;
	bool found = false;

	while (c.at < c.end && varint(&c, &key)) {
		unsigned wire = key & 7;

		if (!value_of(&c, wire, &n) || (wire == GB_PB_LEN && n > (size_t)(c.end - c.at)))
			break;
		if (key >> 3 == number && (wire == GB_PB_VARINT || wire == GB_PB_LEN)) {
			*ret_value = n;
			*ret_data = c.at;
			found = true;
		}
		if (wire == GB_PB_LEN)
			c.at += n;
	}
	return found;
}

/* ---- to the wire ---- */

/* Bytes that are written, or only counted (NULL). */
struct out {
	unsigned char *at;
	size_t len;
};

static void put(struct out *out, const void *data, size_t len)
{
	if (out->at && len)
		memcpy(out->at + out->len, data, len);
	out->len += len;
}

static void put_varint(struct out *out, uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		put(out, &(unsigned char){ (unsigned char)(value | 0x80) }, 1);
	put(out, &(unsigned char){ (unsigned char)value }, 1);
}

static void put_key(struct out *out, const struct gb_pb_field *field, unsigned wire)
{
	put_varint(out, (uint64_t)field->number << 3 | wire);
}

static void put_number(struct out *out, const struct gb_pb_field *field, const void *at)
{
	uint64_t value = gb_pb_number(field, at);

	if (field->kind != GB_PB_DOUBLE) {
		put_varint(out, value);
		return;
	}
	value = htole64(value);
	put(out, &value, sizeof value);
}

static void put_numbers(struct out *out, const struct gb_pb_message *message, const struct gb_pb_field *field)
{
	for (size_t i = 0; i < gb_pb_count(message, field); i++)
		put_number(out, field, gb_pb_at(message, field, i));
}

static void put_message(struct out *out, const struct gb_pb_message *message);

/* Bytes, with how many they are. */
static void put_body(struct out *out, const struct gb_pb_field *field, const void *at)
{
	const struct gb_pb_bytes *bytes = at;
	const char *text = "";

	if (field->kind == GB_PB_BYTES) {
		put_varint(out, bytes->len);
		put(out, bytes->data, bytes->len);
	} else if (field->kind == GB_PB_MESSAGE) {
		struct out count = { 0 };
		put_message(&count, pointer(at));
		put_varint(out, count.len);
		put_message(out, pointer(at));
	} else {
		if (pointer(at))
			text = pointer(at);
		put_varint(out, strlen(text));
		put(out, text, strlen(text));
	}
}

/* A field that is not set is left out. */
static bool is_set(const struct gb_pb_field *field, const void *at)
{
	switch (field->kind) {
	case GB_PB_STRING: return pointer(at) && *(const char *)pointer(at);
	case GB_PB_BYTES: return ((const struct gb_pb_bytes *)at)->len;
	case GB_PB_MESSAGE: return pointer(at);
	default: return gb_pb_number(field, at);
	}
}

static void put_message(struct out *out, const struct gb_pb_message *message)
{
	for (unsigned f = 0; f < message->type->len; f++) {
		const struct gb_pb_field *field = &message->type->fields[f];
		size_t n = gb_pb_count(message, field);

		if (field->count && is_number(field)) {
			struct out count = { 0 };
			put_numbers(&count, message, field);
			if (n) {
				put_key(out, field, GB_PB_LEN);
				put_varint(out, count.len);
				put_numbers(out, message, field);
			}
			continue;
		}
		for (size_t i = 0; i < n; i++) {
			const void *at = gb_pb_at(message, field, i);
			if (!field->count && !is_set(field, at))
				continue;
			put_key(out, field, wire_of(field));
			if (is_number(field))
				put_number(out, field, at);
			else
				put_body(out, field, at);
		}
	}
}

size_t gb_pb_size(const struct gb_pb_message *message)
{
	struct out count = { 0 };

	put_message(&count, message);
	return count.len;
}

int gb_pb_encode(const struct gb_pb_message *message, struct gb_buf *buf)
{
	int r = gb_buf_room(buf, gb_pb_size(message));

	if (r < 0)
		return r;
	struct out out = { (unsigned char *)buf->data + buf->len, 0 };
	put_message(&out, message);
	buf->len += out.len;
	return 0;
}
