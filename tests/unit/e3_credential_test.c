/* e3/credential.c and inspect.c: API keys by secret and by id; client-side tokens
 * through rotation, time, payloads and apps; what Inspect says, and of whom. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "e3_fixture.h"
#include "lib/base/clock.h"
#include "lib/rpc/credential.h"
#include "lib/scheme/client_token.h"

#define HASH	"0123456789abcdef0123456789abcdef"
#define OTHER_HASH "1123456789abcdef0123456789abcdef"
#define MINUTE_MS 60000

static struct fixture f;

static int
setup(void **state)
{
	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	fixture_other_app(&f, FIXTURE_OTHER);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	fixture_stop(&f);
	return (0);
}

static struct e3_app *
app(void)
{
	return (e3_keyring_app(f.engine.keyring, SPAN_LIT(FIXTURE_APP)));
}

/* The app's next version, with one pair and one key more: not yet active. */
static struct e3_app *
next_app(unsigned extra_pairs, unsigned extra_keys)
{
	struct e3_app *next;

	assert_int_equal(e3_app_copy(app(), extra_pairs, extra_keys, &next),
	    RC_OK);
	next->version++;
	return (next);
}

static void
activate(struct e3_app **next)
{
	assert_int_equal(e3_keyring_put(f.engine.keyring, next), RC_OK);
}

/* ---- API keys ---- */

static enum rpc_status
authenticate(const struct rpc_credential *who, struct reply *r)
{
	struct buffer b;

	buffer_init(&b, 0, true);
	rpc_credential_put(&b, who);
	fixture_call(&f, "Authenticate", &b, r);
	return (r->status);
}

static void
add_key(const char *id, const char *secret, bool revoked, uint64_t expires_ms)
{
	struct e3_app *next = next_app(0, 1);
	struct e3_api_key *k = &next->keys[next->n_keys - 1];

	strcpy(k->id, id);
	assert_int_equal(scheme_sha256(f.engine.crypto, span_of(secret),
	    k->hash), RC_OK);
	k->revoked = revoked;
	k->expires_ms = expires_ms;
	k->n_scopes = 1;
	strcpy(k->scopes[0], "relay");
	activate(&next);
}

static void
test_keys_by_secret_and_by_id(void **state)
{
	static const struct {
		const char	*app, *key, *secret;
		enum rpc_status	want;
	} cases[] = {
		{ FIXTURE_APP, "key_000000000001", "one", RPC_STATUS_OK },
		{ FIXTURE_APP, "key_000000000002", "two", RPC_STATUS_UNAUTHORIZED },
		{ FIXTURE_APP, "key_000000000003", "three",
		    RPC_STATUS_UNAUTHORIZED },
		{ FIXTURE_APP, "key_000000000004", "four",
		    RPC_STATUS_UNAUTHORIZED },
		{ FIXTURE_OTHER, "key_000000000001", "x",
		    RPC_STATUS_UNAUTHORIZED },
		{ "app_none", "key_000000000001", "y", RPC_STATUS_UNAUTHORIZED },
		{ FIXTURE_APP, "", "", RPC_STATUS_UNAUTHORIZED },
		{ "", "key_000000000001", "one ", RPC_STATUS_UNAUTHORIZED },
	};

	(void)state;
	add_key("key_000000000001", "one", false, clock_wall_ms() + 3600000);
	add_key("key_000000000002", "two", true, 0);
	add_key("key_000000000003", "three", false, clock_wall_ms() - 1);
	f.engine.auth_cache_s = 30;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rpc_credential by[2] = {
			{ .kind = RPC_CREDENTIAL_SECRET,
			    .secret = span_of(cases[i].secret) },
			{ .kind = RPC_CREDENTIAL_KEY,
			    .app = span_of(cases[i].app),
			    .key = span_of(cases[i].key) },
		};
		for (unsigned k = 0; k < 2; k++) {
			struct rpc_authenticated got;
			struct reply r;

			assert_int_equal(authenticate(&by[k], &r),
			    cases[i].want);
			if (r.status == RPC_STATUS_OK) {
				assert_int_equal(rpc_authenticated_read(
				    r.frames[0].body, &got), RC_OK);
				assert_true(span_eq_str(got.app, cases[i].app));
				assert_true(span_eq_str(got.key, cases[i].key));
				assert_int_equal(got.cache_s, 30);
				assert_true(rpc_authenticated_allows(&got,
				    "relay"));
				assert_false(rpc_authenticated_allows(&got,
				    "egress"));
			}
			reply_fini(&r);
		}
	}
}

