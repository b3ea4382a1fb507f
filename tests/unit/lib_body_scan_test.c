/* Tokens and files in bodies of any type, however they are cut. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/body/scan.h"

#define IV	"AAAAAAAAAAAAAA+/"
#define KEY	"AzXN7Yf0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define REST	IV ":" KEY ":ab+/d=:$"
#define TOKEN	"ev:QkTC:number:" REST
#define SHORT	"ev:" IV ":" KEY "::$"

/* The same token, as places may write it. */
#define TINY	"ev:AAAAAAAAAAAAAAA+:" KEY ":/:$"
#define SLASHED	"ev:AAAAAAAAAAAAAAA+:" KEY ":\\/:$"
#define UNICODE	"\\u0065\\u0076\\u003AAAAAAAAAAAAAAAA\\u002b\\u003a" KEY ":\\u002F:\\u0024"
#define PERCENT	"ev%3AAAAAAAAAAAAAAAA%2B%3a" KEY ":%2f%3A%24"
#define LETTERS	"%65%76%3AAAAAAAAAAAAAAAA+%3A" KEY "%3A/%3A%24"
#define REFS	"ev&#58;AAAAAAAAAAAAAAA&#x2B;:" KEY "&#x3a;&#47;:&#0036;"

#define MAX	1024		/* bytes of a token, where nothing else is said */
#define FILE_MAX	64

static const struct body_scan_limits limits = { MAX, FILE_MAX };

/* How a text is cut: the next window's end. */
typedef size_t cut_fn(size_t end, size_t len, void *arg);

struct feed {
	const char	*type;
	cut_fn		*cut;
	void		*arg;
	size_t		max_found;
	size_t		lag;	/* out: most that was held back, less the cut */
};

static const char *
letter(const struct body_found *f)
{
	static const char *const letters[][2] = {
		[BODY_FOUND_PLAIN] = { "P", "p" },
		[BODY_FOUND_JSON_VALUE] = { "V", "v" },
		[BODY_FOUND_JSON_TEXT] = { "T", "t" },
		[BODY_FOUND_PERCENT] = { "U", "u" },
		[BODY_FOUND_XML] = { "X", "x" },
		[BODY_FOUND_CDATA] = { "C", "c" },
		[BODY_FOUND_FILE] = { "F", "f" },
	};

	return (letters[f->place][f->encoded]);
}

/* "V[token]" in place of each, "T2[token]" two strings deep; its own text is checked against the
 * window it was found in. */
static void
put_founds(struct span text, const char *window, size_t base, size_t len,
    const struct body_founds *founds, size_t *at, struct buffer *out)
{
	struct buffer token;

	buffer_init(&token, 0, false);
	for (size_t i = 0; i < founds->n; i++) {
		const struct body_found *f = &founds->v[i];

		assert_true(f->start >= *at && f->start >= base);
		assert_true(f->end > f->start && f->end <= base + len);
		buffer_put(out, text.p + *at, f->start - *at);
		buffer_clear(&token);
		assert_int_equal(body_found_token((struct span){ window, len },
		    base, f, &token), RC_OK);
		buffer_puts(out, letter(f));
		if (f->depth != 0)
			buffer_printf(out, "%u", (unsigned)f->depth);
		buffer_puts(out, "[");
		buffer_put(out, buffer_data(&token), buffer_len(&token));
		buffer_puts(out, "]");
		*at = f->end;
	}
	buffer_fini(&token);
}

/* Each window is a block of its own: a byte read outside of it is seen. */
static void
scan(struct span text, struct feed *feed, struct buffer *out)
{
	struct body_scan *s = body_scan_new_for(span_of(feed->type), &limits);
	size_t end = 0, base = 0, settled = 0, at = 0;
	struct body_founds founds = { NULL, 0, 0 };
	bool more = true;
	char *window;

	assert_non_null(s);
	buffer_clear(out);
	feed->lag = 0;
	while (more) {
		size_t was = end;

		if (founds.n < feed->max_found)
			end = feed->cut(end, text.len, feed->arg);
		founds.n = 0;
		window = malloc(end - base + 1);
		assert_non_null(window);
		memcpy(window, text.p + base, end - base);
		window = realloc(window, end - base == 0 ? 1 : end - base);
		assert_int_equal(body_scan_feed(s, (struct span){ window,
		    end - base }, base, end == text.len, feed->max_found,
		    &founds, &settled), RC_OK);
		assert_true(founds.n <= feed->max_found);
		assert_true(settled >= base && settled <= end);
		put_founds(text, window, base, end - base, &founds, &at, out);
		assert_true(at <= settled);
		free(window);
		if (founds.n == 0 && was - base > feed->lag)
			feed->lag = was - base;
		base = settled;
		more = end < text.len || founds.n == feed->max_found;
	}
	assert_int_equal(settled, text.len);
	buffer_put(out, text.p + at, text.len - at);
	body_founds_fini(&founds);
	body_scan_free(&s);
	assert_null(s);
}

