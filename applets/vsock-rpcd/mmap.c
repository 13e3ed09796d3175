/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: MmapReadFile, the proof that a share's pages are what the host wrote. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/sys/mapfile.h"

enum {
	ASK_MAX = 64 << 20, /* the protocol's own bound on a request */
	FIELDS_MAX = 2 * (1 + 10), /* key and length, key and count: the most they take */
	BUDGET = 64 << 20,  /* memory for large replies on their way, of all connections together */
	LARGE = 1 << 20,    /* ... which other requests do not have */
};

struct rpcd_mmap_job {
	struct rpcd_job job; /* first: it is freed through it */
	STAILQ_ENTRY(rpcd_mmap_job) link;
	char *path;
	uint64_t offset, length;
	/* what came of it */
	struct gb_buf frame;
	size_t from;
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
		struct open_how how = {
			.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
		};
		gb_autoclose int dir = open(len ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return -errno;
		int fd = (int)syscall(SYS_openat2, dir, *rest ? rest : ".", &how, sizeof how);
		return fd < 0 ? -errno : fd;
	}
	return -EACCES;
}

static size_t varint(unsigned char *out, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		out[n++] = (unsigned char)(v | 0x80);
	out[n++] = (unsigned char)v;
	return n;
}

/* Head, trace id and the fields around the data are put together by hand: 16 MiB are not copied once more for them. */
static int build(struct rpcd_mmap_job *job, size_t data_at, size_t got)
{
	unsigned char fields[FIELDS_MAX], head[GB_FRAME_HEAD];
	size_t n = 0, tail = 0;

	if (got) {
		fields[n++] = 1 << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
		n += varint(fields + n, got);
		unsigned char *end = (unsigned char *)job->frame.data + data_at + got;
		end[tail++] = 2 << 3 | PROTOBUF_C_WIRE_TYPE_VARINT;
		tail += varint(end + tail, got);
	}
	size_t before = GB_FRAME_HEAD + job->job.trace_len + n;
	if (gb_frame_head(head, job->job.reply, job->job.trace_len, n + got + tail) < 0)
		return -EMSGSIZE;
	job->from = data_at - before;
	unsigned char *at = (unsigned char *)job->frame.data + job->from;
	memcpy(at, head, sizeof head);
	memcpy(at + sizeof head, job->job.trace, job->job.trace_len);
	memcpy(at + sizeof head + job->job.trace_len, fields, n);
	job->frame.len = data_at + got + tail;
	return 0;
}

static void run(struct rpcd_job *base)
{
	struct rpcd_mmap_job *job = (struct rpcd_mmap_job *)base;
	gb_automapfile struct gb_mapfile file = { .fd = -1 };
	size_t data_at = GB_FRAME_HEAD + base->trace_len + FIELDS_MAX;
	uint64_t want = job->length, most = GB_FRAME_MAX - data_at - FIELDS_MAX;

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
	uint64_t left = job->offset < file.size ? file.size - job->offset : 0;
	want = want < left ? want : left;
	want = want < most ? want : most; /* a reply that fits; the rest is another request's */
	if (gb_buf_room(&job->frame, data_at + want + FIELDS_MAX) < 0) {
		job->code = ENOMEM;
		(void)gb_err_sys(&job->err, ENOMEM, "mmap %s", job->path);
		return;
	}
	ssize_t n = gb_mapfile_read(&file, job->offset, job->frame.data + data_at, want);
	if (n >= 0)
		n = build(job, data_at, (size_t)n);
	if (n < 0) {
		job->code = (int)-n;
		(void)gb_err_sys(&job->err, (int)-n, "mmap %s", job->path);
	}
}

static void finish(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct rpcd_mmap_job *job = (struct rpcd_mmap_job *)base;

	base->rpcd->mmaps_running--;
	if (call && base->failed)
		rpcd_error(call, base->failed, "mmap %s: %s", job->path, strerror(base->failed));
	else if (call && job->code)
		rpcd_error(call, job->code, "%s", job->err.msg);
	else if (call)
		gb_conn_give(call->conn, &job->frame, job->from);
	gb_buf_free(&job->frame);
	free(job->path);
	if (!call) /* else it is the connection's turn next, and then that of those who wait */
		rpcd_mmap_next(base->rpcd);
}

/* Replies that nobody takes must not fill the memory: those on their way and those to come stay within a budget, and who
 * comes later waits. Peers that do not take theirs are closed in the end. */
void rpcd_mmap_next(struct rpcd *rpcd)
{
	struct rpcd_mmap_job *job;

	while ((job = STAILQ_FIRST(&rpcd->mmaps))) {
		size_t held = (size_t)(rpcd->mmaps_running + 1) * GB_FRAME_MAX;
		struct gb_conn *conn;

		TAILQ_FOREACH(conn, &rpcd->conns, link)
			held += conn->tx.size > LARGE ? conn->tx.size : 0;
		if (job->job.conn && held > BUDGET)
			return;
		STAILQ_REMOVE_HEAD(&rpcd->mmaps, link);
		if (job->job.conn) {
			rpcd->mmaps_running++;
			rpcd_job_go(&job->job);
		} else { /* its peer has not waited */
			free(job->path);
			free(job->job.trace);
			free(job);
		}
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
	job->job.run = run;
	job->job.finish = finish;
	STAILQ_INSERT_TAIL(&call->rpcd->mmaps, job, link);
	rpcd_mmap_next(call->rpcd);
}
