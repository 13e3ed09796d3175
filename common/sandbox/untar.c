/* SPDX-License-Identifier: MIT */
/* Unpacks a tar archive. */
#include "common/sandbox/untar.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/store.h"
#include "common/sandbox/tar.h"
#include "common/sys/confine.h"

enum {
	BUFFER = 256 << 10,
	PAX_MAX = 1 << 20,       /* one extended header */
	XATTRS_MAX = 64,         /* of one member */
	ROOM_STEP = 8 << 20,     /* how often the file system's free space is looked at, at most */
	FOLDERS_MAX = 64 << 20,  /* bytes of remembered folders */
};

/* What extended headers say about the next member (local), or about all from here on (global). */
struct more {
	struct gb_buf pax; /* records, as they came */
	struct gb_buf name, link; /* GNU's long ones */
};

struct member {
	struct gb_tar_head head;
	char path[GB_TAR_PATH];
	const char *link;
	size_t link_len;
	long nsec;
	struct gb_tar_record xattrs[XATTRS_MAX];
	size_t xattrs_len;
};

struct untar {
	int in, root;
	const struct gb_untar_limits *limits;
	struct gb_untar_result result;
	struct gb_err *err;
	unsigned char *buf;
	size_t at, len;
	uint64_t read; /* bytes of the archive */
	uint64_t room; /* bytes that may be written before the next look */
	struct more local, global;
	/* The last member's folder, which most often is the next one's as well. */
	int parent;
	char parent_path[GB_TAR_PATH];
	/* Folders' times are set at the end: a path, a NUL and a struct timespec each. */
	struct gb_buf folders;
	struct member member;
};

static int broken(struct untar *u, const char *why)
{
	return gb_err_set(u->err, EBADMSG, "archive: %s, at byte %" PRIu64, why, u->read);
}

static int refuse(struct untar *u, const char *why)
{
	return gb_err_set(u->err, EBADMSG, "archive: %s: %s", *u->member.path ? u->member.path : "/", why);
}

static int failed(struct untar *u, int code)
{
	return gb_err_sys(u->err, code, "%s", *u->member.path ? u->member.path : "/");
}

/* ---- reading ---- */

/* Some bytes, at most max, in place: 0 at the end. */
static ssize_t some(struct untar *u, size_t max, const unsigned char **ret)
{
	if (u->at == u->len) {
		ssize_t n;
		do
			n = read(u->in, u->buf, BUFFER);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return gb_err_sys(u->err, errno, "archive");
		u->at = 0;
		u->len = (size_t)n;
	}
	size_t n = u->len - u->at < max ? u->len - u->at : max;
	*ret = u->buf + u->at;
	u->at += n;
	u->read += n;
	return (ssize_t)n;
}

/* Exactly len bytes into to (NULL: nowhere): 0 or -errno. */
static int take(struct untar *u, void *to, uint64_t len)
{
	for (uint64_t done = 0; done < len;) {
		const unsigned char *data;
		ssize_t n = some(u, len - done < SIZE_MAX ? (size_t)(len - done) : SIZE_MAX, &data);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return broken(u, "it is cut off");
		if (to)
			memcpy((char *)to + done, data, (size_t)n);
		done += (uint64_t)n;
	}
	return 0;
}

static int padding(struct untar *u, uint64_t size)
{
	return take(u, NULL, (GB_TAR_BLOCK - size % GB_TAR_BLOCK) % GB_TAR_BLOCK);
}

static int pass_over(struct untar *u)
{
	int r = take(u, NULL, u->member.head.size);

	return r < 0 ? r : padding(u, u->member.head.size);
}

/* The contents of an extended header. */
static int take_more(struct untar *u, struct gb_buf *buf, bool append)
{
	uint64_t size = u->member.head.size;

	if (!append)
		buf->len = 0;
	if (size > PAX_MAX || buf->len + size > 2 * PAX_MAX)
		return broken(u, "an extended header is too long");
	if (gb_buf_room(buf, (size_t)size) < 0)
		return gb_err_sys(u->err, ENOMEM, "archive");
	int r = take(u, buf->data + buf->len, size);
	if (r < 0)
		return r;
	buf->len += (size_t)size;
	buf->data[buf->len] = '\0';
	return padding(u, size);
}

/* ---- names and folders ---- */

