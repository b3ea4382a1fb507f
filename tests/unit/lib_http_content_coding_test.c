/*
 * tests/unit/lib_http_content_coding_test.c - codings, decoded whole, cut at
 * every byte and byte by byte; broken, cut and swollen ones; both ways.
 *
 * What is decoded here was encoded by others: Python's zlib and gzip, Node's
 * and Python's brotli, zstd's command and its Python module.  Linked with
 * --wrap for free(): blocks are looked at before they go.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/http/content_coding.h"

#define N(a)		(sizeof(a) / sizeof((a)[0]))
#define MIB		((size_t)1 << 20)
#define TEXT_MAX	4096		/* bytes, of the rows' texts */
#define SECRET		'^'	/* each byte of a value, in runs of ... */
#define SECRET_RUN	8	/* ... at least so many */

static const char text[] = "{\"card\":{\"number\":\"4111111111111111\",\"name\":\"Ada\"},"
    "\"note\":\"4111 is not a card\",\"list\":[1.0,1.0,1.0,1.0,1.0]}\n";

/* ---- blocks that are given back ---- */

void __real_free(void *);
void __wrap_free(void *);

/* Blocks freed with a value in them.  Volatile: a compiler knows that free()
 * changes nothing of ours. */
static volatile unsigned leaks;

static bool
has_secret(const char *p, size_t len)
{
	size_t run = 0;

	for (size_t i = 0; i < len && run < SECRET_RUN; i++)
		run = p[i] == SECRET ? run + 1 : 0;
	return (run == SECRET_RUN);
}

void
__wrap_free(void *p)
{
	if (p != NULL && has_secret(p, malloc_usable_size(p)))
		leaks++;
	__real_free(p);
}

/* ---- decode ---- */

static size_t
from_hex(const char *hex, uint8_t *out, size_t size)
{
	size_t len = strlen(hex) / 2;

	assert_true(len <= size);
	assert_int_equal(hex_decode(span_of(hex), out, len), RC_OK);
	return (len);
}

/* A block of its own: a byte read behind it would be seen. */
static enum rc
feed(struct http_decoder *d, const void *p, size_t len, bool last, struct buffer *out)
{
	char *block = malloc(len != 0 ? len : 1);
	enum rc rc;

	assert_non_null(block);
	if (len != 0)
		memcpy(block, p, len);
	rc = http_decoder_feed(d, (struct span){ block, len }, last, out);
	free(block);
	return (rc);
}

/* In two pieces, cut at `at`. */
static enum rc
decode_cut(enum http_coding coding, const uint8_t *in, size_t len, size_t at,
    struct buffer *out)
{
	struct http_decoder *d = http_decoder_new(coding, TEXT_MAX, HTTP_DECODER_RATIO);
	enum rc rc;

	buffer_init(out, 0, true);
	rc = feed(d, in, at, false, out);
	if (rc == RC_MORE)
		rc = feed(d, in + at, len - at, true, out);
	http_decoder_free(&d);
	assert_null(d);
	return (rc);
}

static enum rc
decode_bytes(enum http_coding coding, const uint8_t *in, size_t len,
    struct buffer *out)
{
	struct http_decoder *d = http_decoder_new(coding, TEXT_MAX, HTTP_DECODER_RATIO);
	enum rc rc = RC_MORE;

	buffer_init(out, 0, true);
	for (size_t i = 0; i < len && rc == RC_MORE; i++) {
		rc = feed(d, in + i, 1, false, out);
		if (rc == RC_MORE)
			assert_int_equal(feed(d, NULL, 0, false, out), RC_MORE);
	}
	if (rc == RC_MORE)
		rc = feed(d, NULL, 0, true, out);
	http_decoder_free(&d);
	return (rc);
}

static void
check_text(const struct buffer *out, const char *want, size_t len)
{
	assert_int_equal(buffer_len(out), len);
	if (len != 0)
		assert_memory_equal(buffer_data(out), want, len);
}

