/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the front gives up its rights. */
#include <bsd/unistd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "applets/vsock-rpcd/front.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/sys/confine.h"

/* A user and a group of nobody else's: above what is given to people and services, below "nobody". */
enum { FRONT_ID = 65521 };

#define ALWAYS(name) { SYS_##name, GB_SYSCALL_ALWAYS, 0, 0 }
#define NEVER(name) { SYS_##name, GB_SYSCALL_NEVER, 0, 0 }
static const struct gb_syscall calls[] = {
	/* Ordered by how often they come. */
	ALWAYS(recvfrom), ALWAYS(sendto),
#ifdef SYS_epoll_wait
	ALWAYS(epoll_wait),
#endif
	ALWAYS(epoll_pwait), ALWAYS(read), ALWAYS(write), ALWAYS(splice), ALWAYS(epoll_ctl), ALWAYS(accept4), ALWAYS(close),
	ALWAYS(recvmsg), ALWAYS(sendmsg), ALWAYS(shutdown), ALWAYS(socketpair), ALWAYS(pipe2), ALWAYS(getpeername),
	ALWAYS(getsockopt), ALWAYS(setsockopt), ALWAYS(fcntl), ALWAYS(dup3),
	{ SYS_ioctl, GB_SYSCALL_EQUAL, 1, TIOCOUTQ /* = SIOCOUTQ */ },
#ifdef SYS_poll
	ALWAYS(poll),
#endif
	ALWAYS(ppoll),
	/* Memory, time, the C library's own. No page is to become code. */
	{ SYS_mmap, GB_SYSCALL_WITHOUT, 2, PROT_EXEC }, { SYS_mprotect, GB_SYSCALL_WITHOUT, 2, PROT_EXEC },
	ALWAYS(munmap), ALWAYS(mremap), ALWAYS(madvise), ALWAYS(brk), ALWAYS(clock_gettime), ALWAYS(gettimeofday), ALWAYS(timerfd_settime),
	ALWAYS(getrandom), ALWAYS(getpid), ALWAYS(gettid), ALWAYS(getppid), ALWAYS(geteuid), ALWAYS(futex), ALWAYS(rt_sigprocmask),
	ALWAYS(rt_sigreturn), ALWAYS(restart_syscall), ALWAYS(exit), ALWAYS(exit_group), ALWAYS(sched_yield), ALWAYS(fstat),
	/* What only somebody else's code would ask for. */
	NEVER(execve), NEVER(execveat), NEVER(socket), NEVER(connect), NEVER(bind), NEVER(listen), NEVER(mount), NEVER(umount2),
	NEVER(init_module), NEVER(finit_module), NEVER(reboot), NEVER(setns), NEVER(unshare), NEVER(bpf), NEVER(keyctl),
	NEVER(pivot_root), NEVER(chroot), NEVER(process_vm_writev), NEVER(kexec_load), NEVER(perf_event_open),
	NEVER(userfaultfd),
};

int rpcd_front_confine(const struct rpcd *rpcd)
{
	int r = rpcd->uid == 0 ? gb_confine_ids(FRONT_ID, FRONT_ID) : -EPERM;

	if (r < 0)
		gb_log(GB_LOG_DEBUG, "front: user %d: %s", FRONT_ID, strerror(-r));
	/* The helper's end is seen on the link; this is for a front that does not look there any more. Not before the change of
	 * user, which would take it back (prctl(2)). */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = gb_confine_caps();
	if (r < 0) {
		gb_log(GB_LOG_ERR, "front: capset: %s", strerror(-r));
		return r;
	}
	r = gb_confine_no_new_privs();
	if (r < 0)
		gb_log(GB_LOG_DEBUG, "front: no_new_privs: %s", strerror(-r));
	r = gb_confine_landlock(GB_CONFINE_SANITIZED ? "/proc" : NULL);
	if (r < 0)
		gb_log(GB_LOG_DEBUG, "front: Landlock: %s", strerror(-r));
	else
		gb_log(GB_LOG_DEBUG, "front: Landlock, ABI %d", r);
	r = gb_confine_syscalls(calls, GB_ARRAY_LEN(calls), GB_CONFINE_SANITIZED);
	if (r < 0)
		gb_log(GB_LOG_DEBUG, "front: seccomp: %s", strerror(-r));
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void rpcd_front_close_others(const struct rpcd *rpcd, int link)
{
	int keep[3 * RPCD_LISTEN_MAX + 5] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, link, gb_log_fd() };
	size_t n = 5;

	for (int i = 0; i < rpcd->listeners_len; i++) {
		keep[n++] = rpcd->listeners[i].io.fd;
		keep[n++] = rpcd->listeners[i].rfd;
		keep[n++] = rpcd->listeners[i].wfd;
	}
	qsort(keep, n, sizeof keep[0], by_number);
	int fd = 0;
	for (size_t i = 0; i < n; i++) {
		for (; fd < keep[i]; fd++)
			(void)close(fd);
		fd = keep[i] >= 0 ? keep[i] + 1 : fd;
	}
	closefrom(fd);
}
