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

/* valgrind runs things: tests/analysis/valgrind compiles this and looks for what it has to say, and for what it must not: that a
 * process forked beside another thread has lost what that one still has. */
#ifdef GB_PLANTED_MAIN
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile lost;
static int begun[2], over[2];

static void *other_thread(void *arg)
{
	char *volatile kept = malloc(4321);
	ssize_t n = write(begun[1], "", 1);

	n += read(over[0], kept, 1);
	free(kept);
	return n < 2 ? NULL : arg;
}

int main(void)
{
	volatile char *unset = malloc(4);
	int status = 0;
	pthread_t thread;
	char byte;

	if (unset[2] == 7)
		status = 1; /* a jump on what was never written */
	free((void *)unset);
	lost = malloc(16);
	lost = NULL;
	if (pipe(begun) < 0 || pipe(over) < 0 || pthread_create(&thread, NULL, other_thread, over) || read(begun[0], &byte, 1) != 1)
		return 2;
	pid_t child = fork();
	if (child == 0) {
		lost = malloc(1234);
		lost = NULL;
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) < 0 || write(over[1], "", 1) != 1)
		return 2;
	return pthread_join(thread, NULL) ? 2 : status;
}
#endif
