/* SPDX-License-Identifier: MIT */
/* vsock-rpc: asks the daemon of a guest, over whatever leads there. */
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "applets/applet.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/net/addr.h"
#include "common/rpc/client.h"
#include "common/rpc/pb.h"
#include "common/rpc/wire.h"
#include "common/sys/setting.h"

enum {
	ADDRESSES_MAX = 8,
	TIMEOUT_MS = 30000, TIMEOUT_MAX_MS = 86400000,
	TRACE_MAX = 256,
	HEX_MAX = 2 * GB_FRAME_MAX + (1 << 20), /* of stdin, blanks included */
};

enum { OPT_CONNECT = GB_OPT_LONG, OPT_TRACE, OPT_TIMEOUT, OPT_JSON, OPT_CLOCK, OPT_GRACE, OPT_START, OPT_WAIT };

/* In front of the command or behind it. */
#define COMMON_OPTS \
	{ OPT_CONNECT, "connect", "ADDRESS", "the daemon's address; of several the first that answers [vsock:1:1024]" }, \
	{ OPT_TRACE, "trace", "ID", "the request's trace id, which the daemon logs and repeats" }, \
	{ OPT_TIMEOUT, "timeout", "S", "give up after this many seconds [30]" }, \
	{ OPT_JSON, "json", NULL, "print the reply as JSON" }

static const struct gb_opt common_opts[] = { COMMON_OPTS, { 0 } };

static const struct gb_opt ping_opts[] = {
	COMMON_OPTS,
	{ OPT_CLOCK, "set-clock", NULL, "send the time: the guest sets its clock when it is off by over a second" },
	{ 0 },
};

static const struct gb_opt shutdown_opts[] = {
	COMMON_OPTS,
	{ OPT_GRACE, "grace", "S", "seconds that processes get to end [the daemon's 25]" },
	{ 0 },
};

static const struct gb_opt mmap_opts[] = {
	COMMON_OPTS,
	{ 'o', "offset", "OFFSET", "start at this byte (K, M, G, T)" },
	{ 'l', "length", "LENGTH", "at most this many bytes (K, M, G, T) [to the end]" },
	{ 0 },
};

static const struct gb_opt runtime_opts[] = {
	COMMON_OPTS,
	{ OPT_START, "start", NULL, "ensure: start it when it is not running" },
	{ OPT_WAIT, "wait", NULL, "ensure: ask again until it is ready, or the timeout" },
	{ 0 },
};

struct call {
	struct gb_addr addrs[ADDRESSES_MAX];
	int addrs_len;
	uint64_t timeout;
	bool json;
	char trace[TRACE_MAX];
	/* of single commands */
	bool set_clock;
	uint32_t grace;
	uint64_t offset, length;
	bool start, wait;
	/* the reply */
	struct gb_buf buf;
	struct gb_frame frame;
	size_t frame_size;
	double seconds;
};

static int option(struct call *call, int key, const char *arg, struct gb_err *err)
{
	long long n;
	int r;

	switch (key) {
	case OPT_CONNECT:
		if (call->addrs_len == ADDRESSES_MAX)
			return gb_err_set(err, GB_E_USAGE, "more than %d addresses", ADDRESSES_MAX);
		r = gb_addr_parse(arg, &call->addrs[call->addrs_len], err);
		if (r == 0 && call->addrs[call->addrs_len].kind == GB_ADDR_STDIO)
			r = gb_err_set(err, GB_E_USAGE, "address \"stdio\": not one to connect to");
		call->addrs_len += r == 0;
		return r;
	case OPT_TRACE:
		if (strlcpy(call->trace, arg, sizeof call->trace) >= sizeof call->trace)
			return gb_err_set(err, GB_E_USAGE, "trace id: longer than %d bytes", TRACE_MAX - 1);
		return 0;
	case OPT_TIMEOUT:
		return gb_parse_seconds(arg, "timeout", TIMEOUT_MAX_MS, &call->timeout, err);
	case OPT_JSON:
		call->json = true;
		return 0;
	case OPT_CLOCK:
		call->set_clock = true;
		return 0;
	case OPT_GRACE:
		r = gb_parse_number(arg, "grace", 0, UINT32_MAX, &n, err);
		call->grace = r == 0 ? (uint32_t)n : 0;
		return r;
	case 'o': return gb_parse_size(arg, "offset", &call->offset, err);
	case 'l': return gb_parse_size(arg, "length", &call->length, err);
	case OPT_START: call->start = true; return 0;
	case OPT_WAIT: call->wait = true; return 0;
	default:
		return key;
	}
}

