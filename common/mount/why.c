/* SPDX-License-Identifier: MIT */
/* Why a new file system could not be mounted: its source, its tag, its layers, its target. */
#include "common/mount/why.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/mount/apply.h"
#include "common/mount/offer.h"
#include "common/sys/mountinfo.h"

/* Where the device or image is mounted already, "" if nowhere. */
struct mounted_at {
	unsigned major, minor;
	char target[512];
};

static int same_device(const struct gb_mountinfo *row, void *arg)
{
	struct mounted_at *m = arg;

	if (row->major != m->major || row->minor != m->minor)
		return 0;
	(void)snprintf(m->target, sizeof m->target, "%s", row->target);
	return 1;
}

static void device_users(const char *source, struct gb_buf *why)
{
	struct mounted_at m = { 0 };
	struct stat st;

	if (stat(source, &st) < 0 || !S_ISBLK(st.st_mode))
		return;
	m.major = major(st.st_rdev);
	m.minor = minor(st.st_rdev);
	if (gb_mountinfo_foreach(NULL, same_device, &m) > 0) {
		(void)gb_buf_fmt(why, "; it is mounted on %s", m.target);
		return;
	}
	char path[64];
	gb_autoclosedir DIR *dir = NULL;
	const struct dirent *entry;
	(void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u/holders", m.major, m.minor);
	dir = opendir(path);
	while (dir && gb_dir_next(dir, &entry) > 0) {
		if (entry->d_name[0] != '.')
			(void)gb_buf_fmt(why, "; held by /dev/%s", entry->d_name);
	}
}

static const char *kind_of(const struct stat *st)
{
	return S_ISREG(st->st_mode) ? "a regular file" : S_ISDIR(st->st_mode) ? "a directory"
	       : S_ISCHR(st->st_mode) ? "a character device" : S_ISBLK(st->st_mode) ? "a block device" : "no file or device";
}

static void why_source(const char *source, struct gb_buf *why)
{
	struct stat st;

	if (stat(source, &st) < 0) {
		(void)gb_buf_fmt(why, "source %s: %s", source, strerror(errno));
	} else if (!S_ISBLK(st.st_mode)) {
		(void)gb_buf_fmt(why, "source %s is %s, not a block device", source, kind_of(&st));
		if (S_ISREG(st.st_mode))
			(void)gb_buf_str(why, " (-o loop mounts a disk image)");
		else if (S_ISDIR(st.st_mode))
			(void)gb_buf_str(why, " (-o bind shows it at a second place)");
	}
}

bool gb_mount_why_target(const char *target, bool source_is_dir, struct gb_buf *why)
{
	struct stat st;

	if (stat(target, &st) < 0) {
		int code = errno;
		if (code == ENOENT && lstat(target, &st) == 0)
			(void)gb_buf_fmt(why, "target %s is a symbolic link that leads nowhere", target);
		else
			(void)gb_buf_fmt(why, "target %s: %s", target, code == ENOENT ? "no such directory (-m makes it)"
									       : strerror(code));
		return true;
	}
	if (source_is_dir && !S_ISDIR(st.st_mode)) {
		(void)gb_buf_fmt(why, "target %s is %s, and a directory can only be mounted on a directory", target, kind_of(&st));
		return true;
	}
	if (!source_is_dir && S_ISDIR(st.st_mode)) {
		(void)gb_buf_fmt(why, "target %s is a directory, and the source is not", target);
		return true;
	}
	return false;
}

/* Returns the code that says it best: ENODEV for a tag that is not there. */
static int why_tag(const struct gb_mount_step *step, int code, const char *log, struct gb_buf *why)
{
	gb_autobuf struct gb_buf tags = { 0 };
	bool all = false, dax = step->data && gb_mountinfo_has(step->data, "dax", NULL);
	int devices = gb_mount_virtiofs_tags(&tags, &all);
	bool offered = false;

	if (gb_mount_type("virtiofs") == GB_TYPE_UNKNOWN) {
		(void)gb_buf_str(why, "this kernel does not know virtiofs (module virtiofs)");
		return ENODEV;
	}
	for (size_t i = 0; tags.data && i < tags.len;) {
		size_t n = strcspn(tags.data + i, ",");
		offered = offered || (strlen(step->source) == n && strncmp(tags.data + i, step->source, n) == 0);
		i += n + 2;
	}
	if (!offered && !all) /* the kernel does not list its tags: one without options tells */
		offered = gb_mount_try("virtiofs", step->source, NULL, NULL) == 0;
	if (offered && dax)
		(void)gb_buf_fmt(why, "DAX: the device of virtiofs tag \"%s\" has no DAX window", step->source);
	else if (offered)
		(void)gb_buf_fmt(why, "virtiofs refused an option: %s", *log ? log : step->data ? step->data : "");
	else if (all)
		(void)gb_buf_fmt(why, "virtiofs tag \"%s\" is not offered by the host (offered: %s)", step->source,
				 tags.len ? tags.data : "none");
	else
		(void)gb_buf_fmt(why, "virtiofs tag \"%s\" is not offered by the host (%d virtiofs device%s%s%s)",
				 step->source, devices, devices == 1 ? "" : "s", tags.len ? "; mounted: " : "",
				 gb_buf_text(&tags));
	return offered ? code : ENODEV;
}

static bool missing_dir(const char *path, size_t len, const char *word, struct gb_buf *why)
{
	char name[PATH_MAX];
	struct stat st;
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < sizeof name; i++) {
		if (path[i] == '\\' && i + 1 < len)
			i++;
		name[n++] = path[i];
	}
	name[n] = '\0';
	if (n == 0)
		return false;
	if (stat(name, &st) < 0)
		(void)gb_buf_fmt(why, "%s %s: %s", word, name, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		(void)gb_buf_fmt(why, "%s %s is %s, not a directory", word, name, kind_of(&st));
	else
		return false;
	return true;
}

/* upperdir and workdir have to be two folders of one mount, neither in the other. */
static bool why_upper_work(const char *upper, const char *work, struct gb_buf *why)
{
	char real_upper[PATH_MAX], real_work[PATH_MAX];

	if (!realpath(upper, real_upper) || !realpath(work, real_work))
		return false;
	if (gb_mountinfo_id_at(AT_FDCWD, upper, 0) != gb_mountinfo_id_at(AT_FDCWD, work, 0))
		(void)gb_buf_fmt(why, "workdir %s and upperdir %s are not on one mount", work, upper);
	else if (gb_dir_within(real_upper, real_work) || gb_dir_within(real_work, real_upper))
		(void)gb_buf_fmt(why, "workdir %s and upperdir %s lie one in the other", work, upper);
	else
		return false;
	return true;
}

void gb_mount_why_overlay(const struct gb_mount_step *step, int code, struct gb_buf *why)
{
	size_t pos = 0, n;
	const char *w, *dirs[2] = { NULL, NULL };
	size_t lens[2] = { 0, 0 }, lowers = 0;

	struct gb_err err = { 0 };

	if (gb_mount_overlay_check(step->data, &err) < 0) {
		(void)gb_buf_str(why, err.msg);
		return;
	}
	while ((w = gb_mount_word(step->data, &pos, &n))) {
		static const char *const names[] = { "upperdir=", "workdir=" };

		for (size_t i = 0; i < 2; i++) {
			size_t k = strlen(names[i]);
			if (n > k && memcmp(w, names[i], k) == 0) {
				dirs[i] = w + k;
				lens[i] = n - k;
				if (missing_dir(dirs[i], lens[i], i ? "workdir" : "upperdir", why))
					return;
			}
		}
		if (n > 9 && memcmp(w, "lowerdir=", 9) == 0) {
			for (size_t from = 9, to; from < n; from = to + 1) {
				for (to = from; to < n && w[to] != ':'; to++)
					to += w[to] == '\\' && to + 1 < n;
				lowers += to > from;
				if (to > from && missing_dir(w + from, to - from, "lowerdir", why))
					return;
			}
		}
	}
	if (dirs[0] && dirs[1]) {
		char upper[PATH_MAX], work[PATH_MAX];

		(void)snprintf(upper, sizeof upper, "%.*s", (int)lens[0], dirs[0]);
		(void)snprintf(work, sizeof work, "%.*s", (int)lens[1], dirs[1]);
		if (why_upper_work(upper, work, why))
			return;
	}
	if (code == EBUSY)
		(void)gb_buf_str(why, "upperdir or workdir is in use by another overlay");
	else if (code == ELOOP)
		(void)gb_buf_str(why, "the layers lie one in the other");
	else if (code == EROFS && dirs[0])
		(void)gb_buf_fmt(why, "upperdir %.*s is on a read-only mount", (int)lens[0], dirs[0]);
	else if (code == EINVAL && !dirs[0] && lowers < 2)
		(void)gb_buf_str(why, "Linux wants two lower folders where there is no upperdir (a bind with ro does for one)");
	else if (code == EINVAL && dirs[0])
		(void)gb_buf_fmt(why, "the file system of upperdir %.*s cannot be an upper layer (it needs extended attributes and "
				 "file types), or a word is refused: %s", (int)lens[0], dirs[0], step->data);
}

int gb_mount_why_new(const struct gb_mount_step *step, const struct gb_mount_call *call, int code, const char *log, struct gb_buf *why)
{
	enum gb_mount_type known = gb_mount_type(step->type);

	if (code == ENODEV && known == GB_TYPE_UNKNOWN) {
		(void)gb_buf_fmt(why, "this kernel does not know the file system type \"%s\" (not in /proc/filesystems, and no "
				 "module fs-%s was found)", step->type, step->type);
		return code;
	}
	if (strcmp(step->type, "virtiofs") == 0 && (code == EINVAL || code == ENOENT || code == ENODEV))
		return why_tag(step, code, log, why);
	if (strcmp(step->type, "overlay") == 0) {
		gb_mount_why_overlay(step, code, why);
		if (why->len)
			return code;
	}
	if (known == GB_TYPE_DEVICE) {
		why_source(step->source, why);
		if (why->len)
			return code;
		switch (code) {
		case EBUSY:
			if (call->id == GB_CALL_MOUNT && gb_mountinfo_is_root(AT_FDCWD, step->target, 0) == 1) {
				(void)gb_buf_str(why, "it is mounted there already");
				return code;
			}
			(void)gb_buf_fmt(why, "%s is in use", step->source);
			device_users(step->source, why);
			return code;
		case EINVAL:
			if (!*log)
				(void)gb_buf_fmt(why, "%s holds no %s file system, or one of the options is refused: %s",
						 step->source, step->type, step->data && *step->data ? step->data : "(none)");
			return code;
		case EUCLEAN:
			(void)gb_buf_fmt(why, "the %s file system on %s is damaged (fsck)", step->type, step->source);
			return code;
		case ENXIO:
		case ENOMEDIUM:
			(void)gb_buf_fmt(why, "%s has no medium or size (an unused loop device?)", step->source);
			return code;
		case EROFS:
		case EACCES:
			(void)gb_buf_fmt(why, "%s is write-protected (-o ro)", step->source);
			return code;
		}
	}
	if (code == EINVAL && !*log && step->data && *step->data)
		(void)gb_buf_fmt(why, "%s refused one of its options: %s", step->type, step->data);
	return code;
}
