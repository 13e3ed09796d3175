/* SPDX-License-Identifier: MIT */
/* What a sandbox is put together of. */
#include "common/sandbox/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/mount/apply.h"
#include "common/mount/idmap.h"
#include "common/mount/loop.h"
#include "common/sandbox/pid1.h"
#include "common/sandbox/store.h"

static int put_entry(struct gb_sandbox_stage *s, const char *name, char *path, size_t size, bool file)
{
	(void)snprintf(path, size, "%s/%s", s->path, name);
	if (!file)
		return mkdir(path, 0755) < 0 ? -errno : 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int bind_add(struct gb_sandbox_stage *s, const char *target, bool read_only, bool exec, char **ret_path)
{
	if (s->binds_len == GB_SANDBOX_BINDS)
		return -E2BIG;
	char *path = s->paths[s->binds_len];
	(void)snprintf(path, sizeof s->paths[0], "%s/b%zu", s->path, s->binds_len);
	s->binds[s->binds_len++] = (struct gb_sandbox_bind){ path, target, read_only, exec };
	*ret_path = path;
	return 0;
}

int gb_sandbox_stage_file(struct gb_sandbox_stage *s, const char *target, const void *data, size_t len, bool exec)
{
	char *path;
	int r = bind_add(s, target, true, exec, &path);

	if (r < 0)
		return gb_err_sys(s->err, -r, "%s", target);
	gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exec ? 0555 : 0444);
	r = fd < 0 ? -errno : gb_io_write(fd, data, len);
	return r < 0 ? gb_err_sys(s->err, -r, "%s", path) : 0;
}

static int do_mount(struct gb_sandbox_stage *s, const char *type, const char *options, const char *target)
{
	const struct gb_mount_request request = { .source = type, .target = target, .type = type, .options = options };

	return gb_mount_do(&request, s->err);
}

int gb_sandbox_stage_open(struct gb_sandbox_stage *s)
{
	char path[192];
	char *sys;

	int r = do_mount(s, "tmpfs", "mode=0755,size=1m", s->path);
	if (r < 0)
		return r;
	/* sysfs of this network namespace, mounted by the guest's root: the sandbox's owns nothing in it. */
	r = bind_add(s, "/sys", true, false, &sys);
	if (r == 0)
		r = put_entry(s, strrchr(sys, '/') + 1, path, sizeof path, false);
	if (r < 0)
		return gb_err_sys(s->err, -r, "%s/sys", s->path);
	r = do_mount(s, "sysfs", "ro,nosuid,nodev,noexec", sys);
	return r < 0 ? r : gb_sandbox_stage_file(s, GB_SANDBOX_PID1, gb_sandbox_pid1, gb_sandbox_pid1_len, true);
}

/* For files, this thread is this user, and its rights stay. An overlay acts as whoever has mounted it, whom the layers'
 * mapped mounts have to know: that is the sandbox's root. (The C library's calls would change all threads.) */
static void act_as(uint32_t id)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];

	(void)syscall(SYS_setfsgid, id);
	(void)syscall(SYS_setfsuid, id);
	/* setfsuid(2) to another than 0 has taken the file capabilities out of the effective ones (capabilities(7)). */
	if (id && syscall(SYS_capget, &head, caps) == 0) {
		for (size_t i = 0; i < GB_ARRAY_LEN(caps); i++)
			caps[i].effective = caps[i].permitted;
		(void)syscall(SYS_capset, &head, caps);
	}
}

int gb_sandbox_open_lower(const Guestbox__Sandbox__Record *record, struct gb_err *err)
{
	int fd = gb_io_openat2(AT_FDCWD, record->lower, O_PATH, RESOLVE_NO_SYMLINKS);

	return fd < 0 ? gb_err_sys(err, -fd, "rootfs %s", record->lower) : fd;
}

/* The lower layer's image, mounted: its root (O_PATH), or -errno with err set. */
static int open_image(struct gb_sandbox_stage *s)
{
	const struct gb_mount_loop loop = { .file = s->record->lower, .fd = s->image, .read_only = true };
	char target[192], device[64], options[256];
	struct gb_fsimage kind;
	bool read_only;

	int r = gb_sandbox_fsimage(s->image, s->record->lower, &kind, s->err);
	if (r < 0)
		return gb_err_wrap(s->err, "rootfs");
	gb_autoclose int held = gb_mount_loop_attach(&loop, device, sizeof device, &read_only, s->err);
	if (held < 0)
		return held;
	r = put_entry(s, "image", target, sizeof target, false);
	if (r < 0)
		return gb_err_sys(s->err, -r, "%s", target);
	(void)snprintf(options, sizeof options, "ro,nodev,nosuid,noexec%s", kind.options);
	const struct gb_mount_request request = { .source = device, .target = target, .type = kind.type, .options = options };
	r = gb_mount_do(&request, s->err);
	if (r < 0)
		return gb_err_wrap(s->err, "rootfs %s", s->record->lower);
	int fd = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? gb_err_sys(s->err, errno, "%s", target) : fd;
}

