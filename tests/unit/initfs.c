/* SPDX-License-Identifier: MIT */
/* initfs without a mount: the store, and the protocol spoken frame by frame over a socket. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/initfs/initfs.h"
#include "common/initfs/store.h"
#include "tests/unit/fuse.h"

static char dir[] = "/tmp/guestbox-initfs.XXXXXX";
static char payload[64], source[64];
enum { SIZE = 300007 };
static unsigned char bytes[SIZE];

static int sock = -1;
static pthread_t server;
static struct gb_initfs *fs;
static uint64_t unique;
static char answer[1 << 21];

static void *serve(void *arg)
{
	struct gb_err err = { 0 };
	(void)gb_initfs_serve(fs, *(int *)arg, &err);
	return NULL;
}

/* Sends a request of up to three parts: the answer's length without its header, or -errno; what it says in answer. */
static long ask(uint32_t opcode, uint64_t node, const void *a, size_t alen, const void *b, size_t blen)
{
	char frame[8192];
	size_t len = unit_fuse_request(frame, opcode, node, ++unique, a, alen, b, blen);
	struct fuse_out_header out;

	assert_int_equal(write(sock, frame, len), len);
	if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET)
		return 0;
	ssize_t n = read(sock, answer, sizeof answer);
	assert_true(n >= (ssize_t)sizeof out);
	memcpy(&out, answer, sizeof out);
	assert_int_equal(out.len, n);
	assert_true(out.unique == unique);
	memmove(answer, answer + sizeof out, (size_t)n - sizeof out);
	return out.error ? out.error : (long)(n - (ssize_t)sizeof out);
}

static long named(uint32_t opcode, uint64_t node, const void *a, size_t alen, const char *name)
{
	return ask(opcode, node, a, alen, name, strlen(name) + 1);
}

static struct fuse_entry_out *entry(void) { return (struct fuse_entry_out *)(void *)answer; }

static int setup(void **state)
{
	static int ends[2];
	struct gb_err err = { 0 };
	struct fuse_init_in init = { .major = 7, .minor = 38, .max_readahead = 1 << 17,
				     .flags = FUSE_DO_READDIRPLUS | FUSE_DONT_MASK | FUSE_MAX_PAGES };
	int big = 4 << 20;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(payload, sizeof payload, "%s/payload", dir);
	(void)snprintf(source, sizeof source, "%s/source", dir);
	assert_int_equal(mkdir(source, 0755), 0);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (unsigned char)(i * 2654435761U >> 13);
	int fd = open(payload, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, bytes, SIZE), SIZE);
	close(fd);
	const struct gb_initfs_config config = {
		.source = source, .mountpoint = "/nowhere", .init = payload, .name = "init.krun", .mode = 0755, .mtime = -1,
		.timeout = -1, .inject = true, .force = true, .handles = true, .cache = GB_INITFS_AUTO, .threads = 1, .fds = 64,
		.ready_fd = -1, .foreground = true,
	};
	fs = gb_initfs_new(&config, &err);
	assert_non_null(fs);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
	sock = ends[0];
	assert_int_equal(pthread_create(&server, NULL, serve, &ends[1]), 0);
	assert_int_equal(ask(FUSE_INIT, 0, &init, sizeof init, NULL, 0), sizeof(struct fuse_init_out));
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	close(sock);
	pthread_join(server, NULL);
	gb_initfs_free(fs);
	(void)snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command) == 0 ? 0 : 1;
}

static void check_attr(const struct fuse_attr *a)
{
	assert_true(a->ino == 2);
	assert_true(a->size == SIZE);
	assert_true(a->blocks == (SIZE + 511) / 512);
	assert_int_equal(a->mode, S_IFREG | 0755);
	assert_int_equal(a->nlink, 1);
	assert_int_equal(a->uid, 0);
	assert_int_equal(a->gid, 0);
	assert_int_equal(a->blksize, 4096);
}

