/* SPDX-License-Identifier: MIT */
/* guest-net: the DHCP client that stays, and what its leases bring. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/guest-net/net.h"
#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/net/link.h"
#include "common/sys/timeline.h"

enum { OPT_LOG = GB_OPT_LONG, OPT_ETC };

const struct gb_opt net_lease_opts[] = {
	GB_OPT(OPT_ETC, "etc", "DIR", "where hosts and resolv.conf are [/etc]"),
	GB_OPT(OPT_LOG, "log", "TARGET", "stderr, kmsg or json:PATH [stderr]"),
	{ 0 },
};

/* ---- the client ---- */

static void file_of(const char *device, const char *suffix, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, NET_STATE "/%s%s", device, suffix);
}

/* The lock is held by the client for as long as it lives: no number of a process has to be believed. */
static int lock_client(const char *device, struct gb_err *err)
{
	char path[PATH_MAX];
	int r = gb_io_mkdirs(NET_STATE);

	if (r < 0)
		return gb_err_sys(err, -r, NET_STATE);
	file_of(device, ".lock", path);
	gb_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EALREADY : gb_err_sys(err, errno, "%s", path);
	return gb_take_fd(&fd);
}

/* In the client's process: what it is told, and how to be told apart from what it is not. */
static void become_client(const struct net_job *job, int lock, int failed)
{
	enum { HIGH_FD = 10 }; /* busybox puts pipes of its own on low ones */
	char name[GB_NET_NAME + 16], host[GB_NET_NAME] = "";
	const char *const argv[] = {
		"busybox", "udhcpc", "-f", "-i", job->conf.device, "-s", job->script, "-t", "3", "-T", "1", "-A", "3",
		"-O", "search", "-O", "staticroutes", "-O", "mtu", "-O", "ntpsrv", "-x", name, NULL,
	};
	sigset_t none;

	(void)setsid();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setenv("GUESTBOX_ETC", job->etc, 1);
	if (gethostname(host, sizeof host - 1) < 0 || !*host)
		(void)strlcpy(host, "guestbox", sizeof host);
	(void)snprintf(name, sizeof name, "hostname:%s", host);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int kept = fcntl(lock, F_DUPFD, HIGH_FD); /* without close-on-exec */
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		(void)dup2(null, fd);
	if (kept >= 0) {
		if (job->client[0])
			(void)execvp(job->client, (char *const *)&argv[1]);
		else if (execvp("udhcpc", (char *const *)&argv[1]) < 0 && errno == ENOENT)
			(void)execvp("busybox", (char *const *)argv);
	}
	int saved = errno;
	(void)gb_io_write(failed, &saved, sizeof saved);
	_exit(127);
}

/* The client's process number, or -errno. */
static pid_t start_client(const struct net_job *job, int lock, struct gb_err *err)
{
	const char *name = job->client[0] ? job->client : "udhcpc";
	char text[32];
	int ends[2], saved = 0;

	if (access(job->script, X_OK) < 0)
		return gb_err_sys(err, errno, "%s", job->script);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return gb_err_sys(err, errno, "%s", name);
	gb_autoclose int in = ends[0];
	pid_t pid = fork();
	if (pid == 0)
		become_client(job, lock, ends[1]);
	int fork_failed = errno;
	(void)close(ends[1]);
	if (pid < 0)
		return gb_err_sys(err, fork_failed, "%s", name);
	if (gb_io_read(in, &saved, sizeof saved) == (ssize_t)sizeof saved) {
		(void)gb_io_wait(pid, NULL);
		return gb_err_sys(err, saved, "%s", name);
	}
	int len = snprintf(text, sizeof text, "%d\n", (int)pid);
	if (ftruncate(lock, 0) < 0 || pwrite(lock, text, (size_t)len, 0) != len)
		gb_log(GB_LOG_DEBUG, "%s: %s", NET_STATE, strerror(errno)); /* renew cannot find it then */
	return pid;
}

