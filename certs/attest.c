/*
 * certs/attest.c - the fields of an attestation document, and the answer.
 *
 *   document   COSE_Sign1 (cose_sign1.c) around a CBOR map (cbor.c)
 *   chain      leaf, intermediates, root: attest_chain.c
 *   answer     authentic, no debug enclave, expected measurements, bindings
 *
 * The rules are those of the NSM library's attestation_process.md.  A field
 * that we do not know is passed over: it is signed, and means nothing to us.
 */
#include "certs/attest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/attest_chain.h"
#include "certs/cbor.h"
#include "certs/cose_sign1.h"
#include "lib/base/object.h"

#define PUBLIC_KEY_MAX	1024
#define USER_DATA_MAX	512	/* and of the nonce */
#define MODULE_ID_MAX	255
#define PROTECTED	"\xa1\x01\x38\x22"	/* {1: -35}: ES384, nothing else */

struct attest {
	unsigned		magic;
#define ATTEST_MAGIC	0x52c8e41b
	struct cose_sign1	cose;		/* views into bytes, as below */
	struct attest_chain	chain;
	uint64_t		timestamp_ms;
	struct span		pcrs[ATTEST_REGISTERS];	/* len 0: none */
	struct span		public_key;	/* p NULL: none */
	struct span		user_data;
	struct span		nonce;
	char			module_id[MODULE_ID_MAX + 1];
	char			bytes[ATTEST_BYTES_MAX];
};

/* rc with its reason. */
static enum rc
result(enum rc rc, char *why, size_t why_size, const char *reason)
{
	(void)snprintf(why, why_size, "%s", reason);
	return (rc);
}

/* Bytes of a length between min and max. */
static bool
get_bytes(const struct certs_cbor *c, uint32_t node, size_t min, size_t max,
    struct span *out)
{
	const struct certs_cbor_node *n = &c->nodes[node];

	if (n->type != CERTS_CBOR_BYTES || n->bytes.len < min ||
	    n->bytes.len > max)
		return (false);
	*out = n->bytes;
	return (true);
}

/* A field that may be missing or null; node 0 is the map itself. */
static bool
get_optional(const struct certs_cbor *c, const char *key, size_t min,
    size_t max, struct span *out)
{
	uint32_t node = certs_cbor_find(c, 0, key);

	*out = (struct span){ NULL, 0 };
	return (node == 0 || c->nodes[node].type == CERTS_CBOR_NULL ||
	    get_bytes(c, node, min, max, out));
}

static bool
get_module_id(struct attest *a, const struct certs_cbor *c)
{
	uint32_t node = certs_cbor_find(c, 0, "module_id");
	struct span id;

	if (node == 0 || c->nodes[node].type != CERTS_CBOR_TEXT)
		return (false);
	id = c->nodes[node].bytes;
	for (size_t i = 0; i < id.len; i++)
		if (id.p[i] <= ' ' || id.p[i] > '~')
			return (false);
	return (id.len != 0 && span_copy(id, a->module_id,
	    sizeof(a->module_id)));
}

static bool
get_digest(const struct certs_cbor *c)
{
	uint32_t node = certs_cbor_find(c, 0, "digest");

	return (node != 0 && c->nodes[node].type == CERTS_CBOR_TEXT &&
	    span_eq_str(c->nodes[node].bytes, "SHA384"));
}

static bool
get_timestamp(struct attest *a, const struct certs_cbor *c)
{
	uint32_t node = certs_cbor_find(c, 0, "timestamp");

	if (node == 0 || c->nodes[node].type != CERTS_CBOR_UINT)
		return (false);
	a->timestamp_ms = c->nodes[node].value;
	return (a->timestamp_ms != 0);
}

static bool
is_measurement(struct span value)
{
	return (value.len == 32 || value.len == 48 || value.len == 64);
}

