/* SPDX-License-Identifier: MIT */
/* Interfaces, addresses and routes, set by rtnetlink. libnl's core is enough (see ifaddr.c). */
#ifndef GB_NET_LINK_H
#define GB_NET_LINK_H

#include <netinet/in.h>
#include <stdbool.h>

#include "common/base/err.h"

struct gb_link;

/* A socket whose answers are waited for at most 2 s each. 0 or -errno with err. All of the following are the same; what
 * is there already is no error. */
int gb_link_open(struct gb_link **ret_link, struct gb_err *err);
void gb_link_close(struct gb_link **link);
#define gb_autolink __attribute__((cleanup(gb_link_close)))

int gb_link_up(struct gb_link *link, unsigned index, unsigned mtu, struct gb_err *err); /* mtu 0: as it is */

/* broadcast 0: the highest address of the network. */
int gb_link_add_address(struct gb_link *link, unsigned index, struct in_addr address, unsigned prefix,
			struct in_addr broadcast, struct gb_err *err);

/* Takes away all IPv4 addresses of an interface, but the one to keep (0: none is kept). Routes that need them go along. */
int gb_link_drop_addresses(struct gb_link *link, unsigned index, struct in_addr keep, unsigned keep_prefix,
			   struct gb_err *err);

/* to/prefix through gateway (0: on the link); prefix 0 is the default route. One to the same place is replaced. */
int gb_link_add_route(struct gb_link *link, unsigned index, struct in_addr to, unsigned prefix, struct in_addr gateway,
		      struct gb_err *err);

/* Asks for all that there is of a kind (RTM_GET...): fn has each message, and returns NL_OK. */
struct nl_msg;
int gb_link_dump(struct gb_link *link, int type, void *body, size_t size, int (*fn)(struct nl_msg *msg, void *data), void *data,
		 struct gb_err *err);

/* Takes away the IPv4 default routes through an interface. */
int gb_link_drop_default(struct gb_link *link, unsigned index, struct gb_err *err);

#endif
