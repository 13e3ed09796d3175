/* SPDX-License-Identifier: MIT */
/* protobuf-c: checks before it, printing after it. */
#include "common/rpc/pb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/base/vis.h"
#include "common/rpc/wire.h"

enum { DEPTH_MAX = 8 };

struct cursor {
	const unsigned char *at, *end;
};

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

/* The wire type that the encoding of a field has (a repeated number has two: LEN when packed). */
static bool wire_fits(const ProtobufCFieldDescriptor *field, unsigned wire)
{
	unsigned want;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		want = PROTOBUF_C_WIRE_TYPE_32BIT;
		break;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		want = PROTOBUF_C_WIRE_TYPE_64BIT;
		break;
	default:
		want = PROTOBUF_C_WIRE_TYPE_VARINT;
	}
	return wire == want ||
	       (field->label == PROTOBUF_C_LABEL_REPEATED && wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
}

/* *fields: how many fields there may still be. */
static int check(const ProtobufCMessageDescriptor *type, struct cursor c, int depth, int *fields, struct gb_err *err)
{
	if (depth > DEPTH_MAX)
		return gb_err_set(err, EBADMSG, "%s: nested too deeply", type->short_name);
	while (c.at < c.end) {
		uint64_t key, n;

		if (!varint(&c, &key))
			return gb_err_set(err, EBADMSG, "%s: a field's key is cut off", type->short_name);
		unsigned wire = key & 7;
		uint64_t number = key >> 3;
		if (number == 0 || number > 0x1fffffff)
			return gb_err_set(err, EBADMSG, "%s: a field has the number %" PRIu64, type->short_name, number);
		if (--*fields < 0)
			return gb_err_set(err, EBADMSG, "%s: too many fields", type->short_name);
		const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, (unsigned)number);
		if (field && !wire_fits(field, wire))
			return gb_err_set(err, EBADMSG, "%s.%s: wire type %u", type->short_name, field->name, wire);
		const char *name = field ? field->name : "unknown field";
		size_t left = (size_t)(c.end - c.at);
		switch (wire) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			if (!varint(&c, &n))
				return gb_err_set(err, EBADMSG, "%s.%s: cut off", type->short_name, name);
			continue;
		case PROTOBUF_C_WIRE_TYPE_64BIT: n = 8; break;
		case PROTOBUF_C_WIRE_TYPE_32BIT: n = 4; break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			if (!varint(&c, &n))
				return gb_err_set(err, EBADMSG, "%s.%s: cut off", type->short_name, name);
			left = (size_t)(c.end - c.at);
			break;
		default:
			return gb_err_set(err, EBADMSG, "%s.%s: wire type %u", type->short_name, name, wire);
		}
		if (n > left)
			return gb_err_set(err, EBADMSG, "%s.%s: cut off", type->short_name, name);
		if (field && field->type == PROTOBUF_C_TYPE_STRING) {
			if (!gb_utf8_is(c.at, (size_t)n))
				return gb_err_set(err, EBADMSG, "%s.%s: not UTF-8", type->short_name, name);
			if (memchr(c.at, '\0', (size_t)n))
				return gb_err_set(err, EBADMSG, "%s.%s: holds a NUL byte", type->short_name, name);
		} else if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
			int r = check(field->descriptor, (struct cursor){ c.at, c.at + n }, depth + 1, fields, err);
			if (r < 0)
				return r;
		}
		c.at += n;
	}
	return 0;
}

static int check_all(const ProtobufCMessageDescriptor *type, const void *data, size_t len, int fields, struct gb_err *err)
{
	const unsigned char *p = data;

	return len ? check(type, (struct cursor){ p, p + len }, 0, &fields, err) : 0;
}

static int decode(const ProtobufCMessageDescriptor *type, const void *data, size_t len, int fields,
		  ProtobufCMessage **ret_message, struct gb_err *err)
{
	int r = check_all(type, data, len, fields, err);

	if (r < 0)
		return r;
	ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, len, data);
	if (!message)
		return gb_err_set(err, EBADMSG, "%s: cannot be decoded", type->short_name);
	*ret_message = message;
	return 0;
}

int gb_pb_check(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct gb_err *err)
{
	return check_all(type, data, len, GB_PB_FIELDS_MAX, err);
}

int gb_pb_check_reply(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct gb_err *err)
{
	return check_all(type, data, len, GB_PB_REPLY_FIELDS_MAX, err);
}

