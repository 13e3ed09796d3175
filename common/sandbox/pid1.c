/* SPDX-License-Identifier: MIT */
/* PID 1 of a sandbox: a program of its own, without a C library, that runs in any root file system of its machine.
 *
 *   pid1 [COMMAND [ARG...]]
 *
 * Collects orphans, passes signals on to COMMAND, and ends when COMMAND does, with its status; without one it stays until
 * SIGTERM: then every process gets that signal, and pid1 ends once they are gone. Its status goes, as four bytes, to
 * descriptor 3. Built into guestbox as bytes (common/sandbox/Makemodule.am). */
#include <stddef.h>
#include <stdint.h>

#if defined __x86_64__
enum { NR_write = 1, NR_rt_sigprocmask = 14, NR_clone = 56, NR_execve = 59, NR_exit = 60, NR_wait4 = 61, NR_kill = 62,
       NR_setsid = 112, NR_rt_sigtimedwait = 128, NR_close = 3 };

static long call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return r;
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n\thlt\n");
#elif defined __aarch64__
enum { NR_write = 64, NR_rt_sigprocmask = 135, NR_clone = 220, NR_execve = 221, NR_exit = 93, NR_wait4 = 260, NR_kill = 129,
       NR_setsid = 157, NR_rt_sigtimedwait = 137, NR_close = 57 };

static long call(long nr, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory", "cc");
	return x0;
}

__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl begin\n");
#else
#error "pid1: no system calls for this machine"
#endif

enum { SIG_KILL = 9, SIG_TERM = 15, SIG_CHLD = 17, E_AGAIN = 11, NO_HANG = 1, CHECK_NS = 20000000 };

static void end(int status)
{
	(void)call(NR_write, 3, (long)&status, sizeof status, 0, 0);
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

/* Runs the command as execvp(3) would: the status that stands for the failure. */
static int run(char **argv, char **envp)
{
	static char path[4096];
	const char *dirs = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	const char *name = argv[0];
	long r = -2;

	for (const char *p = name; *p; p++) {
		if (*p == '/') {
			r = call(NR_execve, (long)name, (long)argv, (long)envp, 0, 0);
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
			if (r != -2 && r != -20) /* ENOENT, ENOTDIR: the next folder */
				status = 126;
		}
		dirs += n;
		if (*dirs == ':')
			dirs++;
	}
	return status;
}

static long start(char **argv, char **envp, uint64_t *all)
{
	uint64_t none = 0;
	long pid = call(NR_clone, SIG_CHLD, 0, 0, 0, 0);

	if (pid != 0)
		return pid;
	(void)call(NR_rt_sigprocmask, 2, (long)&none, 0, sizeof *all, 0);
	(void)call(NR_setsid, 0, 0, 0, 0, 0);
	(void)call(NR_close, 3, 0, 0, 0, 0);
	int status = run(argv, envp);
	for (;;)
		(void)call(NR_exit, status, 0, 0, 0, 0);
}

__attribute__((used, noreturn)) void begin(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
	uint64_t all = ~(uint64_t)0;
	struct { int64_t s, ns; } soon = { 0, CHECK_NS };
	long main_pid = 0;
	int stopping = 0;

	(void)call(NR_rt_sigprocmask, 2, (long)&all, 0, sizeof all, 0);
	if (argc > 1) {
		main_pid = start(argv + 1, envp, &all);
		if (main_pid < 0)
			end(126);
	}
	for (;;) {
		/* Who came in by another way than a fork here is no child: while stopping, it is looked for. */
		long sig = call(NR_rt_sigtimedwait, (long)&all, 0, stopping ? (long)&soon : 0, sizeof all, 0);
		int status = 0;
		long pid;
		while ((pid = call(NR_wait4, -1, (long)&status, NO_HANG, 0, 0)) > 0) {
			if (pid == main_pid)
				end(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
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
