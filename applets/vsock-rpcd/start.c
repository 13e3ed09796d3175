/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: what is done to start the runtime's daemons. All of it blocks, and runs in threads. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/apply.h"
#include "common/power/request.h"
#include "common/sys/cgroup.h"
#include "common/sys/cmdline.h"
#include "common/sys/mountinfo.h"
#include "common/sys/pidrec.h"
#include "common/sys/spawn.h"

enum { MODPROBE_MS = 15000, DISK_MS = 300000, HOLDER_MS = 300, OUTPUT_MAX = 1024 };

#define CONFIG "/etc/containerd/config.toml"
#define CONFIG_MARK "# written by guestbox; remove this line to keep your own\n"

extern char **environ;

struct notes {
	const char *dir;
	char *text;
	size_t size;
};

static void note(struct notes *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct notes *notes, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (notes->text[0])
		(void)strlcat(notes->text, "; ", notes->size);
	(void)strlcat(notes->text, line, notes->size);
}

/* ---- programs ---- */

char **rpcd_environment(const char *dir)
{
	size_t n = 0, k = 0;
	const char *path = getenv("PATH");

	while (environ[n])
		n++;
	char **env = calloc(n + 2, sizeof *env);
	if (!env)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (strncmp(environ[i], "PATH=", 5) != 0 && strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0)
			env[k++] = environ[i];
	}
	if (asprintf(&env[k], "PATH=%s:%s%s/usr/sbin:/usr/bin:/sbin:/bin", dir, path && *path ? path : "",
		     path && *path ? ":" : "") < 0) {
		free(env);
		return NULL;
	}
	return env;
}

void rpcd_environment_free(char **env)
{
	size_t n = 0;

	if (!env)
		return;
	while (env[n])
		n++;
	free(env[n - 1]); /* PATH, the last */
	free(env);
}

/* Runs a helper; when it fails, its last line is the reason. 0 or -1. */
static int helper(struct notes *notes, const char *what, const char *path, char *const *argv, unsigned ms)
{
	gb_autobuf struct gb_buf output = { 0 };
	gb_cleanup(rpcd_environment_end) char **env = rpcd_environment(notes->dir);

	if (!env) {
		note(notes, "%s: %s", what, strerror(ENOMEM));
		return -1;
	}
	int r = gb_spawn_run(&(struct gb_spawn){ .path = path, .argv = argv, .env = env, .out = -1, .cgroup = -1 }, ms, &output,
			     OUTPUT_MAX);
	if (r == 0)
		return 0;
	while (output.len && output.data[output.len - 1] == '\n')
		output.data[--output.len] = '\0';
	const char *last = output.len ? strrchr(output.data, '\n') : NULL;
	last = last ? last + 1 : gb_buf_text(&output);
	if (r < 0)
		note(notes, "%s: %s%s%s", what, r == -ETIMEDOUT ? "took too long" : strerror(-r), *last ? ": " : "", last);
	else if (*last)
		note(notes, "%s: %s", what, last);
	else
		note(notes, "%s: %s ended with status %d", what, argv[0], r);
	return -1;
}

/* ---- steps ---- */

static void mount_one(struct notes *notes, const char *type, const char *options, const char *source, const char *target)
{
	struct gb_mount_request request = { .source = source, .target = target, .type = type, .options = options, .mkdir = true };
	struct gb_err err;

	if (gb_mount_do(&request, &err) < 0)
		note(notes, "%s", err.msg);
}

/* Whether a file can be made there, which permission bits say nothing about. */
static bool takes_files(const char *path)
{
	gb_autoclose int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return true;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return false;
	gb_autofree char *name = NULL;
	if (asprintf(&name, "%s/.guestbox-XXXXXX", path) < 0)
		return true;
	int made = mkostemp(name, O_CLOEXEC);
	if (made < 0)
		return false;
	(void)close(made);
	(void)unlink(name);
	return true;
}

/* In the order that the protocol has: modprobe(8), which knows of modprobe.d(5), then the file, for an image without depmod(8)'s
 * tables. common/sys/module reads nothing but those. */
static void load_overlay(struct notes *notes)
{
	static char *const modprobe[] = { (char *)(uintptr_t)"modprobe", (char *)(uintptr_t)"overlay", NULL };
	char why[512] = "", path[512];
	struct notes own = { .dir = notes->dir, .text = why, .size = sizeof why };
	struct utsname name;

	if (access("/sys/module/overlay", F_OK) == 0 || helper(&own, "modprobe overlay", "/sbin/modprobe", modprobe, MODPROBE_MS) == 0)
		return;
	if (uname(&name) == 0) {
		(void)snprintf(path, sizeof path, "/lib/modules/%s/kernel/fs/overlayfs/overlay.ko", name.release);
		gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && (syscall(SYS_finit_module, fd, "", 0) == 0 || errno == EEXIST))
			return;
	}
	note(notes, "%s", why);
}

