/* lib/scheme/file.c and crc32.c: the layout, strict; what is printed reads
 * back; the checksum against a plain one.  (Published files: e3_file_test.c.) */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lib/scheme/crc32.h"
#include "lib/scheme/file.h"

#define FILE_MAX	256

/* ---- checksum ---- */

static uint32_t
plain_crc32(const uint8_t *p, size_t len)
{
	uint32_t c = ~(uint32_t)0;

	for (; len != 0; len--) {
		c ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			c = (c & 1) != 0 ? c >> 1 ^ 0xedb88320u : c >> 1;
	}
	return (~c);
}

static void
test_checksum(void **state)
{
	uint8_t in[64 + 8];

	(void)state;
	assert_int_equal(scheme_crc32("123456789", 9), 0xcbf43926u);
	assert_int_equal(scheme_crc32("", 0), 0);
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 37 + 11);
	for (size_t at = 0; at < 8; at++)
		for (size_t n = 0; n <= 64; n++)
			assert_int_equal(scheme_crc32(in + at, n),
			    plain_crc32(in + at, n));
}

/* ---- files made here, byte by byte ---- */

static void
put_u16(uint8_t *p, size_t n)
{
	p[0] = (uint8_t)n;
	p[1] = (uint8_t)(n >> 8);
}

static size_t
make(unsigned version, size_t data, size_t metadata, uint8_t out[FILE_MAX])
{
	size_t n = 55;
	uint32_t sum;

	memset(out, 0xa5, FILE_MAX);
	memcpy(out, "%EVENC", 6);
	out[6] = (uint8_t)version;
	put_u16(out + 7, version < 4 ? 55 : 57 + metadata);
	out[9] = 3;
	out[54] = 0;
	if (version >= 4) {
		put_u16(out + 55, metadata);
		n += 2 + metadata;
	}
	n += data;
	if (version >= 2) {
		sum = plain_crc32(out, n);
		for (int i = 0; i < 4; i++)
			out[n++] = (uint8_t)(sum >> 8 * i);
	}
	return (n);
}

/* A copy of exactly this length, so that a read behind it is seen. */
static enum rc
parse(const uint8_t *in, size_t n, struct scheme_file *f)
{
	uint8_t *copy = test_malloc(n + 1);
	enum rc rc;

	memcpy(copy + 1, in, n);
	rc = scheme_file_parse((struct span){ (const char *)copy + 1, n }, f);
	if (rc == RC_OK) {	/* offsets in place of views */
		f->data.p -= (uintptr_t)(copy + 1);
		if (f->metadata.p != NULL)
			f->metadata.p -= (uintptr_t)(copy + 1);
	}
	test_free(copy);
	return (rc);
}

static void
test_versions(void **state)
{
	uint8_t in[FILE_MAX];
	struct scheme_file f;

	(void)state;
	for (unsigned v = 0; v < SCHEME_FILE_VERSIONS; v++) {
		const size_t m = v >= 4 ? 42 : 0;
		const size_t head = v >= 4 ? 57 + m : 55;

		for (size_t data = 0; data < 40; data++) {
			size_t n = make(v, data, m, in);

			if (data < 16) {
				assert_int_equal(parse(in, n, &f), RC_SYNTAX);
				continue;
			}
			assert_int_equal(parse(in, n, &f), RC_OK);
			assert_int_equal(f.version, v);
			assert_false(f.debug);
			assert_int_equal((uintptr_t)f.data.p, head);
			assert_int_equal(f.data.len, data);
			assert_int_equal(f.metadata.len, m);
			if (m != 0)
				assert_int_equal((uintptr_t)f.metadata.p, 57);
			assert_memory_equal(f.ephemeral, in + 9, 33);
			assert_memory_equal(f.iv, in + 42, 12);
		}
	}
}

/* Cut anywhere, it is no file, or its checksum says so; where there is none,
 * the data is shorter and its tag will not fit. */
static void
test_every_cut(void **state)
{
	uint8_t in[FILE_MAX];
	struct scheme_file f;

	(void)state;
	for (unsigned v = 0; v < SCHEME_FILE_VERSIONS; v++) {
		size_t n = make(v, 24, 20, in);

		for (size_t cut = 0; cut < n; cut++) {
			enum rc rc = parse(in, cut, &f);

			if (v >= 2)
				assert_int_not_equal(rc, RC_OK);
			else if (cut < 55 + 16)
				assert_int_equal(rc, RC_SYNTAX);
			else
				assert_int_equal(f.data.len, cut - 55);
			if (cut < 6)
				assert_false(scheme_file_begins((struct span){
				    (const char *)in, cut }));
		}
	}
}

