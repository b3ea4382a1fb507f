/* e3/record.c, load.c and keyring.c: what was sealed opens, also what an older
 * version sealed; what was changed, cut, swapped or rolled back does not
 * become active. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "e3/record.h"
#include "e3_fixture.h"

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* One role, which forbids the key API. */
static void
set_role(struct e3_app *a, const char *name)
{
	struct rpc_document doc;
	struct buffer b;

	buffer_init(&b, 0, false);
	rpc_put_array(&b, 1);
	rpc_put_array(&b, 3);
	rpc_put_str(&b, name);
	buffer_puts(&b, "\xc3\x91\x95\xc2\x03\x90\x90");
	rpc_put_u64(&b, 0);
	assert_int_equal(rpc_document_read(&doc, buffer_data(&b),
	    buffer_len(&b)), RC_OK);
	assert_int_equal(e3_app_set_roles(a, doc.root), RC_OK);
	rpc_document_fini(&doc);
	buffer_fini(&b);
}

/* The vector app with two API keys, a retired pair and a role, as a record of
 * this version. */
static void
make_record(struct fixture *f, uint64_t version, const char *name,
    struct buffer *out)
{
	struct e3_app *base = e3_keyring_app(f->engine.keyring,
	    span_of(FIXTURE_APP)), *a;

	assert_int_equal(e3_app_copy(base, 1, 2, &a), RC_OK);
	a->version = version;
	a->created_ms = 1700000000000;
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	a->pairs[2].curve = RPC_CURVE_K1;
	a->pairs[2].state = E3_PAIR_RETIRED;
	a->pairs[2].number = 3;
	assert_int_equal(scheme_ecdh_generate(scheme_crypto_ecdh(f->engine.crypto),
	    RPC_CURVE_K1, a->pairs[2].secret, &a->pairs[2].pub), RC_OK);
	set_role(a, "pci");
	for (unsigned i = a->n_keys - 2; i < a->n_keys; i++) {
		struct e3_api_key *k = &a->keys[i];

		(void)snprintf(k->id, sizeof(k->id), "key_%012u", i);
		memset(k->hash, (int)i + 1, sizeof(k->hash));
		k->revoked = i % 2 != 0;
		k->expires_ms = i % 2 != 0 ? 0 : 1700000000002;
		k->created_ms = 1700000000001;
		k->n_scopes = i % 2 != 0 ? 0 : 2;
		(void)snprintf(k->scopes[0], E3_SCOPE_BYTES, "decrypt");
		(void)snprintf(k->scopes[1], E3_SCOPE_BYTES, "api:other");
	}
	buffer_init(out, 0, false);
	assert_int_equal(e3_record_seal(f->engine.crypto, f->engine.root_key,
	    a, out), RC_OK);
	e3_app_unref(&a);
}

static void
test_round_trip(void **state)
{
	struct e3_app *a, *base;
	struct buffer record, again;
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	make_record(&f, 7, "näme", &record);
	make_record(&f, 7, "näme", &again);
	assert_int_equal(buffer_len(&record), buffer_len(&again));
	assert_memory_not_equal(buffer_data(&record), buffer_data(&again),
	    buffer_len(&record));
	assert_int_equal(e3_record_open(f.engine.crypto, f.engine.root_key,
	    view(&record), &a), RC_OK);
	base = e3_keyring_app(f.engine.keyring, span_of(FIXTURE_APP));
	assert_string_equal(a->id, FIXTURE_APP);
	assert_string_equal(a->name, "näme");
	assert_int_equal(a->version, 7);
	assert_int_equal(a->created_ms, 1700000000000);
	assert_int_equal(a->n_pairs, 3);
	assert_int_equal(a->pairs[2].state, E3_PAIR_RETIRED);
	assert_int_equal(e3_app_live_pairs(a, RPC_CURVE_K1), 1);
	assert_true(span_eq(view(&a->roles_bytes), SPAN_LIT(
	    "\x91\x93\xa3pci\xc3\x91\x95\xc2\x03\x90\x90\x00")));
	assert_int_equal(rpc_array_len(a->roles.root), 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(a->pairs[i].curve, base->pairs[i].curve);
		assert_int_equal(a->pairs[i].state, E3_PAIR_SEALS);
		assert_memory_equal(&a->pairs[i].pub, &base->pairs[i].pub,
		    sizeof(a->pairs[i].pub));
		assert_memory_equal(a->pairs[i].secret, base->pairs[i].secret,
		    SCHEME_SECRET_BYTES);
	}
	assert_int_equal(a->n_keys, 2);
	assert_false(a->keys[0].revoked);
	assert_true(e3_api_key_allows(&a->keys[0], "api:other"));
	assert_false(e3_api_key_allows(&a->keys[0], "encrypt"));
	assert_true(a->keys[1].revoked);
	assert_true(e3_api_key_allows(&a->keys[1], "encrypt"));
	assert_true(e3_api_key_live(&a->keys[0], 1700000000001));
	assert_false(e3_api_key_live(&a->keys[0], 1700000000002));
	assert_int_equal(a->keys[1].expires_ms, 0);
	e3_app_unref(&a);
	buffer_fini(&record);
	buffer_fini(&again);
	fixture_stop(&f);
}

