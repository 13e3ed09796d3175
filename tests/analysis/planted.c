/* SPDX-License-Identifier: MIT */
/* Faults for the analyzers to find: tests/analysis/known has them, and complains of a tool that does not see them. */
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

/* valgrind runs things: tests/analysis/valgrind compiles this and looks for the two. */
#ifdef GB_PLANTED_MAIN
static void *volatile lost;

int main(void)
{
	volatile char *unset = malloc(4);
	int status = 0;

	if (unset[2] == 7)
		status = 1; /* a jump on what was never written */
	free((void *)unset);
	lost = malloc(16);
	lost = NULL;
	return status;
}
#endif
