/* SPDX-License-Identifier: MIT */
/* Only in a tree of make coverage: what a process has counted is written before it can no longer be. */
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * libgcov writes its counters from exit(3) and exec(3) alone. These stand in the place of the C library's functions of the
 * same names, since this archive is linked before it: a child that leaves by _exit(2), a process that is about to lose the
 * build tree from its sight (chroot) or the right to write there (setresuid), and the last one (reboot). What runs behind
 * the last three is not counted, and neither is what SIGKILL ended.
 */
void __gcov_dump(void);

void _exit(int status)
{
	__gcov_dump();
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

int chroot(const char *path)
{
	__gcov_dump();
	return (int)syscall(SYS_chroot, path);
}

int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	__gcov_dump();
	return (int)syscall(SYS_setresuid, real, effective, saved);
}

int reboot(int how)
{
	__gcov_dump();
	return (int)syscall(SYS_reboot, 0xfee1dead, 0x28121969, how, NULL); /* LINUX_REBOOT_MAGIC1, 2 */
}
