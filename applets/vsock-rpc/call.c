/* SPDX-License-Identifier: MIT */
/* vsock-rpc: one request and its reply, over whatever leads to the guest. */
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpc/rpc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/mono.h"
#include "common/base/parse.h"
#include "common/rpc/client.h"
#include "common/rpc/wire.h"
#include "common/sys/setting.h"

enum { TIMEOUT_MAX_MS = 86400000 };

const struct gb_opt rpc_common_opts[] = {
	GB_OPT(RPC_OPT_CONNECT, "connect", "ADDRESS", "the daemon's address; of several the first that answers [vsock:1:1024]"),
	GB_OPT(RPC_OPT_TRACE, "trace", "ID", "the request's trace id, which the daemon logs and repeats"),
	GB_OPT(RPC_OPT_TIMEOUT, "timeout", "S", "give up after this many seconds [30]"),
	GB_OPT(RPC_OPT_JSON, "json", "", "print the reply as JSON"),
	{ 0 },
};

int rpc_option(struct rpc_call *call, int key, const char *arg, struct gb_err *err)
{
	int r;

	switch (key) {
	case RPC_OPT_CONNECT:
		if (call->addrs_len == RPC_ADDRESSES_MAX)
			return gb_err_set(err, GB_E_USAGE, "more than %d addresses", RPC_ADDRESSES_MAX);
		r = gb_addr_parse(arg, &call->addrs[call->addrs_len], err);
		if (r == 0 && call->addrs[call->addrs_len].kind == GB_ADDR_STDIO)
			r = gb_err_set(err, GB_E_USAGE, "address \"stdio\": not one to connect to");
		call->addrs_len += r == 0;
		return r;
	case RPC_OPT_TRACE:
		if (strlcpy(call->trace, arg, sizeof call->trace) >= sizeof call->trace)
			return gb_err_set(err, GB_E_USAGE, "trace id: longer than %d bytes", RPC_TRACE_MAX - 1);
		return 0;
	case RPC_OPT_TIMEOUT:
		return gb_parse_seconds(arg, "timeout", TIMEOUT_MAX_MS, &call->timeout, err);
	case RPC_OPT_JSON:
		call->json = true;
		return 0;
	default:
		return key;
	}
}

int rpc_options(struct gb_cmd *cmd, const struct rpc_scan *scan, char ***ret_operands, struct gb_err *err)
{
	struct gb_optscan pass;
	int key, r = 0;

	gb_opt_start(&pass, cmd->verb->opts, cmd->argc, cmd->argv, scan->flags);
	while (r == 0 && (key = gb_opt_next(&pass, err)) != 0) {
		r = rpc_option(cmd->data, key, pass.arg, err);
		if (r > 0)
			r = scan->own(scan->data, key, pass.arg, err);
	}
	if (r == 0)
		r = gb_opt_operands(&pass, scan->min, scan->max, scan->what, err);
	if (r == 0)
		*ret_operands = pass.argv + pass.index;
	return r;
}

/* Where to, when no --connect says it. */
static int default_address(struct rpc_call *call, struct gb_err *err)
{
	static const struct gb_setting setting = {
		.environment = { "GUESTBOX_RPC" }, .cmdline = { "guestbox.rpc" }, .file = "/etc/guestbox/rpc",
	};
	char value[GB_ADDR_TEXT], cid[GB_ADDR_TEXT + 16];
	const char *origin = "the default", *text = "vsock:1:1024";

	int r = gb_setting_get(&setting, value, sizeof value, &origin);
	if (r < 0 && r != -ENOENT)
		return gb_err_sys(err, -r, "%s", origin);
	if (r > 0) {
		text = value;
	} else {
		const char *other = getenv("ARCBOX_AGENT_CID");
		if (other && *other) {
			origin = "ARCBOX_AGENT_CID";
			(void)snprintf(cid, sizeof cid, "vsock:%.100s:1024", other);
			text = cid;
		}
	}
	r = gb_addr_parse(text, &call->addrs[0], err);
	if (r < 0)
		return gb_err_wrap(err, "%s", origin);
	call->addrs_len = 1;
	return 0;
}

int rpc_connect(struct rpc_call *call, uint64_t deadline, struct gb_err *err)
{
	int fd = -1, r = call->addrs_len ? 0 : default_address(call, err);

	if (r < 0)
		return r;
	/* A name of its own for each request: a reply to somebody who used a serial port before is told from ours. */
	if (!call->trace[0])
		(void)snprintf(call->trace, sizeof call->trace, "%08" PRIx32, arc4random());
	for (int i = 0; i < call->addrs_len && fd < 0; i++) {
		struct gb_err one = { 0 };
		uint64_t now = gb_mono_ms();
		fd = gb_addr_connect(&call->addrs[i], deadline > now ? (int)(deadline - now) : 0, &one);
		if (fd < 0 && i == 0)
			*err = one;
		else if (fd < 0)
			(void)gb_err_set(err, one.code == GB_E_USAGE ? GB_E_USAGE : err->code, "%s; %s", err->msg, one.msg);
	}
	return fd < 0 ? -err->code : fd;
}

bool rpc_is_ours(const struct rpc_call *call, const struct gb_frame *frame)
{
	bool own = frame->trace_len == strlen(call->trace) && memcmp(frame->trace, call->trace, frame->trace_len) == 0;

	/* Of a peer that could not read our trace id, or would not, there is only an Error. */
	return own || (frame->type == GB_WIRE_ERROR && frame->trace_len == 0);
}

static int exchange(struct rpc_call *call, int fd, uint32_t type, const void *payload, size_t len, uint64_t deadline,
		    struct gb_err *err)
{
	uint64_t start = gb_mono_ns();

