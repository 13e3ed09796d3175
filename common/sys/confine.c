/* SPDX-License-Identifier: MIT */
/* Giving up rights. */
#include "common/sys/confine.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"

int gb_confine_no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int gb_confine_ids(uid_t uid, gid_t gid)
{
	/* The user last: without root the rest could not be done (setgroups(2), setresgid(2)). */
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

int gb_confine_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* Ambient ones go with the inheritable set that they are part of (capabilities(7)). */
	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

/* ---- Landlock ---- */

/* The kernel's struct of 6.12, by itself: older headers have it shorter, older kernels are told a shorter size. */
struct ruleset {
	uint64_t fs, net, scoped;
};
struct beneath {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

_Static_assert(sizeof(struct ruleset) == 24 && sizeof(struct beneath) == 12, "include/uapi/linux/landlock.h");

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum {
	CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1,
	FS_V1 = 0x1fff, FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15,
	FS_READ = 1 << 2 | 1 << 3, /* files, folders */
	NET_TCP = 3, SCOPES = 3,
};

int gb_confine_landlock(const char *readable)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	if (abi < 0)
		return -errno;
	struct ruleset rules = {
		.fs = FS_V1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0),
		.net = abi >= 4 ? NET_TCP : 0,
		.scoped = abi >= 6 ? SCOPES : 0,
	};
	size_t size = abi >= 6 ? sizeof rules : abi >= 4 ? offsetof(struct ruleset, scoped) : offsetof(struct ruleset, net);
	gb_autoclose int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd < 0)
		return -errno;
	if (readable) {
		gb_autoclose int dir = open(readable, O_PATH | O_CLOEXEC);
		struct beneath below = { .access = FS_READ, .fd = dir };
		if (dir < 0 || syscall(SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &below, 0) < 0)
			return -errno;
	}
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : abi;
}

/* ---- seccomp ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#endif

enum { RULES_MAX = 128, EACH = 5, FIXED = 6 };

#ifdef ARCH
struct program {
	struct sock_filter code[FIXED + EACH * RULES_MAX];
	unsigned short len;
};

static void put(struct program *program, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	program->code[program->len++] = (struct sock_filter){ .code = code, .k = k, .jt = yes, .jf = no };
}

static void load(struct program *program, size_t offset)
{
	put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void give(struct program *program, uint32_t action)
{
	put(program, BPF_RET | BPF_K, action, 0, 0);
}

/* Where the rest of a rule is looked at, the number is loaded no more: all ways from there end. */
static void rule(struct program *program, const struct gb_syscall *call, uint32_t refuse)
{
	size_t low = __BYTE_ORDER == __LITTLE_ENDIAN ? 0 : 4;

	if (call->when == GB_SYSCALL_ALWAYS || call->when == GB_SYSCALL_NEVER) {
		put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call->number, 0, 1);
		give(program, call->when == GB_SYSCALL_ALWAYS ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
		return;
	}
	bool equal = call->when == GB_SYSCALL_EQUAL;
	put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call->number, 0, 4);
	load(program, offsetof(struct seccomp_data, args[call->argument]) + low);
	put(program, BPF_JMP | (equal ? BPF_JEQ : BPF_JSET) | BPF_K, call->value, 0, 1);
	give(program, equal ? SECCOMP_RET_ALLOW : refuse);
	give(program, equal ? refuse : SECCOMP_RET_ALLOW);
}
#endif

int gb_confine_syscalls(const struct gb_syscall *rules, size_t n, bool otherwise_allowed)
{
#ifdef ARCH
	struct program program = { .len = 0 };
	uint32_t refuse = SECCOMP_RET_ERRNO | EPERM, action = SECCOMP_RET_KILL_PROCESS;

	if (n > RULES_MAX)
		return -E2BIG;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
		return -errno;
	load(&program, offsetof(struct seccomp_data, arch));
	put(&program, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	give(&program, SECCOMP_RET_KILL_PROCESS);
	load(&program, offsetof(struct seccomp_data, nr)); /* x32's numbers have bit 30 set: they are in no rule */
	for (size_t i = 0; i < n; i++)
		rule(&program, &rules[i], refuse);
	give(&program, otherwise_allowed ? SECCOMP_RET_ALLOW : refuse);
	struct sock_fprog filter = { .len = program.len, .filter = program.code };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0 ? -errno : 0;
#else
	(void)rules;
	(void)n;
	(void)otherwise_allowed;
	return -ENOSYS;
#endif
}