static const struct {
	enum http_coding coding;
	const char	*what;
	unsigned	borders;	/* places where a cut leaves a whole */
	const char	*hex;
} rows[] = {
	{ HTTP_CODING_GZIP, "gzip", 0,
	    "1f8b0800000000000203ab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a"
	    "7989b9a94019c79444a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264"
	    "156da867a08386636bb9005dc041c26d000000" },
	{ HTTP_CODING_GZIP, "gzip, every header field", 0,
	    "1f8b081e00f15365020306004142020078796e616d652e6a736f6e006120636f6d6d656e"
	    "7400b62eab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a7989b9a94019"
	    "c79444a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264156da867a083"
	    "86636bb9005dc041c26d000000" },
	{ HTTP_CODING_GZIP, "gzip, three members", 2,
	    "1f8b0800000000000203ab564a4e2c4a51b2aa56020058c7b5220a0000001f8b08000000"
	    "00000203030000000000000000001f8b0800000000000203cb2bcd4d4a2d52b252323144"
	    "054a3a4a7989b9a94019c79444a55a202fbf2415aa4e21b35801c8554854484e2c4a01aa"
	    "ccc92c2e51b28a36d433d041c3b1b55c0044ba106863000000" },
	{ HTTP_CODING_DEFLATE, "zlib", 0,
	    "78daab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a7989b9a94019c794"
	    "44a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264156da867a0838663"
	    "6bb9006a331cb2" },
	{ HTTP_CODING_DEFLATE, "zlib, stored", 0,
	    "7801016d0092ff7b2263617264223a7b226e756d626572223a2234313131313131313131"
	    "313131313131222c226e616d65223a22416461227d2c226e6f7465223a22343131312069"
	    "73206e6f7420612063617264222c226c697374223a5b312e302c312e302c312e302c312e"
	    "302c312e305d7d0a6a331cb2" },
	{ HTTP_CODING_DEFLATE, "zlib, window of 512 bytes", 0,
	    "18d3ab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a7989b9a94019c794"
	    "44a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264156da867a0838663"
	    "6bb9006a331cb2" },
	{ HTTP_CODING_DEFLATE, "raw deflate", 0,
	    "ab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a7989b9a94019c79444a5"
	    "5a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264156da867a08386636bb9"
	    "00" },
	{ HTTP_CODING_DEFLATE, "raw deflate, stored", 0,
	    "016d0092ff7b2263617264223a7b226e756d626572223a22343131313131313131313131"
	    "31313131222c226e616d65223a22416461227d2c226e6f7465223a223431313120697320"
	    "6e6f7420612063617264222c226c697374223a5b312e302c312e302c312e302c312e302c"
	    "312e305d7d0a" },
	{ HTTP_CODING_BR, "br of another encoder run", 0,
	    "1b6c0020ac0bb843c5f26b8d252eab2f1283fd2bd8138ae30899d353646bafc2d28a2628"
	    "7558fa5a0424866e2bc090bd691697982e0532071b70e003e3182f32ea78152ab9d17072"
	    "80b078eeb039a0904c611cfaa5ad43ec23dc8fa6e001" },
	{ HTTP_CODING_BR, "br, stored", 0,
	    "0b36807b2263617264223a7b226e756d626572223a223431313131313131313131313131"
	    "3131222c226e616d65223a22416461227d2c226e6f7465223a2234313131206973206e6f"
	    "7420612063617264222c226c697374223a5b312e302c312e302c312e302c312e302c312e"
	    "305d7d0a03" },
	{ HTTP_CODING_BR, "br, largest window", 0,
	    "1f6c000004226f5d49bfcb3ff39bf44dc926d8080245344e39708ab216c5dde578d17bca"
	    "8222146642b1ef7a142ffe50179c6cfc514edf13a78cce57460df08eac2b2fcb51a2ac1c"
	    "543879b59814693f00" },
	{ HTTP_CODING_ZSTD, "zstd", 0,
	    "28b52ffd206d75020032440f1680c90d4b4366b86e8a8c2f4ca46adef38858da58d23ae5"
	    "15190086d0774bc813177b31b684bdf8f9be67b81ea9e5e78d703d43864af84e7fd81e77"
	    "0105007b7f25342eb540cc95950113" },
	{ HTTP_CODING_ZSTD, "zstd of the command, with a checksum", 0,
	    "28b52ffd04684d020042840e1290cf01522e86c2e008728991c2cc89cc549420a7300441"
	    "e6b63ef8d0aaed945d5f3b3be543be6ae7e62e2af970526e4edd8a571e9b37aad8710400"
	    "7b7f25347429979501136bd1ab97" },
	{ HTTP_CODING_ZSTD, "zstd, frames and a skippable one", 5,
	    "5a2a4d180300000061626328b52ffd20325d010044027b2263617264223a7b226e756d62"
	    "6572223a223431222c226e616d65223a22416461227d010065c0045a2a4d180300000061"
	    "626328b52ffd200001000028b52ffd203b9d0100c4022c226e6f7465223a223431313120"
	    "6973206e6f7420612063617264222c226c697374223a5b312e302c5d7d0a0100b973655a"
	    "2a4d1803000000616263" },
	{ HTTP_CODING_ZSTD, "zstd, no size, window of 8 MiB", 0,
	    "28b52ffd00686d020042840f1790b56d824201ee0dd9975e33f9e7569663be5992992940"
	    "413b70108a91ef7500c7d3ebc4b7ce6d273eb6ab299e5fa47c7c219e578ba0009fe58dd2"
	    "e42c04007b7f2534742997950113" },
};

