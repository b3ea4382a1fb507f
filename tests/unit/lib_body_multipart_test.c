/* The parts of a multipart body, and their heads (RFC 2046 5.1, RFC 7578). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/body/multipart.h"
#include "lib/body/part_head.h"

/*
 * A document with its pieces marked: (outside) |boundary line| {head} [data],
 * then "." when the last boundary was seen, or the name of what is wrong.
 */
static const struct {
	const char	*text;
	const char	*marked;
} cases[] = {
	{ "", "()eof" },
	{ "--b--", "()|--b--|()." },
	{ "--b\r\n\r\nx\r\n--b--", "()|--b\r\n|{\r\n}[x]|\r\n--b--|()." },
	{ "--b\r\nA: 1\r\nB: 2\r\n\r\nx\r\n--b--\r\n",
	    "()|--b\r\n|{A: 1\r\nB: 2\r\n\r\n}[x]|\r\n--b--\r\n|()." },
	{ "pre\r\n--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\npost\r\n--b\r\n",
	    "(pre)|\r\n--b\r\n|{\r\n}[x]|\r\n--b\r\n|{\r\n}[y]|\r\n--b--\r\n|"
	    "(post\r\n--b\r\n)." },
	{ "\r\n--b--", "()|\r\n--b--|()." },
	/* empty data, with and without its own line end */
	{ "--b\r\n\r\n\r\n--b--", "()|--b\r\n|{\r\n}[]|\r\n--b--|()." },
	{ "--b\r\n\r\n--b--", "()|--b\r\n|{\r\n}[]|--b--|()." },
	{ "--b\r\nA: 1\r\n\r\n--b\r\n\r\n--b--",
	    "()|--b\r\n|{A: 1\r\n\r\n}[]|--b\r\n|{\r\n}[]|--b--|()." },
	{ "--b\r\n\r\n\r\n\r\n\r\n--b--", "()|--b\r\n|{\r\n}[\r\n\r\n]|\r\n--b--|()." },
	/* white space behind the boundary */
	{ "--b \t\r\n\r\nx\r\n--b-- \r\n", "()|--b \t\r\n|{\r\n}[x]|\r\n--b-- \r\n|()." },
	{ "--b\r\n\r\nx\r\n--b-- ", "()|--b\r\n|{\r\n}[x]|\r\n--b-- |()." },
	/* look-alikes */
	{ "--b\r\n\r\n--bb\r\n--b-\r\n--b--b\r\n-b\r\n--b--",
	    "()|--b\r\n|{\r\n}[--bb\r\n--b-\r\n--b--b\r\n-b]|\r\n--b--|()." },
	{ "--b\r\n\r\nx--b--\r\n--B--\r\n --b--", "()|--b\r\n|{\r\n}[x--b--\r\n--B--\r\n --b--]eof" },
	{ "--b\r\n\r\n\r\r\n\r\n--b\r\r\n--b--", "()|--b\r\n|{\r\n}[\r\r\n\r\n--b\r]|\r\n--b--|()." },
	{ "x--b--", "(x--b--)eof" },
	/* bare line feeds make no boundary */
	{ "--b\n\nx\n--b--\n", "(--b\n\nx\n--b--\n)eof" },
	{ "--b\r\n\r\nx\n--b--\r\n", "()|--b\r\n|{\r\n}[x\n--b--\r\n]eof" },
	{ "--b\r\n\r\nx\r\n--b\n\r\n--b--", "()|--b\r\n|{\r\n}[x\r\n--b\n]|\r\n--b--|()." },
	/* no end */
	{ "--b\r\n\r\nx", "()|--b\r\n|{\r\n}[x]eof" },
	{ "--b\r\n\r\nx\r\n--b", "()|--b\r\n|{\r\n}[x\r\n--b]eof" },
	{ "--b\r\n\r\nx\r\n--b ", "()|--b\r\n|{\r\n}[x\r\n--b ]eof" },
	{ "--b\r\n\r\nx\r\n--b-", "()|--b\r\n|{\r\n}[x\r\n--b-]eof" },
	{ "--b\r\n\r\nx\r\n--b--\r", "()|--b\r\n|{\r\n}[x\r\n--b--\r]eof" },
	{ "--b\r\n\r\n", "()|--b\r\n|{\r\n}[]eof" },
	{ "--b", "(--b)eof" },
	/* heads that are none */
	{ "--b\r\n", "()|--b\r\n|syntax" },
	{ "--b\r\nA: 1\r\n", "()|--b\r\n|syntax" },
	{ "--b\r\nA: 1\n\n", "()|--b\r\n|syntax" },
	{ "--b\r\nA: 1\rB\r\n\r\n", "()|--b\r\n|syntax" },
	{ "--b\r\n\n", "()|--b\r\n|syntax" },
	/* one multipart in another is data */
	{ "--b\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--",
	    "()|--b\r\n|{\r\n}[--c\r\n\r\nx\r\n--c--]|\r\n--b--|()." },
};

