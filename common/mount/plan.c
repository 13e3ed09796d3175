/* SPDX-License-Identifier: MIT */
/* Mount plans. */
#include "common/mount/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

static void step_free(struct gb_mount_step *step)
{
	free(step->source);
	free(step->target);
	free(step->type);
	free(step->data);
}

void gb_mount_plan_free(struct gb_mount_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		step_free(&plan->steps[i]);
	free(plan->steps);
	*plan = (struct gb_mount_plan){ 0 };
}

static char *copy(const char *text, bool *failed)
{
	char *kept = text ? strdup(text) : NULL;

	if (text && !kept)
		*failed = true;
	return kept;
}

/* Copies the strings of step. */
static int append(struct gb_mount_plan *plan, const struct gb_mount_step *step, struct gb_err *err)
{
	struct gb_mount_step *grown = reallocarray(plan->steps, plan->count + 1, sizeof *grown);
	struct gb_mount_step own = *step;
	bool failed = false;

	if (!grown)
		return gb_err_sys(err, ENOMEM, "%s", step->target);
	plan->steps = grown;
	own.source = copy(step->source, &failed);
	own.target = copy(step->target, &failed);
	own.type = copy(step->type, &failed);
	own.data = copy(step->data, &failed);
	if (failed) {
		step_free(&own);
		return gb_err_sys(err, ENOMEM, "%s", step->target);
	}
	plan->steps[plan->count++] = own;
	return 0;
}

/* Whether a list has the word or word=VALUE; the value's start and length. */
static bool data_has(const char *data, const char *name, const char **ret_value, size_t *ret_len)
{
	size_t pos = 0, n, len = strlen(name);
	const char *w;
	bool found = false;

	while ((w = gb_mount_word(data, &pos, &n))) {
		if (n < len || memcmp(w, name, len) != 0 || (n > len && w[len] != '='))
			continue;
		*ret_value = n > len ? w + len + 1 : NULL;
		*ret_len = n > len ? n - len - 1 : 0;
		found = true;
	}
	return found;
}

int gb_mount_overlay_check(const char *data, struct gb_err *err)
{
	const char *lower = NULL, *upper = NULL, *work = NULL, *value;
	size_t lower_len = 0, upper_len = 0, work_len = 0, len;

	if (!data || !*data)
		return gb_err_set(err, EINVAL, "overlay: no options: at least lowerdir=FOLDER is needed");
	bool plus = data_has(data, "lowerdir+", &value, &len) || data_has(data, "datadir+", &value, &len);
	if (!data_has(data, "lowerdir", &lower, &lower_len) && !plus)
		return gb_err_set(err, EINVAL, "overlay: no lowerdir among the options");
	bool parts = plus;
	for (size_t i = 0; lower && i < lower_len; i++)
		parts = parts || lower[i] != ':';
	if (!parts)
		return gb_err_set(err, EINVAL, "overlay: lowerdir names no folder");
	bool has_upper = data_has(data, "upperdir", &upper, &upper_len);
	bool has_work = data_has(data, "workdir", &work, &work_len);
	if (has_upper && !has_work)
		return gb_err_set(err, EINVAL, "overlay: upperdir without workdir");
	if (has_work && !has_upper)
		return gb_err_set(err, EINVAL, "overlay: workdir without upperdir");
	if (has_upper && upper_len == 0)
		return gb_err_set(err, EINVAL, "overlay: upperdir names no folder");
	if (has_work && work_len == 0)
		return gb_err_set(err, EINVAL, "overlay: workdir names no folder");
	return 0;
}

/* Drops the empty parts of lowerdir ("a::b:"), as the reference does and Linux does not. */
static int overlay_tidy(const char *data, struct gb_buf *out)
{
	size_t pos = 0, n;
	const char *w;

	while ((w = gb_mount_word(data, &pos, &n))) {
		if (out->len)
			(void)gb_buf_str(out, ",");
		if (n < 9 || memcmp(w, "lowerdir=", 9) != 0) {
			(void)gb_buf_add(out, w, n);
			continue;
		}
		(void)gb_buf_str(out, "lowerdir=");
		bool data_only = false;
		for (size_t i = 9; i + 1 < n; i++)
			data_only = data_only || (w[i] == ':' && w[i + 1] == ':' && i > 9 && i + 2 < n);
		if (data_only) { /* "lower::data" is Linux's data-only layer: not ours to change */
			(void)gb_buf_add(out, w + 9, n - 9);
			continue;
		}
		size_t from = 9;
		while (from < n && w[from] == ':')
			from++;
		while (n > from && w[n - 1] == ':' && !(n >= 2 && w[n - 2] == '\\'))
			n--;
		(void)gb_buf_add(out, w + from, n - from);
	}
	return out->failed ? -ENOMEM : 0;
}

