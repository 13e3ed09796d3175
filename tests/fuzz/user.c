/* SPDX-License-Identifier: MIT */
/* Fuzz target: users and groups of a root file system that is not to be trusted. Strings that end with a NUL each: whom a
 * request names, /etc/passwd, /etc/group. */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/sandbox/sandbox.h"
#include "common/sandbox/user.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gb_buf parts[3] = { { 0 } };
	struct gb_sandbox_user user;
	struct gb_err err = { 0 };
	size_t at = 0;

	for (int i = 0; i < 3; i++) {
		const uint8_t *end = memchr(data + at, 0, size - at);
		size_t len = end ? (size_t)(end - data) - at : size - at;
		if (gb_buf_add(&parts[i], data + at, len) < 0)
			abort();
		at += len + (end != NULL);
	}
	memset(&user, 0x55, sizeof user);
	int r = gb_sandbox_user_find(gb_buf_text(&parts[0]), gb_buf_text(&parts[1]), gb_buf_text(&parts[2]), &user, &err);
	if (r < 0) {
		if (!err.msg[0] || user.uid != 0x55555555)
			abort();
	} else if (user.uid >= GB_SANDBOX_IDS || user.gid >= GB_SANDBOX_IDS || user.groups_len > GB_SANDBOX_GROUPS ||
		   (user.home[0] && user.home[0] != '/') || !memchr(user.home, 0, sizeof user.home)) {
		abort();
	}
	for (size_t i = 0; r == 0 && i < user.groups_len; i++) {
		if (user.groups[i] >= GB_SANDBOX_IDS)
			abort();
	}
	for (int i = 0; i < 3; i++)
		gb_buf_free(&parts[i]);
	return 0;
}
