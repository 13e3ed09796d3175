/* SPDX-License-Identifier: MIT */
/* Control groups. */
#include "common/sys/cgroup.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/base/mono.h"

#define ROOT "/sys/fs/cgroup"

enum { DEPTH_MAX = 32, PROCS_MAX = 4 << 20 };

int gb_cgroup_parse(const char *text, char *path, size_t size)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		if (strncmp(text, "0::/", 4) == 0) {
			if (len - 3 >= size)
				return -ENAMETOOLONG;
			(void)strlcpy(path, text + 3, len - 3 + 1);
			return 0;
		}
		text += len;
		text += *text == '\n';
	}
	return -ENOENT;
}

static int own_path(const char *name, char *path, size_t size)
{
	gb_autobuf struct gb_buf text = { 0 };
	char own[3072];

	if (access(ROOT "/cgroup.controllers", F_OK) < 0)
		return -ENOENT;
	int r = gb_io_slurp(AT_FDCWD, "/proc/self/cgroup", 65536, &text);
	if (r == 0)
		r = gb_cgroup_parse(gb_buf_text(&text), own, sizeof own);
	if (r < 0)
		return r;
	int n = snprintf(path, size, ROOT "%s/%s", strcmp(own, "/") == 0 ? "" : own, name);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int gb_cgroup_find(const char *name)
{
	char path[4096];
	int r = own_path(name, path, sizeof path);

	return r < 0 ? r : open_dir(path);
}

int gb_cgroup_make(const char *name)
{
	char path[4096];
	int r = own_path(name, path, sizeof path);

	if (r < 0)
		return r;
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	return open_dir(path);
}

int gb_cgroup_open(const char *path)
{
	char whole[4096];
	int n = snprintf(whole, sizeof whole, ROOT "/%s", path);

	if (n < 0 || (size_t)n >= sizeof whole)
		return -ENAMETOOLONG;
	if (access(ROOT "/cgroup.controllers", F_OK) < 0)
		return -ENOENT;
	return open_dir(whole);
}

int gb_cgroup_procs(int dir)
{
	int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Sends to each of one group, then to those below it. */
static int each(int dir, int sig, unsigned depth)
{
	gb_autobuf struct gb_buf text = { 0 };
	int sent = 0;

	int r = gb_io_slurp(dir, "cgroup.procs", PROCS_MAX, &text);
	if (r < 0)
		return r;
	for (char *p = text.data; p && *p;) {
		char *end;
		long pid = strtol(p, &end, 10);
		if (end == p)
			break;
		/* 0 is a process of another PID namespace, 1 is never ours to end. */
		if (pid > 1 && pid != getpid() && kill((pid_t)pid, sig) == 0)
			sent++;
		p = end + (*end == '\n');
	}
	gb_autoclosedir DIR *list = gb_dir_open(dir, ".");
	if (!list)
		return -errno;
	for (const struct dirent *e; depth < DEPTH_MAX && (r = gb_dir_next(list, &e)) > 0;) {
		if (e->d_type != DT_DIR)
			continue;
		gb_autoclose int below = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int more = below < 0 ? 0 : each(below, sig, depth + 1);
		sent += more > 0 ? more : 0;
	}
	return r < 0 ? r : sent;
}

int gb_cgroup_signal(int dir, int sig)
{
	if (sig == SIGKILL && gb_io_put(dir, "cgroup.kill", "1") == 0)
		return 1;
	return each(dir, sig, 0);
}

int gb_cgroup_busy(int dir)
{
	gb_autobuf struct gb_buf text = { 0 };
	int r = gb_io_slurp(dir, "cgroup.events", 4096, &text);

	if (r < 0)
		return r == -ENOENT || r == -ENODEV ? 0 : r; /* it is gone */
	return strstr(gb_buf_text(&text), "populated 1") != NULL;
}

int gb_cgroup_wait(int dir, unsigned timeout_ms)
{
	gb_autoclose int events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC); /* -1: poll(2) passes over it */
	uint64_t until = gb_mono_ms() + timeout_ms;

	for (;;) {
		int r = gb_cgroup_busy(dir);
		if (r <= 0)
			return r;
		int64_t left = (int64_t)(until - gb_mono_ms());
		if (left <= 0)
			return -ETIMEDOUT;
		/* The kernel tells a change of the file (cgroup-v2.rst); the second guards against one that came between. */
		struct pollfd fd = { .fd = events, .events = POLLPRI };
		(void)poll(&fd, 1, left > 1000 ? 1000 : (int)left);
	}
}
