/* SPDX-License-Identifier: MIT */
/* Files, folders, loops, relays and sockets when one of their calls fails: an error, nothing left open, nothing half done. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/json.h"
#include "common/loop/loop.h"
#include "common/net/addr.h"
#include "common/proxy/relay.h"
#include "common/sys/blockdev.h"
#include "common/sys/logfile.h"
#include "common/sys/mapfile.h"
#include "common/sys/mountinfo.h"
#include "common/sys/pidrec.h"
#include "common/sys/proc.h"
#include "common/sys/rmtree.h"
#include "common/sys/walk.h"
#include "tests/unit/faults.h"

static char top[] = "/tmp/gb-unit-XXXXXX";

static const char *at(const char *file)
{
	return unit_path(top, file);
}

static void put(const char *file, const char *text)
{
	gb_autoclose int fd = open(at(file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(gb_io_write(fd, text, strlen(text)), 0);
}

static int begin(void **state)
{
	(void)state;
	return mkdtemp(top) ? 0 : -1;
}

static int end(void **state)
{
	gb_autobuf struct gb_buf problems = { 0 };

	(void)state;
	return gb_rmtree_inside(top, &problems) == 0 ? rmdir(top) : -1;
}

static const char text[] = "some text\n";

/* ---- common/base ---- */

static struct gb_buf buf;

static void make_file(void) { put("file", text); }
static int run_slurp(struct gb_err *err) { (void)err; return gb_io_slurp(AT_FDCWD, at("file"), 4096, &buf); }
static int run_put(struct gb_err *err) { (void)err; return gb_io_put(AT_FDCWD, at("file"), "else"); }
static void look_at_buf(int r)
{
	if (r == 0)
		assert_string_equal(gb_buf_text(&buf), text);
	gb_buf_free(&buf);
}

static void clear_folders(void)
{
	gb_autobuf struct gb_buf problems = { 0 };

	(void)mkdir(at("a"), 0755);
	assert_int_equal(gb_rmtree_inside(at("a"), &problems), 0);
}
static int run_mkdirs(struct gb_err *err) { (void)err; return gb_io_mkdirs(at("a/b/c")); }
static void look_at_folders(int r)
{
	struct stat st;

	assert_true(r < 0 || (stat(at("a/b/c"), &st) == 0 && S_ISDIR(st.st_mode)));
}

static int sink = -1;
static void open_sink(void) { sink = open(at("sink"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); }
static int run_json(struct gb_err *err)
{
	struct gb_json json = { 0 };

	(void)err;
	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, "key", "value");
	for (int i = 0; i < 100; i++)
		gb_json_int(&json, "number", i);
	gb_json_close(&json, '}');
	return gb_json_flush(&json, sink);
}
/* Half of a document is none. */
static void look_at_sink(int r)
{
	char got[8] = "";
	off_t size = lseek(sink, 0, SEEK_END);

	assert_true(r < 0 ? size == 0 : size > 1000);
	if (r == 0)
		assert_int_equal(pread(sink, got, 7, 0), 7);
	assert_string_equal(got, r == 0 ? "{\"key\":" : "");
	assert_int_equal(close(sink), 0);
}

static void files_folders_and_texts(void **state)
{
	const struct faults rows[] = {
		{ make_file, run_slurp, look_at_buf, true, NULL, 1 }, { make_file, run_put, NULL, true, NULL, 1 },
		{ clear_folders, run_mkdirs, look_at_folders, true, NULL, 1 }, { open_sink, run_json, look_at_sink, true, NULL, 1 },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++)
		assert_true(faults_each(&rows[i], EIO) > 1);
}

/* ---- common/sys ---- */

static void make_tree(void)
{
	clear_folders();
	assert_int_equal(gb_io_mkdirs(at("a/b/c")), 0);
	put("a/b/file", text);
}

static unsigned seen, unseen;

static int on_entry(void *arg, const struct gb_walk_entry *entry, struct gb_err *err)
{
	(void)arg;
	(void)err;
	seen++;
	unseen += entry->error != 0;
	return 0;
}
static int run_walk(struct gb_err *err) { seen = unseen = 0; return gb_walk(at("a"), on_entry, NULL, err); }
/* What cannot be looked at is handed on with its error. */
static void look_at_walk(int r) { assert_true(r < 0 || unseen || seen == 4); }

