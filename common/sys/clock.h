/* SPDX-License-Identifier: MIT */
/* The machine's clock beside its host's. */
#ifndef GB_SYS_CLOCK_H
#define GB_SYS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* The years 2020 and 2100, Unix seconds. No guest is older; no kernel takes a time near 2262 (TIME_SETTOD_SEC_MAX in
 * include/linux/time64.h keeps 30 years of uptime below it), and a host that says 2100 is wrong. */
#define GB_CLOCK_FLOOR INT64_C(1577836800)
#define GB_CLOCK_CEILING INT64_C(4102444800)

enum gb_clock_kind {
	GB_CLOCK_PTP,  /* the host's clock itself, by a paravirtual /dev/ptpN */
	GB_CLOCK_RTC,  /* a real-time clock that the hypervisor keeps: whole seconds, and who knows which time zone */
	GB_CLOCK_FILE, /* a regular file that holds SECONDS[.FRACTION]: a stand-in for tests */
};

struct gb_clock {
	enum gb_clock_kind kind;
	int fd;
	char path[128];
};

/* Opens the device; with path NULL the first /dev/ptpN that is a hypervisor's (a network card's own keeps no such time),
 * else /dev/rtc0. 0, -ENODEV when there is none, or -errno, with err. */
int gb_clock_open(struct gb_clock *clock, const char *path, struct gb_err *err);
void gb_clock_close(struct gb_clock *clock);

/* The host's time less CLOCK_REALTIME, ns. exact: for a clock of whole seconds, wait for one to begin (up to 1.1 s).
 * 0 or -errno. */
int gb_clock_compare(const struct gb_clock *clock, bool exact, int64_t *ret_ahead);

/* What of a difference (ns) is the time zone that a real-time clock is kept in: whole quarters of an hour, up to 14 hours.
 * The rest is an error of one of the clocks, as after a pause that fell between the two. A wider difference is all kept:
 * such a clock shows no time of day. */
int64_t gb_clock_zone(int64_t ahead);

/* Adds to CLOCK_REALTIME: 0 or -errno. */
int gb_clock_step(int64_t by);

/* A descriptor, non-blocking, that can be read when somebody has set CLOCK_REALTIME; or -errno. */
int gb_clock_watch(void);
/* Whether that is so, since the last time it was asked. */
bool gb_clock_was_set(int fd);

/* ---- pure ---- */

/* Whether a difference is one to step by: 1 yes, 0 no (below the threshold), -1 when the time that comes of it is not
 * between 2020 and 2100. now: CLOCK_REALTIME, ns. */
int gb_clock_judge(int64_t now, int64_t ahead, int64_t threshold);

/* "1234.5" as ns: 0 or -EINVAL. */
int gb_clock_parse(const char *text, int64_t *ret_ns);

/* Whether a PTP clock of this name (/sys/class/ptp/ptpN/clock_name) shows the host's time. */
bool gb_clock_is_hosts(const char *name);

#endif
