/* SPDX-License-Identifier: MIT */
/* What a protobuf message is to the program: the tables that common/rpc/proto.awk makes of the .proto files. */
#ifndef GB_RPC_MESSAGE_H
#define GB_RPC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gb_pb_kind { GB_PB_STRING, GB_PB_BYTES, GB_PB_MESSAGE, GB_PB_BOOL, GB_PB_INT32, GB_PB_UINT32, GB_PB_INT64, GB_PB_UINT64,
		  GB_PB_DOUBLE };

/* How a value stands on the wire (encoding.md of the protobuf documentation). */
enum gb_pb_wire { GB_PB_VARINT = 0, GB_PB_64BIT = 1, GB_PB_LEN = 2, GB_PB_32BIT = 5 };

/* Each message of C starts with this. */
struct gb_pb_message {
	const struct gb_pb_type *type;
};

struct gb_pb_field {
	const char *name;
	uint16_t number;
	uint16_t offset; /* of the member */
	uint16_t count;  /* of the member that says how many there are, of a repeated field; else 0 */
	uint8_t kind;    /* enum gb_pb_kind */
	uint8_t of;      /* of a message: which of its type's types */
};

struct gb_pb_type {
	const char *name;
	const struct gb_pb_field *fields;         /* by their numbers */
	const struct gb_pb_type *const *types;    /* of the fields that are messages */
	uint16_t size, len;                       /* bytes of the struct; fields */
};

struct gb_pb_bytes {
	size_t len;
	uint8_t *data;
};

/* An entry of a map<string, string>: our .proto files have no other kind of map. */
struct gb_pb_entry {
	struct gb_pb_message base;
	char *key, *value;
};
extern const struct gb_pb_type gb_pb_entry__descriptor;
#define GB_PB_ENTRY__INIT { { &gb_pb_entry__descriptor }, (char *)gb_pb_empty, (char *)gb_pb_empty }

/* What a string is that nobody set: never freed, nor written to. */
extern const char gb_pb_empty[];

/* Sets a message of this type to what it is when nothing is set: numbers 0, strings gb_pb_empty, messages NULL. */
void gb_pb_init(const struct gb_pb_type *type, void *message);

#endif
