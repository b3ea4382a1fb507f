/* e3/ca.c, ca_cert.c and ca_ops.c: egress CAs through their lives, and every
 * answer of a root that is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/crypto.h>
#include <openssl/ec.h>

#include "e3/ca_cert.h"
#include "e3/record.h"
#include "e3/x509_text.h"
#include "e3_ca_stage.h"
#include "lib/base/clock.h"

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* ---- certificates of the test's own ---- */

struct root {
	EVP_PKEY	*key;		/* owned */
	X509		*cert;		/* owned */
};

struct answer {			/* how a root answers */
	const char	*basic, *usage, *eku, *constraints;
	long		from_s, to_s;
};

static X509 *
sign_cert(EVP_PKEY *key, const char *name, const struct root *by,
    const struct answer *a)
{
	X509 *cert = X509_new();
	const char *const values[] = { a->basic, a->usage, a->eku,
	    a->constraints };
	static const int nids[] = { NID_basic_constraints, NID_key_usage,
	    NID_ext_key_usage, NID_name_constraints };

	assert_true(e3_x509_begin(cert, clock_wall_ms() +
	    (uint64_t)(a->from_s * 1000), clock_wall_ms() +
	    (uint64_t)(a->to_s * 1000)));
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert),
	    "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0), 1);
	assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(
	    by->cert != NULL ? by->cert : cert)), 1);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	for (int i = 0; i < 4; i++)
		if (values[i] != NULL)
			assert_true(e3_x509_add(cert, cert, nids[i],
			    values[i]));
	assert_true(X509_sign(cert, by->key, EVP_sha256()) > 0);
	return (cert);
}

static void
root_open(struct root *r, const char *name, const char *basic,
    const struct root *by)
{
	const struct answer a = { basic, "critical,keyCertSign", NULL, NULL,
	    -3600, 365 * 86400L };

	r->cert = NULL;
	r->key = EVP_EC_gen("P-256");
	assert_non_null(r->key);
	r->cert = sign_cert(r->key, name, by != NULL ? by : r, &a);
}

static void
root_close(struct root *r)
{
	X509_free(r->cert);
	EVP_PKEY_free(r->key);
}

/* ---- which signs ---- */

static void
test_rollover(void **state)
{
	static const struct {
		uint64_t	active[3], end[3], now;
		int		signs;		/* -1: none */
		enum e3_ca_state states[3];
		uint64_t	changes;
	} cases[] = {
#define P	E3_CA_PENDING
#define U	E3_CA_PUBLISHED
#define S	E3_CA_SIGNS
#define O	E3_CA_OLD
		{ { 0, 0, 0 }, { 0, 0, 0 }, 50, -1, { P, P, P }, 0 },
		{ { 10, 0, 0 }, { 100, 0, 0 }, 9, -1, { U, P, P }, 10 },
		{ { 10, 0, 0 }, { 100, 0, 0 }, 10, 0, { S, P, P }, 100 },
		{ { 10, 50, 0 }, { 100, 200, 0 }, 49, 0, { S, U, P }, 50 },
		{ { 10, 50, 0 }, { 100, 200, 0 }, 50, 1, { O, S, P }, 200 },
		{ { 10, 50, 0 }, { 100, 200, 0 }, 199, 1, { O, S, P }, 200 },
		{ { 10, 50, 0 }, { 100, 200, 0 }, 200, -1, { O, O, P }, 0 },
		/* installed later, to begin earlier */
		{ { 50, 0, 20 }, { 99, 0, 99 }, 30, 2, { U, P, S }, 50 },
		{ { 50, 0, 20 }, { 99, 0, 99 }, 60, 0, { S, P, O }, 99 },
		/* in one millisecond; the new one ends before the old one */
		{ { 10, 10, 0 }, { 90, 99, 0 }, 20, 1, { O, S, P }, 99 },
		{ { 10, 50, 0 }, { 99, 60, 0 }, 70, 0, { S, O, P }, 99 },
	};
	struct e3_ca *cas[3];
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(e3_ca_new(f.engine.crypto, NULL, &cas[i]),
		    RC_OK);
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		const struct e3_ca *signing;

		for (int i = 0; i < 3; i++) {
			cas[i]->active_ms = cases[k].active[i];
			cas[i]->not_after_ms = cases[k].end[i];
		}
		signing = e3_ca_signing(cas, 3, cases[k].now);
		assert_ptr_equal(signing, cases[k].signs < 0 ? NULL :
		    cas[cases[k].signs]);
		for (int i = 0; i < 3; i++)
			assert_int_equal(e3_ca_state(cas[i], signing,
			    cases[k].now), cases[k].states[i]);
		assert_int_equal(e3_ca_changes_ms(cas, 3, cases[k].now),
		    cases[k].changes);
	}
	for (int i = 0; i < 3; i++)
		e3_ca_unref(&cas[i]);
	fixture_stop(&f);
}

