/* SPDX-License-Identifier: MIT */
/* protobuf-c's descriptors, kept as rows of six bytes and made into what libprotobuf-c reads. */
#ifndef GB_RPC_TABLES_H
#define GB_RPC_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/* What is made stands in pages of its own, which are read-only from then on. */
enum { GB_PB_PAGE = 4096 };

/* A field: ProtobufCFieldDescriptor without its name, its default and its type's descriptor, which stand in their turn. */
struct gb_pb_field_row {
	uint16_t id : 8, type : 5, label : 2;
	uint16_t offset : 13, flags : 3;
	uint16_t quantifier;
};
_Static_assert(sizeof(struct gb_pb_field_row) == 6, "a row is six bytes");

struct gb_pb_type_row {
	uint16_t size, n_fields;
};

/* Of one .proto file, as tables.awk writes them. */
struct gb_pb_tables {
	const char *names; /* each with its NUL: a message's, its fields', the next message's... */
	const struct gb_pb_type_row *type_rows;
	const struct gb_pb_field_row *field_rows; /* of all messages, each's by number */
	const ProtobufCMessageDescriptor *const *inner; /* what the fields hold that are messages */
	size_t n_types;
	/* What is made: room for n_types messages, for their fields, and for their ranges of numbers; from types on, `size`
	 * bytes, which are whole pages. */
	ProtobufCMessageDescriptor *types;
	ProtobufCFieldDescriptor *fields;
	ProtobufCIntRange *ranges;
	size_t size;
};

/*
 * Makes the descriptors of each .proto file that is linked: what protoc-c wrote, without what nothing asks for (messages' names
 * in C and with their package, the order of fields by name, an initializer of its own for each: libprotobuf-c has one that
 * goes by the fields). First of all in a program that has to do with messages: libprotobuf-c aborts at a descriptor that is not
 * made. Not before main(), for it costs some 40 us of an applet's start that most have no use for. Once is enough.
 */
void gb_pb_start(void);

#endif
