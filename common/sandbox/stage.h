/* SPDX-License-Identifier: MIT */
/* What a sandbox is put together of, before it starts: its root and whatever is mounted into that, on a tmpfs of the mount
 * namespace that the calling thread has made for it. */
#ifndef GB_SANDBOX_STAGE_H
#define GB_SANDBOX_STAGE_H

#include "common/sandbox/bundle.h"

/* PID 1's program, in the sandbox. */
#define GB_SANDBOX_PID1 "/dev/.guestbox-pid1"

enum { GB_SANDBOX_BINDS = 80 };

struct gb_sandbox_stage {
	const struct gb_sandbox_place *place;
	const Guestbox__Sandbox__Record *record;
	struct gb_err *err;
	char path[128]; /* where the tmpfs is mounted; there */
	int userns;     /* whose ids the owners of files are mapped by */
	int image;      /* the file that is the lower layer, if that is one; -1 */
	/* What gb_sandbox_bundle_json() is to name, in this order. */
	struct gb_sandbox_bind binds[GB_SANDBOX_BINDS];
	size_t binds_len;
	char paths[GB_SANDBOX_BINDS][192]; /* their sources */
};

/* In this order; each 0, or -errno with the stage's err set. What they mount goes with the namespace. */

/* The tmpfs; sysfs and PID 1's program for the sandbox. */
int gb_sandbox_stage_open(struct gb_sandbox_stage *stage);
/* A small file of ours in the sandbox. */
int gb_sandbox_stage_file(struct gb_sandbox_stage *stage, const char *target, const void *data, size_t len, bool exec);
/* The root file system, with its owners mapped into the sandbox's range, at PATH/root. */
int gb_sandbox_stage_root(struct gb_sandbox_stage *stage);
/* The mounts that the create names; they come before ours, so that none of them hides one. */
int gb_sandbox_stage_binds(struct gb_sandbox_stage *stage);

/* Whether a mount that a create names can be had; blocks as long as its file system does. 0 or -errno with err set. */
int gb_sandbox_mount_check(const struct gb_sandbox_place *place, const Sandbox__V1__Mount *mount, struct gb_err *err);

/* The lower layer of an overlay, by no link: a descriptor (O_PATH), or -errno with err set. */
int gb_sandbox_open_lower(const Guestbox__Sandbox__Record *record, struct gb_err *err);

#endif
