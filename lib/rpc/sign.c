/* rpc/sign.c - ECDSA P-256 over challenge || signed part. */
#include "lib/rpc/sign.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/obj_mac.h>

/* The link CA signs P-256 keys only; another curve would verify too, but is
 * not what the contract says. */
static bool
is_p256(EVP_PKEY *key)
{
	char group[32];
	size_t len;

	if (key == NULL || !EVP_PKEY_is_a(key, "EC"))
		return (false);
	return (EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
	    strcmp(group, SN_X9_62_prime256v1) == 0);
}

enum rc
rpc_sign(EVP_PKEY *key, struct span challenge, struct span signed_part,
    struct buffer *signature)
{
	EVP_MD_CTX *md = NULL;
	size_t len = 0;
	char *out;
	enum rc rc = RC_DENIED;

	ERR_clear_error();
	if (!is_p256(key) || challenge.len != RPC_CHALLENGE_BYTES)
		goto out;
	rc = RC_NOMEM;
	if ((md = EVP_MD_CTX_new()) == NULL)
		goto out;
	if (EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSignUpdate(md, challenge.p, challenge.len) != 1 ||
	    EVP_DigestSignUpdate(md, signed_part.p, signed_part.len) != 1 ||
	    EVP_DigestSignFinal(md, NULL, &len) != 1)
		goto out;
	if ((rc = buffer_reserve(signature, len, &out)) != RC_OK)
		goto out;
	if (EVP_DigestSignFinal(md, (unsigned char *)out, &len) != 1) {
		rc = RC_NOMEM;
		goto out;
	}
	buffer_commit(signature, len);
out:
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return (rc);
}

enum rc
rpc_verify(EVP_PKEY *key, struct span challenge, struct span signed_part,
    struct span signature)
{
	EVP_MD_CTX *md = NULL;
	enum rc rc = RC_DENIED;

	ERR_clear_error();
	if (!is_p256(key) || challenge.len != RPC_CHALLENGE_BYTES ||
	    signature.len == 0)
		goto out;
	if ((md = EVP_MD_CTX_new()) == NULL)
		goto out;
	if (EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestVerifyUpdate(md, challenge.p, challenge.len) != 1 ||
	    EVP_DigestVerifyUpdate(md, signed_part.p, signed_part.len) != 1)
		goto out;
	/* 0 is a wrong signature, below 0 a broken one. */
	if (EVP_DigestVerifyFinal(md, (const unsigned char *)signature.p,
	    signature.len) == 1)
		rc = RC_OK;
out:
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return (rc);
}
