/* SPDX-License-Identifier: MIT */
/* common/sandbox/image.c: whatever fails in an import, the store has the whole image or what it had before. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/image.h"
#include "common/sandbox/store.h"
#include "common/sandbox/untar.h"
#include "tests/unit/faults.h"

static char top[] = "/tmp/gb-unit-XXXXXX", store[64];
static struct gb_buf plain, docker;

/* `docker save` with two layers: the lower one compressed; the upper one takes a file of it away. */
static const char script[] =
	"set -eu; umask 022; cd %s\n"
	"mkdir a b d; echo low >a/kept; echo low >a/gone; ln -s kept a/link; mkfifo a/fifo; ln a/kept a/hard; mkdir -p a/dir/sub\n"
	"mkdir b/dir; : >b/.wh.gone; : >b/dir/.wh..wh..opq; echo high >b/dir/new\n"
	"t() { tar --owner=0 --group=0 --numeric-owner -C \"$1\" -cf \"$2\" .; }\n"
	"id() { sha256sum \"$1\" | cut -d' ' -f1; }\n"
	"t a a.tar; t b b.tar; cp a.tar plain.tar\n"
	"printf '{\"config\":{\"Env\":[\"A=1\",\"B=2\"],\"User\":\"www\",\"WorkingDir\":\"/srv\",\"Entrypoint\":[\"/bin/sh\"],"
	"\"Cmd\":[\"x\",\"y\"]},"
	"\"rootfs\":{\"diff_ids\":[\"sha256:%%s\",\"sha256:%%s\"]}}' $(id a.tar) $(id b.tar) >d/config.json\n"
	"gzip -n a.tar; mv a.tar.gz d/1.tar; cp b.tar d/2.tar\n"
	"printf '[{\"Config\":\"config.json\",\"Layers\":[\"1.tar\",\"2.tar\"]}]' >d/manifest.json\n"
	"t d docker.tar; gzip -n docker.tar\n";

/* Whoever is not root is it among himself: an archive's owners are set, and the folder is made the root. */
static void become_root(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (uid == 0)
		return;
	assert_int_equal(unshare(CLONE_NEWUSER), 0);
	(void)snprintf(map, sizeof map, "0 %u 1", uid);
	assert_int_equal(gb_io_put(AT_FDCWD, "/proc/self/uid_map", map), 0);
	assert_int_equal(gb_io_put(AT_FDCWD, "/proc/self/setgroups", "deny"), 0);
	(void)snprintf(map, sizeof map, "0 %u 1", gid);
	assert_int_equal(gb_io_put(AT_FDCWD, "/proc/self/gid_map", map), 0);
}

static int begin(void **state)
{
	char text[2048], path[128];

	(void)state;
	become_root();
	assert_non_null(mkdtemp(top));
	(void)snprintf(store, sizeof store, "%s/images", top);
	(void)snprintf(text, sizeof text, script, top);
	assert_int_equal(system(text), 0);
	(void)snprintf(path, sizeof path, "%s/plain.tar", top);
	assert_int_equal(gb_io_slurp(AT_FDCWD, path, 1 << 20, &plain), 0);
	(void)snprintf(path, sizeof path, "%s/docker.tar.gz", top);
	assert_int_equal(gb_io_slurp(AT_FDCWD, path, 1 << 20, &docker), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	gb_buf_free(&plain);
	gb_buf_free(&docker);
	return gb_sandbox_tree_remove(AT_FDCWD, top);
}

static const char *file_at(const char *file)
{
	static char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", top, file);
	return path;
}

static bool there(const char *file)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/%s", store, file);
	return lstat(path, &st) == 0;
}

/* How many folders the store has, those under way included. */
static int folders(void)
{
	gb_autoclosedir DIR *dir = opendir(store);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	return dir ? n - 2 : 0;
}

/* ---- imports ---- */

static struct gb_sandbox_import import = { .name = "x" };
static Guestbox__V1__Image *made;
static bool layers;

/* All of an archive is in the socket before the import begins: there is nobody to wait for. */
static void send_archive(const struct gb_buf *archive)
{
	int ends[2], big = 4 << 20;

	made = NULL;
	layers = archive == &docker;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof big), 0);
	assert_int_equal(send(ends[1], archive->data, archive->len, MSG_DONTWAIT | MSG_NOSIGNAL), archive->len);
	assert_int_equal(close(ends[1]), 0);
	import.in = ends[0];
}

static void send_plain(void) { send_archive(&plain); }
static void send_docker(void) { send_archive(&docker); }

static int run_import(struct gb_err *err)
{
	return gb_sandbox_image_import(store, &import, &made, err);
}

