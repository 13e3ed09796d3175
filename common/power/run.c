/* SPDX-License-Identifier: MIT */
/* Runs a power-off. */
#include "common/power/run.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/mount/down.h"
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
	case GB_POWER_LOOP: return gb_power_loop_detach(object);
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

/* ---- one run ---- */

struct run {
	const struct gb_power_opts *opts;
	const struct gb_power_ops *ops;
	struct gb_power_report *report;
	struct gb_power_times times;
	uint64_t begun; /* µs */
	size_t logged;  /* events that have had their line */
	struct gb_proc_list procs;
	bool looked;    /* procs is what a look has just found, and nothing was done since */
};

static uint64_t at(const struct run *run, unsigned ms)
{
	return run->begun + (uint64_t)ms * 1000;
}

/* Steps that did nothing in no time are not worth a line. */
static bool worth_a_line(const struct gb_power_event *event)
{
	return event->result || event->delayers || event->usec >= 1000 ||
	       (event->kind != GB_POWER_TERM && event->kind != GB_POWER_KILL && event->kind != GB_POWER_CHECK);
}

static void log_events(struct run *run)
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

/* ---- processes ---- */

/* One that got a signal and whose end is awaited. */
struct victim {
	pid_t pid;
	uint64_t start;
	int pidfd;
	bool alive, seen;
	char command[32];
};

struct hunt {
	struct victim *rows;
	size_t count, size;
	size_t alive;
};

static void hunt_free(struct hunt *hunt)
{
	for (size_t i = 0; i < hunt->count; i++) {
		if (hunt->rows[i].pidfd >= 0)
			(void)close(hunt->rows[i].pidfd);
	}
	free(hunt->rows);
}

static struct victim *known(const struct hunt *hunt, const struct gb_proc *proc)
{
	for (size_t i = 0; i < hunt->count; i++) {
		if (hunt->rows[i].pid == proc->pid && hunt->rows[i].start == proc->start)
			return &hunt->rows[i];
	}
	return NULL;
}

static void give(const struct run *run, pid_t pid, int pidfd, int sig)
{
	(void)run->ops->signal(pid, pidfd, sig);
	if (sig == SIGTERM) /* a stopped process would sleep through it */
		(void)run->ops->signal(pid, pidfd, SIGCONT);
}

static void end(struct hunt *hunt, struct victim *v)
{
	if (v->pidfd >= 0)
		(void)close(v->pidfd);
	v->pidfd = -1;
	hunt->alive -= v->alive;
	v->alive = false;
}

/* Looks who is there, signals who is new, strikes out who is gone. service: NULL means all. */
static int look(struct run *run, struct hunt *hunt, const char *service, int sig)
{
	struct gb_proc_list *procs = &run->procs;
	int r = run->looked ? 0 : run->ops->procs(procs, sig != SIGKILL);
	bool spare = false, any = false;

	run->looked = false;
	if (r < 0)
		return r;
	/* kill(2) of -1 holds up every fork until all have the signal: who forks faster than we look is ended too. */
	for (size_t i = 0; i < procs->count; i++) {
		spare = spare || procs->procs[i].keep;
		any = any || gb_power_is_victim(&procs->procs[i], getpid());
	}
	if (sig == SIGKILL && any && !spare)
		(void)run->ops->signal(-1, -1, SIGKILL);
	for (size_t i = 0; i < hunt->count; i++)
		hunt->rows[i].seen = false;
	for (size_t i = 0; i < procs->count; i++) {
		const struct gb_proc *p = &procs->procs[i];
		const char *of = gb_power_service(p);

		if (!gb_power_is_victim(p, getpid()) || (service && (!of || strcmp(of, service) != 0)))
			continue;
		struct victim *v = known(hunt, p);
		if (v) {
			v->seen = true;
			continue;
		}
		if (hunt->count == hunt->size) {
			size_t size = hunt->size ? 2 * hunt->size : 64;
			struct victim *more = reallocarray(hunt->rows, size, sizeof *more);
			if (!more)
				return -ENOMEM;
			hunt->rows = more;
			hunt->size = size;
		}
		int fd = run->ops->pidfd(p);
		if (fd == -ESRCH)
			continue;
		v = &hunt->rows[hunt->count++];
		*v = (struct victim){ .pid = p->pid, .start = p->start, .pidfd = fd, .alive = true, .seen = true };
		(void)strlcpy(v->command, p->command, sizeof v->command);
		hunt->alive++;
		give(run, v->pid, v->pidfd, sig);
		if (sig == SIGTERM && p->shell) /* an interactive one takes no notice of SIGTERM; a hang-up is what ends it */
			(void)run->ops->signal(v->pid, v->pidfd, SIGHUP);
	}
	for (size_t i = 0; i < hunt->count; i++) {
		if (!hunt->rows[i].seen && hunt->rows[i].alive)
			end(hunt, &hunt->rows[i]);
	}
	return 0;
}

