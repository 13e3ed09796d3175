/* SPDX-License-Identifier: MIT */
/* guest-init: no memory is allocated once the command runs. The linker puts our malloc() and its like in front of the C
 * library's (--wrap), for all of our own objects. */
#include "tests/unit/unit.h"

#include <sys/prctl.h>

/* The applet itself: what it keeps to itself is what is tested. */
#include "applets/guest-init.c"

static pid_t armed; /* the process in which nothing may be allocated any more */

static void allocates(void)
{
	if (armed == getpid()) {
		(void)!write(STDERR_FILENO, "allocates\n", 10);
		armed = 0; /* what counts lines at the end may allocate */
		_exit(99);
	}
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
pid_t __real_fork(void);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
pid_t __wrap_fork(void);

void *__wrap_malloc(size_t size) { allocates(); return __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { allocates(); return __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { allocates(); return __real_realloc(old, size); }
char *__wrap_strdup(const char *text) { allocates(); return __real_strdup(text); }

/* The first fork is the start of the command. */
pid_t __wrap_fork(void)
{
	pid_t pid = __real_fork();

	if (pid > 0 && !armed)
		armed = getpid();
	return pid;
}

/* guest-init in a child of its own, with this script as its command: its exit status. */
static int run_script(const char *script)
{
	static char sh[] = "/bin/sh", flag[] = "-c", text[512];
	static char *argv[] = { sh, flag, text, NULL };
	pid_t pid = __real_fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct gb_err err = { 0 };

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)snprintf(text, sizeof text, "%s", script);
		init.argv = argv;
		init.respawn = true;
		init.limit = (struct gb_respawn){ .count = 1, .seconds = 60 };
		status = keep_running(&err) & 0xff;
		armed = 0;
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void nothing_is_allocated_once_the_command_runs(void **state)
{
	(void)state;
	/* Orphans to reap, signals to forward, a crash, a restart, and the last word about the limit. */
	assert_int_equal(run_script("for i in 1 2 3 4 5 6 7 8 9; do (/bin/true & exit); done; trap : USR1 WINCH\n"
				    "kill -USR1 $PPID; kill -WINCH $PPID; kill -SEGV $$; exit 3"), 128 + SIGSEGV);
}

/* The guard itself. */
static void what_allocates_is_seen(void **state)
{
	pid_t pid = __real_fork();
	int status = 0;

	(void)state;
	if (pid == 0) {
		struct gb_buf buf = { 0 };

		armed = getpid();
		(void)gb_buf_str(&buf, "x"); /* an object of common/, not of this file */
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_allocated_once_the_command_runs),
		cmocka_unit_test(what_allocates_is_seen),
	};

	return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
