/*
 * The relay JSON: what is carried out, one case for each thing that is known
 * but not available, one for each wrong type and bound, and that no fault
 * text ever shows a value.  Routes are the matter of conf_relay_route_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "tests/unit/conf_relay_case.h"

/* ---- known, but not available ----------------------------------------------- */

static const struct fault_case not_available[] = {
	LATER(RELAY("\"destination\":{\"clientCert\":\"mine\"}"),
	    "destination.clientCert"),
	LATER(RELAY("\"destination\":{\"ca\":\"my-ca\"}"), "destination.ca"),
	LATER(RELAY("\"destination\":{\"ca\":\"*.shop.test\"}"),
	    "destination.ca"),
	LATER(RELAY("\"limits\":{\"fileBytes\":1}"), "limits.fileBytes"),
	LATER(RELAY("\"limits\":{\"requestsPerSecond\":1}"),
	    "limits.requestsPerSecond"),
};

static void
test_not_available(void **state)
{
	(void)state;
	check_faults(not_available, sizeof(not_available) /
	    sizeof(not_available[0]));
}

/* ---- wrong ------------------------------------------------------------------- */

#define HOST	"must be a host name or an IP address, without port or wildcard"
#define APP	"must be app_ and 1 to 35 of a-z, 0-9 and _"
#define PORT	"must be an integer from 1 to 65535"
#define CA	"must be PEM text of certificates and nothing else"
#define CONNECT	"must be an integer from 1 to 600000"
#define RESPONSE_MS "must be an integer from 1 to 3600000"
#define BYTES	"must be an integer from 1 to 2147483647"
#define FIELDS	"must be an integer from 1 to 65536"

