/* SPDX-License-Identifier: MIT */
/* common/base: errors, option tables, numbers, buffers, JSON. */
#include "tests/unit/unit.h"

#define LIBBSD_OPENBSD_VIS
#include <bsd/string.h>
#include <bsd/vis.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/date.h"
#include "common/base/dir.h"
#include "common/base/err.h"
#include "common/base/io.h"
#include "common/base/json.h"
#include "common/base/opt.h"
#include "common/base/parse.h"
#include "common/base/utf8.h"
#include "common/base/vis.h"

static void err_keeps_object_and_reason(void **state)
{
	struct gb_err err;
	char path[4000];

	(void)state;
	memset(path, 'a', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_int_equal(gb_err_sys(&err, ENOENT, "/first/%s", path), -ENOENT);
	assert_memory_equal(err.msg, "/first/aaa", 10);
	assert_non_null(strstr(err.msg, "..."));
	assert_non_null(strstr(err.msg, ": No such file or directory"));
	assert_true(strlen(err.msg) < sizeof err.msg);
}

static void err_encodes_control_bytes(void **state)
{
	struct gb_err err;

	(void)state;
	(void)gb_err_set(&err, EINVAL, "a\033[31mb\nc\\d");
	assert_null(strchr(err.msg, '\033'));
	assert_null(strchr(err.msg, '\n'));
	assert_non_null(strstr(err.msg, "c\\d")); /* a backslash alone stays as it is */
}

static void utf8_is_told_and_made(void **state)
{
	static const struct { const char *text, *mended; } table[] = {
		{ "", "" }, { "a\xc3\xa9z", "a\xc3\xa9z" }, { "a\xc3", "a?" }, { "\xe2\x82", "??" },
		{ "\xff\xe2\x82\xac\x80", "?\xe2\x82\xac?" },
		{ "\xed\xa0\x80", "???" }, { "\xc0\x80", "??" }, { "\xf0\x9f\x98x", "???x" },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(table); i++) {
		char text[16];
		size_t len = strlcpy(text, table[i].text, sizeof text);

		assert_int_equal(gb_utf8_is(text, len), strcmp(table[i].text, table[i].mended) == 0);
		gb_utf8_mend(text, len);
		assert_string_equal(text, table[i].mended);
		assert_true(gb_utf8_is(text, len));
	}
}

static void outside_text_is_shown_as_vis_does(void **state)
{
	char text[] = "a\tb\xff\xc3z", small[6];

	(void)state;
	for (int c = 0; c < 256; c++) {
		char ours[GB_VIS_SIZE], theirs[8];

		char *end = gb_vis(ours, (char)c);

		assert_int_equal(*end, '\0');
		(void)vis(theirs, c, VIS_TAB | VIS_NL | VIS_CSTYLE | VIS_NOSLASH, 0);
		assert_string_equal(ours, theirs);
		assert_int_equal(end - ours, strlen(theirs));
	}
	gb_vis_text(small, sizeof small, text);
	assert_string_equal(small, "a\\tb"); /* M^? does not fit, and is not cut */
	gb_vis_text(small, 1, text);
	assert_string_equal(small, "");
}

static void dates_are_utc(void **state)
{
	char text[GB_DATE_SIZE];

	(void)state;
	assert_true(gb_date_text(text, 0));
	assert_string_equal(text, "1970-01-01T00:00:00");
	assert_true(gb_date_text(text, 4107542399));
	assert_string_equal(text, "2100-02-28T23:59:59");
	assert_true(gb_date_text(text, -1));
	assert_string_equal(text, "1969-12-31T23:59:59");
	assert_false(gb_date_text(text, INT64_MAX));
	assert_string_equal(text, "");
}

static void err_wraps_and_maps(void **state)
{
	struct gb_err err;

	(void)state;
	(void)gb_err_set(&err, EBUSY, "reason");
	assert_int_equal(gb_err_wrap(&err, "object %d", 7), -EBUSY);
	assert_string_equal(err.msg, "object 7: reason");
	assert_int_equal(gb_err_status(&err), 1);
	err.code = GB_E_USAGE;
	assert_int_equal(gb_err_status(&err), 2);
	err.code = GB_E_REFUSED;
	assert_int_equal(gb_err_status(&err), 3);
	assert_int_equal(gb_err_set(NULL, EIO, "nobody listens"), -EIO);
}

static const struct gb_opt table[] = {
	GB_OPT('o', "offset", "N", ""), GB_OPT('q', "", "", ""),	      GB_OPT(GB_OPT_LONG, "only-long", "[X]", ""),
	GB_OPT('v', "verbose", "", ""), GB_OPT(GB_OPT_LONG + 1, "only-two", "", ""), { 0 },
};

/* Runs one pass; returns the first error or 0; fills the keys seen. */
static int scan_words(int flags, int argc, const char **words, int *keys, struct gb_optscan *scan, struct gb_err *err)
{
	int n = 0, key;

	memset(err, 0, sizeof *err);
	/* getopt_long(3) reorders the words and never writes into one. */
	gb_opt_start(scan, table, argc, (char **)(uintptr_t)words, flags);
	while ((key = gb_opt_next(scan, err)) > 0)
		keys[n++] = key;
	keys[n] = 0;
	return key;
}

#define SCAN(flags, ...) \
	scan_words(flags, (int)GB_ARRAY_LEN(((const char *[]){ __VA_ARGS__ })), (const char *[]){ __VA_ARGS__, NULL }, keys, &scan, &err)

static void opt_reads_all_forms(void **state)
{
	struct gb_optscan scan;
	struct gb_err err;
	int keys[16];

	(void)state;
	assert_int_equal(SCAN(0, "x", "file", "-qo", "1", "--offset=2", "--only-long", "--", "-v"), 0);
	assert_int_equal(keys[0], 'q');
	assert_int_equal(keys[1], 'o');
	assert_int_equal(keys[2], 'o');
	assert_int_equal(keys[3], GB_OPT_LONG);
	assert_int_equal(keys[4], 0);
	assert_int_equal(scan.argc - scan.index, 2);
	assert_int_equal(SCAN(GB_OPT_STOP, "x", "-q", "cmd", "-v"), 0);
	assert_int_equal(keys[1], 0);
	assert_int_equal(scan.index, 2);
}

static void opt_names_what_is_wrong(void **state)
{
	struct gb_optscan scan;
	struct gb_err err;
	int keys[16];

	(void)state;
	assert_int_equal(SCAN(0, "x", "-z"), -GB_E_USAGE);
	assert_string_equal(err.msg, "unknown option -z");
	assert_int_equal(SCAN(0, "x", "-qz"), -GB_E_USAGE);
	assert_string_equal(err.msg, "unknown option -z");
	assert_int_equal(SCAN(0, "x", "a", "b", "--nope=3"), -GB_E_USAGE);
	assert_string_equal(err.msg, "unknown option --nope");
	assert_int_equal(SCAN(0, "x", "-o"), -GB_E_USAGE);
	assert_string_equal(err.msg, "option -o needs an argument");
	assert_int_equal(SCAN(0, "x", "--offset"), -GB_E_USAGE);
	assert_string_equal(err.msg, "option --offset needs an argument");
	assert_int_equal(SCAN(0, "x", "--verbose=1"), -GB_E_USAGE);
	assert_string_equal(err.msg, "option --verbose takes no argument");
	assert_int_equal(SCAN(0, "x", "--only"), -GB_E_USAGE);
	assert_string_equal(err.msg, "ambiguous option --only");
	assert_int_equal(SCAN(0, "x", "-q", "--help"), -GB_E_HELP);
	assert_int_equal(SCAN(0, "x", "one"), 0);
	assert_int_equal(gb_opt_operands(&scan, 2, 2, "target", &err), -GB_E_USAGE);
	assert_string_equal(err.msg, "missing target");
	assert_int_equal(gb_opt_operands(&scan, 0, 0, NULL, &err), -GB_E_USAGE);
	assert_string_equal(err.msg, "surplus argument \"one\"");
}

static void numbers_are_strict(void **state)
{
	static const char *const bad_sizes[] = { "", "-1", "+1", " 1", "1 ", "0x10", "1KB", "K", "1P",
						 "18446744073709551616", "16777216T" };
	static const char *const bad_times[] = { "", ".", "1.", "-1", "1e3", "1s", "99999999999999999999", "61" };
	struct gb_err err;
	uint64_t value = 42;
	long long n = 42;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(bad_sizes); i++)
		assert_int_equal(gb_parse_size(bad_sizes[i], "size", &value, &err), -GB_E_USAGE);
	for (size_t i = 0; i < GB_ARRAY_LEN(bad_times); i++)
		assert_int_equal(gb_parse_seconds(bad_times[i], "time", 60000, &value, &err), -GB_E_USAGE);
	assert_int_equal(value, 42);
	assert_int_equal(gb_parse_size("16777215T", "size", &value, &err), 0);
	assert_int_equal(value, 16777215ull << 40);
	assert_int_equal(gb_parse_size("3k", "size", &value, &err), 0);
	assert_int_equal(value, 3072);
	assert_int_equal(gb_parse_seconds("2.5", "time", 60000, &value, &err), 0);
	assert_int_equal(value, 2500);
	assert_int_equal(gb_parse_seconds(".25", "time", 60000, &value, &err), 0);
	assert_int_equal(value, 250);
	assert_int_equal(gb_parse_seconds("0.0009", "time", 60000, &value, &err), 0);
	assert_int_equal(value, 0);
	assert_int_equal(gb_parse_number("12", "count", 1, 10, &n, &err), -GB_E_USAGE);
	assert_int_equal(gb_parse_number(" 2", "count", 1, 10, &n, &err), -GB_E_USAGE);
	assert_int_equal(n, 42);
	assert_int_equal(gb_parse_number("10", "count", 1, 10, &n, &err), 0);
	assert_int_equal(n, 10);
}

