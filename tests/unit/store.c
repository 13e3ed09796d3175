/* SPDX-License-Identifier: MIT */
/* common/sandbox/store.c on a file system of no kind: records and what becomes of damaged ones, layers, removal. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/store.h"
#include "tests/unit/faults.h"
#include "common/sys/pidrec.h"

#define ONE "0123456789abcdef"
#define TWO "fedcba9876543210"

static struct gb_sandbox_place place;

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static const char *at(const char *file)
{
	static char path[600];

	(void)snprintf(path, sizeof path, "%s/%s", place.data, file);
	return path;
}

static int begin(void **state)
{
	static const char *const folders[] = { "boxes", "snapshots", "images/base/root" };
	char top[] = "/tmp/gb-unit-XXXXXX";

	(void)state;
	if (!mkdtemp(top))
		return -1;
	gb_sandbox_place_set(&place, top);
	for (size_t i = 0; i < GB_ARRAY_LEN(folders); i++) {
		if (gb_io_mkdirs(at(folders[i])) < 0)
			return -1;
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	return gb_sandbox_tree_remove(AT_FDCWD, place.data);
}

static void put(const char *file, const char *data, size_t len)
{
	gb_autoclose int fd = open(at(file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(gb_io_write(fd, data, len), 0);
}

/* A record that lacks nothing. Its parts live as long as the caller's frame. */
struct whole {
	Guestbox__Sandbox__Record record;
	Sandbox__V1__CreateSandboxRequest spec;
	Sandbox__V1__ResourceLimits limits;
	Sandbox__V1__NetworkSpec network;
};

static void make(struct whole *w, const char *instance)
{
	guestbox__sandbox__record__init(&w->record);
	sandbox__v1__create_sandbox_request__init(&w->spec);
	sandbox__v1__resource_limits__init(&w->limits);
	sandbox__v1__network_spec__init(&w->network);
	w->record.instance = text(instance);
	w->record.spec = &w->spec;
	w->spec.id = text("box");
	w->spec.limits = &w->limits;
	w->spec.network = &w->network;
}

struct seen {
	int whole, bad;
	int code; /* of the last whole one */
	struct gb_err err; /* of the last bad one */
};

static bool on_record(const char *name, Guestbox__Sandbox__Record *record, const struct gb_err *why, void *arg)
{
	struct seen *seen = arg;

	if (record) {
		seen->whole++;
		seen->code = record->last_exit_code;
		assert_string_equal(record->instance, name);
	} else {
		seen->bad++;
		seen->err = *why;
	}
	return false;
}

static bool on_snapshot(const char *name, Guestbox__Sandbox__Snapshot *snapshot, const struct gb_err *why, void *arg)
{
	struct seen *seen = arg;

	seen->whole += snapshot != NULL;
	seen->bad += !snapshot;
	assert_true(!snapshot || strcmp(snapshot->id, name) == 0);
	assert_true(snapshot || why->msg[0]);
	return false;
}

static struct seen look(void)
{
	struct seen seen = { 0 };
	struct gb_err err;

	assert_int_equal(gb_sandbox_records(&place, on_record, &seen, &err), 0);
	return seen;
}

static void records_come_back(void **state)
{
	struct whole w;
	struct gb_err err;

	(void)state;
	make(&w, ONE);
	assert_int_equal(gb_sandbox_record_write(&place, &w.record, true, &err), -ENOENT); /* its folder is not there */
	assert_non_null(strstr(err.msg, "boxes/" ONE));
	assert_int_equal(mkdir(at("boxes/" ONE), 0755), 0);
	assert_int_equal(gb_sandbox_record_write(&place, &w.record, true, &err), 0);
	w.record.pid = 7;
	assert_int_equal(gb_sandbox_record_write(&place, &w.record, false, &err), 0);
	assert_int_equal(access(at("boxes/" ONE "/record.new"), F_OK), -1);
	struct seen seen = look();
	assert_int_equal(seen.whole, 1);
	assert_int_equal(seen.bad, 0);
}