static int check_paths(const struct gb_mount_request *q, struct gb_err *err)
{
	if (!q->target || !*q->target)
		return gb_err_set(err, EINVAL, "no target");
	if (strlen(q->target) >= PATH_MAX)
		return gb_err_sys(err, ENAMETOOLONG, "%s", q->target);
	if (q->source && strlen(q->source) >= PATH_MAX)
		return gb_err_sys(err, ENAMETOOLONG, "%s", q->source);
	return 0;
}

static unsigned long one_propagation(unsigned long flags)
{
	flags &= GB_MOUNT_PROPAGATIONS;
	return flags & (flags - 1) ? 0 : flags;
}

static int add_propagation(struct gb_mount_plan *plan, const struct gb_mount_request *q, unsigned long flags,
			   struct gb_err *err)
{
	struct gb_mount_step step = { .what = GB_MOUNT_PROPAGATE, .target = (char *)(uintptr_t)q->target,
				      .set = one_propagation(flags), .recursive = flags & MS_REC };

	if (!step.set)
		return gb_err_set(err, EINVAL, "%s: only one of shared, private, slave and unbindable", q->target);
	return append(plan, &step, err);
}

static int add_remount(struct gb_mount_plan *plan, struct gb_mount_step *step, const struct gb_mount_options *o,
		       bool bind, unsigned long set, unsigned long clear, struct gb_err *err)
{
	const size_t before = plan->count;
	int r = 0;

	/* What was asked for recursively is a thing of mounts, never of the file system. */
	unsigned long super_set = set & GB_MOUNT_SUPERS & ~o->rec_set;
	unsigned long super_clear = clear & GB_MOUNT_SUPERS & ~o->rec_clear;

	if (!bind && (super_set || super_clear || o->data.len)) {
		step->what = GB_MOUNT_RECONFIGURE;
		step->set = super_set;
		step->clear = super_clear;
		step->rec_set = step->rec_clear = 0;
		step->data = (char *)(uintptr_t)gb_buf_text(&o->data);
		r = append(plan, step, err);
	}
	if (r == 0 && ((set | clear) & GB_MOUNT_ATTRS)) {
		step->what = GB_MOUNT_SETATTR;
		step->data = NULL;
		step->set = set & GB_MOUNT_ATTRS;
		step->clear = clear & GB_MOUNT_ATTRS;
		step->rec_set = o->rec_set;
		step->rec_clear = o->rec_clear;
		r = append(plan, step, err);
	}
	/* Nothing changes, which is only done where there is a mount (M5). */
	if (r == 0 && plan->count == before) {
		step->what = bind ? GB_MOUNT_SETATTR : GB_MOUNT_RECONFIGURE;
		r = append(plan, step, err);
	}
	return r;
}

/* What does not go together, so that no option is passed over in silence. work: which of MS_REMOUNT, MS_BIND, MS_MOVE. */
static int check_work(const struct gb_mount_request *q, const struct gb_mount_options *o, unsigned long work, unsigned long set,
		      unsigned long clear, struct gb_err *err)
{
	if (work & MS_MOVE && work != MS_MOVE)
		return gb_err_set(err, EINVAL, "%s: move goes with neither bind nor remount", q->target);
	if ((work & MS_MOVE) && (set || clear || o->data.len))
		return gb_err_set(err, EINVAL, "%s: a move changes no options: move first, then remount", q->target);
	if ((work & MS_BIND) && o->data.len)
		return gb_err_set(err, EINVAL, "option %.*s: means nothing to a bind, which has the file system of its source",
				  (int)(o->data.len < 512 ? o->data.len : 512), o->data.data);
	if ((work & MS_BIND) && set & GB_MOUNT_SUPERS & ~MS_RDONLY)
		return gb_err_set(err, EINVAL, "%s: sync, dirsync, mand, lazytime, iversion and silent belong to the file "
				  "system, not to a bind", q->target);
	if (o->dax_require && work)
		return gb_err_set(err, EINVAL, "%s: dax=require is for a new mount", q->target);
	return 0;
}

