/* SPDX-License-Identifier: MIT */
/* Verbs: the second word of a command. */
#include <string.h>

#include "applets/applet.h"

const struct gb_opt *gb_cmd_opts(const struct gb_cmd *cmd)
{
	return cmd->verb ? cmd->verb->opts : cmd->applet->opts;
}

int gb_verb_run(struct gb_cmd *cmd, int argc, char **argv, struct gb_err *err)
{
	if (argc < 1)
		return gb_err_set(err, GB_E_USAGE, "missing verb");
	for (const struct gb_verb *v = cmd->applet->verbs; v->name; v++) {
		if (strcmp(v->name, argv[0]) == 0) {
			cmd->verb = v;
			cmd->argc = argc;
			cmd->argv = argv;
			return v->run(cmd, err);
		}
	}
	if (argv[0][0] == '-')
		return gb_err_set(err, GB_E_USAGE, "unknown option %s", argv[0]);
	return gb_err_set(err, GB_E_USAGE, "unknown verb \"%s\"", argv[0]);
}
