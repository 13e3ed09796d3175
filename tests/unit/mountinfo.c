/* SPDX-License-Identifier: MIT */
/* common/sys: mountinfo lines, stacked and hidden mounts, size. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/mountinfo.h"

static int parse(const char *text, struct gb_mountinfo *row)
{
	static char line[4096];

	(void)snprintf(line, sizeof line, "%s", text);
	return gb_mountinfo_parse(line, row);
}

static void fields_of_a_line(void **state)
{
	struct gb_mountinfo row;

	(void)state;
	assert_int_equal(parse("36 35 98:7 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 shared:9 unbindable new:x - "
			       "ext3 /dev/root rw,errors=continue", &row), 0);
	assert_int_equal(row.id, 36);
	assert_int_equal(row.parent, 35);
	assert_int_equal(row.major, 98);
	assert_int_equal(row.minor, 7);
	assert_string_equal(row.root, "/mnt1");
	assert_string_equal(row.target, "/mnt2");
	assert_string_equal(row.options, "rw,noatime");
	assert_int_equal(row.master, 1);
	assert_int_equal(row.from, 2);
	assert_int_equal(row.shared, 9);
	assert_true(row.unbindable);
	assert_string_equal(row.type, "ext3");
	assert_string_equal(row.source, "/dev/root");
	assert_string_equal(row.super, "rw,errors=continue");
}

static void escapes_and_empty_fields(void **state)
{
	struct gb_mountinfo row;

	(void)state;
	assert_int_equal(parse("1 0 0:1 / /a\\040b\\011c\\012d\\134040e\\000\\9 rw - tmpfs  rw", &row), 0);
	assert_string_equal(row.target, "/a b\tc\nd\\040e\\000\\9"); /* unescaped once; no NUL */
	assert_string_equal(row.source, "");
	assert_int_equal(row.shared, 0);
	assert_int_equal(parse("1 0 0:1 /x//deleted /y rw - tmpfs none rw", &row), 0);
	assert_string_equal(row.root, "/x");
	assert_int_equal(parse("1 0 0:1 / /y rw - fuse a\\040-\\040b rw,x=a b", &row), 0);
	assert_string_equal(row.source, "a - b");
	assert_string_equal(row.super, "rw,x=a b");
	assert_int_equal(parse("1 0 0:1 / /y rw - proc proc", &row), 0);
	assert_string_equal(row.super, "");
}

static void what_is_no_mountinfo(void **state)
{
	static const char *const bad[] = {
		"", " ", "1", "1 2", "1 2 3:4", "1 2 3:4 / /x", "1 2 3:4 / /x rw", "1 2 3:4 / /x rw -", "1 2 3:4 / /x rw - t",
		"x 2 3:4 / /x rw - t s rw", "1 2 34 / /x rw - t s rw", "1 2 3: / /x rw - t s rw",
		"99999999999 2 3:4 / /x rw - t s rw", "-1 2 3:4 / /x rw - t s rw", "1 2 3:4 / /x rw shared:1 t s rw",
		"1 2 3:4  /x rw - t s rw", "1 2 3:4 /  rw - t s rw", "1 2 3:4 / /x rw -  s rw",
	};
	struct gb_mountinfo row = { .id = 7 };

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++)
		assert_int_equal(parse(bad[i], &row), -EINVAL);
	assert_int_equal(row.id, 7); /* untouched on failure */
}

static void table(const char *text, struct gb_mountinfo_table *t)
{
	struct gb_buf buf = { 0 };

	assert_int_equal(gb_buf_str(&buf, text), 0);
	assert_int_equal(gb_mountinfo_table_of(&buf, t), 0);
}

static void stacked_and_hidden_mounts(void **state)
{
	gb_automountinfo struct gb_mountinfo_table t = { 0 };

	(void)state;
	table("1 1 0:2 / / rw - rootfs rootfs rw\n"
	      "20 1 8:1 / / rw - ext4 /dev/sda rw\n"
	      "31 30 0:9 / /x rw - tmpfs over rw\n" /* the upper one may stand first */
	      "30 20 0:8 / /x rw - tmpfs under rw\n"
	      "32 30 0:10 / /x/y rw - tmpfs hidden rw\n"
	      "nonsense\n"
	      "33 20 0:11 / /xy rw - tmpfs other rw", &t);
	assert_int_equal(t.count, 6);
	assert_int_equal(t.bad, 1);
	assert_string_equal(gb_mountinfo_top(&t, "/x")->source, "over");
	assert_string_equal(gb_mountinfo_top(&t, "/")->type, "ext4");
	assert_null(gb_mountinfo_top(&t, "/x/y"));
	assert_string_equal(gb_mountinfo_holder(&t, "/x/y")->source, "over");
	assert_string_equal(gb_mountinfo_holder(&t, "/xyz")->type, "ext4");
	assert_string_equal(gb_mountinfo_top(&t, "/xy")->source, "other");
	assert_null(gb_mountinfo_top(&t, "/none"));
	assert_int_equal(gb_mountinfo_by_id(&t, 32)->parent, 30);
	assert_null(gb_mountinfo_by_id(&t, 99));
	assert_true(gb_mountinfo_below(&t, gb_mountinfo_by_id(&t, 32), 20));
	assert_false(gb_mountinfo_below(&t, gb_mountinfo_by_id(&t, 33), 30));
}

