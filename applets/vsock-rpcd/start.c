/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the start sequence of the container runtime. Runs in a thread; at most one at a time. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpcd/runtime.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/cmdline.h"

enum {
	CONTAINERD_MS = 30000, CONTAINERD_STEP_MS = 200,
	DOCKERD_MS = 90000, DOCKERD_STEP_MS = 500,
	LOG_MAX = 16 << 20, /* a log that is larger when its daemon is started becomes NAME.log.1 */
};

#define CONTAINERD_SOCKET "/run/containerd/containerd.sock"
#define CONFIG "/etc/containerd/config.toml"
#define CONFIG_MARK "# written by guestbox; remove this line to keep your own\n"

/* No guest is older (2020-01-01). */
#define CLOCK_FLOOR 1577836800

extern char **environ;

struct start {
	const char *dir;
	char *text;
	size_t size;
};

static void note(struct start *start, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct start *start, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (start->text[0])
		(void)strlcat(start->text, "; ", start->size);
	(void)strlcat(start->text, line, start->size);
}

static void nap(int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* ---- programs ---- */

/* The daemon's environment is ours with the runtime's programs first on PATH. NULL: out of memory; free with freeenv. */
static char **environment(const char *dir)
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

static void freeenv(char **env)
{
	size_t n = 0;

	while (env[n])
		n++;
	free(env[n - 1]); /* PATH, the last */
	free(env);
}

/* /arcbox/log is the host's to see; else /tmp; else nowhere. One that has grown is put aside. */
static int open_log(const char *name)
{
	struct stat st;
	char path[64], old[80];
	const char *folder = stat("/arcbox", &st) == 0 && gb_io_mkdirs("/arcbox/log") == 0 ? "/arcbox/log" : "/tmp";

	for (int i = 0; i < 2; i++, folder = "/tmp") {
		(void)snprintf(path, sizeof path, "%s/%s.log", folder, name);
		(void)snprintf(old, sizeof old, "%s.1", path);
		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > LOG_MAX)
			(void)rename(path, old);
		int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0640);
		if (fd >= 0)
			return fd;
	}
	return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

/* In a session of its own, with its log as output: a pid, or -errno. */
static pid_t spawn(const char *dir, const char *path, const char *log, char *const *argv)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	pid_t pid;
	char **env = environment(dir);
	gb_autoclose int out = log ? open_log(log) : open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!env)
		return -ENOMEM;
	(void)sigemptyset(&none);
	(void)sigemptyset(&all);
	(void)sigaddset(&all, SIGPIPE);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (out >= 0) {
		(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
		(void)posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	}
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	int r = posix_spawn(&pid, path, &actions, &attr, argv, env);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	freeenv(env);
	return r ? -r : pid;
}

/* Runs a helper to its end: its exit status, 128 + signal, or -errno. */
static int run(const char *dir, const char *path, char *const *argv)
{
	int status;
	pid_t pid = spawn(dir, path, "runtime-start", argv);

	if (pid < 0)
		return (int)pid;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* This very program under another applet's name. */
static int self(struct start *start, const char *what, char *const *argv)
{
	int r = run(start->dir, "/proc/self/exe", argv);

	if (r < 0)
		note(start, "%s: %s", what, strerror(-r));
	else if (r > 0)
		note(start, "%s: %s ended with status %d (runtime-start.log)", what, argv[0], r);
	return r == 0 ? 0 : -1;
}

/* ---- steps ---- */

static void mount_if_missing(struct start *start, const char *witness, const char *type, const char *options,
			     const char *source, const char *target)
{
	char *const argv[] = { (char *)(uintptr_t)"arcmount", (char *)(uintptr_t)"mount", (char *)(uintptr_t)"-m",
			       (char *)(uintptr_t)"-t", (char *)(uintptr_t)type, (char *)(uintptr_t)"-o",
			       (char *)(uintptr_t)options, (char *)(uintptr_t)source, (char *)(uintptr_t)target, NULL };

	if (access(witness, F_OK) != 0)
		(void)self(start, target, argv);
}

/* What containers take for granted. All best effort: what fails is noted, and dockerd will say more. */
static void prerequisites(struct start *start)
{
	static char *const modprobe[] = { (char *)(uintptr_t)"modprobe", (char *)(uintptr_t)"overlay", NULL };
	struct timespec now, floor = { .tv_sec = CLOCK_FLOOR };

	mount_if_missing(start, "/sys/fs/cgroup/cgroup.controllers", "cgroup2", "rw", "cgroup2", "/sys/fs/cgroup");
	mount_if_missing(start, "/dev/pts/ptmx", "devpts", "nosuid,noexec,gid=5,mode=0620", "devpts", "/dev/pts");
	mount_if_missing(start, "/dev/shm", "tmpfs", "nosuid,nodev,noexec", "shm", "/dev/shm");
	int r = gb_io_put(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", "1");
	if (r < 0)
		note(start, "ip_forward: %s", strerror(-r));
	if (access("/sys/module/overlay", F_OK) != 0) {
		r = run(start->dir, "/sbin/modprobe", modprobe);
		if (r)
			note(start, "overlay: modprobe: %s", r < 0 ? strerror(-r) : "failed");
	}
	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec < floor.tv_sec && clock_settime(CLOCK_REALTIME, &floor) < 0)
		note(start, "clock: %s", strerror(errno));
}

/* The data disk, set up by btrfs-bootstrap and its rules; guestbox.data=none says that there is none to wait for. */
static int data_volume(struct start *start)
{
	static char *const argv[] = { (char *)(uintptr_t)"btrfs-bootstrap", NULL };
	gb_autobuf struct gb_buf line = { 0 };
	char value[16];

	if (gb_cmdline_read(&line) == 0 && gb_cmdline_value(gb_buf_text(&line), "guestbox.data", value, sizeof value) > 0 &&
	    strcmp(value, "none") == 0)
		return 0;
	return self(start, "data disk", argv);
}

static void folders(struct start *start)
{
	static const char *const paths[] = {
		"/run/containerd", "/var/run/docker", "/etc/docker", "/etc/containerd", "/run/arcbox",
		"/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni",
	};

	for (size_t i = 0; i < GB_ARRAY_LEN(paths); i++) {
		int r = gb_io_mkdirs(paths[i]);
		if (r < 0)
			note(start, "%s: %s", paths[i], strerror(-r));
	}
}

/* Only a file that is not there, or is our own, is written. */
static void containerd_config(struct start *start)
{
	static const char text[] = CONFIG_MARK
		"version = 2\n"
		"[plugins.\"io.containerd.grpc.v1.cri\".cni]\n"
		"  bin_dir = \"/var/lib/rancher/k3s/data/cni\"\n"
		"  conf_dir = \"/var/lib/rancher/k3s/agent/etc/cni/net.d\"\n"
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
		note(start, CONFIG ": %s", strerror(-r));
}

/* Whether the daemon has ended; how is noted. */
static bool ended(struct start *start, pid_t pid, const char *name)
{
	int status;

	if (pid <= 0 || waitpid(pid, &status, WNOHANG) != pid)
		return false;
	if (WIFEXITED(status))
		note(start, "%s ended with status %d (%s.log)", name, WEXITSTATUS(status), name);
	else
		note(start, "%s was killed by signal %d (%s.log)", name, WTERMSIG(status), name);
	return true;
}

static pid_t launch(struct start *start, const char *name, const char *const *argv)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", start->dir, name);
	pid_t pid = spawn(start->dir, path, name, (char *const *)(uintptr_t)argv);
	if (pid < 0)
		note(start, "%s: %s", path, strerror((int)-pid));
	return pid;
}

