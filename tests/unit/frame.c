/* SPDX-License-Identifier: MIT */
/* common/rpc: frames byte for byte, what is refused and when, strict payloads. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/rpc/frame.h"
#include "common/rpc/kubeconfig.h"
#include "common/rpc/pb.h"
#include "common/rpc/wire.h"

static size_t unhex(const char *text, unsigned char *out)
{
	size_t n = 0;

	for (; *text; text++) {
		unsigned v;
		if (*text == ' ')
			continue;
		assert_int_equal(sscanf(text, "%2x", &v), 1);
		out[n++] = (unsigned char)v;
		text++;
	}
	return n;
}

/* A frame made by our own writer. */
static size_t build(uint32_t type, const char *trace, const void *payload, size_t len, unsigned char *out)
{
	assert_int_equal(gb_frame_head(out, type, strlen(trace), len), 0);
	memcpy(out + GB_FRAME_HEAD, trace, strlen(trace));
	memcpy(out + GB_FRAME_HEAD + strlen(trace), payload, len);
	return GB_FRAME_HEAD + strlen(trace) + len;
}

static size_t encoded(const ProtobufCMessage *message, unsigned char *out)
{
	return protobuf_c_message_pack(message, out);
}

/* The bytes of a vector, in pieces of every size: the parser wants more until the last byte, and then gives the frame. */
static struct gb_frame parse(const unsigned char *bytes, size_t len)
{
	struct gb_frame frame = { 0 };

	for (size_t n = 0; n < len; n++)
		assert_int_equal(gb_frame_parse(bytes, n, GB_FRAME_MAX, &frame), 0);
	assert_int_equal(gb_frame_parse(bytes, len, GB_FRAME_MAX, &frame), len);
	return frame;
}

static void vector(const char *hex, uint32_t type, const char *trace, const ProtobufCMessage *message)
{
	unsigned char want[256], got[256], payload[256];
	size_t len = unhex(hex, want), n = message ? encoded(message, payload) : 0;
	struct gb_frame frame = parse(want, len);

	assert_int_equal(frame.type, type);
	assert_int_equal(frame.trace_len, strlen(trace));
	assert_memory_equal(frame.trace, trace, strlen(trace));
	assert_int_equal(build(type, trace, payload, n, got), len);
	assert_memory_equal(got, want, len);
	if (message) {
		gb_autopb ProtobufCMessage *back = NULL;
		unsigned char again[256];
		assert_int_equal(gb_pb_decode(message->descriptor, frame.payload, frame.payload_len, &back, NULL), 0);
		assert_int_equal(encoded(back, again), n);
		assert_memory_equal(again, payload, n);
	}
}

static char text_hi[] = "hi", text_ping[] = "ping", text_pong[] = "pong: hi", text_version[] = "0.4.10";

static void vectors_of_the_protocol(void **state)
{
	Arcbox__V1__AgentPingRequest ping = ARCBOX__V1__AGENT_PING_REQUEST__INIT;
	Arcbox__V1__AgentPingResponse pong = ARCBOX__V1__AGENT_PING_RESPONSE__INIT;
	Arcbox__V1__RuntimeEnsureRequest ensure = ARCBOX__V1__RUNTIME_ENSURE_REQUEST__INIT;
	Arcbox__V1__ShutdownRequest down = ARCBOX__V1__SHUTDOWN_REQUEST__INIT;
	Arcbox__V1__ShutdownResponse accepted = ARCBOX__V1__SHUTDOWN_RESPONSE__INIT;

	(void)state;
	vector("00000006 00000001 0000", GB_WIRE_PING, "", &ping.base);
	ping.message = text_hi;
	vector("0000000a 00000001 0000 0a026869", GB_WIRE_PING, "", &ping.base);
	ping.message = text_ping;
	ping.timestamp_secs = 1781827200;
	vector("00000012 00000001 0000 0a0470696e67 10808dd2d106", GB_WIRE_PING, "", &ping.base);
	pong.message = text_pong;
	pong.version = text_version;
	vector("0000001a 00001001 0002 7431 0a08706f6e673a206869 1206302e342e3130", GB_WIRE_PING_REPLY, "t1", &pong.base);
	vector("00000006 00000002 0000", GB_WIRE_GET_SYSTEM_INFO, "", NULL);
	ensure.start_if_needed = 1;
	vector("00000008 00000003 0000 0801", GB_WIRE_ENSURE_RUNTIME, "", &ensure.base);
	down.timeout_seconds = 25;
	vector("00000008 0000000a 0000 0819", GB_WIRE_SHUTDOWN, "", &down.base);
	accepted.accepted = 1;
	vector("00000008 0000100a 0000 0801", GB_WIRE_SHUTDOWN_REPLY, "", &accepted.base);
	vector("00000006 00001021 0000", GB_WIRE_SANDBOX_STOP_REPLY, "", NULL);
	vector("00000006 00000033 0000", GB_WIRE_SANDBOX_EXEC_INPUT, "", NULL);
}

