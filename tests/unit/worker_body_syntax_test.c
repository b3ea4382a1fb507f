/*
 * worker/body_syntax.c: a table of heads, of requests and responses, and how
 * the actions of a route read the body that follows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/worker_relay.h"
#include "worker/body_syntax.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define LIMIT		100

#define TYPE	"the body's content type is missing or broken"
#define CODING	"the body's content coding cannot be undone here"
#define CHARSET	"the body's charset is not UTF-8"
#define FOREIGN	"no selector of this route reads this content type"
#define LONG	"the body is over the limit for bodies with selectors"
#define PART	"a part of a document is none"

#define JSON	"Content-Type: application/json\r\n"
#define FORM	"Content-Type: application/x-www-form-urlencoded\r\n"
#define LENGTH	"Content-Length: 10\r\n"

/* One action with one selection of each type named; "": no action at all. */
static struct relay *
relay_selecting(const char *types)
{
	struct buffer members;
	struct relay *relay;
	const char *between = "";

	buffer_init(&members, 0, false);
	buffer_puts(&members, "\"destinationDomain\":\"a.test\",\"routes\":["
	    "{\"path\":\"/\",\"request\":[");
	for (; *types != '\0'; types++, between = ",")
		buffer_printf(&members, "%s{\"action\":\"encrypt\",\"selections\":"
		    "[{\"type\":\"%s\",\"selector\":\"%s\"}]}", between,
		    *types == 'j' ? "json" : *types == 'f' ? "form" : "header",
		    *types == 'j' ? "$.a" : "a");
	buffer_puts(&members, "]}]");
	relay = relay_of(buffer_cstr(&members));
	buffer_fini(&members);
	return (relay);
}

struct row {
	const char		*selects;	/* j: json, f: form, h: header */
	const char		*head;		/* fields */
	enum rc			rc;
	enum rewrite_syntax	syntax;
	const char		*why;
	enum http_coding	coding;		/* to be undone first */
};

static void
check(const struct row *row, const struct http_head *head,
    const struct http_framing *f)
{
	struct relay *relay = relay_selecting(row->selects);
	const struct relay_route *route = &relay->routes[0];
	enum http_coding coding = HTTP_CODING_BR;
	enum rewrite_syntax syntax;
	const char *why;
	enum rc rc;

	rc = body_syntax_judge(head, f, route->request, route->n_request, LIMIT,
	    &syntax, &coding, &why);
	if (rc != row->rc || syntax != row->syntax || coding != row->coding ||
	    strcmp(why, row->why) != 0)
		fail_msg("%s%s: %s, %d, %s, %s", row->selects, row->head, rc_name(rc),
		    (int)syntax, http_coding_name(coding), why);
	relay_unref(&relay);
}

static void
check_request(const struct row *row)
{
	struct http_framing f;
	struct http_head head;
	struct buffer text;

	buffer_init(&text, 0, false);
	buffer_printf(&text, "POST / HTTP/1.1\r\nHost: a.test\r\n%s\r\n",
	    row->head);
	request_head_of(&head, buffer_cstr(&text));
	assert_int_equal(http_framing_request(&head, &f), RC_OK);
	check(row, &head, &f);
	http_head_fini(&head);
	buffer_fini(&text);
}

static void
check_response(const struct row *row, const char *status)
{
	struct http_framing f;
	struct http_head head;
	struct buffer text;

	buffer_init(&text, 0, false);
	buffer_printf(&text, "HTTP/1.1 %s X\r\n%s\r\n", status, row->head);
	response_head_of(&head, buffer_cstr(&text));
	assert_int_equal(http_framing_response(&head, HTTP_POST, &f), RC_OK);
	check(row, &head, &f);
	http_head_fini(&head);
	buffer_fini(&text);
}

#define CODED(selects, head, syntax, coding)				\
	{ selects, head, RC_OK, syntax, "", coding }
#define READ(selects, head, syntax)					\
	CODED(selects, head, syntax, HTTP_CODING_IDENTITY)
#define NOT(selects, head, why)						\
	{ selects, head, RC_UNSUPPORTED, REWRITE_NONE, why, HTTP_CODING_IDENTITY }

