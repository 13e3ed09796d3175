/* SPDX-License-Identifier: MIT */
/* common/rpc/policy: which word counts, and what is said to the rest. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>

#include "common/rpc/policy.h"
#include "common/rpc/wire.h"

static struct gb_policy policy;
static struct gb_err err;

static int parse(const char *text)
{
	return gb_policy_parse(text, strlen(text), "file", &policy, &err);
}

#define ALLOWED(id) gb_policy_allows(&policy, GB_WIRE_##id)

static void nothing_said_allows_all(void **state)
{
	(void)state;
	assert_int_equal(parse(""), 0);
	assert_int_equal(parse("\n  \n# shutdown=deny\n\t#\n"), 0);
	for (uint32_t type = 0; type < 0x20000; type++)
		assert_true(gb_policy_allows(&policy, type));
}

static void the_most_particular_word_counts(void **state)
{
	(void)state;
	/* in whatever order they stand */
	assert_int_equal(parse("sandbox-list=allow\nsandbox=deny\nping = allow\r\n  default=deny \nshutdown=deny"), 0);
	assert_true(ALLOWED(SANDBOX_LIST));
	assert_false(ALLOWED(SANDBOX_RUN));
	assert_true(ALLOWED(PING));
	assert_false(ALLOWED(SHUTDOWN));
	assert_false(ALLOWED(KUBERNETES_START));
	assert_false(ALLOWED(TIMELINE));
	assert_int_equal(parse("kubernetes=deny\nkubernetes-status=allow\n"), 0);
	assert_true(ALLOWED(KUBERNETES_STATUS));
	assert_false(ALLOWED(KUBERNETES_DELETE));
	assert_true(ALLOWED(SHUTDOWN));
	assert_int_equal(parse("runtime=deny"), 0);
	assert_false(ALLOWED(ENSURE_RUNTIME));
	assert_false(ALLOWED(RUNTIME_STATUS));
	/* replies and what is unknown are refused elsewhere */
	assert_int_equal(parse("default=deny"), 0);
	assert_true(ALLOWED(PING_REPLY));
	assert_true(gb_policy_allows(&policy, 0xffffffff));
}

/* Each request has a word of its own, and the word means it alone. */
static void every_request_has_a_word(void **state)
{
	int seen = 0;

	(void)state;
	for (uint32_t type = 0; type < GB_POLICY_TYPES; type++) {
		char word[GB_POLICY_VERB], line[64];
		(void)gb_policy_verb(type, word);
		assert_int_equal(word[0] != '\0', gb_wire_is_request(type));
		if (!word[0])
			continue;
		seen++;
		(void)snprintf(line, sizeof line, "%s=deny", word);
		assert_int_equal(parse(line), 0);
		for (uint32_t other = 0; other < GB_POLICY_TYPES; other++)
			assert_int_equal(gb_policy_allows(&policy, other), other != type);
	}
	assert_true(seen >= 24);
	assert_string_equal(gb_policy_verb(GB_WIRE_MMAP_READ_FILE, (char[GB_POLICY_VERB]){ 0 }), "mmap-read-file");
}

static void mistakes_are_named(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "ping=allow\n\nshutdwn=deny\n", "file: line 3: \"shutdwn\": no such request or group" },
		{ "shutdown=no", "file: line 1: \"no\": neither allow nor deny" },
		{ "shutdown=", "file: line 1: \"\": neither allow nor deny" },
		{ "shutdown deny", "file: line 1: \"shutdown deny\": not WORD=allow or WORD=deny" },
		{ "=deny", "file: line 1: \"\": no such request or group" },
		{ "default=deny\ndefault=deny", "file: line 2: \"default\" stands there twice" },
		{ "shutdown=deny # really", "file: line 1: \"deny # really\": neither allow nor deny" },
		{ "Shutdown=deny", "file: line 1: \"Shutdown\": no such request or group" },
		{ "sandbox-exec-input=deny", "file: line 1: \"sandbox-exec-input\": no such request or group" },
	};

	(void)state;
	assert_int_equal(parse("shutdown=deny"), 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(parse(bad[i].text), -EINVAL);
		assert_string_equal(err.msg, bad[i].says);
	}
	assert_int_equal(gb_policy_parse("ping=deny\0", 10, "file", &policy, &err), -EINVAL);
	/* what was said before still holds */
	assert_false(ALLOWED(SHUTDOWN));
	assert_true(ALLOWED(PING));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_said_allows_all),
		cmocka_unit_test(the_most_particular_word_counts),
		cmocka_unit_test(every_request_has_a_word),
		cmocka_unit_test(mistakes_are_named),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
