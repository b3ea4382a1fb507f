/* tests/unit/certs_attest_doc.c - see certs_attest_doc.h. */
#include "certs_attest_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "lib/base/object.h"

#define HOUR_S	3600
#define ZEROS	"0*48"

const char doc_pcrs[] = "{0:*48,1:*48,2:*48,3:*48,4:*48,8:" ZEROS ",16:*48}";

static void
add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	if (value[0] == '\0')
		return;
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ensure(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

void
doc_cert_make(struct doc_cert *c, const char *cn, bool ca,
    const struct doc_cert *issuer, const struct doc_cert_how *how)
{
	const char *basic = how->basic, *usage = how->usage;
	X509_NAME *name;
	uint32_t serial;

	c->key = EVP_EC_gen(how->curve != NULL ? how->curve : "P-384");
	c->x509 = X509_new();
	ensure(c->key != NULL && c->x509 != NULL);
	ensure(RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1);
	ensure(X509_set_version(c->x509, how->old ? X509_VERSION_1 :
	    X509_VERSION_3) == 1);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(c->x509), serial);
	ASN1_TIME_set(X509_getm_notBefore(c->x509), DOC_TIME_S +
	    (how->from_s != 0 ? how->from_s : -HOUR_S));
	ASN1_TIME_set(X509_getm_notAfter(c->x509), DOC_TIME_S +
	    (how->until_s != 0 ? how->until_s : 2 * HOUR_S));
	ensure(X509_set_pubkey(c->x509, c->key) == 1);
	name = X509_get_subject_name(c->x509);
	ensure(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
	    (const unsigned char *)cn, -1, -1, 0) == 1);
	ensure(X509_set_issuer_name(c->x509, issuer != NULL ?
	    X509_get_subject_name(issuer->x509) : name) == 1);
	if (basic == NULL)
		basic = ca ? "critical,CA:TRUE" : "critical,CA:FALSE";
	if (usage == NULL)
		usage = ca ? "critical,keyCertSign,cRLSign" :
		    "digitalSignature,nonRepudiation";
	add_extension(c->x509, NID_basic_constraints, basic);
	add_extension(c->x509, NID_key_usage, usage);
	ensure(X509_sign(c->x509, issuer != NULL ? issuer->key : c->key,
	    how->digest != NULL ? how->digest : EVP_sha384()) > 0);
}

void
doc_cert_fini(struct doc_cert *c)
{
	X509_free(c->x509);
	EVP_PKEY_free(c->key);
	memset(c, 0, sizeof(*c));
}

static void
put_head(struct buffer *b, unsigned major, uint64_t value)
{
	unsigned char bytes[9];
	unsigned n = value < 24 ? 0 : value < 1u << 8 ? 1 : value < 1u << 16 ?
	    2 : value < 1ull << 32 ? 4 : 8;

	bytes[0] = (unsigned char)(major << 5 | (n == 0 ? (unsigned)value :
	    n == 1 ? 24 : n == 2 ? 25 : n == 4 ? 26 : 27));
	for (unsigned i = 0; i < n; i++)
		bytes[1 + i] = (unsigned char)(value >> 8 * (n - 1 - i));
	buffer_put(b, bytes, 1 + n);
}

static void
put_string(struct buffer *b, unsigned major, const void *p, size_t len)
{
	put_head(b, major, len);
	buffer_put(b, p, len);
}

static void put_item(struct buffer *, const char **);

static void
put_hex(struct buffer *b, const char **at)
{
	unsigned char bytes[256];
	const char *p = *at;
	size_t len = 0;

	while (hex_value(p[2 * len]) >= 0)
		len++;
	ensure(len <= sizeof(bytes) && hex_decode((struct span){ p, 2 * len },
	    bytes, len) == RC_OK);
	put_string(b, 2, bytes, len);
	*at = p + 2 * len;
}

/* A number, or with a star behind it so many bytes. */
static void
put_number(struct buffer *b, const char **at)
{
	char *end;
	unsigned long long v = strtoull(*at, &end, 10);
	bool zero = **at == '0';
	size_t len;

	if (*end != '*') {
		put_head(b, 0, v);
		*at = end;
		return;
	}
	len = strtoull(end + 1, &end, 10);
	put_head(b, 2, len);
	while (len-- > 0)
		buffer_put(b, zero ? "\0" : "\xaa", 1);
	*at = end;
}

/* `at` is behind the opening sign; the closing one tells array from map. */
static void
put_container(struct buffer *b, const char **at, bool open_end)
{
	struct buffer in;
	size_t n = 0;

	buffer_init(&in, 0, false);
	while (strchr("]}", **at) == NULL) {
		put_item(&in, at);
		n++;
		if (strchr(",:", **at) != NULL)
			(*at)++;
	}
	if (open_end)
		buffer_puts(b, **at == '}' ? "\xbf" : "\x9f");
	else
		put_head(b, **at == '}' ? 5 : 4, **at == '}' ? n / 2 : n);
	buffer_put(b, buffer_data(&in), buffer_len(&in));
	if (open_end)
		buffer_puts(b, "\xff");
	(*at)++;
	buffer_fini(&in);
}

