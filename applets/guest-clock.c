/* SPDX-License-Identifier: MIT */
/* guest-clock: brings the clock to the host's, at once or whenever the machine was paused or restored. */
#include <bsd/string.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "applets/applet.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/parse.h"
#include "common/sys/clock.h"

enum { OPT_DEVICE = GB_OPT_LONG, OPT_WATCH, OPT_INTERVAL, OPT_JUMP, OPT_DRY_RUN, OPT_LOG };

static const struct gb_opt opts[] = {
	GB_OPT(OPT_DEVICE, "device", "FILE", "a PTP or real-time clock [the hypervisor's /dev/ptpN, else /dev/rtc0]"),
	GB_OPT('w', "watch", "", "stay, and look again and again"),
	GB_OPT(OPT_INTERVAL, "interval", "S", "how often [5]"),
	GB_OPT(OPT_JUMP, "on-jump", "COMMAND", "run by sh after each jump of the clock, however it came"),
	GB_OPT(OPT_DRY_RUN, "dry-run", "", "tell the difference, do not set the clock"),
	GB_OPT(OPT_LOG, "log", "TARGET", "stderr, kmsg or json:PATH [stderr]"),
	{ 0 },
};

enum { INTERVAL_MS = 5000, DAY_MS = 86400000 };
#define SECOND INT64_C(1000000000)

struct watch {
	struct gb_clock clock;
	int64_t threshold;
	int64_t base;     /* what the difference was when nothing had happened: a real-time clock may show any time zone */
	uint64_t interval_ms;
	const char *on_jump;
	bool dry_run;
};

static double seconds(int64_t ns)
{
	return (double)ns / 1e9;
}

static int64_t now_of(clockid_t id)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec;
}

/* Looks once: 1 the clock was set, 0 it is right (or stays as it is), -errno. */
static int look(const struct watch *watch, struct gb_err *err)
{
	int64_t ahead;
	int r = gb_clock_compare(&watch->clock, false, &ahead);

	/* A clock of whole seconds is up to one behind: before it is believed to be off, it is looked at closely. */
	if (r == 0 && gb_clock_judge(now_of(CLOCK_REALTIME), ahead - watch->base, watch->threshold) > 0)
		r = gb_clock_compare(&watch->clock, true, &ahead);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", watch->clock.path);
	ahead -= watch->base;
	switch (gb_clock_judge(now_of(CLOCK_REALTIME), ahead, watch->threshold)) {
	case 0:
		gb_log(GB_LOG_DEBUG, "%s: %+.3f s: right", watch->clock.path, seconds(ahead));
		return 0;
	case -1:
		return gb_err_set(err, ERANGE, "%s: %+.0f s: that would not be between 2020 and 2100", watch->clock.path, seconds(ahead));
	}
	if (watch->dry_run) {
		printf("%s: %+.3f s\n", watch->clock.path, seconds(ahead));
		return 1;
	}
	r = gb_clock_step(ahead);
	if (r < 0)
		return gb_err_sys(err, -r, "clock");
	gb_log(GB_LOG_WARNING, "clock stepped by %+.3f s, to %s", seconds(ahead), watch->clock.path);
	return 1;
}

static void run_jump(const struct watch *watch, int64_t by)
{
	char text[32];

	if (!watch->on_jump)
		return;
	pid_t pid = fork(); /* SIGCHLD is ignored: nobody is left behind */
	if (pid < 0)
		gb_log(GB_LOG_ERR, "--on-jump: fork: %s", strerror(errno));
	if (pid != 0)
		return;
	(void)signal(SIGCHLD, SIG_DFL);
	(void)snprintf(text, sizeof text, "%.3f", seconds(by));
	(void)setenv("GUESTBOX_JUMP", text, 1);
	(void)alarm(30);
	(void)execlp("sh", "sh", "-c", watch->on_jump, (char *)NULL);
	gb_log(GB_LOG_ERR, "--on-jump: sh: %s", strerror(errno));
	_exit(127);
}

