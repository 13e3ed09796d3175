/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: commands in sandboxes. Output is read only as far as the host takes it, input only as far as the command
 * does: whoever is slow makes the other side wait, and little is kept here. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "applets/vsock-rpcd/sandbox.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/runtime.h"
#include "common/sandbox/user.h"

enum {
	DRAIN_MS = 200,     /* after its end: for output of those it leaves behind */
	KILL_AGAIN_MS = 50, /* a command that was not in its cgroup yet */
	LOG_MAX = 16384,
	TIMEOUT_MAX_S = 30 * 86400,
};

struct rpcd_command {
	struct rpcd_box *box;
	struct gb_conn *conn; /* NULL: the host is gone */
	unsigned char *trace;
	size_t trace_len;
	uint32_t reply;
	bool exec; /* may have input; its connection is not used again */
	struct gb_sandbox_exec ex;
	struct gb_child child;
	bool launching, exited, spoke, timed_out;
	struct launch_task *waiting; /* its start, while the sandbox starts */
	bool first; /* PID 1 has started it, and tells its end */
	int lost;   /* an errno: it could not be started */
	int code;
	struct stream {
		struct rpcd_command *session;
		const char *name;
		struct gb_io io; /* fd -1: at its end */
		bool starved;    /* it waits for the host */
	} out, err;
	struct gb_io in, console;
	bool accepted; /* console is the runtime's connection, not the listening socket */
	struct gb_buf input;
	size_t input_at;
	bool input_end; /* nothing more comes */
	bool tty;
	struct winsize size;
	struct gb_timer timeout, drain;
};

static struct rpcd_command *of_child(struct gb_child *child)
{
	return (struct rpcd_command *)((char *)child - offsetof(struct rpcd_command, child));
}

static void close_io(struct gb_io *io)
{
	gb_loop_del(io);
	gb_close_fd(&io->fd);
	io->fd = -1;
}

static void session_free(struct rpcd_command *s)
{
	gb_loop_timer_stop(&s->timeout);
	gb_loop_timer_stop(&s->drain);
	close_io(&s->out.io);
	close_io(&s->err.io);
	close_io(&s->in);
	close_io(&s->console);
	if (s->ex.console_path[0])
		(void)unlink(s->ex.console_path);
	gb_close_fd(&s->ex.log);
	gb_buf_free(&s->input);
	free(s->trace);
	free(s);
}

static void send_output(struct rpcd_command *s, const char *name, const void *data, size_t len, bool done)
{
	Sandbox__V1__ExecOutput message = SANDBOX__V1__EXEC_OUTPUT__INIT;
	Sandbox__V1__RunOutput run = SANDBOX__V1__RUN_OUTPUT__INIT;

	if (!s->conn)
		return;
	message.stream = (char *)(uintptr_t)name;
	message.data = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)data };
	message.exit_code = done ? s->code : 0;
	message.done = done;
	if (s->exec) {
		gb_conn_reply(s->conn, s->reply, s->trace, s->trace_len, &message.base);
		return;
	}
	run.stream = message.stream;
	run.data = message.data;
	run.exit_code = message.exit_code;
	run.done = done;
	gb_conn_reply(s->conn, s->reply, s->trace, s->trace_len, &run.base);
}

/* What the runtime had to say for itself: "" when nothing. */
static void own_words(struct rpcd_command *s, char *text, size_t size)
{
	gb_autobuf struct gb_buf log = { 0 };
	char chunk[4096];

	text[0] = '\0';
	while (log.len < LOG_MAX) {
		ssize_t n = read(s->ex.log, chunk, sizeof chunk);
		if (n <= 0 || gb_buf_add(&log, chunk, (size_t)n) < 0)
			break;
	}
	gb_sandbox_log_reason(gb_buf_text(&log), text, size);
}