static const struct fault_case wrong[] = {
	/* the document */
	BAD("", "", "not JSON: the document ends too early (at byte 0)"),
	BAD("{", "", "not JSON: the document ends too early (at byte 1)"),
	BAD("[]", "", OBJECT),
	BAD("null", "", OBJECT),
	BAD("{}", "app", "is required"),
	BAD("{\"app\":\"app_a\",\"routes\":[]}", "destinationDomain",
	    "is required"),
	BAD("{\"app\":\"app_a\",\"destinationDomain\":\"a.test\"}", "routes",
	    "is required"),
	/* unknown fields, at each level */
	BAD(RELAY("\"secret\":1"), "secret", "unknown field"),
	BAD(RELAY("\"App\":1"), "App", "unknown field"),
	BAD(RELAY("\"\":1"), "[\"\"]", "unknown field"),
	BAD(RELAY("\"a b\\n\":1"), "[\"a b\\n\"]", "unknown field"),
	BAD(RELAY("\"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee"
	    "ffffffffffggg\xc3\xa9h\":1"), "[\"aaaaaaaaaabbbbbbbbbbccccccccccdddd"
	    "ddddddeeeeeeeeeeffffffffffggg...\"]", "unknown field"),
	BAD(RELAY("\"onMismatch\":{\"both\":1}"), "onMismatch.both",
	    "unknown field"),
	BAD(RELAY("\"destination\":{\"host\":1}"), "destination.host",
	    "unknown field"),
	BAD(RELAY("\"limits\":{\"bytes\":1}"), "limits.bytes", "unknown field"),
	/* duplicates, also when spelled otherwise */
	BAD(RELAY("\"app\":\"app_b\""), "app", "duplicate field"),
	BAD(RELAY("\"\\u0061pp\":\"app_b\""), "app", "duplicate field"),
	BAD(RELAY("\"id\":1,\"id\":1"), "id", "duplicate field"),
	/* app */
	BAD("{\"app\":1}", "app", STRING),
	BAD("{\"app\":null}", "app", STRING),
	BAD("{\"app\":\"\"}", "app", APP),
	BAD("{\"app\":\"app_\"}", "app", APP),
	BAD("{\"app\":\"APP_a\"}", "app", APP),
	BAD("{\"app\":\"app_A\"}", "app", APP),
	BAD("{\"app\":\"app_a-b\"}", "app", APP),
	BAD("{\"app\":\"app_a \"}", "app", APP),
	BAD("{\"app\":\"app_aaaaaaaaaabbbbbbbbbbccccccccccdddddd\"}", "app",
	    APP),
	BAD("{\"app\":\"app_system\"}", "app", "this app is reserved"),
	BAD("{\"app\":\"app_a\\u0000\"}", "app", "holds a NUL"),
	BAD("{\"app\":\"app_\\ud800\"}", "app", "holds a lone surrogate"),
	/* destinationDomain */
	BAD("{\"destinationDomain\":1}", "destinationDomain", STRING),
	BAD("{\"destinationDomain\":\"\"}", "destinationDomain", HOST),
	BAD("{\"destinationDomain\":\"*.a.test\"}", "destinationDomain", HOST),
	BAD("{\"destinationDomain\":\"a.test:443\"}", "destinationDomain",
	    HOST),
	BAD("{\"destinationDomain\":\"https://a.test\"}", "destinationDomain",
	    HOST),
	BAD("{\"destinationDomain\":\"caf\xc3\xa9.test\"}",
	    "destinationDomain", HOST),
	/* rules of the relay */
	BAD(RELAY("\"curve\":null"), "curve", STRING),
	BAD(RELAY("\"curve\":\"p256\""), "curve", "must be one of: r1, k1"),
	BAD(RELAY("\"keyScope\":1"), "keyScope", STRING),
	BAD(RELAY("\"keyScope\":\"all\""), "keyScope",
	    "must be one of: request, field"),
	BAD(RELAY("\"existingTokens\":true"), "existingTokens", STRING),
	BAD(RELAY("\"existingTokens\":\"pass\""), "existingTokens",
	    "must be one of: verify, encrypt, keep"),
	BAD(RELAY("\"encryptEmptyStrings\":\"true\""), "encryptEmptyStrings",
	    "must be true or false"),
	BAD(RELAY("\"encryptEmptyStrings\":null"), "encryptEmptyStrings",
	    "must be true or false"),
	BAD(RELAY("\"onMismatch\":1"), "onMismatch", OBJECT),
	BAD(RELAY("\"onMismatch\":\"drop\""), "onMismatch",
	    "must be one of: reject, forward"),
	BAD(RELAY("\"onMismatch\":{\"request\":1}"), "onMismatch.request",
	    STRING),
	BAD(RELAY("\"onMismatch\":{\"request\":\"drop\"}"),
	    "onMismatch.request", "must be one of: reject, forward"),
	BAD(RELAY("\"onMismatch\":{\"response\":\"drop\"}"),
	    "onMismatch.response", "must be one of: reject, forward"),
	BAD(RELAY("\"onUndecryptable\":1"), "onUndecryptable", STRING),
	BAD(RELAY("\"onUndecryptable\":\"drop\""), "onUndecryptable",
	    "must be one of: keep, reject"),
	BAD(RELAY("\"authentication\":false"), "authentication", STRING),
	BAD(RELAY("\"onMismatch\":null"), "onMismatch", OBJECT),
	BAD(RELAY("\"onMismatch\":[\"reject\"]"), "onMismatch", OBJECT),
	BAD(RELAY("\"onMismatch\":\"\""), "onMismatch",
	    "must be one of: reject, forward"),
	BAD(RELAY("\"onMismatch\":{\"request\":\"reject\",\"request\":"
	    "\"forward\"}"), "onMismatch.request", "duplicate field"),
	BAD(RELAY("\"onUndecryptable\":null"), "onUndecryptable", STRING),
	BAD(RELAY("\"internal\":\"true\""), "internal",
	    "must be true or false"),
	BAD(RELAY("\"internal\":null"), "internal", "must be true or false"),
	BAD(RELAY("\"authentication\":\"\""), "authentication",
	    "must be one of: api-key"),
	BAD(RELAY("\"authentication\":\"basic\""), "authentication",
	    "must be one of: api-key"),
	/* destination */
	BAD(RELAY("\"destination\":null"), "destination", OBJECT),
	BAD(RELAY("\"destination\":{\"port\":0}"), "destination.port", PORT),
	BAD(RELAY("\"destination\":{\"port\":65536}"), "destination.port",
	    PORT),
	BAD(RELAY("\"destination\":{\"port\":\"443\"}"), "destination.port",
	    PORT),
	BAD(RELAY("\"destination\":{\"port\":443.0}"), "destination.port",
	    PORT),
	BAD(RELAY("\"destination\":{\"port\":4e2}"), "destination.port", PORT),
	BAD(RELAY("\"destination\":{\"port\":-1}"), "destination.port", PORT),
	BAD(RELAY("\"destination\":{\"port\":18446744073709551617}"),
	    "destination.port", PORT),
	BAD(RELAY("\"destination\":{\"port\":null}"), "destination.port", PORT),
	BAD(RELAY("\"destination\":{\"serverName\":1}"),
	    "destination.serverName", STRING),
	BAD(RELAY("\"destination\":{\"serverName\":\"*.a\"}"),
	    "destination.serverName", HOST),
	BAD(RELAY("\"destination\":{\"ca\":[]}"), "destination.ca", STRING),
	BAD(RELAY("\"destination\":{\"ca\":\"\"}"), "destination.ca", CA),
	BAD(RELAY("\"destination\":{\"ca\":\"/etc/ca.pem\"}"),
	    "destination.ca", CA),
	BAD(RELAY("\"destination\":{\"ca\":\"-----BEGIN CERTIFICATE-----\\n"
	    "MIIB\"}"), "destination.ca", CA),
	BAD(RELAY("\"destination\":{\"ca\":\"-----BEGIN CERTIFICATE-----\\n"
	    "!!!!\\n-----END CERTIFICATE-----\"}"), "destination.ca", CA),
	BAD(RELAY("\"destination\":{\"ca\":\"-----BEGIN CERTIFICATE-----\\n"
	    "AAAA\\n-----END CERTIFICATE-----\"}"), "destination.ca", CA),
	BAD(RELAY("\"destination\":{\"ca\":\"-----BEGIN PRIVATE KEY-----\\n"
	    "MIIB\\n-----END PRIVATE KEY-----\"}"), "destination.ca", CA),
	BAD(RELAY("\"destination\":{\"ca\":\"" PEM "-----BEGIN PRIVATE KEY-----"
	    "\\nMIIB\\n-----END PRIVATE KEY-----\"}"), "destination.ca", CA),
	BAD(RELAY("\"destination\":{\"minTls\":1.2}"), "destination.minTls",
	    STRING),
	BAD(RELAY("\"destination\":{\"minTls\":\"1.1\"}"),
	    "destination.minTls", "must be one of: 1.2, 1.3"),
	BAD(RELAY("\"destination\":{\"connectTimeoutMs\":0}"),
	    "destination.connectTimeoutMs", CONNECT),
	BAD(RELAY("\"destination\":{\"connectTimeoutMs\":600001}"),
	    "destination.connectTimeoutMs", CONNECT),
	BAD(RELAY("\"destination\":{\"connectTimeoutMs\":\"1\"}"),
	    "destination.connectTimeoutMs", CONNECT),
	BAD(RELAY("\"destination\":{\"responseTimeoutMs\":0}"),
	    "destination.responseTimeoutMs", RESPONSE_MS),
	BAD(RELAY("\"destination\":{\"responseTimeoutMs\":3600001}"),
	    "destination.responseTimeoutMs", RESPONSE_MS),
	BAD(RELAY("\"destination\":{\"responseTimeoutMs\":true}"),
	    "destination.responseTimeoutMs", RESPONSE_MS),
	/* limits */
	BAD(RELAY("\"limits\":[]"), "limits", OBJECT),
	BAD(RELAY("\"limits\":{\"bodyBytes\":0}"), "limits.bodyBytes", BYTES),
	BAD(RELAY("\"limits\":{\"bodyBytes\":2147483648}"),
	    "limits.bodyBytes", BYTES),
	BAD(RELAY("\"limits\":{\"bodyBytes\":\"1\"}"), "limits.bodyBytes",
	    BYTES),
	BAD(RELAY("\"limits\":{\"fields\":0}"), "limits.fields", FIELDS),
	BAD(RELAY("\"limits\":{\"fields\":65537}"), "limits.fields", FIELDS),
	BAD(RELAY("\"limits\":{\"fields\":{}}"), "limits.fields", FIELDS),
	/* the first fault in document order */
	BAD("{\"x\":1,\"app\":2}", "x", "unknown field"),
	BAD("{\"app\":2,\"x\":1}", "app", STRING),
};

