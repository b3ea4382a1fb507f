/* How deep in strings of JSON a place is, in documents that are made here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/body/found.h"
#include "lib/body/quoting.h"

#define J	BODY_QUOTING_JSON
#define F	BODY_QUOTING_FORM
#define U	BODY_QUOTING_URL
#define X	BODY_QUOTING_XML
#define H	BODY_QUOTING_HTML

/* The place is '@'. */
static const struct {
	enum body_quoting_kind	kind;
	const char		*text;
	unsigned		depth;
} cases[] = {
	{ J, "@", 0 },
	{ J, "\"@", 0 },
	{ J, "{\"a\":@", 0 },
	{ J, "\"\\\"@", 1 },
	{ J, "\"\\\"\\\"@", 0 },
	{ J, "\"\\\"\"@", 0 },
	{ J, "\"\\\\\"@", 0 },
	{ J, "\"\\\\\\\"@", 0 },	/* deeper, and nothing around it */
	{ J, "\"\\\"\\\\\\\"@", 2 },
	{ J, "\"\\\"\\\\\\\"\\\"@", 0 },
	{ J, "\"\\\"\\\\\\\"\\\"\\\"@", 1 },
	{ J, "\"\\u0022@", 1 },
	{ J, "\"\\u0022\\\\u0022@", 2 },
	{ J, "\"\\u0022\\\\\\u0022@", 2 },
	{ J, "\"\\u0022\\\\\\\"@", 2 },
	{ J, "\"\\u0022\\\\\\\\u0022@", 1 },	/* deeper than one below */
	{ J, "\"u0022@", 0 },
	{ J, "\"\\u0022\\u005C\\u0022@", 2 },
	{ J, "\"\\u0022\\u005c\\\"@", 2 },
	{ J, "\"{\\u0022b\\u0022:\\u0022x\\u005C\\u0022y\\u0022,\\u0022c\\u0022:\\u0022@", 1 },
	{ J, "\"\\\"\\u005c\\u005c\\\"@", 0 },
	{ J, "\"\\u005c\"@", 0 },
	{ F, "a=%22%5Cu005c%5Cu0022@", 1 },
	{ J, "\"\\u002@2", 0 },
	{ J, "\"\\u0023@", 0 },
	{ J, "\"%22@", 0 },
	{ J, "\"\\\" & <@", 1 },
	{ F, "a=\"@", 1 },
	{ F, "a=%22@", 1 },
	{ F, "a=%2@2", 0 },
	{ F, "a=%22%22@", 0 },
	{ F, "a=%22%5C%22@", 2 },
	{ F, "a=%22%5c%22%5C%5C%5C%22@", 3 },
	{ F, "a=%22%5Cu0022@", 2 },
	{ F, "a=\"\\\"@", 2 },
	{ F, "a=%22&b=@", 0 },
	{ F, "a=%22%26b=@", 1 },
	{ F, "a=%5C&b=\"@", 1 },
	{ U, "\"@", 0 },
	{ U, "%22@", 1 },
	{ U, "%22%5C%22@", 2 },
	{ U, "%22 @", 0 },
	{ U, "%22\"@", 0 },
	{ U, "%22&a=@", 0 },
	{ U, "%22?@", 0 },
	{ U, "%22#@", 0 },
	{ U, "27%22\\u0026d=%22c%22:%22@", 1 },
	{ U, "%22\\u0025@", 1 },
	{ U, "%22\n@", 0 },
	{ U, "\\%22@", 1 },	/* not one of the URL */
	{ X, "<a>\"@", 0 },
	{ X, "<a>{\"@", 1 },
	{ X, "<a> \n[&quot;@", 1 },
	{ X, "<a>[&#34;&#92;&#x22;@", 2 },
	{ X, "<a>[&#34;&#x5C;\"@", 2 },
	{ X, "[\"\\\"@", 2 },
	{ X, "<p>{&#034;c&#x00022;:&#0034;@", 1 },
	{ X, "<p>&#xD;&#123;&#34;@", 1 },
	{ X, "<p>&#97;{&#34;@", 0 },
	{ X, "<p>{&#34@", 0 },
	{ X, "<!-- <![CDATA[ --><c>{\"&lt;@", 1 },
	{ X, "<d t=\"<![CDATA[\">{&quot;@", 1 },
	{ H, "<![CDATA[>{&quot;@", 1 },
	{ H, "<p>[\"@", 1 },
	{ X, "<a>{\"a > b@", 1 },
	{ X, "<a>{\"<b>@", 0 },
	{ X, "<a b=\"[\"@", 0 },
	{ X, "<![CDATA[{\"<a>@", 1 },
	{ X, "<![CDATA[{\"]]>@", 0 },
	{ X, "<![CDATA[{&quot;@", 0 },
	{ X, "<![CDATA[a\"@", 0 },
};

static struct body_quoting
passed(enum body_quoting_kind kind, struct span text, size_t to, size_t cut)
{
	const size_t base = 77;
	struct body_quoting q;
	size_t from;
	char *copy;

	/* Blocks of their own: a byte read outside of them is seen. */
	body_quoting_init(&q, kind, base);
	copy = malloc(cut + 1);
	assert_non_null(copy);
	memcpy(copy, text.p, cut);
	copy = realloc(copy, cut == 0 ? 1 : cut);
	body_quoting_pass(&q, (struct span){ copy, cut }, base, base + cut,
	    false);
	free(copy);
	assert_true(q.at <= base + cut && q.at + 9 > base + cut);
	from = q.at - base;
	copy = malloc(to - from + 1);
	assert_non_null(copy);
	memcpy(copy, text.p + from, to - from);
	body_quoting_pass(&q, (struct span){ copy, to - from }, q.at, base + to,
	    true);
	free(copy);
	assert_int_equal(q.at, base + to);
	return (q);
}

