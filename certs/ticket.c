/*
 * certs/ticket.c - session tickets under keys that all workers share.
 *
 * A ticket is sealed by the newest key (AES-256-CBC, HMAC-SHA256: the format
 * of OpenSSL's callback) and opened by any of the keys we were given.  A
 * client that shows a ticket of an older key gets a new one, so that it can
 * still resume after that key is gone.  In TLS 1.3 it always does: there a
 * ticket should be used once (RFC 8446 C.4).
 */
#include "certs/ticket.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

#define NAME_BYTES	16
#define AES_BYTES	32
#define HMAC_BYTES	32
#define IV_BYTES	16

/* Answers of the callback, SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
#define TICKET_ERROR	(-1)
#define TICKET_UNKNOWN	0	/* full handshake, new ticket */
#define TICKET_OK	1
#define TICKET_RENEW	2

struct ticket_key {
	unsigned char	name[NAME_BYTES];
	unsigned char	aes[AES_BYTES];
	unsigned char	hmac[HMAC_BYTES];
};

struct certs_ticket_keys {
	unsigned		magic;
#define CERTS_TICKET_KEYS_MAGIC	0x71c4e7a5
	EVP_CIPHER		*cipher;	/* owned; fetched once */
	size_t			n;
	struct ticket_key	key[CERTS_TICKET_KEYS_MAX];	/* newest first */
};

enum rc
certs_ticket_keys_replace(struct certs_ticket_keys *keys, struct span content)
{
	size_t n = content.len / CERTS_TICKET_KEY_BYTES;

	obj_check(keys, CERTS_TICKET_KEYS_MAGIC);
	if (content.len % CERTS_TICKET_KEY_BYTES != 0 || n == 0 ||
	    n > CERTS_TICKET_KEYS_MAX)
		return (RC_SYNTAX);
	secret_wipe(keys->key, sizeof(keys->key));
	for (size_t i = 0; i < n; i++) {
		const char *p = content.p + i * CERTS_TICKET_KEY_BYTES;
		struct ticket_key *k = &keys->key[i];

		memcpy(k->name, p, NAME_BYTES);
		memcpy(k->aes, p + NAME_BYTES, AES_BYTES);
		memcpy(k->hmac, p + NAME_BYTES + AES_BYTES, HMAC_BYTES);
	}
	keys->n = n;
	return (RC_OK);
}

enum rc
certs_ticket_keys_new(struct span content, struct certs_ticket_keys **out)
{
	struct certs_ticket_keys *keys;
	enum rc rc;

	*out = NULL;
	keys = xcalloc(1, sizeof(*keys));
	keys->magic = CERTS_TICKET_KEYS_MAGIC;
	keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	ensure(keys->cipher != NULL);
	if ((rc = certs_ticket_keys_replace(keys, content)) != RC_OK)
		certs_ticket_keys_free(&keys);
	*out = keys;
	return (rc);
}

void
certs_ticket_keys_free(struct certs_ticket_keys **keys)
{
	if (*keys == NULL)
		return;
	obj_check(*keys, CERTS_TICKET_KEYS_MAGIC);
	EVP_CIPHER_free((*keys)->cipher);
	secret_wipe(*keys, sizeof(**keys));
	free(*keys);
	*keys = NULL;
}

static int
set_hmac(EVP_MAC_CTX *mac, const struct ticket_key *k)
{
	unsigned char key[HMAC_BYTES];
	char digest[] = "SHA256";
	OSSL_PARAM params[3];
	int ok;

	memcpy(key, k->hmac, sizeof(key));	/* params want it writable */
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
	    key, sizeof(key));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
	    digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	ok = EVP_MAC_CTX_set_params(mac, params);
	secret_wipe(key, sizeof(key));
	return (ok);
}

static int
seal(const struct certs_ticket_keys *keys, unsigned char *name,
    unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct ticket_key *k = &keys->key[0];

	if (RAND_bytes(iv, IV_BYTES) != 1 ||
	    EVP_EncryptInit_ex2(cipher, keys->cipher, k->aes, iv, NULL) != 1 ||
	    set_hmac(mac, k) != 1)
		return (TICKET_ERROR);
	memcpy(name, k->name, NAME_BYTES);
	return (TICKET_OK);
}

static int
unseal(const struct certs_ticket_keys *keys, SSL *ssl,
    const unsigned char *name, const unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct ticket_key *k;
	size_t i;

	for (i = 0; i < keys->n; i++)
		if (memcmp(keys->key[i].name, name, NAME_BYTES) == 0)
			break;
	if (i == keys->n)
		return (TICKET_UNKNOWN);
	k = &keys->key[i];
	if (EVP_DecryptInit_ex2(cipher, keys->cipher, k->aes, iv, NULL) != 1 ||
	    set_hmac(mac, k) != 1)
		return (TICKET_ERROR);
	return (i != 0 || SSL_version(ssl) >= TLS1_3_VERSION ?
	    TICKET_RENEW : TICKET_OK);
}

static int
keys_index(void)
{
	static int index = -1;

	/* The loop's thread alone builds contexts. */
	if (index == -1)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	ensure(index != -1);
	return (index);
}

static int
on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
	const struct certs_ticket_keys *keys;

	keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keys_index());
	obj_check(keys, CERTS_TICKET_KEYS_MAGIC);
	if (sealing)
		return (seal(keys, name, iv, cipher, mac));
	return (unseal(keys, ssl, name, iv, cipher, mac));
}

void
certs_ticket_install(SSL_CTX *ctx, const struct certs_ticket_keys *keys)
{
	/* Tickets are the only resumption: a cache by session id would be one
	 * worker's own, and memory that a client makes us keep. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (keys == NULL) {
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		ensure(SSL_CTX_set_num_tickets(ctx, 0) == 1);
		return;
	}
	obj_check(keys, CERTS_TICKET_KEYS_MAGIC);
	(void)SSL_CTX_set_timeout(ctx, CERTS_TICKET_LIFE_S);
	/* ex_data is void *: the keys are only read through it. */
	ensure(SSL_CTX_set_ex_data(ctx, keys_index(),
	    (void *)(uintptr_t)keys) == 1);
	ensure(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key) == 1);
}
