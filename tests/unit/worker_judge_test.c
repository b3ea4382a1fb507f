/*
 * worker/judge.c: a table of request heads as they come, and what becomes of
 * each: the refusal, or relay, route and work.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/unit/worker_relay.h"
#include "worker/judge.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define LIMIT		100
#define PASSES		ERROR_CODES

#define ACTION(name, selections)					\
	"[{\"action\":\"" name "\",\"selections\":[" selections "]}]"
#define SELECT(type, selector)						\
	"{\"type\":\"" type "\",\"selector\":\"" selector "\"}"

/* ---- relays ---- */

static const char *const texts[] = {
	"\"destinationDomain\":\"plain.test\",\"routes\":[]",
	"\"destinationDomain\":\"shop.test\",\"routes\":["
	"{\"method\":\"POST\",\"path\":\"/pay\",\"request\":"
	    ACTION("encrypt", SELECT("json", "$.a") "," SELECT("form", "a")) "},"
	"{\"path\":\"/head\",\"request\":"
	    ACTION("encrypt", SELECT("header", "x-card")) "},"
	"{\"path\":\"/both\",\"request\":"
	    ACTION("encrypt", SELECT("header", "x-card") "," SELECT("json", "$"))
	    "},"
	"{\"method\":\"GET\",\"path\":\"/report/*\",\"response\":"
	    ACTION("decrypt", SELECT("json", "$..*")) "},"
	"{\"path\":\"/pay/**\"}]",
	"\"destinationDomain\":\"lenient.test\",\"onMismatch\":\"forward\","
	"\"limits\":{\"bodyBytes\":10},\"routes\":[{\"path\":\"/pay\","
	"\"request\":" ACTION("encrypt", SELECT("json", "$.a")) "},"
	"{\"path\":\"/both\",\"request\":"
	    ACTION("encrypt", SELECT("header", "x-card") "," SELECT("json", "$"))
	    "}]",
	"\"destinationDomain\":\"small.test\",\"limits\":{\"bodyBytes\":10},"
	"\"onMismatch\":{\"response\":\"forward\"},\"routes\":[{\"path\":\"/pay\","
	"\"request\":" ACTION("encrypt", SELECT("json", "$.a")) "}]",
	"\"destinationDomain\":\"::1\",\"routes\":[]",
};

struct shelf {
	struct relay	*relays[COUNT(texts)];
	unsigned	n_finds;
};

static enum rc
on_find(void *arg, const char *host, struct relay **relay)
{
	struct shelf *shelf = arg;

	shelf->n_finds++;
	if (strcmp(host, "damaged.test") == 0)
		return (RC_CORRUPT);
	if (strcmp(host, "unsynced.test") == 0)
		return (RC_UNAVAILABLE);
	for (size_t i = 0; i < COUNT(texts); i++) {
		if (strcmp(shelf->relays[i]->host, host) != 0)
			continue;
		*relay = relay_ref(shelf->relays[i]);
		return (RC_OK);
	}
	return (RC_NOTFOUND);
}

static int
setup(void **state)
{
	static struct shelf shelf;

	memset(&shelf, 0, sizeof(shelf));
	for (size_t i = 0; i < COUNT(texts); i++)
		shelf.relays[i] = relay_of(texts[i]);
	*state = &shelf;
	return (0);
}

static int
teardown(void **state)
{
	struct shelf *shelf = *state;

	for (size_t i = 0; i < COUNT(texts); i++) {
		assert_int_equal(shelf->relays[i]->refs, 1);
		relay_unref(&shelf->relays[i]);
	}
	return (0);
}

/* ---- rows ---- */

struct row {
	const char	*text;		/* without the last empty line */
	enum error_code	code;		/* PASSES */
	const char	*detail;	/* of the refusal */
	const char	*host;
	const char	*route;		/* its path; "": none */
	enum rewrite_syntax syntax;
	const char	*flags;
	const char	*sni;		/* NULL: none */
};

