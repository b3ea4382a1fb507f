/*
 * Routes, actions and selections of a relay JSON: what is carried out, what is
 * known but not available, what is wrong, and what a selector may be for each
 * type.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/unit/conf_relay_case.h"

/* ---- known, but not available ----------------------------------------------- */

static const struct fault_case not_available[] = {
	LATER(REQUEST("{\"action\":\"redact\",\"selections\":[]}"),
	    REQUEST_PATH ".action"),
	LATER(REQUEST("{\"action\":\"mask\",\"selections\":[]}"),
	    REQUEST_PATH ".action"),
	LATER(RESPONSE("{\"action\":\"redact\",\"selections\":[]}"),
	    "routes[0].response[0].action"),
	LATER(RESPONSE("{\"action\":\"mask\",\"selections\":[]}"),
	    "routes[0].response[0].action"),
	LATER(SELECTION("{\"type\":\"xml\",\"selector\":\"/a/b\"}"),
	    SELECTION_PATH ".type"),
	LATER(SELECTION("{\"type\":\"multipart\",\"selector\":\"file\"}"),
	    SELECTION_PATH ".type"),
	LATER(SELECTION("{\"type\":\"text\",\"selector\":\"\"}"),
	    SELECTION_PATH ".type"),
	/* the type is what is wrong, also behind its selector */
	LATER(SELECTION("{\"selector\":\"/a/b\",\"type\":\"xml\"}"),
	    SELECTION_PATH ".type"),
	/* the second of each, to see the index */
	LATER(ROUTES("[{\"path\":\"/\"},{\"path\":\"/b\",\"request\":["
	    "{\"action\":\"encrypt\",\"selections\":[]},"
	    "{\"action\":\"mask\",\"selections\":[]}]}]"),
	    "routes[1].request[1].action"),
	LATER(RESPONSE("{\"action\":\"decrypt\",\"selections\":["
	    "{\"selector\":\"$.a\"},{\"type\":\"text\",\"selector\":\"\"}]}"),
	    "routes[0].response[0].selections[1].type"),
};

static void
test_not_available(void **state)
{
	(void)state;
	check_faults(not_available, sizeof(not_available) /
	    sizeof(not_available[0]));
}

/* ---- wrong ------------------------------------------------------------------- */

#define METHODS	"must be one of: GET, HEAD, POST, PUT, DELETE, PATCH"
#define STAR	"`*` must be a whole segment; write %2A for the character"
#define ROLE	"must be 1 to 20 of a-z, 0-9 and -"
#define FORM_NAME "must be the name of a form field"
#define HEADER_NAME "must be a header field name"
#define RESERVED "this header field belongs to the message or to the proxy"

