/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: ending Kubernetes, down to its last pod, and removing what it stored. */
#include "applets/vsock-rpcd/k8s.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpcd/health.h"
#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/mono.h"
#include "common/mount/apply.h"
#include "common/sys/cgroup.h"
#include "common/sys/mountinfo.h"
#include "common/sys/proc.h"
#include "common/sys/rmtree.h"
#include "common/sys/spawn.h"

enum {
	TERM_MS = 10000,     /* what k3s has to end by itself */
	REST_MS = 2000,      /* ... what it left behind */
	PODS_MS = 3000,      /* ... the pods; many a container's first process has no ear for SIGTERM */
	KILL_MS = 5000,
	CONTAINERD_MS = 35000, CONTAINERD_STEP_MS = 50,
	CTR_MS = 60000, OUTPUT_MAX = 4 << 20, WORDS = 32, PASSES = 64,
};

#define NAMESPACE "k8s.io"

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void say(struct gb_buf *detail, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct gb_buf *detail, const char *fmt, ...)
{
	char line[1200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	(void)gb_buf_fmt(detail, "%s%s", detail->len ? "; " : "", line);
}

/* ---- processes ---- */

/* That very process, by a descriptor: -ESRCH when it has ended. */
static int hold_process(pid_t pid, uint64_t start)
{
	struct gb_proc proc;
	gb_autoclose int fd = (int)syscall(SYS_pidfd_open, pid, 0U);

	if (fd < 0)
		return -errno;
	if (gb_proc_read(pid, &proc) < 0 || proc.start != start)
		return -ESRCH; /* the number is another's by now */
	return gb_take_fd(&fd);
}

static bool ends_within(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t until = gb_mono_ms() + ms;
	int64_t left = ms;

	do {
		if (poll(&p, 1, (int)left) > 0)
			return true;
		left = (int64_t)(until - gb_mono_ms());
	} while (left > 0);
	return false;
}

static int give(int fd, int sig)
{
	return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0U) < 0 ? -errno : 0;
}

/* SIGTERM, and SIGKILL after some time; whether it has ended. */
static bool end_process(int fd, int patience)
{
	(void)give(fd, SIGTERM);
	if (ends_within(fd, patience))
		return true;
	(void)give(fd, SIGKILL);
	return ends_within(fd, KILL_MS);
}

static bool end_k3s(struct gb_buf *detail)
{
	struct rpcd_started k3s;

	if (rpcd_find(RPCD_K3S, &k3s) < 0)
		return true;
	gb_autoclose int fd = hold_process(k3s.pid, k3s.start);
	if (fd == -ESRCH)
		return true;
	if (fd < 0) {
		say(detail, "k3s (pid %d): %s", k3s.pid, strerror(-fd));
		return false;
	}
	if (end_process(fd, TERM_MS))
		return true;
	say(detail, "k3s (pid %d) does not end", k3s.pid);
	return false;
}

/* All that lives in a group or below it; takes the descriptor. Nothing there is well. */
static bool end_group(int opened, const char *name, unsigned patience, struct gb_buf *detail)
{
	gb_autoclose int fd = opened;

	if (fd < 0 || gb_cgroup_busy(fd) <= 0)
		return true;
	(void)gb_cgroup_signal(fd, SIGTERM);
	if (gb_cgroup_wait(fd, patience) == 0)
		return true;
	/* Without cgroup.kill who forks may slip through one round. */
	for (int i = 0; i < 3; i++) {
		(void)gb_cgroup_signal(fd, SIGKILL);
		if (gb_cgroup_wait(fd, KILL_MS / 3) == 0)
			return true;
	}
	say(detail, "cgroup %s: processes do not end", name);
	return false;
}

/* Whether it is a shim of the pods' containers; Docker's own have another name space. */
static bool is_shim(const struct gb_proc *proc)
{
	gb_autobuf struct gb_buf text = { 0 };
	char path[64];
	bool named = false;

	if (strncmp(proc->command, "containerd-shim", 15) != 0)
		return false;
	(void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)proc->pid);
	if (gb_io_slurp(AT_FDCWD, path, 65536, &text) < 0)
		return false;
	for (const char *word = text.data; word && word < text.data + text.len; word += strlen(word) + 1) {
		if (named)
			return strcmp(word, NAMESPACE) == 0;
		named = strcmp(word, "-namespace") == 0 || strcmp(word, "--namespace") == 0;
	}
	return false;
}