/* Waits for the end of any of them, at most so long. */
static void wait_for_one(struct hunt *hunt, int timeout_ms)
{
	enum { MANY = 512 };
	struct pollfd fds[MANY];
	size_t who[MANY];
	nfds_t n = 0;
	bool blind = false;

	for (size_t i = 0; i < hunt->count && n < MANY; i++) {
		const struct victim *v = &hunt->rows[i];
		if (v->alive && v->pidfd >= 0) {
			who[n] = i;
			fds[n++] = (struct pollfd){ .fd = v->pidfd, .events = POLLIN };
		} else if (v->alive) {
			blind = true;
		}
	}
	if ((blind || n < hunt->alive) && timeout_ms > 10)
		timeout_ms = 10; /* some can only be looked for */
	if (poll(fds, n, timeout_ms) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++) {
		if (fds[i].revents)
			end(hunt, &hunt->rows[who[i]]);
	}
}

/* Who is named as having delayed a step: those still there, else those who ended last. */
static void name_delayers(const struct hunt *hunt, const bool *slow, struct gb_power_event *event)
{
	unsigned n = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < hunt->count; i++) {
			const struct victim *v = &hunt->rows[i];
			if (v->alive != (pass == 0) || (!v->alive && !slow[i]))
				continue;
			if (n < GB_POWER_DELAYERS) {
				event->who[n].pid = v->pid;
				event->who[n].ended = !v->alive;
				(void)strlcpy(event->who[n].command, v->command, sizeof event->who[n].command);
			}
			n++;
		}
	}
	event->delayers = n;
}

enum { SLOW_US = 30000, LOOK_MS = 50 };

/* Signals all (or a service), again and again whoever is new, until none is left or the time is up. Returns whether
 * somebody is left. */
static bool end_processes(struct run *run, const struct gb_power_step *step)
{
	int sig = step->kind == GB_POWER_KILL ? SIGKILL : SIGTERM;
	const char *service = step->kind == GB_POWER_STOP ? step->object : NULL;
	uint64_t begun = gb_mono_us(), until = at(run, step->until), now;
	gb_cleanup(hunt_free) struct hunt hunt = { 0 };
	gb_autofree bool *slow = NULL;
	size_t slow_count = 0;
	int r;

	for (;;) {
		r = look(run, &hunt, service, sig);
		now = gb_mono_us();
		if (r < 0 || !hunt.alive || now >= until)
			break;
		/* In between, only ends are waited for: a look costs three system calls for each process. */
		uint64_t next = now + LOOK_MS * 1000;
		while (hunt.alive && now < until && now < next) {
			uint64_t to = next < until ? next : until;
			if (!slow && begun + SLOW_US > now && begun + SLOW_US < to)
				to = begun + SLOW_US;
			wait_for_one(&hunt, (int)((to - now) / 1000) + 1);
			now = gb_mono_us();
			if (!slow && now - begun >= SLOW_US && hunt.alive) {
				/* Who is there now is slow; who comes later was forked by one of them. */
				slow = calloc(hunt.count, sizeof *slow);
				slow_count = slow ? hunt.count : 0;
				for (size_t i = 0; i < slow_count; i++)
					slow[i] = hunt.rows[i].alive;
			}
		}
	}
	if (r < 0 && sig == SIGKILL)
		(void)run->ops->signal(-1, -1, SIGKILL); /* blind, but everybody */

	struct gb_power_event *event = gb_power_report_event(run->report, step->kind, step->object);
	gb_autofree bool *all = calloc(hunt.count + 1, sizeof *all);
	if (all && slow)
		memcpy(all, slow, slow_count * sizeof *all);
	event->usec = gb_mono_us() - begun;
	event->result = r < 0 ? r : hunt.alive ? -ETIMEDOUT : 0;
	if (all)
		name_delayers(&hunt, all, event);
	log_events(run);
	return event->result != 0;
}

