/* SPDX-License-Identifier: MIT */
/* What a network interface is to be given: read from ip= of the kernel command line, or from a DHCP client's words. */
#ifndef GB_NET_CONF_H
#define GB_NET_CONF_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum { GB_NET_DNS_MAX = 3 /* MAXNS of resolv.conf(5) */, GB_NET_ROUTES_MAX = 16, GB_NET_NAME = 65 /* HOST_NAME_MAX + NUL */ };

enum gb_net_how {
	GB_NET_AUTO,   /* ask a DHCP server */
	GB_NET_STATIC, /* address holds it */
	GB_NET_OFF,    /* no address */
};

struct gb_net_route {
	struct in_addr to, gateway; /* gateway 0: on the link */
	unsigned prefix;
};

/* All addresses in network order; 0 stands for "not given". */
struct gb_net_conf {
	enum gb_net_how how;
	struct in_addr address, broadcast, gateway;
	unsigned prefix;
	struct in_addr dns[GB_NET_DNS_MAX];
	int dns_len;
	struct in_addr server, ntp; /* of ip=: for others to read (/run/guestbox/net) */
	struct gb_net_route routes[GB_NET_ROUTES_MAX]; /* of DHCP's option 121, which the gateway is then not asked for */
	int routes_len;
	unsigned mtu; /* 0: as it is */
	char hostname[GB_NET_NAME];
	char domain[256];            /* what resolv.conf searches, words */
	char device[IF_NAMESIZE];
};

/* ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1:NTP0, or AUTOCONF alone (the kernel's
 * Documentation/admin-guide/nfs/nfsroot.rst). A netmask may also be a prefix length; without one the address's class
 * has it. Pure. 0, or -EINVAL with err naming the field. */
int gb_net_parse(const char *text, struct gb_net_conf *ret_conf, struct gb_err *err);

/* The same from the variables that udhcpc(8) sets for its script. get is getenv(3), or a test's own. Addresses that are
 * none are passed over, except the lease's own. Pure otherwise. 0, or -EINVAL with err. */
int gb_net_lease(char *(*get)(const char *name), struct gb_net_conf *ret_conf, struct gb_err *err);

/* Whether text can be a host's name: labels of letters, digits and inner hyphens (RFC 1123), 64 bytes at most. */
bool gb_net_is_hostname(const char *text);
/* What an error says of one that is none; takes the name. */
#define GB_NET_NO_HOSTNAME "host name \"%s\": letters, digits and hyphens, please"

/* "aa:bb:cc:dd:ee:ff", upper or lower case; false when it is something else. */
bool gb_net_mac(const char *text, unsigned char ret_mac[6]);

/* ---- files ---- */

#define GB_NET_MARK "# made by guest-net(8)"

/* The text of a resolv.conf. Without servers, the gateway is asked: in a micro-VM it forwards. False: nobody to ask. */
bool gb_net_resolv(const struct gb_net_conf *conf, struct gb_buf *text);

/* Whether a resolv.conf with this content may be replaced: empty, or made by us. */
bool gb_net_resolv_is_ours(const char *text);

/* Whether a hosts(5) file names this host in a line that is no comment. */
bool gb_net_hosts_has(const char *text, const char *name);

/* The facts as lines NAME=VALUE, for programs; `method` is "static" or "dhcp". */
void gb_net_facts(const struct gb_net_conf *conf, const char *method, struct gb_buf *text);

#endif