static void end(struct rpcd_command *s)
{
	struct gb_conn *conn = s->conn;
	struct rpcd_box *box = s->box;
	char words[640], path[200];

	own_words(s, words, sizeof words);
	if (conn && s->lost) {
		bool missing = s->lost == ENOENT || s->lost == ENOTDIR || s->lost == EACCES || s->lost == ENOEXEC;
		gb_conn_error(conn, s->trace, s->trace_len, missing ? GB_RPC_INVALID : GB_RPC_FAILED, "command: %s", strerror(s->lost));
	} else if (conn && s->code && words[0] && !s->spoke && !s->timed_out) {
		bool missing = strstr(words, "not found") || strstr(words, "No such file");
		gb_log(GB_LOG_INFO, "sandbox \"%s\": %s", box->record->spec->id, words);
		gb_conn_error(conn, s->trace, s->trace_len, missing ? GB_RPC_INVALID : GB_RPC_FAILED, "command: %s", words);
	} else {
		send_output(s, "exit", NULL, 0, true);
	}
	/* Empty, it goes; what the command has left running stays in it until the sandbox ends. */
	(void)snprintf(path, sizeof path, "/sys/fs/cgroup/%s", s->ex.cgroup);
	if (s->ex.cgroup[0])
		(void)rmdir(path);
	bool exec = s->exec;
	rpcd_box_idle(box, s->code);
	s->conn = NULL;
	session_free(s);
	if (conn && exec)
		gb_conn_stream_end(conn);
	else if (conn)
		gb_conn_resume(conn);
}

static void maybe_end(struct rpcd_command *s)
{
	if (s->exited && s->out.io.fd < 0 && s->err.io.fd < 0)
		end(s);
}

/* ---- output ---- */

static void on_output(struct gb_io *io, uint32_t events)
{
	struct stream *stream = (struct stream *)((char *)io - offsetof(struct stream, io));
	struct rpcd_command *s = stream->session;
	struct rpcd_sandboxes *all = s->box->all;

	(void)events;
	if (s->conn && !gb_conn_room(s->conn)) {
		stream->starved = true;
		gb_loop_del(io);
		return;
	}
	ssize_t n = read(io->fd, all->scratch, sizeof all->scratch);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* EIO: the last process on a terminal has closed it */
		close_io(io);
		maybe_end(s);
		return;
	}
	s->spoke = true;
	send_output(s, stream->name, all->scratch, (size_t)n, false);
	if (s->conn)
		gb_conn_kick(s->conn); /* the host may turn out to be gone; s stays */
}

static void go_on(struct rpcd_command *s, struct stream *stream)
{
	if (!stream->starved)
		return;
	stream->starved = false;
	if (stream->io.fd >= 0 && gb_loop_add(s->box->all->loop, &stream->io) < 0)
		close_io(&stream->io);
}

static void on_room(struct gb_conn *conn)
{
	struct rpcd_command *s = conn->data;

	go_on(s, &s->out);
	go_on(s, &s->err);
}

static void on_drain(struct gb_timer *timer)
{
	struct rpcd_command *s = (struct rpcd_command *)((char *)timer - offsetof(struct rpcd_command, drain));

	if (s->out.starved || s->err.starved) { /* it is the host that takes its time */
		gb_loop_timer(s->box->all->loop, &s->drain, DRAIN_MS);
		return;
	}
	close_io(&s->out.io);
	close_io(&s->err.io);
	end(s);
}

/* ---- input ---- */

static void end_of_input(struct rpcd_command *s)
{
	struct termios t;

	if (s->tty && s->in.fd >= 0 && !s->input.len && tcgetattr(s->in.fd, &t) == 0) {
		/* A terminal has no end; its user types one. */
		ssize_t n = write(s->in.fd, &t.c_cc[VEOF], 1);
		(void)n;
	}
	gb_buf_free(&s->input);
	s->input_at = 0;
	close_io(&s->in);
}

static void feed(struct rpcd_command *s)
{
	while (s->in.fd >= 0 && s->input_at < s->input.len) {
		ssize_t n = write(s->in.fd, s->input.data + s->input_at, s->input.len - s->input_at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* it reads no more */
			gb_buf_free(&s->input);
			s->input_at = 0;
			close_io(&s->in);
			break;
		}
		s->input_at += (size_t)n;
	}
	bool left = s->input_at < s->input.len;
	if (!left) {
		gb_buf_free(&s->input);
		s->input_at = 0;
		if (s->input_end)
			end_of_input(s);
	}
	if (s->in.fd >= 0) {
		if (left && !s->in.loop && gb_loop_add(s->box->all->loop, &s->in) < 0)
			close_io(&s->in);
		else if (!left)
			gb_loop_del(&s->in);
	}
	/* A terminal that is yet to come keeps the input waiting as well. */
	if (s->conn)
		gb_conn_input(s->conn, !left && !(s->tty && s->in.fd < 0 && s->console.fd >= 0));
}