static void a_chroot_without_a_mount_of_its_own(void **state)
{
	gb_automountinfo struct gb_mountinfo_table t = { 0 };

	(void)state;
	table("5 4 0:3 / /proc rw - proc proc rw\n6 4 0:4 / /sys rw - sysfs sysfs rw\n", &t);
	assert_null(gb_mountinfo_top(&t, "/"));
	assert_string_equal(gb_mountinfo_top(&t, "/sys")->type, "sysfs");
	assert_null(gb_mountinfo_holder(&t, "/usr"));
}

static void a_circle_of_parents_ends(void **state)
{
	gb_automountinfo struct gb_mountinfo_table t = { 0 };

	(void)state;
	table("1 2 0:1 / / rw - a a rw\n2 1 0:1 / / rw - b b rw\n3 9 0:1 / / rw - c c rw\n4 3 0:1 / / rw - d d rw\n"
	      "4 4 0:1 / / rw - e e rw\n", &t);
	assert_non_null(gb_mountinfo_top(&t, "/"));
	assert_false(gb_mountinfo_below(&t, gb_mountinfo_by_id(&t, 1), 77));
}

struct count {
	size_t rows, longest;
};

static int count_row(const struct gb_mountinfo *row, void *arg)
{
	struct count *count = arg;

	count->rows++;
	if (strlen(row->super) > count->longest)
		count->longest = strlen(row->super);
	return 0;
}

static int stop_at_three(const struct gb_mountinfo *row, void *arg)
{
	(void)arg;
	return row->id == 3 ? 42 : 0;
}

static void long_lines_and_many(void **state)
{
	enum { MANY = 100000 };
	char path[] = "/tmp/gb-unit-XXXXXX";
	gb_autoclose int fd = mkstemp(path);
	gb_autobuf struct gb_buf text = { 0 };
	gb_automountinfo struct gb_mountinfo_table t = { 0 };
	struct count count = { 0 };

	(void)state;
	assert_true(fd >= 0);
	(void)gb_buf_str(&text, "1 0 0:1 / / rw - t s ");
	for (int i = 0; i < 65536; i++)
		(void)gb_buf_str(&text, "o");
	(void)gb_buf_str(&text, "\nno line\n\n0 0 0:1 / / rw - t s ");
	for (size_t i = 0; i < GB_MOUNTINFO_LINE_MAX + 70000; i++)
		(void)gb_buf_str(&text, "o");
	(void)gb_buf_str(&text, "\n");
	/* A hundred thousand mounts, each on top of the one before: the worst case of a search for the topmost. */
	for (int i = 2; i < MANY + 2; i++)
		(void)gb_buf_fmt(&text, "%d %d 0:1 / / rw - t s%d rw\n", i, i - 1, i);
	assert_false(text.failed);
	text.data[--text.len] = '\0'; /* the last line has no newline */
	assert_int_equal(gb_io_write(fd, text.data, text.len), 0);
	assert_int_equal(gb_mountinfo_foreach(path, count_row, &count), 0);
	assert_int_equal(count.rows, MANY + 1);
	assert_int_equal(count.longest, 65536);
	assert_int_equal(gb_mountinfo_foreach(path, stop_at_three, NULL), 42);
	assert_int_equal(gb_mountinfo_read(path, &t), 0);
	assert_string_equal(gb_mountinfo_top(&t, "/")->source, "s100001");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(gb_mountinfo_foreach(path, count_row, &count), -ENOENT);
}

static void the_kernels_answer(void **state)
{
	(void)state;
	assert_int_equal(gb_mountinfo_is_root(AT_FDCWD, "/proc", 0), 1);
	assert_int_equal(gb_mountinfo_is_root(AT_FDCWD, "/proc/self", 0), 0);
	assert_int_equal(gb_mountinfo_is_root(AT_FDCWD, "/no such place", 0), -ENOENT);
	assert_true(gb_mountinfo_id_at(AT_FDCWD, "/proc", 0) > 0);
	assert_int_equal(gb_mountinfo_id_at(AT_FDCWD, "/proc", 0), gb_mountinfo_id_at(AT_FDCWD, "/proc/self", 0));

	gb_automountinfo struct gb_mountinfo_table t = { 0 };
	assert_int_equal(gb_mountinfo_read(NULL, &t), 0);
	assert_int_equal(t.bad, 0);
	assert_int_equal(gb_mountinfo_top(&t, "/proc")->id, gb_mountinfo_id_at(AT_FDCWD, "/proc", 0));
}

static void words_of_a_list(void **state)
{
	const char *value = NULL;

	(void)state;
	assert_true(gb_mountinfo_has("rw,dax=always,x", "dax", &value));
	assert_memory_equal(value, "always,", 7);
	assert_true(gb_mountinfo_has("rw,dax", "dax", &value));
	assert_null(value);
	assert_false(gb_mountinfo_has("rw,daxx,nodax=1", "dax", NULL));
	assert_false(gb_mountinfo_has("", "dax", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_of_a_line),
		cmocka_unit_test(escapes_and_empty_fields),
		cmocka_unit_test(what_is_no_mountinfo),
		cmocka_unit_test(stacked_and_hidden_mounts),
		cmocka_unit_test(a_chroot_without_a_mount_of_its_own),
		cmocka_unit_test(a_circle_of_parents_ends),
		cmocka_unit_test(long_lines_and_many),
		cmocka_unit_test(the_kernels_answer),
		cmocka_unit_test(words_of_a_list),
	};

	return cmocka_run_group_tests_name("mountinfo", tests, NULL, NULL);
}
