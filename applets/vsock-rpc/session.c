/* SPDX-License-Identifier: MIT */
/* vsock-rpc sandbox run, exec and events: the requests whose answer is a stream. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpc/sandbox.h"
#include "applets/vsock-rpc/stream.h"
#include "common/base/cleanup.h"
#include "common/base/date.h"
#include "common/base/json.h"
#include "common/base/mono.h"
#include "common/rpc/client.h"
#include "common/rpc/wire.h"

/* With --json all output is kept until the end. */
enum { KEPT_MAX = 16 << 20 };

struct session {
	uint32_t want; /* the type of its frames */
	const char *id; /* for its JSON; NULL: whoever asked knows it */
	bool json;
	struct gb_buf kept[2];
	int32_t exit_code;
};

/* RunOutput and ExecOutput have one layout. */
_Static_assert(sizeof(Sandbox__V1__RunOutput) == sizeof(Sandbox__V1__ExecOutput) &&
	       offsetof(Sandbox__V1__RunOutput, stream) == offsetof(Sandbox__V1__ExecOutput, stream) &&
	       offsetof(Sandbox__V1__RunOutput, data) == offsetof(Sandbox__V1__ExecOutput, data) &&
	       offsetof(Sandbox__V1__RunOutput, exit_code) == offsetof(Sandbox__V1__ExecOutput, exit_code) &&
	       offsetof(Sandbox__V1__RunOutput, done) == offsetof(Sandbox__V1__ExecOutput, done), "one layout");

static int output(struct rpc_stream *stream, const Sandbox__V1__ExecOutput *out, struct gb_err *err)
{
	struct session *session = stream->data;
	int i = strcmp(out->stream, "stderr") == 0;

	if (!i && strcmp(out->stream, "stdout") != 0 && strcmp(out->stream, "exit") != 0)
		return gb_err_set(err, EPROTO, "output of a stream \"%s\"", out->stream);
	if (!out->data.len)
		return 0;
	if (!session->json)
		return rpc_stream_put(stream, i, out->data.data, out->data.len) < 0 ? gb_err_sys(err, ENOMEM, "output") : 0;
	if (session->kept[i].len + out->data.len > KEPT_MAX)
		return gb_err_set(err, EFBIG, "more output than --json keeps (%d MiB)", KEPT_MAX >> 20);
	return gb_buf_add(&session->kept[i], out->data.data, out->data.len) < 0 ? gb_err_sys(err, ENOMEM, "output") : 0;
}

static int on_output(struct rpc_stream *stream, const struct gb_frame *frame, struct gb_err *err)
{
	struct session *session = stream->data;
	gb_autopb ProtobufCMessage *message = NULL;

	int r = rpc_decode(frame, session->want, &message, err);
	if (r < 0)
		return r;
	const Sandbox__V1__ExecOutput *out = (const void *)message;
	r = output(stream, out, err);
	if (r == 0 && out->done) {
		session->exit_code = out->exit_code;
		r = 1;
	}
	return r;
}

/* The remote exit status as our own; what no process can exit with is no success either. */
static int status_of(int32_t code)
{
	return code >= 0 && code <= 255 ? code : 255;
}

static int print_session(struct session *session, struct gb_err *err)
{
	struct gb_json json = { 0 };

	gb_json_open(&json, NULL, '{');
	if (session->id)
		gb_json_str(&json, "id", session->id);
	gb_json_mem(&json, "stdout", gb_buf_text(&session->kept[0]), session->kept[0].len);
	gb_json_mem(&json, "stderr", gb_buf_text(&session->kept[1]), session->kept[1].len);
	gb_json_int(&json, "exit_code", session->exit_code);
	gb_json_close(&json, '}');
	return gb_json_print(&json, err);
}

static int converse(struct rpc_stream *stream, uint32_t type, const ProtobufCMessage *request, const char *id, struct gb_err *err)
{
	struct session session = { .want = gb_wire_reply(type), .id = id, .json = stream->call->json };

	stream->frame = on_output;
	stream->data = &session;
	stream->out[0].fd = STDOUT_FILENO;
	stream->out[1].fd = STDERR_FILENO;
	int r = rpc_stream(stream, type, request, err);
	rpc_tty_restore();
	if (r > 0)
		r = session.json ? print_session(&session, err) : 0;
	gb_buf_free(&session.kept[0]);
	gb_buf_free(&session.kept[1]);
	return r < 0 ? r : status_of(session.exit_code);
}

