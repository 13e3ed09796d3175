/* SPDX-License-Identifier: MIT */
/* Reads a tar archive, member by member. */
#include "common/sandbox/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/parse.h"

enum {
	PAX_MAX = 1 << 20, /* one extended header */
	END = 2,
};

static const char sparse[] = "a sparse member (make the archive without --sparse)";

int gb_archive_broken(struct gb_archive *a, const char *why)
{
	return gb_err_set(a->err, EBADMSG, "archive: %s, at byte %" PRIu64, why, a->read);
}

/* Some bytes, at most max, in place: 0 at the end. */
ssize_t gb_archive_some(struct gb_archive *a, size_t max, const unsigned char **ret)
{
	if (a->at == a->len) {
		ssize_t n;
		do
			n = read(a->in, a->buf, GB_ARCHIVE_BUFFER);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return gb_err_sys(a->err, errno, "archive");
		a->at = 0;
		a->len = (size_t)n;
	}
	size_t n = a->len - a->at < max ? a->len - a->at : max;
	*ret = a->buf + a->at;
	a->at += n;
	a->read += n;
	return (ssize_t)n;
}

/* Exactly len bytes into to (NULL: nowhere): 0 or -errno. */
static int take(struct gb_archive *a, void *to, uint64_t len)
{
	for (uint64_t done = 0; done < len;) {
		const unsigned char *data;
		ssize_t n = gb_archive_some(a, len - done < SIZE_MAX ? (size_t)(len - done) : SIZE_MAX, &data);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return gb_archive_broken(a, "it is cut off");
		if (to)
			memcpy((char *)to + done, data, (size_t)n);
		done += (uint64_t)n;
	}
	return 0;
}

int gb_archive_padding(struct gb_archive *a, uint64_t size)
{
	return take(a, NULL, (GB_TAR_BLOCK - size % GB_TAR_BLOCK) % GB_TAR_BLOCK);
}

int gb_archive_pass_over(struct gb_archive *a)
{
	int r = take(a, NULL, a->member.head.size);

	return r < 0 ? r : gb_archive_padding(a, a->member.head.size);
}

/* The contents of an extended header. */
static int take_more(struct gb_archive *a, struct gb_buf *buf, bool append)
{
	uint64_t size = a->member.head.size;

	if (!append)
		buf->len = 0;
	if (size > PAX_MAX || buf->len + size > 2 * PAX_MAX)
		return gb_archive_broken(a, "an extended header is too long");
	if (gb_buf_room(buf, (size_t)size) < 0)
		return gb_err_sys(a->err, ENOMEM, "archive");
	int r = take(a, buf->data + buf->len, size);
	if (r < 0)
		return r;
	buf->len += (size_t)size;
	buf->data[buf->len] = '\0';
	return gb_archive_padding(a, size);
}

/* One record of an extended header. */
static int apply_record(struct gb_archive *a, const struct gb_tar_record *rec, const char **name, size_t *name_len)
{
	struct gb_archive_member *m = &a->member;
	static const char xattr[] = "SCHILY.xattr.";

	if (gb_tar_key_is(rec, "path")) {
		*name = rec->value;
		*name_len = rec->value_len;
	} else if (gb_tar_key_is(rec, "linkpath")) {
		m->link = rec->value;
		m->link_len = rec->value_len;
	} else if (gb_tar_key_is(rec, "size")) {
		if (!gb_parse_u64(rec->value, rec->value_len, &m->head.size) || m->head.size > INT64_MAX / 2)
			return gb_archive_broken(a, "an extended header's size cannot be read");
	} else if (gb_tar_key_is(rec, "uid") || gb_tar_key_is(rec, "gid")) {
		if (!gb_parse_u64(rec->value, rec->value_len, rec->key[0] == 'u' ? &m->head.uid : &m->head.gid))
			return gb_archive_broken(a, "an extended header's owner cannot be read");
	} else if (gb_tar_key_is(rec, "mtime")) {
		if (gb_tar_time(rec->value, rec->value_len, &m->head.mtime, &m->nsec) < 0)
			return gb_archive_broken(a, "an extended header's time cannot be read");
	} else if (gb_tar_key_starts(rec, "GNU.sparse.")) {
		return gb_archive_broken(a, sparse);
	} else if (gb_tar_key_starts(rec, xattr)) {
		if (m->xattrs_len == GB_ARCHIVE_XATTRS)
			return gb_archive_broken(a, "a member has too many attributes");
		m->xattrs[m->xattrs_len] = *rec;
		m->xattrs[m->xattrs_len].key += sizeof xattr - 1;
		m->xattrs[m->xattrs_len++].key_len -= sizeof xattr - 1;
	}
	return 0; /* others tell what is told elsewhere (times of access, names of owners), or nothing that is kept */
}

