/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the daemon that answers the guest's host. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/applet.h"
#include "applets/vsock-rpcd/rpcd.h"
#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/base/parse.h"
#include "common/net/vsock.h"
#include "common/sys/setting.h"
#include "common/sys/timeline.h"

enum { OPT_LISTEN = GB_OPT_LONG, OPT_CID, OPT_NOTIFY, OPT_MAX, OPT_IDLE, OPT_FRAME, OPT_LOG, OPT_ROOT, OPT_RUNTIME,
       OPT_SANDBOX, OPT_PROXY, OPT_PROXY_MAX, OPT_PROXY_WAIT, OPT_TRIM, OPT_RESTART, OPT_LOG_SIZE, OPT_POLICY };

enum {
	CONNECTIONS = 256, CONNECTIONS_MAX = 65536,
	IDLE_MS = 600000, FRAME_MS = 20000, DAY_MS = 86400000,
	THREADS = 8,         /* at most so many calls may block at once */
	POLICY_SIZE = 65536,
	SPARE_FDS = 32,      /* beside one a connection */
	PROXIED = 4096,      /* connections of the proxies */
	PROXY_WAIT_MS = 3000,
	TRIM_MS = 3600000,
	LOG_SIZE = 8 << 20,
};

static const struct gb_opt opts[] = {
	GB_OPT(OPT_LISTEN, "listen", "ADDRESS", "serve this address; may be repeated [vsock:1024]"),
	GB_OPT(OPT_PROXY, "proxy", "FROM=TO", "join FROM's callers with TO; or docker, kubernetes, none; may be repeated"),
	GB_OPT(OPT_PROXY_MAX, "proxy-connections", "N", "serve at most this many proxied connections at once [4096]"),
	GB_OPT(OPT_PROXY_WAIT, "proxy-wait", "S", "what a proxy's target that is not up yet has to come up [3]"),
	GB_OPT(OPT_CID, "allow-cid", "CID", "let this vsock CID call, or \"any\"; may be repeated [2, the host]"),
	GB_OPT(OPT_MAX, "max-connections", "N", "serve at most this many peers at once [256]"),
	GB_OPT(OPT_IDLE, "idle-timeout", "S", "close a connection that has been idle this long [600]"),
	GB_OPT(OPT_FRAME, "frame-timeout", "S", "... or has half a frame, or takes no reply, this long [20]"),
	GB_OPT(OPT_ROOT, "mmap-root", "DIR", "let files below DIR be read; may be repeated [the standard shares]"),
	GB_OPT(OPT_POLICY, "policy", "FILE", "which requests are denied [/etc/guestbox/vsock-rpcd.policy, if it is there]"),
	GB_OPT(OPT_RUNTIME, "runtime-dir", "DIR", "dockerd, containerd and their helpers are here [/arcbox/runtime/bin]"),
	GB_OPT(OPT_RESTART, "restart", "N/S", "start a daemon that dies again, at most N times in S seconds [5/60]"),
	GB_OPT(OPT_LOG_SIZE, "log-size", "SIZE", "put a log aside at this size; three are kept (K, M, G, T) [8M]"),
	GB_OPT(OPT_TRIM, "trim-interval", "S", "trim the data disk by itself this often; 0: never [3600]"),
	GB_OPT(OPT_SANDBOX, "sandbox-dir", "DIR", "sandboxes, their images and snapshots are here [on the data disk]"),
	GB_OPT(OPT_NOTIFY, "notify-fd", "N", "write a line to this descriptor when every address is served"),
	GB_OPT(OPT_LOG, "log", "TARGET", "stderr, kmsg or json:PATH [stderr]"),
	{ 0 },
};

/* Where the host's folders are mounted: what else is in the guest is no client's to read. */
static const char *const shares[] = { "/arcbox", "/run/arcbox-dax", "/Users", "/private" };

static int add_listener(struct rpcd *rpcd, const char *text, struct gb_err *err)
{
	struct rpcd_listener *listener = &rpcd->listeners[rpcd->listeners_len];

	if (rpcd->listeners_len == RPCD_LISTEN_MAX)
		return gb_err_set(err, GB_E_USAGE, "more than %d addresses", RPCD_LISTEN_MAX);
	int r = gb_addr_parse(text, &listener->addr, err);
	if (r < 0)
		return r;
	if (listener->addr.kind == GB_ADDR_FC || listener->addr.kind == GB_ADDR_TCP)
		return gb_err_set(err, GB_E_USAGE, "address \"%s\": the daemon does not listen on this kind", text);
	return rpcd_listener_add(rpcd, text, err);
}

static int add_cid(struct rpcd *rpcd, const char *text, struct gb_err *err)
{
	long long cid = VMADDR_CID_ANY;

	if (rpcd->cids_len == RPCD_CID_MAX)
		return gb_err_set(err, GB_E_USAGE, "more than %d CIDs", RPCD_CID_MAX);
	if (strcmp(text, "any") != 0) {
		int r = gb_parse_number(text, "CID", 0, (long long)VMADDR_CID_ANY - 1, &cid, err);
		if (r < 0)
			return r;
	}
	rpcd->cids[rpcd->cids_len++] = (uint32_t)cid;
	return 0;
}

