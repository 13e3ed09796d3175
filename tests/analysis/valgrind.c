/* SPDX-License-Identifier: MIT */
/* System calls that valgrind 3.19 answers with ENOSYS, and that hardly any test gets on without: pidfd_open(2) and
 * pidfd_send_signal(2), openat2(2), and those that fsopen(2) and open_tree(2) begin, and reboot(2) in a namespace of
 * processes, whose end it is. And an ioctl(2) whose answer valgrind takes for memory that nobody has written, and what a
 * process has lost that was forked beside other threads.
 *
 * As a program, `valgrind-helper SOCKET`, it makes them for others: in the caller's namespaces of mounts and processes, its root
 * and its folder, and gives it the descriptor. As a shared object in LD_PRELOAD it is syscall(2), fsopen(3)... of the program
 * under test, and asks there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/loop.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/memcheck.h>

/* Beside the descriptor that openat2(2) is relative to, or the process as its credentials, which a namespace of processes
 * translates. */
struct ask {
	long number, args[6];
	struct open_how how;
	struct mount_attr attr;
	char path[2][4096];
};

/* What each argument of a call is: f a descriptor, p a path or word (or NULL), i a number, a the address of mount attributes; and
 * whether its result is a descriptor. */
static const struct row {
	long number;
	char args[6];
	bool fd;
} rows[] = {
	{ SYS_fsopen, "pi", true },	{ SYS_fsconfig, "fippi", false },    { SYS_fsmount, "fii", true },
	{ SYS_fspick, "fpi", true },	{ SYS_move_mount, "fpfpi", false },  { SYS_open_tree, "fpi", true },
	{ SYS_mount_setattr, "fpiai", false }, { SYS_pidfd_send_signal, "fiii", false },
	{ SYS_reboot, "i", false },
};

static const struct row *row_of(long number)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].number == number)
			return &rows[i];
	return NULL;
}

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

static int receive(int from, void *data, size_t len, int *fd, struct ucred *who)
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
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && who)
			memcpy(who, CMSG_DATA(c), sizeof *who);
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
static int of_process(pid_t pid, const char *file, int flags)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	return open(path, flags | O_CLOEXEC);
}

static bool same(pid_t pid, const char *namespace)
{
	struct stat own, its;
	int a = of_process(pid, namespace, O_RDONLY), b = of_process(getpid(), namespace, O_RDONLY);
	bool is = fstat(a, &its) < 0 || fstat(b, &own) < 0 || own.st_ino == its.st_ino;

	(void)close(a);
	(void)close(b);
	return is;
}

/* Of the numbers behind a word of /proc/PID/status the one with this index, -1 if there is none. */
static long long status_of(pid_t pid, const char *word, int index, int base)
{
	char text[4096], *at;
	int status = of_process(pid, "status", O_RDONLY);
	ssize_t n = status < 0 ? -1 : read(status, text, sizeof text - 1);
	long long number = -1;

	(void)close(status);
	if (n < 0 || (text[n] = '\0', at = strstr(text, word)) == NULL)
		return -1;
	at += strlen(word);
	for (int i = 0; i <= index; i++)
		number = (long long)strtoull(at, &at, base);
	return number;
}

/* Whether it has this capability, in the user namespace that this helper is in: nobody is given a right here that he does not have. */
static bool may(pid_t pid, int capability)
{
	long long has = status_of(pid, "\nCapEff:", 0, 16);

	return has >= 0 && has >> capability & 1 && same(pid, "ns/user");
}

/* This process goes where that thread is: its namespaces, which decide what a new file system shows, its root and its folder. */
static int enter(pid_t tid)
{
	static const char *const names[] = { "root", "cwd", "ns/net", "ns/ipc", "ns/uts", "ns/cgroup", "ns/pid_for_children", "ns/mnt" };
	int fd[sizeof names / sizeof *names];

	for (int i = 0; i < 8; i++)
		if ((fd[i] = of_process(tid, names[i], i < 2 ? O_PATH : O_RDONLY)) < 0)
			return -errno;
	for (int i = 2; i < 8; i++)
		if (setns(fd[i], 0) < 0)
			return -errno;
	return fchdir(fd[0]) < 0 || chroot(".") < 0 || fchdir(fd[1]) < 0 ? -errno : 0;
}

/* For files this process is that thread's user, and its rights stay: an overlay acts as whoever has mounted it. Any thread that
 * asks has the right to mount, so none is given it here. */
