/* SPDX-License-Identifier: MIT */
/* Calls that fail one after the other. */
#include "tests/unit/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { ENOUGH = 20000 };

/* One for a process and its children: of all their calls one fails. */
static struct {
	bool armed, failed;
	pid_t running; /* whose close(2) is looked at */
	int closed_twice;
	unsigned left;
	const char *which;
	const char *const *except;
} *plan;
static int error_now;
/* In a tree of make coverage: its counters are being written (tests/analysis/gcov.c). */
extern int gb_counting __attribute__((weak));

static bool fails(const char *name, int error)
{
	if (!plan || (&gb_counting && gb_counting) || !__atomic_load_n(&plan->armed, __ATOMIC_SEQ_CST))
		return false;
	for (const char *const *one = plan->except; one && *one; one++) {
		if (strcmp(*one, name) == 0)
			return false;
	}
	if (__atomic_sub_fetch(&plan->left, 1, __ATOMIC_SEQ_CST))
		return false;
	plan->armed = false;
	plan->failed = true;
	plan->which = name;
	errno = error;
	return true;
}

#define PUT_IN_PLACE(type, name, parameters, arguments, error, result) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		return fails(#name, error) ? (result) : __real_##name arguments; \
	}

#define MEMORY(type, name, parameters, arguments) PUT_IN_PLACE(type, name, parameters, arguments, ENOMEM, NULL)
#define CALL(type, name, parameters, arguments) PUT_IN_PLACE(type, name, parameters, arguments, error_now, -1)

/* Never fails; but whoever closes a descriptor that is not open closes somebody else's the next time. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	if (r < 0 && errno == EBADF && plan && plan->running == getpid())
		plan->closed_twice = fd;
	return r;
}

MEMORY(void *, malloc, (size_t size), (size))
MEMORY(void *, calloc, (size_t count, size_t size), (count, size))
MEMORY(void *, realloc, (void *old, size_t size), (old, size))
MEMORY(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size))
MEMORY(char *, strdup, (const char *text), (text))
MEMORY(char *, strndup, (const char *text, size_t len), (text, len))
MEMORY(DIR *, opendir, (const char *path), (path))
MEMORY(DIR *, fdopendir, (int fd), (fd))

CALL(ssize_t, read, (int fd, void *data, size_t len), (fd, data, len))
CALL(ssize_t, pread, (int fd, void *data, size_t len, off_t at), (fd, data, len, at))
CALL(ssize_t, write, (int fd, const void *data, size_t len), (fd, data, len))
CALL(off_t, lseek, (int fd, off_t at, int from), (fd, at, from))
CALL(int, fstat, (int fd, struct stat *st), (fd, st))
CALL(int, stat, (const char *path, struct stat *st), (path, st))
CALL(int, lstat, (const char *path, struct stat *st), (path, st))
CALL(int, fstatat, (int dir, const char *path, struct stat *st, int flags), (dir, path, st, flags))
CALL(int, fstatvfs, (int fd, struct statvfs *fs), (fd, fs))
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
CALL(int, mkfifoat, (int dir, const char *path, mode_t mode), (dir, path, mode))
CALL(int, renameat, (int from_dir, const char *from, int to_dir, const char *to), (from_dir, from, to_dir, to))
CALL(int, unlink, (const char *path), (path))
CALL(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
CALL(int, linkat, (int from_dir, const char *from, int to_dir, const char *to, int flags), (from_dir, from, to_dir, to, flags))
CALL(int, symlinkat, (const char *to, int dir, const char *path), (to, dir, path))
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
CALL(int, fchmodat, (int dir, const char *path, mode_t mode, int flags), (dir, path, mode, flags))
CALL(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
CALL(int, fchownat, (int dir, const char *path, uid_t uid, gid_t gid, int flags), (dir, path, uid, gid, flags))
CALL(int, futimens, (int fd, const struct timespec *times), (fd, times))
CALL(int, utimensat, (int dir, const char *path, const struct timespec *times, int flags), (dir, path, times, flags))
CALL(int, fsetxattr, (int fd, const char *name, const void *value, size_t len, int flags), (fd, name, value, len, flags))
CALL(int, ftruncate, (int fd, off_t len), (fd, len))
CALL(int, fsync, (int fd), (fd))
CALL(int, syncfs, (int fd), (fd))
CALL(int, pipe2, (int *ends, int flags), (ends, flags))
CALL(int, dup2, (int from, int to), (from, to))
CALL(int, fchdir, (int fd), (fd))
CALL(pid_t, fork, (void), ())
CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags))
CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
CALL(int, socketpair, (int domain, int type, int protocol, int *ends), (domain, type, protocol, ends))
CALL(int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
CALL(int, bind, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
CALL(int, listen, (int fd, int backlog), (fd, backlog))
CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len))
CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len), (fd, level, name, value, len))
CALL(ssize_t, recv, (int fd, void *data, size_t len, int flags), (fd, data, len, flags))
CALL(ssize_t, send, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
CALL(int, epoll_create1, (int flags), (flags))
CALL(int, epoll_ctl, (int fd, int what, int of, struct epoll_event *event), (fd, what, of, event))
CALL(int, eventfd, (unsigned value, int flags), (value, flags))
CALL(int, timerfd_create, (int clock, int flags), (clock, flags))

CALL(int, timerfd_settime, (int fd, int flags, const struct itimerspec *at, struct itimerspec *old), (fd, flags, at, old))
CALL(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
CALL(int, rename, (const char *from, const char *to), (from, to))
CALL(int, statx, (int dir, const char *path, int flags, unsigned mask, struct statx *st), (dir, path, flags, mask, st))
PUT_IN_PLACE(void *, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t offset),
	(at, len, prot, flags, fd, offset), ENOMEM, MAP_FAILED)

/* Those that take what they are given. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __real_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...);
int __real_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __wrap_asprintf(char **ret, const char *fmt, ...);

int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, unsigned) : 0;
	va_end(ap);
	return fails("open", error_now) ? -1 : __real_open(path, flags, mode);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	unsigned mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, unsigned) : 0;
	va_end(ap);
	return fails("openat", error_now) ? -1 : __real_openat(dir, path, flags, mode);
}

int __wrap_fcntl(int fd, int what, ...)
{
	va_list ap;

	va_start(ap, what);
	long value = va_arg(ap, long);
	va_end(ap);
	return fails("fcntl", error_now) ? -1 : __real_fcntl(fd, what, value);
}

int __wrap_ioctl(int fd, unsigned long what, ...)
{
	va_list ap;

	va_start(ap, what);
	void *value = va_arg(ap, void *);
	va_end(ap);
	return fails("ioctl", error_now) ? -1 : __real_ioctl(fd, what, value);
}

long __wrap_syscall(long number, ...)
{
	long a[5]; /* all of them in registers, given or not; none of ours takes a sixth */
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 5; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return fails("syscall", error_now) ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3], a[4]);
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;

	if (fails("asprintf", ENOMEM))
		return -1;
	va_start(ap, fmt);
	int n = vasprintf(ret, fmt, ap);
	va_end(ap);
	return n;
}

