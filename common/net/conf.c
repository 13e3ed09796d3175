/* SPDX-License-Identifier: MIT */
/* A network interface's settings. Pure. */
#include "common/net/conf.h"

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"

enum { FIELDS = 10, FIELD_MAX = 128 };
enum { F_CLIENT, F_SERVER, F_GATEWAY, F_NETMASK, F_HOSTNAME, F_DEVICE, F_AUTOCONF, F_DNS0, F_DNS1, F_NTP0 };

bool gb_net_is_hostname(const char *text)
{
	size_t len = strlen(text), label = 0;

	if (len == 0 || len >= GB_NET_NAME)
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (text[i] == '.' || text[i] == '\0') {
			if (label == 0 || label > 63 || text[i - 1] == '-')
				return false;
			label = 0;
		} else if (isascii((unsigned char)text[i]) && (isalnum((unsigned char)text[i]) || (text[i] == '-' && label))) {
			label++;
		} else {
			return false;
		}
	}
	return true;
}

/* What a file name below /sys/class/net can be (dev_valid_name() in net/core/dev.c). */
static bool is_device(const char *text)
{
	if (!*text || strlen(text) >= IF_NAMESIZE || gb_dir_dots(text))
		return false;
	for (; *text; text++) {
		if (!isascii((unsigned char)*text) || !isgraph((unsigned char)*text) || *text == '/' || *text == ':')
			return false;
	}
	return true;
}

bool gb_net_mac(const char *text, unsigned char ret_mac[6])
{
	unsigned char mac[6];

	for (int i = 0; i < 6; i++) {
		unsigned v = 0;
		for (int k = 0; k < 2; k++, text++) {
			if (!isascii((unsigned char)*text) || !isxdigit((unsigned char)*text))
				return false;
			v = v << 4 | (unsigned)(isdigit((unsigned char)*text) ? *text - '0' : tolower((unsigned char)*text) - 'a' + 10);
		}
		mac[i] = (unsigned char)v;
		if (*text++ != (i < 5 ? ':' : '\0'))
			return false;
	}
	memcpy(ret_mac, mac, sizeof mac);
	return true;
}

static bool address(const char *text, struct in_addr *ret_address)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		return false;
	*ret_address = a;
	return true;
}

/* An address that an interface can have and a packet can come from. */
static bool is_host(struct in_addr a)
{
	uint32_t v = ntohl(a.s_addr);

	return v >> 24 != 0 && v >> 24 != 127 && v >> 28 < 0xe;
}

static bool netmask(const char *text, unsigned *ret_prefix)
{
	const char *error;
	struct in_addr a;
	unsigned prefix = 0;

	if (!strchr(text, '.')) {
		long long n = strtonum(text, 1, 32, &error);
		*ret_prefix = error ? *ret_prefix : (unsigned)n;
		return !error && isdigit((unsigned char)*text);
	}
	if (!address(text, &a))
		return false;
	uint32_t v = ntohl(a.s_addr);
	while (prefix < 32 && v & 1u << (31 - prefix))
		prefix++;
	if (prefix == 0 || (prefix < 32 && v << prefix))
		return false;
	*ret_prefix = prefix;
	return true;
}

/* As the kernel guesses it (ic_setup_if() in net/ipv4/ipconfig.c: inet_abc_len()). */
static unsigned class_prefix(struct in_addr a)
{
	uint32_t v = ntohl(a.s_addr);

	return v >> 31 == 0 ? 8 : v >> 30 == 2 ? 16 : 24;
}

static int autoconf(const char *text, enum gb_net_how *ret_how, struct gb_err *err)
{
	static const char *const off[] = { "off", "none" }, *const on[] = { "", "on", "any", "dhcp" };
	static const char *const old[] = { "bootp", "rarp", "both" };

	for (size_t i = 0; i < GB_ARRAY_LEN(off); i++) {
		if (strcmp(text, off[i]) == 0) {
			*ret_how = GB_NET_OFF;
			return 0;
		}
	}
	for (size_t i = 0; i < GB_ARRAY_LEN(on); i++) {
		if (strcmp(text, on[i]) == 0) {
			*ret_how = GB_NET_AUTO;
			return 0;
		}
	}
	for (size_t i = 0; i < GB_ARRAY_LEN(old); i++) {
		if (strcmp(text, old[i]) == 0)
			return gb_err_set(err, EINVAL, "autoconfiguration \"%s\": only dhcp is spoken here", text);
	}
	return gb_err_set(err, EINVAL, "autoconfiguration \"%s\": none of off, none, on, any, dhcp", text);
}