/* Reads a command's options; *ret_operands is what is left of its words. */
static int options(struct gb_cmd *cmd, int min, int max, const char *what, char ***ret_operands, struct gb_err *err)
{
	struct gb_optscan scan;
	int key, r = 0;

	gb_opt_start(&scan, cmd->verb->opts, cmd->argc, cmd->argv, 0);
	while (r == 0 && (key = gb_opt_next(&scan, err)) != 0)
		r = option(cmd->data, key, scan.arg, err);
	if (r == 0)
		r = gb_opt_operands(&scan, min, max, what, err);
	if (r == 0)
		*ret_operands = scan.argv + scan.index;
	return r;
}

/* Where to, when no --connect says it. */
static int default_address(struct call *call, struct gb_err *err)
{
	static const struct gb_setting setting = {
		.environment = { "GUESTBOX_RPC" }, .cmdline = { "guestbox.rpc" }, .file = "rpc",
	};
	char value[GB_ADDR_TEXT], cid[GB_ADDR_TEXT + 16];
	const char *origin = "the default", *text = "vsock:1:1024";

	if (gb_setting_get(&setting, value, sizeof value, &origin) > 0) {
		text = value;
	} else {
		const char *other = getenv("ARCBOX_AGENT_CID");
		if (other && *other) {
			origin = "ARCBOX_AGENT_CID";
			(void)snprintf(cid, sizeof cid, "vsock:%.100s:1024", other);
			text = cid;
		}
	}
	int r = gb_addr_parse(text, &call->addrs[0], err);
	if (r < 0)
		return gb_err_wrap(err, "%s", origin);
	call->addrs_len = 1;
	return 0;
}

/* The first address that takes the connection. */
static int connect_any(struct call *call, uint64_t deadline, struct gb_err *err)
{
	int fd = -1;

	for (int i = 0; i < call->addrs_len && fd < 0; i++) {
		struct gb_err one = { 0 };
		uint64_t now = gb_net_clock();
		fd = gb_addr_connect(&call->addrs[i], deadline > now ? (int)(deadline - now) : 0, &one);
		if (fd < 0 && i == 0)
			*err = one;
		else if (fd < 0)
			(void)gb_err_set(err, one.code == GB_E_USAGE ? GB_E_USAGE : err->code, "%s; %s", err->msg, one.msg);
	}
	return fd < 0 ? -err->code : fd;
}

