/* SPDX-License-Identifier: MIT */
/* What a machine holds that has to be given back before it ends: swap, loop devices, device-mapper devices. */
#ifndef GB_POWER_STATE_H
#define GB_POWER_STATE_H

#include "common/power/plan.h"

void gb_power_devices_free(struct gb_power_devices *devices);
#define gb_autopowerdevices __attribute__((cleanup(gb_power_devices_free)))

/* Reads /proc/swaps, /sys/block/loop* and /sys/block/dm-*. What cannot be read is left out. 0 or -ENOMEM. */
int gb_power_devices_read(struct gb_power_devices *devices);

/* Each 0 or -errno. */
int gb_power_swap_off(const char *path);
int gb_power_dm_remove(const char *name);

/* How a disk stands after all was unmounted: 0 when nothing holds it any more (or it is gone), -EBUSY when a file
 * system still does, or another -errno. */
int gb_power_disk_free(const char *device);

#endif
