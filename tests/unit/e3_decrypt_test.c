/* e3/decrypt.c: published vectors, own tokens, changed ones, foreign ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "e3_fixture.h"
#include "lib_body_suite.h"

struct vectors {
	struct buffer		text;
	struct body_json	json;
};

static void
vectors_read(struct vectors *v)
{
	buffer_init(&v->text, 0, false);
	suite_file(suite_path("../spec"), "ciphertext-vectors.json",
	    &v->text);
	assert_int_equal(body_json_read(&v->json, buffer_data(&v->text),
	    buffer_len(&v->text), 0, NULL), RC_OK);
}

static void
member_text(const struct vectors *v, uint32_t object, const char *name,
    char *out, size_t size)
{
	uint32_t node = body_json_member(&v->json, object, name);
	struct buffer b;

	assert_true(node != 0);
	buffer_init(&b, 0, false);
	suite_text(&v->json, node, &b);
	assert_true(span_copy(suite_span(&b), out, size));
	buffer_fini(&b);
}

static void
test_vectors(void **state)
{
	struct vectors v;
	struct fixture f;
	unsigned n = 0;

	(void)state;
	vectors_read(&v);
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	fixture_other_app(&f, FIXTURE_OTHER);
	for (uint32_t t = body_json_child(&v.json, body_json_member(&v.json, 0,
	    "tokens")); t != 0; t = body_json_sibling(&v.json, t)) {
		char token[512], plain[256], type[32], got[256];
		enum rpc_field_type kind;

		member_text(&v, t, "ciphertext", token, sizeof(token));
		member_text(&v, t, "plaintext_utf8", plain, sizeof(plain));
		member_text(&v, t, "type", type, sizeof(type));
		assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(token),
		    &kind, got, sizeof(got)), RPC_OPEN_OK);
		assert_string_equal(got, plain);
		assert_int_equal(kind, strcmp(type, "number") == 0 ?
		    RPC_FIELD_NUMBER : strcmp(type, "boolean") == 0 ?
		    RPC_FIELD_BOOLEAN : RPC_FIELD_STRING);
		assert_int_equal(fixture_open(&f, FIXTURE_OTHER,
		    span_of(token), &kind, got, sizeof(got)),
		    RPC_OPEN_WRONG_APP_OR_CHANGED);
		assert_string_equal(got, "");
		n++;
	}
	assert_true(n >= 24);
	n = 0;
	for (uint32_t t = body_json_child(&v.json, body_json_member(&v.json, 0,
	    "must_fail")); t != 0; t = body_json_sibling(&v.json, t)) {
		char token[512], got[256];
		enum rpc_field_type kind;

		member_text(&v, t, "token", token, sizeof(token));
		assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(token),
		    &kind, got, sizeof(got)), RPC_OPEN_WRONG_APP_OR_CHANGED);
		n++;
	}
	assert_true(n >= 4);
	fixture_stop(&f);
	body_json_fini(&v.json);
	buffer_fini(&v.text);
}

/* A token without a version is an RFVC one (July 2021 and before). */
static void
test_no_version(void **state)
{
	static const char with[] = "ev:RFVC:number:BfygFWRLytWlJwHl:AutqVfR+"
	    "JANVs23s32rN3q9wlVcrJUqHNrGiV9O6gwgt:6wJ+zehPIxpj6oWYGKutK7JS:$";
	char text[200], got[32];
	enum rpc_field_type type;
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	(void)snprintf(text, sizeof(text), "ev:%s", with + 8);
	assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(text), &type,
	    got, sizeof(got)), RPC_OPEN_OK);
	assert_string_equal(got, "42");
	assert_int_equal(type, RPC_FIELD_NUMBER);
	fixture_stop(&f);
}

/* What we write: one bit off anywhere, and nothing is opened. */
static void
test_every_bit(void **state)
{
	char text[512], got[64];
	enum rpc_field_type type;
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (int curve = 0; curve < 2; curve++) {
		fixture_seal(&f, FIXTURE_APP, (enum rpc_curve)curve,
		    RPC_FIELD_NUMBER, "1234", text, sizeof(text));
		assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(text),
		    &type, got, sizeof(got)), RPC_OPEN_OK);
		assert_string_equal(got, "1234");
		for (size_t bit = 0, n = strlen(text); bit < 8 * n; bit++) {
			text[bit / 8] ^= (char)(1 << bit % 8);
			if (fixture_open(&f, FIXTURE_APP, (struct span){
			    text, n }, &type, got, sizeof(got)) == RPC_OPEN_OK)
				fail_msg("bit %zu changed nothing", bit);
			assert_string_equal(got, "");
			text[bit / 8] ^= (char)(1 << bit % 8);
		}
	}
	fixture_stop(&f);
}

