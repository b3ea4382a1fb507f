/* Forms: pairs, decoding, what is chosen, and text put in as a value. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/base/object.h"
#include "lib/body/form.h"
#include "lib_body_suite.h"

#define NAMES_MAX	3

static void
decode(struct span raw, struct buffer *out)
{
	buffer_init(out, 0, false);
	assert_int_equal(body_form_decode(raw, out), RC_OK);
}

/* ---- the public suite ---------------------------------------------------- */

/* The character at the front and whether it is whole; of a broken one the
 * part that one U+FFFD stands for (the longest that could become a good one,
 * Unicode 3.9). */
static size_t
utf8_front(struct span s, bool *whole)
{
	unsigned char lead = (unsigned char)s.p[0], low = 0x80, high = 0xbf;
	size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 :
	    lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;

	*whole = false;
	if (len == 0)
		return (1);
	if (lead == 0xe0 || lead == 0xf0)
		low = lead == 0xe0 ? 0xa0 : 0x90;	/* not overlong */
	if (lead == 0xed || lead == 0xf4)
		high = lead == 0xed ? 0x9f : 0x8f;	/* no surrogate, in range */
	for (size_t i = 1; i < len; i++, low = 0x80, high = 0xbf)
		if (i == s.len || (unsigned char)s.p[i] < low ||
		    (unsigned char)s.p[i] > high)
			return (i);
	*whole = true;
	return (len);
}

/* Bytes as a browser shows them: U+FFFD for what is no UTF-8. */
static void
replace_broken(struct buffer *b)
{
	struct buffer out;
	struct span rest = suite_span(b);
	size_t len;
	bool whole;

	buffer_init(&out, 0, false);
	for (; rest.len != 0; rest.p += len, rest.len -= len) {
		len = utf8_front(rest, &whole);
		if (whole)
			buffer_put(&out, rest.p, len);
		else
			buffer_puts(&out, "\xef\xbf\xbd");
	}
	buffer_clear(b);
	buffer_move(b, &out);
}

