/* SPDX-License-Identifier: MIT */
/* Fuzz target: a boot's steps. Byte 0: 0 records of the file in /run, 1 lines of the kernel's log, else the same records
 * as a guest sends them to vsock-rpc. Then what people and programs are shown of them. */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/sys/chart.h"
#include "common/sys/timeline.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json.h"

static void put(struct gb_timeline *timeline, const struct gb_timeline_step *step)
{
	if (!gb_timeline_is_sane(step) || strlen(step->track) >= sizeof step->track || strlen(step->name) >= sizeof step->name)
		abort();
	if (timeline->count < GB_TIMELINE_MAX && gb_timeline_put(timeline, step) < 0)
		abort();
}

static void records(struct gb_timeline *timeline, const uint8_t *data, size_t size)
{
	unsigned char record[GB_TIMELINE_RECORD], again[GB_TIMELINE_RECORD];
	struct gb_timeline_step step, same;

	for (size_t at = 0; at + sizeof record <= size; at += sizeof record) {
		memcpy(record, data + at, sizeof record);
		if (gb_timeline_decode(record, &step) < 0)
			continue;
		gb_timeline_encode(&step, again);
		if (gb_timeline_decode(again, &same) < 0 || same.begin != step.begin || same.end != step.end || same.pid != step.pid ||
		    same.failed != step.failed || strcmp(same.track, step.track) != 0 || strcmp(same.name, step.name) != 0)
			abort();
		put(timeline, &step);
	}
}

static void lines(struct gb_timeline *timeline, const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len = end ? (size_t)(end - data) - at : size - at;
		gb_autofree char *line = malloc(len + 1);
		struct gb_timeline_step step;

		if (!line)
			return;
		memcpy(line, data + at, len);
		line[len] = '\0';
		if (gb_timeline_kmsg(line, &step) > 0)
			put(timeline, &step);
		at += len + 1;
	}
}

/* What stands in angle brackets is ours; a name has none of its own. */
static void check_svg(const char *text)
{
	int open = 0;

	for (; *text; text++) {
		open += *text == '<' ? 1 : *text == '>' ? -1 : 0;
		if (open < 0 || open > 1 || ((unsigned char)*text < ' ' && *text != '\n' && *text != '\t'))
			abort();
	}
	if (open)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_autotimeline struct gb_timeline timeline = { 0 };

	if (size < 1)
		return 0;
	if (data[0] == 1)
		lines(&timeline, data + 1, size - 1);
	else
		records(&timeline, data + 1, size - 1);
	gb_timeline_order(&timeline);
	for (int how = GB_CHART_TEXT; how <= GB_CHART_CHROME; how++) {
		gb_autobuf struct gb_buf out = { 0 };
		struct gb_err err = { 0 };
		int r = gb_chart_draw(&timeline, (enum gb_chart)how, data[0] & 2 || how != GB_CHART_TEXT, &out, &err);

		if (r < 0) {
			if (!err.msg[0])
				abort();
			continue;
		}
		if (strlen(gb_buf_text(&out)) != out.len)
			abort();
		if ((how == GB_CHART_JSON || how == GB_CHART_CHROME) && !fuzz_is_json(gb_buf_text(&out)))
			abort();
		if (how == GB_CHART_SVG)
			check_svg(gb_buf_text(&out));
		/* A terminal is sent no control character. */
		for (const char *p = gb_buf_text(&out); how == GB_CHART_TEXT && *p; p++) {
			if ((unsigned char)*p < ' ' && *p != '\n')
				abort();
		}
	}
	return 0;
}
