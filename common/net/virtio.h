/* SPDX-License-Identifier: MIT */
/* Virtio-serial ports by name, without udev's links. */
#ifndef GB_NET_VIRTIO_H
#define GB_NET_VIRTIO_H

#include <stddef.h>

#include "common/base/err.h"

#define GB_VIRTIO_PORTS "/sys/class/virtio-ports"

/* Finds the device (vportNpM) of the port called name below a sysfs class folder (normally GB_VIRTIO_PORTS): 0, -ENOENT
 * when there is none of that name (yet: the driver learns names some time after it has the device), or -errno. */
int gb_virtio_find(const char *ports, const char *name, char *ret_device, size_t size);

/* Opens it for both directions, non-blocking; a port can be open only once (-EBUSY). The descriptor, or -errno with err
 * set. */
int gb_virtio_open(const char *name, struct gb_err *err);

#endif
