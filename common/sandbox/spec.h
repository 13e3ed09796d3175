/* SPDX-License-Identifier: MIT */
/* What a request may ask for. Pure. */
#ifndef GB_SANDBOX_SPEC_H
#define GB_SANDBOX_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "common/sandbox/sandbox.h"

/* Each: 0, or -EINVAL with what is wrong in err. */

/* All of a Create request, fields that cannot be honoured included. */
int gb_sandbox_check_create(const Sandbox__V1__CreateSandboxRequest *spec, struct gb_err *err);
/* A sandbox's id: at most 128 bytes of UTF-8 without control characters, '/' and '\'; no ".", "..". It never is part of a
 * path. */
int gb_sandbox_check_id(const char *id, struct gb_err *err);
/* An image's name: letters, digits, "._-:@+", the first a letter or digit; at most 128. It is one component of a path. */
int gb_sandbox_check_image(const char *name, struct gb_err *err);
/* A command with its arguments, its folder and its user. */
int gb_sandbox_check_command(char *const *cmd, size_t n, const char *dir, const char *user, struct gb_err *err);

/* Absolute, without empty components, "." and ".."; "/" only if root is allowed. */
bool gb_sandbox_path_is_plain(const char *path, bool root);

struct gb_sandbox_pair {
	const char *key, *value;
};

/* Whether a sandbox or snapshot has all the labels of a filter: lists of the entries of any map of texts. */
bool gb_sandbox_labels_match(const void *have, size_t n, const void *want, size_t want_n);

#endif
