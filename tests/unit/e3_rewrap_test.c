/* e3/rewrap.c: published and own tokens of every version sealed again, with
 * role and time; changed and foreign ones told apart; no value in a reply. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "e3/batch.h"
#include "e3/opening.h"
#include "e3/rewrap.h"
#include "e3_fixture.h"
#include "lib/base/clock.h"
#include "lib_body_suite.h"

#define VECTORS_SEALED_S	1700000000	/* as they say */

static void
start(struct fixture *f)
{
	fixture_start(f, 1);
	fixture_app(f, FIXTURE_APP);
	fixture_other_app(f, FIXTURE_OTHER);
	f->peer.role = RPC_ROLE_ADMIN;
	f->permitted = e3_rewrap;
}

static void
begin(struct buffer *b, const char *app, enum rpc_curve curve, size_t n)
{
	const struct rpc_rewrap r = { .app = span_of(app), .curve = curve,
	    .n_tokens = n };

	buffer_init(b, 0, true);
	rpc_rewrap_put(b, &r);
}

/* One token; text is empty unless its status is OK. */
static enum rpc_open_status
rewrap(struct fixture *f, const char *app, enum rpc_curve curve,
    struct span token, char text[512])
{
	struct rpc_rewrapped got;
	struct buffer b;
	struct reply r;

	begin(&b, app, curve, 1);
	assert_int_equal(rpc_decrypt_put_token(&b, token, SPAN_LIT("")),
	    RC_OK);
	fixture_call(f, "Rewrap", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	assert_int_equal(rpc_array_len(r.frames[0].body), 1);
	assert_int_equal(rpc_rewrapped_at(r.frames[0].body, 0, &got), RC_OK);
	assert_true(span_copy(got.token, text, 512));
	assert_int_equal(text[0] != '\0', got.status == RPC_OPEN_OK);
	reply_fini(&r);
	return (got.status);
}

/* What is in a token, with its metadata. */
static void
check_content(struct fixture *f, const char *token, const char *value,
    enum rpc_field_type type, struct span role, uint32_t from_s, uint32_t to_s)
{
	struct e3_call call = { .app = e3_keyring_app(f->engine.keyring,
	    span_of(FIXTURE_APP)) };
	struct scheme_crypto *crypto = f->engine.crypto;
	struct e3_opening opening = { .n = 0 };
	struct e3_opened o;
	size_t cost = 0;