/* One request and its reply. */
static int exchange(struct call *call, uint32_t type, const void *payload, size_t len, struct gb_err *err)
{
	struct timespec start, end;
	int r = call->addrs_len ? 0 : default_address(call, err);

	if (r < 0)
		return r;
	/* A name of its own for each request: a reply to somebody who used a serial port before is told from ours. */
	if (!call->trace[0])
		(void)snprintf(call->trace, sizeof call->trace, "%08" PRIx32, arc4random());
	uint64_t deadline = gb_net_clock() + call->timeout;
	gb_buf_free(&call->buf); /* of an earlier call */
	call->frame_size = 0;
	gb_autoclose int fd = connect_any(call, deadline, err);
	if (fd < 0)
		return fd;
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	r = gb_client_send(fd, type, call->trace, payload, len, deadline, err);
	while (r == 0) {
		gb_buf_eat(&call->buf, call->frame_size);
		call->frame_size = 0;
		r = gb_client_receive(fd, &call->buf, &call->frame, &call->frame_size, deadline, err);
		if (r < 0)
			break;
		bool own = call->frame.trace_len == strlen(call->trace) &&
			   memcmp(call->frame.trace, call->trace, call->frame.trace_len) == 0;
		/* Of a peer that could not read our trace id, or would not, there is only an Error. */
		if (own || (call->frame.type == GB_WIRE_ERROR && call->frame.trace_len == 0))
			break;
	}
	if (r < 0) {
		char text[GB_ADDR_TEXT];
		return call->addrs_len == 1 ? gb_err_wrap(err, "%s", gb_addr_format(&call->addrs[0], text)) : r;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	call->seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	return 0;
}

/* The same for a typed call: the decoded reply. */
static int ask(struct call *call, uint32_t type, const ProtobufCMessage *request, ProtobufCMessage **ret_reply,
	       struct gb_err *err)
{
	gb_autobuf struct gb_buf payload = { 0 };
	uint32_t want = gb_wire_reply(type);

	if (request && gb_pb_encode(request, &payload) < 0)
		return gb_err_sys(err, ENOMEM, "request");
	int r = exchange(call, type, gb_buf_text(&payload), payload.len, err);
	if (r < 0)
		return r;
	if (call->frame.type == GB_WIRE_ERROR)
		return gb_client_error(&call->frame, err);
	if (call->frame.type != want) {
		const char *name = gb_wire_name(call->frame.type);
		return gb_err_set(err, EPROTO, "the reply is of type 0x%04" PRIx32 " (%s), not %s", call->frame.type,
				  name ? name : "unknown", gb_wire_name(want));
	}
	r = gb_pb_decode(gb_pb_type(want), call->frame.payload, call->frame.payload_len, ret_reply, err);
	return r < 0 ? gb_err_wrap(err, "reply") : 0;
}

static int print_json(const ProtobufCMessage *reply, const struct call *call, bool timed, struct gb_err *err)
{
	struct gb_json json = { 0 };

	gb_json_open(&json, NULL, '{');
	gb_pb_json(&json, reply);
	if (timed)
		gb_json_double(&json, "seconds", call->seconds);
	gb_json_close(&json, '}');
	fflush(stdout);
	int r = gb_json_flush(&json, STDOUT_FILENO);
	return r < 0 ? gb_err_sys(err, -r, "standard output") : 0;
}

static int print_text(const ProtobufCMessage *reply, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };

	gb_pb_text(&text, reply);
	if (text.failed)
		return gb_err_sys(err, ENOMEM, "reply");
	(void)fwrite(gb_buf_text(&text), 1, text.len, stdout); /* main() checks stdout */
	return 0;
}

static int print(const struct call *call, const ProtobufCMessage *reply, struct gb_err *err)
{
	return call->json ? print_json(reply, call, false, err) : print_text(reply, err);
}

static int run_ping(struct gb_cmd *cmd, struct gb_err *err)
{
	Arcbox__V1__AgentPingRequest request = ARCBOX__V1__AGENT_PING_REQUEST__INIT;
	gb_autopb ProtobufCMessage *message = NULL;
	struct call *call = cmd->data;
	char **operands;

	int r = options(cmd, 0, 1, NULL, &operands, err);
	if (r < 0)
		return r;
	if (operands[0])
		request.message = operands[0];
	if (call->set_clock)
		request.timestamp_secs = time(NULL);
	r = ask(call, GB_WIRE_PING, &request.base, &message, err);
	if (r < 0)
		return r;
	if (call->json)
		return print_json(message, call, true, err);
	const Arcbox__V1__AgentPingResponse *reply = (const void *)message;
	gb_autobuf struct gb_buf text = { 0 };
	gb_pb_plain(&text, reply->message);
	(void)gb_buf_str(&text, " (version ");
	gb_pb_plain(&text, reply->version);
	printf("%s, protocol %" PRIu32 ", %.3f ms)\n", gb_buf_text(&text), reply->protocol_version, call->seconds * 1e3);
	return 0;
}

