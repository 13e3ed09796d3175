/* SPDX-License-Identifier: MIT */
/* The plan of a power-off. */
#include "common/power/plan.h"

#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/list.h"

const char *gb_power_action_name(enum gb_power_action action)
{
	static const char *const names[] = { "off", "reboot", "halt", "kexec" };

	return names[action];
}

const char *gb_power_kind_name(enum gb_power_kind kind)
{
	static const char *const names[] = { "stop",  "terminate",     "kill",      "swapoff", "unmount", "abort",
					     "loop",  "device-mapper", "read-only", "sync",    "check",   "go" };

	return names[kind];
}

void gb_power_plan_free(struct gb_power_plan *plan)
{
	free(plan->steps);
	*plan = (struct gb_power_plan){ 0 };
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

struct gb_power_times gb_power_times(unsigned grace_ms)
{
	unsigned deadline = grace_ms ? grace_ms : GB_POWER_GRACE_DEFAULT;

	if (deadline > GB_POWER_GRACE_MAX)
		deadline = GB_POWER_GRACE_MAX;
	if (deadline < GB_POWER_GRACE_MIN)
		deadline = GB_POWER_GRACE_MIN;
	/* Short of time, the file systems come before the processes: those can be killed in no time. */
	unsigned storage = least(5000, deadline / 4 > 1500 ? deadline / 4 : 1500);
	unsigned kill_at = least(deadline - storage, grace_ms ? grace_ms : deadline);

	return (struct gb_power_times){
		.kill_at = kill_at,
		.gone_at = kill_at + storage / 4,
		.deadline = deadline,
	};
}

void gb_power_plan_add(struct gb_power_plan *plan, enum gb_power_kind kind, const char *object, unsigned until)
{
	if (gb_list_room(&plan->steps, plan->count, &plan->size, sizeof *plan->steps) < 0) {
		plan->failed = true;
		return;
	}
	plan->steps[plan->count++] = (struct gb_power_step){ .kind = kind, .object = object, .until = until };
}

/* In the order of their stops; percent: the part of the time until SIGKILL at whose end the next one's turn comes. Of the
 * default 20 s dockerd gets 16: it gives its containers 15 (dockerd(8), --shutdown-timeout). */
static const struct service { const char *name; const char *command; bool prefix; unsigned percent; } services[] = {
	{ "dockerd", "dockerd", false, 80 },
	{ "k3s", "k3s", true, 90 }, /* k3s, k3s-server, k3s-agent */
	{ "containerd", "containerd", false, 95 }, /* not containerd-shim: a shim ends with its container */
};

const char *gb_power_service(const struct gb_proc *proc)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(services); i++) {
		const struct service *s = &services[i];
		if (s->prefix ? strncmp(proc->command, s->command, strlen(s->command)) == 0
			      : strcmp(proc->command, s->command) == 0)
			return s->name;
	}
	return NULL;
}

bool gb_power_is_victim(const struct gb_proc *proc, pid_t self)
{
	return !proc->kernel && !proc->keep && proc->pid != 1 && proc->pid != self && proc->state != 'Z' &&
	       proc->state != 'X';
}

void gb_power_plan_processes(struct gb_power_plan *plan, const struct gb_proc_list *procs, pid_t self,
			     const struct gb_power_times *times)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(services); i++) {
		for (size_t k = 0; k < procs->count; k++) {
			const struct gb_proc *p = &procs->procs[k];
			const char *service = gb_power_is_victim(p, self) ? gb_power_service(p) : NULL;

			if (service && strcmp(service, services[i].name) == 0) {
				gb_power_plan_add(plan, GB_POWER_STOP, services[i].name,
						  times->kill_at * services[i].percent / 100);
				break;
			}
		}
	}
	gb_power_plan_add(plan, GB_POWER_TERM, "", times->kill_at);
	gb_power_plan_add(plan, GB_POWER_KILL, "", times->gone_at);
}

static bool in_list(const char *const *list, const char *word)
{
	for (; *list; list++) {
		if (strcmp(*list, word) == 0)
			return true;
	}
	return false;
}

