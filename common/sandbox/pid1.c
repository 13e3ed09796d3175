/* SPDX-License-Identifier: MIT */
/* PID 1 of a sandbox: a program of its own, without a C library, that runs in any root file system of its machine.
 *
 *   pid1 [COMMAND [ARG...]]
 *
 * Collects orphans, passes signals on to COMMAND, and ends when COMMAND does, with its status; without one it stays until
 * SIGTERM: then every process gets that signal, and pid1 ends once they are gone. What it has to say goes to descriptor 3,
 * its end too (struct gb_sandbox_word). Without COMMAND, the one message that may come by the socket which is descriptor 4
 * tells a command to start, with a file that describes it and its descriptors 0 to 2; pid1 stays when that ends. It is looked
 * for at the start and after each SIGCHLD, which its sender sends. Built into guestbox as bytes (common/sandbox/Makemodule.am).
 *
 *   pid1 COLUMNSxROWS COMMAND [ARG...]     as any other process: on a terminal of that size, it becomes COMMAND */
#include <stddef.h>
#include <stdint.h>

#include "common/sandbox/orders.h"
#include "common/sys/program.h"

#if defined __x86_64__
enum { NR_write = 1, NR_rt_sigprocmask = 14, NR_clone = 56, NR_execve = 59, NR_exit = 60, NR_wait4 = 61, NR_kill = 62,
       NR_setsid = 112, NR_rt_sigtimedwait = 128, NR_close = 3, NR_fcntl = 72, NR_recvmsg = 47, NR_mmap = 9, NR_dup3 = 292, NR_openat = 257,
       NR_getpid = 39, NR_ioctl = 16, NR_setgroups = 116, NR_setresgid = 119, NR_setresuid = 117, NR_chdir = 80 };

static long call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return r;
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n\thlt\n");
#elif defined __aarch64__
enum { NR_write = 64, NR_rt_sigprocmask = 135, NR_clone = 220, NR_execve = 221, NR_exit = 93, NR_wait4 = 260, NR_kill = 129,
       NR_setsid = 157, NR_rt_sigtimedwait = 137, NR_close = 57, NR_fcntl = 25, NR_recvmsg = 212, NR_mmap = 222, NR_dup3 = 24,
       NR_openat = 56, NR_getpid = 172, NR_ioctl = 29, NR_setgroups = 159, NR_setresgid = 149, NR_setresuid = 147, NR_chdir = 49 };

static long call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
	return x0;
}

__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl begin\n");
#else
#error "pid1: no system calls for this machine"
#endif

static long call(long nr, long a, long b, long c, long d, long e)
{
	return call6(nr, a, b, c, d, e, 0);
}

enum { SIG_KILL = 9, SIG_TERM = 15, SIG_CHLD = 17, E_AGAIN = 11, NO_HANG = 1, CHECK_NS = 20000000 };

static void say(int kind, int value)
{
	struct gb_sandbox_word word = { kind, value };

	(void)call(NR_write, 3, (long)&word, sizeof word, 0, 0);
}

