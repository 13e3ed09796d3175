/* SPDX-License-Identifier: MIT */
/* Power cuts: rebuilds a disk as it was after each write of a log, and without each write that no flush had followed
 * yet, and sets up every one of these disks.
 *
 * powercut run LOG SIZE WORK max=N [base=FILE] -- COMMAND...
 * powercut file PATH SEED SIZE
 *
 * COMMAND is run with {disk} and {root} replaced; it must exit 0, print "result":"ready", and leave the volumes mounted
 * below {root}. A mark "ready" in the log: from then on no disk may be formatted any more. A mark "file PATH SEED SIZE":
 * from then on that file, below {root}, must have the content that `powercut file` gives it. Images are dropped that are
 * the same as an earlier one. max=N takes N of them, evenly; 0 takes all. Prints "cuts N images N tested N" and, for each
 * disk that failed, a line and its image. Runs in a mount namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/priv/disklog.h"

enum { PAGE = 4096 };

static unsigned char *log_mem;
static uint64_t size;
static const struct record **rec; /* all records, in order */
static size_t recs;
static unsigned char *stable, *image; /* at the last flush; as it is to be tested */
static const char *work;
static char **command;

static void die(const char *what)
{
	fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const unsigned char *data_of(const struct record *r)
{
	return (const unsigned char *)(r + 1);
}

static void apply(unsigned char *to, const struct record *r)
{
	if (r->type == RECORD_WRITE)
		memcpy(to + r->offset, data_of(r), r->len);
	else if (r->type == RECORD_ZERO)
		memset(to + r->offset, 0, r->len);
}

/* ---- pages that are not zero, and a sum of the whole image kept page by page ---- */

static uint64_t *page_sum; /* of `image` */
static uint64_t whole_sum;

static uint64_t sum_page(uint64_t number)
{
	const uint64_t *p = (const uint64_t *)(const void *)(image + number * PAGE);
	uint64_t h = 0, any = 0;

	for (size_t i = 0; i < PAGE / 8; i++) {
		any |= p[i];
		h = (h ^ p[i]) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return any ? (h ^ number * 0xc2b2ae3d27d4eb4fu) | 1 : 0;
}

static void refresh(const struct record *r)
{
	if (r->type != RECORD_WRITE && r->type != RECORD_ZERO)
		return;
	if (r->len == 0)
		return;
	for (uint64_t n = r->offset / PAGE; n <= (r->offset + r->len - 1) / PAGE; n++) {
		whole_sum ^= page_sum[n];
		page_sum[n] = sum_page(n);
		whole_sum ^= page_sum[n];
	}
}

static uint64_t *seen;
static size_t seen_len, seen_room;

static bool is_new(uint64_t sum)
{
	if (sum == 0)
		sum = 1;
	if (seen_len * 2 >= seen_room) {
		size_t room = seen_room ? seen_room * 2 : 1 << 16;
		uint64_t *bigger = calloc(room, sizeof *bigger);
		if (!bigger)
			die("memory");
		for (size_t i = 0; i < seen_room; i++) {
			if (!seen[i])
				continue;
			size_t at = seen[i] & (room - 1);
			while (bigger[at])
				at = (at + 1) & (room - 1);
			bigger[at] = seen[i];
		}
		free(seen);
		seen = bigger;
		seen_room = room;
	}
	size_t at = sum & (seen_room - 1);
	while (seen[at] && seen[at] != sum)
		at = (at + 1) & (seen_room - 1);
	if (seen[at])
		return false;
	seen[at] = sum;
	seen_len++;
	return true;
}

/* ---- one disk ---- */

static unsigned char pattern(uint64_t seed, uint64_t i)
{
	uint64_t v = (seed * 0x9e3779b97f4a7c15u) ^ (i / 8 * 0xc2b2ae3d27d4eb4fu);

	v ^= v >> 31;
	return (unsigned char)((v * 0x165667b19e3779f9u) >> (i % 8 * 8));
}

static int make_file(const char *path, uint64_t seed, uint64_t len)
{
	unsigned char *buf = malloc(len);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (!buf || fd < 0)
		die(path);
	for (uint64_t i = 0; i < len; i++)
		buf[i] = pattern(seed, i);
	if (write(fd, buf, len) != (ssize_t)len || fsync(fd) < 0 || close(fd) < 0)
		die(path);
	free(buf);
	return 0;
}

static bool file_holds(const char *root, const char *mark)
{
	char path[256], full[1024];
	uint64_t seed, len;

	if (sscanf(mark, "file %255s %" SCNu64 " %" SCNu64, path, &seed, &len) != 3)
		return false;
	(void)snprintf(full, sizeof full, "%s/%s", root, path);
	int fd = open(full, O_RDONLY);
	if (fd < 0)
		return false;
	unsigned char *buf = malloc(len + 1);
	ssize_t n = buf ? read(fd, buf, len + 1) : -1;
	bool good = n == (ssize_t)len;
	for (uint64_t i = 0; good && i < len; i++)
		good = buf[i] == pattern(seed, i);
	free(buf);
	(void)close(fd);
	return good;
}

static void write_image(const char *path)
{
	(void)unlink(path); /* a loop device may still be letting go of the one before */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		die(path);
	for (uint64_t n = 0; n < size / PAGE; n++) {
		if (page_sum[n] && pwrite(fd, image + n * PAGE, PAGE, (off_t)(n * PAGE)) != PAGE)
			die(path);
	}
	(void)close(fd);
}

/* Unmounts all below root; how many there were. */
static int unmount_below(const char *root)
{
	char *targets[64];
	char line[4096], at[1024];
	int n = 0;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%*d %*d %*s %*s %1023s", at) == 1 && strncmp(at, root, strlen(root)) == 0 &&
		    at[strlen(root)] == '/' && n < 64)
			targets[n++] = strdup(at);
	}
	if (f)
		(void)fclose(f);
	for (int i = n; i-- > 0;) {
		if (umount2(targets[i], 0) < 0)
			die(targets[i]);
		free(targets[i]);
	}
	return n;
}

