/*
 * shm/feed/writer.h - what the feed writes to Redis: its report in relay:nodes,
 * and changes that somebody waits for.
 * Context:   the loop's thread.
 * Ownership: feed.c owns it; it borrows the feed.
 */
#ifndef RELAY_SHM_FEED_WRITER_H
#define RELAY_SHM_FEED_WRITER_H

#include <stdint.h>

#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/net/dns.h"
#include "lib/redis/endpoint.h"
#include "shm/feed/change.h"
#include "shm/feed/feed.h"

/* dns is borrowed.  As redis_endpoint_new: before the sandbox. */
enum rc feed_writer_new(struct feed *, struct net_dns *dns,
    const struct redis_endpoint_config *, struct feed_writer **, char *why,
    size_t why_size) must_check;
void feed_writer_free(struct feed_writer **);

/* Something that relay:nodes tells has changed. */
void feed_writer_report(struct feed_writer *);

/*
 * HSET (value given) or HDEL of the key's hash, then PUBLISH of the hint, at the
 * write endpoint.  RC_OK: feed_changes_written(id) follows; RC_UNAVAILABLE.
 */
enum rc feed_writer_put(struct feed_writer *, uint64_t id,
    const struct feed_change *) must_check;

#endif
