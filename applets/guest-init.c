/* SPDX-License-Identifier: MIT */
/* guest-init: PID 1. Reaps, keeps one command running, forwards signals, ends the machine in order. */
#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/applet.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/btrfs/bootstrap.h"
#include "common/mount/pseudo.h"
#include "common/net/virtio.h"
#include "common/power/request.h"
#include "common/power/run.h"
#include "common/sys/proc.h"
#include "common/sys/respawn.h"
#include "common/sys/setting.h"

enum { OPT_RESPAWN = GB_OPT_LONG };

static const struct gb_opt opts[] = {
	GB_OPT(OPT_RESPAWN, "respawn", "[N/S]", "start COMMAND again when it ends, at most N times in S seconds [5/60]"),
	{ 0 },
};

/* All of PID 1's state: nothing is allocated once it runs. */
static struct {
	char **argv;
	const char *file;  /* what is executed for argv[0]; NULL: found in PATH */
	bool respawn;
	struct gb_respawn limit;
	bool is_init;      /* PID 1: the signals of power are ours */
	bool is_machine;   /* and it is the machine's */
	int stderr_of_command;
	char oom_score[16]; /* what the command gets back */
	int signals;       /* signalfd(2) */

	pid_t command;     /* 0: not running */
	int status;        /* of the last run, as wait(2) gives it */
	uint64_t begun;    /* µs */
	uint64_t start_at; /* µs; 0: no start is due */

	pid_t sequence;    /* the power-off's process; 0: none */
	bool ending;
	enum gb_power_action action;
	uint64_t give_up_at;
} init;

/* ---- the command ---- */

/* In the child: exec, or an exit status as a shell's. */
static void become_command(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* fails for those that cannot be caught */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (init.oom_score[0])
		(void)gb_io_put(AT_FDCWD, "/proc/self/oom_score_adj", init.oom_score);
	if (init.stderr_of_command >= 0)
		(void)dup2(init.stderr_of_command, STDERR_FILENO);
	if (init.is_machine) {
		/* A session of its own, and the console's ^C, where there is one. */
		(void)setsid();
		if (isatty(STDIN_FILENO))
			(void)ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	} else if (init.is_init) {
		/* A container's terminal belongs to the session that PID 1 was put into. */
		(void)setpgid(0, 0);
		(void)signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpgrp());
		(void)signal(SIGTTOU, SIG_DFL);
	}
	if (init.file)
		(void)execv(init.file, init.argv);
	else
		(void)execvp(init.argv[0], init.argv);
	int saved = errno;
	gb_log(GB_LOG_ERR, "%s: %s", init.argv[0], strerror(saved));
	_exit(saved == ENOENT ? 127 : 126);
}

static void start_command(void)
{
	init.start_at = 0;
	init.begun = gb_mono_us();
	pid_t pid = fork();
	if (pid == 0)
		become_command();
	if (pid > 0) {
		init.command = pid;
		return;
	}
	/* Out of memory or of process numbers: it passes. This is not the command's fault and counts for no restart. */
	gb_log(GB_LOG_ERR, "%s: fork: %s; again in a second", init.argv[0], strerror(errno));
	init.start_at = gb_mono_us() + GB_RESPAWN_PAUSE;
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Whether PID 1 has anything to stay for when its command is over: the machine needs a PID 1 as long as it is on. */
static bool stays(void)
{
	return init.is_machine || init.ending;
}

/* Returns false when guest-init is to end, too. */
static bool command_ended(int status)
{
	char how[64];

	init.command = 0;
	init.status = status;
	if (WIFSIGNALED(status))
		(void)snprintf(how, sizeof how, "ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		(void)snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(status));
	if (init.ending)
		return true;
	if (init.respawn) {
		int64_t at = gb_respawn_next(&init.limit, init.begun, gb_mono_us());
		if (at >= 0) {
			init.start_at = (uint64_t)at;
			gb_log(GB_LOG_ERR, "%s: %s, starting it again", init.argv[0], how);
			return true;
		}
		gb_log(GB_LOG_ERR, "%s: %s, %u restarts within %u s: not started again", init.argv[0], how,
		       init.limit.count, init.limit.seconds);
	} else if (init.is_machine) {
		gb_log(GB_LOG_WARNING, "%s: %s", init.argv[0], how);
	}
	return stays();
}

/* Collects whoever has ended, ours or not. Returns false when guest-init is to end. */
static bool reap(void)
{
	bool go_on = true;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == init.command)
			go_on = command_ended(status) && go_on;
		else if (pid == init.sequence)
			init.sequence = 0;
	}
	return go_on;
}

