/* SPDX-License-Identifier: MIT */
/* The store of images. */
#include "common/sandbox/image.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/base/list.h"
#include "common/btrfs/ioctl.h"
#include "common/sandbox/manifest.h"
#include "common/sandbox/sandbox.h"
#include "common/sandbox/spec.h"
#include "common/sandbox/store.h"
#include "common/sandbox/untar.h"
#include "common/sandbox/unzip.h"
#include "common/sys/sha256.h"

enum {
	ENTRIES_MAX = 4 << 20,
	RECORD_MAX = 1 << 20,
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

/* What an import leaves free of the disk. */
static int reserve_of(int fd, uint64_t *ret, struct gb_err *err)
{
	struct statvfs fs;

	if (fstatvfs(fd, &fs) < 0)
		return gb_err_sys(err, errno, "image: free space");
	uint64_t twentieth = (uint64_t)fs.f_blocks * fs.f_frsize / 20;
	*ret = twentieth < reserve_max ? twentieth : reserve_max;
	return 0;
}

/* One archive, compressed or not, into root. head are its first bytes. */
static int untar(int in, const unsigned char *head, size_t len, int root, enum gb_untar_mode mode, Guestbox__V1__Image *image,
		 struct gb_err *err)
{
	struct gb_untar_limits limits = { .mode = mode, .entries = ENTRIES_MAX, .bytes = UINT64_MAX, .ids = GB_SANDBOX_IDS };
	const char *program = gb_unzip_program(head, len);
	struct gb_untar_result result;
	struct gb_unzip unzip;

