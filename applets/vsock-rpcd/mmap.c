/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: MmapReadFile, the proof that a share's pages are what the host wrote. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/mapfile.h"

enum {
	ASK_MAX = 64 << 20, /* the protocol's own bound on a request */
	FIELDS_MAX = 2 * (1 + 10), /* key and length, key and count: the most they take */
	PIECE = 16 << 10,   /* what is copied, and not sent from where it is mapped */
	AT_ONCE = 4,        /* half of the threads: files that come slowly, or clients that take slowly, leave the rest to others */
	LATE_MAX = 32,      /* half of those that may be late: beside them, others go on */
};

/*
 * A reply is as large as a frame may be, and is never held in memory: its thread sends it from the mapping into the
 * connection's channel, as fast as the front takes it. The head, with the length of all, goes out before the last page was
 * looked at. If the file has become shorter by then, or cannot be read any more, zeros stand where it ended, and the count
 * behind the data says how much of them is the file's.
 */
struct rpcd_mmap_job {
	struct rpcd_job job; /* first: it is freed through it */
	STAILQ_ENTRY(rpcd_mmap_job) link;
	char *path;
	uint64_t offset, length;
	int fd;       /* the channel, a descriptor of our own: the connection may be gone meanwhile */
	int wait_ms;  /* what the front has to take a part of the reply */
	/* what came of it */
	bool begun;   /* there is no way back to an Error frame */
	bool whole;
	bool late;    /* it takes no place from others any more */
	int code;
	struct gb_err err;
};

_Static_assert(offsetof(struct rpcd_mmap_job, job) == 0, "freed through its first member");

