/* SPDX-License-Identifier: MIT */
/* common/sandbox/tar and untar: headers byte for byte, and archives that want out. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/tar.h"
#include "common/sandbox/untar.h"

/* ---- making archives ---- */

struct archive {
	struct gb_buf buf;
};

static void octal(unsigned char *field, int len, unsigned long long v)
{
	char text[32];

	(void)snprintf(text, sizeof text, "%0*llo", len - 1, v);
	memcpy(field, text, (size_t)len);
}

static void sum(unsigned char *block)
{
	unsigned n = 0;
	char text[16];

	memset(block + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		n += block[i];
	(void)snprintf(text, sizeof text, "%06o", n);
	memcpy(block + 148, text, 7); /* with its NUL; a blank behind */
}

static void header(unsigned char *block, const char *name, char type, unsigned long long size, const char *link)
{
	memset(block, 0, 512);
	memcpy(block, name, strnlen(name, 100));
	octal(block + 100, 8, type == '5' ? 0755 : 0644);
	octal(block + 108, 8, getuid());
	octal(block + 116, 8, getgid());
	octal(block + 124, 12, size);
	octal(block + 136, 12, 1000000000);
	block[156] = (unsigned char)type;
	memcpy(block + 157, link, strnlen(link, 100));
	memcpy(block + 257, "ustar\00000", 8);
	sum(block);
}

static void put(struct archive *a, const void *data, size_t len)
{
	static const char zero[512];

	assert_int_equal(gb_buf_add(&a->buf, data, len), 0);
	assert_int_equal(gb_buf_add(&a->buf, zero, (512 - len % 512) % 512), 0);
}

static void member(struct archive *a, const char *name, char type, const char *text, const char *link)
{
	unsigned char block[512];

	header(block, name, type, strlen(text), link);
	put(a, block, sizeof block);
	put(a, text, strlen(text));
}

static void pax(struct archive *a, char type, const char *key, const char *value, size_t len)
{
	char record[20000];
	size_t body = strlen(key) + len + 3, n = body + 1;
	char digits[16];

	while (body + (size_t)snprintf(digits, sizeof digits, "%zu", n) != n)
		n = body + strlen(digits);
	int at = snprintf(record, sizeof record, "%zu %s=", n, key);
	memcpy(record + at, value, len);
	record[(size_t)at + len] = '\n';
	unsigned char block[512];
	header(block, "PaxHeaders/x", type, n, "");
	put(a, block, sizeof block);
	put(a, record, n);
}

static void end(struct archive *a)
{
	static const char zero[1024];

	put(a, zero, sizeof zero);
}

/* ---- unpacking them ---- */

struct place {
	char outer[64], root[96];
	int fd;
};

static void enter(struct place *p)
{
	(void)snprintf(p->outer, sizeof p->outer, "/tmp/gb-untar-XXXXXX");
	assert_non_null(mkdtemp(p->outer));
	(void)snprintf(p->root, sizeof p->root, "%s/root", p->outer);
	assert_int_equal(mkdir(p->root, 0755), 0);
	p->fd = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
}

static void leave(struct place *p)
{
	char command[160];

	(void)close(p->fd);
	(void)snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", p->outer, p->outer);
	assert_int_equal(system(command), 0);
}

static const struct gb_untar_limits plenty = { .entries = 1000, .bytes = 1 << 30, .ids = UINT32_MAX };

static int unpack(struct place *p, struct archive *a, const struct gb_untar_limits *limits, struct gb_untar_result *result,
		  struct gb_err *err)
{
	int in = memfd_create("archive", MFD_CLOEXEC);

	assert_true(in >= 0);
	assert_int_equal(gb_io_write(in, gb_buf_text(&a->buf), a->buf.len), 0);
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	int r = gb_untar(in, p->fd, limits, result, err);
	(void)close(in);
	gb_buf_free(&a->buf);
	return r;
}

/* Fails with this text, and outside of the root nothing has come to be. */
static void refused(struct archive *a, const char *text)
{
	struct place p;
	struct gb_untar_result result;
	struct gb_err err = { 0 };
	struct stat st;
	char path[160];

	enter(&p);
	(void)snprintf(path, sizeof path, "%s/out", p.outer);
	int r = unpack(&p, a, &plenty, &result, &err);
	if (r >= 0 || !strstr(err.msg, text))
		print_error("wanted \"%s\", got %d \"%s\"\n", text, r, err.msg);
	assert_true(r < 0 && strstr(err.msg, text));
	assert_int_equal(stat(path, &st), -1);
	leave(&p);
}

static void ok(struct place *p, struct archive *a, struct gb_untar_result *result)
{
	struct gb_err err = { 0 };

	if (unpack(p, a, &plenty, result, &err) < 0)
		fail_msg("%s", err.msg);
}

static void has(const struct place *p, const char *name, const char *text)
{
	gb_autobuf struct gb_buf buf = { 0 };

	assert_int_equal(gb_io_slurp(p->fd, name, 1 << 20, &buf), 0);
	assert_string_equal(gb_buf_text(&buf), text);
}

/* ---- tests ---- */

static void heads(void **state)
{
	unsigned char block[512];
	struct gb_tar_head head;
	const char *why = NULL;

	(void)state;
	memset(block, 0, sizeof block);
	assert_int_equal(gb_tar_head(block, &head, &why), 1);
	header(block, "name", '0', 1234, "");
	assert_int_equal(gb_tar_head(block, &head, &why), 0);
	assert_string_equal(head.name, "name");
	assert_int_equal(head.size, 1234);
	assert_int_equal(head.mode, 0644);
	assert_int_equal(head.mtime, 1000000000);
	block[0] ^= 1;
	assert_int_equal(gb_tar_head(block, &head, &why), -EBADMSG);
	assert_non_null(strstr(why, "sum"));
	/* A prefix; not in GNU's format, which keeps other things there. */
	header(block, "name", '0', 0, "");
	memcpy(block + 345, "some/dir", 8);
	sum(block);
	assert_int_equal(gb_tar_head(block, &head, &why), 0);
	assert_string_equal(head.name, "some/dir/name");
	memcpy(block + 257, "ustar  ", 8);
	sum(block);
	assert_int_equal(gb_tar_head(block, &head, &why), 0);
	assert_string_equal(head.name, "name");
	/* Both fields full, without a NUL. */
	header(block, "", '0', 0, "");
	memset(block, 'n', 100);
	memset(block + 345, 'p', 155);
	memset(block + 157, 'l', 100);
	sum(block);
	assert_int_equal(gb_tar_head(block, &head, &why), 0);
	assert_int_equal(strlen(head.name), 256);
	assert_int_equal(strlen(head.link), 100);
	/* Version 7: a slash at the end is a folder. */
	header(block, "dir/", '0', 0, "");
	assert_int_equal(gb_tar_head(block, &head, &why), 0);
	assert_int_equal(head.type, '5');
	/* Numbers in base 256: 8 GiB and more, times before 1970; a negative size is none. */
	header(block, "big", '0', 0, "");
	memcpy(block + 124, "\x80\0\0\0\0\0\0\x03\0\0\0\x07", 12);
	memcpy(block + 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12);
	sum(block);
	assert_int_equal(gb_tar_head(block, &head, &why), 0);
	assert_int_equal(head.size, 0x300000007);
	assert_int_equal(head.mtime, -2);
	memset(block + 124, 0xff, 12);
	sum(block);
	assert_int_equal(gb_tar_head(block, &head, &why), -EBADMSG);
	memcpy(block + 124, "\x80\x01\0\0\0\0\0\0\0\0\0\0", 12);
	sum(block);
	assert_int_equal(gb_tar_head(block, &head, &why), -EBADMSG);
	header(block, "x", '0', 0, "");
	memcpy(block + 124, "12345678912", 12);
	sum(block);
	assert_int_equal(gb_tar_head(block, &head, &why), -EBADMSG);
}

static void records(void **state)
{
	static const struct { const char *text; long want; } rows[] = {
		{ "", 0 }, { "11 path=abc\n", -EBADMSG }, { "12 path=abc\n", 12 }, { "13 path=abc\n", -EBADMSG }, { "5 a=\n", 5 },
		{ "6 a=b\n", 6 }, { "5 =b\n", -EBADMSG }, { "6 aaa\n", -EBADMSG }, { "x a=b\n", -EBADMSG }, { "6", -EBADMSG },
		{ "6 ", -EBADMSG }, { " 6 a=b\n", -EBADMSG }, { "99999999999999999999 a=b\n", -EBADMSG }, { "4 a\n", -EBADMSG },
		{ "6 a=b\n6 c=d\n", 6 }, { "0 a=b\n", -EBADMSG },
	};
	struct gb_tar_record record;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++)
		assert_int_equal(gb_tar_record(rows[i].text, strlen(rows[i].text), &record), rows[i].want);
	assert_int_equal(gb_tar_record("12 path=a=c\n", 12, &record), 12);
	assert_int_equal(record.key_len, 4);
	assert_memory_equal(record.value, "a=c", 3);
	assert_int_equal(record.value_len, 3);
}

