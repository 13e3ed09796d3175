/* SPDX-License-Identifier: MIT */
/* common/net/conf and nic: ip= of the kernel command line, a lease's variables, files, the order of interfaces. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/net/conf.h"
#include "common/net/nic.h"

static const char *dotted(struct in_addr a)
{
	static char text[4][INET_ADDRSTRLEN];
	static int i;

	i = (i + 1) % 4;
	return inet_ntop(AF_INET, &a, text[i], sizeof text[i]);
}

static void ip_of_the_kernel_command_line(void **state)
{
	static const struct {
		const char *text;
		enum gb_net_how how;
		const char *address;
		unsigned prefix;
		const char *gateway, *hostname, *device, *dns0;
	} rows[] = {
		{ "off", GB_NET_OFF, "0.0.0.0", 0, "0.0.0.0", "", "", "" },
		{ "none", GB_NET_OFF, "0.0.0.0", 0, "0.0.0.0", "", "", "" },
		{ "dhcp", GB_NET_AUTO, "0.0.0.0", 0, "0.0.0.0", "", "", "" },
		{ "on", GB_NET_AUTO, "0.0.0.0", 0, "0.0.0.0", "", "", "" },
		{ "any", GB_NET_AUTO, "0.0.0.0", 0, "0.0.0.0", "", "", "" },
		{ "", GB_NET_AUTO, "0.0.0.0", 0, "0.0.0.0", "", "", "" },
		{ "10.0.2.15", GB_NET_STATIC, "10.0.2.15", 8, "0.0.0.0", "", "", "" },
		{ "172.16.1.2", GB_NET_STATIC, "172.16.1.2", 16, "0.0.0.0", "", "", "" },
		{ "192.168.1.2", GB_NET_STATIC, "192.168.1.2", 24, "0.0.0.0", "", "", "" },
		{ "10.0.2.15::10.0.2.2:255.255.255.0:vm1:eth0:off:10.0.2.3", GB_NET_STATIC, "10.0.2.15", 24, "10.0.2.2", "vm1",
		  "eth0", "10.0.2.3" },
		{ "10.0.2.15::10.0.2.2:20", GB_NET_STATIC, "10.0.2.15", 20, "10.0.2.2", "", "", "" },
		{ "10.0.2.15:10.0.2.9:10.0.2.2:255.255.255.254:a.b.c::dhcp:::10.0.2.7", GB_NET_STATIC, "10.0.2.15", 31, "10.0.2.2",
		  "a", "", "" },
		{ "::::name:ens3:dhcp", GB_NET_AUTO, "0.0.0.0", 0, "0.0.0.0", "name", "ens3", "" },
		{ ":::::eth1:off", GB_NET_OFF, "0.0.0.0", 0, "0.0.0.0", "", "eth1", "" },
		{ "0.0.0.0:0.0.0.0:0.0.0.0::::dhcp", GB_NET_AUTO, "0.0.0.0", 0, "0.0.0.0", "", "", "" },
		{ "10.0.2.15::::::::10.0.2.4", GB_NET_STATIC, "10.0.2.15", 8, "0.0.0.0", "", "", "10.0.2.4" },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		struct gb_net_conf conf;
		struct gb_err err;
		assert_int_equal(gb_net_parse(rows[i].text, &conf, &err), 0);
		assert_int_equal(conf.how, rows[i].how);
		assert_string_equal(dotted(conf.address), rows[i].address);
		assert_int_equal(conf.prefix, rows[i].prefix);
		assert_string_equal(dotted(conf.gateway), rows[i].gateway);
		assert_string_equal(conf.hostname, rows[i].hostname);
		assert_string_equal(conf.device, rows[i].device);
		assert_int_equal(conf.dns_len, rows[i].dns0[0] != '\0');
		if (conf.dns_len)
			assert_string_equal(dotted(conf.dns[0]), rows[i].dns0);
	}
	struct gb_net_conf conf;
	struct gb_err err;
	assert_int_equal(gb_net_parse(rows[11].text, &conf, &err), 0);
	assert_string_equal(conf.domain, "b.c");
	assert_string_equal(dotted(conf.server), "10.0.2.9");
	assert_string_equal(dotted(conf.ntp), "10.0.2.7");
}

static void what_ip_cannot_be(void **state)
{
	static const struct { const char *text, *why; } rows[] = {
		{ "both", "only dhcp is spoken here" },
		{ "bootp", "only dhcp" },
		{ "nonsense", "none of off" },
		{ "10.0.2", "none of off" },
		{ "10.0.2.256", "none of off" },
		{ "[fe80::1]::::eth0:none", "IPv6" },
		{ "10.0.2.15::10.0.2.999", "gateway \"10.0.2.999\"" },
		{ "127.0.0.1:", "not the address of a host" },
		{ "224.0.0.1:", "not the address of a host" },
		{ "255.255.255.255:", "not the address of a host" },
		{ "10.0.2.15:::255.0.255.0", "netmask" },
		{ "10.0.2.15:::0.0.0.0", "netmask" },
		{ "10.0.2.15:::33", "netmask" },
		{ "10.0.2.15:::-1", "netmask" },
		{ "10.0.2.15:::+8", "netmask" },
		{ "10.0.2.15::::under_score", "host name" },
		{ "10.0.2.15::::-a", "host name" },
		{ "10.0.2.15::::a-", "host name" },
		{ "10.0.2.15:::::../../x", "device" },
		{ "10.0.2.15:::::sixteen-letters-1", "device" },
		{ "10.0.2.15::::::maybe", "autoconfiguration \"maybe\"" },
		{ "10.0.2.15::::::off:dns", "DNS server" },
		{ "a:::::::::::", "more than 10 fields" },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		struct gb_net_conf conf = { .prefix = 77 };
		struct gb_err err = { 0 };
		assert_int_equal(gb_net_parse(rows[i].text, &conf, &err), -EINVAL);
		if (!strstr(err.msg, rows[i].why))
			fail_msg("%s: %s", rows[i].text, err.msg);
		assert_int_equal(conf.prefix, 77); /* untouched */
	}
	char text[1000];
	struct gb_net_conf conf;
	struct gb_err err;
	memset(text, 'a', sizeof text);
	memcpy(text, "10.0.2.15::::", 13);
	text[sizeof text - 1] = '\0';
	assert_int_equal(gb_net_parse(text, &conf, &err), -EINVAL);
}

