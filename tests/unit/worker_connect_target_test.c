/*
 * worker/connect_target.c: tables of heads that come to the egress proxy, what
 * they ask for, or what their senders are told.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/unit/worker_relay.h"
#include "worker/connect_target.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define BODY		"CONNECT has no body"
#define TARGET		"CONNECT needs host:port"

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
test_targets(void **state)
{
	static const struct {
		const char	*text;
		const char	*host;		/* "": refused */
		unsigned	port;
		const char	*detail;
	} rows[] = {
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n", "shop.test", 443,
		    NULL },
		{ "CONNECT SHOP.test.:1 HTTP/1.0\r\n", "shop.test", 1, NULL },
		{ "CONNECT 192.0.2.1:65535 HTTP/1.1\r\nHost: a\r\n", "192.0.2.1",
		    65535, NULL },
		{ "CONNECT [2001:DB8:0::1]:443 HTTP/1.1\r\nHost: a\r\n",
		    "2001:db8::1", 443, NULL },
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n"
		    "Content-Length: 0\r\n", "shop.test", 443, NULL },
		/* a body */
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n"
		    "Content-Length: 1\r\n", "", 0, BODY },
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n"
		    "Content-Length: 00\r\n", "", 0, BODY },
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n"
		    "Content-Length:\r\n", "", 0, BODY },
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n"
		    "Content-Length: 0\r\nContent-Length: 0\r\n", "", 0, BODY },
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n"
		    "Content-Length: 0\r\nContent-Length: 5\r\n", "", 0, BODY },
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n"
		    "Transfer-Encoding: chunked\r\n", "", 0, BODY },
		{ "CONNECT shop.test:443 HTTP/1.1\r\nHost: a\r\n"
		    "Transfer-Encoding:\r\n", "", 0, BODY },
		/* no host:port */
		{ "CONNECT shop.test HTTP/1.1\r\nHost: shop.test:443\r\n", "", 0,
		    TARGET },
		{ "CONNECT shop.test: HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT shop.test:0 HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT shop.test:65536 HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT shop.test:443a HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT :443 HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT u@shop.test:443 HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT ::1:443 HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT / HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT shop.test:443/ HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
		{ "CONNECT https://shop.test:443 HTTP/1.1\r\nHost: a\r\n", "", 0,
		    TARGET },
		{ "CONNECT * HTTP/1.1\r\nHost: a\r\n", "", 0, TARGET },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char host[HOST_BYTES] = "former.test";
		const char *detail = NULL;
		struct http_head head;
		uint16_t port = 0;
		enum rc rc;

		head_of(&head, rows[i].text);
		rc = connect_target_read(&head, host, &port, &detail);
		if (rc != (rows[i].detail == NULL ? RC_OK : RC_SYNTAX) ||
		    strcmp(host, rows[i].host) != 0 ||
		    (rc == RC_OK && port != rows[i].port))
			fail_msg("%s: %s %s:%u", rows[i].text, rc_name(rc), host,
			    port);
		if (rc != RC_OK)
			assert_string_equal(detail, rows[i].detail);
		assert_false(connect_target_is_plain(&head));
		http_head_fini(&head);
	}
}

/* A word of each advice. */
static void
test_other_methods(void **state)
{
	static const struct {
		const char	*text;
		const char	*advice;
		bool		plain;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n", "no API", false },
		{ "POST /decrypt?a HTTP/1.1\r\nHost: a\r\n", "no API", false },
		{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n", "no API", false },
		{ "GET shop.test:443 HTTP/1.1\r\nHost: a\r\n", "no API", false },
		{ "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n", "no API", false },
		{ "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n", "no API", false },
		{ "GET https://a/ HTTP/1.1\r\nHost: a\r\n", "by CONNECT alone",
		    false },
		{ "GET HTTPS://a HTTP/1.1\r\nHost: a\r\n", "by CONNECT alone",
		    false },
		{ "GET http://a/ HTTP/1.1\r\nHost: a\r\n", "egress_plain_http",
		    true },
		{ "BREW HTTP://a:80?q HTTP/1.1\r\nHost: a\r\n",
		    "egress_plain_http", true },
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		head_of(&head, rows[i].text);
		if (strstr(connect_target_advice(&head), rows[i].advice) == NULL ||
		    connect_target_is_plain(&head) != rows[i].plain)
			fail_msg("%s: %s", rows[i].text,
			    connect_target_advice(&head));
		http_head_fini(&head);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_other_methods),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