static void
test_wrong(void **state)
{
	(void)state;
	check_faults(wrong, sizeof(wrong) / sizeof(wrong[0]));
}

/* ---- limits -------------------------------------------------------------------- */

static void
test_limits(void **state)
{
	struct relay_fault fault;
	struct relay *relay;
	struct buffer b;

	(void)state;
	check_count(HEAD "\"routes\":[", "{\"path\":\"/\"}", RELAY_ROUTES_MAX,
	    "]}", "routes");
	check_count(HEAD "\"routes\":[{\"path\":\"/\",\"request\":[",
	    "{\"action\":\"encrypt\",\"selections\":[]}", RELAY_ACTIONS_MAX,
	    "]}]}", "routes[0].request");
	check_count(HEAD "\"routes\":[{\"path\":\"/\",\"response\":["
	    "{\"action\":\"decrypt\",\"selections\":[", "{\"selector\":\"$\"}",
	    RELAY_SELECTIONS_MAX, "]}]}]}",
	    "routes[0].response[0].selections");

	buffer_init(&b, 0, false);
	buffer_puts(&b, RELAY("\"id\":1"));
	while (buffer_len(&b) < RELAY_JSON_BYTES_MAX)
		buffer_puts(&b, "\n");
	assert_int_equal(relay_json_parse((struct span){ buffer_data(&b),
	    buffer_len(&b) }, &relay, &fault), RC_OK);
	relay_unref(&relay);
	buffer_puts(&b, "\n");
	assert_int_equal(relay_json_parse((struct span){ buffer_data(&b),
	    buffer_len(&b) }, &relay, &fault), RC_LIMIT);
	assert_string_equal(fault.reason, "longer than 1048576 bytes");
	buffer_fini(&b);

	buffer_init(&b, 0, false);
	buffer_puts(&b, HEAD "\"routes\":[{\"path\":\"/\",\"request\":["
	    "{\"action\":\"encrypt\",\"selections\":[{\"selector\":\"$.");
	while (buffer_len(&b) < 2000)
		buffer_puts(&b, "a");
	buffer_puts(&b, "\"}]}]}]}");
	check_fault(&(struct fault_case){ buffer_cstr(&b), RC_LIMIT,
	    SELECTION_PATH ".selector",
	    "not a JSONPath: the path is too long (at byte 0)" });
	buffer_fini(&b);
}