static void
test_every_split(void **state)
{
	uint8_t in[TEXT_MAX];
	struct buffer out;

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		size_t len = from_hex(rows[i].hex, in, sizeof(in));

		for (size_t at = 0; at <= len; at++) {
			if (decode_cut(rows[i].coding, in, len, at, &out) != RC_OK)
				fail_msg("%s, cut at %zu", rows[i].what, at);
			check_text(&out, text, sizeof(text) - 1);
			buffer_fini(&out);
		}
		assert_int_equal(decode_bytes(rows[i].coding, in, len, &out), RC_OK);
		check_text(&out, text, sizeof(text) - 1);
		buffer_fini(&out);
	}
}

/* What is short of its end is broken, but where members meet. */
static void
test_truncated(void **state)
{
	uint8_t in[TEXT_MAX];
	struct buffer out;

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		size_t len = from_hex(rows[i].hex, in, sizeof(in));
		unsigned whole = 0;

		for (size_t to = 0; to < len; to++) {
			enum rc rc = decode_cut(rows[i].coding, in, to, to, &out);

			whole += rc == RC_OK ? 1 : 0;
			if (rc != RC_OK && rc != RC_SYNTAX)
				fail_msg("%s, cut to %zu: %s", rows[i].what, to, rc_name(rc));
			assert_true(buffer_len(&out) <= sizeof(text) - 1);
			if (buffer_len(&out) != 0)
				assert_memory_equal(buffer_data(&out), text, buffer_len(&out));
			buffer_fini(&out);
		}
		if (whole != rows[i].borders)
			fail_msg("%s: %u cuts passed", rows[i].what, whole);
	}
}

