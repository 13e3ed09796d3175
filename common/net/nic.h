/* SPDX-License-Identifier: MIT */
/* Which network interface is the machine's own: by the device behind it, never by its name. */
#ifndef GB_NET_NIC_H
#define GB_NET_NIC_H

#include <net/if.h>
#include <stdbool.h>

#include "common/base/err.h"

struct gb_nic {
	char name[IF_NAMESIZE];
	char path[512]; /* of its device in /sys, "" when there is none behind it */
	unsigned port;  /* of a device with several */
};

/* Looks through sys ("/sys/class/net"). wanted: an interface's name or MAC address, or NULL: of those with a device behind
 * them the first by bus order, which TAPs, bridges, tunnels and dummies are not. 1 with *ret_nic, 0 when there is none, or
 * -errno with err. */
int gb_nic_find(const char *sys, const char *wanted, struct gb_nic *ret_nic, struct gb_err *err);

/* The order of the bus: numbers at the end of a part of the path count as numbers. As strcmp(3). Pure. */
int gb_nic_compare(const struct gb_nic *a, const struct gb_nic *b);

#endif
