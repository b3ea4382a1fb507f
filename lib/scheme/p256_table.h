/*
 * scheme/p256_table.h - multiples of the P-256 points that calls seal to often:
 * an agreement by table costs a third of one without.
 * Context:   the cache is the network thread's; one thread of its own builds
 *            the tables, crypto threads read them.
 * Ownership: a table is counted: the cache holds a reference, and each call
 *            that uses it.  It never changes once anyone can see it.
 *
 * A table tells nothing but the public point, so it lies in ordinary memory.
 * Its reader goes through every entry of a row, whatever the scalar is.
 */
#ifndef RELAY_SCHEME_P256_TABLE_H
#define RELAY_SCHEME_P256_TABLE_H

#include <openssl/ec.h>

#include "lib/scheme/ecdh.h"

#define SCHEME_P256_TABLES_MAX	256	/* of 150 KB each: 38 MB at most */
/* Calls that seal to a point before its table is built: what is sealed to once
 * in a while is not worth the 26 ms. */
#define SCHEME_P256_TABLE_CALLS	8

struct scheme_p256_table;
struct scheme_p256_tables;

/* An empty cache and its thread; NULL: the thread could not be made. */
struct scheme_p256_tables *scheme_p256_tables_new(unsigned max);
/* Waits for the build that runs; those asked for are not begun. */
void scheme_p256_tables_free(struct scheme_p256_tables **);

/* Count a call that seals to this point.  Its table, a reference for the
 * caller; NULL: there is none (yet). */
struct scheme_p256_table *scheme_p256_tables_use(struct scheme_p256_tables *,
    const struct scheme_public_key *);
/* Nothing is sealed to this point any more.  Calls keep what they have. */
void scheme_p256_tables_drop(struct scheme_p256_tables *,
    const struct scheme_public_key *);

/* Any thread. */
void scheme_p256_table_unref(struct scheme_p256_table **);
/* The curve with the point as its generator: EC_POINT_mul by the generator
 * uses the table.  A view: valid while the reference is held. */
const EC_GROUP *scheme_p256_table_group(const struct scheme_p256_table *);

#endif
