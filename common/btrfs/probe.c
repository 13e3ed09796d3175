/* SPDX-License-Identifier: MIT */
/* What is on a disk. Whatever is not known for sure to be empty or ours is somebody's data. */
#include "common/btrfs/probe.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/btrfs/csum.h"

_Static_assert(sizeof(struct gb_super) == GB_SUPER_SIZE, "struct btrfs_super_block");
_Static_assert(offsetof(struct gb_super, fsid) == 0x20, "fsid");
_Static_assert(offsetof(struct gb_super, bytenr) == 0x30, "bytenr");
_Static_assert(offsetof(struct gb_super, magic) == 0x40, "magic");
_Static_assert(offsetof(struct gb_super, generation) == 0x48, "generation");
_Static_assert(offsetof(struct gb_super, total_bytes) == 0x70, "total_bytes");
_Static_assert(offsetof(struct gb_super, num_devices) == 0x88, "num_devices");
_Static_assert(offsetof(struct gb_super, sectorsize) == 0x90, "sectorsize");
_Static_assert(offsetof(struct gb_super, chunk_root_generation) == 0xa4, "chunk_root_generation");
_Static_assert(offsetof(struct gb_super, csum_type) == 0xc4, "csum_type");
_Static_assert(offsetof(struct gb_super, devid) == 0xc9, "dev_item");
_Static_assert(offsetof(struct gb_super, dev_total_bytes) == 0xd1, "dev_item.total_bytes");

const uint64_t gb_probe_super_offset[GB_SUPER_COPIES] = { 64 << 10, 64 << 20, (uint64_t)256 << 30 };

static const uint8_t magic[8] = { 0x5f, 0x42, 0x48, 0x52, 0x66, 0x53, 0x5f, 0x4d };      /* _BHRfS_M */
static const uint8_t magic_temp[8] = { 0x21, 0x42, 0x48, 0x52, 0x66, 0x53, 0x5f, 0x4d }; /* !BHRfS_M */

/* A Btrfs leaves the first MiB of a device alone, but for its superblock (BTRFS_DEVICE_RANGE_RESERVED). */
enum { EDGE = 1 << 20, PIECE = 1 << 16, OWN = 1 << 20 };

enum gb_copy gb_probe_super_judge(const struct gb_super *super, uint64_t offset)
{
	uint8_t sum[32];

	if (memcmp(super->magic, magic_temp, sizeof magic) == 0)
		return GB_COPY_TEMP;
	if (memcmp(super->magic, magic, sizeof magic) != 0)
		return GB_COPY_NONE;
	if (le64toh(super->bytenr) != offset)
		return GB_COPY_BYTENR;
	int len = gb_csum_compute(le16toh(super->csum_type), super->fsid, GB_SUPER_SIZE - sizeof super->csum, sum);
	if (len < 0)
		return GB_COPY_UNKNOWN;
	return memcmp(sum, super->csum, (size_t)len) == 0 ? GB_COPY_GOOD : GB_COPY_CSUM;
}

static const char *copy_text(enum gb_copy copy)
{
	switch (copy) {
	case GB_COPY_ABSENT: return "past the end of the device";
	case GB_COPY_NONE: return "no magic";
	case GB_COPY_TEMP: return "the magic of an unfinished mkfs";
	case GB_COPY_BYTENR: return "the address of another place";
	case GB_COPY_CSUM: return "a checksum that does not hold";
	case GB_COPY_UNKNOWN: return "an unknown type of checksum";
	case GB_COPY_GOOD: return "good";
	}
	return "?";
}

const char *gb_probe_state_name(enum gb_state state)
{
	switch (state) {
	case GB_STATE_BLANK: return "blank";
	case GB_STATE_UNFINISHED: return "unfinished";
	case GB_STATE_BTRFS: return "btrfs";
	case GB_STATE_DAMAGED: return "damaged";
	case GB_STATE_FOREIGN: return "foreign";
	case GB_STATE_UNREADABLE: return "unreadable";
	}
	return "?";
}

int gb_probe_super_move(struct gb_super *super, uint64_t offset)
{
	uint8_t sum[32];

	super->bytenr = htole64(offset);
	int r = gb_csum_compute(le16toh(super->csum_type), super->fsid, GB_SUPER_SIZE - sizeof super->csum, sum);
	if (r < 0)
		return r;
	memcpy(super->csum, sum, sizeof sum);
	return 0;
}

