/* rpc/sealed_record.c - the clear header and the checksum over records. */
#include "lib/rpc/sealed_record.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/base/object.h"

static const char magic[4] = { 'R', 'L', 'Y', 'R' };

#define FIXED_BYTES	(sizeof(magic) + 2 + 8)	/* header without the id */
#define IV_BYTES	12
#define TAG_BYTES	16

bool
rpc_app_id_valid(struct span id)
{
	static const char prefix[] = "app_";
	const size_t start = sizeof(prefix) - 1;

	if (id.len <= start || id.len >= RPC_APP_ID_BYTES ||
	    memcmp(id.p, prefix, start) != 0)
		return (false);
	for (size_t i = start; i < id.len; i++) {
		char c = id.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == '_'))
			return (false);
	}
	return (true);
}

static void
be64_put(uint8_t out[8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
}

void
rpc_record_head_write(struct buffer *b, const char *app, uint64_t version)
{
	rpc_record_head_write_as(b, RPC_RECORD_FORMAT_2, app, version);
}

void
rpc_record_head_write_as(struct buffer *b, enum rpc_record_format format,
    const char *app, uint64_t version)
{
	struct span id = span_of(app);
	uint8_t start[2], end[8];

	ensure(rpc_app_id_valid(id) && version != 0);
	start[0] = (uint8_t)format;
	start[1] = (uint8_t)id.len;
	be64_put(end, version);
	buffer_put(b, magic, sizeof(magic));
	buffer_put(b, start, sizeof(start));
	buffer_put(b, id.p, id.len);
	buffer_put(b, end, sizeof(end));
}

enum rc
rpc_record_head_read(struct span record, struct rpc_record_head *h)
{
	const uint8_t *p = (const uint8_t *)record.p;
	struct span id;

	memset(h, 0, sizeof(*h));
	if (record.len < FIXED_BYTES || record.len > RPC_RECORD_BYTES_MAX ||
	    memcmp(p, magic, sizeof(magic)) != 0 ||
	    p[4] < RPC_RECORD_FORMAT_1 || p[4] > RPC_RECORD_FORMAT_3)
		return (RC_SYNTAX);
	h->format = (enum rpc_record_format)p[4];
	id = (struct span){ record.p + 6, p[5] };
	/* The sealed content is not empty either. */
	if (record.len <= FIXED_BYTES + id.len + IV_BYTES + TAG_BYTES)
		return (RC_SYNTAX);
	if (!rpc_app_id_valid(id))
		return (RC_SYNTAX);
	p += 6 + id.len;
	for (int i = 0; i < 8; i++)
		h->version = h->version << 8 | p[i];
	if (h->version == 0)
		return (RC_SYNTAX);
	memcpy(h->app, id.p, id.len);
	h->app[id.len] = '\0';
	h->bytes = FIXED_BYTES + id.len;
	return (RC_OK);
}

/* ---- checksum ---- */

struct rpc_checksum {
	EVP_MD_CTX	*md;	/* owned */
	char		last[RPC_APP_ID_BYTES];	/* order is part of the digest */
};

struct rpc_checksum *
rpc_checksum_new(void)
{
	struct rpc_checksum *c = xcalloc(1, sizeof(*c));

	c->md = EVP_MD_CTX_new();
	ensure(c->md != NULL &&
	    EVP_DigestInit_ex(c->md, EVP_sha256(), NULL) == 1);
	return (c);
}

void
rpc_checksum_add(struct rpc_checksum *c, const char *app, uint64_t version,
    const uint8_t record_sha256[32])
{
	uint8_t be[8];

	ensure(strlen(app) < sizeof(c->last) && strcmp(app, c->last) > 0);
	strcpy(c->last, app);
	be64_put(be, version);
	ensure(EVP_DigestUpdate(c->md, app, strlen(app) + 1) == 1 &&
	    EVP_DigestUpdate(c->md, be, sizeof(be)) == 1 &&
	    EVP_DigestUpdate(c->md, record_sha256, 32) == 1);
}

void
rpc_checksum_end(struct rpc_checksum **cp, uint8_t out[32])
{
	struct rpc_checksum *c = *cp;

	*cp = NULL;
	ensure(EVP_DigestFinal_ex(c->md, out, NULL) == 1);
	EVP_MD_CTX_free(c->md);
	free(c);
}