static void on_in(struct gb_io *io, uint32_t events)
{
	(void)events;
	feed((struct rpcd_command *)((char *)io - offsetof(struct rpcd_command, in)));
}

static void on_input(struct gb_conn *conn, const void *data, size_t len)
{
	struct rpcd_command *s = conn->data;

	if (len == 0)
		s->input_end = true;
	else if ((s->in.fd >= 0 || s->console.fd >= 0) && gb_buf_add(&s->input, data, len) < 0)
		gb_log(GB_LOG_ERR, "%s: out of memory for input", conn->name);
	if (s->in.fd >= 0 || !s->tty || s->console.fd < 0)
		feed(s);
	else if (s->conn)
		gb_conn_input(s->conn, false);
}

static void on_gone(struct gb_conn *conn)
{
	struct rpcd_command *s = conn->data;

	gb_log(GB_LOG_INFO, "sandbox \"%s\": the host has left its command", s->box->record->spec->id);
	s->conn = NULL;
	s->input_end = true;
	if (s->launching)
		return;
	if (s->tty) { /* as with a line that was cut: whoever is on the terminal gets SIGHUP */
		close_io(&s->in);
		close_io(&s->out.io);
		maybe_end(s);
		return;
	}
	/* The command goes on, as the protocol has it: its input ends, its output is thrown away. */
	if (s->in.fd >= 0)
		feed(s);
	go_on(s, &s->out);
	go_on(s, &s->err);
}

static const struct gb_conn_stream exec_stream = { .input = on_input, .room = on_room, .gone = on_gone };
static const struct gb_conn_stream run_stream = { .room = on_room, .gone = on_gone };

/* ---- the terminal ---- */

static void on_console(struct gb_io *io, uint32_t events)
{
	struct rpcd_command *s = (struct rpcd_command *)((char *)io - offsetof(struct rpcd_command, console));
	struct gb_loop *loop = s->box->all->loop;

	(void)events;
	if (!s->accepted) {
		int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		close_io(io);
		(void)unlink(s->ex.console_path);
		s->accepted = true;
		*io = (struct gb_io){ .fd = fd, .events = EPOLLIN, .fn = on_console };
		if (gb_loop_add(loop, io) < 0)
			close_io(io);
		return;
	}
	int master = gb_sandbox_console_take(io->fd);
	if (master == -EAGAIN || master == -EINTR)
		return;
	close_io(io);
	if (master < 0) {
		gb_log(GB_LOG_WARNING, "sandbox \"%s\": no terminal came: %s", s->box->record->spec->id, strerror(-master));
		return;
	}
	(void)ioctl(master, TIOCSWINSZ, &s->size);
	int flags = fcntl(master, F_GETFL);
	int second = fcntl(master, F_DUPFD_CLOEXEC, 0);
	if (flags < 0 || second < 0 || fcntl(master, F_SETFL, flags | O_NONBLOCK) < 0 || (!s->conn && s->tty)) {
		gb_close_fd(&second);
		gb_close_fd(&master);
		return; /* it is hung up */
	}
	s->out.io.fd = master;
	s->in.fd = second;
	if (gb_loop_add(loop, &s->out.io) < 0)
		close_io(&s->out.io);
	feed(s);
}

/* ---- the end ---- */

static void exited(struct rpcd_command *s, int code)
{
	s->exited = true;
	s->code = code;
	gb_loop_timer_stop(&s->timeout);
	if (s->console.fd >= 0 && s->accepted)
		on_console(&s->console, 0); /* a terminal that was sent and is still to be taken */
	close_io(&s->console);
	gb_buf_free(&s->input);
	s->input_at = 0;
	close_io(&s->in);
	/* What it has written is in the pipes: it comes first, then the exit status. Somebody it left behind may hold them
	 * open for as long as he likes. */
	gb_loop_timer(s->box->all->loop, &s->drain, DRAIN_MS);
	maybe_end(s);
}

