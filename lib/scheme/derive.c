/* scheme/derive.c - HMAC-SHA256, and HKDF-Expand by it. */
#include "lib/scheme/derive.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

enum rc
scheme_hmac(const uint8_t key[SCHEME_SECRET_BYTES], const struct span *parts,
    size_t n, uint8_t out[SCHEME_SECRET_BYTES])
{
	static char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
		    0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
	size_t len = 0;
	bool ok;

	ok = ctx != NULL &&
	    EVP_MAC_init(ctx, key, SCHEME_SECRET_BYTES, params) == 1;
	for (size_t i = 0; ok && i < n; i++)
		ok = parts[i].len == 0 || EVP_MAC_update(ctx,
		    (const unsigned char *)parts[i].p, parts[i].len) == 1;
	ok = ok && EVP_MAC_final(ctx, out, &len, SCHEME_SECRET_BYTES) == 1 &&
	    len == SCHEME_SECRET_BYTES;
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(hmac);
	ERR_clear_error();
	return (ok ? RC_OK : RC_NOMEM);
}

enum rc
scheme_derive(const uint8_t secret[SCHEME_SECRET_BYTES], const char *end,
    uint8_t out[SCHEME_SECRET_BYTES])
{
	const struct span parts[] = { span_of(end), SPAN_LIT("\1") };

	return (scheme_hmac(secret, parts, 2, out));
}