/* Payloads that are no message, or whose numbers other peers write: their frames. */
static void vectors_of_raw_payloads(void **state)
{
	static const struct { const char *hex; uint32_t type; size_t payload; } rows[] = {
		{ "00000009 00000033 0000 6c730a", GB_WIRE_SANDBOX_EXEC_INPUT, 3 },
		{ "0000000e 00001036 0000 0a0465786974 2001", GB_WIRE_SANDBOX_EXEC_OUTPUT, 8 },
		{ "00000019 00001036 0000 0a0465786974 18ffffffffffffffffff01 2001", GB_WIRE_SANDBOX_EXEC_OUTPUT, 19 },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		unsigned char bytes[64], again[64];
		size_t len = unhex(rows[i].hex, bytes);
		struct gb_frame frame = parse(bytes, len);
		assert_int_equal(frame.type, rows[i].type);
		assert_int_equal(frame.payload_len, rows[i].payload);
		assert_int_equal(build(frame.type, "", frame.payload, frame.payload_len, again), len);
		assert_memory_equal(again, bytes, len);
	}
}

static void packed_doubles(void **state)
{
	unsigned char bytes[64], again[64];
	size_t len = unhex("4218 000000000000e03f 000000000000d03f 0000000000000000", bytes);
	gb_autopb ProtobufCMessage *message = NULL;

	(void)state;
	assert_int_equal(gb_pb_decode(gb_pb_type(GB_WIRE_GET_SYSTEM_INFO_REPLY), bytes, len, &message, NULL), 0);
	const Arcbox__V1__SystemInfo *info = (const void *)message;
	assert_int_equal(info->n_load_average, 3);
	assert_true(info->load_average[0] == 0.5 && info->load_average[1] == 0.25 && info->load_average[2] == 0);
	assert_int_equal(encoded(message, again), len);
	assert_memory_equal(again, bytes, len);
	/* The same, not packed. */
	gb_autopb ProtobufCMessage *plain = NULL;
	len = unhex("41 000000000000e03f 41 000000000000d03f", bytes);
	assert_int_equal(gb_pb_decode(gb_pb_type(GB_WIRE_GET_SYSTEM_INFO_REPLY), bytes, len, &plain, NULL), 0);
	assert_int_equal(((const Arcbox__V1__SystemInfo *)(const void *)plain)->n_load_average, 2);
}

static void fields_where_they_stand(void **state)
{
	/* 1: "ab", 3: fixed64, 2: 300 in three bytes, 1 again: "c", 4: fixed32 */
	static const unsigned char bytes[] = { 0x0a, 2, 'a', 'b', 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0xac, 0x82, 0,
					       0x0a, 1, 'c', 0x25, 1, 2, 3, 4 };
	const unsigned char *data = NULL;
	uint64_t value = 77;

	(void)state;
	assert_true(gb_pb_field(bytes, sizeof bytes, 1, &value, &data));
	assert_int_equal(value, 1);
	assert_ptr_equal(data, bytes + 19);
	assert_true(gb_pb_field(bytes, sizeof bytes, 2, &value, &data));
	assert_int_equal(value, 300);
	assert_false(gb_pb_field(bytes, sizeof bytes, 3, &value, &data)); /* it has no place in a varint or in bytes */
	assert_false(gb_pb_field(bytes, sizeof bytes, 5, &value, &data));
	assert_false(gb_pb_field(bytes, 0, 1, &value, &data));
	assert_false(gb_pb_field(bytes, 3, 1, &value, &data)); /* cut off */
	assert_int_equal(value, 300);
}

static void error_payloads(void **state)
{
	unsigned char bytes[64], head[GB_FRAME_ERROR_HEAD];
	size_t len = unhex("00000013 0000ffff 0002 7431 00000190 00000003 626164", bytes);
	struct gb_frame frame = parse(bytes, len);
	const char *text;
	int32_t code;
	size_t n;

	(void)state;
	assert_int_equal(gb_frame_error_parse(&frame, &code, &text, &n), 0);
	assert_int_equal(code, 400);
	assert_int_equal(n, 3);
	assert_memory_equal(text, "bad", 3);
	gb_frame_error_head(head, 400, 3);
	assert_memory_equal(head, frame.payload, sizeof head);

	len = unhex("0000000e 0000ffff 0000 ffffffff 00000000", bytes);
	frame = parse(bytes, len);
	assert_int_equal(gb_frame_error_parse(&frame, &code, &text, &n), 0);
	assert_int_equal(code, -1);
	assert_int_equal(n, 0);
	gb_frame_error_head(head, -1, 0);
	assert_memory_equal(head, frame.payload, sizeof head);

	/* A text that is longer than the payload, and a payload that is shorter than its head. */
	len = unhex("00000010 0000ffff 0000 00000190 00000009 6261", bytes);
	frame = parse(bytes, len);
	assert_int_equal(gb_frame_error_parse(&frame, &code, &text, &n), -1);
	assert_int_equal(n, 2);
	len = unhex("0000000a 0000ffff 0000 00000190", bytes);
	frame = parse(bytes, len);
	assert_int_equal(gb_frame_error_parse(&frame, &code, &text, &n), -1);
	assert_int_equal(code, 400);
	assert_int_equal(n, 0);
}