static void times(void **state)
{
	static const struct { const char *text; int r; int64_t seconds; long nsec; } rows[] = {
		{ "1", 0, 1, 0 }, { "1.5", 0, 1, 500000000 }, { "1.123456789", 0, 1, 123456789 }, { "1.1234567899", 0, 1, 123456789 },
		{ "-1.25", 0, -2, 750000000 }, { "-1", 0, -1, 0 }, { "1.", 0, 1, 0 }, { ".5", -EBADMSG, 0, 0 }, { "", -EBADMSG, 0, 0 },
		{ "1e3", -EBADMSG, 0, 0 }, { "--1", -EBADMSG, 0, 0 }, { "99999999999999999999", -EBADMSG, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		int64_t seconds = 0;
		long nsec = 0;
		assert_int_equal(gb_tar_time(rows[i].text, strlen(rows[i].text), &seconds, &nsec), rows[i].r);
		assert_int_equal(seconds, rows[i].seconds);
		assert_int_equal(nsec, rows[i].nsec);
	}
}

static void paths(void **state)
{
	static const struct { const char *name, *want; } rows[] = {
		{ "a", "a" }, { "./a", "a" }, { "/a/b", "a/b" }, { "//a//b//", "a/b" }, { ".", "" }, { "", "" }, { "/", "" },
		{ "a/./b", "a/b" }, { "...", "..." }, { "..", NULL }, { "a/..", NULL }, { "../a", NULL }, { "/..", NULL },
		{ "a/../b", NULL }, { "..a/b..", "..a/b.." },
	};
	char path[GB_TAR_PATH], deep[GB_TAR_PATH * 2];
	const char *why;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		int r = gb_tar_path(rows[i].name, strlen(rows[i].name), path, &why);
		assert_int_equal(r, rows[i].want ? 0 : -EBADMSG);
		if (rows[i].want)
			assert_string_equal(path, rows[i].want);
	}
	assert_int_equal(gb_tar_path("a\0b", 3, path, &why), -EBADMSG);
	memset(deep, 'x', 256);
	assert_int_equal(gb_tar_path(deep, 255, path, &why), 0);
	assert_int_equal(gb_tar_path(deep, 256, path, &why), -EBADMSG);
	for (size_t i = 0; i < sizeof deep; i += 2)
		memcpy(deep + i, "d/", 2);
	assert_int_equal(gb_tar_path(deep, 2 * GB_TAR_DEPTH, path, &why), 0);
	assert_int_equal(gb_tar_path(deep, 2 * GB_TAR_DEPTH + 2, path, &why), -EBADMSG);
	for (size_t i = 0; i < sizeof deep; i++)
		deep[i] = i % 200 == 199 ? '/' : 'y';
	assert_int_equal(gb_tar_path(deep, 4095, path, &why), 0);
	assert_int_equal(gb_tar_path(deep, sizeof deep, path, &why), -EBADMSG);
}

