/*
 * e3_record_fuzz - e3/record.c behind the seal: the input is the content of an
 * authentic record (what a bug or another version of ours could have sealed).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "e3/record.h"
#include "lib/base/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const uint8_t key[SCHEME_SECRET_BYTES] = "fuzzing root key";

static void
try_format(struct scheme_crypto *crypto, enum rpc_record_format format,
    struct span in)
{
	static const uint8_t iv[SCHEME_IV_BYTES];
	struct e3_app *app, *again;
	struct buffer b;
	size_t head;
	char *at;
	enum rc rc;

	buffer_init(&b, 0, true);
	rpc_record_head_write(&b, "app_0123456789ab", 1);
	buffer_data(&b)[4] = (char)format;
	head = buffer_len(&b);
	buffer_put(&b, iv, sizeof(iv));
	ensure(buffer_reserve(&b, in.len + SCHEME_TAG_BYTES, &at) == RC_OK);
	ensure(scheme_ecies_seal(crypto, key, iv, (struct span){ buffer_data(&b),
	    head }, (struct span){ NULL, 0 }, in, (uint8_t *)at) == RC_OK);
	buffer_commit(&b, in.len + SCHEME_TAG_BYTES);
	rc = e3_record_open(crypto, key, (struct span){ buffer_data(&b),
	    buffer_len(&b) }, &app);
	ensure((rc == RC_OK) == (app != NULL));
	if (app != NULL) {
		/* What opened can be sealed and opens again. */
		buffer_clear(&b);
		ensure(e3_record_seal(crypto, key, app, &b) == RC_OK);
		ensure(e3_record_open(crypto, key, (struct span){
		    buffer_data(&b), buffer_len(&b) }, &again) == RC_OK);
		ensure(again->n_pairs == app->n_pairs &&
		    again->n_keys == app->n_keys &&
		    again->n_cas == app->n_cas);
		ensure(buffer_len(&again->roles_bytes) ==
		    buffer_len(&app->roles_bytes));
		e3_app_unref(&again);
	}
	e3_app_unref(&app);
	buffer_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	static struct scheme_crypto *crypto;
	const struct span bytes = { (const char *)in, len };

	if (crypto == NULL) {
		ensure(CRYPTO_secure_malloc_init(1 << 20, 32) != 0);
		crypto = scheme_crypto_new();
		ensure(crypto != NULL);
	}
	if (len == 0 || len > 65536)
		return (0);
	try_format(crypto, RPC_RECORD_FORMAT_1, bytes);
	try_format(crypto, RPC_RECORD_FORMAT_2, bytes);
	try_format(crypto, RPC_RECORD_FORMAT_3, bytes);
	return (0);
}
