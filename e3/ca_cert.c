/* e3/ca_cert.c - requests, self-signed certificates, and what came back. */
#include "e3/ca_cert.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "e3/x509_text.h"
#include "lib/base/host.h"

#define DAY_MS		(UINT64_C(24) * 3600 * 1000)
#define BACK_DATE_MS	(UINT64_C(3600) * 1000)	/* clocks differ */
#define AUTH_LEVEL	2	/* 112 bits: no SHA-1, no RSA of 1,024 */

static const char basic[] = "critical,CA:TRUE,pathlen:0";
static const char usage[] = "critical,keyCertSign,cRLSign";

/* ---- what is asked for ---- */

/* A constraint binds only names of its own kind (RFC 5280 4.2.1.10): without
 * the last two, any address would be permitted beside the domains. */
static bool
read_permit(const struct rpc_value *list, struct buffer *out)
{
	size_t n = rpc_array_len(list);
	char host[HOST_BYTES];
	struct span s;

	if (n == SIZE_MAX || n > E3_CA_PERMIT_MAX)
		return (false);
	for (size_t i = 0; i < n; i++) {
		if (!rpc_get_bytes(rpc_array_at(list, i), &s) ||
		    !span_copy(s, host, sizeof(host)) ||
		    !host_is_canonical(host) || host_is_ip(host))
			return (false);
		buffer_printf(out, "%spermitted;DNS:%s", i == 0 ?
		    "critical," : ",", host);
	}
	if (n != 0)
		buffer_puts(out, ",excluded;IP:0.0.0.0/0.0.0.0"
		    ",excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0");
	return (true);
}

enum rc
e3_ca_wish_read(const struct rpc_value *body, struct e3_ca_wish *w)
{
	const struct rpc_value *permit = NULL;
	struct span name = SPAN_LIT("Relay egress CA");

	memset(w, 0, sizeof(*w));
	w->days = E3_CA_DAYS;
	buffer_init(&w->constraints, 0, false);
	if (rpc_unpack(body, RPC_MAY_BYTES("name", &name),
	    RPC_MAY_VALUE("permit", &permit),
	    RPC_MAY_BOOL("selfSigned", &w->self_signed),
	    RPC_MAY_U64("days", &w->days)) &&
	    w->days >= 1 && w->days <= E3_CA_DAYS_MAX && name.len != 0 &&
	    utf8_valid(name.p, name.len) &&
	    span_copy(name, w->name, sizeof(w->name)) &&
	    (permit == NULL || read_permit(permit, &w->constraints)))
		return (RC_OK);
	e3_ca_wish_fini(w);
	return (RC_SYNTAX);
}

void
e3_ca_wish_fini(struct e3_ca_wish *w)
{
	buffer_fini(&w->constraints);
}

static bool
set_name(X509_NAME *name, const struct e3_ca_wish *w)
{
	return (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
	    (const unsigned char *)w->name, -1, -1, 0) == 1);
}

/* ---- the request ---- */

static bool
push(STACK_OF(X509_EXTENSION) *exts, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (ext != NULL && sk_X509_EXTENSION_push(exts, ext) > 0)
		return (true);
	X509_EXTENSION_free(ext);
	return (false);
}

enum rc
e3_ca_request(const struct e3_ca *ca, struct e3_ca_wish *w,
    struct buffer *out)
{
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
	X509_REQ *req = X509_REQ_new();
	bool ok;

	ok = exts != NULL && req != NULL &&
	    set_name(X509_REQ_get_subject_name(req), w) &&
	    X509_REQ_set_pubkey(req, ca->key) == 1 &&
	    push(exts, NID_basic_constraints, basic) &&
	    push(exts, NID_key_usage, usage) &&
	    (buffer_len(&w->constraints) == 0 || push(exts,
	    NID_name_constraints, buffer_cstr(&w->constraints))) &&
	    X509_REQ_add_extensions(req, exts) == 1 &&
	    X509_REQ_sign(req, ca->key, EVP_sha256()) > 0 &&
	    e3_x509_put_request(req, out);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	ERR_clear_error();
	return (ok ? RC_OK : RC_NOMEM);
}

/* ---- without a root ---- */

enum rc
e3_ca_self_signed(const struct e3_ca *ca, struct e3_ca_wish *w,
    uint64_t now_ms, struct buffer *out)
{
	X509 *cert = X509_new();
	bool ok;

	ok = cert != NULL && e3_x509_begin(cert, now_ms - BACK_DATE_MS,
	    now_ms + w->days * DAY_MS) &&
	    set_name(X509_get_subject_name(cert), w) &&
	    X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
	    X509_set_pubkey(cert, ca->key) == 1 &&
	    e3_x509_add(cert, cert, NID_basic_constraints, basic) &&
	    e3_x509_add(cert, cert, NID_key_usage, usage) &&
	    e3_x509_add(cert, cert, NID_subject_key_identifier, "hash") &&
	    (buffer_len(&w->constraints) == 0 || e3_x509_add(cert, cert,
	    NID_name_constraints, buffer_cstr(&w->constraints))) &&
	    X509_sign(cert, ca->key, EVP_sha256()) > 0 &&
	    e3_x509_put(cert, out);
	X509_free(cert);
	ERR_clear_error();
	return (ok ? RC_OK : RC_NOMEM);
}

