/* Files through the engine (e3/opening.c, sealing.c): published ones, own
 * ones, changed ones, foreign ones, and how large they may be. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "e3/rewrap.h"
#include "e3_fixture.h"
#include "lib/scheme/file.h"
#include "lib_body_suite.h"

#define LARGE_BYTES	(25u << 20)

static enum rpc_status
seal(struct fixture *f, enum rpc_curve curve, enum rpc_existing existing,
    const struct rpc_field *field, struct reply *r)
{
	struct rpc_encrypt e = { .app = SPAN_LIT(FIXTURE_APP), .curve = curve,
	    .existing = existing, .n_fields = 1 };
	struct buffer b;

	buffer_init(&b, 0, true);
	rpc_encrypt_put(&b, &e);
	assert_int_equal(rpc_encrypt_put_field(&b, field), RC_OK);
	fixture_call(f, "Encrypt", &b, r);
	return (r->status);
}

/* One file, sealed: a view of r, which the caller ends. */
static struct span
seal_file(struct fixture *f, enum rpc_curve curve, struct span value,
    struct reply *r)
{
	struct rpc_sealed s;

	assert_int_equal(seal(f, curve, RPC_EXISTING_VERIFY,
	    &(struct rpc_field){ .type = RPC_FIELD_FILE, .bytes = value }, r),
	    RPC_STATUS_OK);
	assert_int_equal(rpc_sealed_at(r->frames[0].body, 0, &s), RC_OK);
	assert_int_equal(s.status, RPC_SEALED);
	return (s.bytes);
}

static enum rpc_open_status
open_file(struct fixture *f, const char *app, struct span file, char *value,
    size_t size)
{
	enum rpc_field_type type;
	enum rpc_open_status status;

	status = fixture_open(f, app, file, &type, value, size);
	if (status == RPC_OPEN_OK)
		assert_int_equal(type, RPC_FIELD_FILE);
	return (status);
}

/* ---- published files ---- */

struct vector {
	uint8_t		file[256];
	size_t		len;
	char		contents[64];
	char		role[32];
};

static unsigned
vectors(struct vector v[8])
{
	struct body_json json;
	struct buffer text, b;
	unsigned n = 0;

	buffer_init(&text, 0, false);
	suite_file(suite_path("../spec"), "ciphertext-vectors.json", &text);
	assert_int_equal(body_json_read(&json, buffer_data(&text),
	    buffer_len(&text), 0, NULL), RC_OK);
	for (uint32_t t = body_json_child(&json, body_json_member(&json, 0,
	    "files")); t != 0; t = body_json_sibling(&json, t), n++) {
		uint32_t role = body_json_member(&json, t, "role");

		assert_true(n < 8);
		memset(&v[n], 0, sizeof(v[n]));
		suite_text(&json, body_json_member(&json, t, "file_hex"), &b);
		v[n].len = buffer_len(&b) / 2;
		assert_true(v[n].len <= sizeof(v[n].file));
		assert_int_equal(hex_decode(suite_span(&b), v[n].file,
		    v[n].len), RC_OK);
		buffer_fini(&b);
		suite_text(&json, body_json_member(&json, t, "contents_hex"),
		    &b);
		assert_int_equal(hex_decode(suite_span(&b), v[n].contents,
		    buffer_len(&b) / 2), RC_OK);
		buffer_fini(&b);
		if (json.nodes[role].type == BODY_JSON_STRING) {
			suite_text(&json, role, &b);
			assert_true(span_copy(suite_span(&b), v[n].role,
			    sizeof(v[n].role)));
			buffer_fini(&b);
		}
	}
	body_json_fini(&json);
	buffer_fini(&text);
	return (n);
}

static struct span
file_of(const struct vector *v)
{
	return ((struct span){ (const char *)v->file, v->len });
}

