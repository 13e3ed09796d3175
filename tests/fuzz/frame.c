/* SPDX-License-Identifier: MIT */
/* Fuzz target: frames, and each payload by its message. */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/rpc/frame.h"
#include "common/rpc/pb.h"
#include "common/rpc/wire.h"
#include "tests/fuzz/fuzz.h"

/* What was taken is written, read again and printed, and is the same. */
static void payload(const struct gb_frame *frame)
{
	const ProtobufCMessageDescriptor *type = gb_pb_type(frame->type);
	gb_autopb ProtobufCMessage *message = NULL, *again = NULL;
	gb_autobuf struct gb_buf first = { 0 }, second = { 0 }, text = { 0 };
	struct gb_json json = { 0 };
	struct gb_err err = { 0 };

	if (!type)
		return;
	if (gb_pb_decode(type, frame->payload, frame->payload_len, &message, &err) < 0) {
		if (!err.msg[0])
			abort();
		return;
	}
	for (unsigned number = 1; number < 8; number++) {
		const unsigned char *at = NULL, *end = frame->payload + frame->payload_len;
		uint64_t value;
		if (gb_pb_field(frame->payload, frame->payload_len, number, &value, &at) && (at <= frame->payload || at > end))
			abort();
	}
	if (gb_pb_encode(message, &first) < 0)
		return;
	if (gb_pb_decode(type, gb_buf_text(&first), first.len, &again, &err) < 0 || gb_pb_encode(again, &second) < 0 ||
	    first.len != second.len || memcmp(gb_buf_text(&first), gb_buf_text(&second), first.len) != 0)
		abort();
	gb_pb_text(&text, message);
	gb_json_open(&json, NULL, '{');
	gb_pb_json(&json, message);
	gb_json_close(&json, '}');
	gb_buf_free(&json.buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		unsigned char head[GB_FRAME_HEAD];
		struct gb_frame frame = { 0 };
		const char *text;
		int32_t code;
		size_t len;
		/* Memory of its own: a read past the end is seen. */
		gb_autofree uint8_t *copy = malloc(size - at);
		if (!copy)
			return 0;
		memcpy(copy, data + at, size - at);
		long r = gb_frame_parse(copy, size - at, GB_FRAME_REQUEST_MAX, &frame);
		if (r <= 0) {
			if (r < 0 && !gb_frame_strerror(r)[0])
				abort();
			return 0;
		}
		if (r < GB_FRAME_HEAD || (size_t)r > size - at ||
		    GB_FRAME_HEAD + frame.trace_len + frame.payload_len != (size_t)r)
			abort();
		if (gb_frame_head(head, frame.type, frame.trace_len, frame.payload_len) < 0 || memcmp(head, copy, sizeof head) != 0)
			abort();
		(void)gb_frame_error_parse(&frame, &code, &text, &len);
		if (len > frame.payload_len)
			abort();
		payload(&frame);
		at += (size_t)r;
	}
	return 0;
}
