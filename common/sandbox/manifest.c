/* SPDX-License-Identifier: MIT */
/* The papers of an image: `docker save` and the OCI's. */
#include "common/sandbox/manifest.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/jsonread.h"
#include "common/sandbox/spec.h"
#include "common/sandbox/tar.h"

enum { CONFIG_MAX = 64 << 10, WORDS_MAX = 1024 };

/* This machine, as Go calls it. */
#if defined __x86_64__
#define ARCH "amd64"
#elif defined __aarch64__
#define ARCH "arm64"
#elif defined __riscv
#define ARCH "riscv64"
#else
#define ARCH "unknown"
#endif

static int wrong(struct gb_err *err, const char *what)
{
	return gb_err_set(err, EBADMSG, "image archive: %s", what);
}

static int read_text(const char *text, size_t len, const char *what, struct gb_jsonread *ret, struct gb_err *err)
{
	return gb_jsonread_text(text, len, ret) < 0 ? gb_err_set(err, EBADMSG, "image archive: %s is no JSON", what) : 0;
}

/* "sha256:" and 64 digits: those go to digest. */
static bool digest_of(const char *text, char digest[GB_DIGEST + 1])
{
	static const char prefix[] = "sha256:";

	if (strncmp(text, prefix, sizeof prefix - 1) != 0)
		return false;
	text += sizeof prefix - 1;
	if (strlen(text) != GB_DIGEST || strspn(text, "0123456789abcdef") != GB_DIGEST)
		return false;
	memcpy(digest, text, GB_DIGEST + 1);
	return true;
}

/* A descriptor's blob (image-spec, descriptor.md). */
static int descriptor(const struct gb_jsonread *object, const char *what, struct gb_blob *ret_blob, struct gb_err *err)
{
	struct gb_jsonread member = gb_jsonread_member(object, "digest");
	gb_autofree char *text = NULL;
	struct gb_blob blob = { 0 };

	int r = gb_jsonread_string(&member, &text);
	if (r == -ENOMEM)
		return gb_err_sys(err, ENOMEM, "image archive");
	if (r < 0 || !digest_of(text, blob.digest))
		return gb_err_set(err, EBADMSG, "image archive: %s: its digest is none of SHA-256", what);
	if (asprintf(&blob.path, "blobs/sha256/%s", blob.digest) < 0)
		return gb_err_sys(err, ENOMEM, "image archive");
	*ret_blob = blob;
	return 0;
}

/* A path that docker's manifest gives. Its last component may be a digest. */
static int named(const struct gb_jsonread *value, const char *what, struct gb_blob *ret_blob, struct gb_err *err)
{
	char path[GB_TAR_PATH];
	gb_autofree char *text = NULL;
	struct gb_blob blob = { 0 };
	const char *why;

	int r = gb_jsonread_string(value, &text);
	if (r == -ENOMEM)
		return gb_err_sys(err, ENOMEM, "image archive");
	if (r < 0 || gb_tar_path(text, strlen(text), path, &why) < 0 || !*path)
		return gb_err_set(err, EBADMSG, "image archive: manifest.json: %s is no path in it", what);
	blob.path = strdup(path);
	if (!blob.path)
		return gb_err_sys(err, ENOMEM, "image archive");
	/* blobs/sha256/DIGEST, or (the configuration, in older ones) DIGEST.json */
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t n = strspn(base, "0123456789abcdef");
	if (n == GB_DIGEST && (!base[n] || strcmp(base + n, ".json") == 0))
		memcpy(blob.digest, base, GB_DIGEST);
	*ret_blob = blob;
	return 0;
}

void gb_manifest_free(struct gb_manifest *manifest)
{
	free(manifest->config.path);
	for (size_t i = 0; i < manifest->layers_len; i++)
		free(manifest->layers[i].path);
	*manifest = (struct gb_manifest){ 0 };
}

typedef int blob_fn(const struct gb_jsonread *value, const char *what, struct gb_blob *ret_blob, struct gb_err *err);

/* The members of a manifest, either kind's. */
static int fill(const struct gb_jsonread *object, const char *config, const char *layers, blob_fn *fn, struct gb_manifest *m,
		struct gb_err *err)
{
	struct gb_jsonread value = gb_jsonread_member(object, config), item = { 0 };
	int r = fn(&value, "the configuration", &m->config, err);

