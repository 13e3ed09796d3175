/* SPDX-License-Identifier: MIT */
/* common/sys/respawn: the limit, its window, the pause, the syntax. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "common/sys/respawn.h"

#define S 1000000u

static void the_limit_holds_in_every_window(void **state)
{
	struct gb_respawn limit = { .count = 3, .seconds = 10 };
	uint64_t now = 100 * (uint64_t)S;

	(void)state;
	for (int i = 0; i < 3; i++, now += 2 * S)
		assert_int_equal(gb_respawn_next(&limit, now - 2 * S, now), now);
	assert_int_equal(gb_respawn_next(&limit, now - 2 * S, now), -EBUSY); /* 106, the first was at 100 */
	assert_int_equal(gb_respawn_next(&limit, now - 2 * S, 109 * (uint64_t)S), -EBUSY);
	/* The window moves: one place is free again ten seconds after the first, and then no more. */
	assert_int_equal(gb_respawn_next(&limit, now, 110 * (uint64_t)S), 110 * S);
	assert_int_equal(gb_respawn_next(&limit, now, 111 * (uint64_t)S), -EBUSY);
	assert_int_equal(gb_respawn_next(&limit, now, 112 * (uint64_t)S), 112 * S);
	assert_int_equal(limit.total, 5);
}

static void a_command_that_ends_at_once_waits_a_second(void **state)
{
	struct gb_respawn limit = { .count = 1, .seconds = 1 };

	(void)state;
	assert_int_equal(gb_respawn_next(&limit, 50 * (uint64_t)S, 50 * (uint64_t)S + 1), 51 * (uint64_t)S + 1);
	assert_int_equal(gb_respawn_next(&limit, 51 * (uint64_t)S, 52 * (uint64_t)S), -EBUSY);
	assert_int_equal(gb_respawn_next(&limit, 51 * (uint64_t)S, 53 * (uint64_t)S), 53 * (uint64_t)S);
}

static void a_slow_crash_is_restarted_for_ever(void **state)
{
	struct gb_respawn limit = { .count = 5, .seconds = 60 };
	uint64_t now = S;

	(void)state;
	for (int i = 0; i < 1000; i++, now += 12 * S)
		assert_int_equal(gb_respawn_next(&limit, now - 12 * S > now ? 0 : now - 12 * S, now), now);
}

static void the_syntax_is_strict(void **state)
{
	struct gb_respawn limit = { 0 };
	struct gb_err err;
	static const char *const bad[] = { "", "/", "5", "5/", "/60", "0/60", "101/60", "5/0", "5/86401", "5/60x", "-1/60",
					   "5 /60", "5/60/1", "99999999999999999999999999999999999/1" };

	(void)state;
	assert_int_equal(gb_respawn_parse("7/90", &limit, &err), 0);
	assert_int_equal(limit.count, 7);
	assert_int_equal(limit.seconds, 90);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(gb_respawn_parse(bad[i], &limit, &err), -GB_E_USAGE);
	assert_int_equal(limit.count, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_limit_holds_in_every_window),
		cmocka_unit_test(a_command_that_ends_at_once_waits_a_second),
		cmocka_unit_test(a_slow_crash_is_restarted_for_ever),
		cmocka_unit_test(the_syntax_is_strict),
	};

	return cmocka_run_group_tests_name("respawn", tests, NULL, NULL);
}
