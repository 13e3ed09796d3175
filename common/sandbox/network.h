/* SPDX-License-Identifier: MIT */
/* A sandbox's network: names, the interface, and what its files say of it. */
#ifndef GB_SANDBOX_NETWORK_H
#define GB_SANDBOX_NETWORK_H

#include "common/sandbox/stage.h"

/* The name of the outer end of a sandbox's interface. */
enum { GB_SANDBOX_TAP = 16 };
void gb_sandbox_tap_name(uint32_t address, char name[GB_SANDBOX_TAP]);

/* A host name made of an id: what RFC 1123 leaves of it, or "sandbox". Pure. */
void gb_sandbox_hostname(const char *id, char *name, size_t size);

/* Sets up the network namespace that the calling thread is in, and puts /etc/hosts and /etc/resolv.conf on the stage.
 * outside: a netlink socket of the guest's namespace, home: that namespace. 0, or -errno with the stage's err set. */
int gb_sandbox_network(struct gb_sandbox_stage *stage, int outside, int home, const char *hostname);

#endif
