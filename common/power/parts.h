/* SPDX-License-Identifier: MIT */
/* What the parts of a power-off's run share; for common/power alone. */
#ifndef GB_POWER_PARTS_H
#define GB_POWER_PARTS_H

#include "common/power/run.h"

struct gb_power_run {
	const struct gb_power_opts *opts;
	const struct gb_power_ops *ops;
	struct gb_power_report *report;
	struct gb_power_times times;
	uint64_t begun; /* µs */
	size_t logged;  /* events that have had their line */
	struct gb_proc_list procs;
	bool looked;    /* procs is what a look has just found, and nothing was done since */
};

/* A time of the run's plan, in µs of the monotonic clock. */
static inline uint64_t gb_power_run_at(const struct gb_power_run *run, unsigned ms)
{
	return run->begun + (uint64_t)ms * 1000;
}

/* A line for each event that has had none. */
void gb_power_run_log(struct gb_power_run *run);

/* Ends all processes (processes.c). */
void gb_power_run_processes(struct gb_power_run *run);

/* Gives back swap, file systems and what they stand on, and judges how each ended (storage.c). */
void gb_power_run_storage(struct gb_power_run *run);

#endif