static void
flags_of(const struct judgement *j, char out[128])
{
	bool coded = j->coding != HTTP_CODING_IDENTITY;

	(void)snprintf(out, 128, "%s%s%s%s%s%s%.*s",
	    coded ? http_coding_name(j->coding) : "", coded ? " " : "",
	    j->head_work ? "head " : "",
	    j->expects ? "expects " : "", j->wants_trailers ? "trailers " : "",
	    j->upgrade.len != 0 ? "upgrade " : "", (int)j->upgrade.len,
	    j->upgrade.len != 0 ? j->upgrade.p : "");
}

static void
check_passed(const struct row *row, const struct judgement *j)
{
	char flags[128];
	const char *route = j->route != NULL ? j->route->path : "";

	flags_of(j, flags);
	if (j->relay == NULL || strcmp(j->relay->host, row->host) != 0 ||
	    strcmp(j->host, row->host) != 0 || strcmp(route, row->route) != 0 ||
	    j->syntax != row->syntax || strcmp(flags, row->flags) != 0)
		fail_msg("%s: host %s route %s syntax %d flags %s", row->text,
		    j->host, route, (int)j->syntax, flags);
}

/* Returns how often a relay was looked for. */
static unsigned
check(struct shelf *shelf, const struct row *row)
{
	struct conf conf = { .max_body_bytes = LIMIT };
	const struct judge judge = { .conf = &conf, .server_name = row->sni,
	    .find = on_find, .arg = shelf };
	struct judgement j;
	struct http_head head;
	struct buffer text;
	bool passes;

	buffer_init(&text, 0, false);
	buffer_printf(&text, "%s\r\n", row->text);
	request_head_of(&head, buffer_cstr(&text));
	shelf->n_finds = 0;
	passes = judge_request(&judge, &head, &j);
	if (passes != (row->code == PASSES))
		fail_msg("%s: %s", row->text, passes ? "passed" : j.detail);
	if (passes)
		check_passed(row, &j);
	else if (j.code != row->code || strcmp(j.detail, row->detail) != 0)
		fail_msg("%s: %s: %s", row->text, error_info(j.code)->name,
		    j.detail);
	judgement_fini(&j);
	assert_null(j.relay);
	http_head_fini(&head);
	buffer_fini(&text);
	return (shelf->n_finds);
}

#define REFUSED(text, code, detail)					\
	{ text, code, detail, NULL, NULL, REWRITE_NONE, NULL, NULL }
#define GOES(text, host, route, syntax, flags)				\
	{ text, PASSES, NULL, host, route, syntax, flags, NULL }

#define GET(target)	"GET " target " HTTP/1.1\r\n"
#define POST(target)	"POST " target " HTTP/1.1\r\n"
#define PLAIN		"Host: plain.test\r\n"
#define SHOP		"Host: shop.test\r\n"
#define LENIENT		"Host: lenient.test\r\n"
#define SMALL		"Host: small.test\r\n"
#define JSON		"Content-Type: application/json\r\n"
#define FORM		"Content-Type: application/x-www-form-urlencoded\r\n"
#define LENGTH		"Content-Length: 10\r\n"
#define CHUNKED		"Transfer-Encoding: chunked\r\n"
#define CODING		"the body's content coding cannot be undone here"

/* ---- the message alone ---- */