/* By the ops: a date to come, one that has passed, a former one that comes
 * back, and a slot for one more. */
static void
test_dates_and_room(void **state)
{
	const uint64_t now_ms = clock_wall_ms();
	struct ca_made m[E3_CAS_MAX + 1];
	struct fixture f;

	(void)state;
	ca_fixture(&f, NULL, &m[0]);
	assert_int_equal(ca_create(&f, NULL, true, 30, &m[1]), RPC_STATUS_OK);
	assert_int_equal(ca_install(&f, m[1].id, span_of(m[1].cert),
	    now_ms + DAY_MS), RPC_STATUS_OK);
	ca_check_states(&f, "signs, published", 2);
	assert_int_equal(ca_install(&f, m[1].id, span_of(m[1].cert),
	    now_ms + 31 * DAY_MS), RPC_STATUS_BAD_REQUEST);
	assert_int_equal(ca_install(&f, m[1].id, span_of(m[1].cert),
	    now_ms - DAY_MS), RPC_STATUS_OK);
	ca_check_states(&f, "old, signs", 2);
	assert_int_equal(ca_install(&f, m[0].id, span_of(m[0].cert), 0),
	    RPC_STATUS_OK);
	ca_check_states(&f, "signs, old", 2);
	/* The one that signs keeps its date. */
	assert_int_equal(ca_install(&f, m[0].id, span_of(m[0].cert),
	    now_ms + DAY_MS), RPC_STATUS_OK);
	ca_check_states(&f, "signs, old", 2);
	assert_int_equal(ca_install(&f, m[0].id, span_of(m[1].cert), 0),
	    RPC_STATUS_BAD_REQUEST);
	assert_int_equal(ca_install(&f, "ca_000000000000", span_of(m[1].cert),
	    0), RPC_STATUS_NO_SUCH_KEY);
	for (int i = 2; i < E3_CAS_MAX + 1; i++)
		assert_int_equal(ca_create(&f, NULL, false, 30, &m[i]),
		    RPC_STATUS_OK);
	ca_check_states(&f, "signs, old, pending, pending, pending, pending, "
	    "pending, pending", 2);
	assert_int_equal(ca_install(&f, m[2].id, span_of(m[1].cert), 0),
	    RPC_STATUS_NO_SUCH_KEY);	/* it made room */
	fixture_stop(&f);
}

/* ---- what a root may answer ---- */

static void
put(struct buffer *b, X509 *cert)
{
	assert_true(e3_x509_put(cert, b));
}

struct case_of_root {
	struct answer		a;
	const char		*root_basic;
	enum { UNDER_ROOT, UNDER_BOTH, NO_ROOT, OTHER_KEY, OTHER_ROOT, FIVE,
	    ROOT_FIRST, GARBAGE } how;
	enum rpc_status		want;
};

static void
make_chain(const struct case_of_root *t, EVP_PKEY *key, struct buffer *out)
{
	struct root root, between, other;
	X509 *cert;

	root_open(&root, "root", t->root_basic, NULL);
	root_open(&other, "root", t->root_basic, NULL);
	root_open(&between, "between", "critical,CA:TRUE", &root);
	cert = sign_cert(t->how == OTHER_KEY ? other.key : key, "egress",
	    t->how == UNDER_BOTH || t->how == FIVE ? &between : &root, &t->a);
	if (t->how == ROOT_FIRST)
		put(out, root.cert);
	put(out, cert);
	if (t->how == GARBAGE)
		buffer_puts(out, "Subject: text between\n");
	for (int i = 0; i < (t->how == UNDER_BOTH ? 1 : t->how == FIVE ? 3 :
	    0); i++)
		put(out, between.cert);
	if (t->how == OTHER_ROOT)
		put(out, other.cert);
	else if (t->how != NO_ROOT && t->how != ROOT_FIRST)
		put(out, root.cert);
	X509_free(cert);
	root_close(&root);
	root_close(&other);
	root_close(&between);
}

