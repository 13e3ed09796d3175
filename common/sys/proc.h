/* SPDX-License-Identifier: MIT */
/* Processes as /proc/PID/stat shows them. */
#ifndef GB_SYS_PROC_H
#define GB_SYS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gb_proc {
	pid_t pid;
	char state;       /* proc_pid_stat(5): R S D T Z ... */
	bool kernel;      /* a kernel thread */
	bool shell;       /* leads a session that has a terminal */
	bool keep;        /* argv[0] starts with '@': serves the root file system, ends with the kernel */
	uint64_t start;   /* clock ticks since boot: with pid it names one process for good */
	char command[32]; /* the kernel's name of it, at most 15 bytes (more for kernel threads) */
};

struct gb_proc_list {
	struct gb_proc *procs;
	size_t count, size;
	pid_t *kernel; /* the kernel threads of the last scan */
	size_t kernel_count, kernel_size;
};

void gb_proc_list_free(struct gb_proc_list *list);
#define gb_autoproclist __attribute__((cleanup(gb_proc_list_free)))

/* Reads one line of /proc/PID/stat, whose second field may hold any byte but NUL. Pure. 0 or -EINVAL. */
int gb_proc_parse(const char *line, struct gb_proc *ret_proc);

/* One process: 0, -ESRCH when it is gone, or -errno. */
int gb_proc_read(pid_t pid, struct gb_proc *ret_proc);

/* Every process of this /proc that is alive and no kernel thread, in rising order of PIDs; list is emptied first and its
 * memory used again. A zombie is not alive, unless threads of it still run. trust: what was a kernel thread in the last
 * scan is one still and is not read again - four of five processes of an idle guest. 0 or -errno (-ENOENT: no /proc). */
int gb_proc_scan(struct gb_proc_list *list, bool trust);

/* Whether this process lives in the kernel's first PID namespace: only there reboot(2) is about the machine. */
bool gb_proc_is_machine(void);

#endif
