/* SPDX-License-Identifier: MIT */
/* Steps that may block for good, run in processes of their own. */
#ifndef GB_POWER_WORK_H
#define GB_POWER_WORK_H

#include "common/power/run.h"

/* Runs the steps of a plan in their order, each after the one before it has ended - or has been found to hang: then
 * another process goes on behind it, so that one dead server or disk costs only its own file system. Returns when all
 * have ended, when only remote ones are left that have hung for two seconds, or at `until` (µs). Each step becomes an
 * event of the report; one that hangs has the result -ETIMEDOUT. 0, or -errno when no process could be had (no step was
 * begun then). */
int gb_power_work(const struct gb_power_plan *plan, const struct gb_power_ops *ops, uint64_t until,
		  struct gb_power_report *report);

#endif
