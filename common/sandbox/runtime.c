/* SPDX-License-Identifier: MIT */
/* The OCI runtime: found, started, listened to. */
#include "common/sandbox/runtime.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/program.h"
#include "common/sys/program.h"

enum { LOG_MAX = 65536 };

void gb_sandbox_set_runtime(struct gb_sandbox_place *place, const char *program)
{
	const char *slash = strrchr(program, '/');

	(void)strlcpy(place->runtime, program, sizeof place->runtime);
	place->runc = slash && strcmp(slash + 1, "runc") == 0;
}

int gb_sandbox_find_runtime(struct gb_sandbox_place *place, struct gb_err *err)
{
	/* In this order: crun starts in a third of the time. */
	static const char *const names[] = { "crun", "runc" };
	const char *const folders[] = { place->runtime_dir, gb_program_path() };
	char path[sizeof place->runtime];

	if (place->runtime[0] && access(place->runtime, X_OK) == 0)
		return 0;
	for (size_t f = 0; f < GB_ARRAY_LEN(folders); f++) {
		for (size_t i = 0; i < GB_ARRAY_LEN(names); i++) {
			if (gb_program_find(folders[f], names[i], path, sizeof path)) {
				gb_sandbox_set_runtime(place, path);
				return 0;
			}
		}
	}
	place->runtime[0] = '\0';
	return gb_err_set(err, ENOENT, "no OCI runtime: neither crun nor runc is in %s or on PATH",
			  place->runtime_dir ? place->runtime_dir : "a runtime folder");
}

void gb_sandbox_log_reason(const char *log, char *text, size_t size)
{
	const char *line = log, *best = log;
	size_t len = 0;

	/* The last line that says something; in it, what follows the date and the level. */
	while (*line) {
		size_t n = strcspn(line, "\n");
		if (n) {
			best = line;
			len = n;
		}
		line += n + (line[n] == '\n');
	}
	static const char *const marks[] = { "msg=\"", "[error] ", ": error: ", "Z: " };
	for (size_t i = 0; i < GB_ARRAY_LEN(marks); i++) {
		const char *at = memmem(best, len, marks[i], strlen(marks[i]));
		if (at) {
			at += strlen(marks[i]);
			len -= (size_t)(at - best);
			best = at;
			if (len && i == 0 && best[len - 1] == '"')
				len--;
			break;
		}
	}
	(void)snprintf(text, size, "%.*s", (int)(len < 600 ? len : 600), best);
}

/* What the runtime has for its input and output. It makes the sandbox's root their owner (fchown(2)), and /dev/null is the
 * guest's own: who owns it may close it to everybody. So an empty file that stays empty; PID 1 opens the sandbox's /dev/null. */
static int empty_file(void)
{
	gb_autoclose int fd = memfd_create("null", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return gb_take_fd(&fd);
}

int gb_sandbox_runtime_start(const struct gb_sandbox_place *place, const char *instance, const char *const *args,
			     const int fds[GB_SANDBOX_ENGINE_FDS], struct gb_sandbox_engine *ret_engine, struct gb_err *err)
{
	struct gb_sandbox_engine e = { .place = place, .verb = args[0] };
	char state[96];
	const char *argv[16] = { place->runtime, "--root", state, "--log", e.log };
	struct gb_sandbox_child child = GB_SANDBOX_CHILD;
	size_t n = 5;

	(void)snprintf(e.log, sizeof e.log, "%s/%s.log", place->run, instance);
	(void)snprintf(state, sizeof state, "%s/state", place->run);
	for (; *args && n < GB_ARRAY_LEN(argv) - 1; args++)
		argv[n++] = *args;
	gb_autoclose int empty = empty_file();
	if (empty < 0)
		return gb_err_sys(err, -empty, "%s: memfd_create", place->runtime);
	for (int i = 0; i < 3; i++)
		child.fds[i] = empty;
	memcpy(child.fds + 3, fds, GB_SANDBOX_ENGINE_FDS * sizeof *fds);
	(void)unlink(e.log);
	int r = gb_sandbox_spawn(place->runtime, (char *const *)(uintptr_t)argv, &child, &e.pid);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", place->runtime);
	*ret_engine = e;
	return 0;
}

int gb_sandbox_runtime_wait(struct gb_sandbox_engine *e, struct gb_err *err)
{
	const char *program = e->place->runtime;
	pid_t pid = e->pid;
	int status;

	e->pid = 0;
	int r = gb_io_wait(pid, &status);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", program);
	if (status == 0) {
		(void)unlink(e->log);
		return 0;
	}
	gb_autobuf struct gb_buf text = { 0 };
	char reason[640];
	r = gb_io_slurp(AT_FDCWD, e->log, LOG_MAX, &text);
	(void)unlink(e->log);
	gb_sandbox_log_reason(gb_buf_text(&text), reason, sizeof reason);
	if (r == 0 && reason[0])
		return gb_err_set(err, EIO, "%s %s: %s", program, e->verb, reason);
	if (WIFSIGNALED(status))
		return gb_err_set(err, EIO, "%s %s: killed by signal %d", program, e->verb, WTERMSIG(status));
	return gb_err_set(err, EIO, "%s %s: ended with status %d", program, e->verb, WEXITSTATUS(status));
}

void gb_sandbox_runtime_stop(struct gb_sandbox_engine *e)
{
	if (e->pid <= 0)
		return;
	(void)kill(e->pid, SIGKILL);
	(void)gb_io_wait(e->pid, NULL);
	e->pid = 0;
	(void)unlink(e->log);
}

int gb_sandbox_runtime(const struct gb_sandbox_place *place, const char *instance, const char *const *args, struct gb_err *err)
{
	static const int none[GB_SANDBOX_ENGINE_FDS] = { -1, -1, -1 };
	struct gb_sandbox_engine e;
	int r = gb_sandbox_runtime_start(place, instance, args, none, &e, err);

	return r < 0 ? r : gb_sandbox_runtime_wait(&e, err);
}

int gb_sandbox_dump(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *folder,
		    struct gb_err *err)
{
	const char *args[] = { "checkpoint", "--leave-running", "--image-path", folder, "--work-path", folder, record->instance, NULL };
	char path[512];

	if (!gb_program_find(place->runtime_dir, "criu", path, sizeof path) &&
	    !gb_program_find(gb_program_path(), "criu", path, sizeof path))
		return gb_err_set(err, EOPNOTSUPP, "there is no criu");
	/* The bundle calls the network namespace that which the runtime is started in: so it is now, and its interfaces stay
	 * out of what is written. */
	(void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/ns/net", record->pid);
	gb_autoclose int theirs = open(path, O_RDONLY | O_CLOEXEC);
	gb_autoclose int ours = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (theirs < 0 || ours < 0 || setns(theirs, CLONE_NEWNET) < 0)
		return gb_err_sys(err, errno, "the sandbox's network namespace");
	int r = gb_sandbox_runtime(place, record->instance, args, err);
	if (setns(ours, CLONE_NEWNET) < 0)
		abort(); /* this thread would serve others from within a sandbox's */
	return r;
}
