/* SPDX-License-Identifier: MIT */
/* common/sys/mapfile: ends of files, truncation under the mapping, things that are no files. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sys/mapfile.h"

static char path[64];

static int make_file(size_t size)
{
	(void)snprintf(path, sizeof path, "/tmp/gb-unit-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)(i * 7 + i / 256);
		assert_int_equal(gb_io_write(fd, &c, 1), 0);
	}
	return fd;
}

/* How many bytes a window has, and whether they are the file's. */
static size_t mapped(const struct gb_mapfile *file, uint64_t offset, uint64_t len, const unsigned char *want)
{
	gb_automapwindow struct gb_mapwindow window = { 0 };
	unsigned char got[8192];

	assert_int_equal(gb_mapfile_map(file, offset, len, &window), 0);
	if (window.len) {
		assert_int_equal(gb_mapfile_copy(&window, 0, got, window.len), window.len);
		assert_memory_equal(got, want + offset, window.len);
	}
	return window.len;
}

static void windows_clamp_at_the_end(void **state)
{
	gb_automapfile struct gb_mapfile file = { .fd = -1 };
	gb_autoclose int fd = make_file(5000);
	unsigned char want[8192];

	(void)state;
	assert_int_equal(gb_mapfile_open(&file, path, NULL), 0);
	assert_int_equal(gb_io_pread(fd, want, sizeof want, 0), 5000);
	assert_int_equal(mapped(&file, 0, 8192, want), 5000);
	assert_int_equal(mapped(&file, 4097, 8192, want), 903);
	assert_int_equal(mapped(&file, 5000, 8192, want), 0);
	assert_int_equal(mapped(&file, UINT64_MAX - 1, 8192, want), 0);
	assert_int_equal(mapped(&file, 10, 0, want), 0);
	assert_int_equal(unlink(path), 0);
}

static void truncation_is_an_end_of_file_and_no_signal(void **state)
{
	gb_automapfile struct gb_mapfile file = { .fd = -1 };
	gb_automapwindow struct gb_mapwindow window = { 0 };
	gb_autoclose int fd = make_file(3 * 4096);
	unsigned char got[3 * 4096];

	(void)state;
	assert_int_equal(gb_mapfile_open(&file, path, NULL), 0);
	assert_int_equal(gb_mapfile_map(&file, 0, sizeof got, &window), 0);
	assert_int_equal(window.len, sizeof got);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(gb_mapfile_copy(&window, 0, got, sizeof got), 4096);
	assert_int_equal(gb_mapfile_touch(&window), 4096);
	assert_int_equal(gb_mapfile_cause(&file, 4096), 0);
	assert_int_equal(gb_mapfile_cause(&file, 100), -EIO);
	assert_int_equal(unlink(path), 0);
}

static void only_regular_files(void **state)
{
	struct gb_mapfile file = { .fd = -1 };
	struct gb_err err;

	(void)state;
	(void)snprintf(path, sizeof path, "/tmp/gb-unit-fifo-%d", (int)getpid());
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(gb_mapfile_open(&file, path, &err), -EINVAL); /* and it does not wait for a writer */
	assert_non_null(strstr(err.msg, "not a regular file"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(gb_mapfile_open(&file, "/tmp", &err), -EISDIR);
	assert_int_equal(gb_mapfile_open(&file, "/dev/null", &err), -EINVAL);
	assert_int_equal(gb_mapfile_open(&file, "/nowhere/at/all", &err), -ENOENT);
	assert_int_equal(file.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_clamp_at_the_end),
		cmocka_unit_test(truncation_is_an_end_of_file_and_no_signal),
		cmocka_unit_test(only_regular_files),
	};

	return cmocka_run_group_tests_name("mapfile", tests, NULL, NULL);
}
