/*
 * e3/leaf_cert.c - short-lived leaf certificates for egress; the CA's key stays
 * here, the leaf's key stays with the worker that made it.
 *
 * A stolen worker certificate can have leaves made for any name the CA may
 * sign: so they live a day, their number is limited, and the log names each.
 */
#include "e3/leaf_cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "e3/ca_cert.h"
#include "e3/x509_text.h"
#include "lib/base/clock.h"
#include "lib/base/host.h"
#include "lib/base/log.h"

#define COST_LEAF	(2 * E3_COST_ECDH)
#define LOG_PER_S	100	/* many workers with cold caches */
#define COMMON_NAME_MAX	64	/* RFC 5280 appendix A */
/* A meter counts by the second; its clock runs slower by this. */
#define METER_SLOWER	60

/* ---- the certificate ---- */

/*
 * The one encoding of a P-256 key (RFC 5480): head, then an uncompressed point
 * of the curve.  It goes into the certificate as it is: OpenSSL's decoder and
 * encoder of keys would take five times as long as the signature.
 */
static enum rc
set_key(X509 *cert, struct scheme_crypto *crypto, struct span der)
{
	static const char head[] = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce"
	    "\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
	    "\x04";
	const size_t head_len = sizeof(head) - 2;	/* without the 04 */
	uint8_t point[SCHEME_POINT_BYTES], *full;
	struct scheme_public_key key;
	enum rc rc;

	if (der.len != head_len + SCHEME_FULL_POINT_BYTES ||
	    memcmp(der.p, head, head_len + 1) != 0)
		return (RC_SYNTAX);
	memcpy(point, der.p + head_len, sizeof(point));
	point[0] = (uint8_t)(2 + (der.p[der.len - 1] & 1));
	rc = scheme_ecdh_decode(scheme_crypto_ecdh(crypto), RPC_CURVE_R1,
	    point, &key);
	if (rc == RC_OK && memcmp(key.full, der.p + head_len,
	    SCHEME_FULL_POINT_BYTES) != 0)
		rc = RC_SYNTAX;
	if (rc != RC_OK)
		return (rc);
	full = OPENSSL_memdup(key.full, sizeof(key.full));
	if (full != NULL && X509_PUBKEY_set0_param(
	    X509_get_X509_PUBKEY(cert), OBJ_nid2obj(NID_X9_62_id_ecPublicKey),
	    V_ASN1_OBJECT, OBJ_nid2obj(NID_X9_62_prime256v1), full,
	    sizeof(key.full)) == 1)
		return (RC_OK);
	OPENSSL_free(full);
	return (RC_NOMEM);
}

/* Clients look at the SAN alone; the common name is for people, and left out
 * where it does not fit.  Then the SAN is critical (RFC 5280 4.2.1.6). */
static bool
set_names(X509 *cert, X509 *issuer, const char *host)
{
	bool fits = strlen(host) <= COMMON_NAME_MAX;
	char san[HOST_BYTES + 24];

	(void)snprintf(san, sizeof(san), "%s%s:%s", fits ? "" : "critical,",
	    host_is_ip(host) ? "IP" : "DNS", host);
	return ((!fits || X509_NAME_add_entry_by_NID(
	    X509_get_subject_name(cert), NID_commonName, MBSTRING_ASC,
	    (const unsigned char *)host, -1, -1, 0) == 1) &&
	    e3_x509_add(cert, issuer, NID_subject_alt_name, san));
}

static bool
set_rest(X509 *cert, X509 *issuer)
{
	return (X509_set_issuer_name(cert,
	    X509_get_subject_name(issuer)) == 1 &&
	    e3_x509_add(cert, issuer, NID_basic_constraints,
	    "critical,CA:FALSE") &&
	    e3_x509_add(cert, issuer, NID_key_usage,
	    "critical,digitalSignature") &&
	    e3_x509_add(cert, issuer, NID_ext_key_usage, "serverAuth") &&
	    e3_x509_add(cert, issuer, NID_subject_key_identifier, "hash") &&
	    e3_x509_add(cert, issuer, NID_authority_key_identifier,
	    "keyid"));
}

