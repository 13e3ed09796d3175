/* SPDX-License-Identifier: MIT */
/* common/mount/dax: what is asked of a file system, what is believed, and what is left when it does not hold. The kernel is
 * played (--wrap in the linker): it takes words, or takes them and does nothing, as virtiofs does. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/apply.h"
#include "common/mount/dax.h"
#include "common/sys/mountinfo.h"
#include "common/sys/rmtree.h"

static char dir[64];

static struct {
	/* per word of DAX: what a mount with it ends with, and the super options that show then */
	struct { int code; const char *super; } always, inode, none;
	int undo_code;    /* what an unmount ends with */
	bool files_have;  /* STATX_ATTR_DAX */
	bool blind;       /* mountinfo cannot be read */
	const char *super; /* of what is mounted now; NULL: nothing */
	char asked[128];
	int undone;
} kernel;

static const struct gb_mount_request request = { .source = "tag", .target = dir, .type = "virtiofs", .options = "ro" };

int __wrap_gb_mount_apply(const struct gb_mount_plan *plan, struct gb_mount_outcome *outcome, struct gb_err *err);
int __wrap_gb_mount_undo(const char *target, int flags, struct gb_err *err);
int __wrap_gb_mountinfo_foreach(const char *file, gb_mountinfo_fn *fn, void *arg);
int __wrap_gb_mountinfo_id_at(int dirfd, const char *path, int flags);
int __wrap_gb_mountinfo_is_root(int dirfd, const char *path, int flags);
int __wrap_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st);
int __real_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st);

int __wrap_gb_mount_apply(const struct gb_mount_plan *plan, struct gb_mount_outcome *outcome, struct gb_err *err)
{
	const struct gb_mount_step *step = &plan->steps[0];
	const char *value = NULL, *word;
	bool dax = gb_mountinfo_has(step->data, "dax", &value);

	(void)outcome;
	assert_int_equal(plan->count, 1);
	assert_int_equal(step->what, GB_MOUNT_NEW);
	assert_int_equal(step->set, MS_RDONLY); /* the other words are kept */
	assert_null(kernel.super);              /* nothing is mounted on top of what is there */
	word = !dax ? "none" : value;
	assert_non_null(word);
	(void)snprintf(kernel.asked + strlen(kernel.asked), sizeof kernel.asked - strlen(kernel.asked), "%s ", word);
	int code = strcmp(word, "always") == 0 ? kernel.always.code : strcmp(word, "inode") == 0 ? kernel.inode.code
		   : kernel.none.code;
	if (code)
		return gb_err_set(err, code, "dax=%s refused", word);
	kernel.super = strcmp(word, "always") == 0 ? kernel.always.super : strcmp(word, "inode") == 0 ? kernel.inode.super
		       : kernel.none.super;
	return 0;
}

int __wrap_gb_mount_undo(const char *target, int flags, struct gb_err *err)
{
	assert_string_equal(target, dir);
	assert_int_equal(flags, 0);
	kernel.undone++;
	if (kernel.undo_code)
		return gb_err_set(err, kernel.undo_code, "cannot unmount");
	kernel.super = NULL;
	return 0;
}

int __wrap_gb_mountinfo_foreach(const char *file, gb_mountinfo_fn *fn, void *arg)
{
	const struct gb_mountinfo other = { .id = 6, .target = "/", .type = "ext4", .super = "rw,dax=always" };
	const struct gb_mountinfo row = { .id = 7, .target = dir, .type = "virtiofs", .super = kernel.super };

	(void)file;
	if (kernel.blind)
		return -EMFILE;
	int r = fn(&other, arg);
	return r || !kernel.super ? r : fn(&row, arg);
}

int __wrap_gb_mountinfo_id_at(int dirfd, const char *path, int flags)
{
	(void)dirfd;
	(void)flags;
	return strcmp(path, dir) == 0 ? 7 : -ENOENT;
}

int __wrap_gb_mountinfo_is_root(int dirfd, const char *path, int flags)
{
	(void)dirfd;
	(void)path;
	(void)flags;
	return kernel.super != NULL;
}

int __wrap_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st)
{
	int r = __real_statx(dirfd, path, flags, mask, st);

	if (r == 0 && kernel.files_have && S_ISREG(st->stx_mode))
		st->stx_attributes |= 0x00200000; /* STATX_ATTR_DAX */
	return r;
}

