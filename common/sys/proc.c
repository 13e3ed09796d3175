/* SPDX-License-Identifier: MIT */
/* Processes. */
#include "common/sys/proc.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/base/list.h"

#define PF_KTHREAD 0x00200000       /* include/linux/sched.h */
#define PROC_PID_INIT_INO 0xeffffffc /* include/linux/proc_ns.h: the first PID namespace, since Linux 3.8 */

void gb_proc_list_free(struct gb_proc_list *list)
{
	free(list->procs);
	free(list->kernel);
	*list = (struct gb_proc_list){ 0 };
}

int gb_proc_parse(const char *line, struct gb_proc *ret_proc)
{
	struct gb_proc p = { 0 };
	const char *open = strchr(line, '('), *shut = strrchr(line, ')');
	long long pid, session, tty, threads;
	unsigned long flags;
	unsigned long long start;

	if (!open || !shut || shut < open)
		return -EINVAL;
	/* proc_pid_stat(5): state ppid pgrp session tty tpgid flags 4x faults 2x time 2x ctime prio nice threads - start */
	if (sscanf(line, "%lld ", &pid) != 1 || pid < 1 || pid > INT_MAX ||
	    sscanf(shut + 1, " %c %*s %*s %lld %lld %*s %lu %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lld %*s %llu", &p.state,
		   &session, &tty, &flags, &threads, &start) != 6)
		return -EINVAL;
	p.pid = (pid_t)pid;
	p.shell = session == pid && tty != 0;
	p.kernel = flags & PF_KTHREAD;
	p.start = start;
	/* The leader may be gone before its threads are (pthread_exit(3) in main). */
	if (p.state == 'Z' && threads > 1)
		p.state = 'S';
	size_t len = (size_t)(shut - open - 1);
	if (len > sizeof p.command - 1)
		len = sizeof p.command - 1;
	memcpy(p.command, open + 1, len);
	*ret_proc = p;
	return 0;
}

/* A file of /proc/PID into a small buffer: its length, or -errno. */
static ssize_t read_small(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	ssize_t n = gb_io_read(fd, buf, size - 1);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

int gb_proc_read(pid_t pid, struct gb_proc *ret_proc)
{
	char text[1024], name[2];
	ssize_t n = read_small(pid, "stat", text, sizeof text);

	if (n < 0)
		return (int)n;
	int r = gb_proc_parse(text, ret_proc);
	if (r == 0 && !ret_proc->kernel && read_small(pid, "cmdline", name, sizeof name) == 1)
		ret_proc->keep = name[0] == '@';
	return r;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

int gb_proc_scan(struct gb_proc_list *list, bool trust)
{
	gb_autoclosedir DIR *dir = opendir("/proc");
	size_t known = trust ? list->kernel_count : 0;
	const struct dirent *entry;
	int r = 0;

	list->count = 0;
	if (!trust)
		list->kernel_count = 0;
	if (!dir)
		return -errno;
	while (r == 0 && (r = gb_dir_next(dir, &entry)) > 0) {
		struct gb_proc p;
		pid_t pid;

		r = 0;
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (known && bsearch(&pid, list->kernel, known, sizeof pid, by_pid))
			continue;
		if (gb_proc_read(pid, &p) < 0 || p.state == 'Z' || p.state == 'X')
			continue;
		if (p.kernel) {
			r = gb_list_room(&list->kernel, list->kernel_count, &list->kernel_size, sizeof *list->kernel);
			if (r == 0)
				list->kernel[list->kernel_count++] = pid;
			continue;
		}
		r = gb_list_room(&list->procs, list->count, &list->size, sizeof *list->procs);
		if (r == 0)
			list->procs[list->count++] = p;
	}
	if (list->kernel_count)
		qsort(list->kernel, list->kernel_count, sizeof *list->kernel, by_pid);
	return r;
}

bool gb_proc_is_machine(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino == PROC_PID_INIT_INO;
}
