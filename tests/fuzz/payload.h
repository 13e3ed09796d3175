/* SPDX-License-Identifier: MIT */
/* What has to hold of a payload whatever its bytes are: for targets that have one. */
#ifndef GB_FUZZ_PAYLOAD_H
#define GB_FUZZ_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/rpc/pb.h"
#include "tests/fuzz/json.h"

/* What is read from the bytes alone, for payloads too large to be copied, is what the decoder has read. */
static inline void fuzz_payload_field(const uint8_t *data, size_t size, const ProtobufCMessage *message,
				      const ProtobufCFieldDescriptor *field)
{
	const void *member = (const char *)message + field->offset;
	const unsigned char *at = NULL;
	uint64_t value = 0, want;
	bool found = gb_pb_field(data, size, field->id, &value, &at);
	size_t len;

	if (found && (at <= data || at > data + size))
		abort();
	if (field->label == PROTOBUF_C_LABEL_REPEATED || field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return;
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING: {
		const char *text = *(char *const *)member;
		len = text ? strlen(text) : 0;
		if (found ? !text || value != len || memcmp(text, at, len) != 0 : len != 0)
			abort();
		return;
	}
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *bytes = member;
		if (found ? value != bytes->len || (bytes->len && memcmp(bytes->data, at, bytes->len) != 0) : bytes->len != 0)
			abort();
		return;
	}
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
		memcpy(&want, member, sizeof want);
		if (value != want)
			abort();
		return;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_INT32: {
		uint32_t half;
		memcpy(&half, member, sizeof half);
		if ((uint32_t)value != half)
			abort();
		return;
	}
	default:
		return;
	}
}

/* What was taken is written, read again and is the same; shown, it is text and JSON. */
static inline void fuzz_payload(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size)
{
	gb_autopb ProtobufCMessage *message = NULL, *again = NULL, *reply = NULL;
	gb_autobuf struct gb_buf first = { 0 }, second = { 0 }, text = { 0 };
	struct gb_json json = { 0 };
	struct gb_err err = { 0 };

	if (gb_pb_decode(type, data, size, &message, &err) < 0) {
		if (!err.msg[0])
			abort();
		return;
	}
	/* A reply may have more fields, not fewer. */
	if (gb_pb_decode_reply(type, data, size, &reply, &err) < 0)
		abort();
	for (unsigned f = 0; f < type->n_fields; f++)
		fuzz_payload_field(data, size, message, &type->fields[f]);
	if (gb_pb_encode(message, &first) < 0)
		return;
	if (gb_pb_decode(type, gb_buf_text(&first), first.len, &again, &err) < 0 || gb_pb_encode(again, &second) < 0 ||
	    first.len != second.len || memcmp(gb_buf_text(&first), gb_buf_text(&second), first.len) != 0)
		abort();
	gb_pb_text(&text, message);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if ((c < 0x20 && c != '\n') || c == 0x7f)
			abort(); /* a terminal would do something */
	}
	gb_json_open(&json, NULL, '{');
	gb_pb_json(&json, message);
	gb_json_close(&json, '}');
	if (!fuzz_is_json(gb_buf_text(&json.buf)))
		abort();
	gb_buf_free(&json.buf);
}

#endif