static const struct fault_case wrong[] = {
	/* unknown fields and duplicates */
	BAD(ROUTE(",\"methods\":[]"), "routes[0].methods", "unknown field"),
	BAD(REQUEST("{\"act\":\"encrypt\"}"), REQUEST_PATH ".act",
	    "unknown field"),
	BAD(REQUEST("{\"onMismatch\":\"reject\"}"), REQUEST_PATH ".onMismatch",
	    "unknown field"),
	BAD(SELECTION("{\"path\":\"$\"}"), SELECTION_PATH ".path",
	    "unknown field"),
	BAD(SELECTION("{\"selector\":\"$\",\"selector\":\"$\"}"),
	    SELECTION_PATH ".selector", "duplicate field"),
	BAD(REQUEST("{\"action\":\"encrypt\",\"selections\":["
	    "{\"selector\":\"$\"}],\"selections\":[]}"),
	    REQUEST_PATH ".selections", "duplicate field"),
	/* routes */
	BAD(ROUTES("{}"), "routes", ARRAY),
	BAD(ROUTES("null"), "routes", ARRAY),
	BAD(ROUTES("[1]"), "routes[0]", OBJECT),
	BAD(ROUTES("[{}]"), "routes[0].path", "is required"),
	BAD(ROUTE(",\"method\":1"), "routes[0].method", STRING),
	BAD(ROUTE(",\"method\":\"get\""), "routes[0].method", METHODS),
	BAD(ROUTE(",\"method\":\"OPTIONS\""), "routes[0].method", METHODS),
	BAD(ROUTES("[{\"path\":null}]"), "routes[0].path", STRING),
	BAD(ROUTES("[{\"path\":\"\"}]"), "routes[0].path",
	    "must begin with a slash"),
	BAD(ROUTES("[{\"path\":\"a\"}]"), "routes[0].path",
	    "must begin with a slash"),
	BAD(ROUTES("[{\"path\":\"/a*\"}]"), "routes[0].path", STAR),
	BAD(ROUTES("[{\"path\":\"/**/a\"}]"), "routes[0].path",
	    "`**` must be the last segment"),
	/* actions */
	BAD(ROUTE(",\"request\":null"), "routes[0].request", ARRAY),
	BAD(ROUTE(",\"response\":{}"), "routes[0].response", ARRAY),
	BAD(REQUEST("[]"), REQUEST_PATH, OBJECT),
	BAD(REQUEST("{}"), REQUEST_PATH ".action", "is required"),
	BAD(REQUEST("{\"action\":\"encrypt\"}"), REQUEST_PATH ".selections",
	    "is required"),
	BAD(REQUEST("{\"action\":null}"), REQUEST_PATH ".action", STRING),
	BAD(REQUEST("{\"action\":\"Encrypt\"}"), REQUEST_PATH ".action",
	    "must be one of: encrypt, decrypt, redact, mask"),
	BAD(RESPONSE("{\"action\":\"x\"}"), "routes[0].response[0].action",
	    "must be one of: encrypt, decrypt, redact, mask"),
	BAD(REQUEST("{\"selections\":{}}"), REQUEST_PATH ".selections", ARRAY),
	/* selections */
	BAD(SELECTION("\"$\""), SELECTION_PATH, OBJECT),
	BAD(SELECTION("{}"), SELECTION_PATH ".selector", "is required"),
	BAD(SELECTION("{\"type\":\"json\"}"), SELECTION_PATH ".selector",
	    "is required"),
	BAD(SELECTION("{\"type\":null}"), SELECTION_PATH ".type", STRING),
	BAD(SELECTION("{\"type\":\"yaml\"}"), SELECTION_PATH ".type",
	    "must be one of: json, form, header, xml, multipart, text"),
	BAD(SELECTION("{\"selector\":1}"), SELECTION_PATH ".selector", STRING),
	BAD(SELECTOR(""), SELECTION_PATH ".selector",
	    "not a JSONPath: it does not begin with $ (at byte 0)"),
	BAD(SELECTOR("card"), SELECTION_PATH ".selector",
	    "not a JSONPath: it does not begin with $ (at byte 0)"),
	BAD(SELECTOR("$.a[1:2"), SELECTION_PATH ".selector",
	    "not a JSONPath: a bracket is not closed (at byte 7)"),
	BAD(SELECTOR("$[?@.a==01]"), SELECTION_PATH ".selector",
	    "not a JSONPath: a bracket is not closed (at byte 9)"),
	BAD(SELECTOR("$[?match(@.a,'\\\\\\\\d+')]"), SELECTION_PATH ".selector",
	    "would never select: not an I-Regexp (RFC 9485): it matches nothing "
	    "(at byte 13)"),
	BAD(SELECTOR("$[?@.a || search(@.b, '(?i)x')]"),
	    SELECTION_PATH ".selector", "would never select: not an I-Regexp "
	    "(RFC 9485): it matches nothing (at byte 22)"),
	/* what a selector must be depends on its type, wherever that stands */
	BAD(SELECTION("{\"type\":\"form\",\"selector\":\"\"}"),
	    SELECTION_PATH ".selector", FORM_NAME),
	BAD(SELECTION("{\"selector\":\"\",\"type\":\"form\"}"),
	    SELECTION_PATH ".selector", FORM_NAME),
	BAD(SELECTION("{\"selector\":\"card\",\"type\":\"json\"}"),
	    SELECTION_PATH ".selector",
	    "not a JSONPath: it does not begin with $ (at byte 0)"),
	BAD(SELECTION("{\"type\":\"header\",\"selector\":\"\"}"),
	    SELECTION_PATH ".selector", HEADER_NAME),
	BAD(SELECTION("{\"type\":\"header\",\"selector\":\"$.a[0]\"}"),
	    SELECTION_PATH ".selector", HEADER_NAME),
	BAD(SELECTION("{\"selector\":\"x card\",\"type\":\"header\"}"),
	    SELECTION_PATH ".selector", HEADER_NAME),
	BAD(SELECTION("{\"type\":\"header\",\"selector\":\"x-card:\"}"),
	    SELECTION_PATH ".selector", HEADER_NAME),
	BAD(SELECTION("{\"type\":\"header\",\"selector\":\"x-c\xc3\xa9\"}"),
	    SELECTION_PATH ".selector", HEADER_NAME),
	BAD(SELECTION("{\"selector\":\"x card\",\"type\":\"yaml\"}"),
	    SELECTION_PATH ".type",
	    "must be one of: json, form, header, xml, multipart, text"),
	BAD(SELECTION("{\"selector\":\"x card\",\"type\":1}"),
	    SELECTION_PATH ".type", STRING),
	BAD(SELECTION("{\"type\":\"json\",\"selector\":\"$\",\"type\":\"form\"}"),
	    SELECTION_PATH ".type", "duplicate field"),
	/* roles */
	BAD(SELECTION("{\"selector\":\"$\",\"role\":1}"),
	    SELECTION_PATH ".role", STRING),
	BAD(SELECTION("{\"selector\":\"$\",\"role\":\"\"}"),
	    SELECTION_PATH ".role", ROLE),
	BAD(SELECTION("{\"selector\":\"$\",\"role\":\"PCI\"}"),
	    SELECTION_PATH ".role", ROLE),
	BAD(SELECTION("{\"selector\":\"$\",\"role\":\"a_b\"}"),
	    SELECTION_PATH ".role", ROLE),
	BAD(SELECTION("{\"selector\":\"$\",\"role\":\"aaaaaaaaaabbbbbbbbbbc\"}"),
	    SELECTION_PATH ".role", ROLE),
};