static bool
get_pcrs(struct attest *a, const struct certs_cbor *c)
{
	uint32_t map = certs_cbor_find(c, 0, "pcrs"), key;

	if (map == 0 || c->nodes[map].type != CERTS_CBOR_MAP ||
	    c->nodes[map].value < 1 || c->nodes[map].value > ATTEST_REGISTERS)
		return (false);
	for (key = certs_cbor_child(c, map); key != 0;
	    key = certs_cbor_sibling(c, map, key + 1)) {
		const struct certs_cbor_node *n = &c->nodes[key];

		if (n->type != CERTS_CBOR_UINT || n->value >= ATTEST_REGISTERS ||
		    !get_bytes(c, key + 1, 32, 64, &a->pcrs[n->value]) ||
		    !is_measurement(a->pcrs[n->value]))
			return (false);
	}
	return (true);
}

static bool
get_certificate(struct attest *a, const struct certs_cbor *c)
{
	uint32_t node = certs_cbor_find(c, 0, "certificate");

	return (node != 0 && get_bytes(c, node, 1, ATTEST_CERT_BYTES_MAX,
	    &a->chain.leaf));
}

static bool
get_cabundle(struct attest *a, const struct certs_cbor *c)
{
	uint32_t array = certs_cbor_find(c, 0, "cabundle"), node;

	if (array == 0 || c->nodes[array].type != CERTS_CBOR_ARRAY ||
	    c->nodes[array].value < 1 || c->nodes[array].value > ATTEST_CAS_MAX)
		return (false);
	for (node = certs_cbor_child(c, array); node != 0;
	    node = certs_cbor_sibling(c, array, node))
		if (!get_bytes(c, node, 1, ATTEST_CERT_BYTES_MAX,
		    &a->chain.cas[a->chain.n_cas++]))
			return (false);
	return (true);
}

/* The first field that breaks its rule; NULL: none does. */
static const char *
get_fields(struct attest *a, const struct certs_cbor *c)
{
	if (c->nodes[0].type != CERTS_CBOR_MAP)
		return ("the payload is no map");
	for (uint32_t key = certs_cbor_child(c, 0); key != 0;
	    key = certs_cbor_sibling(c, 0, key + 1))
		if (c->nodes[key].type != CERTS_CBOR_TEXT)
			return ("a field name is no text");
	if (!get_module_id(a, c))
		return ("module_id");
	if (!get_digest(c))
		return ("digest");
	if (!get_timestamp(a, c))
		return ("timestamp");
	if (!get_pcrs(a, c))
		return ("pcrs");
	if (!get_certificate(a, c))
		return ("certificate");
	if (!get_cabundle(a, c))
		return ("cabundle");
	if (!get_optional(c, "public_key", 1, PUBLIC_KEY_MAX, &a->public_key))
		return ("public_key");
	if (!get_optional(c, "user_data", 0, USER_DATA_MAX, &a->user_data))
		return ("user_data");
	if (!get_optional(c, "nonce", 0, USER_DATA_MAX, &a->nonce))
		return ("nonce");
	return (NULL);
}

/* NULL, or what is wrong with the document of len bytes in a. */
static const char *
parse(struct attest *a, size_t len)
{
	struct certs_cbor payload;
	const char *why;

	if (cose_sign1_read(&a->cose, (struct span){ a->bytes, len }, &why) !=
	    RC_OK)
		return (why);
	/* Not signed, so nobody's word. */
	if (!a->cose.bare)
		return ("a field in the unprotected header");
	if (!span_eq(a->cose.protected, SPAN_LIT(PROTECTED)))
		return ("the header is not just ES384");
	if (certs_cbor_read(&payload, a->cose.payload, &why) != RC_OK)
		return (why);
	return (get_fields(a, &payload));
}

enum rc
attest_read(struct span document, struct attest **out, char *why,
    size_t why_size)
{
	struct attest *a;
	const char *wrong;

	*out = NULL;
	if (document.len > ATTEST_BYTES_MAX)
		return (result(RC_SYNTAX, why, why_size, "too long"));
	a = xcalloc(1, sizeof(*a));
	a->magic = ATTEST_MAGIC;
	if (document.len != 0)
		memcpy(a->bytes, document.p, document.len);
	if ((wrong = parse(a, document.len)) != NULL) {
		attest_free(&a);
		return (result(RC_SYNTAX, why, why_size, wrong));
	}
	*out = a;
	return (result(RC_OK, why, why_size, ""));
}

