/* How opened text is written in a token's place (design.md section 6). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/body/found.h"

#define S	BODY_VALUE_STRING
#define N	BODY_VALUE_NUMBER
#define B	BODY_VALUE_BOOLEAN

static const struct {
	enum body_found_place	place;
	enum body_value_type	type;
	const char		*opened;
	const char		*written;	/* NULL: it cannot stand there */
} cases[] = {
	{ BODY_FOUND_PLAIN, S, "", "" },
	{ BODY_FOUND_PLAIN, S, "a\"<&\r\n\\\xff", "a\"<&\r\n\\\xff" },
	{ BODY_FOUND_PLAIN, N, "007", "007" },
	{ BODY_FOUND_FILE, S, "a\"<&\r\n\\\xff", "a\"<&\r\n\\\xff" },

	{ BODY_FOUND_JSON_VALUE, S, "", "\"\"" },
	{ BODY_FOUND_JSON_VALUE, S, "a\"b\\c\n\x01", "\"a\\\"b\\\\c\\n\\u0001\"" },
	{ BODY_FOUND_JSON_VALUE, S, "1", "\"1\"" },
	{ BODY_FOUND_JSON_VALUE, S, "true", "\"true\"" },
	{ BODY_FOUND_JSON_VALUE, N, "-1.5e+3", "-1.5e+3" },
	{ BODY_FOUND_JSON_VALUE, N, "007", "7" },
	{ BODY_FOUND_JSON_VALUE, N, " 12", "12" },
	{ BODY_FOUND_JSON_VALUE, N, ".5", "0.5" },
	{ BODY_FOUND_JSON_VALUE, N, "nan", "\"nan\"" },
	{ BODY_FOUND_JSON_VALUE, N, "1,\"admin\":true", "\"1,\\\"admin\\\":true\"" },
	{ BODY_FOUND_JSON_VALUE, N, "", "\"\"" },
	{ BODY_FOUND_JSON_VALUE, B, "true", "true" },
	{ BODY_FOUND_JSON_VALUE, B, "false", "false" },
	{ BODY_FOUND_JSON_VALUE, B, "True", "\"True\"" },
	{ BODY_FOUND_JSON_VALUE, B, "true ", "\"true \"" },
	{ BODY_FOUND_JSON_VALUE, S, "\xff", NULL },
	{ BODY_FOUND_JSON_VALUE, S, "\xed\xa0\x80", NULL },

	{ BODY_FOUND_JSON_TEXT, S, "", "" },
	{ BODY_FOUND_JSON_TEXT, S, "a b", "a b" },
	{ BODY_FOUND_JSON_TEXT, S, "\",\"admin\":\"", "\\\",\\\"admin\\\":\\\"" },
	{ BODY_FOUND_JSON_TEXT, S, "\\\x1f\xc3\xa4", "\\\\\\u001f\xc3\xa4" },
	{ BODY_FOUND_JSON_TEXT, N, "12", "12" },
	{ BODY_FOUND_JSON_TEXT, N, "1\"", "1\\\"" },
	{ BODY_FOUND_JSON_TEXT, B, "true", "true" },
	{ BODY_FOUND_JSON_TEXT, S, "\xc0\x80", NULL },

	{ BODY_FOUND_PERCENT, S, "", "" },
	{ BODY_FOUND_PERCENT, S, "azAZ09-._~", "azAZ09-._~" },
	{ BODY_FOUND_PERCENT, S, "a&b=1 +%/?#\r\n", "a%26b%3D1%20%2B%25%2F%3F%23%0D%0A" },
	{ BODY_FOUND_PERCENT, S, "\"'<>\\*\xff\x01", "%22%27%3C%3E%5C%2A%FF%01" },
	{ BODY_FOUND_PERCENT, N, "1.5", "1.5" },

	{ BODY_FOUND_XML, S, "", "" },
	{ BODY_FOUND_XML, S, "a \xc3\xa4", "a \xc3\xa4" },
	{ BODY_FOUND_XML, S, "]]><a b=\"c\" d='e'>&amp;",
	    "]]&gt;&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;" },
	{ BODY_FOUND_CDATA, S, "", "" },
	{ BODY_FOUND_CDATA, S, "<a b=\"c\">&\n]]",
	    "<a b=\"c\"]]>&gt;<![CDATA[&\n]]]>&#93;<![CDATA[" },
	{ BODY_FOUND_CDATA, S, "]]>\r", "]]]]>&gt;<![CDATA[]]>&#13;<![CDATA[" },
	{ BODY_FOUND_CDATA, S, "a\x01", NULL },
	{ BODY_FOUND_XML, S, "\t\n\r", "&#9;&#10;&#13;" },
	{ BODY_FOUND_XML, S, "a\x01", NULL },
	{ BODY_FOUND_XML, S, "\x1f", NULL },
	{ BODY_FOUND_XML, S, "\x7f", "\x7f" },
	{ BODY_FOUND_XML, S, "\xef\xbf\xbd", "\xef\xbf\xbd" },
	{ BODY_FOUND_XML, S, "\xef\xbf\xbe", NULL },
	{ BODY_FOUND_XML, S, "a\xef\xbf\xbf", NULL },
	{ BODY_FOUND_XML, S, "\xed\xa0\x80", NULL },
	{ BODY_FOUND_XML, S, "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
};

/* Behind what is there already; nothing of what is refused, or of what a
 * buffer has no room for. */
static void
test_write(void **state)
{
	struct buffer out, small;

	(void)state;
	buffer_init(&out, 0, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span opened = span_of(cases[i].opened);
		const char *want = cases[i].written;

		buffer_clear(&out);
		buffer_puts(&out, ">");
		assert_int_equal(body_found_write(cases[i].place, 0,
		    cases[i].type, opened, &out),
		    want != NULL ? RC_OK : RC_SYNTAX);
		assert_int_equal(buffer_cstr(&out)[0], '>');
		assert_string_equal(buffer_cstr(&out) + 1,
		    want != NULL ? want : "");
		if (want == NULL || strlen(want) < 2)
			continue;
		buffer_init(&small, strlen(want) - 1, false);
		assert_int_equal(body_found_write(cases[i].place, 0,
		    cases[i].type, opened, &small), RC_LIMIT);
		assert_int_equal(buffer_len(&small), 0);
		buffer_fini(&small);
	}
	buffer_fini(&out);
}

/* Strings around the place: each round of escapes by itself. */
static void
test_depth(void **state)
{
	static const struct {
		enum body_found_place	place;
		unsigned		depth;
		const char		*opened;
		const char		*written;
	} deep[] = {
		{ BODY_FOUND_JSON_TEXT, 1, "4111", "4111" },
		{ BODY_FOUND_JSON_TEXT, 1, "", "" },
		{ BODY_FOUND_JSON_TEXT, 1, "a\"b\\\n", "a\\\\\\\"b\\\\\\\\\\\\n" },
		{ BODY_FOUND_JSON_TEXT, 2, "\"", "\\\\\\\\\\\\\\\"" },
		{ BODY_FOUND_JSON_TEXT, 4, "", "" },
		{ BODY_FOUND_JSON_TEXT, 5, "a", NULL },
		{ BODY_FOUND_JSON_TEXT, 1, "\xff", NULL },
		{ BODY_FOUND_PERCENT, 1, "\",\"b\":\"", "%5C%22%2C%5C%22b%5C%22%3A%5C%22" },
		{ BODY_FOUND_PERCENT, 2, "\"", "%5C%5C%5C%22" },
		{ BODY_FOUND_XML, 1, "\"<", "\\&quot;&lt;" },
		{ BODY_FOUND_CDATA, 1, "\"<", "\\\"<" },
		{ BODY_FOUND_PLAIN, 9, "\"", "\"" },
	};
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	for (size_t i = 0; i < sizeof(deep) / sizeof(deep[0]); i++) {
		buffer_clear(&out);
		assert_int_equal(body_found_write(deep[i].place, deep[i].depth,
		    S, span_of(deep[i].opened), &out),
		    deep[i].written != NULL ? RC_OK : RC_SYNTAX);
		assert_string_equal(buffer_cstr(&out),
		    deep[i].written != NULL ? deep[i].written : "");
	}
	buffer_fini(&out);
}

static void
test_nul(void **state)
{
	const struct span nul = { "a\0b", 3 };
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(body_found_write(BODY_FOUND_XML, 0, S, nul, &out),
	    RC_SYNTAX);
	assert_int_equal(body_found_write(BODY_FOUND_PERCENT, 0, S, nul, &out),
	    RC_OK);
	assert_int_equal(body_found_write(BODY_FOUND_JSON_TEXT, 0, S, nul, &out),
	    RC_OK);
	assert_string_equal(buffer_cstr(&out), "a%00ba\\u0000b");
	assert_false(body_found_fits_line(nul));
	buffer_fini(&out);
}

static void
test_fits_line(void **state)
{
	char text[] = "a?b";

	(void)state;
	assert_true(body_found_fits_line(span_of("")));
	for (int c = 1; c < 256; c++) {
		text[1] = (char)c;
		assert_int_equal(body_found_fits_line(span_of(text)),
		    c == '\t' || (c >= ' ' && c != 0x7f));
	}
}

static void
test_founds_grow(void **state)
{
	struct body_founds founds = { NULL, 0, 0 };

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(body_founds_reserve(&founds), RC_OK);
		assert_true(founds.cap > founds.n);
		founds.v[founds.n++] = (struct body_found){ .start = i };
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(founds.v[i].start, i);
	body_founds_fini(&founds);
	assert_null(founds.v);
	body_founds_fini(&founds);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_fits_line),
		cmocka_unit_test(test_founds_grow),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