static void
test_wrong(void **state)
{
	(void)state;
	check_faults(wrong, sizeof(wrong) / sizeof(wrong[0]));
}

/* Framing, routing and our own fields are no data of the app: in any case, by
 * every action, both ways. */
static void
test_reserved_header_names(void **state)
{
	static const char *const names[] = {
		"connection", "content-encoding", "content-length",
		"content-type", "expect", "forwarded", "host", "keep-alive",
		"proxy-authenticate", "proxy-authorization", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade", "via",
		"accept-encoding", "range", "x-forwarded-for",
		"x-forwarded-host", "x-forwarded-proto", "api-key",
		"x-evervault-api-key", "x-evervault-ctx",
		"x-evervault-error-code", "Content-Length", "content_length", "HOST", "Te",
	};
	char json[512];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct fault_case c = { json, RC_SYNTAX,
		    SELECTION_PATH ".selector", RESERVED };

		(void)snprintf(json, sizeof(json), HEAD "\"routes\":[{"
		    "\"path\":\"/a\",\"request\":[{\"action\":\"encrypt\","
		    "\"selections\":[{\"type\":\"header\",\"selector\":\"%s\"}]}"
		    "]}]}", names[i]);
		check_fault(&c);
		(void)snprintf(json, sizeof(json), HEAD "\"routes\":[{"
		    "\"path\":\"/a\",\"response\":[{\"action\":\"decrypt\","
		    "\"selections\":[{\"selector\":\"%s\",\"type\":\"header\"}]}"
		    "]}]}", names[i]);
		c.path = "routes[0].response[0].selections[0].selector";
		check_fault(&c);
	}
}

/* ---- carried out ---------------------------------------------------------------- */

/* The first selection of SELECTION(...); the caller unrefs *relay. */
static const struct relay_selection *
selection_of(const char *json, struct relay **relay)
{
	*relay = parse(json);
	return (&(*relay)->routes[0].request[0].selections[0]);
}

