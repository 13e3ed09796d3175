/* SPDX-License-Identifier: MIT */
/* What the kernel and the host offer. */
#include "common/mount/offer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/sys/mountinfo.h"

bool gb_mount_allowed(void)
{
	gb_autobuf struct gb_buf text = { 0 };
	const char *at;

	if (gb_io_slurp(AT_FDCWD, "/proc/self/status", 1 << 16, &text) < 0 || !(at = strstr(text.data, "\nCapEff:")))
		return geteuid() == 0;
	return strtoull(at + strlen("\nCapEff:"), NULL, 16) >> 21 & 1; /* CAP_SYS_ADMIN, capabilities(7) */
}

enum gb_mount_type gb_mount_type(const char *type)
{
	gb_autobuf struct gb_buf text = { 0 };
	char *rest = NULL;

	if (gb_io_slurp(AT_FDCWD, "/proc/filesystems", 1 << 20, &text) < 0 || !text.data)
		return GB_TYPE_UNKNOWN;
	for (char *line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *tab = strchr(line, '\t'); /* "nodev" stands in front of it, or nothing */

		if (tab && strcmp(tab + 1, type) == 0)
			return tab == line ? GB_TYPE_DEVICE : GB_TYPE_NODEV;
	}
	return GB_TYPE_UNKNOWN;
}

static void add_tag(struct gb_buf *tags, const char *tag)
{
	size_t n = strlen(tag);

	for (const char *p = gb_buf_text(tags); (p = strstr(p, tag)); p += n) {
		if ((p == tags->data || p[-1] == ' ') && (p[n] == ',' || p[n] == '\0'))
			return;
	}
	(void)gb_buf_fmt(tags, "%s%s", tags->len ? ", " : "", tag);
}

static int used_tag(const struct gb_mountinfo *row, void *arg)
{
	if (strcmp(row->type, "virtiofs") == 0)
		add_tag(arg, row->source);
	return 0;
}

int gb_mount_virtiofs_tags(struct gb_buf *tags, bool *ret_all)
{
	gb_autoclosedir DIR *dir = opendir("/sys/fs/virtiofs");
	const struct dirent *entry;
	int count = 0;

	*ret_all = dir != NULL;
	while (dir && gb_dir_next(dir, &entry) > 0) {
		char path[300], tag[256]; /* virtio_fs_config's has 36 bytes */

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/tag", entry->d_name);
		if (gb_io_line(dirfd(dir), path, tag, sizeof tag) < 0)
			continue;
		add_tag(tags, tag);
		count++;
	}
	if (dir)
		return count;
	/* An older kernel keeps the tags to itself: what is mounted, and how many devices there are. */
	(void)gb_mountinfo_foreach(NULL, used_tag, tags);
	dir = opendir("/sys/bus/virtio/drivers/virtiofs");
	while (dir && gb_dir_next(dir, &entry) > 0)
		count += strncmp(entry->d_name, "virtio", 6) == 0;
	return count;
}