static size_t
cut_never(size_t end, size_t len, void *arg)
{
	(void)end;
	(void)arg;
	return (len);
}

static size_t
cut_once(size_t end, size_t len, void *arg)
{
	return (end == 0 && *(size_t *)arg != 0 ? *(size_t *)arg : len);
}

static size_t
cut_every(size_t end, size_t len, void *arg)
{
	size_t step = *(size_t *)arg;

	return (len - end < step ? len : end + step);
}

static size_t
cut_random(size_t end, size_t len, void *arg)
{
	unsigned *seed = arg;
	size_t step = (size_t)rand_r(seed) % (rand_r(seed) % 2 == 0 ? 4 : 90);

	return (len - end < step ? len : end + step);
}

/* ---- what is found, and its place ---------------------------------------------- */

#define JSON	"application/json"
#define PLAIN	"text/csv"
#define FORM	"application/x-www-form-urlencoded"
#define XML	"text/xml"
#define MIXED	"multipart/form-data; boundary=\"b-1\""
#define FIELD	"Content-Disposition: form-data; name=\"n\"\r\n"

static const struct {
	const char	*type;
	const char	*text;
	const char	*marked;
} cases[] = {
	/* plain: raw, and both escapes */
	{ PLAIN, "", "" },
	{ PLAIN, "no token", "no token" },
	{ PLAIN, TOKEN, "P[" TOKEN "]" },
	{ PLAIN, "a," TOKEN "," SHORT "\n", "a,P[" TOKEN "],P[" SHORT "]\n" },
	{ PLAIN, TOKEN SHORT TOKEN, "P[" TOKEN "]P[" SHORT "]P[" TOKEN "]" },
	{ PLAIN, "x" SLASHED "y", "xt[" TINY "]y" },
	{ PLAIN, UNICODE, "t[" TINY "]" },
	{ PLAIN, "?a=" PERCENT "&b", "?a=u[" TINY "]&b" },
	{ PLAIN, LETTERS LETTERS, "u[" TINY "]u[" TINY "]" },
	{ PLAIN, REFS, REFS },
	{ PLAIN, "\"" TOKEN "\"", "\"P[" TOKEN "]\"" },
	/* a token keeps to one kind of escape */
	{ PLAIN, "ev%3AAAAAAAAAAAAAAAA+:" KEY ":\\/:$",
	    "ev%3AAAAAAAAAAAAAAAA+:" KEY ":\\/:$" },
	/* look-alikes, and what stands behind them */
	{ PLAIN, "ev:ev:QkTC:" TOKEN, "ev:ev:QkTC:P[" TOKEN "]" },
	{ PLAIN, "ev:QKTC:" REST SHORT, "ev:QKTC:" REST "P[" SHORT "]" },
	{ PLAIN, "ev:" IV "A:" KEY "::$", "ev:" IV "A:" KEY "::$" },
	{ PLAIN, "ev:debug:QkTC:" REST, "P[ev:debug:QkTC:" REST "]" },
	{ PLAIN, "ev:debug:" SHORT, "ev:debug:P[" SHORT "]" },
	{ PLAIN, "ev:" IV ":" KEY ":abc" SHORT, "ev:" IV ":" KEY ":abcP[" SHORT "]" },
	{ PLAIN, "e" TOKEN "e", "eP[" TOKEN "]e" },
	{ PLAIN, "ev" TOKEN "ev:", "evP[" TOKEN "]ev:" },
	/* cut at the end of the document */
	{ PLAIN, SHORT "ev:" IV ":" KEY "::", "P[" SHORT "]ev:" IV ":" KEY "::" },
	{ PLAIN, "ev%3", "ev%3" },
	{ PLAIN, "\\u00", "\\u00" },
	/* an 'e' that is a digit begins nothing */
	{ PLAIN, "%2ev:" IV ":" KEY "::$", "%2ev:" IV ":" KEY "::$" },
	{ PLAIN, "\\u000ev:" IV ":" KEY "::$", "\\u000ev:" IV ":" KEY "::$" },
	{ PLAIN, "%25%33%65v:" IV ":" KEY "::$", "%25%33u[" SHORT "]" },

	/* JSON: a whole string, a part of one, a name */
	{ JSON, "\"" TOKEN "\"", "V[" TOKEN "]" },
	{ JSON, "{\"a\":\"" TOKEN "\"}", "{\"a\":V[" TOKEN "]}" },
	{ JSON, "{\"a\":\"" TOKEN "\" \n , \"b\":1}", "{\"a\":V[" TOKEN "] \n , \"b\":1}" },
	{ JSON, "[\"" TOKEN "\",\"" SHORT "\"]", "[V[" TOKEN "],V[" SHORT "]]" },
	{ JSON, "{\"" TOKEN "\":1}", "{\"T[" TOKEN "]\":1}" },
	{ JSON, "{\"" TOKEN "\" \r\n\t :\"" SHORT "\"}",
	    "{\"T[" TOKEN "]\" \r\n\t :V[" SHORT "]}" },
	{ JSON, "\"a " TOKEN "\"", "\"a T[" TOKEN "]\"" },
	{ JSON, "\"" TOKEN " b\"", "\"T[" TOKEN "] b\"" },
	{ JSON, "\"" TOKEN SHORT "\"", "\"T[" TOKEN "]T[" SHORT "]\"" },
	{ JSON, "\"" TOKEN "\\\"\"", "\"T[" TOKEN "]\\\"\"" },
	{ JSON, "\"\\\"" TOKEN "\"", "\"\\\"T1[" TOKEN "]\"" },
	/* a string in a string, in one more; names; a string that is over */
	{ JSON, "\"{\\\"a\\\":\\\"" TOKEN "\\\"}\"",
	    "\"{\\\"a\\\":\\\"T1[" TOKEN "]\\\"}\"" },
	{ JSON, "\"{\\\"" TOKEN "\\\":\\\"x" SHORT,
	    "\"{\\\"T1[" TOKEN "]\\\":\\\"xT1[" SHORT "]" },
	{ JSON, "\"[\\\"[\\\\\\\"" TOKEN "\\\\\\\"]\\\"," SHORT "]\",\"" TOKEN "\"",
	    "\"[\\\"[\\\\\\\"T2[" TOKEN "]\\\\\\\"]\\\",T[" SHORT "]]\",V[" TOKEN "]" },
	{ JSON, "\"[\\u0022[\\\\u0022" TOKEN "\\\\u0022]\\u0022," SHORT "]\"",
	    "\"[\\u0022[\\\\u0022T2[" TOKEN "]\\\\u0022]\\u0022,T[" SHORT "]]\"" },
	/* with escapes of each of them */
	{ JSON, "\"{\\\"a\\\":\\\"ev:AAAAAAAAAAAAAAA\\\\u002b:" KEY ":\\\\\\/:$\\\"",
	    "\"{\\\"a\\\":\\\"t1[" TINY "]\\\"" },
	{ JSON, "\"[\\\"ev:AAAAAAAAAAAAAAA\\\\\\\\u002B:" KEY ":\\\\/:$", "\"[\\\"t1[" TINY "]" },
	{ JSON, "\"say \\\"hi\\\" and " TOKEN "\"", "\"say \\\"hi\\\" and T[" TOKEN "]\"" },
	{ JSON, "\"\\u0022\",\"a" TOKEN "\"", "\"\\u0022\",\"aT[" TOKEN "]\"" },
	{ JSON, "\"?q=%7B%22a%22:%22" PERCENT "%22\"", "\"?q=%7B%22a%22:%22u1[" TINY "]%22\"" },
	{ JSON, "\"?q=%22\",\"?q=" PERCENT "\"", "\"?q=%22\",\"?q=u[" TINY "]\"" },
	{ JSON, "\"\\\\\\\"" TOKEN "\"", "\"\\\\\\\"T[" TOKEN "]\"" },
	{ JSON, "\"" SLASHED "\"", "v[" TINY "]" },
	{ JSON, "\"" UNICODE "\"", "v[" TINY "]" },
	{ JSON, "\"x" UNICODE "\"", "\"xt[" TINY "]\"" },
	{ JSON, "{\"" UNICODE "\":\"" SLASHED "\"}", "{\"t[" TINY "]\":v[" TINY "]}" },
	{ JSON, "\"\\\\u0065v:" IV ":" KEY "::$\"", "\"\\\\u0065v:" IV ":" KEY "::$\"" },
	{ JSON, "\"\\\\\\u0065v:" IV ":" KEY "::$\"", "\"\\\\t[" SHORT "]\"" },
	{ JSON, "\"\\\\\\\\\\\\\\\\u0065v:" IV ":" KEY "::$\"",
	    "\"\\\\\\\\\\\\\\\\u0065v:" IV ":" KEY "::$\"" },
	{ JSON, "\"\\u000ev:" IV ":" KEY "::$\"", "\"\\u000ev:" IV ":" KEY "::$\"" },
	{ JSON, "\"\\\\u000ev:" IV ":" KEY "::$\"", "\"\\\\u000T[" SHORT "]\"" },
	{ JSON, "\\\\\\\\\\u000ev:" IV ":" KEY "::$", "\\\\\\\\\\u000ev:" IV ":" KEY "::$" },
	{ JSON, "\\\\\\\\\\\\\\\\u000ev:" IV ":" KEY "::$", "\\\\\\\\\\\\\\\\u000T[" SHORT "]" },
	{ JSON, "\\\\\\\\\\\\\\\\\\u000ev:" IV ":" KEY "::$", "\\\\\\\\\\\\\\\\\\u000ev:" IV ":" KEY "::$" },
	{ JSON, "\\ug00ev:" IV ":" KEY "::$", "\\ug00T[" SHORT "]" },
	{ JSON, "\\u0g0ev:" IV ":" KEY "::$", "\\u0g0T[" SHORT "]" },
	/* a URL in a string stays percent-encoded */
	{ JSON, "\"" PERCENT "\"", "\"u[" TINY "]\"" },
	/* no JSON at all */
	{ JSON, TOKEN, "T[" TOKEN "]" },
	{ JSON, "\"" TOKEN, "\"T[" TOKEN "]" },
	{ JSON, "\"" TOKEN "\"" SHORT "\"", "V[" TOKEN "]T[" SHORT "]\"" },
	{ JSON, "\"\"", "\"\"" },
	{ JSON, "\"", "\"" },
	{ "application/problem+json", "\"" TOKEN "\"", "V[" TOKEN "]" },
	{ "application/X-NDJSON", "\"" TOKEN "\"\n\"" SHORT "\"\n",
	    "V[" TOKEN "]\nV[" SHORT "]\n" },

	/* forms */
	{ FORM, "a=" PERCENT "&b=" TOKEN, "a=u[" TINY "]&b=U[" TOKEN "]" },
	{ FORM, "a=" LETTERS, "a=u[" TINY "]" },
	{ FORM, "a=%2ev%3A&b=%65" , "a=%2ev%3A&b=%65" },
	{ FORM, SLASHED, SLASHED },
	{ FORM, "a=%22&p=%7B%22c%22%3A%22" PERCENT "%22%7D&b=" PERCENT,
	    "a=%22&p=%7B%22c%22%3A%22u1[" TINY "]%22%7D&b=u[" TINY "]" },
	{ FORM, "p=[\"[%5c\"" TOKEN "%5C%22]%22," PERCENT "]",
	    "p=[\"[%5c\"U2[" TOKEN "]%5C%22]%22,u[" TINY "]]" },

	/* XML */
	{ XML, "<a b='" TOKEN "'>" REFS "</a>", "<a b='X[" TOKEN "]'>x[" TINY "]</a>" },
	{ XML, "<a>" PERCENT "</a>", "<a>u[" TINY "]</a>" },
	{ XML, "<a b=\"\">\n{\"c\":&quot;" TOKEN "&#34;,&#x22;d > e" REFS,
	    "<a b=\"\">\n{\"c\":&quot;X1[" TOKEN "]&#34;,&#x22;d > ex1[" TINY "]" },
	{ XML, "<p>he said \"" TOKEN "\"</p>[" TOKEN, "<p>he said \"X[" TOKEN "]\"</p>[X[" TOKEN "]" },
	{ XML, "<a><![CDATA[<b>\"" TOKEN "]]" SHORT "]]>" TOKEN "<![CDATA [" TOKEN,
	    "<a><![CDATA[<b>\"C[" TOKEN "]]]C[" SHORT "]]]>X[" TOKEN "]<![CDATA [X[" TOKEN "]" },
	{ XML, "<a><![CDATA[{\"c\":\"" TOKEN "\",&quot;" TOKEN "]]></a>",
	    "<a><![CDATA[{\"c\":\"C1[" TOKEN "]\",&quot;C[" TOKEN "]]]></a>" },
	{ XML, "<r><!-- <![CDATA[ --><c>" TOKEN "</c></r>", "<r><!-- <![CDATA[ --><c>X[" TOKEN "]</c></r>" },
	{ "text/html", "<div title=\"<![CDATA[\">" TOKEN "</div><![CDATA[" TOKEN,
	    "<div title=\"<![CDATA[\">X[" TOKEN "]</div><![CDATA[X[" TOKEN "]" },
	{ JSON, "{\"u\":\"https://h/?d={%22c%22:%22" TOKEN "%22}\"}",
	    "{\"u\":\"https://h/?d={%22c%22:%22U1[" TOKEN "]%22}\"}" },
	{ "image/svg+xml", TOKEN, "X[" TOKEN "]" },
	{ "text/html; charset=utf-8", "<p>" TOKEN "&#", "<p>X[" TOKEN "]&#" },

	/* nothing says what it is */
	{ "", "{\"a\":\"" TOKEN "\"}", "{\"a\":V[" TOKEN "]}" },
	{ "text/plain", " \r\n\t[\"" TOKEN "\"]", " \r\n\t[V[" TOKEN "]]" },
	{ "text/plain;charset=utf-8", "\xef\xbb\xbf{\"" TOKEN "\"}", "\xef\xbb\xbf{V[" TOKEN "]}" },
	{ "application/octet-stream", "\"" TOKEN "\"", "\"P[" TOKEN "]\"" },
	{ "text/plain", "", "" },
	{ "text/plain", "  \n", "  \n" },
	{ "text/plain", "\xef\xbb", "\xef\xbb" },

	/* a file is the whole body */
	{ "application/octet-stream", "%EVENC123", "F[%EVENC123]" },
	{ JSON, "%EVENC", "F[%EVENC]" },
	{ FORM, "%EVENC" TINY, "%EVENC" TINY },		/* too long: left */
	{ PLAIN, "%EVEN" SHORT, "%EVENP[" SHORT "]" },
	{ PLAIN, "%EVEN", "%EVEN" },
	{ PLAIN, "x%EVENC", "x%EVENC" },

	/* parts */
	{ MIXED, "--b-1\r\n" FIELD "\r\n" TOKEN "\r\n--b-1--\r\n",
	    "--b-1\r\n" FIELD "\r\nP[" TOKEN "]\r\n--b-1--\r\n" },
	{ MIXED, "--b-1\r\n" FIELD "Content-Type: application/json\r\n\r\n\"" TOKEN
	    "\"\r\n--b-1\r\n" FIELD "\r\n{\"a\":\"" SHORT "\"}\r\n--b-1\r\n"
	    "Content-Type: text/xml\r\n\r\n" REFS "\r\n--b-1--",
	    "--b-1\r\n" FIELD "Content-Type: application/json\r\n\r\nV[" TOKEN
	    "]\r\n--b-1\r\n" FIELD "\r\n{\"a\":V[" SHORT "]}\r\n--b-1\r\n"
	    "Content-Type: text/xml\r\n\r\nx[" TINY "]\r\n--b-1--" },
	{ MIXED, "--b-1\r\n" FIELD "\r\n%EVENC\r\n--b-\r\n--b-1\r\n\r\n%EVENC\r\n--b-1--",
	    "--b-1\r\n" FIELD "\r\nF[%EVENC\r\n--b-]\r\n--b-1\r\n\r\nF[%EVENC]\r\n--b-1--" },
	/* a file that is too long, and what comes behind it */
	{ MIXED, "--b-1\r\n\r\n%EVENC" SHORT "\r\n--b-1\r\n\r\n" SHORT "\r\n--b-1--",
	    "--b-1\r\n\r\n%EVENC" SHORT "\r\n--b-1\r\n\r\nP[" SHORT "]\r\n--b-1--" },
	/* a token does not go over a boundary, but over what looks like one */
	{ MIXED, "--b-1\r\n\r\nev:" IV ":\r\n--b-1\r\n\r\n" KEY "::$\r\n--b-1--",
	    "--b-1\r\n\r\nev:" IV ":\r\n--b-1\r\n\r\n" KEY "::$\r\n--b-1--" },
	{ MIXED, "--b-1\r\n\r\n" SHORT "\r\n--b-12\r\n" SHORT "\r\n--b-1--",
	    "--b-1\r\n\r\nP[" SHORT "]\r\n--b-12\r\nP[" SHORT "]\r\n--b-1--" },
	/* outside of parts, with no last boundary, or by bare line feeds */
	{ MIXED, TOKEN "\r\n--b-1--\r\n%EVENC" SHORT,
	    "P[" TOKEN "]\r\n--b-1--\r\n%EVENCP[" SHORT "]" },
	{ MIXED, "--b-1\r\n\r\n\"" TOKEN "\"", "--b-1\r\n\r\n\"P[" TOKEN "]\"" },
	{ MIXED, "--b-1\n\n" TOKEN "\n--b-1--", "--b-1\n\nP[" TOKEN "]\n--b-1--" },
	/* a head that is none: plain from there */
	{ MIXED, "--b-1\r\na: b\n\n" TOKEN "\r\n--b-1--\r\n",
	    "--b-1\r\na: b\n\nP[" TOKEN "]\r\n--b-1--\r\n" },
	{ MIXED, "--b-1\r\na: " TOKEN, "--b-1\r\na: P[" TOKEN "]" },
	/* a multipart in a part is its data */
	{ MIXED, "--b-1\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n%EVENC\r\n--c--"
	    "\r\n--b-1--", "--b-1\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n%EVENC\r\n--c--"
	    "\r\n--b-1--" },
	{ "multipart/mixed", "--\r\n\r\n" TOKEN, "--\r\n\r\nP[" TOKEN "]" },
};

