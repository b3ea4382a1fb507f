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

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	static const uint8_t key[E3_SECRET_BYTES] = "fuzzing root key";
	static const uint8_t iv[E3_IV_BYTES];
	static struct e3_crypto *crypto;
	struct e3_app *app;
	struct buffer b;
	size_t head;
	char *at;
	enum rc rc;

	if (crypto == NULL) {
		ensure(CRYPTO_secure_malloc_init(1 << 20, 32) != 0);
		crypto = e3_crypto_new();
		ensure(crypto != NULL);
	}
	if (len == 0 || len > 65536)
		return (0);
	buffer_init(&b, 0, true);
	rpc_record_head_write(&b, "app_0123456789ab", 1);
	head = buffer_len(&b);
	buffer_put(&b, iv, sizeof(iv));
	ensure(buffer_reserve(&b, len + E3_TAG_BYTES, &at) == RC_OK);
	ensure(e3_ecies_seal(crypto, key, iv, (struct span){ buffer_data(&b),
	    head }, (struct span){ NULL, 0 }, (struct span){ (const char *)in,
	    len }, (uint8_t *)at) == RC_OK);
	buffer_commit(&b, len + E3_TAG_BYTES);
	rc = e3_record_open(crypto, key, (struct span){ buffer_data(&b),
	    buffer_len(&b) }, &app);
	ensure((rc == RC_OK) == (app != NULL));
	if (app != NULL) {
		/* What opened can be sealed and opens again. */
		struct e3_app *again;

		buffer_clear(&b);
		ensure(e3_record_seal(crypto, key, app, &b) == RC_OK);
		ensure(e3_record_open(crypto, key, (struct span){
		    buffer_data(&b), buffer_len(&b) }, &again) == RC_OK);
		ensure(again->n_pairs == app->n_pairs &&
		    again->n_keys == app->n_keys);
		e3_app_unref(&again);
	}
	e3_app_unref(&app);
	buffer_fini(&b);
	return (0);
}