/* What containers take for granted. All best effort: what fails is noted, and the daemons will say more. */
static void prerequisites(struct notes *notes)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	char why[128];

	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0)
		mount_one(notes, "cgroup2", NULL, "cgroup2", "/sys/fs/cgroup");
	if (access("/dev/pts/ptmx", F_OK) != 0)
		mount_one(notes, "devpts", "nosuid,noexec,gid=5,mode=0620", "devpts", "/dev/pts");
	if (gb_mountinfo_read(NULL, &table) == 0 && !gb_mountinfo_top(&table, "/dev/shm"))
		mount_one(notes, "tmpfs", "nosuid,nodev,noexec", "shm", "/dev/shm");
	if (!takes_files("/tmp"))
		mount_one(notes, "tmpfs", "nosuid,nodev,mode=1777", "tmpfs", "/tmp");
	if (!takes_files("/run"))
		mount_one(notes, "tmpfs", "nosuid,nodev,mode=0755", "tmpfs", "/run");
	int r = gb_io_put(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", "1");
	if (r < 0)
		note(notes, "ip_forward: %s", strerror(-r));
	load_overlay(notes);
	if (rpcd_clock_floor(why, sizeof why) < 0)
		note(notes, "%s", why);
}

/* The data disk, set up by btrfs-bootstrap and its rules; guestbox.data=none says that there is none to wait for. */
static int data_volume(struct notes *notes)
{
	static char *const argv[] = { (char *)(uintptr_t)"btrfs-bootstrap", NULL };
	gb_autobuf struct gb_buf line = { 0 };
	char value[16];

	if (gb_cmdline_read(&line) == 0 && gb_cmdline_value(gb_buf_text(&line), "guestbox.data", value, sizeof value) > 0 &&
	    strcmp(value, "none") == 0)
		return 0;
	return helper(notes, "data disk", "/proc/self/exe", argv, DISK_MS);
}

int rpcd_state_dir(void)
{
	int r = gb_io_mkdirs(RPCD_STATE_DIR);

	return r < 0 ? r : chmod(RPCD_STATE_DIR, 0700) < 0 ? -errno : 0;
}

static void folders(struct notes *notes)
{
	static const char *const paths[] = {
		"/run/containerd", "/var/run/docker", "/etc/docker", "/etc/containerd", "/run/arcbox",
		RPCD_K3S_DATA "/agent/etc/cni/net.d", RPCD_K3S_DATA "/data/cni",
	};

	for (size_t i = 0; i < GB_ARRAY_LEN(paths); i++) {
		int r = gb_io_mkdirs(paths[i]);
		if (r < 0)
			note(notes, "%s: %s", paths[i], strerror(-r));
	}
	/* The one that was there may be under a /run that was just mounted. */
	int r = rpcd_state_dir();
	if (r < 0)
		note(notes, RPCD_STATE_DIR ": %s", strerror(-r));
}

