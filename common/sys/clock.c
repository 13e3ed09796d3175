/* SPDX-License-Identifier: MIT */
/* PTP, RTC, and who sets the clock. */
#include "common/sys/clock.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptp_clock.h>
#include <linux/rtc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"

enum { PTP_MAX = 16, EDGE_MS = 1100, EDGE_LOOK_MS = 2 };
#define SECOND INT64_C(1000000000)
#define FLOOR (GB_CLOCK_FLOOR * SECOND)
#define CEILING (GB_CLOCK_CEILING * SECOND)

bool gb_clock_is_hosts(const char *name)
{
	static const char *const known[] = { "KVM virtual PTP", "hyperv", "ptp_vmw", "vmclock", "Xen virtual PTP" };

	for (size_t i = 0; i < GB_ARRAY_LEN(known); i++) {
		if (strncmp(name, known[i], strlen(known[i])) == 0)
			return true;
	}
	return false;
}

static int64_t ns_of(struct timespec ts)
{
	return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec;
}

static int64_t realtime(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ns_of(ts);
}

/* FD_TO_CLOCKID of the kernel's Documentation/driver-api/ptp.rst. */
static clockid_t clock_of(int fd)
{
	return (clockid_t)(~(unsigned)fd << 3 | 3);
}

static int kind_of(int fd, enum gb_clock_kind *ret_kind)
{
	struct ptp_clock_caps caps;
	struct rtc_time rtc;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		*ret_kind = GB_CLOCK_FILE;
	else if (S_ISCHR(st.st_mode) && ioctl(fd, PTP_CLOCK_GETCAPS, &caps) == 0)
		*ret_kind = GB_CLOCK_PTP;
	else if (S_ISCHR(st.st_mode) && ioctl(fd, RTC_RD_TIME, &rtc) == 0)
		*ret_kind = GB_CLOCK_RTC;
	else
		return -ENODEV;
	return 0;
}

static int open_one(struct gb_clock *clock, const char *path, struct gb_err *err)
{
	gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : kind_of(fd, &clock->kind);

	if (r == -ENODEV)
		return gb_err_set(err, ENODEV, "%s: neither a PTP clock nor a real-time clock", path);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", path);
	(void)strlcpy(clock->path, path, sizeof clock->path);
	clock->fd = gb_take_fd(&fd);
	return 0;
}

int gb_clock_open(struct gb_clock *clock, const char *path, struct gb_err *err)
{
	char file[64];

	clock->fd = -1;
	if (path)
		return open_one(clock, path, err);
	for (int i = 0; i < PTP_MAX; i++) {
		char name[64];
		(void)snprintf(file, sizeof file, "/sys/class/ptp/ptp%d/clock_name", i);
		if (gb_io_line(AT_FDCWD, file, name, sizeof name) < 0 || !gb_clock_is_hosts(name))
			continue;
		(void)snprintf(file, sizeof file, "/dev/ptp%d", i);
		if (open_one(clock, file, err) == 0)
			return 0;
	}
	if (access("/dev/rtc0", F_OK) == 0)
		return open_one(clock, "/dev/rtc0", err);
	return gb_err_set(err, ENODEV, "this machine has no clock of its host's: neither a hypervisor's /dev/ptpN nor /dev/rtc0");
}

void gb_clock_close(struct gb_clock *clock)
{
	gb_close_fd(&clock->fd);
	clock->fd = -1;
}

int gb_clock_parse(const char *text, int64_t *ret_ns)
{
	char *end;
	int64_t part = 0, unit = SECOND;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	long long seconds = strtoll(text, &end, 10);
	if (errno || seconds > INT64_MAX / SECOND - 1)
		return -EINVAL;
	if (*end == '.') {
		for (end++; *end >= '0' && *end <= '9'; end++) {
			unit /= 10;
			part += (*end - '0') * unit;
		}
	}
	if (*end && *end != '\n')
		return -EINVAL;
	*ret_ns = seconds * SECOND + part;
	return 0;
}

static int read_rtc(int fd, int64_t *ret_ns)
{
	struct rtc_time rtc;

	if (ioctl(fd, RTC_RD_TIME, &rtc) < 0)
		return -errno;
	struct tm tm = { .tm_sec = rtc.tm_sec, .tm_min = rtc.tm_min, .tm_hour = rtc.tm_hour, .tm_mday = rtc.tm_mday,
			 .tm_mon = rtc.tm_mon, .tm_year = rtc.tm_year };
	time_t t = timegm(&tm);
	if (t == (time_t)-1)
		return -EINVAL;
	*ret_ns = (int64_t)t * SECOND;
	return 0;
}

static int read_one(const struct gb_clock *clock, int64_t *ret_ns)
{
	struct timespec ts;
	char text[64];

	switch (clock->kind) {
	case GB_CLOCK_PTP:
		if (clock_gettime(clock_of(clock->fd), &ts) < 0)
			return -errno;
		*ret_ns = ns_of(ts);
		return 0;
	case GB_CLOCK_RTC:
		return read_rtc(clock->fd, ret_ns);
	default: {
		ssize_t n = gb_io_pread(clock->fd, text, sizeof text - 1, 0);
		if (n < 0)
			return (int)n;
		text[n] = '\0';
		return gb_clock_parse(text, ret_ns);
	}
	}
}

int gb_clock_compare(const struct gb_clock *clock, bool exact, int64_t *ret_ahead)
{
	int64_t host, first, before = realtime();
	int r = read_one(clock, &host);

	if (r < 0)
		return r;
	if (clock->kind == GB_CLOCK_RTC && exact) {
		first = host;
		for (int waited = 0; host == first && waited < EDGE_MS; waited += EDGE_LOOK_MS) {
			(void)poll(NULL, 0, EDGE_LOOK_MS);
			before = realtime();
			r = read_one(clock, &host);
			if (r < 0)
				return r;
		}
	}
	/* The time of the reading is between the two looks at our own clock. */
	*ret_ahead = host - (before + (realtime() - before) / 2);
	return 0;
}

int64_t gb_clock_zone(int64_t ahead)
{
	const int64_t quarter = 900 * SECOND, widest = 14 * 3600 * SECOND;

	if (ahead < -widest || ahead > widest)
		return ahead;
	return (ahead + (ahead < 0 ? -quarter : quarter) / 2) / quarter * quarter;
}

int gb_clock_step(int64_t by)
{
	int64_t to = realtime() + by;
	struct timespec ts = { .tv_sec = (time_t)(to / SECOND), .tv_nsec = (long)(to % SECOND) };

	return clock_settime(CLOCK_REALTIME, &ts) < 0 ? -errno : 0;
}

/* A timer that never ends: to set the clock cancels it (TFD_TIMER_CANCEL_ON_SET in timerfd_create(2)), each time. */
int gb_clock_watch(void)
{
	const time_t never = sizeof(time_t) > 4 ? (time_t)INT64_C(8000000000) : INT32_MAX; /* the year 2223 */
	gb_autoclose int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
				      &(struct itimerspec){ .it_value.tv_sec = never }, NULL) < 0)
		return -errno;
	return gb_take_fd(&fd);
}

bool gb_clock_was_set(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof count) < 0 && errno == ECANCELED;
}

int gb_clock_judge(int64_t now, int64_t ahead, int64_t threshold)
{
	int64_t then;

	if (ahead > -threshold && ahead < threshold)
		return 0;
	if (__builtin_add_overflow(now, ahead, &then) || then < FLOOR || then > CEILING)
		return -1;
	return 1;
}
