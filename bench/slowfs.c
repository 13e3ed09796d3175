/* SPDX-License-Identifier: MIT */
/* A share that is slow: MOUNT/file has 64 MiB, and each read of it takes 20 ms. For bench/rpc. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, "/") == 0)
		*st = (struct stat){ .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
	else if (strcmp(path, "/file") == 0)
		*st = (struct stat){ .st_mode = S_IFREG | 0644, .st_nlink = 1, .st_size = 64 << 20 };
	else
		return -ENOENT;
	return 0;
}

static int do_read(const char *path, char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)path;
	(void)offset;
	(void)fi;
	(void)usleep(20000);
	memset(buf, 'x', size);
	return (int)size;
}

int main(int argc, char **argv)
{
	static const struct fuse_operations ops = { .getattr = do_getattr, .read = do_read };

	return fuse_main(argc, argv, &ops, NULL);
}
