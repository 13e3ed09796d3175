/* SPDX-License-Identifier: MIT */
/* Fuzz target: the words of a kernel command line. */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/sys/cmdline.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_autofree char *text = malloc(size + 1);
	const char *key, *value;
	char word[64], found[32];
	size_t pos = 0, before = 0;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	while (gb_cmdline_next(text, &pos, word, sizeof word, &key, &value)) {
		if (pos <= before || pos > strlen(text) || strlen(key) >= sizeof word)
			abort();
		if (value && strlen(value) >= sizeof word)
			abort();
		before = pos;
	}
	int r = gb_cmdline_value(text, "k", found, sizeof found);
	if (r >= 0 && (size_t)r != strlen(found))
		abort();
	return 0;
}
