/* SPDX-License-Identifier: MIT */
/* The kernel's device events, by libnl: its one way in for them. */
#ifndef GB_SYS_UEVENT_H
#define GB_SYS_UEVENT_H

#include <stdint.h>

#include "common/base/err.h"

struct gb_uevents;

/* Subscribes to what the kernel sends, and to what a device manager repeats after it has made its links. Everything that
 * happens after this call is seen. 0 or -errno. */
int gb_uevent_open(struct gb_uevents **ret_events, struct gb_err *err);
void gb_uevent_close(struct gb_uevents **events);
#define gb_autouevents __attribute__((cleanup(gb_uevent_close)))

/* Waits at most ms for an event about a block device; drops all others. 1, 0 when the time was up, or -errno. A lost
 * event (the socket's buffer was full) counts as one. */
int gb_uevent_wait(struct gb_uevents *events, uint64_t ms);

#endif