/* A request may have as many fields as a payload can; the record of it has more, and is read again all the same. */
static void the_largest_request_has_a_record(void **state)
{
	enum { VARIABLES = GB_PB_FIELDS_MAX / 3 };
	static Sandbox__V1__CreateSandboxRequest__EnvEntry entries[VARIABLES + 1024], *list[VARIABLES + 1024]; /* an image's with them */
	struct whole w;
	struct gb_err err;

	(void)state;
	make(&w, ONE);
	for (size_t i = 0; i < GB_ARRAY_LEN(entries); i++) {
		sandbox__v1__create_sandbox_request__env_entry__init(&entries[i]);
		entries[i].key = text("NAME");
		entries[i].value = text("value");
		list[i] = &entries[i];
	}
	w.spec.env = list;
	w.spec.n_env = GB_ARRAY_LEN(entries);
	assert_int_equal(mkdir(at("boxes/" ONE), 0755), 0);
	assert_int_equal(gb_sandbox_record_write(&place, &w.record, false, &err), 0);
	struct seen seen = look();
	assert_string_equal(seen.err.msg, "");
	assert_int_equal(seen.whole, 1);
}

/* What was noted beside the container is newer than what is on the disk; that of another boot, or another's, is not. */
static void notes_are_preferred(void **state)
{
	struct whole w;
	struct gb_err err;
	char run[600], file[700], boot[GB_BOOT_ID];

	(void)state;
	(void)snprintf(place.run, sizeof place.run, "%.60s", at("run"));
	(void)snprintf(run, sizeof run, "%s", at("run/" ONE));
	(void)snprintf(file, sizeof file, "%s/record", run);
	make(&w, ONE);
	assert_int_equal(mkdir(at("boxes/" ONE), 0755), 0);
	assert_int_equal(gb_sandbox_record_write(&place, &w.record, true, &err), 0);
	w.record.last_exit_code = 7;
	gb_pidrec_boot_id(boot);
	w.record.boot_id = boot;
	assert_int_equal(gb_sandbox_record_note(&place, &w.record, &err), -ENOENT); /* there is no container */
	assert_int_equal(gb_io_mkdirs(run), 0);
	assert_int_equal(gb_sandbox_record_note(&place, &w.record, &err), 0);
	assert_int_equal(look().code, 7);
	w.record.boot_id = text("another");
	assert_int_equal(gb_sandbox_record_note(&place, &w.record, &err), 0);
	assert_int_equal(look().code, 0);
	w.record.boot_id = boot;
	w.record.instance = text(TWO);
	char other[600];
	(void)snprintf(other, sizeof other, "%s", at("run/" TWO));
	assert_int_equal(gb_io_mkdirs(other), 0);
	assert_int_equal(gb_sandbox_record_note(&place, &w.record, &err), 0);
	(void)snprintf(other, sizeof other, "%s", at("run/" TWO "/record"));
	assert_int_equal(rename(other, file), 0);
	assert_int_equal(look().code, 0);
	/* It alone is none: what is on the disk says whether there is a sandbox. */
	assert_int_equal(unlink(at("boxes/" ONE "/record")), 0);
	struct seen seen = look();
	assert_int_equal(seen.whole, 0);
	assert_int_equal(seen.err.code, ENOENT);
}

