/* SPDX-License-Identifier: MIT */
/* The layout of a data disk: its top, its subvolumes, where they go, which directories are NOCOW. */
#ifndef GB_BTRFS_LAYOUT_H
#define GB_BTRFS_LAYOUT_H

#include <stddef.h>

#include "common/base/err.h"

#define GB_LAYOUT_SUBVOLS 64
#define GB_LAYOUT_DIRS 64
#define GB_LAYOUT_MAX 65536 /* bytes of a layout file */

struct gb_subvol {
	const char *name;        /* one component, 1 to 255 bytes */
	const char *target;      /* absolute, without "..", not "/" */
	const char *options;     /* of the mount, "" if none */
	const char *compression; /* of what is written below: zstd, zlib, lzo, none; NULL leaves the file system's */
	const char *nocow[GB_LAYOUT_DIRS]; /* relative, without ".." */
	size_t nocow_len;
};

/* All strings belong to `text`. */
struct gb_layout {
	char *text;
	const char *top;     /* where the top of the file system goes */
	const char *options; /* of the first mount: those that Btrfs keeps for the whole file system stand here */
	struct gb_subvol subvol[GB_LAYOUT_SUBVOLS];
	size_t subvol_len;
};

/* The text of the default layout, in the format that gb_layout_parse() reads. */
extern const char gb_layout_default[];

/*
 * Lines of words between blanks; '#' starts a comment line; \040 and other octal escapes stand for bytes, as in fstab.
 *
 *   top TARGET [OPTIONS]
 *   subvolume NAME TARGET [OPTIONS|-] [compression=zstd|zlib|lzo|none]
 *   nocow NAME|* DIRECTORY...
 *
 * Pure. 0, or -EINVAL or -ENOMEM with "NAME: line N, word N "...": reason" in err, where `name` is the file's. len is
 * at most GB_LAYOUT_MAX. Release with gb_layout_free().
 */
int gb_layout_parse(const char *name, const char *text, size_t len, struct gb_layout *ret_layout, struct gb_err *err);

/* From a file, or the default one when path is NULL. */
int gb_layout_load(const char *path, struct gb_layout *ret_layout, struct gb_err *err);

void gb_layout_free(struct gb_layout *layout);
#define gb_autolayout __attribute__((cleanup(gb_layout_free)))

#endif
