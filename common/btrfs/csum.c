/* SPDX-License-Identifier: MIT */
/* The checksums of a Btrfs superblock, over one block of 4 KiB: small and plain, not fast. */
#include "common/btrfs/csum.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/sys/sha256.h"

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return le64toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return le32toh(v);
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof v);
}

/* RFC 3720, section 12.1: polynomial 0x1edc6f41, reflected; initial value and final xor all ones. */
static uint32_t crc32c(const uint8_t *p, size_t len)
{
	/* Half a byte at a time: a table that fits a cache line serves every disk at its start, once. */
	uint32_t table[16], crc = ~0u;

	for (uint32_t i = 0; i < 16; i++) {
		table[i] = i;
		for (int k = 0; k < 4; k++)
			table[i] = table[i] >> 1 ^ (0x82f63b78u & -(table[i] & 1));
	}
	for (; len; len--) {
		crc ^= *p++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

static uint64_t rol(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static uint64_t ror(uint64_t v, int n)
{
	return v >> n | v << (64 - n);
}

/* The XXH64 algorithm (xxhash_spec.md), seed 0. */
#define P1 0x9e3779b185ebca87u
#define P2 0xc2b2ae3d27d4eb4fu
#define P3 0x165667b19e3779f9u
#define P4 0x85ebca77c2b2ae63u
#define P5 0x27d4eb2f165667c5u

static uint64_t xx_round(uint64_t acc, uint64_t lane)
{
	return rol(acc + lane * P2, 31) * P1;
}

static uint64_t xxhash64(const uint8_t *p, size_t len)
{
	static const int turns[] = { 1, 7, 12, 18 };
	uint64_t acc[4] = { P1 + P2, P2, 0, (uint64_t)0 - P1 }, h = P5;
	size_t left = len;

	if (left >= 32) {
		for (; left >= 32; left -= 32, p += 32) {
			for (int i = 0; i < 4; i++)
				acc[i] = xx_round(acc[i], get64(p + 8 * i));
		}
		h = 0;
		for (int i = 0; i < 4; i++)
			h += rol(acc[i], turns[i]);
		for (int i = 0; i < 4; i++)
			h = (h ^ xx_round(0, acc[i])) * P1 + P4;
	}
	h += len;
	for (; left >= 8; left -= 8, p += 8)
		h = rol(h ^ xx_round(0, get64(p)), 27) * P1 + P4;
	for (; left >= 4; left -= 4, p += 4)
		h = rol(h ^ get32(p) * P1, 23) * P2 + P3;
	for (; left; left--, p++)
		h = rol(h ^ *p * P5, 11) * P1;
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}

/* BLAKE2b (RFC 7693), no key, 32 bytes of sum. */
static const uint64_t blake_iv[8] = {
	0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
	0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};

static void blake_mix(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y)
{
	v[a] += v[b] + x;
	v[d] = ror(v[d] ^ v[a], 32);
	v[c] += v[d];
	v[b] = ror(v[b] ^ v[c], 24);
	v[a] += v[b] + y;
	v[d] = ror(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = ror(v[b] ^ v[c], 63);
}

static void blake_block(uint64_t h[8], const uint8_t block[128], uint64_t done, int last)
{
	static const uint8_t sigma[10][16] = {
		{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
		{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
		{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
		{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
		{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
		{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
		{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
		{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
		{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
		{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
	};
	uint64_t v[16], m[16];

	for (int i = 0; i < 8; i++) {
		v[i] = h[i];
		v[i + 8] = blake_iv[i];
	}
	v[12] ^= done;
	if (last)
		v[14] = ~v[14];
	for (int i = 0; i < 16; i++)
		m[i] = get64(block + 8 * i);
	for (int r = 0; r < 12; r++) {
		const uint8_t *s = sigma[r % 10];

		for (int i = 0; i < 4; i++)
			blake_mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
		for (int i = 0; i < 4; i++)
			blake_mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]],
				  m[s[9 + 2 * i]]);
	}
	for (int i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

static void blake2b(const uint8_t *p, size_t len, uint8_t out[32])
{
	uint64_t h[8], done = 0;
	uint8_t last[128] = { 0 };

	memcpy(h, blake_iv, sizeof h);
	h[0] ^= 0x01010000u ^ 32;
	for (; len > 128; len -= 128, p += 128)
		blake_block(h, p, done += 128, 0);
	memcpy(last, p, len);
	blake_block(h, last, done + len, 1);
	for (int i = 0; i < 4; i++)
		put64(out + 8 * i, h[i]);
}

int gb_csum_compute(unsigned type, const void *data, size_t len, uint8_t out[32])
{
	SHA256_CTX sha;
	uint32_t crc;

	memset(out, 0, 32);
	switch (type) {
	case GB_CSUM_CRC32C:
		crc = htole32(crc32c(data, len));
		memcpy(out, &crc, sizeof crc);
		return 4;
	case GB_CSUM_XXHASH64:
		put64(out, xxhash64(data, len));
		return 8;
	case GB_CSUM_SHA256:
		SHA256_Init(&sha);
		SHA256_Update(&sha, data, len);
		SHA256_Final(out, &sha);
		return 32;
	case GB_CSUM_BLAKE2B:
		blake2b(data, len, out);
		return 32;
	default:
		return -EOPNOTSUPP;
	}
}