static void malformed_frames_are_seen_in_their_heads(void **state)
{
	static const struct { const char *hex; long want; } rows[] = {
		{ "00000000", GB_FRAME_E_SHORT }, { "00000004 00000001", GB_FRAME_E_SHORT },
		{ "00000005 00000001 00", GB_FRAME_E_SHORT },
		{ "00100001", GB_FRAME_E_LONG }, { "ffffffff", GB_FRAME_E_LONG },
		{ "00000006 00000001 0001", GB_FRAME_E_TRACE }, { "00000010 00000001 ffff", GB_FRAME_E_TRACE },
		{ "00100000", 0 }, /* the largest request: its bytes are still to come */
	};
	struct gb_frame frame;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		unsigned char bytes[16];
		size_t len = unhex(rows[i].hex, bytes);
		assert_int_equal(gb_frame_parse(bytes, len, GB_FRAME_REQUEST_MAX, &frame), rows[i].want);
	}
	assert_non_null(strstr(gb_frame_strerror(GB_FRAME_E_TRACE), "trace"));
}

static void frames_that_no_client_takes_are_not_built(void **state)
{
	unsigned char head[GB_FRAME_HEAD] = { 0 }, untouched[GB_FRAME_HEAD] = { 0 };

	(void)state;
	assert_int_equal(gb_frame_head(head, 1, 65536, 0), -1);
	assert_int_equal(gb_frame_head(head, 1, 0, GB_FRAME_MAX), -1);
	assert_int_equal(gb_frame_head(head, 1, 2, GB_FRAME_MAX - GB_FRAME_COUNTED - 1), -1);
	assert_int_equal(gb_frame_head(head, 1, 0, SIZE_MAX), -1);
	assert_memory_equal(head, untouched, sizeof head);
	assert_int_equal(gb_frame_head(head, 1, 65535, 0), 0);
	assert_int_equal(gb_frame_head(head, 1, 2, GB_FRAME_MAX - GB_FRAME_COUNTED - 2), 0);
}

static int check_ping(const char *hex, struct gb_err *err)
{
	unsigned char bytes[64];
	size_t len = unhex(hex, bytes);
	gb_autopb ProtobufCMessage *message = NULL;

	return gb_pb_decode(gb_pb_type(GB_WIRE_PING), bytes, len, &message, err);
}

static void payloads_are_decoded_strictly(void **state)
{
	struct gb_err err;

	(void)state;
	assert_int_equal(check_ping("", &err), 0);
	assert_int_equal(check_ping("0a0161 0a0162", &err), 0);          /* the last one wins */
	assert_int_equal(check_ping("9a060161 a0 06 01", &err), 0);       /* unknown fields */
	assert_int_equal(check_ping("10ffffffffffffffffff01", &err), 0);  /* -1 */
	assert_int_equal(check_ping("0a04f09f9880", &err), 0);            /* beyond the BMP */
	assert_int_equal(check_ping("0801", &err), -EBADMSG);             /* a string as a varint */
	assert_non_null(strstr(err.msg, "message"));
	assert_int_equal(check_ping("1200", &err), -EBADMSG);             /* a number as bytes */
	assert_int_equal(check_ping("0a02c080", &err), -EBADMSG);         /* overlong */
	assert_non_null(strstr(err.msg, "UTF-8"));
	assert_int_equal(check_ping("0a03eda080", &err), -EBADMSG);       /* a surrogate */
	assert_int_equal(check_ping("0a04f4908080", &err), -EBADMSG);     /* above U+10FFFF */
	assert_int_equal(check_ping("0a0180", &err), -EBADMSG);
	assert_int_equal(check_ping("0a01c3", &err), -EBADMSG);           /* cut */
	assert_int_equal(check_ping("0a03610062", &err), -EBADMSG);       /* C strings would end there */
	assert_non_null(strstr(err.msg, "NUL"));
	assert_int_equal(check_ping("0a05616263", &err), -EBADMSG);       /* cut off */
	assert_int_equal(check_ping("0a", &err), -EBADMSG);
	assert_int_equal(check_ping("10", &err), -EBADMSG);
	assert_int_equal(check_ping("0affffffffffffffffff7f", &err), -EBADMSG);
	assert_int_equal(check_ping("10 ffffffffffffffffffff01", &err), -EBADMSG); /* eleven bytes of varint */
	assert_int_equal(check_ping("0001", &err), -EBADMSG);             /* field 0 */
	assert_int_equal(check_ping("9b06", &err), -EBADMSG);             /* a group */
	assert_int_equal(check_ping("9f06", &err), -EBADMSG);             /* wire type 7 */
}

