/* SPDX-License-Identifier: MIT */
/* Data: read, written, flushed, looked for holes, copied. */
#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/initfs/ops.h"

/* Whatever a request wants of an open file: found, used, let go. */
static struct gb_file *file_of(fuse_req_t req, const struct fuse_file_info *fi)
{
	return gb_initfs_file_get(&gb_initfs_of(req)->table, fi->fh, GB_FILE_PLAIN);
}

static void file_reply(fuse_req_t req, struct gb_file *file, int r)
{
	gb_initfs_file_put(&gb_initfs_of(req)->table, file);
	gb_initfs_err(req, r < 0 ? -r : 0);
}

/* A pipe a worker, as large as the largest read. gb_initfs_thread_end() ends it. */
static _Thread_local struct { int fd[2]; size_t size; bool failed; } thread_pipe = { .fd = { -1, -1 } };

static bool have_pipe(size_t size)
{
	if (thread_pipe.failed)
		return false;
	if (thread_pipe.fd[0] < 0) {
		if (pipe2(thread_pipe.fd, O_CLOEXEC | O_NONBLOCK) < 0) {
			thread_pipe.failed = true;
			return false;
		}
		thread_pipe.size = 65536;
	}
	if (thread_pipe.size < size) {
		int got = fcntl(thread_pipe.fd[1], F_SETPIPE_SZ, (int)size);
		if (got < 0)
			return false;
		thread_pipe.size = (size_t)got;
	}
	return true;
}

static void drop_pipe(void)
{
	for (int i = 0; i < 2; i++) {
		if (thread_pipe.fd[i] >= 0)
			(void)close(thread_pipe.fd[i]);
		thread_pipe.fd[i] = -1;
	}
	thread_pipe.size = 0;
}

void gb_initfs_thread_end(void)
{
	drop_pipe();
}

/* Pages of the file into the pipe, without a copy: the count; -EINVAL where this cannot be done.
 *
 * A read that gets some bytes and then an error must not become a short answer: the kernel takes that for the end of
 * the file. The error for all of it makes the kernel ask again, a page at a time. */
