/* SPDX-License-Identifier: MIT */
/* What keeps daemons: common/sys cgroup, logfile, pidrec, rmtree, spawn, and the back-off of respawn. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/cgroup.h"
#include "common/sys/logfile.h"
#include "common/sys/pidrec.h"
#include "common/sys/respawn.h"
#include "common/sys/rmtree.h"
#include "common/sys/spawn.h"

static char dir[64];

static const char *in(const char *name)
{
	return unit_path(dir, name);
}

static int begin(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/gb-unit-daemons-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	gb_autobuf struct gb_buf problems = { 0 };

	(void)state;
	return gb_rmtree_inside(dir, &problems) == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static void put(const char *path, const char *text)
{
	gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(gb_io_write(fd, text, strlen(text)), 0);
}

static void text_is(const char *path, const char *want)
{
	gb_autobuf struct gb_buf buf = { 0 };

	assert_int_equal(gb_io_slurp(AT_FDCWD, path, 1 << 20, &buf), 0);
	assert_string_equal(gb_buf_text(&buf), want);
}

/* ---- log files ---- */

static void logs_are_put_aside_between_lines(void **state)
{
	struct gb_logfile log;

	(void)state;
	gb_logfile_init(&log, in("a.log"), 10, 2);
	assert_int_equal(gb_logfile_write(&log, "one\ntwo\n", 8), 0);
	assert_int_equal(gb_logfile_write(&log, "three\nfour\nfi", 13), 0); /* "three" ends past the limit */
	text_is(in("a.log"), "four\nfi");
	text_is(in("a.log.1"), "one\ntwo\nthree\n");
	/* A line that comes in pieces is not torn, though the file is full before its end. */
	assert_int_equal(gb_logfile_write(&log, "ve-and-six", 10), 0);
	text_is(in("a.log"), "four\nfive-and-six");
	assert_int_equal(gb_logfile_write(&log, "-seven\neight\n", 13), 0);
	text_is(in("a.log.1"), "four\nfive-and-six-seven\n");
	text_is(in("a.log.2"), "one\ntwo\nthree\n");
	text_is(in("a.log"), "eight\n");
	/* The oldest generation goes. */
	assert_int_equal(gb_logfile_write(&log, "nine\nten\n", 9), 0);
	assert_int_equal(gb_logfile_write(&log, "eleven\n", 7), 0);
	text_is(in("a.log.2"), "four\nfive-and-six-seven\n");
	assert_int_equal(access(in("a.log.3"), F_OK), -1);
	gb_logfile_close(&log);
}

static void a_line_without_an_end_is_bounded(void **state)
{
	struct gb_logfile log;
	struct stat st;

	(void)state;
	gb_logfile_init(&log, in("b.log"), 100, 1);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(gb_logfile_write(&log, "xxxxxxxxxx", 10), 0);
	assert_int_equal(stat(in("b.log"), &st), 0);
	assert_true(st.st_size <= 210);
	assert_int_equal(stat(in("b.log.1"), &st), 0);
	assert_true(st.st_size <= 210);
	gb_logfile_close(&log);
}

static void a_log_goes_on_where_it_was_and_after_its_removal(void **state)
{
	struct gb_logfile log;

	(void)state;
	put(in("c.log"), "half");
	gb_logfile_init(&log, in("c.log"), 1000, 2);
	assert_int_equal(gb_logfile_open(&log), 0);
	assert_true(log.cut);
	assert_int_equal(log.size, 4);
	assert_int_equal(gb_logfile_write(&log, " line\n", 6), 0);
	text_is(in("c.log"), "half line\n");
	assert_int_equal(unlink(in("c.log")), 0);
	assert_int_equal(gb_logfile_write(&log, "new\n", 4), 0);
	text_is(in("c.log"), "new\n");
	gb_logfile_close(&log);
	/* A link is not followed, a FIFO is no log: neither hangs. */
	assert_int_equal(symlink("/dev/null", in("l.log")), 0);
	gb_logfile_init(&log, in("l.log"), 1000, 2);
	assert_int_equal(gb_logfile_open(&log), -ELOOP);
	assert_int_equal(mkfifo(in("f.log"), 0600), 0);
	gb_logfile_init(&log, in("f.log"), 1000, 2);
	assert_int_equal(gb_logfile_open(&log), -EINVAL);
}

