/* SPDX-License-Identifier: MIT */
/* Asking for a power-off. */
#include "common/power/request.h"

#include <bsd/stdlib.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"

#define LATCH "/run/guestbox/power.lock"

enum gb_power_init gb_power_init_of(const char *comm, const char *exe)
{
	const char *base = strrchr(exe, '/');

	base = base ? base + 1 : exe;
	if (strcmp(comm, "guest-init") == 0)
		return GB_POWER_INIT_GUEST;
	if (strcmp(comm, "systemd") == 0)
		return GB_POWER_INIT_SYSTEMD;
	/* A shell script as PID 1 has busybox's program file too, but the script's name or the shell's. */
	if (strcmp(base, "busybox") == 0 && (strcmp(comm, "init") == 0 || strcmp(comm, "linuxrc") == 0))
		return GB_POWER_INIT_BUSYBOX;
	return GB_POWER_INIT_NONE;
}

int gb_power_signal(enum gb_power_init init, enum gb_power_action action)
{
	switch (init) {
	case GB_POWER_INIT_SYSTEMD: {
		static const int offset[] = { 4, 5, 3, 6 };
		return SIGRTMIN + offset[action];
	}
	case GB_POWER_INIT_GUEST:
	case GB_POWER_INIT_BUSYBOX: {
		static const int signals[] = { SIGUSR2, SIGTERM, SIGUSR1, 0 };
		if (action == GB_POWER_KEXEC)
			return init == GB_POWER_INIT_GUEST ? SIGUSR2 : 0; /* the value says what it is */
		return signals[action];
	}
	default:
		return 0;
	}
}

enum { PACK_SHIFT = 20, PACK_MARK = 0x5 << 24 };
_Static_assert(GB_POWER_GRACE_MAX < 1 << PACK_SHIFT, "grace and action fit into one int");

int gb_power_pack(enum gb_power_action action, unsigned grace_ms)
{
	if (grace_ms > GB_POWER_GRACE_MAX)
		grace_ms = GB_POWER_GRACE_MAX;
	return PACK_MARK | (int)action << PACK_SHIFT | (int)grace_ms;
}

int gb_power_unpack(int value, enum gb_power_action *ret_action, unsigned *ret_grace_ms)
{
	int action = (value & ~PACK_MARK) >> PACK_SHIFT;

	if (value < 0 || (value >> 24) != PACK_MARK >> 24 || action > GB_POWER_KEXEC)
		return -EINVAL;
	*ret_action = (enum gb_power_action)action;
	*ret_grace_ms = (unsigned)value & ((1u << PACK_SHIFT) - 1);
	return 0;
}

int gb_power_allowed(enum gb_power_action action, struct gb_err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return gb_err_sys(err, errno, "capget");
	if (!(data[CAP_TO_INDEX(CAP_SYS_BOOT)].effective & CAP_TO_MASK(CAP_SYS_BOOT)))
		return gb_err_sys(err, EPERM, "%s", gb_power_action_name(action));
	if (action == GB_POWER_KEXEC) {
		char loaded[16];
		if (gb_io_line(AT_FDCWD, "/sys/kernel/kexec_loaded", loaded, sizeof loaded) < 0 || loaded[0] != '1')
			return gb_err_set(err, GB_E_REFUSED, "kexec: no kernel is loaded");
	}
	return 0;
}

int gb_power_latch(struct gb_err *err)
{
	struct stat st;

	(void)mkdir("/run/guestbox", 0755);
	gb_autoclose int fd = open(LATCH, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", LATCH);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return gb_err_set(err, EINVAL, "%s: not a regular file", LATCH);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		char who[64] = "";
		ssize_t n = errno == EWOULDBLOCK ? read(fd, who, sizeof who - 1) : -1;

		if (n < 0)
			return gb_err_sys(err, errno, "%s", LATCH);
		who[strcspn(who, "\n")] = '\0';
		return gb_err_set(err, EALREADY, "power-off: already under way%s%s", who[0] ? ", by " : "", who);
	}
	/* Only for the message above: a full file system loses nothing but that. */
	char text[64];
	int n = snprintf(text, sizeof text, "PID %d\n", (int)getpid());
	if (ftruncate(fd, 0) == 0)
		(void)gb_io_write(fd, text, (size_t)n);
	return gb_take_fd(&fd);
}

