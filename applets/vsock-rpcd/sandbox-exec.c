/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: commands in sandboxes. Output is read only as far as the host takes it, input only as far as the command
 * does: whoever is slow makes the other side wait, and little is kept here. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "applets/vsock-rpcd/sandbox-command.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/runtime.h"

enum {
	DRAIN_MS = 200,     /* after its end: for output of those it leaves behind */
	KILL_AGAIN_MS = 50, /* a command that was not in its cgroup yet */
	LOG_MAX = 16384,
	TERMINAL_MAX = 65536 + 4096,
};

static struct rpcd_command *of_child(struct gb_child *child)
{
	return (struct rpcd_command *)((char *)child - offsetof(struct rpcd_command, child));
}

void rpcd_command_close(struct gb_io *io)
{
	gb_loop_del(io);
	gb_close_fd(&io->fd);
	io->fd = -1;
}

void rpcd_command_free(struct rpcd_command *s)
{
	gb_loop_timer_stop(&s->timeout);
	gb_loop_timer_stop(&s->drain);
	rpcd_command_close(&s->out.io);
	rpcd_command_close(&s->err.io);
	rpcd_command_close(&s->in);
	rpcd_command_close(&s->console);
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
	rpcd_command_free(s);
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

static void close_stream(struct rpcd_command_stream *stream)
{
	rpcd_command_close(&stream->io);
	stream->owed = 0;
}

static void on_output(struct gb_io *io, uint32_t events)
{
	struct rpcd_command_stream *stream = (struct rpcd_command_stream *)((char *)io - offsetof(struct rpcd_command_stream, io));
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
		close_stream(stream);
		maybe_end(s);
		return;
	}
	s->spoke = true;
	stream->owed -= stream->owed < n ? stream->owed : (int)n;
	stream->moved = true;
	send_output(s, stream->name, all->scratch, (size_t)n, false);
	if (s->conn)
		gb_conn_turn(s->conn); /* the host may turn out to be gone; s stays */
}

static void go_on(struct rpcd_command *s, struct rpcd_command_stream *stream)
{
	if (!stream->starved)
		return;
	stream->starved = false;
	if (stream->io.fd >= 0 && gb_loop_add(s->box->all->loop, &stream->io) < 0)
		close_stream(stream);
}

static void on_room(struct gb_conn *conn)
{
	struct rpcd_command *s = conn->data;

	go_on(s, &s->out);
	go_on(s, &s->err);
}

/* Whether more of the command's own output is to be had: it is the host that takes its time, or this loop. */
static bool is_owed(struct rpcd_command_stream *stream)
{
	bool moved = stream->moved;

	stream->moved = false;
	return stream->starved || (stream->owed && (moved || !stream->session->tty));
}

static void on_drain(struct gb_timer *timer)
{
	struct rpcd_command *s = (struct rpcd_command *)((char *)timer - offsetof(struct rpcd_command, drain));

	if (is_owed(&s->out) || is_owed(&s->err)) {
		gb_loop_timer(s->box->all->loop, &s->drain, DRAIN_MS);
		return;
	}
	rpcd_command_close(&s->out.io);
	rpcd_command_close(&s->err.io);
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
	rpcd_command_close(&s->in);
}

void rpcd_command_feed(struct rpcd_command *s)
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
			rpcd_command_close(&s->in);
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
			rpcd_command_close(&s->in);
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
	rpcd_command_feed((struct rpcd_command *)((char *)io - offsetof(struct rpcd_command, in)));
}

static void on_input(struct gb_conn *conn, const void *data, size_t len)
{
	struct rpcd_command *s = conn->data;

	if (len == 0)
		s->input_end = true;
	else if ((s->in.fd >= 0 || s->console.fd >= 0) && gb_buf_add(&s->input, data, len) < 0)
		gb_log(GB_LOG_ERR, "%s: out of memory for input", conn->name);
	if (s->in.fd >= 0 || !s->tty || s->console.fd < 0)
		rpcd_command_feed(s);
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
		rpcd_command_close(&s->in);
		rpcd_command_close(&s->out.io);
		maybe_end(s);
		return;
	}
	/* The command goes on, as the protocol has it: its input ends, its output is thrown away. */
	if (s->in.fd >= 0)
		rpcd_command_feed(s);
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
		rpcd_command_close(io);
		(void)unlink(s->ex.console_path);
		s->accepted = true;
		*io = (struct gb_io){ .fd = fd, .events = EPOLLIN, .fn = on_console };
		if (gb_loop_add(loop, io) < 0)
			rpcd_command_close(io);
		return;
	}
	int master = gb_sandbox_console_take(io->fd);
	if (master == -EAGAIN || master == -EINTR)
		return;
	rpcd_command_close(io);
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
		rpcd_command_close(&s->out.io);
	rpcd_command_feed(s);
}

