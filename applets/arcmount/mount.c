/* SPDX-License-Identifier: MIT */
/* arcmount mount, remount, bind, move, propagate, overlay. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "applets/arcmount/arcmount.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/mount/apply.h"
#include "common/mount/dax.h"
#include "common/mount/loop.h"
#include "common/mount/offer.h"
#include "common/mount/table.h"
#include "common/mount/tag.h"
#include "common/sys/mountinfo.h"

enum { OPT_DRY_RUN = GB_OPT_LONG, OPT_LOWER, OPT_UPPER, OPT_WORK, OPT_MAKE };

#define DRY_RUN ARCMOUNT_DRY_RUN(OPT_DRY_RUN)
#define FAKE GB_OPT('f', "fake", "", "do all but the mount itself")
#define WORDS GB_OPT('o', "options", "OPTIONS", "mount options, separated by commas; may be repeated")
#define MKDIR GB_OPT('m', "mkdir", "", "make the target directory, with parents, if it is absent")

const struct gb_opt arcmount_mount_opts[] = {
	GB_OPT('t', "types", "TYPE", "the file system's type, or a list of them; with \"no\" in front none of the list"),
	WORDS,
	GB_OPT('r', "read-only", "", "as -o ro"),
	GB_OPT('w', "rw", "", "as -o rw: a write-protected source is an error"),
	GB_OPT('B', "bind", "", "as -o bind"),
	GB_OPT('R', "rbind", "", "as -o rbind"),
	GB_OPT('M', "move", "", "as -o move"),
	GB_OPT(OPT_MAKE + 0, "make-shared", "", "mounts below go both ways"),
	GB_OPT(OPT_MAKE + 1, "make-private", "", "mounts below go no way"),
	GB_OPT(OPT_MAKE + 2, "make-slave", "", "mounts below come in, and do not go out"),
	GB_OPT(OPT_MAKE + 3, "make-unbindable", "", "private, and cannot be bound"),
	GB_OPT(OPT_MAKE + 4, "make-rshared", "", "make-shared for all mounts below, too"),
	GB_OPT(OPT_MAKE + 5, "make-rprivate", "", "make-private for all mounts below, too"),
	GB_OPT(OPT_MAKE + 6, "make-rslave", "", "make-slave for all mounts below, too"),
	GB_OPT(OPT_MAKE + 7, "make-runbindable", "", "make-unbindable for all mounts below, too"),
	MKDIR,
	GB_OPT('a', "all", "", "mount all of the table, but those with noauto"),
	GB_OPT('T', "fstab", "FILE", "the table instead of /etc/fstab"),
	GB_OPT('O', "test-opts", "OPTIONS", "with -a: only entries that have these options"),
	GB_OPT('L', "label", "LABEL", "the source, by the label of its file system"),
	GB_OPT('U', "uuid", "UUID", "the source, by the UUID of its file system"),
	GB_OPT('n', "no-mtab", "", "accepted: there is no mtab to write, the kernel keeps it"),
	ARCMOUNT_INTERNAL,
	FAKE,
	DRY_RUN,
	ARCMOUNT_VERBOSE,
	{ 0 },
};

const struct gb_opt arcmount_remount_opts[] = { WORDS, DRY_RUN, ARCMOUNT_VERBOSE, { 0 } };
const struct gb_opt arcmount_bind_opts[] = {
	GB_OPT('R', "recursive", "", "with all mounts below the source"), WORDS, MKDIR, DRY_RUN, ARCMOUNT_VERBOSE, { 0 },
};
const struct gb_opt arcmount_plain_opts[] = { DRY_RUN, { 0 } };
const struct gb_opt arcmount_recursive_opts[] = {
	GB_OPT('R', "recursive", "", "for all mounts below, too"), DRY_RUN, { 0 },
};
const struct gb_opt arcmount_overlay_opts[] = {
	GB_OPT(OPT_LOWER, "lower", "A[:B...]", "the lower folders, the topmost first"),
	GB_OPT(OPT_UPPER, "upper", "FOLDER", "the folder that takes what is written; without it the overlay is read-only"),
	GB_OPT(OPT_WORK, "work", "FOLDER", "an empty folder beside the upper one, for the kernel's use"),
	WORDS, MKDIR, DRY_RUN, ARCMOUNT_VERBOSE, { 0 },
};

static int print_plan(const struct gb_mount_plan *plan, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };

	if (gb_mount_plan_text(&text, plan) < 0)
		return gb_err_sys(err, ENOMEM, "plan");
	(void)fputs(gb_buf_text(&text), stdout);
	return 0;
}

/* A remount that the kernel calls a success may have changed nothing: virtiofs does so with its DAX mode. */
static int prove_remount(const struct arcmount_job *job, const struct gb_mount_options *o, struct gb_err *err)
{
	const char *value = NULL;
	struct gb_mount_daxproof proof;

	if (!gb_mountinfo_has(gb_buf_text(&o->data), "dax", &value))
		return 0;
	int r = gb_mount_dax_prove(job->target, &proof);
	if (r < 0)
		return gb_err_sys(err, -r, "cannot read the options of %s back", job->target);
	const char *has = gb_mount_dax_word(proof.mode), *wanted = value ? value : "always";
	size_t n = strcspn(wanted, ",");
	if (n == 5 && memcmp(wanted, "never", 5) == 0) {
		wanted = "none";
		n = 4;
	}
	if (strlen(has) != n || memcmp(has, wanted, n) != 0)
		return gb_err_set(err, EOPNOTSUPP, "cannot remount %s: the kernel reported success and changed nothing: dax=%.*s was "
				  "asked for, and it has %s%s (unmount it and mount it again)", job->target, (int)n, wanted,
				  proof.mode == GB_DAX_NONE ? "no DAX" : "dax=", proof.mode == GB_DAX_NONE ? "" : has);
	if (proof.mode == GB_DAX_ALWAYS && proof.file == 0)
		return gb_err_set(err, EOPNOTSUPP, "cannot remount %s: its options say dax=always, and its files do not have it",
				  job->target);
	return 0;
}

