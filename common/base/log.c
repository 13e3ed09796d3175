/* SPDX-License-Identifier: MIT */
/* Log lines. */
#include "common/base/log.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/vis.h"

static const struct { const char *name; enum gb_log_level level; } levels[] = {
	{ "err", GB_LOG_ERR },   { "warning", GB_LOG_WARNING }, { "notice", GB_LOG_NOTICE },
	{ "info", GB_LOG_INFO }, { "debug", GB_LOG_DEBUG },
};

static enum { TO_STDERR, TO_KMSG, TO_JSON } kind;
static int sink = STDERR_FILENO;
static enum gb_log_level limit; /* 0: not looked up yet */

static enum gb_log_level level_of_environment(void)
{
	const char *word = getenv("GUESTBOX_LOG");

	for (size_t i = 0; word && i < GB_ARRAY_LEN(levels); i++) {
		if (strcmp(word, levels[i].name) == 0)
			return levels[i].level;
	}
	return GB_LOG_INFO;
}

int gb_log_open(const char *target, struct gb_err *err)
{
	int fd = STDERR_FILENO, how = TO_STDERR;

	if (strcmp(target, "kmsg") == 0) {
		fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return gb_err_sys(err, errno, "/dev/kmsg");
		how = TO_KMSG;
	} else if (strncmp(target, "json:", 5) == 0 && target[5]) {
		fd = open(target + 5, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
		if (fd < 0)
			return gb_err_sys(err, errno, "%s", target + 5);
		how = TO_JSON;
	} else if (strcmp(target, "stderr") != 0) {
		return gb_err_set(err, GB_E_USAGE, "log target \"%s\" is none of stderr, kmsg, json:PATH", target);
	}
	if (sink > STDERR_FILENO)
		(void)close(sink);
	sink = fd;
	kind = how;
	limit = level_of_environment();
	return 0;
}

void gb_log_level(enum gb_log_level level)
{
	limit = level;
}

enum gb_log_level gb_log_enabled(void)
{
	if (!limit)
		limit = level_of_environment();
	return limit;
}

int gb_log_fd(void)
{
	return sink;
}

int gb_log_replace(int fd)
{
	/* In one step: threads may be at it. */
	int r = dup3(fd, sink, O_CLOEXEC) < 0 ? -errno : 0;

	(void)close(fd);
	return r;
}

/* Appends text as the inside of a JSON string; bytes above 0x7f were vis-encoded before. */
static void json_escape(char *dst, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 2 < size; text++) {
		if (*text == '"' || *text == '\\')
			dst[n++] = '\\';
		dst[n++] = *text;
	}
	dst[n] = '\0';
}

void gb_log(enum gb_log_level level, const char *fmt, ...)
{
	int saved = errno;
	char raw[1024], text[1024], line[3072];
	va_list ap;
	int n;

	if (level > gb_log_enabled())
		return;
	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof raw, fmt, ap);
	va_end(ap);
	gb_vis_text(text, sizeof text, raw);

	switch (kind) {
	case TO_KMSG:
		/* /dev/kmsg takes one record a write (Documentation/ABI/testing/dev-kmsg). */
		n = snprintf(line, sizeof line, "<%d>%s: %s\n", (int)level, getprogname(), text);
		break;
	case TO_JSON: {
		char quoted[2100];
		struct timespec now = { 0 };

		(void)clock_gettime(CLOCK_REALTIME, &now);
		json_escape(quoted, sizeof quoted, text);
		n = snprintf(line, sizeof line, "{\"time\":%lld.%06ld,\"level\":%d,\"name\":\"%s\",\"pid\":%d,\"text\":\"%s\"}\n",
			     (long long)now.tv_sec, now.tv_nsec / 1000, (int)level, getprogname(), (int)getpid(), quoted);
		break;
	}
	default:
		n = snprintf(line, sizeof line, "%s: %s\n", getprogname(), text);
		break;
	}
	if (n > 0) {
		/* Whole lines in one write; a full disk or a closed console must never stop the caller. */
		ssize_t w = write(sink, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
		(void)w;
	}
	errno = saved;
}
