/* SPDX-License-Identifier: MIT */
/* common/mount: the flag table, option strings, plans. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/mount/plan.h"

/* What mount(2) and mount(8) say, written down a second time: a slip in flags.def fails here. */
static void each_word_has_its_flag(void **state)
{
	static const struct { const char *word; unsigned long set, clear; } table[] = {
		{ "ro", 1, 0 }, { "rw", 0, 1 }, { "nosuid", 2, 0 }, { "suid", 0, 2 }, { "nodev", 4, 0 }, { "dev", 0, 4 },
		{ "noexec", 8, 0 }, { "exec", 0, 8 }, { "sync", 16, 0 }, { "async", 0, 16 }, { "remount", 32, 0 },
		{ "mand", 64, 0 }, { "nomand", 0, 64 }, { "dirsync", 128, 0 }, { "nosymfollow", 256, 0 },
		{ "symfollow", 0, 256 }, { "noatime", 1024, (1 << 21) | (1 << 24) }, { "atime", 0, 1024 },
		{ "nodiratime", 2048, 0 }, { "diratime", 0, 2048 }, { "bind", 4096, 0 }, { "rbind", 4096 | 16384, 0 },
		{ "move", 8192, 0 }, { "silent", 32768, 0 }, { "loud", 0, 32768 },
		{ "relatime", 1 << 21, 1024 | (1 << 24) }, { "norelatime", 0, 1 << 21 },
		{ "strictatime", 1 << 24, 1024 | (1 << 21) }, { "nostrictatime", 0, 1 << 24 },
		{ "iversion", 1 << 23, 0 }, { "noiversion", 0, 1 << 23 }, { "lazytime", 1 << 25, 0 },
		{ "nolazytime", 0, 1 << 25 }, { "unbindable", 1 << 17, 0 }, { "runbindable", (1 << 17) | 16384, 0 },
		{ "private", 1 << 18, 0 }, { "rprivate", (1 << 18) | 16384, 0 }, { "slave", 1 << 19, 0 },
		{ "rslave", (1 << 19) | 16384, 0 }, { "shared", 1 << 20, 0 }, { "rshared", (1 << 20) | 16384, 0 },
	};
	size_t kernel = 0;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(table); i++) {
		const struct gb_mount_flag *f = gb_mount_flag_find(table[i].word, strlen(table[i].word));

		assert_non_null(f);
		assert_int_equal(f->set, table[i].set);
		assert_int_equal(f->clear, table[i].clear);
	}
	for (const struct gb_mount_flag *f = gb_mount_flags; f->word; f++) {
		assert_ptr_equal(gb_mount_flag_find(f->word, strlen(f->word)), f); /* no word stands twice */
		kernel += f->kind != GB_MOUNT_USER;
	}
	assert_int_equal(kernel, GB_ARRAY_LEN(table)); /* none is missing from the table above */
	assert_null(gb_mount_flag_find("r", 1));
	assert_null(gb_mount_flag_find("rox", 3));
	assert_int_equal(gb_mount_flags_of("rw,nosuid,relatime,unheard-of=1,nodev"), 2 | 4 | (1 << 21));
}

static void attributes_and_names(void **state)
{
	gb_autobuf struct gb_buf text = { 0 };

	(void)state;
	assert_int_equal(gb_mount_attr(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC), 15);
	assert_int_equal(gb_mount_attr(MS_NOATIME), 0x10);
	assert_int_equal(gb_mount_attr(MS_STRICTATIME), 0x20);
	assert_int_equal(gb_mount_attr(MS_RELATIME), 0);
	assert_int_equal(gb_mount_attr(MS_NODIRATIME | MS_NOSYMFOLLOW), 0x80 | 0x200000);
	assert_int_equal(gb_mount_flags_text(&text, 0), 0);
	assert_int_equal(gb_mount_flags_text(&text, MS_BIND | MS_REC | 1UL << 30), 0);
	assert_string_equal(gb_buf_text(&text), "0MS_BIND|MS_REC|0x40000000");
}

static void parse(struct gb_mount_options *o, const char *text)
{
	struct gb_err err = { 0 };
	int r = gb_mount_options_add(o, text, &err);

	if (r < 0)
		print_error("%s: %s\n", text, err.msg);
	assert_int_equal(r, 0);
}

