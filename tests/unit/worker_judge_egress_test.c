/*
 * worker/judge.c on requests through the egress proxy: a table of heads, inside
 * of a tunnel and outside, with what becomes of each; then what the app's rules
 * make of their bodies and answers.
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
#define PASSES		ERROR_CODES
#define CONNECT_HOST	"shop.test"
#define CONNECT_PORT	8443

static const struct judge_egress inside = { CONNECT_HOST, CONNECT_PORT, false };
static const struct judge_egress other_name = { CONNECT_HOST, CONNECT_PORT, true };
static const struct judge_egress inside_v6 = { "::1", 443, false };
static const struct judge_egress plain = { NULL, 0, false };

struct row {
	const struct judge_egress *rules;
	const char		*text;	/* without the last empty line */
	enum error_code		code;	/* PASSES */
	const char		*detail;	/* of the refusal, or its host */
	unsigned		port;	/* of one that passes */
};

#define GET(target)	"GET " target " HTTP/1.1\r\n"
#define SHOP		"Host: shop.test:8443\r\n"

/* The text without its last empty line; its copy lives until the next. */
static void
head_of(struct http_head *head, const char *text)
{
	static char whole[512];

	assert_in_range(snprintf(whole, sizeof(whole), "%s\r\n", text), 1,
	    sizeof(whole) - 1);
	request_head_of(head, whole);
}

static void
check(const struct row *row)
{
	struct http_head head;
	struct judgement j;
	bool passes;

	head_of(&head, row->text);
	passes = judge_egress_head(row->rules, &head, &j);
	if (passes != (row->code == PASSES))
		fail_msg("%s: %s %s", row->text, passes ? "passes" :
		    error_info(j.code)->name, passes ? "" : j.detail);
	if (passes && (strcmp(j.host, row->detail) != 0 || j.port != row->port))
		fail_msg("%s: goes to %s:%u", row->text, j.host, j.port);
	if (!passes && (j.code != row->code || strcmp(j.detail, row->detail) != 0))
		fail_msg("%s: %s %s", row->text, error_info(j.code)->name, j.detail);
	assert_null(j.relay);
	assert_null(j.route);
	assert_int_equal(j.syntax, REWRITE_NONE);
	judgement_fini(&j);
	http_head_fini(&head);
}

#define NAMES		ERROR_MISDIRECTED_REQUEST,				\
			"the TLS server name is not that of the CONNECT", 0
#define NOT_CONNECT	ERROR_MISDIRECTED_REQUEST, "Host is not that of the CONNECT", 0
#define DIFFER		ERROR_MISDIRECTED_REQUEST,				\
			"Host and the target's authority differ", 0
#define NO_METHOD	ERROR_METHOD_NOT_ALLOWED, "not this method inside a tunnel", 0
#define NO_TARGET	ERROR_BAD_REQUEST, "the request target is broken", 0
#define NO_HOST		ERROR_BAD_REQUEST, "Host is missing or repeated", 0
#define NO_NAME		ERROR_BAD_REQUEST, "Host is no host name", 0
#define GOES		PASSES, CONNECT_HOST, CONNECT_PORT