static int add_new(struct gb_mount_plan *plan, const struct gb_mount_request *q, const struct gb_mount_options *o,
		   struct gb_mount_step *step, struct gb_err *err)
{
	gb_autobuf struct gb_buf tidy = { 0 };

	if (!q->type || !*q->type)
		return gb_err_set(err, EINVAL, "%s: no file system type", q->target);
	step->what = GB_MOUNT_NEW;
	if (!step->source)
		step->source = step->type;
	step->data = (char *)(uintptr_t)gb_buf_text(&o->data);
	if (strcmp(q->type, "overlay") == 0) {
		int r = gb_mount_overlay_check(step->data, err);
		if (r < 0)
			return err ? gb_err_wrap(err, "%s", q->target) : r;
		if (overlay_tidy(step->data, &tidy) < 0)
			return gb_err_sys(err, ENOMEM, "%s", q->target);
		step->data = tidy.data;
	}
	return append(plan, step, err);
}

int gb_mount_plan_parsed(struct gb_mount_plan *plan, const struct gb_mount_request *q,
			 const struct gb_mount_options *o, struct gb_err *err)
{
	unsigned long set = (o->set & ~q->flags) | q->flags, clear = o->clear & ~q->flags;
	unsigned long propagation = o->propagation | (q->flags & GB_MOUNT_PROPAGATIONS);
	unsigned long work = set & (MS_REMOUNT | MS_BIND | MS_MOVE);
	struct gb_mount_step step = { .target = (char *)(uintptr_t)q->target, .source = (char *)(uintptr_t)q->source,
				      .type = (char *)(uintptr_t)q->type, .recursive = set & MS_REC,
				      .rec_set = o->rec_set, .rec_clear = o->rec_clear };
	int r = check_paths(q, err);

	if (r < 0)
		return r;
	if (propagation && set & MS_REC && !o->propagation)
		propagation |= MS_REC;
	set &= ~(GB_MOUNT_PROPAGATIONS | MS_REMOUNT | MS_BIND | MS_MOVE | MS_REC);
	r = check_work(q, o, work, set, clear, err);
	if (r < 0)
		return r;
	/* Made only once the file system is there: a failed mount leaves no empty folder behind. */
	if (q->mkdir || o->mkdir) {
		step.mkdir = true;
		step.mode = o->mkdir ? o->mkdir_mode : 0755;
	}
	if (work & MS_REMOUNT) {
		r = add_remount(plan, &step, o, work & MS_BIND, set, clear, err);
	} else if (work) {
		if (!q->source)
			return gb_err_set(err, EINVAL, "%s: no source", q->target);
		step.what = work & MS_MOVE ? GB_MOUNT_MOVE_TREE : GB_MOUNT_TREE;
		step.type = NULL;
		step.set = set & GB_MOUNT_ATTRS;
		step.clear = clear & GB_MOUNT_ATTRS;
		r = append(plan, &step, err);
	} else if (q->type || !propagation) {
		step.set = set;
		step.clear = clear;
		r = add_new(plan, q, o, &step, err);
	}
	if (r == 0 && propagation)
		r = add_propagation(plan, q, propagation, err);
	return r;
}

/* Words that only mount(2) can say: flags fsconfig(2) has no word for, values beyond its limit. */
static bool needs_mount2(const struct gb_mount_step *step)
{
	size_t pos = 0, n;
	const char *w;

	if (step->set & (MS_SILENT | MS_I_VERSION) || (step->source && strlen(step->source) >= GB_MOUNT_VALUE_MAX))
		return true;
	while (step->data && (w = gb_mount_word(step->data, &pos, &n))) {
		const char *eq = memchr(w, '=', n);
		size_t key = eq ? (size_t)(eq - w) : n;

		if (key >= GB_MOUNT_VALUE_MAX || n - key > GB_MOUNT_VALUE_MAX)
			return true;
	}
	return false;
}

