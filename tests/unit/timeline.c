/* SPDX-License-Identifier: MIT */
/* common/sys/timeline: records of any content, lines of the kernel's log, the order of steps. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "common/sys/timeline.h"

static void a_record_comes_back_as_it_was(void **state)
{
	struct gb_timeline_step in = { .begin = 5, .end = 77, .pid = 12, .failed = true, .track = "arcmount", .name = "mount /proc" };
	struct gb_timeline_step out;
	unsigned char record[GB_TIMELINE_RECORD];

	(void)state;
	gb_timeline_encode(&in, record);
	assert_int_equal(gb_timeline_decode(record, &out), 0);
	assert_int_equal(out.begin, 5);
	assert_int_equal(out.end, 77);
	assert_int_equal(out.pid, 12);
	assert_true(out.failed);
	assert_string_equal(out.track, "arcmount");
	assert_string_equal(out.name, "mount /proc");
}

static void what_we_did_not_write_is_no_record(void **state)
{
	struct gb_timeline_step in = { .begin = 5, .end = 77, .track = "t", .name = "n" }, out;
	unsigned char good[GB_TIMELINE_RECORD], bad[GB_TIMELINE_RECORD];

	(void)state;
	gb_timeline_encode(&in, good);
	memcpy(bad, good, sizeof bad);
	bad[0] ^= 1; /* magic */
	assert_int_equal(gb_timeline_decode(bad, &out), -EINVAL);
	memcpy(bad, good, sizeof bad);
	bad[8] = 78; /* begins after its end */
	assert_int_equal(gb_timeline_decode(bad, &out), -EINVAL);
	memcpy(bad, good, sizeof bad);
	memset(bad + 24, 'x', 16); /* a track without an end */
	assert_int_equal(gb_timeline_decode(bad, &out), -EINVAL);
	memcpy(bad, good, sizeof bad);
	memset(bad + 40, 'x', 56);
	assert_int_equal(gb_timeline_decode(bad, &out), -EINVAL);
	memcpy(bad, good, sizeof bad);
	bad[40] = 0; /* no name */
	assert_int_equal(gb_timeline_decode(bad, &out), -EINVAL);
	memcpy(bad, good, sizeof bad);
	memset(bad + 8, 0xff, 16); /* a time that is none */
	assert_int_equal(gb_timeline_decode(bad, &out), -EINVAL);
	/* Noise: whatever is taken for a record can be shown. */
	srand(1);
	for (int i = 0; i < 100000; i++) {
		memcpy(bad, good, sizeof bad);
		for (int k = 0; k < 4; k++)
			bad[4 + rand() % (GB_TIMELINE_RECORD - 4)] = (unsigned char)rand();
		if (gb_timeline_decode(bad, &out) == 0) {
			assert_true(out.begin <= out.end && out.pid >= 0);
			assert_true(strnlen(out.track, sizeof out.track) < sizeof out.track);
			assert_true(strnlen(out.name, sizeof out.name) < sizeof out.name);
		}
	}
}

static void lines_of_the_kernels_log(void **state)
{
	struct gb_timeline_step s;
	static const char *const others[] = {
		"", ";", "12,1,5", "12,1,5,-;", "12,1,5,-;guestbox: step shares", "12,1,5,-;guestbox: step : done",
		"12,1,5,-;guestbox: shares: arcbox mounted", "12,1,5,-;xguestbox: step a: done",
		"12,1,5,-;guestbox: readying", "12,1,99999999999999999999,-;guestbox: ready",
		/* not a process's, but the kernel's: a device may have such a name */
		"4,1,5,-;guestbox: step a: done", "6,1,5,-;guestbox: ready",
		/* and the other way round */
		"14,1,5,-;Run /init as init process", "6,1,5,-;Run for it",
	};

	(void)state;
	assert_int_equal(gb_timeline_kmsg("12,340,1234567,-;guestbox: step data-disk: done", &s), 1);
	assert_int_equal(s.end, 1234567000);
	assert_string_equal(s.name, "data-disk");
	assert_string_equal(s.track, "init");
	assert_false(s.failed);
	assert_int_equal(gb_timeline_kmsg("11,340,5,-;guestbox: step shares: failed with status 1: arcmount shares", &s), 1);
	assert_true(s.failed);
	assert_int_equal(gb_timeline_kmsg("6,339,1234000,-;Run /init as init process", &s), 1);
	assert_int_equal(s.end, 1234000000);
	assert_string_equal(s.name, "kernel");
	assert_int_equal(gb_timeline_kmsg("12,340,6,-;guestbox: ready", &s), 2);
	assert_false(s.failed);
	assert_int_equal(gb_timeline_kmsg("11,340,6,-;guestbox: ready, degraded: failed: shares", &s), 2);
	assert_true(s.failed);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_int_equal(gb_timeline_kmsg(others[i], &s), 0);
	char line[600] = "12,1,5,-;guestbox: step ";
	memset(line + strlen(line), 'x', 400);
	(void)strcat(line, ": done");
	assert_int_equal(gb_timeline_kmsg(line, &s), 1);
	assert_int_equal(strlen(s.name), sizeof s.name - 1);
}

static void each_step_of_the_script_begins_where_the_last_ended(void **state)
{
	gb_autotimeline struct gb_timeline t = { 0 };
	static const struct gb_timeline_step steps[] = {
		{ .end = 900, .track = "init", .name = "ready" },
		{ .end = 300, .track = "init", .name = "kernel" },
		{ .begin = 310, .end = 350, .track = "arcmount", .name = "mount" },
		{ .end = 500, .track = "init", .name = "shares" },
		{ .end = 500, .track = "init", .name = "shares" }, /* from the other source */
	};

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(gb_timeline_put(&t, &steps[i]), i < 4);
	gb_timeline_order(&t);
	assert_int_equal(t.count, 4);
	assert_string_equal(t.steps[0].name, "kernel");
	assert_int_equal(t.steps[0].begin, 0);
	assert_string_equal(t.steps[1].name, "mount");
	assert_int_equal(t.steps[1].begin, 310);
	assert_string_equal(t.steps[2].name, "shares");
	assert_int_equal(t.steps[2].begin, 300);
	assert_int_equal(t.steps[3].begin, 900);
	assert_int_equal(t.ready, 900);
}

static void between_the_kernels_word_and_the_scripts_lies_the_shell(void **state)
{
	gb_autotimeline struct gb_timeline t = { 0 };
	static const struct gb_timeline_step steps[] = {
		{ .end = 350, .track = "init", .name = "kernel" }, /* the script's first line */
		{ .end = 300, .track = "init", .name = "kernel" }, /* the kernel's own */
		{ .begin = 310, .end = 320, .track = "x", .name = "kernel" },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(gb_timeline_put(&t, &steps[i]), 1);
	gb_timeline_order(&t);
	assert_string_equal(t.steps[0].name, "kernel");
	assert_int_equal(t.steps[0].end, 300);
	assert_string_equal(t.steps[1].name, "kernel");
	assert_string_equal(t.steps[2].name, "shell");
	assert_int_equal(t.steps[2].begin, 300);
	assert_int_equal(t.steps[2].end, 350);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_comes_back_as_it_was),
		cmocka_unit_test(what_we_did_not_write_is_no_record),
		cmocka_unit_test(lines_of_the_kernels_log),
		cmocka_unit_test(each_step_of_the_script_begins_where_the_last_ended),
		cmocka_unit_test(between_the_kernels_word_and_the_scripts_lies_the_shell),
	};

	return cmocka_run_group_tests_name("timeline", tests, NULL, NULL);
}