	int r = reserve_of(root, &limits.reserve, err);
	if (r < 0)
		return r;
	if (!program) {
		r = gb_untar_confined(in, root, &limits, &result, err);
	} else {
		r = gb_unzip_start(program, in, &unzip, err);
		if (r < 0)
			return r;
		r = gb_untar_confined(unzip.out, root, &limits, &result, err);
		/* An archive that ends too early does so for what befell the program: that is the reason to tell. */
		struct gb_err why;
		int ended = gb_unzip_end(&unzip, &why);
		if (ended < 0 && (r == 0 || r == -EBADMSG) && !(r < 0 && strstr(why.msg, "signal"))) {
			r = ended;
			*err = why;
		}
	}
	if (r == 0 && mode != GB_UNTAR_WHITEOUTS) {
		image->files += result.entries;
		image->bytes += result.bytes;
		image->left_out += result.left_out;
	}
	return r;
}

/* ---- archives of images ---- */

/* A file that the archive's papers name. Older archives have one layer as a link to another's. */
static int open_blob(int archive, const char *path, struct gb_err *err)
{
	gb_autoclose int fd = gb_io_openat2(archive, path, O_RDONLY | O_NONBLOCK, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
	struct stat st;

	if (fd == -ENOENT || fd == -ELOOP || fd == -EXDEV)
		return gb_err_set(err, EBADMSG, "image archive: %s: named in it, and not there", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return gb_err_sys(err, fd < 0 ? -fd : errno, "image archive: %s", path);
	if (!S_ISREG(st.st_mode))
		return gb_err_set(err, EBADMSG, "image archive: %s: not a file", path);
	return gb_take_fd(&fd);
}

/* What fd gives has this SHA-256: 0, -EBADMSG or -errno. */
static int check_digest(int fd, const char *path, const char *digest, struct gb_err *err)
{
	enum { CHUNK = 256 << 10 };
	gb_autofree unsigned char *chunk = malloc(CHUNK);
	unsigned char sum[SHA256_DIGEST_LENGTH];
	char text[GB_DIGEST + 1];
	SHA256_CTX sha;
	ssize_t n;

	if (!chunk)
		return gb_err_sys(err, ENOMEM, "image archive");
	SHA256_Init(&sha);
	while ((n = gb_io_read(fd, chunk, CHUNK)) > 0)
		SHA256_Update(&sha, chunk, (size_t)n);
	if (n < 0)
		return gb_err_sys(err, (int)-n, "image archive: %s", path);
	SHA256_Final(sum, &sha);
	for (size_t i = 0; i < sizeof sum; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", sum[i]);
	return strcmp(text, digest) == 0 ? 0 : gb_err_set(err, EBADMSG, "image archive: %s: damaged: its SHA-256 is %s, and not %s",
							  path, text, digest);
}

/* A document of the archive, checked. */
static int read_blob(int archive, const struct gb_blob *blob, struct gb_buf *text, struct gb_err *err)
{
	gb_autoclose int fd = open_blob(archive, blob->path, err);
	struct gb_io_path path;

	if (fd < 0)
		return fd;
	int r = *blob->digest ? check_digest(fd, blob->path, blob->digest, err) : 0;
	if (r < 0)
		return r;
	r = gb_io_slurp(AT_FDCWD, gb_io_path(fd, &path), GB_MANIFEST_MAX, text);
	return r < 0 ? gb_err_sys(err, -r, "image archive: %s", blob->path) : 0;
}

/* One layer on top of those below. diff: the SHA-256 of what it is unpacked, "" when it is checked as it is. */
static int apply_layer(int archive, const struct gb_blob *blob, const char *diff, bool first, int root, Guestbox__V1__Image *image,
		       struct gb_err *err)
{
	unsigned char head[GB_UNZIP_HEAD];
	struct gb_unzip unzip;
	int r;

	gb_autoclose int fd = open_blob(archive, blob->path, err);
	if (fd < 0)
		return fd;
	ssize_t n = gb_io_pread(fd, head, sizeof head, 0);
	if (n < 0)
		return gb_err_sys(err, (int)-n, "image archive: %s", blob->path);
	const char *program = gb_unzip_program(head, (size_t)n);
	if (*blob->digest) {
		r = check_digest(fd, blob->path, blob->digest, err);
	} else if (!program) {
		r = check_digest(fd, blob->path, diff, err);
	} else {
		r = gb_unzip_start(program, fd, &unzip, err);
		if (r == 0) {
			r = check_digest(unzip.out, blob->path, diff, err);
			int ended = gb_unzip_end(&unzip, r < 0 ? NULL : err);
			r = r < 0 ? r : ended;
		}
	}
	/* The lowest one has nothing to take away from. */
	for (int mode = first ? GB_UNTAR_LAYER : GB_UNTAR_WHITEOUTS; r == 0 && mode <= GB_UNTAR_LAYER; mode++) {
		if (lseek(fd, 0, SEEK_SET) < 0)
			return gb_err_sys(err, errno, "image archive: %s", blob->path);
		r = untar(fd, head, (size_t)n, root, (enum gb_untar_mode)mode, image, err);
		if (r < 0)
			return gb_err_wrap(err, "%s", blob->path);
	}
	return r;
}

/* Whether there is a file of that name: 1, 0, or -errno with err set. */
static int has_file(int archive, const char *name, struct gb_err *err)
{
	struct stat st;

	if (fstatat(archive, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISREG(st.st_mode);
	return errno == ENOENT ? 0 : gb_err_sys(err, errno, "image archive: %s", name);
}

/* The manifest of an archive; 1 if it is none of an image. */
static int find_manifest(int archive, struct gb_manifest *ret_manifest, struct gb_err *err)
{
	enum { INDEXES = 4 };
	gb_autobuf struct gb_buf text = { 0 };

	int r = has_file(archive, "manifest.json", err);
	if (r > 0) {
		const struct gb_blob blob = { .path = (char *)(uintptr_t)"manifest.json" };
		r = read_blob(archive, &blob, &text, err);
		return r < 0 ? r : gb_manifest_docker(gb_buf_text(&text), text.len, ret_manifest, err);
	}
	if (r == 0)
		r = has_file(archive, "oci-layout", err);
	if (r > 0)
		r = has_file(archive, "index.json", err);
	if (r <= 0)
		return r < 0 ? r : 1;
	struct gb_blob at = { .path = strdup("index.json") };
	r = at.path ? 1 : gb_err_sys(err, ENOMEM, "image archive");
	for (int i = 0; r == 1 && i < INDEXES; i++) {
		struct gb_blob next = { 0 };
		text.len = 0;
		r = read_blob(archive, &at, &text, err);
		if (r == 0)
			r = gb_manifest_index(gb_buf_text(&text), text.len, &next, err);
		free(at.path);
		at = next;
	}
	if (r == 1)
		r = gb_err_set(err, EBADMSG, "image archive: an index in an index in an index");
	text.len = 0;
	if (r == 0)
		r = read_blob(archive, &at, &text, err);
	if (r == 0)
		r = gb_manifest_oci(gb_buf_text(&text), text.len, ret_manifest, err);
	free(at.path);
	return r;
}

/* All layers of an image into root, and its configuration into image. */
static int apply_image(int archive, const struct gb_manifest *manifest, int root, Guestbox__V1__Image *image, struct gb_err *err)
{
	gb_autofree char (*diffs)[GB_DIGEST + 1] = calloc(GB_MANIFEST_LAYERS, sizeof *diffs);
	gb_autobuf struct gb_buf text = { 0 };
	size_t n = 0;

	if (!diffs)
		return gb_err_sys(err, ENOMEM, "image archive");
	int r = read_blob(archive, &manifest->config, &text, err);
	if (r == 0)
		r = gb_manifest_config(gb_buf_text(&text), text.len, image, diffs, &n, err);
	if (r == 0 && n != manifest->layers_len)
		r = gb_err_set(err, EBADMSG, "image archive: %zu layers, and the digests of %zu", manifest->layers_len, n);
	image->files = image->bytes = image->left_out = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = apply_layer(archive, &manifest->layers[i], diffs[i], i == 0, root, image, err);
	image->layers = (uint32_t)n;
	return r;
}

/* What was unpacked may be an image's layers and papers, and no root file system: then they take its place. */
static int unfold(int dir, int *root, Guestbox__V1__Image *image, struct gb_err *err)
{
	struct gb_manifest *manifest = calloc(1, sizeof *manifest);

	if (!manifest)
		return gb_err_sys(err, ENOMEM, "image archive");
	int r = find_manifest(*root, manifest, err);
	if (r == 0) {
		gb_autoclose int archive = gb_take_fd(root);
		if (renameat(dir, "root", dir, "archive") < 0)
			r = gb_err_sys(err, errno, "image archive");
		if (r == 0)
			r = *root = make_root(dir, err);
		if (r >= 0)
			r = apply_image(archive, manifest, *root, image, err);
	}
	gb_manifest_free(manifest);
	free(manifest);
	if (r == 0 && (r = gb_sandbox_tree_remove(dir, "archive")) < 0)
		r = gb_err_sys(err, -r, "image archive: remove");
	return r < 0 ? r : 0;
}

/* ---- an import ---- */

static int unpack(int dir, const struct gb_sandbox_import *import, Guestbox__V1__Image *image, struct gb_err *err)
{
	unsigned char head[GB_UNZIP_HEAD];

	gb_autoclose int root = make_root(dir, err);
	if (root < 0)
		return root;
	/* A socket: they stay there for whoever reads it. */
	ssize_t n = recv(import->in, head, sizeof head, MSG_PEEK | MSG_WAITALL);
	if (n < 0)
		return gb_err_sys(err, errno, "archive");
	int r = untar(import->in, head, (size_t)n, root, GB_UNTAR_FILES, image, err);
	if (r == 0)
		r = unfold(dir, &root, image, err);
	if (r < 0)
		return r;
	image->created_at = time(NULL);
	return write_record(dir, image, err);
}

/* From the name that it was made under to its own. */
static int publish(int store, const char *temporary, const char *name, bool replace, struct gb_err *err)
{
	char old[NAME_ROOM];

	if (renameat2(store, temporary, store, name, RENAME_NOREPLACE) == 0)
		return fsync(store) < 0 ? gb_err_sys(err, errno, "image \"%s\"", name) : 0;
	if (errno != EEXIST)
		return gb_err_sys(err, errno, "image \"%s\"", name);
	if (!replace)
		return gb_err_set(err, EEXIST, "image \"%s\": there is one of that name", name);
	/* In one step, so that there always is one; what was there goes under the name that a sweep would find. */
	if (renameat2(store, temporary, store, name, RENAME_EXCHANGE) < 0)
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

/* What is known of an image: a folder that somebody made by hand, with a root in it, is one as well. NULL and 0: there is none;
 * *ret_error is what keeps it, or its record alone, from being read. */
static Guestbox__V1__Image *read_record(int store, const char *name, int *ret_error)
{
	gb_autobuf struct gb_buf buf = { 0 };
	ProtobufCMessage *message = NULL;
	char path[300];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/root", name);
	*ret_error = 0;
	if (fstatat(store, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		*ret_error = errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
		return NULL;
	}
	if (!S_ISDIR(st.st_mode))
		return NULL;
	(void)snprintf(path, sizeof path, "%s/record", name);
	int r = gb_io_slurp(store, path, RECORD_MAX, &buf);
	if (r == 0)
		r = gb_pb_decode(&guestbox__v1__image__descriptor, gb_buf_text(&buf), buf.len, &message, NULL);
	*ret_error = r == -ENOENT ? 0 : r;
	if (r < 0) {
		Guestbox__V1__Image *image = malloc(sizeof *image);
		if (!image) {
			*ret_error = -ENOMEM;
			return NULL;
		}
		guestbox__v1__image__init(image);
		image->created_at = st.st_mtime;
		message = &image->base;
	}
	Guestbox__V1__Image *image = (Guestbox__V1__Image *)(void *)message;
	if (gb_pb_set(&image->name, name) < 0) {
		guestbox__v1__image__free_unpacked(image, NULL);
		*ret_error = -ENOMEM;
		return NULL;
	}
	return image;
}

int gb_sandbox_images(const char *folder, Guestbox__V1__Image ***ret_images, size_t *ret_len, struct gb_err *err)
{
	Guestbox__V1__Image **images = NULL;
	size_t len = 0, size = 0;
	const struct dirent *entry;
	int r = 0, error;

	gb_autoclosedir DIR *dir = opendir(folder);
	if (!dir && errno != ENOENT)
		return gb_err_sys(err, errno, "%s", folder);
	while (dir && (r = gb_dir_next(dir, &entry)) > 0) {
		if (gb_sandbox_check_image(entry->d_name, NULL) < 0)
			continue;
		r = gb_list_room(&images, len, &size, sizeof *images);
		if (r < 0)
			break;
		images[len] = read_record(dirfd(dir), entry->d_name, &error);
		if (!images[len] && error < 0) {
			r = error;
			break;
		}
		len += images[len] != NULL;
	}
	if (r < 0) {
		gb_sandbox_images_free(images, len);
		return gb_err_sys(err, -r, "%s", folder);
	}
	if (len)
		qsort(images, len, sizeof images[0], by_name);
	*ret_images = images;
	*ret_len = len;
	return 0;
}

/* ---- what a sandbox of an image starts with ---- */

/* What the request leaves open. */
static int take_text(char **to, const char *from)
{
	return **to || !*from ? 0 : gb_pb_set(to, from);
}

static bool has_variable(const Sandbox__V1__CreateSandboxRequest *spec, const char *name, size_t len)
{
	for (size_t i = 0; i < spec->n_env; i++) {
		if (strlen(spec->env[i]->key) == len && memcmp(spec->env[i]->key, name, len) == 0)
			return true;
	}
	return false;
}

static int take_env(Sandbox__V1__CreateSandboxRequest *spec, const Guestbox__V1__Image *image)
{
	size_t own = spec->n_env;
	Sandbox__V1__CreateSandboxRequest__EnvEntry **env = reallocarray(spec->env, own + image->n_env + 1, sizeof *env);

	if (!env)
		return -ENOMEM;
	spec->env = env;
	for (size_t i = 0; i < image->n_env; i++) {
		const char *text = image->env[i];
		size_t len = strcspn(text, "=");
		if (!text[len] || has_variable(spec, text, len))
			continue;
		Sandbox__V1__CreateSandboxRequest__EnvEntry *entry = malloc(sizeof *entry);
		if (!entry)
			return -ENOMEM;
		sandbox__v1__create_sandbox_request__env_entry__init(entry);
		env[spec->n_env++] = entry;
		char *key = strndup(text, len), *value = strdup(text + len + 1);
		if (key)
			entry->key = key;
		if (value)
			entry->value = value;
		if (!key || !value)
			return -ENOMEM;
	}
	return 0;
}

/* Its entrypoint, and the request's words or its own behind that. */
static int take_command(Sandbox__V1__CreateSandboxRequest *spec, const Guestbox__V1__Image *image)
{
	char *const *rest = spec->n_cmd ? spec->cmd : image->cmd;
	size_t rest_len = spec->n_cmd ? spec->n_cmd : image->n_cmd, n = 0;
	char **words = calloc(image->n_entrypoint + rest_len + 1, sizeof *words);

	for (; words && n < image->n_entrypoint + rest_len; n++) {
		words[n] = strdup(n < image->n_entrypoint ? image->entrypoint[n] : rest[n - image->n_entrypoint]);
		if (!words[n])
			break;
	}
	for (size_t i = 0; i < spec->n_cmd; i++)
		free(spec->cmd[i]);
	free(spec->cmd);
	spec->cmd = words;
	spec->n_cmd = n;
	return words && n == image->n_entrypoint + rest_len ? 0 : -ENOMEM;
}

int gb_sandbox_image_defaults(const char *folder, Sandbox__V1__CreateSandboxRequest *spec, struct gb_err *err)
{
	const char *name = *spec->image || *spec->rootfs ? spec->image : "default";
	gb_autoclose int store = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = store < 0 && errno != ENOENT ? -errno : 0, r = 0;
	Guestbox__V1__Image *image = *name && store >= 0 ? read_record(store, name, &error) : NULL;

	/* Without it its user would be root. */
	if (error == -EBADMSG || error == -E2BIG)
		r = gb_err_set(err, EIO, "image \"%s\": its record is damaged: whom it runs as is not known; import it again", name);
	else if (*name && error < 0)
		r = gb_err_sys(err, -error, "image \"%s\": its record", name);
	if (r == 0 && spec->image_command && !(image && (image->n_entrypoint || image->n_cmd)))
		r = gb_err_set(err, EINVAL, "image \"%s\": it says no command of its own", name);
	if (r == 0 && image) {
		r = take_text(&spec->working_dir, image->working_dir);
		if (r == 0)
			r = take_text(&spec->user, image->user);
		if (r == 0)
			r = take_env(spec, image);
		if (r == 0 && spec->image_command)
			r = take_command(spec, image);
		if (r < 0)
			(void)gb_err_sys(err, -r, "image \"%s\"", name);
	}
	if (image)
		guestbox__v1__image__free_unpacked(image, NULL);
	return r;
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
	const struct dirent *entry;

	gb_autoclosedir DIR *dir = opendir(folder);
	while (dir && gb_dir_next(dir, &entry) > 0) { /* what is not seen now is swept the next time */
		if (strncmp(entry->d_name, ".new-", 5) == 0 || strncmp(entry->d_name, ".old-", 5) == 0)
			(void)gb_sandbox_tree_remove(dirfd(dir), entry->d_name);
	}
}