/* Each kind, with its type before and behind its selector. */
static void
test_selection_kinds(void **state)
{
	static const struct {
		const char			*json;
		enum relay_selection_kind	kind;
		const char			*selector, *role;
	} t[] = {
		{ SELECTION("{\"selector\":\"$.a\"}"), RELAY_SELECT_JSON,
		    "$.a", NULL },
		{ SELECTION("{\"type\":\"json\",\"selector\":\"$.a\"}"),
		    RELAY_SELECT_JSON, "$.a", NULL },
		{ SELECTION("{\"selector\":\"$.a\",\"type\":\"json\"}"),
		    RELAY_SELECT_JSON, "$.a", NULL },
		{ SELECTION("{\"type\":\"form\",\"selector\":\"card[no]\"}"),
		    RELAY_SELECT_FORM, "card[no]", NULL },
		{ SELECTION("{\"selector\":\"$.a\",\"type\":\"form\"}"),
		    RELAY_SELECT_FORM, "$.a", NULL },
		{ SELECTION("{\"selector\":\" caf\u00e9&=\",\"type\":\"form\"}"),
		    RELAY_SELECT_FORM, " caf\xc3\xa9&=", NULL },
		{ SELECTION("{\"type\":\"header\",\"selector\":\"X-Card\"}"),
		    RELAY_SELECT_HEADER, "X-Card", NULL },
		{ SELECTION("{\"selector\":\"a!#$%&'*+-.^_`|~9\",\"type\":"
		    "\"header\"}"), RELAY_SELECT_HEADER, "a!#$%&'*+-.^_`|~9",
		    NULL },
		{ SELECTION("{\"type\":\"header\",\"selector\":"
		    "\"Authorization\"}"), RELAY_SELECT_HEADER, "Authorization",
		    NULL },
		{ SELECTION("{\"role\":\"a-0\",\"selector\":\"$\"}"),
		    RELAY_SELECT_JSON, "$", "a-0" },
		{ SELECTION("{\"type\":\"form\",\"selector\":\"a\",\"role\":"
		    "\"aaaaaaaaaabbbbbbbbbb\"}"), RELAY_SELECT_FORM, "a",
		    "aaaaaaaaaabbbbbbbbbb" },
		{ SELECTION("{\"selector\":\"$\",\"role\":null}"),
		    RELAY_SELECT_JSON, "$", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct relay *relay;
		const struct relay_selection *s = selection_of(t[i].json, &relay);
		const struct relay_selections *of =
		    &relay->routes[0].request[0].of[t[i].kind];

		assert_int_equal(s->kind, t[i].kind);
		assert_string_equal(s->selector, t[i].selector);
		assert_int_equal(s->path != NULL, t[i].kind == RELAY_SELECT_JSON);
		if (t[i].role == NULL)
			assert_null(s->role);
		else
			assert_string_equal(s->role, t[i].role);
		assert_int_equal(of->n, 1);
		assert_ptr_equal(of->v[0], s);
		assert_ptr_equal(of->paths[0], s->path);
		assert_true(span_eq_str(of->names[0], t[i].selector));
		relay_unref(&relay);
	}
}

/* The whole of RFC 9535 is carried out. */
static void
test_selectors(void **state)
{
	static const char *const good[] = {
		SELECTOR("$"), SELECTOR("$..*"), SELECTOR("$['a',0,*]"),
		SELECTOR("$.a[1:2]"), SELECTOR("$[::2]"), SELECTOR("$[::-1]"),
		SELECTOR("$[-1]"), SELECTOR("$[?@.a]"), SELECTOR("$[?@.a == 1]"),
		SELECTOR("$[?@.a < 'b' && !(@.c || $.d)]"),
		SELECTOR("$[?length(@.a) > 1]"), SELECTOR("$[?count(@..a) > 1]"),
		SELECTOR("$[?match(@.a, 'b.*')]"), SELECTOR("$[?search(@.a, 'b')]"),
		SELECTOR("$[?value(@..a) == null]"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct relay *relay = parse(good[i]);

		relay_unref(&relay);
	}
}

/* Any number of either action, both ways, and what their lists are about. */
static void
test_action_lists(void **state)
{
	struct relay *relay = parse(ROUTES("[{\"path\":\"/a\",\"request\":["
	    "{\"action\":\"decrypt\",\"selections\":[{\"selector\":\"$.a\"},"
	    "{\"type\":\"header\",\"selector\":\"X-Card\"},"
	    "{\"selector\":\"$.b\"}]},"
	    "{\"action\":\"decrypt\",\"selections\":[]}],"
	    "\"response\":[{\"action\":\"decrypt\",\"selections\":[]},"
	    "{\"action\":\"encrypt\",\"selections\":[{\"type\":\"form\","
	    "\"selector\":\"c\"}]}]}]"));
	const struct relay_route *route = &relay->routes[0];
	const struct relay_action *a = &route->request[0];

	(void)state;
	assert_int_equal(a->kind, RELAY_DECRYPT);
	assert_int_equal(a->of[RELAY_SELECT_JSON].n, 2);
	assert_ptr_equal(a->of[RELAY_SELECT_JSON].v[1], &a->selections[2]);
	assert_int_equal(a->of[RELAY_SELECT_HEADER].n, 1);
	assert_ptr_equal(a->of[RELAY_SELECT_HEADER].v[0], &a->selections[1]);
	assert_true(relay_actions_select(a, 2, RELAY_SELECT_JSON));
	assert_true(relay_actions_select(a, 2, RELAY_SELECT_HEADER));
	assert_false(relay_actions_select(a, 2, RELAY_SELECT_FORM));
	assert_false(relay_actions_select(a, 0, RELAY_SELECT_JSON));
	assert_true(relay_actions_name_field(a, 2, SPAN_LIT("x-CARD")));
	assert_true(relay_actions_name_field(a, 2, SPAN_LIT("X_Card")));
	assert_false(relay_actions_name_field(a, 2, SPAN_LIT("x-cards")));
	assert_false(relay_actions_name_field(a, 2, SPAN_LIT("x.card")));
	assert_false(relay_actions_name_field(a, 2, SPAN_LIT("$.a")));
	assert_false(relay_actions_name_field(a, 2, SPAN_LIT("x-car")));
	assert_false(relay_actions_encrypt(a, 2));
	a = route->response;
	assert_int_equal(a[1].kind, RELAY_ENCRYPT);
	assert_true(relay_actions_select(a, 2, RELAY_SELECT_FORM));
	assert_false(relay_actions_select(a, 1, RELAY_SELECT_FORM));
	assert_false(relay_actions_name_field(a, 2, SPAN_LIT("c")));
	assert_true(relay_actions_encrypt(a, 2));
	assert_false(relay_actions_encrypt(a, 1));
	relay_unref(&relay);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_available),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_reserved_header_names),
		cmocka_unit_test(test_selection_kinds),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_action_lists),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