/* Refused before a relay is looked for. */
static const struct row broken[] = {
	/* framing comes first, whatever else is wrong */
	REFUSED(POST("/") "Content-Length: 1\r\n" CHUNKED, ERROR_BAD_REQUEST,
	    "Content-Length with Transfer-Encoding"),
	REFUSED(POST("/") PLAIN CHUNKED CHUNKED, ERROR_BAD_REQUEST,
	    "more than one Transfer-Encoding"),
	REFUSED(POST("/") PLAIN "Transfer-Encoding: gzip\r\n",
	    ERROR_BAD_REQUEST, "Transfer-Encoding is not chunked alone"),
	REFUSED(POST("/") PLAIN "Transfer-Encoding: gzip, chunked\r\n",
	    ERROR_NOT_IMPLEMENTED, "this transfer coding is not known here"),
	/* methods */
	REFUSED("CONNECT plain.test:443 HTTP/1.1\r\n" PLAIN,
	    ERROR_METHOD_NOT_ALLOWED, "a relay does not take this method"),
	REFUSED("TRACE / HTTP/1.1\r\n" PLAIN, ERROR_METHOD_NOT_ALLOWED,
	    "a relay does not take this method"),
	/* targets */
	REFUSED(GET("x") PLAIN, ERROR_BAD_REQUEST,
	    "the request target is broken"),
	REFUSED(GET("*") PLAIN, ERROR_BAD_REQUEST,
	    "the request target is broken"),
	REFUSED(GET("ftp://plain.test/") PLAIN, ERROR_BAD_REQUEST,
	    "the request target is broken"),
	REFUSED(GET("http://me@plain.test/") PLAIN, ERROR_BAD_REQUEST,
	    "the request target is broken"),
	/* hosts */
	REFUSED(GET("/"), ERROR_BAD_REQUEST, "Host is missing or repeated"),
	REFUSED(GET("http://plain.test/"), ERROR_BAD_REQUEST,
	    "Host is missing or repeated"),
	REFUSED("GET / HTTP/1.0\r\n", ERROR_BAD_REQUEST,
	    "Host is missing or repeated"),
	REFUSED(GET("/") PLAIN PLAIN, ERROR_BAD_REQUEST,
	    "Host is missing or repeated"),
	REFUSED("GET / HTTP/1.0\r\n" PLAIN SHOP, ERROR_BAD_REQUEST,
	    "Host is missing or repeated"),
	REFUSED(GET("/") "Host: \r\n", ERROR_BAD_REQUEST, "Host is no host name"),
	REFUSED(GET("/") "Host: me@plain.test\r\n", ERROR_BAD_REQUEST,
	    "Host is no host name"),
	REFUSED(GET("/") "Host: plain.test, shop.test\r\n", ERROR_BAD_REQUEST,
	    "Host is no host name"),
	REFUSED(GET("/") "Host: plain.test:99999\r\n", ERROR_BAD_REQUEST,
	    "Host is no host name"),
	REFUSED(GET("http://shop.test/") PLAIN, ERROR_BAD_REQUEST,
	    "Host and the target's authority differ"),
	REFUSED("OPTIONS https://shop.test HTTP/1.1\r\n" PLAIN, ERROR_BAD_REQUEST,
	    "Host and the target's authority differ"),
	REFUSED("GET http://shop.test/ HTTP/1.0\r\n" PLAIN, ERROR_BAD_REQUEST,
	    "Host and the target's authority differ"),
	/* expectations */
	REFUSED(POST("/") PLAIN LENGTH "Expect: 200-ok\r\n",
	    ERROR_EXPECTATION_FAILED, "only 100-continue can be expected"),
	REFUSED(GET("/") PLAIN "Expect: \r\n", ERROR_EXPECTATION_FAILED,
	    "only 100-continue can be expected"),
	REFUSED(POST("/") PLAIN LENGTH "Expect: 100-continue, x\r\n",
	    ERROR_EXPECTATION_FAILED, "only 100-continue can be expected"),
	/* circles */
	REFUSED(GET("/") PLAIN "Via: 1.1 relay-plain.test\r\n",
	    ERROR_TUNNEL_LOOP, "the destination is this relay itself"),
	REFUSED(GET("/") PLAIN "Via: 1.0 a, HTTP/1.1 \t Relay-PLAIN.test (x, y)"
	    "\r\n", ERROR_TUNNEL_LOOP, "the destination is this relay itself"),
	REFUSED(GET("/") PLAIN "Via: 1.1 a\r\nVia: , 1.1 relay-plain.test\r\n",
	    ERROR_TUNNEL_LOOP, "the destination is this relay itself"),
	REFUSED(GET("/") "Host: [::1]\r\nVia: 1.1 relay-__1\r\n",
	    ERROR_TUNNEL_LOOP, "the destination is this relay itself"),
};

