/* SPDX-License-Identifier: MIT */
/* common/sys/module: the tables of depmod, parameters of the kernel command line, the order of loading. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/sys/module.h"

static const char dep[] = "kernel/fs/btrfs/btrfs.ko: kernel/crypto/xor.ko kernel/lib/raid6/raid6_pq.ko kernel/lib/libcrc32c.ko.xz\n"
			  "kernel/lib/raid6/raid6_pq.ko:\nkernel/crypto/xor.ko:\nkernel/lib/libcrc32c.ko.xz:\n"
			  "kernel/drivers/net/virtio-net.ko: kernel/net/core/failover.ko\nkernel/net/core/failover.ko:\n";

static char tried[16][300];
static int tries, fail_at;

static int init(const char *path, const char *params)
{
	const char *base = strrchr(path, '/');

	(void)snprintf(tried[tries], sizeof tried[0], "%s %s", base ? base + 1 : path, params);
	return ++tries == fail_at ? -ENOEXEC : tries == 1 ? -EEXIST : 0;
}

static void fill(struct gb_modules *m)
{
	*m = (struct gb_modules){ .folder = "/lib/modules/x", .init = init };
	assert_int_equal(gb_buf_str(&m->dep, dep), 0);
	assert_int_equal(gb_buf_str(&m->builtin, "kernel/net/packet/af_packet.ko\n"), 0);
	assert_int_equal(gb_buf_str(&m->alias, "# Aliases\nalias virtio:d00000001v* virtio_net\nalias fs-btrfs btrfs\n"
					       "alias virtio:d*v* any_virtio\nalias broken\n"), 0);
	assert_int_equal(gb_buf_str(&m->cmdline, "quiet virtio-net.napi_tx=0 virtio_net.csum btrfs.a=\"x y\" "
						   "xor.b=1 btrfsx.c=1 btrfs. -- btrfs.d=1"), 0);
	tries = fail_at = 0;
}

static void what_a_module_needs_comes_first(void **state)
{
	struct gb_modules m;
	struct gb_err err;

	(void)state;
	fill(&m);
	assert_int_equal(gb_module_load(&m, "btrfs", &err), 0);
	assert_int_equal(tries, 4);
	assert_string_equal(tried[0], "libcrc32c.ko.xz ");
	assert_string_equal(tried[1], "raid6_pq.ko ");
	assert_string_equal(tried[2], "xor.ko b=1");
	assert_string_equal(tried[3], "btrfs.ko a=\"x y\"");
	tries = 0;
	assert_int_equal(gb_module_load(&m, "virtio_net", &err), 0);
	assert_string_equal(tried[1], "virtio-net.ko napi_tx=0 csum");
	tries = 0;
	assert_int_equal(gb_module_load(&m, "af_packet", &err), 0); /* built in */
	assert_int_equal(tries, 0);
	assert_int_equal(gb_module_load(&m, "btr", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "btr: no such module below /lib/modules/x"));
	assert_int_equal(gb_module_load(&m, "", &err), -ENOENT);
	fail_at = 2;
	assert_int_equal(gb_module_load(&m, "btrfs", &err), -ENOEXEC);
	assert_int_equal(tries, 2); /* what needs it is not tried */
	assert_non_null(strstr(err.msg, "raid6_pq: /lib/modules/x/kernel/lib/raid6/raid6_pq.ko: "));
	gb_module_close(&m);
}

static void a_device_asks_by_its_alias(void **state)
{
	struct gb_modules m;
	char name[64];
	size_t pos = 0;

	(void)state;
	fill(&m);
	assert_string_equal(gb_module_match(&m, "virtio:d00000001v00001AF4", &pos, name), "virtio_net");
	assert_string_equal(gb_module_match(&m, "virtio:d00000001v00001AF4", &pos, name), "any_virtio");
	assert_null(gb_module_match(&m, "virtio:d00000001v00001AF4", &pos, name));
	pos = 0;
	assert_null(gb_module_match(&m, "pci:v1", &pos, name));
	gb_module_close(&m);
}

/* depmod's patterns mean what fnmatch(3) says. */
static void aliases_match_as_fnmatch_does(void **state)
{
	static const char *const patterns[] = {
		"a", "*", "a*", "*a", "a*b", "a*b*c", "a**c", "?", "a?c", "[ab]", "[!ab]c", "[^a]c", "a[b-d]c", "x[0-9]*",
		"[]a]c", "a[bc", "[a-]c", "*[bc]*c", "*abc", "pci:v*d*sv*sd*bc01sc06i01*", "b*bb", "[!]]", "a\\*",
	};
	static const char *const texts[] = {
		"", "a", "b", "c", "ac", "bc", "abc", "acc", "aabc", "abbc", "abcabc", "]c", "-c", "x0", "x9y", "xa", "a[bc", "a*",
		"bbb", "bb", "]", "\\", "a\\b", "pci:v00001AF4d1sv1sd1bc01sc06i01", "pci:v00001AF4d1sv1sd1bc02sc06i01",
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(patterns); i++) {
		struct gb_modules m = { 0 };
		char name[64];

		assert_int_equal(gb_buf_fmt(&m.alias, "alias %s found\n", patterns[i]), 0);
		for (size_t k = 0; k < GB_ARRAY_LEN(texts); k++) {
			size_t pos = 0;
			bool match = gb_module_match(&m, texts[k], &pos, name) != NULL;

			if (match != (fnmatch(patterns[i], texts[k], 0) == 0))
				fail_msg("pattern %s, text %s: %d", patterns[i], texts[k], match);
		}
		gb_module_close(&m);
	}
}

static void tables_are_read_from_a_folder(void **state)
{
	char dir[] = "/tmp/gb-mod-XXXXXX", path[64];
	struct gb_modules m = { 0 };
	struct gb_err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(gb_module_open(&m, dir, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "modules.dep: "));
	gb_module_close(&m);
	(void)snprintf(path, sizeof path, "%s/modules.dep", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(dep, f) >= 0);
	assert_int_equal(fclose(f), 0);
	m = (struct gb_modules){ 0 };
	assert_int_equal(gb_module_open(&m, dir, &err), 0);
	assert_string_equal(gb_buf_text(&m.dep), dep);
	assert_false(gb_module_is_builtin(gb_buf_text(&m.builtin), "btrfs"));
	gb_module_close(&m);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_module_needs_comes_first),
		cmocka_unit_test(a_device_asks_by_its_alias),
		cmocka_unit_test(aliases_match_as_fnmatch_does),
		cmocka_unit_test(tables_are_read_from_a_folder),
	};

	return cmocka_run_group_tests_name("module", tests, NULL, NULL);
}
