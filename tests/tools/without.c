/* SPDX-License-Identifier: MIT */
/* without CALL[,CALL...] COMMAND [ARG...]: runs a command to which each CALL fails with ENOSYS (seccomp(2)). */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct { const char *name; long number; } calls[] = {
	{ "fsopen", SYS_fsopen }, { "fsconfig", SYS_fsconfig }, { "fsmount", SYS_fsmount }, { "fspick", SYS_fspick },
	{ "move_mount", SYS_move_mount }, { "open_tree", SYS_open_tree }, { "mount_setattr", SYS_mount_setattr },
	{ "statx", SYS_statx }, { "mount", SYS_mount },
};

int main(int argc, char **argv)
{
	struct sock_filter filter[2 + 2 * sizeof calls / sizeof calls[0] + 1];
	unsigned short n = 0;

	if (argc < 3)
		return 2;
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (char *rest = NULL, *word = strtok_r(argv[1], ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		size_t i = 0;

		while (i < sizeof calls / sizeof calls[0] && strcmp(calls[i].name, word) != 0)
			i++;
		if (i == sizeof calls / sizeof calls[0] || n + 3u > sizeof filter / sizeof filter[0]) {
			fprintf(stderr, "without: unknown call %s\n", word);
			return 2;
		}
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = n, .filter = filter };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		perror("without: seccomp");
		return 2;
	}
	(void)execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
