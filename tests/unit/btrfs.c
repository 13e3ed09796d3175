/* SPDX-License-Identifier: MIT */
/* common/btrfs: the probe's states, the checksums, layout files, the plan, the sums of --status. */
#include "tests/unit/unit.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/btrfs/csum.h"
#include "common/btrfs/layout.h"
#include "common/btrfs/plan.h"
#include "common/btrfs/probe.h"
#include "common/btrfs/status.h"

/* A disk that is zero but for some pieces. */
struct piece {
	uint64_t at;
	const void *data;
	size_t len;
};
struct fake {
	struct piece piece[8];
	size_t pieces;
	uint64_t size;
	uint64_t bad_from, bad_to; /* reads in here fail */
	const char *signature;
	uint64_t signature_at;
	int signature_error;
	uint64_t reads;
};

static ssize_t fake_read(void *ctx, void *buf, size_t len, uint64_t offset)
{
	struct fake *f = ctx;

	f->reads++;
	if (offset >= f->size)
		return 0;
	if (f->size - offset < len)
		len = (size_t)(f->size - offset);
	if (offset < f->bad_to && offset + len > f->bad_from)
		return -EIO;
	memset(buf, 0, len);
	for (size_t i = 0; i < f->pieces; i++) {
		const struct piece *p = &f->piece[i];
		for (size_t k = 0; k < p->len; k++) {
			if (p->at + k >= offset && p->at + k < offset + len)
				((uint8_t *)buf)[p->at + k - offset] = ((const uint8_t *)p->data)[k];
		}
	}
	return (ssize_t)len;
}

static int fake_signature(void *ctx, uint64_t own, uint64_t own_end, char *name, size_t size)
{
	struct fake *f = ctx;

	if (f->signature_error)
		return f->signature_error;
	if (!f->signature || (f->signature_at >= own && f->signature_at < own_end))
		return 0;
	(void)snprintf(name, size, "%s", f->signature);
	return 1;
}

static struct gb_found look(struct fake *f)
{
	const struct gb_disk disk = { .ctx = f, .size = f->size, .read = fake_read, .signature = fake_signature };
	struct gb_found found;

	assert_int_equal(gb_probe(&disk, &found), 0);
	return found;
}

#define MAGIC "_BHRfS_M"
#define TEMP "!BHRfS_M"
#define GIB ((uint64_t)1 << 30)

static struct gb_super make_super(int copy, uint64_t generation, unsigned type)
{
	struct gb_super s = { .generation = htole64(generation), .csum_type = htole16((uint16_t)type),
			      .num_devices = htole64(1), .sectorsize = htole32(4096), .devid = htole64(1) };

	memcpy(s.magic, MAGIC, 8);
	memset(s.fsid, 0x5a, sizeof s.fsid);
	if (gb_probe_super_move(&s, gb_probe_super_offset[copy]) < 0)
		s.bytenr = htole64(gb_probe_super_offset[copy]);
	return s;
}

static void put(struct fake *f, uint64_t at, const void *data, size_t len)
{
	assert_true(f->pieces < GB_ARRAY_LEN(f->piece));
	f->piece[f->pieces++] = (struct piece){ at, data, len };
}

static void checksums_of_known_texts(void **state)
{
	/* "123456789" and "abc": the check values that the algorithms' own documents give. */
	static const struct { unsigned type; const char *text, *hex; } known[] = {
		{ GB_CSUM_CRC32C, "123456789", "839206e3" },
		{ GB_CSUM_XXHASH64, "", "99e9d85137db46ef" },
		{ GB_CSUM_XXHASH64, "abc", "990977adf52cbc44" },
		{ GB_CSUM_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ GB_CSUM_BLAKE2B, "abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319" },
	};
	uint8_t sum[32];
	char hex[65];

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(known); i++) {
		int len = gb_csum_compute(known[i].type, known[i].text, strlen(known[i].text), sum);
		assert_int_equal(len * 2, strlen(known[i].hex));
		for (int k = 0; k < len; k++)
			(void)snprintf(hex + 2 * k, 3, "%02x", sum[k]);
		assert_string_equal(hex, known[i].hex);
		for (int k = len; k < 32; k++)
			assert_int_equal(sum[k], 0);
	}
	assert_int_equal(gb_csum_compute(4, "", 0, sum), -EOPNOTSUPP);
}

