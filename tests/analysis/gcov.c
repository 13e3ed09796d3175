/* SPDX-License-Identifier: MIT */
/* Only in a tree of make coverage: what a process has counted is written, even where it may not write any more. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * libgcov writes its counters from exit(3) and exec(3) alone. The functions below that have the names of the C library's stand
 * in their place, since this archive is linked before it: a child that leaves by _exit(2), the last process of a machine
 * (reboot), and a process that is about to lose sight of the counters' files (chroot) or the right to write them
 * (setrlimit; setresuid, before a filter of system calls). The last three get a keeper beside them: a process that shares their memory
 * and nothing else, neither user nor root folder nor filter, and writes the counters when its master has ended, by exit,
 * exec or a signal. What SIGKILL ends without having a keeper is not counted. GB_KEEPER in the environment gives a process its
 * keeper at once: for a test that makes system calls fail one after the other, and means the program's, not libgcov's.
 */
void __gcov_dump(void);
void __gcov_reset(void);
/* The beginning of libgcov's own: whether this process has written. */
extern struct gcov_root {
	void *list;
	unsigned dumped : 1;
} __gcov_root;

/* Whether counters are being written: tests/unit/faults.c lets no call of that fail. */
extern int gb_counting;
int gb_counting;

/* syscall(2), which that one has its own of, too. */
static long (*kernel)(long number, ...);

enum { STACK = 256 << 10, PATIENCE_S = 10, LOCK_TRIES = 200 };

static struct {
	pid_t of;     /* whom it is for; a fork of that has none */
	int running;  /* cleared by the kernel when the master leaves this memory (set_tid_address(2)), or by the master */
	int ready, written;
} keeper;

static long futex(int *word, int op, int value, const struct timespec *timeout)
{
	return kernel(SYS_futex, word, op, value, timeout, NULL, 0);
}

static void set(int *word, int value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
	(void)futex(word, FUTEX_WAKE, 1, NULL);
}

/* Until the word is no longer that. False: not within the time, or it may not be waited for. */
static bool await(int *word, int value, const struct timespec *timeout)
{
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) {
		if (futex(word, FUTEX_WAIT, value, timeout) < 0 && timeout && __atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
			return false;
	}
	return true;
}

static void dump(void)
{
	gb_counting++;
	__gcov_dump();
	gb_counting--;
}

/* With the master's memory, errno and all: nothing is called here that could fail while that one runs. */
static int keep(void *data)
{
	const char *folder = getenv("GCOV_PREFIX");

	(void)data;
	(void)kernel(SYS_close_range, 0U, ~0U, 0U);
	set(&keeper.ready, 1);
	(void)await(&keeper.running, 1, NULL);
	(void)kernel(SYS_chdir, "/");
	/* Whoever changed this process's root with all others' must not find our folders in the new one. */
	if (!folder || kernel(SYS_faccessat, -100 /* AT_FDCWD */, folder, W_OK) == 0) {
		__gcov_root.dumped = 0;
		dump();
	}
	set(&keeper.written, 1);
	(void)kernel(SYS_exit_group, 0); /* not by _exit(), which is the master's to call */
	return 0;
}

/* What was counted before, the process itself writes. */
static void get_keeper(bool before)
{
	struct timespec patience = { .tv_sec = PATIENCE_S };
	sigset_t all, old;

	if (keeper.of == getpid())
		return;
	if (before) {
		dump();
		__gcov_reset();
	}
	if (kernel(SYS_gettid) != getpid())
		return;
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return;
	keeper.running = 1;
	keeper.ready = keeper.written = 0;
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	/* First: a master that SIGKILL ends right behind the clone would leave one that waits for ever. */
	(void)kernel(SYS_set_tid_address, &keeper.running);
	if (clone(keep, stack + STACK, CLONE_VM, NULL) > 0) { /* without a signal at its end: wait(2) does not see it */
		keeper.of = getpid();
		(void)await(&keeper.ready, 0, &patience);
		__gcov_root.dumped = 1; /* the keeper's to do from now on */
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
}

__attribute__((constructor)) static void begin(void)
{
	kernel = (long (*)(long, ...))dlsym(RTLD_DEFAULT, "syscall");
	if (getenv("GB_KEEPER"))
		get_keeper(false);
}

/* The orderly end: whoever waits for this process may remove what it was in. */
__attribute__((destructor)) static void leave(void)
{
	struct timespec patience = { .tv_sec = PATIENCE_S };

	if (keeper.of != getpid())
		return;
	keeper.of = 0;
	set(&keeper.running, 0);
	(void)await(&keeper.written, 0, &patience);
}

void _exit(int status)
{
	leave();
	dump();
	for (;;)
		(void)kernel(SYS_exit_group, status);
}

int chroot(const char *path)
{
	get_keeper(true);
	return (int)kernel(SYS_chroot, path);
}

int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	get_keeper(true);
	return (int)kernel(SYS_setresuid, real, effective, saved);
}

int setrlimit(__rlimit_resource_t which, const struct rlimit *limit)
{
	if (which == RLIMIT_FSIZE)
		get_keeper(true);
	return (int)kernel(SYS_prlimit64, 0, which, limit, NULL);
}

/*
 * libgcov locks each file that it writes, and waits for it without end. A test stops processes (SIGSTOP), in the middle of their
 * writing as well: nobody else would ever end then. Whoever has waited that long writes without the lock.
 */
int fcntl(int fd, int what, ...)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	va_list ap;
	long r;

	if (!kernel) /* before the constructors: nobody that counts */
		kernel = (long (*)(long, ...))dlsym(RTLD_DEFAULT, "syscall");
	va_start(ap, what);
	void *argument = va_arg(ap, void *);
	va_end(ap);
	if (what != F_SETLKW)
		return (int)kernel(SYS_fcntl, fd, what, argument);
	for (int i = 0; (r = kernel(SYS_fcntl, fd, F_SETLK, argument)) < 0 && (errno == EAGAIN || errno == EACCES) && i < LOCK_TRIES; i++)
		(void)kernel(SYS_nanosleep, &pause, NULL);
	return (int)r;
}

/*
 * The end of a namespace of processes is its PID 1's by SIGKILL, and a keeper's beside it. So that one writes before it waits, which
 * it does in poll(2); not for ever: ten thousand orphans wake it, too.
 */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	enum { OFTEN = 64 };
	static int polls;
	struct timespec time = { .tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L };
	int saved = errno;

	if (getpid() == 1 && keeper.of != 1 && polls++ < OFTEN) {
		dump();
		__gcov_reset();
		errno = saved;
	}
	return (int)kernel(SYS_ppoll, fds, count, timeout < 0 ? NULL : &time, NULL, 0);
}

int reboot(int how)
{
	dump();
	return (int)kernel(SYS_reboot, 0xfee1dead, 0x28121969, how, NULL); /* LINUX_REBOOT_MAGIC1, 2 */
}