static int optional(const char *text, const char *what, struct in_addr *ret_address, struct gb_err *err)
{
	struct in_addr a = { 0 };

	/* The kernel takes 0.0.0.0 for "not given", too. */
	if (*text && !address(text, &a))
		return gb_err_set(err, EINVAL, "%s \"%s\": no IPv4 address", what, text);
	if (a.s_addr && !is_host(a))
		return gb_err_set(err, EINVAL, "%s \"%s\": not the address of a host", what, text);
	*ret_address = a;
	return 0;
}

static int split(const char *text, char fields[FIELDS][FIELD_MAX], struct gb_err *err)
{
	int n = 0;

	for (const char *p = text;; p++) {
		size_t len = strcspn(p, ":");
		if (n == FIELDS)
			return gb_err_set(err, EINVAL, "\"%s\": more than %d fields", text, FIELDS);
		if (len >= FIELD_MAX)
			return gb_err_set(err, EINVAL, "field %d is longer than %d bytes", n + 1, FIELD_MAX - 1);
		memcpy(fields[n++], p, len);
		p += len;
		if (!*p)
			return n;
	}
}

/* HOST.DOMAIN: the kernel splits it at the first dot, too. */
static int host_and_domain(const char *name, struct gb_net_conf *conf, struct gb_err *err)
{
	size_t dot = strcspn(name, ".");

	if (!gb_net_is_hostname(name))
		return gb_err_set(err, EINVAL, GB_NET_NO_HOSTNAME, name);
	if (name[dot])
		(void)strlcpy(conf->domain, name + dot + 1, sizeof conf->domain);
	(void)snprintf(conf->hostname, sizeof conf->hostname, "%.*s", (int)dot, name);
	return 0;
}

int gb_net_parse(const char *text, struct gb_net_conf *ret_conf, struct gb_err *err)
{
	static const struct { int field; const char *name; size_t at; } addresses[] = {
		{ F_CLIENT, "address", offsetof(struct gb_net_conf, address) },
		{ F_SERVER, "server", offsetof(struct gb_net_conf, server) },
		{ F_GATEWAY, "gateway", offsetof(struct gb_net_conf, gateway) },
		{ F_NTP0, "time server", offsetof(struct gb_net_conf, ntp) },
	};
	char fields[FIELDS][FIELD_MAX] = { 0 };
	struct gb_net_conf conf = { 0 };

	if (strchr(text, '['))
		return gb_err_set(err, EINVAL, "\"%s\": ip= is for IPv4; IPv6 configures itself", text);
	int r = split(text, fields, err);
	if (r < 0)
		return r;
	if (r == 1 && !address(fields[0], &conf.address)) { /* a word instead of an address */
		r = autoconf(fields[0], &conf.how, err);
		if (r == 0)
			*ret_conf = conf;
		return r;
	}
	for (size_t i = 0; i < GB_ARRAY_LEN(addresses); i++) {
		r = optional(fields[addresses[i].field], addresses[i].name,
			     (struct in_addr *)(void *)((char *)&conf + addresses[i].at), err);
		if (r < 0)
			return r;
	}
	for (int i = F_DNS0; i <= F_DNS1; i++) {
		struct in_addr dns;
		r = optional(fields[i], "DNS server", &dns, err);
		if (r < 0)
			return r;
		if (dns.s_addr)
			conf.dns[conf.dns_len++] = dns;
	}
	if (*fields[F_NETMASK] && !netmask(fields[F_NETMASK], &conf.prefix))
		return gb_err_set(err, EINVAL, "netmask \"%s\": neither a mask nor a prefix length", fields[F_NETMASK]);
	if (*fields[F_HOSTNAME] && (r = host_and_domain(fields[F_HOSTNAME], &conf, err)) < 0)
		return r;
	if (*fields[F_DEVICE] && !is_device(fields[F_DEVICE]))
		return gb_err_set(err, EINVAL, "device \"%s\": not a name for one", fields[F_DEVICE]);
	(void)strlcpy(conf.device, fields[F_DEVICE], sizeof conf.device);
	r = autoconf(fields[F_AUTOCONF], &conf.how, err);
	if (r < 0)
		return r;
	/* With an address there is nothing left to ask for (ip_auto_config() asks only without one). */
	if (conf.address.s_addr) {
		conf.how = GB_NET_STATIC;
		if (!conf.prefix)
			conf.prefix = class_prefix(conf.address);
	}
	*ret_conf = conf;
	return 0;
}