static void identity(void **state)
{
	struct fuse_getattr_in plain = { 0 }, handle = { .getattr_flags = FUSE_GETATTR_FH, .fh = 12345 };

	(void)state;
	assert_int_equal(named(FUSE_LOOKUP, 1, NULL, 0, "init.krun"), sizeof(struct fuse_entry_out));
	assert_true(entry()->nodeid == 2);
	assert_true(entry()->generation == 0);
	assert_true(entry()->entry_valid >= 86400);
	assert_true(entry()->attr_valid >= 86400);
	check_attr(&entry()->attr);
	static const char *const misses[] = { "Init.krun", "init.kru", "init.krunx", "init.krun " };
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(named(FUSE_LOOKUP, 1, NULL, 0, misses[i]), -ENOENT);
	assert_int_equal(ask(FUSE_GETATTR, 2, &plain, sizeof plain, NULL, 0), sizeof(struct fuse_attr_out));
	check_attr(&((struct fuse_attr_out *)(void *)answer)->attr);
	assert_int_equal(ask(FUSE_GETATTR, 2, &handle, sizeof handle, NULL, 0), sizeof(struct fuse_attr_out));
	check_attr(&((struct fuse_attr_out *)(void *)answer)->attr);
	assert_int_equal(named(FUSE_LOOKUP, 2, NULL, 0, "x"), -ENOTDIR);
	assert_int_equal(ask(FUSE_READLINK, 2, NULL, 0, NULL, 0), -EINVAL);
	struct fuse_open_in open_in = { 0 };
	assert_int_equal(ask(FUSE_OPENDIR, 2, &open_in, sizeof open_in, NULL, 0), -ENOTDIR);
}

static void attributes_stay(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 11; bit++) {
		struct fuse_setattr_in in = { .valid = 1U << bit, .mode = 0644, .size = 1, .uid = 1, .gid = 1 };
		assert_int_equal(ask(FUSE_SETATTR, 2, &in, sizeof in, NULL, 0), -EACCES);
	}
	struct fuse_setattr_in all = { .valid = 0x7ff };
	assert_int_equal(ask(FUSE_SETATTR, 2, &all, sizeof all, NULL, 0), -EACCES);
	identity(state);
}

static void opens(void **state)
{
	static const uint32_t refused[] = { O_WRONLY, O_RDWR, O_TRUNC, O_WRONLY | O_APPEND, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC };
	struct fuse_open_in in = { .flags = O_RDONLY };

	(void)state;
	assert_int_equal(ask(FUSE_OPEN, 2, &in, sizeof in, NULL, 0), sizeof(struct fuse_open_out));
	const struct fuse_open_out *out = (void *)answer;
	assert_true(out->fh == 0);
	assert_true(out->open_flags & FOPEN_KEEP_CACHE);
	assert_false(out->open_flags & FOPEN_DIRECT_IO);
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		in.flags = refused[i];
		assert_int_equal(ask(FUSE_OPEN, 2, &in, sizeof in, NULL, 0), -EACCES);
	}
}

static void reads_at(uint64_t fh, uint64_t off, uint32_t size)
{
	struct fuse_read_in in = { .fh = fh, .offset = off, .size = size };
	uint64_t want = off >= SIZE ? 0 : SIZE - off < size ? SIZE - off : size;

	assert_int_equal(ask(FUSE_READ, 2, &in, sizeof in, NULL, 0), want);
	assert_memory_equal(answer, bytes + (off < SIZE ? off : 0), want);
}

static void reads(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 64, 4095, 4096, 4097, 131072, 1 << 20 };
	static const uint64_t offsets[] = { 0, 1, 64, 100, 4096, SIZE - 10, SIZE - 1, SIZE, SIZE + 1, 1ULL << 40, INT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (size_t j = 0; j < sizeof offsets / sizeof offsets[0]; j++)
			reads_at(0, offsets[j], sizes[i]);
	}
	reads_at(77, 100, 64); /* the handle does not matter */
}