/* A bit off: seen in every byte under a checksum, and in every byte of the
 * head that says where things are. */
static void
test_every_bit(void **state)
{
	uint8_t in[FILE_MAX];
	struct scheme_file f;

	(void)state;
	for (unsigned v = 0; v < SCHEME_FILE_VERSIONS; v++) {
		size_t n = make(v, 24, 20, in);

		for (size_t bit = 0; bit < 8 * n; bit++) {
			size_t at = bit / 8;
			bool other, debug = at == 54 && bit % 8 == 0;
			enum rc rc;

			in[at] ^= (uint8_t)(1 << bit % 8);
			rc = parse(in, n, &f);
			/* 0 and 1 have no checksum: the tag will tell. */
			other = v < 4 && at == 6 && in[6] < 2;
			if ((v >= 2 && !other) || at < 6 || (at == 6 && !other) ||
			    (at > 6 && at < 9) || (at == 54 && !debug) ||
			    (at == 9 && bit % 8 != 0))
				assert_int_not_equal(rc, RC_OK);
			else
				assert_int_equal(rc, RC_OK);
			if (rc == RC_OK)
				assert_int_equal(f.debug, debug);
			in[at] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

/* Good checksums over what cannot be meant. */
static void
test_lengths_that_disagree(void **state)
{
	static const struct {
		unsigned	version;
		size_t		offset, metadata, data;
		enum rc		want;
	} cases[] = {
		{ 3, 55, 0, 20, RC_OK }, { 3, 54, 0, 20, RC_SYNTAX },
		{ 3, 56, 0, 20, RC_SYNTAX }, { 3, 0, 0, 20, RC_SYNTAX },
		{ 3, 65535, 0, 20, RC_SYNTAX },
		{ 5, 57 + 16, 16, 20, RC_OK },
		{ 5, 57 + 15, 15, 20, RC_SYNTAX },
		{ 5, 57, 0, 40, RC_SYNTAX }, { 5, 55, 16, 40, RC_SYNTAX },
		{ 5, 57 + 17, 16, 40, RC_SYNTAX },
		{ 5, 57 + 15, 16, 40, RC_SYNTAX },
		{ 5, 57 + 16, 16, 16, RC_OK },
		{ 5, 57 + 16, 16, 15, RC_SYNTAX },
		{ 6, 55, 0, 20, RC_SYNTAX }, { 255, 55, 0, 20, RC_SYNTAX },
	};
	uint8_t in[FILE_MAX];
	struct scheme_file f;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = make(cases[i].version, cases[i].data,
		    cases[i].metadata, in);
		uint32_t sum;

		put_u16(in + 7, cases[i].offset);
		sum = plain_crc32(in, n - 4);
		for (int b = 0; b < 4; b++)
			in[n - 4 + (size_t)b] = (uint8_t)(sum >> 8 * b);
		if (parse(in, n, &f) != cases[i].want)
			fail_msg("case %zu", i);
	}
	/* More metadata than there are bytes. */
	memset(in, 0, sizeof(in));
	(void)make(5, 20, 16, in);
	put_u16(in + 55, 60000);
	put_u16(in + 7, 60057);
	assert_int_equal(parse(in, 55 + 2 + 36 + 4, &f), RC_SYNTAX);
}

static void
test_printed_reads_back(void **state)
{
	static const enum rpc_curve curves[] = { RPC_CURVE_R1, RPC_CURVE_K1 };
	uint8_t want[FILE_MAX], out[FILE_MAX];
	struct scheme_file f;

	(void)state;
	for (unsigned c = 0; c < 2; c++) {
		uint8_t v = scheme_file_written(curves[c]);

		assert_int_equal(scheme_file_format(v)->curve, curves[c]);
		assert_true(scheme_file_format(v)->checksum);
		assert_false(scheme_file_format(v)->metadata);
		for (size_t value = 0; value < 20; value++) {
			size_t n = make(v, value + 16, 0, want);

			assert_int_equal(scheme_file_len(value), n);
			assert_int_equal(parse(want, n, &f), RC_OK);
			memset(out, 0, sizeof(out));
			scheme_file_print_head(&f, out);
			memcpy(out + 55, want + 55, value + 16);
			scheme_file_print_end(out, n);
			assert_memory_equal(out, want, n);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_lengths_that_disagree),
		cmocka_unit_test(test_printed_reads_back),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