static void
test_published_files(void **state)
{
	struct vector v[8];
	struct fixture f;
	char got[64];
	unsigned seen = 0, n;

	(void)state;
	n = vectors(v);
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	fixture_other_app(&f, FIXTURE_OTHER);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(open_file(&f, FIXTURE_APP, file_of(&v[i]), got,
		    sizeof(got)), RPC_OPEN_OK);
		assert_string_equal(got, v[i].contents);
		assert_int_equal(open_file(&f, FIXTURE_OTHER, file_of(&v[i]),
		    got, sizeof(got)), RPC_OPEN_WRONG_APP_OR_CHANGED);
		assert_string_equal(got, "");
		seen |= 1u << v[i].file[6];
	}
	assert_int_equal(seen, 0x3f);		/* every version */
	fixture_stop(&f);
}

/* Without additional data the sign of the ephemeral key changes nothing: the
 * shared x is the same.  Nor does it change the value. */
static bool
is_sign(const struct vector *v, size_t bit)
{
	return (bit == 8 * 9 && (v->file[6] == 0 || v->file[6] == 2));
}

/* Every bit of each: nothing opens, with a checksum made to fit too. */
static void
test_every_bit_of_published_files(void **state)
{
	struct vector v[8];
	struct fixture f;
	char got[64];
	unsigned n, signs = 0;

	(void)state;
	n = vectors(v);
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (unsigned i = 0; i < n; i++)
		for (size_t k = 0; k < 2 * 8 * v[i].len; k++) {
			const size_t bit = k / 2;
			const bool fit = k % 2 != 0;
			struct vector w = v[i];
			enum rpc_open_status status;

			w.file[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (fit && (w.file[6] < 2 || bit / 8 >= w.len - 4))
				continue;
			if (fit)
				scheme_file_print_end(w.file, w.len);
			status = open_file(&f, FIXTURE_APP, file_of(&w), got,
			    sizeof(got));
			if (status == RPC_OPEN_OK && is_sign(&w, bit)) {
				assert_string_equal(got, w.contents);
				signs++;
				continue;
			}
			if (status == RPC_OPEN_OK)
				fail_msg("file %u bit %zu fit %d", i, bit, fit);
			if (fit && bit == 8 * 54)
				assert_int_equal(status, RPC_OPEN_DEBUG);
			assert_string_equal(got, "");
		}
	assert_int_equal(signs, 2);
	fixture_stop(&f);
}

/* The role of versions 4 and 5 stands in their metadata. */
static void
test_roles_of_files(void **state)
{
	static const struct span asked[] = { SPAN_LIT("test-role"),
	    SPAN_LIT("another") };
	struct vector v[8];
	struct fixture f;
	unsigned n, with = 0;

	(void)state;
	n = vectors(v);
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < 2; k++) {
			struct rpc_decrypt d = { .app = SPAN_LIT(FIXTURE_APP),
			    .address = SPAN_LIT("127.0.0.1"), .n_tokens = 1 };
			struct rpc_opened o;
			struct buffer b;
			struct reply r;

			buffer_init(&b, 0, true);
			rpc_decrypt_put(&b, &d);
			assert_int_equal(rpc_decrypt_put_token(&b,
			    file_of(&v[i]), asked[k]), RC_OK);
			fixture_call(&f, "Decrypt", &b, &r);
			assert_int_equal(rpc_opened_at(r.frames[0].body, 0, &o),
			    RC_OK);
			assert_int_equal(o.status, span_eq_str(asked[k],
			    v[i].role) ? RPC_OPEN_OK : RPC_OPEN_OTHER_ROLE);
			with += o.status == RPC_OPEN_OK;
			reply_fini(&r);
		}
	assert_int_equal(with, 2);
	fixture_stop(&f);
}

/* ---- own files ---- */

static void
test_what_we_write(void **state)
{
	static const char value[] = "%EVENC is how it begins";
	struct span first, second;
	struct reply r, again;
	struct fixture f;
	char got[64];

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (int curve = 0; curve < 2; curve++)
		for (size_t n = 0; n < sizeof(value); n++) {
			struct span in = { value, n };

			first = seal_file(&f, (enum rpc_curve)curve, in, &r);
			second = seal_file(&f, (enum rpc_curve)curve, in,
			    &again);
			assert_int_equal(first.len, scheme_file_len(n));
			assert_int_equal(first.p[6],
			    curve == RPC_CURVE_R1 ? 3 : 2);
			/* another ephemeral key, another IV */
			assert_memory_not_equal(first.p + 10, second.p + 10, 32);
			assert_memory_not_equal(first.p + 42, second.p + 42, 12);
			assert_int_equal(open_file(&f, FIXTURE_APP, first, got,
			    sizeof(got)), RPC_OPEN_OK);
			assert_int_equal(strlen(got), n);
			assert_memory_equal(got, value, n);
			reply_fini(&r);
			reply_fini(&again);
		}
	fixture_stop(&f);
}

