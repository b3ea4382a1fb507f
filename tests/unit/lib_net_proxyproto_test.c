/* tests/unit/lib_net_proxyproto_test.c - PROXY headers, whole and cut. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/net/proxyproto.h"

#define SIGNATURE	"\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_BYTES	12
#define IPV4		"\xc0\0\2\1" "\xc6\x33\x64\7" "\xdc\4" "\1\xbb"
#define IPV6		"\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"		\
			"\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2" "\xdc\4" "\1\xbb"

static const struct net_proxyproto nothing;

static enum rc
read_bytes(const void *in, size_t len, struct net_proxyproto *out)
{
	/* Exactly as much memory as there is input. */
	unsigned char *copy = test_malloc(len == 0 ? 1 : len);
	enum rc rc;

	memset(out, 0xee, sizeof(*out));
	memcpy(copy, in, len);
	rc = net_proxyproto_read(copy, len, out);
	test_free(copy);
	if (rc != RC_OK)
		assert_memory_equal(out, &nothing, sizeof(nothing));
	return (rc);
}

/* NULL: no client. */
static void
check_client(const struct net_proxyproto *h, const char *want)
{
	char text[NET_ADDR_TEXT_BYTES];

	assert_int_equal(h->has_client, want != NULL);
	if (want == NULL)
		return;
	net_addr_format(&h->client, text);
	assert_string_equal(text, want);
}

/* Whole, cut at each byte, and with TLS behind it. */
static void
check_whole(const char *in, size_t len, const char *client)
{
	static const char more[] = "\x16\3\1\2\0\1\0";
	char longer[NET_PROXYPROTO_BYTES_MAX + sizeof(more)];
	struct net_proxyproto h;

	for (size_t cut = 0; cut < len; cut++)
		if (read_bytes(in, cut, &h) != RC_MORE)
			fail_msg("%.20s: not waited for at %zu", in, cut);
	if (read_bytes(in, len, &h) != RC_OK)
		fail_msg("%.*s: refused", (int)len, in);
	assert_int_equal(h.bytes, len);
	check_client(&h, client);
	memcpy(longer, in, len);
	memcpy(longer + len, more, sizeof(more));
	for (size_t i = 1; i <= sizeof(more); i++) {
		assert_int_equal(read_bytes(longer, len + i, &h), RC_OK);
		assert_int_equal(h.bytes, len);
		check_client(&h, client);
	}
}

/* Waited for up to `told` bytes, refused from there on. */
static void
check_broken(const char *in, size_t len, size_t told, enum rc want)
{
	struct net_proxyproto h;

	for (size_t cut = 0; cut <= len; cut++) {
		enum rc rc = read_bytes(in, cut, &h);

		if (rc != (cut < told ? RC_MORE : want))
			fail_msg("%.*s: %s at %zu", (int)len, in, rc_name(rc),
			    cut);
	}
}

