/* SPDX-License-Identifier: MIT */
/* common/sys: the kernel command line and settings. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/cmdline.h"
#include "common/sys/setting.h"

static void values_as_the_kernel_splits_them(void **state)
{
	const char *text = " quiet a=1 a= b=\"x y\" \"c=d e\" eq=1=2\tguestbox.shell off=0 a=2 -- a=3\n";
	char value[32];

	(void)state;
	assert_int_equal(gb_cmdline_value(text, "a", value, sizeof value), 1);
	assert_string_equal(value, "2"); /* the last non-empty one; not the one for init */
	assert_int_equal(gb_cmdline_value(text, "b", value, sizeof value), 3);
	assert_string_equal(value, "x y");
	assert_int_equal(gb_cmdline_value(text, "c", value, sizeof value), 3);
	assert_string_equal(value, "d e");
	assert_int_equal(gb_cmdline_value(text, "eq", value, sizeof value), 3);
	assert_string_equal(value, "1=2");
	assert_int_equal(gb_cmdline_value(text, "quiet", value, sizeof value), -ENOENT);
	assert_int_equal(gb_cmdline_value(text, "nope", value, sizeof value), -ENOENT);
}

static void too_long_a_word_is_passed_over(void **state)
{
	char text[9000], value[8];

	(void)state;
	memset(text, 'x', sizeof text);
	memcpy(text, "k=1 k=", 6);
	memcpy(text + sizeof text - 5, " z=2", 5);
	assert_int_equal(gb_cmdline_value(text, "k", value, sizeof value), 1);
	assert_int_equal(gb_cmdline_value(text, "z", value, sizeof value), 1);
}

static void environment_goes_before_the_command_line(void **state)
{
	const struct gb_setting s = { .environment = { "GUESTBOX_T" }, .cmdline = { "guestbox.t", "old.t" } };
	char path[] = "/tmp/gb-unit-XXXXXX", value[32];
	const char *origin = NULL;
	gb_autoclose int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(gb_io_write(fd, "old.t=three x\n", 14), 0);
	assert_int_equal(setenv("GUESTBOX_CMDLINE", path, 1), 0);
	assert_int_equal(setenv("GUESTBOX_T", "", 1), 0);
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), 5);
	assert_string_equal(value, "three");
	assert_string_equal(origin, "old.t");
	assert_int_equal(setenv("GUESTBOX_T", "one", 1), 0);
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), 3);
	assert_string_equal(origin, "GUESTBOX_T");
	assert_int_equal(unlink(path), 0);
}

/* The file of a setting (--wrap in the linker); NULL: there is none. */
static const char *file;
static int slurp_error = -ENOENT;

int __wrap_gb_io_slurp(int dirfd, const char *path, size_t max, struct gb_buf *buf);
int __real_gb_io_slurp(int dirfd, const char *path, size_t max, struct gb_buf *buf);

int __wrap_gb_io_slurp(int dirfd, const char *path, size_t max, struct gb_buf *buf)
{
	if (strcmp(path, "/etc/guestbox/t") != 0)
		return __real_gb_io_slurp(dirfd, path, max, buf);
	return !file ? slurp_error : *file ? gb_buf_str(buf, file) : 0;
}

static void the_file_comes_last(void **state)
{
	const struct gb_setting s = { .environment = { "GUESTBOX_T" }, .cmdline = { "guestbox.t" }, .file = "/etc/guestbox/t" };
	char value[8];
	const char *origin = NULL;

	(void)state;
	assert_int_equal(setenv("GUESTBOX_CMDLINE", "/dev/null", 1), 0);
	assert_int_equal(unsetenv("GUESTBOX_T"), 0);
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), -ENOENT);
	file = "";
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), -ENOENT);
	file = "# a comment\n\n \t\r\n  one two\t\r\nthree\n";
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), 7);
	assert_string_equal(value, "one two");
	assert_string_equal(origin, "/etc/guestbox/t");
	file = "too long for it\nshort";
	assert_int_equal(gb_setting_get(&s, value, sizeof value, NULL), -ENAMETOOLONG);
	/* One that is there and cannot be read is not passed over: what is built in may be another disk. */
	file = NULL;
	slurp_error = -EACCES;
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), -EACCES);
	assert_string_equal(origin, "/etc/guestbox/t");
	slurp_error = -ENOENT;
	file = "# nothing";
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), -ENOENT);
	file = "file";
	assert_int_equal(setenv("GUESTBOX_T", "env", 1), 0);
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), 3);
	assert_string_equal(origin, "GUESTBOX_T");
	assert_int_equal(setenv("GUESTBOX_T", "too long", 1), 0);
	assert_int_equal(gb_setting_get(&s, value, sizeof value, &origin), -ENAMETOOLONG); /* and the file does not stand in for it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_as_the_kernel_splits_them),
		cmocka_unit_test(too_long_a_word_is_passed_over),
		cmocka_unit_test(environment_goes_before_the_command_line),
		cmocka_unit_test(the_file_comes_last),
	};

	return cmocka_run_group_tests_name("cmdline", tests, NULL, NULL);
}