/* ---- the end ---- */

/* What it has left to be read, in bytes: pipe(7). Of a terminal FIONREAD tells a part; it is what the kernel keeps for one
 * at most (TTYB_DEFAULT_MEM_LIMIT in drivers/tty/tty_buffer.c, N_TTY_BUF_SIZE), as long as there is some. */
static int unread(const struct rpcd_command_stream *stream)
{
	int n = 0;

	if (stream->io.fd < 0 || ioctl(stream->io.fd, FIONREAD, &n) < 0 || n < 0)
		return 0;
	return stream->session->tty ? TERMINAL_MAX : n;
}

void rpcd_command_exited(struct rpcd_command *s, int code)
{
	s->exited = true;
	s->code = code;
	gb_loop_timer_stop(&s->timeout);
	/* A terminal that was sent and is still to be taken; from a connection that is still to be accepted, maybe. */
	for (int i = 0; i < 2 && s->console.fd >= 0; i++)
		on_console(&s->console, 0);
	rpcd_command_close(&s->console);
	gb_buf_free(&s->input);
	s->input_at = 0;
	rpcd_command_close(&s->in);
	/* What it has written is in the pipes: it comes first, then the exit status. Somebody it left behind may hold them
	 * open for as long as he likes, and write. */
	s->out.owed = unread(&s->out);
	s->err.owed = unread(&s->err);
	gb_loop_timer(s->box->all->loop, &s->drain, DRAIN_MS);
	maybe_end(s);
}

static void on_exit_status(struct gb_child *child, int status)
{
	rpcd_command_exited(of_child(child), WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

void rpcd_command_told(struct rpcd_box *box, const struct gb_sandbox_word *word)
{
	struct rpcd_command *s = box->session;

	/* Whoever is root in there could say it, too: of its own command alone, and no more than once. */
	if (!s || s->exited)
		return;
	if (s->launching) { /* the thread that has told PID 1 of it is still to be heard of here */
		if (!s->told)
			s->early = *word;
		s->told = true;
		return;
	}
	if (!s->first)
		return;
	if (word->kind == GB_SANDBOX_COMMAND_LOST) {
		s->lost = word->value > 0 && word->value < 4096 ? word->value : EIO;
		rpcd_command_exited(s, 126);
	} else if (word->kind == GB_SANDBOX_COMMAND_ENDED) {
		rpcd_command_exited(s, word->value & 0xff);
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
		if (s->ex.pid > 0) {
			(void)kill(s->ex.pid, SIGKILL);
			(void)gb_io_wait(s->ex.pid, NULL);
		}
		s->exited = true;
		s->code = 128 + SIGKILL;
	}
	rpcd_command_close(&s->console);
	rpcd_command_close(&s->out.io);
	rpcd_command_close(&s->err.io);
	end(s);
}

bool rpcd_command_is_launching(const struct rpcd_command *session)
{
	return session && session->launching;
}

void rpcd_command_attach(struct rpcd_command *s)
{
	s->out = (struct rpcd_command_stream){ .session = s, .name = "stdout", .io = { .fd = -1, .events = EPOLLIN, .fn = on_output } };
	s->err = (struct rpcd_command_stream){ .session = s, .name = "stderr", .io = { .fd = -1, .events = EPOLLIN, .fn = on_output } };
	s->in = (struct gb_io){ .fd = -1, .events = EPOLLOUT, .fn = on_in };
	s->console = (struct gb_io){ .fd = -1, .events = EPOLLIN, .fn = on_console };
	s->ex = (struct gb_sandbox_exec){ .in = -1, .out = -1, .err = -1, .console = -1, .log = -1 };
	s->child.fn = on_exit_status;
	s->timeout.fn = on_timeout;
	s->drain.fn = on_drain;
	s->conn->data = s;
	gb_conn_stream(s->conn, s->exec ? &exec_stream : &run_stream);
	gb_conn_input(s->conn, false); /* until there is who takes it */
}