static void on_exit_status(struct gb_child *child, int status)
{
	exited(of_child(child), WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

void rpcd_command_told(struct rpcd_box *box, const struct gb_sandbox_word *word)
{
	struct rpcd_command *s = box->session;

	/* Whoever is root in there could say it, too: of its own command alone, and no more than once. */
	if (!s || !s->first || s->exited)
		return;
	if (word->kind == GB_SANDBOX_COMMAND_LOST) {
		s->lost = word->value > 0 && word->value < 4096 ? word->value : EIO;
		exited(s, 126);
	} else if (word->kind == GB_SANDBOX_COMMAND_ENDED) {
		exited(s, word->value & 0xff);
	}
}

static void on_timeout(struct gb_timer *timer)
{
	struct rpcd_command *s = (struct rpcd_command *)((char *)timer - offsetof(struct rpcd_command, timeout));

	if (!s->timed_out)
		gb_log(GB_LOG_INFO, "sandbox \"%s\": the command's time is over", s->box->record->spec->id);
	s->timed_out = true;
	int r = gb_sandbox_cgroup_kill(s->ex.cgroup);
	if (r < 0)
		gb_log(GB_LOG_WARNING, "cgroup %s: kill: %s", s->ex.cgroup, strerror(-r));
	gb_loop_timer(s->box->all->loop, &s->timeout, KILL_AGAIN_MS);
}

void rpcd_command_cut(struct rpcd_command *s)
{
	if (!s->exited) { /* the runtime is about to see what has become of it */
		gb_loop_child_forget(&s->child);
		if (s->ex.pid > 0)
			(void)kill(s->ex.pid, SIGKILL);
		while (s->ex.pid > 0 && waitpid(s->ex.pid, NULL, 0) < 0 && errno == EINTR)
			;
		s->exited = true;
		s->code = 128 + SIGKILL;
	}
	close_io(&s->console);
	close_io(&s->out.io);
	close_io(&s->err.io);
	end(s);
}

bool rpcd_command_is_launching(const struct rpcd_command *session)
{
	return session && session->launching;
}

/* ---- the start ---- */

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
struct launch_task {
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
	struct launch_task *task = (struct launch_task *)base;
	struct gb_sandbox_process process = { 0 };
	struct command c;
	char path[64];

	base->result = 0;
	if (task->orders >= 0 && task->first.process.args_len) {
		task->first.process.spec = task->record->spec;
		gb_sandbox_exec_late(task->record, task->orders, &task->first);
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

static void task_free(struct launch_task *task)
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

static void launch_failed(struct rpcd_command *s, int code, const char *text)
{
	struct gb_conn *conn = s->conn;
	struct rpcd_box *box = s->box;
	bool exec = s->exec;

	if (conn) {
		gb_log(GB_LOG_INFO, "%s: %s: error %d: %s", conn->name, gb_wire_name(exec ? GB_WIRE_SANDBOX_EXEC : GB_WIRE_SANDBOX_RUN),
		       code, text);
		gb_conn_error(conn, s->trace, s->trace_len, code, "%s", text);
	}
	s->conn = NULL;
	box->session = NULL;
	if (box->state == RPCD_RUNNING) {
		box->state = RPCD_READY;
		rpcd_box_save(box);
	}
	session_free(s);
	if (conn && exec)
		gb_conn_stream_end(conn);
	else if (conn)
		gb_conn_resume(conn);
}

/* PID 1 has it. */
static void begin_first(struct rpcd_command *s, struct launch_task *task)
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
	box->record->first_command = true;
	s->out.io.fd = s->ex.out;
	s->err.io.fd = s->ex.err;
	s->in.fd = s->ex.in;
	if (gb_loop_add(loop, &s->out.io) < 0)
		close_io(&s->out.io);
	if (gb_loop_add(loop, &s->err.io) < 0)
		close_io(&s->err.io);
	rpcd_box_event(box, "running", NULL, NULL);
	rpcd_box_save(box);
	feed(s);
	if (box->ended) /* and nobody is left to say how it ends */
		exited(s, 128 + SIGKILL);
}

static void launch_done(struct rpcd_task *base)
{
	struct launch_task *task = (struct launch_task *)base;
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
		if (r < 0) {
			(void)kill(s->ex.pid, SIGKILL);
			(void)waitpid(s->ex.pid, NULL, 0);
		}
		if (r == 0 && s->out.io.fd >= 0)
			r = gb_loop_add(all->loop, &s->out.io);
		if (r == 0 && s->err.io.fd >= 0)
			r = gb_loop_add(all->loop, &s->err.io);
		if (r == 0 && s->console.fd >= 0)
			r = gb_loop_add(all->loop, &s->console);
		if (r < 0) {
			(void)gb_err_sys(&base->err, -r, "epoll");
			(void)gb_sandbox_cgroup_kill(s->ex.cgroup);
			gb_loop_child_forget(&s->child);
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
			feed(s); /* an end of input that has come already; and from here on more is wanted */
	}
	task_free(task);
	if (box->clean_wanted)
		rpcd_box_clean(box);
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
	int r = gb_sandbox_check_command(c.cmd, c.cmd_len, c.dir, c.user, &err);
	if (r == 0 && c.cmd_len == 0)
		r = gb_err_set(&err, EINVAL, "cmd: empty");
	for (size_t i = 0; r == 0 && i < c.env_len; i++) {
		if (!*env[i].key || strchr(env[i].key, '='))
			r = gb_err_set(&err, EINVAL, "env: \"%s\" is no name of a variable", env[i].key);
	}
	if (r == 0 && (c.width > 65535 || c.height > 65535))
		r = gb_err_set(&err, EINVAL, "tty_size: %u x %u, where 65535 is the most", c.width, c.height);
	if (r < 0) {
		rpcd_error(call, GB_RPC_INVALID, "%s", err.msg);
		return;
	}
	/* The host need not ask until it is ready: the first command may come right behind the create. */
	bool early = box->state == RPCD_STARTING && !box->removing && !box->session;
	if (!early && (box->state != RPCD_READY || box->claimed || box->session || box->task)) {
		rpcd_wrong_state(call, box, "a command needs one that is ready");
		return;
	}
	struct rpcd_command *s = calloc(1, sizeof *s);
	struct launch_task *task = calloc(1, sizeof *task);
	if (s)
		s->trace = malloc(call->trace_len + 1);
	if (task) {
		task->request = rpcd_copy(call->request);
	}
	if (!s || !s->trace || !task || !task->request) {
		if (task && task->request)
			protobuf_c_message_free_unpacked(task->request, NULL);
		if (s)
			free(s->trace);
		free(s);
		free(task);
		rpcd_error(call, GB_RPC_FAILED, "out of memory");
		return;
	}
	memcpy(s->trace, call->trace, call->trace_len);
	s->trace_len = call->trace_len;
	s->reply = call->reply;
	s->exec = c.exec;
	s->tty = c.tty;
	s->size = (struct winsize){ .ws_col = (unsigned short)(c.width ? c.width : GB_SANDBOX_TTY_WIDTH),
				    .ws_row = (unsigned short)(c.height ? c.height : GB_SANDBOX_TTY_HEIGHT) };
	s->box = box;
	s->conn = call->conn;
	s->out = (struct stream){ .session = s, .name = "stdout", .io = { .fd = -1, .events = EPOLLIN, .fn = on_output } };
	s->err = (struct stream){ .session = s, .name = "stderr", .io = { .fd = -1, .events = EPOLLIN, .fn = on_output } };
	s->in = (struct gb_io){ .fd = -1, .events = EPOLLOUT, .fn = on_in };
	s->console = (struct gb_io){ .fd = -1, .events = EPOLLIN, .fn = on_console };
	s->ex = (struct gb_sandbox_exec){ .in = -1, .out = -1, .err = -1, .console = -1, .log = -1 };
	s->child.fn = on_exit_status;
	s->timeout.fn = on_timeout;
	s->drain.fn = on_drain;
	/* Claimed before anything is started. */
	s->launching = true;
	box->session = s;
	call->conn->data = s;
	gb_conn_stream(call->conn, c.exec ? &exec_stream : &run_stream);
	gb_conn_input(call->conn, false); /* until there is who takes it */
	task->session = s;
	task->task.run = launch_run;
	task->task.done = launch_done;
	s->waiting = task;
	task->orders = -1;
	/* What needs a cgroup or a terminal of its own is the runtime's to start, and all but the first. */
	struct gb_sandbox_first *none = NULL;
	if ((early ? box->offer != NULL : box->orders >= 0) && !c.tty && !c.timeout && read_request(task->request, &c)) {
		task->env = c.env;
		task->first = (struct gb_sandbox_first){
			.process = { .args = c.cmd, .args_len = c.cmd_len, .env = c.env, .env_len = c.env_len, .dir = c.dir },
			.user = *c.user ? c.user : box->record->spec->user, .input = c.exec,
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
	struct launch_task *task = s ? s->waiting : NULL;

	if (!task)
		return;
	s->waiting = NULL;
	if (task->first.taken) {
		begin_first(s, task);
		return;
	}
	if (!s->conn) { /* whoever wanted it has left before it was possible */
		task_free(task);
		launch_failed(s, GB_RPC_FAILED, "");
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