static int run_info(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autopb ProtobufCMessage *reply = NULL;
	char **operands;
	int r = options(cmd, 0, 0, NULL, &operands, err);

	if (r == 0)
		r = ask(cmd->data, GB_WIRE_GET_SYSTEM_INFO, NULL, &reply, err);
	return r < 0 ? r : print(cmd->data, reply, err);
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

static int run_mmap(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autobuf struct gb_buf all = { 0 }, text = { 0 };
	struct call *call = cmd->data;
	char **operands;
	uint64_t done = 0;

	call->length = UINT64_MAX;
	int r = options(cmd, 1, 1, "path", &operands, err);
	if (r < 0)
		return r;
	for (bool more = true; more && done < call->length;) {
		Arcbox__V1__MmapReadFileRequest request = ARCBOX__V1__MMAP_READ_FILE_REQUEST__INIT;
		gb_autopb ProtobufCMessage *message = NULL;
		request.path = operands[0];
		request.length = call->length - done < PIECE ? call->length - done : PIECE;
		if (__builtin_add_overflow(call->offset, done, &request.offset))
			break;
		r = ask(call, GB_WIRE_MMAP_READ_FILE, &request.base, &message, err);
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

static int run_trim(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autopb ProtobufCMessage *message = NULL;
	struct call *call = cmd->data;
	char **operands;
	int r = options(cmd, 0, 0, NULL, &operands, err);

	if (r == 0)
		r = ask(call, GB_WIRE_DISK_TRIM, NULL, &message, err);
	if (r < 0)
		return r;
	char *result = ((Arcbox__V1__DiskTrimResponse *)(void *)message)->result;
	bool failed = strstr(result, ": failed (") || strstr(result, ": error (");
	if (call->json) {
		r = print_json(message, call, false, err);
	} else {
		gb_autobuf struct gb_buf text = { 0 };
		for (char *next; result; result = next) { /* a clause a line */
			next = strstr(result, "; ");
			if (next) {
				*next = '\0';
				next += 2;
			}
			gb_pb_plain(&text, result);
			(void)gb_buf_str(&text, "\n");
		}
		(void)fputs(gb_buf_text(&text), stdout);
	}
	return r < 0 ? r : failed ? 1 : 0;
}

static int run_runtime(struct gb_cmd *cmd, struct gb_err *err)
{
	enum { PAUSE_MS = 120, PAUSE_MAX_MS = 1200 }; /* as the host's own client polls */
	Arcbox__V1__RuntimeEnsureRequest request = ARCBOX__V1__RUNTIME_ENSURE_REQUEST__INIT;
	struct call *call = cmd->data;
	char **operands;

	int r = options(cmd, 1, 1, "one of ensure, status", &operands, err);
	if (r < 0)
		return r;
	bool ensure = strcmp(operands[0], "ensure") == 0;
	if (!ensure && strcmp(operands[0], "status") != 0)
		return gb_err_set(err, GB_E_USAGE, "\"%s\" is none of ensure, status", operands[0]);
	if (!ensure && (call->start || call->wait))
		return gb_err_set(err, GB_E_USAGE, "%s goes with ensure", call->start ? "--start" : "--wait");
	request.start_if_needed = call->start;
	uint64_t deadline = gb_net_clock() + call->timeout, pause = PAUSE_MS;
	for (;;) {
		gb_autopb ProtobufCMessage *reply = NULL;
		r = ask(call, ensure ? GB_WIRE_ENSURE_RUNTIME : GB_WIRE_RUNTIME_STATUS, ensure ? &request.base : NULL, &reply, err);
		if (r < 0)
			return r;
		const Arcbox__V1__RuntimeEnsureResponse *state = (const void *)reply;
		bool ready = ensure && state->ready;
		if (call->wait && !ready && gb_net_clock() + pause < deadline && strcmp(state->status, "failed") != 0) {
			struct timespec ts = { .tv_sec = (time_t)(pause / 1000), .tv_nsec = (long)(pause % 1000) * 1000000 };
			(void)nanosleep(&ts, NULL);
			pause = pause * 3 / 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause * 3 / 2;
			continue;
		}
		r = print(call, reply, err);
		return r < 0 ? r : ensure && !ready ? 1 : 0;
	}
}

static int run_k8s(struct gb_cmd *cmd, struct gb_err *err)
{
	static const struct { const char *name; uint32_t type; } verb_types[] = {
		{ "start", GB_WIRE_KUBERNETES_START }, { "stop", GB_WIRE_KUBERNETES_STOP },
		{ "delete", GB_WIRE_KUBERNETES_DELETE }, { "status", GB_WIRE_KUBERNETES_STATUS },
		{ "kubeconfig", GB_WIRE_KUBERNETES_KUBECONFIG },
	};
	gb_autopb ProtobufCMessage *reply = NULL;
	struct call *call = cmd->data;
	char **operands;
	uint32_t type = 0;

	int r = options(cmd, 1, 1, "one of start, stop, delete, status, kubeconfig", &operands, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < GB_ARRAY_LEN(verb_types); i++) {
		if (strcmp(verb_types[i].name, operands[0]) == 0)
			type = verb_types[i].type;
	}
	if (!type)
		return gb_err_set(err, GB_E_USAGE, "\"%s\" is none of start, stop, delete, status, kubeconfig", operands[0]);
	r = ask(call, type, NULL, &reply, err);
	if (r < 0)
		return r;
	if (type != GB_WIRE_KUBERNETES_KUBECONFIG || call->json)
		return print(call, reply, err);
	/* A file to be kept: as it is. */
	(void)fputs(((const Arcbox__V1__KubernetesKubeconfigResponse *)(const void *)reply)->kubeconfig, stdout);
	return 0;
}

static int run_shutdown(struct gb_cmd *cmd, struct gb_err *err)
{
	Arcbox__V1__ShutdownRequest request = ARCBOX__V1__SHUTDOWN_REQUEST__INIT;
	gb_autopb ProtobufCMessage *message = NULL;
	struct call *call = cmd->data;
	char **operands;

	int r = options(cmd, 0, 0, NULL, &operands, err);
	if (r < 0)
		return r;
	request.timeout_seconds = call->grace;
	r = ask(call, GB_WIRE_SHUTDOWN, &request.base, &message, err);
	if (r < 0)
		return r;
	if (!((const Arcbox__V1__ShutdownResponse *)(const void *)message)->accepted)
		return gb_err_set(err, EREMOTEIO, "the daemon does not accept it");
	if (call->json)
		return print_json(message, call, false, err);
	puts("accepted: the guest is on its way down");
	return 0;
}

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

static int print_raw(struct call *call, struct gb_err *err)
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
	int r = gb_json_flush(&json, STDOUT_FILENO);
	return r < 0 ? gb_err_sys(err, -r, "standard output") : 0;
}

static int run_raw(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autobuf struct gb_buf payload = { 0 }, input = { 0 };
	struct call *call = cmd->data;
	char **operands;
	uint32_t type;

	int r = options(cmd, 1, 2, "type", &operands, err);
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
		r = exchange(call, type, gb_buf_text(&payload), payload.len, err);
	if (r < 0)
		return r;
	if (call->frame.type == GB_WIRE_ERROR)
		return gb_client_error(&call->frame, err);
	return print_raw(call, err);
}

static const struct gb_verb verbs[] = {
	{ "ping", "[TEXT] [--set-clock]", "ask for a sign of life", ping_opts, run_ping, NULL },
	{ "info", NULL, "show the guest's kernel, memory, load and addresses", common_opts, run_info, NULL },
	{ "runtime", "ensure [--start] [--wait]\nstatus", "ask for the container runtime, or start it", runtime_opts, run_runtime, NULL },
	{ "k8s", "start|stop|delete|status|kubeconfig", "the guest's Kubernetes", common_opts, run_k8s, NULL },
	{ "mmap", "[-o OFFSET] [-l LENGTH] PATH", "write a file of the guest, read there through a mapping", mmap_opts, run_mmap, NULL },
	{ "trim", NULL, "let the guest's data disk give free blocks back", common_opts, run_trim, NULL },
	{ "shutdown", "[--grace S]", "power the guest off in order", shutdown_opts, run_shutdown, NULL },
	{ "raw", "TYPE [HEX|-]", "send any payload and show the reply in hex", common_opts, run_raw, NULL },
	{ 0 },
};

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct call call = { .timeout = TIMEOUT_MS };
	struct gb_optscan scan;
	int key, r = 0;

	gb_opt_start(&scan, common_opts, cmd->argc, cmd->argv, GB_OPT_STOP);
	while (r == 0 && (key = gb_opt_next(&scan, err)) != 0)
		r = option(&call, key, scan.arg, err);
	if (r == 0) {
		cmd->data = &call;
		r = scan.index < scan.argc ? gb_verb_run(cmd, scan.argc - scan.index, scan.argv + scan.index, err)
					   : gb_err_set(err, GB_E_USAGE, "missing command");
	}
	gb_buf_free(&call.buf);
	return r;
}

const struct gb_applet gb_applet_vsock_rpc = {
	.name = "vsock-rpc",
	.summary = "ask a guest's daemon",
	.synopsis = "[--connect ADDRESS]... [--trace ID] [--timeout S] [--json] COMMAND [ARG...]",
	.opts = common_opts,
	.verbs = verbs,
	.run = run,
};
