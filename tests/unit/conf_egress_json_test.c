/*
 * Egress records: what each field may be, with the path of the fault; which
 * destinations a list allows; the relay that one destination gets.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "conf/egress_json.h"
#include "lib/base/buffer.h"

#define APP	"app_0123456789ab"
#define HOST	"must be a host name, an IP address or *. and a name, without port"
#define PORT	"must be an integer from 1 to 65535"
#define METHOD	"must be 1 to 32 of A-Z and -"
#define EMPTY	"must not be empty"
#define STRING	"must be a string"
#define NO_REQUEST "must be empty or absent: only response actions are possible here"

#define LIST(d)		"{\"destinations\":[" d "]}"
#define ENTRY(members)	LIST("{\"host\":\"a.test\"," members "}")
#define ROUTE(members)	"{\"responses\":[{\"path\":\"/a\"" members "}]}"
#define SEAL		"{\"action\":\"encrypt\",\"selections\":[{\"selector\":\"$..*\"}]}"

static struct egress *
parse(const char *json)
{
	struct relay_fault fault;
	struct egress *e;

	if (egress_json_parse(span_of(APP), span_of(json), &e, &fault) != RC_OK)
		fail_msg("%s\n  %s: %s", json, fault.path, fault.reason);
	assert_string_equal(fault.path, "");
	return (e);
}

static void
test_app_ids(void **state)
{
	static const char *const bad[] = { "", "app_", "app_0123456789a",
	    "app_0123456789abc", "app_0123456789aB", "app_0123456789ag",
	    "APP_0123456789ab", "app_system", "app-0123456789ab",
	    "app_0123456789a\n" };

	(void)state;
	assert_true(egress_is_app(span_of(APP)));
	assert_true(egress_is_app(span_of("app_ffffffffffff")));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (egress_is_app(span_of(bad[i])))
			fail_msg("%s", bad[i]);
}

/* ---- faults ------------------------------------------------------------------- */

