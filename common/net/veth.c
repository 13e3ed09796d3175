/* SPDX-License-Identifier: MIT */
/* veth pairs over rtnetlink(7). By hand, and not by way of link.c: a pair is one request with attributes inside attributes, which
 * nothing else here needs of libnl, and the sockets of two namespaces are bare descriptors to whoever keeps them. */
#include "common/net/veth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/* A request under construction: what a pair needs is below half of it. */
struct request {
	struct nlmsghdr h;
	unsigned char body[1024 - sizeof(struct nlmsghdr)];
};

static void *start(struct request *q, int type, unsigned flags, size_t size)
{
	memset(q, 0, sizeof *q);
	q->h.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
	q->h.nlmsg_type = (uint16_t)type;
	q->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	return NLMSG_DATA(&q->h);
}

static struct rtattr *add(struct request *q, int type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));

	a->rta_type = (unsigned short)type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	q->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
	return a;
}

static void close_nest(struct request *q, struct rtattr *a)
{
	a->rta_len = (unsigned short)((char *)q + q->h.nlmsg_len - (char *)a);
}

/* One request, its acknowledgement: 0 or -errno. */
static int call(int sock, struct request *q)
{
	union { struct nlmsghdr h; char bytes[8192]; } answer;

	while (send(sock, q, q->h.nlmsg_len, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	for (;;) {
		ssize_t n = recv(sock, &answer, sizeof answer, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.h.nlmsg_type != NLMSG_ERROR)
			return -EBADMSG;
		return ((struct nlmsgerr *)NLMSG_DATA(&answer.h))->error;
	}
}

int gb_veth_socket(struct gb_err *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? gb_err_sys(err, errno, "netlink") : fd;
}

static int index_of(int sock, const char *name)
{
	struct ifreq req = { 0 };

	(void)snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
	/* A netlink socket answers the interface ioctls of its namespace, too (netdevice(7)). */
	return ioctl(sock, SIOCGIFINDEX, &req) < 0 ? -errno : req.ifr_ifindex;
}

static int set_up(int sock, int index)
{
	struct request q;
	struct ifinfomsg *link = start(&q, RTM_NEWLINK, 0, sizeof *link);

	link->ifi_index = index;
	link->ifi_flags = link->ifi_change = IFF_UP;
	return call(sock, &q);
}

int gb_veth_loopback(struct gb_err *err)
{
	gb_autoclose int sock = gb_veth_socket(err);

	if (sock < 0)
		return sock;
	int r = set_up(sock, 1); /* the loopback interface is the first of every namespace */
	return r < 0 ? gb_err_sys(err, -r, "the loopback interface") : 0;
}

/* A point-to-point address: the local one, and whom it reaches. */
static int set_address(int sock, int index, uint32_t local, uint32_t peer)
{
	struct request q;
	struct ifaddrmsg *a = start(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *a);
	uint32_t local_be = htonl(local), peer_be = htonl(peer);

	a->ifa_family = AF_INET;
	a->ifa_prefixlen = 32;
	a->ifa_index = (uint32_t)index;
	(void)add(&q, IFA_LOCAL, &local_be, sizeof local_be);
	(void)add(&q, IFA_ADDRESS, &peer_be, sizeof peer_be);
	return call(sock, &q);
}

static int set_default_route(int sock, int index, uint32_t gateway)
{
	struct request q;
	struct rtmsg *route = start(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *route);
	uint32_t gateway_be = htonl(gateway);

	route->rtm_family = AF_INET;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_type = RTN_UNICAST;
	(void)add(&q, RTA_GATEWAY, &gateway_be, sizeof gateway_be);
	(void)add(&q, RTA_OIF, &index, sizeof index);
	return call(sock, &q);
}

static int create(int inside, const struct gb_veth *veth, int outside_ns)
{
	struct request q;
	struct ifinfomsg *link = start(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *link);
	struct ifinfomsg peer = { 0 };

	link->ifi_family = AF_UNSPEC;
	(void)add(&q, IFLA_IFNAME, veth->inner, strlen(veth->inner) + 1);
	(void)add(&q, IFLA_ADDRESS, veth->mac, sizeof veth->mac);
	struct rtattr *info = add(&q, IFLA_LINKINFO, NULL, 0);
	(void)add(&q, IFLA_INFO_KIND, "veth", 4);
	struct rtattr *data = add(&q, IFLA_INFO_DATA, NULL, 0);
	struct rtattr *other = add(&q, VETH_INFO_PEER, &peer, sizeof peer);
	(void)add(&q, IFLA_IFNAME, veth->name, strlen(veth->name) + 1);
	(void)add(&q, IFLA_NET_NS_FD, &outside_ns, sizeof outside_ns);
	close_nest(&q, other);
	close_nest(&q, data);
	close_nest(&q, info);
	return call(inside, &q);
}

int gb_veth_delete(int sock, const char *name)
{
	struct request q;
	struct ifinfomsg *link = start(&q, RTM_DELLINK, 0, sizeof *link);
	int index = index_of(sock, name);

	if (index < 0)
		return index;
	link->ifi_index = index;
	return call(sock, &q);
}

int gb_veth_add(const struct gb_veth *veth, int outside, int outside_ns, struct gb_err *err)
{
	const char *what = "create";
	int in_index = 0, out_index = 0;

	gb_autoclose int inside = gb_veth_socket(err);
	if (inside < 0)
		return inside;
	int r = create(inside, veth, outside_ns);
	if (r < 0)
		return gb_err_sys(err, -r, "veth pair %s: create", veth->name);
	in_index = r = index_of(inside, veth->inner);
	if (r >= 0)
		out_index = r = index_of(outside, veth->name);
	if (r >= 0) {
		what = "bring up";
		r = set_up(outside, out_index);
	}
	if (r >= 0)
		r = set_up(inside, in_index);
	if (r >= 0) {
		what = "give an address to";
		r = set_address(outside, out_index, veth->gateway, veth->address);
	}
	if (r >= 0)
		r = set_address(inside, in_index, veth->address, veth->gateway);
	if (r >= 0) {
		what = "route over";
		r = set_default_route(inside, in_index, veth->gateway);
	}
	if (r >= 0)
		return 0;
	(void)gb_veth_delete(outside, veth->name);
	return gb_err_sys(err, -r, "veth pair %s: %s", veth->name, what);
}
