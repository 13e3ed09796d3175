/* SPDX-License-Identifier: MIT */
/* Message types by number and name. */
#ifndef GB_RPC_WIRE_H
#define GB_RPC_WIRE_H

#include <stdbool.h>
#include <stdint.h>

enum gb_wire {
#define GB_REQUEST(id, name, number, payload, reply) GB_WIRE_##id = (number),
#define GB_REPLY(id, name, number, payload) GB_WIRE_##id = (number),
#include "common/rpc/wire.def"
#undef GB_REQUEST
#undef GB_REPLY
};

/* The name of a type in either direction, or NULL for an unknown one. */
const char *gb_wire_name(uint32_t type);

/* Whether a host may send it as a request (SandboxExecInput, which is part of an exec session only, is none). */
bool gb_wire_is_request(uint32_t type);
/* Whether it is a request about sandboxes or their snapshots. */
bool gb_wire_is_sandbox(uint32_t type);

/* The type of the reply to a request, or 0. */
uint32_t gb_wire_reply(uint32_t request);

/* A type by its name (as gb_wire_name() says it) or number, decimal or 0x: false when text is neither. */
bool gb_wire_parse(const char *text, uint32_t *ret_type);

/* Codes of Error frames (beside errno values for MmapReadFile). */
enum {
	GB_RPC_INVALID = 400,     /* cannot be decoded, or no request */
	GB_RPC_FORBIDDEN = 403,   /* this peer may not, by the daemon's settings */
	GB_RPC_NOT_FOUND = 404,
	GB_RPC_CONFLICT = 409,    /* not now: the machine is on its way down; or there is one of this id */
	GB_RPC_WRONG_STATE = 412, /* what it is asked of is not in the state for it */
	GB_RPC_FAILED = 500,
	GB_RPC_UNAVAILABLE = 503, /* this daemon cannot do it */
};

#endif
