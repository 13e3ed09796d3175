/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: sandboxes that outlived the daemon, and what is left of those that did not. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/vsock-rpcd/sandbox.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/net/veth.h"
#include "common/sandbox/cgroup.h"
#include "common/sandbox/clean.h"
#include "common/sys/pidrec.h"
#include "common/sys/proc.h"

struct pass {
	struct rpcd_sandboxes *all;
	char rubbish[256][GB_SANDBOX_INSTANCE + 48]; /* found while a folder is read; removed after it */
	size_t rubbish_len;
};

static void note_rubbish(struct pass *pass, const char *name)
{
	if (pass->rubbish_len < GB_ARRAY_LEN(pass->rubbish))
		(void)snprintf(pass->rubbish[pass->rubbish_len++], sizeof pass->rubbish[0], "%s", name);
}

static enum rpcd_state state_of(const char *name)
{
	for (int i = 0; i <= RPCD_FAILED; i++) {
		if (strcmp(name, rpcd_state_name[i]) == 0)
			return (enum rpcd_state)i;
	}
	return RPCD_FAILED;
}

/* Whether its PID 1 is there. After a boot the same number and time may well be another's. */
static bool alive(const rpcd_record *record)
{
	struct gb_proc proc;
	char boot[GB_BOOT_ID];

	gb_pidrec_boot_id(boot);
	return strcmp(record->boot_id, boot) == 0 && record->pid > 1 && gb_proc_read((pid_t)record->pid, &proc) == 0 &&
	       proc.start == record->start_time;
}

static void mark_failed(struct rpcd_box *box, const char *why)
{
	gb_log(GB_LOG_NOTICE, "sandbox \"%s\": %s", box->record->spec->id, why);
	box->state = RPCD_FAILED;
	rpcd_set_text(&box->record->error, why);
}

static bool on_record(const char *instance, rpcd_record *record, const struct gb_err *why, void *arg)
{
	struct pass *pass = arg;
	struct rpcd_sandboxes *all = pass->all;

	if (!record && why->code == ENOENT) { /* a crash while it was made or removed */
		gb_log(GB_LOG_NOTICE, "sandboxes: %s: removed: %s", instance, why->msg);
		note_rubbish(pass, instance);
		return false;
	}
	if (!record || rpcd_box_find(all, record->spec->id)) { /* somebody may still want its files */
		gb_log(GB_LOG_ERR, "sandboxes: %s/boxes/%s is left alone: %s", all->place.data, instance,
		       record ? "another one has its id" : why->msg);
		return false;
	}
	/* Numbers are claimed for those that may still have them: its address is its container's. */
	if (gb_numbers_claim(&all->slots, record->slot) < 0) {
		int slot = gb_numbers_take(&all->slots);
		gb_log(GB_LOG_WARNING, "sandbox \"%s\": its user ids are another's: it gets others, and its processes are ended",
		       record->spec->id);
		if (slot < 0)
			return false;
		record->slot = (uint32_t)slot;
		record->pid = 0;
	}
	struct rpcd_box *box = rpcd_box_new(all, record, state_of(record->state));
	if (!box) {
		(void)gb_numbers_release(&all->slots, record->slot);
		return false;
	}
	box->addressed = box->state < RPCD_STOPPED && record->address &&
			 gb_numbers_claim(&all->addresses, record->address - GB_SANDBOX_POOL) == 0;
	return true;
}

static int on_container(const char *instance, void *arg)
{
	struct pass *pass = arg;
	struct rpcd_box *box;

	TAILQ_FOREACH(box, &pass->all->boxes, link) {
		if (strcmp(box->record->instance, instance) == 0 && box->life.fd >= 0)
			return 0;
	}
	note_rubbish(pass, instance);
	return 0;
}

/* Of commands whose processes may be there still. */
static int past_number(const char *name, void *arg)
{
	struct rpcd_box *box = arg;
	unsigned long long number;

	if (sscanf(name, "exec-%llu", &number) == 1 && number > box->execs)
		box->execs = number;
	return 0;
}

/* It runs on. A command's host is gone with the daemon that served it: the command goes, too. */
static void take_over(struct rpcd_box *box)
{
	const struct gb_sandbox_place *place = &box->all->place;
	char path[160], what[64], command[240];

	int r = rpcd_box_watch(box);
	if (r < 0) {
		mark_failed(box, "the daemon could not find it again");
		return;
	}
	(void)snprintf(path, sizeof path, "%s/%s", place->cgroup + 1, box->record->instance);
	(void)gb_sandbox_cgroup_freeze(path, false, 0); /* a checkpoint of it was being taken */
	if (gb_sandbox_command_noted(place, box->record->instance, what)) {
		(void)snprintf(command, sizeof command, "%s/%s", path, what);
		if (strcmp(what, GB_SANDBOX_FIRST) == 0) {
			(void)gb_sandbox_kill_first(place, box->record);
		} else {
			(void)gb_sandbox_cgroup_kill(command);
			(void)gb_sandbox_cgroup_remove(command, 1000);
		}
		gb_sandbox_command_over(place, box->record->instance);
	}
	(void)gb_sandbox_cgroup_each(path, past_number, box);
	if (box->state == RPCD_RUNNING)
		box->state = RPCD_READY;
	gb_log(GB_LOG_INFO, "sandbox \"%s\": found again, %s", box->record->spec->id, rpcd_state_name[box->state]);
}

