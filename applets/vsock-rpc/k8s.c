/* SPDX-License-Identifier: MIT */
/* vsock-rpc: k8s, the guest's Kubernetes. */
#include <stdio.h>
#include <string.h>

#include "applets/vsock-rpc/rpc.h"
#include "common/base/cleanup.h"
#include "common/rpc/wire.h"

int rpc_run_k8s(struct gb_cmd *cmd, struct gb_err *err)
{
	static const struct { const char *name; uint32_t type; } verb_types[] = {
		{ "start", GB_WIRE_KUBERNETES_START }, { "stop", GB_WIRE_KUBERNETES_STOP },
		{ "delete", GB_WIRE_KUBERNETES_DELETE }, { "status", GB_WIRE_KUBERNETES_STATUS },
		{ "kubeconfig", GB_WIRE_KUBERNETES_KUBECONFIG },
	};
	gb_autopb ProtobufCMessage *reply = NULL;
	struct rpc_call *call = cmd->data;
	char **operands;
	uint32_t type = 0;

	int r = rpc_options(cmd, &(struct rpc_scan){ .min = 1, .max = 1,
						     .what = "one of start, stop, delete, status, kubeconfig" }, &operands, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < GB_ARRAY_LEN(verb_types); i++) {
		if (strcmp(verb_types[i].name, operands[0]) == 0)
			type = verb_types[i].type;
	}
	if (!type)
		return gb_err_set(err, GB_E_USAGE, "\"%s\" is none of start, stop, delete, status, kubeconfig", operands[0]);
	r = rpc_ask(call, type, NULL, &reply, err);
	if (r < 0)
		return r;
	if (type != GB_WIRE_KUBERNETES_KUBECONFIG || call->json)
		return rpc_print(call, reply, err);
	/* A file to be kept: as it is. */
	(void)fputs(((const Arcbox__V1__KubernetesKubeconfigResponse *)(const void *)reply)->kubeconfig, stdout);
	return 0;
}

