/* SPDX-License-Identifier: MIT */
/* guest-boot: what an init script has no need to be told in shell: steps and their log, pseudo file systems, modules, a
 * port, CPU caches. */
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/applet.h"
#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/base/parse.h"
#include "common/mount/apply.h"
#include "common/mount/pseudo.h"
#include "common/net/virtio.h"
#include "common/sys/cmdline.h"
#include "common/sys/module.h"
#include "common/sys/timeline.h"

enum { OPT_LIST = GB_OPT_LONG, OPT_DIR, OPT_DEVICES, OPT_WAIT, OPT_ROOT, OPT_LOG };

static const struct gb_opt steps_opts[] = {
	GB_OPT(OPT_LOG, "log", "TARGET", "stderr, kmsg or json:PATH [kmsg]"),
	{ 0 },
};

static const struct gb_opt modules_opts[] = {
	GB_OPT(OPT_LIST, "list", "FILE", "load the modules named in FILE, a line each"),
	GB_OPT(OPT_DEVICES, "devices", "", "load what the virtio, NVDIMM and their devices ask for"),
	GB_OPT(OPT_DIR, "dir", "DIR", "where the modules are [/lib/modules/RELEASE]"),
	{ 0 },
};

static const struct gb_opt port_opts[] = {
	GB_OPT(OPT_WAIT, "wait", "S", "how long a console device has to tell its ports' names [0.4]"),
	{ 0 },
};

static const struct gb_opt root_opts[] = {
	GB_OPT(OPT_ROOT, "root", "DIR", "put DIR in front of every path"),
	{ 0 },
};

static int option_root(struct gb_cmd *cmd, const char **ret_root, struct gb_err *err)
{
	struct gb_optscan scan;
	int key;

	*ret_root = "";
	gb_opt_start(&scan, root_opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0)
		*ret_root = scan.arg;
	return key < 0 ? key : gb_opt_operands(&scan, 0, 0, NULL, err);
}

/* ---- steps ---- */

/* What a step prints goes to the log, a line a record; a record of the kernel's log holds some 900 bytes. */
static void relay(const char *name, int fd)
{
	char text[800];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, sizeof text - 1 - len)) > 0 || (n < 0 && errno == EINTR)) {
		char *line = text;

		len += n > 0 ? (size_t)n : 0;
		for (char *end; (end = memchr(line, '\n', len - (size_t)(line - text))); line = end + 1) {
			*end = '\0';
			gb_log(GB_LOG_WARNING, "%s: %s", name, line);
		}
		len -= (size_t)(line - text);
		memmove(text, line, len);
		if (len == sizeof text - 1) { /* a line of that length goes on in the next record */
			text[len] = '\0';
			gb_log(GB_LOG_WARNING, "%s: %s", name, text);
			len = 0;
		}
	}
	text[len] = '\0';
	if (len)
		gb_log(GB_LOG_WARNING, "%s: %s", name, text);
}

/* In the child. An applet of ours needs no program to be loaded: most of what a short step would cost. */
static void become_step(int argc, char **argv, int out)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null >= 0)
		(void)dup2(null, STDIN_FILENO);
	(void)gb_log_open("stderr", NULL);
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		_exit(126);
	int status = gb_applet_call(argc, argv);
	if (status >= 0)
		_exit(status);
	(void)execvp(argv[0], argv);
	status = errno == ENOENT ? 127 : 126;
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(status);
}

/* Whether the step did what it should. It ends when its output does: what it leaves behind has to let go of that. */
static bool run_step(const char *name, int argc, char **argv)
{
	gb_autobuf struct gb_buf words = { 0 };
	int status, fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0) {
		gb_log(GB_LOG_ERR, "step %s: failed: pipe: %s", name, strerror(errno));
		return false;
	}
	gb_autoclose int reader = fds[0], writer = fds[1];
	pid_t pid = fork();
	if (pid == 0)
		become_step(argc, argv, writer);
	if (pid < 0) {
		gb_log(GB_LOG_ERR, "step %s: failed: fork: %s", name, strerror(errno));
		return false;
	}
	(void)close(gb_take_fd(&writer));
	relay(name, reader);
	(void)close(gb_take_fd(&reader)); /* whoever writes on is not waited for */
	int r = gb_io_wait(pid, &status);
	if (r < 0) {
		gb_log(GB_LOG_ERR, "step %s: failed: wait: %s", name, strerror(-r));
		return false;
	}
	if (status == 0) {
		gb_log(GB_LOG_WARNING, "step %s: done", name);
		return true;
	}
	for (int i = 0; i < argc; i++)
		(void)gb_buf_fmt(&words, "%s%s", i ? " " : "", argv[i]);
	gb_log(GB_LOG_ERR, "step %s: failed with status %d: %s", name,
	       WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), gb_buf_text(&words));
	return false;
}

