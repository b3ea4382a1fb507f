/*
 * scheme/crc32.c - sixteen bytes at a time: a byte at a time takes longer for a
 * file than to seal it.
 *
 * table[k][b] is what byte b does to the sum when k more bytes follow it, so
 * the sixteen of a step can be looked up without waiting for each other.
 */
#include "lib/scheme/crc32.h"

#include <pthread.h>

#include "lib/base/object.h"

#define POLYNOMIAL	0xedb88320u
#define STEP		16

static uint32_t table[STEP][256];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void
make_table(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t c = b;

		for (int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (POLYNOMIAL & (0u - (c & 1)));
		table[0][b] = c;
	}
	for (int k = 1; k < STEP; k++)
		for (uint32_t b = 0; b < 256; b++)
			table[k][b] = table[k - 1][b] >> 8 ^
			    table[0][table[k - 1][b] & 0xff];
}

static uint32_t
word(const uint8_t *p)
{
	return ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24);
}

/* Four bytes, and so many behind them. */
static uint32_t
four(unsigned behind, uint32_t w)
{
	return (table[behind + 3][w & 0xff] ^ table[behind + 2][w >> 8 & 0xff] ^
	    table[behind + 1][w >> 16 & 0xff] ^ table[behind][w >> 24]);
}

uint32_t
scheme_crc32(const void *in, size_t len)
{
	const uint8_t *p = in;
	uint32_t c = ~(uint32_t)0;

	ensure(pthread_once(&made, make_table) == 0);
	for (; len >= STEP; p += STEP, len -= STEP)
		c = four(12, word(p) ^ c) ^ four(8, word(p + 4)) ^
		    four(4, word(p + 8)) ^ four(0, word(p + 12));
	for (; len != 0; len--)
		c = c >> 8 ^ table[0][(c ^ *p++) & 0xff];
	return (~c);
}
