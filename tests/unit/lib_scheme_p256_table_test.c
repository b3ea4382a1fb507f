/* lib/scheme/p256_table.c: the same secrets as without, who gets a table and
 * who loses it, use while others are dropped, the end while builds wait. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>

#include "lib/base/clock.h"
#include "lib/base/object.h"
#include "lib/base/string.h"
#include "lib/scheme/ecies.h"
#include "lib/scheme/p256_table.h"

#define WAIT_MS		20000
#define TABLE_BYTES	150000		/* OpenSSL allocates nothing else so large */
#define ORDER	"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"

static atomic_uint builds;		/* begun, since the program's start */
static struct scheme_crypto *crypto;
static struct scheme_ecdh *ecdh;		/* view into crypto */
static uint8_t *secret, *z;		/* secure heap: scalar; two results */

static void *
counted_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	if (n > TABLE_BYTES)
		atomic_fetch_add(&builds, 1);
	return (malloc(n));
}

static void *
counted_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return (realloc(p, n));
}

static void
counted_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

static int
setup(void **state)
{
	(void)state;
	if (CRYPTO_secure_malloc_init(1 << 20, 32) == 0 ||
	    (crypto = scheme_crypto_new()) == NULL)
		return (-1);
	ecdh = scheme_crypto_ecdh(crypto);
	secret = OPENSSL_secure_malloc(SCHEME_SECRET_BYTES);
	z = OPENSSL_secure_malloc(2 * SCHEME_SECRET_BYTES);
	return (secret != NULL && z != NULL ? 0 : -1);
}

static int
teardown(void **state)
{
	(void)state;
	OPENSSL_secure_free(secret);
	OPENSSL_secure_free(z);
	scheme_crypto_free(&crypto);
	return (CRYPTO_secure_malloc_done() == 1 ? 0 : -1);
}

static void
new_points(struct scheme_public_key *pub, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(scheme_ecdh_generate(ecdh, RPC_CURVE_R1, secret,
		    &pub[i]), RC_OK);
}

/* n calls of the point; whether the last of them had a table. */
static bool
use(struct scheme_p256_tables *s, const struct scheme_public_key *pub, unsigned n)
{
	struct scheme_p256_table *t = NULL;
	bool had = false;

	while (n-- != 0) {
		t = scheme_p256_tables_use(s, pub);
		had = t != NULL;
		scheme_p256_table_unref(&t);
	}
	return (had);
}

/* The table of a point that was asked for.  Calls give the builder its next
 * job, so calls it is that we wait with. */
static struct scheme_p256_table *
built(struct scheme_p256_tables *s, const struct scheme_public_key *pub)
{
	uint64_t end_ms = clock_mono_ms() + WAIT_MS;
	struct scheme_p256_table *t;

	while ((t = scheme_p256_tables_use(s, pub)) == NULL) {
		assert_true(clock_mono_ms() < end_ms);
		(void)sched_yield();
	}
	return (t);
}

static void
make_hot(struct scheme_p256_tables *s, const struct scheme_public_key *pub)
{
	struct scheme_p256_table *t;

	(void)use(s, pub, SCHEME_P256_TABLE_CALLS);
	t = built(s, pub);
	scheme_p256_table_unref(&t);
}

/* ---- what a table computes ---- */

static void
check_same(const struct scheme_p256_table *t, const struct scheme_public_key *pub)
{
	enum rc plain = scheme_ecdh_agree(ecdh, RPC_CURVE_R1, secret, pub, z);

	assert_int_equal(scheme_ecdh_agree_table(ecdh, secret, t,
	    z + SCHEME_SECRET_BYTES), plain);
	if (plain == RC_OK)
		assert_memory_equal(z, z + SCHEME_SECRET_BYTES, SCHEME_SECRET_BYTES);
}

