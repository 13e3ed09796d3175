/* SPDX-License-Identifier: MIT */
/* common/net: addresses as text, ports by name, which addresses of this machine count. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/net/addr.h"
#include "common/net/ifaddr.h"
#include "common/net/virtio.h"

static void addresses_survive_the_round_trip(void **state)
{
	static const char *const good[] = {
		"vsock:1024", "vsock:3:1024", "vsock:0:0", "unix:/run/a b", "unix:@name", "virtio:org.guestbox.rpc.0",
		"fc:/tmp/v:sock:52", "tcp:127.0.0.1:65535", "stdio",
	};
	static const char *const bad[] = {
		"", "vsock", "vsock:", "vsock:x", "vsock::1024", "vsock:-1", "vsock: 1", "vsock:4294967296", "vsock:4294967295",
		"vsock:1:2:3", "vsock:99999999999:1", "unix:", "unix:@", "virtio:", "fc:", "fc:/x", "fc::5", "fc:/x:", "tcp:1",
		"tcp:10.0.0.1:80", "tcp:127.0.0.1:0", "tcp:127.0.0.1:65536", "tcp:127.0.0.10:1", "stdio:", "STDIO", "http://x",
	};
	char text[GB_ADDR_TEXT], longest[128];
	struct gb_addr addr;
	struct gb_err err;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(good); i++) {
		assert_int_equal(gb_addr_parse(good[i], &addr, &err), 0);
		assert_string_equal(gb_addr_format(&addr, text), good[i]);
	}
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		assert_int_equal(gb_addr_parse(bad[i], &addr, &err), -GB_E_USAGE);
		assert_non_null(strstr(err.msg, bad[i]));
	}
	memset(longest, 'x', sizeof longest);
	memcpy(longest, "unix:", 5);
	longest[5 + 107] = '\0';
	assert_int_equal(gb_addr_parse(longest, &addr, &err), 0);
	longest[5 + 107] = 'x';
	longest[5 + 108] = '\0';
	assert_int_equal(gb_addr_parse(longest, &addr, &err), -GB_E_USAGE);
	assert_int_equal(gb_addr_parse("vsock:7", &addr, NULL), 0);
	assert_int_equal(addr.cid, VMADDR_CID_ANY);
}

static void put(const char *root, const char *port, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", root, port);
	assert_int_equal(mkdir(path, 0700), 0);
	if (!name)
		return;
	(void)snprintf(path, sizeof path, "%s/%s/name", root, port);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(name, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void ports_are_found_by_their_names(void **state)
{
	char root[] = "/tmp/gb-unit-XXXXXX", device[64], tiny[4], command[64];

	(void)state;
	assert_non_null(mkdtemp(root));
	put(root, "vport0p0", NULL); /* a port without a name */
	put(root, "vport0p1", "com.example.other\n");
	put(root, "vport2p1", "org.guestbox.rpc.0\n");
	assert_int_equal(gb_virtio_find(root, "org.guestbox.rpc.0", device, sizeof device), 0);
	assert_string_equal(device, "vport2p1");
	assert_int_equal(gb_virtio_find(root, "org.guestbox.rpc", device, sizeof device), -ENOENT);
	assert_int_equal(gb_virtio_find(root, "com.example.other", tiny, sizeof tiny), -ENAMETOOLONG);
	assert_int_equal(gb_virtio_find("/nowhere", "x", device, sizeof device), -ENOENT);
	(void)snprintf(command, sizeof command, "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

static int rank(const char *text)
{
	unsigned char raw[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	assert_int_equal(inet_pton(family, text, raw), 1);
	return gb_ifaddr_rank(family, raw);
}

static void addresses_rank(void **state)
{
	(void)state;
	assert_int_equal(rank("10.0.2.15"), 0);
	assert_int_equal(rank("169.253.1.1"), 0);
	assert_int_equal(rank("2001:db8::1"), 1);
	assert_int_equal(rank("fd00::1"), 1);
	assert_int_equal(rank("169.254.1.1"), 2);
	assert_int_equal(rank("fe80::1"), 3);
	assert_int_equal(rank("febf::1"), 3);
	assert_int_equal(rank("127.0.0.1"), -1);
	assert_int_equal(rank("127.1.2.3"), -1);
	assert_int_equal(rank("::1"), -1);
	assert_int_equal(rank("::"), -1);
	assert_int_equal(rank("0.0.0.0"), -1);
	assert_int_equal(rank("224.0.0.1"), -1);
}

static void the_list_is_sorted_and_without_loopback(void **state)
{
	static struct gb_ifaddr list[GB_IFADDR_MAX];
	struct gb_err err;
	int n = gb_ifaddr_list(list, &err);

	(void)state;
	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		assert_int_equal(rank(list[i].text), list[i].rank);
		assert_true(list[i].rank >= 0);
		assert_true(i == 0 || list[i - 1].rank <= list[i].rank);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(list[k].text, list[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_survive_the_round_trip),
		cmocka_unit_test(ports_are_found_by_their_names),
		cmocka_unit_test(addresses_rank),
		cmocka_unit_test(the_list_is_sorted_and_without_loopback),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
