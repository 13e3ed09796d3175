/* SPDX-License-Identifier: MIT */
/* What a power-off did: each step's time, who delayed it, and how each file system ended. */
#ifndef GB_POWER_REPORT_H
#define GB_POWER_REPORT_H

#include "common/base/json.h"
#include "common/power/plan.h"

enum { GB_POWER_DELAYERS = 8 };

struct gb_power_event {
	enum gb_power_kind kind;
	int result;        /* 0, -errno; -ETIMEDOUT: it did not end */
	uint64_t usec;
	char object[512];  /* cut at its end if it is longer */
	unsigned delayers; /* how many processes it had to wait for; the last of them are named */
	struct {
		pid_t pid;
		char command[32];
		bool ended;
	} who[GB_POWER_DELAYERS];
};

enum gb_power_fs_state {
	GB_POWER_FS_UNMOUNTED, /* and its disk is free */
	GB_POWER_FS_READONLY,  /* all that it held is written */
	GB_POWER_FS_BUSY,      /* still writable, or its disk is still in use */
	GB_POWER_FS_STUCK,     /* its disk or its server did not answer in time */
};

struct gb_power_fs {
	unsigned major, minor;
	bool disk, remote;
	char source[512], type[32];
	char target[512]; /* of its mounts the first one, which is unmounted last */
	char last[512];   /* the last one, by which it is made read-only */
	enum gb_power_fs_state state;
};

struct gb_power_report {
	enum gb_power_action action;
	struct gb_power_times times;
	struct gb_power_event *events;
	size_t events_count, events_size;
	struct gb_power_fs *fs;
	size_t fs_count, fs_size;
	uint64_t usec; /* from the request to the end */
	bool late;     /* the deadline cut it short */
	bool clean;    /* every file system ended clean */
};

void gb_power_report_free(struct gb_power_report *report);
#define gb_autopowerreport __attribute__((cleanup(gb_power_report_free)))

/* A new event, to be filled in; without memory one that is overwritten by the next. */
struct gb_power_event *gb_power_report_event(struct gb_power_report *report, enum gb_power_kind kind,
					     const char *object);

/* One line for an event, without a newline: "terminate: 20000.3 ms, waited for 77 (sleep)". */
void gb_power_report_line(const struct gb_power_event *event, char *text, size_t size);

/* One line for a file system: "/dev/vda (btrfs on /var/lib/docker): clean, unmounted". */
void gb_power_report_fs_line(const struct gb_power_fs *fs, char *text, size_t size);

/* Unmounted or read-only: nothing of it is lost. */
bool gb_power_fs_is_clean(const struct gb_power_fs *fs);

/* {"action","deadline_ms","steps":[{"step","object","done","usec","error","delayed_by":[{"pid","command","ended"}]}],
 * "filesystems":[{"source","type","target","state","clean"}],"result","usec"} */
void gb_power_report_json(const struct gb_power_report *report, struct gb_json *json);

/* The same shape for a plan that is not run: done false, usec 0, no file systems. */
void gb_power_plan_json(const struct gb_power_plan *plan, enum gb_power_action action,
			const struct gb_power_times *times, struct gb_json *json);

#endif