static void every_kind(void **state)
{
	struct archive a = { 0 };
	struct gb_untar_result result;
	struct place p;
	struct stat st, st2;
	char target[64] = "";

	(void)state;
	member(&a, "./", '5', "", "");
	member(&a, "bin/", '5', "", "");
	member(&a, "bin/tool", '0', "contents", "");
	member(&a, "bin/other", '1', "", "bin/tool");
	member(&a, "bin/link", '2', "", "/bin/tool");
	member(&a, "fifo", '6', "", "");
	member(&a, "dev/null", '3', "", "");
	member(&a, "missing/folder/file", '0', "x", "");
	pax(&a, 'x', "mtime", "12.000000003", 12);
	member(&a, "timed", '0', "", "");
	member(&a, "replaced", '0', "first", "");
	member(&a, "replaced", '0', "second", "");
	member(&a, "was-link", '2', "", "/etc/passwd");
	member(&a, "was-link", '0', "file", "");
	end(&a);
	enter(&p);
	ok(&p, &a, &result);
	assert_int_equal(result.entries, 13);
	assert_int_equal(result.left_out, 1);
	has(&p, "bin/tool", "contents");
	has(&p, "replaced", "second");
	has(&p, "was-link", "file");
	has(&p, "missing/folder/file", "x");
	assert_int_equal(fstatat(p.fd, "bin/tool", &st, 0), 0);
	assert_int_equal(fstatat(p.fd, "bin/other", &st2, 0), 0);
	assert_int_equal(st.st_ino, st2.st_ino);
	assert_int_equal(st.st_mtime, 1000000000);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_true(readlinkat(p.fd, "bin/link", target, sizeof target - 1) == 9 && strcmp(target, "/bin/tool") == 0);
	assert_int_equal(fstatat(p.fd, "fifo", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(fstatat(p.fd, "dev/null", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(fstatat(p.fd, "timed", &st, 0), 0);
	assert_true(st.st_mtim.tv_sec == 12 && st.st_mtim.tv_nsec == 3);
	/* A folder's time is its own, not that of what came into it. */
	assert_int_equal(fstatat(p.fd, "bin", &st, 0), 0);
	assert_int_equal(st.st_mtime, 1000000000);
	leave(&p);
}

static void long_names(void **state)
{
	struct archive a = { 0 };
	struct gb_untar_result result;
	struct place p;
	struct stat st;
	char name[1025], link[600], got[700] = "";
	unsigned char block[512];

	(void)state;
	for (size_t i = 0; i < sizeof name - 1; i++)
		name[i] = i % 120 == 119 ? '/' : (char)('a' + i % 26);
	name[sizeof name - 1] = '\0';
	memset(link, 't', sizeof link - 1);
	link[sizeof link - 1] = '\0';
	pax(&a, 'x', "path", name, strlen(name));
	member(&a, "short", '0', "pax", "");
	/* GNU's, with a NUL at the end that its size counts. */
	name[0] = 'Z';
	header(block, "././@LongLink", 'L', strlen(name) + 1, "");
	put(&a, block, sizeof block);
	put(&a, name, strlen(name) + 1);
	header(block, "././@LongLink", 'K', strlen(link) + 1, "");
	put(&a, block, sizeof block);
	put(&a, link, strlen(link) + 1);
	member(&a, "short", '2', "", "cut");
	/* They were for one member only. */
	member(&a, "plain", '2', "", "target");
	end(&a);
	enter(&p);
	ok(&p, &a, &result);
	ssize_t n = readlinkat(p.fd, name, got, sizeof got - 1);
	assert_int_equal(n, strlen(link));
	assert_memory_equal(got, link, strlen(link));
	name[0] = 'a';
	has(&p, name, "pax");
	assert_int_equal(fstatat(p.fd, "short", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(readlinkat(p.fd, "plain", got, sizeof got - 1), 6);
	leave(&p);
}

static void attributes(void **state)
{
	struct archive a = { 0 };
	struct gb_untar_result result;
	struct place p;
	char value[8];

	(void)state;
	pax(&a, 'x', "SCHILY.xattr.user.kind", "a\0b", 3);
	member(&a, "kept", '0', "", "");
	pax(&a, 'x', "SCHILY.xattr.trusted.overlay.opaque", "y", 1);
	member(&a, "dropped", '5', "", "");
	pax(&a, 'x', "SCHILY.xattr.user.overlay.opaque", "y", 1);
	member(&a, "dropped2", '5', "", "");
	pax(&a, 'x', "SCHILY.xattr.security.selinux", "y", 1);
	member(&a, "dropped3", '0', "", "");
	end(&a);
	enter(&p);
	ok(&p, &a, &result);
	assert_int_equal(result.left_out, 3);
	char path[200];
	(void)snprintf(path, sizeof path, "%s/kept", p.root);
	assert_int_equal(getxattr(path, "user.kind", value, sizeof value), 3);
	assert_memory_equal(value, "a\0b", 3);
	(void)snprintf(path, sizeof path, "%s/dropped2", p.root);
	assert_int_equal(listxattr(path, value, sizeof value), 0);
	leave(&p);
}

/* Every way out that an archive can try. */
static void no_way_out(void **state)
{
	struct archive a = { 0 };

	(void)state;
	member(&a, "../out", '0', "x", "");
	end(&a);
	refused(&a, "\"..\" in the name");
	pax(&a, 'x', "path", "a/../../out", 11);
	member(&a, "a", '0', "x", "");
	end(&a);
	refused(&a, "\"..\" in the name");
	pax(&a, 'g', "path", "../out", 6);
	member(&a, "a", '0', "x", "");
	end(&a);
	refused(&a, "\"..\" in the name");
	member(&a, "up", '2', "", "..");
	member(&a, "up/out", '0', "x", "");
	end(&a);
	refused(&a, "up/out: there is a symbolic link on the way");
	member(&a, "abs", '2', "", "/tmp");
	member(&a, "abs/out", '5', "", "");
	end(&a);
	refused(&a, "symbolic link on the way");
	/* In two steps, and when the folder's descriptor is still at hand. */
	member(&a, "d/", '5', "", "");
	member(&a, "d/up", '2', "", "../..");
	member(&a, "d/up/out", '0', "x", "");
	end(&a);
	refused(&a, "symbolic link on the way");
	/* A missing folder is not made through a link. */
	member(&a, "up", '2', "", "..");
	member(&a, "up/out/file", '0', "x", "");
	end(&a);
	refused(&a, "symbolic link on the way");
	/* A hard link that names something outside, or reaches it through a link. */
	member(&a, "hard", '1', "", "../../../../etc/passwd");
	end(&a);
	refused(&a, "a hard link to what is no name");
	member(&a, "up", '2', "", "..");
	member(&a, "hard", '1', "", "up/anything");
	end(&a);
	refused(&a, "symbolic link on the way");
	member(&a, "etc", '2', "", "/etc");
	member(&a, "hard", '1', "", "etc/passwd");
	end(&a);
	refused(&a, "symbolic link on the way");
	member(&a, "hard", '1', "", "/etc/passwd");
	end(&a);
	refused(&a, "hard: a hard link to what is not there");
	member(&a, "hard", '1', "data", "hard");
	end(&a);
	refused(&a, "with contents of its own");
	member(&a, "file", '0', "x", "");
	member(&a, "file/out", '0', "x", "");
	end(&a);
	refused(&a, "no folder");
	member(&a, "d/f", '0', "x", "");
	member(&a, "d", '0', "x", "");
	end(&a);
	refused(&a, "where there is a folder");
	member(&a, ".", '0', "x", "");
	end(&a);
	refused(&a, "/: not a folder");
}

/* Writing through a link that stands where a file is to be: the link goes, what it points to is as it was. */
static void links_are_replaced(void **state)
{
	struct archive a = { 0 };
	struct gb_untar_result result;
	struct place p;
	char out[160], text[400];
	struct stat st;

	(void)state;
	enter(&p);
	(void)snprintf(out, sizeof out, "%s/out", p.outer);
	gb_autoclose int fd = open(out, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(gb_io_write(fd, "safe", 4), 0);
	(void)snprintf(text, sizeof text, "%s", out);
	member(&a, "link", '2', "", text);
	member(&a, "link", '0', "overwritten", "");
	member(&a, "dirlink", '2', "", p.outer);
	member(&a, "dirlink", '5', "", "");
	member(&a, "dirlink/out", '0', "below", "");
	end(&a);
	ok(&p, &a, &result);
	has(&p, "link", "overwritten");
	has(&p, "dirlink/out", "below");
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_mode & 07777, 0600);
	leave(&p);
}

static void what_is_no_archive(void **state)
{
	struct archive a = { 0 };
	unsigned char block[512];

	(void)state;
	refused(&a, "it is empty");
	end(&a);
	refused(&a, "it holds nothing");
	assert_int_equal(gb_buf_add(&a.buf, "\x1f\x8b\x08", 3), 0);
	put(&a, "", 0);
	while (a.buf.len < 512)
		assert_int_equal(gb_buf_add(&a.buf, "z", 1), 0);
	refused(&a, "no tar header"); /* gb_unzip_program() is asked before */
	member(&a, "file", '0', "x", "");
	refused(&a, "its end mark is missing");
	member(&a, "file", '0', "x", "");
	a.buf.len -= 100;
	refused(&a, "cut off");
	header(block, "file", '0', 1000, "");
	put(&a, block, sizeof block);
	put(&a, "x", 1);
	refused(&a, "cut off");
	member(&a, "s", 'S', "x", "");
	refused(&a, "sparse");
	pax(&a, 'x', "GNU.sparse.major", "1", 1);
	member(&a, "s", '0', "x", "");
	refused(&a, "sparse");
	member(&a, "m", 'M', "x", "");
	refused(&a, "another archive");
	member(&a, "m", 'Q', "x", "");
	refused(&a, "unknown type");
	header(block, "x", 'x', 5ULL << 30, "");
	put(&a, block, sizeof block);
	refused(&a, "too long");
	for (int i = 0; i < 100; i++)
		pax(&a, 'x', "SCHILY.xattr.user.x", "y", 1);
	member(&a, "s", '0', "x", "");
	refused(&a, "too many attributes");
	pax(&a, 'x', "path", "a\0b", 3);
	member(&a, "s", '0', "x", "");
	refused(&a, "NUL");
	member(&a, "big", '0', "x", "");
	a.buf.data[108] = (char)0x80;
	memset(a.buf.data + 109, 0x7f, 7);
	sum((unsigned char *)a.buf.data);
	refused(&a, "and a sandbox has ids below");
	pax(&a, 'x', "uid", "4294967295", 10);
	member(&a, ".", '5', "", "");
	refused(&a, "archive: /: its owner is 4294967295:");
}

static void limits(void **state)
{
	struct gb_untar_limits small = { .entries = 2, .bytes = 10, .ids = UINT32_MAX };
	struct gb_untar_result result;
	struct gb_err err = { 0 };
	struct archive a = { 0 };
	struct place p;

	(void)state;
	enter(&p);
	for (const char *name = "abc"; *name; name++) {
		char one[2] = { *name, '\0' };
		member(&a, one, '5', "", "");
	}
	end(&a);
	assert_int_equal(unpack(&p, &a, &small, &result, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "more than 2 members"));
	member(&a, "f", '0', "0123456789", "");
	member(&a, "g", '0', "x", "");
	end(&a);
	assert_int_equal(unpack(&p, &a, &small, &result, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "more than 10 bytes"));
	small = (struct gb_untar_limits){ .entries = 9, .bytes = 1 << 20, .reserve = UINT64_MAX, .ids = UINT32_MAX };
	member(&a, "h", '0', "x", "");
	end(&a);
	assert_int_equal(unpack(&p, &a, &small, &result, &err), -ENOSPC);
	leave(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads),
		cmocka_unit_test(records),
		cmocka_unit_test(times),
		cmocka_unit_test(paths),
		cmocka_unit_test(every_kind),
		cmocka_unit_test(long_names),
		cmocka_unit_test(attributes),
		cmocka_unit_test(no_way_out),
		cmocka_unit_test(links_are_replaced),
		cmocka_unit_test(what_is_no_archive),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