/* ---- client-side tokens ---- */

static enum rpc_status
create(const char *of, const char *action, struct span hash, int64_t life_ms,
    char text[1200])
{
	uint64_t now_ms = clock_wall_ms();
	struct rpc_create_token t = { .app = span_of(of),
	    .action = span_of(action), .payload_hash = hash,
	    .expires_ms = now_ms + (uint64_t)life_ms };
	struct rpc_created_token made;
	enum rpc_status status;
	struct buffer b;
	struct reply r;

	buffer_init(&b, 0, true);
	rpc_create_token_put(&b, &t);
	fixture_call(&f, "CreateToken", &b, &r);
	if ((status = r.status) == RPC_STATUS_OK) {
		assert_int_equal(rpc_created_token_read(r.frames[0].body,
		    &made), RC_OK);
		assert_int_equal(made.expires_ms, t.expires_ms);
		assert_in_range(made.created_ms, now_ms, now_ms + 20000);
		assert_true(span_copy(made.token, text, 1200));
	}
	reply_fini(&r);
	return (status);
}

static enum rpc_status
use(const char *text, const char *hash)
{
	const struct rpc_credential who = { .kind = RPC_CREDENTIAL_TOKEN,
	    .secret = span_of(text), .payload_hash = { hash, 32 } };
	struct rpc_authenticated got;
	enum rpc_status status;
	struct reply r;

	if ((status = authenticate(&who, &r)) == RPC_STATUS_OK) {
		assert_int_equal(rpc_authenticated_read(r.frames[0].body,
		    &got), RC_OK);
		assert_true(span_eq_str(got.app, FIXTURE_APP));
		assert_int_equal(got.key.len, 30);
		assert_int_equal(got.cache_s, 0);
		assert_int_equal(rpc_array_len(got.scopes), 1);
		assert_true(rpc_authenticated_allows(&got, "api:decrypt"));
		assert_false(rpc_authenticated_allows(&got, "relay"));
	}
	reply_fini(&r);
	return (status);
}

static void
test_what_is_made(void **state)
{
	static const struct {
		const char	*app, *action;
		int64_t		life_ms;
		enum rpc_status	want;
	} cases[] = {
		{ FIXTURE_APP, "api:decrypt", MINUTE_MS, RPC_STATUS_OK },
		{ FIXTURE_APP, "api:decrypt", 10 * MINUTE_MS, RPC_STATUS_OK },
		{ FIXTURE_APP, "api:decrypt", 11 * MINUTE_MS,
		    RPC_STATUS_BAD_REQUEST },
		{ FIXTURE_APP, "api:decrypt", INT64_MAX,
		    RPC_STATUS_BAD_REQUEST },
		{ FIXTURE_APP, "api:decrypt", 0, RPC_STATUS_BAD_REQUEST },
		{ FIXTURE_APP, "api:decrypt", -1000, RPC_STATUS_BAD_REQUEST },
		{ FIXTURE_APP, "api:encrypt", MINUTE_MS,
		    RPC_STATUS_BAD_REQUEST },
		{ FIXTURE_APP, "", MINUTE_MS, RPC_STATUS_BAD_REQUEST },
		{ "app_none", "api:decrypt", MINUTE_MS, RPC_STATUS_NO_SUCH_APP },
		{ E3_SYSTEM_APP, "api:decrypt", MINUTE_MS,
		    RPC_STATUS_NOT_ALLOWED },
	};
	char text[1200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(create(cases[i].app, cases[i].action,
		    SPAN_LIT(HASH), cases[i].life_ms, text), cases[i].want);
		if (cases[i].want == RPC_STATUS_OK)
			assert_int_equal(use(text, HASH), RPC_STATUS_OK);
	}
}