static void end_all_processes(struct run *run)
{
	gb_autopowerplan struct gb_power_plan plan = { 0 };

	/* Without a list there are no ordered stops. */
	run->looked = run->ops->procs(&run->procs, false) == 0;
	gb_power_plan_processes(&plan, &run->procs, getpid(), &run->times);
	for (size_t i = 0; i < plan.count; i++) {
		/* SIGKILL has nobody to go to when the last look of SIGTERM has found nobody. */
		if (!end_processes(run, &plan.steps[i]) && plan.steps[i].kind == GB_POWER_TERM)
			break;
	}
	if (plan.failed)
		(void)run->ops->signal(-1, -1, SIGKILL);
	gb_proc_list_free(&run->procs);
}

/* ---- file systems ---- */

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
static void list_fs(struct run *run, const struct gb_mountinfo_table *mounts)
{
	gb_autopowerplan struct gb_power_plan all = { 0 };
	struct gb_power_report *report = run->report;

	gb_power_plan_readonly(&all, mounts, run->opts->below, 0);
	for (size_t i = 0; i < all.count; i++) {
		const struct gb_mountinfo *row = gb_mountinfo_top(mounts, all.steps[i].object);

		if (!row)
			continue;
		if (report->fs_count == report->fs_size) {
			size_t size = report->fs_size ? 2 * report->fs_size : 16;
			struct gb_power_fs *more = reallocarray(report->fs, size, sizeof *more);
			if (!more)
				return;
			report->fs = more;
			report->fs_size = size;
		}
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
static int result_of(const struct run *run, enum gb_power_kind kind, const char *object)
{
	for (size_t i = run->report->events_count; i-- > 0;) {
		const struct gb_power_event *e = &run->report->events[i];
		if (e->kind == kind && strcmp(e->object, object) == 0)
			return e->result;
	}
	return -ENOENT;
}

static void judge(struct run *run, const struct gb_mountinfo_table *mounts)
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
static uint64_t storage_until(const struct run *run)
{
	return at(run, run->times.deadline - 300);
}

/* What hangs in an unmount is not asked again. */
static void drop_stuck(const struct run *run, struct gb_power_plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct gb_power_step *s = &plan->steps[i];
		if (result_of(run, s->kind, s->object) != -ETIMEDOUT && result_of(run, GB_POWER_UMOUNT, s->object) != -ETIMEDOUT)
			plan->steps[n++] = *s;
	}
	plan->count = n;
}

static int unmount_all(struct run *run)
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
		log_events(run);
	}
	return r;
}

static int finish_storage(struct run *run)
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
	r = plan.failed ? -ENOMEM : gb_power_work(&plan, run->ops, at(run, run->times.deadline - 100), run->report);
	log_events(run);
	if (r == 0)
		r = run->ops->mounts(&after);
	judge(run, &after);
	return r;
}

static void end_storage(struct run *run)
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

/* ---- the sequence ---- */

static void show_json(const struct run *run)
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
	struct run run = { .opts = opts, .ops = ops, .report = report, .times = gb_power_times(opts->grace_ms) };

	run.begun = gb_mono_us();
	report->action = opts->action;
	report->times = run.times;
	report->clean = true;
	if (!opts->below && !opts->at_once)
		end_all_processes(&run);
	if (opts->at_once) {
		gb_autopowerplan struct gb_power_plan plan = { 0 };

		if (!opts->no_sync)
			gb_power_plan_add(&plan, GB_POWER_SYNC, "", 0);
		if (plan.failed || gb_power_work(&plan, ops, at(&run, run.times.deadline), report) < 0)
			ops->emergency();
		log_events(&run);
	} else if (opts->storage || opts->below) {
		end_storage(&run);
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