	call->buf.len = 0; /* of an earlier call; its memory is of use again */
	call->frame_size = 0;
	int r = gb_client_send(fd, type, call->trace, payload, len, deadline, err);
	while (r == 0) {
		gb_buf_eat(&call->buf, call->frame_size);
		call->frame_size = 0;
		r = gb_client_receive(fd, &call->buf, &call->frame, &call->frame_size, deadline, err);
		if (r < 0 || rpc_is_ours(call, &call->frame))
			break;
	}
	if (r < 0)
		return rpc_at_peer(call, err);
	call->seconds = (double)(gb_mono_ns() - start) / 1e9;
	return 0;
}

int rpc_exchange(struct rpc_call *call, uint32_t type, const void *payload, size_t len, struct gb_err *err)
{
	uint64_t deadline = gb_mono_ms() + call->timeout;

	gb_autoclose int fd = rpc_connect(call, deadline, err);
	return fd < 0 ? fd : exchange(call, fd, type, payload, len, deadline, err);
}

int rpc_at_peer(const struct rpc_call *call, struct gb_err *err)
{
	char text[GB_ADDR_TEXT];

	return call->addrs_len == 1 ? gb_err_wrap(err, "%s", gb_addr_format(&call->addrs[0], text)) : -err->code;
}

int rpc_check_type(const struct gb_frame *frame, uint32_t want, struct gb_err *err)
{
	if (frame->type == want)
		return 0;
	if (frame->type == GB_WIRE_ERROR)
		return gb_client_error(frame, err);
	const char *name = gb_wire_name(frame->type);
	return gb_err_set(err, EPROTO, "the reply is of type 0x%04" PRIx32 " (%s), not %s", frame->type,
			  name ? name : "unknown", gb_wire_name(want));
}

int rpc_decode(const struct gb_frame *frame, uint32_t want, ProtobufCMessage **ret_reply, struct gb_err *err)
{
	int r = rpc_check_type(frame, want, err);

	if (r < 0)
		return r;
	r = gb_pb_decode_reply(gb_pb_type(want), frame->payload, frame->payload_len, ret_reply, err);
	return r < 0 ? gb_err_wrap(err, "reply") : 0;
}

/* Sends a message, over a connection that is there or (-1) one of its own, and waits for whatever comes back. */
static int ask_frame(struct rpc_call *call, int conn, uint32_t type, const ProtobufCMessage *request, struct gb_err *err)
{
	gb_autobuf struct gb_buf payload = { 0 };

	if (request && gb_pb_encode(request, &payload) < 0)
		return gb_err_sys(err, ENOMEM, "request");
	if (conn < 0)
		return rpc_exchange(call, type, gb_buf_text(&payload), payload.len, err);
	return exchange(call, conn, type, gb_buf_text(&payload), payload.len, gb_mono_ms() + call->timeout, err);
}

int rpc_ask_frame(struct rpc_call *call, uint32_t type, const ProtobufCMessage *request, struct gb_err *err)
{
	return ask_frame(call, -1, type, request, err);
}

int rpc_ask_on(struct rpc_call *call, int conn, uint32_t type, const ProtobufCMessage *request, ProtobufCMessage **ret_reply,
	       struct gb_err *err)
{
	int r = ask_frame(call, conn, type, request, err);

	return r < 0 ? r : rpc_decode(&call->frame, gb_wire_reply(type), ret_reply, err);
}

int rpc_ask(struct rpc_call *call, uint32_t type, const ProtobufCMessage *request, ProtobufCMessage **ret_reply,
	    struct gb_err *err)
{
	return rpc_ask_on(call, -1, type, request, ret_reply, err);
}

int rpc_ask_empty_on(struct rpc_call *call, int conn, uint32_t type, const ProtobufCMessage *request, struct gb_err *err)
{
	int r = ask_frame(call, conn, type, request, err);

	if (r < 0 || call->frame.type == GB_WIRE_EMPTY)
		return r;
	return rpc_check_type(&call->frame, gb_wire_reply(type), err);
}

int rpc_ask_empty(struct rpc_call *call, uint32_t type, const ProtobufCMessage *request, struct gb_err *err)
{
	return rpc_ask_empty_on(call, -1, type, request, err);
}

int rpc_print_json(const ProtobufCMessage *reply, const struct rpc_call *call, bool timed, struct gb_err *err)
{
	struct gb_json json = { 0 };

	gb_json_open(&json, NULL, '{');
	gb_pb_json(&json, reply);
	if (timed)
		gb_json_double(&json, "seconds", call->seconds);
	gb_json_close(&json, '}');
	return gb_json_print(&json, err);
}

int rpc_print_text(const struct gb_buf *text, struct gb_err *err)
{
	if (text->failed)
		return gb_err_sys(err, ENOMEM, "reply");
	(void)fwrite(gb_buf_text(text), 1, text->len, stdout); /* main() checks stdout */
	return 0;
}

int rpc_print(const struct rpc_call *call, const ProtobufCMessage *reply, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };

	if (call->json)
		return rpc_print_json(reply, call, false, err);
	gb_pb_text(&text, reply);
	return rpc_print_text(&text, err);
}

bool rpc_pause(uint64_t deadline, uint64_t *pause)
{
	enum { PAUSE_MAX_MS = 1200 };

	if (gb_mono_ms() + *pause >= deadline)
		return false;
	struct timespec ts = { .tv_sec = (time_t)(*pause / 1000), .tv_nsec = (long)(*pause % 1000) * 1000000 };
	(void)nanosleep(&ts, NULL);
	*pause = *pause * 3 / 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : *pause * 3 / 2;
	return true;
}