static void
test_bound_to_a_payload(void **state)
{
	char bound[1200], any[1200], changed[1200];

	(void)state;
	assert_int_equal(create(FIXTURE_APP, "api:decrypt", SPAN_LIT(HASH),
	    MINUTE_MS, bound), RPC_STATUS_OK);
	assert_int_equal(create(FIXTURE_APP, "api:decrypt", SPAN_LIT(""),
	    MINUTE_MS, any), RPC_STATUS_OK);
	assert_int_equal(use(bound, HASH), RPC_STATUS_OK);
	assert_int_equal(use(bound, OTHER_HASH), RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(use(any, HASH), RPC_STATUS_OK);
	assert_int_equal(use(any, OTHER_HASH), RPC_STATUS_OK);
	for (size_t i = 0; bound[i] != '\0'; i++) {
		strcpy(changed, bound);
		changed[i] = changed[i] == 'A' ? 'B' : 'A';
		assert_int_equal(use(changed, HASH), RPC_STATUS_UNAUTHORIZED);
	}
	assert_int_equal(use("", HASH), RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(use("a.b.c", HASH), RPC_STATUS_UNAUTHORIZED);
}

/* One of any app's, signed by a key derived from this pair. */
static void
forge(const struct e3_key_pair *pair, const char *of, int64_t life_ms,
    struct buffer *text)
{
	uint8_t *key = scheme_crypto_work(f.engine.crypto);
	struct scheme_client_token t = { .bound = false };

	strcpy(t.app, of);
	scheme_client_token_name(&t);
	t.expires_ms = clock_wall_ms() + (uint64_t)life_ms;
	assert_int_equal(scheme_derive(pair->secret, SCHEME_CLIENT_TOKEN_END,
	    key), RC_OK);
	buffer_clear(text);
	assert_int_equal(scheme_client_token_print(&t, key, text), RC_OK);
}

static const struct e3_key_pair *
pair_of(const char *id, enum rpc_curve curve)
{
	return (e3_app_sealing_pair(e3_keyring_app(f.engine.keyring,
	    span_of(id)), curve));
}

static void
test_by_whom_and_until_when(void **state)
{
	const struct {
		const struct e3_key_pair *pair;
		const char	*app;
		int64_t		life_ms;
		enum rpc_status	want;
	} cases[] = {
		{ pair_of(FIXTURE_APP, RPC_CURVE_R1), FIXTURE_APP, MINUTE_MS,
		    RPC_STATUS_OK },
		/* its end passed; another engine's clock; too far ahead */
		{ pair_of(FIXTURE_APP, RPC_CURVE_R1), FIXTURE_APP, -1,
		    RPC_STATUS_UNAUTHORIZED },
		{ pair_of(FIXTURE_APP, RPC_CURVE_R1), FIXTURE_APP,
		    10 * MINUTE_MS + MINUTE_MS / 2, RPC_STATUS_OK },
		{ pair_of(FIXTURE_APP, RPC_CURVE_R1), FIXTURE_APP,
		    12 * MINUTE_MS, RPC_STATUS_UNAUTHORIZED },
		/* another curve's key, another app's, an app that is not there */
		{ pair_of(FIXTURE_APP, RPC_CURVE_K1), FIXTURE_APP, MINUTE_MS,
		    RPC_STATUS_UNAUTHORIZED },
		{ pair_of(FIXTURE_OTHER, RPC_CURVE_R1), FIXTURE_APP, MINUTE_MS,
		    RPC_STATUS_UNAUTHORIZED },
		{ pair_of(FIXTURE_APP, RPC_CURVE_R1), FIXTURE_OTHER, MINUTE_MS,
		    RPC_STATUS_UNAUTHORIZED },
		{ pair_of(FIXTURE_APP, RPC_CURVE_R1), "app_none", MINUTE_MS,
		    RPC_STATUS_UNAUTHORIZED },
	};
	struct buffer text;

	(void)state;
	buffer_init(&text, 0, true);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forge(cases[i].pair, cases[i].app, cases[i].life_ms, &text);
		if (use(buffer_cstr(&text), HASH) != cases[i].want)
			fail_msg("case %zu", i);
	}
	buffer_fini(&text);
}

/* A new pair opens, then seals, then the old one is retired: only that ends
 * what the old one signed. */
static void
test_through_a_rotation(void **state)
{
	char before[1200], after[1200];
	struct e3_app *next;

	(void)state;
	assert_int_equal(create(FIXTURE_APP, "api:decrypt", SPAN_LIT(""),
	    MINUTE_MS, before), RPC_STATUS_OK);
	next = next_app(1, 0);
	next->pairs[2].curve = RPC_CURVE_R1;
	next->pairs[2].state = E3_PAIR_OPENS;
	assert_int_equal(scheme_ecdh_generate(scheme_crypto_ecdh(
	    f.engine.crypto), RPC_CURVE_R1, next->pairs[2].secret,
	    &next->pairs[2].pub), RC_OK);
	activate(&next);
	assert_int_equal(use(before, HASH), RPC_STATUS_OK);
	next = next_app(0, 0);
	next->pairs[0].state = E3_PAIR_OPENS;
	next->pairs[2].state = E3_PAIR_SEALS;
	activate(&next);
	assert_int_equal(create(FIXTURE_APP, "api:decrypt", SPAN_LIT(""),
	    MINUTE_MS, after), RPC_STATUS_OK);
	assert_int_equal(use(before, HASH), RPC_STATUS_OK);
	assert_int_equal(use(after, HASH), RPC_STATUS_OK);
	next = next_app(0, 0);
	next->pairs[0].state = E3_PAIR_RETIRED;
	activate(&next);
	assert_int_equal(use(before, HASH), RPC_STATUS_UNAUTHORIZED);
	assert_int_equal(use(after, HASH), RPC_STATUS_OK);
	next = next_app(0, 0);			/* and no pair of P-256 seals */
	next->pairs[2].state = E3_PAIR_OPENS;
	activate(&next);
	assert_int_equal(create(FIXTURE_APP, "api:decrypt", SPAN_LIT(""),
	    MINUTE_MS, before), RPC_STATUS_NO_SUCH_KEY);
	assert_int_equal(use(after, HASH), RPC_STATUS_OK);
}

/* ---- Inspect ---- */

static enum rpc_status
inspect(const char *of, struct span token, struct rpc_inspected *got,
    char print[32])
{
	enum rpc_status status;
	struct buffer b;
	struct reply r;

	buffer_init(&b, 0, true);
	assert_int_equal(rpc_inspect_put(&b, span_of(of), token), RC_OK);
	fixture_call(&f, "Inspect", &b, &r);
	if ((status = r.status) == RPC_STATUS_OK) {
		assert_int_equal(r.n, 1);
		assert_int_equal(rpc_inspected_read(r.frames[0].body, got),
		    RC_OK);
		memset(print, 0, 32);
		if (got->status == RPC_OPEN_OK)
			memcpy(print, got->fingerprint.p, 32);
		got->role = span_eq_str(got->role, "pci") ? SPAN_LIT("pci") :
		    SPAN_LIT("");		/* its reply goes */
	}
	reply_fini(&r);
	return (status);
}

static void
seal(const char *of, enum rpc_curve curve, enum rpc_field_type type,
    struct span value, struct span role, char text[600])
{
	fixture_seal_field(&f, of, curve, &(struct rpc_field){ .type = type,
	    .bytes = value, .role = role }, text, 600);
}

static void
test_inspect(void **state)
{
	const uint64_t now_s = clock_wall_ms() / 1000;
	struct rpc_inspected got;
	char text[600], print[32];

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		enum rpc_curve curve = (enum rpc_curve)(i & 1);
		enum rpc_field_type type = (enum rpc_field_type)(i >> 1 & 1);
		struct span role = i >= 8 ? SPAN_LIT("pci") : SPAN_LIT("");

		seal(FIXTURE_APP, curve, type, SPAN_LIT("42"), role, text);
		assert_int_equal(inspect(FIXTURE_APP, span_of(text), &got,
		    print), RPC_STATUS_OK);
		assert_int_equal(got.status, RPC_OPEN_OK);
		assert_int_equal(got.type, type);
		assert_int_equal(got.role.len, role.len);
		assert_in_range(got.encrypted_ms, now_s * 1000,
		    now_s * 1000 + 60000);
		text[20] = text[20] == 'A' ? 'B' : 'A';
		assert_int_equal(inspect(FIXTURE_APP, span_of(text), &got,
		    print), RPC_STATUS_OK);
		assert_int_equal(got.status, RPC_OPEN_WRONG_APP_OR_CHANGED);
	}
	assert_int_equal(inspect(FIXTURE_APP, SPAN_LIT("42"), &got, print),
	    RPC_STATUS_OK);
	assert_int_equal(got.status, RPC_OPEN_NOT_A_TOKEN);
	assert_int_equal(inspect("app_none", SPAN_LIT("42"), &got, print),
	    RPC_STATUS_NO_SUCH_APP);
	assert_int_equal(inspect(E3_SYSTEM_APP, SPAN_LIT("42"), &got, print),
	    RPC_STATUS_NOT_ALLOWED);
	/* No metadata: no time, no role. */
	assert_int_equal(inspect(FIXTURE_APP, SPAN_LIT("ev:RFVC:number:BfygFWRL"
	    "ytWlJwHl:AutqVfR+JANVs23s32rN3q9wlVcrJUqHNrGiV9O6gwgt:6wJ+zehPIxp"
	    "j6oWYGKutK7JS:$"), &got, print), RPC_STATUS_OK);
	assert_int_equal(got.status, RPC_OPEN_OK);
	assert_int_equal(got.encrypted_ms, 0);
}

