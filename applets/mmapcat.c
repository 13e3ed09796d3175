/* SPDX-License-Identifier: MIT */
/* mmapcat: writes the bytes of a shared mapping, and tells whether it was DAX or the page cache. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/applet.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/mono.h"
#include "common/base/parse.h"
#include "common/sys/mapfile.h"

enum { OPT_REPORT = GB_OPT_LONG, OPT_VERIFY, OPT_TOUCH };

static const struct gb_opt opts[] = {
	GB_OPT('o', "offset", "OFFSET", "start at this byte of each file (K, M, G, T)"),
	GB_OPT('l', "length", "LENGTH", "at most this many bytes of each file (K, M, G, T)"),
	GB_OPT(OPT_REPORT, "report", "", "tell kind of mapping, bytes, seconds and rate on stderr"),
	GB_OPT(OPT_VERIFY, "verify", "", "compare with what read(2) gives; prints nothing"),
	GB_OPT(OPT_TOUCH, "touch", "", "fault the pages in; prints nothing"),
	{ 0 },
};

struct job {
	uint64_t offset, length;
	bool report, verify, touch;
	bool lost; /* the standard output takes no more */
};

/* write(2) reads the mapping inside the kernel: a page that is gone is EFAULT there, never a signal. */
static int emit(struct job *job, const struct gb_mapwindow *window, size_t *ret_done, const char *path, struct gb_err *err)
{
	size_t done = 0;

	while (done < window->len) {
		ssize_t n = write(STDOUT_FILENO, window->data + done, window->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EFAULT)
			break;
		if (n < 0) {
			job->lost = true;
			return gb_err_sys(err, errno, "%s: standard output", path);
		}
		done += (size_t)n;
	}
	*ret_done = done;
	return 0;
}

/* Compares a window with read(2), a piece at a time. */
static int compare(const struct gb_mapfile *file, const struct gb_mapwindow *window, uint64_t offset,
		   size_t *ret_done, const char *path, struct gb_err *err)
{
	enum { PIECE = 1 << 18 };
	gb_autofree unsigned char *mapped = malloc(PIECE), *read_in = malloc(PIECE);
	size_t done = 0;

	if (!mapped || !read_in)
		return gb_err_sys(err, ENOMEM, "%s", path);
	while (done < window->len) {
		size_t want = window->len - done < PIECE ? window->len - done : PIECE;
		size_t got = gb_mapfile_copy(window, done, mapped, want);
		ssize_t n = gb_io_pread(file->fd, read_in, got, (off_t)(offset + done));
		if (n < 0)
			return gb_err_sys(err, (int)-n, "%s: read at byte %" PRIu64, path, offset + done);
		for (size_t i = 0; i < (size_t)n; i++) {
			if (mapped[i] != read_in[i])
				return gb_err_set(err, EIO, "%s: byte %" PRIu64 " is 0x%02x in the mapping and 0x%02x in read(2)",
						  path, offset + done + i, mapped[i], read_in[i]);
		}
		done += (size_t)n;
		if (got < want || (size_t)n < got)
			break;
	}
	*ret_done = done;
	return 0;
}

static int one(const char *path, struct job *job, struct gb_err *err)
{
	static const char *const kinds[] = { "unknown", "page-cache", "dax" };
	gb_automapfile struct gb_mapfile file = { .fd = -1 };
	uint64_t start = gb_mono_ns(), done = 0;
	int tries = 0;

	int r = gb_mapfile_open(&file, path, err);
	if (r < 0)
		return r;
	while (done < job->length) {
		gb_automapwindow struct gb_mapwindow window = { 0 };
		uint64_t at;
		size_t n = 0;

		if (__builtin_add_overflow(job->offset, done, &at))
			break;
		r = gb_mapfile_map(&file, at, job->length - done, &window);
		if (r < 0)
			return gb_err_sys(err, -r, "%s: mmap", path);
		if (window.len == 0)
			break;
		if (job->verify)
			r = compare(&file, &window, at, &n, path, err);
		else if (job->touch)
			n = gb_mapfile_touch(&window);
		else
			r = emit(job, &window, &n, path, err);
		if (r < 0)
			return r;
		done += n;
		if (n < window.len) {
			r = gb_mapfile_cause(&file, job->offset + done);
			if (r == 0)
				break;
			tries = n ? 1 : tries + 1;
			if (tries == GB_MAP_TRIES)
				return gb_err_sys(err, -r, "%s: mapped byte %" PRIu64, path, job->offset + done);
		}
	}
	if (job->report) {
		double s = (double)(gb_mono_ns() - start) / 1e9;
		fprintf(stderr, "%s: %s, %" PRIu64 " bytes, %.6f s, %.1f MiB/s\n", path, kinds[file.kind], done, s,
			s > 0 ? (double)done / s / 1048576 : 0.0);
	}
	return 0;
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct job job = { .length = UINT64_MAX };
	struct gb_optscan scan;
	int key, r;

	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		r = 0;
		switch (key) {
		case 'o': r = gb_parse_size(scan.arg, "offset", &job.offset, err); break;
		case 'l': r = gb_parse_size(scan.arg, "length", &job.length, err); break;
		case OPT_REPORT: job.report = true; break;
		case OPT_VERIFY: job.verify = true; break;
		case OPT_TOUCH: job.touch = true; break;
		}
		if (r < 0)
			return r;
	}
	if (key < 0)
		return key;
	if (job.verify && job.touch)
		return gb_err_set(err, GB_E_USAGE, "--verify and --touch exclude each other");
	r = gb_opt_operands(&scan, 1, -1, "file", err);
	if (r < 0)
		return r;
	/* As cat(1): one file that fails does not keep the others back; the last error is the one that main() prints. */
	int failed = 0;
	for (int i = scan.index; i < scan.argc && !job.lost; i++) {
		struct gb_err now = { 0 };

		r = one(scan.argv[i], &job, &now);
		if (r >= 0)
			continue;
		if (failed < 0)
			gb_complain(err->msg);
		*err = now;
		failed = r;
	}
	return failed;
}

const struct gb_applet gb_applet_mmapcat = {
	.name = "mmapcat",
	.summary = "write files through shared mappings, and prove DAX",
	.synopsis = "[-o OFFSET] [-l LENGTH] [--report] [--verify|--touch] FILE...",
	.opts = opts,
	.run = run,
};