static int absent(const char *source)
{
	struct stat st;

	return stat(source, &st) < 0 && (errno == ENOENT || errno == ENXIO);
}

/* Whether the source has to be asked: of a list of types ("ext4,xfs") it has one. */
static bool is_open(const char *type)
{
	return !type || strcmp(type, "auto") == 0 || strchr(type, ',');
}

/* What nofail excuses: a source that is not there, be it a path, a label or a tag; not a type that the kernel does not know. */
static bool excused(const struct arcmount_job *job, int r)
{
	return (job->source && job->source[0] == '/' && absent(job->source)) ||
	       (r == -ENODEV && (is_open(job->type) || gb_mount_type(job->type) != GB_TYPE_UNKNOWN));
}

/* The type that the source holds; `wanted` is what was asked for, an open one. */
static int find_type(const char *source, const char *wanted, char *type, size_t size, struct gb_err *err)
{
	int r = gb_mount_tag_type(source, type, size, err);

	/* A label of another layer is no file system. */
	if (r == 0 && (strcmp(type, "swap") == 0 || strcmp(type, "crypto_LUKS") == 0 || strstr(type, "_member")))
		return gb_err_set(err, EINVAL, "source %s holds no file system but %s", source, type);
	if (r == 0 && wanted && strchr(wanted, ',') && !gb_mount_type_match(type, wanted))
		return gb_err_set(err, EINVAL, "source %s holds %s, which is not among the types %s", source, type, wanted);
	return r;
}

enum { LOOP_NAME = 64 };

/* q->source, a file, becomes a loop device, which *ret_fd keeps until the mount does; for --dry-run and --fake, but its name.
 * 0 or -errno. */
