/* SPDX-License-Identifier: MIT */
/* Commands in a sandbox: their descriptors, and how the runtime or PID 1 starts them. */
#include "common/sandbox/exec.h"

#include <bsd/string.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/program.h"
#include "common/sandbox/stage.h"
#include "common/sandbox/user.h"

enum { OUTPUT_PIPE = 256 << 10, NEVER_MS = 2000 };

uint64_t gb_sandbox_nofile(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 1024 : limit.rlim_max < 524288 ? limit.rlim_max : 524288;
}

/* ---- its descriptors ---- */

static int make_pipe(bool input, int *ret_ours, int *ret_theirs)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = fds[input];
	*ret_theirs = fds[!input];
	/* What fits without waking the other side is sent in fewer, larger frames. Without that right it stays as it was. */
	if (!input)
		(void)fcntl(*ret_ours, F_SETPIPE_SZ, OUTPUT_PIPE);
	/* Their end stays as a program expects it. */
	return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int write_memfd(const char *name, const struct gb_buf *text)
{
	gb_autoclose int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = gb_io_write(fd, text->data, text->len);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : gb_take_fd(&fd);
}

static void close_exec(struct gb_sandbox_exec *exec)
{
	int *const fds[] = { &exec->in, &exec->out, &exec->err, &exec->console, &exec->log };

	for (size_t i = 0; i < GB_ARRAY_LEN(fds); i++) {
		gb_close_fd(fds[i]);
		*fds[i] = -1;
	}
	if (exec->console_path[0])
		(void)unlink(exec->console_path);
}

/* Their ends of a command's pipes become the command's own: it may open them again, by /dev/stdout. */
static int give_pipes(const Guestbox__Sandbox__Record *record, const struct gb_sandbox_process *process, const int fds[3])
{
	uint32_t base = GB_SANDBOX_UID_BASE + record->slot * GB_SANDBOX_IDS;

	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0 && fchown(fds[i], base + process->user.uid, base + process->user.gid) < 0)
			return -errno;
	}
	return 0;
}

/* ---- a command in a container that runs ---- */

static int listen_console(struct gb_sandbox_exec *exec)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlcpy(addr.sun_path, exec->console_path, sizeof addr.sun_path) >= sizeof addr.sun_path)
		return -ENAMETOOLONG;
	(void)unlink(addr.sun_path);
	gb_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || chmod(addr.sun_path, 0600) < 0 || listen(fd, 1) < 0)
		return -errno;
	exec->console = gb_take_fd(&fd);
	return 0;
}

int gb_sandbox_console_take(int conn)
{
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char data[256];
	struct iovec iov = { data, sizeof data };
	int fd; /* CMSG_SPACE() has room for two */
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof fd) };

	ssize_t n = recvmsg(conn, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	const struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(sizeof fd))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(h), sizeof fd);
	return fd;
}

/*
 * A command of runc's: in the foreground it copies all output itself, and does not end before everybody has closed that.
 * So it is started detached, under a process of ours that the command's falls to when runc ends (PR_SET_CHILD_SUBREAPER),
 * and that ends as the command does. pid_path: where runc leaves the command's process id.
 */
static void keep_command(const char *program, char *const *argv, const struct gb_sandbox_child *child, const char *pid_path)
{
	static const struct gb_sandbox_child same = { .fds = { 0, 1, 2, 3, 4, -1, -1, -1 } };
	gb_autobuf struct gb_buf text = { 0 };
	int fds[5], status = 0;
	pid_t pid;

	/* Nothing of the daemon's stays open here. The descriptors go out of each other's way first. */
	for (size_t i = 0; i < GB_ARRAY_LEN(fds); i++)
		fds[i] = child->fds[i] >= 0 ? fcntl(child->fds[i], F_DUPFD, 16) : open("/dev/null", O_RDWR);
	for (size_t i = 0; i < GB_ARRAY_LEN(fds); i++) {
		if (fds[i] < 0 || dup2(fds[i], (int)i) < 0)
			_exit(126);
	}
	closefrom(GB_ARRAY_LEN(fds));
	(void)prctl(PR_SET_NAME, "runc-exec");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || gb_sandbox_spawn_as_it_is(program, argv, &same, &pid) < 0)
		_exit(126);
	closefrom(0);
	if (gb_io_wait(pid, &status) < 0)
		_exit(126);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
	int r = gb_io_slurp(AT_FDCWD, pid_path, 64, &text);
	(void)unlink(pid_path);
	pid = r < 0 ? -1 : (pid_t)strtol(gb_buf_text(&text), NULL, 10);
	for (;;) {
		pid_t gone = waitpid(-1, &status, 0);
		if (gone == pid && gone > 0)
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
		if (gone < 0 && errno != EINTR)
			_exit(126);
	}
}

