/*
 * ctl/archive.h - records.relaybackup: an installation's sealed records, and
 * tokens by which an engine proves that it can use them.
 * Context:   pure; fuzzed.  Nothing in it opens without the root key.
 *
 *   "RLYB" | format u8 (1) | threshold u8 | shares u8 | 0
 *   set 16 (of the shares made with it; 0: none) | key id 4 | made_ms u64
 *   records u32 | checks u32 | checksum 32 (of the records, sealed_record.h)
 *   each record, by app id:            length u32 | sealed record
 *   each check, by record and curve:   record u32 | curve u8 | length u16 | token
 *   HMAC-SHA-256 of all before it, under a key made of the root key
 *   SHA-256 of all before it
 *
 * Numbers are big-endian.  The SHA-256 finds damage without any key; the HMAC
 * tells who has the root key that no app was taken out, exchanged or rolled
 * back.
 */
#ifndef RELAY_CTL_ARCHIVE_H
#define RELAY_CTL_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "ctl/shares.h"
#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/rpc/message.h"
#include "lib/rpc/sealed_record.h"

#define ARCHIVE_DIGEST_BYTES	32
/* A million apps of usual size; it is read into memory whole. */
#define ARCHIVE_BYTES_MAX	((size_t)1 << 30)
#define ARCHIVE_TOKEN_BYTES_MAX	1024	/* a check value has some 200 */

struct archive_record {
	struct rpc_record_head	head;
	struct span		bytes;	/* view */
};

struct archive_check {
	size_t			record;	/* index */
	enum rpc_curve		curve;
	struct span		token;	/* view */
};

struct archive {
	uint8_t			set[SHARES_SET_BYTES];
	uint8_t			key_id[SHARES_KEY_ID_BYTES];
	unsigned		threshold;	/* 0: no shares were made */
	unsigned		shares;
	uint64_t		made_ms;
	uint8_t			checksum[ARCHIVE_DIGEST_BYTES];
	size_t			n_records;
	struct archive_record	*records;	/* owned array, by app id */
	size_t			n_checks;
	struct archive_check	*checks;	/* owned array */
	/* Reading only: what the HMAC covers, and the HMAC. */
	struct span		sealed;		/* view */
	uint8_t			seal[ARCHIVE_DIGEST_BYTES];
};

/* The digest of the records, as an engine that holds them must answer. */
void archive_checksum(const struct archive *,
    uint8_t out[ARCHIVE_DIGEST_BYTES]);

/* Append it, with the checksum computed; records and checks must be in order.
 * RC_OK; RC_LIMIT: over ARCHIVE_BYTES_MAX; RC_NOMEM. */
enum rc archive_write(const struct archive *,
    const uint8_t root_key[SHARES_SECRET_BYTES], struct buffer *out)
    must_check;

/* Everything but the HMAC is judged; views into bytes.  RC_OK; RC_SYNTAX or
 * RC_CORRUPT with *why; RC_NOMEM. */
enum rc archive_read(struct span bytes, struct archive *, const char **why)
    must_check;
void archive_fini(struct archive *);

/* Was it made by who had this root key?  RC_OK, RC_DENIED. */
enum rc archive_verify(const struct archive *,
    const uint8_t root_key[SHARES_SECRET_BYTES]) must_check;

/* By app id; NULL: none. */
const struct archive_record *archive_find(const struct archive *,
    struct span app);

#endif