/* The word that ends a step's command; argc where there is none. */
static int step_end(int argc, char **argv, int i)
{
	while (i < argc && strcmp(argv[i], ",") != 0)
		i++;
	return i;
}

static int run_steps(struct gb_cmd *cmd, struct gb_err *err)
{
	gb_autobuf struct gb_buf names = { 0 };
	const char *target = "kmsg";
	struct gb_optscan scan;
	int key, end, failed = 0;

	cmd->unmarked = true; /* its steps are what counts */
	gb_opt_start(&scan, steps_opts, cmd->argc, cmd->argv, GB_OPT_STOP);
	while ((key = gb_opt_next(&scan, err)) > 0)
		target = scan.arg;
	if (key < 0)
		return key;
	for (int i = scan.index; i <= scan.argc; i = end + 1) {
		end = step_end(scan.argc, scan.argv, i);
		if (end - i < 2)
			return gb_err_set(err, GB_E_USAGE, "each step is a name and a command%s%s", i < end ? ": " : "",
					  i < end ? scan.argv[i] : "");
	}
	setprogname("guestbox");
	int r = gb_log_open(target, err);
	if (r < 0)
		return r;
	for (int i = scan.index; i < scan.argc; i = end + 1) {
		end = step_end(scan.argc, scan.argv, i);
		scan.argv[end] = NULL; /* argv[argc] is one already */
		if (!run_step(scan.argv[i], end - i - 1, scan.argv + i + 1))
			(void)gb_buf_fmt(&names, "%s%s", failed++ ? " " : "", scan.argv[i]);
	}
	if (failed) /* not before: a child would have what is not flushed, too */
		puts(gb_buf_text(&names));
	return failed ? gb_err_set(err, GB_E_SILENT, "%d failed", failed) : 0;
}

/* ---- pseudo-fs ---- */

static void make_file(const char *path)
{
	gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);

	(void)fd;
}

/* How far limits of descriptors may be raised. Not a shell's to look at: it reads a byte at a time, and a file of /proc/sys
 * ends after the first read (proc_dointvec()). */
static void raise_nr_open(void)
{
	static const char path[] = "/proc/sys/fs/nr_open", wanted[] = "1048576";
	gb_autobuf struct gb_buf text = { 0 };

	if (gb_io_slurp(AT_FDCWD, path, 64, &text) == 0 && strtoull(gb_buf_text(&text), NULL, 10) < strtoull(wanted, NULL, 10))
		(void)gb_io_put(AT_FDCWD, path, wanted);
}

static int run_pseudo(struct gb_cmd *cmd, struct gb_err *err)
{
	const char *root;
	char path[PATH_MAX];
	int r = option_root(cmd, &root, err);

	if (r < 0)
		return r;
	int failed = gb_mount_pseudo(root, gb_complain);
	/* More than ten lines in five seconds are the init script's to write; the newline is part of the word (printk_devkmsg in
	 * the kernel's sysctl/kernel.rst). */
	if (!*root) {
		(void)gb_io_put(AT_FDCWD, "/proc/sys/kernel/printk_devkmsg", "on\n");
		raise_nr_open();
	}
	/* From here on, applets leave their times: boot-timeline(1). */
	if (snprintf(path, sizeof path, "%s/run/guestbox", root) < (int)sizeof path && gb_io_mkdirs(path) == 0 &&
	    snprintf(path, sizeof path, "%s/run/guestbox/timeline", root) < (int)sizeof path)
		make_file(path);
	/* What init/functions waits for the daemon with: mkfifo(1) would be a process. */
	if (snprintf(path, sizeof path, "%s/run/guestbox/rpcd-ready", root) < (int)sizeof path)
		(void)mkfifo(path, 0600);
	return failed ? gb_err_set(err, GB_E_SILENT, "%d failed", failed) : 0;
}

/* ---- modules ---- */

static uint64_t load_begun;

/* A module's own start is the kernel's time, and it is told apart when there is something to tell. */
static void on_load(const char *name, int result)
{
	enum { WORTH_NS = 1000000 };
	char text[80];

	if (result > 0) {
		load_begun = gb_mono_ns();
	} else if (gb_mono_ns() - load_begun >= WORTH_NS) {
		(void)snprintf(text, sizeof text, "module %s", name);
		gb_timeline_mark("kernel", text, load_begun);
	}
}

static int load(struct gb_modules *modules, const char *name)
{
	struct gb_err err = { 0 };

	int r = gb_module_load(modules, name, &err);
	/* A driver whose device, or whose hypervisor, is not here ends by itself. */
	if (r == 0 || r == -ENODEV || r == -ENXIO || r == -EOPNOTSUPP)
		return 0;
	gb_complain(err.msg);
	return 1;
}