static void changes(void **state)
{
	struct fuse_write_in write_in = { .size = 1 };
	struct fuse_fallocate_in fallocate_in = { .length = 4096 };
	struct fuse_flush_in flush_in = { 0 };
	struct fuse_fsync_in fsync_in = { 0 };
	struct fuse_release_in release_in = { 0 };

	(void)state;
	static const uint64_t places[] = { 0, SIZE };
	for (size_t i = 0; i < 2; i++) {
		write_in.offset = places[i];
		assert_int_equal(ask(FUSE_WRITE, 2, &write_in, sizeof write_in, "x", 1), -EACCES);
	}
	write_in.size = 0;
	assert_int_equal(ask(FUSE_WRITE, 2, &write_in, sizeof write_in, NULL, 0), -EACCES);
	for (uint32_t mode = 0; mode <= 3; mode++) {
		fallocate_in.mode = mode;
		assert_int_equal(ask(FUSE_FALLOCATE, 2, &fallocate_in, sizeof fallocate_in, NULL, 0), -EACCES);
	}
	assert_int_equal(ask(FUSE_FLUSH, 2, &flush_in, sizeof flush_in, NULL, 0), 0);
	assert_int_equal(ask(FUSE_FSYNC, 2, &fsync_in, sizeof fsync_in, NULL, 0), 0);
	assert_int_equal(ask(FUSE_RELEASE, 2, &release_in, sizeof release_in, NULL, 0), 0);
	assert_int_equal(ask(FUSE_RELEASE, 2, &release_in, sizeof release_in, NULL, 0), 0);
}

static void names(void **state)
{
	static const uint32_t rename_flags[] = { 0, 1, 2, 4, 1U << 30 };
	struct fuse_create_in create = { .flags = O_CREAT | O_WRONLY, .mode = S_IFREG | 0644 };
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	struct fuse_mknod_in mknod_in = { .mode = S_IFREG | 0644 };
	struct fuse_link_in link_in = { .oldnodeid = 2 };

	(void)state;
	assert_int_equal(named(FUSE_UNLINK, 1, NULL, 0, "init.krun"), -EACCES);
	assert_int_equal(named(FUSE_RMDIR, 1, NULL, 0, "init.krun"), -EACCES);
	assert_int_equal(named(FUSE_CREATE, 1, &create, sizeof create, "init.krun"), -EACCES);
	assert_int_equal(named(FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, "init.krun"), -EACCES);
	for (int i = 0; i < 3; i++) {
		mknod_in.mode = i == 0 ? S_IFREG | 0644 : i == 1 ? S_IFIFO | 0644 : S_IFCHR | 0644;
		assert_int_equal(named(FUSE_MKNOD, 1, &mknod_in, sizeof mknod_in, "init.krun"), -EACCES);
	}
	assert_int_equal(ask(FUSE_SYMLINK, 1, "init.krun", 10, "target", 7), -EACCES);
	assert_int_equal(named(FUSE_LINK, 1, &link_in, sizeof link_in, "other"), -EACCES);
	for (size_t i = 0; i < sizeof rename_flags / sizeof rename_flags[0]; i++) {
		struct fuse_rename2_in in = { .newdir = 1, .flags = rename_flags[i] };
		assert_int_equal(ask(FUSE_RENAME2, 1, &in, sizeof in, "init.krun\0other", 16), -EACCES);
		assert_int_equal(ask(FUSE_RENAME2, 1, &in, sizeof in, "other\0init.krun", 16), -EACCES);
	}
	/* what no kernel sends */
	assert_int_equal(named(FUSE_LOOKUP, 1, NULL, 0, ".."), -EPERM);
	assert_int_equal(named(FUSE_LOOKUP, 1, NULL, 0, "a/b"), -EPERM);
	assert_int_equal(named(FUSE_LOOKUP, 1, NULL, 0, ""), -EINVAL);
	assert_int_equal(named(FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, "../up"), -EPERM);
}

