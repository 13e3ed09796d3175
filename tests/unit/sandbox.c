/* SPDX-License-Identifier: MIT */
/* common/sandbox, its pure parts: what may be asked for, numbers, users, the papers for the runtime. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/sandbox/bundle.h"
#include "common/sandbox/exec.h"
#include "common/sandbox/fsimage.h"
#include "common/sandbox/network.h"
#include "common/sandbox/pid1.h"
#include "common/sandbox/numbers.h"
#include "common/sandbox/runtime.h"
#include "common/sandbox/spec.h"
#include "common/sandbox/store.h"
#include "common/sandbox/user.h"

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void ids(void **state)
{
	static const char *const good[] = { "a", "A b", "..a", "-x", "müller", "a.b" };
	static const char *const bad[] = { "", ".", "..", "a/b", "/", "a\\b", "a\nb", "\x7f", "\x1b[31m" };
	char longest[130];
	struct gb_err err;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(good); i++)
		assert_int_equal(gb_sandbox_check_id(good[i], &err), 0);
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++)
		assert_int_equal(gb_sandbox_check_id(bad[i], &err), -EINVAL);
	memset(longest, 'x', sizeof longest);
	longest[128] = '\0';
	assert_int_equal(gb_sandbox_check_id(longest, &err), 0);
	longest[128] = 'x';
	longest[129] = '\0';
	assert_int_equal(gb_sandbox_check_id(longest, &err), -EINVAL);
	assert_int_equal(gb_sandbox_check_image("alpine:3.19", &err), 0);
	assert_int_equal(gb_sandbox_check_image(".hidden", &err), -EINVAL);
	assert_int_equal(gb_sandbox_check_image("a/b", &err), -EINVAL);
	assert_int_equal(gb_sandbox_check_image("..", &err), -EINVAL);
	assert_int_equal(gb_sandbox_check_image("", &err), -EINVAL);
}

static void paths(void **state)
{
	static const char *const bad[] = { "", "a", "./a", "/..", "/a/..", "/a/../b", "/.", "/a/.", "//", "/a//b", "/a/" };

	(void)state;
	assert_true(gb_sandbox_path_is_plain("/a/b..c/...", false));
	assert_true(gb_sandbox_path_is_plain("/", true));
	assert_false(gb_sandbox_path_is_plain("/", false));
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++)
		assert_false(gb_sandbox_path_is_plain(bad[i], true));
}

static int check_with(void (*change)(Sandbox__V1__CreateSandboxRequest *), struct gb_err *err)
{
	Sandbox__V1__CreateSandboxRequest spec = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;

	spec.rootfs = text("/r");
	change(&spec);
	return gb_sandbox_check_create(&spec, err);
}

static Sandbox__V1__Mount mount_a, mount_b;
static Sandbox__V1__Mount *both[] = { &mount_a, &mount_b };
static Sandbox__V1__ResourceLimits limits;
static Sandbox__V1__NetworkSpec network;

static void plain(Sandbox__V1__CreateSandboxRequest *s) { (void)s; }
static void kernel(Sandbox__V1__CreateSandboxRequest *s) { s->kernel = text("/k"); }
static void boot_args(Sandbox__V1__CreateSandboxRequest *s) { s->boot_args = text("quiet"); }
static void ssh(Sandbox__V1__CreateSandboxRequest *s) { s->ssh_public_key = text("ssh-rsa"); }
static void two_roots(Sandbox__V1__CreateSandboxRequest *s) { s->image = text("i"); }
static void dots(Sandbox__V1__CreateSandboxRequest *s) { s->rootfs = text("/r/../etc"); }
static void dir(Sandbox__V1__CreateSandboxRequest *s) { s->working_dir = text("tmp"); }
static void user(Sandbox__V1__CreateSandboxRequest *s) { s->user = text("a/b"); }
static void mounts(Sandbox__V1__CreateSandboxRequest *s) { s->mounts = both; s->n_mounts = 2; }
static void limited(Sandbox__V1__CreateSandboxRequest *s) { s->limits = &limits; }
static void networked(Sandbox__V1__CreateSandboxRequest *s) { s->network = &network; }

static void what_cannot_be_honoured_is_refused(void **state)
{
	void (*const bad[])(Sandbox__V1__CreateSandboxRequest *) = { kernel, boot_args, ssh, two_roots, dots, dir, user };
	static const char *const targets[] = { "/", "/proc", "/proc/1", "/dev/x", "/sys/kernel", "a", "/a/../b" };
	struct gb_err err;

	(void)state;
	assert_int_equal(check_with(plain, &err), 0);
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++)
		assert_int_equal(check_with(bad[i], &err), -EINVAL);
	sandbox__v1__mount__init(&mount_a);
	sandbox__v1__mount__init(&mount_b);
	mount_a.source = mount_b.source = text("/srv");
	mount_a.target = text("/a");
	mount_b.target = text("/b");
	assert_int_equal(check_with(mounts, &err), 0);
	mount_b.target = text("/process"); /* no part of /proc */
	assert_int_equal(check_with(mounts, &err), 0);
	for (size_t i = 0; i < GB_ARRAY_LEN(targets); i++) {
		mount_b.target = text(targets[i]);
		assert_int_equal(check_with(mounts, &err), -EINVAL);
	}
	mount_b.target = text("/a");
	assert_int_equal(check_with(mounts, &err), -EINVAL);
	mount_b.target = text("/b");
	mount_b.source = text("/");
	assert_int_equal(check_with(mounts, &err), -EINVAL);
	sandbox__v1__resource_limits__init(&limits);
	assert_int_equal(check_with(limited, &err), 0);
	limits.memory_mib = 1;
	assert_int_equal(check_with(limited, &err), -EINVAL);
	limits.memory_mib = UINT64_MAX;
	assert_int_equal(check_with(limited, &err), -EINVAL);
	limits.memory_mib = 64;
	limits.vcpus = 4000000000;
	assert_int_equal(check_with(limited, &err), -EINVAL);
	sandbox__v1__network_spec__init(&network);
	network.mode = text("none");
	assert_int_equal(check_with(networked, &err), 0);
	network.mode = text("bridge");
	assert_int_equal(check_with(networked, &err), -EINVAL);
}

