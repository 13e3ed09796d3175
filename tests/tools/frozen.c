/* SPDX-License-Identifier: MIT */
/* frozen DIR: a FUSE file system at DIR whose server lives, takes every request and answers none: who asks for anything is
 * held, and once he is signalled he sleeps where no signal reaches him (request_wait_answer(), fs/fuse/dev.c). Prints
 * "asked" when it has taken the first one. */
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char request[1 << 18]; /* more than FUSE_MIN_READ_BUFFER and the max_write below */
	char options[64];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (argc != 2 || fd < 0) {
		perror("frozen: /dev/fuse");
		return 1;
	}
	(void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (mount("frozen", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		perror("frozen: mount");
		return 1;
	}
	for (unsigned asked = 0; read(fd, request, sizeof request) > 0;) {
		const struct fuse_in_header *in = (const void *)request;

		if (in->opcode != FUSE_INIT) {
			if (!asked++) {
				puts("asked");
				fflush(stdout);
			}
			continue;
		}
		struct { struct fuse_out_header head; struct fuse_init_out init; } reply = {
			.head = { .len = sizeof reply, .unique = in->unique },
			.init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096 },
		};
		if (write(fd, &reply, sizeof reply) != sizeof reply) {
			perror("frozen: INIT");
			return 1;
		}
	}
	return 0;
}
