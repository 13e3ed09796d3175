/* SPDX-License-Identifier: MIT */
/* The OCI runtime, and what it is given. */
#include "common/sandbox/run.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/apply.h"
#include "common/mount/idmap.h"
#include "common/mount/loop.h"
#include "common/net/veth.h"
#include "common/sandbox/pid1.h"
#include "common/sandbox/program.h"
#include "common/sandbox/store.h"
#include "common/sandbox/user.h"
#include "common/sys/mountinfo.h"
#include "common/sys/proc.h"
#include "common/sys/program.h"

enum { CLEAN_MS = 5000, LOG_MAX = 65536, PIPE_SIZE = 65536, OUTPUT_PIPE = 256 << 10, BINDS = 80 };

#define PID1 "/dev/.guestbox-pid1"

static char *word(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* ---- the runtime ---- */

void gb_sandbox_set_runtime(struct gb_sandbox_place *place, const char *program)
{
	const char *slash = strrchr(program, '/');

	(void)strlcpy(place->runtime, program, sizeof place->runtime);
	place->runc = slash && strcmp(slash + 1, "runc") == 0;
}

int gb_sandbox_find_runtime(struct gb_sandbox_place *place, struct gb_err *err)
{
	/* In this order: crun starts in a third of the time. */
	static const char *const names[] = { "crun", "runc" };
	const char *const folders[] = { place->runtime_dir, gb_program_path() };
	char path[sizeof place->runtime];

	if (place->runtime[0] && access(place->runtime, X_OK) == 0)
		return 0;
	for (size_t f = 0; f < GB_ARRAY_LEN(folders); f++) {
		for (size_t i = 0; i < GB_ARRAY_LEN(names); i++) {
			if (gb_program_find(folders[f], names[i], path, sizeof path)) {
				gb_sandbox_set_runtime(place, path);
				return 0;
			}
		}
	}
	place->runtime[0] = '\0';
	return gb_err_set(err, ENOENT, "no OCI runtime: neither crun nor runc is in %s or on PATH",
			  place->runtime_dir ? place->runtime_dir : "a runtime folder");
}

void gb_sandbox_log_reason(const char *log, char *text, size_t size)
{
	const char *line = log, *best = log;
	size_t len = 0;

	/* The last line that says something; in it, what follows the date and the level. */
	while (*line) {
		size_t n = strcspn(line, "\n");
		if (n) {
			best = line;
			len = n;
		}
		line += n + (line[n] == '\n');
	}
	static const char *const marks[] = { "msg=\"", "[error] ", ": error: ", "Z: " };
	for (size_t i = 0; i < GB_ARRAY_LEN(marks); i++) {
		const char *at = memmem(best, len, marks[i], strlen(marks[i]));
		if (at) {
			at += strlen(marks[i]);
			len -= (size_t)(at - best);
			best = at;
			if (len && i == 0 && best[len - 1] == '"')
				len--;
			break;
		}
	}
	(void)snprintf(text, size, "%.*s", (int)(len < 600 ? len : 600), best);
}

/* The runtime, on its way. */
struct engine {
	const struct gb_sandbox_place *place;
	const char *verb;
	char log[160];
	pid_t pid; /* 0: there is none */
};

/* fds: what becomes its descriptors 3 and 4; -1: nothing. */
static int runtime_start(const struct gb_sandbox_place *place, const char *instance, const char *const *args, const int fds[2],
			 struct engine *ret_engine, struct gb_err *err)
{
	struct engine e = { .place = place, .verb = args[0] };
	char state[96];
	const char *argv[16] = { place->runtime, "--root", state, "--log", e.log };
	struct gb_sandbox_child child = GB_SANDBOX_CHILD;
	size_t n = 5;

	(void)snprintf(e.log, sizeof e.log, "%s/%s.log", place->run, instance);
	(void)snprintf(state, sizeof state, "%s/state", place->run);
	for (; *args && n < GB_ARRAY_LEN(argv) - 1; args++)
		argv[n++] = *args;
	child.fds[3] = fds[0];
	child.fds[4] = fds[1];
	(void)unlink(e.log);
	int r = gb_sandbox_spawn(place->runtime, (char *const *)(uintptr_t)argv, &child, &e.pid);
	if (r < 0)
		return gb_err_sys(err, -r, "%s", place->runtime);
	*ret_engine = e;
	return 0;
}

/* Waits for its end. Its own words become the reason of a failure. */
static int runtime_wait(struct engine *e, struct gb_err *err)
{
	const char *program = e->place->runtime;
	pid_t pid = e->pid;
	int status;

	e->pid = 0;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return gb_err_sys(err, errno, "%s", program);
	}
	if (status == 0) {
		(void)unlink(e->log);
		return 0;
	}
	gb_autobuf struct gb_buf text = { 0 };
	char reason[640];
	int r = gb_io_slurp(AT_FDCWD, e->log, LOG_MAX, &text);
	(void)unlink(e->log);
	gb_sandbox_log_reason(gb_buf_text(&text), reason, sizeof reason);
	if (r == 0 && reason[0])
		return gb_err_set(err, EIO, "%s %s: %s", program, e->verb, reason);
	if (WIFSIGNALED(status))
		return gb_err_set(err, EIO, "%s %s: killed by signal %d", program, e->verb, WTERMSIG(status));
	return gb_err_set(err, EIO, "%s %s: ended with status %d", program, e->verb, WEXITSTATUS(status));
}

/* One that has done nothing yet. */
static void runtime_stop(struct engine *e)
{
	if (e->pid <= 0)
		return;
	(void)kill(e->pid, SIGKILL);
	while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
		;
	e->pid = 0;
	(void)unlink(e->log);
}

