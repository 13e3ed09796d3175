/* SPDX-License-Identifier: MIT */
/* The set-up of a data disk: each step of the plan, carried out. */
#include "common/btrfs/bootstrap.h"

#include <bsd/string.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/mono.h"
#include "common/btrfs/ioctl.h"
#include "common/btrfs/nocow.h"
#include "common/mount/apply.h"
#include "common/mount/loop.h"
#include "common/sys/program.h"

extern char **environ;

static void __attribute__((format(printf, 2, 3))) note(const struct gb_boot *boot, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (boot->note)
		boot->note(text, boot->arg);
}

/* What is there when a path is used is what has been looked at: a link of udev's, or a loop device, may be another's by now. */
static int same_device(const struct gb_boot *boot, struct gb_err *err)
{
	if (gb_blockdev_is(&boot->disk, boot->block))
		return 0;
	return gb_err_set(err, ENODEV, "%s: another device than the one that was looked at: not touched (another run looks anew)",
			  boot->block);
}

/* The block device of a regular file; from then on the disk is read through it. */
static int need_block(struct gb_boot *boot, struct gb_err *err)
{
	struct gb_blockdev disk;

	if (!boot->disk.file && !boot->block[0])
		(void)strlcpy(boot->block, boot->path, sizeof boot->block);
	if (boot->block[0])
		return same_device(boot, err);
	int r = gb_blockdev_loop_find(&boot->disk, boot->block, sizeof boot->block);
	if (r < 0)
		return gb_err_sys(err, -r, "%s: loop device", boot->path);
	if (r == 0) {
		const struct gb_mount_loop loop = { .file = boot->path, .fd = boot->disk.fd };
		bool read_only; /* such a file has been refused before */
		r = gb_mount_loop_attach(&loop, boot->block, sizeof boot->block, &read_only, err);
		if (r < 0)
			return r;
		boot->loop = r;
	}
	r = gb_blockdev_open(boot->block, &disk, err);
	if (r < 0)
		return r;
	r = same_device(boot, err); /* which stays what it is while it is open */
	if (r < 0) {
		gb_blockdev_close(&disk);
		return r;
	}
	gb_blockdev_close(&boot->disk);
	boot->disk = disk;
	return 0;
}

static void nothing(int signal)
{
	(void)signal;
}

/* 1 when they had to be waited for. getrandom(2) makes the kernel collect entropy from timing while it blocks; poll(2) of
 * /dev/random only waits. */
static int need_random(const struct gb_boot *boot, struct gb_err *err)
{
	struct sigaction on_alarm = { .sa_handler = nothing }, old; /* without SA_RESTART */
	uint64_t start = gb_mono_us();
	char byte;

	if (getrandom(&byte, 1, GRND_NONBLOCK) == 1 || errno == ENOSYS)
		return 0;
	note(boot, "%s: mkfs waits for random bytes, which the kernel does not have yet (a virtio-rng device or RDRAND gives them)",
	     boot->path);
	struct itimerval timer = { .it_value = { (time_t)(boot->entropy_ms / 1000),
						 (suseconds_t)(boot->entropy_ms % 1000 * 1000) },
				   .it_interval = { 0, 100000 } };
	if (boot->entropy_ms == 0)
		timer.it_value.tv_usec = 1;
	(void)sigaction(SIGALRM, &on_alarm, &old);
	(void)setitimer(ITIMER_REAL, &timer, NULL);
	ssize_t n;
	do
		n = getrandom(&byte, 1, 0);
	while (n != 1 && errno == EINTR && (gb_mono_us() - start) / 1000 < boot->entropy_ms);
	int saved = n == 1 ? 0 : errno;
	(void)setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	(void)sigaction(SIGALRM, &old, NULL);
	if (saved == EINTR)
		return gb_err_set(err, ETIMEDOUT, "%s: not formatted: no random bytes after %" PRIu64 ".%03" PRIu64
				  " s (--entropy-wait waits longer)", boot->path, boot->entropy_ms / 1000, boot->entropy_ms % 1000);
	if (saved)
		return gb_err_sys(err, saved, "%s: random bytes", boot->path);
	note(boot, "%s: random bytes came after %" PRIu64 " ms", boot->path, (gb_mono_us() - start) / 1000);
	return 1;
}

