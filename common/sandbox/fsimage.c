/* SPDX-License-Identifier: MIT */
/* Kinds of file systems in files: the fields of their superblocks that say what they are and how long. */
#include "common/sandbox/fsimage.h"

#include <errno.h>
#include <inttypes.h>

#include "common/base/cleanup.h"

static uint64_t le(const unsigned char *at, size_t bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | at[bytes];
	return v;
}

/* blocks << shift, where that is a number that a file's size can be. */
static uint64_t shifted(uint64_t blocks, unsigned shift)
{
	return shift < 32 && blocks <= (uint64_t)INT64_MAX >> shift ? blocks << shift : UINT64_MAX;
}

/* fs/squashfs/squashfs_fs.h, struct squashfs_super_block: bytes_used */
static uint64_t squashfs_size(const unsigned char *sb)
{
	return le(sb + 40, 8);
}

/* fs/erofs/erofs_fs.h, struct erofs_super_block: blkszbits, blocks (its lower half, later) */
static uint64_t erofs_size(const unsigned char *sb)
{
	return shifted(le(sb + 36, 4), sb[12]);
}

/* fs/ext4/ext4.h, struct ext4_super_block: s_blocks_count_lo, s_log_block_size, s_feature_incompat, s_blocks_count_hi */
static uint64_t ext4_size(const unsigned char *sb)
{
	enum { INCOMPAT_64BIT = 0x80 };
	uint64_t blocks = le(sb + 4, 4) | (le(sb + 96, 4) & INCOMPAT_64BIT ? le(sb + 336, 4) << 32 : 0);

	return shifted(blocks, 10 + (unsigned)(le(sb + 24, 4) & 0xff));
}

static const struct kind {
	const char *type, *options;
	size_t at, len, magic_at, magic_len; /* the superblock in the file, the magic number in that */
	uint64_t magic;
	uint64_t (*size)(const unsigned char *sb);
} kinds[] = {
	{ "squashfs", "", 0, 96, 0, 4, 0x73717368, squashfs_size },
	{ "erofs", "", 1024, 128, 0, 4, 0xe0f5e1e2, erofs_size },
	/* The journal of one that was in use stays as it is; and it is not for an image to say that the guest panics. */
	{ "ext4", ",noload,errors=continue", 1024, 1024, 56, 2, 0xef53, ext4_size },
};

int gb_fsimage_read(const unsigned char *head, size_t len, uint64_t file_size, const char *name, struct gb_fsimage *ret_image,
		    struct gb_err *err)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(kinds); i++) {
		const struct kind *kind = &kinds[i];
		const unsigned char *sb = head + kind->at;
		if (len < kind->at + kind->magic_at + kind->magic_len || le(sb + kind->magic_at, kind->magic_len) != kind->magic)
			continue;
		uint64_t size = len < kind->at + kind->len ? UINT64_MAX : kind->size(sb);
		if (size > file_size && size != UINT64_MAX)
			return gb_err_set(err, EINVAL, "%s: an %s image that is cut off: %" PRIu64 " of %" PRIu64 " bytes", name,
					  kind->type, file_size, size);
		if (size > file_size)
			return gb_err_set(err, EINVAL, "%s: an %s image that is cut off in its superblock, or says that it is "
					  "larger than a file can be", name, kind->type);
		*ret_image = (struct gb_fsimage){ kind->type, kind->options, size };
		return 0;
	}
	return gb_err_set(err, EINVAL, "%s: no image of an erofs, squashfs or ext4", name);
}
