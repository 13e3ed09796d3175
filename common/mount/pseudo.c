/* SPDX-License-Identifier: MIT */
/* proc, sysfs, devtmpfs and their like. */
#include "common/mount/pseudo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/apply.h"
#include "common/sys/mountinfo.h"

/* mode: a tmpfs is everybody's to write to without one. size: it may take half the memory without one. */
static const struct { const char *type, *source, *target, *options; } wanted[] = {
	{ "devtmpfs", "devtmpfs", "/dev", "nosuid,noexec,mode=0755" },
	{ "proc", "proc", "/proc", "nosuid,nodev,noexec" },
	{ "sysfs", "sysfs", "/sys", "nosuid,nodev,noexec" },
	{ "devpts", "devpts", "/dev/pts", "nosuid,noexec,gid=5,mode=0620,ptmxmode=0666" },
	{ "tmpfs", "shm", "/dev/shm", "nosuid,nodev,noexec,mode=1777,size=50%" },
	{ "tmpfs", "tmpfs", "/run", "nosuid,nodev,mode=0755,size=20%" },
	{ "tmpfs", "tmpfs", "/tmp", "nosuid,nodev,mode=1777,size=50%" },
	{ "cgroup2", "cgroup2", "/sys/fs/cgroup", "nosuid,nodev,noexec" },
};

static const struct { const char *name, *target; } links[] = {
	{ "/dev/fd", "/proc/self/fd" },
	{ "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" },
	{ "/dev/stderr", "/proc/self/fd/2" },
};

static int path_of(const char *root, const char *path, char full[PATH_MAX])
{
	return snprintf(full, PATH_MAX, "%s%s", root, path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int gb_mount_pseudo(const char *root, void (*report)(const char *text))
{
	char path[PATH_MAX];
	int failed = 0;

	for (size_t i = 0; i < GB_ARRAY_LEN(wanted); i++) {
		struct gb_mount_request request = { .type = wanted[i].type, .source = wanted[i].source, .target = path,
						    .options = wanted[i].options, .mkdir = true };
		struct gb_err err = { 0 };

		if (path_of(root, wanted[i].target, path) < 0 || gb_mountinfo_is_root(AT_FDCWD, path, 0) == 1)
			continue;
		if (gb_mount_do(&request, &err) < 0) {
			failed++;
			report(err.msg);
		}
	}
	for (size_t i = 0; i < GB_ARRAY_LEN(links); i++) {
		if (path_of(root, links[i].name, path) < 0 || symlink(links[i].target, path) == 0 || errno == EEXIST)
			continue;
		struct gb_err err = { 0 };
		(void)gb_err_sys(&err, errno, "%s", path);
		failed++;
		report(err.msg);
	}
	return failed;
}
