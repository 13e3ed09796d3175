/* SPDX-License-Identifier: MIT */
/* arcmount shares: the host's shares, with DAX where it holds. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "applets/arcmount/arcmount.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/mount/apply.h"
#include "common/mount/dax.h"
#include "common/mount/offer.h"
#include "common/mount/table.h"
#include "common/mount/tag.h"
#include "common/sys/cmdline.h"
#include "common/sys/mountinfo.h"
#include "common/sys/setting.h"

enum { OPT_DRY_RUN = GB_OPT_LONG, OPT_JSON, OPT_TABLE };

const struct gb_opt arcmount_shares_opts[] = {
	GB_OPT(OPT_DRY_RUN, "dry-run", "", "print the system calls of each share that is not mounted, and make none"),
	GB_OPT(OPT_JSON, "json", "", "one JSON value instead of lines"),
	GB_OPT(OPT_TABLE, "table", "FILE", "the table, in fstab's format [/etc/guestbox/shares if it is there, or built in]"),
	{ 0 },
};

/* nofail: its absence is no failure. x-guestbox.warn: but worth a warning, for the guest is degraded. */
static const char builtin[] = "arcbox	/arcbox		virtiofs	dax=always,nofail,x-guestbox.warn\n"
			      "private	/private	virtiofs	nofail\n"
			      "users	/Users		virtiofs	nofail\n";

struct shares {
	struct gb_json json;
	bool as_json, dry_run;
	bool failed; /* a share that was required */
};

struct share {
	const struct gb_mount_entry *entry;
	bool optional, warn, ladder; /* ladder: dax=always, with the fallback */
	const char *state;
	bool proven;
	struct gb_mount_daxproof proof;
	struct gb_err note; /* what is worth telling beside */
};

static bool plain_word(const char *options, const char *word)
{
	return gb_mountinfo_has(options, word, NULL);
}

/* The options without their dax words, which the ladder adds one at a time. */
static int without_dax(const char *options, struct gb_buf *out)
{
	size_t pos = 0, n;
	const char *w;

	while ((w = gb_mount_word(options, &pos, &n))) {
		if (n >= 3 && memcmp(w, "dax", 3) == 0 && (n == 3 || w[3] == '='))
			continue;
		(void)gb_buf_fmt(out, "%s%.*s", out->len ? "," : "", (int)n, w);
	}
	return out->failed ? -ENOMEM : 0;
}

static int mount_it(struct share *s, const char *options, bool there, struct gb_err *err)
{
	const struct gb_mount_entry *e = s->entry;
	char source[PATH_MAX];
	enum gb_mount_dax mode;

	if (!s->ladder) {
		const struct arcmount_job job = { .source = e->source, .target = e->target, .type = e->type, .options = options,
						  .mkdir = !there };
		return arcmount_do(&job, err);
	}
	int r = gb_mount_tag_resolve(e->source, source, sizeof source, err);
	if (r < 0)
		return gb_err_wrap(err, "cannot mount on %s", e->target);
	const struct gb_mount_request q = { .source = source, .target = e->target, .type = e->type, .options = options,
					    .mkdir = !there };
	return gb_mount_dax_best(&q, &mode, &s->note, err);
}