static int add_root(struct rpcd *rpcd, const char *path, struct gb_err *err)
{
	if (rpcd->roots_len == RPCD_ROOT_MAX)
		return gb_err_set(err, GB_E_USAGE, "more than %d folders to read from", RPCD_ROOT_MAX);
	if (path[0] != '/')
		return gb_err_set(err, GB_E_USAGE, "--mmap-root %s: not an absolute path", path);
	rpcd->roots[rpcd->roots_len++] = path;
	return 0;
}

static int notify_fd(struct rpcd *rpcd, const char *text, struct gb_err *err)
{
	long long fd;
	int r = gb_parse_number(text, "descriptor", 0, 1 << 20, &fd, err);

	if (r < 0)
		return r;
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return gb_err_sys(err, errno, "--notify-fd %s", text);
	rpcd->notify_fd = (int)fd;
	return 0;
}

/* A policy that cannot be read or understood is no reason to do everything: the daemon does not start. */
static int load_policy(struct rpcd *rpcd, const char *option, struct gb_err *err)
{
	static const struct gb_setting setting = { .environment = { "GUESTBOX_POLICY" }, .cmdline = { "guestbox.policy" } };
	gb_autobuf struct gb_buf text = { 0 };
	char *path = rpcd->policy_file;
	size_t size = sizeof rpcd->policy_file;
	const char *origin = "--policy";

	if (option && strlcpy(path, option, size) >= size)
		return gb_err_set(err, GB_E_USAGE, "--policy: the path is too long");
	int said = option ? 0 : gb_setting_get(&setting, path, size, &origin);
	if (said < 0 && said != -ENOENT)
		return gb_err_sys(err, -said, "policy: %s", origin);
	if (said < 0)
		(void)strlcpy(path, "/etc/guestbox/vsock-rpcd.policy", size);
	int r = gb_io_slurp(AT_FDCWD, path, POLICY_SIZE, &text);
	if (r == -ENOENT && said < 0)
		return 0;
	if (r < 0)
		return gb_err_sys(err, -r, "policy %s", path);
	r = gb_policy_parse(gb_buf_text(&text), text.len, path, &rpcd->policy, err);
	return r < 0 ? gb_err_wrap(err, "policy") : 0;
}

static int parse(struct rpcd *rpcd, struct gb_cmd *cmd, const char **log, struct gb_err *err)
{
	struct gb_optscan scan;
	long long n = CONNECTIONS, proxied = PROXIED;
	const char *policy = NULL;
	int key, r = 0;

	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, 0);
	while (r == 0 && (key = gb_opt_next(&scan, err)) != 0) {
		switch (key) {
		case OPT_LISTEN: r = add_listener(rpcd, scan.arg, err); break;
		case OPT_CID: r = add_cid(rpcd, scan.arg, err); break;
		case OPT_NOTIFY: r = notify_fd(rpcd, scan.arg, err); break;
		case OPT_MAX: r = gb_parse_number(scan.arg, "number of connections", 1, CONNECTIONS_MAX, &n, err); break;
		case OPT_IDLE: r = gb_parse_seconds(scan.arg, "idle timeout", DAY_MS, &rpcd->idle_ms, err); break;
		case OPT_FRAME: r = gb_parse_seconds(scan.arg, "frame timeout", DAY_MS, &rpcd->frame_ms, err); break;
		case OPT_PROXY: r = rpcd_proxy_add(rpcd, scan.arg, err); break;
		case OPT_PROXY_MAX:
			r = gb_parse_number(scan.arg, "number of proxied connections", 1, CONNECTIONS_MAX, &proxied, err);
			break;
		case OPT_PROXY_WAIT:
			r = gb_parse_seconds(scan.arg, "wait for a proxy's target", DAY_MS, &rpcd->proxy_wait, err);
			break;
		case OPT_RESTART: r = gb_respawn_parse(scan.arg, &rpcd->restart, err); break;
		case OPT_LOG_SIZE: r = gb_parse_size(scan.arg, "log size", &rpcd->log_max, err); break;
		case OPT_TRIM: r = gb_parse_seconds(scan.arg, "trim interval", DAY_MS, &rpcd->trim_ms, err); break;
		case OPT_LOG: *log = scan.arg; break;
		case OPT_POLICY: policy = scan.arg; break;
		case OPT_RUNTIME: rpcd->runtime_dir = scan.arg; break;
		case OPT_SANDBOX:
			rpcd->sandbox_dir = scan.arg;
			if (scan.arg[0] != '/' || strlen(scan.arg) > 200)
				r = gb_err_set(err, GB_E_USAGE, "--sandbox-dir %s: not an absolute path of at most 200 bytes", scan.arg);
			break;
		case OPT_ROOT: r = add_root(rpcd, scan.arg, err); break;
		default: return key;
		}
	}
	if (r == 0)
		r = gb_opt_operands(&scan, 0, 0, NULL, err);
	rpcd->conns_max = (unsigned)n;
	rpcd->sessions_max = (unsigned)proxied;
	bool rpc = false;
	for (int i = 0; i < rpcd->listeners_len; i++)
		rpc |= !rpcd->listeners[i].proxy;
	if (r == 0 && !rpc)
		r = add_listener(rpcd, "vsock:1024", err);
	if (r == 0)
		r = rpcd_proxy_defaults(rpcd, err);
	if (r == 0)
		r = load_policy(rpcd, policy, err);
	if (rpcd->cids_len == 0)
		rpcd->cids[rpcd->cids_len++] = VMADDR_CID_HOST;
	if (rpcd->roots_len == 0) {
		for (size_t i = 0; i < GB_ARRAY_LEN(shares); i++)
			rpcd->roots[rpcd->roots_len++] = shares[i];
	}
	return r;
}