static void names(void **state)
{
	char text[80] = "";
	unsigned char mac[6] = { 0 };

	(void)state;
	assert_true(gb_net_is_hostname("a") && gb_net_is_hostname("1a.b-c.d"));
	assert_false(gb_net_is_hostname("") || gb_net_is_hostname(".a") || gb_net_is_hostname("a..b") || gb_net_is_hostname("a.") ||
		     gb_net_is_hostname("a b") || gb_net_is_hostname("a\n") || gb_net_is_hostname("\xc3\xbc"));
	memset(text, 'a', 63);
	assert_true(gb_net_is_hostname(text));
	text[63] = 'a';
	assert_false(gb_net_is_hostname(text));
	assert_true(gb_net_mac("52:54:00:aB:Cd:ff", mac));
	assert_memory_equal(mac, "\x52\x54\x00\xab\xcd\xff", 6);
	assert_false(gb_net_mac("52:54:00:aB:Cd", mac) || gb_net_mac("52:54:00:aB:Cd:ff:", mac) || gb_net_mac("52-54-00-ab-cd-ff", mac) ||
		     gb_net_mac("52:54:0:ab:cd:ff", mac) || gb_net_mac("", mac) || gb_net_mac("eth0", mac));
	assert_true(gb_net_hosts_has("127.0.0.1 localhost\n", "localhost"));
	assert_true(gb_net_hosts_has("# x\n10.0.0.1\tq w  Vm1", "vm1"));
	assert_false(gb_net_hosts_has("# 127.0.0.1 vm1\n127.0.0.1 vm10 # vm1\nvm1\n", "vm1"));
	assert_true(gb_net_resolv_is_ours("") && gb_net_resolv_is_ours(" \n") && gb_net_resolv_is_ours(GB_NET_MARK " x\n"));
	assert_false(gb_net_resolv_is_ours("nameserver 1.2.3.4\n") || gb_net_resolv_is_ours("\n" GB_NET_MARK));
}