static void xattrs_and_access(void **state)
{
	static const char *const all[] = { "user.a", "security.capability", "system.posix_acl_access" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (uint32_t size = 0; size <= 256; size += 256) {
			struct fuse_getxattr_in in = { .size = size };
			assert_int_equal(named(FUSE_GETXATTR, 2, &in, sizeof in, all[i]), -ENODATA);
		}
	}
	struct fuse_getxattr_in list = { .size = 0 };
	assert_int_equal(ask(FUSE_LISTXATTR, 2, &list, sizeof list, NULL, 0), sizeof(struct fuse_getxattr_out));
	assert_int_equal(((struct fuse_getxattr_out *)(void *)answer)->size, 0);
	list.size = 256;
	assert_int_equal(ask(FUSE_LISTXATTR, 2, &list, sizeof list, NULL, 0), 0);
	struct fuse_setxattr_in set = { .size = 1 }; /* in its older, shorter form: INIT has agreed on no other */
	assert_int_equal(ask(FUSE_SETXATTR, 2, &set, FUSE_COMPAT_SETXATTR_IN_SIZE, "user.a\0v", 8), -EACCES);
	assert_int_equal(named(FUSE_REMOVEXATTR, 2, NULL, 0, "user.a"), -EACCES);
	static const struct { uint32_t mask; int want; } masks[] = { { R_OK, 0 }, { X_OK, 0 }, { W_OK, -EACCES }, { 0, 0 } };
	for (size_t i = 0; i < 4; i++) {
		struct fuse_access_in in = { .mask = masks[i].mask };
		assert_int_equal(ask(FUSE_ACCESS, 2, &in, sizeof in, NULL, 0), masks[i].want);
	}
	struct fuse_statfs_out own, root;
	assert_int_equal(ask(FUSE_STATFS, 2, NULL, 0, NULL, 0), sizeof own);
	memcpy(&own, answer, sizeof own);
	assert_int_equal(ask(FUSE_STATFS, 1, NULL, 0, NULL, 0), sizeof root);
	memcpy(&root, answer, sizeof root);
	/* the free space may have changed in between */
	assert_true(own.st.blocks > 0 && own.st.blocks == root.st.blocks && own.st.bsize == root.st.bsize);
	assert_true(own.st.files == root.st.files && own.st.namelen == root.st.namelen);
}

static void forgets(void **state)
{
	struct fuse_forget_in one = { .nlookup = 100 }, huge = { .nlookup = 1ULL << 63 };
	struct fuse_getattr_in get = { 0 };
	struct { struct fuse_batch_forget_in head; struct fuse_forget_one list[2]; } batch = {
		.head.count = 2, .list = { { 2, 5 }, { 0, 1 } },
	};
	char path[96];

	(void)state;
	(void)ask(FUSE_FORGET, 2, &one, sizeof one, NULL, 0);
	(void)ask(FUSE_FORGET, 2, &huge, sizeof huge, NULL, 0);
	identity(state);
	(void)snprintf(path, sizeof path, "%s/file", source);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	assert_int_equal(named(FUSE_LOOKUP, 1, NULL, 0, "file"), sizeof(struct fuse_entry_out));
	uint64_t id = batch.list[1].nodeid = entry()->nodeid;
	assert_true(id >= 3);
	assert_int_equal(ask(FUSE_GETATTR, id, &get, sizeof get, NULL, 0), sizeof(struct fuse_attr_out));
	(void)ask(FUSE_BATCH_FORGET, 0, &batch, sizeof batch, NULL, 0);
	assert_int_equal(ask(FUSE_GETATTR, id, &get, sizeof get, NULL, 0), -ESTALE);
	identity(state);
	/* the number is not given again */
	assert_int_equal(named(FUSE_LOOKUP, 1, NULL, 0, "file"), sizeof(struct fuse_entry_out));
	assert_true(entry()->nodeid > id);
	/* a handle that was never given, or is closed */
	struct fuse_read_in read_in = { .fh = 5, .size = 10 };
	assert_int_equal(ask(FUSE_READ, entry()->nodeid, &read_in, sizeof read_in, NULL, 0), -EBADF);
	assert_int_equal(unlink(path), 0);
}

