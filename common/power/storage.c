/* SPDX-License-Identifier: MIT */
/* The part of a power-off that gives back swap, file systems and the devices below them. */
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <string.h>

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/power/parts.h"
#include "common/power/state.h"
#include "common/power/work.h"

static bool is_disk(const char *source)
{
	return strncmp(source, "/dev/", 5) == 0;
}

/* The first of a file system's mounts. */
static const struct gb_mountinfo *first_of(const struct gb_mountinfo_table *mounts, const struct gb_mountinfo *row)
{
	for (size_t i = 0; i < mounts->count; i++) {
		if (mounts->rows[i].major == row->major && mounts->rows[i].minor == row->minor)
			return &mounts->rows[i];
	}
	return row;
}

/* Every file system that may lose something, once each: what is to be accounted for at the end. */
static void list_fs(struct gb_power_run *run, const struct gb_mountinfo_table *mounts)
{
	gb_autopowerplan struct gb_power_plan all = { 0 };
	struct gb_power_report *report = run->report;

	gb_power_plan_readonly(&all, mounts, run->opts->below, 0);
	for (size_t i = 0; i < all.count; i++) {
		const struct gb_mountinfo *row = gb_mountinfo_top(mounts, all.steps[i].object);

		if (!row)
			continue;
		if (gb_list_room(&report->fs, report->fs_count, &report->fs_size, sizeof *report->fs) < 0)
			return;
		struct gb_power_fs *fs = &report->fs[report->fs_count++];
		*fs = (struct gb_power_fs){ .major = row->major, .minor = row->minor, .disk = is_disk(row->source),
					    .remote = gb_power_is_remote(row->type), .state = GB_POWER_FS_BUSY };
		(void)strlcpy(fs->source, row->source, sizeof fs->source);
		(void)strlcpy(fs->type, row->type, sizeof fs->type);
		(void)strlcpy(fs->last, row->target, sizeof fs->last);
		(void)strlcpy(fs->target, first_of(mounts, row)->target, sizeof fs->target);
	}
}

static const struct gb_mountinfo *mounted(const struct gb_mountinfo_table *mounts, const struct gb_power_fs *fs)
{
	for (size_t i = 0; i < mounts->count; i++) {
		if (mounts->rows[i].major == fs->major && mounts->rows[i].minor == fs->minor)
			return &mounts->rows[i];
	}
	return NULL;
}

/* How a step of a run ended: its last event, or -ENOENT. */
static int result_of(const struct gb_power_run *run, enum gb_power_kind kind, const char *object)
{
	for (size_t i = run->report->events_count; i-- > 0;) {
		const struct gb_power_event *e = &run->report->events[i];
		if (e->kind == kind && strcmp(e->object, object) == 0)
			return e->result;
	}
	return -ENOENT;
}

static void judge(struct gb_power_run *run, const struct gb_mountinfo_table *mounts)
{
	struct gb_power_report *report = run->report;

	report->clean = true;
	for (size_t i = 0; i < report->fs_count; i++) {
		struct gb_power_fs *fs = &report->fs[i];
		const struct gb_mountinfo *row = mounted(mounts, fs);
		int unmounting = result_of(run, GB_POWER_UMOUNT, fs->target);
		int checked = fs->disk ? result_of(run, GB_POWER_CHECK, fs->source) : 0;

		if (unmounting == -ETIMEDOUT || checked == -ETIMEDOUT ||
		    result_of(run, GB_POWER_READONLY, fs->last) == -ETIMEDOUT)
			fs->state = GB_POWER_FS_STUCK;
		else if (row && fs->remote) /* its server has not said that it has all */
			fs->state = GB_POWER_FS_BUSY;
		else if (row)
			fs->state = gb_mountinfo_has(row->super, "ro", NULL) ? GB_POWER_FS_READONLY : GB_POWER_FS_BUSY;
		else
			fs->state = checked ? GB_POWER_FS_BUSY : GB_POWER_FS_UNMOUNTED;
		report->clean = report->clean && gb_power_fs_is_clean(fs);
	}
}

static size_t count_steps(const struct gb_power_plan *plan, enum gb_power_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->count; i++)
		n += plan->steps[i].kind == kind;
	return n;
}

/* Unmounting ends some time before the deadline: the last steps need it. */
static uint64_t storage_until(const struct gb_power_run *run)
{
	return gb_power_run_at(run, run->times.deadline - 300);
}

