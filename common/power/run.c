/* SPDX-License-Identifier: MIT */
/* Runs a power-off. */
#include "common/power/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/mount/down.h"
#include "common/mount/loop.h"
#include "common/power/parts.h"
#include "common/power/state.h"
#include "common/power/work.h"

/* ---- the real operations ---- */

static int real_pidfd(const struct gb_proc *proc)
{
	struct gb_proc again;
	int fd = (int)syscall(SYS_pidfd_open, proc->pid, 0);

	if (fd < 0)
		return -errno;
	/* The number may have passed to another process between the look and the open. */
	if (gb_proc_read(proc->pid, &again) < 0 || again.start != proc->start) {
		(void)close(fd);
		return -ESRCH;
	}
	return fd;
}

static int real_signal(pid_t pid, int pidfd, int sig)
{
	if (pidfd >= 0)
		return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
	return kill(pid, sig) < 0 ? -errno : 0;
}

static int real_mounts(struct gb_mountinfo_table *table)
{
	return gb_mountinfo_read(NULL, table);
}

static int real_step(enum gb_power_kind kind, const char *object)
{
	switch (kind) {
	case GB_POWER_SWAPOFF: return gb_power_swap_off(object);
	case GB_POWER_UMOUNT: return gb_mount_down(object, false);
	case GB_POWER_FORCE: return gb_mount_down(object, true);
	case GB_POWER_LOOP: return gb_mount_loop_detach(object, NULL);
	case GB_POWER_DM: return gb_power_dm_remove(object);
	case GB_POWER_READONLY: return gb_mount_readonly(object);
	case GB_POWER_SYNC: sync(); return 0;
	case GB_POWER_CHECK: return gb_power_disk_free(object);
	default: return -EINVAL;
	}
}

static void real_emergency(void)
{
	/* emergency_sync() and emergency_remount() of the kernel (drivers/tty/sysrq.c) run in threads of its own. */
	(void)gb_io_put(AT_FDCWD, "/proc/sysrq-trigger", "s");
	(void)gb_io_put(AT_FDCWD, "/proc/sysrq-trigger", "u");
	(void)poll(NULL, 0, 300);
}

static int real_go(enum gb_power_action action)
{
	static const int commands[] = { RB_POWER_OFF, RB_AUTOBOOT, RB_HALT_SYSTEM, RB_KEXEC };

	return reboot(commands[action]) < 0 ? -errno : 0;
}

const struct gb_power_ops gb_power_ops = {
	.procs = gb_proc_scan,
	.pidfd = real_pidfd,
	.signal = real_signal,
	.mounts = real_mounts,
	.devices = gb_power_devices_read,
	.step = real_step,
	.emergency = real_emergency,
	.go = real_go,
};

/* ---- the sequence ---- */

/* Steps that did nothing in no time are not worth a line. */
static bool worth_a_line(const struct gb_power_event *event)
{
	return event->result || event->delayers || event->usec >= 1000 ||
	       (event->kind != GB_POWER_TERM && event->kind != GB_POWER_KILL && event->kind != GB_POWER_CHECK);
}

void gb_power_run_log(struct gb_power_run *run)
{
	char text[900];

	for (; run->logged < run->report->events_count; run->logged++) {
		const struct gb_power_event *event = &run->report->events[run->logged];

		if (run->opts->quiet || !worth_a_line(event))
			continue;
		gb_power_report_line(event, text, sizeof text);
		gb_log(event->result ? GB_LOG_ERR : GB_LOG_WARNING, "%s", text);
	}
}

static void show_json(const struct gb_power_run *run)
{
	struct gb_json json = { 0 };
	int fd = run->opts->json_fd;
	int flags = fcntl(fd, F_GETFL);

	/* Whoever should have read it may be dead by now: never wait. */
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	gb_power_report_json(run->report, &json);
	(void)gb_json_flush(&json, fd);
}

int gb_power_run(const struct gb_power_opts *opts, const struct gb_power_ops *ops, struct gb_power_report *report,
		 struct gb_err *err)
{
	struct gb_power_run run = { .opts = opts, .ops = ops, .report = report, .times = gb_power_times(opts->grace_ms) };

	run.begun = gb_mono_us();
	report->action = opts->action;
	report->times = run.times;
	report->clean = true;
	if (!opts->below && !opts->at_once)
		gb_power_run_processes(&run);
	if (opts->at_once) {
		gb_autopowerplan struct gb_power_plan plan = { 0 };

		if (!opts->no_sync)
			gb_power_plan_add(&plan, GB_POWER_SYNC, "", 0);
		if (plan.failed || gb_power_work(&plan, ops, gb_power_run_at(&run, run.times.deadline), report) < 0)
			ops->emergency();
		gb_power_run_log(&run);
	} else if (opts->storage || opts->below) {
		gb_power_run_storage(&run);
	}
	report->usec = gb_mono_us() - run.begun;
	report->late = report->usec > (uint64_t)run.times.deadline * 1000;
	if (!opts->quiet && !opts->below)
		gb_log(report->clean ? GB_LOG_WARNING : GB_LOG_ERR, "%s after %.1f ms%s", gb_power_action_name(opts->action),
		       (double)report->usec / 1000, report->clean ? "" : ", not clean");
	if (opts->json_fd >= 0)
		show_json(&run);
	if (opts->below)
		return 0;
	int r = ops->go(opts->action);
	return r < 0 ? gb_err_sys(err, -r, "reboot: %s", gb_power_action_name(opts->action)) : 0;
}

int gb_power_show(const struct gb_power_opts *opts, const struct gb_power_ops *ops, struct gb_power_plan *plan,
		  struct gb_mountinfo_table *mounts, struct gb_power_devices *devices, struct gb_err *err)
{
	struct gb_power_times times = gb_power_times(opts->grace_ms);
	gb_autoproclist struct gb_proc_list procs = { 0 };
	int r;

	if (!opts->below && !opts->at_once) {
		r = ops->procs(&procs, false);
		if (r < 0)
			return gb_err_sys(err, -r, "/proc");
		gb_power_plan_processes(plan, &procs, getpid(), &times);
	}
	if ((opts->storage || opts->below) && !opts->at_once) {
		r = ops->mounts(mounts);
		if (r < 0)
			return gb_err_sys(err, -r, "/proc/self/mountinfo");
		r = ops->devices(devices);
		if (r < 0)
			return gb_err_sys(err, -r, "block devices");
		gb_power_plan_storage(plan, mounts, devices, opts->below, times.deadline);
		/* The root cannot be unmounted, and is made read-only as what turns out to be busy is. */
		const struct gb_mountinfo *root = opts->below ? NULL : gb_mountinfo_top(mounts, "/");
		if (root && !gb_power_is_pseudo(root->type) && !gb_mountinfo_has(root->super, "ro", NULL))
			gb_power_plan_add(plan, GB_POWER_READONLY, root->target, times.deadline);
	}
	if (!opts->no_sync && !opts->below)
		gb_power_plan_add(plan, GB_POWER_SYNC, "", times.deadline);
	if (!opts->below)
		gb_power_plan_add(plan, GB_POWER_GO, gb_power_action_name(opts->action), times.deadline);
	return plan->failed ? gb_err_sys(err, ENOMEM, "plan") : 0;
}
