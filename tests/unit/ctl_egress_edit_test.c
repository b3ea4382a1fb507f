/* Destinations put into an egress record and taken out; nothing else moves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "ctl/egress_edit.h"

static void
test_targets(void **state)
{
	static const struct {
		const char	*text, *host;
		uint16_t	port;		/* 0: refused */
	} t[] = {
		{ "api.test", "api.test", 443 },
		{ "API.Test.", "api.test", 443 },
		{ "api.test:8443", "api.test", 8443 },
		{ "*.api.test", "*.api.test", 443 },
		{ "*.api.test:1", "*.api.test", 1 },
		{ "10.0.0.1:65535", "10.0.0.1", 65535 },
		{ "::1", "::1", 443 },
		{ "[::1]", "::1", 443 },
		{ "[::1]:8443", "::1", 8443 },
		{ "", NULL, 0 }, { "*", NULL, 0 }, { "*.", NULL, 0 },
		{ "*.10.0.0.1", NULL, 0 }, { "a.*.test", NULL, 0 },
		{ "api.test:", NULL, 0 }, { "api.test:0", NULL, 0 },
		{ "api.test:65536", NULL, 0 }, { "api.test:x", NULL, 0 },
		{ "[::1", NULL, 0 }, { "[::1]x", NULL, 0 },
		{ "https://api.test", NULL, 0 }, { "a b", NULL, 0 },
	};
	struct egress_target to;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		enum rc rc = egress_target_read(t[i].text, &to);

		if (rc != (t[i].port == 0 ? RC_SYNTAX : RC_OK) ||
		    (rc == RC_OK && (strcmp(to.host, t[i].host) != 0 ||
		    to.port != t[i].port)))
			fail_msg("%s: %s", t[i].text, rc_name(rc));
	}
}

static void
check(const char *old, const char *text, const struct egress_grant *grant,
    const char *want)
{
	struct egress_grant g = *grant;
	struct buffer out;

	buffer_init(&out, 0, false);
	assert_int_equal(egress_target_read(text, &g.to), RC_OK);
	egress_edit_allow(span_of(old), &g, &out);
	assert_string_equal(buffer_cstr(&out), want);
	buffer_fini(&out);
}

static void
test_allow(void **state)
{
	static const char *const methods[] = { "GET", "POST" };
	static const char *const paths[] = { "/v1/*" };
	struct egress_grant plain = { .n_methods = 0 };
	struct egress_grant full = { .methods = methods, .n_methods = 2,
	    .paths = paths, .n_paths = 1, .internal = true };

	(void)state;
	check("", "a.test", &plain, "{\"destinations\":[{\"host\":\"a.test\"}]}");
	check("{}", "a.test:1", &plain,
	    "{\"destinations\":[{\"host\":\"a.test\",\"port\":1}]}");
	check("{\"destinations\":[]}\n", "a.test", &full,
	    "{\"destinations\":[{\"host\":\"a.test\",\"methods\":[\"GET\",\"POST\"],"
	    "\"paths\":[\"/v1/*\"],\"internal\":true}]}");
	/* Others stay as they were written; the same one is replaced. */
	check("{ \"curve\" : \"k1\", \"destinations\": [ {\"host\": \"B.test\"}, "
	    "{\"host\":\"A.Test\", \"internal\": true}, {\"host\":\"a.test\","
	    "\"port\":2} ], \"r\\u0065sponses\": [ ] }", "a.test", &plain,
	    "{\"destinations\":[{\"host\": \"B.test\"},{\"host\":\"a.test\","
	    "\"port\":2},{\"host\":\"a.test\"}],\"curve\":\"k1\","
	    "\"responses\":[ ]}");
}

static void
test_deny(void **state)
{
	static const char old[] = "{\"destinations\":[{\"host\":\"a.test\"},"
	    "{\"host\":\"*.b.test\",\"port\":1},{\"host\":\"a.test\","
	    "\"paths\":[\"/\"]}],\"curve\":\"k1\"}";
	struct egress_target to;
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(egress_target_read("a.test", &to), RC_OK);
	assert_int_equal(egress_edit_deny(span_of(old), &to, &out), RC_OK);
	assert_string_equal(buffer_cstr(&out), "{\"destinations\":[{\"host\":"
	    "\"*.b.test\",\"port\":1}],\"curve\":\"k1\"}");
	/* What is not named is not there: *.b.test does not mean x.b.test. */
	assert_int_equal(egress_target_read("x.b.test:1", &to), RC_OK);
	assert_int_equal(egress_edit_deny(span_of(old), &to, &out),
	    RC_NOTFOUND);
	assert_int_equal(egress_target_read("*.b.test:1", &to), RC_OK);
	buffer_clear(&out);
	assert_int_equal(egress_edit_deny(SPAN_LIT("{\"destinations\":[{\"host\":"
	    "\"*.b.test\",\"port\":1}]}"), &to, &out), RC_OK);
	assert_string_equal(buffer_cstr(&out), "{\"destinations\":[]}");
	/* Everything is allowed: taking one out says nothing. */
	buffer_clear(&out);
	assert_int_equal(egress_edit_deny(SPAN_LIT("{}"), &to, &out),
	    RC_NOTFOUND);
	assert_int_equal(egress_edit_deny(SPAN_LIT(""), &to, &out), RC_NOTFOUND);
	assert_int_equal(buffer_len(&out), 0);
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_deny),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
