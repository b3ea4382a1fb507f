/* Targets, hosts and paths, with the spellings that have got past rules. */
#include "lib/http/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define TEXT(s)	s, sizeof(s) - 1

static void
test_target(void **state)
{
	static const struct {
		enum http_method	method;
		const char		*target;
		enum rc			rc;
		const char		*want;	/* form scheme authority path query */
	} rows[] = {
		{ HTTP_GET, "/", RC_OK, "0 [] [] [/] -" },
		{ HTTP_GET, "/a/b?c?d", RC_OK, "0 [] [] [/a/b] [c?d]" },
		{ HTTP_GET, "/?", RC_OK, "0 [] [] [/] []" },
		{ HTTP_GET, "//x/y", RC_OK, "0 [] [] [//x/y] -" },
		{ HTTP_GET, "http://h", RC_OK, "1 [http] [h] [/] -" },
		{ HTTP_GET, "HTTPS://h:8/p?q", RC_OK, "1 [HTTPS] [h:8] [/p] [q]" },
		{ HTTP_GET, "http://[::1]:8?q", RC_OK, "1 [http] [[::1]:8] [/] [q]" },
		{ HTTP_CONNECT, "h.test:443", RC_OK, "2 [] [h.test:443] [] -" },
		{ HTTP_CONNECT, "[2001:db8::1]:443", RC_OK,
		    "2 [] [[2001:db8::1]:443] [] -" },
		{ HTTP_OPTIONS, "*", RC_OK, "3 [] [] [*] -" },
		{ HTTP_OPTIONS, "http://h:1", RC_OK, "3 [http] [h:1] [*] -" },
		{ HTTP_OPTIONS, "http://h/", RC_OK, "1 [http] [h] [/] -" },
		{ HTTP_GET, "", RC_SYNTAX, NULL },
		{ HTTP_GET, "*", RC_SYNTAX, NULL },
		{ HTTP_OPTIONS, "**", RC_SYNTAX, NULL },
		{ HTTP_GET, "a/b", RC_SYNTAX, NULL },
		{ HTTP_GET, "h.test:443", RC_SYNTAX, NULL },
		{ HTTP_GET, "/a#b", RC_SYNTAX, NULL },
		{ HTTP_GET, "/a b", RC_SYNTAX, NULL },
		{ HTTP_GET, "/a\tb", RC_SYNTAX, NULL },
		{ HTTP_GET, "http:/h", RC_SYNTAX, NULL },
		{ HTTP_GET, "http://", RC_SYNTAX, NULL },
		{ HTTP_GET, "http:///p", RC_SYNTAX, NULL },
		{ HTTP_GET, "http://?q", RC_SYNTAX, NULL },
		{ HTTP_GET, "http://u:p@h/", RC_SYNTAX, NULL },
		{ HTTP_GET, "http://h\\x/", RC_SYNTAX, NULL },
		{ HTTP_GET, "ftp://h/", RC_SYNTAX, NULL },
		{ HTTP_CONNECT, "h.test", RC_SYNTAX, NULL },
		{ HTTP_CONNECT, "h.test:", RC_SYNTAX, NULL },
		{ HTTP_CONNECT, "h.test:443/", RC_SYNTAX, NULL },
		{ HTTP_CONNECT, "u@h.test:443", RC_SYNTAX, NULL },
		{ HTTP_CONNECT, "http://h.test:443", RC_SYNTAX, NULL },
		{ HTTP_CONNECT, "/", RC_SYNTAX, NULL },
		{ HTTP_CONNECT, "*", RC_SYNTAX, NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct http_target t;
		char got[128];

		if (http_target_parse(rows[i].method, span_of(rows[i].target), &t) !=
		    rows[i].rc)
			fail_msg("%s", rows[i].target);
		if (rows[i].rc != RC_OK)
			continue;
		(void)snprintf(got, sizeof(got), "%d [%.*s] [%.*s] [%.*s] %s%.*s%s",
		    t.form, (int)t.scheme.len, t.scheme.p, (int)t.authority.len,
		    t.authority.p, (int)t.path.len, t.path.p, t.has_query ? "[" : "",
		    (int)t.query.len, t.query.p, t.has_query ? "]" : "-");
		assert_string_equal(got, rows[i].want);
	}
}

static void
test_host(void **state)
{
	static const struct {
		const char	*text;
		size_t		len;
		enum rc		rc;
		const char	*host;
		unsigned	port;
	} rows[] = {
		{ TEXT("shop.test"), RC_OK, "shop.test", 0 },
		{ TEXT("SHOP.Test.:443"), RC_OK, "shop.test", 443 },
		{ TEXT("a_b.test:65535"), RC_OK, "a_b.test", 65535 },
		{ TEXT("127.0.0.1:1"), RC_OK, "127.0.0.1", 1 },
		{ TEXT("[::1]"), RC_OK, "::1", 0 },
		{ TEXT("[2001:DB8:0:0::1]:8"), RC_OK, "2001:db8::1", 8 },
		{ TEXT(""), RC_SYNTAX, "", 0 },
		{ TEXT(":80"), RC_SYNTAX, "", 0 },
		{ TEXT("."), RC_SYNTAX, "", 0 },
		{ TEXT("a..b"), RC_SYNTAX, "", 0 },
		{ TEXT("a:"), RC_SYNTAX, "", 0 },
		{ TEXT("a:0"), RC_SYNTAX, "", 0 },
		{ TEXT("a:080"), RC_SYNTAX, "", 0 },
		{ TEXT("a:65536"), RC_SYNTAX, "", 0 },
		{ TEXT("a:99999999999"), RC_SYNTAX, "", 0 },
		{ TEXT("a:8x"), RC_SYNTAX, "", 0 },
		{ TEXT("a:+8"), RC_SYNTAX, "", 0 },
		{ TEXT("a:8:9"), RC_SYNTAX, "", 0 },
		{ TEXT("::1"), RC_SYNTAX, "", 0 },
		{ TEXT("[::1"), RC_SYNTAX, "", 0 },
		{ TEXT("[::1]8"), RC_SYNTAX, "", 0 },
		{ TEXT("[127.0.0.1]"), RC_SYNTAX, "", 0 },
		{ TEXT("[a.test]"), RC_SYNTAX, "", 0 },
		{ TEXT("[fe80::1%25lo]"), RC_SYNTAX, "", 0 },
		{ TEXT("u@a"), RC_SYNTAX, "", 0 },
		{ TEXT("a,b"), RC_SYNTAX, "", 0 },
		{ TEXT("a b"), RC_SYNTAX, "", 0 },
		{ TEXT("a/b"), RC_SYNTAX, "", 0 },
		{ TEXT("a?b"), RC_SYNTAX, "", 0 },
		{ TEXT("a%2eb"), RC_SYNTAX, "", 0 },
		{ TEXT("a\0b"), RC_SYNTAX, "", 0 },
		{ TEXT("\xc3\xa4.test"), RC_SYNTAX, "", 0 },
		{ TEXT("127.1"), RC_SYNTAX, "", 0 },
		{ TEXT("0x7f.0.0.1"), RC_SYNTAX, "", 0 },
		{ TEXT("2130706433"), RC_SYNTAX, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		char host[HOST_BYTES];
		uint16_t port;
		enum rc rc;

		rc = http_host_parse((struct span){ rows[i].text, rows[i].len },
		    host, &port);
		if (rc != rows[i].rc)
			fail_msg("%s: %s", rows[i].text, rc_name(rc));
		assert_string_equal(host, rows[i].host);
		assert_int_equal(port, rows[i].port);
	}
}

static const struct {
	const char	*path;
	size_t		len;
	const char	*want;		/* NULL: refused */
} paths[] = {
	{ TEXT("/"), "/" },
	{ TEXT("/a/b"), "/a/b" },
	{ TEXT("/a/b/"), "/a/b/" },
	{ TEXT("/./a"), "/a" },
	{ TEXT("/a/."), "/a/" },
	{ TEXT("/a/./b"), "/a/b" },
	{ TEXT("/a/.."), "/" },
	{ TEXT("/a/b/.."), "/a/" },
	{ TEXT("/a/../b"), "/b" },
	{ TEXT("/aa/bb/../../c/"), "/c/" },
	{ TEXT("/a/../"), "/" },
	{ TEXT("/..."), "/..." },
	{ TEXT("/a..b/.c/d."), "/a..b/.c/d." },
	{ TEXT("/%61%7E%2d%5F%30"), "/a~-_0" },
	{ TEXT("/a%2fb%2F"), "/a%2Fb%2F" },
	{ TEXT("/%e4%C3"), "/%E4%C3" },
	{ TEXT("/a%20b"), "/a%20b" },
	{ TEXT("/%25%32%65"), "/%252e" },
	{ TEXT("/a%2eb"), "/a.b" },
	{ TEXT("/!$&'()*+,;=:@"), "/!$&'()*+,;=:@" },
	{ TEXT("/%40%3a"), "/%40%3A" },
	{ TEXT("/a;b=.."), "/a;b=.." },
	{ TEXT("/\xc3\xa4"), "/%C3%A4" },
	{ TEXT("/<{\"|^`[]}>"), "/%3C%7B%22%7C%5E%60%5B%5D%7D%3E" },

	{ TEXT(""), NULL },
	{ TEXT("a"), NULL },
	{ TEXT("*"), NULL },
	{ TEXT("//"), NULL },
	{ TEXT("//a"), NULL },
	{ TEXT("/a//b"), NULL },
	{ TEXT("/a//"), NULL },
	{ TEXT("/.."), NULL },
	{ TEXT("/../a"), NULL },
	{ TEXT("/a/../.."), NULL },
	{ TEXT("/a/../../b"), NULL },
	{ TEXT("/./.."), NULL },
	{ TEXT("/a\\b"), NULL },
	{ TEXT("/a%5cb"), NULL },
	{ TEXT("/a%5C..%5Cb"), NULL },
	{ TEXT("/a\0b"), NULL },
	{ TEXT("/a%00"), NULL },
	{ TEXT("/%0d%0a"), NULL },
	{ TEXT("/%1f"), NULL },
	{ TEXT("/%7F"), NULL },
	{ TEXT("/\x7f"), NULL },
	{ TEXT("/\x01"), NULL },
	{ TEXT("/a b"), NULL },
	{ TEXT("/a#b"), NULL },
	{ TEXT("/%"), NULL },
	{ TEXT("/%2"), NULL },
	{ TEXT("/%2g"), NULL },
	{ TEXT("/%u0041"), NULL },
	{ TEXT("/%2/a"), NULL },
	{ TEXT("/%2e"), NULL },
	{ TEXT("/%2E%2e/a"), NULL },
	{ TEXT("/.%2e"), NULL },
	{ TEXT("/a/%2e./b"), NULL },
	{ TEXT("/a/..;/b"), NULL },
	{ TEXT("/.;x=y/b"), NULL },
	{ TEXT("/a/..;"), NULL },
	{ TEXT("/a/..%3bx/b"), NULL },
	{ TEXT("/a/%2e%2e;/b"), NULL },
	{ TEXT("/;.."), NULL },
	{ TEXT("/a/..%2fb"), NULL },
	{ TEXT("/a%2F.."), NULL },
	{ TEXT("/a%2f%2e%2e%2fb"), NULL },
	{ TEXT("/a%2f.%2fb"), NULL },
};

static void
test_path(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(paths); i++) {
		char *in = malloc(paths[i].len != 0 ? paths[i].len : 1);
		struct buffer out;
		enum rc rc;

		assert_non_null(in);
		memcpy(in, paths[i].path, paths[i].len);
		buffer_init(&out, 0, false);
		buffer_puts(&out, "before:");
		rc = http_path_normalize((struct span){ in, paths[i].len }, &out);
		if (rc != (paths[i].want != NULL ? RC_OK : RC_SYNTAX))
			fail_msg("%s: %s", paths[i].path, rc_name(rc));
		assert_string_equal(buffer_cstr(&out) + 7,
		    paths[i].want != NULL ? paths[i].want : "");
		buffer_fini(&out);
		free(in);
	}
}

/* What comes out is its own normal form. */
static void
test_path_is_stable(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(paths); i++) {
		struct buffer out;

		if (paths[i].want == NULL)
			continue;
		buffer_init(&out, 0, false);
		assert_int_equal(http_path_normalize(span_of(paths[i].want), &out),
		    RC_OK);
		assert_string_equal(buffer_cstr(&out), paths[i].want);
		buffer_fini(&out);
	}
}

