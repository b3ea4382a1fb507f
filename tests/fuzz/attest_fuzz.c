/*
 * attest_fuzz - certs/attest.c: any bytes as an attestation document, read
 * and verified under the AWS root.  Only AWS can sign, so that no input but
 * the document among the seeds (made on 18 September 2023) is authentic.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "certs/attest.h"
#include "certs/attest_roots.h"
#include "certs/cbor.h"
#include "lib/base/object.h"

#define MADE_MS	1695049410860ull

static const char root[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTEL\n"
    "MAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpvbjEMMAoGA1UECwwDQVdTMRswGQYD\n"
    "VQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4\n"
    "MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQL\n"
    "DANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZlczB2MBAGByqGSM49AgEG\n"
    "BSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb\n"
    "48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZE\n"
    "h8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkF\n"
    "R+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYC\n"
    "MQCjfy+Rocm9Xue4YnwWmNJVA44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPW\n"
    "rfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6N\n"
    "IwLz3/Y=\n"
    "-----END CERTIFICATE-----\n";
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* Whatever is read as CBOR is a table that walking cannot leave. */
static void
check_table(struct span in)
{
	struct certs_cbor c;
	const char *why;

	if (certs_cbor_read(&c, in, &why) != RC_OK) {
		ensure(c.n == 0 && why[0] != '\0');
		return;
	}
	ensure(c.n > 0 && c.nodes[0].next == c.n);
	for (uint32_t i = 0; i < c.n; i++) {
		uint32_t end = i + 1;

		for (uint32_t k = certs_cbor_child(&c, i); k != 0;
		    k = certs_cbor_sibling(&c, i, k))
			end = c.nodes[k].next;
		ensure(end == c.nodes[i].next);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	static X509_STORE *roots;
	static const char zero[48];
	const struct attest_expected_pcr pcr = { 0, { zero, sizeof(zero) } };
	struct attest_expect want = { .at_ms = MADE_MS, .pcrs = &pcr,
	    .n_pcrs = 1 };
	struct span document = { (const char *)in, len };
	char why[ATTEST_WHY_BYTES];
	struct attest *a;
	enum rc rc;

	if (roots == NULL)
		ensure(attest_roots_read(SPAN_LIT(root), &roots, why,
		    sizeof(why)) == RC_OK);
	check_table(document);
	rc = attest_read(document, &a, why, sizeof(why));
	ensure((rc == RC_OK) == (a != NULL));
	if (rc != RC_OK) {
		ensure(rc == RC_SYNTAX && why[0] != '\0');
		return (0);
	}
	ensure(attest_module_id(a)[0] != '\0' && attest_timestamp_ms(a) != 0);
	for (unsigned i = 0; i < ATTEST_REGISTERS; i++)
		ensure(attest_pcr(a, i).len == 0 || attest_pcr(a, i).len >= 32);
	if (attest_authenticate(a, roots, MADE_MS, why, sizeof(why)) == RC_OK)
		ensure(attest_timestamp_ms(a) == MADE_MS && attest_debug(a));
	want.roots = roots;
	ensure(attest_verify(a, &want, why, sizeof(why)) == RC_DENIED);
	ensure(why[0] != '\0');
	attest_free(&a);
	ensure(a == NULL);
	return (0);
}