static int use_loop(const struct arcmount_job *job, struct gb_mount_options *o, struct gb_mount_request *q, char loop[LOOP_NAME],
		    int *ret_fd, bool *ret_read_only, struct gb_err *err)
{
	const struct gb_mount_loop want = { .file = q->source, .device = o->loop_device, .offset = o->loop_offset,
					    .size = o->loop_size, .read_only = o->set & MS_RDONLY };
	bool read_only = want.read_only;

	if (job->dry_run || job->fake) {
		q->source = want.device && *want.device ? want.device : "/dev/loopN";
		if (job->dry_run)
			printf("ioctl(\"%s\", LOOP_CONFIGURE, \"%s\")\n", q->source, want.file);
		return 0;
	}
	int fd = gb_mount_loop_attach(&want, loop, LOOP_NAME, &read_only, err);
	if (fd < 0)
		return gb_err_wrap(err, "cannot mount on %s", job->target);
	*ret_fd = fd;
	if (read_only && !want.read_only) {
		if (o->clear & MS_RDONLY)
			return gb_err_set(err, EROFS, "cannot mount %s on %s: the file is write-protected", want.file, job->target);
		o->set |= MS_RDONLY;
		*ret_read_only = true;
	}
	q->source = loop;
	return 0;
}

static void print_steps(const struct gb_mount_plan *plan, bool fake)
{
	for (size_t i = 0; i < plan->count; i++) {
		char text[2 * PATH_MAX + 64];
		gb_mount_step_text(&plan->steps[i], text, sizeof text);
		printf("%s%s\n", text, fake ? " (not done)" : "");
	}
}

int arcmount_do(const struct arcmount_job *job, struct gb_err *err)
{
	gb_automountoptions struct gb_mount_options o = { 0 };
	gb_automountplan struct gb_mount_plan plan = { 0 };
	struct gb_mount_outcome outcome = { 0 };
	char device[PATH_MAX], type[64], loop[LOOP_NAME];
	gb_autoclose int loop_fd = -1;
	struct gb_mount_request q = { .source = job->source, .target = job->target, .type = job->type,
				      .options = job->options, .flags = job->flags, .mkdir = job->mkdir };
	const bool real = !job->dry_run && !job->fake;
	int r = gb_mount_options_add(&o, job->options, err);

	if (r < 0)
		return job->target ? gb_err_wrap(err, "%s", job->target) : r;
	unsigned long work = (o.set | job->flags) & (MS_REMOUNT | MS_BIND | MS_MOVE);
	bool spread_only = !work && (o.propagation | (job->flags & GB_MOUNT_PROPAGATIONS)) && !job->source && !job->type;
	if (!work && !spread_only && q.source) {
		r = gb_mount_tag_resolve(q.source, device, sizeof device, err);
		if (r < 0)
			return gb_err_wrap(err, "cannot mount on %s", job->target);
		q.source = device;
		if (o.loop) {
			if (!real && is_open(q.type)) { /* without the device its file has to tell */
				if (find_type(device, q.type, type, sizeof type, err) < 0)
					return gb_err_wrap(err, "cannot mount on %s", job->target);
				q.type = type;
			}
			r = use_loop(job, &o, &q, loop, &loop_fd, &outcome.read_only, err);
			if (r < 0)
				return r;
		}
	}
	if (!work && !spread_only && is_open(q.type)) {
		if (!q.source)
			return gb_err_set(err, GB_E_USAGE, "missing source");
		r = find_type(q.source, q.type, type, sizeof type, err);
		if (r < 0)
			return gb_err_wrap(err, "cannot mount %s on %s", job->source, job->target);
		q.type = type;
	}
	if (o.dax_require && real && !work)
		return gb_mount_dax_require(&q, err);
	if (o.dax_require && !work && arcmount_join(&o.data, "dax=always", err) < 0)
		return -ENOMEM;
	r = gb_mount_plan_parsed(&plan, &q, &o, err);
	if (r < 0)
		return r;
	if (job->dry_run)
		return print_plan(&plan, err);
	if (real)
		r = gb_mount_apply(&plan, &outcome, err);
	if (r == 0 && real && work & MS_REMOUNT)
		r = prove_remount(job, &o, err);
	if (r < 0)
		return r;
	if (outcome.read_only)
		gb_log(GB_LOG_NOTICE, "%s is write-protected: mounted read-only on %s", job->source, job->target);
	if (job->verbose)
		print_steps(&plan, job->fake);
	return 0;
}

