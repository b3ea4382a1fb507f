/* CBOR: the vectors of RFC 8949 appendix A, and structure that lies. */
#include "certs/cbor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib_body_suite.h"

#define VECTORS		82
#define VECTORS_REFUSED	5

/* What our documents never hold is refused, each for a reason. */
static const struct {
	const char	*hex;
	enum rc		rc;
	const char	*why;
} refused[VECTORS_REFUSED] = {
	{ "f0", RC_SYNTAX, "no CBOR item" },		/* simple(16) */
	{ "f818", RC_SYNTAX, "no CBOR item" },		/* simple(24) */
	{ "f8ff", RC_SYNTAX, "no CBOR item" },		/* simple(255) */
	{ "5f42010243030405ff", RC_UNSUPPORTED, "a string in pieces" },
	{ "7f657374726561646d696e67ff", RC_UNSUPPORTED, "a string in pieces" },
};

static struct span
unhex(struct span hex, unsigned char *out, size_t size)
{
	assert_true(hex.len % 2 == 0 && hex.len / 2 <= size);
	assert_int_equal(hex_decode(hex, out, hex.len / 2), RC_OK);
	return ((struct span){ (const char *)out, hex.len / 2 });
}

static void
put_u128(struct buffer *b, unsigned __int128 v)
{
	if (v > 9)
		put_u128(b, v / 10);
	buffer_printf(b, "%c", (char)('0' + (int)(v % 10)));
}

static void
put_real(struct buffer *b, double v)
{
	if (isnan(v))
		buffer_puts(b, "NaN");
	else if (isinf(v))
		buffer_puts(b, v < 0 ? "-Infinity" : "Infinity");
	else
		buffer_printf(b, "%s%.17g", v == floor(v) ? "real " : "", v);
}

static void put_node(struct buffer *, const struct certs_cbor *, uint32_t);

static void
put_children(struct buffer *b, const struct certs_cbor *c, uint32_t node)
{
	bool map = c->nodes[node].type == CERTS_CBOR_MAP;
	const char *between = "";
	uint64_t n = 0;

	for (uint32_t k = certs_cbor_child(c, node); k != 0;
	    k = certs_cbor_sibling(c, node, k), n++) {
		buffer_puts(b, map && n % 2 != 0 ? ": " : between);
		between = ", ";
		put_node(b, c, k);
	}
	assert_int_equal(n, c->nodes[node].value * (map ? 2 : 1));
}

/* A big number is a tag around its bytes. */
static void
put_tag(struct buffer *b, const struct certs_cbor *c, uint32_t node)
{
	const struct certs_cbor_node *n = &c->nodes[node];
	const struct certs_cbor_node *in = &c->nodes[node + 1];
	unsigned __int128 v = 0;

	assert_int_equal(certs_cbor_child(c, node), node + 1);
	assert_int_equal(certs_cbor_sibling(c, node, node + 1), 0);
	if (n->value != 2 && n->value != 3) {
		buffer_printf(b, "%ju(", (uintmax_t)n->value);
		put_node(b, c, node + 1);
		buffer_puts(b, ")");
		return;
	}
	assert_true(in->type == CERTS_CBOR_BYTES && in->bytes.len < 16);
	for (size_t i = 0; i < in->bytes.len; i++)
		v = v << 8 | (unsigned char)in->bytes.p[i];
	if (n->value == 3)
		buffer_puts(b, "-");
	put_u128(b, n->value == 3 ? v + 1 : v);
}

