/* SPDX-License-Identifier: MIT */
/* Fuzz target: kubeconfigs. What is rewritten keeps its lines, and is the same when it is rewritten again. */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/rpc/kubeconfig.h"
#include "tests/fuzz/fuzz.h"

static size_t lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_autofree char *text = malloc(size + 1);
	gb_autobuf struct gb_buf first = { 0 }, second = { 0 };

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (gb_kubeconfig_rewrite(text, "https://127.0.0.1:6443", "arcbox", &first) < 0 ||
	    gb_kubeconfig_rewrite(gb_buf_text(&first), "https://127.0.0.1:6443", "arcbox", &second) < 0)
		abort();
	if (strcmp(gb_buf_text(&first), gb_buf_text(&second)) != 0 || lines(text) != lines(gb_buf_text(&first)))
		abort();
	return 0;
}
