/* e3/encrypt.c and batch.c: scope, passing, roles, pieces, refusals. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "e3/encrypt.h"
#include "e3_fixture.h"

static const struct span no_role = { NULL, 0 };

static void
begin(struct buffer *b, const struct rpc_encrypt *e)
{
	buffer_init(b, 0, true);
	rpc_encrypt_put(b, e);
}

static void
put(struct buffer *b, enum rpc_field_type type, struct span bytes,
    struct span role)
{
	const struct rpc_field f = { type, bytes, role };

	assert_int_equal(rpc_encrypt_put_field(b, &f), RC_OK);
}

static void
sealed_token(const struct reply *r, size_t i, struct scheme_token *t)
{
	const struct rpc_value *v = reply_array(r, &i);
	struct rpc_sealed s;

	assert_int_equal(rpc_sealed_at(v, i, &s), RC_OK);
	assert_int_equal(s.status, RPC_SEALED);
	assert_int_equal(scheme_token_parse(s.bytes, t), RC_OK);
}

static void
test_key_scope(void **state)
{
	struct fixture f;

	(void)state;
	fixture_start(&f, 2);
	fixture_app(&f, FIXTURE_APP);
	for (int i = 0; i < 4; i++) {
		const struct rpc_encrypt e = { .app = SPAN_LIT(FIXTURE_APP),
		    .curve = i % 2 ? RPC_CURVE_K1 : RPC_CURVE_R1,
		    .scope = i / 2 ? RPC_SCOPE_FIELD : RPC_SCOPE_REQUEST,
		    .n_fields = 40 };
		struct scheme_token first, t;
		struct buffer b;
		struct reply r;

		begin(&b, &e);
		for (int k = 0; k < 40; k++)
			put(&b, RPC_FIELD_STRING, SPAN_LIT("same"), no_role);
		fixture_call(&f, "Encrypt", &b, &r);
		assert_int_equal(r.status, RPC_STATUS_OK);
		assert_int_equal(r.n, 1);
		sealed_token(&r, 0, &first);
		assert_int_equal(first.version, scheme_token_written(e.curve));
		for (size_t k = 1; k < 40; k++) {
			sealed_token(&r, k, &t);
			assert_int_equal(memcmp(t.ephemeral, first.ephemeral,
			    SCHEME_POINT_BYTES) == 0,
			    e.scope == RPC_SCOPE_REQUEST);
			assert_memory_not_equal(t.iv, first.iv, SCHEME_IV_BYTES);
		}
		reply_fini(&r);
	}
	fixture_stop(&f);
}

/* What opens for this app passes; all else is sealed like any string. */
static void
test_existing(void **state)
{
	char mine[256], theirs[256], cut[256], got[300];
	const struct {
		struct span		value;
		enum rpc_field_type	type;
		enum rpc_existing	existing;
		bool			passed;
	} cases[] = {
		{ { mine, 0 }, RPC_FIELD_STRING, RPC_EXISTING_VERIFY, true },
		{ { mine, 0 }, RPC_FIELD_STRING, RPC_EXISTING_ENCRYPT, false },
		{ { mine, 0 }, RPC_FIELD_NUMBER, RPC_EXISTING_VERIFY, false },
		{ { theirs, 0 }, RPC_FIELD_STRING, RPC_EXISTING_VERIFY, false },
		{ { cut, 0 }, RPC_FIELD_STRING, RPC_EXISTING_VERIFY, false },
		{ SPAN_LIT("ev:"), RPC_FIELD_STRING, RPC_EXISTING_VERIFY,
		    false },
		{ SPAN_LIT("ev:debug:QkTC:yrhJ5BDwBXwEaOMG:AmlPsGkQx2Y4ywAZhw"
		    "R7445iPtAqA+OSk1yAQtU3TDVW:6E0Xo99sbYJkjOiJZj+r0OajYS2Dn"
		    "EhcXY+MJl19x3ztyLMKjo48Ui79HoEY:$"), RPC_FIELD_STRING,
		    RPC_EXISTING_VERIFY, false },
	};
	enum rpc_field_type type;
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	fixture_other_app(&f, FIXTURE_OTHER);
	fixture_seal(&f, FIXTURE_APP, RPC_CURVE_K1, RPC_FIELD_BOOLEAN, "true",
	    mine, sizeof(mine));
	fixture_seal(&f, FIXTURE_OTHER, RPC_CURVE_R1, RPC_FIELD_STRING, "x",
	    theirs, sizeof(theirs));
	(void)snprintf(cut, sizeof(cut), "%.*s:$", (int)strlen(mine) - 6,
	    mine);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rpc_encrypt e = { .app = SPAN_LIT(FIXTURE_APP),
		    .existing = cases[i].existing, .n_fields = 1 };
		struct span v = cases[i].value;
		struct rpc_sealed s;
		struct buffer b;
		struct reply r;

		if (v.len == 0)
			v.len = strlen(v.p);
		begin(&b, &e);
		put(&b, cases[i].type, v, no_role);
		fixture_call(&f, "Encrypt", &b, &r);
		assert_int_equal(r.status, RPC_STATUS_OK);
		assert_int_equal(rpc_sealed_at(r.frames[0].body, 0, &s),
		    RC_OK);
		assert_int_equal(s.status == RPC_PASSED, cases[i].passed);
		if (!cases[i].passed) {
			assert_int_equal(fixture_open(&f, FIXTURE_APP,
			    s.bytes, &type, got, sizeof(got)), RPC_OPEN_OK);
			assert_int_equal(type, cases[i].type);
			assert_int_equal(strlen(got), v.len);
			assert_memory_equal(got, v.p, v.len);
		}
		reply_fini(&r);
	}
	fixture_stop(&f);
}

