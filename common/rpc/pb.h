/* SPDX-License-Identifier: MIT */
/* protobuf-c, our only door to it: strict decoding, and printing of any message. */
#ifndef GB_RPC_PB_H
#define GB_RPC_PB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/json.h"

#include "common/rpc/agent.pb-c.h"
#include "common/rpc/own.pb-c.h"
#include "common/rpc/sandbox.pb-c.h"

/* The most fields one payload may hold, unknown ones included: the library keeps some 80 bytes for each, so that a
 * megabyte of two-byte fields would become 40. A command with its environment is the largest: three for each variable. */
enum { GB_PB_FIELDS_MAX = 4096 };
/* Replies are read by a client that asked for them, one at a time; lists make them long. */
enum { GB_PB_REPLY_FIELDS_MAX = 65536 };

/*
 * Checks what protobuf-c's decoder does not: every string field is UTF-8 (proto3 demands it) without NUL bytes (C
 * strings would be cut there), the number of fields is bounded, and the wire types are the expected ones. 0, or -EBADMSG
 * with err set. Pure.
 */
int gb_pb_check(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct gb_err *err);

/* The same for a reply, which may have more fields. */
int gb_pb_check_reply(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct gb_err *err);

/* Field `number` of a payload that was checked, where it stands (the last of several): its value, or its length and with it
 * its bytes. false: there is none. For payloads too large to be copied. */
bool gb_pb_field(const void *data, size_t len, unsigned number, uint64_t *ret_value, const unsigned char **ret_data);

/* Checks and decodes; *ret_message is released with gb_pb_free(). 0, -EBADMSG or -ENOMEM, with err set. */
int gb_pb_decode(const ProtobufCMessageDescriptor *type, const void *data, size_t len, ProtobufCMessage **ret_message,
		 struct gb_err *err);
/* The same for a reply, which may have more fields. */
int gb_pb_decode_reply(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
		       ProtobufCMessage **ret_message, struct gb_err *err);
void gb_pb_free(ProtobufCMessage **message);
#define gb_autopb __attribute__((cleanup(gb_pb_free)))

/* Puts a copy of text into a string field of a message that was decoded, or made by its init function: 0, or -ENOMEM, and the
 * old text stays. */
int gb_pb_set(char **field, const char *text);

/* Appends the encoded message to buf: 0 or -ENOMEM. */
int gb_pb_encode(const ProtobufCMessage *message, struct gb_buf *buf);

/* The payload message of a type of frame, by wire.def; NULL when it has none. */
const ProtobufCMessageDescriptor *gb_pb_type(uint32_t wire);

/* An entry of a map<string, string>, whatever message it is of: our .proto files have no other kind of map. */
struct gb_pb_entry {
	ProtobufCMessage base;
	char *key, *value;
};

/* Appends all fields, defaults too, by their names in the .proto file: as members of the object that is open in json, or
 * as lines "name: value" with names padded to one width. */
void gb_pb_json(struct gb_json *json, const ProtobufCMessage *message);
void gb_pb_text(struct gb_buf *buf, const ProtobufCMessage *message);

/* Appends text of a peer for a terminal: UTF-8 and newlines stay, control characters are encoded. */
void gb_pb_plain(struct gb_buf *buf, const char *text);

#endif
