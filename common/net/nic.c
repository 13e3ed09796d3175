/* SPDX-License-Identifier: MIT */
/* Network interfaces as /sys/class/net shows them. */
#include "common/net/nic.h"

#include <bsd/string.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/net/conf.h"

/* A part's digits at its end, behind what is in front of them: "virtio12" is after "virtio2", and "0000:00:0a.0", which is
 * hexadecimal of one width, before "0000:00:10.0". */
static size_t stem(const char *part, size_t len)
{
	while (len && isdigit((unsigned char)part[len - 1]))
		len--;
	return len;
}

static int by_path(const char *a, const char *b)
{
	while (*a && *b) {
		size_t la = strcspn(a, "/"), lb = strcspn(b, "/");
		size_t sa = stem(a, la), sb = stem(b, lb);

		if (sa == sb && memcmp(a, b, sa) == 0 && la > sa && lb > sb) {
			unsigned long long na = strtoull(a + sa, NULL, 10), nb = strtoull(b + sb, NULL, 10);
			if (na != nb)
				return na < nb ? -1 : 1;
		} else {
			int c = memcmp(a, b, la < lb ? la : lb);
			if (c || la != lb)
				return c ? c : la < lb ? -1 : 1;
		}
		a += la + (a[la] == '/');
		b += lb + (b[lb] == '/');
	}
	return *a ? 1 : *b ? -1 : 0;
}

int gb_nic_compare(const struct gb_nic *a, const struct gb_nic *b)
{
	int c = by_path(a->path, b->path);

	if (c == 0 && a->port != b->port)
		c = a->port < b->port ? -1 : 1;
	return c ? c : by_path(a->name, b->name);
}

/* A file of one number or word; "" when there is none. */
static void fact(int dir, const char *name, const char *what, char *text, size_t size)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/%s", name, what);
	if (gb_io_line(dir, path, text, size) < 0)
		text[0] = '\0';
}

static bool read_nic(const char *sys, int dir, const char *name, struct gb_nic *ret_nic)
{
	char link[PATH_MAX], full[PATH_MAX], number[32];
	struct gb_nic nic = { 0 };

	if (strlcpy(nic.name, name, sizeof nic.name) >= sizeof nic.name)
		return false;
	if (snprintf(link, sizeof link, "%s/%s/device", sys, name) < (int)sizeof link && realpath(link, full))
		(void)strlcpy(nic.path, full, sizeof nic.path);
	fact(dir, name, "dev_port", number, sizeof number);
	nic.port = (unsigned)strtoul(number, NULL, 10);
	*ret_nic = nic;
	return true;
}

/* Whether it may be chosen without being asked for. */
static bool is_primary(const char *sys, int dir, const struct gb_nic *nic)
{
	char type[32], path[PATH_MAX];

	fact(dir, nic->name, "type", type, sizeof type);
	if (!nic->path[0] || (int)strtol(type, NULL, 10) != ARPHRD_ETHER)
		return false;
	/* The port of a bond, a bridge or a failover pair speaks for its master. */
	(void)snprintf(path, sizeof path, "%s/%s/master", sys, nic->name);
	return access(path, F_OK) < 0;
}

static bool is_wanted(int dir, const char *name, const char *wanted, const unsigned char *mac)
{
	unsigned char own[6];
	char text[64];

	if (!mac)
		return strcmp(name, wanted) == 0;
	fact(dir, name, "address", text, sizeof text);
	return gb_net_mac(text, own) && memcmp(own, mac, sizeof own) == 0;
}

int gb_nic_find(const char *sys, const char *wanted, struct gb_nic *ret_nic, struct gb_err *err)
{
	gb_autoclosedir DIR *dir = opendir(sys);
	struct gb_nic best = { 0 };
	unsigned char mac[6];
	bool by_mac = wanted && gb_net_mac(wanted, mac), found = false;
	const struct dirent *e;
	int r;

	if (!dir)
		return gb_err_sys(err, errno, "%s", sys);
	while ((r = gb_dir_next(dir, &e)) > 0) {
		struct gb_nic nic;

		if (e->d_name[0] == '.' || !read_nic(sys, dirfd(dir), e->d_name, &nic))
			continue;
		if (wanted ? !is_wanted(dirfd(dir), e->d_name, wanted, by_mac ? mac : NULL) : !is_primary(sys, dirfd(dir), &nic))
			continue;
		/* A VLAN has its parent's MAC: who has a device goes before who has none. */
		if (!found || (!best.path[0] && nic.path[0]) ||
		    (!best.path[0] == !nic.path[0] && gb_nic_compare(&nic, &best) < 0))
			best = nic;
		found = true;
	}
	if (r < 0)
		return gb_err_sys(err, -r, "%s", sys);
	if (found)
		*ret_nic = best;
	return found;
}