static void
check(enum body_quoting_kind kind, struct span text, unsigned depth)
{
	const char *place = memchr(text.p, '@', text.len);
	struct body_quoting q;
	size_t to;

	assert_non_null(place);
	to = (size_t)(place - text.p);
	for (size_t cut = 0; cut <= to; cut++) {
		q = passed(kind, text, to, cut);
		if (body_quoting_depth(&q) != depth)
			fail_msg("%.*s cut %zu: %u, not %u", (int)text.len,
			    text.p, cut, body_quoting_depth(&q), depth);
	}
}

static void
test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(cases[i].kind, span_of(cases[i].text), cases[i].depth);
}

/* ---- documents in documents --------------------------------------------------- */

/* Prose with whole pairs of quotes, and what else needs care. */
static void
put_prose(struct buffer *out, unsigned *seed)
{
	static const char *const words[] = {
		"a", "\"b\"", "\\", "\\\"c\\\"", "u0022", "%22", "&", "<", "{",
		"\n", "\"\"", "\\\\", "=", "]",
	};
	unsigned n = (unsigned)rand_r(seed) % 6;

	while (n-- > 0)
		buffer_puts(out, words[(size_t)rand_r(seed) %
		    (sizeof(words) / sizeof(words[0]))]);
}

/* As one writer or the other escapes. */
static void
put_string(struct buffer *out, struct span text, unsigned *seed)
{
	bool unicode = rand_r(seed) % 3 == 0;

	buffer_puts(out, "\"");
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (c == '"')
			buffer_puts(out, unicode ? "\\u0022" : "\\\"");
		else if (c == '\\' || c == '\n')
			buffer_puts(out, c == '\\' ? "\\\\" : "\\n");
		else
			buffer_put(out, &c, 1);
	}
	buffer_puts(out, "\"");
}

/* {"n":"prose","d":"what was in out"} */
static void
wrap(struct buffer *out, unsigned *seed)
{
	struct buffer was, prose;

	buffer_init(&was, 0, false);
	buffer_init(&prose, 0, false);
	buffer_move(&was, out);
	put_prose(&prose, seed);
	buffer_puts(out, "{\"n\":");
	put_string(out, (struct span){ buffer_data(&prose),
	    buffer_len(&prose) }, seed);
	buffer_puts(out, ",\"d\":");
	put_string(out, (struct span){ buffer_data(&was), buffer_len(&was) },
	    seed);
	buffer_puts(out, "}");
	buffer_fini(&was);
	buffer_fini(&prose);
}

/* In the place's own writing, between head and tail; '@' stays. */
static void
put_written(struct buffer *out, enum body_found_place place, const char *head,
    struct span text, const char *tail)
{
	const char *at = memchr(text.p, '@', text.len);
	struct span before = { text.p, (size_t)(at - text.p) };
	struct span behind = { at + 1, text.len - before.len - 1 };

	buffer_clear(out);
	buffer_puts(out, head);
	assert_int_equal(body_found_write(place, 0, BODY_VALUE_STRING, before,
	    out), RC_OK);
	buffer_puts(out, "@");
	assert_int_equal(body_found_write(place, 0, BODY_VALUE_STRING, behind,
	    out), RC_OK);
	buffer_puts(out, tail);
}

static void
test_documents_in_documents(void **state)
{
	struct buffer doc, out;
	unsigned seed = 42;

	(void)state;
	buffer_init(&doc, 0, false);
	buffer_init(&out, 0, false);
	for (unsigned round = 0; round < 400; round++) {
		unsigned depth = 1 + round % BODY_FOUND_DEPTH_MAX;
		struct span text;

		buffer_clear(&doc);
		do {		/* a backslash would escape what follows it */
			buffer_clear(&doc);
			put_prose(&doc, &seed);
		} while (memchr(buffer_cstr(&doc), '\\', buffer_len(&doc)) != NULL);
		buffer_puts(&doc, "@");
		put_prose(&doc, &seed);
		for (unsigned i = 0; i < depth; i++)
			wrap(&doc, &seed);
		text = (struct span){ buffer_data(&doc), buffer_len(&doc) };
		check(J, text, depth - 1);
		put_written(&out, BODY_FOUND_PERCENT, "x=%22&p=", text, "&y=");
		text = (struct span){ buffer_data(&out), buffer_len(&out) };
		check(F, text, depth);
		check(U, text, depth);
		text = (struct span){ buffer_data(&doc), buffer_len(&doc) };
		put_written(&out, BODY_FOUND_XML, "<a b='\"'>", text, "</a>");
		text = (struct span){ buffer_data(&out), buffer_len(&out) };
		check(X, text, depth);
	}
	buffer_fini(&doc);
	buffer_fini(&out);
}

/* However long: a run of backslashes, quotes of all levels. */
static void
test_long(void **state)
{
	struct buffer text;
	struct body_quoting q;

	(void)state;
	buffer_init(&text, 0, false);
	buffer_puts(&text, "\"");
	for (size_t i = 0; i < 300000; i++)
		buffer_puts(&text, "\\");
	for (size_t i = 0; i < 100001; i++)
		buffer_puts(&text, "\\\"");
	body_quoting_init(&q, J, 0);
	for (size_t at = 1; at <= buffer_len(&text); at++)
		body_quoting_pass(&q, (struct span){ buffer_data(&text), at }, 0,
		    at, false);
	assert_int_equal(q.at, buffer_len(&text));
	assert_int_equal(body_quoting_depth(&q), 1);
	buffer_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_documents_in_documents),
		cmocka_unit_test(test_long),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