/* RFC 8949's diagnostic notation. */
static void
put_node(struct buffer *b, const struct certs_cbor *c, uint32_t node)
{
	const struct certs_cbor_node *n = &c->nodes[node];

	switch (n->type) {
	case CERTS_CBOR_UINT:
		put_u128(b, n->value);
		break;
	case CERTS_CBOR_NEGINT:
		buffer_puts(b, "-");
		put_u128(b, (unsigned __int128)n->value + 1);
		break;
	case CERTS_CBOR_BYTES:
		buffer_puts(b, "h'");
		for (size_t i = 0; i < n->bytes.len; i++)
			buffer_printf(b, "%02x", (unsigned char)n->bytes.p[i]);
		buffer_puts(b, "'");
		break;
	case CERTS_CBOR_TEXT:
		buffer_puts(b, "\"");
		buffer_put(b, n->bytes.p, n->bytes.len);
		buffer_puts(b, "\"");
		break;
	case CERTS_CBOR_ARRAY:
		buffer_puts(b, "[");
		put_children(b, c, node);
		buffer_puts(b, "]");
		break;
	case CERTS_CBOR_MAP:
		buffer_puts(b, "{");
		put_children(b, c, node);
		buffer_puts(b, "}");
		break;
	case CERTS_CBOR_TAG:
		put_tag(b, c, node);
		break;
	case CERTS_CBOR_FLOAT:
		put_real(b, n->real);
		break;
	case CERTS_CBOR_BOOL:
		buffer_puts(b, n->value != 0 ? "true" : "false");
		break;
	case CERTS_CBOR_NULL:
		buffer_puts(b, "null");
		break;
	case CERTS_CBOR_UNDEFINED:
		buffer_puts(b, "undefined");
		break;
	}
}

/* The suite's `decoded` as the same notation. */
static void
put_json(struct buffer *b, const struct body_json *doc, uint32_t node)
{
	struct span raw = body_json_raw(doc, node);
	const char *between = "";
	struct buffer text;
	bool object = doc->nodes[node].type == BODY_JSON_OBJECT;
	char number[64];

	switch ((enum body_json_type)doc->nodes[node].type) {
	case BODY_JSON_STRING:
		suite_text(doc, node, &text);
		buffer_printf(b, "\"%s\"", buffer_cstr(&text));
		buffer_fini(&text);
		break;
	case BODY_JSON_NUMBER:
		assert_true(span_copy(raw, number, sizeof(number)));
		if (strpbrk(number, ".e") != NULL)
			put_real(b, strtod(number, NULL));
		else
			buffer_puts(b, number);
		break;
	case BODY_JSON_ARRAY:
	case BODY_JSON_OBJECT:
		buffer_puts(b, object ? "{" : "[");
		for (uint32_t k = body_json_child(doc, node); k != 0;
		    k = body_json_sibling(doc, k)) {
			struct span key = body_json_raw_key(doc, k);

			buffer_puts(b, between);
			between = ", ";
			if (object)
				buffer_printf(b, "%.*s: ", (int)key.len, key.p);
			put_json(b, doc, k);
		}
		buffer_puts(b, object ? "}" : "]");
		break;
	case BODY_JSON_NULL:
	case BODY_JSON_TRUE:
	case BODY_JSON_FALSE:
		buffer_put(b, raw.p, raw.len);
		break;
	}
}

static void
put_wanted(struct buffer *b, const struct body_json *doc, uint32_t vector)
{
	uint32_t node = body_json_member(doc, vector, "diagnostic");
	struct buffer text;

	if (node == 0) {
		node = body_json_member(doc, vector, "decoded");
		assert_int_not_equal(node, 0);
		put_json(b, doc, node);
		return;
	}
	suite_text(doc, node, &text);
	buffer_puts(b, buffer_cstr(&text));
	buffer_fini(&text);
}

/* Cut anywhere, or with a byte behind it, it is not one item any more. */
static void
check_only_whole(struct span in)
{
	unsigned char longer[128];
	struct certs_cbor c;
	const char *why;

	for (size_t len = 0; len < in.len; len++) {
		assert_int_equal(certs_cbor_read(&c, (struct span){ in.p, len },
		    &why), RC_SYNTAX);
		assert_int_equal(c.n, 0);
	}
	assert_true(in.len < sizeof(longer));
	memcpy(longer, in.p, in.len);
	longer[in.len] = 0;
	assert_int_equal(certs_cbor_read(&c, (struct span){
	    (const char *)longer, in.len + 1 }, &why), RC_SYNTAX);
	assert_string_equal(why, "bytes behind the item");
}

