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
	RPC_COMMON_OPTS,
	{ 'o', "offset", "OFFSET", "start at this byte (K, M, G, T)" },
	{ 'l', "length", "LENGTH", "at most this many bytes (K, M, G, T) [to the end]" },
	{ 0 },
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
		gb_autopb ProtobufCMessage *message = NULL;
		request.path = operands[0];
		request.length = own.length - done < PIECE ? own.length - done : PIECE;
		if (__builtin_add_overflow(own.offset, done, &request.offset))
			break;
		r = rpc_ask(call, GB_WIRE_MMAP_READ_FILE, &request.base, &message, err);
		if (r < 0)
			return r;
		const Arcbox__V1__MmapReadFileResponse *reply = (const void *)message;
		if (reply->bytes_read != reply->data.len || reply->data.len > request.length)
			return gb_err_set(err, EPROTO, "reply: %zu bytes of data, and a count of %" PRIu64, reply->data.len,
					  reply->bytes_read);
		more = reply->data.len > 0;
		done += reply->data.len;
		r = call->json ? gb_buf_add(&all, reply->data.data, reply->data.len)
			       : gb_io_write(STDOUT_FILENO, reply->data.data, reply->data.len);
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
	r = gb_json_flush(&json, STDOUT_FILENO);
	return r < 0 ? gb_err_sys(err, -r, "standard output") : 0;
}