/* near + sign * 2^shift + add into `secret`, when it has 32 bytes. */
static bool
scalar(const char *near, int sign, int shift, int add)
{
	BIGNUM *k = NULL, *p = BN_new();
	bool ok;

	assert_non_null(p);
	assert_true(BN_hex2bn(&k, near) != 0 && BN_set_bit(p, shift) == 1);
	BN_set_negative(p, sign < 0);
	assert_int_equal(BN_add(k, k, p), 1);
	assert_int_equal(add < 0 ? BN_sub_word(k, (BN_ULONG)-add) :
	    BN_add_word(k, (BN_ULONG)add), 1);
	ok = !BN_is_negative(k) &&
	    BN_bn2binpad(k, secret, SCHEME_SECRET_BYTES) == SCHEME_SECRET_BYTES;
	BN_free(k);
	BN_free(p);
	return (ok);
}

static void
check_edges(const struct scheme_p256_table *t, const struct scheme_public_key *pub)
{
	unsigned n = 0;

	/* Every bit alone, and its neighbours, from both ends of the range:
	 * 0, 1, n - 1, n and what is above them are among these. */
	for (int shift = 0; shift <= 255; shift++)
		for (int add = -2; add <= 2; add++)
			for (int top = 0; top < 2; top++) {
				if (!scalar(top ? ORDER : "0", top ? -1 : 1,
				    shift, add))
					continue;
				check_same(t, pub);
				n++;
			}
	assert_true(n > 2500);
	for (int fill = 0; fill < 256; fill++) {
		memset(secret, fill, SCHEME_SECRET_BYTES);
		check_same(t, pub);
	}
}

static void
test_same_secrets(void **state)
{
	struct scheme_p256_tables *s = scheme_p256_tables_new(4);
	struct scheme_public_key pub[3];

	(void)state;
	assert_non_null(s);
	new_points(pub, 1);
	/* The curve's own generator, whose table is another, and its negative. */
	assert_true(scalar("0", 1, 0, 0));
	assert_int_equal(scheme_ecdh_public(ecdh, RPC_CURVE_R1, secret, &pub[1]),
	    RC_OK);
	assert_true(scalar(ORDER, -1, 0, 0));
	assert_int_equal(scheme_ecdh_public(ecdh, RPC_CURVE_R1, secret, &pub[2]),
	    RC_OK);
	for (int i = 0; i < 3; i++) {
		struct scheme_public_key ephemeral;
		struct scheme_p256_table *t;

		(void)use(s, &pub[i], SCHEME_P256_TABLE_CALLS);
		t = built(s, &pub[i]);
		check_edges(t, &pub[i]);
		for (int k = 0; k < 1000; k++) {
			assert_int_equal(scheme_ecdh_generate(ecdh, RPC_CURVE_R1,
			    secret, &ephemeral), RC_OK);
			check_same(t, &pub[i]);
		}
		scheme_p256_table_unref(&t);
	}
	scheme_p256_tables_free(&s);
}

static void
test_no_point(void **state)
{
	struct scheme_p256_tables *s = scheme_p256_tables_new(4);
	struct scheme_public_key pub[5];

	(void)state;
	new_points(pub, 5);
	pub[0].full[64] ^= 1;			/* off the curve */
	pub[1].full[0] = (uint8_t)(6 | (pub[1].full[64] & 1));	/* hybrid */
	memset(pub[2].full + 1, 0xff, 64);	/* no field elements */
	memset(pub[3].full, 0, 65);		/* infinity's first byte */
	for (int i = 0; i < 4; i++)
		(void)use(s, &pub[i], SCHEME_P256_TABLE_CALLS);
	/* In order: the last one is built when the others have been tried. */
	make_hot(s, &pub[4]);
	for (int i = 0; i < 4; i++)
		assert_false(use(s, &pub[i], 1));
	scheme_p256_tables_free(&s);
}

/* ---- who gets one, who loses it ---- */

