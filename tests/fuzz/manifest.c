/* SPDX-License-Identifier: MIT */
/* Fuzz target: the papers of an image that somebody sends. Whatever they say, what is taken from them leads nowhere outside the
 * archive, and is nothing that a request for a sandbox could not say as well. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/sandbox/manifest.h"
#include "common/sandbox/spec.h"
#include "tests/fuzz/fuzz.h"

static void told(int r, const struct gb_err *err)
{
	if (r < 0 && ((r != -EBADMSG && r != -EOPNOTSUPP) || !err->msg[0]))
		abort();
}

static void blob(const struct gb_blob *blob)
{
	size_t n = strlen(blob->digest);

	if ((n && n != GB_DIGEST) || strspn(blob->digest, "0123456789abcdef") != n || !blob->path || !*blob->path)
		abort();
	/* As a member of an archive: with a slash in front it is a plain path, so that there is no "..". */
	gb_autofree char *path = malloc(strlen(blob->path) + 2);
	if (!path)
		abort();
	path[0] = '/';
	(void)strcpy(path + 1, blob->path);
	if (strlen(path) <= 1024 && !gb_sandbox_path_is_plain(path, false))
		abort();
}

static void manifest(int r, struct gb_manifest *m, const struct gb_err *err)
{
	told(r, err);
	if (r == 0) {
		blob(&m->config);
		for (size_t i = 0; i < m->layers_len; i++)
			blob(&m->layers[i]);
	} else if (m->config.path || m->layers_len) {
		abort();
	}
	gb_manifest_free(m);
}

static void configuration(const char *text, size_t size, char (*layers)[GB_DIGEST + 1])
{
	Guestbox__V1__Image *image = malloc(sizeof *image);
	Sandbox__V1__CreateSandboxRequest spec = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
	struct gb_err err = { 0 };
	size_t n = 0;

	if (!image)
		abort();
	guestbox__v1__image__init(image);
	int r = gb_manifest_config(text, size, image, layers, &n, &err);
	told(r, &err);
	if (r == 0) {
		if (n > GB_MANIFEST_LAYERS)
			abort();
		for (size_t i = 0; i < n; i++) {
			if (strlen(layers[i]) != GB_DIGEST)
				abort();
		}
		spec.working_dir = image->working_dir;
		spec.user = image->user;
		spec.cmd = image->entrypoint;
		spec.n_cmd = image->n_entrypoint;
		if (gb_sandbox_check_create(&spec, &err) < 0)
			abort();
		for (size_t i = 0; i < image->n_env; i++) {
			if (!strchr(image->env[i], '=') || image->env[i][0] == '=')
				abort();
		}
	}
	guestbox__v1__image__free_unpacked(image, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_autofree struct gb_manifest *m = calloc(1, sizeof *m);
	const char *text = (const char *)data;
	struct gb_blob next = { 0 };
	struct gb_err err = { 0 };

	if (!m)
		abort();
	gb_pb_start();
	manifest(gb_manifest_docker(text, size, m, &err), m, &err);
	manifest(gb_manifest_oci(text, size, m, &err), m, &err);
	int r = gb_manifest_index(text, size, &next, &err);
	told(r, &err);
	if (r >= 0)
		blob(&next);
	free(next.path);
	gb_autofree char (*layers)[GB_DIGEST + 1] = calloc(GB_MANIFEST_LAYERS, sizeof *layers);
	if (!layers)
		abort();
	configuration(text, size, layers);
	return 0;
}
