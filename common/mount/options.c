/* SPDX-License-Identifier: MIT */
/* Option strings. */
#include "common/mount/options.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/parse.h"

void gb_mount_options_free(struct gb_mount_options *options)
{
	gb_buf_free(&options->data);
}

const char *gb_mount_word(const char *list, size_t *pos, size_t *ret_len)
{
	while (list[*pos] == ',')
		(*pos)++;
	if (!list[*pos])
		return NULL;
	const char *start = list + *pos, *p = start;
	bool quoted = false;

	for (; *p && (quoted || *p != ','); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && p[1])
			p++;
	}
	*pos = (size_t)(p - list);
	*ret_len = quoted ? 0 : (size_t)(p - start);
	return start;
}

static bool is(const char *word, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(word, name, len) == 0;
}

/* The value of word if it is NAME=VALUE: its start, else NULL. */
static const char *value_of(const char *word, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len > n && memcmp(word, name, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
}

static int size_word(const char *value, size_t len, const char *what, uint64_t *ret_size, struct gb_err *err)
{
	char text[32];

	if (len >= sizeof text)
		return gb_err_set(err, EINVAL, "option %s=%.*s: too long for a size", what, 64, value);
	memcpy(text, value, len);
	text[len] = '\0';
	if (gb_parse_size(text, what, ret_size, err) < 0)
		return err ? gb_err_set(err, EINVAL, "option %s=%s: no size (digits, then K, M, G or T)", what, text) : -EINVAL;
	return 0;
}

static int mkdir_word(struct gb_mount_options *o, const char *word, size_t len, struct gb_err *err)
{
	const char *mode = memchr(word, '=', len);

	o->mkdir = true;
	o->mkdir_mode = 0755;
	if (!mode)
		return 0;
	char text[16], *end;
	size_t n = len - (size_t)(mode + 1 - word);
	if (n == 0 || n >= sizeof text)
		return gb_err_set(err, EINVAL, "option %.*s: no octal mode", (int)len, word);
	memcpy(text, mode + 1, n);
	text[n] = '\0';
	unsigned long value = strtoul(text, &end, 8);
	if (*end || value > 07777 || text[0] < '0' || text[0] > '7')
		return gb_err_set(err, EINVAL, "option %.*s: no octal mode", (int)len, word);
	o->mkdir_mode = (unsigned)value;
	return 0;
}

/* Words for mount(8) with a value. 1: it was one, 0: it was not, or -errno. */
static int user_word(struct gb_mount_options *o, const char *word, size_t len, struct gb_err *err)
{
	const char *value;

	if ((value = value_of(word, len, "dax")) && is(value, len - 4, "require")) {
		o->dax_require = true;
		return 1;
	}
	if (is(word, len, "loop")) {
		o->loop = true;
		return 1;
	}
	if ((value = value_of(word, len, "loop"))) {
		size_t n = len - (size_t)(value - word);
		if (n == 0 || n >= sizeof o->loop_device)
			return gb_err_set(err, EINVAL, "option %.*s: no loop device", (int)len, word);
		memcpy(o->loop_device, value, n);
		o->loop_device[n] = '\0';
		o->loop = true;
		return 1;
	}
	if ((value = value_of(word, len, "offset")) || (value = value_of(word, len, "sizelimit"))) {
		bool offset = word[0] == 'o';
		int r = size_word(value, len - (size_t)(value - word), offset ? "offset" : "sizelimit",
				  offset ? &o->loop_offset : &o->loop_size, err);
		o->loop = true;
		return r < 0 ? r : 1;
	}
	if (is(word, len, "x-mount.mkdir") || is(word, len, "X-mount.mkdir") || value_of(word, len, "x-mount.mkdir") ||
	    value_of(word, len, "X-mount.mkdir")) {
		int r = mkdir_word(o, word, len, err);
		return r < 0 ? r : 1;
	}
	if ((len > 2 && (word[0] == 'x' || word[0] == 'X') && word[1] == '-') || value_of(word, len, "comment"))
		return 1;
	if (value_of(word, len, "user")) {
		o->user |= GB_MOUNT_FOR_USERS;
		return 1;
	}
	return 0;
}

/* The last word counts; a later plain one undoes an earlier recursive one. */
static void turn(struct gb_mount_options *o, unsigned long set, unsigned long clear)
{
	o->set = (o->set & ~clear) | set;
	o->clear = (o->clear & ~set) | clear;
	o->rec_set &= ~(clear | set);
	o->rec_clear &= ~(clear | set);
}

static int add_word(struct gb_mount_options *o, const char *word, size_t len, struct gb_err *err)
{
	static const char recursive[] = "=recursive";
	bool rec = len > sizeof recursive - 1 && memcmp(word + len - (sizeof recursive - 1), recursive,
							sizeof recursive - 1) == 0;
	size_t name = rec ? len - (sizeof recursive - 1) : len;
	const struct gb_mount_flag *f = gb_mount_flag_find(word, name);

	if (rec && f && !(f->kind & (GB_MOUNT_BOTH | GB_MOUNT_ATTR)))
		return gb_err_set(err, EINVAL, "option %.*s: only words like ro and nosuid can be recursive", (int)len, word);
	if (!f) {
		int r = user_word(o, word, len, err);
		if (r != 0)
			return r < 0 ? r : 0;
		if (o->data.len)
			(void)gb_buf_str(&o->data, ",");
		return gb_buf_add(&o->data, word, len) < 0 ? gb_err_sys(err, ENOMEM, "options") : 0;
	}
	switch (f->kind) {
	case GB_MOUNT_PROPAGATION:
		if (o->propagation && o->propagation != f->set)
			return gb_err_set(err, EINVAL, "option %s: only one of shared, private, slave and unbindable", f->word);
		o->propagation = f->set;
		break;
	case GB_MOUNT_USER:
		o->user |= (unsigned)f->set;
		if (strcmp(f->word, "auto") == 0)
			o->user &= ~(unsigned)GB_MOUNT_NOAUTO;
		if (f->set == GB_MOUNT_FOR_USERS)
			turn(o, MS_NOEXEC | MS_NOSUID | MS_NODEV, 0);
		if (f->set == GB_MOUNT_FOR_OWNERS)
			turn(o, MS_NOSUID | MS_NODEV, 0);
		break;
	default:
		turn(o, f->set, f->clear);
		if (rec) {
			o->rec_set |= f->set;
			o->rec_clear |= f->clear;
		}
	}
	return 0;
}

int gb_mount_options_add(struct gb_mount_options *options, const char *text, struct gb_err *err)
{
	size_t pos = 0, len;
	const char *word;

	if (!text)
		return 0;
	if (strnlen(text, GB_MOUNT_OPTIONS_MAX) == GB_MOUNT_OPTIONS_MAX)
		return gb_err_set(err, E2BIG, "options: longer than %zu bytes", GB_MOUNT_OPTIONS_MAX - 1);
	while ((word = gb_mount_word(text, &pos, &len))) {
		if (len == 0)
			return gb_err_set(err, EINVAL, "option %.*s: a quote is not closed", 128, word);
		int r = add_word(options, word, len, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool listed(const char *list, const char *word, size_t len)
{
	size_t pos = 0, n;
	const char *w;

	while ((w = gb_mount_word(list, &pos, &n))) {
		if (n == len && memcmp(w, word, len) == 0)
			return true;
	}
	return false;
}

bool gb_mount_options_match(const char *list, const char *wanted)
{
	size_t pos = 0, n;
	const char *w;

	while ((w = gb_mount_word(wanted, &pos, &n))) {
		const struct gb_mount_flag *f = gb_mount_flag_find(w, n);

		/* "noexec" and "noauto" are words of their own, "no_netdev" says what there must not be. */
		bool own = f && f->set;
		if (listed(list, w, n))
			continue;
		if (own || n <= 2 || memcmp(w, "no", 2) != 0 || listed(list, w + 2, n - 2))
			return false;
	}
	return true;
}

bool gb_mount_type_match(const char *type, const char *wanted)
{
	bool not = strncmp(wanted, "no", 2) == 0 && strncmp(wanted, "none", 4) != 0;
	size_t pos = 0, n, len = strlen(type);
	const char *w;

	if (not)
		wanted += 2;
	while ((w = gb_mount_word(wanted, &pos, &n))) {
		if (not && n > 2 && memcmp(w, "no", 2) == 0) { /* "noproc,nosysfs" */
			w += 2;
			n -= 2;
		}
		if (n == len && memcmp(w, type, n) == 0)
			return !not;
	}
	return not;
}
