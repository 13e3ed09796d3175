/* SPDX-License-Identifier: MIT */
/* Option tables over getopt_long(3). */
#include "common/base/opt.h"

#include <string.h>

enum { KEY_HELP = 0x10000, KEY_VERSION };

const struct gb_opt *gb_opt_row(const struct gb_opt *opts)
{
	while (opts && opts->key == GB_OPT_MORE)
		opts = opts->more;
	return opts && opts->key ? opts : NULL;
}

const char *gb_opt_name(const struct gb_opt *row)
{
	return row->text;
}

const char *gb_opt_arg(const struct gb_opt *row)
{
	return strchr(row->text, '\0') + 1;
}

const char *gb_opt_help(const struct gb_opt *row)
{
	return strchr(gb_opt_arg(row), '\0') + 1;
}

void gb_opt_start(struct gb_optscan *scan, const struct gb_opt *opts, int argc, char **argv, int flags)
{
	size_t n = 0, l = 0;

	memset(scan, 0, sizeof *scan);
	scan->argc = argc;
	scan->argv = argv;
	if (flags & GB_OPT_STOP)
		scan->letters[l++] = '+';
	scan->letters[l++] = ':'; /* a missing argument is told apart from an unknown option */
	size_t rows = 0;
	for (const struct gb_opt *o = opts; (o = gb_opt_row(o)) && rows < GB_OPT_MAX; o++, rows++) {
		const char *arg = gb_opt_arg(o);
		int has = !*arg ? no_argument : *arg == '[' ? optional_argument : required_argument;

		if (o->key < GB_OPT_LONG) {
			scan->letters[l++] = (char)o->key;
			for (int k = 0; k < has; k++)
				scan->letters[l++] = ':';
		}
		if (*gb_opt_name(o))
			scan->longs[n++] = (struct option){ .name = gb_opt_name(o), .has_arg = has, .val = o->key };
	}
	scan->longs[n++] = (struct option){ .name = "help", .val = KEY_HELP };
	scan->longs[n] = (struct option){ .name = "version", .val = KEY_VERSION };
	optind = 0; /* glibc: forget the pass before (getopt(3), NOTES) */
	opterr = 0;
}

int gb_opt_next(struct gb_optscan *scan, struct gb_err *err)
{
	int key = getopt_long(scan->argc, scan->argv, scan->letters, scan->longs, NULL);

	scan->index = optind;
	scan->arg = optarg;
	switch (key) {
	case -1:
		return 0;
	case KEY_HELP:
		return gb_err_set(err, GB_E_HELP, "help");
	case KEY_VERSION:
		return gb_err_set(err, GB_E_VERSION, "version");
	case ':': {
		const char *word = scan->argv[optind - 1];

		if (strncmp(word, "--", 2) == 0)
			return gb_err_set(err, GB_E_USAGE, "option %s needs an argument", word);
		return gb_err_set(err, GB_E_USAGE, "option -%c needs an argument", optopt);
	}
	case '?': {
		/* glibc leaves in optopt: 0 for an unknown or ambiguous long option, the key of a long option that
		 * was given an argument it does not take, or an unknown letter. */
		const char *word = scan->argv[optind - 1];
		int len = (int)strcspn(word, "="), hits = 0;

		for (const struct option *o = scan->longs; o->name; o++) {
			if (optopt && o->val == optopt)
				return gb_err_set(err, GB_E_USAGE, "option %.*s takes no argument", len, word);
			hits += !optopt && strncmp(o->name, word + 2, (size_t)len - 2) == 0;
		}
		if (optopt)
			return gb_err_set(err, GB_E_USAGE, "unknown option -%c", optopt);
		return gb_err_set(err, GB_E_USAGE, "%s option %.*s", hits > 1 ? "ambiguous" : "unknown", len, word);
	}
	default:
		return key;
	}
}

int gb_opt_operands(const struct gb_optscan *scan, int min, int max, const char *what, struct gb_err *err)
{
	int n = scan->argc - scan->index;

	if (n < min)
		return gb_err_set(err, GB_E_USAGE, "missing %s", what);
	if (max >= 0 && n > max)
		return gb_err_set(err, GB_E_USAGE, "surplus argument \"%s\"", scan->argv[scan->index + max]);
	return 0;
}