static int open_below(struct untar *u, const char *path, uint64_t flags)
{
	bool layer = u->limits->mode != GB_UNTAR_FILES;
	struct open_how how = { .flags = flags | O_CLOEXEC,
				.resolve = layer ? RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	int fd = (int)syscall(SYS_openat2, u->root, *path ? path : ".", &how, sizeof how);

	return fd < 0 ? -errno : fd;
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
		return refuse(u, u->limits->mode == GB_UNTAR_FILES ? "there is a symbolic link on the way" : "links on the way lead in circles");
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
	if (S_ISDIR(st.st_mode) && u->limits->mode == GB_UNTAR_LAYER && u->member.head.type != '5') {
		int r = remove_any(parent, base);
		return r < 0 ? failed(u, -r) : 0;
	}
	if (S_ISDIR(st.st_mode))
		return 1;
	return unlinkat(parent, base, 0) < 0 ? failed(u, errno) : 0;
}

/* ---- a member ---- */

static bool key_is(const struct gb_tar_record *r, const char *key)
{
	return r->key_len == strlen(key) && memcmp(r->key, key, r->key_len) == 0;
}

static bool key_starts(const struct gb_tar_record *r, const char *prefix)
{
	return r->key_len > strlen(prefix) && memcmp(r->key, prefix, strlen(prefix)) == 0;
}

/* One record of an extended header. */
static int apply_record(struct untar *u, const struct gb_tar_record *rec, const char **name, size_t *name_len)
{
	struct member *m = &u->member;
	static const char xattr[] = "SCHILY.xattr.";

	if (key_is(rec, "path")) {
		*name = rec->value;
		*name_len = rec->value_len;
	} else if (key_is(rec, "linkpath")) {
		m->link = rec->value;
		m->link_len = rec->value_len;
	} else if (key_is(rec, "size")) {
		if (gb_tar_number(rec->value, rec->value_len, &m->head.size) < 0 || m->head.size > INT64_MAX / 2)
			return broken(u, "an extended header's size cannot be read");
	} else if (key_is(rec, "uid") || key_is(rec, "gid")) {
		if (gb_tar_number(rec->value, rec->value_len, rec->key[0] == 'u' ? &m->head.uid : &m->head.gid) < 0)
			return broken(u, "an extended header's owner cannot be read");
	} else if (key_is(rec, "mtime")) {
		if (gb_tar_time(rec->value, rec->value_len, &m->head.mtime, &m->nsec) < 0)
			return broken(u, "an extended header's time cannot be read");
	} else if (key_starts(rec, "GNU.sparse.")) {
		return broken(u, "a sparse member (make the archive without --sparse)");
	} else if (key_starts(rec, xattr)) {
		if (m->xattrs_len == XATTRS_MAX)
			return broken(u, "a member has too many attributes");
		m->xattrs[m->xattrs_len] = *rec;
		m->xattrs[m->xattrs_len].key += sizeof xattr - 1;
		m->xattrs[m->xattrs_len++].key_len -= sizeof xattr - 1;
	}
	return 0; /* others tell what is told elsewhere (times of access, names of owners), or nothing that is kept */
}

static int apply_pax(struct untar *u, const struct gb_buf *pax, const char **name, size_t *name_len)
{
	struct gb_tar_record record;
	long n;

	for (size_t at = 0; (n = gb_tar_record(gb_buf_text(pax) + at, pax->len - at, &record)) != 0; at += (size_t)n) {
		if (n < 0)
			return broken(u, "an extended header cannot be read");
		int r = apply_record(u, &record, name, name_len);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Puts together what header and extended headers say. */
static int describe(struct untar *u)
{
	struct member *m = &u->member;
	const char *name = m->head.name, *why;
	size_t name_len = strlen(name);

	m->link = m->head.link;
	m->link_len = strlen(m->link);
	m->nsec = 0;
	m->xattrs_len = 0;
	m->path[0] = '\0';
	int r = apply_pax(u, &u->global.pax, &name, &name_len);
	if (r < 0)
		return r;
	if (u->local.name.len) {
		name = u->local.name.data;
		name_len = strlen(name);
	}
	if (u->local.link.len) {
		m->link = u->local.link.data;
		m->link_len = strlen(m->link);
	}
	r = apply_pax(u, &u->local.pax, &name, &name_len);
	if (r < 0)
		return r;
	if (gb_tar_path(name, name_len, m->path, &why) < 0)
		return gb_err_set(u->err, EBADMSG, "archive: %.*s: %s", (int)(name_len > 512 ? 512 : name_len), name, why);
	if (m->head.uid >= u->limits->ids || m->head.gid >= u->limits->ids)
		return gb_err_set(u->err, EBADMSG, "archive: %s: its owner is %" PRIu64 ":%" PRIu64 ", and a sandbox has ids below %u",
				  m->path, m->head.uid, m->head.gid, u->limits->ids);
	if (m->link_len >= GB_TAR_PATH || memchr(m->link, '\0', m->link_len))
		return refuse(u, "what it is a link to is no path");
	return 0;
}

/* Whether an attribute is kept; others would have a meaning here, outside of the sandbox, or none. */
static bool keep_xattr(const struct gb_tar_record *x)
{
	if (key_starts(x, "user.overlay."))
		return false;
	return key_starts(x, "user.") || key_is(x, "security.capability");
}

/* Owner, mode, attributes and time of what fd is. A chown takes setuid bits and capabilities away: it comes first. */
static int dress(struct untar *u, int fd, bool time)
{
	struct member *m = &u->member;
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
	struct member *m = &u->member;
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
		return gb_err_set(u->err, ENOSPC, "%s: %s, with %" PRIu64 " MiB held back for others", u->member.path,
				  strerror(ENOSPC), u->limits->reserve >> 20);
	left = (left - u->limits->reserve) / 2;
	u->room = left > ROOM_STEP ? left : ROOM_STEP;
	return 0;
}

static int contents(struct untar *u, int fd)
{
	for (uint64_t left = u->member.head.size; left;) {
		const unsigned char *data;
		ssize_t n = some(u, left < BUFFER ? (size_t)left : BUFFER, &data);
		if (n <= 0)
			return n < 0 ? (int)n : broken(u, "it is cut off");
		int r = check_room(u, (uint64_t)n);
		if (r < 0)
			return r;
		r = gb_io_write(fd, data, (size_t)n);
		if (r < 0)
			return failed(u, -r);
		left -= (uint64_t)n;
		u->result.bytes += (uint64_t)n;
	}
	return padding(u, u->member.head.size);
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
	struct member *m = &u->member;
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
	memcpy(target, u->member.link, u->member.link_len);
	target[u->member.link_len] = '\0';
	if (symlinkat(target, parent, base) < 0)
		return failed(u, errno);
	return dress_at(u, parent, base, false);
}

static int make_link(struct untar *u, const char *path)
{
	char target[GB_TAR_PATH], dir[GB_TAR_PATH];
	const char *why, *base;

	if (u->member.head.size)
		return refuse(u, "a hard link with contents of its own");
	if (gb_tar_path(u->member.link, u->member.link_len, target, &why) < 0 || !*target)
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
	struct dirent *entry;
	int r = 0;

	if (strncmp(base, prefix, sizeof prefix - 1) != 0)
		return 0;
	bool all = strcmp(base, opaque) == 0;
	if (!all && strncmp(base, other, sizeof other - 1) == 0)
		return 0; /* aufs's own */
	const char *name = base + sizeof prefix - 1;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
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
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	gb_autoclosedir DIR *dir = again < 0 ? NULL : fdopendir(again);
	if (!dir) {
		gb_close_fd(&again);
		return failed(u, errno);
	}
	while (r == 0 && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = remove_any(fd, entry->d_name);
	}
	return r < 0 ? failed(u, -r) : 0;
}

static bool is_whiteout(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strncmp(slash ? slash + 1 : path, ".wh.", 4) == 0;
}

static int make_root(struct untar *u)
{
	return u->member.head.type == '5' ? dress_folder(u, u->root) : refuse(u, "not a folder");
}

static int make(struct untar *u)
{
	struct member *m = &u->member;
	const char *base;
	int r;

	if (u->result.entries == u->limits->entries)
		return gb_err_set(u->err, E2BIG, "archive: more than %" PRIu64 " members", u->limits->entries);
	u->result.entries++;
	if (u->limits->mode == GB_UNTAR_WHITEOUTS || (u->limits->mode == GB_UNTAR_LAYER && is_whiteout(m->path))) {
		r = u->limits->mode == GB_UNTAR_WHITEOUTS ? white_out(u, m->path) : 0;
		return r < 0 || m->head.type != '0' ? r : pass_over(u);
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

/* One header and what belongs to it: 0; 1 at the end; or -errno. */
static int step(struct untar *u)
{
	unsigned char block[GB_TAR_BLOCK];
	struct member *m = &u->member;
	const char *why;

	if (u->at == u->len) {
		const unsigned char *data;
		ssize_t n = some(u, 0, &data);
		if (n < 0)
			return (int)n;
		if (u->len == 0)
			return broken(u, u->read ? "its end mark is missing" : "it is empty");
	}
	int r = take(u, block, sizeof block);
	if (r < 0)
		return r;
	r = gb_tar_head(block, &m->head, &why);
	if (r > 0)
		return u->read > GB_TAR_BLOCK ? 1 : broken(u, "it holds nothing");
	if (r < 0)
		return broken(u, why);
	switch (m->head.type) {
	case 'x':
		return take_more(u, &u->local.pax, true);
	case 'g':
		return take_more(u, &u->global.pax, true);
	case 'L':
		return take_more(u, &u->local.name, false);
	case 'K':
		return take_more(u, &u->local.link, false);
	case 'V': /* the archive's own name */
		return pass_over(u);
	case 'S':
		return broken(u, "a sparse member (make the archive without --sparse)");
	case '0': case '1': case '2': case '3': case '4': case '5': case '6':
		break;
	default:
		return broken(u, m->head.type == 'M' ? "it goes on in another archive" : "a member of unknown type");
	}
	r = describe(u);
	if (r == 0)
		r = make(u);
	/* What else than a file has contents has none that mean anything. */
	if (r == 0 && m->head.type != '0')
		r = pass_over(u);
	u->local.pax.len = u->local.name.len = u->local.link.len = 0;
	return r;
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
			return gb_err_sys(u->err, errno, "%s", path);
	}
	return 0;
}

/* What stands behind the end mark (tar fills up its last record); never more than an archive may hold. */
static int drain(struct untar *u)
{
	const unsigned char *data;
	ssize_t n;

	while ((n = some(u, BUFFER, &data)) > 0) {
		if (u->read > u->limits->bytes)
			return gb_err_set(u->err, E2BIG, "archive: too much behind its end mark");
	}
	return (int)n;
}

int gb_untar(int in, int root, const struct gb_untar_limits *limits, struct gb_untar_result *ret_result, struct gb_err *err)
{
	struct untar *u = calloc(1, sizeof *u);
	gb_autofree unsigned char *buf = malloc(BUFFER);
	int r = 0;

	if (!u || !buf) {
		free(u);
		return gb_err_sys(err, ENOMEM, "archive");
	}
	*u = (struct untar){ .in = in, .root = root, .limits = limits, .err = err, .buf = buf, .parent = -1 };
	mode_t mask = umask(0);
	while (r == 0)
		r = step(u);
	r = r == 1 ? 0 : r;
	if (r == 0 && limits->mode != GB_UNTAR_WHITEOUTS)
		r = folder_times(u);
	if (r == 0)
		r = drain(u);
	(void)umask(mask);
	if (r == 0)
		*ret_result = u->result;
	gb_close_fd(&u->parent);
	gb_buf_free(&u->local.pax);
	gb_buf_free(&u->local.name);
	gb_buf_free(&u->local.link);
	gb_buf_free(&u->global.pax);
	gb_buf_free(&u->folders);
	free(u);
	return r;
}

/* ---- the child ---- */

struct report {
	int code;
	struct gb_untar_result result;
	struct gb_err err;
};

/* No capability but those that owners, modes and attributes of the files take: no mknod(2), no chroot(2). */
static int drop_rights(void)
{
	enum { KEPT = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER | 1U << CAP_FSETID | 1U << CAP_SETFCAP };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3] = { 0 };

	_Static_assert(CAP_SETFCAP < 32, "all kept ones are in the first word");
	if (syscall(SYS_capget, &head, now) < 0)
		return -errno;
	now[0].permitted &= KEPT;
	now[0].effective = now[0].permitted;
	now[0].inheritable = 0;
	now[1] = (struct __user_cap_data_struct){ 0 };
	return syscall(SYS_capset, &head, now) < 0 ? -errno : gb_confine_no_new_privs();
}

#define ALWAYS(name) { SYS_##name, GB_SYSCALL_ALWAYS, 0, 0 }
#define NEVER(name) { SYS_##name, GB_SYSCALL_NEVER, 0, 0 }

/* Files below the root, memory, and nothing else. */
static const struct gb_syscall calls[] = {
	ALWAYS(read), ALWAYS(write), ALWAYS(openat2), ALWAYS(openat), ALWAYS(close), ALWAYS(fstat), ALWAYS(newfstatat), ALWAYS(statx),
	ALWAYS(fchown), ALWAYS(fchmod), ALWAYS(utimensat), ALWAYS(fsetxattr), ALWAYS(mkdirat), ALWAYS(symlinkat), ALWAYS(linkat),
	ALWAYS(fchownat), ALWAYS(fchmodat), ALWAYS(unlinkat), ALWAYS(getdents64), ALWAYS(lseek), ALWAYS(fcntl),
	ALWAYS(statfs), ALWAYS(fstatfs), ALWAYS(syncfs), ALWAYS(umask),
	{ SYS_mknodat, GB_SYSCALL_EQUAL, 2, S_IFIFO | 0600 },
	/* No page is to become code. */
	{ SYS_mmap, GB_SYSCALL_WITHOUT, 2, PROT_EXEC }, { SYS_mprotect, GB_SYSCALL_WITHOUT, 2, PROT_EXEC },
	ALWAYS(munmap), ALWAYS(mremap), ALWAYS(madvise), ALWAYS(brk), ALWAYS(clock_gettime), ALWAYS(getrandom), ALWAYS(getpid),
	ALWAYS(gettid), ALWAYS(futex), ALWAYS(rt_sigprocmask), ALWAYS(rt_sigreturn), ALWAYS(restart_syscall), ALWAYS(exit),
	ALWAYS(exit_group),
	NEVER(execve), NEVER(execveat), NEVER(socket), NEVER(connect), NEVER(bind), NEVER(mount), NEVER(umount2), NEVER(init_module),
	NEVER(finit_module), NEVER(reboot), NEVER(setns), NEVER(unshare), NEVER(bpf), NEVER(keyctl), NEVER(pivot_root), NEVER(chroot),
	NEVER(ptrace), NEVER(process_vm_writev), NEVER(kexec_load), NEVER(perf_event_open), NEVER(userfaultfd), NEVER(kill),
};

static void child(int in, int root, int to, const struct gb_untar_limits *limits)
{
	static struct report report; /* on no stack: the child of a thread has a small one */
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "untar");
	/* Nothing of the daemon's stays open here. The three descriptors go out of each other's way first. */
	in = fcntl(in, F_DUPFD, 10);
	root = fcntl(root, F_DUPFD, 10);
	to = fcntl(to, F_DUPFD, 10);
	if (in < 0 || root < 0 || to < 0 || dup2(in, 3) < 0 || dup2(root, 4) < 0 || dup2(to, 5) < 0)
		_exit(1);
	closefrom(6);
	for (int fd = 0; fd < 3; fd++)
		(void)close(fd);
	if (fchdir(4) < 0 || chroot(".") < 0)
		r = gb_err_sys(&report.err, errno, "archive: chroot");
	else if ((r = drop_rights()) < 0)
		r = gb_err_sys(&report.err, -r, "archive: rights");
	else if ((r = gb_confine_syscalls(calls, GB_ARRAY_LEN(calls), GB_CONFINE_SANITIZED)) < 0 && r != -EINVAL && r != -ENOSYS)
		r = gb_err_sys(&report.err, -r, "archive: system calls");
	else /* where the kernel has no filters, the rest is what holds it */
		r = gb_untar(3, 4, limits, &report.result, &report.err);
	report.code = -r;
	_exit(gb_io_write(5, &report, sizeof report) < 0);
}

int gb_untar_confined(int in, int root, const struct gb_untar_limits *limits, struct gb_untar_result *ret_result,
		      struct gb_err *err)
{
	struct report report;
	int ends[2], status;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return gb_err_sys(err, errno, "archive: pipe");
	pid_t pid = fork();
	if (pid == 0)
		child(in, root, ends[1], limits);
	int failed_fork = errno;
	(void)close(ends[1]);
	gb_autoclose int from = ends[0];
	if (pid < 0)
		return gb_err_sys(err, failed_fork, "archive: fork");
	ssize_t n = gb_io_read(from, &report, sizeof report);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof report)
		return gb_err_set(err, EIO, "archive: the process that unpacks it has ended before its time");
	if (report.code) {
		if (err)
			*err = report.err;
		return -report.code;
	}
	*ret_result = report.result;
	return 0;
}
