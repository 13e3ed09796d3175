/* SPDX-License-Identifier: MIT */
/* arcmount: mounts, with errors that explain themselves. The verbs and the names it answers to. */
#include <bsd/stdlib.h>
#include <errno.h>
#include <stdio.h>

#include "applets/arcmount/arcmount.h"

int arcmount_join(struct gb_buf *list, const char *words, struct gb_err *err)
{
	if (list->len)
		(void)gb_buf_str(list, ",");
	return gb_buf_str(list, words) < 0 ? gb_err_sys(err, ENOMEM, "options") : 0;
}

/* mount(8), EXIT STATUS. */
static int bits(const struct gb_err *err)
{
	switch (err->code) {
	case 0:
	case GB_E_HELP:
	case GB_E_VERSION:
		return 0;
	case GB_E_USAGE:
	case EPERM:
		return ARCMOUNT_USAGE;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return ARCMOUNT_SYSTEM;
	default:
		return ARCMOUNT_FAILED;
	}
}

bool arcmount_bits(const struct gb_cmd *cmd)
{
	return cmd->verb && cmd->verb->status == bits;
}

#define MOUNT_SYNOPSIS "[OPTION...] SOURCE TARGET\n[OPTION...] SOURCE|TARGET\n--make-[r]{shared,private,slave,unbindable} TARGET\n" \
		       "-a [-T FILE] [-t TYPES] [-O OPTIONS]"
#define UMOUNT_SYNOPSIS "[-f] [-l] [-d] [-R] [-r] [--expire] [--no-follow] TARGET|DEVICE...\n-a [-t TYPES] [-O OPTIONS]"

static const struct gb_verb verbs[] = {
	{ "shares", "[--dry-run] [--json] [--table FILE]", "mount the host's shares, with DAX where it holds",
	  arcmount_shares_opts, arcmount_shares, NULL },
	{ "mount", MOUNT_SYNOPSIS, "mount a file system", arcmount_mount_opts, arcmount_mount, NULL },
	{ "remount", "-o OPTIONS TARGET", "change the options of a mount", arcmount_remount_opts, arcmount_remount, NULL },
	{ "bind", "[-R] [-o OPTIONS] [-m] SOURCE TARGET", "show a directory or file at a second place", arcmount_bind_opts,
	  arcmount_bind, NULL },
	{ "move", "SOURCE TARGET", "take a mount to another place", arcmount_plain_opts, arcmount_move, NULL },
	{ "propagate", "shared|private|slave|unbindable [-R] TARGET", "set how mounts spread to and from a mount",
	  arcmount_recursive_opts, arcmount_propagate, NULL },
	{ "overlay", "--lower A[:B...] [--upper U --work W] [-o OPTIONS] [-m] TARGET", "mount an overlay",
	  arcmount_overlay_opts, arcmount_overlay, NULL },
	{ "umount", UMOUNT_SYNOPSIS, "unmount; names who keeps a mount busy", arcmount_umount_opts, arcmount_umount, NULL },
	{ "pivot-root", "NEW_ROOT PUT_OLD", "swap the root mount", arcmount_plain_opts, arcmount_pivot, NULL },
	{ "switch-root", "NEW_ROOT INIT [ARG...]", "leave the initramfs: a new root, and its init", arcmount_plain_opts,
	  arcmount_switch, NULL },
	{ "is-mounted", "TARGET", "exit 0 if TARGET is a mount point, 1 if not", NULL, arcmount_is_mounted, NULL },
	{ "list", "[--json] [--from FILE] [TARGET]", "list mounts", arcmount_list_opts, arcmount_list, NULL },
	{ "probe", "[--json]", "run the rules of mount, umount2 and pivot_root against this kernel, as TAP",
	  arcmount_probe_opts, arcmount_probe, NULL },
	{ 0 },
};

static const struct gb_verb aliases[] = {
	{ "mount", MOUNT_SYNOPSIS, "mount a file system (arcmount mount)", arcmount_mount_opts, arcmount_mount, bits },
	{ "umount", UMOUNT_SYNOPSIS, "unmount (arcmount umount)", arcmount_umount_opts, arcmount_umount, bits },
	{ "pivot_root", "NEW_ROOT PUT_OLD", "swap the root mount (arcmount pivot-root)", arcmount_plain_opts, arcmount_pivot,
	  NULL },
	{ "switch_root", "NEW_ROOT INIT [ARG...]", "leave the initramfs (arcmount switch-root)", arcmount_plain_opts,
	  arcmount_switch, NULL },
	{ 0 },
};

const struct gb_applet gb_applet_arcmount = {
	.name = "arcmount",
	.summary = "mounts, with errors that explain themselves",
	.synopsis = "VERB [OPTION...] [ARG...]",
	.verbs = verbs,
	.aliases = aliases,
};