static size_t tested, failures;

static void test_disk(size_t upto, size_t dropped, bool ready)
{
	char disk[512], root[512], out[512], text[1 << 16];
	char *argv[64];
	const char *why = NULL;

	(void)snprintf(disk, sizeof disk, "%s/cut.img", work);
	(void)snprintf(root, sizeof root, "%s/root", work);
	(void)snprintf(out, sizeof out, "%s/out", work);
	(void)mkdir(root, 0755);
	write_image(disk);
	int n = 0;
	for (char **c = command; *c && n < 63; c++) {
		char *at;
		if (asprintf(&argv[n], "%s", *c) < 0)
			die("memory");
		if ((at = strstr(argv[n], "{disk}")) || (at = strstr(argv[n], "{root}"))) {
			char *with;
			if (asprintf(&with, "%.*s%s%s", (int)(at - argv[n]), argv[n], at[1] == 'd' ? disk : root, at + 6) < 0)
				die("memory");
			free(argv[n]);
			argv[n] = with;
		}
		n++;
	}
	argv[n] = NULL;
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(127);
		execvp(argv[0], argv);
		_exit(127);
	}
	int status = -1;
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		die(argv[0]);
	for (int i = 0; i < n; i++)
		free(argv[i]);
	int fd = open(out, O_RDONLY);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (len < 0)
		die(out);
	text[len] = '\0';
	(void)close(fd);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		why = "not set up";
	else if (!strstr(text, "\"result\":\"ready\""))
		why = "no result";
	else if (ready && strstr(text, "\"step\":\"format\""))
		why = "formatted although it was ready once";
	for (size_t i = 0; !why && i < upto; i++) {
		if (rec[i]->type == RECORD_MARK) {
			char mark[512];
			(void)snprintf(mark, sizeof mark, "%.*s", (int)rec[i]->len, (const char *)data_of(rec[i]));
			if (strncmp(mark, "file ", 5) == 0 && !file_holds(root, mark)) {
				static char lost[600];
				(void)snprintf(lost, sizeof lost, "lost: %s", mark);
				why = lost;
			}
		}
	}
	int mounts = unmount_below(root);
	if (!why && mounts != 6)
		why = "not six mounts";
	tested++;
	if (why) {
		char kept[600];
		failures++;
		(void)snprintf(kept, sizeof kept, "%s/failed-%zu-%zd.img", work, upto, (ssize_t)dropped);
		write_image(kept);
		printf("cut after record %zu%s%zd: %s (%s)\n%s\n", upto, (ssize_t)dropped < 0 ? ", nothing dropped " :
		       ", without ", (ssize_t)dropped, why, kept, text);
		(void)fflush(stdout);
	}
}

/* ---- all disks ---- */

static size_t cuts, images;

