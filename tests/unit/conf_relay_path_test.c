/* Patterns of paths: their normal form is that of requests, and what they
 * match. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "conf/relay_path.h"
#include "lib/http/uri.h"

static const struct {
	const char	*pattern, *want;	/* NULL: refused */
} forms[] = {
	{ "/", "/" },
	{ "/a", "/a" },
	{ "/a/", "/a/" },
	{ "/a/b.c/~d-e_f", "/a/b.c/~d-e_f" },
	{ "/%61%7e%2D", "/a~-" },
	{ "/a%2fb", "/a%2Fb" },
	{ "/a%2Fb", "/a%2Fb" },
	{ "/a%3a%40:@!$&'()+,;=", "/a%3A%40:@!$&'()+,;=" },
	{ "/caf\xc3\xa9", "/caf%C3%A9" },
	{ "/caf%c3%a9", "/caf%C3%A9" },
	{ "/{id}", "/%7Bid%7D" },
	{ "/a;b=c", "/a;b=c" },
	{ "/...", "/..." },
	{ "/.a", "/.a" },
	{ "/a..b", "/a..b" },
	{ "/%2A", "/%2A" },
	{ "", NULL },
	{ "a", NULL },
	{ "*", NULL },
	{ "//", NULL },
	{ "/a//b", NULL },
	{ "/a b", NULL },
	{ "/a?b", NULL },
	{ "/a#b", NULL },
	{ "/a\\b", NULL },
	{ "/a%5cb", NULL },
	{ "/a%00", NULL },
	{ "/a%7f", NULL },
	{ "/a\x01", NULL },
	{ "/a%", NULL },
	{ "/a%2", NULL },
	{ "/a%zz", NULL },
	{ "/.", NULL },
	{ "/a/../b", NULL },
	{ "/a/..", NULL },
	{ "/%2e%2E/b", NULL },
	{ "/..;a/b", NULL },
	{ "/.;/b", NULL },
	{ "/..%2fb", NULL },
	{ "/..%3bb", NULL },
};

/* Stars aside: what we accept, requests are brought to the same form; what
 * requests cannot have, we refuse. */
static void
test_normal_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct span pattern = span_of(forms[i].pattern);
		struct buffer ours, theirs;
		const char *reason;
		enum rc rc;

		buffer_init(&ours, 0, false);
		buffer_init(&theirs, 0, false);
		rc = relay_path_normalize(pattern, &ours, &reason);
		if (forms[i].want == NULL) {
			if (rc != RC_SYNTAX)
				fail_msg("%s is accepted", forms[i].pattern);
			assert_non_null(reason);
		} else {
			if (rc != RC_OK)
				fail_msg("%s: %s", forms[i].pattern, reason);
			assert_null(reason);
			assert_string_equal(buffer_cstr(&ours), forms[i].want);
			assert_int_equal(http_path_normalize(pattern, &theirs),
			    RC_OK);
			assert_string_equal(buffer_cstr(&theirs),
			    forms[i].want);
		}
		buffer_fini(&ours);
		buffer_fini(&theirs);
	}
}

static void
test_stars(void **state)
{
	static const struct {
		const char	*pattern;
		enum rc		rc;
	} cases[] = {
		{ "/*", RC_OK }, { "/**", RC_OK }, { "/a/*", RC_OK },
		{ "/*/a/*/", RC_OK }, { "/*/**", RC_OK },
		{ "/a*", RC_SYNTAX }, { "/*a", RC_SYNTAX },
		{ "/***", RC_SYNTAX }, { "/**/", RC_SYNTAX },
		{ "/**/a", RC_SYNTAX }, { "/**a", RC_SYNTAX },
		{ "/a**", RC_SYNTAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buffer out;
		const char *reason;

		buffer_init(&out, 0, false);
		assert_int_equal(relay_path_normalize(span_of(cases[i].pattern),
		    &out, &reason), cases[i].rc);
		if (cases[i].rc == RC_OK)
			assert_string_equal(buffer_cstr(&out),
			    cases[i].pattern);
		buffer_fini(&out);
	}
}

static const struct {
	const char	*pattern, *path;
	bool		match;
} matches[] = {
	{ "/", "/", true },
	{ "/", "/a", false },
	{ "/a", "/a", true },
	{ "/a", "/A", false },
	{ "/a", "/", false },
	{ "/a", "/ab", false },
	{ "/ab", "/a", false },
	{ "/a", "/a/", false },
	{ "/a/", "/a", false },
	{ "/a/", "/a/", true },
	{ "/a/b", "/a/b", true },
	{ "/a/b", "/a/c", false },
	{ "/a/b", "/a", false },
	{ "/a", "/a/b", false },
	{ "/*", "/", true },
	{ "/*", "/a", true },
	{ "/*", "/a%2Fb", true },
	{ "/*", "/a/", false },
	{ "/*", "/a/b", false },
	{ "/a/*", "/a", false },
	{ "/a/*", "/a/", true },
	{ "/a/*", "/a/b", true },
	{ "/a/*", "/b/b", false },
	{ "/*/b", "/a/b", true },
	{ "/*/b", "/a/c", false },
	{ "/*/b", "/b", false },
	{ "/a/*/c", "/a/b/c", true },
	{ "/a/*/c", "/a/b/b/c", false },
	{ "/a/*/", "/a/b/", true },
	{ "/a/*/", "/a/b", false },
	{ "/**", "/", true },
	{ "/**", "/a", true },
	{ "/**", "/a/b/c/", true },
	{ "/a/**", "/a", true },
	{ "/a/**", "/a/", true },
	{ "/a/**", "/a/b", true },
	{ "/a/**", "/a/b/c", true },
	{ "/a/**", "/ab", false },
	{ "/a/**", "/b", false },
	{ "/a/**", "/", false },
	{ "/*/**", "/", true },
	{ "/*/**", "/a/b/c", true },
	{ "/*/b/**", "/a/b", true },
	{ "/*/b/**", "/a/c", false },
	{ "/%2A", "/%2A", true },
	{ "/%2A", "/a", false },
	{ "/a", "", false },
	{ "/a", "a", false },
};

static void
test_match(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++)
		if (relay_path_match(matches[i].pattern,
		    span_of(matches[i].path)) != matches[i].match)
			fail_msg("%s %s", matches[i].pattern, matches[i].path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normal_form),
		cmocka_unit_test(test_stars),
		cmocka_unit_test(test_match),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
