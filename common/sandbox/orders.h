/* SPDX-License-Identifier: MIT */
/* What PID 1 of a sandbox is told, and what it says: between it, which has no C library, and the daemon. */
#ifndef GB_SANDBOX_ORDERS_H
#define GB_SANDBOX_ORDERS_H

#include <stdint.h>

enum { GB_SANDBOX_GROUPS = 64 }; /* supplementary ones of a command */

/* A command: this, the places of its words and of its variables, each list with a 0 at its end, and their strings. Places
 * are counted from here. The length comes with the descriptor. */
struct gb_sandbox_orders {
	uint64_t args, env, dir; /* how many of each; where the folder's name is */
	uint32_t uid, gid, groups_len;
	uint32_t groups[GB_SANDBOX_GROUPS];
	uint32_t input; /* 0: its own /dev/null is what it reads */
};
_Static_assert(sizeof(struct gb_sandbox_orders) == 296, "its lists are aligned");

/* What PID 1 says. */
struct gb_sandbox_word {
	int32_t kind, value;
};
_Static_assert(sizeof(struct gb_sandbox_word) == 8, "written at once");
enum {
	GB_SANDBOX_ENDED,         /* it ends itself, with this status */
	GB_SANDBOX_COMMAND_ENDED, /* the first command has, with this status */
	GB_SANDBOX_COMMAND_LOST,  /* it could not be started: an errno */
};

#endif