static void the_last_word_wins(void **state)
{
	gb_automountoptions struct gb_mount_options o = { 0 };

	(void)state;
	parse(&o, "ro,noatime,,nosuid,defaults,size=4k,rw,strictatime,,mode=700,");
	assert_int_equal(o.set, MS_NOSUID | MS_STRICTATIME);
	assert_int_equal(o.clear, MS_RDONLY | MS_NOATIME | MS_RELATIME);
	assert_string_equal(gb_buf_text(&o.data), "size=4k,mode=700");
	parse(&o, NULL);
	parse(&o, "suid,x=y");
	assert_int_equal(o.set, MS_STRICTATIME);
	assert_string_equal(gb_buf_text(&o.data), "size=4k,mode=700,x=y");
}

static void quotes_and_backslashes_hold_commas(void **state)
{
	gb_automountoptions struct gb_mount_options o = { 0 };
	struct gb_err err = { 0 };

	(void)state;
	parse(&o, "context=\"u:r:t:s0:c1,c2\",lowerdir=/a\\,b:/c,ro");
	assert_string_equal(gb_buf_text(&o.data), "context=\"u:r:t:s0:c1,c2\",lowerdir=/a\\,b:/c");
	assert_int_equal(o.set, MS_RDONLY);
	assert_int_equal(gb_mount_options_add(&o, "ro,context=\"oops,nosuid", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "quote is not closed"));
	assert_non_null(strstr(err.msg, "context="));
}

static void words_for_mount_alone(void **state)
{
	gb_automountoptions struct gb_mount_options o = { 0 };

	(void)state;
	parse(&o, "noauto,nofail,_netdev,x-systemd.after=a,X-foo,comment=b,x-mount.mkdir=0700,loop=/dev/loop9,offset=1K,"
		  "sizelimit=2M,dax=require,users,exec,rshared");
	assert_int_equal(o.user, GB_MOUNT_NOAUTO | GB_MOUNT_NOFAIL | GB_MOUNT_NETDEV | GB_MOUNT_FOR_USERS);
	assert_int_equal(o.data.len, 0);
	assert_true(o.mkdir);
	assert_int_equal(o.mkdir_mode, 0700);
	assert_true(o.loop);
	assert_string_equal(o.loop_device, "/dev/loop9");
	assert_int_equal(o.loop_offset, 1024);
	assert_int_equal(o.loop_size, 2 << 20);
	assert_true(o.dax_require);
	assert_int_equal(o.set, MS_NOSUID | MS_NODEV); /* exec came after users */
	assert_int_equal(o.propagation, MS_SHARED | MS_REC);
}

/* "user" and "owner" mean nosuid and more: then what stood before them does not. */
static void words_of_users_come_last(void **state)
{
	gb_automountoptions struct gb_mount_options o = { 0 };

	(void)state;
	parse(&o, "suid,dev=recursive,exec,owner");
	assert_int_equal(o.set, MS_NOSUID | MS_NODEV);
	assert_int_equal(o.clear, MS_NOEXEC);
	assert_int_equal(o.rec_clear, 0);
	parse(&o, "user");
	assert_int_equal(o.set, MS_NOSUID | MS_NODEV | MS_NOEXEC);
	assert_int_equal(o.clear, 0);
	parse(&o, "suid");
	assert_int_equal(o.set, MS_NODEV | MS_NOEXEC);
	assert_int_equal(o.clear, MS_NOSUID);
}

static void recursive_words(void **state)
{
	gb_automountoptions struct gb_mount_options o = { 0 };
	struct gb_err err = { 0 };

	(void)state;
	parse(&o, "rbind,ro=recursive,nosuid");
	assert_int_equal(o.set, MS_BIND | MS_REC | MS_RDONLY | MS_NOSUID);
	assert_int_equal(o.rec_set, MS_RDONLY);
	parse(&o, "rw");
	assert_int_equal(o.rec_set, 0);
	assert_int_equal(gb_mount_options_add(&o, "bind=recursive", &err), -EINVAL);
	assert_int_equal(gb_mount_options_add(&o, "private,shared", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "only one of"));
}

