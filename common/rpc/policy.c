/* SPDX-License-Identifier: MIT */
/* A policy. */
#include "common/rpc/policy.h"

#include <errno.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/rpc/wire.h"

static const uint32_t requests[] = {
#define GB_REQUEST(id, name, number, payload, reply) (number),
#define GB_REPLY(id, name, number, payload)
#include "common/rpc/wire.def"
#undef GB_REQUEST
#undef GB_REPLY
};

#define GB_REQUEST(id, name, number, payload, reply) \
	_Static_assert((number) < GB_POLICY_TYPES && sizeof(name) < GB_POLICY_VERB - 8, "fits");
#define GB_REPLY(id, name, number, payload)
#include "common/rpc/wire.def"
#undef GB_REQUEST
#undef GB_REPLY

/* A group is what starts with one of these. */
static const struct { const char *group, *verbs[2]; } groups[] = {
	{ "kubernetes", { "kubernetes-", NULL } },
	{ "runtime", { "ensure-runtime", "runtime-" } },
	{ "sandbox", { "sandbox-", "image-" } },
};

enum { REQUESTS = GB_ARRAY_LEN(requests), GROUPS = GB_ARRAY_LEN(groups), DEFAULT = REQUESTS + GROUPS, WORDS };

const char *gb_policy_verb(uint32_t type, char *word)
{
	const char *name = gb_wire_is_request(type) ? gb_wire_name(type) : NULL;
	size_t n = 0, len = name ? strlen(name) : 0;

	if (len > 7 && strcmp(name + len - 7, "Request") == 0)
		len -= 7;
	for (size_t i = 0; i < len && n < GB_POLICY_VERB - 2; i++) {
		bool upper = name[i] >= 'A' && name[i] <= 'Z';
		if (upper && i)
			word[n++] = '-';
		word[n++] = (char)(upper ? name[i] - 'A' + 'a' : name[i]);
	}
	word[n] = '\0';
	return word;
}

static int group_of(const char *verb)
{
	for (int g = 0; g < GROUPS; g++) {
		for (int i = 0; i < 2; i++) {
			const char *start = groups[g].verbs[i];
			if (start && strncmp(verb, start, strlen(start)) == 0)
				return g;
		}
	}
	return -1;
}

/* Its place: that of a request, then of a group, then of default; -1: no such word. */
static int find(const char *word, size_t len)
{
	char verb[GB_POLICY_VERB];

	for (int i = 0; i < REQUESTS; i++) {
		(void)gb_policy_verb(requests[i], verb);
		if (verb[0] && strlen(verb) == len && memcmp(verb, word, len) == 0)
			return i;
	}
	for (int g = 0; g < GROUPS; g++) {
		if (strlen(groups[g].group) == len && memcmp(groups[g].group, word, len) == 0)
			return REQUESTS + g;
	}
	return len == 7 && memcmp(word, "default", 7) == 0 ? DEFAULT : -1;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, size_t *len)
{
	while (*len && blank(**text)) {
		++*text;
		--*len;
	}
	while (*len && blank((*text)[*len - 1]))
		--*len;
}

enum said { UNSAID, ALLOW, DENY };

static int take_line(const char *text, size_t len, const char *name, unsigned number, enum said *said, struct gb_err *err)
{
	trim(&text, &len);
	if (len == 0 || *text == '#')
		return 0;
	const char *equals = memchr(text, '=', len);
	if (!equals)
		return gb_err_set(err, EINVAL, "%s: line %u: \"%.*s\": not WORD=allow or WORD=deny", name, number,
				  (int)(len < 64 ? len : 64), text);
	const char *word = text, *value = equals + 1;
	size_t word_len = (size_t)(equals - text), value_len = len - word_len - 1;
	trim(&word, &word_len);
	trim(&value, &value_len);
	int place = find(word, word_len);
	if (place < 0)
		return gb_err_set(err, EINVAL, "%s: line %u: \"%.*s\": no such request or group", name, number,
				  (int)(word_len < 64 ? word_len : 64), word);
	if (said[place] != UNSAID)
		return gb_err_set(err, EINVAL, "%s: line %u: \"%.*s\" stands there twice", name, number, (int)word_len, word);
	if (value_len == 5 && memcmp(value, "allow", 5) == 0)
		said[place] = ALLOW;
	else if (value_len == 4 && memcmp(value, "deny", 4) == 0)
		said[place] = DENY;
	else
		return gb_err_set(err, EINVAL, "%s: line %u: \"%.*s\": neither allow nor deny", name, number,
				  (int)(value_len < 64 ? value_len : 64), value);
	return 0;
}

int gb_policy_parse(const char *text, size_t len, const char *name, struct gb_policy *ret_policy, struct gb_err *err)
{
	enum said said[WORDS] = { UNSAID };
	struct gb_policy result = { { 0 } };
	unsigned number = 0;

	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		int r = take_line(text + at, n, name, ++number, said, err);
		if (r < 0)
			return r;
		at += n + 1;
	}
	for (int i = 0; i < REQUESTS; i++) {
		char verb[GB_POLICY_VERB];
		int group = group_of(gb_policy_verb(requests[i], verb));
		enum said what = said[i];
		if (!verb[0])
			continue;
		if (what == UNSAID && group >= 0)
			what = said[REQUESTS + group];
		if (what == UNSAID)
			what = said[DEFAULT];
		if (what == DENY)
			result.denied[requests[i] / 64] |= UINT64_C(1) << requests[i] % 64;
	}
	*ret_policy = result;
	return 0;
}

bool gb_policy_allows(const struct gb_policy *policy, uint32_t type)
{
	return type >= GB_POLICY_TYPES || !(policy->denied[type / 64] >> type % 64 & 1);
}