static const char *const *variables;

static char *get(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; variables[i]; i++) {
		if (strncmp(variables[i], name, len) == 0 && variables[i][len] == '=')
			return (char *)(uintptr_t)(variables[i] + len + 1);
	}
	return NULL;
}

static void a_lease(void **state)
{
	static const char *const full[] = {
		"interface=eth0", "ip=10.0.2.15", "subnet=255.255.255.0", "mask=24", "broadcast=10.0.2.255", "router=x 10.0.2.2 10.0.2.9",
		"dns=10.0.2.3 bad 127.0.0.53 10.0.2.4 10.0.2.5 10.0.2.6", "search=lan. b_c.example a;b", "domain=unused", "mtu=1400",
		"hostname=vm7", "staticroutes=10.9.0.7/16 10.0.2.2 0.0.0.0/0 10.0.2.1 bad/8 10.0.2.1 1.2.3.4/33 10.0.2.1 5.5.5.5/32", NULL,
	};
	static const char *const least[] = { "interface=eth0", "ip=10.0.2.15", "mtu=1", "hostname=a b", "domain=x y", NULL };
	static const char *const bad[][4] = {
		{ "interface=eth0", NULL }, { "interface=eth0", "ip=0.0.0.0", NULL }, { "interface=a/b", "ip=10.0.2.15", NULL },
		{ "interface=eth0", "ip=127.0.0.1", NULL }, { "ip=10.0.2.15", NULL },
	};
	gb_autobuf struct gb_buf text = { 0 };
	struct gb_net_conf conf;
	struct gb_err err;

	(void)state;
	variables = full;
	assert_int_equal(gb_net_lease(get, &conf, &err), 0);
	assert_string_equal(dotted(conf.address), "10.0.2.15");
	assert_int_equal(conf.prefix, 24);
	assert_string_equal(dotted(conf.gateway), "10.0.2.2");
	assert_int_equal(conf.dns_len, 3);
	assert_string_equal(dotted(conf.dns[1]), "127.0.0.53");
	assert_string_equal(conf.domain, "lan b_c.example");
	assert_int_equal(conf.mtu, 1400);
	assert_string_equal(conf.hostname, "vm7");
	assert_int_equal(conf.routes_len, 2);
	assert_string_equal(dotted(conf.routes[0].to), "10.9.0.0");
	assert_int_equal(conf.routes[1].prefix, 0);
	assert_true(gb_net_resolv(&conf, &text));
	assert_string_equal(gb_buf_text(&text), GB_NET_MARK "; without this line it is left alone\n"
			    "search lan b_c.example\nnameserver 10.0.2.3\nnameserver 127.0.0.53\nnameserver 10.0.2.4\n");

	variables = least;
	assert_int_equal(gb_net_lease(get, &conf, &err), 0);
	assert_int_equal(conf.prefix, 24);
	assert_int_equal(conf.mtu, 0);
	assert_string_equal(conf.hostname, "");
	assert_string_equal(conf.domain, "x y");
	assert_false(gb_net_resolv(&conf, &text));
	conf.gateway = conf.address;
	gb_buf_free(&text);
	assert_true(gb_net_resolv(&conf, &text));
	assert_non_null(strstr(gb_buf_text(&text), "\nnameserver 10.0.2.15\n"));
	gb_buf_free(&text);
	gb_net_facts(&conf, "dhcp", &text);
	assert_string_equal(gb_buf_text(&text), "interface=eth0\nmethod=dhcp\naddress=10.0.2.15/24\ngateway=10.0.2.15\ndomain=x y\n");

	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		variables = bad[i];
		assert_int_equal(gb_net_lease(get, &conf, &err), -EINVAL);
	}
}

/* ---- interfaces ---- */

static char dir[] = "/tmp/gb-nic-XXXXXX";

