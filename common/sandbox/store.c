/* SPDX-License-Identifier: MIT */
/* What is kept on the data disk. */
#include "common/sandbox/store.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/btrfs/ioctl.h"
#include "common/sys/pidrec.h"

enum { RECORD_MAX = 4 << 20, DEPTH = 64 };

void gb_sandbox_place_set(struct gb_sandbox_place *place, const char *data)
{
	uint32_t hash = 0x811c9dc5; /* FNV-1a */

	(void)strlcpy(place->data, data, sizeof place->data);
	for (const char *p = place->data; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x01000193;
	(void)snprintf(place->run, sizeof place->run, GB_SANDBOX_RUN "/%08x", hash);
	(void)snprintf(place->cgroup, sizeof place->cgroup, GB_SANDBOX_CGROUP "/%08x", hash);
}

static const char *const folders[] = { "boxes", "snapshots", "images" };

int gb_sandbox_store_open(const struct gb_sandbox_place *place, struct gb_err *err)
{
	char path[512];

	for (size_t i = 0; i < GB_ARRAY_LEN(folders); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", place->data, folders[i]);
		int r = gb_io_mkdirs(path);
		if (r < 0)
			return gb_err_sys(err, -r, "%s", path);
	}
	/* Nobody but root looks in: setuid files of a sandbox's root would be real ones to who finds them here. */
	if (chmod(place->data, 0700) < 0)
		return gb_err_sys(err, errno, "%s", place->data);
	int r = gb_io_mkdirs(place->run);
	return r < 0 ? gb_err_sys(err, -r, "%s", place->run) : 0;
}

void gb_sandbox_new_name(char *name)
{
	static const char letters[] = "0123456789abcdef";
	unsigned char raw[GB_SANDBOX_INSTANCE];

	arc4random_buf(raw, sizeof raw);
	for (size_t i = 0; i < sizeof raw; i++)
		name[i] = letters[raw[i] & 15];
	name[sizeof raw] = '\0';
}

void gb_sandbox_new_uuid(char *text)
{
	unsigned char b[16];

	arc4random_buf(b, sizeof b);
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	(void)snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
		       b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void gb_sandbox_box_path(const struct gb_sandbox_place *place, const char *instance, const char *file, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/boxes/%.64s%s%.32s", place->data, instance, file ? "/" : "", file ? file : "");
}

void gb_sandbox_snapshot_path(const struct gb_sandbox_place *place, const char *id, const char *file, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/snapshots/%.64s%s%.32s", place->data, id, file ? "/" : "", file ? file : "");
}

void gb_sandbox_images_path(const struct gb_sandbox_place *place, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/images", place->data);
}

/* ---- removal ---- */

/* What is nested too deeply to be walked to is moved to the top, from where it goes in another pass. */
struct removal {
	int top;
	bool again;
};

static int move_up(struct removal *removal, int fd, const char *name)
{
	char new[GB_SANDBOX_INSTANCE + 8] = ".deep-";

	gb_sandbox_new_name(new + strlen(new));
	if (renameat(fd, name, removal->top, new) < 0)
		return -errno;
	removal->again = true;
	return 0;
}

static int remove_below(struct removal *removal, int fd, int depth)
{
	gb_autoclosedir DIR *dir = gb_dir_take(fd);
	const struct dirent *entry;
	int more, r = 0, failed = 0;

	if (!dir)
		return -errno;
	while ((more = gb_dir_next(dir, &entry)) > 0) {
		struct stat st;
		if (unlinkat(fd, entry->d_name, 0) == 0)
			continue;
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)) {
			failed = failed ? failed : -errno;
			continue;
		}
		if (gb_btrfs_subvol_is(fd, entry->d_name) == 1 && gb_btrfs_subvol_delete(fd, entry->d_name) == 0)
			continue;
		if (depth == 0) {
			r = move_up(removal, fd, entry->d_name);
		} else {
			int below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			r = below < 0 ? -errno : remove_below(removal, below, depth - 1);
			if (r == 0 && unlinkat(fd, entry->d_name, AT_REMOVEDIR) < 0)
				r = -errno;
		}
		failed = failed ? failed : r;
	}
	return failed ? failed : more;
}