static bool mounted_already(const struct gb_mount_entry *e, const char *source)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	int id = gb_mountinfo_is_root(AT_FDCWD, e->target, 0) == 1 ? gb_mountinfo_id_at(AT_FDCWD, e->target, 0) : -1;
	char a[PATH_MAX], b[PATH_MAX];

	if (id < 0 || gb_mountinfo_read(NULL, &table) < 0)
		return false;
	const struct gb_mountinfo *row = gb_mountinfo_by_id(&table, id);
	if (!row)
		return false;
	if (gb_mountinfo_has(e->options, "bind", NULL) || gb_mountinfo_has(e->options, "rbind", NULL))
		return true; /* a bind has the source of what it shows, which says nothing */
	if (gb_mountinfo_has(e->options, "loop", NULL))
		return strncmp(row->source, "/dev/loop", 9) == 0;
	if (strcmp(row->source, source) == 0)
		return true;
	return realpath(row->source, a) && realpath(source, b) && strcmp(a, b) == 0;
}

struct all {
	const char *types, *wanted, *options;
	const struct arcmount_job *job;
	size_t done, failed;
};

static void one_of_all(struct all *all, const struct gb_mount_entry *e)
{
	gb_automountoptions struct gb_mount_options o = { 0 };
	gb_autobuf struct gb_buf words = { 0 };
	struct gb_err err = { 0 };
	char source[PATH_MAX];

	if (e->bad) {
		(void)gb_err_set(&err, EINVAL, "%s: line %u: %s", e->origin, e->line, e->bad);
		gb_complain(err.msg);
		all->failed++;
		return;
	}
	if (gb_mount_options_add(&o, e->options, &err) < 0 || o.user & GB_MOUNT_NOAUTO || strcmp(e->type, "swap") == 0 ||
	    strcmp(e->target, "none") == 0 || (all->types && !gb_mount_type_match(e->type, all->types)) ||
	    (all->wanted && !gb_mount_options_match(e->options, all->wanted)))
		return;
	int r = arcmount_join(&words, e->options, &err);
	if (r == 0 && all->options && *all->options)
		r = arcmount_join(&words, all->options, &err);
	if (r == 0)
		r = gb_mount_tag_resolve(e->source, source, sizeof source, &err);
	if (r == 0 && mounted_already(e, source)) {
		if (all->job->verbose)
			printf("%s is mounted already\n", e->target);
		all->done++;
		return;
	}
	struct arcmount_job job = *all->job;
	job.source = r == 0 ? source : e->source;
	job.target = e->target;
	/* fstab(5) writes "none" where a bind or a move has no type. */
	job.type = strcmp(e->type, "none") == 0 ? NULL : e->type;
	job.options = gb_buf_text(&words);
	if (r == 0)
		r = arcmount_do(&job, &err);
	if (r < 0 && o.user & GB_MOUNT_NOFAIL && excused(&job, r))
		return;
	if (r < 0) {
		(void)gb_err_wrap(&err, "%s: line %u", e->origin, e->line);
		gb_complain(err.msg);
		all->failed++;
	} else {
		all->done++;
	}
}

static int mount_all(const struct gb_cmd *cmd, const char *file, struct all *all, struct gb_err *err)
{
	gb_automounttable struct gb_mount_table table = { 0 };
	int r = gb_mount_table_read(&table, file, err);

	if (r < 0)
		return r;
	gb_mount_table_order(&table);
	for (size_t i = 0; i < table.count; i++)
		one_of_all(all, &table.entries[i]);
	if (!all->failed)
		return 0;
	if (!arcmount_bits(cmd))
		return 1;
	return all->done ? ARCMOUNT_SOME : ARCMOUNT_FAILED;
}

