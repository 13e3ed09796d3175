/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the start of a command in a sandbox, by PID 1 or by the runtime. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/vsock-rpcd/sandbox-command.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/runtime.h"
#include "common/sandbox/user.h"

enum { TIMEOUT_MAX_S = 30 * 86400 };

/* Run and Exec have the same fields, as types of their own. */
struct command {
	const char *id, *dir, *user;
	char **cmd;
	size_t cmd_len;
	struct gb_sandbox_pair *env;
	size_t env_len;
	bool tty, exec;
	uint32_t width, height, timeout;
};

/* false: out of memory. env is malloc'ed. */
static bool read_request(const ProtobufCMessage *request, struct command *c)
{
	*c = (struct command){ .exec = request->descriptor == &sandbox__v1__exec_request__descriptor };
	if (c->exec) {
		const Sandbox__V1__ExecRequest *q = (const Sandbox__V1__ExecRequest *)request;
		*c = (struct command){ q->id, q->working_dir, q->user, q->cmd, q->n_cmd, NULL, q->n_env, q->tty, true,
				       q->tty_size ? q->tty_size->width : 0, q->tty_size ? q->tty_size->height : 0, q->timeout_seconds };
		c->env = calloc(q->n_env + 1, sizeof *c->env);
		for (size_t i = 0; c->env && i < q->n_env; i++)
			c->env[i] = (struct gb_sandbox_pair){ q->env[i]->key, q->env[i]->value };
	} else {
		const Sandbox__V1__RunRequest *q = (const Sandbox__V1__RunRequest *)request;
		*c = (struct command){ q->id, q->working_dir, q->user, q->cmd, q->n_cmd, NULL, q->n_env, q->tty, false, 0, 0,
				       q->timeout_seconds };
		c->env = calloc(q->n_env + 1, sizeof *c->env);
		for (size_t i = 0; c->env && i < q->n_env; i++)
			c->env[i] = (struct gb_sandbox_pair){ q->env[i]->key, q->env[i]->value };
	}
	return c->env != NULL;
}

/* What may block is done in a thread: whose files the sandbox's are, nobody knows. */
struct rpcd_launch {
	struct rpcd_task task;
	struct rpcd_command *session;
	ProtobufCMessage *request; /* copies */
	rpcd_record *record;
	uint64_t number;
	struct gb_sandbox_exec ex;
	struct gb_sandbox_first first;   /* the same as what PID 1 may start; without words: it is the runtime's to start */
	struct gb_sandbox_pair *env;
	int orders;                      /* by which PID 1 can be told of it; -1 */
};

static void launch_run(struct rpcd_task *base)
{
	struct rpcd_launch *task = (struct rpcd_launch *)base;
	struct gb_sandbox_process process = { 0 };
	struct command c;
	char path[64];

	base->result = 0;
	if (task->orders >= 0 && task->first.process.args_len) {
		task->first.process.spec = task->record->spec;
		gb_sandbox_exec_late(&base->all->place, task->record, task->orders, &task->first);
		if (task->first.taken)
			return;
	}
	base->result = -ENOMEM;
	if (!read_request(task->request, &c))
		return;
	gb_autofree struct gb_sandbox_pair *env = c.env;
	process = (struct gb_sandbox_process){
		.args = c.cmd, .args_len = c.cmd_len, .spec = task->record->spec, .env = env, .env_len = c.env_len, .dir = c.dir,
		.tty = c.tty, .width = task->session->size.ws_col, .height = task->session->size.ws_row,
	};
	(void)snprintf(path, sizeof path, "/proc/%u/root", task->record->pid);
	gb_autoclose int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = root < 0 ? gb_err_sys(&base->err, errno, "the sandbox's root") : 0;
	if (r == 0)
		r = gb_sandbox_user_at(root, *c.user ? c.user : task->record->spec->user, &process.user, &base->err);
	if (r == 0)
		r = gb_sandbox_program_check(root, &process, &base->err);
	/* Who is not in there is not what is not there: 404 is for sandboxes. */
	if (r == -ENOENT || r == -EACCES || r == -ENOTDIR)
		r = -EINVAL;
	struct gb_sandbox_place place = base->all->place;
	if (*task->record->runtime)
		gb_sandbox_set_runtime(&place, task->record->runtime);
	if (r == 0)
		r = gb_sandbox_exec_start(&place, task->record, task->number, &process, c.exec, &task->ex,
					  &base->err);
	base->result = r;
}

static void task_free(struct rpcd_launch *task)
{
	protobuf_c_message_free_unpacked(task->request, NULL);
	gb_pb_free((ProtobufCMessage **)&task->record);
	if (task->first.taken) { /* and nobody is there for its pipes */
		gb_close_fd(&task->first.exec.in);
		gb_close_fd(&task->first.exec.out);
		gb_close_fd(&task->first.exec.err);
	}
	gb_close_fd(&task->orders);
	free(task->env);
	free(task);
}

