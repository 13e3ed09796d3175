/* SPDX-License-Identifier: MIT */
/* How full a mounted Btrfs is. */
#include "common/btrfs/status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <linux/magic.h>

#include "common/base/cleanup.h"
#include "common/sys/blockdev.h"

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

void gb_status_sum(struct gb_status *s, const struct gb_btrfs_space *rows, unsigned len, uint64_t reserve)
{
	unsigned copies = 1;

	for (unsigned i = 0; i < s->devices; i++) {
		if (s->device[i].missing)
			continue;
		s->size += s->device[i].device.total;
		s->allocated += s->device[i].device.used;
	}
	s->unallocated = less(s->size, s->allocated);
	for (unsigned i = 0; i < len; i++) {
		const struct gb_btrfs_space *row = &rows[i];

		/* Mixed block groups hold both kinds: they count as metadata, which is what runs out first. */
		if (row->flags & GB_BTRFS_METADATA) {
			s->metadata_total += row->total;
			s->metadata_used += row->used;
			if (row->copies > copies)
				copies = row->copies;
		} else if (row->flags & GB_BTRFS_DATA) {
			s->data_total += row->total;
			s->data_used += row->used;
		}
		s->occupied += row->used * row->copies;
	}
	s->reserve = reserve;
	uint64_t possible = s->metadata_total + s->unallocated / copies;
	s->headroom = less(possible, s->metadata_used + reserve);
	s->metadata_low = s->metadata_total && s->headroom < possible / 8;
	s->reclaimable = less(s->size, s->occupied);
}

int gb_status_read(const char *path, struct gb_status *ret_status, struct gb_err *err)
{
	gb_autofree struct gb_status *s = calloc(1, sizeof *s);
	struct gb_btrfs_space rows[GB_BTRFS_SPACES];
	uint64_t count, max, reserve = 0, reserve_used = 0;
	struct statfs fs;

	if (!s)
		return gb_err_sys(err, ENOMEM, "%s", path);
	gb_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", path);
	if (fstatfs(fd, &fs) < 0)
		return gb_err_sys(err, errno, "%s", path);
	if (fs.f_type != BTRFS_SUPER_MAGIC)
		return gb_err_set(err, ENOTTY, "%s: no Btrfs is mounted there", path);
	int r = gb_btrfs_devices(fd, &count, &max);
	for (uint64_t id = 1; r == 0 && id <= max && s->devices < GB_STATUS_DEVICES; id++) {
		struct gb_status_device *d = &s->device[s->devices];
		gb_autoblockdev struct gb_blockdev disk = { .fd = -1 };

		r = gb_btrfs_device(fd, id, &d->device);
		if (r == -ENODEV) { /* ids of removed devices are not given again */
			r = 0;
			continue;
		}
		if (r < 0)
			break;
		d->missing = !d->device.path[0] || gb_blockdev_open(d->device.path, &disk, NULL) < 0;
		d->beyond = d->missing ? 0 : less(disk.size, d->device.total);
		s->devices++;
	}
	int len = r < 0 ? r : gb_btrfs_spaces(fd, rows, GB_BTRFS_SPACES);
	r = len < 0 ? len : gb_btrfs_reserve(fd, &reserve, &reserve_used);
	if (r < 0)
		return gb_err_sys(err, -r, "%s: space", path);
	/* What of the reserve is used counts among the used already. */
	gb_status_sum(s, rows, (unsigned)len, less(reserve, reserve_used));
	*ret_status = *s;
	return 0;
}
