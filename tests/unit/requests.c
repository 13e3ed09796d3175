/* SPDX-License-Identifier: MIT */
/* vsock-rpcd's helper, asked one request at a time, with each call of it failing once: whoever asks has one answer, an Error frame
 * with its reason or the end of the connection, the next one has what he should, and no descriptor is left. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpcd/sandbox.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/rpc/tables.h"
#include "common/sys/rmtree.h"
#include "tests/unit/faults.h"

/* The test's own: these are not to fail. */
int __real_socketpair(int domain, int type, int protocol, int *ends);
ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __real_recv(int fd, void *data, size_t len, int flags);
int __real_fcntl(int fd, int what, ...);

enum { PATIENCE_S = 120, LENGTH = 300 };

static char dir[] = "/tmp/gb-unit-requests-XXXXXX", file[64], large[64], store[64];
static struct rpcd rpcd;

/* What is asked, and how the answer began when nothing failed. */
static struct {
	uint32_t type;
	const ProtobufCMessage *message;
	bool ended; /* and no more is sent: a stream of input that is cut */
	bool event; /* the answer is one: somebody has to cause it */
	const char *box; /* the id of a sandbox that is there when it is asked; NULL */
	bool known;
	uint32_t reply;
	int32_t code;
} asked;

static void on_tick(struct gb_timer *timer)
{
	(void)timer;
	gb_loop_stop(&rpcd.loop, 77);
}

static void turn(void)
{
	struct gb_timer tick = { .fn = on_tick };

	rpcd.loop.stopped = false;
	gb_loop_timer(&rpcd.loop, &tick, 1);
	(void)gb_loop_run(&rpcd.loop);
	gb_loop_timer_stop(&tick);
}

/* Nobody's sandbox: that something has happened to it is all that there is of it. */
static void cause_event(void)
{
	Sandbox__V1__CreateSandboxRequest spec = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
	rpcd_record record = GUESTBOX__SANDBOX__RECORD__INIT;
	struct rpcd_call call = { .rpcd = &rpcd };
	struct rpcd_box box = { .record = &record };

	record.spec = &spec;
	box.all = rpcd_sandboxes_of(&call); /* open by then */
	rpcd_box_event(&box, "created", "key", "value");
}

/* Reads what has come of the answer: its size once it is there, 0 not yet, -EPIPE at the end. */
static long answer(int fd, unsigned char *data, size_t size, size_t *len, struct gb_frame *ret_frame)
{
	ssize_t n;

	while ((n = __real_recv(fd, data + *len, size - *len, MSG_DONTWAIT)) > 0)
		*len += (size_t)n;
	long whole = gb_frame_parse(data, *len, GB_FRAME_MAX, ret_frame);
	assert_true(whole >= 0);
	return whole ? whole : n == 0 || errno != EAGAIN ? -EPIPE : 0;
}

static int judge(const struct gb_frame *frame, struct gb_err *err)
{
	const char *text = "";
	int32_t code = 0;
	size_t len = 0;

	assert_int_equal(frame->trace_len, 2);
	assert_memory_equal(frame->trace, "t1", 2);
	if (frame->type == GB_WIRE_ERROR)
		assert_int_equal(gb_frame_error_parse(frame, &code, &text, &len), 0);
	if (!asked.known) {
		asked.known = true;
		asked.reply = frame->type;
		asked.code = code;
	}
	if (frame->type == asked.reply && code == asked.code)
		return 0;
	assert_int_equal(frame->type, GB_WIRE_ERROR);
	return gb_err_set(err, EIO, "%.*s", (int)len, text); /* without words it is a failure: faults_each() */
}