/* Only a file that is not there, or is our own, is written. */
static void containerd_config(struct notes *notes)
{
	static const char text[] = CONFIG_MARK
		"version = 2\n"
		"[plugins.\"io.containerd.grpc.v1.cri\".cni]\n"
		"  bin_dir = \"" RPCD_K3S_DATA "/data/cni\"\n"
		"  conf_dir = \"" RPCD_K3S_DATA "/agent/etc/cni/net.d\"\n"
		"  max_conf_num = 1\n";
	gb_autobuf struct gb_buf old = { 0 };

	int r = gb_io_slurp(AT_FDCWD, CONFIG, 1 << 20, &old);
	if (r < 0 ? r != -ENOENT : strncmp(gb_buf_text(&old), CONFIG_MARK, sizeof CONFIG_MARK - 1) != 0)
		return;
	gb_autoclose int fd = open(CONFIG ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	r = fd < 0 ? -errno : gb_io_write(fd, text, sizeof text - 1);
	if (r == 0 && rename(CONFIG ".new", CONFIG) < 0)
		r = -errno;
	if (r < 0)
		note(notes, CONFIG ": %s", strerror(-r));
}

bool rpcd_prepare(const char *dir, char *text, size_t size)
{
	struct notes notes = { .dir = dir, .text = text, .size = size };

	text[0] = '\0';
	prerequisites(&notes);
	if (data_volume(&notes) < 0)
		return false;
	folders(&notes);
	containerd_config(&notes);
	return true;
}

/* ---- the daemons ---- */

static const struct daemon {
	const char *name;
	const char *socket; /* NULL: none */
	const char *const *argv;
} daemons[RPCD_SERVICES] = {
	[RPCD_CONTAINERD] = { "containerd", RPCD_CONTAINERD_SOCKET,
		(const char *const[]){ "containerd", "--config", CONFIG, "--address", RPCD_CONTAINERD_SOCKET, "--state",
				       "/run/containerd", NULL } },
	[RPCD_DOCKERD] = { "dockerd", RPCD_DOCKER_SOCKET,
		(const char *const[]){ "dockerd", "--host=unix://" RPCD_DOCKER_SOCKET, "--containerd=" RPCD_CONTAINERD_SOCKET,
				       "--exec-root=/var/run/docker", "--data-root=/var/lib/docker", "--userland-proxy=false",
				       NULL } },
	[RPCD_K3S] = { "k3s", NULL,
		(const char *const[]){ "k3s", "server", "--container-runtime-endpoint=" RPCD_CONTAINERD_SOCKET,
				       "--data-dir=" RPCD_K3S_DATA, "--write-kubeconfig=" RPCD_K3S_CONFIG,
				       "--write-kubeconfig-mode=0600", "--disable=traefik", "--disable=servicelb", NULL } },
};

const char *rpcd_service_name(enum rpcd_service id)
{
	return daemons[id].name;
}

static const char *record(enum rpcd_service id, char path[64])
{
	(void)snprintf(path, 64, RPCD_STATE_DIR "/%s.pid", daemons[id].name);
	return path;
}

static void k3s_pid(pid_t pid)
{
	gb_autoclose int fd = open(RPCD_K3S_PID, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	char text[16];

	(void)snprintf(text, sizeof text, "%d\n", (int)pid);
	if (fd >= 0)
		(void)gb_io_write(fd, text, strlen(text)); /* others may read it; we go by our record */
}

/* The process that listens on a socket, if that is one to be watched. */
static int holder(const char *path, struct gb_proc *ret_proc)
{
	struct gb_addr addr = { .kind = GB_ADDR_UNIX };
	struct ucred who;
	socklen_t size = sizeof who;

	(void)strlcpy(addr.name, path, sizeof addr.name);
	gb_autoclose int fd = gb_addr_connect(&addr, HOLDER_MS, NULL);
	if (fd < 0)
		return fd;
	/* unix(7): who called listen(2). PID 1 holds sockets for others. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || who.pid <= 1)
		return -EBUSY;
	int r = gb_proc_read(who.pid, ret_proc);
	return r < 0 ? r : ret_proc->state == 'Z' ? -ESRCH : 0;
}

static void found(struct rpcd_started *started, const struct gb_proc *proc)
{
	started->pid = proc->pid;
	started->start = proc->start;
	started->found = true;
}

/* In its own session and cgroup, with its FIFO as output; a daemon without a log is better than none, and text says so. */
static pid_t launch(const char *dir, enum rpcd_service id, char *text, size_t size)
{
	const struct daemon *daemon = &daemons[id];
	char path[512], group[64];
	gb_cleanup(rpcd_environment_end) char **env = rpcd_environment(dir);

	if (!env)
		return -ENOMEM;
	(void)snprintf(path, sizeof path, "%s/%s", dir, daemon->name);
	(void)snprintf(group, sizeof group, "guestbox-%s", daemon->name);
	gb_autoclose int out = rpcd_log_pipe(daemon->name);
	if (out < 0)
		(void)snprintf(text, size, "%s: what it prints is lost: " RPCD_STATE_DIR "/%s.out: %s", daemon->name, daemon->name,
			       strerror(-out));
	gb_autoclose int folder = gb_cgroup_make(group);
	gb_autoclose int procs = folder < 0 ? -1 : gb_cgroup_procs(folder);
	/* The last moment: what is started after the power-off has begun is only in its way. */
	if (gb_power_pending())
		return -ESHUTDOWN;
	return gb_spawn(&(struct gb_spawn){ .path = path, .argv = (char *const *)(uintptr_t)daemon->argv, .env = env, .out = out,
					    .cgroup = procs });
}

bool rpcd_missing(const char *dir, enum rpcd_service id, char *text, size_t size)
{
	static const char *const common[] = { "containerd", "containerd-shim-runc-v2", "runc" };
	bool any = false;

	text[0] = '\0';
	for (size_t i = 0; i <= GB_ARRAY_LEN(common); i++) {
		char path[512];
		if (i == 0 && id == RPCD_CONTAINERD)
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", dir, i == 0 ? daemons[id].name : common[i - 1]);
		if (access(path, F_OK) == 0)
			continue;
		(void)strlcat(text, any ? ", " : "", size);
		(void)strlcat(text, path, size);
		any = true;
	}
	return any;
}

static pthread_mutex_t locks[RPCD_SERVICES] = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
						PTHREAD_MUTEX_INITIALIZER };

void rpcd_launch_lock(enum rpcd_service id, bool lock)
{
	(void)(lock ? pthread_mutex_lock(&locks[id]) : pthread_mutex_unlock(&locks[id]));
}

static void launch_or_find(const char *dir, enum rpcd_service id, bool find, struct rpcd_started *started);

void rpcd_launch(const char *dir, enum rpcd_service id, bool find, const atomic_bool *cancelled,
		 struct rpcd_started *started)
{
	rpcd_launch_lock(id, true);
	if (!atomic_load(cancelled)) {
		launch_or_find(dir, id, find, started);
	} else {
		*started = (struct rpcd_started){ .pid = -ECANCELED };
		(void)snprintf(started->text, sizeof started->text, "%s: its start was called off", daemons[id].name);
	}
	rpcd_launch_lock(id, false);
}

static void launch_or_find(const char *dir, enum rpcd_service id, bool find, struct rpcd_started *started)
{
	const struct daemon *daemon = &daemons[id];
	struct gb_proc proc;
	char path[64];

	*started = (struct rpcd_started){ 0 };
	if (rpcd_find(id, started) == 0)
		return;
	if (daemon->socket) {
		int r = holder(daemon->socket, &proc);
		if (r == 0) {
			found(started, &proc);
			(void)gb_pidrec_write(record(id, path), &proc);
			return;
		}
		if (r == -EBUSY) {
			started->pid = -EBUSY;
			(void)snprintf(started->text, sizeof started->text, "%s: %s is held by another program", daemon->name,
				       daemon->socket);
			return;
		}
	}
	if (find) {
		started->pid = -ESRCH;
		(void)snprintf(started->text, sizeof started->text, "%s has ended", daemon->name);
		return;
	}
	pid_t pid = launch(dir, id, started->text, sizeof started->text);
	started->pid = (int)pid;
	if (pid < 0) {
		(void)snprintf(started->text, sizeof started->text, "%s/%s: %s", dir, daemon->name,
			       pid == -ESHUTDOWN ? "the guest is on its way down" : strerror(-(int)pid));
		return;
	}
	int r = gb_proc_read(pid, &proc);
	if (r == 0) {
		started->start = proc.start;
		r = gb_pidrec_write(record(id, path), &proc);
	}
	if (r < 0) { /* it runs; only a later vsock-rpcd will not know it */
		(void)strlcat(started->text, started->text[0] ? "; " : "", sizeof started->text);
		(void)strlcat(started->text, record(id, path), sizeof started->text);
		(void)strlcat(started->text, ": ", sizeof started->text);
		(void)strlcat(started->text, strerror(-r), sizeof started->text);
	}
	if (id == RPCD_K3S)
		k3s_pid(pid);
}

int rpcd_find(enum rpcd_service id, struct rpcd_started *ret_found)
{
	gb_autobuf struct gb_buf text = { 0 };
	struct gb_proc proc;
	char path[64];

	int r = gb_pidrec_read(record(id, path), &proc);
	/* One that another agent has started left but a number, which may be anybody's by now. */
	if (r == -ENOENT && id == RPCD_K3S && gb_io_slurp(AT_FDCWD, RPCD_K3S_PID, 64, &text) == 0) {
		long pid = strtol(gb_buf_text(&text), NULL, 10);
		if (pid > 1 && pid <= INT32_MAX && gb_proc_read((pid_t)pid, &proc) == 0 && proc.state != 'Z' &&
		    strncmp(proc.command, "k3s", 3) == 0)
			r = gb_pidrec_write(record(id, path), &proc);
	}
	if (r == 0)
		found(ret_found, &proc);
	return r;
}

void rpcd_forget(enum rpcd_service id)
{
	char path[64];

	(void)unlink(record(id, path));
	if (id == RPCD_K3S)
		(void)unlink(RPCD_K3S_PID);
}