static void put(const char *name, const char *file, const char *content)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/net/%s/%s", dir, name, file);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void nic(const char *name, const char *device, const char *mac)
{
	char path[512], target[512], cmd[1200];

	(void)snprintf(path, sizeof path, "%s/net/%s", dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
	put(name, "type", "1\n");
	put(name, "dev_port", "0\n");
	put(name, "address", mac);
	if (device) {
		(void)snprintf(target, sizeof target, "%s/devices/%s", dir, device);
		(void)snprintf(cmd, sizeof cmd, "mkdir -p '%s'", target);
		assert_int_equal(system(cmd), 0);
		(void)snprintf(path, sizeof path, "%s/net/%s/device", dir, name);
		assert_int_equal(symlink(target, path), 0);
	}
}

static const char *primary(const char *wanted)
{
	static struct gb_nic found;
	struct gb_err err;
	char sys[64];

	(void)snprintf(sys, sizeof sys, "%s/net", dir);
	int r = gb_nic_find(sys, wanted, &found, &err);
	assert_true(r >= 0);
	return r ? found.name : "";
}

static void the_interface_with_a_device_first_on_the_bus(void **state)
{
	char path[64], cmd[128];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/net", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	nic("br-a", NULL, "02:00:00:00:00:01\n");
	nic("atap", NULL, "02:00:00:00:00:02\n");
	assert_string_equal(primary(NULL), "");
	nic("zeth", "pci0000:00/0000:00:0a.0/virtio10", "02:00:00:00:00:03\n");
	assert_string_equal(primary(NULL), "zeth");
	nic("aeth", "pci0000:00/0000:00:10.0/virtio2", "02:00:00:00:00:04\n");
	assert_string_equal(primary(NULL), "zeth"); /* 0x0a is before 0x10 */
	nic("wide", "pci0000:00/0000:00:02.0/virtio3", "02:00:00:00:00:05\n");
	put("wide", "type", "32\n"); /* InfiniBand */
	assert_string_equal(primary(NULL), "zeth");
	nic("port", "pci0000:00/0000:00:03.0/virtio1", "02:00:00:00:00:06\n");
	put("port", "master", "");
	assert_string_equal(primary(NULL), "zeth");
	/* by name and by MAC, with or without a device */
	assert_string_equal(primary("atap"), "atap");
	assert_string_equal(primary("02:00:00:00:00:04"), "aeth");
	assert_string_equal(primary("02:00:00:00:00:99"), "");
	assert_string_equal(primary("none-such"), "");
	/* a VLAN's MAC is its parent's */
	nic("avlan", NULL, "02:00:00:00:00:04\n");
	assert_string_equal(primary("02:00:00:00:00:04"), "aeth");
	(void)snprintf(cmd, sizeof cmd, "rm -r '%s'", dir);
	assert_int_equal(system(cmd), 0);
}

static void the_order_of_the_bus(void **state)
{
	static const char *const sorted[] = {
		"/sys/devices/pci0000:00/0000:00:02.0/virtio1", "/sys/devices/pci0000:00/0000:00:02.0/virtio10",
		"/sys/devices/pci0000:00/0000:00:0a.0/virtio0", "/sys/devices/pci0000:00/0000:00:10.0",
		"/sys/devices/pci0000:00/0000:00:10.1",
		"/sys/devices/platform/virtio-mmio.2/virtio9", "/sys/devices/platform/virtio-mmio.10/virtio3",
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(sorted); i++) {
		for (size_t k = 0; k < GB_ARRAY_LEN(sorted); k++) {
			struct gb_nic a = { .name = "x" }, b = { .name = "x" };
			(void)snprintf(a.path, sizeof a.path, "%s", sorted[i]);
			(void)snprintf(b.path, sizeof b.path, "%s", sorted[k]);
			int c = gb_nic_compare(&a, &b);
			assert_int_equal(c < 0 ? -1 : c > 0, i < k ? -1 : i > k);
		}
	}
	struct gb_nic a = { .name = "eth10" }, b = { .name = "eth9" };
	assert_true(gb_nic_compare(&a, &b) > 0);
	b.port = 1;
	assert_true(gb_nic_compare(&a, &b) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_of_the_kernel_command_line),
		cmocka_unit_test(what_ip_cannot_be),
		cmocka_unit_test(names),
		cmocka_unit_test(a_lease),
		cmocka_unit_test(the_interface_with_a_device_first_on_the_bus),
		cmocka_unit_test(the_order_of_the_bus),
	};

	return cmocka_run_group_tests_name("netconf", tests, NULL, NULL);
}
