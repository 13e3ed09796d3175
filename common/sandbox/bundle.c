/* SPDX-License-Identifier: MIT */
/* The OCI runtime's papers (opencontainers/runtime-spec, config.md and config-linux.md). */
#include "common/sandbox/bundle.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/sandbox/spec.h"
#include "common/sys/program.h"

enum { CPU_PERIOD_US = 100000, NOFILE_SOFT = 1024, SHM_MIB = 64 };

/* What root in a sandbox may: as a container engine's default, and all of it inside its own user namespace only. */
static const char *const capabilities[] = {
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
};

static const char *const masked[] = {
	"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
	"/proc/timer_list", "/proc/timer_stats", "/proc/interrupts", "/sys/firmware", "/sys/devices/virtual/powercap",
};

static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };

/* Calls that reach what no namespace divides, or whose faults have let many out of theirs. Those that a user namespace
 * takes the right to anyway stand here so that a fault in that check is not enough. */
static const char *const denied[] = {
	"acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "create_module", "delete_module", "finit_module",
	"fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms", "init_module", "io_uring_enter",
	"io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl",
	"lookup_dcookie", "migrate_pages", "mount", "mount_setattr", "move_mount", "move_pages", "name_to_handle_at",
	"nfsservctl", "open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "process_vm_readv",
	"process_vm_writev", "query_module", "quotactl", "quotactl_fd", "reboot", "request_key", "setns",
	"settimeofday", "stime", "swapoff", "swapon", "sysfs", "syslog", "umount", "umount2", "unshare", "uselib",
	"userfaultfd", "ustat", "vhangup", "vm86", "vm86old",
};

/* Subvolumes and snapshots of the sandbox's own: they would stay out of its snapshots, and in the way of its removal. */
static const uint32_t denied_ioctls[] = {
	0x5000940e, 0x50009418, /* BTRFS_IOC_SUBVOL_CREATE, _V2 */
	0x50009401, 0x50009417, /* BTRFS_IOC_SNAP_CREATE, _V2 */
	0x5412, 0x541c,         /* TIOCSTI, TIOCLINUX: typing into somebody else's terminal */
};

static void strings(struct gb_json *json, const char *key, const char *const *list, size_t n)
{
	gb_json_open(json, key, '[');
	for (size_t i = 0; i < n; i++)
		gb_json_str(json, NULL, list[i]);
	gb_json_close(json, ']');
}

#define STRINGS(json, key, list) strings((json), (key), (list), GB_ARRAY_LEN(list))

/* ---- a process ---- */

struct variable {
	const char *key, *value;
};

static void set(struct variable *list, size_t *n, const char *key, const char *value)
{
	for (size_t i = 0; i < *n; i++) {
		if (strcmp(list[i].key, key) == 0) {
			list[i].value = value;
			return;
		}
	}
	list[(*n)++] = (struct variable){ key, value };
}

const char *gb_sandbox_variable(const struct gb_sandbox_process *p, const char *key)
{
	const char *value = strcmp(key, "PATH") == 0 ? GB_PROGRAM_PATH : NULL;

	for (size_t i = 0; i < p->spec->n_env; i++) {
		if (strcmp(p->spec->env[i]->key, key) == 0)
			value = p->spec->env[i]->value;
	}
	for (size_t i = 0; i < p->env_len; i++) {
		if (strcmp(p->env[i].key, key) == 0)
			value = p->env[i].value;
	}
	return value;
}

/* All variables, each once: malloc'ed, NULL when out of memory. */
static struct variable *variables(const struct gb_sandbox_process *p, size_t *ret_n)
{
	size_t n = 0;
	struct variable *list = calloc(p->spec->n_env + p->env_len + 3, sizeof *list);

	if (!list)
		return NULL;
	set(list, &n, "PATH", GB_PROGRAM_PATH);
	set(list, &n, "HOME", p->user.home[0] ? p->user.home : "/");
	if (p->tty)
		set(list, &n, "TERM", "xterm");
	for (size_t i = 0; i < p->spec->n_env; i++)
		set(list, &n, p->spec->env[i]->key, p->spec->env[i]->value);
	for (size_t i = 0; i < p->env_len; i++)
		set(list, &n, p->env[i].key, p->env[i].value);
	*ret_n = n;
	return list;
}

