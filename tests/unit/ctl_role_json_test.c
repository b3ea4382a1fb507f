/* A role's policy: what is taken, what is refused by which path, and that it
 * comes back as it went. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "ctl/role_json.h"

#define RULE(members)	"{\"default\":\"forbid\",\"rules\":[{" members "}]}"

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* JSON to the engine's form and back. */
static void
round_trip(const char *json, const char *want)
{
	struct body_json_writer w;
	struct role_fault fault;
	struct rpc_document doc;
	struct buffer packed, out;

	buffer_init(&packed, 0, false);
	buffer_init(&out, 0, false);
	if (role_json_read("ops", span_of(json), &packed, &fault) != RC_OK)
		fail_msg("%s: %s: %s", json, fault.path, fault.reason);
	assert_int_equal(rpc_document_read(&doc, buffer_data(&packed),
	    buffer_len(&packed)), RC_OK);
	body_json_writer_init(&w, &out);
	body_json_open_object(&w, NULL);
	role_json_write(&w, doc.root);
	body_json_close_object(&w);
	assert_string_equal(buffer_cstr(&out), want);
	rpc_document_fini(&doc);
	buffer_fini(&packed);
	buffer_fini(&out);
}

static void
test_good(void **state)
{
	(void)state;
	round_trip("{\"default\":\"permit\",\"rules\":[]}",
	    "{\"default\":\"permit\",\"rules\":[]}");
	round_trip(" {\"rules\" : [ ], \"default\":\"for\\u0062id\"}\n",
	    "{\"default\":\"forbid\",\"rules\":[]}");
	round_trip(RULE("\"effect\":\"permit\""), RULE("\"effect\":\"permit\""));
	round_trip(RULE("\"olderThanSeconds\":86400,\"addresses\":"
	    "[\"10.0.0.0/8\",\"::1\"],\"destinations\":[\"API.Example.COM.\","
	    "\"*.example.org\",\"192.0.2.1\"],\"place\":\"egress\","
	    "\"effect\":\"forbid\""),
	    RULE("\"effect\":\"forbid\",\"place\":\"egress\",\"destinations\":"
	    "[\"api.example.com\",\"*.example.org\",\"192.0.2.1\"],"
	    "\"addresses\":[\"10.0.0.0/8\",\"::1\"],"
	    "\"olderThanSeconds\":86400"));
	round_trip("{\"default\":\"permit\",\"rules\":[{\"effect\":\"permit\","
	    "\"place\":\"api\"},{\"effect\":\"forbid\",\"place\":\"relay\"}]}",
	    "{\"default\":\"permit\",\"rules\":[{\"effect\":\"permit\","
	    "\"place\":\"api\"},{\"effect\":\"forbid\",\"place\":\"relay\"}]}");
}

