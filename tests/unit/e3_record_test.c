/* e3/record.c and keyring.c: what was sealed opens, what was changed, cut,
 * swapped or rolled back does not become active. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "e3/record.h"
#include "e3_fixture.h"

static struct span
view(const struct buffer *b)
{
	return ((struct span){ buffer_data(b), buffer_len(b) });
}

/* The vector app with two API keys, as a record of this version. */
static void
make_record(struct fixture *f, uint64_t version, const char *name,
    struct buffer *out)
{
	struct e3_app *base = e3_keyring_app(f->engine.keyring,
	    span_of(FIXTURE_APP)), *a;

	assert_int_equal(e3_app_copy(base, 2, &a), RC_OK);
	a->version = version;
	a->created_ms = 1700000000000;
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	for (unsigned i = a->n_keys - 2; i < a->n_keys; i++) {
		struct e3_api_key *k = &a->keys[i];

		(void)snprintf(k->id, sizeof(k->id), "key_%012u", i);
		memset(k->hash, (int)i + 1, sizeof(k->hash));
		k->revoked = i % 2 != 0;
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
	assert_int_equal(a->n_pairs, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(a->pairs[i].curve, base->pairs[i].curve);
		assert_int_equal(a->pairs[i].state, E3_PAIR_SEALS);
		assert_memory_equal(&a->pairs[i].pub, &base->pairs[i].pub,
		    sizeof(a->pairs[i].pub));
		assert_memory_equal(a->pairs[i].secret, base->pairs[i].secret,
		    E3_SECRET_BYTES);
	}
	assert_int_equal(a->n_keys, 2);
	assert_false(a->keys[0].revoked);
	assert_true(e3_api_key_allows(&a->keys[0], "api:other"));
	assert_false(e3_api_key_allows(&a->keys[0], "encrypt"));
	assert_true(a->keys[1].revoked);
	assert_true(e3_api_key_allows(&a->keys[1], "encrypt"));
	e3_app_unref(&a);
	buffer_fini(&record);
	buffer_fini(&again);
	fixture_stop(&f);
}

/* One bit anywhere, each cut, another root key: nothing opens. */
static void
test_changed(void **state)
{
	uint8_t other_root[E3_SECRET_BYTES] = "another root key";
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
	struct fixture f;
	struct e3_app *a;

	(void)state;
	fixture_start(&f, 1);
	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
		size_t n = strlen(documents[i]), head;
		uint8_t plain[128] = { 0 }, iv[E3_IV_BYTES] = { 0 };
		struct buffer b;
		char *at;

		plain[3] = (uint8_t)n;
		memcpy(plain + 4, documents[i], n);
		buffer_init(&b, 0, false);
		rpc_record_head_write(&b, FIXTURE_APP, 1);
		head = buffer_len(&b);
		buffer_put(&b, iv, sizeof(iv));
		assert_int_equal(buffer_reserve(&b, 4 + n + E3_TAG_BYTES,
		    &at), RC_OK);
		assert_int_equal(e3_ecies_seal(f.engine.crypto,
		    f.engine.root_key, iv, (struct span){ buffer_data(&b),
		    head }, (struct span){ NULL, 0 }, (struct span){
		    (char *)plain, 4 + n }, (uint8_t *)at), RC_OK);
		buffer_commit(&b, 4 + n + E3_TAG_BYTES);
		assert_int_equal(e3_record_open(f.engine.crypto,
		    f.engine.root_key, view(&b), &a), RC_UNSUPPORTED);
		assert_null(a);
		/* A length that points past the end. */
		buffer_fini(&b);
	}
	fixture_stop(&f);
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
	f->caller.role = RPC_ROLE_HELPER;
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

static enum rc
authenticate(struct fixture *f, int hash_byte)
{
	uint8_t hash[E3_SECRET_BYTES];
	const struct e3_api_key *key;
	struct e3_app *app;

	memset(hash, hash_byte, sizeof(hash));
	return (e3_keyring_authenticate(f->engine.keyring, hash, &app, &key));
}

static void
test_load(void **state)
{
	struct buffer v2, v2b, v3, broken;
	uint8_t sum[2][E3_SECRET_BYTES];
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

	assert_int_equal(authenticate(&f, 1), RC_DENIED);
	l = load(&f, (const struct buffer *[]){ &v2 }, 1);
	assert_int_equal(l.status, RPC_STATUS_OK);
	assert_int_equal(l.loaded, 1);
	assert_int_equal(l.active, 1);
	assert_int_equal(authenticate(&f, 1), RC_OK);
	assert_int_equal(authenticate(&f, 2), RC_DENIED);	/* revoked */
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
	head = buffer_len(&two) - (E3_IV_BYTES + E3_TAG_BYTES + 100);
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
	static const unsigned counts[] = { 0, 1, 511, 512, 513, 1024, 1500 };
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
		f.caller.role = RPC_ROLE_ADMIN;
		fixture_call(&f, "ListApps", NULL, &r);
		assert_int_equal(r.status, RPC_STATUS_OK);
		assert_int_equal(r.n, counts[i] == 0 ? 1 :
		    (counts[i] + 511) / 512);
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
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_lists),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