int gb_sandbox_tree_remove(int dirfd, const char *name)
{
	if (gb_btrfs_subvol_is(dirfd, name) == 1 && gb_btrfs_subvol_delete(dirfd, name) == 0)
		return 0;
	gb_autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	struct removal removal = { .top = fd };
	int r;
	do {
		removal.again = false;
		int pass = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = pass < 0 ? -errno : remove_below(&removal, pass, DEPTH);
	} while (r == 0 && removal.again);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && r == 0)
		r = -errno;
	return r;
}

/* A folder's record goes first: what is left after a crash is then known to be rubbish. */
static int remove_entry(const char *path, struct gb_err *err)
{
	gb_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : gb_err_sys(err, errno, "%s", path);
	if (unlinkat(fd, "record", 0) < 0 && errno != ENOENT)
		return gb_err_sys(err, errno, "%s/record", path);
	int r = gb_sandbox_tree_remove(AT_FDCWD, path);
	return r < 0 ? gb_err_sys(err, -r, "%s: remove", path) : 0;
}

int gb_sandbox_box_remove(const struct gb_sandbox_place *place, const char *instance, struct gb_err *err)
{
	char path[512];

	gb_sandbox_box_path(place, instance, NULL, path, sizeof path);
	return remove_entry(path, err);
}

int gb_sandbox_snapshot_remove(const struct gb_sandbox_place *place, const char *id, struct gb_err *err)
{
	char path[512];

	gb_sandbox_snapshot_path(place, id, NULL, path, sizeof path);
	return remove_entry(path, err);
}

/* ---- records ---- */

static int write_message(const char *dir, const ProtobufCMessage *message, bool sync, struct gb_err *err)
{
	gb_autobuf struct gb_buf buf = { 0 };
	int r = gb_pb_encode(message, &buf);

	gb_autoclose int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0)
		return gb_err_sys(err, errno, "%s", dir);
	gb_autoclose int fd = openat(dirfd, "record.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s/record.new", dir);
	if (r == 0)
		r = gb_io_write(fd, gb_buf_text(&buf), buf.len);
	if (r == 0 && sync && fdatasync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, "record.new", dirfd, "record") < 0)
		r = -errno;
	if (r == 0 && sync && fsync(dirfd) < 0)
		r = -errno;
	return r < 0 ? gb_err_sys(err, -r, "%s/record", dir) : 0;
}

int gb_sandbox_record_write(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, bool sync,
			    struct gb_err *err)
{
	char path[512];

	gb_sandbox_box_path(place, record->instance, NULL, path, sizeof path);
	return write_message(path, &record->base, sync, err);
}

int gb_sandbox_record_note(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, struct gb_err *err)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", place->run, record->instance);
	return write_message(path, &record->base, false, err);
}

int gb_sandbox_snapshot_write(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Snapshot *snapshot,
			      struct gb_err *err)
{
	char path[512];

	gb_sandbox_snapshot_path(place, snapshot->id, NULL, path, sizeof path);
	return write_message(path, &snapshot->base, true, err);
}

static int read_message(const char *dir, const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret, struct gb_err *err)
{
	gb_autobuf struct gb_buf buf = { 0 };
	char path[600];

	(void)snprintf(path, sizeof path, "%s/record", dir);
	int r = gb_io_slurp(AT_FDCWD, path, RECORD_MAX, &buf);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", path);
	if (buf.len == 0)
		return gb_err_set(err, ENODATA, "%s: it is empty", path);
	/* More fields than the request that it came of: those of the image are in it, and its own. */
	r = gb_pb_decode_reply(type, gb_buf_text(&buf), buf.len, ret, err);
	return r < 0 ? gb_err_wrap(err, "%s", path) : 0;
}