	assert_int_equal(e3_opening_open(&opening, &call, crypto,
	    span_of(token), &o, &cost), RC_OK);
	assert_int_equal(o.status, RPC_OPEN_OK);
	assert_int_equal(o.type, type);
	assert_true(span_eq_str(o.value, value));
	assert_true(span_eq(o.metadata.role, role));
	assert_in_range(o.metadata.sealed_s, from_s, to_s);
	buffer_clear(scheme_crypto_scratch(crypto));
	e3_opening_fini(&opening);
}

static uint32_t
now_s(void)
{
	return ((uint32_t)(clock_wall_ms() / 1000));
}

struct member {
	char	text[512];
	bool	there;
};

static struct member
member(const struct body_json *j, uint32_t object, const char *name)
{
	uint32_t node = body_json_member(j, object, name);
	struct member m = { .there = false };
	struct buffer b;

	if (node == 0 || j->nodes[node].type == BODY_JSON_NULL)
		return (m);
	buffer_init(&b, 0, false);
	suite_text(j, node, &b);
	assert_true(span_copy(suite_span(&b), m.text, sizeof(m.text)));
	buffer_fini(&b);
	m.there = true;
	return (m);
}

/* A published token, to the key of either curve. */
static void
check_vector(struct fixture *f, const struct body_json *j, uint32_t node)
{
	const struct member token = member(j, node, "ciphertext");
	const struct member plain = member(j, node, "plaintext_utf8");
	const struct member type = member(j, node, "type");
	const struct member role = member(j, node, "role");
	const struct member metadata = member(j, node, "metadata");
	const uint32_t sealed_s = metadata.text[0] != '\0' ? VECTORS_SEALED_S :
	    0;
	struct scheme_token t;
	char text[512];

	for (int i = 0; i < 2; i++) {
		const enum rpc_curve curve = (enum rpc_curve)i;

		assert_int_equal(rewrap(f, FIXTURE_APP, curve,
		    span_of(token.text), text), RPC_OPEN_OK);
		assert_int_equal(scheme_token_parse(span_of(text), &t), RC_OK);
		assert_int_equal(t.version, scheme_token_written(curve));
		check_content(f, text, plain.text,
		    strcmp(type.text, "number") == 0 ? RPC_FIELD_NUMBER :
		    strcmp(type.text, "boolean") == 0 ? RPC_FIELD_BOOLEAN :
		    RPC_FIELD_STRING, span_of(role.text),
		    sealed_s, sealed_s);
		assert_int_equal(rewrap(f, FIXTURE_OTHER, curve,
		    span_of(token.text), text), RPC_OPEN_WRONG_APP_OR_CHANGED);
	}
}

static void
test_vectors(void **state)
{
	struct body_json j;
	struct buffer text;
	struct fixture f;
	unsigned n = 0, broken = 0;
	char got[512];

	(void)state;
	buffer_init(&text, 0, false);
	suite_file(suite_path("../spec"), "ciphertext-vectors.json", &text);
	assert_int_equal(body_json_read(&j, buffer_data(&text),
	    buffer_len(&text), 0, NULL), RC_OK);
	start(&f);
	for (uint32_t t = body_json_child(&j, body_json_member(&j, 0,
	    "tokens")); t != 0; t = body_json_sibling(&j, t), n++)
		check_vector(&f, &j, t);
	for (uint32_t t = body_json_child(&j, body_json_member(&j, 0,
	    "must_fail")); t != 0; t = body_json_sibling(&j, t), broken++) {
		const struct member token = member(&j, t, "token");

		assert_int_equal(rewrap(&f, FIXTURE_APP, RPC_CURVE_R1,
		    span_of(token.text), got), RPC_OPEN_WRONG_APP_OR_CHANGED);
	}
	assert_true(n >= 24 && broken >= 4);
	fixture_stop(&f);
	body_json_fini(&j);
	buffer_fini(&text);
}

/* One bit off anywhere, and there is no new token. */
static void
test_every_bit(void **state)
{
	char text[512], got[512];
	struct fixture f;

	(void)state;
	start(&f);
	f.permitted = NULL;
	fixture_seal(&f, FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_BOOLEAN, "true",
	    text, sizeof(text));
	f.permitted = e3_rewrap;
	for (size_t bit = 0, n = strlen(text); bit < 8 * n; bit++) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		if (rewrap(&f, FIXTURE_APP, RPC_CURVE_R1, (struct span){ text,
		    n }, got) == RPC_OPEN_OK)
			fail_msg("bit %zu changed nothing", bit);
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	fixture_stop(&f);
}

static bool
holds(const struct buffer *b, const char *text)
{
	return (buffer_len(b) != 0 && memmem(buffer_data(b), buffer_len(b),
	    text, strlen(text)) != NULL);
}

/* Many in one call: in order, what fails beside what opens, one ephemeral key,
 * and no value in the reply. */
static void
test_many(void **state)
{
	enum { N = 5000 };
	static const char value[] = "4111 1111 1111 1111 plain";
	const struct rpc_field field = { RPC_FIELD_STRING, span_of(value),
	    SPAN_LIT("pci") };
	uint8_t ephemeral[SCHEME_POINT_BYTES] = { 0 };
	char good[512], foreign[512], text[512];
	struct rpc_rewrapped got;
	struct scheme_token t;
	struct fixture f;
	struct buffer b;
	struct reply r;

	(void)state;
	start(&f);
	f.permitted = NULL;
	fixture_seal_field(&f, FIXTURE_APP, RPC_CURVE_K1, &field, good,
	    sizeof(good));
	fixture_seal_field(&f, FIXTURE_OTHER, RPC_CURVE_K1, &field, foreign,
	    sizeof(foreign));
	f.permitted = e3_rewrap;
	begin(&b, FIXTURE_APP, RPC_CURVE_R1, N);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(rpc_decrypt_put_token(&b, i % 5 == 1 ?
		    span_of(foreign) : i % 5 == 2 ? SPAN_LIT("ev:4111") :
		    i % 5 == 3 ? SPAN_LIT("") : span_of(good), SPAN_LIT("")),
		    RC_OK);
	fixture_call(&f, "Rewrap", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	assert_true(r.n > 1);
	for (unsigned i = 0; i < r.n; i++)
		assert_false(holds(&r.raw[i], "4111 1111"));
	for (size_t i = 0; i < N; i++) {
		size_t at = i;
		const struct rpc_value *v = reply_array(&r, &at);

		assert_int_equal(rpc_rewrapped_at(v, at, &got), RC_OK);
		assert_int_equal(got.status, i % 5 == 1 ?
		    RPC_OPEN_WRONG_APP_OR_CHANGED : i % 5 == 2 || i % 5 == 3 ?
		    RPC_OPEN_NOT_A_TOKEN : RPC_OPEN_OK);
		if (got.status != RPC_OPEN_OK)
			continue;
		assert_int_equal(scheme_token_parse(got.token, &t), RC_OK);
		if (i == 0)
			memcpy(ephemeral, t.ephemeral, sizeof(ephemeral));
		assert_memory_equal(t.ephemeral, ephemeral, sizeof(ephemeral));
		assert_true(span_copy(got.token, text, sizeof(text)));
		if (i % 1000 == 0)
			check_content(&f, text, value, RPC_FIELD_STRING,
			    SPAN_LIT("pci"), now_s() - 20, now_s());
	}
	reply_fini(&r);
	fixture_stop(&f);
}

static void
no_pieces(void *arg, struct sched_job *job, struct sched_pieces *pieces,
    bool done)
{
	(void)arg;
	(void)job;
	(void)pieces;
	(void)done;
	fail_msg("a job was taken");
}

/* The work on a thread's memory that can be looked at: a scheduler that takes
 * nothing leaves it to us. */
static void
test_nothing_left(void **state)
{
	const struct sched_config config = { .threads = 1, .max_jobs = 0,
	    .slice_cost = 1, .on_pieces = no_pieces };
	static const char value[] = "4111 1111 1111 1111 plain";
	struct buffer *scratch, b;
	struct e3_call *c;
	struct fixture f;
	struct sched *none;
	char text[512];
	size_t cost = 0;

	(void)state;
	start(&f);
	f.permitted = NULL;
	fixture_seal(&f, FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_STRING, value,
	    text, sizeof(text));
	f.permitted = e3_rewrap;
	none = sched_new(f.loop, &config);
	f.peer.sched = none;
	begin(&b, FIXTURE_APP, RPC_CURVE_R1, 1);
	assert_int_equal(rpc_decrypt_put_token(&b, span_of(text),
	    SPAN_LIT("")), RC_OK);
	c = fixture_begin(&f, "Rewrap", &b);
	assert_false(c->served.submitted);
	assert_true(rpc_batch_run(&c->served.job, f.engine.crypto, &cost));
	assert_int_equal(c->n_sealed, 1);
	scratch = scheme_crypto_scratch(f.engine.crypto);
	assert_int_equal(buffer_len(scratch), 0);
	assert_true(scratch->cap > sizeof(value));
	assert_null(memmem(scratch->mem, scratch->cap, value,
	    sizeof(value) - 1));
	fixture_end(&c);
	f.peer.sched = f.engine.sched;
	sched_free(&none);
	fixture_stop(&f);
}

/* Sealed by hand with metadata that no SDK writes. */
static void
seal_with(struct fixture *f, const char *metadata, size_t n, char text[512])
{
	const struct e3_app *app = e3_keyring_app(f->engine.keyring,
	    span_of(FIXTURE_APP));
	const struct e3_key_pair *p = e3_app_sealing_pair(app, RPC_CURVE_R1);
	struct scheme_ecdh *ecdh = scheme_crypto_ecdh(f->engine.crypto);
	struct scheme_token t = { .version = SCHEME_TOKEN_QKTC };
	uint8_t *work = scheme_crypto_work(f->engine.crypto);
	uint8_t data[256], aad[SCHEME_AAD_BYTES_MAX], z[SCHEME_SECRET_BYTES];
	struct scheme_public_key pub;
	size_t len = n + 5 + SCHEME_TAG_BYTES;

	assert_int_equal(scheme_ecdh_generate(ecdh, RPC_CURVE_R1, work, &pub),
	    RC_OK);
	assert_int_equal(scheme_ecdh_agree(ecdh, RPC_CURVE_R1, work, &p->pub, z),
	    RC_OK);
	assert_int_equal(scheme_ecies_kdf(f->engine.crypto, RPC_CURVE_R1, z, &pub,
	    work), RC_OK);
	scheme_token_set_ephemeral(&t, pub.compressed);
	assert_int_equal(scheme_ecies_seal(f->engine.crypto, work, t.iv,
	    (struct span){ (const char *)aad, scheme_token_aad(&t,
	    p->pub.compressed, aad) }, (struct span){ metadata, n },
	    SPAN_LIT("value"), data), RC_OK);
	scheme_token_print(&t, data, len, text);
	text[scheme_token_len(RPC_FIELD_STRING, len)] = '\0';
}

/* A role that we could not write, and so would drop, keeps the token as it
 * is; one that we can, in any form, and a time, are kept.  A time that nobody
 * knows stays so: it must not become that of a new value. */
static void
test_foreign_metadata(void **state)
{
	static const struct {
		const char		*bytes;
		size_t			n;
		enum rpc_open_status	status;
		struct span		role;
		uint32_t		sealed_s;	/* 0: not known */
	} cases[] = {
		{ "\x05\0\x81\xa2" "et\x07", 7, RPC_OPEN_OK, { "", 0 }, 7 },
		{ "\x08\0\x81\xa2" "dr\xd9\x02" "me", 10, RPC_OPEN_OK,
		    { "me", 2 }, 0 },
		{ "\x07\0\x81\xa2" "dr\xa2" "Me", 9,
		    RPC_OPEN_WRONG_APP_OR_CHANGED, { "", 0 }, 0 },
		{ "\x1a\0\x81\xa2" "dr\xb5" "abcdefghijklmnopqrstu", 28,
		    RPC_OPEN_WRONG_APP_OR_CHANGED, { "", 0 }, 0 },
		{ "\x05\0\x81\xa2" "dr\xa0", 7, RPC_OPEN_OK, { "", 0 }, 0 },
		{ "\x02\0\x80\x80", 4, RPC_OPEN_WRONG_APP_OR_CHANGED,
		    { "", 0 }, 0 },
	};
	char text[512], got[512];
	struct fixture f;

	(void)state;
	start(&f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		seal_with(&f, cases[i].bytes, cases[i].n, text);
		assert_int_equal(rewrap(&f, FIXTURE_APP, RPC_CURVE_K1,
		    span_of(text), got), cases[i].status);
		if (cases[i].status != RPC_OPEN_OK)
			continue;
		check_content(&f, got, "value", RPC_FIELD_STRING,
		    cases[i].role, cases[i].sealed_s, cases[i].sealed_s);
	}
	fixture_stop(&f);
}

/* The app one version later, its pair i in this state; i may be a new one of
 * P-256. */
static void
set_pair(struct fixture *f, unsigned i, enum e3_pair_state pair_state)
{
	struct e3_app *app = e3_keyring_app(f->engine.keyring,
	    span_of(FIXTURE_APP)), *next;
	struct e3_key_pair *p;

	assert_int_equal(e3_app_copy(app, i == app->n_pairs, 0, &next), RC_OK);
	next->version++;
	p = &next->pairs[i];
	p->state = pair_state;
	if (i == app->n_pairs) {
		p->curve = RPC_CURVE_R1;
		p->number = i + 1;
		assert_int_equal(scheme_ecdh_generate(scheme_crypto_ecdh(
		    f->engine.crypto), p->curve, p->secret, &p->pub), RC_OK);
	}
	assert_int_equal(e3_keyring_put(f->engine.keyring, &next), RC_OK);
}

/* What rotation is for: sealed by the old pair, sealed again by the new one,
 * readable when the old one is retired. */
static void
test_rotation(void **state)
{
	char old[512], new[512], got[512];
	struct fixture f;
	struct buffer b;
	struct reply r;

	(void)state;
	start(&f);
	f.permitted = NULL;
	fixture_seal(&f, FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_NUMBER, "1.50",
	    old, sizeof(old));
	f.permitted = e3_rewrap;
	set_pair(&f, 0, E3_PAIR_OPENS);		/* P-256, which sealed it */
	begin(&b, FIXTURE_APP, RPC_CURVE_R1, 0);
	fixture_call(&f, "Rewrap", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_NO_SUCH_KEY);
	reply_fini(&r);
	set_pair(&f, 2, E3_PAIR_SEALS);
	assert_int_equal(rewrap(&f, FIXTURE_APP, RPC_CURVE_R1, span_of(old),
	    new), RPC_OPEN_OK);
	set_pair(&f, 0, E3_PAIR_RETIRED);
	assert_int_equal(rewrap(&f, FIXTURE_APP, RPC_CURVE_R1, span_of(old),
	    got), RPC_OPEN_WRONG_APP_OR_CHANGED);
	check_content(&f, new, "1.50", RPC_FIELD_NUMBER, SPAN_LIT(""),
	    now_s() - 20, now_s());
	fixture_stop(&f);
}

static void
test_debug(void **state)
{
	char got[512];
	struct fixture f;

	(void)state;
	start(&f);
	assert_int_equal(rewrap(&f, FIXTURE_APP, RPC_CURVE_R1, SPAN_LIT(
	    "ev:debug:QkTC:yrhJ5BDwBXwEaOMG:AmlPsGkQx2Y4ywAZhwR7445iPtAqA+OSk1y"
	    "AQtU3TDVW:6E0Xo99sbYJkjOiJZj+r0OajYS2DnEhcXY+MJl19x3ztyLMKjo48Ui7"
	    "9HoEY:$"), got), RPC_OPEN_DEBUG);
	fixture_stop(&f);
}

static void
test_refused(void **state)
{
	static const struct {
		const char		*app;
		bool			role;		/* in the entry */
		enum rpc_status		status;
	} cases[] = {
		{ FIXTURE_APP, false, RPC_STATUS_OK },
		{ FIXTURE_APP, true, RPC_STATUS_BAD_REQUEST },
		{ "app_ffffffffffff", false, RPC_STATUS_NO_SUCH_APP },
		{ E3_SYSTEM_APP, false, RPC_STATUS_NOT_ALLOWED },
		{ "", false, RPC_STATUS_BAD_REQUEST },
	};
	struct fixture f;
	struct buffer b;
	struct reply r;

	(void)state;
	start(&f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&b, cases[i].app, RPC_CURVE_R1, 1);
		assert_int_equal(rpc_decrypt_put_token(&b, SPAN_LIT("x"),
		    cases[i].role ? SPAN_LIT("pci") : SPAN_LIT("")), RC_OK);
		fixture_call(&f, "Rewrap", &b, &r);
		assert_int_equal(r.status, cases[i].status);
		reply_fini(&r);
	}
	/* Nobody but an admin, and no admin without a signature. */
	f.permitted = NULL;
	for (unsigned role = RPC_ROLE_WORKER; role <= RPC_ROLE_ADMIN;
	    role *= 2) {
		f.peer.role = (enum rpc_role)role;
		begin(&b, FIXTURE_APP, RPC_CURVE_R1, 0);
		fixture_call(&f, "Rewrap", &b, &r);
		assert_int_equal(r.status, RPC_STATUS_NOT_ALLOWED);
		reply_fini(&r);
	}
	fixture_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_foreign_metadata),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_refused),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
