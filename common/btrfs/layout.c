/* SPDX-License-Identifier: MIT */
/* The layout table of a data disk and its file format. */
#include "common/btrfs/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"

/* Compression, discard and the space cache belong to the file system: Btrfs takes them from its first mount and a later
 * subvolume mount cannot change them (btrfs(5), MOUNT OPTIONS), so they stand with the top, once. */
const char gb_layout_default[] =
	"top /run/arcbox/data compress=zstd:3,discard=async,space_cache=v2\n"
	"subvolume @docker /var/lib/docker noatime\n"
	"subvolume @containerd /var/lib/containerd noatime\n"
	"subvolume @k3s /var/lib/rancher/k3s noatime\n"
	"subvolume @kubelet /var/lib/kubelet noatime\n"
	"subvolume @cni /var/lib/cni noatime\n"
	"nocow * io.containerd.metadata.v1.bolt io.containerd.snapshotter.v1.overlayfs\n"
	"nocow * containerd network builder buildkit image trust\n";

enum { WORDS = 3 + GB_LAYOUT_DIRS };

struct line {
	const char *file;
	int number;
	char *word[WORDS];
	int len;
};

static int bad(const struct line *line, int word, const char *reason, struct gb_err *err)
{
	return gb_err_set(err, EINVAL, "%s: line %d, word %d \"%s\": %s", line->file, line->number, word + 1,
			  word < line->len ? line->word[word] : "", reason);
}

/* Turns \ooo into bytes, in place: false for a backslash that starts no such escape, or one for NUL. */
static bool unescape(char *word)
{
	char *to = word;

	for (const char *p = word; *p;) {
		if (*p != '\\') {
			*to++ = *p++;
			continue;
		}
		int value = 0;
		for (int i = 1; i <= 3; i++) {
			if (p[i] < '0' || p[i] > '7')
				return false;
			value = value * 8 + (p[i] - '0');
		}
		if (value == 0 || value > 255)
			return false;
		*to++ = (char)value;
		p += 4;
	}
	*to = '\0';
	return true;
}

/* Every component is a name of at most NAME_MAX bytes and neither "." nor "..": a target or directory can never lead
 * out of where it was put. */
static const char *path_fault(const char *path, bool absolute)
{
	if (absolute != (path[0] == '/'))
		return absolute ? "not an absolute path" : "not a relative path";
	if (strlen(path) >= PATH_MAX / 2)
		return "too long a path";
	for (const char *p = path + absolute;; p++) {
		size_t n = strcspn(p, "/");
		if (n == 0)
			return "an empty part between slashes";
		if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return "\".\" or \"..\" in a path";
		if (n > NAME_MAX)
			return "a part of over 255 bytes";
		p += n;
		if (!*p)
			return NULL;
	}
}

/* subvol= would mount another one than the line names. */
static const char *options_fault(const char *options)
{
	for (const char *p = options; *p; p += strcspn(p, ","), p += *p == ',') {
		if (strncmp(p, "subvol=", 7) == 0 || strncmp(p, "subvolid=", 9) == 0)
			return "the subvolume is the line's own";
		if (*p == ',')
			return "an empty option";
	}
	return strlen(options) > 1024 ? "too long" : NULL;
}

static int read_top(struct gb_layout *layout, const struct line *line, struct gb_err *err)
{
	const char *fault;

	if (layout->top)
		return bad(line, 0, "there is a top already", err);
	if (line->len < 2)
		return bad(line, 1, "missing target", err);
	fault = path_fault(line->word[1], true);
	if (fault)
		return bad(line, 1, fault, err);
	layout->options = "";
	if (line->len > 2 && strcmp(line->word[2], "-") != 0) {
		fault = options_fault(line->word[2]);
		if (fault)
			return bad(line, 2, fault, err);
		layout->options = line->word[2];
	}
	if (line->len > 3)
		return bad(line, 3, "surplus word", err);
	layout->top = line->word[1];
	return 0;
}

static int read_subvolume(struct gb_layout *layout, const struct line *line, struct gb_err *err)
{
	struct gb_subvol *sv = &layout->subvol[layout->subvol_len];
	const char *fault;

	if (layout->subvol_len == GB_LAYOUT_SUBVOLS)
		return bad(line, 0, "more than 64 subvolumes", err);
	if (line->len < 3)
		return bad(line, line->len, line->len < 2 ? "missing name" : "missing target", err);
	if (strchr(line->word[1], '/'))
		return bad(line, 1, "a subvolume's name has no slash", err);
	fault = strcmp(line->word[1], "*") == 0 ? "\"*\" stands for all subvolumes" : path_fault(line->word[1], false);
	if (fault)
		return bad(line, 1, fault, err);
	fault = path_fault(line->word[2], true);
	if (fault)
		return bad(line, 2, fault, err);
	for (size_t i = 0; i < layout->subvol_len; i++) {
		if (strcmp(layout->subvol[i].name, line->word[1]) == 0)
			return bad(line, 1, "named twice", err);
		if (strcmp(layout->subvol[i].target, line->word[2]) == 0)
			return bad(line, 2, "two subvolumes on one target", err);
	}
	*sv = (struct gb_subvol){ .name = line->word[1], .target = line->word[2], .options = "" };
	int i = 3;
	if (i < line->len && strncmp(line->word[i], "compression=", 12) != 0) {
		fault = options_fault(line->word[i]);
		if (fault)
			return bad(line, i, fault, err);
		if (strcmp(line->word[i], "-") != 0)
			sv->options = line->word[i];
		i++;
	}
	if (i < line->len) {
		static const char *const known[] = { "zstd", "zlib", "lzo", "none" };

		if (strncmp(line->word[i], "compression=", 12) != 0)
			return bad(line, i, "not compression=", err);
		for (size_t k = 0; k < GB_ARRAY_LEN(known); k++) {
			if (strcmp(line->word[i] + 12, known[k]) == 0)
				sv->compression = line->word[i] + 12;
		}
		if (!sv->compression)
			return bad(line, i, "not one of zstd, zlib, lzo, none (a level is the top's: compress=zstd:3)", err);
		i++;
	}
	if (i < line->len)
		return bad(line, i, "surplus word", err);
	layout->subvol_len++;
	return 0;
}