static void blank_only_when_all_is_zero(void **state)
{
	struct fake f = { .size = GIB };
	const uint64_t odd[] = { 0, 511, 65535, (1 << 20) - 1, GIB - (1 << 20), GIB - 1 };

	(void)state;
	assert_int_equal(look(&f).state, GB_STATE_BLANK);
	for (size_t i = 0; i < GB_ARRAY_LEN(odd); i++) {
		struct fake g = { .size = GIB };
		char where[32];
		put(&g, odd[i], "\1", 1);
		struct gb_found found = look(&g);
		assert_int_equal(found.state, GB_STATE_FOREIGN);
		(void)snprintf(where, sizeof where, "at byte %llu", (unsigned long long)odd[i]);
		assert_non_null(strstr(found.detail, where));
	}
	f.signature = "ext4";
	assert_int_equal(look(&f).state, GB_STATE_FOREIGN);
	/* A disk below two MiB, the edges overlapping. */
	struct fake small = { .size = 1500 << 10 };
	assert_int_equal(look(&small).state, GB_STATE_BLANK);
	put(&small, (1500 << 10) - 1, "\1", 1);
	assert_int_equal(look(&small).state, GB_STATE_FOREIGN);
}

static void too_short_for_a_superblock_is_unreadable(void **state)
{
	const uint64_t sizes[] = { 0, 1, 65536, 65536 + 4095 };

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(sizes); i++) {
		struct fake f = { .size = sizes[i] };
		struct gb_found found = look(&f);
		assert_int_equal(found.state, GB_STATE_UNREADABLE);
		assert_int_equal(found.error, 0);
	}
	struct fake f = { .size = 65536 + 4096 };
	assert_int_equal(look(&f).state, GB_STATE_BLANK);
}

static void every_copy_is_looked_at(void **state)
{
	struct gb_super s[3] = { make_super(0, 9, 0), make_super(1, 9, 0), make_super(2, 9, 0) };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct fake f = { .size = 300 * GIB };
		put(&f, gb_probe_super_offset[i], &s[i], sizeof s[i]);
		struct gb_found found = look(&f);
		assert_int_equal(found.state, i == 0 ? GB_STATE_BTRFS : GB_STATE_DAMAGED);
		assert_int_equal(found.best, i);
		assert_int_equal(found.copy[i], GB_COPY_GOOD);
	}
	/* Not past the end. */
	struct fake f = { .size = 256 * GIB + 4095 };
	put(&f, gb_probe_super_offset[2], &s[2], sizeof s[2]);
	assert_int_equal(look(&f).copy[2], GB_COPY_ABSENT);
}

static void every_checksum_type_is_verified(void **state)
{
	(void)state;
	for (unsigned type = 0; type < GB_CSUM_TYPES; type++) {
		struct gb_super s = make_super(0, 9, type);
		struct fake f = { .size = GIB };
		put(&f, gb_probe_super_offset[0], &s, sizeof s);
		assert_int_equal(look(&f).state, GB_STATE_BTRFS);
		s.rest[2000] ^= 1;
		struct gb_found found = look(&f);
		assert_int_equal(found.state, GB_STATE_FOREIGN);
		assert_int_equal(found.copy[0], GB_COPY_CSUM);
	}
	struct gb_super s = make_super(0, 9, 77);
	struct fake f = { .size = GIB };
	put(&f, gb_probe_super_offset[0], &s, sizeof s);
	assert_int_equal(look(&f).copy[0], GB_COPY_UNKNOWN);
	assert_int_equal(look(&f).state, GB_STATE_FOREIGN);
}

static void broken_primaries(void **state)
{
	struct gb_super good = make_super(1, 9, 0), bad = make_super(0, 9, 0), moved = make_super(1, 9, 0);

	(void)state;
	bad.rest[0] ^= 1;
	struct fake f = { .size = GIB };
	put(&f, gb_probe_super_offset[0], &bad, sizeof bad);
	put(&f, gb_probe_super_offset[1], &good, sizeof good);
	struct gb_found found = look(&f);
	assert_int_equal(found.state, GB_STATE_DAMAGED);
	assert_non_null(strstr(found.detail, "checksum"));
	/* A copy that stands in the primary's place has the wrong address. */
	struct fake g = { .size = GIB };
	put(&g, gb_probe_super_offset[0], &moved, sizeof moved);
	found = look(&g);
	assert_int_equal(found.copy[0], GB_COPY_BYTENR);
	assert_int_equal(found.state, GB_STATE_FOREIGN);
	put(&g, gb_probe_super_offset[1], &good, sizeof good);
	assert_int_equal(look(&g).state, GB_STATE_DAMAGED);
}

