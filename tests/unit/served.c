/* SPDX-License-Identifier: MIT */
/* initfs, spoken to frame by frame, with each call of its server failing once: an error to whoever asked, and the server goes on;
 * once all is forgotten no descriptor is left. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/initfs/initfs.h"
#include "common/sys/rmtree.h"
#include "tests/unit/faults.h"
#include "tests/unit/fuse.h"

/* The test's own: these are not to fail. */
ssize_t __real_read(int fd, void *data, size_t len);
ssize_t __real_write(int fd, const void *data, size_t len);

static char top[] = "/tmp/gb-unit-XXXXXX", source[64], payload[64];
static struct gb_initfs *fs;
static struct gb_initfs_config config;
static int sock = -1, refused;
static pthread_t server;
static uint64_t unique;
static char answer[1 << 17];

static void *serve(void *arg)
{
	struct gb_err err = { 0 };

	(void)gb_initfs_serve(fs, *(int *)arg, &err);
	return NULL;
}

/* The length of the answer, or -errno, which counts as a refusal. */
static long ask(uint32_t opcode, uint64_t node, const void *a, size_t alen, const void *b, size_t blen)
{
	char frame[4096];
	size_t len = unit_fuse_request(frame, opcode, node, ++unique, a, alen, b, blen);
	struct fuse_out_header out;

	if (__real_write(sock, frame, len) != (ssize_t)len)
		abort();
	if (opcode == FUSE_FORGET)
		return 0;
	ssize_t n = __real_read(sock, answer, sizeof answer);
	if (n < (ssize_t)sizeof out)
		abort();
	memcpy(&out, answer, sizeof out);
	if (out.unique != unique || out.len != (size_t)n)
		abort();
	memmove(answer, answer + sizeof out, (size_t)n - sizeof out);
	refused += out.error != 0;
	if (out.error && getenv("GB_FAULTS")) /* for whoever looks for the reason */
		print_message("# request %u: %d\n", opcode, out.error);
	return out.error ? out.error : (long)(n - (ssize_t)sizeof out);
}

static void forget(uint64_t node, uint64_t times)
{
	struct fuse_forget_in in = { .nlookup = times };

	if (node > 2)
		(void)ask(FUSE_FORGET, node, &in, sizeof in, NULL, 0);
}

/* The node that the answer names, or 0. */
static uint64_t entry_of(long r)
{
	struct fuse_entry_out entry;

	if (r < (long)sizeof entry)
		return 0;
	memcpy(&entry, answer, sizeof entry);
	return entry.nodeid;
}

static uint64_t named(uint32_t opcode, uint64_t node, const void *a, size_t alen, const char *name)
{
	return entry_of(ask(opcode, node, a, alen, name, strlen(name) + 1));
}

static uint64_t handle_of(long r)
{
	struct fuse_open_out out;

	if (r < (long)sizeof out)
		return 0;
	memcpy(&out, answer, sizeof out);
	return out.fh;
}

static int start(void **state)
{
	static int ends[2];
	struct gb_err err = { 0 };
	struct fuse_init_in init = { .major = 7, .minor = 38, .max_readahead = 1 << 17,
				     .flags = FUSE_DO_READDIRPLUS | FUSE_DONT_MASK | FUSE_MAX_PAGES };

	(void)state;
	assert_non_null(mkdtemp(top));
	(void)snprintf(source, sizeof source, "%s/source", top);
	(void)snprintf(payload, sizeof payload, "%s/payload", top);
	assert_int_equal(mkdir(source, 0755), 0);
	gb_autoclose int fd = open(payload, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "bytes", 5), 5);
	config = (struct gb_initfs_config){
		.source = source, .mountpoint = "/nowhere", .init = payload, .name = "init.krun", .mode = 0755, .mtime = -1, .timeout = -1,
		.inject = true, .force = true, .handles = true, .cache = GB_INITFS_AUTO, .threads = 1, .fds = 64, .ready_fd = -1,
		.foreground = true,
	};
	fs = gb_initfs_new(&config, &err);
	assert_non_null(fs);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	sock = ends[0];
	assert_int_equal(pthread_create(&server, NULL, serve, &ends[1]), 0);
	assert_int_equal(ask(FUSE_INIT, 0, &init, sizeof init, NULL, 0), sizeof(struct fuse_init_out));
	return 0;
}

