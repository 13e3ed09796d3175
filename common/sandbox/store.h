/* SPDX-License-Identifier: MIT */
/* What is kept on the data disk: records, layers, snapshots. */
#ifndef GB_SANDBOX_STORE_H
#define GB_SANDBOX_STORE_H

#include "common/sandbox/fsimage.h"
#include "common/sandbox/sandbox.h"

/* Makes the folders below place->data and place->run: 0 or -errno with err set. */
int gb_sandbox_store_open(const struct gb_sandbox_place *place, struct gb_err *err);

/* A new instance's name: GB_SANDBOX_INSTANCE random letters and a NUL. */
void gb_sandbox_new_name(char *name);
/* A random UUID (RFC 9562, version 4): 36 letters and a NUL. */
void gb_sandbox_new_uuid(char *text);

/* Writes a record as a whole or not at all; sync: it is on the disk when this returns. One that was synced is replaced only by
 * one that is: else a power cut could leave neither. 0 or -errno with err set. */
int gb_sandbox_record_write(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, bool sync,
			    struct gb_err *err);
/* Notes it beside its container, for a daemon of the same boot: gb_sandbox_records() prefers that to what is on the disk.
 * 0, or -errno with err set (-ENOENT: there is no container). */
int gb_sandbox_record_note(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, struct gb_err *err);

/* Calls fn for each record; one that cannot be read is NULL with its error, whose code is ENOENT for one that was never
 * finished. What fn keeps is its own: it returns true to keep the message. 0 or -errno with err set. */
typedef bool gb_sandbox_record_fn(const char *instance, Guestbox__Sandbox__Record *record, const struct gb_err *why, void *arg);
int gb_sandbox_records(const struct gb_sandbox_place *place, gb_sandbox_record_fn *fn, void *arg, struct gb_err *err);

/* The path of a file in the folder of an instance or of a snapshot (NULL: of the folder), and of the folder of images. Each
 * fits 512 bytes. */
void gb_sandbox_box_path(const struct gb_sandbox_place *place, const char *instance, const char *file, char *path, size_t size);
void gb_sandbox_snapshot_path(const struct gb_sandbox_place *place, const char *id, const char *file, char *path, size_t size);
void gb_sandbox_images_path(const struct gb_sandbox_place *place, char *path, size_t size);

/*
 * Makes the writable layer of a new instance, with its folder: of a root that is a subvolume of the same Btrfs a snapshot,
 * else an overlay's upper folder. record's spec says what the root is, or snapshot (its folder's name) has it; sets
 * overlay, lower, lower_image and subvolume. -ENOENT: there is no such root or image; or -errno with err set.
 */
int gb_sandbox_layer_make(const struct gb_sandbox_place *place, Guestbox__Sandbox__Record *record, const char *snapshot,
			  struct gb_err *err);

/* Whether the root that a spec names is there and may be one: 0, -ENOENT, -EINVAL or -errno with err set. */
int gb_sandbox_root_check(const struct gb_sandbox_place *place, const Sandbox__V1__CreateSandboxRequest *spec, struct gb_err *err);

/* What file system the image holds that fd (O_PATH will do) is: 0, -EINVAL or -errno with err set. */
int gb_sandbox_fsimage(int fd, const char *name, struct gb_fsimage *ret_image, struct gb_err *err);

/* Removes all of an instance: 0 or -errno with err set. Nothing there is no error. */
int gb_sandbox_box_remove(const struct gb_sandbox_place *place, const char *instance, struct gb_err *err);

/* What an error says where none can be taken; takes the sandbox's id and the store's place. */
#define GB_SANDBOX_NO_SNAPSHOT "sandbox \"%s\": %s is on no Btrfs, so that no snapshot can be taken"

/* Takes a snapshot of record's layer, in a folder of this id, on the disk when this returns. 0, -EOPNOTSUPP (no Btrfs) or
 * -errno, with err set and no folder. */
int gb_sandbox_snapshot_make(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *id,
			     struct gb_err *err);
/* What is known of it, likewise: 0 or -errno with err set. Without that the folder is rubbish. */
int gb_sandbox_snapshot_write(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Snapshot *snapshot,
			      struct gb_err *err);
/* As gb_sandbox_records() and gb_sandbox_box_remove(). */
typedef bool gb_sandbox_snapshot_fn(const char *id, Guestbox__Sandbox__Snapshot *snapshot, const struct gb_err *why, void *arg);
int gb_sandbox_snapshots(const struct gb_sandbox_place *place, gb_sandbox_snapshot_fn *fn, void *arg, struct gb_err *err);
int gb_sandbox_snapshot_remove(const struct gb_sandbox_place *place, const char *id, struct gb_err *err);

/* Removes a folder with all below it, subvolumes too; never follows a link. 0 (nothing there is no error) or -errno. */
int gb_sandbox_tree_remove(int dirfd, const char *name);

#endif