/* One operand, or two of which one is in the table: what fstab says, then what the command line says. */
static int from_table(const char *file, const char *name, struct arcmount_job *job, struct gb_mount_table *table,
		      struct gb_buf *words, struct gb_err *err)
{
	char real[PATH_MAX];
	int r = gb_mount_table_read(table, file, err);

	if (r < 0)
		return gb_err_wrap(err, "%s: only one of source and target is given", name);
	const struct gb_mount_entry *e = gb_mount_table_find(table, name);
	if (!e && realpath(name, real))
		e = gb_mount_table_find(table, real);
	if (!e)
		return gb_err_set(err, ENOENT, "%s: only one of source and target is given, and %s does not have it", name, file);
	gb_autobuf struct gb_buf own = *words;
	*words = (struct gb_buf){ 0 };
	r = arcmount_join(words, e->options, err);
	if (r == 0 && own.len)
		r = arcmount_join(words, own.data, err);
	job->source = e->source;
	job->target = e->target;
	if (!job->type && strcmp(e->type, "none") != 0)
		job->type = e->type;
	return r;
}

/* What mount's command line says. */
struct line {
	struct arcmount_job job;
	struct gb_buf words, tag;
	const char *file, *wanted;
	bool everything;
	unsigned long spread;
};

static int take(struct line *line, int key, const char *arg, struct gb_err *err)
{
	static const unsigned long spreads[] = { MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE };
	struct arcmount_job *job = &line->job;

	switch (key) {
	case 't': job->type = arg; break;
	case 'o': return arcmount_join(&line->words, arg, err);
	case 'r': return arcmount_join(&line->words, "ro", err);
	case 'w': return arcmount_join(&line->words, "rw", err);
	case 'B': job->flags |= MS_BIND; break;
	case 'R': job->flags |= MS_BIND | MS_REC; break;
	case 'M': job->flags |= MS_MOVE; break;
	case 'm': job->mkdir = true; break;
	case 'a': line->everything = true; break;
	case 'T': line->file = arg; break;
	case 'O': line->wanted = arg; break;
	case 'L':
	case 'U':
		if (line->tag.len)
			return gb_err_set(err, GB_E_USAGE, "only one -L or -U");
		return gb_buf_fmt(&line->tag, "%s=%s", key == 'L' ? "LABEL" : "UUID", arg);
	case 'f': job->fake = true; break;
	case OPT_DRY_RUN: job->dry_run = true; break;
	case 'v': job->verbose = true; break;
	case 'n': case 'i': break;
	default: {
		unsigned long this = spreads[(key - OPT_MAKE) % 4] | (key - OPT_MAKE >= 4 ? MS_REC : 0);
		if (line->spread && line->spread != this)
			return gb_err_set(err, GB_E_USAGE, "only one --make- option at a time");
		line->spread = this;
	}
	}
	return 0;
}

/* Source and target: the operands, a tag, or what the table has of the one that is given. */
static int find_ends(struct line *line, const struct gb_optscan *scan, struct gb_mount_table *table, struct gb_err *err)
{
	struct arcmount_job *job = &line->job;
	char **operand = scan->argv + scan->index;
	int r = gb_opt_operands(scan, 1, line->tag.len ? 1 : 2, "target", err);

	if (r < 0)
		return r;
	if (line->tag.len) {
		job->source = line->tag.data;
		job->target = operand[0];
	} else if (scan->argc - scan->index == 2) {
		job->source = operand[0];
		job->target = operand[1];
	} else if (line->spread || (job->options && gb_mountinfo_has(job->options, "remount", NULL))) {
		job->target = operand[0];
	} else {
		r = from_table(line->file, operand[0], job, table, &line->words, err);
		job->options = line->words.len ? line->words.data : NULL;
	}
	return r;
}