static void numbers(void **state)
{
	static struct gb_numbers pool = { .first = 2, .count = 65533 };

	(void)state;
	assert_int_equal(gb_numbers_take(&pool), 2);
	assert_int_equal(gb_numbers_take(&pool), 3);
	assert_int_equal(gb_numbers_claim(&pool, 4), 0);
	assert_int_equal(gb_numbers_claim(&pool, 4), -EBUSY);
	assert_int_equal(gb_numbers_claim(&pool, 1), -ERANGE);
	assert_int_equal(gb_numbers_claim(&pool, 65535), -ERANGE);
	assert_int_equal(gb_numbers_claim(&pool, UINT32_MAX), -ERANGE);
	assert_true(gb_numbers_release(&pool, 3));
	assert_false(gb_numbers_release(&pool, 3)); /* it is nobody's: not given away twice */
	assert_int_equal(gb_numbers_take(&pool), 3);
	assert_int_equal(gb_numbers_take(&pool), 5);
	for (int i = 6; i <= 65534; i++)
		assert_int_equal(gb_numbers_take(&pool), i);
	assert_int_equal(gb_numbers_take(&pool), -ENOSPC);
	assert_true(gb_numbers_release(&pool, 40000));
	assert_int_equal(gb_numbers_take(&pool), 40000);
}

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n# a comment\nbad line\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n"
			     "big:x:70000:1:::\nnohome:x:7:7::\nlast:x:8:9::/l:/bin/sh";
static const char group[] = "root:x:0:\nstaff:x:1001:bob\nwheel:x:10:al,bob\nbobs:x:11:bobby,notbob\nhuge:x:99999:bob\n";

