/* SPDX-License-Identifier: MIT */
/* The boot's timeline. */
#include "common/sys/timeline.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/list.h"
#include "common/base/mono.h"

/* On disk (that is, in /run): one machine writes and reads it, so its own byte order will do. */
struct record {
	uint32_t magic;
	uint32_t pid;
	uint64_t begin, end;
	char track[16], name[56];
};
_Static_assert(sizeof(struct record) == GB_TIMELINE_RECORD, "records are appended: their size is their format");
_Static_assert(__builtin_offsetof(struct record, name) == 40, "no padding");
enum { MAGIC = 0x31544247 /* "GBT1" */, FAILED = 0x80000000 };

void gb_timeline_free(struct gb_timeline *timeline)
{
	free(timeline->steps);
	*timeline = (struct gb_timeline){ 0 };
}

void gb_timeline_encode(const struct gb_timeline_step *step, unsigned char ret_record[GB_TIMELINE_RECORD])
{
	struct record r = { .magic = MAGIC, .pid = (uint32_t)step->pid | (step->failed ? (uint32_t)FAILED : 0),
			    .begin = step->begin, .end = step->end };

	(void)strlcpy(r.track, step->track, sizeof r.track);
	(void)strlcpy(r.name, step->name, sizeof r.name);
	memcpy(ret_record, &r, sizeof r);
}

bool gb_timeline_is_sane(const struct gb_timeline_step *step)
{
	/* A century of nanoseconds fits; what is beyond is no time of ours and would spoil every scale. */
	return step->begin <= step->end && step->end <= 3155760000000000000u && step->track[0] && step->name[0];
}

int gb_timeline_decode(const unsigned char record[GB_TIMELINE_RECORD], struct gb_timeline_step *ret_step)
{
	struct record r;

	memcpy(&r, record, sizeof r);
	if (r.magic != MAGIC || !memchr(r.track, 0, sizeof r.track) || !memchr(r.name, 0, sizeof r.name))
		return -EINVAL;
	struct gb_timeline_step step = (struct gb_timeline_step){ .begin = r.begin, .end = r.end, .pid = (int)(r.pid & ~(uint32_t)FAILED),
					       .failed = r.pid & (uint32_t)FAILED };
	(void)strlcpy(step.track, r.track, sizeof step.track);
	(void)strlcpy(step.name, r.name, sizeof step.name);
	if (!gb_timeline_is_sane(&step))
		return -EINVAL;
	*ret_step = step;
	return 0;
}

static const char *file_name(void)
{
	const char *name = getenv("GUESTBOX_TIMELINE"); /* for tests */

	return name && *name ? name : GB_TIMELINE_FILE;
}

/* Appends one record: 0 or -errno; -ENOSPC when there are `max` already. */
static int append(int fd, const struct gb_timeline_step *step, off_t max)
{
	unsigned char record[GB_TIMELINE_RECORD];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size >= max * GB_TIMELINE_RECORD)
		return -ENOSPC;
	gb_timeline_encode(step, record);
	ssize_t n = write(fd, record, sizeof record);
	return n < 0 ? -errno : n == sizeof record ? 0 : -ENOSPC;
}

static struct gb_timeline_step step_of(const char *track, const char *name, uint64_t begin)
{
	struct gb_timeline_step step = { .begin = begin, .end = gb_mono_ns(), .pid = (int)getpid() };

	(void)strlcpy(step.track, track, sizeof step.track);
	(void)strlcpy(step.name, name, sizeof step.name);
	return step;
}

enum { OPEN_FLAGS = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY };

void gb_timeline_mark(const char *track, const char *name, uint64_t begin)
{
	int saved = errno;
	gb_autoclose int fd = open(file_name(), OPEN_FLAGS);

	if (fd >= 0) {
		struct gb_timeline_step step = step_of(track, name, begin);
		(void)append(fd, &step, GB_TIMELINE_MAX / 2);
	}
	errno = saved;
}

int gb_timeline_add(const char *track, const char *name, uint64_t begin, struct gb_err *err)
{
	struct gb_timeline_step step = step_of(track, name, begin);
	const char *file = file_name();

	if (strcmp(file, GB_TIMELINE_FILE) == 0)
		(void)mkdir("/run/guestbox", 0755);
	gb_autoclose int fd = open(file, OPEN_FLAGS | O_CREAT, 0644);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", file);
	int r = append(fd, &step, GB_TIMELINE_MAX);
	if (r == -ENOSPC)
		return gb_err_set(err, ENOSPC, "%s: no room for another step", file);
	return r < 0 ? gb_err_sys(err, -r, "%s", file) : 0;
}