static int begin(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/gb-unit-dax-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	gb_autobuf struct gb_buf problems = { 0 };

	(void)state;
	return gb_rmtree_inside(dir, &problems) == 0 && rmdir(dir) == 0 ? 0 : -1;
}

/* A kernel that does all it is asked, and a share that holds a file at this place. */
static void good_kernel(const char *file)
{
	char path[256];
	gb_autobuf struct gb_buf problems = { 0 };

	assert_int_equal(gb_rmtree_inside(dir, &problems), 0);
	memset(&kernel, 0, sizeof kernel);
	kernel.always.super = "ro,dax=always";
	kernel.inode.super = "ro,dax=inode";
	kernel.none.super = "ro";
	kernel.files_have = true;
	if (!file)
		return;
	(void)snprintf(path, sizeof path, "%s/%s", dir, file);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(gb_io_mkdirs(path), 0);
	*slash = '/';
	gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
}

static int best(enum gb_mount_dax *mode, struct gb_err *why)
{
	struct gb_err err = { 0 };
	int r = gb_mount_dax_best(&request, mode, why, &err);

	if (r < 0)
		assert_int_equal(err.code, -r); /* a failure has its message */
	return r;
}

static void what_holds_is_proven(void **state)
{
	static const struct { const char *super; bool files; const char *file; enum gb_mount_dax mode; int seen; bool holds; } table[] = {
		{ "ro,dax=always", true, "file", GB_DAX_ALWAYS, 1, true },
		{ "dax", true, "a/b/c/file", GB_DAX_ALWAYS, 1, true },          /* ext4 before 5.8 */
		{ "ro,dax=always,x", false, "file", GB_DAX_ALWAYS, 0, false },  /* says it, and does not */
		{ "ro,dax=always", false, NULL, GB_DAX_ALWAYS, -1, true },      /* no file speaks against it */
		{ "ro,dax=always", false, "a/b/c/d/e/file", GB_DAX_ALWAYS, -1, true }, /* too deep to be looked for */
		{ "ro,dax=inode", true, "file", GB_DAX_INODE, 1, false },
		{ "ro,dax=never", true, "file", GB_DAX_NONE, -1, false },
		{ "ro,dax=alwaysx", true, "file", GB_DAX_NONE, -1, false },
		{ "ro,nodax,daxx=always", true, "file", GB_DAX_NONE, -1, false },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(table); i++) {
		struct gb_mount_daxproof proof;

		good_kernel(table[i].file);
		kernel.super = table[i].super;
		kernel.files_have = table[i].files;
		assert_int_equal(gb_mount_dax_prove(dir, &proof), 0);
		if (proof.mode != table[i].mode || proof.file != table[i].seen || gb_mount_dax_holds(&proof) != table[i].holds)
			fail_msg("%s: mode %d, file %d", table[i].super, proof.mode, proof.file);
	}
	struct gb_mount_daxproof proof;
	kernel.super = NULL;
	assert_int_equal(gb_mount_dax_prove(dir, &proof), -EINVAL); /* no mount point */
	assert_int_equal(gb_mount_dax_prove("/elsewhere", &proof), -ENOENT);
	kernel.super = "ro";
	kernel.blind = true;
	assert_int_equal(gb_mount_dax_prove(dir, &proof), -EMFILE);
	assert_string_equal(gb_mount_dax_word(GB_DAX_ALWAYS), "always");
	assert_string_equal(gb_mount_dax_word(GB_DAX_INODE), "inode");
	assert_string_equal(gb_mount_dax_word(GB_DAX_NONE), "none");
}

static void the_best_that_the_device_has(void **state)
{
	enum gb_mount_dax mode = GB_DAX_NONE;
	struct gb_err why = { .code = 99, .msg = "of another share" };

	(void)state;
	good_kernel("file");
	assert_int_equal(best(&mode, &why), 0);
	assert_int_equal(mode, GB_DAX_ALWAYS);
	assert_string_equal(kernel.asked, "always ");
	assert_int_equal(why.code, 0);
	assert_string_equal(why.msg, "");

	good_kernel("file");
	kernel.always.code = EINVAL; /* no DAX window */
	assert_int_equal(best(&mode, &why), 0);
	assert_int_equal(mode, GB_DAX_INODE);
	assert_string_equal(kernel.asked, "always inode ");
	assert_string_equal(why.msg, "dax=always refused");

	good_kernel("file");
	kernel.always.code = EINVAL;
	kernel.inode.code = EOPNOTSUPP;
	assert_int_equal(best(&mode, &why), 0);
	assert_int_equal(mode, GB_DAX_NONE);
	assert_string_equal(kernel.asked, "always inode none ");
	assert_int_equal(kernel.undone, 0);

	/* What is said to be there is what shows, not what was asked for. */
	good_kernel("file");
	kernel.always.code = EINVAL;
	kernel.inode.super = "ro";
	assert_int_equal(best(&mode, &why), 0);
	assert_int_equal(mode, GB_DAX_NONE);
}