static void users(void **state)
{
	struct gb_sandbox_user u;
	struct gb_err err;

	(void)state;
	assert_int_equal(gb_sandbox_user_find("", passwd, group, &u, &err), 0);
	assert_int_equal(u.uid, 0);
	assert_string_equal(u.home, "/root");
	assert_int_equal(gb_sandbox_user_find("bob", passwd, group, &u, &err), 0);
	assert_int_equal(u.uid, 1000);
	assert_int_equal(u.gid, 1001);
	assert_string_equal(u.home, "/home/bob");
	assert_int_equal(u.groups_len, 1);
	assert_int_equal(u.groups[0], 10);
	assert_int_equal(gb_sandbox_user_find("1000", passwd, group, &u, &err), 0);
	assert_int_equal(u.gid, 1001);
	assert_int_equal(gb_sandbox_user_find("bob:wheel", passwd, group, &u, &err), 0);
	assert_int_equal(u.gid, 10);
	assert_int_equal(u.groups_len, 0);
	assert_int_equal(gb_sandbox_user_find("5:6", "", "", &u, &err), 0);
	assert_int_equal(u.uid, 5);
	assert_int_equal(u.gid, 6);
	assert_int_equal(gb_sandbox_user_find("last", passwd, group, &u, &err), 0);
	assert_int_equal(u.gid, 9);
	assert_int_equal(gb_sandbox_user_find("nosuch", passwd, group, &u, &err), -ENOENT);
	assert_int_equal(gb_sandbox_user_find("bob:nosuch", passwd, group, &u, &err), -ENOENT);
	assert_int_equal(gb_sandbox_user_find("big", passwd, group, &u, &err), -ENOENT); /* no such id in the namespace */
	assert_int_equal(gb_sandbox_user_find("70000", passwd, group, &u, &err), -ENOENT);
	assert_int_equal(gb_sandbox_user_find("4294967296", passwd, group, &u, &err), -ENOENT);
	assert_int_equal(gb_sandbox_user_find("bad line", passwd, group, &u, &err), -ENOENT);
}

static const char *bundle_of(Guestbox__Sandbox__Record *record, struct gb_buf *buf)
{
	char *args[] = { text("/bin/sh"), text("a \"b\"\n") };
	const struct gb_sandbox_bind bind = { "/stage/b0", "/mnt/x", true, false };
	struct gb_sandbox_bundle bundle = {
		.record = record, .root = "/stage/root", .hostname = "h", .cgroup = "/guestbox-sandbox/x", .binds = &bind,
		.binds_len = 1, .cpu = true, .memory = true, .pids = true,
		.process = { .args = args, .args_len = 2, .spec = record->spec, .nofile = 4096 },
	};

	assert_int_equal(gb_sandbox_bundle_json(&bundle, buf), 0);
	return gb_buf_text(buf);
}

static void papers(void **state)
{
	Guestbox__Sandbox__Record record = GUESTBOX__SANDBOX__RECORD__INIT;
	Sandbox__V1__CreateSandboxRequest spec = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
	Sandbox__V1__ResourceLimits l = SANDBOX__V1__RESOURCE_LIMITS__INIT;
	gb_autobuf struct gb_buf buf = { 0 };

	(void)state;
	l.vcpus = 2;
	l.memory_mib = 64;
	spec.limits = &l;
	record.spec = &spec;
	record.slot = 3;
	const char *json = bundle_of(&record, &buf);
	static const char *const parts[] = {
		"\"args\":[\"/bin/sh\",\"a \\\"b\\\"\\n\"]",
		"\"uidMappings\":[{\"containerID\":0,\"hostID\":1073938432,\"size\":65536}]",
		"\"memory\":{\"limit\":67108864,\"swap\":67108864}", "\"cpu\":{\"period\":100000,\"quota\":200000}",
		"\"pids\":{\"limit\":4096}", "\"cgroupsPath\":\"/guestbox-sandbox/x\"", "{\"type\":\"user\"}", "{\"type\":\"pid\"}",
		"{\"type\":\"cgroup\"}", "{\"type\":\"ipc\"}", "{\"type\":\"uts\"}", "{\"type\":\"mount\"}",
		"{\"type\":\"network\",\"path\":\"/proc/self/ns/net\"}",
		"{\"destination\":\"/mnt/x\",\"type\":\"bind\",\"source\":\"/stage/b0\",\"options\":[\"rbind\",\"rprivate\",\"nosuid\","
		"\"nodev\",\"ro\",\"noexec\"]}",
		"\"init_module\"", "\"open_by_handle_at\"", "\"/proc/sysrq-trigger\"", "\"/proc/kcore\"", "\"cwd\":\"/\"",
	};
	for (size_t i = 0; i < GB_ARRAY_LEN(parts); i++) {
		if (!strstr(json, parts[i]))
			print_message("missing: %s\n", parts[i]);
		assert_non_null(strstr(json, parts[i]));
	}
	assert_null(strstr(json, "CAP_SYS_ADMIN"));
	assert_null(strstr(json, "CAP_NET_ADMIN"));
	assert_null(strstr(json, "CAP_SYS_PTRACE"));
}