static void bad_and_huge_options(void **state)
{
	static const char *const bad[] = { "offset=x", "sizelimit=", "offset=99999999999999999999999999999999999999", "loop=",
					   "x-mount.mkdir=9", "x-mount.mkdir=", "x-mount.mkdir=77777", "x-mount.mkdir=-1",
					   "loop=/dev/an/endlessly/long/name/of/a/device" };
	static char huge[GB_MOUNT_OPTIONS_MAX + 2];
	struct gb_err err = { 0 };

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		gb_automountoptions struct gb_mount_options o = { 0 };
		if (gb_mount_options_add(&o, bad[i], &err) != -EINVAL)
			fail_msg("%s", bad[i]);
	}
	gb_automountoptions struct gb_mount_options o = { 0 };
	memset(huge, 'a', sizeof huge - 1);
	assert_int_equal(gb_mount_options_add(&o, huge, &err), -E2BIG);
	huge[GB_MOUNT_OPTIONS_MAX - 1] = '\0';
	assert_int_equal(gb_mount_options_add(&o, huge, &err), 0);
	parse(&o, "\001\377\033[1m,=,=x");
	assert_non_null(strstr(o.data.data, ",\001\377\033[1m,=,=x"));
}

static void matching(void **state)
{
	(void)state;
	assert_true(gb_mount_options_match("rw,_netdev,a=b", "_netdev"));
	assert_true(gb_mount_options_match("rw,_netdev,a=b", "a=b,rw"));
	assert_false(gb_mount_options_match("rw,_netdev", "no_netdev"));
	assert_true(gb_mount_options_match("rw", "no_netdev"));
	assert_true(gb_mount_options_match("noauto", "noauto"));
	/* A file system without it is not one that has it. */
	assert_false(gb_mount_options_match("rw", "noexec"));
	assert_true(gb_mount_options_match("rw,noexec", "noexec"));
	assert_false(gb_mount_options_match("rw", "noauto"));
	assert_true(gb_mount_options_match("rw", "norelatime"));
	assert_false(gb_mount_options_match("rw,relatime", "norelatime"));
	assert_false(gb_mount_options_match("rw", "a"));
	assert_true(gb_mount_type_match("ext4", "tmpfs,ext4"));
	assert_false(gb_mount_type_match("ext4", "noext4,tmpfs"));
	assert_false(gb_mount_type_match("ext4", "notmpfs,noext4"));
	assert_true(gb_mount_type_match("proc", "notmpfs,ext4"));
	assert_false(gb_mount_type_match("proc", "ext4"));
}

/* The calls of a request, or its error behind "!". */
static const char *calls(const struct gb_mount_request request)
{
	static struct gb_buf text;
	gb_automountoptions struct gb_mount_options options = { 0 };
	gb_automountplan struct gb_mount_plan plan = { 0 };
	struct gb_err err = { 0 };

	gb_buf_free(&text);
	if (gb_mount_options_add(&options, request.options, &err) < 0)
		(void)gb_buf_fmt(&text, "!%s: %s", request.target, err.msg);
	else if (gb_mount_plan_parsed(&plan, &request, &options, &err) < 0)
		(void)gb_buf_fmt(&text, "!%s", err.msg);
	else
		(void)gb_mount_plan_text(&text, &plan);
	return gb_buf_text(&text);
}
#define CALLS(...) calls((struct gb_mount_request){ __VA_ARGS__ })