/* A flipped bit: an error, or, where no checksum sees it, some other text. */
static void
test_bit_flips(void **state)
{
	uint8_t in[TEXT_MAX];
	struct buffer out, again;
	unsigned broken = 0, other = 0;

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		size_t len = from_hex(rows[i].hex, in, sizeof(in));

		for (size_t bit = 0; bit < len * 8; bit++) {
			enum rc rc;

			in[bit / 8] ^= (uint8_t)(1u << bit % 8);
			rc = decode_cut(rows[i].coding, in, len, len / 2, &out);
			assert_true(rc == RC_OK || rc == RC_SYNTAX || rc == RC_LIMIT);
			broken += rc == RC_OK ? 0 : 1;
			other += rc == RC_OK ? 1 : 0;
			if (bit % 7 == 0) {	/* each is slow */
				assert_int_equal(decode_bytes(rows[i].coding, in, len,
				    &again), rc);
				if (rc == RC_OK)
					check_text(&again, buffer_data(&out),
					    buffer_len(&out));
				buffer_fini(&again);
			}
			buffer_fini(&out);
			in[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
	assert_true(broken > other);
}

static const struct {
	enum http_coding coding;
	const char	*hex;
} empty[] = {
	{ HTTP_CODING_GZIP, "1f8b080000000000020303000000000000000000" },
	{ HTTP_CODING_DEFLATE, "789c030000000001" },
	{ HTTP_CODING_DEFLATE, "0300" },
	{ HTTP_CODING_BR, "3b" },
	{ HTTP_CODING_ZSTD, "28b52ffd2000010000" },
	{ HTTP_CODING_ZSTD, "5a2a4d1803000000616263" },
	{ HTTP_CODING_IDENTITY, "" },
};

static void
test_empty(void **state)
{
	uint8_t in[TEXT_MAX];
	struct buffer out;

	(void)state;
	for (size_t i = 0; i < N(empty); i++) {
		size_t len = from_hex(empty[i].hex, in, sizeof(in));

		assert_int_equal(decode_cut(empty[i].coding, in, len, len / 2, &out), RC_OK);
		assert_int_equal(buffer_len(&out), 0);
		buffer_fini(&out);
		assert_int_equal(decode_bytes(empty[i].coding, in, len, &out), RC_OK);
		assert_int_equal(buffer_len(&out), 0);
		buffer_fini(&out);
	}
}

static const struct {
	enum http_coding coding;
	enum rc		rc;
	const char	*what;
	const char	*hex;
} bad[] = {
	{ HTTP_CODING_GZIP, RC_SYNTAX, "gzip, wrong CRC",
	    "1f8b0800000000000203ab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a"
	    "7989b9a94019c79444a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264"
	    "156da867a08386636bb9005cc041c26d000000" },
	{ HTTP_CODING_GZIP, RC_SYNTAX, "gzip, wrong length",
	    "1f8b0800000000000203ab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a"
	    "7989b9a94019c79444a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264"
	    "156da867a08386636bb9005dc041c26d000080" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "zlib, wrong Adler",
	    "789cab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a7989b9a94019c794"
	    "44a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264156da867a0838663"
	    "6bb9006a331cb3" },
	{ HTTP_CODING_GZIP, RC_SYNTAX, "gzip, method 7",
	    "1f8b0700000000000203ab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a"
	    "7989b9a94019c79444a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264"
	    "156da867a08386636bb9005dc041c26d000000" },
	{ HTTP_CODING_GZIP, RC_SYNTAX, "gzip, reserved flag",
	    "1f8b0880000000000203ab564a4e2c4a51b2aa56ca2bcd4d4a2d52b252323144054a3a4a"
	    "7989b9a94019c79444a55a202fbf2415aa4e21b35801c8554854001ba3a39493595ca264"
	    "156da867a08386636bb9005dc041c26d000000" },
	{ HTTP_CODING_GZIP, RC_SYNTAX, "gzip, header CRC",
	    "1f8b081e00f15365020306004142020078796e616d652e6a736f6e006120636f6d6d656e"
	    "7400b72e03000000000000000000" },
	{ HTTP_CODING_GZIP, RC_SYNTAX, "a zlib text called gzip",
	    "789c4b040000620062" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "a gzip text called deflate",
	    "1f8b08000000000002034b040043beb7e801000000" },
	{ HTTP_CODING_GZIP, RC_SYNTAX, "gzip, zeros behind it",
	    "1f8b08000000000002034b040043beb7e8010000000000" },
	{ HTTP_CODING_GZIP, RC_SYNTAX, "gzip, half a member behind it",
	    "1f8b08000000000002034b040043beb7e8010000001f8b08000000000002" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "zlib, a byte behind it",
	    "789c4b04000062006200" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "zlib twice",
	    "789c4b040000620062789c4b040000620062" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "raw deflate, a byte behind it",
	    "4b040000" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "zlib that needs a dictionary",
	    "78f9190b0444ab564a067294acaa95207c252b25134354a0a4a39497989b" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "deflate, no such block",
	    "0700" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "deflate, one byte",
	    "78" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "deflate, distance too far back",
	    "63001205" },
	{ HTTP_CODING_BR, RC_SYNTAX, "br, a byte behind it",
	    "0b0080610300" },
	{ HTTP_CODING_BR, RC_SYNTAX, "br twice",
	    "0b008061030b00806103" },
	{ HTTP_CODING_BR, RC_SYNTAX, "br, large window",
	    "1119000000" },
	{ HTTP_CODING_BR, RC_SYNTAX, "br of text",
	    "7b2261223a2262227d" },
	{ HTTP_CODING_ZSTD, RC_SYNTAX, "zstd, a byte behind it",
	    "28b52ffd20010900006100" },
	{ HTTP_CODING_ZSTD, RC_SYNTAX, "zstd, wrong checksum",
	    "28b52ffd04586d020042840f1790b56d824201ee0dd9975e33f9e7569663be5992992940"
	    "413b70108a91ef7500c7d3ebc4b7ce6d273eb6ab299e5fa47c7c219e578ba0009fe58dd2"
	    "e42c04007b7f25347429979501136bd1ab96" },
	{ HTTP_CODING_ZSTD, RC_SYNTAX, "zstd that needs a dictionary",
	    "28b52ffd23c4a058736d3d0000000100ca9a1a20" },
	{ HTTP_CODING_ZSTD, RC_SYNTAX, "zstd of before RFC 8878, 0.5",
	    "25b52ffd00000000" },
	{ HTTP_CODING_ZSTD, RC_SYNTAX, "zstd, 0.7",
	    "27b52ffd00000000" },
	{ HTTP_CODING_ZSTD, RC_LIMIT, "zstd, window of 16 MiB",
	    "28b52ffd007009000061" },
	{ HTTP_CODING_GZIP, RC_SYNTAX, "nothing",
	    "" },
	{ HTTP_CODING_DEFLATE, RC_SYNTAX, "nothing",
	    "" },
	{ HTTP_CODING_BR, RC_SYNTAX, "nothing",
	    "" },
	{ HTTP_CODING_ZSTD, RC_SYNTAX, "nothing",
	    "" },
};

static void
test_broken(void **state)
{
	uint8_t in[TEXT_MAX];
	struct buffer out;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		size_t len = from_hex(bad[i].hex, in, sizeof(in));
		enum rc rc;

		for (size_t at = 0; at <= len; at++) {
			rc = decode_cut(bad[i].coding, in, len, at, &out);
			if (rc != bad[i].rc)
				fail_msg("%s, cut at %zu: %s", bad[i].what, at, rc_name(rc));
			buffer_fini(&out);
		}
		assert_int_equal(decode_bytes(bad[i].coding, in, len, &out), bad[i].rc);
		buffer_fini(&out);
	}
}

/* Its end stands: more is too much, an error stays one. */
static void
test_after_the_end(void **state)
{
	struct http_decoder *d = http_decoder_new(HTTP_CODING_BR, 10, HTTP_DECODER_RATIO);
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(feed(d, "\x0b\x00\x80\x61\x03", 5, true, &out), RC_OK);
	check_text(&out, "a", 1);
	assert_int_equal(feed(d, NULL, 0, true, &out), RC_OK);
	assert_int_equal(feed(d, "x", 1, true, &out), RC_SYNTAX);
	http_decoder_free(&d);
	d = http_decoder_new(HTTP_CODING_GZIP, 10, HTTP_DECODER_RATIO);
	assert_int_equal(feed(d, "xy", 2, false, &out), RC_SYNTAX);
	assert_int_equal(feed(d, "\x1f\x8b", 2, false, &out), RC_SYNTAX);
	http_decoder_free(&d);
	buffer_fini(&out);
}

/* ---- limits ---- */

/* 10 MiB of zeros, as others shrink them. */
static const char br_bomb[] =
	    "cbffff3ff82700e2b14020f7fe2fffff3ff04f00c4611180eefd07";
static const char zstd_bomb[] =
	    "28b52ffd80580000a0005400001000000100fbff39c00202001000020010000200100002"
	    "001000020010000200100002001000020010000200100002001000020010000200100002"
	    "001000020010000200100002001000020010000200100002001000020010000200100002"
	    "001000020010000200100002001000020010000200100002001000020010000200100002"
	    "001000020010000200100002001000020010000200100002001000020010000200100002"
	    "001000020010000200100002001000020010000200100002001000020010000200100002"
	    "001000020010000200100002001000020010000200100002001000020010000200100002"
	    "001000020010000200100002001000020010000200100002001000020010000200100002"
	    "001000020010000200100002001000020010000200100002001000020010000200100002"
	    "001000020010000200100003001000";

static void
encode(enum http_coding coding, const void *p, size_t len, size_t piece,
    struct buffer *out)
{
	struct http_encoder *e = http_encoder_new(coding);
	const char *in = p;
	size_t n;

	buffer_init(out, 0, true);
	do {
		n = len < piece ? len : piece;
		assert_int_equal(http_encoder_feed(e, (struct span){ in, n },
		    n == len, out), n == len ? RC_OK : RC_MORE);
		in += n;
		len -= n;
	} while (len != 0);
	http_encoder_free(&e);
	assert_null(e);
}

/* Refused long before it fills the memory, whatever the pieces. */
static void
explode(enum http_coding coding, const struct buffer *in, size_t piece)
{
	struct http_decoder *d = http_decoder_new(coding, 64 * MIB, HTTP_DECODER_RATIO);
	struct buffer out;
	size_t len = buffer_len(in), i = 0, n;
	enum rc rc = RC_MORE;

	buffer_init(&out, 0, false);
	for (; rc == RC_MORE; i += n) {
		n = len - i < piece ? len - i : piece;
		rc = feed(d, buffer_data(in) + i, n, i + n == len, &out);
	}
	if (rc != RC_LIMIT)
		fail_msg("%s: %s", http_coding_name(coding), rc_name(rc));
	assert_true(buffer_len(&out) <= HTTP_DECODER_FREE_BYTES +
	    HTTP_DECODER_RATIO * len + 16384);
	assert_true(http_decoder_held(d) < 20 * MIB);
	assert_int_equal(feed(d, NULL, 0, true, &out), RC_LIMIT);
	http_decoder_free(&d);
	buffer_fini(&out);
}

static void
test_bombs(void **state)
{
	char *zeros = calloc(1, 10 * MIB);
	uint8_t hex[TEXT_MAX];
	struct buffer in;

	(void)state;
	assert_non_null(zeros);
	for (unsigned coding = HTTP_CODING_GZIP; coding < HTTP_CODINGS; coding++) {
		encode((enum http_coding)coding, zeros, 10 * MIB, 10 * MIB, &in);
		explode((enum http_coding)coding, &in, 1);
		explode((enum http_coding)coding, &in, buffer_len(&in));
		buffer_fini(&in);
	}
	buffer_init(&in, 0, false);
	buffer_put(&in, hex, from_hex(br_bomb, hex, sizeof(hex)));
	explode(HTTP_CODING_BR, &in, buffer_len(&in));
	buffer_clear(&in);
	buffer_put(&in, hex, from_hex(zstd_bomb, hex, sizeof(hex)));
	explode(HTTP_CODING_ZSTD, &in, 1);
	buffer_fini(&in);
	free(zeros);
}

/* Small ones swell as they like. */
static void
test_free_bytes(void **state)
{
	char *zeros = calloc(1, HTTP_DECODER_FREE_BYTES);

	(void)state;
	assert_non_null(zeros);
	for (unsigned coding = HTTP_CODING_GZIP; coding < HTTP_CODINGS; coding++) {
		struct http_decoder *d = http_decoder_new((enum http_coding)coding, MIB, 1);
		struct buffer in, out;

		buffer_init(&out, 0, false);
		encode((enum http_coding)coding, zeros, HTTP_DECODER_FREE_BYTES, MIB, &in);
		assert_int_equal(feed(d, buffer_data(&in), buffer_len(&in), true, &out),
		    RC_OK);
		assert_int_equal(buffer_len(&out), HTTP_DECODER_FREE_BYTES);
		http_decoder_free(&d);
		buffer_fini(&in);
		buffer_fini(&out);
	}
	free(zeros);
}

/* To the byte; and not a byte more comes out. */
static void
test_max_bytes(void **state)
{
	uint8_t in[TEXT_MAX];
	size_t len = sizeof(text) - 1;

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		size_t in_len = from_hex(rows[i].hex, in, sizeof(in));

		for (size_t max = len - 2; max <= len; max++) {
			struct http_decoder *d = http_decoder_new(rows[i].coding, max,
			    HTTP_DECODER_RATIO);
			struct buffer out;

			buffer_init(&out, 0, true);
			assert_int_equal(feed(d, in, in_len, true, &out),
			    max < len ? RC_LIMIT : RC_OK);
			assert_true(buffer_len(&out) <= max);
			http_decoder_free(&d);
			buffer_fini(&out);
		}
	}
}

