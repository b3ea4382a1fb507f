/*
 * net/tls.c - TLS contexts, PEM text, link certificates, and OpenSSL's errors
 * as text.
 *
 * A context verifies its peer unless somebody says otherwise in so many
 * words: a client context starts with SSL_VERIFY_PEER and trusts nobody.
 */
#include "lib/net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/object.h"

/* TLS 1.2 only with forward secrecy and AEAD; TLS 1.3 has nothing else. */
#define SERVER_CIPHERS	"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

#define LINK_URI_PREFIX	"relay://link/"
#define LINK_DEPTH	1	/* the link CA signs role certificates itself */

/* Serials of revoked link certificates, hung on the context. */
struct revoked {
	size_t	n;
	char	serials[][sizeof(((struct net_link_peer *)NULL)->serial)];
};

const char *
net_tls_error(char *why, size_t why_size)
{
	unsigned long e = ERR_get_error();
	const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);

	/* The reason only: an entry's data may hold what a file held. */
	if (reason != NULL)
		(void)snprintf(why, why_size, "%s", reason);
	else if (e != 0)
		(void)snprintf(why, why_size, "tls error %lx", e);
	else
		(void)snprintf(why, why_size, "unknown tls error");
	ERR_clear_error();
	return (why);
}

static enum rc
refuse(char *why, size_t why_size, const char *text)
{
	(void)snprintf(why, why_size, "%s", text);
	ERR_clear_error();
	return (RC_SYNTAX);
}

static SSL_CTX *
base_ctx(const SSL_METHOD *method, int min_version)
{
	SSL_CTX *ctx;

	ERR_clear_error();
	if ((ctx = SSL_CTX_new(method)) == NULL)
		return (NULL);
	if (SSL_CTX_set_min_proto_version(ctx, min_version) != 1) {
		SSL_CTX_free(ctx);
		return (NULL);
	}
	/* CLEANSE_PLAINTEXT: OpenSSL wipes its copy of what it decrypted. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION |
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Tickets carry sessions; a cache of ours would only grow. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return (ctx);
}

SSL_CTX *
net_tls_server_ctx(int min_version)
{
	SSL_CTX *ctx = base_ctx(TLS_server_method(), min_version);

	if (ctx != NULL && SSL_CTX_set_cipher_list(ctx, SERVER_CIPHERS) != 1) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	ERR_clear_error();
	return (ctx);
}

SSL_CTX *
net_tls_client_ctx(int min_version)
{
	SSL_CTX *ctx = base_ctx(TLS_client_method(), min_version);

	if (ctx != NULL)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	ERR_clear_error();
	return (ctx);
}

static BIO *
pem_bio(struct span pem)
{
	if (pem.len == 0 || pem.len > INT32_MAX)
		return (NULL);
	return (BIO_new_mem_buf(pem.p, (int)pem.len));
}

/* An encrypted key has nobody to ask: never prompt on a terminal. */
static int
no_password(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return (-1);
}

/* The next certificate, or NULL at the end (*bad when that is no clean end:
 * the queue then holds more than "no start line"). */
static X509 *
next_cert(BIO *bio, bool *bad)
{
	X509 *cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	unsigned long e;

	*bad = false;
	if (cert != NULL)
		return (cert);
	e = ERR_peek_last_error();
	*bad = ERR_GET_LIB(e) != ERR_LIB_PEM ||
	    ERR_GET_REASON(e) != PEM_R_NO_START_LINE;
	return (NULL);
}

static enum rc
use_chain(SSL_CTX *ctx, struct span chain, char *why, size_t why_size)
{
	BIO *bio = pem_bio(chain);
	X509 *cert = NULL;
	bool bad = false;
	enum rc rc = RC_SYNTAX;
	unsigned n = 0;

	if (bio == NULL) {
		(void)refuse(why, why_size, "no certificate");
		goto out;
	}
	SSL_CTX_clear_chain_certs(ctx);
	while ((cert = next_cert(bio, &bad)) != NULL) {
		int ok = n++ == 0 ? SSL_CTX_use_certificate(ctx, cert) :
		    SSL_CTX_add1_chain_cert(ctx, cert);

		X509_free(cert);
		if (ok != 1) {
			(void)net_tls_error(why, why_size);
			goto out;
		}
	}
	if (bad)
		(void)net_tls_error(why, why_size);
	else if (n == 0)
		(void)refuse(why, why_size, "no certificate");
	else
		rc = RC_OK;
out:
	ERR_clear_error();
	BIO_free(bio);
	return (rc);
}

enum rc
net_tls_use_pem(SSL_CTX *ctx, struct span chain, struct span key, char *why,
    size_t why_size)
{
	EVP_PKEY *pkey = NULL;
	BIO *bio = NULL;
	enum rc rc;

	why[0] = '\0';
	ERR_clear_error();
	if ((rc = use_chain(ctx, chain, why, why_size)) != RC_OK)
		return (rc);
	rc = RC_SYNTAX;
	if ((bio = pem_bio(key)) != NULL)
		pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	if (pkey == NULL)
		(void)refuse(why, why_size,
		    "no private key, or it is encrypted");
	else if (SSL_CTX_use_PrivateKey(ctx, pkey) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1)
		(void)net_tls_error(why, why_size);
	else
		rc = RC_OK;
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	ERR_clear_error();
	return (rc);
}

enum rc
net_tls_trust_pem(SSL_CTX *ctx, struct span ca, char *why, size_t why_size)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509 *cert;
	BIO *bio;
	bool bad = false;
	enum rc rc = RC_SYNTAX;
	unsigned n = 0;

	why[0] = '\0';
	ERR_clear_error();
	if ((bio = pem_bio(ca)) == NULL)
		return (refuse(why, why_size, "no certificate"));
	while ((cert = next_cert(bio, &bad)) != NULL) {
		int ok = X509_STORE_add_cert(store, cert);

		X509_free(cert);
		n++;
		if (ok != 1) {
			(void)net_tls_error(why, why_size);
			goto out;
		}
	}
	if (bad)
		(void)net_tls_error(why, why_size);
	else if (n == 0)
		(void)refuse(why, why_size, "no certificate");
	else
		rc = RC_OK;
out:
	BIO_free(bio);
	ERR_clear_error();
	return (rc);
}

