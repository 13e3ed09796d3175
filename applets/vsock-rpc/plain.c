/* SPDX-License-Identifier: MIT */
/* vsock-rpc: commands of one question and one answer: ping, info, trim, shutdown. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "applets/vsock-rpc/rpc.h"
#include "common/base/parse.h"
#include "common/rpc/wire.h"

enum { OPT_CLOCK = RPC_OPT_OWN, OPT_GRACE };

const struct gb_opt rpc_ping_opts[] = {
	GB_OPT(OPT_CLOCK, "set-clock", "", "send the time: the guest sets its clock when it is off by over a second"),
	GB_OPT_AND(rpc_common_opts),
};

const struct gb_opt rpc_shutdown_opts[] = {
	GB_OPT(OPT_GRACE, "grace", "S", "seconds that processes get to end [the daemon's 25]"),
	GB_OPT_AND(rpc_common_opts),
};

struct own {
	bool set_clock;
	uint32_t grace;
};

static int own_option(void *data, int key, char *arg, struct gb_err *err)
{
	struct own *own = data;
	long long n;
	int r;

	switch (key) {
	case OPT_CLOCK:
		own->set_clock = true;
		return 0;
	case OPT_GRACE:
		r = gb_parse_number(arg, "grace", 0, UINT32_MAX, &n, err);
		own->grace = r == 0 ? (uint32_t)n : 0;
		return r;
	default:
		return key;
	}
}

int rpc_run_ping(struct gb_cmd *cmd, struct gb_err *err)
{
	Arcbox__V1__AgentPingRequest request = ARCBOX__V1__AGENT_PING_REQUEST__INIT;
	gb_autopb ProtobufCMessage *message = NULL;
	struct rpc_call *call = cmd->data;
	struct own own = { 0 };
	char **operands;

	int r = rpc_options(cmd, &(struct rpc_scan){ .own = own_option, .data = &own, .max = 1 }, &operands, err);
	if (r < 0)
		return r;
	if (operands[0])
		request.message = operands[0];
	if (own.set_clock)
		request.timestamp_secs = time(NULL);
	r = rpc_ask(call, GB_WIRE_PING, &request.base, &message, err);
	if (r < 0)
		return r;
	if (call->json)
		return rpc_print_json(message, call, true, err);
	const Arcbox__V1__AgentPingResponse *reply = (const void *)message;
	gb_autobuf struct gb_buf text = { 0 };
	gb_pb_plain(&text, reply->message);
	(void)gb_buf_str(&text, " (version ");
	gb_pb_plain(&text, reply->version);
	(void)gb_buf_fmt(&text, ", protocol %" PRIu32 ", %.3f ms)\n", reply->protocol_version, call->seconds * 1e3);
	return rpc_print_text(&text, err);
}

int rpc_run_info(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autopb ProtobufCMessage *reply = NULL;
	char **operands;
	int r = rpc_options(cmd, &(struct rpc_scan){ 0 }, &operands, err);

	if (r == 0)
		r = rpc_ask(cmd->data, GB_WIRE_GET_SYSTEM_INFO, NULL, &reply, err);
	return r < 0 ? r : rpc_print(cmd->data, reply, err);
}

int rpc_run_trim(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autopb ProtobufCMessage *message = NULL;
	struct rpc_call *call = cmd->data;
	char **operands;
	int r = rpc_options(cmd, &(struct rpc_scan){ 0 }, &operands, err);

	if (r == 0)
		r = rpc_ask(call, GB_WIRE_DISK_TRIM, NULL, &message, err);
	if (r < 0)
		return r;
	char *result = ((Arcbox__V1__DiskTrimResponse *)(void *)message)->result;
	bool failed = strstr(result, ": failed (") || strstr(result, ": error (");
	if (call->json) {
		r = rpc_print_json(message, call, false, err);
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
		r = rpc_print_text(&text, err);
	}
	return r < 0 ? r : failed ? 1 : 0;
}

int rpc_run_shutdown(struct gb_cmd *cmd, struct gb_err *err)
{
	Arcbox__V1__ShutdownRequest request = ARCBOX__V1__SHUTDOWN_REQUEST__INIT;
	gb_autopb ProtobufCMessage *message = NULL;
	struct rpc_call *call = cmd->data;
	struct own own = { 0 };
	char **operands;

	int r = rpc_options(cmd, &(struct rpc_scan){ .own = own_option, .data = &own }, &operands, err);
	if (r < 0)
		return r;
	request.timeout_seconds = own.grace;
	r = rpc_ask(call, GB_WIRE_SHUTDOWN, &request.base, &message, err);
	if (r < 0)
		return r;
	if (!((const Arcbox__V1__ShutdownResponse *)(const void *)message)->accepted)
		return gb_err_set(err, EREMOTEIO, "shutdown: the daemon does not accept it");
	if (call->json)
		return rpc_print_json(message, call, false, err);
	puts("accepted: the guest is on its way down");
	return 0;
}