static const char *const marks[][2] = {
	[BODY_MULTIPART_OUTSIDE] = { "(", ")" },
	[BODY_MULTIPART_BOUNDARY] = { "|", "|" },
	[BODY_MULTIPART_HEAD] = { "{", "}" },
	[BODY_MULTIPART_DATA] = { "[", "]" },
};

struct reading {
	struct body_multipart	m;
	struct buffer		*out;
	struct span		text;
	bool			open;	/* a text's mark is written */
	size_t			at;	/* end of the last piece */
};

static void
put_piece(struct reading *r, const struct body_multipart_piece *piece)
{
	assert_int_equal(piece->start, r->at);
	assert_true(piece->end > piece->start || piece->last);
	if (!r->open)
		buffer_puts(r->out, marks[piece->kind][0]);
	buffer_put(r->out, r->text.p + piece->start, piece->end - piece->start);
	if (piece->last)
		buffer_puts(r->out, marks[piece->kind][1]);
	r->open = !piece->last;
	r->at = piece->end;
}

/* One window as a block of its own; true: more may come. */
static bool
feed(struct reading *r, size_t end)
{
	size_t base = r->m.at, len = end - base;
	char *window = malloc(len == 0 ? 1 : len);
	struct body_multipart_piece piece;
	enum rc rc;

	assert_non_null(window);
	memcpy(window, r->text.p + base, len);
	while ((rc = body_multipart_next(&r->m, (struct span){ window, len },
	    base, end == r->text.len, &piece)) == RC_OK)
		put_piece(r, &piece);
	free(window);
	if (rc == RC_MORE)
		return (true);
	buffer_puts(r->out, rc == RC_SYNTAX ? "syntax" : rc == RC_LIMIT ?
	    "limit" : r->m.closed ? "." : "eof");
	return (false);
}

static void
read_all(struct span text, const char *boundary, size_t first, size_t step,
    struct buffer *out)
{
	struct reading r = { .out = out, .text = text };
	size_t end = first;

	buffer_clear(out);
	assert_int_equal(body_multipart_init(&r.m, span_of(boundary)), RC_OK);
	while (feed(&r, end)) {
		assert_true(end < text.len);
		end = text.len - end < step ? text.len : end + step;
	}
}

static void
test_every_cut(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span text = span_of(cases[i].text);

		for (size_t cut = 0; cut <= text.len; cut++) {
			read_all(text, "b", cut, text.len, &out);
			assert_string_equal(buffer_cstr(&out), cases[i].marked);
		}
		for (size_t step = 1; step < 4; step++) {
			read_all(text, "b", 0, step, &out);
			assert_string_equal(buffer_cstr(&out), cases[i].marked);
		}
	}
	buffer_fini(&out);
}

/* What is held back is no more than a boundary line, however often one seems
 * to begin; data goes out as it comes. */
static void
test_nothing_is_held(void **state)
{
	static const char text[] = "--b\r\n\r\nabc\r\n--abc\r\rabc";
	struct body_multipart_piece piece;
	struct body_multipart m;

	(void)state;
	for (size_t n = 7; n < sizeof(text); n++) {
		assert_int_equal(body_multipart_init(&m, span_of("b")), RC_OK);
		while (body_multipart_next(&m, (struct span){ text, n }, 0,
		    false, &piece) == RC_OK)
			continue;
		/* "\r\n--" stands at 10, lone CRs behind it. */
		if (n <= 14)
			assert_int_equal(m.at, n < 11 ? n : 10);
		else
			assert_int_equal(m.at, text[n - 1] == '\r' ? n - 1 : n);
	}
}

static void
test_limits(void **state)
{
	const size_t most = BODY_MULTIPART_HEAD_MAX;
	struct buffer text, out;

	(void)state;
	buffer_init(&text, 0, false);
	buffer_init(&out, 0, false);
	for (size_t n = most - 1; n < most + 2; n++) {
		buffer_clear(&text);
		buffer_puts(&text, "--b\r\nA:");
		for (size_t i = 2 + 4; i < n; i++)
			buffer_puts(&text, "x");
		buffer_puts(&text, "\r\n\r\n\r\n--b--");
		for (size_t step = 1000; step < 100000; step *= 90) {
			read_all((struct span){ buffer_data(&text),
			    buffer_len(&text) }, "b", 0, step, &out);
			assert_int_equal(buffer_cstr(&out)[buffer_len(&out) - 1],
			    n <= most ? '.' : 't');
		}
	}
	for (size_t n = 255; n < 260; n++) {
		buffer_clear(&text);
		buffer_puts(&text, "--b");
		for (size_t i = 0; i < n; i++)
			buffer_puts(&text, " ");
		buffer_puts(&text, "\r\n\r\n\r\n--b--");
		for (size_t step = 1; step < 1000; step *= 7) {
			read_all((struct span){ buffer_data(&text),
			    buffer_len(&text) }, "b", 0, step, &out);
			assert_int_equal(buffer_cstr(&out)[1],
			    n <= BODY_MULTIPART_PADDING_MAX ? ')' : '-');
		}
	}
	buffer_fini(&text);
	buffer_fini(&out);
}

