/* SPDX-License-Identifier: MIT */
/* The store of images: root file systems by name, below FOLDER/NAME/root. */
#ifndef GB_SANDBOX_IMAGE_H
#define GB_SANDBOX_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/rpc/pb.h"

/* The folder is `images` of the sandboxes' data. An image is there as a whole or not at all: it is made under another
 * name, written to the disk, and renamed. root is a subvolume where the file system has them. */

/* What an import says and wants to know. */
struct gb_sandbox_import {
	const char *name;
	bool replace;   /* one that is there already */
	int in;         /* a socket with the archive; read to its end */
	/* Asked when all is unpacked: whether the archive was all there was to come, and nobody has left. NULL: yes. */
	bool (*whole)(void *arg);
	void *arg;
};

/* Unpacks a tar archive (untar.h) as an image: of a root file system, or of an image's layers (`docker save`, OCI image
 * layout); compressed or not (unzip.h). Blocks. 0 with *ret_image (the caller's to free), or -errno with
 * err set: -EINVAL (the name), -EEXIST, -ECANCELED (not whole), those of gb_untar(). Nothing is left of one that failed. */
int gb_sandbox_image_import(const char *folder, const struct gb_sandbox_import *import, Guestbox__V1__Image **ret_image,
			    struct gb_err *err);

/* All images, sorted by name: *ret_images, an array of *ret_len. 0 or -errno with err set. */
int gb_sandbox_images(const char *folder, Guestbox__V1__Image ***ret_images, size_t *ret_len, struct gb_err *err);
void gb_sandbox_images_free(Guestbox__V1__Image **images, size_t len);

/* Completes what is asked for by what the configuration of its image says (env, working_dir, user, and the command when that
 * is wanted). spec is one that protobuf-c has unpacked. 0, or -errno with err set: -EINVAL (the image's command is wanted,
 * and there is none). Of no image: nothing. */
int gb_sandbox_image_defaults(const char *folder, Sandbox__V1__CreateSandboxRequest *spec, struct gb_err *err);

/* Removes one: 0, or -errno with err set (-ENOENT). */
int gb_sandbox_image_remove(const char *folder, const char *name, struct gb_err *err);

/* Removes what imports and removals that were cut short have left. Before any of them is under way. */
void gb_sandbox_images_sweep(const char *folder);

#endif
