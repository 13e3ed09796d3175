/* SPDX-License-Identifier: MIT */
/* A fault for the analyzers to find: tests/analysis/known has it, and complains of a tool that does not see it. */
#include <stddef.h>
#include <stdlib.h>

int gb_planted(int n);
int gb_planted(int n)
{
	int *nowhere = NULL;
	char *twice = malloc(4);

	free(twice);
	if (n == 3)
		free(twice);
	return n == 4 ? *nowhere : n;
}
