/* SPDX-License-Identifier: MIT */
/* Frames. */
#include "common/rpc/frame.h"

#include <endian.h>
#include <string.h>

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return be32toh(v);
}

static void put32(unsigned char *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof v);
}

_Static_assert(GB_FRAME_HEAD == sizeof(uint32_t) + GB_FRAME_COUNTED, "the length does not count itself");

long gb_frame_open(const void *data, size_t len, size_t max, struct gb_frame *ret_frame)
{
	const unsigned char *p = data;

	if (len < 4)
		return 0;
	size_t length = get32(p);
	if (length < GB_FRAME_COUNTED)
		return GB_FRAME_E_SHORT;
	if (length > max)
		return GB_FRAME_E_LONG;
	if (len < GB_FRAME_HEAD)
		return 0;
	size_t trace_len = (size_t)p[8] << 8 | p[9];
	if (trace_len > length - GB_FRAME_COUNTED)
		return GB_FRAME_E_TRACE;
	if (len < GB_FRAME_HEAD + trace_len)
		return 0;
	*ret_frame = (struct gb_frame){
		.type = get32(p + 4),
		.trace = p + GB_FRAME_HEAD,
		.trace_len = trace_len,
		.payload = p + GB_FRAME_HEAD + trace_len,
		.payload_len = length - GB_FRAME_COUNTED - trace_len,
	};
	return (long)(GB_FRAME_HEAD + trace_len);
}

long gb_frame_parse(const void *data, size_t len, size_t max, struct gb_frame *ret_frame)
{
	struct gb_frame frame;
	long r = gb_frame_open(data, len, max, &frame);

	if (r <= 0 || len - (size_t)r < frame.payload_len)
		return r < 0 ? r : 0;
	*ret_frame = frame;
	return r + (long)frame.payload_len;
}

const char *gb_frame_strerror(long code)
{
	switch (code) {
	case GB_FRAME_E_SHORT: return "the frame is too short for a trace id length";
	case GB_FRAME_E_LONG: return "the frame is too long";
	case GB_FRAME_E_TRACE: return "the trace id reaches past the end of the frame";
	default: return "no error";
	}
}

int gb_frame_head(unsigned char head[GB_FRAME_HEAD], uint32_t type, size_t trace_len, size_t payload_len)
{
	if (trace_len > GB_FRAME_TRACE_MAX || payload_len > GB_FRAME_MAX - GB_FRAME_COUNTED - trace_len)
		return -1;
	put32(head, (uint32_t)(GB_FRAME_COUNTED + trace_len + payload_len));
	put32(head + 4, type);
	head[8] = (unsigned char)(trace_len >> 8);
	head[9] = (unsigned char)trace_len;
	return 0;
}

void gb_frame_error_head(unsigned char head[GB_FRAME_ERROR_HEAD], int32_t code, size_t message_len)
{
	put32(head, (uint32_t)code);
	put32(head + 4, (uint32_t)message_len);
}

int gb_frame_error_parse(const struct gb_frame *frame, int32_t *ret_code, const char **ret_message, size_t *ret_len)
{
	size_t left = frame->payload_len;

	*ret_code = left >= 4 ? (int32_t)get32(frame->payload) : 0;
	*ret_message = "";
	*ret_len = 0;
	if (left < GB_FRAME_ERROR_HEAD)
		return -1;
	size_t len = get32(frame->payload + 4);
	left -= GB_FRAME_ERROR_HEAD;
	*ret_message = (const char *)frame->payload + GB_FRAME_ERROR_HEAD;
	*ret_len = len < left ? len : left;
	return len <= left ? 0 : -1;
}
