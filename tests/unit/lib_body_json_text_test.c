/* Strings and numbers as text; what opened text becomes in a document. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/body/json.h"
#include "lib/body/json_text.h"
#include "lib_body_suite.h"

static void
expect(const struct buffer *b, struct span want, struct span input)
{
	if (!span_eq(suite_span(b), want))
		fail_msg("%.*s: got %.*s, want %.*s", (int)input.len, input.p,
		    (int)buffer_len(b), buffer_data(b), (int)want.len, want.p);
}

/* ---- unescape ------------------------------------------------------------ */

static const struct {
	struct span	raw;
	enum rc		rc;
	struct span	text;
} unescapes[] = {
#define GOOD(raw, text) { { raw, sizeof(raw) - 1 }, RC_OK, { text, sizeof(text) - 1 } }
#define BAD(raw) { { raw, sizeof(raw) - 1 }, RC_SYNTAX, { "", 0 } }
	GOOD("\"\"", ""),
	GOOD("\"abc\"", "abc"),
	GOOD("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"),
	GOOD("\"a\\u0000b\"", "a\0b"),
	GOOD("\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac"),
	GOOD("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
	    "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"),
	GOOD("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"),
	GOOD("\"\\ud800\\udc00\\uDBFF\\uDFFF\"",
	    "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
	GOOD("\"\\ud7ff\\ue000\"", "\xed\x9f\xbf\xee\x80\x80"),
	BAD("\"\\ud800\""),
	BAD("\"\\udc00\""),
	BAD("\"\\ud800a\""),
	BAD("\"\\ud800\\n\""),
	BAD("\"\\ud800\\ud800\""),
	BAD("\"\\ud800\\u0041\""),
	BAD("\"\\ud800\\udc0\""),
	BAD("\"\\udc00\\ud800\""),
	BAD("\"\\u12\""),
	BAD("\"\\u+123\""),
	BAD("\"\\x41\""),
	BAD("\"\\\""),
	BAD("\"\\\0\""),
	BAD("\""),
	BAD(""),
	BAD("abc"),
	BAD("\"abc"),
};

static void
test_unescape(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(unescapes) / sizeof(unescapes[0]); i++) {
		struct span raw = unescapes[i].raw, text = unescapes[i].text;
		struct buffer b;

		buffer_init(&b, 0, true);
		buffer_puts(&b, "x");
		assert_int_equal(body_json_unescape(raw, &b), unescapes[i].rc);
		buffer_consume(&b, 1);
		expect(&b, text, raw);
		buffer_fini(&b);
		assert_int_equal(body_json_text_is(raw, text),
		    unescapes[i].rc == RC_OK);
		assert_false(body_json_text_is(raw, SPAN_LIT("else")));
		if (unescapes[i].rc != RC_OK || text.len == 0)
			continue;
		text.len--;
		assert_false(body_json_text_is(raw, text));
	}
}

/* The buffer's limit is the decoded length; nothing is half added. */
static void
test_limits(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 3, false);
	assert_int_equal(body_json_unescape(SPAN_LIT("\"\\u0041\\n\\n\""), &b),
	    RC_OK);
	assert_int_equal(buffer_len(&b), 3);
	buffer_clear(&b);
	assert_int_equal(body_json_unescape(SPAN_LIT("\"\\n\\n\\n\\n\""), &b),
	    RC_LIMIT);
	assert_int_equal(body_json_escape(SPAN_LIT("\n"), &b), RC_LIMIT);
	assert_int_equal(body_json_escape(SPAN_LIT("ab"), &b), RC_LIMIT);
	assert_int_equal(body_json_insert(BODY_VALUE_NUMBER, SPAN_LIT("1234"),
	    &b), RC_LIMIT);
	assert_int_equal(body_json_insert(BODY_VALUE_NUMBER, SPAN_LIT("+1234"),
	    &b), RC_LIMIT);
	assert_int_equal(buffer_len(&b), 0);
	assert_int_equal(body_json_escape(SPAN_LIT("a"), &b), RC_OK);
	buffer_fini(&b);
}

/* ---- escape -------------------------------------------------------------- */

static void
test_escape_every_byte(void **state)
{
	struct buffer out, back;
	struct body_json doc;

	(void)state;
	for (unsigned c = 0; c < 0x80; c++) {
		char text[3] = { 'a', (char)c, 'b' };
		struct span in = { text, 3 };

		buffer_init(&out, 0, false);
		buffer_init(&back, 0, false);
		assert_int_equal(body_json_escape(in, &out), RC_OK);
		assert_int_equal(body_json_read(&doc, buffer_data(&out),
		    buffer_len(&out), 0, NULL), RC_OK);
		assert_int_equal(doc.n, 1);
		assert_int_equal(doc.nodes[0].escaped, c < 0x20 || c == '"' ||
		    c == '\\');
		assert_int_equal(body_json_unescape(suite_span(&out), &back),
		    RC_OK);
		expect(&back, in, in);
		body_json_fini(&doc);
		buffer_fini(&out);
		buffer_fini(&back);
	}
}

