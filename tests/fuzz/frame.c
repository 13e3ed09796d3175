/* SPDX-License-Identifier: MIT */
/* Fuzz target: frames, and each payload by its message. */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/rpc/frame.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_pb_start();
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
		const ProtobufCMessageDescriptor *type = gb_pb_type(frame.type);
		if (type)
			fuzz_payload(type, frame.payload, frame.payload_len);
		at += (size_t)r;
	}
	return 0;
}
