/* SPDX-License-Identifier: MIT */
/* A policy: which requests a daemon does, and which it refuses. Pure. */
#ifndef GB_RPC_POLICY_H
#define GB_RPC_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/*
 * Text, line by line: blank, "# comment", or WORD=allow, WORD=deny. WORD is a verb (the name of a request's message,
 * "DiskTrimRequest" being disk-trim), a group (kubernetes, runtime, sandbox) or default. The most particular word counts,
 * wherever it stands: a verb's own, else its group's, else default's, else it is allowed. No word stands there twice.
 */
enum { GB_POLICY_TYPES = 0x1000, GB_POLICY_VERB = 40 };

struct gb_policy {
	uint64_t denied[GB_POLICY_TYPES / 64]; /* all zero: everything is allowed */
};

/* name is that of the file, for messages, which name line and word: 0 or -EINVAL. */
int gb_policy_parse(const char *text, size_t len, const char *name, struct gb_policy *ret_policy, struct gb_err *err);

/* Whether requests of this type are done. Of what is no request: true, it is refused elsewhere. */
bool gb_policy_allows(const struct gb_policy *policy, uint32_t type);

/* A request's word (at most GB_POLICY_VERB bytes); "" for what is none. Returns word. */
const char *gb_policy_verb(uint32_t type, char *word);

#endif