static void
test_escape_exact(void **state)
{
	static const struct span in = SPAN_LIT("\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9");
	static const char *const broken[] = {
		"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
		"\x80"
	};
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(body_json_escape(in, &out), RC_OK);
	expect(&out, SPAN_LIT("\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f"
	    "\xc3\xa9\""), in);
	buffer_clear(&out);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(body_json_escape(span_of(broken[i]), &out),
		    RC_SYNTAX);
	assert_int_equal(buffer_len(&out), 0);
	assert_int_equal(body_json_escape(SPAN_LIT(""), &out), RC_OK);
	expect(&out, SPAN_LIT("\"\""), SPAN_LIT(""));
	buffer_fini(&out);
}

/* ---- insert -------------------------------------------------------------- */

static const struct {
	enum body_value_type	type;
	const char		*text, *want;	/* want NULL: RC_SYNTAX */
} inserts[] = {
	{ BODY_VALUE_STRING, "abc", "\"abc\"" },
	{ BODY_VALUE_STRING, "", "\"\"" },
	{ BODY_VALUE_STRING, "1", "\"1\"" },
	{ BODY_VALUE_STRING, "true", "\"true\"" },
	{ BODY_VALUE_STRING, "\",\"a\":\"", "\"\\\",\\\"a\\\":\\\"\"" },
	{ BODY_VALUE_STRING, "\xff", NULL },
	/* as they are */
	{ BODY_VALUE_NUMBER, "0", "0" },
	{ BODY_VALUE_NUMBER, "-0", "-0" },
	{ BODY_VALUE_NUMBER, "-1.5", "-1.5" },
	{ BODY_VALUE_NUMBER, "1e+21", "1e+21" },
	{ BODY_VALUE_NUMBER, "1.0e+21", "1.0e+21" },
	{ BODY_VALUE_NUMBER, "1E400", "1E400" },
	{ BODY_VALUE_NUMBER, "1.000", "1.000" },
	{ BODY_VALUE_NUMBER, "9007199254740993", "9007199254740993" },
	{ BODY_VALUE_NUMBER, "0.1000000000000000055511151231257827",
	    "0.1000000000000000055511151231257827" },
	{ BODY_VALUE_NUMBER, "1e-007", "1e-007" },
	/* normalised, no digit lost */
	{ BODY_VALUE_NUMBER, "007", "7" },
	{ BODY_VALUE_NUMBER, "-007", "-7" },
	{ BODY_VALUE_NUMBER, "000", "0" },
	{ BODY_VALUE_NUMBER, "-000", "-0" },
	{ BODY_VALUE_NUMBER, " 12", "12" },
	{ BODY_VALUE_NUMBER, "12 ", "12" },
	{ BODY_VALUE_NUMBER, "\t\n\v\f\r 12\n", "12" },
	{ BODY_VALUE_NUMBER, "+5", "5" },
	{ BODY_VALUE_NUMBER, "+0.50", "0.50" },
	{ BODY_VALUE_NUMBER, ".5", "0.5" },
	{ BODY_VALUE_NUMBER, "-.5", "-0.5" },
	{ BODY_VALUE_NUMBER, "5.", "5" },
	{ BODY_VALUE_NUMBER, "5.e3", "5e3" },
	{ BODY_VALUE_NUMBER, ".5E-3", "0.5E-3" },
	{ BODY_VALUE_NUMBER, "+001.50e+05", "1.50e+05" },
	{ BODY_VALUE_NUMBER, "000000000000000000000000012345678901234567890.1",
	    "12345678901234567890.1" },
	/* no numbers: strings, white space and all */
	{ BODY_VALUE_NUMBER, "", "\"\"" },
	{ BODY_VALUE_NUMBER, " ", "\" \"" },
	{ BODY_VALUE_NUMBER, "nan", "\"nan\"" },
	{ BODY_VALUE_NUMBER, "inf", "\"inf\"" },
	{ BODY_VALUE_NUMBER, "-Infinity", "\"-Infinity\"" },
	{ BODY_VALUE_NUMBER, "0x10", "\"0x10\"" },
	{ BODY_VALUE_NUMBER, "1_000", "\"1_000\"" },
	{ BODY_VALUE_NUMBER, "1,5", "\"1,5\"" },
	{ BODY_VALUE_NUMBER, "1 2", "\"1 2\"" },
	{ BODY_VALUE_NUMBER, "- 1", "\"- 1\"" },
	{ BODY_VALUE_NUMBER, "+-1", "\"+-1\"" },
	{ BODY_VALUE_NUMBER, "--1", "\"--1\"" },
	{ BODY_VALUE_NUMBER, ".", "\".\"" },
	{ BODY_VALUE_NUMBER, "-", "\"-\"" },
	{ BODY_VALUE_NUMBER, "e5", "\"e5\"" },
	{ BODY_VALUE_NUMBER, "1e", "\"1e\"" },
	{ BODY_VALUE_NUMBER, "1e+", "\"1e+\"" },
	{ BODY_VALUE_NUMBER, "1e5.0", "\"1e5.0\"" },
	{ BODY_VALUE_NUMBER, "1..2", "\"1..2\"" },
	{ BODY_VALUE_NUMBER, "1}", "\"1}\"" },
	{ BODY_VALUE_NUMBER, "true", "\"true\"" },
	{ BODY_VALUE_NUMBER, "\xef\xbc\x91", "\"\xef\xbc\x91\"" },
	{ BODY_VALUE_NUMBER, "1\xff", NULL },
	{ BODY_VALUE_BOOLEAN, "true", "true" },
	{ BODY_VALUE_BOOLEAN, "false", "false" },
	{ BODY_VALUE_BOOLEAN, "True", "\"True\"" },
	{ BODY_VALUE_BOOLEAN, "true ", "\"true \"" },
	{ BODY_VALUE_BOOLEAN, "1", "\"1\"" },
	{ BODY_VALUE_BOOLEAN, "", "\"\"" },
	{ BODY_VALUE_BOOLEAN, "null", "\"null\"" },
	{ BODY_VALUE_BOOLEAN, "true,false", "\"true,false\"" },
	{ BODY_VALUE_BOOLEAN, "\xc0\xaf", NULL },
};