/* One bit anywhere, each cut, another root key: nothing opens. */
static void
test_changed(void **state)
{
	uint8_t other_root[SCHEME_SECRET_BYTES] = "another root key";
	struct buffer record;
	struct fixture f;
	struct e3_app *a;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	make_record(&f, 1, "", &record);
	for (size_t bit = 0; bit < 8 * buffer_len(&record); bit++) {
		buffer_data(&record)[bit / 8] ^= (char)(1 << bit % 8);
		if (e3_record_open(f.engine.crypto, f.engine.root_key,
		    view(&record), &a) == RC_OK)
			fail_msg("bit %zu changed nothing", bit);
		assert_null(a);
		buffer_data(&record)[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t n = 0; n < buffer_len(&record); n++)
		assert_int_not_equal(e3_record_open(f.engine.crypto,
		    f.engine.root_key, (struct span){ buffer_data(&record),
		    n }, &a), RC_OK);
	assert_int_equal(e3_record_open(f.engine.crypto, other_root,
	    view(&record), &a), RC_CORRUPT);
	buffer_puts(&record, "x");
	assert_int_equal(e3_record_open(f.engine.crypto, f.engine.root_key,
	    view(&record), &a), RC_CORRUPT);
	buffer_fini(&record);
	fixture_stop(&f);
}

/* An authentic record of this format around any document, with the private
 * keys of the vector app's first n pairs. */
static void
forge(struct fixture *f, int format, const struct buffer *document, unsigned n,
    struct buffer *out)
{
	struct e3_app *app = e3_keyring_app(f->engine.keyring,
	    span_of(FIXTURE_APP));
	size_t len = buffer_len(document), head;
	uint8_t iv[SCHEME_IV_BYTES] = { 0 };
	struct buffer plain;
	char *at;

	buffer_init(&plain, 0, true);
	buffer_put(&plain, (uint8_t[]){ 0, 0, (uint8_t)(len >> 8),
	    (uint8_t)len }, 4);
	buffer_put(&plain, buffer_data(document), len);
	for (unsigned i = 0; i < n; i++)	/* any pair of them twice */
		buffer_put(&plain, app->pairs[i % app->n_pairs].secret,
		    SCHEME_SECRET_BYTES);
	buffer_init(out, 0, false);
	rpc_record_head_write(out, FIXTURE_APP, 1);
	buffer_data(out)[4] = (char)format;
	head = buffer_len(out);
	buffer_put(out, iv, sizeof(iv));
	assert_int_equal(buffer_reserve(out, buffer_len(&plain) + SCHEME_TAG_BYTES,
	    &at), RC_OK);
	assert_int_equal(scheme_ecies_seal(f->engine.crypto, f->engine.root_key,
	    iv, (struct span){ buffer_data(out), head }, (struct span){ NULL,
	    0 }, view(&plain), (uint8_t *)at), RC_OK);
	buffer_commit(out, buffer_len(&plain) + SCHEME_TAG_BYTES);
	buffer_fini(&plain);
}

/* Authentic content that this version cannot mean: never half taken. */
static void
test_foreign_content(void **state)
{
	static const char *const documents[] = {
		"",			/* none */
		"\x80",			/* an empty map */
		"\x90",			/* no map */
		"\x84\xa4name\xa0\xaa" "created_ms\x01\xa5pairs\x90\xa4keys\x90",
		"\x84\xa4name\xa0\xaa" "created_ms\x01\xa5pairs\xc0\xa4keys\x90",
	};
	struct buffer document, record;
	struct fixture f;
	struct e3_app *a;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	buffer_init(&document, 0, false);
	for (size_t i = 0; i < 2 * sizeof(documents) / sizeof(documents[0]);
	    i++) {
		buffer_clear(&document);
		buffer_puts(&document, documents[i / 2]);
		forge(&f, 1 + i % 2, &document, 0, &record);
		assert_int_equal(e3_record_open(f.engine.crypto,
		    f.engine.root_key, view(&record), &a), RC_UNSUPPORTED);
		assert_null(a);
		buffer_fini(&record);
	}
	buffer_fini(&document);
	fixture_stop(&f);
}

/* What a document may be made of, besides what is right. */
struct shape {
	int		format;
	unsigned	curves[3];	/* of pairs; of the vector app's keys */
	const char	*states[3];
	uint64_t	numbers[3];
	unsigned	n_pairs, key_members;
	int		expires;	/* -1: nil */
	const char	*roles;		/* encoded, or NULL: none */
	enum rc		want;
};

static void
put_shape(struct fixture *f, const struct shape *t, struct buffer *b)
{
	const struct e3_app *app = e3_keyring_app(f->engine.keyring,
	    span_of(FIXTURE_APP));

	rpc_put_map(b, t->roles != NULL ? 5 : 4);
	rpc_put_str(b, "name");
	rpc_put_str(b, "n");
	rpc_put_str(b, "created_ms");
	rpc_put_u64(b, 5);
	rpc_put_str(b, "pairs");
	rpc_put_array(b, t->n_pairs);
	for (unsigned i = 0; i < t->n_pairs; i++) {
		rpc_put_array(b, 5);
		rpc_put_str(b, t->curves[i] == 0 ? "r1" : "k1");
		rpc_put_u64(b, t->numbers[i]);
		rpc_put_str(b, t->states[i]);
		rpc_put_u64(b, 6);
		rpc_put_bin(b, (struct span){ (const char *)app->pairs[i %
		    2].pub.compressed, SCHEME_POINT_BYTES });
	}
	rpc_put_str(b, "keys");
	rpc_put_array(b, 1);
	rpc_put_array(b, t->key_members);
	rpc_put_str(b, "key_000000000000");
	rpc_put_bin(b, SPAN_LIT("0123456789abcdef0123456789abcdef"));
	rpc_put_bool(b, false);
	rpc_put_u64(b, 7);
	rpc_put_array(b, 0);
	if (t->key_members > 5 && t->expires < 0)
		rpc_put_nil(b);
	else if (t->key_members > 5)
		rpc_put_u64(b, (uint64_t)t->expires);
	if (t->roles != NULL) {
		rpc_put_str(b, "roles");
		buffer_puts(b, t->roles);
	}
}

/* Both formats, each with what only the other one has. */
static void
test_formats(void **state)
{
#define PAIRS	{ 0, 1, 0 }
#define S	"seals"
#define O	"opens"
#define R	"retired"
#define N	{ 1, 2, 3 }
	static const struct shape shapes[] = {
		{ 1, PAIRS, { S, S }, N, 2, 5, 0, NULL, RC_OK },
		{ 1, PAIRS, { O, S, S }, N, 3, 5, 0, NULL, RC_OK },
		{ 1, PAIRS, { S, S }, N, 2, 6, -1, NULL, RC_UNSUPPORTED },
		{ 1, PAIRS, { S, S }, N, 2, 5, 0, "\x90", RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S }, N, 2, 6, -1, "\x90", RC_OK },
		{ 2, PAIRS, { R, R }, N, 2, 6, 9, "\x90", RC_OK },
		{ 2, PAIRS, { R, S, O }, { 4, 9, 90 }, 3, 6, 9, "\x90", RC_OK },
		{ 2, PAIRS, { S, S }, N, 2, 6, 0, "\x90", RC_UNSUPPORTED },
		{ 3, PAIRS, { S, S }, N, 2, 6, -1, "\x90", RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S }, N, 2, 5, 0, "\x90", RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S }, N, 2, 6, -1, NULL, RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S }, N, 2, 6, -1, "\xc0", RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S }, N, 2, 6, -1, "\x80", RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S }, N, 2, 6, -1, "\x91\xc0",
		    RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S }, N, 2, 6, -1, "\x91\x93\xa1" "A\xc3\x90",
		    RC_UNSUPPORTED },
		/* two that seal on a curve; out of order; of no number */
		{ 2, PAIRS, { S, S, S }, N, 3, 6, -1, "\x90", RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S, O }, { 2, 3, 1 }, 3, 6, -1, "\x90",
		    RC_UNSUPPORTED },
		{ 2, PAIRS, { S, S, O }, { 1, 2, 2 }, 3, 6, -1, "\x90",
		    RC_UNSUPPORTED },
		{ 2, PAIRS, { S, "Seals" }, N, 2, 6, -1, "\x90",
		    RC_UNSUPPORTED },
		{ 2, PAIRS, { S, "" }, N, 2, 6, -1, "\x90", RC_UNSUPPORTED },
		/* the public key of another pair */
		{ 2, { 0, 0, 0 }, { S, O }, N, 2, 6, -1, "\x90", RC_CORRUPT },
	};
	struct fixture f;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct buffer document, record;
		struct e3_app *a;
		enum rc rc;

		buffer_init(&document, 0, false);
		put_shape(&f, &shapes[i], &document);
		forge(&f, shapes[i].format, &document, shapes[i].n_pairs,
		    &record);
		rc = e3_record_open(f.engine.crypto, f.engine.root_key,
		    view(&record), &a);
		if (rc != shapes[i].want)
			fail_msg("shape %zu: %s", i, rc_name(rc));
		if (rc == RC_OK) {
			/* The next version is of the newest format. */
			struct rpc_record_head h;

			a->version++;
			buffer_clear(&record);
			assert_int_equal(e3_record_seal(f.engine.crypto,
			    f.engine.root_key, a, &record), RC_OK);
			assert_int_equal(rpc_record_head_read(view(&record),
			    &h), RC_OK);
			assert_int_equal(h.format, RPC_RECORD_FORMAT_2);
			e3_app_unref(&a);
			assert_int_equal(e3_record_open(f.engine.crypto,
			    f.engine.root_key, view(&record), &a), RC_OK);
			assert_int_equal(a->n_pairs, shapes[i].n_pairs);
			assert_int_equal(a->keys[0].expires_ms,
			    shapes[i].expires > 0 ? shapes[i].expires : 0);
		}
		e3_app_unref(&a);
		buffer_fini(&document);
		buffer_fini(&record);
	}
	fixture_stop(&f);
}