/* What is not the virtual file: the name in another folder, the name for an ordinary object, and how long that is kept. */
static void others(void **state)
{
	struct fuse_mkdir_in mkdir_in = { .mode = 0755 };
	struct fuse_mknod_in mknod_in = { .mode = S_IFREG | 0644 };
	struct fuse_rename2_in rename_in = { .newdir = 1 };
	char path[96];

	(void)state;
	assert_int_equal(named(FUSE_MKDIR, 1, &mkdir_in, sizeof mkdir_in, "sub"), sizeof(struct fuse_entry_out));
	uint64_t sub = entry()->nodeid;
	assert_true(entry()->entry_valid == 1 && entry()->attr_valid == 1); /* cache=auto */
	assert_int_equal(named(FUSE_LOOKUP, sub, NULL, 0, "init.krun"), -ENOENT);
	assert_int_equal(named(FUSE_MKNOD, sub, &mknod_in, sizeof mknod_in, "init.krun"), sizeof(struct fuse_entry_out));
	assert_int_equal(named(FUSE_LOOKUP, sub, NULL, 0, "init.krun"), sizeof(struct fuse_entry_out));
	uint64_t real = entry()->nodeid;
	assert_true(real > sub && entry()->attr.size == 0 && entry()->attr.ino != 2);
	struct fuse_link_in link_in = { .oldnodeid = real };
	assert_int_equal(named(FUSE_LINK, 1, &link_in, sizeof link_in, "init.krun"), -EACCES);
	assert_int_equal(ask(FUSE_RENAME2, sub, &rename_in, sizeof rename_in, "init.krun\0init.krun", 20), -EACCES);
	assert_int_equal(named(FUSE_UNLINK, sub, NULL, 0, "init.krun"), 0);
	assert_int_equal(named(FUSE_RMDIR, 1, NULL, 0, "sub"), 0);
	(void)snprintf(path, sizeof path, "%s/sub", source);
	assert_int_equal(access(path, F_OK), -1);
	identity(state);
}

/* Buffers with room for one entry each: every name once, the virtual file last. */
static void listing(void **state)
{
	struct fuse_open_in open_in = { 0 };
	struct fuse_read_in in = { .size = 40 };
	char path[96], last[64] = "";
	unsigned count = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		(void)snprintf(path, sizeof path, "%s/e%d", source, i);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	}
	(void)snprintf(path, sizeof path, "%s/init.krun", source);
	assert_int_equal(mkdir(path, 0755), 0); /* hidden */
	assert_int_equal(ask(FUSE_OPENDIR, 1, &open_in, sizeof open_in, NULL, 0), sizeof(struct fuse_open_out));
	in.fh = ((struct fuse_open_out *)(void *)answer)->fh;
	assert_true(in.fh != 0);
	for (;;) {
		long n = ask(FUSE_READDIR, 1, &in, sizeof in, NULL, 0);
		assert_true(n >= 0);
		if (n == 0)
			break;
		const struct fuse_dirent *d = (void *)answer;
		assert_int_equal(n, FUSE_DIRENT_SIZE(d));
		(void)snprintf(last, sizeof last, "%.*s", (int)d->namelen, d->name);
		if (strcmp(last, "init.krun") == 0) {
			assert_true(d->ino == 2);
			assert_int_equal(d->type, S_IFREG >> 12);
		}
		in.offset = d->off;
		count++;
	}
	assert_string_equal(last, "init.krun");
	assert_int_equal(count, 23);
	in.offset = 0;
	in.size = 1 << 16;
	long n = ask(FUSE_READDIRPLUS, 1, &in, sizeof in, NULL, 0);
	const struct fuse_direntplus *p = NULL;
	for (long at = 0; at < n; at += (long)FUSE_DIRENTPLUS_SIZE(p))
		p = (void *)(answer + at);
	if (!p)
		fail_msg("readdirplus gave nothing");
	else
		check_attr(&p->entry_out.attr);
	assert_true(p && p->entry_out.nodeid == 2);
	assert_int_equal(rmdir(path), 0);
}

