/*
 * e3/ca.c - the CA object: key, chain, state.
 *
 * The key as OpenSSL wants it is built once for each CA and lives as long: the
 * private number in it is a secure BIGNUM, so it lies in the secure heap like
 * the one beside it (a unit test holds OpenSSL to that).  One for each leaf
 * would put it there anew thousands of times a second, and take a quarter of
 * the time.  Signing reads it only, so threads share it.
 */
#include "e3/ca.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include "e3/x509_text.h"
#include "lib/base/object.h"

static const char id_prefix[] = "ca_";

/* ---- birth and end ---- */

static EVP_PKEY *
key_build(const uint8_t *secret, const struct scheme_public_key *pub)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	BIGNUM *k = BN_secure_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (build != NULL && ctx != NULL && k != NULL &&
	    BN_bin2bn(secret, SCHEME_SECRET_BYTES, k) != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME,
	    "prime256v1", 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY,
	    pub->full, SCHEME_FULL_POINT_BYTES) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, k) == 1 &&
	    (params = OSSL_PARAM_BLD_to_param(build)) != NULL &&
	    EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_clear_free(k);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return (key);
}

enum rc
e3_ca_new(struct scheme_crypto *crypto, const uint8_t *secret,
    struct e3_ca **out)
{
	struct scheme_ecdh *ecdh = scheme_crypto_ecdh(crypto);
	uint8_t digest[SCHEME_SECRET_BYTES];
	struct e3_ca *ca = xcalloc(1, sizeof(*ca));
	enum rc rc = RC_NOMEM;

	*out = NULL;
	ca->magic = E3_CA_MAGIC;
	atomic_init(&ca->refs, 1);
	buffer_init(&ca->pem, 0, false);
	if ((ca->secret = OPENSSL_secure_zalloc(SCHEME_SECRET_BYTES)) == NULL)
		goto out;
	if (secret == NULL) {
		rc = scheme_ecdh_generate(ecdh, RPC_CURVE_R1, ca->secret,
		    &ca->pub);
	} else {
		memcpy(ca->secret, secret, SCHEME_SECRET_BYTES);
		rc = scheme_ecdh_public(ecdh, RPC_CURVE_R1, ca->secret,
		    &ca->pub);
	}
	if (rc == RC_OK && (ca->key = key_build(ca->secret, &ca->pub)) == NULL)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = scheme_sha256(crypto, (struct span){
		    (const char *)ca->pub.compressed, SCHEME_POINT_BYTES },
		    digest);
	if (rc != RC_OK)
		goto out;
	memcpy(ca->id, id_prefix, sizeof(id_prefix));
	hex_encode(digest, 6, ca->id + sizeof(id_prefix) - 1);
	*out = ca;
	return (RC_OK);
out:
	e3_ca_unref(&ca);
	return (rc);
}

struct e3_ca *
e3_ca_ref(struct e3_ca *ca)
{
	obj_check(ca, E3_CA_MAGIC);
	atomic_fetch_add_explicit(&ca->refs, 1, memory_order_relaxed);
	return (ca);
}

static void
drop_certs(struct e3_ca *ca)
{
	while (ca->n_certs != 0)
		X509_free(ca->certs[--ca->n_certs]);
}

void
e3_ca_unref(struct e3_ca **cap)
{
	struct e3_ca *ca = *cap;

	*cap = NULL;
	if (ca == NULL)
		return;
	obj_check(ca, E3_CA_MAGIC);
	if (atomic_fetch_sub_explicit(&ca->refs, 1, memory_order_acq_rel) != 1)
		return;
	OPENSSL_secure_clear_free(ca->secret, SCHEME_SECRET_BYTES);
	EVP_PKEY_free(ca->key);
	drop_certs(ca);
	buffer_fini(&ca->pem);
	ca->magic = 0;
	free(ca);
}

/* ---- the chain ---- */

static bool
read_certs(struct e3_ca *ca, BIO *bio)
{
	X509 *cert;

	while ((cert = e3_x509_read(bio)) != NULL) {
		if (ca->n_certs == E3_CA_CERTS_MAX) {
			X509_free(cert);
			return (false);
		}
		ca->certs[ca->n_certs++] = cert;
	}
	return (ca->n_certs != 0);
}

