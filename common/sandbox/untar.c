/* SPDX-License-Identifier: MIT */
/* Unpacks a tar archive. */
#include "common/sandbox/untar.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/sandbox/archive.h"
#include "common/sandbox/store.h"

enum {
	ROOM_STEP = 8 << 20,     /* how often the file system's free space is looked at, at most */
	FOLDERS_MAX = 64 << 20,  /* bytes of remembered folders */
};

struct untar {
	struct gb_archive archive;
	int root;
	const struct gb_untar_limits *limits;
	struct gb_untar_result result;
	struct gb_err *err;
	uint64_t room; /* bytes that may be written before the next look */
	/* The last member's folder, which most often is the next one's as well. */
	int parent;
	char parent_path[GB_TAR_PATH];
	/* Folders' times are set at the end: a path, a NUL and a struct timespec each. */
	struct gb_buf folders;
};

/* What messages call the member. */
static const char *name_of(const struct untar *u)
{
	return *u->archive.member.path ? u->archive.member.path : "/";
}

static int refuse(struct untar *u, const char *why)
{
	return gb_err_set(u->err, EBADMSG, "archive: %s: %s", name_of(u), why);
}

static int failed(struct untar *u, int code)
{
	return gb_err_sys(u->err, code, "%s", name_of(u));
}

/* ---- names and folders ---- */

static int open_below(struct untar *u, const char *path, int flags)
{
	bool layer = u->limits->mode != GB_UNTAR_FILES;

	return gb_io_openat2(u->root, *path ? path : ".", flags,
			     layer ? RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* Makes the folders of path that are missing, as tar does. */
static int make_folders(struct untar *u, char *path)
{
	for (char *p = strchr(path, '/');; p = strchr(p + 1, '/')) {
		if (p)
			*p = '\0';
		int r = 0;
		char *slash = strrchr(path, '/');
		gb_autoclose int above = -1;
		if (slash)
			*slash = '\0';
		above = open_below(u, slash ? path : "", O_PATH | O_DIRECTORY);
		if (slash)
			*slash = '/';
		if (above < 0)
			r = above;
		else if (mkdirat(above, slash ? slash + 1 : path, 0755) < 0 && errno != EEXIST)
			r = -errno;
		if (p)
			*p = '/';
		if (r < 0 || !p)
			return r;
	}
}

static int folder_failed(struct untar *u, int r)
{
	if (r == -ELOOP)
		return refuse(u, u->limits->mode == GB_UNTAR_FILES ? "there is a symbolic link on the way"
								   : "links on the way lead in circles");
	if (r == -ENOTDIR)
		return refuse(u, "there is something on the way that is no folder");
	return failed(u, -r);
}

/* The folder of a path, open until the next call; *ret_base is the last component. */
static int open_parent(struct untar *u, const char *path, const char **ret_base)
{
	char dir[GB_TAR_PATH];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	*ret_base = slash ? slash + 1 : path;
	if (u->parent >= 0 && strlen(u->parent_path) == len && memcmp(u->parent_path, path, len) == 0)
		return u->parent;
	memcpy(dir, path, len);
	dir[len] = '\0';
	int fd = open_below(u, dir, O_PATH | O_DIRECTORY);
	if (fd == -ENOENT) {
		int r = make_folders(u, dir);
		fd = r < 0 ? r : open_below(u, dir, O_PATH | O_DIRECTORY);
	}
	if (fd < 0)
		return folder_failed(u, fd);
	gb_close_fd(&u->parent);
	u->parent = fd;
	memcpy(u->parent_path, dir, len + 1);
	return fd;
}

/* A file, or a folder with all that is in it. */
static int remove_any(int parent, const char *base)
{
	if (unlinkat(parent, base, 0) == 0 || errno == ENOENT)
		return 0;
	return gb_sandbox_tree_remove(parent, base);
}

/* What stood there under that name goes; 1 if it is a folder, which stays (of another layer: where a folder is to be). */
static int make_way(struct untar *u, int parent, const char *base)
{
	struct stat st;

	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed(u, errno);
	if (S_ISDIR(st.st_mode) && u->limits->mode == GB_UNTAR_LAYER && u->archive.member.head.type != '5') {
		int r = remove_any(parent, base);
		return r < 0 ? failed(u, -r) : 0;
	}
	if (S_ISDIR(st.st_mode))
		return 1;
	return unlinkat(parent, base, 0) < 0 ? failed(u, errno) : 0;
}

/* ---- a member ---- */

/* Whether an attribute is kept; others would have a meaning here, outside of the sandbox, or none. */
static bool keep_xattr(const struct gb_tar_record *x)
{
	if (gb_tar_key_starts(x, "user.overlay."))
		return false;
	return gb_tar_key_starts(x, "user.") || gb_tar_key_is(x, "security.capability");
}

/* Owner, mode, attributes and time of what fd is. A chown takes setuid bits and capabilities away: it comes first. */
static int dress(struct untar *u, int fd, bool time)
{
	const struct gb_archive_member *m = &u->archive.member;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = (time_t)m->head.mtime, .tv_nsec = m->nsec } };

	if (fchown(fd, (uid_t)m->head.uid, (gid_t)m->head.gid) < 0)
		return failed(u, errno);
	for (size_t i = 0; i < m->xattrs_len; i++) {
		const struct gb_tar_record *x = &m->xattrs[i];
		char key[256];
		if (!keep_xattr(x) || x->key_len >= sizeof key) {
			u->result.left_out++;
			continue;
		}
		memcpy(key, x->key, x->key_len);
		key[x->key_len] = '\0';
		if (fsetxattr(fd, key, x->value, x->value_len, 0) < 0)
			return errno == EOPNOTSUPP ? refuse(u, "the file system does not keep its attributes") : failed(u, errno);
	}
	if (fchmod(fd, m->head.mode) < 0)
		return failed(u, errno);
	return time && futimens(fd, times) < 0 ? failed(u, errno) : 0;
}