#define CASES	(sizeof(cases) / sizeof(cases[0]))

static void
check(size_t i, cut_fn *cut, void *arg, size_t max_found, struct buffer *out)
{
	struct feed feed = { cases[i].type, cut, arg, max_found, 0 };

	scan(span_of(cases[i].text), &feed, out);
	assert_string_equal(buffer_cstr(out), cases[i].marked);
}

static void
test_whole(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	for (size_t i = 0; i < CASES; i++)
		check(i, cut_never, NULL, SIZE_MAX, &out);
	buffer_fini(&out);
}

static void
test_every_cut(void **state)
{
	struct buffer out;
	size_t at;

	(void)state;
	buffer_init(&out, 0, false);
	for (size_t i = 0; i < CASES; i++) {
		for (at = 0; at <= strlen(cases[i].text); at++) {
			check(i, cut_once, &at, SIZE_MAX, &out);
			check(i, cut_once, &at, 1, &out);
		}
		for (at = 1; at < 8; at++)
			check(i, cut_every, &at, SIZE_MAX, &out);
	}
	buffer_fini(&out);
}

/* What is searched in blocks is found wherever it stands in one. */
static void
test_every_offset(void **state)
{
	static const struct {
		const char	*type;
		const char	*token;
		const char	*marked;
	} forms[] = {
		{ PLAIN, SHORT, "P[" SHORT "]" },
		{ PLAIN, LETTERS, "u[" TINY "]" },
		{ PLAIN, UNICODE, "t[" TINY "]" },
		{ PLAIN, "e\\u0076:" IV ":" KEY "::$", "t[" SHORT "]" },
		{ PLAIN, "ev%3A" IV ":" KEY "::$", "u[" SHORT "]" },
		{ FORM, "e%76:" IV ":" KEY "::$", "u[" SHORT "]" },
		{ XML, "&#101;v:" IV ":" KEY "::$", "x[" SHORT "]" },
		{ XML, "e&#x76;:" IV ":" KEY "::$", "x[" SHORT "]" },
	};
	static const char *const fillers[] = { ".", "e", "ev", "\\", "%6", "&#" };
	struct buffer text, want, out;

	(void)state;
	buffer_init(&text, 0, false);
	buffer_init(&want, 0, false);
	buffer_init(&out, 0, false);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		for (size_t n = 0; n < 6 * 150; n++) {
			struct feed feed = { forms[i].type, cut_never, NULL,
			    SIZE_MAX, 0 };

			buffer_clear(&text);
			buffer_clear(&want);
			for (size_t k = 0; k < n / 6; k++) {
				buffer_puts(&text, fillers[n % 6]);
				buffer_puts(&want, fillers[n % 6]);
			}
			/* no filler may be half of an escape with it */
			buffer_printf(&text, "--%s%80s", forms[i].token, "");
			buffer_printf(&want, "--%s%80s", forms[i].marked, "");
			scan((struct span){ buffer_data(&text),
			    buffer_len(&text) }, &feed, &out);
			assert_string_equal(buffer_cstr(&out),
			    buffer_cstr(&want));
		}
	buffer_fini(&text);
	buffer_fini(&want);
	buffer_fini(&out);
}