static void
test_boundaries(void **state)
{
	static const struct {
		const char	*type;
		const char	*boundary;	/* NULL: none */
	} types[] = {
		{ "multipart/form-data; boundary=abc", "abc" },
		{ "multipart/form-data;boundary=abc; charset=x", "abc" },
		{ "multipart/mixed; Boundary = \"a b:c;d=e\" ; x", "a b:c;d=e" },
		{ "multipart/mixed; x=\"; boundary=no\"; boundary=yes", "yes" },
		{ "multipart/mixed; x=\"\\\"; boundary=no\"; boundary=yes", "yes" },
		{ "multipart/mixed; boundary=a; boundary=b", "a" },
		{ "multipart/mixed; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
		    "----WebKitFormBoundary7MA4YWxkTrZu0gW" },
		{ "multipart/mixed; boundary=\"\"", "" },
		{ "multipart/mixed; boundary=", "" },
		{ "multipart/mixed; boundary", "" },
		{ "multipart/mixed; boundaries=x", NULL },
		{ "multipart/mixed", NULL },
		{ "boundary=x", NULL },
		{ "", NULL },
	};
	struct body_multipart m;
	char text[80];
	struct span out;

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(body_media_boundary(span_of(types[i].type),
		    &out), types[i].boundary != NULL ? RC_OK : RC_SYNTAX);
		if (types[i].boundary != NULL)
			assert_true(span_eq_str(out, types[i].boundary));
	}
	memset(text, 'b', sizeof(text));
	for (size_t n = 0; n < sizeof(text); n++)
		assert_int_equal(body_multipart_init(&m, (struct span){ text, n }),
		    n >= 1 && n <= 70 ? RC_OK : RC_SYNTAX);
	assert_int_equal(body_multipart_init(&m, span_of("a ")), RC_SYNTAX);
	assert_int_equal(body_multipart_init(&m, span_of("a\rb")), RC_SYNTAX);
	assert_int_equal(body_multipart_init(&m, span_of("a\xff")), RC_SYNTAX);
	assert_int_equal(body_multipart_init(&m, span_of("a b")), RC_OK);
}

static void
test_heads(void **state)
{
	static const struct {
		const char	*head, *type, *name, *filename;
		bool		extended;
	} heads[] = {
		{ "\r\n", "", "", "", false },
		{ "Content-Disposition: form-data; name=\"a b\"\r\n\r\n", "", "a b", "", false },
		{ "content-disposition:form-data;name=a;filename=\"x;y.txt\"\r\n"
		    "CONTENT-TYPE: text/plain; charset=utf-8 \r\n\r\n",
		    "text/plain; charset=utf-8", "a", "x;y.txt", false },
		{ "Content-Disposition: form-data; filename=\"a\\\"b\"; name=\"c\"\r\n\r\n",
		    "", "c", "a\\\"b", false },
		{ "Content-Disposition: form-data; filename=a; filename*=UTF-8''%c3%a4; name=n\r\n\r\n",
		    "", "n", "UTF-8''%c3%a4", true },
		{ "Content-Type: a/b\r\nContent-Type: c/d\r\nno field\r\n: x\r\n\r\n", "a/b", "", "", false },
		{ "Content-Disposition: form-data\r\nContent-Disposition: form-data; name=n\r\n\r\n",
		    "", "", "", false },
		{ "Content-Disposition: form-data; name=\"a\r\n\r\n", "", "\"a", "", false },
		{ "Content-Type:\r\n\r\n", "", "", "", false },
		{ "X-Content-Type: a/b\r\n\r\n", "", "", "", false },
	};
	struct body_part_head h;

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		body_part_head_read(span_of(heads[i].head), &h);
		assert_true(span_eq_str(h.type, heads[i].type));
		assert_true(span_eq_str(h.name, heads[i].name));
		assert_true(span_eq_str(h.filename, heads[i].filename));
		assert_int_equal(h.extended, heads[i].extended);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_nothing_is_held),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_heads),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
