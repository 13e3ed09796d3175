/* SPDX-License-Identifier: MIT */
/* vsock-rpc: runtime, the guest's container runtime. */
#include <stdio.h>
#include <string.h>

#include "applets/vsock-rpc/rpc.h"
#include "common/base/mono.h"
#include "common/net/addr.h"
#include "common/rpc/wire.h"

enum { OPT_START = RPC_OPT_OWN, OPT_WAIT };

const struct gb_opt rpc_runtime_opts[] = {
	GB_OPT(OPT_START, "start", "", "ensure: start it when it is not running"),
	GB_OPT(OPT_WAIT, "wait", "", "ensure: ask again until it is ready, or the timeout"),
	GB_OPT_AND(rpc_common_opts),
};

struct own {
	bool start, wait;
};

static int own_option(void *data, int key, char *arg, struct gb_err *err)
{
	struct own *own = data;

	(void)arg;
	(void)err;
	*(key == OPT_START ? &own->start : &own->wait) = true;
	return 0;
}

int rpc_run_runtime(struct gb_cmd *cmd, struct gb_err *err)
{
	Arcbox__V1__RuntimeEnsureRequest request = ARCBOX__V1__RUNTIME_ENSURE_REQUEST__INIT;
	struct rpc_call *call = cmd->data;
	struct own own = { 0 };
	char **operands;

	int r = rpc_options(cmd, &(struct rpc_scan){ .own = own_option, .data = &own, .min = 1, .max = 1,
						     .what = "one of ensure, status" }, &operands, err);
	if (r < 0)
		return r;
	bool ensure = strcmp(operands[0], "ensure") == 0;
	if (!ensure && strcmp(operands[0], "status") != 0)
		return gb_err_set(err, GB_E_USAGE, "\"%s\" is none of ensure, status", operands[0]);
	if (!ensure && (own.start || own.wait))
		return gb_err_set(err, GB_E_USAGE, "%s goes with ensure", own.start ? "--start" : "--wait");
	request.start_if_needed = own.start;
	uint64_t deadline = gb_mono_ms() + call->timeout, pause = RPC_PAUSE_MS;
	for (;;) {
		gb_autopb ProtobufCMessage *reply = NULL;
		r = rpc_ask(call, ensure ? GB_WIRE_ENSURE_RUNTIME : GB_WIRE_RUNTIME_STATUS, ensure ? &request.base : NULL, &reply, err);
		if (r < 0)
			return r;
		const Arcbox__V1__RuntimeEnsureResponse *state = (const void *)reply;
		bool ready = ensure && state->ready;
		if (own.wait && !ready && strcmp(state->status, "failed") != 0 && rpc_pause(deadline, &pause))
			continue;
		r = rpc_print(call, reply, err);
		return r < 0 ? r : ensure && !ready ? 1 : 0;
	}
}