/* All cases of a type in one text, in any order, cut anywhere: as it comes out
 * of one window. */
static void
test_random_cuts(void **state)
{
	static const char *const types[] = { PLAIN, JSON, FORM, XML, MIXED, "" };
	struct buffer text, once, often;
	unsigned seed = 4711;

	(void)state;
	buffer_init(&text, 0, false);
	buffer_init(&once, 0, false);
	buffer_init(&often, 0, false);
	for (unsigned round = 0; round < 600; round++) {
		const char *type = types[round % 6];
		struct feed feed = { type, cut_never, NULL, SIZE_MAX, 0 };
		struct span all;

		buffer_clear(&text);
		for (int i = rand_r(&seed) % 12; i >= 0; i--) {
			const char *piece =
			    cases[(size_t)rand_r(&seed) % CASES].text;
			size_t len = strlen(piece);
			size_t from = rand_r(&seed) % 3 == 0 && len != 0 ?
			    (size_t)rand_r(&seed) % len : 0;

			buffer_put(&text, piece + from, len - from);
		}
		all = (struct span){ buffer_cstr(&text), buffer_len(&text) };
		scan(all, &feed, &once);
		feed.cut = cut_random;
		feed.arg = &seed;
		feed.max_found = 1 + (size_t)rand_r(&seed) % 4;
		scan(all, &feed, &often);
		assert_string_equal(buffer_cstr(&often), buffer_cstr(&once));
	}
	buffer_fini(&text);
	buffer_fini(&once);
	buffer_fini(&often);
}

