/*
 * ctl/link_ca.c - X.509 for engine links, as strict as it can be: the CA signs
 * leaves only (path length 0), a leaf signs nothing, the engine's leaf is a
 * server and every other a client.
 */
#include "ctl/link_ca.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "ctl/x509_serial.h"
#include "lib/base/object.h"
#include "lib/rpc/op.h"

#define CLOCK_SKEW_S	300	/* machines of one fleet disagree a little */
#define DAY_S		86400L

struct link_ca {
	unsigned	magic;
#define LINK_CA_MAGIC	0x11c0ca5e
	EVP_PKEY	*key;		/* owned */
	X509		*cert;		/* owned */
};

bool
link_name_valid(const char *name)
{
	size_t len = strlen(name);

	return (len > 0 && len < LINK_NAME_BYTES && strspn(name,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789.-_") == len);
}

/* ---- one certificate --------------------------------------------------------- */

static bool
set_subject(X509 *cert, const char *common_name)
{
	X509_NAME *name = X509_get_subject_name(cert);

	return (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
	    (const unsigned char *)common_name, -1, -1, 0) == 1);
}

static bool
set_extension(X509 *cert, X509 *issuer, int nid, const char *value)
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

/* Everything but issuer, extensions and signature. */
static X509 *
cert_new(EVP_PKEY *key, const char *common_name, unsigned days)
{
	X509 *cert = X509_new();

	if (cert == NULL)
		return (NULL);
	if (X509_set_version(cert, X509_VERSION_3) == 1 && x509_serial_set(cert) &&
	    set_subject(cert, common_name) &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), -CLOCK_SKEW_S) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(cert),
	    (long)days * DAY_S) != NULL &&
	    X509_set_pubkey(cert, key) == 1)
		return (cert);
	X509_free(cert);
	return (NULL);
}

static bool
seal(X509 *cert, X509 *issuer, EVP_PKEY *issuer_key)
{
	return (X509_set_issuer_name(cert,
	    X509_get_subject_name(issuer)) == 1 &&
	    X509_sign(cert, issuer_key, EVP_sha256()) > 0);
}

/* ---- PEM ------------------------------------------------------------------------ */

static enum rc
append_bio(BIO *bio, struct buffer *out)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);

	return (len <= 0 ? RC_IO : buffer_append(out, text, (size_t)len));
}

static enum rc
put_cert(X509 *cert, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	enum rc rc = RC_IO;

	if (bio != NULL && PEM_write_bio_X509(bio, cert) == 1)
		rc = append_bio(bio, out);
	BIO_free(bio);
	return (rc);
}

static enum rc
put_key(EVP_PKEY *key, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_secmem());	/* wiped when it is freed */
	enum rc rc = RC_IO;

	if (bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0,
	    NULL, NULL) == 1)
		rc = append_bio(bio, out);
	BIO_free(bio);
	return (rc);
}

/* ---- the CA ------------------------------------------------------------------------ */

enum rc
link_ca_new(const char *name, struct link_ca **out)
{
	struct link_ca *ca = xcalloc(1, sizeof(*ca));
	char common_name[64 + LINK_NAME_BYTES];

	*out = NULL;
	ca->magic = LINK_CA_MAGIC;
	ERR_clear_error();
	(void)snprintf(common_name, sizeof(common_name), "Relay link CA %s",
	    name);
	if ((ca->key = EVP_EC_gen("P-256")) != NULL &&
	    (ca->cert = cert_new(ca->key, common_name, LINK_CA_DAYS)) != NULL &&
	    set_extension(ca->cert, ca->cert, NID_basic_constraints,
	    "critical,CA:TRUE,pathlen:0") &&
	    set_extension(ca->cert, ca->cert, NID_key_usage,
	    "critical,keyCertSign,cRLSign") &&
	    set_extension(ca->cert, ca->cert, NID_subject_key_identifier,
	    "hash") && seal(ca->cert, ca->cert, ca->key)) {
		*out = ca;
		return (RC_OK);
	}
	ERR_clear_error();
	link_ca_free(&ca);
	return (RC_IO);
}

