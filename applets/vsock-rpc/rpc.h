/* SPDX-License-Identifier: MIT */
/* vsock-rpc: what its files share. */
#ifndef GB_VSOCK_RPC_H
#define GB_VSOCK_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/applet.h"
#include "common/net/addr.h"
#include "common/rpc/frame.h"
#include "common/rpc/pb.h"

enum { RPC_ADDRESSES_MAX = 8, RPC_TRACE_MAX = 256 };

/* Every command's options, in front of the command or behind it. */
enum { RPC_OPT_CONNECT = GB_OPT_LONG, RPC_OPT_TRACE, RPC_OPT_TIMEOUT, RPC_OPT_JSON, RPC_OPT_OWN };
struct rpc_call {
	struct gb_addr addrs[RPC_ADDRESSES_MAX];
	int addrs_len;
	uint64_t timeout; /* milliseconds */
	bool json;
	char trace[RPC_TRACE_MAX];
	/* the reply */
	struct gb_buf buf;
	struct gb_frame frame;
	size_t frame_size;
	double seconds;
};

/* One of the common options. 0, or -GB_E_USAGE; an unknown key (negative ones too) is returned as it is. */
int rpc_option(struct rpc_call *call, int key, const char *arg, struct gb_err *err);

/* Reads a command's options: the common ones into cmd->data, its own (keys that are letters or RPC_OPT_OWN and up) by
 * own(), which may be NULL. flags as for gb_opt_start(). *ret_operands is what is left of its words, NULL-terminated. */
typedef int rpc_option_fn(void *data, int key, char *arg, struct gb_err *err);
struct rpc_scan {
	rpc_option_fn *own;
	void *data;
	int flags;
	int min, max;     /* operands, as for gb_opt_operands() */
	const char *what;
};
int rpc_options(struct gb_cmd *cmd, const struct rpc_scan *scan, char ***ret_operands, struct gb_err *err);

/* The first address that takes the connection: a non-blocking descriptor, or -errno. call gets its trace id. */
int rpc_connect(struct rpc_call *call, uint64_t deadline, struct gb_err *err);

/* One request and its reply, whatever it is: call->frame. */
int rpc_exchange(struct rpc_call *call, uint32_t type, const void *payload, size_t len, struct gb_err *err);

/* Puts the daemon's address in front of what err says, if there is one only. Returns -err->code. */
int rpc_at_peer(const struct rpc_call *call, struct gb_err *err);

/* Whether a frame answers our request. */
bool rpc_is_ours(const struct rpc_call *call, const struct gb_frame *frame);

/* Sends a message and waits for whatever comes back: call->frame. */
int rpc_ask_frame(struct rpc_call *call, uint32_t type, const ProtobufCMessage *request, struct gb_err *err);
/* Whether a reply is of the wanted type: 0, or -errno with err set (an Error frame's text too). */
int rpc_check_type(const struct gb_frame *frame, uint32_t want, struct gb_err *err);

/* The reply's message, when its type is the wanted one: 0, or -errno with err set (an Error frame's text too). */
int rpc_decode(const struct gb_frame *frame, uint32_t want, ProtobufCMessage **ret_reply, struct gb_err *err);

/* The two together, for a typed call. */
int rpc_ask(struct rpc_call *call, uint32_t type, const ProtobufCMessage *request, ProtobufCMessage **ret_reply,
	    struct gb_err *err);

/* The same where the reply has no content: the wanted type, or Empty (as other agents may). */
int rpc_ask_empty(struct rpc_call *call, uint32_t type, const ProtobufCMessage *request, struct gb_err *err);

/* The same two over a connection that is there (rpc_connect()), and stays; -1: over one of their own. */
int rpc_ask_on(struct rpc_call *call, int conn, uint32_t type, const ProtobufCMessage *request, ProtobufCMessage **ret_reply,
	       struct gb_err *err);
int rpc_ask_empty_on(struct rpc_call *call, int conn, uint32_t type, const ProtobufCMessage *request, struct gb_err *err);

/* A pause between two questions, longer each time, as the host's own client polls; *pause starts at RPC_PAUSE_MS. false:
 * there is no time left for it. */
enum { RPC_PAUSE_MS = 120 };
bool rpc_pause(uint64_t deadline, uint64_t *pause);

/* Prints text that was put together: 0, or -ENOMEM when there was no memory for all of it. */
int rpc_print_text(const struct gb_buf *text, struct gb_err *err);

/* Prints a reply as text or JSON, as call says. */
int rpc_print(const struct rpc_call *call, const ProtobufCMessage *reply, struct gb_err *err);
int rpc_print_json(const ProtobufCMessage *reply, const struct rpc_call *call, bool timed, struct gb_err *err);

/* The commands, each with its option table. */
gb_run_fn rpc_run_ping, rpc_run_info, rpc_run_trim, rpc_run_shutdown, rpc_run_mmap, rpc_run_runtime, rpc_run_k8s,
	rpc_run_timeline, rpc_run_raw;
extern const struct gb_opt rpc_common_opts[], rpc_ping_opts[], rpc_shutdown_opts[], rpc_mmap_opts[], rpc_runtime_opts[],
	rpc_k8s_opts[], rpc_timeline_opts[];

#endif