/* The secrets of 10,000 apps take a quarter of the default secure heap, which
 * is the whole of the test's. */
static void
test_ten_thousand_apps(void **state)
{
	static struct e3_app *apps[10000];
	const size_t n = sizeof(apps) / sizeof(apps[0]);

	(void)state;
	if (!CRYPTO_secure_malloc_initialized())
		assert_int_not_equal(CRYPTO_secure_malloc_init(1 << 20, 32),
		    0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(e3_app_new(2, 1, &apps[i]), RC_OK);
	for (size_t i = 0; i < n; i++)
		e3_app_unref(&apps[i]);
}

/* ---- the keyring, by LoadRecords ---- */

struct loaded {
	enum rpc_status	status;
	uint64_t	loaded, broken, rollbacks, conflicts, active;
};

static struct loaded
load(struct fixture *f, const struct buffer *const *records, size_t n)
{
	struct loaded l = { RPC_STATUS_INTERNAL, 0, 0, 0, 0, 0 };
	struct buffer b;
	struct reply r;

	buffer_init(&b, 0, false);
	rpc_put_map(&b, 1);
	rpc_put_str(&b, "records");
	rpc_put_array(&b, n);
	for (size_t i = 0; i < n; i++)
		rpc_put_bin(&b, view(records[i]));
	f->peer.role = RPC_ROLE_HELPER;
	fixture_call(f, "LoadRecords", &b, &r);
	l.status = r.status;
	if (l.status == RPC_STATUS_OK) {
		const struct rpc_value *v = r.frames[0].body;

		assert_true(rpc_get_u64(rpc_map_get(v, "loaded"), &l.loaded));
		assert_true(rpc_get_u64(rpc_map_get(v, "broken"), &l.broken));
		assert_true(rpc_get_u64(rpc_map_get(v, "rollbacks"),
		    &l.rollbacks));
		assert_true(rpc_get_u64(rpc_map_get(v, "conflicts"),
		    &l.conflicts));
		l.active = rpc_array_len(rpc_map_get(v, "active"));
	}
	reply_fini(&r);
	return (l);
}

/* Is there a key of this hash, and is its app the active one? */
static bool
key_found(struct fixture *f, int hash_byte)
{
	uint8_t hash[SCHEME_SECRET_BYTES];
	const struct e3_api_key *key;

	memset(hash, hash_byte, sizeof(hash));
	if ((key = e3_keyring_key(f->engine.keyring, hash)) == NULL)
		return (false);
	assert_ptr_equal(key->app, e3_keyring_app(f->engine.keyring,
	    SPAN_LIT(FIXTURE_APP)));
	return (true);
}

static void
test_load(void **state)
{
	struct buffer v2, v2b, v3, broken;
	uint8_t sum[2][SCHEME_SECRET_BYTES];
	struct fixture f;
	struct loaded l;
	uint64_t epoch;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	f.engine.ready = false;
	make_record(&f, 2, "one", &v2);
	make_record(&f, 2, "two", &v2b);
	make_record(&f, 3, "three", &v3);
	make_record(&f, 9, "broken", &broken);
	buffer_data(&broken)[buffer_len(&broken) - 1] ^= 1;
	epoch = e3_keyring_epoch(f.engine.keyring);

	assert_false(key_found(&f, 1));
	l = load(&f, (const struct buffer *[]){ &v2 }, 1);
	assert_int_equal(l.status, RPC_STATUS_OK);
	assert_int_equal(l.loaded, 1);
	assert_int_equal(l.active, 1);
	assert_true(key_found(&f, 1));
	assert_false(key_found(&f, 2));	/* revoked */
	assert_int_not_equal(e3_keyring_epoch(f.engine.keyring), epoch);
	e3_keyring_checksum(f.engine.keyring, sum[0]);

	/* Again: nothing changes.  Same version, other bytes: conflict. */
	epoch = e3_keyring_epoch(f.engine.keyring);
	l = load(&f, (const struct buffer *[]){ &v2 }, 1);
	assert_int_equal(l.loaded, 1);
	l = load(&f, (const struct buffer *[]){ &v2b }, 1);
	assert_int_equal(l.status, RPC_STATUS_CONFLICT);
	l = load(&f, (const struct buffer *[]){ &broken }, 1);
	assert_int_equal(l.status, RPC_STATUS_BAD_REQUEST);
	assert_int_equal(e3_keyring_epoch(f.engine.keyring), epoch);
	e3_keyring_checksum(f.engine.keyring, sum[1]);
	assert_memory_equal(sum[0], sum[1], sizeof(sum[0]));

	/* A newer one beside broken and conflicting ones is taken. */
	l = load(&f, (const struct buffer *[]){ &broken, &v2b, &v3, &v2 }, 4);
	assert_int_equal(l.status, RPC_STATUS_OK);
	assert_int_equal(l.loaded, 1);
	assert_int_equal(l.broken, 1);
	assert_int_equal(l.conflicts, 1);
	assert_int_equal(l.rollbacks, 1);
	assert_string_equal(e3_keyring_app(f.engine.keyring,
	    span_of(FIXTURE_APP))->name, "three");
	l = load(&f, (const struct buffer *[]){ &v2 }, 1);
	assert_int_equal(l.status, RPC_STATUS_CONFLICT);
	assert_string_equal(e3_keyring_app(f.engine.keyring,
	    span_of(FIXTURE_APP))->name, "three");
	e3_keyring_checksum(f.engine.keyring, sum[1]);
	assert_memory_not_equal(sum[0], sum[1], sizeof(sum[0]));
	l = load(&f, NULL, 0);
	assert_int_equal(l.status, RPC_STATUS_OK);
	buffer_fini(&v2);
	buffer_fini(&v2b);
	buffer_fini(&v3);
	buffer_fini(&broken);
	fixture_stop(&f);
}

/* While the root key changes, records of both kinds are taken; which is which
 * is known, and no key at all makes a record of another installation open. */
static void
test_two_root_keys(void **state)
{
	static const uint8_t keys[3][SCHEME_SECRET_BYTES] = { "present", "next",
	    "another installation's" };
	struct buffer records[3];
	struct fixture f;
	struct loaded l;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	for (unsigned i = 0; i < 3; i++) {
		f.engine.root_key = keys[i];
		make_record(&f, i + 2, "", &records[i]);
	}
	f.engine.root_key = keys[0];
	l = load(&f, (const struct buffer *[]){ &records[1] }, 1);
	assert_int_equal(l.broken + l.loaded, 0);	/* refused as a whole */
	assert_int_equal(l.status, RPC_STATUS_BAD_REQUEST);
	f.engine.next_root_key = keys[1];
	for (unsigned i = 0; i < 2; i++) {
		l = load(&f, (const struct buffer *[]){ &records[i],
		    &records[2] }, 2);
		assert_int_equal(l.loaded, 1);
		assert_int_equal(l.broken, 1);
		assert_int_equal(e3_keyring_app(f.engine.keyring,
		    span_of(FIXTURE_APP))->under_next, i == 1);
	}
	for (unsigned i = 0; i < 3; i++)
		buffer_fini(&records[i]);
	fixture_stop(&f);
}

/* Header of one record, sealed part of another: the header is in the seal. */
static void
test_swapped(void **state)
{
	struct buffer one, two;
	struct fixture f;
	struct e3_app *a;
	size_t head;

	(void)state;
	fixture_start(&f, 1);
	fixture_app(&f, FIXTURE_APP);
	make_record(&f, 1, "same", &one);
	make_record(&f, 2, "same", &two);
	head = buffer_len(&two) - (SCHEME_IV_BYTES + SCHEME_TAG_BYTES + 100);
	for (size_t n = 1; n < head; n++) {
		struct buffer mixed;

		buffer_init(&mixed, 0, false);
		buffer_put(&mixed, buffer_data(&two), n);
		buffer_put(&mixed, buffer_data(&one) + n,
		    buffer_len(&one) - n);
		if (span_eq(view(&mixed), view(&one)) == false)
			assert_int_not_equal(e3_record_open(f.engine.crypto,
			    f.engine.root_key, view(&mixed), &a), RC_OK);
		buffer_fini(&mixed);
	}
	buffer_fini(&one);
	buffer_fini(&two);
	fixture_stop(&f);
}

/* Lists of 0, 1, a whole piece, and around it; entries in order of ids. */
static void
test_lists(void **state)
{
	static const unsigned counts[] = { 0, 1, 513 };
	struct fixture f;
	struct reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		char last[64] = "", id[64];
		size_t n = 0;

		fixture_start(&f, 1);
		for (unsigned k = 0; k < counts[i]; k++) {
			(void)snprintf(id, sizeof(id), "app_%012u",
			    (k * 7919) % 100000);
			fixture_app(&f, id);
		}
		f.peer.role = RPC_ROLE_ADMIN;
		fixture_call(&f, "ListApps", NULL, &r);
		assert_int_equal(r.status, RPC_STATUS_OK);
		assert_int_equal(r.n, 1);
		for (unsigned p = 0; p < r.n; p++) {
			const struct rpc_value *v = r.frames[p].body;

			for (size_t k = 0; k < rpc_array_len(v); k++, n++) {
				struct span s;

				assert_true(rpc_get_bytes(rpc_array_at(
				    rpc_array_at(v, k), 0), &s));
				assert_true(span_copy(s, id, sizeof(id)));
				assert_true(strcmp(id, last) > 0);
				memcpy(last, id, sizeof(last));
			}
		}
		assert_int_equal(n, counts[i]);
		reply_fini(&r);
		fixture_stop(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_foreign_content),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_ten_thousand_apps),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_two_root_keys),
		cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_lists),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
