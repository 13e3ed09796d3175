/* SPDX-License-Identifier: MIT */
/* Giving up rights for good: identity, capabilities, files, system calls. */
#ifndef GB_SYS_CONFINE_H
#define GB_SYS_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The leak check at the end of a sanitized process reads /proc, starts a thread and traces it: calls are not refused there
 * but for those that are NEVER. */
#ifdef __SANITIZE_ADDRESS__
enum { GB_CONFINE_SANITIZED = 1 };
#else
enum { GB_CONFINE_SANITIZED = 0 };
#endif

/* All return 0 or -errno, and change the calling process for good. */

/* no_new_privs: execve(2) grants nothing (prctl(2)); the next two need it unless the caller is root. */
int gb_confine_no_new_privs(void);
/* Another user and group, no supplementary groups. -EPERM without the right to, -EINVAL in a user namespace that does not
 * map them. */
int gb_confine_ids(uid_t uid, gid_t gid);
/* No capability in any set that execve(2) or a call could draw on. */
int gb_confine_caps(void);
/* Landlock: no file, no TCP port, and as the kernel knows it no signal to and no abstract socket of a process outside. May
 * read below `readable` (NULL: nothing). The ABI's number, or -ENOSYS, -EOPNOTSUPP where the kernel does not do it. */
int gb_confine_landlock(const char *readable);

enum gb_syscall_when {
	GB_SYSCALL_ALWAYS,
	GB_SYSCALL_WITHOUT, /* none of these bits is set in the argument */
	GB_SYSCALL_EQUAL,   /* the argument has this value (its lower 32 bits) */
	GB_SYSCALL_NEVER,   /* the process is killed: code that is not ours runs */
};

struct gb_syscall {
	int number;
	enum gb_syscall_when when;
	unsigned argument;
	uint32_t value;
};

/* The system calls that stay; any other fails with EPERM. -EINVAL or -ENOSYS where the kernel has no seccomp filters, or no
 * KILL_PROCESS (Linux 4.14). otherwise_allowed: only what is NEVER is refused. */
int gb_confine_syscalls(const struct gb_syscall *rules, size_t n, bool otherwise_allowed);

#endif
