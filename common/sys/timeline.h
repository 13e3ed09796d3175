/* SPDX-License-Identifier: MIT */
/* The boot's timeline: who did what from when to when, since the kernel's start. */
#ifndef GB_SYS_TIMELINE_H
#define GB_SYS_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/*
 * Two sources. Steps of the init script are lines of the kernel's log, "guestbox: step NAME: done": they cost no process,
 * have the kernel's time, and a panic shows the last of them. What applets do is appended to a file in /run, which a
 * switch-root carries along: one write(2) of one record each, atomic by O_APPEND, no more once the file is full.
 */
#define GB_TIMELINE_FILE "/run/guestbox/timeline"
#define GB_TIMELINE_MAX 1024 /* records; applets' own stop at half of it, so that marks of scripts have room */

struct gb_timeline_step {
	uint64_t begin, end; /* ns since the kernel's start, by the clock of its log; equal for a point in time */
	int pid;             /* 0: not known (a script's step) */
	bool failed;
	char track[16];      /* "init", or an applet's name */
	char name[56];
};

struct gb_timeline {
	struct gb_timeline_step *steps; /* by end, then by begin */
	size_t count, size;
	uint64_t ready;                 /* ns; 0: not (yet) */
};

void gb_timeline_free(struct gb_timeline *timeline);
#define gb_autotimeline __attribute__((cleanup(gb_timeline_free)))

/* Adds a step that began at `begin` (gb_mono_ns()) and ends now, if the file is there: the init script makes it. Never fails, never
 * allocates, keeps errno. */
void gb_timeline_mark(const char *track, const char *name, uint64_t begin);

/* The same, for `boot-timeline mark`: makes the file when it is missing, and says what failed: 0 or -errno with err. */
int gb_timeline_add(const char *track, const char *name, uint64_t begin, struct gb_err *err);

/* Reads both sources; the records' CLOCK_MONOTONIC is brought to the log's clock. Records that none of ours made are left out.
 * For root, steps that were only in the kernel's log are added to the file, for the log is short of memory and forgets. 0 or
 * -errno with err; no source at all is 0 and no steps. */
int gb_timeline_read(struct gb_timeline *timeline, struct gb_err *err);

/* ---- pure parts ---- */

/* One record as it stands in the file: 0, or -EINVAL for anything that gb_timeline_mark() did not write. */
#define GB_TIMELINE_RECORD 96
int gb_timeline_decode(const unsigned char record[GB_TIMELINE_RECORD], struct gb_timeline_step *ret_step);
/* Whether a step that somebody else sent can be one: named, of this century, not ended before it began. */
bool gb_timeline_is_sane(const struct gb_timeline_step *step);
void gb_timeline_encode(const struct gb_timeline_step *step, unsigned char ret_record[GB_TIMELINE_RECORD]);

/* One line of /dev/kmsg ("PRIO,SEQ,USEC,FLAGS;TEXT"): 1 a step (the kernel's, when it executes /init), 2 "ready", 0 none
 * of ours. begin is left 0. */
int gb_timeline_kmsg(const char *line, struct gb_timeline_step *ret_step);

/* Adds a step if it is not there: 1, 0 when it was, or -ENOMEM. */
int gb_timeline_put(struct gb_timeline *timeline, const struct gb_timeline_step *step);

/* Sorts, and lets each step of the init script begin where the one before it ended. A second "kernel" is called "shell". */
void gb_timeline_order(struct gb_timeline *timeline);

#endif
