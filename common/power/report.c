/* SPDX-License-Identifier: MIT */
/* What a power-off did. */
#include "common/power/report.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/list.h"

void gb_power_report_free(struct gb_power_report *report)
{
	free(report->events);
	free(report->fs);
	*report = (struct gb_power_report){ 0 };
}

struct gb_power_event *gb_power_report_event(struct gb_power_report *report, enum gb_power_kind kind,
					     const char *object)
{
	static struct gb_power_event spare;
	struct gb_power_event *event = &spare;

	if (gb_list_room(&report->events, report->events_count, &report->events_size, sizeof *event) == 0)
		event = &report->events[report->events_count++];
	*event = (struct gb_power_event){ .kind = kind };
	(void)strlcpy(event->object, object, sizeof event->object);
	return event;
}

void gb_power_report_line(const struct gb_power_event *event, char *text, size_t size)
{
	unsigned shown = event->delayers < GB_POWER_DELAYERS ? event->delayers : GB_POWER_DELAYERS;
	int n = snprintf(text, size, "%s%s%s: %s%s%.1f ms", gb_power_kind_name(event->kind), event->object[0] ? " " : "",
			 event->object,
			 !event->result		     ? ""
			 : event->result == -ETIMEDOUT ? "not ended"
						     : strerror(-event->result),
			 event->result ? ", " : "", (double)event->usec / 1000);

	for (unsigned i = 0; i < shown && n > 0 && (size_t)n < size; i++)
		n += snprintf(text + n, size - (size_t)n, "%s%d (%s)%s", i ? ", " : ", waited for ",
			      (int)event->who[i].pid, event->who[i].command,
			      event->who[i].ended	      ? ""
			      : event->kind == GB_POWER_KILL ? ", which cannot be killed"
							     : " to the end");
	if (event->delayers > shown && n > 0 && (size_t)n < size)
		(void)snprintf(text + n, size - (size_t)n, " and %u more", event->delayers - shown);
}

static const char *state_name(enum gb_power_fs_state state)
{
	static const char *const names[] = { "unmounted", "read-only", "in use", "stuck" };

	return names[state];
}

bool gb_power_fs_is_clean(const struct gb_power_fs *fs)
{
	return fs->state == GB_POWER_FS_UNMOUNTED || fs->state == GB_POWER_FS_READONLY;
}

void gb_power_report_fs_line(const struct gb_power_fs *fs, char *text, size_t size)
{
	(void)snprintf(text, size, "%s (%s on %s): %s%s", fs->source, fs->type, fs->target,
		       gb_power_fs_is_clean(fs) ? "clean, " : "NOT CLEAN: ", state_name(fs->state));
}

static void head(struct gb_json *json, enum gb_power_action action, const struct gb_power_times *times)
{
	gb_json_open(json, NULL, '{');
	gb_json_str(json, "action", gb_power_action_name(action));
	gb_json_uint(json, "deadline_ms", times->deadline);
	gb_json_open(json, "steps", '[');
}

void gb_power_report_json(const struct gb_power_report *report, struct gb_json *json)
{
	head(json, report->action, &report->times);
	for (size_t i = 0; i < report->events_count; i++) {
		const struct gb_power_event *e = &report->events[i];

		gb_json_open(json, NULL, '{');
		gb_json_str(json, "step", gb_power_kind_name(e->kind));
		gb_json_str(json, "object", e->object);
		gb_json_bool(json, "done", e->result == 0);
		gb_json_uint(json, "usec", e->usec);
		gb_json_str(json, "error", !e->result ? NULL : e->result == -ETIMEDOUT ? "not ended" : strerror(-e->result));
		gb_json_open(json, "delayed_by", '[');
		for (unsigned k = 0; k < e->delayers && k < GB_POWER_DELAYERS; k++) {
			gb_json_open(json, NULL, '{');
			gb_json_int(json, "pid", e->who[k].pid);
			gb_json_str(json, "command", e->who[k].command);
			gb_json_bool(json, "ended", e->who[k].ended);
			gb_json_close(json, '}');
		}
		gb_json_close(json, ']');
		gb_json_close(json, '}');
	}
	gb_json_close(json, ']');
	gb_json_open(json, "filesystems", '[');
	for (size_t i = 0; i < report->fs_count; i++) {
		gb_json_open(json, NULL, '{');
		gb_json_str(json, "source", report->fs[i].source);
		gb_json_str(json, "type", report->fs[i].type);
		gb_json_str(json, "target", report->fs[i].target);
		gb_json_str(json, "state", state_name(report->fs[i].state));
		gb_json_bool(json, "clean", gb_power_fs_is_clean(&report->fs[i]));
		gb_json_close(json, '}');
	}
	gb_json_close(json, ']');
	gb_json_str(json, "result", report->late ? "late" : report->clean ? "clean" : "not clean");
	gb_json_uint(json, "usec", report->usec);
	gb_json_close(json, '}');
}

void gb_power_plan_json(const struct gb_power_plan *plan, enum gb_power_action action,
			const struct gb_power_times *times, struct gb_json *json)
{
	head(json, action, times);
	for (size_t i = 0; i < plan->count; i++) {
		gb_json_open(json, NULL, '{');
		gb_json_str(json, "step", gb_power_kind_name(plan->steps[i].kind));
		gb_json_str(json, "object", plan->steps[i].object);
		gb_json_uint(json, "until_ms", plan->steps[i].until);
		gb_json_bool(json, "done", false);
		gb_json_uint(json, "usec", 0);
		gb_json_close(json, '}');
	}
	gb_json_close(json, ']');
	gb_json_open(json, "filesystems", '[');
	gb_json_close(json, ']');
	gb_json_str(json, "result", "planned");
	gb_json_uint(json, "usec", 0);
	gb_json_close(json, '}');
}