static int load_list(struct gb_modules *modules, const char *file, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };
	char *rest, *line;
	int failed = 0, r = gb_io_slurp(AT_FDCWD, file, 1 << 20, &text);

	if (r < 0)
		return gb_err_sys(err, -r, "%s", file);
	for (line = text.data ? strtok_r(text.data, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		line += strspn(line, " \t");
		line[strcspn(line, " \t#")] = '\0';
		if (*line)
			failed += load(modules, line);
	}
	return failed;
}

/* guestbox.modules=A,B of the kernel command line. */
static int load_asked(struct gb_modules *modules)
{
	const char *key, *value;
	char word[1024];
	size_t pos = 0;
	int failed = 0;

	while (gb_cmdline_next(gb_buf_text(&modules->cmdline), &pos, word, sizeof word, &key, &value)) {
		if (strcmp(key, "guestbox.modules") != 0 || !value)
			continue;
		gb_autofree char *names = strdup(value);
		char *rest, *name;
		for (name = names ? strtok_r(names, ",", &rest) : NULL; name; name = strtok_r(NULL, ",", &rest))
			failed += load(modules, name);
	}
	return failed;
}

/* What the devices of a bus ask for, as far as it is there. prefix: only devices whose names begin so. */
static void load_for(struct gb_modules *modules, const char *bus, const char *prefix)
{
	char path[PATH_MAX], name[64];
	gb_autoclosedir DIR *dir = NULL;
	const struct dirent *e;

	(void)snprintf(path, sizeof path, "/sys/bus/%s/devices", bus);
	dir = opendir(path);
	while (dir && gb_dir_next(dir, &e) > 0) {
		char alias[4096];
		const char *module;
		size_t pos = 0;

		if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		(void)snprintf(path, sizeof path, "%s/modalias", e->d_name);
		if (gb_io_line(dirfd(dir), path, alias, sizeof alias) < 0 || !alias[0])
			continue;
		while ((module = gb_module_match(modules, alias, &pos, name)))
			(void)load(modules, module);
	}
}

static int run_modules(struct gb_cmd *cmd, struct gb_err *err)
{
	struct gb_modules modules = { .loaded = on_load };
	const char *list = NULL, *folder = NULL;
	char own[256];
	struct gb_optscan scan;
	struct utsname uts;
	bool devices = false;
	int key, failed = 0;

	gb_opt_start(&scan, modules_opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		switch (key) {
		case OPT_LIST: list = scan.arg; break;
		case OPT_DIR: folder = scan.arg; break;
		case OPT_DEVICES: devices = true; break;
		}
	}
	if (key < 0)
		return key;
	if (!list && !devices && scan.index == scan.argc)
		return gb_err_set(err, GB_E_USAGE, "which modules? (--list, --devices, or names)");
	if (!folder) {
		if (uname(&uts) < 0)
			return gb_err_sys(err, errno, "uname");
		(void)snprintf(own, sizeof own, "/lib/modules/%s", uts.release);
		folder = own;
	}
	int r = gb_module_open(&modules, folder, err);
	if (r == 0 && list) {
		r = load_list(&modules, list, err);
		failed += r > 0 ? r : 0;
	}
	for (int i = scan.index; r >= 0 && i < scan.argc; i++)
		failed += load(&modules, scan.argv[i]);
	if (r >= 0 && list)
		failed += load_asked(&modules);
	if (r >= 0 && devices) {
		load_for(&modules, "virtio", "");
		load_for(&modules, "acpi", "ACPI0012:"); /* the firmware's name for its NVDIMMs */
		load_for(&modules, "nd", "");            /* the memory that drivers found on them */
	}
	gb_module_close(&modules);
	return r < 0 ? r : failed ? gb_err_set(err, GB_E_SILENT, "%d failed", failed) : 0;
}

/* ---- port ---- */

/* Whether a console driver has a device, so that a port may come. */
static bool has_console(void)
{
	gb_autoclosedir DIR *driver = opendir("/sys/bus/virtio/drivers/virtio_console");
	const struct dirent *e;

	while (driver && gb_dir_next(driver, &e) > 0) {
		if (strncmp(e->d_name, "virtio", 6) == 0)
			return true;
	}
	return false;
}