/* What opens already passes, where that is asked for; a file's type is asked
 * for, too. */
static void
test_existing(void **state)
{
	enum { FILE_, STRING };
	static const struct {
		int			sealed, given;
		enum rpc_existing	existing;
		enum rpc_seal_status	want;
	} cases[] = {
		{ FILE_, FILE_, RPC_EXISTING_VERIFY, RPC_PASSED },
		{ FILE_, FILE_, RPC_EXISTING_ENCRYPT, RPC_SEALED },
		{ FILE_, STRING, RPC_EXISTING_VERIFY, RPC_SEALED },
		{ STRING, FILE_, RPC_EXISTING_VERIFY, RPC_SEALED },
		{ STRING, STRING, RPC_EXISTING_VERIFY, RPC_PASSED },
	};
	static const enum rpc_field_type types[] = {
		[FILE_] = RPC_FIELD_FILE, [STRING] = RPC_FIELD_STRING };
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rpc_field field = { .type = types[cases[i].sealed],
		    .bytes = SPAN_LIT("x") };
		struct reply first, second;
		struct rpc_sealed s;

		assert_int_equal(seal(&f, RPC_CURVE_R1, RPC_EXISTING_VERIFY,
		    &field, &first), RPC_STATUS_OK);
		assert_int_equal(rpc_sealed_at(first.frames[0].body, 0, &s),
		    RC_OK);
		field.type = types[cases[i].given];
		field.bytes = s.bytes;
		assert_int_equal(seal(&f, RPC_CURVE_R1, cases[i].existing,
		    &field, &second), RPC_STATUS_OK);
		assert_int_equal(rpc_sealed_at(second.frames[0].body, 0, &s),
		    RC_OK);
		if (s.status != cases[i].want)
			fail_msg("case %zu", i);
		reply_fini(&first);
		reply_fini(&second);
	}
	fixture_stop(&f);
}

/* Files and values side by side, keys shared and not. */
static void
test_among_values(void **state)
{
	struct rpc_encrypt e = { .app = SPAN_LIT(FIXTURE_APP), .n_fields = 60 };
	enum rpc_field_type type;
	struct rpc_sealed s;
	struct fixture f;
	struct buffer b;
	struct reply r;
	char got[64];

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (unsigned how = 0; how < 4; how++) {
		e.curve = (enum rpc_curve)(how & 1);
		e.scope = (enum rpc_key_scope)(how >> 1);
		buffer_init(&b, 0, true);
		rpc_encrypt_put(&b, &e);
		for (unsigned i = 0; i < 60; i++)
			assert_int_equal(rpc_encrypt_put_field(&b,
			    &(struct rpc_field){ .type =
			    (enum rpc_field_type)(i % 4),
			    .bytes = SPAN_LIT("1") }), RC_OK);
		fixture_call(&f, "Encrypt", &b, &r);
		assert_int_equal(r.status, RPC_STATUS_OK);
		for (size_t i = 0; i < 60; i++) {
			assert_int_equal(rpc_sealed_at(r.frames[0].body, i, &s),
			    RC_OK);
			assert_int_equal(fixture_open(&f, FIXTURE_APP, s.bytes,
			    &type, got, sizeof(got)), RPC_OPEN_OK);
			assert_int_equal(type, i % 4);
			assert_string_equal(got, "1");
		}
		reply_fini(&r);
	}
	fixture_stop(&f);
}

static void
test_no_roles_for_files(void **state)
{
	struct fixture f;
	struct reply r;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	assert_int_equal(seal(&f, RPC_CURVE_R1, RPC_EXISTING_VERIFY,
	    &(struct rpc_field){ .type = RPC_FIELD_FILE, .bytes = SPAN_LIT("x"),
	    .role = SPAN_LIT("pci") }, &r), RPC_STATUS_BAD_REQUEST);
	reply_fini(&r);
	fixture_stop(&f);
}

