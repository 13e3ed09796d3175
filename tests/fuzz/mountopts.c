/* SPDX-License-Identifier: MIT */
/* Fuzz target: option strings, from the words to the calls of a plan. */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/mount/plan.h"
#include "tests/fuzz/fuzz.h"

static int count_call(const struct gb_mount_call *call, void *arg)
{
	size_t *calls = arg;

	(*calls)++;
	if (call->id == GB_CALL_FSCONFIG && (!call->a || strlen(call->a) >= GB_MOUNT_VALUE_MAX ||
					     (call->b && strlen(call->b) >= GB_MOUNT_VALUE_MAX)))
		abort(); /* the kernel would refuse it for its length alone */
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = { "tmpfs", "overlay", NULL };
	gb_autofree char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		gb_automountoptions struct gb_mount_options options = { 0 };
		gb_automountplan struct gb_mount_plan plan = { 0 };
		gb_autobuf struct gb_buf shown = { 0 };
		struct gb_mount_request q = { .source = "s", .target = "/t", .type = types[i] };
		struct gb_err err = { 0 };
		size_t calls = 0, lines = 0;

		if (gb_mount_options_add(&options, text, &err) < 0) {
			if (!err.msg[0])
				abort();
			return 0;
		}
		if (options.set & options.clear || options.rec_set & ~options.set || options.rec_clear & ~options.clear)
			abort();
		if (gb_mount_plan_parsed(&plan, &q, &options, &err) < 0) {
			if (!err.msg[0])
				abort();
			continue;
		}
		for (size_t k = 0; k < plan.count; k++)
			(void)gb_mount_calls(&plan.steps[k], count_call, &calls);
		if (gb_mount_plan_text(&shown, &plan) < 0)
			return 0;
		for (size_t k = 0; k < shown.len; k++)
			lines += shown.data[k] == '\n';
		if (lines != calls) /* what a dry run shows is what a run does */
			abort();
	}
	(void)gb_mount_options_match(text, "ro,no_netdev");
	(void)gb_mount_type_match("ext4", text);
	return 0;
}