static void
test_broken_messages(void **state)
{
	for (size_t i = 0; i < COUNT(broken); i++)
		if (check(*state, &broken[i]) != 0)
			fail_msg("%s: a relay was looked for", broken[i].text);
}

static void
test_messages(void **state)
{
	static const struct row rows[] = {
		GOES(GET("/") PLAIN, "plain.test", "", REWRITE_NONE, ""),
		GOES("PURGE /a//b\\c HTTP/1.1\r\n" PLAIN, "plain.test", "",
		    REWRITE_NONE, ""),
		GOES(GET("/") "Host: PLAIN.test.:8443\r\n", "plain.test", "",
		    REWRITE_NONE, ""),
		GOES(GET("/") "Host: [0:0::1]:443\r\n", "::1", "",
		    REWRITE_NONE, ""),
		GOES("OPTIONS * HTTP/1.1\r\n" SHOP, "shop.test", "",
		    REWRITE_NONE, ""),
		GOES(GET("https://plain.test:1/?a") "Host: plain.test:2\r\n",
		    "plain.test", "", REWRITE_NONE, ""),
		GOES("GET http://Plain.test HTTP/1.0\r\n", "plain.test", "",
		    REWRITE_NONE, ""),
		GOES("GET / HTTP/1.0\r\n" PLAIN, "plain.test", "",
		    REWRITE_NONE, ""),
		/* any body, any coding passes where nothing is chosen */
		GOES(POST("/") PLAIN "Content-Length: 99999999\r\n"
		    "Content-Encoding: x\r\n", "plain.test", "", REWRITE_NONE, ""),
		/* expectations */
		GOES(POST("/") PLAIN LENGTH "Expect: 100-Continue\r\n",
		    "plain.test", "", REWRITE_NONE, "expects "),
		GOES(POST("/") PLAIN CHUNKED "Expect: 100-continue\r\n",
		    "plain.test", "", REWRITE_NONE, "expects "),
		GOES(GET("/") PLAIN "Expect: 100-continue\r\n", "plain.test", "",
		    REWRITE_NONE, ""),
		GOES("POST / HTTP/1.0\r\n" PLAIN LENGTH "Expect: x\r\n",
		    "plain.test", "", REWRITE_NONE, ""),
		/* others were here */
		GOES(GET("/") PLAIN "Via: 1.1 relay-shop.test, 1.1 plain.test\r\n"
		    "Via: 1.1 a (relay-plain.test), relay-plain.test 1.1\r\n",
		    "plain.test", "", REWRITE_NONE, ""),
		GOES(GET("/") PLAIN "Via: 1.1\r\nVia: 1.1 relay-plain.test.a\r\n",
		    "plain.test", "", REWRITE_NONE, ""),
		/* trailers */
		GOES(GET("/") PLAIN "TE: gzip\r\nTE: deflate, Trailers\r\n",
		    "plain.test", "", REWRITE_NONE, "trailers "),
		GOES(GET("/") PLAIN "TE: gzip\r\nTrailers: TE\r\n", "plain.test",
		    "", REWRITE_NONE, ""),
		GOES("GET / HTTP/1.0\r\n" PLAIN "TE: trailers\r\n", "plain.test",
		    "", REWRITE_NONE, ""),
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		(void)check(*state, &rows[i]);
}

/* ---- relays and routes ---- */

static void
test_relays(void **state)
{
	static const struct row rows[] = {
		REFUSED(GET("/") "Host: other.test\r\n", ERROR_RELAY_NOT_FOUND,
		    "no relay has this host name"),
		REFUSED(GET("/") "Host: unsynced.test\r\n", ERROR_NOT_READY,
		    "no configuration yet"),
		REFUSED(GET("/") "Host: damaged.test\r\n", ERROR_NOT_READY,
		    "no configuration yet"),
		/* the name in TLS: none, the same, nobody's, another relay's */
		{ GET("/") PLAIN, PASSES, NULL, "plain.test", "", REWRITE_NONE, "",
		    "plain.test" },
		{ GET("/") PLAIN, PASSES, NULL, "plain.test", "", REWRITE_NONE, "",
		    "other.test" },
		{ GET("/") PLAIN, PASSES, NULL, "plain.test", "", REWRITE_NONE, "",
		    "damaged.test" },
		{ GET("/") PLAIN, ERROR_MISDIRECTED_REQUEST,
		    "the TLS server name is that of another relay", NULL, NULL,
		    REWRITE_NONE, NULL, "shop.test" },
		{ GET("/") "Host: other.test\r\n", ERROR_RELAY_NOT_FOUND,
		    "no relay has this host name", NULL, NULL, REWRITE_NONE, NULL,
		    "shop.test" },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		(void)check(*state, &rows[i]);
}

static void
test_routes(void **state)
{
	static const struct row rows[] = {
		GOES(GET("/") SHOP, "shop.test", "", REWRITE_NONE, ""),
		GOES(POST("/pay") SHOP, "shop.test", "/pay", REWRITE_NONE, ""),
		GOES(GET("/pay") SHOP, "shop.test", "/pay/**", REWRITE_NONE, ""),
		GOES(POST("/a/../%70ay?x=/") SHOP, "shop.test", "/pay",
		    REWRITE_NONE, ""),
		GOES(POST("http://shop.test/pay") SHOP, "shop.test", "/pay",
		    REWRITE_NONE, ""),
		GOES("HEAD /report/1 HTTP/1.1\r\n" SHOP, "shop.test", "/report/*",
		    REWRITE_NONE, ""),
		GOES(GET("/report/1/2") SHOP, "shop.test", "", REWRITE_NONE, ""),
		/* what two readers could judge differently, on a relay with
		 * rules */
		REFUSED(GET("//pay") SHOP, ERROR_BAD_REQUEST,
		    "the path is ambiguous"),
		REFUSED(GET("/a/%2e%2e/pay") SHOP, ERROR_BAD_REQUEST,
		    "the path is ambiguous"),
		REFUSED(GET("/..") SHOP, ERROR_BAD_REQUEST,
		    "the path is ambiguous"),
		REFUSED(GET("/%zz") SHOP, ERROR_BAD_REQUEST,
		    "the path is ambiguous"),
		GOES(GET("//pay") PLAIN, "plain.test", "", REWRITE_NONE, ""),
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		(void)check(*state, &rows[i]);
}

/* ---- work ---- */

#define FOREIGN	"no selector of this route reads this content type"
#define LONG	"the body is over the limit for bodies with selectors"

static void
test_work(void **state)
{
	static const struct row rows[] = {
		GOES(POST("/pay") SHOP JSON LENGTH, "shop.test", "/pay",
		    REWRITE_JSON, ""),
		GOES(POST("/pay") SHOP FORM CHUNKED "Expect: 100-continue\r\n",
		    "shop.test", "/pay", REWRITE_FORM, "expects "),
		GOES(POST("/head") SHOP "Content-Type: x/y\r\n" LENGTH,
		    "shop.test", "/head", REWRITE_NONE, "head "),
		GOES(GET("/both") SHOP, "shop.test", "/both", REWRITE_NONE,
		    "head "),
		GOES(POST("/both") SHOP JSON LENGTH, "shop.test", "/both",
		    REWRITE_JSON, "head "),
		GOES(GET("/report/1") SHOP "Content-Type: x/y\r\n" LENGTH,
		    "shop.test", "/report/*", REWRITE_NONE, ""),
		/* what would go on unsealed is refused */
		REFUSED(POST("/pay") SHOP LENGTH, ERROR_UNSUPPORTED_CONTENT_TYPE,
		    "the body's content type is missing or broken"),
		REFUSED(POST("/pay") SHOP "Content-Type: text/plain\r\n" CHUNKED,
		    ERROR_UNSUPPORTED_CONTENT_TYPE, FOREIGN),
		REFUSED(POST("/both") SHOP FORM LENGTH,
		    ERROR_UNSUPPORTED_CONTENT_TYPE, FOREIGN),
		REFUSED(POST("/pay") SHOP JSON LENGTH "Content-Encoding: compress\r\n",
		    ERROR_UNSUPPORTED_CONTENT_TYPE, CODING),
		REFUSED(POST("/pay") SHOP JSON LENGTH "Content-Encoding: gzip, br\r\n",
		    ERROR_UNSUPPORTED_CONTENT_TYPE, CODING),
		GOES(POST("/pay") SHOP JSON LENGTH "Content-Encoding: gzip\r\n",
		    "shop.test", "/pay", REWRITE_JSON, "gzip "),
		GOES(POST("/pay") SHOP JSON CHUNKED "Content-Encoding: zstd\r\n",
		    "shop.test", "/pay", REWRITE_JSON, "zstd "),
		GOES(GET("/report/1") SHOP JSON LENGTH "Content-Encoding: gzip\r\n",
		    "shop.test", "/report/*", REWRITE_NONE, ""),
		GOES(POST("/pay") SHOP JSON "Content-Length: 100\r\n", "shop.test",
		    "/pay", REWRITE_JSON, ""),
		REFUSED(POST("/pay") SHOP JSON "Content-Length: 101\r\n",
		    ERROR_PAYLOAD_TOO_LARGE, LONG),
		GOES(POST("/pay") SMALL JSON LENGTH, "small.test", "/pay",
		    REWRITE_JSON, ""),
		REFUSED(POST("/pay") SMALL JSON "Content-Length: 11\r\n",
		    ERROR_PAYLOAD_TOO_LARGE, LONG),
		REFUSED(POST("/pay") SMALL FORM LENGTH,
		    ERROR_UNSUPPORTED_CONTENT_TYPE, FOREIGN),
		/* or forwarded, where the relay says so, unless it could be read;
		 * the head keeps its work */
		GOES(POST("/pay") LENIENT JSON LENGTH, "lenient.test", "/pay",
		    REWRITE_JSON, ""),
		GOES(POST("/pay") LENIENT FORM LENGTH, "lenient.test", "/pay",
		    REWRITE_NONE, ""),
		GOES(POST("/pay") LENIENT JSON LENGTH "Content-Encoding: exi\r\n",
		    "lenient.test", "/pay", REWRITE_NONE, ""),
		GOES(POST("/pay") LENIENT JSON LENGTH "Content-Encoding: br\r\n",
		    "lenient.test", "/pay", REWRITE_JSON, "br "),
		GOES(POST("/pay") LENIENT FORM LENGTH "Content-Encoding: br\r\n",
		    "lenient.test", "/pay", REWRITE_NONE, ""),
		REFUSED(POST("/pay") LENIENT JSON "Content-Length: 11\r\n",
		    ERROR_PAYLOAD_TOO_LARGE, LONG),
		GOES(POST("/both") LENIENT FORM LENGTH, "lenient.test", "/both",
		    REWRITE_NONE, "head "),
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		(void)check(*state, &rows[i]);
}

/* ---- other protocols ---- */

#define WEBSOCKET	"Connection: Upgrade\r\nUpgrade: websocket\r\n"

static void
test_upgrades(void **state)
{
	static const struct row rows[] = {
		GOES(GET("/") PLAIN WEBSOCKET, "plain.test", "", REWRITE_NONE,
		    "upgrade websocket"),
		GOES(GET("/") PLAIN "Connection: a, upgrade\r\nUpgrade: a/1, b\r\n",
		    "plain.test", "", REWRITE_NONE, "upgrade a/1, b"),
		GOES(GET("/report/1") SHOP WEBSOCKET, "shop.test", "/report/*",
		    REWRITE_NONE, "upgrade websocket"),
		GOES(GET("/pay") SHOP WEBSOCKET, "shop.test", "/pay/**",
		    REWRITE_NONE, "upgrade websocket"),
		/* nothing could be sealed in it */
		REFUSED(GET("/head") SHOP WEBSOCKET, ERROR_NOT_IMPLEMENTED,
		    "this route's actions cannot be carried out in a tunnel"),
		REFUSED(GET("/pay") LENIENT WEBSOCKET, ERROR_NOT_IMPLEMENTED,
		    "this route's actions cannot be carried out in a tunnel"),
		/* ignored, as any server may */
		GOES(GET("/") PLAIN "Connection: Upgrade, HTTP2-Settings\r\n"
		    "Upgrade: H2C\r\n", "plain.test", "", REWRITE_NONE, ""),
		GOES(GET("/") PLAIN "Connection: Upgrade\r\n"
		    "Upgrade: websocket, h2c\r\n", "plain.test", "",
		    REWRITE_NONE, ""),
		GOES(GET("/") PLAIN "Connection: Upgrade\r\n"
		    "Upgrade: TLS/1.0, HTTP/1.1\r\n", "plain.test", "",
		    REWRITE_NONE, ""),
		GOES(GET("/") PLAIN "Connection: Upgrade\r\nUpgrade: h2c/1\r\n",
		    "plain.test", "", REWRITE_NONE, ""),
		GOES(GET("/") PLAIN "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n",
		    "plain.test", "", REWRITE_NONE, ""),
		GOES(GET("/head") SHOP "Connection: Upgrade\r\nUpgrade: h2c\r\n",
		    "shop.test", "/head", REWRITE_NONE, "head "),
		GOES(GET("/") PLAIN "Upgrade: websocket\r\n", "plain.test", "",
		    REWRITE_NONE, ""),
		GOES(GET("/") PLAIN "Connection: Upgrade\r\n", "plain.test", "",
		    REWRITE_NONE, ""),
		GOES(GET("/") PLAIN WEBSOCKET "Upgrade: other\r\n", "plain.test",
		    "", REWRITE_NONE, ""),
		GOES(POST("/") PLAIN WEBSOCKET LENGTH, "plain.test", "",
		    REWRITE_NONE, ""),
		GOES("GET / HTTP/1.0\r\n" PLAIN WEBSOCKET, "plain.test", "",
		    REWRITE_NONE, ""),
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		(void)check(*state, &rows[i]);
}

/* ---- names and limits ---- */

static void
test_via_name(void **state)
{
	static const struct {
		const char	*host, *want;
	} names[] = {
		{ "shop.test", "relay-shop.test" },
		{ "192.0.2.1", "relay-192.0.2.1" },
		{ "2001:db8::1", "relay-2001_db8__1" },
	};
	char longest[HOST_BYTES], got[JUDGE_VIA_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		judge_via_name(names[i].host, got);
		assert_string_equal(got, names[i].want);
		for (const char *p = got; *p != '\0'; p++)
			assert_true(http_is_tchar((unsigned char)*p));
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	judge_via_name(longest, got);
	assert_int_equal(strlen(got), strlen("relay-") + strlen(longest));
}

static void
test_body_limit(void **state)
{
	struct shelf *shelf = *state;
	struct conf conf = { .max_body_bytes = LIMIT };

	for (size_t i = 0; i < COUNT(texts); i++)
		assert_int_equal(judge_body_limit(&conf, shelf->relays[i]),
		    strstr(texts[i], "bodyBytes") != NULL ? 10 : LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broken_messages),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_relays),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_upgrades),
		cmocka_unit_test(test_via_name),
		cmocka_unit_test(test_body_limit),
	};

	return (cmocka_run_group_tests(tests, setup, teardown));
}
