/* tests/unit/lib_base_host_test.c - one spelling for each host. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/base/host.h"

#define LABEL_63	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
			"aaaaaaaaaaaaa"

static void
test_canonical(void **state)
{
	static const struct {
		const char *in, *out;		/* NULL: RC_SYNTAX */
	} cases[] = {
		{ "shop.test", "shop.test" },
		{ "SHOP.Test", "shop.test" },
		{ "shop.test.", "shop.test" },
		{ "xn--bcher-kva.test", "xn--bcher-kva.test" },
		{ "_dmarc.a_b.test", "_dmarc.a_b.test" },
		{ "a-b.c--d.test", "a-b.c--d.test" },
		{ "localhost", "localhost" },
		{ "3com.test", "3com.test" },
		{ LABEL_63 ".test", LABEL_63 ".test" },
		{ "192.0.2.1", "192.0.2.1" },
		{ "192.0.2.1.", "192.0.2.1" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
		{ "[2001:DB8::1]", "2001:db8::1" },
		{ "::FFFF:192.0.2.1", "::ffff:192.0.2.1" },
		{ "", NULL }, { ".", NULL }, { "a..b", NULL },
		{ ".a", NULL }, { "a.test..", NULL }, { "-a.test", NULL },
		{ "a-.test", NULL }, { "a.-", NULL }, { "a b", NULL },
		{ "a/b", NULL }, { "a:80", NULL }, { "a.test:80", NULL },
		{ "user@a.test", NULL }, { "*.test", NULL },
		{ "b\xc3\xbc" "cher.test", NULL }, { "a%41.test", NULL },
		{ LABEL_63 "a.test", NULL },
		{ "[192.0.2.1]", NULL }, { "[::1", NULL }, { "::1]", NULL },
		{ "[::1]:80", NULL }, { "[]", NULL }, { "[::1].", NULL },
		{ "::1.", NULL }, { "fe80::1%eth0", NULL },
		/* Other spellings of addresses. */
		{ "127.1", NULL }, { "2130706433", NULL },
		{ "0x7f.0.0.1", NULL }, { "127.0.0.0x1", NULL },
		{ "a.0x", NULL }, { "a.123", NULL }, { "192.0.2.256", NULL },
		{ "1.2.3.4.5", NULL }, { "0x7f000001", NULL },
	};
	char out[HOST_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum rc rc = host_canonical(span_of(cases[i].in), out);

		if ((rc == RC_OK) != (cases[i].out != NULL))
			fail_msg("%s: %s", cases[i].in, rc_name(rc));
		assert_string_equal(out, rc == RC_OK ? cases[i].out : "");
		if (rc != RC_OK)
			continue;
		assert_true(host_is_canonical(out));
		assert_int_equal(host_is_canonical(cases[i].in),
		    strcmp(cases[i].in, out) == 0);
	}
	assert_int_equal(host_canonical(SPAN_LIT("a\0b"), out), RC_SYNTAX);
}

static void
test_lengths(void **state)
{
	char name[300], out[HOST_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	for (size_t len = 245; len < sizeof(name); len++) {
		bool ok = len <= 253;

		if (name[len - 1] == '.')
			ok = len <= 254;	/* the dot does not count */
		assert_int_equal(host_canonical((struct span){ name, len },
		    out) == RC_OK, ok);
	}
}

static void
test_is_ip(void **state)
{
	(void)state;
	assert_true(host_is_ip("192.0.2.1"));
	assert_true(host_is_ip("::1"));
	assert_false(host_is_ip("[::1]"));
	assert_false(host_is_ip("127.1"));
	assert_false(host_is_ip("a.test"));
	assert_false(host_is_ip(""));
}

static void
test_match(void **state)
{
	static const struct {
		const char	*pattern, *host;
		bool		ok;
	} cases[] = {
		{ "shop.test", "shop.test", true },
		{ "shop.test", "a.shop.test", false },
		{ "*.test", "shop.test", true },
		{ "*.test", "a.shop.test", false },
		{ "*.test", "test", false },
		{ "*.test", ".test", false },
		{ "*.shop.test", "a.shop.test", true },
		{ "*.shop.test", "xshop.test", false },
		{ "*", "shop", false },
		{ "a*.test", "ab.test", false },
		{ "*.0.0.1", "127.0.0.1", false },
		{ "127.0.0.1", "127.0.0.1", true },
		{ "::1", "::1", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (host_match(cases[i].pattern, cases[i].host) !=
		    cases[i].ok)
			fail_msg("%s %s", cases[i].pattern, cases[i].host);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_is_ip),
		cmocka_unit_test(test_match),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