static void look_at_import(int r)
{
	assert_int_equal(close(import.in), 0);
	assert_int_equal(made != NULL, r == 0);
	if (made) {
		assert_string_equal(made->name, "x");
		assert_int_equal(made->layers, layers ? 2 : 0);
		assert_string_equal(made->user, layers ? "www" : "");
		guestbox__v1__image__free_unpacked(made, NULL);
	}
	if (import.replace)
		gb_sandbox_images_sweep(store); /* of what was replaced something may be left */
	/* Nothing, or all of it: the last step, fsync(2), may fail when it is there already. */
	assert_in_range(folders(), r == 0 || import.replace, 1);
	if (folders() == 0)
		return;
	assert_true(there("x/record") && there("x/root/kept") && there("x/root/link") && there("x/root/fifo") && there("x/root/hard"));
	assert_false(there("x/archive"));
	assert_int_equal(there("x/root/gone"), !layers);
	assert_int_equal(there("x/root/dir/sub"), !layers);
	assert_int_equal(there("x/root/dir/new"), layers);
	if (!import.replace)
		assert_int_equal(gb_sandbox_image_remove(store, "x", NULL), 0);
}

static void an_import_that_fails_leaves_nothing(void **state)
{
	const struct faults faults = { send_plain, run_import, look_at_import, false, NULL, 1 };

	(void)state;
	import.replace = false;
	assert_true(faults_each(&faults, EIO) > 30);
}

static void so_does_one_of_layers(void **state)
{
	const struct faults faults = { send_docker, run_import, look_at_import, false, NULL, 5 };

	(void)state;
	import.replace = false;
	assert_true(faults_each(&faults, EIO) > 80);
}

/* The old one stays until the new one is whole. */
static void one_that_replaces_leaves_the_old_one(void **state)
{
	const struct faults faults = { send_plain, run_import, look_at_import, false, NULL, 1 };

	(void)state;
	import.replace = true;
	send_plain();
	assert_int_equal(run_import(NULL), 0);
	look_at_import(0);
	assert_true(faults_each(&faults, ENOSPC) > 30);
	assert_true(there("x/root/kept"));
	assert_int_equal(gb_sandbox_image_remove(store, "x", NULL), 0);
}

/* ---- unpacking, in this very process ---- */

static enum gb_untar_mode mode;
static int archive = -1, root = -1;

static void open_archive(void)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/unpacked", top);
	assert_int_equal(mkdir(path, 0755), 0);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	archive = open(file_at("plain.tar"), O_RDONLY | O_CLOEXEC);
	assert_true(root >= 0 && archive >= 0);
	if (mode == GB_UNTAR_FILES)
		return;
	/* What the layer takes away, and a folder where it has a file. */
	assert_int_equal(mkdirat(root, "kept", 0755), 0);
	assert_int_equal(mkdirat(root, "dir", 0755), 0);
	assert_int_equal(mkdirat(root, "dir/below", 0755), 0);
}

static int run_untar(struct gb_err *err)
{
	const struct gb_untar_limits limits = { .mode = mode, .entries = 100, .bytes = 1 << 20, .ids = 1 };
	struct gb_untar_result result;

	return gb_untar(archive, root, &limits, &result, err);
}