static void plans(void **state)
{
	(void)state;
	assert_string_equal(CALLS(.target = "/x\"\n", .type = "tmpfs", .options = "nodev,ro,noatime,size=1k,flag,sync", .mkdir = true),
			    "fsopen(\"tmpfs\", FSOPEN_CLOEXEC)\n"
			    "fsconfig(fs, FSCONFIG_SET_STRING, \"source\", \"tmpfs\", 0)\n"
			    "fsconfig(fs, FSCONFIG_SET_FLAG, \"ro\", NULL, 0)\n"
			    "fsconfig(fs, FSCONFIG_SET_FLAG, \"sync\", NULL, 0)\n"
			    "fsconfig(fs, FSCONFIG_SET_STRING, \"size\", \"1k\", 0)\n"
			    "fsconfig(fs, FSCONFIG_SET_FLAG, \"flag\", NULL, 0)\n"
			    "fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)\n"
			    "fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOATIME)\n"
			    "mkdir(\"/x\\\"\\012\", 0755)\n"
			    "move_mount(tree, \"\", AT_FDCWD, \"/x\\\"\\012\", MOVE_MOUNT_F_EMPTY_PATH)\n");
	assert_string_equal(CALLS(.source = "/a", .target = "/b", .options = "rbind,ro=recursive,nosuid"),
			    "open_tree(AT_FDCWD, \"/a\", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE)\n"
			    "mount_setattr(tree, \"\", AT_EMPTY_PATH|AT_RECURSIVE, {set=MOUNT_ATTR_RDONLY, clr=0})\n"
			    "mount_setattr(tree, \"\", AT_EMPTY_PATH, {set=MOUNT_ATTR_NOSUID, clr=0})\n"
			    "move_mount(tree, \"\", AT_FDCWD, \"/b\", MOVE_MOUNT_F_EMPTY_PATH)\n");
	assert_string_equal(CALLS(.target = "/b", .options = "remount,rw,relatime,dax=always"),
			    "fspick(AT_FDCWD, \"/b\", FSPICK_CLOEXEC)\n"
			    "fsconfig(fs, FSCONFIG_SET_FLAG, \"rw\", NULL, 0)\n"
			    "fsconfig(fs, FSCONFIG_SET_STRING, \"dax\", \"always\", 0)\n"
			    "fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)\n"
			    "mount_setattr(AT_FDCWD, \"/b\", 0, {set=0, clr=MOUNT_ATTR__ATIME|MOUNT_ATTR_RDONLY})\n");
	/* A bind's remount never reaches the file system. */
	assert_string_equal(CALLS(.target = "/b", .options = "remount,bind,ro"),
			    "mount_setattr(AT_FDCWD, \"/b\", 0, {set=MOUNT_ATTR_RDONLY, clr=0})\n");
	assert_string_equal(CALLS(.target = "/b", .options = "remount,ro=recursive"),
			    "mount_setattr(AT_FDCWD, \"/b\", 0|AT_RECURSIVE, {set=MOUNT_ATTR_RDONLY, clr=0})\n");
	assert_string_equal(CALLS(.source = "/a", .target = "/b", .flags = MS_MOVE),
			    "move_mount(AT_FDCWD, \"/a\", AT_FDCWD, \"/b\", 0)\n");
	assert_string_equal(CALLS(.target = "/b", .flags = MS_SLAVE | MS_REC),
			    "mount(NULL, \"/b\", NULL, MS_REC|MS_SLAVE, NULL)\n");
	assert_string_equal(CALLS(.target = "/b", .source = "s", .type = "tmpfs", .options = "silent,a=b"),
			    "mount(\"s\", \"/b\", \"tmpfs\", MS_SILENT, \"a=b\")\n");
}

static void long_values_go_through_mount2(void **state)
{
	char data[1200];

	(void)state;
	/* What holds the commas is not part of the value for fsconfig(2), which has no need of it. */
	assert_non_null(strstr(CALLS(.target = "/b", .type = "tmpfs", .options = "context=\"a:b,c\",x"), "\"context\", \"a:b,c\", 0)"));
	(void)snprintf(data, sizeof data, "remount,ro,x=%0300d", 0);
	assert_memory_equal(CALLS(.target = "/b", .options = data), "mount(NULL, \"/b\", NULL, MS_RDONLY|MS_REMOUNT, \"x=", 48);
	(void)snprintf(data, sizeof data, "lowerdir=/%0300d:/b,ro", 0);
	assert_memory_equal(CALLS(.target = "/b", .type = "overlay", .options = data), "mount(\"overlay\", \"/b\"", 21);
	(void)snprintf(data, sizeof data, "lowerdir=/%0250d,ro", 0);
	assert_memory_equal(CALLS(.target = "/b", .type = "overlay", .options = data), "fsopen(", 7);
	(void)snprintf(data, sizeof data, "%0256d", 0);
	assert_memory_equal(CALLS(.target = "/b", .type = "tmpfs", .options = data), "mount(", 6);
}

