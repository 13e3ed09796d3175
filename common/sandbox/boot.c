/* SPDX-License-Identifier: MIT */
/* The start of a sandbox. */
#include "common/sandbox/boot.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/mount/idmap.h"
#include "common/net/veth.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/clean.h"
#include "common/sandbox/network.h"
#include "common/sandbox/runtime.h"
#include "common/sandbox/stage.h"
#include "common/sys/mountinfo.h"
#include "common/sys/pidrec.h"
#include "common/sys/proc.h"

enum { PIPE_SIZE = 65536 };

struct boot {
	struct gb_sandbox_stage stage;
	Guestbox__Sandbox__Record *record;
	const struct gb_sandbox_start *how;
	char bundle[128]; /* the folder with config.json */
	int mnt, net;     /* the namespaces to come back to */
	struct layer {    /* is made meanwhile, by a thread in the daemon's namespaces */
		pthread_t thread;
		bool threaded;
		int result;
		struct gb_err err;
	} layer;
	struct gb_sandbox_engine engine;
	int config, papers; /* the ends of the pipe from which the runtime reads its papers: ours, its; -1 */
	int orders;       /* what PID 1 is to do first goes there */
	bool begun;       /* that was told */
	char hostname[64];
};

static void close_papers(struct boot *b)
{
	gb_close_fd(&b->config);
	gb_close_fd(&b->papers);
	b->config = b->papers = -1;
}

