/* SPDX-License-Identifier: MIT */
/* Fuzz target: ip= of the kernel command line, and a lease's variables (lines NAME=VALUE). */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/net/conf.h"
#include "tests/fuzz/fuzz.h"

static char *text;

static char *get(const char *name)
{
	size_t len = strlen(name);
	static char value[4096];

	for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, name, len) == 0 && line[len] == '=') {
			size_t n = strcspn(line + len + 1, "\n");
			n = n < sizeof value ? n : sizeof value - 1;
			memcpy(value, line + len + 1, n);
			value[n] = '\0';
			return value;
		}
	}
	return NULL;
}

static void check(const struct gb_net_conf *conf)
{
	gb_autobuf struct gb_buf out = { 0 };

	if (conf->prefix > 32 || conf->dns_len > GB_NET_DNS_MAX || conf->routes_len > GB_NET_ROUTES_MAX)
		abort();
	if ((conf->hostname[0] && !gb_net_is_hostname(conf->hostname)) || strlen(conf->domain) >= sizeof conf->domain)
		abort();
	for (int i = 0; i < conf->routes_len; i++) {
		if (conf->routes[i].prefix > 32)
			abort();
	}
	/* What is written for others to read has one fact a line, whatever a server says. */
	(void)gb_net_resolv(conf, &out);
	gb_net_facts(conf, "dhcp", &out);
	for (const char *line = gb_buf_text(&out); *line; line = strchr(line, '\n') + 1) {
		if (strncmp(line, "# made", 6) != 0 && strncmp(line, "search ", 7) != 0 && strncmp(line, "nameserver ", 11) != 0 &&
		    !memchr(line, '=', strcspn(line, "\n")))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_autofree char *copy = malloc(size + 1);
	struct gb_net_conf conf;
	struct gb_err err;
	unsigned char mac[6];

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	if (gb_net_parse(copy, &conf, &err) == 0) {
		if ((conf.how == GB_NET_STATIC) != (conf.address.s_addr != 0))
			abort();
		check(&conf);
	} else if (!err.msg[0]) {
		abort();
	}
	text = copy;
	if (gb_net_lease(get, &conf, &err) == 0) {
		if (!conf.address.s_addr || !conf.device[0])
			abort();
		check(&conf);
	}
	(void)gb_net_mac(copy, mac);
	(void)gb_net_hosts_has(copy, "localhost");
	(void)gb_net_resolv_is_ours(copy);
	return 0;
}