static int unreadable(struct gb_found *found, ssize_t got, uint64_t offset)
{
	found->state = GB_STATE_UNREADABLE;
	found->error = got < 0 ? (int)-got : 0;
	found->offset = offset + (got > 0 ? (uint64_t)got : 0);
	(void)snprintf(found->detail, sizeof found->detail, "%s at byte %" PRIu64,
		       found->error ? strerror(found->error) : "the end of the device", found->offset);
	return 1;
}

/* Reads all that must be there: 0, or 1 with the state set. */
static int need(const struct gb_disk *disk, void *buf, size_t len, uint64_t offset, struct gb_found *found)
{
	ssize_t n = disk->read(disk->ctx, buf, len, offset);

	return n == (ssize_t)len ? 0 : unreadable(found, n, offset);
}

/* Looks for the first byte of [from, to) that is not zero: 1 found, 0 none, 2 the state is set. */
static int nonzero(const struct gb_disk *disk, uint64_t from, uint64_t to, uint8_t *buf, uint64_t *ret_at,
		   struct gb_found *found)
{
	while (from < to) {
		size_t len = to - from < PIECE ? (size_t)(to - from) : PIECE;

		if (need(disk, buf, len, from, found))
			return 2;
		/* A buffer that starts with zero and equals itself shifted by one is zero throughout. */
		if (buf[0] || memcmp(buf, buf + 1, len - 1) != 0) {
			size_t i = 0;
			while (!buf[i])
				i++;
			*ret_at = from + i;
			return 1;
		}
		from += len;
	}
	return 0;
}

/* The superblocks alone: 1 when they decide. */
static int by_supers(struct gb_found *found, const struct gb_super *super)
{
	uint64_t newest = 0;
	int good = -1;

	for (int i = 0; i < GB_SUPER_COPIES; i++) {
		if (found->copy[i] != GB_COPY_GOOD)
			continue;
		if (good >= 0 && memcmp(super[i].fsid, super[good].fsid, sizeof super[i].fsid) != 0)
			found->two = true;
		if (good < 0 || le64toh(super[i].generation) > newest) {
			good = i;
			newest = le64toh(super[i].generation);
		}
	}
	if (good < 0)
		return 0;
	if (found->copy[0] == GB_COPY_GOOD) {
		/* The kernel goes by the primary alone. It is written with the others, so a power cut may leave it one
		 * generation behind them, with all that it points to in place; more than that is an old block. Copies
		 * of another file system are what an earlier owner of the disk left there. */
		uint64_t own = le64toh(super[0].generation);

		found->two = false;
		newest = own;
		good = 0;
		for (int i = 1; i < GB_SUPER_COPIES; i++) {
			if (found->copy[i] == GB_COPY_GOOD && le64toh(super[i].generation) > newest &&
			    memcmp(super[i].fsid, super[0].fsid, sizeof super[i].fsid) == 0) {
				good = i;
				newest = le64toh(super[i].generation);
			}
		}
		if (newest - own <= 1) {
			found->state = GB_STATE_BTRFS;
			found->super = super[0];
			found->best = 0;
			return 1;
		}
		(void)snprintf(found->detail, sizeof found->detail, "a Btrfs whose primary superblock is %" PRIu64
			       " generations older than its copy at byte %" PRIu64, newest - own, gb_probe_super_offset[good]);
	} else {
		(void)snprintf(found->detail, sizeof found->detail, "a Btrfs whose primary superblock has %s; the copy at byte %"
			       PRIu64 " is good", copy_text(found->copy[0]), gb_probe_super_offset[good]);
	}
	found->state = GB_STATE_DAMAGED;
	found->super = super[good];
	found->best = good;
	return 1;
}

/* Each superblock, and what it is: 0, or 1 with the state set. */
static int read_supers(const struct gb_disk *disk, struct gb_super *super, struct gb_found *found)
{
	for (int i = 0; i < GB_SUPER_COPIES; i++) {
		/* Only the primary has to be there; a disk that ends inside a later copy has none. */
		if (i > 0 && (disk->size < GB_SUPER_SIZE || disk->size - GB_SUPER_SIZE < gb_probe_super_offset[i]))
			continue;
		if (need(disk, &super[i], GB_SUPER_SIZE, gb_probe_super_offset[i], found))
			return 1;
		found->copy[i] = gb_probe_super_judge(&super[i], gb_probe_super_offset[i]);
	}
	return 0;
}