/* Nothing of it is missing that its users count on. */
static bool is_whole(const Guestbox__Sandbox__Record *record)
{
	return record && record->spec && record->spec->limits && record->spec->network;
}

static bool is_box(const ProtobufCMessage *message, const char *name)
{
	const Guestbox__Sandbox__Record *record = (const void *)message;

	return strcmp(record->instance, name) == 0 && is_whole(record);
}

static bool is_snapshot(const ProtobufCMessage *message, const char *name)
{
	const Guestbox__Sandbox__Snapshot *snapshot = (const void *)message;

	return strcmp(snapshot->id, name) == 0 && is_whole(snapshot->record);
}

struct shelf {
	const struct gb_sandbox_place *place;
	const char *folder;
	const ProtobufCMessageDescriptor *type;
	bool (*fits)(const ProtobufCMessage *message, const char *name);
	/* The caller's, one of them; its data. */
	gb_sandbox_record_fn *on_record;
	gb_sandbox_snapshot_fn *on_snapshot;
	void *arg;
};

/* What this boot's daemon has noted since. */
static void take_note(const struct gb_sandbox_place *place, const char *name, ProtobufCMessage **message)
{
	ProtobufCMessage *note = NULL;
	struct gb_err ignored;
	char dir[200], boot[GB_BOOT_ID];

	(void)snprintf(dir, sizeof dir, "%s/%.64s", place->run, name);
	if (read_message(dir, &guestbox__sandbox__record__descriptor, &note, &ignored) < 0)
		return;
	gb_pidrec_boot_id(boot);
	if (is_box(note, name) && strcmp(((Guestbox__Sandbox__Record *)note)->boot_id, boot) == 0) {
		ProtobufCMessage *old = *message;
		*message = note;
		note = old;
	}
	gb_pb_free(&note);
}

static void show(const struct shelf *shelf, const char *dir, const char *name)
{
	ProtobufCMessage *message = NULL;
	struct gb_err why = { 0 };

	int r = read_message(dir, shelf->type, &message, &why);
	if (r == 0 && !shelf->fits(message, name)) {
		(void)gb_err_set(&why, EBADMSG, "%s/record: another one's, or not whole", dir);
		gb_pb_free(&message);
	}
	/* A power cut before the first one that was synced: the same as none. All later ones, and those of snapshots, are synced
	 * before they have their name. */
	if (r == -ENODATA && shelf->on_record)
		why.code = ENOENT;
	if (message && shelf->on_record)
		take_note(shelf->place, name, &message);
	bool taken = shelf->on_record ? shelf->on_record(name, (Guestbox__Sandbox__Record *)message, &why, shelf->arg)
				      : shelf->on_snapshot(name, (Guestbox__Sandbox__Snapshot *)message, &why, shelf->arg);
	if (!taken)
		gb_pb_free(&message);
}

static int each_of(const struct gb_sandbox_place *place, const struct shelf *shelf, struct gb_err *err)
{
	char path[512], entry_path[512 + 66];
	const struct dirent *entry;
	int r;

	(void)snprintf(path, sizeof path, "%s/%s", place->data, shelf->folder);
	gb_autoclosedir DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : gb_err_sys(err, errno, "%s", path);
	/* One that is not seen would be taken for gone. */
	while ((r = gb_dir_next(dir, &entry)) > 0) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) > 64)
			continue;
		(void)snprintf(entry_path, sizeof entry_path, "%s/%.64s", path, entry->d_name);
		show(shelf, entry_path, entry->d_name);
	}
	return r < 0 ? gb_err_sys(err, -r, "%s", path) : 0;
}

int gb_sandbox_records(const struct gb_sandbox_place *place, gb_sandbox_record_fn *fn, void *arg, struct gb_err *err)
{
	const struct shelf boxes = { place, "boxes", &guestbox__sandbox__record__descriptor, is_box, fn, NULL, arg };

	return each_of(place, &boxes, err);
}

