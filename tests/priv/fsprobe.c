/* SPDX-License-Identifier: MIT */
/* One file system call a run, for the tests of mounts: prints "ok", "ok VALUE" or the name of the errno. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static int said(long long r)
{
	if (r < 0)
		printf("%s\n", strerrorname_np(errno));
	else if (r > 0)
		printf("ok %lld\n", r);
	else
		puts("ok");
	return 0;
}

static int flags_of(const char *text)
{
	static const struct { const char *word; int flag; } words[] = {
		{ "r", O_RDONLY }, { "w", O_WRONLY }, { "rw", O_RDWR }, { "trunc", O_TRUNC }, { "append", O_APPEND },
		{ "creat", O_CREAT }, { "excl", O_EXCL }, { "dir", O_DIRECTORY }, { "direct", O_DIRECT },
		{ "noatime", O_NOATIME }, { "path", O_PATH }, { "nofollow", O_NOFOLLOW },
	};
	char copy[256], *save = NULL;
	int flags = 0;

	snprintf(copy, sizeof copy, "%s", text);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		size_t i = 0;
		while (i < sizeof words / sizeof words[0] && strcmp(words[i].word, w) != 0)
			i++;
		if (i == sizeof words / sizeof words[0])
			exit(2);
		flags |= words[i].flag;
	}
	return flags;
}

static int must_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0) {
		said(-1);
		exit(0);
	}
	return fd;
}

/* Threads that read at random places and compare with the original. */
struct reader {
	const char *path;
	const unsigned char *want;
	size_t size;
	unsigned count, seed, wrong;
};

static void *read_randomly(void *arg)
{
	struct reader *r = arg;
	int fd = open(r->path, O_RDONLY | O_CLOEXEC);
	unsigned char *buf = malloc(1 << 18);

	if (fd < 0 || !buf) {
		r->wrong++;
		return NULL;
	}
	for (unsigned i = 0; i < r->count; i++) {
		size_t at = (size_t)rand_r(&r->seed) % r->size, len = (size_t)rand_r(&r->seed) % (1 << (i % 19));
		ssize_t n = pread(fd, buf, len, (off_t)at);
		size_t want = len < r->size - at ? len : r->size - at;
		if (n < 0 || (size_t)n != want || memcmp(buf, r->want + at, want) != 0)
			r->wrong++;
	}
	close(fd);
	free(buf);
	return NULL;
}

static int randread(const char *path, const char *original, unsigned threads, unsigned count)
{
	struct reader r[64];
	pthread_t t[64];
	struct stat st;
	int fd = must_open(original, O_RDONLY);
	unsigned wrong = 0;

	fstat(fd, &st);
	const unsigned char *want = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	for (unsigned i = 0; i < threads; i++) {
		r[i] = (struct reader){ path, want, (size_t)st.st_size, count, i + 1, 0 };
		pthread_create(&t[i], NULL, read_randomly, &r[i]);
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(t[i], NULL);
		wrong += r[i].wrong;
	}
	printf(wrong ? "%u wrong\n" : "ok\n", wrong);
	return 0;
}

/* Lists with telldir(3) and seekdir(3) back to each entry: each name once, and each seen again from its place. */
static int walkdir(const char *path)
{
	DIR *d = opendir(path);
	static long at[1 << 17];
	static char *names[1 << 17];
	long count = 0, wrong = 0;
	struct dirent *e;

	if (!d)
		return said(-1);
	for (;;) {
		at[count] = telldir(d);
		errno = 0;
		e = readdir(d);
		if (!e && errno) {
			said(-1);
			return closedir(d);
		}
		if (!e)
			break;
		names[count++] = strdup(e->d_name);
	}
	for (long i = count - 1; i >= 0; i -= 1 + count / 500) {
		seekdir(d, at[i]);
		e = readdir(d);
		wrong += !e || strcmp(e->d_name, names[i]) != 0;
	}
	closedir(d);
	return said(wrong ? (errno = EBADMSG, -1) : count);
}