static void
test_eighth_call(void **state)
{
	struct scheme_p256_tables *s = scheme_p256_tables_new(4);
	struct scheme_public_key pub[2];
	unsigned before = atomic_load(&builds);
	uint64_t end_ms = clock_mono_ms() + WAIT_MS;

	(void)state;
	new_points(pub, 2);
	assert_false(use(s, &pub[0], SCHEME_P256_TABLE_CALLS - 1));
	make_hot(s, &pub[1]);
	assert_int_equal(atomic_load(&builds) - before, 1);
	make_hot(s, &pub[1]);			/* once is enough */
	assert_int_equal(atomic_load(&builds) - before, 1);
	(void)use(s, &pub[0], 1);
	while (atomic_load(&builds) - before != 2) {	/* asked for already */
		assert_true(clock_mono_ms() < end_ms);
		(void)use(s, &pub[1], 1);
	}
	scheme_p256_table_unref(&(struct scheme_p256_table *){ built(s, &pub[0]) });
	assert_int_equal(atomic_load(&builds) - before, 2);
	/* Dropped, a point is as new. */
	scheme_p256_tables_drop(s, &pub[0]);
	assert_false(use(s, &pub[0], SCHEME_P256_TABLE_CALLS - 1));
	assert_true(use(s, &pub[1], 1));
	assert_int_equal(atomic_load(&builds) - before, 2);
	make_hot(s, &pub[0]);
	scheme_p256_tables_free(&s);
}

/* Thousands of points later, the calls of the first are forgotten. */
static void
test_counts_are_bounded(void **state)
{
	struct scheme_p256_tables *s = scheme_p256_tables_new(4);
	struct scheme_public_key first, pub;
	unsigned before;

	(void)state;
	new_points(&first, 1);
	for (int round = 0; round < 2; round++) {
		scheme_p256_tables_drop(s, &first);
		assert_false(use(s, &first, SCHEME_P256_TABLE_CALLS - 1));
		for (int i = 0; i < 5000; i++) {
			new_points(&pub, 1);
			assert_false(use(s, &pub, 1));
		}
		before = atomic_load(&builds);
		assert_false(use(s, &first, 1));
		make_hot(s, &pub);
		assert_int_equal(atomic_load(&builds) - before, 1);
	}
	scheme_p256_tables_free(&s);
}

static void
test_used_longest_ago(void **state)
{
	struct scheme_p256_tables *s = scheme_p256_tables_new(2);
	struct scheme_public_key pub[4];
	struct scheme_p256_table *kept;

	(void)state;
	new_points(pub, 4);
	make_hot(s, &pub[0]);
	make_hot(s, &pub[1]);
	kept = built(s, &pub[1]);
	assert_true(use(s, &pub[0], 1));
	make_hot(s, &pub[2]);
	assert_true(use(s, &pub[0], 1));
	assert_false(use(s, &pub[1], 1));
	/* Whoever has it may go on. */
	assert_int_equal(scheme_ecdh_generate(ecdh, RPC_CURVE_R1, secret,
	    &pub[3]), RC_OK);
	check_same(kept, &pub[1]);
	scheme_p256_table_unref(&kept);
	/* Those in use do not go for one that is no hotter. */
	for (int i = 0; i < 3 * SCHEME_P256_TABLE_CALLS; i++)
		for (int k = 0; k < 4; k++)
			assert_int_equal(use(s, &pub[k], 1), k % 2 == 0);
	make_hot(s, &pub[3]);
	assert_true(use(s, &pub[2], 1));
	assert_false(use(s, &pub[0], 1));
	scheme_p256_tables_free(&s);
}

/* ---- many threads ---- */

#define THREADS		3
#define HANDED		64

struct handed {
	struct scheme_p256_table	*table;
	struct scheme_public_key	pub;
};
static struct {
	pthread_mutex_t	lock;
	struct handed	list[HANDED];
	unsigned	n;
	bool		end;
	atomic_uint	agreed, wrong;
} floor_;

static void
agree_once(struct scheme_ecdh *e, uint8_t *mine, struct handed *h)
{
	struct scheme_public_key pub;

	if (scheme_ecdh_generate(e, RPC_CURVE_R1, mine, &pub) != RC_OK ||
	    scheme_ecdh_agree_table(e, mine, h->table, mine + 32) != RC_OK ||
	    scheme_ecdh_agree(e, RPC_CURVE_R1, mine, &h->pub, mine + 64) != RC_OK ||
	    memcmp(mine + 32, mine + 64, SCHEME_SECRET_BYTES) != 0)
		atomic_fetch_add(&floor_.wrong, 1);
	atomic_fetch_add(&floor_.agreed, 1);
	scheme_p256_table_unref(&h->table);
}