/* Whether what is mounted there is the share, and not somebody's tmpfs. */
static bool is_there(const struct gb_mount_entry *e)
{
	gb_automountinfo struct gb_mountinfo_table table = { 0 };
	int id = gb_mountinfo_id_at(AT_FDCWD, e->target, 0);
	char source[PATH_MAX];
	struct stat st;

	if (id < 0 || gb_mountinfo_read(NULL, &table) < 0 || gb_mount_tag_resolve(e->source, source, sizeof source, NULL) < 0)
		return false;
	const struct gb_mountinfo *row = gb_mountinfo_by_id(&table, id);
	return row && strcmp(row->type, e->type) == 0 &&
	       (strcmp(row->source, source) == 0 ||
		(stat(source, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == makedev(row->major, row->minor)));
}

/* A mount that is there already stays, but the share's own without the DAX it should have: a remount changes nothing on
 * virtiofs, so it is unmounted, when nobody uses it, and mounted again. */
static int bring_to_dax(struct share *s, const char *options, struct gb_err *err)
{
	int r = gb_mount_dax_prove(s->entry->target, &s->proof);

	s->state = "already";
	if (r < 0)
		return gb_err_sys(err, -r, "cannot read the options of %s back", s->entry->target);
	if (gb_mount_dax_holds(&s->proof))
		return 0;
	if (!is_there(s->entry)) {
		(void)gb_err_set(&s->note, EBUSY, "%s has another mount, which is left alone", s->entry->target);
		return 0;
	}
	r = gb_mount_undo(s->entry->target, 0, err);
	if (r < 0) {
		/* It works, only slower: that is said, and is no failure. */
		(void)gb_err_set(&s->note, -r, "%s is mounted without dax=always, and it is in use: %s", s->entry->target, err->msg);
		*err = (struct gb_err){ 0 };
		return 0;
	}
	s->state = "mounted";
	return mount_it(s, options, true, err);
}

static int set_up(struct share *s, struct gb_err *err)
{
	gb_autobuf struct gb_buf options = { 0 };
	const struct gb_mount_entry *e = s->entry;
	const char *value = NULL;
	int root = gb_mountinfo_is_root(AT_FDCWD, e->target, 0);

	s->ladder = gb_mountinfo_has(e->options, "dax", &value) &&
		    (!value || strncmp(value, "always", 6) == 0) && !plain_word(e->options, "remount");
	if (root < 0 && root != -ENOENT)
		return gb_err_sys(err, -root, "cannot mount %s on %s", e->source, e->target);
	if (s->ladder && without_dax(e->options, &options) < 0)
		return gb_err_sys(err, ENOMEM, "%s", e->target);
	const char *words = s->ladder ? gb_buf_text(&options) : e->options;
	if (root == 1 && !s->ladder) {
		s->state = "already";
		return 0;
	}
	s->state = root == 1 ? "already" : "mounted";
	int r = root == 1 ? bring_to_dax(s, words, err) : mount_it(s, words, root == 0, err);
	if (r == 0 && gb_mountinfo_has(e->options, "dax", NULL)) /* what was not asked for needs no proof */
		s->proven = gb_mount_dax_prove(e->target, &s->proof) == 0;
	return r;
}

static void tell(struct shares *all, const struct share *s, int r, const struct gb_err *err)
{
	const struct gb_mount_entry *e = s->entry;
	bool dax = s->proven && (strcmp(e->type, "virtiofs") == 0 || s->proof.mode != GB_DAX_NONE);

	if (all->as_json) {
		gb_json_open(&all->json, NULL, '{');
		gb_json_str(&all->json, "tag", e->source);
		gb_json_str(&all->json, "target", e->target);
		gb_json_str(&all->json, "type", e->type);
		gb_json_str(&all->json, "options", e->options);
		gb_json_bool(&all->json, "required", !s->optional);
		gb_json_str(&all->json, "state", s->state);
		gb_json_str(&all->json, "dax", dax ? gb_mount_dax_word(s->proof.mode) : NULL);
		gb_json_str(&all->json, "error", r < 0 ? err->msg : s->note.code ? s->note.msg : NULL);
		gb_json_close(&all->json, '}');
	}
	if (r < 0) {
		if (strcmp(s->state, "absent") == 0 && s->optional && !s->warn)
			return;
		gb_log(s->optional ? GB_LOG_WARNING : GB_LOG_ERR, "%s%s%s", s->optional ? "warning: " : "", err->msg,
			s->warn ? "; the guest is degraded without it" : "");
		return;
	}
	if (!all->as_json) {
		struct gb_err line;
		char mode[32] = "";

		if (dax)
			(void)snprintf(mode, sizeof mode, ", %s%s", s->proof.mode == GB_DAX_NONE ? "without dax" : "dax=",
				       s->proof.mode == GB_DAX_NONE ? "" : gb_mount_dax_word(s->proof.mode));
		(void)gb_err_set(&line, 0, "%s on %s: %s%s%s%s%s", e->source, e->target,
				 strcmp(s->state, "already") == 0 ? "mounted already" : "mounted", mode,
				 s->note.code ? " (" : "", s->note.code ? s->note.msg : "", s->note.code ? ")" : "");
		puts(line.msg);
	} else if (s->note.code) {
		gb_log(GB_LOG_NOTICE, "%s", s->note.msg);
	}
}

static void one(struct shares *all, const struct gb_mount_entry *e)
{
	struct share s = { .entry = e, .state = "failed" };
	gb_automountoptions struct gb_mount_options o = { 0 };
	struct gb_err err = { 0 };

	if (e->bad) {
		if (e->line)
			gb_log(GB_LOG_ERR, "%s: line %u: %s", e->origin, e->line, e->bad);
		else
			gb_log(GB_LOG_ERR, "%s: %s", e->origin, e->bad);
		all->failed = true;
		return;
	}
	(void)gb_mount_options_add(&o, e->options, NULL); /* it is good: the table has tried it */
	if (o.user & GB_MOUNT_NOAUTO)
		return;
	s.optional = o.user & GB_MOUNT_NOFAIL;
	s.warn = plain_word(e->options, "x-guestbox.warn");
	if (all->dry_run) {
		struct arcmount_job job = { .source = e->source, .target = e->target, .type = e->type,
					    .options = e->options, .mkdir = true, .dry_run = true };
		if (gb_mountinfo_is_root(AT_FDCWD, e->target, 0) == 1) {
			printf("%s: mounted already\n", e->target);
		} else if (arcmount_do(&job, &err) < 0) {
			gb_complain(err.msg);
			all->failed = all->failed || !s.optional;
		}
		return;
	}
	int r = set_up(&s, &err);
	/* A guest without virtiofs has no such shares; any other type that the kernel does not know is worth a word. */
	if (r < 0)
		s.state = r == -ENODEV && (strcmp(e->type, "virtiofs") == 0 || gb_mount_type(e->type) != GB_TYPE_UNKNOWN)
			  ? "absent" : "failed";
	if (r < 0 && !s.optional)
		all->failed = true;
	tell(all, &s, r, &err);
}

static int from_cmdline(struct gb_mount_table *table, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };
	char word[4096];
	const char *key, *value;
	size_t pos = 0;

	if (gb_cmdline_read(&text) < 0)
		return 0; /* no /proc, no wishes */
	while (gb_cmdline_next(gb_buf_text(&text), &pos, word, sizeof word, &key, &value)) {
		if (value && strcmp(key, "guestbox.share") == 0) {
			int r = gb_mount_table_share(table, value, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* The table: an option's, the environment's, the usual one if it is there, or what is built in. The kernel command line adds
 * to each of them. */
static int load(struct gb_mount_table *table, const char *option, struct gb_err *err)
{
	static const char usual[] = "/etc/guestbox/shares";
	static const struct gb_setting setting = { .environment = { "GUESTBOX_SHARES" } };
	const char *origin;
	char path[PATH_MAX];
	int r = option ? 0 : gb_setting_get(&setting, path, sizeof path, &origin);

	if (r < 0 && r != -ENOENT)
		return gb_err_sys(err, -r, "%s", origin);
	if (r == -ENOENT && access(usual, F_OK) < 0 && errno == ENOENT)
		return gb_mount_table_parse(table, builtin, sizeof builtin - 1, "built-in shares", err);
	return gb_mount_table_read(table, option ? option : r > 0 ? path : usual, err);
}

int arcmount_shares(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_automounttable struct gb_mount_table table = { 0 };
	struct shares all = { 0 };
	const char *file = NULL;
	struct gb_optscan scan;
	int key, r;

	gb_opt_start(&scan, arcmount_shares_opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		switch (key) {
		case OPT_DRY_RUN: all.dry_run = true; break;
		case OPT_JSON: all.as_json = true; break;
		case OPT_TABLE: file = scan.arg; break;
		}
	}
	if (key < 0)
		return key;
	r = gb_opt_operands(&scan, 0, 0, NULL, err);
	if (r < 0)
		return r;
	if (all.dry_run && all.as_json)
		return gb_err_set(err, GB_E_USAGE, "--dry-run and --json exclude each other");
	r = load(&table, file, err);
	if (r == 0)
		r = from_cmdline(&table, err);
	if (r < 0)
		return r;
	gb_mount_table_order(&table);
	if (all.as_json)
		gb_json_open(&all.json, NULL, '[');
	for (size_t i = 0; i < table.count; i++)
		one(&all, &table.entries[i]);
	if (all.as_json) {
		gb_json_close(&all.json, ']');
		r = gb_json_print(&all.json, err);
		if (r < 0)
			return r;
	}
	return all.failed ? 1 : 0;
}