static int environment(struct gb_json *json, const struct gb_sandbox_process *p)
{
	gb_autobuf struct gb_buf line = { 0 };
	size_t n;
	gb_autofree struct variable *list = variables(p, &n);

	if (!list)
		return -ENOMEM;
	gb_json_open(json, "env", '[');
	for (size_t i = 0; i < n; i++) {
		line.len = 0;
		if (gb_buf_fmt(&line, "%s=%s", list[i].key, list[i].value) < 0)
			return -ENOMEM;
		gb_json_str(json, NULL, line.data);
	}
	gb_json_close(json, ']');
	return 0;
}

static void rlimit(struct gb_json *json, const char *type, uint64_t soft, uint64_t hard)
{
	gb_json_open(json, NULL, '{');
	gb_json_str(json, "type", type);
	gb_json_uint(json, "soft", soft);
	gb_json_uint(json, "hard", hard);
	gb_json_close(json, '}');
}

const char *gb_sandbox_folder(const struct gb_sandbox_process *p)
{
	return p->dir && *p->dir ? p->dir : *p->spec->working_dir ? p->spec->working_dir : "/";
}

/* The members of a process object. */
static int process(struct gb_json *json, const struct gb_sandbox_process *p)
{
	const char *dir = gb_sandbox_folder(p);

	gb_json_bool(json, "terminal", p->tty);
	if (p->tty) {
		gb_json_open(json, "consoleSize", '{');
		gb_json_uint(json, "height", p->height);
		gb_json_uint(json, "width", p->width);
		gb_json_close(json, '}');
	}
	gb_json_open(json, "user", '{');
	gb_json_uint(json, "uid", p->user.uid);
	gb_json_uint(json, "gid", p->user.gid);
	if (p->user.groups_len) {
		gb_json_open(json, "additionalGids", '[');
		for (size_t i = 0; i < p->user.groups_len; i++)
			gb_json_uint(json, NULL, p->user.groups[i]);
		gb_json_close(json, ']');
	}
	gb_json_close(json, '}');
	strings(json, "args", (const char *const *)p->args, p->args_len);
	if (environment(json, p) < 0)
		return -ENOMEM;
	gb_json_str(json, "cwd", dir);
	gb_json_open(json, "capabilities", '{');
	STRINGS(json, "bounding", capabilities);
	/* One who is not root keeps none but what a file gives him. */
	strings(json, "effective", capabilities, p->user.uid ? 0 : GB_ARRAY_LEN(capabilities));
	strings(json, "permitted", capabilities, p->user.uid ? 0 : GB_ARRAY_LEN(capabilities));
	gb_json_close(json, '}');
	gb_json_open(json, "rlimits", '[');
	rlimit(json, "RLIMIT_NOFILE", p->nofile < NOFILE_SOFT ? p->nofile : NOFILE_SOFT, p->nofile);
	rlimit(json, "RLIMIT_CORE", 0, 0);
	/* A second wall beside the pids controller: user ids are each sandbox's own, so that they count its processes alone
	 * (and its root has no right to go above it, setrlimit(2)). */
	rlimit(json, "RLIMIT_NPROC", GB_SANDBOX_PIDS, GB_SANDBOX_PIDS);
	gb_json_close(json, ']');
	gb_json_bool(json, "noNewPrivileges", false);
	gb_json_int(json, "oomScoreAdj", 500);
	return 0;
}

int gb_sandbox_process_json(const struct gb_sandbox_process *p, struct gb_buf *buf)
{
	struct gb_json json = { .buf = *buf };

	gb_json_open(&json, NULL, '{');
	int r = process(&json, p);
	gb_json_close(&json, '}');
	*buf = json.buf;
	return r < 0 || buf->failed ? -ENOMEM : 0;
}

