/*
 * worker/relay_record.c: made, changed, shown.  What comes out is read by the
 * relay JSON's validator and, as text, compared byte for byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "worker/relay_record.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define APP	"app_0123456789ab"
#define HOST	"shop-test.app-0123456789ab.relay.test"
/* printf HOST | sha256sum */
#define HOST_ID	"de15a6f5cab0"
#define OURS	"\"app\":\"" APP "\",\"id\":\"relay_destination_000000000001\"," \
		"\"evervaultDomain\":\"" HOST "\",\"createdAt\":100,\"updatedAt\":"

static const struct relay_identity is = {
	.app = APP,
	.id = "relay_destination_000000000001",
	.domain = HOST,
	.created_ms = 100,
	.updated_ms = 100,
};

static const struct {
	const char	*body;
	const char	*want;		/* NULL: refused */
	const char	*path, *reason;	/* of the fault; reason begins so */
} made[] = {
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[]}",
	    "{\"destinationDomain\":\"shop.test\",\"routes\":[]," OURS "100}",
	    NULL, NULL },
	/* what is ours is not taken from others; bytes stay as they came */
	{ " { \"id\" : 7, \"createdAt\":1, \"destinationDomain\" :\"shop.test\" , "
	    "\"routes\":[ ], \"evervaultDomain\":\"x\", \"app\":\"" APP "\" } ",
	    "{\"destinationDomain\":\"shop.test\",\"routes\":[ ]," OURS "100}",
	    NULL, NULL },
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[],"
	    "\"authentication\":\"api-key\",\"\\u0069d\":\"x\"}",
	    "{\"destinationDomain\":\"shop.test\",\"routes\":[],"
	    "\"authentication\":\"api-key\"," OURS "100}", NULL, NULL },
	/* nor may they reach what is private */
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[],\"internal\":true}",
	    "{\"destinationDomain\":\"shop.test\",\"routes\":[]," OURS "100}",
	    NULL, NULL },
	{ "", NULL, "", "not JSON" },
	{ "[]", NULL, "", "must be an object" },
	{ "{\"destinationDomain\":\"shop.test\"}", NULL, "routes", "" },
	{ "{\"routes\":[]}", NULL, "destinationDomain", "" },
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[],"
	    "\"app\":\"app_ffffffffffff\"}", NULL, "app", "must be the app" },
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[],\"app\":7}", NULL,
	    "app", "must be the app" },
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[],\"nonsense\":1}",
	    NULL, "nonsense", "" },
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[],\"routes\":[]}",
	    NULL, "routes", "" },
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[{}]}", NULL,
	    "routes[0].path", "" },
};

static void
test_made(void **state)
{
	struct relay_fault fault;
	struct buffer out;
	enum rc rc;

	(void)state;
	for (size_t i = 0; i < N(made); i++) {
		buffer_init(&out, 0, false);
		memset(&fault, 0, sizeof(fault));
		rc = relay_record_create(span_of(made[i].body), &is, &out, &fault);
		if (rc == RC_OK && made[i].want != NULL) {
			assert_string_equal(buffer_cstr(&out), made[i].want);
		} else {
			if (rc == RC_OK || made[i].want != NULL)
				fail_msg("%s: %s %s", made[i].body, fault.path,
				    fault.reason);
			assert_string_equal(fault.path, made[i].path);
			assert_memory_equal(fault.reason, made[i].reason,
			    strlen(made[i].reason));
		}
		buffer_fini(&out);
	}
}

#define RECORD	"{\"destinationDomain\":\"shop.test\",\"routes\":[]," \
		"\"encryptEmptyStrings\":false," OURS "100}"