static void what_has_no_meaning(void **state)
{
	(void)state;
	assert_non_null(strstr(CALLS(.target = "/b", .flags = MS_SHARED | MS_PRIVATE), "!/b: only one of"));
	assert_non_null(strstr(CALLS(.source = "/a", .target = "/b", .options = "bind,size=4k"), "!option size=4k: means nothing"));
	assert_non_null(strstr(CALLS(.source = "/a", .target = "/b", .options = "move,ro"), "!/b: a move changes no options"));
	assert_non_null(strstr(CALLS(.source = "/a", .target = "/b", .options = "move,bind"), "!/b: move goes with neither"));
	assert_non_null(strstr(CALLS(.target = "/b", .options = "bind"), "!/b: no source"));
	assert_non_null(strstr(CALLS(.source = "/a", .target = "/b"), "!/b: no file system type"));
	assert_non_null(strstr(CALLS(.target = ""), "!no target"));
	assert_non_null(strstr(CALLS(.source = "/a", .target = "/b", .options = "bind,sync"), "!/b: sync, dirsync, mand"));
	assert_non_null(strstr(CALLS(.target = "/b", .options = "remount,dax=require"), "!/b: dax=require is for a new mount"));
	static char path[5000] = "/";
	memset(path + 1, 'x', sizeof path - 2);
	assert_non_null(strstr(CALLS(.target = path, .type = "tmpfs"), "File name too long"));
	assert_non_null(strstr(CALLS(.source = path, .target = "/b", .type = "tmpfs"), "File name too long"));
	assert_non_null(strstr(CALLS(.target = "/b", .type = "t", .options = "ro,\"x"), "!/b: option \"x: a quote"));
}

static void overlay_words(void **state)
{
	static const struct { const char *data, *cause; } bad[] = {
		{ "", "no options" }, { "upperdir=/u,workdir=/w", "no lowerdir" }, { "lowerdir=", "names no folder" },
		{ "lowerdir=::", "names no folder" }, { "lowerdir=/l,upperdir=/u", "upperdir without workdir" },
		{ "lowerdir=/l,workdir=/w", "workdir without upperdir" }, { "lowerdir=/l,upperdir=,workdir=/w", "upperdir names no" },
		{ "lowerdir=/l,upperdir=/u,workdir=", "workdir names no" },
		{ "lowerdirs=/l", "no lowerdir" },
	};
	struct gb_err err = { 0 };

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		assert_int_equal(gb_mount_overlay_check(bad[i].data, &err), -EINVAL);
		if (!strstr(err.msg, bad[i].cause))
			fail_msg("%s: %s", bad[i].data, err.msg);
	}
	assert_int_equal(gb_mount_overlay_check("lowerdir=/a:/b", &err), 0);
	assert_int_equal(gb_mount_overlay_check("workdir=/w,lowerdir=/a,upperdir=/b", &err), 0);
	/* Empty parts at the ends are dropped; an escaped colon is none. */
	assert_non_null(strstr(CALLS(.target = "/b", .type = "overlay", .options = "lowerdir=:/a:/b:"), "\"lowerdir\", \"/a:/b\""));
	/* A data-only layer has two colons in front, and keeps them. */
	assert_non_null(strstr(CALLS(.target = "/b", .type = "overlay", .options = "lowerdir=/a::/b"), "\"lowerdir\", \"/a::/b\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_has_its_flag),
		cmocka_unit_test(attributes_and_names),
		cmocka_unit_test(the_last_word_wins),
		cmocka_unit_test(quotes_and_backslashes_hold_commas),
		cmocka_unit_test(words_for_mount_alone),
		cmocka_unit_test(words_of_users_come_last),
		cmocka_unit_test(recursive_words),
		cmocka_unit_test(bad_and_huge_options),
		cmocka_unit_test(matching),
		cmocka_unit_test(plans),
		cmocka_unit_test(long_values_go_through_mount2),
		cmocka_unit_test(what_has_no_meaning),
		cmocka_unit_test(overlay_words),
	};

	return cmocka_run_group_tests_name("mount", tests, NULL, NULL);
}