static void digits_alone_are_a_number(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "99999999999999999999" };
	uint64_t wide = 42;
	uint32_t value = 42;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		assert_false(gb_parse_u64(bad[i], strlen(bad[i]), &wide));
		assert_false(gb_parse_u32(bad[i], strlen(bad[i]), &value));
	}
	assert_false(gb_parse_u32("4294967296", 10, &value));
	assert_int_equal(wide, 42);
	assert_int_equal(value, 42);
	assert_true(gb_parse_u64("18446744073709551615", 20, &wide));
	assert_true(wide == UINT64_MAX);
	assert_true(gb_parse_u32("4294967295", 10, &value));
	assert_true(value == UINT32_MAX);
	assert_true(gb_parse_u32("12:34", 2, &value));
	assert_int_equal(value, 12);
}

static void below_is_by_whole_components(void **state)
{
	(void)state;
	assert_true(gb_dir_within("/a", "/a"));
	assert_true(gb_dir_within("/a/b", "/a"));
	assert_true(gb_dir_within("/a/b", "/a//"));
	assert_true(gb_dir_within("/", "/"));
	assert_true(gb_dir_within("/a", "/"));
	assert_false(gb_dir_within("/ab", "/a"));
	assert_false(gb_dir_within("/a", "/a/b"));
	assert_false(gb_dir_within("/b/a", "/a"));
}

