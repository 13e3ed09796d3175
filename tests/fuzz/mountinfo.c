/* SPDX-License-Identifier: MIT */
/* Fuzz target: a mountinfo file, and the search for the mount at a path. */
#include <stdlib.h>
#include <string.h>

#include "common/sys/mountinfo.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	struct gb_buf text = { 0 };

	if (gb_buf_add(&text, data, size) < 0)
		return 0;
	const char *const end = text.data ? text.data + size : NULL;
	if (gb_mountinfo_table_of(&text, &table) < 0)
		return 0;
	for (size_t i = 0; i < table.count && i < 64; i++) { /* each is a search: the rest is for speed */
		const struct gb_mountinfo *row = &table.rows[i];
		const char *const strings[] = { row->root, row->target, row->options, row->type, row->source, row->super };

		for (size_t k = 0; k < sizeof strings / sizeof strings[0]; k++) {
			if (!strings[k] || (end && strings[k] + strlen(strings[k]) > end))
				abort();
		}
		if (!gb_mountinfo_by_id(&table, row->id))
			abort();
		/* What is at a path lies there, and what holds it is above it. */
		const struct gb_mountinfo *top = gb_mountinfo_top(&table, row->target);
		const struct gb_mountinfo *holder = gb_mountinfo_holder(&table, row->target);
		if (top && (top != holder || strcmp(top->target, row->target) != 0))
			abort();
		size_t above = holder ? strlen(holder->target) : 0;
		while (above && holder->target[above - 1] == '/') /* "/", and more of them, which the kernel does not write */
			above--;
		if (holder && strncmp(holder->target, row->target, above) != 0)
			abort();
		(void)gb_mountinfo_below(&table, row, table.rows[0].id);
		(void)gb_mountinfo_has(row->super, "dax", NULL);
	}
	return 0;
}