/* Opens path below the root that it names; no symbolic link leads out of it (openat2(2), Linux 5.6). */
static int open_below(const struct rpcd *rpcd, const char *path)
{
	for (int i = 0; i < rpcd->roots_len; i++) {
		const char *root = rpcd->roots[i];
		size_t len = strlen(root);

		while (len && root[len - 1] == '/')
			len--;
		if (strncmp(path, root, len) != 0 || path[len] != '/')
			continue;
		const char *rest = path + len;
		rest += strspn(rest, "/");
		gb_autoclose int dir = open(len ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return -errno;
		return gb_io_openat2(dir, *rest ? rest : ".", O_RDONLY | O_NONBLOCK | O_NOCTTY, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
	}
	return -EACCES;
}

/* In at least `width` bytes: what is left of them says that it goes on, with nothing. */
static size_t varint(unsigned char *out, uint64_t v, size_t width)
{
	size_t n = 0;

	for (; v >= 0x80 || n + 1 < width; v >>= 7)
		out[n++] = (unsigned char)(v | 0x80);
	out[n++] = (unsigned char)v;
	return n;
}

/* ---- sending ---- */

/* How much went out, 0: the front must first take some, or -errno. */
static ssize_t put(const struct rpcd_mmap_job *job, const void *data, size_t len)
{
	ssize_t n = send(job->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* 0 or -errno: the front is gone, or its client takes nothing. */
static int wait_room(const struct rpcd_mmap_job *job)
{
	struct pollfd p = { .fd = job->fd, .events = POLLOUT };
	int n = poll(&p, 1, job->wait_ms);

	return n > 0 || (n < 0 && errno == EINTR) ? 0 : n < 0 ? -errno : -ETIMEDOUT;
}

static int put_all(const struct rpcd_mmap_job *job, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = put(job, at, len);
		if (n < 0)
			return (int)n;
		at += n;
		len -= (size_t)n;
		int r = n ? 0 : wait_room(job);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Sends the window from *at on, as far as its pages can be had: 0 or -errno. */
static int put_window(const struct rpcd_mmap_job *job, const struct gb_mapwindow *window, size_t *at)
{
	while (*at < window->len) {
		ssize_t n = put(job, window->data + *at, window->len - *at);
		if (n >= 0) {
			*at += (size_t)n;
			int r = n ? 0 : wait_room(job);
			if (r < 0)
				return r;
		} else if (n == -EFAULT) { /* some page of what the kernel wanted to take at once: what is in front of that one? */
			char piece[PIECE];
			size_t want = window->len - *at < sizeof piece ? window->len - *at : sizeof piece;
			size_t got = gb_mapfile_copy(window, *at, piece, want);
			int r = put_all(job, piece, got);
			if (r < 0)
				return r;
			*at += got;
			if (got < want)
				break;
		} else {
			return (int)n;
		}
	}
	return 0;
}

static int put_zeros(const struct rpcd_mmap_job *job, size_t len)
{
	static char zeros[PIECE]; /* never written; const, it would be 16 KB of the program's file */
	int r = 0;

	for (size_t n; r == 0 && len; len -= n) {
		n = len < sizeof zeros ? len : sizeof zeros;
		r = put_all(job, zeros, n);
	}
	return r;
}

/* The first piece of the file is there already; its head, the data, and what stands behind that. 0 or -errno. */
static int reply(struct rpcd_mmap_job *job, const struct gb_mapfile *file, const struct gb_mapwindow *window,
		 const char *piece, size_t got)
{
	unsigned char head[GB_FRAME_HEAD], fields[FIELDS_MAX];
	gb_autobuf struct gb_buf first = { 0 };
	size_t len = window->len, n = 0, tail = 0;
	struct stat st;

	if (len) {
		fields[n++] = 1 << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
		n += varint(fields + n, len, 1);
		tail = n; /* a key and the same number */
	}
	if (gb_frame_head(head, job->job.reply, job->job.trace_len, n + len + tail) < 0)
		return -EMSGSIZE;
	(void)gb_buf_add(&first, head, sizeof head);
	(void)gb_buf_add(&first, job->job.trace, job->job.trace_len);
	(void)gb_buf_add(&first, fields, n);
	if (gb_buf_add(&first, piece, got) < 0)
		return -ENOMEM;
	job->begun = true;
	int r = put_all(job, first.data, first.len);
	gb_buf_free(&first);
	if (r == 0)
		r = put_window(job, window, &got);
	if (r == 0)
		r = put_zeros(job, len - got);
	if (r < 0 || !len)
		return r;
	/* A last page that was cut in its middle gives zeros, too, and no error. */
	if (fstat(file->fd, &st) < 0)
		return -errno;
	uint64_t left = (uint64_t)st.st_size > job->offset ? (uint64_t)st.st_size - job->offset : 0;
	fields[0] = 2 << 3 | PROTOBUF_C_WIRE_TYPE_VARINT;
	(void)varint(fields + 1, got < left ? got : left, tail - 1);
	return put_all(job, fields, tail);
}

static void run(struct rpcd_job *base)
{
	struct rpcd_mmap_job *job = (struct rpcd_mmap_job *)base;
	gb_automapfile struct gb_mapfile file = { .fd = -1 };
	gb_automapwindow struct gb_mapwindow window = { 0 };
	uint64_t most = GB_FRAME_MAX - GB_FRAME_HEAD - base->trace_len - FIELDS_MAX;
	char piece[PIECE];

	if (job->code)
		return;
	int fd = open_below(base->rpcd, job->path);
	if (fd == -EACCES || fd == -EXDEV) {
		job->code = EACCES;
		(void)gb_err_set(&job->err, EACCES, "open %s: not below a folder that may be read (--mmap-root)", job->path);
		return;
	}
	if (fd < 0) {
		job->code = -fd;
		(void)gb_err_sys(&job->err, -fd, "open %s", job->path);
		return;
	}
	int r = gb_mapfile_adopt(&file, fd, job->path, &job->err);
	if (r < 0) {
		(void)close(fd);
		job->code = -r;
		(void)gb_err_set(&job->err, job->code, "open %s", job->err.msg);
		return;
	}
	/* A reply that fits; the rest is another request's. */
	r = gb_mapfile_map(&file, job->offset, job->length < most ? job->length : most, &window);
	size_t want = window.len < sizeof piece ? window.len : sizeof piece, got = 0;
	if (r == 0 && want) {
		for (int i = 0; i < GB_MAP_TRIES && got == 0 && (i == 0 || r < 0); i++) {
			got = gb_mapfile_copy(&window, 0, piece, want);
			r = got ? 0 : gb_mapfile_cause(&file, job->offset);
		}
		if (got < want)
			window.len = got;
	}
	if (r == 0)
		r = reply(job, &file, &window, piece, got);
	job->whole = r == 0;
	if (r < 0) {
		job->code = -r;
		(void)gb_err_sys(&job->err, -r, "mmap %s", job->path);
	}
}

static void finish(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct rpcd_mmap_job *job = (struct rpcd_mmap_job *)base;

	if (job->late)
		base->rpcd->mmaps_late--;
	else
		base->rpcd->mmaps_running--;
	gb_close_fd(&job->fd);
	if (call && base->failed)
		rpcd_error(call, base->failed, "mmap %s: %s", job->path, strerror(base->failed));
	else if (call && job->begun && !job->whole)
		gb_conn_end(call->conn); /* half a frame is out */
	else if (call && job->code)
		rpcd_error(call, job->code, "%s", job->err.msg);
	free(job->path);
	if (!base->conn) /* else it is the connection's turn next, and then that of those who wait */
		rpcd_mmap_next(base->rpcd);
}

/* A share that does not answer, or a client that takes slowly. */
static void late(struct rpcd_job *base)
{
	struct rpcd_mmap_job *job = (struct rpcd_mmap_job *)base;

	job->late = true;
	base->rpcd->mmaps_running--;
	base->rpcd->mmaps_late++;
	rpcd_mmap_next(base->rpcd);
}

/* In front of a reply that goes out beside the connection all others must be out. */
static struct rpcd_mmap_job *next_job(const struct rpcd *rpcd)
{
	struct rpcd_mmap_job *job;

	STAILQ_FOREACH(job, &rpcd->mmaps, link) {
		if (!job->job.conn || (rpcd->mmaps_running < AT_ONCE && rpcd->mmaps_late < LATE_MAX && gb_conn_is_flushed(job->job.conn)))
			return job;
	}
	return NULL;
}

void rpcd_mmap_next(struct rpcd *rpcd)
{
	struct rpcd_mmap_job *job;

	while ((job = next_job(rpcd))) {
		STAILQ_REMOVE(&rpcd->mmaps, job, rpcd_mmap_job, link);
		if (!job->job.conn) { /* its peer has not waited */
			free(job->path);
			free(job->job.trace);
			free(job);
			continue;
		}
		rpcd->mmaps_running++;
		job->fd = fcntl(job->job.conn->wfd, F_DUPFD_CLOEXEC, 3);
		if (job->fd < 0) {
			job->code = errno;
			(void)gb_err_sys(&job->err, errno, "mmap %s", job->path);
		}
		rpcd_job_go(&job->job);
	}
}

void rpcd_mmap(struct rpcd_call *call)
{
	const Arcbox__V1__MmapReadFileRequest *request = (const void *)call->request;

	if (request->length == 0) { /* the path is not looked at */
		Arcbox__V1__MmapReadFileResponse reply = ARCBOX__V1__MMAP_READ_FILE_RESPONSE__INIT;
		rpcd_reply(call, &reply.base);
		return;
	}
	if (request->length > ASK_MAX) {
		rpcd_error(call, EINVAL, "mmap %s: more than %d bytes at once", request->path, ASK_MAX);
		return;
	}
	struct rpcd_mmap_job *job = calloc(1, sizeof *job);
	char *path = strdup(request->path);
	if (!job || !path || !rpcd_job_hold(call, &job->job)) {
		free(job);
		free(path);
		rpcd_error(call, ENOMEM, "mmap: %s", strerror(ENOMEM));
		return;
	}
	job->path = path;
	job->offset = request->offset;
	job->length = request->length;
	job->fd = -1;
	job->wait_ms = (int)call->rpcd->frame_ms;
	job->job.run = run;
	job->job.finish = finish;
	job->job.late = late;
	STAILQ_INSERT_TAIL(&call->rpcd->mmaps, job, link);
	rpcd_mmap_next(call->rpcd);
}
