/* SPDX-License-Identifier: MIT */
/* fork(2), execve(2) and what belongs between. */
#include "common/sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/mono.h"

/* In the child: another thread of the parent may hold any lock, so nothing here but system calls. */
static void become(const struct gb_spawn *spawn, int null, int report)
{
	sigset_t none;
	int code = 0;

	(void)sigemptyset(&none);
	(void)signal(SIGPIPE, SIG_DFL); /* ignored dispositions survive execve(2) */
	(void)setsid();
	/* First of all: what is forked later is born there. Best effort: the program runs without, too. */
	if (spawn->cgroup >= 0) {
		ssize_t n = write(spawn->cgroup, "0", 1);
		(void)n;
	}
	int out = spawn->out >= 0 ? spawn->out : null;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		code = errno;
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (!code) {
		(void)execve(spawn->path, spawn->argv, spawn->env);
		code = errno;
	}
	ssize_t n = write(report, &code, sizeof code);
	(void)n;
	_exit(127);
}

/* A pipe whose writing end is above 2, so that dup2(2) of one descriptor does not close another. Both are the caller's. */
static int pipe_above(int *ret_reader, int *ret_writer)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	int writer = fcntl(ends[1], F_DUPFD_CLOEXEC, 3), failed = errno;
	(void)close(ends[1]);
	if (writer < 0) {
		(void)close(ends[0]);
		return -failed;
	}
	*ret_reader = ends[0];
	*ret_writer = writer;
	return 0;
}

pid_t gb_spawn(const struct gb_spawn *spawn)
{
	int code = 0;
	sigset_t all, old;

	/* Above 2, so that dup2(2) of one does not close another. */
	gb_autoclose int opened = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (opened < 0)
		return -errno;
	gb_autoclose int null = fcntl(opened, F_DUPFD_CLOEXEC, 3);
	if (null < 0)
		return -errno;
	gb_autoclose int reader = -1, writer = -1;
	int failed = pipe_above(&reader, &writer);
	if (failed < 0)
		return failed;
	/* A signal between the two would run a handler of ours in the child. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork();
	if (pid == 0)
		become(spawn, null, writer);
	failed = errno;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return -failed;
	(void)close(gb_take_fd(&writer));
	/* Its end is closed by execve(2), or says why that failed. */
	if (gb_io_read(reader, &code, sizeof code) == (ssize_t)sizeof code) {
		(void)gb_io_wait(pid, NULL);
		return code > 0 ? -code : -EIO;
	}
	return pid;
}

/* One read of what there is: 1, 0 at the end, or -errno. */
static int take(int fd, struct gb_buf *output, size_t base, size_t max)
{
	char block[4096];
	ssize_t n = read(fd, block, sizeof block);

	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (n > 0 && output) {
		(void)gb_buf_add(output, block, (size_t)n);
		/* The last words are what counts. */
		size_t have = output->len - base;
		if (!output->failed && have > max) {
			memmove(output->data + base, output->data + output->len - max, max);
			output->len = base + max;
			output->data[output->len] = '\0';
		}
	}
	return n > 0;
}

int gb_spawn_run(const struct gb_spawn *spawn, unsigned timeout_ms, struct gb_buf *output, size_t max)
{
	struct gb_spawn with = *spawn;
	int status, r = 0;
	size_t base = output ? output->len : 0;
	uint64_t until = gb_mono_ms() + timeout_ms;

	gb_autoclose int reader = -1, writer = -1;
	int failed = pipe_above(&reader, &writer);
	if (failed < 0)
		return failed;
	if (fcntl(reader, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	with.out = writer;
	pid_t pid = gb_spawn(&with);
	if (pid < 0)
		return (int)pid;
	(void)close(gb_take_fd(&writer));
	gb_autoclose int end = (int)syscall(SYS_pidfd_open, pid, 0U);
	r = end < 0 ? -errno : 0;
	/* Its own end counts, not that of its output: a daemon that it left behind may hold that open. */
	struct pollfd fds[] = { { .fd = end, .events = POLLIN }, { .fd = reader, .events = POLLIN } };
	while (r == 0) {
		int64_t left = (int64_t)(until - gb_mono_ms());
		if (left <= 0) {
			r = -ETIMEDOUT;
			break;
		}
		if (poll(fds, 2, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR) {
			r = -errno;
			break;
		}
		if (fds[1].revents && take(reader, output, base, max) == 0)
			fds[1].fd = -1;
		if (fds[0].revents)
			break;
	}
	if (r < 0)
		(void)kill(-pid, SIGKILL); /* it leads its session and so its group */
	while (r == 0 && fds[1].fd >= 0 && take(reader, output, base, max) > 0)
		;
	int waited = gb_io_wait(pid, &status);
	if (r < 0 || waited < 0)
		return r < 0 ? r : waited;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