static int64_t kept;
static int run_rmtree(struct gb_err *err)
{
	gb_autobuf struct gb_buf problems = { 0 };

	kept = gb_rmtree_inside(at("a"), &problems);
	if (kept > 0)
		(void)gb_err_set(err, EIO, "%s", gb_buf_text(&problems));
	return kept > 0 ? -EIO : (int)kept;
}
static void look_at_removal(int r) { assert_true(r < 0 || access(at("a/b"), F_OK) < 0); }

static struct gb_logfile logfile;
static void make_log(void)
{
	put("log", "0123456789\n");
	gb_logfile_init(&logfile, at("log"), 8, 2);
}
static int run_log(struct gb_err *err)
{
	int r = gb_logfile_open(&logfile);

	(void)err;
	for (int i = 0; r == 0 && i < 3; i++)
		r = gb_logfile_write(&logfile, "a line\n", 7);
	gb_logfile_close(&logfile);
	return r < 0 ? r : logfile.lost ? -logfile.why : 0;
}

static struct gb_proc self;
static int run_note(struct gb_err *err) { (void)err; return gb_pidrec_write(at("pid"), &self); }
static int run_noted(struct gb_err *err)
{
	struct gb_proc proc;
	int r = gb_pidrec_read(at("pid"), &proc);

	(void)err;
	assert_true(r < 0 || proc.pid == self.pid);
	return r < 0 ? r : 0;
}

static int run_blockdev(struct gb_err *err)
{
	struct gb_blockdev_locks locks = { 0 };
	struct gb_blockdev device;
	int r = gb_blockdev_open(at("file"), &device, err);

	if (r < 0)
		return r;
	assert_true(device.file && device.size == sizeof text - 1);
	r = gb_blockdev_lock(&device, &locks, err);
	assert_true(r < 0 || locks.len == 1);
	gb_blockdev_unlock(&locks);
	gb_blockdev_close(&device);
	return r;
}

static int run_mapfile(struct gb_err *err)
{
	gb_automapfile struct gb_mapfile file = { .fd = -1 };
	gb_automapwindow struct gb_mapwindow window = { 0 };
	char got[sizeof text] = "";
	int r = gb_mapfile_open(&file, at("file"), err);

	if (r < 0)
		return r;
	r = gb_mapfile_map(&file, 0, 100, &window);
	if (r < 0)
		return gb_err_sys(err, -r, "map");
	assert_int_equal(gb_mapfile_copy(&window, 0, got, sizeof text - 1), sizeof text - 1);
	assert_string_equal(got, text);
	return 0;
}

static int run_mountinfo(struct gb_err *err)
{
	struct gb_mountinfo_table table = { 0 };
	int r = gb_mountinfo_read("/proc/self/mountinfo", &table);

	(void)err;
	if (r >= 0)
		gb_mountinfo_free(&table);
	return r < 0 ? r : 0;
}

static void what_the_system_is_asked(void **state)
{
	const struct faults rows[] = {
		{ make_tree, run_walk, look_at_walk, true, NULL, 1 }, { make_tree, run_rmtree, look_at_removal, true, NULL, 1 },
		{ make_log, run_log, NULL, true, NULL, 1 }, { NULL, run_note, NULL, true, NULL, 1 },
		{ NULL, run_noted, NULL, true, NULL, 1 },
		{ make_file, run_blockdev, NULL, false, NULL, 1 }, { make_file, run_mapfile, NULL, false, NULL, 1 },
		{ NULL, run_mountinfo, NULL, true, NULL, 1 },
	};

	(void)state;
	assert_int_equal(gb_proc_read(getpid(), &self), 0);
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++)
		assert_true(faults_each(&rows[i], EIO) > 0);
}

/* ---- loops, relays, sockets ---- */

static struct gb_loop loop;
static struct gb_relays relays;
static unsigned ended;

static void on_time(struct gb_timer *timer) { gb_loop_stop(timer->loop ? timer->loop : &loop, 5); }
static void on_signal(struct gb_loop *l, int signo) { (void)signo; gb_loop_stop(l, 6); }