/* ---- there and back ---- */

static void
round_trip(enum http_coding coding, const char *p, size_t len, size_t piece)
{
	struct http_decoder *d = http_decoder_new(coding, len, HTTP_DECODER_RATIO);
	struct buffer in, out;

	buffer_init(&out, 0, true);
	encode(coding, p, len, piece, &in);
	if (coding != HTTP_CODING_IDENTITY && piece >= 1000)
		assert_true(buffer_len(&in) < len);
	assert_int_equal(feed(d, buffer_data(&in), buffer_len(&in) / 3, false, &out),
	    RC_MORE);
	assert_int_equal(feed(d, buffer_data(&in) + buffer_len(&in) / 3,
	    buffer_len(&in) - buffer_len(&in) / 3, true, &out), RC_OK);
	check_text(&out, p, len);
	http_decoder_free(&d);
	buffer_fini(&in);
	buffer_fini(&out);
}

static void
test_round_trips(void **state)
{
	size_t len = 3 * MIB;
	char *p = malloc(len);
	unsigned x = 1;

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < len; i++) {
		x = x * 1103515245 + 12345;
		p[i] = text[(i + (x >> 28)) % (sizeof(text) - 1)];
	}
	for (unsigned coding = 0; coding < HTTP_CODINGS; coding++) {
		round_trip((enum http_coding)coding, p, len, len);
		round_trip((enum http_coding)coding, p, len, 16384);
		round_trip((enum http_coding)coding, p, 500, 1);
		round_trip((enum http_coding)coding, p, 0, 1);
	}
	free(p);
}