/* ---- limits ----------------------------------------------------------------------- */

/* A token of exactly this many bytes. */
static void
put_long(struct buffer *out, size_t len)
{
	size_t have = strlen("ev:" IV ":" KEY "::$");

	buffer_puts(out, "ev:" IV ":" KEY ":");
	for (; have < len; have++)
		buffer_puts(out, "A");
	buffer_puts(out, ":$");
}

static void
test_token_bytes(void **state)
{
	struct feed feed = { JSON, cut_every, NULL, SIZE_MAX, 0 };
	size_t steps[] = { 1, 7, 1000, 1u << 20 };
	struct buffer text, want, out;

	(void)state;
	buffer_init(&text, 0, false);
	buffer_init(&want, 0, false);
	buffer_init(&out, 0, false);
	put_long(&text, MAX + 1);
	put_long(&text, MAX);
	put_long(&text, MAX + 1);
	buffer_puts(&text, SHORT);
	put_long(&want, MAX + 1);
	buffer_puts(&want, "T[");
	put_long(&want, MAX);
	buffer_puts(&want, "]");
	put_long(&want, MAX + 1);
	buffer_puts(&want, "T[" SHORT "]");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		feed.arg = &steps[i];
		scan((struct span){ buffer_data(&text), buffer_len(&text) },
		    &feed, &out);
		assert_string_equal(buffer_cstr(&out), buffer_cstr(&want));
	}
	buffer_fini(&text);
	buffer_fini(&want);
	buffer_fini(&out);
}

