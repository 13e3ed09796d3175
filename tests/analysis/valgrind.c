/* SPDX-License-Identifier: MIT */
/* Two system calls that valgrind 3.19 answers with ENOSYS: pidfd_open(2) and openat2(2), which hardly any test gets on without.
 *
 * As a program, `valgrind-helper SOCKET`, it makes them for others and gives them the descriptor. As a shared object in
 * LD_PRELOAD it is syscall(2) of the program under test, and asks there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <valgrind/valgrind.h>

/* Beside the descriptor that openat2(2) is relative to, or the process as its credentials, which a namespace of processes
 * translates. */
struct ask {
	long number;
	struct open_how how;
	char path[4096];
};

union ancillary {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

/* Sends data with a descriptor or credentials behind it (kind 0: neither). */
static int send_with(int to, void *data, size_t len, int kind, const void *what, size_t what_len)
{
	union ancillary room = { 0 };
	struct iovec iov = { data, len };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (kind) {
		message.msg_control = room.space;
		message.msg_controllen = CMSG_SPACE(what_len);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = kind;
		c->cmsg_len = CMSG_LEN(what_len);
		memcpy(CMSG_DATA(c), what, what_len);
	}
	return sendmsg(to, &message, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

static int receive(int from, void *data, size_t len, int *fd, pid_t *pid)
{
	union ancillary room = { 0 };
	struct iovec iov = { data, len };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room.space, .msg_controllen = sizeof room.space };

	*fd = -1;
	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != (ssize_t)len)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(fd, CMSG_DATA(c), sizeof *fd);
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && pid)
			*pid = ((struct ucred *)(void *)CMSG_DATA(c))->pid;
	}
	return 0;
}

static int socket_of(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strncpy(addr->sun_path, path, sizeof addr->sun_path - 1);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

#ifdef GB_VALGRIND_HELPER
int main(int argc, char **argv)
{
	struct sockaddr_un addr;
	int on = 1, s = argc == 2 ? socket_of(&addr, argv[1]) : -1;

	(void)umask(0);
	(void)unlink(argv[argc - 1]);
	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
	    bind(s, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(s, 64) < 0)
		return 1;
	for (;;) {
		static struct ask ask;
		pid_t pid = 0;
		int dir, c = accept4(s, NULL, NULL, SOCK_CLOEXEC);

		if (c >= 0 && receive(c, &ask, sizeof ask, &dir, &pid) == 0) {
			int fd = ask.number == SYS_pidfd_open ? (int)syscall(SYS_pidfd_open, pid, 0U)
							      : (int)syscall(SYS_openat2, dir, ask.path, &ask.how, sizeof ask.how);
			int r = fd < 0 ? errno : 0;
			(void)send_with(c, &r, sizeof r, fd < 0 ? 0 : SCM_RIGHTS, &fd, sizeof fd);
			if (fd >= 0)
				(void)close(fd);
			if (dir >= 0)
				(void)close(dir);
		}
		if (c >= 0)
			(void)close(c);
	}
}
#else
static char server[108];

/* What it starts is not under test. */
__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("GB_VALGRIND_HELPER");

	if (!RUNNING_ON_VALGRIND) /* valgrind's own start */
		return;
	if (path)
		strncpy(server, path, sizeof server - 1);
	(void)unsetenv("LD_PRELOAD");
	(void)unsetenv("GB_VALGRIND_HELPER");
}

/* -errno, as the kernel has it. */
static long raw(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return r;
}

static long ask_for(struct ask *ask, int kind, const void *what, size_t what_len)
{
	struct sockaddr_un addr;
	int fd = -1, r = ENOSYS, s = socket_of(&addr, server);

	if (s < 0)
		return -errno;
	if (connect(s, (struct sockaddr *)&addr, sizeof addr) < 0 || send_with(s, ask, sizeof *ask, kind, what, what_len) < 0 ||
	    receive(s, &r, sizeof r, &fd, NULL) < 0)
		r = ENOSYS;
	(void)close(s);
	return r ? -r : fd >= 0 ? fd : -EMFILE;
}

static long open_at(int dir, const char *path, const struct open_how *how)
{
	struct ask ask = { .number = SYS_openat2, .how = *how };
	/* Of this process's root, and of its folder. */
	int own = path[0] == '/' ? open("/", O_PATH | O_CLOEXEC) : dir == AT_FDCWD ? open(".", O_PATH | O_CLOEXEC) : -1;

	if (path[0] == '/' && !how->resolve)
		path += strspn(path, "/");
	if (strlen(path) >= sizeof ask.path)
		return -ENAMETOOLONG;
	strcpy(ask.path, *path ? path : ".");
	long r = ask_for(&ask, SCM_RIGHTS, own >= 0 ? &own : &dir, sizeof dir);
	if (own >= 0)
		(void)close(own);
	return r;
}

long syscall(long number, ...)
{
	va_list ap;
	long a[6], r;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (server[0] && number == SYS_pidfd_open) {
		struct ask ask = { .number = number };
		struct ucred of = { .pid = (pid_t)a[0], .uid = getuid(), .gid = getgid() };
		r = ask_for(&ask, SCM_CREDENTIALS, &of, sizeof of);
	} else if (server[0] && number == SYS_openat2) {
		r = open_at((int)a[0], (const char *)a[1], (const struct open_how *)a[2]);
	} else {
		r = raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	if (r < 0 && r > -4096) {
		errno = (int)-r;
		return -1;
	}
	return r;
}
#endif