/* Metadata: role, origin and time as spec/ciphertext.md section 5 wants. */
static void
test_metadata(void **state)
{
	static const char *const roles[] = { "", "a", "test-role",
	    "a-twenty-char-role-x" };
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		const struct rpc_encrypt e = { .app = SPAN_LIT(FIXTURE_APP),
		    .n_fields = 1 };
		size_t n = strlen(roles[i]), m;
		struct scheme_token t;
		struct buffer b;
		struct reply r;

		begin(&b, &e);
		put(&b, RPC_FIELD_STRING, SPAN_LIT("v"), span_of(roles[i]));
		fixture_call(&f, "Encrypt", &b, &r);
		sealed_token(&r, 0, &t);
		m = 1 + (n != 0 ? 4 + n : 0) + 4 + 8;
		assert_int_equal(t.data_bytes, 2 + m + 1 + SCHEME_TAG_BYTES);
		reply_fini(&r);
	}
	fixture_stop(&f);
}

static void
test_refused(void **state)
{
	static const struct {
		const char		*app;
		enum rpc_field_type	type;
		const char		*role;
		enum rpc_role		caller;
		enum rpc_status		status;
	} cases[] = {
		{ "app_ffffffffffff", RPC_FIELD_STRING, "", RPC_ROLE_WORKER,
		    RPC_STATUS_NO_SUCH_APP },
		{ "app_0123456789ab0123456789ab0123456789ab0123456789ab",
		    RPC_FIELD_STRING, "", RPC_ROLE_WORKER,
		    RPC_STATUS_NO_SUCH_APP },
		{ FIXTURE_APP, RPC_FIELD_FILE, "role", RPC_ROLE_WORKER,
		    RPC_STATUS_BAD_REQUEST },
		{ FIXTURE_APP, RPC_FIELD_STRING, "Upper", RPC_ROLE_WORKER,
		    RPC_STATUS_BAD_REQUEST },
		{ FIXTURE_APP, RPC_FIELD_STRING, "twenty-one-characters",
		    RPC_ROLE_WORKER, RPC_STATUS_BAD_REQUEST },
		{ "app_system", RPC_FIELD_STRING, "", RPC_ROLE_WORKER,
		    RPC_STATUS_NOT_ALLOWED },
		{ "app_system", RPC_FIELD_STRING, "", RPC_ROLE_ADMIN,
		    RPC_STATUS_NO_SUCH_APP },
		{ FIXTURE_APP, RPC_FIELD_STRING, "", RPC_ROLE_FEED,
		    RPC_STATUS_NOT_ALLOWED },
		{ FIXTURE_APP, RPC_FIELD_STRING, "", RPC_ROLE_HELPER,
		    RPC_STATUS_NOT_ALLOWED },
		{ FIXTURE_APP, RPC_FIELD_STRING, "", RPC_ROLE_PULSE,
		    RPC_STATUS_NOT_ALLOWED },
	};
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rpc_encrypt e = { .app = span_of(cases[i].app),
		    .n_fields = 1 };
		struct buffer b;
		struct reply r;

		f.peer.role = cases[i].caller;
		begin(&b, &e);
		put(&b, cases[i].type, SPAN_LIT("v"), span_of(cases[i].role));
		fixture_call(&f, "Encrypt", &b, &r);
		assert_int_equal(r.status, cases[i].status);
		assert_int_equal(r.n, 1);
		assert_true(rpc_array_len(r.frames[0].body) == SIZE_MAX);
		reply_fini(&r);
	}
	fixture_stop(&f);
}