/* Waits for the file of facts, which a lease leaves. pid 0: somebody else's client. */
static int wait_for_lease(const struct net_job *job, pid_t pid, int watch, const char *facts, struct gb_err *err)
{
	uint64_t deadline = gb_mono_ns() + (uint64_t)job->lease_ms * 1000000;
	gb_autoclose int child = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	char events[4096];
	int status;

	while (access(facts, F_OK) < 0) {
		uint64_t now = gb_mono_ns();
		struct pollfd fds[] = { { .fd = watch, .events = POLLIN }, { .fd = child, .events = POLLIN } };
		if (now >= deadline)
			return gb_err_set(err, ETIMEDOUT, "%s: no lease within %.1f s; the client goes on asking", job->conf.device,
					  job->lease_ms / 1000.0);
		if (poll(fds, 2, (int)((deadline - now) / 1000000) + 1) < 0 && errno != EINTR)
			return gb_err_sys(err, errno, "%s: poll", job->conf.device);
		if (fds[0].revents && read(watch, events, sizeof events) < 0 && errno != EAGAIN)
			return gb_err_sys(err, errno, "%s", NET_STATE);
		if (fds[1].revents && waitpid(pid, &status, WNOHANG) == pid)
			return gb_err_set(err, ECHILD, "%s: the DHCP client ended with status %d", job->conf.device,
					  WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	return 0;
}

int net_dhcp(struct net_job *job, char *detail, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };
	char facts[PATH_MAX];
	pid_t pid = 0;

	gb_autoclose int lock = lock_client(job->conf.device, err);
	if (lock < 0 && lock != -EALREADY)
		return lock;
	gb_autoclose int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch < 0 || inotify_add_watch(watch, NET_STATE, IN_MOVED_TO) < 0)
		return gb_err_sys(err, errno, NET_STATE);
	file_of(job->conf.device, "", facts);
	if (lock >= 0) {
		(void)unlink(facts); /* of a client that is gone */
		pid = start_client(job, lock, err);
		if (pid < 0)
			return pid;
	}
	int r = wait_for_lease(job, pid, watch, facts, err);
	if (r < 0)
		return r;
	r = gb_io_slurp(AT_FDCWD, facts, 4096, &text);
	const char *address = r == 0 ? strstr(gb_buf_text(&text), "\naddress=") : NULL;
	address = address ? address + 9 : "";
	(void)snprintf(detail, NET_DETAIL, "%s has %.*s, the client %s", job->conf.device, (int)strcspn(address, "\n"), address,
		       pid ? "stays" : "was there already");
	return 0;
}

int net_run_renew(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autoclosedir DIR *dir = NULL;
	struct gb_optscan scan;
	const struct dirent *e;
	int key, r = 0;

	gb_opt_start(&scan, NULL, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0)
		;
	if (key == 0)
		key = gb_opt_operands(&scan, 0, 0, NULL, err);
	if (key < 0)
		return key;
	dir = opendir(NET_STATE);
	if (!dir && errno != ENOENT)
		return gb_err_sys(err, errno, NET_STATE);
	while (dir && (r = gb_dir_next(dir, &e)) > 0) {
		gb_autobuf struct gb_buf text = { 0 };
		size_t len = strlen(e->d_name);
		if (len < 6 || strcmp(e->d_name + len - 5, ".lock") != 0)
			continue;
		gb_autoclose int fd = openat(dirfd(dir), e->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		/* Nobody holds it: the client is gone, and its number may be another's. */
		if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || gb_io_slurp(dirfd(dir), e->d_name, 64, &text) < 0)
			continue;
		int pid = (int)strtol(gb_buf_text(&text), NULL, 10);
		if (pid > 1 && kill(pid, SIGUSR1) < 0)
			return gb_err_sys(err, errno, "%.*s: the DHCP client, %d", (int)len - 5, e->d_name, pid);
	}
	return r < 0 ? gb_err_sys(err, -r, NET_STATE) : 0;
}

/* ---- what a lease brings ---- */