static int run_loop(struct gb_err *err)
{
	struct gb_timer timer = { .fn = on_time };
	sigset_t set;
	int r = gb_loop_open(&loop);

	(void)err;
	if (r < 0)
		return r;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR1);
	r = gb_loop_signals(&loop, &set, on_signal);
	if (r == 0) {
		gb_loop_timer(&loop, &timer, 1);
		r = gb_loop_run(&loop);
		assert_true(r == 5 || r < 0);
	}
	gb_loop_timer_stop(&timer);
	gb_loop_close(&loop);
	return r < 0 ? r : 0;
}

static int ends[2][2];

static void make_ends(void)
{
	ended = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends[i]), 0);
	assert_int_equal(send(ends[0][0], text, sizeof text, MSG_NOSIGNAL), sizeof text);
	assert_int_equal(shutdown(ends[0][0], SHUT_WR) | shutdown(ends[1][0], SHUT_WR), 0);
}

static void on_ended(struct gb_relay *relay, int error)
{
	(void)relay;
	ended++;
	gb_loop_stop(&loop, error);
}

/* One session; what failed in it ends it, or it goes another way. */
static int run_relay(struct gb_err *err)
{
	static struct gb_relay relay;
	/* The relay's own: those that it is given are there before and after. */
	int given[2] = { fcntl(ends[0][1], F_DUPFD_CLOEXEC, 0), fcntl(ends[1][1], F_DUPFD_CLOEXEC, 0) };
	int r = given[0] < 0 || given[1] < 0 ? -errno : gb_loop_open(&loop);

	(void)err;
	if (r == 0) {
		r = gb_relay_open(&relays, &loop, on_ended);
		if (r == 0) {
			r = gb_relay_start(&relays, &relay, given[0], given[1]);
			given[0] = given[1] = -1;
			if (r == 0 && (r = gb_loop_run(&loop)) < 0 && !ended)
				gb_relay_stop(&relay, EIO);
			gb_relay_close(&relays);
			assert_int_equal(relays.pipes, 0);
		}
		gb_loop_close(&loop);
	}
	for (int i = 0; i < 2; i++)
		gb_close_fd(&given[i]);
	return r > 0 ? -r : r;
}

static void look_at_ends(int r)
{
	char got[64];
	ssize_t n = recv(ends[1][0], got, sizeof got, MSG_DONTWAIT);

	assert_true(r < 0 || (n == (ssize_t)sizeof text && memcmp(got, text, sizeof text) == 0));
	for (int i = 0; i < 2; i++)
		assert_int_equal(close(ends[i][0]) | close(ends[i][1]), 0);
}

static struct gb_addr address;

static int run_listen(struct gb_err *err)
{
	gb_autoclose int fd = gb_addr_listen(&address, err);

	return fd < 0 ? fd : 0;
}

static int listening = -1;

static int run_connect(struct gb_err *err)
{
	gb_autoclose int fd = gb_addr_connect(&address, 10000, err);
	struct gb_peer peer;

	if (fd < 0)
		return fd;
	int r = gb_addr_peer(fd, &peer);
	assert_true(r < 0 || peer.pid == getpid());
	return r < 0 ? gb_err_sys(err, -r, "peer") : 0;
}

static void loops_relays_and_sockets(void **state)
{
	const struct faults rows[] = {
		{ NULL, run_loop, NULL, true, NULL, 1 }, { make_ends, run_relay, look_at_ends, true, NULL, 1 },
		{ NULL, run_listen, NULL, false, NULL, 1 },
	}, connecting = { NULL, run_connect, NULL, false, NULL, 1 };
	char name[160];

	(void)state;
	(void)snprintf(name, sizeof name, "unix:%s", at("socket"));
	assert_int_equal(gb_addr_parse(name, &address, NULL), 0);
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++)
		assert_true(faults_each(&rows[i], EIO) > 2);
	listening = gb_addr_listen(&address, NULL);
	assert_true(listening >= 0);
	assert_true(faults_each(&connecting, EIO) > 1);
	assert_int_equal(close(listening), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_folders_and_texts),
		cmocka_unit_test(what_the_system_is_asked),
		cmocka_unit_test(loops_relays_and_sockets),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("failing", tests, begin, end);
}
