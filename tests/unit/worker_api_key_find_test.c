/*
 * worker/api_key_find.c: which fields of a head carry an API key, which belong
 * to the origin, and what cannot be decided.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "worker/api_key.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

#define APP	"app_0123456789ab"
#define OTHER	"app_ffffffffffff"
#define KEY	"ev:key:1:abc:def:ghi"

/* "Basic base64(text)", in the two spellings that are one text. */
static const char *
basic(const char *scheme, const char *text, bool pad)
{
	static char out[16][700];
	static unsigned next;
	char *at = out[next++ % 16];
	int n = snprintf(at, 100, "%s ", scheme);

	n += (int)base64_encode(text, strlen(text), pad, at + n);
	at[n] = '\0';
	return (at);
}

static void
parse(struct http_head *head, struct buffer *text, const char *const *fields)
{
	buffer_init(text, 0, true);
	buffer_puts(text, "POST / HTTP/1.1\r\nHost: shop.test\r\n");
	for (; *fields != NULL; fields++)
		buffer_printf(text, "%s\r\n", *fields);
	buffer_puts(text, "\r\n");
	http_head_init(head);
	assert_int_equal(http_head_request(head, buffer_data(text),
	    buffer_len(text), &HTTP_LIMITS_DEFAULT), RC_OK);
}

/* key: NULL unless RC_OK; from: the field's name. */
static void
find(const char *const *fields, enum rc want, const char *key, const char *app,
    const char *from)
{
	struct buffer text, decoded;
	struct api_key_found found;
	struct http_head head;
	enum rc rc;

	parse(&head, &text, fields);
	buffer_init(&decoded, 0, true);
	buffer_puts(&decoded, "what was there before");
	rc = api_key_find(&head, APP, &decoded, &found);
	if (rc != want)
		fail_msg("%s: %s", fields[0], rc_name(rc));
	if (rc == RC_OK) {
		assert_true(span_eq_str(found.key, key));
		assert_true(span_eq_str(found.app, app));
		assert_true(span_eq_case(found.field->name, from));
	} else {
		assert_null(found.field);
		assert_null(found.key.p);
		assert_null(found.app.p);
		assert_int_equal(buffer_len(&decoded), 0);
	}
	buffer_fini(&decoded);
	http_head_fini(&head);
	buffer_fini(&text);
}

#define FIELDS(...)	((const char *const []){ __VA_ARGS__, NULL })

static const char *
authorization(const char *value)
{
	static char out[16][800];
	static unsigned next;
	char *at = out[next++ % 16];

	(void)snprintf(at, sizeof(out[0]), "Authorization: %s", value);
	return (at);
}

static void
test_find_forms(void **state)
{
	const char *good = basic("Basic", APP ":" KEY, true);

	(void)state;
	find(FIELDS("Accept: */*"), RC_NOTFOUND, NULL, NULL, NULL);
	find(FIELDS("api-key: " KEY), RC_OK, KEY, "", "api-key");
	find(FIELDS("API-KEY:" KEY "  "), RC_OK, KEY, "", "api-key");
	find(FIELDS("X-Evervault-Api-Key: k"), RC_OK, "k", "",
	    "x-evervault-api-key");
	find(FIELDS(authorization(good)), RC_OK, KEY, APP, "authorization");
	find(FIELDS(authorization(basic("bAsIc", APP ":" KEY, false))), RC_OK,
	    KEY, APP, "authorization");
	find(FIELDS(authorization(basic("Basic  \t", APP ":a:b", true))), RC_OK,
	    "a:b", APP, "authorization");
	/* The same key in each form is one key. */
	find(FIELDS("x-evervault-api-key: " KEY, authorization(good),
	    "api-key: " KEY), RC_OK, KEY, APP, "x-evervault-api-key");
	/* What belongs to the origin does not count. */
	find(FIELDS("Authorization: Bearer t"), RC_NOTFOUND, NULL, NULL, NULL);
	find(FIELDS("Authorization: Bearer t", "api-key: k"), RC_OK, "k", "",
	    "api-key");
	find(FIELDS(authorization(basic("Basic", "ann:secret", true)),
	    authorization(basic("Basic", "bob:secret", true)), "api-key: k"),
	    RC_OK, "k", "", "api-key");
	find(FIELDS("api_key: k", "x-api-key: k", "Proxy-Authorization: k"),
	    RC_NOTFOUND, NULL, NULL, NULL);
}

