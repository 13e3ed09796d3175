/* SPDX-License-Identifier: MIT */
/* btrfs-bootstrap: sets up the data disk, and formats none that it does not know to be empty. */
#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applets/applet.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/parse.h"
#include "common/btrfs/bootstrap.h"
#include "common/btrfs/status.h"
#include "common/sys/setting.h"

enum { OPT_DEVICE = GB_OPT_LONG, OPT_WAIT, OPT_FORMAT, OPT_REPAIR, OPT_MKFS, OPT_ROOT, OPT_LAYOUT, OPT_ENTROPY, OPT_PLAN,
       OPT_STATUS, OPT_JSON };

static const struct gb_opt opts[] = {
	GB_OPT(OPT_DEVICE, "device", "DEVICE", "the disk (a block device, or a regular file for tests)"),
	GB_OPT(OPT_WAIT, "wait", "SECONDS", "how long to wait for it to appear [5]"),
	GB_OPT(OPT_FORMAT, "format", "WHICH", "what may be formatted: blank (and unfinished), foreign, never [blank]"),
	GB_OPT(OPT_REPAIR, "repair", "", "restore a broken primary superblock from its newest good copy"),
	GB_OPT(OPT_MKFS, "mkfs", "PROGRAM", "what formats it [mkfs.btrfs]"),
	GB_OPT(OPT_ENTROPY, "entropy-wait", "SECONDS", "how long a format may wait for random bytes [60]"),
	GB_OPT(OPT_ROOT, "root", "DIR", "put DIR in front of every target"),
	GB_OPT(OPT_LAYOUT, "layout", "FILE", "volumes, targets and NOCOW directories"),
	GB_OPT(OPT_PLAN, "plan", "", "print the steps, write nothing"),
	GB_OPT(OPT_STATUS, "status", "", "tell how full the data disk is, do nothing"),
	GB_OPT(OPT_JSON, "json", "", "print one JSON value"),
	{ 0 },
};

enum { WAIT_MAX_MS = 24 * 3600 * 1000 };

/* ---- --status ---- */

static void line(const char *name, uint64_t bytes, const char *what)
{
	gb_autobuf struct gb_buf text = { 0 };

	(void)gb_buf_human(&text, bytes);
	printf("%-16s %8s  %s\n", name, gb_buf_text(&text), what);
}

static int status_json(const char *top, const struct gb_status *s, struct gb_err *err)
{
	struct gb_json json = { 0 };

	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, "mount", top);
	gb_json_uint(&json, "size", s->size);
	gb_json_uint(&json, "allocated", s->allocated);
	gb_json_uint(&json, "unallocated", s->unallocated);
	gb_json_uint(&json, "data_total", s->data_total);
	gb_json_uint(&json, "data_used", s->data_used);
	gb_json_uint(&json, "metadata_total", s->metadata_total);
	gb_json_uint(&json, "metadata_used", s->metadata_used);
	gb_json_uint(&json, "metadata_reserve", s->reserve);
	gb_json_uint(&json, "metadata_headroom", s->headroom);
	gb_json_bool(&json, "metadata_low", s->metadata_low);
	gb_json_uint(&json, "occupied", s->occupied);
	gb_json_uint(&json, "reclaimable", s->reclaimable);
	gb_json_open(&json, "devices", '[');
	for (unsigned i = 0; i < s->devices; i++) {
		const struct gb_status_device *d = &s->device[i];

		gb_json_open(&json, NULL, '{');
		gb_json_uint(&json, "devid", d->device.devid);
		gb_json_str(&json, "path", d->device.path[0] ? d->device.path : NULL);
		gb_json_bool(&json, "missing", d->missing);
		gb_json_uint(&json, "size", d->device.total);
		gb_json_uint(&json, "allocated", d->device.used);
		gb_json_uint(&json, "beyond", d->beyond);
		gb_json_close(&json, '}');
	}
	gb_json_close(&json, ']');
	gb_json_close(&json, '}');
	return gb_json_print(&json, err);
}

