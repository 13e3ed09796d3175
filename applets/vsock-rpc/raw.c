/* SPDX-License-Identifier: MIT */
/* vsock-rpc: raw, any payload in hex. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applets/vsock-rpc/rpc.h"
#include "common/base/io.h"
#include "common/base/json.h"
#include "common/rpc/client.h"
#include "common/rpc/wire.h"

enum { HEX_MAX = 2 * GB_FRAME_MAX + (1 << 20) }; /* of stdin, blanks included */

/* Hex digits with blanks between bytes, as tools print them. */
static int unhex(const char *text, const char *what, struct gb_buf *bytes, struct gb_err *err)
{
	int high = -1;

	for (const char *p = text; *p; p++) {
		if (strchr(" \t\r\n", *p) && high < 0)
			continue;
		const char *digit = strchr("0123456789abcdef", *p >= 'A' && *p <= 'F' ? *p + 32 : *p);
		if (!digit)
			return gb_err_set(err, GB_E_USAGE, "%s: byte %zu is no hex digit", what, (size_t)(p - text) + 1);
		int v = (int)(digit - "0123456789abcdef");
		if (high < 0) {
			high = v;
			continue;
		}
		char byte = (char)(high << 4 | v);
		if (gb_buf_add(bytes, &byte, 1) < 0)
			return gb_err_sys(err, ENOMEM, "%s", what);
		high = -1;
	}
	if (high >= 0)
		return gb_err_set(err, GB_E_USAGE, "%s: an odd number of hex digits", what);
	return 0;
}

static void hex(struct gb_buf *text, const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		(void)gb_buf_fmt(text, "%02x", data[i]);
}

static int print_raw(struct rpc_call *call, struct gb_err *err)
{
	const struct gb_frame *frame = &call->frame;
	const char *name = gb_wire_name(frame->type);
	gb_autobuf struct gb_buf payload = { 0 }, trace = { 0 };

	hex(&payload, frame->payload, frame->payload_len);
	hex(&trace, frame->trace, frame->trace_len);
	if (payload.failed || trace.failed)
		return gb_err_sys(err, ENOMEM, "reply");
	if (!call->json) {
		printf("0x%04" PRIx32 " %s trace %s payload %s\n", frame->type, name ? name : "-",
		       trace.len ? trace.data : "-", payload.len ? payload.data : "-");
		return 0;
	}
	struct gb_json json = { 0 };
	gb_json_open(&json, NULL, '{');
	gb_json_uint(&json, "type", frame->type);
	gb_json_str(&json, "name", name);
	gb_json_str(&json, "trace", gb_buf_text(&trace));
	gb_json_str(&json, "payload", gb_buf_text(&payload));
	gb_json_close(&json, '}');
	return gb_json_print(&json, err);
}

int rpc_run_raw(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autobuf struct gb_buf payload = { 0 }, input = { 0 };
	struct rpc_call *call = cmd->data;
	char **operands;
	uint32_t type;

	int r = rpc_options(cmd, &(struct rpc_scan){ .min = 1, .max = 2, .what = "type" }, &operands, err);
	if (r < 0)
		return r;
	if (!gb_wire_parse(operands[0], &type))
		return gb_err_set(err, GB_E_USAGE, "type \"%s\": neither a number nor the name of a message type", operands[0]);
	if (operands[1] && strcmp(operands[1], "-") == 0) {
		for (ssize_t n = 1; n > 0;) {
			if (input.len > HEX_MAX)
				return gb_err_set(err, EFBIG, "standard input: more than a frame can hold");
			if (gb_buf_room(&input, 65536) < 0)
				return gb_err_sys(err, ENOMEM, "standard input");
			n = gb_io_read(STDIN_FILENO, input.data + input.len, 65536);
			if (n < 0)
				return gb_err_sys(err, (int)-n, "standard input");
			input.len += (size_t)n;
			input.data[input.len] = '\0';
		}
		r = unhex(gb_buf_text(&input), "standard input", &payload, err);
	} else if (operands[1]) {
		r = unhex(operands[1], "payload", &payload, err);
	}
	if (r == 0)
		r = rpc_exchange(call, type, gb_buf_text(&payload), payload.len, err);
	if (r < 0)
		return r;
	if (call->frame.type == GB_WIRE_ERROR)
		return gb_client_error(&call->frame, err);
	return print_raw(call, err);
}