bool gb_power_is_pseudo(const char *type)
{
	static const char *const types[] = {
		"autofs",    "binder",  "binfmt_misc", "bpf",    "cgroup",     "cgroup2",    "configfs", "debugfs",
		"devpts",    "devtmpfs", "efivarfs",   "fusectl", "hugetlbfs", "mqueue",     "nsfs",     "proc",
		"pstore",    "ramfs",   "resctrl",     "rootfs", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs",
		"sysfs",     "tmpfs",   "tracefs",     NULL,
	};

	return in_list(types, type);
}

bool gb_power_is_remote(const char *type)
{
	static const char *const types[] = { "9p", "afs", "ceph", "cifs", "nfs", "nfs4", "smb3", "virtiofs", NULL };

	/* fuseblk has its disk here and its server here; but the server has just been killed. */
	return in_list(types, type) || strncmp(type, "fuse", 4) == 0;
}

/* State of one pass over the mounts. */
struct pass {
	struct gb_power_plan *plan;
	const struct gb_mountinfo_table *mounts;
	const struct gb_power_devices *devices;
	const char *below;
	unsigned until;
	unsigned char *mark; /* a mount each */
	unsigned char *used; /* a device each */
};

enum { WANTED = 1, DONE = 2 };

/* Ids are compared as they stand: the root's parent is not in the table, and a table of 4000 containers is still only
 * some thousand rows. */
static bool is_root(const struct gb_mountinfo *row)
{
	return strcmp(row->target, "/") == 0;
}

static size_t parent_of(const struct gb_mountinfo_table *t, size_t i)
{
	const struct gb_mountinfo *row = gb_mountinfo_by_id(t, t->rows[i].parent);

	return row && row != &t->rows[i] ? (size_t)(row - t->rows) : SIZE_MAX;
}

/* Whether this mount is where the root, an overlay, writes to: with the root it stays, and is made read-only. To unmount it
 * would only hide that its file system is in use. */
static bool holds_root(const struct gb_mountinfo_table *t, size_t i)
{
	const struct gb_mountinfo *root = gb_mountinfo_top(t, "/");
	const char *upper;
	size_t best = SIZE_MAX, longest = 0;
	char path[4096];

	if (!root || strcmp(root->type, "overlay") != 0 || !gb_mountinfo_has(root->super, "upperdir", &upper) || !upper)
		return false;
	size_t len = strcspn(upper, ",");
	if (len >= sizeof path)
		return false;
	memcpy(path, upper, len);
	path[len] = '\0';
	for (size_t k = 0; k < t->count; k++) {
		const char *target = t->rows[k].target;
		if (!is_root(&t->rows[k]) && gb_dir_within(path, target) && strlen(target) >= longest) {
			best = k;
			longest = strlen(target);
		}
	}
	return best == i;
}

/* A mount is wanted when it can lose data, or stands on one that is wanted: nobody can be unmounted below his children.
 * The bound on the steps keeps a table that is not a tree (it was read while it changed) from holding us. */
static bool wanted(const struct pass *pass, size_t i)
{
	const struct gb_mountinfo_table *t = pass->mounts;

	if (is_root(&t->rows[i]) || (pass->below && !gb_dir_within(t->rows[i].target, pass->below)) ||
	    (!pass->below && holds_root(t, i)))
		return false;
	for (size_t steps = 0; i != SIZE_MAX && steps < 256; i = parent_of(t, i), steps++) {
		if (is_root(&t->rows[i]) || (pass->below && !gb_dir_within(t->rows[i].target, pass->below)))
			return false;
		if (pass->mark[i] & WANTED || !gb_power_is_pseudo(t->rows[i].type))
			return true;
	}
	return false;
}

static bool stands_on(const struct gb_mountinfo *row, const struct gb_power_device *device)
{
	const char *source = row->source;
	unsigned minor;

	/* btrfs has a device number of its own: its source is what names the disk. */
	if (device->kind == GB_POWER_IS_DM && strncmp(source, "/dev/mapper/", 12) == 0)
		source += 12;
	if (device->kind == GB_POWER_IS_DM && sscanf(source, "/dev/dm-%u", &minor) == 1)
		return minor == device->minor;
	return (row->major == device->major && row->minor == device->minor) || strcmp(source, device->name) == 0;
}