static int stop(void **state)
{
	gb_autobuf struct gb_buf problems = { 0 };

	(void)state;
	(void)close(sock);
	(void)pthread_join(server, NULL);
	gb_initfs_free(fs);
	return gb_rmtree_inside(top, &problems) == 0 ? rmdir(top) : -1;
}

static void clear(void)
{
	gb_autobuf struct gb_buf problems = { 0 };

	assert_int_equal(gb_rmtree_inside(source, &problems), 0);
	refused = 0;
}

static void inspect(uint64_t node, uint32_t size)
{
	struct fuse_getattr_in get = { 0 };
	struct fuse_setattr_in set = { .valid = FATTR_MODE | size | FATTR_MTIME | FATTR_ATIME_NOW, .mode = 0640, .size = 3, .mtime = 7 };
	struct fuse_access_in may = { .mask = R_OK };
	struct fuse_setxattr_in put = { .size = 1 };
	struct fuse_getxattr_in look = { .size = 100 };

	(void)ask(FUSE_GETATTR, node, &get, sizeof get, NULL, 0);
	(void)ask(FUSE_SETATTR, node, &set, sizeof set, NULL, 0);
	(void)ask(FUSE_ACCESS, node, &may, sizeof may, NULL, 0);
	(void)ask(FUSE_STATFS, node, NULL, 0, NULL, 0);
	(void)ask(FUSE_SETXATTR, node, &put, FUSE_COMPAT_SETXATTR_IN_SIZE, "user.a\0v", 8);
	(void)ask(FUSE_GETXATTR, node, &look, sizeof look, "user.a", 7);
	(void)ask(FUSE_LISTXATTR, node, &look, sizeof look, NULL, 0);
	(void)ask(FUSE_REMOVEXATTR, node, "user.a", 7, NULL, 0);
}

static void transfer(uint64_t node)
{
	struct fuse_open_in how = { .flags = O_RDWR };
	struct fuse_write_in out = { .size = 5 };
	struct fuse_read_in in = { .size = 100 };
	struct fuse_fsync_in sync = { 0 };
	struct fuse_flush_in flush = { 0 };
	struct fuse_fallocate_in room = { .length = 4096 };
	struct fuse_lseek_in seek = { .whence = SEEK_DATA };
	long r = ask(FUSE_OPEN, node, &how, sizeof how, NULL, 0);
	struct fuse_release_in done = { .fh = handle_of(r) };

	if (r < 0)
		return;
	out.fh = in.fh = sync.fh = flush.fh = room.fh = seek.fh = done.fh;
	(void)ask(FUSE_WRITE, node, &out, sizeof out, "hello", 5);
	(void)ask(FUSE_READ, node, &in, sizeof in, NULL, 0);
	(void)ask(FUSE_FALLOCATE, node, &room, sizeof room, NULL, 0);
	(void)ask(FUSE_LSEEK, node, &seek, sizeof seek, NULL, 0);
	(void)ask(FUSE_FSYNC, node, &sync, sizeof sync, NULL, 0);
	(void)ask(FUSE_FLUSH, node, &flush, sizeof flush, NULL, 0);
	(void)ask(FUSE_RELEASE, node, &done, sizeof done, NULL, 0);
}