/* ---- a lease ---- */

/* The next word of a list. */
static bool word(const char **text, char *ret_word, size_t size)
{
	const char *p = *text + strspn(*text, " \t,\n");
	size_t len = strcspn(p, " \t,\n");

	*text = p + len;
	if (!len)
		return false;
	(void)strlcpy(ret_word, p, len + 1 < size ? len + 1 : size);
	if (len >= size)
		ret_word[0] = '\0'; /* too long to be anything */
	return true;
}

/* Names for resolv.conf's search line: a server chooses them, so each has to be one. */
static void domains(const char *list, struct gb_net_conf *conf)
{
	char name[256];

	while (list && word(&list, name, sizeof name)) {
		size_t len = strlen(name);
		if (len && name[len - 1] == '.')
			name[--len] = '\0';
		bool good = len > 0;
		for (size_t i = 0; i < len; i++)
			good = good && isascii((unsigned char)name[i]) && (isalnum((unsigned char)name[i]) || strchr("-._", name[i]));
		if (!good || strlen(conf->domain) + len + 2 > sizeof conf->domain)
			continue;
		if (conf->domain[0])
			(void)strlcat(conf->domain, " ", sizeof conf->domain);
		(void)strlcat(conf->domain, name, sizeof conf->domain);
	}
}

/* "10.0.0.0/8 10.0.2.2 0.0.0.0/0 10.0.2.2": pairs of what and through whom. */
static void routes(const char *list, struct gb_net_conf *conf)
{
	char to[64], through[64];

	while (list && word(&list, to, sizeof to) && word(&list, through, sizeof through)) {
		struct gb_net_route route = { 0 };
		const char *error;
		char *slash = strchr(to, '/');

		if (!slash || conf->routes_len == GB_NET_ROUTES_MAX)
			continue;
		*slash = '\0';
		long long prefix = strtonum(slash + 1, 0, 32, &error);
		if (error || !address(to, &route.to) || !address(through, &route.gateway))
			continue;
		route.prefix = (unsigned)prefix;
		/* The kernel refuses what has bits beyond its prefix. */
		route.to.s_addr &= prefix ? htonl(UINT32_MAX << (32 - prefix)) : 0;
		conf->routes[conf->routes_len++] = route;
	}
}