/* A reader has all that was fed: an encoder that keeps bytes back would make
 * two sides wait for each other. */
static void
test_nothing_is_held_back(void **state)
{
	(void)state;
	for (unsigned coding = 0; coding < HTTP_CODINGS; coding++) {
		struct http_encoder *e = http_encoder_new((enum http_coding)coding);
		struct http_decoder *d = http_decoder_new((enum http_coding)coding, MIB,
		    HTTP_DECODER_RATIO);
		struct buffer in, out;

		buffer_init(&in, 0, true);
		buffer_init(&out, 0, true);
		for (size_t i = 0; i < sizeof(text) - 1; i++) {
			assert_int_equal(http_encoder_feed(e, (struct span){ text + i, 1 },
			    false, &in), RC_MORE);
			assert_int_equal(feed(d, buffer_data(&in), buffer_len(&in), false,
			    &out), RC_MORE);
			buffer_clear(&in);
			check_text(&out, text, i + 1);
		}
		assert_int_equal(http_encoder_feed(e, (struct span){ NULL, 0 }, true, &in),
		    RC_OK);
		assert_int_equal(feed(d, buffer_data(&in), buffer_len(&in), true, &out),
		    RC_OK);
		check_text(&out, text, sizeof(text) - 1);
		assert_true(http_encoder_held(e) < 16 * MIB);
		http_encoder_free(&e);
		http_decoder_free(&d);
		buffer_fini(&in);
		buffer_fini(&out);
	}
}

