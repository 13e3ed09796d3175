/* SPDX-License-Identifier: MIT */
/* A sandbox's network, and its files about that. */
#include "common/sandbox/network.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/net/veth.h"

void gb_sandbox_tap_name(uint32_t address, char name[GB_SANDBOX_TAP])
{
	(void)snprintf(name, GB_SANDBOX_TAP, "vmtap%u-%u", address >> 8 & 0xff, address & 0xff);
}

void gb_sandbox_hostname(const char *id, char *name, size_t size)
{
	size_t n = 0;

	/* RFC 1123: letters, digits and dashes, at most 63, neither end a dash. */
	for (; *id && n + 1 < size && n < 63; id++) {
		bool ok = (*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') || (*id >= '0' && *id <= '9');
		if (ok || (n && *id == '-'))
			name[n++] = *id;
	}
	while (n && name[n - 1] == '-')
		n--;
	name[n] = '\0';
	if (n == 0)
		(void)strlcpy(name, "sandbox", size);
}

static int resolver(struct gb_sandbox_stage *stage)
{
	gb_autobuf struct gb_buf own = { 0 }, text = { 0 };
	int found = 0;

	if (gb_io_slurp(AT_FDCWD, "/etc/resolv.conf", 65536, &own) == 0) {
		char *save = NULL;
		for (char *line = strtok_r(own.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			char server[64];
			unsigned char raw[16];
			if (sscanf(line, "nameserver %63s", server) != 1 || strncmp(server, "127.", 4) == 0)
				continue;
			if (inet_pton(AF_INET, server, raw) != 1)
				continue;
			(void)gb_buf_fmt(&text, "nameserver %s\n", server);
			found++;
		}
	}
	if (!found)
		(void)gb_buf_str(&text, "nameserver 1.1.1.1\nnameserver 8.8.8.8\n");
	return gb_sandbox_stage_file(stage, "/etc/resolv.conf", gb_buf_text(&text), text.len, false);
}

int gb_sandbox_network(struct gb_sandbox_stage *stage, int outside, int home, const char *hostname)
{
	uint32_t address = stage->record->address;
	gb_autobuf struct gb_buf hosts = { 0 };
	int r = gb_veth_loopback(stage->err);

	if (r < 0)
		return r;
	/* Root in there has no rights over the namespace, so that low ports and echo requests are opened to all. */
	(void)gb_io_put(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	(void)gb_io_put(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	(void)gb_buf_str(&hosts, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	if (address) {
		struct gb_veth veth = { .inner = "eth0", .gateway = GB_SANDBOX_GATEWAY, .address = address };
		char name[GB_SANDBOX_TAP];
		struct in_addr in = { htonl(address) };
		char text[INET_ADDRSTRLEN];

		gb_sandbox_tap_name(address, name);
		veth.name = name;
		/* Locally administered, and the same for an id each time: FNV-1a, 64 bits. */
		uint64_t hash = 0xcbf29ce484222325U;
		for (const char *p = stage->record->spec->id; *p; p++)
			hash = (hash ^ (unsigned char)*p) * 0x100000001b3U;
		for (int i = 0; i < 6; i++)
			veth.mac[i] = (unsigned char)(hash >> 8 * i);
		veth.mac[0] = (veth.mac[0] & 0xfc) | 0x02;
		r = gb_veth_add(&veth, outside, home, stage->err);
		if (r < 0)
			return r;
		(void)gb_buf_fmt(&hosts, "%s %s\n", inet_ntop(AF_INET, &in, text, sizeof text), hostname);
		r = resolver(stage);
	} else {
		(void)gb_buf_fmt(&hosts, "127.0.1.1 %s\n", hostname);
	}
	return r < 0 ? r : gb_sandbox_stage_file(stage, "/etc/hosts", gb_buf_text(&hosts), hosts.len, false);
}