static int spawn_detached(const char *program, char *const *argv, const struct gb_sandbox_child *child, const char *pid_path,
			  pid_t *ret_pid)
{
	pid_t pid = fork();

	if (pid == 0)
		keep_command(program, argv, child, pid_path);
	if (pid < 0)
		return -errno;
	*ret_pid = pid;
	return 0;
}

static void command_path(const struct gb_sandbox_place *place, const char *instance, char path[160])
{
	(void)snprintf(path, 160, "%.90s/%.50s/command", place->run, instance);
}

/* A link is there with what it says, or not at all (symlink(2)). */
int gb_sandbox_command_note(const struct gb_sandbox_place *place, const char *instance, const char *what)
{
	char path[160];

	command_path(place, instance, path);
	if (symlink(what, path) == 0)
		return 0;
	/* One of a command that is over. */
	return errno == EEXIST && unlink(path) == 0 && symlink(what, path) == 0 ? 0 : -errno;
}

bool gb_sandbox_command_noted(const struct gb_sandbox_place *place, const char *instance, char *what)
{
	char path[160];

	command_path(place, instance, path);
	ssize_t n = readlink(path, what, 63);
	what[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

void gb_sandbox_command_over(const struct gb_sandbox_place *place, const char *instance)
{
	char path[160];

	command_path(place, instance, path);
	(void)unlink(path);
}

/* Starts the runtime; child has its standard descriptors and, as 3 and 4, the command's description and the log. */
static int start_runtime(const struct gb_sandbox_place *place, const char *instance, const char *sub,
			 const struct gb_sandbox_child *child, struct gb_sandbox_exec *exec)
{
	char state[96], pid_path[160];
	const char *argv[20] = { place->runtime, "--root", state, "--log", "/proc/self/fd/4", "exec", "--process",
				 "/proc/self/fd/3", "--cgroup", sub };
	char *const *words = (char *const *)(uintptr_t)argv;
	size_t n = 10;

	(void)snprintf(state, sizeof state, "%s/state", place->run);
	if (exec->console_path[0]) {
		argv[n++] = "--tty";
		argv[n++] = "--console-socket";
		argv[n++] = exec->console_path;
	}
	if (place->runc) {
		(void)snprintf(pid_path, sizeof pid_path, "%s/%s/%s.pid", place->run, instance, sub);
		argv[n++] = "--detach";
		argv[n++] = "--pid-file";
		argv[n++] = pid_path;
	}
	argv[n++] = instance;
	return place->runc ? spawn_detached(place->runtime, words, child, pid_path, &exec->pid)
			   : gb_sandbox_spawn(place->runtime, words, child, &exec->pid);
}

int gb_sandbox_exec_start(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, uint64_t number,
			  const struct gb_sandbox_process *process, bool input, struct gb_sandbox_exec *ret_exec,
			  struct gb_err *err)
{
	const char *instance = record->instance;
	struct gb_sandbox_exec exec = GB_SANDBOX_EXEC_NONE;
	gb_autobuf struct gb_buf text = { 0 };
	char sub[64], size[24];
	int in = -1, out = -1, errs = -1, log = -1;

	struct gb_sandbox_process full = *process;
	full.nofile = gb_sandbox_nofile();
	gb_autofree char **args = process->tty ? calloc(process->args_len + 2, sizeof *args) : NULL;
	if (process->tty && !args)
		return gb_err_sys(err, ENOMEM, "process.json");
	if (process->tty) { /* which has its size when the command sees it (pid1.c) */
		(void)snprintf(size, sizeof size, "%ux%u", (unsigned)process->width, (unsigned)process->height);
		args[0] = (char *)(uintptr_t)GB_SANDBOX_PID1;
		args[1] = size;
		memcpy(args + 2, process->args, process->args_len * sizeof *args);
		full.args = args;
		full.args_len += 2;
	}
	int r = gb_sandbox_process_json(&full, &text);
	gb_autoclose int json = r < 0 ? -1 : write_memfd("process.json", &text);
	if (json < 0)
		return gb_err_sys(err, r < 0 ? -r : -json, "process.json");
	(void)snprintf(sub, sizeof sub, "exec-%llu", (unsigned long long)number);
	(void)snprintf(exec.cgroup, sizeof exec.cgroup, "%s/%s/%s", place->cgroup + 1, instance, sub);
	r = gb_sandbox_cgroup_make(exec.cgroup);
	if (r < 0)
		return gb_err_sys(err, -r, "cgroup %s", exec.cgroup);
	r = make_pipe(false, &exec.log, &log);
	if (process->tty) {
		(void)snprintf(exec.console_path, sizeof exec.console_path, "%s/%s/%s.tty", place->run, instance, sub);
		if (r == 0)
			r = listen_console(&exec);
	} else {
		if (r == 0 && input)
			r = make_pipe(true, &exec.in, &in);
		if (r == 0)
			r = make_pipe(false, &exec.out, &out);
		if (r == 0)
			r = make_pipe(false, &exec.err, &errs);
		if (r == 0)
			r = give_pipes(record, process, (const int[]){ in, out, errs });
	}
	if (r == 0)
		r = gb_sandbox_command_note(place, instance, sub);
	if (r == 0)
		r = start_runtime(place, instance, sub,
				  &(struct gb_sandbox_child){ .fds = { in, out, errs, json, log, -1, -1, -1 } }, &exec);
	gb_close_fd(&in);
	gb_close_fd(&out);
	gb_close_fd(&errs);
	gb_close_fd(&log);
	if (r < 0) {
		gb_sandbox_command_over(place, instance);
		close_exec(&exec);
		return gb_err_sys(err, -r, "%s exec", place->runtime);
	}
	*ret_exec = exec;
	return 0;
}

/* ---- the command that a sandbox starts with ---- */

/* What PID 1 is to be told: how many bytes of what (a memfd), and the command's descriptors. */
static int send_orders(int sock, uint64_t len, const int fds[4])
{
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { &len, sizeof len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(4 * sizeof(int));
	memcpy(CMSG_DATA(h), fds, 4 * sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

void gb_sandbox_exec_first(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *path,
			   int sock, struct gb_sandbox_first *first)
{
	gb_autobuf struct gb_buf text = { 0 };
	struct gb_err ignored;

	gb_autoclose int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct gb_sandbox_process process = first->process;
	const char *user = *first->user ? first->user : record->spec->user;
	if (root < 0 || gb_sandbox_user_at(root, user, &process.user, &ignored) < 0 ||
	    gb_sandbox_program_check(root, &process, &ignored) < 0 || gb_sandbox_orders(&process, first->input, &text) < 0)
		return;
	gb_autoclose int orders = write_memfd("orders", &text);
	struct gb_sandbox_exec exec = GB_SANDBOX_EXEC_NONE;
	int theirs[3] = { -1, -1, -1 };
	int r = orders < 0 ? orders : first->input ? make_pipe(true, &exec.in, &theirs[0]) : 0;

	if (r == 0)
		r = make_pipe(false, &exec.out, &theirs[1]);
	if (r == 0)
		r = make_pipe(false, &exec.err, &theirs[2]);
	if (r == 0)
		r = give_pipes(record, &process, theirs);
	if (r == 0 && theirs[0] < 0 && (theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
		r = -errno;
	if (r == 0)
		r = gb_sandbox_command_note(place, record->instance, GB_SANDBOX_FIRST);
	if (r == 0)
		r = send_orders(sock, text.len, (const int[]){ orders, theirs[0], theirs[1], theirs[2] });
	for (int i = 0; i < 3; i++)
		gb_close_fd(&theirs[i]);
	if (r < 0) {
		gb_sandbox_command_over(place, record->instance);
		close_exec(&exec);
		return;
	}
	first->exec = exec;
	first->taken = true;
}

void gb_sandbox_exec_late(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, int sock,
			  struct gb_sandbox_first *first)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/root", record->pid);
	gb_sandbox_exec_first(place, record, path, sock, first);
	if (first->taken)
		(void)kill((pid_t)record->pid, SIGCHLD); /* so that it looks */
}

void gb_sandbox_exec_never(const Guestbox__Sandbox__Record *record)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	char path[64], target[32];

	(void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/fd/4", record->pid);
	for (int i = 0; i < NEVER_MS && readlink(path, target, sizeof target) > 0; i++) {
		(void)kill((pid_t)record->pid, SIGCHLD);
		(void)nanosleep(&pause, NULL);
	}
}