/* Its host hears why, and goes on with something else. */
static void let_go(struct rpcd_command *s, int code, const char *text)
{
	struct gb_conn *conn = s->conn;

	if (!conn)
		return;
	gb_log(GB_LOG_INFO, "%s: %s: error %d: %s", conn->name, gb_wire_name(s->exec ? GB_WIRE_SANDBOX_EXEC : GB_WIRE_SANDBOX_RUN),
	       code, text);
	gb_conn_error(conn, s->trace, s->trace_len, code, "%s", text);
	s->conn = NULL;
	s->input_end = true;
	if (s->exec)
		gb_conn_stream_end(conn);
	else
		gb_conn_resume(conn);
}

static void launch_failed(struct rpcd_command *s, int code, const char *text)
{
	struct rpcd_box *box = s->box;

	box->session = NULL;
	gb_sandbox_command_over(&box->all->place, box->record->instance);
	if (box->state == RPCD_RUNNING) {
		box->state = RPCD_READY;
		rpcd_box_save(box);
	}
	let_go(s, code, text);
	rpcd_command_free(s);
}

void rpcd_command_let_go(struct rpcd_box *box, int code, const char *text)
{
	if (box->session)
		let_go(box->session, code, text);
}

/* PID 1 has it. */
static void begin_first(struct rpcd_command *s, struct rpcd_launch *task)
{
	struct rpcd_box *box = s->box;
	struct gb_loop *loop = box->all->loop;

	s->ex = task->first.exec;
	s->ex.pid = 0;
	task->first.taken = false;
	task_free(task);
	s->launching = false;
	s->first = true;
	if (box->state == RPCD_READY) /* nobody has asked it to stop meanwhile */
		box->state = RPCD_RUNNING;
	s->out.io.fd = s->ex.out;
	s->err.io.fd = s->ex.err;
	s->in.fd = s->ex.in;
	if (gb_loop_add(loop, &s->out.io) < 0)
		rpcd_command_close(&s->out.io);
	if (gb_loop_add(loop, &s->err.io) < 0)
		rpcd_command_close(&s->err.io);
	rpcd_box_event(box, "running", NULL, NULL);
	rpcd_box_save(box);
	rpcd_command_feed(s);
	if (s->told)
		rpcd_command_told(box, &s->early);
}

static void launch_done(struct rpcd_task *base)
{
	struct rpcd_launch *task = (struct rpcd_launch *)base;
	struct rpcd_command *s = task->session;
	struct rpcd_sandboxes *all = base->all;
	struct rpcd_box *box = s->box;
	int r = base->result;

	if (r == 0 && task->first.taken) {
		begin_first(s, task);
		if (box->clean_wanted)
			rpcd_box_clean(box);
		return;
	}
	s->launching = false;
	if (r == -ENOMEM)
		(void)gb_err_sys(&base->err, ENOMEM, "command");
	if (r == 0) {
		s->ex = task->ex;
		s->out.io.fd = s->ex.out;
		s->err.io.fd = s->ex.err;
		s->in.fd = s->ex.in;
		s->console.fd = s->ex.console;
		r = gb_loop_child(all->loop, &s->child, s->ex.pid);
		if (r == 0 && s->out.io.fd >= 0)
			r = gb_loop_add(all->loop, &s->out.io);
		if (r == 0 && s->err.io.fd >= 0)
			r = gb_loop_add(all->loop, &s->err.io);
		if (r == 0 && s->console.fd >= 0)
			r = gb_loop_add(all->loop, &s->console);
		if (r < 0) {
			(void)gb_err_sys(&base->err, -r, "epoll");
			gb_loop_child_forget(&s->child);
			(void)kill(s->ex.pid, SIGKILL);
			(void)gb_sandbox_cgroup_kill(s->ex.cgroup);
			(void)gb_io_wait(s->ex.pid, NULL);
		}
	}
	if (r < 0) {
		launch_failed(s, rpcd_code(r), base->err.msg);
	} else {
		struct command c;
		if (read_request(task->request, &c)) {
			if (c.timeout)
				gb_loop_timer(all->loop, &s->timeout,
					      (uint64_t)(c.timeout < TIMEOUT_MAX_S ? c.timeout : TIMEOUT_MAX_S) * 1000);
			free(c.env);
		}
		rpcd_box_event(box, "running", NULL, NULL);
		rpcd_box_save(box);
		if (s->console.fd < 0)
			rpcd_command_feed(s); /* an end of input that has come already; and from here on more is wanted */
	}
	task_free(task);
	if (box->clean_wanted)
		rpcd_box_clean(box);
}

static int check(const struct command *c, struct gb_err *err)
{
	int r = gb_sandbox_check_command(c->cmd, c->cmd_len, c->dir, c->user, err);

	if (r < 0)
		return r;
	if (c->cmd_len == 0)
		return gb_err_set(err, EINVAL, "cmd: empty");
	for (size_t i = 0; i < c->env_len; i++) {
		if (!*c->env[i].key || strchr(c->env[i].key, '='))
			return gb_err_set(err, EINVAL, "env: \"%s\" is no name of a variable", c->env[i].key);
	}
	if (c->width > 65535 || c->height > 65535)
		return gb_err_set(err, EINVAL, "tty_size: %u x %u, where 65535 is the most", c->width, c->height);
	return 0;
}