static void
test_find_refuses(void **state)
{
	const char *good = authorization(basic("Basic", APP ":" KEY, true));

	(void)state;
	find(FIELDS("api-key:"), RC_SYNTAX, NULL, NULL, NULL);
	find(FIELDS("x-evervault-api-key: \t"), RC_SYNTAX, NULL, NULL, NULL);
	find(FIELDS("api-key: k", "Api-Key: k"), RC_SYNTAX, NULL, NULL, NULL);
	find(FIELDS("x-evervault-api-key: k", "A: b",
	    "x-evervault-api-key: k"), RC_SYNTAX, NULL, NULL, NULL);
	find(FIELDS("api-key: k", "x-evervault-api-key: l"), RC_SYNTAX, NULL,
	    NULL, NULL);
	find(FIELDS("api-key: k", "x-evervault-api-key: kk"), RC_SYNTAX, NULL,
	    NULL, NULL);
	find(FIELDS("api-key: " KEY "x", good), RC_SYNTAX, NULL, NULL, NULL);
	find(FIELDS(good, good), RC_SYNTAX, NULL, NULL, NULL);
	find(FIELDS(good, "Authorization: Bearer t"), RC_SYNTAX, NULL, NULL,
	    NULL);
	find(FIELDS("Authorization: Bearer t", good), RC_SYNTAX, NULL, NULL,
	    NULL);
	find(FIELDS(authorization(basic("Basic", OTHER ":" KEY, true))),
	    RC_DENIED, NULL, NULL, NULL);
	find(FIELDS("api-key: " KEY,
	    authorization(basic("Basic", OTHER ":" KEY, true))), RC_DENIED,
	    NULL, NULL, NULL);
	find(FIELDS(authorization(basic("Basic", ":" KEY, true))), RC_DENIED,
	    NULL, NULL, NULL);
	find(FIELDS(authorization(basic("Basic", "team_1:" KEY, true))),
	    RC_DENIED, NULL, NULL, NULL);
	find(FIELDS(authorization(basic("Basic", APP ":", true))), RC_SYNTAX,
	    NULL, NULL, NULL);
}

/* Nobody knows what it says: refused, and not passed on. */
static void
test_basic_that_cannot_be_read(void **state)
{
	static const char *const values[] = {
		"Basic", "Basic ", "basic\t", "Basic =", "Basic !!!!",
		"Basic YQ", "Basic YXBw", "Basic YTpi\tYTpi", "Basic YTpi YTpi",
		"Basic YTpiYw=", "Basic YTpiYw===", "Basic YTpiYx==",
		"Basic YXBwXzAxMjM0NTY3ODlhYjpr-_==", "Basic YTpi, Bearer t",
		"Basic \"YTpi\"", "Basic YTpi\xc3\xa9",
	};

	(void)state;
	for (size_t i = 0; i < N(values); i++) {
		const struct http_field f = { HTTP_FIELD_AUTHORIZATION,
		    SPAN_LIT("Authorization"), span_trim(span_of(values[i])) };

		find(FIELDS(authorization(values[i])), RC_SYNTAX, NULL, NULL,
		    NULL);
		find(FIELDS("api-key: " KEY, authorization(values[i])),
		    RC_SYNTAX, NULL, NULL, NULL);
		assert_true(api_key_field(&f, APP));
	}
}