static void damaged_records_are_told(void **state)
{
	struct whole w;
	struct gb_err err;

	(void)state;
	assert_int_equal(mkdir(at("boxes/" ONE), 0755), 0);
	struct seen seen = look();
	assert_int_equal(seen.bad, 1);
	assert_int_equal(seen.err.code, ENOENT); /* as after a crash in the middle of its creation or removal */
	put("boxes/" ONE "/record", "\xff\xff\xff", 3);
	seen = look();
	assert_int_equal(seen.bad, 1);
	assert_int_equal(seen.err.code, EBADMSG);
	put("boxes/" ONE "/record", "", 0); /* a power cut behind a write that was not synced */
	seen = look();
	assert_int_equal(seen.err.code, ENOENT);
	put("boxes/" ONE "/record", "\x1a\0", 2); /* it is well-formed, and says nothing */
	seen = look();
	assert_int_equal(seen.err.code, EBADMSG);
	assert_non_null(strstr(seen.err.msg, "not whole"));
	/* Another one's, as a copied folder has. */
	make(&w, TWO);
	assert_int_equal(mkdir(at("boxes/" TWO), 0755), 0);
	assert_int_equal(gb_sandbox_record_write(&place, &w.record, false, &err), 0);
	char to[600];
	(void)snprintf(to, sizeof to, "%s", at("boxes/" ONE "/record"));
	assert_int_equal(rename(at("boxes/" TWO "/record"), to), 0);
	seen = look();
	assert_int_equal(seen.bad, 2);
	assert_int_equal(seen.whole, 0);
	/* Without what is counted on: limits, a network. */
	for (int i = 0; i < 3; i++) {
		make(&w, ONE);
		if (i == 0)
			w.spec.limits = NULL;
		else if (i == 1)
			w.spec.network = NULL;
		else
			w.record.spec = NULL;
		assert_int_equal(gb_sandbox_record_write(&place, &w.record, false, &err), 0);
		assert_int_equal(look().whole, 0);
	}
	/* Files that are no sandboxes'. */
	put("boxes/.hidden", "", 0);
	assert_int_equal(look().bad, 2);
}

static void snapshots_are_whole_or_told(void **state)
{
	Guestbox__Sandbox__Snapshot snapshot = GUESTBOX__SANDBOX__SNAPSHOT__INIT;
	struct seen seen = { 0 };
	struct whole w;
	struct gb_err err;

	(void)state;
	make(&w, ONE);
	snapshot.id = text("snap");
	snapshot.record = &w.record;
	assert_int_equal(mkdir(at("snapshots/snap"), 0755), 0);
	assert_int_equal(gb_sandbox_snapshot_write(&place, &snapshot, &err), 0);
	assert_int_equal(gb_sandbox_snapshots(&place, on_snapshot, &seen, &err), 0);
	assert_int_equal(seen.whole, 1);
	w.spec.network = NULL; /* a restore of it would set that */
	assert_int_equal(gb_sandbox_snapshot_write(&place, &snapshot, &err), 0);
	seen = (struct seen){ 0 };
	assert_int_equal(gb_sandbox_snapshots(&place, on_snapshot, &seen, &err), 0);
	assert_int_equal(seen.whole, 0);
	assert_int_equal(seen.bad, 1);
	assert_int_equal(gb_sandbox_snapshot_remove(&place, "snap", &err), 0);
	assert_int_equal(gb_sandbox_snapshot_remove(&place, "snap", &err), 0); /* nothing there is no error */
	assert_int_equal(access(at("snapshots/snap"), F_OK), -1);
}

static void roots_are_checked(void **state)
{
	Sandbox__V1__CreateSandboxRequest spec = SANDBOX__V1__CREATE_SANDBOX_REQUEST__INIT;
	struct gb_err err;
	char path[600];

	(void)state;
	assert_int_equal(gb_sandbox_root_check(&place, &spec, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "no image \"default\""));
	spec.image = text("none");
	assert_int_equal(gb_sandbox_root_check(&place, &spec, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "image \"none\": not in the store"));
	spec.image = text("base");
	assert_int_equal(gb_sandbox_root_check(&place, &spec, &err), 0);
	/* A link in the place of the root: not one step of it. */
	assert_int_equal(rmdir(at("images/base/root")), 0);
	assert_int_equal(symlink("/", at("images/base/root")), 0);
	assert_int_equal(gb_sandbox_root_check(&place, &spec, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "symbolic link"));
	spec.image = text("");
	spec.rootfs = text("/dev/null");
	assert_int_equal(gb_sandbox_root_check(&place, &spec, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "neither a folder nor an image file"));
	put("file", "no file system", 14);
	(void)snprintf(path, sizeof path, "%s", at("file"));
	spec.rootfs = path;
	assert_int_equal(gb_sandbox_root_check(&place, &spec, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "no image of"));
	spec.rootfs = text("/nowhere/at/all");
	assert_int_equal(gb_sandbox_root_check(&place, &spec, &err), -ENOENT);
}