/* ---- carried out ---------------------------------------------------------------- */

static void
test_defaults(void **state)
{
	struct relay *relay = parse("{\"app\":\"app_a\",\"destinationDomain\":"
	    "\"Shop.Example.COM.\",\"routes\":[]}\n");

	(void)state;
	assert_string_equal(relay->app, "app_a");
	assert_string_equal(relay->host, "shop.example.com");
	assert_string_equal(relay->server_name, "shop.example.com");
	assert_int_equal(relay->curve, RELAY_CURVE_R1);
	assert_int_equal(relay->key_scope, RELAY_SCOPE_REQUEST);
	assert_int_equal(relay->existing, RELAY_EXISTING_VERIFY);
	assert_int_equal(relay->undecryptable, RELAY_UNDECRYPTABLE_KEEP);
	assert_int_equal(relay->mismatch_request, RELAY_MISMATCH_DEFAULT);
	assert_int_equal(relay->mismatch_response, RELAY_MISMATCH_DEFAULT);
	assert_false(relay->api_key);
	assert_true(relay->encrypt_empty_strings);
	assert_int_equal(relay->port, 443);
	assert_null(relay->ca);
	assert_false(relay->min_tls_13);
	assert_int_equal(relay->connect_timeout_ms, 0);
	assert_int_equal(relay->response_timeout_ms, 0);
	assert_int_equal(relay->max_body_bytes, 0);
	assert_int_equal(relay->max_body_fields, 0);
	assert_int_equal(relay->n_routes, 0);
	relay_unref(&relay);
	assert_null(relay);
}

