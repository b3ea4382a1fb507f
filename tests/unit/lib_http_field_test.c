/* Field names, comma lists, media types: good ones beside what must fail. */
#include "lib/http/field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static void
test_lookup(void **state)
{
	static const struct {
		const char		*name;
		enum http_field_id	id;
	} rows[] = {
		{ "Accept-Encoding", HTTP_FIELD_ACCEPT_ENCODING },
		{ "Api-Key", HTTP_FIELD_API_KEY },
		{ "X-EVERVAULT-API-KEY", HTTP_FIELD_API_KEY },
		{ "AUTHORIZATION", HTTP_FIELD_AUTHORIZATION },
		{ "connection", HTTP_FIELD_CONNECTION },
		{ "Content-Encoding", HTTP_FIELD_CONTENT_ENCODING },
		{ "cOnTeNt-LeNgTh", HTTP_FIELD_CONTENT_LENGTH },
		{ "Content-Type", HTTP_FIELD_CONTENT_TYPE },
		{ "Digest", HTTP_FIELD_DIGEST },
		{ "Content-Digest", HTTP_FIELD_DIGEST },
		{ "Repr-Digest", HTTP_FIELD_DIGEST },
		{ "Content-MD5", HTTP_FIELD_DIGEST },
		{ "ETag", HTTP_FIELD_ETAG },
		{ "Expect", HTTP_FIELD_EXPECT },
		{ "Forwarded", HTTP_FIELD_FORWARDED },
		{ "Host", HTTP_FIELD_HOST },
		{ "Keep-Alive", HTTP_FIELD_KEEP_ALIVE },
		{ "Proxy-Authenticate", HTTP_FIELD_PROXY_AUTHENTICATE },
		{ "Proxy-Authorization", HTTP_FIELD_PROXY_AUTHORIZATION },
		{ "Proxy-Connection", HTTP_FIELD_PROXY_CONNECTION },
		{ "Range", HTTP_FIELD_RANGE },
		{ "TE", HTTP_FIELD_TE },
		{ "Trailer", HTTP_FIELD_TRAILER },
		{ "Transfer-Encoding", HTTP_FIELD_TRANSFER_ENCODING },
		{ "Upgrade", HTTP_FIELD_UPGRADE },
		{ "Via", HTTP_FIELD_VIA },
		{ "x-evervault-ctx", HTTP_FIELD_X_EVERVAULT_CTX },
		{ "X-Evervault-Error-Code", HTTP_FIELD_X_EVERVAULT_ERROR_CODE },
		{ "X-Forwarded-For", HTTP_FIELD_X_FORWARDED },
		{ "X-Forwarded-Host", HTTP_FIELD_X_FORWARDED },
		{ "X-Forwarded-Proto", HTTP_FIELD_X_FORWARDED },
		{ "", HTTP_FIELD_OTHER },
		{ "Hos", HTTP_FIELD_OTHER },
		{ "Hostt", HTTP_FIELD_OTHER },
		{ "Content_Length", HTTP_FIELD_OTHER },
		{ "Api_Key", HTTP_FIELD_OTHER },
		{ "X-Api-Key", HTTP_FIELD_OTHER },
		{ "Transfer\rEncoding", HTTP_FIELD_OTHER },
		{ "X-Evervault-Error-Codes", HTTP_FIELD_OTHER },
		{ "Accept", HTTP_FIELD_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		if (http_field_lookup(span_of(rows[i].name)) != rows[i].id)
			fail_msg("%s", rows[i].name);
}

static void
test_classes(void **state)
{
	static const char tchars[] = "!#$%&'*+-.^_`|~0123456789"
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		char byte = (char)c;
		bool value = c == '\t' || (c >= 0x20 && c != 0x7f);

		assert_int_equal(http_is_tchar((unsigned char)c),
		    c != 0 && strchr(tchars, (int)c) != NULL);
		assert_int_equal(http_value_valid((struct span){ &byte, 1 }),
		    value);
	}
	assert_true(http_value_valid(SPAN_LIT("")));
	assert_false(http_value_valid(SPAN_LIT("long enough a value\r")));
}

static void
test_list(void **state)
{
	static const struct {
		const char	*list;
		const char	*items;		/* joined by '|' */
	} rows[] = {
		{ "", "" }, { " , ,\t,", "" }, { "a", "a" }, { "a,b", "a|b" },
		{ " a , b c ,", "a|b c" },
		{ "\"a,b\", c", "\"a,b\"|c" },
		{ "x=\"a\\\",b\",c", "x=\"a\\\",b\"|c" },
		{ "a, \"open, b", "a|\"open, b" },
		{ "\"end\\", "\"end\\" },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct span list = span_of(rows[i].list), item;
		char got[64] = "";
		size_t n = 0;

		while (http_list_next(&list, &item))
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%.*s",
			    n != 0 ? "|" : "", (int)item.len, item.p);
		assert_string_equal(got, rows[i].items);
		assert_int_equal(list.len, 0);
	}
	assert_true(http_list_has(SPAN_LIT("keep-alive, CLOSE"), "close"));
	assert_false(http_list_has(SPAN_LIT("closed, \"close,\""), "close"));
}

static void
test_media_type(void **state)
{
	static const struct {
		const char	*value;
		enum rc		rc;
		const char	*type;
		const char	*charset;
		bool		json;
	} rows[] = {
		{ "application/json", RC_OK, "application/json", "", true },
		{ " Application/JSON ;charset=UTF-8 ", RC_OK,
		    "Application/JSON", "UTF-8", true },
		{ "application/problem+json; a=b; charset=\"utf-8\"", RC_OK,
		    "application/problem+json", "utf-8", true },
		{ "application/json;", RC_OK, "application/json", "", true },
		{ "application/json ; ;charset=x", RC_OK, "application/json",
		    "x", true },
		{ "text/html; x=\"a;charset=b\"", RC_OK, "text/html", "", false },
		{ "application/jsonp", RC_OK, "application/jsonp", "", false },
		{ "application/+json", RC_OK, "application/+json", "", true },
		{ "text/json", RC_OK, "text/json", "", false },
		{ "", RC_SYNTAX, "", "", false },
		{ "json", RC_SYNTAX, "", "", false },
		{ "/json", RC_SYNTAX, "", "", false },
		{ "application/", RC_SYNTAX, "", "", false },
		{ "application /json", RC_SYNTAX, "", "", false },
		{ "application/json, text/html", RC_SYNTAX, "", "", false },
		{ "application/json; charset", RC_SYNTAX, "", "", false },
		{ "application/json; charset=", RC_SYNTAX, "", "", false },
		{ "application/json; charset = utf-8", RC_SYNTAX, "", "", false },
		{ "application/json; charset=\"utf-8", RC_SYNTAX, "", "", false },
		{ "application/json; charset=\"", RC_SYNTAX, "", "", false },
		{ "application/json; charset=\"ut\\f-8\"", RC_SYNTAX, "", "", false },
		{ "application/json; charset=utf-8; charset=utf-16", RC_SYNTAX,
		    "", "", false },
		{ "application/json charset=utf-8", RC_SYNTAX, "", "", false },
		{ "application/json\x01", RC_SYNTAX, "", "", false },
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct span type, charset;

		if (http_media_type(span_of(rows[i].value), &type, &charset) !=
		    rows[i].rc)
			fail_msg("%s", rows[i].value);
		assert_true(span_eq_str(type, rows[i].type));
		if (rows[i].rc == RC_OK) {
			assert_true(span_eq_str(charset, rows[i].charset));
			assert_int_equal(http_media_is_json(type), rows[i].json);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_media_type),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
