/*
 * ctl/archive.c - the file of a backup.  Reading trusts nothing: counts are
 * held against the bytes that are there before anything is allocated, and the
 * digest is judged before a record is looked at.
 */
#include "ctl/archive.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/base/object.h"
#include "lib/base/secret.h"

static const char magic[4] = { 'R', 'L', 'Y', 'B' };

#define FORMAT		1
#define HEAD_BYTES	(sizeof(magic) + 4 + SHARES_SET_BYTES +		\
			    SHARES_KEY_ID_BYTES + 8 + 4 + 4 +		\
			    ARCHIVE_DIGEST_BYTES)
#define TAIL_BYTES	(2 * (size_t)ARCHIVE_DIGEST_BYTES)
#define RECORD_HEAD	4		/* before each record */
#define RECORD_MIN	48		/* the shortest that has a header */
#define CHECK_HEAD	7		/* before each token */

/* ---- digests ------------------------------------------------------------------ */

static void
sha256(struct span bytes, uint8_t out[ARCHIVE_DIGEST_BYTES])
{
	ensure(EVP_Digest(bytes.p, bytes.len, out, NULL, EVP_sha256(),
	    NULL) == 1);
}

/* The root key itself seals records; this use gets a key of its own. */
static void
seal_of(struct span bytes, const uint8_t root_key[SHARES_SECRET_BYTES],
    uint8_t out[ARCHIVE_DIGEST_BYTES])
{
	static const unsigned char use[] = "relay backup archive 1";
	uint8_t key[ARCHIVE_DIGEST_BYTES];

	ensure(HMAC(EVP_sha256(), root_key, SHARES_SECRET_BYTES, use,
	    sizeof(use) - 1, key, NULL) != NULL);
	ensure(HMAC(EVP_sha256(), key, sizeof(key),
	    (const unsigned char *)bytes.p, bytes.len, out, NULL) != NULL);
	secret_wipe(key, sizeof(key));
}

void
archive_checksum(const struct archive *a, uint8_t out[ARCHIVE_DIGEST_BYTES])
{
	struct rpc_checksum *sum = rpc_checksum_new();
	uint8_t digest[ARCHIVE_DIGEST_BYTES];

	for (size_t i = 0; i < a->n_records; i++) {
		sha256(a->records[i].bytes, digest);
		rpc_checksum_add(sum, a->records[i].head.app,
		    a->records[i].head.version, digest);
	}
	rpc_checksum_end(&sum, out);
}

/* ---- writing ---------------------------------------------------------------------- */

static void
put_number(struct buffer *b, uint64_t n, unsigned bytes)
{
	uint8_t be[8];

	for (unsigned i = 0; i < bytes; i++)
		be[i] = (uint8_t)(n >> (8 * (bytes - 1 - i)));
	buffer_put(b, be, bytes);
}

static size_t
size_of(const struct archive *a)
{
	size_t n = HEAD_BYTES + TAIL_BYTES;

	for (size_t i = 0; i < a->n_records; i++)
		n += RECORD_HEAD + a->records[i].bytes.len;
	for (size_t i = 0; i < a->n_checks; i++)
		n += CHECK_HEAD + a->checks[i].token.len;
	return (n);
}

static void
put_head(const struct archive *a, struct buffer *b)
{
	uint8_t sum[ARCHIVE_DIGEST_BYTES];

	buffer_put(b, magic, sizeof(magic));
	put_number(b, FORMAT, 1);
	put_number(b, a->threshold, 1);
	put_number(b, a->shares, 1);
	put_number(b, 0, 1);
	buffer_put(b, a->set, sizeof(a->set));
	buffer_put(b, a->key_id, sizeof(a->key_id));
	put_number(b, a->made_ms, 8);
	put_number(b, a->n_records, 4);
	put_number(b, a->n_checks, 4);
	archive_checksum(a, sum);
	buffer_put(b, sum, sizeof(sum));
}