static void
test_internal(void **state)
{
	static const struct {
		const char	*json;
		bool		guarded;
	} cases[] = {
		{ ROUTES("[]"), false },
		{ RELAY("\"internal\":true"), false },
		{ RELAY("\"internal\":false"), true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct relay *relay = parse(cases[i].json);

		assert_int_equal(relay->guarded, cases[i].guarded);
		assert_false(relay->internal);
		relay_unref(&relay);
	}
}

static void
test_everything_carried_out(void **state)
{
	struct relay *relay = parse(
	    "{\"id\":\"relay_destination_0\",\"evervaultDomain\":\"x\","
	    "\"createdAt\":1,\"updatedAt\":null,\"authentication\":null,"
	    "\"routes\":[{\"method\":\"POST\",\"path\":\"/pay/*\",\"request\":["
	    "{\"selections\":[{\"selector\":\"$.card.number\"},"
	    "{\"type\":\"json\",\"selector\":\"$..cvc\"}],"
	    "\"action\":\"encrypt\"},"
	    "{\"action\":\"encrypt\",\"selections\":[]}],"
	    "\"response\":[{\"action\":\"decrypt\",\"selections\":["
	    "{\"selector\":\"$..*\"}]}]},"
	    "{\"method\":null,\"path\":\"/%7euser/caf\\u00e9/%2f/**\"}],"
	    "\"app\":\"app_0123456789ab\",\"destinationDomain\":\"a.test\","
	    "\"curve\":\"k1\",\"keyScope\":\"field\","
	    "\"existingTokens\":\"encrypt\",\"encryptEmptyStrings\":false,"
	    "\"onMismatch\":{\"request\":\"reject\",\"response\":\"forward\"},"
	    "\"onUndecryptable\":\"keep\",\"destination\":{\"port\":8443,"
	    "\"serverName\":\"b.test\",\"ca\":\"" PEM PEM "\","
	    "\"minTls\":\"1.3\",\"connectTimeoutMs\":600000,"
	    "\"responseTimeoutMs\":3600000},"
	    "\"limits\":{\"bodyBytes\":2147483647,\"fields\":65536}}");
	const struct relay_action *action;

	(void)state;
	assert_int_equal(relay->curve, RELAY_CURVE_K1);
	assert_int_equal(relay->key_scope, RELAY_SCOPE_FIELD);
	assert_int_equal(relay->existing, RELAY_EXISTING_ENCRYPT);
	assert_int_equal(relay->undecryptable, RELAY_UNDECRYPTABLE_KEEP);
	assert_int_equal(relay->mismatch_request, RELAY_MISMATCH_REJECT);
	assert_int_equal(relay->mismatch_response, RELAY_MISMATCH_FORWARD);
	assert_false(relay->api_key);		/* null */
	assert_false(relay->encrypt_empty_strings);
	assert_string_equal(relay->host, "a.test");
	assert_string_equal(relay->server_name, "b.test");
	assert_int_equal(relay->port, 8443);
	assert_non_null(strstr(relay->ca, "-----END CERTIFICATE-----\n"));
	assert_true(relay->min_tls_13);
	assert_int_equal(relay->connect_timeout_ms, 600000);
	assert_int_equal(relay->response_timeout_ms, 3600000);
	assert_int_equal(relay->max_body_bytes, 2147483647);
	assert_int_equal(relay->max_body_fields, 65536);
	assert_int_equal(relay->n_routes, 2);

	assert_string_equal(relay->routes[0].method, "POST");
	assert_string_equal(relay->routes[0].path, "/pay/*");
	assert_int_equal(relay->routes[0].n_request, 2);
	action = &relay->routes[0].request[0];
	assert_int_equal(action->kind, RELAY_ENCRYPT);
	assert_int_equal(action->n_selections, 2);
	assert_string_equal(action->selections[0].selector, "$.card.number");
	assert_string_equal(action->selections[1].selector, "$..cvc");
	assert_non_null(action->selections[0].path);
	assert_non_null(action->selections[1].path);
	assert_int_equal(action->of[RELAY_SELECT_JSON].n, 2);
	assert_int_equal(action->of[RELAY_SELECT_FORM].n, 0);
	assert_int_equal(relay->routes[0].request[1].n_selections, 0);
	assert_int_equal(relay->routes[0].request[1].of[RELAY_SELECT_JSON].n, 0);
	assert_int_equal(relay->routes[0].n_response, 1);
	assert_int_equal(relay->routes[0].response[0].kind, RELAY_DECRYPT);

	assert_null(relay->routes[1].method);
	assert_string_equal(relay->routes[1].path, "/~user/caf%C3%A9/%2F/**");
	assert_int_equal(relay->routes[1].n_request, 0);
	relay_unref(&relay);
}

static void
test_rules(void **state)
{
	static const struct {
		const char		*json;
		enum relay_mismatch	request, response;
	} t[] = {
#define D	RELAY_MISMATCH_DEFAULT
#define R	RELAY_MISMATCH_REJECT
#define F	RELAY_MISMATCH_FORWARD
		{ RELAY("\"onMismatch\":{}"), D, D },
		{ RELAY("\"onMismatch\":\"reject\""), R, R },
		{ RELAY("\"onMismatch\":\"forward\""), F, F },
		{ RELAY("\"onMismatch\":{\"request\":\"forward\"}"), F, D },
		{ RELAY("\"onMismatch\":{\"response\":\"reject\"}"), D, R },
		{ RELAY("\"onMismatch\":{\"response\":\"reject\",\"request\":"
		    "\"forward\"}"), F, R },
#undef D
#undef R
#undef F
	};
	struct relay *relay;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		relay = parse(t[i].json);
		assert_int_equal(relay->mismatch_request, t[i].request);
		assert_int_equal(relay->mismatch_response, t[i].response);
		relay_unref(&relay);
	}
	relay = parse(RELAY("\"existingTokens\":\"keep\","
	    "\"onUndecryptable\":\"reject\",\"authentication\":\"api-key\""));
	assert_int_equal(relay->existing, RELAY_EXISTING_KEEP);
	assert_int_equal(relay->undecryptable, RELAY_UNDECRYPTABLE_REJECT);
	assert_true(relay->api_key);
	relay_unref(&relay);
}