struct visit {
	gb_mount_call_fn *fn;
	void *arg;
};

static int say(const struct visit *v, const struct gb_mount_call call)
{
	return v->fn(&call, v->arg);
}

/* fsconfig(2) for each word. */
static int configure(const struct visit *v, const struct gb_mount_step *step)
{
	static const struct { unsigned long flag; const char *on, *off; } supers[] = {
		{ MS_RDONLY, "ro", "rw" }, { MS_SYNCHRONOUS, "sync", "async" }, { MS_DIRSYNC, "dirsync", NULL },
		{ MS_MANDLOCK, "mand", "nomand" }, { MS_LAZYTIME, "lazytime", "nolazytime" },
	};
	bool again = step->what == GB_MOUNT_RECONFIGURE;
	size_t pos = 0, n;
	const char *w;
	int r = 0;

	for (size_t i = 0; r == 0 && i < GB_ARRAY_LEN(supers); i++) {
		const char *word = step->set & supers[i].flag ? supers[i].on
				   : again && step->clear & supers[i].flag ? supers[i].off : NULL;
		if (word)
			r = say(v, (struct gb_mount_call){ .id = GB_CALL_FSCONFIG, .a = word });
	}
	while (r == 0 && step->data && (w = gb_mount_word(step->data, &pos, &n))) {
		char key[GB_MOUNT_VALUE_MAX], value[GB_MOUNT_VALUE_MAX];
		const char *eq = memchr(w, '=', n);
		size_t key_len = eq ? (size_t)(eq - w) : n, len = eq ? n - key_len - 1 : 0;

		memcpy(key, w, key_len); /* needs_mount2() has seen that both fit */
		key[key_len] = '\0';
		if (eq) {
			const char *from = eq + 1;
			if (len >= 2 && from[0] == '"' && from[len - 1] == '"') {
				from++;
				len -= 2;
			}
			memcpy(value, from, len);
			value[len] = '\0';
		}
		r = say(v, (struct gb_mount_call){ .id = GB_CALL_FSCONFIG, .a = key, .b = eq ? value : NULL });
	}
	return r;
}

/* The attributes to clear: the access-time ones are one field of several values, which is always set as a whole. */
static struct gb_mount_call attrs(enum gb_mount_callid id, const char *path, unsigned long set, unsigned long clear,
				  bool recursive)
{
	struct gb_mount_call call = { .id = id, .a = path, .flags = recursive ? MS_REC : 0, .set = gb_mount_attr(set) };

	call.clear = gb_mount_attr(clear & ~GB_MOUNT_ATIMES) & ~call.set;
	if ((set | clear) & GB_MOUNT_ATIMES)
		call.clear |= MOUNT_ATTR__ATIME;
	return call;
}

static int set_attrs(const struct visit *v, const struct gb_mount_step *step, enum gb_mount_callid id)
{
	unsigned long set = step->set & ~step->rec_set, clear = step->clear & ~step->rec_clear;
	int r = 0;

	if (step->rec_set | step->rec_clear)
		r = say(v, attrs(id, step->target, step->rec_set, step->rec_clear, true));
	if (r == 0 && ((set & GB_MOUNT_ATTRS) | (clear & GB_MOUNT_ATTRS)))
		r = say(v, attrs(id, step->target, set & GB_MOUNT_ATTRS, clear & GB_MOUNT_ATTRS, false));
	return r;
}

static int make_target(const struct visit *v, const struct gb_mount_step *step)
{
	return step->mkdir ? say(v, (struct gb_mount_call){ .id = GB_CALL_MKDIR, .a = step->target, .flags = step->mode }) : 0;
}

static int attach(const struct visit *v, const struct gb_mount_step *step)
{
	int r = make_target(v, step);

	return r != 0 ? r : say(v, (struct gb_mount_call){ .id = GB_CALL_ATTACH, .a = step->target });
}