static int status(const struct gb_boot *boot, bool as_json, struct gb_err *err)
{
	struct gb_status s;
	char top[4096];

	if (snprintf(top, sizeof top, "%s%s", boot->root, boot->layout.top) >= (int)sizeof top)
		return gb_err_sys(err, ENAMETOOLONG, "%s", boot->layout.top);
	int r = gb_status_read(top, &s, err);
	if (r < 0)
		return r;
	if (as_json) {
		r = status_json(top, &s, err);
	} else {
		line("size", s.size, "of all devices that are there");
		line("allocated", s.allocated, "given to chunks");
		line("unallocated", s.unallocated, "for new chunks, of data or metadata");
		line("data", s.data_used, "used");
		line("", s.data_total, "in data chunks");
		line("metadata", s.metadata_used, "used");
		line("", s.metadata_total, "in metadata chunks");
		line("", s.reserve, "of it reserved for the file system itself");
		line("", s.headroom, "could still be written, new chunks included");
		line("reclaimable", s.reclaimable, "a host gets back when what is free is discarded");
		for (unsigned i = 0; i < s.devices; i++) {
			const struct gb_status_device *d = &s.device[i];
			gb_autobuf struct gb_buf name = { 0 }, what = { 0 };

			(void)gb_buf_fmt(&name, "device %" PRIu64, d->device.devid);
			(void)gb_buf_str(&what, d->missing ? "missing" : d->device.path);
			if (d->beyond >= 1 << 20) {
				(void)gb_buf_str(&what, ", and ");
				(void)gb_buf_human(&what, d->beyond);
				(void)gb_buf_str(&what, " at its end not in use yet");
			}
			line(gb_buf_text(&name), d->device.total, gb_buf_text(&what));
		}
		if (fflush(stdout) != 0)
			return gb_err_sys(err, errno, "standard output");
	}
	for (unsigned i = 0; i < s.devices; i++) {
		if (s.device[i].missing)
			gb_log(GB_LOG_WARNING, "%s: device %" PRIu64 " is missing", top, s.device[i].device.devid);
	}
	if (s.metadata_low)
		gb_log(GB_LOG_WARNING, "%s: metadata is near full: %" PRIu64 " bytes could still be written, whatever df says",
		       top, s.headroom);
	return r;
}

/* ---- set-up ---- */

static void print_step(const struct gb_step *step, void *arg)
{
	(void)arg;
	printf("%-11s %s%s\n", gb_btrfs_step_name(step->kind), step->detail, step->done ? "" : ": already so");
	(void)fflush(stdout);
}

static void log_note(const char *text, void *arg)
{
	(void)arg;
	gb_log(GB_LOG_WARNING, "%s", text);
}

static int report_json(const struct gb_boot *boot, const char *result, const struct gb_err *failed, struct gb_err *err)
{
	struct gb_json json = { 0 };
	bool known = boot->disk.fd >= 0 || boot->facts.found.state == GB_STATE_BTRFS;

	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, "device", boot->path[0] ? boot->path : boot->device);
	gb_json_str(&json, "state", known ? gb_probe_state_name(boot->facts.found.state) : NULL);
	gb_json_open(&json, "steps", '[');
	for (size_t i = 0; i < boot->plan.len; i++) {
		const struct gb_step *step = &boot->plan.step[i];

		gb_json_open(&json, NULL, '{');
		gb_json_str(&json, "step", gb_btrfs_step_name(step->kind));
		gb_json_str(&json, "detail", step->detail);
		gb_json_bool(&json, "done", step->done);
		gb_json_uint(&json, "usec", step->usec);
		gb_json_close(&json, '}');
	}
	gb_json_close(&json, ']');
	gb_json_str(&json, "result", result);
	if (failed)
		gb_json_str(&json, "error", failed->msg);
	gb_json_bool(&json, "waited", boot->late);
	gb_json_uint(&json, "waited_usec", boot->waited_usec);
	gb_json_uint(&json, "react_usec", boot->react_usec);
	gb_json_close(&json, '}');
	return gb_json_print(&json, err);
}

static int end(const struct gb_boot *boot, bool as_json, const char *result, struct gb_err *err)
{
	if (as_json)
		return report_json(boot, result, NULL, err);
	printf("%s\n", result);
	return fflush(stdout) != 0 ? gb_err_sys(err, errno, "standard output") : 0;
}

static int set_up(struct gb_boot *boot, bool plan_only, bool as_json, struct gb_err *err)
{
	int r = gb_bootstrap_ready(boot, err);

	if (r == 0)
		r = gb_bootstrap_plan(boot, !plan_only, err);
	if (r > 0)
		return end(boot, as_json, "data subvolumes already mounted", err);
	if (r == 0 && plan_only) {
		for (size_t i = 0; !as_json && i < boot->plan.len; i++)
			printf("%-11s %s\n", gb_btrfs_step_name(boot->plan.step[i].kind), boot->plan.step[i].detail);
		return end(boot, as_json, "planned", err);
	}
	if (r == 0) {
		boot->report = as_json ? NULL : print_step;
		r = gb_bootstrap_apply(boot, err);
	}
	if (r == 0)
		return end(boot, as_json, "ready", err);
	if (as_json) {
		struct gb_err beside;
		(void)report_json(boot, r == -GB_E_REFUSED ? "refused" : "failed", err, &beside);
	}
	return r;
}

