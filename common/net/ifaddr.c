/* SPDX-License-Identifier: MIT */
/* This machine's addresses. libnl's core is enough: its route library would add 300 KB to a static binary. */
#include "common/net/ifaddr.h"

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/net/link.h"
#include "common/sys/nl.h"

enum { INDEX_MAX = 4096 };

struct pass {
	struct gb_ifaddr *list;
	int count;
	unsigned char skip[INDEX_MAX / 8]; /* interfaces that are down, or loopback */
};

int gb_ifaddr_rank(int family, const void *raw)
{
	if (family == AF_INET) {
		uint32_t a;
		memcpy(&a, raw, sizeof a);
		a = ntohl(a);
		if (a == INADDR_ANY || a >> 24 == 127 || a >> 28 == 0xe || a == INADDR_BROADCAST)
			return -1;
		return a >> 16 == 0xa9fe ? 2 : 0; /* 169.254/16 (RFC 3927) */
	}
	if (family == AF_INET6) {
		struct in6_addr a;
		memcpy(&a, raw, sizeof a);
		if (IN6_IS_ADDR_LOOPBACK(&a) || IN6_IS_ADDR_UNSPECIFIED(&a) || IN6_IS_ADDR_MULTICAST(&a))
			return -1;
		return IN6_IS_ADDR_LINKLOCAL(&a) ? 3 : 1;
	}
	return -1;
}

static int on_link(struct nl_msg *msg, void *data)
{
	struct pass *pass = data;
	const struct nlmsghdr *h = nlmsg_hdr(msg);

	if (h->nlmsg_type != RTM_NEWLINK || !nlmsg_valid_hdr(h, sizeof(struct ifinfomsg)))
		return NL_OK;
	const struct ifinfomsg *link = nlmsg_data(h);
	if ((!(link->ifi_flags & IFF_UP) || link->ifi_flags & IFF_LOOPBACK) && link->ifi_index >= 0 &&
	    link->ifi_index < INDEX_MAX)
		pass->skip[link->ifi_index / 8] |= (unsigned char)(1U << (link->ifi_index % 8));
	return NL_OK;
}

static int on_addr(struct nl_msg *msg, void *data)
{
	struct pass *pass = data;
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct gb_ifaddr row;

	if (h->nlmsg_type != RTM_NEWADDR || !nlmsg_valid_hdr(h, sizeof(struct ifaddrmsg)))
		return NL_OK;
	const struct ifaddrmsg *a = nlmsg_data(h);
	if (a->ifa_index < INDEX_MAX && pass->skip[a->ifa_index / 8] & 1U << (a->ifa_index % 8))
		return NL_OK;
	/* An address that lost duplicate address detection, or has not passed it, reaches nobody. */
	if (a->ifa_flags & (IFA_F_DADFAILED | IFA_F_TENTATIVE) && !(a->ifa_flags & IFA_F_OPTIMISTIC))
		return NL_OK;
	/* IFA_LOCAL is the address itself; on a point-to-point link IFA_ADDRESS is the peer's (rtnetlink(7)). */
	const struct nlattr *local = nlmsg_find_attr(h, sizeof *a, IFA_LOCAL);
	if (!local)
		local = nlmsg_find_attr(h, sizeof *a, IFA_ADDRESS);
	if (!local || nla_len(local) != (a->ifa_family == AF_INET ? 4 : 16))
		return NL_OK;
	row.rank = gb_ifaddr_rank(a->ifa_family, nla_data(local));
	if (row.rank < 0 || !inet_ntop(a->ifa_family, nla_data(local), row.text, sizeof row.text))
		return NL_OK;
	for (int i = 0; i < pass->count; i++) {
		if (strcmp(pass->list[i].text, row.text) == 0)
			return NL_OK;
	}
	/* Kept sorted: behind the last of its rank. */
	int at = pass->count;
	while (at > 0 && pass->list[at - 1].rank > row.rank)
		at--;
	if (at >= GB_IFADDR_MAX)
		return NL_OK;
	int tail = pass->count - at;
	if (pass->count == GB_IFADDR_MAX)
		tail--;
	else
		pass->count++;
	memmove(&pass->list[at + 1], &pass->list[at], (size_t)tail * sizeof row);
	pass->list[at] = row;
	return NL_OK;
}

int gb_ifaddr_list(struct gb_ifaddr *list, struct gb_err *err)
{
	struct ifinfomsg links = { 0 }; /* all zero: every family, every interface */
	struct ifaddrmsg addresses = { 0 };
	struct pass pass = { .list = list };
	gb_autolink struct gb_link *link = NULL;

	int r = gb_link_open(&link, err);
	if (r == 0)
		r = gb_link_dump(link, RTM_GETLINK, &links, sizeof links, on_link, &pass, err);
	if (r == 0)
		r = gb_link_dump(link, RTM_GETADDR, &addresses, sizeof addresses, on_addr, &pass, err);
	return r < 0 ? r : pass.count;
}