/* Calls test_disk for each image whose number is among the chosen ones; with max 0 and count_only just counts. */
static void go_through(bool count_only, double step)
{
	size_t window = 0; /* first record after the last flush */
	uint64_t marks = 0; /* a disk counts as another one once more is promised of it */
	bool ready = false;
	double next = 0;

	cuts = images = 0;
	free(seen);
	seen = NULL;
	seen_len = seen_room = 0;
	for (size_t k = 0; k <= recs; k++) {
		/* The image as it is after the first k records, then the same without each of those since the flush. */
		for (ssize_t drop = -1; drop < (ssize_t)(k - window); drop++) {
			if (drop >= 0) {
				const struct record *gone = rec[window + (size_t)drop];
				if (gone->type != RECORD_WRITE && gone->type != RECORD_ZERO)
					continue;
				for (size_t i = window; i < k; i++) {
					const struct record *r = rec[i];
					if (r->type == RECORD_WRITE || r->type == RECORD_ZERO)
						memcpy(image + r->offset, stable + r->offset, r->len);
				}
				for (size_t i = window; i < k; i++) {
					if (i != window + (size_t)drop)
						apply(image, rec[i]);
				}
				for (size_t i = window; i < k; i++)
					refresh(rec[i]);
			}
			cuts++;
			if (!is_new(whole_sum ^ marks * 0xd6e8feb86659fd93u))
				continue;
			bool last = k == recs && drop < 0;
			if (!count_only && ((double)images >= next || last)) {
				test_disk(k, drop < 0 ? (size_t)-1 : window + (size_t)drop, ready);
				next += step;
			}
			images++;
		}
		if (k > window) {
			for (size_t i = window; i < k; i++)
				apply(image, rec[i]);
			for (size_t i = window; i < k; i++)
				refresh(rec[i]);
		}
		if (k == recs)
			break;
		if (rec[k]->type == RECORD_FLUSH) {
			for (size_t i = window; i < k; i++)
				apply(stable, rec[i]);
			window = k + 1;
		} else if (rec[k]->type == RECORD_MARK) {
			marks++;
			if (rec[k]->len >= 5 && memcmp(data_of(rec[k]), "ready", 5) == 0)
				ready = true;
		} else {
			apply(image, rec[k]);
			refresh(rec[k]);
		}
	}
}

static void reset(const char *base)
{
	if (stable)
		(void)munmap(stable, size);
	if (image)
		(void)munmap(image, size);
	stable = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stable == MAP_FAILED || image == MAP_FAILED)
		die("memory");
	free(page_sum);
	page_sum = calloc(size / PAGE, sizeof *page_sum);
	if (!page_sum)
		die("memory");
	whole_sum = 0;
	if (base && (disklog_load(base, stable, size) < 0 || disklog_load(base, image, size) < 0))
		die(base);
	const struct record all = { .type = RECORD_ZERO, .offset = 0, .len = size };
	if (base)
		refresh(&all);
}

static void load_log(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	log_mem = mmap(NULL, (size_t)st.st_size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (log_mem == MAP_FAILED)
		die(path);
	/* Records stand on any byte: copies of them, each with its data. */
	for (size_t at = 0; at + sizeof(struct record) <= (size_t)st.st_size;) {
		struct record r;
		memcpy(&r, log_mem + at, sizeof r);
		size_t data = r.type == RECORD_WRITE || r.type == RECORD_MARK ? r.len : 0;
		struct record *copy = malloc(sizeof r + data);
		rec = realloc(rec, (recs + 1) * sizeof *rec);
		if (!copy || !rec)
			die("memory");
		memcpy(copy, log_mem + at, sizeof r + data);
		rec[recs++] = copy;
		at += sizeof r + data;
	}
	(void)munmap(log_mem, (size_t)st.st_size + 1);
	(void)close(fd);
}

int main(int argc, char **argv)
{
	const char *base = NULL;
	size_t max = 0;
	int i = 5;

	if (argc == 5 && strcmp(argv[1], "file") == 0)
		return make_file(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	if (argc < 7 || strcmp(argv[1], "run") != 0) {
		fprintf(stderr, "usage: powercut run LOG SIZE WORK max=N [base=FILE] -- COMMAND... | file PATH SEED SIZE\n");
		return 2;
	}
	size = strtoull(argv[3], NULL, 10);
	work = argv[4];
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strncmp(argv[i], "max=", 4) == 0)
			max = strtoull(argv[i] + 4, NULL, 10);
		else if (strncmp(argv[i], "base=", 5) == 0)
			base = argv[i] + 5;
	}
	command = argv + i + 1;
	if (i >= argc || !*command)
		return 2;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		die("mount namespace");
	load_log(argv[2]);
	reset(base);
	go_through(true, 1);
	double step = max && images > max ? (double)images / (double)max : 1;
	reset(base);
	go_through(false, step);
	printf("cuts %zu images %zu tested %zu failed %zu\n", cuts, images, tested, failures);
	return failures != 0;
}
