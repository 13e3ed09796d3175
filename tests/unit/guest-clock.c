/* SPDX-License-Identifier: MIT */
/* guest-clock beside a host whose time is played: the linker puts functions of this file in the place of all that reads, sets
 * or waits for a clock (--wrap). No clock of this machine is read or set. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <linux/ptp_clock.h>
#include <linux/rtc.h>
#include <sys/ioctl.h>

#include "common/base/buf.h"
#include "common/base/io.h"

/* The applet itself: what it keeps to itself is what is tested. */
#include "applets/guest-clock.c"

#define START (INT64_C(1800000000) * SECOND)

static char dir[] = "/tmp/gb-unit-guest-clock-XXXXXX";

static struct {
	int64_t now;    /* our clock, ns */
	int64_t booted; /* the machine's, which counts pauses */
	int64_t host;   /* how far the host's is ahead of ours */
	int64_t stepped;
	enum gb_clock_kind kind; /* what /dev/null is */
	bool ptp, rtc;  /* what the machine has */
	bool cancelled; /* our clock was set: the timer says so */
	bool unreadable;
	int no_timer, no_set; /* errno */
	unsigned waits;
	void (*const *script)(void); /* what happens while it waits, in turn; NULL: poll(2) fails */
} played;

static void pass(int64_t ns)
{
	played.now += ns;
	played.booted += ns;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t ns = id == CLOCK_REALTIME ? played.now : id == CLOCK_BOOTTIME ? played.booted : played.now + played.host;

	if (id < 0 && played.unreadable) {
		errno = ENODEV;
		return -1;
	}
	*ts = (struct timespec){ .tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND) };
	return 0;
}

int __wrap_clock_settime(clockid_t id, const struct timespec *ts);
int __wrap_clock_settime(clockid_t id, const struct timespec *ts)
{
	int64_t by = (int64_t)ts->tv_sec * SECOND + ts->tv_nsec - played.now;

	assert_int_equal(id, CLOCK_REALTIME);
	if (played.no_set) {
		errno = played.no_set;
		return -1;
	}
	played.now += by;
	played.host -= by;
	played.stepped += by;
	played.cancelled = true;
	return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (count == 0) { /* waiting for a second to begin */
		pass(timeout * INT64_C(1000000));
		return 0;
	}
	if (!played.script[played.waits]) {
		errno = EIO;
		return -1;
	}
	if (!played.cancelled) /* the interval is over */
		pass(timeout * INT64_C(1000000));
	played.script[played.waits++]();
	fds->revents = played.cancelled ? POLLIN : 0;
	return played.cancelled;
}

ssize_t __real_read(int fd, void *data, size_t len);
ssize_t __wrap_read(int fd, void *data, size_t len);
ssize_t __wrap_read(int fd, void *data, size_t len)
{
	if (len != sizeof(uint64_t)) /* not the timer's */
		return __real_read(fd, data, len);
	assert_true(played.cancelled);
	played.cancelled = false;
	errno = ECANCELED;
	return -1;
}

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags)
{
	errno = played.no_timer;
	return played.no_timer ? -1 : __real_timerfd_create(clock, flags);
}

int __wrap_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...)
{
	va_list ap;

	(void)fd;
	va_start(ap, what);
	struct rtc_time *rtc = va_arg(ap, struct rtc_time *);
	va_end(ap);
	if (what == PTP_CLOCK_GETCAPS && played.kind == GB_CLOCK_PTP)
		return 0;
	errno = ENOTTY;
	if (what != RTC_RD_TIME || played.kind != GB_CLOCK_RTC || played.unreadable)
		return -1;
	time_t t = (time_t)((played.now + played.host) / SECOND);
	struct tm tm;
	assert_non_null(gmtime_r(&t, &tm));
	*rtc = (struct rtc_time){ .tm_sec = tm.tm_sec, .tm_min = tm.tm_min, .tm_hour = tm.tm_hour, .tm_mday = tm.tm_mday,
				  .tm_mon = tm.tm_mon, .tm_year = tm.tm_year };
	return 0;
}

/* ---- which clocks there are ---- */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	bool device = strcmp(path, "/dev/ptp3") == 0 || strcmp(path, "/dev/rtc0") == 0;

	return __real_open(device ? "/dev/null" : path, flags, 0600);
}

int __real_access(const char *path, int how);
int __wrap_access(const char *path, int how);
int __wrap_access(const char *path, int how)
{
	errno = ENOENT;
	return strcmp(path, "/dev/rtc0") == 0 ? played.rtc ? 0 : -1 : __real_access(path, how);
}