/* The values 42, "42", 43 and another app's 42; curve, role and rotation make no
 * difference. */
static void
test_fingerprints(void **state)
{
	static const struct {
		const char		*app;
		enum rpc_curve		curve;
		enum rpc_field_type	type;
		const char		*value, *role;
		bool			same;
	} cases[] = {
		{ FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_NUMBER, "42", "", true },
		{ FIXTURE_APP, RPC_CURVE_K1, RPC_FIELD_NUMBER, "42", "pci", true },
		{ FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_STRING, "42", "", false },
		{ FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_NUMBER, "43", "", false },
		{ FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_NUMBER, "", "", false },
		{ FIXTURE_OTHER, RPC_CURVE_R1, RPC_FIELD_NUMBER, "42", "", false },
	};
	char text[600], first[32], print[32];
	struct rpc_inspected got;
	struct e3_app *next;

	(void)state;
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			seal(cases[i].app, cases[i].curve, cases[i].type,
			    span_of(cases[i].value), span_of(cases[i].role),
			    text);
			assert_int_equal(inspect(cases[i].app, span_of(text),
			    &got, print), RPC_STATUS_OK);
			assert_int_equal(got.status, RPC_OPEN_OK);
			if (round == 0 && i == 0)
				memcpy(first, print, 32);
			assert_int_equal(memcmp(first, print, 32) == 0,
			    cases[i].same);
		}
		/* A pair more that seals; then the first one is retired. */
		next = next_app(round == 0, 0);
		next->pairs[0].state = round == 0 ? E3_PAIR_OPENS :
		    E3_PAIR_RETIRED;
		next->pairs[2].curve = RPC_CURVE_R1;
		next->pairs[2].state = E3_PAIR_SEALS;
		if (round == 0)
			assert_int_equal(scheme_ecdh_generate(
			    scheme_crypto_ecdh(f.engine.crypto), RPC_CURVE_R1,
			    next->pairs[2].secret, &next->pairs[2].pub), RC_OK);
		activate(&next);
	}
	next = next_app(0, 0);			/* gone: others from now on */
	e3_app_drop_pair(next, 0);
	activate(&next);
	seal(FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_NUMBER, SPAN_LIT("42"),
	    SPAN_LIT(""), text);
	assert_int_equal(inspect(FIXTURE_APP, span_of(text), &got, print),
	    RPC_STATUS_OK);
	assert_memory_not_equal(first, print, 32);
}