bool gb_pb_field(const void *data, size_t len, unsigned number, uint64_t *ret_value, const unsigned char **ret_data)
{
	const unsigned char *p = data;
	struct cursor c = { p, p + len };
	uint64_t key, n = 0;
	bool found = false;

	while (c.at < c.end && varint(&c, &key)) {
		unsigned wire = key & 7;
		size_t skip = wire == PROTOBUF_C_WIRE_TYPE_64BIT ? 8 : wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 0;
		if (skip == 0 && !varint(&c, &n))
			break;
		if (wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
			skip = (size_t)n;
		if (skip > (size_t)(c.end - c.at))
			break;
		if (key >> 3 == number && wire != PROTOBUF_C_WIRE_TYPE_64BIT && wire != PROTOBUF_C_WIRE_TYPE_32BIT) {
			*ret_value = n;
			*ret_data = c.at;
			found = true;
		}
		c.at += skip;
	}
	return found;
}

int gb_pb_decode(const ProtobufCMessageDescriptor *type, const void *data, size_t len, ProtobufCMessage **ret_message,
		 struct gb_err *err)
{
	return decode(type, data, len, GB_PB_FIELDS_MAX, ret_message, err);
}

int gb_pb_decode_reply(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
		       ProtobufCMessage **ret_message, struct gb_err *err)
{
	return decode(type, data, len, GB_PB_REPLY_FIELDS_MAX, ret_message, err);
}

void gb_pb_free(ProtobufCMessage **message)
{
	if (*message)
		protobuf_c_message_free_unpacked(*message, NULL);
	*message = NULL;
}

int gb_pb_set(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	if (*field != (char *)(uintptr_t)protobuf_c_empty_string)
		free(*field);
	*field = copy;
	return 0;
}

int gb_pb_encode(const ProtobufCMessage *message, struct gb_buf *buf)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	int r = gb_buf_room(buf, len);

	if (r < 0)
		return r;
	buf->len += protobuf_c_message_pack(message, (unsigned char *)buf->data + buf->len);
	return 0;
}

#define MESSAGE(name) &arcbox__v1__##name##__descriptor
#define OWN(name) &guestbox__v1__##name##__descriptor
#define NONE NULL
#define RAW NULL
#define SANDBOX(name) &sandbox__v1__##name##__descriptor
const ProtobufCMessageDescriptor *gb_pb_type(uint32_t wire)
{
	switch (wire) {
#define GB_REQUEST(id, name, number, payload, reply) case number: return payload;
#define GB_REPLY(id, name, number, payload) case number: return payload;
#include "common/rpc/wire.def"
#undef GB_REQUEST
#undef GB_REPLY
	default: return NULL;
	}
}

/* The place of element i of a field, or of the field itself. */
static const void *member(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t i, size_t size)
{
	const char *at = (const char *)message + field->offset;

	if (field->label != PROTOBUF_C_LABEL_REPEATED)
		return at;
	return *(const char *const *)at + i * size;
}

static size_t count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	if (field->label != PROTOBUF_C_LABEL_REPEATED)
		return 1;
	return *(const size_t *)((const char *)message + field->quantifier_offset);
}

static void json_value(struct gb_json *json, const char *key, const ProtobufCMessage *message,
		       const ProtobufCFieldDescriptor *field, size_t i)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		gb_json_str(json, key, *(char *const *)member(message, field, i, sizeof(char *)));
		break;
	case PROTOBUF_C_TYPE_BOOL:
		gb_json_bool(json, key, *(const protobuf_c_boolean *)member(message, field, i, sizeof(protobuf_c_boolean)));
		break;
	case PROTOBUF_C_TYPE_INT32:
		gb_json_int(json, key, *(const int32_t *)member(message, field, i, sizeof(int32_t)));
		break;
	case PROTOBUF_C_TYPE_UINT32:
		gb_json_uint(json, key, *(const uint32_t *)member(message, field, i, sizeof(uint32_t)));
		break;
	case PROTOBUF_C_TYPE_UINT64:
		gb_json_uint(json, key, *(const uint64_t *)member(message, field, i, sizeof(uint64_t)));
		break;
	case PROTOBUF_C_TYPE_INT64:
		gb_json_int(json, key, *(const int64_t *)member(message, field, i, sizeof(int64_t)));
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		gb_json_double(json, key, *(const double *)member(message, field, i, sizeof(double)));
		break;
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *data = member(message, field, i, sizeof(ProtobufCBinaryData));
		gb_json_mem(json, key, data->data, data->len);
		break;
	}
	case PROTOBUF_C_TYPE_MESSAGE: {
		const ProtobufCMessage *inner = *(ProtobufCMessage *const *)member(message, field, i, sizeof inner);
		if (!inner) {
			gb_json_str(json, key, NULL);
			break;
		}
		gb_json_open(json, key, '{');
		gb_pb_json(json, inner);
		gb_json_close(json, '}');
		break;
	}
	default: /* the .proto files have no other type; the unit test of all messages would show a null here */
		gb_json_str(json, key, NULL);
	}
}

static bool is_map(const ProtobufCFieldDescriptor *field)
{
	const ProtobufCMessageDescriptor *type = field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
	size_t len = type ? strlen(type->short_name) : 0;

	return len > 5 && strcmp(type->short_name + len - 5, "Entry") == 0 && type->n_fields == 2 &&
	       type->fields[0].type == PROTOBUF_C_TYPE_STRING && type->fields[0].offset == offsetof(struct gb_pb_entry, key) &&
	       type->fields[1].type == PROTOBUF_C_TYPE_STRING && type->fields[1].offset == offsetof(struct gb_pb_entry, value);
}

