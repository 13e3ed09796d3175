/* SPDX-License-Identifier: MIT */
/* Fuzz target: tables in fstab's format, and shares of the kernel command line. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/mount/table.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_automounttable struct gb_mount_table table = { 0 };
	gb_autofree char *text = malloc(size + 1);
	struct gb_err err = { 0 };
	size_t bad = 0;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)gb_mount_table_share(&table, text, &err);
	if (gb_mount_table_parse(&table, text, size, "table", &err) < 0)
		return 0;
	gb_mount_table_order(&table);
	for (size_t i = 0; i < table.count; i++) {
		const struct gb_mount_entry *e = &table.entries[i];

		bad += e->bad != NULL;
		if (e->bad ? e->target != NULL : !e->source || !e->target || !e->type || !e->options)
			abort();
		/* No entry stands behind one that lies below it. */
		for (size_t k = 0; e->target && e->target[0] == '/' && strlen(e->target) > 1 && k < i; k++) {
			const char *before = table.entries[k].target;
			size_t n = strlen(e->target);
			bool ends = e->target[n - 1] == '/';

			if (before && !ends && strncmp(before, e->target, n) == 0 && before[n] == '/' &&
			    before[n + strspn(before + n, "/")] != '\0')
				abort();
		}
	}
	if (bad != table.bad)
		abort();
	return 0;
}
