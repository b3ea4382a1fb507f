/*
 * certs/attest_chain.c - leaf and reversed cabundle, checked by OpenSSL and,
 * where its rules are softer than ours, by us.
 *
 * OpenSSL builds whatever chain it finds; a document names one.  So the chain
 * it verified must be, certificate by certificate, the one in the document:
 * what is in there is believed whole or not at all.
 */
#include "certs/attest_chain.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <openssl/x509_vfy.h>

#include "certs/cose_sign1.h"
#include "lib/base/object.h"

#define P384_BYTES	48
/* 192 bits of security (SSL_CTX_set_security_level(3)): P-384 and SHA-384 for
 * keys and signatures of the whole chain, so that no link is the weak one. */
#define SECURITY_LEVEL	4

struct certs {
	X509		*leaf;			/* owned */
	X509		*cas[ATTEST_CAS_MAX];	/* owned; the root first */
	size_t		n_cas;
};

static enum rc
deny(char *why, size_t why_size, const char *reason, const char *detail)
{
	(void)snprintf(why, why_size, "%s: %s", reason, detail);
	return (RC_DENIED);
}

static X509 *
read_cert(struct span der)
{
	const unsigned char *p = (const unsigned char *)der.p;
	X509 *cert = d2i_X509(NULL, &p, (long)der.len);

	if (cert != NULL && p != (const unsigned char *)der.p + der.len) {
		X509_free(cert);	/* bytes behind it */
		cert = NULL;
	}
	return (cert);
}

static bool
read_certs(const struct attest_chain *chain, struct certs *out)
{
	if ((out->leaf = read_cert(chain->leaf)) == NULL)
		return (false);
	for (size_t i = 0; i < chain->n_cas; i++) {
		if ((out->cas[i] = read_cert(chain->cas[i])) == NULL)
			return (false);
		out->n_cas++;
	}
	return (true);
}

static void
free_certs(struct certs *c)
{
	X509_free(c->leaf);
	for (size_t i = 0; i < c->n_cas; i++)
		X509_free(c->cas[i]);
}

/* OpenSSL takes a missing key usage for every usage, old certificates without
 * basicConstraints for CAs, and a CA that lacks keyCertSign for none. */
static bool
may_sign(X509 *cert, bool ca)
{
	uint32_t usage = ca ? KU_KEY_CERT_SIGN : KU_DIGITAL_SIGNATURE;
	uint32_t flags = X509_get_extension_flags(cert);

	return (X509_get_version(cert) == X509_VERSION_3 &&
	    ((flags & EXFLAG_CA) != 0) == ca &&
	    (flags & EXFLAG_KUSAGE) != 0 &&
	    (X509_get_key_usage(cert) & usage) != 0);
}

static enum rc
check_each(const struct certs *c, char *why, size_t why_size)
{
	if (!may_sign(c->leaf, false))
		return (deny(why, why_size, "key-usage", "the leaf"));
	if (cose_sign1_key_bytes(X509_get0_pubkey(c->leaf)) != P384_BYTES)
		return (deny(why, why_size, "curve", "the leaf"));
	for (size_t i = 0; i < c->n_cas; i++) {
		if (!may_sign(c->cas[i], true))
			return (deny(why, why_size, "key-usage", "a CA"));
		if (cose_sign1_key_bytes(X509_get0_pubkey(c->cas[i])) !=
		    P384_BYTES)
			return (deny(why, why_size, "curve", "a CA"));
	}
	return (RC_OK);
}

/* Is the chain that was verified the one that the document names? */
static bool
same_chain(const struct certs *c, const STACK_OF(X509) *built)
{
	if (built == NULL || (size_t)sk_X509_num(built) != c->n_cas + 1 ||
	    X509_cmp(sk_X509_value(built, 0), c->leaf) != 0)
		return (false);
	for (size_t i = 0; i < c->n_cas; i++)
		if (X509_cmp(sk_X509_value(built, (int)(c->n_cas - i)),
		    c->cas[i]) != 0)
			return (false);
	return (true);
}

static enum rc
verify_chain(const struct certs *c, X509_STORE *roots, uint64_t at_ms,
    char *why, size_t why_size)
{
	STACK_OF(X509) *between = sk_X509_new_null();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	enum rc rc = RC_DENIED;

	ensure(between != NULL && ctx != NULL);
	for (size_t i = 1; i < c->n_cas; i++)
		ensure(sk_X509_push(between, c->cas[i]) > 0);
	ensure(X509_STORE_CTX_init(ctx, roots, c->leaf, between) == 1);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, (time_t)(at_ms / 1000));
	X509_VERIFY_PARAM_set_depth(param, ATTEST_CAS_MAX);
	X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
	if (X509_verify_cert(ctx) != 1)
		(void)deny(why, why_size, "chain",
		    X509_verify_cert_error_string(
		    X509_STORE_CTX_get_error(ctx)));
	else if (!same_chain(c, X509_STORE_CTX_get0_chain(ctx)))
		(void)deny(why, why_size, "chain",
		    "it is not the one in the document");
	else
		rc = RC_OK;
	X509_STORE_CTX_free(ctx);
	sk_X509_free(between);
	return (rc);
}

enum rc
attest_chain_verify(const struct attest_chain *chain, X509_STORE *roots,
    uint64_t at_ms, EVP_PKEY **key, char *why, size_t why_size)
{
	struct certs c = { .leaf = NULL };
	enum rc rc;

	*key = NULL;
	ensure(roots != NULL && chain->n_cas <= ATTEST_CAS_MAX);
	ERR_clear_error();
	if (!read_certs(chain, &c))
		rc = deny(why, why_size, "certificate", "not readable");
	else
		rc = check_each(&c, why, why_size);
	if (rc == RC_OK)
		rc = verify_chain(&c, roots, at_ms, why, why_size);
	if (rc == RC_OK)
		*key = X509_get_pubkey(c.leaf);
	free_certs(&c);
	ERR_clear_error();
	return (rc);
}
