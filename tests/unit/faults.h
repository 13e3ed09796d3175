/* SPDX-License-Identifier: MIT */
/* Every call of a piece of code fails once: the first in one run of it, the second in the next, and so on. */
#ifndef GB_UNIT_FAULTS_H
#define GB_UNIT_FAULTS_H

#include <stdbool.h>

#include "common/base/err.h"

/*
 * What can fail is in tests/Makemodule.am (FAULTS): the linker puts a function of faults.c in the place of each. Memory fails
 * with ENOMEM, all else with the error that faults_each() is given; close(2) never fails, and is looked at.
 */
struct faults {
	void (*before)(void);            /* before each run: nothing fails in here; NULL: nothing to do */
	int (*run)(struct gb_err *err);  /* what is tested: >= 0 or -errno with err set */
	void (*after)(int r);            /* looks at what it has made, and takes it away; NULL: nothing to do */
	bool silent;                     /* run() says nothing in err when it fails */
	const char *const *except;       /* these do not fail; NULL at the end; NULL: all do */
	unsigned step;                   /* of many calls that take long only each so many-th [1; GB_FAULTS_STEP] */
};

/* Until a run has had nothing left to fail; that one must succeed. After each no descriptor is left open, none was closed
 * twice, and an error has its words. Returns how many calls have failed. */
unsigned faults_each(const struct faults *faults, int error);

#endif
