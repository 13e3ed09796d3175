/* SPDX-License-Identifier: MIT */
/* DAX mounts. */
#include "common/mount/dax.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/mount/apply.h"
#include "common/sys/mountinfo.h"

enum { DEPTH = 3, ENTRIES = 256 };

/* STATX_ATTR_DAX of the first regular file below the folder. *left bounds the work. -1: no file. */
static int first_file(int parent, const char *name, int depth, int *left)
{
	gb_autoclosedir DIR *dir = gb_dir_open(parent, name);
	const struct dirent *entry;

	while (dir && *left > 0 && gb_dir_next(dir, &entry) > 0) {
		int fd = dirfd(dir);
		struct statx st;

		(*left)--;
		if (statx(fd, entry->d_name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0 ||
		    st.stx_attributes & STATX_ATTR_MOUNT_ROOT)
			continue;
		if (S_ISREG(st.stx_mode))
			return !!(st.stx_attributes & STATX_ATTR_DAX);
		if (!S_ISDIR(st.stx_mode) || depth == 0)
			continue;
		int r = first_file(fd, entry->d_name, depth - 1, left);
		if (r >= 0)
			return r;
	}
	return -1;
}

struct wanted {
	int id;
	enum gb_mount_dax mode;
};

static int super_of(const struct gb_mountinfo *row, void *arg)
{
	struct wanted *w = arg;
	const char *value = NULL;

	if (row->id != w->id)
		return 0;
	w->mode = GB_DAX_NONE;
	if (gb_mountinfo_has(row->super, "dax", &value)) {
		size_t n = value ? strcspn(value, ",") : 0;

		if (!value || (n == 6 && memcmp(value, "always", 6) == 0))
			w->mode = GB_DAX_ALWAYS; /* ext4 before 5.8 says "dax" */
		else if (n == 5 && memcmp(value, "inode", 5) == 0)
			w->mode = GB_DAX_INODE;
	}
	return 1;
}

int gb_mount_dax_prove(const char *target, struct gb_mount_daxproof *ret_proof)
{
	struct wanted w = { .id = gb_mountinfo_id_at(AT_FDCWD, target, 0) };
	int root = gb_mountinfo_is_root(AT_FDCWD, target, 0), left = ENTRIES;

	if (w.id < 0 || root <= 0)
		return w.id < 0 ? w.id : root < 0 ? root : -EINVAL;
	int r = gb_mountinfo_foreach(NULL, super_of, &w);
	if (r <= 0)
		return r < 0 ? r : -EINVAL;
	/* Where no DAX is claimed no file has to bear it out. */
	gb_autoclose int fd = w.mode == GB_DAX_NONE ? -1 : open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*ret_proof = (struct gb_mount_daxproof){ .mode = w.mode, .file = fd < 0 ? -1 : first_file(fd, ".", DEPTH, &left) };
	return 0;
}

bool gb_mount_dax_holds(const struct gb_mount_daxproof *proof)
{
	return proof->mode == GB_DAX_ALWAYS && proof->file != 0;
}

const char *gb_mount_dax_word(enum gb_mount_dax mode)
{
	return mode == GB_DAX_ALWAYS ? "always" : mode == GB_DAX_INODE ? "inode" : "none";
}

static int add_options(struct gb_mount_options *to, const char *text, const char *dax, struct gb_err *err)
{
	int r = gb_mount_options_add(to, text, err);

	if (r < 0)
		return r;
	to->dax_require = false;
	return gb_mount_options_add(to, dax, err);
}

static int with_word(const struct gb_mount_request *request, const char *dax, struct gb_err *err)
{
	gb_automountoptions struct gb_mount_options options = { 0 };
	gb_automountplan struct gb_mount_plan plan = { 0 };
	int r = add_options(&options, request->options, dax, err);

	if (r == 0)
		r = gb_mount_plan_parsed(&plan, request, &options, err);
	return r < 0 ? r : gb_mount_apply(&plan, NULL, err);
}

int gb_mount_dax_require(const struct gb_mount_request *request, struct gb_err *err)
{
	struct gb_mount_daxproof proof = { 0 };

	int r = with_word(request, "dax=always", err);
	if (r < 0)
		return err ? gb_err_wrap(err, "DAX is required") : r;
	r = gb_mount_dax_prove(request->target, &proof);
	if (r == 0 && gb_mount_dax_holds(&proof))
		return 0;
	(void)gb_mount_undo(request->target, 0, NULL);
	if (r < 0)
		return gb_err_sys(err, -r, "cannot prove DAX on %s", request->target);
	return gb_err_set(err, EOPNOTSUPP, "cannot mount %s on %s: DAX is required, and the mount came without it (%s)",
			  request->source, request->target, proof.mode == GB_DAX_ALWAYS
			  ? "its options say dax=always, its files do not have it" : "no dax=always among its options");
}

int gb_mount_dax_best(const struct gb_mount_request *request, enum gb_mount_dax *ret_mode, struct gb_err *why,
		      struct gb_err *err)
{
	static const struct { const char *word; enum gb_mount_dax mode; } tries[] = {
		{ "dax=always", GB_DAX_ALWAYS }, { "dax=inode", GB_DAX_INODE }, { NULL, GB_DAX_NONE },
	};
	int r = 0;

	why->code = 0;
	why->msg[0] = '\0';
	for (size_t i = 0; i < GB_ARRAY_LEN(tries); i++) {
		struct gb_mount_daxproof proof = { 0 };
		struct gb_err *to = i == 0 ? why : err;

		r = with_word(request, tries[i].word, to);
		/* Only what a change of the word can heal is tried again. */
		if (r < 0 && r != -EINVAL && r != -EOPNOTSUPP) {
			if (to != err && err)
				*err = *why;
			return r;
		}
		if (r < 0)
			continue;
		r = gb_mount_dax_prove(request->target, &proof);
		if (r < 0) {
			(void)gb_mount_undo(request->target, 0, NULL);
			return gb_err_sys(err, -r, "cannot read the options of %s back", request->target);
		}
		if (tries[i].mode == GB_DAX_ALWAYS && !gb_mount_dax_holds(&proof)) {
			(void)gb_err_set(why, EOPNOTSUPP, "the kernel took dax=always and did not do it");
			r = gb_mount_undo(request->target, 0, err);
			if (r < 0)
				return r;
			continue;
		}
		*ret_mode = proof.mode;
		return 0;
	}
	return r;
}