static ssize_t fill_pipe(int fd, size_t size, off_t off)
{
	size_t done = 0;

	while (done < size) {
		off_t at = off + (off_t)done;
		ssize_t n = splice(fd, &at, thread_pipe.fd[1], NULL, size - done, SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EINVAL; /* more pieces than the pipe holds */
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Below this a copy is cheaper than the system calls that avoid it. */
enum { SPLICE_MIN = 32768 };

static void reply_range(fuse_req_t req, int fd, size_t size, off_t off)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	ssize_t n = -EINVAL;

	if (size > (1 << 24)) /* the kernel never asks for as much */
		size = 1 << 24;
	if (fs->config.splice && size >= SPLICE_MIN && have_pipe(size)) {
		n = fill_pipe(fd, size, off);
		if (n > 0) {
			struct fuse_bufvec buf = FUSE_BUFVEC_INIT((size_t)n);
			buf.buf[0].flags = FUSE_BUF_IS_FD;
			buf.buf[0].fd = thread_pipe.fd[0];
			if (fuse_reply_data(req, &buf, 0) != 0)
				drop_pipe(); /* what it still holds belongs to no answer */
			return;
		}
		if (n < 0)
			drop_pipe();
	}
	if (n == -EINVAL) {
		gb_autofree char *data = malloc(size ? size : 1);
		n = data ? gb_io_pread(fd, data, size, off) : -ENOMEM;
		if (n >= 0) {
			(void)fuse_reply_buf(req, data, (size_t)n);
			return;
		}
	}
	if (n < 0)
		gb_initfs_err(req, (int)-n);
	else
		(void)fuse_reply_buf(req, NULL, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);

	if (gb_initfs_is_init(fs, id)) {
		if (off < 0 || (uint64_t)off >= fs->store.size)
			size = 0;
		else if (size > fs->store.size - (uint64_t)off)
			size = (size_t)(fs->store.size - (uint64_t)off);
		if (size >= SPLICE_MIN && fs->config.splice) {
			/* Sealed memory gives no error halfway. */
			struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);
			buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
			buf.buf[0].fd = fs->store.fd;
			buf.buf[0].pos = off;
			(void)fuse_reply_data(req, &buf, 0);
		} else {
			(void)fuse_reply_buf(req, (const char *)fs->store.map + (size ? off : 0), size);
		}
		return;
	}
	struct gb_file *file = file_of(req, fi);
	if (!file) {
		gb_initfs_err(req, EBADF);
		return;
	}
	reply_range(req, file->fd, size, off);
	gb_initfs_file_put(&fs->table, file);
}

static void op_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);
	struct gb_file *file;
	size_t done = 0;
	int r = 0;

	if (gb_initfs_is_init(fs, id)) {
		gb_initfs_err(req, EACCES);
		return;
	}
	file = file_of(req, fi);
	if (!file) {
		gb_initfs_err(req, EBADF);
		return;
	}
	while (done < size) {
		ssize_t n = pwrite(file->fd, data + done, size - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	gb_initfs_file_put(&fs->table, file);
	if (done == 0 && r < 0)
		gb_initfs_err(req, -r);
	else
		(void)fuse_reply_write(req, done);
}

static void op_flush(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
	struct gb_file *file = NULL;
	int r = 0;

	if (!gb_initfs_is_init(gb_initfs_of(req), id)) {
		file = file_of(req, fi);
		/* A close(2) of a copy: the file system's own flush, and its error. */
		int copy = file ? fcntl(file->fd, F_DUPFD_CLOEXEC, 3) : -1;
		r = !file ? -EBADF : copy < 0 || close(copy) < 0 ? -errno : 0;
	}
	file_reply(req, file, r);
}

static void op_fsync(fuse_req_t req, fuse_ino_t id, int datasync, struct fuse_file_info *fi)
{
	struct gb_file *file = NULL;
	int r = 0;

	if (!gb_initfs_is_init(gb_initfs_of(req), id)) {
		file = file_of(req, fi);
		if (!file)
			r = -EBADF;
		else if ((datasync ? fdatasync(file->fd) : fsync(file->fd)) < 0)
			r = -errno;
	}
	file_reply(req, file, r);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct gb_file *file = gb_initfs_is_init(gb_initfs_of(req), id) ? NULL : file_of(req, fi);
	int r = gb_initfs_is_init(gb_initfs_of(req), id) ? -EACCES : !file ? -EBADF : 0;

	if (r == 0 && fallocate(file->fd, mode, off, len) < 0)
		r = -errno;
	file_reply(req, file, r);
}

static void op_lseek(fuse_req_t req, fuse_ino_t id, off_t off, int whence, struct fuse_file_info *fi)
{
	struct gb_initfs *fs = gb_initfs_of(req);

	if (gb_initfs_is_init(fs, id)) {
		if (whence != SEEK_DATA && whence != SEEK_HOLE)
			gb_initfs_err(req, EINVAL);
		else if (off < 0 || (uint64_t)off >= fs->store.size)
			gb_initfs_err(req, ENXIO);
		else
			(void)fuse_reply_lseek(req, whence == SEEK_DATA ? off : (off_t)fs->store.size);
		return;
	}
	struct gb_file *file = file_of(req, fi);
	if (!file) {
		gb_initfs_err(req, EBADF);
		return;
	}
	off_t at = lseek(file->fd, off, whence);
	if (at < 0)
		gb_initfs_err(req, errno);
	else
		(void)fuse_reply_lseek(req, at);
	gb_initfs_file_put(&fs->table, file);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off, struct fuse_file_info *in_fi,
			       fuse_ino_t out, off_t out_off, struct fuse_file_info *out_fi, size_t len, int flags)
{
	struct gb_initfs *fs = gb_initfs_of(req);

	if (gb_initfs_is_init(fs, out) || gb_initfs_is_init(fs, in)) {
		/* EXDEV: the kernel copies by itself */
		gb_initfs_err(req, gb_initfs_is_init(fs, out) ? EACCES : EXDEV);
		return;
	}
	struct gb_file *from = file_of(req, in_fi), *to = file_of(req, out_fi);
	ssize_t n = -1;
	errno = EBADF;
	if (from && to)
		n = copy_file_range(from->fd, &in_off, to->fd, &out_off, len, (unsigned)flags);
	int r = n < 0 ? -errno : 0;
	/* An old file system's ENOSYS would switch the request off for the whole mount. */
	if (r == -ENOSYS)
		r = -EXDEV;
	gb_initfs_file_put(&fs->table, from);
	gb_initfs_file_put(&fs->table, to);
	if (r < 0)
		gb_initfs_err(req, -r);
	else
		(void)fuse_reply_write(req, (size_t)n);
}

void gb_initfs_data_ops(struct fuse_lowlevel_ops *ops)
{
	ops->read = op_read;
	ops->write = op_write;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
}