static void
test_methods_and_ids(void **state)
{
	static const char *const good[] = {
		ROUTE(",\"method\":\"GET\""), ROUTE(",\"method\":\"HEAD\""),
		ROUTE(",\"method\":\"POST\""), ROUTE(",\"method\":\"PUT\""),
		ROUTE(",\"method\":\"DELETE\""), ROUTE(",\"method\":\"PATCH\""),
		RELAY("\"curve\":\"r1\""), RELAY("\"keyScope\":\"request\""),
		RELAY("\"existingTokens\":\"verify\""),
		RELAY("\"encryptEmptyStrings\":true"),
		RELAY("\"onMismatch\":{}"), RELAY("\"destination\":{}"),
		RELAY("\"limits\":{}"), RELAY("\"destination\":{\"port\":1}"),
		RELAY("\"destination\":{\"minTls\":\"1.2\"}"),
		RELAY("\"destination\":{\"serverName\":\"127.0.0.1\"}"),
		RELAY("\"destination\":{\"ca\":\"# a comment\\n" PEM "\"}"),
		("{\"app\":\"app_aaaaaaaaaabbbbbbbbbbccccccccccddddd\","
		    "\"destinationDomain\":\"[::1]\",\"routes\":[]}"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct relay *relay = parse(good[i]);

		relay_unref(&relay);
	}
}

static void
test_references(void **state)
{
	struct relay *relay = parse(RELAY("\"id\":1")), *other;

	(void)state;
	other = relay_ref(relay);
	assert_ptr_equal(other, relay);
	relay_unref(&relay);
	assert_null(relay);
	assert_string_equal(other->host, "a.test");
	relay_unref(&other);
	relay_unref(&other);		/* NULL is accepted */
}

/* A marker put wherever a value may stand never shows in a fault. */
static void
test_no_value_in_a_fault(void **state)
{
	static const char *const places[] = {
		"{\"app\":\"%s\"}", "{\"destinationDomain\":\"%s \"}",
		RELAY("\"curve\":\"%s\""), RELAY("\"authentication\":\"%s\""),
		RELAY("\"destination\":{\"ca\":\"%s \"}"),
		RELAY("\"destination\":{\"port\":\"%s\"}"),
		RELAY("\"secret\":\"%s\""), ROUTE(",\"method\":\"%s\""),
		ROUTES("[{\"path\":\"%s\"}]"),
		REQUEST("{\"action\":\"%s\",\"selections\":[]}"),
		SELECTION("{\"selector\":\"%s\"}"),
		SELECTION("{\"selector\":\"$[?@.a=='%s'\"}"),
		SELECTION("{\"type\":\"header\",\"selector\":\"%s:\"}"),
		SELECTION("{\"selector\":\"$.a\",\"role\":\"%s\"}"),
		"{\"app\":\"%s", "{\"app\":%s}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *at = strstr(places[i], "%s");
		struct relay_fault fault;
		struct relay *relay;
		char json[512];

		(void)snprintf(json, sizeof(json), "%.*sMARKER%s",
		    (int)(at - places[i]), places[i], at + 2);
		assert_int_not_equal(relay_json_parse(span_of(json), &relay,
		    &fault), RC_OK);
		assert_null(strstr(fault.path, "MARKER"));
		assert_null(strstr(fault.reason, "MARKER"));
		assert_string_not_equal(fault.reason, "");
	}
}

/* Every cut of a good relay is refused and leaks nothing. */
static void
test_every_prefix(void **state)
{
	static const char json[] = REQUEST("{\"action\":\"encrypt\","
	    "\"selections\":[{\"selector\":\"$.a\"},{\"selector\":\"$.b\"}]}");

	(void)state;
	for (size_t len = 0; len < sizeof(json) - 1; len++) {
		struct relay *relay;

		assert_int_equal(relay_json_parse((struct span){ json, len },
		    &relay, NULL), RC_SYNTAX);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_available),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_internal),
		cmocka_unit_test(test_everything_carried_out),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_methods_and_ids),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_no_value_in_a_fault),
		cmocka_unit_test(test_every_prefix),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
