/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over its committed corpus, each file whole and cut at every length, and prints TAP. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "tests/fuzz/fuzz.h"

/* A copy of just that size: the address sanitizer sees a read of one byte too many. */
static void run_once(const char *data, size_t size)
{
	gb_autofree uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
}

int main(int argc, char **argv)
{
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;
	char path[1024];
	int count = 0;

	/* tests/fuzz/NAME-replay reads tests/fuzz/corpus/NAME */
	name = name ? name + 1 : argv[0];
	(void)snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%.*s", GB_SRCDIR, (int)strcspn(name, "-"), name);
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);
	if (n < 0) {
		printf("1..1\nnot ok 1 - %s: %s\n", path, strerror(errno));
		return 1;
	}
	for (int i = 0; i < n; i++) {
		gb_autofree struct dirent *e = entries[i];
		gb_autobuf struct gb_buf buf = { 0 };
		char file[2048];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
		int r = gb_io_slurp(AT_FDCWD, file, 1 << 24, &buf);
		if (r < 0) {
			printf("not ok %d - %s: %s\n", ++count, e->d_name, strerror(-r));
			continue;
		}
		const char *text = gb_buf_text(&buf);
		run_once(text, buf.len);
		/* Every cut of a small input; a sample of those of a large one. */
		size_t step = buf.len / 512 + 1;
		for (size_t cut = 0; cut < buf.len; cut += step)
			run_once(text, cut);
		printf("ok %d - %s\n", ++count, e->d_name);
	}
	free(entries);
	if (count == 0)
		printf("not ok %d - no corpus in %s\n", ++count, path);
	printf("1..%d\n", count);
	return 0;
}
