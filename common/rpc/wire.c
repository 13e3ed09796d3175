/* SPDX-License-Identifier: MIT */
/* Message types. */
#include "common/rpc/wire.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

enum payload_kind { KIND_MESSAGE, KIND_NONE, KIND_RAW, KIND_SANDBOX };

struct row {
	uint32_t number, reply;
	bool request;
	enum payload_kind kind;
	const char *name;
};

#define MESSAGE(name) KIND_MESSAGE
#define OWN(name) KIND_MESSAGE
#define NONE KIND_NONE
#define RAW KIND_RAW
#define SANDBOX(name) KIND_SANDBOX
static const struct row rows[] = {
#define GB_REQUEST(id, text, nr, payload, answer) { (nr), (answer), true, payload, (text) },
#define GB_REPLY(id, text, nr, payload) { (nr), 0, false, payload, (text) },
#include "common/rpc/wire.def"
#undef GB_REQUEST
#undef GB_REPLY
};

static const struct row *find(uint32_t type)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		if (rows[i].number == type)
			return &rows[i];
	}
	return NULL;
}

const char *gb_wire_name(uint32_t type)
{
	const struct row *row = find(type);

	return row ? row->name : NULL;
}

bool gb_wire_is_request(uint32_t type)
{
	const struct row *row = find(type);

	return row && row->request && row->kind != KIND_RAW;
}

bool gb_wire_is_sandbox(uint32_t type)
{
	const struct row *row = find(type);

	return row && row->request && row->kind == KIND_SANDBOX;
}

uint32_t gb_wire_reply(uint32_t request)
{
	const struct row *row = find(request);

	return row && row->request ? row->reply : 0;
}

bool gb_wire_parse(const char *text, uint32_t *ret_type)
{
	char *end;

	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].name, text) == 0) {
			*ret_type = rows[i].number;
			return true;
		}
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long n = strtoul(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	if (errno || *end || n > UINT32_MAX)
		return false;
	*ret_type = (uint32_t)n;
	return true;
}