unsigned faults_each(const struct faults *faults, int error)
{
	if (!plan) {
		plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_true(plan != MAP_FAILED);
	}
	const char *text = getenv("GB_FAULTS_STEP");
	unsigned step = text ? (unsigned)atoi(text) : faults->step ? faults->step : 1;

	error_now = error;
	for (unsigned n = 1; n < ENOUGH; n += step) {
		struct gb_err err = { 0 };

		if (faults->before)
			faults->before();
		size_t before = unit_descriptors();
		plan->failed = false;
		plan->which = "none";
		plan->left = n;
		plan->except = faults->except;
		plan->closed_twice = -1;
		plan->running = getpid();
		plan->armed = true;
		int r = faults->run(&err);
		plan->armed = false;
		plan->running = 0;
		if (getenv("GB_FAULTS")) /* to look for the one that a test does not pass */
			print_message("# call %u, %s: %d, %s\n", n, plan->which, r, err.msg);
		if (unit_descriptors() != before)
			fail_msg("call %u, %s: a descriptor is left open", n, plan->which);
		if (plan->closed_twice >= 0)
			fail_msg("call %u, %s: descriptor %d is closed twice", n, plan->which, plan->closed_twice);
		if (r < 0 && !plan->failed)
			fail_msg("no call has failed, and the result is %d: %s", r, err.msg);
		if (r < 0 && !faults->silent && !err.msg[0])
			fail_msg("call %u, %s: result %d without a word", n, plan->which, r);
		if (faults->after)
			faults->after(r);
		if (!plan->failed)
			return n - 1;
	}
	fail_msg("it calls on and on");
	return 0;
}
