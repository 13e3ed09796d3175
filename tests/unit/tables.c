/* SPDX-License-Identifier: MIT */
/* common/rpc/tables: what is made from rows is what protoc-c wrote, field by field. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/rpc/pb.h"
#include "common/sandbox/record.pb-c.h"

struct pair {
	const ProtobufCMessageDescriptor *raw, *made;
};
#include "tests/unit/tables.inc" /* protoc-c's own, with pairs of each and ours */

static void same_field(const ProtobufCFieldDescriptor *raw, const ProtobufCFieldDescriptor *made)
{
	assert_string_equal(made->name, raw->name);
	assert_int_equal(made->id, raw->id);
	assert_int_equal(made->label, raw->label);
	assert_int_equal(made->type, raw->type);
	assert_int_equal(made->quantifier_offset, raw->quantifier_offset);
	assert_int_equal(made->offset, raw->offset);
	assert_ptr_equal(made->descriptor, raw->descriptor);
	assert_ptr_equal(made->default_value, raw->default_value);
	assert_int_equal(made->flags, raw->flags);
	assert_int_equal(made->reserved_flags, 0);
	assert_null(made->reserved2);
	assert_null(made->reserved3);
}

static void same_message(const ProtobufCMessageDescriptor *raw, const ProtobufCMessageDescriptor *made)
{
	print_message("%s\n", raw->name);
	assert_int_equal(made->magic, raw->magic);
	assert_string_equal(made->short_name, raw->short_name);
	assert_int_equal(made->sizeof_message, raw->sizeof_message);
	assert_int_equal(made->n_fields, raw->n_fields);
	for (unsigned i = 0; i < raw->n_fields; i++)
		same_field(&raw->fields[i], &made->fields[i]);
	assert_int_equal(made->n_field_ranges, raw->n_field_ranges);
	for (unsigned i = 0; raw->n_fields && i <= raw->n_field_ranges; i++) {
		assert_int_equal(made->field_ranges[i].start_value, raw->field_ranges[i].start_value);
		assert_int_equal(made->field_ranges[i].orig_index, raw->field_ranges[i].orig_index);
	}
	/* Left out. */
	assert_null(made->name);
	assert_null(made->c_name);
	assert_null(made->package_name);
	assert_null(made->fields_sorted_by_name);
	assert_null(made->message_init);
	/* The library's own search finds what it is for, and no more. */
	for (unsigned id = 0; id < 300; id++) {
		const ProtobufCFieldDescriptor *want = protobuf_c_message_descriptor_get_field(raw, id);
		assert_ptr_equal(protobuf_c_message_descriptor_get_field(made, id),
				 want ? made->fields + (want - raw->fields) : NULL);
	}
}

static void made_as_written(void **state)
{
	(void)state;
	assert_int_equal(GB_ARRAY_LEN(pairs), GB_ARRAY_LEN(gb_pb_agent.types) + GB_ARRAY_LEN(gb_pb_own.types) +
						      GB_ARRAY_LEN(gb_pb_sandbox.types) + GB_ARRAY_LEN(gb_pb_record.types));
	for (size_t i = 0; i < GB_ARRAY_LEN(pairs); i++)
		same_message(pairs[i].raw, pairs[i].made);
}

/* The next table's neighbour is not overwritten: the last range ends the array. */
static void filled_to_the_end(void **state)
{
	(void)state;
#define LAST(of) ((of)[GB_ARRAY_LEN(of) - 1])
	assert_non_null(LAST(gb_pb_agent.fields).name);
	assert_non_null(LAST(gb_pb_own.fields).name);
	assert_non_null(LAST(gb_pb_sandbox.fields).name);
	assert_non_null(LAST(gb_pb_record.fields).name);
	assert_int_not_equal(LAST(gb_pb_agent.ranges).orig_index, 0);
	assert_int_not_equal(LAST(gb_pb_own.ranges).orig_index, 0);
	assert_int_not_equal(LAST(gb_pb_sandbox.ranges).orig_index, 0);
	assert_int_not_equal(LAST(gb_pb_record.ranges).orig_index, 0);
}

static void read_only(void **state)
{
	gb_autoclose int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	void *const made[] = { &gb_pb_agent, &gb_pb_own, &gb_pb_sandbox, &gb_pb_record };

	(void)state;
	assert_true(zero >= 0);
	if (sysconf(_SC_PAGESIZE) != GB_PB_PAGE)
		return; /* they share pages with what is written */
	for (size_t i = 0; i < GB_ARRAY_LEN(made); i++) {
		assert_int_equal(read(zero, made[i], 1), -1);
		assert_int_equal(errno, EFAULT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_as_written),
		cmocka_unit_test(filled_to_the_end),
		cmocka_unit_test(read_only),
	};

	gb_pb_start();
	return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