/* ---- power ---- */

/* The sequence could not be had, or has not done it: by the shortest way. */
static void force_end(void)
{
	gb_power_ops.emergency();
	int r = gb_power_ops.go(init.action);
	gb_log(GB_LOG_ERR, "%s: %s", gb_power_action_name(init.action), strerror(-r));
}

static void begin_end(enum gb_power_action action, unsigned grace_ms)
{
	struct gb_err err = { 0 };

	if (init.ending) {
		gb_log(GB_LOG_WARNING, "%s: power-off: already under way", gb_power_action_name(action));
		return;
	}
	init.ending = true;
	init.action = action;
	init.start_at = 0;
	init.give_up_at = gb_mono_us() + ((uint64_t)gb_power_times(grace_ms).deadline + 1000) * 1000;
	pid_t pid = gb_power_begin(action, grace_ms, &err);
	if (pid == -EALREADY) {
		/* Somebody's guest-poweroff --force: it ends the machine, and we are its second line. */
		gb_log(GB_LOG_WARNING, "%s", err.msg);
	} else if (pid < 0) {
		/* No memory, no process numbers: room first. */
		gb_log(GB_LOG_ERR, "%s; killing all processes", err.msg);
		(void)kill(-1, SIGKILL);
		for (int i = 0; i < 100 && pid < 0; i++) {
			(void)poll(NULL, 0, 20);
			(void)reap();
			pid = gb_power_begin(action, grace_ms, &err);
		}
		if (pid < 0)
			force_end();
	}
	init.sequence = pid > 0 ? pid : 0;
}

/* Returns false when guest-init is to end. */
static bool watch_end(void)
{
	uint64_t now = gb_mono_us();

	if (!init.ending || (init.sequence && now < init.give_up_at))
		return true;
	if (!init.sequence && gb_power_pending() && now < init.give_up_at)
		return true; /* another's sequence */
	if (!init.is_machine)
		return false; /* a container without the right to reboot(2): PID 1's end is the container's */
	gb_log(GB_LOG_ERR, "%s: the sequence %s: ending at once", gb_power_action_name(init.action),
	       init.sequence ? "hangs" : "failed");
	force_end();
	init.give_up_at = now + 1000000; /* and again, for as long as it takes */
	return true;
}

/* ---- signals ---- */

static void on_signal(const struct signalfd_siginfo *info)
{
	enum gb_power_action action;
	unsigned grace = 0;
	int sig = (int)info->ssi_signo;

	if (sig == SIGCHLD)
		return;
	/* Only the ones of cli.md are ours, and only as PID 1. */
	if (init.is_init && (sig == SIGUSR1 || sig == SIGUSR2 || sig == SIGTERM || sig == SIGINT)) {
		action = sig == SIGUSR1 ? GB_POWER_HALT : sig == SIGUSR2 ? GB_POWER_OFF : GB_POWER_REBOOT;
		if (info->ssi_code == SI_QUEUE)
			(void)gb_power_unpack(info->ssi_int, &action, &grace);
		begin_end(action, grace);
	} else if (init.command && (init.is_init || info->ssi_code != SI_KERNEL)) {
		/* What the terminal sends to a whole process group has reached the command, unless it has its own. */
		(void)kill(init.command, sig);
	}
}

/* Returns false when guest-init is to end. */
static bool take_signals(void)
{
	struct signalfd_siginfo infos[16];
	ssize_t n = read(init.signals, infos, sizeof infos);

	for (ssize_t i = 0; i < n / (ssize_t)sizeof infos[0]; i++)
		on_signal(&infos[i]);
	return reap();
}

/* Which signals are read instead of delivered: all but those of faults, and of a terminal that we never touch. */
static int open_signals(struct gb_err *err)
{
	static const int not_ours[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU, SIGPIPE };
	sigset_t set;

	(void)sigfillset(&set);
	for (size_t i = 0; i < GB_ARRAY_LEN(not_ours); i++)
		(void)sigdelset(&set, not_ours[i]);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return gb_err_sys(err, errno, "signals");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTTIN, SIG_IGN);
	(void)signal(SIGTTOU, SIG_IGN);
	init.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return init.signals < 0 ? gb_err_sys(err, errno, "signalfd") : 0;
}

/* ---- start ---- */

