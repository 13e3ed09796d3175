/* SPDX-License-Identifier: MIT */
/* How the OCI runtime's program is started: from where no container can write to it, and so but once. */
#include "common/sandbox/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/idmap.h"

extern char **environ;

/* That its program is where nobody can write to it (is_self_cloned() of runc and crun). */
static char sealed_mark[] = "_LIBCONTAINER_CLONED_BINARY=1";

/* A runtime keeps containers from getting hold of its program for writing (CVE-2019-5736): it binds it read-only below
 * /tmp, takes that mount away again and starts itself a second time by it, which is a third of a container's start. This is
 * such a mount, read-only and in no namespace, made once: its end would wait for all CPUs. A descriptor, or -errno. */
static int sealed(const char *path)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int kept = -1;
	static struct stat of;
	struct stat st;
	char magic[SELFMAG];
	int r = 0;

	(void)pthread_mutex_lock(&lock);
	if (stat(path, &st) < 0)
		r = -errno;
	if (r == 0 && (kept < 0 || st.st_dev != of.st_dev || st.st_ino != of.st_ino || st.st_ctim.tv_sec != of.st_ctim.tv_sec ||
		       st.st_ctim.tv_nsec != of.st_ctim.tv_nsec)) {
		gb_close_fd(&kept);
		kept = -1;
		gb_autoclose int file = open(path, O_RDONLY | O_CLOEXEC);
		/* A script is read by its interpreter, which gets no descriptor of ours. */
		if (file < 0 || gb_io_read(file, magic, sizeof magic) != (ssize_t)sizeof magic || memcmp(magic, ELFMAG, SELFMAG) != 0)
			r = -ENOEXEC;
		else
			kept = r = gb_mount_tree_open(file, -1, GB_TREE_RDONLY);
		of = st;
	}
	if (r >= 0)
		r = fcntl(kept, F_DUPFD_CLOEXEC, GB_SANDBOX_CHILD_FDS + 2); /* above those that the child gets */
	(void)pthread_mutex_unlock(&lock);
	return r;
}

static int start(const char *program, char *const *argv, char **envp, const struct gb_sandbox_child *child, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < GB_SANDBOX_CHILD_FDS; i++) {
		if (child->fds[i] >= 0)
			(void)posix_spawn_file_actions_adddup2(&actions, child->fds[i], i);
		else if (i <= STDERR_FILENO)
			(void)posix_spawn_file_actions_addopen(&actions, i, "/dev/null", i ? O_WRONLY : O_RDONLY, 0);
	}
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	int r = posix_spawn(ret_pid, program, &actions, &attr, argv, envp);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int gb_sandbox_spawn_as_it_is(const char *program, char *const *argv, const struct gb_sandbox_child *child, pid_t *ret_pid)
{
	return start(program, argv, environ, child, ret_pid);
}

static int spawn(const char *program, char *const *argv, const struct gb_sandbox_child *child, pid_t *ret_pid)
{
	gb_autoclose int fd = sealed(program);
	struct gb_io_path path;
	size_t n = 0;

	while (environ[n])
		n++;
	gb_autofree char **envp = fd < 0 ? NULL : calloc(n + 2, sizeof *envp);
	if (!envp) /* the runtime sees to it itself */
		return start(program, argv, environ, child, ret_pid);
	memcpy(envp, environ, n * sizeof *envp);
	envp[n] = sealed_mark;
	int r = start(gb_io_path(fd, &path), argv, envp, child, ret_pid);
	return r == -ENOENT || r == -EACCES ? start(program, argv, environ, child, ret_pid) : r;
}

int gb_sandbox_spawn(const char *program, char *const *argv, const struct gb_sandbox_child *child, pid_t *ret_pid)
{
	struct gb_sandbox_child high = *child;
	bool copied[GB_SANDBOX_CHILD_FDS] = { false };
	int r = 0;

	/* One that is in the range itself would be overwritten before its turn. */
	for (int i = 0; i < GB_SANDBOX_CHILD_FDS; i++) {
		if (r < 0 || high.fds[i] < 0 || high.fds[i] >= GB_SANDBOX_CHILD_FDS)
			continue;
		int fd = fcntl(high.fds[i], F_DUPFD_CLOEXEC, GB_SANDBOX_CHILD_FDS + 2);
		copied[i] = fd >= 0;
		r = fd < 0 ? -errno : 0;
		high.fds[i] = fd;
	}
	if (r == 0)
		r = spawn(program, argv, &high, ret_pid);
	for (int i = 0; i < GB_SANDBOX_CHILD_FDS; i++) {
		if (copied[i])
			(void)close(high.fds[i]);
	}
	return r;
}