static int add_nocow(struct gb_subvol *sv, const struct line *line, struct gb_err *err)
{
	for (int i = 2; i < line->len; i++) {
		size_t k = 0;

		while (k < sv->nocow_len && strcmp(sv->nocow[k], line->word[i]) != 0)
			k++;
		if (k < sv->nocow_len)
			return bad(line, i, "named twice", err);
		if (k == GB_LAYOUT_DIRS)
			return bad(line, i, "more than 64 directories", err);
		sv->nocow[sv->nocow_len++] = line->word[i];
	}
	return 0;
}

static int read_nocow(struct gb_layout *layout, const struct line *line, struct gb_err *err)
{
	bool all = line->len > 1 && strcmp(line->word[1], "*") == 0;
	bool found = false;

	if (line->len < 3)
		return bad(line, line->len, line->len < 2 ? "missing name" : "missing directory", err);
	for (int i = 2; i < line->len; i++) {
		const char *fault = path_fault(line->word[i], false);
		if (fault)
			return bad(line, i, fault, err);
	}
	for (size_t i = 0; i < layout->subvol_len; i++) {
		if (!all && strcmp(layout->subvol[i].name, line->word[1]) != 0)
			continue;
		found = true;
		int r = add_nocow(&layout->subvol[i], line, err);
		if (r < 0)
			return r;
	}
	return found ? 0 : bad(line, 1, "no subvolume of that name above", err);
}

static int read_line(struct gb_layout *layout, struct line *line, char *text, struct gb_err *err)
{
	char *rest;

	for (char *w = strtok_r(text, " \t\r", &rest); w; w = strtok_r(NULL, " \t\r", &rest)) {
		if (line->len == 0 && w[0] == '#')
			return 0;
		if (line->len == WORDS)
			return gb_err_set(err, EINVAL, "%s: line %d: more than %d words", line->file, line->number, WORDS);
		line->word[line->len++] = w;
		if (!unescape(w))
			return bad(line, line->len - 1, "a backslash is \\134, a blank \\040", err);
		if (!*w)
			return bad(line, line->len - 1, "empty", err);
	}
	if (line->len == 0)
		return 0;
	if (strcmp(line->word[0], "top") == 0)
		return read_top(layout, line, err);
	if (strcmp(line->word[0], "subvolume") == 0)
		return read_subvolume(layout, line, err);
	if (strcmp(line->word[0], "nocow") == 0)
		return read_nocow(layout, line, err);
	return bad(line, 0, "not top, subvolume or nocow", err);
}

int gb_layout_parse(const char *name, const char *text, size_t len, struct gb_layout *ret_layout, struct gb_err *err)
{
	gb_autolayout struct gb_layout layout = { 0 };
	int number = 0;

	if (len > GB_LAYOUT_MAX)
		return gb_err_set(err, EINVAL, "%s: over %d bytes", name, GB_LAYOUT_MAX);
	if (memchr(text, '\0', len))
		return gb_err_set(err, EINVAL, "%s: a NUL byte at %zu", name,
				  (size_t)((const char *)memchr(text, '\0', len) - text));
	layout.text = malloc(len + 1);
	if (!layout.text)
		return gb_err_sys(err, ENOMEM, "%s", name);
	memcpy(layout.text, text, len);
	layout.text[len] = '\0';
	for (char *p = layout.text; p;) {
		struct line line = { .file = name, .number = ++number };
		char *end = strchr(p, '\n');

		if (end)
			*end = '\0';
		int r = read_line(&layout, &line, p, err);
		if (r < 0)
			return r;
		p = end ? end + 1 : NULL;
	}
	if (!layout.top)
		return gb_err_set(err, EINVAL, "%s: no top line", name);
	for (size_t i = 0; i < layout.subvol_len; i++) {
		if (strcmp(layout.subvol[i].target, layout.top) == 0)
			return gb_err_set(err, EINVAL, "%s: subvolume %s and the top have one target, %s", name,
					  layout.subvol[i].name, layout.top);
	}
	*ret_layout = layout;
	layout.text = NULL;
	return 0;
}

int gb_layout_load(const char *path, struct gb_layout *ret_layout, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };

	if (!path)
		return gb_layout_parse("built-in layout", gb_layout_default, strlen(gb_layout_default), ret_layout, err);
	int r = gb_io_slurp(AT_FDCWD, path, GB_LAYOUT_MAX, &text);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", path);
	return gb_layout_parse(path, gb_buf_text(&text), text.len, ret_layout, err);
}

void gb_layout_free(struct gb_layout *layout)
{
	free(layout->text);
	layout->text = NULL;
}
