/* SPDX-License-Identifier: MIT */
/* The option string of mount(8)'s -o and of fstab(5), taken apart. Pure. */
#ifndef GB_MOUNT_OPTIONS_H
#define GB_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/mount/flags.h"

/* The kernel takes a page of data; what we take apart ourselves may be somewhat longer. */
#define GB_MOUNT_OPTIONS_MAX ((size_t)1 << 16)

/* Start with {0}. Words given later win. */
struct gb_mount_options {
	unsigned long set, clear;         /* MS_ flags asked for, and asked to be off */
	unsigned long rec_set, rec_clear; /* of those, the ones given as WORD=recursive */
	unsigned long propagation;        /* MS_SHARED and so on, with MS_REC */
	unsigned user;                    /* GB_MOUNT_NOAUTO and so on */
	struct gb_buf data;               /* the file system's own words, with commas between */
	bool dax_require;                 /* dax=require; the word is not in data */
	bool loop;                        /* loop, loop=DEVICE, offset=, sizelimit= */
	bool mkdir;                       /* x-mount.mkdir[=MODE] */
	unsigned mkdir_mode;
	char loop_device[32];
	uint64_t loop_offset, loop_size;
};

void gb_mount_options_free(struct gb_mount_options *options);
#define gb_automountoptions __attribute__((cleanup(gb_mount_options_free)))

/* The next word of a list: commas separate, except between double quotes and behind a backslash (overlayfs has such).
 * Returns its start and length, moves *pos behind it; NULL at the end. Empty words are passed over. -> *ret_len is 0
 * and the start non-NULL only for a quote that is never closed. */
const char *gb_mount_word(const char *list, size_t *pos, size_t *ret_len);

/* Adds the words of text (may be NULL). 0, or -EINVAL, -E2BIG, -ENOMEM with the word named in err. */
int gb_mount_options_add(struct gb_mount_options *options, const char *text, struct gb_err *err);

/* Whether a list fulfils -O: each word of `wanted` is there, or with a "no" in front is not. */
bool gb_mount_options_match(const char *list, const char *wanted);

/* Whether a type fulfils -t: a list of types; with "no" in front of the list, none of them. */
bool gb_mount_type_match(const char *type, const char *wanted);

#endif
