/* SPDX-License-Identifier: MIT */
/* common/power: the plan, the order of unmounting, the run under a deadline with operations of our own. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/power/plan.h"
#include "common/power/request.h"
#include "common/power/run.h"
#include "common/power/state.h"
#include "common/power/work.h"
#include "common/sys/blockdev.h"

static void times_have_a_floor_a_cap_and_an_order(void **state)
{
	(void)state;
	assert_int_equal(gb_power_times(0).deadline, 25000);
	assert_int_equal(gb_power_times(0).kill_at, 20000);
	assert_int_equal(gb_power_times(4000000000u).deadline, 28000);
	assert_int_equal(gb_power_times(1).deadline, 2000);
	assert_int_equal(gb_power_times(1).kill_at, 1);
	for (unsigned ms = 1; ms < 40000; ms += 7) {
		struct gb_power_times t = gb_power_times(ms);
		assert_true(t.kill_at < t.gone_at && t.gone_at < t.deadline);
		assert_true(t.kill_at <= ms && t.deadline < 30000);
		assert_true(t.deadline - t.gone_at >= 1000); /* the file systems' */
	}
}

static struct gb_proc_list procs_of(struct gb_proc *rows, size_t count)
{
	return (struct gb_proc_list){ .procs = rows, .count = count };
}

static void services_stop_before_all_others_and_in_order(void **state)
{
	struct gb_proc rows[] = {
		{ .pid = 1, .command = "containerd" }, /* PID 1 is never signalled, whatever its name */
		{ .pid = 2, .command = "k3s", .kernel = true },
		{ .pid = 10, .command = "containerd" }, { .pid = 11, .command = "containerd-shim", .state = 'S' },
		{ .pid = 12, .command = "k3s-server" }, { .pid = 13, .command = "dockerd" },
		{ .pid = 14, .command = "dockerd" },    { .pid = 15, .command = "sleep" },
	};
	struct gb_proc_list procs = procs_of(rows, GB_ARRAY_LEN(rows));
	struct gb_power_times times = gb_power_times(0);
	gb_autopowerplan struct gb_power_plan plan = { 0 };

	(void)state;
	gb_power_plan_processes(&plan, &procs, 15, &times);
	assert_int_equal(plan.count, 5);
	assert_string_equal(plan.steps[0].object, "dockerd");
	assert_string_equal(plan.steps[1].object, "k3s");
	assert_string_equal(plan.steps[2].object, "containerd");
	assert_int_equal(plan.steps[3].kind, GB_POWER_TERM);
	assert_int_equal(plan.steps[4].kind, GB_POWER_KILL);
	for (size_t i = 1; i < plan.count; i++)
		assert_true(plan.steps[i - 1].until < plan.steps[i].until);
	assert_null(gb_power_service(&rows[3]));

	gb_autopowerplan struct gb_power_plan idle = { 0 };
	procs.count = 2;
	gb_power_plan_processes(&idle, &procs, 15, &times);
	assert_int_equal(idle.count, 2);

	assert_false(gb_power_is_victim(&rows[0], 15));
	assert_false(gb_power_is_victim(&rows[1], 15));
	assert_false(gb_power_is_victim(&rows[7], 15));
	assert_true(gb_power_is_victim(&rows[7], 16));
	assert_false(gb_power_is_victim(&(struct gb_proc){ .pid = 20, .keep = true }, 15));
	assert_false(gb_power_is_victim(&(struct gb_proc){ .pid = 20, .state = 'Z' }, 15));
}

/* The steps of a plan as text: "unmount /a; loop /dev/loop0; " */
static const char *text_of(const struct gb_power_plan *plan)
{
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < plan->count; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s %s; ", gb_power_kind_name(plan->steps[i].kind),
				      plan->steps[i].object);
	return text;
}

static void table_of(const char *text, struct gb_mountinfo_table *table)
{
	struct gb_buf buf = { 0 };

	assert_int_equal(gb_buf_str(&buf, text), 0);
	assert_int_equal(gb_mountinfo_table_of(&buf, table), 0);
	assert_int_equal(table->bad, 0);
}