int gb_mount_calls(const struct gb_mount_step *step, gb_mount_call_fn *fn, void *arg)
{
	const struct visit v = { fn, arg };
	const unsigned long set = step->set;
	int r;

	switch (step->what) {
	case GB_MOUNT_NEW:
		if (needs_mount2(step)) {
			r = make_target(&v, step);
			return r != 0 ? r : say(&v, (struct gb_mount_call){ .id = GB_CALL_MOUNT, .a = step->source,
									    .b = step->target, .c = step->type,
									    .d = step->data, .flags = set });
		}
		r = say(&v, (struct gb_mount_call){ .id = GB_CALL_FSOPEN, .a = step->type });
		if (r == 0)
			r = say(&v, (struct gb_mount_call){ .id = GB_CALL_FSCONFIG, .a = "source", .b = step->source });
		if (r == 0)
			r = configure(&v, step);
		if (r == 0)
			r = say(&v, (struct gb_mount_call){ .id = GB_CALL_CREATE });
		if (r == 0)
			r = say(&v, (struct gb_mount_call){ .id = GB_CALL_FSMOUNT, .set = gb_mount_attr(set) });
		return r != 0 ? r : attach(&v, step);
	case GB_MOUNT_TREE:
		r = say(&v, (struct gb_mount_call){ .id = GB_CALL_OPEN_TREE, .a = step->source,
						    .flags = step->recursive ? MS_REC : 0 });
		/* Before it is attached: nobody ever sees the copy writable. */
		if (r == 0)
			r = set_attrs(&v, step, GB_CALL_SETATTR_TREE);
		return r != 0 ? r : attach(&v, step);
	case GB_MOUNT_MOVE_TREE:
		r = make_target(&v, step);
		return r != 0 ? r : say(&v, (struct gb_mount_call){ .id = GB_CALL_MOVE, .a = step->source, .b = step->target });
	case GB_MOUNT_RECONFIGURE:
		if (needs_mount2(step))
			return say(&v, (struct gb_mount_call){ .id = GB_CALL_MOUNT, .b = step->target, .d = step->data,
							       .flags = MS_REMOUNT | set });
		r = say(&v, (struct gb_mount_call){ .id = GB_CALL_FSPICK, .a = step->target });
		if (r == 0)
			r = configure(&v, step);
		return r != 0 ? r : say(&v, (struct gb_mount_call){ .id = GB_CALL_RECONFIGURE });
	case GB_MOUNT_SETATTR:
		/* mount_setattr(2) with nothing to do does not even look at the path. */
		if (!(set | step->clear | step->rec_set | step->rec_clear))
			return say(&v, (struct gb_mount_call){ .id = GB_CALL_FSPICK, .a = step->target });
		return set_attrs(&v, step, GB_CALL_SETATTR_PATH);
	case GB_MOUNT_PROPAGATE:
		return say(&v, (struct gb_mount_call){ .id = GB_CALL_MOUNT, .b = step->target,
						       .flags = set | (step->recursive ? MS_REC : 0) });
	}
	return -EINVAL;
}

/* Quotes are escaped, so that a line is one word a shell or a C compiler would read. */
static void quoted(struct gb_buf *buf, const char *text)
{
	if (!text) {
		(void)gb_buf_str(buf, "NULL");
		return;
	}
	(void)gb_buf_str(buf, "\"");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			(void)gb_buf_fmt(buf, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			(void)gb_buf_fmt(buf, "\\%03o", c);
		else
			(void)gb_buf_add(buf, text, 1);
	}
	(void)gb_buf_str(buf, "\"");
}