static void act_as(uid_t uid, gid_t gid)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	(void)syscall(SYS_capget, &head, caps);
	(void)setfsgid(gid);
	(void)setfsuid(uid);
	(void)syscall(SYS_capset, &head, caps);
}

/* reboot(2) for a process in another namespace of processes than this one: it ends that, and nothing else. */
static int end_of(pid_t pid, int process, int command)
{
	struct pollfd ended = { .fd = process, .events = POLLIN };
	int status = 0;

	if (same(pid, "ns/pid"))
		return -ENOSYS; /* this machine's */
	if (!may(pid, CAP_SYS_BOOT))
		return -EPERM;
	if (setns(process, CLONE_NEWPID) < 0)
		return -errno;
	pid_t child = fork(); /* it is that namespace's */
	if (child == 0)
		_exit(reboot(command) == 0 ? 0 : errno);
	if (child < 0 || waitpid(child, &status, 0) < 0 || (WIFEXITED(status) && WEXITSTATUS(status)))
		return child < 0 ? -EAGAIN : -WEXITSTATUS(status);
	(void)poll(&ended, 1, -1); /* nobody comes back from it */
	return 0;
}

/* In a process that ends behind it. */
static long call_for(struct ask *ask, const struct row *row, const struct ucred *who)
{
	pid_t tid = who->pid;
	long long uid = status_of(tid, "\nUid:", 3, 10), gid = status_of(tid, "\nGid:", 3, 10);
	int r, process = (int)syscall(SYS_pidfd_open, (pid_t)status_of(tid, "\nTgid:", 0, 10), 0U);
	long *a = ask->args;

	if (process < 0 || (row->number != SYS_pidfd_send_signal && row->number != SYS_reboot && !may(tid, CAP_SYS_ADMIN)))
		return -ENOSYS; /* it goes on as on a kernel that has no such calls */
	if (row->number == SYS_reboot)
		return end_of(tid, process, (int)a[0]);
	for (int i = 0, words = 0; i < 6 && row->args[i]; i++) {
		if (row->args[i] == 'f' && a[i] >= 0)
			a[i] = syscall(SYS_pidfd_getfd, process, (int)a[i], 0U);
		if (row->args[i] == 'p') {
			if (a[i])
				a[i] = (long)ask->path[words];
			words++;
		}
		if (row->args[i] == 'a')
			a[i] = (long)&ask->attr;
	}
	if (row->number == SYS_mount_setattr && ask->attr.attr_set & MOUNT_ATTR_IDMAP)
		ask->attr.userns_fd = (unsigned long long)syscall(SYS_pidfd_getfd, process, (int)ask->attr.userns_fd, 0U);
	if (row->number == SYS_pidfd_send_signal)
		r = setresuid(who->uid, who->uid, who->uid) < 0 ? -errno : 0;
	else if ((r = enter(tid)) == 0)
		act_as((uid_t)uid, (gid_t)gid);
	if (r < 0)
		return r;
	r = (int)syscall(row->number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return r < 0 ? -errno : r;
}

static void answer(int c, struct ask *ask, int dir, const struct ucred *who)
{
	const struct row *row = row_of(ask->number);
	bool fd = !row || row->fd;
	long r;

	if (row)
		r = call_for(ask, row, who);
	else if ((r = ask->number == SYS_pidfd_open ? syscall(SYS_pidfd_open, who->pid, 0U)
						     : syscall(SYS_openat2, dir, ask->path[0], &ask->how, sizeof ask->how)) < 0)
		r = -errno;
	int result = (int)r, status = r < 0 ? (int)-r : 0;
	(void)send_with(c, &status, sizeof status, fd && r >= 0 ? SCM_RIGHTS : 0, &result, sizeof result);
}

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
		struct ucred who = { 0 };
		int dir, c = accept4(s, NULL, NULL, SOCK_CLOEXEC);

		if (c >= 0 && receive(c, &ask, sizeof ask, &dir, &who) == 0) {
			pid_t child = fork(); /* who changes namespaces is not the one who listens */
			if (child == 0) {
				answer(c, &ask, dir, &who);
				_exit(0);
			}
			if (dir >= 0)
				(void)close(dir);
		}
		if (c >= 0)
			(void)close(c);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}
#else
static char server[108];

/* ---- what is lost in a process that a thread forked ----
 *
 * There it is the only thread: what the others alone pointed to, from their stacks and registers, valgrind takes for lost in it.
 * So such a process counts what is lost as it begins, and says at its end what has become more. One that a signal ends does not. */

