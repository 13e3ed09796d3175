/* SPDX-License-Identifier: MIT */
/* What archives of `docker save` and of the OCI's image layout say of themselves (image-spec: image-layout.md, manifest.md,
 * config.md). Pure. */
#ifndef GB_SANDBOX_MANIFEST_H
#define GB_SANDBOX_MANIFEST_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/rpc/pb.h"

enum {
	GB_MANIFEST_LAYERS = 512, GB_DIGEST = 64 /* hexadecimal digits of a SHA-256 */,
	GB_MANIFEST_MAX = 4 << 20, /* bytes of a document */
};

/* A file of the archive: its path there, and the SHA-256 that it must have, "" when nothing says so. */
struct gb_blob {
	char *path;
	char digest[GB_DIGEST + 1];
};

struct gb_manifest {
	struct gb_blob config, layers[GB_MANIFEST_LAYERS]; /* layers: the lowest first */
	size_t layers_len;
};

void gb_manifest_free(struct gb_manifest *manifest);

/* Each: 0, or -EBADMSG (not what it should be), -EOPNOTSUPP (something that is not done here), -ENOMEM, with err set. */

/* manifest.json of `docker save`. */
int gb_manifest_docker(const char *text, size_t len, struct gb_manifest *ret_manifest, struct gb_err *err);
/* An OCI manifest. */
int gb_manifest_oci(const char *text, size_t len, struct gb_manifest *ret_manifest, struct gb_err *err);
/* An OCI index (index.json, or one that it names): the manifest in it that is for this machine. 1 if what it names is an
 * index itself. */
int gb_manifest_index(const char *text, size_t len, struct gb_blob *ret_blob, struct gb_err *err);
/* An image's configuration: what a sandbox of it starts with goes into image; ret_layers (an array of GB_MANIFEST_LAYERS)
 * gets the digests of the layers' archives, as they are unpacked, and *ret_len how many. */
int gb_manifest_config(const char *text, size_t len, Guestbox__V1__Image *image, char (*ret_layers)[GB_DIGEST + 1],
		       size_t *ret_len, struct gb_err *err);

#endif
