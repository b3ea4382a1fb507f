/*
 * ctl/shares.h - the root key in n parts, any k of which give it back and
 * fewer tell nothing (Shamir, by libgfshare); and a part as text that a person
 * can keep on paper.
 * Context:   relayctl only; pure but for randomness.
 * Ownership: the caller's memory; whoever holds a share wipes it.
 */
#ifndef RELAY_CTL_SHARES_H
#define RELAY_CTL_SHARES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/result.h"
#include "lib/base/string.h"

#define SHARES_SECRET_BYTES	32	/* a root key */
#define SHARES_MAX		255	/* points of GF(256) but 0, the secret */
#define SHARES_SET_BYTES	16
#define SHARES_KEY_ID_BYTES	4
#define SHARE_TEXT_BYTES_MAX	4096	/* a share has some 500 */

struct share {
	uint8_t		set[SHARES_SET_BYTES];	/* one split: shares of two
						   never fit each other */
	uint8_t		key_id[SHARES_KEY_ID_BYTES];
	unsigned	number;			/* 1..count */
	unsigned	count;
	unsigned	threshold;
	uint8_t		bytes[SHARES_SECRET_BYTES];	/* secret */
};

/*
 * Which root key is meant: the start of its SHA-256.  32 bits say nothing of
 * use about 256 random ones, and tell the keys of an installation apart.
 */
void shares_key_id(const uint8_t secret[SHARES_SECRET_BYTES],
    uint8_t out[SHARES_KEY_ID_BYTES]);

/* Fill v[0..count), 1 < threshold <= count <= SHARES_MAX.  RC_OK; RC_IO: no
 * randomness; RC_NOMEM.  Nothing but zeros is in v then. */
enum rc shares_split(const uint8_t secret[SHARES_SECRET_BYTES],
    unsigned count, unsigned threshold, struct share *v) must_check;

/* Can both be used at once?  RC_OK; RC_EXISTS: the same share twice;
 * RC_CONFLICT: of different splits. */
enum rc shares_fit(const struct share *, const struct share *) must_check;

/*
 * The secret of n shares that fit each other; all of them are used, so that
 * more than threshold prove each other.  RC_OK; RC_LIMIT: fewer than
 * threshold; RC_CORRUPT: they give another key than they name; RC_NOMEM.
 */
enum rc shares_combine(const struct share *v, size_t n,
    uint8_t secret[SHARES_SECRET_BYTES]) must_check;

/* Append the text of a share; out should be sensitive. */
void share_write(const struct share *, struct buffer *out);
/* RC_OK; RC_SYNTAX with *why, which has no byte of the share in it. */
enum rc share_read(struct span text, struct share *, const char **why)
    must_check;

#endif
