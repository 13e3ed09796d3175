/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: from a frame to its handler. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/log.h"

/* A row of wire.def without a line here does not compile. NULL: no request of its own (answered as an unknown type). */
#define ON_PING rpcd_ping
#define ON_GET_SYSTEM_INFO rpcd_info
#define ON_ENSURE_RUNTIME rpcd_runtime_ensure
#define ON_RUNTIME_STATUS rpcd_runtime_status
#define ON_KUBERNETES_START rpcd_k8s_start
#define ON_KUBERNETES_STOP rpcd_k8s_stop_request
#define ON_KUBERNETES_DELETE rpcd_k8s_delete_request
#define ON_KUBERNETES_STATUS rpcd_k8s_status
#define ON_KUBERNETES_KUBECONFIG rpcd_k8s_config
#define ON_SHUTDOWN rpcd_shutdown
#define ON_MMAP_READ_FILE rpcd_mmap
#define ON_DISK_TRIM rpcd_trim
#define ON_SANDBOX_CREATE rpcd_sandbox_create
#define ON_SANDBOX_STOP rpcd_sandbox_stop
#define ON_SANDBOX_REMOVE rpcd_sandbox_remove
#define ON_SANDBOX_INSPECT rpcd_sandbox_inspect
#define ON_SANDBOX_LIST rpcd_sandbox_list
#define ON_SANDBOX_RUN rpcd_sandbox_run
#define ON_SANDBOX_EXEC rpcd_sandbox_exec
#define ON_SANDBOX_EVENTS rpcd_sandbox_events
#define ON_SANDBOX_EXEC_INPUT NULL
#define ON_SANDBOX_CHECKPOINT rpcd_sandbox_checkpoint
#define ON_SANDBOX_RESTORE rpcd_sandbox_restore
#define ON_SANDBOX_LIST_SNAPSHOTS rpcd_sandbox_list_snapshots
#define ON_SANDBOX_DELETE_SNAPSHOT rpcd_sandbox_delete_snapshot
#define ON_TIMELINE rpcd_timeline
#define ON_IMAGE_IMPORT rpcd_image_import
#define ON_IMAGE_LIST rpcd_image_list
#define ON_IMAGE_REMOVE rpcd_image_remove

static rpcd_fn *handler(uint32_t type)
{
	switch (type) {
#define GB_REQUEST(id, name, number, payload, reply) case number: return ON_##id;
#define GB_REPLY(id, name, number, payload)
#include "common/rpc/wire.def"
#undef GB_REQUEST
#undef GB_REPLY
	default: return NULL;
	}
}

void rpcd_reply(const struct rpcd_call *call, const ProtobufCMessage *message)
{
	gb_conn_reply(call->conn, call->reply, call->trace, call->trace_len, message);
}

void rpcd_error(const struct rpcd_call *call, int code, const char *fmt, ...)
{
	char text[1200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	gb_log(GB_LOG_INFO, "%s: %s: error %d: %s", call->conn->name, gb_wire_name(call->type), code, text);
	gb_conn_error(call->conn, call->trace, call->trace_len, code, "%s", text);
}

void rpcd_unavailable(struct rpcd_call *call)
{
	rpcd_error(call, GB_RPC_UNAVAILABLE, "%s: this daemon does not do it", gb_wire_name(call->type));
}

static const char *complaint(const struct gb_frame *frame)
{
	return gb_wire_is_sandbox(frame->type) ? "decode error" : "invalid request";
}

int rpcd_check(const struct gb_frame *frame, struct gb_err *err)
{
	const char *name = gb_wire_name(frame->type);
	const ProtobufCMessageDescriptor *type = gb_pb_type(frame->type);

	if (!handler(frame->type))
		return gb_err_set(err, EBADMSG,
				  name ? "invalid request: 0x%04x (%s) is not a request" : "invalid request: type 0x%04x is unknown",
				  frame->type, name);
	if (type && gb_pb_check(type, frame->payload, frame->payload_len, err) < 0) {
		(void)gb_err_wrap(err, "%s", complaint(frame));
		return -EBADMSG;
	}
	return 0;
}

void rpcd_dispatch(struct gb_conn *conn, const struct gb_frame *frame)
{
	rpcd_fn *run = handler(frame->type);
	gb_autopb ProtobufCMessage *request = NULL;
	struct gb_err err;

	if (frame->type == GB_WIRE_ERROR) {
		/* The front's own answer to something, which comes back in its turn behind the replies that are under way. */
		int32_t code;
		const char *text;
		size_t len;
		if (gb_frame_error_parse(frame, &code, &text, &len) == 0) /* without content it is for a stream alone */
			gb_conn_error(conn, frame->trace, frame->trace_len, code, "%.*s", (int)len, text);
		return;
	}
	if (run && !gb_policy_allows(&rpcd_of(conn)->policy, frame->type)) {
		char verb[GB_POLICY_VERB];
		gb_log(GB_LOG_NOTICE, "%s: %s is denied", conn->name, gb_policy_verb(frame->type, verb));
		gb_conn_error(conn, frame->trace, frame->trace_len, GB_RPC_FORBIDDEN, "%s is denied by %s", verb,
			      rpcd_of(conn)->policy_file);
		return;
	}
	const ProtobufCMessageDescriptor *type = gb_pb_type(frame->type);
	int r = run ? 0 : rpcd_check(frame, &err);
	if (run && type && gb_pb_decode(type, frame->payload, frame->payload_len, &request, &err) < 0)
		r = gb_err_wrap(&err, "%s", complaint(frame));
	if (r < 0) {
		gb_conn_error(conn, frame->trace, frame->trace_len, GB_RPC_INVALID, "%s", err.msg);
		return;
	}
	struct rpcd_call call = {
		.rpcd = rpcd_of(conn), .conn = conn, .type = frame->type, .reply = gb_wire_reply(frame->type),
		.trace = frame->trace, .trace_len = frame->trace_len, .request = request,
	};
	run(&call);
}
