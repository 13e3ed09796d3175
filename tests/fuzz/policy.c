/* SPDX-License-Identifier: MIT */
/* Fuzz target: a policy file. What one accepts means the same when it is read again, behind a comment and backwards. */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/rpc/policy.h"
#include "common/rpc/wire.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gb_policy policy, again;
	struct gb_err err = { 0 };
	gb_autobuf struct gb_buf lines = { 0 };
	const char *text = (const char *)data;

	memset(&policy, 0x55, sizeof policy);
	int r = gb_policy_parse(text, size, "file", &policy, &err);
	if (r < 0) {
		if (!strstr(err.msg, "file: line ") || gb_policy_allows(&policy, 0))
			abort(); /* bit 0 of 0x55 is set: it has been touched */
		return 0;
	}
	/* Order means nothing: the lines from the last to the first. */
	for (size_t end = size; end;) {
		size_t start = end;
		while (start && text[start - 1] != '\n')
			start--;
		if (gb_buf_add(&lines, text + start, end - start) < 0 || gb_buf_str(&lines, "\n") < 0)
			return 0;
		end = start ? start - 1 : 0;
	}
	if (gb_policy_parse(gb_buf_text(&lines), lines.len, "file", &again, &err) < 0 || memcmp(&policy, &again, sizeof policy) != 0)
		abort();
	for (uint32_t type = 0; type < 2 * GB_POLICY_TYPES; type++) {
		if (!gb_policy_allows(&policy, type) && !gb_wire_is_request(type))
			abort();
	}
	return 0;
}
