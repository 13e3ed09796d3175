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
	"printf '{\"config\":{\"Env\":[\"A=1\",\"B=2\"],\"User\":\"www\",\"WorkingDir\":\"/srv\",\"Entrypoint\":[\"/bin/sh\"],\"Cmd\":[\"x\",\"y\"]},"
	"\"rootfs\":{\"diff_ids\":[\"sha256:%%s\",\"sha256:%%s\"]}}' $(id a.tar) $(id b.tar) >d/config.json\n"
	"gzip -n a.tar; mv a.tar.gz d/1.tar; mv b.tar d/2.tar\n"
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
	const struct faults faults = { send_plain, run_import, look_at_import, false, 1 };

	(void)state;
	import.replace = false;
	assert_true(faults_each(&faults, EIO) > 30);
}

static void so_does_one_of_layers(void **state)
{
	const struct faults faults = { send_docker, run_import, look_at_import, false, 5 };

	(void)state;
	import.replace = false;
	assert_true(faults_each(&faults, EIO) > 80);
}

/* The old one stays until the new one is whole. */
static void one_that_replaces_leaves_the_old_one(void **state)
{
	const struct faults faults = { send_plain, run_import, look_at_import, false, 1 };

	(void)state;
	import.replace = true;
	send_plain();
	assert_int_equal(run_import(NULL), 0);
	look_at_import(0);
	assert_true(faults_each(&faults, ENOSPC) > 30);
	assert_true(there("x/root/kept"));
	assert_int_equal(gb_sandbox_image_remove(store, "x", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_import_that_fails_leaves_nothing),
		cmocka_unit_test(so_does_one_of_layers),
		cmocka_unit_test(one_that_replaces_leaves_the_old_one),
	};

	return cmocka_run_group_tests_name("image", tests, begin, end);
}
