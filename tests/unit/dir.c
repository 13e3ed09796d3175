/* SPDX-License-Identifier: MIT */
/* Folders that can be read only in part: whoever lists, walks or empties one says so, and does not take it for the end.
 * readdir(3) is played (--wrap in the linker): it fails after some entries, and from then on. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/btrfs/ioctl.h"
#include "common/mount/loop.h"
#include "common/net/nic.h"
#include "common/net/virtio.h"
#include "common/sandbox/clean.h"
#include "common/sandbox/image.h"
#include "common/sandbox/store.h"
#include "common/sys/blockdev.h"
#include "common/sys/cgroup.h"
#include "common/sys/proc.h"
#include "common/sys/rmtree.h"
#include "common/sys/walk.h"

struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static int entries_left = -1; /* -1: all */

struct dirent *__wrap_readdir(DIR *dir)
{
	if (entries_left == 0) {
		errno = EIO;
		return NULL;
	}
	if (entries_left > 0)
		entries_left--;
	return __real_readdir(dir);
}

/* A subvolume has others in it. */
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (request == BTRFS_IOC_SNAP_DESTROY) {
		errno = ENOTEMPTY;
		return -1;
	}
	return __real_ioctl(fd, request, arg);
}

enum { FILES = 3, DOTS = 2 };

static char top[64];

static void make_file(const char *folder, int n)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/%d", folder, n);
	gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
}

static int begin(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof top, "/tmp/gb-unit-dir-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	for (int i = 0; i < FILES; i++)
		make_file(top, i);
	return 0;
}

static int end(void **state)
{
	(void)state;
	entries_left = -1;
	return gb_sandbox_tree_remove(AT_FDCWD, top);
}

static void next_tells_an_error_from_the_end(void **state)
{
	gb_autoclosedir DIR *dir = opendir(top);
	const struct dirent *entry = NULL;
	int seen = 0, r;

	(void)state;
	while ((r = gb_dir_next(dir, &entry)) > 0)
		seen++;
	assert_int_equal(r, 0);
	assert_int_equal(seen, FILES);
	rewinddir(dir);
	entries_left = DOTS; /* on most file systems these come first; elsewhere fewer of them are left out */
	while ((r = gb_dir_next(dir, &entry)) > 0)
		;
	assert_int_equal(r, -EIO);
}

static int note_error(void *arg, const struct gb_walk_entry *entry, struct gb_err *err)
{
	(void)err;
	if (entry->error)
		*(int *)arg = entry->error;
	return 0;
}

static void a_walk_tells_it(void **state)
{
	struct gb_err err;
	int error = 0;

	(void)state;
	entries_left = DOTS + 1;
	assert_int_equal(gb_walk(top, note_error, &error, &err), 0);
	assert_int_equal(error, EIO);
}

static void a_removal_tells_it_and_is_none(void **state)
{
	gb_autobuf struct gb_buf problems = { 0 };
	struct stat st;

	(void)state;
	entries_left = DOTS + 1;
	assert_int_equal(gb_rmtree_inside(top, &problems), 1);
	assert_non_null(strstr(gb_buf_text(&problems), top));
	assert_non_null(strstr(gb_buf_text(&problems), "Input/output error"));
	entries_left = DOTS;
	assert_int_equal(gb_sandbox_tree_remove(AT_FDCWD, top), -EIO);
	assert_int_equal(stat(top, &st), 0);
	/* All that was seen is gone; whether it was all is not known. */
	entries_left = DOTS + FILES;
	(void)gb_sandbox_tree_remove(AT_FDCWD, top);
	entries_left = -1;
	(void)mkdir(top, 0700);
}

static void subvolumes_below_are_not_taken_for_gone(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/sub", top);
	assert_int_equal(mkdir(path, 0700), 0);
	gb_autoclose int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	entries_left = DOTS;
	assert_int_equal(gb_btrfs_subvol_delete(fd, "sub"), -EIO);
	entries_left = -1;
	assert_int_equal(gb_btrfs_subvol_delete(fd, "sub"), -ENOTEMPTY);
}

static int none(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return 0;
}

static void a_list_that_is_not_whole_is_none(void **state)
{
	struct gb_sandbox_place place;
	Guestbox__V1__Image **images = NULL;
	gb_autoproclist struct gb_proc_list procs = { 0 };
	struct gb_blockdev file = { 0 };
	struct gb_nic nic;
	struct gb_err err;
	char device[64];
	size_t len = 7;

	(void)state;
	entries_left = 0;
	assert_int_equal(gb_sandbox_images(top, &images, &len, &err), -EIO);
	assert_null(images);
	assert_non_null(strstr(err.msg, top));
	gb_sandbox_place_set(&place, top);
	(void)snprintf(place.run, sizeof place.run, "%s", top);
	assert_int_equal(gb_sandbox_each_container(&place, none, NULL), -EIO);
	assert_int_equal(gb_proc_scan(&procs, false), -EIO);
	assert_int_equal(gb_virtio_find(top, "port", device, sizeof device), -EIO);
	assert_int_equal(gb_nic_find(top, NULL, &nic, &err), -EIO);
	assert_int_equal(gb_blockdev_loop_find(&file, device, sizeof device), -EIO);
}

static void a_file_that_may_be_in_use_is_not_attached(void **state)
{
	char path[128], device[64];
	struct gb_mount_loop loop = { .file = path };
	struct gb_err err;
	bool read_only;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/0", top);
	entries_left = 0;
	assert_int_equal(gb_mount_loop_attach(&loop, device, sizeof device, &read_only, &err), -EIO);
	assert_non_null(strstr(err.msg, "/sys/block: Input/output error"));
}

static void processes_that_are_not_seen_are_told(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/cgroup.procs", top);
	gb_autoclose int procs = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(procs >= 0);
	gb_autoclose int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	entries_left = DOTS;
	assert_int_equal(gb_cgroup_signal(fd, SIGTERM), -EIO);
	entries_left = -1;
	assert_int_equal(gb_cgroup_signal(fd, SIGTERM), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(next_tells_an_error_from_the_end), TEST(a_walk_tells_it), TEST(a_removal_tells_it_and_is_none),
		TEST(subvolumes_below_are_not_taken_for_gone), TEST(a_list_that_is_not_whole_is_none),
		TEST(a_file_that_may_be_in_use_is_not_attached), TEST(processes_that_are_not_seen_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
