/* SPDX-License-Identifier: MIT */
/* Mapped mounts. */
#include "common/mount/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"

_Static_assert(sizeof(struct mount_attr) == 32, "struct mount_attr");

/* A namespace of a process: a descriptor or -errno. */
static int open_ns(pid_t pid, const char *kind)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int write_map(pid_t pid, const char *file, const char *map)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	return gb_io_put(AT_FDCWD, path, map);
}

int gb_mount_userns(uint32_t base, uint32_t count, int *ret_net)
{
	char map[64];

	/* A thread cannot unshare CLONE_NEWUSER: a child holds the namespace until it is open. It makes only bare system
	 * calls, so that a copy of a process with threads will do; and it ends with the thread that made it, or it would keep
	 * open for ever what a process that was killed had open: its listening sockets, too. */
	pid_t parent = getpid();
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | (ret_net ? CLONE_NEWNET : 0) | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		(void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		while ((pid_t)syscall(SYS_getppid) == parent)
			(void)syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0); /* pause(2), which arm64 has no call for */
		_exit(0);
	}
	(void)snprintf(map, sizeof map, "0 %u %u", base, count);
	int r = write_map(pid, "uid_map", map);
	if (r == 0)
		r = write_map(pid, "gid_map", map);
	gb_autoclose int user = r < 0 ? r : open_ns(pid, "user");
	gb_autoclose int net = user >= 0 && ret_net ? open_ns(pid, "net") : -1;
	(void)kill(pid, SIGKILL);
	(void)gb_io_wait(pid, NULL);
	if (user >= 0 && ret_net) {
		if (net < 0)
			return net;
		*ret_net = gb_take_fd(&net);
	}
	return user < 0 ? user : gb_take_fd(&user);
}

int gb_mount_tree_open(int fd, int userns, unsigned flags)
{
	unsigned recursive = flags & GB_TREE_RECURSIVE ? AT_RECURSIVE : 0;
	struct mount_attr attr = { .propagation = MS_PRIVATE };

	gb_autoclose int tree = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
	if (tree < 0)
		return -errno;
	attr.attr_set = (flags & GB_TREE_NODEV ? MOUNT_ATTR_NODEV : 0) | (flags & GB_TREE_NOSUID ? MOUNT_ATTR_NOSUID : 0) |
			(flags & GB_TREE_RDONLY ? MOUNT_ATTR_RDONLY : 0) | (flags & GB_TREE_NOEXEC ? MOUNT_ATTR_NOEXEC : 0);
	if (userns >= 0) {
		attr.attr_set |= MOUNT_ATTR_IDMAP;
		attr.userns_fd = (uint64_t)userns;
	}
	if (mount_setattr(tree, "", AT_EMPTY_PATH | recursive, &attr, sizeof attr) < 0)
		return -errno;
	return gb_take_fd(&tree);
}

int gb_mount_tree(int fd, int userns, unsigned flags, const char *target)
{
	gb_autoclose int tree = gb_mount_tree_open(fd, userns, flags);

	if (tree < 0)
		return tree;
	return move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

int gb_mount_private(void)
{
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}