/* ---- what came back ---- */

/* X509_verify_cert counts what is between the CA and its root, and would let a
 * root pass under which the CA's leaves are too deep. */
static bool
paths_fit(const struct e3_ca *ca)
{
	for (unsigned i = 1; i < ca->n_certs; i++) {
		long most = X509_get_pathlen(ca->certs[i]);

		if (most != -1 && most < (long)i)
			return (false);
	}
	return (true);
}

static bool
verifies(const struct e3_ca *ca, uint64_t when_ms)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *between = sk_X509_new_null();
	bool ok = false;

	if (store == NULL || ctx == NULL || between == NULL ||
	    X509_STORE_add_cert(store, ca->certs[ca->n_certs - 1]) != 1)
		goto out;
	for (unsigned i = 1; i + 1 < ca->n_certs; i++)
		if (sk_X509_push(between, ca->certs[i]) <= 0)
			goto out;
	if (X509_STORE_CTX_init(ctx, store, ca->certs[0], between) != 1)
		goto out;
	X509_STORE_CTX_set_time(ctx, 0, (time_t)(when_ms / 1000));
	X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_CHECK_SS_SIGNATURE);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ctx),
	    AUTH_LEVEL);
	/* Each certificate given has its place: none is left over. */
	ok = X509_verify_cert(ctx) == 1 && (unsigned)sk_X509_num(
	    X509_STORE_CTX_get0_chain(ctx)) == ca->n_certs;
out:
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	sk_X509_free(between);
	return (ok);
}

static bool
has_constraints(const struct e3_ca *ca)
{
	STACK_OF(X509_EXTENSION) *exts;
	X509_REQ *req;
	bool has;

	if (ca->n_certs != 0)
		return (X509_get_ext_by_NID(ca->certs[0],
		    NID_name_constraints, -1) >= 0);
	if ((req = e3_x509_read_request((struct span){ buffer_data(&ca->pem),
	    buffer_len(&ca->pem) })) == NULL)
		return (true);		/* cannot be: then rather too strict */
	exts = X509_REQ_get_extensions(req);
	has = X509v3_get_ext_by_NID(exts, NID_name_constraints, -1) >= 0;
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	return (has);
}

static const char *
fault(const struct e3_ca *ca, const struct e3_ca *former, uint64_t now_ms)
{
	X509 *own = ca->certs[0];
	uint32_t flags = X509_get_extension_flags(own);

	if (X509_check_ca(own) != 1)
		return ("no-ca");
	if ((flags & EXFLAG_KUSAGE) == 0 ||
	    (X509_get_key_usage(own) & KU_KEY_CERT_SIGN) == 0)
		return ("key-usage");
	if ((flags & EXFLAG_XKUSAGE) != 0 &&
	    (X509_get_extended_key_usage(own) & (XKU_SSL_SERVER |
	    XKU_ANYEKU)) == 0)
		return ("extended-key-usage");
	if (X509_get_pathlen(own) != 0 || !paths_fit(ca))
		return ("path-length");
	if (ca->not_after_ms <= now_ms)
		return ("ended");
	/* Lost on the way, by a root's tool that copies no extensions. */
	if (has_constraints(former) && !has_constraints(ca))
		return ("name-constraints");
	if (X509_self_signed(ca->certs[ca->n_certs - 1], 1) != 1)
		return ("no-root");
	return (verifies(ca, ca->not_before_ms > now_ms ? ca->not_before_ms :
	    now_ms) ? NULL : "chain");
}

const char *
e3_ca_fault(const struct e3_ca *ca, const struct e3_ca *former,
    uint64_t now_ms)
{
	const char *why = fault(ca, former, now_ms);

	ERR_clear_error();
	return (why);
}

bool
e3_ca_permits(const struct e3_ca *ca, X509 *leaf)
{
	bool ok = true;

	for (unsigned i = 0; ok && i < ca->n_certs; i++) {
		NAME_CONSTRAINTS *nc = X509_get_ext_d2i(ca->certs[i],
		    NID_name_constraints, NULL, NULL);

		/* NAME_CONSTRAINTS_check sees no names before they are read. */
		ok = nc == NULL || (X509_check_purpose(leaf, -1, 0) == 1 &&
		    NAME_CONSTRAINTS_check(leaf, nc) == X509_V_OK);
		NAME_CONSTRAINTS_free(nc);
	}
	return (ok);
}