static void a_layer_is_made_or_nothing_is(void **state)
{
	struct whole w;
	struct gb_err err;

	(void)state;
	make(&w, ONE);
	w.record.lower = (char *)(uintptr_t)protobuf_c_empty_string;
	w.spec.image = text("none");
	assert_int_equal(gb_sandbox_layer_make(&place, &w.record, NULL, &err), -ENOENT);
	assert_int_equal(access(at("boxes/" ONE), F_OK), -1);
	w.spec.image = text("base");
	assert_int_equal(gb_sandbox_layer_make(&place, &w.record, NULL, &err), 0);
	assert_true(w.record.overlay && !w.record.lower_image);
	assert_string_equal(w.record.lower, at("images/base/root"));
	assert_int_equal(access(at("boxes/" ONE "/layer/upper"), F_OK), 0);
	assert_int_equal(access(at("boxes/" ONE "/layer/work"), F_OK), 0);
	assert_int_equal(gb_sandbox_layer_make(&place, &w.record, NULL, &err), -EEXIST); /* an instance is made once */
	assert_int_equal(access(at("boxes/" ONE "/layer/upper"), F_OK), 0);
	free(w.record.lower);
	w.record.lower = (char *)(uintptr_t)protobuf_c_empty_string;
	w.record.instance = text(TWO);
	assert_int_equal(gb_sandbox_layer_make(&place, &w.record, "gone", &err), -ENOENT); /* the snapshot is not there */
	assert_non_null(strstr(err.msg, "snapshot gone"));
	assert_int_equal(access(at("boxes/" TWO), F_OK), -1);
}

static void removal_stays_inside(void **state)
{
	struct gb_err err;
	char path[600];

	(void)state;
	assert_int_equal(gb_io_mkdirs(at("boxes/" ONE "/layer/a/b/c")), 0);
	put("boxes/" ONE "/record", "x", 1);
	put("boxes/" ONE "/layer/a/file", "x", 1);
	put("kept", "x", 1);
	(void)snprintf(path, sizeof path, "%s", at("images"));
	assert_int_equal(symlink(path, at("boxes/" ONE "/layer/a/link")), 0);
	assert_int_equal(symlink("../../../../kept", at("boxes/" ONE "/layer/a/b/link")), 0);
	assert_int_equal(gb_sandbox_box_remove(&place, ONE, &err), 0);
	assert_int_equal(access(at("boxes/" ONE), F_OK), -1);
	assert_int_equal(access(at("images/base/root"), F_OK), 0);
	assert_int_equal(access(at("kept"), F_OK), 0);
	assert_int_equal(gb_sandbox_box_remove(&place, ONE, &err), 0);
	/* A link in the place of the folder: it is not what is meant, and its target stays. */
	assert_int_equal(symlink(path, at("boxes/" TWO)), 0);
	assert_true(gb_sandbox_box_remove(&place, TWO, &err) < 0);
	assert_int_equal(access(at("images/base/root"), F_OK), 0);
	assert_int_equal(unlink(at("boxes/" TWO)), 0);
}

