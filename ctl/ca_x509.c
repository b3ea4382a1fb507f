/* ctl/ca_x509.c - egress CA certificates outside the engine. */
#include "ctl/ca_x509.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "ctl/x509_serial.h"

#define BACK_DATE_S	3600	/* clocks differ */
#define DAY_S		86400L
#define POINT_BYTES	65	/* P-256, uncompressed */

static BIO *
open_pem(struct span pem)
{
	return (BIO_new_mem_buf(pem.p, (int)pem.len));
}

static X509 *
read_cert(struct span pem)
{
	BIO *bio = open_pem(pem);
	X509 *cert = NULL;

	if (bio != NULL)
		cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return (cert);
}

static X509_REQ *
read_request(struct span pem)
{
	BIO *bio = open_pem(pem);
	X509_REQ *req = NULL;

	if (bio != NULL)
		req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return (req);
}

/* ---- what is in a file ---- */

static bool
key_id(EVP_PKEY *key, char id[CA_ID_BYTES])
{
	static const char prefix[] = "ca_";
	uint8_t point[POINT_BYTES], digest[EVP_MAX_MD_SIZE];
	size_t n = 0;

	if (key == NULL || !EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY,
	    point, sizeof(point), &n) != 1 || n != sizeof(point))
		return (false);
	point[0] = point[n - 1] % 2 == 0 ? 2 : 3;	/* compressed */
	if (EVP_Digest(point, 1 + n / 2, digest, NULL, EVP_sha256(),
	    NULL) != 1)
		return (false);
	memcpy(id, prefix, sizeof(prefix));
	hex_encode(digest, 6, id + sizeof(prefix) - 1);
	return (true);
}

static const char *
fault(X509 *cert, char id[CA_ID_BYTES])
{
	if (cert == NULL)
		return ("no certificate in PEM is in it");
	if (X509_check_ca(cert) != 1)
		return ("its first certificate is no CA's: the CA's own comes "
		    "first, the root last");
	if (X509_get_pathlen(cert) != 0)
		return ("its first certificate is not of path length 0 "
		    "(basicConstraints CA:TRUE, pathlen:0)");
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		return ("its first certificate has ended");
	return (key_id(X509_get0_pubkey(cert), id) ? NULL :
	    "its first certificate is of no P-256 key");
}

enum rc
ca_x509_id(struct span pem, char id[CA_ID_BYTES], const char **why)
{
	X509 *cert = read_cert(pem);

	id[0] = '\0';
	*why = fault(cert, id);
	X509_free(cert);
	ERR_clear_error();
	return (*why == NULL ? RC_OK : RC_SYNTAX);
}

static void
put_permitted(const NAME_CONSTRAINTS *nc, struct buffer *out)
{
	int n = nc == NULL ? 0 : sk_GENERAL_SUBTREE_num(nc->permittedSubtrees);

	for (int i = 0; i < n; i++) {
		const GENERAL_NAME *name = sk_GENERAL_SUBTREE_value(
		    nc->permittedSubtrees, i)->base;

		if (name->type == GEN_DNS)
			buffer_printf(out, "%s%.*s", buffer_len(out) == 0 ?
			    "" : ",", ASN1_STRING_length(name->d.dNSName),
			    (const char *)ASN1_STRING_get0_data(
			    name->d.dNSName));
	}
}

void
ca_x509_permitted(struct span pem, struct buffer *out)
{
	STACK_OF(X509_EXTENSION) *exts = NULL;
	NAME_CONSTRAINTS *nc = NULL;
	X509_REQ *req = read_request(pem);
	X509 *cert = read_cert(pem);

	if (cert != NULL)
		nc = X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);
	else if (req != NULL && (exts = X509_REQ_get_extensions(req)) != NULL)
		nc = X509V3_get_d2i(exts, NID_name_constraints, NULL, NULL);
	put_permitted(nc, out);
	NAME_CONSTRAINTS_free(nc);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	X509_free(cert);
	ERR_clear_error();
}

bool
ca_x509_self_signed(struct span pem)
{
	X509 *cert = read_cert(pem);
	bool self = cert != NULL && X509_self_signed(cert, 1) == 1;

	X509_free(cert);
	ERR_clear_error();
	return (self);
}

/* ---- the root's signature ---- */

static bool
add(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return (ok);
}