/* True when the vector is read; else it is one of those refused. */
static bool
check_vector(const struct body_json *doc, uint32_t vector)
{
	unsigned char bytes[128];
	struct buffer hex, got, want;
	struct certs_cbor c;
	struct span in;
	const char *why;
	enum rc rc;

	suite_text(doc, body_json_member(doc, vector, "hex"), &hex);
	in = unhex(suite_span(&hex), bytes, sizeof(bytes));
	rc = certs_cbor_read(&c, in, &why);
	for (size_t i = 0; i < VECTORS_REFUSED; i++) {
		if (strcmp(refused[i].hex, buffer_cstr(&hex)) != 0)
			continue;
		assert_int_equal(rc, refused[i].rc);
		assert_string_equal(why, refused[i].why);
		assert_int_equal(c.n, 0);
		buffer_fini(&hex);
		return (false);
	}
	assert_int_equal(rc, RC_OK);
	assert_string_equal(why, "");
	buffer_init(&got, 0, false);
	buffer_init(&want, 0, false);
	put_node(&got, &c, 0);
	put_wanted(&want, doc, vector);
	assert_string_equal(buffer_cstr(&got), buffer_cstr(&want));
	check_only_whole(in);
	buffer_fini(&hex);
	buffer_fini(&got);
	buffer_fini(&want);
	return (true);
}

static void
test_appendix_a(void **state)
{
	const char *folder = suite_path("cbor");
	unsigned read = 0, n = 0;
	struct body_json doc;
	struct buffer text;

	(void)state;
	suite_file(folder, "appendix_a.json", &text);
	assert_int_equal(body_json_read(&doc, buffer_data(&text),
	    buffer_len(&text), 0, NULL), RC_OK);
	for (uint32_t v = body_json_child(&doc, 0); v != 0;
	    v = body_json_sibling(&doc, v), n++)
		read += check_vector(&doc, v) ? 1 : 0;
	assert_int_equal(n, VECTORS);
	assert_int_equal(read, VECTORS - VECTORS_REFUSED);
	body_json_fini(&doc);
	buffer_fini(&text);
}