static void
test_states(void **state)
{
	static const struct {
		const char		*token;
		enum rpc_open_status	status;
	} cases[] = {
		{ "", RPC_OPEN_NOT_A_TOKEN },
		{ "4111111111111111", RPC_OPEN_NOT_A_TOKEN },
		{ "ev:debug:QkTC:yrhJ5BDwBXwEaOMG:AmlPsGkQx2Y4ywAZhwR7445iPtAq"
		    "A+OSk1yAQtU3TDVW:6E0Xo99sbYJkjOiJZj+r0OajYS2DnEhcXY+MJl19"
		    "x3ztyLMKjo48Ui79HoEY:$", RPC_OPEN_DEBUG },
		/* x = 0 and x = p + 1 are no points of P-256 */
		{ "ev:T1JL:aoZ5COOy933Ce5Lr:A/////8AAAABAAAAAAAAAAAAAAABAAAAAA"
		    "AAAAAAAAAA:XS1bmO7Gr9DjPRnWvWttffhv4TlYZMY1CzxLJwH1:$",
		    RPC_OPEN_WRONG_APP_OR_CHANGED },
		{ "ev:RFVC:aoZ5COOy933Ce5Lr:AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		    "AAAAAAAA:XS1bmO7Gr9DjPRnWvWttffhv4TlYZMY1CzxLJwH1:$",
		    RPC_OPEN_WRONG_APP_OR_CHANGED },
	};
	enum rpc_field_type type;
	struct fixture f;
	char got[64];

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(fixture_open(&f, FIXTURE_APP,
		    span_of(cases[i].token), &type, got, sizeof(got)),
		    cases[i].status);
	fixture_stop(&f);
}

/* Older pairs of an app still open. */
static void
test_old_pairs(void **state)
{
	char text[256], got[64];
	enum rpc_field_type type;
	struct e3_app *old, *next;
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	fixture_seal(&f, FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_STRING, "then",
	    text, sizeof(text));
	old = e3_keyring_app(f.engine.keyring, span_of(FIXTURE_APP));
	assert_int_equal(e3_app_new(3, 0, &next), RC_OK);
	memcpy(next->id, old->id, sizeof(next->id));
	next->version = 2;
	for (unsigned i = 0; i < 3; i++) {
		struct e3_key_pair *p = &next->pairs[i];
		uint8_t *secret = p->secret;

		if (i == 2) {
			p->curve = RPC_CURVE_R1;
			p->state = E3_PAIR_SEALS;
			assert_int_equal(scheme_ecdh_generate(scheme_crypto_ecdh(
			    f.engine.crypto), p->curve, secret, &p->pub),
			    RC_OK);
			continue;
		}
		*p = old->pairs[i];
		p->secret = secret;
		memcpy(secret, old->pairs[i].secret, SCHEME_SECRET_BYTES);
		if (p->curve == RPC_CURVE_R1)
			p->state = E3_PAIR_OPENS;
	}
	assert_int_equal(e3_keyring_put(f.engine.keyring, &next), RC_OK);
	assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(text), &type,
	    got, sizeof(got)), RPC_OPEN_OK);
	assert_string_equal(got, "then");
	fixture_seal(&f, FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_STRING, "now",
	    text, sizeof(text));
	assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(text), &type,
	    got, sizeof(got)), RPC_OPEN_OK);
	assert_string_equal(got, "now");
	fixture_stop(&f);
}

/* ---- data roles ---- */