/* What has no descriptor of its own to be had: links, FIFOs. */
static int dress_at(struct untar *u, int parent, const char *base, bool mode)
{
	const struct gb_archive_member *m = &u->archive.member;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = (time_t)m->head.mtime, .tv_nsec = m->nsec } };

	u->result.left_out += m->xattrs_len;
	if (fchownat(parent, base, (uid_t)m->head.uid, (gid_t)m->head.gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (mode && fchmodat(parent, base, m->head.mode, 0) < 0) || utimensat(parent, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(u, errno);
	return 0;
}

/* Whether there is room for n more bytes. */
static int check_room(struct untar *u, uint64_t n)
{
	struct statvfs fs;

	if (u->limits->bytes - u->result.bytes < n)
		return gb_err_set(u->err, E2BIG, "archive: more than %" PRIu64 " bytes of contents", u->limits->bytes);
	if (n <= u->room) {
		u->room -= n;
		return 0;
	}
	/* What is not on the disk yet is in no figure. Half of what is left may be written before the next look. */
	if (syncfs(u->root) < 0 || fstatvfs(u->root, &fs) < 0)
		return gb_err_sys(u->err, errno, "free space");
	uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (left < u->limits->reserve || left - u->limits->reserve < n)
		return gb_err_set(u->err, ENOSPC, "%s: %s, with %" PRIu64 " MiB held back for others", name_of(u), strerror(ENOSPC),
				  u->limits->reserve >> 20);
	left = (left - u->limits->reserve) / 2;
	u->room = left > ROOM_STEP ? left : ROOM_STEP;
	return 0;
}

static int contents(struct untar *u, int fd)
{
	for (uint64_t left = u->archive.member.head.size; left;) {
		const unsigned char *data;
		ssize_t n = gb_archive_some(&u->archive, left < GB_ARCHIVE_BUFFER ? (size_t)left : GB_ARCHIVE_BUFFER, &data);
		if (n <= 0)
			return n < 0 ? (int)n : gb_archive_broken(&u->archive, "it is cut off");
		int r = check_room(u, (uint64_t)n);
		if (r < 0)
			return r;
		r = gb_io_write(fd, data, (size_t)n);
		if (r < 0)
			return failed(u, -r);
		left -= (uint64_t)n;
		u->result.bytes += (uint64_t)n;
	}
	return gb_archive_padding(&u->archive, u->archive.member.head.size);
}

static int make_file(struct untar *u, int parent, const char *base)
{
	int r = make_way(u, parent, base);

	if (r)
		return r < 0 ? r : refuse(u, "a file, where there is a folder");
	gb_autoclose int fd = openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(u, errno);
	r = contents(u, fd);
	return r < 0 ? r : dress(u, fd, true);
}

/* All but its time, which is remembered. */
static int dress_folder(struct untar *u, int fd)
{
	const struct gb_archive_member *m = &u->archive.member;
	struct timespec time = { .tv_sec = (time_t)m->head.mtime, .tv_nsec = m->nsec };
	int r = dress(u, fd, false);

	if (r < 0)
		return r;
	if (u->folders.len > FOLDERS_MAX)
		return gb_err_set(u->err, E2BIG, "archive: too many folders");
	(void)gb_buf_add(&u->folders, m->path, strlen(m->path) + 1);
	return gb_buf_add(&u->folders, &time, sizeof time) < 0 ? gb_err_sys(u->err, ENOMEM, "archive") : 0;
}

static int make_folder(struct untar *u, int parent, const char *base)
{
	int r = make_way(u, parent, base);

	if (r < 0)
		return r;
	if (r == 0 && mkdirat(parent, base, 0700) < 0)
		return failed(u, errno);
	gb_autoclose int fd = openat(parent, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return failed(u, errno);
	return dress_folder(u, fd);
}

static int make_symlink(struct untar *u, int parent, const char *base)
{
	char target[GB_TAR_PATH];
	int r = make_way(u, parent, base);

	if (r)
		return r < 0 ? r : refuse(u, "a link, where there is a folder");
	memcpy(target, u->archive.member.link, u->archive.member.link_len);
	target[u->archive.member.link_len] = '\0';
	if (symlinkat(target, parent, base) < 0)
		return failed(u, errno);
	return dress_at(u, parent, base, false);
}

static int make_link(struct untar *u, const char *path)
{
	char target[GB_TAR_PATH], dir[GB_TAR_PATH];
	const char *why, *base;

	if (u->archive.member.head.size)
		return refuse(u, "a hard link with contents of its own");
	if (gb_tar_path(u->archive.member.link, u->archive.member.link_len, target, &why) < 0 || !*target)
		return refuse(u, "a hard link to what is no name of the archive");
	if (strcmp(target, path) == 0)
		return 0;
	(void)strlcpy(dir, target, sizeof dir);
	char *slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	gb_autoclose int from = open_below(u, slash ? dir : "", O_PATH | O_DIRECTORY);
	if (from < 0)
		return from == -ENOENT ? refuse(u, "a hard link to what is not there") : folder_failed(u, from);
	int parent = open_parent(u, path, &base);
	if (parent < 0)
		return parent;
	int r = make_way(u, parent, base);
	if (r)
		return r < 0 ? r : refuse(u, "a link, where there is a folder");
	if (linkat(from, slash ? slash + 1 : dir, parent, base, 0) < 0)
		return errno == ENOENT ? refuse(u, "a hard link to what is not there") : failed(u, errno);
	return 0; /* its owner and mode are those of what it is a link to */
}

/* Takes away what lower layers have under a name, or in the folder. */
static int white_out(struct untar *u, char *path)
{
	static const char prefix[] = ".wh.", opaque[] = ".wh..wh..opq", other[] = ".wh..wh.";
	char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const struct dirent *entry;
	int r = 0;

	if (strncmp(base, prefix, sizeof prefix - 1) != 0)
		return 0;
	bool all = strcmp(base, opaque) == 0;
	if (!all && strncmp(base, other, sizeof other - 1) == 0)
		return 0; /* aufs's own */
	const char *name = base + sizeof prefix - 1;
	if (!*name || gb_dir_dots(name))
		return refuse(u, "a whiteout of no name");
	base[0] = '\0';
	gb_autoclose int fd = open_below(u, path, O_RDONLY | O_DIRECTORY);
	base[0] = '.';
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : folder_failed(u, fd);
	if (!all) {
		r = remove_any(fd, name);
		return r < 0 ? failed(u, -r) : 0;
	}
	gb_autoclosedir DIR *dir = gb_dir_open(fd, ".");
	if (!dir)
		return failed(u, errno);
	while (r == 0 && (r = gb_dir_next(dir, &entry)) > 0)
		r = remove_any(fd, entry->d_name);
	return r < 0 ? failed(u, -r) : 0;
}

static bool is_whiteout(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strncmp(slash ? slash + 1 : path, ".wh.", 4) == 0;
}

static int make_root(struct untar *u)
{
	return u->archive.member.head.type == '5' ? dress_folder(u, u->root) : refuse(u, "not a folder");
}

static int make(struct untar *u)
{
	struct gb_archive_member *m = &u->archive.member;
	const char *base;
	int r;

	if (m->head.uid >= u->limits->ids || m->head.gid >= u->limits->ids)
		return gb_err_set(u->err, EBADMSG, "archive: %s: its owner is %" PRIu64 ":%" PRIu64 ", and a sandbox has ids below %u",
				  name_of(u), m->head.uid, m->head.gid, u->limits->ids);
	if (u->result.entries == u->limits->entries)
		return gb_err_set(u->err, E2BIG, "archive: more than %" PRIu64 " members", u->limits->entries);
	u->result.entries++;
	if (u->limits->mode == GB_UNTAR_WHITEOUTS || (u->limits->mode == GB_UNTAR_LAYER && is_whiteout(m->path))) {
		r = u->limits->mode == GB_UNTAR_WHITEOUTS ? white_out(u, m->path) : 0;
		return r < 0 || m->head.type != '0' ? r : gb_archive_pass_over(&u->archive);
	}
	if (!*m->path)
		return make_root(u);
	if (m->head.type == '1')
		return make_link(u, m->path);
	int parent = open_parent(u, m->path, &base);
	if (parent < 0)
		return parent;
	switch (m->head.type) {
	case '0':
		return make_file(u, parent, base);
	case '5':
		return make_folder(u, parent, base);
	case '2':
		return make_symlink(u, parent, base);
	case '6':
		r = make_way(u, parent, base);
		if (r)
			return r < 0 ? r : refuse(u, "a FIFO, where there is a folder");
		if (mkfifoat(parent, base, 0600) < 0)
			return failed(u, errno);
		return dress_at(u, parent, base, true);
	default: /* '3', '4': devices are the runtime's to make, and would be real ones out here */
		u->result.left_out++;
		return 0;
	}
}

/* Last of all: making what is in a folder changes its time. One that was replaced since has a time already. */
static int folder_times(struct untar *u)
{
	for (size_t at = 0; at < u->folders.len;) {
		const char *path = u->folders.data + at;
		struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
		at += strlen(path) + 1;
		memcpy(&times[1], u->folders.data + at, sizeof times[1]);
		at += sizeof times[1];
		gb_autoclose int fd = open_below(u, path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0 && futimens(fd, times) < 0)
			return gb_err_sys(u->err, errno, "%s", *path ? path : "/");
	}
	return 0;
}

/* What stands behind the end mark (tar fills up its last record); never more than an archive may hold. */
static int drain(struct untar *u)
{
	const unsigned char *data;
	ssize_t n;

	while ((n = gb_archive_some(&u->archive, GB_ARCHIVE_BUFFER, &data)) > 0) {
		if (u->archive.read > u->limits->bytes)
			return gb_err_set(u->err, E2BIG, "archive: too much behind its end mark");
	}
	return (int)n;
}

/* The member, and what it has of contents. */
static int unpack(struct untar *u)
{
	int r = make(u);

	/* What else than a file has contents has none that mean anything. */
	return r == 0 && u->archive.member.head.type != '0' ? gb_archive_pass_over(&u->archive) : r;
}

int gb_untar(int in, int root, const struct gb_untar_limits *limits, struct gb_untar_result *ret_result, struct gb_err *err)
{
	gb_autofree struct untar *u = calloc(1, sizeof *u);

	if (!u)
		return gb_err_sys(err, ENOMEM, "archive");
	u->root = root;
	u->limits = limits;
	u->err = err;
	u->parent = -1;
	mode_t mask = umask(0);
	int r = gb_archive_open(&u->archive, in, err);
	while (r == 0 && (r = gb_archive_next(&u->archive)) > 0)
		r = unpack(u);
	if (r == 0 && limits->mode != GB_UNTAR_WHITEOUTS)
		r = folder_times(u);
	if (r == 0)
		r = drain(u);
	(void)umask(mask);
	if (r == 0)
		*ret_result = u->result;
	gb_close_fd(&u->parent);
	gb_archive_close(&u->archive);
	gb_buf_free(&u->folders);
	return r;
}