static int write_bundle(struct boot *b)
{
	const Sandbox__V1__CreateSandboxRequest *spec = b->record->spec;
	struct gb_sandbox_bundle bundle = { .record = b->record, .binds = b->stage.binds, .binds_len = b->stage.binds_len,
					    .hostname = b->hostname };
	struct gb_sandbox_controllers have;
	gb_autobuf struct gb_buf text = { 0 };
	char root[192], cgroup[160], path[192], new[192], userns[48];

	int r = gb_sandbox_controllers(&have, b->stage.err);
	if (r < 0)
		return r;
	gb_autofree char **args = calloc(spec->n_cmd + 2, sizeof *args);
	if (!args)
		return gb_err_sys(b->stage.err, ENOMEM, "bundle");
	args[0] = (char *)(uintptr_t)GB_SANDBOX_PID1;
	for (size_t i = 0; i < spec->n_cmd; i++)
		args[i + 1] = spec->cmd[i];
	(void)snprintf(root, sizeof root, "%s/root", b->stage.path);
	(void)snprintf(cgroup, sizeof cgroup, "%s/%s", b->stage.place->cgroup, b->record->instance);
	bundle.root = root;
	bundle.cgroup = cgroup;
	(void)snprintf(userns, sizeof userns, "/proc/%d/fd/%d", (int)getpid(), b->stage.userns);
	bundle.userns = b->stage.place->runc ? userns : NULL;
	bundle.cpu = have.cpu;
	bundle.memory = have.memory;
	bundle.pids = have.pids;
	bundle.process = (struct gb_sandbox_process){
		.args = args, .args_len = spec->n_cmd + 1, .spec = spec, .nofile = gb_sandbox_nofile(),
	};
	(void)strlcpy(bundle.process.user.home, "/root", sizeof bundle.process.user.home);
	r = gb_sandbox_bundle_json(&bundle, &text);
	if (r < 0)
		return gb_err_sys(b->stage.err, -r, "bundle");
	(void)snprintf(path, sizeof path, "%s/config.json", b->bundle);
	(void)snprintf(new, sizeof new, "%s/config.new", b->bundle);
	gb_autoclose int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : gb_io_write(fd, text.data, text.len);
	if (r == 0 && rename(new, path) < 0)
		r = -errno;
	if (r < 0)
		return gb_err_sys(b->stage.err, -r, "%s", path);
	if (b->config < 0)
		return 0;
	/* As much as the pipe holds goes into it without a wait, whatever has become of the reader: its end is open here, too. */
	if ((text.len > PIPE_SIZE && fcntl(b->config, F_SETPIPE_SZ, (int)text.len) < 0) ||
	    gb_io_write(b->config, text.data, text.len) < 0)
		gb_sandbox_runtime_stop(&b->engine); /* it is started anew, and reads the file */
	close_papers(b);
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

static void layer_make(struct boot *b)
{
	if (b->stage.userns < 0)
		b->stage.userns = gb_mount_userns(GB_SANDBOX_UID_BASE + b->record->slot * GB_SANDBOX_IDS, GB_SANDBOX_IDS, NULL);
	b->layer.result = b->stage.userns < 0 ? gb_err_sys(&b->layer.err, -b->stage.userns, "a user namespace")
					: b->how->layer(b->record, b->how->data, &b->layer.err);
	/* Out here, so that the loop device has the file under the name that everybody knows it by, and keeps its mount busy. */
	if (b->layer.result == 0 && b->record->lower_image) {
		b->stage.image = gb_sandbox_open_lower(b->record, &b->layer.err);
		b->layer.result = b->stage.image < 0 ? b->stage.image : 0;
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
		*b->stage.err = b->layer.err;
	return b->layer.result;
}

/* ahead: before there is anything for it. Until it comes to its papers, whose name is a pipe's, it takes as long as all
 * that is done here meanwhile. Not runc: which of its processes reads them, and when, is nothing that it promises. */
static int engine_begin(struct boot *b, int status_fd, int orders_fd, bool ahead)
{
	char pid_file[192], config[192];

	(void)snprintf(pid_file, sizeof pid_file, "%s/pid", b->bundle);
	(void)unlink(pid_file);
	if (ahead) {
		int ends[2];
		(void)snprintf(config, sizeof config, "%s/config.json", b->bundle);
		(void)unlink(config);
		/* A pipe without a name: whoever opens that of a fifo whose writer has died waits for ever. */
		if (pipe2(ends, O_CLOEXEC) < 0)
			return 0; /* later, then */
		b->papers = ends[0];
		b->config = ends[1];
		if (symlink("/proc/self/fd/5", config) < 0) {
			close_papers(b);
			return 0;
		}
	}
	/* The initramfs cannot be pivoted away from (pivot_root(2)). */
	const char *no_pivot = on_initramfs() ? "--no-pivot" : NULL;
	const char *run[] = { "run", "--detach", "--preserve-fds", "2", "--pid-file", pid_file, "--bundle", b->bundle,
			      no_pivot ? no_pivot : b->record->instance, no_pivot ? b->record->instance : NULL, NULL };
	const char *restore[] = { "restore", "--detach", "--image-path", b->how->checkpoint, "--pid-file", pid_file, "--bundle",
				  b->bundle, b->record->instance, NULL };
	return gb_sandbox_runtime_start(b->stage.place, b->record->instance, b->how->checkpoint ? restore : run,
					(const int[]){ status_fd, orders_fd, ahead ? b->papers : -1 }, &b->engine, b->stage.err);
}

static int inside(struct boot *b, int outside, int status_fd, int orders_fd)
{
	char path[192];

	int r = gb_mount_private();
	if (r < 0)
		return gb_err_sys(b->stage.err, -r, "a mount namespace");
	/* With a folder below the mount, too: runc's commands start where the root is, seen from outside. */
	(void)snprintf(path, sizeof path, "%s/root", b->stage.path);
	r = gb_io_mkdirs(path);
	if (r == 0)
		r = gb_io_mkdirs(b->bundle);
	if (r < 0)
		return gb_err_sys(b->stage.err, -r, "%s", path);
	if (!b->how->checkpoint && !b->stage.place->runc)
		r = engine_begin(b, status_fd, orders_fd, true);
	if (r == 0)
		r = gb_sandbox_stage_open(&b->stage);
	if (r == 0)
		r = gb_sandbox_network(&b->stage, outside, b->net, b->hostname);
	int layer = layer_wait(b);
	r = r < 0 ? r : layer;
	if (r == 0)
		r = gb_sandbox_stage_root(&b->stage);
	if (r == 0)
		r = gb_sandbox_stage_binds(&b->stage);
	if (r < 0)
		return r;
	struct gb_sandbox_first *first = b->how->first ? b->how->first(b->how->data) : NULL;
	if (first) {
		gb_sandbox_exec_first(b->stage.place, b->record, path, b->orders, first);
		b->begun = first->taken;
	}
	r = write_bundle(b);
	if (r == 0 && b->engine.pid <= 0)
		r = engine_begin(b, status_fd, orders_fd, false);
	return r < 0 ? r : gb_sandbox_runtime_wait(&b->engine, b->stage.err);
}

static int read_pid(struct boot *b)
{
	gb_autobuf struct gb_buf text = { 0 };
	struct gb_proc proc;
	char path[192];

	(void)snprintf(path, sizeof path, "%s/pid", b->bundle);
	int r = gb_io_slurp(AT_FDCWD, path, 64, &text);
	if (r < 0)
		return gb_err_sys(b->stage.err, -r, "%s", path);
	long pid = strtol(gb_buf_text(&text), NULL, 10);
	if (pid <= 1 || pid > INT32_MAX)
		return gb_err_set(b->stage.err, EPROTO, "%s: no process id", path);
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
	gb_close_fd(&b->stage.image);
	gb_close_fd(&b->stage.userns);
}

/* All that is done in namespaces of the sandbox, and back. *ret_left: the last of its mount namespace. */
static int in_own_namespaces(struct boot *b, int own_net, int outside, int status_fd, int orders_fd, int *ret_left)
{
	struct gb_err *err = b->stage.err;

	layer_begin(b); /* with the daemon's namespaces */
	/* CLONE_NEWNS gives the thread a folder and root of its own as well (unshare(2)). */
	if (unshare(CLONE_NEWNS | (own_net < 0 ? CLONE_NEWNET : 0)) < 0) {
		int failed = errno;
		(void)layer_wait(b);
		boot_close(b);
		return gb_err_sys(err, failed, "new namespaces");
	}
	int r = own_net >= 0 && setns(own_net, CLONE_NEWNET) < 0 ? gb_err_sys(err, errno, "a network namespace") : 0;
	if (r == 0)
		r = inside(b, outside, status_fd, orders_fd);
	*ret_left = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	back(b);
	gb_sandbox_runtime_stop(&b->engine);
	close_papers(b);
	if (b->layer.threaded) {
		struct gb_err why = *err;
		(void)layer_wait(b);
		*err = why;
	}
	boot_close(b);
	return r;
}

int gb_sandbox_boot(const struct gb_sandbox_place *place, Guestbox__Sandbox__Record *record, const struct gb_sandbox_start *how,
		    struct gb_sandbox_booted *ret_booted, struct gb_err *err)
{
	int status[2], orders[2];
	struct gb_err ignored;

	gb_autofree struct boot *b = calloc(1, sizeof *b);
	if (!b)
		return gb_err_sys(err, ENOMEM, "boot");
	b->stage.place = place;
	b->record = record;
	b->stage.record = record;
	b->stage.err = err;
	b->how = how;
	b->stage.image = b->config = b->papers = -1;
	gb_sandbox_hostname(record->spec->id, b->hostname, sizeof b->hostname);
	(void)snprintf(b->stage.path, sizeof b->stage.path, "%s/stage", place->run);
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
	b->stage.userns = gb_take_fd(&userns);
	gb_autoclose int left = -1;
	int r = in_own_namespaces(b, own_net, outside, status_out, orders_out, &left);
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
	char boot[GB_BOOT_ID];
	gb_pidrec_boot_id(boot);
	(void)gb_pb_set(&record->runtime, place->runtime);
	(void)gb_pb_set(&record->boot_id, boot);
	ret_booted->status = gb_take_fd(&status_in);
	/* One that has a command of its own, or goes on with others, does not listen. */
	ret_booted->orders = how->checkpoint || record->spec->n_cmd || b->begun ? -1 : gb_take_fd(&orders_in);
	ret_booted->left = gb_take_fd(&left);
	return 0;
}
