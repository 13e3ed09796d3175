/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: Shutdown. The reply first, then the machine. */
#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/log.h"
#include "common/power/request.h"

enum { REPLY_MS = 1000 }; /* how long a reply that is not taken may hold the power-off up */

static void go(struct rpcd *rpcd)
{
	struct gb_err err;

	if (!rpcd->shutdown_wanted)
		return;
	rpcd->shutdown_wanted = false;
	gb_loop_timer_stop(&rpcd->shutdown_timer);
	int r = gb_power_request(GB_POWER_OFF, rpcd->shutdown_ms, &err);
	if (r < 0) {
		gb_log(GB_LOG_ERR, "power-off: %s", err.msg);
		rpcd->going_down = false; /* the next request may try again */
	}
}

static void on_timer(struct gb_timer *timer)
{
	go((struct rpcd *)((char *)timer - offsetof(struct rpcd, shutdown_timer)));
}

void rpcd_shutdown(struct rpcd_call *call)
{
	const Arcbox__V1__ShutdownRequest *request = (const void *)call->request;
	Arcbox__V1__ShutdownResponse reply = ARCBOX__V1__SHUTDOWN_RESPONSE__INIT;
	struct rpcd *rpcd = call->rpcd;
	struct gb_err err;

	if (!rpcd->going_down && gb_power_allowed(GB_POWER_OFF, &err) < 0) {
		rpcd_error(call, GB_RPC_UNAVAILABLE, "%s", err.msg);
		return;
	}
	reply.accepted = 1;
	rpcd_reply(call, &reply.base);
	if (rpcd->going_down) /* the first one decides; what it started goes on */
		return;
	rpcd->going_down = true;
	/* The power-off cuts what is too long for the host's patience. */
	rpcd->shutdown_ms = request->timeout_seconds > GB_POWER_GRACE_MAX / 1000 ? GB_POWER_GRACE_MAX
										 : request->timeout_seconds * 1000;
	gb_log(GB_LOG_NOTICE, "%s: asks for the power-off, %u s of grace", call->conn->name, request->timeout_seconds);
	rpcd->shutdown_wanted = true;
	rpcd->shutdown_timer.fn = on_timer;
	gb_loop_timer(&rpcd->loop, &rpcd->shutdown_timer, REPLY_MS);
	rpcd_when_delivered(call->conn, go);
}