	value = gb_jsonread_member(object, layers);
	if (r == 0 && !gb_jsonread_is(&value, '['))
		r = wrong(err, "its manifest has no layers");
	while (r == 0 && gb_jsonread_next(&value, &item)) {
		if (m->layers_len == GB_MANIFEST_LAYERS)
			r = wrong(err, "it has too many layers");
		else
			r = fn(&item, "a layer", &m->layers[m->layers_len], err);
		m->layers_len += r == 0;
	}
	if (r < 0)
		gb_manifest_free(m);
	return r;
}

int gb_manifest_docker(const char *text, size_t len, struct gb_manifest *ret_manifest, struct gb_err *err)
{
	struct gb_jsonread list, item = { 0 }, more;

	*ret_manifest = (struct gb_manifest){ 0 };
	int r = read_text(text, len, "manifest.json", &list, err);
	if (r < 0)
		return r;
	if (!gb_jsonread_next(&list, &item) || !gb_jsonread_is(&item, '{'))
		return wrong(err, "manifest.json names no image");
	more = item;
	if (gb_jsonread_next(&list, &more))
		return gb_err_set(err, EOPNOTSUPP, "image archive: it holds more than one image: save one of them");
	return fill(&item, "Config", "Layers", named, ret_manifest, err);
}

int gb_manifest_oci(const char *text, size_t len, struct gb_manifest *ret_manifest, struct gb_err *err)
{
	struct gb_jsonread object;

	*ret_manifest = (struct gb_manifest){ 0 };
	int r = read_text(text, len, "its manifest", &object, err);
	return r < 0 ? r : fill(&object, "config", "layers", descriptor, ret_manifest, err);
}

static bool says(const struct gb_jsonread *object, const char *name, const char *text)
{
	struct gb_jsonread member = gb_jsonread_member(object, name);
	size_t n = strlen(text);

	return gb_jsonread_is(&member, '"') && (size_t)(member.end - member.at) == n + 2 && memcmp(member.at + 1, text, n) == 0;
}

int gb_manifest_index(const char *text, size_t len, struct gb_blob *ret_blob, struct gb_err *err)
{
	struct gb_jsonread object, list, item = { 0 }, chosen = { 0 };

	int r = read_text(text, len, "its index", &object, err);
	if (r < 0)
		return r;
	list = gb_jsonread_member(&object, "manifests");
	if (!gb_jsonread_is(&list, '['))
		return wrong(err, "its index has no manifests");
	while (gb_jsonread_next(&list, &item)) {
		struct gb_jsonread platform = gb_jsonread_member(&item, "platform");
		if (platform.at && !(says(&platform, "os", "linux") && says(&platform, "architecture", ARCH)))
			continue; /* for others; or what tells of how another one was built */
		if (chosen.at)
			return gb_err_set(err, EOPNOTSUPP,
					  "image archive: it holds more than one image for linux/" ARCH ": save one of them");
		chosen = item;
	}
	if (!chosen.at)
		return gb_err_set(err, EBADMSG, "image archive: it holds no image for linux/" ARCH);
	r = descriptor(&chosen, "its index", ret_blob, err);
	bool index = says(&chosen, "mediaType", "application/vnd.oci.image.index.v1+json") ||
		     says(&chosen, "mediaType", "application/vnd.docker.distribution.manifest.list.v2+json");
	return r < 0 ? r : index;
}

/* ---- the configuration ---- */

static int text_of(const struct gb_jsonread *object, const char *name, char **field, struct gb_err *err)
{
	struct gb_jsonread member = gb_jsonread_member(object, name);
	char *text;

	if (!member.at || gb_jsonread_is(&member, 'n'))
		return 0;
	int r = gb_jsonread_string(&member, &text);
	if (r == -ENOMEM)
		return gb_err_sys(err, ENOMEM, "image archive");
	if (r < 0)
		return gb_err_set(err, EBADMSG, "image archive: its configuration: %s is no text", name);
	if (*text)
		*field = text;
	else
		free(text);
	return 0;
}

/* As a request would have it: absolute, nothing in it twice. */
static int plain_folder(Guestbox__V1__Image *image, struct gb_err *err)
{
	char path[GB_TAR_PATH];
	const char *why;

	if (!*image->working_dir)
		return 0;
	if (gb_tar_path(image->working_dir, strlen(image->working_dir), path, &why) < 0)
		return gb_err_set(err, EBADMSG, "image archive: its configuration: WorkingDir: %s", why);
	char *full;
	if (asprintf(&full, "/%s", path) < 0)
		return gb_err_sys(err, ENOMEM, "image archive");
	free(image->working_dir);
	image->working_dir = full;
	return 0;
}