static void the_last_variable_wins(void **state)
{
	Sandbox__V1__CreateSandboxRequest spec = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
	Sandbox__V1__CreateSandboxRequest__EnvEntry entry = SANDBOX__V1__CREATE_SANDBOX_REQUEST__ENV_ENTRY__INIT;
	Sandbox__V1__CreateSandboxRequest__EnvEntry *env[] = { &entry };
	char *args[] = { text("x") };
	const struct gb_sandbox_pair own = { "A", "own" };
	struct gb_sandbox_process p = { .args = args, .args_len = 1, .spec = &spec, .env = &own, .env_len = 1, .dir = "/tmp",
					.user = { .uid = 5 }, .tty = true, .width = 80, .height = 24 };
	gb_autobuf struct gb_buf buf = { 0 };

	(void)state;
	entry.key = text("A");
	entry.value = text("spec");
	spec.env = env;
	spec.n_env = 1;
	spec.working_dir = text("/var");
	assert_string_equal(gb_sandbox_variable(&p, "A"), "own");
	assert_string_equal(gb_sandbox_folder(&p), "/tmp");
	p.dir = "";
	assert_string_equal(gb_sandbox_folder(&p), "/var");
	assert_int_equal(gb_sandbox_process_json(&p, &buf), 0);
	assert_non_null(strstr(buf.data, "\"A=own\""));
	assert_null(strstr(buf.data, "A=spec"));
	assert_non_null(strstr(buf.data, "\"effective\":[]")); /* not root: no rights */
	assert_non_null(strstr(buf.data, "\"consoleSize\":{\"height\":24,\"width\":80}"));
}

static void reasons(void **state)
{
	static const struct { const char *log, *reason; } rows[] = {
		{ "", "" },
		{ "2026-11-21T06:44:50.000000Z: mkdir `/mnt`: Read-only file system\n", "mkdir `/mnt`: Read-only file system" },
		{ "time=\"2026\" level=warning msg=\"x\"\ntime=\"2026\" level=error msg=\"no such thing\"\n", "no such thing" },
		{ "plain words", "plain words" },
	};
	char got[640];

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		gb_sandbox_log_reason(rows[i].log, got, sizeof got);
		assert_string_equal(got, rows[i].reason);
	}
}