static void buf_grows_and_eats(void **state)
{
	gb_autobuf struct gb_buf buf = { 0 };

	(void)state;
	assert_string_equal(gb_buf_text(&buf), "");
	for (int i = 0; i < 1000; i++)
		assert_int_equal(gb_buf_fmt(&buf, "%d,", i), 0);
	assert_int_equal(buf.len, 10 * 2 + 90 * 3 + 900 * 4);
	gb_buf_eat(&buf, buf.len - 4);
	assert_string_equal(gb_buf_text(&buf), "999,");
	gb_buf_eat(&buf, 100);
	assert_int_equal(buf.len, 0);
	assert_int_equal(gb_buf_room(&buf, SIZE_MAX / 2), -ENOMEM);
	assert_int_equal(gb_buf_str(&buf, "x"), -ENOMEM);
}

static void bytes_for_people(void **state)
{
	static const struct { uint64_t bytes; const char *text; } rows[] = {
		{ 0, "0 B" },           { 999, "999 B" },         { 1023, "1.0 KiB" },     { 10240, "10 KiB" },
		{ 1048575, "1.0 MiB" }, { 12884901888, "12 GiB" }, { UINT64_MAX, "8.0 EiB" },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		gb_autobuf struct gb_buf buf = { 0 };
		assert_int_equal(gb_buf_human(&buf, rows[i].bytes), 0);
		assert_string_equal(gb_buf_text(&buf), rows[i].text);
	}
}

