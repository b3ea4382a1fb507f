/*
 * bench/e3load_profile.c and e3load_table.c: what a profile may say, and the
 * line and reason of what it may not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Nothing is built in bench/, which the tarball takes as it is. */
#include "bench/e3load_profile.c"
#include "bench/e3load_table.c"

static struct load_profile profile;	/* large */

#define PHASES	"\"phases\":[{\"rate\":2,\"seconds\":90}]"
#define ONE(s)	"{" PHASES ",\n\"clients\":[{\"name\":\"a\",\n\"scenarios\":" \
	"[{\"name\":\"s\"" s "}]}]}"
#define CLIENT(s) "{" PHASES ",\n\"clients\":[{\"name\":\"a\",\n\"scenarios\":" \
	"[{\"name\":\"s\"}]," s "}]}"
#define TOP(s)	"{" s ",\n\"clients\":[{\"name\":\"a\",\"scenarios\":" \
	"[{\"name\":\"s\"}]}]}"

static enum rc
parse(const char *text, struct load_fault *fault)
{
	memset(fault, 0, sizeof(*fault));
	return (load_profile_parse(span_of(text), &profile, fault));
}

/* ---- good ones ---- */

static void
test_defaults(void **state)
{
	struct load_fault fault;

	(void)state;
	assert_int_equal(parse(ONE(""), &fault), RC_OK);
	assert_int_equal(profile.deadline_ms, 10000);
	assert_int_equal(profile.seed, 1);
	assert_int_equal(profile.n_addresses, 0);
	assert_int_equal(profile.n_clients, 1);
	assert_int_equal(profile.clients[0].count, 1);
	assert_int_equal(profile.clients[0].links, 1);
	assert_int_equal(profile.clients[0].curve, RPC_CURVE_R1);
	assert_int_equal(profile.clients[0].arrivals, LOAD_POISSON);
	assert_int_equal(profile.clients[0].n_phases, 1);
	assert_true(profile.clients[0].phases[0].rate == 2);
	assert_true(profile.clients[0].phases[0].seconds == 90);
	assert_int_equal(profile.clients[0].scenarios[0].op, LOAD_ENCRYPT);
	assert_int_equal(profile.clients[0].scenarios[0].weight, 1);
	assert_int_equal(profile.clients[0].scenarios[0].fields, 1);
	assert_int_equal(profile.clients[0].scenarios[0].bytes, 16);
	assert_int_equal(profile.clients[0].scenarios[0].scope,
	    RPC_SCOPE_REQUEST);
}

static void
test_all_members(void **state)
{
	struct load_fault fault;

	(void)state;
	assert_int_equal(parse("{\"addresses\":[\"unix:/run/e3.sock\","
	    "\"127.0.0.1:1\"],\"cert\":\"c\",\"key\":\"k\",\"ca\":\"a\","
	    "\"app\":\"app_1\",\"curve\":\"k1\",\"arrivals\":\"fixed\","
	    "\"deadline_ms\":5,\"seed\":0,\"clients\":[{\"name\":\"\\u0061\","
	    "\"count\":2,\"links\":3,\"app\":\"app_2\",\"curve\":\"r1\","
	    "\"arrivals\":\"poisson\",\"phases\":[{\"in_flight\":4,"
	    "\"seconds\":0.5,\"warm_up\":true},{\"rate\":1.5e1,"
	    "\"seconds\":2}],\"scenarios\":[{\"name\":\"s\",\"op\":\"decrypt\","
	    "\"weight\":7,\"fields\":9,\"bytes\":11,\"keyScope\":\"field\","
	    "\"cancel_after_ms\":13}]}]}", &fault), RC_OK);
	assert_int_equal(profile.n_addresses, 2);
	assert_string_equal(profile.addresses[1].text, "127.0.0.1:1");
	assert_string_equal(profile.clients[0].name, "a");
	assert_string_equal(profile.clients[0].app, "app_2");
	assert_int_equal(profile.clients[0].curve, RPC_CURVE_R1);
	assert_int_equal(profile.clients[0].arrivals, LOAD_POISSON);
	assert_int_equal(profile.clients[0].phases[0].in_flight, 4);
	assert_true(profile.clients[0].phases[0].warm_up);
	assert_true(profile.clients[0].phases[1].rate == 15);
	assert_int_equal(profile.clients[0].scenarios[0].op, LOAD_DECRYPT);
	assert_int_equal(profile.clients[0].scenarios[0].scope,
	    RPC_SCOPE_FIELD);
	assert_int_equal(profile.clients[0].scenarios[0].weight, 7);
	assert_int_equal(profile.clients[0].scenarios[0].cancel_after_ms, 13);
}