int gb_sandbox_orders(const struct gb_sandbox_process *p, bool input, struct gb_buf *buf)
{
	struct gb_sandbox_orders head = { .args = p->args_len, .uid = p->user.uid, .gid = p->user.gid,
					  .groups_len = (uint32_t)p->user.groups_len, .input = input };
	const char *dir = gb_sandbox_folder(p);
	size_t n;
	gb_autofree struct variable *list = variables(p, &n);

	if (!list)
		return -ENOMEM;
	head.env = n;
	memcpy(head.groups, p->user.groups, p->user.groups_len * sizeof head.groups[0]);
	/* The places of all strings, which become pointers by adding where they are mapped; each list has its NULL. */
	size_t lists = (p->args_len + 1 + n + 1) * sizeof(uint64_t);
	gb_autobuf struct gb_buf places = { 0 }, strings = { 0 };
	static const uint64_t end;
	for (size_t i = 0; i < p->args_len; i++) {
		uint64_t at = sizeof head + lists + strings.len;
		(void)gb_buf_add(&places, &at, sizeof at);
		(void)gb_buf_add(&strings, p->args[i], strlen(p->args[i]) + 1);
	}
	(void)gb_buf_add(&places, &end, sizeof end);
	for (size_t i = 0; i < n; i++) {
		uint64_t at = sizeof head + lists + strings.len;
		(void)gb_buf_add(&places, &at, sizeof at);
		(void)gb_buf_fmt(&strings, "%s=%s", list[i].key, list[i].value);
		(void)gb_buf_add(&strings, "", 1);
	}
	(void)gb_buf_add(&places, &end, sizeof end);
	head.dir = sizeof head + lists + strings.len;
	(void)gb_buf_add(&strings, dir, strlen(dir) + 1);
	(void)gb_buf_add(buf, &head, sizeof head);
	(void)gb_buf_add(buf, places.data, places.len);
	(void)gb_buf_add(buf, strings.data, strings.len);
	return places.failed || strings.failed || buf->failed ? -ENOMEM : 0;
}

/* ---- a bundle ---- */

static void a_mount(struct gb_json *json, const char *type, const char *source, const char *target,
		    const char *const *options, size_t n)
{
	gb_json_open(json, NULL, '{');
	gb_json_str(json, "destination", target);
	gb_json_str(json, "type", type);
	gb_json_str(json, "source", source);
	strings(json, "options", options, n);
	gb_json_close(json, '}');
}