/* Stays. One look each interval, whatever was missed in a pause: nothing comes in a burst. */
static int stay(struct watch *watch, struct gb_err *err)
{
	gb_autoclose int set = gb_clock_watch(); /* a Ping of the host sets it, or we do */
	int64_t offset = now_of(CLOCK_REALTIME) - now_of(CLOCK_BOOTTIME);
	bool told = false;

	if (set < 0)
		return gb_err_sys(err, -set, "timerfd");
	(void)signal(SIGCHLD, SIG_IGN);
	for (;;) {
		struct pollfd fd = { .fd = set, .events = POLLIN };
		struct gb_err one = { 0 };

		if (poll(&fd, 1, (int)watch->interval_ms) < 0 && errno != EINTR)
			return gb_err_sys(err, errno, "poll");
		if (fd.revents && gb_clock_was_set(set)) {
			int64_t now = now_of(CLOCK_REALTIME) - now_of(CLOCK_BOOTTIME), by = now - offset;
			offset = now;
			if (by > -watch->threshold && by < watch->threshold)
				continue;
			gb_log(GB_LOG_WARNING, "the clock jumped by %+.3f s", seconds(by));
			run_jump(watch, by);
			continue;
		}
		int r = look(watch, &one);
		if (r < 0 && !told)
			gb_log(GB_LOG_ERR, "%s", one.msg);
		told = r < 0;
	}
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct watch watch = { .interval_ms = INTERVAL_MS };
	const char *device = NULL, *log = "stderr";
	struct gb_optscan scan;
	bool stays = false, interval = false;
	int key, r = 0;

	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, 0);
	while (r == 0 && (key = gb_opt_next(&scan, err)) != 0) {
		switch (key) {
		case OPT_DEVICE: device = scan.arg; break;
		case 'w': stays = true; break;
		case OPT_INTERVAL: interval = true; r = gb_parse_seconds(scan.arg, "interval", DAY_MS, &watch.interval_ms, err); break;
		case OPT_JUMP: watch.on_jump = scan.arg; break;
		case OPT_DRY_RUN: watch.dry_run = true; break;
		case OPT_LOG: log = scan.arg; break;
		default: return key;
		}
	}
	if (r == 0)
		r = gb_opt_operands(&scan, 0, 0, NULL, err);
	if (r == 0 && !stays && (interval || watch.on_jump))
		r = gb_err_set(err, GB_E_USAGE, "%s goes with --watch", interval ? "--interval" : "--on-jump");
	if (r == 0 && stays && watch.dry_run)
		r = gb_err_set(err, GB_E_USAGE, "--dry-run and --watch do not go together");
	if (r == 0 && watch.interval_ms < 10)
		r = gb_err_set(err, GB_E_USAGE, "interval: 0.01 s at least");
	if (r == 0)
		r = gb_log_open(log, err);
	if (r == 0)
		r = gb_clock_open(&watch.clock, device, err);
	if (r < 0)
		return r;
	watch.threshold = watch.clock.kind == GB_CLOCK_RTC ? 2 * SECOND : SECOND;
	if (stays && watch.clock.kind == GB_CLOCK_RTC) {
		r = gb_clock_compare(&watch.clock, true, &watch.base);
		watch.base = gb_clock_zone(watch.base);
		if (r < 0)
			r = gb_err_sys(err, -r, "%s", watch.clock.path);
	}
	if (r == 0)
		r = stays ? stay(&watch, err) : look(&watch, err);
	gb_clock_close(&watch.clock);
	return r < 0 ? r : 0;
}

const struct gb_applet gb_applet_guest_clock = {
	.name = "guest-clock",
	.summary = "bring the clock to the host's, after a pause of the machine too",
	.synopsis = "[--device FILE] [--dry-run] [--log TARGET]\n--watch [--device FILE] [--interval S] [--on-jump COMMAND] [--log TARGET]",
	.opts = opts,
	.run = run,
};