/* A role that may be opened nowhere can be looked at: no value leaves. */
static void
test_inspect_and_policies(void **state)
{
	/* [["pci", false, []]] */
	static const char roles[] = "\x91\x93\xa3pci\xc2\x90";
	struct rpc_inspected got;
	struct rpc_document doc;
	enum rpc_field_type type;
	char text[600], print[32], value[16];
	struct e3_app *next = next_app(0, 0);

	(void)state;
	assert_int_equal(rpc_document_read(&doc, roles, sizeof(roles) - 1),
	    RC_OK);
	assert_int_equal(e3_app_set_roles(next, doc.root), RC_OK);
	rpc_document_fini(&doc);
	activate(&next);
	seal(FIXTURE_APP, RPC_CURVE_R1, RPC_FIELD_STRING, SPAN_LIT("x"),
	    SPAN_LIT("pci"), text);
	assert_int_equal(fixture_open(&f, FIXTURE_APP, span_of(text), &type,
	    value, sizeof(value)), RPC_OPEN_FORBIDDEN);
	assert_int_equal(inspect(FIXTURE_APP, span_of(text), &got, print),
	    RPC_STATUS_OK);
	assert_int_equal(got.status, RPC_OPEN_OK);
	assert_true(span_eq_str(got.role, "pci"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keys_by_secret_and_by_id,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_made, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_bound_to_a_payload, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_by_whom_and_until_when,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_through_a_rotation, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_inspect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fingerprints, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_inspect_and_policies, setup,
		    teardown),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
