/* SPDX-License-Identifier: MIT */
/* Verbs: the second word of a command; and what applets say for themselves. */
#include <bsd/stdlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "applets/applet.h"

const struct gb_opt *gb_cmd_opts(const struct gb_cmd *cmd)
{
	return cmd->verb ? cmd->verb->opts : cmd->applet->opts;
}

/* How many words of a verb's name ("sandbox image rm") stand at the start of argv. *ret_whole: all of them do. */
static int match(const char *name, int argc, char **argv, bool *ret_whole)
{
	int n = 0;

	for (;; n++) {
		size_t len = strcspn(name, " ");

		*ret_whole = false;
		if (n == argc || strlen(argv[n]) != len || memcmp(argv[n], name, len) != 0)
			return n;
		*ret_whole = !name[len];
		if (*ret_whole)
			return n + 1;
		name += len + 1;
	}
}

int gb_verb_run(struct gb_cmd *cmd, int argc, char **argv, struct gb_err *err)
{
	int most = 0, words = 0; /* words that start some verb's name; words of the longest whole one */

	if (argc < 1)
		return gb_err_set(err, GB_E_USAGE, "missing verb");
	for (const struct gb_verb *v = cmd->applet->verbs; v->name; v++) {
		bool whole;
		int n = match(v->name, argc, argv, &whole);
		if (whole && n > words) {
			cmd->verb = v;
			words = n;
		}
		most = n > most ? n : most;
	}
	if (words) {
		cmd->argc = argc - (words - 1);
		cmd->argv = argv + words - 1;
		return cmd->verb->run(cmd, err);
	}
	if (most && most < argc && strcmp(argv[most], "--help") == 0)
		return gb_err_set(err, GB_E_HELP, "help");
	if (most == argc)
		return gb_err_set(err, GB_E_USAGE, "missing verb after \"%s\"", argv[most - 1]);
	if (argv[most][0] == '-')
		return gb_err_set(err, GB_E_USAGE, "unknown option %s", argv[most]);
	return gb_err_set(err, GB_E_USAGE, "unknown verb \"%s\"%s%s%s", argv[most], most ? " after \"" : "",
			  most ? argv[most - 1] : "", most ? "\"" : "");
}

void gb_complain(const char *text)
{
	(void)fflush(stdout);
	fprintf(stderr, "%s: %s\n", getprogname(), text);
}