/* What a server that leaves dot segments alone reads in another way. */
static void
test_path_has_dots(void **state)
{
	static const struct {
		const char	*path;
		bool		yes;
	} t[] = {
		{ "/", false }, { "/a", false }, { "/a/b/", false },
		{ "/.", true }, { "/..", true }, { "/./", true },
		{ "/a/.", true }, { "/a/..", true }, { "/a/./b", true },
		{ "/secret/../public/x", true }, { "/a/b/../", true },
		{ "/...", false }, { "/a/.../b", false }, { "/.a", false },
		{ "/a.", false }, { "/a..b/..c/d..", false }, { "/..a/b", false },
		{ "/%61/%2f/%41", false }, { "/a.b/%2F", false },
		{ "*", false }, { "", false },
	};

	(void)state;
	for (size_t i = 0; i < N(t); i++)
		if (http_path_has_dots(span_of(t[i].path)) != t[i].yes)
			fail_msg("%s", t[i].path);
	/* No normal form has any. */
	for (size_t i = 0; i < N(paths); i++)
		assert_false(paths[i].want != NULL &&
		    http_path_has_dots(span_of(paths[i].want)));
}

static void
test_path_limit(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 4, false);
	assert_int_equal(http_path_normalize(SPAN_LIT("/abcd"), &out), RC_LIMIT);
	assert_int_equal(buffer_len(&out), 0);
	assert_int_equal(http_path_normalize(SPAN_LIT("/abc"), &out), RC_OK);
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_path_is_stable),
		cmocka_unit_test(test_path_has_dots),
		cmocka_unit_test(test_path_limit),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