/* ---- links ------------------------------------------------------------- */

static bool
known_role(const char *role)
{
	static const char *const roles[] = { "worker", "feed", "helper",
	    "pulse", "admin", "engine" };

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(role, roles[i]) == 0)
			return (true);
	return (false);
}

/* Names go to logs: letters, digits, dot, hyphen, underscore. */
static bool
name_ok(struct span name)
{
	if (name.len == 0)
		return (false);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '.' && c != '-' &&
		    c != '_')
			return (false);
	}
	return (true);
}

/* relay://link/<role>/<name> */
static bool
parse_uri(struct span uri, struct net_link_peer *out)
{
	static const struct span prefix = SPAN_LIT(LINK_URI_PREFIX);
	struct span role, name;
	const char *slash;

	if (uri.len <= prefix.len ||
	    memcmp(uri.p, prefix.p, prefix.len) != 0)
		return (false);
	role.p = uri.p + prefix.len;
	role.len = uri.len - prefix.len;
	if ((slash = memchr(role.p, '/', role.len)) == NULL)
		return (false);
	name.p = slash + 1;
	name.len = role.len - (size_t)(name.p - role.p);
	role.len = (size_t)(slash - role.p);
	return (span_copy(role, out->role, sizeof(out->role)) &&
	    known_role(out->role) && name_ok(name) &&
	    span_copy(name, out->name, sizeof(out->name)));
}

/* Exactly one URI, of our form: two would be two identities. */
static bool
cert_uri(const X509 *cert, struct net_link_peer *out)
{
	GENERAL_NAMES *names;
	unsigned n_uri = 0;
	bool ok = false;

	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *text;

		if (name->type != GEN_URI)
			continue;
		text = name->d.uniformResourceIdentifier;
		n_uri++;
		ok = parse_uri((struct span){
		    (const char *)ASN1_STRING_get0_data(text),
		    (size_t)ASN1_STRING_length(text) }, out);
	}
	GENERAL_NAMES_free(names);
	return (ok && n_uri == 1);
}

/* One spelling of a serial: lower case, whole bytes, no zero byte in front. */
static bool
serial_text(const BIGNUM *bn, char *out, size_t size)
{
	char *hex = bn == NULL ? NULL : BN_bn2hex(bn);
	bool ok = hex != NULL && strlen(hex) < size;

	for (size_t i = 0; ok && (i == 0 || hex[i - 1] != '\0'); i++)
		out[i] = hex[i] >= 'A' && hex[i] <= 'F' ?
		    (char)(hex[i] + ('a' - 'A')) : hex[i];
	OPENSSL_free(hex);
	return (ok);
}

static bool
cert_serial(const X509 *cert, char *out, size_t size)
{
	BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	bool ok = serial_text(bn, out, size);

	BN_free(bn);
	return (ok);
}

static bool
identify(const X509 *cert, struct net_link_peer *out)
{
	memset(out, 0, sizeof(*out));
	if (cert_uri(cert, out) &&
	    cert_serial(cert, out->serial, sizeof(out->serial)))
		return (true);
	memset(out, 0, sizeof(*out));
	return (false);
}

enum rc
net_tls_cert_peer(const X509 *cert, struct net_link_peer *out)
{
	bool ok = identify(cert, out);

	ERR_clear_error();
	return (ok ? RC_OK : RC_SYNTAX);
}

