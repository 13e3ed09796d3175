/* SPDX-License-Identifier: MIT */
/* A file system for tests whose every operation can be told to fail: what is below BACKING, except that the operation
 * that CONTROL names fails with the error that it names.
 *
 * failfs BACKING CONTROL MOUNT. CONTROL holds "OPERATION ERRNO", or nothing; it is read anew for each request. Caches
 * nothing, so that each request of the client comes here. Goes to the background when it is mounted. */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static int backing, control;

/* The errno that `op` is to fail with, negative, or 0. */
static int told(const char *op)
{
	char text[64], word[32];
	int error;
	ssize_t n = pread(control, text, sizeof text - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%31s %d", word, &error) == 2 && strcmp(word, op) == 0 ? -error : 0;
}

static const char *rel(const char *path) { return path[1] ? path + 1 : "."; }

static int said(long r) { return r < 0 ? -errno : (int)r; }

#define FAIL(op)                       \
	do {                           \
		int error = told(op);  \
		if (error)             \
			return error;  \
	} while (0)

static void *start(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->use_ino = 1;
	config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
	return NULL;
}

/* libfuse's high level looks names up by getattr: a name is "lookup", an open file is "getattr". */
static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	if (fi) {
		FAIL("getattr");
		return said(fstat((int)fi->fh, st));
	}
	if (path[1])
		FAIL("lookup");
	return said(fstatat(backing, rel(path), st, AT_SYMLINK_NOFOLLOW));
}

static int do_readlink(const char *path, char *buf, size_t size)
{
	FAIL("readlink");
	ssize_t n = readlinkat(backing, rel(path), buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

static int do_mknod(const char *path, mode_t mode, dev_t rdev)
{
	FAIL("mknod");
	return said(mknodat(backing, rel(path), mode, rdev));
}

static int do_mkdir(const char *path, mode_t mode)
{
	FAIL("mkdir");
	return said(mkdirat(backing, rel(path), mode));
}

static int do_symlink(const char *target, const char *path)
{
	FAIL("symlink");
	return said(symlinkat(target, backing, rel(path)));
}

static int do_unlink(const char *path)
{
	FAIL("unlink");
	return said(unlinkat(backing, rel(path), 0));
}

static int do_rmdir(const char *path)
{
	FAIL("rmdir");
	return said(unlinkat(backing, rel(path), AT_REMOVEDIR));
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
	FAIL("rename");
	return said(renameat2(backing, rel(from), backing, rel(to), flags));
}

static int do_link(const char *from, const char *to)
{
	FAIL("link");
	return said(linkat(backing, rel(from), backing, rel(to), 0));
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	(void)fi;
	FAIL("chmod");
	return said(fchmodat(backing, rel(path), mode, 0));
}

static int do_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	(void)fi;
	FAIL("chown");
	return said(fchownat(backing, rel(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	FAIL("truncate");
	if (fi)
		return said(ftruncate((int)fi->fh, size));
	int fd = openat(backing, rel(path), O_WRONLY | O_CLOEXEC);
	int r = fd < 0 || ftruncate(fd, size) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return r;
}

static int do_utimens(const char *path, const struct timespec tv[2], struct fuse_file_info *fi)
{
	(void)fi;
	FAIL("utimens");
	return said(utimensat(backing, rel(path), tv, AT_SYMLINK_NOFOLLOW));
}

static int opened(const char *path, struct fuse_file_info *fi, int flags, mode_t mode)
{
	int fd = openat(backing, rel(path), (flags & ~O_NOFOLLOW) | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	fi->direct_io = (flags & O_DIRECTORY) == 0;
	return 0;
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	FAIL("open");
	return opened(path, fi, fi->flags, 0);
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	FAIL("create");
	return opened(path, fi, fi->flags | O_CREAT, mode);
}

static int do_read(const char *path, char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	FAIL("read");
	return said(pread((int)fi->fh, buf, size, off));
}

static int do_write(const char *path, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	FAIL("write");
	return said(pwrite((int)fi->fh, buf, size, off));
}

static int do_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	FAIL("statfs");
	return said(fstatvfs(backing, st));
}

static int do_flush(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	(void)fi;
	FAIL("flush");
	return 0;
}

static int do_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	close((int)fi->fh);
	return 0;
}

static int do_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)path;
	(void)datasync;
	(void)fi;
	FAIL("fsync");
	return 0;
}

static int do_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)path;
	(void)datasync;
	(void)fi;
	FAIL("fsyncdir");
	return 0;
}