/* Somebody in a sandbox makes folders deeper than any path or number of descriptors: they go all the same. */
static void depth_is_no_refuge(void **state)
{
	int fd = open(at("boxes"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	assert_int_equal(gb_sandbox_tree_remove(AT_FDCWD, at("boxes/d")), 0);
	assert_int_equal(access(at("boxes/d"), F_OK), -1);
}

/* ---- calls that fail ---- */

static struct whole faulty;

static void make_box(void)
{
	make(&faulty, ONE);
	assert_int_equal(gb_sandbox_tree_remove(AT_FDCWD, at("boxes/" ONE)), 0);
	assert_int_equal(mkdir(at("boxes/" ONE), 0755), 0);
	assert_int_equal(gb_sandbox_record_write(&place, &faulty.record, false, NULL), 0);
	faulty.record.last_exit_code = 9;
}

static int run_write(struct gb_err *err)
{
	return gb_sandbox_record_write(&place, &faulty.record, true, err);
}

/* The old record or the new one. */
static void look_at_record(int r)
{
	struct seen seen = look();

	assert_int_equal(seen.whole, 1);
	assert_true(seen.code == 9 || (r < 0 && seen.code == 0));
}

static struct seen found;

static int run_records(struct gb_err *err)
{
	found = (struct seen){ 0 };
	return gb_sandbox_records(&place, on_record, &found, err);
}

/* One that cannot be read now is not taken for one that is not there. */
static void look_at_found(int r)
{
	assert_true(r < 0 || found.whole + found.bad == 1);
	assert_true(r < 0 || found.whole || found.err.code != ENOENT);
}

static void make_layerless(void)
{
	make(&faulty, ONE);
	faulty.record.lower = (char *)(uintptr_t)protobuf_c_empty_string;
	faulty.spec.image = text("base");
	assert_int_equal(gb_sandbox_tree_remove(AT_FDCWD, at("boxes/" ONE)), 0);
}

static int run_layer(struct gb_err *err)
{
	return gb_sandbox_layer_make(&place, &faulty.record, NULL, err);
}

static void look_at_layer(int r)
{
	if (faulty.record.lower != (char *)(uintptr_t)protobuf_c_empty_string)
		free(faulty.record.lower);
	assert_true(r < 0 || (access(at("boxes/" ONE "/layer/upper"), F_OK) == 0 && access(at("boxes/" ONE "/layer/work"), F_OK) == 0));
}

static void make_tree(void)
{
	make_box();
	assert_int_equal(gb_io_mkdirs(at("boxes/" ONE "/layer/upper/a/b")), 0);
	put("boxes/" ONE "/layer/upper/a/file", "x", 1);
}

static int run_removal(struct gb_err *err)
{
	return gb_sandbox_box_remove(&place, ONE, err);
}

static void look_at_removal(int r)
{
	assert_true(r < 0 || access(at("boxes/" ONE), F_OK) < 0);
}

static Guestbox__Sandbox__Snapshot faulty_snapshot;

static void make_snapshot(void)
{
	make(&faulty, ONE);
	guestbox__sandbox__snapshot__init(&faulty_snapshot);
	faulty_snapshot.id = text("snap");
	faulty_snapshot.record = &faulty.record;
	(void)mkdir(at("snapshots/snap"), 0755);
}

static int run_snapshot(struct gb_err *err)
{
	return gb_sandbox_snapshot_write(&place, &faulty_snapshot, err);
}

static int run_open(struct gb_err *err)
{
	return gb_sandbox_store_open(&place, err);
}

static int run_root_check(struct gb_err *err)
{
	return gb_sandbox_root_check(&place, &faulty.spec, err);
}

static void what_fails_is_told_and_nothing_is_half_done(void **state)
{
	const struct faults rows[] = {
		{ make_box, run_write, look_at_record, false, NULL, 1 }, { make_box, run_records, look_at_found, false, NULL, 1 },
		{ make_layerless, run_layer, look_at_layer, false, NULL, 1 }, { make_tree, run_removal, look_at_removal, false, NULL, 1 },
		{ make_snapshot, run_snapshot, NULL, false, NULL, 1 }, { make_layerless, run_root_check, NULL, false, NULL, 1 },
		{ NULL, run_open, NULL, false, NULL, 1 },
	};

	(void)state;
	(void)snprintf(place.run, sizeof place.run, "%.60s", at("run"));
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++)
		assert_true(faults_each(&rows[i], EIO) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_come_back, begin, end),
		cmocka_unit_test_setup_teardown(the_largest_request_has_a_record, begin, end),
		cmocka_unit_test_setup_teardown(notes_are_preferred, begin, end),
		cmocka_unit_test_setup_teardown(damaged_records_are_told, begin, end),
		cmocka_unit_test_setup_teardown(snapshots_are_whole_or_told, begin, end),
		cmocka_unit_test_setup_teardown(roots_are_checked, begin, end),
		cmocka_unit_test_setup_teardown(a_layer_is_made_or_nothing_is, begin, end),
		cmocka_unit_test_setup_teardown(removal_stays_inside, begin, end),
		cmocka_unit_test_setup_teardown(depth_is_no_refuge, begin, end),
		cmocka_unit_test_setup_teardown(what_fails_is_told_and_nothing_is_half_done, begin, end),
	};

	gb_pb_start();
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