/* A log that can never hold us up: the kernel's, or a non-blocking stderr of our own that the command does not share. */
static void open_log(void)
{
	init.stderr_of_command = -1;
	if (init.is_machine && gb_log_open("kmsg", NULL) == 0)
		return;
	gb_autoclose int fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int kept = fd >= 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) : -1;

	if (kept >= 0 && dup2(fd, STDERR_FILENO) >= 0)
		init.stderr_of_command = kept;
}

static void protect(void)
{
	gb_autobuf struct gb_buf buf = { 0 };

	if (gb_io_slurp(AT_FDCWD, "/proc/self/oom_score_adj", 64, &buf) == 0 && buf.len < sizeof init.oom_score)
		memcpy(init.oom_score, buf.data, buf.len + 1);
	/* PID 1 of a machine is spared anyway; one of a container, or a subreaper, needs the right to it. */
	if (gb_io_put(AT_FDCWD, "/proc/self/oom_score_adj", "-1000") < 0)
		init.oom_score[0] = '\0';
	(void)prctl(PR_SET_NAME, "guest-init");
	if (!init.is_init)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (init.is_machine) {
		(void)reboot(RB_DISABLE_CAD); /* ctrl-alt-del: SIGINT to us */
		if (chdir("/") < 0)
			gb_log(GB_LOG_DEBUG, "/: %s", strerror(errno));
	}
}

static int timeout_ms(void)
{
	uint64_t now = gb_mono_us(), at = init.start_at;

	if (init.ending && (!at || init.give_up_at < at))
		at = init.give_up_at;
	if (init.ending && !init.sequence)
		return 100; /* another's sequence is only to be seen by its latch */
	if (!at)
		return -1;
	return at <= now ? 0 : at - now > 3600000000u ? 3600000 : (int)((at - now) / 1000) + 1;
}

/* From a command to the end: init.argv is set. */
static int keep_running(struct gb_err *err)
{
	int r;

	init.is_init = getpid() == 1;
	init.is_machine = init.is_init && gb_proc_is_machine();
	setprogname("guest-init");
	r = open_signals(err);
	if (r < 0)
		return r;
	open_log();
	protect();
	start_command();
	for (;;) {
		struct pollfd fd = { .fd = init.signals, .events = POLLIN };

		(void)poll(&fd, 1, timeout_ms());
		if (!take_signals() || !watch_end())
			break;
		if (init.start_at && gb_mono_us() >= init.start_at)
			start_command();
	}
	return exit_status(init.status);
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct gb_optscan scan;
	int key, r;

	init.limit = (struct gb_respawn){ .count = GB_RESPAWN_COUNT, .seconds = GB_RESPAWN_SECONDS };
	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, GB_OPT_STOP);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		init.respawn = true;
		r = scan.arg ? gb_respawn_parse(scan.arg, &init.limit, err) : 0;
		if (r < 0)
			return r;
	}
	if (key < 0)
		return key;
	r = gb_opt_operands(&scan, 1, -1, "command", err);
	if (r < 0)
		return r;
	init.argv = scan.argv + scan.index;
	return keep_running(err);
}

/* ---- init.krun: PID 1 of a share that has no init of its own ---- */

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A line of the boot, as init/init writes them: boot-timeline(1) reads both. */
static void say(const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	gb_autobuf struct gb_buf text = { 0 };
	if (gb_buf_fmt(&text, "<4>guestbox: %s\n", line) == 0)
		(void)gb_io_put(AT_FDCWD, "/dev/kmsg", gb_buf_text(&text));
}

static void say_pseudo(const char *text)
{
	say("pseudo-file-systems: %s", text);
}

/* On a read-only root a folder that is missing cannot be made, and that is said. */
static void pseudo_file_systems(void)
{
	int failed = gb_mount_pseudo("", say_pseudo);

	if (failed)
		say("step pseudo-file-systems: failed: %d of them", failed);
	else
		say("step pseudo-file-systems: done");
	/* More than ten lines in five seconds are ours to write. */
	(void)gb_io_put(AT_FDCWD, "/proc/sys/kernel/printk_devkmsg", "on\n");
}

/* Runs an applet of ours to its end: its exit status, or -errno. What it prints goes to the console. */
static int run_applet(const char *name)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/proc/self/exe", name, (char *)NULL);
		_exit(126);
	}
	if (pid < 0)
		return -errno;
	int r = gb_io_wait(pid, &status);
	return r < 0 ? r : exit_status(status);
}