static int runtime(const struct gb_sandbox_place *place, const char *instance, const char *const *args, struct gb_err *err)
{
	static const int none[2] = { -1, -1 };
	struct engine e;
	int r = runtime_start(place, instance, args, none, &e, err);

	return r < 0 ? r : runtime_wait(&e, err);
}

/* ---- the boot ---- */

struct boot {
	const struct gb_sandbox_place *place;
	Guestbox__Sandbox__Record *record;
	struct gb_err *err;
	char stage[128];  /* a tmpfs in this thread's mount namespace */
	char bundle[128]; /* the folder with config.json */
	int mnt, net;     /* the namespaces to come back to */
	int userns;
	int image;        /* the file that is the lower layer, if that is one; -1 */
	const struct gb_sandbox_start *how;
	struct layer {    /* is made meanwhile, by a thread in the daemon's namespaces */
		pthread_t thread;
		bool threaded, done;
		int result;
		struct gb_err err;
	} layer;
	struct engine engine;
	int config;       /* the pipe from which the runtime reads its papers; -1 */
	int orders;       /* what PID 1 is to do first goes there */
	char hostname[64];
	struct gb_sandbox_bind binds[BINDS];
	char paths[BINDS][192]; /* their sources */
	size_t binds_len;
};

void gb_sandbox_tap_name(uint32_t address, char name[GB_SANDBOX_TAP])
{
	(void)snprintf(name, GB_SANDBOX_TAP, "vmtap%u-%u", address >> 8 & 0xff, address & 0xff);
}

static int at_stage(struct boot *b, const char *name, char *path, size_t size, bool file)
{
	(void)snprintf(path, size, "%s/%s", b->stage, name);
	if (!file)
		return mkdir(path, 0755) < 0 ? -errno : 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int bind_add(struct boot *b, const char *target, bool read_only, bool exec, char **ret_path)
{
	if (b->binds_len == BINDS)
		return -E2BIG;
	char *path = b->paths[b->binds_len];
	(void)snprintf(path, sizeof b->paths[0], "%s/b%zu", b->stage, b->binds_len);
	b->binds[b->binds_len++] = (struct gb_sandbox_bind){ path, target, read_only, exec };
	*ret_path = path;
	return 0;
}

/* A small file of ours in the sandbox. */
static int put_file(struct boot *b, const char *target, const void *data, size_t len, bool exec)
{
	char *path;
	int r = bind_add(b, target, true, exec, &path);

	if (r < 0)
		return gb_err_sys(b->err, -r, "%s", target);
	gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exec ? 0555 : 0444);
	r = fd < 0 ? -errno : gb_io_write(fd, data, len);
	return r < 0 ? gb_err_sys(b->err, -r, "%s", path) : 0;
}

static int do_mount(struct boot *b, const char *type, const char *options, const char *target)
{
	const struct gb_mount_request request = { .source = type, .target = target, .type = type, .options = options };

	return gb_mount_do(&request, b->err);
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

static int open_lower(struct boot *b)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, b->record->lower, &how, sizeof how);

	return fd < 0 ? gb_err_sys(b->err, errno, "rootfs %s", b->record->lower) : fd;
}