static int mount_line(struct gb_cmd *cmd, struct line *line, struct gb_err *err)
{
	gb_automounttable struct gb_mount_table table = { 0 };
	struct arcmount_job *job = &line->job;
	struct gb_optscan scan;
	int key, r = 0;

	gb_opt_start(&scan, arcmount_mount_opts, cmd->argc, cmd->argv, 0);
	while (r >= 0 && (key = gb_opt_next(&scan, err)) > 0)
		r = take(line, key, scan.arg, err);
	if (r < 0 || key < 0)
		return r < 0 ? r : key;
	if (line->spread & MS_REC && job->flags & MS_BIND && !(job->flags & MS_REC)) {
		/* "-B --make-rprivate": the recursion is that of the propagation. */
		r = arcmount_join(&line->words, line->spread & MS_SHARED ? "rshared" : line->spread & MS_PRIVATE ? "rprivate"
				  : line->spread & MS_SLAVE ? "rslave" : "runbindable", err);
		if (r < 0)
			return r;
		line->spread = 0;
	}
	job->flags |= line->spread;
	job->options = line->words.len ? line->words.data : NULL;
	if (line->everything && line->tag.len)
		return gb_err_set(err, GB_E_USAGE, "-a goes with neither -L nor -U");
	if (line->everything) {
		struct all all = { .types = job->type, .wanted = line->wanted, .options = job->options, .job = job };
		job->type = NULL;
		r = gb_opt_operands(&scan, 0, 0, NULL, err);
		return r < 0 ? r : mount_all(cmd, line->file, &all, err);
	}
	if (line->wanted)
		return gb_err_set(err, GB_E_USAGE, "-O goes with -a");
	if (scan.argc == scan.index && !line->tag.len && !job->flags)
		return arcmount_mounted(job->type, err);
	r = find_ends(line, &scan, &table, err);
	if (r < 0)
		return r;
	gb_automountoptions struct gb_mount_options o = { 0 };
	bool nofail = gb_mount_options_add(&o, job->options, NULL) == 0 && o.user & GB_MOUNT_NOFAIL;
	r = arcmount_do(job, err);
	return r < 0 && nofail && excused(job, r) ? 0 : r;
}

int arcmount_mount(struct gb_cmd *cmd, struct gb_err *err)
{
	struct line line = { .file = "/etc/fstab" };
	int r = mount_line(cmd, &line, err);

	gb_buf_free(&line.words);
	gb_buf_free(&line.tag);
	return r;
}

/* The verbs with a few options and fixed operands. */
struct simple {
	struct arcmount_job job;
	struct gb_buf words;
	const char *lower, *upper, *work;
	bool recursive;
	char **operands;
};

static int simple_scan(struct gb_cmd *cmd, const struct gb_opt *opts, int count, const char *what, struct simple *s,
		       struct gb_err *err)
{
	struct gb_optscan scan;
	int key, r = 0;

	gb_opt_start(&scan, opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		switch (key) {
		case 'R': s->recursive = true; break;
		case 'o': r = arcmount_join(&s->words, scan.arg, err); break;
		case 'm': s->job.mkdir = true; break;
		case 'v': s->job.verbose = true; break;
		case OPT_DRY_RUN: s->job.dry_run = true; break;
		case OPT_LOWER: s->lower = scan.arg; break;
		case OPT_UPPER: s->upper = scan.arg; break;
		case OPT_WORK: s->work = scan.arg; break;
		}
		if (r < 0)
			return r;
	}
	if (key < 0)
		return key;
	if (scan.argc - scan.index < count)
		return gb_err_set(err, GB_E_USAGE, "missing %s", scan.argc == scan.index ? what : "target");
	s->operands = &scan.argv[scan.index];
	s->job.options = s->words.len ? s->words.data : NULL;
	return gb_opt_operands(&scan, count, count, what, err);
}