static void unknown_requests(void **state)
{
	struct fuse_ioctl_in in = { .cmd = 0x7602 };
	struct fuse_lseek_in seek = { .offset = 5, .whence = SEEK_DATA };
	struct fuse_copy_file_range_in copy = { .nodeid_out = 1, .len = 5 };

	(void)state;
	assert_int_equal(ask(FUSE_IOCTL, 2, &in, sizeof in, NULL, 0), -ENOTTY);
	assert_int_equal(ask(FUSE_LSEEK, 2, &seek, sizeof seek, NULL, 0), sizeof(struct fuse_lseek_out));
	seek.whence = SEEK_SET;
	assert_int_equal(ask(FUSE_LSEEK, 2, &seek, sizeof seek, NULL, 0), -EINVAL);
	seek = (struct fuse_lseek_in){ .offset = SIZE, .whence = SEEK_HOLE };
	assert_int_equal(ask(FUSE_LSEEK, 2, &seek, sizeof seek, NULL, 0), -ENXIO);
	assert_int_equal(ask(FUSE_COPY_FILE_RANGE, 2, &copy, sizeof copy, NULL, 0), -EXDEV);
	copy.nodeid_out = 2;
	assert_int_equal(ask(FUSE_COPY_FILE_RANGE, 1, &copy, sizeof copy, NULL, 0), -EACCES);
}

static void store(void **state)
{
	struct gb_store s = { .fd = -1 };
	struct gb_err err = { 0 };

	(void)state;
	assert_int_equal(gb_initfs_store_open(&s, payload, true, &err), 0);
	assert_true(s.size == SIZE);
	assert_memory_equal(s.map, bytes, SIZE);
	assert_int_equal(fcntl(s.fd, F_GET_SEALS) & 15, 15);
	assert_int_equal(pwrite(s.fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(s.fd, 0), -1);
	gb_initfs_store_close(&s);
	/* a source that ends early is no copy */
	int from = open(payload, O_RDONLY | O_CLOEXEC), to = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(gb_initfs_store_copy(to, from, SIZE + 1), -EIO);
	/* a pipe gives short reads */
	int p[2];
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], bytes, 5000), 5000);
	close(p[1]);
	assert_int_equal(ftruncate(to, 0), 0);
	assert_int_equal(lseek(to, 0, SEEK_SET), 0);
	assert_int_equal(gb_initfs_store_copy(to, p[0], 5000), 0);
	close(p[0]);
	close(from);
	close(to);
	assert_int_equal(gb_initfs_store_check("#!/bin/sh\n", 10, "x", &err), -ENOEXEC);
	assert_int_equal(gb_initfs_store_check("", 0, "x", &err), -ENOEXEC);
}

/* What the kernel says to a call (--wrap in the linker); 0: what it does. */
static struct { int memfd, sendfile, seal; } fault;

int __wrap_memfd_create(const char *name, unsigned flags);
int __real_memfd_create(const char *name, unsigned flags);
ssize_t __wrap_sendfile(int to, int from, off_t *offset, size_t len);
ssize_t __real_sendfile(int to, int from, off_t *offset, size_t len);

int __wrap_memfd_create(const char *name, unsigned flags)
{
	errno = fault.memfd;
	/* EINVAL: it does not know the newest flag (Linux before 6.3) */
	if (fault.memfd && (fault.memfd != EINVAL || flags & 8 /* MFD_NOEXEC_SEAL */))
		return -1;
	return __real_memfd_create(name, fault.seal ? 0 : flags);
}

ssize_t __wrap_sendfile(int to, int from, off_t *offset, size_t len)
{
	errno = fault.sendfile;
	return fault.sendfile ? -1 : __real_sendfile(to, from, offset, len);
}

