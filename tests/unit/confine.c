/* SPDX-License-Identifier: MIT */
/* common/sys/confine: what is given up is gone. Each case in a process of its own. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/sys/confine.h"

/* Its wait status. */
static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#define EXITS(fn, n) do { \
	int status_ = in_child(fn); \
	assert_true(WIFEXITED(status_)); \
	assert_int_equal(WEXITSTATUS(status_), n); \
} while (0)

static const struct gb_syscall rules[] = {
	{ SYS_write, GB_SYSCALL_ALWAYS, 0, 0 }, { SYS_exit_group, GB_SYSCALL_ALWAYS, 0, 0 },
	{ SYS_close, GB_SYSCALL_ALWAYS, 0, 0 }, { SYS_sigaltstack, GB_SYSCALL_ALWAYS, 0, 0 }, /* the sanitizer's at exit */
	{ SYS_munmap, GB_SYSCALL_ALWAYS, 0, 0 },
	{ SYS_mmap, GB_SYSCALL_WITHOUT, 2, PROT_EXEC }, { SYS_fcntl, GB_SYSCALL_EQUAL, 1, F_GETFD },
	{ SYS_socket, GB_SYSCALL_NEVER, 0, 0 },
};

static int filtered(int otherwise)
{
	return gb_confine_no_new_privs() < 0 || gb_confine_syscalls(rules, GB_ARRAY_LEN(rules), otherwise) < 0;
}

static int what_is_not_listed(void)
{
	if (filtered(0))
		return 1;
	if (syscall(SYS_dup, 1) != -1 || errno != EPERM)
		return 2;
	if (syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY) != -1 || errno != EPERM)
		return 3;
	return syscall(SYS_close, 1) == 0 ? 0 : 4;
}

static int by_argument(void)
{
	if (filtered(0))
		return 1;
	if (syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != -1 || errno != EPERM)
		return 2;
	if (syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1)
		return 3;
	if (fcntl(1, F_DUPFD, 0) != -1 || errno != EPERM)
		return 4;
	return fcntl(1, F_GETFD) < 0 ? 5 : 0;
}

static int deadly(void)
{
	return filtered(1) ? 1 : socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? 2 : 3;
}

static int all_but_deadly(void)
{
	return filtered(1) ? 1 : dup(1) < 0 ? 2 : 0;
}

static void system_calls(void **state)
{
	(void)state;
	EXITS(what_is_not_listed, 0);
	EXITS(by_argument, 0);
	EXITS(all_but_deadly, 0);
	int status = in_child(deadly);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int no_files(void)
{
	int r = gb_confine_no_new_privs() < 0 ? -1 : gb_confine_landlock(NULL);

	if (r == -ENOSYS || r == -EOPNOTSUPP)
		return 0; /* a kernel without it: said, and nothing is changed */
	if (r < 1)
		return 1;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return 2;
	return open("/tmp", O_RDONLY | O_DIRECTORY) >= 0 || errno != EACCES ? 3 : 0;
}

static int some_files(void)
{
	int r = gb_confine_no_new_privs() < 0 ? -1 : gb_confine_landlock("/proc");

	if (r == -ENOSYS || r == -EOPNOTSUPP)
		return 0;
	if (r < 1)
		return 1;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return 2;
	return open("/proc/version", O_RDONLY) < 0 ? 3 : 0;
}

static int no_folder(void)
{
	int r = gb_confine_landlock("/no/such/folder");

	return r == -ENOENT || r == -ENOSYS || r == -EOPNOTSUPP ? 0 : 1;
}

static void files(void **state)
{
	(void)state;
	EXITS(no_files, 0);
	EXITS(some_files, 0);
	EXITS(no_folder, 0);
}

static int ids(void)
{
	int r = gb_confine_ids(65521, 65522);

	if (getuid() == 0 || r < 0) /* without root there is nothing to give up */
		return r == -EPERM || r == -EINVAL ? 0 : 1;
	if (getuid() != 65521 || geteuid() != 65521 || getegid() != 65522 || getgroups(0, NULL) != 0)
		return 2;
	return setuid(0) < 0 ? 0 : 3;
}

static int caps(void)
{
	if (gb_confine_caps() < 0)
		return 1;
	/* root without capabilities may no longer change its user */
	return setresuid(12345, 12345, 12345) < 0 && errno == EPERM ? 0 : 2;
}

static void identity(void **state)
{
	(void)state;
	EXITS(ids, 0);
	EXITS(caps, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_calls),
		cmocka_unit_test(files),
		cmocka_unit_test(identity),
	};

	return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