static const char guest_mounts[] =
	"1 0 0:1 / / rw - rootfs rootfs rw\n"
	"20 1 0:20 / /proc rw - proc proc rw\n"
	"21 1 0:21 / /run rw - tmpfs tmpfs rw\n"
	"22 1 0:22 / /arcbox rw - virtiofs arcbox rw\n"
	"23 1 0:23 /docker /var/lib/docker rw - btrfs /dev/vda rw\n"
	"24 1 0:23 /containerd /var/lib/containerd rw - btrfs /dev/vda rw\n"
	"25 23 0:24 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=/a\n"
	"26 25 0:25 / /var/lib/docker/overlay2/x/merged/tmp rw - tmpfs tmpfs rw\n"
	"27 21 7:3 / /run/img rw - ext4 /dev/loop3 rw\n"
	"28 27 0:26 / /run/img/sub rw - btrfs /dev/loop4 rw\n";

static void unmounting_goes_backwards_and_from_the_leaves(void **state)
{
	gb_automountinfo struct gb_mountinfo_table mounts = { 0 };
	gb_autopowerplan struct gb_power_plan plan = { 0 };
	struct gb_power_device rows[] = {
		{ .kind = GB_POWER_IS_LOOP, .major = 7, .minor = 3, .name = (char *)"/dev/loop3", .file = (char *)"/arcbox/img" },
		{ .kind = GB_POWER_IS_LOOP, .major = 7, .minor = 4, .name = (char *)"/dev/loop4", .file = (char *)"/run/img/b" },
		{ .kind = GB_POWER_IS_LOOP, .major = 7, .minor = 5, .name = (char *)"/dev/loop5", .file = (char *)"/var/lib/docker/c" },
		{ .kind = GB_POWER_IS_SWAP, .name = (char *)"/dev/vdb", .file = (char *)"" },
		{ .kind = GB_POWER_IS_DM, .major = 253, .minor = 0, .name = (char *)"lower", .file = (char *)"", .holders = 1 },
		{ .kind = GB_POWER_IS_DM, .major = 253, .minor = 1, .name = (char *)"upper", .file = (char *)"" },
	};
	struct gb_power_devices devices = { rows, GB_ARRAY_LEN(rows) };

	(void)state;
	table_of(guest_mounts, &mounts);
	gb_power_plan_storage(&plan, &mounts, &devices, NULL, 1000);
	/* tmpfs goes only where a file system below it or above it has to. */
	assert_string_equal(text_of(&plan),
			    "swapoff /dev/vdb; "
			    "unmount /run/img/sub; loop /dev/loop4; "
			    "unmount /run/img; loop /dev/loop3; "
			    "unmount /var/lib/docker/overlay2/x/merged/tmp; "
			    "unmount /var/lib/docker/overlay2/x/merged; "
			    "unmount /var/lib/containerd; "
			    "unmount /var/lib/docker; "
			    "unmount /arcbox; "
			    "loop /dev/loop5; device-mapper upper; device-mapper lower; ");
	for (size_t i = 0; i < plan.count; i++)
		assert_int_equal(plan.steps[i].remote, strcmp(plan.steps[i].object, "/arcbox") == 0);

	gb_autopowerplan struct gb_power_plan part = { 0 };
	gb_power_plan_storage(&part, &mounts, &devices, "/run/img", 1000);
	assert_string_equal(text_of(&part),
			    "unmount /run/img/sub; loop /dev/loop4; unmount /run/img; loop /dev/loop3; ");
	/* "/run/im" is no folder above "/run/img" */
	gb_autopowerplan struct gb_power_plan none = { 0 };
	gb_power_plan_storage(&none, &mounts, &devices, "/run/im", 1000);
	assert_string_equal(text_of(&none), "");
}

static void a_mount_below_a_later_one_goes_first(void **state)
{
	gb_automountinfo struct gb_mountinfo_table mounts = { 0 };
	gb_autopowerplan struct gb_power_plan plan = { 0 };
	struct gb_power_devices devices = { 0 };

	(void)state;
	/* 31 was moved below 32, which is younger. */
	table_of("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
		 "31 32 8:2 / /b/in rw - ext4 /dev/sda2 rw\n"
		 "32 1 8:3 / /b rw - ext4 /dev/sda3 rw\n"
		 "33 1 8:3 /sub /c rw - ext4 /dev/sda3 rw\n", &mounts);
	gb_power_plan_storage(&plan, &mounts, &devices, NULL, 0);
	assert_string_equal(text_of(&plan), "unmount /c; unmount /b/in; unmount /b; ");

	gb_autopowerplan struct gb_power_plan readonly = { 0 };
	gb_power_plan_readonly(&readonly, &mounts, NULL, 0);
	assert_string_equal(text_of(&readonly), "read-only /c; read-only /b/in; read-only /; ");
}