/* A name made while a folder is open shows after rewinddir(3). */
static int rewound(const char *path, const char *name)
{
	DIR *d = opendir(path);
	char full[4096];
	struct dirent *e;
	int seen = 0;

	if (!d)
		return said(-1);
	while (readdir(d))
		;
	snprintf(full, sizeof full, "%s/%s", path, name);
	close(must_open(full, O_CREAT | O_WRONLY));
	rewinddir(d);
	while ((e = readdir(d)))
		seen += strcmp(e->d_name, name) == 0;
	closedir(d);
	return said(seen == 1 ? 0 : (errno = ENOENT, -1));
}

static int tmpfile_link(const char *dir, const char *as)
{
	char proc[64];
	struct stat st;
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);

	if (fd < 0)
		return said(-1);
	if (write(fd, "hidden\n", 7) != 7 || fstat(fd, &st) < 0 || st.st_nlink != 0 || st.st_size != 7)
		return said(-1);
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
	return said(linkat(AT_FDCWD, proc, AT_FDCWD, as, AT_SYMLINK_FOLLOW));
}

/* An open file whose name is gone still has its data and its attributes, by descriptor and by mapping. */
static int unlinked(const char *path)
{
	char buf[8] = { 0 };
	struct stat st;
	int fd = must_open(path, O_RDWR | O_CREAT | O_EXCL);

	if (write(fd, "alive", 5) != 5 || unlink(path) < 0)
		return said(-1);
	sleep(0);
	if (fstat(fd, &st) < 0 || fchmod(fd, 0600) < 0 || pread(fd, buf, 5, 0) != 5 || ftruncate(fd, 2) < 0 ||
	    fstat(fd, &st) < 0)
		return said(-1);
	return said(strcmp(buf, "alive") == 0 && st.st_size == 2 && st.st_nlink == 0 ? 0 : (errno = EBADMSG, -1));
}

/* What is held by a descriptor that opens nothing keeps its identity when it loses its name in each of the ways. */
static int held(const char *dir)
{
	static const char *const ways[] = { "unlink", "rename", "rename-onto", "exchange", "second-name", "first-name",
		"rmdir", "tmpfile" };
	char a[4096], b[4096], proc[64];
	struct stat before, after;

	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		const char *way = ways[i];
		int fd = -1, bad;

		snprintf(a, sizeof a, "%s/%s-a", dir, way);
		snprintf(b, sizeof b, "%s/%s-b", dir, way);
		if (!strcmp(way, "rmdir"))
			bad = mkdir(a, 0700);
		else if (!strcmp(way, "tmpfile"))
			bad = (fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0 ||
			      (snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd),
			       linkat(AT_FDCWD, proc, AT_FDCWD, a, AT_SYMLINK_FOLLOW));
		else
			bad = close(must_open(a, O_CREAT | O_EXCL | O_WRONLY));
		if (fd >= 0)
			close(fd);
		fd = must_open(a, O_PATH);
		bad = bad || fstat(fd, &before);
		if (!strcmp(way, "unlink") || !strcmp(way, "tmpfile"))
			bad = bad || unlink(a);
		else if (!strcmp(way, "rename"))
			bad = bad || rename(a, b) || unlink(b);
		else if (!strcmp(way, "rename-onto"))
			bad = bad || close(must_open(b, O_CREAT | O_WRONLY)) || rename(b, a) || unlink(a);
		else if (!strcmp(way, "exchange"))
			bad = bad || close(must_open(b, O_CREAT | O_WRONLY)) ||
			      renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) || unlink(b) || unlink(a);
		else if (!strcmp(way, "rmdir"))
			bad = bad || rmdir(a);
		else /* two names, which go in either order */
			bad = bad || link(a, b) || unlink(strcmp(way, "first-name") ? b : a) ||
			      unlink(strcmp(way, "first-name") ? a : b);
		bad = bad || fstat(fd, &after);
		if (!bad && (before.st_ino != after.st_ino || after.st_nlink != 0)) {
			errno = EBADMSG;
			bad = 1;
		}
		if (bad) {
			printf("%s: %s\n", way, strerrorname_np(errno));
			return 1;
		}
		close(fd);
	}
	return said(0);
}

