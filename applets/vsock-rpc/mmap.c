/* SPDX-License-Identifier: MIT */
/* vsock-rpc: mmap, a file of the guest in pieces. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "applets/vsock-rpc/rpc.h"
#include "common/base/io.h"
#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/rpc/wire.h"

const struct gb_opt rpc_mmap_opts[] = {
	GB_OPT('o', "offset", "OFFSET", "start at this byte (K, M, G, T)"),
	GB_OPT('l', "length", "LENGTH", "at most this many bytes (K, M, G, T) [to the end]"),
	GB_OPT_AND(rpc_common_opts),
};

struct own {
	uint64_t offset, length;
};

static int own_option(void *data, int key, char *arg, struct gb_err *err)
{
	struct own *own = data;

	return key == 'o' ? gb_parse_size(arg, "offset", &own->offset, err) : gb_parse_size(arg, "length", &own->length, err);
}

/* One piece of a file: what is left when a reply is cut to what fits into a frame is asked for again. */
enum { PIECE = 8 << 20 };

static int base64(struct gb_buf *text, const unsigned char *data, size_t len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0) |
			     (i + 2 < len ? data[i + 2] : 0);
		char four[4] = { letters[v >> 18], letters[v >> 12 & 63], i + 1 < len ? letters[v >> 6 & 63] : '=',
				 i + 2 < len ? letters[v & 63] : '=' };
		(void)gb_buf_add(text, four, sizeof four);
	}
	return text->failed ? -ENOMEM : 0;
}

/* The data of the reply, where it was received. 0 or -errno. */
static int take(const struct gb_frame *frame, uint64_t asked, const unsigned char **ret_data, size_t *ret_len, struct gb_err *err)
{
	const unsigned char *data = NULL, *none;
	uint64_t len = 0, count = 0;

	int r = rpc_check_type(frame, GB_WIRE_MMAP_READ_FILE_REPLY, err);
	if (r < 0)
		return r;
	if (gb_pb_check_reply(gb_pb_type(frame->type), frame->payload, frame->payload_len, err) < 0)
		return gb_err_wrap(err, "reply");
	(void)gb_pb_field(frame->payload, frame->payload_len, 1, &len, &data);
	(void)gb_pb_field(frame->payload, frame->payload_len, 2, &count, &none);
	/* Less than there is: the file was cut while it was read, and what follows is none of it. */
	if (count > len || len > asked)
		return gb_err_set(err, EPROTO, "reply: %" PRIu64 " bytes of data, and a count of %" PRIu64, len, count);
	*ret_data = data;
	*ret_len = (size_t)count;
	return 0;
}

int rpc_run_mmap(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autobuf struct gb_buf all = { 0 }, text = { 0 };
	struct rpc_call *call = cmd->data;
	char **operands;
	struct own own = { .length = UINT64_MAX };
	uint64_t done = 0;

	int r = rpc_options(cmd, &(struct rpc_scan){ .own = own_option, .data = &own, .min = 1, .max = 1, .what = "path" },
			    &operands, err);
	if (r < 0)
		return r;
	for (bool more = true; more && done < own.length;) {
		Arcbox__V1__MmapReadFileRequest request = ARCBOX__V1__MMAP_READ_FILE_REQUEST__INIT;
		const unsigned char *data = NULL;
		size_t len = 0;
		request.path = operands[0];
		request.length = own.length - done < PIECE ? own.length - done : PIECE;
		if (__builtin_add_overflow(own.offset, done, &request.offset))
			break;
		r = rpc_ask_frame(call, GB_WIRE_MMAP_READ_FILE, &request.base, err);
		if (r == 0)
			r = take(&call->frame, request.length, &data, &len, err);
		if (r < 0)
			return r;
		more = len > 0;
		done += len;
		r = call->json ? gb_buf_add(&all, data, len) : gb_io_write(STDOUT_FILENO, data, len);
		if (r < 0)
			return gb_err_sys(err, -r, call->json ? "reply" : "standard output");
	}
	if (!call->json)
		return 0;
	if (base64(&text, (const unsigned char *)all.data, all.len) < 0)
		return gb_err_sys(err, ENOMEM, "reply");
	struct gb_json json = { 0 };
	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, "data", gb_buf_text(&text));
	gb_json_uint(&json, "bytes_read", done);
	gb_json_close(&json, '}');
	return gb_json_print(&json, err);
}
