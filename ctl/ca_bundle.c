/* ctl/ca_bundle.c - PEM in, PEM, a store or a PKCS #12 file out. */
#include "ctl/ca_bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509_vfy.h>

#include "lib/base/fd.h"

/* Debian, Red Hat, SUSE, Alpine and the BSDs. */
static const char *const places[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
	"/usr/local/share/certs/ca-root-nss.crt",
};
#define N_PLACES	(sizeof(places) / sizeof(places[0]))

static bool
use_file(const char *path, struct buffer *out)
{
	buffer_clear(out);
	if (file_read(path, out) == RC_OK && buffer_len(out) != 0)
		return (true);
	buffer_clear(out);
	return (false);
}

void
ca_bundle_system(struct buffer *out)
{
	const char *chosen = getenv("SSL_CERT_FILE");

	if (chosen != NULL && chosen[0] != '\0' && use_file(chosen, out))
		return;
	for (size_t i = 0; i < N_PLACES; i++)
		if (use_file(places[i], out))
			return;
}

STACK_OF(X509) *
ca_bundle_parse(struct span pem)
{
	BIO *bio = pem.len > CA_BUNDLE_BYTES_MAX * 2 ? NULL :
	    BIO_new_mem_buf(pem.len == 0 ? "" : pem.p, (int)pem.len);
	STACK_OF(X509) *list = sk_X509_new_null();
	unsigned long last;
	X509 *x;

	ERR_clear_error();
	while (bio != NULL && list != NULL &&
	    (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(list, x) <= 0)
			X509_free(x);
	last = ERR_peek_last_error();
	if (bio == NULL || (last != 0 &&
	    ERR_GET_REASON(last) != PEM_R_NO_START_LINE))
		ca_bundle_free(&list);
	ERR_clear_error();
	BIO_free(bio);
	return (list);
}

void
ca_bundle_free(STACK_OF(X509) **list)
{
	sk_X509_pop_free(*list, X509_free);
	*list = NULL;
}

X509_STORE *
ca_bundle_store(struct span pem)
{
	STACK_OF(X509) *list = ca_bundle_parse(pem);
	X509_STORE *store = list == NULL ? NULL : X509_STORE_new();

	for (int i = 0; store != NULL && i < sk_X509_num(list); i++)
		(void)X509_STORE_add_cert(store, sk_X509_value(list, i));
	/* A client that was given the CA alone trusts it without its root. */
	if (store != NULL)
		(void)X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	ERR_clear_error();
	ca_bundle_free(&list);
	return (store);
}

/* ---- Java --------------------------------------------------------------------------------- */

/* Java trusts a certificate without a key only if its bag says for what:
 * Oracle's attribute trustedKeyUsage with anyExtendedKeyUsage. */
#define TRUSTED_KEY_USAGE	"2.16.840.1.113894.746875.1.1"

static bool
add_trusted(STACK_OF(PKCS12_SAFEBAG) **bags, X509 *x, int number)
{
	const unsigned char *any = (const unsigned char *)
	    OBJ_nid2obj(NID_anyExtendedKeyUsage);
	PKCS12_SAFEBAG *bag = PKCS12_add_cert(bags, x);
	char name[32];

	(void)snprintf(name, sizeof(name), "ca-%d", number);
	return (bag != NULL && PKCS12_add_friendlyname_utf8(bag, name, -1) == 1 &&
	    PKCS12_add1_attr_by_txt(bag, TRUSTED_KEY_USAGE, V_ASN1_OBJECT, any,
	    -1) == 1);
}

/* To DER, with neither encryption nor MAC. */
static enum rc
write_bags(STACK_OF(PKCS12_SAFEBAG) *bags, struct buffer *out)
{
	STACK_OF(PKCS7) *safes = NULL;
	unsigned char *der = NULL;
	PKCS12 *p12 = NULL;
	enum rc rc = RC_IO;
	int len;

	if (PKCS12_add_safe(&safes, bags, -1, 0, NULL) == 1 &&
	    (p12 = PKCS12_add_safes(safes, 0)) != NULL &&
	    (len = i2d_PKCS12(p12, &der)) > 0)
		rc = buffer_append(out, der, (size_t)len);
	OPENSSL_free(der);
	PKCS12_free(p12);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return (rc);
}

enum rc
ca_bundle_pkcs12(struct span pem, struct buffer *out)
{
	STACK_OF(X509) *list = ca_bundle_parse(pem);
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	enum rc rc = RC_SYNTAX;

	if (list == NULL || sk_X509_num(list) == 0)
		goto out;
	rc = RC_OK;
	for (int i = 0; rc == RC_OK && i < sk_X509_num(list); i++)
		if (!add_trusted(&bags, sk_X509_value(list, i), i + 1))
			rc = RC_IO;
	if (rc == RC_OK)
		rc = write_bags(bags, out);
out:
	ERR_clear_error();
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	ca_bundle_free(&list);
	return (rc);
}