/* Others' signatures, where the superblocks have decided or not: 1 when they decide, or nothing else may. */
static int by_signatures(const struct gb_disk *disk, int decided, struct gb_found *found)
{
	char name[64];
	int r;

	/* A partition table that was written later and did not happen to touch a superblock, a RAID whose own block is behind
	 * the file system: to mount it is to write into what belongs to another by now. */
	if (decided && (found->state == GB_STATE_BTRFS || found->copy[0] != GB_COPY_NONE)) {
		r = disk->signature(disk->ctx, OWN, le64toh(found->super.dev_total_bytes), found->beside, sizeof found->beside);
		if (r <= 0)
			found->beside[0] = '\0';
		/* A sector that cannot be read is no reason to leave a file system alone, but one not to write over it. */
		if (r >= 0 || found->state == GB_STATE_BTRFS)
			return 1;
	} else {
		/* Another owner's signature, and no Btrfs magic where the primary belongs: the good copy is what mkfs of that
		 * other file system did not happen to overwrite. Restoring its primary would write into somebody's data. */
		r = disk->signature(disk->ctx, 0, 0, name, sizeof name);
		if (r == 0)
			return decided;
	}
	if (r < 0) {
		(void)unreadable(found, r, 0);
		(void)snprintf(found->detail, sizeof found->detail, "%s in the search for signatures", strerror(-r));
		return 1;
	}
	int old = found->state == GB_STATE_DAMAGED ? found->best : 0;

	found->state = GB_STATE_FOREIGN;
	(void)snprintf(found->detail, sizeof found->detail, "%s", name);
	if (old)
		(void)snprintf(found->detail, sizeof found->detail, "%s, over an old Btrfs whose copy at byte %" PRIu64
			       " still holds", name, gb_probe_super_offset[old]);
	return 1;
}

/* From what says most to what says least: the superblocks, others' signatures, what is left of a superblock, any byte. */
static void judge(const struct gb_disk *disk, struct gb_super *super, uint8_t *buf, struct gb_found *found)
{
	bool temp = false;
	uint64_t at = 0;

	if (read_supers(disk, super, found) || by_signatures(disk, by_supers(found, super), found))
		return;
	for (int i = 0; i < GB_SUPER_COPIES; i++) {
		temp |= found->copy[i] == GB_COPY_TEMP;
		if (found->copy[i] > GB_COPY_TEMP) {
			found->state = GB_STATE_FOREIGN;
			(void)snprintf(found->detail, sizeof found->detail,
				       "a Btrfs superblock at byte %" PRIu64 " with %s, and no good copy",
				       gb_probe_super_offset[i], copy_text(found->copy[i]));
			return;
		}
	}
	/* mkfs.btrfs gives the primary its temporary magic before the copies, and takes it away before theirs when it
	 * starts over: the magic in any place, with nothing else before it, is its work. */
	if (found->copy[0] == GB_COPY_TEMP) {
		found->state = GB_STATE_UNFINISHED;
		return;
	}
	int r = nonzero(disk, 0, disk->size < EDGE ? disk->size : EDGE, buf, &at, found);
	if (r == 0 && disk->size > EDGE)
		r = nonzero(disk, disk->size - EDGE, disk->size, buf, &at, found);
	if (r == 0) {
		found->state = temp ? GB_STATE_UNFINISHED : GB_STATE_BLANK;
	} else if (r == 1) {
		found->state = GB_STATE_FOREIGN;
		(void)snprintf(found->detail, sizeof found->detail, "unknown data at byte %" PRIu64, at);
	}
}

int gb_probe(const struct gb_disk *disk, struct gb_found *ret_found)
{
	gb_autofree struct gb_super *super = calloc(GB_SUPER_COPIES, sizeof *super);
	gb_autofree uint8_t *buf = malloc(PIECE);
	struct gb_found found = { 0 };

	if (!super || !buf)
		return -ENOMEM;
	judge(disk, super, buf, &found);
	*ret_found = found;
	return 0;
}