static void a_kernel_that_takes_the_word_and_does_nothing(void **state)
{
	enum gb_mount_dax mode = GB_DAX_ALWAYS;
	struct gb_err why = { 0 };

	(void)state;
	for (int files = 0; files < 2; files++) {
		good_kernel("file");
		if (files)
			kernel.files_have = false; /* the options say it, the files do not have it */
		else
			kernel.always.super = "ro";
		assert_int_equal(best(&mode, &why), 0);
		assert_int_equal(mode, GB_DAX_INODE);
		assert_string_equal(kernel.asked, "always inode ");
		assert_int_equal(kernel.undone, 1);
		assert_non_null(strstr(why.msg, "took dax=always and did not do it"));
	}
	/* It cannot be taken away again: nothing goes on top of it. */
	good_kernel("file");
	kernel.always.super = "ro";
	kernel.undo_code = EBUSY;
	assert_int_equal(best(&mode, &why), -EBUSY);
	assert_string_equal(kernel.asked, "always ");
	good_kernel("file");
	kernel.blind = true;
	assert_int_equal(best(&mode, &why), -EMFILE);
	assert_string_equal(kernel.asked, "always ");
}

static void what_no_word_heals_is_not_tried_again(void **state)
{
	enum gb_mount_dax mode = GB_DAX_NONE;
	struct gb_err why = { 0 };

	(void)state;
	good_kernel(NULL);
	kernel.always.code = ENODEV; /* the host has no such tag */
	assert_int_equal(best(&mode, &why), -ENODEV);
	assert_string_equal(kernel.asked, "always ");
	good_kernel(NULL);
	kernel.always.code = EINVAL;
	kernel.inode.code = EACCES;
	assert_int_equal(best(&mode, &why), -EACCES);
	assert_string_equal(kernel.asked, "always inode ");
	good_kernel(NULL);
	kernel.always.code = kernel.inode.code = kernel.none.code = EINVAL;
	assert_int_equal(best(&mode, &why), -EINVAL);
	assert_string_equal(kernel.asked, "always inode none ");
	assert_null(kernel.super);
}

static void required_means_proven(void **state)
{
	struct gb_err err = { 0 };

	(void)state;
	good_kernel("file");
	assert_int_equal(gb_mount_dax_require(&request, &err), 0);
	assert_non_null(kernel.super);
	assert_int_equal(kernel.undone, 0);

	good_kernel("file");
	kernel.always.code = EINVAL;
	assert_int_equal(gb_mount_dax_require(&request, &err), -EINVAL);
	assert_string_equal(err.msg, "DAX is required: dax=always refused");
	assert_string_equal(kernel.asked, "always ");
	assert_int_equal(gb_mount_dax_require(&request, NULL), -EINVAL);

	/* Nothing without DAX is left behind. */
	good_kernel("file");
	kernel.always.super = "ro";
	assert_int_equal(gb_mount_dax_require(&request, &err), -EOPNOTSUPP);
	assert_null(kernel.super);
	assert_non_null(strstr(err.msg, "the mount came without it (no dax=always among its options)"));
	good_kernel("file");
	kernel.files_have = false;
	assert_int_equal(gb_mount_dax_require(&request, &err), -EOPNOTSUPP);
	assert_null(kernel.super);
	assert_non_null(strstr(err.msg, "its options say dax=always, its files do not have it"));
	good_kernel("file");
	kernel.blind = true;
	assert_int_equal(gb_mount_dax_require(&request, &err), -EMFILE);
	assert_null(kernel.super);
	assert_non_null(strstr(err.msg, "cannot prove DAX on"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_holds_is_proven),
		cmocka_unit_test(the_best_that_the_device_has),
		cmocka_unit_test(a_kernel_that_takes_the_word_and_does_nothing),
		cmocka_unit_test(what_no_word_heals_is_not_tried_again),
		cmocka_unit_test(required_means_proven),
	};

	return cmocka_run_group_tests_name("dax", tests, begin, end);
}
