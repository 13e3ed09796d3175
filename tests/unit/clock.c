/* SPDX-License-Identifier: MIT */
/* common/sys/clock: what is a difference to step by, and a stand-in clock. Nothing here sets a clock. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/sys/clock.h"

#define S INT64_C(1000000000)

static void what_is_worth_a_step(void **state)
{
	const int64_t now = INT64_C(1800000000) * S;

	(void)state;
	assert_int_equal(gb_clock_judge(now, 0, S), 0);
	assert_int_equal(gb_clock_judge(now, S - 1, S), 0);
	assert_int_equal(gb_clock_judge(now, -S + 1, S), 0);
	assert_int_equal(gb_clock_judge(now, S, S), 1);
	assert_int_equal(gb_clock_judge(now, -S, S), 1);
	assert_int_equal(gb_clock_judge(now, 86400 * S, S), 1);
	assert_int_equal(gb_clock_judge(now, -INT64_C(300000000) * S, S), -1); /* before 2020 */
	assert_int_equal(gb_clock_judge(now, INT64_C(3000000000) * S, S), -1); /* after 2100 */
	assert_int_equal(gb_clock_judge(now, INT64_MAX, S), -1);
	assert_int_equal(gb_clock_judge(0, INT64_C(1800000000) * S, S), 1); /* a guest in 1970 */
}

static void seconds_and_their_parts(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1x", "1.x", "99999999999999999999", "9223372036854775807" };
	int64_t ns;

	(void)state;
	assert_int_equal(gb_clock_parse("1234\n", &ns), 0);
	assert_int_equal(ns, 1234 * S);
	assert_int_equal(gb_clock_parse("1.5", &ns), 0);
	assert_int_equal(ns, 3 * S / 2);
	assert_int_equal(gb_clock_parse("1.0000000019", &ns), 0);
	assert_int_equal(ns, S + 1);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(gb_clock_parse(bad[i], &ns), -EINVAL);
}

static void only_a_hypervisors_clock_is_the_hosts(void **state)
{
	(void)state;
	assert_true(gb_clock_is_hosts("KVM virtual PTP\n") && gb_clock_is_hosts("hyperv") && gb_clock_is_hosts("ptp_vmw"));
	assert_false(gb_clock_is_hosts("e1000e") || gb_clock_is_hosts("") || gb_clock_is_hosts("mlx5_ptp"));
}

static void a_stand_in(void **state)
{
	char path[] = "/tmp/gb-clock-XXXXXX";
	struct gb_clock clock;
	struct gb_err err = { 0 };
	int64_t ahead;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "%lld.25\n", (long long)time(NULL) + 1000) > 0);
	assert_int_equal(gb_clock_open(&clock, path, &err), 0);
	assert_int_equal(clock.kind, GB_CLOCK_FILE);
	assert_int_equal(gb_clock_compare(&clock, true, &ahead), 0);
	assert_true(ahead > 900 * S && ahead < 1001 * S);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(gb_clock_compare(&clock, true, &ahead), -EINVAL);
	gb_clock_close(&clock);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(gb_clock_open(&clock, path, &err), -ENOENT);
	assert_int_equal(gb_clock_open(&clock, "/dev/null", &err), -ENODEV);
	assert_non_null(strstr(err.msg, "/dev/null: neither a PTP clock nor a real-time clock"));
}

/* A pause between the first looks at the two clocks is no zone: it would stay for ever. */
static void a_zone_is_quarters_of_an_hour(void **state)
{
	(void)state;
	const int64_t second = 1000000000;

	assert_int_equal(gb_clock_zone(8 * second), 0);
	assert_int_equal(gb_clock_zone(-8 * second), 0);
	assert_int_equal(gb_clock_zone(3607 * second), 3600 * second);
	assert_int_equal(gb_clock_zone(-20700 * second + 1), -20700 * second);
	assert_int_equal(gb_clock_zone(-1795250130 * second - 7), -1795250130 * second - 7);
	assert_int_equal(gb_clock_zone(INT64_MAX), INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_worth_a_step),
		cmocka_unit_test(seconds_and_their_parts),
		cmocka_unit_test(only_a_hypervisors_clock_is_the_hosts),
		cmocka_unit_test(a_stand_in),
		cmocka_unit_test(a_zone_is_quarters_of_an_hour),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
