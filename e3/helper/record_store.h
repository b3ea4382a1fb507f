/*
 * helper/record_store.h - sealed app records as files, one per app, compare
 * and set.
 * Context:   e3-helper's loop thread.  Blocks for the disk: the helper serves
 *            nobody but relayctl, and an answer without fsync would be a lie.
 * Ownership: the creator owns the store; entries are views that stay valid
 *            until the next put or take.
 */
#ifndef RELAY_E3_HELPER_RECORD_STORE_H
#define RELAY_E3_HELPER_RECORD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/string.h"
#include "lib/rpc/sealed_record.h"

#define APPLIED_SHA256_BYTES	8	/* of a hash, enough to tell two apart */

struct record_store;

struct record_entry {
	char		app[RPC_APP_ID_BYTES];
	uint64_t	version;	/* on disk; 0 while damaged */
	size_t		bytes;
	uint8_t		sha256[32];
	bool		damaged;	/* the file is there but is no record */

	/* What others know of it; kept here so that there is one table. */
	uint64_t	active;		/* version the engine confirmed on this
					   link; 0: none */
	bool		refused;	/* the engine could not open it */
	bool		replicated;	/* Redis holds these very bytes */
	uint64_t	base;		/* ours was made from this version, and
					   Redis is not known to have ours; 0:
					   there is none.  On disk, as is... */
	uint8_t		base_sha256[32];	/* that version, and... */
	bool		base_apart;	/* Redis went another way from there */
	uint8_t		spared[32];	/* SHA-256 of the record of Redis that was
					   kept last */
	uint64_t	applied;	/* version that relay:applied tells of us;
					   0: none, or to be told again */
	uint8_t		applied_sha256[APPLIED_SHA256_BYTES];	/* likewise */
	bool		scanned;	/* this scan of Redis showed one */
	bool		forked;		/* Redis holds what is neither ours nor
					   to be taken: an operator must look */
	uint64_t	resealed;	/* version that this engine sealed under the
					   next root key; 0: none */
	bool		asked;		/* refused, and Redis was asked for a
					   better one */
};

/* Read every record below dir (made, 0700, when missing).  RC_OK also when
 * some are damaged: they are logged, counted and left as they are.  RC_IO with
 * a reason in why: the folder itself is of no use. */
enum rc record_store_open(const char *dir, struct record_store **out,
    char *why, size_t why_size) must_check;
void record_store_free(struct record_store **);

size_t record_store_count(const struct record_store *);
/* i < count, in app id order. */
struct record_entry *record_store_at(struct record_store *, size_t i);
/* Index of the first app behind this id ("": of all); the count if there is
 * none. */
size_t record_store_after(const struct record_store *, const char *app);
/* NULL: no such app. */
struct record_entry *record_store_find(struct record_store *, const char *app);

/* Append the record's bytes.  RC_OK, RC_CORRUPT (not what was read at start or
 * written since), RC_IO, RC_NOMEM. */
enum rc record_store_read(struct record_store *, const struct record_entry *,
    struct buffer *out) must_check;

/*
 * A new version from the engine.
 * RC_OK        on disk (file and folder fsynced) and read back equal
 * RC_SYNTAX    no record
 * RC_CONFLICT  the disk is not at version - 1; the entry now tells what it has
 * RC_IO        not written, or not known to be: do not acknowledge it
 */
enum rc record_store_put(struct record_store *, struct span record) must_check;

/* The engine could not open what was just put: the version before it (kept as
 * <app>.prev) takes its place again, and it goes aside as
 * <app>.<version>.<random>.refused.  RC_OK or RC_IO. */
enum rc record_store_undo(struct record_store *, const char *app) must_check;

/*
 * A record of Redis that the engine has opened: replaces nothing (absent), a
 * lower version, or one that is damaged or refused.  What it replaces is kept
 * as <app>.<version>.<random>.old unless Redis is known to have had it.
 * Results as above; RC_CONFLICT: the disk has as much or more.
 */
enum rc record_store_take(struct record_store *, struct span record)
    must_check;

/* How ours and another record of the app, of this version, came about. */
enum record_kin {
	RECORD_KIN,		/* one was made from the other, as far as we know */
	RECORD_KIN_UNSURE,	/* perhaps apart; perhaps a copy of ours whose
				   confirmation was lost, or made from one */
	RECORD_KIN_APART	/* each has what the other lacks */
};
enum record_kin record_kin_of(const struct record_entry *, uint64_t version,
    const uint8_t sha256[32]);

/* Redis holds one that is RECORD_KIN_APART.  Stays so until it holds ours, or
 * theirs is taken.  RC_OK, RC_IO. */
enum rc record_store_note_apart(struct record_store *, const char *app)
    must_check;

/* A record that Redis has, and ours is going to replace there, stays as
 * <app>.<version>.<random>.old.  RC_OK, RC_IO. */
enum rc record_store_keep_theirs(struct record_store *, const char *app,
    uint64_t version, struct span record) must_check;

/* Redis holds this version of ours: unless the disk has a later one by now there
 * is no base any more.  RC_OK, RC_IO. */
enum rc record_store_copied(struct record_store *, const char *app,
    uint64_t version) must_check;

/* SHA-256 of what the engine should hold: every record that is neither damaged
 * nor refused. */
void record_store_checksum(const struct record_store *, uint8_t out[32]);

void record_sha256(struct span record, uint8_t out[32]);

#endif