static const struct row rows[] = {
	/* nothing is chosen in a body, whatever it is */
	READ("", LENGTH, REWRITE_NONE),
	READ("", JSON LENGTH, REWRITE_NONE),
	READ("h", JSON LENGTH, REWRITE_NONE),
	READ("h", "Content-Encoding: br\r\n" LENGTH, REWRITE_NONE),
	READ("h", "Content-Length: 101\r\n", REWRITE_NONE),
	/* no body */
	READ("jf", "Content-Length: 0\r\n", REWRITE_NONE),
	READ("jf", "Content-Length: 0\r\nContent-Type: text/plain\r\n",
	    REWRITE_NONE),
	/* the type picks the selectors */
	READ("j", JSON LENGTH, REWRITE_JSON),
	READ("jf", JSON LENGTH, REWRITE_JSON),
	READ("hfj", JSON LENGTH, REWRITE_JSON),
	READ("f", FORM LENGTH, REWRITE_FORM),
	READ("jf", FORM LENGTH, REWRITE_FORM),
	READ("j", JSON "Transfer-Encoding: chunked\r\n", REWRITE_JSON),
	READ("j", "Content-Type: Application/Problem+JSON\r\n" LENGTH,
	    REWRITE_JSON),
	READ("f", "Content-Type: Application/X-WWW-Form-Urlencoded\r\n" LENGTH,
	    REWRITE_FORM),
	NOT("j", FORM LENGTH, FOREIGN),
	NOT("f", JSON LENGTH, FOREIGN),
	NOT("fh", JSON LENGTH, FOREIGN),
	NOT("jf", "Content-Type: text/plain\r\n" LENGTH, FOREIGN),
	NOT("jf", "Content-Type: text/json\r\n" LENGTH, FOREIGN),
	NOT("jf", "Content-Type: application/jsonp\r\n" LENGTH, FOREIGN),
	NOT("jf", "Content-Type: multipart/form-data; boundary=x\r\n" LENGTH,
	    FOREIGN),
	NOT("j", LENGTH, TYPE),
	NOT("j", "Content-Type: \r\n" LENGTH, TYPE),
	NOT("j", "Content-Type: json\r\n" LENGTH, TYPE),
	NOT("j", "Content-Type: application/json, text/plain\r\n" LENGTH, TYPE),
	NOT("j", JSON JSON LENGTH, TYPE),
	/* charsets */
	READ("j", "Content-Type: application/json; charset=utf-8\r\n" LENGTH,
	    REWRITE_JSON),
	READ("j", "Content-Type: application/json;charset=\"UTF-8\"\r\n" LENGTH,
	    REWRITE_JSON),
	READ("j", "Content-Type: application/json; charset=US-ASCII\r\n" LENGTH,
	    REWRITE_JSON),
	READ("f", "Content-Type: application/x-www-form-urlencoded; "
	    "charset=UTF-8\r\n" LENGTH, REWRITE_FORM),
	NOT("j", "Content-Type: application/json; charset=utf-16\r\n" LENGTH,
	    CHARSET),
	NOT("j", "Content-Type: application/json; charset=iso-8859-1\r\n" LENGTH,
	    CHARSET),
	NOT("f", "Content-Type: application/x-www-form-urlencoded; "
	    "charset=latin1\r\n" LENGTH, CHARSET),
	/* codings */
	READ("j", JSON "Content-Encoding: identity\r\n" LENGTH, REWRITE_JSON),
	READ("j", JSON "Content-Encoding: Identity\r\n" LENGTH, REWRITE_JSON),
	CODED("j", JSON "Content-Encoding: gzip\r\n" LENGTH, REWRITE_JSON,
	    HTTP_CODING_GZIP),
	CODED("j", JSON "Content-Encoding: Deflate\r\n" LENGTH, REWRITE_JSON,
	    HTTP_CODING_DEFLATE),
	CODED("f", FORM "Content-Encoding: br\r\n" LENGTH, REWRITE_FORM,
	    HTTP_CODING_BR),
	CODED("jf", FORM "Content-Encoding: zstd\r\nTransfer-Encoding: chunked\r\n",
	    REWRITE_FORM, HTTP_CODING_ZSTD),
	NOT("j", JSON "Content-Encoding: compress\r\n" LENGTH, CODING),
	NOT("j", JSON "Content-Encoding: gzip, br\r\n" LENGTH, CODING),
	NOT("j", JSON "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n" LENGTH,
	    CODING),
	NOT("f", JSON "Content-Encoding: gzip\r\n" LENGTH, FOREIGN),
	NOT("j", JSON "Content-Encoding: \r\n" LENGTH, CODING),
	NOT("j", JSON "Content-Encoding: identity, gzip\r\n" LENGTH, CODING),
	NOT("j", JSON "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"
	    LENGTH, CODING),
	/* lengths: those that are known before; the way to read it is told too */
	READ("j", JSON "Content-Length: 100\r\n", REWRITE_JSON),
	{ "j", JSON "Content-Length: 101\r\n", RC_LIMIT, REWRITE_JSON, LONG,
	    HTTP_CODING_IDENTITY },
	{ "j", JSON "Content-Encoding: br\r\nContent-Length: 101\r\n", RC_LIMIT,
	    REWRITE_JSON, LONG, HTTP_CODING_BR },
	{ "f", FORM "Content-Length: 9223372036854775807\r\n", RC_LIMIT,
	    REWRITE_FORM, LONG, HTTP_CODING_IDENTITY },
	NOT("f", JSON "Content-Length: 101\r\n", FOREIGN),
};

static void
test_requests(void **state)
{
	static const struct row bare[] = {
		READ("jf", "", REWRITE_NONE),
		READ("jf", JSON "Content-Encoding: gzip\r\n", REWRITE_NONE),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_request(&rows[i]);
	for (size_t i = 0; i < COUNT(bare); i++)
		check_request(&bare[i]);
}

static void
test_responses(void **state)
{
	static const struct row until_close = READ("jf", JSON, REWRITE_JSON);
	static const struct row no_type = NOT("jf", "", TYPE);
	static const struct row none = READ("jf", JSON, REWRITE_NONE);
	static const struct row unsent = READ("jf", JSON LENGTH, REWRITE_NONE);
	static const struct row part = NOT("jf", JSON "Content-Range: bytes "
	    "0-9/20\r\n" LENGTH, PART);
	static const struct row no_selector = READ("h", JSON LENGTH,
	    REWRITE_NONE);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		check_response(&rows[i], "200");
		check_response(&rows[i], "500");
	}
	check_response(&until_close, "200");
	check_response(&no_type, "200");
	check_response(&none, "204");
	check_response(&unsent, "304");
	check_response(&part, "206");
	check_response(&no_selector, "206");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