int gb_sandbox_stage_root(struct gb_sandbox_stage *s)
{
	char layer[512], root[192], lower[192], upper[192], options[1024];

	gb_sandbox_box_path(s->place, s->record->instance, "layer", layer, sizeof layer);
	int r = put_entry(s, "root", root, sizeof root, false);
	if (r < 0)
		return gb_err_sys(s->err, -r, "%s", root);
	gb_autoclose int fd = open(layer, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return gb_err_sys(s->err, errno, "%s", layer);
	if (!s->record->overlay) {
		r = gb_mount_tree(fd, s->userns, GB_TREE_NODEV, root);
		return r < 0 ? gb_err_sys(s->err, -r, "%s: mount with mapped owners", layer) : 0;
	}
	gb_autoclose int below = s->record->lower_image ? open_image(s) : gb_sandbox_open_lower(s->record, s->err);
	if (below < 0)
		return below;
	r = put_entry(s, "lower", lower, sizeof lower, false);
	if (r == 0)
		r = gb_mount_tree(below, s->userns, GB_TREE_NODEV | GB_TREE_RDONLY, lower);
	if (r == -EINVAL)
		return gb_err_set(s->err, EOPNOTSUPP, "rootfs %s: this kernel cannot map the owners of its file system; import it as "
				  "an image, or use erofs", s->record->lower);
	if (r < 0)
		return gb_err_sys(s->err, -r, "rootfs %s: mount with mapped owners", s->record->lower);
	r = put_entry(s, "layer", upper, sizeof upper, false);
	if (r == 0)
		r = gb_mount_tree(fd, s->userns, GB_TREE_NODEV, upper);
	if (r < 0)
		return gb_err_sys(s->err, -r, "%s: mount with mapped owners", layer);
	/* xino off: inode numbers of a snapshot may be larger than it takes. */
	(void)snprintf(options, sizeof options, "nodev,lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, upper, upper);
	act_as(GB_SANDBOX_UID_BASE + s->record->slot * GB_SANDBOX_IDS);
	r = do_mount(s, "overlay", options, root);
	act_as(0);
	return r;
}

/* What the kernel makes up, or what reaches it: none of it is a sandbox's to have. */
static bool is_special(int fd)
{
	static const long types[] = { PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC, DEVPTS_SUPER_MAGIC,
				      DEBUGFS_MAGIC, TRACEFS_MAGIC, SECURITYFS_MAGIC, BPF_FS_MAGIC, BINFMTFS_MAGIC, 0x62656570 };
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return true;
	for (size_t i = 0; i < GB_ARRAY_LEN(types); i++) {
		if ((long)fs.f_type == types[i])
			return true;
	}
	return false;
}

/* Those that the create names come first, so that none of them hides ours. */
static void order_binds(struct gb_sandbox_stage *s, size_t own)
{
	struct gb_sandbox_bind sorted[GB_SANDBOX_BINDS];
	size_t theirs = s->binds_len - own;

	memcpy(sorted, s->binds + own, theirs * sizeof *sorted);
	memcpy(sorted + theirs, s->binds, own * sizeof *sorted);
	memcpy(s->binds, sorted, s->binds_len * sizeof *sorted);
}

/* The source of a mount: a descriptor (O_PATH), or -errno with err set. */
static int open_source(const struct gb_sandbox_place *place, const Sandbox__V1__Mount *m, bool *ret_file, struct gb_err *err)
{
	struct stat st;

	if (gb_dir_within(place->data, m->source) || gb_dir_within(m->source, place->data) || gb_dir_within(place->run, m->source))
		return gb_err_set(err, EINVAL, "mount %s: the sandboxes' own files are in there", m->source);
	gb_autoclose int fd = gb_io_openat2(AT_FDCWD, m->source, O_PATH, RESOLVE_NO_SYMLINKS);
	if (fd == -ELOOP)
		return gb_err_set(err, EINVAL, "mount %s: there is a symbolic link on the way", m->source);
	if (fd < 0 || fstat(fd, &st) < 0)
		return gb_err_sys(err, fd < 0 ? -fd : errno, "mount %s", m->source);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return gb_err_set(err, EINVAL, "mount %s: neither a folder nor a regular file", m->source);
	if (is_special(fd))
		return gb_err_set(err, EINVAL, "mount %s: its file system is the kernel's", m->source);
	*ret_file = S_ISREG(st.st_mode);
	return gb_take_fd(&fd);
}

int gb_sandbox_mount_check(const struct gb_sandbox_place *place, const Sandbox__V1__Mount *mount, struct gb_err *err)
{
	bool file;
	gb_autoclose int fd = open_source(place, mount, &file, err);

	return fd < 0 ? fd : 0;
}

int gb_sandbox_stage_binds(struct gb_sandbox_stage *s)
{
	const Sandbox__V1__CreateSandboxRequest *spec = s->record->spec;
	size_t own = s->binds_len;

	for (size_t i = 0; i < spec->n_mounts; i++) {
		const Sandbox__V1__Mount *m = spec->mounts[i];
		char *path;
		bool file;

		gb_autoclose int fd = open_source(s->place, m, &file, s->err);
		if (fd < 0)
			return fd;
		int r = bind_add(s, m->target, m->readonly, true, &path);
		if (r == 0)
			r = put_entry(s, strrchr(path, '/') + 1, path, sizeof s->paths[0], file);
		unsigned flags = GB_TREE_NODEV | GB_TREE_NOSUID | (m->readonly ? GB_TREE_RDONLY : 0);
		if (r == 0)
			r = gb_mount_tree(fd, s->userns, flags, path);
		if (r == -EINVAL)
			return gb_err_set(s->err, EOPNOTSUPP, "mount %s: this kernel cannot map the owners of its file system", m->source);
		if (r < 0)
			return gb_err_sys(s->err, -r, "mount %s", m->source);
	}
	order_binds(s, own);
	return 0;
}