static void
test_replacement_is_the_standards(void **state)
{
	static const struct {
		const char	*in, *want;
	} rows[] = {
		{ "a\xc3\xa4z", "a\xc3\xa4z" },
		{ "\xff\xfe", "??" },
		{ "\xc2x", "?x" },
		{ "\xe2\x82", "?" },			/* cut: one */
		{ "\xf0\x9f\x98x", "?x" },
		{ "\xe0\x80\x80", "???" },		/* overlong: each */
		{ "\xed\xa0\x80", "???" },		/* a surrogate */
		{ "\xf4\x90\x80\x80", "????" },
		{ "\xf0\x9f\x98\x80\x80", "\xf0\x9f\x98\x80?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer got, want;

		buffer_init(&got, 0, false);
		buffer_init(&want, 0, false);
		buffer_puts(&got, rows[i].in);
		replace_broken(&got);
		for (const char *c = rows[i].want; *c != '\0'; c++) {
			if (*c == '?')
				buffer_puts(&want, "\xef\xbf\xbd");
			else
				buffer_put(&want, c, 1);
		}
		assert_string_equal(buffer_cstr(&got), buffer_cstr(&want));
		buffer_fini(&got);
		buffer_fini(&want);
	}
}

static void
check_text(const struct body_json *doc, uint32_t node, struct span raw)
{
	struct buffer want, got;

	suite_text(doc, node, &want);
	decode(raw, &got);
	assert_true(body_form_is(raw, suite_span(&got)));
	replace_broken(&got);
	if (!span_eq(suite_span(&got), suite_span(&want)))
		fail_msg("%.*s: not what the suite says", (int)raw.len, raw.p);
	buffer_fini(&want);
	buffer_fini(&got);
}

/* {"input":TEXT,"output":[[NAME,VALUE],...]} */
static void
check_case(const struct body_json *doc, uint32_t at)
{
	uint32_t input = body_json_member(doc, at, "input");
	uint32_t output = body_json_member(doc, at, "output"), row;
	struct body_form_pair pair;
	struct buffer text;
	struct span rest;

	suite_text(doc, input, &text);
	rest = suite_span(&text);
	for (row = output + 1; row < doc->nodes[output].next;
	    row = doc->nodes[row].next) {
		assert_true(body_form_next(&rest, &pair));
		check_text(doc, row + 1, pair.name);
		check_text(doc, row + 2, pair.value);
	}
	assert_false(body_form_next(&rest, &pair));
	buffer_fini(&text);
}

static void
test_suite(void **state)
{
	struct buffer text;
	struct body_json doc;
	unsigned n = 0;

	(void)state;
	suite_file(suite_path("urlencoded"), "urlencoded-parser-data.json",
	    &text);
	assert_int_equal(body_json_read(&doc, buffer_data(&text),
	    buffer_len(&text), 0, NULL), RC_OK);
	for (uint32_t i = 1; i < doc.n; i = doc.nodes[i].next, n++)
		check_case(&doc, i);
	print_message("%u cases\n", n);
	assert_true(n >= 20);
	body_json_fini(&doc);
	buffer_fini(&text);
}

/* ---- pairs and text ------------------------------------------------------ */

static void
test_pairs(void **state)
{
	static const struct {
		const char	*body;
		const char	*want;	/* name|value; ! bare */
	} rows[] = {
		{ "", "" },
		{ "&", "" },
		{ "&&&", "" },
		{ "a=1", "a|1 " },
		{ "a=1&b=2", "a|1 b|2 " },
		{ "&a=1&&b=2&", "a|1 b|2 " },
		{ "a", "a|! " },
		{ "a&b=", "a|! b| " },
		{ "=", "| " },
		{ "=v", "|v " },
		{ "a==b=c", "a|=b=c " },
		{ "a=1;b=2", "a|1;b=2 " },	/* '&' alone separates */
		{ "a%26b=c%3Dd", "a%26b|c%3Dd " },
		{ "a=1\r\n&b", "a|1\r\n b|! " },
		{ "a=1&a=2&a", "a|1 a|2 a|! " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span rest = span_of(rows[i].body);
		struct body_form_pair p;
		struct buffer got;

		buffer_init(&got, 0, false);
		while (body_form_next(&rest, &p)) {
			buffer_printf(&got, "%.*s|%.*s%s ", (int)p.name.len,
			    p.name.p, (int)p.value.len, p.value.p,
			    p.bare ? "!" : "");
			assert_true(p.value.p == p.name.p + p.name.len +
			    (p.bare ? 0 : 1));
		}
		assert_string_equal(buffer_cstr(&got), rows[i].want);
		assert_int_equal(rest.len, 0);
		buffer_fini(&got);
	}
}

static void
test_decode(void **state)
{
	static const struct {
		struct span	raw, text;
	} rows[] = {
		{ SPAN_LIT(""), SPAN_LIT("") },
		{ { NULL, 0 }, { NULL, 0 } },
		{ SPAN_LIT("plain"), SPAN_LIT("plain") },
		{ SPAN_LIT("a+b+"), SPAN_LIT("a b ") },
		{ SPAN_LIT("%2B%2b%20"), SPAN_LIT("++ ") },
		{ SPAN_LIT("%00%ff%0D%0a"), SPAN_LIT("\0\xff\r\n") },
		{ SPAN_LIT("%"), SPAN_LIT("%") },
		{ SPAN_LIT("%4"), SPAN_LIT("%4") },
		{ SPAN_LIT("%4g%g4%+1"), SPAN_LIT("%4g%g4% 1") },
		{ SPAN_LIT("%%41%"), SPAN_LIT("%A%") },
		{ SPAN_LIT("%2541"), SPAN_LIT("%41") },	/* once only */
		{ SPAN_LIT("\xc3\xa4%C3%A4"), SPAN_LIT("\xc3\xa4\xc3\xa4") },
		{ SPAN_LIT("a\0b"), SPAN_LIT("a\0b") },
	};
	struct buffer got;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span raw = rows[i].raw, text = rows[i].text;

		decode(raw, &got);
		assert_true(span_eq(suite_span(&got), text));
		assert_true(body_form_is(raw, text));
		assert_false(body_form_is(raw, SPAN_LIT("other")));
		if (text.len != 0) {	/* neither a part nor more is it */
			text.len--;
			assert_false(body_form_is(raw, text));
			assert_false(body_form_is((struct span){ NULL, 0 },
			    rows[i].text));
		}
		buffer_fini(&got);
	}
	assert_false(body_form_is(SPAN_LIT("a"), SPAN_LIT("ab")));
	assert_false(body_form_is(SPAN_LIT("A"), SPAN_LIT("a")));
}

/* Each byte of each text means itself, and of what divides a form nothing is
 * left bare. */
static void
check_insert(struct span text)
{
	struct body_form_pair pair;
	struct buffer form, back;
	struct span raw, rest;

	buffer_init(&form, 0, false);
	buffer_puts(&form, "a=");
	assert_int_equal(body_form_insert(text, &form), RC_OK);
	raw = suite_span(&form);
	raw.p += 2;
	raw.len -= 2;
	for (size_t i = 0; i < raw.len; i++)
		assert_true(raw.p[i] > ' ' && raw.p[i] < 0x7f &&
		    strchr("&=#?;\"<>'/\\", raw.p[i]) == NULL);
	decode(raw, &back);
	assert_true(span_eq(suite_span(&back), text));
	assert_true(body_form_is(raw, text));
	rest = suite_span(&form);
	assert_true(body_form_next(&rest, &pair));
	assert_true(span_eq(pair.value, raw) && rest.len == 0);
	buffer_fini(&form);
	buffer_fini(&back);
}

static void
test_insert_every_byte(void **state)
{
	char all[256], one[3] = "x?y";

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		all[i] = (char)i;
		one[1] = (char)i;
		check_insert((struct span){ one, sizeof(one) });
		check_insert((struct span){ &all[i], 1 });
	}
	check_insert((struct span){ all, sizeof(all) });
	check_insert((struct span){ NULL, 0 });
	check_insert(SPAN_LIT("%41+&a=b"));
}