static size_t count(char *const *words)
{
	size_t n = 0;

	while (words[n])
		n++;
	return n;
}

/* Run and Exec have the same fields, as types of their own. */
#define TAKE_COMMAND(request, args, operands) do { \
	(request).id = (operands)[0]; \
	(request).cmd = (operands) + 1; \
	(request).n_cmd = count((operands) + 1); \
	if ((args)->workdir) \
		(request).working_dir = (args)->workdir; \
	if ((args)->user) \
		(request).user = (args)->user; \
	(request).tty = (args)->tty; \
	(request).timeout_seconds = (args)->limit; \
} while (0)

int sandbox_run_run(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__RunRequest request = SANDBOX__V1__RUN_REQUEST__INIT;
	gb_autofree struct sandbox_args *args = NULL;
	gb_autofree void *env = NULL;
	char **operands;

	int r = sandbox_args(cmd, GB_OPT_STOP, 2, -1, "id and command", &args, &operands, err);
	if (r == 0)
		r = sandbox_map(&request.base, "env", &args->env, &env, err);
	if (r < 0)
		return r;
	TAKE_COMMAND(request, args, operands);
	struct rpc_stream stream = { .call = args->call, .input = -1 };
	return converse(&stream, GB_WIRE_SANDBOX_RUN, &request.base, NULL, err);
}

/* Create and Run, one behind the other over one connection: the daemon runs the command as soon as it can. */
static int launch(struct sandbox_create *c, char **operands, struct gb_err *err)
{
	Sandbox__V1__RunRequest request = SANDBOX__V1__RUN_REQUEST__INIT;
	struct rpc_call *call = c->args->call;
	gb_autopb ProtobufCMessage *message = NULL;

	gb_autoclose int conn = rpc_connect(call, gb_mono_ms() + call->timeout, err);
	int r = conn < 0 ? conn : rpc_ask_on(call, conn, GB_WIRE_SANDBOX_CREATE, &c->request.base, &message, err);
	if (r < 0)
		return r;
	/* Only now: had there been one of this id already, it would run in that. */
	request.id = ((Sandbox__V1__CreateSandboxResponse *)(void *)message)->id;
	request.cmd = operands;
	request.n_cmd = count(operands);
	request.timeout_seconds = c->args->limit;
	struct rpc_stream stream = { .call = call, .conn = conn, .input = -1 };
	int status = converse(&stream, GB_WIRE_SANDBOX_RUN, &request.base, request.id, err);
	if (c->args->remove) {
		Sandbox__V1__RemoveSandboxRequest rm = SANDBOX__V1__REMOVE_SANDBOX_REQUEST__INIT;
		struct gb_err why;
		rm.id = request.id;
		rm.force = true;
		/* After an error it is not sure that there is still a connection. */
		r = rpc_ask_empty_on(call, status < 0 ? -1 : conn, GB_WIRE_SANDBOX_REMOVE, &rm.base, &why);
		if (r < 0 && status >= 0) {
			*err = why;
			return r;
		}
	}
	return status;
}

int sandbox_run_launch(struct gb_cmd *cmd, struct gb_err *err)
{
	struct sandbox_create c = { 0 };
	char **operands;

	int r = sandbox_create_args(cmd, 1, "command", &c, &operands, err);
	if (r == 0)
		r = launch(&c, operands, err);
	sandbox_create_free(&c);
	return r;
}

/* The size of our terminal: of whichever descriptor is one. */
static bool tty_size(Sandbox__V1__TerminalSize *size)
{
	static const int fds[] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };
	struct winsize ws;

	for (size_t i = 0; i < GB_ARRAY_LEN(fds); i++) {
		if (ioctl(fds[i], TIOCGWINSZ, &ws) == 0 && ws.ws_col && ws.ws_row) {
			size->width = ws.ws_col;
			size->height = ws.ws_row;
			return true;
		}
	}
	return false;
}