int gb_timeline_kmsg(const char *line, struct gb_timeline_step *ret_step)
{
	unsigned prio;
	unsigned long long seq, usec;
	const char *text = strchr(line, ';');

	/* Documentation/ABI/testing/dev-kmsg. */
	if (!text || sscanf(line, "%u,%llu,%llu,", &prio, &seq, &usec) != 3 || usec > 3155760000000000u)
		return 0;
	text++;
	/* Facility 0 is the kernel itself, which says when it executes /init: run_init_process(), init/main.c. */
	if (prio >> 3 == 0 && strncmp(text, "Run ", 4) == 0 && strstr(text, " as init process")) {
		*ret_step = (struct gb_timeline_step){ .end = usec * 1000, .track = "init", .name = "kernel" };
		return 1;
	}
	/* Facility 1 (user) is what a process wrote. */
	if (prio >> 3 != 1)
		return 0;
	if (strncmp(text, "guestbox: ", 10) != 0)
		return 0;
	text += 10;
	*ret_step = (struct gb_timeline_step){ .end = usec * 1000, .track = "init" };
	if (strncmp(text, "ready", 5) == 0 && (text[5] == '\0' || text[5] == '\n' || text[5] == ',')) {
		(void)strlcpy(ret_step->name, "ready", sizeof ret_step->name);
		ret_step->failed = text[5] == ',';
		return 2;
	}
	if (strncmp(text, "step ", 5) != 0)
		return 0;
	text += 5;
	size_t len = strcspn(text, ":\n");
	ret_step->failed = strncmp(text + len, ": failed", 8) == 0;
	if (len == 0 || (!ret_step->failed && strncmp(text + len, ": done", 6) != 0))
		return 0;
	(void)strlcpy(ret_step->name, text, len + 1 < sizeof ret_step->name ? len + 1 : sizeof ret_step->name);
	return 1;
}

static bool same(const struct gb_timeline_step *a, const struct gb_timeline_step *b)
{
	/* The log's time is of whole microseconds, and so is what was copied from it. */
	return a->end == b->end && strcmp(a->track, b->track) == 0 && strcmp(a->name, b->name) == 0;
}

int gb_timeline_put(struct gb_timeline *timeline, const struct gb_timeline_step *step)
{
	for (size_t i = 0; i < timeline->count; i++) {
		if (same(&timeline->steps[i], step))
			return 0;
	}
	if (gb_list_room(&timeline->steps, timeline->count, &timeline->size, sizeof *timeline->steps) < 0)
		return -ENOMEM;
	timeline->steps[timeline->count++] = *step;
	return 1;
}

