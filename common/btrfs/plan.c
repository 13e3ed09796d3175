/* SPDX-License-Identifier: MIT */
/* The plan of a set-up. The one place that decides whether a disk is formatted. */
#include "common/btrfs/plan.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

const char *gb_btrfs_step_name(enum gb_step_kind kind)
{
	switch (kind) {
	case GB_STEP_WAIT: return "wait";
	case GB_STEP_IDENTIFY: return "identify";
	case GB_STEP_REPAIR: return "repair";
	case GB_STEP_FORMAT: return "format";
	case GB_STEP_TOP: return "mount";
	case GB_STEP_GROW: return "grow";
	case GB_STEP_SUBVOLUME: return "subvolume";
	case GB_STEP_MOUNT: return "mount";
	case GB_STEP_COMPRESSION: return "compression";
	case GB_STEP_NOCOW: return "nocow";
	}
	return "?";
}

void gb_btrfs_plan_free(struct gb_plan *plan)
{
	for (size_t i = 0; i < plan->len; i++)
		free(plan->step[i].detail);
	free(plan->step);
	*plan = (struct gb_plan){ 0 };
}

static int add(struct gb_plan *plan, enum gb_step_kind kind, size_t subvol, struct gb_buf *detail)
{
	struct gb_step *step = reallocarray(plan->step, plan->len + 1, sizeof *step);

	if (step)
		plan->step = step;
	if (!step || detail->failed) {
		gb_buf_free(detail);
		return -ENOMEM;
	}
	plan->step[plan->len++] = (struct gb_step){ .kind = kind, .subvol = subvol, .detail = gb_buf_take(detail) };
	return plan->step[plan->len - 1].detail ? 0 : -ENOMEM;
}

bool gb_btrfs_plan_ready(const struct gb_wish *wish, const struct gb_facts *facts)
{
	for (size_t i = 0; i < wish->layout->subvol_len; i++) {
		if (facts->subvol[i] != GB_TARGET_OURS)
			return false;
	}
	return wish->layout->subvol_len > 0 || facts->top == GB_TARGET_OURS;
}

static int refuse(struct gb_err *err, const struct gb_facts *facts, const char *advice)
{
	const struct gb_found *f = &facts->found;

	return gb_err_set(err, GB_E_REFUSED, "%s: %s%s%s: %s", facts->device, gb_probe_state_name(f->state),
			  f->detail[0] ? ": " : "", f->detail, advice);
}

/* Whether the disk may be used, formatted or repaired: 0 and *ret_kind, or a refusal. */
static int judge(const struct gb_wish *wish, const struct gb_facts *facts, enum gb_step_kind *ret_kind,
		 struct gb_err *err)
{
	const struct gb_found *f = &facts->found;
	bool format = false;

	switch (f->state) {
	case GB_STATE_BLANK:
	case GB_STATE_UNFINISHED:
		if (wish->format == GB_FORMAT_NEVER)
			return refuse(err, facts, "not formatted with --format=never (--format=blank formats it)");
		format = true;
		break;
	case GB_STATE_FOREIGN:
		if (wish->format != GB_FORMAT_FOREIGN)
			return refuse(err, facts, "not touched (--format=foreign formats it, and all that is on it is lost)");
		format = true;
		break;
	case GB_STATE_UNREADABLE:
		return refuse(err, facts, "not touched (no option goes on with a disk that cannot be read)");
	case GB_STATE_DAMAGED:
		if (f->two)
			return refuse(err, facts, "its good copies are of two file systems: not touched (btrfs rescue super-recover "
				      "shows them; no option here chooses one)");
		if (!wish->repair)
			return refuse(err, facts, "not touched (--repair or btrfs rescue super-recover restores the primary)");
		break;
	case GB_STATE_BTRFS:
		break;
	}
	if (!format && f->beside[0])
		return gb_err_set(err, GB_E_REFUSED, "%s: %s, and a %s that is not its own: not touched (no option goes on; wipefs(8) "
				  "shows both, and removes the one that is left over)", facts->device, gb_probe_state_name(f->state),
				  f->beside);
	if (facts->read_only)
		return refuse(err, facts, "the device is read-only (no option goes on; blockdev --setrw)");
	if (facts->busy && (format || f->state == GB_STATE_DAMAGED))
		return refuse(err, facts, format ? "in use by a mount, a RAID or a mapping: not formatted (free it first)"
						 : "in use by a mount, a RAID or a mapping: not repaired (free it first)");
	if (!format && le64toh(f->super.dev_total_bytes) > facts->size) {
		return gb_err_set(err, GB_E_REFUSED, "%s: %s: its file system has %" PRIu64 " bytes of a device of %" PRIu64
				  ": it was cut off, and no option goes on (give the device its size back)", facts->device,
				  gb_probe_state_name(f->state), le64toh(f->super.dev_total_bytes), facts->size);
	}
	*ret_kind = format ? GB_STEP_FORMAT : f->state == GB_STATE_DAMAGED ? GB_STEP_REPAIR : GB_STEP_IDENTIFY;
	return 0;
}