static void
test_field(void **state)
{
	const struct {
		const char	*name;
		const char	*value;
		bool		ours;
	} rows[] = {
		{ "Api-Key", "", true },
		{ "x-evervault-api-KEY", "anything", true },
		{ "x-api-key", "anything", false },
		{ "X-Evervault-App-Id", APP, false },
		{ "Proxy-Authorization", basic("Basic", APP ":" KEY, true),
		    false },
		{ "Authorization", basic("Basic", APP ":" KEY, true), true },
		{ "Authorization", basic("BASIC", APP ":x", false), true },
		{ "Authorization", basic("Basic", APP ":", true), true },
		{ "Authorization", basic("Basic", OTHER ":x", true), true },
		{ "Authorization", basic("Basic", "team_1:" KEY, true), true },
		{ "Authorization", basic("Basic", "ann:pass", true), false },
		{ "Authorization", basic("Basic", "ann:" APP ":x", true),
		    false },
		{ "Authorization", basic("Basic", "app_user:x", true), false },
		{ "Authorization", basic("Basic", APP "0:x", true), false },
		{ "Authorization", basic("Basic", "app_0123456789ag:x", true),
		    false },
		{ "Authorization", "", false },
		{ "Authorization", "Basi", false },
		{ "Authorization", basic("Basics", APP ":x", true), false },
		{ "Authorization", basic("Bearer", APP ":x", true), false },
		{ "Authorization", "Digest username=\"" APP "\"", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		const struct http_field f = {
			http_field_lookup(span_of(rows[i].name)),
			span_of(rows[i].name), span_of(rows[i].value) };

		if (api_key_field(&f, APP) != rows[i].ours)
			fail_msg("%s: %s", rows[i].name, rows[i].value);
	}
}

/* Apps have ids of other forms too: then the relay's own is known. */
static void
test_field_of_the_relays_app(void **state)
{
	const char *value = basic("Basic", "app_shop:x", true);
	const struct http_field f = { HTTP_FIELD_AUTHORIZATION,
	    SPAN_LIT("Authorization"), span_of(value) };

	(void)state;
	assert_true(api_key_field(&f, "app_shop"));
	assert_false(api_key_field(&f, "app_shopp"));
}

/* ---- the proxy's ---- */

static const char *
proxy(const char *value)
{
	static char out[16][800];
	static unsigned next;
	char *at = out[next++ % 16];

	(void)snprintf(at, sizeof(out[0]), "Proxy-Authorization: %s", value);
	return (at);
}

/* key: NULL unless RC_OK. */
static void
find_proxy(const char *const *fields, enum rc want, const char *key,
    const char *user)
{
	struct buffer text, decoded;
	struct api_key_found found;
	struct http_head head;
	enum rc rc;

	parse(&head, &text, fields);
	buffer_init(&decoded, 0, true);
	buffer_puts(&decoded, "what was there before");
	rc = api_key_find_proxy(&head, &decoded, &found);
	if (rc != want)
		fail_msg("%s: %s", fields[0], rc_name(rc));
	if (rc == RC_OK) {
		if (!span_eq_str(found.key, key) || !span_eq_str(found.app, user))
			fail_msg("%s: %.*s of %.*s", fields[0], (int)found.key.len,
			    found.key.p, (int)found.app.len, found.app.p);
		assert_true(span_eq_case(found.field->name, "proxy-authorization"));
	}
	buffer_fini(&decoded);
	http_head_fini(&head);
	buffer_fini(&text);
}

static void
test_proxy_forms(void **state)
{
	(void)state;
	find_proxy(FIELDS(proxy(KEY)), RC_OK, KEY, "");
	find_proxy(FIELDS(proxy(" \t" KEY " ")), RC_OK, KEY, "");
	find_proxy(FIELDS("PROXY-authorization:k"), RC_OK, "k", "");
	find_proxy(FIELDS(proxy("Bearer " KEY)), RC_OK, KEY, "");
	find_proxy(FIELDS(proxy("bEARER \t " KEY)), RC_OK, KEY, "");
	find_proxy(FIELDS(proxy(basic("Basic", APP ":" KEY, true))), RC_OK, KEY,
	    APP);
	find_proxy(FIELDS(proxy(basic("basic", APP ":" KEY, false))), RC_OK, KEY,
	    APP);
	/* A team, nobody, and a key with colons. */
	find_proxy(FIELDS(proxy(basic("Basic", "team_1:" KEY, true))), RC_OK, KEY,
	    "team_1");
	find_proxy(FIELDS(proxy(basic("Basic", ":" KEY, true))), RC_OK, KEY, "");
	find_proxy(FIELDS(proxy(basic("Basic", "a:b:c:", true))), RC_OK, "b:c:",
	    "a");
	/* What is no scheme of ours is the key itself; it will not be good. */
	find_proxy(FIELDS(proxy("BearerX")), RC_OK, "BearerX", "");
	find_proxy(FIELDS(proxy("Basically")), RC_OK, "Basically", "");
	find_proxy(FIELDS(proxy("Digest a=b")), RC_OK, "Digest a=b", "");
	/* Other fields are the destination's. */
	find_proxy(FIELDS(proxy("k"), "Authorization: Bearer t", "api-key: x"),
	    RC_OK, "k", "");
	find_proxy(FIELDS("api-key: k", "x-evervault-api-key: k",
	    authorization(basic("Basic", APP ":" KEY, true)),
	    "Proxy-Authenticate: k"), RC_NOTFOUND, NULL, NULL);
}

static void
test_proxy_refuses(void **state)
{
	(void)state;
	find_proxy(FIELDS(proxy("")), RC_SYNTAX, NULL, NULL);
	find_proxy(FIELDS(proxy("Bearer")), RC_SYNTAX, NULL, NULL);
	find_proxy(FIELDS(proxy("Bearer \t")), RC_SYNTAX, NULL, NULL);
	find_proxy(FIELDS(proxy("Basic")), RC_SYNTAX, NULL, NULL);
	find_proxy(FIELDS(proxy("Basic !!!")), RC_SYNTAX, NULL, NULL);
	find_proxy(FIELDS(proxy("Basic YTpi YTpi")), RC_SYNTAX, NULL, NULL);
	find_proxy(FIELDS(proxy("Basic YTpi,")), RC_SYNTAX, NULL, NULL);
	find_proxy(FIELDS(proxy("Basic YTpi=")), RC_SYNTAX, NULL, NULL);
	/* no colon, no key */
	find_proxy(FIELDS(proxy(basic("Basic", "key", true))), RC_SYNTAX, NULL,
	    NULL);
	find_proxy(FIELDS(proxy(basic("Basic", APP ":", true))), RC_SYNTAX, NULL,
	    NULL);
	find_proxy(FIELDS(proxy(basic("Basic", ":", true))), RC_SYNTAX, NULL, NULL);
	/* several, be they equal */
	find_proxy(FIELDS(proxy("k"), proxy("k")), RC_SYNTAX, NULL, NULL);
	find_proxy(FIELDS(proxy("k"), "A: b", proxy("x")), RC_SYNTAX, NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_forms),
		cmocka_unit_test(test_find_refuses),
		cmocka_unit_test(test_basic_that_cannot_be_read),
		cmocka_unit_test(test_field),
		cmocka_unit_test(test_field_of_the_relays_app),
		cmocka_unit_test(test_proxy_forms),
		cmocka_unit_test(test_proxy_refuses),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