/* A session, and the task that starts its command: NULL without memory. */
static struct rpcd_command *session_new(const struct rpcd_call *call, const struct command *c)
{
	struct rpcd_command *s = calloc(1, sizeof *s);
	struct rpcd_launch *task = calloc(1, sizeof *task);

	if (s)
		s->trace = malloc(call->trace_len + 1);
	if (task)
		task->request = rpcd_copy(call->request);
	if (!s || !s->trace || !task || !task->request) {
		if (task && task->request)
			protobuf_c_message_free_unpacked(task->request, NULL);
		if (s)
			free(s->trace);
		free(s);
		free(task);
		return NULL;
	}
	memcpy(s->trace, call->trace, call->trace_len);
	s->trace_len = call->trace_len;
	s->reply = call->reply;
	s->conn = call->conn;
	s->exec = c->exec;
	s->tty = c->tty;
	s->size = (struct winsize){ .ws_col = (unsigned short)(c->width ? c->width : GB_SANDBOX_TTY_WIDTH),
				    .ws_row = (unsigned short)(c->height ? c->height : GB_SANDBOX_TTY_HEIGHT) };
	s->waiting = task;
	task->session = s;
	task->task.run = launch_run;
	task->task.done = launch_done;
	task->orders = -1;
	return s;
}

static void launch(struct rpcd_call *call)
{
	struct command c;
	struct gb_err err;

	if (!read_request(call->request, &c)) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	gb_autofree struct gb_sandbox_pair *env = c.env;
	struct rpcd_sandboxes *all = rpcd_sandboxes_of(call);
	struct rpcd_box *box = all ? rpcd_box_named(all, call, c.id) : NULL;
	if (!box)
		return;
	if (check(&c, &err) < 0) {
		rpcd_error(call, GB_RPC_INVALID, "%s", err.msg);
		return;
	}
	/* The host need not ask until it is ready: the first command may come right behind the create. */
	bool early = box->state == RPCD_STARTING && !box->removing && !box->session;
	if (!early && (box->state != RPCD_READY || box->claimed || box->session || box->task)) {
		rpcd_wrong_state(call, box, "a command needs one that is ready");
		return;
	}
	struct rpcd_command *s = session_new(call, &c);
	if (!s) {
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	/* Claimed before anything is started. */
	s->box = box;
	s->launching = true;
	box->session = s;
	rpcd_command_attach(s);
	struct rpcd_launch *task = s->waiting;
	/* What needs a cgroup or a terminal of its own is the runtime's to start, and all but the first. */
	struct gb_sandbox_first *none = NULL;
	if ((early ? box->offer != NULL : box->orders >= 0) && !c.tty && !c.timeout && read_request(task->request, &c)) {
		task->env = c.env;
		task->first = (struct gb_sandbox_first){
			.process = { .args = c.cmd, .args_len = c.cmd_len, .env = c.env, .env_len = c.env_len, .dir = c.dir },
			.user = c.user, .input = c.exec,
		};
	}
	if (!early)
		rpcd_command_begin(box);
	else if (task->first.process.args_len)
		(void)atomic_compare_exchange_strong(box->offer, &none, &task->first);
}

void rpcd_command_begin(struct rpcd_box *box)
{
	struct rpcd_command *s = box->session;
	struct rpcd_launch *task = s ? s->waiting : NULL;

	if (!task)
		return;
	s->waiting = NULL;
	if (task->first.taken) {
		begin_first(s, task);
		return;
	}
	/* Whoever wanted it has left before it was possible; or somebody has been told that it is ready, and has stopped it. */
	if (!s->conn || box->state != RPCD_READY) {
		task_free(task);
		launch_failed(s, GB_RPC_WRONG_STATE, "the sandbox was stopped before the command");
		return;
	}
	task->number = ++box->execs;
	task->orders = box->orders; /* for the first one alone */
	box->orders = -1;
	task->record = rpcd_copy(box->record);
	box->state = RPCD_RUNNING;
	if (task->record) {
		rpcd_task_start(box->all, &task->task);
	} else {
		task->task.all = box->all;
		task->task.result = -ENOMEM;
		launch_done(&task->task);
	}
}

void rpcd_command_refuse(struct rpcd_box *box, int code, const char *text)
{
	struct rpcd_command *s = box->session;

	if (!s || !s->waiting)
		return;
	task_free(s->waiting);
	s->waiting = NULL;
	launch_failed(s, code, text);
}

void rpcd_sandbox_run(struct rpcd_call *call)
{
	launch(call);
}

void rpcd_sandbox_exec(struct rpcd_call *call)
{
	launch(call);
}
