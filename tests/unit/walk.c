/* SPDX-License-Identifier: MIT */
/* common/sys/walk: what is visited and in which order, links, what goes away, errors, depth. */
#include "tests/unit/unit.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/sys/walk.h"

struct seen {
	struct gb_buf list; /* ":path" for each, "!path" for an error */
	const char *remove; /* unlinked or rmdir'd when its directory is seen */
	const char *stop;   /* ends the walk with 7 */
	int deepest, error;
};

static char top[64];
static int topfd;

static int note(void *arg, const struct gb_walk_entry *e, struct gb_err *err)
{
	struct seen *seen = arg;
	struct stat st;

	(void)err;
	assert_int_equal(gb_buf_fmt(&seen->list, "%c%s", e->error ? '!' : ':', e->path + strlen(top)), 0);
	if (e->error)
		seen->error = e->error;
	else
		assert_int_equal(fstatat(e->dirfd, e->name, &st, AT_SYMLINK_NOFOLLOW), 0);
	if (e->depth > seen->deepest)
		seen->deepest = e->depth;
	if (seen->remove && e->depth == 0)
		assert_int_equal(unlinkat(topfd, seen->remove, AT_REMOVEDIR), 0);
	return seen->stop && strcmp(e->name, seen->stop) == 0 ? 7 : 0;
}

static int start(void **state)
{
	(void)state;
	(void)strlcpy(top, "/tmp/gb-unit-walk-XXXXXX", sizeof top);
	if (!mkdtemp(top))
		return -1;
	topfd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return topfd < 0 ? -1 : 0;
}

static int finish(void **state)
{
	char command[128];

	(void)state;
	(void)close(topfd);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", top);
	return system(command);
}

static void make_file(const char *name)
{
	gb_autoclose int fd = openat(topfd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
}

static void directories_come_before_their_contents_and_links_are_not_followed(void **state)
{
	struct seen seen = { 0 };
	struct gb_err err = { 0 };

	(void)state;
	assert_int_equal(mkdirat(topfd, "a", 0700), 0);
	assert_int_equal(mkdirat(topfd, "a/b", 0700), 0);
	make_file("a/b/c");
	assert_int_equal(symlinkat("..", topfd, "a/b/up"), 0);
	assert_int_equal(gb_walk(top, note, &seen, &err), 0);
	const char *list = gb_buf_text(&seen.list);
	assert_int_equal(strncmp(list, "::/a:/a/b:/a/b/", 15), 0);
	assert_non_null(strstr(list, ":/a/b/c"));
	assert_non_null(strstr(list, ":/a/b/up"));
	assert_null(strstr(list, "up/"));
	assert_int_equal(seen.deepest, 3);
	gb_buf_free(&seen.list);
}

static void the_top_may_be_a_link_or_a_file(void **state)
{
	struct seen seen = { 0 };
	struct gb_err err = { 0 };
	char link[128];

	(void)state;
	assert_int_equal(mkdirat(topfd, "real", 0700), 0);
	make_file("real/f");
	assert_int_equal(symlinkat("real", topfd, "link"), 0);
	(void)snprintf(link, sizeof link, "%s/link", top);
	assert_int_equal(gb_walk(link, note, &seen, &err), 0);
	assert_string_equal(gb_buf_text(&seen.list), ":/link:/link/f");
	gb_buf_free(&seen.list);
	(void)snprintf(link, sizeof link, "%s/link/f", top);
	assert_int_equal(gb_walk(link, note, &seen, &err), 0);
	assert_string_equal(gb_buf_text(&seen.list), ":/link/f");
	gb_buf_free(&seen.list);
}

static void what_is_missing_is_an_error_at_the_top_and_passed_over_below(void **state)
{
	struct seen seen = { 0 }, gone = { .remove = "d" };
	struct gb_err err = { 0 };
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/none", top);
	assert_int_equal(gb_walk(path, note, &seen, &err), 0);
	assert_string_equal(gb_buf_text(&seen.list), "!/none");
	assert_int_equal(seen.error, ENOENT);
	gb_buf_free(&seen.list);
	assert_int_equal(mkdirat(topfd, "d", 0700), 0);
	assert_int_equal(gb_walk(top, note, &gone, &err), 0);
	assert_int_equal(gone.error, 0);
	assert_string_equal(gb_buf_text(&gone.list), ":");
	gb_buf_free(&gone.list);
}

static void what_the_visitor_returns_ends_the_walk(void **state)
{
	struct seen seen = { .stop = "a" };
	struct gb_err err = { 0 };

	(void)state;
	assert_int_equal(mkdirat(topfd, "a", 0700), 0);
	make_file("a/b");
	assert_int_equal(gb_walk(top, note, &seen, &err), 7);
	assert_string_equal(gb_buf_text(&seen.list), "::/a");
	gb_buf_free(&seen.list);
}

static void too_deep_a_tree_is_an_error_that_says_so(void **state)
{
	struct rlimit old, few;
	struct seen seen = { 0 };
	struct gb_err err = { 0 };
	int at = dup(topfd);

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mkdirat(at, "d", 0700), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(at);
		at = next;
	}
	(void)close(at);
	assert_int_equal(gb_walk(top, note, &seen, &err), 0);
	assert_int_equal(seen.deepest, 100);
	gb_buf_free(&seen.list);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ .rlim_cur = 64, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(gb_walk(top, note, &seen, &err), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(seen.error, EMFILE);
	gb_buf_free(&seen.list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(directories_come_before_their_contents_and_links_are_not_followed, start,
						finish),
		cmocka_unit_test_setup_teardown(the_top_may_be_a_link_or_a_file, start, finish),
		cmocka_unit_test_setup_teardown(what_is_missing_is_an_error_at_the_top_and_passed_over_below, start,
						finish),
		cmocka_unit_test_setup_teardown(what_the_visitor_returns_ends_the_walk, start, finish),
		cmocka_unit_test_setup_teardown(too_deep_a_tree_is_an_error_that_says_so, start, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
