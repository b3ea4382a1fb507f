/* worker/outbound_answer.c: what SDKs poll for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "lib/body/json.h"
#include "worker/outbound_answer.h"

#define APP	"app_0123456789ab"

static void
answer(const char *record, struct buffer *out, struct body_json *doc)
{
	struct egress *egress = NULL;
	struct relay_fault fault;

	if (record != NULL)
		assert_int_equal(egress_json_parse(SPAN_LIT(APP), span_of(record),
		    &egress, &fault), RC_OK);
	buffer_init(out, 0, false);
	outbound_answer_write(APP, egress, out);
	egress_unref(&egress);
	assert_int_equal(body_json_read(doc, buffer_data(out), buffer_len(out),
	    0, NULL), RC_OK);
}

static void
is_raw(const struct body_json *doc, uint32_t object, const char *name,
    const char *want)
{
	uint32_t at = body_json_member(doc, object, name);

	assert_int_not_equal(at, 0);
	assert_true(span_eq_str(body_json_raw(doc, at), want));
}

static void
test_no_list(void **state)
{
	static const char *const records[] = { NULL, "{}" };
	struct body_json doc;
	struct buffer out;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		answer(records[i], &out, &doc);
		is_raw(&doc, 0, "appUuid", "\"" APP "\"");
		is_raw(&doc, 0, "teamUuid", "\"team_0123456789ab\"");
		is_raw(&doc, 0, "strictMode", "false");
		is_raw(&doc, 0, "outboundDestinations", "{}");
		body_json_fini(&doc);
		buffer_fini(&out);
	}
}

static void
test_list(void **state)
{
	static const char record[] = "{\"destinations\":[{\"host\":\"A.test\"},"
	    "{\"host\":\"*.b.test\",\"port\":8443},{\"host\":\"a.test\","
	    "\"port\":444}],\"curve\":\"k1\"}";
	struct body_json doc;
	struct buffer out;
	uint32_t all, one;

	(void)state;
	answer(record, &out, &doc);
	is_raw(&doc, 0, "strictMode", "true");
	all = body_json_member(&doc, 0, "outboundDestinations");
	one = body_json_member(&doc, all, "a.test");
	assert_int_not_equal(one, 0);
	is_raw(&doc, one, "destinationDomain", "\"a.test\"");
	is_raw(&doc, one, "appUuid", "\"" APP "\"");
	is_raw(&doc, one, "id", "1");
	is_raw(&doc, one, "curve", "\"secp256k1\"");
	is_raw(&doc, one, "routeSpecificFieldsToEncrypt", "[]");
	is_raw(&doc, one, "deterministicFieldsToEncrypt", "[]");
	is_raw(&doc, one, "deletedAt", "null");
	assert_int_equal(body_json_raw(&doc, body_json_member(&doc, one,
	    "uuid")).len, strlen("outbound_destination_") + 12 + 2);
	one = body_json_sibling(&doc, one);
	is_raw(&doc, one, "destinationDomain", "\"*.b.test\"");
	assert_true(body_json_key_is(&doc, one, SPAN_LIT("*.b.test")));
	body_json_fini(&doc);
	buffer_fini(&out);
}

/* SDKs compare what a request names: the host, or for a URL host and port.
 * The order is that of the record; id and uuid are a member's own. */
static void
test_names(void **state)
{
	static const struct { const char *destinations, *names[8]; } table[] = {
		{ "{\"host\":\"a.test\"}", { "a.test" } },
		{ "{\"host\":\"a.test\",\"port\":443}", { "a.test" } },
		{ "{\"host\":\"a.test\",\"port\":80}",
		    { "a.test", "a.test:80" } },
		{ "{\"host\":\"*.a.test\",\"port\":8443}",
		    { "*.a.test", "*.a.test:8443" } },
		{ "{\"host\":\"127.0.0.1\",\"port\":1}",
		    { "127.0.0.1", "127.0.0.1:1" } },
		{ "{\"host\":\"::1\",\"port\":65535}",
		    { "::1", "[::1]:65535" } },
		{ "{\"host\":\"::1\"}", { "::1", "[::1]" } },
		/* one host, several entries */
		{ "{\"host\":\"a.test\",\"port\":444},{\"host\":\"b.test\"},"
		  "{\"host\":\"a.test\"},{\"host\":\"a.test\",\"port\":444,"
		  "\"paths\":[\"/x\"]},{\"host\":\"A.test\",\"port\":445},"
		  "{\"host\":\"b.test\",\"methods\":[\"GET\"]}",
		    { "a.test", "a.test:444", "b.test", "a.test:445" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char record[512], quoted[64], before[64] = "";
		struct body_json doc;
		struct buffer out;
		uint32_t one;
		size_t n = 0;

		(void)snprintf(record, sizeof(record), "{\"destinations\":[%s]}",
		    table[i].destinations);
		answer(record, &out, &doc);
		one = body_json_child(&doc, body_json_member(&doc, 0,
		    "outboundDestinations"));
		for (; one != 0; one = body_json_sibling(&doc, one)) {
			const char *want = table[i].names[n++];
			struct span uuid = body_json_raw(&doc,
			    body_json_member(&doc, one, "uuid"));

			assert_non_null(want);
			assert_true(body_json_key_is(&doc, one, span_of(want)));
			(void)snprintf(quoted, sizeof(quoted), "\"%s\"", want);
			is_raw(&doc, one, "destinationDomain", quoted);
			(void)snprintf(quoted, sizeof(quoted), "%zu", n);
			is_raw(&doc, one, "id", quoted);
			assert_false(span_eq_str(uuid, before));
			assert_true(span_copy(uuid, before, sizeof(before)));
		}
		assert_null(table[i].names[n]);
		body_json_fini(&doc);
		buffer_fini(&out);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_list),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_names),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