/* No certificate is good for longer than what is above it. */
static bool
read_dates(struct e3_ca *ca)
{
	uint64_t from_ms, to_ms;

	ca->not_before_ms = 0;
	ca->not_after_ms = UINT64_MAX;
	for (unsigned i = 0; i < ca->n_certs; i++) {
		if (!e3_x509_time_ms(X509_get0_notBefore(ca->certs[i]),
		    &from_ms) ||
		    !e3_x509_time_ms(X509_get0_notAfter(ca->certs[i]), &to_ms))
			return (false);
		if (ca->not_before_ms < from_ms)
			ca->not_before_ms = from_ms;
		if (ca->not_after_ms > to_ms)
			ca->not_after_ms = to_ms;
	}
	return (true);
}

enum rc
e3_ca_set_chain(struct e3_ca *ca, struct span pem)
{
	BIO *bio = pem.len > E3_CA_PEM_BYTES_MAX ? NULL :
	    BIO_new_mem_buf(pem.p, (int)pem.len);
	bool good;

	drop_certs(ca);
	good = bio != NULL && read_certs(ca, bio);
	BIO_free(bio);
	good = good && EVP_PKEY_eq(X509_get0_pubkey(ca->certs[0]),
	    ca->key) == 1 && read_dates(ca);
	/* Not what came, which may hold anything between certificates.  The
	 * look at an extension has OpenSSL read them all now, once: later many
	 * threads use them. */
	buffer_clear(&ca->pem);
	for (unsigned i = 0; good && i < ca->n_certs; i++)
		good = X509_check_purpose(ca->certs[i], -1, 0) == 1 &&
		    e3_x509_put(ca->certs[i], &ca->pem);
	ERR_clear_error();
	return (good ? RC_OK : RC_SYNTAX);
}

bool
e3_ca_put_issuers(const struct e3_ca *ca, struct buffer *out)
{
	unsigned n = ca->n_certs == 1 ? 1 : ca->n_certs - 1;
	bool ok = true;

	for (unsigned i = 0; ok && i < n; i++)
		ok = e3_x509_put(ca->certs[i], out);
	return (ok);
}

/* ---- which signs ---- */

static bool
may_sign(const struct e3_ca *ca, uint64_t now_ms)
{
	return (ca->active_ms != 0 && ca->active_ms <= now_ms &&
	    ca->not_before_ms <= now_ms && now_ms < ca->not_after_ms);
}

/* The one that took over last; when it has ended, the one before it, if that
 * is still good. */
struct e3_ca *
e3_ca_signing(struct e3_ca *const *cas, unsigned n, uint64_t now_ms)
{
	struct e3_ca *best = NULL;

	for (unsigned i = 0; i < n; i++)
		if (may_sign(cas[i], now_ms) &&
		    (best == NULL || cas[i]->active_ms >= best->active_ms))
			best = cas[i];
	return (best);
}

uint64_t
e3_ca_changes_ms(struct e3_ca *const *cas, unsigned n, uint64_t now_ms)
{
	const struct e3_ca *signing = e3_ca_signing(cas, n, now_ms);
	uint64_t first_ms = 0;

	for (unsigned i = 0; i < n; i++) {
		const uint64_t dates[] = { cas[i]->active_ms,
		    cas[i]->not_before_ms, cas[i]->not_after_ms };

		for (unsigned k = 0; k < 3; k++)
			if (dates[k] > now_ms &&
			    (first_ms == 0 || dates[k] < first_ms) &&
			    e3_ca_signing(cas, n, dates[k]) != signing)
				first_ms = dates[k];
	}
	return (first_ms);
}

enum e3_ca_state
e3_ca_state(const struct e3_ca *ca, const struct e3_ca *signing,
    uint64_t now_ms)
{
	if (ca->active_ms == 0)
		return (E3_CA_PENDING);
	if (ca == signing)
		return (E3_CA_SIGNS);
	return (ca->active_ms > now_ms || ca->not_before_ms > now_ms ?
	    E3_CA_PUBLISHED : E3_CA_OLD);
}

const char *
e3_ca_state_name(enum e3_ca_state state)
{
	static const char *const names[] = {
		[E3_CA_PENDING] = "pending",
		[E3_CA_PUBLISHED] = "published",
		[E3_CA_SIGNS] = "signs",
		[E3_CA_OLD] = "old",
	};

	return (names[state]);
}