static void
put_item(struct buffer *b, const char **at)
{
	const char *p = *at, *end;

	switch (*p) {
	case '\'':
		end = strchr(p + 1, '\'');
		ensure(end != NULL);
		put_string(b, 3, p + 1, (size_t)(end - p - 1));
		*at = end + 1;
		break;
	case '[':
	case '{':
	case '(':
		(*at)++;
		put_container(b, at, *p == '(');
		break;
	case '#':
		(*at)++;
		put_hex(b, at);
		break;
	case 'n':
	case 't':
		buffer_puts(b, *p == 'n' ? "\xf6" : "\xf5");
		(*at)++;
		break;
	case '-':
		put_head(b, 1, strtoull(p + 1, NULL, 10) - 1);
		*at = p + 1 + strspn(p + 1, "0123456789");
		break;
	default:
		put_number(b, at);
		break;
	}
}

void
doc_cbor(struct buffer *b, const char *notation)
{
	while (*notation != '\0') {
		put_item(b, &notation);
		if (*notation == ':')
			notation++;
	}
}

static void
put_cert(struct buffer *b, X509 *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);

	ensure(len > 0);
	put_string(b, 2, der, (size_t)len);
	OPENSSL_free(der);
}

static void
put_chain(struct buffer *b, const struct doc *d, const char *field)
{
	if (strcmp(field, "certificate") == 0) {
		if (d->leaf_der.p != NULL)
			put_string(b, 2, d->leaf_der.p, d->leaf_der.len);
		else
			put_cert(b, d->leaf->x509);
		return;
	}
	put_head(b, 4, d->n_cas);
	for (size_t i = 0; i < d->n_cas; i++)
		put_cert(b, d->cas[i]->x509);
}

static void
put_payload(struct buffer *b, const struct doc *d)
{
	char time[32];
	const struct {
		const char	*name;
		const char	*notation;	/* NULL: certificates */
	} fields[] = {
		{ "module_id", "'" DOC_MODULE_ID "'" },
		{ "digest", "'SHA384'" },
		{ "timestamp", time },
		{ "pcrs", d->pcrs != NULL ? d->pcrs : doc_pcrs },
		{ "certificate", NULL },
		{ "cabundle", NULL },
		{ "public_key", DOC_PUBLIC_KEY },
		{ "user_data", DOC_USER_DATA },
		{ "nonce", DOC_NONCE },
	};
	size_t n = sizeof(fields) / sizeof(fields[0]);

	(void)snprintf(time, sizeof(time), "%d000", DOC_TIME_S);
	put_head(b, 5, n + (d->extra != NULL ? 1 : 0) - (d->field != NULL &&
	    d->notation == NULL ? 1 : 0));
	for (size_t i = 0; i < n; i++) {
		const char *name = fields[i].name, *value = fields[i].notation;
		bool other = d->field != NULL && strcmp(d->field, name) == 0;

		if (other && d->notation == NULL)
			continue;
		put_string(b, 3, name, strlen(name));
		if (other)
			doc_cbor(b, d->notation);
		else if (value != NULL)
			doc_cbor(b, value);
		else
			put_chain(b, d, name);
	}
	if (d->extra != NULL)
		doc_cbor(b, d->extra);
}

/* r and s of this key's signature over the bytes, to b as a byte string. */
static void
put_signature(struct buffer *b, EVP_PKEY *key, const struct buffer *over)
{
	size_t half = (size_t)(EVP_PKEY_get_bits(key) + 7) / 8, len = 256;
	unsigned char der[256], raw[2 * 66];
	const unsigned char *p = der;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	ECDSA_SIG *sig;

	ensure(EVP_DigestSignInit(md, NULL, EVP_sha384(), NULL, key) == 1);
	ensure(EVP_DigestSign(md, der, &len,
	    (const unsigned char *)buffer_data(over), buffer_len(over)) == 1);
	sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
	ensure(sig != NULL && half <= 66);
	ensure(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)half) > 0);
	ensure(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, (int)half) > 0);
	put_string(b, 2, raw, 2 * half);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(md);
}

void
doc_make(struct buffer *b, const struct doc *d)
{
	struct buffer payload, header, over;

	buffer_init(b, 0, false);
	buffer_init(&payload, 0, false);
	buffer_init(&header, 0, false);
	buffer_init(&over, 0, false);
	put_payload(&payload, d);
	doc_cbor(&header, d->protected != NULL ? d->protected : "{1:-35}");
	put_head(&over, 4, 4);
	put_string(&over, 3, "Signature1", 10);
	put_string(&over, 2, buffer_data(&header), buffer_len(&header));
	put_string(&over, 2, "", 0);
	put_string(&over, 2, buffer_data(&payload), buffer_len(&payload));
	if (d->tagged)
		put_head(b, 6, 18);
	put_head(b, 4, 4);
	put_string(b, 2, buffer_data(&header), buffer_len(&header));
	doc_cbor(b, d->unprotected != NULL ? d->unprotected : "{}");
	put_string(b, 2, buffer_data(&payload), buffer_len(&payload));
	put_signature(b, d->signer != NULL ? d->signer : d->leaf->key, &over);
	buffer_fini(&payload);
	buffer_fini(&header);
	buffer_fini(&over);
}