static void
test_structure(void **state)
{
	static const struct {
		const char	*hex;
		enum rc		rc;
		const char	*why;
	} cases[] = {
		{ "", RC_SYNTAX, "cut short" },
		/* Announced sizes that are not there. */
		{ "5bffffffffffffffff", RC_SYNTAX, "cut short" },
		{ "5bfffffffffffffff700", RC_SYNTAX, "cut short" },
		{ "7b7fffffffffffffff61", RC_SYNTAX, "cut short" },
		{ "9bffffffffffffffff", RC_SYNTAX, "more items than bytes" },
		{ "9b4000000000000000", RC_SYNTAX, "more items than bytes" },
		{ "9a00ffffff00", RC_SYNTAX, "more items than bytes" },
		{ "820100", RC_OK, "" },
		{ "8201", RC_SYNTAX, "more items than bytes" },
		{ "bbffffffffffffffff", RC_SYNTAX, "more pairs than bytes" },
		{ "bb8000000000000000", RC_SYNTAX, "more pairs than bytes" },
		{ "a10001", RC_OK, "" },
		{ "a100", RC_SYNTAX, "more pairs than bytes" },
		{ "c2", RC_SYNTAX, "more items than bytes" },
		{ "d2", RC_SYNTAX, "more items than bytes" },
		/* Tags that libcbor does not know in one byte. */
		{ "d201", RC_OK, "" },
		{ "c601", RC_OK, "" },
		{ "d401", RC_OK, "" },
		{ "d81201", RC_OK, "" },
		/* Breaks. */
		{ "ff", RC_SYNTAX, "a break outside of everything" },
		{ "81ff", RC_SYNTAX, "a break where an item must be" },
		{ "a1ff00", RC_SYNTAX, "a break where an item must be" },
		{ "c2ff", RC_SYNTAX, "a break where an item must be" },
		{ "9fc2ff00ff", RC_SYNTAX, "a break where an item must be" },
		{ "bf00ff", RC_SYNTAX, "a key without a value" },
		{ "9f", RC_SYNTAX, "cut short" },
		{ "9fff", RC_OK, "" },
		{ "bfff", RC_OK, "" },
		{ "9fffff", RC_SYNTAX, "bytes behind the item" },
		/* Strings in pieces, anywhere. */
		{ "5fff", RC_UNSUPPORTED, "a string in pieces" },
		{ "817fff", RC_UNSUPPORTED, "a string in pieces" },
		{ "a15fff00", RC_UNSUPPORTED, "a string in pieces" },
		/* Heads that mean nothing. */
		{ "1c", RC_SYNTAX, "no CBOR item" },
		{ "1f", RC_SYNTAX, "no CBOR item" },
		{ "3f", RC_SYNTAX, "no CBOR item" },
		{ "5c", RC_SYNTAX, "no CBOR item" },
		{ "9e", RC_SYNTAX, "no CBOR item" },
		{ "df00", RC_SYNTAX, "no CBOR item" },
		{ "fc", RC_SYNTAX, "no CBOR item" },
		{ "f800", RC_SYNTAX, "no CBOR item" },
		/* Text. */
		{ "62c080", RC_SYNTAX, "text is not UTF-8" },
		{ "63eda080", RC_SYNTAX, "text is not UTF-8" },
		{ "61ff", RC_SYNTAX, "text is not UTF-8" },
		{ "42c080", RC_OK, "" },
		/* Keys. */
		{ "a201000102", RC_SYNTAX, "a key twice" },
		{ "a20100180102", RC_SYNTAX, "a key twice" },	/* 1, longer */
		{ "a220002002", RC_SYNTAX, "a key twice" },
		{ "a2616100616102", RC_SYNTAX, "a key twice" },
		{ "a2416100416102", RC_SYNTAX, "a key twice" },
		{ "a36161000102616103", RC_SYNTAX, "a key twice" },
		{ "bf01000102ff", RC_SYNTAX, "a key twice" },
		{ "81a201000102", RC_SYNTAX, "a key twice" },
		{ "a101a201000102", RC_SYNTAX, "a key twice" },
		{ "a2616100416102", RC_OK, "" },	/* text, bytes */
		{ "a201002002", RC_OK, "" },		/* 1, -1 */
		{ "a200000102", RC_OK, "" },
		{ "a18000", RC_UNSUPPORTED,
		    "a key that is no number and no string" },
		{ "a1a000", RC_UNSUPPORTED,
		    "a key that is no number and no string" },
		{ "a1c20000", RC_UNSUPPORTED,
		    "a key that is no number and no string" },
		{ "a1f500", RC_UNSUPPORTED,
		    "a key that is no number and no string" },
		{ "a20000f600", RC_UNSUPPORTED,
		    "a key that is no number and no string" },
		{ "a20000820102f6", RC_UNSUPPORTED,
		    "a key that is no number and no string" },
	};
	unsigned char bytes[64];
	struct certs_cbor c;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span in = unhex(span_of(cases[i].hex), bytes,
		    sizeof(bytes));

		assert_int_equal(certs_cbor_read(&c, in, &why), cases[i].rc);
		assert_string_equal(why, cases[i].why);
		assert_true((c.n != 0) == (cases[i].rc == RC_OK));
	}
}

