/* SPDX-License-Identifier: MIT */
/* The set-up of a data disk: finds it, plans, and carries the plan out. */
#ifndef GB_BTRFS_BOOTSTRAP_H
#define GB_BTRFS_BOOTSTRAP_H

#include "common/btrfs/plan.h"
#include "common/sys/blockdev.h"

/* Where the data disk is when nobody says so: the first that is there (arcbox-agent's places). */
#define GB_BOOT_DEVICE_1 "/dev/arcboxhvc1"
#define GB_BOOT_DEVICE_2 "/dev/vdb"
#define GB_BOOT_DEVICES GB_BOOT_DEVICE_1, GB_BOOT_DEVICE_2

/* Who says so: a struct gb_setting. */
#define GB_BOOT_SETTING { .environment = { "GUESTBOX_DATA" }, .cmdline = { "guestbox.data", "arcbox.docker_data_device" }, \
			  .file = "/etc/guestbox/data" }

/* Everything one run knows. Start with {0} and gb_bootstrap_start(). */
struct gb_boot {
	struct gb_wish wish;
	struct gb_layout layout;
	char root[1024];
	const char *device;   /* asked for, or NULL: the usual ones */
	uint64_t wait_ms;     /* for the device */
	uint64_t entropy_ms;  /* for random bytes before a format */

	char path[256];       /* the device that it is */
	char block[320];      /* the block device that stands for it: itself, or a loop device */
	struct gb_blockdev disk;
	struct gb_blockdev_locks locks;
	int loop;
	bool late;            /* the device was not there at the first look */
	uint64_t waited_usec; /* until it was there */
	uint64_t react_usec;  /* from the event that told of it to the first read */
	struct gb_facts facts;
	struct gb_plan plan;
	void (*report)(const struct gb_step *step, void *arg); /* after each step */
	void (*note)(const char *text, void *arg);             /* what is worth knowing and no error */
	void *arg;
};

void gb_bootstrap_start(struct gb_boot *boot);
void gb_bootstrap_end(struct gb_boot *boot);
#define gb_autoboot __attribute__((cleanup(gb_bootstrap_end)))

/* 1 when everything is mounted already: no device is waited for, and no lock is taken. 0, or -errno. */
int gb_bootstrap_ready(struct gb_boot *boot, struct gb_err *err);

/* Waits for the device, locks it (`lock`), reads it, and makes the plan. Writes nothing. 0; 1 when another run has done
 * it all meanwhile; -GB_E_REFUSED; -errno. */
int gb_bootstrap_plan(struct gb_boot *boot, bool lock, struct gb_err *err);

/* Carries the plan out. On a failure the mounts of this run are undone. */
int gb_bootstrap_apply(struct gb_boot *boot, struct gb_err *err);

/* ---- of this room ---- */

/* The path of a mount point below boot->root, which has PATH_MAX bytes: 0 or -ENAMETOOLONG. */
int gb_bootstrap_target(const struct gb_boot *boot, const char *target, char *path);
/* Reads the disk anew into boot->facts: 0 or -errno. */
int gb_bootstrap_identify(struct gb_boot *boot, struct gb_err *err);

#endif
