/* SPDX-License-Identifier: MIT */
/* Log lines: to stderr, the kernel's ring buffer, or a file of JSON lines. */
#ifndef GB_BASE_LOG_H
#define GB_BASE_LOG_H

#include "common/base/err.h"

/* The numbers are those of syslog(3) and of kmsg. */
enum gb_log_level { GB_LOG_ERR = 3, GB_LOG_WARNING = 4, GB_LOG_NOTICE = 5, GB_LOG_INFO = 6, GB_LOG_DEBUG = 7 };

/* Where to: "stderr" (the default before any call), "kmsg" or "json:PATH" (appended to). The level comes from
 * GUESTBOX_LOG (err, warning, notice, info, debug; default info). 0, -GB_E_USAGE or the errno of open(2). */
int gb_log_open(const char *target, struct gb_err *err);

/* Lines of a higher number than this are dropped. */
void gb_log_level(enum gb_log_level level);
enum gb_log_level gb_log_enabled(void);

/* The descriptor that lines are written to: a child that closes what it does not need keeps this one. */
int gb_log_fd(void);

/* From here on lines go to fd, which is taken, in the same form and under the same number as before. 0 or -errno. */
int gb_log_replace(int fd);

/* One line; text of outside origin is vis-encoded. Never fails, never allocates, keeps errno. */
void gb_log(enum gb_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