static void
test_shipped(void **state)
{
	static const char *const names[] = { "mixed", "hogs", "one-60000",
	    "strings-2000", "one-string",
	    "calls-30" };
	struct load_fault fault;
	char path[512];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/bench/profiles/%s.json",
		    TEST_SRCDIR, names[i]);
		if (load_profile_read(path, &profile, &fault) != RC_OK)
			fail_msg("%s:%u: %s", path, fault.line, fault.text);
	}
	assert_int_not_equal(load_profile_read("/nonexistent/profile",
	    &profile, &fault), RC_OK);
	assert_int_equal(fault.line, 0);
}

/* ---- bad ones ---- */

static const struct {
	const char	*text;
	unsigned	line;
	const char	*fault;
} wrong[] = {
	{ "", 1, "not JSON: the document ends too early" },
	{ "\n\n{\n\"clients\":", 4, "not JSON: the document ends too early" },
	{ "[]", 1, "must be an object" },
	{ "\n7", 2, "must be an object" },
	{ "{}", 1, "\"clients\" is missing" },
	{ "{\"clients\":[]}", 1,
	    "clients: must be an array that is not empty" },
	{ "{\"clients\":{}}", 1,
	    "clients: must be an array that is not empty" },
	{ "{\"clients\":[1]}", 1, "clients[0]: must be an object" },
	{ "{\"clients\":[{}]}", 1, "clients[0]: \"name\" is missing" },
	{ "{\n\"Clients\":1}", 2, "unknown member" },
	{ ONE(",\n\"fieldz\":1"), 4,
	    "clients[0].scenarios[0]: unknown member" },
	{ ONE(",\"fields\":1,\n\"fields\":1"), 4,
	    "clients[0].scenarios[0].fields: is there twice" },
	{ ONE(",\"fields\":1,\"f\\u0069elds\":1"), 3,
	    "clients[0].scenarios[0].fields: is there twice" },
	{ ONE(",\"fields\":0"), 3, "clients[0].scenarios[0].fields: must be "
	    "an integer from 1 to 65536" },
	{ ONE(",\"fields\":65537"), 3, "clients[0].scenarios[0].fields: must "
	    "be an integer from 1 to 65536" },
	{ ONE(",\"fields\":1.5"), 3, "clients[0].scenarios[0].fields: must be "
	    "an integer from 1 to 65536" },
	{ ONE(",\"fields\":-1"), 3, "clients[0].scenarios[0].fields: must be "
	    "an integer from 1 to 65536" },
	{ ONE(",\"fields\":99999999999999999999999"), 3,
	    "clients[0].scenarios[0].fields: must be an integer from 1 to "
	    "65536" },
	{ ONE(",\"fields\":\"1\""), 3, "clients[0].scenarios[0].fields: must "
	    "be an integer from 1 to 65536" },
	{ ONE(",\"op\":\"ENCRYPT\""), 3, "clients[0].scenarios[0].op: must be "
	    "\"encrypt\" or \"decrypt\" or \"ping\"" },
	{ ONE(",\"op\":1"), 3, "clients[0].scenarios[0].op: must be "
	    "\"encrypt\" or \"decrypt\" or \"ping\"" },
	{ ONE(",\"keyScope\":\"\""), 3, "clients[0].scenarios[0].keyScope: "
	    "must be \"request\" or \"field\"" },
	{ ONE(",\"cancel_after_ms\":1,\"op\":\"ping\""), 3,
	    "scenario s: a Ping cannot be cancelled" },
	{ ONE(",\"fields\":65536,\"bytes\":1024"), 3,
	    "scenario s: a call is longer than 33554432 bytes" },
	{ ONE(",\"bytes\":33554432"), 3,
	    "scenario s: a call is longer than 33554432 bytes" },
	{ ONE(",\"fields\":65536,\"bytes\":320,\"op\":\"decrypt\""), 3,
	    "scenario s: a call is longer than 33554432 bytes" },
	{ CLIENT("\"count\":65"), 3,
	    "clients[0].count: must be an integer from 1 to 64" },
	{ CLIENT("\"links\":17"), 3,
	    "clients[0].links: must be an integer from 1 to 16" },
	{ CLIENT("\"curve\":\"p256\""), 3,
	    "clients[0].curve: must be \"r1\" or \"k1\"" },
	{ CLIENT("\"app\":\"\""), 3,
	    "clients[0].app: must be 1 to 47 bytes of text" },
	{ CLIENT("\"app\":\"a\\u0000b\""), 3,
	    "clients[0].app: must be 1 to 47 bytes of text" },
	{ CLIENT("\"app\":\"\\ud800\""), 3,
	    "clients[0].app: must be 1 to 47 bytes of text" },
	{ CLIENT("\"app\":\"012345678901234567890123456789012345678901234567\""),
	    3, "clients[0].app: must be 1 to 47 bytes of text" },
	{ CLIENT("\"app\":7"), 3, "clients[0].app: must be a string" },
	{ CLIENT("\n\"phases\":[{}]"), 4,
	    "clients[0].phases[0]: \"seconds\" is missing" },
	{ CLIENT("\n\"phases\":[{\"seconds\":1}]"), 4,
	    "a phase has either a rate or in_flight" },
	{ CLIENT("\n\"phases\":[{\"seconds\":1,\"rate\":1,\"in_flight\":1}]"),
	    4, "a phase has either a rate or in_flight" },
	{ CLIENT("\n\"phases\":[{\"seconds\":0,\"rate\":1}]"), 4,
	    "clients[0].phases[0].seconds: must be a number from 0.001 to "
	    "86400" },
	{ CLIENT("\n\"phases\":[{\"seconds\":1,\"rate\":1e6}]"), 4,
	    "clients[0].phases[0].rate: must be a number from 0 to 100000" },
	{ CLIENT("\n\"phases\":[{\"seconds\":1,\"rate\":1e999}]"), 4,
	    "clients[0].phases[0].rate: must be a number from 0 to 100000" },
	{ CLIENT("\n\"phases\":[{\"seconds\":1,\"in_flight\":257}]"), 4,
	    "in_flight is over 256 for each link of client a" },
	{ CLIENT("\n\"phases\":[{\"seconds\":1,\"rate\":1,\"warm_up\":1}]"), 4,
	    "clients[0].phases[0].warm_up: must be true or false" },
	{ CLIENT("\n\"phases\":[{\"seconds\":1,\"rate\":1,\"warm_up\":true}]"),
	    2, "client a: all is warm-up" },
	{ CLIENT("\n\"phases\":[{\"seconds\":1,\"rate\":1},\n"
	    "{\"seconds\":1,\"rate\":1,\"warm_up\":true}]"), 5,
	    "a warm-up comes before what is counted" },
	{ TOP("\"seed\":1"), 2, "client a: has no phases" },
	{ TOP("\"deadline_ms\":0"), 1,
	    "deadline_ms: must be an integer from 1 to 600000" },
	{ TOP(PHASES ",\"addresses\":[\"localhost:1\"]"), 1,
	    "addresses[0]: must be unix:PATH or IP:PORT" },
	{ TOP(PHASES ",\"addresses\":[{}]"), 1,
	    "addresses[0]: must be a string" },
	{ "{" PHASES ",\"clients\":[{\"name\":\"a\",\"scenarios\":[{\"name\":"
	    "\"s\"}]},\n{\"name\":\"a\",\"scenarios\":[{\"name\":\"s\"}]}]}",
	    2, "client a: the name is taken" },
	{ "{" PHASES ",\"clients\":[{\"name\":\"a\",\"count\":64,"
	    "\"scenarios\":[{\"name\":\"s\"}]},\n{\"name\":\"b\","
	    "\"scenarios\":[{\"name\":\"s\"}]}]}", 2,
	    "client b: more than 64 clients in sum" },
};