static const struct {
	const char	*record, *body, *want, *path;
} changed[] = {
	{ RECORD, "{}", "{\"destinationDomain\":\"shop.test\",\"routes\":[],"
	    "\"encryptEmptyStrings\":false," OURS "200}", NULL },
	{ RECORD, "{\"encryptEmptyStrings\": true ,\"authentication\":null}",
	    "{\"destinationDomain\":\"shop.test\",\"routes\":[],"
	    "\"encryptEmptyStrings\":true,\"authentication\":null," OURS "200}",
	    NULL },
	{ RECORD, "{\"r\\u006futes\":[{\"path\":\"/x\"}]}",
	    "{\"destinationDomain\":\"shop.test\",\"encryptEmptyStrings\":false,"
	    "\"r\\u006futes\":[{\"path\":\"/x\"}]," OURS "200}", NULL },
	/* what GET gave is no change of what cannot be changed */
	{ RECORD, RECORD, "{\"destinationDomain\":\"shop.test\",\"routes\":[],"
	    "\"encryptEmptyStrings\":false," OURS "200}", NULL },
	/* what may not reach private addresses never may, what may still does */
	{ "{\"destinationDomain\":\"shop.test\",\"routes\":[],"
	    "\"internal\":false," OURS "100}", "{\"internal\":true}",
	    "{\"destinationDomain\":\"shop.test\",\"routes\":[]," OURS "200,"
	    "\"internal\":false}", NULL },
	{ "{\"internal\":true,\"destinationDomain\":\"shop.test\","
	    "\"routes\":[]," OURS "100}", "{\"internal\":false}",
	    "{\"destinationDomain\":\"shop.test\",\"routes\":[]," OURS "200}",
	    NULL },
	{ RECORD, "{\"destinationDomain\":\"other.test\"}", NULL,
	    "destinationDomain" },
	{ RECORD, "{\"app\":\"app_ffffffffffff\"}", NULL, "app" },
	{ RECORD, "{\"routes\":{}}", NULL, "routes" },
	{ RECORD, "{\"x\":1}", NULL, "x" },
	{ RECORD, "[]", NULL, "" },
	{ RECORD, "", NULL, "" },
	/* a record that came another way gets the marks it has not */
	{ "{\"app\":\"" APP "\",\"destinationDomain\":\"a.test\",\"routes\":[]}",
	    "{\"curve\":\"k1\"}",
	    "{\"destinationDomain\":\"a.test\",\"routes\":[],\"curve\":\"k1\","
	    "\"app\":\"" APP "\",\"id\":\"relay_destination_" HOST_ID "\","
	    "\"evervaultDomain\":\"" HOST "\",\"createdAt\":200,"
	    "\"updatedAt\":200}", NULL },
};

static void
test_changed(void **state)
{
	struct relay_fault fault;
	struct buffer out;
	enum rc rc;

	(void)state;
	for (size_t i = 0; i < N(changed); i++) {
		buffer_init(&out, 0, false);
		rc = relay_record_change(span_of(changed[i].record), HOST,
		    span_of(changed[i].body), 200, &out, &fault);
		if (rc == RC_OK && changed[i].want != NULL) {
			assert_string_equal(buffer_cstr(&out), changed[i].want);
		} else {
			if (rc == RC_OK || changed[i].want != NULL)
				fail_msg("%s: %s %s", changed[i].body, fault.path,
				    fault.reason);
			assert_string_equal(fault.path, changed[i].path);
		}
		buffer_fini(&out);
	}
}

static void
test_identity(void **state)
{
	struct relay_identity got;

	(void)state;
	assert_int_equal(relay_record_identify(span_of(RECORD), "x.test", &got),
	    RC_OK);
	assert_string_equal(got.app, APP);
	assert_string_equal(got.id, is.id);
	assert_string_equal(got.domain, HOST);
	assert_true(got.created_ms == 100 && got.updated_ms == 100);
	assert_int_equal(relay_record_identify(SPAN_LIT("{\"app\":\"" APP "\","
	    "\"id\":7,\"evervaultDomain\":null,\"createdAt\":\"x\"}"), HOST,
	    &got), RC_OK);
	assert_string_equal(got.id, "relay_destination_" HOST_ID);
	assert_string_equal(got.domain, HOST);
	assert_true(got.created_ms == 0);
	assert_int_equal(relay_record_identify(SPAN_LIT("{}"), HOST, &got),
	    RC_SYNTAX);
	assert_int_equal(relay_record_identify(SPAN_LIT("{"), HOST, &got),
	    RC_SYNTAX);
	assert_int_equal(relay_record_identify(SPAN_LIT("7"), HOST, &got),
	    RC_SYNTAX);
}