int gb_sandbox_snapshots(const struct gb_sandbox_place *place, gb_sandbox_snapshot_fn *fn, void *arg, struct gb_err *err)
{
	const struct shelf snapshots = { place, "snapshots", &guestbox__sandbox__snapshot__descriptor, is_snapshot, NULL, fn, arg };

	return each_of(place, &snapshots, err);
}

/* ---- layers ---- */

/* What the root of a new sandbox is: opened without following a link at any place, so that what one sandbox may write
 * leads no other's root elsewhere. */
static int open_root(const struct gb_sandbox_place *place, const Sandbox__V1__CreateSandboxRequest *spec, char *path,
		     size_t size, struct gb_err *err)
{
	const char *image = *spec->image || *spec->rootfs ? spec->image : "default";

	if (*spec->rootfs)
		(void)strlcpy(path, spec->rootfs, size);
	else
		(void)snprintf(path, size, "%s/images/%s/root", place->data, image);
	int fd = gb_io_openat2(AT_FDCWD, path, O_PATH, RESOLVE_NO_SYMLINKS);
	if (fd >= 0)
		return fd;
	if (fd == -ELOOP)
		return gb_err_set(err, EINVAL, "rootfs %s: there is a symbolic link on the way", path);
	if (fd == -ENOENT && !*spec->rootfs)
		return *spec->image ? gb_err_set(err, ENOENT, "image \"%s\": not in the store (%s/images)", image, place->data)
				    : gb_err_set(err, ENOENT, "neither rootfs nor image was given, and there is no image \"default\"");
	return gb_err_sys(err, -fd, "rootfs %s", path);
}

int gb_sandbox_fsimage(int fd, const char *name, struct gb_fsimage *ret_image, struct gb_err *err)
{
	unsigned char head[GB_FSIMAGE_HEAD];
	struct gb_io_path path;
	struct stat st;

	gb_autoclose int file = open(gb_io_path(fd, &path), O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &st) < 0)
		return gb_err_sys(err, errno, "%s", name);
	ssize_t n = gb_io_read(file, head, sizeof head);
	return n < 0 ? gb_err_sys(err, (int)-n, "%s", name)
		     : gb_fsimage_read(head, (size_t)n, (uint64_t)st.st_size, name, ret_image, err);
}

static int no_root(const char *path, struct gb_err *err)
{
	return gb_err_set(err, EINVAL, "rootfs %s: neither a folder nor an image file", path);
}

int gb_sandbox_root_check(const struct gb_sandbox_place *place, const Sandbox__V1__CreateSandboxRequest *spec, struct gb_err *err)
{
	char path[1100];
	struct stat st;

	gb_autoclose int fd = open_root(place, spec, path, sizeof path, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return gb_err_sys(err, errno, "rootfs %s", path);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return no_root(path, err);
	struct gb_fsimage image;
	int r = S_ISREG(st.st_mode) ? gb_sandbox_fsimage(fd, path, &image, err) : 0;
	return r < 0 ? gb_err_wrap(err, "rootfs") : 0;
}

static int make_layer(int boxfd, bool *ret_subvolume)
{
	int r = gb_btrfs_subvol_create(boxfd, "layer");

	*ret_subvolume = r == 0;
	if (r == -ENOTTY || r == -EOPNOTSUPP || r == -EINVAL)
		r = mkdirat(boxfd, "layer", 0755) < 0 ? -errno : 0;
	return r;
}

static int overlay_layer(int boxfd, Guestbox__Sandbox__Record *record)
{
	bool subvolume;
	int r = make_layer(boxfd, &subvolume);

	if (r == 0 && (mkdirat(boxfd, "layer/upper", 0755) < 0 || mkdirat(boxfd, "layer/work", 0755) < 0))
		r = -errno;
	record->overlay = true;
	record->subvolume = subvolume;
	return r;
}

static int layer_of_snapshot(const struct gb_sandbox_place *place, int boxfd, const char *snapshot)
{
	char path[512];

	gb_sandbox_snapshot_path(place, snapshot, "layer", path, sizeof path);
	gb_autoclose int source = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0)
		return -errno;
	int r = gb_btrfs_snapshot(boxfd, "layer", source, false);
	/* What an overlay was in the middle of belongs to the mount that did it. */
	if (r == 0)
		(void)gb_sandbox_tree_remove(boxfd, "layer/work"); /* there is none in a root */
	return r;
}

