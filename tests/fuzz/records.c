/* SPDX-License-Identifier: MIT */
/* Fuzz target: the small texts. Files of /proc and /run whose bytes other processes choose, and the words that options,
 * files and the kernel command line have numbers, times and addresses in: each reader gets every input. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/parse.h"
#include "common/net/addr.h"
#include "common/power/plan.h"
#include "common/power/state.h"
#include "common/sys/blockdev.h"
#include "common/sys/cgroup.h"
#include "common/sys/clock.h"
#include "common/sys/pidrec.h"
#include "common/sys/proc.h"
#include "common/sys/respawn.h"
#include "tests/fuzz/fuzz.h"

static void files(const char *text)
{
	struct gb_proc proc;
	uint64_t start;
	char path[64];
	int64_t ns;
	pid_t pid;

	memset(&proc, 0x55, sizeof proc);
	if (gb_proc_parse(text, &proc) == 0 && (proc.pid < 1 || !memchr(proc.command, 0, sizeof proc.command)))
		abort();
	if (gb_pidrec_parse(text, "b", &pid, &start) == 0 && (pid < 2 || !strstr(text, "b\n")))
		abort();
	memset(path, 'x', sizeof path);
	if (gb_cgroup_parse(text, path, sizeof path) == 0 && (!memchr(path, 0, sizeof path) || strchr(path, '\n')))
		abort();
	if (gb_clock_parse(text, &ns) == 0 && ns < 0)
		abort();
	(void)gb_clock_is_hosts(text);
}

static void swaps(const char *text, size_t size)
{
	gb_autofree char *copy = malloc(size + 1);
	size_t pos = 0, before = 0;

	if (!copy)
		return;
	memcpy(copy, text, size + 1);
	for (char *path; (path = gb_blockdev_swap_next(copy, &pos)); before = pos) {
		if (path[0] != '/' || pos <= before || pos > size)
			abort();
	}
}

static void words(const char *text)
{
	struct gb_respawn limit = { 0 };
	struct gb_addr addr, again;
	char formatted[GB_ADDR_TEXT];
	uint64_t value;
	long long number;
	uint32_t u32;
	struct gb_err err = { 0 };

	if (gb_parse_u32(text, strlen(text), &u32)) {
		char *end;
		errno = 0;
		if (strtoull(text, &end, 10) != u32 || *end)
			abort();
	}
	if (gb_parse_size(text, "size", &value, &err) < 0 && !err.msg[0])
		abort();
	if (gb_parse_number(text, "number", -5, 500, &number, &err) == 0 && (number < -5 || number > 500))
		abort();
	if (gb_parse_seconds(text, "time", 60000, &value, &err) == 0 && value > 60000)
		abort();
	if (gb_respawn_parse(text, &limit, &err) == 0 && (limit.count < 1 || limit.count > GB_RESPAWN_MAX || limit.seconds < 1))
		abort();
	/* An address that is written out is the same when it is read again. */
	if (gb_addr_parse(text, &addr, &err) == 0) {
		if (strlen(gb_addr_format(&addr, formatted)) >= sizeof formatted || gb_addr_parse(formatted, &again, &err) < 0 ||
		    again.kind != addr.kind || again.cid != addr.cid || again.port != addr.port || strcmp(again.name, addr.name) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_autofree char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	files(text);
	swaps(text, strlen(text));
	words(text);
	return 0;
}