/* An older kernel, or one that gives us no memfd: the bytes are as safe, or it is an error. */
static void store_of_older_kernels(void **state)
{
	struct gb_store s = { .fd = -1 };
	struct gb_err err = { 0 };
	struct stat st;

	(void)state;
	fault.memfd = EINVAL;
	assert_int_equal(gb_initfs_store_open(&s, payload, true, &err), 0);
	assert_true(s.sealed);
	assert_int_equal(fcntl(s.fd, F_GET_SEALS) & 15, 15);
	gb_initfs_store_close(&s);
	assert_int_equal(setenv("TMPDIR", dir, 1), 0);
	static const int none[] = { ENOSYS, EPERM, EACCES };
	for (size_t i = 0; i < 3; i++) {
		fault.memfd = none[i];
		fault.sendfile = i ? ENOSYS : EINVAL;
		assert_int_equal(gb_initfs_store_open(&s, payload, true, &err), 0);
		assert_false(s.sealed);
		assert_true(s.size == SIZE);
		assert_memory_equal(s.map, bytes, SIZE);
		/* A file without a name, and nobody writes to it through what we have. */
		assert_int_equal(fstat(s.fd, &st), 0);
		assert_int_equal(st.st_nlink, 0);
		assert_int_equal(fcntl(s.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
		assert_int_equal(pwrite(s.fd, "x", 1, 0), -1);
		gb_initfs_store_close(&s);
	}
	fault.sendfile = 0;
	assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
	assert_int_equal(gb_initfs_store_open(&s, payload, true, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "memory for "));
	assert_int_equal(unsetenv("TMPDIR"), 0);
	fault.memfd = ENFILE;
	assert_int_equal(gb_initfs_store_open(&s, payload, true, &err), -ENFILE);
	fault.memfd = 0;
	fault.sendfile = EIO;
	assert_int_equal(gb_initfs_store_open(&s, payload, true, &err), -EIO);
	assert_non_null(strstr(err.msg, "copy of "));
	fault.sendfile = 0;
	fault.seal = 1; /* one that cannot be sealed is no store */
	assert_int_equal(gb_initfs_store_open(&s, payload, true, &err), -EPERM);
	fault.seal = 0;
	assert_int_equal(s.fd, -1);
}

/* A copy that signals interrupt, and that comes in pieces of odd sizes, is whole. */
static atomic_bool copying;
static pthread_t copier;
static void nothing(int sig) { (void)sig; }

static void *disturb(void *arg)
{
	(void)arg;
	while (atomic_load(&copying)) {
		(void)pthread_kill(copier, SIGUSR1);
		(void)sched_yield();
	}
	return NULL;
}

static void *feed(void *arg)
{
	int fd = *(int *)arg;

	for (size_t at = 0, step = 1; at < SIZE; step = step * 3 % 4099 + 1) {
		ssize_t n = write(fd, bytes + at, step < SIZE - at ? step : SIZE - at);
		if (n > 0)
			at += (size_t)n;
	}
	(void)close(fd);
	return NULL;
}

static void interrupted_copy(void **state)
{
	struct sigaction act = { .sa_handler = nothing }, old;
	pthread_t disturber, feeder;
	int from[2];
	static unsigned char got[SIZE];
	sigset_t mask;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &act, &old), 0);
	copier = pthread_self();
	for (int round = 0; round < 3; round++) {
		int file = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), r;
		assert_int_equal(pipe(from), 0);
		(void)sigemptyset(&mask);
		(void)sigaddset(&mask, SIGUSR1);
		(void)pthread_sigmask(SIG_BLOCK, &mask, NULL);
		assert_int_equal(pthread_create(&feeder, NULL, feed, &from[1]), 0);
		(void)pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
		atomic_store(&copying, true);
		assert_int_equal(pthread_create(&disturber, NULL, disturb, NULL), 0);
		r = gb_initfs_store_copy(file, from[0], SIZE);
		atomic_store(&copying, false);
		pthread_join(disturber, NULL);
		pthread_join(feeder, NULL);
		assert_int_equal(r, 0);
		assert_int_equal(pread(file, got, SIZE, 0), SIZE);
		assert_memory_equal(got, bytes, SIZE);
		close(file);
		close(from[0]);
	}
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