/* A program: as given, on PATH, or where such programs usually are. 0 or -errno. */
static int find_program(const char *name, char path[PATH_MAX])
{
	if (strchr(name, '/'))
		return strlcpy(path, name, PATH_MAX) < PATH_MAX ? access(path, X_OK) < 0 ? -errno : 0 : -ENAMETOOLONG;
	return gb_program_find(gb_program_path(), name, path, PATH_MAX) || gb_program_find(GB_PROGRAM_PATH, name, path, PATH_MAX)
		       ? 0 : -ENOENT;
}

/* Runs a program; its last line of complaint goes into err, and into `words` even when it ended well. Not gb_spawn_run(): a
 * format or a repair is not cut short by a limit in time, ends with us on a terminal's ^C, and complains on stderr alone. */
static int run_program(const char *path, char *const argv[], char words[256], struct gb_err *err)
{
	posix_spawn_file_actions_t actions;
	char said[4096] = "";
	size_t len = 0;
	int pipe_fd[2];
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return gb_err_sys(err, errno, "%s", path);
	gb_autoclose int from = pipe_fd[0], to = pipe_fd[1];
	if (posix_spawn_file_actions_init(&actions) != 0)
		return gb_err_sys(err, ENOMEM, "%s", path);
	int r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, to, 2);
	if (r == 0)
		r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return gb_err_sys(err, r, "%s", path);
	(void)close(to);
	to = -1;
	for (;;) {
		char drop[4096];
		/* The last part is kept: that is where the reason stands. */
		if (len > sizeof said / 2) {
			memmove(said, said + len - sizeof said / 2, sizeof said / 2);
			len = sizeof said / 2;
		}
		ssize_t n = read(from, drop, sizeof said / 2 - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		memcpy(said + len, drop, (size_t)n);
		len += (size_t)n;
	}
	while (len && (said[len - 1] == '\n' || said[len - 1] == ' '))
		len--;
	said[len] = '\0';
	char *last = strrchr(said, '\n');
	last = last ? last + 1 : said;
	(void)strlcpy(words, last, 256);
	int status;
	r = gb_io_wait(pid, &status);
	if (r == -ECHILD) /* somebody else's reaper took it: what counts is what it left, and that is looked at next */
		return 0;
	if (r < 0)
		return gb_err_sys(err, -r, "%s: wait for it", path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return gb_err_set(err, EIO, "%s: killed by signal %d%s%s", path, WTERMSIG(status), *last ? ": " : "", last);
	return gb_err_set(err, EIO, "%s: exit status %d%s%s", path, WEXITSTATUS(status), *last ? ": " : "", last);
}

/* What must hold after a format or a repair, whatever a program said. */
static int expect_btrfs(struct gb_boot *boot, const char *after, struct gb_err *err)
{
	int r = gb_bootstrap_identify(boot, err);

	if (r == 0 && boot->facts.found.state != GB_STATE_BTRFS)
		return gb_err_set(err, EIO, "%s: %s after %s%s%s", boot->path, gb_probe_state_name(boot->facts.found.state), after,
				  boot->facts.found.detail[0] ? ": " : "", boot->facts.found.detail);
	return r;
}

/* A minute is long: what was found before it must be what is there now, on the device that the path still names. */
static int still_so(struct gb_boot *boot, struct gb_err *err)
{
	enum gb_state before = boot->facts.found.state;

	int r = gb_bootstrap_identify(boot, err);
	if (r < 0)
		return r;
	bool gone = !boot->disk.file && !gb_blockdev_is(&boot->disk, boot->path);
	if (boot->facts.found.state == before && !gone)
		return 0;
	return gb_err_set(err, GB_E_REFUSED, "%s: %s when random bytes were waited for, now %s: not touched (another run looks anew)",
			  boot->path, gb_probe_state_name(before), gone ? "another device" : gb_probe_state_name(boot->facts.found.state));
}

static int do_format(struct gb_boot *boot, struct gb_err *err)
{
	char program[PATH_MAX], words[256] = "";

	int r = find_program(boot->wish.mkfs, program);
	if (r < 0)
		return gb_err_sys(err, -r, "%s: not formatted: %s", boot->path, boot->wish.mkfs);
	r = need_random(boot, err);
	if (r > 0)
		r = still_so(boot, err);
	if (r == 0)
		r = need_block(boot, err);
	if (r < 0)
		return r;
	char force[] = "-f";
	char *argv[] = { program, force, boot->block, NULL };
	r = run_program(program, argv, words, err);
	if (r < 0)
		return gb_err_wrap(err, "%s: format", boot->path);
	/* mkfs.btrfs does not look at every result of its own; a write that failed since this descriptor was opened is
	 * told here, too (fsync(2), each descriptor once). */
	if (fsync(boot->disk.fd) < 0)
		return gb_err_sys(err, errno, "%s: format: %s said it was done, but a write failed", boot->path, program);
	r = expect_btrfs(boot, boot->wish.mkfs, err);
	if (r < 0 && words[0]) {
		char why[sizeof err->msg];

		memcpy(why, err->msg, sizeof why);
		return gb_err_set(err, -r, "%s: %s", why, words);
	}
	return r < 0 ? r : 1;
}

static int write_block(const char *device, const struct gb_super *super, uint64_t offset, struct gb_err *err)
{
	gb_autoclose int fd = open(device, O_WRONLY | O_EXCL | O_CLOEXEC); /* O_EXCL: under nobody's mount */

	if (fd < 0)
		return gb_err_sys(err, errno, "%s", device);
	int r = gb_io_pwrite(fd, super, sizeof *super, (off_t)offset);
	if (r < 0)
		return gb_err_sys(err, -r, "%s: write at byte %" PRIu64, device, offset);
	if (fsync(fd) < 0)
		return gb_err_sys(err, errno, "%s: sync", device);
	return 0;
}

/* Keeps the old block: without it a wrong repair could not be taken back. */
static int save_aside(struct gb_boot *boot, struct gb_err *err)
{
	struct gb_super old;
	char dir[PATH_MAX], path[PATH_MAX];

	ssize_t n = gb_io_pread(boot->disk.fd, &old, sizeof old, (off_t)gb_probe_super_offset[0]);
	if (n != (ssize_t)sizeof old)
		return gb_err_sys(err, n < 0 ? (int)-n : EIO, "%s: superblock", boot->path);
	int r = gb_bootstrap_target(boot, "/run/guestbox", dir);
	if (r == 0)
		r = gb_io_mkdirs(dir);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", dir);
	for (int i = 0; i < 1000; i++) {
		if (snprintf(path, sizeof path, "%s/superblock-%d", dir, i) >= (int)sizeof path)
			return gb_err_sys(err, ENAMETOOLONG, "%s", dir);
		gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return gb_err_sys(err, errno, "%s", path);
		r = gb_io_write(fd, &old, sizeof old);
		if (r == 0 && fsync(fd) < 0)
			r = -errno;
		if (r < 0) {
			(void)unlink(path);
			return gb_err_sys(err, -r, "%s", path);
		}
		note(boot, "%s: the old superblock is kept in %s", boot->path, path);
		return 0;
	}
	return gb_err_sys(err, EEXIST, "%s", path);
}

static int do_repair(struct gb_boot *boot, struct gb_err *err)
{
	struct gb_super super = boot->facts.found.super;
	struct gb_err beside = { 0 };
	char program[PATH_MAX], words[256];

	int r = save_aside(boot, err);
	if (r < 0)
		return gb_err_wrap(err, "%s: not repaired", boot->path);
	r = need_block(boot, err);
	if (r < 0)
		return r;
	if (find_program("btrfs", program) == 0) {
		char rescue[] = "rescue", recover[] = "super-recover", yes[] = "-y";
		char *argv[] = { program, rescue, recover, yes, boot->block, NULL };

		/* Its exit status tells more than two things apart (2: recovered): what it left decides. */
		(void)run_program(program, argv, words, &beside);
		if (expect_btrfs(boot, "btrfs rescue super-recover", &beside) == 0)
			return 1;
		note(boot, "%s; the verified copy is written back instead", beside.msg);
		if (boot->facts.found.state != GB_STATE_DAMAGED || boot->facts.found.two)
			return gb_err_set(err, EIO, "%s", beside.msg);
		super = boot->facts.found.super;
	}
	r = gb_probe_super_move(&super, gb_probe_super_offset[0]);
	if (r < 0)
		return gb_err_sys(err, -r, "%s: checksum", boot->path);
	r = write_block(boot->block, &super, gb_probe_super_offset[0], err);
	if (r == 0)
		r = expect_btrfs(boot, "its repair", err);
	return r < 0 ? r : 1;
}

static int do_mount(struct gb_boot *boot, const char *target, const char *options, const char *subvol,
		    struct gb_err *err)
{
	char path[PATH_MAX], all[2048];
	int n = subvol ? snprintf(all, sizeof all, "%s%ssubvol=%s", options, *options ? "," : "", subvol)
		       : snprintf(all, sizeof all, "%s", options);

	if (n < 0 || n >= (int)sizeof all)
		return gb_err_sys(err, ENAMETOOLONG, "%s: options", target);
	int r = gb_bootstrap_target(boot, target, path);
	if (r < 0)
		return gb_err_sys(err, -r, "%s%s", boot->root, target);
	r = need_block(boot, err);
	if (r < 0)
		return r;
	struct gb_mount_request request = { .source = boot->block, .target = path, .type = "btrfs",
					    .options = *all ? all : NULL, .mkdir = true };
	return gb_mount_do(&request, err);
}

static int do_top(struct gb_boot *boot, struct gb_err *err)
{
	uint64_t devices = le64toh(boot->facts.found.super.num_devices);

	if (boot->facts.top == GB_TARGET_OURS)
		return 0;
	int r = do_mount(boot, boot->layout.top, boot->layout.options, NULL, err);
	if (r < 0 && devices > 1) {
		char why[sizeof err->msg];

		memcpy(why, err->msg, sizeof why);
		return gb_err_set(err, -r, "%s (its file system has %" PRIu64 " devices: the others must be known, too)", why,
				  devices);
	}
	return r < 0 ? r : 1;
}

static int open_top(struct gb_boot *boot, struct gb_err *err)
{
	char path[PATH_MAX];
	int r = gb_bootstrap_target(boot, boot->layout.top, path);
	int fd = r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? gb_err_sys(err, r < 0 ? -r : errno, "%s", path) : fd;
}

/* A failure is a note: what was there before still works. */
static int do_grow(struct gb_boot *boot, struct gb_err *err)
{
	uint64_t devid = le64toh(boot->facts.found.super.devid);
	uint64_t unit = le32toh(boot->facts.found.super.sectorsize);
	struct gb_btrfs_device device;
	gb_autoclose int fd = open_top(boot, err);

	if (fd < 0)
		return fd;
	int r = gb_btrfs_device(fd, devid, &device);
	if (r == 0) {
		if (unit == 0 || device.total > boot->disk.size || boot->disk.size - device.total < unit)
			return 0;
		r = gb_btrfs_grow(fd, devid);
		if (r == 0)
			return 1;
	}
	note(boot, "%s: not grown to %" PRIu64 " bytes, the old capacity still works: %s", boot->path, boot->disk.size,
	     strerror(-r));
	return 0;
}

static int do_subvolume(struct gb_boot *boot, const struct gb_subvol *sv, struct gb_err *err)
{
	gb_autoclose int fd = open_top(boot, err);

	if (fd < 0)
		return fd;
	int r = gb_btrfs_subvol_is(fd, sv->name);
	if (r == 0)
		return gb_err_set(err, EEXIST, "%s%s/%s: exists and is no subvolume", boot->root, boot->layout.top, sv->name);
	if (r > 0)
		return 0;
	if (r == -ENOENT)
		r = gb_btrfs_subvol_create(fd, sv->name);
	return r < 0 ? gb_err_sys(err, -r, "%s%s/%s: subvolume", boot->root, boot->layout.top, sv->name) : 1;
}

static int do_compression(struct gb_boot *boot, const struct gb_subvol *sv, struct gb_err *err)
{
	char path[PATH_MAX], now[32];
	size_t len = strlen(sv->compression);
	int r = gb_bootstrap_target(boot, sv->target, path);

	if (r < 0)
		return gb_err_sys(err, -r, "%s", sv->target);
	ssize_t n = getxattr(path, "btrfs.compression", now, sizeof now);
	if (n == (ssize_t)len && memcmp(now, sv->compression, len) == 0)
		return 0;
	if (setxattr(path, "btrfs.compression", sv->compression, len, 0) < 0)
		return gb_err_sys(err, errno, "%s: compression=%s", path, sv->compression);
	return 1;
}

static int do_nocow(struct gb_boot *boot, const struct gb_subvol *sv, struct gb_err *err)
{
	char path[PATH_MAX];
	int changed = 0, r = gb_bootstrap_target(boot, sv->target, path);
	gb_autoclose int target = r < 0 ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (target < 0)
		return gb_err_sys(err, r < 0 ? -r : errno, "%s%s", boot->root, sv->target);
	for (size_t i = 0; i < sv->nocow_len; i++) {
		struct gb_nocow_tally tally = { 0 };
		int n = snprintf(path, sizeof path, "%s%s/%s", boot->root, sv->target, sv->nocow[i]);

		if (n < 0 || n >= (int)sizeof path)
			return gb_err_sys(err, ENAMETOOLONG, "%s", sv->target);
		r = gb_nocow_folder(target, sv->nocow[i], path, &tally, err);
		if (r < 0)
			return r;
		changed |= r;
		if (tally.kept)
			note(boot, "%s: %" PRIu64 " non-empty files below keep copy-on-write (%s); nocow --convert -R rewrites them",
			     path, tally.kept, tally.first);
	}
	return changed;
}

static int take(struct gb_boot *boot, const struct gb_step *step, struct gb_err *err)
{
	const struct gb_subvol *sv = &boot->layout.subvol[step->subvol];

	switch (step->kind) {
	case GB_STEP_WAIT:
	case GB_STEP_IDENTIFY:
		return step->done; /* a plan is made from what they found */
	case GB_STEP_REPAIR:
		return do_repair(boot, err);
	case GB_STEP_FORMAT:
		return do_format(boot, err);
	case GB_STEP_TOP:
		return do_top(boot, err);
	case GB_STEP_GROW:
		return do_grow(boot, err);
	case GB_STEP_SUBVOLUME:
		return do_subvolume(boot, sv, err);
	case GB_STEP_MOUNT: {
		if (boot->facts.subvol[step->subvol] == GB_TARGET_OURS)
			return 0;
		int r = do_mount(boot, sv->target, sv->options, sv->name, err);
		return r < 0 ? r : 1;
	}
	case GB_STEP_COMPRESSION:
		return do_compression(boot, sv, err);
	case GB_STEP_NOCOW:
		return do_nocow(boot, sv, err);
	}
	return -EINVAL;
}

/* In the opposite order; what cannot be unmounted is told beside the error that led here. */
static void undo(struct gb_boot *boot, size_t upto)
{
	for (size_t i = upto; i-- > 0;) {
		const struct gb_step *step = &boot->plan.step[i];
		struct gb_err beside = { 0 };
		char path[PATH_MAX];

		if (!step->done || (step->kind != GB_STEP_MOUNT && step->kind != GB_STEP_TOP))
			continue;
		if (gb_bootstrap_target(boot, step->kind == GB_STEP_TOP ? boot->layout.top : boot->layout.subvol[step->subvol].target,
				path) < 0)
			continue;
		int r = gb_mount_undo(path, 0, &beside);
		if (r == -EIO) { /* a disk that fails is no reason to stay mounted: nobody uses it yet */
			beside = (struct gb_err){ 0 };
			r = gb_mount_undo(path, MNT_DETACH, &beside);
		}
		if (r < 0)
			note(boot, "%s", beside.msg);
	}
}

int gb_bootstrap_apply(struct gb_boot *boot, struct gb_err *err)
{
	for (size_t i = 0; i < boot->plan.len; i++) {
		struct gb_step *step = &boot->plan.step[i];
		uint64_t start = gb_mono_us();
		int r = take(boot, step, err);

		if (step->kind > GB_STEP_IDENTIFY)
			step->usec = gb_mono_us() - start;
		step->done = r > 0;
		if (r < 0) {
			undo(boot, i);
			return r;
		}
		if (boot->report)
			boot->report(step, boot->arg);
	}
	return 0;
}