static void
test_answers_of_a_root(void **state)
{
#define BASIC	"critical,CA:TRUE,pathlen:0"
#define USAGE	"critical,keyCertSign,cRLSign"
#define NC	"critical,permitted;DNS:example.com"
#define ANY	"critical,CA:TRUE"
#define T	30 * 86400L
#define BAD	RPC_STATUS_BAD_REQUEST
	static const struct case_of_root cases[] = {
		{ { BASIC, USAGE, NULL, NC, -60, T }, ANY, UNDER_ROOT,
		    RPC_STATUS_OK },
		{ { BASIC, USAGE, NULL, NC, -60, T }, ANY, UNDER_BOTH,
		    RPC_STATUS_OK },
		{ { BASIC, USAGE, NULL, NC, -60, T }, ANY, GARBAGE,
		    RPC_STATUS_OK },
		{ { BASIC, USAGE, NULL, NC, 3600, T }, ANY, UNDER_ROOT,
		    RPC_STATUS_OK },
		{ { BASIC, USAGE, "serverAuth", NC, -60, T }, ANY, UNDER_ROOT,
		    RPC_STATUS_OK },
		{ { BASIC, USAGE, NULL, NC, -60, T }, "critical,CA:TRUE,pathlen:1",
		    UNDER_ROOT, RPC_STATUS_OK },
		{ { BASIC, USAGE, NULL, NC, -60, T }, "critical,CA:TRUE,pathlen:0",
		    UNDER_ROOT, BAD },
		{ { BASIC, USAGE, NULL, NC, -60, T }, "critical,CA:TRUE,pathlen:1",
		    UNDER_BOTH, BAD },
		{ { BASIC, USAGE, NULL, NC, -60, T }, "critical,CA:FALSE",
		    UNDER_ROOT, BAD },
		{ { BASIC, USAGE, NULL, NC, -60, T }, ANY, NO_ROOT, BAD },
		{ { BASIC, USAGE, NULL, NC, -60, T }, ANY, OTHER_KEY, BAD },
		{ { BASIC, USAGE, NULL, NC, -60, T }, ANY, OTHER_ROOT, BAD },
		{ { BASIC, USAGE, NULL, NC, -60, T }, ANY, FIVE, BAD },
		{ { BASIC, USAGE, NULL, NC, -60, T }, ANY, ROOT_FIRST, BAD },
		{ { BASIC, USAGE, NULL, NULL, -60, T }, ANY, UNDER_ROOT, BAD },
		{ { BASIC, USAGE, "clientAuth", NC, -60, T }, ANY, UNDER_ROOT,
		    BAD },
		{ { BASIC, "critical,digitalSignature", NULL, NC, -60, T },
		    ANY, UNDER_ROOT, BAD },
		{ { BASIC, NULL, NULL, NC, -60, T }, ANY, UNDER_ROOT, BAD },
		{ { "critical,CA:FALSE", USAGE, NULL, NC, -60, T }, ANY,
		    UNDER_ROOT, BAD },
		{ { NULL, USAGE, NULL, NC, -60, T }, ANY, UNDER_ROOT, BAD },
		{ { "critical,CA:TRUE", USAGE, NULL, NC, -60, T }, ANY,
		    UNDER_ROOT, BAD },
		{ { "critical,CA:TRUE,pathlen:1", USAGE, NULL, NC, -60, T },
		    ANY, UNDER_ROOT, BAD },
		{ { BASIC, USAGE, NULL, NC, -86400, -60 }, ANY, UNDER_ROOT,
		    BAD },
	};
	const struct e3_ca *ca;
	EVP_PKEY *key;
	struct fixture f;
	struct buffer b;
	struct ca_made m;

	(void)state;
	fixture_start(&f, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ca_create(&f, "example.com", false, 30, &m),
		    RPC_STATUS_OK);
		assert_string_equal(m.cert, "");
		ca = e3_keyring_app(f.engine.keyring, SPAN_LIT(E3_SYSTEM_APP))->
		    cas[e3_keyring_app(f.engine.keyring, SPAN_LIT(
		    E3_SYSTEM_APP))->n_cas - 1];
		key = ca->key;
		buffer_init(&b, 0, false);
		make_chain(&cases[i], key, &b);
		if (ca_install(&f, m.id, view(&b), 0) != cases[i].want)
			fail_msg("case %zu", i);
		buffer_fini(&b);
	}
	assert_int_equal(ca_install(&f, m.id, SPAN_LIT(""), 0), BAD);
	assert_int_equal(ca_install(&f, m.id, span_of(m.request), 0), BAD);
	fixture_stop(&f);
}