static void generations(void **state)
{
	struct gb_super own = make_super(0, 9, 0), copy = make_super(1, 9, 0);
	struct fake f = { .size = GIB };

	(void)state;
	put(&f, gb_probe_super_offset[0], &own, sizeof own);
	put(&f, gb_probe_super_offset[1], &copy, sizeof copy);
	copy = make_super(1, 3, 0); /* old copies are no matter */
	assert_int_equal(look(&f).state, GB_STATE_BTRFS);
	copy = make_super(1, 10, 0); /* a power cut between the two */
	assert_int_equal(look(&f).state, GB_STATE_BTRFS);
	copy = make_super(1, 11, 0); /* an old block in the primary's place */
	assert_int_equal(look(&f).state, GB_STATE_DAMAGED);
	assert_int_equal(look(&f).best, 1);
	copy.fsid[0] ^= 1; /* of another file system: an earlier owner's */
	assert_int_equal(gb_probe_super_move(&copy, gb_probe_super_offset[1]), 0);
	assert_int_equal(look(&f).state, GB_STATE_BTRFS);
}

static void copies_of_two_file_systems(void **state)
{
	struct gb_super one = make_super(1, 9, 0), two = make_super(2, 12, 0);
	struct fake f = { .size = 300 * GIB };

	(void)state;
	put(&f, gb_probe_super_offset[1], &one, sizeof one);
	put(&f, gb_probe_super_offset[2], &two, sizeof two);
	assert_int_equal(look(&f).best, 2);
	assert_false(look(&f).two);
	two.fsid[3] ^= 1;
	assert_int_equal(gb_probe_super_move(&two, gb_probe_super_offset[2]), 0);
	assert_int_equal(look(&f).state, GB_STATE_DAMAGED);
	assert_true(look(&f).two);
}

static void unfinished_and_what_is_not(void **state)
{
	struct gb_super temp = make_super(0, 1, 0), good = make_super(1, 9, 0);

	(void)state;
	memcpy(temp.magic, TEMP, 8);
	struct fake f = { .size = GIB };
	put(&f, gb_probe_super_offset[0], &temp, sizeof temp);
	assert_int_equal(look(&f).state, GB_STATE_UNFINISHED);
	f.signature = "gpt";
	assert_int_equal(look(&f).state, GB_STATE_FOREIGN);
	f.signature = NULL;
	put(&f, gb_probe_super_offset[1], &good, sizeof good);
	assert_int_equal(look(&f).state, GB_STATE_DAMAGED);
	/* In a copy's place alone: an mkfs that had begun to start over. With other data in front: not its work. */
	struct fake g = { .size = GIB };
	put(&g, gb_probe_super_offset[1], &temp, sizeof temp);
	assert_int_equal(look(&g).state, GB_STATE_UNFINISHED);
	put(&g, 4096, "data", 4);
	assert_int_equal(look(&g).state, GB_STATE_FOREIGN);
}