static enum rpc_open_status
open_as(struct fixture *f, const char *token, struct span role, char got[64])
{
	struct rpc_decrypt d = { .app = SPAN_LIT(FIXTURE_APP),
	    .address = SPAN_LIT("127.0.0.1"), .n_tokens = 1 };
	struct rpc_opened opened;
	struct buffer b;
	struct reply r;

	buffer_init(&b, 0, true);
	rpc_decrypt_put(&b, &d);
	assert_int_equal(rpc_decrypt_put_token(&b, span_of(token), role), RC_OK);
	fixture_call(f, "Decrypt", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	assert_int_equal(rpc_opened_at(r.frames[0].body, 0, &opened), RC_OK);
	assert_true(span_copy(opened.bytes, got, 64));
	reply_fini(&r);
	return (opened.status);
}

static void
seal_as(struct fixture *f, enum rpc_curve curve, struct span role,
    char text[512])
{
	fixture_seal_field(f, FIXTURE_APP, curve, &(struct rpc_field){
	    .type = RPC_FIELD_STRING, .bytes = SPAN_LIT("4111"), .role = role },
	    text, 512);
}

/* Only what was sealed with this very role opens where a role is asked for;
 * any token does where none is. */
static void
test_roles(void **state)
{
	static const struct {
		struct span		sealed, asked;
		enum rpc_open_status	status;
	} cases[] = {
		{ SPAN_LIT(""), SPAN_LIT(""), RPC_OPEN_OK },
		{ SPAN_LIT("pci"), SPAN_LIT(""), RPC_OPEN_OK },
		{ SPAN_LIT("pci"), SPAN_LIT("pci"), RPC_OPEN_OK },
		{ SPAN_LIT("aaaaaaaaaabbbbbbbbbb"),
		    SPAN_LIT("aaaaaaaaaabbbbbbbbbb"), RPC_OPEN_OK },
		{ SPAN_LIT(""), SPAN_LIT("pci"), RPC_OPEN_OTHER_ROLE },
		{ SPAN_LIT("pci"), SPAN_LIT("pc"), RPC_OPEN_OTHER_ROLE },
		{ SPAN_LIT("pci"), SPAN_LIT("pci-2"), RPC_OPEN_OTHER_ROLE },
		{ SPAN_LIT("pci"), SPAN_LIT("PCI"), RPC_OPEN_OTHER_ROLE },
		{ SPAN_LIT("pci"), SPAN_LIT("pci\0"), RPC_OPEN_OTHER_ROLE },
	};
	char text[512], got[64];
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (int curve = 0; curve < 2; curve++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			bool opens = cases[i].status == RPC_OPEN_OK;

			seal_as(&f, (enum rpc_curve)curve, cases[i].sealed, text);
			assert_int_equal(open_as(&f, text, cases[i].asked, got),
			    cases[i].status);
			assert_string_equal(got, opens ? "4111" : "");
			if (cases[i].asked.len == 0)
				continue;
			/* What does not open tells nothing of its role. */
			text[strlen(text) - 3] ^= 1;
			assert_int_not_equal(open_as(&f, text, cases[i].asked,
			    got), RPC_OPEN_OTHER_ROLE);
			assert_string_equal(got, "");
		}
	}
	fixture_stop(&f);
}

/* Published tokens, of every version: those without metadata, or with
 * metadata but no role, have none. */
static void
test_roles_of_vectors(void **state)
{
	unsigned with = 0, without = 0;
	struct vectors v;
	struct fixture f;

	(void)state;
	vectors_read(&v);
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (uint32_t t = body_json_child(&v.json, body_json_member(&v.json, 0,
	    "tokens")); t != 0; t = body_json_sibling(&v.json, t)) {
		uint32_t role = body_json_member(&v.json, t, "role");
		char token[512], slug[32], got[64];

		member_text(&v, t, "ciphertext", token, sizeof(token));
		assert_int_equal(open_as(&f, token, SPAN_LIT("another"), got),
		    RPC_OPEN_OTHER_ROLE);
		assert_string_equal(got, "");
		if (role == 0 || v.json.nodes[role].type == BODY_JSON_NULL) {
			without++;
			continue;
		}
		member_text(&v, t, "role", slug, sizeof(slug));
		assert_int_equal(open_as(&f, token, span_of(slug), got),
		    RPC_OPEN_OK);
		with++;
	}
	assert_true(with >= 3 && without >= 3);
	fixture_stop(&f);
	body_json_fini(&v.json);
	buffer_fini(&v.text);
}

/* ---- policies ---- */

/* The vector app with these roles (encoded), one version later. */
static void
set_roles(struct fixture *f, struct span encoded)
{
	struct rpc_document doc;
	struct e3_app *next;

	assert_int_equal(e3_app_copy(e3_keyring_app(f->engine.keyring,
	    span_of(FIXTURE_APP)), 0, 0, &next), RC_OK);
	next->version++;
	assert_int_equal(rpc_document_read(&doc, encoded.p, encoded.len),
	    RC_OK);
	assert_int_equal(e3_app_set_roles(next, doc.root), RC_OK);
	rpc_document_fini(&doc);
	assert_int_equal(e3_keyring_put(f->engine.keyring, &next), RC_OK);
}