static void
test_limits(void **state)
{
	unsigned char deep[16], wide[CERTS_CBOR_NODES_MAX + 8];
	struct certs_cbor c;
	const char *why;

	(void)state;
	for (size_t n = 0; n <= CERTS_CBOR_DEPTH_MAX + 1; n++) {
		static const unsigned char open[] = { 0x81, 0xc1 };

		for (size_t kind = 0; kind < sizeof(open); kind++) {
			memset(deep, open[kind], n);
			deep[n] = 0;
			assert_int_equal(certs_cbor_read(&c, (struct span){
			    (char *)deep, n + 1 }, &why),
			    n <= CERTS_CBOR_DEPTH_MAX ? RC_OK : RC_LIMIT);
		}
	}
	assert_string_equal(why, "too deep");
	memset(wide, 0, sizeof(wide));
	for (size_t items = CERTS_CBOR_NODES_MAX - 2;
	    items <= CERTS_CBOR_NODES_MAX; items++) {
		wide[0] = 0x99;		/* an array with a length of 2 bytes */
		wide[1] = (unsigned char)(items >> 8);
		wide[2] = (unsigned char)items;
		assert_int_equal(certs_cbor_read(&c, (struct span){
		    (char *)wide, 3 + items }, &why),
		    items < CERTS_CBOR_NODES_MAX ? RC_OK : RC_LIMIT);
	}
	assert_string_equal(why, "too many items");
}

/* Whatever is read is a table that walking cannot leave. */
static void
check_table(const struct certs_cbor *c, struct span in)
{
	assert_true(c->n > 0 && c->n <= CERTS_CBOR_NODES_MAX);
	assert_int_equal(c->nodes[0].next, c->n);
	for (uint32_t i = 0; i < c->n; i++) {
		const struct certs_cbor_node *n = &c->nodes[i];
		uint32_t k, end = i;

		assert_true(n->next > i && n->next <= c->n);
		for (k = certs_cbor_child(c, i); k != 0;
		    k = certs_cbor_sibling(c, i, k))
			end = c->nodes[k].next - 1;
		assert_int_equal(end + 1, n->next);
		assert_true(n->bytes.p == NULL || (n->bytes.p > in.p &&
		    n->bytes.p + n->bytes.len <= in.p + in.len));
	}
}

static void
test_every_short_input(void **state)
{
	unsigned read = 0;

	(void)state;
	for (unsigned v = 0; v < 1u << 16; v++) {
		/* Two free bytes, then an item and a break. */
		char bytes[] = { (char)(v >> 8), (char)v, 0x41, 'x', (char)0xff };

		for (size_t len = 1; len <= sizeof(bytes); len++) {
			struct span in = { bytes, len };
			struct certs_cbor c;
			const char *why;

			if (certs_cbor_read(&c, in, &why) != RC_OK) {
				assert_int_equal(c.n, 0);
				assert_int_not_equal(why[0], '\0');
				continue;
			}
			check_table(&c, in);
			read++;
		}
	}
	assert_true(read > 10000);
}

static void
test_find(void **state)
{
	/* {"a": [1, {"b": 2}], "b": {"c": 3}, 7: "x", h'61': 4} */
	static const char hex[] =
	    "a4616182" "01a1616202" "6162a1616303" "076178" "416104";
	unsigned char bytes[64];
	struct certs_cbor c;
	const char *why;
	uint32_t at;

	(void)state;
	assert_int_equal(certs_cbor_read(&c, unhex(SPAN_LIT(hex), bytes,
	    sizeof(bytes)), &why), RC_OK);
	at = certs_cbor_find(&c, 0, "a");
	assert_int_equal(c.nodes[at].type, CERTS_CBOR_ARRAY);
	assert_int_equal(certs_cbor_find(&c, at, "b"), 0);
	at = certs_cbor_find(&c, 0, "b");	/* not the one inside "a" */
	assert_int_equal(c.nodes[at].type, CERTS_CBOR_MAP);
	at = certs_cbor_find(&c, at, "c");
	assert_int_equal(c.nodes[at].value, 3);
	assert_int_equal(certs_cbor_find(&c, 0, "c"), 0);
	assert_int_equal(certs_cbor_find(&c, 0, ""), 0);
	at = certs_cbor_find_uint(&c, 0, 7);
	assert_true(span_eq_str(c.nodes[at].bytes, "x"));
	assert_int_equal(certs_cbor_find_uint(&c, 0, 8), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_appendix_a),
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_every_short_input),
		cmocka_unit_test(test_find),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