static int deconfig(struct net_job *job, char *detail, struct gb_err *err)
{
	gb_autolink struct gb_link *link = NULL;
	char facts[PATH_MAX];

	file_of(job->conf.device, "", facts);
	(void)unlink(facts);
	int r = gb_link_open(&link, err);
	if (r == 0)
		r = gb_link_drop_addresses(link, job->index, (struct in_addr){ 0 }, 0, err);
	if (r == 0)
		r = gb_link_up(link, job->index, 0, err); /* the client asks over it */
	if (r < 0)
		return gb_err_wrap(err, "%s", job->conf.device);
	(void)snprintf(detail, NET_DETAIL, "%s has no address", job->conf.device);
	return 0;
}

/* The server's name for this machine, when nobody here has one. */
static int offered_name(struct net_job *job, char *detail, struct gb_err *err)
{
	char now[GB_NET_NAME] = "";

	if (!job->conf.hostname[0] || gethostname(now, sizeof now - 1) < 0 || !net_is_no_name(now))
		return 0;
	(void)strlcpy(job->hostname, job->conf.hostname, sizeof job->hostname);
	int r = net_hostname(job, detail, err);
	return r < 0 ? r : net_hosts(job, detail, err);
}

static void log_step(const struct net_result *result)
{
	if (result->state == NET_FAILED)
		gb_log(GB_LOG_ERR, "lease: %s: %s", result->step, result->detail);
	else if (result->detail[0])
		gb_log(GB_LOG_INFO, "lease: %s: %s", result->step, result->detail);
}

int net_run_lease(struct gb_cmd *cmd, struct gb_err *err)
{
	static const struct net_step unset[] = { { "deconfig", 5000, true, deconfig } };
	/* The facts come last: who waits for them finds the rest done. */
	static const struct net_step set[] = {
		{ "address", 5000, true, net_address }, { "routes", 5000, true, net_routes },
		{ "resolver", 2000, false, net_resolver }, { "hostname", 2000, false, offered_name },
		{ "facts", 2000, false, net_facts },
	};
	const char *etc = getenv("GUESTBOX_ETC"), *log = "stderr";
	struct gb_optscan scan;
	int key, r;

	gb_opt_start(&scan, net_lease_opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0)
		*(key == OPT_LOG ? &log : &etc) = scan.arg;
	if (key < 0)
		return key;
	r = gb_opt_operands(&scan, 1, 1, "event", err);
	if (r == 0)
		r = gb_log_open(log, err);
	if (r < 0)
		return r;
	const char *event = scan.argv[scan.index], *device = getenv("interface");
	bool bound = strcmp(event, "bound") == 0 || strcmp(event, "renew") == 0;
	if (strcmp(event, "leasefail") == 0 || strcmp(event, "nak") == 0) {
		gb_log(GB_LOG_WARNING, "lease: %s: %s", device ? device : "?",
		       event[0] == 'n' ? "the server refuses it; asking anew" : "no server answers; asking again");
		return 0;
	}
	if (!bound && strcmp(event, "deconfig") != 0)
		return gb_err_set(err, GB_E_USAGE, "event \"%s\": none of deconfig, bound, renew, leasefail, nak", event);

	struct net_job *job = net_job_new();
	if (!job)
		return gb_err_sys(err, ENOMEM, "lease");
	if (strlcpy(job->etc, etc && *etc ? etc : "/etc", sizeof job->etc) >= sizeof job->etc)
		return gb_err_sys(err, ENAMETOOLONG, "%s", etc);
	if (bound) {
		r = gb_net_lease(getenv, &job->conf, err);
		if (r < 0)
			return r;
	} else if (!device || strlcpy(job->conf.device, device, sizeof job->conf.device) >= sizeof job->conf.device) {
		return gb_err_set(err, EINVAL, "lease: interface \"%s\"", device ? device : "");
	}
	job->index = if_nametoindex(job->conf.device);
	if (!job->index)
		return gb_err_sys(err, errno, "%s", job->conf.device);
	int failed = bound ? net_steps_run(job, set, GB_ARRAY_LEN(set), log_step)
			   : net_steps_run(job, unset, GB_ARRAY_LEN(unset), log_step);
	return failed ? gb_err_set(err, GB_E_SILENT, "%d failed", failed) : 0;
}
