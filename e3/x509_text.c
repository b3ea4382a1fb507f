/* e3/x509_text.c - OpenSSL's certificates to our types and back. */
#include "e3/x509_text.h"

#include <time.h>

#include <openssl/bn.h>
#include <openssl/pem.h>

#include "lib/base/random.h"

#define SERIAL_BYTES	16	/* RFC 5280 4.1.2.2: at most 20, positive */

/* ---- PEM ---- */

/* The default would ask at the terminal. */
static int
no_password(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return (-1);
}

X509 *
e3_x509_read(BIO *bio)
{
	return (PEM_read_bio_X509(bio, NULL, no_password, NULL));
}

X509_REQ *
e3_x509_read_request(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	X509_REQ *req = NULL;

	if (bio != NULL)
		req = PEM_read_bio_X509_REQ(bio, NULL, no_password, NULL);
	BIO_free(bio);
	return (req);
}

static bool
append(BIO *bio, bool written, struct buffer *out)
{
	char *text;
	long len = written ? BIO_get_mem_data(bio, &text) : 0;

	written = len > 0 && buffer_append(out, text, (size_t)len) == RC_OK;
	BIO_free(bio);
	return (written);
}

bool
e3_x509_put(X509 *cert, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return (append(bio, bio != NULL && PEM_write_bio_X509(bio, cert) == 1,
	    out));
}

bool
e3_x509_put_request(X509_REQ *req, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return (append(bio, bio != NULL &&
	    PEM_write_bio_X509_REQ(bio, req) == 1, out));
}

/* ---- dates, serial, extensions ---- */

bool
e3_x509_time_ms(const ASN1_TIME *t, uint64_t *ms)
{
	struct tm tm;
	time_t s;

	if (ASN1_TIME_to_tm(t, &tm) != 1 || (s = timegm(&tm)) < 0)
		return (false);
	*ms = (uint64_t)s * 1000;
	return (true);
}

static bool
set_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *n;
	bool ok;

	random_bytes(bytes, sizeof(bytes));
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);	/* positive, as long */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n != NULL &&
	    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
	BN_free(n);
	return (ok);
}

bool
e3_x509_begin(X509 *cert, uint64_t not_before_ms, uint64_t not_after_ms)
{
	return (X509_set_version(cert, X509_VERSION_3) == 1 &&
	    set_serial(cert) &&
	    ASN1_TIME_set(X509_getm_notBefore(cert),
	    (time_t)(not_before_ms / 1000)) != NULL &&
	    ASN1_TIME_set(X509_getm_notAfter(cert),
	    (time_t)(not_after_ms / 1000)) != NULL);
}

bool
e3_x509_add(X509 *subject, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, subject, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext != NULL && X509_add_ext(subject, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return (ok);
}