/* Behind the file system and in its first MiB, where it has nothing, and not where a file of it may stand. */
static void another_signature_beside_it(void **state)
{
	struct gb_super good = make_super(0, 9, 0), copy = make_super(1, 9, 0);
	static const struct { uint64_t at; bool own; } places[] = {
		{ 512, false }, { (1 << 20) - 1, false }, { 1 << 20, true }, { GIB / 2 - 1, true }, { GIB / 2, false },
		{ GIB - 512, false },
	};
	gb_autolayout struct gb_layout layout = { 0 };

	(void)state;
	assert_int_equal(gb_layout_load(NULL, &layout, NULL), 0);
	good.dev_total_bytes = copy.dev_total_bytes = htole64(GIB / 2);
	assert_int_equal(gb_probe_super_move(&good, gb_probe_super_offset[0]), 0);
	assert_int_equal(gb_probe_super_move(&copy, gb_probe_super_offset[1]), 0);
	for (int broken = 0; broken < 2; broken++) {
		struct fake f = { .size = GIB, .signature = "gpt partition table" };

		good.csum[0] ^= (uint8_t)broken;
		put(&f, gb_probe_super_offset[0], &good, sizeof good);
		put(&f, gb_probe_super_offset[1], &copy, sizeof copy);
		for (size_t i = 0; i < GB_ARRAY_LEN(places); i++) {
			f.signature_at = places[i].at;
			struct gb_facts facts = { .device = "/dev/x", .size = GIB, .found = look(&f) };
			assert_int_equal(facts.found.state, broken ? GB_STATE_DAMAGED : GB_STATE_BTRFS);
			for (int mode = GB_FORMAT_BLANK; mode <= GB_FORMAT_NEVER; mode++) {
				const struct gb_wish wish = { .layout = &layout, .root = "", .mkfs = "mkfs.btrfs",
							      .format = (enum gb_format)mode, .repair = true };
				gb_autoplan struct gb_plan plan = { 0 };
				struct gb_err err = { 0 };

				int r = gb_btrfs_plan_make(&wish, &facts, &plan, &err);
				if (places[i].own) {
					assert_int_equal(r, 0);
				} else {
					assert_int_equal(r, -GB_E_REFUSED);
					assert_non_null(strstr(err.msg, "a gpt partition table that is not its own"));
				}
				for (size_t k = 0; k < plan.len; k++)
					assert_true(plan.step[k].kind != GB_STEP_FORMAT);
			}
		}
		/* That nobody could look is no reason to leave a good one alone, and one not to write over a broken one. */
		f.signature_error = -EIO;
		assert_int_equal(look(&f).state, broken ? GB_STATE_UNREADABLE : GB_STATE_BTRFS);
	}
}

static void a_read_error_is_never_blank(void **state)
{
	const uint64_t places[] = { 0, 65536, 500000, 64 << 20, GIB - 4096 };

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(places); i++) {
		struct fake f = { .size = GIB, .bad_from = places[i], .bad_to = places[i] + 512 };
		struct gb_found found = look(&f);
		assert_int_equal(found.state, GB_STATE_UNREADABLE);
		assert_int_equal(found.error, EIO);
	}
	struct fake f = { .size = GIB, .signature_error = -EIO };
	assert_int_equal(look(&f).state, GB_STATE_UNREADABLE);
}

/* ---- layout ---- */

