/* SPDX-License-Identifier: MIT */
/* The timeline as text, JSON, a chart or a trace. */
#include "common/sys/chart.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/vis.h"

static int by_begin(const void *a, const void *b)
{
	const struct gb_timeline_step *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	/* Who contains the other stands above him. */
	return x->end > y->end ? -1 : x->end < y->end;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static uint64_t end_of(const struct gb_timeline *t)
{
	uint64_t end = 1;

	for (size_t i = 0; i < t->count; i++)
		end = t->steps[i].end > end ? t->steps[i].end : end;
	return end;
}

struct scale { uint64_t from, to; };

/* A kernel's own time that would leave no room for ours is cut. *ret_kernel: its end, 0 if it is not among the steps. */
static struct scale scale_of(const struct gb_timeline *t, uint64_t *ret_kernel)
{
	struct scale scale = { 0, end_of(t) };
	uint64_t kernel = 0;

	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->steps[i].name, "kernel") == 0 && t->steps[i].begin == 0)
			kernel = t->steps[i].end;
	}
	uint64_t some = (scale.to - kernel) / 10;
	if (kernel > scale.to / 2 && kernel < scale.to && some < kernel)
		scale.from = kernel - some;
	*ret_kernel = kernel;
	return scale;
}

/* "init" is the script, whose steps need no other name. */
static void label(const struct gb_timeline_step *step, char *text, size_t size)
{
	char raw[128];
	bool init = strcmp(step->track, "init") == 0;

	(void)snprintf(raw, sizeof raw, "%s%s%s%s", init ? "" : step->track,
		       init || strcmp(step->track, step->name) == 0 ? "" : " ",
		       !init && strcmp(step->track, step->name) == 0 ? "" : step->name, step->failed ? " (failed)" : "");
	gb_vis_text(text, size, raw);
}

static bool is_point(const struct gb_timeline_step *step)
{
	return step->begin == step->end;
}

/* ---- text ---- */

static void print_text(const struct gb_timeline *t, struct gb_buf *out)
{
	enum { BAR = 30 };
	uint64_t kernel;
	struct scale scale = scale_of(t, &kernel);
	double part = (double)BAR / (double)(scale.to - scale.from);

	(void)gb_buf_fmt(out, "%10s %10s\n", "begin ms", "took ms");
	for (size_t i = 0; i < t->count; i++) {
		const struct gb_timeline_step *s = &t->steps[i];
		char name[512], bar[BAR + 1];
		unsigned from = s->begin > scale.from ? (unsigned)((double)(s->begin - scale.from) * part) : 0;
		unsigned to = s->end > scale.from ? (unsigned)((double)(s->end - scale.from) * part) : 0;

		label(s, name, sizeof name);
		memset(bar, ' ', BAR);
		bar[BAR] = '\0';
		if (from >= BAR)
			from = BAR - 1;
		for (unsigned k = from; k < BAR && (k == from || k < to); k++)
			bar[k] = is_point(s) ? '|' : '#';
		if (s->begin < scale.from)
			bar[0] = '<'; /* cut */
		if (is_point(s))
			(void)gb_buf_fmt(out, "%10.1f %10s  %s  %s\n", ms(s->begin), "", bar, name);
		else
			(void)gb_buf_fmt(out, "%10.1f %10.1f  %s  %s\n", ms(s->begin), ms(s->end - s->begin), bar, name);
	}
}

/* ---- JSON ---- */