static void where_the_root_writes_to_stays_and_is_made_read_only(void **state)
{
	struct gb_power_devices devices = { 0 };
	gb_automountinfo struct gb_mountinfo_table mounts = { 0 };
	gb_autopowerplan struct gb_power_plan plan = { 0 };

	(void)state;
	table_of("1 0 0:1 / / rw - rootfs rootfs rw\n"
		 "2 1 0:30 / / rw - overlay overlay rw,lowerdir=/run/image,upperdir=/run/data/distro/upper,workdir=/run/data/distro/work\n"
		 "3 2 0:9 / /run rw - tmpfs tmpfs rw\n"
		 "4 3 0:40 / /run/data rw - btrfs /dev/vda rw\n"
		 "5 2 0:40 /@docker /var/lib/docker rw - btrfs /dev/vda rw\n", &mounts);
	gb_power_plan_storage(&plan, &mounts, &devices, NULL, 0);
	gb_power_plan_readonly(&plan, &mounts, NULL, 0);
	assert_false(plan.failed);
	assert_int_equal(plan.count, 3);
	assert_int_equal(plan.steps[0].kind, GB_POWER_UMOUNT);
	assert_string_equal(plan.steps[0].object, "/var/lib/docker");
	assert_int_equal(plan.steps[1].kind, GB_POWER_READONLY);
	assert_int_equal(plan.steps[2].kind, GB_POWER_READONLY);
}

static void a_table_that_is_no_tree_ends_too(void **state)
{
	gb_automountinfo struct gb_mountinfo_table mounts = { 0 };
	gb_autopowerplan struct gb_power_plan plan = { 0 };
	struct gb_power_devices devices = { 0 };

	(void)state;
	table_of("5 6 8:1 / /a rw - ext4 /dev/sda1 rw\n6 5 8:2 / /b rw - ext4 /dev/sda2 rw\n"
		 "7 7 8:3 / /c rw - ext4 /dev/sda3 rw\n", &mounts);
	gb_power_plan_storage(&plan, &mounts, &devices, NULL, 0);
	assert_int_equal(plan.count, 3);
}

static void stat_lines_with_odd_names(void **state)
{
	struct gb_proc p;

	(void)state;
	assert_int_equal(gb_proc_parse("42 (a) R 1 (x)) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 991 1 1\n", &p), 0);
	assert_int_equal(p.pid, 42);
	assert_int_equal(p.state, 'S');
	assert_int_equal(p.start, 991);
	assert_string_equal(p.command, "a) R 1 (x)");
	assert_false(p.kernel);
	assert_int_equal(gb_proc_parse("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0\n", &p), 0);
	assert_true(p.kernel);
	/* Who leads a session that has a terminal: a login shell. */
	assert_int_equal(gb_proc_parse("42 (sh) S 7 42 42 1025 42 4194560 1 2 3 4 5 6 7 8 20 0 1 0 991 1 1\n", &p), 0);
	assert_true(p.shell);
	assert_int_equal(gb_proc_parse("43 (sleep) S 42 43 42 1025 42 4194560 1 2 3 4 5 6 7 8 20 0 1 0 991 1 1\n", &p), 0);
	assert_false(p.shell);
	assert_int_equal(gb_proc_parse("42 (daemon) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 991 1 1\n", &p), 0);
	assert_false(p.shell);
	/* The leader has ended, its threads have not. */
	assert_int_equal(gb_proc_parse("9 (x) Z 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 2 0 9 0 0\n", &p), 0);
	assert_int_equal(p.state, 'S');
	assert_int_equal(gb_proc_parse("9 x Z 1", &p), -EINVAL);
	assert_int_equal(gb_proc_parse("9 (x) Z 1", &p), -EINVAL);
	assert_int_equal(gb_proc_parse("", &p), -EINVAL);
	assert_int_equal(gb_proc_parse(")9(", &p), -EINVAL);
	assert_int_equal(gb_proc_read(getpid(), &p), 0);
}

static void swaps_are_read_by_path(void **state)
{
	char text[] = "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n/dev/vdb partition 1 0 -2\n/a\\040b file 2 0 -3\n";
	size_t pos = 0;

	(void)state;
	assert_string_equal(gb_blockdev_swap_next(text, &pos), "/dev/vdb");
	assert_string_equal(gb_blockdev_swap_next(text, &pos), "/a b");
	assert_null(gb_blockdev_swap_next(text, &pos));
}

