/* SPDX-License-Identifier: MIT */
/* Archives that are compressed. */
#include "common/sandbox/unzip.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/confine.h"
#include "common/sys/program.h"

enum { NOBODY = 65534, MEMORY_MIB = 512 };

static const struct kind {
	const char *magic, *program;
	size_t len;
} kinds[] = {
	{ "\x1f\x8b", "gzip", 2 },
	{ "\x28\xb5\x2f\xfd", "zstd", 4 },
	{ "\xfd" "7zXZ", "xz", 6 },
	{ "BZh", "bzip2", 3 },
};

const char *gb_unzip_program(const unsigned char *head, size_t len)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(kinds); i++) {
		if (len >= kinds[i].len && memcmp(head, kinds[i].magic, kinds[i].len) == 0)
			return kinds[i].program;
	}
	return NULL;
}

/* Nobody, with no rights, who writes no file. What it reads comes from who knows where. */
static void become(const char *path, const char *program, int in, int out)
{
	/* What a program that only reads and writes never asks for. */
	static const struct gb_syscall calls[] = {
		{ SYS_socket, GB_SYSCALL_NEVER, 0, 0 }, { SYS_connect, GB_SYSCALL_NEVER, 0, 0 },
		{ SYS_ptrace, GB_SYSCALL_NEVER, 0, 0 }, { SYS_process_vm_writev, GB_SYSCALL_NEVER, 0, 0 },
		{ SYS_mount, GB_SYSCALL_NEVER, 0, 0 }, { SYS_unshare, GB_SYSCALL_NEVER, 0, 0 },
		{ SYS_setns, GB_SYSCALL_NEVER, 0, 0 }, { SYS_bpf, GB_SYSCALL_NEVER, 0, 0 },
		{ SYS_keyctl, GB_SYSCALL_NEVER, 0, 0 }, { SYS_perf_event_open, GB_SYSCALL_NEVER, 0, 0 },
		{ SYS_userfaultfd, GB_SYSCALL_NEVER, 0, 0 },
	};
	const char *const argv[] = { program, "-dc", NULL };
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	const struct rlimit none = { 0, 0 }, memory = { (rlim_t)MEMORY_MIB << 20, (rlim_t)MEMORY_MIB << 20 };
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)signal(SIGPIPE, SIG_DFL);
	in = fcntl(in, F_DUPFD, 10);
	out = fcntl(out, F_DUPFD, 10);
	int null = open("/dev/null", O_WRONLY);
	if (in < 0 || out < 0 || null < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0 || chdir("/") < 0)
		_exit(126);
	closefrom(3);
	(void)setrlimit(RLIMIT_FSIZE, &none);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)setrlimit(RLIMIT_AS, &memory);
	/* In a user namespace that has no such user it stays who it is; without rights all the same. */
	(void)gb_confine_ids(NOBODY, NOBODY);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (gb_confine_caps() < 0 || gb_confine_no_new_privs() < 0)
		_exit(126);
	(void)gb_confine_syscalls(calls, GB_ARRAY_LEN(calls), true);
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	(void)execve(path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
	_exit(127);
}

int gb_unzip_start(const char *program, int in, struct gb_unzip *ret_unzip, struct gb_err *err)
{
	char path[512];
	int ends[2];

	if (!gb_program_find(gb_program_path(), program, path, sizeof path))
		return gb_err_set(err, EOPNOTSUPP, "archive: compressed with %s, and the guest has no program of that name: send what "
				  "%s -dc makes of it", program, program);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return gb_err_sys(err, errno, "archive: pipe");
	pid_t pid = fork();
	if (pid == 0)
		become(path, program, in, ends[1]);
	int failed = errno;
	(void)close(ends[1]);
	if (pid < 0) {
		(void)close(ends[0]);
		return gb_err_sys(err, failed, "archive: fork");
	}
	*ret_unzip = (struct gb_unzip){ program, pid, ends[0] };
	return 0;
}

int gb_unzip_end(struct gb_unzip *unzip, struct gb_err *err)
{
	int status;

	gb_close_fd(&unzip->out);
	unzip->out = -1;
	int r = gb_io_wait(unzip->pid, &status);
	if (r < 0)
		return gb_err_sys(err, -r, "archive: %s", unzip->program);
	if (WIFSIGNALED(status))
		return gb_err_set(err, EBADMSG, "archive: %s was ended by signal %d", unzip->program, WTERMSIG(status));
	if (WEXITSTATUS(status))
		return gb_err_set(err, EBADMSG, "archive: %s cannot unpack it (status %d): it is cut off or damaged", unzip->program,
				  WEXITSTATUS(status));
	return 0;
}