static void
test_file_bytes(void **state)
{
	char text[FILE_MAX + 1 + 1];
	struct buffer out;
	size_t step;

	(void)state;
	buffer_init(&out, 0, false);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "%EVENC", 6);
	for (step = 1; step <= sizeof(text); step++) {
		struct feed feed = { PLAIN, cut_every, &step, SIZE_MAX, 0 };

		scan((struct span){ text, FILE_MAX }, &feed, &out);
		assert_int_equal(buffer_data(&out)[0], 'F');
		scan((struct span){ text, FILE_MAX + 1 }, &feed, &out);
		assert_string_equal(buffer_cstr(&out), text);
	}
	buffer_fini(&out);
}

/* White space between a name and its colon is waited for, but not for ever. */
static void
test_blanks(void **state)
{
	const size_t most = 64u << 10;
	struct buffer text, out;
	size_t step;

	(void)state;
	buffer_init(&text, 0, false);
	buffer_init(&out, 0, false);
	for (size_t n = most - 2; n < most + 3; n++) {
		buffer_clear(&text);
		buffer_puts(&text, "{\"" SHORT "\"");
		for (size_t i = 0; i < n; i++)
			buffer_puts(&text, " ");
		buffer_puts(&text, ":1}");
		for (step = 4093; step < 1u << 20; step *= 16) {
			struct feed feed = { JSON, cut_every, &step, SIZE_MAX, 0 };

			scan((struct span){ buffer_data(&text),
			    buffer_len(&text) }, &feed, &out);
			assert_int_equal(buffer_cstr(&out)[1],
			    n < most ? '"' : 'V');
			assert_true(feed.lag <= most + MAX + step);
		}
	}
	buffer_fini(&text);
	buffer_fini(&out);
}