static void
test_wrong(void **state)
{
	struct load_fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_not_equal(parse(wrong[i].text, &fault), RC_OK);
		if (strcmp(fault.text, wrong[i].fault) != 0 ||
		    fault.line != wrong[i].line)
			fail_msg("%s\n gives %u: %s\n and not %u: %s",
			    wrong[i].text, fault.line, fault.text,
			    wrong[i].line, wrong[i].fault);
	}
}

/* One element more than there is room for, in each list. */
static void
test_too_many(void **state)
{
	static const struct {
		const char	*head, *element, *tail, *fault;
		unsigned	max;
	} lists[] = {
		{ "{" PHASES ",\"clients\":[", "{\"name\":\"c%u\","
		    "\"scenarios\":[{\"name\":\"s\"}]}", "]}",
		    "clients[32]: more than 32", LOAD_CLIENTS_MAX },
		{ "{" PHASES ",\"clients\":[{\"name\":\"a\",\"scenarios\":[",
		    "{\"name\":\"s%u\"}", "]}]}",
		    "clients[0].scenarios[16]: more than 16",
		    LOAD_SCENARIOS_MAX },
		{ "{\"phases\":[", "{\"rate\":%u.5,\"seconds\":1}", "],"
		    "\"clients\":[{\"name\":\"a\",\"scenarios\":[{\"name\":"
		    "\"s\"}]}]}", "phases[16]: more than 16",
		    LOAD_PHASES_MAX },
		{ "{" PHASES ",\"addresses\":[", "\"127.0.0.1:%u\"", "],"
		    "\"clients\":[{\"name\":\"a\",\"scenarios\":[{\"name\":"
		    "\"s\"}]}]}", "addresses[8]: more than 8",
		    LOAD_ADDRESSES_MAX },
	};
	struct load_fault fault;
	struct buffer text;

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (unsigned more = 0; more < 2; more++) {
			buffer_init(&text, 0, false);
			buffer_puts(&text, lists[i].head);
			for (unsigned k = 0; k < lists[i].max + more; k++) {
				char one[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
				(void)snprintf(one, sizeof(one),
				    lists[i].element, k + 1);
#pragma GCC diagnostic pop
				buffer_printf(&text, "%s%s", k == 0 ? "" : ",",
				    one);
			}
			buffer_puts(&text, lists[i].tail);
			assert_int_equal(parse(buffer_cstr(&text), &fault) ==
			    RC_OK, more == 0);
			if (more != 0)
				assert_string_equal(fault.text,
				    lists[i].fault);
			buffer_fini(&text);
		}
}

/* Cut anywhere, and with any byte changed: refused or read, never more. */
static void
test_every_byte(void **state)
{
	static const char good[] = ONE(",\"fields\":30,\"op\":\"decrypt\"");
	struct load_fault fault;
	char text[sizeof(good)];

	(void)state;
	for (size_t n = 0; n < sizeof(good) - 1; n++) {
		assert_int_not_equal(load_profile_parse((struct span){ good,
		    n }, &profile, &fault), RC_OK);
		assert_true(fault.line >= 1 && fault.text[0] != '\0');
	}
	for (size_t n = 0; n < sizeof(good) - 1; n++)
		for (unsigned v = 1; v < 256; v += 7) {
			memcpy(text, good, sizeof(text));
			text[n] = (char)((unsigned char)text[n] ^ v);
			(void)(load_profile_parse((struct span){ text,
			    sizeof(text) - 1 }, &profile, &fault) == RC_OK);
		}
}

/* ---- changes ---- */

static void
test_changes(void **state)
{
	static char b_name[] = "b", no_name[] = "c";
	char *only_b[] = { b_name }, *only_c[] = { no_name };
	struct load_fault fault;

	(void)state;
	assert_int_equal(parse("{\"clients\":[{\"name\":\"a\",\"phases\":"
	    "[{\"rate\":1,\"seconds\":4}],\"scenarios\":[{\"name\":\"s\"}]},"
	    "{\"name\":\"b\",\"phases\":[{\"in_flight\":3,\"seconds\":1,"
	    "\"warm_up\":true},{\"in_flight\":3,\"seconds\":8}],"
	    "\"scenarios\":[{\"name\":\"s\"}]}]}", &fault), RC_OK);
	load_profile_scale(&profile, 2);
	assert_true(profile.clients[0].phases[0].seconds == 1);
	assert_true(profile.clients[1].phases[0].seconds == 1);
	assert_true(profile.clients[1].phases[1].seconds == 2);
	assert_true(load_client_seconds(&profile.clients[1]) == 3);
	assert_int_equal(load_profile_add_ping(&profile), RC_OK);
	assert_int_equal(profile.n_clients, 3);
	assert_int_equal(profile.clients[2].scenarios[0].op, LOAD_PING);
	assert_true(load_client_seconds(&profile.clients[2]) == 3);
	assert_true(profile.clients[2].phases[1].rate == 50);
	assert_int_equal(profile.clients[2].phases[1].in_flight, 0);
	assert_int_equal(load_profile_only(&profile, only_c, 1), RC_NOTFOUND);
	assert_int_equal(parse(ONE(""), &fault), RC_OK);
	assert_int_equal(load_profile_only(&profile, only_b, 1), RC_NOTFOUND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_members),
		cmocka_unit_test(test_shipped),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_changes),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
