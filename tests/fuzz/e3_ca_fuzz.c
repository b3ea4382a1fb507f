/*
 * e3_ca_fuzz - what reaches OpenSSL's parsers in the engine: the chain of
 * InstallCA, the host and the public key of IssueLeaf.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "e3/ca_cert.h"
#include "e3/leaf_cert.h"
#include "lib/base/host.h"
#include "lib/base/object.h"

#define NOW_MS		UINT64_C(1800000000000)
#define DAY_MS		(UINT64_C(24) * 3600 * 1000)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const uint8_t secret[SCHEME_SECRET_BYTES] = "fuzzing secret of a CA";

static struct scheme_crypto *crypto;
static struct e3_ca *signer;

/* A CA that can sign, self-signed. */
static void
start(void)
{
	struct e3_ca_wish wish = { .name = "fuzz", .days = 3650 };
	struct buffer pem;

	ensure(CRYPTO_secure_malloc_init(1 << 20, 32) != 0);
	ensure((crypto = scheme_crypto_new()) != NULL);
	ensure(e3_ca_new(crypto, secret, &signer) == RC_OK);
	buffer_init(&wish.constraints, 0, false);
	buffer_init(&pem, 0, false);
	ensure(e3_ca_self_signed(signer, &wish, NOW_MS, &pem) == RC_OK);
	ensure(e3_ca_set_chain(signer, (struct span){ buffer_data(&pem),
	    buffer_len(&pem) }) == RC_OK);
	ensure(e3_ca_fault(signer, signer, NOW_MS) == NULL);
	buffer_fini(&pem);
}

static void
try_chain(struct span pem)
{
	struct e3_ca *ca;

	ensure(e3_ca_new(crypto, secret, &ca) == RC_OK);
	if (e3_ca_set_chain(ca, pem) == RC_OK) {
		(void)e3_ca_fault(ca, signer, NOW_MS);
		/* As we write it, it is read again, and is the same. */
		struct span text = { buffer_data(&ca->pem),
		    buffer_len(&ca->pem) };
		struct e3_ca *again;

		ensure(e3_ca_new(crypto, secret, &again) == RC_OK);
		ensure(e3_ca_set_chain(again, text) == RC_OK);
		ensure(span_eq(text, (struct span){ buffer_data(&again->pem),
		    buffer_len(&again->pem) }));
		e3_ca_unref(&again);
	}
	e3_ca_unref(&ca);
}

/* host NUL key */
static void
try_leaf(struct span in)
{
	const char *nul = memchr(in.p, '\0', in.len);
	char host[HOST_BYTES];
	struct buffer out;
	uint64_t end_ms;
	size_t n;

	if (nul == NULL || !span_copy((struct span){ in.p, n = (size_t)(nul -
	    in.p) }, host, sizeof(host)) || !host_is_canonical(host))
		return;
	buffer_init(&out, 0, false);
	if (e3_leaf_make(signer, crypto, host, (struct span){ nul + 1,
	    in.len - n - 1 }, NOW_MS, &out, &end_ms) == RC_OK)
		ensure(end_ms == NOW_MS + DAY_MS && buffer_len(&out) != 0);
	buffer_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	const struct span bytes = { (const char *)in, len };

	if (crypto == NULL)
		start();
	if (len == 0 || len > 65536)
		return (0);
	try_chain(bytes);
	try_leaf(bytes);
	return (0);
}
