/*
 * worker/route.h - host, method, path -> relay snapshot and its route; app ->
 * egress record.
 * Context:   the loop's thread.
 *
 * Snapshots are parsed from the map's records once per record revision.  Each
 * lookup renews the read transaction (nanoseconds); when the transaction id is
 * the one seen before, the snapshot is good as it is.  A process opens the map
 * once: what else there is in it is read through here.
 */
#ifndef RELAY_WORKER_ROUTE_H
#define RELAY_WORKER_ROUTE_H

#include "conf/egress_json.h"
#include "conf/relay_json.h"
#include "lib/base/result.h"
#include "shm/map.h"

struct route_table;

/* folder: the map's.  The map may not exist yet: see route_table_open. */
struct route_table *route_table_new(const char *folder);
void route_table_free(struct route_table **);

/* Called when the map or a record of it turns out to be damaged, once a second
 * at most: the feed is to look at it. */
typedef void route_damage_cb(void *arg);
void route_table_on_damage(struct route_table *, route_damage_cb *, void *arg);

/* Open the map if that is still to be done: RC_OK, or why not. */
enum rc route_table_open(struct route_table *) must_check;

/*
 * The map's other records, of this prefix, unless the map is as it was at
 * *epoch (0 at first), which is set.  A damaged one is reported besides.
 * RC_OK; RC_AGAIN: nothing has changed; RC_UNAVAILABLE: no map; RC_CORRUPT,
 * RC_IO: not all of them could be shown.
 */
enum rc route_table_each(struct route_table *, const char *prefix,
    uint64_t *epoch, shm_each_cb *, void *arg) must_check;

/*
 * The relay of this canonical host name.
 * RC_OK           one reference for the caller
 * RC_NOTFOUND     no such relay, and the map is in sync: 404
 * RC_UNAVAILABLE  no complete sync yet, or no map: 503 not-ready
 * RC_CORRUPT      the record is damaged: 503 not-ready; the feed repairs
 */
enum rc route_find(struct route_table *, const char *host, struct relay **)
    must_check;

/* The egress record of this app, in the same way; RC_NOTFOUND: it has none. */
enum rc route_egress(struct route_table *, const char *app, struct egress **)
    must_check;

/* First matching route in array order, or NULL: pass through. */
const struct relay_route *route_match(const struct relay *, struct span method,
    struct span normalized_path);

#endif