/* A full disk, by RLIMIT_FSIZE: write(2) fails with EFBIG there as with ENOSPC here. */
static void what_a_full_disk_loses_is_said(void **state)
{
	struct gb_logfile log;
	struct rlimit old, none;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = old;
	none.rlim_cur = 6;
	gb_logfile_init(&log, in("d.log"), 1000, 2);
	assert_int_equal(gb_logfile_write(&log, "good\n", 5), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(gb_logfile_write(&log, "bad 1\n", 6), -EFBIG);
	assert_int_equal(gb_logfile_write(&log, "bad 22\n", 7), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(gb_logfile_write(&log, "again\n", 6), 0);
	text_is(in("d.log"), "good\nb\n[13 bytes of this log were lost: File too large]\nagain\n");
	gb_logfile_close(&log);
}

/* ---- who is meant ---- */

static void a_record_names_one_process(void **state)
{
	struct gb_proc self, found;
	pid_t pid = 0;
	uint64_t start = 0;

	(void)state;
	assert_int_equal(gb_pidrec_parse("7 99 boot-1\n", "boot-1", &pid, &start), 0);
	assert_int_equal(pid, 7);
	assert_int_equal(start, 99);
	assert_int_equal(gb_pidrec_parse("7 99 boot-1\n", "boot-2", &pid, &start), -EINVAL);
	assert_int_equal(gb_pidrec_parse("7 99 boot-1", "boot-1", &pid, &start), -EINVAL);
	assert_int_equal(gb_pidrec_parse("1 99 boot-1\n", "boot-1", &pid, &start), -EINVAL);
	assert_int_equal(gb_pidrec_parse("-7 99 boot-1\n", "boot-1", &pid, &start), -EINVAL);
	assert_int_equal(gb_pidrec_parse("9999999999 99 boot-1\n", "boot-1", &pid, &start), -EINVAL);
	assert_int_equal(gb_pidrec_parse("", "", &pid, &start), -EINVAL);

	assert_int_equal(gb_proc_read(getpid(), &self), 0);
	assert_int_equal(gb_pidrec_read(in("rec"), &found), -ENOENT);
	assert_int_equal(gb_pidrec_write(in("rec"), &self), 0);
	assert_int_equal(gb_pidrec_read(in("rec"), &found), 0);
	assert_int_equal(found.pid, getpid());
	/* The same number, started at another time: another process. */
	self.start++;
	assert_int_equal(gb_pidrec_write(in("rec"), &self), 0);
	assert_int_equal(gb_pidrec_read(in("rec"), &found), -ESRCH);
	/* One that has ended and is not waited for yet has ended. */
	pid = fork();
	if (pid == 0)
		_exit(0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(gb_proc_read(pid, &self), 0);
	assert_int_equal(gb_pidrec_write(in("rec"), &self), 0);
	assert_int_equal(gb_pidrec_read(in("rec"), &found), -ESRCH);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(gb_pidrec_read(in("rec"), &found), -ESRCH);
	put(in("rec"), "garbage\n");
	assert_int_equal(gb_pidrec_read(in("rec"), &found), -ENOENT);
}

static void the_pauses_between_restarts_grow(void **state)
{
	(void)state;
	assert_int_equal(gb_respawn_backoff(0), 250);
	assert_int_equal(gb_respawn_backoff(1), 250);
	assert_int_equal(gb_respawn_backoff(2), 500);
	assert_int_equal(gb_respawn_backoff(5), 4000);
	assert_int_equal(gb_respawn_backoff(7), 10000);
	assert_int_equal(gb_respawn_backoff(4000000000u), 10000);
}

static void the_cgroup_of_a_process_is_read(void **state)
{
	char path[32];

	(void)state;
	assert_int_equal(gb_cgroup_parse("0::/\n", path, sizeof path), 0);
	assert_string_equal(path, "/");
	assert_int_equal(gb_cgroup_parse("9:name=systemd:/x\n1:cpu:/0::/no\n0::/a b/c\n", path, sizeof path), 0);
	assert_string_equal(path, "/a b/c");
	assert_int_equal(gb_cgroup_parse("0::/0123456789012345678901234567890", path, sizeof path), -ENAMETOOLONG);
	assert_int_equal(gb_cgroup_parse("4:memory:/x\n", path, sizeof path), -ENOENT);
	assert_int_equal(gb_cgroup_parse("", path, sizeof path), -ENOENT);
}

/* A folder in the place of a group: the files that the kernel would have there, without cgroup.kill (Linux before 5.14). */
static int fake_group(const char *name, const char *procs, const char *events)
{
	char path[64];

	assert_int_equal(gb_io_mkdirs(in(name)), 0);
	(void)snprintf(path, sizeof path, "%s/cgroup.procs", name);
	put(in(path), procs);
	(void)snprintf(path, sizeof path, "%s/cgroup.events", name);
	put(in(path), events);
	int fd = open(in(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		for (;;)
			(void)pause();
	}
	return pid;
}

static int end_of(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void a_group_is_signalled_with_all_below_it(void **state)
{
	pid_t one = sleeper(), two = sleeper(), three = sleeper();
	char procs[64];

	(void)state;
	/* 0: a process of another PID namespace; 1 and ourselves: never. */
	(void)snprintf(procs, sizeof procs, "0\n1\n%d\n%d\n", (int)getpid(), (int)one);
	gb_autoclose int group = fake_group("g", procs, "populated 1\nfrozen 0\n");
	(void)snprintf(procs, sizeof procs, "%d\n", (int)two);
	gb_autoclose int below = fake_group("g/a/b", procs, "");
	put(in("g/a/cgroup.procs"), "");
	/* Neither a file nor a link is a group. */
	(void)snprintf(procs, sizeof procs, "%d\n", (int)three);
	gb_autoclose int beside = fake_group("beside", procs, "");
	assert_int_equal(symlink("../beside", in("g/link")), 0);
	assert_true(below >= 0 && beside >= 0);

	assert_int_equal(gb_cgroup_signal(group, SIGTERM), 2);
	assert_int_equal(end_of(one), SIGTERM);
	assert_int_equal(end_of(two), SIGTERM);
	assert_int_equal(gb_cgroup_signal(group, SIGTERM), 0); /* they are gone */
	assert_int_equal(gb_cgroup_signal(beside, SIGKILL), 1);
	assert_int_equal(end_of(three), SIGKILL);
	put(in("beside/cgroup.procs"), "no number\n");
	assert_int_equal(gb_cgroup_signal(beside, SIGKILL), 0);
	/* With cgroup.kill the kernel does it. */
	put(in("beside/cgroup.kill"), "");
	assert_int_equal(gb_cgroup_signal(beside, SIGKILL), 1);
	text_is(in("beside/cgroup.kill"), "1");
	assert_int_equal(unlink(in("beside/cgroup.procs")), 0);
	assert_int_equal(gb_cgroup_signal(beside, SIGTERM), -ENOENT);
}

static void a_group_is_waited_for(void **state)
{
	gb_autoclose int group = fake_group("w", "", "populated 1\nfrozen 0\n");

	(void)state;
	assert_int_equal(gb_cgroup_busy(group), 1);
	assert_int_equal(gb_cgroup_wait(group, 1), -ETIMEDOUT);
	pid_t pid = fork();
	if (pid == 0) {
		gb_autoclose int fd = openat(group, "cgroup.events", O_WRONLY | O_CLOEXEC);
		_exit(pwrite(fd, "populated 0\n", 12, 0) != 12);
	}
	assert_int_equal(gb_cgroup_wait(group, 600000), 0);
	assert_int_equal(end_of(pid), 0);
	assert_int_equal(gb_cgroup_busy(group), 0);
	assert_int_equal(unlink(in("w/cgroup.events")), 0);
	assert_int_equal(gb_cgroup_wait(group, 600000), 0); /* it is gone, and all that was in it */
	assert_int_equal(gb_cgroup_busy(group), 0);
	gb_autoclose int procs = gb_cgroup_procs(group);
	assert_true(procs >= 0);
	assert_int_equal(unlink(in("w/cgroup.procs")), 0);
	assert_int_equal(gb_cgroup_procs(group), -ENOENT);
}

/* ---- helpers ---- */

static int helper(const char *script, unsigned ms, struct gb_buf *output, size_t max)
{
	char *const argv[] = { (char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)script, NULL };
	static char *const env[] = { (char *)(uintptr_t)"PATH=/usr/bin:/bin", NULL };

	return gb_spawn_run(&(struct gb_spawn){ .path = "/bin/sh", .argv = argv, .env = env, .out = -1, .cgroup = -1 }, ms,
			    output, max);
}

static void helpers_tell_how_they_ended_and_what_they_said(void **state)
{
	gb_autobuf struct gb_buf buf = { 0 };

	(void)state;
	assert_int_equal(helper("echo out; echo err >&2; exit 3", 60000, &buf, 100), 3);
	assert_string_equal(gb_buf_text(&buf), "out\nerr\n");
	buf.len = 0;
	assert_int_equal(helper("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done", 60000, &buf, 20), 0);
	assert_int_equal(buf.len, 20);
	assert_string_equal(gb_buf_text(&buf) + 10, "line 2999\n");
	assert_int_equal(helper("kill -9 $$", 60000, NULL, 0), 128 + 9);
	/* Standard input is empty. */
	assert_int_equal(helper("read -r x && exit 1; exit 0", 60000, NULL, 0), 0);
	/* What it leaves behind and holds its output is not waited for. */
	buf.len = 0;
	assert_int_equal(helper("sleep 3 & echo done", 60000, &buf, 100), 0);
	assert_string_equal(gb_buf_text(&buf), "done\n");
	assert_int_equal(helper("sleep 1000 & sleep 1000", 50, NULL, 0), -ETIMEDOUT);

	char *const argv[] = { (char *)(uintptr_t)"nothing", NULL };
	struct gb_spawn none = { .path = "/nonexistent/program", .argv = argv, .env = argv + 1, .out = -1, .cgroup = -1 };
	assert_int_equal(gb_spawn(&none), -ENOENT);
	none.path = dir;
	assert_int_equal(gb_spawn(&none), -EACCES);
}

/* ---- emptying folders ---- */

static void a_folder_is_emptied_and_stays(void **state)
{
	gb_autobuf struct gb_buf problems = { 0 };
	struct stat st;

	(void)state;
	assert_int_equal(gb_rmtree_inside(in("none"), &problems), -ENOENT);
	assert_int_equal(mkdir(in("t"), 0700), 0);
	assert_int_equal(mkdir(in("kept"), 0700), 0);
	put(in("kept/file"), "x");
	assert_int_equal(symlink("../kept", in("t/link")), 0);
	assert_int_equal(mkdir(in("t/ro"), 0700), 0);
	put(in("t/ro/f"), "x");
	assert_int_equal(mkfifo(in("t/fifo"), 0600), 0);
	for (int i = 0; i < 500; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "t/many-%d", i);
		put(in(name), "");
	}
	/* Deeper than a path can be long, and than descriptors and stack would go. */
	int at = open(in("t"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(at, "deep", 0700), 0);
		int next = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(at);
		at = next;
	}
	(void)close(at);
	assert_int_equal(gb_rmtree_inside(in("t"), &problems), 0);
	assert_int_equal(problems.len, 0);
	assert_int_equal(stat(in("t"), &st), 0);
	assert_int_equal(rmdir(in("t")), 0); /* empty */
	text_is(in("kept/file"), "x");
	/* A link to a folder is no folder to be emptied. */
	assert_int_equal(symlink("kept", in("l")), 0);
	assert_int_equal(gb_rmtree_inside(in("l"), &problems), -ENOTDIR);
	text_is(in("kept/file"), "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logs_are_put_aside_between_lines),
		cmocka_unit_test(a_line_without_an_end_is_bounded),
		cmocka_unit_test(a_log_goes_on_where_it_was_and_after_its_removal),
		cmocka_unit_test(what_a_full_disk_loses_is_said),
		cmocka_unit_test(a_record_names_one_process),
		cmocka_unit_test(the_pauses_between_restarts_grow),
		cmocka_unit_test(the_cgroup_of_a_process_is_read),
		cmocka_unit_test(a_group_is_signalled_with_all_below_it),
		cmocka_unit_test(a_group_is_waited_for),
		cmocka_unit_test(helpers_tell_how_they_ended_and_what_they_said),
		cmocka_unit_test(a_folder_is_emptied_and_stays),
	};

	return cmocka_run_group_tests_name("daemons", tests, begin, end);
}