/* A call, as strace(1) would show it. */
static int call_text(struct gb_buf *buf, const struct gb_mount_call *call)
{
	const char *rec = call->flags & MS_REC ? "|AT_RECURSIVE" : "";

	switch (call->id) {
	case GB_CALL_MKDIR:
		(void)gb_buf_str(buf, "mkdir(");
		quoted(buf, call->a);
		return gb_buf_fmt(buf, ", %04lo)", call->flags);
	case GB_CALL_FSOPEN:
		(void)gb_buf_str(buf, "fsopen(");
		quoted(buf, call->a);
		return gb_buf_str(buf, ", FSOPEN_CLOEXEC)");
	case GB_CALL_FSPICK:
		(void)gb_buf_str(buf, "fspick(AT_FDCWD, ");
		quoted(buf, call->a);
		return gb_buf_str(buf, ", FSPICK_CLOEXEC)");
	case GB_CALL_FSCONFIG:
		(void)gb_buf_fmt(buf, "fsconfig(fs, %s, ", call->b ? "FSCONFIG_SET_STRING" : "FSCONFIG_SET_FLAG");
		quoted(buf, call->a);
		(void)gb_buf_str(buf, ", ");
		quoted(buf, call->b);
		return gb_buf_str(buf, ", 0)");
	case GB_CALL_CREATE:
		return gb_buf_str(buf, "fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)");
	case GB_CALL_RECONFIGURE:
		return gb_buf_str(buf, "fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)");
	case GB_CALL_FSMOUNT:
		(void)gb_buf_str(buf, "fsmount(fs, FSMOUNT_CLOEXEC, ");
		(void)gb_mount_attr_text(buf, call->set);
		return gb_buf_str(buf, ")");
	case GB_CALL_OPEN_TREE:
		(void)gb_buf_str(buf, "open_tree(AT_FDCWD, ");
		quoted(buf, call->a);
		return gb_buf_fmt(buf, ", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC%s)", rec);
	case GB_CALL_SETATTR_TREE:
	case GB_CALL_SETATTR_PATH:
		(void)gb_buf_str(buf, call->id == GB_CALL_SETATTR_TREE ? "mount_setattr(tree, " : "mount_setattr(AT_FDCWD, ");
		quoted(buf, call->id == GB_CALL_SETATTR_TREE ? "" : call->a);
		(void)gb_buf_fmt(buf, ", %s%s, {set=", call->id == GB_CALL_SETATTR_TREE ? "AT_EMPTY_PATH" : "0", rec);
		(void)gb_mount_attr_text(buf, call->set);
		(void)gb_buf_str(buf, ", clr=");
		(void)gb_mount_attr_text(buf, call->clear);
		return gb_buf_str(buf, "})");
	case GB_CALL_ATTACH:
		(void)gb_buf_str(buf, "move_mount(tree, \"\", AT_FDCWD, ");
		quoted(buf, call->a);
		return gb_buf_str(buf, ", MOVE_MOUNT_F_EMPTY_PATH)");
	case GB_CALL_MOVE:
		(void)gb_buf_str(buf, "move_mount(AT_FDCWD, ");
		quoted(buf, call->a);
		(void)gb_buf_str(buf, ", AT_FDCWD, ");
		quoted(buf, call->b);
		return gb_buf_str(buf, ", 0)");
	case GB_CALL_MOUNT:
		(void)gb_buf_str(buf, "mount(");
		quoted(buf, call->a);
		(void)gb_buf_str(buf, ", ");
		quoted(buf, call->b);
		(void)gb_buf_str(buf, ", ");
		quoted(buf, call->c);
		(void)gb_buf_str(buf, ", ");
		(void)gb_mount_flags_text(buf, call->flags);
		(void)gb_buf_str(buf, ", ");
		quoted(buf, call->d);
		return gb_buf_str(buf, ")");
	}
	return -EINVAL;
}

static int text_line(const struct gb_mount_call *call, void *arg)
{
	(void)call_text(arg, call);
	(void)gb_buf_str(arg, "\n");
	return 0;
}

int gb_mount_plan_text(struct gb_buf *buf, const struct gb_mount_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		(void)gb_mount_calls(&plan->steps[i], text_line, buf);
	return buf->failed ? -ENOMEM : 0;
}

void gb_mount_step_text(const struct gb_mount_step *s, char *text, size_t size)
{
	switch (s->what) {
	case GB_MOUNT_NEW: (void)snprintf(text, size, "mount %s on %s", s->source, s->target); break;
	case GB_MOUNT_TREE: (void)snprintf(text, size, "bind %s to %s", s->source, s->target); break;
	case GB_MOUNT_MOVE_TREE: (void)snprintf(text, size, "move %s to %s", s->source, s->target); break;
	case GB_MOUNT_RECONFIGURE:
	case GB_MOUNT_SETATTR: (void)snprintf(text, size, "remount %s", s->target); break;
	case GB_MOUNT_PROPAGATE: (void)snprintf(text, size, "change the propagation of %s", s->target); break;
	}
}