/* A shim that is gone lets containerd clean up after it: its container's mounts, its folder. */
static bool end_shims(struct gb_buf *detail)
{
	gb_autoproclist struct gb_proc_list list = { 0 };
	int *fds = NULL;
	bool all = true;

	int r = gb_proc_scan(&list, false);
	if (r < 0) {
		say(detail, "/proc: %s", strerror(-r));
		return false;
	}
	fds = calloc(list.count + 1, sizeof *fds);
	if (!fds) {
		say(detail, "%s", strerror(ENOMEM));
		return false;
	}
	for (size_t i = 0; i < list.count; i++) {
		fds[i] = is_shim(&list.procs[i]) ? hold_process(list.procs[i].pid, list.procs[i].start) : -1;
		if (fds[i] >= 0)
			(void)give(fds[i], SIGTERM);
	}
	uint64_t until = gb_mono_ms() + REST_MS;
	for (size_t i = 0; i < list.count; i++) {
		if (fds[i] < 0)
			continue;
		int64_t left = (int64_t)(until - gb_mono_ms());
		if (!ends_within(fds[i], left > 0 ? (int)left : 0)) {
			(void)give(fds[i], SIGKILL);
			if (!ends_within(fds[i], KILL_MS)) {
				say(detail, "%s (pid %d) does not end", list.procs[i].command, (int)list.procs[i].pid);
				all = false;
			}
		}
		(void)close(fds[i]);
	}
	free(fds);
	return all;
}

/* ---- mounts ---- */

static bool below(const char *target, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(target, folder, len) == 0 && target[len] == '/';
}

/* Unmounts what is below any of the folders, the last first; the folders' own mounts stay. What is in use is detached: it
 * is out of the tree then, and nothing there can be reached, nor removed, through it. */
static void unmount_below(const char *const *folders, struct gb_buf *detail)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	int r = gb_mountinfo_read(NULL, &table);

	if (r < 0)
		say(detail, "/proc/self/mountinfo: %s", strerror(-r));
	for (size_t i = r < 0 ? 0 : table.count; i-- > 0;) {
		for (const char *const *folder = folders; *folder; folder++) {
			struct gb_err err;
			if (!below(table.rows[i].target, *folder))
				continue;
			r = gb_mount_undo(table.rows[i].target, UMOUNT_NOFOLLOW, &err);
			if (r == -EBUSY)
				r = gb_mount_undo(table.rows[i].target, UMOUNT_NOFOLLOW | MNT_DETACH, &err);
			if (r < 0 && r != -EINVAL && r != -ENOENT) /* those went with another */
				say(detail, "%s", err.msg);
			break;
		}
	}
}

/* ---- stop ---- */

static bool stop(struct gb_buf *detail)
{
	static const char *const pods[] = { "/var/lib/kubelet", "/run/k3s",
					    "/run/containerd/io.containerd.runtime.v2.task/" NAMESPACE, NULL };
	/* k3s first: it would start again what is ended below it. */
	bool ended = end_k3s(detail);

	ended = end_group(gb_cgroup_find("guestbox-k3s"), "guestbox-k3s", REST_MS, detail) && ended;
	ended = end_group(gb_cgroup_open("kubepods"), "kubepods", PODS_MS, detail) && ended;
	ended = end_group(gb_cgroup_open("kubepods.slice"), "kubepods.slice", PODS_MS, detail) && ended;
	ended = end_shims(detail) && ended;
	if (ended) {
		rpcd_forget(RPCD_K3S);
		unmount_below(pods, detail);
	}
	return ended;
}

