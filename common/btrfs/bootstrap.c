/* SPDX-License-Identifier: MIT */
/* The set-up of a data disk: the device, what is on it, the plan. */
#include "common/btrfs/bootstrap.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/mono.h"
#include "common/btrfs/foreign.h"
#include "common/btrfs/ioctl.h"
#include "common/sys/mountinfo.h"
#include "common/sys/uevent.h"

void gb_bootstrap_start(struct gb_boot *boot)
{
	boot->disk.fd = boot->loop = -1;
	boot->wish.layout = &boot->layout;
	boot->wish.root = boot->root;
}

void gb_bootstrap_end(struct gb_boot *boot)
{
	gb_btrfs_plan_free(&boot->plan);
	gb_layout_free(&boot->layout);
	gb_blockdev_close(&boot->disk);
	gb_close_fd(&boot->loop);
	gb_blockdev_unlock(&boot->locks);
}

int gb_bootstrap_target(const struct gb_boot *boot, const char *target, char *path)
{
	int n = snprintf(path, PATH_MAX, "%s%s", boot->root, target);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* ---- what is mounted ---- */

struct source {
	char first[1024]; /* of the first of our targets, "" while none is mounted */
};

/* mountinfo's root of a subvolume mount is "/NAME". */
static enum gb_target look_at(const struct gb_mountinfo_table *table, const char *target, const char *name,
			      struct gb_facts *facts, struct source *source)
{
	char real[PATH_MAX];
	const struct gb_mountinfo *row;

	if (!realpath(target, real) || !(row = gb_mountinfo_top(table, real)))
		return GB_TARGET_FREE;
	if (strcmp(row->type, "btrfs") == 0 && row->root[0] == '/' && strcmp(row->root + 1, name) == 0 &&
	    (!source->first[0] || strcmp(source->first, row->source) == 0)) {
		(void)strlcpy(source->first, row->source, sizeof source->first);
		return GB_TARGET_OURS;
	}
	if (!facts->other[0]) {
		if (strcmp(row->type, "btrfs") == 0)
			(void)snprintf(facts->other, sizeof facts->other, "%.60s of %.60s is mounted on %.100s", row->root,
				       row->source, target);
		else
			(void)snprintf(facts->other, sizeof facts->other, "a %.60s is mounted on %.150s", row->type, target);
	}
	return GB_TARGET_OTHER;
}

static int look_at_mounts(struct gb_boot *boot, struct source *source, struct gb_err *err)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	struct gb_facts *facts = &boot->facts;
	char path[PATH_MAX];

	*source = (struct source){ 0 };
	facts->other[0] = '\0';
	int r = gb_mountinfo_read(NULL, &table);
	if (r < 0)
		return gb_err_sys(err, -r, "/proc/self/mountinfo");
	r = gb_bootstrap_target(boot, boot->layout.top, path);
	if (r == 0)
		facts->top = look_at(&table, path, "", facts, source);
	for (size_t i = 0; r == 0 && i < boot->layout.subvol_len; i++) {
		const struct gb_subvol *sv = &boot->layout.subvol[i];

		r = gb_bootstrap_target(boot, sv->target, path);
		if (r == 0)
			facts->subvol[i] = look_at(&table, path, sv->name, facts, source);
	}
	return r < 0 ? gb_err_sys(err, -r, "%s%s", boot->root, boot->layout.top) : 0;
}

/* The mounts that are there are those of this device, or of one of several of its file system. */
static int check_source(const struct gb_boot *boot, const struct gb_blockdev *disk, const struct source *source,
			struct gb_err *err)
{
	char path[PATH_MAX];
	uint64_t count, max;

	if (!source->first[0] || gb_blockdev_is(disk, source->first))
		return 0;
	if (boot->facts.top == GB_TARGET_OURS && gb_bootstrap_target(boot, boot->layout.top, path) == 0) {
		gb_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && gb_btrfs_devices(fd, &count, &max) == 0) {
			for (uint64_t id = 1; id <= max && id < 1024; id++) {
				struct gb_btrfs_device d;
				if (gb_btrfs_device(fd, id, &d) == 0 && d.path[0] && gb_blockdev_is(disk, d.path))
					return 0;
			}
		}
	}
	return gb_err_set(err, GB_E_REFUSED, "%s: data subvolumes are mounted from %s: not touched (unmount them first)",
			  disk->path, source->first);
}

int gb_bootstrap_ready(struct gb_boot *boot, struct gb_err *err)
{
	gb_autoblockdev struct gb_blockdev disk = { .fd = -1 };
	struct source source;

	int r = look_at_mounts(boot, &source, err);
	if (r < 0 || !gb_btrfs_plan_ready(&boot->wish, &boot->facts))
		return r;
	(void)strlcpy(boot->path, boot->device ? boot->device : source.first, sizeof boot->path);
	if (boot->device) {
		r = gb_blockdev_open(boot->device, &disk, err);
		if (r == 0)
			r = check_source(boot, &disk, &source, err);
		if (r < 0)
			return r;
	}
	boot->facts.device = boot->path;
	boot->facts.found.state = GB_STATE_BTRFS;
	return 1;
}

/* ---- the device ---- */

static const char *const usual[] = { GB_BOOT_DEVICES };

static bool may_come(int r)
{
	return r == -ENOENT || r == -ENXIO || r == -ENODEV || r == -ENOMEDIUM;
}

