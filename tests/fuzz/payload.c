/* SPDX-License-Identifier: MIT */
/* Fuzz target: the payload of each message, requests and replies. Byte 0 chooses the message, the rest is its payload. */
#include "common/rpc/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/payload.h"

static const uint32_t wire[] = {
#define GB_REQUEST(id, name, number, payload, reply) number,
#define GB_REPLY(id, name, number, payload) number,
#include "common/rpc/wire.def"
#undef GB_REQUEST
#undef GB_REPLY
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	gb_pb_start();
	const ProtobufCMessageDescriptor *type = gb_pb_type(wire[data[0] % GB_ARRAY_LEN(wire)]);
	/* Memory of its own: a read past either end is seen. */
	gb_autofree uint8_t *copy = malloc(size - 1);
	if (!type || !copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	fuzz_payload(type, copy, size - 1);
	return 0;
}