static bool on_snapshot(const char *id, rpcd_snapshot *snapshot, const struct gb_err *why, void *arg)
{
	struct pass *pass = arg;
	struct rpcd_snap *snap = snapshot ? calloc(1, sizeof *snap) : NULL;

	if (!snapshot && why->code == ENOENT) {
		gb_log(GB_LOG_NOTICE, "sandboxes: snapshot %s: removed: %s", id, why->msg);
		note_rubbish(pass, id);
	} else if (!snapshot) {
		gb_log(GB_LOG_ERR, "sandboxes: %s/snapshots/%s is left alone: %s", pass->all->place.data, id, why->msg);
	}
	if (!snap)
		return false;
	snap->snapshot = snapshot;
	rpcd_snap_insert(pass->all, snap);
	return true;
}

/* Interfaces of ours whose sandbox is gone: vmtapX-Y. */
static void sweep_interfaces(struct rpcd_sandboxes *all)
{
	struct if_nameindex *list = if_nameindex();
	struct gb_err err;
	gb_autoclose int sock = gb_veth_socket(&err);

	for (struct if_nameindex *i = list; i && i->if_index; i++) {
		unsigned high, low;
		char rest;
		bool ours = false;
		struct rpcd_box *box;
		if (sscanf(i->if_name, "vmtap%u-%u%c", &high, &low, &rest) != 2)
			continue;
		TAILQ_FOREACH(box, &all->boxes, link)
			ours |= box->addressed && box->record->address == GB_SANDBOX_POOL + high * 256 + low;
		if (ours || sock < 0)
			continue;
		int r = gb_veth_delete(sock, i->if_name);
		gb_log(GB_LOG_NOTICE, "sandboxes: interface %s was left over%s%s", i->if_name, r < 0 ? ": " : "",
		       r < 0 ? strerror(-r) : "");
	}
	if (list)
		if_freenameindex(list);
}

static int on_cgroup(const char *name, void *arg)
{
	return on_container(name, arg);
}

int rpcd_sandbox_recover(struct rpcd_sandboxes *all, struct gb_err *err)
{
	struct rpcd_box *box, *next;
	struct gb_err ignored;
	gb_autofree struct pass *pass = calloc(1, sizeof *pass);

	if (!pass)
		return gb_err_sys(err, ENOMEM, "sandboxes");
	pass->all = all;
	int r = gb_sandbox_records(&all->place, on_record, pass, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < pass->rubbish_len; i++) {
		(void)gb_sandbox_clean(&all->place, pass->rubbish[i], 0, &ignored);
		if (gb_sandbox_box_remove(&all->place, pass->rubbish[i], &ignored) < 0)
			gb_log(GB_LOG_WARNING, "sandboxes: %s", ignored.msg);
	}
	pass->rubbish_len = 0;
	TAILQ_FOREACH_SAFE(box, &all->boxes, link, next) {
		bool was_up = box->state < RPCD_STOPPED;
		if (!was_up)
			continue;
		if (box->state != RPCD_STARTING && alive(box->record))
			take_over(box);
		else if (box->state == RPCD_STOPPING)
			box->state = RPCD_STOPPED;
		else
			mark_failed(box, box->state == RPCD_STARTING ? "the daemon ended while it started"
								     : "it ended while no daemon ran, with the guest perhaps");
	}
	/* Containers and cgroups without a living sandbox. */
	int containers = gb_sandbox_each_container(&all->place, on_container, pass);
	int cgroups = gb_sandbox_cgroup_each(all->place.cgroup + 1, on_cgroup, pass);
	if (containers < 0 || cgroups < 0)
		gb_log(GB_LOG_WARNING, "sandboxes: what those of before have left cannot all be seen: %s",
		       strerror(containers < 0 ? -containers : -cgroups));
	for (size_t i = 0; i < pass->rubbish_len; i++) {
		if (gb_sandbox_clean(&all->place, pass->rubbish[i], 0, &ignored) < 0)
			gb_log(GB_LOG_WARNING, "sandboxes: %s", ignored.msg);
	}
	pass->rubbish_len = 0;
	TAILQ_FOREACH(box, &all->boxes, link) {
		if (box->life.fd < 0 && box->addressed) {
			(void)gb_numbers_release(&all->addresses, box->record->address - GB_SANDBOX_POOL);
			box->addressed = false;
		}
		rpcd_box_save(box);
		rpcd_box_expire_at(box);
		if (box->state == RPCD_STOPPING) /* it was asked by the daemon before */
			rpcd_box_kill(box);
	}
	sweep_interfaces(all);
	r = gb_sandbox_snapshots(&all->place, on_snapshot, pass, err);
	for (size_t i = 0; i < pass->rubbish_len; i++) {
		if (gb_sandbox_snapshot_remove(&all->place, pass->rubbish[i], &ignored) < 0)
			gb_log(GB_LOG_WARNING, "sandboxes: %s", ignored.msg);
	}
	return r;
}