/* As unit_descriptors(), without a call that could be the one to fail. */
static unsigned descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += __real_fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A connection on which what is asked has been asked: its end, or -errno with err set. */
static int call_up(struct gb_err *err)
{
	unsigned char head[GB_FRAME_HEAD + 2];
	uint8_t packed[4096];
	int ends[2];

	struct rpcd_client *client = rpcd_client_new(&rpcd, GB_CONN_SOCKET, "test");
	if (!client)
		return gb_err_sys(err, ENOMEM, "client");
	assert_int_equal(__real_socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	int r = gb_conn_start(&client->conn, ends[1], ends[1]);
	if (r < 0) {
		rpcd_client_free(client);
		(void)close(ends[0]);
		return gb_err_sys(err, -r, "start");
	}
	size_t size = asked.message ? protobuf_c_message_get_packed_size(asked.message) : 0;
	assert_true(size <= sizeof packed);
	if (asked.message)
		(void)protobuf_c_message_pack(asked.message, packed);
	assert_int_equal(gb_frame_head(head, asked.type, 2, size), 0);
	memcpy(head + GB_FRAME_HEAD, "t1", 2);
	assert_int_equal(__real_send(ends[0], head, sizeof head, MSG_NOSIGNAL), sizeof head);
	assert_int_equal(__real_send(ends[0], packed, size, MSG_NOSIGNAL), size);
	return ends[0];
}

static bool is_idle(void)
{
	struct gb_pool *pool = &rpcd.pool;

	(void)pthread_mutex_lock(&pool->lock);
	bool idle = STAILQ_EMPTY(&pool->wanted) && TAILQ_EMPTY(&pool->busy) && STAILQ_EMPTY(&pool->done);
	(void)pthread_mutex_unlock(&pool->lock);
	return idle;
}

static int ask(struct gb_err *err)
{
	unsigned before = descriptors();
	bool first = !asked.known; /* which opens what stays open */
	static unsigned char data[65536];
	struct gb_frame frame;
	size_t len = 0;
	time_t end = time(NULL) + PATIENCE_S;

	gb_autoclose int fd = call_up(err);
	if (fd < 0)
		return fd;
	if (asked.ended)
		(void)shutdown(fd, SHUT_WR);
	long got;
	while ((got = answer(fd, data, sizeof data, &len, &frame)) == 0) {
		turn();
		if (asked.event)
			cause_event();
		if (time(NULL) > end)
			fail_msg("request 0x%04x is never answered", asked.type);
	}
	int r = got < 0 ? gb_err_sys(err, (int)-got, "no answer") : judge(&frame, err);
	if (asked.event) /* whoever has ended his side alone still watches */
		(void)close(gb_take_fd(&fd));
	else
		(void)shutdown(fd, SHUT_WR);
	while (rpcd.conns_len) {
		turn();
		if (time(NULL) > end)
			fail_msg("request 0x%04x: its connection never ends", asked.type);
	}
	/* A thread may be at work for nobody, and open one file after the other: between two of them nothing is open. */
	while ((!is_idle() || (!first && descriptors() > before + (fd >= 0))) && time(NULL) <= end)
		turn();
	if (fd >= 0)
		(void)answer(fd, data, sizeof data, &len, &frame);
	if (fd >= 0 && got > 0)
		assert_int_equal(len, got); /* one answer, and no second one */
	return r;
}

/* A sandbox that has ended, whose files are still there. */
static void have_box(void)
{
	static const char instance[] = "00112233aabbccdd";
	struct rpcd_call call = { .rpcd = &rpcd };
	char path[512];

	if (!asked.box)
		return;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(&call);
	assert_int_equal(strlen(instance), GB_SANDBOX_INSTANCE);
	gb_sandbox_box_path(&all->place, instance, "layer", path, sizeof path);
	assert_int_equal(gb_io_mkdirs(path), 0);
	const struct rpcd_box *box;
	time_t end = time(NULL) + PATIENCE_S;
	while ((box = rpcd_box_find(all, asked.box)) && (box->task || box->removing) && time(NULL) <= end)
		turn(); /* the answer was lost, and a thread is at work yet */
	if (box) /* it was not to be removed, or could not be */
		return;
	rpcd_record *record = malloc(sizeof *record);
	assert_non_null(record);
	guestbox__sandbox__record__init(record);
	assert_non_null(record->spec = malloc(sizeof *record->spec));
	sandbox__v1__create_sandbox_request__init(record->spec);
	assert_int_equal(gb_pb_set(&record->spec->id, asked.box), 0);
	assert_int_equal(gb_pb_set(&record->instance, instance), 0);
	assert_int_equal(rpcd_record_number(all, &call, record, true), 0);
	assert_non_null(rpcd_box_new(all, record, RPCD_STOPPED));
}

static void after(int r)
{
	(void)r;
	assert_int_equal(rpcd.conns_len, 0);
	assert_int_equal(rpcd.mmaps_running, 0);
	assert_int_equal(rpcd.mmaps_late, 0);
	assert_true(STAILQ_EMPTY(&rpcd.mmaps));
}

static void each_fails_once(uint32_t type, const ProtobufCMessage *message, uint32_t reply)
{
	/* The loop's own, which cannot fail: an eventfd(2), which wakes it. */
	static const char *const except[] = { "write", "read", NULL };
	const struct faults faults = { .before = have_box, .run = ask, .after = after, .except = except };
	struct gb_err err = { 0 };

	asked.type = type;
	asked.message = message;
	asked.known = false;
	have_box();
	assert_int_equal(ask(&err), 0);
	assert_int_equal(asked.reply, reply);
	assert_true(faults_each(&faults, EIO) > 1);
}

/* ---- the tests ---- */

static int plain(void **state)
{
	(void)state;
	asked.ended = asked.event = false;
	asked.box = NULL;
	return 0;
}

static void a_sign_of_life_and_what_the_machine_is(void **state)
{
	Arcbox__V1__AgentPingRequest ping = ARCBOX__V1__AGENT_PING_REQUEST__INIT;
	char text[LENGTH + 1];

	(void)state;
	memset(text, 'x', LENGTH);
	text[LENGTH] = '\0';
	ping.message = text; /* longer than what needs no memory */
	each_fails_once(GB_WIRE_PING, &ping.base, GB_WIRE_PING_REPLY);
	each_fails_once(GB_WIRE_GET_SYSTEM_INFO, NULL, GB_WIRE_GET_SYSTEM_INFO_REPLY);
}

static void a_file_that_is_read(void **state)
{
	Arcbox__V1__MmapReadFileRequest mapped = ARCBOX__V1__MMAP_READ_FILE_REQUEST__INIT;

	(void)state;
	mapped.path = file;
	mapped.length = 4000;
	each_fails_once(GB_WIRE_MMAP_READ_FILE, &mapped.base, GB_WIRE_MMAP_READ_FILE_REPLY);
	mapped.path = (char *)(uintptr_t)"/etc/passwd";
	each_fails_once(GB_WIRE_MMAP_READ_FILE, &mapped.base, GB_WIRE_ERROR);
	assert_int_equal(asked.code, EACCES);
}

/* Turns of the loop until it is true. */
#define until(condition) \
	do { \
		time_t end_ = time(NULL) + PATIENCE_S; \
		while (!(condition)) { \
			turn(); \
			if (time(NULL) > end_) \
				fail_msg("never: %s", #condition); \
		} \
	} while (0)

static bool has_begun(int fd)
{
	char c;

	return __real_recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* More of them than there are threads, places, and threads that may be late: each gets what its socket holds, and waits for
 * itself alone. What they hold is let go when they leave. */
static void readers_that_do_not_read(void **state)
{
	enum { READERS = 48, SIZE = 1 << 20 };
	Arcbox__V1__MmapReadFileRequest mapped = ARCBOX__V1__MMAP_READ_FILE_REQUEST__INIT;
	gb_autofree unsigned char *data = malloc(SIZE + LENGTH);
	unsigned before = descriptors();
	int readers[READERS];
	struct gb_frame frame;
	struct gb_err err;
	size_t len = 0;
	long got = 0;

	(void)state;
	assert_non_null(data);
	mapped.path = large;
	mapped.length = SIZE;
	asked.type = GB_WIRE_MMAP_READ_FILE;
	asked.message = &mapped.base;
	for (int i = 0; i < READERS; i++)
		assert_true((readers[i] = call_up(&err)) >= 0);
	for (int i = 0; i < READERS; i++)
		until(has_begun(readers[i]));
	until(rpcd.mmaps_running == 0 && rpcd.mmaps_late == 0);
	/* One who reads after all has all of it. */
	until((got = answer(readers[7], data, SIZE + LENGTH, &len, &frame)) != 0);
	assert_true(got > SIZE);
	assert_int_equal(frame.type, GB_WIRE_MMAP_READ_FILE_REPLY);
	for (int i = 0; i < READERS; i++)
		(void)close(readers[i]);
	until(rpcd.conns_len == 0 && STAILQ_EMPTY(&rpcd.mmaps));
	until(descriptors() == before);
	after(0);
}

static void sandboxes_that_are_looked_for(void **state)
{
	Sandbox__V1__ListSandboxesRequest list = SANDBOX__V1__LIST_SANDBOXES_REQUEST__INIT;
	Sandbox__V1__InspectSandboxRequest inspect = SANDBOX__V1__INSPECT_SANDBOX_REQUEST__INIT;
	Sandbox__V1__ListSnapshotsRequest snapshots = SANDBOX__V1__LIST_SNAPSHOTS_REQUEST__INIT;
	Sandbox__V1__CreateSandboxRequest create = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;

	(void)state;
	each_fails_once(GB_WIRE_SANDBOX_LIST, &list.base, GB_WIRE_SANDBOX_LIST_REPLY);
	each_fails_once(GB_WIRE_SANDBOX_LIST_SNAPSHOTS, &snapshots.base, GB_WIRE_SANDBOX_LIST_SNAPSHOTS_REPLY);
	inspect.id = (char *)(uintptr_t)"nobody";
	each_fails_once(GB_WIRE_SANDBOX_INSPECT, &inspect.base, GB_WIRE_ERROR);
	assert_int_equal(asked.code, GB_RPC_NOT_FOUND);
	create.id = inspect.id;
	create.rootfs = store; /* a folder of the daemon's own is nobody's root */
	each_fails_once(GB_WIRE_SANDBOX_CREATE, &create.base, GB_WIRE_ERROR);
	create.rootfs = (char *)(uintptr_t)"/nowhere/at/all";
	each_fails_once(GB_WIRE_SANDBOX_CREATE, &create.base, GB_WIRE_ERROR);
}

static void a_sandbox_that_has_ended(void **state)
{
	Sandbox__V1__ListSandboxesRequest list = SANDBOX__V1__LIST_SANDBOXES_REQUEST__INIT;
	Sandbox__V1__InspectSandboxRequest inspect = SANDBOX__V1__INSPECT_SANDBOX_REQUEST__INIT;
	Sandbox__V1__StopSandboxRequest stop = SANDBOX__V1__STOP_SANDBOX_REQUEST__INIT;
	Sandbox__V1__RunRequest run = SANDBOX__V1__RUN_REQUEST__INIT;
	Sandbox__V1__RemoveSandboxRequest away = SANDBOX__V1__REMOVE_SANDBOX_REQUEST__INIT;
	char id[] = "ended", word[] = "true", *cmd[] = { word };

	(void)state;
	asked.box = inspect.id = stop.id = run.id = away.id = id;
	each_fails_once(GB_WIRE_SANDBOX_LIST, &list.base, GB_WIRE_SANDBOX_LIST_REPLY);
	each_fails_once(GB_WIRE_SANDBOX_INSPECT, &inspect.base, GB_WIRE_SANDBOX_INSPECT_REPLY);
	each_fails_once(GB_WIRE_SANDBOX_STOP, &stop.base, GB_WIRE_ERROR);
	assert_int_equal(asked.code, GB_RPC_WRONG_STATE);
	run.cmd = cmd;
	run.n_cmd = 1;
	each_fails_once(GB_WIRE_SANDBOX_RUN, &run.base, GB_WIRE_ERROR);
	assert_int_equal(asked.code, GB_RPC_WRONG_STATE);
	/* It is gone, or still there to be asked for again. */
	each_fails_once(GB_WIRE_SANDBOX_REMOVE, &away.base, GB_WIRE_SANDBOX_REMOVE_REPLY);
}

/* The second one is read while the first is answered. */
static void a_restore_that_fails_with_its_removal_behind_it(void **state)
{
	Sandbox__V1__RestoreRequest restore = SANDBOX__V1__RESTORE_REQUEST__INIT;
	Sandbox__V1__RemoveSandboxRequest away = SANDBOX__V1__REMOVE_SANDBOX_REQUEST__INIT;
	const struct { uint32_t type; const ProtobufCMessage *message; } both[] = {
		{ GB_WIRE_SANDBOX_RESTORE, &restore.base }, { GB_WIRE_SANDBOX_REMOVE, &away.base },
	};
	struct rpcd_call call = { .rpcd = &rpcd };
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(&call);
	rpcd_snapshot shell = GUESTBOX__SANDBOX__SNAPSHOT__INIT;
	Sandbox__V1__CreateSandboxRequest spec = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
	Sandbox__V1__NetworkSpec network = SANDBOX__V1__NETWORK_SPEC__INIT;
	rpcd_record record = GUESTBOX__SANDBOX__RECORD__INIT;
	time_t end = time(NULL) + PATIENCE_S;
	unsigned char frames[1024], answers[4096];
	size_t size = 0, len = 0;
	struct gb_frame frame;
	int ends[2];

	(void)state;
	shell.id = restore.snapshot_id = (char *)(uintptr_t)"of-nothing"; /* whose files are not there */
	shell.record = &record;
	record.spec = &spec;
	spec.network = &network;
	struct rpcd_snap *snap = calloc(1, sizeof *snap);
	assert_non_null(snap);
	assert_non_null(snap->snapshot = rpcd_copy(&shell));
	rpcd_snap_insert(all, snap);
	restore.id = away.id = (char *)(uintptr_t)"again";
	for (size_t i = 0; i < GB_ARRAY_LEN(both); i++) {
		size_t body = protobuf_c_message_get_packed_size(both[i].message);
		assert_int_equal(gb_frame_head(frames + size, both[i].type, 0, body), 0);
		size += GB_FRAME_HEAD + protobuf_c_message_pack(both[i].message, frames + size + GB_FRAME_HEAD);
	}
	struct rpcd_client *client = rpcd_client_new(&rpcd, GB_CONN_SOCKET, "test");
	assert_non_null(client);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(gb_conn_start(&client->conn, ends[1], ends[1]), 0);
	assert_int_equal(send(ends[0], frames, size, MSG_NOSIGNAL), size);
	for (int i = 0; i < 2; i++) {
		long got;
		while ((got = answer(ends[0], answers, sizeof answers, &len, &frame)) == 0 && time(NULL) <= end)
			turn();
		assert_true(got > 0);
		assert_int_equal(frame.type, i == 0 ? GB_WIRE_ERROR : GB_WIRE_SANDBOX_REMOVE_REPLY);
		len -= (size_t)got;
		memmove(answers, answers + got, len);
	}
	assert_null(rpcd_box_find(all, restore.id));
	(void)close(ends[0]);
	while ((rpcd.conns_len || snap->used) && time(NULL) <= end)
		turn();
	TAILQ_REMOVE(&all->snaps, snap, link);
	assert_int_equal(snap->used, 0);
	gb_pb_free((ProtobufCMessage **)&snap->snapshot);
	free(snap);
}

static void whoever_watches(void **state)
{
	Sandbox__V1__SandboxEventsRequest events = SANDBOX__V1__SANDBOX_EVENTS_REQUEST__INIT;

	(void)state;
	asked.event = true;
	events.action = (char *)(uintptr_t)"created";
	each_fails_once(GB_WIRE_SANDBOX_EVENTS, &events.base, GB_WIRE_SANDBOX_EVENT);
}

static void images(void **state)
{
	Guestbox__V1__ImageListRequest list = GUESTBOX__V1__IMAGE_LIST_REQUEST__INIT;
	Guestbox__V1__ImageImportRequest import = GUESTBOX__V1__IMAGE_IMPORT_REQUEST__INIT;

	(void)state;
	each_fails_once(GB_WIRE_IMAGE_LIST, &list.base, GB_WIRE_IMAGE_LIST_REPLY);
	/* The archive is cut before its first byte: nothing of it stays. */
	asked.ended = true;
	import.name = (char *)(uintptr_t)"cut";
	each_fails_once(GB_WIRE_IMAGE_IMPORT, &import.base, GB_WIRE_ERROR);
}

static int set_up(void **state)
{
	static const char script[] = "#!/bin/sh\nexit 1\n";

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(file, sizeof file, "%s/file", dir);
	(void)snprintf(store, sizeof store, "%s/store", dir);
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 4096), 0);
	(void)close(fd);
	(void)snprintf(large, sizeof large, "%s/large", dir);
	fd = open(large, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	(void)close(fd);
	fd = open(unit_path(dir, "crun"), O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	assert_int_equal(write(fd, script, sizeof script - 1), sizeof script - 1);
	(void)close(fd);
	gb_pb_start();
	gb_log_level(GB_LOG_ERR);
	TAILQ_INIT(&rpcd.conns);
	rpcd.conns_max = 4;
	rpcd.idle_ms = rpcd.frame_ms = 600000;
	rpcd.roots[rpcd.roots_len++] = dir;
	rpcd.sandbox_dir = store;
	rpcd.runtime_dir = dir;
	rpcd_helper_prepare(&rpcd);
	assert_int_equal(gb_loop_open(&rpcd.loop), 0);
	return gb_loop_pool_open(&rpcd.pool, &rpcd.loop, 2);
}

static int tear_down(void **state)
{
	gb_autobuf struct gb_buf problems = { 0 };

	(void)state;
	return gb_rmtree_inside(dir, &problems) == 0 ? rmdir(dir) : -1;
}

int main(void)
{
	enum { ANYBODYS = 3 };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_sign_of_life_and_what_the_machine_is, plain),
		cmocka_unit_test_setup(a_file_that_is_read, plain),
		cmocka_unit_test_setup(readers_that_do_not_read, plain),
		/* Sandboxes are root's. */
		cmocka_unit_test_setup(sandboxes_that_are_looked_for, plain),
		cmocka_unit_test_setup(a_sandbox_that_has_ended, plain),
		cmocka_unit_test_setup(a_restore_that_fails_with_its_removal_behind_it, plain),
		cmocka_unit_test_setup(whoever_watches, plain),
		cmocka_unit_test_setup(images, plain),
	};
	const struct CMUnitTest (*anybodys)[ANYBODYS] = (const void *)tests;

	if (geteuid() != 0)
		return cmocka_run_group_tests_name("requests", *anybodys, set_up, tear_down);
	return cmocka_run_group_tests_name("requests", tests, set_up, tear_down);
}
