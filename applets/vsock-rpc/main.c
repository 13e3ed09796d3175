/* SPDX-License-Identifier: MIT */
/* vsock-rpc: asks the daemon of a guest, over whatever leads there. */
#include "applets/vsock-rpc/rpc.h"

enum { TIMEOUT_MS = 30000 };

static const struct gb_verb verbs[] = {
	{ "ping", "[TEXT] [--set-clock]", "ask for a sign of life", rpc_ping_opts, rpc_run_ping, NULL },
	{ "info", NULL, "show the guest's kernel, memory, load and addresses", rpc_common_opts, rpc_run_info, NULL },
	{ "runtime", "ensure [--start] [--wait]\nstatus", "ask for the container runtime, or start it", rpc_runtime_opts, rpc_run_runtime, NULL },
	{ "k8s", "start|stop|delete|status|kubeconfig", "the guest's Kubernetes", rpc_common_opts, rpc_run_k8s, NULL },
	{ "mmap", "[-o OFFSET] [-l LENGTH] PATH", "write a file of the guest, read there through a mapping", rpc_mmap_opts, rpc_run_mmap, NULL },
	{ "trim", NULL, "let the guest's data disk give free blocks back", rpc_common_opts, rpc_run_trim, NULL },
	{ "timeline", "[-a] [--json|--svg|--chrome]", "show where the guest's boot took its time", rpc_timeline_opts, rpc_run_timeline, NULL },
	{ "shutdown", "[--grace S]", "power the guest off in order", rpc_shutdown_opts, rpc_run_shutdown, NULL },
	{ "raw", "TYPE [HEX|-]", "send any payload and show the reply in hex", rpc_common_opts, rpc_run_raw, NULL },
	{ 0 },
};

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct rpc_call call = { .timeout = TIMEOUT_MS };
	struct gb_optscan scan;
	int key, r = 0;

	gb_opt_start(&scan, rpc_common_opts, cmd->argc, cmd->argv, GB_OPT_STOP);
	while (r == 0 && (key = gb_opt_next(&scan, err)) != 0)
		r = rpc_option(&call, key, scan.arg, err);
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
	.opts = rpc_common_opts,
	.verbs = verbs,
	.run = run,
};