static int by_end(const void *a, const void *b)
{
	const struct gb_timeline_step *x = a, *y = b;

	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

void gb_timeline_order(struct gb_timeline *timeline)
{
	uint64_t last = 0;
	bool kernel = false;

	if (timeline->count)
		qsort(timeline->steps, timeline->count, sizeof *timeline->steps, by_end);
	for (size_t i = 0; i < timeline->count; i++) {
		struct gb_timeline_step *s = &timeline->steps[i];

		if (strcmp(s->track, "init") != 0)
			continue;
		if (strcmp(s->name, "ready") == 0) {
			s->begin = s->end;
			timeline->ready = s->end;
			continue;
		}
		/* A script's first line says that the kernel is done. Where the kernel's own line is there, too, what lies
		 * between the two is the start of the script's shell. */
		if (strcmp(s->name, "kernel") == 0) {
			if (kernel)
				(void)strlcpy(s->name, "shell", sizeof s->name);
			kernel = true;
		}
		s->begin = last;
		last = s->end;
	}
}

static int read_file(struct gb_timeline *timeline, struct gb_err *err)
{
	const char *file = file_name();
	gb_autoclose int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : gb_err_sys(err, errno, "%s", file);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return gb_err_set(err, EINVAL, "%s: not a regular file", file);
	for (off_t i = 0; r >= 0 && i < GB_TIMELINE_MAX; i++) {
		unsigned char record[GB_TIMELINE_RECORD];
		struct gb_timeline_step step;
		ssize_t n = gb_io_pread(fd, record, sizeof record, i * (off_t)sizeof record);

		if (n < 0)
			return gb_err_sys(err, (int)-n, "%s", file);
		if (n < (ssize_t)sizeof record)
			break;
		if (gb_timeline_decode(record, &step) == 0)
			r = gb_timeline_put(timeline, &step);
	}
	return r < 0 ? gb_err_sys(err, -r, "%s", file) : 0;
}

/* Steps of the log that are new go to the file, too. */
static int read_kmsg(struct gb_timeline *timeline, struct gb_err *err)
{
	const char *name = getenv("GUESTBOX_KMSG"); /* for tests: a file of such lines */
	gb_autoclose int fd = open(name && *name ? name : "/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	gb_autoclose int keep = open(file_name(), OPEN_FLAGS);
	char text[16384];
	size_t len = 0;

	if (fd < 0)
		return errno == ENOENT || errno == EPERM || errno == EACCES ? 0 : gb_err_sys(err, errno, "/dev/kmsg");
	for (;;) {
		/* /dev/kmsg gives one record a call, a file of a test whatever it has: lines are what both are made of. */
		ssize_t n = read(fd, text + len, sizeof text - 1 - len);
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* the log has moved on: the next call gives what is left */
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return gb_err_sys(err, errno, "/dev/kmsg");
		if (n == 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		char *line = text;
		for (char *end; (end = memchr(line, '\n', len - (size_t)(line - text))); line = end + 1) {
			struct gb_timeline_step step;
			*end = '\0';
			if (!gb_timeline_kmsg(line, &step))
				continue;
			int r = gb_timeline_put(timeline, &step);
			if (r < 0)
				return gb_err_sys(err, -r, "timeline");
			if (r > 0 && keep >= 0)
				(void)append(keep, &step, GB_TIMELINE_MAX);
		}
		len -= (size_t)(line - text);
		memmove(text, line, len);
		/* A record takes up to 8 KiB (CONSOLE_EXT_LOG_MAX); a longer line of a test's file is none. */
		if (len > sizeof text / 2)
			len = 0;
	}
	return 0;
}

/* How far CLOCK_MONOTONIC is ahead of the log's clock, ns: the kernel starts the two some milliseconds apart. A line at
 * debug level goes to the log, and comes back with its time. 0 when that cannot be done. */
static int64_t clock_offset(void)
{
	char line[128];
	gb_autoclose int fd = open("/dev/kmsg", O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	unsigned prio;
	unsigned long long seq, usec;
	char text[8193];

	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0)
		return 0;
	/* The end that lseek(2) found may be an older line of the same kind: the time tells them apart. */
	uint64_t before = gb_mono_ns();
	int len = snprintf(line, sizeof line, "<15>guestbox: boot-timeline: %d at %llu ns\n", (int)getpid(),
			   (unsigned long long)before);
	if (len < 0 || gb_io_write(fd, line, (size_t)len) < 0)
		return 0;
	for (int i = 0; i < 64; i++) {
		ssize_t n = read(fd, text, sizeof text - 1);
		if (n < 0)
			break;
		text[n] = '\0';
		if (strstr(text, line + 4) && sscanf(text, "%u,%llu,%llu,", &prio, &seq, &usec) == 3)
			return (int64_t)before - (int64_t)(usec * 1000);
	}
	return 0;
}

/* Applets' times become times of the log, which people and the console know. */
static void shift(struct gb_timeline *timeline)
{
	const char *name = getenv("GUESTBOX_KMSG");
	int64_t offset = 0;
	bool asked = name && *name; /* a test's log has no clock */

	for (size_t i = 0; i < timeline->count; i++) {
		struct gb_timeline_step *s = &timeline->steps[i];

		if (!s->pid)
			continue; /* from the log */
		if (!asked)
			offset = clock_offset();
		asked = true;
		if (offset < 0 || (uint64_t)offset <= s->begin) {
			s->begin -= (uint64_t)offset;
			s->end -= (uint64_t)offset;
		}
	}
}

int gb_timeline_read(struct gb_timeline *timeline, struct gb_err *err)
{
	int r = read_file(timeline, err);

	if (r == 0)
		r = read_kmsg(timeline, err);
	if (r == 0)
		shift(timeline);
	gb_timeline_order(timeline);
	return r;
}