int sandbox_run_exec(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__ExecRequest request = SANDBOX__V1__EXEC_REQUEST__INIT;
	Sandbox__V1__TerminalSize size = SANDBOX__V1__TERMINAL_SIZE__INIT;
	gb_autofree struct sandbox_args *args = NULL;
	gb_autofree void *env = NULL;
	char **operands;

	int r = sandbox_args(cmd, GB_OPT_STOP, 2, -1, "id and command", &args, &operands, err);
	if (r == 0 && args->tty && args->call->json)
		r = gb_err_set(err, GB_E_USAGE, "--json and --tty: only one of them");
	if (r == 0)
		r = sandbox_map(&request.base, "env", &args->env, &env, err);
	if (r < 0)
		return r;
	TAKE_COMMAND(request, args, operands);
	if (args->tty && tty_size(&size))
		request.tty_size = &size;
	struct rpc_stream stream = {
		.call = args->call, .input = args->no_stdin ? -1 : STDIN_FILENO, .input_type = GB_WIRE_SANDBOX_EXEC_INPUT,
		.input_name = "standard input", .input_end = true,
	};
	if (args->tty && !args->no_stdin && isatty(STDIN_FILENO)) {
		r = rpc_tty_raw(STDIN_FILENO);
		if (r < 0)
			return gb_err_sys(err, -r, "terminal");
	}
	return converse(&stream, GB_WIRE_SANDBOX_EXEC, &request.base, NULL, err);
}

/* ---- events ---- */

struct watch {
	bool json;
	uint32_t seen, count;
};

static void event_text(struct gb_buf *text, const Sandbox__V1__SandboxEvent *event)
{
	char stamp[GB_DATE_SIZE] = "-";

	if (event->timestamp >= 0)
		(void)gb_date_text(stamp, event->timestamp / 1000000000);
	(void)gb_buf_fmt(text, "%s.%09dZ ", stamp, event->timestamp >= 0 ? (int)(event->timestamp % 1000000000) : 0);
	sandbox_put(text, event->sandbox_id);
	(void)gb_buf_str(text, " ");
	sandbox_put(text, event->action);
	for (size_t i = 0; i < event->n_attributes; i++) {
		(void)gb_buf_str(text, " ");
		sandbox_put(text, event->attributes[i]->key);
		(void)gb_buf_str(text, "=");
		sandbox_put(text, event->attributes[i]->value);
	}
	(void)gb_buf_str(text, "\n");
}

static int on_event(struct rpc_stream *stream, const struct gb_frame *frame, struct gb_err *err)
{
	struct watch *watch = stream->data;
	gb_autopb ProtobufCMessage *message = NULL;
	gb_autobuf struct gb_buf text = { 0 };

	int r = rpc_decode(frame, GB_WIRE_SANDBOX_EVENT, &message, err);
	if (r < 0)
		return r;
	if (watch->json) {
		struct gb_json json = { 0 };
		gb_json_open(&json, NULL, '{');
		gb_pb_json(&json, message);
		gb_json_close(&json, '}');
		(void)gb_buf_add(&text, gb_buf_text(&json.buf), json.buf.len);
		(void)gb_buf_str(&text, "\n");
		text.failed |= json.buf.failed;
		gb_buf_free(&json.buf);
	} else {
		event_text(&text, (const void *)message);
	}
	if (text.failed || rpc_stream_put(stream, 0, text.data, text.len) < 0)
		return gb_err_sys(err, ENOMEM, "event");
	return ++watch->seen == watch->count;
}

int sandbox_run_events(struct gb_cmd *cmd, struct gb_err *err)
{
	Sandbox__V1__SandboxEventsRequest request = SANDBOX__V1__SANDBOX_EVENTS_REQUEST__INIT;
	gb_autofree struct sandbox_args *args = NULL;
	char **operands;

	int r = sandbox_args(cmd, 0, 0, 1, NULL, &args, &operands, err);
	if (r < 0)
		return r;
	if (operands[0])
		request.id = operands[0];
	if (args->action)
		request.action = args->action;
	struct watch watch = { .json = args->call->json, .count = args->count };
	struct rpc_stream stream = {
		.call = args->call, .input = -1, .out = { { .fd = STDOUT_FILENO }, { .fd = STDERR_FILENO } },
		.frame = on_event, .data = &watch,
	};
	r = rpc_stream(&stream, GB_WIRE_SANDBOX_EVENTS, &request.base, err);
	return r < 0 ? r : 0;
}
