/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: DiskTrim, and the same every hour. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/sys/mountinfo.h"

_Static_assert(sizeof(struct fstrim_range) == 24, "FITRIM's argument is three u64");

enum { FIRST_MS = 5000 }; /* not while the runtime is still on its way up */

static const char *const targets[] = { "/var/lib/docker", "/var/lib/containerd" };

struct trim_job {
	struct rpcd_job job; /* first: it is freed through it */
	struct gb_buf text;
	bool failed;
};

_Static_assert(offsetof(struct trim_job, job) == 0, "freed through its first member");

static void clause(struct trim_job *job, const char *target, const struct gb_mountinfo_table *table,
		   const struct gb_mountinfo **seen)
{
	struct fstrim_range range = { .len = UINT64_MAX };
	const struct gb_mountinfo *mount = gb_mountinfo_top(table, target);

	(void)gb_buf_fmt(&job->text, "%s%s: ", job->text.len ? "; " : "", target);
	if (!mount) {
		job->failed = true;
		(void)gb_buf_str(&job->text, "failed (not a mount point)");
		return;
	}
	/* Two subvolumes are one file system, and the kernel's number of it is the same in mountinfo. */
	if (*seen && mount->major == (*seen)->major && mount->minor == (*seen)->minor) {
		(void)gb_buf_fmt(&job->text, "%s: 0 B (0 bytes) trimmed, the same file system as %s", target, (*seen)->target);
		return;
	}
	gb_autoclose int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		job->failed = true;
		(void)gb_buf_fmt(&job->text, "error (%s)", strerror(errno));
		return;
	}
	if (ioctl(fd, FITRIM, &range) < 0) {
		job->failed = true;
		(void)gb_buf_fmt(&job->text, "failed (%s)",
				 errno == EOPNOTSUPP || errno == ENOTTY ? "the discard operation is not supported" : strerror(errno));
		return;
	}
	*seen = mount;
	(void)gb_buf_fmt(&job->text, "%s: ", target);
	(void)gb_buf_human(&job->text, range.len);
	(void)gb_buf_fmt(&job->text, " (%" PRIu64 " bytes) trimmed", (uint64_t)range.len);
}

static void run(struct rpcd_job *base)
{
	struct trim_job *job = (struct trim_job *)base;
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	const struct gb_mountinfo *seen = NULL;

	int r = gb_mountinfo_read(NULL, &table);
	if (r < 0) {
		job->failed = true;
		(void)gb_buf_fmt(&job->text, "error (mountinfo: %s)", strerror(-r));
		return;
	}
	for (size_t i = 0; i < GB_ARRAY_LEN(targets); i++)
		clause(job, targets[i], &table, &seen);
}

static void finish(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct trim_job *job = (struct trim_job *)base;
	Arcbox__V1__DiskTrimResponse reply = ARCBOX__V1__DISK_TRIM_RESPONSE__INIT;
	char oom[] = "error (out of memory)";

	/* A trim that failed is told in the text, as clients of 0.4.10 expect it. */
	reply.result = base->failed || job->text.failed || !job->text.data ? oom : job->text.data;
	if (base->failed || job->failed)
		gb_log(GB_LOG_INFO, "trim: %s", reply.result);
	else
		gb_log(GB_LOG_DEBUG, "trim: %s", reply.result);
	if (call)
		rpcd_reply(call, &reply.base);
	gb_buf_free(&job->text);
}

/* ---- by itself ---- */

static struct rpcd *of_timer(struct gb_timer *timer)
{
	return (struct rpcd *)((char *)timer - offsetof(struct rpcd, trim_timer));
}

/* An hour from the end of the one before: what was missed while the machine was paused is not made up for. */
static void finish_tick(struct rpcd_job *base, const struct rpcd_call *call)
{
	struct rpcd *rpcd = base->rpcd;

	finish(base, call);
	gb_loop_timer(&rpcd->loop, &rpcd->trim_timer, rpcd->trim_ms);
}

static void on_tick(struct gb_timer *timer)
{
	struct rpcd *rpcd = of_timer(timer);
	struct trim_job *job = rpcd->going_down ? NULL : calloc(1, sizeof *job);

	if (!job) {
		gb_loop_timer(&rpcd->loop, timer, rpcd->trim_ms);
		return;
	}
	job->job.run = run;
	job->job.finish = finish_tick;
	rpcd_job_background(rpcd, &job->job);
}

/* Whether there is anything to trim yet: one look at a table of some ten lines. */
static bool mounted(void)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };

	if (gb_mountinfo_read(NULL, &table) < 0)
		return false;
	for (size_t i = 0; i < GB_ARRAY_LEN(targets); i++) {
		if (gb_mountinfo_top(&table, targets[i]))
			return true;
	}
	return false;
}

/* The kernel says that something was mounted or unmounted (proc_pid_mounts(5)). */
static void on_mounts(struct gb_io *io, uint32_t events)
{
	struct rpcd *rpcd = (struct rpcd *)((char *)io - offsetof(struct rpcd, trim_mounts));

	(void)events;
	if (!mounted())
		return;
	gb_loop_del(io);
	(void)close(io->fd);
	io->fd = -1;
	gb_loop_timer(&rpcd->loop, &rpcd->trim_timer, rpcd->trim_ms < FIRST_MS ? rpcd->trim_ms : FIRST_MS);
}

void rpcd_trim_begin(struct rpcd *rpcd)
{
	if (rpcd->trim_ms == 0)
		return;
	rpcd->trim_timer.fn = on_tick;
	/* EPOLLET: EPOLLIN is always there; EPOLLPRI comes with each change. */
	rpcd->trim_mounts = (struct gb_io){ .events = EPOLLPRI | EPOLLET, .fn = on_mounts };
	rpcd->trim_mounts.fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (rpcd->trim_mounts.fd >= 0 && gb_loop_add(&rpcd->loop, &rpcd->trim_mounts) == 0)
		on_mounts(&rpcd->trim_mounts, 0);
	else
		gb_loop_timer(&rpcd->loop, &rpcd->trim_timer, rpcd->trim_ms); /* no /proc: then after the first hour */
}

/* ---- the request ---- */

void rpcd_trim(struct rpcd_call *call)
{
	struct trim_job *job = rpcd_job_new(call, sizeof *job, run, finish);

	if (job)
		rpcd_job_start(call, &job->job);
}