/* What signs is good as long as all above it: no leaf outlives its root. */
static void
test_dates_of_the_chain(void **state)
{
	static const struct case_of_root cases[] = {
		{ { BASIC, USAGE, NULL, NULL, -7200, 400 * 86400L }, ANY,
		    UNDER_ROOT, RPC_STATUS_OK },
		{ { BASIC, USAGE, NULL, NULL, -7200, 400 * 86400L }, ANY,
		    UNDER_BOTH, RPC_STATUS_OK },
		{ { BASIC, USAGE, NULL, NULL, -60, 86400L }, ANY, UNDER_ROOT,
		    RPC_STATUS_OK },
	};
	const struct e3_ca *ca;
	uint64_t from_ms, to_ms;
	struct fixture f;
	struct buffer b;
	struct ca_made m;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture_start(&f, 1);
		assert_int_equal(ca_create(&f, NULL, false, 30, &m),
		    RPC_STATUS_OK);
		ca = e3_keyring_app(f.engine.keyring,
		    SPAN_LIT(E3_SYSTEM_APP))->cas[0];
		buffer_init(&b, 0, false);
		make_chain(&cases[i], ca->key, &b);
		assert_int_equal(ca_install(&f, m.id, view(&b), 0),
		    RPC_STATUS_OK);
		ca = e3_keyring_app(f.engine.keyring,
		    SPAN_LIT(E3_SYSTEM_APP))->cas[0];
		for (unsigned k = 0; k < ca->n_certs; k++) {
			assert_true(e3_x509_time_ms(X509_get0_notBefore(
			    ca->certs[k]), &from_ms));
			assert_true(e3_x509_time_ms(X509_get0_notAfter(
			    ca->certs[k]), &to_ms));
			assert_true(ca->not_before_ms >= from_ms);
			assert_true(ca->not_after_ms <= to_ms);
		}
		assert_null(e3_ca_signing(e3_keyring_app(f.engine.keyring,
		    SPAN_LIT(E3_SYSTEM_APP))->cas, 1, ca->not_after_ms));
		assert_non_null(e3_ca_signing(e3_keyring_app(f.engine.keyring,
		    SPAN_LIT(E3_SYSTEM_APP))->cas, 1, ca->not_after_ms - 1));
		buffer_fini(&b);
		fixture_stop(&f);
	}
}

/* Every cut and every changed byte of a good chain. */
static void
test_broken_chains(void **state)
{
	struct ca_made m;
	struct fixture f;
	size_t n;
	char *cut;

	(void)state;
	fixture_start(&f, 1);
	assert_int_equal(ca_create(&f, NULL, true, 30, &m), RPC_STATUS_OK);
	n = strlen(m.cert);
	for (size_t i = 0; i < n - 30; i += 7) {
		cut = strdup(m.cert);
		cut[i] = cut[i] == 'A' ? 'B' : 'A';
		assert_int_equal(ca_install(&f, m.id, (struct span){ cut, i }, 0),
		    BAD);
		assert_int_equal(ca_install(&f, m.id, span_of(cut), 0), BAD);
		free(cut);
	}
	fixture_stop(&f);
}

/* ---- keys and records ---- */

/* Both forms of a private key lie in the secure heap, and go from there. */
static void
test_key_in_the_secure_heap(void **state)
{
	struct e3_ca *ca, *more;
	struct fixture f;
	size_t used;

	(void)state;
	fixture_start(&f, 1);
	/* What OpenSSL takes at its first use, and keeps. */
	assert_int_equal(e3_ca_new(f.engine.crypto, NULL, &ca), RC_OK);
	e3_ca_unref(&ca);
	used = CRYPTO_secure_used();
	assert_int_equal(e3_ca_new(f.engine.crypto, NULL, &ca), RC_OK);
	assert_true(CRYPTO_secure_used() >= used + 2 * SCHEME_SECRET_BYTES);
	assert_true(CRYPTO_secure_allocated(ca->secret));
	more = e3_ca_ref(ca);
	e3_ca_unref(&ca);
	assert_memory_not_equal(more->secret, (uint8_t[32]){ 0 }, 32);
	e3_ca_unref(&more);
	assert_int_equal(CRYPTO_secure_used(), used);
	fixture_stop(&f);
}

