/* SPDX-License-Identifier: MIT */
/* Option tables: one row an option feeds getopt_long(3), --help and --dump-options. */
#ifndef GB_BASE_OPT_H
#define GB_BASE_OPT_H

#include <getopt.h>

#include "common/base/err.h"

/* Keys of options without a letter start here. */
#define GB_OPT_LONG 256

/* A table ends with a row whose key is 0. --help and --version need no row. */
struct gb_opt {
	int key;          /* the letter, or GB_OPT_LONG + n */
	const char *name; /* long name without dashes; NULL if there is only the letter */
	const char *arg;  /* name of the argument; "[NAME]" if it may be left out; NULL if it takes none */
	const char *help; /* one line, lower case, no full stop */
};

/* The most rows one table may have; a longer one is a fault of the program and fails its unit test. */
#define GB_OPT_MAX 64

/* State of one pass over a command line. After gb_opt_next() returned 0, argv[index] is the first operand. */
struct gb_optscan {
	int argc;
	char **argv;
	int index;
	char *arg; /* the current option's argument, or NULL; points into argv */
	char letters[3 * GB_OPT_MAX + 4];
	struct option longs[GB_OPT_MAX + 3];
};

enum { GB_OPT_STOP = 1 }; /* flags: stop at the first operand instead of collecting operands at the end */

/* Starts a pass. opts may be NULL (no option but --help and --version). Only one pass may be under way at a time:
 * getopt_long(3) keeps its state in globals. */
void gb_opt_start(struct gb_optscan *scan, const struct gb_opt *opts, int argc, char **argv, int flags);

/* Returns the key of the next option, 0 at the end, or -GB_E_USAGE, -GB_E_HELP, -GB_E_VERSION with err set. */
int gb_opt_next(struct gb_optscan *scan, struct gb_err *err);

/* Checks the number of operands: 0, or -GB_E_USAGE naming the surplus or (by `what`, a word for the missing one) the
 * missing operand. max < 0 means no upper bound. */
int gb_opt_operands(const struct gb_optscan *scan, int min, int max, const char *what, struct gb_err *err);

#endif