static bool beside_threads, threads_gone;

static void before_fork(void)
{
	beside_threads = !__libc_single_threaded;
}

static void in_child(void)
{
	if (!beside_threads && !threads_gone)
		return;
	threads_gone = true;
	VALGRIND_CLO_CHANGE("--leak-check=full"); /* a child of such a child */
	VALGRIND_CLO_CHANGE("--show-leak-kinds=none");
	VALGRIND_CLO_CHANGE("--errors-for-leak-kinds=none");
	VALGRIND_DO_LEAK_CHECK;
	VALGRIND_CLO_CHANGE("--leak-check=no"); /* valgrind's own, which is of all */
}

static void at_end(void)
{
	if (!threads_gone)
		return;
	threads_gone = false;
	VALGRIND_CLO_CHANGE("--leak-check=full");
	VALGRIND_CLO_CHANGE("--show-leak-kinds=definite");
	VALGRIND_CLO_CHANGE("--errors-for-leak-kinds=definite");
	VALGRIND_DO_ADDED_LEAK_CHECK;
	VALGRIND_CLO_CHANGE("--leak-check=no");
}

/* exit(3) does not come by here, but by what follows. */
void _exit(int status)
{
	at_end();
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

__attribute__((destructor)) static void finish(void)
{
	at_end();
}

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
	(void)pthread_atfork(before_fork, NULL, in_child);
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

/* The descriptor that comes, 0 if none is due, or -errno. */
static long ask_for(struct ask *ask, int kind, const void *what, size_t what_len, bool due)
{
	struct sockaddr_un addr;
	int fd = -1, r = ENOSYS, s = socket_of(&addr, server);

	if (s < 0)
		return -errno;
	if (connect(s, (struct sockaddr *)&addr, sizeof addr) < 0)
		r = ENOSYS;
	else if (send_with(s, ask, sizeof *ask, kind, what, what_len) < 0)
		r = kind == SCM_CREDENTIALS && errno == ESRCH ? ESRCH : ENOSYS; /* no such process to ask for */
	else if (receive(s, &r, sizeof r, &fd, NULL) < 0)
		r = ENOSYS;
	(void)close(s);
	return r ? -r : fd >= 0 ? fd : due ? -EMFILE : 0;
}

/* openat2(2) where the helper cannot be reached: the unpacker, whose root is the folder that it fills. So RESOLVE_IN_ROOT and
 * RESOLVE_BENEATH hold by themselves; RESOLVE_NO_SYMLINKS goes name by name. */
static long walk(int dir, const char *path, const struct open_how *how)
{
	char name[256];
	int at = dir;

	if (!(how->resolve & RESOLVE_NO_SYMLINKS))
		return raw(SYS_openat, dir, (long)path, (long)how->flags, (long)how->mode, 0, 0);
	for (;;) {
		size_t len = strcspn(path, "/");
		const char *rest = path + len + strspn(path + len, "/");
		struct stat st;

		if (len >= sizeof name)
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		long r = strcmp(name, "..") == 0				     ? -EXDEV :
			 fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) ? -ELOOP :
			 *rest ? raw(SYS_openat, at, (long)name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0, 0)
			       : raw(SYS_openat, at, (long)name, (long)how->flags, (long)how->mode, 0, 0);
		if (at != dir)
			(void)close(at);
		if (r < 0 || !*rest)
			return r;
		at = (int)r;
		path = rest;
	}
}

static long open_at(int dir, const char *path, const struct open_how *how)
{
	struct ask ask = { .number = SYS_openat2, .how = *how };
	bool absolute = path[0] == '/' && !(how->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT));
	/* Of this process's root, and of its folder. */
	int own = absolute ? open("/", O_PATH | O_CLOEXEC) : dir == AT_FDCWD ? open(".", O_PATH | O_CLOEXEC) : -1;

	if (absolute)
		path += strspn(path, "/");
	if (strlen(path) >= sizeof *ask.path)
		return -ENAMETOOLONG;
	strcpy(*ask.path, *path ? path : ".");
	long r = ask_for(&ask, SCM_RIGHTS, own >= 0 ? &own : &dir, sizeof dir, true);
	if (own >= 0)
		(void)close(own);
	return r == -ENOSYS ? walk(dir, *path ? path : ".", how) : r;
}