/* Each token with its status and, unless it opens, without a byte. */
static void
check_statuses(struct fixture *f, enum rpc_place place,
    const char (*tokens)[512], const enum rpc_open_status *want, size_t n)
{
	const struct rpc_decrypt d = { .app = SPAN_LIT(FIXTURE_APP),
	    .place = place, .destination = SPAN_LIT("shop.test"),
	    .address = SPAN_LIT("127.0.0.1"), .n_tokens = n };
	struct buffer b;
	struct reply r;

	buffer_init(&b, 0, true);
	rpc_decrypt_put(&b, &d);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rpc_decrypt_put_token(&b, span_of(tokens[i]),
		    SPAN_LIT("")), RC_OK);
	fixture_call(f, "Decrypt", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	for (size_t i = 0; i < n; i++) {
		struct rpc_opened o;
		struct span bytes;

		assert_int_equal(rpc_opened_at(r.frames[0].body, i, &o),
		    RC_OK);
		if (o.status != want[i])
			fail_msg("token %zu: %d, wanted %d", i, (int)o.status,
			    (int)want[i]);
		assert_true(rpc_get_bytes(rpc_array_at(rpc_array_at(
		    r.frames[0].body, i), 2), &bytes));
		assert_int_equal(bytes.len != 0, o.status == RPC_OPEN_OK);
	}
	reply_fini(&r);
}

/* Two roles and none, mixed in one call: each is judged by its own policy. */
static void
test_policies(void **state)
{
	enum { NONE, PCI, PII, FREE };
	static const struct span roles[] = { SPAN_LIT(""), SPAN_LIT("pci"),
	    SPAN_LIT("pii"), SPAN_LIT("free") };
	static const int order[] = { PCI, PII, PII, PCI, NONE, PCI, FREE, PII,
	    PCI, NONE };
	/* pci: nothing but the key API; pii: everything but the key API */
	static const char policies[] = "\x92"
	    "\x93\xa3pci\xc2\x91\x95\xc3\x03\x90\x90\x00"
	    "\x93\xa3pii\xc3\x91\x95\xc2\x03\x90\x90\x00";
	const size_t n = sizeof(order) / sizeof(order[0]);
	static char tokens[sizeof(order) / sizeof(order[0])][512];
	enum rpc_open_status want[sizeof(order) / sizeof(order[0])];
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (size_t i = 0; i < n; i++)
		seal_as(&f, i % 2 == 0 ? RPC_CURVE_R1 : RPC_CURVE_K1,
		    roles[order[i]], tokens[i]);
	for (int place = RPC_PLACE_RELAY; place <= RPC_PLACE_API; place++) {
		for (size_t i = 0; i < n; i++)
			want[i] = RPC_OPEN_OK;
		check_statuses(&f, (enum rpc_place)place, tokens, want, n);
	}
	set_roles(&f, (struct span){ policies, sizeof(policies) - 1 });
	for (int place = RPC_PLACE_RELAY; place <= RPC_PLACE_API; place++) {
		for (size_t i = 0; i < n; i++)
			want[i] = order[i] == (place == RPC_PLACE_API ? PII :
			    PCI) ? RPC_OPEN_FORBIDDEN : RPC_OPEN_OK;
		check_statuses(&f, (enum rpc_place)place, tokens, want, n);
	}
	fixture_stop(&f);
}

/* A published token is too old for a rule of a minute, a fresh one is not, and
 * neither is the old one for a rule of a century. */
