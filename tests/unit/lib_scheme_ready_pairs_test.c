/* lib/scheme/ready_pairs.c: what is given out is a pair, is given out once, is gone
 * from its place; the number is bounded; many threads at once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <pthread.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "lib/base/object.h"
#include "lib/scheme/ecies.h"
#include "lib/scheme/ready_pairs.h"

#define ALL	(2 * SCHEME_READY_PAIRS_MAX)
#define THREADS	4
#define TAKES	200			/* by each: more than are ready at once */

static int
setup(void **state)
{
	(void)state;
	return (CRYPTO_secure_malloc_init(1u << 18, 32) == 1 ? 0 : -1);
}

static void
fill(struct scheme_ready_pairs *p, struct scheme_crypto *crypto)
{
	unsigned made = 0;

	while (scheme_ready_pairs_make(p, crypto))
		assert_true(++made <= ALL);
	assert_int_equal(scheme_ready_pairs_count(p), ALL);
}

static void
test_each_pair_fits_and_is_given_once(void **state)
{
	static struct scheme_public_key seen[ALL];
	struct scheme_ready_pairs *p = scheme_ready_pairs_new();
	struct scheme_crypto *crypto = scheme_crypto_new();
	struct scheme_ecdh *ecdh = scheme_crypto_ecdh(crypto);
	uint8_t *secret = OPENSSL_secure_malloc(SCHEME_SECRET_BYTES);
	struct scheme_public_key again;
	unsigned n = 0;

	(void)state;
	assert_false(scheme_ready_pairs_take(p, RPC_CURVE_R1, secret, &again));
	fill(p, crypto);
	for (unsigned curve = 0; curve < 2; curve++) {
		while (scheme_ready_pairs_take(p, (enum rpc_curve)curve, secret,
		    &seen[n])) {
			assert_int_equal(scheme_ecdh_public(ecdh,
			    (enum rpc_curve)curve, secret, &again), RC_OK);
			assert_memory_equal(&again, &seen[n], sizeof(again));
			for (unsigned i = 0; i < n; i++)
				assert_memory_not_equal(&seen[i], &seen[n],
				    sizeof(again));
			n++;
		}
		assert_int_equal(n, (curve + 1) * SCHEME_READY_PAIRS_MAX);
	}
	assert_int_equal(scheme_ready_pairs_count(p), 0);
	fill(p, crypto);			/* what was taken is made anew */
	OPENSSL_secure_clear_free(secret, SCHEME_SECRET_BYTES);
	scheme_ready_pairs_free(&p);
	assert_null(p);
	assert_true(CRYPTO_secure_used() > 0);	/* crypto's own */
	scheme_crypto_free(&crypto);
	assert_int_equal(CRYPTO_secure_used(), 0);
}

struct taker {
	struct scheme_ready_pairs	*pairs;		/* borrowed */
	struct scheme_public_key	got[TAKES];
	unsigned		n;
};

static void *
take_and_make(void *arg)
{
	struct taker *t = arg;
	struct scheme_crypto *crypto = scheme_crypto_new();
	uint8_t *secret = OPENSSL_secure_malloc(SCHEME_SECRET_BYTES);

	ensure(crypto != NULL && secret != NULL);
	while (t->n < TAKES) {
		if (scheme_ready_pairs_take(t->pairs, t->n % 2 == 0 ?
		    RPC_CURVE_R1 : RPC_CURVE_K1, secret, &t->got[t->n]))
			t->n++;
		else
			(void)scheme_ready_pairs_make(t->pairs, crypto);
	}
	OPENSSL_secure_clear_free(secret, SCHEME_SECRET_BYTES);
	scheme_crypto_free(&crypto);
	OPENSSL_thread_stop();
	return (NULL);
}

static void
test_no_two_threads_get_the_same(void **state)
{
	static struct taker takers[THREADS];
	struct scheme_ready_pairs *p = scheme_ready_pairs_new();
	pthread_t ids[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		takers[i].pairs = p;
		assert_int_equal(pthread_create(&ids[i], NULL, take_and_make,
		    &takers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
	for (unsigned i = 0; i < THREADS * TAKES; i++)
		for (unsigned k = 0; k < i; k++)
			assert_memory_not_equal(
			    &takers[i / TAKES].got[i % TAKES],
			    &takers[k / TAKES].got[k % TAKES],
			    sizeof(struct scheme_public_key));
	scheme_ready_pairs_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_pair_fits_and_is_given_once),
		cmocka_unit_test(test_no_two_threads_get_the_same),
	};

	return (cmocka_run_group_tests(tests, setup, NULL));
}