enum rc
archive_write(const struct archive *a,
    const uint8_t root_key[SHARES_SECRET_BYTES], struct buffer *out)
{
	uint8_t digest[ARCHIVE_DIGEST_BYTES];
	size_t start = buffer_len(out), size = size_of(a);
	enum rc rc;

	if (size > ARCHIVE_BYTES_MAX)
		return (RC_LIMIT);
	/* All the room at once: what follows cannot fail any more. */
	if ((rc = buffer_reserve(out, size, NULL)) != RC_OK)
		return (rc);
	put_head(a, out);
	for (size_t i = 0; i < a->n_records; i++) {
		struct span r = a->records[i].bytes;

		put_number(out, r.len, RECORD_HEAD);
		buffer_put(out, r.p, r.len);
	}
	for (size_t i = 0; i < a->n_checks; i++) {
		const struct archive_check *c = &a->checks[i];

		ensure(c->record < a->n_records &&
		    c->token.len <= ARCHIVE_TOKEN_BYTES_MAX);
		put_number(out, c->record, 4);
		put_number(out, c->curve, 1);
		put_number(out, c->token.len, 2);
		buffer_put(out, c->token.p, c->token.len);
	}
	seal_of((struct span){ buffer_data(out) + start,
	    buffer_len(out) - start }, root_key, digest);
	buffer_put(out, digest, sizeof(digest));
	sha256((struct span){ buffer_data(out) + start,
	    buffer_len(out) - start }, digest);
	buffer_put(out, digest, sizeof(digest));
	ensure(buffer_len(out) - start == size);
	return (RC_OK);
}

/* ---- reading ------------------------------------------------------------------------ */

/* The next len bytes; false when they are not there. */
static bool
take(struct span *rest, size_t len, struct span *out)
{
	if (len > rest->len)
		return (false);
	*out = (struct span){ rest->p, len };
	rest->p += len;
	rest->len -= len;
	return (true);
}

/* Only behind a check that the bytes are there. */
static uint64_t
take_number(struct span *rest, unsigned bytes)
{
	struct span s;
	uint64_t n = 0;

	ensure(take(rest, bytes, &s));
	for (unsigned i = 0; i < bytes; i++)
		n = n << 8 | (uint8_t)s.p[i];
	return (n);
}

static void
take_bytes(struct span *rest, void *out, size_t len)
{
	struct span s;

	ensure(take(rest, len, &s));
	memcpy(out, s.p, len);
}

static const char *
read_head(struct span *rest, struct archive *a)
{
	unsigned spare;

	rest->p += sizeof(magic) + 1;
	rest->len -= sizeof(magic) + 1;
	a->threshold = (unsigned)take_number(rest, 1);
	a->shares = (unsigned)take_number(rest, 1);
	spare = (unsigned)take_number(rest, 1);
	take_bytes(rest, a->set, sizeof(a->set));
	take_bytes(rest, a->key_id, sizeof(a->key_id));
	a->made_ms = take_number(rest, 8);
	a->n_records = (size_t)take_number(rest, 4);
	a->n_checks = (size_t)take_number(rest, 4);
	take_bytes(rest, a->checksum, sizeof(a->checksum));
	if (spare != 0 || a->threshold > a->shares ||
	    (a->shares != 0 && a->threshold < 2))
		return ("its head is not understood");
	/* Two divisions, so that no sum can overflow. */
	if (a->n_records > rest->len / (RECORD_HEAD + RECORD_MIN) ||
	    a->n_checks > rest->len / (CHECK_HEAD + 1))
		return ("its counts are larger than the file");
	return (NULL);
}

static const char *
read_records(struct span *rest, struct archive *a)
{
	for (size_t i = 0; i < a->n_records; i++) {
		struct archive_record *r = &a->records[i];

		if (rest->len < RECORD_HEAD ||
		    !take(rest, (size_t)take_number(rest, RECORD_HEAD),
		    &r->bytes))
			return ("a record is longer than the file");
		if (rpc_record_head_read(r->bytes, &r->head) != RC_OK)
			return ("it holds what is no record");
		if (i > 0 && strcmp(a->records[i - 1].head.app,
		    r->head.app) >= 0)
			return ("its records are out of order");
	}
	return (NULL);
}

