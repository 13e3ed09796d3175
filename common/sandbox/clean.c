/* SPDX-License-Identifier: MIT */
/* The end of a container, and what is left of one. */
#include "common/sandbox/clean.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/net/veth.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/network.h"
#include "common/sandbox/runtime.h"
#include "common/sandbox/store.h"

enum { CLEAN_MS = 5000 };

int gb_sandbox_kill_first(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record)
{
	char path[192], file[256];
	gb_autobuf struct gb_buf text = { 0 };

	/* It and PID 1 are alone in the sandbox's own cgroup: all later commands have one each below it. Frozen, nobody gets
	 * away by a fork; whom a signal kills dies all the same. */
	(void)snprintf(path, sizeof path, "%s/%s", place->cgroup + 1, record->instance);
	(void)snprintf(file, sizeof file, "/sys/fs/cgroup/%s/cgroup.procs", path);
	int r = gb_sandbox_cgroup_freeze(path, true, CLEAN_MS);
	if (r == 0)
		r = gb_io_slurp(AT_FDCWD, file, 1 << 20, &text);
	char *save = NULL;
	for (char *line = r < 0 ? NULL : strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		long pid = strtol(line, NULL, 10);
		if (pid > 1 && pid != (long)record->pid && kill((pid_t)pid, SIGKILL) < 0 && errno != ESRCH)
			r = -errno;
	}
	int thaw = gb_sandbox_cgroup_freeze(path, false, CLEAN_MS);
	return r < 0 ? r : thaw;
}

int gb_sandbox_clean(const struct gb_sandbox_place *place, const char *instance, uint32_t address, struct gb_err *err)
{
	char path[192];
	struct gb_err why = { 0 };
	int failed = 0, r;

	(void)snprintf(path, sizeof path, "%s/%s", place->cgroup + 1, instance);
	(void)gb_sandbox_cgroup_kill(path);
	(void)snprintf(path, sizeof path, "%s/state/%s", place->run, instance);
	if (place->runtime[0] && access(path, F_OK) == 0) {
		const char *args[] = { "delete", "--force", instance, NULL };
		r = gb_sandbox_runtime(place, instance, args, &why);
		/* Another one's, perhaps. Its processes are killed by their cgroup: there is nothing left but this. */
		if (r < 0 && gb_sandbox_tree_remove(AT_FDCWD, path) < 0)
			failed = r;
	}
	(void)snprintf(path, sizeof path, "%s/%s", place->cgroup + 1, instance);
	r = gb_sandbox_cgroup_remove(path, CLEAN_MS);
	if (r < 0 && !failed)
		failed = gb_err_sys(&why, -r, "cgroup %s", path);
	(void)snprintf(path, sizeof path, "%s/%s.log", place->run, instance);
	(void)unlink(path);
	(void)snprintf(path, sizeof path, "%s/%s", place->run, instance);
	r = gb_sandbox_tree_remove(AT_FDCWD, path);
	if (r < 0 && !failed)
		failed = gb_err_sys(&why, -r, "%s", path);
	if (address) {
		char name[GB_SANDBOX_TAP];
		struct gb_err ignored;
		gb_autoclose int sock = gb_veth_socket(&ignored);
		gb_sandbox_tap_name(address, name);
		r = sock < 0 ? sock : gb_veth_delete(sock, name);
		if (r < 0 && r != -ENODEV && !failed)
			failed = gb_err_sys(&why, -r, "interface %s", name);
	}
	if (failed && err)
		*err = why;
	return failed;
}

static int each_instance(const char *path, int (*fn)(const char *instance, void *arg), void *arg)
{
	const struct dirent *entry;
	int r = 0;

	gb_autoclosedir DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (r = gb_dir_next(dir, &entry)) > 0) {
		bool instance = strlen(entry->d_name) == GB_SANDBOX_INSTANCE &&
				strspn(entry->d_name, "0123456789abcdef") == GB_SANDBOX_INSTANCE;
		r = instance ? fn(entry->d_name, arg) : 0;
	}
	return r;
}

int gb_sandbox_each_container(const struct gb_sandbox_place *place, int (*fn)(const char *instance, void *arg), void *arg)
{
	char path[192];

	(void)snprintf(path, sizeof path, "%s/state", place->run);
	int r = each_instance(path, fn, arg);
	return r ? r : each_instance(place->run, fn, arg);
}