int __real_gb_io_line(int at, const char *path, char *line, size_t size);
int __wrap_gb_io_line(int at, const char *path, char *line, size_t size);
int __wrap_gb_io_line(int at, const char *path, char *line, size_t size)
{
	if (strncmp(path, "/sys/class/ptp/ptp", 18) != 0)
		return __real_gb_io_line(at, path, line, size);
	if (!played.ptp || (path[18] != '0' && path[18] != '3'))
		return -ENOENT;
	(void)snprintf(line, size, "%s", path[18] == '0' ? "a network card's" : "KVM virtual PTP");
	return 0;
}

/* ---- the tests ---- */

static int begin(void **state)
{
	(void)state;
	memset(&played, 0, sizeof played);
	played.now = START;
	played.booted = 90 * SECOND;
	played.kind = GB_CLOCK_PTP;
	return 0;
}

/* Runs it with these options; what it says on stderr is in *said, its error in err. */
static int clock_with(char *const *options, char said[1024], struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };
	char *argv[16] = { (char *)(uintptr_t)"guest-clock" };
	struct gb_cmd cmd = { .argc = 1, .argv = argv };
	int kept = dup(STDERR_FILENO), file = __real_open(unit_path(dir, "said"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	while (*options)
		argv[cmd.argc++] = *options++;
	assert_true(kept >= 0 && file >= 0 && dup2(file, STDERR_FILENO) == STDERR_FILENO);
	*err = (struct gb_err){ 0 };
	int r = run(&cmd, err);
	(void)signal(SIGCHLD, SIG_DFL);
	assert_true(dup2(kept, STDERR_FILENO) == STDERR_FILENO);
	(void)close(kept);
	(void)close(file);
	assert_int_equal(gb_io_slurp(AT_FDCWD, unit_path(dir, "said"), 65536, &text), 0);
	(void)snprintf(said, 1024, "%s", gb_buf_text(&text));
	(void)unlink(unit_path(dir, "said"));
	return r;
}

#define OPTIONS(...) ((char *const[]){ __VA_ARGS__, NULL })
static char watch_flag[] = "--watch", device_flag[] = "--device", null[] = "/dev/null", jump_flag[] = "--on-jump", jump[256],
	    interval_flag[] = "--interval", ten[] = "10";

static void nothing(void) { }
static void pause_of_a_minute(void) { played.host += 60 * SECOND; }
static void cannot_be_read(void) { played.unreadable = true; }
static void can_be_read(void) { played.unreadable = false; }

/* Somebody else sets our clock, to what the host has. */
static void set_by_ping(void)
{
	played.now += 7 * SECOND;
	played.host -= 7 * SECOND;
	played.cancelled = true;
}

static void set_by_a_little(void)
{
	played.now += SECOND / 2;
	played.host -= SECOND / 2;
	played.cancelled = true;
}

static void a_pause_is_made_good_and_told_to_the_command(void **state)
{
	/* The step that it takes itself cancels its timer, too: that look finds the jump. */
	static void (*const script[])(void) = { nothing, pause_of_a_minute, nothing, nothing, NULL };
	gb_autobuf struct gb_buf text = { 0 };
	char said[1024];
	struct gb_err err;

	(void)state;
	played.script = script;
	(void)snprintf(jump, sizeof jump, "echo \"$GUESTBOX_JUMP\" >%s/new; mv %s/new %s/jump", dir, dir, dir);
	assert_int_equal(clock_with(OPTIONS(watch_flag, device_flag, null, jump_flag, jump), said, &err), -EIO);
	assert_string_equal(err.msg, "poll: Input/output error");
	assert_string_equal(said, "guest-clock: clock stepped by +60.000 s, to /dev/null\nguest-clock: the clock jumped by +60.000 s\n");
	assert_int_equal(played.stepped, 60 * SECOND);
	assert_int_equal(played.host, 0);
	assert_int_equal(played.booted, 90 * SECOND + 3 * 5 * SECOND); /* three intervals; the jump came in none */
	for (int i = 0; i < 12000 && access(unit_path(dir, "jump"), F_OK) < 0; i++)
		(void)usleep(10000);
	assert_int_equal(gb_io_slurp(AT_FDCWD, unit_path(dir, "jump"), 100, &text), 0);
	assert_string_equal(gb_buf_text(&text), "60.000\n");
	(void)unlink(unit_path(dir, "jump"));
}

static void what_others_set_is_told_and_small_steps_are_not(void **state)
{
	static void (*const script[])(void) = { set_by_a_little, set_by_ping, nothing, NULL };
	char said[1024];
	struct gb_err err;

	(void)state;
	played.host = 7 * SECOND + SECOND / 2;
	played.script = script;
	assert_int_equal(clock_with(OPTIONS(watch_flag, device_flag, null, interval_flag, ten), said, &err), -EIO);
	assert_string_equal(said, "guest-clock: the clock jumped by +7.000 s\n");
	assert_int_equal(played.stepped, 0);
}

static void a_clock_that_cannot_be_read_or_set_is_told_once(void **state)
{
	static void (*const script[])(void) = { cannot_be_read, nothing, can_be_read, cannot_be_read, nothing, NULL };
	static void (*const pauses[])(void) = { pause_of_a_minute, nothing, NULL };
	char said[1024];
	struct gb_err err;

	(void)state;
	played.script = script;
	assert_int_equal(clock_with(OPTIONS(watch_flag, device_flag, null), said, &err), -EIO);
	assert_string_equal(said, "guest-clock: /dev/null: No such device\nguest-clock: /dev/null: No such device\n");

	(void)begin(state);
	played.script = pauses;
	played.no_set = EPERM;
	assert_int_equal(clock_with(OPTIONS(watch_flag, device_flag, null), said, &err), -EIO);
	assert_string_equal(said, "guest-clock: clock: Operation not permitted\n");
	assert_int_equal(played.waits, 2);

	(void)begin(state);
	played.no_timer = EMFILE;
	assert_int_equal(clock_with(OPTIONS(watch_flag, device_flag, null), said, &err), -EMFILE);
	assert_string_equal(err.msg, "timerfd: Too many open files");
}

/* A real-time clock may be kept in any time zone: that difference stays. It has whole seconds, and one of them is no
 * difference. */
static void a_real_time_clocks_zone_is_no_jump(void **state)
{
	static void (*const script[])(void) = { nothing, pause_of_a_minute, nothing, nothing, NULL };
	char said[1024];
	struct gb_err err;

	(void)state;
	played.kind = GB_CLOCK_RTC;
	played.rtc = true;
	played.host = 7200 * SECOND + 1300000000;
	played.script = script;
	assert_int_equal(clock_with(OPTIONS(watch_flag), said, &err), -EIO);
	assert_in_range(played.stepped, 60 * SECOND, 62 * SECOND);
	assert_in_range(played.host, 7199 * SECOND, 7201 * SECOND);
	assert_non_null(strstr(said, "s, to /dev/rtc0\n"));

	(void)begin(state);
	played.kind = GB_CLOCK_RTC;
	played.unreadable = true;
	assert_int_equal(clock_with(OPTIONS(watch_flag, device_flag, null), said, &err), -ENODEV);
	assert_string_equal(err.msg, "/dev/null: neither a PTP clock nor a real-time clock");
}

/* Looked at once: the hypervisor's clock before the one with whole seconds, and a network card's never. */
static void which_clock_is_the_hosts(void **state)
{
	char said[1024];
	struct gb_err err;

	(void)state;
	played.ptp = played.rtc = true;
	played.host = -3 * SECOND;
	assert_int_equal(clock_with(OPTIONS(NULL), said, &err), 0);
	assert_string_equal(said, "guest-clock: clock stepped by -3.000 s, to /dev/ptp3\n");
	assert_int_equal(played.host, 0);

	(void)begin(state);
	played.kind = GB_CLOCK_RTC;
	played.rtc = true;
	played.host = 5 * SECOND;
	played.now += SECOND / 4;
	assert_int_equal(clock_with(OPTIONS(NULL), said, &err), 0);
	assert_non_null(strstr(said, ", to /dev/rtc0\n"));
	/* Where its second began was seen to a few ms. */
	assert_in_range(played.stepped, 5 * SECOND - SECOND / 20, 5 * SECOND + SECOND / 20);

	(void)begin(state);
	assert_int_equal(clock_with(OPTIONS(NULL), said, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "this machine has no clock of its host's"));
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_pause_is_made_good_and_told_to_the_command, begin),
		cmocka_unit_test_setup(what_others_set_is_told_and_small_steps_are_not, begin),
		cmocka_unit_test_setup(a_clock_that_cannot_be_read_or_set_is_told_once, begin),
		cmocka_unit_test_setup(a_real_time_clocks_zone_is_no_jump, begin),
		cmocka_unit_test_setup(which_clock_is_the_hosts, begin),
	};

	return cmocka_run_group_tests_name("guest-clock", tests, set_up, tear_down);
}