bool rpcd_k8s_stop(struct gb_buf *detail)
{
	(void)pthread_mutex_lock(&one_at_a_time);
	rpcd_launch_lock(RPCD_K3S, true);
	bool ended = stop(detail);
	rpcd_launch_lock(RPCD_K3S, false);
	(void)pthread_mutex_unlock(&one_at_a_time);
	return ended;
}

/* ---- containerd's name space ---- */

struct ctr {
	const char *path;
	char **env;
};

/* k3s ctr WORDS...: its status; what it printed goes to output. */
static int ctr(const struct ctr *ctr, const char *const *words, struct gb_buf *output)
{
	const char *argv[WORDS + 16] = { "k3s", "ctr", "--address", RPCD_CONTAINERD_SOCKET, "--namespace", NAMESPACE };
	size_t n = 6;

	for (; *words && n < GB_ARRAY_LEN(argv) - 1; words++)
		argv[n++] = *words;
	output->len = 0;
	int r = gb_spawn_run(&(struct gb_spawn){ .path = ctr->path, .argv = (char *const *)(uintptr_t)argv, .env = ctr->env,
						 .out = -1, .cgroup = -1 }, CTR_MS, output, OUTPUT_MAX);
	while (output->len && output->data[output->len - 1] == '\n')
		output->data[--output->len] = '\0';
	return r;
}

static void told(struct gb_buf *detail, const char *what, int r, const struct gb_buf *output)
{
	const char *text = gb_buf_text(output), *last = strrchr(text, '\n');

	say(detail, "k3s ctr %s: %s", what, r < 0 ? strerror(-r) : last ? last + 1 : *text ? text : "failed");
}

/* The lines of a list, each cut to its first word; rows points into text. */
struct rows {
	char **rows;
	size_t count;
};

static void free_rows(struct rows *rows)
{
	free(rows->rows);
}

static int split(char *text, struct rows *rows)
{
	size_t size = 1;

	for (const char *p = text; *p; p++)
		size += *p == '\n';
	rows->rows = calloc(size, sizeof *rows->rows);
	if (!rows->rows)
		return -ENOMEM;
	for (char *next, *line = text; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		line += strspn(line, " \t\r");
		if (*line)
			rows->rows[rows->count++] = line;
	}
	return 0;
}

/* Removes all things of a kind, some at a time. */
static void remove_kind(const struct ctr *ctr_, const char *kind, const char *const *how, struct gb_buf *detail)
{
	gb_autobuf struct gb_buf list = { 0 }, output = { 0 };
	gb_cleanup(free_rows) struct rows rows = { 0 };

	int r = ctr(ctr_, (const char *const[]){ kind, "ls", "-q", NULL }, &list);
	if (r != 0 || (list.len && split(list.data, &rows) < 0)) {
		told(detail, kind, r, &list);
		return;
	}
	for (size_t i = 0; i < rows.count;) {
		const char *words[WORDS + 1] = { kind, "rm" };
		size_t n = 2;
		for (const char *const *h = how; *h; h++)
			words[n++] = *h;
		while (i < rows.count && n < WORDS) {
			rows.rows[i][strcspn(rows.rows[i], " \t")] = '\0';
			words[n++] = rows.rows[i++];
		}
		r = ctr(ctr_, words, &output);
		if (r != 0)
			told(detail, kind, r, &output);
	}
}

/* "KEY PARENT KIND": whether another row stands on this one. */
static bool is_parent(const struct rows *rows, const char *key)
{
	size_t len = strcspn(key, " \t");

	for (size_t i = 0; i < rows->count; i++) {
		const char *parent = rows->rows[i] + strcspn(rows->rows[i], " \t");
		parent += strspn(parent, " \t");
		if (strcspn(parent, " \t") == len && strncmp(parent, key, len) == 0)
			return true;
	}
	return false;
}