static const struct {
	const char	*json;
	const char	*path;
	const char	*reason;	/* part of it */
} bad[] = {
	{ "", "byte 0", "" },
	{ "{", "byte ", "" },
	{ "[]", "", "must be an object" },
	{ "\"permit\"", "", "must be an object" },
	{ "{}", "default", "must be \"permit\" or" },
	{ "{\"default\":\"permit\"}", "rules", "must be a list" },
	{ "{\"default\":true,\"rules\":[]}", "default", "must be" },
	{ "{\"default\":\"allow\",\"rules\":[]}", "default", "must be" },
	{ "{\"default\":\"permit\\u0000\",\"rules\":[]}", "default", "must be" },
	{ "{\"default\":\"permit\",\"rules\":{}}", "rules", "must be a list" },
	{ "{\"default\":\"permit\",\"rules\":[1]}", "rules[0]",
	    "must be an object" },
	{ "{\"default\":\"permit\",\"rules\":[],\"role\":1}", "role",
	    "unknown field" },
	{ "{\"default\":\"permit\",\"default\":\"forbid\",\"rules\":[]}",
	    "default", "appears twice" },
	{ "{\"default\":\"permit\",\"rules\":[{}]}", "rules[0].effect",
	    "must be" },
	{ RULE("\"effect\":\"permit\",\"plaice\":\"api\""), "rules[0].plaice",
	    "unknown field" },
	{ RULE("\"effect\":\"permit\",\"effect\":\"permit\""),
	    "rules[0].effect", "appears twice" },
	{ RULE("\"effect\":\"permit\",\"place\":\"function\""),
	    "rules[0].place", "must be" },
	{ RULE("\"effect\":\"permit\",\"place\":1"), "rules[0].place",
	    "must be" },
	{ RULE("\"effect\":\"permit\",\"destinations\":\"a.test\""),
	    "rules[0].destinations", "must be a list" },
	{ RULE("\"effect\":\"permit\",\"destinations\":[]"),
	    "rules[0].destinations", "one or more" },
	{ RULE("\"effect\":\"permit\",\"destinations\":[\"a.test\",\"a b\"]"),
	    "rules[0].destinations[1]", "not a host name" },
	{ RULE("\"effect\":\"permit\",\"destinations\":[\"*\"]"),
	    "rules[0].destinations[0]", "not a host name" },
	{ RULE("\"effect\":\"permit\",\"destinations\":[\"*.1.2.3.4\"]"),
	    "rules[0].destinations[0]", "not a host name" },
	{ RULE("\"effect\":\"permit\",\"destinations\":[\"a.test:443\"]"),
	    "rules[0].destinations[0]", "not a host name" },
	{ RULE("\"effect\":\"permit\",\"addresses\":[\"10.0.0.0/33\"]"),
	    "rules[0].addresses[0]", "not an IP address" },
	{ RULE("\"effect\":\"permit\",\"addresses\":[\"a.test\"]"),
	    "rules[0].addresses[0]", "not an IP address" },
	{ RULE("\"effect\":\"permit\",\"addresses\":[null]"),
	    "rules[0].addresses[0]", "not an IP address" },
	{ RULE("\"effect\":\"permit\",\"olderThanSeconds\":0"),
	    "rules[0].olderThanSeconds", "whole number" },
	{ RULE("\"effect\":\"permit\",\"olderThanSeconds\":-1"),
	    "rules[0].olderThanSeconds", "whole number" },
	{ RULE("\"effect\":\"permit\",\"olderThanSeconds\":1.5"),
	    "rules[0].olderThanSeconds", "whole number" },
	{ RULE("\"effect\":\"permit\",\"olderThanSeconds\":\"60\""),
	    "rules[0].olderThanSeconds", "whole number" },
	{ RULE("\"effect\":\"permit\",\"olderThanSeconds\":99999999999"),
	    "rules[0].olderThanSeconds", "whole number" },
};

static void
test_bad(void **state)
{
	struct role_fault fault;
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (role_json_read("r", span_of(bad[i].json), &out, &fault) ==
		    RC_OK)
			fail_msg("taken: %s", bad[i].json);
		assert_int_equal(buffer_len(&out), 0);
		if (strncmp(fault.path, bad[i].path, strlen(bad[i].path)) != 0 ||
		    strstr(fault.reason, bad[i].reason) == NULL)
			fail_msg("%s: %s: %s", bad[i].json, fault.path,
			    fault.reason);
	}
	buffer_fini(&out);
}

/* count of `item`, by commas. */
static void
repeat(struct buffer *out, const char *item, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		buffer_printf(out, "%s%s", i == 0 ? "" : ",", item);
}

static enum rc
read_many(const char *head, const char *item, unsigned count, const char *tail,
    struct role_fault *fault)
{
	struct buffer json, out;
	enum rc rc;

	buffer_init(&json, 0, false);
	buffer_init(&out, 0, false);
	buffer_puts(&json, head);
	repeat(&json, item, count);
	buffer_puts(&json, tail);
	rc = role_json_read("r", view(&json), &out, fault);
	buffer_fini(&json);
	buffer_fini(&out);
	return (rc);
}

static void
test_limits(void **state)
{
	static const char rules[] = "{\"default\":\"permit\",\"rules\":[";
	static const char hosts[] = "{\"default\":\"permit\",\"rules\":["
	    "{\"effect\":\"permit\",\"destinations\":[";
	struct role_fault fault;

	(void)state;
	assert_int_equal(read_many(rules, "{\"effect\":\"permit\"}", 16, "]}",
	    &fault), RC_OK);
	assert_int_equal(read_many(rules, "{\"effect\":\"permit\"}", 17, "]}",
	    &fault), RC_SYNTAX);
	assert_string_equal(fault.path, "rules");
	assert_int_equal(read_many(hosts, "\"a.test\"", 16, "]}]}", &fault),
	    RC_OK);
	assert_int_equal(read_many(hosts, "\"a.test\"", 17, "]}]}", &fault),
	    RC_SYNTAX);
	assert_string_equal(fault.path, "rules[0].destinations");
}

static void
test_names(void **state)
{
	(void)state;
	assert_true(role_name_valid("ops"));
	assert_true(role_name_valid("abcdefghij-123456789"));
	assert_false(role_name_valid("abcdefghij-1234567890"));
	assert_false(role_name_valid(""));
	assert_false(role_name_valid("Ops"));
	assert_false(role_name_valid("a_b"));
	assert_false(role_name_valid("a b"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_names),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