enum rc
net_tls_link_peer(SSL *ssl, struct net_link_peer *out)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	bool ok;

	memset(out, 0, sizeof(*out));
	ok = cert != NULL && SSL_get_verify_result(ssl) == X509_V_OK &&
	    identify(cert, out);
	ERR_clear_error();
	return (ok ? RC_OK : RC_DENIED);
}

static void
revoked_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
    void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	free(ptr);
}

/* One index for the process; contexts are made by its main thread. */
static int
revoked_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL,
		    revoked_free);
	return (index);
}

static bool
is_revoked(const SSL_CTX *ctx, const char *serial)
{
	const struct revoked *r = SSL_CTX_get_ex_data(ctx, revoked_index());

	for (size_t i = 0; r != NULL && i < r->n; i++)
		if (strcmp(r->serials[i], serial) == 0)
			return (true);
	return (false);
}

/* After OpenSSL's own checks: the form of the name, revocation, and that a
 * client talks to an engine, not to another role's certificate. */
static int
verify_link(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store,
	    SSL_get_ex_data_X509_STORE_CTX_idx());
	struct net_link_peer peer;

	if (ok != 1 || X509_STORE_CTX_get_error_depth(store) != 0)
		return (ok);
	if (!identify(X509_STORE_CTX_get_current_cert(store), &peer) ||
	    (SSL_is_server(ssl) == 0 && strcmp(peer.role, "engine") != 0)) {
		X509_STORE_CTX_set_error(store,
		    X509_V_ERR_APPLICATION_VERIFICATION);
		return (0);
	}
	if (is_revoked(SSL_get_SSL_CTX(ssl), peer.serial)) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
		return (0);
	}
	return (1);
}

/* An unreadable line must not pass for an empty one. */
static bool
parse_serial(struct span line, char *out, size_t size)
{
	BIGNUM *bn = NULL;
	char text[64];
	bool ok;

	if (!span_copy(line, text, sizeof(text)) ||
	    text[strspn(text, "0123456789abcdefABCDEF")] != '\0')
		return (false);
	ok = BN_hex2bn(&bn, text) != 0 && serial_text(bn, out, size);
	BN_free(bn);
	return (ok);
}

static struct span
next_line(struct span *text)
{
	const char *nl = memchr(text->p, '\n', text->len);
	size_t len = nl == NULL ? text->len : (size_t)(nl - text->p);
	struct span line = { text->p, len };

	len += nl != NULL ? 1 : 0;
	text->p += len;
	text->len -= len;
	if (line.len != 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return (span_trim(line));
}

size_t
net_tls_revoked_fault(struct span revoked)
{
	char serial[sizeof(((struct net_link_peer *)NULL)->serial)];

	for (size_t n = 1; revoked.len != 0; n++) {
		struct span line = next_line(&revoked);

		if (line.len != 0 && line.p[0] != '#' &&
		    !parse_serial(line, serial, sizeof(serial)))
			return (n);
	}
	return (0);
}

static enum rc
use_revoked(SSL_CTX *ctx, struct span text, char *why, size_t why_size)
{
	struct revoked *r;
	size_t lines = 1;

	for (size_t i = 0; i < text.len; i++)
		lines += text.p[i] == '\n' ? 1 : 0;
	r = xcalloc(1, sizeof(*r) + lines * sizeof(r->serials[0]));
	while (text.len != 0) {
		struct span line = next_line(&text);

		if (line.len == 0 || line.p[0] == '#')
			continue;
		if (!parse_serial(line, r->serials[r->n],
		    sizeof(r->serials[0]))) {
			free(r);
			return (refuse(why, why_size,
			    "revoked: a line is no hex serial"));
		}
		r->n++;
	}
	if (SSL_CTX_set_ex_data(ctx, revoked_index(), r) == 1)
		return (RC_OK);
	free(r);
	return (refuse(why, why_size, "no memory"));
}

SSL_CTX *
net_tls_link_ctx(bool server, const struct net_tls_link_files *files,
    char *why, size_t why_size)
{
	SSL_CTX *ctx;

	why[0] = '\0';
	ctx = server ? net_tls_server_ctx(TLS1_3_VERSION) :
	    net_tls_client_ctx(TLS1_3_VERSION);
	if (ctx == NULL) {
		(void)refuse(why, why_size, "no memory");
		return (NULL);
	}
	if (net_tls_use_pem(ctx, files->chain, files->key, why, why_size) !=
	    RC_OK ||
	    net_tls_trust_pem(ctx, files->ca, why, why_size) != RC_OK ||
	    use_revoked(ctx, files->revoked, why, why_size) != RC_OK) {
		SSL_CTX_free(ctx);
		return (NULL);
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER |
	    SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_link);
	SSL_CTX_set_verify_depth(ctx, LINK_DEPTH);
	/* A link lives for days: resumption would only skip the checks. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	(void)SSL_CTX_set_max_early_data(ctx, 0);
	return (ctx);
}
