/* SPDX-License-Identifier: MIT */
/* What an applet is to the program: a descriptor at the foot of its file. */
#ifndef GB_APPLET_H
#define GB_APPLET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/opt.h"

struct gb_cmd;

/* Runs the command line cmd->argc, cmd->argv (argv[0] is the applet's or verb's name). Returns an exit status >= 0, or
 * -errno (-GB_E_*) with err set, which main() prints and turns into an exit status. */
typedef int gb_run_fn(struct gb_cmd *cmd, struct gb_err *err);

/* A verb of an applet, or a name that the applet answers to as a program of its own (an alias). */
struct gb_verb {
	const char *name;           /* of several words if need be: "sandbox image rm" */
	const char *synopsis;       /* what follows the name; several forms by newlines; NULL if nothing */
	const char *summary;        /* one line, lower case, no full stop */
	const struct gb_opt *opts;  /* NULL if none */
	gb_run_fn *run;
	int (*status)(const struct gb_err *err); /* exit status of an error; NULL: gb_err_status() */
};

/* An applet with verbs and a run reads its own options first and then calls gb_verb_run(); one with verbs and no run
 * has its verb as first word. Lists end with a row whose name is NULL. */
struct gb_applet {
	const char *name;
	const char *summary;
	const char *synopsis;
	const struct gb_opt *opts;
	const struct gb_verb *verbs;
	const struct gb_verb *aliases;
	gb_run_fn *run;
};

/* One call: what main() found out, and what --help and error messages are about. */
struct gb_cmd {
	const struct gb_applet *applet;
	const struct gb_verb *verb; /* the verb or alias in charge, or NULL */
	int argc;
	char **argv;
	void *data; /* what an applet's run hands to its verbs */
	bool unmarked; /* looks on, or runs others: no step of the boot's timeline */
};

/* Finds the verb named by argv[0] (and the words behind it) in the applet's table and runs it. -GB_E_USAGE when there is
 * none. */
int gb_verb_run(struct gb_cmd *cmd, int argc, char **argv, struct gb_err *err);

/* Runs the applet named argv[0] in this process, as a program of that name would: its exit status, with what it printed
 * flushed and its error told; -ENOENT when there is none of that name (an alias is none). */
int gb_applet_call(int argc, char **argv);

/* One line on stderr as main() prints errors, behind what is on its way to stdout: for what goes on after it. */
void gb_complain(const char *text);

/* The option table in charge: the verb's, else the applet's. */
const struct gb_opt *gb_cmd_opts(const struct gb_cmd *cmd);

#endif
