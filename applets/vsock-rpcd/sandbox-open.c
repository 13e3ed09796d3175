/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: where the sandboxes are, and when their store is opened. */
#include "applets/vsock-rpcd/sandbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/sandbox/image.h"
#include "common/sandbox/runtime.h"
#include "common/sys/mountinfo.h"

enum { THREADS = 4 };

#define DATA_TOP "/run/arcbox/data"
#define DATA_OTHER "/var/lib/arcbox"

static struct rpcd_sandboxes sandboxes;

/* On the data disk when that is mounted, else where the guest keeps such things. */
static void choose_place(struct rpcd_sandboxes *all)
{
	const char *dir = all->rpcd->sandbox_dir;

	if (!dir)
		dir = gb_mountinfo_is_root(AT_FDCWD, DATA_TOP, 0) == 1 ? DATA_TOP "/sandboxes" : DATA_OTHER "/sandboxes";
	gb_sandbox_place_set(&all->place, dir);
}

static int open_all(struct rpcd_sandboxes *all, struct gb_err *err)
{
	choose_place(all);
	int r = all->pool_open ? 0 : gb_loop_pool_open(&all->pool, all->loop, THREADS);
	if (r < 0)
		return gb_err_sys(err, -r, "eventfd");
	all->pool_open = true;
	r = gb_sandbox_store_open(&all->place, err);
	if (r == 0) {
		char images[300];
		gb_sandbox_images_path(&all->place, images, sizeof images);
		gb_sandbox_images_sweep(images);
	}
	if (r == 0)
		r = rpcd_sandbox_recover(all, err);
	all->open = r == 0;
	return r;
}

static void prepare(struct rpcd_sandboxes *all, struct rpcd *rpcd)
{
	if (all->rpcd)
		return;
	all->rpcd = rpcd;
	all->loop = &rpcd->loop;
	all->place.runtime_dir = rpcd->runtime_dir;
	all->slots = (struct gb_numbers){ .first = 1, .count = GB_SANDBOX_SLOTS - 1 };
	all->addresses = (struct gb_numbers){ .first = 2, .count = 65533 }; /* not the network's, the gateway's, the broadcast's */
	TAILQ_INIT(&all->boxes);
	TAILQ_INIT(&all->snaps);
	TAILQ_INIT(&all->subscribers);
}

/* The data disk may come after the first request: what was opened in its place then is left for it, when there is nothing
 * in it that anybody could miss. */
static void move_to_data_disk(struct rpcd_sandboxes *all)
{
	struct gb_sandbox_place now = all->place;

	if (!all->open || all->rpcd->sandbox_dir || strcmp(all->place.data, DATA_TOP "/sandboxes") == 0)
		return;
	choose_place(all);
	bool moved = strcmp(all->place.data, now.data) != 0;
	if (moved && (!TAILQ_EMPTY(&all->boxes) || !TAILQ_EMPTY(&all->snaps) || rpcd_images_any(&now))) {
		if (!all->told)
			gb_log(GB_LOG_WARNING, "sandboxes: the data disk has come, and there are sandboxes, snapshots or images in %s: it "
			       "stays in use until they are removed", now.data);
		all->told = true;
		gb_sandbox_place_set(&all->place, now.data);
		return;
	}
	if (moved)
		gb_log(GB_LOG_INFO, "sandboxes: in %s from here on, no longer in %s", all->place.data, now.data);
	all->open = !moved;
}

struct rpcd_sandboxes *rpcd_sandboxes_of(struct rpcd_call *call)
{
	struct rpcd_sandboxes *all = &sandboxes;
	struct gb_err err;

	prepare(all, call->rpcd);
	move_to_data_disk(all);
	/* Not with each request: it may be on a share, which may have ceased to answer. */
	bool look = !all->place.runtime[0] || all->look_again;
	if (look && gb_sandbox_find_runtime(&all->place, &err) >= 0)
		all->look_again = false;
	if (!all->place.runtime[0] || (!all->open && open_all(all, &err) < 0)) {
		rpcd_error(call, GB_RPC_UNAVAILABLE, "sandbox service not available: %s", err.msg);
		return NULL;
	}
	return all;
}

void rpcd_sandbox_open(struct rpcd *rpcd)
{
	struct rpcd_sandboxes *all = &sandboxes;
	char path[300];
	struct gb_err err;

	prepare(all, rpcd);
	choose_place(all);
	(void)snprintf(path, sizeof path, "%.255s/boxes", all->place.data);
	if (access(path, F_OK) < 0 || gb_sandbox_find_runtime(&all->place, &err) < 0)
		return; /* there is nothing to find; the first request opens it */
	if (open_all(all, &err) < 0)
		gb_log(GB_LOG_WARNING, "sandboxes: %s", err.msg);
}