/* From the leaves to the root; what a pass cannot remove is told, and left. */
static void remove_snapshots(const struct ctr *ctr_, struct gb_buf *detail)
{
	size_t before = SIZE_MAX;

	for (int pass = 0; pass < PASSES; pass++) {
		gb_autobuf struct gb_buf list = { 0 }, output = { 0 };
		gb_cleanup(free_rows) struct rows rows = { 0 };
		int failed = 0;

		int r = ctr(ctr_, (const char *const[]){ "snapshots", "ls", NULL }, &list);
		if (r != 0 || (list.len && split(list.data, &rows) < 0)) {
			told(detail, "snapshots", r, &list);
			return;
		}
		if (rows.count && strncmp(rows.rows[0], "KEY", 3) == 0)
			memmove(&rows.rows[0], &rows.rows[1], --rows.count * sizeof rows.rows[0]);
		if (rows.count == 0)
			return;
		if (rows.count >= before) {
			say(detail, "%zu snapshots are left", rows.count);
			return;
		}
		before = rows.count;
		unsigned char *leaf = calloc(rows.count, 1);
		if (!leaf)
			return;
		for (size_t i = 0; i < rows.count; i++)
			leaf[i] = !is_parent(&rows, rows.rows[i]);
		for (size_t i = 0; i < rows.count;) {
			const char *words[WORDS + 1] = { "snapshots", "rm" };
			size_t n = 2;
			for (; i < rows.count && n < WORDS; i++) {
				if (!leaf[i])
					continue;
				rows.rows[i][strcspn(rows.rows[i], " \t")] = '\0';
				words[n++] = rows.rows[i];
			}
			r = n > 2 ? ctr(ctr_, words, &output) : 0;
			if (r != 0)
				failed = r;
		}
		free(leaf);
		if (failed)
			told(detail, "snapshots", failed, &output);
	}
}

/* A name space goes only when it is empty. */
static void remove_namespace(const char *dir, unsigned failures, struct gb_buf *detail)
{
	static const char *const plain[] = { NULL }, *const force[] = { "-f", NULL }, *const sync[] = { "--sync", NULL };
	gb_cleanup(rpcd_environment_end) char **env = rpcd_environment(dir);
	gb_autobuf struct gb_buf output = { 0 };
	char path[512];
	struct ctr with = { .path = path, .env = env };

	(void)snprintf(path, sizeof path, "%s/k3s", dir);
	if (!env || access(path, X_OK) < 0) {
		say(detail, "%s: %s: containerd's name space " NAMESPACE " is left", path, strerror(env ? errno : ENOMEM));
		return;
	}
	uint64_t until = gb_mono_ms() + CONTAINERD_MS;
	while (!rpcd_containerd_up()) {
		struct timespec nap = { .tv_nsec = CONTAINERD_STEP_MS * 1000000L };
		if (gb_mono_ms() >= until || rpcd_containerd_failures() != failures) {
			say(detail, "containerd is not to be had: its name space " NAMESPACE " is left");
			return;
		}
		(void)nanosleep(&nap, NULL);
	}
	remove_kind(&with, "tasks", force, detail);
	remove_kind(&with, "containers", plain, detail);
	remove_kind(&with, "images", sync, detail);
	remove_kind(&with, "leases", plain, detail);
	remove_snapshots(&with, detail);
	remove_kind(&with, "content", plain, detail);
	int r = ctr(&with, (const char *const[]){ "namespaces", "remove", NAMESPACE, NULL }, &output);
	if (r != 0 && !strstr(gb_buf_text(&output), "not found"))
		told(detail, "namespaces", r, &output);
}

void rpcd_k8s_delete(const char *dir, unsigned failures, struct gb_buf *detail)
{
	static const char *const folders[] = { RPCD_K3S_DATA, "/var/lib/kubelet", "/var/lib/cni", NULL };

	(void)pthread_mutex_lock(&one_at_a_time);
	rpcd_launch_lock(RPCD_K3S, true);
	if (stop(detail)) {
		remove_namespace(dir, failures, detail);
		unmount_below(folders, detail);
		for (const char *const *folder = folders; *folder; folder++) {
			int64_t left = gb_rmtree_inside(*folder, detail);
			if (left < 0 && left != -ENOENT)
				say(detail, "%s: %s", *folder, strerror((int)-left));
		}
	} else {
		say(detail, "nothing was removed");
	}
	rpcd_launch_lock(RPCD_K3S, false);
	(void)pthread_mutex_unlock(&one_at_a_time);
}
