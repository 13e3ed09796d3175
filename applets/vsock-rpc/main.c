/* SPDX-License-Identifier: MIT */
/* vsock-rpc: asks the daemon of a guest, over whatever leads there. */
#include "applets/vsock-rpc/rpc.h"
#include "applets/vsock-rpc/sandbox.h"

enum { TIMEOUT_MS = 30000 };

static const struct gb_verb verbs[] = {
	{ "ping", "[TEXT] [--set-clock]", "ask for a sign of life", rpc_ping_opts, rpc_run_ping, NULL },
	{ "info", NULL, "show the guest's kernel, memory, load and addresses", rpc_common_opts, rpc_run_info, NULL },
	{ "runtime", "ensure [--start] [--wait]\nstatus", "ask for the container runtime, or start it",
	  rpc_runtime_opts, rpc_run_runtime, NULL },
	{ "k8s", "start [--wait]\nstop|delete|status\nkubeconfig [--rewrite]", "the guest's Kubernetes",
	  rpc_k8s_opts, rpc_run_k8s, NULL },
	{ "mmap", "[-o OFFSET] [-l LENGTH] PATH", "write a file of the guest, read there through a mapping",
	  rpc_mmap_opts, rpc_run_mmap, NULL },
	{ "trim", NULL, "let the guest's data disk give free blocks back", rpc_common_opts, rpc_run_trim, NULL },
	{ "timeline", "[-a] [--json|--svg|--chrome]", "show where the guest's boot took its time",
	  rpc_timeline_opts, rpc_run_timeline, NULL },
	{ "shutdown", "[--grace S]", "power the guest off in order", rpc_shutdown_opts, rpc_run_shutdown, NULL },
	{ "sandbox create", "[OPTION...] [CMD [ARG...]]", "make a sandbox, and print its id", sandbox_create_opts,
	  sandbox_run_create, NULL },
	{ "sandbox launch", "[OPTION...] CMD [ARG...]", "make a sandbox and run a command in it", sandbox_launch_opts,
	  sandbox_run_launch, NULL },
	{ "sandbox run", "[OPTION...] ID CMD [ARG...]", "run a command in it, without input", sandbox_run_opts,
	  sandbox_run_run, NULL },
	{ "sandbox exec", "[-t] [-n] [OPTION...] ID CMD [ARG...]", "run a command in it, with our input or on a terminal",
	  sandbox_exec_opts, sandbox_run_exec, NULL },
	{ "sandbox stop", "[--grace S] ID...", "end what runs in it, and the sandbox",
	  sandbox_stop_opts, sandbox_run_stop, NULL },
	{ "sandbox rm", "[-f] ID...", "remove it, with its files", sandbox_rm_opts, sandbox_run_rm, NULL },
	{ "sandbox ls", "[--state STATE] [-l KEY=VALUE]...", "list the sandboxes", sandbox_ls_opts, sandbox_run_ls, NULL },
	{ "sandbox inspect", "ID", "show all about one", rpc_common_opts, sandbox_run_inspect, NULL },
	{ "sandbox events", "[--action ACTION] [--count N] [ID]", "show what happens to them, from now on", sandbox_events_opts,
	  sandbox_run_events, NULL },
	{ "sandbox checkpoint", "[--name NAME] [-l KEY=VALUE]... ID", "keep its state as a snapshot", sandbox_checkpoint_opts,
	  sandbox_run_checkpoint, NULL },
	{ "sandbox restore", "[OPTION...] SNAPSHOT", "make a sandbox from a snapshot", sandbox_restore_opts,
	  sandbox_run_restore, NULL },
	{ "sandbox snapshots", "[--sandbox ID] [-l KEY=VALUE]...", "list the snapshots", sandbox_snapshots_opts,
	  sandbox_run_snapshots, NULL },
	{ "sandbox snapshots rm", "SNAPSHOT", "remove a snapshot", rpc_common_opts, sandbox_run_snapshots_rm, NULL },
	{ "sandbox image import", "[--replace] NAME FILE|-", "make an image of a tar archive", sandbox_image_import_opts,
	  sandbox_run_image_import, NULL },
	{ "sandbox image ls", NULL, "list the images", rpc_common_opts, sandbox_run_image_ls, NULL },
	{ "sandbox image rm", "NAME", "remove an image", rpc_common_opts, sandbox_run_image_rm, NULL },
	{ "raw", "TYPE [HEX|-]", "send any payload and show the reply in hex", rpc_common_opts, rpc_run_raw, NULL },
	{ 0 },
};

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct rpc_call call = { .timeout = TIMEOUT_MS };
	struct gb_optscan scan;
	int key, r = 0;

	gb_pb_start();
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
