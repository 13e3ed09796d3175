/* SPDX-License-Identifier: MIT */
/* Which message goes with which frame, and printing of messages. */
#include "common/rpc/pb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/vis.h"
#include "common/rpc/wire.h"

#define MESSAGE(name) &arcbox__v1__##name##__descriptor
#define OWN(name) &guestbox__v1__##name##__descriptor
#define NONE NULL
#define RAW NULL
#define SANDBOX(name) &sandbox__v1__##name##__descriptor
const struct gb_pb_type *gb_pb_type(uint32_t wire)
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

static double double_of(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

static void json_value(struct gb_json *json, const char *key, const struct gb_pb_field *field, const void *at)
{
	const struct gb_pb_bytes *bytes = at;
	const struct gb_pb_message *inner;

	switch (field->kind) {
	case GB_PB_STRING:
		gb_json_str(json, key, gb_pb_string(at));
		break;
	case GB_PB_BYTES:
		gb_json_mem(json, key, bytes->data, bytes->len);
		break;
	case GB_PB_MESSAGE:
		inner = gb_pb_inner(at);
		if (!inner) {
			gb_json_str(json, key, NULL);
			break;
		}
		gb_json_open(json, key, '{');
		gb_pb_json(json, inner);
		gb_json_close(json, '}');
		break;
	case GB_PB_BOOL:
		gb_json_bool(json, key, gb_pb_number(field, at));
		break;
	case GB_PB_INT32:
	case GB_PB_INT64:
		gb_json_int(json, key, (int64_t)gb_pb_number(field, at));
		break;
	case GB_PB_DOUBLE:
		gb_json_double(json, key, double_of(gb_pb_number(field, at)));
		break;
	default:
		gb_json_uint(json, key, gb_pb_number(field, at));
	}
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

void gb_pb_json(struct gb_json *json, const struct gb_pb_message *message)
{
	for (unsigned f = 0; f < message->type->len; f++) {
		const struct gb_pb_field *field = &message->type->fields[f];
		size_t n = gb_pb_count(message, field);

		if (!field->count) {
			json_value(json, field->name, field, gb_pb_at(message, field, 0));
			continue;
		}
		if (field->kind == GB_PB_MESSAGE && message->type->types[field->of] == &gb_pb_entry__descriptor) {
			json_map(json, field->name, gb_pb_at(message, field, 0), n);
			continue;
		}
		gb_json_open(json, field->name, '[');
		for (size_t i = 0; i < n; i++)
			json_value(json, NULL, field, gb_pb_at(message, field, i));
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

static void text_value(struct gb_buf *buf, const struct gb_pb_field *field, const void *at)
{
	const struct gb_pb_message *inner;
	const char *text;

	switch (field->kind) {
	case GB_PB_STRING:
		text = gb_pb_string(at);
		gb_pb_plain(buf, text ? text : "");
		break;
	case GB_PB_BYTES:
		(void)gb_buf_fmt(buf, "(%zu bytes)", ((const struct gb_pb_bytes *)at)->len);
		break;
	case GB_PB_MESSAGE:
		inner = gb_pb_inner(at);
		for (unsigned f = 0; inner && f < inner->type->len; f++) {
			const struct gb_pb_field *part = &inner->type->fields[f];
			for (size_t k = 0; k < gb_pb_count(inner, part); k++) {
				(void)gb_buf_str(buf, f || k ? " " : "");
				text_value(buf, part, gb_pb_at(inner, part, k));
			}
		}
		break;
	case GB_PB_BOOL:
		(void)gb_buf_str(buf, gb_pb_number(field, at) ? "yes" : "no");
		break;
	case GB_PB_INT32:
	case GB_PB_INT64:
		(void)gb_buf_fmt(buf, "%" PRId64, (int64_t)gb_pb_number(field, at));
		break;
	case GB_PB_DOUBLE:
		(void)gb_buf_fmt(buf, "%.2f", double_of(gb_pb_number(field, at)));
		break;
	default:
		(void)gb_buf_fmt(buf, "%" PRIu64, gb_pb_number(field, at));
	}
}

/* Empty values leave blanks behind, which nobody can see. */
static void end_line(struct gb_buf *buf)
{
	while (buf->len && buf->data[buf->len - 1] == ' ')
		buf->data[--buf->len] = '\0';
	(void)gb_buf_str(buf, "\n");
}

void gb_pb_text(struct gb_buf *buf, const struct gb_pb_message *message)
{
	const struct gb_pb_type *type = message->type;
	int width = 0;

	for (unsigned f = 0; f < type->len; f++) {
		int len = (int)strlen(type->fields[f].name);
		width = len > width ? len : width;
	}
	for (unsigned f = 0; f < type->len; f++) {
		const struct gb_pb_field *field = &type->fields[f];
		bool lines = field->kind == GB_PB_MESSAGE;

		(void)gb_buf_fmt(buf, "%s:%*s", field->name, width - (int)strlen(field->name) + 1, "");
		for (size_t i = 0; i < gb_pb_count(message, field); i++) {
			/* A list of messages takes a line each. */
			if (i && lines)
				end_line(buf);
			if (i)
				(void)gb_buf_fmt(buf, "%*s", lines ? width + 2 : 1, "");
			text_value(buf, field, gb_pb_at(message, field, i));
		}
		end_line(buf);
	}
}