static void
test_insert_spelling(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(body_form_insert(
	    SPAN_LIT("aZ09*-._ ~+%&=\n\xc3\xa4:$/"), &out), RC_OK);
	assert_string_equal(buffer_cstr(&out),
	    "aZ09*-._+%7E%2B%25%26%3D%0A%C3%A4%3A%24%2F");
	buffer_fini(&out);
}

static void
test_limit_of_the_buffer(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 5, false);
	buffer_puts(&out, "ab");
	assert_int_equal(body_form_insert(SPAN_LIT("c&"), &out), RC_LIMIT);
	assert_int_equal(body_form_decode(SPAN_LIT("%41%42+d"), &out),
	    RC_LIMIT);
	assert_string_equal(buffer_cstr(&out), "ab");
	assert_int_equal(body_form_insert(SPAN_LIT("&"), &out), RC_OK);
	assert_string_equal(buffer_cstr(&out), "ab%26");
	buffer_clear(&out);
	assert_int_equal(body_form_decode(SPAN_LIT("%41%42+d%"), &out), RC_OK);
	assert_string_equal(buffer_cstr(&out), "AB d%");
	buffer_fini(&out);
}

/* ---- selection ----------------------------------------------------------- */

static const struct {
	const char	*body;
	const char	*names[NAMES_MAX];
	/* each slot: start:raw, selection; e escaped, _ empty, ! bare */
	const char	*want;
} cases[] = {
	{ "card=4111&n=1", { "card" }, "5:4111#0" },
	{ "card=4111&n=1", { "n", "card" }, "5:4111#1 12:1#0" },
	{ "a=1&b=2&a=3", { "a" }, "2:1#0 10:3#0" },
	/* a name chosen twice belongs to the first that chose it */
	{ "a=1", { "b", "a", "a" }, "2:1#1" },
	{ "a=&a&a=", { "a" }, "2:#0_ 4:#0_! 7:#0_" },
	{ "a", { "a" }, "1:#0_!" },
	{ "a=x+y&a=%41&a=100%&a=%zz&a=+", { "a" },
	    "2:x+y#0e 8:%41#0e 14:100%#0 21:%zz#0 27:+#0e" },
	/* names by what they mean, not by how they are written */
	{ "c%61rd=1&c+d=2&%63ard=3&card%=4", { "card", "c d", "card%" },
	    "7:1#0 13:2#1 22:3#0 30:4#2" },
	/* exact: no prefix, no case, no brackets */
	{ "cards=1&Card=2&car=3&card[]=4&card.x=5", { "card" }, "" },
	{ "card[]=1&user[card]=2", { "card[]", "user[card]" },
	    "7:1#0 20:2#1" },
	{ "=v&=&x", { "" }, "1:v#0 4:#0_" },
	{ "&&a=1&&", { "a" }, "4:1#0" },
	{ "a=b=c", { "a" }, "2:b=c#0" },
	{ "b=a", { "a" }, "" },
	{ "", { "a" }, "" },
	{ "a=1", { NULL }, "" },
};

