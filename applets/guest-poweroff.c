/* SPDX-License-Identifier: MIT */
/* guest-poweroff: ends the machine with clean file systems before its one deadline. */
#include <bsd/stdlib.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/applet.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/parse.h"
#include "common/power/request.h"
#include "common/power/run.h"
#include "common/power/state.h"

enum { OPT_GRACE = GB_OPT_LONG, OPT_DRY_RUN, OPT_JSON, OPT_BELOW };

static const struct gb_opt alias_opts[] = {
	GB_OPT(OPT_GRACE, "grace", "S", "seconds until reboot(2), whatever is unfinished: 2 to 28 [25]"),
	GB_OPT('f', "force", "", "run the sequence here, without asking PID 1; twice: sync and go, nothing else"),
	GB_OPT('n', "no-sync", "", "no sync(2); what is unmounted is written all the same"),
	GB_OPT('d', "delay", "S", "wait so many seconds first"),
	GB_OPT(OPT_DRY_RUN, "dry-run", "", "print the steps, do nothing"),
	GB_OPT(OPT_JSON, "json", "", "print the steps and the end of each file system as JSON"),
	{ 0 },
};

static const struct gb_opt opts[] = {
	GB_OPT('r', "reboot", "", "reboot"),
	GB_OPT('h', "halt", "", "halt: stop the processors, leave the power on"),
	GB_OPT('k', "kexec", "", "go on with the kernel that kexec_load(2) loaded"),
	GB_OPT(OPT_BELOW, "below", "DIR", "only unmount what is at or below DIR; the machine stays on"),
	GB_OPT_AND(alias_opts),
};

struct job {
	enum gb_power_action action;
	unsigned grace_ms, delay_ms;
	int force;
	bool no_sync, dry_run, json;
	const char *below;
	char path[PATH_MAX]; /* what below points to, resolved */
};

static int show(const struct job *job, const struct gb_power_opts *run_opts, struct gb_err *err)
{
	gb_autopowerdevices struct gb_power_devices devices = { 0 };
	gb_automountinfo struct gb_mountinfo_table mounts = { 0 };
	gb_autopowerplan struct gb_power_plan plan = { 0 };
	struct gb_power_times times = gb_power_times(job->grace_ms);
	int r = gb_power_show(run_opts, &gb_power_ops, &plan, &mounts, &devices, err);

	if (r < 0)
		return r;
	if (job->json) {
		struct gb_json json = { 0 };
		gb_power_plan_json(&plan, job->action, &times, &json);
		return gb_json_print(&json, err);
	}
	for (size_t i = 0; i < plan.count; i++)
		printf("%6.1f s  %s%s%s\n", plan.steps[i].until / 1000.0, gb_power_kind_name(plan.steps[i].kind),
		       plan.steps[i].object[0] ? " " : "", plan.steps[i].object);
	if (!run_opts->storage && !job->below)
		puts("          (a PID namespace: swap and file systems are the machine's)");
	return 0;
}

static int only_below(const struct job *job, struct gb_power_opts *run_opts, struct gb_err *err)
{
	gb_autopowerreport struct gb_power_report report = { 0 };
	int r;

	if (geteuid() != 0)
		return gb_err_sys(err, EPERM, "%s", job->below);
	run_opts->quiet = job->json;
	r = gb_power_run(run_opts, &gb_power_ops, &report, err);
	if (r < 0)
		return r;
	if (!report.clean)
		return gb_err_set(err, GB_E_SILENT, "not clean");
	return 0;
}

/* Runs the sequence here. Returns only on a failure. */
static int force(const struct job *job, struct gb_power_opts *run_opts, struct gb_err *err)
{
	gb_autopowerreport struct gb_power_report report = { 0 };
	int latch = -1, r;

	run_opts->at_once = job->force > 1;
	if (!run_opts->at_once) {
		latch = gb_power_latch(err);
		if (latch == -EALREADY) {
			gb_complain(err->msg);
			return 0;
		}
		err->code = 0; /* a full /run must not keep a machine on */
	}
	gb_power_detach(latch, job->json ? STDOUT_FILENO : -1, true);
	r = gb_power_run(run_opts, &gb_power_ops, &report, err);
	if (r == 0)
		return 0;
	gb_log(GB_LOG_ERR, "%s", err->msg); /* stderr may be nobody's by now */
	return gb_err_set(err, GB_E_SILENT, "told");
}