/* The root file system, with its owners mapped into the sandbox's range, at stage/root. */
static int mount_root(struct boot *b)
{
	char layer[512], root[192], lower[192], image[192], options[1024];

	gb_sandbox_box_path(b->place, b->record->instance, "layer", layer, sizeof layer);
	int r = at_stage(b, "root", root, sizeof root, false);
	if (r < 0)
		return gb_err_sys(b->err, -r, "%s", root);
	gb_autoclose int fd = open(layer, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return gb_err_sys(b->err, errno, "%s", layer);
	if (!b->record->overlay) {
		r = gb_mount_tree(fd, b->userns, GB_TREE_NODEV, root);
		return r < 0 ? gb_err_sys(b->err, -r, "%s: mount with mapped owners", layer) : 0;
	}
	gb_autoclose int below = -1;
	if (!b->record->lower_image) {
		below = open_lower(b);
		if (below < 0)
			return below;
	} else {
		struct gb_mount_loop loop = { .file = b->record->lower, .fd = b->image, .read_only = true };
		struct gb_mount_request request = { .target = image, .options = options };
		struct gb_fsimage kind;
		char device[64];
		bool read_only;
		r = gb_sandbox_fsimage(b->image, b->record->lower, &kind, b->err);
		if (r < 0)
			return gb_err_wrap(b->err, "rootfs");
		gb_autoclose int held = gb_mount_loop_attach(&loop, device, sizeof device, &read_only, b->err);
		if (held < 0)
			return held;
		r = at_stage(b, "image", image, sizeof image, false);
		if (r < 0)
			return gb_err_sys(b->err, -r, "%s", image);
		request.source = device;
		request.type = kind.type;
		(void)snprintf(options, sizeof options, "ro,nodev,nosuid,noexec%s", kind.options);
		r = gb_mount_do(&request, b->err);
		if (r < 0)
			return gb_err_wrap(b->err, "rootfs %s", b->record->lower);
		below = open(image, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (below < 0)
			return gb_err_sys(b->err, errno, "%s", image);
	}
	r = at_stage(b, "lower", lower, sizeof lower, false);
	if (r == 0)
		r = gb_mount_tree(below, b->userns, GB_TREE_NODEV | GB_TREE_RDONLY, lower);
	if (r == -EINVAL)
		return gb_err_set(b->err, EOPNOTSUPP, "rootfs %s: this kernel cannot map the owners of its file system; import it as "
				  "an image, or use erofs", b->record->lower);
	if (r < 0)
		return gb_err_sys(b->err, -r, "rootfs %s: mount with mapped owners", b->record->lower);
	r = at_stage(b, "layer", image, sizeof image, false);
	if (r == 0)
		r = gb_mount_tree(fd, b->userns, GB_TREE_NODEV, image);
	if (r < 0)
		return gb_err_sys(b->err, -r, "%s: mount with mapped owners", layer);
	/* xino off: inode numbers of a snapshot may be larger than it takes. */
	(void)snprintf(options, sizeof options, "nodev,lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, image, image);
	act_as(GB_SANDBOX_UID_BASE + b->record->slot * GB_SANDBOX_IDS);
	r = do_mount(b, "overlay", options, root);
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

static bool holds(const char *outer, const char *inner)
{
	size_t n = strlen(outer);

	while (n > 1 && outer[n - 1] == '/')
		n--;
	return n <= 1 || (strncmp(outer, inner, n) == 0 && (inner[n] == '/' || !inner[n]));
}

static int mount_binds(struct boot *b)
{
	const Sandbox__V1__CreateSandboxRequest *spec = b->record->spec;

	for (size_t i = 0; i < spec->n_mounts; i++) {
		const Sandbox__V1__Mount *m = spec->mounts[i];
		struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
		struct stat st;
		char *path;

		if (holds(m->source, b->place->data) || holds(b->place->data, m->source) || holds(m->source, b->place->run))
			return gb_err_set(b->err, EINVAL, "mount %s: the sandboxes' own files are in there", m->source);
		gb_autoclose int fd = (int)syscall(SYS_openat2, AT_FDCWD, m->source, &how, sizeof how);
		if (fd < 0 && errno == ELOOP)
			return gb_err_set(b->err, EINVAL, "mount %s: there is a symbolic link on the way", m->source);
		if (fd < 0 || fstat(fd, &st) < 0)
			return gb_err_sys(b->err, errno, "mount %s", m->source);
		if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
			return gb_err_set(b->err, EINVAL, "mount %s: neither a folder nor a regular file", m->source);
		if (is_special(fd))
			return gb_err_set(b->err, EINVAL, "mount %s: its file system is the kernel's", m->source);
		int r = bind_add(b, m->target, m->readonly, true, &path);
		if (r == 0)
			r = at_stage(b, strrchr(path, '/') + 1, path, sizeof b->paths[0], S_ISREG(st.st_mode));
		unsigned flags = GB_TREE_NODEV | GB_TREE_NOSUID | (m->readonly ? GB_TREE_RDONLY : 0);
		if (r == 0)
			r = gb_mount_tree(fd, b->userns, flags, path);
		if (r == -EINVAL)
			return gb_err_set(b->err, EOPNOTSUPP, "mount %s: this kernel cannot map the owners of its file system", m->source);
		if (r < 0)
			return gb_err_sys(b->err, -r, "mount %s", m->source);
	}
	return 0;
}

/* ---- network ---- */

static void hostname_of(const char *id, char *name, size_t size)
{
	size_t n = 0;

	/* RFC 1123: letters, digits and dashes, at most 63, neither end a dash. */
	for (; *id && n + 1 < size && n < 63; id++) {
		bool ok = (*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') || (*id >= '0' && *id <= '9');
		if (ok || (n && *id == '-'))
			name[n++] = *id;
	}
	while (n && name[n - 1] == '-')
		n--;
	name[n] = '\0';
	if (n == 0)
		(void)strlcpy(name, "sandbox", size);
}

static int resolver(struct boot *b)
{
	gb_autobuf struct gb_buf own = { 0 }, text = { 0 };
	int found = 0;

	if (gb_io_slurp(AT_FDCWD, "/etc/resolv.conf", 65536, &own) == 0) {
		char *save = NULL;
		for (char *line = strtok_r(own.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			char server[64];
			unsigned char raw[16];
			if (sscanf(line, "nameserver %63s", server) != 1 || strncmp(server, "127.", 4) == 0)
				continue;
			if (inet_pton(AF_INET, server, raw) != 1)
				continue;
			(void)gb_buf_fmt(&text, "nameserver %s\n", server);
			found++;
		}
	}
	if (!found)
		(void)gb_buf_str(&text, "nameserver 1.1.1.1\nnameserver 8.8.8.8\n");
	return put_file(b, "/etc/resolv.conf", gb_buf_text(&text), text.len, false);
}

static int network(struct boot *b, int outside, const char *hostname)
{
	uint32_t address = b->record->address;
	gb_autobuf struct gb_buf hosts = { 0 };
	int r = gb_veth_loopback(b->err);

	if (r < 0)
		return r;
	/* Root in there has no rights over the namespace, so that low ports and echo requests are opened to all. */
	(void)gb_io_put(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	(void)gb_io_put(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	(void)gb_buf_str(&hosts, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	if (address) {
		struct gb_veth veth = { .inner = "eth0", .gateway = GB_SANDBOX_GATEWAY, .address = address };
		char name[GB_SANDBOX_TAP];
		struct in_addr in = { htonl(address) };
		char text[INET_ADDRSTRLEN];

		gb_sandbox_tap_name(address, name);
		veth.name = name;
		/* Locally administered, and the same for an id each time: FNV-1a, 64 bits. */
		uint64_t hash = 0xcbf29ce484222325U;
		for (const char *p = b->record->spec->id; *p; p++)
			hash = (hash ^ (unsigned char)*p) * 0x100000001b3U;
		for (int i = 0; i < 6; i++)
			veth.mac[i] = (unsigned char)(hash >> 8 * i);
		veth.mac[0] = (veth.mac[0] & 0xfc) | 0x02;
		r = gb_veth_add(&veth, outside, b->net, b->err);
		if (r < 0)
			return r;
		(void)gb_buf_fmt(&hosts, "%s %s\n", inet_ntop(AF_INET, &in, text, sizeof text), hostname);
		r = resolver(b);
	} else {
		(void)gb_buf_fmt(&hosts, "127.0.1.1 %s\n", hostname);
	}
	return r < 0 ? r : put_file(b, "/etc/hosts", gb_buf_text(&hosts), hosts.len, false);
}

/* ---- papers ---- */

static uint64_t nofile_max(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 1024 : limit.rlim_max < 524288 ? limit.rlim_max : 524288;
}

static int write_bundle(struct boot *b)
{
	const Sandbox__V1__CreateSandboxRequest *spec = b->record->spec;
	struct gb_sandbox_bundle bundle = { .record = b->record, .binds = b->binds, .binds_len = b->binds_len, .hostname = b->hostname };
	struct gb_sandbox_controllers have;
	gb_autobuf struct gb_buf text = { 0 };
	char root[192], cgroup[160], path[192], new[192], userns[48];

	int r = gb_sandbox_controllers(&have, b->err);
	if (r < 0)
		return r;
	gb_autofree char **args = calloc(spec->n_cmd + 2, sizeof *args);
	if (!args)
		return gb_err_sys(b->err, ENOMEM, "bundle");
	args[0] = word(PID1);
	for (size_t i = 0; i < spec->n_cmd; i++)
		args[i + 1] = spec->cmd[i];
	(void)snprintf(root, sizeof root, "%s/root", b->stage);
	(void)snprintf(cgroup, sizeof cgroup, "%s/%s", b->place->cgroup, b->record->instance);
	bundle.root = root;
	bundle.cgroup = cgroup;
	(void)snprintf(userns, sizeof userns, "/proc/%d/fd/%d", (int)getpid(), b->userns);
	bundle.userns = b->place->runc ? userns : NULL;
	bundle.cpu = have.cpu;
	bundle.memory = have.memory;
	bundle.pids = have.pids;
	bundle.process = (struct gb_sandbox_process){
		.args = args, .args_len = spec->n_cmd + 1, .spec = spec, .nofile = nofile_max(),
	};
	(void)strlcpy(bundle.process.user.home, "/root", sizeof bundle.process.user.home);
	r = gb_sandbox_bundle_json(&bundle, &text);
	if (r < 0)
		return gb_err_sys(b->err, -r, "bundle");
	(void)snprintf(path, sizeof path, "%s/config.json", b->bundle);
	(void)snprintf(new, sizeof new, "%s/config.new", b->bundle);
	gb_autoclose int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : gb_io_write(fd, text.data, text.len);
	if (r == 0 && rename(new, path) < 0)
		r = -errno;
	if (r < 0)
		return gb_err_sys(b->err, -r, "%s", path);
	if (b->config < 0)
		return 0;
	/* As much as the pipe holds goes into it without a wait, whatever has become of the reader. */
	if ((text.len > PIPE_SIZE && fcntl(b->config, F_SETPIPE_SZ, (int)text.len) < 0) ||
	    gb_io_write(b->config, text.data, text.len) < 0)
		runtime_stop(&b->engine); /* it is started anew, and reads the file */
	gb_close_fd(&b->config);
	b->config = -1;
	return 0;
}

static bool on_initramfs(void)
{
	static _Atomic(int) known; /* 1: no, 2: yes. Nobody takes the root away from under a daemon. */
	gb_automountinfo struct gb_mountinfo_table table = { 0 };

	if (!known) {
		const struct gb_mountinfo *root = gb_mountinfo_read(NULL, &table) < 0 ? NULL : gb_mountinfo_top(&table, "/");
		known = root && strcmp(root->type, "rootfs") == 0 ? 2 : 1;
	}
	return known == 2;
}

/* ---- commands: their descriptors ---- */

static int make_pipe(bool input, int *ret_ours, int *ret_theirs)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = fds[input];
	*ret_theirs = fds[!input];
	/* What fits without waking the other side is sent in fewer, larger frames. Without that right it stays as it was. */
	if (!input)
		(void)fcntl(*ret_ours, F_SETPIPE_SZ, OUTPUT_PIPE);
	/* Their end stays as a program expects it. */
	return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int write_memfd(const char *name, const struct gb_buf *text)
{
	gb_autoclose int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = gb_io_write(fd, text->data, text->len);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : gb_take_fd(&fd);
}

static void close_exec(struct gb_sandbox_exec *exec)
{
	int *const fds[] = { &exec->in, &exec->out, &exec->err, &exec->console, &exec->log };

	for (size_t i = 0; i < GB_ARRAY_LEN(fds); i++) {
		gb_close_fd(fds[i]);
		*fds[i] = -1;
	}
	if (exec->console_path[0])
		(void)unlink(exec->console_path);
}

/* Their ends of a command's pipes become the command's own: it may open them again, by /dev/stdout. */
static int give_pipes(const Guestbox__Sandbox__Record *record, const struct gb_sandbox_process *process, const int fds[3])
{
	uint32_t base = GB_SANDBOX_UID_BASE + record->slot * GB_SANDBOX_IDS;

	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0 && fchown(fds[i], base + process->user.uid, base + process->user.gid) < 0)
			return -errno;
	}
	return 0;
}

/* What PID 1 is to be told: how many bytes of what (a memfd), and the command's descriptors. */
static int send_orders(int sock, uint64_t len, const int fds[4])
{
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { &len, sizeof len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(4 * sizeof(int));
	memcpy(CMSG_DATA(h), fds, 4 * sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* ---- the layer, meanwhile ---- */

static void layer_make(struct boot *b)
{
	if (b->userns < 0)
		b->userns = gb_mount_userns(GB_SANDBOX_UID_BASE + b->record->slot * GB_SANDBOX_IDS, GB_SANDBOX_IDS, NULL);
	b->layer.result = b->userns < 0 ? gb_err_sys(&b->layer.err, -b->userns, "a user namespace")
					: b->how->layer(b->record, b->how->data, &b->layer.err);
	/* Out here, so that the loop device has the file under the name that everybody knows it by, and keeps its mount busy. */
	if (b->layer.result == 0 && b->record->lower_image) {
		struct gb_err *err = b->err;
		b->err = &b->layer.err;
		b->image = open_lower(b);
		b->err = err;
		b->layer.result = b->image < 0 ? b->image : 0;
	}
}

static void *on_layer(void *data)
{
	layer_make(data);
	return NULL;
}

/* A snapshot waits for the disk, or for the kernel's threads that write to it. */
static void layer_begin(struct boot *b)
{
	b->layer.threaded = pthread_create(&b->layer.thread, NULL, on_layer, b) == 0;
	if (!b->layer.threaded)
		layer_make(b);
}

static int layer_wait(struct boot *b)
{
	if (b->layer.threaded)
		(void)pthread_join(b->layer.thread, NULL);
	b->layer.threaded = false;
	if (b->layer.result < 0)
		*b->err = b->layer.err;
	return b->layer.result;
}

/* ---- the first command ---- */

/* A command that its host wants to run in it as soon as it is there is the runtime's first process's first child: what it is
 * to be told waits in a socket. Whatever speaks against that has an answer of its own when the command is started in the
 * usual way. */
static void first_command(struct boot *b)
{
	struct gb_sandbox_first *first = b->how->first ? b->how->first(b->how->data) : NULL;
	gb_autobuf struct gb_buf text = { 0 };
	char path[192];
	struct gb_err ignored;

	if (!first)
		return;
	(void)snprintf(path, sizeof path, "%s/root", b->stage);
	gb_autoclose int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct gb_sandbox_process process = first->process;
	if (root < 0 || gb_sandbox_user_at(root, first->user, &process.user, &ignored) < 0 ||
	    gb_sandbox_program_check(root, &process, &ignored) < 0 || gb_sandbox_orders(&process, first->input, &text) < 0)
		return;
	gb_autoclose int orders = write_memfd("orders", &text);
	struct gb_sandbox_exec exec = GB_SANDBOX_EXEC_NONE;
	int theirs[3] = { -1, -1, -1 };
	int r = orders < 0 ? orders : first->input ? make_pipe(true, &exec.in, &theirs[0]) : 0;

	if (r == 0)
		r = make_pipe(false, &exec.out, &theirs[1]);
	if (r == 0)
		r = make_pipe(false, &exec.err, &theirs[2]);
	if (r == 0)
		r = give_pipes(b->record, &process, theirs);
	if (r == 0 && theirs[0] < 0 && (theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
		r = -errno;
	if (r == 0)
		r = send_orders(b->orders, text.len, (const int[]){ orders, theirs[0], theirs[1], theirs[2] });
	for (int i = 0; i < 3; i++)
		gb_close_fd(&theirs[i]);
	if (r < 0) {
		close_exec(&exec);
		return;
	}
	first->exec = exec;
	first->taken = true;
}

/* ---- in the thread's new namespaces ---- */

/* ahead: before there is anything for it. Until it comes to its papers, whose name is a pipe's, it takes as long as all
 * that is done here meanwhile. Not runc: which of its processes reads them, and when, is nothing that it promises. */
static int engine_begin(struct boot *b, int status_fd, int orders_fd, bool ahead)
{
	char pid_file[192], config[192];

	(void)snprintf(pid_file, sizeof pid_file, "%s/pid", b->bundle);
	(void)unlink(pid_file);
	if (ahead) {
		(void)snprintf(config, sizeof config, "%s/config.json", b->bundle);
		(void)unlink(config);
		/* Held for both directions: it has a writer as long as this process lives, and opening it waits for nobody. */
		if (mkfifo(config, 0600) == 0)
			b->config = open(config, O_RDWR | O_CLOEXEC);
		if (b->config < 0)
			return 0; /* later, then */
	}
	/* The initramfs cannot be pivoted away from (pivot_root(2)). */
	const char *no_pivot = on_initramfs() ? "--no-pivot" : NULL;
	const char *run[] = { "run", "--detach", "--preserve-fds", "2", "--pid-file", pid_file, "--bundle", b->bundle,
			      no_pivot ? no_pivot : b->record->instance, no_pivot ? b->record->instance : NULL, NULL };
	const char *restore[] = { "restore", "--detach", "--image-path", b->how->checkpoint, "--pid-file", pid_file, "--bundle",
				  b->bundle, b->record->instance, NULL };
	return runtime_start(b->place, b->record->instance, b->how->checkpoint ? restore : run, (const int[]){ status_fd, orders_fd },
			     &b->engine, b->err);
}

/* Those that the create names come first, so that none of them hides ours. */
static void order_binds(struct boot *b, size_t own)
{
	struct gb_sandbox_bind sorted[BINDS];
	size_t theirs = b->binds_len - own;

	memcpy(sorted, b->binds + own, theirs * sizeof *sorted);
	memcpy(sorted + theirs, b->binds, own * sizeof *sorted);
	memcpy(b->binds, sorted, b->binds_len * sizeof *sorted);
}

static int inside(struct boot *b, int outside, int status_fd, int orders_fd)
{
	char path[192];
	char *sys;

	int r = gb_mount_private();
	if (r < 0)
		return gb_err_sys(b->err, -r, "a mount namespace");
	/* With a folder below the mount, too: runc's commands start where the root is, seen from outside. */
	(void)snprintf(path, sizeof path, "%s/root", b->stage);
	r = gb_io_mkdirs(path);
	if (r == 0)
		r = gb_io_mkdirs(b->bundle);
	if (r < 0)
		return gb_err_sys(b->err, -r, "%s", path);
	if (!b->how->checkpoint && !b->place->runc)
		r = engine_begin(b, status_fd, orders_fd, true);
	if (r == 0)
		r = do_mount(b, "tmpfs", "mode=0755,size=1m", b->stage);
	if (r < 0)
		return r;
	/* sysfs of this network namespace, mounted by the guest's root: the sandbox's owns nothing in it. */
	r = bind_add(b, "/sys", true, false, &sys);
	if (r == 0)
		r = at_stage(b, strrchr(sys, '/') + 1, path, sizeof path, false);
	if (r < 0)
		return gb_err_sys(b->err, -r, "%s/sys", b->stage);
	r = do_mount(b, "sysfs", "ro,nosuid,nodev,noexec", sys);
	if (r == 0)
		r = put_file(b, PID1, gb_sandbox_pid1, gb_sandbox_pid1_len, true);
	if (r == 0)
		r = network(b, outside, b->hostname);
	size_t own = b->binds_len;
	int layer = layer_wait(b);
	r = r < 0 ? r : layer;
	if (r == 0)
		r = mount_root(b);
	if (r == 0)
		r = mount_binds(b);
	if (r < 0)
		return r;
	order_binds(b, own);
	first_command(b);
	r = write_bundle(b);
	if (r == 0 && b->engine.pid <= 0)
		r = engine_begin(b, status_fd, orders_fd, false);
	return r < 0 ? r : runtime_wait(&b->engine, b->err);
}

static int read_pid(struct boot *b)
{
	gb_autobuf struct gb_buf text = { 0 };
	struct gb_proc proc;
	char path[192];

	(void)snprintf(path, sizeof path, "%s/pid", b->bundle);
	int r = gb_io_slurp(AT_FDCWD, path, 64, &text);
	if (r < 0)
		return gb_err_sys(b->err, -r, "%s", path);
	long pid = strtol(gb_buf_text(&text), NULL, 10);
	if (pid <= 1 || pid > INT32_MAX)
		return gb_err_set(b->err, EPROTO, "%s: no process id", path);
	b->record->pid = (uint32_t)pid;
	/* A short command may be over by now. */
	b->record->start_time = gb_proc_read((pid_t)pid, &proc) == 0 ? proc.start : 0;
	return 0;
}

/* Comes back to the daemon's namespaces. A thread that cannot would serve others from within a sandbox's: there is no
 * going on. */
static void back(const struct boot *b)
{
	if (setns(b->net, CLONE_NEWNET) < 0 || setns(b->mnt, CLONE_NEWNS) < 0)
		abort();
}

static void boot_close(struct boot *b)
{
	gb_close_fd(&b->image);
	gb_close_fd(&b->userns);
}

int gb_sandbox_boot(const struct gb_sandbox_place *place, Guestbox__Sandbox__Record *record, const struct gb_sandbox_start *how,
		    struct gb_sandbox_booted *ret, struct gb_err *err)
{
	int status[2], orders[2];
	struct gb_err ignored;

	gb_autofree struct boot *b = calloc(1, sizeof *b);
	if (!b)
		return gb_err_sys(err, ENOMEM, "boot");
	b->place = place;
	b->record = record;
	b->err = err;
	b->how = how;
	b->image = b->config = -1;
	hostname_of(record->spec->id, b->hostname, sizeof b->hostname);
	(void)snprintf(b->stage, sizeof b->stage, "%s/stage", place->run);
	(void)snprintf(b->bundle, sizeof b->bundle, "%s/%s", place->run, record->instance);
	gb_autoclose int mnt = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	gb_autoclose int net = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (mnt < 0 || net < 0)
		return gb_err_sys(err, errno, "/proc/thread-self/ns");
	b->mnt = mnt;
	b->net = net;
	gb_autoclose int outside = gb_veth_socket(err);
	if (outside < 0)
		return outside;
	/* The network namespace is the guest's, so that the sandbox's root owns nothing in it. For a command runc enters the
	 * user namespace before any other (up to 1.2), from where one of the guest's cannot be entered any more: it gets one
	 * that belongs to the sandbox's, over which nobody in there has a right either, for want of CAP_NET_ADMIN. */
	gb_autoclose int own_net = -1;
	gb_autoclose int userns = -1;
	if (place->runc) {
		userns = gb_mount_userns(GB_SANDBOX_UID_BASE + record->slot * GB_SANDBOX_IDS, GB_SANDBOX_IDS, &own_net);
		if (userns < 0)
			return gb_err_sys(err, -userns, "a user namespace");
	}
	if (pipe2(status, O_CLOEXEC | O_NONBLOCK) < 0)
		return gb_err_sys(err, errno, "pipe");
	gb_autoclose int status_in = status[0];
	gb_autoclose int status_out = status[1];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, orders) < 0)
		return gb_err_sys(err, errno, "socketpair");
	gb_autoclose int orders_in = orders[0];
	gb_autoclose int orders_out = orders[1];
	b->orders = orders_in;
	b->userns = gb_take_fd(&userns);
	layer_begin(b); /* with the daemon's namespaces */
	/* CLONE_NEWNS gives the thread a folder and root of its own as well (unshare(2)). */
	if (unshare(CLONE_NEWNS | (place->runc ? 0 : CLONE_NEWNET)) < 0) {
		int failed = errno;
		(void)layer_wait(b);
		boot_close(b);
		return gb_err_sys(err, failed, "new namespaces");
	}
	int r = place->runc && setns(own_net, CLONE_NEWNET) < 0 ? gb_err_sys(err, errno, "a network namespace") : 0;
	if (r == 0)
		r = inside(b, outside, status_out, orders_out);
	gb_autoclose int left = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	back(b);
	runtime_stop(&b->engine);
	gb_close_fd(&b->config);
	if (b->layer.threaded) {
		struct gb_err why = *err;
		(void)layer_wait(b);
		*err = why;
	}
	boot_close(b);
	if (r == 0)
		r = read_pid(b);
	if (r < 0) {
		(void)gb_sandbox_clean(place, record->instance, record->address, &ignored);
		return r;
	}
	if (record->address) { /* who writes another sender's address into his packets is not heard */
		char name[GB_SANDBOX_TAP], path[96];
		gb_sandbox_tap_name(record->address, name);
		(void)snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/rp_filter", name);
		(void)gb_io_put(AT_FDCWD, path, "1");
	}
	char *program = strdup(place->runtime);
	if (program) {
		if (record->runtime != (char *)protobuf_c_empty_string)
			free(record->runtime);
		record->runtime = program;
	}
	ret->status = gb_take_fd(&status_in);
	ret->left = gb_take_fd(&left);
	return 0;
}

/* ---- the end ---- */

int gb_sandbox_kill_first(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record)
{
	char path[192], file[256];
	gb_autobuf struct gb_buf text = { 0 };

	/* It and PID 1 are alone in the sandbox's own cgroup: all later commands have one each below it. Frozen, nobody gets
	 * away by a fork; whom a signal kills dies all the same. */
	(void)snprintf(path, sizeof path, "%s/%s", place->cgroup + 1, record->instance);
	(void)snprintf(file, sizeof file, "/sys/fs/cgroup/%s/cgroup.procs", path);
	int r = gb_sandbox_cgroup_freeze(path, true, CLEAN_MS);
	if (r == 0)
		r = gb_io_slurp(AT_FDCWD, file, 1 << 20, &text);
	char *save = NULL;
	for (char *line = r < 0 ? NULL : strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		long pid = strtol(line, NULL, 10);
		if (pid > 1 && pid != (long)record->pid && kill((pid_t)pid, SIGKILL) < 0 && errno != ESRCH)
			r = -errno;
	}
	int thaw = gb_sandbox_cgroup_freeze(path, false, CLEAN_MS);
	return r < 0 ? r : thaw;
}

int gb_sandbox_clean(const struct gb_sandbox_place *place, const char *instance, uint32_t address, struct gb_err *err)
{
	char path[192];
	struct gb_err why = { 0 };
	int failed = 0, r;

	(void)snprintf(path, sizeof path, "%s/%s", place->cgroup + 1, instance);
	(void)gb_sandbox_cgroup_kill(path);
	(void)snprintf(path, sizeof path, "%s/state/%s", place->run, instance);
	if (place->runtime[0] && access(path, F_OK) == 0) {
		const char *args[] = { "delete", "--force", instance, NULL };
		r = runtime(place, instance, args, &why);
		/* Another one's, perhaps. Its processes are killed by their cgroup: there is nothing left but this. */
		if (r < 0 && gb_sandbox_tree_remove(AT_FDCWD, path) < 0)
			failed = r;
	}
	(void)snprintf(path, sizeof path, "%s/%s", place->cgroup + 1, instance);
	r = gb_sandbox_cgroup_remove(path, CLEAN_MS);
	if (r < 0 && !failed)
		failed = gb_err_sys(&why, -r, "cgroup %s", path);
	(void)snprintf(path, sizeof path, "%s/%s.log", place->run, instance);
	(void)unlink(path);
	(void)snprintf(path, sizeof path, "%s/%s", place->run, instance);
	r = gb_sandbox_tree_remove(AT_FDCWD, path);
	if (r < 0 && !failed)
		failed = gb_err_sys(&why, -r, "%s", path);
	if (address) {
		char name[GB_SANDBOX_TAP];
		struct gb_err ignored;
		gb_autoclose int sock = gb_veth_socket(&ignored);
		gb_sandbox_tap_name(address, name);
		r = sock < 0 ? sock : gb_veth_delete(sock, name);
		if (r < 0 && r != -ENODEV && !failed)
			failed = gb_err_sys(&why, -r, "interface %s", name);
	}
	if (failed && err)
		*err = why;
	return failed;
}

static int each_instance(const char *path, int (*fn)(const char *instance, void *arg), void *arg)
{
	struct dirent *entry;
	int r = 0;

	gb_autoclosedir DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = readdir(dir))) {
		if (strlen(entry->d_name) == GB_SANDBOX_INSTANCE && strspn(entry->d_name, "0123456789abcdef") == GB_SANDBOX_INSTANCE)
			r = fn(entry->d_name, arg);
	}
	return r;
}

int gb_sandbox_each_container(const struct gb_sandbox_place *place, int (*fn)(const char *instance, void *arg), void *arg)
{
	char path[192];

	(void)snprintf(path, sizeof path, "%s/state", place->run);
	int r = each_instance(path, fn, arg);
	return r ? r : each_instance(place->run, fn, arg);
}

int gb_sandbox_dump(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, const char *folder,
		    struct gb_err *err)
{
	const char *args[] = { "checkpoint", "--leave-running", "--image-path", folder, "--work-path", folder, record->instance, NULL };
	char path[512];

	if (!gb_program_find(place->runtime_dir, "criu", path, sizeof path) &&
	    !gb_program_find(gb_program_path(), "criu", path, sizeof path))
		return gb_err_set(err, EOPNOTSUPP, "there is no criu");
	/* The bundle calls the network namespace that which the runtime is started in: so it is now, and its interfaces stay
	 * out of what is written. */
	(void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/ns/net", record->pid);
	gb_autoclose int theirs = open(path, O_RDONLY | O_CLOEXEC);
	gb_autoclose int ours = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (theirs < 0 || ours < 0 || setns(theirs, CLONE_NEWNET) < 0)
		return gb_err_sys(err, errno, "the sandbox's network namespace");
	int r = runtime(place, record->instance, args, err);
	if (setns(ours, CLONE_NEWNET) < 0)
		abort(); /* as in back() */
	return r;
}

/* ---- commands ---- */

static int listen_console(struct gb_sandbox_exec *exec)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlcpy(addr.sun_path, exec->console_path, sizeof addr.sun_path) >= sizeof addr.sun_path)
		return -ENAMETOOLONG;
	(void)unlink(addr.sun_path);
	gb_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || chmod(addr.sun_path, 0600) < 0 || listen(fd, 1) < 0)
		return -errno;
	exec->console = gb_take_fd(&fd);
	return 0;
}

int gb_sandbox_console_take(int conn)
{
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char data[256];
	struct iovec iov = { data, sizeof data };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	int fd;

	ssize_t n = recvmsg(conn, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	const struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(sizeof fd))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(h), sizeof fd);
	return fd;
}

/*
 * A command of runc's: in the foreground it copies all output itself, and does not end before everybody has closed that.
 * So it is started detached, under a process of ours that the command's falls to when runc ends (PR_SET_CHILD_SUBREAPER),
 * and that ends as the command does. pid_path: where runc leaves the command's process id.
 */
static void keep_command(const char *program, char *const *argv, const struct gb_sandbox_child *child, const char *pid_path)
{
	static const struct gb_sandbox_child same = { .fds = { 0, 1, 2, 3, 4, -1, -1, -1 } };
	gb_autobuf struct gb_buf text = { 0 };
	int fds[5], status = 0;
	pid_t pid;

	/* Nothing of the daemon's stays open here. The descriptors go out of each other's way first. */
	for (size_t i = 0; i < GB_ARRAY_LEN(fds); i++)
		fds[i] = child->fds[i] >= 0 ? fcntl(child->fds[i], F_DUPFD, 16) : open("/dev/null", O_RDWR);
	for (size_t i = 0; i < GB_ARRAY_LEN(fds); i++) {
		if (fds[i] < 0 || dup2(fds[i], (int)i) < 0)
			_exit(126);
	}
	closefrom(GB_ARRAY_LEN(fds));
	(void)prctl(PR_SET_NAME, "runc-exec");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || gb_sandbox_spawn_as_it_is(program, argv, &same, &pid) < 0)
		_exit(126);
	closefrom(0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
	int r = gb_io_slurp(AT_FDCWD, pid_path, 64, &text);
	(void)unlink(pid_path);
	pid = r < 0 ? -1 : (pid_t)strtol(gb_buf_text(&text), NULL, 10);
	for (;;) {
		pid_t gone = waitpid(-1, &status, 0);
		if (gone == pid && gone > 0)
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
		if (gone < 0 && errno != EINTR)
			_exit(126);
	}
}

static int spawn_detached(const char *program, char *const *argv, const struct gb_sandbox_child *child, const char *pid_path, pid_t *ret_pid)
{
	pid_t pid = fork();

	if (pid == 0)
		keep_command(program, argv, child, pid_path);
	if (pid < 0)
		return -errno;
	*ret_pid = pid;
	return 0;
}

int gb_sandbox_exec_start(const struct gb_sandbox_place *place, const Guestbox__Sandbox__Record *record, uint64_t number,
			  const struct gb_sandbox_process *process, bool input, struct gb_sandbox_exec *ret_exec,
			  struct gb_err *err)
{
	const char *instance = record->instance;
	struct gb_sandbox_exec exec = GB_SANDBOX_EXEC_NONE;
	gb_autobuf struct gb_buf text = { 0 };
	char state[96], sub[64], pid_path[160];
	int in = -1, out = -1, errs = -1, log = -1;

	struct gb_sandbox_process full = *process;
	full.nofile = nofile_max();
	int r = gb_sandbox_process_json(&full, &text);
	gb_autoclose int json = r < 0 ? -1 : write_memfd("process.json", &text);
	if (json < 0)
		return gb_err_sys(err, r < 0 ? -r : -json, "process.json");
	(void)snprintf(state, sizeof state, "%s/state", place->run);
	(void)snprintf(sub, sizeof sub, "exec-%llu", (unsigned long long)number);
	(void)snprintf(exec.cgroup, sizeof exec.cgroup, "%s/%s/%s", place->cgroup + 1, instance, sub);
	r = gb_sandbox_cgroup_make(exec.cgroup);
	if (r < 0)
		return gb_err_sys(err, -r, "cgroup %s", exec.cgroup);
	r = make_pipe(false, &exec.log, &log);
	if (process->tty) {
		(void)snprintf(exec.console_path, sizeof exec.console_path, "%s/%s/%s.tty", place->run, instance, sub);
		if (r == 0)
			r = listen_console(&exec);
	} else {
		if (r == 0 && input)
			r = make_pipe(true, &exec.in, &in);
		if (r == 0)
			r = make_pipe(false, &exec.out, &out);
		if (r == 0)
			r = make_pipe(false, &exec.err, &errs);
		if (r == 0)
			r = give_pipes(record, process, (const int[]){ in, out, errs });
	}
	if (r == 0) {
		const char *argv[20] = { place->runtime, "--root", state, "--log", "/proc/self/fd/4", "exec", "--process",
					 "/proc/self/fd/3", "--cgroup", sub };
		size_t n = 10;
		if (process->tty) {
			argv[n++] = "--tty";
			argv[n++] = "--console-socket";
			argv[n++] = exec.console_path;
		}
		if (place->runc) {
			(void)snprintf(pid_path, sizeof pid_path, "%s/%s/%s.pid", place->run, instance, sub);
			argv[n++] = "--detach";
			argv[n++] = "--pid-file";
			argv[n++] = pid_path;
		}
		argv[n++] = instance;
		const struct gb_sandbox_child child = { .fds = { in, out, errs, json, log, -1, -1, -1 } };
		char *const *words = (char *const *)(uintptr_t)argv;
		r = place->runc ? spawn_detached(place->runtime, words, &child, pid_path, &exec.pid)
				: gb_sandbox_spawn(place->runtime, words, &child, &exec.pid);
	}
	gb_close_fd(&in);
	gb_close_fd(&out);
	gb_close_fd(&errs);
	gb_close_fd(&log);
	if (r < 0) {
		close_exec(&exec);
		return gb_err_sys(err, -r, "%s exec", place->runtime);
	}
	*ret_exec = exec;
	return 0;
}