static void print_json(const struct gb_timeline *t, struct gb_buf *out)
{
	struct gb_json json = { .buf = *out };

	gb_json_open(&json, NULL, '{');
	gb_json_open(&json, "steps", '[');
	for (size_t i = 0; i < t->count; i++) {
		const struct gb_timeline_step *s = &t->steps[i];
		gb_json_open(&json, NULL, '{');
		gb_json_str(&json, "track", s->track);
		gb_json_str(&json, "name", s->name);
		gb_json_uint(&json, "begin_usec", s->begin / 1000);
		gb_json_uint(&json, "end_usec", s->end / 1000);
		gb_json_int(&json, "pid", s->pid);
		gb_json_bool(&json, "failed", s->failed);
		gb_json_close(&json, '}');
	}
	gb_json_close(&json, ']');
	if (t->ready)
		gb_json_uint(&json, "ready_usec", t->ready / 1000);
	else
		gb_json_str(&json, "ready_usec", NULL);
	gb_json_close(&json, '}');
	(void)gb_buf_str(&json.buf, "\n");
	*out = json.buf;
}

/* The Trace Event Format: complete events (X) of a "thread" for each track, instants (i) for points. */
static void print_chrome(const struct gb_timeline *t, struct gb_buf *out)
{
	struct gb_json json = { .buf = *out };

	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, "displayTimeUnit", "ms");
	gb_json_open(&json, "traceEvents", '[');
	for (size_t i = 0; i < t->count; i++) {
		const struct gb_timeline_step *s = &t->steps[i];
		size_t track = 0;
		char name[512];

		while (strcmp(t->steps[track].track, s->track) != 0)
			track++;
		if (track == i) {
			gb_json_open(&json, NULL, '{');
			gb_json_str(&json, "ph", "M");
			gb_json_str(&json, "name", "thread_name");
			gb_json_int(&json, "pid", 1);
			gb_json_uint(&json, "tid", track);
			gb_json_open(&json, "args", '{');
			gb_json_str(&json, "name", s->track);
			gb_json_close(&json, '}');
			gb_json_close(&json, '}');
		}
		label(s, name, sizeof name);
		gb_json_open(&json, NULL, '{');
		gb_json_str(&json, "ph", is_point(s) ? "i" : "X");
		gb_json_str(&json, "name", name);
		gb_json_str(&json, "cat", s->track);
		gb_json_int(&json, "pid", 1);
		gb_json_uint(&json, "tid", track);
		gb_json_double(&json, "ts", (double)s->begin / 1000);
		if (is_point(s))
			gb_json_str(&json, "s", "p");
		else
			gb_json_double(&json, "dur", (double)(s->end - s->begin) / 1000);
		gb_json_close(&json, '}');
	}
	gb_json_close(&json, ']');
	gb_json_close(&json, '}');
	(void)gb_buf_str(&json.buf, "\n");
	*out = json.buf;
}

/* ---- SVG ---- */

enum { WIDTH = 960, LEFT = 16, RIGHT = 16, TOP = 84, ROW = 20, BAR_HEIGHT = 13, CHAR = 7 };

static void print_escaped(const char *text, struct gb_buf *out)
{
	for (; *text; text++) {
		switch (*text) {
		case '<': (void)gb_buf_str(out, "&lt;"); break;
		case '>': (void)gb_buf_str(out, "&gt;"); break;
		case '&': (void)gb_buf_str(out, "&amp;"); break;
		case '"': (void)gb_buf_str(out, "&quot;"); break;
		default: (void)gb_buf_add(out, text, 1);
		}
	}
}

static const char *colour(const struct gb_timeline_step *step)
{
	static const struct { const char *track, *colour; } known[] = {
		{ "init", "#4c78a8" },           { "arcmount", "#54a24b" },   { "btrfs-bootstrap", "#e0943a" },
		{ "vsock-rpcd", "#b279a2" },     { "guest-init", "#72b7b2" }, { "nocow", "#9d755d" },
		{ "guest-boot", "#3f9f93" },     { "guest-net", "#d1719c" },
	};

	if (step->failed)
		return "#d62728";
	if (strcmp(step->track, "kernel") == 0 || (strcmp(step->track, "init") == 0 && strcmp(step->name, "kernel") == 0))
		return "#9aa5b1";
	for (size_t i = 0; i < GB_ARRAY_LEN(known); i++) {
		if (strcmp(known[i].track, step->track) == 0)
			return known[i].colour;
	}
	return "#b8a13a"; /* nobody but the kernel is grey */
}

