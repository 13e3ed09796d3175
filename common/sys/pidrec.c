/* SPDX-License-Identifier: MIT */
/* Records of processes. */
#include "common/sys/pidrec.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"

int gb_pidrec_parse(const char *text, const char *boot, pid_t *ret_pid, uint64_t *ret_start)
{
	long long pid;
	uint64_t start;
	char of[GB_BOOT_ID];
	int end = 0;

	if (sscanf(text, "%lld %" SCNu64 " %39s%n", &pid, &start, of, &end) != 3 || pid < 2 || pid > INT_MAX ||
	    strcmp(text + end, "\n") != 0 || strcmp(of, boot) != 0)
		return -EINVAL;
	*ret_pid = (pid_t)pid;
	*ret_start = start;
	return 0;
}

void gb_pidrec_boot_id(char boot[GB_BOOT_ID])
{
	if (gb_io_line(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot, GB_BOOT_ID) < 0 || !boot[0])
		(void)strlcpy(boot, "-", GB_BOOT_ID);
}

int gb_pidrec_write(const char *path, const struct gb_proc *proc)
{
	char boot[GB_BOOT_ID], text[128], other[512];

	gb_pidrec_boot_id(boot);
	int len = snprintf(text, sizeof text, "%d %" PRIu64 " %s\n", (int)proc->pid, proc->start, boot);
	int n = snprintf(other, sizeof other, "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof other)
		return -ENAMETOOLONG;
	gb_autoclose int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : gb_io_write(fd, text, (size_t)len);
	if (r == 0 && rename(other, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(other);
	return r;
}

int gb_pidrec_read(const char *path, struct gb_proc *ret_proc)
{
	gb_autobuf struct gb_buf text = { 0 };
	char boot[GB_BOOT_ID];
	struct gb_proc proc;
	uint64_t start;
	pid_t pid;

	gb_pidrec_boot_id(boot);
	if (gb_io_slurp(AT_FDCWD, path, 256, &text) < 0 ||
	    gb_pidrec_parse(gb_buf_text(&text), boot, &pid, &start) < 0)
		return -ENOENT;
	int r = gb_proc_read(pid, &proc);
	if (r < 0)
		return r == -ESRCH ? -ESRCH : -ENOENT;
	if (proc.start != start || proc.state == 'Z' || proc.state == 'X')
		return -ESRCH;
	*ret_proc = proc;
	return 0;
}
