/* SPDX-License-Identifier: MIT */
/* The timeline as a person or a program reads it. */
#ifndef GB_SYS_CHART_H
#define GB_SYS_CHART_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/sys/timeline.h"

enum gb_chart { GB_CHART_TEXT, GB_CHART_JSON, GB_CHART_SVG, GB_CHART_CHROME };

/* Rows of an option table, for who draws one; the key of --all is 'a'. */
#define GB_CHART_OPTS(key_svg, key_chrome) \
	GB_OPT('a', "all", "", "also what began after the boot was over"), GB_OPT(key_svg, "svg", "", "print a chart"), \
	GB_OPT(key_chrome, "chrome", "", "print a trace for chrome://tracing, Perfetto and their like")

/* Which one these options ask for: 0 or -GB_E_USAGE. */
int gb_chart_choose(bool json, bool svg, bool chrome, enum gb_chart *ret_how, struct gb_err *err);

/* Appends it to out; timeline is sorted for it, and without `all` what began after the boot was over is taken out. 0,
 * -ENOENT when there is no step, or -ENOMEM, with err. */
int gb_chart_draw(struct gb_timeline *timeline, enum gb_chart how, bool all, struct gb_buf *out, struct gb_err *err);

#endif
