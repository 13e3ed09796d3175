/* SPDX-License-Identifier: MIT */
/* Fuzz target: JSON of others. What is accepted is what another reader of the same grammar accepts; each value that is found in
 * it is JSON itself, and each string reads back the same when it is written again. */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/jsonread.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json.h"

enum { DEPTH = 64, VALUES = 4096 };

/* How deep its lists and objects are nested. Of what is JSON. */
static int nesting(const char *text)
{
	int depth = 0, most = 0;

	for (const char *p = text; *p; p++) {
		if (*p == '"')
			p = fuzz_json_string(p) - 1;
		else if (*p == '{' || *p == '[')
			most = ++depth > most ? depth : most;
		else if (*p == '}' || *p == ']')
			depth--;
	}
	return most;
}

static void string(const struct gb_jsonread *value)
{
	gb_autofree char *first = NULL, *second = NULL;
	struct gb_jsonread again;
	struct gb_json json = { 0 };

	if (gb_jsonread_string(value, &first) < 0)
		return;
	gb_json_str(&json, NULL, first);
	const char *text = gb_buf_text(&json.buf);
	if (gb_jsonread_text(text, strlen(text), &again) < 0 || gb_jsonread_string(&again, &second) < 0 || strcmp(first, second) != 0)
		abort();
	gb_buf_free(&json.buf);
}

/* Everything that is asked for in it, at most so many values in all. */
static void walk(const struct gb_jsonread *value, const char *text, size_t len, int *left)
{
	static const char *const names[] = { "a", "", "Layers", "manifests", "digest", "config" };
	struct gb_jsonread item = { 0 };

	if (--*left < 0)
		return;
	if (value->at < text || value->end > text + len || value->at >= value->end)
		abort();
	gb_autofree char *copy = strndup(value->at, (size_t)(value->end - value->at));
	if (!copy || !fuzz_is_json(copy))
		abort();
	if (gb_jsonread_is(value, '"'))
		string(value);
	while (gb_jsonread_next(value, &item))
		walk(&item, text, len, left);
	for (size_t i = 0; i < GB_ARRAY_LEN(names); i++) {
		item = gb_jsonread_member(value, names[i]);
		if (item.at)
			walk(&item, text, len, left);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gb_jsonread value;
	int left = VALUES;
	int r = gb_jsonread_text((const char *)data, size, &value);

	if (memchr(data, 0, size)) {
		if (r == 0) /* NUL is in no JSON */
			abort();
		return 0;
	}
	gb_autofree char *text = strndup((const char *)data, size);
	if (!text)
		abort();
	/* The other reader takes one level more. */
	if (fuzz_is_json(text) ? r != (nesting(text) > DEPTH ? -EBADMSG : 0) : r != -EBADMSG)
		abort();
	if (r == 0)
		walk(&value, (const char *)data, size, &left);
	return 0;
}