/* Whether a mount that is still to be unmounted (or stays) stands on the device. */
static bool still_used(const struct pass *pass, const struct gb_power_device *device)
{
	for (size_t i = 0; i < pass->mounts->count; i++) {
		if (!(pass->mark[i] & DONE) && stands_on(&pass->mounts->rows[i], device))
			return true;
	}
	return false;
}

static void add_device(struct pass *pass, size_t d)
{
	const struct gb_power_device *device = &pass->devices->rows[d];

	pass->used[d] = 1;
	gb_power_plan_add(pass->plan, device->kind == GB_POWER_IS_LOOP ? GB_POWER_LOOP : GB_POWER_DM, device->name,
			  pass->until);
}

static void add_mount(struct pass *pass, size_t i)
{
	const struct gb_mountinfo *row = &pass->mounts->rows[i];

	pass->mark[i] |= DONE;
	gb_power_plan_add(pass->plan, GB_POWER_UMOUNT, row->target, pass->until);
	if (!pass->plan->failed)
		pass->plan->steps[pass->plan->count - 1].remote = gb_power_is_remote(row->type);
	for (size_t d = 0; d < pass->devices->count; d++) {
		const struct gb_power_device *device = &pass->devices->rows[d];

		if (device->kind != GB_POWER_IS_SWAP && !pass->used[d] && !device->holders && stands_on(row, device) &&
		    !still_used(pass, device))
			add_device(pass, d);
	}
}

/* The children of mount i that are still there, the last one first, then i itself. */
static void emit(struct pass *pass, size_t i, unsigned depth)
{
	const struct gb_mountinfo_table *t = pass->mounts;

	pass->mark[i] |= DONE; /* before its children: a circle ends here */
	for (size_t k = t->count; k-- > 0 && depth < 256;) {
		if ((pass->mark[k] & (WANTED | DONE)) == WANTED && t->rows[k].parent == t->rows[i].id)
			emit(pass, k, depth + 1);
	}
	add_mount(pass, i);
}

void gb_power_plan_storage(struct gb_power_plan *plan, const struct gb_mountinfo_table *mounts,
			   const struct gb_power_devices *devices, const char *below, unsigned until)
{
	gb_autofree unsigned char *mark = calloc(mounts->count + 1, 1), *used = calloc(devices->count + 1, 1);
	struct pass pass = { plan, mounts, devices, below, until, mark, used };

	if (!mark || !used) {
		plan->failed = true;
		return;
	}
	for (size_t d = 0; !below && d < devices->count; d++) {
		if (devices->rows[d].kind == GB_POWER_IS_SWAP)
			gb_power_plan_add(plan, GB_POWER_SWAPOFF, devices->rows[d].name, until);
	}
	for (size_t i = 0; i < mounts->count; i++) {
		if (wanted(&pass, i))
			mark[i] |= WANTED;
	}
	for (size_t i = mounts->count; i-- > 0;) {
		if ((mark[i] & (WANTED | DONE)) == WANTED)
			emit(&pass, i, 0);
	}
	/* What nobody had mounted: those on top first. */
	for (unsigned holders = 0; holders < 8; holders++) {
		for (size_t d = 0; d < devices->count; d++) {
			const struct gb_power_device *device = &devices->rows[d];
			bool ours = !below || (device->kind == GB_POWER_IS_LOOP && gb_dir_within(device->file, below));

			if (device->kind != GB_POWER_IS_SWAP && !used[d] && device->holders == holders && ours &&
			    !still_used(&pass, device))
				add_device(&pass, d);
		}
	}
}

void gb_power_plan_readonly(struct gb_power_plan *plan, const struct gb_mountinfo_table *mounts, const char *below,
			    unsigned until)
{
	for (size_t i = mounts->count; i-- > 0;) {
		const struct gb_mountinfo *row = &mounts->rows[i];
		bool seen = false;

		if (gb_power_is_pseudo(row->type) || gb_mountinfo_has(row->super, "ro", NULL) ||
		    (below && !gb_dir_within(row->target, below)))
			continue;
		/* One of its mounts is enough; of several the one mounted last, which none hides. */
		for (size_t k = i + 1; !seen && k < mounts->count; k++)
			seen = mounts->rows[k].major == row->major && mounts->rows[k].minor == row->minor;
		if (!seen)
			gb_power_plan_add(plan, GB_POWER_READONLY, row->target, until);
	}
}