static int run_port(struct gb_cmd *cmd, struct gb_err *err)
{
	enum { LOOK_MS = 4, WAIT_MS = 400, MOST_MS = 3600000 };
	struct gb_optscan scan;
	uint64_t wait = WAIT_MS;
	char device[NAME_MAX + 1];
	int key, r = 0;

	gb_opt_start(&scan, port_opts, cmd->argc, cmd->argv, 0);
	while (r == 0 && (key = gb_opt_next(&scan, err)) != 0)
		r = key > 0 ? gb_parse_seconds(scan.arg, "wait", MOST_MS, &wait, err) : key;
	if (r == 0)
		r = gb_opt_operands(&scan, 1, 1, "port name", err);
	if (r < 0)
		return r;
	uint64_t deadline = gb_mono_ns() + wait * 1000000;
	/* The driver learns the names over a queue of its own, some time after it has its device. */
	while (gb_virtio_find(GB_VIRTIO_PORTS, scan.argv[scan.index], device, sizeof device) < 0) {
		if (!has_console() || gb_mono_ns() >= deadline)
			return 1;
		(void)poll(NULL, 0, LOOK_MS);
	}
	return 0;
}

/* ---- cpu-cache ---- */

/* Some hypervisors tell no cache sizes, and Firecracker's jailer ends without them: what is missing is put over the folder
 * by a bind mount, the rest of it copied. */
static int fix_cache(const char *root, unsigned index, struct gb_err *err)
{
	static const char *const kept[] = { "level", "type", "shared_cpu_map", "shared_cpu_list", "uevent" };
	static const struct { const char *name, *value[3]; } made[] = {
		{ "size", { "64K\n", "64K\n", "1024K\n" } },
		{ "coherency_line_size", { "64\n", "64\n", "64\n" } },
		{ "number_of_sets", { "256\n", "256\n", "2048\n" } },
	};
	char from[PATH_MAX], to[PATH_MAX], path[PATH_MAX + 32];

	if (snprintf(from, sizeof from, "%s/sys/devices/system/cpu/cpu0/cache/index%u", root, index) >= (int)sizeof from ||
	    snprintf(to, sizeof to, "%s/run/arcbox/cache-fixup/index%u", root, index) >= (int)sizeof to)
		return gb_err_sys(err, ENAMETOOLONG, "%s", root);
	(void)snprintf(path, sizeof path, "%s/size", from);
	if (access(from, F_OK) < 0 || access(path, F_OK) == 0)
		return 0;
	int r = gb_io_mkdirs(to);
	for (size_t i = 0; r == 0 && i < GB_ARRAY_LEN(kept) + GB_ARRAY_LEN(made); i++) {
		gb_autobuf struct gb_buf text = { 0 };
		const char *name = i < GB_ARRAY_LEN(kept) ? kept[i] : made[i - GB_ARRAY_LEN(kept)].name;

		if (i < GB_ARRAY_LEN(kept)) {
			(void)snprintf(path, sizeof path, "%s/%s", from, name);
			if (gb_io_slurp(AT_FDCWD, path, 65536, &text) < 0)
				continue; /* not every kernel has each */
		} else {
			(void)gb_buf_str(&text, made[i - GB_ARRAY_LEN(kept)].value[index]);
		}
		(void)snprintf(path, sizeof path, "%s/%s", to, name);
		gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0444);
		r = fd < 0 ? -errno : text.failed ? -ENOMEM : gb_io_write(fd, gb_buf_text(&text), text.len);
	}
	if (r < 0)
		return gb_err_sys(err, -r, "%s", to);
	struct gb_mount_request request = { .source = to, .target = from, .options = "bind" };
	r = gb_mount_do(&request, err);
	if (r == 0)
		printf("cache index%u: sizes were missing\n", index);
	return r;
}

static int run_cache(struct gb_cmd *cmd, struct gb_err *err)
{
	const char *root;
	int r = option_root(cmd, &root, err);

	for (unsigned i = 0; r == 0 && i < 3; i++)
		r = fix_cache(root, i, err);
	return r;
}

static const struct gb_verb verbs[] = {
	{ "steps", "[--log TARGET] NAME COMMAND [ARG...] [, NAME COMMAND [ARG...]]...",
	  "run commands one after the other, and log how each ended", steps_opts, run_steps, NULL },
	{ "pseudo-fs", "[--root DIR]", "mount /proc, /sys, /dev and their like, where they are not",
	  root_opts, run_pseudo, NULL },
	{ "modules", "[--list FILE] [--devices] [--dir DIR] [NAME...]", "load kernel modules and what they need",
	  modules_opts, run_modules, NULL },
	{ "port", "[--wait S] NAME", "whether there is a virtio-serial port of that name: 0 yes, 1 no",
	  port_opts, run_port, NULL },
	{ "cpu-cache", "[--root DIR]", "give the CPU's caches the sizes that a hypervisor did not tell",
	  root_opts, run_cache, NULL },
	{ 0 },
};

const struct gb_applet gb_applet_guest_boot = {
	.name = "guest-boot",
	.summary = "the parts of a boot: steps, pseudo file systems, modules, a port, CPU caches",
	.synopsis = "VERB [OPTION]... [ARG]...",
	.verbs = verbs,
};