/* No fields, one huge one, many: pieces stay below their limit, in order. */
static void
test_pieces(void **state)
{
	static char big[1 << 20];
	struct rpc_encrypt e = { .app = SPAN_LIT(FIXTURE_APP) };
	struct rpc_decrypt d = { .app = SPAN_LIT(FIXTURE_APP),
	    .address = SPAN_LIT("::1") };
	struct rpc_opened o;
	struct fixture f;
	struct buffer b;
	struct reply r, opened;

	(void)state;
	fixture_start(&f, 2);
	fixture_app(&f, FIXTURE_APP);
	begin(&b, &e);
	fixture_call(&f, "Encrypt", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	assert_int_equal(r.n, 1);
	assert_int_equal(rpc_array_len(r.frames[0].body), 0);
	reply_fini(&r);

	e.n_fields = d.n_tokens = 20001;
	begin(&b, &e);
	memset(big, 'x', sizeof(big));
	for (size_t i = 0; i < e.n_fields; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "value %zu", i);
		put(&b, RPC_FIELD_STRING, i == 7 ? (struct span){ big,
		    sizeof(big) } : span_of(text), no_role);
	}
	fixture_call(&f, "Encrypt", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	assert_true(r.n > 10);
	for (unsigned i = 0; i < r.n; i++)
		assert_true(buffer_len(&r.raw[i]) <= RPC_REPLY_PIECE_BYTES ||
		    rpc_array_len(r.frames[i].body) == 1);
	buffer_init(&b, 0, true);
	rpc_decrypt_put(&b, &d);
	for (size_t i = 0; i < e.n_fields; i++) {
		struct rpc_sealed s;
		size_t at = i;
		const struct rpc_value *v = reply_array(&r, &at);

		assert_int_equal(rpc_sealed_at(v, at, &s), RC_OK);
		assert_int_equal(rpc_decrypt_put_token(&b, s.bytes, no_role),
		    RC_OK);
	}
	reply_fini(&r);
	fixture_call(&f, "Decrypt", &b, &opened);
	assert_int_equal(opened.status, RPC_STATUS_OK);
	for (size_t i = 0; i < e.n_fields; i++) {
		size_t at = i;
		const struct rpc_value *v = reply_array(&opened, &at);
		char text[32];

		assert_int_equal(rpc_opened_at(v, at, &o), RC_OK);
		assert_int_equal(o.status, RPC_OPEN_OK);
		(void)snprintf(text, sizeof(text), "value %zu", i);
		if (i == 7)
			assert_true(span_eq(o.bytes, (struct span){ big,
			    sizeof(big) }));
		else
			assert_true(span_eq_str(o.bytes, text));
	}
	reply_fini(&opened);
	fixture_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_scope),
		cmocka_unit_test(test_existing),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_pieces),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