static int do_opendir(const char *path, struct fuse_file_info *fi)
{
	FAIL("opendir");
	return opened(path, fi, O_RDONLY | O_DIRECTORY, 0);
}

static int do_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi,
		      enum fuse_readdir_flags flags)
{
	struct dirent *e;

	(void)path;
	(void)off;
	(void)flags;
	FAIL("readdir");
	DIR *d = fdopendir(dup((int)fi->fh));
	if (!d)
		return -errno;
	rewinddir(d);
	while ((e = readdir(d)) && fill(buf, e->d_name, NULL, 0, 0) == 0)
		;
	closedir(d);
	return 0;
}

/* Extended attributes are kept nowhere: what matters here is who says no. */
static int do_setxattr(const char *path, const char *name, const char *value, size_t size, int flags)
{
	(void)path;
	(void)name;
	(void)value;
	(void)size;
	(void)flags;
	FAIL("setxattr");
	return 0;
}

static int do_getxattr(const char *path, const char *name, char *value, size_t size)
{
	(void)path;
	(void)value;
	(void)size;
	/* what the kernel asks by itself, before a write, is not what a test means */
	if (strncmp(name, "user.", 5) == 0)
		FAIL("getxattr");
	return -ENODATA;
}

static int do_listxattr(const char *path, char *list, size_t size)
{
	(void)path;
	(void)list;
	(void)size;
	FAIL("listxattr");
	return 0;
}

static int do_removexattr(const char *path, const char *name)
{
	(void)path;
	(void)name;
	FAIL("removexattr");
	return 0;
}

static int do_fallocate(const char *path, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	(void)path;
	FAIL("fallocate");
	return said(fallocate((int)fi->fh, mode, off, len));
}

static off_t do_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	(void)path;
	FAIL("lseek");
	off_t at = lseek((int)fi->fh, off, whence);
	return at < 0 ? -errno : at;
}

static ssize_t do_copy(const char *from, struct fuse_file_info *in, off_t in_off, const char *to,
		       struct fuse_file_info *out, off_t out_off, size_t len, int flags)
{
	(void)from;
	(void)to;
	FAIL("copy");
	ssize_t n = copy_file_range((int)in->fh, &in_off, (int)out->fh, &out_off, len, (unsigned)flags);
	return n < 0 ? -errno : n;
}

static int do_ioctl(const char *path, int cmd, void *arg, struct fuse_file_info *fi, unsigned flags, void *data)
{
	(void)path;
	(void)cmd;
	(void)arg;
	(void)fi;
	(void)flags;
	(void)data;
	FAIL("ioctl");
	return 0;
}

static const struct fuse_operations operations = {
	.init = start, .getattr = do_getattr, .readlink = do_readlink, .mknod = do_mknod, .mkdir = do_mkdir,
	.symlink = do_symlink, .unlink = do_unlink, .rmdir = do_rmdir, .rename = do_rename, .link = do_link,
	.chmod = do_chmod, .chown = do_chown, .truncate = do_truncate, .utimens = do_utimens, .open = do_open,
	.create = do_create, .read = do_read, .write = do_write, .statfs = do_statfs, .flush = do_flush,
	.release = do_release, .fsync = do_fsync, .fsyncdir = do_fsyncdir, .opendir = do_opendir,
	.releasedir = do_release, .readdir = do_readdir, .setxattr = do_setxattr, .getxattr = do_getxattr,
	.listxattr = do_listxattr, .removexattr = do_removexattr, .fallocate = do_fallocate, .lseek = do_lseek,
	.copy_file_range = do_copy, .ioctl = do_ioctl,
};

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: failfs BACKING CONTROL MOUNT\n");
		return 2;
	}
	backing = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	control = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (backing < 0 || control < 0) {
		perror("failfs");
		return 1;
	}
	char *args[] = { argv[0], (char *)"-oallow_other,default_permissions,dev,suid", argv[3], NULL };
	return fuse_main(3, args, &operations, NULL);
}
