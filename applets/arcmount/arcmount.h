/* SPDX-License-Identifier: MIT */
/* What the verbs of arcmount share. */
#ifndef GB_ARCMOUNT_H
#define GB_ARCMOUNT_H

#include <stdbool.h>

#include "applets/applet.h"
#include "common/base/buf.h"

/* One mount as a person asks for it: names are resolved, types found and loop devices set up on the way. */
struct arcmount_job {
	const char *source, *target, *type, *options; /* any of them may be NULL */
	unsigned long flags;                          /* MS_ flags on top of the words */
	bool mkdir;
	bool dry_run; /* print the calls instead */
	bool fake;    /* do nothing at the end */
	bool verbose;
};

/* 0, or -errno with err set. -ENODEV and -ENOENT of the source: it is not there. */
int arcmount_do(const struct arcmount_job *job, struct gb_err *err);

/* Appends WORDS to a comma list. */
int arcmount_join(struct gb_buf *list, const char *words, struct gb_err *err);

/* Prints the mounts of these types (NULL: all), as mount(8) without operands does. */
int arcmount_mounted(const char *types, struct gb_err *err);

/* Rows that tables share. */
#define ARCMOUNT_DRY_RUN(key) GB_OPT(key, "dry-run", "", "print the system calls, and make none")
#define ARCMOUNT_VERBOSE GB_OPT('v', "verbose", "", "say what is done")
#define ARCMOUNT_INTERNAL GB_OPT('i', "internal-only", "", "accepted: no helper program is ever called")

/* Whether the applet runs under a name (mount, umount) that answers with mount(8)'s bits. */
bool arcmount_bits(const struct gb_cmd *cmd);

enum { ARCMOUNT_USAGE = 1, ARCMOUNT_SYSTEM = 2, ARCMOUNT_FAILED = 32, ARCMOUNT_SOME = 64 };

extern const struct gb_opt arcmount_mount_opts[], arcmount_remount_opts[], arcmount_bind_opts[], arcmount_plain_opts[],
	arcmount_recursive_opts[], arcmount_overlay_opts[], arcmount_umount_opts[], arcmount_list_opts[],
	arcmount_shares_opts[], arcmount_probe_opts[];
gb_run_fn arcmount_mount, arcmount_remount, arcmount_bind, arcmount_move, arcmount_propagate, arcmount_overlay,
	arcmount_umount, arcmount_list, arcmount_is_mounted, arcmount_shares, arcmount_pivot, arcmount_switch,
	arcmount_probe;

#endif