static void close_archive(int r)
{
	struct stat st;

	if (r == 0 && mode != GB_UNTAR_WHITEOUTS) {
		assert_int_equal(fstatat(root, "kept", &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_true(S_ISREG(st.st_mode) && st.st_nlink == 2 && st.st_size == 4);
		assert_int_equal(fstatat(root, "fifo", &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_true(S_ISFIFO(st.st_mode));
		assert_int_equal(fstatat(root, "dir/sub", &st, AT_SYMLINK_NOFOLLOW), 0);
	}
	assert_int_equal(close(root) | close(archive), 0);
	assert_int_equal(gb_sandbox_tree_remove(AT_FDCWD, file_at("unpacked")), 0);
}

static void what_cannot_be_unpacked_is_told(void **state)
{
	const struct faults faults = { open_archive, run_untar, close_archive, false, NULL, 1 };

	(void)state;
	mode = GB_UNTAR_FILES;
	assert_true(faults_each(&faults, EIO) > 50);
	mode = GB_UNTAR_LAYER;
	assert_true(faults_each(&faults, EIO) > 50);
}

static int run_whiteouts(struct gb_err *err)
{
	const struct gb_untar_limits limits = { .mode = GB_UNTAR_WHITEOUTS, .entries = 100, .bytes = 1 << 20, .ids = 1 };
	struct gb_untar_result result;

	return gb_untar(archive, root, &limits, &result, err);
}

static void open_whiteouts(void)
{
	mode = GB_UNTAR_WHITEOUTS;
	open_archive();
	assert_int_equal(close(archive), 0);
	archive = open(file_at("b.tar"), O_RDONLY | O_CLOEXEC);
	assert_true(archive >= 0);
	assert_int_equal(mkdirat(root, "gone", 0755), 0);
	assert_int_equal(mkdirat(root, "gone/below", 0755), 0);
}

static void close_whiteouts(int r)
{
	if (r == 0)
		assert_int_equal(faccessat(root, "gone", F_OK, 0) | faccessat(root, "dir/below", F_OK, 0), -1);
	close_archive(-1);
}

static void what_cannot_be_taken_away_is_told(void **state)
{
	const struct faults faults = { open_whiteouts, run_whiteouts, close_whiteouts, false, NULL, 1 };

	(void)state;
	assert_true(faults_each(&faults, EIO) > 20);
}

/* ---- what is in the store ---- */

static Sandbox__V1__CreateSandboxRequest *spec;

/* As protobuf-c unpacks it: a variable and a word of its own. */
static void make_spec(void)
{
	static const unsigned char bytes[] = { 0x3a, 1, 'x', 0x42, 1, 'z', 0x4a, 6, 0x0a, 1, 'B', 0x12, 1, '3' };

	spec = sandbox__v1__create_sandbox_request__unpack(NULL, sizeof bytes, bytes);
	if (!spec || strcmp(spec->image, "x") != 0 || spec->n_cmd != 1 || spec->n_env != 1)
		fail_msg("the fields have other numbers");
	spec->image_command = 1;
}

static int run_defaults(struct gb_err *err)
{
	return gb_sandbox_image_defaults(store, spec, err);
}

/* All of it or an error: what starts without its user would be root's. */
static void look_at_spec(int r)
{
	if (r == 0) {
		assert_string_equal(spec->user, "www");
		assert_string_equal(spec->working_dir, "/srv");
		assert_int_equal(spec->n_env, 2);
		assert_string_equal(spec->env[0]->value, "3");
		assert_string_equal(spec->env[1]->key, "A");
		assert_int_equal(spec->n_cmd, 2);
		assert_string_equal(spec->cmd[0], "/bin/sh");
		assert_string_equal(spec->cmd[1], "z");
	}
	sandbox__v1__create_sandbox_request__free_unpacked(spec, NULL);
}

static Guestbox__V1__Image **images;
static size_t images_len;

static int run_list(struct gb_err *err)
{
	images_len = 0;
	return gb_sandbox_images(store, &images, &images_len, err);
}

static void look_at_list(int r)
{
	if (r < 0)
		return;
	assert_int_equal(images_len, 2);
	assert_string_equal(images[0]->name, "x");
	assert_string_equal(images[1]->name, "y");
	gb_sandbox_images_free(images, images_len);
}

static void make_victim(void)
{
	if (!there("victim"))
		assert_int_equal(mkdir(file_at("images/victim"), 0755), 0);
	if (!there("victim/root"))
		assert_int_equal(mkdir(file_at("images/victim/root"), 0755), 0);
}

static int run_remove(struct gb_err *err)
{
	return gb_sandbox_image_remove(store, "victim", err);
}

static void look_at_removal(int r)
{
	assert_true(r < 0 || !there("victim"));
	gb_sandbox_images_sweep(store);
	assert_int_equal(folders(), 2 + there("victim"));
}

static void an_image_counts_as_a_whole(void **state)
{
	const struct faults defaults = { make_spec, run_defaults, look_at_spec, false, NULL, 1 },
			    list = { NULL, run_list, look_at_list, false, NULL, 1 },
			    removal = { make_victim, run_remove, look_at_removal, false, NULL, 1 };

	(void)state;
	import.replace = false;
	send_docker();
	assert_int_equal(run_import(NULL), 0);
	assert_int_equal(close(import.in), 0);
	guestbox__v1__image__free_unpacked(made, NULL);
	assert_true(faults_each(&defaults, EMFILE) > 8);
	/* Made by hand: it has no record. */
	assert_int_equal(mkdir(file_at("images/y"), 0755) | mkdir(file_at("images/y/root"), 0755), 0);
	assert_true(faults_each(&list, EMFILE) > 5);
	assert_true(faults_each(&removal, EIO) > 3);
	assert_int_equal(gb_sandbox_image_remove(store, "x", NULL) | gb_sandbox_image_remove(store, "y", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_import_that_fails_leaves_nothing),
		cmocka_unit_test(so_does_one_of_layers),
		cmocka_unit_test(one_that_replaces_leaves_the_old_one),
		cmocka_unit_test(what_cannot_be_unpacked_is_told),
		cmocka_unit_test(what_cannot_be_taken_away_is_told),
		cmocka_unit_test(an_image_counts_as_a_whole),
	};

	gb_pb_start();
	return cmocka_run_group_tests_name("image", tests, begin, end);
}