static void list(uint64_t node)
{
	struct fuse_open_in how = { 0 };
	struct fuse_read_in in = { .size = 4096 };
	struct fuse_fsync_in sync = { 0 };
	long r = ask(FUSE_OPENDIR, node, &how, sizeof how, NULL, 0);
	struct fuse_release_in done = { .fh = handle_of(r) };

	if (r < 0)
		return;
	in.fh = sync.fh = done.fh;
	(void)ask(FUSE_READDIR, node, &in, sizeof in, NULL, 0);
	(void)ask(FUSE_FSYNCDIR, node, &sync, sizeof sync, NULL, 0);
	(void)ask(FUSE_RELEASEDIR, node, &done, sizeof done, NULL, 0);
}

/* All that a client may ask for, on things of every kind. */
static int run_session(struct gb_err *err)
{
	struct fuse_create_in create = { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644 };
	struct fuse_mkdir_in folder = { .mode = 0755 };
	struct fuse_mknod_in fifo = { .mode = S_IFIFO | 0644 };
	struct fuse_rename2_in rename_in = { .newdir = 1 };
	struct fuse_release_in done = { 0 };
	struct fuse_link_in link_in = { 0 };
	struct fuse_open_out opened;

	(void)err;
	long r = ask(FUSE_CREATE, 1, &create, sizeof create, "file", 5);
	uint64_t file = entry_of(r), again = 0, dir, link, pipe;
	if (file) {
		memcpy(&opened, answer + sizeof(struct fuse_entry_out), sizeof opened);
		done.fh = opened.fh;
		(void)ask(FUSE_RELEASE, file, &done, sizeof done, NULL, 0);
		again = named(FUSE_LOOKUP, 1, NULL, 0, "file");
		transfer(file);
		inspect(file, FATTR_SIZE);
		link_in.oldnodeid = file;
		again = named(FUSE_LINK, 1, &link_in, sizeof link_in, "hard") ? again + 1 : again;
	}
	dir = named(FUSE_MKDIR, 1, &folder, sizeof folder, "dir");
	link = entry_of(ask(FUSE_SYMLINK, 1, "link", 5, "target", 7));
	if (link)
		(void)ask(FUSE_READLINK, link, NULL, 0, NULL, 0);
	pipe = named(FUSE_MKNOD, 1, &fifo, sizeof fifo, "fifo");
	list(1);
	if (dir) {
		list(dir);
		inspect(dir, 0);
	}
	(void)ask(FUSE_RENAME2, 1, &rename_in, sizeof rename_in, "fifo\0other", 11);
	(void)ask(FUSE_UNLINK, 1, "other", 6, NULL, 0);
	(void)ask(FUSE_RMDIR, 1, "dir", 4, NULL, 0);
	forget(file, 3);
	forget(dir, 1);
	forget(link, 1);
	forget(pipe, 1);
	(void)ask(FUSE_STATFS, 1, NULL, 0, NULL, 0); /* what was to be forgotten is, once this is answered */
	return refused ? -EIO : 0;
}

/* It answers as if nothing had been. */
static void look_after(int r)
{
	(void)r;
	refused = 0;
	clear();
	uint64_t node = named(FUSE_LOOKUP, 1, NULL, 0, "init.krun");
	assert_true(node == 2);
	struct fuse_getattr_in get = { 0 };
	assert_int_equal(ask(FUSE_GETATTR, 1, &get, sizeof get, NULL, 0), sizeof(struct fuse_attr_out));
}

static void a_session(void **state)
{
	/* Requests and answers: without them nobody is served. */
	static const char *const except[] = { "read", "write", NULL };
	const struct faults faults = { clear, run_session, look_after, true, except, 1 };

	(void)state;
	assert_true(faults_each(&faults, EIO) > 40);
}

static int run_new(struct gb_err *err)
{
	struct gb_initfs *other = gb_initfs_new(&config, err);

	if (other)
		gb_initfs_free(other);
	return other ? 0 : -(err->code ? err->code : EIO);
}

static void a_start(void **state)
{
	const struct faults faults = { NULL, run_new, NULL, false, NULL, 1 };

	(void)state;
	assert_true(faults_each(&faults, EIO) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_session), cmocka_unit_test(a_start) };

	return cmocka_run_group_tests_name("served", tests, start, stop);
}