int gb_net_lease(char *(*get)(const char *name), struct gb_net_conf *ret_conf, struct gb_err *err)
{
	struct gb_net_conf conf = { .how = GB_NET_AUTO };
	const char *value = get("ip"), *error;
	char item[64];

	if (!value || !address(value, &conf.address) || !is_host(conf.address))
		return gb_err_set(err, EINVAL, "lease: address \"%s\"", value ? value : "");
	value = get("mask"); /* a prefix length; "subnet" is the dotted form */
	if (!value || !netmask(value, &conf.prefix)) {
		value = get("subnet");
		if (!value || !netmask(value, &conf.prefix))
			conf.prefix = 24;
	}
	value = get("broadcast");
	if (value)
		(void)address(value, &conf.broadcast);
	value = get("router");
	while (value && !conf.gateway.s_addr && word(&value, item, sizeof item)) {
		struct in_addr a;
		if (address(item, &a) && is_host(a))
			conf.gateway = a;
	}
	value = get("dns");
	while (value && conf.dns_len < GB_NET_DNS_MAX && word(&value, item, sizeof item)) {
		struct in_addr a;
		if (address(item, &a) && (is_host(a) || ntohl(a.s_addr) >> 24 == 127))
			conf.dns[conf.dns_len++] = a;
	}
	value = get("ntpsrv");
	if (value && word(&value, item, sizeof item))
		(void)address(item, &conf.ntp);
	value = get("siaddr");
	if (value)
		(void)address(value, &conf.server);
	value = get("search");
	domains(value && *value ? value : get("domain"), &conf);
	routes(get("staticroutes"), &conf);
	value = get("mtu");
	if (value) {
		/* RFC 2132: 68 is the least; beyond 65535 no IPv4 packet goes. */
		long long mtu = strtonum(value, 68, 65535, &error);
		conf.mtu = error ? 0 : (unsigned)mtu;
	}
	value = get("hostname");
	if (value && gb_net_is_hostname(value))
		(void)strlcpy(conf.hostname, value, sizeof conf.hostname);
	value = get("interface");
	if (!value || !is_device(value))
		return gb_err_set(err, EINVAL, "lease: interface \"%s\"", value ? value : "");
	(void)strlcpy(conf.device, value, sizeof conf.device);
	*ret_conf = conf;
	return 0;
}

/* ---- files ---- */

static const char *text_of(struct in_addr a, char text[INET_ADDRSTRLEN])
{
	return inet_ntop(AF_INET, &a, text, INET_ADDRSTRLEN);
}

bool gb_net_resolv(const struct gb_net_conf *conf, struct gb_buf *text)
{
	char a[INET_ADDRSTRLEN];

	if (!conf->dns_len && !conf->gateway.s_addr)
		return false;
	(void)gb_buf_str(text, GB_NET_MARK "; without this line it is left alone\n");
	if (conf->domain[0])
		(void)gb_buf_fmt(text, "search %s\n", conf->domain);
	for (int i = 0; i < conf->dns_len; i++)
		(void)gb_buf_fmt(text, "nameserver %s\n", text_of(conf->dns[i], a));
	if (!conf->dns_len)
		(void)gb_buf_fmt(text, "nameserver %s\n", text_of(conf->gateway, a));
	return true;
}

bool gb_net_resolv_is_ours(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0' || strncmp(text, GB_NET_MARK, strlen(GB_NET_MARK)) == 0;
}

bool gb_net_hosts_has(const char *text, const char *name)
{
	size_t want = strlen(name);

	while (*text) {
		size_t line = strcspn(text, "\n"), end = strcspn(text, "#\n"), at = 0;
		for (int i = 0; at < end; i++) {
			at += strspn(text + at, " \t\r");
			size_t len = at < end ? strcspn(text + at, " \t\r\n#") : 0;
			if (i > 0 && len == want && strncasecmp(text + at, name, len) == 0)
				return true;
			at += len;
			if (!len)
				break;
		}
		text += line + (text[line] == '\n');
	}
	return false;
}

static void fact(struct gb_buf *text, const char *name, struct in_addr a)
{
	char buf[INET_ADDRSTRLEN];

	if (a.s_addr)
		(void)gb_buf_fmt(text, "%s=%s\n", name, text_of(a, buf));
}

void gb_net_facts(const struct gb_net_conf *conf, const char *method, struct gb_buf *text)
{
	char a[INET_ADDRSTRLEN];

	(void)gb_buf_fmt(text, "interface=%s\nmethod=%s\n", conf->device, method);
	if (conf->address.s_addr)
		(void)gb_buf_fmt(text, "address=%s/%u\n", text_of(conf->address, a), conf->prefix);
	fact(text, "gateway", conf->gateway);
	for (int i = 0; i < conf->dns_len; i++)
		fact(text, "dns", conf->dns[i]);
	if (conf->domain[0])
		(void)gb_buf_fmt(text, "domain=%s\n", conf->domain);
	fact(text, "server", conf->server);
	fact(text, "ntp", conf->ntp);
}