static int fill(const struct gb_wish *wish, const struct gb_facts *facts, enum gb_step_kind kind, struct gb_plan *plan)
{
	const struct gb_layout *layout = wish->layout;
	const struct gb_found *f = &facts->found;
	struct gb_buf text = { 0 };

	(void)gb_buf_str(&text, facts->device);
	int r = add(plan, GB_STEP_WAIT, 0, &text);
	(void)gb_buf_fmt(&text, "%s%s%s", gb_probe_state_name(f->state), f->detail[0] ? ": " : "", f->detail);
	r |= add(plan, GB_STEP_IDENTIFY, 0, &text);
	if (kind == GB_STEP_REPAIR) {
		(void)gb_buf_fmt(&text, "the superblock at byte %" PRIu64 " from its copy at byte %" PRIu64 ", generation %" PRIu64,
				 gb_probe_super_offset[0], gb_probe_super_offset[f->best], le64toh(f->super.generation));
		r |= add(plan, GB_STEP_REPAIR, 0, &text);
	} else if (kind == GB_STEP_FORMAT) {
		(void)gb_buf_fmt(&text, "%s -f %s", wish->mkfs, facts->device);
		r |= add(plan, GB_STEP_FORMAT, 0, &text);
	}
	(void)gb_buf_fmt(&text, "%s on %s%s (%s)", facts->device, wish->root, layout->top, layout->options);
	r |= add(plan, GB_STEP_TOP, 0, &text);
	(void)gb_buf_fmt(&text, "to the device's %" PRIu64 " bytes", facts->size);
	r |= add(plan, GB_STEP_GROW, 0, &text);
	for (size_t i = 0; i < layout->subvol_len; i++) {
		(void)gb_buf_str(&text, layout->subvol[i].name);
		r |= add(plan, GB_STEP_SUBVOLUME, i, &text);
	}
	for (size_t i = 0; i < layout->subvol_len; i++) {
		const struct gb_subvol *sv = &layout->subvol[i];

		(void)gb_buf_fmt(&text, "%s on %s%s (%s%ssubvol=%s)", sv->name, wish->root, sv->target, sv->options,
				 *sv->options ? "," : "", sv->name);
		r |= add(plan, GB_STEP_MOUNT, i, &text);
	}
	for (size_t i = 0; i < layout->subvol_len; i++) {
		const struct gb_subvol *sv = &layout->subvol[i];

		if (sv->compression) {
			(void)gb_buf_fmt(&text, "%s on %s%s", sv->compression, wish->root, sv->target);
			r |= add(plan, GB_STEP_COMPRESSION, i, &text);
		}
		if (sv->nocow_len) {
			(void)gb_buf_fmt(&text, "%s%s:", wish->root, sv->target);
			for (size_t k = 0; k < sv->nocow_len; k++)
				(void)gb_buf_fmt(&text, " %s", sv->nocow[k]);
			r |= add(plan, GB_STEP_NOCOW, i, &text);
		}
	}
	return r ? -ENOMEM : 0;
}

int gb_btrfs_plan_make(const struct gb_wish *wish, const struct gb_facts *facts, struct gb_plan *ret_plan, struct gb_err *err)
{
	gb_autoplan struct gb_plan plan = { 0 };
	enum gb_step_kind kind = GB_STEP_IDENTIFY;

	if (facts->other[0])
		return gb_err_set(err, GB_E_REFUSED, "%s: %s: not touched (unmount it first)", facts->device, facts->other);
	int r = judge(wish, facts, &kind, err);
	if (r < 0)
		return r;
	if (fill(wish, facts, kind, &plan) < 0)
		return gb_err_sys(err, ENOMEM, "%s", facts->device);
	*ret_plan = plan;
	plan = (struct gb_plan){ 0 };
	return 0;
}