static int map(const char *path, const char *original, int kind)
{
	struct stat st;
	int fd = must_open(path, O_RDONLY), ref = must_open(original, O_RDONLY);

	fstat(ref, &st);
	void *a = mmap(NULL, (size_t)st.st_size, kind == MAP_PRIVATE ? PROT_READ | PROT_WRITE : PROT_READ, kind, fd, 0);
	void *b = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, ref, 0);
	if (a == MAP_FAILED || b == MAP_FAILED)
		return said(-1);
	if (kind == MAP_PRIVATE)
		*(char *)a = *(const char *)b; /* a copy of our own */
	return said(memcmp(a, b, (size_t)st.st_size) == 0 ? 0 : (errno = EBADMSG, -1));
}

int main(int argc, char **argv)
{
	const char *op = argc > 1 ? argv[1] : "", *a = argc > 2 ? argv[2] : "", *b = argc > 3 ? argv[3] : "",
		   *c = argc > 4 ? argv[4] : "", *d = argc > 5 ? argv[5] : "";
	struct timespec now[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
	static char buf[1 << 20];
	struct stat st;
	int fd;

	/* As another user, from a working folder that this user may not have reached by its path. */
	if (!strcmp(op, "as-nobody"))
		return setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0 ?
			       2 : main(argc - 1, argv + 1);
	if (!strcmp(op, "open"))
		return said(open(a, flags_of(b) | O_CLOEXEC, 0644) < 0 ? -1 : 0);
	if (!strcmp(op, "write")) /* PATH FLAGS TEXT: writes, then closes */
		return fd = must_open(a, flags_of(b)), said(write(fd, c, strlen(c)) < 0 || close(fd) < 0 ? -1 : 0);
	if (!strcmp(op, "pread")) { /* PATH FLAGS OFFSET LENGTH */
		static void *aligned;
		if (posix_memalign(&aligned, 4096, 1 << 20))
			return 2;
		return fd = must_open(a, flags_of(b)), said(pread(fd, aligned, strtoull(d, NULL, 0), (off_t)strtoull(c, NULL, 0)));
	}
	if (!strcmp(op, "pwrite")) /* PATH TEXT OFFSET */
		return fd = must_open(a, O_WRONLY), said(pwrite(fd, b, strlen(b), atoll(c)));
	if (!strcmp(op, "truncate"))
		return said(truncate(a, atoll(b)));
	if (!strcmp(op, "chmod"))
		return said(chmod(a, 0700));
	if (!strcmp(op, "chown"))
		return said(chown(a, 1, 1));
	if (!strcmp(op, "utimes"))
		return said(utimensat(AT_FDCWD, a, now, 0));
	if (!strcmp(op, "lutimes"))
		return said(utimensat(AT_FDCWD, a, now, AT_SYMLINK_NOFOLLOW));
	if (!strcmp(op, "unlink"))
		return said(unlink(a));
	if (!strcmp(op, "rmdir"))
		return said(rmdir(a));
	if (!strcmp(op, "mkdir"))
		return said(mkdir(a, 0755));
	if (!strcmp(op, "mknod")) /* PATH file|fifo|char|socket */
		return said(mknod(a, (!strcmp(b, "fifo") ? S_IFIFO : !strcmp(b, "char") ? S_IFCHR :
				      !strcmp(b, "socket") ? S_IFSOCK : S_IFREG) | 0644,
				  !strcmp(b, "char") ? makedev((unsigned)atoi(c), (unsigned)atoi(d)) : 0));
	if (!strcmp(op, "symlink"))
		return said(symlink(a, b));
	if (!strcmp(op, "link"))
		return said(link(a, b));
	if (!strcmp(op, "rename")) /* OLD NEW [noreplace|exchange|whiteout] */
		return said(renameat2(AT_FDCWD, a, AT_FDCWD, b, !strcmp(c, "noreplace") ? RENAME_NOREPLACE :
				      !strcmp(c, "exchange") ? RENAME_EXCHANGE : !strcmp(c, "whiteout") ? RENAME_WHITEOUT : 0));
	if (!strcmp(op, "readlink"))
		return said(readlink(a, buf, sizeof buf));
	if (!strcmp(op, "getxattr"))
		return said(lgetxattr(a, b, buf, sizeof buf));
	if (!strcmp(op, "listxattr"))
		return said(llistxattr(a, buf, sizeof buf));
	if (!strcmp(op, "setxattr"))
		return said(lsetxattr(a, b, c, strlen(c), 0));
	if (!strcmp(op, "removexattr"))
		return said(lremovexattr(a, b));
	if (!strcmp(op, "fallocate")) /* PATH FLAGS MODE OFFSET:LENGTH */
		return fd = must_open(a, flags_of(b)),
		       said(fallocate(fd, !strcmp(c, "punch") ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE :
					  !strcmp(c, "keep") ? FALLOC_FL_KEEP_SIZE : 0, atoll(d), atoll(strchr(d, ':') + 1)));
	if (!strcmp(op, "stat"))
		return said(lstat(a, &st));
	if (!strcmp(op, "access"))
		return said(access(a, !strcmp(b, "w") ? W_OK : !strcmp(b, "x") ? X_OK : R_OK));
	if (!strcmp(op, "fsync")) /* PATH [FLAGS] */
		return said(fsync(must_open(a, *b ? flags_of(b) : O_RDWR)));
	if (!strcmp(op, "statfs")) {
		struct statvfs fs;
		return said(statvfs(a, &fs));
	}
	if (!strcmp(op, "seek")) /* PATH data|hole OFFSET */
		return fd = must_open(a, O_RDONLY), said(lseek(fd, atoll(c), !strcmp(b, "data") ? SEEK_DATA : SEEK_HOLE));
	if (!strcmp(op, "copy")) { /* FROM TO: the whole file by copy_file_range(2), which may copy less than it is asked */
		fd = must_open(a, O_RDONLY);
		fstat(fd, &st);
		int out = must_open(b, O_WRONLY | O_CREAT);
		ssize_t n, all = 0;
		while ((n = copy_file_range(fd, NULL, out, NULL, (size_t)(st.st_size - all), 0)) > 0 && (all += n) < st.st_size)
			;
		return said(n < 0 ? n : all);
	}
	if (!strcmp(op, "flock"))
		return said(flock(must_open(a, O_RDONLY), LOCK_EX | LOCK_NB));
	if (!strcmp(op, "closes")) { /* PATH COUNT */
		for (int i = 0; i < atoi(b); i++) {
			if (close(must_open(a, O_RDONLY)) < 0)
				return said(-1);
		}
		return said(0);
	}
	if (!strcmp(op, "map")) /* PATH ORIGINAL shared|private */
		return map(a, b, !strcmp(c, "private") ? MAP_PRIVATE : MAP_SHARED);
	if (!strcmp(op, "randread")) /* PATH ORIGINAL THREADS COUNT */
		return randread(a, b, (unsigned)atoi(c), (unsigned)atoi(d));
	if (!strcmp(op, "walkdir"))
		return walkdir(a);
	if (!strcmp(op, "rewind"))
		return rewound(a, b);
	if (!strcmp(op, "tmpfile"))
		return tmpfile_link(a, b);
	if (!strcmp(op, "held"))
		return held(a);
	if (!strcmp(op, "getflags")) { /* PATH: the flags of lsattr(1) */
		int flags = 0;
		fd = must_open(a, O_RDONLY);
		return said(ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ? -1 : flags);
	}
	if (!strcmp(op, "setflags")) /* PATH FLAGS */
		return fd = (int)strtol(b, NULL, 0), said(ioctl(must_open(a, O_RDONLY), FS_IOC_SETFLAGS, &fd));
	if (!strcmp(op, "project")) { /* PATH [ID]: the project of a quota */
		struct fsxattr x;
		fd = must_open(a, O_RDONLY);
		if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
			return said(-1);
		x.fsx_projid = *b ? (unsigned)atoi(b) : x.fsx_projid;
		return said(*b ? ioctl(fd, FS_IOC_FSSETXATTR, &x) : (int)x.fsx_projid);
	}
	if (!strcmp(op, "ioctl")) { /* PATH NUMBER */
		static char arg[1 << 14];
		return said(ioctl(must_open(a, O_RDONLY), strtoul(b, NULL, 0), arg));
	}
	if (!strcmp(op, "unlinked"))
		return unlinked(a);
	return 2;
}