static void
test_inside(void **state)
{
	static const struct row rows[] = {
		{ &inside, GET("/") SHOP, GOES },
		{ &inside, GET("/") "Host: SHOP.test.:8443\r\n", GOES },
		{ &inside, "BREW /a?b HTTP/1.1\r\n" SHOP, GOES },
		{ &inside, "OPTIONS * HTTP/1.1\r\n" SHOP, GOES },
		{ &inside, GET("https://shop.test:8443/a") SHOP, GOES },
		{ &inside, GET("https://Shop.test:8443?q") SHOP, GOES },
		{ &inside, "OPTIONS https://shop.test:8443 HTTP/1.1\r\n" SHOP,
		    GOES },
		/* HTTP/1.0 needs no Host */
		{ &inside, "GET / HTTP/1.0\r\n", GOES },
		{ &inside, "GET / HTTP/1.0\r\n" SHOP, GOES },
		{ &inside, "GET https://shop.test:8443/ HTTP/1.0\r\n", GOES },
		{ &inside_v6, GET("/") "Host: [0::1]\r\n", PASSES, "::1", 443 },
		{ &inside_v6, GET("https://[::1]:443/") "Host: [::1]:443\r\n",
		    PASSES, "::1", 443 },
		{ &inside_v6, GET("https://[::1]:443/") "Host: [::1]\r\n",
		    PASSES, "::1", 443 },
		{ &inside_v6, GET("https://[::1]/") "Host: [::1]:443\r\n",
		    PASSES, "::1", 443 },
		{ &inside_v6, "GET https://[::1]/ HTTP/1.0\r\n", PASSES, "::1", 443 },
		/* 421: about somebody else */
		{ &inside, GET("/") "Host: other.test:8443\r\n", NOT_CONNECT },
		{ &inside, GET("/") "Host: a.shop.test:8443\r\n", NOT_CONNECT },
		{ &inside, GET("/") "Host: shop.test:443\r\n", NOT_CONNECT },
		/* no port is 443 */
		{ &inside, GET("/") "Host: shop.test\r\n", NOT_CONNECT },
		{ &inside, GET("https://shop.test/") "Host: shop.test\r\n",
		    NOT_CONNECT },
		{ &inside, "GET https://shop.test/ HTTP/1.0\r\n", NOT_CONNECT },
		{ &inside, GET("https://shop.test:8443/") "Host: shop.test\r\n",
		    DIFFER },
		{ &inside, GET("https://shop.test/") SHOP, DIFFER },
		{ &inside_v6, GET("/") "Host: [::2]\r\n", NOT_CONNECT },
		{ &inside, GET("https://shop.test:443/") "Host: shop.test\r\n",
		    NOT_CONNECT },
		{ &inside, "GET https://shop.test:1/ HTTP/1.0\r\n", NOT_CONNECT },
		{ &inside, GET("https://other.test/") "Host: other.test\r\n",
		    NOT_CONNECT },
		{ &inside, GET("https://other.test:8443/") SHOP, DIFFER },
		{ &inside, GET("https://shop.test:443/") SHOP, DIFFER },
		{ &inside, GET("https://shop.test:8443/") "Host: shop.test:1\r\n",
		    DIFFER },
		{ &inside, "GET https://other.test/ HTTP/1.0\r\n", DIFFER },
		{ &inside, "OPTIONS https://other.test HTTP/1.1\r\n" SHOP, DIFFER },
		{ &inside, "OPTIONS https://shop.test:1 HTTP/1.0\r\n", NOT_CONNECT },
		{ &other_name, GET("/") SHOP, NAMES },
		{ &other_name, "GET / HTTP/1.0\r\n", NAMES },
		{ &other_name, GET("https://shop.test:8443/") SHOP, NAMES },
		/* 405 */
		{ &inside, "CONNECT shop.test:8443 HTTP/1.1\r\n" SHOP, NO_METHOD },
		{ &inside, "CONNECT other HTTP/1.1\r\nHost: a b\r\n", NO_METHOD },
		{ &inside, "TRACE / HTTP/1.1\r\n" SHOP, NO_METHOD },
		{ &other_name, "TRACE / HTTP/1.1\r\n" SHOP, NO_METHOD },
		/* 400 */
		{ &inside, GET("shop.test:8443") SHOP, NO_TARGET },
		{ &inside, GET("*") SHOP, NO_TARGET },
		{ &inside, GET("ftp://shop.test/") SHOP, NO_TARGET },
		{ &inside, GET("https://u:p@shop.test/") SHOP, NO_TARGET },
		{ &inside, GET("/"), NO_HOST },
		{ &inside, GET("https://shop.test:8443/"), NO_HOST },
		{ &inside, GET("/") SHOP SHOP, NO_HOST },
		{ &inside, "GET / HTTP/1.0\r\n" SHOP "Host: other.test\r\n",
		    NO_HOST },
		{ &inside, GET("/") "Host: u@shop.test\r\n", NO_NAME },
		{ &inside, GET("/") "Host:\r\n", NO_NAME },
		{ &inside, GET("/") "Host: shop.test:99999\r\n", NO_NAME },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check(&rows[i]);
}

/* The target names the destination. */
static void
test_outside(void **state)
{
	static const struct row rows[] = {
		{ &plain, GET("http://a.test/") "Host: a.test\r\n", PASSES,
		    "a.test", 80 },
		{ &plain, GET("http://a.test:8080/") "Host: a.test:8080\r\n",
		    PASSES, "a.test", 8080 },
		{ &plain, GET("http://a.test:8080/") "Host: a.test\r\n", PASSES,
		    "a.test", 8080 },
		{ &plain, GET("http://[::1]:81/") "Host: [::1]:81\r\n", PASSES,
		    "::1", 81 },
		{ &plain, GET("http://a.test/") "Host: b.test\r\n", DIFFER },
		{ &plain, GET("http://a.test:81/") "Host: a.test:82\r\n", DIFFER },
		{ &plain, GET("http://a.test/") "Host: a.test:81\r\n", DIFFER },
		{ &plain, GET("http://a.test/") "Host: a.test:80\r\n", PASSES,
		    "a.test", 80 },
		{ &plain, GET("http://a.test/"), NO_HOST },
		{ &plain, "GET http://a.test/ HTTP/1.0\r\n", NO_HOST },
		{ &plain, "TRACE http://a.test/ HTTP/1.1\r\nHost: a.test\r\n",
		    NO_METHOD },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check(&rows[i]);
}

/* ---- framing and expectations, before and behind all that ---- */

static void
test_messages(void **state)
{
	static const struct {
		const char	*fields;
		enum error_code	code;
		bool		expects;
	} rows[] = {
		{ "", PASSES, false },
		{ "Content-Length: 5\r\n", PASSES, false },
		{ "Transfer-Encoding: chunked\r\n", PASSES, false },
		{ "Content-Length: 5\r\nExpect: 100-Continue\r\n", PASSES, true },
		{ "Expect: 100-continue\r\n", PASSES, false },
		{ "Content-Length: 5\r\nExpect: 200-ok\r\n",
		    ERROR_EXPECTATION_FAILED, false },
		{ "Content-Length: 5\r\nContent-Length: 6\r\n", ERROR_BAD_REQUEST,
		    false },
		{ "Content-Length: -1\r\n", ERROR_BAD_REQUEST, false },
		{ "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
		    ERROR_BAD_REQUEST, false },
		{ "Transfer-Encoding: gzip, chunked\r\n", ERROR_NOT_IMPLEMENTED,
		    false },
		/* the framing is told first */
		{ "Content-Length: x\r\nHost: other.test\r\n", ERROR_BAD_REQUEST,
		    false },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_head head;
		struct judgement j;
		bool passes;

		(void)snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n" SHOP "%s",
		    rows[i].fields);
		head_of(&head, text);
		passes = judge_egress_head(&inside, &head, &j);
		if (passes != (rows[i].code == PASSES) ||
		    (!passes && (j.code != rows[i].code || j.detail == NULL)) ||
		    (passes && j.expects != rows[i].expects))
			fail_msg("%s", text);
		judgement_fini(&j);
		http_head_fini(&head);
	}
}

/* ---- what the app's record says of answers, and what is read ---- */

#define SELECT		"[{\"selector\":\"$..*\",\"type\":\"json\"}]"
#define RULES								\
	"\"destinationDomain\":\"shop.test\",\"routes\":["		\
	"{\"method\":\"GET\",\"path\":\"/sealed/**\",\"response\":"	\
	    "[{\"action\":\"encrypt\",\"selections\":" SELECT "}]},"	\
	"{\"method\":\"GET\",\"path\":\"/opened/**\",\"response\":"	\
	    "[{\"action\":\"decrypt\",\"selections\":" SELECT "}]}]"

#define UPGRADE		"Connection: upgrade\r\nUpgrade: websocket\r\n"

static void
test_rules(void **state)
{
	static const struct {
		const char	*text;
		const char	*path;
		const char	*route;		/* "": none; NULL: refused */
		enum rewrite_syntax syntax;
		enum http_coding coding;
		const char	*upgrade;
		bool		trailers;
	} rows[] = {
		{ GET("/x") SHOP, "/x", "", REWRITE_NONE, 0, "", false },
		{ GET("/sealed/x") SHOP, "/sealed/x", "/sealed/**", REWRITE_NONE, 0,
		    "", false },
		{ "HEAD /sealed/x HTTP/1.1\r\n" SHOP, "/sealed/x", "/sealed/**",
		    REWRITE_NONE, 0, "", false },
		{ "POST /sealed/x HTTP/1.1\r\n" SHOP, "/sealed/x", "",
		    REWRITE_NONE, 0, "", false },
		{ "OPTIONS * HTTP/1.1\r\n" SHOP, "*", "", REWRITE_NONE, 0, "",
		    false },
		/* any body of any type is read, if its coding can be undone */
		{ "POST / HTTP/1.1\r\n" SHOP "Content-Length: 5\r\n", "/", "",
		    REWRITE_TOKENS, 0, "", false },
		{ "POST / HTTP/1.1\r\n" SHOP "Transfer-Encoding: chunked\r\n"
		    "Content-Type: image/png\r\nTE: trailers\r\n", "/", "",
		    REWRITE_TOKENS, 0, "", true },
		{ "GET / HTTP/1.1\r\n" SHOP "Content-Length: 5\r\n"
		    "Content-Encoding: GZIP\r\n", "/", "", REWRITE_TOKENS,
		    HTTP_CODING_GZIP, "", false },
		{ "POST / HTTP/1.1\r\n" SHOP "Content-Length: 5\r\n"
		    "Content-Encoding: aes128gcm\r\n", "/", "", REWRITE_NONE, 0, "",
		    false },
		{ "POST / HTTP/1.1\r\n" SHOP "Content-Length: 5\r\n"
		    "Content-Encoding: gzip, br\r\n", "/", "", REWRITE_NONE, 0, "",
		    false },
		/* tunnels in the tunnel */
		{ GET("/x") SHOP UPGRADE, "/x", "", REWRITE_NONE, 0, "websocket",
		    false },
		{ GET("/opened/x") SHOP UPGRADE, "/opened/x", "/opened/**",
		    REWRITE_NONE, 0, "websocket", false },
		{ GET("/sealed/x") SHOP UPGRADE, "/sealed/x", NULL, REWRITE_NONE, 0,
		    "", false },
		{ GET("/sealed/x") SHOP "Connection: upgrade\r\nUpgrade: h2c\r\n",
		    "/sealed/x", "/sealed/**", REWRITE_NONE, 0, "", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_head head;
		struct judgement j;
		bool passes;

		head_of(&head, rows[i].text);
		assert_true(judge_egress_head(&inside, &head, &j));
		j.relay = relay_of(RULES);
		passes = judge_egress_rules(&head, span_of(rows[i].path), &j);
		if (passes != (rows[i].route != NULL))
			fail_msg("%s: %s", rows[i].text, passes ? "passes" :
			    j.detail);
		if (!passes) {
			assert_int_equal(j.code, ERROR_NOT_IMPLEMENTED);
			assert_non_null(j.detail);
		} else if (strcmp(j.route != NULL ? j.route->path : "",
		    rows[i].route) != 0 || j.syntax != rows[i].syntax ||
		    j.coding != rows[i].coding ||
		    !span_eq_str(j.upgrade, rows[i].upgrade) ||
		    j.wants_trailers != rows[i].trailers) {
			fail_msg("%s: %s %d %d", rows[i].text, j.route != NULL ?
			    j.route->path : "-", (int)j.syntax, (int)j.coding);
		}
		judgement_fini(&j);
		assert_null(j.relay);
		http_head_fini(&head);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_rules),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
