/* SPDX-License-Identifier: MIT */
/* arcmount probe: a rule, and what came of it. */
#ifndef GB_ARCMOUNT_PROBE_H
#define GB_ARCMOUNT_PROBE_H

#include <stdbool.h>

enum probe_verdict { PROBE_NOT_RUN, PROBE_OK, PROBE_NOT_OK, PROBE_DIFFERS, PROBE_SKIPPED };

/* What a rule's process hands back through a pipe. */
struct probe_result {
	enum probe_verdict verdict;
	char expected[64], seen[256];
};

struct probe_rule {
	const char *name, *text;
	void (*run)(struct probe_result *r);
	bool own_root; /* gets a tmpfs as its root, as far as pivot_root(2) can tell the real one */
};

/* Ends with a rule without a name (rules.c). */
extern const struct probe_rule arcmount_probe_rules[];

/* Every rule runs in a process and a mount namespace of its own, in an empty tmpfs at this place. */
extern char arcmount_probe_work[64];

/* A rule of several parts ends with the first that does not hold. */
void arcmount_probe_judge(struct probe_result *r, enum probe_verdict verdict, const char *expected, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
