/* SPDX-License-Identifier: MIT */
/* rtnetlink(7). */
#include "common/net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/sys/nl.h"

enum { ANSWER_S = 2 };

struct gb_link {
	struct nl_sock *sock;
	int refused; /* errno of the kernel's last refusal: libnl's own numbers have no room for most of them */
};

static int on_refusal(struct sockaddr_nl *from, struct nlmsgerr *e, void *data)
{
	struct gb_link *link = data;

	(void)from;
	link->refused = -e->error;
	return NL_STOP;
}

static int failed(struct gb_link *link, int r, const char *what, struct gb_err *err)
{
	return link->refused ? gb_err_sys(err, link->refused, "%s", what) : gb_err_set(err, EIO, "%s: %s", what, nl_geterror(r));
}

void gb_link_close(struct gb_link **link)
{
	if (*link) {
		nl_socket_free((*link)->sock);
		free(*link);
	}
	*link = NULL;
}

int gb_link_open(struct gb_link **ret_link, struct gb_err *err)
{
	struct timeval limit = { .tv_sec = ANSWER_S };
	gb_autolink struct gb_link *link = calloc(1, sizeof *link);

	if (link)
		link->sock = nl_socket_alloc();
	if (!link || !link->sock)
		return gb_err_sys(err, ENOMEM, "netlink");
	int r = nl_connect(link->sock, NETLINK_ROUTE);
	if (r < 0)
		return gb_err_set(err, EIO, "netlink: %s", nl_geterror(r));
	(void)nl_socket_modify_err_cb(link->sock, NL_CB_CUSTOM, on_refusal, link);
	if (setsockopt(nl_socket_get_fd(link->sock), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0)
		return gb_err_sys(err, errno, "netlink: time limit");
	*ret_link = link;
	link = NULL;
	return 0;
}

/* Sends the message, which it releases, and waits for the kernel's word. */
static int send_sync(struct gb_link *link, struct nl_msg *msg, bool complete, const char *what, struct gb_err *err)
{
	if (!msg || !complete) {
		nlmsg_free(msg);
		return gb_err_sys(err, ENOMEM, "%s", what);
	}
	link->refused = 0;
	int r = nl_send_sync(link->sock, msg);
	return r < 0 ? failed(link, r, what, err) : 0;
}

static struct nl_msg *message(int type, int flags, void *body, size_t size)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	if (msg && nlmsg_append(msg, body, size, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static bool put_address(struct nl_msg *msg, int attribute, struct in_addr a)
{
	return msg && nla_put(msg, attribute, sizeof a, &a) == 0;
}

int gb_link_up(struct gb_link *link, unsigned index, unsigned mtu, struct gb_err *err)
{
	struct ifinfomsg body = { .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct nl_msg *msg = message(RTM_NEWLINK, 0, &body, sizeof body);
	bool complete = msg && (!mtu || nla_put_u32(msg, IFLA_MTU, mtu) == 0);

	return send_sync(link, msg, complete, "up", err);
}

int gb_link_add_address(struct gb_link *link, unsigned index, struct in_addr address, unsigned prefix,
			struct in_addr broadcast, struct gb_err *err)
{
	struct ifaddrmsg body = { .ifa_family = AF_INET, .ifa_prefixlen = (unsigned char)prefix,
				  .ifa_scope = RT_SCOPE_UNIVERSE, .ifa_index = index };
	struct nl_msg *msg = message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);

	if (!broadcast.s_addr && prefix < 31)
		broadcast.s_addr = address.s_addr | (prefix ? htonl(UINT32_MAX >> prefix) : UINT32_MAX);
	bool complete = put_address(msg, IFA_LOCAL, address) && put_address(msg, IFA_ADDRESS, address) &&
			(!broadcast.s_addr || put_address(msg, IFA_BROADCAST, broadcast));
	return send_sync(link, msg, complete, "address", err);
}

int gb_link_add_route(struct gb_link *link, unsigned index, struct in_addr to, unsigned prefix, struct in_addr gateway,
		      struct gb_err *err)
{
	struct rtmsg body = { .rtm_family = AF_INET, .rtm_dst_len = (unsigned char)prefix, .rtm_table = RT_TABLE_MAIN,
			      .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST,
			      .rtm_scope = gateway.s_addr ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK };
	struct nl_msg *msg = message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);
	bool complete = msg && (!prefix || put_address(msg, RTA_DST, to)) &&
			(!gateway.s_addr || put_address(msg, RTA_GATEWAY, gateway)) && nla_put_u32(msg, RTA_OIF, index) == 0;

	return send_sync(link, msg, complete, prefix ? "route" : "default route", err);
}

/* ---- what is there ---- */

enum { FOUND_MAX = 64 };

struct found {
	unsigned index;
	int count;
	struct { struct in_addr address; unsigned prefix; } rows[FOUND_MAX];
};

static int on_address(struct nl_msg *msg, void *data)
{
	struct found *found = data;
	struct nlmsghdr *h = nlmsg_hdr(msg);

	if (h->nlmsg_type != RTM_NEWADDR || !nlmsg_valid_hdr(h, sizeof(struct ifaddrmsg)))
		return NL_OK;
	const struct ifaddrmsg *a = nlmsg_data(h);
	const struct nlattr *local = nlmsg_find_attr(h, sizeof *a, IFA_LOCAL);
	if (a->ifa_family != AF_INET || a->ifa_index != found->index || !local || nla_len(local) != 4 || found->count == FOUND_MAX)
		return NL_OK;
	memcpy(&found->rows[found->count].address, nla_data(local), 4);
	found->rows[found->count++].prefix = a->ifa_prefixlen;
	return NL_OK;
}

static int on_route(struct nl_msg *msg, void *data)
{
	struct found *found = data;
	struct nlmsghdr *h = nlmsg_hdr(msg);

	if (h->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(h, sizeof(struct rtmsg)))
		return NL_OK;
	const struct rtmsg *route = nlmsg_data(h);
	const struct nlattr *oif = nlmsg_find_attr(h, sizeof *route, RTA_OIF);
	const struct nlattr *gateway = nlmsg_find_attr(h, sizeof *route, RTA_GATEWAY);
	if (route->rtm_family != AF_INET || route->rtm_dst_len || route->rtm_table != RT_TABLE_MAIN || !oif ||
	    nla_len(oif) != 4 || nla_get_u32(oif) != found->index || found->count == FOUND_MAX)
		return NL_OK;
	if (gateway && nla_len(gateway) == 4)
		memcpy(&found->rows[found->count].address, nla_data(gateway), 4);
	found->count++;
	return NL_OK;
}

int gb_link_dump(struct gb_link *link, int type, void *body, size_t size, int (*fn)(struct nl_msg *msg, void *data), void *data,
		 struct gb_err *err)
{
	int r = nl_socket_modify_cb(link->sock, NL_CB_VALID, NL_CB_CUSTOM, fn, data);

	link->refused = 0;
	if (r == 0)
		r = nl_send_simple(link->sock, type, NLM_F_DUMP, body, size);
	if (r >= 0)
		r = nl_recvmsgs_default(link->sock);
	(void)nl_socket_modify_cb(link->sock, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
	return r < 0 ? failed(link, r, "netlink", err) : 0;
}

int gb_link_drop_addresses(struct gb_link *link, unsigned index, struct in_addr keep, unsigned keep_prefix,
			   struct gb_err *err)
{
	struct ifaddrmsg all = { .ifa_family = AF_INET };
	struct found found = { .index = index };
	int r = gb_link_dump(link, RTM_GETADDR, &all, sizeof all, on_address, &found, err);

	for (int i = 0; r == 0 && i < found.count; i++) {
		struct ifaddrmsg body = { .ifa_family = AF_INET, .ifa_prefixlen = (unsigned char)found.rows[i].prefix,
					  .ifa_index = index };
		if (keep.s_addr && found.rows[i].address.s_addr == keep.s_addr && found.rows[i].prefix == keep_prefix)
			continue;
		struct nl_msg *msg = message(RTM_DELADDR, 0, &body, sizeof body);
		r = send_sync(link, msg, put_address(msg, IFA_LOCAL, found.rows[i].address), "old address", err);
	}
	return r;
}

int gb_link_drop_default(struct gb_link *link, unsigned index, struct gb_err *err)
{
	struct rtmsg all = { .rtm_family = AF_INET };
	struct found found = { .index = index };
	int r = gb_link_dump(link, RTM_GETROUTE, &all, sizeof all, on_route, &found, err);

	for (int i = 0; r == 0 && i < found.count; i++) {
		struct rtmsg body = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_scope = RT_SCOPE_NOWHERE };
		struct nl_msg *msg = message(RTM_DELROUTE, 0, &body, sizeof body);
		bool complete = msg && nla_put_u32(msg, RTA_OIF, index) == 0 &&
				(!found.rows[i].address.s_addr || put_address(msg, RTA_GATEWAY, found.rows[i].address));
		r = send_sync(link, msg, complete, "old default route", err);
	}
	return r;
}
