/* SPDX-License-Identifier: MIT */
/* guest-net: steps with a limit in time. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/guest-net/net.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/mono.h"
#include "common/sys/timeline.h"

struct net_job *net_job_new(void)
{
	void *p = mmap(NULL, sizeof(struct net_job), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* In the worker: a byte for each step that has ended. */
static void work(struct net_job *job, const struct net_step *steps, int first, int count, int done)
{
	for (int i = first; i < count; i++) {
		struct net_result *result = &job->results[i];
		char detail[NET_DETAIL] = "";
		struct gb_err err = { 0 };

		if (steps[i].on_interface && !job->index) {
			result->state = NET_SKIPPED;
		} else {
			uint64_t begun = gb_mono_ns();
			int r = steps[i].run(job, detail, &err);
			result->usec = (gb_mono_ns() - begun) / 1000;
			(void)strlcpy(result->detail, r < 0 ? err.msg : detail, sizeof result->detail);
			result->state = r < 0 ? NET_FAILED : NET_DONE;
			gb_timeline_mark("guest-net", steps[i].name, begun);
		}
		if (gb_io_write(done, "", 1) < 0)
			_exit(1);
	}
	_exit(0);
}

static int start(struct net_job *job, const struct net_step *steps, int first, int count, pid_t *ret_pid)
{
	int ends[2];
	pid_t parent = getpid();

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*ret_pid = fork();
	if (*ret_pid == 0) {
		(void)close(ends[0]);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			work(job, steps, first, count, ends[1]);
		_exit(1);
	}
	int saved = errno;
	(void)close(ends[1]);
	if (*ret_pid > 0)
		return ends[0];
	(void)close(ends[0]);
	return -saved;
}

/* Waits for the end of step i: 0, or how it failed. */
static int wait_for(int fd, unsigned limit_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;
	int r;

	do
		r = poll(&p, 1, (int)limit_ms);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r < 0 ? -errno : -ETIMEDOUT;
	return gb_io_read(fd, &byte, 1) == 1 ? 0 : -ECHILD;
}

int net_steps_run(struct net_job *job, const struct net_step *steps, int count, void (*report)(const struct net_result *r))
{
	int failed = 0;

	job->results_len = count;
	for (int i = 0; i < count; i++)
		job->results[i] = (struct net_result){ .step = steps[i].name };
	for (int i = 0; i < count;) {
		pid_t pid = -1;
		gb_autoclose int fd = start(job, steps, i, count, &pid);
		int r = fd < 0 ? fd : 0;

		while (i < count && r == 0) {
			r = wait_for(fd, steps[i].limit_ms);
			if (r < 0)
				break;
			failed += job->results[i].state == NET_FAILED;
			report(&job->results[i++]);
		}
		if (i < count) { /* this one took the worker along; the next gets another */
			struct net_result *result = &job->results[i++];
			result->state = NET_FAILED;
			if (r == -ETIMEDOUT)
				(void)snprintf(result->detail, sizeof result->detail, "not done within %.1f s: given up",
					       steps[i - 1].limit_ms / 1000.0);
			else
				(void)snprintf(result->detail, sizeof result->detail, "process: %s",
					       r == -ECHILD ? "it crashed" : strerror(-r));
			failed++;
			report(result);
		}
		if (fd < 0)
			continue;
		if (r < 0) { /* it may be in the kernel's hands for good: not waited for */
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, NULL, WNOHANG);
		} else {
			(void)gb_io_wait(pid, NULL);
		}
	}
	return failed;
}
