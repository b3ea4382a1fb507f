/*
 * worker/content_coding.c: what is undone of a head and of a body, what is
 * refused how, what a destination is told that it may send.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "worker/content_coding.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define LIMIT		(1u << 20)

/* ---- heads ---- */

static void
head_of(struct http_head *head, struct buffer *text, const char *fields)
{
	buffer_init(text, 0, false);
	buffer_printf(text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	http_head_init(head);
	assert_int_equal(http_head_request(head, buffer_data(text), buffer_len(text),
	    &HTTP_LIMITS_DEFAULT), RC_OK);
}

static void
test_judge(void **state)
{
	static const struct {
		const char	*fields;
		enum rc		rc;
		enum http_coding coding;
	} rows[] = {
		{ "", RC_OK, HTTP_CODING_IDENTITY },
		{ "Content-Encoding: identity\r\n", RC_OK, HTTP_CODING_IDENTITY },
		{ "Content-Encoding: GZIP\r\n", RC_OK, HTTP_CODING_GZIP },
		{ "Content-Encoding: br\r\n", RC_OK, HTTP_CODING_BR },
		{ "Content-Encoding:\r\n", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
		{ "Content-Encoding: gzip,gzip\r\n", RC_UNSUPPORTED,
		    HTTP_CODING_IDENTITY },
		{ "Content-Encoding: br\r\nContent-Encoding: br\r\n", RC_UNSUPPORTED,
		    HTTP_CODING_IDENTITY },
		{ "Content-Encoding: exi\r\n", RC_UNSUPPORTED, HTTP_CODING_IDENTITY },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum http_coding coding = HTTP_CODING_ZSTD;
		struct http_head head;
		struct buffer text;

		head_of(&head, &text, rows[i].fields);
		if (content_coding_judge(&head, &coding) != rows[i].rc ||
		    coding != rows[i].coding)
			fail_msg("%s: %s", rows[i].fields, http_coding_name(coding));
		http_head_fini(&head);
		buffer_fini(&text);
	}
}

static void
test_accept(void **state)
{
	static const struct {
		const char	*fields;
		const char	*want;
	} rows[] = {
		{ "", "identity" },
		{ "Accept-Encoding:\r\n", "identity" },
		{ "Accept-Encoding: identity\r\n", "identity" },
		{ "Accept-Encoding: gzip\r\n", "gzip" },
		{ "Accept-Encoding: x-gzip\r\n", "gzip" },
		{ "Accept-Encoding: compress, exi, dcb\r\n", "identity" },
		{ "Accept-Encoding: gzip, deflate, br, zstd\r\n",
		    "zstd, br, gzip, deflate" },
		{ "Accept-Encoding: GZip;q=0.8, compress;q=1, br ; q=1.000\r\n",
		    "br;q=1.000, gzip;q=0.8" },
		{ "Accept-Encoding: br\r\nX: y\r\nAccept-Encoding: gzip\r\n",
		    "br, gzip" },
		/* refused */
		{ "Accept-Encoding: gzip;q=0, br\r\n", "br" },
		{ "Accept-Encoding: gzip;q=0.000\r\n", "identity" },
		{ "Accept-Encoding: gzip, gzip;q=0\r\n", "identity" },
		{ "Accept-Encoding: identity;q=0, gzip\r\n", "gzip" },
		/* any */
		{ "Accept-Encoding: *\r\n", "zstd, br, gzip, deflate" },
		{ "Accept-Encoding: *;q=0\r\n", "identity" },
		{ "Accept-Encoding: gzip, *;q=0\r\n", "gzip" },
		{ "Accept-Encoding: *;q=0.1, gzip\r\n",
		    "zstd;q=0.1, br;q=0.1, gzip, deflate;q=0.1" },
		{ "Accept-Encoding: gzip;q=0\r\nAccept-Encoding: *;q=0.5\r\n",
		    "zstd;q=0.5, br;q=0.5, deflate;q=0.5" },
		/* what nobody can read is not asked for */
		{ "Accept-Encoding: gzip;q=2\r\n", "identity" },
		{ "Accept-Encoding: gzip;q=1.001\r\n", "identity" },
		{ "Accept-Encoding: gzip;q=0.1234\r\n", "identity" },
		{ "Accept-Encoding: gzip;q=\r\n", "identity" },
		{ "Accept-Encoding: gzip;x=1\r\n", "identity" },
		{ "Accept-Encoding: gzip;q=0.5;q=0\r\n", "identity" },
		{ "Accept-Encoding: gzip;\r\n", "identity" },
		{ "Accept-Encoding: gzip;q=1,,br;q=a\r\n", "gzip;q=1" },
		{ "Accept-Encoding: gzip br\r\n", "identity" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_head head;
		struct buffer text, out, want;

		head_of(&head, &text, rows[i].fields);
		buffer_init(&out, 0, false);
		buffer_init(&want, 0, false);
		content_coding_write_accept(&head, &out);
		buffer_printf(&want, "Accept-Encoding: %s\r\n", rows[i].want);
		assert_string_equal(buffer_cstr(&out), buffer_cstr(&want));
		http_head_fini(&head);
		buffer_fini(&text);
		buffer_fini(&out);
		buffer_fini(&want);
	}
}

/* ---- bodies ---- */

static void
check_body(struct buffer *body, const char *want, size_t len)
{
	assert_true(body->sensitive);
	assert_int_equal(buffer_len(body), len);
	if (len != 0)
		assert_memory_equal(buffer_data(body), want, len);
}

static void
test_there_and_back(void **state)
{
	static const char text[] = "{\"card\":\"4111111111111111\"}";

	(void)state;
	for (unsigned i = 0; i < HTTP_CODINGS; i++) {
		enum http_coding coding = (enum http_coding)i;
		struct buffer body, again;
		size_t len;

		buffer_init(&body, 0, true);
		buffer_init(&again, 0, true);
		/* nothing is nothing */
		assert_int_equal(content_coding_undo(coding, &body, 0), RC_OK);
		assert_int_equal(buffer_len(&body), 0);
		buffer_puts(&body, text);
		assert_int_equal(content_coding_redo(coding, &body), RC_OK);
		len = buffer_len(&body);
		buffer_put(&again, buffer_data(&body), len);
		if (coding != HTTP_CODING_IDENTITY) {
			/* what cannot be undone stays as it came */
			assert_int_equal(content_coding_undo(coding, &body,
			    sizeof(text) - 2), RC_LIMIT);
			check_body(&body, buffer_data(&again), len);
			buffer_puts(&body, "x");
			assert_int_equal(content_coding_undo(coding, &body, LIMIT),
			    RC_SYNTAX);
			buffer_truncate(&body, len);
			check_body(&body, buffer_data(&again), len);
			buffer_truncate(&body, len - 1);
			assert_int_equal(content_coding_undo(coding, &body, LIMIT),
			    RC_SYNTAX);
		}
		assert_int_equal(content_coding_undo(coding, &again, sizeof(text) - 1),
		    RC_OK);
		check_body(&again, text, sizeof(text) - 1);
		buffer_fini(&body);
		buffer_fini(&again);
	}
}

/* As many zeros as may be held, and more than anybody sends. */
static void
test_ratio(void **state)
{
	static const char zeros[LIMIT];

	(void)state;
	for (unsigned i = HTTP_CODING_GZIP; i < HTTP_CODINGS; i++) {
		struct buffer body;

		buffer_init(&body, 0, true);
		buffer_put(&body, zeros, sizeof(zeros));
		assert_int_equal(content_coding_redo((enum http_coding)i, &body), RC_OK);
		assert_int_equal(content_coding_undo((enum http_coding)i, &body, LIMIT),
		    RC_LIMIT);
		buffer_fini(&body);
	}
}

static void
test_errors(void **state)
{
	const char *why = NULL;

	(void)state;
	assert_int_equal(content_coding_error(RC_LIMIT, &why), ERROR_PAYLOAD_TOO_LARGE);
	assert_int_equal(content_coding_error(RC_NOMEM, &why), ERROR_OVERLOADED);
	assert_int_equal(content_coding_error(RC_SYNTAX, &why), ERROR_MALFORMED_BODY);
	assert_non_null(why);
}

static void
test_write(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, 0, false);
	content_coding_write(HTTP_CODING_IDENTITY, &out);
	assert_int_equal(buffer_len(&out), 0);
	content_coding_write(HTTP_CODING_BR, &out);
	assert_string_equal(buffer_cstr(&out), "Content-Encoding: br\r\n");
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_ratio),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_write),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
