/* SPDX-License-Identifier: MIT */
/* boot-timeline: where the boot's time went, as text, JSON, a chart or a trace. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "applets/applet.h"
#include "common/base/mono.h"
#include "common/sys/chart.h"
#include "common/sys/timeline.h"

enum { OPT_JSON = GB_OPT_LONG, OPT_SVG, OPT_CHROME };

static const struct gb_opt opts[] = {
	GB_CHART_OPTS(OPT_SVG, OPT_CHROME),
	GB_OPT(OPT_JSON, "json", "", "print JSON"),
	{ 0 },
};

static int run_mark(struct gb_cmd *cmd, struct gb_err *err)
{
	struct gb_optscan scan;
	int key;

	gb_opt_start(&scan, NULL, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0)
		;
	if (key < 0)
		return key;
	int r = gb_opt_operands(&scan, 1, 1, "name", err);
	if (r < 0)
		return r;
	const char *name = scan.argv[scan.index];
	if (!*name || strlen(name) >= sizeof ((struct gb_timeline_step *)0)->name)
		return gb_err_set(err, GB_E_USAGE, "name \"%s\": 1 to %zu bytes", name,
				  sizeof ((struct gb_timeline_step *)0)->name - 1);
	return gb_timeline_add("init", name, gb_mono_ns(), err);
}

static const struct gb_verb verbs[] = {
	{ "mark", "NAME", "add a step that has just ended", NULL, run_mark, NULL },
	{ 0 },
};

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autotimeline struct gb_timeline timeline = { 0 };
	gb_autobuf struct gb_buf text = { 0 };
	struct gb_optscan scan;
	bool all = false, json = false, svg = false, chrome = false;
	enum gb_chart how;
	int key, r;

	cmd->unmarked = true; /* it looks on */
	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, GB_OPT_STOP);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		switch (key) {
		case 'a': all = true; break;
		case OPT_JSON: json = true; break;
		case OPT_SVG: svg = true; break;
		case OPT_CHROME: chrome = true; break;
		}
	}
	if (key < 0)
		return key;
	if (scan.index < scan.argc) {
		if (all || json || svg || chrome)
			return gb_err_set(err, GB_E_USAGE, "a verb takes no option of boot-timeline");
		return gb_verb_run(cmd, scan.argc - scan.index, scan.argv + scan.index, err);
	}
	r = gb_chart_choose(json, svg, chrome, &how, err);
	if (r == 0)
		r = gb_timeline_read(&timeline, err);
	if (r < 0)
		return r;
	r = gb_chart_draw(&timeline, how, all, &text, err);
	if (r == 0)
		(void)fwrite(gb_buf_text(&text), 1, text.len, stdout); /* main() checks stdout */
	return r;
}

const struct gb_applet gb_applet_boot_timeline = {
	.name = "boot-timeline",
	.summary = "where the boot's time went: text, JSON, a chart or a trace",
	.synopsis = "[-a] [--json|--svg|--chrome]\nmark NAME",
	.opts = opts,
	.verbs = verbs,
	.run = run,
};