static int words_of(const struct gb_jsonread *object, const char *name, char ***ret_words, size_t *ret_len, struct gb_err *err)
{
	struct gb_jsonread list = gb_jsonread_member(object, name), item = { 0 };
	size_t n = 0;

	if (!list.at || gb_jsonread_is(&list, 'n'))
		return 0;
	while (gb_jsonread_next(&list, &item))
		n++;
	if (!gb_jsonread_is(&list, '[') || n > WORDS_MAX)
		return gb_err_set(err, EBADMSG, "image archive: its configuration: %s is no list, or too long", name);
	char **words = calloc(n + 1, sizeof *words);
	if (!words)
		return gb_err_sys(err, ENOMEM, "image archive");
	*ret_words = words;
	for (item = (struct gb_jsonread){ 0 }; gb_jsonread_next(&list, &item); ++*ret_len) {
		int r = gb_jsonread_string(&item, &words[*ret_len]);
		if (r == -ENOMEM)
			return gb_err_sys(err, ENOMEM, "image archive");
		if (r < 0)
			return gb_err_set(err, EBADMSG, "image archive: its configuration: %s: not a text", name);
	}
	return 0;
}

/* What a request could not say is nothing that an image says either. */
static int check(const Guestbox__V1__Image *image, struct gb_err *err)
{
	size_t size = strlen(image->working_dir) + strlen(image->user);

	for (size_t i = 0; i < image->n_env; i++) {
		const char *equal = strchr(image->env[i], '=');
		if (!equal || equal == image->env[i])
			return gb_err_set(err, EBADMSG, "image archive: its configuration: Env: \"%s\" is no variable", image->env[i]);
		size += strlen(image->env[i]);
	}
	for (size_t i = 0; i < image->n_entrypoint; i++)
		size += strlen(image->entrypoint[i]);
	for (size_t i = 0; i < image->n_cmd; i++)
		size += strlen(image->cmd[i]);
	if (size > CONFIG_MAX)
		return wrong(err, "its configuration is too long");
	int r = gb_sandbox_check_command(image->entrypoint, image->n_entrypoint, image->working_dir, image->user, err);
	return r < 0 ? gb_err_set(err, EBADMSG, "image archive: its configuration: %s", err->msg) : 0;
}

int gb_manifest_config(const char *text, size_t len, Guestbox__V1__Image *image, char (*ret_layers)[GB_DIGEST + 1],
		       size_t *ret_len, struct gb_err *err)
{
	struct gb_jsonread object, config, list, item = { 0 };
	size_t n = 0;

	int r = read_text(text, len, "its configuration", &object, err);
	if (r < 0)
		return r;
	if (gb_jsonread_member(&object, "architecture").at && !says(&object, "architecture", ARCH))
		return gb_err_set(err, EBADMSG, "image archive: its programs are for another machine than linux/" ARCH);
	config = gb_jsonread_member(&object, "config");
	r = text_of(&config, "WorkingDir", &image->working_dir, err);
	if (r == 0)
		r = plain_folder(image, err);
	if (r == 0)
		r = text_of(&config, "User", &image->user, err);
	if (r == 0)
		r = words_of(&config, "Env", &image->env, &image->n_env, err);
	if (r == 0)
		r = words_of(&config, "Entrypoint", &image->entrypoint, &image->n_entrypoint, err);
	if (r == 0)
		r = words_of(&config, "Cmd", &image->cmd, &image->n_cmd, err);
	if (r == 0)
		r = check(image, err);
	if (r < 0)
		return r;
	config = gb_jsonread_member(&object, "rootfs");
	list = gb_jsonread_member(&config, "diff_ids");
	while (gb_jsonread_next(&list, &item)) {
		gb_autofree char *id = NULL;
		r = gb_jsonread_string(&item, &id);
		if (r == -ENOMEM)
			return gb_err_sys(err, ENOMEM, "image archive");
		if (n == GB_MANIFEST_LAYERS || r < 0 || !digest_of(id, ret_layers[n]))
			return wrong(err, "its configuration: a layer's digest is none of SHA-256, or there are too many");
		n++;
	}
	*ret_len = n;
	return 0;
}