static void names(void **state)
{
	struct gb_sandbox_place a = { 0 }, b = { 0 };
	char one[GB_SANDBOX_INSTANCE + 1], two[GB_SANDBOX_INSTANCE + 1], uuid[37], tap[GB_SANDBOX_TAP];

	(void)state;
	gb_sandbox_place_set(&a, "/a");
	gb_sandbox_place_set(&b, "/b");
	assert_string_not_equal(a.cgroup, b.cgroup); /* what one sweeps is not the other's */
	assert_string_not_equal(a.run, b.run);
	gb_sandbox_new_name(one);
	gb_sandbox_new_name(two);
	assert_int_equal(strlen(one), GB_SANDBOX_INSTANCE);
	assert_string_not_equal(one, two);
	gb_sandbox_new_uuid(uuid);
	assert_int_equal(strlen(uuid), 36);
	assert_int_equal(uuid[14], '4');
	gb_sandbox_tap_name(GB_SANDBOX_POOL + 65534, tap);
	assert_string_equal(tap, "vmtap255-254");
	/* PID 1 is a program of this machine, without a loader. */
	assert_true(gb_sandbox_pid1_len > 100 && gb_sandbox_pid1_len < 16384);
	assert_memory_equal(gb_sandbox_pid1, "\177ELF", 4);
}

/* A superblock of each kind, of an image of 8 MiB; then as one that is longer than its file, and cut in the superblock. */
static void images(void **state)
{
	static const struct { const char *type; size_t magic_at, len; unsigned char magic[4]; size_t at[3]; unsigned char bytes[3]; } kinds[] = {
		{ "squashfs", 0, 4, "hsqs", { 42, 0, 0 }, { 0x80, 'h', 'h' } },                          /* bytes_used */
		{ "erofs", 1024, 4, { 0xe2, 0xe1, 0xf5, 0xe0 }, { 1036, 1061, 1061 }, { 12, 8, 8 } },     /* 2048 of 4 KiB */
		{ "ext4", 1080, 2, { 0x53, 0xef }, { 1048, 1029, 1029 }, { 2, 8, 8 } },                   /* the same */
	};
	struct gb_fsimage image;
	struct gb_err err;

	(void)state;
	for (size_t k = 0; k < GB_ARRAY_LEN(kinds); k++) {
		unsigned char head[GB_FSIMAGE_HEAD] = { 0 };
		memcpy(head + kinds[k].magic_at, kinds[k].magic, kinds[k].len);
		for (size_t i = 0; i < 3; i++)
			head[kinds[k].at[i]] = kinds[k].bytes[i];
		assert_int_equal(gb_fsimage_read(head, sizeof head, 8 << 20, "x", &image, &err), 0);
		assert_string_equal(image.type, kinds[k].type);
		assert_int_equal(image.size, 8 << 20);
		assert_int_equal(gb_fsimage_read(head, sizeof head, (8 << 20) - 1, "x", &image, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "cut off: 8388607 of 8388608 bytes"));
		assert_int_equal(gb_fsimage_read(head, kinds[k].magic_at + 20, 8 << 20, "x", &image, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "cut off in its superblock"));
		assert_int_equal(gb_fsimage_read(head, kinds[k].magic_at, 8 << 20, "x", &image, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "no image of"));
	}
}

/* It comes alone, whatever else its sender has sent. */
static void the_terminal_of_a_command(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	size_t before = unit_descriptors();
	assert_int_equal(gb_sandbox_console_take(pair[0]), -EAGAIN);
	for (int count = 1; count <= 8; count++) {
		unit_send_fds(pair[1], "/dev/ptmx", 9, pair[0], count);
		int fd = gb_sandbox_console_take(pair[0]);
		assert_true(fd > pair[1]);
		assert_int_equal(unit_descriptors(), before + 1);
		assert_int_equal(close(fd), 0);
	}
	unit_send_fds(pair[1], "/dev/ptmx", 9, -1, 0);
	assert_int_equal(gb_sandbox_console_take(pair[0]), -EPROTO);
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(gb_sandbox_console_take(pair[0]), -EPROTO);
	assert_int_equal(close(pair[0]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		cmocka_unit_test(paths),
		cmocka_unit_test(images),
		cmocka_unit_test(what_cannot_be_honoured_is_refused),
		cmocka_unit_test(numbers),
		cmocka_unit_test(users),
		cmocka_unit_test(papers),
		cmocka_unit_test(the_last_variable_wins),
		cmocka_unit_test(reasons),
		cmocka_unit_test(names),
		cmocka_unit_test(the_terminal_of_a_command),
	};

	gb_pb_start();
	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