static void
test_shown(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(relay_record_show(SPAN_LIT("{\"app\":\"" APP "\","
	    "\"destinationDomain\":\"a.test\",\"routes\":[]}"), HOST, &out), RC_OK);
	assert_string_equal(buffer_cstr(&out),
	    "{\"destinationDomain\":\"a.test\",\"routes\":[],"
	    "\"encryptEmptyStrings\":true,\"authentication\":null,"
	    "\"app\":\"" APP "\",\"id\":\"relay_destination_" HOST_ID "\","
	    "\"evervaultDomain\":\"" HOST "\",\"createdAt\":0,\"updatedAt\":0}");
	buffer_clear(&out);
	assert_int_equal(relay_record_show(span_of(RECORD), HOST, &out), RC_OK);
	assert_string_equal(buffer_cstr(&out),
	    "{\"destinationDomain\":\"shop.test\",\"routes\":[],"
	    "\"encryptEmptyStrings\":false,\"authentication\":null," OURS "100}");
	buffer_fini(&out);
}

static void
test_alias(void **state)
{
	struct relay_identity got;
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	assert_int_equal(relay_record_alias(SPAN_LIT("{\"app\":\"" APP "\","
	    "\"destinationDomain\":\"a.test\",\"routes\":[]}"), HOST, 300, &out),
	    RC_OK);
	assert_int_equal(relay_record_identify((struct span){ buffer_data(&out),
	    buffer_len(&out) }, "custom.test", &got), RC_OK);
	/* It belongs to the relay of that host name. */
	assert_string_equal(got.id, "relay_destination_" HOST_ID);
	assert_string_equal(got.domain, HOST);
	assert_true(got.created_ms == 300 && got.updated_ms == 300);
	buffer_fini(&out);
}

#define SIXTY	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void
test_names(void **state)
{
	char host[HOST_BYTES], other[HOST_BYTES];

	(void)state;
	assert_int_equal(relay_record_domain("api.shop.test", APP, "relay.test",
	    host), RC_OK);
	assert_string_equal(host, "api-shop-test.app-0123456789ab.relay.test");
	assert_int_equal(relay_record_domain("10.0.0.1", APP, "r.test", host),
	    RC_OK);
	assert_string_equal(host, "10-0-0-1.app-0123456789ab.r.test");
	/* too long for a label: cut, and still two names */
	assert_int_equal(relay_record_domain(SIXTY ".a.test", APP, "r.test",
	    host), RC_OK);
	assert_int_equal(relay_record_domain(SIXTY ".b.test", APP, "r.test",
	    other), RC_OK);
	assert_int_equal(strcspn(host, "."), 63);
	assert_string_not_equal(host, other);
	assert_int_equal(relay_record_domain("shop.test", APP, "", host),
	    RC_SYNTAX);
	assert_int_equal(relay_record_domain("shop.test", APP, "*.relay.test",
	    host), RC_SYNTAX);
}

static void
test_host_of(void **state)
{
	static const struct {
		const char	*body, *want;
	} cases[] = {
		{ "{\"h\":\"Shop.Test.\"}", "shop.test" },
		{ "{\"h\":\"\\u0061.test\"}", "a.test" },
		{ "{\"h\":\"\"}", NULL },
		{ "{\"h\":\"a b\"}", NULL },
		{ "{\"h\":7}", NULL },
		{ "{}", NULL },
		{ "[\"h\"]", NULL },
		{ "", NULL },
	};
	struct relay_fault fault;
	char host[HOST_BYTES];

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		assert_int_equal(relay_record_host_of(span_of(cases[i].body), "h",
		    host, &fault), cases[i].want != NULL ? RC_OK : RC_SYNTAX);
		if (cases[i].want != NULL)
			assert_string_equal(host, cases[i].want);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_host_of),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
