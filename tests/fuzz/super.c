/* SPDX-License-Identifier: MIT */
/* Fuzz target: superblocks, the probe's states and what a plan makes of them.
 *
 * Byte 0 chooses the size of the disk, byte 1 which copies stand on it (bits 0 to 2) and which get their checksum made
 * anew after the patches (bits 4 to 6), byte 2 the type of checksum, byte 3 how far the generations are apart. Then
 * patches: where (2 bytes, the two highest bits choose the copy), length, bytes. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/btrfs/plan.h"
#include "common/btrfs/probe.h"
#include "tests/fuzz/fuzz.h"

struct disk {
	struct gb_super super[GB_SUPER_COPIES];
	bool there[GB_SUPER_COPIES];
	uint64_t size;
};

static ssize_t read_disk(void *ctx, void *buf, size_t len, uint64_t offset)
{
	const struct disk *d = ctx;

	if (offset >= d->size)
		return 0;
	if (d->size - offset < len)
		len = (size_t)(d->size - offset);
	memset(buf, 0, len);
	for (int i = 0; i < GB_SUPER_COPIES; i++) {
		uint64_t at = gb_probe_super_offset[i];
		if (!d->there[i] || at >= offset + len || at + GB_SUPER_SIZE <= offset)
			continue;
		uint64_t from = at > offset ? at : offset;
		uint64_t to = at + GB_SUPER_SIZE < offset + len ? at + GB_SUPER_SIZE : offset + len;
		memcpy((char *)buf + (from - offset), (const char *)&d->super[i] + (from - at), to - from);
	}
	return (ssize_t)len;
}

static int no_signature(void *ctx, uint64_t own, uint64_t own_end, char *name, size_t size)
{
	(void)ctx;
	(void)own;
	(void)own_end;
	(void)name;
	(void)size;
	return 0;
}

static bool is_zero(const struct gb_super *super)
{
	static const struct gb_super zero;

	return memcmp(super, &zero, sizeof zero) == 0;
}

static void check(const struct disk *d, const struct gb_found *f)
{
	switch (f->state) {
	case GB_STATE_BLANK:
		for (int i = 0; i < GB_SUPER_COPIES; i++) {
			/* Not seen: what lies beyond the first and last MiB and shows no magic. */
			if (d->there[i] && i == 0 && !is_zero(&d->super[i]))
				abort();
			if (d->there[i] && f->copy[i] != GB_COPY_NONE && f->copy[i] != GB_COPY_ABSENT)
				abort();
		}
		break;
	case GB_STATE_BTRFS:
		if (gb_probe_super_judge(&d->super[0], gb_probe_super_offset[0]) != GB_COPY_GOOD || f->best != 0)
			abort();
		break;
	case GB_STATE_DAMAGED: {
		struct gb_super moved = f->super;
		if (gb_probe_super_judge(&f->super, gb_probe_super_offset[f->best]) != GB_COPY_GOOD || f->best == 0)
			abort();
		if (gb_probe_super_move(&moved, gb_probe_super_offset[0]) < 0 ||
		    gb_probe_super_judge(&moved, gb_probe_super_offset[0]) != GB_COPY_GOOD)
			abort();
		break;
	}
	case GB_STATE_UNFINISHED:
		for (int i = 0; i < GB_SUPER_COPIES; i++) {
			if (f->copy[i] == GB_COPY_GOOD)
				abort();
		}
		break;
	case GB_STATE_FOREIGN:
	case GB_STATE_UNREADABLE:
		break;
	}
	if (memchr(f->detail, '\0', sizeof f->detail) == NULL)
		abort();
}

static void check_plan(const struct disk *d, const struct gb_found *f)
{
	struct gb_layout layout = { .top = "/t", .options = "" };
	const struct gb_wish wish = { .layout = &layout, .root = "", .mkfs = "mkfs.btrfs" };
	const struct gb_facts facts = { .device = "/dev/x", .size = d->size, .found = *f };
	gb_autoplan struct gb_plan plan = { 0 };
	struct gb_err err;

	if (gb_btrfs_plan_make(&wish, &facts, &plan, &err) < 0)
		return;
	for (size_t i = 0; i < plan.len; i++) {
		if (plan.step[i].kind == GB_STEP_FORMAT && f->state != GB_STATE_BLANK && f->state != GB_STATE_UNFINISHED)
			abort();
		if (plan.step[i].kind == GB_STEP_REPAIR)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t sizes[] = { 0, 65537, 69632, 1 << 20, (64 << 20) + 4095, 65 << 20, (uint64_t)257 << 30 };
	gb_autofree struct disk *d = calloc(1, sizeof *d);
	struct gb_found found;

	if (!d || size < 4)
		return 0;
	d->size = sizes[data[0] % GB_ARRAY_LEN(sizes)];
	for (int i = 0; i < GB_SUPER_COPIES; i++) {
		struct gb_super *s = &d->super[i];

		d->there[i] = data[1] >> i & 1;
		s->generation = htole64(10 + (uint64_t)(data[3] >> (2 * i) & 3));
		s->csum_type = htole16(data[2] % 6);
		s->num_devices = htole64(1);
		s->sectorsize = htole32(4096);
		s->devid = htole64(1);
		memcpy(s->magic, "_BHRfS_M", 8);
		if (gb_probe_super_move(s, gb_probe_super_offset[i]) < 0)
			s->bytenr = htole64(gb_probe_super_offset[i]);
	}
	for (size_t at = 4; at + 3 <= size;) {
		unsigned where = (unsigned)data[at] << 8 | data[at + 1], len = data[at + 2];
		unsigned copy = where >> 14, offset = where & (GB_SUPER_SIZE - 1);

		at += 3;
		if (len > size - at)
			len = (unsigned)(size - at);
		if (len > GB_SUPER_SIZE - offset)
			len = GB_SUPER_SIZE - offset;
		if (copy < GB_SUPER_COPIES)
			memcpy((char *)&d->super[copy] + offset, data + at, len);
		at += len ? len : 1;
	}
	for (int i = 0; i < GB_SUPER_COPIES; i++) {
		if (data[1] >> (4 + i) & 1)
			(void)gb_probe_super_move(&d->super[i], le64toh(d->super[i].bytenr));
	}
	const struct gb_disk disk = { .ctx = d, .size = d->size, .read = read_disk, .signature = no_signature };
	if (gb_probe(&disk, &found) < 0)
		return 0;
	check(d, &found);
	check_plan(d, &found);
	return 0;
}