static void
test_record(void **state)
{
	static const uint8_t next[SCHEME_SECRET_BYTES] = "the next root key";
	struct rpc_record_head h;
	struct e3_app *app, *copy, *again;
	struct buffer b, record;
	struct span bytes;
	struct ca_made m;
	struct fixture f;
	struct reply r;

	(void)state;
	ca_fixture(&f, "example.com", &m);
	assert_int_equal(ca_create(&f, NULL, false, 30, &m), RPC_STATUS_OK);
	app = e3_keyring_app(f.engine.keyring, SPAN_LIT(E3_SYSTEM_APP));
	assert_int_equal(app->version, 3);
	f.engine.next_root_key = next;
	f.peer.role = RPC_ROLE_HELPER;
	buffer_init(&b, 0, false);
	rpc_pack(&b, RPC_STR("app", E3_SYSTEM_APP));
	fixture_call(&f, "Reseal", &b, &r);
	assert_int_equal(r.status, RPC_STATUS_OK);
	assert_true(rpc_get_bytes(rpc_map_get(r.frames[0].body, "record"),
	    &bytes));
	assert_int_equal(rpc_record_head_read(bytes, &h), RC_OK);
	assert_int_equal(h.format, RPC_RECORD_FORMAT_3);
	assert_int_equal(e3_record_open(f.engine.crypto, next, bytes, &again),
	    RC_OK);
	assert_int_equal(again->n_cas, 2);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(again->cas[i]->id, app->cas[i]->id);
		assert_memory_equal(again->cas[i]->secret, app->cas[i]->secret,
		    SCHEME_SECRET_BYTES);
		assert_int_equal(again->cas[i]->active_ms,
		    app->cas[i]->active_ms);
		assert_true(span_eq(view(&again->cas[i]->pem),
		    view(&app->cas[i]->pem)));
	}
	assert_int_equal(again->cas[0]->n_certs, 1);
	assert_int_equal(again->cas[1]->n_certs, 0);
	reply_fini(&r);

	/* Without CAs it is a record for older engines again. */
	assert_int_equal(e3_app_copy(again, 0, 0, &copy), RC_OK);
	assert_ptr_equal(copy->cas[1], again->cas[1]);
	while (copy->n_cas != 0)
		e3_ca_unref(&copy->cas[--copy->n_cas]);
	buffer_init(&record, 0, false);
	assert_int_equal(e3_record_seal(f.engine.crypto, next, copy, &record),
	    RC_OK);
	assert_int_equal(rpc_record_head_read(view(&record), &h), RC_OK);
	assert_int_equal(h.format, RPC_RECORD_FORMAT_2);
	buffer_fini(&record);
	e3_app_unref(&copy);
	e3_app_unref(&again);
	fixture_stop(&f);
}

static void
test_no_ca(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *der;
	struct span spki = ca_public_der(key, &der);
	struct fixture f;
	struct ca_made m;

	(void)state;
	fixture_start(&f, 1);
	f.peer.role = RPC_ROLE_WORKER;
	ca_check_states(&f, "", 0);
	assert_int_equal(ca_leaf(&f, "a.test", spki, NULL, 0),
	    RPC_STATUS_NO_SUCH_KEY);
	assert_int_equal(ca_install(&f, "ca_000000000000", SPAN_LIT("x"), 0),
	    RPC_STATUS_NO_SUCH_KEY);
	assert_int_equal(ca_create(&f, NULL, false, 30, &m), RPC_STATUS_OK);
	ca_check_states(&f, "pending", 0);
	assert_int_equal(ca_leaf(&f, "a.test", spki, NULL, 0),
	    RPC_STATUS_NO_SUCH_KEY);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	fixture_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rollover),
		cmocka_unit_test(test_dates_and_room),
		cmocka_unit_test(test_answers_of_a_root),
		cmocka_unit_test(test_dates_of_the_chain),
		cmocka_unit_test(test_broken_chains),
		cmocka_unit_test(test_key_in_the_secure_heap),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_no_ca),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
