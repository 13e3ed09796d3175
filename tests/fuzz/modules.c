/* SPDX-License-Identifier: MIT */
/* Fuzz target: depmod's tables and a device's modalias. Strings that end with a NUL each: a module's name, a modalias,
 * modules.dep, modules.alias, modules.builtin, a kernel command line. */
#include <stdlib.h>
#include <string.h>

#include "common/sys/module.h"
#include "tests/fuzz/fuzz.h"

static int loads;

static int init(const char *path, const char *params)
{
	if (strncmp(path, "/m/", 3) != 0 || !params)
		abort();
	loads++;
	return 0;
}

/* The next string, in memory of its own. */
static void next(const uint8_t *data, size_t size, size_t *at, struct gb_buf *buf)
{
	const uint8_t *end = memchr(data + *at, 0, size - *at);
	size_t len = end ? (size_t)(end - data) - *at : size - *at;

	if (gb_buf_add(buf, data + *at, len) < 0)
		abort();
	*at += len + (end != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gb_modules modules = { .folder = "/m", .init = init };
	gb_autobuf struct gb_buf name = { 0 }, modalias = { 0 }, params = { 0 };
	struct gb_buf *parts[] = { &name, &modalias, &modules.dep, &modules.alias, &modules.builtin, &modules.cmdline };
	struct gb_err err = { 0 };
	size_t at = 0, pos = 0, before = 0;
	char module[64];

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		next(data, size, &at, parts[i]);
	loads = 0;
	if (gb_module_load(&modules, gb_buf_text(&name), &err) < 0 && !err.msg[0])
		abort();
	while (gb_module_match(&modules, gb_buf_text(&modalias), &pos, module)) {
		if (pos <= before || pos > modules.alias.len || !*module || strlen(module) >= sizeof module)
			abort();
		before = pos;
	}
	gb_module_params(gb_buf_text(&modules.cmdline), gb_buf_text(&name), &params);
	gb_module_close(&modules);
	return 0;
}