static int format_of(const char *word, enum gb_format *ret_format, struct gb_err *err)
{
	static const char *const words[] = { "blank", "foreign", "never" };

	for (size_t i = 0; i < GB_ARRAY_LEN(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*ret_format = (enum gb_format)i;
			return 0;
		}
	}
	return gb_err_set(err, GB_E_USAGE, "--format=%s: not one of blank, foreign, never", word);
}

static int set_root(struct gb_boot *boot, const char *root, struct gb_err *err)
{
	size_t len = strlcpy(boot->root, root, sizeof boot->root);

	if (root[0] != '/')
		return gb_err_set(err, GB_E_USAGE, "--root=%s: not an absolute path", root);
	if (len >= sizeof boot->root)
		return gb_err_set(err, GB_E_USAGE, "--root: over %zu bytes", sizeof boot->root - 1);
	while (len && boot->root[len - 1] == '/')
		boot->root[--len] = '\0';
	return 0;
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	static const struct gb_setting data = GB_BOOT_SETTING;
	gb_autoboot struct gb_boot boot = { .wait_ms = 5000, .entropy_ms = 60000, .note = log_note };
	bool plan_only = false, show = false, as_json = false;
	const char *layout = NULL, *first = NULL;
	struct gb_optscan scan;
	char device[256];
	int key, r = 0;

	gb_bootstrap_start(&boot);
	boot.wish.mkfs = "mkfs.btrfs";
	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, 0);
	while (r == 0 && (key = gb_opt_next(&scan, err)) != 0) {
		if (key < 0)
			return key;
		if (!first && key != OPT_STATUS && key != OPT_JSON && key != OPT_ROOT && key != OPT_LAYOUT)
			first = cmd->argv[scan.index - 1];
		switch (key) {
		case OPT_DEVICE: boot.device = scan.arg; break;
		case OPT_WAIT: r = gb_parse_seconds(scan.arg, "wait", WAIT_MAX_MS, &boot.wait_ms, err); break;
		case OPT_ENTROPY: r = gb_parse_seconds(scan.arg, "entropy wait", WAIT_MAX_MS, &boot.entropy_ms, err); break;
		case OPT_FORMAT: r = format_of(scan.arg, &boot.wish.format, err); break;
		case OPT_REPAIR: boot.wish.repair = true; break;
		case OPT_MKFS: boot.wish.mkfs = scan.arg; break;
		case OPT_ROOT: r = set_root(&boot, scan.arg, err); break;
		case OPT_LAYOUT: layout = scan.arg; break;
		case OPT_PLAN: plan_only = true; break;
		case OPT_STATUS: show = true; break;
		case OPT_JSON: as_json = true; break;
		}
	}
	if (r == 0)
		r = gb_opt_operands(&scan, 0, 0, "", err);
	if (r == 0 && show && first)
		r = gb_err_set(err, GB_E_USAGE, "--status goes with --json, --root and --layout only");
	if (r == 0 && ((boot.device && !*boot.device) || !*boot.wish.mkfs))
		r = gb_err_set(err, GB_E_USAGE, "an empty %s", *boot.wish.mkfs ? "device" : "program");
	if (r == 0)
		r = gb_layout_load(layout, &boot.layout, err);
	if (r < 0)
		return r;
	if (show)
		return status(&boot, as_json, err);
	if (!boot.device) {
		const char *origin = NULL;
		r = gb_setting_get(&data, device, sizeof device, &origin);
		if (r < 0 && r != -ENOENT)
			return gb_err_sys(err, -r, "%s", origin);
		if (r > 0)
			boot.device = device;
	}
	if (boot.device == device && strcmp(device, "none") == 0)
		return end(&boot, as_json, "no data disk is wanted", err);
	return set_up(&boot, plan_only, as_json, err);
}

const struct gb_applet gb_applet_btrfs_bootstrap = {
	.name = "btrfs-bootstrap",
	.summary = "set up the data disk, and format none that is not known to be empty",
	.synopsis = "[--device=DEVICE] [--format=blank|foreign|never] [--repair] [--plan] [OPTION...]\n"
		    "--status [--root=DIR] [--layout=FILE] [--json]",
	.opts = opts,
	.run = run,
};
