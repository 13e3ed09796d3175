/* SPDX-License-Identifier: MIT */
/* The store of images. */
#include "common/sandbox/image.h"

#include <bsd/stdlib.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/btrfs/ioctl.h"
#include "common/sandbox/sandbox.h"
#include "common/sandbox/spec.h"
#include "common/sandbox/store.h"
#include "common/sandbox/untar.h"

enum {
	ENTRIES_MAX = 4 << 20,
	RECORD_MAX = 4096,
	NAME_ROOM = 32, /* of a folder that is being made or removed */
};
/* What an import leaves free on the data disk: a twentieth, and at most this. */
static const uint64_t reserve_max = 256 << 20;

static int open_store(const char *folder, struct gb_err *err)
{
	int r = gb_io_mkdirs(folder);

	if (r < 0)
		return gb_err_sys(err, -r, "%s", folder);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? gb_err_sys(err, errno, "%s", folder) : fd;
}

static void new_name(char name[NAME_ROOM], const char *kind)
{
	(void)snprintf(name, NAME_ROOM, ".%s-%08x%08x", kind, arc4random(), arc4random());
}

/* The folder that the archive goes into: open, below dir as "root". */
static int make_root(int dir, struct gb_err *err)
{
	int r = gb_btrfs_subvol_create(dir, "root");

	if (r == -ENOTTY || r == -EOPNOTSUPP || r == -EINVAL)
		r = mkdirat(dir, "root", 0755) < 0 ? -errno : 0;
	if (r < 0)
		return gb_err_sys(err, -r, "image: root");
	int fd = openat(dir, "root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* An archive without an entry of its own for the root leaves it as it should be. */
	if (fd < 0 || fchmod(fd, 0755) < 0) {
		int saved = errno;
		gb_close_fd(&fd);
		return gb_err_sys(err, saved, "image: root");
	}
	return fd;
}

static int write_record(int dir, const Guestbox__V1__Image *image, struct gb_err *err)
{
	gb_autobuf struct gb_buf buf = { 0 };
	int r = gb_pb_encode(&image->base, &buf);

	gb_autoclose int fd = openat(dir, "record", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return gb_err_sys(err, errno, "image: record");
	if (r == 0)
		r = gb_io_write(fd, gb_buf_text(&buf), buf.len);
	return r < 0 ? gb_err_sys(err, -r, "image: record") : 0;
}

static int unpack(int dir, const struct gb_sandbox_import *import, Guestbox__V1__Image *image, struct gb_err *err)
{
	struct gb_untar_limits limits = { .entries = ENTRIES_MAX, .bytes = UINT64_MAX, .ids = GB_SANDBOX_IDS };
	struct gb_untar_result result;
	struct statvfs fs;

	gb_autoclose int root = make_root(dir, err);
	if (root < 0)
		return root;
	if (fstatvfs(root, &fs) < 0)
		return gb_err_sys(err, errno, "image: free space");
	uint64_t twentieth = (uint64_t)fs.f_blocks * fs.f_frsize / 20;
	limits.reserve = twentieth < reserve_max ? twentieth : reserve_max;
	int r = gb_untar_confined(import->in, root, &limits, &result, err);
	if (r < 0)
		return r;
	image->files = result.entries;
	image->bytes = result.bytes;
	image->left_out = result.left_out;
	image->created_at = time(NULL);
	return write_record(dir, image, err);
}

/* From the name that it was made under to its own. */
static int publish(int store, const char *temporary, const char *name, bool replace, struct gb_err *err)
{
	char old[NAME_ROOM];

	if (syscall(SYS_renameat2, store, temporary, store, name, RENAME_NOREPLACE) == 0)
		return fsync(store) < 0 ? gb_err_sys(err, errno, "image \"%s\"", name) : 0;
	if (errno != EEXIST)
		return gb_err_sys(err, errno, "image \"%s\"", name);
	if (!replace)
		return gb_err_set(err, EEXIST, "image \"%s\": there is one of that name", name);
	/* In one step, so that there always is one; what was there goes under the name that a sweep would find. */
	if (syscall(SYS_renameat2, store, temporary, store, name, RENAME_EXCHANGE) < 0)
		return gb_err_sys(err, errno, "image \"%s\"", name);
	int r = fsync(store) < 0 ? -errno : 0;
	new_name(old, "old");
	(void)gb_sandbox_tree_remove(store, renameat(store, temporary, store, old) == 0 ? old : temporary);
	return r < 0 ? gb_err_sys(err, -r, "image \"%s\"", name) : 0;
}

static int import_into(int store, const char *temporary, const struct gb_sandbox_import *import, Guestbox__V1__Image *image,
		       struct gb_err *err)
{
	if (mkdirat(store, temporary, 0700) < 0)
		return gb_err_sys(err, errno, "image \"%s\"", import->name);
	gb_autoclose int dir = openat(store, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return gb_err_sys(err, errno, "image \"%s\"", import->name);
	int r = unpack(dir, import, image, err);
	if (r < 0)
		return r;
	/* All of it before its name: a power cut leaves a whole image or none. */
	if (syncfs(dir) < 0)
		return gb_err_sys(err, errno, "image \"%s\": sync", import->name);
	if (import->whole && !import->whole(import->arg))
		return gb_err_set(err, ECANCELED, "image \"%s\": whoever sent it has left", import->name);
	return publish(store, temporary, import->name, import->replace, err);
}

int gb_sandbox_image_import(const char *folder, const struct gb_sandbox_import *import, Guestbox__V1__Image **ret_image,
			    struct gb_err *err)
{
	char temporary[NAME_ROOM];
	struct stat st;

	int r = gb_sandbox_check_image(import->name, err);
	if (r < 0)
		return r;
	gb_autoclose int store = open_store(folder, err);
	if (store < 0)
		return store;
	/* Better told before hundreds of megabytes than behind them. */
	if (!import->replace && fstatat(store, import->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return gb_err_set(err, EEXIST, "image \"%s\": there is one of that name", import->name);
	Guestbox__V1__Image *image = malloc(sizeof *image);
	if (!image)
		return gb_err_sys(err, ENOMEM, "image \"%s\"", import->name);
	guestbox__v1__image__init(image);
	image->name = strdup(import->name);
	new_name(temporary, "new");
	r = image->name ? import_into(store, temporary, import, image, err) : gb_err_sys(err, ENOMEM, "image");
	if (r < 0) {
		(void)gb_sandbox_tree_remove(store, temporary);
		guestbox__v1__image__free_unpacked(image, NULL);
		return r;
	}
	*ret_image = image;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(Guestbox__V1__Image *const *)a)->name, (*(Guestbox__V1__Image *const *)b)->name);
}

void gb_sandbox_images_free(Guestbox__V1__Image **images, size_t len)
{
	for (size_t i = 0; i < len; i++)
		guestbox__v1__image__free_unpacked(images[i], NULL);
	free(images);
}

/* What is known of an image: a folder that somebody made by hand, with a root in it, is one as well. */
static Guestbox__V1__Image *read_record(int store, const char *name)
{
	gb_autobuf struct gb_buf buf = { 0 };
	ProtobufCMessage *message = NULL;
	char path[300];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/root", name);
	if (fstatat(store, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return NULL;
	(void)snprintf(path, sizeof path, "%s/record", name);
	if (gb_io_slurp(store, path, RECORD_MAX, &buf) < 0 ||
	    gb_pb_decode(&guestbox__v1__image__descriptor, gb_buf_text(&buf), buf.len, &message, NULL) < 0) {
		Guestbox__V1__Image *image = malloc(sizeof *image);
		if (!image)
			return NULL;
		guestbox__v1__image__init(image);
		image->created_at = st.st_mtime;
		message = &image->base;
	}
	Guestbox__V1__Image *image = (Guestbox__V1__Image *)(void *)message;
	char *own = strdup(name);
	if (image->name != (char *)protobuf_c_empty_string)
		free(image->name);
	image->name = own ? own : (char *)protobuf_c_empty_string;
	return image;
}

int gb_sandbox_images(const char *folder, Guestbox__V1__Image ***ret_images, size_t *ret_len, struct gb_err *err)
{
	Guestbox__V1__Image **images = NULL;
	size_t len = 0, size = 0;
	struct dirent *entry;

	gb_autoclosedir DIR *dir = opendir(folder);
	if (!dir && errno != ENOENT)
		return gb_err_sys(err, errno, "%s", folder);
	while (dir && (entry = readdir(dir))) {
		if (gb_sandbox_check_image(entry->d_name, NULL) < 0)
			continue;
		if (len == size) {
			size = size ? 2 * size : 16;
			Guestbox__V1__Image **more = reallocarray(images, size, sizeof *more);
			if (!more) {
				gb_sandbox_images_free(images, len);
				return gb_err_sys(err, ENOMEM, "%s", folder);
			}
			images = more;
		}
		images[len] = read_record(dirfd(dir), entry->d_name);
		len += images[len] != NULL;
	}
	if (len)
		qsort(images, len, sizeof images[0], by_name);
	*ret_images = images;
	*ret_len = len;
	return 0;
}

int gb_sandbox_image_remove(const char *folder, const char *name, struct gb_err *err)
{
	char old[NAME_ROOM];

	int r = gb_sandbox_check_image(name, err);
	if (r < 0)
		return r;
	gb_autoclose int store = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	new_name(old, "old");
	/* Gone in one step; what a crash leaves of it is swept. */
	if (store < 0 || renameat(store, name, store, old) < 0)
		return errno == ENOENT ? gb_err_set(err, ENOENT, "image \"%s\": not in the store", name)
				       : gb_err_sys(err, errno, "image \"%s\"", name);
	r = gb_sandbox_tree_remove(store, old);
	return r < 0 ? gb_err_sys(err, -r, "image \"%s\": remove", name) : 0;
}

void gb_sandbox_images_sweep(const char *folder)
{
	struct dirent *entry;

	gb_autoclosedir DIR *dir = opendir(folder);
	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, ".new-", 5) == 0 || strncmp(entry->d_name, ".old-", 5) == 0)
			(void)gb_sandbox_tree_remove(dirfd(dir), entry->d_name);
	}
}