static int look_for(struct gb_boot *boot, struct gb_err *err)
{
	int r = -ENOENT;

	if (boot->device)
		return gb_blockdev_open(boot->device, &boot->disk, err);
	for (size_t i = 0; i < GB_ARRAY_LEN(usual); i++) {
		r = gb_blockdev_open(usual[i], &boot->disk, err);
		if (!may_come(r))
			break;
	}
	return r;
}

static int wait_for(struct gb_boot *boot, struct gb_err *err)
{
	gb_autouevents struct gb_uevents *events = NULL;
	struct gb_err no_events = { 0 };
	uint64_t start = gb_mono_us(), event = start;

	/* Before the look: a device that comes between the two is not missed. Where there are no events, the look alone
	 * has to do. */
	int blind = boot->wait_ms ? gb_uevent_open(&events, &no_events) : -1;
	int r;

	while (may_come(r = look_for(boot, err))) {
		uint64_t spent = (gb_mono_us() - start) / 1000;
		const char *name = boot->device ? boot->device : GB_BOOT_DEVICE_1 " or " GB_BOOT_DEVICE_2;
		struct gb_err why = *err;

		if (spent >= boot->wait_ms) {
			if (r == -ENOENT)
				return gb_err_set(err, ENOENT, "%s: not available after %" PRIu64 ".%03" PRIu64 " s", name,
						  boot->wait_ms / 1000, boot->wait_ms % 1000);
			return gb_err_set(err, -r, "%s: not available after %" PRIu64 ".%03" PRIu64 " s: %s", name,
					  boot->wait_ms / 1000, boot->wait_ms % 1000, strerror(-r));
		}
		if (blind < 0)
			return gb_err_set(err, -r, "%s (and no wait for it: %s)", why.msg, no_events.msg);
		boot->late = true;
		int n = gb_uevent_wait(events, boot->wait_ms - spent);
		if (n < 0)
			return gb_err_sys(err, -n, "%s: wait for device events", name);
		event = gb_mono_us();
	}
	if (r < 0)
		return r;
	boot->waited_usec = gb_mono_us() - start;
	boot->react_usec = boot->late ? gb_mono_us() - event : 0;
	(void)strlcpy(boot->path, boot->disk.path, sizeof boot->path);
	boot->facts.device = boot->path;
	boot->facts.size = boot->disk.size;
	boot->facts.read_only = boot->disk.read_only;
	return 0;
}

static ssize_t disk_read(void *ctx, void *buf, size_t len, uint64_t offset)
{
	const struct gb_blockdev *disk = ctx;

	return gb_io_pread(disk->fd, buf, len, (off_t)offset);
}

static int disk_signature(void *ctx, uint64_t own, uint64_t own_end, char *name, size_t size)
{
	const struct gb_blockdev *disk = ctx;

	return gb_foreign_find(disk->fd, disk->size, own, own_end, name, size);
}

int gb_bootstrap_identify(struct gb_boot *boot, struct gb_err *err)
{
	const struct gb_disk disk = { .ctx = &boot->disk, .size = boot->disk.size, .read = disk_read,
				      .signature = disk_signature };

	/* Everything the disk will be judged by is read from it, not from what was read before it was locked. */
	(void)posix_fadvise(boot->disk.fd, 0, 0, POSIX_FADV_DONTNEED);
	/* Three blocks far apart: no read ahead. */
	(void)posix_fadvise(boot->disk.fd, 0, 0, POSIX_FADV_RANDOM);
	int r = gb_probe(&disk, &boot->facts.found);
	return r < 0 ? gb_err_sys(err, -r, "%s", boot->path) : 0;
}

int gb_bootstrap_plan(struct gb_boot *boot, bool lock, struct gb_err *err)
{
	struct source source;

	int r = wait_for(boot, err);
	if (r < 0)
		return r;
	if (lock) {
		r = gb_blockdev_lock(&boot->disk, &boot->locks, err);
		if (r < 0)
			return r;
	}
	r = look_at_mounts(boot, &source, err);
	if (r == 0)
		r = check_source(boot, &boot->disk, &source, err);
	if (r < 0)
		return r;
	if (gb_btrfs_plan_ready(&boot->wish, &boot->facts)) {
		boot->facts.found.state = GB_STATE_BTRFS;
		return 1;
	}
	uint64_t start = gb_mono_us();
	/* While it is mounted its superblock may be read in the moment in which it is written: look again. */
	for (int tries = 0; tries < 5; tries++) {
		r = gb_bootstrap_identify(boot, err);
		if (r < 0)
			return r;
		if (boot->facts.found.state == GB_STATE_BTRFS || !source.first[0])
			break;
	}
	if (boot->facts.found.state != GB_STATE_BTRFS) {
		int busy = gb_blockdev_busy(&boot->disk);
		if (busy < 0)
			return gb_err_sys(err, -busy, "%s: exclusive open", boot->path);
		boot->facts.busy = busy || source.first[0];
	}
	r = gb_btrfs_plan_make(&boot->wish, &boot->facts, &boot->plan, err);
	if (r < 0)
		return r;
	boot->plan.step[0].usec = boot->waited_usec;
	boot->plan.step[0].done = lock && boot->late;
	boot->plan.step[1].usec = gb_mono_us() - start;
	boot->plan.step[1].done = lock;
	return 0;
}