static double x_of(const struct scale *scale, uint64_t ns)
{
	if (ns <= scale->from)
		return LEFT;
	return LEFT + (double)(ns - scale->from) / (double)(scale->to - scale->from) * (WIDTH - LEFT - RIGHT);
}

/* 1, 2 or 5 times a power of ten: about eight of them fit. */
static uint64_t tick_of(const struct scale *scale)
{
	uint64_t tick = 1000;

	for (unsigned k = 0; tick * 10 < scale->to - scale->from; k++)
		tick = k % 3 == 1 ? tick / 2 * 5 : tick * 2;
	return tick;
}

/* How much of the time between the kernel's end and ready was the kernel's, too: modules' starts, mounts. Sorted by begin;
 * two at once count once. */
static uint64_t kernel_inside(const struct gb_timeline *t, uint64_t from)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct gb_timeline_step *s = &t->steps[i];
		uint64_t begin = s->begin > from ? s->begin : from, end = s->end < t->ready ? s->end : t->ready;

		if (strcmp(s->track, "kernel") != 0 || end <= begin)
			continue;
		sum += end - begin;
		from = end;
	}
	return sum;
}

/* A step in its row: its bar, or what a point in time is, and its words. */
static void print_step(const struct gb_timeline_step *s, const struct scale *scale, uint64_t ready_at, int row, int height,
		       struct gb_buf *out)
{
	double x = x_of(scale, s->begin), width = x_of(scale, s->end) - x;
	int y = TOP + row * ROW;
	char name[512], text[600];
	bool ready = is_point(s) && s->end == ready_at;

	label(s, name, sizeof name);
	if (is_point(s))
		(void)snprintf(text, sizeof text, "%s  %.1f ms", name, ms(s->end));
	else
		(void)snprintf(text, sizeof text, "%s  %.1f ms", name, ms(s->end - s->begin));
	if (is_point(s)) {
		(void)gb_buf_fmt(out, "<line x1=\"%.1f\" y1=\"66\" x2=\"%.1f\" y2=\"%d\" stroke=\"%s\" "
				      "stroke-dasharray=\"3 3\"/>\n", x, x, height - 12, ready ? "#2f9e44" : "#9aa5b1");
		(void)gb_buf_fmt(out, "<path d=\"M%.1f %dl5 6.5l-5 6.5l-5 -6.5z\" fill=\"%s\"/>\n", x, y,
				 ready ? "#2f9e44" : colour(s));
		width = 7;
	} else {
		(void)gb_buf_fmt(out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n", x, y,
		       width < 1.5 ? 1.5 : width, BAR_HEIGHT, colour(s));
		if (s->begin < scale->from) /* where it was cut */
			(void)gb_buf_fmt(out, "<path d=\"M%.1f %dl3 3.2l-3 3.3l3 3.2l-3 3.3\" fill=\"none\" stroke=\"#fff\" "
					      "stroke-width=\"2\"/>\n", x + 6, y);
	}
	/* Beside the bar, on the side that has the room; a bar that leaves none on either is long enough to hold it. */
	double room = (double)strlen(text) * CHAR;
	double after = x + width + 6;
	const char *anchor = "start", *fill = "#1f2933";
	if (after + room > WIDTH - RIGHT) {
		if (x - 6 - room > LEFT) {
			anchor = "end";
			after = x - (is_point(s) ? 11 : 6);
		} else {
			after = x + 16;
			fill = "#ffffff";
		}
	}
	(void)gb_buf_fmt(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\" fill=\"%s\">", after, y + 11, anchor, fill);
	print_escaped(text, out);
	(void)gb_buf_str(out, "</text>\n");
}