static void layout_defaults(void **state)
{
	gb_autolayout struct gb_layout l = { 0 };
	struct gb_err err;

	(void)state;
	assert_int_equal(gb_layout_load(NULL, &l, &err), 0);
	assert_string_equal(l.top, "/run/arcbox/data");
	assert_int_equal(l.subvol_len, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(l.subvol[i].nocow_len, 8);
	assert_string_equal(l.subvol[2].name, "@k3s");
	assert_string_equal(l.subvol[2].target, "/var/lib/rancher/k3s");
}

static void layout_files(void **state)
{
	static const char text[] = "# ours\n\n  top /t\\040op -\nsubvolume a\\134b /x noatime,nodev compression=lzo\r\n"
				   "subvolume c /y compression=none\nnocow c d/e f\nnocow * g\n";
	gb_autolayout struct gb_layout l = { 0 };
	struct gb_err err;

	(void)state;
	assert_int_equal(gb_layout_parse("file", text, sizeof text - 1, &l, &err), 0);
	assert_string_equal(l.top, "/t op");
	assert_string_equal(l.options, "");
	assert_string_equal(l.subvol[0].name, "a\\b");
	assert_string_equal(l.subvol[0].options, "noatime,nodev");
	assert_string_equal(l.subvol[0].compression, "lzo");
	assert_int_equal(l.subvol[0].nocow_len, 1);
	assert_int_equal(l.subvol[1].nocow_len, 3);
	assert_string_equal(l.subvol[1].nocow[0], "d/e");
}

static void layout_errors_name_line_and_word(void **state)
{
	static const struct { const char *text, *want; } bad[] = {
		{ "top /t\nsubvolume a/b /x\n", "line 2, word 2 \"a/b\": a subvolume's name has no slash" },
		{ "top t\n", "line 1, word 2 \"t\": not an absolute path" },
		{ "top /\n", "line 1, word 2 \"/\": an empty part" },
		{ "top /a/../b\n", "word 2 \"/a/../b\": \".\" or \"..\"" },
		{ "top /t\ntop /u\n", "line 2, word 1 \"top\": there is a top already" },
		{ "top /t x y\n", "line 1, word 4 \"y\": surplus word" },
		{ "top /t subvol=x\n", "word 3 \"subvol=x\": the subvolume is the line's own" },
		{ "top\n", "line 1, word 2 \"\": missing target" },
		{ "top /t\n\nsubvolume a\n", "line 3, word 3 \"\": missing target" },
		{ "top /t\nsubvolume a /x\nsubvolume a /y\n", "line 3, word 2 \"a\": named twice" },
		{ "top /t\nsubvolume a /x\nsubvolume b /x\n", "line 3, word 3 \"/x\": two subvolumes on one target" },
		{ "top /t\nsubvolume a /t\n", "subvolume a and the top have one target" },
		{ "top /t\nsubvolume a /x - compression=zstd:1\n", "word 5 \"compression=zstd:1\": not one of" },
		{ "top /t\nsubvolume a /x - b\n", "word 5 \"b\": not compression=" },
		{ "top /t\nsubvolume .. /x\n", "word 2 \"..\"" },
		{ "top /t\nsubvolume a /x\nnocow a /y\n", "word 3 \"/y\": not a relative path" },
		{ "top /t\nsubvolume a /x\nnocow a y y\n", "word 4 \"y\": named twice" },
		{ "top /t\\9\n", "word 2 \"/t\\9\": a backslash" },
		{ "volume a /x\n", "line 1, word 1 \"volume\": not top, subvolume or nocow" },
		{ "", "no top line" },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		struct gb_layout l;
		struct gb_err err = { 0 };
		assert_int_equal(gb_layout_parse("F", bad[i].text, strlen(bad[i].text), &l, &err), -EINVAL);
		if (!strstr(err.msg, bad[i].want) || strncmp(err.msg, "F: ", 3) != 0)
			fail_msg("%s: %s", bad[i].want, err.msg);
	}
	struct gb_layout l;
	assert_int_equal(gb_layout_parse("F", "top /t\0", 7, &l, NULL), -EINVAL);
}

/* ---- plan ---- */

/* The table of states and --format: what formats, what is used, what is refused. */
static void who_is_formatted(void **state)
{
	enum { U, F, N }; /* use or repair, format, refuse */
	static const struct { enum gb_state state; int blank, foreign, never, repair; } table[] = {
		{ GB_STATE_BLANK, F, F, N, F },    { GB_STATE_UNFINISHED, F, F, N, F }, { GB_STATE_BTRFS, U, U, U, U },
		{ GB_STATE_DAMAGED, N, N, N, U },  { GB_STATE_FOREIGN, N, F, N, N },    { GB_STATE_UNREADABLE, N, N, N, N },
	};
	gb_autolayout struct gb_layout layout = { 0 };

	(void)state;
	assert_int_equal(gb_layout_load(NULL, &layout, NULL), 0);
	for (size_t i = 0; i < GB_ARRAY_LEN(table); i++) {
		for (int mode = 0; mode < 4; mode++) {
			const int want = (const int[]){ table[i].blank, table[i].foreign, table[i].never, table[i].repair }[mode];
			const struct gb_wish wish = { .layout = &layout, .root = "", .mkfs = "mkfs.btrfs",
						      .format = mode == 3 ? GB_FORMAT_BLANK : (enum gb_format)mode,
						      .repair = mode == 3 };
			struct gb_facts facts = { .device = "/dev/x", .size = GIB, .found.state = table[i].state };
			gb_autoplan struct gb_plan plan = { 0 };
			struct gb_err err = { 0 };
			bool formats = false;

			int r = gb_btrfs_plan_make(&wish, &facts, &plan, &err);
			for (size_t k = 0; k < plan.len; k++)
				formats |= plan.step[k].kind == GB_STEP_FORMAT;
			assert_int_equal(r, want == N ? -GB_E_REFUSED : 0);
			assert_int_equal(formats, want == F);
			if (r < 0) {
				assert_string_equal(strchr(err.msg, '\n') ? "two lines" : "one line", "one line");
				assert_non_null(strstr(err.msg, gb_probe_state_name(table[i].state)));
				assert_non_null(strchr(err.msg, '('));
			}
			/* What nobody may write to is not formatted, nor what is in use, or repaired, whatever was asked for. */
			gb_autoplan struct gb_plan other = { 0 };
			facts.read_only = true;
			assert_int_equal(gb_btrfs_plan_make(&wish, &facts, &other, &err), -GB_E_REFUSED);
			facts.read_only = false;
			facts.busy = true;
			if (want == F || table[i].state == GB_STATE_DAMAGED)
				assert_int_equal(gb_btrfs_plan_make(&wish, &facts, &other, &err), -GB_E_REFUSED);
		}
	}
}

static void order_of_the_steps(void **state)
{
	gb_autolayout struct gb_layout layout = { 0 };
	gb_autoplan struct gb_plan plan = { 0 };
	struct gb_facts facts = { .device = "/dev/x", .size = GIB };
	struct gb_err err;

	(void)state;
	assert_int_equal(gb_layout_load(NULL, &layout, NULL), 0);
	const struct gb_wish wish = { .layout = &layout, .root = "/r", .mkfs = "mkfs.btrfs" };
	assert_false(gb_btrfs_plan_ready(&wish, &facts));
	assert_int_equal(gb_btrfs_plan_make(&wish, &facts, &plan, &err), 0);
	assert_int_equal(plan.len, 5 + 3 * 5);
	for (size_t i = 1; i < plan.len; i++)
		assert_true(plan.step[i].kind >= plan.step[i - 1].kind);
	assert_string_equal(plan.step[3].detail, "/dev/x on /r/run/arcbox/data (compress=zstd:3,discard=async,space_cache=v2)");
	for (size_t i = 0; i < 5; i++)
		facts.subvol[i] = GB_TARGET_OURS;
	assert_true(gb_btrfs_plan_ready(&wish, &facts));
	(void)snprintf(facts.other, sizeof facts.other, "a tmpfs is mounted on /x");
	gb_autoplan struct gb_plan none = { 0 };
	assert_int_equal(gb_btrfs_plan_make(&wish, &facts, &none, &err), -GB_E_REFUSED);
}

static void sums_of_the_status(void **state)
{
	const struct gb_btrfs_space rows[] = {
		{ GB_BTRFS_DATA, 100, 60, 1 }, { GB_BTRFS_METADATA, 50, 40, 2 }, { GB_BTRFS_SYSTEM, 8, 1, 2 },
	};
	struct gb_status s = { .devices = 2, .device = { { .device = { .total = 400, .used = 216 } },
							 { .missing = true, .device = { .total = 999, .used = 9 } } } };

	(void)state;
	gb_status_sum(&s, rows, 3, 5);
	assert_int_equal(s.size, 400);
	assert_int_equal(s.unallocated, 184);
	assert_int_equal(s.headroom, 50 + 184 / 2 - 40 - 5);
	assert_int_equal(s.occupied, 60 + 80 + 2);
	assert_int_equal(s.reclaimable, 400 - 142);
	assert_false(s.metadata_low);
	struct gb_status full = { .devices = 1, .device = { { .device = { .total = 216, .used = 216 } } } };
	gb_status_sum(&full, rows, 3, 5);
	assert_true(full.metadata_low);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums_of_known_texts),
		cmocka_unit_test(blank_only_when_all_is_zero),
		cmocka_unit_test(too_short_for_a_superblock_is_unreadable),
		cmocka_unit_test(every_copy_is_looked_at),
		cmocka_unit_test(every_checksum_type_is_verified),
		cmocka_unit_test(broken_primaries),
		cmocka_unit_test(generations),
		cmocka_unit_test(copies_of_two_file_systems),
		cmocka_unit_test(unfinished_and_what_is_not),
		cmocka_unit_test(another_signature_beside_it),
		cmocka_unit_test(a_read_error_is_never_blank),
		cmocka_unit_test(layout_defaults),
		cmocka_unit_test(layout_files),
		cmocka_unit_test(layout_errors_name_line_and_word),
		cmocka_unit_test(who_is_formatted),
		cmocka_unit_test(order_of_the_steps),
		cmocka_unit_test(sums_of_the_status),
	};

	return cmocka_run_group_tests_name("btrfs", tests, NULL, NULL);
}
