/* SPDX-License-Identifier: MIT */
/* Fuzz target: archives of root file systems. Byte 0: 1, the checksum of each header is made anew; what follows is the
 * archive. Whatever it says, nothing beside its folder is made, read or changed. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/tar.h"
#include "common/sandbox/untar.h"
#include "common/sys/rmtree.h"
#include "tests/fuzz/fuzz.h"

static char outer[128], root[160], beside[160];

static void leave(void)
{
	(void)gb_rmtree_inside(outer, NULL);
	(void)rmdir(outer);
}

static void enter(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(outer, sizeof outer, "%.64s/gb-fuzz-untar-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(outer))
		abort();
	(void)atexit(leave);
	(void)snprintf(root, sizeof root, "%s/root", outer);
	(void)snprintf(beside, sizeof beside, "%s/beside", outer);
	gb_autoclose int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "kept", 4) != 4)
		abort();
}

/* Without it nearly every changed byte would end in the same place. */
static void mend_sums(uint8_t *data, size_t size)
{
	struct gb_tar_head head;
	const char *why;

	for (size_t at = 0; size - at >= GB_TAR_BLOCK;) {
		uint8_t *block = data + at;
		unsigned sum = 0;
		char text[8];

		memset(block + 148, ' ', 8);
		for (int i = 0; i < GB_TAR_BLOCK; i++)
			sum += block[i];
		if (sum == 8 * ' ') { /* the end mark */
			memset(block + 148, 0, 8);
			return;
		}
		(void)snprintf(text, sizeof text, "%06o", sum);
		memcpy(block + 148, text, 7);
		at += GB_TAR_BLOCK;
		if (gb_tar_head(block, &head, &why) != 0 || head.size > size - at)
			return;
		at += (head.size + GB_TAR_BLOCK - 1) / GB_TAR_BLOCK * GB_TAR_BLOCK;
		if (at > size)
			return;
	}
}

static void check_beside(const struct stat *before)
{
	gb_autoclosedir DIR *dir = opendir(outer);
	struct stat st;
	int count = 0;

	if (!dir || lstat(beside, &st) < 0)
		abort();
	while (readdir(dir))
		count++;
	if (count != 4 || st.st_size != 4 || st.st_nlink != 1 || st.st_mode != before->st_mode || st.st_uid != before->st_uid ||
	    st.st_ctim.tv_sec != before->st_ctim.tv_sec || st.st_ctim.tv_nsec != before->st_ctim.tv_nsec)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct gb_untar_limits limits = { .entries = 64, .bytes = 1 << 20, .ids = 65536 };
	struct gb_untar_result result = { 0 };
	struct gb_err err = { 0 };
	struct stat before, st;

	if (size < 1)
		return 0;
	gb_autofree uint8_t *copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		mend_sums(copy, size - 1);
	if (!*outer)
		enter();
	if (mkdir(root, 0755) < 0 || lstat(beside, &before) < 0)
		abort();
	gb_autoclose int in = memfd_create("archive", MFD_CLOEXEC), fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in < 0 || fd < 0 || gb_io_write(in, copy, size - 1) < 0 || lseek(in, 0, SEEK_SET) < 0)
		abort();
	int r = gb_untar(in, fd, &limits, &result, &err);
	if (r < 0 ? !err.msg[0] : result.entries > limits.entries || result.bytes > limits.bytes)
		abort();
	/* It is read to its end, or said why not. */
	if (r == 0 && lseek(in, 0, SEEK_CUR) != (off_t)size - 1)
		abort();
	check_beside(&before);
	if (lstat(root, &st) < 0 || !S_ISDIR(st.st_mode))
		abort();
	(void)chmod(root, 0755);
	(void)gb_rmtree_inside(root, NULL);
	if (rmdir(root) < 0)
		abort();
	return 0;
}
