/*
 * worker/api_credentials.c: the three schemes, their ways of being wrong, and
 * two that contradict each other.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "worker/api_credentials.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

#define APP	"app_0123456789ab"
#define KEY	"ev:key:1:abc:def:ghi"
/* base64 of APP:KEY, TEAM:KEY, and so on. */
#define BASIC_APP	"YXBwXzAxMjM0NTY3ODlhYjpldjprZXk6MTphYmM6ZGVmOmdoaQ=="
#define BASIC_TEAM	"dGVhbV8xOmV2OmtleToxOmFiYzpkZWY6Z2hp"
#define BASIC_NO_USER	"OmV2OmtleToxOmFiYzpkZWY6Z2hp"
#define BASIC_NO_KEY	"YXBwXzAxMjM0NTY3ODlhYjo="
#define BASIC_NO_COLON	"YXBwXzAxMjM0NTY3ODlhYg=="
/* "app_" and 60 letters, a colon, k */
#define BASIC_LONG_APP	"YXBwX2FhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh" \
			"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYTpr"

#define FIELDS(...)	{ __VA_ARGS__, NULL }

static const struct {
	const char	*fields[4];
	enum rc		rc;
	enum api_scheme	scheme;
	const char	*app, *secret;
} cases[] = {
	{ FIELDS("Accept: */*"), RC_OK, API_SCHEME_NONE, "", "" },
	{ FIELDS("api-key: " KEY), RC_OK, API_SCHEME_KEY, "", KEY },
	{ FIELDS("API-KEY: " KEY), RC_OK, API_SCHEME_KEY, "", KEY },
	{ FIELDS("x-evervault-api-key: " KEY), RC_OK, API_SCHEME_KEY, "", KEY },
	{ FIELDS("Authorization: Basic " BASIC_APP), RC_OK, API_SCHEME_KEY,
	    APP, KEY },
	{ FIELDS("authorization: bASIC   " BASIC_APP), RC_OK, API_SCHEME_KEY,
	    APP, KEY },
	{ FIELDS("Authorization: Basic " BASIC_TEAM), RC_OK, API_SCHEME_KEY,
	    "", KEY },
	{ FIELDS("Authorization: Basic " BASIC_NO_USER), RC_OK, API_SCHEME_KEY,
	    "", KEY },
	{ FIELDS("Authorization: Token ab.cd.ef"), RC_OK, API_SCHEME_TOKEN, "",
	    "ab.cd.ef" },
	{ FIELDS("Authorization: token\tab.cd.ef"), RC_OK, API_SCHEME_TOKEN, "",
	    "ab.cd.ef" },
	/* twice the same is once */
	{ FIELDS("api-key: " KEY, "Authorization: Basic " BASIC_APP), RC_OK,
	    API_SCHEME_KEY, APP, KEY },
	{ FIELDS("api-key: " KEY, "x-evervault-api-key: " KEY), RC_OK,
	    API_SCHEME_KEY, "", KEY },
	/* contradictions */
	{ FIELDS("api-key: other", "Authorization: Basic " BASIC_APP),
	    RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("api-key: " KEY, "api-key: " KEY "x"), RC_SYNTAX, 0, NULL,
	    NULL },
	{ FIELDS("api-key: ab.cd", "Authorization: Token ab.cd"), RC_SYNTAX, 0,
	    NULL, NULL },
	{ FIELDS("Authorization: Basic " BASIC_APP,
	    "Authorization: Basic " BASIC_APP), RC_SYNTAX, 0, NULL, NULL },
	/* not readable */
	{ FIELDS("api-key:"), RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("Authorization:"), RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("Authorization: Basic"), RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("Authorization: Token"), RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("Authorization: Basic " BASIC_NO_KEY), RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("Authorization: Basic " BASIC_NO_COLON), RC_SYNTAX, 0, NULL,
	    NULL },
	{ FIELDS("Authorization: Basic " BASIC_LONG_APP), RC_SYNTAX, 0, NULL,
	    NULL },
	{ FIELDS("Authorization: Basic !!!!"), RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("Authorization: Basic " BASIC_APP " x"), RC_SYNTAX, 0, NULL,
	    NULL },
	{ FIELDS("Authorization: Bearer " KEY), RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("Authorization: RunToken x"), RC_SYNTAX, 0, NULL, NULL },
	{ FIELDS("Authorization: Tokenx"), RC_SYNTAX, 0, NULL, NULL },
};

static enum rc
read_fields(const char *const *fields, struct api_credentials *c)
{
	struct http_head head;
	struct buffer text;
	enum rc rc;

	buffer_init(&text, 0, true);
	buffer_puts(&text, "POST /decrypt HTTP/1.1\r\nHost: api.test\r\n");
	for (; *fields != NULL; fields++)
		buffer_printf(&text, "%s\r\n", *fields);
	buffer_puts(&text, "\r\n");
	http_head_init(&head);
	assert_int_equal(http_head_request(&head, buffer_data(&text),
	    buffer_len(&text), &HTTP_LIMITS_DEFAULT), RC_OK);
	api_credentials_init(c);
	rc = api_credentials_read(&head, c);
	http_head_fini(&head);
	buffer_fini(&text);	/* nothing may point there now */
	return (rc);
}

static void
test_cases(void **state)
{
	struct api_credentials c;
	enum rc rc;

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		rc = read_fields(cases[i].fields, &c);
		if (rc != cases[i].rc)
			fail_msg("%s: %s", cases[i].fields[0], rc_name(rc));
		if (rc == RC_OK) {
			assert_int_equal(c.scheme, cases[i].scheme);
			assert_string_equal(c.app, cases[i].app);
			assert_true(span_eq_str((struct span){
			    buffer_data(&c.secret), buffer_len(&c.secret) },
			    cases[i].secret));
			assert_true(c.secret.sensitive);
		}
		api_credentials_fini(&c);
	}
}

static void
test_token_of_any_length(void **state)
{
	char field[API_TOKEN_BYTES_MAX + 64];
	const char *fields[] = { field, NULL };
	struct api_credentials c;

	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		int n = snprintf(field, sizeof(field), "Authorization: Token ");

		memset(field + n, 'a', API_TOKEN_BYTES_MAX + (size_t)extra);
		field[n + API_TOKEN_BYTES_MAX + extra] = '\0';
		assert_int_equal(read_fields(fields, &c), extra == 0 ? RC_OK :
		    RC_SYNTAX);
		api_credentials_fini(&c);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_token_of_any_length),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