static void who_is_asked_and_how(void **state)
{
	enum gb_power_action action;
	unsigned grace;

	(void)state;
	assert_int_equal(gb_power_init_of("guest-init", "/bin/guestbox"), GB_POWER_INIT_GUEST);
	assert_int_equal(gb_power_init_of("init", "/bin/busybox"), GB_POWER_INIT_BUSYBOX);
	assert_int_equal(gb_power_init_of("sh", "/bin/busybox"), GB_POWER_INIT_NONE);
	assert_int_equal(gb_power_init_of("systemd", "/usr/lib/systemd/systemd"), GB_POWER_INIT_SYSTEMD);
	assert_int_equal(gb_power_init_of("tini", "/sbin/tini"), GB_POWER_INIT_NONE);
	assert_int_equal(gb_power_signal(GB_POWER_INIT_GUEST, GB_POWER_OFF), SIGUSR2);
	assert_int_equal(gb_power_signal(GB_POWER_INIT_GUEST, GB_POWER_HALT), SIGUSR1);
	assert_int_equal(gb_power_signal(GB_POWER_INIT_BUSYBOX, GB_POWER_REBOOT), SIGTERM);
	assert_int_equal(gb_power_signal(GB_POWER_INIT_BUSYBOX, GB_POWER_KEXEC), 0);
	assert_int_equal(gb_power_signal(GB_POWER_INIT_SYSTEMD, GB_POWER_OFF), SIGRTMIN + 4);
	assert_int_equal(gb_power_signal(GB_POWER_INIT_NONE, GB_POWER_OFF), 0);
	for (int a = GB_POWER_OFF; a <= GB_POWER_KEXEC; a++) {
		assert_int_equal(gb_power_unpack(gb_power_pack((enum gb_power_action)a, 12345), &action, &grace), 0);
		assert_int_equal(action, a);
		assert_int_equal(grace, 12345);
	}
	assert_int_equal(gb_power_unpack(gb_power_pack(GB_POWER_OFF, 4000000000u), &action, &grace), 0);
	assert_int_equal(grace, GB_POWER_GRACE_MAX);
	assert_int_equal(gb_power_unpack(0, &action, &grace), -EINVAL);
	assert_int_equal(gb_power_unpack(-1, &action, &grace), -EINVAL);
	assert_int_equal(gb_power_unpack(25000, &action, &grace), -EINVAL);
}

/* ---- a run against a machine that is made up ---- */

static struct world {
	_Atomic int mounted[3]; /* /data, /share, /busy */
	_Atomic int readonly, emergencies, synced, going;
	_Atomic int terms, kills, sleeper, stubborn, shell;
	_Atomic int hang_share, hang_data;
} *world;

static int fake_procs(struct gb_proc_list *list, bool trust)
{
	static struct gb_proc rows[4];

	(void)trust;
	rows[0] = (struct gb_proc){ .pid = 1, .command = "init" };
	list->count = 1;
	if (world->sleeper)
		rows[list->count++] = (struct gb_proc){ .pid = 100, .command = "sleep", .start = 5 };
	if (world->stubborn)
		rows[list->count++] = (struct gb_proc){ .pid = 101, .command = "stubborn", .start = 6 };
	if (world->shell)
		rows[list->count++] = (struct gb_proc){ .pid = 102, .command = "sh", .start = 7, .shell = true };
	list->procs = realloc(list->procs, sizeof rows); /* the caller frees it */
	assert_non_null(list->procs);
	memcpy(list->procs, rows, sizeof rows);
	return 0;
}

static int fake_pidfd(const struct gb_proc *proc)
{
	(void)proc;
	return -ENOSYS;
}

static int fake_signal(pid_t pid, int pidfd, int sig)
{
	(void)pidfd;
	if (sig == SIGTERM)
		world->terms++;
	if (sig == SIGTERM && pid == 100)
		world->sleeper = 0;
	/* An interactive shell does not hear SIGTERM; nobody else is to get a hang-up. */
	if (sig == SIGHUP) {
		assert_int_equal(pid, 102);
		world->shell = 0;
	}
	if (sig == SIGKILL) {
		world->kills++;
		if (world->stubborn == 1 && (pid == 101 || pid == -1))
			world->stubborn = 0;
	}
	return 0;
}