static void end(int status)
{
	say(GB_SANDBOX_ENDED, status);
	for (;;)
		(void)call(NR_exit, status, 0, 0, 0, 0);
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static int last_error; /* of run() */

/* Runs the command as execvp(3) would: the status that stands for the failure. */
static int run(char **argv, char **envp)
{
	static char path[4096];
	const char *dirs = GB_PROGRAM_PATH;
	const char *name = argv[0];
	long r = -2;

	for (const char *p = name; *p; p++) {
		if (*p == '/') {
			r = call(NR_execve, (long)name, (long)argv, (long)envp, 0, 0);
			last_error = (int)-r;
			return r == -2 ? 127 : 126;
		}
	}
	for (char **e = envp; *e; e++) {
		if ((*e)[0] == 'P' && (*e)[1] == 'A' && (*e)[2] == 'T' && (*e)[3] == 'H' && (*e)[4] == '=')
			dirs = *e + 5;
	}
	int status = 127;
	while (*dirs) {
		size_t n = 0, k = length(name);
		while (dirs[n] && dirs[n] != ':')
			n++;
		if (n && n + k + 2 <= sizeof path) {
			for (size_t i = 0; i < n; i++)
				path[i] = dirs[i];
			path[n] = '/';
			for (size_t i = 0; i <= k; i++)
				path[n + 1 + i] = name[i];
			r = call(NR_execve, (long)path, (long)argv, (long)envp, 0, 0);
			if (status == 127)
				last_error = (int)-r;
			if (r != -2 && r != -20) /* ENOENT, ENOTDIR: the next folder */
				status = 126;
		}
		dirs += n;
		if (*dirs == ':')
			dirs++;
	}
	return status;
}

/* The runtimes hand out a terminal and start its command, in this order or the other (crun's exec knows no size): who looks
 * at its size first thing would find none. Never comes back. */
static void on_terminal(char **argv, char **envp)
{
	enum { SET_SIZE = 0x5414 }; /* TIOCSWINSZ; ioctl_tty(2) */
	struct { uint16_t rows, columns, width, height; } size = { 0 };
	const char *p = argv[0];

	for (; *p >= '0' && *p <= '9'; p++)
		size.columns = (uint16_t)(size.columns * 10 + (*p - '0'));
	for (p += *p == 'x'; *p >= '0' && *p <= '9'; p++)
		size.rows = (uint16_t)(size.rows * 10 + (*p - '0'));
	(void)call(NR_ioctl, 0, SET_SIZE, (long)&size, 0, 0);
	int status = run(argv + 1, envp);
	for (;;)
		(void)call(NR_exit, status, 0, 0, 0, 0);
}

static long start(char **argv, char **envp, uint64_t *all)
{
	uint64_t none = 0;
	long pid = call(NR_clone, SIG_CHLD, 0, 0, 0, 0);

	if (pid != 0)
		return pid;
	(void)call(NR_rt_sigprocmask, 2, (long)&none, 0, sizeof *all, 0);
	(void)call(NR_setsid, 0, 0, 0, 0, 0);
	int status = run(argv, envp);
	for (;;)
		(void)call(NR_exit, status, 0, 0, 0, 0);
}

/* recvmsg(2), unix(7): what a message with descriptors looks like. */
struct header {
	void *name;
	uint32_t name_len, pad;
	struct { void *at; size_t len; } *iov;
	size_t iov_len;
	void *control;
	size_t control_len;
	int flags, pad2;
};
struct rights {
	size_t len;
	int level, type;
	int fds[4];
};

enum { DONT_WAIT = 0x40, CMSG_CLOEXEC = 0x40000000, SOCKET_LEVEL = 1, RIGHTS = 1, SET_FD = 2, CLOSE_ON_EXEC = 1,
       READ_WRITE = 3, PRIVATE = 2, AT_CWD = -100, OPEN_BOTH = 2, CLOSE_EXEC = 02000000 };

/* In the child: never comes back. */
static void obey(const int fds[4], uint64_t len)
{
	uint64_t none = 0;
	struct gb_sandbox_orders *o = (void *)call6(NR_mmap, 0, (long)len, READ_WRITE, PRIVATE, fds[0], 0);
	uint64_t *places = (uint64_t *)(o + 1);
	long r = (long)o < 0 && (long)o > -4096 ? (long)o : 0;

	if (r == 0) {
		for (uint64_t i = 0; i < o->args + 1 + o->env; i++)
			places[i] += places[i] ? (uint64_t)(uintptr_t)o : 0;
		(void)call(NR_setsid, 0, 0, 0, 0, 0);
		r = call(NR_setgroups, o->groups_len, (long)o->groups, 0, 0, 0);
	}
	if (r == 0)
		r = call(NR_setresgid, o->gid, o->gid, o->gid, 0, 0);
	if (r == 0)
		r = call(NR_setresuid, o->uid, o->uid, o->uid, 0, 0);
	if (r == 0)
		r = call(NR_chdir, (long)((char *)o + o->dir), 0, 0, 0, 0);
	for (int i = 0; r >= 0 && i < 3; i++)
		r = call(NR_dup3, fds[i + 1], i, 0, 0, 0);
	if (r >= 0 && !o->input) {
		long null = call(NR_openat, AT_CWD, (long)"/dev/null", CLOSE_EXEC, 0, 0);
		if (null >= 0)
			(void)call(NR_dup3, null, 0, 0, 0, 0);
	}
	if (r >= 0) {
		(void)call(NR_rt_sigprocmask, 2, (long)&none, 0, sizeof none, 0);
		(void)run((char **)places, (char **)(places + o->args + 1));
		r = -last_error;
	}
	say(GB_SANDBOX_COMMAND_LOST, (int)-r);
	for (;;)
		(void)call(NR_exit, 126, 0, 0, 0, 0);
}

static int listening = 1; /* nothing has come by the socket yet */

/* The first command, if it is there: its pid, 0 or a negative error. */
static long first(void)
{
	uint64_t len = 0;
	struct rights rights = { 0 };
	struct header head = { 0 };
	struct { void *at; size_t len; } iov = { &len, sizeof len };
	long pid = 0;

	head.iov = (void *)&iov;
	head.iov_len = 1;
	head.control = &rights;
	head.control_len = sizeof rights;
	long n = call(NR_recvmsg, 4, (long)&head, DONT_WAIT | CMSG_CLOEXEC, 0, 0);
	if (n == -E_AGAIN)
		return 0;
	listening = 0;
	(void)call(NR_close, 4, 0, 0, 0, 0);
	if (n != sizeof len || rights.len != sizeof rights || rights.level != SOCKET_LEVEL || rights.type != RIGHTS)
		return 0;
	pid = call(NR_clone, SIG_CHLD, 0, 0, 0, 0);
	if (pid == 0)
		obey(rights.fds, len);
	for (int i = 0; i < 4; i++)
		(void)call(NR_close, rights.fds[i], 0, 0, 0, 0);
	if (pid < 0)
		say(GB_SANDBOX_COMMAND_LOST, (int)-pid);
	return pid;
}

__attribute__((used, noreturn)) void begin(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
	uint64_t all = ~(uint64_t)0;
	struct { int64_t s, ns; } soon = { 0, CHECK_NS };
	long main_pid = 0, first_pid = 0;
	int stopping = 0;

	if (argc > 2 && call(NR_getpid, 0, 0, 0, 0, 0) != 1)
		on_terminal(argv + 1, envp);
	(void)call(NR_rt_sigprocmask, 2, (long)&all, 0, sizeof all, 0);
	(void)call(NR_fcntl, 3, SET_FD, CLOSE_ON_EXEC, 0, 0);
	(void)call(NR_fcntl, 4, SET_FD, CLOSE_ON_EXEC, 0, 0);
	/* What the runtime had was for it to give away (runtime.c); this is the sandbox's, and another's to own. */
	long null = call(NR_openat, AT_CWD, (long)"/dev/null", OPEN_BOTH, 0, 0);
	for (int i = 0; null >= 0 && i < 3; i++)
		(void)call(NR_dup3, null, i, 0, 0, 0);
	if (null > 2)
		(void)call(NR_close, null, 0, 0, 0, 0);
	if (argc > 1) {
		(void)call(NR_close, 4, 0, 0, 0, 0);
		listening = 0;
		main_pid = start(argv + 1, envp, &all);
		if (main_pid < 0)
			end(126);
	}
	for (;;) {
		if (listening)
			first_pid = first();
		/* Who came in by another way than a fork here is no child: while stopping, it is looked for. */
		long sig = call(NR_rt_sigtimedwait, (long)&all, 0, stopping ? (long)&soon : 0, sizeof all, 0);
		int status = 0;
		long pid;
		while ((pid = call(NR_wait4, -1, (long)&status, NO_HANG, 0, 0)) > 0) {
			int code = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
			if (pid == main_pid)
				end(code);
			if (pid == first_pid) {
				say(GB_SANDBOX_COMMAND_ENDED, code);
				first_pid = 0;
			}
		}
		if (sig == SIG_TERM && !stopping) {
			stopping = 1;
			(void)call(NR_kill, -1, SIG_TERM, 0, 0, 0);
		} else if (sig > 0 && sig != SIG_CHLD && main_pid > 0) {
			(void)call(NR_kill, main_pid, sig, 0, 0, 0);
		}
		if (stopping && call(NR_kill, -1, 0, 0, 0, 0) < 0)
			end(0);
	}
}