static void *
agree_main(void *arg)
{
	struct scheme_ecdh *e = scheme_ecdh_new();
	uint8_t *mine = OPENSSL_secure_malloc(4 * SCHEME_SECRET_BYTES);
	struct handed h;
	bool end = false;

	(void)arg;
	ensure(e != NULL && mine != NULL);
	while (!end) {
		h.table = NULL;
		ensure(pthread_mutex_lock(&floor_.lock) == 0);
		if (floor_.n != 0)
			h = floor_.list[--floor_.n];
		else
			end = floor_.end;
		ensure(pthread_mutex_unlock(&floor_.lock) == 0);
		if (h.table != NULL)
			agree_once(e, mine, &h);
		else
			(void)sched_yield();
	}
	OPENSSL_secure_free(mine);
	scheme_ecdh_free(&e);
	OPENSSL_thread_stop();
	return (NULL);
}

static void
hand_out(struct scheme_p256_tables *s, const struct scheme_public_key *pub)
{
	struct scheme_p256_table *t = scheme_p256_tables_use(s, pub);

	if (t == NULL)
		return;
	ensure(pthread_mutex_lock(&floor_.lock) == 0);
	if (floor_.n < HANDED) {
		floor_.list[floor_.n].pub = *pub;
		floor_.list[floor_.n++].table = t;
		t = NULL;
	}
	ensure(pthread_mutex_unlock(&floor_.lock) == 0);
	scheme_p256_table_unref(&t);
}

static void
test_dropped_in_use(void **state)
{
	struct scheme_p256_tables *s = scheme_p256_tables_new(2);
	struct scheme_public_key pub[5];
	pthread_t id[THREADS];

	(void)state;
	assert_int_equal(pthread_mutex_init(&floor_.lock, NULL), 0);
	new_points(pub, 5);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&id[i], NULL, agree_main,
		    NULL), 0);
	for (unsigned round = 0; round < 25; round++) {
		const struct scheme_public_key *p = &pub[round % 5];

		(void)use(s, p, SCHEME_P256_TABLE_CALLS);
		if (round % 4 == 3)		/* while it is built or waits */
			scheme_p256_tables_drop(s, p);
		make_hot(s, p);
		for (int i = 0; i < 3 * HANDED; i++)
			hand_out(s, i % 2 == 0 ? p : &pub[(round + 4) % 5]);
		if (round % 3 == 2)		/* while it is used */
			scheme_p256_tables_drop(s, p);
	}
	ensure(pthread_mutex_lock(&floor_.lock) == 0);
	floor_.end = true;
	ensure(pthread_mutex_unlock(&floor_.lock) == 0);
	scheme_p256_tables_free(&s);		/* tables in use outlive it */
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(id[i], NULL), 0);
	assert_int_equal(atomic_load(&floor_.wrong), 0);
	assert_true(atomic_load(&floor_.agreed) > 25);
	(void)pthread_mutex_destroy(&floor_.lock);
}

static void
test_end_while_builds_wait(void **state)
{
	struct scheme_p256_tables *s;
	struct scheme_public_key pub[40];
	unsigned before;

	(void)state;
	new_points(pub, 40);
	for (int given = 0; given < 2; given++) {
		s = scheme_p256_tables_new(40);
		assert_non_null(s);
		for (int i = 0; given && i < 40; i++)
			(void)use(s, &pub[i], SCHEME_P256_TABLE_CALLS);
		before = atomic_load(&builds);
		scheme_p256_tables_free(&s);
		assert_null(s);
		assert_true(atomic_load(&builds) - before <= 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_secrets),
		cmocka_unit_test(test_no_point),
		cmocka_unit_test(test_eighth_call),
		cmocka_unit_test(test_counts_are_bounded),
		cmocka_unit_test(test_used_longest_ago),
		cmocka_unit_test(test_dropped_in_use),
		cmocka_unit_test(test_end_while_builds_wait),
	};

	/* Before OpenSSL allocates anything. */
	if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc,
	    counted_free) != 1)
		return (1);
	return (cmocka_run_group_tests(tests, setup, teardown));
}