/* Takes what it can read; the PEM text is a view. */
static X509 *
read_cert(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	X509 *cert = NULL;

	if (bio != NULL)
		cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return (cert);
}

static EVP_PKEY *
read_key(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	EVP_PKEY *key = NULL;

	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return (key);
}

enum rc
link_ca_load(struct span cert_pem, struct span key_pem, struct link_ca **out)
{
	struct link_ca *ca = xcalloc(1, sizeof(*ca));

	*out = NULL;
	ca->magic = LINK_CA_MAGIC;
	ERR_clear_error();
	ca->cert = read_cert(cert_pem);
	ca->key = read_key(key_pem);
	if (ca->cert != NULL && ca->key != NULL &&
	    X509_check_ca(ca->cert) == 1 &&
	    X509_check_private_key(ca->cert, ca->key) == 1)
		*out = ca;
	else
		link_ca_free(&ca);
	ERR_clear_error();
	return (*out != NULL ? RC_OK : RC_SYNTAX);
}

void
link_ca_free(struct link_ca **cap)
{
	struct link_ca *ca = *cap;

	*cap = NULL;
	if (ca == NULL)
		return;
	obj_check(ca, LINK_CA_MAGIC);
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	ca->magic = 0;
	free(ca);
}

enum rc
link_ca_pem(const struct link_ca *ca, struct buffer *cert_pem,
    struct buffer *key_pem)
{
	enum rc rc;

	obj_check(ca, LINK_CA_MAGIC);
	if ((rc = put_cert(ca->cert, cert_pem)) != RC_OK)
		return (rc);
	return (put_key(ca->key, key_pem));
}

static bool
set_leaf_extensions(X509 *cert, X509 *issuer, const char *role,
    const char *uri)
{
	bool server = rpc_role_lookup(role) == RPC_ROLE_ENGINE;

	return (set_extension(cert, issuer, NID_basic_constraints,
	    "critical,CA:FALSE") &&
	    set_extension(cert, issuer, NID_key_usage,
	    "critical,digitalSignature") &&
	    set_extension(cert, issuer, NID_ext_key_usage,
	    server ? "serverAuth" : "clientAuth") &&
	    set_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
	    set_extension(cert, issuer, NID_authority_key_identifier,
	    "keyid:always") &&
	    set_extension(cert, issuer, NID_subject_alt_name, uri));
}

enum rc
link_ca_issue(const struct link_ca *ca, const char *role, const char *name,
    unsigned days, struct buffer *cert_pem, struct buffer *key_pem)
{
	char uri[64 + LINK_NAME_BYTES], common_name[32 + LINK_NAME_BYTES];
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	enum rc rc = RC_IO;

	obj_check(ca, LINK_CA_MAGIC);
	if (rpc_role_lookup(role) == RPC_ROLE_NONE || !link_name_valid(name))
		return (RC_SYNTAX);
	(void)snprintf(uri, sizeof(uri), "URI:relay://link/%s/%s", role, name);
	(void)snprintf(common_name, sizeof(common_name), "%.16s", role);
	ERR_clear_error();
	if ((key = EVP_EC_gen("P-256")) == NULL ||
	    (cert = cert_new(key, common_name, days)) == NULL ||
	    !set_leaf_extensions(cert, ca->cert, role, uri) ||
	    !seal(cert, ca->cert, ca->key))
		goto out;
	if ((rc = put_cert(cert, cert_pem)) == RC_OK)
		rc = put_key(key, key_pem);
out:
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_free(cert);
	return (rc);
}

/* ---- reading a role certificate ------------------------------------------------ */

enum rc
link_cert_read(struct span pem, struct link_cert *out)
{
	X509 *cert;
	struct tm tm;
	time_t ends = -1;
	bool ok;

	memset(out, 0, sizeof(*out));
	ERR_clear_error();
	cert = read_cert(pem);
	if (cert != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
		ends = timegm(&tm);
	ok = ends >= 0 && net_tls_cert_peer(cert, &out->who) == RC_OK;
	out->ends_ms = ok ? (uint64_t)ends * 1000 : 0;
	X509_free(cert);
	ERR_clear_error();
	return (ok ? RC_OK : RC_SYNTAX);
}