/* ---- hostile -------------------------------------------------------------------------- */

/* Repeated: nothing is found, nothing is held for long, and it ends.  A scan
 * that is not linear does not. */
static void
test_hostile(void **state)
{
	static const char *const units[] = { "e", "ev:", "ev:A", "\\", "\"",
	    "\\\"", "\\u0065", "\\u0065v", "%65", "%25%33", "%", "e%", "e\\",
	    "ev%3A", "ev:" IV ":", "ev:" IV ":" KEY ":", "A", "\r\n--b-1",
	    "\r\n--b-1\r\n", "\r\n--b-1\r\n\r\n", "\r\n--b-1 ", "\r", "-", " ",
	    "&#", "&#x6", "&#101;", "%EVENC", "\"ev:", "\"ev:" IV ":" };
	static const char *const types[] = { PLAIN, JSON, FORM, XML, MIXED, "" };
	size_t steps[] = { 1, 1400, 1u << 20 }, n = 192u << 10;
	char *text = malloc(n);
	struct buffer out;

	(void)state;
	assert_non_null(text);
	buffer_init(&out, 0, false);
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++)
		for (size_t t = 0; t < 6 * 3; t++) {
			struct feed feed = { types[t / 3], cut_every,
			    &steps[t % 3], SIZE_MAX, 0 };
			size_t len = strlen(units[u]);
			/* Here each window is copied: short ones are dear. */
			size_t have = t % 3 == 0 ? n / 64 : n;

			for (size_t i = 0; i < have; i++)
				text[i] = units[u][i % len];
			scan((struct span){ text, have }, &feed, &out);
			assert_true(memcmp(buffer_data(&out), text, have) == 0);
			/* What a part's head may have, or blanks may be. */
			assert_true(feed.lag <= (64u << 10) + MAX + 1400);
		}
	/* one start, and base64 to the end */
	memset(text, 'A', n);
	memcpy(text, "\"ev:" IV ":" KEY ":", 66);
	for (size_t t = 1; t < 3; t++) {
		struct feed feed = { JSON, cut_every, &steps[t], SIZE_MAX, 0 };

		scan((struct span){ text, n }, &feed, &out);
		assert_true(feed.lag <= MAX + 1400);
	}
	buffer_fini(&out);
	free(text);
}