bool gb_power_pending(void)
{
	gb_autoclose int fd = open(LATCH, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Closes all from 3 on but two. */
static void close_others(int keep, int keep2)
{
	int low = keep < keep2 ? keep : keep2, high = keep < keep2 ? keep2 : keep;
	unsigned from = 3;

	for (int i = 0; i < 2; i++) {
		int fd = i == 0 ? low : high;
		if (fd < (int)from)
			continue;
		if (fd > (int)from)
			(void)close_range(from, (unsigned)fd - 1, 0);
		from = (unsigned)fd + 1;
	}
	(void)close_range(from, ~0u, 0);
}

void gb_power_detach(int keep, int keep2, bool own_session)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM,
				       SIGTSTP, SIGTTIN, SIGTTOU };
	bool machine = gb_proc_is_machine();
	sigset_t none;

	if (own_session)
		(void)setsid();
	for (size_t i = 0; i < GB_ARRAY_LEN(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL); /* workers are waited for */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_NAME, "guest-poweroff");
	(void)gb_io_put(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
	if (chdir("/") < 0)
		gb_log(GB_LOG_DEBUG, "/: %s", strerror(errno)); /* a root that is gone holds nothing either */
	/* A file that we hold open would keep its file system busy. First the log lets go of its own. */
	(void)gb_log_open("stderr", NULL);
	close_others(keep, keep2);
	int dev_null = own_session ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
	for (int fd = 0; dev_null >= 0 && fd <= 2; fd++) {
		if (fd != keep && fd != keep2 && (fd != 2 || machine))
			(void)dup2(dev_null, fd);
	}
	if (dev_null > 2)
		(void)close(dev_null);
	if (machine)
		(void)gb_log_open("kmsg", NULL);
}

static enum gb_power_init who_is_init(void)
{
	char comm[64] = "", exe[512] = "";

	if (getpid() == 1)
		return GB_POWER_INIT_NONE;
	(void)gb_io_line(AT_FDCWD, "/proc/1/comm", comm, sizeof comm); /* "": nobody that is known */
	ssize_t n = readlink("/proc/1/exe", exe, sizeof exe - 1);
	if (n < 0)
		exe[0] = '\0';
	return gb_power_init_of(comm, exe);
}

/* In a child of its own: the sequence, to its end. */
static void sequence(enum gb_power_action action, unsigned grace_ms, int latch)
{
	struct gb_power_report report = { 0 };
	struct gb_power_opts opts = { .action = action, .grace_ms = grace_ms, .storage = gb_proc_is_machine(), .json_fd = -1 };
	struct gb_err err = { 0 };

	setprogname("guest-poweroff");
	gb_power_detach(latch, -1, true);
	if (gb_power_run(&opts, &gb_power_ops, &report, &err) < 0)
		gb_log(GB_LOG_ERR, "%s", err.msg);
	_exit(1);
}

/* A foreign init was asked. Should the guest still be there after the time it was given, do it ourselves. */
static void second_line(enum gb_power_action action, unsigned grace_ms, int latch)
{
	unsigned deadline = gb_power_times(grace_ms).deadline;

	gb_power_detach(latch, -1, true);
	(void)signal(SIGTERM, SIG_DFL); /* it ends us with all the others: then it is at work */
	(void)poll(NULL, 0, (int)(deadline - GB_POWER_GRACE_MIN));
	/* Little time is left, and processes may take all of it: the kernel writes meanwhile, in a thread of its own
	 * (emergency_sync() in fs/sync.c). */
	if (gb_proc_is_machine())
		(void)gb_io_put(AT_FDCWD, "/proc/sysrq-trigger", "s");
	sequence(action, GB_POWER_GRACE_MIN, latch);
}

pid_t gb_power_begin(enum gb_power_action action, unsigned grace_ms, struct gb_err *err)
{
	gb_autoclose int latch = gb_power_latch(err);

	if (latch == -EALREADY)
		return -EALREADY;
	pid_t pid = fork();
	if (pid < 0)
		return gb_err_sys(err, errno, "power-off: fork");
	if (pid == 0)
		sequence(action, grace_ms, latch);
	return pid;
}

int gb_power_request(enum gb_power_action action, unsigned grace_ms, struct gb_err *err)
{
	enum gb_power_init init = who_is_init();
	int sig = gb_power_signal(init, action);
	int r = gb_power_allowed(action, err);

	if (r < 0)
		return r;
	if (init == GB_POWER_INIT_GUEST) {
		/* The latch is PID 1's to take, for whoever asks. */
		if (gb_power_pending())
			return GB_POWER_JOINED;
		if (sigqueue(1, sig, (union sigval){ .sival_int = gb_power_pack(action, grace_ms) }) < 0)
			return gb_err_sys(err, errno, "PID 1 (guest-init): signal %d", sig);
		return GB_POWER_BEGUN;
	}
	gb_autoclose int latch = gb_power_latch(err);
	if (latch == -EALREADY)
		return GB_POWER_JOINED;
	pid_t pid = fork();
	if (pid < 0)
		return gb_err_sys(err, errno, "power-off: fork");
	if (pid == 0) {
		if (sig)
			second_line(action, grace_ms, latch);
		else
			sequence(action, grace_ms, latch);
	}
	if (sig && kill(1, sig) < 0) {
		int saved = errno;
		(void)kill(pid, SIGKILL);
		return gb_err_sys(err, saved, "PID 1: signal %d", sig);
	}
	if (err)
		err->code = 0; /* no latch is no failure */
	return GB_POWER_BEGUN;
}