enum rc
e3_leaf_make(const struct e3_ca *ca, struct scheme_crypto *crypto,
    const char *host, struct span key, uint64_t now_ms, struct buffer *out,
    uint64_t *end_ms)
{
	uint64_t start_ms = now_ms - E3_LEAF_BACK_MS;
	X509 *cert = X509_new();
	enum rc rc = RC_NOMEM;

	if (cert == NULL || (rc = set_key(cert, crypto, key)) != RC_OK)
		goto out;
	*end_ms = now_ms + E3_LEAF_LIFE_MS;
	if (start_ms < ca->not_before_ms)
		start_ms = ca->not_before_ms;
	if (*end_ms > ca->not_after_ms)
		*end_ms = ca->not_after_ms;
	rc = RC_NOMEM;
	if (!e3_x509_begin(cert, start_ms, *end_ms) ||
	    !set_names(cert, ca->certs[0], host) ||
	    !set_rest(cert, ca->certs[0]) ||
	    X509_sign(cert, ca->key, EVP_sha256()) <= 0)
		goto out;
	rc = !e3_ca_permits(ca, cert) ? RC_DENIED :
	    e3_x509_put(cert, out) && e3_ca_put_issuers(ca, out) ? RC_OK :
	    RC_NOMEM;
out:
	X509_free(cert);
	ERR_clear_error();
	return (rc);
}

/* ---- the op ---- */

struct leaf {
	struct e3_ca	*ca;		/* counted */
	char		host[HOST_BYTES];
	char		by[NET_LINK_NAME_BYTES];	/* the worker */
	struct span	key;		/* view of the call's bytes */
	bool		issued;
};

static void
leaf_free(void *p)
{
	struct leaf *w = p;

	e3_ca_unref(&w->ca);
	free(w);
}

static enum rpc_status
leaf_answer(struct e3_call *c, struct leaf *w, struct scheme_crypto *crypto)
{
	enum rpc_status status;
	struct buffer chain;
	uint64_t end_ms;
	enum rc rc;

	buffer_init(&chain, 0, false);
	rc = e3_leaf_make(w->ca, crypto, w->host, w->key, clock_wall_ms(),
	    &chain, &end_ms);
	if (rc == RC_OK)
		status = rpc_answer(&c->served, RPC_STR("chain",
		    buffer_cstr(&chain)), RPC_U64("not_after_ms", end_ms));
	else
		status = rc == RC_DENIED ? RPC_STATUS_NOT_ALLOWED :
		    rpc_served_status(rc);
	buffer_fini(&chain);
	return (status);
}

static bool
leaf_run(struct sched_job *job, void *crypto, size_t *cost)
{
	struct e3_call *c = e3_call_of(job);
	enum rpc_status status = RPC_STATUS_CANCELLED;
	struct leaf *w = c->served.work;

	*cost += COST_LEAF;
	if (!atomic_load(&job->cancelled))
		status = leaf_answer(c, w, crypto);
	w->issued = status == RPC_STATUS_OK;
	if (!w->issued)
		rpc_served_fail(&c->served, status);
	return (true);
}

static void
leaf_finish(struct e3_engine *e, struct e3_call *c)
{
	static struct log_rate rate;
	const struct leaf *w = c->served.work;
	unsigned suppressed;

	if (!w->issued)
		return;
	e->leaves++;
	if (log_rate_ok(&rate, LOG_PER_S, &suppressed))
		log_info("leaf-issued host=%s by=%s ca=%s suppressed=%u",
		    w->host, w->by, w->ca->id, suppressed);
}

void
e3_leaf_limit(struct meters *m, unsigned per_minute)
{
	m->per_s = per_minute;
	m->saved = true;	/* a worker that starts has a cold cache */
}

static bool
leaf_admit(struct e3_engine *e, const char *worker)
{
	if (meter_admit(&e->leaf_meters, worker, 1,
	    clock_mono_ms() / METER_SLOWER) != RC_OK)
		return (false);
	meter_done(&e->leaf_meters, worker);
	return (true);
}

enum rpc_status
e3_issue_leaf(struct e3_engine *e, struct e3_call *c)
{
	struct e3_app *app = e3_keyring_app(e->keyring,
	    SPAN_LIT(E3_SYSTEM_APP));
	struct leaf *w = rpc_served_work(&c->served, sizeof(*w), leaf_free);
	struct e3_ca *ca;
	struct span host;

	if (!rpc_unpack(c->served.frame.body, RPC_WANT_BYTES("host", &host),
	    RPC_WANT_BYTES("publicKey", &w->key)) ||
	    !span_copy(host, w->host, sizeof(w->host)) ||
	    !host_is_canonical(w->host))
		return (RPC_STATUS_BAD_REQUEST);
	if (app == NULL || (ca = e3_ca_signing(app->cas, app->n_cas,
	    clock_wall_ms())) == NULL)
		return (RPC_STATUS_NO_SUCH_KEY);
	if (!leaf_admit(e, c->served.peer->name))
		return (RPC_STATUS_RATE_LIMITED);
	w->ca = e3_ca_ref(ca);
	(void)snprintf(w->by, sizeof(w->by), "%s", c->served.peer->name);
	c->finish = leaf_finish;
	return (rpc_served_submit(&c->served, E3_SYSTEM_APP, leaf_run,
	    COST_LEAF));
}
