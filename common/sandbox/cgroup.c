/* SPDX-License-Identifier: MIT */
/* cgroups, version 2 (cgroups(7)). */
#include "common/sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/mount/apply.h"

#define ROOT "/sys/fs/cgroup"

enum { DEPTH = 16, STEP_MS = 5, PATH_LEN = 512 };

static bool has(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n) {
		if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\n' || !p[n]))
			return true;
	}
	return false;
}

int gb_sandbox_controllers(struct gb_sandbox_controllers *ret_have, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };
	struct statfs fs;

	if (statfs(ROOT, &fs) < 0)
		return gb_err_sys(err, errno, ROOT);
	if (fs.f_type == SYSFS_MAGIC) {
		const struct gb_mount_request request = { .source = "cgroup2", .target = ROOT, .type = "cgroup2",
							  .options = "nosuid,nodev,noexec,nsdelegate" };
		int r = gb_mount_do(&request, err);
		if (r < 0)
			return r;
	} else if (fs.f_type != CGROUP2_SUPER_MAGIC) {
		return gb_err_set(err, EOPNOTSUPP, ROOT ": not version 2 of cgroups, which sandboxes need");
	}
	int r = gb_io_slurp(AT_FDCWD, ROOT "/cgroup.controllers", 4096, &text);
	if (r < 0)
		return gb_err_sys(err, -r, ROOT "/cgroup.controllers");
	const char *list = gb_buf_text(&text);
	*ret_have = (struct gb_sandbox_controllers){ has(list, "cpu"), has(list, "memory"), has(list, "pids") };
	return 0;
}

static int full(char *out, const char *path, const char *file)
{
	int n = snprintf(out, PATH_LEN, ROOT "/%s%s%s", path, file ? "/" : "", file ? file : "");

	return n < PATH_LEN ? 0 : -ENAMETOOLONG;
}

int gb_sandbox_cgroup_make(const char *path)
{
	char dir[PATH_LEN];
	int r = full(dir, path, NULL);

	return r < 0 ? r : gb_io_mkdirs(dir);
}

int gb_sandbox_cgroup_kill(const char *path)
{
	char file[PATH_LEN];
	int r = full(file, path, "cgroup.kill");

	if (r == 0)
		r = gb_io_put(AT_FDCWD, file, "1");
	return r == -ENOENT || r == -ENODEV ? 0 : r;
}

static void nap(void)
{
	const struct timespec ts = { .tv_nsec = STEP_MS * 1000000L };

	(void)nanosleep(&ts, NULL);
}

/* Removes all folders below this one, and nothing else: a cgroup's files go with it. */
static int remove_below(int parent, const char *name, int depth)
{
	gb_autoclosedir DIR *dir = gb_dir_open(parent, name);
	const struct dirent *entry;
	int more, r = 0;

	if (!dir)
		return -errno;
	if (depth == 0)
		return -ELOOP;
	while ((more = gb_dir_next(dir, &entry)) > 0) {
		if (entry->d_type != DT_DIR)
			continue;
		(void)remove_below(dirfd(dir), entry->d_name, depth - 1); /* what is left in there is told by the next call */
		if (unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			r = -errno;
	}
	return r ? r : more;
}

int gb_sandbox_cgroup_remove(const char *path, int ms)
{
	char dir[PATH_LEN];
	int r = full(dir, path, NULL);

	if (r < 0)
		return r;
	for (int waited = 0;; waited += STEP_MS) {
		r = remove_below(AT_FDCWD, dir, DEPTH);
		if (r == -ENOENT)
			return 0;
		if (r == 0 && (rmdir(dir) == 0 || errno == ENOENT))
			return 0;
		r = r ? r : -errno;
		if (r != -EBUSY || waited >= ms)
			return r;
		(void)gb_sandbox_cgroup_kill(path);
		nap();
	}
}

int gb_sandbox_cgroup_freeze(const char *path, bool freeze, int ms)
{
	char file[PATH_LEN];
	int r = full(file, path, "cgroup.freeze");

	if (r == 0)
		r = gb_io_put(AT_FDCWD, file, freeze ? "1" : "0");
	if (r < 0 || !freeze)
		return r;
	r = full(file, path, "cgroup.events");
	for (int waited = 0; r == 0; waited += STEP_MS) {
		gb_autobuf struct gb_buf text = { 0 };
		r = gb_io_slurp(AT_FDCWD, file, 4096, &text);
		if (r == 0 && strstr(gb_buf_text(&text), "frozen 1"))
			return 0;
		if (waited >= ms)
			return -ETIMEDOUT;
		nap();
	}
	return r;
}

int gb_sandbox_cgroup_each(const char *path, int (*fn)(const char *name, void *arg), void *arg)
{
	char dir[PATH_LEN];
	const struct dirent *entry;
	int r = full(dir, path, NULL);

	if (r < 0)
		return r;
	gb_autoclosedir DIR *folder = opendir(dir);
	if (!folder)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (r = gb_dir_next(folder, &entry)) > 0)
		r = entry->d_type == DT_DIR && entry->d_name[0] != '.' ? fn(entry->d_name, arg) : 0;
	return r;
}