static int ask(const struct job *job, struct gb_err *err)
{
	int r = gb_power_request(job->action, job->grace_ms, err);

	if (r < 0)
		return r;
	if (job->json) {
		struct gb_json json = { 0 };
		gb_json_open(&json, NULL, '{');
		gb_json_str(&json, "action", gb_power_action_name(job->action));
		gb_json_uint(&json, "deadline_ms", gb_power_times(job->grace_ms).deadline);
		gb_json_str(&json, "result", r == GB_POWER_JOINED ? "joined" : "begun");
		gb_json_close(&json, '}');
		return gb_json_print(&json, err);
	}
	if (r == GB_POWER_JOINED)
		gb_complain("power-off: already under way");
	return 0;
}

/* What the command line asks for. */
static int read_job(struct gb_cmd *cmd, struct job *job, struct gb_err *err)
{
	struct gb_optscan scan;
	int key, r, actions = 0;
	uint64_t ms;

	gb_opt_start(&scan, gb_cmd_opts(cmd), cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		switch (key) {
		case 'r': job->action = GB_POWER_REBOOT; actions++; break;
		case 'h': job->action = GB_POWER_HALT; actions++; break;
		case 'k': job->action = GB_POWER_KEXEC; actions++; break;
		case 'f': job->force++; break;
		case 'n': job->no_sync = true; break;
		case OPT_DRY_RUN: job->dry_run = true; break;
		case OPT_JSON: job->json = true; break;
		case OPT_BELOW: job->below = scan.arg; break;
		case 'd':
			r = gb_parse_seconds(scan.arg, "delay", 86400000, &ms, err);
			if (r < 0)
				return r;
			job->delay_ms = (unsigned)ms;
			break;
		case OPT_GRACE:
			r = gb_parse_seconds(scan.arg, "grace", 86400000, &ms, err);
			if (r < 0)
				return r;
			job->grace_ms = ms ? (unsigned)ms : 1;
			break;
		}
	}
	if (key < 0)
		return key;
	r = gb_opt_operands(&scan, 0, 0, NULL, err);
	if (r < 0)
		return r;
	if (actions > 1)
		return gb_err_set(err, GB_E_USAGE, "only one of -r, -h, -k at a time");
	if (job->below && (actions || job->force))
		return gb_err_set(err, GB_E_USAGE, "--below leaves the machine on: it goes with none of -r, -h, -k, -f");
	if (job->below) {
		if (!realpath(job->below, job->path))
			return gb_err_sys(err, errno, "%s", job->below);
		if (strcmp(job->path, "/") == 0)
			return gb_err_set(err, GB_E_REFUSED, "--below /: that is every file system of a machine that stays on");
		job->below = job->path;
	}
	return 0;
}

static int run_job(struct gb_cmd *cmd, struct job *job, struct gb_err *err)
{
	int r = read_job(cmd, job, err);

	if (r < 0)
		return r;
	struct gb_power_opts run_opts = {
		.action = job->action,
		.grace_ms = job->grace_ms,
		.no_sync = job->no_sync,
		.at_once = job->force > 1,
		.below = job->below,
		.storage = gb_proc_is_machine(),
		.json_fd = job->json ? STDOUT_FILENO : -1,
	};
	if (job->dry_run)
		return show(job, &run_opts, err);
	if (!job->below) {
		r = gb_power_allowed(job->action, err);
		if (r < 0)
			return r;
	}
	(void)poll(NULL, 0, (int)job->delay_ms);
	if (job->below)
		return only_below(job, &run_opts, err);
	return job->force ? force(job, &run_opts, err) : ask(job, err);
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	return run_job(cmd, &(struct job){ .action = GB_POWER_OFF }, err);
}

static int run_reboot(struct gb_cmd *cmd, struct gb_err *err)
{
	return run_job(cmd, &(struct job){ .action = GB_POWER_REBOOT }, err);
}

static int run_halt(struct gb_cmd *cmd, struct gb_err *err)
{
	return run_job(cmd, &(struct job){ .action = GB_POWER_HALT }, err);
}

#define ALIAS_SYNOPSIS "[--grace S] [-f] [-n] [-d S] [--dry-run] [--json]"

static const struct gb_verb aliases[] = {
	{ "poweroff", ALIAS_SYNOPSIS, "power the machine off", alias_opts, run, NULL },
	{ "reboot", ALIAS_SYNOPSIS, "reboot the machine", alias_opts, run_reboot, NULL },
	{ "halt", ALIAS_SYNOPSIS, "halt the machine", alias_opts, run_halt, NULL },
	{ 0 },
};

const struct gb_applet gb_applet_guest_poweroff = {
	.name = "guest-poweroff",
	.summary = "power off, reboot, halt or kexec with clean file systems, before a deadline",
	.synopsis = "[-r|-h|-k] [--grace S] [-f] [-n] [-d S] [--dry-run] [--json]\n--below DIR [--grace S] [--dry-run] [--json]",
	.opts = opts,
	.aliases = aliases,
	.run = run,
};