/* Rewrap gives a file for a file; one with a role would lose it. */
static void
test_rewrap(void **state)
{
	struct rpc_rewrap w = { .app = SPAN_LIT(FIXTURE_APP),
	    .curve = RPC_CURVE_R1, .n_tokens = 6 };
	struct rpc_rewrapped one;
	struct vector v[8];
	struct fixture f;
	struct buffer b;
	struct reply r;
	char got[64];

	(void)state;
	assert_int_equal(vectors(v), 6);
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	f.permitted = e3_rewrap;
	buffer_init(&b, 0, true);
	rpc_rewrap_put(&b, &w);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(rpc_decrypt_put_token(&b, file_of(&v[i]),
		    (struct span){ NULL, 0 }), RC_OK);
	fixture_call(&f, "Rewrap", &b, &r);
	f.permitted = NULL;
	assert_int_equal(r.status, RPC_STATUS_OK);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(rpc_rewrapped_at(r.frames[0].body, i, &one),
		    RC_OK);
		if (v[i].role[0] != '\0') {
			assert_int_equal(one.status,
			    RPC_OPEN_WRONG_APP_OR_CHANGED);
			continue;
		}
		assert_int_equal(one.status, RPC_OPEN_OK);
		assert_int_equal(one.token.p[6], 3);
		assert_int_equal(open_file(&f, FIXTURE_APP, one.token, got,
		    sizeof(got)), RPC_OPEN_OK);
		assert_string_equal(got, v[i].contents);
	}
	reply_fini(&r);
	fixture_stop(&f);
}

/* One element longer than a piece is one longer frame. */
static void
test_large(void **state)
{
	struct rpc_decrypt d = { .app = SPAN_LIT(FIXTURE_APP),
	    .address = SPAN_LIT("127.0.0.1"), .n_tokens = 2 };
	struct span file, in = { NULL, LARGE_BYTES };
	const struct rpc_value *body;
	struct rpc_opened o;
	struct fixture f;
	struct reply r, opened;
	struct buffer b;
	char *value;
	size_t at = 0;

	(void)state;
	value = malloc(LARGE_BYTES);
	assert_non_null(value);
	for (size_t i = 0; i < LARGE_BYTES; i++)
		value[i] = (char)(i * 31 + (i >> 8));
	in.p = value;
	fixture_start(&f, 2);
	fixture_app(&f, FIXTURE_APP);
	file = seal_file(&f, RPC_CURVE_R1, in, &r);
	assert_int_equal(r.n, 1);
	buffer_init(&b, 0, true);
	rpc_decrypt_put(&b, &d);
	assert_int_equal(rpc_decrypt_put_token(&b, SPAN_LIT("ev:"),
	    (struct span){ NULL, 0 }), RC_OK);
	assert_int_equal(rpc_decrypt_put_token(&b, file,
	    (struct span){ NULL, 0 }), RC_OK);
	fixture_call(&f, "Decrypt", &b, &opened);
	assert_int_equal(opened.status, RPC_STATUS_OK);
	body = reply_array(&opened, &at);
	assert_int_equal(rpc_opened_at(body, at, &o), RC_OK);
	assert_int_equal(o.status, RPC_OPEN_NOT_A_TOKEN);
	at = 1;
	body = reply_array(&opened, &at);
	assert_int_equal(rpc_opened_at(body, at, &o), RC_OK);
	assert_int_equal(o.status, RPC_OPEN_OK);
	assert_int_equal(o.type, RPC_FIELD_FILE);
	assert_int_equal(o.bytes.len, LARGE_BYTES);
	assert_memory_equal(o.bytes.p, value, LARGE_BYTES);
	reply_fini(&opened);
	reply_fini(&r);
	fixture_stop(&f);
	free(value);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_files),
		cmocka_unit_test(test_every_bit_of_published_files),
		cmocka_unit_test(test_roles_of_files),
		cmocka_unit_test(test_what_we_write),
		cmocka_unit_test(test_existing),
		cmocka_unit_test(test_among_values),
		cmocka_unit_test(test_no_roles_for_files),
		cmocka_unit_test(test_rewrap),
		cmocka_unit_test(test_large),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