int arcmount_remount(struct gb_cmd *cmd, struct gb_err *err)
{
	struct simple s = { .job.flags = MS_REMOUNT };
	int r = simple_scan(cmd, arcmount_remount_opts, 1, "target", &s, err);

	if (r == 0 && !s.job.options)
		r = gb_err_set(err, GB_E_USAGE, "missing options (-o)");
	if (r == 0) {
		s.job.target = s.operands[0];
		r = arcmount_do(&s.job, err);
	}
	gb_buf_free(&s.words);
	return r;
}

int arcmount_bind(struct gb_cmd *cmd, struct gb_err *err)
{
	struct simple s = { .job.flags = MS_BIND };
	int r = simple_scan(cmd, arcmount_bind_opts, 2, "source", &s, err);

	if (r == 0) {
		s.job.flags |= s.recursive ? MS_REC : 0;
		s.job.source = s.operands[0];
		s.job.target = s.operands[1];
		r = arcmount_do(&s.job, err);
	}
	gb_buf_free(&s.words);
	return r;
}

int arcmount_move(struct gb_cmd *cmd, struct gb_err *err)
{
	struct simple s = { .job.flags = MS_MOVE };
	int r = simple_scan(cmd, arcmount_plain_opts, 2, "source", &s, err);

	if (r == 0) {
		s.job.source = s.operands[0];
		s.job.target = s.operands[1];
		r = arcmount_do(&s.job, err);
	}
	return r;
}

int arcmount_propagate(struct gb_cmd *cmd, struct gb_err *err)
{
	static const struct { const char *word; unsigned long flag; } kinds[] = {
		{ "shared", MS_SHARED }, { "private", MS_PRIVATE }, { "slave", MS_SLAVE }, { "unbindable", MS_UNBINDABLE },
	};
	struct simple s = { 0 };
	int r = simple_scan(cmd, arcmount_recursive_opts, 2, "kind of propagation", &s, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < GB_ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].word, s.operands[0]) == 0)
			s.job.flags = kinds[i].flag | (s.recursive ? MS_REC : 0);
	}
	if (!s.job.flags)
		return gb_err_set(err, GB_E_USAGE, "propagation \"%s\" is none of shared, private, slave, unbindable", s.operands[0]);
	s.job.target = s.operands[1];
	return arcmount_do(&s.job, err);
}

/* A path as overlay's words want it: commas would end it, colons (in lists) part it, backslashes hide both. */
static void overlay_path(struct gb_buf *words, const char *name, const char *path, bool list)
{
	(void)gb_buf_fmt(words, "%s%s=", words->len ? "," : "", name);
	for (; *path; path++) {
		if (*path == ',' || (*path == '\\' && !list))
			(void)gb_buf_str(words, "\\");
		(void)gb_buf_add(words, path, 1);
	}
}

int arcmount_overlay(struct gb_cmd *cmd, struct gb_err *err)
{
	struct simple s = { .job.type = "overlay", .job.source = "overlay" };
	int r = simple_scan(cmd, arcmount_overlay_opts, 1, "target", &s, err);

	if (r == 0 && !s.lower)
		r = gb_err_set(err, GB_E_USAGE, "missing lower folders (--lower)");
	else if (r == 0 && !s.upper != !s.work)
		r = gb_err_set(err, GB_E_USAGE, "--upper and --work go together: %s is missing", s.upper ? "--work" : "--upper");
	if (r == 0) {
		overlay_path(&s.words, "lowerdir", s.lower, true);
		if (s.upper) {
			overlay_path(&s.words, "upperdir", s.upper, false);
			overlay_path(&s.words, "workdir", s.work, false);
		}
		if (s.words.failed)
			r = gb_err_sys(err, ENOMEM, "options");
	}
	if (r == 0) {
		s.job.options = s.words.data;
		s.job.target = s.operands[0];
		r = arcmount_do(&s.job, err);
	}
	gb_buf_free(&s.words);
	return r;
}