/* As proto3's own JSON has it: an object. Of two entries of one key the last counts. */
static void json_map(struct gb_json *json, const char *name, const struct gb_pb_entry *const *list, size_t len)
{
	gb_json_open(json, name, '{');
	for (size_t i = 0; i < len; i++) {
		bool again = false;
		for (size_t k = i + 1; !again && k < len; k++)
			again = strcmp(list[i]->key, list[k]->key) == 0;
		if (!again)
			gb_json_str(json, list[i]->key, list[i]->value);
	}
	gb_json_close(json, '}');
}

void gb_pb_json(struct gb_json *json, const ProtobufCMessage *message)
{
	for (unsigned f = 0; f < message->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[f];

		if (field->label != PROTOBUF_C_LABEL_REPEATED) {
			json_value(json, field->name, message, field, 0);
			continue;
		}
		if (is_map(field)) {
			json_map(json, field->name, *(void *const *)((const char *)message + field->offset), count(message, field));
			continue;
		}
		gb_json_open(json, field->name, '[');
		for (size_t i = 0; i < count(message, field); i++)
			json_value(json, NULL, message, field, i);
		gb_json_close(json, ']');
	}
}

void gb_pb_plain(struct gb_buf *buf, const char *text)
{
	for (; *text; text++) {
		char out[GB_VIS_SIZE];
		unsigned char c = (unsigned char)*text;

		if (c >= 0x80 || c == '\n')
			(void)gb_buf_add(buf, text, 1);
		else
			(void)gb_buf_add(buf, out, (size_t)(gb_vis(out, *text) - out));
	}
}

static void text_value(struct gb_buf *buf, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
		       size_t i)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING: {
		const char *text = *(char *const *)member(message, field, i, sizeof text);
		gb_pb_plain(buf, text ? text : ""); /* NULL: an optional one that is absent */
		break;
	}
	case PROTOBUF_C_TYPE_BOOL:
		(void)gb_buf_str(buf, *(const protobuf_c_boolean *)member(message, field, i, sizeof(protobuf_c_boolean))
					      ? "yes" : "no");
		break;
	case PROTOBUF_C_TYPE_INT32:
		(void)gb_buf_fmt(buf, "%" PRId32, *(const int32_t *)member(message, field, i, sizeof(int32_t)));
		break;
	case PROTOBUF_C_TYPE_UINT32:
		(void)gb_buf_fmt(buf, "%" PRIu32, *(const uint32_t *)member(message, field, i, sizeof(uint32_t)));
		break;
	case PROTOBUF_C_TYPE_UINT64:
		(void)gb_buf_fmt(buf, "%" PRIu64, *(const uint64_t *)member(message, field, i, sizeof(uint64_t)));
		break;
	case PROTOBUF_C_TYPE_INT64:
		(void)gb_buf_fmt(buf, "%" PRId64, *(const int64_t *)member(message, field, i, sizeof(int64_t)));
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		(void)gb_buf_fmt(buf, "%.2f", *(const double *)member(message, field, i, sizeof(double)));
		break;
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *data = member(message, field, i, sizeof(ProtobufCBinaryData));
		(void)gb_buf_fmt(buf, "(%zu bytes)", data->len);
		break;
	}
	case PROTOBUF_C_TYPE_MESSAGE: {
		const ProtobufCMessage *inner = *(ProtobufCMessage *const *)member(message, field, i, sizeof inner);
		for (unsigned f = 0; inner && f < inner->descriptor->n_fields; f++) {
			const ProtobufCFieldDescriptor *part = &inner->descriptor->fields[f];
			for (size_t k = 0; k < count(inner, part); k++) {
				(void)gb_buf_str(buf, f || k ? " " : "");
				text_value(buf, inner, part, k);
			}
		}
		break;
	}
	default:
		(void)gb_buf_str(buf, "?");
	}
}

/* Empty values leave blanks behind, which nobody can see. */
static void end_line(struct gb_buf *buf)
{
	while (buf->len && buf->data[buf->len - 1] == ' ')
		buf->data[--buf->len] = '\0';
	(void)gb_buf_str(buf, "\n");
}

void gb_pb_text(struct gb_buf *buf, const ProtobufCMessage *message)
{
	int width = 0;

	for (unsigned f = 0; f < message->descriptor->n_fields; f++) {
		int len = (int)strlen(message->descriptor->fields[f].name);
		width = len > width ? len : width;
	}
	for (unsigned f = 0; f < message->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[f];

		(void)gb_buf_fmt(buf, "%s:%*s", field->name, width - (int)strlen(field->name) + 1, "");
		for (size_t i = 0; i < count(message, field); i++) {
			/* A list of messages takes a line each. */
			if (i && field->type == PROTOBUF_C_TYPE_MESSAGE)
				end_line(buf);
			if (i)
				(void)gb_buf_fmt(buf, "%*s", field->type == PROTOBUF_C_TYPE_MESSAGE ? width + 2 : 1, "");
			text_value(buf, message, field, i);
		}
		end_line(buf);
	}
}