static size_t
names_of(const char *const *texts, struct span *names)
{
	size_t n;

	for (n = 0; n < NAMES_MAX && texts[n] != NULL; n++)
		names[n] = span_of(texts[n]);
	return (n);
}

static void
test_select(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span names[NAMES_MAX];
		struct body_slots slots;
		struct buffer got;
		size_t n = names_of(cases[i].names, names);

		buffer_init(&got, 0, false);
		assert_int_equal(body_form_select(span_of(cases[i].body),
		    names, n, 100, &slots), RC_OK);
		for (size_t k = 0; k < slots.n; k++) {
			const struct body_slot *s = &slots.v[k];

			assert_int_equal(s->type, BODY_VALUE_STRING);
			buffer_printf(&got, "%s%zu:%.*s#%u%s%s%s",
			    k == 0 ? "" : " ", s->start,
			    (int)(s->end - s->start),
			    cases[i].body + s->start, (unsigned)s->selection,
			    s->escaped ? "e" : "", s->empty ? "_" : "",
			    s->bare ? "!" : "");
		}
		assert_string_equal(buffer_cstr(&got), cases[i].want);
		buffer_fini(&got);
		body_slots_fini(&slots);
	}
}

static void
test_select_limit(void **state)
{
	static const struct span names[] = { { "a", 1 }, { "b", 1 } };
	const struct span body = SPAN_LIT("a=1&x=2&b=3&&b&x&a");
	struct body_slots slots;

	(void)state;
	for (size_t max = 0; max < 4; max++) {
		assert_int_equal(body_form_select(body, names, 2, max, &slots),
		    RC_LIMIT);
		assert_null(slots.v);
		assert_int_equal(slots.n, 0);
	}
	/* What is not chosen does not count. */
	assert_int_equal(body_form_select(body, names, 2, 4, &slots), RC_OK);
	assert_int_equal(slots.n, 4);
	body_slots_fini(&slots);
	assert_int_equal(body_form_select(body, names, 0, 0, &slots), RC_OK);
	assert_int_equal(slots.n, 0);
	body_slots_fini(&slots);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replacement_is_the_standards),
		cmocka_unit_test(test_suite),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_insert_every_byte),
		cmocka_unit_test(test_insert_spelling),
		cmocka_unit_test(test_limit_of_the_buffer),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_select_limit),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
