/* SPDX-License-Identifier: MIT */
/* This machine's addresses, asked of the kernel by rtnetlink. */
#ifndef GB_NET_IFADDR_H
#define GB_NET_IFADDR_H

#include <netinet/in.h>
#include <stddef.h>

#include "common/base/err.h"

/* The most addresses that are listed; a guest that has more (thousands of pods) keeps the first ones of each rank. */
enum { GB_IFADDR_MAX = 256 };

struct gb_ifaddr {
	char text[INET6_ADDRSTRLEN]; /* canonical form (inet_ntop(3)) */
	int rank;                    /* 0 global IPv4, 1 global IPv6, 2 link-local IPv4, 3 link-local IPv6 */
};

/* Fills list (GB_IFADDR_MAX rows) with the addresses of all interfaces that are up, without loopback and duplicates, by
 * rank and then in the kernel's order (interface index). The count, or -errno with err set. */
int gb_ifaddr_list(struct gb_ifaddr *list, struct gb_err *err);

/* The rank of a raw address of family AF_INET or AF_INET6, or -1 for one that is not listed (loopback, multicast,
 * unspecified). Pure. */
int gb_ifaddr_rank(int family, const void *raw);

#endif
