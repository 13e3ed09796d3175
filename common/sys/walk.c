/* SPDX-License-Identifier: MIT */
/* A folder and everything below it. */
#include "common/sys/walk.h"

#include <bsd/stdlib.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/dir.h"
#include "common/base/list.h"

struct level {
	DIR *dir;
	size_t path_len; /* of the path of dir itself */
};

struct walk {
	struct level *level;
	size_t depth, room;
	struct gb_buf path;
	gb_walk_fn *fn;
	void *arg;
	struct gb_err *err;
};

static void end(struct walk *w)
{
	int saved = errno;

	while (w->depth > 0)
		(void)closedir(w->level[--w->depth].dir);
	free(w->level);
	gb_buf_free(&w->path);
	errno = saved;
}

static int tell(struct walk *w, int dirfd, const char *name, const struct stat *st, int error)
{
	struct gb_walk_entry entry = {
		.dirfd = dirfd, .name = name, .path = gb_buf_text(&w->path), .depth = (int)w->depth, .error = error, .st = st,
	};

	return w->fn(w->arg, &entry, w->err);
}

/* Opens the directory that st is of, and makes it the deepest level. */
static int enter(struct walk *w, int dirfd, const char *name, const struct stat *st)
{
	struct stat now;

	if (gb_list_room(&w->level, w->depth, &w->room, sizeof *w->level) < 0)
		return tell(w, dirfd, name, st, ENOMEM);
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (w->depth ? O_NOFOLLOW : 0));
	/* Gone, or something else has its name by now: no longer part of what is walked through. */
	if (fd < 0 && w->depth && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;
	if (fd < 0)
		return tell(w, dirfd, name, st, errno);
	int error = fstat(fd, &now) < 0 ? errno : 0;
	if (error || now.st_ino != st->st_ino || now.st_dev != st->st_dev) {
		(void)close(fd);
		return error ? tell(w, dirfd, name, st, error) : 0;
	}
	DIR *dir = gb_dir_take(fd);
	if (!dir)
		return tell(w, dirfd, name, st, errno);
	w->level[w->depth++] = (struct level){ .dir = dir, .path_len = w->path.len };
	return 0;
}

static int visit(struct walk *w, int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, w->depth ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return errno == ENOENT && w->depth ? 0 : tell(w, dirfd, name, &st, errno);
	int r = tell(w, dirfd, name, &st, 0);
	return r != 0 || !S_ISDIR(st.st_mode) ? r : enter(w, dirfd, name, &st);
}

static int step(struct walk *w)
{
	struct level *at = &w->level[w->depth - 1];

	/* The path of what was visited last gives way. */
	w->path.len = at->path_len;
	w->path.data[w->path.len] = '\0';
	const struct dirent *e;
	int r = gb_dir_next(at->dir, &e);
	if (r <= 0) {
		(void)closedir(at->dir);
		w->depth--;
		return r < 0 ? tell(w, AT_FDCWD, w->path.data, NULL, -r) : 0;
	}
	bool slash = at->path_len > 0 && w->path.data[at->path_len - 1] == '/';
	if (gb_buf_fmt(&w->path, "%s%s", slash ? "" : "/", e->d_name) < 0)
		return gb_err_sys(w->err, ENOMEM, "%s", e->d_name);
	return visit(w, dirfd(at->dir), e->d_name);
}

int gb_walk(const char *top, gb_walk_fn *fn, void *arg, struct gb_err *err)
{
	struct walk w __attribute__((cleanup(end))) = { .fn = fn, .arg = arg, .err = err };

	if (gb_buf_str(&w.path, top) < 0)
		return gb_err_sys(err, ENOMEM, "%s", top);
	int r = visit(&w, AT_FDCWD, top);
	while (r == 0 && w.depth > 0)
		r = step(&w);
	return r;
}
