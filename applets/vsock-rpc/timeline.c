/* SPDX-License-Identifier: MIT */
/* vsock-rpc: timeline, the guest's boot as boot-timeline(1) shows it. */
#include <errno.h>
#include <bsd/string.h>
#include <stdio.h>

#include "applets/vsock-rpc/rpc.h"
#include "common/rpc/wire.h"
#include "common/sys/chart.h"

enum { OPT_SVG = RPC_OPT_OWN, OPT_CHROME };

const struct gb_opt rpc_timeline_opts[] = {
	GB_CHART_OPTS(OPT_SVG, OPT_CHROME),
	GB_OPT_AND(rpc_common_opts),
};

struct own {
	bool all, svg, chrome;
};

static int own_option(void *data, int key, char *arg, struct gb_err *err)
{
	struct own *own = data;

	(void)arg;
	(void)err;
	*(key == 'a' ? &own->all : key == OPT_SVG ? &own->svg : &own->chrome) = true;
	return 0;
}

static int take(struct gb_timeline *timeline, const Guestbox__V1__TimelineResponse *reply, struct gb_err *err)
{
	for (size_t i = 0; i < reply->n_steps; i++) {
		const Guestbox__V1__TimelineStep *s = reply->steps[i];
		struct gb_timeline_step step = { .begin = s->begin_nsec, .end = s->end_nsec, .failed = s->failed,
						 .pid = s->pid <= INT32_MAX ? (int)s->pid : 0 };

		(void)strlcpy(step.track, s->track, sizeof step.track);
		(void)strlcpy(step.name, s->name, sizeof step.name);
		if (!gb_timeline_is_sane(&step))
			return gb_err_set(err, EPROTO, "reply: step %zu is none", i + 1);
		int r = gb_timeline_put(timeline, &step);
		if (r < 0)
			return gb_err_sys(err, -r, "reply");
	}
	timeline->ready = reply->ready_nsec;
	return 0;
}

int rpc_run_timeline(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autotimeline struct gb_timeline timeline = { 0 };
	gb_autopb ProtobufCMessage *reply = NULL;
	gb_autobuf struct gb_buf text = { 0 };
	struct rpc_call *call = cmd->data;
	struct own own = { 0 };
	enum gb_chart how;
	char **operands;

	int r = rpc_options(cmd, &(struct rpc_scan){ .own = own_option, .data = &own }, &operands, err);
	if (r == 0)
		r = gb_chart_choose(call->json, own.svg, own.chrome, &how, err);
	if (r == 0)
		r = rpc_ask(call, GB_WIRE_TIMELINE, NULL, &reply, err);
	if (r == 0)
		r = take(&timeline, (const void *)reply, err);
	if (r < 0)
		return r;
	r = gb_chart_draw(&timeline, how, own.all, &text, err);
	return r < 0 ? r : rpc_print_text(&text, err);
}