int gb_sandbox_layer_make(const struct gb_sandbox_place *place, Guestbox__Sandbox__Record *record, const char *snapshot,
			  struct gb_err *err)
{
	char box[512], root[1100];
	struct stat st;
	int r = 0;

	gb_sandbox_box_path(place, record->instance, NULL, box, sizeof box);
	gb_autoclose int fd = snapshot ? -1 : open_root(place, record->spec, root, sizeof root, err);
	if (!snapshot && fd < 0)
		return fd;
	if (mkdir(box, 0755) < 0)
		return gb_err_sys(err, errno, "%s", box);
	gb_autoclose int boxfd = open(box, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (boxfd < 0) {
		r = gb_err_sys(err, errno, "%s", box);
	} else if (snapshot) {
		r = layer_of_snapshot(place, boxfd, snapshot);
		if (r == 0 && record->overlay && mkdirat(boxfd, "layer/work", 0755) < 0)
			r = -errno;
		if (r < 0)
			r = gb_err_sys(err, -r, "snapshot %s", snapshot);
	} else if (fstat(fd, &st) < 0) {
		r = gb_err_sys(err, errno, "rootfs %s", root);
	} else if (S_ISREG(st.st_mode)) {
		record->lower_image = true;
		r = overlay_layer(boxfd, record);
		if (r < 0)
			r = gb_err_sys(err, -r, "%s/layer", box);
	} else if (S_ISDIR(st.st_mode)) {
		gb_autoclose int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = dir < 0 ? -errno : gb_btrfs_snapshot(boxfd, "layer", dir, false);
		if (r == 0) {
			record->subvolume = true;
		} else {
			/* EXDEV: another file system, EINVAL: a folder of a subvolume, ENOTTY: no Btrfs. */
			r = overlay_layer(boxfd, record);
			if (r < 0)
				r = gb_err_sys(err, -r, "%s/layer", box);
		}
	} else {
		r = no_root(root, err);
	}
	if (r == 0 && record->overlay && !snapshot && gb_pb_set(&record->lower, root) < 0)
		r = gb_err_sys(err, ENOMEM, "record");
	if (r < 0)
		(void)gb_sandbox_tree_remove(AT_FDCWD, box);
	return r;
}

int gb_sandbox_snapshot_make(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *id,
			     struct gb_err *err)
{
	char layer[512], to[512];

	if (!record->subvolume)
		return gb_err_set(err, EOPNOTSUPP, GB_SANDBOX_NO_SNAPSHOT,
				  record->spec->id, place->data);
	gb_sandbox_box_path(place, record->instance, "layer", layer, sizeof layer);
	gb_sandbox_snapshot_path(place, id, NULL, to, sizeof to);
	gb_autoclose int source = open(layer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0)
		return gb_err_sys(err, errno, "%s", layer);
	if (mkdir(to, 0700) < 0)
		return gb_err_sys(err, errno, "%s", to);
	gb_autoclose int fd = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : gb_btrfs_snapshot(fd, "layer", source, true);
	if (r == 0 && syncfs(fd) < 0)
		r = -errno;
	if (r < 0) {
		(void)gb_sandbox_tree_remove(AT_FDCWD, to);
		return gb_err_sys(err, -r, "%s", to);
	}
	return 0;
}
