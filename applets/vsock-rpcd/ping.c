/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: Ping, the sign of life that also sets the guest's clock. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/sys/clock.h"

enum { PROTOCOL_VERSION = 1 }; /* the first that has a number: what 0.4.10 speaks */

int rpcd_clock_floor(char *why, size_t size)
{
	struct timespec now, floor = { .tv_sec = GB_CLOCK_FLOOR };

#ifdef GB_BUILD_EPOCH
	if (GB_BUILD_EPOCH > GB_CLOCK_FLOOR && GB_BUILD_EPOCH < GB_CLOCK_CEILING)
		floor.tv_sec = GB_BUILD_EPOCH;
#endif
	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec >= floor.tv_sec)
		return 0;
	if (clock_settime(CLOCK_REALTIME, &floor) < 0) {
		int code = errno;
		(void)snprintf(why, size, "clock: it stands at %" PRId64 " and cannot be set: %s", (int64_t)now.tv_sec,
			       strerror(code));
		return -code;
	}
	gb_log(GB_LOG_NOTICE, "the clock stood at %" PRId64 ": set to %" PRId64 " until somebody knows better",
	       (int64_t)now.tv_sec, (int64_t)floor.tv_sec);
	return 0;
}

/* The host sends whole seconds, cut: up to a second, and the time on the way, may have passed since. Only a clock that
 * is off by more is stepped, so that polling never moves a good one to and fro. */
enum rpcd_clock rpcd_clock_judge(int64_t now, int64_t wanted)
{
	if (wanted < GB_CLOCK_FLOOR || wanted > GB_CLOCK_CEILING)
		return RPCD_CLOCK_REFUSE;
	return now >= wanted - 1 && now <= wanted + 1 ? RPCD_CLOCK_KEEP : RPCD_CLOCK_STEP;
}

static void set_clock(const struct rpcd_call *call, int64_t wanted)
{
	struct timespec now, ts = { .tv_sec = (time_t)wanted };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	switch (rpcd_clock_judge(now.tv_sec, wanted)) {
	case RPCD_CLOCK_KEEP:
		return;
	case RPCD_CLOCK_REFUSE:
		gb_log(GB_LOG_WARNING, "%s: the clock is not set to %" PRId64 ": not between 2020 and 2100", call->conn->name, wanted);
		return;
	case RPCD_CLOCK_STEP:
		if (clock_settime(CLOCK_REALTIME, &ts) < 0)
			gb_log(GB_LOG_WARNING, "%s: clock_settime: %s", call->conn->name, strerror(errno));
		else
			gb_log(GB_LOG_NOTICE, "%s: clock set from %" PRId64 " to %" PRId64, call->conn->name,
			       (int64_t)now.tv_sec, wanted);
	}
}

bool rpcd_ping_steps(const ProtobufCMessage *message)
{
	const Arcbox__V1__AgentPingRequest *request = (const void *)message;
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return request->timestamp_secs > 0 && rpcd_clock_judge(now.tv_sec, request->timestamp_secs) == RPCD_CLOCK_STEP;
}

void rpcd_ping(struct rpcd_call *call)
{
	const Arcbox__V1__AgentPingRequest *request = (const void *)call->request;
	Arcbox__V1__AgentPingResponse reply = ARCBOX__V1__AGENT_PING_RESPONSE__INIT;
	char small[256], version[] = PACKAGE_VERSION;
	gb_autofree char *large = NULL;
	size_t len = strlen(request->message);

	if (request->timestamp_secs > 0)
		set_clock(call, request->timestamp_secs);
	reply.version = version;
	reply.protocol_version = PROTOCOL_VERSION;
	if (len + 7 <= sizeof small) {
		(void)snprintf(small, sizeof small, "pong%s%s", len ? ": " : "", request->message);
		reply.message = small;
	} else if (asprintf(&large, "pong: %s", request->message) < 0) {
		large = NULL;
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	} else {
		reply.message = large;
	}
	rpcd_reply(call, &reply.base);
}
