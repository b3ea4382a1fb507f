/*
 * worker/origin_self.h - is an address one that this relay listens on, or an
 * engine of it?  A request sent to a listener would come back until no
 * descriptor is left; engines are nobody's destination.
 * Context:   the loop's thread; never blocks.
 * Ownership: origin_self_new makes it, origin_self_free takes it back.
 */
#ifndef RELAY_WORKER_ORIGIN_SELF_H
#define RELAY_WORKER_ORIGIN_SELF_H

#include <stdbool.h>

#include "conf/conf_file.h"
#include "lib/net/addr.h"

struct origin_self;

/* Of the conf's listeners; it is not needed afterwards. */
struct origin_self *origin_self_new(const struct conf *);
void origin_self_free(struct origin_self **);

/* Who else is a part of us, asked at each look; an IPv4 address never comes as
 * IPv6.  `arg` is borrowed. */
typedef bool origin_self_part_cb(void *arg, const struct net_addr *);
void origin_self_set_parts(struct origin_self *, origin_self_part_cb *,
    void *arg);

/* True also for an address of this machine when the listener takes any, and
 * for the other ways to write such an address (::ffff:127.0.0.1, 0.0.0.0). */
bool origin_self_is(const struct origin_self *, const struct net_addr *);

#endif