static bool
in_order(const struct archive_check *a, const struct archive_check *b)
{
	return (a->record < b->record ||
	    (a->record == b->record && a->curve < b->curve));
}

static const char *
read_checks(struct span *rest, struct archive *a)
{
	uint64_t curve;

	for (size_t i = 0; i < a->n_checks; i++) {
		struct archive_check *c = &a->checks[i];
		size_t len;

		if (rest->len < CHECK_HEAD)
			return ("a check value is missing");
		c->record = (size_t)take_number(rest, 4);
		curve = take_number(rest, 1);
		len = (size_t)take_number(rest, 2);
		if (c->record >= a->n_records || curve > RPC_CURVE_K1)
			return ("a check value is of no app");
		c->curve = (enum rpc_curve)curve;
		if (len == 0 || len > ARCHIVE_TOKEN_BYTES_MAX ||
		    !take(rest, len, &c->token))
			return ("a check value has no such length");
		if (i > 0 && !in_order(c - 1, c))
			return ("its check values are out of order");
	}
	return (rest->len == 0 ? NULL : "there is more behind its end");
}

static const char *
read_body(struct span *rest, struct archive *a)
{
	uint8_t sum[ARCHIVE_DIGEST_BYTES];
	const char *why;

	if ((why = read_records(rest, a)) != NULL ||
	    (why = read_checks(rest, a)) != NULL)
		return (why);
	archive_checksum(a, sum);
	return (memcmp(sum, a->checksum, sizeof(sum)) == 0 ? NULL :
	    "its records are not those of its checksum");
}

enum rc
archive_read(struct span bytes, struct archive *a, const char **why)
{
	uint8_t digest[ARCHIVE_DIGEST_BYTES];
	struct span rest;

	memset(a, 0, sizeof(*a));
	*why = "no backup of Relay, or cut short";
	if (bytes.len < HEAD_BYTES + TAIL_BYTES ||
	    memcmp(bytes.p, magic, sizeof(magic)) != 0)
		return (RC_SYNTAX);
	if (bytes.p[sizeof(magic)] != FORMAT) {
		*why = "made by another version of relayctl";
		return (RC_SYNTAX);
	}
	rest = (struct span){ bytes.p, bytes.len - ARCHIVE_DIGEST_BYTES };
	sha256(rest, digest);
	if (memcmp(digest, rest.p + rest.len, sizeof(digest)) != 0) {
		*why = "damaged or cut short: its SHA-256 does not fit";
		return (RC_CORRUPT);
	}
	rest.len -= ARCHIVE_DIGEST_BYTES;
	a->sealed = rest;
	memcpy(a->seal, rest.p + rest.len, sizeof(a->seal));
	if ((*why = read_head(&rest, a)) != NULL)
		goto broken;
	a->records = calloc(a->n_records + 1, sizeof(*a->records));
	a->checks = calloc(a->n_checks + 1, sizeof(*a->checks));
	if (a->records == NULL || a->checks == NULL) {
		archive_fini(a);
		*why = "no memory for it";
		return (RC_NOMEM);
	}
	if ((*why = read_body(&rest, a)) == NULL)
		return (RC_OK);
broken:
	archive_fini(a);
	return (RC_SYNTAX);
}

void
archive_fini(struct archive *a)
{
	free(a->records);
	free(a->checks);
	memset(a, 0, sizeof(*a));
}

enum rc
archive_verify(const struct archive *a,
    const uint8_t root_key[SHARES_SECRET_BYTES])
{
	uint8_t seal[ARCHIVE_DIGEST_BYTES];

	seal_of(a->sealed, root_key, seal);
	return (secret_equal(seal, a->seal, sizeof(seal)) ? RC_OK : RC_DENIED);
}

const struct archive_record *
archive_find(const struct archive *a, struct span app)
{
	size_t low = 0, high = a->n_records;
	char name[RPC_APP_ID_BYTES];

	if (!span_copy(app, name, sizeof(name)))
		return (NULL);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int cmp = strcmp(a->records[mid].head.app, name);

		if (cmp == 0)
			return (&a->records[mid]);
		if (cmp < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return (NULL);
}
