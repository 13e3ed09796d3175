/* SPDX-License-Identifier: MIT */
/* Option tables: one row an option feeds getopt_long(3), --help and --dump-options. */
#ifndef GB_BASE_OPT_H
#define GB_BASE_OPT_H

#include <getopt.h>

#include "common/base/err.h"

/* Keys of options without a letter start here. */
#define GB_OPT_LONG 256

/* A table ends with a row whose key is 0, or goes on in another one. --help and --version need no row. */
struct gb_opt {
	int key; /* the letter, or GB_OPT_LONG + n */
	union {
		const char *text; /* name, argument and help, each with its NUL */
		const struct gb_opt *more;
	};
};

/* A row. name: the long one without dashes, "" if there is only the letter; arg: its argument's name, "[NAME]" if that may be
 * left out, "" if it takes none; help: one line, lower case, no full stop. */
#define GB_OPT(key, name, arg, help) { (key), { name "\0" arg "\0" help } }
/* In place of the last row: the rows of that table follow. */
#define GB_OPT_AND(table) { GB_OPT_MORE, { .more = (table) } }
enum { GB_OPT_MORE = -1 };

/* The row at opts, or the one that follows in another table; NULL at the end, and of a table that is NULL. The next one is
 * at row + 1. */
const struct gb_opt *gb_opt_row(const struct gb_opt *opts);
const char *gb_opt_name(const struct gb_opt *row);
const char *gb_opt_arg(const struct gb_opt *row);
const char *gb_opt_help(const struct gb_opt *row);

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
