/*
 * shm/feed/redis.h - the feed's reading side of Redis: subscribe, then read
 * all, then follow hints.
 * Context:   the loop's thread.
 * Ownership: feed.c owns it; it borrows the feed.
 */
#ifndef RELAY_SHM_FEED_REDIS_H
#define RELAY_SHM_FEED_REDIS_H

#include <stdint.h>

#include "lib/base/result.h"
#include "lib/base/string.h"
#include "lib/net/dns.h"
#include "lib/redis/endpoint.h"
#include "shm/feed/feed.h"

/* dns is borrowed.  As redis_endpoint_new: reads files, so before the
 * sandbox. */
enum rc feed_redis_new(struct feed *, struct net_dns *dns,
    const struct redis_endpoint_config *, unsigned compare_interval_s,
    struct feed_redis **, char *why, size_t why_size) must_check;
void feed_redis_free(struct feed_redis **);

/* Subscribed and usable. */
bool feed_redis_is_up(const struct feed_redis *);
/* The connection to read by, or NULL while down.  feed_engines_down is told
 * when it is lost. */
struct redis_client *feed_redis_client(struct feed_redis *);

/* Read everything again, applying also what the delete guard holds;
 * feed_changes_read_done tells when.  RC_UNAVAILABLE while down. */
enum rc feed_redis_accept(struct feed_redis *) must_check;

/* Read everything again soon; while down that happens anyway. */
void feed_redis_compare(struct feed_redis *);

/* As if a hint about this key had come by the channel. */
void feed_redis_hint(struct feed_redis *, struct span key);

#endif
