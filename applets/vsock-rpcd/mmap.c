/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: MmapReadFile, the proof that a share's pages are what the host wrote. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
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
	AT_ONCE = 4,        /* half of the threads: files that come slowly leave the rest to others */
	LATE_MAX = 32,      /* half of those that may be late: beside them, others go on */
};

/*
 * A reply is as large as a frame may be, and is never held in memory: a thread sends it from the mapping into the
 * connection's channel. When the front takes no more, the thread is let go, and the reply waits in the loop until there is
 * room again: who takes his reply slowly, or never, holds a mapping and takes no place from others. How long he may, the
 * front sees to. The head, with the length of all, goes out before the last page was looked at. If the file has become
 * shorter by then, or cannot be read any more, zeros stand where it ended, and the count behind the data says how much of
 * them is the file's.
 */
struct rpcd_mmap_job {
	struct rpcd_job job; /* first: it is freed through it */
	STAILQ_ENTRY(rpcd_mmap_job) link;
	char *path;
	uint64_t offset, length;
	int fd;          /* the channel, a descriptor of our own: the connection may be gone meanwhile */
	struct gb_io room; /* watched while it waits for the front to take some; it is in the queue then, but passed over */
	bool unwanted;   /* whoever asked is gone: what it holds is to be let go, in a thread (a share may take long for it) */
	struct gb_mapfile file;
	struct gb_mapwindow window; /* its length is what the head announces */
	struct gb_buf out; /* what is copied: the head, what stands in front of a page that is not to be had, the count */
	size_t out_at;
	size_t at;       /* of the data: so much is sent, or in out */
	size_t end;      /* so much of it is the file's; behind it, zeros */
	bool counted;    /* the count is in out: all of it */
	/* what came of it */
	bool begun;      /* there is no way back to an Error frame */
	bool whole;
	bool late;       /* it takes no place from others any more */
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

/* In bytes that are out by now, so that the next ones are looked for. */
static int put_out(struct rpcd_mmap_job *job)
{
	ssize_t n = put(job, job->out.data + job->out_at, job->out.len - job->out_at);

	if (n > 0)
		job->out_at += (size_t)n;
	if (job->out_at == job->out.len) {
		gb_buf_free(&job->out);
		job->out_at = 0;
	}
	return (int)n;
}

/* Of the window, as far as its pages can be had. */
static int put_data(struct rpcd_mmap_job *job)
{
	char piece[PIECE];
	size_t want = job->end - job->at;
	ssize_t n = put(job, job->window.data + job->at, want);

	if (n != -EFAULT) {
		job->at += n > 0 ? (size_t)n : 0;
		return (int)n;
	}
	/* Some page of what the kernel wanted to take at once: what is in front of that one? */
	if (want > sizeof piece)
		want = sizeof piece;
	size_t got = gb_mapfile_copy(&job->window, job->at, piece, want);
	if (gb_buf_add(&job->out, piece, got) < 0)
		return -ENOMEM;
	job->at += got;
	if (got < want)
		job->end = job->at;
	return 1;
}

static int put_zeros(struct rpcd_mmap_job *job)
{
	static char zeros[PIECE]; /* never written; const, it would be 16 KB of the program's file */
	size_t left = job->window.len - job->at;
	ssize_t n = put(job, zeros, left < sizeof zeros ? left : sizeof zeros);

	job->at += n > 0 ? (size_t)n : 0;
	return (int)n;
}

/* The count, in as many bytes as the head has left for it. */
static int count(struct rpcd_mmap_job *job)
{
	unsigned char fields[FIELDS_MAX];
	struct stat st;

	/* A last page that was cut in its middle gives zeros, too, and no error. */
	if (fstat(job->file.fd, &st) < 0)
		return -errno;
	uint64_t left = (uint64_t)st.st_size > job->offset ? (uint64_t)st.st_size - job->offset : 0;
	fields[0] = 2 << 3 | PROTOBUF_C_WIRE_TYPE_VARINT;
	size_t n = 1 + varint(fields + 1, job->end < left ? job->end : left, varint(fields + 1, job->window.len, 1));
	job->counted = true;
	return gb_buf_add(&job->out, fields, n) < 0 ? -ENOMEM : 1;
}

/* Sends on, as far as there is room. 0 or -errno. */
static int send_on(struct rpcd_mmap_job *job)
{
	int r = 0;

	do {
		if (job->out.len)
			r = put_out(job);
		else if (job->at < job->end)
			r = put_data(job);
		else if (job->at < job->window.len)
			r = put_zeros(job);
		else if (job->window.len && !job->counted)
			r = count(job);
		else
			job->whole = true;
	} while (r > 0 && !job->whole);
	return r < 0 ? r : 0;
}

/* The head, and the first piece of the file, which is there already. 0 or -errno. */
static int begin(struct rpcd_mmap_job *job, const char *piece, size_t got)
{
	unsigned char head[GB_FRAME_HEAD], fields[FIELDS_MAX];
	size_t len = job->window.len, n = 0, tail = 0;

	if (len) {
		fields[n++] = 1 << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
		n += varint(fields + n, len, 1);
		tail = n; /* a key and the same number */
	}
	if (gb_frame_head(head, job->job.reply, job->job.trace_len, n + len + tail) < 0)
		return -EMSGSIZE;
	(void)gb_buf_add(&job->out, head, sizeof head);
	(void)gb_buf_add(&job->out, job->job.trace, job->job.trace_len);
	(void)gb_buf_add(&job->out, fields, n);
	if (gb_buf_add(&job->out, piece, got) < 0)
		return -ENOMEM;
	job->at = got;
	job->end = len;
	job->begun = true;
	return 0;
}

/* Opens the file, and looks whether there is anything to be had of it. 0 or -errno with err set. */
static int prepare(struct rpcd_mmap_job *job)
{
	struct rpcd_job *base = &job->job;
	uint64_t most = GB_FRAME_MAX - GB_FRAME_HEAD - base->trace_len - FIELDS_MAX;
	char piece[PIECE];

	int fd = open_below(base->rpcd, job->path);
	if (fd == -EACCES || fd == -EXDEV)
		return gb_err_set(&job->err, EACCES, "open %s: not below a folder that may be read (--mmap-root)", job->path);
	if (fd < 0)
		return gb_err_sys(&job->err, -fd, "open %s", job->path);
	int r = gb_mapfile_adopt(&job->file, fd, job->path, &job->err);
	if (r < 0) {
		(void)close(fd);
		return gb_err_set(&job->err, -r, "open %s", job->err.msg);
	}
	/* A reply that fits; the rest is another request's. */
	r = gb_mapfile_map(&job->file, job->offset, job->length < most ? job->length : most, &job->window);
	size_t want = job->window.len < sizeof piece ? job->window.len : sizeof piece, got = 0;
	if (r == 0 && want) {
		for (int i = 0; i < GB_MAP_TRIES && got == 0 && (i == 0 || r < 0); i++) {
			got = gb_mapfile_copy(&job->window, 0, piece, want);
			r = got ? 0 : gb_mapfile_cause(&job->file, job->offset);
		}
		if (got < want)
			job->window.len = got;
	}
	if (r == 0)
		r = begin(job, piece, got);
	return r < 0 ? gb_err_sys(&job->err, -r, "mmap %s", job->path) : 0;
}

static void release(struct rpcd_mmap_job *job)
{
	gb_mapfile_unmap(&job->window);
	gb_mapfile_close(&job->file);
	gb_buf_free(&job->out);
}

static void run(struct rpcd_job *base)
{
	struct rpcd_mmap_job *job = (struct rpcd_mmap_job *)base;
	int r = 0;

	if (!job->code && !job->begun)
		r = prepare(job);
	if (!job->code && r == 0)
		r = job->unwanted ? -EPIPE : send_on(job);
	if (r < 0)
		job->code = -r;
	if (job->code || job->whole)
		release(job);
}

static void on_room(struct gb_io *io, uint32_t events)
{
	struct rpcd_mmap_job *job = (struct rpcd_mmap_job *)((char *)io - offsetof(struct rpcd_mmap_job, room));
	struct rpcd *rpcd = job->job.rpcd;

	(void)events;
	gb_loop_del(io);
	STAILQ_REMOVE(&rpcd->mmaps, job, rpcd_mmap_job, link); /* others may have waited for longer */
	STAILQ_INSERT_TAIL(&rpcd->mmaps, job, link);
	rpcd_mmap_next(rpcd);
}

static void finish(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct rpcd_mmap_job *job = (struct rpcd_mmap_job *)base;

	if (job->late)
		base->rpcd->mmaps_late--;
	else
		base->rpcd->mmaps_running--;
	job->late = false;
	if (!base->failed && !job->code && !job->whole) {
		/* Until there is room, or nobody to make any. Without a watch on that (no memory), at once. */
		job->room = (struct gb_io){ .fd = job->fd, .events = EPOLLOUT, .fn = on_room };
		(void)gb_loop_add(&base->rpcd->loop, &job->room);
		base->again = true;
		STAILQ_INSERT_TAIL(&base->rpcd->mmaps, job, link);
		rpcd_mmap_next(base->rpcd);
		return;
	}
	gb_close_fd(&job->fd);
	if (call && job->begun && !job->whole)
		gb_conn_end(call->conn); /* half a frame is out */
	else if (call && base->failed)
		rpcd_error(call, base->failed, "mmap %s: %s", job->path, strerror(base->failed));
	else if (call && job->code)
		rpcd_error(call, job->code, "%s", job->err.msg);
	release(job);
	free(job->path);
	if (!base->conn) /* else it is the connection's turn next, and then that of those who wait */
		rpcd_mmap_next(base->rpcd);
}

/* A share that does not answer. */
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
	bool place = rpcd->mmaps_running < AT_ONCE && rpcd->mmaps_late < LATE_MAX;
	struct rpcd_mmap_job *job;

	STAILQ_FOREACH(job, &rpcd->mmaps, link) {
		bool waits = job->begun ? job->room.loop != NULL : job->job.conn && !gb_conn_is_flushed(job->job.conn);
		if (!waits && (place || (!job->begun && !job->job.conn)))
			return job;
	}
	return NULL;
}

void rpcd_mmap_next(struct rpcd *rpcd)
{
	struct rpcd_mmap_job *job;

	while ((job = next_job(rpcd))) {
		STAILQ_REMOVE(&rpcd->mmaps, job, rpcd_mmap_job, link);
		job->unwanted = !job->job.conn; /* its peer has not waited */
		if (job->unwanted && !job->begun) {
			free(job->path);
			free(job->job.trace);
			free(job);
			continue;
		}
		rpcd->mmaps_running++;
		if (!job->begun)
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
	job->fd = job->file.fd = -1;
	job->job.run = run;
	job->job.finish = finish;
	job->job.late = late;
	STAILQ_INSERT_TAIL(&call->rpcd->mmaps, job, link);
	rpcd_mmap_next(call->rpcd);
}