/* Whether there is a data disk to set up: one is named, or the one that btrfs-bootstrap(8) takes by itself is there. */
static bool has_disk(void)
{
	static const struct gb_setting named = GB_BOOT_SETTING;
	static const char *const usual[] = { GB_BOOT_DEVICES };
	char value[256];
	int r = gb_setting_get(&named, value, sizeof value, NULL);

	for (size_t i = 0; r == -ENOENT && i < GB_ARRAY_LEN(usual); i++) {
		if (access(usual[i], F_OK) == 0)
			return true;
	}
	return r != -ENOENT && (r < 0 || strcmp(value, "none") != 0); /* btrfs-bootstrap(8) tells what is wrong with it */
}

#define RPC_PORT "org.guestbox.rpc.0"

static bool has_port(void)
{
	char device[NAME_MAX + 1];

	return gb_virtio_find(GB_VIRTIO_PORTS, RPC_PORT, device, sizeof device) == 0;
}

/* A child that waits for the daemon's word, so that PID 1 does not, and says that the boot is over. */
static void await_daemon(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fork() != 0)
		return; /* PID 1 reaps it; without memory for it a line is missing, nothing else */
	if (poll(&p, 1, 10000) > 0) {
		say("step daemon: done");
		say("ready");
	} else {
		say("step daemon: failed: vsock-rpcd did not listen within 10 s");
		say("ready, degraded: failed: daemon");
	}
	_exit(0);
}

/* What init/init does, from inside: for a share without an init, and without a shell. An /init of the share's own is
 * kept running instead, and finds the machine as the kernel left it. */
static int run_krun(struct gb_cmd *cmd, struct gb_err *err)
{
	static char rpcd[] = "vsock-rpcd", listen_flag[] = "--listen", vsock[] = "vsock:1024",
		    port[] = "virtio:" RPC_PORT, log_flag[] = "--log", kmsg[] = "kmsg", notify[] = "--notify-fd",
		    own_init[] = "/init", number[16];
	static char *argv[16];
	int n = 0, ready[2];

	if (getpid() != 1) {
		struct gb_optscan scan;
		gb_opt_start(&scan, NULL, cmd->argc, cmd->argv, GB_OPT_STOP);
		int key = gb_opt_next(&scan, err);
		return key < 0 ? key : gb_err_set(err, GB_E_USAGE, "init.krun: only as PID 1");
	}
	init.limit = (struct gb_respawn){ .count = GB_RESPAWN_COUNT, .seconds = GB_RESPAWN_SECONDS };
	if (access(own_init, X_OK) == 0) {
		cmd->argv[0] = own_init;
		init.argv = cmd->argv;
		return keep_running(err);
	}
	pseudo_file_systems();
	if (has_disk()) {
		int r = run_applet("btrfs-bootstrap");
		if (r == 0)
			say("step data-disk: done");
		else
			say("step data-disk: failed with status %d", r);
	}
	if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) < 0)
		return gb_err_sys(err, errno, "pipe");
	/* The read end stays open in PID 1: a daemon that is started again may write, too. */
	if (fcntl(ready[1], F_SETFD, 0) < 0)
		return gb_err_sys(err, errno, "pipe");
	(void)snprintf(number, sizeof number, "%d", ready[1]);
	argv[n++] = rpcd;
	argv[n++] = listen_flag;
	argv[n++] = vsock;
	if (has_port()) {
		argv[n++] = listen_flag;
		argv[n++] = port;
	}
	argv[n++] = log_flag;
	argv[n++] = kmsg;
	argv[n++] = notify;
	argv[n++] = number;
	init.argv = argv;
	init.file = "/proc/self/exe";
	init.respawn = true;
	await_daemon(ready[0]);
	return keep_running(err);
}

static const struct gb_verb aliases[] = {
	{ "init", "[--respawn[=N/S]] [--] COMMAND [ARG...]", "run as PID 1", opts, run, NULL },
	{ "init.krun", "[ARG...]", "PID 1 of a share that has no init", NULL, run_krun, NULL },
	{ 0 },
};

const struct gb_applet gb_applet_guest_init = {
	.name = "guest-init",
	.summary = "PID 1: reaps, keeps a command running, ends the machine in order",
	.synopsis = "[--respawn[=N/S]] [--] COMMAND [ARG...]",
	.opts = opts,
	.aliases = aliases,
	.run = run,
};
