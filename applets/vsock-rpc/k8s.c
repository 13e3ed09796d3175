/* SPDX-License-Identifier: MIT */
/* vsock-rpc: k8s, the guest's Kubernetes. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "applets/vsock-rpc/rpc.h"
#include "common/base/cleanup.h"
#include "common/base/mono.h"
#include "common/net/addr.h"
#include "common/rpc/kubeconfig.h"
#include "common/rpc/wire.h"

enum { OPT_WAIT = RPC_OPT_OWN, OPT_REWRITE };

const struct gb_opt rpc_k8s_opts[] = {
	GB_OPT(OPT_WAIT, "wait", "", "start: ask again until the API is ready, or the timeout"),
	GB_OPT(OPT_REWRITE, "rewrite", "", "kubeconfig: with the host's port, and with names of its own"),
	GB_OPT_AND(rpc_common_opts),
};

struct own {
	bool wait, rewrite;
};

static int own_option(void *data, int key, char *arg, struct gb_err *err)
{
	struct own *own = data;

	(void)arg;
	(void)err;
	*(key == OPT_WAIT ? &own->wait : &own->rewrite) = true;
	return 0;
}

/* A file to be kept: as it is, or as the host can use it. */
static int print_kubeconfig(const struct rpc_call *call, const Arcbox__V1__KubernetesKubeconfigResponse *reply,
			    bool rewrite, struct gb_err *err)
{
	Arcbox__V1__KubernetesKubeconfigResponse shown = *reply;
	gb_autobuf struct gb_buf text = { 0 };

	if (rewrite) {
		if (gb_kubeconfig_rewrite(reply->kubeconfig, reply->endpoint, reply->context_name, &text) < 0 ||
		    gb_buf_room(&text, 0) < 0)
			return gb_err_sys(err, ENOMEM, "kubeconfig");
		shown.kubeconfig = text.data;
	}
	if (call->json)
		return rpc_print_json(&shown.base, call, false, err);
	(void)fputs(shown.kubeconfig, stdout);
	return 0;
}

/* The reply to a start and the status that follows it. */
static bool api_ready(uint32_t type, const ProtobufCMessage *reply)
{
	if (type == GB_WIRE_KUBERNETES_START)
		return ((const Arcbox__V1__KubernetesStartResponse *)(const void *)reply)->api_ready;
	return ((const Arcbox__V1__KubernetesStatusResponse *)(const void *)reply)->api_ready;
}

int rpc_run_k8s(struct gb_cmd *cmd, struct gb_err *err)
{
	static const struct { const char *name; uint32_t type; } verbs[] = {
		{ "start", GB_WIRE_KUBERNETES_START }, { "stop", GB_WIRE_KUBERNETES_STOP },
		{ "delete", GB_WIRE_KUBERNETES_DELETE }, { "status", GB_WIRE_KUBERNETES_STATUS },
		{ "kubeconfig", GB_WIRE_KUBERNETES_KUBECONFIG },
	};
	static const char what[] = "one of start, stop, delete, status, kubeconfig";
	struct rpc_call *call = cmd->data;
	struct own own = { 0 };
	char **operands;
	uint32_t type = 0;

	int r = rpc_options(cmd, &(struct rpc_scan){ .own = own_option, .data = &own, .min = 1, .max = 1, .what = what },
			    &operands, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < GB_ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].name, operands[0]) == 0)
			type = verbs[i].type;
	}
	if (!type)
		return gb_err_set(err, GB_E_USAGE, "\"%s\" is none of start, stop, delete, status, kubeconfig", operands[0]);
	if (own.wait && type != GB_WIRE_KUBERNETES_START)
		return gb_err_set(err, GB_E_USAGE, "--wait goes with start");
	if (own.rewrite && type != GB_WIRE_KUBERNETES_KUBECONFIG)
		return gb_err_set(err, GB_E_USAGE, "--rewrite goes with kubeconfig");
	uint64_t deadline = gb_mono_ms() + call->timeout, pause = RPC_PAUSE_MS;
	for (uint32_t next = type;;) {
		gb_autopb ProtobufCMessage *reply = NULL;
		r = rpc_ask(call, next, NULL, &reply, err);
		if (r < 0)
			return r;
		if (type == GB_WIRE_KUBERNETES_KUBECONFIG)
			return print_kubeconfig(call, (const void *)reply, own.rewrite, err);
		bool done = true;
		if (type == GB_WIRE_KUBERNETES_START)
			done = api_ready(next, reply);
		else if (type == GB_WIRE_KUBERNETES_STOP)
			done = ((const Arcbox__V1__KubernetesStopResponse *)(const void *)reply)->stopped;
		if (own.wait && !done && rpc_pause(deadline, &pause)) {
			next = GB_WIRE_KUBERNETES_STATUS;
			continue;
		}
		r = rpc_print(call, reply, err);
		return r < 0 ? r : done ? 0 : 1;
	}
}
