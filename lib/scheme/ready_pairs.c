/* scheme/ready_pairs.c - a stack of unused pairs for each curve. */
#include "lib/scheme/ready_pairs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define CURVES		2	/* of enum rpc_curve */
#define SECRETS_BYTES	(CURVES * SCHEME_READY_PAIRS_MAX * SCHEME_SECRET_BYTES)

struct scheme_ready_pairs {
	unsigned	magic;
#define SCHEME_READY_PAIRS_MAGIC	0x4ead9a17
	pthread_mutex_t	lock;
	unsigned	n[CURVES];
	struct scheme_public_key pub[CURVES][SCHEME_READY_PAIRS_MAX];
	uint8_t		*secrets;	/* owned: secure heap; as pub */
};

struct scheme_ready_pairs *
scheme_ready_pairs_new(void)
{
	struct scheme_ready_pairs *p = xcalloc(1, sizeof(*p));

	p->magic = SCHEME_READY_PAIRS_MAGIC;
	ensure(pthread_mutex_init(&p->lock, NULL) == 0);
	if ((p->secrets = OPENSSL_secure_malloc(SECRETS_BYTES)) == NULL)
		scheme_ready_pairs_free(&p);
	return (p);
}

void
scheme_ready_pairs_free(struct scheme_ready_pairs **pp)
{
	struct scheme_ready_pairs *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	obj_check(p, SCHEME_READY_PAIRS_MAGIC);
	OPENSSL_secure_clear_free(p->secrets, SECRETS_BYTES);
	(void)pthread_mutex_destroy(&p->lock);
	p->magic = 0;
	free(p);
}

static void
lock(struct scheme_ready_pairs *p)
{
	obj_check(p, SCHEME_READY_PAIRS_MAGIC);
	ensure(pthread_mutex_lock(&p->lock) == 0);
}

static void
unlock(struct scheme_ready_pairs *p)
{
	ensure(pthread_mutex_unlock(&p->lock) == 0);
}

static uint8_t *
secret_at(struct scheme_ready_pairs *p, enum rpc_curve curve, unsigned i)
{
	return (p->secrets + (curve * SCHEME_READY_PAIRS_MAX + i) *
	    SCHEME_SECRET_BYTES);
}

bool
scheme_ready_pairs_take(struct scheme_ready_pairs *p, enum rpc_curve curve,
    uint8_t *secret, struct scheme_public_key *pub)
{
	bool found;

	lock(p);
	if ((found = p->n[curve] != 0)) {
		unsigned i = --p->n[curve];

		memcpy(secret, secret_at(p, curve, i), SCHEME_SECRET_BYTES);
		secret_wipe(secret_at(p, curve, i), SCHEME_SECRET_BYTES);
		*pub = p->pub[curve][i];
	}
	unlock(p);
	return (found);
}

bool
scheme_ready_pairs_make(struct scheme_ready_pairs *p,
    struct scheme_crypto *crypto)
{
	uint8_t *secret = scheme_crypto_work(crypto);
	struct scheme_public_key pub;
	enum rpc_curve curve;
	bool made;

	lock(p);
	curve = p->n[RPC_CURVE_R1] <= p->n[RPC_CURVE_K1] ? RPC_CURVE_R1 :
	    RPC_CURVE_K1;
	made = p->n[curve] < SCHEME_READY_PAIRS_MAX;
	unlock(p);
	if (!made || scheme_ecdh_generate(scheme_crypto_ecdh(crypto), curve, secret,
	    &pub) != RC_OK)
		return (false);
	lock(p);
	if (p->n[curve] < SCHEME_READY_PAIRS_MAX) {	/* no thread was faster */
		unsigned i = p->n[curve]++;

		memcpy(secret_at(p, curve, i), secret, SCHEME_SECRET_BYTES);
		p->pub[curve][i] = pub;
	}
	unlock(p);
	secret_wipe(secret, SCHEME_SECRET_BYTES);
	return (true);
}

unsigned
scheme_ready_pairs_count(struct scheme_ready_pairs *p)
{
	unsigned n;

	lock(p);
	n = p->n[RPC_CURVE_R1] + p->n[RPC_CURVE_K1];
	unlock(p);
	return (n);
}