static void json_is_always_valid(void **state)
{
	struct gb_json json = { 0 };

	(void)state;
	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, "a\"b", "c\\d\n\001");
	gb_json_mem(&json, "raw", "\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80\xc3", 12);
	gb_json_open(&json, "list", '[');
	gb_json_int(&json, NULL, -5);
	gb_json_uint(&json, NULL, UINT64_MAX);
	gb_json_bool(&json, NULL, true);
	gb_json_str(&json, NULL, NULL);
	gb_json_double(&json, NULL, NAN);
	gb_json_double(&json, NULL, 0.5);
	gb_json_double(&json, NULL, 0.1);
	gb_json_double(&json, NULL, 1234567890.12345);
	gb_json_close(&json, ']');
	gb_json_close(&json, '}');
	assert_string_equal(gb_buf_text(&json.buf),
			    "{\"a\\\"b\":\"c\\\\d\\n\\u0001\",\"raw\":\"\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd\xf0\x9f\x98\x80"
			    "\\ufffd\\u0000\",\"list\":[-5,18446744073709551615,true,null,null,0.5,0.1,1234567890.12345]}");
	gb_buf_free(&json.buf);
}

static void a_line_is_the_first_and_cut(void **state)
{
	char dir[] = "/tmp/gb-unit-XXXXXX", line[8] = "before";

	(void)state;
	assert_non_null(mkdtemp(dir));
	gb_autoclose int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(at >= 0);
	assert_int_equal(gb_io_line(at, "f", line, sizeof line), -ENOENT);
	assert_string_equal(line, "before");
	gb_autoclose int fd = openat(at, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(gb_io_line(at, "f", line, sizeof line), 0);
	assert_string_equal(line, "");
	assert_int_equal(gb_io_pwrite(fd, "x", 1, -1), -EINVAL);
	assert_int_equal(gb_io_pwrite(fd, "one\ntwo", 7, 0), 0);
	assert_int_equal(gb_io_line(at, "f", line, sizeof line), 0);
	assert_string_equal(line, "one");
	assert_int_equal(gb_io_pwrite(fd, "123456789", 9, 0), 0);
	assert_int_equal(gb_io_line(at, "f", line, sizeof line), 0);
	assert_string_equal(line, "1234567");
	assert_int_equal(unlinkat(at, "f", 0), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void mkdirs_makes_parents(void **state)
{
	char dir[] = "/tmp/gb-unit-XXXXXX", path[128];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/a//b/c", dir);
	assert_int_equal(gb_io_mkdirs(path), 0);
	assert_int_equal(gb_io_mkdirs(path), 0);
	assert_int_equal(stat(path, &st), 0);
	(void)snprintf(path, sizeof path, "%s/a/file", dir);
	gb_autoclose int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(gb_io_mkdirs(path), -ENOTDIR);
	(void)snprintf(path, sizeof path, "%s/a/file/sub", dir);
	assert_int_equal(gb_io_mkdirs(path), -ENOTDIR);
	(void)snprintf(path, sizeof path, "rm -r %s", dir);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_keeps_object_and_reason), cmocka_unit_test(err_encodes_control_bytes),
		cmocka_unit_test(outside_text_is_shown_as_vis_does), cmocka_unit_test(dates_are_utc),
		cmocka_unit_test(utf8_is_told_and_made),
		cmocka_unit_test(err_wraps_and_maps),	       cmocka_unit_test(opt_reads_all_forms),
		cmocka_unit_test(opt_names_what_is_wrong),     cmocka_unit_test(numbers_are_strict),
		cmocka_unit_test(buf_grows_and_eats),
		cmocka_unit_test(bytes_for_people),	       cmocka_unit_test(json_is_always_valid),
		cmocka_unit_test(mkdirs_makes_parents),	       cmocka_unit_test(digits_alone_are_a_number),
		cmocka_unit_test(below_is_by_whole_components), cmocka_unit_test(a_line_is_the_first_and_cut),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
