/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: who watches sandboxes. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/vsock-rpcd/sandbox.h"
#include "common/base/log.h"

static void unsubscribe(struct rpcd_subscriber *sub)
{
	TAILQ_REMOVE(&sub->all->subscribers, sub, link);
	free(sub->trace);
	free(sub->id);
	free(sub->action);
	free(sub);
}

static void on_gone(struct gb_conn *conn)
{
	struct rpcd_subscriber *sub = conn->data;

	gb_log(GB_LOG_DEBUG, "%s: no longer watches sandboxes", conn->name);
	unsubscribe(sub);
}

/* Whoever could not be told everything is told that, and that it is over: silence would look like peace. */
static void on_room(struct gb_conn *conn)
{
	struct rpcd_subscriber *sub = conn->data;

	gb_conn_error(conn, sub->trace, sub->trace_len, GB_RPC_FAILED, "events were lost: they were not taken as fast as they came");
	unsubscribe(sub);
	gb_conn_resume(conn);
}

static const struct gb_conn_stream stream = { .room = on_room, .gone = on_gone };

void rpcd_box_event(struct rpcd_box *box, const char *action, const char *key, const char *value)
{
	Sandbox__V1__SandboxEvent event = SANDBOX__V1__SANDBOX_EVENT__INIT;
	Sandbox__V1__SandboxEvent__AttributesEntry entry = SANDBOX__V1__SANDBOX_EVENT__ATTRIBUTES_ENTRY__INIT;
	Sandbox__V1__SandboxEvent__AttributesEntry *entries[] = { &entry };
	struct rpcd_subscriber *sub, *next;
	struct timespec now;

	gb_log(GB_LOG_DEBUG, "sandbox \"%s\": %s%s%s", box->record->spec->id, action, value ? ": " : "", value ? value : "");
	(void)clock_gettime(CLOCK_REALTIME, &now);
	event.sandbox_id = box->record->spec->id;
	event.action = (char *)(uintptr_t)action;
	event.timestamp = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	if (key) {
		entry.key = (char *)(uintptr_t)key;
		entry.value = (char *)(uintptr_t)value;
		event.attributes = entries;
		event.n_attributes = 1;
	}
	TAILQ_FOREACH_SAFE(sub, &box->all->subscribers, link, next) {
		if ((*sub->id && strcmp(sub->id, event.sandbox_id) != 0) || (*sub->action && strcmp(sub->action, action) != 0))
			continue;
		/* Once it has missed one, it gets no more: on_room() says so. */
		if (sub->behind || !gb_conn_room(sub->conn)) {
			sub->behind = true;
			continue;
		}
		gb_conn_reply(sub->conn, GB_WIRE_SANDBOX_EVENT, sub->trace, sub->trace_len, &event.base);
		gb_conn_turn(sub->conn); /* sub may be gone after it */
	}
}

void rpcd_sandbox_events(struct rpcd_call *call)
{
	const Sandbox__V1__SandboxEventsRequest *request = (const Sandbox__V1__SandboxEventsRequest *)call->request;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_subscriber *sub;

	if (!all)
		return;
	sub = calloc(1, sizeof *sub);
	if (sub) {
		sub->trace = malloc(call->trace_len + 1);
		sub->id = strdup(request->id);
		sub->action = strdup(request->action);
	}
	if (!sub || !sub->trace || !sub->id || !sub->action) {
		if (sub) {
			free(sub->trace);
			free(sub->id);
			free(sub->action);
		}
		free(sub);
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	sub->all = all;
	sub->conn = call->conn;
	memcpy(sub->trace, call->trace, call->trace_len);
	sub->trace_len = call->trace_len;
	TAILQ_INSERT_TAIL(&all->subscribers, sub, link);
	call->conn->data = sub;
	gb_conn_stream(call->conn, &stream);
}
