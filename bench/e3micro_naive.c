/* bench/e3micro_naive.c - each step by its textbook call. */
#include "bench/e3micro_naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "lib/base/object.h"
#include "lib/scheme/ecies.h"

#define INFO_BYTES	400	/* as long as ours: a key with its parameters */
#define VALUE_BYTES_MAX	256
#define METADATA	"\x0d\0\x82\xa2" "eo\x14\xa2" "et\xce\0\0\0"	/* + NUL */

struct naive {
	const char	*curve;			/* OpenSSL's name; literal */
	EVP_PKEY	*app;			/* owned: the public key */
	uint8_t		key[SCHEME_SECRET_BYTES];
	uint8_t		ephemeral[SCHEME_POINT_BYTES];
};

struct naive *
naive_new(enum rpc_curve curve, const struct scheme_public_key *pub)
{
	struct naive *n = xcalloc(1, sizeof(*n));
	char *name = curve == RPC_CURVE_R1 ? xstrdup("P-256") :
	    xstrdup("secp256k1");
	uint8_t point[SCHEME_FULL_POINT_BYTES];
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name,
		    strlen(name)),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point,
		    sizeof(point)),
		OSSL_PARAM_END,
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

	memcpy(point, pub->full, sizeof(point));
	n->curve = curve == RPC_CURVE_R1 ? "P-256" : "secp256k1";
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &n->app, EVP_PKEY_PUBLIC_KEY, params) != 1)
		naive_free(&n);
	EVP_PKEY_CTX_free(ctx);
	free(name);
	return (n);
}

void
naive_free(struct naive **np)
{
	struct naive *n = *np;

	*np = NULL;
	if (n == NULL)
		return;
	EVP_PKEY_free(n->app);
	free(n);
}

/* X9.63 with SHA-256 of the shared x. */
static bool
derive_key(struct naive *n, uint8_t *z, size_t zlen, uint8_t *info,
    size_t info_len)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest,
		    sizeof(digest) - 1),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, z, zlen),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info, info_len),
		OSSL_PARAM_END,
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "X963KDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	bool ok;

	ok = ctx != NULL && EVP_KDF_derive(ctx, n->key, sizeof(n->key),
	    params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return (ok);
}

bool
naive_key(struct naive *n)
{
	uint8_t z[SCHEME_SECRET_BYTES], info[INFO_BYTES] = { 0 };
	EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "EC", n->curve);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pair, NULL);
	size_t zlen = sizeof(z), len = 0;
	bool ok;

	ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
	    EVP_PKEY_derive_set_peer(ctx, n->app) == 1 &&
	    EVP_PKEY_derive(ctx, z, &zlen) == 1 &&
	    EVP_PKEY_get_octet_string_param(pair, OSSL_PKEY_PARAM_PUB_KEY,
	    info, sizeof(info), &len) == 1 && len == SCHEME_FULL_POINT_BYTES &&
	    derive_key(n, z, zlen, info, sizeof(info));
	if (ok) {
		n->ephemeral[0] = (uint8_t)(2 | (info[len - 1] & 1));
		memcpy(n->ephemeral + 1, info + 1, SCHEME_POINT_BYTES - 1);
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(pair);
	return (ok);
}

size_t
naive_seal(struct naive *n, const char *value, size_t len, char *out,
    size_t size)
{
	uint8_t iv[SCHEME_IV_BYTES], data[VALUE_BYTES_MAX + 64];
	unsigned char text[3][VALUE_BYTES_MAX * 2];
	EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int head = 0, body = 0, end = 0, aad = 0;
	bool ok;

	ok = aes != NULL && ctx != NULL && len <= VALUE_BYTES_MAX &&
	    RAND_bytes(iv, sizeof(iv)) == 1 &&
	    EVP_EncryptInit_ex2(ctx, aes, n->key, iv, NULL) == 1 &&
	    EVP_EncryptUpdate(ctx, NULL, &aad, n->ephemeral,
	    sizeof(n->ephemeral)) == 1 &&
	    EVP_EncryptUpdate(ctx, data, &head, (const uint8_t *)METADATA,
	    sizeof(METADATA)) == 1 &&
	    EVP_EncryptUpdate(ctx, data + head, &body, (const uint8_t *)value,
	    (int)len) == 1 &&
	    EVP_EncryptFinal_ex(ctx, data + head + body, &end) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SCHEME_TAG_BYTES,
	    data + head + body) == 1;
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(aes);
	if (!ok)
		return (0);
	(void)EVP_EncodeBlock(text[0], iv, sizeof(iv));
	(void)EVP_EncodeBlock(text[1], n->ephemeral, sizeof(n->ephemeral));
	(void)EVP_EncodeBlock(text[2], data, head + body + SCHEME_TAG_BYTES);
	end = snprintf(out, size, "ev:QkTC:%s:%s:%s:$", (char *)text[0],
	    (char *)text[1], (char *)text[2]);
	return (end > 0 && (size_t)end < size ? (size_t)end : 0);
}