static void
test_insert(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(inserts) / sizeof(inserts[0]); i++) {
		struct span text = span_of(inserts[i].text);
		struct body_json doc;
		struct buffer out;
		enum rc rc;

		buffer_init(&out, 0, true);
		rc = body_json_insert(inserts[i].type, text, &out);
		if (inserts[i].want == NULL) {
			assert_int_equal(rc, RC_SYNTAX);
			assert_int_equal(buffer_len(&out), 0);
			continue;
		}
		assert_int_equal(rc, RC_OK);
		expect(&out, span_of(inserts[i].want), text);
		/* Whatever came: exactly one value stands there. */
		assert_int_equal(body_json_read(&doc, buffer_data(&out),
		    buffer_len(&out), 0, NULL), RC_OK);
		assert_int_equal(doc.n, 1);
		body_json_fini(&doc);
		buffer_fini(&out);
	}
}

/* ---- the table that scenarios read too ------------------------------------ */

static void
member_text(const struct body_json *doc, uint32_t object, const char *name,
    struct buffer *out)
{
	uint32_t node = body_json_member(doc, object, name);

	assert_int_not_equal(node, 0);
	suite_text(doc, node, out);
}

static enum body_value_type
value_type(struct span name)
{
	if (span_eq_str(name, "number"))
		return (BODY_VALUE_NUMBER);
	if (span_eq_str(name, "boolean"))
		return (BODY_VALUE_BOOLEAN);
	assert_true(span_eq_str(name, "string"));
	return (BODY_VALUE_STRING);
}

/* One case of the table in its JSON place; false when that place is not
 * available. */
static bool
foreign_case(const struct body_json *doc, uint32_t node)
{
	uint32_t places = body_json_member(doc, node, "places");
	uint32_t json = body_json_member(doc, places, "json");
	struct buffer type, hex, want, out;
	char bytes[64];
	enum rc rc;

	if (body_json_member(doc, json, "available") != 0)
		return (false);
	buffer_init(&out, 0, true);
	member_text(doc, node, "type", &type);
	member_text(doc, node, "hex", &hex);
	assert_true(buffer_len(&hex) / 2 <= sizeof(bytes));
	assert_int_equal(hex_decode(suite_span(&hex), bytes,
	    buffer_len(&hex) / 2), RC_OK);
	rc = body_json_insert(value_type(suite_span(&type)),
	    (struct span){ bytes, buffer_len(&hex) / 2 }, &out);
	if (body_json_member(doc, json, "undecryptable") != 0) {
		assert_int_equal(rc, RC_SYNTAX);
		assert_int_equal(buffer_len(&out), 0);
	} else {
		assert_int_equal(rc, RC_OK);
		member_text(doc, json, "bytes", &want);
		expect(&out, suite_span(&want), suite_span(&hex));
		buffer_fini(&want);
	}
	buffer_fini(&type);
	buffer_fini(&hex);
	buffer_fini(&out);
	return (true);
}

static void
test_foreign_text(void **state)
{
	struct buffer text;
	struct body_json doc;
	unsigned run = 0, later = 0;

	(void)state;
	suite_file(TEST_SRCDIR "/tests/unit", "foreign_text.json", &text);
	assert_int_equal(body_json_read(&doc, buffer_data(&text),
	    buffer_len(&text), 0, NULL), RC_OK);
	for (uint32_t i = body_json_child(&doc, 0); i != 0;
	    i = body_json_sibling(&doc, i))
		(*(foreign_case(&doc, i) ? &run : &later))++;
	print_message("foreign text: %u run, %u not available (roles)\n", run,
	    later);
	assert_int_equal(run, 8);
	assert_int_equal(later, 1);
	body_json_fini(&doc);
	buffer_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unescape),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_escape_every_byte),
		cmocka_unit_test(test_escape_exact),
		cmocka_unit_test(test_insert),
		cmocka_unit_test(test_foreign_text),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
