/*
 * certs/verify.c - what a destination's certificate is checked against.
 *
 *   certs_verify --owns--> system   X509_STORE: the system's CAs and ours
 *                --owns--> plain[2] contexts on that very store, one for each
 *                                   minimum version: most relays use these
 *                --owns--> lru      contexts with a CA of a relay, by digest
 *
 * The system's CAs are read once, before the sandbox, into memory: OpenSSL's
 * own default paths include a folder that it would look into during a
 * handshake, which blocks the loop and has no right to open files there.
 */
#include "certs/verify.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/base/list.h"
#include "lib/base/object.h"
#include "lib/net/tls.h"

/* Relays with a CA of their own that one worker talks to at a time.  A context
 * is about 25 KiB beside the shared CAs, and takes 1 ms to build again. */
#define CONTEXTS_MAX	256
#define DIGEST_BYTES	32	/* SHA-256 */

struct trust {
	TAILQ_ENTRY(trust)	link;
	unsigned char		digest[DIGEST_BYTES];
	bool			min_tls_13;
	SSL_CTX			*ctx;	/* owned reference */
};

struct certs_verify {
	unsigned		magic;
#define CERTS_VERIFY_MAGIC	0x3e21f96b
	X509_STORE		*system;	/* owned reference */
	SSL_CTX			*plain[2];	/* owned; [1]: TLS 1.3 only */
	TAILQ_HEAD(trust_list, trust) lru;	/* owned; latest use first */
	size_t			n;
};

static size_t
store_size(X509_STORE *store)
{
	int n = sk_X509_OBJECT_num(X509_STORE_get0_objects(store));

	return (n > 0 ? (size_t)n : 0);
}

static void
load_folder(X509_STORE *store, const char *path)
{
	struct dirent *e;
	char *file;
	DIR *d;

	if ((d = opendir(path)) == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		file = xasprintf("%s/%s", path, e->d_name);
		/* Files that are no certificates lie here too. */
		(void)X509_STORE_load_file(store, file);
		free(file);
	}
	(void)closedir(d);
}

/* The places SSL_CTX_set_default_verify_paths(3) names, with the variables
 * that override them.  The bundle holds what the folder holds. */
static void
load_system(X509_STORE *store)
{
	const char *file = getenv(X509_get_default_cert_file_env());
	const char *folder = getenv(X509_get_default_cert_dir_env());

	if (file == NULL)
		file = X509_get_default_cert_file();
	if (folder == NULL)
		folder = X509_get_default_cert_dir();
	ERR_clear_error();
	(void)X509_STORE_load_file(store, file);
	if (store_size(store) == 0)
		load_folder(store, folder);
	ERR_clear_error();
}

/* A client context on this store (a reference is taken). */
static SSL_CTX *
new_ctx(X509_STORE *store, bool min_tls_13)
{
	SSL_CTX *ctx;

	ctx = net_tls_client_ctx(min_tls_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	if (ctx == NULL)
		return (NULL);
	SSL_CTX_set1_cert_store(ctx, store);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	/* What an operator names is trusted, also when it is no root. */
	(void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx),
	    X509_V_FLAG_PARTIAL_CHAIN);
	return (ctx);
}

/* A store of its own with everything that `from` has. */
static X509_STORE *
copy_store(X509_STORE *from)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(from);
	X509_STORE *to = X509_STORE_new();

	for (int i = 0; to != NULL && i < sk_X509_OBJECT_num(all); i++) {
		X509 *cert = X509_OBJECT_get0_X509(
		    sk_X509_OBJECT_value(all, i));

		if (cert != NULL && X509_STORE_add_cert(to, cert) != 1) {
			X509_STORE_free(to);
			to = NULL;
		}
	}
	return (to);
}