static void print_svg(const struct gb_timeline *t, struct gb_buf *out)
{
	uint64_t kernel;
	struct scale scale = scale_of(t, &kernel);
	int height = TOP + (int)t->count * ROW + 16;

	(void)gb_buf_fmt(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
	       "font-family=\"DejaVu Sans,Verdana,sans-serif\" font-size=\"11\">\n", WIDTH, height, WIDTH, height);
	(void)gb_buf_fmt(out, "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", WIDTH, height);
	(void)gb_buf_fmt(out, "<text x=\"%d\" y=\"24\" font-size=\"16\" font-weight=\"bold\" fill=\"#1f2933\">", LEFT);
	if (t->ready && kernel) {
		uint64_t inside = kernel_inside(t, kernel);
		(void)gb_buf_fmt(out, "Ready after %.1f ms: kernel %.1f ms, ", ms(t->ready), ms(kernel));
		if (inside)
			(void)gb_buf_fmt(out, "its modules and mounts %.1f ms, ", ms(inside));
		(void)gb_buf_fmt(out, "the rest %.1f ms</text>\n", ms(t->ready - kernel - inside));
	} else {
		(void)gb_buf_fmt(out, "%s %.1f ms</text>\n", t->ready ? "Ready after" : "Not ready;", ms(t->ready ? t->ready : scale.to));
	}
	(void)gb_buf_fmt(out, "<text x=\"%d\" y=\"42\" fill=\"#52606d\">milliseconds since the kernel's start; grey: the kernel's own "
			      "time%s</text>\n", LEFT, scale.from ? ", whose first bar is cut at the left" : "");

	/* the axis */
	uint64_t tick = tick_of(&scale);
	for (uint64_t at = (scale.from + tick - 1) / tick * tick; at <= scale.to; at += tick) {
		double x = x_of(&scale, at);
		(void)gb_buf_fmt(out, "<line x1=\"%.1f\" y1=\"66\" x2=\"%.1f\" y2=\"%d\" stroke=\"#e4e7eb\"/>\n", x, x, height - 12);
		(void)gb_buf_fmt(out, "<text x=\"%.1f\" y=\"62\" text-anchor=\"%s\" fill=\"#7b8794\">%.*f</text>\n", x,
		       x < LEFT + 20 ? "start" : x > WIDTH - RIGHT - 20 ? "end" : "middle", tick < 1000000 ? 3 : 0, ms(at));
	}
	for (size_t i = 0; i < t->count; i++)
		print_step(&t->steps[i], &scale, t->ready, (int)i, height, out);
	(void)gb_buf_str(out, "</svg>\n");
}

/* ---- the choice ---- */

int gb_chart_draw(struct gb_timeline *timeline, enum gb_chart how, bool all, struct gb_buf *out, struct gb_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < timeline->count; i++) {
		if (all || !timeline->ready || timeline->steps[i].begin <= timeline->ready)
			timeline->steps[n++] = timeline->steps[i];
	}
	timeline->count = n;
	if (!n)
		return gb_err_set(err, ENOENT, "no step was recorded");
	qsort(timeline->steps, n, sizeof *timeline->steps, by_begin);
	switch (how) {
	case GB_CHART_JSON: print_json(timeline, out); break;
	case GB_CHART_CHROME: print_chrome(timeline, out); break;
	case GB_CHART_SVG: print_svg(timeline, out); break;
	default: print_text(timeline, out);
	}
	return out->failed ? gb_err_sys(err, ENOMEM, "timeline") : 0;
}

int gb_chart_choose(bool json, bool svg, bool chrome, enum gb_chart *ret_how, struct gb_err *err)
{
	if (json + svg + chrome > 1)
		return gb_err_set(err, GB_E_USAGE, "only one of --json, --svg, --chrome at a time");
	*ret_how = json ? GB_CHART_JSON : svg ? GB_CHART_SVG : chrome ? GB_CHART_CHROME : GB_CHART_TEXT;
	return 0;
}
