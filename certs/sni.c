/*
 * certs/sni.c - the name callback of a handshake.
 *
 * What the client asked for is kept with its connection in canonical form:
 * the worker compares it with Host (421 when they name two relays).
 */
#include "certs/sni.h"

#include <stdlib.h>

#include "certs/store.h"
#include "lib/base/host.h"
#include "lib/base/object.h"

static void
free_name(void *parent, void *name, CRYPTO_EX_DATA *ad, int index, long argl,
    void *argp)
{
	(void)parent;
	(void)ad;
	(void)index;
	(void)argl;
	(void)argp;
	free(name);
}

static int
name_index(void)
{
	static int index = -1;

	/* The loop's thread alone builds contexts. */
	if (index == -1)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_name);
	ensure(index != -1);
	return (index);
}

/* After a HelloRetryRequest the callback runs twice. */
static void
keep_name(SSL *ssl, const char *name)
{
	free(SSL_get_ex_data(ssl, name_index()));
	ensure(SSL_set_ex_data(ssl, name_index(), xstrdup(name)) == 1);
}

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct certs_store *store = arg;
	const char *sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char name[HOST_BYTES];
	SSL_CTX *ctx;

	if (sent == NULL)
		return (SSL_TLSEXT_ERR_NOACK);
	/* Taking it for "no name" would skip the comparison with Host. */
	if (host_canonical(span_of(sent), name) != RC_OK) {
		*alert = SSL_AD_UNRECOGNIZED_NAME;
		return (SSL_TLSEXT_ERR_ALERT_FATAL);
	}
	keep_name(ssl, name);
	if ((ctx = certs_store_find(store, name)) == NULL)
		return (SSL_TLSEXT_ERR_NOACK);	/* the default answers */
	if (ctx != SSL_get_SSL_CTX(ssl) && SSL_set_SSL_CTX(ssl, ctx) == NULL) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return (SSL_TLSEXT_ERR_ALERT_FATAL);
	}
	return (SSL_TLSEXT_ERR_OK);
}

void
certs_sni_install(SSL_CTX *ctx, struct certs_store *store)
{
	(void)name_index();
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, store);
}

const char *
certs_sni_name(SSL *ssl)
{
	return (SSL_get_ex_data(ssl, name_index()));
}