static long mount_call(const struct row *row, const long a[6])
{
	struct ask ask = { .number = row->number };
	int words = 0, count = (int)strnlen(row->args, sizeof row->args);

	for (int i = 0; i < count; i++) {
		ask.args[i] = row->args[i] == 'f' || row->args[i] == 'i' ? (int)a[i] : a[i];
		if (row->args[i] == 'p' && a[i]) {
			if (strlen((const char *)a[i]) >= sizeof *ask.path)
				return -ENAMETOOLONG;
			strcpy(ask.path[words], (const char *)a[i]);
		}
		words += row->args[i] == 'p';
		if (row->args[i] == 'a')
			memcpy(&ask.attr, (const void *)a[i], sizeof ask.attr);
	}
	/* A thread may have namespaces of its own. */
	struct ucred own = { .pid = gettid(), .uid = getuid(), .gid = getgid() };
	return ask_for(&ask, SCM_CREDENTIALS, &own, sizeof own, row->fd);
}

/* close_range(2), which valgrind dies of where file systems may be in user space. Behind the limit its own descriptors are. */
static long close_each(unsigned first, unsigned last, unsigned flags)
{
	struct rlimit limit;

	if (flags & ~CLOSE_RANGE_CLOEXEC || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -EINVAL;
	for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; fd++)
		(void)(flags ? raw(SYS_fcntl, (int)fd, F_SETFD, FD_CLOEXEC, 0, 0, 0) : raw(SYS_close, (int)fd, 0, 0, 0, 0, 0));
	return 0;
}

long syscall(long number, ...)
{
	const struct row *row = row_of(number);
	va_list ap;
	long a[6], r;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (server[0] && (number == SYS_seccomp || number == SYS_landlock_create_ruleset)) {
		r = -ENOSYS; /* valgrind's answer, without its words: where no file may be written, these end it */
	} else if (server[0] && number == SYS_close_range) {
		r = close_each((unsigned)a[0], (unsigned)a[1], (unsigned)a[2]);
	} else if (server[0] && number == SYS_pidfd_open) {
		struct ask ask = { .number = number };
		struct ucred of = { .pid = (pid_t)a[0], .uid = getuid(), .gid = getgid() };
		r = ask_for(&ask, SCM_CREDENTIALS, &of, sizeof of, true);
	} else if (server[0] && number == SYS_openat2) {
		r = open_at((int)a[0], (const char *)a[1], (const struct open_how *)a[2]);
	} else if (server[0] && row) {
		r = mount_call(row, a);
	} else {
		r = raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	if (r < 0 && r > -4096) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

/* valgrind does not know that this one writes. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;

	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	long r = syscall(SYS_ioctl, fd, request, arg);
	if (r == 0 && request == LOOP_GET_STATUS64)
		(void)VALGRIND_MAKE_MEM_DEFINED(arg, sizeof(struct loop_info64));
	return (int)r;
}

/* It dies of readlink(2) of /proc/self/exe as it does of close_range(2); this one it knows. */
ssize_t readlink(const char *path, char *target, size_t size)
{
	return syscall(SYS_readlinkat, AT_FDCWD, path, target, size);
}

/* /proc/self/exe is valgrind, but for the calls that it watches over. */
int execve(const char *path, char *const argv[], char *const env[])
{
	char self[4096];
	ssize_t n = strcmp(path, "/proc/self/exe") == 0 ? readlink(path, self, sizeof self - 1) : 0;

	if (n > 0)
		self[n] = '\0';
	return (int)syscall(SYS_execve, n > 0 ? self : path, argv, env);
}

/* The C library's own do not call its syscall(2). */
int close_range(unsigned first, unsigned last, int flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

int reboot(int command)
{
	return (int)syscall(SYS_reboot, command);
}

int fsopen(const char *type, unsigned flags)
{
	return (int)syscall(SYS_fsopen, type, flags);
}

int fsconfig(int fd, unsigned command, const char *key, const void *value, int aux)
{
	return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}

int fsmount(int fd, unsigned flags, unsigned attributes)
{
	return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

int fspick(int dir, const char *path, unsigned flags)
{
	return (int)syscall(SYS_fspick, dir, path, flags);
}

int move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{
	return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

int open_tree(int dir, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dir, path, flags);
}

int mount_setattr(int dir, const char *path, unsigned flags, struct mount_attr *attributes, size_t len)
{
	return (int)syscall(SYS_mount_setattr, dir, path, flags, attributes, len);
}
#endif
