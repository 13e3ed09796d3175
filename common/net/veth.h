/* SPDX-License-Identifier: MIT */
/* A pair of virtual interfaces: one here, one in a network namespace of its own. */
#ifndef GB_NET_VETH_H
#define GB_NET_VETH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* Addresses in host byte order. */
struct gb_veth {
	const char *name;       /* of the end in the namespace `outside` */
	const char *inner;      /* of the end in the namespace of the calling thread */
	uint32_t gateway;       /* the outer end's address */
	uint32_t address;       /* the inner end's */
	unsigned char mac[6];   /* of the inner end */
};

/* Each thread may have a network namespace of its own (unshare(2)); a socket keeps the one it was made in. */
int gb_veth_socket(struct gb_err *err);

/* In the calling thread's namespace: the loopback interface comes up. 0 or -errno. */
int gb_veth_loopback(struct gb_err *err);

/* The pair, point-to-point, both ends up with their addresses, and a default route over it inside. outside: a socket of
 * gb_veth_socket() in the other namespace; outside_ns: a descriptor of that. 0, or -errno and no pair. */
int gb_veth_add(const struct gb_veth *veth, int outside, int outside_ns, struct gb_err *err);

/* Deletes an interface in the socket's namespace by its name: 0 or -errno (-ENODEV: there is none). */
int gb_veth_delete(int sock, const char *name);

#endif
