/* SPDX-License-Identifier: MIT */
/* guest-net: the steps. */
#include <arpa/inet.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/guest-net/net.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/mono.h"
#include "common/net/link.h"
#include "common/sys/timeline.h"

enum { LOOK_MS = 10, FILE_LEN_MAX = 1 << 20 };

static void say(char *detail, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(char *detail, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, NET_DETAIL, fmt, ap);
	va_end(ap);
}

static const char *text_of(struct in_addr a, char text[INET_ADDRSTRLEN])
{
	return inet_ntop(AF_INET, &a, text, INET_ADDRSTRLEN);
}

bool net_is_no_name(const char *name)
{
	/* The kernel's own (CONFIG_DEFAULT_HOSTNAME), what images come with, and our last resort. */
	return !*name || strcmp(name, "(none)") == 0 || strcmp(name, "localhost") == 0 || strcmp(name, "guestbox") == 0;
}

int net_put_file(const char *path, const struct gb_buf *text, struct gb_err *err)
{
	char part[PATH_MAX];

	if (text->failed)
		return gb_err_sys(err, ENOMEM, "%s", path);
	if (snprintf(part, sizeof part, "%s.%d.part", path, (int)getpid()) >= (int)sizeof part)
		return gb_err_sys(err, ENAMETOOLONG, "%s", path);
	(void)unlink(part); /* of a run that a power cut has ended: in a boot the same process has the same number */
	gb_autoclose int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	int r = fd < 0 ? -errno : gb_io_write(fd, gb_buf_text(text), text->len);
	if (r == 0 && rename(part, path) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		(void)unlink(part);
	return r < 0 ? gb_err_sys(err, -r, "%s", path) : 0;
}

int net_loopback(struct net_job *job, char *detail, struct gb_err *err)
{
	gb_autolink struct gb_link *link = NULL;
	unsigned index = if_nametoindex("lo");

	(void)job;
	if (!index)
		return gb_err_sys(err, errno, "lo");
	int r = gb_link_open(&link, err);
	if (r == 0)
		r = gb_link_up(link, index, 0, err); /* its addresses come with it (inetdev_event() in net/ipv4/devinet.c) */
	if (r < 0)
		return gb_err_wrap(err, "lo");
	say(detail, "lo up");
	return 0;
}

int net_hostname(struct net_job *job, char *detail, struct gb_err *err)
{
	char now[GB_NET_NAME] = "";

	if (gethostname(now, sizeof now - 1) < 0)
		return gb_err_sys(err, errno, "host name");
	if (!job->hostname[0])
		(void)strlcpy(job->hostname, net_is_no_name(now) ? "guestbox" : now, sizeof job->hostname);
	if (strcmp(now, job->hostname) == 0) {
		say(detail, "%s", now);
		return 0;
	}
	if (!job->hostname_said && !net_is_no_name(now)) {
		(void)strlcpy(job->hostname, now, sizeof job->hostname);
		say(detail, "%s, as it was set before", now);
		return 0;
	}
	if (sethostname(job->hostname, strlen(job->hostname)) < 0)
		return gb_err_sys(err, errno, "host name %s", job->hostname);
	say(detail, "%s", job->hostname);
	return 0;
}

int net_hosts(struct net_job *job, char *detail, struct gb_err *err)
{
	gb_autobuf struct gb_buf old = { 0 }, new = { 0 };
	char path[PATH_MAX], name[GB_NET_NAME] = "";

	if (snprintf(path, sizeof path, "%s/hosts", job->etc) >= (int)sizeof path)
		return gb_err_sys(err, ENAMETOOLONG, "%s", job->etc);
	if (gethostname(name, sizeof name - 1) < 0)
		return gb_err_sys(err, errno, "host name");
	int r = gb_io_slurp(AT_FDCWD, path, FILE_LEN_MAX, &old);
	if (r < 0 && r != -ENOENT)
		return gb_err_sys(err, -r, "%s", path);
	(void)gb_buf_add(&new, gb_buf_text(&old), old.len);
	if (old.len && old.data[old.len - 1] != '\n')
		(void)gb_buf_str(&new, "\n");
	if (!gb_net_hosts_has(gb_buf_text(&old), "localhost"))
		(void)gb_buf_str(&new, "127.0.0.1 localhost\n::1 localhost\n");
	if (!gb_net_hosts_has(gb_buf_text(&old), name))
		(void)gb_buf_fmt(&new, "127.0.1.1 %s\n", name);
	if (new.len == old.len || (new.len == old.len + 1 && old.len && old.data[old.len - 1] != '\n')) {
		say(detail, "%s names %s", path, name);
		return 0;
	}
	r = net_put_file(path, &new, err);
	if (r == 0)
		say(detail, "%s: %s added", path, name);
	return r;
}

int net_interface(struct net_job *job, char *detail, struct gb_err *err)
{
	const char *wanted = job->wanted[0] ? job->wanted : NULL;
	uint64_t deadline = gb_mono_ns() + (uint64_t)job->wait_ms * 1000000;
	int r;

	while ((r = gb_nic_find(job->sys, wanted, &job->nic, err)) == 0 && gb_mono_ns() < deadline)
		(void)poll(NULL, 0, LOOK_MS);
	if (r < 0)
		return r;
	if (r == 0 && wanted)
		return gb_err_set(err, ENODEV, "%s: no such interface%s", wanted, job->wait_ms ? ", and none came up in time" : "");
	if (r == 0) {
		job->no_interface = true;
		say(detail, "none: nothing that is here has a device behind it");
		return 0;
	}
	job->index = if_nametoindex(job->nic.name);
	if (!job->index)
		return gb_err_sys(err, errno, "%s", job->nic.name);
	(void)strlcpy(job->conf.device, job->nic.name, sizeof job->conf.device);
	say(detail, "%s%s%s", job->nic.name, job->nic.path[0] ? ", " : "", job->nic.path);
	return 0;
}

static bool has_carrier(const struct net_job *job)
{
	gb_autobuf struct gb_buf text = { 0 };
	char path[PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/%s/carrier", job->sys, job->nic.name);
	return gb_io_slurp(AT_FDCWD, path, 64, &text) == 0 && gb_buf_text(&text)[0] == '1';
}

int net_link(struct net_job *job, char *detail, struct gb_err *err)
{
	gb_autolink struct gb_link *link = NULL;
	uint64_t deadline = gb_mono_ns() + (uint64_t)job->carrier_ms * 1000000;

	int r = gb_link_open(&link, err);
	if (r == 0)
		r = gb_link_up(link, job->index, 0, err);
	if (r < 0)
		return gb_err_wrap(err, "%s", job->nic.name);
	bool carrier;
	while (!(carrier = has_carrier(job)) && gb_mono_ns() < deadline)
		(void)poll(NULL, 0, LOOK_MS);
	/* It may still come; what follows works either way, a DHCP client asks again. */
	say(detail, "%s up%s", job->nic.name, carrier ? "" : ", no carrier yet");
	return 0;
}

int net_address(struct net_job *job, char *detail, struct gb_err *err)
{
	const struct gb_net_conf *conf = &job->conf;
	gb_autolink struct gb_link *link = NULL;
	char text[INET_ADDRSTRLEN];

	int r = gb_link_open(&link, err);
	if (r == 0)
		r = gb_link_up(link, job->index, conf->mtu, err);
	/* Those of an earlier lease or run, and before the new one comes: the first address of a network takes all others of
	 * it along (promote_secondaries in the kernel's ip-sysctl.rst). */
	if (r == 0)
		r = gb_link_drop_addresses(link, job->index, conf->address, conf->prefix, err);
	if (r == 0)
		r = gb_link_add_address(link, job->index, conf->address, conf->prefix, conf->broadcast, err);
	if (r < 0)
		return gb_err_wrap(err, "%s", conf->device);
	say(detail, "%s has %s/%u", conf->device, text_of(conf->address, text), conf->prefix);
	return 0;
}

/* A gateway outside of the interface's network, as clouds have it, is reached on the link. */
static int add_route(struct net_job *job, struct gb_link *link, struct in_addr to, unsigned prefix, struct in_addr gateway,
		     struct gb_err *err)
{
	const struct gb_net_conf *conf = &job->conf;
	uint32_t mask = conf->prefix ? htonl(UINT32_MAX << (32 - conf->prefix)) : 0;

	if (gateway.s_addr && (gateway.s_addr & mask) != (conf->address.s_addr & mask)) {
		int r = gb_link_add_route(link, job->index, gateway, 32, (struct in_addr){ 0 }, err);
		if (r < 0)
			return r;
	}
	return gb_link_add_route(link, job->index, to, prefix, gateway, err);
}

int net_routes(struct net_job *job, char *detail, struct gb_err *err)
{
	const struct gb_net_conf *conf = &job->conf;
	gb_autolink struct gb_link *link = NULL;
	char text[INET_ADDRSTRLEN];

	int r = gb_link_open(&link, err);
	if (r == 0)
		r = gb_link_drop_default(link, job->index, err);
	/* RFC 3442: who offers classless routes has the default route among them. */
	for (int i = 0; r == 0 && i < conf->routes_len; i++)
		r = add_route(job, link, conf->routes[i].to, conf->routes[i].prefix, conf->routes[i].gateway, err);
	if (r == 0 && !conf->routes_len && conf->gateway.s_addr)
		r = add_route(job, link, (struct in_addr){ 0 }, 0, conf->gateway, err);
	if (r < 0)
		return gb_err_wrap(err, "%s", conf->device);
	if (conf->routes_len)
		say(detail, "%d through %s", conf->routes_len, conf->device);
	else
		say(detail, conf->gateway.s_addr ? "default via %s" : "no default route%s",
		    conf->gateway.s_addr ? text_of(conf->gateway, text) : "");
	return 0;
}

int net_resolver(struct net_job *job, char *detail, struct gb_err *err)
{
	gb_autobuf struct gb_buf old = { 0 }, new = { 0 };
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof path, "%s/resolv.conf", job->etc) >= (int)sizeof path)
		return gb_err_sys(err, ENAMETOOLONG, "%s", job->etc);
	if (!gb_net_resolv(&job->conf, &new)) {
		say(detail, "nobody to ask for names");
		return 0;
	}
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
		say(detail, "%s is a link of somebody's: left alone", path);
		return 0;
	}
	int r = gb_io_slurp(AT_FDCWD, path, FILE_LEN_MAX, &old);
	if (r < 0 && r != -ENOENT)
		return gb_err_sys(err, -r, "%s", path);
	if (!gb_net_resolv_is_ours(gb_buf_text(&old))) {
		say(detail, "%s is not made by guest-net: left alone", path);
		return 0;
	}
	if (strcmp(gb_buf_text(&old), gb_buf_text(&new)) != 0) {
		r = net_put_file(path, &new, err);
		if (r < 0)
			return r;
	}
	char text[INET_ADDRSTRLEN];
	say(detail, "%s asks %s%s", path, text_of(job->conf.dns_len ? job->conf.dns[0] : job->conf.gateway, text),
	    job->conf.dns_len > 1 ? " and others" : job->conf.dns_len ? "" : ", the gateway");
	return 0;
}

int net_facts(struct net_job *job, char *detail, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };
	char path[PATH_MAX];

	int r = gb_io_mkdirs(NET_STATE);
	if (r < 0)
		return gb_err_sys(err, -r, NET_STATE);
	gb_net_facts(&job->conf, job->conf.how == GB_NET_STATIC ? "static" : "dhcp", &text);
	(void)snprintf(path, sizeof path, NET_STATE "/%s", job->conf.device);
	r = net_put_file(path, &text, err);
	if (r == 0)
		say(detail, "%s", path);
	return r;
}
