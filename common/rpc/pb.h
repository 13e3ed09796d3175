/* SPDX-License-Identifier: MIT */
/* Protobuf messages: strict decoding, encoding, and printing of any of them. */
#ifndef GB_RPC_PB_H
#define GB_RPC_PB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/json.h"

#include "common/rpc/agent.pb.h"
#include "common/rpc/own.pb.h"
#include "common/rpc/sandbox.pb.h"

/* The most fields one payload may hold, unknown ones included: a list of empty messages takes two bytes each on the wire and
 * fifty in memory. A command with its environment is the largest: three for each variable. */
enum { GB_PB_FIELDS_MAX = 4096 };
/* Replies are read by a client that asked for them, one at a time; lists make them long. */
enum { GB_PB_REPLY_FIELDS_MAX = 65536 };

/*
 * Checks that a payload is one of this type: every string field is UTF-8 (proto3 demands it) without NUL bytes (C strings
 * would be cut there), the number of fields and their depth are bounded, and the wire types are the expected ones. Fields
 * that the type does not know are skipped. 0, or -EBADMSG with err set. Pure.
 */
int gb_pb_check(const struct gb_pb_type *type, const void *data, size_t len, struct gb_err *err);

/* The same for a reply, which may have more fields. */
int gb_pb_check_reply(const struct gb_pb_type *type, const void *data, size_t len, struct gb_err *err);

/* Field `number` of a payload that was checked, where it stands (the last of several): its value, or its length and with it
 * its bytes. false: there is none. For payloads too large to be copied. */
bool gb_pb_field(const void *data, size_t len, unsigned number, uint64_t *ret_value, const unsigned char **ret_data);

/* Checks and decodes; *ret_message is released with gb_pb_free(). 0, -EBADMSG or -ENOMEM, with err set. */
int gb_pb_decode(const struct gb_pb_type *type, const void *data, size_t len, struct gb_pb_message **ret_message,
		 struct gb_err *err);
/* The same for a reply, which may have more fields. */
int gb_pb_decode_reply(const struct gb_pb_type *type, const void *data, size_t len,
		       struct gb_pb_message **ret_message, struct gb_err *err);
void gb_pb_release(void *message); /* which may be NULL */
void gb_pb_free(struct gb_pb_message **message);
#define gb_autopb __attribute__((cleanup(gb_pb_free)))

/* How many bytes it encodes to. */
size_t gb_pb_size(const struct gb_pb_message *message);
/* Appends the encoded message to buf: 0 or -ENOMEM. */
int gb_pb_encode(const struct gb_pb_message *message, struct gb_buf *buf);

/* The payload message of a type of frame, by wire.def; NULL when it has none. */
const struct gb_pb_type *gb_pb_type(uint32_t wire);

/* A field of a message: how many values it has (1 unless it is repeated), where one is, and what that is. */
size_t gb_pb_count(const struct gb_pb_message *message, const struct gb_pb_field *field);
const void *gb_pb_at(const struct gb_pb_message *message, const struct gb_pb_field *field, size_t i);
uint64_t gb_pb_number(const struct gb_pb_field *field, const void *at); /* the bits of a double; -1 is all ones */
const char *gb_pb_string(const void *at);
const struct gb_pb_message *gb_pb_inner(const void *at);

/* Appends all fields, defaults too, by their names in the .proto file: as members of the object that is open in json, or
 * as lines "name: value" with names padded to one width. */
void gb_pb_json(struct gb_json *json, const struct gb_pb_message *message);
void gb_pb_text(struct gb_buf *buf, const struct gb_pb_message *message);

/* Appends text of a peer for a terminal: UTF-8 and newlines stay, control characters are encoded. */
void gb_pb_plain(struct gb_buf *buf, const char *text);

#endif
