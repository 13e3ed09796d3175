/* SPDX-License-Identifier: MIT */
/* Frames: the length-prefixed messages of the agent protocol, parsed from and written to memory. Pure. */
#ifndef GB_RPC_FRAME_H
#define GB_RPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

/*
 * On the wire, big-endian: u32 length (of what follows it), u32 type, u16 trace_len, trace id, payload. A frame takes
 * 4 + length bytes.
 */
enum {
	GB_FRAME_HEAD = 10,            /* length, type, trace_len */
	GB_FRAME_COUNTED = 6,          /* the part of the head that `length` counts */
	GB_FRAME_REQUEST_MAX = 1 << 20, /* the largest `length` of a request; those of 0.4.10 need a few KiB */
	GB_FRAME_MAX = 16 << 20,       /* the largest `length` that a host's client takes */
	GB_FRAME_TRACE_MAX = 65535,
};

/* Points into the parsed bytes. */
struct gb_frame {
	uint32_t type;
	const unsigned char *trace;
	size_t trace_len;
	const unsigned char *payload;
	size_t payload_len;
};

/* What is wrong with a frame after which the stream has to end. */
enum {
	GB_FRAME_E_SHORT = -1,  /* length below 6: no trace id */
	GB_FRAME_E_LONG = -2,   /* length above the maximum */
	GB_FRAME_E_TRACE = -3,  /* the trace id reaches past the end of the frame */
};

/* Looks for one frame at the start of data. Returns its whole size in bytes with *ret_frame set; 0 when more bytes are
 * needed; GB_FRAME_E_* as soon as the head shows it. max bounds `length`. */
long gb_frame_parse(const void *data, size_t len, size_t max, struct gb_frame *ret_frame);

/* The same for the head and the trace id alone: their size; the payload, of the announced length, follows them. */
long gb_frame_open(const void *data, size_t len, size_t max, struct gb_frame *ret_frame);

/* Text for GB_FRAME_E_*. */
const char *gb_frame_strerror(long code);

/* Writes the head of a frame. 0, or -1 for a trace id or a length that no peer takes (nothing is written then). */
int gb_frame_head(unsigned char head[GB_FRAME_HEAD], uint32_t type, size_t trace_len, size_t payload_len);

/* The payload of an Error frame: i32 code, u32 message_len, message. */
enum { GB_FRAME_ERROR_HEAD = 8 };
void gb_frame_error_head(unsigned char head[GB_FRAME_ERROR_HEAD], int32_t code, size_t message_len);

/* Reads one: 0; -1 when it is shorter than it says (code is set if it was there, message is what there is of it). Bytes
 * after the message are ignored. */
int gb_frame_error_parse(const struct gb_frame *frame, int32_t *ret_code, const char **ret_message, size_t *ret_len);

#endif
