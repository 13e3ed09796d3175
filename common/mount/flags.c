/* SPDX-License-Identifier: MIT */
/* Mount flags and their words. */
#include "common/mount/flags.h"

#include <errno.h>
#include <string.h>

#include "common/base/cleanup.h"

const struct gb_mount_flag gb_mount_flags[] = {
#define MOUNT_FLAG(word, set, clear, kind, meaning) { word, set, clear, GB_MOUNT_##kind },
#include "common/mount/flags.def"
#undef MOUNT_FLAG
	{ 0 },
};

const struct gb_mount_flag *gb_mount_flag_find(const char *word, size_t len)
{
	for (const struct gb_mount_flag *f = gb_mount_flags; f->word; f++) {
		if (strncmp(f->word, word, len) == 0 && f->word[len] == '\0')
			return f;
	}
	return NULL;
}

unsigned long gb_mount_flags_of(const char *list)
{
	unsigned long flags = 0;

	while (*list) {
		size_t n = strcspn(list, ",");
		const struct gb_mount_flag *f = gb_mount_flag_find(list, n);

		if (f && f->kind & (GB_MOUNT_BOTH | GB_MOUNT_ATTR | GB_MOUNT_SUPER))
			flags = (flags & ~f->clear) | f->set;
		list += n + (list[n] == ',');
	}
	return flags;
}

uint64_t gb_mount_attr(unsigned long flags)
{
	static const struct { unsigned long flag; uint64_t attr; } map[] = {
		{ MS_RDONLY, MOUNT_ATTR_RDONLY },	{ MS_NOSUID, MOUNT_ATTR_NOSUID },
		{ MS_NODEV, MOUNT_ATTR_NODEV },		{ MS_NOEXEC, MOUNT_ATTR_NOEXEC },
		{ MS_NOATIME, MOUNT_ATTR_NOATIME },	{ MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
		{ MS_NODIRATIME, MOUNT_ATTR_NODIRATIME }, { MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
	};
	uint64_t attr = 0;

	for (size_t i = 0; i < GB_ARRAY_LEN(map); i++)
		attr |= flags & map[i].flag ? map[i].attr : 0;
	return attr;
}

struct named {
	uint64_t bit;
	const char *name;
};

static int names(struct gb_buf *buf, const struct named *list, size_t count, uint64_t flags)
{
	const char *between = "";

	for (size_t i = 0; i < count; i++) {
		if (!(flags & list[i].bit))
			continue;
		(void)gb_buf_fmt(buf, "%s%s", between, list[i].name);
		flags &= ~list[i].bit;
		between = "|";
	}
	if (flags || !*between)
		return gb_buf_fmt(buf, flags ? "%s0x%llx" : "%s%llu", between, (unsigned long long)flags);
	return buf->failed ? -ENOMEM : 0;
}

int gb_mount_flags_text(struct gb_buf *buf, unsigned long flags)
{
	static const struct named list[] = {
		{ MS_RDONLY, "MS_RDONLY" }, { MS_NOSUID, "MS_NOSUID" }, { MS_NODEV, "MS_NODEV" },
		{ MS_NOEXEC, "MS_NOEXEC" }, { MS_SYNCHRONOUS, "MS_SYNCHRONOUS" }, { MS_REMOUNT, "MS_REMOUNT" },
		{ MS_MANDLOCK, "MS_MANDLOCK" }, { MS_DIRSYNC, "MS_DIRSYNC" }, { MS_NOSYMFOLLOW, "MS_NOSYMFOLLOW" },
		{ MS_NOATIME, "MS_NOATIME" }, { MS_NODIRATIME, "MS_NODIRATIME" }, { MS_BIND, "MS_BIND" },
		{ MS_MOVE, "MS_MOVE" }, { MS_REC, "MS_REC" }, { MS_SILENT, "MS_SILENT" },
		{ MS_UNBINDABLE, "MS_UNBINDABLE" }, { MS_PRIVATE, "MS_PRIVATE" }, { MS_SLAVE, "MS_SLAVE" },
		{ MS_SHARED, "MS_SHARED" }, { MS_RELATIME, "MS_RELATIME" }, { MS_I_VERSION, "MS_I_VERSION" },
		{ MS_STRICTATIME, "MS_STRICTATIME" }, { MS_LAZYTIME, "MS_LAZYTIME" },
	};

	return names(buf, list, GB_ARRAY_LEN(list), flags);
}

int gb_mount_attr_text(struct gb_buf *buf, uint64_t attr)
{
	static const struct named list[] = {
		{ MOUNT_ATTR_RDONLY, "MOUNT_ATTR_RDONLY" }, { MOUNT_ATTR_NOSUID, "MOUNT_ATTR_NOSUID" },
		{ MOUNT_ATTR_NODEV, "MOUNT_ATTR_NODEV" }, { MOUNT_ATTR_NOEXEC, "MOUNT_ATTR_NOEXEC" },
		{ MOUNT_ATTR_NOATIME, "MOUNT_ATTR_NOATIME" }, { MOUNT_ATTR_STRICTATIME, "MOUNT_ATTR_STRICTATIME" },
		{ MOUNT_ATTR_NODIRATIME, "MOUNT_ATTR_NODIRATIME" }, { MOUNT_ATTR_NOSYMFOLLOW, "MOUNT_ATTR_NOSYMFOLLOW" },
	};

	if ((attr & MOUNT_ATTR__ATIME) == MOUNT_ATTR__ATIME) {
		(void)gb_buf_str(buf, "MOUNT_ATTR__ATIME");
		attr &= ~(uint64_t)MOUNT_ATTR__ATIME;
		if (!attr)
			return 0;
		(void)gb_buf_str(buf, "|");
	}
	return names(buf, list, GB_ARRAY_LEN(list), attr);
}