static void mounts(struct gb_json *json, const struct gb_sandbox_bundle *b)
{
	static const char *const proc[] = { "nosuid", "noexec", "nodev" };
	static const char *const dev[] = { "nosuid", "strictatime", "mode=755", "size=65536k" };
	static const char *const pts[] = { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" };
	static const char *const shm[] = { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" };
	static const char *const mqueue[] = { "nosuid", "noexec", "nodev" };

	gb_json_open(json, "mounts", '[');
	a_mount(json, "proc", "proc", "/proc", proc, GB_ARRAY_LEN(proc));
	a_mount(json, "tmpfs", "tmpfs", "/dev", dev, GB_ARRAY_LEN(dev));
	a_mount(json, "devpts", "devpts", "/dev/pts", pts, GB_ARRAY_LEN(pts));
	a_mount(json, "tmpfs", "shm", "/dev/shm", shm, GB_ARRAY_LEN(shm));
	a_mount(json, "mqueue", "mqueue", "/dev/mqueue", mqueue, GB_ARRAY_LEN(mqueue));
	for (size_t i = 0; i < b->binds_len; i++) {
		const struct gb_sandbox_bind *bind = &b->binds[i];
		const char *options[6] = { "rbind", "rprivate", "nosuid", "nodev" };
		size_t n = 4;

		options[n++] = bind->read_only ? "ro" : "rw";
		if (!bind->exec)
			options[n++] = "noexec";
		a_mount(json, "bind", bind->source, bind->target, options, n);
	}
	gb_json_close(json, ']');
}

static void mapping(struct gb_json *json, const char *key, uint32_t slot)
{
	gb_json_open(json, key, '[');
	gb_json_open(json, NULL, '{');
	gb_json_uint(json, "containerID", 0);
	gb_json_uint(json, "hostID", GB_SANDBOX_UID_BASE + slot * GB_SANDBOX_IDS);
	gb_json_uint(json, "size", GB_SANDBOX_IDS);
	gb_json_close(json, '}');
	gb_json_close(json, ']');
}

static void resources(struct gb_json *json, const struct gb_sandbox_bundle *b)
{
	const Sandbox__V1__ResourceLimits *limits = b->record->spec->limits;

	gb_json_open(json, "resources", '{');
	if (b->memory && limits && limits->memory_mib) {
		int64_t bytes = (int64_t)(limits->memory_mib << 20);
		gb_json_open(json, "memory", '{');
		gb_json_int(json, "limit", bytes);
		gb_json_int(json, "swap", bytes); /* memory and swap together: no swap */
		gb_json_close(json, '}');
	}
	if (b->cpu && limits && limits->vcpus) {
		gb_json_open(json, "cpu", '{');
		gb_json_uint(json, "period", CPU_PERIOD_US);
		gb_json_uint(json, "quota", (uint64_t)limits->vcpus * CPU_PERIOD_US);
		gb_json_close(json, '}');
	}
	if (b->pids) {
		gb_json_open(json, "pids", '{');
		gb_json_uint(json, "limit", GB_SANDBOX_PIDS);
		gb_json_close(json, '}');
	}
	gb_json_close(json, '}');
}

static void a_namespace(struct gb_json *json, const char *type, const char *path)
{
	gb_json_open(json, NULL, '{');
	gb_json_str(json, "type", type);
	if (path)
		gb_json_str(json, "path", path);
	gb_json_close(json, '}');
}

static void namespaces(struct gb_json *json, const struct gb_sandbox_bundle *b)
{
	static const char *const types[] = { "pid", "mount", "ipc", "uts", "cgroup" };

	gb_json_open(json, "namespaces", '[');
	for (size_t i = 0; i < GB_ARRAY_LEN(types); i++)
		a_namespace(json, types[i], NULL);
	a_namespace(json, "user", b->userns);
	/* That which the runtime is started in. */
	a_namespace(json, "network", "/proc/self/ns/net");
	gb_json_close(json, ']');
}

/* Refuses a call whose argument has these bits. */
static void deny_bits(struct gb_json *json, const char *name, unsigned index, uint64_t mask, uint64_t bits)
{
	gb_json_open(json, NULL, '{');
	strings(json, "names", &name, 1);
	gb_json_str(json, "action", "SCMP_ACT_ERRNO");
	gb_json_uint(json, "errnoRet", EPERM);
	gb_json_open(json, "args", '[');
	gb_json_open(json, NULL, '{');
	gb_json_uint(json, "index", index);
	gb_json_uint(json, "value", mask);
	gb_json_uint(json, "valueTwo", bits);
	gb_json_str(json, "op", "SCMP_CMP_MASKED_EQ");
	gb_json_close(json, '}');
	gb_json_close(json, ']');
	gb_json_close(json, '}');
}

static void seccomp(struct gb_json *json)
{
	static const char *const clone3[] = { "clone3" };

	gb_json_open(json, "seccomp", '{');
	gb_json_str(json, "defaultAction", "SCMP_ACT_ALLOW");
	gb_json_open(json, "syscalls", '[');
	gb_json_open(json, NULL, '{');
	STRINGS(json, "names", denied);
	gb_json_str(json, "action", "SCMP_ACT_ERRNO");
	gb_json_uint(json, "errnoRet", EPERM);
	gb_json_close(json, '}');
	/* The arguments of clone3(2) are in memory, where no filter sees them: C libraries fall back to clone(2). */
	gb_json_open(json, NULL, '{');
	STRINGS(json, "names", clone3);
	gb_json_str(json, "action", "SCMP_ACT_ERRNO");
	gb_json_uint(json, "errnoRet", ENOSYS);
	gb_json_close(json, '}');
	deny_bits(json, "clone", 0, CLONE_NEWUSER, CLONE_NEWUSER);
	/* The kernel looks at 32 bits of an ioctl's number: so does the filter. */
	for (size_t i = 0; i < GB_ARRAY_LEN(denied_ioctls); i++)
		deny_bits(json, "ioctl", 1, UINT32_MAX, denied_ioctls[i]);
	gb_json_close(json, ']');
	gb_json_close(json, '}');
}

int gb_sandbox_bundle_json(const struct gb_sandbox_bundle *b, struct gb_buf *buf)
{
	struct gb_json json = { .buf = *buf };

	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, "ociVersion", "1.0.0");
	gb_json_open(&json, "process", '{');
	int r = process(&json, &b->process);
	gb_json_close(&json, '}');
	gb_json_open(&json, "root", '{');
	gb_json_str(&json, "path", b->root);
	gb_json_bool(&json, "readonly", false);
	gb_json_close(&json, '}');
	gb_json_str(&json, "hostname", b->hostname);
	mounts(&json, b);
	gb_json_open(&json, "linux", '{');
	mapping(&json, "uidMappings", b->record->slot);
	mapping(&json, "gidMappings", b->record->slot);
	gb_json_str(&json, "cgroupsPath", b->cgroup);
	resources(&json, b);
	namespaces(&json, b);
	STRINGS(&json, "maskedPaths", masked);
	STRINGS(&json, "readonlyPaths", readonly);
	seccomp(&json);
	gb_json_close(&json, '}');
	gb_json_close(&json, '}');
	*buf = json.buf;
	return r < 0 || buf->failed ? -ENOMEM : 0;
}