void
attest_free(struct attest **attest)
{
	struct attest *a = *attest;

	if (a == NULL)
		return;
	obj_check(a, ATTEST_MAGIC);
	*attest = NULL;
	a->magic = 0;
	free(a);
}

const char *
attest_module_id(const struct attest *a)
{
	obj_check(a, ATTEST_MAGIC);
	return (a->module_id);
}

uint64_t
attest_timestamp_ms(const struct attest *a)
{
	obj_check(a, ATTEST_MAGIC);
	return (a->timestamp_ms);
}

struct span
attest_pcr(const struct attest *a, unsigned index)
{
	obj_check(a, ATTEST_MAGIC);
	return (index < ATTEST_REGISTERS ? a->pcrs[index] :
	    (struct span){ NULL, 0 });
}

struct span
attest_public_key(const struct attest *a)
{
	obj_check(a, ATTEST_MAGIC);
	return (a->public_key);
}

struct span
attest_user_data(const struct attest *a)
{
	obj_check(a, ATTEST_MAGIC);
	return (a->user_data);
}

struct span
attest_nonce(const struct attest *a)
{
	obj_check(a, ATTEST_MAGIC);
	return (a->nonce);
}

static bool
is_zero(struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] != 0)
			return (false);
	return (true);
}

bool
attest_debug(const struct attest *a)
{
	obj_check(a, ATTEST_MAGIC);
	return (is_zero(a->pcrs[0]) || is_zero(a->pcrs[1]) ||
	    is_zero(a->pcrs[2]));
}

enum rc
attest_authenticate(const struct attest *a, X509_STORE *roots, uint64_t at_ms,
    char *why, size_t why_size)
{
	EVP_PKEY *key = NULL;
	const char *wrong;
	enum rc rc;

	obj_check(a, ATTEST_MAGIC);
	rc = attest_chain_verify(&a->chain, roots, at_ms, &key, why, why_size);
	if (rc != RC_OK)
		return (rc);
	rc = cose_sign1_verify(&a->cose, key, SPAN_LIT(""), &wrong);
	EVP_PKEY_free(key);
	if (rc == RC_OK)
		return (result(RC_OK, why, why_size, ""));
	(void)snprintf(why, why_size, "signature: %s", wrong);
	return (rc);
}

static enum rc
check_pcr(const struct attest *a, const struct attest_expected_pcr *want,
    char *why, size_t why_size)
{
	struct span got = attest_pcr(a, want->index);
	const char *wrong = NULL;

	if (got.len == 0)
		wrong = "missing";
	else if (!is_measurement(want->value) || !span_eq(got, want->value))
		wrong = "differs";
	else if (is_zero(got))
		wrong = "zero";
	if (wrong == NULL)
		return (RC_OK);
	(void)snprintf(why, why_size, "pcr%u-%s", want->index, wrong);
	return (RC_DENIED);
}

static bool
agrees(struct span got, struct span want)
{
	return (want.p == NULL || (got.p != NULL && span_eq(got, want)));
}

enum rc
attest_verify(const struct attest *a, const struct attest_expect *want,
    char *why, size_t why_size)
{
	enum rc rc;

	rc = attest_authenticate(a, want->roots, want->at_ms, why, why_size);
	if (rc != RC_OK)
		return (rc);
	if (attest_debug(a))
		return (result(RC_DENIED, why, why_size, "debug-enclave"));
	if (want->n_pcrs == 0)
		return (result(RC_DENIED, why, why_size,
		    "no-measurement-expected"));
	for (size_t i = 0; i < want->n_pcrs; i++)
		if ((rc = check_pcr(a, &want->pcrs[i], why, why_size)) != RC_OK)
			return (rc);
	if (!agrees(a->nonce, want->nonce))
		return (result(RC_DENIED, why, why_size, "nonce-differs"));
	if (!agrees(a->user_data, want->user_data))
		return (result(RC_DENIED, why, why_size, "user-data-differs"));
	if (!agrees(a->public_key, want->public_key))
		return (result(RC_DENIED, why, why_size,
		    "public-key-differs"));
	return (result(RC_OK, why, why_size, ""));
}
