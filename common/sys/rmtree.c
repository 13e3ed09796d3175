/* SPDX-License-Identifier: MIT */
/* Emptying a folder. */
#include "common/sys/rmtree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"

enum { DEPTH_MAX = 48, NAMED_MAX = 5, PASSES_MAX = 1000 };

struct walk {
	int top;
	unsigned moved;       /* folders from too deep down that were moved up to the top */
	uint64_t removed;
	int64_t failed;
	const char *path;     /* of the top */
	struct gb_buf *problems;
	unsigned named;
};

/* where: the path below the top, for the message. */
static void problem(struct walk *walk, const char *where, const char *name, const char *why)
{
	walk->failed++;
	if (walk->named++ >= NAMED_MAX)
		return;
	(void)gb_buf_fmt(walk->problems, "%s%s/%s%s: %s", walk->problems->len ? "; " : "", walk->path, where, name, why);
}

/* NO_XDEV: into no other mount, a bind mount of the same file system included (openat2(2)). */
static int open_folder(int dir, const char *name)
{
	return gb_io_openat2(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
}

/* One pass over a folder. */
static void empty(struct walk *walk, int dir, const char *where, unsigned depth)
{
	gb_autoclosedir DIR *list = gb_dir_take(dir);

	if (!list) {
		problem(walk, where, "", strerror(errno));
		return;
	}
	const struct dirent *e;
	int r;
	while ((r = gb_dir_next(list, &e)) > 0) {
		const char *name = e->d_name;

		if (unlinkat(dir, name, 0) == 0) {
			walk->removed++;
			continue;
		}
		if (errno != EISDIR) {
			problem(walk, where, name, errno == EBUSY ? "something is mounted there" : strerror(errno));
			continue;
		}
		int fd = open_folder(dir, name);
		if (fd < 0) {
			problem(walk, where, name, fd == -EXDEV ? "something is mounted there" : strerror(-fd));
			continue;
		}
		if (depth >= DEPTH_MAX) {
			/* However deep a tree is, neither stack nor descriptors run out: it is cut into pieces. */
			char piece[64];
			(void)close(fd);
			(void)snprintf(piece, sizeof piece, ".removed-%d-%u", (int)getpid(), walk->moved++);
			if (renameat(dir, name, walk->top, piece) == 0)
				walk->removed++;
			else
				problem(walk, where, name, strerror(errno));
			continue;
		}
		gb_autobuf struct gb_buf below = { 0 };
		int64_t before = walk->failed;
		(void)gb_buf_fmt(&below, "%s%s/", where, name);
		empty(walk, fd, gb_buf_text(&below), depth + 1);
		if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
			walk->removed++;
		else if (walk->failed == before) /* else it is said already what is in there */
			problem(walk, where, name, strerror(errno));
	}
	if (r < 0)
		problem(walk, where, "", strerror(-r));
}

int64_t gb_rmtree_inside(const char *path, struct gb_buf *problems)
{
	gb_autobuf struct gb_buf text = { 0 };
	gb_autoclose int top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct walk walk = { .top = top, .path = path, .problems = &text };

	if (top < 0)
		return -errno;
	/* readdir(3) may leave out what a removal has moved: again, as long as that helps. */
	for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
		int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		text.len = 0;
		walk.removed = 0;
		walk.failed = 0;
		walk.named = 0;
		empty(&walk, fd, "", 0);
		if (walk.removed == 0)
			break;
	}
	if (text.len)
		(void)gb_buf_fmt(problems, "%s%s", problems->len ? "; " : "", gb_buf_text(&text));
	if (walk.failed > NAMED_MAX)
		(void)gb_buf_fmt(problems, " and %lld more", (long long)(walk.failed - NAMED_MAX));
	return walk.failed;
}
