/* SPDX-License-Identifier: MIT */
/* protobuf-c's descriptors from rows: 72 and 120 bytes for 6 and 4 in the file. */
#include "common/rpc/tables.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

/* The section that each file's code has a pointer in: the linker's names for its ends. */
extern const struct gb_pb_tables *const __start_gb_pb_tables[], *const __stop_gb_pb_tables[];

static const char *next_name(const char **at)
{
	const char *name = *at;

	*at += strlen(name) + 1;
	return name;
}

static void make(const struct gb_pb_tables *tables)
{
	const char *names = tables->names;
	const struct gb_pb_field_row *row = tables->field_rows;
	const ProtobufCMessageDescriptor *const *inner = tables->inner;
	ProtobufCFieldDescriptor *field = tables->fields;
	ProtobufCIntRange *range = tables->ranges;

	for (size_t i = 0; i < tables->n_types; i++) {
		ProtobufCMessageDescriptor *type = &tables->types[i];
		unsigned n = tables->type_rows[i].n_fields;

		type->magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC;
		type->short_name = next_name(&names);
		type->sizeof_message = tables->type_rows[i].size;
		if (n == 0)
			continue;
		type->n_fields = n;
		type->fields = field;
		type->field_ranges = range;
		for (unsigned k = 0; k < n; k++, field++, row++) {
			field->name = next_name(&names);
			field->id = row->id;
			field->label = row->label;
			field->type = row->type;
			field->quantifier_offset = row->quantifier;
			field->offset = row->offset;
			field->flags = row->flags;
			if (row->type == PROTOBUF_C_TYPE_MESSAGE)
				field->descriptor = *inner++;
			if (row->type == PROTOBUF_C_TYPE_STRING)
				field->default_value = &protobuf_c_empty_string;
			if (k == 0 || row->id != row[-1].id + 1) {
				*range++ = (ProtobufCIntRange){ .start_value = row->id, .orig_index = k };
				type->n_field_ranges++;
			}
		}
		*range++ = (ProtobufCIntRange){ .orig_index = n };
	}
	/* Where pages are larger than these it is refused, and a stray write is not. */
	(void)mprotect(tables->types, tables->size, PROT_READ);
}

void gb_pb_start(void)
{
	static bool started;

	if (started)
		return;
	started = true;
	for (const struct gb_pb_tables *const *t = __start_gb_pb_tables; t != __stop_gb_pb_tables; t++)
		make(*t);
}