static const struct {
	const char	*json, *path, *reason;
	enum rc		rc;
} faults[] = {
	{ "", "", "not JSON: the document ends too early (at byte 0)", RC_SYNTAX },
	{ "[]", "", "must be an object", RC_SYNTAX },
	{ "{\"destination\":[]}", "destination", "unknown field", RC_SYNTAX },
	{ "{\"response\":[]}", "response", "unknown field", RC_SYNTAX },
	{ "{\"app\":\"" APP "\"}", "app", "unknown field", RC_SYNTAX },
	{ "{\"authentication\":null}", "authentication", "unknown field", RC_SYNTAX },
	{ "{\"destinations\":[],\"destinations\":[]}", "destinations",
	    "duplicate field", RC_SYNTAX },
	{ "{\"destinations\":null}", "destinations", "must be an array", RC_SYNTAX },
	{ "{\"destinations\":{}}", "destinations", "must be an array", RC_SYNTAX },
	{ LIST("\"a.test\""), "destinations[0]", "must be an object", RC_SYNTAX },
	{ LIST("{}"), "destinations[0].host", "is required", RC_SYNTAX },
	{ LIST("{\"host\":\"a.test\"},{\"host\":1}"), "destinations[1].host",
	    STRING, RC_SYNTAX },
	{ LIST("{\"host\":\"\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	{ LIST("{\"host\":\"*\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	{ LIST("{\"host\":\"*.\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	{ LIST("{\"host\":\"*a.test\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	{ LIST("{\"host\":\"a.*.test\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	{ LIST("{\"host\":\"*.*.test\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	{ LIST("{\"host\":\"*.1.2.3.4\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	/* or it would fit addresses */
	{ LIST("{\"host\":\"*.4\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	{ LIST("{\"host\":\"a.test:443\"}"), "destinations[0].host", HOST, RC_SYNTAX },
	{ LIST("{\"host\":\"https://a.test\"}"), "destinations[0].host", HOST,
	    RC_SYNTAX },
	{ LIST("{\"host\":\"a.test\\u0000\"}"), "destinations[0].host",
	    "holds a NUL", RC_SYNTAX },
	{ ENTRY("\"ports\":[1]"), "destinations[0].ports", "unknown field", RC_SYNTAX },
	{ ENTRY("\"port\":0"), "destinations[0].port", PORT, RC_SYNTAX },
	{ ENTRY("\"port\":65536"), "destinations[0].port", PORT, RC_SYNTAX },
	{ ENTRY("\"port\":\"443\""), "destinations[0].port", PORT, RC_SYNTAX },
	{ ENTRY("\"port\":443.0"), "destinations[0].port", PORT, RC_SYNTAX },
	{ ENTRY("\"port\":null"), "destinations[0].port", PORT, RC_SYNTAX },
	{ ENTRY("\"methods\":\"GET\""), "destinations[0].methods",
	    "must be an array", RC_SYNTAX },
	{ ENTRY("\"methods\":[]"), "destinations[0].methods", EMPTY, RC_SYNTAX },
	{ ENTRY("\"methods\":[\"GET\",\"get\"]"), "destinations[0].methods[1]",
	    METHOD, RC_SYNTAX },
	{ ENTRY("\"methods\":[\"\"]"), "destinations[0].methods[0]", METHOD, RC_SYNTAX },
	{ ENTRY("\"methods\":[1]"), "destinations[0].methods[0]", STRING, RC_SYNTAX },
	{ ENTRY("\"methods\":[\"CONNECT\"]"), "destinations[0].methods[0]",
	    "makes the tunnel; name the methods of the requests in it", RC_SYNTAX },
	{ ENTRY("\"paths\":[]"), "destinations[0].paths", EMPTY, RC_SYNTAX },
	{ ENTRY("\"paths\":[\"a\"]"), "destinations[0].paths[0]",
	    "must begin with a slash", RC_SYNTAX },
	{ ENTRY("\"paths\":[\"/a\",\"/../a\"]"), "destinations[0].paths[1]",
	    "holds a dot segment", RC_SYNTAX },
	{ ENTRY("\"paths\":[\"/a\",\"/**/a\"]"), "destinations[0].paths[1]",
	    "`**` must be the last segment", RC_SYNTAX },
	{ ENTRY("\"internal\":1"), "destinations[0].internal",
	    "must be true or false", RC_SYNTAX },
	{ "{\"responses\":{}}", "responses", "must be an array", RC_SYNTAX },
	{ ROUTE(""), "responses[0].response", "is required", RC_SYNTAX },
	{ ROUTE(",\"request\":[" SEAL "],\"response\":[]"),
	    "responses[0].request", NO_REQUEST, RC_SYNTAX },
	{ ROUTE(",\"request\":null,\"response\":[]"),
	    "responses[0].request", NO_REQUEST, RC_SYNTAX },
	{ ROUTE(",\"response\":[{\"action\":\"mask\",\"selections\":[]}]"),
	    "responses[0].response[0].action", "not available in this version",
	    RC_UNSUPPORTED },
	{ "{\"curve\":\"p256\"}", "curve", "must be one of: r1, k1", RC_SYNTAX },
	{ "{\"keyScope\":1}", "keyScope", STRING, RC_SYNTAX },
	{ "{\"existingTokens\":\"drop\"}", "existingTokens",
	    "must be one of: verify, encrypt, keep", RC_SYNTAX },
	{ "{\"encryptEmptyStrings\":0}", "encryptEmptyStrings",
	    "must be true or false", RC_SYNTAX },
	{ "{\"onMismatch\":{\"response\":\"x\"}}", "onMismatch.response",
	    "must be one of: reject, forward", RC_SYNTAX },
	{ "{\"onUndecryptable\":\"drop\"}", "onUndecryptable",
	    "must be one of: keep, reject", RC_SYNTAX },
	{ "{\"limits\":{\"bytes\":1}}", "limits.bytes", "unknown field", RC_SYNTAX },
};

static void
test_faults(void **state)
{
	struct relay_fault fault;
	struct egress *e;

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		enum rc rc = egress_json_parse(span_of(APP),
		    span_of(faults[i].json), &e, &fault);

		if (rc != faults[i].rc || strcmp(fault.path, faults[i].path) != 0 ||
		    strcmp(fault.reason, faults[i].reason) != 0)
			fail_msg("%s\n  got  %s at %s: %s\n  want %s at %s: %s",
			    faults[i].json, rc_name(rc), fault.path, fault.reason,
			    rc_name(faults[i].rc), faults[i].path,
			    faults[i].reason);
		assert_null(e);
		assert_int_equal(egress_json_parse(span_of(APP),
		    span_of(faults[i].json), &e, NULL), rc);
	}
}

/* n elements are good, one more is not. */
static void
check_count(const char *head, const char *part, unsigned n, const char *tail,
    const char *path)
{
	struct relay_fault fault;
	struct egress *e;
	struct buffer b;

	for (unsigned over = 0; over < 2; over++) {
		buffer_init(&b, 0, false);
		buffer_puts(&b, head);
		for (unsigned i = 0; i < n + over; i++)
			buffer_printf(&b, "%s%s", i == 0 ? "" : ",", part);
		buffer_puts(&b, tail);
		assert_int_equal(egress_json_parse(span_of(APP),
		    span_of(buffer_cstr(&b)), &e, &fault),
		    over ? RC_LIMIT : RC_OK);
		assert_string_equal(fault.path, over ? path : "");
		egress_unref(&e);
		buffer_fini(&b);
	}
}

static void
test_how_many(void **state)
{
	(void)state;
	check_count("{\"destinations\":[", "{\"host\":\"a.test\"}",
	    EGRESS_DESTINATIONS_MAX, "]}", "destinations");
	check_count("{\"destinations\":[{\"host\":\"a\",\"methods\":[", "\"GET\"",
	    EGRESS_METHODS_MAX, "]}]}", "destinations[0].methods");
	check_count("{\"destinations\":[{\"host\":\"a\",\"paths\":[", "\"/\"",
	    EGRESS_PATHS_MAX, "]}]}", "destinations[0].paths");
	check_count("{\"responses\":[", "{\"path\":\"/\",\"response\":[]}",
	    RELAY_ROUTES_MAX, "]}", "responses");
}

/* ---- what is allowed ------------------------------------------------------------- */

static void
test_without_a_list_everything(void **state)
{
	struct egress *e = parse("{}\n");

	(void)state;
	assert_true(e->any);
	assert_true(egress_allows(e, "a.test", 443));
	assert_true(egress_allows(e, "10.0.0.1", 1));
	assert_true(egress_allows_request(e, "a.test", 443, span_of("GET"),
	    span_of("/")));
	assert_false(egress_is_internal(e, "10.0.0.1", 1, (struct span){ NULL, 0 },
	    (struct span){ NULL, 0 }));
	egress_unref(&e);
	assert_null(e);
	egress_unref(&e);
}

static void
test_an_empty_list_nothing(void **state)
{
	struct egress *e = parse("{\"destinations\":[]}");

	(void)state;
	assert_false(e->any);
	assert_false(egress_allows(e, "a.test", 443));
	assert_false(egress_allows_request(e, "a.test", 443, span_of("GET"),
	    span_of("/")));
	egress_unref(&e);
}

static const char a_list[] = LIST(
    "{\"host\":\"Exact.Test.\"},"
    "{\"host\":\"*.wild.test\",\"port\":8443,\"methods\":[\"GET\",\"PROPFIND\"]},"
    "{\"host\":\"10.0.0.7\",\"paths\":[\"/v1/*\",\"/open/**\"]},"
    "{\"host\":\"10.0.0.7\",\"paths\":[\"/in\"],\"methods\":[\"POST\"],"
    "\"internal\":true},"
    "{\"host\":\"all.test\",\"paths\":[\"/**\"],\"internal\":true},"
    "{\"host\":\"both.test\"},"
    "{\"host\":\"both.test\",\"paths\":[\"/a\"],\"internal\":true},"
    "{\"host\":\"[::1]\",\"port\":1}");

static void
test_hosts_and_ports(void **state)
{
	static const struct {
		const char	*host;
		uint16_t	port;
		bool		yes;
	} t[] = {
		{ "exact.test", 443, true },
		{ "exact.test", 8443, false },
		{ "a.exact.test", 443, false },
		{ "xexact.test", 443, false },
		{ "exact.testx", 443, false },
		{ "a.wild.test", 8443, true },
		{ "a.b.wild.test", 8443, true },
		{ "wild.test", 8443, false },
		{ "awild.test", 8443, false },
		{ "a.wild.test", 443, false },
		{ "a.wild.test.evil.test", 8443, false },
		{ "10.0.0.7", 443, true },
		{ "10.0.0.71", 443, false },
		{ "::1", 1, true },
		{ "", 443, false },
	};
	struct span none = { NULL, 0 };
	struct egress *e = parse(a_list);

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (egress_allows(e, t[i].host, t[i].port) != t[i].yes)
			fail_msg("%s:%u", t[i].host, t[i].port);
	assert_true(egress_is_internal(e, "10.0.0.7", 443, none, none));
	assert_false(egress_is_internal(e, "10.0.0.7", 80, none, none));
	assert_false(egress_is_internal(e, "exact.test", 443, none, none));
	egress_unref(&e);
}

static void
test_methods_and_paths(void **state)
{
	static const struct {
		const char	*host;
		uint16_t	port;
		const char	*method, *path;
		bool		yes, internal;
	} t[] = {
		{ "exact.test", 443, "DELETE", "/any", true, false },
		{ "exact.test", 444, "DELETE", "/any", false, false },
		{ "a.wild.test", 8443, "GET", "/", true, false },
		{ "a.wild.test", 8443, "HEAD", "/", true, false },
		{ "a.wild.test", 8443, "PROPFIND", "/", true, false },
		{ "a.wild.test", 8443, "get", "/", false, false },
		{ "a.wild.test", 8443, "GETS", "/", false, false },
		{ "a.wild.test", 8443, "POST", "/", false, false },
		{ "10.0.0.7", 443, "POST", "/v1/a", true, false },
		{ "10.0.0.7", 443, "POST", "/v1/a/b", false, false },
		{ "10.0.0.7", 443, "GET", "/open", true, false },
		{ "10.0.0.7", 443, "GET", "/open/a/b", true, false },
		{ "10.0.0.7", 443, "GET", "/opened", false, false },
		{ "10.0.0.7", 443, "POST", "/in", true, true },
		{ "10.0.0.7", 443, "GET", "/in", false, false },
		{ "10.0.0.7", 443, "OPTIONS", "*", false, false },
		/* its destination may read another one */
		{ "exact.test", 443, "GET", NULL, true, false },
		{ "a.wild.test", 8443, "GET", NULL, true, false },
		{ "a.wild.test", 8443, "POST", NULL, false, false },
		{ "10.0.0.7", 443, "GET", NULL, false, false },
		{ "10.0.0.7", 443, "POST", NULL, false, false },
		{ "all.test", 443, "GET", "/a/b", true, true },
		{ "all.test", 443, "GET", NULL, false, false },
		{ "both.test", 443, "GET", "/a", true, true },
		{ "both.test", 443, "GET", NULL, true, false },
	};
	struct egress *e = parse(a_list);

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct span method = span_of(t[i].method), path = { NULL, 0 };

		if (t[i].path != NULL)
			path = span_of(t[i].path);
		if (egress_allows_request(e, t[i].host, t[i].port, method,
		    path) != t[i].yes)
			fail_msg("%s %s %s", t[i].method, t[i].host,
			    t[i].path != NULL ? t[i].path : "-");
		if (egress_is_internal(e, t[i].host, t[i].port, method,
		    path) != t[i].internal)
			fail_msg("%s %s %s: internal", t[i].method, t[i].host,
			    t[i].path != NULL ? t[i].path : "-");
	}
	egress_unref(&e);
}

/* What an app's key may not do: reach more inside than the operator gave. */
static void
test_adds_internal(void **state)
{
#define IN(rest)	"{\"host\":\"in.test\",\"internal\":true" rest "}"
	static const struct {
		const char	*was, *now;	/* of the list; was NULL: none */
		bool		adds;
	} t[] = {
		{ NULL, "{\"host\":\"a.test\"}", false },
		{ NULL, IN(""), true },
		{ "{\"host\":\"in.test\"}", IN(""), true },
		{ IN(""), IN(""), false },
		{ IN(""), "{\"host\":\"in.test\"}", false },
		{ IN(""), IN(",\"port\":444"), true },
		{ "{\"host\":\"*.test\",\"internal\":true}", IN(""), true },
		/* less than there was */
		{ IN(""), IN(",\"methods\":[\"GET\"],\"paths\":[\"/a\"]"), false },
		{ IN(",\"methods\":[\"GET\",\"PUT\"]"), IN(",\"methods\":[\"PUT\"]"),
		    false },
		{ IN(",\"paths\":[\"/a\",\"/b\"]"), IN(",\"paths\":[\"/b\"]"), false },
		/* more */
		{ IN(",\"methods\":[\"GET\"]"), IN(""), true },
		{ IN(",\"methods\":[\"GET\"]"),
		    IN(",\"methods\":[\"GET\",\"PUT\"]"), true },
		{ IN(",\"paths\":[\"/a\"]"), IN(""), true },
		{ IN(",\"paths\":[\"/a\"]"), IN(",\"paths\":[\"/**\"]"), true },
		/* not of two entries what neither says */
		{ IN(",\"methods\":[\"GET\"]") "," IN(",\"paths\":[\"/a\"]"), IN(""),
		    true },
		{ IN(",\"methods\":[\"GET\"]") "," IN(",\"paths\":[\"/a\"]"),
		    IN(",\"paths\":[\"/a\"]"), false },
	};
	struct egress *was, *now;
	char text[512];
	size_t at;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		was = NULL;
		if (t[i].was != NULL) {
			(void)snprintf(text, sizeof(text), LIST("%s"), t[i].was);
			was = parse(text);
		}
		(void)snprintf(text, sizeof(text), LIST("%s"), t[i].now);
		now = parse(text);
		if (egress_adds_internal(now, was, &at) != t[i].adds || at != 0)
			fail_msg("%zu: %s", i, t[i].now);
		egress_unref(&was);
		egress_unref(&now);
	}
	was = parse(LIST("{\"host\":\"a.test\"}," IN("")));
	now = parse(LIST("{\"host\":\"b.test\"}," IN("")
	    ",{\"host\":\"c.test\",\"internal\":true},"
	    "{\"host\":\"d.test\",\"internal\":true}"));
	assert_true(egress_adds_internal(now, was, &at));
	assert_int_equal(at, 2);
	egress_unref(&was);
	egress_unref(&now);
#undef IN
}

/* ---- the relay of a destination ---------------------------------------------------- */

static void
test_the_relay_of_a_destination(void **state)
{
	struct egress *e = parse("{\"destinations\":[{\"host\":\"a.test\"}],"
	    "\"responses\":[{\"method\":\"GET\",\"path\":\"/a/*\",\"request\":[],"
	    "\"response\":[" SEAL "]}],\"curve\":\"k1\",\"keyScope\":\"field\","
	    "\"existingTokens\":\"keep\",\"encryptEmptyStrings\":false,"
	    "\"onMismatch\":{\"response\":\"forward\"},"
	    "\"onUndecryptable\":\"reject\",\"limits\":{\"fields\":7}}");
	struct relay *r = egress_relay(e, "a.test", 8443);
	struct relay *other = egress_relay(e, "10.0.0.1", 443);

	(void)state;
	egress_unref(&e);		/* the relays live on */
	assert_string_equal(r->app, APP);
	assert_string_equal(r->host, "a.test");
	assert_string_equal(r->server_name, "a.test");
	assert_int_equal(r->port, 8443);
	assert_null(r->ca);
	assert_false(r->api_key);
	assert_int_equal(r->curve, RELAY_CURVE_K1);
	assert_int_equal(r->key_scope, RELAY_SCOPE_FIELD);
	assert_int_equal(r->existing, RELAY_EXISTING_KEEP);
	assert_false(r->encrypt_empty_strings);
	assert_int_equal(r->mismatch_response, RELAY_MISMATCH_FORWARD);
	assert_int_equal(r->undecryptable, RELAY_UNDECRYPTABLE_REJECT);
	assert_int_equal(r->max_body_fields, 7);
	assert_int_equal(r->n_routes, 1);
	assert_int_equal(r->routes[0].n_request, 0);
	assert_int_equal(r->routes[0].n_response, 1);
	assert_int_equal(r->routes[0].response[0].kind, RELAY_ENCRYPT);
	assert_string_equal(r->routes[0].path, "/a/*");
	assert_string_equal(other->host, "10.0.0.1");
	assert_ptr_equal(other->routes, r->routes);
	relay_unref(&r);
	assert_int_equal(other->routes[0].n_response, 1);
	relay_unref(&other);
}

static void
test_the_relay_of_an_app_without_a_record(void **state)
{
	struct relay *r = egress_relay_any(APP, "a.test", 443);

	(void)state;
	assert_string_equal(r->app, APP);
	assert_string_equal(r->host, "a.test");
	assert_int_equal(r->port, 443);
	assert_int_equal(r->curve, RELAY_CURVE_R1);
	assert_int_equal(r->undecryptable, RELAY_UNDECRYPTABLE_KEEP);
	assert_true(r->encrypt_empty_strings);
	assert_int_equal(r->n_routes, 0);
	relay_unref(&r);
}

static void
test_what_seals(void **state)
{
	static const struct { const char *json; bool seals; } rows[] = {
		{ "{}", false },
		{ LIST("{\"host\":\"a.test\"}"), false },
		{ ROUTE(",\"response\":[]"), false },
		{ ROUTE(",\"response\":[{\"action\":\"decrypt\",\"selections\":"
		    "[{\"selector\":\"$..*\"}]}]"), false },
		{ ROUTE(",\"response\":[" SEAL "]"), true },
		{ "{\"responses\":[{\"path\":\"/a\",\"response\":[]},"
		    "{\"path\":\"/b\",\"response\":["
		    SEAL "]}]}", true },
	};
	struct egress *e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		e = parse(rows[i].json);
		if (egress_seals(e) != rows[i].seals)
			fail_msg("%s", rows[i].json);
		egress_unref(&e);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_app_ids),
		cmocka_unit_test(test_what_seals),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_how_many),
		cmocka_unit_test(test_without_a_list_everything),
		cmocka_unit_test(test_an_empty_list_nothing),
		cmocka_unit_test(test_hosts_and_ports),
		cmocka_unit_test(test_methods_and_paths),
		cmocka_unit_test(test_adds_internal),
		cmocka_unit_test(test_the_relay_of_a_destination),
		cmocka_unit_test(test_the_relay_of_an_app_without_a_record),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