/* ---- forms ----------------------------------------------------------------------------- */

static void
test_forms(void **state)
{
	static const struct {
		const char		*type;
		enum body_scan_form	form;
	} forms[] = {
		{ "", BODY_SCAN_GUESS },
		{ " ; charset=x", BODY_SCAN_GUESS },
		{ "Text/Plain; charset=utf-8", BODY_SCAN_GUESS },
		{ "application/octet-stream", BODY_SCAN_GUESS },
		{ "application/JSON", BODY_SCAN_JSON },
		{ "application/vnd.api+json; v=1", BODY_SCAN_JSON },
		{ "application/x-ndjson", BODY_SCAN_JSON },
		{ "+json", BODY_SCAN_PLAIN },
		{ "application/x-www-form-urlencoded;charset=UTF-8", BODY_SCAN_FORM },
		{ "application/soap+xml", BODY_SCAN_XML },
		{ "text/xml", BODY_SCAN_XML },
		{ "application/xml", BODY_SCAN_XML },
		{ "text/html", BODY_SCAN_HTML },
		{ "multipart/form-data; boundary=x", BODY_SCAN_MULTIPART },
		{ "MULTIPART/mixed", BODY_SCAN_MULTIPART },
		{ "multipart/", BODY_SCAN_PLAIN },
		{ "image/png", BODY_SCAN_PLAIN },
		{ "application/jsonp", BODY_SCAN_PLAIN },
		{ "application/geojson", BODY_SCAN_PLAIN },
		{ "json", BODY_SCAN_PLAIN },
		{ "application/json-seq", BODY_SCAN_JSON },
		{ "text/x-json;charset=utf-8", BODY_SCAN_JSON },
		{ "application/X-AMZ-JSON-1.1", BODY_SCAN_JSON },
		{ "application/vnd.a.json", BODY_SCAN_JSON },
		{ "application/json+xml", BODY_SCAN_XML },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		assert_int_equal(body_scan_form_of(span_of(forms[i].type)),
		    forms[i].form);
	assert_null(body_scan_new_multipart(span_of(""), &limits));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_every_offset),
		cmocka_unit_test(test_random_cuts),
		cmocka_unit_test(test_token_bytes),
		cmocka_unit_test(test_file_bytes),
		cmocka_unit_test(test_blanks),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_forms),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