static int apply_pax(struct gb_archive *a, const struct gb_buf *pax, const char **name, size_t *name_len)
{
	struct gb_tar_record record;
	long n;

	for (size_t at = 0; (n = gb_tar_record(gb_buf_text(pax) + at, pax->len - at, &record)) != 0; at += (size_t)n) {
		if (n < 0)
			return gb_archive_broken(a, "an extended header cannot be read");
		int r = apply_record(a, &record, name, name_len);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Puts together what header and extended headers say. */
static int describe(struct gb_archive *a)
{
	struct gb_archive_member *m = &a->member;
	const char *name = m->head.name, *why;
	size_t name_len = strlen(name);

	m->link = m->head.link;
	m->link_len = strlen(m->link);
	m->nsec = 0;
	m->xattrs_len = 0;
	m->path[0] = '\0';
	int r = apply_pax(a, &a->global_pax, &name, &name_len);
	if (r < 0)
		return r;
	if (a->name.len) {
		name = a->name.data;
		name_len = strlen(name);
	}
	if (a->link.len) {
		m->link = a->link.data;
		m->link_len = strlen(m->link);
	}
	r = apply_pax(a, &a->pax, &name, &name_len);
	if (r < 0)
		return r;
	if (gb_tar_path(name, name_len, m->path, &why) < 0)
		return gb_err_set(a->err, EBADMSG, "archive: %.*s: %s", (int)(name_len > 512 ? 512 : name_len), name, why);
	if (m->link_len >= GB_TAR_PATH || memchr(m->link, '\0', m->link_len))
		return gb_err_set(a->err, EBADMSG, "archive: %s: what it is a link to is no path", *m->path ? m->path : "/");
	return 0;
}

/* One header: 1 with a member, 0 when it was a part of one, END at the archive's end mark, or -errno. */
static int step(struct gb_archive *a)
{
	unsigned char block[GB_TAR_BLOCK];
	struct gb_archive_member *m = &a->member;
	const char *why;

	if (a->at == a->len) {
		const unsigned char *data;
		ssize_t n = gb_archive_some(a, 0, &data);
		if (n < 0)
			return (int)n;
		if (a->len == 0)
			return gb_archive_broken(a, a->read ? "its end mark is missing" : "it is empty");
	}
	int r = take(a, block, sizeof block);
	if (r < 0)
		return r;
	r = gb_tar_head(block, &m->head, &why);
	if (r > 0)
		return a->read > GB_TAR_BLOCK ? END : gb_archive_broken(a, "it holds nothing");
	if (r < 0)
		return gb_archive_broken(a, why);
	switch (m->head.type) {
	case 'x':
		return take_more(a, &a->pax, true);
	case 'g':
		return take_more(a, &a->global_pax, true);
	case 'L':
		return take_more(a, &a->name, false);
	case 'K':
		return take_more(a, &a->link, false);
	case 'V': /* the archive's own name */
		return gb_archive_pass_over(a);
	case 'S':
		return gb_archive_broken(a, sparse);
	case '0': case '1': case '2': case '3': case '4': case '5': case '6':
		break;
	default:
		return gb_archive_broken(a, m->head.type == 'M' ? "it goes on in another archive" : "a member of unknown type");
	}
	r = describe(a);
	return r < 0 ? r : 1;
}

int gb_archive_next(struct gb_archive *a)
{
	int r;

	a->pax.len = a->name.len = a->link.len = 0;
	do
		r = step(a);
	while (r == 0);
	return r == END ? 0 : r;
}

int gb_archive_open(struct gb_archive *a, int in, struct gb_err *err)
{
	*a = (struct gb_archive){ .in = in, .err = err, .buf = malloc(GB_ARCHIVE_BUFFER) };
	return a->buf ? 0 : gb_err_sys(err, ENOMEM, "archive");
}

void gb_archive_close(struct gb_archive *a)
{
	free(a->buf);
	gb_buf_free(&a->pax);
	gb_buf_free(&a->global_pax);
	gb_buf_free(&a->name);
	gb_buf_free(&a->link);
}