static int fake_mounts(struct gb_mountinfo_table *table)
{
	char text[1024];

	(void)snprintf(text, sizeof text, "1 0 0:1 / / rw - rootfs rootfs rw\n%s%s%s%s",
		       world->mounted[0] ? "2 1 8:1 / /data rw - ext4 /dev/data rw\n" : "",
		       world->mounted[1] ? "3 1 0:9 / /share rw - virtiofs share rw\n" : "",
		       world->mounted[2] ? "4 1 8:2 / /busy rw - ext4 /dev/busy " : "",
		       world->mounted[2] ? world->readonly ? "ro\n" : "rw\n" : "");
	struct gb_buf buf = { 0 };
	assert_int_equal(gb_buf_str(&buf, text), 0);
	return gb_mountinfo_table_of(&buf, table);
}

static int fake_devices(struct gb_power_devices *devices)
{
	(void)devices;
	return 0;
}

static int fake_step(enum gb_power_kind kind, const char *object)
{
	bool hangs = (world->hang_share && strcmp(object, "/share") == 0) || (world->hang_data && strcmp(object, "/data") == 0);

	if (kind == GB_POWER_SYNC)
		world->synced++;
	if (kind == GB_POWER_READONLY)
		world->readonly = 1;
	if (kind != GB_POWER_UMOUNT)
		return 0;
	if (hangs) { /* in a process of its own, which ends with the test's */
		assert_int_equal(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
		for (;;)
			(void)pause();
	}
	if (strcmp(object, "/busy") == 0)
		return -EBUSY;
	world->mounted[strcmp(object, "/share") == 0] = 0;
	return 0;
}

static void fake_emergency(void)
{
	world->emergencies++;
}

static int fake_go(enum gb_power_action action)
{
	world->going = 1 + (int)action;
	return -EPERM;
}

static const struct gb_power_ops fake = {
	.procs = fake_procs, .pidfd = fake_pidfd, .signal = fake_signal, .mounts = fake_mounts, .devices = fake_devices,
	.step = fake_step, .emergency = fake_emergency, .go = fake_go,
};

static void run_fake(unsigned grace_ms, struct gb_power_report *report)
{
	struct gb_power_opts opts = { .action = GB_POWER_REBOOT, .grace_ms = grace_ms, .storage = true, .quiet = true, .json_fd = -1 };
	struct gb_err err = { 0 };

	assert_int_equal(gb_power_run(&opts, &fake, report, &err), -EPERM);
	assert_non_null(strstr(err.msg, "reboot"));
	assert_int_equal(world->going, 1 + GB_POWER_REBOOT);
}

/* The state of the file system that was mounted there, or -1. */
static int state_of(const struct gb_power_report *report, const char *target)
{
	for (size_t i = 0; i < report->fs_count; i++) {
		if (strcmp(report->fs[i].target, target) == 0)
			return (int)report->fs[i].state;
	}
	return -1;
}

/* The first event of a kind, or one that fits nothing. */
static const struct gb_power_event *event_of(const struct gb_power_report *report, enum gb_power_kind kind)
{
	static const struct gb_power_event none = { .result = 1 };

	for (size_t i = 0; i < report->events_count; i++) {
		if (report->events[i].kind == kind)
			return &report->events[i];
	}
	return &none;
}

static int reset(void **state)
{
	(void)state;
	*world = (struct world){ .mounted = { 1, 1, 0 } };
	return 0;
}

static void a_willing_machine_ends_clean(void **state)
{
	gb_autopowerreport struct gb_power_report report = { 0 };

	(void)state;
	world->sleeper = world->shell = 1;
	run_fake(0, &report);
	assert_true(report.clean && !report.late);
	assert_int_equal(world->terms, 2);
	assert_int_equal(world->kills, 0);
	assert_int_equal(world->synced, 1);
	assert_int_equal(world->emergencies, 0);
	assert_int_equal(report.fs_count, 2);
	assert_int_equal(state_of(&report, "/data"), GB_POWER_FS_UNMOUNTED);
	assert_int_equal(state_of(&report, "/share"), GB_POWER_FS_UNMOUNTED);
}

static void who_ignores_sigterm_is_killed_and_named(void **state)
{
	gb_autopowerreport struct gb_power_report report = { 0 };

	(void)state;
	world->stubborn = 1;
	run_fake(300, &report);
	assert_true(report.clean);
	assert_true(world->kills > 0);
	const struct gb_power_event *term = event_of(&report, GB_POWER_TERM);
	assert_int_equal(term->result, -ETIMEDOUT);
	assert_int_equal(term->delayers, 1);
	assert_int_equal(term->who[0].pid, 101);
	assert_string_equal(term->who[0].command, "stubborn");
	assert_int_equal(event_of(&report, GB_POWER_KILL)->result, 0);
}

static void who_cannot_be_killed_does_not_stop_it(void **state)
{
	gb_autopowerreport struct gb_power_report report = { 0 };
	char text[900];

	(void)state;
	world->stubborn = 2; /* in D state, for good */
	run_fake(1, &report);
	const struct gb_power_event *kill = event_of(&report, GB_POWER_KILL);
	assert_int_equal(kill->result, -ETIMEDOUT);
	gb_power_report_line(kill, text, sizeof text);
	assert_non_null(strstr(text, "101 (stubborn), which cannot be killed"));
	assert_false(world->mounted[0]);
	assert_true(report.clean && !report.late);
}

static void a_dead_share_costs_only_itself(void **state)
{
	gb_autopowerreport struct gb_power_report report = { 0 };

	(void)state;
	world->hang_share = 1; /* it is the first to be unmounted */
	run_fake(0, &report);
	assert_int_equal(state_of(&report, "/share"), GB_POWER_FS_STUCK);
	assert_int_equal(state_of(&report, "/data"), GB_POWER_FS_UNMOUNTED);
	assert_false(report.clean);
	assert_false(report.late);
	assert_int_equal(world->emergencies, 0); /* no disk of ours is at stake */
}

static void a_dead_disk_ends_at_the_deadline(void **state)
{
	gb_autopowerreport struct gb_power_report report = { 0 };

	(void)state;
	world->hang_data = 1;
	run_fake(1, &report);
	assert_int_equal(state_of(&report, "/data"), GB_POWER_FS_STUCK);
	assert_int_equal(state_of(&report, "/share"), GB_POWER_FS_UNMOUNTED);
	assert_false(report.clean);
	assert_int_equal(world->emergencies, 1);
}

static void what_stays_busy_becomes_read_only(void **state)
{
	gb_autopowerreport struct gb_power_report report = { 0 };

	(void)state;
	world->mounted[2] = 1;
	run_fake(0, &report);
	assert_int_equal(state_of(&report, "/busy"), GB_POWER_FS_READONLY);
	assert_int_equal(event_of(&report, GB_POWER_UMOUNT)->result, -EBUSY);
	assert_true(report.clean);
	assert_int_equal(world->emergencies, 0);
}

static void json_has_steps_and_file_systems(void **state)
{
	gb_autopowerreport struct gb_power_report report = { 0 };
	struct gb_json json = { 0 };

	(void)state;
	run_fake(0, &report);
	gb_power_report_json(&report, &json);
	assert_non_null(strstr(gb_buf_text(&json.buf), "\"step\":\"unmount\",\"object\":\"/share\",\"done\":true"));
	assert_non_null(strstr(gb_buf_text(&json.buf), "\"state\":\"unmounted\",\"clean\":true"));
	assert_non_null(strstr(gb_buf_text(&json.buf), "\"result\":\"clean\""));
	gb_buf_free(&json.buf);
}

int main(void)
{
	world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world == MAP_FAILED)
		return 99;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_have_a_floor_a_cap_and_an_order),
		cmocka_unit_test(services_stop_before_all_others_and_in_order),
		cmocka_unit_test(unmounting_goes_backwards_and_from_the_leaves),
		cmocka_unit_test(a_mount_below_a_later_one_goes_first),
		cmocka_unit_test(where_the_root_writes_to_stays_and_is_made_read_only),
		cmocka_unit_test(a_table_that_is_no_tree_ends_too),
		cmocka_unit_test(stat_lines_with_odd_names),
		cmocka_unit_test(swaps_are_read_by_path),
		cmocka_unit_test(who_is_asked_and_how),
		cmocka_unit_test_setup(a_willing_machine_ends_clean, reset),
		cmocka_unit_test_setup(who_ignores_sigterm_is_killed_and_named, reset),
		cmocka_unit_test_setup(who_cannot_be_killed_does_not_stop_it, reset),
		cmocka_unit_test_setup(a_dead_share_costs_only_itself, reset),
		cmocka_unit_test_setup(a_dead_disk_ends_at_the_deadline, reset),
		cmocka_unit_test_setup(what_stays_busy_becomes_read_only, reset),
		cmocka_unit_test_setup(json_has_steps_and_file_systems, reset),
	};

	return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
