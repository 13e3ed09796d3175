/* SPDX-License-Identifier: MIT */
/* The process that unpacks a tar archive: it has the folder as its root, and the rights that this takes. */
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/untar.h"
#include "common/sys/confine.h"

struct report {
	int code;
	struct gb_untar_result result;
	struct gb_err err;
};

/* No capability but those that owners, modes and attributes of the files take: no mknod(2), no chroot(2). */
static int drop_rights(void)
{
	enum { KEPT = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER | 1U << CAP_FSETID | 1U << CAP_SETFCAP };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3] = { 0 };

	_Static_assert(CAP_SETFCAP < 32, "all kept ones are in the first word");
	if (syscall(SYS_capget, &head, now) < 0)
		return -errno;
	now[0].permitted &= KEPT;
	now[0].effective = now[0].permitted;
	now[0].inheritable = 0;
	now[1] = (struct __user_cap_data_struct){ 0 };
	return syscall(SYS_capset, &head, now) < 0 ? -errno : gb_confine_no_new_privs();
}

#define ALWAYS(name) { SYS_##name, GB_SYSCALL_ALWAYS, 0, 0 }
#define NEVER(name) { SYS_##name, GB_SYSCALL_NEVER, 0, 0 }

/* Files below the root, memory, and nothing else. */
static const struct gb_syscall calls[] = {
	ALWAYS(read), ALWAYS(write), ALWAYS(openat2), ALWAYS(openat), ALWAYS(close), ALWAYS(fstat), ALWAYS(newfstatat), ALWAYS(statx),
	ALWAYS(fchown), ALWAYS(fchmod), ALWAYS(utimensat), ALWAYS(fsetxattr), ALWAYS(mkdirat), ALWAYS(symlinkat), ALWAYS(linkat),
	ALWAYS(fchownat), ALWAYS(fchmodat), ALWAYS(unlinkat), ALWAYS(getdents64), ALWAYS(lseek), ALWAYS(fcntl),
	ALWAYS(statfs), ALWAYS(fstatfs), ALWAYS(syncfs), ALWAYS(umask),
	{ SYS_mknodat, GB_SYSCALL_EQUAL, 2, S_IFIFO | 0600 },
	/* No page is to become code. */
	{ SYS_mmap, GB_SYSCALL_WITHOUT, 2, PROT_EXEC }, { SYS_mprotect, GB_SYSCALL_WITHOUT, 2, PROT_EXEC },
	ALWAYS(munmap), ALWAYS(mremap), ALWAYS(madvise), ALWAYS(brk), ALWAYS(clock_gettime), ALWAYS(getrandom), ALWAYS(getpid),
	ALWAYS(gettid), ALWAYS(futex), ALWAYS(rt_sigprocmask), ALWAYS(rt_sigreturn), ALWAYS(restart_syscall), ALWAYS(exit),
	ALWAYS(exit_group),
	NEVER(execve), NEVER(execveat), NEVER(socket), NEVER(connect), NEVER(bind), NEVER(mount), NEVER(umount2), NEVER(init_module),
	NEVER(finit_module), NEVER(reboot), NEVER(setns), NEVER(unshare), NEVER(bpf), NEVER(keyctl), NEVER(pivot_root), NEVER(chroot),
	NEVER(ptrace), NEVER(process_vm_writev), NEVER(kexec_load), NEVER(perf_event_open), NEVER(userfaultfd), NEVER(kill),
};

static void child(int in, int root, int to, const struct gb_untar_limits *limits)
{
	static struct report report; /* on no stack: the child of a thread has a small one */
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "untar");
	/* Nothing of the daemon's stays open here. The three descriptors go out of each other's way first. */
	in = fcntl(in, F_DUPFD, 10);
	root = fcntl(root, F_DUPFD, 10);
	to = fcntl(to, F_DUPFD, 10);
	if (in < 0 || root < 0 || to < 0 || dup2(in, 3) < 0 || dup2(root, 4) < 0 || dup2(to, 5) < 0)
		_exit(1);
	closefrom(6);
	for (int fd = 0; fd < 3; fd++)
		(void)close(fd);
	if (fchdir(4) < 0 || chroot(".") < 0)
		r = gb_err_sys(&report.err, errno, "archive: chroot");
	else if ((r = drop_rights()) < 0)
		r = gb_err_sys(&report.err, -r, "archive: rights");
	else if ((r = gb_confine_syscalls(calls, GB_ARRAY_LEN(calls), GB_CONFINE_SANITIZED)) < 0 && r != -EINVAL && r != -ENOSYS)
		r = gb_err_sys(&report.err, -r, "archive: system calls");
	else /* where the kernel has no filters, the rest is what holds it */
		r = gb_untar(3, 4, limits, &report.result, &report.err);
	report.code = -r;
	_exit(gb_io_write(5, &report, sizeof report) < 0);
}

int gb_untar_confined(int in, int root, const struct gb_untar_limits *limits, struct gb_untar_result *ret_result,
		      struct gb_err *err)
{
	struct report report;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return gb_err_sys(err, errno, "archive: pipe");
	pid_t pid = fork();
	if (pid == 0)
		child(in, root, ends[1], limits);
	int failed_fork = errno;
	(void)close(ends[1]);
	gb_autoclose int from = ends[0];
	if (pid < 0)
		return gb_err_sys(err, failed_fork, "archive: fork");
	ssize_t n = gb_io_read(from, &report, sizeof report);
	(void)gb_io_wait(pid, NULL);
	if (n != (ssize_t)sizeof report)
		return gb_err_set(err, EIO, "archive: the process that unpacks it has ended before its time");
	if (report.code) {
		if (err)
			*err = report.err;
		return -report.code;
	}
	*ret_result = report.result;
	return 0;
}