static void on_signal(struct gb_loop *loop, int signo)
{
	struct rpcd *rpcd = (struct rpcd *)((char *)loop - offsetof(struct rpcd, loop));

	if (rpcd->stopping)
		return;
	gb_log(GB_LOG_INFO, "%s: finishing", strsignal(signo));
	rpcd_helper_finish(rpcd);
}

/* Descriptors for as many connections as are allowed; with fewer, accept(2) pauses when they have run out. */
static void raise_nofile(const struct rpcd *rpcd)
{
	struct rlimit limit;
	rlim_t want = rpcd->conns_max + SPARE_FDS;

	for (int i = 0; i < rpcd->listeners_len; i++) {
		if (rpcd->listeners[i].proxy) {
			want += 2 * rpcd->sessions_max + 2 * GB_RELAY_PIPES;
			break;
		}
	}

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
		return;
	/* The kernel's own hard limit for PID 1 is 4096 (INR_OPEN_MAX); CAP_SYS_RESOURCE may raise it (setrlimit(2)). */
	struct rlimit more = { want, limit.rlim_max > want ? limit.rlim_max : want };
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < want)
		gb_log(GB_LOG_WARNING, "descriptors for all connections (%llu): the limit is %llu",
		       (unsigned long long)want, (unsigned long long)limit.rlim_cur);
}

/* A file of our own is kept within its bounds (rpcd_helper_run); a FIFO or a device is its reader's matter. */
static int own_log(struct rpcd *rpcd, const char *target, struct gb_err *err)
{
	struct stat st;

	if (strncmp(target, "json:", 5) != 0 || fstat(gb_log_fd(), &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (strlen(target + 5) >= sizeof rpcd->log.path)
		return gb_err_set(err, GB_E_USAGE, "--log: the path is longer than %zu bytes", sizeof rpcd->log.path - 1);
	gb_logfile_init(&rpcd->log, target + 5, rpcd->log_max, GB_LOGFILE_KEEP);
	return 0;
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	static struct rpcd rpcd;
	const char *log = "stderr";
	sigset_t set;

	rpcd.begun = gb_mono_ns();
	rpcd.notify_fd = -1;
	rpcd.runtime_dir = "/arcbox/runtime/bin";
	rpcd.host.loop = &rpcd.loop;
	rpcd.idle_ms = IDLE_MS;
	rpcd.frame_ms = FRAME_MS;
	rpcd.uid = geteuid();
	rpcd.proxy_wait = PROXY_WAIT_MS;
	rpcd.trim_ms = TRIM_MS;
	rpcd.restart = (struct gb_respawn){ .count = GB_RESPAWN_COUNT, .seconds = GB_RESPAWN_SECONDS };
	rpcd.log_max = LOG_SIZE;
	TAILQ_INIT(&rpcd.conns);
	int r = parse(&rpcd, cmd, &log, err);
	if (r < 0)
		return r;
	gb_pb_start();
	r = gb_log_open(log, err);
	if (r == 0)
		r = own_log(&rpcd, log, err);
	if (r < 0)
		return r;
	raise_nofile(&rpcd);
	r = gb_loop_open(&rpcd.loop);
	if (r < 0)
		return gb_err_sys(err, -r, "epoll");
	r = gb_loop_pool_open(&rpcd.pool, &rpcd.loop, THREADS);
	if (r < 0)
		return gb_err_sys(err, -r, "eventfd");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	r = gb_loop_signals(&rpcd.loop, &set, on_signal);
	if (r < 0)
		r = gb_err_sys(err, -r, "signalfd");
	if (r == 0)
		r = rpcd_listen(&rpcd, err);
	if (r == 0)
		r = rpcd_helper_run(&rpcd, err);
	rpcd_unlisten(&rpcd);
	gb_loop_close(&rpcd.loop);
	return r;
}

const struct gb_applet gb_applet_vsock_rpcd = {
	.name = "vsock-rpcd",
	.summary = "answer the host's requests from inside the guest",
	.synopsis = "[--listen ADDRESS]... [--proxy FROM=TO]... [--allow-cid CID]... [--log TARGET] [OPTION]...",
	.opts = opts,
	.run = run,
};