/* What hangs in an unmount is not asked again. */
static void drop_stuck(const struct gb_power_run *run, struct gb_power_plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct gb_power_step *s = &plan->steps[i];
		if (result_of(run, s->kind, s->object) != -ETIMEDOUT && result_of(run, GB_POWER_UMOUNT, s->object) != -ETIMEDOUT)
			plan->steps[n++] = *s;
	}
	plan->count = n;
}

static int unmount_all(struct gb_power_run *run)
{
	size_t before = SIZE_MAX;
	int r = 0;

	/* Again as long as each pass leaves less than the one before: a file system that was in use by another that is
	 * gone now, a mount that another one had hidden. */
	for (unsigned pass = 0; r == 0 && pass < 16 && gb_mono_us() < storage_until(run); pass++) {
		gb_autopowerdevices struct gb_power_devices devices = { 0 };
		gb_automountinfo struct gb_mountinfo_table mounts = { 0 };
		gb_autopowerplan struct gb_power_plan plan = { 0 };

		r = run->ops->mounts(&mounts);
		if (r == 0)
			r = run->ops->devices(&devices);
		if (r < 0)
			break;
		if (pass == 0)
			list_fs(run, &mounts);
		gb_power_plan_storage(&plan, &mounts, &devices, run->opts->below, 0);
		if (plan.failed)
			return -ENOMEM;
		drop_stuck(run, &plan);
		size_t left = count_steps(&plan, GB_POWER_UMOUNT);
		if (pass > 0 && (left == 0 || left >= before)) {
			/* No way on but to abort what waits for a dead server, once. */
			size_t forced = 0;
			for (size_t i = 0; i < plan.count; i++) {
				struct gb_power_step *s = &plan.steps[i];
				if (s->kind == GB_POWER_UMOUNT && s->remote && result_of(run, GB_POWER_FORCE, s->object) == -ENOENT) {
					s->kind = GB_POWER_FORCE;
					plan.steps[forced++] = *s;
				}
			}
			plan.count = forced;
			if (!forced)
				break;
		}
		before = left;
		r = gb_power_work(&plan, run->ops, storage_until(run), run->report);
		gb_power_run_log(run);
	}
	return r;
}

static int finish_storage(struct gb_power_run *run)
{
	gb_automountinfo struct gb_mountinfo_table mounts = { 0 }, after = { 0 };
	gb_autopowerplan struct gb_power_plan plan = { 0 };
	int r = run->ops->mounts(&mounts);

	if (r < 0)
		return r;
	gb_power_plan_readonly(&plan, &mounts, run->opts->below, 0);
	drop_stuck(run, &plan);
	if (!run->opts->no_sync && !run->opts->below) {
		gb_power_plan_add(&plan, GB_POWER_SYNC, "", 0);
		for (size_t i = 0; i < run->report->events_count && !plan.failed; i++) {
			/* sync(2) waits for every file system, so for the dead one too. */
			if (run->report->events[i].result == -ETIMEDOUT)
				plan.steps[plan.count - 1].remote = true;
		}
	}
	for (size_t i = 0; i < run->report->fs_count; i++) {
		const struct gb_power_fs *fs = &run->report->fs[i];
		if (fs->disk && !mounted(&mounts, fs))
			gb_power_plan_add(&plan, GB_POWER_CHECK, fs->source, 0);
	}
	r = plan.failed ? -ENOMEM : gb_power_work(&plan, run->ops, gb_power_run_at(run, run->times.deadline - 100), run->report);
	gb_power_run_log(run);
	if (r == 0)
		r = run->ops->mounts(&after);
	judge(run, &after);
	return r;
}

void gb_power_run_storage(struct gb_power_run *run)
{
	int r = unmount_all(run);

	if (r == 0)
		r = finish_storage(run);
	bool stuck = r < 0;
	for (size_t i = 0; i < run->report->fs_count; i++)
		stuck = stuck || (run->report->fs[i].disk && !gb_power_fs_is_clean(&run->report->fs[i]));
	if (r < 0)
		run->report->clean = false;
	if (stuck && !run->opts->below)
		run->ops->emergency();
	for (size_t i = 0; i < run->report->fs_count && !run->opts->quiet; i++) {
		char text[1200];
		const struct gb_power_fs *fs = &run->report->fs[i];
		gb_power_report_fs_line(fs, text, sizeof text);
		gb_log(gb_power_fs_is_clean(fs) ? GB_LOG_WARNING : GB_LOG_ERR, "%s", text);
	}
	if (r < 0 && !run->opts->quiet)
		gb_log(GB_LOG_ERR, "file systems: %s; asked the kernel to sync and to make them read-only", strerror(-r));
}