/* What was started earlier and has ended since is collected by its number: no other child of this process is touched. */
static pid_t daemons[2];

static void collect(void)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(daemons); i++) {
		if (daemons[i] > 0 && waitpid(daemons[i], NULL, WNOHANG) != 0)
			daemons[i] = 0;
	}
}

static int containerd(struct start *start)
{
	static const char *const argv[] = { "containerd", "--config", CONFIG, "--address", CONTAINERD_SOCKET, "--state",
					    "/run/containerd", NULL };

	if (rpcd_containerd_up())
		return 0;
	containerd_config(start);
	if (daemons[0] == 0) {
		pid_t pid = launch(start, "containerd", argv);
		if (pid < 0)
			return -1;
		daemons[0] = pid;
	}
	for (int waited = 0; waited < CONTAINERD_MS; waited += CONTAINERD_STEP_MS) {
		if (rpcd_containerd_up())
			return 0;
		if (ended(start, daemons[0], "containerd")) {
			daemons[0] = 0;
			return -1;
		}
		nap(CONTAINERD_STEP_MS);
	}
	note(start, "containerd: " CONTAINERD_SOCKET " takes no connections after %d s", CONTAINERD_MS / 1000);
	return -1;
}

bool rpcd_runtime_start(const char *dir, char *text, size_t size)
{
	static const char *const argv[] = { "dockerd", "--host=unix://" RPCD_DOCKER_SOCKET, "--containerd=" CONTAINERD_SOCKET,
					    "--exec-root=/var/run/docker", "--data-root=/var/lib/docker",
					    "--userland-proxy=false", NULL };
	struct start start = { .dir = dir, .text = text, .size = size };
	struct rpcd_probe probe;
	char missing[512];

	text[0] = '\0';
	collect();
	rpcd_runtime_probe(dir, &probe);
	if (probe.docker)
		return true;
	if (!probe.socket) {
		if (rpcd_runtime_missing(dir, missing, sizeof missing)) {
			note(&start, "missing: %s", missing);
			return false;
		}
		prerequisites(&start);
		if (data_volume(&start) < 0)
			return false;
		folders(&start);
		if (containerd(&start) < 0)
			return false;
		if (daemons[1] == 0) {
			pid_t pid = launch(&start, "dockerd", argv);
			if (pid < 0)
				return false;
			daemons[1] = pid;
		}
	}
	for (int waited = 0; waited <= DOCKERD_MS; waited += DOCKERD_STEP_MS) {
		rpcd_runtime_probe(dir, &probe);
		if (probe.docker)
			return true;
		if (ended(&start, daemons[1], "dockerd")) {
			daemons[1] = 0;
			return false;
		}
		nap(DOCKERD_STEP_MS);
	}
	note(&start, "%s", probe.detail);
	return false;
}