static void
test_age(void **state)
{
	static const char minute[] =
	    "\x91\x93\xa9test-role\xc3\x91\x95\xc2\x00\x90\x90\x3c";
	static const char century[] =
	    "\x91\x93\xa9test-role\xc3\x91\x95\xc2\x00\x90\x90"
	    "\xce\xbb\xf8\x1e\x00";
	enum rpc_open_status want[2] = { RPC_OPEN_OK, RPC_OPEN_OK };
	static char tokens[2][512];
	struct vectors v;
	struct fixture f;

	(void)state;
	vectors_read(&v);
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (uint32_t t = body_json_child(&v.json, body_json_member(&v.json, 0,
	    "tokens")); t != 0; t = body_json_sibling(&v.json, t)) {
		uint32_t role = body_json_member(&v.json, t, "role");

		if (role != 0 && v.json.nodes[role].type != BODY_JSON_NULL)
			member_text(&v, t, "ciphertext", tokens[0], 512);
	}
	seal_as(&f, RPC_CURVE_R1, SPAN_LIT("test-role"), tokens[1]);
	check_statuses(&f, RPC_PLACE_RELAY, tokens, want, 2);
	set_roles(&f, (struct span){ century, sizeof(century) - 1 });
	check_statuses(&f, RPC_PLACE_RELAY, tokens, want, 2);
	set_roles(&f, (struct span){ minute, sizeof(minute) - 1 });
	want[0] = RPC_OPEN_TOO_OLD;
	check_statuses(&f, RPC_PLACE_RELAY, tokens, want, 2);
	fixture_stop(&f);
	body_json_fini(&v.json);
	buffer_fini(&v.text);
}

/* ---- how many keys are tried ---- */

/* A record from before pairs were limited: the first one sealed a token, and
 * `newer` came after it. */
static void
test_candidates(void **state)
{
	static const struct {
		enum rpc_curve		curve;
		unsigned		newer;
		enum rpc_open_status	want;
		uint64_t		tried, capped;
	} cases[] = {
		{ RPC_CURVE_R1, 0, RPC_OPEN_OK, 1, 0 },
		{ RPC_CURVE_R1, 7, RPC_OPEN_OK, 8, 0 },
		{ RPC_CURVE_R1, 15, RPC_OPEN_OK, 16, 0 },
		{ RPC_CURVE_R1, 16, RPC_OPEN_WRONG_APP_OR_CHANGED, 16, 1 },
		{ RPC_CURVE_K1, 7, RPC_OPEN_OK, 15, 0 },
		{ RPC_CURVE_K1, 8, RPC_OPEN_WRONG_APP_OR_CHANGED, 16, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512], got[64];
		enum rpc_field_type type;
		struct e3_app *next;
		struct fixture f;

		fixture_start(&f, 1);
		fixture_app(&f, FIXTURE_APP);
		seal_as(&f, cases[i].curve, SPAN_LIT(""), text);
		assert_int_equal(e3_app_copy(e3_keyring_app(f.engine.keyring,
		    span_of(FIXTURE_APP)), cases[i].newer, 0, &next), RC_OK);
		next->version++;
		for (unsigned k = 2; k < next->n_pairs; k++) {
			struct e3_key_pair *p = &next->pairs[k];

			next->pairs[cases[i].curve].state = E3_PAIR_OPENS;
			p->curve = cases[i].curve;
			p->number = k + 1;
			p->state = k == 2 ? E3_PAIR_SEALS : E3_PAIR_OPENS;
			assert_int_equal(scheme_ecdh_generate(scheme_crypto_ecdh(
			    f.engine.crypto), p->curve, p->secret, &p->pub),
			    RC_OK);
		}
		assert_int_equal(e3_keyring_put(f.engine.keyring, &next),
		    RC_OK);
		f.engine.candidates = 0;
		assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(text),
		    &type, got, sizeof(got)), cases[i].want);
		assert_int_equal(f.engine.candidates, cases[i].tried);
		assert_int_equal(f.engine.candidates_capped, cases[i].capped);
		fixture_stop(&f);
	}
}

/* An app's limit counts the tokens, whatever else the body holds. */
static void
test_what_the_limit_counts(void **state)
{
	static const char place[] = "\x82\xa4" "kind\xa3" "api\xa7" "address\xa0";
	struct fixture f;
	struct buffer b;
	struct reply r;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	f.engine.meters.per_s = 1;
	for (int i = 0; i < 2; i++) {
		buffer_init(&b, 0, true);
		rpc_pack(&b, RPC_RAW("fields", SPAN_LIT("\x90")),
		    RPC_STR("app", FIXTURE_APP),
		    RPC_RAW("place", span_of(place)),
		    RPC_RAW("tokens", SPAN_LIT("\x92\x91\xa1x\x91\xa1y")));
		fixture_call(&f, "Decrypt", &b, &r);
		assert_int_equal(r.status, i == 0 ? RPC_STATUS_OK :
		    RPC_STATUS_RATE_LIMITED);
		reply_fini(&r);
	}
	fixture_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_no_version),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_old_pairs),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_roles_of_vectors),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_what_the_limit_counts),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