/* What a bare kernel cannot run is refused by name, before anything is mounted. */
static void refused_programs(void **state)
{
	static char head[1 << 20];
	struct gb_store s = { .fd = -1 };
	struct gb_err err = { 0 };
	char path[96];
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(self, head, sizeof head);

	(void)state;
	close(self);
	assert_true(n > 64);
	/* this test itself is linked dynamically */
	assert_int_equal(gb_initfs_store_check(head, (size_t)n, "x", &err), -ENOEXEC);
	assert_non_null(strstr(err.msg, "dynamically linked"));
	head[18] ^= 1; /* e_machine */
	assert_int_equal(gb_initfs_store_check(head, (size_t)n, "x", &err), -ENOEXEC);
	assert_non_null(strstr(err.msg, "another machine"));
	head[18] ^= 1;
	const char type = head[16];
	head[16] = 1; /* ET_REL: what a compiler makes */
	assert_int_equal(gb_initfs_store_check(head, (size_t)n, "x", &err), -ENOEXEC);
	assert_non_null(strstr(err.msg, "not an executable (ELF type 1)"));
	head[16] = type;
	head[0] = 'x';
	assert_int_equal(gb_initfs_store_check(head, (size_t)n, "x", &err), -ENOEXEC);
	(void)snprintf(path, sizeof path, "%s/empty", dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	assert_int_equal(gb_initfs_store_open(&s, path, true, &err), -GB_E_REFUSED);
	assert_int_equal(gb_initfs_store_open(&s, payload, false, &err), -GB_E_REFUSED);
	assert_int_equal(gb_initfs_store_open(&s, dir, true, &err), -GB_E_REFUSED);
}

/* Without the virtual file its name is nobody's, and so is its number. */
static void not_injected(void **state)
{
	struct fuse_init_in init = { .major = 7, .minor = 38, .max_readahead = 1 << 17, .flags = FUSE_DONT_MASK };
	const struct gb_initfs_config config = {
		.source = source, .mountpoint = "/nowhere", .name = "init.krun", .mode = 0755, .mtime = -1, .timeout = -1,
		.handles = true, .cache = GB_INITFS_AUTO, .threads = 1, .fds = 64, .ready_fd = -1, .foreground = true,
	};
	static int ends[2];
	struct fuse_getattr_in get = { 0 };
	struct fuse_open_in open_in = { 0 };
	struct gb_err err = { 0 };
	int sock_before = sock;
	pthread_t server_before = server;
	struct gb_initfs *fs_before = fs;

	(void)state;
	fs = gb_initfs_new(&config, &err);
	assert_non_null(fs);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	sock = ends[0];
	assert_int_equal(pthread_create(&server, NULL, serve, &ends[1]), 0);
	assert_int_equal(ask(FUSE_INIT, 0, &init, sizeof init, NULL, 0), sizeof(struct fuse_init_out));
	assert_int_equal(named(FUSE_LOOKUP, 1, NULL, 0, "init.krun"), -ENOENT);
	assert_int_equal(ask(FUSE_GETATTR, 2, &get, sizeof get, NULL, 0), -ESTALE);
	assert_int_equal(ask(FUSE_OPEN, 2, &open_in, sizeof open_in, NULL, 0), -ESTALE);
	close(sock);
	pthread_join(server, NULL);
	gb_initfs_free(fs);
	sock = sock_before;
	server = server_before;
	fs = fs_before;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity),	  cmocka_unit_test(attributes_stay), cmocka_unit_test(opens),
		cmocka_unit_test(reads),	  cmocka_unit_test(changes),	     cmocka_unit_test(names),
		cmocka_unit_test(xattrs_and_access), cmocka_unit_test(forgets),	     cmocka_unit_test(listing),
		cmocka_unit_test(unknown_requests), cmocka_unit_test(store), cmocka_unit_test(store_of_older_kernels),
		cmocka_unit_test(interrupted_copy), cmocka_unit_test(refused_programs), cmocka_unit_test(not_injected),
		cmocka_unit_test(others),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