static void fields_are_bounded(void **state)
{
	unsigned char many[2 * (GB_PB_FIELDS_MAX + 1)];
	const ProtobufCMessageDescriptor *type = gb_pb_type(GB_WIRE_SHUTDOWN);

	(void)state;
	for (size_t i = 0; i < sizeof many; i += 2) {
		many[i] = 0x78; /* field 15, a varint */
		many[i + 1] = 1;
	}
	assert_int_equal(gb_pb_check(type, many, sizeof many - 2, NULL), 0);
	assert_int_equal(gb_pb_check(type, many, sizeof many, NULL), -EBADMSG);
}

static void types_have_names_replies_and_messages(void **state)
{
	uint32_t type = 0;

	(void)state;
	assert_string_equal(gb_wire_name(0x000c), "DiskTrimRequest");
	assert_string_equal(gb_wire_name(0xffff), "Error");
	assert_null(gb_wire_name(0x000d));
	assert_int_equal(gb_wire_reply(0x0001), 0x1001);
	assert_int_equal(gb_wire_reply(0x0030), 0x1035);
	assert_int_equal(gb_wire_reply(0x1001), 0);
	assert_true(gb_wire_is_request(0x0043));
	assert_false(gb_wire_is_request(0x0033));
	assert_false(gb_wire_is_request(0x0000));
	assert_true(gb_wire_is_sandbox(0x0020));
	assert_false(gb_wire_is_sandbox(0x0033));
	assert_false(gb_wire_is_sandbox(0x1020));
	assert_true(gb_wire_parse("0x1a", &type) && type == 26);
	assert_true(gb_wire_parse("010", &type) && type == 10);
	assert_true(gb_wire_parse("PingRequest", &type) && type == 1);
	assert_false(gb_wire_parse("-1", &type));
	assert_false(gb_wire_parse("4294967296", &type));
	assert_false(gb_wire_parse("Nothing", &type));
	assert_ptr_equal(gb_pb_type(0x0001), &arcbox__v1__agent_ping_request__descriptor);
	assert_null(gb_pb_type(0x0002));
	assert_null(gb_pb_type(0xffff));
	/* Each reply that a request is promised is in the table. */
	for (uint32_t t = 0; t < 0x100; t++) {
		if (gb_wire_is_request(t))
			assert_non_null(gb_wire_name(gb_wire_reply(t)));
	}
}

static void a_kubeconfig_is_rewritten_for_the_host(void **state)
{
	static const char text[] =
		"apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ZGVmYXVsdA==\n"
		"    server: https://127.0.0.1:6443\n  name: default\ncontexts:\n- context:\n    cluster: default\n"
		"    user: \"default\"\n    namespace: default\n  name: default\ncurrent-context: default\nkind: Config\n"
		"users:\n- name: default-other\n- name: default\r\n  user:\n    token: name: default";
	static const char want[] =
		"apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ZGVmYXVsdA==\n"
		"    server: https://127.0.0.1:16443\n  name: arcbox\ncontexts:\n- context:\n    cluster: arcbox\n"
		"    user: arcbox\n    namespace: default\n  name: arcbox\ncurrent-context: arcbox\nkind: Config\n"
		"users:\n- name: default-other\n- name: arcbox\n  user:\n    token: name: default";
	gb_autobuf struct gb_buf buf = { 0 }, empty = { 0 };

	(void)state;
	assert_int_equal(gb_kubeconfig_rewrite(text, "https://127.0.0.1:16443", "arcbox", &buf), 0);
	assert_string_equal(gb_buf_text(&buf), want);
	assert_int_equal(gb_kubeconfig_rewrite("", "x", "y", &empty), 0);
	assert_string_equal(gb_buf_text(&empty), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_the_protocol),
		cmocka_unit_test(vectors_of_raw_payloads),
		cmocka_unit_test(packed_doubles),
		cmocka_unit_test(fields_where_they_stand),
		cmocka_unit_test(error_payloads),
		cmocka_unit_test(malformed_frames_are_seen_in_their_heads),
		cmocka_unit_test(frames_that_no_client_takes_are_not_built),
		cmocka_unit_test(payloads_are_decoded_strictly),
		cmocka_unit_test(fields_are_bounded),
		cmocka_unit_test(types_have_names_replies_and_messages),
		cmocka_unit_test(a_kubeconfig_is_rewritten_for_the_host),
	};

	gb_pb_start();
	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