static void
test_v1(void **state)
{
	static const struct {
		const char	*in, *client;
	} rows[] = {
		{ "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n",
		    "192.0.2.1:56324" },
		{ "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
		    "255.255.255.255:65535" },
		{ "PROXY TCP4 10.0.0.1 10.0.0.2 0 0\r\n", "10.0.0.1:0" },
		{ "PROXY TCP6 2001:db8::1 2001:DB8::2 56324 443\r\n",
		    "[2001:db8::1]:56324" },
		{ "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
		    "[::ffff:192.0.2.1]:1" },
		{ "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
		{ "PROXY UNKNOWN\r\n", NULL },
		{ "PROXY UNKNOWN \r\n", NULL },
		{ "PROXY UNKNOWN  what \r ever \r\n", NULL },
		/* the longest there is */
		{ "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		    NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_whole(rows[i].in, strlen(rows[i].in), rows[i].client);
	assert_int_equal(strlen(rows[9].in), 107);
}

static void
test_v1_broken_line(void **state)
{
	static const char *const rows[] = {
		"PROXY \r\n",
		"PROXY  TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP4 \r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1 \r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n",
		"PROXY TCP4  192.0.2.1 198.51.100.7 1 2\r\n",
		"PROXY TCP4 192.0.2.1  198.51.100.7 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7  1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1  2\r\n",
		"PROXY TCP4\t192.0.2.1 198.51.100.7 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1 00\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 65536 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 18446744073709551617 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 -1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 +1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 0x1 2\r\n",
		"PROXY TCP4 192.0.2.01 198.51.100.7 1 2\r\n",
		"PROXY TCP4 192.0.2.256 198.51.100.7 1 2\r\n",
		"PROXY TCP4 192.0.2 198.51.100.7 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100 1 2\r\n",
		"PROXY TCP4 ::1 198.51.100.7 1 2\r\n",
		"PROXY TCP4 192.0.2.1 ::1 1 2\r\n",
		"PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
		"PROXY TCP6 ::1 192.0.2.1 1 2\r\n",
		"PROXY TCP6 [::1] ::1 1 2\r\n",
		"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
		"PROXY TCP6 ::1::2 ::1 1 2\r\n",
		"PROXY TCP6 12345::1 ::1 1 2\r\n",
		"PROXY TCP4 client.test 198.51.100.7 1 2\r\n",
		"PROXY TCP5 192.0.2.1 198.51.100.7 1 2\r\n",
		"PROXY tcp4 192.0.2.1 198.51.100.7 1 2\r\n",
		"PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
		"PROXY UNKNOWNS\r\n",
		"PROXY unknown\r\n",
		"PROXY \n",
		"PROXY UNKNOWN\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n",
		"PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r\r\n",
	};
	/* A C string would end at the good address. */
	static const char with_nul[] =
	    "PROXY TCP4 192.0.2.1\0 198.51.100.7 1 2\r\n";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_broken(rows[i], strlen(rows[i]), strlen(rows[i]),
		    RC_SYNTAX);
	check_broken(with_nul, sizeof(with_nul) - 1, sizeof(with_nul) - 1,
	    RC_SYNTAX);
}

static void
test_v1_too_long(void **state)
{
	char line[200] = "PROXY UNKNOWN ";
	struct net_proxyproto h;

	(void)state;
	memset(line + 14, 'x', sizeof(line) - 14);
	check_broken(line, sizeof(line), 107, RC_SYNTAX);
	memcpy(line + 105, "\r\n", 2);		/* fits */
	assert_int_equal(read_bytes(line, sizeof(line), &h), RC_OK);
	assert_int_equal(h.bytes, 107);
	memcpy(line + 105, "x\r\n", 3);		/* one too long */
	check_broken(line, sizeof(line), 107, RC_SYNTAX);
}

/* Told at the first byte that no header has there. */
static void
test_no_header(void **state)
{
	static const struct {
		const char	*in;
		size_t		told;
	} rows[] = {
		{ "\x16\3\1\2", 1 },		/* a ClientHello */
		{ "GET / HTTP/1.1\r\n", 1 },
		{ "POST / HTTP/1.1\r\n", 2 },
		{ "PROXY\tTCP4", 6 },
		{ "PROXy TCP4", 5 },
		{ "proxy TCP4", 1 },
		{ " PROXY TCP4", 1 },
		{ "\r\nPROXY TCP4", 3 },
		{ "\r\n\r\nGET", 5 },
		{ "\n", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_broken(rows[i].in, strlen(rows[i].in), rows[i].told,
		    RC_SYNTAX);
	for (unsigned c = 0; c < 256; c++) {
		char first = (char)c;
		struct net_proxyproto h;

		assert_int_equal(read_bytes(&first, 1, &h),
		    first == 'P' || first == '\r' ? RC_MORE : RC_SYNTAX);
	}
}

/* ---- version 2 ----------------------------------------------------------- */

struct block {
	char	in[20000];
	size_t	len;
};

/* command and family, then body; the length field says what there is. */
static void
block_make(struct block *b, unsigned char command, unsigned char family,
    const char *body, size_t len)
{
	memcpy(b->in, SIGNATURE, SIGNATURE_BYTES);
	b->in[12] = (char)command;
	b->in[13] = (char)family;
	b->in[14] = (char)(len >> 8);
	b->in[15] = (char)len;
	memcpy(b->in + 16, body, len);
	b->len = 16 + len;
}

#define BLOCK(b, command, family, body)					\
	block_make(b, command, family, body, sizeof(body) - 1)

static void
test_v2_addresses(void **state)
{
	char unix_names[216] = "/run/client";
	struct block b;

	(void)state;
	BLOCK(&b, 0x21, 0x11, IPV4);
	check_whole(b.in, b.len, "192.0.2.1:56324");
	BLOCK(&b, 0x21, 0x12, IPV4);	/* UDP: HTTP/3 ended at the proxy */
	check_whole(b.in, b.len, "192.0.2.1:56324");
	BLOCK(&b, 0x21, 0x21, IPV6);
	check_whole(b.in, b.len, "[2001:db8::1]:56324");
	BLOCK(&b, 0x21, 0x22, IPV6);
	check_whole(b.in, b.len, "[2001:db8::1]:56324");
	for (unsigned char family = 0x31; family <= 0x32; family++) {
		block_make(&b, 0x21, family, unix_names, sizeof(unix_names));
		check_whole(b.in, b.len, NULL);
	}
}

/* No client, whatever follows. */
static void
test_v2_local_and_unspecified(void **state)
{
	static const unsigned char unspecified[] = { 0x00, 0x01, 0x02, 0x10,
		0x20, 0x30 };
	struct block b;

	(void)state;
	for (size_t i = 0; i < sizeof(unspecified); i++) {
		BLOCK(&b, 0x21, unspecified[i], "");
		check_whole(b.in, b.len, NULL);
		BLOCK(&b, 0x21, unspecified[i], IPV4 "\3\0\4" "not a sum");
		check_whole(b.in, b.len, NULL);
	}
	for (unsigned family = 0; family < 256; family++) {
		BLOCK(&b, 0x20, (unsigned char)family, "");
		check_whole(b.in, b.len, NULL);
		BLOCK(&b, 0x20, (unsigned char)family, IPV4 "\3\0\4");
		check_whole(b.in, b.len, NULL);
	}
}

static void
test_v2_broken_start(void **state)
{
	struct block b;

	(void)state;
	for (size_t i = 1; i < SIGNATURE_BYTES; i++) {
		BLOCK(&b, 0x21, 0x11, IPV4);
		b.in[i] ^= 0x20;
		check_broken(b.in, b.len, i + 1, RC_SYNTAX);
	}
	for (unsigned command = 0; command < 256; command++) {
		BLOCK(&b, (unsigned char)command, 0x11, IPV4);
		if (command != 0x20 && command != 0x21)
			check_broken(b.in, b.len, 13, RC_SYNTAX);
	}
	for (unsigned family = 0; family < 256; family++) {
		BLOCK(&b, 0x21, (unsigned char)family, IPV4);
		if (family >> 4 > 3 || (family & 15) > 2)
			check_broken(b.in, b.len, 14, RC_SYNTAX);
	}
}

static void
test_v2_too_short_for_its_family(void **state)
{
	static const struct {
		unsigned char	family;
		size_t		need;
	} rows[] = { { 0x11, 12 }, { 0x12, 12 }, { 0x21, 36 }, { 0x22, 36 },
		{ 0x31, 216 }, { 0x32, 216 } };
	char zeros[216] = { 0 };
	struct block b;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		block_make(&b, 0x21, rows[i].family, zeros, 0);
		check_broken(b.in, b.len, b.len, RC_SYNTAX);
		block_make(&b, 0x21, rows[i].family, zeros, rows[i].need - 1);
		check_broken(b.in, b.len, b.len, RC_SYNTAX);
		block_make(&b, 0x21, rows[i].family, zeros, rows[i].need);
		check_whole(b.in, b.len, rows[i].family < 0x20 ? "0.0.0.0:0" :
		    rows[i].family < 0x30 ? "[::]:0" : NULL);
	}
}

static void
test_v2_tlvs(void **state)
{
	struct block b;

	(void)state;
	/* ALPN, authority, an empty one, padding, a type nobody knows */
	BLOCK(&b, 0x21, 0x11, IPV4 "\1\0\2h2" "\2\0\6a.test" "\5\0\0"
	    "\4\0\2\0\0" "\xee\0\1x");
	check_whole(b.in, b.len, "192.0.2.1:56324");
	BLOCK(&b, 0x21, 0x21, IPV6 "\1\0\2h2");
	check_whole(b.in, b.len, "[2001:db8::1]:56324");
	/* Cut short by the length field. */
	BLOCK(&b, 0x21, 0x11, IPV4 "\1");
	check_broken(b.in, b.len, b.len, RC_SYNTAX);
	BLOCK(&b, 0x21, 0x11, IPV4 "\1\0");
	check_broken(b.in, b.len, b.len, RC_SYNTAX);
	BLOCK(&b, 0x21, 0x11, IPV4 "\1\0\1");
	check_broken(b.in, b.len, b.len, RC_SYNTAX);
	BLOCK(&b, 0x21, 0x11, IPV4 "\1\0\2h2" "\2\0\7a.test");
	check_broken(b.in, b.len, b.len, RC_SYNTAX);
	BLOCK(&b, 0x21, 0x11, IPV4 "\1\xff\xffh2");
	check_broken(b.in, b.len, b.len, RC_SYNTAX);
}

/* The sum was made by other code, by the CRC's table, and that was checked
 * with the published "123456789" -> e3069283. */
static void
test_v2_checksum(void **state)
{
	struct block b;

	(void)state;
	BLOCK(&b, 0x21, 0x11, IPV4 "\3\0\4\x6a\x52\xaf\x6d" "\4\0\2\0\0");
	check_whole(b.in, b.len, "192.0.2.1:56324");
	for (size_t i = 16 * 8; i < b.len * 8; i++) {
		struct net_proxyproto h;
		size_t at = i / 8;

		/* Without its type and length there is no sum, and the other
		 * length is checked without it. */
		if ((at >= 28 && at < 31) || (at >= 36 && at < 38))
			continue;
		b.in[at] ^= (char)(1 << i % 8);
		assert_int_equal(read_bytes(b.in, b.len, &h), RC_SYNTAX);
		b.in[at] ^= (char)(1 << i % 8);
	}
	BLOCK(&b, 0x21, 0x11, IPV4 "\3\0\3\x6a\x52\xaf");
	check_broken(b.in, b.len, b.len, RC_SYNTAX);
	BLOCK(&b, 0x21, 0x11, IPV4 "\3\0\0");
	check_broken(b.in, b.len, b.len, RC_SYNTAX);
}

static void
test_v2_limit(void **state)
{
	static char body[NET_PROXYPROTO_BYTES_MAX];
	const size_t most = NET_PROXYPROTO_BYTES_MAX - 16;
	struct block b;

	(void)state;
	memcpy(body, IPV4, 12);
	body[12] = 4;				/* padding for the rest */
	body[13] = (char)((most - 15) >> 8);
	body[14] = (char)(most - 15);
	block_make(&b, 0x21, 0x11, body, most);
	check_whole(b.in, b.len, "192.0.2.1:56324");
	/* Told as soon as the length is there. */
	block_make(&b, 0x21, 0x11, body, most + 1);
	check_broken(b.in, 100, 16, RC_LIMIT);
	b.in[14] = b.in[15] = (char)0xff;
	check_broken(b.in, 100, 16, RC_LIMIT);
	b.in[12] = 0x20;
	check_broken(b.in, 100, 16, RC_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_v1_broken_line),
		cmocka_unit_test(test_v1_too_long),
		cmocka_unit_test(test_no_header),
		cmocka_unit_test(test_v2_addresses),
		cmocka_unit_test(test_v2_local_and_unspecified),
		cmocka_unit_test(test_v2_broken_start),
		cmocka_unit_test(test_v2_too_short_for_its_family),
		cmocka_unit_test(test_v2_tlvs),
		cmocka_unit_test(test_v2_checksum),
		cmocka_unit_test(test_v2_limit),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
