/* SPDX-License-Identifier: MIT */
/* Users and groups by the files of a root file system that is not to be trusted. */
#ifndef GB_SANDBOX_USER_H
#define GB_SANDBOX_USER_H

#include "common/sandbox/bundle.h"

/* text: "", NAME, UID, each with :GROUP or :GID or without. passwd and group: the files' text ("" when there is none).
 * Pure. 0, or -ENOENT or -EINVAL with err set. */
int gb_sandbox_user_find(const char *text, const char *passwd, const char *group, struct gb_sandbox_user *ret_user,
			 struct gb_err *err);

/* The same, with the files below rootfd, which is not left on the way (openat2(2), RESOLVE_IN_ROOT). */
int gb_sandbox_user_at(int rootfd, const char *text, struct gb_sandbox_user *ret_user, struct gb_err *err);

/* Whether process's program is there and may be run, by its PATH and folder below rootfd: what a runtime finds out too late
 * to tell. 0, or -ENOENT, -EACCES with err set. What cannot be judged from outside passes. */
int gb_sandbox_program_check(int rootfd, const struct gb_sandbox_process *process, struct gb_err *err);

#endif