enum rc
certs_verify_new(struct span extra_ca, struct certs_verify **out, char *why,
    size_t why_size)
{
	struct certs_verify *v = xcalloc(1, sizeof(*v));
	enum rc rc = RC_OK;

	*out = NULL;
	(void)snprintf(why, why_size, "%s", "");
	v->magic = CERTS_VERIFY_MAGIC;
	TAILQ_INIT(&v->lru);
	v->system = X509_STORE_new();
	ensure(v->system != NULL);
	load_system(v->system);
	for (size_t i = 0; i < 2; i++) {
		v->plain[i] = new_ctx(v->system, i == 1);
		ensure(v->plain[i] != NULL);
	}
	if (extra_ca.len != 0)
		rc = net_tls_trust_pem(v->plain[0], extra_ca, why, why_size);
	if (rc == RC_OK && store_size(v->system) == 0)
		(void)snprintf(why, why_size, "no CA certificates in %s or %s",
		    X509_get_default_cert_file(), X509_get_default_cert_dir());
	if (rc != RC_OK)
		certs_verify_free(&v);
	*out = v;
	return (rc);
}

static void
drop_trust(struct certs_verify *v, struct trust *t)
{
	TAILQ_REMOVE(&v->lru, t, link);
	v->n--;
	SSL_CTX_free(t->ctx);
	free(t);
}

void
certs_verify_free(struct certs_verify **verify)
{
	struct certs_verify *v = *verify;
	struct trust *t;

	if (v == NULL)
		return;
	obj_check(v, CERTS_VERIFY_MAGIC);
	*verify = NULL;
	while ((t = TAILQ_FIRST(&v->lru)) != NULL)
		drop_trust(v, t);
	SSL_CTX_free(v->plain[0]);
	SSL_CTX_free(v->plain[1]);
	X509_STORE_free(v->system);
	v->magic = 0;
	free(v);
}

static SSL_CTX *
find_trust(struct certs_verify *v, const unsigned char *digest, bool min_tls_13)
{
	struct trust *t;

	TAILQ_FOREACH(t, &v->lru, link) {
		if (t->min_tls_13 != min_tls_13 ||
		    memcmp(t->digest, digest, DIGEST_BYTES) != 0)
			continue;
		TAILQ_REMOVE(&v->lru, t, link);
		TAILQ_INSERT_HEAD(&v->lru, t, link);
		return (t->ctx);
	}
	return (NULL);
}

/* NULL with a reason. */
static SSL_CTX *
build_ctx(struct certs_verify *v, struct span ca, bool min_tls_13, char *why,
    size_t why_size)
{
	X509_STORE *store = copy_store(v->system);
	SSL_CTX *ctx = NULL;

	if (store != NULL)
		ctx = new_ctx(store, min_tls_13);
	X509_STORE_free(store);
	if (ctx == NULL) {
		(void)net_tls_error(why, why_size);
		return (NULL);
	}
	if (net_tls_trust_pem(ctx, ca, why, why_size) != RC_OK) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	return (ctx);
}

SSL_CTX *
certs_verify_ctx(struct certs_verify *v, struct span ca, bool min_tls_13,
    char *why, size_t why_size)
{
	unsigned char digest[DIGEST_BYTES];
	struct trust *t;
	SSL_CTX *ctx;

	obj_check(v, CERTS_VERIFY_MAGIC);
	if (ca.len == 0)
		return (v->plain[min_tls_13 ? 1 : 0]);
	ensure(EVP_Digest(ca.p, ca.len, digest, NULL, EVP_sha256(), NULL) == 1);
	if ((ctx = find_trust(v, digest, min_tls_13)) != NULL)
		return (ctx);
	if ((ctx = build_ctx(v, ca, min_tls_13, why, why_size)) == NULL)
		return (NULL);
	if (v->n == CONTEXTS_MAX)
		drop_trust(v, TAILQ_LAST(&v->lru, trust_list));
	t = xcalloc(1, sizeof(*t));
	memcpy(t->digest, digest, sizeof(digest));
	t->min_tls_13 = min_tls_13;
	t->ctx = ctx;
	TAILQ_INSERT_HEAD(&v->lru, t, link);
	v->n++;
	return (ctx);
}