/* Nothing else of what is asked for: the rest is ours to say. */
static bool
keep_constraints(X509_REQ *req, X509 *cert)
{
	STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
	int i = X509v3_get_ext_by_NID(exts, NID_name_constraints, -1);
	bool ok;

	ok = i < 0 || X509_add_ext(cert, X509v3_get_ext(exts, i), -1) == 1;
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	return (ok);
}

/* A root's end is the end of all below it. */
static bool
set_dates(X509 *cert, X509 *root, unsigned days)
{
	const ASN1_TIME *end = X509_get0_notAfter(root);

	if (X509_gmtime_adj(X509_getm_notBefore(cert), -BACK_DATE_S) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * DAY_S) ==
	    NULL)
		return (false);
	return (ASN1_TIME_compare(X509_get0_notAfter(cert), end) <= 0 ||
	    X509_set1_notAfter(cert, end) == 1);
}

/* Some keys hash for themselves. */
static bool
sign(X509 *cert, EVP_PKEY *key)
{
	bool own = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");

	return (X509_sign(cert, key, own ? NULL : EVP_sha256()) > 0);
}

static bool
fill(X509 *cert, X509_REQ *req, X509 *root, EVP_PKEY *root_key, unsigned days)
{
	return (X509_set_version(cert, X509_VERSION_3) == 1 &&
	    x509_serial_set(cert) && set_dates(cert, root, days) &&
	    X509_set_subject_name(cert, X509_REQ_get_subject_name(req)) == 1 &&
	    X509_set_issuer_name(cert, X509_get_subject_name(root)) == 1 &&
	    X509_set_pubkey(cert, X509_REQ_get0_pubkey(req)) == 1 &&
	    add(cert, root, NID_basic_constraints,
	    "critical,CA:TRUE,pathlen:0") &&
	    add(cert, root, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	    add(cert, root, NID_subject_key_identifier, "hash") &&
	    add(cert, root, NID_authority_key_identifier, "keyid") &&
	    keep_constraints(req, cert) && sign(cert, root_key));
}

static bool
put(X509 *cert, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len;
	bool ok;

	ok = bio != NULL && PEM_write_bio_X509(bio, cert) == 1 &&
	    (len = BIO_get_mem_data(bio, &text)) > 0 &&
	    buffer_append(out, text, (size_t)len) == RC_OK;
	BIO_free(bio);
	return (ok);
}

/* The issuer, and what stands above it, as its file has them. */
static bool
put_all(struct span pem, struct buffer *out)
{
	BIO *bio = open_pem(pem);
	bool ok = bio != NULL;
	X509 *cert;

	while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) !=
	    NULL) {
		ok = put(cert, out);
		X509_free(cert);
	}
	BIO_free(bio);
	return (ok);
}

static const char *
sign_fault(X509_REQ *req, X509 *root, EVP_PKEY *key)
{
	if (req == NULL || X509_REQ_verify(req, X509_REQ_get0_pubkey(req)) != 1)
		return ("CSR: no request, or not signed by its own key");
	if (root == NULL || X509_check_ca(root) != 1)
		return ("--root-cert: no certificate of a CA");
	if (X509_get_pathlen(root) == 0)
		return ("--root-cert: its path length is 0, so nothing under "
		    "it may be a CA");
	if (key == NULL || X509_check_private_key(root, key) != 1)
		return ("--root-key: not the key of --root-cert");
	return (NULL);
}

enum rc
ca_x509_sign(struct span request, struct span root_cert, struct span root_key,
    unsigned days, struct buffer *out, const char **why)
{
	X509_REQ *req = read_request(request);
	X509 *root = read_cert(root_cert), *cert = X509_new();
	BIO *bio = open_pem(root_key);
	EVP_PKEY *key = NULL;
	enum rc rc = RC_SYNTAX;

	/* OpenSSL asks at the terminal when the key has a password. */
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	if ((*why = sign_fault(req, root, key)) == NULL)
		rc = cert != NULL && fill(cert, req, root, key, days) &&
		    put(cert, out) && put_all(root_cert, out) ? RC_OK : RC_IO;
	EVP_PKEY_free(key);
	BIO_free(bio);
	X509_free(cert);
	X509_free(root);
	X509_REQ_free(req);
	ERR_clear_error();
	return (rc);
}