/* ---- wiping ---- */

/* Windows of text in a library's memory are wiped, also when it is left in the
 * middle of its work. */
static void
test_states_are_wiped(void **state)
{
	size_t len = 300000;
	char *p = malloc(len);
	struct buffer in, out;

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < len; i++)
		p[i] = i / 20 % 3 != 0 ? SECRET : (char)(i * i / 7);
	for (unsigned coding = HTTP_CODING_GZIP; coding < HTTP_CODINGS; coding++) {
		struct http_decoder *d = http_decoder_new((enum http_coding)coding, MIB,
		    HTTP_DECODER_RATIO);

		leaks = 0;
		encode((enum http_coding)coding, p, len, len / 2, &in);
		buffer_init(&out, 0, true);
		assert_int_equal(http_decoder_feed(d, (struct span){ buffer_data(&in),
		    buffer_len(&in) / 2 }, false, &out), RC_MORE);
		/* Its memory is ours. */
		assert_true(http_decoder_held(d) > 30000);
		http_decoder_free(&d);
		buffer_fini(&in);
		buffer_fini(&out);
		assert_int_equal(leaks, 0);
	}
	leaks = 0;
	free(p);
	assert_int_equal(leaks, 1);	/* it would have been seen */
}

/* ---- names ---- */

static void
test_names(void **state)
{
	static const struct {
		const char	*value;
		enum rc		rc;
		enum http_coding coding;
	} table[] = {
		{ "identity", RC_OK, HTTP_CODING_IDENTITY },
		{ "gzip", RC_OK, HTTP_CODING_GZIP },
		{ "X-GZip", RC_OK, HTTP_CODING_GZIP },
		{ "Deflate", RC_OK, HTTP_CODING_DEFLATE },
		{ "br", RC_OK, HTTP_CODING_BR },
		{ "ZSTD", RC_OK, HTTP_CODING_ZSTD },
		{ ", gzip ,", RC_OK, HTTP_CODING_GZIP },
		{ "", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
		{ "gzip, br", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
		{ "gzip, gzip", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
		{ "gzip;q=1", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
		{ "gzi", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
		{ "compress", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
		{ "dcb", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
		{ "*", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
	};
	enum http_coding coding;

	(void)state;
	for (size_t i = 0; i < N(table); i++) {
		coding = HTTP_CODING_BR;
		if (http_coding_parse(span_of(table[i].value), &coding) != table[i].rc)
			fail_msg("%s", table[i].value);
		assert_int_equal(coding, table[i].coding);
	}
	for (unsigned i = 0; i < HTTP_CODINGS; i++) {
		assert_int_equal(http_coding_parse(span_of(
		    http_coding_name((enum http_coding)i)), &coding), RC_OK);
		assert_int_equal(coding, i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_after_the_end),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_free_bytes),
		cmocka_unit_test(test_max_bytes),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_nothing_is_held_back),
		cmocka_unit_test(test_states_are_wiped),
		cmocka_unit_test(test_names),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
