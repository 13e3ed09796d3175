/* SPDX-License-Identifier: MIT */
/* arcmount pivot-root, switch-root. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "applets/arcmount/arcmount.h"
#include "common/mount/root.h"

static int scan_words(struct gb_cmd *cmd, int max, bool *ret_dry_run, char ***ret_words, const char *second,
		      struct gb_err *err)
{
	struct gb_optscan scan;
	int key;

	/* What follows the first operand of switch-root is init's. */
	gb_opt_start(&scan, arcmount_plain_opts, cmd->argc, cmd->argv, GB_OPT_STOP);
	while ((key = gb_opt_next(&scan, err)) > 0)
		*ret_dry_run = true;
	if (key < 0)
		return key;
	if (scan.argc - scan.index == 1)
		return gb_err_set(err, GB_E_USAGE, "missing %s", second);
	*ret_words = &scan.argv[scan.index];
	return gb_opt_operands(&scan, 2, max, "new root", err);
}

int arcmount_pivot(struct gb_cmd *cmd, struct gb_err *err)
{
	bool dry_run = false;
	char **words;
	int r = scan_words(cmd, 2, &dry_run, &words, "directory for the old root", err);

	if (r < 0)
		return r;
	if (dry_run) {
		printf("pivot_root(\"%s\", \"%s\")\n", words[0], words[1]);
		return 0;
	}
	return gb_mount_pivot(words[0], words[1], err);
}

int arcmount_switch(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };
	bool dry_run = false;
	char **words;
	int r = scan_words(cmd, -1, &dry_run, &words, "init", err);

	if (r < 0)
		return r;
	if (dry_run) {
		if (gb_mount_switch_text(&text, words[0], words[1]) < 0)
			return gb_err_sys(err, ENOMEM, "plan");
		(void)fputs(gb_buf_text(&text), stdout);
		return 0;
	}
	r = gb_mount_switch(words[0], words[1], err);
	if (r < 0)
		return r;
	(void)execv(words[1], &words[1]);
	return gb_err_sys(err, errno, "cannot execute %s in the new root %s", words[1], words[0]);
}
